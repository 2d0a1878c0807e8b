/* SPDX-License-Identifier: MIT */
/*
 * TLB shootdown: which CPUs have a space loaded, and how they are made to forget translations.
 *
 * Per space at most one batch is in flight. Who clears entries gets a ticket: the number of the batch after which nobody
 * can use them. Batches that are asked for meanwhile are one: the next.
 *
 *   request: none in flight --> batch n+1 starts --> asked CPUs acknowledge --> done = n+1 --> waiters with tickets <= done
 *            one in flight  --> wanted, ticket n+1 ...........................starts then
 *
 * SD1  Entry and loaded-mask. The changer stores the entry, then (full fence) reads the mask; a CPU that loads the space
 *      sets its bit by a locked RMW, then loads the root and walks. Under TSO either the changer sees the bit, or the
 *      entry's store precedes every walk of that CPU. Without the fence the store could still sit in the changer's buffer
 *      while it reads an empty mask, and the CPU would walk the old entry unasked.
 * SD2  Leaving and pending. A CPU that leaves loads the other root (it has forgotten everything: no PCID, no global user
 *      pages), then clears its loaded bit (RMW), then looks at its pending bit. The starter sets pending bits (RMW), then
 *      reads the loaded mask again and acknowledges for those that left. One of the two sees the other; who clears the
 *      pending bit counts. A CPU that came back meanwhile has loaded the root again, after the entry's store, and its
 *      IPI, sent after the bit was set, finds the space loaded: flushed once too often, never too little.
 * SD3  pending_count has one token of the starter, so that it reaches 0 once, after all were asked. The one who brings it
 *      to 0 completes the batch under the lock.
 * SD4  A CPU may look at the record of a space that is being destroyed, between its clearing of the loaded bit and the end
 *      of its kernel entry: the record is freed after a grace period.
 * SD5  A CPU stays in the loaded-set of the space that it had before (previous_space), so that calls to and fro between two
 *      spaces change no mask: to be asked once too often does no harm. It leaves that set when it loads a third space, goes
 *      idle, or is asked for a flush of it: one IPI at most is sent in vain.
 *
 * The lock has rank RANK_PARK (it guards parked waiters): completion happens on the switch path, below object locks.
 */
#include "mm_priv.h"

#include <lib/bits.h>

#include <kernel/cpu.h>
#include <kernel/fastpath.h>
#include <kernel/state.h>
#include <kernel/thread.h>
#include <kernel/trace.h>
#include <kernel/wait.h>

#define FLUSH_PAGES_MAX 16u
#define WAKES_MAX 4u

struct shootdown {
	struct spinlock lock; /* RANK_PARK, order = process id */
	struct reclaim_node reclaim;
	u64 started, done;	      /* (l:lock) numbers of batches */
	u64 start, end;		      /* range of the batch in flight: constant while an acknowledgement is missing */
	u64 wanted_start, wanted_end; /* (l:lock) of the next batch */
	bool wanted;		      /* (l:lock) */
	struct list waiters;	      /* (l:lock) key[0]: ticket; rising */
	ATOMIC(u32) pending_count;    /* (a) */
	u32 words;		      /* (c) */
	ATOMIC(u64) mask[];	      /* (a) loaded[words], then pending[words]: by CPU index */
};

#define LOADED(shootdown, word) (&(shootdown)->mask[word])
#define PENDING(shootdown, word) (&(shootdown)->mask[(shootdown)->words + (word)])

static u32 words_for(u32 cpus)
{
	return (cpus + 63) / 64;
}

size_t shootdown_bytes(u32 cpus)
{
	return sizeof(struct shootdown) + (size_t)words_for(cpus) * 2 * sizeof(u64);
}

u16 shootdown_create(struct process *process, struct space *space)
{
	struct shootdown *shootdown;
	void *memory;
	u16 status = pool_alloc(POOL_SHOOTDOWN, process, &memory);

	if (status != CAPOS_STATUS_OK)
		return status;
	shootdown = memory;
	spinlock_init(&shootdown->lock, RANK_PARK, space->lock.order);
	list_init(&shootdown->waiters);
	shootdown->words = words_for(kernel_state.mm.cpu_count);
	space->shootdown = shootdown;
	return CAPOS_STATUS_OK;
}

static void free_later(struct reclaim_node *node)
{
	pool_free(POOL_SHOOTDOWN, container_of(node, struct shootdown, reclaim));
}

void shootdown_free(struct space *space)
{
	struct shootdown *shootdown = space->shootdown;

	KASSERT(list_is_empty(&shootdown->waiters) && shootdown->done == shootdown->started);
	space->shootdown = NULL;
	pool_uncharge(POOL_SHOOTDOWN, space->process);
	reclaim_defer(&shootdown->reclaim, free_later); /* SD4 */
}

/* --- a batch --------------------------------------------------------------------------------------------------------- */

static void flush_here(struct space *space, u64 start, u64 end)
{
	if (end - start > FLUSH_PAGES_MAX * PAGE_BYTES) {
		MEASURE_COUNT(mach_this_cpu(), tlb_space_flushes, 1);
		mach_tlb_flush_space(&space->mach);
		return;
	}
	MEASURE_COUNT(mach_this_cpu(), tlb_page_flushes, (end - start) / PAGE_BYTES);
	for (u64 va = start; va < end; va += PAGE_BYTES)
		mach_tlb_flush_page(&space->mach, (struct uaddr){ va });
}

static void ask_word(struct cpu *cpu, struct shootdown *shootdown, u32 word)
{
	u64 bits = atomic_load_relaxed(PENDING(shootdown, word));

	for (; bits != 0; bits &= bits - 1)
		sched_request(cpu, cpu_get(word * 64 + (u32)__builtin_ctzll(bits)), REQUEST_FLUSH);
}

/* Start the batch of [shootdown->start, end), under the lock. True: complete already. */
static bool batch_start(struct cpu *cpu, struct space *space, struct shootdown *shootdown)
{
	u32 asked = 0;

	shootdown->started++;
	atomic_store_relaxed(&shootdown->pending_count, 1u); /* SD3 */
	atomic_fence();					     /* SD1 */
	for (u32 word = 0; word < shootdown->words; word++) {
		u64 bits = atomic_load_relaxed(LOADED(shootdown, word));

		if (word == cpu->id / 64)
			bits &= ~(1ull << cpu->id % 64);
		if (bits == 0)
			continue;
		asked += bits_count(bits);
		atomic_fetch_add(&shootdown->pending_count, bits_count(bits));
		atomic_fetch_or(PENDING(shootdown, word), bits);
	}
	for (u32 word = 0; asked != 0 && word < shootdown->words; word++) {
		u64 left =
			atomic_load_relaxed(PENDING(shootdown, word)) & ~atomic_load_relaxed(LOADED(shootdown, word));

		if (left != 0) { /* SD2 */
			left &= atomic_fetch_and(PENDING(shootdown, word), ~left);
			atomic_fetch_sub(&shootdown->pending_count, bits_count(left));
		}
		ask_word(cpu, shootdown, word);
	}
	if (cpu->loaded_space == space)
		flush_here(space, shootdown->start, shootdown->end);
	TRACE(cpu, SHOOTDOWN, cpu->current ? cpu->current->object.id : 0, shootdown->start, asked);
	if (atomic_fetch_sub(&shootdown->pending_count, 1u) != 1)
		return false;
	shootdown->done = shootdown->started;
	return true;
}

static void acknowledge(struct cpu *cpu, struct space *space, struct shootdown *shootdown)
{
	u32 word = cpu->id / 64;
	u64 bit = 1ull << cpu->id % 64;

	if (!(atomic_load_relaxed(PENDING(shootdown, word)) & bit) ||
	    !(atomic_fetch_and(PENDING(shootdown, word), ~bit) & bit) ||
	    atomic_fetch_sub(&shootdown->pending_count, 1u) != 1)
		return;
	spin_lock(&shootdown->lock);
	shootdown->done = shootdown->started;
	while (shootdown->wanted) {
		shootdown->wanted = false;
		shootdown->start = shootdown->wanted_start;
		shootdown->end = shootdown->wanted_end;
		if (!batch_start(cpu, space, shootdown))
			break;
	}
	spin_unlock(&shootdown->lock);
	shootdown_wake(space);
}

u64 shootdown_request(struct space *space, u64 start, u64 end)
{
	struct shootdown *shootdown = space->shootdown;
	u64 ticket;

	spin_lock(&shootdown->lock);
	ticket = shootdown->started + 1;
	if (shootdown->done == shootdown->started) {
		shootdown->start = start;
		shootdown->end = end;
		if (batch_start(mach_this_cpu(), space, shootdown))
			ticket = 0;
	} else {
		shootdown->wanted_start = shootdown->wanted ? MIN(shootdown->wanted_start, start) : start;
		shootdown->wanted_end = shootdown->wanted ? MAX(shootdown->wanted_end, end) : end;
		shootdown->wanted = true;
	}
	spin_unlock(&shootdown->lock);
	return ticket;
}

bool shootdown_done(struct space *space, u64 ticket)
{
	bool done;

	spin_lock(&space->shootdown->lock);
	done = space->shootdown->done >= ticket;
	spin_unlock(&space->shootdown->lock);
	return done;
}

/* --- waiting ----------------------------------------------------------------------------------------------------------- */

static void unlink_waiter(struct waiter *waiter)
{
	struct shootdown *shootdown = (struct shootdown *)(uintptr_t)waiter->key[1];

	spin_lock(&shootdown->lock);
	if (list_is_linked(&waiter->link))
		list_remove(&waiter->link);
	spin_unlock(&shootdown->lock);
}

static const struct waiter_ops shootdown_waiter_ops = { .unlink = unlink_waiter };

bool shootdown_wait(struct space *space, u64 ticket, struct thread *thread)
{
	struct shootdown *shootdown = space->shootdown;
	struct cpu *cpu = mach_this_cpu();
	struct waiter *waiter = &thread->wait;
	bool wait;

	spin_lock(&shootdown->lock);
	wait = shootdown->done < ticket;
	if (wait) {
		waiter_prepare(cpu, waiter);
		waiter->object = NULL;
		waiter->grant = NULL;
		waiter->key[0] = ticket;
		waiter->key[1] = (uintptr_t)shootdown;
		list_push_back(&shootdown->waiters, &waiter->link);
		waiter_arm(cpu, waiter, CAPOS_WAIT_KERNEL, &shootdown_waiter_ops, INSTANT_NEVER);
	}
	spin_unlock(&shootdown->lock);
	return wait;
}

/* Bounded: those who are woken come here again when they go on (space_unmap_step), and wake others. */
void shootdown_wake(struct space *space)
{
	struct shootdown *shootdown = space->shootdown;
	struct waiter *woken[WAKES_MAX];
	u32 count = 0;

	spin_lock(&shootdown->lock);
	while (count < WAKES_MAX && !list_is_empty(&shootdown->waiters)) {
		struct waiter *waiter = LIST_ENTRY(list_first(&shootdown->waiters), struct waiter, link);

		if (waiter->key[0] > shootdown->done)
			break;
		list_remove(&waiter->link);
		if (waiter_claim(waiter))
			woken[count++] = waiter;
	}
	spin_unlock(&shootdown->lock);
	for (u32 i = 0; i < count; i++)
		waiter_finish(mach_this_cpu(), woken[i], STATUS(OK), NULL, 0);
}

/* --- CPUs ---------------------------------------------------------------------------------------------------------------- */

/* The CPU, which has another root loaded by now, leaves the loaded-set of a space. */
static void leave(struct cpu *cpu, struct space *space)
{
	struct shootdown *shootdown = space->shootdown;
	u32 word = cpu->id / 64;
	u64 bit = 1ull << cpu->id % 64;

	atomic_fetch_and(LOADED(shootdown, word), ~bit);		   /* SD2: after the other root is loaded */
	if (unlikely(atomic_load_acquire(PENDING(shootdown, word)) & bit)) /* pairs with batch_start */
		acknowledge(cpu, space, shootdown);
}

void space_switch_far(struct cpu *cpu, struct space *space)
{
	struct space *old = cpu->loaded_space, *previous = cpu->previous_space;

	if (space != NULL)
		/* SD1: before the root is loaded. */
		atomic_fetch_or(LOADED(space->shootdown, cpu->id / 64), 1ull << cpu->id % 64);
	MEASURE_COUNT(cpu, tlb_cr3_loads, 1);
	mach_space_load(space != NULL ? &space->mach : NULL);
	cpu->loaded_space = space;
	cpu->previous_space = space != NULL ? old : NULL;
	if (previous != NULL)
		leave(cpu, previous);
	if (space == NULL)
		leave(cpu, old);
}

void space_switch(struct cpu *cpu, struct space *space)
{
	space_switch_inline(cpu, space);
}

static bool is_pending(struct cpu *cpu, struct space *space)
{
	/* Pairs with batch_start. */
	return (atomic_load_acquire(PENDING(space->shootdown, cpu->id / 64)) & 1ull << cpu->id % 64) != 0;
}

void space_handle_flush_requests(struct cpu *cpu)
{
	struct space *space = cpu->loaded_space, *previous = cpu->previous_space;
	struct shootdown *shootdown;

	if (space == NULL)
		return;
	shootdown = space->shootdown;
	if (is_pending(cpu, space)) {
		flush_here(space, shootdown->start, shootdown->end);
		cpu->shootdowns++;
		MEASURE_COUNT(cpu, tlb_shootdowns, 1);
		acknowledge(cpu, space, shootdown);
	}
	/* SD5. Pairs with the store in space_destroy_step. */
	if (previous != NULL && (is_pending(cpu, previous) || atomic_load_acquire(&previous->ending) != 0)) {
		cpu->previous_space = NULL;
		leave(cpu, previous);
	}
	/* The same store. */
	if (atomic_load_acquire(&space->ending) != 0 &&
	    (cpu->current == NULL || &cpu->current->process->space != space))
		space_switch(cpu, NULL);
}

bool shootdown_unloaded(struct space *space)
{
	struct shootdown *shootdown = space->shootdown;
	struct cpu *cpu = mach_this_cpu();
	bool unloaded = true;

	for (u32 word = 0; word < shootdown->words; word++) {
		u64 bits = atomic_load_acquire(LOADED(shootdown, word)); /* pairs with the clearing in space_switch */

		for (; bits != 0; bits &= bits - 1) {
			struct cpu *target = cpu_get(word * 64 + (u32)__builtin_ctzll(bits));

			unloaded = false;
			if (target == cpu)
				space_handle_flush_requests(cpu);
			else
				sched_request(cpu, target, REQUEST_FLUSH);
		}
	}
	return unloaded && shootdown_done(space, shootdown->started);
}
