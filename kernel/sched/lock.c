/* SPDX-License-Identifier: MIT */
/* Spinlocks: test-and-test-and-set with PAUSE; ranks checked in debug and simulation builds. */
#include <kernel/lock.h>

#include <kernel/cpu.h>
#include <kernel/debug.h>

#define LOCK_DEPTH_MAX 16u

void spinlock_init(struct spinlock *lock, enum lock_rank rank, u64 order)
{
	*lock = (struct spinlock){ .rank = (u16)rank, .order = order };
}

void lock_rank_push(const struct spinlock *lock)
{
	struct cpu *cpu = mach_this_cpu();
	u32 depth;

	if (cpu == NULL)
		return;
	depth = cpu->lock_depth;
	KASSERT(depth < LOCK_DEPTH_MAX);
	if (depth > 0) {
		u32 held = cpu->lock_rank[depth - 1];

		if (lock->rank < held || (lock->rank == held && lock->order <= cpu->lock_order[depth - 1]))
			panic("lock rank %u order %lu taken while holding rank %u order %lu", (unsigned)lock->rank,
			      (unsigned long)lock->order, (unsigned)held, (unsigned long)cpu->lock_order[depth - 1]);
	}
	cpu->lock_rank[depth] = lock->rank;
	cpu->lock_order[depth] = lock->order;
	cpu->lock_depth = depth + 1;
}

void lock_rank_pop(const struct spinlock *lock)
{
	struct cpu *cpu = mach_this_cpu();
	u32 i;

	if (cpu == NULL || cpu->lock_depth == 0)
		return;
	for (i = cpu->lock_depth; i > 0; i--)
		if (cpu->lock_rank[i - 1] == lock->rank && cpu->lock_order[i - 1] == lock->order)
			break;
	KASSERT(i > 0);
	for (; i < cpu->lock_depth; i++) {
		cpu->lock_rank[i - 1] = cpu->lock_rank[i];
		cpu->lock_order[i - 1] = cpu->lock_order[i];
	}
	cpu->lock_depth--;
}

void spin_lock_contended(struct spinlock *lock, u32 me)
{
	MEASURE_DO(u64 begin_ns = measure_now_ns());

	do {
		while (atomic_load_relaxed(&lock->word) != 0)
			mach_relax();
	} while (!atomic_cas(&lock->word, 0u, me));
	MEASURE_DO(measure_lock_taken(lock, true, measure_now_ns() - begin_ns));
}
