/* SPDX-License-Identifier: MIT */
/*
 * Memory objects: a run of pages behind a two-level index: index[page / 512] -> frame of addresses, [page % 512] -> page.
 *
 *   begin (charges all) --step: commits--> complete --publish--> alive --> dying: unmaps itself, then frees its pages
 *                         \--failed--> undone by further steps
 *
 * Invariants: MO1 pages [0, pages_ready) have frames, and an index frame exists for each started 512 of them.
 *  MO2 a page is freed only when no mapping is linked, after every shootdown, and under the object's lock: who holds that
 *      lock and finds the object not dying may use the pages.
 */
#include "mm_priv.h"

#include <string.h>

#include <kernel/cap.h>
#include <kernel/cpu.h>

#define STEP_ZEROED 3u /* frames cleared per step */
#define STEP_FREED 8u
#define STEP_SWEPT 64u

static u64 *index_of(const struct memory_object *memory)
{
	return phys_to_virt(memory->index);
}

static u64 charge_bytes(u64 pages)
{
	return (pages + (pages + PT_ENTRIES - 1) / PT_ENTRIES + 1) * PAGE_BYTES;
}

struct paddr memory_object_page(const struct memory_object *memory, u64 page_index)
{
	const u64 *leaf;

	KASSERT(page_index < memory->page_count);
	if (memory->borrowed)
		return (struct paddr){ memory->first.pa + page_index * PAGE_BYTES };
	leaf = phys_to_virt((struct paddr){ index_of(memory)[page_index / PT_ENTRIES] });
	return (struct paddr){ leaf[page_index % PT_ENTRIES] };
}

/* --- birth --------------------------------------------------------------------------------------------------------------- */

static u16 header_create(struct process *owner, u64 pages, struct memory_object **out)
{
	struct memory_object *memory;
	void *place;
	u16 status = pool_alloc(POOL_MEMORY_OBJECT, owner, &place);

	if (status != CAPOS_STATUS_OK)
		return status;
	memory = place;
	object_init(&memory->object, CAPOS_IFACE_memory_object, owner);
	memory->page_count = pages;
	list_init(&memory->mappings);
	*out = memory;
	return CAPOS_STATUS_OK;
}

static void header_discard(struct memory_object *memory)
{
	pool_uncharge(POOL_MEMORY_OBJECT, memory->object.owner);
	pool_free(POOL_MEMORY_OBJECT, memory);
}

u16 memory_object_begin(struct process *owner, u64 bytes, struct memory_object **out)
{
	struct memory_object *memory;
	u64 pages;
	u16 status;

	if (bytes == 0 || bytes > MEMORY_OBJECT_PAGES_MAX * PAGE_BYTES)
		return CAPOS_STATUS_BAD_ARGUMENT;
	pages = (bytes + PAGE_BYTES - 1) / PAGE_BYTES;
	status = header_create(owner, pages, &memory);
	if (status != CAPOS_STATUS_OK)
		return status;
	if (!quota_charge(owner, CAPOS_QUOTA_MEMORY, charge_bytes(pages))) {
		header_discard(memory);
		return CAPOS_STATUS_QUOTA_EXCEEDED;
	}
	if (!frame_alloc_zeroed(&memory->index)) {
		quota_uncharge(owner, CAPOS_QUOTA_MEMORY, charge_bytes(pages));
		header_discard(memory);
		return CAPOS_STATUS_NO_MEMORY;
	}
	*out = memory;
	return CAPOS_STATUS_OK;
}

u16 memory_object_borrow(struct process *owner, struct paddr start, u64 bytes, struct memory_object **out)
{
	u16 status;

	if (bytes == 0 || start.pa % PAGE_BYTES != 0)
		return CAPOS_STATUS_BAD_ARGUMENT;
	status = header_create(owner, (bytes + PAGE_BYTES - 1) / PAGE_BYTES, out);
	if (status != CAPOS_STATUS_OK)
		return status;
	(*out)->borrowed = true;
	(*out)->first = start;
	(*out)->pages_ready = (*out)->page_count;
	return CAPOS_STATUS_OK;
}

/* Commit one page; counts the frames it cleared. False: no frame. */
static bool commit_page(struct memory_object *memory, u32 *cleared)
{
	u64 *leaf_entry = &index_of(memory)[memory->pages_ready / PT_ENTRIES];
	struct paddr frame;
	u64 *leaf;

	if (*leaf_entry == 0) {
		if (!frame_alloc_zeroed(&frame))
			return false;
		*leaf_entry = frame.pa;
		(*cleared)++;
	}
	if (!frame_alloc_zeroed(&frame))
		return false;
	(*cleared)++;
	leaf = phys_to_virt((struct paddr){ *leaf_entry });
	leaf[memory->pages_ready % PT_ENTRIES] = frame.pa;
	memory->pages_ready++;
	return true;
}

/* Free some pages, last first, then the index. True when nothing is left; then all was uncharged. */
static bool free_pages(struct memory_object *memory)
{
	if (memory->borrowed || memory->index.pa == 0)
		return true;
	for (u32 i = 0; i < STEP_FREED; i++) {
		u64 *leaf_entry = &index_of(memory)[memory->pages_ready / PT_ENTRIES];

		if (memory->pages_ready % PT_ENTRIES == 0 && memory->pages_ready < MEMORY_OBJECT_PAGES_MAX &&
		    *leaf_entry != 0) {
			frame_free((struct paddr){ *leaf_entry });
			*leaf_entry = 0;
		} else if (memory->pages_ready == 0) {
			frame_free(memory->index);
			memory->index.pa = 0;
			quota_uncharge(memory->object.owner, CAPOS_QUOTA_MEMORY, charge_bytes(memory->page_count));
			return true;
		} else {
			frame_free(memory_object_page(memory, memory->pages_ready - 1));
			memory->pages_ready--;
		}
	}
	return false;
}

bool memory_object_discard_step(struct memory_object *memory)
{
	KASSERT(atomic_load_relaxed(&memory->object.state) == OBJECT_BUILDING && list_is_empty(&memory->mappings));
	if (!free_pages(memory))
		return false;
	header_discard(memory);
	return true;
}

bool memory_object_step(struct memory_object *memory, u16 *status)
{
	u32 cleared = 0;

	if (memory->failed != 0) {
		*status = memory->failed;
		return memory_object_discard_step(memory);
	}
	*status = CAPOS_STATUS_OK;
	while (cleared < STEP_ZEROED && memory->pages_ready < memory->page_count) {
		if (!commit_page(memory, &cleared)) {
			memory->failed = CAPOS_STATUS_NO_MEMORY;
			return false;
		}
	}
	return memory->pages_ready == memory->page_count;
}

/* --- content --------------------------------------------------------------------------------------------------------------- */

bool memory_object_copy_locked(struct memory_object *memory, u64 offset, u8 *kernel, size_t n, bool write)
{
	u64 bytes = memory->page_count * PAGE_BYTES;

	if (offset > bytes || n > bytes - offset || (write && memory->borrowed) ||
	    atomic_load_acquire(&memory->object.state) >= OBJECT_DYING) /* pairs with object_begin_destroy; MO2 */
		return false;
	while (n > 0) {
		size_t part = MIN(n, PAGE_BYTES - offset % PAGE_BYTES);
		u8 *page = phys_to_virt(memory_object_page(memory, offset / PAGE_BYTES));

		/* A program may copy an object into a mapping of itself: overlapping. */
		if (write)
			memmove(page + offset % PAGE_BYTES, kernel, part);
		else
			memmove(kernel, page + offset % PAGE_BYTES, part);
		offset += part;
		kernel += part;
		n -= part;
	}
	return true;
}

static bool copy(struct memory_object *memory, u64 offset, u8 *kernel, size_t n, bool write)
{
	bool ok;

	KASSERT(n <= PAGE_BYTES);
	spin_lock(&memory->object.lock);
	ok = memory_object_copy_locked(memory, offset, kernel, n, write);
	spin_unlock(&memory->object.lock);
	return ok;
}

bool memory_object_read(struct memory_object *memory, u64 offset, void *to, size_t n)
{
	return copy(memory, offset, to, n, false);
}

bool memory_object_write(struct memory_object *memory, u64 offset, const void *from, size_t n)
{
	return copy(memory, offset, (u8 *)(uintptr_t)from, n, true);
}

/* --- end: mappings first ------------------------------------------------------------------------------------------------- */

/*
 * Push the unmapping of one of our regions on. It was linked when `space` and `start` were read under our lock; since then
 * it may be gone, and only its address is used before it is found again under space->lock. The space itself stays memory
 * for this kernel entry (OB2 for its process). A region that is being built is undone by its map request.
 */
static void end_mapping(struct space *space, u64 start, const struct region *expected)
{
	struct grant *grant = NULL;
	struct region *region;

	spin_lock(&space->lock);
	region = region_at(space, start);
	if (region == expected && region->start == start) {
		if (region->state == REGION_BUILDING) {
			region->doomed = true;
		} else {
			if (region->state == REGION_MAPPED)
				region_unmap(region);
			(void)region_drive(space, region, &grant);
		}
	}
	spin_unlock(&space->lock);
	if (grant != NULL)
		grant_put(grant);
}

/* Unmaps, then frees; polled while acknowledgements are missing. */
bool memory_object_kill_step(struct object *object)
{
	struct memory_object *memory = container_of(object, struct memory_object, object);
	struct region *region = NULL;
	struct space *space = NULL;
	u64 start = 0;
	bool done = false;

	spin_lock(&object->lock);
	if (list_is_empty(&memory->mappings)) {
		done = free_pages(memory);
	} else {
		region = LIST_ENTRY(list_first(&memory->mappings), struct region, object_link);
		space = region->space;
		start = region->start;
	}
	spin_unlock(&object->lock);
	if (region != NULL)
		end_mapping(space, start, region);
	return done;
}

/*
 * Look for mappings through dead grants. Who was looked at goes to the end of the list with the number of the latest pass, so
 * the numbers rise along the list, and a pass is over when the first one has its number or a later one. New mappings check
 * their grant themselves.
 */
bool memory_object_sweep_step(struct object *object, u64 *pass)
{
	struct memory_object *memory = container_of(object, struct memory_object, object);
	struct region *dead = NULL;
	struct space *space = NULL;
	u64 start = 0;
	bool done = false;

	spin_lock(&object->lock);
	if (*pass == 0)
		*pass = ++memory->sweep;
	for (u32 i = 0; i < STEP_SWEPT && !done && dead == NULL; i++) {
		struct list_node *first = list_first(&memory->mappings);
		struct region *region = first != NULL ? LIST_ENTRY(first, struct region, object_link) : NULL;

		if (region == NULL || region->sweep >= *pass) {
			done = true;
		} else if (region->grant != NULL && grant_is_dead(region->grant)) {
			dead = region;
			space = region->space;
			start = region->start;
		} else {
			region->sweep = memory->sweep;
			list_remove(first);
			list_push_back(&memory->mappings, first);
		}
	}
	spin_unlock(&object->lock);
	if (dead != NULL)
		end_mapping(space, start, dead);
	return done;
}
