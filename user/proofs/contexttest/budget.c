/* SPDX-License-Identifier: MIT */
/*
 * Budgets: how much a thread runs in each period, by every kind of replenishment, and what becomes of it otherwise, by every overrun policy. A
 * burst is measured twice: by the readings of the clock that the spinner makes in it, and by what its context was charged.
 */
#include "contexttest.h"

/* Refills of it do not come back within a test. */
#define LONG_NS (600 * SECOND)

/* --- bursts --------------------------------------------------------------------------------------------------------------- */

struct bursts {
	uint64_t shortest_ns, longest_ns; /* as they were charged */
	uint64_t longest_read_ns;	  /* from the first reading to the last one */
};

/* Of the calling thread, alone on its CPU, which is bound: `count` of them, the first one whole. What was charged is asked at the begin of
 * each. */
static struct bursts bursts(capos_handle context, uint64_t period_ns, uint64_t budget_ns, uint64_t count)
{
	struct bursts found = { .shortest_ns = CAPOS_NEVER };
	uint64_t gap_ns = (period_ns - budget_ns) / 2, last = now_ns(), from = 0, used_ns = 0;

	for (uint64_t seen = 0; seen <= count;) {
		uint64_t now = now_ns();

		if (now - last > gap_ns) {
			uint64_t before_ns = used_ns, charged_ns;

			used_ns = context_info(context).used_ns;
			charged_ns = used_ns - before_ns;
			if (seen++ > 0) {
				found.longest_ns = charged_ns > found.longest_ns ? charged_ns : found.longest_ns;
				found.shortest_ns = charged_ns < found.shortest_ns ? charged_ns : found.shortest_ns;
				if (last - from > found.longest_read_ns)
					found.longest_read_ns = last - from;
			}
			from = now;
		}
		last = now;
	}
	return found;
}

static void spinner(uint64_t budget_ns, uint64_t period_ns, uint64_t periods, uint32_t replenishment)
{
	struct capos_context_spec spec = spec_of(budget_ns, period_ns);
	capos_handle context;
	uint64_t begin, span, used;
	struct bursts found;

	spec.replenishment = replenishment;
	context = context_made(spec);
	must(scheduling_context_bind_caller_thread(context));
	begin = now_ns();
	found = bursts(context, period_ns, budget_ns, periods);
	used = context_info(context).used_ns;
	span = now_ns() - begin;
	must(scheduling_context_unbind(context));
	tap_note("budget_ns=%lu period_ns=%lu replenishment=%u bursts=%lu burst_min_ns=%lu burst_max_ns=%lu",
		 (unsigned long)budget_ns, (unsigned long)period_ns, replenishment, (unsigned long)periods,
		 (unsigned long)found.shortest_ns, (unsigned long)found.longest_ns);
	if (exact) {
		tap_ok(found.longest_ns <= budget_ns && found.longest_read_ns <= budget_ns,
		       "no burst is longer than the budget");
		tap_ok(found.shortest_ns + LATE_NS >= budget_ns, "none is shorter by more than 2 us");
	}
	/* Twice for who begins in the middle of an aligned period; once more for where the span ends. */
	if (exact)
		tap_ok(used <= (span / period_ns + 2) * budget_ns,
		       "what is charged is the budget in each period, not more");
	destroy(context);
}

/* --- the deadline marker ---------------------------------------------------------------------------------------------------- */

static void deadline(void)
{
	capos_handle context = context_made(spec_of(5 * MS, LONG_NS));
	struct capos_context_info info;
	struct runner runner;
	uint64_t overshoot_ns;

	runner_start(&runner);
	must(scheduling_context_bind_thread(context, runner.thread.handle));
	tap_ok(is_in(context, CAPOS_CONTEXT_THROTTLED), "a spinner uses its budget up");
	tap_ok(stands_still(&runner), "and waits while others run");
	info = context_info(context);
	overshoot_ns = info.used_ns > 5 * MS ? info.used_ns - 5 * MS : 0;
	tap_ok(info.throttles == 1 && info.remaining_budget_ns == 0, "nothing is left");
	if (exact)
		tap_ok(overshoot_ns == 0 && info.used_ns + LATE_NS >= 5 * MS, "it ran for its budget");
	if (info.throttles == 1 && info.remaining_budget_ns == 0 && info.used_ns + LATE_NS >= 5 * MS &&
	    (!exact || overshoot_ns == 0)) {
		tap_note("elapsed_since_arm_ns=%lu overshoot_ns=%lu remaining_after_ns=%lu bounded_charge=true",
			 (unsigned long)info.used_ns, (unsigned long)overshoot_ns,
			 (unsigned long)info.remaining_budget_ns);
		tap_note("dispatch_effect=budgetEnforced");
	}
	must(scheduling_context_unbind(context));
	tap_ok(goes_on(&runner), "unbound, it goes on");
	runner_stop(&runner);
	destroy(context);
}

/* To the full budget, not more, however long it sleeps. */
static void replenished(uint32_t replenishment)
{
	struct capos_context_spec spec = spec_of(2 * MS, 20 * MS);
	struct runner runner;
	capos_handle context;

	spec.replenishment = replenishment;
	context = context_made(spec);
	runner_start(&runner);
	must(scheduling_context_bind_thread(context, runner.thread.handle));
	tap_ok(becomes_true(context_info(context).throttles >= 3), "it waits for its budget, and has it again");
	must(scheduling_context_unbind(context));
	(void)sleep_ns(60 * MS);
	must(scheduling_context_bind_caller_thread(context));
	tap_ok(context_info(context).remaining_budget_ns <= 2 * MS && context_info(context).used_ns <= 600 * SECOND,
	       "never more than the budget");
	must(scheduling_context_unbind(context));
	(void)sleep_ns(60 * MS);
	/* Later where the CPU was held up while somebody was bound: that was charged, and is a debt of many periods. */
	tap_ok(exact ? context_info(context).remaining_budget_ns == 2 * MS
		     : becomes_true(context_info(context).remaining_budget_ns == 2 * MS),
	       "after a sleep the whole budget is there");
	runner_stop(&runner);
	destroy(context);
}

/* --- binding anew: nothing is minted ------------------------------------------------------------------------------------------ */

static void ends(bool killed)
{
	capos_handle context = context_made(spec_of(400 * MS, LONG_NS));
	struct capos_context_info before, after;
	struct runner runner;

	runner_start(&runner);
	must(scheduling_context_bind_thread(context, runner.thread.handle));
	tap_ok(becomes_true(context_info(context).used_ns >= 2 * MS), "it runs on its budget");
	if (killed) {
		must(thread_terminate(runner.thread.handle));
		must(thread_finish(&runner.thread, CAPOS_NEVER, NULL));
	} else {
		runner_stop(&runner);
	}
	before = context_info(context);
	tap_ok(before.state == CAPOS_CONTEXT_UNBOUND && before.thread_id == 0,
	       killed ? "a thread that was terminated is not bound" : "a thread that has exited is not bound");
	tap_ok(before.used_ns + before.remaining_budget_ns == 400 * MS, "what it used is used, the rest is there");
	must(scheduling_context_bind_caller_thread(context));
	after = context_info(context);
	must(scheduling_context_unbind(context));
	tap_ok(after.remaining_budget_ns <= before.remaining_budget_ns && after.used_ns >= before.used_ns,
	       "bound again, it has what remained");
	destroy(context);
}

static void revoked(bool waits)
{
	capos_handle context = context_made(spec_of(waits ? 1 * MS : 400 * MS, LONG_NS));
	struct runner runner;

	runner_start(&runner);
	must(scheduling_context_bind_thread(context, runner.thread.handle));
	if (waits)
		tap_ok(is_in(context, CAPOS_CONTEXT_THROTTLED), "it waits");
	else
		tap_ok(becomes_true(context_info(context).used_ns >= 1 * MS), "it runs");
	must(scheduling_context_revoke(context));
	tap_ok(goes_on(&runner), waits ? "revoked while it waits, it goes on" : "revoked while it runs, it goes on");
	runner_stop(&runner);
	destroy(context);
}

/* --- policies ------------------------------------------------------------------------------------------------------------------ */

static uint64_t ends_counted(capos_handle context)
{
	struct capos_context_notifications cell = { 0 };

	must(scheduling_context_drain_notifications(context, &cell));
	return cell.depletion.count;
}

static void best_effort(void)
{
	capos_handle context = with_policy(5 * MS, LONG_NS, CAPOS_OVERRUN_BEST_EFFORT);
	struct capos_context_info info;
	struct runner runner;

	runner_start(&runner);
	must(scheduling_context_bind_thread(context, runner.thread.handle));
	tap_ok(is_in(context, CAPOS_CONTEXT_BEST_EFFORT), "best effort: its budget ends");
	tap_ok(goes_on(&runner), "and it goes on");
	info = context_info(context);
	(void)goes_on(&runner);
	tap_ok(info.used_ns == context_info(context).used_ns && info.throttles == 0, "uncharged");
	tap_ok(ends_counted(context) == 1, "that is counted");
	must(scheduling_context_unbind(context));
	tap_ok(goes_on(&runner), "without the context too");
	runner_stop(&runner);
	destroy(context);
	/* Killed while it has next to nothing, beside one who spins. */
	context = with_policy(5 * MS, LONG_NS, CAPOS_OVERRUN_BEST_EFFORT);
	runner_start(&runner);
	must(scheduling_context_bind_thread(context, runner.thread.handle));
	(void)is_in(context, CAPOS_CONTEXT_BEST_EFFORT);
	must(thread_terminate(runner.thread.handle));
	must(thread_finish(&runner.thread, CAPOS_NEVER, NULL));
	tap_ok(context_info(context).state == CAPOS_CONTEXT_UNBOUND, "and ends");
	destroy(context);
}

static void notify_only(void)
{
	capos_handle context = with_policy(1 * MS, LONG_NS, CAPOS_OVERRUN_NOTIFY);
	struct runner runner;

	runner_start(&runner);
	must(scheduling_context_bind_thread(context, runner.thread.handle));
	tap_ok(becomes_true(context_info(context).used_ns >= 10 * MS), "notify only: it runs on, charged");
	tap_ok(context_info(context).throttles == 0 && context_info(context).state == CAPOS_CONTEXT_BOUND,
	       "and never waits");
	/* Its CPU may be held up, and asking for the info has charged it since. */
	tap_ok(exact ? ends_counted(context) >= 9 : becomes_true(ends_counted(context) >= 1), "the ends are counted");
	must(scheduling_context_unbind(context));
	runner_stop(&runner);
	destroy(context);
}

static void suspend(void)
{
	capos_handle context = with_policy(1 * MS, 10 * MS, CAPOS_OVERRUN_SUSPEND);
	struct runner runner;
	unsigned resumed = 0;
	uint64_t seen;
	bool ended;

	runner_start(&runner);
	must(scheduling_context_bind_thread(context, runner.thread.handle));
	tap_ok(is_in(context, CAPOS_CONTEXT_SUSPENDED), "suspend: its budget ends");
	tap_ok(stands_still(&runner) && context_info(context).state == CAPOS_CONTEXT_SUSPENDED,
	       "two periods do not end that");
	do {
		seen = runner.readings; /* before: it may have used up the next budget when this thread looks again */
		must(scheduling_context_resume(context));
		resumed++;
		ended = becomes_true(context_info(context).throttles > resumed) &&
			is_in(context, CAPOS_CONTEXT_SUSPENDED);
	} while (!exact && ended && runner.readings == seen && resumed < 5); /* its CPU may be held up for a budget */
	tap_ok(runner.readings > seen, "resume does");
	tap_ok(ended, "up to the end of the next one");
	tap_ok(ends_counted(context) == 1 + resumed, "each is counted");
	must(scheduling_context_unbind(context));
	tap_ok(goes_on(&runner), "so does unbind");
	must(scheduling_context_bind_thread(context, runner.thread.handle));
	tap_ok(is_in(context, CAPOS_CONTEXT_SUSPENDED), "bound again");
	must(thread_terminate(runner.thread.handle));
	must(thread_finish(&runner.thread, CAPOS_NEVER, NULL));
	tap_ok(context_info(context).state == CAPOS_CONTEXT_UNBOUND, "and so does a kill");
	destroy(context);
}

void test_budget(void)
{
	spinner(5 * MS, 50 * MS, exact ? 200 : 10, CAPOS_REPLENISH_SPORADIC);
	spinner(200000, 1 * MS, exact ? 200 : 20, CAPOS_REPLENISH_SPORADIC);
	spinner(20000, 500000, exact ? 200 : 20, CAPOS_REPLENISH_SPORADIC);
	spinner(5 * MS, 50 * MS, exact ? 50 : 5, CAPOS_REPLENISH_PERIODIC);
	spinner(5 * MS, 50 * MS, exact ? 50 : 5, CAPOS_REPLENISH_CBS);
	deadline();
	for (uint32_t kind = 0; kind < CAPOS_REPLENISH_COUNT; kind++)
		replenished(kind);
	ends(false);
	ends(true);
	revoked(false);
	revoked(true);
	best_effort();
	notify_only();
	suspend();
}
