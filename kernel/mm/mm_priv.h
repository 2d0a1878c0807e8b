/* SPDX-License-Identifier: MIT */
/* What the files of kernel/mm share. */
#ifndef MM_PRIV_H
#define MM_PRIV_H

#include <kernel/cpu.h>
#include <kernel/debug.h>
#include <kernel/mm.h>
#include <kernel/state.h>

/* There only when the core is built with AddressSanitizer, as simulator and unit tests are. */
void __asan_poison_memory_region(const volatile void *start, size_t bytes) __attribute__((weak));
void __asan_unpoison_memory_region(const volatile void *start, size_t bytes) __attribute__((weak));

static inline void mm_poison(void *start, size_t bytes)
{
	if (CAPOS_DEBUG && __asan_poison_memory_region != NULL)
		__asan_poison_memory_region(start, bytes);
}

static inline void mm_unpoison(void *start, size_t bytes)
{
	if (CAPOS_DEBUG && __asan_unpoison_memory_region != NULL)
		__asan_unpoison_memory_region(start, bytes);
}

void frames_verify(void);
void pools_init(void);
void pools_verify(void);

/* --- page tables (pagetable.c); all under space->lock ------------------------------------------------------------- */

#define PT_ENTRIES 512u
#define PT_ROOT_SHIFT 39u
#define PT_TABLE_BYTES (PAGE_BYTES * PT_ENTRIES) /* span of a leaf table */

static inline u32 pt_index(u64 va, u32 shift)
{
	return (u32)(va >> shift) & (PT_ENTRIES - 1);
}

/* Leaf entry of a page; NULL when there is no table for it. */
u64 *pt_find(const struct space *space, u64 va) REQUIRES(space->lock);
/* The same, making tables, charged to the space's process. Status OK, QUOTA_EXCEEDED, NO_MEMORY. */
MUST_CHECK u16 pt_make(struct space *space, u64 va, u64 **out) REQUIRES(space->lock);
/* Change a leaf entry and tell the machine. No flush. */
void pt_set(struct space *space, u64 va, u64 *entry, u64 value) REQUIRES(space->lock);
/* Take away the leaf table of va, if there is one; all its entries are 0. It is freed by pt_table_drop after a shootdown,
 * unless pt_make needed it again. True: unlinked. */
bool pt_table_unlink(struct space *space, u64 va) REQUIRES(space->lock);
void pt_table_drop(struct space *space, u64 va) REQUIRES(space->lock);
/* Free the tables on the way to va that span nothing at or above `end`, and so nothing that is needed: space->dirty_tables says
 * whether their entries are 0. No CPU has the space loaded, and what lies below va has been released. */
void pt_release(struct space *space, u64 va, u64 end) REQUIRES(space->lock);
/* Search for tables and free them, bounded; true when only the root is left. No CPU has the space loaded and no region is left. */
MUST_CHECK bool pt_free_step(struct space *space) REQUIRES(space->lock);

/* --- regions (region.c); all under space->lock ---------------------------------------------------------------------- */

/* Region that covers va, or the next one above; NULL: none. */
struct region *region_from(const struct space *space, u64 va);
/* Region that covers va, or NULL. */
struct region *region_at(const struct space *space, u64 va);
struct region *region_next(const struct space *space, const struct region *region);
/* A free place at or above `lowest` with a free page on either side, whose last page begins at a multiple of `align` (a power
 * of two); 0: none. The lowest one, but for large alignments: O(log n) for each of a few gaps that may not fit, then in a gap
 * that does. *next: the region above it, or NULL. */
u64 region_choose(const struct space *space, u64 lowest, u64 bytes, u64 align, struct region **next);
/* The range is free, `next` the region above it (NULL: none). Counts bytes and regions. */
void region_insert(struct space *space, struct region *region, struct region *next);
void region_remove(struct space *space, struct region *region);
/* Cut at `at`: `region` keeps what is below, `right` (zeroed, not linked) gets the rest. No counting of references. */
void region_split(struct space *space, struct region *region, struct region *right, u64 at);
bool region_tree_ok(const struct space *space);

enum drive { DRIVE_AGAIN, DRIVE_WAIT, DRIVE_GONE };
/* Begin to unmap a mapped or building region. */
void region_unmap(struct region *region);
/* A bounded piece of unmapping. WAIT: region->ticket is not done. GONE: the region is freed, and *grant, if not NULL, is
 * to be put without the lock. */
enum drive region_drive(struct space *space, struct region *region, struct grant **grant) REQUIRES(space->lock);
/* A bounded piece of ending the lowest region of a space that ends and that nobody has loaded. True: it is freed, with the
 * tables that only it and lower ones needed; *grant as above. */
bool region_end(struct space *space, struct region *region, struct grant **grant) REQUIRES(space->lock);
struct region *region_first(const struct space *space);
/* Link to the memory object; status REVOKED when it or the grant is dead. The region's grant reference is the caller's. */
MUST_CHECK u16 region_link_memory(struct region *region);
void region_unlink_memory(struct region *region);

/* Page-aligned, not empty, within the user range, no overflow. */
bool region_range_ok(const struct space *space, u64 addr, u64 bytes);

/* --- memory objects (memory_object.c) ------------------------------------------------------------------------------- */

bool memory_object_kill_step(struct object *object);
bool memory_object_sweep_step(struct object *object, u64 *pass);
/* Under its lock. False: out of range, dying, or (write) borrowed: nothing was copied. */
bool memory_object_copy_locked(struct memory_object *memory, u64 offset, u8 *kernel, size_t n, bool write);
/* Between an object and user memory (to_user: read of the object). n <= 4096. */
enum copy_result { COPY_OK, COPY_BAD_ADDRESS, COPY_BAD_OBJECT };
enum copy_result space_copy_object(struct space *space, u64 va, struct memory_object *memory, u64 offset, size_t n,
				   bool to_user);

/* --- CPUs' own stock ---------------------------------------------------------------------------------------------------- */

/* NULL: before the boot CPU's record. */
static inline struct magazine *magazine_here(void)
{
	struct cpu *cpu = mach_this_cpu();

	return likely(cpu != NULL) ? &kernel_state.mm.magazines[cpu->id] : NULL;
}

/* --- allocation ------------------------------------------------------------------------------------------------------ */

/* Each frame and each pool object asks once: an injected failure. */
static inline bool alloc_must_fail(void)
{
	return unlikely(kernel_state.mm.inject) && fault_inject_alloc();
}

/* --- TLB shootdown (shootdown.c) ------------------------------------------------------------------------------------ */

MUST_CHECK u16 shootdown_create(struct process *process, struct space *space);
void shootdown_free(struct space *space);
size_t shootdown_bytes(u32 cpus);
/* Entries of [start, end) were cleared or tightened under space->lock: have everyone flush. Returns a ticket; 0: done already. */
u64 shootdown_request(struct space *space, u64 start, u64 end);
bool shootdown_done(struct space *space, u64 ticket);
/* Block the current thread `waiter` until the ticket is done: true: armed. False: done already. */
MUST_CHECK bool shootdown_wait(struct space *space, u64 ticket, struct thread *waiter);
/* End a few waits that are over; those who wake go on with it. */
void shootdown_wake(struct space *space);
/* Nobody has the space loaded and no acknowledgement is missing; else the CPUs that have it are asked to drop it. */
bool shootdown_unloaded(struct space *space);

#endif
