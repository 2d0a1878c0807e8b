/* SPDX-License-Identifier: MIT */
/* Scheduling contexts for the dispatcher. Threads without one pay a comparison at each of these. */
#ifndef SCHED_CONTEXT_H
#define SCHED_CONTEXT_H

#include <kernel/context.h>
#include <kernel/cpu.h>
#include <kernel/fastpath.h>

/* budget.c */
/* `entity` is about to become current, at account_ns: cpu->budget_end_ns, which says NEVER, is the end of its budget or its job's
 * deadline. Then context_stops. */
void context_begin(struct cpu *cpu, struct entity *entity);
/* The CPU chooses anew; current is charged, but for used_ns, which its context is charged with here. True: its budget is over, it waits,
 * nobody is current, and *next, who is to be, left the queue (NULL: nobody). Else cpu->budget_end_ns is known anew, of current, or, by best
 * effort, of who took its place. */
MUST_CHECK bool context_ends_current(struct cpu *cpu, u64 used_ns, struct entity **next);
/* The first timer of this CPU is due: if it is that of a refill it has been, and who waited for it is the caller's to wake. Else NULL. */
MUST_CHECK struct entity *context_refilled(struct cpu *cpu, struct instant now);

/* affinity.c */
/* It gets a context, or (NULL) has none any more, under context->lock: AF4. */
void affinity_set_context(struct entity *entity, struct context *context);
/* `to` takes the place of `from` as the thread's own, and what the thread asked for. */
void affinity_pass_on(struct thread *thread, struct entity *from, struct entity *to);
/* Could an entity get a context with this mask? */
MUST_CHECK bool affinity_fits_mask(struct entity *entity, u64 mask);
/* The set of a pinned server decides where it may run; 0: that of its own thread. False: no CPU of the mask of its context; nothing has
 * changed. */
MUST_CHECK bool affinity_lend(struct entity *entity, u64 server_set);
/* The thread's own entity may be where it may not be any more: what is said of sched_set_affinity. */
bool affinity_settle(struct cpu *cpu, const struct thread *thread, struct entity *own);

/* context_notify.c; all under context->lock, the context is bound. */
/* There is no job, and none begins before now. */
void context_no_job(struct context *context, u64 now_ns);
/* It ran up to account_ns; and leaves its CPU to wait. */
void context_job_charged(struct cpu *cpu, struct context *context, bool blocks);
/* It runs, with a budget, from account_ns on: the instant that it is to be looked at, for its deadline. */
u64 context_job_runs(struct cpu *cpu, struct context *context);
/* The budget is depleted at account_ns. */
void context_note_depletion(struct cpu *cpu, struct context *context);

/* Something is there for those who watch: they are woken soon, by this CPU. */
void context_mark(struct cpu *cpu, struct context *context);

/* Revoked, or its object is ending: for ever, and unbound. Under context->lock. */
static inline bool context_has_ended(const struct context *context)
{
	return atomic_load_relaxed(&context->generation) != 1;
}

/* context.c; under context->lock: enum capos_context_state. */
u32 context_state(const struct context *context);

static inline bool context_may_run(const struct entity *entity)
{
	const struct context *context = atomic_load_relaxed(&entity->context);

	return context == NULL || shared_load_relaxed(&context->may_run);
}

/* It is current: has it no budget, or was it bound after context_begin? The CPU is to choose anew. */
static inline bool context_stops(const struct entity *entity)
{
	return has_context(entity) && !context_may_run(entity);
}

/* Who chooses anew has to ask context_ends_current: the current entity has a budget, or had one when it was last looked at. */
static inline bool context_matters(const struct cpu *cpu)
{
	return unlikely(has_context(cpu->current_entity) || cpu->budget_end_ns != INSTANT_NEVER.ns);
}

#endif
