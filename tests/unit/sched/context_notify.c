/* SPDX-License-Identifier: MIT */
/* LINK: kernel/sched/ kernel/time/timer.c kernel/task/wait.c kernel/task/waitlist.c kernel/cap/errors.c */
/* Notifications of contexts: what the cell says, and who is woken for it. CN1 to CN5. */
#include "tests/unit/sched/fakes_context.h"

/* --- the cell ------------------------------------------------------------------------------------------------------------- */

static struct capos_context_notifications drained(struct context *context)
{
	struct capos_context_notifications out;

	context_drain(context, &out);
	return out;
}

static struct context *with_deadline(u64 budget_ns, u64 period_ns, u64 deadline_ns)
{
	struct context *context = context_new(budget_ns, period_ns);

	context->spec.deadline_ns = deadline_ns;
	return context;
}

/* Ends of budgets coalesce: one record, the last one's, and how many there were. */
static void depletions_coalesce(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS);
	struct capos_context_notifications cell;
	struct thread *thread = running_on(0);
	u64 begin;

	(void)state;
	binds(context, thread);
	begin = now_ns;
	runs_until(begin + 260 * MS);
	cell = drained(context);
	assert_int_equal(cell.sequence, 6);
	assert_int_equal(cell.depletion.sequence, 6);
	assert_int_equal(cell.depletion.count, 6);
	assert_int_equal(cell.depletion.holder_id, thread->object.id);
	assert_int_equal(cell.depletion.donated, 0);
	assert_in_range(cell.depletion.remaining_budget_ns, 0, CONTEXT_LEAD_NS);
	assert_in_range(cell.depletion.at_ns, begin + 255 * MS - 10000, begin + 255 * MS);
	assert_in_range(cell.depletion.next_ns, begin + 300 * MS - 10000, begin + 300 * MS);
	assert_int_equal(cell.deadline.sequence, 0); /* the job of each period ended with its budget */
	assert_int_equal(cell.state, CAPOS_CONTEXT_THROTTLED);
	runs_until(begin + 310 * MS);
	cell = drained(context);
	assert_int_equal(cell.depletion.sequence, 7);
	assert_int_equal(cell.depletion.count, 1);
	assert_int_equal(drained(context).depletion.count, 0);
}

/* A job that runs past its deadline: told when that passes, once. */
static void deadline_while_it_runs(void **state)
{
	struct context *context = with_deadline(5 * MS, 50 * MS, 2 * MS);
	struct capos_context_notifications cell;
	struct thread *thread = running_on(0);
	u64 begin;

	(void)state;
	now_ns += 3 * MS; /* before there was a job */
	binds(context, thread);
	begin = now_ns;
	assert_int_equal(armed_at[0], begin + 2 * MS);
	runs_until(begin + 2 * MS - 1);
	assert_int_equal(drained(context).deadline.sequence, 0);
	assert_ptr_equal(fires(0), thread);
	assert_int_equal(now_ns, begin + 2 * MS);
	cell = drained(context);
	assert_int_equal(cell.deadline.sequence, 1);
	assert_int_equal(cell.deadline.at_ns, begin + 2 * MS);
	assert_int_equal(cell.deadline.holder_id, thread->object.id);
	assert_int_equal(cell.deadline.remaining_budget_ns, 3 * MS);
	assert_int_equal(armed_at[0], begin + 5 * MS - CONTEXT_LEAD_NS);
	runs_until(begin + 49 * MS);
	cell = drained(context);
	assert_int_equal(cell.deadline.sequence, 1);
	assert_int_equal(cell.depletion.sequence, 1);
	runs_until(begin + 60 * MS); /* the next job begins with the refill */
	cell = drained(context);
	assert_int_equal(cell.deadline.sequence, 2);
	assert_int_equal(cell.deadline.count, 1);
	assert_in_range(cell.deadline.at_ns, begin + 52 * MS - 10000, begin + 52 * MS);
}

/* Blocked at the instant of its deadline is in time; one that waited too long in the queue is told when it is dispatched. */
static void deadline_elsewhere(void **state)
{
	struct context *context = with_deadline(45 * MS, 50 * MS, 2 * MS);
	struct capos_context_notifications cell;
	struct thread *thread = running_on(0), *other;
	u64 begin;

	(void)state;
	binds(context, thread);
	now_ns += 2 * MS;
	blocks(thread, CAPOS_WAIT_RECV, INSTANT_NEVER);
	cpus[0]->armed_waiter = NULL;
	assert_null(exits(0));
	assert_int_equal(drained(context).sequence, 0);
	other = running_on(0);
	now_ns += 10 * MS;
	(void)interrupted(0, 0);
	/* Woken while another one runs, which goes on without a look at the queue. */
	begin = now_ns;
	assert_true(wakes(0, thread));
	now_ns += 3 * MS;
	assert_int_equal(drained(context).sequence, 0);
	(void)exits(0);
	while (cpus[0]->current != thread)
		(void)fires(0);
	assert_true(now_ns > begin + 2 * MS);
	assert_int_equal(context->cell.deadline.sequence, 1);
	runs_until(now_ns + 20 * MS);
	assert_true(runtime(thread) > 2 * MS && runtime(other) > 10 * MS);
	cell = drained(context);
	assert_int_equal(cell.deadline.sequence, 1);
	assert_int_equal(cell.deadline.at_ns, begin + 2 * MS);
}

/* --- who waits ----------------------------------------------------------------------------------------------------------- */

static struct grant through, another;

/* A thread that runs on CPU 1 calls wait_notification. */
static u64 watches(struct thread *thread, struct context *context, struct grant *grant, u64 deadline, u64 sequence)
{
	struct call call = {
		.cpu = on(1), .thread = thread, .word = thread->mach.frame.word, .waiter = &thread->wait
	};

	call.cap.object = &context->object;
	call.cap.grant = grant;
	call.word[0] = deadline;
	call.word[1] = sequence;
	assert_ptr_equal(cpus[1]->current, thread);
	return context_watch(context, &call);
}

static struct thread *watcher(struct context *context, struct grant *grant, u64 deadline)
{
	struct thread *thread = running_on(1);

	assert_int_equal(watches(thread, context, grant, deadline, drained(context).sequence), CALL_BLOCKED);
	assert_null(exits(1));
	assert_true(waiter_is_armed(&thread->wait));
	return thread;
}

/* CPU 0 runs until a budget ends there; another thread goes on, so that it does not idle. */
static void depletes(struct context *context)
{
	struct thread *thread = running_on(0);

	(void)running_on(0);
	on(0);
	binds(context, thread);
	while (context->cell.sequence == 0)
		(void)fires(0);
	assert_non_null(cpus[0]->current);
	assert_int_equal(ipis[0], 1);
}

static bool waits(struct thread *thread)
{
	return waiter_is_armed(&thread->wait);
}

/* The end of a budget wakes nobody by itself: the CPU's next interrupt, which it asks itself for, wakes all. */
static void watchers_are_woken(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS);
	struct thread *first = watcher(context, &through, CAPOS_NEVER),
		      *second = watcher(context, &through, CAPOS_NEVER);
	struct thread *late;

	(void)state;
	depletes(context);
	assert_true(waits(first) && waits(second));
	/* Who asks now, and knows of that, waits for the next one. */
	late = running_on(1);
	assert_int_equal(watches(late, context, &through, CAPOS_NEVER, 1), CALL_BLOCKED);
	(void)exits(1);
	(void)interrupted(0, IRQ_IPI);
	assert_false(waits(first) || waits(second));
	assert_true(waits(late));
	assert_int_equal(first->mach.frame.call, STATUS(OK));
	assert_int_equal(first->mach.frame.word[0], 1);
	assert_int_equal(ipis[0], 1);
	while (context->cell.sequence == 1)
		(void)fires(0);
	(void)interrupted(0, IRQ_IPI);
	assert_false(waits(late));
	assert_int_equal(late->mach.frame.word[0], 2);
	/* Nobody watches: nothing more is asked for. */
	runs_until(now_ns + 100 * MS);
	assert_true(context->cell.sequence > 3);
	assert_int_equal(ipis[0], 2);
}

/* What happened before is told at once; deadlines; and how many may wait. */
static void watchers_do_not_wait(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS);
	struct thread *thread;

	(void)state;
	for (unsigned i = 0; i < CAPOS_CONTEXT_WATCHERS_MAX; i++)
		thread = watcher(context, &through, now_ns + 1 * MS);
	thread = running_on(1);
	assert_int_equal(watches(thread, context, &through, CAPOS_NEVER, 0),
			 IRESULT(CAPOS_CONTEXT_TOO_MANY_WATCHERS));
	assert_int_equal(watches(thread, context, &through, CAPOS_NEVER, 7), STATUS(OK));
	assert_int_equal(thread->mach.frame.word[0], 0);
	now_ns += 2 * MS;
	(void)interrupted(1, IRQ_TIMER);
	assert_int_equal(context->watchers.count, 0);
	assert_int_equal(watches(thread, context, &through, 0, 0), STATUS(WOULD_BLOCK));
	assert_int_equal(watches(thread, context, &through, now_ns - 1, 0), STATUS(TIMED_OUT));
}

/* Revoked while they wait, and while a notification is on its way to them: each by its own capability. */
static void watchers_of_a_revoked_one(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS);
	struct thread *owner = watcher(context, &through, CAPOS_NEVER),
		      *observer = watcher(context, &another, CAPOS_NEVER);

	(void)state;
	depletes(context);
	assert_true(context_end(on(2), context, &through));
	assert_int_equal(ipis[2], 0); /* CPU 0 is on its way to them */
	(void)interrupted(0, IRQ_IPI);
	assert_int_equal(owner->mach.frame.call, IRESULT(CAPOS_CONTEXT_WAS_REVOKED));
	assert_int_equal(observer->mach.frame.call, IRESULT(CAPOS_CONTEXT_STALE_GENERATION));
	assert_false(waits(owner) || waits(observer));
	assert_int_equal(watches(running_on(1), context, &through, CAPOS_NEVER, 1),
			 IRESULT(CAPOS_CONTEXT_WAS_REVOKED));
	assert_int_equal(drained(context).depletion.count, 1);
	assert_int_equal(drained(context).depletion.count, 1); /* CN3 */
	assert_int_equal(drained(context).explicit_revoke, 1);
	assert_int_equal(drained(context).state, CAPOS_CONTEXT_REVOKED);
}

/* Ended without a notification: who ends it wakes them. */
static void watchers_of_an_ended_one(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS);
	struct thread *owner = watcher(context, &through, CAPOS_NEVER);

	(void)state;
	assert_true(context_end(on(2), context, NULL));
	assert_true(waits(owner));
	assert_int_equal(ipis[2], 1);
	(void)interrupted(2, IRQ_IPI);
	assert_int_equal(owner->mach.frame.call, IRESULT(CAPOS_CONTEXT_STALE_GENERATION));
	assert_int_equal(drained(context).explicit_revoke, 0);
}

/* Two have something to tell at one CPU: an interrupt for each. */
static void watchers_of_two(void **state)
{
	struct context *first = context_new(5 * MS, 50 * MS), *second = context_new(5 * MS, 50 * MS);
	struct thread *one = watcher(first, &through, CAPOS_NEVER), *other = watcher(second, &through, CAPOS_NEVER);

	(void)state;
	(void)running_on(2);
	assert_true(context_end(on(2), first, NULL));
	assert_true(context_end(on(2), second, NULL));
	for (unsigned waiting = 2; waiting > 0; waiting--) {
		assert_int_equal(waits(one) + waits(other), waiting);
		assert_true(ipis[2] > 0);
		ipis[2] = 0;
		(void)interrupted(2, IRQ_IPI);
	}
	assert_false(waits(one) || waits(other));
	assert_int_equal(ipis[2], 0);
}

/* Killed, or its deadline passes, while the notification is on its way: once. */
static void watcher_gone(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS);
	struct thread *killed = watcher(context, &through, CAPOS_NEVER),
		      *other = watcher(context, &through, CAPOS_NEVER);

	(void)state;
	depletes(context);
	assert_true(waiter_kill(on(1), &killed->wait));
	(void)interrupted(0, IRQ_IPI);
	assert_int_equal(killed->mach.frame.call, STATUS(CANCELLED));
	assert_int_equal(other->mach.frame.call, STATUS(OK));
	assert_int_equal(context->watchers.count, 0);
}

/* The object ends while a CPU is on its way: not before that has looked. */
static void object_ends(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS);
	struct thread *owner = watcher(context, &through, CAPOS_NEVER);

	(void)state;
	depletes(context);
	atomic_store_relaxed(&context->object.state, OBJECT_DYING);
	assert_false(context_watchers_end(on(2), context));
	assert_int_equal(owner->mach.frame.call, STATUS(REVOKED));
	assert_false(context_watchers_end(on(2), context));
	(void)interrupted(0, IRQ_IPI);
	assert_true(context_watchers_end(on(2), context));
	assert_int_equal(watches(running_on(1), context, &through, CAPOS_NEVER, 1), STATUS(REVOKED));
}

/* The object ends: first for who comes now, so that nobody is remembered who does not wait; then its own mark is waited for. */
static void object_ends_first(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS);
	struct thread *owner = watcher(context, &through, CAPOS_NEVER);

	(void)state;
	atomic_store_relaxed(&context->object.state, OBJECT_DYING);
	on(2);
	assert_false(type_scheduling_context.kill_step(&context->object));
	assert_int_equal(owner->mach.frame.call, STATUS(REVOKED));
	assert_int_equal(watches(running_on(1), context, &through, CAPOS_NEVER, 0), STATUS(REVOKED));
	assert_false(context->watched);
	(void)interrupted(2, IRQ_IPI);
	on(2);
	assert_true(type_scheduling_context.kill_step(&context->object));
	assert_null(cpus[2]->marked);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(depletions_coalesce),
		TEST(deadline_while_it_runs),
		TEST(deadline_elsewhere),
		TEST(watchers_are_woken),
		TEST(watchers_do_not_wait),
		TEST(watchers_of_a_revoked_one),
		TEST(watchers_of_an_ended_one),
		TEST(watchers_of_two),
		TEST(watcher_gone),
		TEST(object_ends),
		TEST(object_ends_first),
	};

	fakes_used();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
