/* SPDX-License-Identifier: MIT */
#include "bursts.h"

#define RATE_NS 5000000ull
#define INTERRUPT_NS 100000u /* in the host's time: longer than an interrupt takes, so that the host ran others */
#define RATE_BITS 24	     /* ns in a tick, of spans up to minutes */
#define INTERRUPT_EXACT 40u  /* instructions: longer than the way around the loop, shorter than any interrupt */

void bursts_take(struct burst *burst, unsigned count, uint64_t interrupt, uint64_t end)
{
	uint64_t last = bursts_now(), first = last, breaks = 0;
	unsigned found = 0, begun = 0; /* the first break begins the first whole burst */

	while (found < count) {
		uint64_t now = bursts_now();

		if (now - last >= end) {
			if (begun)
				burst[found++] = (struct burst){ first, last - first, last - first - breaks };
			begun = 1;
			first = now;
			breaks = 0;
		} else if (now - last > interrupt) {
			breaks += now - last;
		}
		last = now;
	}
}

void bursts_of(const char *name, uint64_t budget_ns, uint64_t period_ns, unsigned count, int exact)
{
	static struct burst burst[BURSTS_MAX];
	uint64_t first = bursts_now(), first_ns = system_now_ns(), break_ns = (period_ns - budget_ns) / 2;
	uint64_t rate, end, interrupt = INTERRUPT_EXACT;

	for (unsigned i = 0; i < count; i++)
		burst[i] = (struct burst){ 0 }; /* its pages are there */
	while (system_now_ns() - first_ns < RATE_NS)
		;
	rate = (bursts_now() - first) * 1000 / (system_now_ns() - first_ns); /* ticks in 1,000 ns */
	end = rate * break_ns / 1000;
	if (!exact)
		interrupt = rate * INTERRUPT_NS / 1000;
	bursts_take(burst, count, interrupt, end);
	rate = ((system_now_ns() - first_ns) << RATE_BITS) / (bursts_now() - first);
#define NS(ticks) (((ticks) * rate) >> RATE_BITS)
	for (unsigned i = 0; i < count; i++)
		system_print(name, first_ns + NS(burst[i].begin - first), NS(burst[i].span), NS(burst[i].ran));
#undef NS
}
