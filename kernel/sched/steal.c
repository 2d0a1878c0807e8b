/* SPDX-License-Identifier: MIT */
/*
 * Idle stealing: a CPU that would go idle takes work from another one.
 *
 * It looks at the queues nearest first, at STEAL_LOOKS of them at most, and compares the first STEAL_VICTIMS in which somebody waits:
 * the one whose first is most overdue by its own queue's virtual time, as service (runq_overdue_ns), is the victim. Of its first few
 * entities the first that may run here comes along, with its lag and the rest of its request.
 *
 * ST1  A thief never waits: a queue whose lock is taken is passed over. Who finds nothing for that reason, or came a moment too
 *      early, is told by the tick of the CPU where somebody waits (entry.c), and looks there first.
 * ST2  The victim waits for the thief at most as long as it takes to move its inbox to its queue, which it would have to do itself,
 *      and to remove one entity: O(log n), about 500 instructions with 10,000 queued. Each queue is locked twice at most.
 */
#include "sched_priv.h"

#define STEAL_LOOKS 64u
#define STEAL_VICTIMS 4u

static bool somebody_waits(struct cpu *cpu)
{
	return atomic_load_relaxed(&cpu->runq.count) != 0 || !wake_inbox_is_empty(cpu);
}

static struct entity *steal_from(struct cpu *cpu, struct cpu *victim)
{
	struct entity *entity;

	MEASURE_SITE(cpu, scheduler_lock_site_steal);
	if (!spin_trylock(&victim->runq.lock))
		return NULL;
	wake_drain_locked(victim);
	entity = runq_steal(&victim->runq, cpu);
	if (entity != NULL)
		owner_change(entity, OWNER_QUEUE, OWNER_HANDOFF);
	spin_unlock(&victim->runq.lock);
	if (entity == NULL)
		return NULL;
	runq_take_over(&cpu->runq, entity, true);
	account_move(cpu, entity, CAPOS_MIGRATION_STEAL);
	if (entity->kind == ENTITY_THREAD)
		TRACE(cpu, MIGRATE, entity->thread->object.id, victim->id, cpu->id);
	return entity;
}

/* False: nobody there may run here, or the lock is taken. */
static bool look_at(const struct cpu *cpu, struct cpu *victim, i64 *overdue_ns)
{
	bool found;

	MEASURE_SITE(mach_this_cpu(), scheduler_lock_site_steal);
	if (!spin_trylock(&victim->runq.lock))
		return false;
	wake_drain_locked(victim);
	found = runq_may_move(&victim->runq, cpu);
	if (found)
		*overdue_ns = runq_overdue_ns(&victim->runq);
	spin_unlock(&victim->runq.lock);
	return found;
}

/* The victims nearest to `cpu`: how many. */
static u32 find_victims(struct cpu *cpu, struct cpu *victims[STEAL_VICTIMS])
{
	struct cpu_range seen = cpu->near[LEVEL_CORE];
	u32 count = 0, looks = 0;

	for (u32 level = LEVEL_CORE; level < LEVEL_COUNT; level++) {
		struct cpu_range range = cpu->near[level];
		u32 size = range.end - range.first;

		for (u32 i = 1; i < size; i++) {
			u32 id = range.first + (cpu->id - range.first + i) % size;
			struct cpu *victim;

			if (level != LEVEL_CORE && id - seen.first < seen.end - seen.first)
				continue;
			if (looks++ == STEAL_LOOKS)
				return count;
			victim = cpu_get(id);
			if (!somebody_waits(victim))
				continue;
			victims[count++] = victim;
			if (count == STEAL_VICTIMS)
				return count;
		}
		seen = range;
	}
	return count;
}

struct entity *steal(struct cpu *cpu)
{
	struct cpu *victims[STEAL_VICTIMS], *best = NULL;
	u32 told_by = atomic_xchg(&cpu->told_by, 0u), count;
	struct entity *entity;
	i64 most_ns = 0;

	if (told_by != 0 && (entity = steal_from(cpu, cpu_get(told_by - 1))) != NULL)
		return entity;
	count = find_victims(cpu, victims);
	if (count == 1)
		return steal_from(cpu, victims[0]);
	for (u32 i = 0; i < count; i++) {
		i64 overdue_ns;

		if (!look_at(cpu, victims[i], &overdue_ns) || (best != NULL && overdue_ns <= most_ns))
			continue;
		best = victims[i];
		most_ns = overdue_ns;
	}
	return best != NULL ? steal_from(cpu, best) : NULL;
}

void steal_tell(struct cpu *cpu)
{
	struct cpu *idle = place_take_idle(cpu);

	if (idle == NULL)
		return;
	atomic_store_relaxed(&idle->told_by, cpu->id + 1);
	sched_request(cpu, idle, REQUEST_RESCHEDULE);
}
