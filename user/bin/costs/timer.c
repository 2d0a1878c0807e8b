/* SPDX-License-Identifier: MIT */
/* The timer: from a deadline to user code, and what an interrupt takes from a program that runs on or from one to another. */
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

/* --- preemption: two processes read the counter for ever, and write down when ---------------------------------------- */

#define PREEMPTIONS 60u

/* In memory of both. */
struct turns {
	uint64_t last[2]; /* reading of each */
};

/* Takes `count` samples of switches from the other one to this one. The shortest way around the loop is in them, and taken off. */
static void take_turns(struct turns *turns, unsigned me, unsigned count)
{
	uint64_t last = instructions(), loop = LOOP_MAX;

	while (count > 0) {
		uint64_t now = instructions(), other;

		__atomic_store_n(&turns->last[me], now, __ATOMIC_RELAXED);
		if (now - last <= LOOP_MAX) {
			loop = now - last < loop ? now - last : loop;
			last = now;
			continue;
		}
		other = __atomic_load_n(&turns->last[1 - me], __ATOMIC_RELAXED);
		if (other > last && me == 0) {
			cost_add(COST_preempt_switch, now - other - loop);
			count--;
		}
		last = instructions();
	}
}

_Noreturn void costs_preempted(void)
{
	uint64_t at = 0;

	must(address_space_map(known.space, cap("port"), 0, 0, CAPOS_PAGE_BYTES, CAPOS_MAP_WRITE, &at));
	for (;;)
		take_turns((struct turns *)at, 1, 1);
}

static void preemptions(void)
{
	struct block block;
	capos_handle other;

	must(block_map(&block, CAPOS_PAGE_BYTES));
	other = costs_child("preempted", block.memory, CAPOS_RIGHT_READ | CAPOS_RIGHT_WRITE);
	COST_MARK(2 * COST_preempt_switch);
	take_turns(block.address, 0, PREEMPTIONS);
	COST_MARK(2 * COST_preempt_switch + 1);
	costs_child_end(other);
	block_unmap(&block);
}

/* --- wake-ups of the best class beside others ------------------------------------------------------------------------ */

static void set_class(enum capos_latency_class latency_class)
{
	must(scheduling_policy_set_latency_class(known.policy, 0, latency_class));
}

static void wakes_beside(const char *mode, void (*wakes)(void))
{
	capos_handle child = costs_child(mode, 0, 0);
	struct process_end end;

	set_class(CAPOS_LATENCY_INTERACTIVE);
	(void)timer_sleep(known.timer, now_ns() + STORM_SETTLES_NS);
	wakes();
	set_class(CAPOS_LATENCY_NORMAL);
	/* It still runs: else the samples mean nothing. */
	if (process_wait(child, 0, &end).status != CAPOS_STATUS_WOULD_BLOCK)
		panic("the child has ended");
	costs_child_end(child);
}

static void wakes_beside_storm(void)
{
	WAKES_OF(timer_wake_storm_max);
}

static void wakes_beside_hog(void)
{
	WAKES_OF(wake_hog_interactive_max);
}

void costs_timer(void)
{
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
	wakes_beside("storm", wakes_beside_storm);
	wakes_beside("hog", wakes_beside_hog);
	preemptions();
}
