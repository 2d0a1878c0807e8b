/* SPDX-License-Identifier: MIT */
/*
 * Waiters: see wait.h for the rules WA1..WA4.
 *
 * A deadline that fires late can't end a later wait: the callback reads the state word (sequence and state), then the
 * deadline, then claims that very word. If the wait changed before the read, the deadline read is the new wait's (stored
 * before the exchange that armed it) and has not passed; if after, the claim fails.
 */
#include <kernel/wait.h>

#include <kernel/cpu.h>
#include <kernel/debug.h>
#include <kernel/ipc.h>
#include <kernel/thread.h>

void waiter_init(struct waiter *waiter, enum waiter_kind kind, struct thread *thread)
{
	waiter->kind = (u8)kind;
	waiter->thread = thread;
	waiter->timer.deadline_ns = INSTANT_NEVER.ns;
}

void waiter_prepare(struct cpu *cpu, struct waiter *waiter)
{
	if (waiter->kind == WAITER_THREAD && cpu->current == waiter->thread)
		sched_detach_current(cpu);
}

static void deadline_passed(struct cpu *cpu, struct timer *timer)
{
	struct waiter *waiter = container_of(timer, struct waiter, timer);
	u32 seen = atomic_load_acquire(&waiter->state); /* pairs with the exchange in waiter_arm */

	if ((seen & WAITER_STATE_MASK) != WAITER_ARMED || timer->deadline_ns > mach_clock().ns)
		return;
	if (!atomic_cas(&waiter->state, seen, (seen & ~WAITER_STATE_MASK) | WAITER_CLAIMED))
		return;
	waiter->ops->unlink(waiter);
	/* A sleep ends well at its deadline. */
	waiter_finish(cpu, waiter, waiter->wait == CAPOS_WAIT_SLEEP ? STATUS(OK) : STATUS(TIMED_OUT), NULL, 0);
}

void waiter_arm(struct cpu *cpu, struct waiter *waiter, enum capos_wait wait, const struct waiter_ops *ops,
		struct instant deadline)
{
	u32 state = atomic_load_relaxed(&waiter->state);

	KASSERT((state & WAITER_STATE_MASK) == WAITER_IDLE);
	waiter->wait = (u8)wait;
	waiter->ops = ops;
	waiter->timer.deadline_ns = deadline.ns;
	if (deadline.ns != INSTANT_NEVER.ns)
		timer_start(cpu, &waiter->timer, deadline, deadline_passed);
	if (waiter->kind == WAITER_THREAD) {
		KASSERT(cpu->armed_waiter == NULL);
		cpu->armed_waiter = waiter;
	}
	/* Full barrier: orders the arm before the look at `attention` in sched_exit; pairs with thread_kill. */
	atomic_xchg(&waiter->state, ((state & ~WAITER_STATE_MASK) + WAITER_SEQUENCE_ONE) | WAITER_ARMED);
}

/* The wait is over as far as the waiter goes: nothing of it is armed. */
static void waiter_settle(struct waiter *waiter)
{
	u32 state = atomic_load_relaxed(&waiter->state);

	KASSERT((state & WAITER_STATE_MASK) == WAITER_CLAIMED);
	if (waiter->timer.deadline_ns != INSTANT_NEVER.ns) {
		if (timer_is_queued(&waiter->timer))
			(void)timer_cancel(&waiter->timer);
		waiter->timer.deadline_ns = INSTANT_NEVER.ns; /* for waiter_arm_untimed */
	}
	atomic_store_release(&waiter->state, (state & ~WAITER_STATE_MASK) | WAITER_IDLE);
}

void waiter_deliver(struct cpu *cpu, struct waiter *waiter, u64 result, const u64 *words, unsigned word_count)
{
	struct thread *thread = waiter->thread;

	waiter_settle(waiter);
	if (atomic_load_relaxed(&thread->attention) & ATTENTION_OPERATION) {
		thread->operation.result = result;
		for (unsigned i = 0; i < word_count; i++)
			thread->operation.word[i] = words[i];
	} else if (waiter->wait == CAPOS_WAIT_FAULT) {
		endpoint_fault_finish(cpu, thread, result, words, word_count);
	} else {
		thread->mach.frame.call = result;
		for (unsigned i = 0; i < word_count; i++)
			thread->mach.frame.word[i] = words[i];
	}
}

void waiter_finish(struct cpu *cpu, struct waiter *waiter, u64 result, const u64 *words, unsigned word_count)
{
	if (waiter->kind == WAITER_RING_OP) {
		waiter_settle(waiter);
		ring_op_finish(cpu, container_of(waiter, struct ring_op, wait), result, words, word_count);
		return;
	}
	waiter_deliver(cpu, waiter, result, words, word_count);
	thread_ready(cpu, waiter->thread);
}

bool waiter_kill(struct cpu *cpu, struct waiter *waiter)
{
	u32 seen = atomic_load_acquire(&waiter->state); /* pairs with the exchange in waiter_arm */

	/* The sequence in the state word ties the look at `wait` to the claim. */
	if ((seen & WAITER_STATE_MASK) != WAITER_ARMED || waiter->wait == CAPOS_WAIT_KERNEL ||
	    !atomic_cas(&waiter->state, seen, (seen & ~WAITER_STATE_MASK) | WAITER_CLAIMED))
		return false;
	waiter->ops->unlink(waiter);
	waiter_finish(cpu, waiter, STATUS(CANCELLED), NULL, 0);
	return true;
}

bool waiter_end(struct cpu *cpu, struct waiter *waiter, u64 result)
{
	if (!waiter_claim(waiter))
		return false;
	waiter->ops->unlink(waiter);
	waiter_finish(cpu, waiter, result, NULL, 0);
	return true;
}
