/* SPDX-License-Identifier: MIT */
/* LINK: kernel/cap/call.c kernel/cap/cap_table.c kernel/cap/transfer.c kernel/cap/grant.c kernel/cap/table.c kernel/cap/object.c kernel/cap/reclaim.c kernel/cap/quota.c kernel/sched/lock.c kernel/cap/errors.c */
/* Calls as a program makes them: each kind of wrong call has its own answer, and changes nothing. */
#include "fakes.h"

#include <kernel/ipc.h>
#include <kernel/trace.h>

static const char *went_to;

#define GOES(name, ...)                                                                                              \
	{                                                                                                            \
		went_to = name;                                                                                      \
		__VA_ARGS__;                                                                                         \
	}
u64 ring_enter_fast(struct thread *thread_)
{
	(void)thread_;
	return CALL_NOT_FAST;
}
u64 park_wake_fast(u64 handle, u64 call_word, struct thread *thread_)
{
	(void)handle, (void)call_word, (void)thread_;
	return CALL_NOT_FAST;
}
void endpoint_call(struct cpu *cpu, struct thread *caller, const struct cap *cap)
	GOES("call", (void)cpu, (void)caller, (void)cap) void endpoint_recv(struct cpu *cpu, struct thread *server,
									    const struct cap *cap)
		GOES("recv", (void)cpu, (void)server,
		     (void)cap) void endpoint_reply(struct cpu *cpu, struct thread *server, const struct cap *cap,
						    bool then_receive)
			GOES(then_receive ? "reply_recv" : "reply", (void)cpu, (void)server, (void)cap) u64
	endpoint_call_ring(struct call *call, u64 call_word)
		GOES("call_ring", (void)call, (void)call_word;
		     return STATUS(OK)) void ring_enter(struct cpu *cpu, struct thread *thread)
			GOES("enter", (void)cpu, (void)thread) void sched_yield_current(struct cpu *cpu)
				GOES("yield", (void)cpu) void trace_record(struct cpu *cpu,
									   enum capos_trace_event event,
									   u64 thread_id, u64 arg0, u64 arg1)
					GOES("trace", (void)cpu, (void)event, (void)thread_id, (void)arg0, (void)arg1)

						static u8 seen[CAPOS_MESSAGE_BYTES];
static u32 seen_bytes;
static u64 echo(struct call *call)
{
	seen_bytes = call->in_bytes;
	memcpy(seen, call->in, call->in_bytes);
	memcpy(call->out, "pong", 4);
	call->out_bytes = 4;
	return STATUS(OK);
}
#define NO_METHOD(iface, method)                                                                                     \
	u64 fast_##iface##_##method(struct object *object, u64 *word)                                                \
	{                                                                                                            \
		(void)object, (void)word;                                                                            \
		return STATUS(NOT_SUPPORTED);                                                                        \
	}
NO_METHOD(timer, now)
NO_METHOD(wall_clock, now)
NO_METHOD(notification, poll)
NO_METHOD(memory_object, info)
static void fake_free(struct object *object)
{
	free(object);
}
static const struct method echo_methods[] = { { .name = "echo",
						.fn = echo,
						.rights = CAPOS_RIGHT_READ,
						.words_in = 1,
						.bytes_in_max = 16,
						.bytes_out_max = 16 } };
static const struct object_type echo_type = {
	.name = "log", .type = CAPOS_IFACE_log, .method_count = 1, .methods = echo_methods, .free = fake_free
};
static const struct object_type endpoint_type = { .name = "endpoint",
						  .type = CAPOS_IFACE_endpoint,
						  .free = fake_free };
const struct object_type *const object_types[CAPOS_IFACE_COUNT] = {
	[CAPOS_IFACE_cap_table] = &type_cap_table,
	[CAPOS_IFACE_log] = &echo_type,
	[CAPOS_IFACE_endpoint] = &endpoint_type,
};
const struct object_type *object_type(u16 type)
{
	return object_types[type];
}

/* --- a program ------------------------------------------------------------------------------------------------------- */

static struct thread *thread;
static struct process *process;
static struct object *log_object;
static struct endpoint *endpoint;
static u64 caps, log_handle, port;

static int program_begin(void **state)
{
	world_begin(state);
	process = process_new(1 << 20, 20);
	thread = aligned_alloc(64, ALIGN_UP(sizeof(*thread), 64ul));
	memset(thread, 0, sizeof(*thread));
	thread->process = process;
	thread->page = calloc(1, sizeof(*thread->page));
	cpus[0]->current = thread;
	assert_int_equal(cap_table_object_publish(process), CAPOS_STATUS_OK);
	assert_int_equal(cap_insert_root(process, &process->table_object, 0, &caps), CAPOS_STATUS_OK);
	log_object = calloc(1, sizeof(*log_object));
	object_init(log_object, CAPOS_IFACE_log, process);
	assert_int_equal(object_publish(log_object), CAPOS_STATUS_OK);
	assert_int_equal(cap_insert_root(process, log_object, CAPOS_RIGHTS_ALL, &log_handle), CAPOS_STATUS_OK);
	endpoint = calloc(1, sizeof(*endpoint));
	endpoint->iface = CAPOS_IFACE_USER + 7;
	object_init(&endpoint->object, CAPOS_IFACE_endpoint, process);
	assert_int_equal(object_publish(&endpoint->object), CAPOS_STATUS_OK);
	assert_int_equal(cap_insert_root(process, &endpoint->object, CAPOS_RIGHTS_ALL, &port), CAPOS_STATUS_OK);
	went_to = NULL;
	seen_bytes = 0;
	return 0;
}

static int program_end(void **state)
{
	/* The process owned everything. */
	for (struct list_node *node; (node = list_first(&process->objects)) != NULL;) {
		struct object *object = LIST_ENTRY(node, struct object, owner_link);

		if (object_begin_destroy(object))
			while (!object_end_step(object))
				;
	}
	while (!cap_table_destroy_step(process))
		;
	assert_int_equal(memory_used(process), 0);
	let_grace_pass();
	assert_int_equal(pool_live[POOL_GRANT], 0);
	free(thread->page);
	free(thread);
	free(process);
	return world_end(state);
}

static u64 call(u64 call_word, u64 handle, u64 w0, u64 w1, u64 w2)
{
	struct mach_frame *frame = &thread->mach.frame;

	frame->call = call_word;
	frame->handle = handle;
	frame->word[0] = w0, frame->word[1] = w1, frame->word[2] = w2;
	call_syscall(cpus[0]);
	/* What the dispatcher would do. */
	while ((atomic_load_relaxed(&thread->attention) & ATTENTION_OPERATION) != 0) {
		if (thread->operation.step(cpus[0], thread, &thread->operation) != OPERATION_DONE)
			continue;
		frame->call = thread->operation.result;
		atomic_store_relaxed(&thread->attention, 0u);
	}
	return frame->call;
}

#define TABLE(method, words) CAPOS_CALL_WORD(CAPOS_IFACE_cap_table, CAPOS_METHOD_cap_table_##method, 0, words, 0)
#define ECHO(words, flags) CAPOS_CALL_WORD(CAPOS_IFACE_log, 0, 0, words, flags)

static void wrong_calls(void **state)
{
	u64 readless;

	(void)state;
	assert_int_equal(call(TABLE(nop, 0), caps, 0, 0, 0), STATUS(OK));
	assert_int_equal(call(TABLE(nop, 0), 0, 0, 0, 0), STATUS(INVALID_HANDLE));
	assert_int_equal(call(TABLE(nop, 0), caps + 100, 0, 0, 0), STATUS(INVALID_HANDLE));
	assert_int_equal(call(TABLE(nop, 0), log_handle, 0, 0, 0), STATUS(WRONG_INTERFACE));
	assert_int_equal(call(TABLE(nop, 1), caps, 0, 0, 0), STATUS(BAD_SIZE));
	assert_int_equal(call(TABLE(nop, 9), caps, 0, 0, 0), STATUS(BAD_SIZE));
	assert_int_equal(call(CAPOS_CALL_WORD(CAPOS_IFACE_cap_table, 8, 0, 0, 0), caps, 0, 0, 0),
			 STATUS(UNKNOWN_METHOD));
	assert_int_equal(call(CAPOS_CALL_WORD(CAPOS_IFACE_cap_table, 65535, 0, 0, 0), caps, 0, 0, 0),
			 STATUS(UNKNOWN_METHOD));
	assert_int_equal(call(CAPOS_CALL_WORD(0xffffffffu, 0, 0, 0, 0), caps, 0, 0, 0), STATUS(WRONG_INTERFACE));
	for (unsigned op = 6; op < 16; op++)
		assert_int_equal(call(CAPOS_CALL_WORD(1, 0, op, 0, 0), caps, 0, 0, 0), STATUS(UNKNOWN_METHOD));
	for (unsigned bit = 2; bit < 8; bit++)
		assert_int_equal(call(CAPOS_CALL_WORD(1, 0, 0, 0, 1u << bit), caps, 0, 0, 0),
				 STATUS_DETAIL(BAD_ARGUMENT, 8));
	assert_int_equal(call(CAPOS_CALL_WORD(1, 0, 0, 0, CAPOS_CALL_MESSAGE), caps, 0, 0, 0), STATUS(BAD_SIZE));
	assert_int_equal(call(CAPOS_CALL_WORD(1, 0, 0, 0, CAPOS_CALL_CAPS), caps, 0, 0, 0), STATUS(BAD_SIZE));
	assert_int_equal(call(TABLE(copy, 2), caps, log_handle, CAPOS_RIGHT_WRITE, 0), STATUS(OK));
	readless = thread->mach.frame.word[0];
	assert_int_equal(call(ECHO(1, CAPOS_CALL_MESSAGE), readless, 0, 0, 0), STATUS(MISSING_RIGHTS));
	assert_int_equal(call(TABLE(release, 1), caps, readless, 0, 0), STATUS(OK));
	assert_int_equal(call(ECHO(1, CAPOS_CALL_MESSAGE), readless, 0, 0, 0), STATUS(STALE_HANDLE));
	assert_null(went_to);
	assert_int_equal(seen_bytes, 0);
}

/* kernel_syscall_fast: what it ends, ends as by the general way; the rest it leaves alone. call_prepare: what goes well, and no more. */
static void fast_as_general(void **state)
{
	u64 readless, gone, handles[12];
	struct call_ready ready;
	unsigned fast = 0;

	(void)state;
	assert_int_equal(call(TABLE(copy, 2), caps, log_handle, CAPOS_RIGHT_WRITE, 0), STATUS(OK));
	readless = thread->mach.frame.word[0];
	assert_int_equal(call(TABLE(copy, 2), caps, log_handle, CAPOS_RIGHT_WRITE, 0), STATUS(OK));
	gone = thread->mach.frame.word[0];
	assert_int_equal(call(TABLE(release, 1), caps, gone, 0, 0), STATUS(OK));
	memcpy(handles,
	       (u64[]){ caps, log_handle, port, readless, gone, 0, ~0ull, caps + (1ull << 32), caps - (1ull << 32),
			caps + SLOTS_PER_PAGE, caps + 0x80000000ull, gone + (1ull << 32) },
	       sizeof(handles));
	for (unsigned h = 0; h < sizeof(handles) / sizeof(handles[0]); h++)
		for (u32 iface = 1; iface < CAPOS_IFACE_COUNT; iface++)
			for (u32 method = 0; method < 40; method++)
				for (unsigned words = 0; words < 3; words++) {
					u64 word = CAPOS_CALL_WORD(iface, method, 0, words, 0), result;

					if (iface == CAPOS_IFACE_cap_table && method != 0)
						continue; /* they change the table */
					thread->mach.frame.handle = handles[h];
					result = kernel_syscall_fast(word, thread);
					assert_int_equal(call_prepare(thread, handles[h], word, &ready),
							 object_types[iface] != NULL && result == STATUS(OK));
					if (result == CALL_NOT_FAST)
						continue;
					fast++;
					if (object_types[iface] == NULL) { /* not in this test */
						assert_int_not_equal(result, STATUS(OK));
						continue;
					}
					assert_int_equal(call(word, handles[h], 0, 0, 0), result);
				}
	assert_true(fast >= sizeof(handles) / sizeof(handles[0]));
	/* Everything else about the word. */
	thread->mach.frame.handle = caps;
	assert_int_equal(kernel_syscall_fast(TABLE(nop, 0), thread), STATUS(OK));
	for (unsigned bit = 32; bit < 64; bit++)
		assert_int_equal(kernel_syscall_fast(TABLE(nop, 0) ^ 1ull << bit, thread), CALL_NOT_FAST);
	assert_false(call_prepare(thread, caps, 0, &ready));
	/* A kernel interface that an endpoint serves, tracing, what is revoked. */
	thread->mach.frame.handle = port;
	assert_int_equal(kernel_syscall_fast(TABLE(nop, 0), thread), CALL_NOT_FAST);
	thread->mach.frame.handle = caps;
	atomic_store_relaxed(&kernel_state.trace_mask, 1u << CAPOS_TRACE_CALL);
	assert_int_equal(kernel_syscall_fast(TABLE(nop, 0), thread), CALL_NOT_FAST);
	atomic_store_relaxed(&kernel_state.trace_mask, 0u);
	atomic_store_relaxed(&process->table_object.root->dead, 1u);
	assert_int_equal(kernel_syscall_fast(TABLE(nop, 0), thread), STATUS(REVOKED));
	atomic_store_relaxed(&process->table_object.root->dead, 0u);
	atomic_store_relaxed(&process->table_object.state, OBJECT_DYING);
	assert_int_equal(kernel_syscall_fast(TABLE(nop, 0), thread), STATUS(REVOKED));
	atomic_store_relaxed(&process->table_object.state, OBJECT_ALIVE);
}

static void messages(void **state)
{
	(void)state;
	memcpy(thread->page->message, "ping", 4);
	thread->page->send_bytes = 4;
	assert_int_equal(call(ECHO(1, CAPOS_CALL_MESSAGE), log_handle, 0, 0, 0), STATUS(OK));
	assert_int_equal(seen_bytes, 4);
	assert_memory_equal(seen, "ping", 4);
	assert_memory_equal(thread->page->message, "pong", 4);
	assert_int_equal(thread->page->recv_bytes, 4);
	seen_bytes = 0;
	assert_int_equal(call(ECHO(1, 0), log_handle, 0, 0, 0), STATUS(BAD_SIZE));
	thread->page->send_bytes = 17;
	assert_int_equal(call(ECHO(1, CAPOS_CALL_MESSAGE), log_handle, 0, 0, 0), STATUS(BAD_SIZE));
	thread->page->send_bytes = ~0u;
	assert_int_equal(call(ECHO(1, CAPOS_CALL_MESSAGE), log_handle, 0, 0, 0), STATUS(BAD_SIZE));
	thread->page->send_bytes = 0;
	assert_int_equal(call(ECHO(1, CAPOS_CALL_MESSAGE), log_handle, 0, 0, 0), STATUS(BAD_SIZE));
	assert_int_equal(seen_bytes, 0);
}

static void endpoints_go_their_way(void **state)
{
	struct call ring = { .cpu = cpus[0], .thread = thread, .ring = true };
	u64 own = CAPOS_CALL_WORD(CAPOS_IFACE_USER + 7, 3, 0, 8, CAPOS_CALL_MESSAGE), copy;

	(void)state;
	call(own, port, 0, 0, 0);
	assert_string_equal(went_to, "call");
	went_to = NULL;
	assert_int_equal(call(own + 1, port, 0, 0, 0), STATUS(WRONG_INTERFACE));
	assert_int_equal(call(TABLE(copy, 2), caps, port, CAPOS_RIGHT_READ, 0), STATUS(OK));
	copy = thread->mach.frame.word[0];
	assert_int_equal(call(own, copy, 0, 0, 0), STATUS(MISSING_RIGHTS));
	assert_int_equal(call(CAPOS_CALL_WORD(0, 0, CAPOS_OP_RECV, 1, 0), copy, 0, 0, 0), STATUS(MISSING_RIGHTS));
	assert_int_equal(call(CAPOS_CALL_WORD(0, 0, CAPOS_OP_RECV, 1, 0), log_handle, 0, 0, 0),
			 STATUS(WRONG_INTERFACE));
	assert_int_equal(call(CAPOS_CALL_WORD(0, 0, CAPOS_OP_RECV, 1, 1), port, 0, 0, 0),
			 STATUS_DETAIL(BAD_ARGUMENT, 8));
	assert_null(went_to);
	call(CAPOS_CALL_WORD(0, 0, CAPOS_OP_RECV, 1, 0), port, 0, 0, 0);
	assert_string_equal(went_to, "recv");
	call(CAPOS_CALL_WORD(0, 0, CAPOS_OP_REPLY_RECV, 1, 15), port, 0, 0, 0);
	assert_string_equal(went_to, "reply_recv");
	call(CAPOS_CALL_WORD(0, 0, CAPOS_OP_REPLY, 1, 15), 0, 0, 0, 0);
	assert_string_equal(went_to, "reply");
	call(CAPOS_CALL_WORD(0, 0, CAPOS_OP_ENTER, 2, 0), 0, 0, 0, 0);
	assert_string_equal(went_to, "enter");
	assert_int_equal(call(CAPOS_CALL_WORD(0, 0, CAPOS_OP_YIELD, 0, 0), 0, 0, 0, 0), STATUS(OK));
	assert_string_equal(went_to, "yield");
	assert_int_equal(call_dispatch(&ring, own, port), STATUS(OK));
	assert_string_equal(went_to, "call_ring");
	assert_int_equal(call_dispatch(&ring, own + 1, port), STATUS(WRONG_INTERFACE));
}

static void table_methods(void **state)
{
	struct mach_frame *frame = &thread->mach.frame;
	struct capos_cap_record *record = (struct capos_cap_record *)thread->page->message;
	u64 child, badged;

	(void)state;
	assert_int_equal(call(TABLE(derive, 3), caps, log_handle, CAPOS_RIGHT_READ | CAPOS_RIGHT_GRANT, 0),
			 STATUS(OK));
	child = frame->word[0];
	assert_int_equal(call(TABLE(info, 1), caps, child, 0, 0), STATUS(OK));
	assert_int_equal(frame->word[0], CAPOS_IFACE_log);
	assert_int_equal(frame->word[1], CAPOS_RIGHT_READ | CAPOS_RIGHT_GRANT);
	assert_int_equal(call(TABLE(derive, 3), caps, child, CAPOS_RIGHT_WRITE, 0), STATUS_DETAIL(MISSING_RIGHTS, 1));
	assert_int_equal(call(TABLE(derive, 3), caps, child, 1u << 11, 0), STATUS_DETAIL(BAD_ARGUMENT, 1));
	assert_int_equal(call(TABLE(derive, 3), caps, child, 1, 5), STATUS_DETAIL(BAD_ARGUMENT, 2));
	assert_int_equal(call(TABLE(derive, 3), caps, 0, 1, 0), STATUS_DETAIL(INVALID_HANDLE, 1));
	assert_int_equal(call(TABLE(destroy, 1), caps, child, 0, 0), STATUS_DETAIL(MISSING_RIGHTS, 1));
	assert_int_equal(call(TABLE(derive, 3), caps, port, CAPOS_RIGHTS_ALL, 5), STATUS(OK));
	badged = frame->word[0];
	assert_int_equal(call(TABLE(derive, 3), caps, badged, 1, 6), STATUS_DETAIL(BAD_ARGUMENT, 2));
	assert_int_equal(call(TABLE(list, 1), caps, 0, 0, 0), STATUS(OK));
	assert_int_equal(frame->word[0], 5);
	assert_int_equal(frame->word[1], 0);
	assert_int_equal(record[4].handle, badged);
	assert_int_equal(record[4].badge, 5);
	assert_int_equal(call(TABLE(revoke, 1), caps, log_handle, 0, 0), STATUS(OK));
	assert_int_equal(call(TABLE(info, 1), caps, child, 0, 0), STATUS_DETAIL(REVOKED, 1));
	assert_int_equal(call(TABLE(info, 1), caps, log_handle, 0, 0), STATUS(OK));
	assert_int_equal(call(TABLE(revoke, 1), caps, child, 0, 0), STATUS_DETAIL(REVOKED, 1));
	assert_int_equal(call(TABLE(release, 1), caps, child, 0, 0), STATUS(OK));
	assert_int_equal(call(TABLE(destroy, 1), caps, log_handle, 0, 0), STATUS(OK));
	assert_int_equal(call(TABLE(destroy, 1), caps, log_handle, 0, 0), STATUS_DETAIL(REVOKED, 1));
	assert_int_equal(call(ECHO(1, CAPOS_CALL_MESSAGE), log_handle, 0, 0, 0), STATUS(REVOKED));
}

static void transfer_is_all_or_nothing(void **state)
{
	struct process *to = process_new(1 << 20, 2);
	struct cap cap[CAPOS_MESSAGE_CAPS];
	u64 handle[CAPOS_MESSAGE_CAPS];

	(void)state;
	thread->page->send_cap[0] = log_handle;
	thread->page->send_cap[1] = port;
	thread->page->send_cap[2] = log_handle;
	assert_int_equal(cap_transfer_decode(thread, 5, cap), CAPOS_STATUS_BAD_SIZE);
	assert_int_equal(cap_transfer_decode(thread, 4, cap), CAPOS_STATUS_INVALID_HANDLE);
	assert_int_equal(cap_transfer_decode(thread, 3, cap), CAPOS_STATUS_OK);
	assert_int_equal(cap_transfer_commit(to, cap, 3, handle), STATUS_DETAIL(QUOTA_EXCEEDED, CAPOS_QUOTA_SLOTS));
	assert_int_equal(atomic_load_relaxed(&to->quota.used[CAPOS_QUOTA_SLOTS]), 0);
	assert_int_equal(cap_transfer_commit(to, cap, 2, handle), STATUS(OK));
	assert_int_equal(atomic_load_relaxed(&to->quota.used[CAPOS_QUOTA_SLOTS]), 2);
	cap_transfer_drop(cap, 3);
	cap_table_verify(to);
	while (!cap_table_destroy_step(to))
		;
	assert_int_equal(memory_used(to), 0);
	let_grace_pass();
	free(to);
}

/* Equal entries of a batch are looked up once, and again when anything of it went. */
static void equal_entries_look_whether_it_still_holds(void **state)
{
	const u64 nop = CAPOS_CALL_WORD(CAPOS_IFACE_cap_table, CAPOS_METHOD_cap_table_nop, CAPOS_OP_CALL, 0, 0);
	struct call_ready ready;
	u64 word[CALL_READY_WORDS] = { 0 }, second;

	(void)state;
	assert_int_equal(cap_insert_root(process, &process->table_object, 0, &second), CAPOS_STATUS_OK);
	assert_true(call_prepare(thread, second, nop, &ready));
	assert_int_equal(ready.generation, CAPOS_HANDLE_GENERATION(second));
	assert_true(call_ready_holds(&ready));
	assert_int_equal(ready.fn(ready.object, word), STATUS(OK));
	atomic_store_relaxed(&ready.grant->dead, 1u);
	assert_false(call_ready_holds(&ready));
	assert_false(call_prepare(thread, second, nop, &ready));
	atomic_store_relaxed(&ready.grant->dead, 0u);
	assert_true(call_prepare(thread, second, nop, &ready));
	atomic_store_relaxed(&process->table_object.state, OBJECT_DYING);
	assert_false(call_ready_holds(&ready));
	assert_false(call_prepare(thread, second, nop, &ready));
	atomic_store_relaxed(&process->table_object.state, OBJECT_ALIVE);
	assert_true(call_prepare(thread, second, nop, &ready));
	assert_int_equal(cap_release(process, second), CAPOS_STATUS_OK);
	assert_false(call_ready_holds(&ready));
	assert_false(call_prepare(thread, second, nop, &ready));
	assert_false(call_prepare(thread, log_handle, nop, &ready));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, program_begin, program_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(equal_entries_look_whether_it_still_holds),
		TEST(wrong_calls),
		TEST(messages),
		TEST(endpoints_go_their_way),
		TEST(table_methods),
		TEST(transfer_is_all_or_nothing),
		TEST(fast_as_general),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
