/* SPDX-License-Identifier: MIT */
/*
 * Unmapping and change of protection.
 *
 * begin checks the whole range and commits to it under one hold of the lock: regions that reach over the ends are cut, and
 * all of them are marked (unmapping, or the new protection). The steps then bring the tables after it. Every change of
 * protection is followed by a shootdown, so that there are no faults by stale entries.
 */
#include "mm_priv.h"

#include <capos/interface.h>
#include <kernel/cap.h>

#define PROTECT_ENTRIES 16u /* per step */

enum unmap_phase { UNMAP_DRIVE, PROTECT_REWRITE, PROTECT_WAIT };

/* --- begin ------------------------------------------------------------------------------------------------------------- */

static u16 refuse(struct unmap_request *request, u16 iresult)
{
	request->iresult = iresult;
	return CAPOS_STATUS_BAD_ARGUMENT;
}

static u16 check_regions(struct unmap_request *request)
{
	u64 at = request->addr, end = request->addr + request->bytes;
	struct region *region = region_at(request->space, at);

	for (u32 count = 0; at < end; count++) {
		if (region == NULL || region->start > at || region->state != REGION_MAPPED ||
		    count == SPACE_RANGE_REGIONS)
			return refuse(request, CAPOS_MAP_NOT_MAPPED);
		if (region->pinned && !request->forced)
			return refuse(request, CAPOS_MAP_PINNED);
		if (request->protect && (request->prot & ~region->prot_max) != 0)
			return CAPOS_STATUS_MISSING_RIGHTS;
		at = region->end;
		region = region_next(request->space, region);
	}
	return CAPOS_STATUS_OK;
}

/* A spare region for a cut, with its reference on the grant of the region that is cut. */
static u16 spare_take(struct space *space, const struct region *region, struct region **out)
{
	void *memory;
	u16 status = pool_alloc(POOL_REGION, space->process, &memory);

	if (status != CAPOS_STATUS_OK)
		return status;
	if (region->grant != NULL && !grant_get(region->grant)) {
		pool_uncharge(POOL_REGION, space->process);
		pool_free(POOL_REGION, memory);
		return CAPOS_STATUS_REVOKED; /* and about to be swept */
	}
	*out = memory;
	return CAPOS_STATUS_OK;
}

/* Cut at both ends of the range, or at none. *put: a grant to put without the lock, after a failure. */
static u16 cut_ends(struct unmap_request *request, struct grant **put)
{
	struct space *space = request->space;
	u64 end = request->addr + request->bytes;
	struct region *first = region_at(space, request->addr), *last = region_at(space, end - 1);
	struct region *spare[2] = { NULL, NULL };
	u16 status = CAPOS_STATUS_OK;

	if (first->start < request->addr)
		status = spare_take(space, first, &spare[0]);
	if (status == CAPOS_STATUS_OK && last->end > end)
		status = spare_take(space, last, &spare[1]);
	if (status != CAPOS_STATUS_OK) {
		if (spare[0] != NULL) {
			*put = first->grant;
			pool_uncharge(POOL_REGION, space->process);
			pool_free(POOL_REGION, spare[0]);
		}
		return status;
	}
	if (spare[1] != NULL)
		region_split(space, last, spare[1], end);
	if (spare[0] != NULL)
		region_split(space, first, spare[0], request->addr);
	return CAPOS_STATUS_OK;
}

static void mark(struct unmap_request *request)
{
	struct region *region = region_at(request->space, request->addr);

	for (; region != NULL && region->start < request->addr + request->bytes;
	     region = region_next(request->space, region)) {
		if (request->protect)
			region->prot = (u8)request->prot;
		else
			region_unmap(region);
	}
}

u16 space_unmap_begin(struct unmap_request *request)
{
	struct space *space = request->space;
	struct grant *put = NULL;
	u16 status = CAPOS_STATUS_OK;

	request->iresult = 0;
	request->next = request->addr;
	request->phase = request->protect ? PROTECT_REWRITE : UNMAP_DRIVE;
	if (!region_range_ok(space, request->addr, request->bytes) ||
	    (request->protect && (request->prot & ~(PROT_WRITE | PROT_EXEC)) != 0))
		status = CAPOS_STATUS_BAD_ARGUMENT;
	else if (request->protect && request->prot == (PROT_WRITE | PROT_EXEC))
		status = refuse(request, CAPOS_MAP_WRITE_EXEC);
	if (status != CAPOS_STATUS_OK)
		goto out;
	spin_lock(&space->lock);
	status = atomic_load_relaxed(&space->ending) != 0 ? CAPOS_STATUS_DYING : check_regions(request);
	if (status == CAPOS_STATUS_OK)
		status = cut_ends(request, &put);
	if (status == CAPOS_STATUS_OK) {
		mark(request);
		space->busy++;
	}
	spin_unlock(&space->lock);
	if (put != NULL)
		grant_put(put);
out:
	request->status = status;
	return status;
}

/* --- steps: each returns what stands in the way-------------------------------------------------------- */

static enum drive unmap_some(struct space *space, struct unmap_request *request, struct grant **grant)
	REQUIRES(space->lock)
{
	u64 end = request->addr + request->bytes, region_end;
	struct region *region = region_from(space, request->next);
	enum drive drive;

	if (region == NULL || region->start >= end)
		return DRIVE_GONE;
	region_end = region->end;
	if (region->state < REGION_UNMAPPING || (region->pinned && !request->forced)) {
		/* Another one finished ours, and this is new. */
		request->next = region_end;
		return DRIVE_AGAIN;
	}
	drive = region_drive(space, region, grant);
	request->ticket = drive == DRIVE_WAIT ? region->ticket : 0;
	if (drive == DRIVE_GONE)
		request->next = region_end;
	return drive == DRIVE_WAIT ? DRIVE_WAIT : DRIVE_AGAIN;
}

/* What another one unmapped meanwhile stays so; the region's protection of now counts. */
static enum drive rewrite_some(struct space *space, struct unmap_request *request) REQUIRES(space->lock)
{
	u64 end = request->addr + request->bytes;

	for (u32 i = 0; i < PROTECT_ENTRIES && request->next < end; i++, request->next += PAGE_BYTES) {
		const struct region *region = region_at(space, request->next);
		u64 *entry = region != NULL ? pt_find(space, request->next) : NULL;

		if (entry != NULL && region->state <= REGION_MAPPED && pte_present(*entry))
			pt_set(space, request->next, entry, pte_make(pte_paddr(*entry), region->prot));
	}
	if (request->next == end) {
		request->ticket = shootdown_request(space, request->addr, end);
		request->phase = PROTECT_WAIT;
	}
	return DRIVE_AGAIN;
}

static enum drive some(struct space *space, struct unmap_request *request, struct grant **grant) REQUIRES(space->lock)
{
	switch ((enum unmap_phase)request->phase) {
	case UNMAP_DRIVE:
		return unmap_some(space, request, grant);
	case PROTECT_REWRITE:
		return rewrite_some(space, request);
	case PROTECT_WAIT:
		return shootdown_done(request->space, request->ticket) ? DRIVE_GONE : DRIVE_WAIT;
	}
	panic("unmap phase %u", (unsigned)request->phase);
}

enum space_progress space_unmap_step(struct unmap_request *request, struct thread *waiter)
{
	struct space *space = request->space;
	struct grant *grant = NULL;
	enum drive drive;

	spin_lock(&space->lock);
	drive = some(space, request, &grant);
	spin_unlock(&space->lock);
	if (grant != NULL)
		grant_put(grant);
	if (waiter != NULL)
		shootdown_wake(space); /* pass it on */
	if (drive == DRIVE_WAIT && waiter != NULL && shootdown_wait(space, request->ticket, waiter))
		return SPACE_WAIT;
	if (drive != DRIVE_GONE)
		return SPACE_AGAIN;
	spin_lock(&space->lock);
	space->busy--;
	spin_unlock(&space->lock);
	return SPACE_DONE;
}

bool space_retire(struct unmap_request *request)
{
	struct space *space = request->space;
	struct grant *grant = NULL;
	struct region *region;
	bool gone;

	request->protect = false;
	request->forced = true;
	request->next = request->addr;
	request->phase = UNMAP_DRIVE;
	request->status = CAPOS_STATUS_OK;
	spin_lock(&space->lock);
	region = region_at(space, request->addr);
	KASSERT(region != NULL && region->start == request->addr && region->end == request->addr + request->bytes &&
		region->state == REGION_MAPPED && region->grant == NULL);
	region_unmap(region);
	gone = region_drive(space, region, &grant) == DRIVE_GONE;
	if (!gone)
		space->busy++;
	spin_unlock(&space->lock);
	return gone;
}
