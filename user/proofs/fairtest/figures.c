/* SPDX-License-Identifier: MIT */
/*
 * Long runs for figures, a line and a test each:
 *   equal N SECONDS     N equal hogs on CPU 0: most / least
 *   ratio SECONDS       two hogs on CPU 0, weights 1024 and 335 (nice 0 and 5): error of the ratio
 *   mixed N SECONDS     N hogs of mixed weights on all CPUs: worst error of a share against weighted max-min
 */
#include "fairtest.h"

/* Targets, for windows of a minute. */
#define EQUAL_PPM_MAX 1001000u
#define RATIO_PPM_MAX 500u
#define MIXED_PPM_MAX 10000u

/* In microseconds, so that it does not overflow. */
static uint64_t parts_per_million(uint64_t a_ns, uint64_t b_ns)
{
	return a_ns / 1000 * 1000000 / (b_ns / 1000);
}

static int equal(unsigned count, uint64_t span_ns)
{
	struct load loads[LOADS_MAX];
	uint64_t ratio;

	for (unsigned i = 0; i < count; i++)
		loads[i] = load_make(LOAD_HOG, 0);
	loads_start(loads, count);
	loads_measure(loads, count, span_ns);
	ratio = parts_per_million(ran_most(loads, count), ran_least(loads, count));
	print("# figure equal: %u hogs, %lu s: most/least %lu.%06lu, apart by %lu us\n", count,
	      (unsigned long)(span_ns / SECOND), (unsigned long)(ratio / 1000000), (unsigned long)(ratio % 1000000),
	      (unsigned long)((ran_most(loads, count) - ran_least(loads, count)) / 1000));
	tap_ok(ratio <= EQUAL_PPM_MAX, "equal hogs: most / least");
	loads_stop(loads, count);
	return tap_done();
}

/* Two hogs of weights 1024 and 335: their ratio's error. */
static int ratio(uint64_t span_ns)
{
	struct load loads[2] = { load_make(LOAD_HOG, 0), load_make(LOAD_HOG, 0) };
	uint64_t off;

	loads_start(loads, 2);
	must(scheduling_policy_set_weight(known.policy, loads[1].thread.id, 335));
	loads_measure(loads, 2, span_ns);
	off = parts_per_million(distance(loads[0].ran_ns / 1024, loads[1].ran_ns / 335) * 335, loads[1].ran_ns);
	print("# figure ratio: 1024 : 335, %lu s: %lu us : %lu us, error %lu ppm\n",
	      (unsigned long)(span_ns / SECOND), (unsigned long)(loads[0].ran_ns / 1000),
	      (unsigned long)(loads[1].ran_ns / 1000), (unsigned long)off);
	tap_ok(off <= RATIO_PPM_MAX, "two weights: error of the ratio");
	loads_stop(loads, 2);
	return tap_done();
}

void max_min(const uint64_t *weight, unsigned count, uint64_t cpus, uint64_t *ideal)
{
	uint64_t rest = 0;
	unsigned whole = 0;

	for (unsigned i = 0; i < count; i++)
		rest += weight[i];
	for (; whole < count && whole < cpus && weight[whole] * (cpus - whole) >= rest; whole++) {
		rest -= weight[whole];
		ideal[whole] = 1000000;
	}
	for (unsigned i = whole; i < count; i++)
		ideal[i] = weight[i] * (cpus - whole) * 1000000 / rest;
}

static int mixed(unsigned count, uint64_t span_ns)
{
	static const uint64_t usual[] = { 3121, 2501, 1991, 1586, 1277, 1024, 820, 655, 526, 423, 335 };
	struct load loads[LOADS_MAX];
	struct capos_machine_info machine = { 0 };
	uint64_t weight[LOADS_MAX] = { 0 }, ideal[LOADS_MAX], worst = 0, off_sum = 0, moves = 0, error;

	must(system_info_machine(known.system_info, &machine));
	for (unsigned i = 0; i < count; i++) {
		weight[i] = usual[i * COUNT_OF(usual) / count];
		loads[i] = load_make(LOAD_HOG, CAPOS_CPU_ANY);
		load_start(&loads[i]);
		must(scheduling_policy_set_weight(known.policy, loads[i].thread.id, weight[i]));
	}
	max_min(weight, count, machine.cpu_count, ideal);
	(void)sleep_ns(SECOND);
	loads_measure(loads, count, span_ns);
	for (unsigned i = 0; i < count; i++) {
		uint64_t wanted = ideal[i] * (plan.measured_ns / 1000) / 1000,
			 off = distance(loads[i].ran_ns, wanted);

		worst = parts_per_million(off, wanted) > worst ? parts_per_million(off, wanted) : worst;
		off_sum += off;
		moves += loads[i].after.migrations - loads[i].before.migrations;
	}
	error = parts_per_million(off_sum, plan.measured_ns * machine.cpu_count);
	print("# figure mixed: %u hogs on %u CPUs, %lu s: share error %lu ppm, worst thread %lu ppm, %lu moves\n",
	      count, machine.cpu_count, (unsigned long)(span_ns / SECOND), (unsigned long)error, (unsigned long)worst,
	      (unsigned long)moves);
	tap_ok(error <= MIXED_PPM_MAX, "mixed weights on many CPUs: error of the shares");
	loads_stop(loads, count);
	return tap_done();
}

int figures(int argc, char **argv)
{
	uint64_t first = argc > 2 ? number_of(argv[2]) : 10, second = argc > 3 ? number_of(argv[3]) : 10;
	unsigned count = (unsigned)(first < LOADS_MAX ? first : LOADS_MAX);

	must(scheduling_policy_set_latency_class(known.policy, 0, CAPOS_LATENCY_INTERACTIVE));
	tap_plan(1);
	if (argc > 1 && strcmp(argv[1], "equal") == 0)
		return equal(count, second * SECOND);
	if (argc > 1 && strcmp(argv[1], "ratio") == 0)
		return ratio(first * SECOND);
	if (argc > 1 && strcmp(argv[1], "mixed") == 0)
		return mixed(count, second * SECOND);
	print("fairtest: what is `%s`?\n", argc > 1 ? argv[1] : "");
	return 1;
}
