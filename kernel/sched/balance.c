/* SPDX-License-Identifier: MIT */
/*
 * Regular balancing, so that weights hold over CPUs and not only on each one. The derivation is in docs/SCHEDULING.md.
 *
 *   a := received(entity) = vruntime - shift: normalised service on all queues, virtual time
 *   G := mean of a over a queue, by weight; W := its load
 *
 * At each tick of a busy CPU it looks at one other. The lighter of the two, whose threads are served faster, decides: it may pull a
 * thread j, or exchange one of its own i for j. For each choice it computes what the sum over both CPUs of
 *
 *   F = G + HORIZON_NS * K / (2 * W)        the mean of a in the middle of the time until the next look
 *
 * will be. Half the rate at which the squares of all differences (a - mean) grow is the sum of G over all CPUs, up to a constant: so
 * who received much belongs where the load is heavy. The second term weighs in how fast it will be: it is least for equal loads.
 * The choice with the least sum is made if that is less than now by GAIN_NS * K / W for each thread of average weight.
 *
 * BA1  Nobody waits: the other CPU's lock is tried. An entity is removed before it is published (B2), and goes by the inbox.
 * BA2  At most one look per tick and CPU, SCAN_MAX entities of each queue, one exchange: at most 2 moves per tick and CPU, 200 per
 *      second. Each makes F less by at least the gain, so it takes at least the time to fall that far behind until the next one.
 * BA3  Who is further off than FORGET_NS is not owed anything any more: it slept, may not move, or had a CPU of its own.
 */
#include "sched_priv.h"

#include "choose.h"

#define SCAN_MAX 16u
#define HORIZON_NS 200000000ll
#define GAIN_NS 30000000ll
#define FORGET_NS 500000000ll

struct candidate {
	struct entity *entity; /* NULL: nobody */
	i64 ahead;	       /* a, from that of the current one of the CPU that looks */
	i64 weight;
};

/* One CPU of the two. */
struct side {
	struct cpu *cpu;
	i64 load;
	i64 mean; /* G, as `ahead` */
	i64 weight_seen, sum_seen;
	u32 count;
	struct candidate movable[SCAN_MAX + 1];
};

/* --- whom to look at ----------------------------------------------------------------------------------------------------- */

/* Every other turn in the cache's neighbourhood, every fourth in the package's, else anywhere; each of those in turn. */
static struct cpu *partner_of(const struct cpu *cpu)
{
	u32 turn = cpu->balance_turn;
	enum cpu_level level = turn % 2 != 0 ? LEVEL_CACHE : turn % 4 != 0 ? LEVEL_PACKAGE : LEVEL_MACHINE;
	struct cpu_range range = cpu->near[level];
	u32 size = range.end - range.first, step = level == LEVEL_CACHE ? turn / 2 : turn / 4;

	if (size < 2) {
		range = cpu->near[LEVEL_MACHINE];
		size = range.end - range.first;
		step = turn;
	}
	if (size < 2)
		return NULL;
	return cpu_get(range.first + (cpu->id - range.first + 1 + step % (size - 1)) % size);
}

/* Not inline: a machine with one CPU does not pay for the registers. */
__attribute__((noinline)) bool balance_is_due_among(struct cpu *cpu)
{
	struct cpu *partner = partner_of(cpu);

	return partner != NULL && atomic_load_relaxed(&partner->runq.count) != 0 && cpu_load(cpu) < cpu_load(partner);
}

/* --- what there is ------------------------------------------------------------------------------------------------------- */

static void see(struct side *side, const struct side *other, struct entity *entity, i64 ahead)
{
	i64 weight = entity->weight;

	side->weight_seen += weight;
	side->sum_seen += weight * ahead;
	if (entity->kind == ENTITY_THREAD && place_allows(other->cpu, entity) &&
	    side->count < ARRAY_COUNT(side->movable))
		side->movable[side->count++] = (struct candidate){ entity, ahead, weight };
}

/* The first few of its queue. Under its lock. */
static void see_queue(struct side *side, const struct side *other, u64 reference) REQUIRES(side->cpu->runq.lock)
{
	struct entity *entity = fair_tree_first(&side->cpu->runq.tree);
	i64 limit = FORGET_NS * VIRTUAL_PER_NS / ((side->load + other->load) / 2);

	for (u32 i = 0; entity != NULL && i < SCAN_MAX; i++) {
		i64 ahead = (i64)(entity_received(entity) - reference);

		if (ahead > limit || ahead < -limit) {
			entity->shift += (u64)ahead; /* BA3 */
			ahead = 0;
		}
		see(side, other, entity, ahead);
		entity = fair_tree_next(entity);
	}
}

/* Who runs there is seen as it stands, without the CPU: what it points to stays until the end of this kernel entry. */
static void see_running(struct side *side, u64 reference)
{
	const struct entity *current = shared_load_relaxed(&side->cpu->current_entity);
	i64 limit = FORGET_NS * VIRTUAL_PER_NS / side->load, ahead;

	if (current == NULL || current->kind != ENTITY_THREAD)
		return;
	ahead = (i64)(atomic_load_relaxed(&side->cpu->runq.vruntime) - shared_load_relaxed(&current->shift) -
		      reference);
	if (ahead > limit || ahead < -limit)
		return;
	side->weight_seen += shared_load_relaxed(&current->weight);
	side->sum_seen += ahead * (i64)shared_load_relaxed(&current->weight);
}

static void form_mean(struct side *side)
{
	side->mean = side->weight_seen != 0 ? side->sum_seen / side->weight_seen : 0;
}

/* --- choosing ------------------------------------------------------------------------------------------------------------ */

/* By how much the sum of F rises when `from_here` goes there and `from_there` comes here. */
static i64 rise(const struct side *here, const struct side *there, const struct candidate *from_here,
		const struct candidate *from_there)
{
	const i64 half = HORIZON_NS / 2 * VIRTUAL_PER_NS;
	i64 gone = from_here->weight, come = from_there->weight;
	i64 load_here = here->load - gone + come, load_there = there->load + gone - come;
	i64 sum_here = come * (from_there->ahead - here->mean) - gone * (from_here->ahead - here->mean);
	i64 sum_there = gone * (from_here->ahead - there->mean) - come * (from_there->ahead - there->mean);

	/* Loads are of a moment ago. */
	if (load_here <= 0 || load_there <= 0)
		return 0;
	return (sum_here + half) / load_here + (sum_there + half) / load_there - half / here->load -
	       half / there->load;
}

/* What a choice must gain: for those of average weight as if GAIN_NS of a CPU's time were at stake, for lighter ones less. */
static i64 gain_wanted(const struct side *here, const struct side *there, const struct candidate *a,
		       const struct candidate *b)
{
	i64 mean = (here->load + there->load) / 2, weight = (a->weight + b->weight) / 2;

	return GAIN_NS * VIRTUAL_PER_NS / mean * MIN(weight, mean) / mean;
}

/* The one of a side that received most (sign 1) or least (-1). */
static const struct candidate *extreme(const struct side *side, i64 sign)
{
	const struct candidate *found = &side->movable[0];

	for (u32 i = 1; i < side->count; i++)
		if (sign * side->movable[i].ahead > sign * found->ahead)
			found = &side->movable[i];
	return found;
}

struct choice {
	const struct candidate *go, *come;
	i64 rise;
};

static void consider(struct choice *best, const struct side *here, const struct side *there,
		     const struct candidate *go, const struct candidate *come)
{
	i64 up = rise(here, there, go, come);

	if (up < best->rise)
		*best = (struct choice){ go, come, up };
}

/* Pull any; exchange our foremost for any; exchange any of ours for the hindmost. */
static bool choose_pair(const struct side *here, const struct side *there, struct choice *best)
{
	static const struct candidate nobody;

	*best = (struct choice){ &nobody, &nobody, 0 };
	if (there->count == 0)
		return false;
	for (u32 i = 0; i < there->count; i++) {
		consider(best, here, there, &nobody, &there->movable[i]);
		if (here->count > 0)
			consider(best, here, there, extreme(here, 1), &there->movable[i]);
	}
	for (u32 i = 0; i < here->count; i++)
		consider(best, here, there, &here->movable[i], extreme(there, -1));
	return best->rise < -gain_wanted(here, there, best->go, best->come);
}

/* --- moving -------------------------------------------------------------------------------------------------------------- */

static void note_move(struct cpu *cpu, struct entity *entity, const struct cpu *from, const struct cpu *to)
{
	account_move(cpu, entity, CAPOS_MIGRATION_BALANCE);
	TRACE(cpu, MIGRATE, entity->thread->object.id, from->id, to->id);
}

/* Out of our own queue or current slot, if it is there still. */
static bool take_own(struct cpu *cpu, struct entity *entity)
{
	bool runs = entity == cpu->current_entity, taken = false;

	if (runs)
		mach_thread_leave(cpu->current);
	MEASURE_SITE(cpu, scheduler_lock_site_balance);
	spin_lock(&cpu->runq.lock);
	if (runs) {
		runq_leave_locked(&cpu->runq, entity);
		cpu->current = NULL;
		cpu->current_entity = NULL;
		owner_change(entity, OWNER_CURRENT, OWNER_HANDOFF);
		entity->goes_on = !request_is_over(entity);
		entity->enqueued_ns = cpu->account_ns;
		entity->thread->account.preemptions++;
		taken = true;
	} else if (fair_tree_has(&cpu->runq.tree, entity)) {
		runq_dequeue(&cpu->runq, entity);
		owner_change(entity, OWNER_QUEUE, OWNER_HANDOFF);
		taken = true;
	}
	spin_unlock(&cpu->runq.lock);
	return taken;
}

static void exchange(struct cpu *cpu, struct cpu *partner, struct entity *go, struct entity *come)
{
	note_move(cpu, come, partner, cpu);
	wake_push(cpu, cpu, come, OWNER_HANDOFF);
	if (go == NULL || !take_own(cpu, go))
		return;
	note_move(cpu, go, cpu, partner);
	wake_push(cpu, partner, go, OWNER_HANDOFF);
	cpu->resched = true;
}

/*
 * The current one goes along only if it is a thread in user mode, all charged; an activity, or a thread in an operation, has a window
 * now, and time that is not charged.
 */
static bool may_leave(const struct cpu *cpu)
{
	return cpu->current != NULL && atomic_load_relaxed(&cpu->current->attention) == 0;
}

void balance_look(struct cpu *cpu)
{
	struct cpu *partner = partner_of(cpu);
	struct side here = { .cpu = cpu }, there = { .cpu = partner };
	struct choice choice;
	u64 reference;

	if (cpu->current_entity == NULL || cpu->handoff != NULL || partner == NULL || !balance_is_due(cpu))
		return;
	here.load = (i64)cpu_load(cpu);
	there.load = (i64)cpu_load(partner);
	if (here.load <= 0 || there.load <= here.load)
		return;
	reference = entity_received(cpu->current_entity);
	MEASURE_SITE(cpu, scheduler_lock_site_balance);
	spin_lock(&here.cpu->runq.lock);
	see_queue(&here, &there, reference);
	spin_unlock(&here.cpu->runq.lock);
	if (may_leave(cpu))
		see(&here, &there, cpu->current_entity, 0);
	form_mean(&here);
	MEASURE_SITE(cpu, scheduler_lock_site_balance);
	if (!spin_trylock(&there.cpu->runq.lock))
		return;
	wake_drain_locked(there.cpu);
	see_queue(&there, &here, reference);
	see_running(&there, reference);
	form_mean(&there);
	if (!choose_pair(&here, &there, &choice)) {
		spin_unlock(&there.cpu->runq.lock);
		return;
	}
	runq_dequeue(&there.cpu->runq, choice.come->entity);
	owner_change(choice.come->entity, OWNER_QUEUE, OWNER_HANDOFF);
	spin_unlock(&there.cpu->runq.lock);
	exchange(cpu, partner, choice.go->entity, choice.come->entity);
}
