/* SPDX-License-Identifier: MIT */
/* Text to console and log; panics. A text is formatted on the stack, up to PRINT_BYTES, and written in messages. */
#include <user/print.h>

#include <lib/fmt.h>
#include <user/names.h>
#include <user/start.h>
#include <user/stubs.h>

#define PRINT_BYTES 2048u
#define LOG_LINE_BYTES 256u

/* Without a console: every line to the log. */
static void log_lines(const char *text, size_t n)
{
	while (n > 0) {
		const char *end = memchr(text, '\n', n);
		size_t length = end ? (size_t)(end - text) : n;

		if (length > LOG_LINE_BYTES)
			length = LOG_LINE_BYTES;
		if (length > 0)
			(void)log_write(known.log, LOG_INFO, text, length);
		if (length < n && text[length] == '\n')
			length++;
		text += length;
		n -= length;
	}
}

void print_bytes(const void *bytes, size_t n)
{
	const char *at = bytes;

	if (!known.console) {
		if (known.log)
			log_lines(at, n);
		return;
	}
	while (n > 0) {
		size_t part = n < CAPOS_MESSAGE_BYTES ? n : CAPOS_MESSAGE_BYTES;
		uint64_t written = 0;

		/* Prefer to cut after a line. */
		for (size_t i = part; part < n && i > 0; i--) {
			if (at[i - 1] == '\n') {
				part = i;
				break;
			}
		}
		if (!result_ok(console_write(known.console, at, part, &written)))
			return;
		if (written == 0 || written > part)
			written = part;
		at += written;
		n -= written;
	}
}

void vprint(const char *format, va_list args)
{
	char text[PRINT_BYTES];
	size_t length = fmt_vbuf(text, sizeof(text), format, args);

	print_bytes(text, length < sizeof(text) ? length : sizeof(text) - 1);
}

void print(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprint(format, args);
	va_end(args);
}

void log_line(uint64_t level, const char *format, ...)
{
	char text[LOG_LINE_BYTES + 1];
	va_list args;

	if (!known.log)
		return;
	va_start(args, format);
	size_t length = fmt_vbuf(text, sizeof(text), format, args);
	va_end(args);
	if (length > LOG_LINE_BYTES)
		length = LOG_LINE_BYTES;
	if (length > 0)
		(void)log_write(known.log, level, text, length);
}

void panic_at(const char *file, int line, const char *format, ...)
{
	char text[PRINT_BYTES];
	va_list args;

	va_start(args, format);
	fmt_vbuf(text, sizeof(text), format, args);
	va_end(args);
	print("panic: %s (%s:%d)\n", text, file, line);
	__builtin_trap();
}

void must_at(const char *file, int line, const char *what, struct capos_result r)
{
	if (!result_ok(r))
		panic_at(file, line, "%s: %s, result %u, detail %u", what, status_name(r.status), r.iresult,
			 r.detail);
}
