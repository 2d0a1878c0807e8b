/* SPDX-License-Identifier: MIT */
/* The world of an IPC test: an endpoint of process[1], two clients of process[0], one CPU. Threads are data; the verbs do what a thread
 * that calls, receives and replies does. */
#ifndef TESTS_IPC_WORLD_H
#define TESTS_IPC_WORLD_H

#include "fakes.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

static struct endpoint *endpoint;
static struct process *process[2];

static inline struct thread *thread_new(struct process *of, bool passive)
{
	struct thread *thread = aligned_alloc(64, ALIGN_UP(sizeof(struct thread), 64ul));

	memset(thread, 0, sizeof(*thread));
	thread->process = of;
	thread->passive = passive;
	object_init(&thread->object, CAPOS_IFACE_thread, of);
	thread->page = aligned_alloc(PAGE_BYTES, PAGE_BYTES);
	memset(thread->page, 0, PAGE_BYTES);
	thread->own = calloc(1, 1024);
	entity_init(thread->own, ENTITY_THREAD, AFFINITY_ANY);
	atomic_store_relaxed(&thread->own->cpu, cpu);
	waiter_init(&thread->wait, WAITER_THREAD, thread);
	ring_init(thread);
	pool_live++; /* own */
	return thread;
}

static inline void thread_delete(struct thread *thread)
{
	assert_true(list_is_empty(&thread->served) && list_is_empty(&thread->ring_ops));
	assert_null(thread->serving);
	if (thread->spare != NULL)
		pool_free(POOL_ENTITY, thread->spare);
	pool_free(POOL_ENTITY, thread->own);
	free(thread->page);
	free(thread);
}

static inline int begin(void **state)
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
static inline unsigned queued_waiters(void)
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

static inline int end(void **state)
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

static inline struct cap cap_with_badge(u64 badge)
{
	return (struct cap){
		.object = &endpoint->object, .grant = &grants[0], .badge = badge, .rights = CAPOS_RIGHTS_ALL
	};
}

/* Put the thread on the CPU: it was blocked or new, or its entity is queued. */
static inline void run(struct thread *thread)
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

static inline bool runnable(struct thread *thread)
{
	return thread->entity != NULL && thread->entity->thread == thread &&
	       atomic_load_relaxed(&thread->entity->owner) != OWNER_NONE;
}

static inline void step(struct thread *thread)
{
	enum operation_progress progress;

	run(thread);
	progress = thread->operation.step(cpu, thread, &thread->operation);
	if (progress == OPERATION_DONE) {
		atomic_fetch_and(&thread->attention, ~ATTENTION_OPERATION);
		thread->mach.frame.call = thread->operation.result;
	}
}

static inline void recv(struct thread *thread, u64 deadline)
{
	struct cap cap = cap_with_badge(0);

	run(thread);
	thread->mach.frame.call = CAPOS_CALL_WORD(0, 0, CAPOS_OP_RECV, 1, 0);
	thread->mach.frame.word[0] = deadline;
	endpoint_recv(cpu, thread, &cap);
	assert_int_equal(cpu->lock_depth, 0);
}

static inline void call(struct thread *thread, unsigned words, unsigned flags)
{
	struct cap cap = cap_with_badge(77);

	run(thread);
	thread->mach.frame.call = CAPOS_CALL_WORD(CAPOS_IFACE_USER, 5, CAPOS_OP_CALL, words, flags);
	for (unsigned i = 0; i < words; i++)
		thread->mach.frame.word[i] = 10 + i;
	endpoint_call(cpu, thread, &cap);
	assert_int_equal(cpu->lock_depth, 0);
}

static inline void reply(struct thread *thread, bool then_receive, unsigned flags)
{
	struct cap cap = cap_with_badge(0);

	run(thread);
	thread->mach.frame.call = CAPOS_CALL_WORD(3, 0, CAPOS_OP_REPLY_RECV, 2, flags);
	thread->mach.frame.word[0] = 100;
	thread->mach.frame.word[1] = 101;
	endpoint_reply(cpu, thread, &cap, then_receive);
	assert_int_equal(cpu->lock_depth, 0);
}

static inline void finish(struct thread *thread)
{
	if (waiter_is_armed(&thread->wait))
		assert_true(waiter_end(cpu, &thread->wait, STATUS(CANCELLED)));
	run(thread);
	sched_detach_current(cpu);
	sched_drop_entity(thread);
	while (!endpoint_thread_exit_step(cpu, thread))
		;
}

static inline void check_received(struct thread *thread, unsigned words)
{
	struct mach_frame *frame = &thread->mach.frame;

	assert_int_equal(CAPOS_RESULT_STATUS(frame->call), CAPOS_STATUS_OK);
	assert_int_equal(CAPOS_RESULT_IRESULT(frame->call), 5);
	assert_int_equal(CAPOS_RECV_WORDS(CAPOS_RESULT_DETAIL(frame->call)), words);
	assert_int_equal(frame->handle, 77);
	for (unsigned i = 0; i < words; i++)
		assert_int_equal(frame->word[i], 10 + i);
}

static inline void check_replied(struct thread *thread)
{
	assert_int_equal(CAPOS_RESULT_STATUS(thread->mach.frame.call), CAPOS_STATUS_OK);
	assert_int_equal(CAPOS_RESULT_IRESULT(thread->mach.frame.call), 3);
	assert_int_equal(thread->mach.frame.word[0], 100);
	assert_int_equal(thread->mach.frame.word[1], 101);
}

/* A call of a method of a kernel object. */
static inline struct call kernel_call(struct thread *thread, struct object *object)
{
	return (struct call){ .cpu = cpu,
			      .thread = thread,
			      .word = thread->mach.frame.word,
			      .waiter = &thread->wait,
			      .cap = { .object = object, .grant = &grants[0] } };
}

#endif
