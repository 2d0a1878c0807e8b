/* SPDX-License-Identifier: MIT */
/* LINK: kernel/sched/ kernel/time/timer.c kernel/task/wait.c kernel/task/waitlist.c kernel/cap/errors.c */
/* Idle stealing: from whom, whom, with what, and that nobody is waited for (ST1, ST2). CPU 0 is the thief; 0 and 1 share a cache. */
/* Before the fakes, whose names it has for parameters. */
#include "kernel/sched/sched_priv.h"

#define CPUS 8u
#include "tests/unit/sched/fakes.h"

/* Waits in the queue of CPU `id`, and may run anywhere. */
static struct thread *waits_on(u32 id)
{
	struct thread *thread = thread_new(false);

	thread->own->set = thread->own->affinity = affinity_of_cpu(id);
	thread_ready(on(id), thread);
	thread->own->set = thread->own->affinity = AFFINITY_ANY;
	return thread;
}

/* CPU `id` runs one that stays, so that those who wait there have a mean. */
static struct thread *runs_on(u32 id)
{
	struct thread *thread = waits_on(id);

	thread->own->set = thread->own->affinity = affinity_of_cpu(id);
	assert_ptr_equal(exits(id), thread);
	return thread;
}

static void serve(u32 id, u64 ns)
{
	runq_charge(&cpus[id]->runq, cpus[id]->current_entity, ns);
}

/* Who is stolen by CPU 0; NULL: nobody. It is put away. */
static struct entity *stolen(void)
{
	struct entity *entity = steal(on(0));

	if (entity != NULL)
		owner_change(entity, OWNER_HANDOFF, OWNER_NONE);
	return entity;
}

static void nobody_waits(void **state)
{
	(void)state;
	assert_null(stolen());
	(void)runs_on(1);
	assert_null(stolen()); /* who runs is not taken */
}

/* Of several queues the one whose first is most overdue, wherever it is. */
static void the_most_overdue_is_taken(void **state)
{
	struct thread *waiting[4];

	(void)state;
	for (u32 i = 1; i < 4; i++) {
		(void)runs_on(i);
		waiting[i] = waits_on(i);
	}
	serve(1, 10 * MS);
	serve(2, 30 * MS);
	serve(3, 20 * MS);
	assert_ptr_equal(stolen(), waiting[2]->own);
	assert_ptr_equal(stolen(), waiting[3]->own);
	assert_ptr_equal(stolen(), waiting[1]->own);
	assert_null(stolen());
}

/* Overdue by service of its own, not by virtual time, in which a light one is always far behind. */
static void overdue_is_counted_as_service(void **state)
{
	const struct sched_params light = { .weight = 16, .latency_class = CAPOS_LATENCY_NORMAL };
	struct thread *waiting[3];

	(void)state;
	(void)runs_on(1);
	waiting[1] = waits_on(1);
	sched_set_params(on(1), waiting[1], &light);
	(void)runs_on(2);
	waiting[2] = waits_on(2);
	serve(1, 40 * MS);
	serve(2, 30 * MS);
	assert_ptr_equal(stolen(), waiting[2]->own);
	assert_ptr_equal(stolen(), waiting[1]->own);
}

/* The first four queues, nearest first, in which somebody waits. */
static void four_are_compared(void **state)
{
	struct thread *waiting[8];

	(void)state;
	for (u32 i = 1; i < 8; i++) {
		(void)runs_on(i);
		waiting[i] = waits_on(i);
		serve(i, i * 10 * MS);
	}
	assert_ptr_equal(stolen(), waiting[4]->own);
	assert_ptr_equal(stolen(), waiting[5]->own);
}

/* CPU `id` has its queue's lock. */
static void hold(u32 id, bool held)
{
	on(id);
	if (held)
		spin_lock(&cpus[id]->runq.lock);
	else
		spin_unlock(&cpus[id]->runq.lock);
}

/* A queue whose lock is taken is passed over (ST1). */
static void nobody_is_waited_for(void **state)
{
	struct thread *near, *far;

	(void)state;
	near = waits_on(1);
	hold(1, true);
	assert_null(stolen());
	hold(1, false);
	far = waits_on(5);
	hold(1, true);
	assert_ptr_equal(stolen(), far->own);
	hold(1, false);
	assert_ptr_equal(stolen(), near->own);
}

/* Who told of work is looked at first, though another one's is more overdue. */
static void who_told_is_looked_at_first(void **state)
{
	struct thread *told, *overdue;

	(void)state;
	(void)runs_on(1);
	overdue = waits_on(1);
	serve(1, 50 * MS);
	told = waits_on(6);
	place_set_idle(cpus[0]);
	steal_tell(on(6));
	assert_ptr_equal(stolen(), told->own);
	assert_ptr_equal(stolen(), overdue->own);
}

/* Of the first few the first that may run here; a queue where none may is not a victim. */
static void affinity_is_kept(void **state)
{
	struct thread *bound = waits_on(1), *second = waits_on(1), *far;

	(void)state;
	bound->own->set = bound->own->affinity = affinity_of_cpu(1);
	assert_ptr_equal(stolen(), second->own);
	far = waits_on(4);
	assert_ptr_equal(stolen(), far->own);
	assert_null(stolen());
	assert_int_equal(owner_of(bound->own), OWNER_QUEUE);
}

/* What is in the inbox waits too. */
static void inboxes_are_emptied(void **state)
{
	struct thread *thread = thread_new(false);

	(void)state;
	thread->own->set = thread->own->affinity = affinity_of_cpu(3);
	thread_ready(on(0), thread);
	assert_int_equal(owner_of(thread->own), OWNER_INBOX);
	thread->own->set = thread->own->affinity = AFFINITY_ANY;
	assert_ptr_equal(stolen(), thread->own);
}

/* The rest of the request goes along, and what it received stays. */
static void the_request_goes_along(void **state)
{
	struct thread *thread = waits_on(1), *other;
	struct entity *entity = thread->own;
	u64 left, received;

	(void)state;
	assert_ptr_equal(exits(1), thread);
	other = waits_on(1);
	serve(1, 1 * MS);
	left = request_left_ns(entity);
	assert_int_equal(left, 3 * MS);
	/* It gives way in the middle of its request. */
	spin_lock(&cpus[1]->runq.lock);
	runq_no_current(&cpus[1]->runq);
	cpus[1]->current = NULL;
	cpus[1]->current_entity = NULL;
	owner_change(entity, OWNER_CURRENT, OWNER_QUEUE);
	runq_requeue(&cpus[1]->runq, entity);
	spin_unlock(&cpus[1]->runq.lock);
	other->own->set = other->own->affinity = affinity_of_cpu(1);
	received = entity_received(entity);
	assert_ptr_equal(stolen(), entity);
	assert_int_equal(request_left_ns(entity), left);
	assert_int_equal(entity_received(entity), received);
	assert_int_equal(thread->account.migrations[CAPOS_MIGRATION_STEAL], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nobody_waits),	 TEST(the_most_overdue_is_taken), TEST(overdue_is_counted_as_service),
		TEST(four_are_compared), TEST(nobody_is_waited_for),	  TEST(who_told_is_looked_at_first),
		TEST(affinity_is_kept),	 TEST(inboxes_are_emptied),	  TEST(the_request_goes_along),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
