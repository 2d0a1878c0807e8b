/* SPDX-License-Identifier: MIT */
/* LINK: kernel/sched/refill.c */
/*
 * Refills against their definition: the instant of each single nanosecond of service is kept, and each pair of them is looked at.
 * Budgets are of a few ns there, so that all of it can be: RF1 to RF4.
 */
#include <kernel/refill.h>

#include <kernel/debug.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define MS 1000000ull
#define SERVED_MAX 20000

static uint64_t seed;
static uint64_t served[SERVED_MAX]; /* instants */
static size_t served_count;

void panic(const char *format, ...)
{
	print_error("%s\n", format);
	abort();
}

static uint64_t draw(uint64_t below)
{
	seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
	return seed % below;
}

static void serve(struct refills *refills, uint64_t at, uint64_t amount)
{
	refills_use(refills, at, amount);
	refills_verify(refills);
	for (uint64_t i = 0; i < amount && served_count < SERVED_MAX; i++)
		served[served_count++] = at + i;
}

/*
 * A history: runs that end early, in pieces with interruptions between them, waits of all lengths, overruns up to `overrun`.
 * Returns when it ended.
 */
static uint64_t history(struct refills *refills, uint64_t overrun)
{
	uint64_t now = draw(1000), wait = 1 + refills->period_ns / (1 + draw(8));

	served_count = 0;
	while (served_count < SERVED_MAX) {
		uint64_t allowed = refills_begin(refills, now);

		refills_verify(refills);
		if (allowed == 0) {
			assert_true(refills_next_ns(refills) > now);
			now = refills_next_ns(refills) + (draw(3) == 0 ? draw(refills->period_ns * 2) : 0);
			continue;
		}
		assert_true(allowed <= refills_available_ns(refills, now) || refills->kind == REFILL_SPORADIC);
		if (draw(2) == 0)
			allowed = 1 + draw(allowed);
		else
			allowed += draw(overrun + 1);
		while (allowed > 0) {
			uint64_t piece = draw(2) == 0 ? allowed : 1 + draw(allowed);

			serve(refills, now, piece);
			now += piece;
			allowed -= piece;
			if (allowed > 0 && draw(4) == 0)
				now += draw(refills->budget_ns); /* an interrupt, which is not charged */
		}
		if (draw(2) == 0)
			now += draw(wait);
	}
	return now;
}

static void many(enum refill_kind kind, void (*check)(const struct refills *refills, uint64_t overrun))
{
	for (int i = 0; i < 300; i++) {
		struct refills refills;
		uint64_t budget = 1 + draw(60), period = budget + draw(300),
			 overrun = draw(4) == 0 ? 1 + draw(20) : 0;

		refills_init(&refills, kind, budget, period, draw(budget + 1), 0);
		(void)history(&refills, overrun);
		check(&refills, overrun);
	}
}

/* RF2: from each instant of service, no more than budget and overrun within a period. */
static void check_sporadic(const struct refills *refills, uint64_t overrun)
{
	for (size_t i = 0, j = refills->budget_ns + overrun; j < served_count; i++, j++)
		assert_true(served[j] - served[i] >= refills->period_ns);
}

static void sporadic(void **state)
{
	(void)state;
	many(REFILL_SPORADIC, check_sporadic);
}

/* RF3: the n-th period ends at n * period. */
static void check_periodic(const struct refills *refills, uint64_t overrun)
{
	uint64_t period = 0, count = 0;

	for (size_t i = 0; i < served_count; i++) {
		if (served[i] / refills->period_ns != period) {
			period = served[i] / refills->period_ns;
			count = 0;
		}
		count++;
		assert_true(count <= refills->budget_ns + overrun);
	}
	for (size_t i = 0, j = 2 * (refills->budget_ns + overrun); j < served_count; i++, j++)
		assert_true(served[j] - served[i] >= refills->period_ns);
}

static void periodic(void **state)
{
	(void)state;
	many(REFILL_PERIODIC, check_periodic);
}

/* RF4, for windows from each instant of service, of all lengths. */
static void check_cbs(const struct refills *refills, uint64_t overrun)
{
	for (size_t i = 0; i < served_count; i += 7) {
		for (size_t j = i; j < served_count && j < i + 2000; j++) {
			uint64_t window = served[j] - served[i] + 1;

			assert_true((j - i + 1) * refills->period_ns <=
				    (2 * refills->budget_ns + overrun) * refills->period_ns +
					    window * refills->budget_ns);
		}
	}
}

static void cbs(void **state)
{
	(void)state;
	many(REFILL_CBS, check_cbs);
}

/* Who never stops gets exactly the budget in each period: nothing is lost. */
static void spinner_gets_all(void **state)
{
	(void)state;
	for (enum refill_kind kind = 0; kind < REFILL_KINDS; kind++) {
		struct refills refills;
		uint64_t now = 0, sum = 0;

		refills_init(&refills, kind, 5 * MS, 50 * MS, 1, 0);
		for (int period = 0; period < 200; period++) {
			uint64_t begin = now, in_period = 0, allowed;

			while ((allowed = refills_begin(&refills, now)) != 0) {
				uint64_t tick = 1 + draw(4 * MS), piece = MIN(allowed, tick);

				refills_use(&refills, now, piece);
				refills_verify(&refills);
				now += piece;
				in_period += piece;
			}
			assert_int_equal(in_period, 5 * MS);
			sum += in_period;
			now = refills_next_ns(&refills);
			assert_int_equal(now, begin + 50 * MS);
		}
		assert_int_equal(sum, 200 * 5 * MS);
	}
}

/* A debt is paid by the next refill, and once. */
static void debt(void **state)
{
	(void)state;
	for (enum refill_kind kind = 0; kind < REFILL_KINDS; kind++) {
		struct refills refills;
		uint64_t now;

		refills_init(&refills, kind, 1000, 10000, 100, 0);
		assert_int_equal(refills_begin(&refills, 0), 1000);
		refills_use(&refills, 0, 1200);
		refills_verify(&refills);
		assert_int_equal(refills_begin(&refills, 1200), 0);
		now = refills_next_ns(&refills);
		assert_in_range(now, 10000, 10200);
		assert_int_equal(refills_begin(&refills, now), 800);
		refills_use(&refills, now, 800);
		now = refills_next_ns(&refills);
		if (kind == REFILL_SPORADIC) {
			assert_int_equal(refills_begin(&refills, now), 1000);
		} else {
			assert_in_range(now, 20000, 20200);
			assert_int_equal(refills_begin(&refills, now), 1000);
		}
	}
}

/* A machine that stood still owes whole budgets: as if each had been used apart. */
static void stood_still(void **state)
{
	struct refills refills;

	(void)state;
	for (enum refill_kind kind = 0; kind < REFILL_KINDS; kind++) {
		refills_init(&refills, kind, 1000, 10000, 100, 0);
		assert_int_equal(refills_begin(&refills, 0), 1000);
		refills_use(&refills, 0, 3500);
		refills_verify(&refills);
		assert_int_equal(refills_begin(&refills, 9999), 0);
		assert_int_equal(refills_begin(&refills, 1000000), 1000);
		/* For longer than a period: 35 budgets are 35 periods. */
		refills_init(&refills, kind, 1000, 10000, 100, 0);
		refills_use(&refills, 0, 35000);
		refills_verify(&refills);
		assert_int_equal(refills_begin(&refills, 349999), 0);
		assert_int_equal(refills_begin(&refills, 350000), 1000);
	}
	refills_init(&refills, REFILL_SPORADIC, 1000, 10000, 100, 0);
	refills_use(&refills, 0, 3500);
	assert_int_equal(refills_next_ns(&refills), 30500);
}

/* The ninth piece: none comes sooner, the last two are one. */
static void ninth_piece(void **state)
{
	struct refills refills;
	uint64_t now = 0;

	(void)state;
	refills_init(&refills, REFILL_SPORADIC, 10000, 1000000, 1, 0);
	for (int i = 0; i < 20; i++) {
		assert_true(refills_begin(&refills, now) > 0);
		refills_use(&refills, now, 100);
		refills_verify(&refills);
		assert_true(refills.count <= REFILLS_MAX);
		now += 1000;
	}
	assert_int_equal(refills.count, REFILLS_MAX);
	assert_int_equal(refills_available_ns(&refills, 999999), 8000);
	/* Six pieces are at their times; the other fourteen end with the last one. */
	assert_int_equal(refills_available_ns(&refills, 1005000), 8600);
	assert_int_equal(refills_available_ns(&refills, 1019100 - 1400 - 1), 8600);
	assert_int_equal(refills_available_ns(&refills, 1019000), 10000);
}

/* What interrupts take from the middle of a burst does not break the next one, which is later by that. A longer break stays. */
static void short_breaks(void **state)
{
	struct refills refills;
	uint64_t now = 0;

	(void)state;
	refills_init(&refills, REFILL_SPORADIC, 10000, 1000000, 100, 0);
	for (int i = 0; i < 20; i++) {
		assert_true(refills_begin(&refills, now) > 0);
		refills_use(&refills, now, 500);
		now += 599;
	}
	refills_verify(&refills);
	assert_int_equal(refills_begin(&refills, now), 0);
	assert_int_equal(refills_next_ns(&refills), 1000000 + 19 * 99);
	assert_int_equal(refills_begin(&refills, 1000000 + 19 * 99), 10000);

	refills_init(&refills, REFILL_SPORADIC, 10000, 1000000, 100, 0);
	refills_use(&refills, 0, 5000);
	refills_use(&refills, 5100, 5000);
	assert_int_equal(refills_begin(&refills, 1000000), 5000);

	/* The head, in use, is not put off. */
	refills_init(&refills, REFILL_SPORADIC, 10000, 10050, 100, 0);
	refills_use(&refills, 0, 4000);
	assert_int_equal(refills_begin(&refills, 4000), 6000);
}

/* Change smaller than the least piece waits for the next refill; nothing of that is late. */
static void small_change(void **state)
{
	struct refills refills;

	(void)state;
	refills_init(&refills, REFILL_SPORADIC, 1000, 10000, 100, 0);
	(void)refills_begin(&refills, 0);
	refills_use(&refills, 0, 950);
	assert_int_equal(refills_begin(&refills, 960), 0);
	assert_int_equal(refills_next_ns(&refills), 10000 - 50);
	assert_int_equal(refills_begin(&refills, 9950), 1000);
	/* The least piece itself is none. */
	refills_init(&refills, REFILL_SPORADIC, 1000, 10000, 100, 0);
	refills_use(&refills, 0, 900);
	assert_int_equal(refills_begin(&refills, 900), 100);
}

/* Half of the budget is left: it is whole again as soon as half of the period is, not a nanosecond before. */
static void cbs_begins_anew(void **state)
{
	struct refills refills;

	(void)state;
	refills_init(&refills, REFILL_CBS, 1000, 10000, 100, 0);
	refills_use(&refills, 0, 500);
	assert_int_equal(refills_begin(&refills, 4999), 500);
	assert_int_equal(refills_next_ns(&refills), 10000);
	assert_int_equal(refills_begin(&refills, 5000), 1000);
	assert_int_equal(refills_next_ns(&refills), 15000);
}

/* At the ends of the numbers: an hour's period, a century of uptime. */
static void far_instants(void **state)
{
	const uint64_t hour = 3600ull * 1000 * MS, century = 876600 * hour;

	(void)state;
	for (enum refill_kind kind = 0; kind < REFILL_KINDS; kind++) {
		struct refills refills;

		refills_init(&refills, kind, hour, hour, 5000, century);
		assert_int_equal(refills_begin(&refills, century), hour);
		refills_use(&refills, century, hour);
		assert_int_equal(refills_begin(&refills, century + hour), hour);
		refills_use(&refills, century + hour, hour / 2);
		refills_verify(&refills);
		assert_int_equal(refills_begin(&refills, century * 2), hour);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sporadic),	    cmocka_unit_test(periodic),	    cmocka_unit_test(cbs),
		cmocka_unit_test(spinner_gets_all), cmocka_unit_test(debt),	    cmocka_unit_test(stood_still),
		cmocka_unit_test(ninth_piece),	    cmocka_unit_test(short_breaks), cmocka_unit_test(small_change),
		cmocka_unit_test(cbs_begins_anew),  cmocka_unit_test(far_instants),
	};

	seed = 88172645463325252ull;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
