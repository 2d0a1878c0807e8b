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

/* Submits n no-operations, lets the kernel take them, reaps them: as one does it with liburing. */
static void ring_round(unsigned n)
{
	const uint64_t nop = CAPOS_METHOD_WORD(cap_table, nop, 0);
	const capos_handle caps = known.caps;
	uint32_t ready;

	ring_failures += ring_space() < n;
	for (unsigned i = 0; i < n; i++)
		ring_fill(ring_slot(i), i, caps, nop);
	ring_publish(n);
	(void)ring_enter(n, CAPOS_NEVER);
	ready = ring_ready();
	ring_failures += ready != n;
	for (unsigned i = 0; i < ready; i++)
		ring_failures += ring_completion(i)->user_data != i || ring_completion(i)->result != 0;
	ring_advance(ready);
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
