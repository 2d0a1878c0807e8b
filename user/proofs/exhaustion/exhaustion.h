/* SPDX-License-Identifier: MIT */
/*
 * run-exhaustion: quotas, the machine's memory and queues, and the CPU, taken to their end by programs that want all of
 * it. `exhaustion` is the supervisor; `exhaustion MODE …` is what it starts.
 */
#ifndef EXHAUSTION_H
#define EXHAUSTION_H

#include "../proof.h"

/* A mode's exit code is 0, or the line of its file on which it found something wrong. */
#define CHECK(condition)                                                                                             \
	do {                                                                                                         \
		if (!(condition))                                                                                    \
			return __LINE__;                                                                             \
	} while (0)

/* Fills `spawn` for `exhaustion ARGS` with the capabilities that a mode needs. */
void mode_init(struct capos_spawn *spawn, const char *args);

int mode_quota(int argc, char **argv);
int mode_table(int argc, char **argv);
int mode_bomb(int argc, char **argv);
int mode_waiters(int argc, char **argv);

void test_quotas(void);
void test_waiters(void);
void test_machine(void);
void test_bombs(void);

uint64_t frames_free(void);

#endif
