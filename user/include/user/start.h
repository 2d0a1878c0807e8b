/* SPDX-License-Identifier: MIT */
/*
 * What a program finds when it starts. A program defines `int main(int argc, char **argv)`; argv[0] is its name, the
 * rest is its command line split at spaces. Its return value ends the first thread, and with the last thread the
 * process.
 */
#ifndef USER_START_H
#define USER_START_H

#include <user/sys.h>

int main(int argc, char **argv);

/* Once in a program: its first stack has so many bytes, 1 to 16 pages, instead of 64 KiB. */
#define STACK_BYTES_NOTE(stack_bytes)                                                                                \
	__attribute__((used, aligned(4), section(".note.capos.stack"))) static const struct {                        \
		uint32_t name_bytes, bytes, type;                                                                    \
		char name[8];                                                                                        \
		uint32_t value;                                                                                      \
	} stack_bytes_note = { sizeof(CAPOS_NOTE_NAME), sizeof(uint32_t), CAPOS_NOTE_STACK, CAPOS_NOTE_NAME,         \
			       (stack_bytes) }

/* The kernel's record. */
const struct capos_startup *startup(void);

/* Handle of the capability that the process was started with under this name, or 0. */
capos_handle cap(const char *name);

/* The same, but a program that was not given it ends with a message. */
capos_handle cap_need(const char *name);

/* Handles of the capabilities with usual names; 0 where the process was not given one. */
struct known_caps {
	capos_handle caps, space, threads, self, factory, park; /* every process has these */
	capos_handle console, log, entropy, timer, wall_clock, system_info, trace, power;
	capos_handle process_spawner, session_manager, session, policy, context;
};
extern struct known_caps known;

/* Nanoseconds since boot, by `timer`; 0 without it. sleep_until returns the status of the wait. */
uint64_t now_ns(void);
struct capos_result sleep_until_ns(uint64_t deadline_ns);
struct capos_result sleep_ns(uint64_t span_ns);

#endif
