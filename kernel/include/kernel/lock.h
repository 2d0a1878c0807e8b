/* SPDX-License-Identifier: MIT */
/*
 * Locks: test-and-test-and-set with PAUSE, taken with interrupts off, held for bounded sections. All ranks stand here;
 * a CPU takes locks in strictly rising rank, or, for the same rank, in rising `order` (CPU or object id). Checked in
 * debug and simulation builds.
 */
#ifndef KERNEL_LOCK_H
#define KERNEL_LOCK_H

#include <kernel/types.h>
#include <mach/atomic.h>

#if defined(__clang__)
#define TSA(x) __attribute__((x))
#else
#define TSA(x)
#endif
#define GUARDED_BY(l) TSA(guarded_by(l))
#define REQUIRES(...) TSA(requires_capability(__VA_ARGS__))
#define ACQUIRES(...) TSA(acquire_capability(__VA_ARGS__))
#define RELEASES(...) TSA(release_capability(__VA_ARGS__))
#define TRY_ACQUIRES(...) TSA(try_acquire_capability(true, __VA_ARGS__))
#define NO_TSA TSA(no_thread_safety_analysis)

enum lock_rank {
	RANK_NONE = 0,
	RANK_REGISTRY, /* id -> process, thread, session */
	RANK_PROCESS,  /* one process: threads, owned objects, capability table writers */
	RANK_GRANT,    /* the grant tree of one object */
	RANK_SPACE,    /* one address space: regions and tables */
	RANK_OBJECT,   /* one object: endpoint, notification, memory object, process waiters, ... */
	RANK_PARK,     /* one bucket of parked waiters */
	RANK_RING,     /* completion side of one thread's ring */
	RANK_TIMER,    /* timer queue of one CPU */
	RANK_RUNQ,     /* run queue of one CPU */
	RANK_RECLAIM,
	RANK_QUOTA,
	RANK_POOL,
	RANK_FRAME,
	RANK_LOG,
	RANK_CONSOLE,
};

struct TSA(capability("spinlock")) spinlock {
	ATOMIC(u32) word; /* 0 free, else CPU id + 1 */
	u16 rank;
	u16 unused;
	u64 order;
};

void spinlock_init(struct spinlock *lock, enum lock_rank rank, u64 order);
void spin_lock(struct spinlock *lock) ACQUIRES(*lock);
MUST_CHECK bool spin_trylock(struct spinlock *lock) TRY_ACQUIRES(*lock);
void spin_unlock(struct spinlock *lock) RELEASES(*lock);
bool spin_is_held_here(const struct spinlock *lock);

#endif
