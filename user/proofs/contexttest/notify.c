/* SPDX-License-Identifier: MIT */
/* Notifications: what the cell of a context says, to whom, and who is woken for it. */
#include "contexttest.h"

#include <user/rng.h>

#define FRESH (struct capos_context_notifications){ .sequence = 99 }

static struct capos_context_notifications drained(capos_handle context)
{
	struct capos_context_notifications cell = FRESH;

	must(scheduling_context_drain_notifications(context, &cell));
	return cell;
}

/* Until its budget has ended so often. */
static void burn_budgets(capos_handle context, uint64_t times)
{
	while (context_info(context).throttles < times)
		burn(100000);
}

/* --- the cell ----------------------------------------------------------------------------------------------------------- */

static void coalesces(void)
{
	capos_handle context = context_made(spec_of(MS, 10 * MS));
	struct capos_context_notifications cell, again;
	const struct capos_context_slot *slot = &cell.depletion;
	uint64_t begin = now_ns();
	bool good;

	must(scheduling_context_bind_caller_thread(context));
	burn_budgets(context, 4);
	must(scheduling_context_unbind(context));
	cell = drained(context);
	again = drained(context);
	good = tap_ok(slot->sequence >= 4 && slot->count == slot->sequence &&
			      cell.sequence == cell.depletion.sequence + cell.deadline.sequence,
		      "ends of budgets are one record, with how many there were");
	good = tap_ok(slot->holder_id == self()->id && slot->donated == 0 && slot->remaining_budget_ns <= MS &&
			      slot->at_ns > begin && slot->at_ns < now_ns() && slot->next_ns > slot->at_ns,
		      "of the last one: who, when, what was left, when more comes") &&
	       good;
	good = tap_ok(again.depletion.count == 0 && again.depletion.sequence == slot->sequence &&
			      again.depletion.at_ns == slot->at_ns,
		      "a drain takes the count, not the record") &&
	       good;
	good = tap_ok(slot->sequence <= (slot->at_ns - begin) / (10 * MS) + 1 + 4,
		      "no more ends than there were budgets") &&
	       good;
	if (exact)
		good = tap_ok(slot->sequence == 4 && slot->remaining_budget_ns <= 1000 &&
				      slot->at_ns - begin <= 31 * MS + 100000,
			      "at the fourth end of a millisecond in ten") &&
		       good;
	if (good)
		tap_note("notification_depletion_coalesced=ok count=%lu remaining_budget_ns=%lu next_after_ns=%lu",
			 (unsigned long)slot->count, (unsigned long)slot->remaining_budget_ns,
			 (unsigned long)(slot->next_ns - slot->at_ns));
	destroy(context);
}

static void deadline(void)
{
	struct capos_context_spec spec = spec_of(5 * MS, 50 * MS);
	capos_handle context;
	struct capos_context_notifications cell;
	uint64_t before, after;
	bool good;

	spec.deadline_ns = MS;
	context = context_made(spec);
	before = now_ns();
	must(scheduling_context_bind_caller_thread(context));
	after = now_ns();
	while (drained(context).deadline.sequence == 0)
		burn(10000);
	cell = drained(context);
	good = tap_ok(cell.deadline.at_ns >= before + MS && cell.deadline.at_ns < now_ns() &&
			      cell.deadline.holder_id == self()->id && cell.deadline.donated == 0,
		      "a deadline that passed is told by its own instant");
	if (exact)
		good = tap_ok(cell.deadline.at_ns <= after + MS && cell.deadline.sequence == 1 &&
				      cell.deadline.remaining_budget_ns >= 4 * MS - 10000 &&
				      cell.deadline.remaining_budget_ns <= 4 * MS + (after - before),
			      "which is a millisecond after the bind") &&
		       good;
	if (good)
		tap_note("notification_deadline=ok after_bind_ns=%lu remaining_budget_ns=%lu",
			 (unsigned long)(cell.deadline.at_ns - before),
			 (unsigned long)cell.deadline.remaining_budget_ns);
	must(scheduling_context_unbind(context));
	destroy(context);
	if (!exact)
		return;
	context = context_made(spec);
	must(scheduling_context_bind_caller_thread(context));
	for (unsigned i = 0; i < 8; i++) {
		must(sleep_ns(MS));
		burn(MS / 2);
	}
	tap_ok(drained(context).sequence == 0, "jobs that block before their deadline are not told");
	must(scheduling_context_unbind(context));
	destroy(context);
}

/* --- after the end ------------------------------------------------------------------------------------------------------ */

static void revoked(void)
{
	capos_handle context = context_made(spec_of(MS, 10 * MS)), observer = 0;
	struct capos_context_notifications cell = FRESH, again = FRESH, stale = FRESH;
	struct capos_result r;
	bool good;

	insist(cap_table_derive(known.caps, context, CAPOS_RIGHT_READ, 0, &observer));
	must(scheduling_context_bind_caller_thread(context));
	burn_budgets(context, 2);
	must(scheduling_context_revoke(context));
	r = scheduling_context_drain_notifications(context, &cell);
	good = tap_ok(r.status == CAPOS_STATUS_OK && r.iresult == CAPOS_CONTEXT_WAS_REVOKED &&
			      cell.explicit_revoke == 1 && cell.state == CAPOS_CONTEXT_REVOKED &&
			      cell.depletion.count >= 2,
		      "who revoked it is told so, and what there was");
	(void)scheduling_context_drain_notifications(context, &again);
	good = tap_ok(memcmp(&cell, &again, sizeof(cell)) == 0, "as often as it asks: nothing is drained any more") &&
	       good;
	if (good)
		tap_note("notification_explicit_revoke=ok count=%lu remaining_budget_ns=%lu",
			 (unsigned long)cell.depletion.count, (unsigned long)cell.depletion.remaining_budget_ns);
	r = scheduling_context_drain_notifications(observer, &stale);
	if (tap_ok(r.status == CAPOS_STATUS_OK && r.iresult == CAPOS_CONTEXT_STALE_GENERATION && stale.sequence == 99,
		   "another observer finds staleGeneration, and nothing else"))
		tap_note("notification_stale_observer=ok");
	drop(observer);
	destroy(context);
}

/* --- along a call ------------------------------------------------------------------------------------------------------- */

struct server {
	struct thread thread;
	capos_handle port;
	struct capos_context_notifications cell; /* before the reply: then its caller may use the budget up */
};

/* Runs on its caller's budget to the end of that. Where there was no memory to lend it (LE3), it says so and is called again. */
static uint64_t serves(void *argument)
{
	struct server *server = argument;
	struct message was_lent = { .word = { 0 }, .words = 1 };
	struct request request;
	capos_handle context;

	must(endpoint_recv(server->port, CAPOS_NEVER, 0, &request));
	while (!context_info((capos_handle)request.message.word[0]).donated)
		must(endpoint_reply_recv(server->port, &was_lent, 0, &request));
	context = (capos_handle)request.message.word[0];
	/* One more: the caller may have been held up before the call. */
	burn_budgets(context, context_info(context).throttles + 1);
	server->cell = drained(context);
	was_lent.word[0] = 1;
	return endpoint_reply(&was_lent).status;
}

static void donated(void)
{
	capos_handle context = context_made(spec_of(2 * MS, 20 * MS));
	struct server server = { .port = 0 };
	const struct capos_context_slot *slot = &server.cell.depletion;
	struct capos_context_notifications cell;
	struct capos_context_info info;
	uint64_t word[1] = { context }, was_lent[1] = { 0 };
	bool good;

	insist(factory_endpoint(known.factory, PROOF_IFACE, &server.port));
	insist(thread_start_on(&server.thread, serves, &server, CAPOS_CPU_ANY, CAPOS_THREAD_PASSIVE));
	(void)becomes_true(waits_on(server.thread.handle) == CAPOS_WAIT_RECV);
	must(scheduling_context_bind_caller_thread(context));
	while (was_lent[0] == 0)
		insist(endpoint_call(server.port, PROOF_IFACE, PROOF_ECHO, word, 1, was_lent, 1));
	info = context_info(context);
	must(scheduling_context_unbind(context));
	must(thread_finish(&server.thread, CAPOS_NEVER, NULL));
	cell = drained(context);
	good = tap_ok(slot->sequence >= 1 && slot->count >= 1 && slot->holder_id == server.thread.id &&
			      slot->donated == 1,
		      "a server that used up its caller's budget is named, and that it was donated");
	if (exact)
		good = tap_ok(cell.depletion.sequence == slot->sequence && cell.depletion.at_ns == slot->at_ns &&
				      cell.depletion.holder_id == slot->holder_id && cell.depletion.donated == 1,
			      "it still is when it has replied") &&
		       good;
	good = tap_ok(info.state == CAPOS_CONTEXT_BOUND && info.donated == 0 && info.thread_id == self()->id &&
			      info.used_ns >= 2 * MS - 2000,
		      "the caller has the context back, used") &&
	       good;
	if (good)
		tap_note("notification_donated=ok remaining_budget_ns=%lu used_ns=%lu",
			 (unsigned long)slot->remaining_budget_ns, (unsigned long)info.used_ns);
	destroy(server.port);
	destroy(context);
}

/* --- who waits ---------------------------------------------------------------------------------------------------------- */

#define WATCHERS 3u

static struct watcher {
	capos_handle context;
	uint64_t sequence; /* the last that it was told */
	uint64_t told_ns;
	struct capos_result end;
} watchers[WATCHERS];

/* One notification. */
static uint64_t watches_once(void *argument)
{
	struct watcher *watcher = argument;

	watcher->end = scheduling_context_wait_notification(watcher->context, CAPOS_NEVER, 0, &watcher->sequence);
	watcher->told_ns = now_ns();
	return 0;
}

/* All of them, to the end of the context. */
static uint64_t watches(void *argument)
{
	struct watcher *watcher = argument;
	uint64_t last = 0;

	while (result_ok(watcher->end = scheduling_context_wait_notification(watcher->context, CAPOS_NEVER, last,
									     &watcher->sequence))) {
		if (watcher->sequence <= last)
			return 1;
		last = watcher->sequence;
	}
	return 0;
}

static void several(void)
{
	capos_handle context = context_made(spec_of(MS, 10 * MS));
	struct capos_sqe entry =
		RING_CALL(7, scheduling_context, wait_notification, context, CAPOS_NEVER, CAPOS_NEVER, 0, 0, 0);
	struct thread thread[WATCHERS];
	struct capos_context_notifications cell;
	struct capos_cqe done = { 0 };
	uint64_t before;
	bool good = true;

	for (unsigned i = 0; i < WATCHERS; i++) {
		watchers[i] = (struct watcher){ .context = context };
		insist(thread_start(&thread[i], watches_once, &watchers[i]));
	}
	must(ring_submit_wait(&entry));
	must(ring_enter(0, 0));
	good = tap_ok(becomes_true(how_many_wait(thread, WATCHERS, CAPOS_WAIT_NOTIFICATION) == WATCHERS),
		      "threads wait for a notification");
	must(scheduling_context_bind_caller_thread(context));
	burn_budgets(context, 1);
	must(scheduling_context_unbind(context));
	cell = drained(context);
	for (unsigned i = 0; i < WATCHERS; i++) {
		must(thread_finish(&thread[i], CAPOS_NEVER, NULL));
		good = good && result_ok(watchers[i].end) && watchers[i].sequence >= 1 &&
		       watchers[i].sequence <= cell.sequence;
		good = good && (cell.sequence > 1 || watchers[i].told_ns >= cell.depletion.at_ns);
	}
	good = tap_ok(good, "all are woken by the end of a budget, not before");
	must(ring_wait(&done, CAPOS_NEVER));
	/* Where the simulator lets allocations fail, the entry is refused. */
	good = tap_ok(done.user_data == 7 && (CAPOS_RESULT_STATUS(done.result) == CAPOS_STATUS_NO_MEMORY ||
					      (result_ok(result_of(done.result)) && done.word[0] >= 1)),
		      "the ring's entry too") &&
	       good;
	if (good)
		tap_note("notification_waiter=ok woken=%u sequence=%lu after_ns=%lu", WATCHERS,
			 (unsigned long)watchers[0].sequence,
			 (unsigned long)(watchers[0].told_ns - cell.depletion.at_ns));
	before = now_ns();
	expect_status(scheduling_context_wait_notification(context, before + 2 * MS, cell.sequence, NULL), TIMED_OUT,
		      "nothing happens until the deadline");
	tap_ok(now_ns() >= before + 2 * MS, "which is not early");
	destroy(context);
}

/* --- races: it fires while it is revoked or destroyed, while a watcher is killed, and while they come and go ---------------------- */

static volatile bool over;

static uint64_t spins(void *argument)
{
	(void)argument;
	while (!over)
		;
	return 0;
}

static bool ended_well(const struct watcher *watcher, bool is_observer, bool destroyed)
{
	if (destroyed)
		return IS(watcher->end, REVOKED);
	return watcher->end.status == CAPOS_STATUS_OK &&
	       watcher->end.iresult == (is_observer ? CAPOS_CONTEXT_STALE_GENERATION : CAPOS_CONTEXT_WAS_REVOKED);
}

/* The last watcher has a capability of its own; one may be killed. */
static bool race(struct rng *rng, bool destroyed)
{
	capos_handle context = context_made(spec_of(20000, 200000 + rng_below(rng, 200000))), observer = 0;
	struct thread spinner, thread[WATCHERS];
	bool good = true, kills = rng_below(rng, 2) != 0;
	uint64_t code = 0;

	insist(cap_table_derive(known.caps, context, CAPOS_RIGHT_READ, 0, &observer));
	over = false;
	insist(thread_start(&spinner, spins, NULL));
	for (unsigned i = 0; i < WATCHERS; i++) {
		watchers[i] = (struct watcher){ .context = i == WATCHERS - 1 ? observer : context };
		insist(thread_start(&thread[i], watches, &watchers[i]));
	}
	must(scheduling_context_bind_thread(context, spinner.handle));
	(void)sleep_ns(rng_below(rng, 1000000));
	if (kills)
		must(thread_terminate(thread[0].handle));
	if (destroyed)
		must(cap_table_destroy(known.caps, context));
	else
		must(scheduling_context_revoke(context));
	over = true;
	for (unsigned i = 0; i < WATCHERS; i++) {
		must(thread_finish(&thread[i], CAPOS_NEVER, &code));
		if (i == 0 && kills)
			continue;
		good = good && code == 0 && ended_well(&watchers[i], i == WATCHERS - 1, destroyed);
	}
	must(thread_finish(&spinner, CAPOS_NEVER, NULL));
	drop(observer);
	destroyed ? drop(context) : destroy(context);
	return good;
}

static void races(void)
{
	struct rng rng;
	bool good = true;

	rng_seed(&rng, now_ns());
	for (unsigned i = 0; good && i < 24; i++)
		good = race(&rng, i % 2 != 0);
	tap_ok(good,
	       "notifications while it is revoked, destroyed, while watchers are killed: every wait ends, by its name");
}

void test_notify(void)
{
	coalesces();
	deadline();
	revoked();
	donated();
	several();
	races();
}
