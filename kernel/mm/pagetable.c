/* SPDX-License-Identifier: MIT */
/*
 * Four-level page tables, reached through the direct map; everything under space->lock.
 *
 * A leaf entry is present; or 0; or a frame's address alone (not present): a private frame that waits for the shootdown
 * before it is freed. An entry of a leaf table is present; or 0; or the table's address alone: an empty table that waits for
 * the shootdown before it is freed, because CPUs cache upper entries as well (an invalidation of any page drops those).
 * Tables of the two upper levels stay until the space is destroyed. All are charged to the space's process.
 *
 * Order: a walker on another CPU may follow an entry as soon as it is stored: a release, after the content of a new table or
 * frame.
 */
#include "mm_priv.h"

#include <kernel/state.h>

static u64 *table_at(u64 entry)
{
	return phys_to_virt(pte_paddr(entry));
}

static void entry_store(u64 *entry, u64 value)
{
	__atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

u64 *pt_find(const struct space *space, u64 va)
{
	u64 *table = phys_to_virt(space->root);

#pragma GCC unroll 3
	for (u32 shift = PT_ROOT_SHIFT; shift > PAGE_SHIFT; shift -= 9) {
		u64 entry = table[pt_index(va, shift)];

		if (!pte_present(entry))
			return NULL;
		table = table_at(entry);
	}
	return &table[pt_index(va, PAGE_SHIFT)];
}

static u16 table_add(struct space *space, u64 *entry)
{
	struct paddr frame;

	if (!quota_charge(space->process, CAPOS_QUOTA_MEMORY, PAGE_BYTES))
		return CAPOS_STATUS_QUOTA_EXCEEDED;
	if (!frame_alloc_zeroed(&frame)) {
		quota_uncharge(space->process, CAPOS_QUOTA_MEMORY, PAGE_BYTES);
		return CAPOS_STATUS_NO_MEMORY;
	}
	space->table_frames++;
	entry_store(entry, pte_table(frame));
	return CAPOS_STATUS_OK;
}

/* The empty table was about to be freed; whoever unlinked it sees that. */
static u16 table_revive(u64 *entry)
{
	entry_store(entry, pte_table((struct paddr){ *entry }));
	return CAPOS_STATUS_OK;
}

u16 pt_make(struct space *space, u64 va, u64 **out)
{
	u64 *table = phys_to_virt(space->root);

#pragma GCC unroll 3
	for (u32 shift = PT_ROOT_SHIFT; shift > PAGE_SHIFT; shift -= 9) {
		u64 *entry = &table[pt_index(va, shift)];

		if (!pte_present(*entry)) {
			u16 status = *entry == 0 ? table_add(space, entry) : table_revive(entry);

			if (status != CAPOS_STATUS_OK) {
				space->stray_tables = true; /* those that were made above it */
				return status;
			}
		}
		table = table_at(*entry);
	}
	*out = &table[pt_index(va, PAGE_SHIFT)];
	return CAPOS_STATUS_OK;
}

void pt_set(struct space *space, u64 va, u64 *entry, u64 value)
{
	u64 old = *entry;

	entry_store(entry, value);
	/* As the entry, before the shootdown: who uses a translation of before has not acknowledged. */
	if (pte_present(old))
		atomic_store_relaxed(&space->changes, atomic_load_relaxed(&space->changes) + 1);
	mach_space_changed(&space->mach, (struct uaddr){ va }, old, value);
}

static void table_free(struct space *space, u64 *entry, bool zero)
{
	struct paddr frame = pte_paddr(*entry); /* of an unlinked one too: the address alone */

	if (zero)
		frame_free_zero(frame);
	else
		frame_free(frame);
	entry_store(entry, 0);
	quota_uncharge(space->process, CAPOS_QUOTA_MEMORY, PAGE_BYTES);
	space->table_frames--;
}

/* The entry of va's leaf table; NULL: there is no table for it. */
static u64 *leaf_table_entry(const struct space *space, u64 va)
{
	u64 *table = phys_to_virt(space->root);

	for (u32 shift = PT_ROOT_SHIFT; shift > PAGE_SHIFT + 9; shift -= 9) {
		u64 entry = table[pt_index(va, shift)];

		if (!pte_present(entry))
			return NULL;
		table = table_at(entry);
	}
	return &table[pt_index(va, PAGE_SHIFT + 9)];
}

bool pt_table_unlink(struct space *space, u64 va)
{
	u64 *entry = leaf_table_entry(space, va);

	if (entry == NULL || !pte_present(*entry))
		return false;
	for (u32 i = 0; CAPOS_DEBUG && i < PT_ENTRIES; i++)
		KVERIFY(table_at(*entry)[i] == 0);
	entry_store(entry, pte_paddr(*entry).pa);
	return true;
}

void pt_table_drop(struct space *space, u64 va)
{
	u64 *entry = leaf_table_entry(space, va);

	if (entry != NULL && *entry != 0 && !pte_present(*entry)) {
		table_free(space, entry, true);
		space->stray_tables = true; /* those above it may hold nothing any more */
	}
}

void pt_release(struct space *space, u64 va, u64 end)
{
	u64 *table = phys_to_virt(space->root), *entry[3];
	u32 levels = 0;

	for (u32 shift = PT_ROOT_SHIFT; shift > PAGE_SHIFT; shift -= 9) {
		entry[levels] = &table[pt_index(va, shift)];
		if (*entry[levels] == 0)
			break;
		table = table_at(*entry[levels++]);
	}
	while (levels > 0) {
		u32 shift = PT_ROOT_SHIFT - 9 * --levels;

		/* An upper table may hold one that nobody comes by: the search frees both. */
		if (end <= (va | ((1ull << shift) - 1)) || (space->stray_tables && shift > PAGE_SHIFT + 9))
			return;
		table_free(space, entry[levels], !space->dirty_tables);
	}
}

#define ENTRIES_PER_STEP 128u

/* The lowest table on the way to the cursor is freed when everything of it lies behind the cursor: children first. Returns
 * how many entries were looked at: at most ENTRIES_PER_STEP. */
static u32 free_at_cursor(struct space *space)
{
	u64 *table = phys_to_virt(space->root), *entry = NULL;
	u32 looked = 1, left;
	u32 shift;

	for (shift = PT_ROOT_SHIFT; shift > PAGE_SHIFT; shift -= 9) {
		entry = &table[pt_index(space->cursor, shift)];
		if (*entry == 0)
			break;
		table = table_at(*entry);
		if (shift == PAGE_SHIFT + 9)
			table_free(space, entry, false); /* a leaf table, linked or not */
	}
	if (shift == PAGE_SHIFT)
		shift += 9;
	/* Nothing below this entry, nor the empty ones after it: go behind them, and free the tables that end there. */
	left = MIN(PT_ENTRIES - pt_index(space->cursor, shift), ENTRIES_PER_STEP);
	while (looked < left && entry[looked] == 0)
		looked++;
	space->cursor = (space->cursor | ((1ull << shift) - 1)) + 1 + ((u64)(looked - 1) << shift);
	for (u32 up = shift + 9; up <= PT_ROOT_SHIFT; up += 9) {
		u64 last = space->cursor - 1;
		u64 *parent = phys_to_virt(space->root);

		if (space->cursor < space->limit && (space->cursor & ((1ull << up) - 1)) != 0)
			break;
		for (u32 down = PT_ROOT_SHIFT; down > up; down -= 9)
			parent = table_at(parent[pt_index(last, down)]);
		entry = &parent[pt_index(last, up)];
		if (pte_present(*entry))
			table_free(space, entry, true);
	}
	return looked;
}

bool pt_free_step(struct space *space)
{
	for (u32 looked = 0; looked < ENTRIES_PER_STEP && space->table_frames > 1;) {
		KASSERT(space->cursor < space->limit);
		looked += free_at_cursor(space);
	}
	return space->table_frames == 1;
}
