/* SPDX-License-Identifier: MIT */
/* LINK: kernel/sched/ kernel/time/timer.c kernel/task/wait.c kernel/task/waitlist.c kernel/cap/errors.c */
/* Lending along calls, chains, and every order in which they end: LE1 to LE5. At the end no entity is lost (teardown). */
#include "tests/unit/sched/fakes.h"

/* LE1 for a thread that can run. */
static void holds_one(struct thread *thread)
{
	assert_non_null(thread->entity);
	assert_ptr_equal(thread->entity->thread, thread);
}

static struct thread *running(void)
{
	struct thread *thread = thread_new(false);

	thread_ready(on(0), thread);
	assert_ptr_equal(exits(0), thread);
	return thread;
}

/* A passive server that waits in receive. */
static struct thread *waiting(void)
{
	struct thread *server = thread_new(true);

	thread_ready(on(0), server);
	assert_ptr_equal(exits(0), server);
	blocks(server, CAPOS_WAIT_RECV, INSTANT_NEVER);
	sched_drop_entity(server);
	cpus[0]->armed_waiter = NULL;
	return server;
}

/* The current thread receives: it replied to nobody. */
static void receives(struct thread *server)
{
	waiter_prepare(on(0), &server->wait);
	if (server->entity != NULL)
		sched_drop_entity(server);
	waiter_arm(cpus[0], &server->wait, CAPOS_WAIT_RECV, &no_queue, INSTANT_NEVER);
	cpus[0]->armed_waiter = NULL;
}

/* The current thread calls a server that waits. */
static void calls(struct thread *caller, struct thread *server)
{
	assert_true(waiter_claim(&server->wait));
	waiter_deliver(cpus[0], &server->wait, STATUS(OK), NULL, 0);
	if (caller->entity == caller->own)
		assert_int_equal(sched_lend_reserve(caller), CAPOS_STATUS_OK);
	sched_lend(cpus[0], caller, server);
	waiter_arm(cpus[0], &caller->wait, CAPOS_WAIT_REPLY, &no_queue, INSTANT_NEVER);
	assert_null(caller->entity);
	assert_ptr_equal(exits(0), server);
	holds_one(server);
}

/* The current server replies and receives. True: the entity went back. */
static bool replies(struct thread *server, struct thread *caller)
{
	assert_true(waiter_claim(&caller->wait));
	waiter_deliver(cpus[0], &caller->wait, STATUS(OK), NULL, 0);
	if (sched_return(cpus[0], server, caller)) {
		waiter_arm(cpus[0], &server->wait, CAPOS_WAIT_RECV, &no_queue, INSTANT_NEVER);
		cpus[0]->armed_waiter = NULL;
		assert_ptr_equal(cpus[0]->current, caller);
		assert_int_equal(server->borrowed_from_id, 0);
		holds_one(caller);
		return true;
	}
	receives(server);
	thread_ready(cpus[0], caller);
	holds_one(caller);
	return false;
}

/* The call ends by a kill, a deadline, a revocation, on CPU `id`. */
static void call_ends(u32 id, struct thread *caller)
{
	assert_true(waiter_end(on(id), &caller->wait, STATUS(PEER_GONE)));
	holds_one(caller);
	on(0);
}

/* The current thread leaves for ever. */
static void dies(struct thread *thread)
{
	assert_ptr_equal(cpus[0]->current, thread);
	sched_detach_current(on(0));
	sched_drop_entity(thread);
	assert_int_equal(owner_of(thread->own), OWNER_NONE);
}

/* All that is left runs to its end. */
static void drain(void)
{
	struct thread *thread;

	for (u32 id = 0; id < CPUS; id++) {
		while ((thread = interrupted(id, IRQ_IPI)) != NULL) {
			holds_one(thread);
			sched_detach_current(on(id));
			sched_drop_entity(thread);
		}
	}
	for (u32 i = 0; i < thread_count; i++)
		assert_int_equal(owner_of(threads[i]->own), OWNER_NONE);
}

static void there_and_back(void **state)
{
	struct thread *server = waiting(), *caller = running();
	struct entity *entity = caller->own;
	u64 switches = cpus[0]->switches, armed = armed_at[0];

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		now_ns += 1000;
		calls(caller, server);
		assert_ptr_equal(server->entity, entity);
		now_ns += 5000;
		assert_true(replies(server, caller));
		assert_ptr_equal(caller->entity, entity);
		assert_ptr_equal(caller->own, entity);
	}
	/* Each is charged for its own time; no queue, no timer. */
	assert_int_equal(caller->account.runtime_ns, 3000);
	assert_int_equal(server->account.runtime_ns, 15000);
	assert_int_equal(cpus[0]->switches, switches);
	assert_int_equal(armed_at[0], armed);
	assert_int_equal(pool_live, 3); /* one spare */
	drain();
}

static void the_servers_cpu_is_the_callers(void **state)
{
	struct thread *server = waiting(), *caller = running();

	(void)state;
	calls(caller, server);
	/* Its entity has to leave, whoever runs on it. */
	assert_false(sched_set_affinity(on(1), caller, affinity_of_cpu(2)));
	assert_null(interrupted(0, IRQ_IPI));
	assert_ptr_equal(interrupted(2, IRQ_IPI), server);
	on(2);
	assert_true(waiter_claim(&caller->wait));
	waiter_deliver(cpus[2], &caller->wait, STATUS(OK), NULL, 0);
	assert_true(sched_return(cpus[2], server, caller));
	waiter_arm(cpus[2], &server->wait, CAPOS_WAIT_RECV, &no_queue, INSTANT_NEVER);
	assert_ptr_equal(exits(2), caller);
	drain();
}

static void a_pinning_stays_with_the_thread(void **state)
{
	struct thread *server = waiting(), *caller = running();

	(void)state;
	calls(caller, server);
	assert_true(sched_set_affinity(on(0), caller, affinity_of_cpu(1)));
	call_ends(0, caller);
	assert_int_equal(caller->own->affinity, affinity_of_cpu(1));
	assert_int_equal(server->entity->affinity, AFFINITY_ANY); /* AF2: nor what the caller asks for later */
	assert_ptr_equal(interrupted(1, IRQ_IPI), caller);
	drain();
}

/* The call ends first, then the server receives; or the other way. */
static void orphan_then_drop_and_drop_then_orphan(void **state)
{
	struct thread *server = waiting(), *caller = running();
	struct entity *lent = caller->own;

	(void)state;
	calls(caller, server);
	call_ends(1, caller);
	assert_ptr_not_equal(caller->own, lent);
	assert_null(caller->spare);
	assert_int_equal(pool_live, 3); /* the server's, the orphan, the former spare */
	receives(server);
	assert_int_equal(pool_live, 2);
	assert_ptr_equal(interrupted(0, IRQ_IPI), caller);

	lent = caller->own;
	calls(caller, server);
	receives(server); /* without a reply */
	assert_int_equal(atomic_load_relaxed(&lent->loan), 0);
	call_ends(0, caller);
	assert_ptr_equal(caller->own, lent);
	assert_ptr_equal(caller->entity, lent);
	assert_ptr_equal(exits(0), caller);
	drain();
}

/* One whose calls are cut off goes on with a spare each time: the debt that the old entity leaves, the next one takes over. */
static void a_cut_off_call_sheds_no_debt(void **state)
{
	struct thread *server = waiting(), *caller = running(), *hog = thread_new(false);
	const struct runq_legacy *legacy = &cpus[0]->runq.legacy;

	(void)state;
	caller->own->set = caller->own->affinity = hog->own->affinity = affinity_of_cpu(0);
	thread_ready(on(0), hog);
	for (unsigned i = 0; i < 2; i++) {
		now_ns += 3000000;
		calls(caller, server);
		call_ends(0, caller);
		assert_true(i == 0 ? caller->own->lag == 0 : caller->own->lag < 0);
		assert_int_equal(legacy->service, 0);
		receives(server);
		assert_true(i == 1 || legacy->service < 0);
		while (exits(0) != caller) {
			now_ns += 4000000;
			(void)interrupted(0, IRQ_TIMER);
		}
	}
	drain();
}

/* Weight and class go along for the call: who keeps the entity after that has those of a new thread, running or queued. */
static void an_orphan_has_no_ones_weight(void **state)
{
	static const struct sched_params heavy = { .weight = 3 * CAPOS_WEIGHT_DEFAULT,
						   .latency_class = CAPOS_LATENCY_INTERACTIVE };

	(void)state;
	for (u32 queued = 0; queued < 2; queued++) {
		struct thread *server = waiting(), *caller = running();

		caller->own->set = caller->own->affinity = affinity_of_cpu(0);
		sched_set_params(on(0), caller, &heavy);
		assert_ptr_equal(exits(0), caller);
		calls(caller, server);
		assert_int_equal(server->entity->weight, heavy.weight);
		if (queued) {
			thread_ready(on(0), thread_new(false));
			sched_yield_current(on(0));
			assert_int_equal(owner_of(server->entity), OWNER_QUEUE);
		}
		call_ends(1, caller);
		if (!queued)
			(void)interrupted(0, IRQ_IPI);
		assert_int_equal(server->entity->weight, CAPOS_WEIGHT_DEFAULT);
		assert_int_equal(server->entity->latency_class, CAPOS_LATENCY_NORMAL);
		assert_int_equal(sched_get_params(caller).weight, heavy.weight);
		assert_int_equal(sched_get_params(caller).latency_class, heavy.latency_class);
		drain();
		assert_int_equal(caller->own->weight, heavy.weight);
	}
}

/* Nor, for who balances the CPUs (balance.c), what it has received. */
static void a_cut_off_call_forgets_no_service(void **state)
{
	struct thread *server = waiting(), *caller = running();
	u64 received;

	(void)state;
	now_ns += 3 * MS;
	assert_ptr_equal(interrupted(0, 0), caller);
	received = caller->own->vruntime - caller->own->shift;
	assert_true(received > 0);
	calls(caller, server);
	call_ends(0, caller);
	assert_true(caller->own->vruntime - caller->own->shift >= received);
	receives(server);
	drain();
}

/* One that neither drops nor replies, but dies. */
static void a_server_dies(void **state)
{
	struct thread *server = waiting(), *caller = running();

	(void)state;
	calls(caller, server);
	call_ends(0, caller); /* peerGone, by the dying server, which goes on on the orphan */
	holds_one(server);
	dies(server);
	assert_int_equal(pool_live, 2);
	assert_ptr_equal(exits(0), caller);
	drain();
}

/* A reply by token after another receive finds nothing to return. */
static void a_late_reply_returns_nothing(void **state)
{
	struct thread *server = waiting(), *first = running(), *second;

	(void)state;
	calls(first, server);
	receives(server);
	assert_null(exits(0));
	second = running();
	calls(second, server);
	assert_true(waiter_claim(&first->wait));
	waiter_deliver(cpus[0], &first->wait, STATUS(OK), NULL, 0);
	assert_false(sched_return(cpus[0], server, first));
	thread_ready(cpus[0], first);
	assert_ptr_equal(first->entity, first->own);
	assert_true(replies(server, second));
	drain();
}

/* --- chains: c -> m -> s ---------------------------------------------------------------------------------------------------- */

static void a_chain_there_and_back(void **state)
{
	struct thread *s = waiting(), *m = waiting(), *c = running();
	struct entity *entity = c->own;

	(void)state;
	calls(c, m);
	calls(m, s);
	assert_ptr_equal(s->entity, entity);
	assert_true(replies(s, m));
	assert_true(replies(m, c));
	assert_ptr_equal(c->entity, entity);
	assert_int_equal(atomic_load_relaxed(&entity->loan), 0);
	drain();
}

/* m's call to s ends otherwise: m goes on with its own entity, and must not give that to c (LE5). */
static void a_middle_server_keeps_its_own(void **state)
{
	struct thread *s = waiting(), *m = waiting(), *c = running();
	struct entity *lent = c->own;

	(void)state;
	calls(c, m);
	calls(m, s);
	call_ends(0, m);
	assert_ptr_equal(m->entity, m->own);
	receives(s); /* drops c's entity: nobody lends it any more */
	assert_ptr_equal(exits(0), m);
	assert_false(replies(m, c));
	assert_ptr_equal(c->entity, lent);
	assert_null(m->entity);
	/* m is called again, and killed in receive: it needs its own. */
	assert_ptr_equal(exits(0), c);
	call_ends(0, m);
	assert_ptr_equal(m->entity, m->own);
	drain();
}

static void a_middle_server_keeps_its_own_while_the_loan_is_out(void **state)
{
	struct thread *s = waiting(), *m = waiting(), *c = running();
	struct entity *lent = c->own;

	(void)state;
	calls(c, m);
	calls(m, s);
	call_ends(1, m); /* runs on another CPU, while s still holds c's entity */
	assert_int_not_equal(owner_of(m->own), OWNER_NONE);
	assert_true(waiter_claim(&c->wait));
	waiter_deliver(on(1), &c->wait, STATUS(OK), NULL, 0);
	thread_ready(cpus[1], c);
	assert_ptr_not_equal(c->own, lent);
	receives(s);
	drain();
	assert_int_equal(pool_live, 3);
}

/* The loans of an entity are counted, there and back, and are 0 again however they end (LE7). */
static void depth_is_counted(void **state)
{
	struct thread *link[CAPOS_DONATION_DEPTH_MAX], *c;
	struct entity *entity;

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(link); i++)
		link[i] = waiting();
	c = running();
	entity = c->own;
	for (u32 i = 0; i < ARRAY_COUNT(link); i++) {
		assert_int_equal(entity->depth, i == 0 ? 0 : i - 1); /* beyond the first one */
		assert_false(sched_is_too_deep(cpus[0]->current));
		calls(i == 0 ? c : link[i - 1], link[i]);
	}
	assert_int_equal(entity->depth, CAPOS_DONATION_DEPTH_MAX - 1);
	assert_true(sched_is_too_deep(cpus[0]->current));
	/* Half way back, and there again; then all the way. */
	for (u32 i = 8; i-- > 0;)
		assert_true(replies(link[8 + i], link[7 + i]));
	assert_int_equal(entity->depth, 7);
	calls(link[7], link[8]);
	assert_int_equal(entity->depth, 8);
	for (u32 i = 9; i-- > 0;)
		assert_true(replies(link[i], i == 0 ? c : link[i - 1]));
	assert_int_equal(entity->depth, 0);
	drain();
}

/* m's call ends otherwise, s gives up what it ran on, m replies with its own: c has its own, and may go as deep as ever. */
static void depth_after_an_end(void **state)
{
	struct thread *s = waiting(), *m = waiting(), *c = running();
	struct entity *entity = c->own;

	(void)state;
	calls(c, m);
	calls(m, s);
	call_ends(0, m);
	assert_int_equal(m->own->depth, 0);
	receives(s);
	assert_ptr_equal(exits(0), m);
	assert_false(replies(m, c));
	assert_ptr_equal(c->entity, entity);
	assert_int_equal(entity->depth, 0);
	/* The same with an orphan: the server's goes on from where it is, the caller's spare begins anew. */
	assert_ptr_equal(exits(0), c);
	calls(c, m);
	calls(m, s);
	call_ends(0, c);
	assert_int_equal(c->own->depth, 0);
	assert_int_equal(s->entity->depth, 1);
	assert_true(replies(s, m));
	assert_int_equal(m->entity->depth, 0);
	receives(m);
	drain();
}

/* Every order in which c's call, m's call and the holder of the entity end. 0: c's call ends; 1: m's call ends; 2: the last one
 * drops the entity. */
static void every_order_of_ends(void **state)
{
	static const unsigned char orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
						    { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	unsigned spares = 0;

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(orders); i++) {
		struct thread *s = waiting(), *m = waiting(), *c = running();

		calls(c, m);
		calls(m, s);
		for (unsigned k = 0; k < 3; k++) {
			if (orders[i][k] == 0)
				call_ends(1, c);
			else if (orders[i][k] == 1)
				call_ends(2, m);
			else
				dies(s);
		}
		drain();
		assert_int_equal(atomic_load_relaxed(&c->own->loan), 0);
		assert_int_equal(atomic_load_relaxed(&m->own->loan), 0);
		spares += c->spare != NULL;
		assert_int_equal(pool_live, thread_count + spares);
	}
}

/* --- a caller in a queue --------------------------------------------------------------------------------------------------------- */

static void a_queued_caller_lends(void **state)
{
	struct thread *server = waiting(), *caller = running();

	(void)state;
	blocks(caller, CAPOS_WAIT_CALL, INSTANT_NEVER);
	assert_null(exits(0));
	assert_non_null(caller->entity);
	assert_true(wakes(0, server));
	assert_ptr_equal(exits(0), server);
	assert_true(sched_lend_blocked(cpus[0], caller->wait.thread, server));
	assert_null(cpus[0]->current);
	assert_null(caller->entity);
	assert_true(sched_handoff(cpus[0], server));
	assert_ptr_equal(exits(0), server);
	assert_int_equal(server->entity->depth, 0);
	assert_true(replies(server, caller));
	assert_ptr_equal(caller->entity, caller->own);
	assert_int_equal(caller->own->depth, 0);
	drain();
}

/* Without memory for the spare nothing is lent, and nothing comes back: not the caller's entity, nor an older one. */
static void no_memory_no_loan(void **state)
{
	struct thread *server = waiting(), *first = running(), *second;

	(void)state;
	calls(first, server);
	call_ends(0, first); /* its entity stays with the server */
	sched_yield_current(on(0));
	assert_ptr_equal(exits(0), first);
	second = first; /* calls again, queued */
	blocks(second, CAPOS_WAIT_CALL, INSTANT_NEVER);
	assert_ptr_equal(exits(0), server);
	pool_empty = true;
	assert_false(sched_lend_blocked(cpus[0], second, server));
	pool_empty = false;
	assert_int_equal(server->borrowed_from_id, 0); /* LE5 */
	assert_ptr_equal(cpus[0]->current, server);
	assert_ptr_equal(second->entity, second->own);
	assert_false(replies(server, second));
	assert_ptr_equal(second->entity, second->own);
	drain();
	assert_int_equal(pool_live, 2);
}

/* Taken by ring, so that it lent nothing, by a server that still runs on what it lent before (LE5). */
static void a_caller_with_an_entity_gets_none(void **state)
{
	struct thread *server = waiting(), *caller = running();

	(void)state;
	calls(caller, server);
	call_ends(0, caller);
	sched_yield_current(on(0));
	assert_ptr_equal(exits(0), caller);
	blocks(caller, CAPOS_WAIT_CALL, INSTANT_NEVER);
	assert_ptr_equal(exits(0), server);
	assert_int_equal(server->borrowed_from_id, caller->object.id);
	assert_false(replies(server, caller));
	drain();
}

/* --- pinned servers: LE8 ----------------------------------------------------------------------------------------------------- */

/* It waits in receive, and asked for one CPU. */
static struct thread *pinned_to(u32 id)
{
	struct thread *server = waiting();

	assert_true(sched_set_affinity(on(0), server, affinity_of_cpu(id)));
	assert_int_equal(server->wait.pinned, id < CPUS);
	return server;
}

/* The current thread of CPU `id` calls it: the entity goes to its CPU. */
static void calls_apart(u32 id, struct thread *caller, struct thread *server)
{
	assert_true(sched_may_lend(caller, server));
	if (caller->entity == caller->own)
		assert_int_equal(sched_lend_reserve(caller), CAPOS_STATUS_OK);
	assert_true(waiter_claim(&server->wait));
	waiter_deliver(on(id), &server->wait, STATUS(OK), NULL, 0);
	sched_lend_apart(cpus[id], caller, server);
	waiter_arm(cpus[id], &caller->wait, CAPOS_WAIT_REPLY, &no_queue, INSTANT_NEVER);
	cpus[id]->armed_waiter = NULL;
	assert_null(caller->entity);
	holds_one(server);
	assert_false(waiter_is_plain(&caller->wait));
}

/* The current server of CPU `id` replies and receives. */
static void replies_apart(u32 id, struct thread *server, struct thread *caller)
{
	assert_true(waiter_claim(&caller->wait));
	waiter_deliver(on(id), &caller->wait, STATUS(OK), NULL, 0);
	assert_false(sched_return(cpus[id], server, caller));
	assert_true(sched_return_apart(cpus[id], server, caller));
	assert_null(server->entity);
	assert_false(server->apart);
	waiter_arm(cpus[id], &server->wait, CAPOS_WAIT_RECV, &no_queue, INSTANT_NEVER);
	cpus[id]->armed_waiter = NULL;
	thread_ready(cpus[id], caller);
	holds_one(caller);
}

static void to_a_pinned_server_and_back(void **state)
{
	struct thread *server = pinned_to(2), *caller = running();
	struct entity *own = caller->own;

	(void)state;
	calls_apart(0, caller, server);
	assert_null(exits(0));
	assert_int_equal(own->affinity, affinity_of_cpu(2));
	assert_ptr_equal(interrupted(2, IRQ_IPI), server);
	/* What the caller asks for meanwhile is for when it has it again. */
	assert_true(sched_set_affinity(on(1), caller, affinity_of_cpu(1)));
	assert_int_equal(own->affinity, affinity_of_cpu(2));
	assert_true(sched_set_affinity(on(1), caller, AFFINITY_ANY));
	replies_apart(2, server, caller);
	assert_int_equal(own->affinity, AFFINITY_ANY);
	assert_true(waiter_is_plain(&caller->wait));
	assert_ptr_equal(interrupted(0, IRQ_IPI), caller); /* where it came from */
	assert_null(exits(2));
	assert_int_equal(atomic_load_relaxed(&own->loan), 0);
	drain();
}

/* A server that asked for two CPUs is called where it began, and its caller is woken where it came from: idle CPUs all. */
static void near_where_they_were(void **state)
{
	struct thread *server = thread_new(true), *caller = thread_new(false);

	(void)state;
	server->own->set = server->own->affinity = affinity_of_cpu(3);
	thread_ready(on(3), server);
	assert_ptr_equal(exits(3), server);
	blocks(server, CAPOS_WAIT_RECV, INSTANT_NEVER);
	sched_drop_entity(server);
	cpus[3]->armed_waiter = NULL;
	assert_null(exits(3));
	assert_true(sched_set_affinity(on(0), server, affinity_of_cpu(2) | affinity_of_cpu(3)));
	thread_ready(on(1), caller);
	assert_ptr_equal(exits(1), caller);
	for (u32 id = 0; id < CPUS; id++)
		assert_ptr_equal(exits(id), id == 1 ? caller : NULL);
	on(1);
	calls_apart(1, caller, server);
	assert_ptr_equal(atomic_load_relaxed(&server->entity->cpu), cpus[3]);
	assert_ptr_equal(interrupted(3, IRQ_IPI), server);
	assert_null(exits(1));
	replies_apart(3, server, caller);
	assert_ptr_equal(atomic_load_relaxed(&caller->entity->cpu), cpus[1]);
	assert_ptr_equal(interrupted(1, IRQ_IPI), caller);
	assert_null(exits(3));
	drain();
}

/* A caller that stays on CPU 0 calls a server that does on CPU 2, and runs there. */
static struct thread *calls_from_cpu_0(struct thread **caller)
{
	struct thread *server = pinned_to(2);

	*caller = running();
	assert_true(sched_set_affinity(on(0), *caller, affinity_of_cpu(0)));
	calls_apart(0, *caller, server);
	assert_null(exits(0));
	assert_ptr_equal(interrupted(2, IRQ_IPI), server);
	return server;
}

/* That server gives up what it runs on without a reply. */
static void gives_up_there(struct thread *server)
{
	on(2);
	sched_detach_current(cpus[2]);
	sched_drop_entity(server);
}

/* The caller's call ends while its entity is there. */
static void an_end_while_it_is_there(void **state)
{
	struct thread *caller, *server = calls_from_cpu_0(&caller);
	struct entity *lent = caller->own;

	(void)state;
	call_ends(1, caller);
	assert_ptr_not_equal(caller->own, lent);
	assert_int_equal(caller->own->affinity, affinity_of_cpu(0));
	assert_int_equal(lent->affinity, affinity_of_cpu(2));
	assert_true(waiter_is_plain(&caller->wait));
	assert_ptr_equal(interrupted(0, IRQ_IPI), caller);
	gives_up_there(server);
	assert_false(server->apart);
	waiter_arm(cpus[2], &server->wait, CAPOS_WAIT_RECV, &no_queue, INSTANT_NEVER);
	cpus[2]->armed_waiter = NULL;
	assert_null(exits(2));
	drain();
}

/* The server gives it up without a reply, then the call ends: the caller may be where it asked to be. */
static void given_up_there(void **state)
{
	struct thread *caller, *server = calls_from_cpu_0(&caller);
	struct entity *lent = caller->own;

	(void)state;
	gives_up_there(server);
	assert_null(exits(2));
	call_ends(1, caller);
	assert_ptr_equal(caller->own, lent);
	assert_int_equal(lent->affinity, affinity_of_cpu(0));
	assert_ptr_equal(interrupted(0, IRQ_IPI), caller);
	drain();
}

/* caller (anywhere) -> middle (CPU 1) -> last (CPU 2), and back. */
static void a_chain_of_pinned_servers(void **state)
{
	struct thread *last = pinned_to(2), *middle = pinned_to(1), *caller = running();
	struct entity *own = caller->own;

	(void)state;
	calls_apart(0, caller, middle);
	assert_null(exits(0));
	assert_ptr_equal(interrupted(1, IRQ_IPI), middle);
	calls_apart(1, middle, last);
	assert_null(exits(1));
	assert_ptr_equal(interrupted(2, IRQ_IPI), last);
	assert_int_equal(own->affinity, affinity_of_cpu(2));
	replies_apart(2, last, middle);
	assert_null(exits(2));
	assert_int_equal(own->affinity, affinity_of_cpu(1));
	assert_ptr_equal(interrupted(1, IRQ_IPI), middle);
	replies_apart(1, middle, caller);
	assert_int_equal(own->affinity, AFFINITY_ANY);
	assert_ptr_equal(interrupted(0, IRQ_IPI), caller);
	assert_null(exits(1));
	assert_int_equal(own->depth, 0);
	drain();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(there_and_back),
		TEST(the_servers_cpu_is_the_callers),
		TEST(a_pinning_stays_with_the_thread),
		TEST(orphan_then_drop_and_drop_then_orphan),
		TEST(an_orphan_has_no_ones_weight),
		TEST(a_server_dies),
		TEST(a_late_reply_returns_nothing),
		TEST(a_chain_there_and_back),
		TEST(a_middle_server_keeps_its_own),
		TEST(a_middle_server_keeps_its_own_while_the_loan_is_out),
		TEST(a_cut_off_call_sheds_no_debt),
		TEST(a_cut_off_call_forgets_no_service),
		TEST(depth_is_counted),
		TEST(depth_after_an_end),
		TEST(every_order_of_ends),
		TEST(a_queued_caller_lends),
		TEST(no_memory_no_loan),
		TEST(a_caller_with_an_entity_gets_none),
		TEST(to_a_pinned_server_and_back),
		TEST(near_where_they_were),
		TEST(an_end_while_it_is_there),
		TEST(given_up_there),
		TEST(a_chain_of_pinned_servers),
	};
	fakes_used();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
