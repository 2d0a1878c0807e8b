/* SPDX-License-Identifier: MIT */
/*
 * The simple fair order: the entity that has run least, by weight, goes first.
 *
 *   vruntime += delta_ns * WEIGHT_DEFAULT / weight        (weighted ns; 64 bits last 584 years at weight 1024)
 *
 * PF1  min_vruntime, the queue's virtual time, never falls, and is never ahead of both the running and the queue's first: it
 *      goes on with the running one even while nobody waits, so that who comes late does not catch up the time before.
 *      vruntime of whoever runs or is queued is at least min_vruntime - SLEEPER_CREDIT_NS.
 * PF2  The order is (vruntime, sequence): total, without addresses, so that runs replay.
 *
 * A woken entity keeps its vruntime but at most SLEEPER_CREDIT_NS behind the queue, so that a long sleep earns half a slice,
 * not a monopoly. Each queue has its own virtual time: an entity that moves starts at the destination's, ahead by as much as
 * it was ahead of the source's (at most a slice), so that moving pays no debts.
 */
#include <kernel/sched.h>

#include <capos/abi.h>
#include <kernel/debug.h>

#define SLICE_NS 4000000ull
#define SLEEPER_CREDIT_NS (SLICE_NS / 2)
#define PREEMPT_GAIN_NS 500000ull
#define STEAL_SCAN_MAX 8

static int entity_compare(struct entity *a, struct entity *b)
{
	if (a->vruntime != b->vruntime)
		return a->vruntime < b->vruntime ? -1 : 1;
	return a->sequence < b->sequence ? -1 : a->sequence > b->sequence;
}

RB_GENERATE_INTERNAL(entity_tree, entity, node, entity_compare, __attribute__((unused)) static)

void policy_init(struct runq *runq)
{
	RB_INIT(&runq->tree);
}

static void note_lead(const struct runq *runq, struct entity *entity)
{
	entity->lead = entity->vruntime > runq->min_vruntime ? entity->vruntime - runq->min_vruntime : 0;
}

void policy_advance(struct runq *runq, const struct entity *current)
{
	const struct entity *first = RB_MIN(entity_tree, &runq->tree);
	u64 vruntime = first != NULL ? MIN(first->vruntime, current->vruntime) : current->vruntime;

	if (vruntime > runq->min_vruntime)
		runq->min_vruntime = vruntime;
}

void policy_place(struct runq *runq, struct entity *entity, bool moved)
{
	u64 floor = runq->min_vruntime > SLEEPER_CREDIT_NS ? runq->min_vruntime - SLEEPER_CREDIT_NS : 0;

	if (moved)
		entity->vruntime = runq->min_vruntime + MIN(entity->lead, SLICE_NS);
	else if (entity->vruntime < floor)
		entity->vruntime = floor;
}

static inline void count_add(struct runq *runq, u32 n)
{
	atomic_store_relaxed(&runq->count, atomic_load_relaxed(&runq->count) + n);
}

/* A tree of one needs no search and no balance. */
static inline void insert(struct runq *runq, struct entity *entity)
{
	entity->sequence = runq->sequence++;
	if (likely(RB_EMPTY(&runq->tree))) {
		RB_SET(entity, NULL, node);
		RB_COLOR(entity, node) = RB_BLACK;
		RB_ROOT(&runq->tree) = entity;
	} else {
		RB_INSERT(entity_tree, &runq->tree, entity);
	}
}

void policy_enqueue(struct runq *runq, struct entity *entity, bool woken, bool moved)
{
	if (woken || moved)
		policy_place(runq, entity, moved);
	insert(runq, entity);
	count_add(runq, 1);
}

/* insert and dequeue leave the count to their caller. */
static inline void dequeue(struct runq *runq, struct entity *entity)
{
	if (likely(atomic_load_relaxed(&runq->count) == 1))
		RB_INIT(&runq->tree);
	else
		RB_REMOVE(entity_tree, &runq->tree, entity);
	note_lead(runq, entity);
}

void policy_dequeue(struct runq *runq, struct entity *entity)
{
	dequeue(runq, entity);
	count_add(runq, -1u);
}

static inline struct entity *first_of(const struct runq *runq)
{
	struct entity *entity = RB_ROOT(&runq->tree);

	while (entity != NULL && RB_LEFT(entity, node) != NULL)
		entity = RB_LEFT(entity, node);
	return entity;
}

struct entity *policy_pick(struct runq *runq)
{
	struct entity *entity = first_of(runq);

	if (entity == NULL)
		return NULL;
	dequeue(runq, entity);
	count_add(runq, -1u);
	if (entity->vruntime > runq->min_vruntime)
		runq->min_vruntime = entity->vruntime;
	return entity;
}

/* The first of the first few that may run on `cpu`, or, with CAPOS_CPU_ANY, on any. */
static struct entity *first_for(const struct runq *runq, u32 cpu)
{
	struct entity *entity = RB_MIN(entity_tree, (struct entity_tree *)(uintptr_t)&runq->tree);

	for (int i = 0; entity != NULL && i < STEAL_SCAN_MAX; i++) {
		u32 pinned = shared_load_relaxed(&entity->pinned_cpu);

		if (pinned == CAPOS_CPU_ANY || pinned == cpu)
			return entity;
		entity = RB_NEXT(entity_tree, &runq->tree, entity);
	}
	return NULL;
}

struct entity *policy_steal(struct runq *runq, u32 thief)
{
	struct entity *entity = first_for(runq, thief);

	if (entity != NULL)
		policy_dequeue(runq, entity);
	return entity;
}

bool policy_may_move(const struct runq *runq)
{
	return first_for(runq, CAPOS_CPU_ANY) != NULL;
}

void policy_charge(struct runq *runq, struct entity *entity, u64 delta_ns)
{
	entity->vruntime += entity->weight == WEIGHT_DEFAULT ? delta_ns : delta_ns * WEIGHT_DEFAULT / entity->weight;
	note_lead(runq, entity);
}

bool policy_preempts(const struct runq *runq, const struct entity *current, bool slice_over)
{
	const struct entity *first = RB_MIN(entity_tree, (struct entity_tree *)(uintptr_t)&runq->tree);

	if (first == NULL)
		return false;
	return slice_over ? first->vruntime <= current->vruntime
			  : first->vruntime + PREEMPT_GAIN_NS < current->vruntime;
}

u64 policy_slice_ns(const struct runq *runq, const struct entity *entity)
{
	(void)runq;
	(void)entity;
	return SLICE_NS;
}

bool policy_wake(struct runq *runq, struct entity *entity, bool moved, const struct entity *current)
{
	policy_advance(runq, current);
	policy_place(runq, entity, moved);
	insert(runq, entity);
	count_add(runq, 1);
	return first_of(runq)->vruntime + PREEMPT_GAIN_NS < current->vruntime;
}

struct entity *policy_yield(struct runq *runq, struct entity *current)
{
	struct entity *first = first_of(runq);

	if (current->vruntime <= first->vruntime)
		current->vruntime = first->vruntime + 1;
	dequeue(runq, first);
	if (first->vruntime > runq->min_vruntime)
		runq->min_vruntime = first->vruntime;
	insert(runq, current);
	return first;
}

void policy_verify(const struct runq *runq)
{
	struct entity_tree *tree = (struct entity_tree *)(uintptr_t)&runq->tree;
	struct entity *previous = NULL;
	struct entity *entity;
	u32 count = 0;

	RB_FOREACH (entity, entity_tree, tree) {
		KVERIFY(atomic_load_relaxed(&entity->owner) == OWNER_QUEUE);
		KVERIFY(previous == NULL || entity_compare(previous, entity) < 0);
		KVERIFY(entity->vruntime + SLEEPER_CREDIT_NS >= runq->min_vruntime); /* PF1 */
		previous = entity;
		count++;
	}
	KVERIFY(count == atomic_load_relaxed(&runq->count));
}
