/* SPDX-License-Identifier: MIT */
/* Who has a scheduling context: made, bound, unbound, moved along an ended call, ended for good. SX1, SX5, SX7: kernel/context.h. */
#include <kernel/call.h>
#include <kernel/process.h>
#include <string.h>

#include "budget.h"
#include "sched_priv.h"

void context_init(struct context *context, const struct capos_context_spec *spec)
{
	spinlock_init(&context->lock, RANK_CONTEXT, context->object.id);
	context->spec = *spec;
	context->mask = AFFINITY_ANY;
	atomic_store_relaxed(&context->generation, 1ull);
	budget_fill_up(context, mach_clock().ns);
	context->timer.deadline_ns = INSTANT_NEVER.ns;
	context_no_job(context, 0);
	waitlist_init(&context->watchers);
}

/* An entity gets `context`, or (now: NULL) has it no more: AF4. Where every CPU is allowed that changes nothing of where it may run. */
static inline void name_context(const struct context *context, struct entity *entity, struct context *now)
{
	if (likely(context->mask == AFFINITY_ANY))
		atomic_store_release(&entity->context, now); /* pairs with the acquire in lock_context */
	else
		affinity_set_context(entity, now);
}

/* --- bound, unbound, ended ---------------------------------------------------------------------------------------------- */

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

/* always_inline, as bind_through is: bind_thread is one piece of code. */
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
		/* Before the looks at the session and at who runs it: pairs with the exchanges in logout_begin and set_current. */
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
	budget_look_anew(cpu, entity);
	return result;
}

/* Under the thread's lock, so that it does not end meanwhile: who ends unbinds after that. */
static inline __attribute__((always_inline)) u64 bind_through(struct cpu *cpu, const struct cap *cap,
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

u64 context_bind_through(struct cpu *cpu, const struct cap *cap, struct thread *thread)
{
	return bind_through(cpu, cap, thread);
}

inline __attribute__((always_inline)) u64 context_bind_wait(struct call *call, const struct cap *cap,
							    struct thread *thread, struct grant *grant, u64 result)
{
	const struct context *context = container_of(cap->object, struct context, object);

	if (likely(result != STATUS(OK) || context->mask == AFFINITY_ANY || sched_has_left(thread)))
		return result;
	return thread_wait_until_left(call, thread, grant, false);
}

u64 context_bind_for(struct call *call, struct thread *thread, struct grant *grant)
{
	return context_bind_wait(call, &call->cap, thread, grant, bind_through(call->cpu, &call->cap, thread));
}

/* Unbound: NULL. Else whoever has it is told by budget_go_on that it goes on without. */
static inline struct entity *unbind_locked(struct cpu *cpu, struct context *context, enum freed *was)
	REQUIRES(context->lock)
{
	struct entity *entity = context->entity;

	if (entity == NULL)
		return NULL;
	budget_charge_running(cpu, context);
	*was = budget_free_locked(context, entity);
	part(context, entity);
	return entity;
}

bool context_unbind(struct cpu *cpu, struct context *context)
{
	struct entity *entity;
	enum freed was = FREED_RUNS;

	budget_charge_here(cpu, context);
	spin_lock_on(cpu, &context->lock);
	entity = unbind_locked(cpu, context, &was);
	spin_unlock_on(cpu, &context->lock);
	if (entity != NULL)
		budget_go_on(cpu, entity, was);
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

	budget_charge_here(cpu, context);
	spin_lock_on(cpu, &context->lock);
	first = end_locked(cpu, context, through, &entity, &was);
	spin_unlock_on(cpu, &context->lock);
	if (entity != NULL)
		budget_go_on(cpu, entity, was);
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
		budget_go_on(cpu, entity, was);
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
	donor = registry_find_thread(donor_id);
	return donor == NULL || donor->process->session != session;
}

enum context_logout context_logout(struct cpu *cpu, const struct session *session, struct thread *thread)
{
	enum context_logout result;

	if (cpu->current_entity == shared_load_relaxed(&thread->own)) /* as budget_charge_here */
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
	budget_charge_here(cpu, context);
	context = lock_context(cpu, entity);
	if (context == NULL)
		return;
	(void)unbind_locked(cpu, context, &was);
	unlock_context(cpu, context);
	budget_go_on(cpu, entity, was);
}

void context_move(struct cpu *cpu, struct entity *from, struct entity *to) NO_TSA
{
	struct context *context = lock_context(cpu, from);
	enum freed was = FREED_RUNS;

	if (context == NULL)
		return;
	KASSERT(atomic_load_relaxed(&to->context) == NULL);
	budget_charge_running(cpu, context);
	was = budget_free_locked(context, from);
	shared_store_relaxed(&context->entity, to);
	context_no_job(context, 0);
	name_context(context, from, NULL);
	name_context(context, to, context);
	unlock_context(cpu, context);
	budget_go_on(cpu, from, was);
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
	budget_charge_here(cpu, context);
	spin_lock(&context->lock);
	if (context->entity != NULL)
		budget_charge_running(cpu, context);
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
