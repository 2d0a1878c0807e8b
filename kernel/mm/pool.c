/* SPDX-License-Identifier: MIT */
/*
 * Typed pools of kernel objects: slabs of one frame, a header and places of one size. A slab's free places are a list
 * through the places, and places above `untouched` that were never used. A slab all of whose places are free is given
 * back, except one per pool. In front of the slabs of the pools that are used most, each CPU keeps a few places (interrupts are
 * off), so that most allocations take no lock; a CPU that idles keeps none.
 *
 * Invariants: PO1 live + free places == slabs * per_slab, where a place in a magazine is live. PO2 a full slab is in `full`, every
 * other in `partial`.
 */
#include "mm_priv.h"

#include <string.h>

#include <kernel/affinity.h>
#include <kernel/context.h>
#include <kernel/ipc.h>
#include <kernel/process.h>
#include <kernel/spawn.h>
#include <kernel/state.h>
#include <kernel/thread.h>

#define SLAB_HEADER 64u
#define FREE_BYTE 0xa5
#define CLEAR_BYTES_MIN 512u /* below it mach_clear does not pay */

struct slab {
	struct list_node link;
	struct pool *pool;
	void *free; /* first free place that was used before */
	u32 used;
	u32 untouched; /* places from here on were never used */
};
_Static_assert(sizeof(struct slab) <= SLAB_HEADER, "a slab's header is one cache line");

/* Whose makers store every field: nothing is zeroed. */
static bool pool_clear(enum pool_id pool)
{
	return pool != POOL_REGION && pool != POOL_GRANT && pool != POOL_ENTITY;
}

/* Bytes of an object; 0: found in pools_init. */
static const u16 pool_bytes[POOL_COUNT] = {
	[POOL_PROCESS] = sizeof(struct process),
	[POOL_THREAD] = 0,
	[POOL_ENTITY] = sizeof(struct entity),
	[POOL_GRANT] = sizeof(struct grant),
	[POOL_ENDPOINT] = sizeof(struct endpoint),
	[POOL_NOTIFICATION] = sizeof(struct notification),
	[POOL_PARK_SPACE] = sizeof(struct object) + 64,
	[POOL_MEMORY_OBJECT] = sizeof(struct memory_object),
	[POOL_REGION] = sizeof(struct region),
	[POOL_RING_OP] = sizeof(struct ring_op),
	[POOL_SESSION] = sizeof(struct session),
	[POOL_CONTEXT] = sizeof(struct context),
	[POOL_OTHER] = 256,
	[POOL_SPAWN] = sizeof(struct spawn_request),
	[POOL_FPU] = FPU_AREA_BYTES,
	[POOL_SHOOTDOWN] = 0,
};
_Static_assert(sizeof(struct process) <= PAGE_BYTES - SLAB_HEADER &&
		       sizeof(struct thread) <= PAGE_BYTES - SLAB_HEADER,
	       "an object fits a slab");

static struct pool *pool_of(enum pool_id pool)
{
	KASSERT((u32)pool < POOL_COUNT);
	return &kernel_state.mm.pools[pool];
}

void pools_init(void)
{
	for (u32 i = 0; i < POOL_COUNT; i++) {
		struct pool *pool = &kernel_state.mm.pools[i];
		u32 cpu_count = kernel_state.mm.cpu_count;
		size_t bytes = i == POOL_SHOOTDOWN ? shootdown_bytes(cpu_count)
			       : i == POOL_THREAD  ? sizeof(struct thread) + affinity_mask_bytes(cpu_count)
			       : i == POOL_CONTEXT ? sizeof(struct context) + 2 * affinity_mask_bytes(cpu_count)
						   : pool_bytes[i];

		spinlock_init(&pool->lock, RANK_POOL, i);
		bool packed = bytes < CLEAR_BYTES_MIN && i != POOL_ENTITY;

		/* Small ones share cache lines, to make a thread cheap; not what CPUs write at each switch. */
		pool->object_bytes = (u32)ALIGN_UP(bytes, packed ? (size_t)32 : (size_t)64);
		pool->per_slab = (u32)(PAGE_BYTES - SLAB_HEADER) / pool->object_bytes;
		pool->clear_bytes = pool_clear(i) ? pool->object_bytes : 0;
		KASSERT(pool->per_slab > 0);
		list_init(&pool->partial);
		list_init(&pool->full);
	}
}

static void *place_of(struct slab *slab, u32 index)
{
	return (u8 *)slab + SLAB_HEADER + (size_t)index * slab->pool->object_bytes;
}

/* A new slab, in partial. False: no frame. */
static bool slab_add(struct pool *pool)
{
	struct paddr frame;
	struct slab *slab;

	if (!frame_alloc(&frame))
		return false;
	slab = phys_to_virt(frame);
	*slab = (struct slab){ .pool = pool };
	mm_poison((u8 *)slab + SLAB_HEADER, PAGE_BYTES - SLAB_HEADER);
	list_push_back(&pool->partial, &slab->link);
	pool->slabs++;
	pool->empty++;
	return true;
}

/* Debug: a free place is a pattern, except its first word. */
static void place_check(const struct pool *pool, u8 *place)
{
	mm_unpoison(place, pool->object_bytes);
	for (u32 i = sizeof(void *); CAPOS_DEBUG && i < pool->object_bytes; i++) {
		if (place[i] != FREE_BYTE)
			panic("pool object %p was written to while free: byte %u", (const void *)place, (unsigned)i);
	}
}

static void place_forget(const struct pool *pool, void *place)
{
	if (CAPOS_DEBUG)
		memset(place, FREE_BYTE, pool->object_bytes);
	mm_poison(place, pool->object_bytes);
}

static void *slab_take(struct pool *pool, struct slab *slab)
{
	void *place = slab->free;

	if (place != NULL) {
		place_check(pool, place);
		slab->free = *(void **)place;
	} else {
		place = place_of(slab, slab->untouched++);
		mm_unpoison(place, pool->object_bytes);
	}
	if (slab->used++ == 0)
		pool->empty--;
	if (slab->used == pool->per_slab) {
		list_remove(&slab->link);
		list_push_back(&pool->full, &slab->link);
	}
	pool->live++;
	return place;
}

/* NULL: no memory. */
static __attribute__((noinline)) void *take_shared(struct pool *pool)
{
	void *object = NULL;

	spin_lock(&pool->lock);
	if (!list_is_empty(&pool->partial) || slab_add(pool))
		object = slab_take(pool, LIST_ENTRY(list_first(&pool->partial), struct slab, link));
	spin_unlock(&pool->lock);
	return object;
}

/* This CPU's places of the pool, or NULL. */
static inline struct place_magazine *places_here(enum pool_id id)
{
	struct magazine *magazine = id < POOL_CACHED ? magazine_here() : NULL;

	return magazine != NULL ? &magazine->pool[id] : NULL;
}

static __attribute__((noinline)) u16 give_out(const struct pool *pool, void *object)
{
	if (pool->clear_bytes >= CLEAR_BYTES_MIN)
		mach_clear(object, pool->clear_bytes);
	else
		memset(object, 0, pool->clear_bytes);
	return CAPOS_STATUS_OK;
}

/* This CPU keeps none. */
static __attribute__((noinline)) u16 alloc_shared(struct pool *pool, struct process *process, void **out)
{
	void *object = take_shared(pool);

	if (unlikely(object == NULL)) {
		quota_uncharge(process, CAPOS_QUOTA_MEMORY, pool->object_bytes);
		return CAPOS_STATUS_NO_MEMORY;
	}
	*out = object;
	return give_out(pool, object);
}

/* Charged. What is rare is called last, so that the way to a place of this CPU needs no registers to be preserved. */
static inline __attribute__((always_inline)) u16 alloc(enum pool_id id, struct process *process, void **out)
{
	struct pool *pool = pool_of(id);
	struct place_magazine *places = places_here(id);
	void *object;

	if (unlikely(places == NULL || places->count == 0))
		return alloc_shared(pool, process, out);
	object = places->place[--places->count];
	place_check(pool, object);
	*out = object;
	return pool->clear_bytes != 0 ? give_out(pool, object) : CAPOS_STATUS_OK;
}

static __attribute__((noinline)) u16 alloc_injected(enum pool_id id, struct process *process, void **out)
{
	if (!alloc_must_fail())
		return alloc(id, process, out);
	pool_uncharge(id, process);
	return CAPOS_STATUS_NO_MEMORY;
}

u16 pool_alloc(enum pool_id id, struct process *process, void **out)
{
	no_alloc_check();
	if (!quota_charge(process, CAPOS_QUOTA_MEMORY, pool_of(id)->object_bytes))
		return CAPOS_STATUS_QUOTA_EXCEEDED;
	if (unlikely(kernel_state.mm.inject))
		return alloc_injected(id, process, out);
	return alloc(id, process, out);
}

void pool_uncharge(enum pool_id id, struct process *process)
{
	quota_uncharge(process, CAPOS_QUOTA_MEMORY, pool_of(id)->object_bytes);
}

static void slab_drop(struct pool *pool, struct slab *slab)
{
	list_remove(&slab->link);
	pool->slabs--;
	mm_unpoison(slab, PAGE_BYTES);
	frame_free(virt_to_phys(slab));
}

static struct slab *slab_of(const void *object)
{
	return (struct slab *)((uintptr_t)object & ~(uintptr_t)(PAGE_BYTES - 1));
}

static __attribute__((noinline)) void give_shared(struct pool *pool, void *object)
{
	struct slab *slab = slab_of(object);

	spin_lock(&pool->lock);
	KASSERT(slab->used > 0 && ((uintptr_t)object - (uintptr_t)slab - SLAB_HEADER) % pool->object_bytes == 0);
	mm_unpoison(object, sizeof(void *));
	*(void **)object = slab->free;
	mm_poison(object, sizeof(void *));
	slab->free = object;
	pool->live--;
	if (slab->used-- == pool->per_slab) {
		list_remove(&slab->link);
		list_push_back(&pool->partial, &slab->link);
	}
	if (slab->used == 0) {
		if (pool->empty > 0)
			slab_drop(pool, slab);
		else
			pool->empty++;
	}
	spin_unlock(&pool->lock);
}

void pool_free(enum pool_id id, void *object)
{
	struct pool *pool = pool_of(id);
	struct place_magazine *places = places_here(id);

	KASSERT(slab_of(object)->pool == pool);
	place_forget(pool, object);
	if (likely(places != NULL && places->count < MAGAZINE_PLACES))
		places->place[places->count++] = object;
	else
		give_shared(pool, object);
}

void pools_drain(void)
{
	for (enum pool_id id = 0; id < POOL_CACHED; id++) {
		struct place_magazine *places = places_here(id);

		while (places != NULL && places->count > 0)
			give_shared(pool_of(id), places->place[--places->count]);
	}
}

size_t pool_object_bytes(enum pool_id id)
{
	return pool_of(id)->object_bytes;
}

/* A snapshot: other CPUs' magazines change meanwhile. */
u64 pool_live_count(enum pool_id id)
{
	u64 live = pool_of(id)->live;

	for (u32 i = 0; id < POOL_CACHED && i < kernel_state.mm.cpu_count; i++)
		live -= kernel_state.mm.magazines[i].pool[id].count;
	return live;
}

static void slabs_verify(const struct pool *pool, const struct list *list, bool full, u64 *live, u64 *slabs,
			 u64 *empty)
{
	LIST_FOREACH (list, node) {
		const struct slab *slab = LIST_ENTRY(node, const struct slab, link);

		KVERIFY(slab->pool == pool && (slab->used == pool->per_slab) == full &&
			slab->used <= slab->untouched);
		*live += slab->used;
		*slabs += 1;
		*empty += slab->used == 0 ? 1 : 0;
		KVERIFY(*slabs <= pool->slabs);
	}
}

void pools_verify(void)
{
	for (u32 i = 0; CAPOS_DEBUG && i < POOL_COUNT; i++) {
		struct pool *pool = &kernel_state.mm.pools[i];
		u64 live = 0, slabs = 0, empty = 0;

		if (!spin_trylock(&pool->lock))
			continue;
		slabs_verify(pool, &pool->partial, false, &live, &slabs, &empty);
		slabs_verify(pool, &pool->full, true, &live, &slabs, &empty);
		KVERIFY(live == pool->live && slabs == pool->slabs && empty == pool->empty && empty <= 1);
		spin_unlock(&pool->lock);
	}
}
