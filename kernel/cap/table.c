/* SPDX-License-Identifier: MIT */
/*
 * Capability tables: slots in pages of an index. Look-ups take no lock (cap_priv.h); writers hold process->lock.
 *
 *   index -> [ page 0 | page 1 | ... ] -> 128 slots each
 *
 * The first index is a block of POOL_OTHER, the second and last one a frame. A slot is free (generation even, in the list
 * of free ones), used (odd) or retired (even, in no list).
 */
#include "cap_priv.h"

#include <kernel/debug.h>

struct slot_index {
	struct reclaim_node reclaim;
	struct slot *page[];
};

#define INDEX_SMALL_BYTES 256u
#define INDEX_PAGES_SMALL ((INDEX_SMALL_BYTES - sizeof(struct slot_index)) / sizeof(struct slot *))
#define INDEX_PAGES_LARGE ((PAGE_BYTES - sizeof(struct slot_index)) / sizeof(struct slot *))
#define GENERATION_LAST 0xfffffffdu
#define SLOTS_PER_STEP 10u

_Static_assert(CAP_TABLE_SLOTS_MAX / SLOTS_PER_PAGE == INDEX_PAGES_LARGE, "the largest table");
_Static_assert(sizeof(struct slot) * SLOTS_PER_PAGE == PAGE_BYTES, "slots fill a page");

/* What a look-up finds in a table without pages: nothing. Never written. */
static const struct slot no_slots[SLOTS_PER_PAGE];

static void set_first(struct cap_table *table, const struct slot *page)
{
	/* Pairs with the load in cap_lookup_inline. */
	atomic_store_release(&table->first, (struct slot *)(uintptr_t)page);
}

static struct slot_index *index_of(struct cap_table *table)
{
	struct slot **pages = atomic_load_relaxed(&table->index);

	return pages == NULL ? NULL : container_of(pages, struct slot_index, page);
}

u16 cap_table_init(struct process *process)
{
	struct cap_table *table = &process->table;

	atomic_store_relaxed(&table->index, (struct slot **)NULL);
	atomic_store_relaxed(&table->slot_count, 0u);
	set_first(table, no_slots);
	table->free_head = SLOT_NONE;
	table->used_count = 0;
	table->destroyed = 0;
	list_init(&process->grants);
	return CAPOS_STATUS_OK;
}

/* --- growing ------------------------------------------------------------------------------------------------------- */

static u16 frame_charged(struct process *process, void **out)
{
	struct paddr frame;

	if (!quota_charge(process, CAPOS_QUOTA_MEMORY, PAGE_BYTES))
		return CAPOS_STATUS_QUOTA_EXCEEDED;
	if (!frame_alloc_zeroed(&frame)) {
		quota_uncharge(process, CAPOS_QUOTA_MEMORY, PAGE_BYTES);
		return CAPOS_STATUS_NO_MEMORY;
	}
	*out = phys_to_virt(frame);
	return CAPOS_STATUS_OK;
}

static void frame_uncharged(struct process *process, void *memory)
{
	frame_free(virt_to_phys(memory));
	quota_uncharge(process, CAPOS_QUOTA_MEMORY, PAGE_BYTES);
}

static void index_small_free(struct reclaim_node *node)
{
	pool_free(POOL_OTHER, container_of(node, struct slot_index, reclaim));
}

/* The index can take page number `pages`: make the first index, or replace it by the large one. */
static u16 index_reserve(struct process *process, u32 pages)
{
	struct cap_table *table = &process->table;
	struct slot_index *old = index_of(table), *new;
	void *memory;
	u16 status;

	KASSERT(pool_object_bytes(POOL_OTHER) >= INDEX_SMALL_BYTES);
	if (pages == 0 && old == NULL) {
		status = pool_alloc(POOL_OTHER, process, &memory);
		if (status != CAPOS_STATUS_OK)
			return status;
		new = memory;
		atomic_store_release(&table->index, new->page); /* pairs with the acquire in slot_at */
	} else if (pages == INDEX_PAGES_SMALL && !table->index_large) {
		status = frame_charged(process, &memory);
		if (status != CAPOS_STATUS_OK)
			return status;
		new = memory;
		for (u32 i = 0; i < pages; i++)
			new->page[i] = old->page[i];
		table->index_large = true;
		atomic_store_release(&table->index, new->page); /* pairs with the acquire in slot_at */
		pool_uncharge(POOL_OTHER, process);
		reclaim_defer(&old->reclaim, index_small_free);
	} else if (pages >= INDEX_PAGES_LARGE) {
		return CAPOS_STATUS_QUOTA_EXCEEDED;
	}
	return CAPOS_STATUS_OK;
}

/* A free slot of the table, charged. */
static u16 slot_take(struct process *process, u32 *out) REQUIRES(process->lock)
{
	struct cap_table *table = &process->table;
	u32 count = atomic_load_relaxed(&table->slot_count);
	u16 status = CAPOS_STATUS_OK;
	void *page;

	if (!quota_charge(process, CAPOS_QUOTA_SLOTS, 1))
		return CAPOS_STATUS_QUOTA_EXCEEDED;
	if (table->free_head != SLOT_NONE) {
		*out = table->free_head;
		table->free_head = (u32)atomic_load_relaxed(&slot_at(table, *out)->badge);
		return CAPOS_STATUS_OK;
	}
	if (count % SLOTS_PER_PAGE == 0) {
		status = index_reserve(process, count / SLOTS_PER_PAGE);
		if (status == CAPOS_STATUS_OK)
			status = frame_charged(process, &page);
		if (status != CAPOS_STATUS_OK) {
			quota_uncharge(process, CAPOS_QUOTA_SLOTS, 1);
			return status;
		}
		index_of(table)->page[count / SLOTS_PER_PAGE] = page;
		if (count == 0)
			set_first(table, page);
	}
	atomic_store_release(&table->slot_count, count + 1); /* pairs with the acquire in cap_lookup_inline */
	*out = count;
	return CAPOS_STATUS_OK;
}

/* --- use ------------------------------------------------------------------------------------------------------------ */

u16 cap_lookup(struct process *process, u64 handle, struct cap *out)
{
	return cap_lookup_inline(process, handle, out);
}

u16 cap_lookup_typed(struct process *process, u64 handle, u16 type, u32 rights, struct cap *out)
{
	return cap_typed_inline(process, handle, type, rights, out);
}

u16 cap_insert(struct process *process, const struct cap *cap, u64 *handle)
{
	u32 index = 0, generation;
	struct slot *slot;
	u16 status;

	if (!grant_get(cap->grant))
		return CAPOS_STATUS_REVOKED;
	spin_lock(&process->lock);
	if (atomic_load_relaxed(&process->state) >= PROCESS_DYING)
		status = CAPOS_STATUS_DYING;
	else
		status = slot_take(process, &index);
	if (status != CAPOS_STATUS_OK) {
		spin_unlock(&process->lock);
		grant_put(cap->grant);
		return status;
	}
	slot = slot_at(&process->table, index);
	generation = atomic_load_relaxed(&slot->generation) + 1;
	KASSERT((generation & 1u) != 0);
	atomic_store_relaxed(&slot->object, cap->object);
	atomic_store_relaxed(&slot->grant, cap->grant);
	atomic_store_relaxed(&slot->type_rights, SLOT_MEANING(cap->object->type, cap->rights));
	atomic_store_relaxed(&slot->badge, cap->badge);
	atomic_store_release(&slot->generation, generation); /* pairs with the acquire in cap_lookup_inline */
	process->table.used_count++;
	spin_unlock(&process->lock);
	*handle = CAPOS_HANDLE(index, generation);
	return CAPOS_STATUS_OK;
}

u32 cap_quota_detail(struct process *process, u16 status)
{
	struct quota *quota = &process->quota;
	bool full;

	if (status != CAPOS_STATUS_QUOTA_EXCEEDED)
		return 0;
	spin_lock(&process->lock);
	full = process->table.used_count >= CAP_TABLE_SLOTS_MAX;
	spin_unlock(&process->lock);
	full = full || atomic_load_relaxed(&quota->used[CAPOS_QUOTA_SLOTS]) >= quota->limit[CAPOS_QUOTA_SLOTS];
	return full ? CAPOS_QUOTA_SLOTS : CAPOS_QUOTA_MEMORY;
}

u16 cap_insert_root(struct process *process, struct object *object, u32 rights, u64 *handle)
{
	struct cap cap = { .object = object, .grant = object->root, .badge = 0, .rights = rights };

	/* The root is charged to the owner and stays while the object is alive, which the caller knows it is or was in this
	 * kernel entry; when it has just been ended, root is NULL or dead. */
	if (cap.grant == NULL)
		return CAPOS_STATUS_REVOKED;
	return cap_insert(process, &cap, handle);
}

/* Empty a used slot; its grant reference is the caller's to give back. */
static struct grant *slot_empty(struct process *process, struct slot *slot, u32 index) REQUIRES(process->lock)
{
	struct cap_table *table = &process->table;
	struct grant *grant = atomic_load_relaxed(&slot->grant);
	u32 generation = atomic_load_relaxed(&slot->generation);

	/* First: readers see that it changes. Release is not needed for that on TSO, but for the language. */
	atomic_store_release(&slot->generation, generation + 1);
	atomic_store_release(&slot->object, (struct object *)NULL);
	atomic_store_relaxed(&slot->grant, (struct grant *)NULL);
	if (generation < GENERATION_LAST) {
		atomic_store_relaxed(&slot->badge, (u64)table->free_head);
		table->free_head = index;
	}
	table->used_count--;
	quota_uncharge(process, CAPOS_QUOTA_SLOTS, 1);
	return grant;
}

u16 cap_release(struct process *process, u64 handle)
{
	struct cap_table *table = &process->table;
	u32 index = CAPOS_HANDLE_SLOT(handle), generation = CAPOS_HANDLE_GENERATION(handle), now;
	struct grant *grant;
	struct slot *slot;

	spin_lock(&process->lock);
	if (index >= atomic_load_relaxed(&table->slot_count) || (generation & 1u) == 0) {
		spin_unlock(&process->lock);
		return CAPOS_STATUS_INVALID_HANDLE;
	}
	slot = slot_at(table, index);
	now = atomic_load_relaxed(&slot->generation);
	if (now != generation) {
		spin_unlock(&process->lock);
		return slot_mismatch(now, generation);
	}
	grant = slot_empty(process, slot, index);
	spin_unlock(&process->lock);
	grant_put(grant);
	return CAPOS_STATUS_OK;
}

/* --- the end -------------------------------------------------------------------------------------------------------- */

/* Release some slots of one page. No thread of the process is left, so that none gets used any more. */
static void slots_release_step(struct process *process)
{
	struct cap_table *table = &process->table;
	u32 count = atomic_load_relaxed(&table->slot_count), at = table->destroyed, released = 0;
	u32 page_end = MIN(count, (at / SLOTS_PER_PAGE + 1) * SLOTS_PER_PAGE);
	struct slot *slot = slot_at(table, at);

	for (; at < page_end && table->used_count != 0 && released < SLOTS_PER_STEP; at++, slot++) {
		struct grant *grant;

		if ((atomic_load_relaxed(&slot->generation) & 1u) == 0)
			continue;
		spin_lock(&process->lock);
		grant = slot_empty(process, slot, at);
		spin_unlock(&process->lock);
		grant_put(grant);
		released++;
	}
	table->destroyed = table->used_count != 0 ? at : count;
}

bool cap_table_destroy_step(struct process *process)
{
	struct cap_table *table = &process->table;
	struct slot_index *index = index_of(table);
	u32 count = atomic_load_relaxed(&table->slot_count);

	if (index != NULL) {
		if (table->destroyed < count) {
			slots_release_step(process);
			return false;
		}
		KASSERT(table->used_count == 0);
		/* No thread of the process is left, so nobody looks handles up any more. */
		if (count != 0) {
			u32 page = (count - 1) / SLOTS_PER_PAGE;

			if (page == 0)
				set_first(table, no_slots);
			table->free_head = SLOT_NONE;
			frame_uncharged(process, index->page[page]);
			index->page[page] = NULL;
			atomic_store_relaxed(&table->slot_count, page * SLOTS_PER_PAGE);
			table->destroyed = page * SLOTS_PER_PAGE;
			return false;
		}
		atomic_store_relaxed(&table->index, (struct slot **)NULL);
		if (table->index_large) {
			frame_uncharged(process, index);
		} else {
			pool_uncharge(POOL_OTHER, process);
			pool_free(POOL_OTHER, index);
		}
		table->index_large = false;
		return false;
	}
	return grant_process_end_step(process);
}

void cap_table_verify(struct process *process)
{
	struct cap_table *table = &process->table;
	u32 count = atomic_load_relaxed(&table->slot_count), used = 0, free = 0;

	/* Simulator only: nobody runs meanwhile, but somebody may have stopped in the middle. */
	if (atomic_load_relaxed(&process->lock.word) != 0 || table->destroyed != 0)
		return;
	for (u32 i = 0; i < count; i++) {
		struct slot *slot = slot_at(table, i);
		struct grant *grant = atomic_load_relaxed(&slot->grant);

		if ((atomic_load_relaxed(&slot->generation) & 1u) == 0)
			continue;
		used++;
		KVERIFY(grant != NULL && atomic_load_relaxed(&grant->references) != 0);
		if (!grant_is_dead(grant)) {
			struct object *object = atomic_load_relaxed(&slot->object);

			KVERIFY(grant->object == object);
			KVERIFY(atomic_load_relaxed(&object->state) != OBJECT_DEAD);
		}
	}
	for (u32 i = table->free_head; i != SLOT_NONE; i = (u32)atomic_load_relaxed(&slot_at(table, i)->badge)) {
		KVERIFY(i < count && free <= count &&
			(atomic_load_relaxed(&slot_at(table, i)->generation) & 1u) == 0);
		free++;
	}
	KVERIFY(used == table->used_count && used + free <= count);
}
