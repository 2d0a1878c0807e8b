/* SPDX-License-Identifier: MIT */
/* Between budget.c, what an entity does to its context while it runs and waits, and context.c, who gets and loses one. */
#ifndef SCHED_BUDGET_H
#define SCHED_BUDGET_H

#include "context.h"

/* The context of an entity, locked; NULL: it has none, or not any more. */
static inline struct context *lock_context(const struct cpu *cpu, struct entity *entity) NO_TSA
{
	struct context *context = atomic_load_acquire(&entity->context); /* pairs with the release in name_context */

	if (context == NULL)
		return NULL;
	spin_lock_on(cpu, &context->lock);
	if (likely(context->entity == entity))
		return context;
	spin_unlock_on(cpu, &context->lock);
	return NULL;
}

static inline void unlock_context(const struct cpu *cpu, struct context *context) NO_TSA
{
	spin_unlock_on(cpu, &context->lock);
}

/* The whole budget, from now_ns on. Under the lock, or before the context is known. */
void budget_fill_up(struct context *context, u64 now_ns);
/* If the entity that runs on this CPU has the context, that is charged up to now, exactly: interrupts are not charged. Without the lock:
 * others bind and unbind meanwhile, before or after this. */
void budget_charge_here(struct cpu *cpu, struct context *context);
/* SX5. Under the lock; it is bound. What runs here was charged just before. */
void budget_charge_running(struct cpu *cpu, struct context *context);

/* What an entity did that is freed: it ran, or could; waited for its budget; ran by best effort. */
enum freed { FREED_RUNS, FREED_WAITS, FREED_BEST_EFFORT };
/* It does not wait for its budget any more, and has its own parameters. Then, without the lock, budget_go_on. */
MUST_CHECK enum freed budget_free_locked(struct context *context, struct entity *entity) REQUIRES(context->lock);
/* Any CPU, no lock. It is woken if it waited; else whoever runs it looks at its budget, and at its parameters. */
void budget_go_on(struct cpu *cpu, struct entity *entity, enum freed was);
/* Whoever runs it, or is about to, looks at its budget. Any CPU, no lock. */
void budget_look_anew(struct cpu *cpu, struct entity *entity);

#endif
