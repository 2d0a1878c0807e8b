/* SPDX-License-Identifier: MIT */
#ifndef DEV_PRIV_H
#define DEV_PRIV_H

#include <kernel/call.h>
#include <kernel/cpu.h>
#include <kernel/debug.h>
#include <kernel/ipc.h>
#include <kernel/process.h>
#include <kernel/state.h>
#include <kernel/trace.h>

void console_init(void);
/* For writers that may wait; wakes nobody. */
MUST_CHECK bool console_has_room(size_t n);

void log_init(void);
/* A line into the ring, and to the console. n bytes without newline; cut at LOG_LINE_BYTES. */
void log_append(enum log_level level, const char *text, size_t n);

#endif
