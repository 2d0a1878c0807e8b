/* SPDX-License-Identifier: MIT */
/*
 * Store buffers of the x86-TSO model; see mach/atomic.h.
 *
 * TSO1  at most one CPU has entries for a word: a store by another one drains them first, with all older ones.
 * TSO2  a CPU's entries drain in the order of its stores.
 * TSO3  a read-modify-write by another CPU takes effect before a pending store: it changes what the others see (old).
 */
#include "sim.h"

u16 sim_pending[SIM_PENDING_SLOTS];

/* Buffers that are not empty, so that a load need not look at a thousand CPUs. */
static struct sim_store_buffer *active[SIM_CPUS_MAX];
static u32 active_count;

static struct sim_store *entry_at(struct sim_store_buffer *buffer, u32 index)
{
	return &buffer->entry[(buffer->head + index) % SIM_STORES_MAX];
}

static u16 *pending_slot(u64 addr)
{
	return &sim_pending[(addr >> 3) % SIM_PENDING_SLOTS];
}

static void drain_oldest(struct sim_store_buffer *buffer, u32 count)
{
	for (u32 i = 0; i < count; i++)
		--*pending_slot(entry_at(buffer, i)->addr);
	buffer->head = (buffer->head + count) % SIM_STORES_MAX;
	buffer->count -= count;
	if (buffer->count == 0) {
		active[buffer->active_pos] = active[--active_count];
		active[buffer->active_pos]->active_pos = buffer->active_pos;
	}
}

void sim_stores_drain(void)
{
	if (sim_stores->count > 0)
		drain_oldest(sim_stores, sim_stores->count);
}

static bool overlaps(const struct sim_store *store, u64 addr, u64 bytes)
{
	return store->addr < addr + bytes && addr < store->addr + store->bytes;
}

/* Other CPUs' entries for the word drain, and what stands before them. */
static void settle(const volatile void *word, u64 bytes)
{
	for (u32 i = active_count; i-- > 0;) {
		struct sim_store_buffer *buffer = active[i];
		if (buffer == sim_stores)
			continue;
		u32 last = buffer->count;
		while (last > 0 && !overlaps(entry_at(buffer, last - 1), (u64)word, bytes))
			last--;
		if (last > 0)
			drain_oldest(buffer, last);
	}
}

void sim_stores_seen_by_user(void)
{
	for (u32 i = active_count; i-- > 0;) {
		struct sim_store_buffer *buffer = active[i];
		u32 last = buffer->count;
		while (last > 0 && !entry_at(buffer, last - 1)->shared)
			last--;
		if (last > 0)
			drain_oldest(buffer, last);
	}
}

void sim_stores_push(volatile void *word, u64 bytes, u64 value)
{
	struct sim_store_buffer *buffer = sim_stores;

	if (sim_is_pending(word))
		settle(word, bytes);
	if (buffer->count == SIM_STORES_MAX)
		drain_oldest(buffer, 1);
	if (buffer->count == 0) {
		buffer->active_pos = active_count;
		active[active_count++] = buffer;
	}
	*entry_at(buffer, buffer->count) = (struct sim_store){ (u64)word, bytes, sim_word_get(word, bytes), false };
	buffer->count++;
	++*pending_slot((u64)word);
	sim_word_set(word, bytes, value);
}

u64 *sim_stores_others(const volatile void *word, u64 bytes)
{
	for (u32 i = 0; i < active_count; i++) {
		struct sim_store_buffer *buffer = active[i];
		if (buffer == sim_stores)
			continue;
		/* The oldest entry has what was there before all of them. */
		for (u32 k = 0; k < buffer->count; k++) {
			struct sim_store *store = entry_at(buffer, k);
			if (store->addr == (u64)word && store->bytes == bytes)
				return &store->old;
			if (overlaps(store, (u64)word, bytes)) {
				settle(word, bytes);
				return NULL;
			}
		}
	}
	return NULL;
}

u64 sim_stores_load(const volatile void *word, u64 bytes)
{
	const u64 *others = sim_stores_others(word, bytes);

	return others != NULL ? *others : sim_word_get(word, bytes);
}
