/* SPDX-License-Identifier: MIT */
/*
 * WFQ: weighted fair queueing over virtual runtime.
 *
 * All are eligible. The one whose request would end first by virtual time runs: F = v + K * r / w, which is its deadline. Who wakes
 * behind V starts at V, since nothing is remembered that it is owed; who is ahead stays ahead.
 */
#include "runq.h"

struct entity *wfq_best(const struct runq *runq)
{
	return fair_tree_first(&runq->tree);
}

i64 wfq_lag_kept(i64 lag)
{
	return MIN(lag, 0);
}
