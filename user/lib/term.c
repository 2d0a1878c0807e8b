/* SPDX-License-Identifier: MIT */
/* Reading the console, through a buffer of one read. */
#include <user/term.h>

#include <user/print.h>
#include <user/start.h>
#include <user/stubs.h>

#define READ_BYTES 256u

static unsigned char buffer[READ_BYTES];
static size_t buffer_count, buffer_next;
static bool closed;

int term_byte(uint64_t deadline_ns, struct capos_result *why)
{
	while (buffer_next == buffer_count) {
		uint64_t count = 0;
		struct capos_result r = console_read(known.console, deadline_ns, buffer, &count);

		if (why)
			*why = r;
		if (!result_ok(r)) {
			closed = r.status != CAPOS_STATUS_TIMED_OUT && r.status != CAPOS_STATUS_WOULD_BLOCK &&
				 r.status != CAPOS_STATUS_COMPLETIONS_PENDING;
			return -1;
		}
		buffer_next = 0;
		buffer_count = count < READ_BYTES ? count : READ_BYTES;
	}
	return buffer[buffer_next++];
}

bool term_is_open(void)
{
	return !closed;
}

void term_flush(void)
{
	buffer_next = buffer_count = 0;
	while (term_byte(0, NULL) >= 0)
		buffer_next = buffer_count = 0;
}

static void write_console(void *context, const char *bytes, size_t n)
{
	(void)context;
	print_bytes(bytes, n);
}

enum lineedit_event term_line(struct lineedit *edit)
{
	enum lineedit_event event = LINEEDIT_MORE;

	edit->write = write_console;
	lineedit_begin(edit);
	while (event == LINEEDIT_MORE) {
		int byte = term_byte(CAPOS_NEVER, NULL);

		if (byte < 0)
			return LINEEDIT_END;
		event = lineedit_feed(edit, (unsigned char)byte);
	}
	return event;
}
