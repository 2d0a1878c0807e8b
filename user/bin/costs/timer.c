/* SPDX-License-Identifier: MIT */
/* The timer: from a deadline to user code, and what an interrupt takes from a program that runs on. */
#include "costs.h"

#define WAKES 2000u
#define TICKS 40u
#define LOOP_MAX 40u /* a gap longer than this between two readings is an interrupt */

void costs_timer(void)
{
	uint64_t last, seen = 0, loop = LOOP_MAX;

	for (unsigned i = 0; i < WAKES; i++) {
		uint64_t before = instructions(), now = now_ns(), after = instructions();
		uint64_t deadline = now + 60000 + (uint64_t)(i % 97) * 100;

		COST_MARK(2 * COST_timer_wake_max);
		(void)timer_sleep(known.timer, deadline);

		uint64_t end = instructions();

		COST_MARK(2 * COST_timer_wake_max + 1);
		/* `now` was read between the two. */
		cost_add(COST_timer_wake_max, end - (before + (after - before) / 2 + (deadline - now)));
	}
	last = instructions();
	COST_MARK(2 * COST_timer_irq);
	while (seen < TICKS) {
		uint64_t now = instructions();

		if (now - last > LOOP_MAX) {
			cost_add(COST_timer_irq, now - last - loop);
			seen++;
		} else {
			loop = now - last;
		}
		last = now;
	}
	COST_MARK(2 * COST_timer_irq + 1);
}
