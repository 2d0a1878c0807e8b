/* SPDX-License-Identifier: MIT */
/*
 * D5 over all CPUs, by what threads ran, not by the wall clock: shares of hogs that may run anywhere, equal ones and by weight, against
 * weighted max-min. In windows of 4 spans: balancing takes its turns in steps of some 30 ms. Without balancing, 5 equal hogs on two
 * CPUs would run as 3 and 2: apart by 40 % of a share.
 */
#include "fairtest.h"

#define LONG_SPANS 4u
#define SHARE_OFF 4u /* a quarter of a share */

static uint32_t cpu_count;
static uint64_t weight[LOADS_MAX], ideal[LOADS_MAX];

static bool near_ideal(const struct load *loads, unsigned count)
{
	uint64_t sum_ns = ran_sum(loads, count);

	for (unsigned i = 0; i < count; i++) {
		/* Of what all of them ran. */
		uint64_t wanted_ns = sum_ns / cpu_count / 1000 * ideal[i] / 1000;

		if (distance(loads[i].ran_ns, wanted_ns) > wanted_ns / SHARE_OFF)
			return false;
	}
	return true;
}

/* Whatever the host does, CPUs with hogs are busy. */
static bool all_busy(const struct load *loads, unsigned count)
{
	return ran_sum(loads, count) >= plan.measured_ns * cpu_count / 10 * 9;
}

static void shares(const char *name, unsigned count)
{
	static struct load loads[LOADS_MAX];
	uint64_t moves = 0;

	for (unsigned i = 0; i < count; i++) {
		loads[i] = load_make(LOAD_HOG, CAPOS_CPU_ANY);
		load_start(&loads[i]);
		must(scheduling_policy_set_weight(known.policy, loads[i].thread.id, weight[i]));
	}
	max_min(weight, count, cpu_count, ideal);
	(void)sleep_ns(plan.span_ns);
	if (!tap_ok(loads_hold(loads, count, LONG_SPANS * plan.span_ns, near_ideal),
		    "%u hogs %s on %u CPUs: each within a quarter of its share", count, name, cpu_count))
		for (unsigned i = 0; i < count; i++)
			tap_note("weight %lu: ran %lu us of %lu", (unsigned long)weight[i],
				 (unsigned long)(loads[i].ran_ns / 1000),
				 (unsigned long)(plan.measured_ns / 1000 * ideal[i] / 1000000));
	tap_ok(loads_hold(loads, count, plan.span_ns, all_busy), "... and no CPU idles");
	for (unsigned i = 0; i < count; i++)
		moves += loads[i].after.migrations;
	tap_note("%lu moves", (unsigned long)moves);
	loads_stop(loads, count);
}

void many(void)
{
	struct capos_machine_info machine = { 0 };
	struct usage before;
	unsigned count;

	must(system_info_machine(known.system_info, &machine));
	cpu_count = machine.cpu_count;
	if (known.policy == 0 || cpu_count == 1) {
		tap_skip("shares over CPUs: one CPU, or no authority");
		return;
	}
	before = usage_now();
	count = 2 * cpu_count + 1 < LOADS_MAX ? 2 * cpu_count + 1 : LOADS_MAX;
	must(scheduling_policy_set_latency_class(known.policy, 0, CAPOS_LATENCY_INTERACTIVE));
	for (unsigned i = 0; i < count; i++)
		weight[i] = CAPOS_WEIGHT_DEFAULT;
	shares("of one weight", count);
	/* One that no CPU is too much for, then from 2 : 1 to 1 : 2. */
	for (unsigned i = 0; i < count; i++)
		weight[i] = i == 0 ? CAPOS_WEIGHT_MAX : i <= count / 3 ? 2048 : i <= 2 * count / 3 ? 1024 : 512;
	shares("of several weights", count);
	must(scheduling_policy_set_latency_class(known.policy, 0, CAPOS_LATENCY_NORMAL));
	tap_returns(before, "everything came back");
}
