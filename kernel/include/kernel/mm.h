/* SPDX-License-Identifier: MIT */
/*
 * Memory: physical frames, typed pools of kernel objects, memory objects, address spaces, TLB shootdown.
 */
#ifndef KERNEL_MM_H
#define KERNEL_MM_H

#include <bsd/sys/tree.h>

#include <kernel/object.h>
#include <kernel/quota.h>
#include <mach/mach.h>

struct cpu;
struct thread;
struct process;
struct shootdown;

/* --- frames (no charging here; callers charge CAPOS_QUOTA_MEMORY themselves) ------------------------------------- */

/* Also makes the pools ready. Before any CPU record exists. */
void frames_init(const struct boot_info *info);
/* From here on allocations may be made to fail (fault_inject_alloc). Without this call they never are. */
void frames_boot_done(void);
/* A frame, its content undefined or zeroed (zeroing costs 256 stores, or nothing). False: none left (or injected failure). */
MUST_CHECK bool frame_alloc(struct paddr *out);
MUST_CHECK bool frame_alloc_zeroed(struct paddr *out);
void frame_free(struct paddr frame);
/* The same for one whose content is zero: the next frame_alloc_zeroed need not clear it. */
void frame_free_zero(struct paddr frame);
/* Boot only: n contiguous zeroed frames, never freed; panics when there are none. */
void *frames_boot_alloc(size_t bytes);
u64 frames_total(void);
u64 frames_free_count(void);

/* --- typed pools --------------------------------------------------------------------------------------------------- */

enum pool_id {
	POOL_THREAD, /* those before POOL_CACHED: each CPU keeps a few free places */
	POOL_ENTITY,
	POOL_GRANT,
	POOL_REGION,
	POOL_CACHED,
	POOL_PROCESS = POOL_CACHED,
	POOL_ENDPOINT,
	POOL_NOTIFICATION,
	POOL_PARK_SPACE,
	POOL_MEMORY_OBJECT,
	POOL_RING_OP,
	POOL_SESSION,
	POOL_CONTEXT,
	POOL_OTHER,	/* 256 bytes */
	POOL_SPAWN,	/* kernel/spawn.h */
	POOL_FPU,	/* FPU_AREA_BYTES */
	POOL_SHOOTDOWN, /* private to kernel/mm; size by the number of CPUs */
	POOL_COUNT,
};

/* An object of the pool's size (registered in kernel/mm/pool.c from sizeof), 32-byte aligned (64 from 512 bytes on), charged to
 * `process` (NULL: kernel); zeroed, but for pools whose makers store every field (pool_clear). Pools grow by frames and give
 * empty ones back. Status: OK, QUOTA_EXCEEDED, NO_MEMORY. */
MUST_CHECK u16 pool_alloc(enum pool_id pool, struct process *process, void **out);
/* Return the quota now ... */
void pool_uncharge(enum pool_id pool, struct process *process);
/* ... and the memory, when no CPU can hold a pointer any more. (Failed creations: uncharge and free at once.) */
void pool_free(enum pool_id pool, void *object);
/* The places that this CPU keeps go back to all: before it idles, and before free memory is counted. */
void pools_drain(void);
size_t pool_object_bytes(enum pool_id pool);
u64 pool_live_count(enum pool_id pool);

/* --- memory objects ------------------------------------------------------------------------------------------------ */

/* A run of pages, committed when made. Pages of the boot archive are borrowed, never freed, never writable. */
struct memory_object {
	struct object object;
	u64 page_count;	      /* (c) */
	bool borrowed;	      /* (c) frames belong to the boot archive: contiguous from `first` */
	struct paddr first;   /* (c) borrowed only */
	struct paddr index;   /* (c) else: frame of a two-level index of frame addresses */
	u64 pages_ready;      /* (o) while building or dying: progress */
	struct list mappings; /* (l:object.lock) struct region.object_link */
	u64 sweep;	      /* (l:object.lock) the latest sweep over mappings */
	u16 failed;	      /* status of a creation that is being undone; 0: none */
};

/* Largest memory object: 512 * 512 pages (1 GiB). */
#define MEMORY_OBJECT_PAGES_MAX (512ul * 512ul)

/* Create in steps: begin charges the whole (frames, index, header); each step commits up to 4 zeroed pages; true when
 * done or failed (status out). On failure everything is undone. The object is `building` until published. */
MUST_CHECK u16 memory_object_begin(struct process *owner, u64 bytes, struct memory_object **out);
MUST_CHECK bool memory_object_step(struct memory_object *memory, u16 *status);
/* A window on the boot archive (page-aligned start), not charged except for the header. */
MUST_CHECK u16 memory_object_borrow(struct process *owner, struct paddr start, u64 bytes, struct memory_object **out);
/* The creator holds it, or a region maps it, or the object's lock is held and it is not dead: else the page may be gone. */
struct paddr memory_object_page(const struct memory_object *memory, u64 page_index);
/* Undo an object that was made and not published: true when gone. */
MUST_CHECK bool memory_object_discard_step(struct memory_object *memory);
/* Copy to or from kernel memory; n <= 4096. False: out of range, dying, or (write) borrowed. */
MUST_CHECK bool memory_object_read(struct memory_object *memory, u64 offset, void *to, size_t n);
MUST_CHECK bool memory_object_write(struct memory_object *memory, u64 offset, const void *from, size_t n);

/* --- address spaces ------------------------------------------------------------------------------------------------- */

/*
 *   building --map steps done--> mapped --> unmapping --entries clear--> flushing --acknowledged--> freeing (private frames)
 *      |                           (munmap, end of the object, dead grant)                              |
 *      |                                      gone <-- trim_freeing <--acknowledged-- trim_flushing <-- trimming (tables)
 *      +--failed, or doomed by the object's end: by its own map request--> unmapping
 * From `unmapping` on anybody may push it on; it keeps its addresses until gone, so that nothing new stands where a stale
 * translation may be (SP1). The last region in a leaf table takes the table away before it is gone; to that end it trims again
 * when another one left it the table meanwhile.
 */
enum region_state {
	REGION_BUILDING,
	REGION_MAPPED,
	REGION_UNMAPPING,
	REGION_FLUSHING,
	REGION_FREEING,
	REGION_TRIMMING,
	REGION_TRIM_FLUSHING,
	REGION_TRIM_FREEING,
	REGION_RELEASING, /* the space ends: its tables */
};

/* A mapped range of a space. */
struct region {
	RB_ENTRY(region) node;	      /* (l:space->lock) in space->regions, by start */
	struct list_node order;	      /* (l:space->lock) in space->order */
	u64 gap, gap_max;	      /* (l:space->lock) free bytes before it; largest gap of its subtree */
	struct list_node object_link; /* (l:memory->object.lock); without memory: (l:space->lock) space->orphans */
	struct space *space;	      /* (c) */
	u64 start;		      /* (c) user address, page-aligned */
	u64 end;		      /* (l:space->lock) falls when it is split */
	struct memory_object *memory; /* (c) NULL: pinned kernel page (thread page) or private frames */
	u64 offset;		      /* (c) bytes into memory */
	struct grant *grant;	      /* (c) the grant it was mapped through (a reference); dead grant: swept */
	u8 prot, prot_max;	      /* (l:space->lock) PROT_* */
	bool pinned;		      /* (c) thread page, program image, start-up page: program may not unmap it */
	bool private_frames;	      /* (l:space->lock) frames belong to the region, freed with it */
	bool doomed;		      /* (l:space->lock) building: its map request shall give up */
	bool dirty;		      /* (l:space->lock) an entry was cleared, a table unlinked: needs a flush */
	enum region_state state : 8;  /* (l:space->lock) */
	u64 next;		      /* (l:space->lock) progress of clearing and freeing */
	u64 ticket;		      /* (l:space->lock) flushing: the shootdown that it waits for */
	u64 sweep;		      /* (l:memory->object.lock) pass that looked at it */
};

RB_HEAD(region_tree, region);

struct space {
	struct mach_space mach;
	struct object object;		/* what an address_space capability names; embedded: no pool, no free */
	struct process *process;	/* (c) who is charged */
	struct spinlock lock;		/* RANK_SPACE */
	struct paddr root;		/* (c) */
	u64 low, base, limit;		/* (c) user addresses: lowest mappable, where choosing begins, end */
	struct region_tree regions;	/* (l:lock) pool POOL_REGION */
	struct list order;		/* (l:lock) the same, by start: who is beside whom */
	ATOMIC(u64) changes;		/* (a, stored under lock) entries that were cleared or changed; from 1 */
	u64 region_count;		/* (l:lock) */
	u64 mapped_bytes, table_frames; /* (l:lock) root included */
	struct list orphans;		/* (l:lock) regions of ended threads, until their flush is acknowledged */
	ATOMIC(u32) orphaned;		/* (a) orphans has one; stored under lock */
	u32 busy;			/* (l:lock) requests in progress: it is not destroyed before they end */
	ATOMIC(u32) ending;		/* (a) */
	bool stray_tables; /* (l:lock) there may be tables that no region needs: the end searches for them */
	bool dirty_tables; /* (l:lock) ending: entries of shared pages were left in them */
	u64 cursor;	   /* (l:lock) progress of the search for tables */
	struct shootdown *shootdown; /* (c) private to kernel/mm; NULL: not created */
};

/* An empty space for a process under construction. Status OK / QUOTA_EXCEEDED / NO_MEMORY. */
MUST_CHECK u16 space_create(struct process *process, struct space *space);
/* Make process->space.object alive (type address_space, owner: the process), for spawn. It ends as an object of the
 * process. Status as object_publish. */
MUST_CHECK u16 space_object_publish(struct process *process);
/* Take down in bounded steps: no CPU has it loaded any more. True when done. */
MUST_CHECK bool space_destroy_step(struct space *space);

/* Map in steps. begin checks, allocates and links a region in state building (addr 0: chosen) and holds a reference by
 * being in memory->mappings; step fills up to 16 entries (allocating tables, charged); on failure it undoes itself in
 * further steps and then reports the status (true: done, or failed with request->status). Whoever began goes on until true.
 * iresult: enum capos_map_result, with status BAD_ARGUMENT; a method answers it as its interface result. */
struct map_request {
	struct space *space;
	struct memory_object *memory; /* NULL: private zeroed frames (stack, data), charged to the process */
	struct grant *grant;
	u64 offset, addr, bytes;
	u32 prot, prot_max;
	u64 from;  /* addr 0: at or above it; 0: at or above space->base */
	u64 align; /* addr 0: a place whose last page begins at a multiple of it (a power of two); 0: any */
	/* progress */
	struct region *region;
	u64 next;
	struct paddr last; /* frame of the last page that was mapped */
	u16 status, iresult;
	bool undoing;
	bool pinned; /* asked for, as those above */
};
MUST_CHECK u16 space_map_begin(struct map_request *request);
MUST_CHECK bool space_map_step(struct map_request *request);

/* Take away the pinned, private region that begins at `start`, though the space may be loaded, without waiting: its frames and
 * its charge return after the shootdown. */
void space_drop(struct space *space, u64 start);
/* What space_drop left, gives back whose shootdown is done by now, a few at a time: whoever maps, and a CPU that has the space loaded,
 * at its tick and before it idles, without the space's lock. Costs a look when there is nothing. */
void space_poll(struct space *space);

/* Unmap or change protection in steps: clears or rewrites up to 16 entries, then flushes other CPUs: when step returns
 * SPACE_WAIT it has prepared and armed waiter->wait, to be finished after the last acknowledgement: the thread is blocked
 * and neither it nor the request may be touched; when it runs again, step again. waiter NULL: never waits, answers
 * SPACE_AGAIN while acknowledgements are missing (activities, exits: poll with interrupt windows between).
 * begin: the range must be mapped without holes by at most SPACE_RANGE_REGIONS regions. iresult as for map_request. */
#define SPACE_RANGE_REGIONS 32u
enum space_progress { SPACE_AGAIN, SPACE_WAIT, SPACE_DONE };
struct unmap_request {
	struct space *space;
	u64 addr, bytes;
	bool protect; /* change protection to prot instead of unmapping */
	u32 prot;
	bool forced; /* pinned regions too (kernel) */
	u64 next;
	u64 ticket;
	u32 phase;
	u16 status, iresult;
};
MUST_CHECK u16 space_unmap_begin(struct unmap_request *request);
MUST_CHECK enum space_progress space_unmap_step(struct unmap_request *request, struct thread *waiter);
/* Begin to take away one whole region that the kernel made (space, addr, bytes). True: it is gone at once. False: step it. */
MUST_CHECK bool space_retire(struct unmap_request *request);

/* Copy between a user range and kernel memory through the direct map, under the space lock: never faults, never waits.
 * n <= 4096. False when any byte is not mapped (or not writable for out): then nothing is reported as copied. */
MUST_CHECK bool space_copy_in(struct space *space, void *to, struct uaddr from, size_t n);
MUST_CHECK bool space_copy_out(struct space *space, struct uaddr to, const void *from, size_t n);
/* Physical address behind a user address and the memory object it belongs to; false when unmapped. */
MUST_CHECK bool space_translate(struct space *space, struct uaddr addr, u32 prot, struct paddr *out);
/* The same, to read, without the lock: of the space that this CPU has loaded, valid until this kernel entry ends. An unmap
 * that comes between can't give the frame, nor a table on the way to it, to anybody: both are freed only after this CPU
 * acknowledged the flush, and that happens after this entry. */
MUST_CHECK bool space_translate_loaded(struct space *space, struct uaddr addr, struct paddr *out);
/* Key of a shared word: memory object id and offset; false when not mapped from a memory object. */
MUST_CHECK bool space_shared_key(struct space *space, struct uaddr addr, u64 *object_id, u64 *offset);

/* This CPU is about to run a thread of `space` (NULL: none, idle): loads it, keeps the loaded-set and acknowledges
 * flushes that a switch makes good. May wake threads (the last acknowledgement ends waits): no lock of RANK_PARK or above
 * is held. */
void space_switch(struct cpu *cpu, struct space *space);
/* Of space_switch (fastpath.h): to a space that the CPU had neither now nor just before. */
void space_switch_far(struct cpu *cpu, struct space *space);
/* IRQ_IPI arrived: do the flushes asked of this CPU and acknowledge them. */
void space_handle_flush_requests(struct cpu *cpu);
/* Debug walk of one space. */
void space_verify(struct space *space);
/* Debug walk of frames and pools, and of every process's space. */
void mm_verify(void);

#endif
