/* SPDX-License-Identifier: MIT */
/*
 * Ends that a budget meets: the process of its thread exits, or is terminated, and a context is revoked at the very instant at which its budget
 * ends on another CPU, and tells those who wait.
 */
#include "contexttest.h"

#include <user/rng.h>

#define LONG_NS (600 * SECOND) /* nothing comes back within a test */
#define SPENT_NS (2 * MS)

/* --- processes ----------------------------------------------------------------------------------------------------------- */

/* contexttest spend: a process that was born bound runs for so long on its budget, and exits. */
int spend(int argc, char **argv)
{
	(void)argc, (void)argv;
	while (context_info(cap_need("context")).used_ns < SPENT_NS)
		;
	return 0;
}

/* contexttest spin: until it is killed. */
int spend_forever(int argc, char **argv)
{
	(void)argc, (void)argv;
	for (;;)
		(void)now_ns();
}

static bool is_free(const struct capos_context_info *info)
{
	return info->state == CAPOS_CONTEXT_UNBOUND && info->thread_id == 0 && info->holder_id == 0 && is_whole(info);
}

/* What another process finds, for which it is bound again: the rest, which it runs on, or stands still without. */
static bool has_the_rest(capos_handle context, const struct capos_context_info *left)
{
	capos_handle process = process_on(context, "spin");
	struct capos_context_info info = context_info(context);
	bool good = info.used_ns >= left->used_ns && info.remaining_budget_ns <= left->remaining_budget_ns;

	good = good && (left->remaining_budget_ns == 0 ? is_in(context, CAPOS_CONTEXT_THROTTLED)
						       : becomes_true(context_info(context).used_ns > left->used_ns));
	must(process_kill(process, 1));
	(void)child_end(process);
	info = context_info(context);
	return good && is_free(&info) && info.used_ns >= left->used_ns;
}

enum process_way { EXITS, KILLED_RUNNING, KILLED_WAITING, PROCESS_WAYS };
static const char *const process_names[PROCESS_WAYS] = { "process_exit", "process_terminate",
							 "process_terminate_throttled" };

static void ends_bound(enum process_way way)
{
	capos_handle context = context_made(spec_of(way == KILLED_WAITING ? SPENT_NS : 400 * MS, LONG_NS));
	capos_handle process = process_on(context, way == EXITS ? "spend" : "spin");
	struct capos_context_info left;
	bool good;

	if (way == KILLED_WAITING)
		good = is_in(context, CAPOS_CONTEXT_THROTTLED);
	else
		good = becomes_true(context_info(context).used_ns >= SPENT_NS);
	if (way != EXITS)
		must(process_kill(process, 1));
	good = ended(child_end(process), way == EXITS ? CAPOS_EXIT_NORMAL : CAPOS_EXIT_KILLED,
		     way == EXITS ? 0 : 1) &&
	       good;
	left = context_info(context);
	good = good && is_free(&left) && left.used_ns + LATE_NS >= SPENT_NS;
	if (tap_ok(good, "%s: the context is free, what was used is used", process_names[way]) &&
	    tap_ok(has_the_rest(context, &left), "bound again, it has what remained"))
		tap_note("%s_unbind=ok used_ns=%lu remaining_ns=%lu", process_names[way], (unsigned long)left.used_ns,
			 (unsigned long)left.remaining_budget_ns);
	destroy(context);
}

/* --- revoke at the end of a budget ------------------------------------------------------------------------------------------- */

struct race {
	capos_handle context, observer;
	bool depleted, told; /* the budget ended before the revoke; who waited was told of that, not of the revoke */
};

static void submit_wait(uint64_t number, capos_handle through)
{
	struct capos_sqe entry =
		RING_CALL(number, scheduling_context, wait_notification, through, CAPOS_NEVER, CAPOS_NEVER, 0, 0, 0);

	must(ring_submit_wait(&entry));
	must(ring_enter(0, 0));
}

/* One of two that wait for the first notification: it is told of that, or of the revoke, by its own name. */
static bool is_answered(struct race *race)
{
	struct capos_cqe done = { 0 };
	struct capos_result r;

	if (!result_ok(ring_wait(&done, now_ns() + 10 * SECOND)))
		return false;
	r = result_of(done.result);
	if (r.status == CAPOS_STATUS_NO_MEMORY) /* where the simulator lets allocations fail */
		return true;
	if (result_ok(r)) {
		race->told = true;
		return race->depleted && done.word[0] >= 1;
	}
	return r.status == CAPOS_STATUS_OK &&
	       r.iresult == (done.user_data == 1 ? CAPOS_CONTEXT_WAS_REVOKED : CAPOS_CONTEXT_STALE_GENERATION);
}

/* The runner is bound at `begin`; the revoke comes that much later. */
static bool revoked_after(struct race *race, struct runner *runner, uint64_t span_ns)
{
	struct capos_context_notifications cell = { 0 };
	struct capos_result r;
	uint64_t begin, seen;
	bool good;

	insist(cap_table_derive(known.caps, race->context, CAPOS_RIGHT_READ, 0, &race->observer));
	submit_wait(1, race->context);
	submit_wait(2, race->observer);
	begin = now_ns();
	must(scheduling_context_bind_thread(race->context, runner->thread.handle));
	while (now_ns() < begin + span_ns)
		;
	must(scheduling_context_revoke(race->context));
	seen = runner->readings;
	r = scheduling_context_drain_notifications(race->context, &cell);
	good = r.status == CAPOS_STATUS_OK && r.iresult == CAPOS_CONTEXT_WAS_REVOKED && cell.explicit_revoke == 1 &&
	       cell.state == CAPOS_CONTEXT_REVOKED && cell.depletion.count == cell.depletion.sequence;
	race->depleted = cell.depletion.sequence != 0;
	good = is_answered(race) && good;
	good = is_answered(race) && good;
	good = goes_on_from(runner, seen) && good;
	drop(race->observer);
	destroy(race->context);
	return good;
}

/* By every policy. The span goes to where the budget's end, or in every other round what tells of it, is as often first as the revoke is. */
static uint64_t revoked_at_end(void *argument)
{
	const uint64_t budget_ns = 50000;
	unsigned rounds = on_simulator() ? 80 : 400, good = 0, depleted = 0, told = 0;
	uint64_t span_ns[2] = { budget_ns, budget_ns };
	struct runner runner;
	struct rng rng;

	(void)argument;
	rng_seed(&rng, 11);
	runner_start_on(&runner, startup()->cpu_count - 1);
	for (unsigned i = 0; i < rounds; i++) {
		uint64_t *span = &span_ns[i / CAPOS_OVERRUN_COUNT % 2], step_ns = rng_below(&rng, *span / 8 + 2);
		struct race race = { .context = with_policy(budget_ns, LONG_NS, i % CAPOS_OVERRUN_COUNT) };

		good += revoked_after(&race, &runner, *span);
		depleted += race.depleted;
		told += race.told;
		*span += (span == span_ns ? race.depleted : race.told) ? -step_ns : step_ns;
	}
	runner_stop(&runner);
	tap_note("revoked %u times: depleted_first=%u told_first=%u", rounds, depleted, told);
	if (tap_ok(good == rounds,
		   "revoked when the budget ends on another CPU: it goes on, who waits is told what was first") &&
	    tap_ok(told > 0 && depleted < rounds && (!on_simulator() || told < depleted),
		   "the end came first, what tells of it, and the revoke did"))
		tap_note("revoke_at_budget_end=ok span_ns=%lu", (unsigned long)span_ns[0]);
	return 0;
}

void test_ends(void)
{
	for (unsigned way = 0; way < PROCESS_WAYS; way++)
		ends_bound((enum process_way)way);
	if (startup()->cpu_count == 1)
		tap_skip("revoke at the end of a budget on another CPU: there is one");
	else
		on_first(revoked_at_end, NULL);
}
