/* SPDX-License-Identifier: MIT */
/*
 * A crowd, for `make sim-scale`: N threads that all begin at one instant. Every other one sleeps and runs for short times of its own
 * draw; the others run on and on, but for a short sleep now and then. It does not end: who measures ends the run.
 */
#include "fairtest.h"

void user_thread_entry(void); /* user/lib/entry.S */

static uint64_t begin_ns;

static uint64_t member(void *argument)
{
	struct rng rng = { 0 };
	bool hog = (uintptr_t)argument % 2 == 0;

	rng_seed(&rng, (uintptr_t)argument + 1);
	(void)sleep_until_ns(begin_ns);
	for (;;) {
		spend_ns(rng_below(&rng, hog ? 2 * MS : MS / 20));
		(void)sleep_ns(rng_below(&rng, hog ? MS / 2 : 5 * MS));
	}
	return 0;
}

int crowd(uint64_t count, uint64_t begin_at_ns)
{
	begin_ns = begin_at_ns;
	for (uint64_t i = 0; i < count; i++) /* as thread_start, on a stack of one page */
		insist(thread_spawner_create(known.threads, (uintptr_t)user_thread_entry, (uintptr_t)member, i,
					     CAPOS_CPU_ANY, 0, CAPOS_PAGE_BYTES, NULL, NULL, NULL));
	if (now_ns() >= begin_ns)
		panic("%lu threads were made until %lu us, later than they were to begin", (unsigned long)count,
		      (unsigned long)(now_ns() / 1000));
	(void)sleep_until_ns(CAPOS_NEVER);
	return 0;
}
