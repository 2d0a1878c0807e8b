/* SPDX-License-Identifier: MIT */
/* The console as a terminal: bytes one by one, and lines by the line editor. */
#ifndef USER_TERM_H
#define USER_TERM_H

#include <user/lineedit.h>
#include <user/sys.h>

/* The next byte, or -1: the deadline passed, or the console cannot be read (then *why, if not NULL, says why). */
int term_byte(uint64_t deadline_ns, struct capos_result *why);

/* Reads a line with `edit`, whose prompt, history … the caller has set; write is set here. LINEEDIT_END also when the
 * console cannot be read. */
enum lineedit_event term_line(struct lineedit *edit);

/* False once a read of the console failed for another reason than time. */
bool term_is_open(void);

/* Forgets bytes that were typed and not read. */
void term_flush(void);

#endif
