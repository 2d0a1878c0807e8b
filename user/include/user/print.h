/* SPDX-License-Identifier: MIT */
/*
 * Text to the console and the log. One call of print() makes as few console.write calls as possible: text of up to
 * 512 bytes is one, so that lines of concurrent programs do not mix. Without a console the text goes to the log, else
 * nowhere. Not buffered.
 */
#ifndef USER_PRINT_H
#define USER_PRINT_H

#include <user/sys.h>

#include <stdarg.h>

__attribute__((format(printf, 1, 2))) void print(const char *format, ...);
__attribute__((format(printf, 1, 0))) void vprint(const char *format, va_list args);
void print_bytes(const void *bytes, size_t n);

/* Levels of the log. */
enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* A line in the kernel's log, if the process may write it. */
__attribute__((format(printf, 2, 3))) void log_line(uint64_t level, const char *format, ...);

/* Says why and ends the process by a breakpoint fault. */
_Noreturn __attribute__((format(printf, 3, 4))) void panic_at(const char *file, int line, const char *format, ...);
#define panic(...) panic_at(__FILE__, __LINE__, __VA_ARGS__)

/* Panics when a call fails that cannot. */
#define must(result) must_at(__FILE__, __LINE__, #result, result)
void must_at(const char *file, int line, const char *what, struct capos_result r);

#endif
