/* SPDX-License-Identifier: MIT */
/* LINK: kernel/sched/ kernel/time/timer.c kernel/task/wait.c kernel/task/waitlist.c kernel/cap/errors.c */
/* Shares over four CPUs against weighted max-min with one CPU per thread as the cap; moves are few; affinity holds throughout. */
#include "tests/unit/sched/hogs.h"

static void mixed_weights(void **state)
{
	static const u32 weights[] = { 256, 512, 1024, 2048, 4096, 3072, 335, 820, 1277 };

	(void)state;
	for (u32 i = 0; i < 37; i++)
		hog_of(weights[i * 7 % ARRAY_COUNT(weights)], AFFINITY_ANY);
	start_all();
	shares_are("37 of mixed weights", 0.006, 6);
}

static void one_more_than_cpus(void **state)
{
	(void)state;
	for (u32 i = 0; i < CPUS + 1; i++)
		hog_of(CAPOS_WEIGHT_DEFAULT, AFFINITY_ANY);
	start_all();
	shares_are("5 equal ones", 0.002, 40);
}

/* One CPU is all that it can use; the rest is shared by the others. */
static void one_is_capped(void **state)
{
	(void)state;
	hog_of(CAPOS_WEIGHT_MAX, AFFINITY_ANY);
	for (u32 i = 0; i < 10; i++)
		hog_of(CAPOS_WEIGHT_DEFAULT, AFFINITY_ANY);
	start_all();
	shares_are("10 beside a heavy one", 0.002, 20);
}

/* No exchange of threads makes these loads equal. */
static void loads_that_never_fit(void **state)
{
	(void)state;
	for (u32 i = 0; i < CPUS / 2; i++) {
		hog_of(2600, AFFINITY_ANY);
		hog_of(2600, AFFINITY_ANY);
		hog_of(4800, AFFINITY_ANY);
	}
	start_all();
	shares_are("26, 26, 48 twice", 0.003, 15);
}

/* Those that may not move do not keep the others from it. */
static void some_are_bound(void **state)
{
	(void)state;
	for (u32 i = 0; i < 4; i++)
		hog_of(CAPOS_WEIGHT_DEFAULT, 1);
	for (u32 i = 0; i < 12; i++)
		hog_of(CAPOS_WEIGHT_DEFAULT, AFFINITY_ANY);
	start_all();
	shares_are("4 bound to one CPU, 12 free", 0.002, 5);
}

/* Nobody moves when loads and service are equal. */
static void equal_loads_stay(void **state)
{
	(void)state;
	for (u32 i = 0; i < 2 * CPUS; i++)
		hog_of(CAPOS_WEIGHT_DEFAULT, AFFINITY_ANY);
	start_all();
	spin_until(now_ns + 1000 * MS);
	u64 before = balance_moves();
	assert_true(worst_error(10000 * MS) < 0.002);
	assert_int_equal(balance_moves(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SHARES(mixed_weights),	      SHARES(one_more_than_cpus), SHARES(one_is_capped),
		SHARES(loads_that_never_fit), SHARES(some_are_bound),	  SHARES(equal_loads_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
