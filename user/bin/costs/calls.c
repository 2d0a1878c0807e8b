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
	struct capos_thread_page *page = self_page();
	uint64_t failures = ringq_space(page) < n;
	uint32_t ready;

	for (unsigned i = 0; i < n; i++)
		ring_fill(ringq_slot(page, i), i, caps, nop);
	ringq_publish(page, n);
	(void)ring_enter(n, CAPOS_NEVER);
	ready = ringq_ready(page);
	failures |= ready ^ n;
	for (unsigned i = 0; i < ready; i++)
		failures |= (ringq_completion(page, i)->user_data ^ i) | ringq_completion(page, i)->result;
	ringq_advance(page, ready);
	ring_failures |= failures;
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
