/* SPDX-License-Identifier: MIT */
/*
 * How the cost of a queue's operations grows with the threads on it: the kernel's own code, compiled with a hook at every basic
 * block, which is counted. Wake (join), pick, requeue (the slice is over, and another one runs), move (leave in the middle), with 10
 * to 100,000 queued.
 *
 *   scale [--policy eevdf|wfq] [--json FILE] [--plant linear]     exit code 1: something grows faster than the logarithm
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver.h"

#define ROUNDS 4000u
#define GROWTH_MAX 1.25 /* of the cost per doubling, from one size to the next larger ones */

static unsigned long blocks;
void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void)
{
	blocks++;
}

enum operation { WAKE, PICK, REQUEUE, MOVE, OPERATIONS };
static const char *const names[OPERATIONS] = { "wake", "pick", "requeue", "move" };

struct cost {
	unsigned long count, sum, most;
};

static uint64_t random_state = 1;
static bool linear; /* a canary: as if a pick looked at many */

static uint64_t draw(uint64_t n)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return (uint64_t)(((unsigned __int128)(z ^ (z >> 31)) * n) >> 64);
}

static void note(struct cost *cost, unsigned long before)
{
	unsigned long n = blocks - before;

	cost->count++;
	cost->sum += n;
	cost->most = n > cost->most ? n : cost->most;
}

static void measure(enum drive_policy policy, uint32_t threads, struct cost cost[OPERATIONS])
{
	uint32_t current, next;
	unsigned long before;
	uint64_t now_ns = 1000000000;

	drive_init(policy, 2, threads + 1, 0);
	for (uint32_t i = 0; i <= threads; i++)
		drive_new(i, i % 3 == 0 ? 1024 : 1 + (uint32_t)draw(65536), DRIVE_NORMAL, 100000 + draw(20000000));
	for (uint32_t i = 0; i < threads; i++) {
		before = blocks;
		drive_wake(0, i, false, DRIVE_NOBODY, now_ns);
		if (i >= threads - threads / 10) /* the queue is as long as it is called */
			note(&cost[WAKE], before);
	}
	current = drive_pick(0);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		uint64_t ns = drive_slice_ns(0, current) + draw(1000);

		now_ns += ns;
		drive_charge(0, current, ns);
		before = blocks;
		next = drive_preempt(0, current, true);
		if (next != current) /* that it goes on itself is another, shorter way */
			note(&cost[REQUEUE], before);
		if (round % 4 == 0 && threads > 1) { /* it blocks, the next one is picked, it comes back */
			drive_charge(0, next, 1000);
			drive_block(0, next, now_ns);
			before = blocks;
			current = drive_pick(0);
			blocks += linear ? threads / 16 : 0;
			note(&cost[PICK], before);
			now_ns += 1000;
			before = blocks;
			drive_wake(0, next, false, current, now_ns);
			note(&cost[WAKE], before);
			if (round % 8 == 0 && threads > 2) {
				before = blocks;
				drive_move(0, 1, next);
				drive_move(1, 0, next);
				note(&cost[MOVE], before);
			}
		} else {
			current = next;
		}
	}
}

int main(int argc, char **argv)
{
	static const uint32_t sizes[] = { 10, 32, 100, 316, 1000, 3162, 10000, 31622, 100000 };
	enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };
	static struct cost cost[SIZES][OPERATIONS];
	enum drive_policy policy = DRIVE_EEVDF;
	const char *json = NULL;
	int bad = 0;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--policy") == 0)
			policy = strcmp(argv[i + 1], "wfq") == 0 ? DRIVE_WFQ : DRIVE_EEVDF;
		else if (strcmp(argv[i], "--json") == 0)
			json = argv[i + 1];
		else if (strcmp(argv[i], "--plant") == 0)
			linear = true;
	}
	printf("%s: basic blocks of the kernel's queue, mean (most)\n%8s", policy == DRIVE_WFQ ? "wfq" : "eevdf",
	       "threads");
	for (int o = 0; o < OPERATIONS; o++)
		printf(" %16s", names[o]);
	printf("\n");
	for (int s = 0; s < SIZES; s++) {
		measure(policy, sizes[s], cost[s]);
		printf("%8u", sizes[s]);
		for (int o = 0; o < OPERATIONS; o++)
			printf("   %7.1f (%4lu)", (double)cost[s][o].sum / (double)cost[s][o].count, cost[s][o].most);
		printf("\n");
	}
	/* O(log n): what a doubling adds does not rise. A fixed part makes it fall. */
	for (int o = 0; o < OPERATIONS; o++) {
		double first = 0;
		for (int s = 2; s < SIZES; s++) {
			double per = (double)cost[s][o].sum / (double)cost[s][o].count / log2(sizes[s]);
			first = s == 2 ? per : first;
			if (per > first * GROWTH_MAX) {
				printf("DEFECT: %s at %u threads costs %.1f blocks per doubling, %.1f at %u\n",
				       names[o], sizes[s], per, first, sizes[2]);
				bad = 1;
			}
		}
	}
	if (json != NULL) {
		FILE *file = fopen(json, "w");
		if (file == NULL)
			return 2;
		fprintf(file, "{\"policy\": \"%s\", \"unit\": \"basic blocks\", \"rows\": [",
			policy == DRIVE_WFQ ? "wfq" : "eevdf");
		for (int s = 0; s < SIZES; s++) {
			fprintf(file, "%s\n  {\"threads\": %u", s == 0 ? "" : ",", sizes[s]);
			for (int o = 0; o < OPERATIONS; o++)
				fprintf(file, ", \"%s\": %.2f, \"%s_most\": %lu", names[o],
					(double)cost[s][o].sum / (double)cost[s][o].count, names[o], cost[s][o].most);
			fprintf(file, "}");
		}
		fprintf(file, "\n]}\n");
		fclose(file);
	}
	return bad;
}
