/* SPDX-License-Identifier: MIT */
/* LINK: kernel/sched/ kernel/time/timer.c kernel/task/wait.c kernel/task/waitlist.c kernel/cap/errors.c */
/* Who has a context: bound, unbound, lent, taken from afar, moved along an ended call: SX1 to SX5. */
#include "tests/unit/sched/fakes_context.h"

/* What was used before the bind is not charged; one context a thread, one thread a context. */
static void bound_late(void **state)
{
	struct thread *thread = running_on(0), *other = thread_new(false);
	struct context *context = context_new(5 * MS, 50 * MS), *second = context_new(5 * MS, 50 * MS);

	(void)state;
	now_ns += 4 * MS;
	assert_int_equal(binds_on(0, context, thread), CAPOS_STATUS_OK);
	assert_int_equal(binds_on(0, context, other), IRESULT(CAPOS_CONTEXT_ALREADY_BOUND));
	assert_int_equal(binds_on(0, second, thread), IRESULT(CAPOS_CONTEXT_THREAD_HAS_ONE));
	(void)exits(0);
	assert_int_equal(refills_available_ns(&context->refills, now_ns), 5 * MS);
	now_ns += 1 * MS;
	(void)interrupted(0, 0);
	assert_int_equal(refills_available_ns(&context->refills, now_ns), 4 * MS);
	context_unbind(on(0), context);
	(void)exits(0);
	now_ns += 7 * MS;
	(void)interrupted(0, 0);
	assert_int_equal(refills_available_ns(&context->refills, now_ns), 4 * MS);
	assert_int_equal(cpus[0]->budget_end_ns, INSTANT_NEVER.ns);
	/* Bound again: nothing was minted. */
	assert_int_equal(binds_on(0, context, thread), CAPOS_STATUS_OK);
	(void)exits(0);
	assert_int_equal(refills_available_ns(&context->refills, now_ns), 4 * MS);
}

/* Unbound while it waits: it goes on, unbounded; on whatever CPU that was said. */
static void unbound(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS);
	struct thread *thread = throttled(context);

	(void)state;
	context_unbind(on(0), context);
	assert_ptr_equal(exits(0), thread);
	assert_null(atomic_load_relaxed(&context->timer.cpu));
	runs_until(now_ns + 20 * MS);
	assert_int_equal(runtime(thread), 25 * MS - 1000);
	assert_int_equal(context->throttles, 1);
}

/* Bound by another CPU while it runs: its CPU is asked to look, and arms. */
static void bound_from_afar(void **state)
{
	struct thread *thread = running_on(0);
	struct context *context = context_new(5 * MS, 50 * MS);

	(void)state;
	assert_int_equal(binds_on(1, context, thread), CAPOS_STATUS_OK);
	assert_int_equal(ipis[0], 1);
	assert_ptr_equal(interrupted(0, IRQ_IPI), thread);
	assert_int_equal(armed_at[0], now_ns + 5 * MS - CONTEXT_LEAD_NS);
	runs_until(now_ns + 50 * MS);
	assert_in_range(runtime(thread), 5 * MS - 2000, 5 * MS);
}

/* Lent along a call: what the server runs is charged; used up, the server waits; when the call ends otherwise the caller has the
 * budget back, and waits for it, while the server goes on. */
static void lent(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS);
	struct thread *server = thread_new(true), *caller;
	struct entity *entity;

	(void)state;
	thread_ready(on(0), server);
	assert_ptr_equal(exits(0), server);
	blocks(server, CAPOS_WAIT_RECV, INSTANT_NEVER);
	cpus[0]->armed_waiter = NULL;
	sched_drop_entity(server);
	caller = running_on(0);
	binds(context, caller);
	entity = caller->own;
	now_ns += 1 * MS;
	assert_true(waiter_claim(&server->wait));
	waiter_deliver(cpus[0], &server->wait, STATUS(OK), NULL, 0);
	assert_int_equal(sched_lend_reserve(caller), CAPOS_STATUS_OK);
	sched_lend(cpus[0], caller, server);
	waiter_arm(cpus[0], &caller->wait, CAPOS_WAIT_REPLY, &no_queue, INSTANT_NEVER);
	assert_ptr_equal(exits(0), server);
	runs_until(now_ns + 10 * MS);
	assert_int_equal(owner_of(entity), OWNER_THROTTLED);
	assert_in_range(runtime(server), 4 * MS - 2000, 4 * MS);
	/* The call is cancelled. */
	assert_true(wakes(0, caller));
	(void)exits(0);
	assert_ptr_equal(context->entity, caller->own);
	assert_ptr_not_equal(caller->own, entity);
	runs_until(now_ns + 20 * MS);
	assert_int_equal(owner_of(caller->own), OWNER_THROTTLED);
	assert_true(runtime(server) > 20 * MS);
	assert_int_equal(runtime(caller), 1 * MS);
	/* The server ends what it does, and both go their ways. */
	sched_detach_current(on(0));
	sched_drop_entity(server);
	runs_until(now_ns + 50 * MS);
	assert_in_range(runtime(caller), 6 * MS - 4000, 6 * MS);
}

/* Its server receives again without a reply: nobody runs on it until its owner does, and nobody is named; that one may be gone by then. */
static void dropped(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS);
	struct thread *caller, *server = lends(context, &caller);
	struct entity *lent = caller->own;
	struct capos_context_info info;

	(void)state;
	context_fill_info(on(0), context, &info);
	assert_int_equal(info.holder_id, server->object.id);
	assert_int_equal(info.donated, 1);
	gives_up(server);
	assert_null(lent->thread);
	context_fill_info(on(0), context, &info);
	assert_int_equal(info.thread_id, caller->object.id);
	assert_int_equal(info.holder_id, 0);
	assert_int_equal(info.donated, 0);
	assert_true(wakes(0, caller));
	assert_ptr_equal(exits(0), caller);
	assert_ptr_equal(caller->entity, lent);
	context_fill_info(on(0), context, &info);
	assert_int_equal(info.holder_id, caller->object.id);
}

/* Taken from an entity that runs on another CPU: what it ran until then is charged, once; what it runs after, not (SX5). By a call that
 * ends, by unbind, by a bind to another one. */
static void taken_from_afar(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS), *more = context_new(5 * MS, 50 * MS);
	struct thread *caller, *server = lends(context, &caller), *other = running_on(1);
	struct entity *lent = caller->own;

	(void)state;
	now_ns += 1 * MS;
	(void)interrupted(0, 0); /* charged up to here */
	now_ns += 2 * MS;
	assert_true(waiter_end(on(1), &caller->wait, STATUS(PEER_GONE)));
	assert_ptr_equal(context->entity, caller->own);
	assert_ptr_not_equal(caller->own, lent);
	assert_null(atomic_load_relaxed(&lent->context));
	assert_int_equal(left(context), 2 * MS);
	assert_int_equal(context->used_ns, 3 * MS);
	now_ns += 1 * MS;
	(void)interrupted(0, IRQ_IPI);
	assert_int_equal(left(context), 2 * MS);
	assert_int_equal(context->used_ns, 3 * MS);
	assert_int_equal(runtime(server), 4 * MS);
	/* Unbind and bind again, every 2 ms: no nanosecond of the other one is free. */
	assert_int_equal(binds_on(0, more, other), CAPOS_STATUS_OK);
	(void)interrupted(1, IRQ_IPI);
	for (unsigned i = 0; i < 2; i++) {
		now_ns += 2 * MS;
		assert_true(context_unbind(on(0), more));
		assert_int_equal(binds_on(0, more, other), CAPOS_STATUS_OK);
	}
	assert_int_equal(left(more), 1 * MS);
	assert_int_equal(more->used_ns, 4 * MS);
	gives_up(server);
}

/* The call ends otherwise: the job that began with it does too, and that of who goes on begins then. */
static void taken_job(void **state)
{
	struct context *context = context_new(20 * MS, 50 * MS);
	struct thread *caller, *server;
	u64 begin;

	(void)state;
	context->spec.deadline_ns = 8 * MS;
	server = lends(context, &caller);
	now_ns += 3 * MS;
	assert_true(waiter_end(on(0), &caller->wait, STATUS(PEER_GONE)));
	begin = now_ns;
	(void)exits(0);
	runs_until(begin + 20 * MS);
	assert_int_equal(context->cell.deadline.sequence, 1);
	assert_int_equal(context->cell.deadline.at_ns, begin + 8 * MS);
	gives_up(server);
}

/* More for a server that has used up its caller's budget: another context, bound to the caller, goes to where its entity is. */
static void helped_with_more(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS), *more = context_new(7 * MS, 50 * MS);
	struct thread *caller, *server = lends(context, &caller);
	struct entity *lent = caller->own;

	(void)state;
	runs_until(now_ns + 20 * MS);
	assert_int_equal(owner_of(lent), OWNER_THROTTLED);
	assert_in_range(runtime(server), 5 * MS - 1000, 5 * MS);
	assert_int_equal(context->cell.depletion.holder_id, server->object.id);
	assert_int_equal(context->cell.depletion.donated, 1);
	assert_true(context_unbind(on(0), context));
	assert_int_equal(binds_on(0, more, caller), CAPOS_STATUS_OK);
	assert_ptr_equal(more->entity, lent);
	assert_ptr_equal(exits(0), server);
	runs_until(now_ns + 20 * MS);
	assert_int_equal(owner_of(lent), OWNER_THROTTLED);
	assert_in_range(runtime(server), 12 * MS - 2000, 12 * MS);
}

/* Who looks at, unbinds, ends his own context, or ends himself: charged up to that instant. */
static void charged_by_itself(void **state)
{
	struct context *context = context_new(50 * MS, 50 * MS);
	struct thread *thread = running_on(0);

	(void)state;
	binds(context, thread);
	assert_int_equal(used_later(0, context), 1 * MS);
	now_ns += 1 * MS;
	assert_true(context_unbind(on(0), context));
	assert_int_equal(context->used_ns, 2 * MS);
	(void)exits(0);
	binds(context, thread);
	now_ns += 1 * MS;
	context_thread_gone(on(0), thread);
	assert_int_equal(context->used_ns, 3 * MS);
	assert_null(context->entity);
	(void)exits(0);
	binds(context, thread);
	now_ns += 1 * MS;
	assert_true(context_end(on(0), context, NULL));
	assert_int_equal(context->used_ns, 4 * MS);
	(void)exits(0);
}

/* Another context is bound while the call of the thread ends: not to the entity that is lost, nor beside the first one (LE6). */
static void one_a_thread(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS), *second = context_new(5 * MS, 50 * MS);
	struct thread *caller, *server = lends(context, &caller);

	(void)state;
	assert_int_equal(binds_on(1, second, caller), IRESULT(CAPOS_CONTEXT_THREAD_HAS_ONE));
	assert_true(waiter_end(on(1), &caller->wait, STATUS(PEER_GONE)));
	assert_int_equal(binds_on(1, second, caller), IRESULT(CAPOS_CONTEXT_THREAD_HAS_ONE));
	assert_true(context_unbind(on(1), context));
	assert_int_equal(binds_on(1, second, caller), CAPOS_STATUS_OK);
	assert_ptr_equal(second->entity, caller->own);
	assert_null(atomic_load_relaxed(&server->entity->context));
	gives_up(server);
}

/* Unbound and bound again by another CPU between the end of the budget and the timer's shot: the shot is not the new binding's. */
static void rebound(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS);
	struct thread *thread = throttled(context);

	(void)state;
	context_unbind(on(1), context);
	assert_int_equal(context_bind(on(1), context, thread), CAPOS_STATUS_OK);
	(void)interrupted(0, IRQ_IPI);
	assert_int_equal(owner_of(thread->own), OWNER_THROTTLED);
	assert_non_null(atomic_load_relaxed(&context->timer.cpu));
	assert_int_equal(context->throttles, 2);
	assert_int_equal(context->cell.depletion.count, 1);
	context->timer.fn(on(0), &context->timer);
	assert_int_equal(owner_of(thread->own), OWNER_THROTTLED);
	assert_true(timer_is_queued(&context->timer));
	runs_until(now_ns + 60 * MS);
	assert_in_range(runtime(thread), 10 * MS - 4000, 10 * MS);
}

/* Bound while it runs off the mask: who asked for that waits until it has left, on whatever CPU; else not. */
static void bound_off_its_mask(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS);
	struct thread *thread = running_on(0);
	struct call call = { .cpu = on(1), .cap.object = &context->object };

	(void)state;
	context->mask = affinity_of_cpu(1);
	thread->own->set = thread->own->affinity = AFFINITY_ANY;
	spinlock_init(&thread->object.lock, RANK_OBJECT, thread->object.id);
	spinlock_init(&thread->ring_lock, RANK_RING, thread->object.id);
	waited_for = NULL;
	assert_int_equal(context_bind_for(&call, thread, NULL), CALL_BLOCKED);
	assert_ptr_equal(waited_for, thread);
	assert_null(interrupted(0, IRQ_IPI));
	assert_true(sched_has_left(thread));
	assert_ptr_equal(interrupted(1, IRQ_IPI), thread);
	assert_true(context_unbind(on(1), context));
	waited_for = NULL;
	assert_int_equal(context_bind_for(&call, thread, NULL), STATUS(OK));
	assert_null(waited_for);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(bound_late),	 TEST(unbound),		TEST(bound_from_afar), TEST(lent),
		TEST(dropped),		 TEST(taken_from_afar), TEST(taken_job),       TEST(helped_with_more),
		TEST(charged_by_itself), TEST(one_a_thread),	TEST(rebound),	       TEST(bound_off_its_mask),
	};

	fakes_used();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
