/* SPDX-License-Identifier: MIT */
/*
 * Timers: one queue per CPU, ordered by deadline, guarded by that CPU's timer lock. A node is embedded in what waits;
 * arming and cancelling allocate nothing.
 */
#ifndef KERNEL_TIMER_H
#define KERNEL_TIMER_H

#include <bsd/sys/tree.h>

#include <kernel/lock.h>
#include <kernel/types.h>

struct cpu;
struct timer;
typedef void (*timer_fn)(struct cpu *cpu, struct timer *timer);

struct timer {
	RB_ENTRY(timer) node; /* (l:cpu timer lock) */
	u64 deadline_ns;      /* (l:cpu timer lock); INSTANT_NEVER.ns when the wait has no deadline */
	u64 sequence;	      /* order among equal deadlines: runs replay */
	timer_fn fn; /* called on the CPU that armed it, kernel context, no lock held, node already removed */
	ATOMIC(struct cpu *) cpu; /* (a) where it is queued; NULL: not */
};

RB_HEAD(timer_tree, timer);

struct timer_queue {
	struct spinlock lock;	/* RANK_TIMER */
	struct timer_tree tree; /* (l:lock) */
	struct timer *first;	/* (l:lock) of the tree; NULL: none */
	u64 sequence;		/* (l:lock) */
	ATOMIC(u64) first_ns;	/* (a) earliest deadline, for the owner's next event; ~0: none */
};

/* Queue on this CPU; the timer must not be queued. fn runs not before the deadline. */
void timer_start(struct cpu *cpu, struct timer *timer, struct instant deadline, timer_fn fn);
/* The same for who chooses what runs next, and arms the one-shot then. */
void timer_add(struct cpu *cpu, struct timer *timer, struct instant deadline, timer_fn fn);
/* A look. */
static inline bool timer_is_queued(const struct timer *timer)
{
	return atomic_load_relaxed(&timer->cpu) != NULL;
}
/* From any CPU. True: it was queued and will not fire. False: it was not queued, or fn has been or is being called. */
bool timer_cancel(struct timer *timer);
/* Run what is due on this CPU (bounded: at most 16; the rest at the next call, armed for now). */
void timer_run_due(struct cpu *cpu, struct instant now);
/* The first one, which is due, and calls `fn`, is queued no more: the caller does what fn would. NULL: that is not so. */
struct timer *timer_take_due(struct cpu *cpu, struct instant now, timer_fn fn);
/* Earliest deadline of this CPU, or INSTANT_NEVER. */
struct instant timer_next(struct cpu *cpu);
void timer_verify(struct cpu *cpu);

#endif
