/* SPDX-License-Identifier: MIT */
/*
 * Mapping, in steps: a region is linked first (state building), then its entries are made. What fails is undone by the same
 * request, as an unmapping that polls its shootdown.
 */
#include "mm_priv.h"

#include <capos/interface.h>
#include <kernel/cap.h>

#define MAP_ENTRIES 16u /* per step */
#define MAP_ZEROED 3u	/* frames cleared per step */

/* --- orphans: regions of ended threads ------------------------------------------------------------------------------ */

static void push_orphans(struct space *space) REQUIRES(space->lock)
{
	struct grant *grant;

	for (u32 i = 0; i < 2 && !list_is_empty(&space->orphans); i++) {
		struct region *region = LIST_ENTRY(list_first(&space->orphans), struct region, object_link);

		if (region_drive(space, region, &grant) == DRIVE_WAIT)
			return;
	}
	if (list_is_empty(&space->orphans))
		atomic_store_relaxed(&space->orphaned, 0u);
}

void space_poll(struct space *space)
{
	if (likely(atomic_load_relaxed(&space->orphaned) == 0))
		return;
	spin_lock(&space->lock);
	push_orphans(space);
	spin_unlock(&space->lock);
}

/* --- begin ------------------------------------------------------------------------------------------------------------- */

static u16 check_request(struct map_request *request)
{
	const struct memory_object *memory = request->memory;

	if (request->bytes == 0 || request->bytes % PAGE_BYTES != 0 || request->addr % PAGE_BYTES != 0 ||
	    request->offset % PAGE_BYTES != 0 ||
	    ((request->prot | request->prot_max) & ~(PROT_WRITE | PROT_EXEC)) != 0)
		return CAPOS_STATUS_BAD_ARGUMENT;
	if (request->addr != 0 && !region_range_ok(request->space, request->addr, request->bytes))
		return CAPOS_STATUS_BAD_ARGUMENT;
	if (memory != NULL) {
		u64 bytes = memory->page_count * PAGE_BYTES;

		if (request->offset >= bytes || request->bytes > bytes - request->offset)
			return CAPOS_STATUS_BAD_ARGUMENT;
		if (memory->borrowed)
			request->prot_max &= ~PROT_WRITE;
	} else if (request->bytes > MEMORY_OBJECT_PAGES_MAX * PAGE_BYTES) {
		return CAPOS_STATUS_BAD_ARGUMENT;
	}
	if ((request->prot & ~request->prot_max) != 0)
		return CAPOS_STATUS_MISSING_RIGHTS;
	if (request->prot == (PROT_WRITE | PROT_EXEC)) {
		request->iresult = CAPOS_MAP_WRITE_EXEC;
		return CAPOS_STATUS_BAD_ARGUMENT;
	}
	return CAPOS_STATUS_OK;
}

/* Find the place, link. Under space->lock; `region` is zeroed. */
static u16 link_region(struct map_request *request, struct region *region)
{
	struct space *space = request->space;
	u64 addr = request->addr, lowest = request->from != 0 ? request->from : space->base;
	struct region *next;
	u16 status;

	if (addr == 0)
		addr = region_choose(space, lowest, request->bytes, MAX(request->align, PAGE_BYTES), &next);
	else
		next = region_from(space, addr);

	if (atomic_load_relaxed(&space->ending) != 0)
		return CAPOS_STATUS_DYING;
	if (addr == 0)
		return CAPOS_STATUS_NO_MEMORY; /* no address is left */
	if (next != NULL && next->start < addr + request->bytes) {
		request->iresult = CAPOS_MAP_OVERLAP;
		return CAPOS_STATUS_BAD_ARGUMENT;
	}
	*region = (struct region){
		.space = space,
		.start = addr,
		.end = addr + request->bytes,
		.memory = request->memory,
		.offset = request->offset,
		.grant = request->grant,
		.prot = (u8)request->prot,
		.prot_max = (u8)request->prot_max,
		.pinned = request->pinned,
		.private_frames = request->memory == NULL,
		.state = REGION_BUILDING,
		.next = addr,
	};
	if (region->memory != NULL) {
		status = region_link_memory(region);
		if (status != CAPOS_STATUS_OK)
			return status;
	}
	region_insert(space, region, next);
	request->addr = request->next = addr;
	request->region = region;
	space->busy++;
	return CAPOS_STATUS_OK;
}

u16 space_map_begin(struct map_request *request)
{
	struct space *space = request->space;
	struct process *process = space->process;
	u64 charge = request->memory == NULL ? request->bytes : 0;
	void *region;
	u16 status;

	request->iresult = 0;
	request->undoing = false;
	request->region = NULL;
	status = check_request(request);
	if (status != CAPOS_STATUS_OK)
		goto out;
	space_poll(space); /* before the charge: what they have is charged */
	status = CAPOS_STATUS_QUOTA_EXCEEDED;
	if (!quota_charge(process, CAPOS_QUOTA_MEMORY, charge))
		goto out;
	status = pool_alloc(POOL_REGION, process, &region);
	if (status != CAPOS_STATUS_OK)
		goto no_region;
	status = CAPOS_STATUS_REVOKED;
	if (request->grant != NULL && !grant_get(request->grant))
		goto no_grant;
	spin_lock(&space->lock);
	status = link_region(request, region);
	spin_unlock(&space->lock);
	if (status == CAPOS_STATUS_OK)
		goto out;
	if (request->grant != NULL)
		grant_put(request->grant);
no_grant:
	pool_uncharge(POOL_REGION, process);
	pool_free(POOL_REGION, region);
no_region:
	quota_uncharge(process, CAPOS_QUOTA_MEMORY, charge);
out:
	request->status = status;
	return status;
}

/* --- steps --------------------------------------------------------------------------------------------------------------- */

/* Frame of the page at va; a private one is new. */
static u16 page_frame(struct map_request *request, u64 va, struct paddr *out)
{
	const struct region *region = request->region;

	if (region->memory != NULL) {
		*out = memory_object_page(region->memory, (region->offset + (va - region->start)) >> PAGE_SHIFT);
		return CAPOS_STATUS_OK;
	}
	return frame_alloc_zeroed(out) ? CAPOS_STATUS_OK : CAPOS_STATUS_NO_MEMORY;
}

/* Make some entries. */
static u16 fill_some(struct space *space, struct map_request *request) REQUIRES(space->lock)
{
	struct region *region = request->region;
	u32 entries = region->memory != NULL ? MAP_ENTRIES : MAP_ZEROED;
	u64 tables_before = space->table_frames, *entry = NULL;

	/* A table is a frame to clear, too. */
	for (u32 i = 0; i + (space->table_frames - tables_before) < entries && request->next < region->end; i++) {
		struct paddr frame;
		u16 status = CAPOS_STATUS_OK;

		if (entry != NULL && request->next % PT_TABLE_BYTES != 0)
			entry++;
		else
			status = pt_make(space, request->next, &entry);
		if (status == CAPOS_STATUS_OK && space->table_frames - tables_before >= entries)
			break;
		if (status == CAPOS_STATUS_OK)
			status = page_frame(request, request->next, &frame);
		if (status != CAPOS_STATUS_OK)
			return status;
		KASSERT(*entry == 0); /* SP2 */
		pt_set(space, request->next, entry, pte_make(frame, region->prot));
		request->last = frame;
		request->next += PAGE_BYTES;
	}
	return CAPOS_STATUS_OK;
}

/* The failed region is pushed on until gone, by us or by another that found it unmapping. */
static bool undo_step(struct space *space, struct map_request *request, struct grant **grant) REQUIRES(space->lock)
{
	struct region *region = region_at(space, request->addr);

	if (region != request->region || region->state < REGION_UNMAPPING)
		return true;
	return region_drive(space, region, grant) == DRIVE_GONE;
}

bool space_map_step(struct map_request *request)
{
	struct space *space = request->space;
	struct region *region = request->region;
	struct grant *grant = NULL;
	bool done = false;

	if (region == NULL)
		return true; /* begin failed */
	spin_lock(&space->lock);
	if (request->undoing) {
		done = undo_step(space, request, &grant);
	} else {
		request->status = region->doomed ? CAPOS_STATUS_REVOKED : fill_some(space, request);
		if (request->status != CAPOS_STATUS_OK) {
			request->undoing = true;
			region_unmap(region);
		} else if (request->next == region->end) {
			region->state = REGION_MAPPED;
			done = true;
		}
	}
	if (done)
		space->busy--;
	spin_unlock(&space->lock);
	if (grant != NULL)
		grant_put(grant);
	return done;
}

/* --- memory of threads ---------------------------------------------------------------------------------------------------- */

void space_drop(struct space *space, u64 start)
{
	struct region *region;
	struct grant *grant;

	spin_lock(&space->lock);
	push_orphans(space);
	region = region_at(space, start);
	KASSERT(region != NULL && region->start == start && region->state == REGION_MAPPED && region->pinned &&
		region->private_frames);
	region_unmap(region);
	if (region_drive(space, region, &grant) != DRIVE_GONE) {
		list_push_back(&space->orphans, &region->object_link);
		atomic_store_relaxed(&space->orphaned, 1u);
	}
	spin_unlock(&space->lock);
}
