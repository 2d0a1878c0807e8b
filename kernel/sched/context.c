/* SPDX-License-Identifier: MIT */
/* Scheduling contexts in the dispatcher: charge, throttling and its end, binding. SX1 to SX4: context.h. */
#include "context.h"

#include <kernel/call.h>
#include <string.h>

#include "sched_priv.h"

_Static_assert((u32)REFILL_SPORADIC == CAPOS_REPLENISH_SPORADIC && (u32)REFILL_PERIODIC == CAPOS_REPLENISH_PERIODIC &&
		       (u32)REFILL_CBS == CAPOS_REPLENISH_CBS,
	       "kinds");

void context_init(struct context *context, const struct capos_context_spec *spec)
{
	spinlock_init(&context->lock, RANK_CONTEXT, context->object.id);
	context->spec = *spec;
	atomic_store_relaxed(&context->generation, 1ull);
	refills_init(&context->refills, (enum refill_kind)spec->replenishment, spec->budget_ns, spec->period_ns,
		     CONTEXT_LEAST_NS, mach_clock().ns);
	context->timer.deadline_ns = INSTANT_NEVER.ns;
	context_no_job(context, 0);
	waitlist_init(&context->watchers);
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

static void unlock_context(struct context *context) NO_TSA
{
	spin_unlock(&context->lock);
}

/* --- charge ------------------------------------------------------------------------------------------------------------ */

/* Service up to at_ns. Under the lock. */
static void use(struct context *context, u64 at_ns, u64 used_ns)
{
	if (unlikely(at_ns <= context->charged_ns))
		return;
	used_ns = MIN(used_ns, at_ns - context->charged_ns);
	refills_use(&context->refills, at_ns - used_ns, used_ns);
	context->used_ns += used_ns;
	context->charged_ns = at_ns;
}

void context_charge(struct cpu *cpu, struct entity *entity, u64 used_ns, bool blocks)
{
	struct context *context = lock_context(entity);

	if (context == NULL)
		return;
	use(context, cpu->account_ns, used_ns);
	context_job_charged(cpu, context, blocks);
	unlock_context(context);
}

/* Exact for what runs here: interrupts are not charged. Without the lock: others bind and unbind meanwhile, before or after this. */
static void charge_here(struct cpu *cpu, struct context *context)
{
	if (cpu->current_entity != NULL && shared_load_relaxed(&context->entity) == cpu->current_entity &&
	    !cpu->in_interrupt)
		account_current(cpu, cpu->current_entity, mach_clock());
}

/* SX5. Under the lock. What runs here was charged just before. */
static void charge_running(struct cpu *cpu, struct context *context)
{
	struct entity *entity = context->entity;

	if (entity != cpu->current_entity && atomic_load_relaxed(&entity->owner) == OWNER_CURRENT)
		use(context, mach_clock().ns, ~0ull);
}

/* --- dispatch ---------------------------------------------------------------------------------------------------------- */

static bool is_dying(const struct entity *entity)
{
	return entity->thread != NULL && (atomic_load_relaxed(&entity->thread->attention) & ATTENTION_KILL) != 0;
}

/* What it may use from now on, if it is about to run, or runs; 0 with the instant from which on there is more. due_ns: it runs now, its
 * deadline; or NULL. */
static u64 budget_left(struct cpu *cpu, struct entity *entity, u64 *next_ns, u64 *due_ns)
{
	struct context *context = lock_context(entity);
	u64 left_ns;

	if (context == NULL)
		return ~0ull;
	/* SX5. Whoever looked from another CPU may have read the clock later. */
	context->charged_ns = MAX(context->charged_ns, cpu->account_ns);
	left_ns = refills_begin(&context->refills, context->charged_ns);
	left_ns = left_ns > CONTEXT_LEAD_NS ? left_ns : 0;
	*next_ns = refills_next_ns(&context->refills);
	if (due_ns != NULL && left_ns != 0)
		*due_ns = context_job_runs(cpu, context);
	unlock_context(context);
	return left_ns;
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
		if (from == OWNER_CURRENT || context->in_job)
			context_note_depletion(cpu, context, next_ns);
		timer_start(cpu, &context->timer, (struct instant){ next_ns }, replenish);
		unlock_context(context);
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

	if (!has_context(entity) || budget_left(cpu, entity, &next_ns, NULL) != 0 || is_dying(entity))
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

	return budget_left(cpu, entity, &next_ns, NULL) != 0 || is_dying(entity);
}

void context_begin(struct cpu *cpu, struct entity *entity)
{
	u64 next_ns, due_ns = INSTANT_NEVER.ns, left_ns = budget_left(cpu, entity, &next_ns, &due_ns);

	if (left_ns == ~0ull || is_dying(entity)) {
		cpu->budget_end_ns = INSTANT_NEVER.ns;
		return;
	}
	cpu->budget_end_ns = MIN(due_ns, cpu->account_ns + left_ns - MIN(left_ns, CONTEXT_LEAD_NS));
	if (unlikely(left_ns == 0))
		cpu->resched = true;
}

bool context_ends_current(struct cpu *cpu)
{
	struct entity *entity = cpu->current_entity;
	u64 next_ns;

	context_begin(cpu, entity);
	if (cpu->account_ns < cpu->budget_end_ns || budget_left(cpu, entity, &next_ns, NULL) != 0)
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
		unlock_context(context);
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

u64 context_bind(struct cpu *cpu, struct context *context, struct thread *thread)
{
	struct entity *entity;
	u64 result = STATUS(OK);

	spin_lock_on(cpu, &thread->ring_lock); /* `own` stays (LE6) */
	entity = shared_load_relaxed(&thread->own);
	spin_lock_on(cpu, &context->lock);
	if (atomic_load_relaxed(&context->generation) != 1) {
		result = IRESULT(CAPOS_CONTEXT_STALE_GENERATION);
	} else if (context->entity != NULL) {
		result = IRESULT(CAPOS_CONTEXT_ALREADY_BOUND);
	} else if (atomic_load_relaxed(&entity->context) != NULL) {
		result = IRESULT(CAPOS_CONTEXT_THREAD_HAS_ONE);
	} else {
		shared_store_relaxed(&context->entity, entity);
		context->thread_id = thread->object.id;
		context->charged_ns = mach_clock().ns;
		context_no_job(context, context->charged_ns);
		atomic_store_release(&entity->context, context); /* pairs with the acquire in lock_context */
	}
	spin_unlock_on(cpu, &context->lock);
	spin_unlock_on(cpu, &thread->ring_lock);
	if (result != STATUS(OK))
		return result;
	atomic_fence(); /* before the look at who runs it: pairs with the exchange in set_current */
	look_anew(cpu, entity);
	return result;
}

static bool unbind_locked(struct cpu *cpu, struct context *context, struct entity **entity) REQUIRES(context->lock)
{
	*entity = context->entity;
	if (*entity == NULL)
		return false;
	charge_running(cpu, context);
	shared_store_relaxed(&context->entity, NULL);
	context->thread_id = 0;
	atomic_store_relaxed(&(*entity)->context, NULL);
	(void)timer_cancel(&context->timer);
	return true;
}

/* Whoever has it goes on without. */
static void let_go(struct cpu *cpu, struct entity *entity)
{
	atomic_fence(); /* before the look at the owner: pairs with the exchange in throttle */
	context_release(cpu, entity);
	look_anew(cpu, entity);
}

bool context_unbind(struct cpu *cpu, struct context *context)
{
	struct entity *entity;
	bool was_bound;

	charge_here(cpu, context);
	spin_lock(&context->lock);
	was_bound = unbind_locked(cpu, context, &entity);
	spin_unlock(&context->lock);
	if (was_bound)
		let_go(cpu, entity);
	return was_bound;
}

bool context_end(struct cpu *cpu, struct context *context, struct grant *through)
{
	struct entity *entity;
	bool was_bound = false, first;

	charge_here(cpu, context);
	spin_lock(&context->lock);
	first = atomic_load_relaxed(&context->generation) == 1;
	if (first) {
		context->revoked_through = through;
		context->cell.explicit_revoke = through != NULL;
		atomic_store_release(&context->generation, 2ull); /* pairs with the acquire in context_check */
		was_bound = unbind_locked(cpu, context, &entity);
		context_mark(cpu, context);
	}
	spin_unlock(&context->lock);
	if (was_bound)
		let_go(cpu, entity);
	return first;
}

void context_thread_gone(struct cpu *cpu, struct thread *thread) NO_TSA
{
	struct entity *entity = thread->own;
	struct context *context = atomic_load_acquire(&entity->context); /* pairs with the release in context_bind */

	if (likely(context == NULL))
		return;
	charge_here(cpu, context);
	context = lock_context(entity);
	if (context == NULL)
		return;
	(void)!unbind_locked(cpu, context, &entity);
	unlock_context(context);
	let_go(cpu, entity);
}

void context_move(struct cpu *cpu, struct entity *from, struct entity *to)
{
	struct context *context = lock_context(from);

	if (context == NULL)
		return;
	KASSERT(atomic_load_relaxed(&to->context) == NULL);
	charge_running(cpu, context);
	shared_store_relaxed(&context->entity, to);
	context_no_job(context, 0);
	atomic_store_relaxed(&from->context, NULL);
	atomic_store_release(&to->context, context); /* pairs with the acquire in lock_context */
	(void)timer_cancel(&context->timer);
	unlock_context(context);
	let_go(cpu, from);
}

/* --- for who looks ------------------------------------------------------------------------------------------------------ */

bool context_throttles(const struct thread *thread)
{
	const struct entity *entity = shared_load_relaxed(&thread->entity);

	return entity != NULL && atomic_load_relaxed(&entity->owner) == OWNER_THROTTLED;
}

u32 context_state(const struct context *context)
{
	if (atomic_load_relaxed(&context->generation) != 1)
		return CAPOS_CONTEXT_REVOKED;
	if (context->entity == NULL)
		return CAPOS_CONTEXT_UNBOUND;
	return atomic_load_relaxed(&context->entity->owner) == OWNER_THROTTLED ? CAPOS_CONTEXT_THROTTLED
									       : CAPOS_CONTEXT_BOUND;
}

void context_fill_info(struct cpu *cpu, struct context *context, struct capos_context_info *out)
{
	const struct thread *holder;
	u64 now_ns;

	memset(out, 0, sizeof(*out));
	charge_here(cpu, context);
	spin_lock(&context->lock);
	if (context->entity != NULL)
		charge_running(cpu, context);
	now_ns = mach_clock().ns;
	holder = context->entity != NULL ? shared_load_relaxed(&context->entity->thread) : NULL;
	out->spec = context->spec;
	out->context_id = context->object.id;
	out->generation = atomic_load_relaxed(&context->generation);
	out->state = context_state(context);
	out->holder_id = holder != NULL ? holder->object.id : 0;
	out->donated = out->holder_id != 0 && out->holder_id != context->thread_id;
	out->thread_id = context->thread_id;
	out->remaining_budget_ns = refills_available_ns(&context->refills, now_ns);
	out->next_ns = refills_next_ns(&context->refills);
	out->used_ns = context->used_ns;
	out->throttles = context->throttles;
	spin_unlock(&context->lock);
}
