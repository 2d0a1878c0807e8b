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

static void rank_push(const struct spinlock *lock)
{
	struct cpu *cpu = mach_this_cpu();
	u32 depth;

	if (!CAPOS_DEBUG || cpu == NULL)
		return;
	depth = cpu->lock_depth;
	KASSERT(depth < LOCK_DEPTH_MAX);
	if (depth > 0) {
		u32 held = cpu->lock_rank[depth - 1];

		if (lock->rank < held || (lock->rank == held && lock->order <= cpu->lock_order[depth - 1]))
			panic("lock rank %u order %lu taken while holding rank %u order %lu", (unsigned)lock->rank,
			      (unsigned long)lock->order, (unsigned)held,
			      (unsigned long)cpu->lock_order[depth - 1]);
	}
	cpu->lock_rank[depth] = lock->rank;
	cpu->lock_order[depth] = lock->order;
	cpu->lock_depth = depth + 1;
}

static void rank_pop(const struct spinlock *lock)
{
	struct cpu *cpu = mach_this_cpu();
	u32 i;

	if (!CAPOS_DEBUG || cpu == NULL || cpu->lock_depth == 0)
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

static u32 lock_owner_word(void)
{
	struct cpu *cpu = mach_this_cpu();

	return cpu ? cpu->id + 1 : 1;
}

void spin_lock(struct spinlock *lock) NO_TSA
{
	u32 me = lock_owner_word();

	rank_push(lock);
	/* Acquire: pairs with the release in spin_unlock. */
	while (!atomic_cas(&lock->word, 0u, me)) {
		while (atomic_load_relaxed(&lock->word) != 0)
			mach_relax();
	}
}

bool spin_trylock(struct spinlock *lock) NO_TSA
{
	if (!atomic_cas(&lock->word, 0u, lock_owner_word()))
		return false;
	rank_push(lock);
	return true;
}

void spin_unlock(struct spinlock *lock) NO_TSA
{
	KASSERT(atomic_load_relaxed(&lock->word) == lock_owner_word());
	rank_pop(lock);
	atomic_store_release(&lock->word, 0u); /* pairs with the exchange in spin_lock */
}

bool spin_is_held_here(const struct spinlock *lock)
{
	return atomic_load_relaxed(&lock->word) == lock_owner_word();
}
