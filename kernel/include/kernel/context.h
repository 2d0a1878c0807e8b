/* SPDX-License-Identifier: MIT */
/*
 * Scheduling contexts: a budget per period that an entity carries, and takes along when it is lent.
 *
 *   bind --> entity.context --charge--> refills --used up--> throttled --refill's time, or kill, unbind--> wakes up
 *
 *  SX1  context->entity and entity->context name each other, or the context is being unbound: changed under context->lock by who
 *       binds, unbinds or moves it; entity->context is read without, and is then valid memory until the end of this kernel entry.
 *  SX2  The refills are charged by the CPU that runs the entity, under context->lock. Sum of refills = budget (RF1) whoever has it.
 *  SX3  A throttled entity (OWNER_THROTTLED) is in no queue, and the context's timer is armed. Who ends that claims the owner word by
 *       a compare-and-swap from THROTTLED to NONE, then cancels the timer, then wakes it: exactly one does.
 *  SX4  A thread that dies is not throttled.
 */
#ifndef KERNEL_CONTEXT_H
#define KERNEL_CONTEXT_H

#include <kernel/object.h>
#include <kernel/refill.h>
#include <kernel/timer.h>
#include <kernel/types.h>

struct cpu;
struct entity;
struct thread;

/* The one-shot is armed so much before the end of a budget: the way from its interrupt to the charge. */
#define CONTEXT_LEAD_NS 1000ull
/* Nobody is dispatched for less: small change waits for the next refill. More than the lead, so that who waits waits for later. */
#define CONTEXT_LEAST_NS (CONTEXT_LEAD_NS + 1)

struct context {
	struct object object;
	struct spinlock lock;	/* RANK_CONTEXT, order = object id */
	struct entity *entity;	/* (l:lock) SX1; NULL: unbound */
	u64 bound_ns;		/* (l:lock) what it ran before is not charged */
	struct refills refills; /* (l:lock) */
	u64 throttles;		/* (l:lock) */
	struct timer timer;	/* SX3 */
};

void context_init(struct context *context, enum refill_kind kind, u64 budget_ns, u64 period_ns);
/* Any CPU. The thread neither runs on a borrowed entity nor lends its own (its caller knows, LE1). False: it has a context, or the
 * context has a thread. */
MUST_CHECK bool context_bind(struct cpu *cpu, struct context *context, struct thread *thread);
/* Any CPU; nothing when it is not bound. What was used stays used. */
void context_unbind(struct cpu *cpu, struct context *context);
/* The call of a thread whose own entity is lent ended: its spare takes the context. Who borrows goes on without. */
void context_move(struct cpu *cpu, struct entity *from, struct entity *to);
/* The thread is marked as killed, or what it runs on should be looked at anew: if it is throttled it is not any more. Any CPU. */
void context_release(struct cpu *cpu, struct entity *entity);

#endif
