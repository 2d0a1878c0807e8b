/* SPDX-License-Identifier: MIT */
/* Scheduling contexts: bound and revoked; the end of a budget and its return; a tick beside many that wait for theirs. */
#include "costs.h"

#define BIND_SAMPLES 400u
#define REST_CALLS 8u
#define THROTTLES 200u
#define CROWD 1000u
#define TICKS 40u

#define MS 1000000ull
#define HOUR (3600ull * 1000 * MS)

/* The budget that a spinner uses up in the samples. */
#define BURST_NS 20000u
#define BURST_PERIOD_NS 500000u

/* In the loops below a gap longer than this between two readings is an interrupt. */
#define LOOP_MAX 40u

capos_handle costs_context(uint64_t budget_ns, uint64_t period_ns)
{
	struct capos_context_spec spec = { .budget_ns = budget_ns, .period_ns = period_ns, .deadline_ns = period_ns };
	capos_handle context = 0;

	must(scheduling_context_create(known.context, &spec, &context));
	return context;
}

void costs_context_end(capos_handle context)
{
	must(cap_table_destroy(known.caps, context));
	must(cap_table_release(known.caps, context));
}

/* --- bind, unbind, revoke ----------------------------------------------------------------------------------------------- */

static uint64_t sleep_for_ever(void *argument)
{
	(void)argument;
	(void)sleep_until_ns(CAPOS_NEVER);
	return 0;
}

static void binds(void)
{
	capos_handle context = costs_context(900 * MS, 1000 * MS);
	struct capos_context_info info;
	struct thread other;

	must(thread_start_on(&other, sleep_for_ever, NULL, 0, 0));
	(void)sleep_ns(MS); /* it waits */
	for (unsigned i = 0; i < BIND_SAMPLES; i++) {
		COST_SAMPLE(context_bind, (void)scheduling_context_bind_thread(context, other.handle));
		COST_SAMPLE(context_unbind, (void)scheduling_context_unbind(context));
		COST_SAMPLE(context_bind_caller, (void)scheduling_context_bind_caller_thread(context));
		must(scheduling_context_unbind(context));
	}
	costs_context_end(context);
	for (unsigned i = 0; i < BIND_SAMPLES; i++) {
		context = costs_context(900 * MS, 1000 * MS);
		must(scheduling_context_bind_thread(context, other.handle));
		for (unsigned j = 0; j < REST_CALLS;
		     j++) /* what is left of the one before is given back outside the sample */
			must(scheduling_context_info(context, &info));
		COST_SAMPLE(context_revoke, (void)scheduling_context_revoke(context));
		costs_context_end(context);
	}
	must(thread_terminate(other.handle));
	must(thread_finish(&other, CAPOS_NEVER, NULL));
}

/* --- the end of a budget ------------------------------------------------------------------------------------------------- */

/* In memory of two processes that read the counter for ever: 0 has a budget, 1 has none. */
struct turns {
	uint64_t last[2];  /* reading of each */
	uint64_t first[2]; /* after it was switched to */
};

/* Reads until `count` switches to this one were seen; 0 takes the samples: from the last reading of the one to the first of the other,
 * less the shortest way around the loop. */
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
		if (other > last) {
			turns->first[me] = now;
			if (me == 0 && turns->first[1] > last) {
				cost_add(COST_context_throttle, turns->first[1] - last - loop);
				cost_add(COST_context_replenish, now - other - loop);
				count--;
			}
			count -= me;
		}
		last = instructions();
	}
}

_Noreturn void costs_throttled_peer(void)
{
	uint64_t at = 0;

	must(address_space_map(known.space, cap("port"), 0, 0, CAPOS_PAGE_BYTES, CAPOS_MAP_WRITE, &at));
	for (;;)
		take_turns((struct turns *)at, 1, 1);
}

/* Reads until a gap as long as most of the period. */
static void spin_until_throttled(void)
{
	uint64_t last = instructions(), now = last;

	for (; now - last < (BURST_PERIOD_NS - BURST_NS) / 2; now = instructions())
		last = now;
}

static void throttles(void)
{
	capos_handle context = costs_context(BURST_NS, BURST_PERIOD_NS), other;
	struct block block;

	must(block_map(&block, CAPOS_PAGE_BYTES));
	other = costs_child("throttled-peer", block.memory, CAPOS_RIGHT_READ | CAPOS_RIGHT_WRITE);
	must(scheduling_context_bind_caller_thread(context));
	COST_MARK(2 * COST_context_throttle);
	take_turns(block.address, 0, THROTTLES);
	COST_MARK(2 * COST_context_throttle + 1);
	must(scheduling_context_unbind(context));
	costs_child_end(other);
	block_unmap(&block);

	/* What the kernel runs in it, tools/bench-costs counts by another run: most of its time the machine waits. */
	must(scheduling_context_bind_caller_thread(context));
	spin_until_throttled();
	for (unsigned i = 0; i < THROTTLES; i++)
		COST_SAMPLE(context_throttle_alone, spin_until_throttled());
	must(scheduling_context_unbind(context));
	costs_context_end(context);
}

/* --- a crowd without budgets ---------------------------------------------------------------------------------------------- */

static void ticks(enum cost_operation operation)
{
	uint64_t last = instructions(), seen = 0, loop = LOOP_MAX;

	while (seen < TICKS) {
		uint64_t now = instructions();

		if (now - last > LOOP_MAX) {
			cost_add(operation, now - last - loop);
			seen++;
		} else {
			loop = now - last;
		}
		last = now;
	}
}

static _Noreturn void spin_for_ever(void)
{
	for (;;)
		__asm__ volatile("" ::: "memory");
}

static void crowd(void)
{
	static capos_handle thread[CROWD], context[CROWD];
	struct capos_context_info info;

	for (unsigned i = 0; i < CROWD; i++) {
		context[i] = costs_context(CAPOS_CONTEXT_BUDGET_MIN_NS, HOUR);
		must(thread_spawner_create(known.threads, (uintptr_t)spin_for_ever, 0, 0, 0, 0, CAPOS_PAGE_BYTES,
					   &thread[i], NULL, NULL));
		must(scheduling_context_bind_thread(context[i], thread[i]));
	}
	for (unsigned i = 0; i < CROWD; i++)
		do {
			(void)sleep_ns(MS);
			must(scheduling_context_info(context[i], &info));
		} while (info.state != CAPOS_CONTEXT_THROTTLED);
	ticks(COST_timer_irq_throttled);
	for (unsigned i = 0; i < CROWD; i++) {
		must(scheduling_context_info(context[i], &info));
		if (info.state != CAPOS_CONTEXT_THROTTLED || info.throttles != 1)
			panic("thread %u was not throttled all the time", i);
		must(thread_terminate(thread[i]));
		(void)thread_join(thread[i], CAPOS_NEVER, NULL, NULL);
		(void)cap_table_release(known.caps, thread[i]);
		costs_context_end(context[i]);
	}
}

void costs_contexts(void)
{
	binds();
	throttles();
	crowd();
}
