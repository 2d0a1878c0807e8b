/* SPDX-License-Identifier: MIT */
#ifndef CAP_PRIV_H
#define CAP_PRIV_H

#include <kernel/cap.h>
#include <kernel/thread.h>

/* The root grant of an object under construction, charged to its owner. Status as pool_alloc. */
MUST_CHECK u16 grant_create_root(struct object *object);

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
static inline u16 cap_lookup_inline(struct process *process, u64 handle, struct cap *out)
{
	u32 index = CAPOS_HANDLE_SLOT(handle), generation = CAPOS_HANDLE_GENERATION(handle), now;
	struct slot *slot;

	/* Pairs with the release in slot_take: the page of a counted slot is in the index. */
	if (unlikely(index >= atomic_load_acquire(&process->table.slot_count) || (generation & 1u) == 0))
		return CAPOS_STATUS_INVALID_HANDLE;
	slot = slot_at(&process->table, index);
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

#endif
