/* SPDX-License-Identifier: MIT */
/* Choosing and switching, for those who do so inline: dispatch.c, switch_fast.c. */
#ifndef SCHED_CHOOSE_H
#define SCHED_CHOOSE_H

#include <capos/abi.h>

#include "context.h"
#include "sched_priv.h"

/* The current entity goes back to a queue: preempted, or it yields. Its thread's registers are saved (mach_thread_leave). */
static inline void detach_queued(struct cpu *cpu, struct entity *entity) REQUIRES(cpu->runq.lock)
{
	entity->enqueued_ns = cpu->account_ns;
	runq_no_current(&cpu->runq);
	cpu->current = NULL;
	cpu->current_entity = NULL;
	owner_change(entity, OWNER_CURRENT, OWNER_QUEUE);
}

static inline void requeue_current(struct cpu *cpu) REQUIRES(cpu->runq.lock)
{
	struct entity *entity = cpu->current_entity;

	detach_queued(cpu, entity);
	runq_requeue(&cpu->runq, entity);
}

static inline __attribute__((always_inline)) void set_current_as(struct cpu *cpu, struct entity *entity,
								 struct thread *thread, struct cpu_account *account,
								 bool keep_slice)
{
	u64 now_ns = cpu->account_ns;
	u32 owner;

	cpu->budget_end_ns = INSTANT_NEVER.ns;
	if (has_context(entity)) {
		context_begin(cpu, entity);
		if (keep_slice)
			dispatch_arm_budget(cpu);
	}
	atomic_store_relaxed(&entity->cpu, cpu);
	/* Full barrier: orders this before the looks at `attention` in sched_exit, and at affinity and parameters below; pairs with
	 * thread_kill, sched_set_affinity and sched_set_params. */
	owner = atomic_xchg(&entity->owner, (u32)OWNER_CURRENT);
	KASSERT(owner == OWNER_HANDOFF);
	cpu->current_entity = entity;
	cpu->current = thread;
	runq_set_current(&cpu->runq, entity);
	if (now_ns > entity->enqueued_ns)
		account->runnable_ns += now_ns - entity->enqueued_ns;
	atomic_order(); /* AC5 */
	account->switches++;
	cpu->switches++;
	MEASURE_COUNT(cpu, thread_placement_selected, 1);
	MEASURE_COUNT(cpu, thread_placement_first_selected, account->switches == 1);
	cpu->resched = false;
	if (unlikely(!place_allows(cpu, entity) || params_differ(entity) || context_stops(entity)))
		cpu->resched = true;
	if (thread != NULL) {
		KASSERT(thread->entity == entity);
		space_switch_inline(cpu, &thread->process->space);
		TRACE(cpu, SWITCH, thread->object.id, thread->object.id, 0);
	}
	if (!keep_slice || cpu->account_ns >= cpu->slice_end_ns)
		cpu->slice_end_ns = cpu->account_ns + request_left_ns(entity);
}

void set_current_activity(struct cpu *cpu, struct entity *entity, bool keep_slice); /* dispatch.c */

/* keep_slice: a hand-off goes on within the slice of the one that blocked, for which the one-shot is armed already. Else the caller arms
 * it. */
static inline __attribute__((always_inline)) void set_current(struct cpu *cpu, struct entity *entity, bool keep_slice)
{
	struct thread *thread = entity->thread;

	if (likely(thread != NULL))
		set_current_as(cpu, entity, thread, &thread->account, keep_slice);
	else
		set_current_activity(cpu, entity, keep_slice);
}

/* The best of our own queue; there is no current one. */
static inline struct entity *take_best(struct cpu *cpu) REQUIRES(cpu->runq.lock)
{
	struct entity *entity = runq_pick(&cpu->runq);

	if (entity != NULL) {
		OBSERVE_CHOICE(cpu, entity, NULL);
		owner_change(entity, OWNER_QUEUE, OWNER_HANDOFF);
	}
	return entity;
}

/* What was taken from the queue and may not run here (its affinity changed) is sent where it may: true. */
void send_away(struct cpu *cpu, struct entity *entity);
static inline bool sent_away(struct cpu *cpu, struct entity *entity)
{
	if (likely(place_allows(cpu, entity)))
		return false;
	send_away(cpu, entity);
	return true;
}

/* One that was taken from the queue becomes current; where it is not to run here, nobody: sched_exit chooses. */
static inline __attribute__((always_inline)) void run_next(struct cpu *cpu, struct entity *entity)
{
	if (unlikely(sent_away(cpu, entity)))
		return;
	set_current(cpu, entity, false);
	dispatch_arm_running(cpu);
}

/* The current thread, whose registers are saved, gives way to the queue's best. */
static inline __attribute__((always_inline)) void yield_current(struct cpu *cpu)
{
	struct entity *entity = cpu->current_entity, *next = NULL;

	no_alloc_begin(cpu);
	account_current(cpu, entity, mach_clock_quick());
	MEASURE_SITE(cpu, scheduler_lock_site_yield);
	spin_lock_on(cpu, &cpu->runq.lock);
	wake_drain_locked(cpu);
	if (likely(atomic_load_relaxed(&cpu->runq.count) > 0)) {
		cpu->current->account.yields++;
		/* Who asked for that saw it current, and asked this CPU, which will have another one. */
		if (unlikely(params_differ(entity)))
			runq_adopt_current(&cpu->runq, entity);
		detach_queued(cpu, entity);
		next = runq_yield(&cpu->runq, entity);
		owner_change(next, OWNER_QUEUE, OWNER_HANDOFF);
	}
	spin_unlock_on(cpu, &cpu->runq.lock);
	if (likely(next != NULL))
		run_next(cpu, next);
	no_alloc_end(cpu);
}

#endif
