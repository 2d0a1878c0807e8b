/* SPDX-License-Identifier: MIT */
/* LINK: kernel/ipc/ kernel/task/wait.c kernel/sched/lend.c kernel/sched/lock.c kernel/cap/errors.c */
/* Rings: entries, completions, cap_enter. */
#include "world.h"

static void submit(struct thread *thread, u64 user_data, u64 call_word, u64 deadline)
{
	struct capos_sqe *entry = &thread->page->sq[thread->page->sq_tail++ % CAPOS_SQ_ENTRIES];

	*entry = (struct capos_sqe){ .user_data = user_data, .handle = 1, .call = call_word, .deadline = deadline };
}

static void enter(struct thread *thread, u64 count, u64 deadline)
{
	run(thread);
	thread->mach.frame.word[0] = count;
	thread->mach.frame.word[1] = deadline;
	ring_enter(cpu, thread);
	while (runnable(thread) && (atomic_load_relaxed(&thread->attention) & ATTENTION_OPERATION))
		step(thread);
	cpu->armed_waiter = NULL;
	assert_int_equal(cpu->lock_depth, 0);
}

static void test_ring_batch(void **state)
{
	struct capos_thread_page *page = client->page;

	(void)state;
	for (u64 i = 0; i < 32; i++)
		submit(client, i,
		       i == 7 ? CAPOS_CALL_WORD(1, 0, CAPOS_OP_YIELD, 0, 0) : CAPOS_CALL_WORD(1, 0, 0, 0, 0), 0);
	enter(client, 32, CAPOS_NEVER);
	assert_int_equal(client->mach.frame.call, STATUS_DETAIL(OK, 32));
	assert_int_equal(page->cq_tail, 32);
	assert_int_equal(page->sq_head, 32);
	for (u64 i = 0; i < 32; i++) {
		assert_int_equal(page->cq[i].user_data, i);
		assert_int_equal(page->cq[i].result, i == 7 ? STATUS(UNKNOWN_METHOD) : STATUS(OK));
	}
	/* Full: nothing is consumed; malformed: refused. */
	submit(client, 99, CAPOS_CALL_WORD(1, 0, 0, 0, 0), 0);
	enter(client, 1, 0);
	assert_int_equal(page->sq_head, 32);
	page->cq_head = 32;
	enter(client, 2, now_ns - 1);
	assert_int_equal(client->mach.frame.call, STATUS(TIMED_OUT));
	assert_int_equal(page->sq_head, 33);
	page->cq_head = 34;
	enter(client, 0, 0);
	assert_int_equal(CAPOS_RESULT_STATUS(client->mach.frame.call), CAPOS_STATUS_BAD_ARGUMENT);
	page->cq_head = 33;
	page->sq_tail = 33 + 33;
	enter(client, 0, 0);
	assert_int_equal(CAPOS_RESULT_STATUS(client->mach.frame.call), CAPOS_STATUS_BAD_ARGUMENT);
	page->sq_tail = 33;
	enter(client, 33, 0);
	assert_int_equal(CAPOS_RESULT_STATUS(client->mach.frame.call), CAPOS_STATUS_BAD_ARGUMENT);
	assert_int_equal(page->sq_head, 33);
	client->ring_consumer.value_ = 5;
	enter(client, 0, 0);
	assert_int_equal(client->mach.frame.call, STATUS(RING_STALE));
}

static u64 enter_fast(struct thread *thread, u64 count)
{
	run(thread);
	thread->mach.frame.word[0] = count;
	thread->mach.frame.word[1] = CAPOS_NEVER;
	return ring_enter_fast(thread);
}

/* ring_enter_fast: runs of equal entries, and ring_enter goes on where they end. */
static void test_ring_fast(void **state)
{
	const u64 nop = CAPOS_CALL_WORD(1, 0, 0, 0, 0), handle = 1ull << 32 | FAST;
	struct capos_thread_page *page = client->page;

	(void)state;
	assert_int_equal(enter_fast(client, 0), STATUS_DETAIL(OK, 0));
	assert_int_equal(enter_fast(client, 1), CALL_NOT_FAST);
	looked_up = 0;
	memset(page->cq, 0xff, sizeof(page->cq));
	for (u64 i = 0; i < 32; i++) {
		submit(client, i, nop, 0);
		page->sq[i].handle = handle;
	}
	assert_int_equal(enter_fast(client, 33), CALL_NOT_FAST);
	assert_int_equal(page->sq_head, 0);
	assert_int_equal(enter_fast(client, 32), STATUS_DETAIL(OK, 32));
	assert_int_equal(looked_up, 1);
	assert_int_equal(page->sq_head, 32);
	assert_int_equal(page->cq_tail, 32);
	for (unsigned i = 0; i < 32; i++) {
		assert_int_equal(page->cq[i].user_data, i);
		assert_int_equal(page->cq[i].result, STATUS(OK));
		assert_int_equal(page->cq[i].word[0] | page->cq[i].word[1], 0);
	}
	/* No place for all; then an entry that is another's matter: what is left is for a step of its own. */
	submit(client, 32, nop, 0);
	page->sq[0].handle = handle;
	assert_int_equal(enter_fast(client, 1), CALL_NOT_FAST);
	page->cq_head = 32;
	submit(client, 33, CAPOS_CALL_WORD(1, 0, CAPOS_OP_YIELD, 0, 0), 0);
	submit(client, 34, nop, 0);
	page->sq[2].handle = 3ull << 32 | FAST;
	assert_int_equal(enter_fast(client, 3), CALL_NOT_FAST);
	assert_int_equal(page->sq_head, 33);
	ring_enter(cpu, client);
	assert_int_equal(page->sq_head, 33);
	assert_true(atomic_load_relaxed(&client->attention) & ATTENTION_OPERATION);
	step(client);
	assert_int_equal(client->mach.frame.call, STATUS_DETAIL(OK, 3));
	assert_int_equal(page->cq[0].user_data, 32);
	assert_int_equal(page->cq[1].result, STATUS(UNKNOWN_METHOD));
	assert_int_equal(page->cq[2].user_data, 34);
	/* Other handles or a generation gone: looked up each. At most so many to a step. */
	page->cq_head = 35;
	looked_up = 0;
	for (u64 i = 0; i < 32; i++) {
		submit(client, i, nop, 0);
		page->sq[(35 + i) % 32].handle = (i * 2 + 1) << 32 | FAST;
	}
	assert_int_equal(enter_fast(client, 32), CALL_NOT_FAST);
	assert_in_range(looked_up, 8, 16);
	enter(client, 32, CAPOS_NEVER);
	assert_int_equal(client->mach.frame.call, STATUS_DETAIL(OK, 32));
	assert_int_equal(looked_up, 32);
	page->cq_head = page->cq_tail;
	page->sq_tail += 33;
	assert_int_equal(enter_fast(client, 0), CALL_NOT_FAST);
	page->sq_tail -= 33;
	page->cq_head += 1;
	assert_int_equal(enter_fast(client, 0), CALL_NOT_FAST);
	page->cq_head -= 1;
	/* Others post: under the lock. */
	client->ring_in_flight = 1;
	assert_int_equal(enter_fast(client, 0), CALL_NOT_FAST);
	client->ring_in_flight = 0;
	client->ring_consumer.value_ = 1;
	assert_int_equal(enter_fast(client, 0), CALL_NOT_FAST);
	client->ring_consumer.value_ = 0;
}

static void test_ring_call(void **state)
{
	u64 call_word = CAPOS_CALL_WORD(CAPOS_IFACE_USER, 5, CAPOS_OP_CALL, 2, 0);

	(void)state;
	ring_cap = cap_with_badge(77);
	server = thread_new(process[1], true);
	submit(client, 1, call_word, CAPOS_NEVER);
	submit(client, 2, call_word, CAPOS_NEVER);
	enter(client, 2, CAPOS_NEVER);
	assert_false(runnable(client));
	assert_int_equal(client->ring_in_flight, 2);
	recv(server, CAPOS_NEVER);
	assert_int_equal(CAPOS_RESULT_STATUS(server->mach.frame.call), CAPOS_STATUS_OK);
	reply(server, true, 0);
	assert_false(runnable(client));
	reply(server, true, 0);
	cpu->armed_waiter = NULL;
	assert_true(runnable(client));
	step(client);
	assert_int_equal(client->mach.frame.call, STATUS_DETAIL(OK, 2));
	assert_int_equal(client->page->cq[1].word[1], 101);
	assert_int_equal(client->ring_in_flight, 0);
	/* In flight at death: cancelled. */
	submit(client, 3, call_word, CAPOS_NEVER);
	enter(client, 0, 0);
	assert_int_equal(client->ring_in_flight, 1);
	run(client);
	atomic_fetch_or(&client->attention, ATTENTION_KILL);
	while (!ring_teardown_step(cpu, client))
		;
	assert_true(runnable(server));
	reply(server, false, 0);
	assert_int_equal(server->mach.frame.call, STATUS(NOT_SERVING));
}

/* A call that names a method of a kernel object through an endpoint that serves any interface. */
static void test_ring_call_proxy(void **state)
{
	(void)state;
	ring_cap = cap_with_badge(77);
	server = thread_new(process[1], true);
	submit(client, 1, CAPOS_CALL_WORD(CAPOS_IFACE_cap_table, 5, CAPOS_OP_CALL, 2, 0), CAPOS_NEVER);
	client->page->sq[0].handle = PROXY;
	enter(client, 0, 0);
	assert_int_equal(client->ring_in_flight, 1);
	recv(server, CAPOS_NEVER);
	assert_int_equal(CAPOS_RESULT_STATUS(server->mach.frame.call), CAPOS_STATUS_OK);
	reply(server, false, 0);
	assert_int_equal(client->ring_in_flight, 0);
	assert_int_equal(client->page->cq_tail, 1);
	assert_int_equal(client->page->cq[0].word[1], 101);
}

static void test_receive_sees_completions(void **state)
{
	(void)state;
	ring_cap = cap_with_badge(77);
	server = thread_new(process[1], true);
	/* In flight: a call of the server to nobody. */
	submit(server, 1, CAPOS_CALL_WORD(CAPOS_IFACE_USER, 5, CAPOS_OP_CALL, 0, 0), CAPOS_NEVER);
	enter(server, 0, 0);
	/* Its own call comes to itself; set it aside, and wait for more. */
	recv(server, CAPOS_NEVER);
	recv(server, CAPOS_NEVER);
	cpu->armed_waiter = NULL;
	assert_false(runnable(server));
	while (!list_is_empty(&server->ring_ops))
		assert_true(waiter_end(cpu,
				       &LIST_ENTRY(list_first(&server->ring_ops), struct ring_op, ring_link)->wait,
				       STATUS(TIMED_OUT)));
	assert_true(runnable(server));
	step(server);
	assert_int_equal(server->mach.frame.call, STATUS(COMPLETIONS_PENDING));
	assert_true(list_is_empty(&endpoint->receivers));
	recv(server, CAPOS_NEVER);
	assert_int_equal(server->mach.frame.call, STATUS(COMPLETIONS_PENDING));
	server->page->cq_head = 1;
	recv(server, 0);
	assert_int_equal(server->mach.frame.call, STATUS(WOULD_BLOCK));
}

/* RI4: a cap_enter that ended by its deadline, or by a kill, is over for the completions that come later: they leave the thread's
 * next wait alone. (Else that one ended while its waiter was still in its queue, which became a loop at the next wait.) */
static void test_ring_enter_ended(void **state)
{
	u32 *word = aligned_alloc(64, 64);
	struct object *space;
	struct call c;

	(void)state;
	*word = 3;
	ring_cap = cap_with_badge(77);
	server = thread_new(process[1], true);
	assert_int_equal(park_space_create(process[0], &space), CAPOS_STATUS_OK);
	for (unsigned i = 0; i < 2; i++) {
		bool killed = i == 1;

		submit(client, i, CAPOS_CALL_WORD(CAPOS_IFACE_USER, 5, CAPOS_OP_CALL, 2, 0), CAPOS_NEVER);
		enter(client, 1, now_ns + 100);
		assert_false(runnable(client));
		assert_int_equal(client->ring_wanted, 1);
		if (killed) {
			atomic_fetch_or(&client->attention, ATTENTION_KILL);
			assert_true(waiter_kill(cpu, &client->wait));
		} else {
			now_ns += 100;
			client->wait.timer.fn(cpu, &client->wait.timer);
			client->page->cq_head = 5; /* malformed: cap_enter ends before it looks for completions */
		}
		assert_true(runnable(client));
		assert_int_equal(client->ring_wanted, 0);
		step(client);
		assert_int_equal(CAPOS_RESULT_STATUS(client->mach.frame.call),
				 killed ? CAPOS_STATUS_CANCELLED : CAPOS_STATUS_BAD_ARGUMENT);
		client->page->cq_head = i;
		atomic_fetch_and(&client->attention, ~ATTENTION_KILL);
		c = kernel_call(client, space);
		c.word[0] = (u64)word, c.word[1] = 3, c.word[2] = CAPOS_NEVER, c.word[3] = 0;
		assert_int_equal(method_park_space_wait(&c), CALL_BLOCKED);
		cpu->armed_waiter = NULL;
		recv(server, CAPOS_NEVER);
		reply(server, false, 0);
		assert_int_equal(client->page->cq_tail, i + 1);
		assert_false(runnable(client));
		assert_true(type_park_space.kill_step(space));
		assert_true(runnable(client));
		assert_int_equal(client->mach.frame.call, STATUS(REVOKED));
		assert_false(list_is_linked(&client->wait.link));
		client->page->cq_head = i + 1;
	}
	pool_free(POOL_PARK_SPACE, container_of(space, struct park_space, object));
	free(word);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_ring_batch),
		TEST(test_ring_fast),
		TEST(test_ring_call),
		TEST(test_ring_call_proxy),
		TEST(test_receive_sees_completions),
		TEST(test_ring_enter_ended),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
