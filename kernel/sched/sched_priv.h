/* SPDX-License-Identifier: MIT */
/* Inside the scheduler room. */
#ifndef SCHED_PRIV_H
#define SCHED_PRIV_H

#include <kernel/affinity.h>
#include <kernel/clock.h>
#include <kernel/cpu.h>
#include <kernel/debug.h>
#include <kernel/fastpath.h>
#include <kernel/sched.h>
#include <kernel/state.h>
#include <kernel/thread.h>
#include <kernel/trace.h>

#include "runq.h"

/* wake.c */
/* sched_wake, near another CPU than it was on last. */
void sched_wake_near(struct cpu *cpu, struct entity *entity, struct cpu *near);
/* Put a runnable entity (owner `from`) into the queue of `target`: directly when it is this CPU, else by its inbox. */
void wake_push(struct cpu *cpu, struct cpu *target, struct entity *entity, enum dispatch_owner from);
static inline bool wake_inbox_is_empty(struct cpu *cpu)
{
	return atomic_load_acquire(&cpu->inbox) == NULL; /* pairs with the compare-and-swap in inbox_push */
}
void wake_take_inbox_locked(struct cpu *owner) REQUIRES(owner->runq.lock);
/* It stops waiting at now_ns, and is about to join a queue. */
static inline void wake_begin(struct entity *entity, u64 now_ns)
{
	lag_forget(entity, now_ns);
	entity->enqueued_ns = now_ns;
}
/* It joins the queue of this CPU. True: the current entity may have to give way. */
static inline __attribute__((always_inline)) bool wake_join(struct cpu *cpu, struct entity *entity,
							    enum dispatch_owner from, bool moved)
	REQUIRES(cpu->runq.lock)
{
	const struct entity *current = cpu->current_entity;

	owner_change(entity, from, OWNER_QUEUE);
	runq_join(&cpu->runq, entity, moved);
	return likely(current != NULL) && runq_woken_preempts(&cpu->runq, entity, current);
}
/* This CPU is asked for something that cannot be done here: an interrupt comes as soon as it may. Any lock. */
void sched_ask_self(struct cpu *cpu, u32 request);
/* Move what was pushed to `owner`'s inbox into its queue. */
static inline void wake_drain_locked(struct cpu *owner) REQUIRES(owner->runq.lock)
{
	if (unlikely(!wake_inbox_is_empty(owner)))
		wake_take_inbox_locked(owner);
}
/* For who has something else to run: what comes too late for this look, or is being moved from inbox to queue by a thief in
 * this moment, waits for the next tick at most. */
static inline bool runq_looks_empty(struct cpu *cpu)
{
	return atomic_load_relaxed(&cpu->runq.count) == 0 && wake_inbox_is_empty(cpu);
}

/* place.c */
/* Makes the maps, before the CPUs. */
void place_init(u32 cpu_count);
/* Where there are several CPUs. `previous`: where it was, or is to be if that idles; NULL: a new one. */
struct cpu *place_woken(struct cpu *cpu, struct entity *entity, struct cpu *previous);
/* Owner HANDOFF: it may not run where it was, and is sent where it may. */
void place_elsewhere(struct cpu *cpu, struct entity *entity);
void place_set_idle(struct cpu *cpu);
void place_clear_idle(struct cpu *cpu);
/* Does any CPU idle? Who goes idle looks at the queues after it says so. */
static inline bool place_some_idle(void)
{
	return atomic_load_relaxed(&kernel_state.sched.idle.words) != 0;
}
/* An idle CPU, which nobody else is given until it goes idle again; NULL: none. */
struct cpu *place_take_idle(struct cpu *cpu);
static inline __attribute__((always_inline)) bool place_allows(const struct cpu *cpu, const struct entity *entity)
{
	return affinity_allows(shared_load_relaxed(&entity->affinity), cpu);
}
/* One that is woken where another one runs: it was here last, and place_woken would leave it here. False: that is to be asked. */
static inline bool place_stays(const struct cpu *cpu, const struct entity *entity)
{
	return atomic_load_relaxed(&entity->cpu) == cpu && place_allows(cpu, entity) && !place_some_idle();
}
/* `cpu` moves an entity that it owns. */
static inline void account_move(struct cpu *cpu, struct entity *entity, enum capos_migration kind)
{
	cpu->placed.moves[kind]++;
	MEASURE_COUNT(cpu, thread_placement_migrations, 1);
	account_of(entity)->migrations[kind]++;
}

/* What competes on a CPU, or is about to. Anyone. */
static inline u64 cpu_load(struct cpu *cpu)
{
	return runq_load(&cpu->runq) + atomic_load_relaxed(&cpu->inbox_weight);
}

/* steal.c */
/* For a CPU that would go idle: somebody who waits elsewhere, as by runq_pick; NULL: there is nobody. */
struct entity *steal(struct cpu *cpu);
/* Somebody waits here who may run elsewhere: an idle CPU is told, if there is one. */
void steal_tell(struct cpu *cpu);

/* balance.c */
/* A tick of a busy CPU: it compares itself with another one. */
void balance_look(struct cpu *cpu);
/* Would that CPU's look change anything? With one CPU there is none to look at. */
bool balance_is_due_among(struct cpu *cpu);
static inline bool balance_is_due(struct cpu *cpu)
{
	return kernel_state.cpu_count > 1 && balance_is_due_among(cpu);
}
/* Service on all queues, by weight: virtual time, comparable between CPUs. */
static inline u64 entity_received(const struct entity *entity)
{
	return entity->vruntime - entity->shift;
}

/* dispatch.c */
/* The end of an interrupt in user mode after which the current thread, which is charged, may have to give way. */
MUST_CHECK struct thread *sched_exit_charged(struct cpu *cpu);
/* The same when it has a context, or had one: that is charged with used_ns yet. */
MUST_CHECK struct thread *sched_exit_budget(struct cpu *cpu, u64 used_ns);
/* The same when `woken`, owner NONE, is to join the queue here before (place_stays). */
MUST_CHECK struct thread *sched_exit_woken(struct cpu *cpu, struct entity *woken);
static inline void arm_earlier(struct cpu *cpu, u64 next_ns)
{
	if (unlikely(next_ns < cpu->armed_ns)) {
		cpu->armed_ns = next_ns;
		mach_timer_arm((struct instant){ next_ns });
	}
}

/* The tick or the first timer, read once: others cancel timers meanwhile. */
static inline u64 tick_or_timer_ns(const struct cpu *cpu)
{
	u64 first_ns = atomic_load_relaxed(&cpu->timers.first_ns);

	return MIN(first_ns, cpu->tick_ns);
}

/* dispatch_arm where there is a current entity. */
static inline __attribute__((always_inline)) void dispatch_arm_running(struct cpu *cpu)
{
	u64 next_ns = tick_or_timer_ns(cpu);

	if (unlikely(cpu->budget_end_ns != INSTANT_NEVER.ns))
		next_ns = MIN(next_ns, cpu->budget_end_ns);
	if (atomic_load_relaxed(&cpu->runq.count) > 0)
		next_ns = MIN(next_ns, cpu->slice_end_ns);
	arm_earlier(cpu, next_ns);
}

/* Arm the one-shot for this CPU's next event if that is earlier than what is armed. */
static inline __attribute__((always_inline)) void dispatch_arm(struct cpu *cpu)
{
	if (likely(cpu->current_entity != NULL))
		dispatch_arm_running(cpu);
	else
		arm_earlier(cpu, atomic_load_relaxed(&cpu->timers.first_ns));
}

/* The event that is armed may be later than the end of the budget of who becomes current. */
static inline void dispatch_arm_budget(struct cpu *cpu)
{
	arm_earlier(cpu, cpu->budget_end_ns);
}

/* activity.c */
void activity_sleep(struct cpu *cpu, struct activity *activity);

/* account.c */
/* Time since the last account goes to interrupts and picking. */
void account_irq(struct cpu *cpu, struct instant now);
void account_idle(struct cpu *cpu, struct instant now);

#endif
