/* SPDX-License-Identifier: MIT */
/* Calls that stay in the caller's own thread: methods, errors, the ring. */
#include "costs.h"

#define WARM_UP 16u

void costs_calls(void)
{
	capos_handle stale = 0;
	uint64_t now = 0;

	must(factory_notification(known.factory, &stale));
	must(cap_table_release(known.caps, stale));
	for (unsigned i = 0; i < COST_SAMPLES; i++)
		COST_SAMPLE(null_call, (void)cap_table_nop(known.caps));
	for (unsigned i = 0; i < COST_SAMPLES; i++)
		COST_SAMPLE(timer_now, (void)timer_now(known.timer, &now));
	for (unsigned i = 0; i < COST_SAMPLES; i++)
		COST_SAMPLE(stale_call, (void)cap_table_nop(stale));
	for (unsigned i = 0; i < COST_SAMPLES; i++)
		COST_SAMPLE(wrong_type_call, (void)cap_table_nop(known.timer));
}

static uint64_t ring_failures;

/* Submits n no-operations, lets the kernel take them, reaps them. */
static void ring_round(unsigned n)
{
	struct capos_sqe entry = RING_CALL(0, cap_table, nop, known.caps, CAPOS_NEVER, 0, 0, 0, 0);
	struct capos_cqe done;

	for (unsigned i = 0; i < n; i++)
		(void)ring_submit(&entry);
	(void)ring_enter(n, CAPOS_NEVER);
	for (unsigned i = 0; i < n; i++) {
		if (!ring_reap(&done))
			break;
		ring_failures += done.result != 0;
	}
}

void costs_ring(void)
{
	for (unsigned i = 0; i < WARM_UP; i++)
		ring_round(32);
	for (unsigned i = 0; i < COST_SAMPLES; i++)
		COST_SAMPLE(ring_nop_32, ring_round(32));
	for (unsigned i = 0; i < COST_SAMPLES; i++)
		COST_SAMPLE(ring_nop_1, ring_round(1));
	if (ring_failures != 0)
		must(((struct capos_result){ CAPOS_STATUS_BAD_ARGUMENT, 0, 0 }));
}
