/* SPDX-License-Identifier: MIT */
/* Neighbourhoods of CPUs, and sets of CPUs that are found quickly. See topology.h. */
#include <kernel/topology.h>

#include <kernel/affinity.h>
#include <kernel/debug.h>
#include <kernel/state.h>

/* --- neighbourhoods ------------------------------------------------------------------------------------------------------ */

static bool same(enum cpu_level level, const struct cpu_desc *a, const struct cpu_desc *b)
{
	switch (level) {
	case LEVEL_CORE:
		return a->package == b->package && a->llc == b->llc && a->core == b->core;
	case LEVEL_CACHE:
		return a->package == b->package && a->llc == b->llc;
	case LEVEL_PACKAGE:
		return a->package == b->package;
	default:
		return true;
	}
}

/* A machine that numbers its CPUs otherwise has smaller neighbourhoods than it could have. */
void topology_init(void)
{
	struct cpu **cpus = kernel_state.cpus;

	for (u32 level = 0; level < LEVEL_COUNT; level++) {
		for (u32 first = 0, end; first < kernel_state.cpu_count; first = end) {
			for (end = first + 1; end < kernel_state.cpu_count; end++)
				if (!same(level, &cpus[first]->desc, &cpus[end]->desc))
					break;
			for (u32 i = first; i < end; i++)
				cpus[i]->near[level] = (struct cpu_range){ first, end };
		}
	}
}

/* --- sets ---------------------------------------------------------------------------------------------------------------- */

void cpu_map_init(struct cpu_map *map, u32 cpu_count)
{
	KASSERT(cpu_count <= CPU_WORDS_MAX * 64);
	map->word = frames_boot_alloc((cpu_count + 63) / 64 * sizeof(map->word[0]));
	atomic_store_relaxed(&map->words, 0ull);
}

void cpu_map_set(struct cpu_map *map, u32 id)
{
	u64 word = 1ull << (id / 64);

	atomic_fetch_or(&map->word[id / 64], 1ull << (id % 64));
	if (!(atomic_load_relaxed(&map->words) & word))
		atomic_fetch_or(&map->words, word);
}

bool cpu_map_clear(struct cpu_map *map, u32 id)
{
	u64 bit = 1ull << (id % 64), word = 1ull << (id / 64);
	u64 was;

	if (!(atomic_load_relaxed(&map->word[id / 64]) & bit))
		return false;
	was = atomic_fetch_and(&map->word[id / 64], ~bit);
	if (was == bit) {
		atomic_fetch_and(&map->words, ~word);
		/* TO1: somebody who came between the two has seen the bit of the word, and left it to us. */
		if (atomic_load_relaxed(&map->word[id / 64]) != 0)
			atomic_fetch_or(&map->words, word);
	}
	return (was & bit) != 0;
}

/* Bits [from, to) of a word; to <= 64. */
static u64 bits_between(u32 from, u32 to)
{
	return (to >= 64 ? ~0ull : (1ull << to) - 1) & ~0ull << from;
}

u32 cpu_map_next(const struct cpu_map *map, struct cpu_range range, u64 affinity)
{
	u32 first = range.first / 64, end = (range.end + 63) / 64;
	u64 words;

	if (range.first >= range.end)
		return CPU_NONE;
	words = atomic_load_relaxed(&map->words) & bits_between(first, end);
	for (; words != 0; words &= words - 1) {
		u32 index = (u32)__builtin_ctzll(words);
		u64 bits = atomic_load_relaxed(&map->word[index]) & affinity_word(affinity, index);

		if (index == first)
			bits &= ~0ull << (range.first % 64);
		if (index == end - 1)
			bits &= bits_between(0, range.end - index * 64);
		if (bits != 0)
			return index * 64 + (u32)__builtin_ctzll(bits);
	}
	return CPU_NONE;
}
