/* SPDX-License-Identifier: MIT */
/*
 * Address spaces: birth, end, and access to user memory from the kernel.
 *
 * The kernel never uses user addresses: it walks the tables under space->lock and reads and writes through the direct map.
 * SP1: addresses of a region are free again only when no CPU can hold a translation of it. SP2: a present leaf belongs to
 * exactly one region.
 */
#include "mm_priv.h"

#include <string.h>

#include <kernel/cap.h>
#include <kernel/thread.h>

#define NEVER_MAPPED_BYTES 0x10000ul /* null pointers and small offsets from them */

u16 space_create(struct process *process, struct space *space)
{
	u16 status;

	*space = (struct space){ .process = process, .table_frames = 1 };
	spinlock_init(&space->lock, RANK_SPACE, process->object.id);
	RB_INIT(&space->regions);
	list_init(&space->order);
	atomic_store_relaxed(&space->changes, 1ull);
	list_init(&space->orphans);
	if (!quota_charge(process, CAPOS_QUOTA_MEMORY, PAGE_BYTES))
		return CAPOS_STATUS_QUOTA_EXCEEDED;
	status = frame_alloc_zeroed(&space->root) ? shootdown_create(process, space) : CAPOS_STATUS_NO_MEMORY;
	if (status != CAPOS_STATUS_OK) {
		if (space->root.pa != 0)
			frame_free(space->root);
		quota_uncharge(process, CAPOS_QUOTA_MEMORY, PAGE_BYTES);
		return status;
	}
	mach_space_init(&space->mach, space->root);
	space->low = space->mach.user_base + NEVER_MAPPED_BYTES;
	space->limit = space->mach.user_base + MACH_USER_BYTES;
	/* Places are chosen above a sixteenth of the range: below it a program places what it wants. */
	space->base = ALIGN_DOWN(space->mach.user_base + MACH_USER_BYTES / 16, PT_TABLE_BYTES);
	space->cursor = space->mach.user_base;
	return CAPOS_STATUS_OK;
}

u16 space_object_publish(struct process *process)
{
	object_init(&process->space.object, CAPOS_IFACE_address_space, process);
	return object_publish(&process->space.object);
}

/* The root, when everything else is gone. */
static void root_free(struct space *space)
{
	mach_space_fini(&space->mach);
	frame_free_zero(space->root);
	space->table_frames--;
	quota_uncharge(space->process, CAPOS_QUOTA_MEMORY, PAGE_BYTES);
	KASSERT(space->table_frames == 0 && space->mapped_bytes == 0);
	shootdown_free(space);
}

bool space_destroy_step(struct space *space)
{
	struct grant *grant = NULL;
	struct region *region;
	bool done = false;

	if (space->shootdown == NULL)
		return true;
	atomic_store_release(&space->ending,
			     1u); /* pairs with the loads of begin and of space_handle_flush_requests */
	spin_lock(&space->lock);
	if (space->busy != 0) {
		spin_unlock(&space->lock);
		return false;
	}
	spin_unlock(&space->lock);
	if (!shootdown_unloaded(space))
		return false;
	spin_lock(&space->lock);
	/* Nobody has it loaded: frames and tables go at once. */
	region = region_first(space);
	if (region != NULL) {
		(void)region_end(space, region, &grant);
	} else {
		KASSERT(space->table_frames == 1 || space->stray_tables);
		done = pt_free_step(space);
	}
	spin_unlock(&space->lock);
	if (grant != NULL)
		grant_put(grant);
	if (done)
		root_free(space);
	return done;
}

/* --- user memory --------------------------------------------------------------------------------------------------------- */

static bool range_ok(const struct space *space, u64 va, size_t n)
{
	return va >= space->low && va < space->limit && n <= space->limit - va;
}

/* Direct-map address of a user byte; NULL when it is not mapped with the protection. */
static u8 *byte_at(const struct space *space, u64 va, u32 prot) REQUIRES(space->lock)
{
	const u64 *entry = pt_find(space, va);

	if (entry == NULL || !pte_present(*entry) || (pte_prot(*entry) & prot) != prot)
		return NULL;
	return (u8 *)phys_to_virt(pte_paddr(*entry)) + va % PAGE_BYTES;
}

/* A user range of at most a page, in at most two pieces. */
struct user_range {
	u8 *part[2];
	size_t bytes[2];
};

/* False: not all of it is mapped with the protection. */
static bool range_find(const struct space *space, u64 va, size_t n, u32 prot, struct user_range *range)
	REQUIRES(space->lock)
{
	size_t first = MIN(n, PAGE_BYTES - va % PAGE_BYTES);

	KASSERT(n <= PAGE_BYTES);
	*range = (struct user_range){ .bytes = { first, n - first } };
	if (n == 0)
		return true;
	if (!range_ok(space, va, n) || atomic_load_relaxed(&space->ending) != 0)
		return false;
	range->part[0] = byte_at(space, va, prot);
	range->part[1] = first < n ? byte_at(space, va + first, prot) : range->part[0];
	return range->part[0] != NULL && range->part[1] != NULL;
}

static bool copy_user(struct space *space, u64 va, u8 *kernel, size_t n, bool out)
{
	struct user_range range;
	bool ok;

	spin_lock(&space->lock);
	ok = range_find(space, va, n, out ? PROT_WRITE : 0, &range);
	for (u32 i = 0; ok && i < 2; i++) {
		if (range.bytes[i] == 0)
			continue;
		if (out)
			memcpy(range.part[i], kernel, range.bytes[i]);
		else
			memcpy(kernel, range.part[i], range.bytes[i]);
		kernel += range.bytes[i];
	}
	spin_unlock(&space->lock);
	return ok;
}

enum copy_result space_copy_object(struct space *space, u64 va, struct memory_object *memory, u64 offset, size_t n,
				   bool to_user)
{
	enum copy_result result = COPY_BAD_ADDRESS;
	struct user_range range;

	spin_lock(&space->lock);
	if (range_find(space, va, n, to_user ? PROT_WRITE : 0, &range)) {
		spin_lock(&memory->object.lock);
		result = offset <= ~0ull - n &&
					 memory_object_copy_locked(memory, offset, range.part[0], range.bytes[0],
								   !to_user) &&
					 memory_object_copy_locked(memory, offset + range.bytes[0], range.part[1],
								   range.bytes[1], !to_user)
				 ? COPY_OK
				 : COPY_BAD_OBJECT;
		spin_unlock(&memory->object.lock);
	}
	spin_unlock(&space->lock);
	return result;
}

bool space_copy_in(struct space *space, void *to, struct uaddr from, size_t n)
{
	return copy_user(space, from.va, to, n, false);
}

bool space_copy_out(struct space *space, struct uaddr to, const void *from, size_t n)
{
	return copy_user(space, to.va, (u8 *)(uintptr_t)from, n, true);
}

bool space_translate(struct space *space, struct uaddr addr, u32 prot, struct paddr *out)
{
	const u64 *entry;
	bool ok = false;

	if (!range_ok(space, addr.va, 1))
		return false;
	spin_lock(&space->lock);
	entry = pt_find(space, addr.va);
	if (entry != NULL && pte_present(*entry) && (pte_prot(*entry) & prot) == prot &&
	    atomic_load_relaxed(&space->ending) == 0) {
		*out = (struct paddr){ pte_paddr(*entry).pa + addr.va % PAGE_BYTES };
		ok = true;
	}
	spin_unlock(&space->lock);
	return ok;
}

bool space_translate_loaded(struct space *space, struct uaddr addr, struct paddr *out)
{
	u64 entry = space->root.pa;

	if (!range_ok(space, addr.va, 1) || atomic_load_relaxed(&space->ending) != 0)
		return false;
#pragma GCC unroll 4
	for (u32 shift = PT_ROOT_SHIFT; shift >= PAGE_SHIFT; shift -= 9) {
		const u64 *table = phys_to_virt(pte_paddr(entry));

		/* As the processor walks: each entry is read once, whoever changes it meanwhile. */
		entry = shared_load_relaxed(&table[pt_index(addr.va, shift)]);
		if (!pte_present(entry))
			return false;
	}
	*out = (struct paddr){ pte_paddr(entry).pa + addr.va % PAGE_BYTES };
	return true;
}

bool space_shared_key(struct space *space, struct uaddr addr, u64 *object_id, u64 *offset)
{
	const struct region *region;
	bool ok = false;

	spin_lock(&space->lock);
	region = region_at(space, addr.va);
	if (region != NULL && region->memory != NULL && region->state == REGION_MAPPED &&
	    atomic_load_relaxed(&space->ending) == 0) {
		*object_id = region->memory->object.id;
		*offset = region->offset + (addr.va - region->start);
		ok = true;
	}
	spin_unlock(&space->lock);
	return ok;
}

void space_verify(struct space *space)
{
	if (!CAPOS_DEBUG || space->shootdown == NULL || !spin_trylock(&space->lock))
		return;
	KVERIFY(region_tree_ok(space));
	spin_unlock(&space->lock);
}
