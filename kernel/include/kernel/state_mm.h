/* SPDX-License-Identifier: MIT */
#ifndef KERNEL_STATE_MM_H
#define KERNEL_STATE_MM_H

#include <kernel/lock.h>
#include <kernel/mm.h>
#include <kernel/types.h>

/* A range of usable memory: [start, next) was given out at least once, [next, top) never, [top, end) is boot memory. */
struct frame_range {
	u64 start, end; /* (c) */
	u64 next, top;	/* (l:frame_lock) */
	u8 *used;	/* (a frame's owner) one byte per frame: 1 while given out */
};

#define MAGAZINE_FRAMES 32u
#define MAGAZINE_ZERO 8u
#define MAGAZINE_PLACES 4u

/* Free frames of one CPU, and free places of its pools. */
struct CACHELINE magazine {
	u32 count;		    /* (o) */
	i64 in_use;		    /* (os) taken minus given back here */
	u64 frame[MAGAZINE_FRAMES]; /* (o) */
	u32 zero_count;		    /* (o) */
	u64 zero[MAGAZINE_ZERO];    /* (o) frames whose content is zero */
	struct place_magazine {
		u32 count;		      /* (o) */
		void *place[MAGAZINE_PLACES]; /* (o) */
	} pool[POOL_CACHED];
};

struct pool {
	struct spinlock lock; /* RANK_POOL */
	u32 object_bytes;     /* (c) */
	u32 clear_bytes;      /* (c) how much of an object is zero when it is given out */
	u32 per_slab;	      /* (c) */
	struct list partial;  /* (l:lock) slabs with free places */
	struct list full;     /* (l:lock) */
	u64 live, slabs;      /* (l:lock) live: or in a CPU's magazine */
	u64 empty;	      /* (l:lock) of the partial ones: all places free; at most one is kept */
};

/* The part of kernel/mm in the kernel's state. */
struct mm_state {
	struct spinlock frame_lock; /* RANK_FRAME */
	struct frame_range *ranges; /* (c) largest first */
	u32 range_count;	    /* (c) */
	u32 cpu_count;		    /* (c) */
	u32 magazine_max;	    /* (c) */
	bool inject;		    /* (c) after boot */
	u64 free_head;		    /* (l:frame_lock) physical address of the first free frame, 0: none */
	u64 free_count;		    /* (l:frame_lock) in that list */
	u64 untouched;		    /* (l:frame_lock) never given out */
	u64 boot_frames;	    /* boot CPU */
	u64 total;		    /* (c) */
	i64 early_in_use;	    /* before the boot CPU's record */
	struct magazine *magazines; /* (c) one per CPU */
	struct pool pools[POOL_COUNT];
};

#endif
