/* SPDX-License-Identifier: MIT */
/* LINK: kernel/ipc/ kernel/task/wait.c kernel/sched/lend.c kernel/sched/lock.c kernel/cap/errors.c */
/* What calls and replies carry: tokens, grants, messages, capabilities. */
#include "world.h"

static void reply_null(struct thread *thread, u64 handle, bool then_receive, unsigned flags)
{
	run(thread);
	thread->mach.frame.call = CAPOS_CALL_WORD(3, 0, CAPOS_OP_REPLY, 2, flags);
	thread->mach.frame.handle = handle;
	thread->mach.frame.word[0] = 100;
	thread->mach.frame.word[1] = 101;
	endpoint_reply(cpu, thread, NULL, then_receive);
	assert_int_equal(cpu->lock_depth, 0);
}

/* Without a capability nothing is followed that is not there. */
static void test_reply_without_handle(void **state)
{
	static const unsigned flags[] = {
		0, CAPOS_CALL_TOKEN, CAPOS_CALL_EXCEPTION, CAPOS_CALL_MESSAGE, CAPOS_CALL_CAPS, 0xf
	};
	u64 token;

	(void)state;
	server = thread_new(process[1], false);
	for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		reply_null(server, 0, false, flags[i]);
		assert_int_equal(server->mach.frame.call, STATUS(NOT_SERVING));
		reply_null(server, 0, true, flags[i]);
		assert_int_equal(server->mach.frame.call, STATUS(NOT_SERVING));
	}
	ring_cap = cap_with_badge(0);
	server->mach.frame.handle = 5;
	recv(server, CAPOS_NEVER);
	call(client, 0, 0);
	cpu->armed_waiter = NULL;
	reply_null(server, 0, false, 0);
	assert_int_equal(server->mach.frame.call, STATUS(OK));
	check_replied(client);
	/* By token: where it received last. */
	server->mach.frame.handle = 5;
	recv(server, CAPOS_NEVER);
	call(client, 0, 0);
	cpu->armed_waiter = NULL;
	token = server->page->recv_token;
	server->page->reply_token = token + ENDPOINT_BUCKETS;
	reply_null(server, 0, false, CAPOS_CALL_TOKEN);
	assert_int_equal(server->mach.frame.call, STATUS(NOT_SERVING));
	server->page->reply_token = token;
	reply_null(server, 0, true, CAPOS_CALL_TOKEN);
	assert_int_equal(server->mach.frame.call, STATUS(OK));
	check_replied(client);
	assert_false(waiter_is_armed(&server->wait));
	reply_null(server, 0, false, 0);
	assert_int_equal(server->mach.frame.call, STATUS(NOT_SERVING));
}

/* IP1: a waiter keeps its grant; one that passes from one to another through the same grant is not counted twice. */
static void test_waiters_hold_grants(void **state)
{
	struct cap other = {
		.object = &endpoint->object, .grant = &grants[1], .badge = 7, .rights = CAPOS_RIGHTS_ALL
	};

	(void)state;
	server = thread_new(process[1], true);
	recv(server, CAPOS_NEVER);
	assert_int_equal(grants[0].references.value_, 1);
	for (int i = 0; i < 2; i++) {
		cpu->armed_waiter = NULL;
		call(client, 0, 0);
		assert_int_equal(grants[0].references.value_, 1);
		cpu->armed_waiter = NULL;
		reply(server, true, 0);
		assert_int_equal(grants[0].references.value_, 1);
		cpu->armed_waiter = NULL;
		client->mach.frame.call = CAPOS_CALL_WORD(CAPOS_IFACE_USER, 5, CAPOS_OP_CALL, 0, 0);
		endpoint_call(cpu, client, &other);
		assert_int_equal(grants[0].references.value_, 0);
		assert_int_equal(grants[1].references.value_, 1);
		cpu->armed_waiter = NULL;
		reply(server, true, 0);
		assert_int_equal(grants[0].references.value_, 1);
		assert_int_equal(grants[1].references.value_, 0);
	}
	/* The grant ends while a call waits through it: the sweep finds it. */
	cpu->armed_waiter = NULL;
	assert_true(waiter_end(cpu, &server->wait, STATUS(CANCELLED)));
	run(client);
	client->mach.frame.call = CAPOS_CALL_WORD(CAPOS_IFACE_USER, 5, CAPOS_OP_CALL, 0, 0);
	endpoint_call(cpu, client, &other);
	cpu->armed_waiter = NULL;
	call(client2, 0, 0);
	cpu->armed_waiter = NULL;
	atomic_store_relaxed(&grants[1].dead, 1u);
	assert_true(type_endpoint.sweep_step(&endpoint->object, &(u64){ 0 }));
	assert_int_equal(client->mach.frame.call, STATUS(REVOKED));
	assert_true(waiter_is_armed(&client2->wait));
	recv(server, CAPOS_NEVER);
	reply(server, false, 0);
	check_replied(client2);
	finish(server); /* it kept the entity of client2 */
}

static void test_token_reply_and_exception(void **state)
{
	u64 token;

	(void)state;
	server = thread_new(process[1], false);
	recv(server, CAPOS_NEVER);
	call(client, 0, 0);
	token = server->page->recv_token;
	recv(server, 0);
	assert_int_equal(server->mach.frame.call, STATUS(WOULD_BLOCK));
	reply(server, false, 0);
	assert_int_equal(server->mach.frame.call, STATUS(NOT_SERVING));
	server->page->reply_token = token + 1;
	reply(server, false, CAPOS_CALL_TOKEN);
	assert_int_equal(server->mach.frame.call, STATUS(NOT_SERVING));
	server->page->reply_token = token;
	reply(server, false, CAPOS_CALL_TOKEN | CAPOS_CALL_EXCEPTION);
	assert_int_equal(server->mach.frame.call, STATUS(OK));
	assert_int_equal(CAPOS_RESULT_STATUS(client->mach.frame.call), CAPOS_STATUS_EXCEPTION);
	assert_int_equal(CAPOS_RESULT_IRESULT(client->mach.frame.call), 3);
}

static void test_message_and_caps(void **state)
{
	(void)state;
	server = thread_new(process[1], false);
	server->page->accept_caps = 0;
	recv(server, CAPOS_NEVER);
	client->page->send_bytes = 5;
	client->page->send_caps = 2;
	memcpy(client->page->message, "hello", 5);
	call(client, 0, CAPOS_CALL_MESSAGE | CAPOS_CALL_CAPS);
	assert_int_equal(client->mach.frame.call, STATUS(NO_SLOTS));
	assert_true(waiter_is_armed(&server->wait));
	server->page->accept_caps = 2;
	call(client, 0, CAPOS_CALL_MESSAGE | CAPOS_CALL_CAPS);
	assert_memory_equal(server->page->message, "hello", 5);
	assert_int_equal(server->page->recv_caps, 2);
	assert_int_equal(server->page->recv_cap[1], 0x101);
	assert_int_equal(CAPOS_RECV_BYTES(CAPOS_RESULT_DETAIL(server->mach.frame.call)), 5);
	reply(server, false, 0);
	/* Queued with capabilities: refused at the receive, which goes on to the next caller. */
	call(client, 0, CAPOS_CALL_CAPS);
	cpu->armed_waiter = NULL;
	call(client2, 1, 0);
	cpu->armed_waiter = NULL;
	commit_status = CAPOS_STATUS_QUOTA_EXCEEDED;
	recv(server, CAPOS_NEVER);
	check_received(server, 1);
	assert_int_equal(CAPOS_RESULT_STATUS(client->mach.frame.call), CAPOS_STATUS_QUOTA_EXCEEDED);
	reply(server, false, 0);
	/* Killed in the queue: its references are given back (checked at the end). */
	commit_status = CAPOS_STATUS_OK;
	call(client, 0, CAPOS_CALL_CAPS);
	assert_true(waiter_end(cpu, &client->wait, STATUS(CANCELLED)));
	client->page->send_bytes = 513;
	call(client2, 0, 0);
	call(client, 0, CAPOS_CALL_MESSAGE);
	assert_int_equal(client->mach.frame.call, STATUS(BAD_SIZE));
	cpu->armed_waiter = NULL;
	recv(server, CAPOS_NEVER);
	reply(server, false, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_reply_without_handle),
		TEST(test_waiters_hold_grants),
		TEST(test_token_reply_and_exception),
		TEST(test_message_and_caps),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
