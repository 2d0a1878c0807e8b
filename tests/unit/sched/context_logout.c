/* SPDX-License-Identifier: MIT */
/* LINK: kernel/sched/ kernel/time/timer.c kernel/task/wait.c kernel/task/waitlist.c kernel/cap/errors.c */
/* What a logout does to the contexts of the session's threads: SX7. */
#include "tests/unit/sched/fakes_context.h"

static struct session session;
static struct process inside;
static struct grant grant; /* of any capability */

static struct thread *running_inside(u32 id)
{
	struct thread *thread = thread_new(false);

	atomic_store_relaxed(&session.alive, 1u);
	inside.session = &session;
	thread->process = &inside;
	thread->own->affinity = affinity_of_cpu(id);
	thread_ready(on(id), thread);
	(void)exits(id);
	return thread;
}

static enum context_logout logs_out(struct thread *thread)
{
	atomic_store_relaxed(&session.alive, 0u);
	return context_logout(on(2), &session, thread);
}

/* Bound: ended, once, for all capabilities; its thread goes on without. */
static void marked(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS);
	struct thread *thread = running_inside(0);

	(void)state;
	on(0);
	binds(context, thread);
	runs_until(now_ns + 6 * MS);
	assert_int_equal(owner_of(thread->own), OWNER_THROTTLED);
	assert_int_equal(logs_out(thread), CONTEXT_MARKED_STALE);
	assert_int_equal(logs_out(thread), CONTEXT_NOT_BOUND);
	assert_int_equal(context_check(context, &grant), IRESULT(CAPOS_CONTEXT_STALE_GENERATION));
	assert_ptr_equal(interrupted(0, IRQ_IPI), thread);
	assert_null(atomic_load_relaxed(&thread->own->context));
	assert_null(context->entity);
}

/* By itself: charged up to that instant. */
static void marked_by_itself(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS);
	struct thread *thread = running_inside(0);

	(void)state;
	on(0);
	binds(context, thread);
	now_ns += 1 * MS;
	atomic_store_relaxed(&session.alive, 0u);
	assert_int_equal(context_logout(on(0), &session, thread), CONTEXT_MARKED_STALE);
	assert_int_equal(context->used_ns, 1 * MS);
	assert_ptr_equal(exits(0), thread);
}

/* In an ended session nobody is bound: nothing has changed. */
static void refused(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS);
	struct thread *thread = running_inside(0);

	(void)state;
	assert_int_equal(logs_out(thread), CONTEXT_NOT_BOUND);
	assert_int_equal(context_bind(on(0), context, thread), IRESULT(CAPOS_CONTEXT_SESSION_ENDED));
	assert_null(atomic_load_relaxed(&thread->own->context));
	assert_null(context->entity);
	assert_int_equal(context->thread_id, 0);
	assert_int_equal(context_check(context, &grant), STATUS(OK));
	assert_int_equal(context_bind(on(0), context, running_on(1)), STATUS(OK));
}

/* `caller`, which is bound and current on CPU 0, calls a passive server; the server runs. */
static struct thread *calls(struct thread *caller, struct process *of)
{
	struct thread *server = thread_new(true);

	server->process = of;
	assert_int_equal(sched_lend_reserve(caller), CAPOS_STATUS_OK);
	sched_lend(on(0), caller, server);
	waiter_arm(cpus[0], &caller->wait, CAPOS_WAIT_REPLY, &no_queue, INSTANT_NEVER);
	assert_ptr_equal(exits(0), server);
	return server;
}

static void replies(struct thread *server, struct thread *caller)
{
	assert_true(waiter_claim(&caller->wait));
	waiter_deliver(on(0), &caller->wait, STATUS(OK), NULL, 0);
	assert_true(sched_return(cpus[0], server, caller));
	waiter_arm(cpus[0], &server->wait, CAPOS_WAIT_RECV, &no_queue, INSTANT_NEVER);
	assert_ptr_equal(exits(0), caller);
	server->own->thread = server;
}

static void stays_bound(struct context *context, struct thread *thread, u64 left_ns)
{
	assert_int_equal(context_check(context, &grant), STATUS(OK));
	assert_ptr_equal(context->entity, thread->own);
	(void)interrupted(0, 0);
	assert_int_equal(refills_available_ns(&context->refills, now_ns), left_ns);
}

/* Donated to a receiver of the session: counted there, and comes back with what is left. */
static void receiver(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS);
	struct thread *donor = running_on(0), *server;

	(void)state;
	atomic_store_relaxed(&session.alive, 1u);
	inside.session = &session;
	on(0);
	binds(context, donor);
	now_ns += 1 * MS;
	server = calls(donor, &inside);
	now_ns += 1 * MS;
	assert_int_equal(logs_out(server), CONTEXT_IN_FLIGHT);
	now_ns += 1 * MS;
	replies(server, donor);
	stays_bound(context, donor, 2 * MS);
}

/* Donated by a thread of the session, to another one of it: counted once, at the donor. */
static void donor_and_receiver(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS);
	struct thread *donor = running_inside(0), *server;

	(void)state;
	on(0);
	binds(context, donor);
	now_ns += 1 * MS;
	server = calls(donor, &inside);
	assert_int_equal(logs_out(donor), CONTEXT_IN_FLIGHT);
	assert_int_equal(logs_out(server), CONTEXT_NOT_BOUND);
	replies(server, donor);
	stays_bound(context, donor, 4 * MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(marked), TEST(marked_by_itself), TEST(refused), TEST(receiver), TEST(donor_and_receiver),
	};

	fakes_used();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
