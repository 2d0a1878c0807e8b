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

#endif
