/* SPDX-License-Identifier: MIT */
/* Scheduling contexts in the dispatcher: charge, throttling and its end, binding. SX1 to SX7: kernel/context.h. */
#include <kernel/call.h>
#include <kernel/process.h>
#include <string.h>

#include "choose.h"

_Static_assert((u32)REFILL_SPORADIC == CAPOS_REPLENISH_SPORADIC && (u32)REFILL_PERIODIC == CAPOS_REPLENISH_PERIODIC &&
		       (u32)REFILL_CBS == CAPOS_REPLENISH_CBS,
	       "kinds");

/* The whole budget, from now_ns on. */
static void fill_up(struct context *context, u64 now_ns)
{
	const struct capos_context_spec *spec = &context->spec;

	refills_init(&context->refills, (enum refill_kind)spec->replenishment, spec->budget_ns, spec->period_ns,
		     CONTEXT_LEAST_NS, now_ns);
}

void context_init(struct context *context, const struct capos_context_spec *spec)
{
	spinlock_init(&context->lock, RANK_CONTEXT, context->object.id);
	context->spec = *spec;
	context->mask = AFFINITY_ANY;
	atomic_store_relaxed(&context->generation, 1ull);
	fill_up(context, mach_clock().ns);
	context->timer.deadline_ns = INSTANT_NEVER.ns;
	context_no_job(context, 0);
	waitlist_init(&context->watchers);
}

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

/* An entity gets `context`, or (now: NULL) has it no more: AF4. Where every CPU is allowed that changes nothing of where it may run. */
static inline void name_context(const struct context *context, struct entity *entity, struct context *now)
{
	if (likely(context->mask == AFFINITY_ANY))
		atomic_store_release(&entity->context, now); /* pairs with the acquire in lock_context */
	else
		affinity_set_context(entity, now);
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
		fill_up(context, cpu->account_ns);
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

enum freed { FREED_RUNS, FREED_WAITS, FREED_BEST_EFFORT };

/* It does not wait for its budget any more, and has its own parameters. What it was: for go_on, without the lock. */
static enum freed free_locked(struct context *context, struct entity *entity) REQUIRES(context->lock)
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

/* Whoever runs it, or is about to, looks at its budget. */
static void look_anew(struct cpu *cpu, struct entity *entity)
{
	struct cpu *where = atomic_load_relaxed(&entity->cpu);

	if (where != NULL && atomic_load_relaxed(&entity->owner) == OWNER_CURRENT)
		sched_request(cpu, where, REQUEST_RESCHEDULE);
}

static void go_on(struct cpu *cpu, struct entity *entity, enum freed was)
{
	if (was == FREED_WAITS) {
		sched_wake(cpu, entity);
		return;
	}
	atomic_fence(); /* before the look at who runs it: pairs with the exchange in set_current */
	if (was == FREED_BEST_EFFORT)
		(void)params_tell(cpu, entity);
	look_anew(cpu, entity);
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
		was = free_locked(context, entity);
	spin_unlock_on(cpu, &context->lock);
	if (likely(was == FREED_WAITS))
		return entity;
	if (was == FREED_BEST_EFFORT)
		go_on(cpu, entity, was);
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
		was = free_locked(context, entity);
	unlock_context(cpu, context);
	go_on(cpu, entity, was);
}

bool context_resume(struct cpu *cpu, struct context *context)
{
	struct entity *entity;
	bool suspended;

	spin_lock_on(cpu, &context->lock);
	entity = context->entity;
	suspended = context->suspended;
	if (suspended)
		(void)free_locked(context, entity);
	spin_unlock_on(cpu, &context->lock);
	if (suspended)
		go_on(cpu, entity, FREED_WAITS);
	return suspended;
}

/* --- from outside ------------------------------------------------------------------------------------------------------ */

static bool is_logged_out(const struct session *session)
{
	return session != NULL && atomic_load_relaxed(&session->alive) == 0;
}

/* They name each other no more. */
static inline void part(struct context *context, struct entity *entity)
{
	shared_store_relaxed(&context->entity, NULL);
	context->thread_id = 0;
	name_context(context, entity, NULL);
}

inline __attribute__((always_inline)) u64 context_bind(struct cpu *cpu, struct context *context,
						       struct thread *thread)
{
	struct entity *entity;
	u64 result = STATUS(OK);

	spin_lock_on(cpu, &thread->ring_lock); /* `own` stays (LE6) */
	entity = shared_load_relaxed(&thread->own);
	spin_lock_on(cpu, &context->lock);
	if (context_has_ended(context)) {
		result = IRESULT(CAPOS_CONTEXT_STALE_GENERATION);
	} else if (context->entity != NULL) {
		result = IRESULT(CAPOS_CONTEXT_ALREADY_BOUND);
	} else if (atomic_load_relaxed(&entity->context) != NULL) {
		result = IRESULT(CAPOS_CONTEXT_THREAD_HAS_ONE);
	} else if (context->mask != AFFINITY_ANY && !affinity_fits_mask(entity, context->mask)) {
		result = IRESULT(CAPOS_CONTEXT_CPU_MASK_MISMATCH);
	} else {
		shared_store_relaxed(&context->entity, entity);
		context->thread_id = thread->object.id;
		shared_store_relaxed(&context->may_run, false);
		context->charged_ns = mach_clock_quick().ns;
		context_no_job(context, context->charged_ns);
		name_context(context, entity, context);
		/* Before the looks at the session and at who runs it: pairs with the exchanges in logout and in set_current. */
		atomic_fence();
		if (unlikely(is_logged_out(thread->process->session))) {
			part(context, entity);
			result = IRESULT(CAPOS_CONTEXT_SESSION_ENDED);
		}
	}
	spin_unlock_on(cpu, &context->lock);
	spin_unlock_on(cpu, &thread->ring_lock);
	if (result != STATUS(OK))
		return result;
	if (unlikely(context->mask != AFFINITY_ANY))
		(void)affinity_settle(cpu, thread, entity);
	look_anew(cpu, entity);
	return result;
}

/* Under the thread's lock, so that it does not end meanwhile: who ends unbinds after that. */
inline __attribute__((always_inline)) u64 context_bind_through(struct cpu *cpu, const struct cap *cap,
							       struct thread *thread)
{
	struct context *context = container_of(cap->object, struct context, object);
	u64 result = IRESULT(CAPOS_CONTEXT_THREAD_ENDED), gone;

	if (unlikely(thread != NULL && thread->passive)) {
		result = IRESULT(CAPOS_CONTEXT_PASSIVE_THREAD);
	} else if (likely(thread != NULL)) {
		spin_lock_on(cpu, &thread->object.lock);
		if (likely(!thread->ended))
			result = context_bind(cpu, context, thread);
		spin_unlock_on(cpu, &thread->object.lock);
	}
	if (likely(result == STATUS(OK)))
		return result;
	gone = context_check(context, cap->grant); /* that comes first */
	return gone != STATUS(OK) ? gone : result;
}

u64 context_bind_for(struct call *call, struct thread *thread, struct grant *grant)
{
	const struct context *context = container_of(call->cap.object, struct context, object);
	u64 result = context_bind_through(call->cpu, &call->cap, thread);

	if (likely(result != STATUS(OK) || context->mask == AFFINITY_ANY || sched_has_left(thread)))
		return result;
	return thread_wait_until_left(call, thread, grant, false);
}

/* Unbound: NULL. Else whoever has it is told by go_on that it goes on without. */
static struct entity *unbind_locked(struct cpu *cpu, struct context *context, enum freed *was) REQUIRES(context->lock)
{
	struct entity *entity = context->entity;

	if (entity == NULL)
		return NULL;
	charge_running(cpu, context);
	*was = free_locked(context, entity);
	part(context, entity);
	return entity;
}

bool context_unbind(struct cpu *cpu, struct context *context)
{
	struct entity *entity;
	enum freed was = FREED_RUNS;

	charge_here(cpu, context);
	spin_lock_on(cpu, &context->lock);
	entity = unbind_locked(cpu, context, &was);
	spin_unlock_on(cpu, &context->lock);
	if (entity != NULL)
		go_on(cpu, entity, was);
	return entity != NULL;
}

/* False: that was done before. */
static bool end_locked(struct cpu *cpu, struct context *context, struct grant *through, struct entity **entity,
		       enum freed *was) REQUIRES(context->lock)
{
	if (context_has_ended(context))
		return false;
	context->revoked_through = through;
	context->cell.explicit_revoke = through != NULL;
	atomic_store_release(&context->generation, 2ull); /* pairs with the acquire in context_check */
	*entity = unbind_locked(cpu, context, was);
	context_mark(cpu, context);
	return true;
}

bool context_end(struct cpu *cpu, struct context *context, struct grant *through)
{
	struct entity *entity = NULL;
	enum freed was = FREED_RUNS;
	bool first;

	charge_here(cpu, context);
	spin_lock_on(cpu, &context->lock);
	first = end_locked(cpu, context, through, &entity, &was);
	spin_unlock_on(cpu, &context->lock);
	if (entity != NULL)
		go_on(cpu, entity, was);
	return first;
}

/* --- logout ------------------------------------------------------------------------------------------------------------- */

/* The thread is bound to it itself. */
static enum context_logout mark_stale(struct cpu *cpu, struct thread *thread) NO_TSA
{
	enum context_logout result = CONTEXT_NOT_BOUND;
	enum freed was = FREED_RUNS;
	struct entity *own, *entity = NULL;
	struct context *context;

	spin_lock_on(cpu, &thread->ring_lock); /* `own` stays (LE6) */
	own = shared_load_relaxed(&thread->own);
	context = lock_context(cpu, own);
	if (context != NULL) {
		if (atomic_load_relaxed(&own->loan) & LOAN_LENT)
			result = CONTEXT_IN_FLIGHT;
		else if (end_locked(cpu, context, NULL, &entity, &was))
			result = CONTEXT_MARKED_STALE;
		unlock_context(cpu, context);
	}
	spin_unlock_on(cpu, &thread->ring_lock);
	if (entity != NULL)
		go_on(cpu, entity, was);
	return result;
}

/* It runs on the context of a thread of another session, or of none. */
static bool runs_on_foreign(struct cpu *cpu, struct thread *thread, const struct session *session)
{
	struct entity *borrowed = shared_load_relaxed(&thread->entity);
	struct context *context = NULL;
	const struct thread *donor;
	u64 donor_id;

	if (borrowed != NULL && borrowed != shared_load_relaxed(&thread->own))
		context = lock_context(cpu, borrowed);
	if (context == NULL)
		return false;
	donor_id = context->thread_id;
	unlock_context(cpu, context);
	donor = registry_next_thread(donor_id);
	return donor == NULL || donor->object.id != donor_id || donor->process->session != session;
}

enum context_logout context_logout(struct cpu *cpu, const struct session *session, struct thread *thread)
{
	enum context_logout result;

	if (cpu->current_entity == shared_load_relaxed(&thread->own)) /* as charge_here */
		account_current(cpu, cpu->current_entity, mach_clock());
	result = mark_stale(cpu, thread);
	if (result == CONTEXT_NOT_BOUND && runs_on_foreign(cpu, thread, session))
		result = CONTEXT_IN_FLIGHT;
	return result;
}

/* --- the ends of threads and calls ---------------------------------------------------------------------------------------- */

void context_thread_gone(struct cpu *cpu, struct thread *thread) NO_TSA
{
	struct entity *entity = thread->own;
	struct context *context = atomic_load_acquire(&entity->context); /* pairs with the release in name_context */
	enum freed was = FREED_RUNS;

	if (likely(context == NULL))
		return;
	charge_here(cpu, context);
	context = lock_context(cpu, entity);
	if (context == NULL)
		return;
	(void)unbind_locked(cpu, context, &was);
	unlock_context(cpu, context);
	go_on(cpu, entity, was);
}

void context_move(struct cpu *cpu, struct entity *from, struct entity *to) NO_TSA
{
	struct context *context = lock_context(cpu, from);
	enum freed was = FREED_RUNS;

	if (context == NULL)
		return;
	KASSERT(atomic_load_relaxed(&to->context) == NULL);
	charge_running(cpu, context);
	was = free_locked(context, from);
	shared_store_relaxed(&context->entity, to);
	context_no_job(context, 0);
	name_context(context, from, NULL);
	name_context(context, to, context);
	unlock_context(cpu, context);
	go_on(cpu, from, was);
}

/* --- for who looks ------------------------------------------------------------------------------------------------------ */

bool context_throttles(const struct thread *thread)
{
	const struct entity *entity = shared_load_relaxed(&thread->entity);

	return entity != NULL && atomic_load_relaxed(&entity->owner) == OWNER_THROTTLED;
}

u32 context_state(const struct context *context)
{
	if (context_has_ended(context))
		return CAPOS_CONTEXT_REVOKED;
	if (context->entity == NULL)
		return CAPOS_CONTEXT_UNBOUND;
	if (context->suspended)
		return CAPOS_CONTEXT_SUSPENDED;
	if (context->best_effort)
		return CAPOS_CONTEXT_BEST_EFFORT;
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
