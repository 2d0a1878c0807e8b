/* SPDX-License-Identifier: MIT */
/* Contexts in the dispatcher's fakes. */
#ifndef TESTS_SCHED_FAKES_CONTEXT_H
#define TESTS_SCHED_FAKES_CONTEXT_H

#include "tests/unit/sched/fakes.h"

#include <kernel/context.h>

static struct context *context_with(u64 budget_ns, u64 period_ns, enum capos_overrun overrun)
{
	struct context *context = calloc(1, sizeof(*context) + 2 * affinity_mask_bytes(CPUS));
	const struct capos_context_spec spec = {
		.budget_ns = budget_ns, .period_ns = period_ns, .deadline_ns = period_ns, .overrun = overrun
	};

	garbage[garbage_count++] = context;
	context->object.id = ++next_id;
	spinlock_init(&context->object.lock, RANK_OBJECT, context->object.id);
	atomic_store_relaxed(&context->object.state, OBJECT_ALIVE);
	context_init(context, &spec);
	return context;
}

static __attribute__((unused)) struct context *context_new(u64 budget_ns, u64 period_ns)
{
	return context_with(budget_ns, period_ns, CAPOS_OVERRUN_THROTTLE);
}

static struct thread *running_on(u32 id)
{
	struct thread *thread = thread_new(false);

	thread->own->set = thread->own->affinity = affinity_of_cpu(id);
	thread_ready(on(id), thread);
	(void)exits(id);
	return thread;
}

static u64 binds_on(u32 id, struct context *context, struct thread *thread)
{
	return context_bind(on(id), context, thread);
}

static void binds(struct context *context, struct thread *thread)
{
	assert_int_equal(binds_on(sim_cpu_record->id, context, thread), CAPOS_STATUS_OK);
	(void)exits(sim_cpu_record->id);
}

/* CPU 0 runs until `end`, as its events come: time passes between them. */
static void runs_until(u64 end)
{
	for (unsigned events = 0; armed_at[0] < end; events++) {
		assert_true(events < 10000);
		(void)fires(0);
	}
	now_ns = end;
	(void)interrupted(0, 0);
}

static inline u64 runtime(const struct thread *thread)
{
	return thread->account.runtime_ns;
}

static inline struct thread *throttled(struct context *context)
{
	struct thread *thread = running_on(0);

	binds(context, thread);
	runs_until(now_ns + 6 * MS);
	assert_int_equal(owner_of(thread->own), OWNER_THROTTLED);
	assert_null(cpus[0]->current);
	return thread;
}

/* A caller on CPU 0 that has a context lends to the server, which runs. */
static inline struct thread *lends(struct context *context, struct thread **caller)
{
	struct thread *server = thread_new(true);

	thread_ready(on(0), server);
	assert_ptr_equal(exits(0), server);
	blocks(server, CAPOS_WAIT_RECV, INSTANT_NEVER);
	cpus[0]->armed_waiter = NULL;
	sched_drop_entity(server);
	*caller = running_on(0);
	binds(context, *caller);
	assert_true(waiter_claim(&server->wait));
	waiter_deliver(cpus[0], &server->wait, STATUS(OK), NULL, 0);
	assert_int_equal(sched_lend_reserve(*caller), CAPOS_STATUS_OK);
	sched_lend(cpus[0], *caller, server);
	waiter_arm(cpus[0], &(*caller)->wait, CAPOS_WAIT_REPLY, &no_queue, INSTANT_NEVER);
	assert_ptr_equal(exits(0), server);
	return server;
}

static inline u64 left(struct context *context)
{
	return refills_available_ns(&context->refills, now_ns);
}

/* A millisecond later CPU `id` asks: what was used. */
static inline u64 used_later(u32 id, struct context *context)
{
	struct capos_context_info info;

	now_ns += 1 * MS;
	context_fill_info(on(id), context, &info);
	return info.used_ns;
}

/* The server, once it runs, ends: what it ran on is its caller's, or nobody's. */
static inline void gives_up(struct thread *server)
{
	while (cpus[0]->current != server)
		runs_until(now_ns + 4 * MS);
	sched_detach_current(on(0));
	sched_drop_entity(server);
}

#endif
