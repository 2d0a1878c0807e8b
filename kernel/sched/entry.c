/* SPDX-License-Identifier: MIT */
/* The entries by which a machine calls the core: from an event to the next thread. */
#include <kernel/call.h>
#include <kernel/fastpath.h>
#include <kernel/ipc.h>
#include <kernel/process.h>

#include "context.h"
#include "sched_priv.h"

struct thread *kernel_syscall(struct cpu *cpu)
{
	reclaim_kernel_enter_inline(cpu);
	call_syscall(cpu);
	return sched_exit(cpu);
}

struct thread *kernel_fault(struct cpu *cpu, const struct fault *fault)
{
	struct thread *thread = cpu->current;

	reclaim_kernel_enter_inline(cpu);
	TRACE(cpu, FAULT, thread->object.id, fault->cause, fault->addr);
	if (!endpoint_fault(cpu, thread, fault))
		process_fault(cpu, thread, fault);
	return sched_exit(cpu);
}

/*
 * The other half of stealing, and balancing. A CPU steals when it goes idle, and may then have come a moment before the entity
 * did, or have found the lock taken: while entities wait here, an idle one is told to look again.
 */
static void look_at_others(struct cpu *cpu)
{
	bool may_move;

	MEASURE_SITE(cpu, scheduler_lock_site_timer_pre_ring);
	spin_lock(&cpu->runq.lock);
	wake_drain_locked(cpu);
	may_move = atomic_load_relaxed(&cpu->runq.count) > 0 && cpu->current_entity != NULL &&
		   runq_may_move(&cpu->runq, NULL);
	spin_unlock(&cpu->runq.lock);
	if (may_move)
		steal_tell(cpu);
	balance_look(cpu);
	cpu->balance_turn++;
}

static void tick(struct cpu *cpu, struct instant now)
{
	cpu->ticks++;
	MEASURE_COUNT(cpu, timer_bsp_tick_advances, cpu->id == 0);
	cpu->tick_ns = now.ns + TICK_NS;
	(void)reclaim_poll(cpu);
	if (cpu->loaded_space != NULL)
		space_poll(cpu->loaded_space);
	clock_compare(cpu);
	if (kernel_state.cpu_count > 1)
		look_at_others(cpu);
}

/* The one-shot's interrupt. It may be early, or the clock behind: then that moves, for who runs. */
static struct instant timer_expired(struct cpu *cpu, struct instant now)
{
	struct instant armed = { cpu->armed_ns };

	cpu->armed_ns = INSTANT_NEVER.ns;
	if (likely(now.ns >= armed.ns && !clock_is_slow(&cpu->mach.clock)) || !clock_check(cpu, armed, &now))
		return now;
	if (cpu->current_entity != NULL)
		account_current(cpu, cpu->current_entity, now);
	else
		account_idle(cpu, now);
	return now;
}

static inline bool nobody_asks(struct cpu *cpu)
{
	return atomic_equals_relaxed(&cpu->ipi_pending, 0u) && atomic_equals_relaxed(&cpu->requests, 0u);
}

static inline bool timers_are_due(struct cpu *cpu, struct instant now)
{
	return atomic_load_relaxed(&cpu->timers.first_ns) <= now.ns;
}

/* Of the current entity: its slice, while others wait, or its budget. */
static inline bool turn_is_over(const struct cpu *cpu, struct instant now)
{
	return (now.ns >= cpu->slice_end_ns && atomic_load_relaxed(&cpu->runq.count) > 0) ||
	       now.ns >= cpu->budget_end_ns;
}

/* No other CPU wants anything, and no timer is due. */
static inline bool nothing_else(struct cpu *cpu, struct instant now)
{
	return !timers_are_due(cpu, now) && nobody_asks(cpu);
}

bool sched_irq(struct cpu *cpu, u32 bits, struct instant now)
{
	bool worked = (bits & ~IRQ_TIMER) != 0;

	no_alloc_begin(cpu);
	cpu->in_interrupt = true;
	TRACE(cpu, IRQ, cpu->current ? cpu->current->object.id : 0, bits, 0);
	if (bits & IRQ_TIMER) {
		now = timer_expired(cpu, now);
		if (timers_are_due(cpu, now)) {
			timer_run_due(cpu, now);
			worked = true;
		}
		if (now.ns >= cpu->tick_ns)
			tick(cpu, now);
	}
	if (turn_is_over(cpu, now))
		cpu->resched = true;
	if (bits & IRQ_CONSOLE)
		console_irq(cpu);
	if (bits & IRQ_IPI)
		cpu->ipis_received++;
	if (atomic_load_relaxed(&cpu->ipi_pending) != 0)
		atomic_xchg(&cpu->ipi_pending, 0u); /* before the looks below: pairs with send_ipi */
	if (atomic_load_relaxed(&cpu->requests) != 0) {
		u32 requests = atomic_xchg(&cpu->requests, 0u);

		if (requests & REQUEST_FLUSH)
			space_handle_flush_requests(cpu);
		if (requests & REQUEST_RESCHEDULE)
			cpu->resched = true;
		if (requests & REQUEST_TELL)
			context_tell(cpu);
		if (requests & REQUEST_CLOCK)
			clock_requested(cpu, (struct instant){ cpu->armed_ns });
	}
	/* Whoever sent it may have pushed what a thief, who holds the lock, is moving from the inbox to the queue at this moment. */
	if ((bits & IRQ_IPI) != 0 || unlikely(!wake_inbox_is_empty(cpu))) {
		worked = true;
		MEASURE_SITE(cpu, scheduler_lock_site_inbox_drain);
		spin_lock(&cpu->runq.lock);
		wake_drain_locked(cpu);
		if (cpu->current_entity != NULL && runq_preempts(&cpu->runq, cpu->current_entity))
			cpu->resched = true;
		spin_unlock(&cpu->runq.lock);
	}
	/* Else a slice that is over would be armed for, and expire once more: sched_exit chooses, and arms. */
	if (!cpu->resched)
		dispatch_arm(cpu);
	cpu->in_interrupt = false;
	no_alloc_end(cpu);
	return worked;
}

/* The timer's interrupt came for the end of the slice alone. */
static inline bool slice_is_over(struct cpu *cpu, struct instant now)
{
	return now.ns >= cpu->slice_end_ns && now.ns < cpu->tick_ns && now.ns < cpu->budget_end_ns &&
	       !atomic_equals_relaxed(&cpu->runq.count, 0u) && nothing_else(cpu, now);
}

/* The timer's interrupt came for the end of the budget alone. */
static inline bool budget_is_over(struct cpu *cpu, struct instant now)
{
	return now.ns >= cpu->budget_end_ns && now.ns < cpu->tick_ns && nothing_else(cpu, now);
}

/* The timer's interrupt came for timers alone. */
static inline bool only_timers_are_due(struct cpu *cpu, struct instant now)
{
	return timers_are_due(cpu, now) && now.ns < cpu->tick_ns && now.ns < cpu->budget_end_ns && nobody_asks(cpu);
}

/* The timer's interrupt came for the tick alone, and there is nothing that the tick would change or the thread has to do. */
static inline bool tick_is_quiet(struct cpu *cpu, struct instant now)
{
	return now.ns >= cpu->tick_ns && cpu->budget_end_ns == INSTANT_NEVER.ns &&
	       atomic_equals_relaxed(&cpu->runq.count, 0u) &&
	       atomic_equals_acquire(&cpu->inbox, NULL) && /* pairs with the compare-and-swap in inbox_push */
	       nothing_else(cpu, now) && cpu->deferred_first == NULL &&
	       atomic_equals_relaxed(&cpu->loaded_space->orphaned, 0u) &&
	       atomic_equals_relaxed(&cpu->current->attention, 0u) && !balance_is_due(cpu);
}

/* What sched_irq does then. */
static inline void quiet_tick(struct cpu *cpu, struct instant now)
{
	u64 next_ns;

	_Static_assert(TICK_NS <= MACH_TIMER_SPAN_MAX_NS, "a tick can be armed as a span");
	TRACE(cpu, IRQ, cpu->current->object.id, IRQ_TIMER, 0);
	cpu->ticks++;
	MEASURE_COUNT(cpu, timer_bsp_tick_advances, cpu->id == 0);
	cpu->balance_turn++;
	cpu->tick_ns = now.ns + TICK_NS;
	next_ns = tick_or_timer_ns(cpu); /* others start none here, so it is later than now still */
	cpu->armed_ns = next_ns;
	mach_timer_arm_span((u32)(next_ns - now.ns));
}

/* The interrupt is the timer's alone, and has a straight way: the one-shot has expired. */
static inline void timer_alone(struct cpu *cpu)
{
	TRACE(cpu, IRQ, cpu->current->object.id, IRQ_TIMER, 0);
	cpu->armed_ns = INSTANT_NEVER.ns;
}

/* The end of an interrupt. */
static inline struct thread *irq_exit(struct cpu *cpu)
{
	if (cpu->resched && likely(cpu->current_entity != NULL))
		return context_matters(cpu) ? sched_exit_budget(cpu, 0) : sched_exit_charged(cpu);
	return sched_exit(cpu);
}

/* Current is charged up to now. */
static __attribute__((noinline)) struct thread *irq_general(struct cpu *cpu, u32 bits, struct instant now)
{
	if (unlikely(sched_irq(cpu, bits, now)))
		account_irq(cpu, mach_clock());
	return irq_exit(cpu);
}

/* The same when only_timers_are_due. Most often it is a refill. */
static __attribute__((noinline)) struct thread *irq_timers(struct cpu *cpu, struct instant now)
{
	struct entity *woken;

	timer_alone(cpu);
	no_alloc_begin(cpu);
	cpu->in_interrupt = true;
	woken = context_refilled(cpu, now);
	if (likely(woken != NULL && place_stays(cpu, woken) && !timers_are_due(cpu, now))) {
		cpu->in_interrupt = false;
		no_alloc_end(cpu);
		account_irq(cpu, mach_clock());
		return sched_exit_woken(cpu, woken);
	}
	if (woken != NULL)
		sched_wake(cpu, woken);
	timer_run_due(cpu, now);
	if (turn_is_over(cpu, now))
		cpu->resched = true;
	if (!cpu->resched)
		dispatch_arm(cpu);
	cpu->in_interrupt = false;
	no_alloc_end(cpu);
	account_irq(cpu, mach_clock());
	return irq_exit(cpu);
}

/* What is not the timer's alone. */
static __attribute__((noinline)) struct thread *irq_other(struct cpu *cpu, u32 bits)
{
	struct instant now = mach_clock_quick();

	reclaim_kernel_enter_inline(cpu);
	account_current(cpu, cpu->current_entity, now);
	MEASURE_DO(measure_timer(cpu, bits, true));
	return irq_general(cpu, bits, now);
}

struct thread *kernel_irq(struct cpu *cpu, u32 bits)
{
	struct instant now;
	u64 used_ns;

	if (unlikely(bits != IRQ_TIMER))
		return irq_other(cpu, bits);
	now = mach_clock_quick();
	reclaim_kernel_enter_inline(cpu);
	used_ns = account_service(cpu, cpu->current_entity, now);
	MEASURE_DO(measure_timer(cpu, IRQ_TIMER, true));
	if (has_context(cpu->current_entity)) {
		if (budget_is_over(cpu, now)) {
			timer_alone(cpu);
			return sched_exit_budget(cpu, used_ns);
		}
		context_charge(cpu, cpu->current_entity, used_ns, false);
	}
	if (likely(tick_is_quiet(cpu, now))) {
		quiet_tick(cpu, now);
		return leave_kernel(cpu, cpu->current);
	}
	if (likely(slice_is_over(cpu, now))) {
		timer_alone(cpu);
		return sched_exit_charged(cpu);
	}
	if (only_timers_are_due(cpu, now))
		return irq_timers(cpu, now);
	return irq_general(cpu, IRQ_TIMER, now);
}

struct thread *kernel_cpu_boot(struct cpu *cpu)
{
	clock_agree(cpu);
	cpu->account_ns = mach_clock().ns;
	cpu->up_ns = cpu->account_ns;
	cpu->tick_ns = cpu->account_ns + TICK_NS;
	reclaim_kernel_enter_inline(cpu);
	atomic_store_release(&cpu->online, 1u); /* pairs with the boot CPU's wait in kernel_boot */
	clock_started(cpu);
	return sched_exit(cpu);
}
