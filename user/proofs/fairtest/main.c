/* SPDX-License-Identifier: MIT */
/*
 * run-thread-fairness (D3 to D6), in QEMU and in the simulator:
 *
 *   fairtest matrix MS [strict] [wfq]   TAP; windows of MS milliseconds; strict: bounds to the request (one CPU, exact time); else also
 *                                  over all CPUs: many.c
 *   fairtest storm MS              a mix drawn from the entropy, for the simulator's checkers and figures
 *   fairtest crowd N MS            N threads that begin MS milliseconds after boot, for `make sim-scale`
 *   fairtest hogs N [any]          a process of N hogs on CPU 0, or on any, until it is killed
 *   fairtest equal|ratio|mixed …   long runs, a line of figures and a test each: figures.c
 */
#include "fairtest.h"

struct plan plan;

static int hogs_until_killed(uint64_t count, uint32_t cpu)
{
	struct load loads[LOADS_MAX];

	for (uint64_t i = 0; i < count && i < LOADS_MAX; i++) {
		loads[i] = load_make(LOAD_HOG, cpu);
		load_start(&loads[i]);
	}
	(void)sleep_until_ns(CAPOS_NEVER);
	return 1;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "matrix";
	uint64_t span_ms = argc > 2 ? number_of(argv[2]) : 200;

	for (int i = 3; i < argc; i++) {
		plan.strict |= strcmp(argv[i], "strict") == 0;
		plan.wfq |= strcmp(argv[i], "wfq") == 0;
	}
	plan.span_ns = span_ms * MS;
	/* From another CPU who runs is seen as it was at the last charge: a request ago, at either end. */
	plan.slack_ns = plan.strict ? MS / 2 : 2 * REQUEST_NS;
	if (strcmp(what, "hogs") == 0)
		return hogs_until_killed(span_ms, argc > 3 ? CAPOS_CPU_ANY : 0);
	if (strcmp(what, "crowd") == 0)
		return crowd(span_ms, (argc > 3 ? number_of(argv[3]) : 0) * MS);
	if (strcmp(what, "storm") == 0)
		return storm(plan.span_ns);
	if (strcmp(what, "matrix") != 0)
		return figures(argc, argv);
	tap_plan(0);
	matrix();
	authority();
	if (!plan.strict)
		many();
	return tap_done();
}
