/* SPDX-License-Identifier: MIT */
/*
 * Ways out of the machine's fast entries by which another thread goes on. Called as kernel_syscall_ipc is: the compiler need not
 * preserve any registers here (Makefile), and the thread that leaves has all of its registers saved.
 */
#include "choose.h"

/* Not exactly a thread that goes on. `from` is this CPU's no more, but its memory until the entry ends. */
static __attribute__((noinline)) struct thread *exit_slowly(struct cpu *cpu, struct thread *from)
{
	mach_thread_leave(from);
	return sched_exit(cpu);
}

struct thread *sched_exit_blocked(struct cpu *cpu, struct thread *from)
{
	struct entity *entity;

	no_alloc_begin(cpu);
	MEASURE_SITE(cpu, scheduler_lock_site_blocking);
	spin_lock_on(cpu, &cpu->runq.lock);
	wake_drain_locked(cpu);
	entity = take_best(cpu);
	spin_unlock_on(cpu, &cpu->runq.lock);
	if (likely(entity != NULL))
		run_next(cpu, entity);
	no_alloc_end(cpu);
	if (unlikely(cpu->current == NULL)) {
		cpu->armed_waiter = &from->wait;
		return exit_slowly(cpu, from);
	}
	return fast_exit(cpu, from, cpu->current, false);
}

struct thread *sched_exit_yield(struct cpu *cpu, struct thread *from)
{
	struct thread *to;

	if (CAPOS_DEBUG)
		from->asked = (struct asked){ .call_word = from->mach.frame.call, .pending = true };
	from->mach.frame.call = STATUS(OK);
	if (likely(!runq_looks_empty(cpu)))
		yield_current(cpu);
	to = cpu->current;
	if (unlikely(to == NULL || cpu->resched || !atomic_equals_relaxed(&to->attention, 0u)))
		return exit_slowly(cpu, from);
	KASSERT(CAPOS_DEBUG == 0 || cpu->lock_depth == 0);
	call_verify_return(to);
	return to;
}
