/* SPDX-License-Identifier: MIT */
/*
 * Waking: how an entity becomes runnable, from any CPU.
 *
 * The inbox is a lock-free stack: pushed by compare-and-swap, emptied whole by an exchange under the owner's queue lock
 * (by the owner or a thief) and reversed, so that order of arrival is kept.
 *
 * No wake-up is lost (SC3):      pusher                          target, going idle
 *                                push (locked RMW)               idling := 1; full fence
 *                                ipi_pending xchg 1 -> IPI       inbox empty? then halt, atomically with interrupts on
 * Either the target's check sees the push, or the push is ordered after the check and its IPI ends the halt: interrupts
 * are off from the check to the halt, so an IPI that arrives between stays pending. The IPI handler clears ipi_pending
 * (locked RMW) before it drains: a push that finds the flag still set is drained by the handler that clears it.
 */
#include <capos/abi.h>

#include "sched_priv.h"

void entity_init(struct entity *entity, enum entity_kind kind, u64 affinity)
{
	*entity = (struct entity){ .kind = (u8)kind, .affinity = affinity, .set = affinity };
	spinlock_init(&entity->affinity_lock, RANK_AFFINITY, 0);
	params_init(entity);
}

static void inbox_push(struct cpu *target, struct entity *entity)
{
	struct entity *head;

	MEASURE_DO(measure_inbox_push(entity));
	(void)atomic_fetch_add(&target->inbox_weight, entity->weight);
	do {
		MEASURE_COUNT(mach_this_cpu(), scheduler_inbox_attempts, 1);
		head = atomic_load_relaxed(&target->inbox);
		entity->inbox_next = head;
	} while (!atomic_cas(&target->inbox, head, entity));
}

static void send_ipi(struct cpu *cpu, struct cpu *target, u32 reason)
{
	if (atomic_xchg(&target->ipi_pending, 1u) != 0) {
		cpu->ipis_suppressed++;
		MEASURE_COUNT(cpu, reschedule_ipi_merged, 1);
		return;
	}
	cpu->ipis_sent++;
	MEASURE_COUNT(cpu, reschedule_ipi_sent, 1);
	TRACE(cpu, IPI, cpu->current ? cpu->current->object.id : 0, target->id, reason);
	mach_ipi_send(target);
}

void wake_take_inbox_locked(struct cpu *owner)
{
	struct entity *entity = atomic_xchg(&owner->inbox, NULL); /* acquire: pairs with inbox_push */
	struct entity *ordered = NULL;
	u32 weight = 0;

	MEASURE_COUNT(mach_this_cpu(), scheduler_inbox_drains, entity != NULL);
	while (entity != NULL) {
		struct entity *next = entity->inbox_next;

		entity->inbox_next = ordered;
		ordered = entity;
		entity = next;
	}
	while (ordered != NULL) {
		struct entity *next = ordered->inbox_next;

		MEASURE_DO(measure_inbox_drain(ordered));
		weight += ordered->weight;
		owner_change(ordered, OWNER_INBOX, OWNER_QUEUE);
		runq_join(&owner->runq, ordered, ordered->moved);
		ordered = next;
	}
	(void)atomic_fetch_sub(&owner->inbox_weight, weight);
}

static inline __attribute__((always_inline)) void push_here(struct cpu *cpu, struct entity *entity,
							    enum dispatch_owner from)
{
	bool moved = atomic_load_relaxed(&entity->cpu) != cpu;

	if (unlikely(moved))
		atomic_store_relaxed(&entity->cpu, cpu);
	MEASURE_SITE(cpu, scheduler_lock_site_wake_unblock);
	spin_lock_on(cpu, &cpu->runq.lock);
	if (wake_join(cpu, entity, from, moved))
		cpu->resched = true;
	spin_unlock_on(cpu, &cpu->runq.lock);
	if (!cpu->resched) /* else who chooses arms */
		dispatch_arm(cpu);
}

static inline void push_there(struct cpu *cpu, struct cpu *target, struct entity *entity, enum dispatch_owner from)
{
	entity->moved = atomic_load_relaxed(&entity->cpu) != target;
	atomic_store_relaxed(&entity->cpu, target);
	owner_change(entity, from, OWNER_INBOX);
	inbox_push(target, entity);
	send_ipi(cpu, target, REQUEST_RESCHEDULE);
}

void wake_push(struct cpu *cpu, struct cpu *target, struct entity *entity, enum dispatch_owner from)
{
	if (target == cpu)
		push_here(cpu, entity, from);
	else
		push_there(cpu, target, entity, from);
}

static inline __attribute__((always_inline)) void wake(struct cpu *cpu, struct entity *entity, struct cpu *previous,
						       struct cpu *near)
{
	struct cpu *target = kernel_state.cpu_count == 1 ? cpu : place_woken(cpu, entity, near);
	struct instant now = mach_clock();

	no_alloc_begin(cpu);
	wake_begin(entity, now.ns);
	/* A new one received as much as its creator: what is compared between CPUs has one beginning. */
	if (unlikely(previous == NULL))
		entity->shift = cpu->current_entity != NULL ? 0 - entity_received(cpu->current_entity) : 0;
	if (likely(entity->thread != NULL)) {
		TRACE(cpu, WAKE, entity->thread->object.id, target->id, cpu->current ? cpu->current->object.id : 0);
		if (unlikely(previous != target && (previous != NULL || target != cpu))) {
			account_move(cpu, entity, previous != NULL ? CAPOS_MIGRATION_WAKE : CAPOS_MIGRATION_NEW);
			TRACE(cpu, MIGRATE, entity->thread->object.id, previous != NULL ? previous->id : cpu->id,
			      target->id);
		}
	}
	if (likely(target == cpu)) {
		cpu->placed.local++;
		/* Virtual time as of now; at an interrupt current is charged already, and its time is not current's. */
		if (cpu->current_entity != NULL && !cpu->in_interrupt)
			account_current(cpu, cpu->current_entity, now);
		push_here(cpu, entity, OWNER_NONE);
	} else {
		cpu->placed.remote++;
		if (target->id - cpu->near[LEVEL_CORE].first <
		    cpu->near[LEVEL_CORE].end - cpu->near[LEVEL_CORE].first)
			cpu->placed.sibling++;
		push_there(cpu, target, entity, OWNER_NONE);
	}
	no_alloc_end(cpu);
}

void sched_wake(struct cpu *cpu, struct entity *entity)
{
	struct cpu *previous = atomic_load_relaxed(&entity->cpu);

	wake(cpu, entity, previous, previous);
}

void sched_wake_near(struct cpu *cpu, struct entity *entity, struct cpu *near)
{
	wake(cpu, entity, atomic_load_relaxed(&entity->cpu), near);
}

void sched_look_soon(struct cpu *cpu)
{
	if (unlikely(cpu->resched))
		send_ipi(cpu, cpu, REQUEST_RESCHEDULE);
}

void sched_ask_self(struct cpu *cpu, u32 request)
{
	atomic_fetch_or(&cpu->requests, request);
	send_ipi(cpu, cpu, request);
}

void sched_request(struct cpu *cpu, struct cpu *target, u32 request)
{
	atomic_fetch_or(&target->requests, request);
	if (target == cpu) {
		cpu->resched = true;
		return;
	}
	send_ipi(cpu, target, request);
}
