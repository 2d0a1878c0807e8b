/* SPDX-License-Identifier: MIT */
/* Budgets in the dispatcher: charge, the end of a budget, and the end of that. SX2 to SX6: kernel/context.h. */
#include "budget.h"

#include "choose.h"

_Static_assert((u32)REFILL_SPORADIC == CAPOS_REPLENISH_SPORADIC && (u32)REFILL_PERIODIC == CAPOS_REPLENISH_PERIODIC &&
		       (u32)REFILL_CBS == CAPOS_REPLENISH_CBS,
	       "kinds");

void budget_fill_up(struct context *context, u64 now_ns)
{
	const struct capos_context_spec *spec = &context->spec;

	refills_init(&context->refills, (enum refill_kind)spec->replenishment, spec->budget_ns, spec->period_ns,
		     CONTEXT_LEAST_NS, now_ns);
}

/* --- charge ------------------------------------------------------------------------------------------------------------ */

/* Service up to at_ns. Under the lock. */
static void use(struct context *context, u64 at_ns, u64 used_ns)
{
	if (unlikely(at_ns <= context->charged_ns))
		return;
	used_ns = MIN(used_ns, at_ns - context->charged_ns);
	context->charged_ns = at_ns;
	if (unlikely(context->best_effort))
		return;
	refills_use(&context->refills, at_ns - used_ns, used_ns);
	context->used_ns += used_ns;
}

static inline void charge_locked(struct cpu *cpu, struct context *context, u64 used_ns, bool blocks)
{
	use(context, cpu->account_ns, used_ns);
	context_job_charged(cpu, context, blocks);
}

void context_charge(struct cpu *cpu, struct entity *entity, u64 used_ns, bool blocks)
{
	struct context *context = lock_context(cpu, entity);

	if (context == NULL)
		return;
	charge_locked(cpu, context, used_ns, blocks);
	unlock_context(cpu, context);
}

void budget_charge_here(struct cpu *cpu, struct context *context)
{
	if (cpu->current_entity != NULL && shared_load_relaxed(&context->entity) == cpu->current_entity &&
	    !cpu->in_interrupt)
		account_current(cpu, cpu->current_entity, mach_clock());
}

void budget_charge_running(struct cpu *cpu, struct context *context)
{
	struct entity *entity = context->entity;

	if (entity != cpu->current_entity && atomic_load_relaxed(&entity->owner) == OWNER_CURRENT)
		use(context, mach_clock().ns, ~0ull);
}

/* --- the end of a budget ------------------------------------------------------------------------------------------------ */

static bool is_dying(const struct entity *entity)
{
	const struct thread *thread = shared_load_relaxed(&entity->thread);

	return thread != NULL && (atomic_load_relaxed(&thread->attention) & ATTENTION_KILL) != 0;
}

/* The current entity, which is charged up to charged_ns, has a budget: when it is to be looked at. */
static inline bool begins_locked(struct cpu *cpu, struct context *context)
{
	u64 left_ns = refills_begin(&context->refills, context->charged_ns);

	if (left_ns <= CONTEXT_LEAD_NS)
		return false;
	context->began = true;
	cpu->budget_end_ns = MIN(context_job_runs(cpu, context), cpu->account_ns + left_ns - CONTEXT_LEAD_NS);
	return true;
}

void context_begin(struct cpu *cpu, struct entity *entity)
{
	struct context *context = lock_context(cpu, entity);
	bool may_run;

	if (context == NULL)
		return;
	/* SX5. Whoever looked from another CPU may have read the clock later. */
	context->charged_ns = MAX(context->charged_ns, cpu->account_ns);
	may_run = is_dying(entity) || context->best_effort || begins_locked(cpu, context);
	shared_store_relaxed(&context->may_run, may_run);
	unlock_context(cpu, context);
}

/* The way of the timer: on the CPU where the budget ended. */
static void replenish(struct cpu *cpu, struct timer *timer);

static void await_refill(struct cpu *cpu, struct context *context)
{
	timer_add(cpu, &context->timer, (struct instant){ refills_next_ns(&context->refills) }, replenish);
}

/* SX3. The current entity waits, until the next refill or until somebody says so. The queue's best is to run next. */
static struct entity *throttle_locked(struct cpu *cpu, struct context *context, struct entity *entity, bool suspend)
{
	struct entity *next;

	mach_thread_leave(cpu->current);
	account_of(entity)->preemptions++;
	cpu->current = NULL;
	cpu->current_entity = NULL;
	context->throttles++;
	context->suspended = suspend;
	if (!suspend)
		await_refill(cpu, context);
	entity->enqueued_ns = cpu->account_ns;
	MEASURE_SITE(cpu, scheduler_lock_site_timer_select);
	spin_lock_on(cpu, &cpu->runq.lock);
	wake_drain_locked(cpu);
	runq_leave_locked(&cpu->runq, entity);
	next = take_best(cpu);
	spin_unlock_on(cpu, &cpu->runq.lock);
	owner_change(entity, OWNER_CURRENT, OWNER_THROTTLED);
	return next;
}

/* What the policy says for the end of the budget. True: it waits. */
static bool overrun_locked(struct cpu *cpu, struct context *context, struct entity *entity, struct entity **next)
{
	bool ends = context->began; /* else it ended before, and it was woken too early */

	context->began = false;
	if (ends)
		context_note_depletion(cpu, context);
	switch ((enum capos_overrun)context->spec.overrun) {
	case CAPOS_OVERRUN_NOTIFY:
		budget_fill_up(context, cpu->account_ns);
		(void)begins_locked(cpu, context);
		return false;
	case CAPOS_OVERRUN_BEST_EFFORT:
		context->best_effort = true;
		(void)atomic_fetch_or(&entity->wanted, PARAMS_BEST_EFFORT); /* adopted by who chooses */
		await_refill(cpu, context);
		return false;
	default:
		*next = throttle_locked(cpu, context, entity,
					ends && context->spec.overrun == (u32)CAPOS_OVERRUN_SUSPEND);
		return true;
	}
}

bool context_ends_current(struct cpu *cpu, u64 used_ns, struct entity **next)
{
	struct entity *entity = cpu->current_entity;
	struct context *context = lock_context(cpu, entity);
	bool gives_way = false;

	cpu->budget_end_ns = INSTANT_NEVER.ns;
	if (context == NULL)
		return false;
	charge_locked(cpu, context, used_ns, false);
	/* SX4 */
	if (!is_dying(entity) && !context->best_effort && !begins_locked(cpu, context))
		gives_way = !overrun_locked(cpu, context, entity, next) && context->best_effort;
	unlock_context(cpu, context);
	if (unlikely(gives_way))
		sched_yield_current(cpu); /* what it was owed, and what is left of its request, is the others' */
	return cpu->current_entity == NULL;
}

/* --- the end of that ---------------------------------------------------------------------------------------------------- */

enum freed budget_free_locked(struct context *context, struct entity *entity)
{
	if (timer_is_queued(&context->timer))
		(void)timer_cancel(&context->timer);
	context->suspended = false;
	if (atomic_load_relaxed(&entity->owner) == OWNER_THROTTLED) {
		owner_change(entity, OWNER_THROTTLED, OWNER_NONE);
		return FREED_WAITS;
	}
	if (context->best_effort) {
		context->best_effort = false;
		context->charged_ns = MAX(context->charged_ns, mach_clock().ns);
		(void)atomic_fetch_and(&entity->wanted, ~PARAMS_BEST_EFFORT);
		return FREED_BEST_EFFORT;
	}
	return FREED_RUNS;
}

void budget_look_anew(struct cpu *cpu, struct entity *entity)
{
	struct cpu *where = atomic_load_relaxed(&entity->cpu);

	if (where != NULL && atomic_load_relaxed(&entity->owner) == OWNER_CURRENT)
		sched_request(cpu, where, REQUEST_RESCHEDULE);
}

void budget_go_on(struct cpu *cpu, struct entity *entity, enum freed was)
{
	if (was == FREED_WAITS) {
		sched_wake(cpu, entity);
		return;
	}
	atomic_fence(); /* before the look at who runs it: pairs with the exchange in set_current */
	if (was == FREED_BEST_EFFORT)
		(void)params_tell(cpu, entity);
	budget_look_anew(cpu, entity);
}

/* Who waited for this refill waits no more, and is to be woken; NULL: nobody did. */
static struct entity *refilled(struct cpu *cpu, struct timer *timer)
{
	struct context *context = container_of(timer, struct context, timer);
	enum freed was = FREED_RUNS;
	struct entity *entity;

	spin_lock_on(cpu, &context->lock);
	entity = context->entity;
	/* It may have been bound anew between this shot and this look, and be waiting for the next one. */
	if (likely(entity != NULL && !context->suspended && !timer_is_queued(timer)))
		was = budget_free_locked(context, entity);
	spin_unlock_on(cpu, &context->lock);
	if (likely(was == FREED_WAITS))
		return entity;
	if (was == FREED_BEST_EFFORT)
		budget_go_on(cpu, entity, was);
	return NULL;
}

static void replenish(struct cpu *cpu, struct timer *timer)
{
	struct entity *entity = refilled(cpu, timer);

	if (likely(entity != NULL))
		sched_wake(cpu, entity);
}

struct entity *context_refilled(struct cpu *cpu, struct instant now)
{
	struct timer *timer = timer_take_due(cpu, now, replenish);

	return timer != NULL ? refilled(cpu, timer) : NULL;
}

void context_release(struct cpu *cpu, struct entity *entity) NO_TSA
{
	struct context *context = lock_context(cpu, entity);
	enum freed was = FREED_RUNS;

	if (context == NULL)
		return;
	if (is_dying(entity)) /* else it is another thread's by now */
		was = budget_free_locked(context, entity);
	unlock_context(cpu, context);
	budget_go_on(cpu, entity, was);
}

bool context_resume(struct cpu *cpu, struct context *context)
{
	struct entity *entity;
	bool suspended;

	spin_lock_on(cpu, &context->lock);
	entity = context->entity;
	suspended = context->suspended;
	if (suspended)
		(void)!budget_free_locked(context, entity);
	spin_unlock_on(cpu, &context->lock);
	if (suspended)
		budget_go_on(cpu, entity, FREED_WAITS);
	return suspended;
}
