/* SPDX-License-Identifier: MIT */
/* LINK: kernel/sched/ kernel/time/timer.c kernel/task/wait.c kernel/task/waitlist.c kernel/cap/errors.c */
/* Shares over 64 CPUs, pairs of which share a cache: how near they come to weighted max-min, and when. */
#define CPUS 64u
#include "tests/unit/sched/hogs.h"

/* Of the worst one, in a span that begins some time after the start. */
struct look {
	u32 after_s, seconds;
	double error_max;
};

static void shares_come_to(const char *name, const struct look *spans, u32 count, u64 moves_per_second_max)
{
	u64 start_ns = now_ns;

	for (u32 i = 0; i < count; i++) {
		u64 before, moves;
		double error;

		spin_until(start_ns + spans[i].after_s * 1000 * MS);
		before = balance_moves();
		error = worst_error(spans[i].seconds * 1000 * MS);
		moves = (balance_moves() - before) / spans[i].seconds;
		print_message("%s, %u s from %u s on: worst share error %.2f %%, %lu moves per second\n", name,
			      spans[i].seconds, spans[i].after_s, error * 100, (unsigned long)moves);
		assert_true(error <= spans[i].error_max);
		assert_true(moves <= moves_per_second_max);
	}
}

static void two_each(void **state)
{
	static const u32 weights[] = { 256, 512, 1024, 2048, 4096, 3072, 335, 820, 1277 };
	static const struct look spans[] = { { 0, 5, 0.22 }, { 5, 5, 0.10 }, { 10, 10, 0.06 }, { 20, 20, 0.08 } };

	(void)state;
	for (u32 i = 0; i < 2 * CPUS; i++)
		hog_of(weights[i * 7 % ARRAY_COUNT(weights)], AFFINITY_ANY);
	start_all();
	shares_come_to("128 of mixed weights", spans, ARRAY_COUNT(spans), 200);
}

static void equal_loads_stay(void **state)
{
	static const struct look spans[] = { { 1, 10, 0.002 } };

	(void)state;
	for (u32 i = 0; i < 2 * CPUS; i++)
		hog_of(CAPOS_WEIGHT_DEFAULT, AFFINITY_ANY);
	start_all();
	shares_come_to("128 equal ones", spans, ARRAY_COUNT(spans), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { SHARES(two_each), SHARES(equal_loads_stay) };

	(void)shares_are;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
