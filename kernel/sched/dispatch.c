/* SPDX-License-Identifier: MIT */
/*
 * Dispatch: what a CPU does at the end of every kernel entry.
 *
 *   sched_exit:  current thread, nothing to look at  -> back to user mode (the fast path: three loads)
 *                attention                           -> interrupt window; step its operation, or a piece of its death; again
 *                resched or no current               -> choose: hand-off, else the queue's best, else steal, else idle
 *                (straight ways to the queue's best: exit_blocked; sched_exit_charged, _budget, _woken; switch_fast.c)
 *                an activity was chosen              -> interrupt window; step it; again
 *
 * DI1  Before each step interrupts get their window; no step takes more than about 2,000 instructions.
 * DI2  The one-shot is armed for min(tick while busy, slice end while others wait, budget end, first timer) or earlier; it is moved only
 *      to an earlier instant, so an early expiry is possible and only re-arms.
 */
#include <capos/abi.h>
#include <kernel/fastpath.h>
#include <kernel/state.h>

#include "choose.h"

void sched_init_cpu(struct cpu *cpu)
{
	spinlock_init(&cpu->runq.lock, RANK_RUNQ, cpu->id);
	spinlock_init(&cpu->timers.lock, RANK_TIMER, cpu->id);
	runq_init(&cpu->runq, SCHED_EEVDF);
	RB_INIT(&cpu->timers.tree);
	atomic_store_relaxed(&cpu->timers.first_ns, INSTANT_NEVER.ns);
	cpu->armed_ns = INSTANT_NEVER.ns;
	cpu->slice_end_ns = INSTANT_NEVER.ns;
	cpu->budget_end_ns = INSTANT_NEVER.ns;
	cpu->tick_ns = INSTANT_NEVER.ns;
	cpu->affinity_bit = kernel_state.cpu_count <= AFFINITY_INLINE_CPUS ? 1ull << cpu->id : 0;
	if (kernel_state.sched.idle.word == NULL)
		place_init(kernel_state.cpu_count);
}

/* --- leaving --------------------------------------------------------------------------------------------------------- */

void sched_detach_current(struct cpu *cpu)
{
	mach_thread_leave(cpu->current);
	sched_detach_inline(cpu);
}

bool sched_handoff(struct cpu *cpu, struct thread *thread)
{
	struct entity *entity = thread->entity;

	if (entity == NULL || cpu->current != NULL || cpu->handoff != NULL || !place_allows(cpu, entity))
		return false;
	lag_forget(entity, cpu->account_ns);
	if (!runq_join_next(&cpu->runq, entity, atomic_load_relaxed(&entity->cpu) != cpu))
		return false;
	account_unblocked(thread);
	entity->thread = thread;
	entity->enqueued_ns = cpu->account_ns;
	atomic_store_relaxed(&entity->cpu, cpu);
	owner_change(entity, OWNER_NONE, OWNER_HANDOFF);
	cpu->handoff = thread;
	return true;
}

/* --- choosing -------------------------------------------------------------------------------------------------------- */

__attribute__((noinline)) void set_current_activity(struct cpu *cpu, struct entity *entity, bool keep_slice)
{
	set_current_as(cpu, entity, NULL, &entity->activity->account, keep_slice);
}

/* The current thread leaves as blocked data, and what it was to do `to`, on this entity, is about to. */
static inline void pass_on(struct cpu *cpu, struct thread *to, struct entity *entity)
{
	struct thread *from = cpu->current;

	account_blocked(from);
	account_unblocked(to);
	mach_thread_leave(from);
	owner_change(cpu->current_entity, OWNER_CURRENT, OWNER_NONE);
	entity->thread = to;
	entity->enqueued_ns = cpu->account_ns;
}

/* sched_switch_to where `to` may not run next: it is woken. */
static __attribute__((noinline)) bool switch_not(struct cpu *cpu, struct thread *to)
{
	sched_detach_current(cpu);
	thread_ready(cpu, to);
	return false;
}

/* sched_switch_to while others wait. Out of turn `to` waits with them, and the best of them runs; unless there may be a better place
 * for it. */
static __attribute__((noinline)) bool switch_among(struct cpu *cpu, struct thread *to, bool moved)
{
	struct runq *runq = &cpu->runq;
	struct entity *from = cpu->current_entity, *entity = to->entity, *next = entity;
	bool in_turn;

	spin_lock_on(cpu, &cpu->runq.lock);
	wake_drain_locked(cpu);
	from->enqueued_ns = cpu->account_ns;
	runq_leave_locked(runq, from);
	in_turn = cpu->account_ns < cpu->slice_end_ns && runq_joins_in_turn(runq, entity, moved);
	if (unlikely(!in_turn && (moved || place_some_idle()))) {
		runq_set_current(runq, from);
		spin_unlock_on(cpu, &cpu->runq.lock);
		return switch_not(cpu, to);
	}
	pass_on(cpu, to, entity);
	if (in_turn) {
		owner_change(entity, OWNER_NONE, OWNER_HANDOFF);
		runq_join_running(runq, entity, moved);
	} else {
		cpu->placed.local++;
		TRACE(cpu, WAKE, to->object.id, cpu->id, cpu->current->object.id);
		owner_change(entity, OWNER_NONE, OWNER_QUEUE);
		runq_join(runq, entity, moved);
		next = take_best(cpu);
	}
	spin_unlock_on(cpu, &cpu->runq.lock);
	set_current(cpu, next, in_turn);
	if (!in_turn)
		dispatch_arm(cpu);
	return in_turn;
}

bool sched_switch_to(struct cpu *cpu, struct thread *to)
{
	struct entity *entity = to->entity;
	bool moved;

	KASSERT(cpu->current != NULL && cpu->current_entity->thread == cpu->current);
	account_current_as(cpu, cpu->current_entity, mach_clock_quick(), true);
	if (entity == NULL || cpu->handoff != NULL || cpu->resched || !place_allows(cpu, entity))
		return switch_not(cpu, to);
	moved = atomic_load_relaxed(&entity->cpu) != cpu;
	lag_forget(entity, cpu->account_ns);
	if (unlikely(atomic_load_relaxed(&cpu->runq.count) != 0))
		return switch_among(cpu, to, moved);
	runq_leave(&cpu->runq, cpu->current_entity, cpu->account_ns);
	if (!runq_join_next(&cpu->runq, entity, moved)) {
		runq_set_current(&cpu->runq, cpu->current_entity);
		return switch_not(cpu, to);
	}
	pass_on(cpu, to, entity);
	owner_change(entity, OWNER_NONE, OWNER_HANDOFF);
	set_current(cpu, entity, true);
	return true;
}

void send_away(struct cpu *cpu, struct entity *entity)
{
	MEASURE_SITE(cpu, scheduler_lock_site_metadata);
	spin_lock(&cpu->runq.lock);
	runq_leave_locked(&cpu->runq, entity);
	spin_unlock(&cpu->runq.lock);
	entity->goes_on = true;
	place_elsewhere(cpu, entity);
}

/* The queue's best. */
static inline __attribute__((always_inline)) struct entity *pick(struct cpu *cpu)
{
	struct entity *entity;

	/* Without a look first: a thief that moves the inbox to the queue holds the lock, and tells nobody. */
	spin_lock_on(cpu, &cpu->runq.lock);
	wake_drain_locked(cpu);
	entity = take_best(cpu);
	spin_unlock_on(cpu, &cpu->runq.lock);
	return entity;
}

/* The same of those that may run here. */
static struct entity *pick_allowed(struct cpu *cpu)
{
	struct entity *entity;

	do
		entity = pick(cpu);
	while (unlikely(entity != NULL && sent_away(cpu, entity)));
	return entity;
}

/* Nothing to run: wait for an interrupt. */
static void idle(struct cpu *cpu)
{
	struct instant now;
	u32 bits = 0;
	bool deferred;

	if (cpu->loaded_space != NULL)
		space_poll(cpu->loaded_space);
	space_switch(cpu, NULL);
	deferred = reclaim_poll(cpu);
	pools_drain();
	cpu->tick_ns = deferred ? cpu->account_ns + TICK_NS : INSTANT_NEVER.ns;
	place_set_idle(cpu);
	atomic_store_relaxed(&cpu->idling, 1u);
	atomic_fence(); /* the store before the check of the inbox: pairs with the push in wake.c */
	/* The queue too: leaving the last space and giving memory back above may have woken a thread here. */
	if (wake_inbox_is_empty(cpu) && atomic_load_relaxed(&cpu->runq.count) == 0 &&
	    atomic_load_relaxed(&cpu->requests) == 0) {
		u64 next_ns = tick_or_timer_ns(cpu);

		if (next_ns != cpu->armed_ns) {
			cpu->armed_ns = next_ns;
			mach_timer_arm((struct instant){ next_ns });
		}
		reclaim_kernel_exit(cpu);
		bits = mach_idle_wait(cpu);
		MEASURE_DO(measure_timer(cpu, bits, false));
		reclaim_kernel_enter(cpu);
	}
	atomic_store_relaxed(&cpu->idling, 0u);
	place_clear_idle(cpu);
	now = mach_clock_quick();
	account_idle(cpu, now);
	(void)sched_irq(cpu, bits, now);
	cpu->tick_ns = now.ns + TICK_NS; /* it may be busy from here on */
}

/* Current gives way to the queue's best, which is *next now, or is where it may not be any more. False: it goes on. `woken` (NULL: nobody)
 * joins before that look. */
static inline __attribute__((always_inline)) bool preempt(struct cpu *cpu, struct entity *woken, struct entity **next)
{
	struct entity *entity = cpu->current_entity;
	bool slice_over = cpu->account_ns >= cpu->slice_end_ns;
	bool gives_way;

	MEASURE_SITE(cpu, scheduler_lock_site_timer_select);
	spin_lock_on(cpu, &cpu->runq.lock);
	wake_drain_locked(cpu);
	if (unlikely(params_differ(entity)))
		runq_adopt_current(&cpu->runq, entity);
	if (woken == NULL || wake_join(cpu, woken, OWNER_NONE, false) || slice_over)
		*next = runq_preempting(&cpu->runq, entity, slice_over);
	else
		*next = NULL;
	gives_way = *next != NULL;
	if (gives_way) {
		runq_take(&cpu->runq, *next);
		OBSERVE_CHOICE(cpu, *next, entity);
		owner_change(*next, OWNER_QUEUE, OWNER_HANDOFF);
	}
	if (gives_way || !place_allows(cpu, entity)) {
		if (gives_way)
			account_of(entity)->preemptions++;
		else
			account_of(entity)->yields++;
		gives_way = true;
		if (cpu->current != NULL)
			mach_thread_leave(cpu->current);
		requeue_current(cpu);
	} else if (slice_over) {
		OBSERVE_CHOICE(cpu, entity, entity);
		cpu->slice_end_ns = cpu->account_ns + request_left_ns(entity);
	}
	spin_unlock_on(cpu, &cpu->runq.lock);
	return gives_way;
}

/* The place of a hand-off is filled: that one, unless hand-offs would keep others from running. */
static struct entity *take_handoff(struct cpu *cpu)
{
	struct entity *entity = cpu->handoff->entity;

	cpu->handoff = NULL;
	if (likely(cpu->account_ns < cpu->slice_end_ns || atomic_load_relaxed(&cpu->runq.count) == 0))
		return entity;
	wake_push(cpu, cpu, entity, OWNER_HANDOFF);
	return NULL;
}

/* Choose what runs next; returns with current_entity set, or after an idle wait. */
static void choose(struct cpu *cpu)
{
	struct entity *entity = NULL;
	bool handed = false;

	cpu->resched = false;
	/* Without a current entity the time is accounted for up to where that left. */
	if (cpu->current_entity != NULL) {
		KASSERT(cpu->handoff == NULL);
		account_current(cpu, cpu->current_entity, mach_clock_quick());
		/* It waits for its budget, or gives way; else it goes on. */
		if (!(context_matters(cpu) && context_ends_current(cpu, 0, &entity)) &&
		    !preempt(cpu, NULL, &entity)) {
			dispatch_arm(cpu);
			return;
		}
		if (entity != NULL && sent_away(cpu, entity))
			entity = NULL;
	} else if (cpu->handoff != NULL) {
		entity = take_handoff(cpu);
		handed = entity != NULL;
	}
	MEASURE_SITE(cpu, scheduler_lock_site_start_idle_selection);
	if (entity == NULL)
		entity = pick_allowed(cpu);
	if (entity == NULL) {
		entity = steal(cpu);
		if (entity != NULL && sent_away(cpu, entity))
			return;
	}
	if (entity == NULL) {
		idle(cpu);
		return;
	}
	set_current(cpu, entity, handed);
	dispatch_arm(cpu);
}

void sched_yield_current(struct cpu *cpu)
{
	if (runq_looks_empty(cpu))
		return;
	mach_thread_leave(cpu->current);
	yield_current(cpu);
}

/* --- attention, activities, exit --------------------------------------------------------------------------------------- */

/* A waiter was armed in this entry: if its thread was killed just before, nobody else would end the wait. */
static void check_armed(struct cpu *cpu)
{
	struct waiter *waiter = cpu->armed_waiter;

	cpu->armed_waiter = NULL;
	if (waiter->kind == WAITER_THREAD && (atomic_load_relaxed(&waiter->thread->attention) & ATTENTION_KILL))
		(void)waiter_kill(cpu, waiter);
}

/*
 * Between two steps: interrupts get their window, and the CPU passes a quiescent point, so that a long operation does not
 * hold up the reuse of memory.
 */
static void window(struct cpu *cpu)
{
	u32 bits;

	if (cpu->armed_waiter != NULL)
		check_armed(cpu);
	reclaim_kernel_exit(cpu);
	bits = mach_irq_window(cpu);
	MEASURE_DO(measure_timer(cpu, bits, false));
	reclaim_kernel_enter(cpu);
	if (bits != 0 || cpu->resched) {
		struct instant now = mach_clock();

		sched_charge(cpu, now);
		(void)sched_irq(cpu, bits, now);
	}
}

/* The current thread has something to do before it may return to user mode. */
static void attend(struct cpu *cpu, struct thread *thread, u32 attention)
{
	if (attention & ATTENTION_OPERATION)
		operation_step(cpu, thread);
	else if (attention & ATTENTION_KILL)
		thread_exit_step(cpu, thread);
}

static void run_activity(struct cpu *cpu)
{
	struct entity *entity = cpu->current_entity;
	struct activity *activity = entity->activity;

	switch (activity->step(cpu, activity)) {
	case ACTIVITY_AGAIN:
		if (atomic_load_relaxed(&cpu->runq.count) > 0)
			cpu->resched = true;
		break;
	case ACTIVITY_SLEEP:
		sched_charge(cpu, mach_clock());
		runq_leave(&cpu->runq, entity, cpu->account_ns);
		owner_change(entity, OWNER_CURRENT, OWNER_NONE);
		cpu->current_entity = NULL;
		activity_sleep(cpu, activity);
		break;
	case ACTIVITY_DONE:
		sched_charge(cpu, mach_clock()); /* its memory stays until the next window */
		runq_leave(&cpu->runq, entity, cpu->account_ns);
		sched_end_entity(entity);
		cpu->current_entity = NULL;
		break;
	}
}

/* Everything but the straight way out. */
static __attribute__((noinline)) struct thread *exit_general(struct cpu *cpu)
{
	bool after_window = false;

	for (;;) {
		struct thread *thread = cpu->current;

		if (unlikely(cpu->armed_waiter != NULL))
			check_armed(cpu);
		if (unlikely(cpu->resched || cpu->current_entity == NULL)) {
			no_alloc_begin(cpu);
			choose(cpu);
			no_alloc_end(cpu);
			continue;
		}
		if (thread != NULL && likely(atomic_load_relaxed(&thread->attention) == 0))
			return leave_kernel(cpu, thread);
		if (!after_window) {
			window(cpu);
			if (unlikely(cpu->resched)) {
				after_window = true;
				continue;
			}
		}
		after_window = false;
		if (thread == NULL)
			run_activity(cpu);
		else
			attend(cpu, thread, atomic_load_relaxed(&thread->attention));
	}
}

/* Who is current now goes on, if nothing else is to be done. */
static inline __attribute__((always_inline)) struct thread *exit_chosen(struct cpu *cpu)
{
	struct thread *thread = cpu->current;

	if (unlikely(cpu->resched || thread == NULL || atomic_load_relaxed(&thread->attention) != 0))
		return exit_general(cpu);
	return leave_kernel(cpu, thread);
}

/* The current thread blocked, and nobody was handed to: straight to the queue's best. What exit_general would do. */
static __attribute__((noinline)) struct thread *exit_blocked(struct cpu *cpu)
{
	struct entity *entity;

	no_alloc_begin(cpu);
	MEASURE_SITE(cpu, scheduler_lock_site_blocking);
	entity = pick(cpu);
	if (likely(entity != NULL))
		run_next(cpu, entity);
	no_alloc_end(cpu);
	return exit_chosen(cpu);
}

/* `next` becomes current; where that is not to run here, or is NULL, who is current now goes on. */
static inline __attribute__((always_inline)) struct thread *exit_to(struct cpu *cpu, struct entity *next)
{
	if (likely(next != NULL && !sent_away(cpu, next)))
		set_current(cpu, next, false);
	dispatch_arm(cpu);
	no_alloc_end(cpu);
	return exit_chosen(cpu);
}

/* Current is charged, and may have to give way: what choose would do, by the clock as it was read. */
__attribute__((noinline)) struct thread *sched_exit_charged(struct cpu *cpu)
{
	struct entity *next;

	no_alloc_begin(cpu);
	cpu->resched = false;
	(void)preempt(cpu, NULL, &next);
	return exit_to(cpu, next);
}

/* The same when its budget may be over. */
__attribute__((noinline)) struct thread *sched_exit_budget(struct cpu *cpu, u64 used_ns)
{
	struct entity *next = NULL;

	no_alloc_begin(cpu);
	cpu->resched = false;
	if (unlikely(!context_ends_current(cpu, used_ns, &next)))
		(void)preempt(cpu, NULL, &next);
	return exit_to(cpu, next);
}

/* The same when somebody is woken, and stays here: what sched_wake would do before. */
__attribute__((noinline)) struct thread *sched_exit_woken(struct cpu *cpu, struct entity *woken)
{
	struct entity *next;

	no_alloc_begin(cpu);
	wake_begin(woken, cpu->account_ns);
	TRACE(cpu, WAKE, woken->thread->object.id, cpu->id, cpu->current->object.id);
	cpu->placed.local++;
	cpu->resched = false;
	(void)preempt(cpu, woken, &next);
	return exit_to(cpu, next);
}

struct thread *sched_exit(struct cpu *cpu)
{
	struct thread *thread = cpu->current;
	struct waiter *armed = cpu->armed_waiter;

	/* A call that was handed over: check_armed, for a thread that nobody kills. */
	if (armed != NULL && armed->kind == WAITER_THREAD &&
	    likely(!(atomic_load_relaxed(&armed->thread->attention) & ATTENTION_KILL)))
		armed = cpu->armed_waiter = NULL;
	/* Without a current entity there is no current thread. */
	if (thread == NULL && armed == NULL && cpu->current_entity == NULL && cpu->handoff == NULL)
		return exit_blocked(cpu);
	if (unlikely(armed != NULL || cpu->resched || thread == NULL || atomic_load_relaxed(&thread->attention) != 0))
		return exit_general(cpu);
	return leave_kernel(cpu, thread);
}

void sched_set_policy(enum sched_policy policy)
{
	for (u32 i = 0; i < cpu_count(); i++)
		runq_init(&cpu_get(i)->runq, policy);
}

void sched_verify(struct cpu *cpu)
{
	spin_lock(&cpu->runq.lock);
	runq_verify(&cpu->runq);
	spin_unlock(&cpu->runq.lock);
	KVERIFY(atomic_load_relaxed(&cpu->runq.current_weight) ==
		(cpu->current_entity != NULL ? cpu->current_entity->weight : 0));
	if (cpu->current_entity != NULL) {
		KVERIFY(atomic_load_relaxed(&cpu->runq.vruntime) == cpu->current_entity->vruntime);
		KVERIFY(atomic_load_relaxed(&cpu->current_entity->owner) == OWNER_CURRENT);
		KVERIFY(atomic_load_relaxed(&cpu->current_entity->cpu) == cpu);
	}
	if (cpu->current != NULL) {
		KVERIFY(cpu->current->entity == cpu->current_entity);
		KVERIFY(cpu->current_entity->thread == cpu->current);
		KVERIFY(!waiter_is_armed(&cpu->current->wait));
		/* LE2, LE7: who has its own has lent it to nobody. */
		if (cpu->current->entity == cpu->current->own)
			KVERIFY(atomic_load_relaxed(&cpu->current->own->loan) == 0 && cpu->current->own->depth == 0);
		else
			KVERIFY(cpu->current_entity->depth < CAPOS_DONATION_DEPTH_MAX);
	}
}
