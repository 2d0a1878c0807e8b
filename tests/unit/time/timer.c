/* SPDX-License-Identifier: MIT */
/* LINK: kernel/sched/ kernel/time/timer.c kernel/task/wait.c kernel/task/waitlist.c kernel/cap/errors.c */
/* Timers, and the waiters that use them: TI1, order, bounds, claims. */
#include "tests/unit/sched/fakes.h"

#define TIMERS 40u

static struct timer timers[TIMERS];
static unsigned fired[TIMERS], fired_count;

static int fresh(void **state)
{
	memset(timers, 0, sizeof(timers));
	fired_count = 0;
	return setup(state);
}

static int verify(void **state)
{
	for (u32 i = 0; i < CPUS; i++)
		timer_verify(on(i));
	return teardown(state);
}

static void note(struct cpu *cpu, struct timer *timer)
{
	assert_ptr_equal(cpu, sim_cpu_record);
	assert_null(atomic_load_relaxed(&timer->cpu));
	fired[fired_count++] = (unsigned)(timer - timers);
}

static void start(u32 cpu, u32 i, u64 in_ns)
{
	timer_start(on(cpu), &timers[i], (struct instant){ now_ns + in_ns }, note);
}

static void order_and_ties(void **state)
{
	(void)state;
	start(0, 0, 300);
	start(0, 1, 100);
	start(0, 2, 300);
	start(0, 3, 200);
	assert_int_equal(timer_next(cpus[0]).ns, now_ns + 100);
	assert_int_equal(armed_at[0], now_ns + 100);
	now_ns += 99;
	timer_run_due(cpus[0], mach_clock());
	assert_int_equal(fired_count, 0); /* not before the deadline */
	now_ns += 1000;
	timer_run_due(cpus[0], mach_clock());
	assert_int_equal(fired_count, 4);
	assert_int_equal(fired[0], 1);
	assert_int_equal(fired[1], 3);
	assert_int_equal(fired[2], 0); /* ties: as they were started */
	assert_int_equal(fired[3], 2);
	assert_int_equal(timer_next(cpus[0]).ns, INSTANT_NEVER.ns);
}

static void cancel_from_any_cpu(void **state)
{
	(void)state;
	start(0, 0, 100);
	start(0, 1, 200);
	on(1);
	assert_true(timer_cancel(&timers[0]));
	assert_false(timer_cancel(&timers[0]));
	assert_int_equal(timer_next(cpus[0]).ns, now_ns + 200); /* TI1 */
	on(0);
	now_ns += 300;
	timer_run_due(cpus[0], mach_clock());
	assert_int_equal(fired_count, 1);
	assert_false(timer_cancel(&timers[1]));
	start(1, 0, 5); /* and it can be started again, elsewhere */
	assert_ptr_equal(atomic_load_relaxed(&timers[0].cpu), cpus[1]);
}

static void other(struct cpu *cpu, struct timer *timer)
{
	(void)cpu, (void)timer;
	fail();
}

/* Only the first one is taken, when it is due, and of that kind; it does not run. */
static void first_is_taken(void **state)
{
	struct cpu *cpu = on(0);

	(void)state;
	start(0, 0, 200);
	start(0, 1, 100);
	assert_null(timer_take_due(cpu, mach_clock(), note));
	now_ns += 200;
	assert_null(timer_take_due(cpu, mach_clock(), other));
	assert_ptr_equal(timer_take_due(cpu, mach_clock(), note), &timers[1]);
	assert_false(timer_is_queued(&timers[1]));
	assert_int_equal(timer_next(cpu).ns, timers[0].deadline_ns);
	assert_ptr_equal(timer_take_due(cpu, mach_clock(), note), &timers[0]);
	assert_null(timer_take_due(cpu, mach_clock(), note));
	assert_int_equal(timer_next(cpu).ns, INSTANT_NEVER.ns);
	assert_int_equal(fired_count, 0);
}

static void sixteen_at_a_time(void **state)
{
	(void)state;
	for (u32 i = 0; i < TIMERS; i++)
		start(0, i, 100 + i);
	now_ns += 1000;
	armed_at[0] = INSTANT_NEVER.ns;
	for (unsigned round = 1; fired_count < TIMERS; round++) {
		(void)sched_irq(cpus[0], IRQ_TIMER, (struct instant){ now_ns });
		assert_int_equal(fired_count, MIN(16 * round, TIMERS));
		/* The rest is armed for now (SC5). */
		assert_true(fired_count == TIMERS || armed_at[0] <= now_ns);
	}
	assert_int_equal(fired[TIMERS - 1], TIMERS - 1);
}

static void started_twice_is_found(void **state)
{
	(void)state;
	start(0, 0, 100);
	assert_true(PANICS(start(0, 0, 200)));
	spin_unlock(&cpus[0]->timers.lock);
}

/* --- waiters ------------------------------------------------------------------------------------------------------------- */

/* A thread that runs on CPU 0. */
static struct thread *running(void)
{
	struct thread *thread = thread_new(false);

	thread_ready(on(0), thread);
	assert_ptr_equal(exits(0), thread);
	return thread;
}

static void one_claim_per_wait(void **state)
{
	struct thread *thread = running();

	(void)state;
	assert_false(waiter_claim(&thread->wait));
	blocks(thread, CAPOS_WAIT_SLEEP, INSTANT_NEVER);
	assert_null(cpus[0]->current);
	assert_true(waiter_is_armed(&thread->wait));
	assert_true(waiter_claim(&thread->wait));
	assert_false(waiter_claim(&thread->wait));
	assert_false(waiter_end(cpus[0], &thread->wait, STATUS(CANCELLED)));
	waiter_finish(cpus[0], &thread->wait, STATUS(OK), (const u64[]){ 7, 8 }, 2);
	assert_int_equal(thread->mach.frame.word[1], 8);
	assert_ptr_equal(exits(0), thread);
}

static void a_deadline_ends_the_wait(void **state)
{
	struct thread *thread = running();

	(void)state;
	blocks(thread, CAPOS_WAIT_JOIN, (struct instant){ now_ns + 5 * MS });
	assert_null(exits(0));
	assert_int_equal(armed_at[0], now_ns + 5 * MS);
	assert_ptr_equal(fires(0), thread);
	assert_int_equal(thread->mach.frame.call, STATUS(TIMED_OUT));
	blocks(thread, CAPOS_WAIT_SLEEP, (struct instant){ now_ns + 5 * MS });
	assert_null(exits(0));
	assert_ptr_equal(fires(0), thread);
	assert_int_equal(thread->mach.frame.call, STATUS(OK)); /* a sleep ends well */
}

/* The deadline of a wait that is over is taken off the queue with it. */
static void an_event_cancels_the_deadline(void **state)
{
	struct thread *thread = running();

	(void)state;
	blocks(thread, CAPOS_WAIT_JOIN, (struct instant){ now_ns + 5 * MS });
	assert_true(wakes(0, thread));
	assert_null(atomic_load_relaxed(&thread->wait.timer.cpu));
	assert_ptr_equal(exits(0), thread);
}

/* It was removed from the queue, on its way to its callback, when the event came; then the thread waits again. */
static void a_late_deadline_does_not_end_the_next_wait(void **state)
{
	struct thread *thread = running();
	struct timer *timer = &thread->wait.timer;
	timer_fn late;

	(void)state;
	blocks(thread, CAPOS_WAIT_JOIN, (struct instant){ now_ns + 5 * MS });
	late = timer->fn;
	now_ns += 6 * MS;
	assert_true(timer_cancel(timer)); /* CPU 1 took it out ... */
	assert_true(wakes(0, thread));
	assert_ptr_equal(exits(0), thread);
	late(on(1), timer); /* ... and is late: the thread runs */
	assert_false(waiter_is_armed(&thread->wait));
	on(0);
	blocks(thread, CAPOS_WAIT_JOIN, (struct instant){ now_ns + 5 * MS });
	late(on(1), timer); /* it waits again, with a later deadline */
	assert_true(waiter_is_armed(&thread->wait));
	on(0);
	assert_true(wakes(0, thread));
	assert_ptr_equal(exits(0), thread);
	blocks(thread, CAPOS_WAIT_JOIN, INSTANT_NEVER);
	late(on(1), timer); /* ... or without one */
	assert_true(waiter_is_armed(&thread->wait));
	assert_true(wakes(0, thread));
	assert_ptr_equal(exits(0), thread);
}

static void a_kill_leaves_the_kernels_own_waits(void **state)
{
	struct thread *thread = running();

	(void)state;
	atomic_fetch_or(&thread->attention, ATTENTION_OPERATION);
	blocks(thread, CAPOS_WAIT_KERNEL, INSTANT_NEVER);
	assert_false(waiter_kill(cpus[0], &thread->wait));
	assert_true(waiter_is_armed(&thread->wait));
	/* The mark came before the arm: nor does the look at the end of the entry end it. */
	atomic_fetch_or(&thread->attention, ATTENTION_KILL);
	assert_null(exits(0));
	assert_true(waiter_is_armed(&thread->wait));
	assert_true(wakes(0, thread));
	assert_null(exits(0)); /* the operation to its end, then it dies */
	assert_int_equal(operations, 1);
	assert_int_equal(deaths, 1);
}

/* Both orders of kill and arm end the wait (WA1, TH2). */
static void a_kill_ends_others(void **state)
{
	struct thread *thread = running(), *second;

	(void)state;
	atomic_fetch_or(&thread->attention, ATTENTION_KILL);
	assert_false(waiter_kill(cpus[0], &thread->wait));
	blocks(thread, CAPOS_WAIT_JOIN, INSTANT_NEVER);
	assert_null(exits(0));
	assert_int_equal(deaths, 1);
	assert_int_equal(thread->mach.frame.call, STATUS(CANCELLED));
	second = running();
	blocks(second, CAPOS_WAIT_JOIN, INSTANT_NEVER);
	assert_null(exits(0));
	atomic_fetch_or(&second->attention, ATTENTION_KILL);
	assert_true(waiter_kill(on(0), &second->wait));
	assert_null(exits(0));
	assert_int_equal(deaths, 2);
}

#define TIMER_TEST(name) cmocka_unit_test_setup_teardown(name, fresh, verify)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TIMER_TEST(order_and_ties),
		TIMER_TEST(cancel_from_any_cpu),
		TIMER_TEST(first_is_taken),
		TIMER_TEST(sixteen_at_a_time),
		TIMER_TEST(started_twice_is_found),
		TIMER_TEST(one_claim_per_wait),
		TIMER_TEST(a_deadline_ends_the_wait),
		TIMER_TEST(an_event_cancels_the_deadline),
		TIMER_TEST(a_late_deadline_does_not_end_the_next_wait),
		TIMER_TEST(a_kill_leaves_the_kernels_own_waits),
		TIMER_TEST(a_kill_ends_others),
	};
	fakes_used();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
