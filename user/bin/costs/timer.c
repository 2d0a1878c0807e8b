/* SPDX-License-Identifier: MIT */
/* The timer: from a deadline to user code, and what an interrupt takes from a program that runs on. */
#include "costs.h"

#define WAKES 2000u
#define TICKS 40u
#define STORM_SETTLES_NS 5000000u
#define LOOP_MAX 40u /* a gap longer than this between two readings is an interrupt */

/* Sleeps to deadlines 60 to 70 us ahead, and samples how late user code goes on. `now_` is read between the two. */
#define WAKES_OF(name)                                                                                               \
	for (unsigned i_ = 0; i_ < WAKES; i_++) {                                                                    \
		uint64_t before_ = instructions(), now_ = now_ns(), after_ = instructions();                         \
		uint64_t deadline_ = now_ + 60000 + (uint64_t)(i_ % 97) * 100, end_;                                 \
                                                                                                                     \
		COST_MARK(2 * COST_##name);                                                                          \
		(void)timer_sleep(known.timer, deadline_);                                                           \
		end_ = instructions();                                                                               \
		COST_MARK(2 * COST_##name + 1);                                                                      \
		cost_add(COST_##name, end_ - (before_ + (after_ - before_) / 2 + (deadline_ - now_)));               \
	}

void costs_timer(void)
{
	struct process_end end;
	capos_handle storm;
	uint64_t last, seen = 0, loop = LOOP_MAX;

	WAKES_OF(timer_wake_max);
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
	storm = costs_child("storm", 0, 0);
	(void)timer_sleep(known.timer, now_ns() + STORM_SETTLES_NS);
	WAKES_OF(timer_wake_storm_max);
	/* It still rages: else the samples mean nothing. */
	if (process_wait(storm, 0, &end).status != CAPOS_STATUS_WOULD_BLOCK)
		panic("the storm has ended");
	costs_child_end(storm);
}
