/* SPDX-License-Identifier: MIT */
/* Inside the scheduler room. */
#ifndef SCHED_PRIV_H
#define SCHED_PRIV_H

#include <kernel/cpu.h>
#include <kernel/debug.h>
#include <kernel/sched.h>
#include <kernel/thread.h>
#include <kernel/trace.h>

#define TICK_NS 10000000ull

/* B1, SC1: the one place where an entity changes its dispatch owner. */
static inline void owner_change(struct entity *entity, enum dispatch_owner from, enum dispatch_owner to)
{
	KASSERT(atomic_load_relaxed(&entity->owner) == from);
	atomic_store_relaxed(&entity->owner, to);
}

/* wake.c */
/* Put a runnable entity (owner `from`) into the queue of `target`: directly when it is this CPU, else by its inbox. */
void wake_push(struct cpu *cpu, struct cpu *target, struct entity *entity, enum dispatch_owner from, bool woken);
/* Move what was pushed to `owner`'s inbox into its queue. */
void wake_drain_locked(struct cpu *owner) REQUIRES(owner->runq.lock);
bool wake_inbox_is_empty(struct cpu *cpu);

/* place.c */
struct cpu *place_woken(struct cpu *cpu, struct entity *entity);
void place_set_idle(struct cpu *cpu);
void place_clear_idle(struct cpu *cpu);
/* An idle CPU, which nobody else is given until it goes idle again; NULL: none. */
struct cpu *place_take_idle(struct cpu *cpu);
/* The CPU that it is pinned to and that is online, or NULL. */
struct cpu *place_pinned(const struct entity *entity);
/* Is this CPU one that its pinning allows? A pinning to a CPU that is not online binds nowhere. */
static inline bool place_allows(const struct cpu *cpu, const struct entity *entity)
{
	u32 id = shared_load_relaxed(&entity->pinned_cpu);
	const struct cpu *pinned;

	if (likely(id == CAPOS_CPU_ANY || id == cpu->id))
		return true;
	pinned = place_pinned(entity);
	return pinned == NULL || pinned == cpu;
}

/* dispatch.c */
/* Arm the one-shot for this CPU's next event if that is earlier than what is armed. */
void dispatch_arm(struct cpu *cpu);

/* activity.c */
void activity_sleep(struct cpu *cpu, struct activity *activity);

/* account.c */
/* Time since the last account goes to interrupts and picking. */
void account_irq(struct cpu *cpu, struct instant now);
void account_idle(struct cpu *cpu, struct instant now);
struct cpu_account *account_of(struct entity *entity);

/* The span since the last account. */
static inline u64 account_elapsed_ns(struct cpu *cpu, struct instant now)
{
	u64 delta_ns = now.ns - cpu->account_ns;

	KASSERT(now.ns >= cpu->account_ns);
	cpu->account_ns = now.ns;
	return delta_ns;
}

/* sched_charge where the current entity goes on, with another thread: the policy is told with the next sched_charge. */
static inline void sched_charge_passing(struct cpu *cpu, struct entity *entity, struct thread *from)
{
	u64 delta_ns = account_elapsed_ns(cpu, mach_clock());

	cpu->busy_ns += delta_ns;
	from->account.runtime_ns += delta_ns;
	entity->uncharged_ns += delta_ns;
}

#endif
