/* SPDX-License-Identifier: MIT */
/* Formatted text into a buffer: parse one conversion, render it, pad it. See lib/fmt.h for what is understood. */
#include <lib/fmt.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct out {
	char *buf;
	size_t n;
	size_t length; /* of the whole text so far, written or not */
};

enum fmt_size { FMT_CHAR, FMT_SHORT, FMT_INT, FMT_LONG, FMT_LONG_LONG };

struct spec {
	bool zero, left, alternate, plus;
	int width;
	int precision; /* -1: none */
	enum fmt_size size;
};

static void put(struct out *out, char c)
{
	if (out->length + 1 < out->n)
		out->buf[out->length] = c;
	out->length++;
}

static void put_run(struct out *out, const char *text, size_t n)
{
	if (out->length + 1 < out->n) {
		size_t room = out->n - 1 - out->length;

		memcpy(out->buf + out->length, text, n < room ? n : room);
	}
	out->length += n;
}

/* The text up to its end or a conversion; returns where that is. */
static const char *put_plain(struct out *out, const char *at)
{
	size_t length = out->length, last = out->n ? out->n - 1 : 0;
	char *buf = out->buf;

	for (; *at && *at != '%'; at++, length++)
		if (length < last)
			buf[length] = *at;
	out->length = length;
	return at;
}

static void pad(struct out *out, char c, int count)
{
	for (; count > 0; count--)
		put(out, c);
}

/* A number is prefix (sign or 0x), zeros up to the width when asked for, digits. */
static void put_number(struct out *out, const struct spec *spec, uint64_t value, unsigned base, bool upper,
		       const char *prefix)
{
	const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
	char text[64];
	char *first = text + sizeof(text);
	int prefix_count = 0;

	do {
		*--first = digits[value % base];
		value /= base;
	} while (value);
	while (prefix[prefix_count])
		prefix_count++;

	int count = (int)(text + sizeof(text) - first), padding = spec->width - count - prefix_count;

	if (!spec->left && !spec->zero)
		pad(out, ' ', padding);
	put_run(out, prefix, (size_t)prefix_count);
	if (!spec->left && spec->zero)
		pad(out, '0', padding);
	put_run(out, first, (size_t)count);
	if (spec->left)
		pad(out, ' ', padding);
}

static void put_text(struct out *out, const struct spec *spec, const char *text)
{
	int count = 0;

	if (!text)
		text = "(null)";
	while ((spec->precision < 0 || count < spec->precision) && text[count])
		count++;
	if (!spec->left)
		pad(out, ' ', spec->width - count);
	put_run(out, text, (size_t)count);
	if (spec->left)
		pad(out, ' ', spec->width - count);
}

static int parse_digits(const char **at)
{
	int value = 0;

	for (; **at >= '0' && **at <= '9'; ++*at)
		if (value < 4096)
			value = value * 10 + (**at - '0');
	return value;
}

static void parse_flags(const char **at, struct spec *spec)
{
	for (;; ++*at) {
		if (**at == '0')
			spec->zero = true;
		else if (**at == '-')
			spec->left = true;
		else if (**at == '#')
			spec->alternate = true;
		else if (**at == '+')
			spec->plus = true;
		else
			return;
	}
}

static void parse_size(const char **at, struct spec *spec)
{
	spec->size = FMT_INT;
	if (**at == 'h') {
		spec->size = FMT_SHORT;
		if (*++*at == 'h') {
			spec->size = FMT_CHAR;
			++*at;
		}
	} else if (**at == 'l') {
		spec->size = FMT_LONG;
		if (*++*at == 'l') {
			spec->size = FMT_LONG_LONG;
			++*at;
		}
	} else if (**at == 'z' || **at == 't' || **at == 'j') {
		spec->size = FMT_LONG;
		++*at;
	}
}

/* va_list travels in a struct, because an array type decays when it is passed. */
struct arguments {
	va_list list;
};

static uint64_t take_unsigned(struct arguments *arguments, enum fmt_size size)
{
	switch (size) {
	case FMT_CHAR:
		return (unsigned char)va_arg(arguments->list, unsigned);
	case FMT_SHORT:
		return (unsigned short)va_arg(arguments->list, unsigned);
	case FMT_LONG:
		return va_arg(arguments->list, unsigned long);
	case FMT_LONG_LONG:
		return va_arg(arguments->list, unsigned long long);
	default:
		return va_arg(arguments->list, unsigned);
	}
}

static int64_t take_signed(struct arguments *arguments, enum fmt_size size)
{
	switch (size) {
	case FMT_CHAR:
		return (signed char)va_arg(arguments->list, int);
	case FMT_SHORT:
		return (short)va_arg(arguments->list, int);
	case FMT_LONG:
		return va_arg(arguments->list, long);
	case FMT_LONG_LONG:
		return va_arg(arguments->list, long long);
	default:
		return va_arg(arguments->list, int);
	}
}

static void put_signed(struct out *out, const struct spec *spec, int64_t value)
{
	uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

	put_number(out, spec, magnitude, 10, false, value < 0 ? "-" : spec->plus ? "+" : "");
}

/* Renders the conversion with this letter; false when there is no such letter. */
static bool convert(struct out *out, struct spec *spec, char letter, struct arguments *arguments)
{
	switch (letter) {
	case 'd':
	case 'i':
		put_signed(out, spec, take_signed(arguments, spec->size));
		return true;
	case 'u':
		put_number(out, spec, take_unsigned(arguments, spec->size), 10, false, "");
		return true;
	case 'x':
	case 'X':
		put_number(out, spec, take_unsigned(arguments, spec->size), 16, letter == 'X',
			   spec->alternate ? "0x" : "");
		return true;
	case 'o':
		put_number(out, spec, take_unsigned(arguments, spec->size), 8, false, "");
		return true;
	case 'b':
		put_number(out, spec, take_unsigned(arguments, spec->size), 2, false, spec->alternate ? "0b" : "");
		return true;
	case 'p':
		put_number(out, spec, (uintptr_t)va_arg(arguments->list, void *), 16, false, "0x");
		return true;
	case 'c': {
		char text[2] = { (char)va_arg(arguments->list, int), 0 };

		spec->precision = -1;
		put_text(out, spec, text);
		return true;
	}
	case 's':
		put_text(out, spec, va_arg(arguments->list, const char *));
		return true;
	case '%':
		put(out, '%');
		return true;
	default:
		return false;
	}
}

static void parse_width(const char **at, struct spec *spec, struct arguments *arguments)
{
	if (**at == '*') {
		++*at;
		spec->width = va_arg(arguments->list, int);
		if (spec->width < 0) {
			spec->left = true;
			spec->width = spec->width < -4096 ? 4096 : -spec->width;
		}
	} else {
		spec->width = parse_digits(at);
	}
	spec->precision = -1;
	if (**at != '.')
		return;
	if (*++*at == '*') {
		++*at;
		spec->precision = va_arg(arguments->list, int);
	} else {
		spec->precision = parse_digits(at);
	}
}

size_t fmt_vbuf(char *buf, size_t n, const char *format, va_list args)
{
	struct out out = { buf, n, 0 };
	struct arguments arguments;

	va_copy(arguments.list, args);
	for (const char *at = format; *at;) {
		if (*at != '%') {
			at = put_plain(&out, at);
			continue;
		}

		const char *start = at++;
		struct spec spec = { 0 };

		spec.precision = -1;
		if (*at <= '9') { /* flags, widths and precisions begin below the letters */
			parse_flags(&at, &spec);
			parse_width(&at, &spec, &arguments);
		}
		parse_size(&at, &spec);
		if (*at && convert(&out, &spec, *at, &arguments)) {
			at++;
			continue;
		}
		put_run(&out, start, (size_t)(at - start));
	}
	va_end(arguments.list);
	if (n)
		buf[out.length < n ? out.length : n - 1] = 0;
	return out.length;
}

size_t fmt_buf(char *buf, size_t n, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	size_t length = fmt_vbuf(buf, n, format, args);
	va_end(args);
	return length;
}
