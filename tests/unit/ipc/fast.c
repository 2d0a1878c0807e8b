/* SPDX-License-Identifier: MIT */
/* LINK: kernel/ipc/ kernel/task/wait.c kernel/sched/lend.c kernel/sched/lock.c kernel/cap/errors.c */
/* The fast path (kernel_syscall_ipc) does what the general one does, or nothing. */
#include "world.h"

#define FAST_CALL(words) CAPOS_CALL_WORD(CAPOS_IFACE_USER, 5, CAPOS_OP_CALL, (words), 0)
#define FAST_REPLY(words) CAPOS_CALL_WORD(3, 0, CAPOS_OP_REPLY_RECV, (words), 0)

#define WITH_MESSAGE ((u64)CAPOS_CALL_MESSAGE << 56)

static struct slot slots[2 * SLOTS_PER_PAGE];

/* Both processes have this table, of two pages: slot 1 is a handle of everybody, with badge 77, slot 2 is one through another
 * grant, slot 129 as slot 1. */
static u64 fast_handle(u32 index, u32 rights)
{
	static struct slot *pages[2] = { &slots[0], &slots[SLOTS_PER_PAGE] };
	struct slot *slot = &slots[index];

	atomic_store_relaxed(&slot->generation, 3u);
	atomic_store_relaxed(&slot->type_rights, SLOT_MEANING(CAPOS_IFACE_endpoint, rights));
	atomic_store_relaxed(&slot->object, &endpoint->object);
	atomic_store_relaxed(&slot->grant, &grants[index % SLOTS_PER_PAGE - 1]);
	atomic_store_relaxed(&slot->badge, 77ull);
	for (int i = 0; i < 2; i++) {
		atomic_store_relaxed(&process[i]->table.first, &slots[0]);
		atomic_store_relaxed(&process[i]->table.index, pages);
		atomic_store_relaxed(&process[i]->table.slot_count, 2 * SLOTS_PER_PAGE);
	}
	return CAPOS_HANDLE(index, 3u);
}

static struct thread *fast(struct thread *thread, u64 handle, u64 call_word)
{
	struct thread *next;

	run(thread);
	thread->mach.frame.call = call_word;
	thread->mach.frame.handle = handle;
	next = kernel_syscall_ipc(cpu, thread, call_word);
	assert_int_equal(cpu->lock_depth, 0);
	return next;
}

/* A client with a spare, and a server that waits. */
static void fast_world(bool passive)
{
	server = thread_new(process[1], passive);
	recv(server, CAPOS_NEVER);
	run(client);
	assert_int_equal(sched_lend_reserve(client), CAPOS_STATUS_OK);
	for (unsigned i = 0; i < CAPOS_WORDS; i++)
		client->mach.frame.word[i] = 10 + i;
}

static void fast_round_trips(void **state)
{
	u64 handle = fast_handle(1, CAPOS_RIGHTS_ALL);
	struct entity *entity;

	(void)state;
	fast_world(true);
	entity = client->entity;
	for (unsigned words = 0; words <= CAPOS_WORDS; words++) {
		u64 token = endpoint->next_token;

		for (unsigned i = 0; i < CAPOS_WORDS; i++)
			client->mach.frame.word[i] = 10 + i, server->mach.frame.word[i] = 200 + i;
		now_ns += 100;
		assert_ptr_equal(fast(client, handle, FAST_CALL(words)), server);
		check_received(server, words);
		for (unsigned i = words; i < CAPOS_WORDS; i++)
			assert_int_equal(server->mach.frame.word[i], 200 + i);
		assert_int_equal(server->page->recv_token, token);
		assert_int_equal(server->page->recv_badge, 77);
		assert_ptr_equal(cpu->current, server);
		assert_ptr_equal(cpu->current_entity, entity);
		assert_ptr_equal(server->entity, entity);
		assert_ptr_equal(entity->thread, server);
		assert_null(client->entity);
		assert_int_equal(atomic_load_relaxed(&entity->loan), LOAN_LENT);
		assert_ptr_equal(server->serving, &client->wait);
		assert_true(waiter_is_armed(&client->wait));
		assert_int_equal(client->wait.wait, CAPOS_WAIT_REPLY);
		assert_null(cpu->armed_waiter);
		server->mach.frame.word[0] = 100, server->mach.frame.word[1] = 101;
		now_ns += 10;
		assert_ptr_equal(fast(server, handle, FAST_REPLY(2)), client);
		check_replied(client);
		assert_ptr_equal(cpu->current, client);
		assert_ptr_equal(client->entity, entity);
		assert_null(server->entity);
		assert_null(server->serving);
		assert_int_equal(atomic_load_relaxed(&entity->loan), 0);
		assert_true(waiter_is_armed(&server->wait));
	}
	/* Exact, whoever ran on the entity; and the policy hears of all of it. */
	assert_int_equal(client->account.runtime_ns, 900 + 1000);
	assert_int_equal(server->account.runtime_ns, 90);
	assert_int_equal(entity->uncharged_ns, 900 + 90 + 1000);
}

/* LE7: not by the fast path, and nothing is changed. */
static void fast_too_deep(void **state)
{
	u64 handle = fast_handle(1, CAPOS_RIGHTS_ALL);

	(void)state;
	fast_world(true);
	client->own = client->spare; /* as if what it runs on was another one's */
	client->spare = client->entity;
	client->entity->depth = CAPOS_DONATION_DEPTH_MAX - 1;
	assert_null(fast(client, handle, FAST_CALL(0)));
	assert_ptr_equal(cpu->current, client);
	assert_true(waiter_is_armed(&server->wait));
	client->entity->depth--;
	assert_ptr_equal(fast(client, handle, FAST_CALL(0)), server);
	assert_int_equal(server->entity->depth, CAPOS_DONATION_DEPTH_MAX - 1);
	assert_ptr_equal(fast(server, handle, FAST_REPLY(0)), client);
	assert_int_equal(client->entity->depth, CAPOS_DONATION_DEPTH_MAX - 2);
	/* Lost to somebody else: nothing is counted. */
	atomic_store_relaxed(&server->wait.state, atomic_load_relaxed(&server->wait.state) ^ WAITER_ARMED);
	assert_null(fast(client, handle, FAST_CALL(0)));
	assert_int_equal(client->entity->depth, CAPOS_DONATION_DEPTH_MAX - 2);
	atomic_store_relaxed(&server->wait.state, atomic_load_relaxed(&server->wait.state) ^ WAITER_ARMED);
	client->entity->depth = 0;
	client->spare = client->own;
	client->own = client->entity;
}

/* The page of `thread`: a message of so many bytes to send; and what it got, with nothing behind it touched. */
static void put_message(struct thread *thread, u32 bytes, u8 first)
{
	thread->page->send_bytes = bytes;
	for (u32 i = 0; i < bytes; i++)
		thread->page->message[i] = (u8)(first + i);
}

static void check_message(const struct thread *thread, u32 bytes, u8 first)
{
	assert_int_equal(thread->page->recv_bytes, bytes);
	assert_int_equal(thread->page->recv_caps, 0);
	for (u32 i = 0; i < CAPOS_MESSAGE_BYTES; i++)
		assert_int_equal(thread->page->message[i], i < bytes ? (u8)(first + i) : 0xee);
}

static void fast_messages(void **state)
{
	u64 handle = fast_handle(1 + SLOTS_PER_PAGE, CAPOS_RIGHTS_ALL);
	u32 size[] = { 1, 100, CAPOS_MESSAGE_BYTES };

	(void)state;
	fast_world(true);
	for (unsigned i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
		put_message(client, size[i], 3);
		memset(server->page->message, 0xee, CAPOS_MESSAGE_BYTES);
		server->page->recv_caps = client->page->recv_caps = 9;
		assert_ptr_equal(fast(client, handle, FAST_CALL(2) | WITH_MESSAGE), server);
		assert_int_equal(server->mach.frame.call,
				 CAPOS_RESULT(CAPOS_STATUS_OK, 5, CAPOS_RECV_DETAIL(2, 0, size[i])));
		check_message(server, size[i], 3);
		put_message(server, size[i], 80);
		memset(client->page->message, 0xee, CAPOS_MESSAGE_BYTES);
		assert_ptr_equal(fast(server, handle, FAST_REPLY(1) | WITH_MESSAGE), client);
		assert_int_equal(client->mach.frame.call,
				 CAPOS_RESULT(CAPOS_STATUS_OK, 3, CAPOS_RECV_DETAIL(1, 0, size[i])));
		check_message(client, size[i], 80);
	}
}

/* Nothing happened: what the call might have touched is as it was. */
static void fast_refuses(struct thread *thread, u64 handle, u64 call_word)
{
	static u8 before[5][8192];
	const struct {
		const void *what;
		size_t bytes;
	} part[] = { { client, sizeof(*client) },
		     { server, sizeof(*server) },
		     { endpoint, sizeof(*endpoint) },
		     { cpu, sizeof(*cpu) },
		     { grants, sizeof(grants) } };

	run(thread);
	thread->mach.frame.call = call_word;
	thread->mach.frame.handle = handle;
	memset(&thread->asked, 0, sizeof(thread->asked)); /* of debug builds: what the call is checked against */
	for (int i = 0; i < 5; i++) {
		assert_true(part[i].bytes <= sizeof(before[i]));
		memcpy(before[i], part[i].what, part[i].bytes);
	}
	assert_null(kernel_syscall_ipc(cpu, thread, call_word));
	memset(&thread->asked, 0, sizeof(thread->asked));
	for (int i = 0; i < 5; i++)
		assert_memory_equal(before[i], part[i].what, part[i].bytes);
}

static void fast_leaves_the_rest(void **state)
{
	u64 handle = fast_handle(1, CAPOS_RIGHTS_ALL);
	struct entity *spare;

	(void)state;
	fast_world(true);
	for (unsigned flag = 1; flag < 256; flag <<= 1)
		fast_refuses(client, handle, CAPOS_CALL_WORD(CAPOS_IFACE_USER, 5, CAPOS_OP_CALL, 0, flag));
	for (unsigned op = 1; op < 16; op++)
		fast_refuses(client, handle, CAPOS_CALL_WORD(CAPOS_IFACE_USER, 5, op, 0, 0));
	for (unsigned words = CAPOS_WORDS + 1; words < 16; words++)
		fast_refuses(client, handle, FAST_CALL(words));
	client->page->send_bytes = 1;
	for (unsigned flag = 2; flag < 256; flag <<= 1)
		fast_refuses(client, handle, CAPOS_CALL_WORD(CAPOS_IFACE_USER, 5, CAPOS_OP_CALL, 0, 1 | flag));
	fast_refuses(client, handle, FAST_CALL(9) | WITH_MESSAGE);
	fast_refuses(client, handle, CAPOS_CALL_WORD(CAPOS_IFACE_USER, 5, CAPOS_OP_RECV, 0, CAPOS_CALL_MESSAGE));
	client->page->send_bytes = CAPOS_MESSAGE_BYTES + 1;
	fast_refuses(client, handle, FAST_CALL(0) | WITH_MESSAGE);
	client->page->send_bytes = ~0u;
	fast_refuses(client, handle, FAST_CALL(0) | WITH_MESSAGE);
	fast_refuses(client, 0, FAST_CALL(0));
	fast_refuses(client, CAPOS_HANDLE(1, 2), FAST_CALL(0));
	fast_refuses(client, CAPOS_HANDLE(1, 5), FAST_CALL(0));
	fast_refuses(client, CAPOS_HANDLE(2, 3), FAST_CALL(0));
	fast_refuses(client, CAPOS_HANDLE(SLOTS_PER_PAGE, 3), FAST_CALL(0));
	fast_refuses(client, CAPOS_HANDLE(2 * SLOTS_PER_PAGE, 3), FAST_CALL(0));
	fast_refuses(client, CAPOS_HANDLE(~0u, 3), FAST_CALL(0));
	(void)fast_handle(1, CAPOS_RIGHTS_ALL & ~(u32)CAPOS_RIGHT_CALL);
	fast_refuses(client, handle, FAST_CALL(0));
	(void)fast_handle(1, CAPOS_RIGHTS_ALL);
	atomic_store_relaxed(&slots[1].type_rights, SLOT_MEANING(CAPOS_IFACE_notification, CAPOS_RIGHTS_ALL));
	fast_refuses(client, handle, FAST_CALL(0));
	(void)fast_handle(1, CAPOS_RIGHTS_ALL);
	endpoint->iface = CAPOS_IFACE_USER + 1;
	fast_refuses(client, handle, FAST_CALL(0));
	endpoint->iface = 0;
	atomic_store_relaxed(&grants[0].dead, 1u);
	fast_refuses(client, handle, FAST_CALL(0));
	atomic_store_relaxed(&grants[0].dead, 0u);
	atomic_store_relaxed(&endpoint->object.state, OBJECT_DYING);
	fast_refuses(client, handle, FAST_CALL(0));
	atomic_store_relaxed(&endpoint->object.state, OBJECT_ALIVE);
	spare = client->spare;
	client->spare = NULL;
	fast_refuses(client, handle, FAST_CALL(0));
	client->spare = spare;
	for (u32 event = 0; event < 32; event++) {
		atomic_store_relaxed(&kernel_state.trace_mask, 1u << event);
		if (event == CAPOS_TRACE_CALL || event == CAPOS_TRACE_RETURN || event == CAPOS_TRACE_SWITCH)
			fast_refuses(client, handle, FAST_CALL(0));
	}
	atomic_store_relaxed(&kernel_state.trace_mask, 0u);
	/* Whose wait somebody else has claimed. */
	assert_true(waiter_claim(&server->wait));
	fast_refuses(client, handle, FAST_CALL(0));
	atomic_store_relaxed(&server->wait.state,
			     atomic_load_relaxed(&server->wait.state) - WAITER_CLAIMED + WAITER_ARMED);
	server->wait.timer.deadline_ns = 1;
	fast_refuses(client, handle, FAST_CALL(0));
	server->wait.timer.deadline_ns = INSTANT_NEVER.ns;

	assert_ptr_equal(fast(client, handle, FAST_CALL(0)), server);
	fast_refuses(server, handle, CAPOS_CALL_WORD(3, 0, CAPOS_OP_REPLY_RECV, 0, CAPOS_CALL_TOKEN));
	fast_refuses(server, handle, FAST_REPLY(9));
	server->page->send_bytes = CAPOS_MESSAGE_BYTES + 1;
	fast_refuses(server, handle, FAST_REPLY(0) | WITH_MESSAGE);
	(void)fast_handle(1, CAPOS_RIGHTS_ALL & ~(u32)CAPOS_RIGHT_RECV);
	fast_refuses(server, handle, FAST_REPLY(0));
	(void)fast_handle(1, CAPOS_RIGHTS_ALL);
	server->page->cq_head--; /* an unread completion */
	fast_refuses(server, handle, FAST_REPLY(0));
	server->page->cq_head++;
	server->borrowed_from_id++; /* its entity came from somebody else */
	fast_refuses(server, handle, FAST_REPLY(0));
	server->borrowed_from_id--;
	assert_ptr_equal(fast(server, handle, FAST_REPLY(0)), client);
}

static void fast_and_kills(void **state)
{
	u64 handle = fast_handle(1, CAPOS_RIGHTS_ALL);

	(void)state;
	fast_world(true);
	/* Marked before the arm: the kill finds nothing to end, so the way out must look (check_armed in sched_exit). */
	atomic_fetch_or(&client->attention, ATTENTION_KILL);
	assert_ptr_equal(fast(client, handle, FAST_CALL(0)), server);
	assert_ptr_equal(cpu->armed_waiter, &client->wait);
	cpu->armed_waiter = NULL;
	atomic_fetch_and(&client->attention, ~ATTENTION_KILL);
	/* The one that goes on has something to do first. */
	atomic_fetch_or(&client->attention, ATTENTION_KILL);
	assert_ptr_equal(fast(server, handle, FAST_REPLY(0)), client);
	assert_ptr_equal(cpu->armed_waiter, &server->wait);
	cpu->armed_waiter = NULL;
	atomic_fetch_and(&client->attention, ~ATTENTION_KILL);
}

/* IP1, with a capability of its own on each side; end() counts the references. */
static void fast_exchanges_grants(void **state)
{
	u64 handle = fast_handle(1, CAPOS_RIGHTS_ALL), derived = fast_handle(2, CAPOS_RIGHTS_ALL);

	(void)state;
	fast_world(true);
	assert_ptr_equal(fast(client, derived, FAST_CALL(0)), server);
	assert_int_equal(grants[0].references.value_, 0);
	assert_int_equal(grants[1].references.value_, 1);
	assert_ptr_equal(client->wait.grant, &grants[1]);
	assert_ptr_equal(fast(server, handle, FAST_REPLY(0)), client);
	assert_int_equal(grants[0].references.value_, 1);
	assert_int_equal(grants[1].references.value_, 0);
}

/* LE8: both wait for a CPU, and the entity comes back. */
static void apart_round_trip(u64 handle, unsigned words, u64 flags)
{
	struct entity *entity = client->own;

	(void)fast(client, handle, FAST_CALL(words) | flags);
	assert_ptr_equal(cpu->armed_waiter, &client->wait);
	assert_true(waiter_is_armed(&client->wait));
	assert_int_equal(client->wait.wait, CAPOS_WAIT_REPLY);
	assert_true(runnable(server) && !runnable(client));
	assert_ptr_equal(server->entity, entity);
	assert_null(client->entity);
	assert_int_equal(atomic_load_relaxed(&entity->loan), LOAN_LENT);
	assert_int_equal(entity->server_set, server->own->set);
	assert_ptr_equal(server->serving, &client->wait);
	check_received(server, words);
	server->mach.frame.word[0] = 100, server->mach.frame.word[1] = 101;
	(void)fast(server, handle, FAST_REPLY(2) | flags);
	assert_ptr_equal(cpu->armed_waiter, &server->wait);
	assert_true(waiter_is_armed(&server->wait));
	assert_true(runnable(client) && !runnable(server));
	assert_ptr_equal(client->entity, entity);
	assert_null(server->entity);
	assert_null(server->serving);
	assert_int_equal(atomic_load_relaxed(&entity->loan), 0);
	assert_int_equal(entity->server_set, 0);
	assert_true(waiter_is_plain(&client->wait));
	check_replied(client);
}

static void apart_world(void)
{
	fast_world(true);
	server->wait.pinned = 1;
}

static void fast_apart(void **state)
{
	u64 handle = fast_handle(1, CAPOS_RIGHTS_ALL);

	(void)state;
	apart_world();
	for (unsigned words = 0; words <= CAPOS_WORDS; words++) {
		for (unsigned i = 0; i < CAPOS_WORDS; i++)
			client->mach.frame.word[i] = 10 + i;
		apart_round_trip(handle, words, 0);
	}
	put_message(client, 100, 3);
	put_message(server, 100, 80);
	client->mach.frame.word[0] = 10;
	memset(server->page->message + 100, 0xee, CAPOS_MESSAGE_BYTES - 100);
	apart_round_trip(handle, 1, WITH_MESSAGE);
	assert_int_equal(server->page->recv_bytes, 100);
	assert_int_equal(client->page->recv_bytes, 100);
	assert_int_equal(client->page->message[99], 3 + 99);
	assert_int_equal(server->page->message[99], 3 + 99);
}

/* Nor by this path; and the general one finds everything as it was. */
static void fast_apart_leaves_the_rest(void **state)
{
	u64 handle = fast_handle(1, CAPOS_RIGHTS_ALL);

	(void)state;
	apart_world();
	off_mask = true;
	fast_refuses(client, handle, FAST_CALL(0));
	off_mask = false;
	server->wait.timer.deadline_ns = 1;
	fast_refuses(client, handle, FAST_CALL(0));
	server->wait.timer.deadline_ns = INSTANT_NEVER.ns;
	client->page->send_bytes = 0;
	fast_refuses(client, handle, FAST_CALL(0) | WITH_MESSAGE);
	atomic_store_relaxed(&grants[0].dead, 1u);
	fast_refuses(client, handle, FAST_CALL(0));
	atomic_store_relaxed(&grants[0].dead, 0u);
	assert_true(waiter_claim(&server->wait));
	fast_refuses(client, handle, FAST_CALL(0));
	atomic_store_relaxed(&server->wait.state,
			     atomic_load_relaxed(&server->wait.state) - WAITER_CLAIMED + WAITER_ARMED);
	client->own = client->spare; /* as if what it runs on was another one's */
	client->spare = client->entity;
	client->entity->depth = CAPOS_DONATION_DEPTH_MAX - 1;
	fast_refuses(client, handle, FAST_CALL(0));
	client->entity->depth = 0;
	client->spare = client->own;
	client->own = client->entity;

	(void)fast(client, handle, FAST_CALL(0));
	assert_ptr_equal(server->entity, client->own);
	server->page->cq_head--; /* an unread completion */
	fast_refuses(server, handle, FAST_REPLY(0));
	server->page->cq_head++;
	server->borrowed_from_id++; /* its entity came from somebody else */
	fast_refuses(server, handle, FAST_REPLY(0));
	server->borrowed_from_id--;
	server->page->send_bytes = CAPOS_MESSAGE_BYTES + 1;
	fast_refuses(server, handle, FAST_REPLY(0) | WITH_MESSAGE);
	call(client2, 0, 0); /* it waits: the server goes on with that */
	fast_refuses(server, handle, FAST_REPLY(0));
	assert_true(waiter_end(cpu, &client2->wait, STATUS(CANCELLED)));
	(void)fast(server, handle, FAST_REPLY(0));
	assert_ptr_equal(client->entity, client->own);
}

/* The mask has changed since the look: the server runs on its own entity, and the caller keeps its. */
static void fast_apart_without_a_loan(void **state)
{
	u64 handle = fast_handle(1, CAPOS_RIGHTS_ALL);

	(void)state;
	apart_world();
	off_mask_after_all = true;
	(void)fast(client, handle, FAST_CALL(1));
	off_mask_after_all = false;
	check_received(server, 1);
	assert_ptr_equal(server->entity, server->own);
	assert_true(runnable(server) && !runnable(client));
	assert_ptr_equal(client->entity, client->own);
	assert_int_equal(atomic_load_relaxed(&client->own->loan), 0);
	assert_true(waiter_is_plain(&client->wait));
	fast_refuses(server, handle, FAST_REPLY(2));
	reply(server, true, 0);
	check_replied(client);
	assert_null(server->entity);
	assert_true(runnable(client));
}

static void fast_active(void **state)
{
	u64 handle = fast_handle(1, CAPOS_RIGHTS_ALL);

	(void)state;
	fast_world(false);
	/* sched_switch_to says no here: the server waits in the queue. */
	(void)fast(client, handle, FAST_CALL(1));
	assert_ptr_equal(cpu->armed_waiter, &client->wait);
	assert_true(runnable(server) && !runnable(client));
	check_received(server, 1);
	server->mach.frame.word[0] = 100, server->mach.frame.word[1] = 101;
	(void)fast(server, handle, FAST_REPLY(2));
	assert_true(runnable(client) && !runnable(server));
	check_replied(client);
}

static void fast_faults(void **state)
{
	u64 handle = fast_handle(1, CAPOS_RIGHTS_ALL);
	struct fault fault = { .cause = FAULT_OPCODE, .detail = 4, .addr = 5, .ip = 6 };

	(void)state;
	fast_world(true);
	client->fault_endpoint = endpoint;
	client->fault_grant = &grants[0];
	client->fault_badge = 9;
	client->mach.frame.call = 1234;
	assert_true(endpoint_fault(cpu, client, &fault));
	assert_ptr_equal(cpu->current, server);
	assert_ptr_equal(cpu->armed_waiter, &client->wait);
	cpu->armed_waiter = NULL;
	assert_int_equal(server->mach.frame.handle, 9);
	assert_int_equal(server->mach.frame.word[0], FAULT_OPCODE);
	assert_int_equal(server->mach.frame.word[3], 6);
	assert_int_equal(server->mach.frame.word[5], client->object.id);
	assert_int_equal(client->wait.wait, CAPOS_WAIT_FAULT);
	server->mach.frame.word[0] = CAPOS_FAULT_SKIP;
	fast_refuses(server, handle, FAST_REPLY(1));
	server->mach.frame.word[0] = CAPOS_FAULT_KILL;
	fast_refuses(server, handle, FAST_REPLY(1));
	server->mach.frame.word[0] = CAPOS_FAULT_RESUME;
	fast_refuses(server, handle, FAST_REPLY(0));
	server->page->send_bytes = 1;
	fast_refuses(server, handle, FAST_REPLY(1) | WITH_MESSAGE);
	assert_ptr_equal(fast(server, handle, FAST_REPLY(1)), client);
	assert_int_equal(client->mach.frame.call, 1234);
	for (unsigned i = 0; i < CAPOS_WORDS; i++)
		assert_int_equal(client->mach.frame.word[i], 10 + i);
	client->fault_endpoint = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(fast_too_deep),
		TEST(fast_round_trips),
		TEST(fast_messages),
		TEST(fast_leaves_the_rest),
		TEST(fast_and_kills),
		TEST(fast_exchanges_grants),
		TEST(fast_active),
		TEST(fast_faults),
		TEST(fast_apart),
		TEST(fast_apart_leaves_the_rest),
		TEST(fast_apart_without_a_loan),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
