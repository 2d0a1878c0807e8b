/* SPDX-License-Identifier: MIT */
/*
 * Locks: test-and-test-and-set with PAUSE, taken with interrupts off, held for bounded sections. All ranks stand here;
 * a CPU takes locks in strictly rising rank, or, for the same rank, in rising `order` (CPU or object id). Checked in
 * debug and simulation builds.
 */
#ifndef KERNEL_LOCK_H
#define KERNEL_LOCK_H

#include <kernel/debug.h>
#include <kernel/measure.h>
#include <kernel/types.h>
#include <mach/arch.h>
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
	RANK_CONTEXT,  /* one scheduling context */
	RANK_AFFINITY, /* where one entity may run */
	RANK_TIMER,    /* timer queue of one CPU */
	RANK_RUNQ,     /* run queue of one CPU */
	RANK_RECLAIM,
	RANK_POOL,
	RANK_FRAME,
	RANK_LOG,
	RANK_CONSOLE,
};

struct TSA(capability("spinlock")) spinlock {
	ATOMIC(u32) word; /* 0 free, else lock_owner_word() of the holder */
	u16 rank;
	u16 unused;
	u64 order;
};

void spinlock_init(struct spinlock *lock, enum lock_rank rank, u64 order);
/* lock.c: the way to wait, and the ranks (debug and simulation builds). */
void spin_lock_contended(struct spinlock *lock, u32 me);
void lock_rank_push(const struct spinlock *lock);
void lock_rank_pop(const struct spinlock *lock);

/* Low half of the address of the CPU's record: another one for each CPU, and odd, so never 0. */
static inline u32 lock_owner_word(void)
{
	return (u32)(uintptr_t)mach_this_cpu() | 1u;
}

static inline bool spin_is_held_here(const struct spinlock *lock)
{
	return atomic_equals_relaxed(&lock->word, lock_owner_word());
}

/* _on: for who has the address of this CPU's record at hand. Acquire: pairs with the release in spin_unlock. */
static inline __attribute__((always_inline)) void spin_lock_on(const struct cpu *cpu, struct spinlock *lock)
	ACQUIRES(*lock) NO_TSA
{
	u32 me = (u32)(uintptr_t)cpu | 1u;

	if (CAPOS_DEBUG)
		lock_rank_push(lock);
	if (unlikely(!atomic_cas(&lock->word, 0u, me))) {
		spin_lock_contended(lock, me);
		return;
	}
	MEASURE_DO(measure_lock_taken(lock, false, 0));
}

static inline void spin_lock(struct spinlock *lock) ACQUIRES(*lock) NO_TSA
{
	spin_lock_on(mach_this_cpu(), lock);
}

MUST_CHECK static inline bool spin_trylock(struct spinlock *lock) TRY_ACQUIRES(*lock) NO_TSA
{
	if (!atomic_cas(&lock->word, 0u, lock_owner_word())) {
		MEASURE_DO(measure_lock_missed(lock));
		return false;
	}
	MEASURE_DO(measure_lock_taken(lock, false, 0));
	if (CAPOS_DEBUG)
		lock_rank_push(lock);
	return true;
}

static inline void spin_unlock_on(const struct cpu *cpu, struct spinlock *lock) RELEASES(*lock) NO_TSA
{
	KVERIFY(atomic_equals_relaxed(&lock->word, (u32)(uintptr_t)cpu | 1u));
	if (CAPOS_DEBUG)
		lock_rank_pop(lock);
	MEASURE_DO(measure_lock_given(lock));
	atomic_store_release(&lock->word, 0u); /* pairs with the exchange in spin_lock */
}

static inline void spin_unlock(struct spinlock *lock) RELEASES(*lock) NO_TSA
{
	KASSERT(!atomic_equals_relaxed(&lock->word, 0u)); /* by whom: in debug builds */
	KVERIFY(spin_is_held_here(lock));
	if (CAPOS_DEBUG)
		lock_rank_pop(lock);
	MEASURE_DO(measure_lock_given(lock));
	atomic_store_release(&lock->word, 0u); /* pairs with the exchange in spin_lock */
}

#endif
