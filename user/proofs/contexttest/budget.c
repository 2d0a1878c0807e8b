/* SPDX-License-Identifier: MIT */
/* Budgets: how much a thread runs in each period, and what becomes of it otherwise. */
#include "contexttest.h"

#define PERIODS 50u

/* The CPU time of this thread, as its context was charged. */
static void spinner(uint64_t budget_ns, uint64_t period_ns)
{
	capos_handle context = context_made(spec_of(budget_ns, period_ns));
	uint64_t begin, end, used;

	must(scheduling_context_bind_caller_thread(context));
	begin = now_ns();
	while (now_ns() < begin + PERIODS * period_ns)
		;
	end = now_ns();
	used = context_info(context).used_ns;
	must(scheduling_context_unbind(context));
	tap_note("budget_ns=%lu period_ns=%lu span_ns=%lu used_ns=%lu", (unsigned long)budget_ns,
		 (unsigned long)period_ns, (unsigned long)(end - begin), (unsigned long)used);
	tap_ok(used <= ((end - begin) / period_ns + 1) * budget_ns,
	       "a spinner has its budget in each period, not more");
	destroy(context);
}

void test_budget(void)
{
	spinner(5 * MS, 50 * MS);
}
