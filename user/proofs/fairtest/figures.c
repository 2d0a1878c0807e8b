/* SPDX-License-Identifier: MIT */
/*
 * Long runs for figures, a line each:
 *   equal N SECONDS     N equal hogs on CPU 0: most / least
 *   ratio SECONDS       two hogs on CPU 0, weights 1024 and 335 (nice 0 and 5): error of the ratio
 *   mixed N SECONDS     N hogs of mixed weights on all CPUs: worst error of a share against weighted max-min
 */
#include "fairtest.h"

/* In microseconds, so that it does not overflow. */
static uint64_t parts_per_million(uint64_t a_ns, uint64_t b_ns)
{
	return a_ns / 1000 * 1000000 / (b_ns / 1000);
}

static int equal(uint64_t count, uint64_t span_ns)
{
	struct load loads[LOADS_MAX];
	uint64_t ratio;

	for (uint64_t i = 0; i < count; i++)
		loads[i] = load_make(LOAD_HOG, 0);
	loads_start(loads, (unsigned)count);
	loads_measure(loads, (unsigned)count, span_ns);
	ratio = parts_per_million(ran_most(loads, (unsigned)count), ran_least(loads, (unsigned)count));
	print("figure equal: %lu hogs, %lu s: most/least %lu.%06lu, apart by %lu us\n", (unsigned long)count,
	      (unsigned long)(span_ns / SECOND), (unsigned long)(ratio / 1000000), (unsigned long)(ratio % 1000000),
	      (unsigned long)((ran_most(loads, (unsigned)count) - ran_least(loads, (unsigned)count)) / 1000));
	loads_stop(loads, (unsigned)count);
	return 0;
}

int figures(int argc, char **argv)
{
	uint64_t first = argc > 2 ? number_of(argv[2]) : 10, second = argc > 3 ? number_of(argv[3]) : 10;

	if (argc > 1 && strcmp(argv[1], "equal") == 0)
		return equal(first < LOADS_MAX ? first : LOADS_MAX, second * SECOND);
	print("fairtest: what is `%s`?\n", argc > 1 ? argv[1] : "");
	return 1;
}
