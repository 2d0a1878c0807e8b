/* SPDX-License-Identifier: MIT */
/*
 * Waiters: everything that blocks, blocks as one of these. A waiter says who is told (a thread that is blocked in a
 * call, or a ring operation) and is claimed by exactly one of those that may end the wait.
 *
 *   IDLE --waiter_arm--> ARMED --waiter_claim (one winner)--> CLAIMED --waiter_finish--> IDLE
 *
 * Rules (WA1..WA4):
 *  WA1  waiter_arm is called under the lock of the object waited for, as the last act on the waiter, after
 *       thread_block_prepare for a thread: from then on another CPU may run the thread.
 *  WA2  Whoever takes a waiter out of an object's queue does so under the object's lock and then claims it; a lost claim
 *       means that someone else ends this wait, and the event goes to the next waiter.
 *  WA3  Others (deadline, cancel, kill) claim first; the winner then takes the object's lock and unlinks the waiter if it
 *       is still linked (ops->unlink), then finishes it.
 *  WA4  The object waited for stays valid memory while the waiter is linked (OB3) and, for a claimer, until its kernel
 *       entry ends.
 */
#ifndef KERNEL_WAIT_H
#define KERNEL_WAIT_H

#include <capos/interface.h>
#include <kernel/object.h>
#include <kernel/timer.h>

struct thread;
struct cpu;
struct waiter;

enum waiter_state { WAITER_IDLE, WAITER_ARMED, WAITER_CLAIMED };
#define WAITER_STATE_MASK 3u
#define WAITER_SEQUENCE_ONE 4u
enum waiter_kind { WAITER_THREAD, WAITER_RING_OP };

struct waiter_ops {
	/* Unlink from whatever queue, under its lock, if still linked. Called by a claimer that holds no lock. */
	void (*unlink)(struct waiter *waiter);
};

struct waiter {
	ATOMIC(u32)
	state; /* (a) sequence << 2 | enum waiter_state: a late deadline of an earlier wait can't end this one */
	union {
		struct {
			u8 kind; /* (c) */
			u8 pinned; /* (a) of a passive thread that asked for a set of CPUs: LE8 in kernel/sched/lend.c */
			u8 lent; /* (o) its call took its entity along by LE8 */
			u8 wait; /* enum capos_wait, for display */
		};
		u32 kind_word; /* waiter_is_plain */
	};
	struct thread *thread; /* (c) the thread itself, or the owner of the ring */
	const struct waiter_ops *ops;
	struct object *object; /* what it waits for (may be NULL: park, sleep) */
	struct grant *grant;   /* authority of the call; sweep ends waiters whose grant is dead */
	struct list_node link; /* (l:object lock / bucket lock) */
	struct timer timer;    /* armed when the wait has a deadline */
	u64 key[2];	       /* private to the kind of wait: park key, call token, ... */
	u64 badge;
	struct list_node
		served_link; /* (l:server's ring_lock) call in service that its server took beside another one */
};

/* A thread's, and neither pinned nor lent: who runs next may stay on this CPU (endpoint_fast.c). */
static inline bool waiter_is_plain(const struct waiter *waiter)
{
	_Static_assert(WAITER_THREAD == 0 && offsetof(struct waiter, wait) == offsetof(struct waiter, kind_word) + 3,
		       "three bytes that are 0");
	return shared_clear_relaxed(&waiter->kind_word, 0xffffffu);
}

/* Of zeroed memory. */
void waiter_init(struct waiter *waiter, enum waiter_kind kind, struct thread *thread);

/* Begin a wait. For a WAITER_THREAD whose thread is current on this CPU, call waiter_prepare first (charges, stores FPU,
 * detaches it: nothing of the thread may be touched after arm). deadline NEVER: none. The timer is started before the
 * waiter becomes ARMED. Needs the lock that guards waiter->link to be held by the caller (WA1), who has linked it. */
void waiter_prepare(struct cpu *cpu, struct waiter *waiter);
/* A kill that came before the arm is acted upon at sched_exit (cpu->armed_waiter). */
void waiter_arm(struct cpu *cpu, struct waiter *waiter, enum capos_wait wait, const struct waiter_ops *ops,
		struct instant deadline);
/* True for exactly one caller per wait. */
MUST_CHECK static inline bool waiter_claim(struct waiter *waiter)
{
	u32 seen = atomic_load_relaxed(&waiter->state);

	while ((seen & WAITER_STATE_MASK) == WAITER_ARMED) {
		if (likely(atomic_cas(&waiter->state, seen, (seen & ~WAITER_STATE_MASK) | WAITER_CLAIMED)))
			return true;
		seen = atomic_load_relaxed(&waiter->state);
	}
	return false;
}
/* The claimer tells the result: words go to the thread's registers (or the completion entry), and the thread is made ready
 * (or the completion posted, and its thread woken from cap_enter). words may be NULL. Cancels the timer.
 * No lock above RANK_OBJECT's rank may be needed after; may be called holding an object lock. */
void waiter_finish(struct cpu *cpu, struct waiter *waiter, u64 result, const u64 *words, unsigned word_count);
/* The first half of waiter_finish for a claimed WAITER_THREAD: the result is delivered, the waiter idle, but the thread not yet
 * runnable: the caller gives it a CPU itself (sched_return, sched_handoff, else thread_ready). */
void waiter_deliver(struct cpu *cpu, struct waiter *waiter, u64 result, const u64 *words, unsigned word_count);
/* Claim, unlink, finish: for deadlines, cancel, kill. False when someone else ended the wait. */
bool waiter_end(struct cpu *cpu, struct waiter *waiter, u64 result);
/* The same for the kill of its thread, CANCELLED: not a wait of the kernel inside an operation (CAPOS_WAIT_KERNEL), which ends by
 * itself soon: the operation must run to its end. */
bool waiter_kill(struct cpu *cpu, struct waiter *waiter);
static inline bool waiter_is_armed(struct waiter *waiter)
{
	_Static_assert((WAITER_IDLE & WAITER_ARMED) == 0 && (WAITER_CLAIMED & WAITER_ARMED) == 0, "one bit tells");
	return !atomic_clear_acquire(&waiter->state, WAITER_ARMED); /* pairs with the exchange in waiter_arm */
}

#endif
