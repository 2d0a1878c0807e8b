/* SPDX-License-Identifier: MIT */
/* LINK: kernel/ipc/ kernel/task/wait.c kernel/sched/lend.c kernel/sched/lock.c kernel/cap/errors.c */
/* Calls, receives and replies of the general path: who runs on whose entity, who is told what, who dies. */
#include "world.h"

static void test_passive_round_trip(void **state)
{
	(void)state;
	server = thread_new(process[1], true);
	recv(server, CAPOS_NEVER);
	assert_null(server->entity);
	for (int i = 0; i < 3; i++) {
		struct entity *entity;

		run(client);
		entity = client->entity;
		call(client, 4, 0); /* the first one makes the spare: general path; then the fast one */
		assert_ptr_equal(cpu->current, server);
		assert_ptr_equal(cpu->current_entity, entity);
		assert_null(client->entity);
		check_received(server, 4);
		assert_ptr_equal(server->serving, &client->wait);
		cpu->armed_waiter = NULL;
		reply(server, true, 0);
		assert_ptr_equal(cpu->current, client);
		assert_ptr_equal(cpu->current_entity, entity);
		assert_null(server->entity);
		check_replied(client);
		cpu->armed_waiter = NULL;
	}
}

static void test_active_round_trip(void **state)
{
	(void)state;
	server = thread_new(process[1], false);
	recv(server, CAPOS_NEVER);
	call(client, 8, 0);
	assert_true(runnable(server) && !runnable(client));
	check_received(server, 8);
	reply(server, true, 0);
	assert_true(runnable(client) && !runnable(server));
	check_replied(client);
	cpu->armed_waiter = NULL;
	/* Queued calls are received at once, in order. */
	call(client, 1, 0);
	assert_true(runnable(server));
	call(client2, 2, 0);
	reply(server, true, 0);
	check_replied(client);
	check_received(server, 2);
	reply(server, false, 0);
	check_replied(client2);
	assert_int_equal(server->mach.frame.call, STATUS(OK));
	reply(server, false, 0);
	assert_int_equal(server->mach.frame.call, STATUS(NOT_SERVING));
}

static void test_caller_killed(void **state)
{
	(void)state;
	server = thread_new(process[1], true);
	recv(server, CAPOS_NEVER);
	call(client, 0, 0);
	cpu->armed_waiter = NULL;
	assert_ptr_equal(cpu->current, server);
	assert_true(waiter_end(cpu, &client->wait, STATUS(CANCELLED)));
	assert_true(runnable(client) && runnable(server));
	assert_ptr_not_equal(client->entity, server->entity);
	assert_null(server->serving);
	reply(server, true, 0);
	assert_int_equal(server->mach.frame.call, STATUS(NOT_SERVING));
	recv(server, CAPOS_NEVER);
	assert_null(server->entity);
	call(client, 3, 0);
	assert_ptr_equal(cpu->current, server);
	check_received(server, 3);
	cpu->armed_waiter = NULL;
	reply(server, true, 0);
	check_replied(client);
}

static void test_server_dies(void **state)
{
	(void)state;
	server = thread_new(process[1], true);
	recv(server, CAPOS_NEVER);
	call(client, 0, 0);
	cpu->armed_waiter = NULL;
	/* One set aside, one being served. */
	recv(server, CAPOS_NEVER);
	cpu->armed_waiter = NULL;
	assert_false(list_is_empty(&server->served));
	call(client2, 0, 0);
	assert_ptr_equal(server->serving, &client2->wait);
	cpu->armed_waiter = NULL;
	finish(server);
	assert_int_equal(client->mach.frame.call, STATUS(PEER_GONE));
	assert_int_equal(client2->mach.frame.call, STATUS(PEER_GONE));
	assert_true(runnable(client) && runnable(client2));
}

/* A passive server that takes queued calls runs on their callers' entities. */
static void test_queued_call_lends(void **state)
{
	struct entity *own, *own2;

	(void)state;
	server = thread_new(process[1], true);
	call(client, 4, 0);
	own = client->own;
	call(client2, 2, 0);
	own2 = client2->own;
	cpu->armed_waiter = NULL;
	recv(server, CAPOS_NEVER);
	check_received(server, 4);
	assert_ptr_equal(server->entity, own);
	assert_null(client->entity);
	assert_true(runnable(server) && !runnable(client));
	assert_int_equal(atomic_load_relaxed(&server->own->owner), OWNER_NONE);
	/* The reply returns it, and the next call lends its own. */
	reply(server, true, 0);
	assert_ptr_equal(cpu->current, client);
	assert_ptr_equal(client->entity, own);
	assert_int_equal(atomic_load_relaxed(&own->loan), 0);
	check_replied(client);
	check_received(server, 2);
	assert_ptr_equal(server->entity, own2);
	assert_null(client2->entity);
	reply(server, true, 0);
	assert_ptr_equal(cpu->current, client2);
	assert_ptr_equal(cpu->current_entity, own2);
	check_replied(client2);
	assert_null(server->entity);
	/* Answered without a receive: the server goes on on that, which is nobody's loan any more (LE5). */
	call(client, 1, 0);
	cpu->armed_waiter = NULL;
	assert_int_equal(server->borrowed_from_id, client->object.id);
	reply(server, false, 0);
	check_replied(client);
	assert_int_equal(server->borrowed_from_id, 0);
	assert_true(runnable(server) && runnable(client));
	recv(server, CAPOS_NEVER);
	assert_null(server->entity);
}

/* LE7. To a passive server that waits; queued, and picked up by one, which goes on receiving; an active one lends nothing. */
static void test_too_deep(void **state)
{
	(void)state;
	server = thread_new(process[1], true);
	recv(server, CAPOS_NEVER);
	cpu->armed_waiter = NULL;
	run(client);
	assert_int_equal(sched_lend_reserve(client), CAPOS_STATUS_OK);
	client->own = client->spare; /* as if what it runs on was another one's */
	client->spare = client->entity;
	client->entity->depth = CAPOS_DONATION_DEPTH_MAX - 1;
	call(client, 1, 0);
	assert_int_equal(client->mach.frame.call, STATUS(TOO_DEEP));
	assert_ptr_equal(cpu->current, client);
	assert_true(waiter_is_armed(&server->wait) && server->serving == NULL);
	assert_int_equal(atomic_load_relaxed(&client->own->loan), 0);
	assert_int_equal(client->entity->depth, CAPOS_DONATION_DEPTH_MAX - 1);
	/* A fault of its is a call, too: nobody handles it. */
	client->fault_endpoint = endpoint;
	client->fault_grant = &grants[0];
	assert_false(endpoint_fault(cpu, client, &(struct fault){ .cause = FAULT_PAGE }));
	assert_ptr_equal(cpu->current, client);
	assert_true(waiter_is_armed(&server->wait) && server->serving == NULL);
	client->fault_endpoint = NULL;
	/* One less. */
	client->entity->depth--;
	call(client, 3, 0);
	check_received(server, 3);
	assert_int_equal(server->entity->depth, CAPOS_DONATION_DEPTH_MAX - 1);
	cpu->armed_waiter = NULL;
	reply(server, true, 0);
	cpu->armed_waiter = NULL;
	check_replied(client);
	assert_int_equal(client->entity->depth, CAPOS_DONATION_DEPTH_MAX - 2);
	assert_true(waiter_end(cpu, &server->wait, STATUS(CANCELLED)));
	/* Queued: the first one fails, the second one is received. */
	run(client);
	client->entity->depth = CAPOS_DONATION_DEPTH_MAX - 1;
	call(client, 1, CAPOS_CALL_CAPS);
	assert_true(waiter_is_armed(&client->wait));
	cpu->armed_waiter = NULL;
	call(client2, 2, 0);
	cpu->armed_waiter = NULL;
	recv(server, CAPOS_NEVER);
	assert_int_equal(client->mach.frame.call, STATUS(TOO_DEEP));
	assert_true(runnable(client));
	assert_int_equal(client->entity->depth, CAPOS_DONATION_DEPTH_MAX - 1);
	check_received(server, 2);
	assert_ptr_equal(server->entity, client2->own);
	reply(server, false, 0);
	check_replied(client2);
	/* An active one, either way: its call is queued, or it waits. */
	server->passive = false;
	run(client);
	call(client, 4, 0);
	cpu->armed_waiter = NULL;
	recv(server, CAPOS_NEVER);
	check_received(server, 4);
	reply(server, false, 0);
	check_replied(client);
	recv(server, CAPOS_NEVER);
	cpu->armed_waiter = NULL;
	call(client, 5, 0);
	check_received(server, 5);
	cpu->armed_waiter = NULL;
	reply(server, false, 0);
	check_replied(client);
	client->entity->depth = 0;
	client->spare = client->own;
	client->own = client->entity;
	finish(server);
}

/* LE3. Who lends what another one lent it needs no spare: nor does it want for memory, which would let its callers' budgets alone. */
static void test_middle_needs_no_memory(void **state)
{
	struct entity *lent;

	(void)state;
	server = thread_new(process[1], true);
	recv(server, now_ns + 1000); /* a deadline: the general path */
	cpu->armed_waiter = NULL;
	run(client);
	assert_int_equal(sched_lend_reserve(client), CAPOS_STATUS_OK);
	lent = client->own;
	client->own = client->spare; /* as if what it runs on was another one's */
	client->spare = NULL;
	pool_empty = true;
	call(client, 1, 0);
	cpu->armed_waiter = NULL;
	check_received(server, 1);
	assert_ptr_equal(server->entity, lent);
	assert_int_equal(lent->depth, 1);
	reply(server, true, 0);
	cpu->armed_waiter = NULL;
	check_replied(client);
	assert_ptr_equal(client->entity, lent);
	assert_int_equal(lent->depth, 0);
	client->spare = client->own;
	client->own = lent;
	assert_true(waiter_end(cpu, &server->wait, STATUS(CANCELLED)));
}

static void test_queued_call_ends_otherwise(void **state)
{
	struct entity *own;

	(void)state;
	server = thread_new(process[1], true);
	/* Killed in service: the server keeps the entity until it receives. */
	call(client, 1, 0);
	own = client->own;
	recv(server, CAPOS_NEVER);
	cpu->armed_waiter = NULL;
	assert_ptr_equal(server->entity, own);
	assert_true(waiter_end(cpu, &client->wait, STATUS(CANCELLED)));
	assert_true(runnable(client) && runnable(server));
	assert_ptr_not_equal(client->own, own);
	assert_ptr_equal(client->entity, client->own);
	reply(server, false, 0);
	assert_int_equal(server->mach.frame.call, STATUS(NOT_SERVING));
	/* Killed in the queue, between claim and unlink: it is not taken. */
	call(client, 1, 0);
	cpu->armed_waiter = NULL;
	assert_true(waiter_claim(&client->wait));
	recv(server, 0);
	assert_int_equal(server->mach.frame.call, STATUS(WOULD_BLOCK));
	client->wait.ops->unlink(&client->wait);
	waiter_finish(cpu, &client->wait, STATUS(CANCELLED), NULL, 0);
	assert_true(runnable(client));
	/* Received again without a reply: the entity is free for its owner. */
	call(client, 1, 0);
	cpu->armed_waiter = NULL;
	own = client->own;
	recv(server, CAPOS_NEVER);
	assert_ptr_equal(server->entity, own);
	recv(server, CAPOS_NEVER);
	cpu->armed_waiter = NULL;
	assert_null(server->entity);
	assert_true(waiter_end(cpu, &client->wait, STATUS(CANCELLED)));
	assert_ptr_equal(client->own, own);
	assert_ptr_equal(client->entity, own);
	assert_true(waiter_end(cpu, &server->wait, STATUS(CANCELLED)));
	/* No memory for a spare: the server runs on its own. */
	call(client2, 1, 0);
	cpu->armed_waiter = NULL;
	pool_empty = true;
	recv(server, CAPOS_NEVER);
	check_received(server, 1);
	assert_ptr_equal(cpu->current, server);
	assert_ptr_equal(server->entity, server->own);
	assert_ptr_equal(client2->entity, client2->own);
	reply(server, false, 0);
	check_replied(client2);
	assert_true(runnable(client2) && runnable(server));
}

/* The death of a thread that took many calls goes by steps. */
static void test_server_of_many_dies(void **state)
{
	enum { MANY = 20 };
	struct thread *callers[MANY];
	unsigned steps = 1;

	(void)state;
	server = thread_new(process[1], false);
	for (unsigned i = 0; i < MANY; i++) {
		callers[i] = thread_new(process[0], false);
		call(callers[i], 0, 0);
		recv(server, CAPOS_NEVER);
		cpu->armed_waiter = NULL;
	}
	run(server);
	while (!endpoint_thread_exit_step(cpu, server))
		steps++;
	assert_int_equal(steps, MANY / 8 + 1);
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(callers[i]->mach.frame.call, STATUS(PEER_GONE));
		assert_true(runnable(callers[i]));
		thread_delete(callers[i]);
	}
}

static void test_endpoint_ends(void **state)
{
	const struct object_type *type = &type_endpoint;
	u64 pass = 0;

	(void)state;
	server = thread_new(process[1], true);
	/* Keys of an earlier wait mean nothing to a receiver. */
	server->wait.key[0] = server->wait.key[1] = ~7ull;
	recv(server, CAPOS_NEVER);
	cpu->armed_waiter = NULL;
	atomic_store_relaxed(&grants[0].dead, 1u);
	assert_true(type->sweep_step(&endpoint->object, &pass));
	assert_int_equal(server->mach.frame.call, STATUS(REVOKED));
	atomic_store_relaxed(&grants[0].dead, 0u);
	recv(server, CAPOS_NEVER);
	cpu->armed_waiter = NULL;
	call(client, 0, 0);
	cpu->armed_waiter = NULL;
	call(client2, 0, 0);
	cpu->armed_waiter = NULL;
	atomic_store_relaxed(&endpoint->object.state, OBJECT_DYING);
	while (!type->kill_step(&endpoint->object))
		;
	assert_int_equal(client->mach.frame.call, STATUS(REVOKED));
	assert_int_equal(client2->mach.frame.call, STATUS(REVOKED));
	assert_null(server->serving);
	assert_true(runnable(client) && runnable(client2) && runnable(server));
	recv(server, CAPOS_NEVER);
	assert_int_equal(server->mach.frame.call, STATUS(REVOKED));
	finish(server);
}

static void test_fault(void **state)
{
	struct fault fault = { .cause = FAULT_PAGE, .addr = 0x123, .ip = 0x456 };

	(void)state;
	server = thread_new(process[1], true);
	recv(server, CAPOS_NEVER);
	cpu->armed_waiter = NULL;
	run(client);
	client->fault_endpoint = endpoint;
	client->fault_grant = &grants[0];
	client->mach.frame.call = 0xabc;
	client->mach.frame.word[0] = 0xdef;
	for (u64 action = 0; action < 3; action++) {
		run(client);
		assert_true(endpoint_fault(cpu, client, &fault));
		cpu->armed_waiter = NULL;
		assert_int_equal(server->mach.frame.word[2], 0x123);
		assert_int_equal(server->mach.frame.word[5], client->object.id);
		run(server);
		server->mach.frame.call = CAPOS_CALL_WORD(0, 0, CAPOS_OP_REPLY_RECV, 1, 0);
		server->mach.frame.word[0] = action;
		struct cap cap = cap_with_badge(0);
		endpoint_reply(cpu, server, &cap, true);
		cpu->armed_waiter = NULL;
		assert_true(runnable(client));
		if (atomic_load_relaxed(&client->attention) & ATTENTION_OPERATION)
			step(client);
		assert_int_equal(client->mach.frame.call, 0xabc);
		assert_int_equal(client->mach.frame.word[0], 0xdef);
	}
	assert_int_equal(faults, 1);
	assert_int_equal(skips, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_passive_round_trip),
		TEST(test_active_round_trip),
		TEST(test_caller_killed),
		TEST(test_server_dies),
		TEST(test_queued_call_lends),
		TEST(test_queued_call_ends_otherwise),
		TEST(test_too_deep),
		TEST(test_middle_needs_no_memory),
		TEST(test_server_of_many_dies),
		TEST(test_endpoint_ends),
		TEST(test_fault),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
