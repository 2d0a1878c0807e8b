/* SPDX-License-Identifier: MIT */
/*
 * What a thread with a budget gets, as it sees it itself: the same source on capOS and on Linux (bench/linux/budget.c). It reads the
 * TSC without end, and finds the breaks in its readings.
 */
#ifndef BURSTS_H
#define BURSTS_H

#include <stdint.h>

#define BURSTS_MAX 400u
#define BURSTS_WALL 100u /* of 5 ms per 50 ms, in the host's time */

struct burst {
	uint64_t begin; /* first reading */
	uint64_t span;	/* until the last one */
	uint64_t ran;	/* without the breaks in between */
};

static inline uint64_t bursts_now(void)
{
	return __builtin_ia32_rdtsc();
}

/* Whole bursts, in ticks of the TSC: a break of `end` and more ends one, a shorter one of more than `interrupt` is in the span alone. (In the
 * host's time breaks may lie in a burst, where the host ran others; a budget remembers them, and what comes back a period later has them too.) */
void bursts_take(struct burst *burst, unsigned count, uint64_t interrupt, uint64_t end);

/* Takes bursts of who has `budget_ns` per `period_ns` from now on, and prints them in ns of the system's clock. exact: a tick is an instruction. */
void bursts_of(const char *name, uint64_t budget_ns, uint64_t period_ns, unsigned count, int exact);

/* --- the system's part -------------------------------------------------------------------------------------------------- */

uint64_t system_now_ns(void);
void system_print(const char *name, uint64_t begin_ns, uint64_t span_ns, uint64_t ran_ns);

#endif
