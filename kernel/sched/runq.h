/* SPDX-License-Identifier: MIT */
/*
 * A CPU's queue, inside the room (docs/SCHEDULING.md; the fields: kernel/sched.h). What both policies have in common is here and in
 * runq.c: virtual time, joining and leaving with lag, requests, weight changes. All under runq->lock, except those that say
 * otherwise.
 */
#ifndef SCHED_RUNQ_H
#define SCHED_RUNQ_H

#include <kernel/cpu.h>
#include <kernel/debug.h>
#include <kernel/fastpath.h>
#include <kernel/sched.h>

#include "fair_tree.h"

/* --- classes.c --------------------------------------------------------------------------------------------------------- */

/* In a word of parameters: weight 1 of class batch instead, as long as this is set (SX6). No valid request has that bit. */
#define PARAMS_BEST_EFFORT (1ull << 63)
u64 params_pack(const struct sched_params *params);
struct sched_params params_unpack(u64 word);
/* The defaults, in effect. */
void params_init(struct entity *entity);
/* What is wanted is in effect: weight, class, size of requests. Virtual times are the caller's to scale. */
void params_adopt(struct entity *entity);
/* What is wanted of it was changed, and a full barrier passed: if it is queued it adopts that now, if it runs the CPU is asked; else it
 * does when it next joins. Any CPU, no lock of RANK_RUNQ or above held. */
void params_tell(struct cpu *cpu, struct entity *entity);
/* It goes on with those of a new thread, wherever it is. No context gives it others. */
void params_take_back(struct cpu *cpu, struct entity *entity);
static inline bool params_differ(const struct entity *entity)
{
	return atomic_load_relaxed(&entity->wanted) != entity->adopted;
}

/* --- policies ------------------------------------------------------------------------------------------------------------ */

/* The best of the queue; the current one, if there is any, competes. NULL: none may go before that. */
struct entity *runq_best(const struct runq *runq);
struct entity *eevdf_best(const struct runq *runq);
struct entity *wfq_best(const struct runq *runq);
/* What is left of the lag of one that joins. */
i64 eevdf_lag_kept(i64 lag);
i64 wfq_lag_kept(i64 lag);

/* --- requests -------------------------------------------------------------------------------------------------------------- */

static inline void request_begin(struct entity *entity)
{
	entity->request_end = entity->vruntime + entity->request_virtual;
	entity->deadline =
		entity->latency_class == CAPOS_LATENCY_INTERACTIVE ? entity->vruntime : entity->request_end;
}

static inline bool request_is_over(const struct entity *entity)
{
	return !virtual_before(entity->vruntime, entity->request_end);
}

/* The shortest charge after which it is over: the least s with (K * s + remainder) / w >= e - v. */
static inline u64 request_left_ns(const struct entity *entity)
{
	u64 left = entity->request_end - entity->vruntime;

	if (unlikely((i64)left <= 0))
		return 0;
	return (left * entity->weight - entity->vremainder + VIRTUAL_PER_NS - 1) >> VIRTUAL_SHIFT;
}

/* --- the queue --------------------------------------------------------------------------------------------------------------- */

void runq_init(struct runq *runq, enum sched_policy policy);
void runq_verify(const struct runq *runq);
/* One that does not compete is placed by its lag and queued. moved: it left another queue. */
static inline void runq_join(struct runq *runq, struct entity *entity, bool moved);
/* One that was picked, or is current no more, goes back. */
static inline void runq_requeue(struct runq *runq, struct entity *entity);
/* The best leaves the queue, and competes: it becomes current, or is put away by runq_leave_locked. NULL when empty. No current. */
static inline struct entity *runq_pick(struct runq *runq);
/* This one leaves the queue as by runq_pick. */
static inline void runq_take(struct runq *runq, struct entity *entity);
/* The current one gives way: it is queued, and the best of the others returned, as by runq_pick. The queue is not empty. */
static inline struct entity *runq_yield(struct runq *runq, struct entity *current);
/* A queued one leaves in the middle of its request. */
void runq_dequeue(struct runq *runq, struct entity *entity);
/* One that is in no sum leaves (it was current, or picked): its lag is noted. */
void runq_leave_locked(struct runq *runq, struct entity *entity);
/* Who should run before `current` goes on, still queued; NULL: it goes on. When its request or its slice is over it begins another
 * one. */
static inline struct entity *runq_preempting(struct runq *runq, struct entity *current, bool slice_over);
/*
 * One who woke takes the CPU when its deadline is earlier by half of its request, one of the interactive class when it is earlier at all:
 * what is nearly due at the same time is not worth a switch, and many who sleep often would switch at each wake.
 */
static inline bool is_well_before(const struct entity *woken, const struct entity *current)
{
	u64 margin = woken->latency_class == CAPOS_LATENCY_INTERACTIVE ? 0 : woken->request_virtual / 2;

	return virtual_before(woken->deadline + margin, current->deadline);
}
/* Should the CPU choose anew: some have joined. */
bool runq_preempts(const struct runq *runq, const struct entity *current);
/* The same when just `woken` has joined. */
static inline bool runq_woken_preempts(const struct runq *runq, const struct entity *woken,
				       const struct entity *current)
{
	return request_is_over(current) ||
	       (is_well_before(woken, current) && (woken->lag >= 0 || runq->policy == SCHED_WFQ));
}
/* What is wanted of a competitor comes into effect. */
void runq_adopt_current(struct runq *runq, struct entity *current);
void runq_adopt_queued(struct runq *runq, struct entity *entity);

/* By the CPU, without the lock: a blocked one is placed, to run next without being queued. False: others wait and are before it;
 * nothing changed. No current. */
MUST_CHECK static inline bool runq_join_next(struct runq *runq, struct entity *entity, bool moved);
/* The same, whoever waits. */
void runq_take_over(struct runq *runq, struct entity *entity, bool moved);
/* The two under the lock: is nobody who waits before it? It is placed, and not queued. */
bool runq_joins_in_turn(const struct runq *runq, const struct entity *entity, bool moved);
void runq_join_running(struct runq *runq, struct entity *entity, bool moved);

/* One that was blocked is to join, at `now_ns`. */
static inline void lag_forget(struct entity *entity, u64 now_ns)
{
	if (unlikely((i64)(now_ns - entity->enqueued_ns) > (i64)LAG_KEEP_NS)) {
		entity->lag = 0;
		entity->owes = false;
	}
}

/* --- queues of none and of one: no search, no sums ----------------------------------------------------------------------------- */

void runq_insert_general(struct runq *runq, struct entity *entity);
void runq_join_general(struct runq *runq, struct entity *entity, bool moved);
struct entity *runq_pick_general(struct runq *runq);
struct entity *runq_yield_general(struct runq *runq, struct entity *current);
bool runq_join_next_general(struct runq *runq, struct entity *entity, bool moved);

/* The only one queued: the queue was empty, or has one other, which goes. */
static inline void set_only(struct runq *runq, struct entity *entity)
{
	entity->sequence = runq->sequence++;
	fair_tree_set_only(&runq->tree, entity);
	runq->base = entity->vruntime;
	runq->sum = 0;
	atomic_store_relaxed(&runq->weight, (u64)entity->weight);
}

static inline void runq_requeue(struct runq *runq, struct entity *entity)
{
	if (likely(atomic_load_relaxed(&runq->count) == 0)) {
		set_only(runq, entity);
		atomic_store_relaxed(&runq->count, 1u);
	} else {
		runq_insert_general(runq, entity);
	}
}

/* The one queued is removed. */
static inline void remove_only(struct runq *runq)
{
	runq->tree.root = runq->tree.first = NULL;
	atomic_store_relaxed(&runq->weight, 0ull);
	atomic_store_relaxed(&runq->count, 0u);
}

static inline struct entity *runq_pick(struct runq *runq)
{
	struct entity *entity = runq->tree.first;

	if (likely(atomic_load_relaxed(&runq->count) == 1)) {
		remove_only(runq);
		return entity;
	}
	return runq_pick_general(runq);
}

void runq_remove_general(struct runq *runq, struct entity *entity);
static inline void runq_take(struct runq *runq, struct entity *entity)
{
	if (likely(atomic_load_relaxed(&runq->count) == 1))
		remove_only(runq);
	else
		runq_remove_general(runq, entity);
}

/*
 * Who gives way to one that is ahead of it gives up what it was owed beyond that one: else two of very different weights, of which
 * one yields all the time, would drift apart without bound.
 */
static inline void yield_to(struct entity *current, const struct entity *next)
{
	if (virtual_before(current->vruntime, next->vruntime))
		current->vruntime = next->vruntime;
	request_begin(current);
}

static inline struct entity *runq_yield(struct runq *runq, struct entity *current)
{
	struct entity *next = runq->tree.first;

	if (unlikely(atomic_load_relaxed(&runq->count) != 1))
		return runq_yield_general(runq, current);
	runq_no_current(runq);
	yield_to(current, next);
	set_only(runq, current);
	return next;
}

/* Nobody is queued, and nothing is owed, or there is nobody to owe it: it joins at V, which is v of current, or of who was. */
static inline bool joins_plainly(const struct runq *runq, const struct entity *entity)
{
	return atomic_load_relaxed(&runq->count) == 0 &&
	       (entity->lag == 0 || (entity->lag > 0 && atomic_load_relaxed(&runq->current_weight) == 0)) &&
	       !entity->goes_on && !params_differ(entity);
}

static inline void place_at(struct entity *entity, u64 vruntime)
{
	entity->vruntime = vruntime;
	request_begin(entity);
}

/* One that comes from outside takes over what others left. */
static inline bool comes_plainly(const struct runq *runq, bool moved)
{
	return likely(!moved) || runq->legacy.service == 0;
}

/* It is to be at `to`; on the way from another queue what it received stays (balance.c). */
static inline void keep_received(struct entity *entity, u64 to, bool moved)
{
	if (unlikely(moved))
		entity->shift += to - entity->vruntime;
}

static inline void join_at(struct entity *entity, u64 vruntime, bool moved)
{
	keep_received(entity, vruntime, moved);
	place_at(entity, vruntime);
}

static inline void runq_join(struct runq *runq, struct entity *entity, bool moved)
{
	if (likely(joins_plainly(runq, entity)) && comes_plainly(runq, moved)) {
		join_at(entity, atomic_load_relaxed(&runq->vruntime), moved);
		set_only(runq, entity);
		atomic_store_relaxed(&runq->count, 1u);
	} else {
		runq_join_general(runq, entity, moved);
	}
}

static inline bool runq_join_next(struct runq *runq, struct entity *entity, bool moved)
{
	if (unlikely(!joins_plainly(runq, entity)) || !comes_plainly(runq, moved))
		return runq_join_next_general(runq, entity, moved);
	join_at(entity, atomic_load_relaxed(&runq->vruntime), moved);
	return true;
}

/* Is the current one, where `entity`, queued, is? Whose v is not after that one's is eligible, too; of two the other is not. */
static inline bool current_is_eligible(const struct runq *runq, const struct entity *current,
				       const struct entity *entity)
{
	if (runq->policy == SCHED_WFQ || !virtual_before(entity->vruntime, current->vruntime))
		return true;
	return atomic_load_relaxed(&runq->count) != 1 && !virtual_before(runq_virtual_time(runq), current->vruntime);
}

static inline __attribute__((always_inline)) struct entity *runq_preempting(struct runq *runq, struct entity *current,
									    bool slice_over)
{
	struct entity *entity = runq_best(runq);

	if (!slice_over && !request_is_over(current))
		return entity != NULL && virtual_before(entity->deadline, current->deadline) ? entity : NULL;
	request_begin(current);
	/* Among all, those of equal deadlines in the order in which they began to wait. */
	if (entity != NULL && virtual_before(current->deadline, entity->deadline) &&
	    current_is_eligible(runq, current, entity))
		return NULL;
	return entity;
}

#endif
