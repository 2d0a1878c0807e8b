/* SPDX-License-Identifier: MIT */
/*
 * The fair queue of a CPU: what the policies have in common. Derivations and bit budgets: docs/SCHEDULING.md.
 *
 *   w := entity.weight, v := entity.vruntime, d := entity.deadline, e := entity.request_end, l := entity.lag
 *   W_q := runq.weight, S_q := runq.sum = sum of w * (v - base), over the queued ones
 *   W := W_q + w of current, V := runq_virtual_time = base + (S_q + w * (v - base) of current) / W, rounded down
 *
 * RQ1  Sum of w * (V - v) over the competitors is 0: V is their mean by definition, so it holds if RQ3 does.
 * RQ3  W_q and S_q are the sums over the tree.
 * RQ5  Who joins has the lag that it left with (decayed, forgotten), who changes its weight the service it was owed; rounded
 *      down by less than one unit for each step.
 * RQ6  The lag of one that ends is taken over by those who come from outside, within LAG_KEEP_NS.
 */
#include "runq.h"

#include <kernel/affinity.h>
#include <kernel/fastpath.h>
#include <lib/div128.h>

#define STEAL_SCAN_MAX 8
/* Sums stay in 64 bits as long as nobody is further from the base than that (1 s at the default weight). */
#define BASE_SLACK_BITS 37
#define BASE_SLACK (1ull << (BASE_SLACK_BITS - 1))
/* As if some thousand had ended at once. */
#define LEGACY_DEBT_MAX (1ll << 60)

void runq_init(struct runq *runq, enum sched_policy policy)
{
	runq->policy = policy;
}

/* --- virtual time -------------------------------------------------------------------------------------------------------- */

static inline __int128 weighted(u64 weight, u64 distance)
{
	return (__int128)(i64)weight * (i64)distance;
}

/* W */
static inline u64 competing_weight(const struct runq *runq)
{
	return atomic_load_relaxed(&runq->weight) + atomic_load_relaxed(&runq->current_weight);
}

static inline __attribute__((always_inline)) u64 virtual_time(const struct runq *runq)
{
	u64 queued = atomic_load_relaxed(&runq->weight), vruntime = atomic_load_relaxed(&runq->vruntime);
	u32 current = atomic_load_relaxed(&runq->current_weight);

	if (queued == 0)
		return vruntime;
	return runq->base + (u64)div128_floor(runq->sum + weighted(current, vruntime - runq->base), queued + current);
}

u64 runq_virtual_time(const struct runq *runq)
{
	return virtual_time(runq);
}

static inline i64 service_ns(i64 distance, u32 weight)
{
	return (i64)(weighted(weight, (u64)distance) >> VIRTUAL_SHIFT);
}

i64 runq_lag_ns(const struct runq *runq, const struct entity *entity)
{
	return service_ns((i64)(runq_virtual_time(runq) - entity->vruntime), entity->weight);
}

i64 runq_overdue_ns(const struct runq *runq)
{
	const struct entity *first = fair_tree_first(&runq->tree);

	return service_ns((i64)(runq_virtual_time(runq) - first->deadline), first->weight);
}

/* --- sums and tree ------------------------------------------------------------------------------------------------------- */

struct entity *runq_best(const struct runq *runq)
{
	return likely(runq->policy == SCHED_EEVDF) ? eevdf_best(runq) : wfq_best(runq);
}

static void move_base(struct runq *runq, u64 base)
{
	runq->sum -= weighted(atomic_load_relaxed(&runq->weight), base - runq->base);
	runq->base = base;
}

void runq_insert_general(struct runq *runq, struct entity *entity)
{
	entity->sequence = runq->sequence++;
	if (unlikely((entity->vruntime - runq->base + BASE_SLACK) >> BASE_SLACK_BITS != 0))
		move_base(runq, entity->vruntime);
	runq->sum += weighted(entity->weight, entity->vruntime - runq->base);
	fair_tree_insert(&runq->tree, entity);
	atomic_store_relaxed(&runq->weight, atomic_load_relaxed(&runq->weight) + entity->weight);
	atomic_store_relaxed(&runq->count, atomic_load_relaxed(&runq->count) + 1);
}

void runq_remove_general(struct runq *runq, struct entity *entity)
{
	fair_tree_remove(&runq->tree, entity);
	runq->sum -= weighted(entity->weight, entity->vruntime - runq->base);
	atomic_store_relaxed(&runq->weight, atomic_load_relaxed(&runq->weight) - entity->weight);
	atomic_store_relaxed(&runq->count, atomic_load_relaxed(&runq->count) - 1);
}

/* --- parameters ------------------------------------------------------------------------------------------------------------ */

/*
 * The service that it is owed stays: with `mean`, against which that counts, l' = l * w / w'; so with what its request has left. Of
 * distances to v: (mean - v), (e - v), (d - v).
 */
static void adopt(struct entity *entity, u64 mean)
{
	u32 old = entity->weight;
	i64 lag = (i64)(mean - entity->vruntime), left = (i64)(entity->request_end - entity->vruntime),
	    due = (i64)(entity->deadline - entity->vruntime);
	u64 unpaid = entity->paid_at - entity->vruntime;

	params_adopt(entity);
	entity->vruntime = mean - (u64)div128_floor(weighted(old, (u64)lag), entity->weight);
	entity->request_end = entity->vruntime + (u64)div128_floor(weighted(old, (u64)left), entity->weight);
	entity->deadline = entity->vruntime + (u64)div128_floor(weighted(old, (u64)due), entity->weight);
	entity->lag = div128_floor(weighted(old, (u64)entity->lag), entity->weight);
	if (unlikely(entity->owes))
		entity->paid_at = entity->vruntime + (u64)div128_floor(weighted(old, unpaid), entity->weight);
}

void runq_adopt_current(struct runq *runq, struct entity *current)
{
	adopt(current, runq_virtual_time(runq));
	runq_set_current(runq, current);
}

void runq_adopt_queued(struct runq *runq, struct entity *entity)
{
	u64 now = runq_virtual_time(runq);

	runq_take(runq, entity);
	adopt(entity, now);
	runq_requeue(runq, entity);
}

/* --- joining --------------------------------------------------------------------------------------------------------------- */

/* Where V has to come for a debt of it to be paid: where it left, or, with a debt from elsewhere, beyond. */
static inline u64 left_at(const struct entity *entity)
{
	return unlikely(entity->owes) ? entity->paid_at : entity->vruntime;
}

/*
 * Its lag, as it is when it joins at V = `now`. A debt is paid as V passes, on the queue where it was made; it does not grow when V
 * falls behind, because others leave or join.
 */
static inline i64 lag_of_joining(const struct runq *runq, const struct entity *entity, u64 now, bool moved)
{
	i64 lag = entity->lag, ahead;

	if (likely(lag == 0))
		return 0;
	if (lag < 0 && !moved) {
		ahead = MIN((i64)(now - left_at(entity)), 0);
		lag = MAX(lag, ahead);
	}
	return runq->policy == SCHED_EEVDF ? eevdf_lag_kept(lag) : wfq_lag_kept(lag);
}

/* --- what those that ended left: docs/SCHEDULING.md, "Births and deaths" --------------------------------------------------------- */

void runq_bequeath(struct runq *runq, const struct entity *entity)
{
	struct runq_legacy *legacy = &runq->legacy;
	i64 lag = lag_of_joining(runq, entity, virtual_time(runq), false);
	i64 service = (i64)entity->weight * lag, request = (i64)(entity->weight * entity->request_virtual);

	if (legacy->service == 0 || (i64)(entity->enqueued_ns - legacy->left_ns) > 0)
		legacy->left_ns = entity->enqueued_ns;
	legacy->most_debt = MAX(legacy->most_debt, -service);
	service += legacy->service;
	/* No more is owed to those that come than one request. */
	legacy->service = MAX(MIN(service, MAX(request, legacy->service)), -LEGACY_DEBT_MAX);
}

/* What the next one that comes takes over: no more than one of them owed, and with its own no more credit than a request. */
static i64 legacy_due(struct runq *runq, const struct entity *entity, i64 lag)
{
	struct runq_legacy *legacy = &runq->legacy;

	if (legacy->service == 0)
		return 0;
	/* Where nobody competes, nobody is owed. */
	if (competing_weight(runq) == 0 || (i64)(entity->enqueued_ns - legacy->left_ns) > (i64)LAG_KEEP_NS) {
		legacy->service = legacy->most_debt = 0;
		return 0;
	}
	if (legacy->service < 0)
		return MAX(legacy->service, -legacy->most_debt);
	return MAX(MIN(legacy->service, (i64)entity->weight * ((i64)entity->request_virtual - lag)), 0);
}

static i64 legacy_take(struct runq *runq, const struct entity *entity, i64 lag)
{
	struct runq_legacy *legacy = &runq->legacy;
	i64 due = legacy_due(runq, entity, lag);

	legacy->service -= due;
	if (legacy->service >= 0)
		legacy->most_debt = 0;
	return lag + div128_floor(due, entity->weight);
}

void runq_inherit(struct runq *runq, struct entity *entity)
{
	u64 at;

	entity->lag = legacy_take(runq, entity, 0);
	at = virtual_time(runq) - (u64)entity->lag;
	keep_received(entity, at, true);
	entity->vruntime = at;
}

/* --- places ---------------------------------------------------------------------------------------------------------------- */

/*
 * Among competitors of weight W whose mean is V, one that joins at v moves the mean to V' = V - w * (V - v) / (W + w), and has the
 * lag V' - v = (V - v) * W / (W + w). For it to be l: v = V - l - l * w / W. Rounded up.
 */
static inline __attribute__((always_inline)) void place(struct entity *entity, u64 now, u64 competing, i64 lag,
							bool moved)
{
	u64 from = entity->vruntime, to = now;

	if (lag != 0 && competing != 0) {
		i64 beyond = lag; /* l * w / W */

		if (competing != entity->weight)
			beyond = div128_floor(weighted(entity->weight, (u64)lag), competing);
		to = now - (u64)lag - (u64)beyond;
	}
	keep_received(entity, to, moved);
	entity->vruntime = to;
	entity->lag = lag;
	/* Nobody is here who could be owed: it pays as V passes, which is its own v while it is alone. */
	entity->owes = lag < 0 && competing == 0;
	if (unlikely(entity->owes))
		entity->paid_at = to - (u64)lag;
	if (likely(!entity->goes_on)) {
		request_begin(entity);
		return;
	}
	entity->goes_on = false;
	entity->request_end += to - from;
	entity->deadline += to - from;
}

static inline void adopt_apart(struct entity *entity)
{
	if (unlikely(params_differ(entity)))
		adopt(entity, left_at(entity) + (u64)entity->lag);
}

static inline __attribute__((always_inline)) void join(struct runq *runq, struct entity *entity, bool moved)
{
	u64 now = virtual_time(runq);
	i64 lag;

	adopt_apart(entity);
	lag = lag_of_joining(runq, entity, now, moved);
	if (unlikely(moved))
		lag = legacy_take(runq, entity, lag);
	place(entity, now, competing_weight(runq), lag, moved);
}

void runq_join_general(struct runq *runq, struct entity *entity, bool moved)
{
	join(runq, entity, moved);
	runq_requeue(runq, entity);
}

void runq_join_running(struct runq *runq, struct entity *entity, bool moved)
{
	join(runq, entity, moved);
}

bool runq_joins_in_turn(const struct runq *runq, const struct entity *entity, bool moved)
{
	u64 weight = atomic_load_relaxed(&runq->weight);

	/* A debt that was made here is paid when V has reached v: W_q * (v - base) <= S_q. */
	return (entity->lag >= 0 && (!moved || runq->legacy.service >= 0)) || weight == 0 ||
	       (!moved && weighted(weight, left_at(entity) - runq->base) <= runq->sum);
}

static bool join_next(struct runq *runq, struct entity *entity, bool moved, bool in_turn)
{
	bool joins;

	if (atomic_load_relaxed(&runq->count) == 0) {
		u64 now = atomic_load_relaxed(&runq->vruntime);

		adopt_apart(entity);
		place(entity, now, 0, lag_of_joining(runq, entity, now, moved), moved);
		return true;
	}
	spin_lock(&runq->lock);
	joins = !in_turn || runq_joins_in_turn(runq, entity, moved);
	if (joins)
		join(runq, entity, moved);
	spin_unlock(&runq->lock);
	return joins;
}

bool runq_join_next_general(struct runq *runq, struct entity *entity, bool moved)
{
	return join_next(runq, entity, moved, true);
}

void runq_take_over(struct runq *runq, struct entity *entity, bool moved)
{
	(void)join_next(runq, entity, moved, false);
}

/* --- leaving --------------------------------------------------------------------------------------------------------------- */

/* At most one request is owed: who waits long does not come back with more than a turn. In no sum. */
static inline void note_lag(struct entity *entity, u64 now)
{
	u64 at = entity->vruntime;
	i64 lag;

	/* What it did not pay of the debt that it came with it goes with. */
	if (unlikely(entity->owes)) {
		at = virtual_before(at, entity->paid_at) ? entity->paid_at : at;
		entity->owes = at == entity->paid_at && virtual_before(now, at);
	}
	lag = (i64)(now - at);
	entity->lag = MIN(lag, (i64)entity->request_virtual);
}

void runq_leave_locked(struct runq *runq, struct entity *entity)
{
	/* In no sum, and perhaps not current: as if it were. */
	runq_set_current(runq, entity);
	note_lag(entity, virtual_time(runq));
	runq_no_current(runq);
}

void runq_leave_slowly(struct runq *runq, struct entity *entity)
{
	MEASURE_SITE(mach_this_cpu(), scheduler_lock_site_blocking);
	spin_lock(&runq->lock);
	runq_leave_locked(runq, entity);
	spin_unlock(&runq->lock);
}

void runq_dequeue(struct runq *runq, struct entity *entity)
{
	u64 now = runq_virtual_time(runq);

	runq_take(runq, entity);
	note_lag(entity, now);
	entity->goes_on = true;
}

/* --- choosing -------------------------------------------------------------------------------------------------------------- */

struct entity *runq_pick_general(struct runq *runq)
{
	struct entity *entity = runq_best(runq);

	if (likely(entity != NULL))
		runq_remove_general(runq, entity);
	return entity;
}

struct entity *runq_yield_general(struct runq *runq, struct entity *current)
{
	struct entity *next;

	runq_no_current(runq);
	next = runq_best(runq);
	runq_take(runq, next);
	yield_to(current, next);
	runq_requeue(runq, current);
	return next;
}

bool runq_preempts(const struct runq *runq, const struct entity *current)
{
	const struct entity *entity;

	if (atomic_load_relaxed(&runq->count) == 0)
		return false;
	if (request_is_over(current))
		return true;
	entity = runq_best(runq);
	return entity != NULL && is_well_before(entity, current);
}

/* --- stealing -------------------------------------------------------------------------------------------------------------- */

/* The first of the first few that may run on `cpu`, or, with NULL, on any. */
static struct entity *first_for(const struct runq *runq, const struct cpu *cpu)
{
	struct entity *entity = fair_tree_first(&runq->tree);

	for (int i = 0; entity != NULL && i < STEAL_SCAN_MAX; i++) {
		u64 affinity = shared_load_relaxed(&entity->affinity);

		if (cpu != NULL ? affinity_allows(affinity, cpu) : affinity == AFFINITY_ANY)
			return entity;
		entity = fair_tree_next(entity);
	}
	return NULL;
}

struct entity *runq_steal(struct runq *runq, const struct cpu *thief)
{
	struct entity *entity = first_for(runq, thief);

	if (entity != NULL)
		runq_dequeue(runq, entity);
	return entity;
}

bool runq_may_move(const struct runq *runq, const struct cpu *thief)
{
	return first_for(runq, thief) != NULL;
}

/* --- verification ---------------------------------------------------------------------------------------------------------- */

void runq_verify(const struct runq *runq)
{
	u32 count = fair_tree_verify(&runq->tree);
	__int128 sum = 0;
	u64 weight = 0;

	for (const struct entity *e = fair_tree_first(&runq->tree); e != NULL; e = fair_tree_next(e)) {
		KVERIFY(atomic_load_relaxed(&e->owner) == OWNER_QUEUE);
		KVERIFY(e->weight >= 1 && e->weight <= CAPOS_WEIGHT_MAX);
		KVERIFY(!request_is_over(e));
		weight += e->weight;
		sum += weighted(e->weight, e->vruntime - runq->base);
	}
	KVERIFY(count == atomic_load_relaxed(&runq->count));
	KVERIFY(weight == atomic_load_relaxed(&runq->weight)); /* RQ3 */
	KVERIFY(count == 0 || sum == runq->sum);
}
