/* SPDX-License-Identifier: MIT */
/*
 * TAP for guest programs: "# program NAME", "1..N", "ok N - name", "not ok N - name" and "# file:line". Each line is
 * one console.write. Any thread may report; numbers are taken atomically. tap_done() returns the exit code for main:
 * 0 when everything that was planned was reported and passed.
 */
#ifndef USER_TAP_H
#define USER_TAP_H

#include <user/sys.h>

/* count 0: not known yet, the plan is printed by tap_done(). */
void tap_plan(unsigned count);
__attribute__((format(printf, 4, 5))) bool tap_ok_at(const char *file, int line, bool passed, const char *format,
						     ...);
#define tap_ok(condition, ...) tap_ok_at(__FILE__, __LINE__, (condition), __VA_ARGS__)

/* The result has this status (and interface result 0). */
__attribute__((format(printf, 5, 6))) bool tap_status_at(const char *file, int line, struct capos_result r,
							 unsigned status, const char *format, ...);
#define tap_status(result, status, ...)                                                                              \
	tap_status_at(__FILE__, __LINE__, (result), CAPOS_STATUS_##status, __VA_ARGS__)

__attribute__((format(printf, 1, 2))) void tap_skip(const char *format, ...); /* an "ok N # SKIP reason" */
__attribute__((format(printf, 1, 2))) void tap_note(const char *format, ...); /* "# …" */
int tap_done(void);

#endif
