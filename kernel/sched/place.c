/* SPDX-License-Identifier: MIT */
/*
 * Where a woken or new entity goes, within its affinity.
 *
 *   woken:  its previous CPU, if that idles
 *           an idle core (all siblings idle) that shares the previous CPU's last-level cache
 *           an idle CPU, nearest first: sibling, cache, package, machine
 *           the less loaded of its previous CPU and the waker's
 *   new:    the creator's CPU, if nothing else is there to run (boot); an idle CPU, nearest first;
 *           the one with strictly less load among the CPUs around the creator's; else the creator's
 *
 * PL1  A CPU's idle bit is set by itself before it halts, and cleared by itself or by the waker that chooses it: two wakers
 *      do not choose one idle CPU.
 * PL2  A CPU with an interrupt on its way is not chosen as idle: somebody else has found work for it (B4).
 * PL3  An idle CPU is found by the maps of idle CPUs, in a few steps. Loads are compared among LOAD_SCAN_MAX CPUs at most.
 */
#include <capos/abi.h>
#include <kernel/affinity.h>
#include <kernel/state.h>

#include "sched_priv.h"

#define LOAD_SCAN_MAX 64u

/* --- idle CPUs ----------------------------------------------------------------------------------------------------------- */

void place_init(u32 cpu_count)
{
	cpu_map_init(&kernel_state.sched.idle, cpu_count);
	cpu_map_init(&kernel_state.sched.idle_cores, cpu_count);
}

static bool core_is_idle(const struct cpu *cpu)
{
	struct cpu_range core = cpu->near[LEVEL_CORE];

	for (u32 id = core.first; id < core.end; id++)
		if (!cpu_map_has(&kernel_state.sched.idle, id))
			return false;
	return true;
}

static bool has_siblings(const struct cpu *cpu)
{
	return cpu->near[LEVEL_CORE].end - cpu->near[LEVEL_CORE].first > 1;
}

/* A core is found by its first CPU. That of one without siblings is the CPU itself, and not in the map. */
void place_set_idle(struct cpu *cpu)
{
	struct cpu_map *cores = &kernel_state.sched.idle_cores;

	cpu_map_set(&kernel_state.sched.idle, cpu->id);
	if (!has_siblings(cpu) || !core_is_idle(cpu))
		return;
	cpu_map_set(cores, cpu->near[LEVEL_CORE].first);
	/* A sibling that was chosen before it could see this bit. */
	if (!core_is_idle(cpu))
		(void)cpu_map_clear(cores, cpu->near[LEVEL_CORE].first);
}

static bool clear_idle(const struct cpu *cpu)
{
	bool was = cpu_map_clear(&kernel_state.sched.idle, cpu->id);

	if (was && has_siblings(cpu))
		(void)cpu_map_clear(&kernel_state.sched.idle_cores, cpu->near[LEVEL_CORE].first);
	return was;
}

void place_clear_idle(struct cpu *cpu)
{
	(void)clear_idle(cpu);
}

static bool take_idle(struct cpu *cpu, const struct cpu *target)
{
	bool taken;

	if (!cpu_map_has(&kernel_state.sched.idle, target->id))
		return false;
	MEASURE_COUNT(cpu, reschedule_ipi_eligible_idle, 1);
	if (atomic_load_relaxed(&target->ipi_pending) != 0) {
		cpu->placed.failed++;
		MEASURE_COUNT(cpu, reschedule_ipi_pending_skip, 1);
		return false;
	}
	taken = clear_idle(target);
	MEASURE_COUNT(cpu, reschedule_ipi_target, taken);
	return taken;
}

/* The next one of `map` in the range, from CPU `near` on and around. */
static struct cpu *take_in(struct cpu *cpu, const struct cpu_map *map, struct cpu_range range, u32 near, u64 affinity)
{
	struct cpu_range part[2] = { { near, range.end }, { range.first, near } };

	for (u32 i = 0; i < ARRAY_COUNT(part); i++) {
		u32 id;

		while ((id = cpu_map_next(map, part[i], affinity)) != CPU_NONE) {
			struct cpu *target = cpu_get(id);

			if (take_idle(cpu, target))
				return target;
			part[i].first = id + 1;
		}
	}
	return NULL;
}

/* An idle CPU that nobody else is given until it goes idle again; NULL: there is none. */
static struct cpu *take_idle_near(struct cpu *cpu, const struct cpu *near, u64 affinity)
{
	struct cpu *target = NULL;

	MEASURE_COUNT(cpu, reschedule_ipi_scans, 1);
	if (atomic_load_relaxed(&kernel_state.sched.idle.words) == 0) {
		MEASURE_COUNT(cpu, reschedule_ipi_missing_target, 1);
		return NULL;
	}
	if (has_siblings(near))
		target = take_in(cpu, &kernel_state.sched.idle_cores, near->near[LEVEL_CACHE], near->id, affinity);
	for (u32 level = LEVEL_CORE; target == NULL && level < LEVEL_COUNT; level++)
		target = take_in(cpu, &kernel_state.sched.idle, near->near[level], near->id, affinity);
	MEASURE_COUNT(cpu, reschedule_ipi_missing_target, target == NULL);
	return target;
}

struct cpu *place_take_idle(struct cpu *cpu)
{
	return take_idle_near(cpu, cpu, AFFINITY_ANY);
}

/* --- loaded CPUs --------------------------------------------------------------------------------------------------------- */

static bool is_vacant(const struct cpu *cpu)
{
	return cpu->current_entity == NULL && atomic_load_relaxed(&cpu->runq.count) == 0;
}

/* Of `first` (NULL: none) and those after it, around, the first with the least load. */
static struct cpu *least_loaded(struct cpu *first, const struct cpu *near, u64 affinity)
{
	u32 count = cpu_count(), looks = MIN(count, LOAD_SCAN_MAX);
	u64 least = first != NULL ? cpu_load(first) : ~0ull;
	struct cpu *best = first;

	for (u32 i = 0; i < looks; i++) {
		struct cpu *target = cpu_get((near->id + i) % count);
		u64 load;

		if (!affinity_allows(affinity, target) || atomic_load_relaxed(&target->online) == 0) {
			MEASURE_COUNT(mach_this_cpu(), reschedule_ipi_not_ready_skip,
				      atomic_load_relaxed(&target->online) == 0);
			continue;
		}
		load = cpu_load(target);
		if (load < least) {
			least = load;
			best = target;
		}
	}
	return best;
}

/* The first CPU that an affinity allows, from `near` on and around; `near` while it changes and none is seen (AF2). */
static struct cpu *first_allowed(struct cpu *near, u64 affinity)
{
	u32 words = (cpu_count() + 63) / 64, start = near->id / 64;

	for (u32 i = 0; i <= words; i++) {
		u32 index = (start + i) % words;
		u64 bits = affinity_word(affinity, index);

		if (i == 0)
			bits &= ~0ull << (near->id % 64);
		if (bits != 0)
			return cpu_get(index * 64 + (u32)__builtin_ctzll(bits));
	}
	return near;
}

/* None idles. */
static struct cpu *place_loaded(struct cpu *cpu, struct cpu *previous, u64 affinity)
{
	bool there = affinity_allows(affinity, previous), here = affinity_allows(affinity, cpu);

	if (there && here)
		return cpu_load(cpu) < cpu_load(previous) ? cpu : previous;
	if (there || here)
		return there ? previous : cpu;
	previous = least_loaded(NULL, previous, affinity);
	return previous != NULL ? previous : first_allowed(cpu, affinity);
}

/* --- decisions ----------------------------------------------------------------------------------------------------------- */

static struct cpu *place_new(struct cpu *cpu, u64 affinity)
{
	bool here = affinity_allows(affinity, cpu);
	struct cpu *target;

	if (here && is_vacant(cpu)) {
		MEASURE_COUNT(cpu, thread_placement_caller_current, 1);
		return cpu;
	}
	target = take_idle_near(cpu, cpu, affinity);
	if (target == NULL) {
		target = least_loaded(here ? cpu : NULL, cpu, affinity);
		MEASURE_COUNT(cpu, thread_placement_strict_load, target != cpu && target != NULL);
	}
	MEASURE_COUNT(cpu, thread_placement_avoid, target != cpu && target != NULL);
	MEASURE_COUNT(cpu, thread_placement_fallback, target == cpu || target == NULL);
	return target != NULL ? target : first_allowed(cpu, affinity);
}

struct cpu *place_woken(struct cpu *cpu, struct entity *entity, struct cpu *previous)
{
	u64 affinity = shared_load_relaxed(&entity->affinity);
	struct cpu *target;
	bool allowed;

	if (previous == NULL)
		return place_new(cpu, affinity);
	allowed = affinity_allows(affinity, previous);
	if (likely(allowed) && (previous == cpu ? is_vacant(cpu) : take_idle(cpu, previous)))
		return previous;
	target = take_idle_near(cpu, previous, affinity);
	if (target == NULL && (!allowed || previous != cpu))
		target = place_loaded(cpu, previous, affinity);
	return target != NULL ? target : previous;
}

void place_elsewhere(struct cpu *cpu, struct entity *entity)
{
	u64 affinity = shared_load_relaxed(&entity->affinity);
	struct cpu *previous = atomic_load_relaxed(&entity->cpu);
	struct cpu *target = take_idle_near(cpu, previous, affinity);

	if (target == NULL)
		target = place_loaded(cpu, previous, affinity);
	if (target != previous)
		account_move(cpu, entity, CAPOS_MIGRATION_AFFINITY);
	wake_push(cpu, target, entity, OWNER_HANDOFF);
}
