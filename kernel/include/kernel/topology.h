/* SPDX-License-Identifier: MIT */
/*
 * Who is near whom, and sets of CPUs. CPUs are numbered so that those who share a core, a last-level cache, a package have
 * consecutive ids (mach.h): a neighbourhood is a range.
 */
#ifndef KERNEL_TOPOLOGY_H
#define KERNEL_TOPOLOGY_H

#include <kernel/types.h>
#include <mach/atomic.h>

/* Neighbourhoods of a CPU, each within the next. */
enum cpu_level { LEVEL_CORE, LEVEL_CACHE, LEVEL_PACKAGE, LEVEL_MACHINE, LEVEL_COUNT };

struct cpu_range {
	u32 first, end;
};

#define CPU_NONE (~0u)
#define CPU_WORDS_MAX 64u /* 4,096 CPUs */

/*
 * A set of CPUs that everybody changes without a lock, and in which a member is found in a few steps however many CPUs there
 * are. TO1: a word that is not empty has its bit in `words`, except for a moment while somebody changes it; a bit may stand
 * for an empty word. So who looks finds what has been there for a while.
 */
struct cpu_map {
	ATOMIC(u64) * word; /* bit n of word w: CPU 64 w + n */
	ATOMIC(u64) words;  /* bit w: word w is not empty */
};

void cpu_map_init(struct cpu_map *map, u32 cpu_count);
/* Full barriers. clear: was it there? */
void cpu_map_set(struct cpu_map *map, u32 id);
bool cpu_map_clear(struct cpu_map *map, u32 id);
static inline bool cpu_map_has(const struct cpu_map *map, u32 id)
{
	return (atomic_load_relaxed(&map->word[id / 64]) >> (id % 64) & 1) != 0;
}
/* The first member in the range that `affinity` allows (kernel/affinity.h), or CPU_NONE. */
u32 cpu_map_next(const struct cpu_map *map, struct cpu_range range, u64 affinity);

/* Fills cpu->near of all CPUs, from their descriptors. */
void topology_init(void);

#endif
