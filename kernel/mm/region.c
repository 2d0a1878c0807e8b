/* SPDX-License-Identifier: MIT */
/*
 * Regions of a space: a red-black tree by start, in which every node knows the free bytes before it (gap) and the largest
 * gap of its subtree (gap_max), so that a free place is found without a walk over all regions.
 *
 * Invariants: RE1 regions are page-aligned, not empty, disjoint, within [low, limit); tree and list have the same in one order.
 *  RE2 gap == start - end of the one before (or - low), gap_max == max over the subtree.
 */
#include "mm_priv.h"

#include <kernel/cap.h>
#include <kernel/cpu.h>

static void augment(struct region *region);
#undef RB_AUGMENT
#define RB_AUGMENT(region) augment(region)

static int region_compare(const struct region *a, const struct region *b)
{
	return (a->start > b->start) - (a->start < b->start);
}

RB_GENERATE_INTERNAL(region_tree, region, node, region_compare, __attribute__((unused)) static)

static void augment(struct region *region)
{
	const struct region *left = RB_LEFT(region, node), *right = RB_RIGHT(region, node);
	u64 max = region->gap;

	if (left != NULL)
		max = MAX(max, left->gap_max);
	if (right != NULL)
		max = MAX(max, right->gap_max);
	region->gap_max = max;
}

/* RB_AUGMENT inside the rotations does not reach all ancestors: do that here. */
static void augment_up(struct region *region)
{
	for (; region != NULL; region = RB_PARENT(region, node))
		augment(region);
}

/* --- look-up --------------------------------------------------------------------------------------------------------- */

struct region *region_from(const struct space *space, u64 va)
{
	struct region *region = RB_ROOT(&space->regions), *found = NULL;

	while (region != NULL) {
		if (region->end > va) {
			found = region;
			region = RB_LEFT(region, node);
		} else {
			region = RB_RIGHT(region, node);
		}
	}
	return found;
}

struct region *region_at(const struct space *space, u64 va)
{
	struct region *region = region_from(space, va);

	return region != NULL && region->start <= va ? region : NULL;
}

static struct region *of_order(struct list_node *node)
{
	return node != NULL ? LIST_ENTRY(node, struct region, order) : NULL;
}

struct region *region_first(const struct space *space)
{
	return of_order(list_first(&space->order));
}

struct region *region_next(const struct space *space, const struct region *region)
{
	return of_order(list_after(&space->order, &region->order));
}

static struct region *region_before(const struct space *space, const struct region *region)
{
	return of_order(list_before(&space->order, &region->order));
}

static struct region *region_last(const struct space *space)
{
	return of_order(list_before(&space->order, &space->order.head));
}

bool region_range_ok(const struct space *space, u64 addr, u64 bytes)
{
	return addr % PAGE_BYTES == 0 && bytes % PAGE_BYTES == 0 && bytes != 0 && addr >= space->low &&
	       addr < space->limit && bytes <= space->limit - addr;
}

#define TRIES_MAX 8u

/* --- a free place ------------------------------------------------------------------------------------------------------ */

static struct region *leftmost_with_gap(struct region *region, u64 need)
{
	for (;;) {
		struct region *left = RB_LEFT(region, node);

		if (left != NULL && left->gap_max >= need)
			region = left;
		else if (region->gap >= need)
			return region;
		else
			region = RB_RIGHT(region, node);
	}
}

/* The first region behind `region` that has a gap before it; NULL: none. */
static struct region *next_with_gap(struct region *region, u64 need)
{
	for (;;) {
		struct region *right = RB_RIGHT(region, node), *parent;

		if (right != NULL && right->gap_max >= need)
			return leftmost_with_gap(right, need);
		while ((parent = RB_PARENT(region, node)) != NULL && region == RB_RIGHT(parent, node))
			region = parent;
		if (parent == NULL || parent->gap >= need)
			return parent;
		region = parent;
	}
}

/* The lowest place from `from` on. */
static u64 aligned(u64 from, u64 bytes, u64 align)
{
	return ALIGN_UP(from + bytes - PAGE_BYTES, align) - (bytes - PAGE_BYTES);
}

/* Behind the last region. */
static u64 choose_behind(const struct space *space, u64 lowest, u64 bytes, u64 align)
{
	const struct region *last = region_last(space);
	u64 from = last != NULL ? MAX(last->end + PAGE_BYTES, lowest) : lowest, at;

	if (from >= space->limit)
		return 0;
	at = aligned(from, bytes, align);
	return at < space->limit && bytes <= space->limit - at ? at : 0;
}

u64 region_choose(const struct space *space, u64 lowest, u64 bytes, u64 align, struct region **next)
{
	struct region *region = region_from(space, lowest);
	const struct region *before;
	u64 need = bytes + 2 * PAGE_BYTES, at, from = lowest;

	*next = region;
	if (bytes == 0 || bytes > space->limit - lowest)
		return 0;
	if (region == NULL)
		return choose_behind(space, lowest, bytes, align);
	/* The gap that holds it counts only from there. */
	if (region->start > from) {
		before = region_before(space, region);
		if (before != NULL)
			from = MAX(from, before->end + PAGE_BYTES);
		at = aligned(from, bytes, align);
		if (region->start > at && region->start - at >= bytes + PAGE_BYTES)
			return at;
	}
	for (u32 tries = 0;; tries++) {
		if (tries == TRIES_MAX)
			need += align; /* fits anywhere in a gap */
		*next = region = next_with_gap(region, need);
		if (region == NULL)
			return choose_behind(space, lowest, bytes, align);
		at = aligned(region->start - region->gap + PAGE_BYTES, bytes, align);
		if (at + bytes + PAGE_BYTES <= region->start)
			return at;
	}
}

/* --- change -------------------------------------------------------------------------------------------------------------- */

/* Gaps of `region` and of the one behind it, from their neighbours. */
static void set_gap(struct space *space, struct region *region)
{
	const struct region *before;

	if (region == NULL)
		return;
	before = region_before(space, region);
	region->gap = region->start - (before != NULL ? before->end : space->low);
	augment_up(region);
}

void region_insert(struct space *space, struct region *region, struct region *next)
{
	KASSERT(region->start < region->end && RB_INSERT(region_tree, &space->regions, region) == NULL);
	list_insert_before_(next != NULL ? &next->order : &space->order.head, &region->order);
	set_gap(space, region);
	set_gap(space, next);
	space->region_count++;
	space->mapped_bytes += region->end - region->start;
}

void region_remove(struct space *space, struct region *region)
{
	struct region *next = region_next(space, region), *low = RB_PARENT(region, node);

	/* The lowest node whose subtree changes: where a node is taken out, not where it was replaced. */
	if (RB_LEFT(region, node) != NULL && RB_RIGHT(region, node) != NULL) {
		low = RB_PARENT(next, node);
		if (low == region)
			low = next;
	}
	RB_REMOVE(region_tree, &space->regions, region);
	list_remove(&region->order);
	augment_up(low);
	set_gap(space, next);
	space->region_count--;
	space->mapped_bytes -= region->end - region->start;
}

void region_split(struct space *space, struct region *region, struct region *right, u64 at)
{
	KASSERT(region->start < at && at < region->end && region->state == REGION_MAPPED);
	*right = (struct region){
		.space = space,
		.start = at,
		.end = region->end,
		.memory = region->memory,
		.offset = region->offset + (at - region->start),
		.grant = region->grant,
		.prot = region->prot,
		.prot_max = region->prot_max,
		.pinned = region->pinned,
		.private_frames = region->private_frames,
		.state = REGION_MAPPED,
		.next = at,
	};
	space->mapped_bytes -= region->end - at;
	region->end = at;
	region_insert(space, right, region_next(space, region));
	if (region->memory != NULL) {
		spin_lock(&region->memory->object.lock);
		right->sweep = region->sweep;
		list_insert_before_(&region->object_link, &right->object_link);
		spin_unlock(&region->memory->object.lock);
	}
}

u16 region_link_memory(struct region *region)
{
	struct memory_object *memory = region->memory;
	u16 status = CAPOS_STATUS_OK;

	/*
	 * The end of the object marks it dying, then takes this lock to find the mappings: either it finds this one, or the
	 * mark is seen here. Revocation likewise: grants are marked dead before the sweep takes the lock.
	 */
	spin_lock(&memory->object.lock);
	if (atomic_load_acquire(&memory->object.state) >= OBJECT_DYING || /* pairs with object_begin_destroy */
	    (region->grant != NULL && grant_is_dead(region->grant))) {
		status = CAPOS_STATUS_REVOKED;
	} else {
		region->sweep = memory->sweep;
		list_push_back(&memory->mappings, &region->object_link);
	}
	spin_unlock(&memory->object.lock);
	return status;
}

void region_unlink_memory(struct region *region)
{
	if (region->memory == NULL) {
		if (list_is_linked(&region->object_link))
			list_remove(&region->object_link); /* an orphan */
		return;
	}
	spin_lock(&region->memory->object.lock);
	list_remove(&region->object_link);
	spin_unlock(&region->memory->object.lock);
}

/* --- unmapping ----------------------------------------------------------------------------------------------------------- */

void region_unmap(struct region *region)
{
	KASSERT(region->state == REGION_BUILDING || region->state == REGION_MAPPED);
	region->state = REGION_UNMAPPING;
	region->next = region->start;
	region->dirty = false;
}

/* Where the span of the leaf table at region->next ends. */
static u64 table_end(const struct region *region)
{
	return MIN(region->end, (region->next | (PT_TABLE_BYTES - 1)) + 1);
}

/* Leaf entry of va; `before`: that of the page below, or NULL. */
static u64 *entry_after(const struct space *space, u64 va, u64 *before) REQUIRES(space->lock)
{
	return before != NULL && va % PT_TABLE_BYTES != 0 ? before + 1 : pt_find(space, va);
}

/* Entries of private frames keep the frame's address, not present, until the flush is acknowledged. */
static void clear_some(struct space *space, struct region *region) REQUIRES(space->lock)
{
	u32 cleared = 0, looked = 0;
	u64 *entry = NULL;

	while (region->next < region->end && cleared < 16 && looked < 64) {
		looked++;
		entry = entry_after(space, region->next, entry);
		if (entry == NULL) {
			region->next = table_end(region);
			continue;
		}
		if (pte_present(*entry)) {
			pt_set(space, region->next, entry, region->private_frames ? pte_paddr(*entry).pa : 0);
			region->dirty = true;
			cleared++;
		}
		region->next += PAGE_BYTES;
	}
}

static void free_some(struct space *space, struct region *region) REQUIRES(space->lock)
{
	u32 freed = 0, looked = 0;
	u64 *entry = NULL;

	while (region->next < region->end && freed < 8 && looked < 64) {
		looked++;
		entry = entry_after(space, region->next, entry);
		if (entry == NULL) {
			region->next = table_end(region);
			continue;
		}
		if (*entry != 0) {
			if (region->private_frames)
				frame_free(pte_paddr(*entry));
			*(volatile u64 *)entry = 0;
			freed++;
		}
		region->next += PAGE_BYTES;
	}
}

static void trim_begin(struct region *region)
{
	region->state = REGION_TRIMMING;
	region->next = region->start;
	region->dirty = false;
}

/* No other region reaches into the leaf table of va, in which the region lies. */
static bool has_table_alone(const struct space *space, const struct region *region, u64 va)
{
	u64 first = ALIGN_DOWN(va, PT_TABLE_BYTES), end = first + PT_TABLE_BYTES;
	const struct region *before = region->start > first ? region_before(space, region) : NULL;
	const struct region *after = region->end < end ? region_next(space, region) : NULL;

	return (before == NULL || before->end <= first) && (after == NULL || after->start >= end);
}

/* It lies in one leaf table, which another one needs. */
static bool shares_only_table(const struct space *space, const struct region *region)
{
	return region->start / PT_TABLE_BYTES == (region->end - 1) / PT_TABLE_BYTES &&
	       !has_table_alone(space, region, region->start);
}

static void unlink_some(struct space *space, struct region *region) REQUIRES(space->lock)
{
	for (u32 i = 0; i < 16 && region->next < region->end; i++, region->next = table_end(region)) {
		if (has_table_alone(space, region, region->next) && pt_table_unlink(space, region->next))
			region->dirty = true;
	}
}

/*
 * The last region in a table takes the table away. Another one that shared it may have gone after this one passed by, or was
 * mapped and gone while this one had the table unlinked: it left the table to this one. Only the tables at the ends are shared.
 */
static bool trim_again(struct space *space, struct region *region) REQUIRES(space->lock)
{
	u64 last = region->end - PAGE_BYTES;

	if (!(has_table_alone(space, region, region->start) && pt_find(space, region->start) != NULL) &&
	    !(has_table_alone(space, region, last) && pt_find(space, last) != NULL))
		return false;
	trim_begin(region);
	return true;
}

static void drop_some(struct space *space, struct region *region) REQUIRES(space->lock)
{
	for (u32 i = 0; i < 8 && region->next < region->end; i++, region->next = table_end(region))
		pt_table_drop(space, region->next);
}

/* The lowest region of a space that ends: free the tables that end within it, or before the region after it. */
static void release_some(struct space *space, struct region *region) REQUIRES(space->lock)
{
	const struct region *after = region_next(space, region);
	u64 limit = after != NULL ? after->start : ~0ull;

	for (u32 i = 0; i < 4 && region->next < region->end; i++, region->next = table_end(region)) {
		u64 span_end = (region->next | (PT_TABLE_BYTES - 1)) + 1;

		pt_release(space, region->next, span_end < region->end ? span_end : limit);
	}
}

static void region_free(struct space *space, struct region *region, struct grant **grant)
{
	region_unlink_memory(region);
	region_remove(space, region);
	if (region->private_frames)
		quota_uncharge(space->process, CAPOS_QUOTA_MEMORY, region->end - region->start);
	*grant = region->grant;
	pool_uncharge(POOL_REGION, space->process);
	pool_free(POOL_REGION, region);
}

enum drive region_drive(struct space *space, struct region *region, struct grant **grant)
{
	*grant = NULL;
	switch (region->state) {
	case REGION_BUILDING:
	case REGION_MAPPED:
		panic("region driven before it was unmapped");
	case REGION_UNMAPPING:
		clear_some(space, region);
		if (region->next < region->end)
			return DRIVE_AGAIN;
		region->ticket = region->dirty ? shootdown_request(space, region->start, region->end) : 0;
		region->state = REGION_FLUSHING;
		/* fall through */
	case REGION_FLUSHING:
		if (region->ticket != 0 && !shootdown_done(space, region->ticket))
			return DRIVE_WAIT;
		region->state = REGION_FREEING;
		region->next = region->private_frames ? region->start : region->end;
		/* fall through */
	case REGION_FREEING:
		free_some(space, region);
		if (region->next < region->end)
			return DRIVE_AGAIN;
		trim_begin(region);
		/* fall through */
	case REGION_TRIMMING:
		if (atomic_load_relaxed(&space->ending) != 0) {
			space->stray_tables = true;
			break;
		}
		if (shares_only_table(space, region))
			break;
		unlink_some(space, region);
		if (region->next < region->end)
			return DRIVE_AGAIN;
		if (!region->dirty) {
			if (trim_again(space, region))
				return DRIVE_AGAIN;
			break;
		}
		region->ticket = shootdown_request(space, region->start, region->end);
		region->state = REGION_TRIM_FLUSHING;
		/* fall through */
	case REGION_TRIM_FLUSHING:
		if (!shootdown_done(space, region->ticket))
			return DRIVE_WAIT;
		region->state = REGION_TRIM_FREEING;
		region->next = region->start;
		/* fall through */
	case REGION_TRIM_FREEING:
		drop_some(space, region);
		if (region->next < region->end || trim_again(space, region))
			return DRIVE_AGAIN;
		break;
	case REGION_RELEASING:
		release_some(space, region);
		if (region->next < region->end)
			return DRIVE_AGAIN;
		break;
	}
	region_free(space, region, grant);
	return DRIVE_GONE;
}

#define SHARED_CLEARED_MAX (64 * PAGE_BYTES) /* entries of more shared pages are left to the end of their tables */

bool region_end(struct space *space, struct region *region, struct grant **grant)
{
	*grant = NULL;
	if (region->state < REGION_FREEING) {
		region->state = REGION_FREEING;
		region->next = region->start;
		if (!region->private_frames && region->end - region->start > SHARED_CLEARED_MAX) {
			space->dirty_tables = true;
			region->next = region->end;
		}
	}
	if (region->state == REGION_FREEING) {
		free_some(space, region);
		if (region->next < region->end)
			return false;
	}
	if (region->state != REGION_RELEASING) {
		region->state = REGION_RELEASING;
		region->next = region->start;
	}
	return region_drive(space, region, grant) == DRIVE_GONE;
}

/* --- debug --------------------------------------------------------------------------------------------------------------- */

bool region_tree_ok(const struct space *space)
{
	struct region_tree *tree = (struct region_tree *)(uintptr_t)&space->regions;
	struct region *region, *next = region_first(space);
	u64 end = space->low, count = 0, bytes = 0;

	RB_FOREACH (region, region_tree, tree) {
		if (region != next)
			return false;
		next = region_next(space, region);
		const struct region *left = RB_LEFT(region, node), *right = RB_RIGHT(region, node);
		u64 max = MAX(region->gap, MAX(left ? left->gap_max : 0, right ? right->gap_max : 0));

		if (region->start % PAGE_BYTES != 0 || region->end % PAGE_BYTES != 0 || region->start < end ||
		    region->end <= region->start || region->end > space->limit || region->space != space)
			return false; /* RE1 */
		if (region->gap != region->start - end || region->gap_max != max)
			return false; /* RE2 */
		end = region->end;
		bytes += region->end - region->start;
		count++;
	}
	return count == space->region_count && bytes == space->mapped_bytes;
}
