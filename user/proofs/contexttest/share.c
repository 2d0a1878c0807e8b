/* SPDX-License-Identifier: MIT */
/*
 * Budgets beside the fair queue: who has used up his, by best effort, gets what others leave, and comes back; and a budget is a bound, not a
 * share: nobody gets more than without one. All on one CPU, so that what each ran is known when this thread looks.
 */
#include "contexttest.h"

#define LONG_NS (600 * SECOND) /* nothing comes back within a test */

static struct runner bound, other;

/* Long enough for what is claimed: shares in exact time, else what is off by much. */
static uint64_t window_ns(void)
{
	return exact ? 200 * MS : 60 * MS;
}

struct ran {
	uint64_t bound_ns, other_ns;
};

/* In a window of this thread's sleep. */
static struct ran window(uint64_t span_ns)
{
	struct ran begin = { runtime_ns(bound.thread.handle), runtime_ns(other.thread.handle) };

	must(sleep_ns(span_ns));
	return (struct ran){ runtime_ns(bound.thread.handle) - begin.bound_ns,
			     runtime_ns(other.thread.handle) - begin.other_ns };
}

static void begin_on(capos_handle context)
{
	runner_start_on(&bound, 0);
	runner_start_on(&other, 0);
	must(scheduling_context_bind_thread(context, bound.thread.handle));
}

/* Of weight 1 beside one of 1,024: a thousandth, and all when that has gone. */
static void best_effort(void)
{
	capos_handle context = with_policy(5 * MS, LONG_NS, CAPOS_OVERRUN_BEST_EFFORT);
	struct ran beside;
	uint64_t alone_ns;

	begin_on(context);
	tap_ok(is_in(context, CAPOS_CONTEXT_BEST_EFFORT), "its budget is used up");
	beside = window(window_ns());
	for (unsigned i = 0; i < 2 && !exact && beside.bound_ns >= beside.other_ns / 5; i++)
		beside = window(window_ns()); /* its CPU may have been held up when it ran */
	tap_note("best effort beside one: ran_ns=%lu beside_ns=%lu", (unsigned long)beside.bound_ns,
		 (unsigned long)beside.other_ns);
	tap_ok(beside.bound_ns < beside.other_ns / (exact ? 500 : 5),
	       "best effort: it gets what the other one leaves");
	runner_stop(&other);
	alone_ns = runtime_ns(bound.thread.handle);
	must(sleep_ns(window_ns()));
	alone_ns = runtime_ns(bound.thread.handle) - alone_ns;
	tap_ok(alone_ns > window_ns() / 2, "all, when that is gone");
	must(scheduling_context_unbind(context));
	runner_stop(&bound);
	destroy(context);
}

/* Half of the CPU on 10 ms in 100: it has its whole budget in each period, and next to nothing else. */
static void comes_back(void)
{
	capos_handle context = with_policy(10 * MS, 100 * MS, CAPOS_OVERRUN_BEST_EFFORT);
	uint64_t used_ns, begin_ns, span_ns;
	bool came = true;
	struct ran ran;

	begin_on(context);
	for (unsigned i = 0; i < 3; i++)
		came = is_in(context, CAPOS_CONTEXT_BEST_EFFORT) && is_in(context, CAPOS_CONTEXT_BOUND) && came;
	tap_ok(came, "and comes back when there is more, each time");
	used_ns = context_info(context).used_ns;
	begin_ns = now_ns();
	ran = window(5 * window_ns());
	span_ns = now_ns() - begin_ns;
	used_ns = context_info(context).used_ns - used_ns;
	tap_note("best effort, again and again: used_ns=%lu ran_ns=%lu beside_ns=%lu", (unsigned long)used_ns,
		 (unsigned long)ran.bound_ns, (unsigned long)ran.other_ns);
	tap_ok(used_ns <= (span_ns / (100 * MS) + 2) * 10 * MS + (exact ? 0 : overrun_ns()),
	       "on no more than its budget");
	if (exact)
		tap_ok(used_ns >= 80 * MS && ran.bound_ns < used_ns + 3 * MS,
		       "as its own, not as one of weight 1; and hardly more");
	runner_stop(&other);
	must(scheduling_context_unbind(context));
	runner_stop(&bound);
	destroy(context);
}

/* Nine tenths of a CPU, by each kind: beside one without, half. */
static void no_more_than_fair(uint32_t replenishment)
{
	struct capos_context_spec spec = spec_of(45 * MS, 50 * MS);
	capos_handle context;
	struct ran ran;

	spec.replenishment = replenishment;
	context = context_made(spec);
	begin_on(context);
	ran = window(2 * window_ns());
	for (unsigned i = 0; i < 2 && !exact && ran.bound_ns >= 2 * ran.other_ns; i++)
		ran = window(2 *
			     window_ns()); /* the CPU may have been held up when it ran, at the end of the window */
	tap_note("replenishment=%u: bound_ns=%lu unbound_ns=%lu", replenishment, (unsigned long)ran.bound_ns,
		 (unsigned long)ran.other_ns);
	tap_ok(exact ? ran.bound_ns < ran.other_ns + 5 * MS : ran.bound_ns < 2 * ran.other_ns,
	       "a budget is no larger share than without one");
	if (exact)
		tap_ok(ran.bound_ns + 5 * MS > ran.other_ns, "nor a smaller one, while it lasts");
	runner_stop(&other);
	must(scheduling_context_unbind(context));
	runner_stop(&bound);
	destroy(context);
}

static uint64_t shares(void *argument)
{
	(void)argument;
	best_effort();
	comes_back();
	for (uint32_t kind = 0; kind < CAPOS_REPLENISH_COUNT; kind++)
		no_more_than_fair(kind);
	return 0;
}

void test_share(void)
{
	on_first(shares, NULL);
}
