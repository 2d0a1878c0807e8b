/* SPDX-License-Identifier: MIT */
/* Scheduling contexts in the dispatcher: charge, throttling and its end, binding. SX1 to SX4: context.h. */
#include "context.h"

#include "sched_priv.h"

void context_init(struct context *context, enum refill_kind kind, u64 budget_ns, u64 period_ns)
{
	spinlock_init(&context->lock, RANK_CONTEXT, context->object.id);
	refills_init(&context->refills, kind, budget_ns, period_ns, CONTEXT_LEAST_NS, mach_clock().ns);
	context->entity = NULL;
	context->bound_ns = 0;
	context->throttles = 0;
	context->timer = (struct timer){ .deadline_ns = INSTANT_NEVER.ns };
}

/* The context of an entity, locked; NULL: it has none, or not any more. */
static struct context *lock_context(struct entity *entity) NO_TSA
{
	struct context *context = atomic_load_acquire(&entity->context); /* pairs with the release in context_bind */

	if (context == NULL)
		return NULL;
	spin_lock(&context->lock);
	if (likely(context->entity == entity))
		return context;
	spin_unlock(&context->lock);
	return NULL;
}

/* --- charge ------------------------------------------------------------------------------------------------------------ */

void context_charge(struct cpu *cpu, struct entity *entity, u64 used_ns)
{
	struct context *context = lock_context(entity);

	if (context == NULL)
		return;
	if (cpu->account_ns > context->bound_ns) {
		used_ns = MIN(used_ns, cpu->account_ns - context->bound_ns);
		refills_use(&context->refills, cpu->account_ns - used_ns, used_ns);
	}
	spin_unlock(&context->lock);
}

/* --- dispatch ---------------------------------------------------------------------------------------------------------- */

static bool is_dying(const struct entity *entity)
{
	return entity->thread != NULL && (atomic_load_relaxed(&entity->thread->attention) & ATTENTION_KILL) != 0;
}

/* What it may use from now on; 0 with the instant from which on there is more. */
static u64 budget_left(struct cpu *cpu, struct entity *entity, u64 *next_ns)
{
	struct context *context = lock_context(entity);
	u64 left_ns;

	if (context == NULL)
		return ~0ull;
	left_ns = refills_begin(&context->refills, cpu->account_ns);
	*next_ns = refills_next_ns(&context->refills);
	spin_unlock(&context->lock);
	return left_ns > CONTEXT_LEAD_NS ? left_ns : 0;
}

/* The way of the timer: on the CPU where it was throttled. */
static void replenish(struct cpu *cpu, struct timer *timer)
{
	struct context *context = container_of(timer, struct context, timer);
	struct entity *entity;

	spin_lock(&context->lock);
	entity = context->entity;
	spin_unlock(&context->lock);
	if (entity != NULL)
		context_release(cpu, entity);
}

/*
 * It is not current and in no queue (owner `from`). The timer is armed before the owner says so: interrupts are off, and nobody else
 * takes it as throttled before.
 */
static void throttle(struct cpu *cpu, struct entity *entity, enum dispatch_owner from, u64 next_ns)
{
	struct context *context = lock_context(entity);
	u32 was;

	if (context != NULL) {
		context->throttles++;
		timer_start(cpu, &context->timer, (struct instant){ next_ns }, replenish);
		spin_unlock(&context->lock);
	}
	/* Full barrier, before the looks at what would have released it: SX4, and who unbinds. */
	was = atomic_xchg(&entity->owner, (u32)OWNER_THROTTLED);
	KASSERT(was == from);
	if (is_dying(entity) || atomic_load_relaxed(&entity->context) == NULL)
		context_release(cpu, entity);
}

bool context_holds_back(struct cpu *cpu, struct entity *entity)
{
	u64 next_ns;

	if (!has_context(entity) || is_dying(entity) || budget_left(cpu, entity, &next_ns) != 0)
		return false;
	spin_lock(&cpu->runq.lock);
	runq_leave_locked(&cpu->runq, entity);
	spin_unlock(&cpu->runq.lock);
	account_of(entity)->runnable_ns += cpu->account_ns - entity->enqueued_ns;
	entity->enqueued_ns = cpu->account_ns;
	throttle(cpu, entity, OWNER_HANDOFF, next_ns);
	return true;
}

bool context_may_begin_slowly(struct cpu *cpu, struct entity *entity)
{
	u64 next_ns;

	return is_dying(entity) || budget_left(cpu, entity, &next_ns) != 0;
}

void context_begin(struct cpu *cpu, struct entity *entity)
{
	u64 next_ns, left_ns = is_dying(entity) ? ~0ull : budget_left(cpu, entity, &next_ns);

	if (left_ns == ~0ull)
		cpu->budget_end_ns = INSTANT_NEVER.ns;
	else
		cpu->budget_end_ns = cpu->account_ns + left_ns - MIN(left_ns, CONTEXT_LEAD_NS);
}

bool context_ends_current(struct cpu *cpu)
{
	struct entity *entity = cpu->current_entity;
	u64 next_ns;

	context_begin(cpu, entity);
	if (cpu->account_ns < cpu->budget_end_ns || budget_left(cpu, entity, &next_ns) != 0)
		return false;
	cpu->budget_end_ns = INSTANT_NEVER.ns;
	if (cpu->current != NULL)
		mach_thread_leave(cpu->current);
	account_of(entity)->preemptions++;
	runq_leave(&cpu->runq, entity, cpu->account_ns);
	cpu->current = NULL;
	cpu->current_entity = NULL;
	throttle(cpu, entity, OWNER_CURRENT, next_ns);
	return true;
}

/* --- from outside ------------------------------------------------------------------------------------------------------ */

void context_release(struct cpu *cpu, struct entity *entity)
{
	struct context *context;

	if (atomic_load_relaxed(&entity->owner) != OWNER_THROTTLED ||
	    !atomic_cas(&entity->owner, (u32)OWNER_THROTTLED, (u32)OWNER_NONE))
		return;
	/* The timer is this entity's still: it is not throttled again before it is woken here. */
	context = lock_context(entity);
	if (context != NULL) {
		(void)timer_cancel(&context->timer);
		spin_unlock(&context->lock);
	}
	sched_wake(cpu, entity);
}

/* Whoever runs it, or is about to, looks at its budget. */
static void look_anew(struct cpu *cpu, struct entity *entity)
{
	struct cpu *where = atomic_load_relaxed(&entity->cpu);

	if (where != NULL && atomic_load_relaxed(&entity->owner) == OWNER_CURRENT)
		sched_request(cpu, where, REQUEST_RESCHEDULE);
}

bool context_bind(struct cpu *cpu, struct context *context, struct thread *thread)
{
	struct entity *entity = shared_load_relaxed(&thread->own), *own;
	bool bound;

	spin_lock(&context->lock);
	bound = context->entity == NULL && atomic_load_relaxed(&entity->context) == NULL;
	if (bound) {
		context->entity = entity;
		context->bound_ns = mach_clock().ns;
		atomic_store_release(&entity->context, context); /* pairs with the acquire in lock_context */
	}
	spin_unlock(&context->lock);
	if (!bound)
		return false;
	atomic_fence(); /* before the look at who runs it: pairs with the exchange in set_current */
	own = shared_load_relaxed(&thread->own);
	if (unlikely(own != entity)) {
		context_move(cpu, entity, own); /* as take_spare did, or did too soon */
		entity = own;
	}
	look_anew(cpu, entity);
	return true;
}

void context_unbind(struct cpu *cpu, struct context *context)
{
	struct entity *entity;

	spin_lock(&context->lock);
	entity = context->entity;
	context->entity = NULL;
	if (entity != NULL) {
		atomic_store_relaxed(&entity->context, NULL);
		(void)timer_cancel(&context->timer);
	}
	spin_unlock(&context->lock);
	if (entity == NULL)
		return;
	atomic_fence(); /* before the look at the owner: pairs with the exchange in throttle */
	context_release(cpu, entity);
	look_anew(cpu, entity);
}

void context_move(struct cpu *cpu, struct entity *from, struct entity *to)
{
	struct context *context = lock_context(from);

	if (context == NULL)
		return;
	context->entity = to;
	atomic_store_relaxed(&from->context, NULL);
	atomic_store_release(&to->context, context); /* pairs with the acquire in lock_context */
	(void)timer_cancel(&context->timer);
	spin_unlock(&context->lock);
	atomic_fence(); /* as in context_unbind */
	context_release(cpu, from);
	look_anew(cpu, from);
}
