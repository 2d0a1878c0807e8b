/* SPDX-License-Identifier: MIT */
/*
 * Inline parts of rooms that the fast paths of calls are put together from. What they mean stands where their general
 * versions are: reclaim.c, cap.h (cap_lookup), wait.h.
 */
#ifndef KERNEL_FASTPATH_H
#define KERNEL_FASTPATH_H

#include <kernel/cpu.h>
#include <kernel/debug.h>
#include <kernel/state.h>
#include <kernel/thread.h>

/* --- reclaim ------------------------------------------------------------------------------------------------------- */

static inline void reclaim_kernel_enter_inline(struct cpu *cpu)
{
	u64 period = atomic_load_relaxed(&kernel_state.cap.epoch);

	(void)atomic_xchg(&cpu->epoch, period * 2 + 1);
}

static inline void reclaim_kernel_exit_inline(struct cpu *cpu)
{
	atomic_store_release(&cpu->epoch, 0ull); /* pairs with the acquire in reclaim_scan */
}

/* --- capabilities -------------------------------------------------------------------------------------------------- */

static inline struct slot *slot_at(const struct cap_table *table, u32 index)
{
	/* Pairs with the release in index_replace: the pages behind it are stored. */
	struct slot **pages = atomic_load_acquire(&table->index);

	return &pages[index / SLOTS_PER_PAGE][index % SLOTS_PER_PAGE];
}

/* Why a handle of an existing slot does not fit it. */
static inline u16 slot_mismatch(u32 generation_now, u32 generation_asked)
{
	return generation_asked > generation_now ? CAPOS_STATUS_INVALID_HANDLE : CAPOS_STATUS_STALE_HANDLE;
}

/*
 * The look-up. A writer makes the generation even before it touches the other fields, and odd (another one) after it has
 * filled them, so what was read between two equal readings of the generation belongs together; and the slot's reference on
 * the grant was still held at the second, so the grant's memory outlives this kernel entry.
 */
static inline __attribute__((always_inline)) u16 cap_lookup_inline(struct process *process, u64 handle,
								   struct cap *out)
{
	u32 index = CAPOS_HANDLE_SLOT(handle), generation = CAPOS_HANDLE_GENERATION(handle), now;
	const struct cap_table *table = &process->table;
	struct slot *slot;

	if (likely(index < SLOTS_PER_PAGE))
		/* Those that do not exist yet are empty ones. Pairs with the release in set_first. */
		slot = &atomic_load_acquire(&table->first)[index];
	else if (index < atomic_load_acquire(&table->slot_count))
		/* Pairs with the release in slot_take: the page of a counted slot is in the index. */
		slot = slot_at(table, index);
	else
		return CAPOS_STATUS_INVALID_HANDLE;
	if (unlikely((generation & 1u) == 0))
		return CAPOS_STATUS_INVALID_HANDLE;
	now = atomic_load_acquire(&slot->generation); /* pairs with the release at the end of cap_insert */
	if (unlikely(now != generation))
		return slot_mismatch(now, generation);
	/* Acquire: none of them after the second reading. */
	out->object = atomic_load_acquire(&slot->object);
	out->grant = atomic_load_acquire(&slot->grant);
	out->rights = atomic_load_acquire(&slot->rights);
	out->badge = atomic_load_acquire(&slot->badge);
	if (unlikely(atomic_load_relaxed(&slot->generation) != generation))
		return CAPOS_STATUS_STALE_HANDLE;
	/* The grant first: behind a dead one the object may be gone (CA2). */
	if (unlikely(grant_is_dead(out->grant) || !object_is_alive(out->object)))
		return CAPOS_STATUS_REVOKED;
	return CAPOS_STATUS_OK;
}

/* --- waiters: threads, without deadline ---------------------------------------------------------------------------- */

/* waiter_arm. */
static inline void waiter_arm_untimed(struct cpu *cpu, struct waiter *waiter, enum capos_wait wait,
				      const struct waiter_ops *ops)
{
	u32 state = atomic_load_relaxed(&waiter->state);

	KASSERT((state & WAITER_STATE_MASK) == WAITER_IDLE && cpu->armed_waiter == NULL);
	waiter->wait = (u8)wait;
	waiter->ops = ops;
	waiter->timer.deadline_ns = INSTANT_NEVER.ns;
	cpu->armed_waiter = waiter;
	/* Full barrier: orders the arm before the look at `attention` in sched_exit; pairs with thread_kill. */
	atomic_xchg(&waiter->state, state + WAITER_SEQUENCE_ONE + WAITER_ARMED);
}

/* waiter_claim and waiter_deliver in one step, for a thread that waits outside of an operation. False: lost, or it has a
 * deadline; nothing happened. */
MUST_CHECK static inline bool waiter_take_untimed(struct waiter *waiter, u64 result)
{
	u32 seen = atomic_load_relaxed(&waiter->state);

	if (unlikely((seen & WAITER_STATE_MASK) != WAITER_ARMED || waiter->timer.deadline_ns != INSTANT_NEVER.ns ||
		     !atomic_cas(&waiter->state, seen, seen - WAITER_ARMED + WAITER_IDLE)))
		return false;
	waiter->thread->mach.frame.call = result;
	return true;
}

#endif
