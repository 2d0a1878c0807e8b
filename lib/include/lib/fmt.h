/* SPDX-License-Identifier: MIT */
/*
 * Formatted text into a caller's buffer, for kernel and programs: no allocation, no locks, no floating point.
 *
 * A conversion is %[flags][width][.precision][length]letter:
 *   flags    `0` pad numbers with zeros, `-` align to the left, `#` 0x before hexadecimal, `+` sign always
 *   width    digits or `*`
 *   .prec    digits or `*`; of %s only: at most so many bytes are read
 *   length   hh h l ll z t j
 *   letter   d i u x X o b(binary) c s p %
 * An unknown conversion is copied as it stands. A null string prints as (null).
 */
#ifndef LIB_FMT_H
#define LIB_FMT_H

#include <stdarg.h>
#include <stddef.h>

/*
 * Writes at most n bytes into buf, the terminating 0 included (nothing when n is 0). Returns the length that the whole
 * text has, without its 0: the text was cut when that is n or more.
 */
__attribute__((format(printf, 3, 0))) size_t fmt_vbuf(char *buf, size_t n, const char *format, va_list args);
__attribute__((format(printf, 3, 4))) size_t fmt_buf(char *buf, size_t n, const char *format, ...);

#endif
