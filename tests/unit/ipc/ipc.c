/* SPDX-License-Identifier: MIT */
/* LINK: kernel/ipc/endpoint.c kernel/ipc/endpoint_call.c kernel/ipc/endpoint_recv.c kernel/ipc/endpoint_reply.c kernel/ipc/endpoint_end.c kernel/ipc/endpoint_fast.c kernel/ipc/fault.c kernel/ipc/notification.c kernel/ipc/park.c kernel/ipc/park_fast.c kernel/ipc/ring.c kernel/ipc/ring_op.c kernel/task/wait.c kernel/sched/lend.c kernel/sched/lock.c kernel/cap/errors.c */
/* The IPC room on real waiters and loans; scheduling, memory and capabilities are fakes. One CPU, threads are data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <kernel/debug.h>
#include <kernel/fastpath.h>
#include <kernel/ipc.h>
#include <kernel/state.h>
#include <kernel/trace.h>

struct kernel kernel_state;
struct cpu *sim_cpu_record;
static struct cpu *cpu;
static u64 now_ns;
static u64 pool_live;
static unsigned faults, skips;
static u16 commit_status;
static bool pool_empty;
static u64 next_id;
static struct grant grants[2];
static struct cap ring_cap;
static struct thread *client, *client2, *server;
#define FAST 98	 /* slot of handles through which any call is one of a fast method */
#define PROXY 99 /* handle: an endpoint, whatever interface is named */

void panic(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	abort();
}
struct instant mach_clock(void)
{
	return (struct instant){ now_ns };
}
void mach_thread_leave(struct thread *thread)
{
	(void)thread;
}
bool mach_frame_skip(struct thread *thread)
{
	(void)thread;
	skips++;
	return true;
}
void process_fault(struct cpu *c, struct thread *thread, const struct fault *fault)
{
	(void)c, (void)thread, (void)fault;
	faults++;
}
void trace_record(struct cpu *c, enum capos_trace_event event, u64 thread_id, u64 arg0, u64 arg1)
{
	(void)c, (void)event, (void)thread_id, (void)arg0, (void)arg1;
}
void space_switch(struct cpu *c, struct space *space)
{
	(void)c, (void)space;
}
void space_switch_far(struct cpu *c, struct space *space)
{
	(void)c, (void)space;
}
void mach_space_load(struct mach_space *space)
{
	(void)space;
}
struct thread *sched_exit(struct cpu *c)
{
	return c->current;
}
/* Nobody else is in the queue. */
struct thread *sched_exit_blocked(struct cpu *c, struct thread *from)
{
	assert_null(c->current);
	assert_true(waiter_is_armed(&from->wait));
	c->armed_waiter = &from->wait;
	return client2;
}
struct thread *sched_exit_yield(struct cpu *c, struct thread *from)
{
	(void)c, (void)from;
	return NULL;
}
void policy_charge(struct runq *runq, struct entity *entity, u64 delta_ns)
{
	(void)runq;
	entity->vruntime += delta_ns;
}
bool space_copy_in(struct space *space, void *to, struct uaddr from, size_t n)
{
	(void)space;
	memcpy(to, (const void *)from.va, n);
	return true;
}
void sched_look_soon(struct cpu *c)
{
	(void)c;
}
bool space_translate_loaded(struct space *space, struct uaddr addr, struct paddr *out)
{
	(void)space;
	*out = virt_to_phys((const void *)addr.va);
	return addr.va >= PAGE_BYTES;
}
bool space_shared_key(struct space *space, struct uaddr addr, u64 *object_id, u64 *offset)
{
	(void)space, (void)addr, (void)object_id, (void)offset;
	return false;
}
void timer_start(struct cpu *c, struct timer *timer, struct instant deadline, timer_fn fn)
{
	timer->deadline_ns = deadline.ns;
	timer->fn = fn;
	atomic_store_relaxed(&timer->cpu, c);
}
bool timer_cancel(struct timer *timer)
{
	bool queued = atomic_load_relaxed(&timer->cpu) != NULL;

	atomic_store_relaxed(&timer->cpu, NULL);
	return queued;
}
u16 pool_alloc(enum pool_id pool, struct process *process, void **out)
{
	(void)pool, (void)process;
	if (pool_empty)
		return CAPOS_STATUS_NO_MEMORY;
	*out = calloc(1, 1024);
	pool_live++;
	return CAPOS_STATUS_OK;
}
void pool_uncharge(enum pool_id pool, struct process *process)
{
	(void)pool, (void)process;
}
void pool_free(enum pool_id pool, void *object)
{
	(void)pool;
	pool_live--;
	free(object);
}
bool frame_alloc(struct paddr *out)
{
	*out = virt_to_phys(aligned_alloc(PAGE_BYTES, PAGE_BYTES));
	return true;
}
void frame_free(struct paddr frame)
{
	free(phys_to_virt(frame));
}
bool quota_charge(struct process *process, enum capos_quota kind, u64 amount)
{
	(void)process, (void)kind, (void)amount;
	return true;
}
void quota_uncharge(struct process *process, enum capos_quota kind, u64 amount)
{
	(void)process, (void)kind, (void)amount;
}
void reclaim_defer(struct reclaim_node *node, void (*fn)(struct reclaim_node *))
{
	fn(node);
}
void object_init(struct object *object, u16 type, struct process *owner)
{
	object->type = type;
	object->id = ++next_id;
	object->owner = owner;
	spinlock_init(&object->lock, RANK_OBJECT, object->id);
	atomic_store_relaxed(&object->state, OBJECT_ALIVE);
}
bool grant_get(struct grant *grant)
{
	atomic_fetch_add(&grant->references, 1u);
	return true;
}
void grant_put(struct grant *grant)
{
	atomic_fetch_sub(&grant->references, 1u);
}
void grant_put_later(struct grant *grant)
{
	grant_put(grant);
}
u16 cap_transfer_decode(struct thread *from, u32 count, struct cap out[CAPOS_MESSAGE_CAPS])
{
	(void)from;
	for (u32 i = 0; i < count; i++) {
		out[i] = (struct cap){ .grant = &grants[1] };
		grant_get(&grants[1]);
	}
	return CAPOS_STATUS_OK;
}
u64 cap_transfer_commit(struct process *to, const struct cap *caps, u32 count, u64 handles[CAPOS_MESSAGE_CAPS])
{
	(void)to, (void)caps;
	for (u32 i = 0; i < count; i++)
		handles[i] = 0x100 + i;
	return CAPOS_RESULT(commit_status, 0, 0);
}
void cap_transfer_drop(const struct cap *caps, u32 count)
{
	for (u32 i = 0; i < count; i++)
		grant_put(caps[i].grant);
}
u16 cap_release(struct process *process, u64 handle)
{
	(void)process, (void)handle;
	return CAPOS_STATUS_OK;
}
u16 cap_lookup_typed(struct process *process, u64 handle, u16 type, u32 rights, struct cap *out)
{
	(void)process, (void)type, (void)rights;
	*out = ring_cap;
	return handle != 0 ? CAPOS_STATUS_OK : CAPOS_STATUS_INVALID_HANDLE;
}
static u64 nop(struct call *call)
{
	(void)call;
	return STATUS(OK);
}
static const struct method nop_method = { .name = "nop", .fn = nop };
const struct method *call_method(u32 iface, u16 method)
{
	(void)method;
	return iface == CAPOS_IFACE_cap_table ? &nop_method : NULL;
}
static u64 fast_nop(struct object *object, u64 *word)
{
	(void)object, (void)word;
	return STATUS(OK);
}
static struct slot fast_slot;
static struct grant fast_grant;
static struct object fast_object;
static unsigned looked_up; /* times that call_prepare said yes */
bool call_prepare(struct thread *thread, u64 handle, u64 call_word, struct call_ready *ready)
{
	(void)thread, (void)call_word;
	if (CAPOS_HANDLE_SLOT(handle) != FAST)
		return false;
	looked_up++;
	atomic_store_relaxed(&fast_slot.generation, CAPOS_HANDLE_GENERATION(handle));
	atomic_store_relaxed(&fast_object.state, OBJECT_ALIVE);
	*ready = (struct call_ready){ &fast_slot, CAPOS_HANDLE_GENERATION(handle), &fast_grant, &fast_object,
				      fast_nop };
	return true;
}

u64 call_dispatch(struct call *call, u64 call_word, u64 handle)
{
	if (CAPOS_CALL_IFACE(call_word) == CAPOS_IFACE_cap_table && handle != PROXY)
		return nop(call);
	call->cap = ring_cap;
	return endpoint_call_ring(call, call_word);
}
u64 call_start_operation(struct call *call,
			 enum operation_progress (*step)(struct cpu *, struct thread *, struct operation *))
{
	call->thread->operation.step = step;
	return CALL_OPERATION;
}
void entity_init(struct entity *entity, enum entity_kind kind, u32 pinned_cpu)
{
	*entity = (struct entity){ .kind = (u8)kind, .pinned_cpu = pinned_cpu };
}
void sched_charge(struct cpu *c, struct instant now)
{
	(void)c, (void)now;
}
/* Runnable entities are those with owner QUEUE; B1 is checked here. */
void sched_wake(struct cpu *c, struct entity *entity)
{
	(void)c;
	assert_int_equal(atomic_load_relaxed(&entity->owner), OWNER_NONE);
	atomic_store_relaxed(&entity->owner, OWNER_QUEUE);
}
void sched_detach_current(struct cpu *c)
{
	atomic_store_relaxed(&c->current_entity->owner, OWNER_NONE);
	c->current = NULL;
	c->current_entity = NULL;
}
bool sched_handoff(struct cpu *c, struct thread *thread)
{
	if (c->current != NULL || thread->entity == NULL)
		return false;
	sched_wake(c, thread->entity);
	return true;
}
/* The general way is tried: the caller detaches and hands off itself. */
bool sched_switch_to(struct cpu *c, struct thread *thread)
{
	(void)c, (void)thread;
	return false;
}

/* --- the world --------------------------------------------------------------------------------------------------------- */

static struct endpoint *endpoint;
static struct process *process[2];

static struct thread *thread_new(struct process *of, bool passive)
{
	struct thread *thread = aligned_alloc(64, ALIGN_UP(sizeof(struct thread), 64ul));

	memset(thread, 0, sizeof(*thread));
	thread->process = of;
	thread->passive = passive;
	object_init(&thread->object, CAPOS_IFACE_thread, of);
	thread->page = aligned_alloc(PAGE_BYTES, PAGE_BYTES);
	memset(thread->page, 0, PAGE_BYTES);
	thread->own = calloc(1, 1024);
	entity_init(thread->own, ENTITY_THREAD, CAPOS_CPU_ANY);
	waiter_init(&thread->wait, WAITER_THREAD, thread);
	ring_init(thread);
	pool_live++; /* own */
	return thread;
}

static void thread_delete(struct thread *thread)
{
	assert_true(list_is_empty(&thread->served) && list_is_empty(&thread->ring_ops));
	assert_null(thread->serving);
	if (thread->spare != NULL)
		pool_free(POOL_ENTITY, thread->spare);
	pool_free(POOL_ENTITY, thread->own);
	free(thread->page);
	free(thread);
}

static int begin(void **state)
{
	(void)state;
	memset(&kernel_state, 0, sizeof(kernel_state));
	park_init();
	cpu = aligned_alloc(64, ALIGN_UP(sizeof(struct cpu), 64ul));
	memset(cpu, 0, sizeof(*cpu));
	now_ns = 1000;
	pool_live = 0;
	pool_empty = false;
	ring_cap = (struct cap){ .object = NULL };
	faults = skips = 0;
	commit_status = CAPOS_STATUS_OK;
	memset(grants, 0, sizeof(grants));
	for (int i = 0; i < 2; i++) {
		process[i] = calloc(1, sizeof(struct process));
		object_init(&process[i]->object, CAPOS_IFACE_process, NULL);
	}
	assert_int_equal(endpoint_create(process[1], 0, &endpoint), CAPOS_STATUS_OK);
	client = thread_new(process[0], false);
	client2 = thread_new(process[0], false);
	return 0;
}

/* IP1: those of the endpoint; each test empties what else it makes. */
static unsigned queued_waiters(void)
{
	unsigned count = 0;

	LIST_FOREACH (&endpoint->callers, node)
		count++;
	LIST_FOREACH (&endpoint->receivers, node)
		count++;
	for (unsigned i = 0; i < ENDPOINT_BUCKETS; i++)
		LIST_FOREACH (&endpoint->in_service[i], node)
			count++;
	return count;
}

static int end(void **state)
{
	(void)state;
	assert_int_equal(grants[0].references.value_, queued_waiters());
	thread_delete(client);
	thread_delete(client2);
	if (server != NULL)
		thread_delete(server);
	server = NULL;
	assert_int_equal(grants[1].references.value_, 0);
	pool_free(POOL_ENDPOINT, endpoint);
	assert_int_equal(pool_live, 0);
	free(process[0]);
	free(process[1]);
	free(cpu);
	return 0;
}

static struct cap cap_with_badge(u64 badge)
{
	return (struct cap){
		.object = &endpoint->object, .grant = &grants[0], .badge = badge, .rights = CAPOS_RIGHTS_ALL
	};
}

/* Put the thread on the CPU: it was blocked or new, or its entity is queued. */
static void run(struct thread *thread)
{
	if (cpu->current == thread)
		return;
	if (cpu->current != NULL) {
		atomic_store_relaxed(&cpu->current_entity->owner, OWNER_QUEUE);
		cpu->current = NULL;
	}
	cpu->armed_waiter = NULL;
	if (thread->entity == NULL)
		thread_ready(cpu, thread);
	assert_int_equal(atomic_load_relaxed(&thread->entity->owner), OWNER_QUEUE);
	assert_ptr_equal(thread->entity->thread, thread);
	atomic_store_relaxed(&thread->entity->owner, OWNER_CURRENT);
	cpu->current = thread;
	cpu->current_entity = thread->entity;
}

static bool runnable(struct thread *thread)
{
	return thread->entity != NULL && thread->entity->thread == thread &&
	       atomic_load_relaxed(&thread->entity->owner) != OWNER_NONE;
}

static void step(struct thread *thread)
{
	enum operation_progress progress;

	run(thread);
	progress = thread->operation.step(cpu, thread, &thread->operation);
	if (progress == OPERATION_DONE) {
		atomic_fetch_and(&thread->attention, ~ATTENTION_OPERATION);
		thread->mach.frame.call = thread->operation.result;
	}
}

static void recv(struct thread *thread, u64 deadline)
{
	struct cap cap = cap_with_badge(0);

	run(thread);
	thread->mach.frame.call = CAPOS_CALL_WORD(0, 0, CAPOS_OP_RECV, 1, 0);
	thread->mach.frame.word[0] = deadline;
	endpoint_recv(cpu, thread, &cap);
	assert_int_equal(cpu->lock_depth, 0);
}

static void call(struct thread *thread, unsigned words, unsigned flags)
{
	struct cap cap = cap_with_badge(77);

	run(thread);
	thread->mach.frame.call = CAPOS_CALL_WORD(CAPOS_IFACE_USER, 5, CAPOS_OP_CALL, words, flags);
	for (unsigned i = 0; i < words; i++)
		thread->mach.frame.word[i] = 10 + i;
	endpoint_call(cpu, thread, &cap);
	assert_int_equal(cpu->lock_depth, 0);
}

static void reply(struct thread *thread, bool then_receive, unsigned flags)
{
	struct cap cap = cap_with_badge(0);

	run(thread);
	thread->mach.frame.call = CAPOS_CALL_WORD(3, 0, CAPOS_OP_REPLY_RECV, 2, flags);
	thread->mach.frame.word[0] = 100;
	thread->mach.frame.word[1] = 101;
	endpoint_reply(cpu, thread, &cap, then_receive);
	assert_int_equal(cpu->lock_depth, 0);
}

static void finish(struct thread *thread)
{
	if (waiter_is_armed(&thread->wait))
		assert_true(waiter_end(cpu, &thread->wait, STATUS(CANCELLED)));
	run(thread);
	sched_detach_current(cpu);
	sched_drop_entity(thread);
	while (!endpoint_thread_exit_step(cpu, thread))
		;
}

static void check_received(struct thread *thread, unsigned words)
{
	struct mach_frame *frame = &thread->mach.frame;

	assert_int_equal(CAPOS_RESULT_STATUS(frame->call), CAPOS_STATUS_OK);
	assert_int_equal(CAPOS_RESULT_IRESULT(frame->call), 5);
	assert_int_equal(CAPOS_RECV_WORDS(CAPOS_RESULT_DETAIL(frame->call)), words);
	assert_int_equal(frame->handle, 77);
	for (unsigned i = 0; i < words; i++)
		assert_int_equal(frame->word[i], 10 + i);
}

static void check_replied(struct thread *thread)
{
	assert_int_equal(CAPOS_RESULT_STATUS(thread->mach.frame.call), CAPOS_STATUS_OK);
	assert_int_equal(CAPOS_RESULT_IRESULT(thread->mach.frame.call), 3);
	assert_int_equal(thread->mach.frame.word[0], 100);
	assert_int_equal(thread->mach.frame.word[1], 101);
}

/* --- tests ------------------------------------------------------------------------------------------------------------- */

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

static struct call kernel_call(struct thread *thread, struct object *object)
{
	return (struct call){ .cpu = cpu,
			      .thread = thread,
			      .word = thread->mach.frame.word,
			      .waiter = &thread->wait,
			      .cap = { .object = object, .grant = &grants[0] } };
}

static void test_notification(void **state)
{
	struct notification *notification;
	struct call c;

	(void)state;
	assert_int_equal(notification_create(process[0], &notification), CAPOS_STATUS_OK);
	run(client);
	c = kernel_call(client, &notification->object);
	client->mach.frame.word[0] = 0;
	assert_int_equal(method_notification_signal(&c), STATUS_DETAIL(BAD_ARGUMENT, 0));
	assert_int_equal(method_notification_wait(&c), STATUS(WOULD_BLOCK));
	client->mach.frame.word[0] = now_ns + 5;
	assert_int_equal(method_notification_wait(&c), CALL_BLOCKED);
	notification_signal(cpu, notification, 6);
	assert_true(runnable(client));
	assert_int_equal(client->mach.frame.word[0], 6);
	notification_signal(cpu, notification, 1);
	notification_signal(cpu, notification, 8);
	run(client);
	assert_int_equal(method_notification_poll(&c), STATUS(OK));
	assert_int_equal(client->mach.frame.word[0], 9);
	client->mach.frame.word[0] = CAPOS_NEVER;
	cpu->armed_waiter = NULL;
	assert_int_equal(method_notification_wait(&c), CALL_BLOCKED);
	assert_true(type_notification.kill_step(&notification->object));
	assert_int_equal(client->mach.frame.call, STATUS(REVOKED));
	pool_free(POOL_NOTIFICATION, notification);
}

static void test_park(void **state)
{
	u32 *word = aligned_alloc(64, 64);
	struct object *space;
	struct call c;

	(void)state;
	*word = 3;
	assert_int_equal(park_space_create(process[0], &space), CAPOS_STATUS_OK);
	run(client);
	c = kernel_call(client, space);
	c.word[0] = (u64)word + 1, c.word[1] = 3, c.word[2] = CAPOS_NEVER, c.word[3] = 0;
	assert_int_equal(method_park_space_wait(&c), STATUS_DETAIL(BAD_ARGUMENT, 0));
	c.word[0] = (u64)word, c.word[1] = 4;
	assert_int_equal(method_park_space_wait(&c), IRESULT(CAPOS_PARK_MISMATCH));
	c.word[0] = 8;
	assert_int_equal(method_park_space_wait(&c), STATUS(BAD_ADDRESS));
	c.word[0] = (u64)word, c.word[1] = 3;
	assert_int_equal(method_park_space_wait(&c), CALL_BLOCKED);
	cpu->armed_waiter = NULL;
	run(client2);
	c = kernel_call(client2, space);
	c.word[0] = (u64)word, c.word[1] = 9, c.word[2] = 0;
	assert_int_equal(method_park_space_wake(&c), STATUS(OK));
	assert_int_equal(c.word[0], 1);
	assert_true(runnable(client));
	run(client);
	c = kernel_call(client, space);
	c.word[0] = (u64)word, c.word[1] = 3, c.word[2] = CAPOS_NEVER, c.word[3] = 0;
	assert_int_equal(method_park_space_wait(&c), CALL_BLOCKED);
	assert_true(type_park_space.kill_step(space));
	assert_int_equal(client->mach.frame.call, STATUS(REVOKED));
	pool_free(POOL_PARK_SPACE, container_of(space, struct park_space, object));
	free(word);
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

/* --- park's fast ways (kernel_syscall_park, park_wake_fast) ---------------------------------------------------------------- */

static struct slot park_slots[SLOTS_PER_PAGE];
static u32 park_word[16] __attribute__((aligned(64)));

static struct thread *park_wait(struct thread *thread, u64 handle, const u64 word[4])
{
	struct thread *next;

	run(thread);
	thread->mach.frame.call = PARK_WAIT_WORD;
	thread->mach.frame.handle = handle;
	memcpy(thread->mach.frame.word, word, 4 * sizeof(u64));
	next = kernel_syscall_park(cpu, thread);
	assert_int_equal(cpu->lock_depth, 0);
	return next;
}

/* NULL, and the thread goes on as it was. */
static void park_refuses(u64 handle, const u64 word[4])
{
	struct waiter before = client->wait;
	u32 references = atomic_load_relaxed(&grants[0].references);

	assert_null(park_wait(client, handle, word));
	memset(&client->asked, 0, sizeof(client->asked));
	assert_ptr_equal(cpu->current, client);
	assert_memory_equal(&before, &client->wait, sizeof(before));
	assert_int_equal(client->mach.frame.call, PARK_WAIT_WORD);
	assert_int_equal(atomic_load_relaxed(&grants[0].references), references);
}

static u64 park_wake(struct thread *thread, u64 handle, u64 addr, u64 n)
{
	u64 *word = thread->mach.frame.word;

	word[0] = addr, word[1] = n, word[2] = 0;
	return park_wake_fast(handle, PARK_WAKE_WORD, thread);
}

static void test_park_fast(void **state)
{
	u64 handle = CAPOS_HANDLE(1, 3u), addr = (u64)&park_word[0], runtime;
	struct grant *grant = &grants[0];
	u32 references;
	struct object *space;

	(void)state;
	assert_int_equal(park_space_create(process[0], &space), CAPOS_STATUS_OK);
	atomic_store_relaxed(&park_slots[1].generation, 3u);
	atomic_store_relaxed(&park_slots[1].type_rights, SLOT_MEANING(CAPOS_IFACE_park_space, CAPOS_RIGHTS_ALL));
	atomic_store_relaxed(&park_slots[1].object, space);
	atomic_store_relaxed(&park_slots[1].grant, grant);
	for (int i = 0; i < 2; i++)
		atomic_store_relaxed(&process[i]->table.first, &park_slots[0]);
	atomic_store_relaxed(&grant->references, 5u);
	sim_cpu_record = cpu;
	park_word[0] = 3;

	park_refuses(handle, (u64[]){ addr + 1, 3, CAPOS_NEVER, 0 });
	park_refuses(handle, (u64[]){ addr, 3 | 1ull << 32, CAPOS_NEVER, 0 });
	park_refuses(handle, (u64[]){ addr, 3, 1000, 0 });
	park_refuses(handle, (u64[]){ addr, 3, CAPOS_NEVER, CAPOS_PARK_SHARED });
	park_refuses(handle, (u64[]){ 8, 3, CAPOS_NEVER, 0 });
	park_refuses(CAPOS_HANDLE(1, 5u), (u64[]){ addr, 3, CAPOS_NEVER, 0 });
	atomic_store_relaxed(&park_slots[1].type_rights, SLOT_MEANING(CAPOS_IFACE_park_space, CAPOS_RIGHT_SIGNAL));
	park_refuses(handle, (u64[]){ addr, 3, CAPOS_NEVER, 0 });
	atomic_store_relaxed(&park_slots[1].type_rights, SLOT_MEANING(CAPOS_IFACE_park_space, CAPOS_RIGHT_WAIT));
	assert_int_equal(park_wake(client, handle, addr, 1), CALL_NOT_FAST);
	atomic_store_relaxed(&park_slots[1].type_rights, SLOT_MEANING(CAPOS_IFACE_park_space, CAPOS_RIGHTS_ALL));
	atomic_store_relaxed(&grant->dead, 1u);
	park_refuses(handle, (u64[]){ addr, 3, CAPOS_NEVER, 0 });
	assert_int_equal(park_wake(client, handle, addr, 1), CALL_NOT_FAST);
	atomic_store_relaxed(&grant->dead, 0u);
	atomic_store_relaxed(&kernel_state.trace_mask, 1u << CAPOS_TRACE_CALL);
	park_refuses(handle, (u64[]){ addr, 3, CAPOS_NEVER, 0 });
	atomic_store_relaxed(&kernel_state.trace_mask, 0u);

	/* A mismatch: no reference, no waiter; with something to be done before it goes on, the general way. */
	assert_ptr_equal(park_wait(client, handle, (u64[]){ addr, 4, CAPOS_NEVER, 0 }), client);
	assert_int_equal(client->mach.frame.call, IRESULT(CAPOS_PARK_MISMATCH));
	assert_int_equal(atomic_load_relaxed(&grant->references), 5);
	atomic_store_relaxed(&client->attention, ATTENTION_KILL);
	park_refuses(handle, (u64[]){ addr, 4, CAPOS_NEVER, 0 });
	atomic_store_relaxed(&client->attention, 0u);

	assert_int_equal(park_wake(client, handle, addr, 8), STATUS(OK));
	assert_int_equal(client->mach.frame.word[0], 0);
	assert_int_equal(park_wake(client, handle, addr, 9), CALL_NOT_FAST);
	assert_int_equal(park_wake(client, handle, addr + 2, 1), CALL_NOT_FAST);

	/* It waits, charged; who wakes another word, or nobody, leaves it. */
	cpu->account_ns = now_ns;
	runtime = client->account.runtime_ns;
	now_ns += 70;
	assert_ptr_equal(park_wait(client, handle, (u64[]){ addr, 3, CAPOS_NEVER, 0 }), client2);
	assert_false(runnable(client));
	assert_int_equal(client->account.runtime_ns, runtime + 70);
	assert_true(waiter_is_armed(&client->wait));
	assert_int_equal(client->wait.wait, CAPOS_WAIT_PARK);
	references = atomic_load_relaxed(&grant->references);
	assert_int_equal(references, 6);
	run(client2);
	assert_int_equal(park_wake(client2, handle, addr + 4, 1), STATUS(OK));
	assert_int_equal(client2->mach.frame.word[0], 0);
	assert_int_equal(park_wake(client2, handle, addr, 0), STATUS(OK));
	assert_int_equal(client2->mach.frame.word[0], 0);
	assert_true(waiter_is_armed(&client->wait));
	assert_int_equal(park_wake(client2, handle, addr, 1), STATUS(OK));
	assert_int_equal(client2->mach.frame.word[0], 1);
	assert_int_equal(client->mach.frame.call, STATUS(OK));
	assert_true(runnable(client));
	assert_false(waiter_is_armed(&client->wait));
	assert_int_equal(atomic_load_relaxed(&grant->references), 5);

	/* The end of the park space ends the wait. */
	assert_ptr_equal(park_wait(client, handle, (u64[]){ addr, 3, CAPOS_NEVER, 0 }), client2);
	assert_true(type_park_space.kill_step(space));
	assert_int_equal(client->mach.frame.call, STATUS(REVOKED));
	assert_int_equal(atomic_load_relaxed(&grant->references), 5);
	atomic_store_relaxed(&space->state, OBJECT_DYING);
	park_refuses(handle, (u64[]){ addr, 3, CAPOS_NEVER, 0 });
	park_refuses(handle, (u64[]){ addr, 4, CAPOS_NEVER, 0 });
	assert_int_equal(park_wake(client, handle, addr, 1), CALL_NOT_FAST);
	pool_free(POOL_PARK_SPACE, container_of(space, struct park_space, object));
	atomic_fetch_sub(&grant->references, 5u);
	sim_cpu_record = NULL;
}

/* --- the fast path (kernel_syscall_ipc) -------------------------------------------------------------------------------- */

#define FAST_CALL(words) CAPOS_CALL_WORD(CAPOS_IFACE_USER, 5, CAPOS_OP_CALL, (words), 0)
#define FAST_REPLY(words) CAPOS_CALL_WORD(3, 0, CAPOS_OP_REPLY_RECV, (words), 0)

static struct slot slots[SLOTS_PER_PAGE];

/* Both processes have this table: slot 1 is a handle of everybody, with badge 77, slot 2 is one through another grant. */
static u64 fast_handle(u32 index, u32 rights)
{
	struct slot *slot = &slots[index];

	atomic_store_relaxed(&slot->generation, 3u);
	atomic_store_relaxed(&slot->type_rights, SLOT_MEANING(CAPOS_IFACE_endpoint, rights));
	atomic_store_relaxed(&slot->object, &endpoint->object);
	atomic_store_relaxed(&slot->grant, &grants[index - 1]);
	atomic_store_relaxed(&slot->badge, 77ull);
	for (int i = 0; i < 2; i++)
		atomic_store_relaxed(&process[i]->table.first, &slots[0]);
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
	fast_refuses(client, 0, FAST_CALL(0));
	fast_refuses(client, CAPOS_HANDLE(1, 2), FAST_CALL(0));
	fast_refuses(client, CAPOS_HANDLE(1, 5), FAST_CALL(0));
	fast_refuses(client, CAPOS_HANDLE(2, 3), FAST_CALL(0));
	fast_refuses(client, CAPOS_HANDLE(SLOTS_PER_PAGE, 3), FAST_CALL(0));
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

static void fast_active(void **state)
{
	u64 handle = fast_handle(1, CAPOS_RIGHTS_ALL);

	(void)state;
	fast_world(false);
	/* sched_switch_to says no here: the server is left to the queue. */
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
	assert_ptr_equal(fast(server, handle, FAST_REPLY(1)), client);
	assert_int_equal(client->mach.frame.call, 1234);
	for (unsigned i = 0; i < CAPOS_WORDS; i++)
		assert_int_equal(client->mach.frame.word[i], 10 + i);
	client->fault_endpoint = NULL;
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		T(fast_round_trips),
		T(fast_leaves_the_rest),
		T(fast_and_kills),
		T(fast_exchanges_grants),
		T(fast_active),
		T(fast_faults),
		T(test_passive_round_trip),
		T(test_active_round_trip),
		T(test_caller_killed),
		T(test_server_dies),
		T(test_queued_call_lends),
		T(test_queued_call_ends_otherwise),
		T(test_reply_without_handle),
		T(test_server_of_many_dies),
		T(test_waiters_hold_grants),
		T(test_token_reply_and_exception),
		T(test_message_and_caps),
		T(test_endpoint_ends),
		T(test_fault),
		T(test_ring_batch),
		T(test_ring_fast),
		T(test_ring_call),
		T(test_ring_call_proxy),
		T(test_receive_sees_completions),
		T(test_notification),
		T(test_park),
		T(test_park_fast),
		T(test_ring_enter_ended),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
