/* SPDX-License-Identifier: MIT */
/* The kernel log: the last lines in a ring, and on the console as `[    1.234567] text`. */
#include "dev_priv.h"

#include <lib/fmt.h>
#include <string.h>

const struct object_type type_log = OBJECT_TYPE(log, .kill_step = NULL);

#define STAMP_BYTES 32u /* 14 digits of seconds at most */

static struct log *the_log(void)
{
	return &kernel_state.dev.log;
}

void log_init(void)
{
	spinlock_init(&the_log()->lock, RANK_LOG, 0);
	atomic_store_relaxed(&the_log()->console_level, LOG_INFO);
}

void log_set_console_level(enum log_level level)
{
	atomic_store_relaxed(&the_log()->console_level, level);
}

/* Decimal digits that end before `end`, at least `width` characters; returns where they begin. */
static char *digits(char *end, u64 value, u32 width, char fill)
{
	char *at = end;

	do {
		*--at = (char)('0' + value % 10);
		value /= 10;
	} while (value != 0);
	while (end - at < (ptrdiff_t)width)
		*--at = fill;
	return at;
}

/* `[    1.234567] `, by hand: a line of the log is one step of the kernel. Ends before `end`; returns where it begins. */
static char *stamp(char *end, u64 now_us)
{
	char *at = end;

	*--at = ' ';
	*--at = ']';
	at = digits(at, now_us % 1000000, 6, '0');
	*--at = '.';
	at = digits(at, now_us / 1000000, 5, ' ');
	*--at = '[';
	return at;
}

void log_append(enum log_level level, const char *text, size_t n)
{
	struct log *log = the_log();
	u64 now_us = mach_clock().ns / 1000;
	char out[STAMP_BYTES + LOG_LINE_BYTES + 1];
	struct log_line *line;
	char *at;

	n = MIN(n, (size_t)LOG_LINE_BYTES);
	if (kernel_state.dev.ready) {
		spin_lock(&log->lock);
		line = &log->line[log->next % LOG_LINES];
		log->next++;
		line->ns = now_us * 1000;
		line->level = (u8)level;
		line->bytes = (u8)n;
		memcpy(line->text, text, n);
		spin_unlock(&log->lock);
		if ((u32)level > atomic_load_relaxed(&log->console_level))
			return;
	}
	at = stamp(out + STAMP_BYTES, now_us);
	memcpy(out + STAMP_BYTES, text, n);
	out[STAMP_BYTES + n] = '\n';
	(void)console_put(at, (size_t)(out + STAMP_BYTES + n + 1 - at));
}

void klog(enum log_level level, const char *format, ...)
{
	char text[LOG_LINE_BYTES + 1];
	va_list args;
	size_t n;

	va_start(args, format);
	n = fmt_vbuf(text, sizeof(text), format, args);
	va_end(args);
	log_append(level, text, MIN(n, sizeof(text) - 1));
}

u64 method_log_write(struct call *call)
{
	char text[LOG_LINE_BYTES + 1];
	size_t n;

	if (call->word[0] > LOG_DEBUG)
		return STATUS_DETAIL(BAD_ARGUMENT, 0);
	n = fmt_buf(text, sizeof(text), "[%.*s] ", (int)CAPOS_NAME_BYTES, call->thread->process->name);
	for (u32 i = 0; i < call->in_bytes && n < LOG_LINE_BYTES; i++) {
		u8 byte = call->in[i];

		/* A line is a line: nothing in it moves the cursor. */
		text[n++] = (byte < ' ' && byte != '\t') || byte == 0x7f ? '?' : (char)byte;
	}
	log_append((enum log_level)call->word[0], text, n);
	return STATUS(OK);
}

/* A sequence number that is gone: the oldest line that is there. */
u64 method_log_read(struct call *call)
{
	struct log *log = the_log();
	u64 sequence = call->word[0];

	spin_lock(&log->lock);
	if (sequence < log->next && log->next - sequence > LOG_LINES)
		sequence = log->next - LOG_LINES;
	if (sequence < log->next) {
		const struct log_line *line = &log->line[sequence % LOG_LINES];

		memcpy(call->out, line->text, line->bytes);
		call->out_bytes = line->bytes;
		call->word[1] = line->ns;
		call->word[2] = line->level;
		sequence++;
	} else {
		call->word[1] = call->word[2] = 0;
	}
	spin_unlock(&log->lock);
	call->word[0] = sequence;
	return STATUS(OK);
}
