/* SPDX-License-Identifier: MIT */
/*
 * EEVDF: earliest eligible virtual deadline first (Stoica and Abdel-Wahab, 1995).
 *
 * Eligible is who is not ahead of its share: v <= V. Of those the one with the earliest deadline runs, until its request is used up
 * or one wakes that is eligible and has an earlier one. Of those that compete one is always eligible, since not all can be
 * above their mean. What a sleeper was owed (its lag) it is owed when it comes back.
 */
#include "runq.h"

/* Apart: it needs registers that the short way does not. */
static __attribute__((noinline)) struct entity *search(const struct runq *runq)
{
	return fair_tree_first_until(&runq->tree, runq_virtual_time(runq));
}

struct entity *eevdf_best(const struct runq *runq)
{
	struct entity *first = fair_tree_first(&runq->tree);

	/* The least v of those that compete is not above their mean: no need to know it. */
	if (first == NULL || (first->vruntime == runq->tree.root->node.min_vruntime &&
			      (atomic_load_relaxed(&runq->current_weight) == 0 ||
			       !virtual_before(atomic_load_relaxed(&runq->vruntime), first->vruntime))))
		return first;
	/* Of two that is the current one's. */
	if (atomic_load_relaxed(&runq->count) == 1)
		return NULL;
	return search(runq);
}

i64 eevdf_lag_kept(i64 lag)
{
	return lag;
}
