/* SPDX-License-Identifier: MIT */
/* Where threads may run, and what happens to one when that changes. See affinity.h for AF1, AF2. */
#include <kernel/affinity.h>

#include <capos/abi.h>
#include <kernel/state.h>
#include <string.h>

#include "sched_priv.h"

/* A queued entity that may be moved meanwhile is looked for so often; then its CPU sends it away when its turn comes. */
#define MOVE_TRIES 4

static bool machine_is_wide(void)
{
	return kernel_state.cpu_count > AFFINITY_INLINE_CPUS;
}

u64 affinity_word(u64 affinity, u32 index)
{
	if (affinity == AFFINITY_ANY)
		return ~0ull;
	if (!machine_is_wide())
		return affinity;
	if (affinity & 1)
		return affinity / 128 == index ? 1ull << (affinity / 2 % 64) : 0;
	return shared_load_relaxed(&((const u64 *)(uintptr_t)affinity)[index]);
}

bool affinity_allows_wide(u64 affinity, u32 id)
{
	return (affinity_word(affinity, id / 64) >> (id % 64) & 1) != 0;
}

static bool is_online(u32 id)
{
	const struct cpu *cpu = id < kernel_state.cpu_count ? cpu_find(id) : NULL;

	return cpu != NULL && atomic_load_acquire(&cpu->online) != 0; /* pairs with kernel_cpu_boot */
}

u64 affinity_of_cpu(u32 id)
{
	if (!is_online(id))
		return AFFINITY_ANY;
	return machine_is_wide() ? id * 2ull + 1 : 1ull << id;
}

u32 affinity_only(u64 affinity)
{
	u32 only = CAPOS_CPU_ANY;

	if (affinity == AFFINITY_ANY)
		return CAPOS_CPU_ANY;
	if (machine_is_wide())
		return affinity & 1 ? (u32)(affinity / 2) : CAPOS_CPU_ANY;
	if ((affinity & (affinity - 1)) == 0)
		only = (u32)__builtin_ctzll(affinity);
	return only;
}

/* --- sets ---------------------------------------------------------------------------------------------------------------- */

static bool set_has(const struct capos_cpu_set *set, u32 id)
{
	return id / 8 < set->byte_count && (set->byte[id / 8] >> (id % 8) & 1) != 0;
}

bool affinity_set_is_canonical(const struct capos_cpu_set *set, u64 bytes)
{
	return bytes >= sizeof(set->byte_count) && bytes - sizeof(set->byte_count) == set->byte_count &&
	       set->byte_count <= CAPOS_CPU_SET_BYTES &&
	       (set->byte_count == 0 || set->byte[set->byte_count - 1] != 0);
}

u32 affinity_count(const struct capos_cpu_set *set, u32 *last)
{
	u32 count = 0;

	*last = CPU_NONE;
	for (u32 id = 0; id < kernel_state.cpu_count; id++) {
		if (!set_has(set, id) || !is_online(id))
			continue;
		count++;
		*last = id;
	}
	return count;
}

/* CPUs 64 index .. 64 index + 63 of the set that are online. */
static u64 online_word(const struct capos_cpu_set *set, u32 index)
{
	u64 word = 0;

	for (u32 id = index * 64; id < index * 64 + 64; id++)
		word |= (u64)(set_has(set, id) && is_online(id)) << (id % 64);
	return word;
}

u64 affinity_of_set(struct thread *thread, const struct capos_cpu_set *set)
{
	u64 *mask = (u64 *)(thread + 1);
	u32 online = 0, last, allowed = affinity_count(set, &last);

	for (u32 id = 0; id < kernel_state.cpu_count; id++)
		online += is_online(id);
	if (allowed == online)
		return AFFINITY_ANY;
	if (allowed == 1)
		return affinity_of_cpu(last);
	if (!machine_is_wide())
		return online_word(set, 0);
	for (u32 i = 0; i < (kernel_state.cpu_count + 63) / 64; i++)
		shared_store_relaxed(&mask[i], online_word(set, i));
	return (u64)(uintptr_t)mask;
}

void affinity_to_set(u64 affinity, struct capos_cpu_set *set)
{
	memset(set, 0, sizeof(*set));
	for (u32 id = 0; id < kernel_state.cpu_count && id / 8 < CAPOS_CPU_SET_BYTES; id++) {
		if (!is_online(id) || (affinity_word(affinity, id / 64) >> (id % 64) & 1) == 0)
			continue;
		set->byte[id / 8] |= (u8)(1u << (id % 8));
		set->byte_count = (u16)(id / 8 + 1);
	}
}

/* --- changes ------------------------------------------------------------------------------------------------------------- */

/* Out of a queue where it may not be any more. False: it is not queued, or moved meanwhile. */
static bool move_queued(struct cpu *cpu, struct cpu *where, struct entity *entity)
{
	bool taken = false;

	MEASURE_SITE(cpu, scheduler_lock_site_metadata);
	spin_lock(&where->runq.lock);
	wake_drain_locked(where);
	if (atomic_load_relaxed(&entity->owner) == OWNER_QUEUE && atomic_load_relaxed(&entity->cpu) == where) {
		taken = !place_allows(where, entity);
		if (taken) {
			runq_dequeue(&where->runq, entity);
			owner_change(entity, OWNER_QUEUE, OWNER_HANDOFF);
		}
	}
	spin_unlock(&where->runq.lock);
	if (taken)
		place_elsewhere(cpu, entity);
	return taken;
}

/*
 * Queued: it is moved at once. Running: its CPU is asked, and sends it away. Blocked, or being handed over: whoever makes it run
 * looks. Either the CPU that makes it current sees the new affinity (set_current), or that CPU is seen here; either who replaces
 * `own` copies the affinity (take_spare), or the new one is seen here.
 *
 * AF3  So after the fence below the entity may only be in user mode on a CPU that it may not be on if it is current there now. When it
 *      is current there no more, or another change allows that CPU, it will not be: tests/models/affinity.pml.
 */
bool sched_set_affinity(struct cpu *cpu, struct thread *thread, u64 affinity)
{
	struct cpu *where;
	struct entity *own;

	for (;;) {
		own = shared_load_relaxed(&thread->own);
		shared_store_relaxed(&own->affinity, affinity);
		atomic_fence();
		where = atomic_load_relaxed(&own->cpu);
		if (own == shared_load_relaxed(&thread->own))
			break;
		shared_store_relaxed(&own->affinity, AFFINITY_ANY); /* another thread's now: see take_spare */
	}
	for (int i = 0; i < MOVE_TRIES && where != NULL && !affinity_allows(affinity, where); i++) {
		u32 owner = atomic_load_relaxed(&own->owner);

		if (owner == OWNER_NONE ||
		    ((owner == OWNER_QUEUE || owner == OWNER_INBOX) && move_queued(cpu, where, own)))
			return true;
		if (owner == OWNER_CURRENT || owner == OWNER_HANDOFF)
			break;
		where = atomic_load_relaxed(&own->cpu);
	}
	if (where == NULL || affinity_allows(affinity, where))
		return true;
	sched_request(cpu, where, REQUEST_RESCHEDULE);
	/* Here it goes before this CPU is in user mode again. */
	return where == cpu || sched_has_left(thread);
}

bool sched_has_left(const struct thread *thread)
{
	const struct entity *own = shared_load_relaxed(&thread->own);

	/* Acquire: the CPU that it is current on, or a later one; pairs with the exchange in set_current. */
	return atomic_load_acquire(&own->owner) != OWNER_CURRENT || place_allows(atomic_load_relaxed(&own->cpu), own);
}
