/* SPDX-License-Identifier: MIT */
/* LINK: kernel/sched/runq.c kernel/sched/fair_tree.c kernel/sched/classes.c kernel/sched/policy_eevdf.c kernel/sched/policy_wfq.c kernel/sched/lock.c */
/* The laws of the fair queue, under both policies where they are the same: shares, requests, lag, weights, classes; the extremes; and
 * what EEVDF schedulers were seen to do wrong. */
#include "tests/unit/sched/runq.h"

#define HOG { .sleep_ns = 0 }

static struct cpu thief[8];

static u64 difference(u64 a, u64 b)
{
	return a > b ? a - b : b - a;
}

/* --- shares ---------------------------------------------------------------------------------------------------------------- */

/* At any instant, exactly: no two differ by more than a request, the timer's lateness added. */
static void equals_differ_by_one_request(void **state)
{
	struct actor a[5] = { 0 };

	(void)state;
	for (u32 late = 0; late < 2; late++) {
		for (u32 i = 0; i < 5; i++) {
			a[i] = (struct actor)HOG;
			make(&a[i].entity, CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, 0);
		}
		setup(NULL);
		struct machine m = machine_of(a, 5);

		m.late_ns = late * 1237;
		for (u64 end = m.now_ns + 2 * SECOND; m.now_ns < end;) {
			u64 least = ~0ull, most = 0;

			machine_run(&m, 777777);
			for (u32 i = 0; i < 5; i++) {
				least = MIN(least, a[i].service_ns);
				most = MAX(most, a[i].service_ns);
			}
			assert_true(most - least <= 4 * MS + m.late_ns);
		}
	}
}

static void equals_take_turns(void **state)
{
	struct actor a[3] = { HOG, HOG, HOG };

	(void)state;
	for (u32 i = 0; i < 3; i++)
		make(&a[i].entity, CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, 0);
	struct machine m = machine_of(a, 3);

	machine_run(&m, 2 * MS);
	for (u32 i = 0; i < 30; i++) {
		assert_ptr_equal(m.current, &a[i % 3]);
		machine_run(&m, 4 * MS);
	}
}

/* Service by weight, to a request of each, at 1 : 65,536 and between. */
static void weights_share(void **state)
{
	static const u32 weight[4] = { 1, 37, 1024, 65536 };
	struct actor a[4] = { HOG, HOG, HOG, HOG };
	u64 total = 0, all = 0;

	(void)state;
	for (u32 i = 0; i < 4; i++) {
		make(&a[i].entity, weight[i], CAPOS_LATENCY_NORMAL, 0);
		all += weight[i];
	}
	struct machine m = machine_of(a, 4);

	machine_run(&m, 600 * SECOND);
	for (u32 i = 0; i < 4; i++)
		total += a[i].service_ns;
	assert_int_equal(total, 600 * SECOND);
	for (u32 i = 0; i < 4; i++)
		assert_true(difference(a[i].service_ns, total * weight[i] / all) <= 4 * MS);
}

static void requests_are_run_to_their_end(void **state)
{
	static const u64 request[3] = { 100000, 4 * MS, 100 * MS };
	struct actor a[3] = { HOG, HOG, HOG };

	(void)state;
	for (u32 i = 0; i < 3; i++)
		make(&a[i].entity, CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, request[i]);
	struct machine m = machine_of(a, 3);

	/* Tiny requests get earlier turns, not more of them. */
	machine_run(&m, 30 * SECOND);
	for (u32 i = 0; i < 3; i++)
		assert_true(difference(a[i].service_ns, 10 * SECOND) <= 100 * MS);
	assert_true(a[2].entity.request_end - a[2].entity.vruntime <= a[2].entity.request_virtual);
}

/* --- lag ------------------------------------------------------------------------------------------------------------------- */

/* Who sleeps just before its request ends, to come back without its debt, gets no more than its half. */
static void sleep_sheds_no_debt(void **state)
{
	(void)state;
	for (u64 sleep = 1000; sleep <= 4 * MS; sleep *= 4) {
		struct actor a[2] = { { .burst_ns = 4 * MS - 1, .sleep_ns = sleep }, HOG };

		setup(NULL);
		for (u32 i = 0; i < 2; i++)
			make(&a[i].entity, CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, 0);
		struct machine m = machine_of(a, 2);

		machine_run(&m, 10 * SECOND);
		assert_true(a[0].service_ns <= a[1].service_ns + 8 * MS);
	}
}

/* After a day asleep it is owed nothing, and owes nothing. */
static void a_day_asleep_earns_nothing(void **state)
{
	struct actor a[2] = { { .burst_ns = 50 * MS, .sleep_ns = 86400 * SECOND }, HOG };
	u64 before;

	(void)state;
	for (u32 i = 0; i < 2; i++)
		make(&a[i].entity, CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, 0);
	struct machine m = machine_of(a, 2);

	machine_run(&m, SECOND);
	/* The hog's day, in charges of seconds. */
	while (m.now_ns + SECOND < a[0].wakes_ns)
		machine_run(&m, SECOND);
	a[0].burst_ns = 1000 * SECOND;
	machine_run(&m, a[0].wakes_ns - m.now_ns);
	before = a[1].service_ns;
	a[0].service_ns = 0;
	machine_run(&m, 400 * MS);
	assert_true(a[0].service_ns > 190 * MS);
	assert_true(difference(a[0].service_ns, a[1].service_ns - before) <= 204 * MS);
	runq_verify(&queue);
}

/* A lag survives leaving and joining to one unit, on this queue and on another one, among any weights. */
static void lag_is_kept(void **state)
{
	static const u32 weight[3] = { 1, 700, 65536 };

	(void)state;
	for (u32 i = 0; i < 27; i++) {
		struct entity a, b, c, d;
		i64 lag, after;

		setup(NULL);
		make(&a, weight[i % 3], CAPOS_LATENCY_NORMAL, 0);
		make(&b, weight[i / 3 % 3], CAPOS_LATENCY_NORMAL, 0);
		make(&c, weight[i / 9], CAPOS_LATENCY_NORMAL, 0);
		runq_join(&queue, &a, false);
		runq_join(&queue, &b, false);
		runq_take(&queue, &a);
		runq_set_current(&queue, &a);
		runq_charge(&queue, &a, 3 * MS);
		/* The one that waits is owed, and moves away with that. */
		runq_join(&other, &c, false);
		runq_dequeue(&queue, &b);
		lag = b.lag;
		assert_true(lag >= 0 && lag <= (i64)b.request_virtual);
		runq_join(&other, &b, true);
		after = (i64)(runq_virtual_time(&other) - b.vruntime);
		assert_in_range(after - (policy == SCHED_EEVDF ? lag : 0) + 1, 0, 2);
		/* The one that ran owes. */
		runq_requeue(&queue, &a);
		runq_no_current(&queue);
		make(&d, weight[i / 3 % 3], CAPOS_LATENCY_NORMAL, 0);
		runq_join(&queue, &d, false);
		runq_dequeue(&queue, &a);
		lag = a.lag;
		runq_join(&other, &a, true);
		after = (i64)(runq_virtual_time(&other) - a.vruntime);
		assert_in_range(after - lag + 1, 0, 2);
		verify();
	}
}

/* A debt does not become a credit by moving, nor is it forgotten: who moves to and fro gets no more than its share. */
static void migration_sheds_no_debt(void **state)
{
	struct entity a, b, c;

	(void)state;
	make(&a, CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, 0);
	make(&b, CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, 0);
	make(&c, CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, 0);
	runq_join(&queue, &a, false);
	runq_join(&queue, &b, false);
	runq_join(&other, &c, false);
	assert_ptr_equal(runq_pick(&queue), &a);
	runq_set_current(&queue, &a);
	runq_charge(&queue, &a, 4 * MS);
	assert_ptr_equal(runq_preempting(&queue, &a, false), &b);
	runq_no_current(&queue);
	runq_requeue(&queue, &a);
	runq_dequeue(&queue, &a);
	assert_true(a.lag < 0);
	runq_join(&other, &a, true);
	assert_true(virtual_before(runq_virtual_time(&other), a.vruntime));
	assert_ptr_equal(runq_pick(&other), &c);
}

/* Nor by a moment where nobody competes, asleep there or not; it is paid there as V passes. */
static void an_empty_queue_sheds_no_debt(void **state)
{
	struct entity a, b;
	i64 debt;

	(void)state;
	make(&a, CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, 100 * MS);
	make(&b, CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, 0);
	runq_join(&queue, &a, false);
	runq_join(&queue, &b, false);
	runq_take(&queue, &a);
	runq_set_current(&queue, &a);
	runq_charge(&queue, &a, 100 * MS);
	runq_leave(&queue, &a, 0);
	debt = a.lag;
	assert_true(policy == SCHED_WFQ || debt == -(i64)(50 * MS * VIRTUAL_PER_NS / CAPOS_WEIGHT_DEFAULT));
	for (u32 turn = 0; turn < 2; turn++) { /* the second time after a sleep there */
		runq_join(&other, &a, turn == 0);
		assert_ptr_equal(runq_pick(&other), &a);
		runq_set_current(&other, &a);
		runq_charge(&other, &a, 5 * MS);
		runq_leave(&other, &a, 0);
		debt += (i64)(5 * MS * VIRTUAL_PER_NS / CAPOS_WEIGHT_DEFAULT);
		assert_int_equal(a.lag, debt);
	}
	runq_join(&other, &a, false);
	assert_ptr_equal(runq_pick(&other), &a);
	runq_set_current(&other, &a);
	runq_charge(&other, &a, 60 * MS);
	runq_leave(&other, &a, 0);
	assert_int_equal(a.lag, 0);
	assert_false(a.owes);
}

/* --- births and deaths ------------------------------------------------------------------------------------------------------- */

/* It runs beside the hog, leaves at `left_ns` and ends. */
static void lives(struct entity *entity, struct entity *hog, u64 ran_ns, u64 left_ns)
{
	runq_join(&queue, entity, true);
	runq_take(&queue, entity);
	runq_set_current(&queue, entity);
	runq_charge(&queue, entity, ran_ns);
	runq_leave(&queue, entity, left_ns);
	runq_set_current(&queue, hog);
	runq_bequeath(&queue, entity);
}

static void take_hog(struct entity *hog)
{
	make(hog, CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, 0);
	runq_join(&queue, hog, false);
}

/* What one had in advance, the next one that comes owes, as service: whatever its weight. Who was here already does not. */
static void a_debt_is_taken_over(void **state)
{
	static const u32 weight[3] = { 1, 700, 65536 };

	(void)state;
	for (u32 i = 0; i < 9; i++) {
		struct entity hog, one, next, last;
		i64 owed;

		setup(NULL);
		take_hog(&hog);
		make(&one, weight[i % 3], CAPOS_LATENCY_NORMAL, 0);
		make(&next, weight[i / 3], CAPOS_LATENCY_NORMAL, 0);
		make(&last, CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, 0);
		lives(&one, &hog, 4 * MS, SECOND);
		owed = (i64)one.weight * -one.lag;
		assert_int_equal(queue.legacy.service, -owed);
		runq_join(&queue, &last, false);
		assert_int_equal(queue.legacy.service, -owed);
		next.enqueued_ns = SECOND + LAG_KEEP_NS;
		runq_join(&queue, &next, true);
		assert_in_range((i64)next.weight * -next.lag - owed, 0, next.weight);
		assert_int_equal(queue.legacy.service, 0);
		assert_in_range(next.vruntime - runq_virtual_time(&queue) + (u64)next.lag, 0, 2);
		verify();
	}
}

/* One by one, no more at a time than one of them owed. */
static void a_herd_leaves_each_its_own(void **state)
{
	struct entity hog, herd[5], heir[5];

	(void)state;
	take_hog(&hog);
	for (u32 i = 0; i < 5; i++)
		make(&herd[i], CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, 0);
	for (u32 i = 0; i < 5; i++)
		runq_join(&queue, &herd[i], false);
	for (u32 i = 0; i < 5; i++) {
		runq_take(&queue, &herd[i]);
		runq_set_current(&queue, &herd[i]);
		runq_charge(&queue, &herd[i], 4 * MS);
		runq_leave(&queue, &herd[i], SECOND);
	}
	for (u32 i = 0; i < 5; i++)
		runq_bequeath(&queue, &herd[i]);
	for (u32 i = 0; i < 5; i++) {
		make(&heir[i], CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, 0);
		heir[i].enqueued_ns = SECOND;
		runq_join(&queue, &heir[i], true);
		assert_true(heir[i].lag < 0 && heir[i].lag >= -(i64)heir[i].request_virtual);
	}
	assert_true(queue.legacy.service > -(i64)hog.weight * (i64)hog.request_virtual);
	verify();
}

/* Who was owed leaves that too, a request at most in all. Under WFQ nothing is owed to who does not compete. */
static void a_credit_is_taken_over(void **state)
{
	struct entity hog, one[3], next, last;

	(void)state;
	take_hog(&hog);
	for (u32 i = 0; i < 3; i++) {
		make(&one[i], CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, 0);
		runq_join(&queue, &one[i], false);
	}
	runq_take(&queue, &hog);
	runq_set_current(&queue, &hog);
	runq_charge(&queue, &hog, 100 * MS);
	for (u32 i = 0; i < 3; i++) {
		runq_dequeue(&queue, &one[i]);
		runq_bequeath(&queue, &one[i]);
	}
	make(&next, CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, 0);
	make(&last, CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, 0);
	runq_join(&queue, &next, true);
	runq_join(&queue, &last, true);
	assert_int_equal(next.lag, policy == SCHED_EEVDF ? (i64)next.request_virtual : 0);
	assert_int_equal(last.lag, 0);
	verify();
}

/* After a while, and when nobody competes, nobody is owed. */
static void a_debt_is_forgotten(void **state)
{
	struct entity hog, one, next;

	(void)state;
	for (u32 i = 0; i < 2; i++) {
		setup(NULL);
		take_hog(&hog);
		make(&one, CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, 0);
		make(&next, CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, 0);
		lives(&one, &hog, 4 * MS, SECOND);
		assert_true(queue.legacy.service < 0);
		if (i == 0) {
			next.enqueued_ns = SECOND + LAG_KEEP_NS + 1;
		} else {
			runq_no_current(&queue);
			runq_take(&queue, &hog);
		}
		runq_join(&queue, &next, true);
		assert_int_equal(next.lag, 0);
		assert_int_equal(queue.legacy.service, 0);
	}
}

/* --- classes ----------------------------------------------------------------------------------------------------------------- */

/* An interactive one that uses little begins at once beside hogs, one of the others waits for the end of a request; and a greedy
 * interactive one gets its share and no more. */
static void interactive_goes_first_within_its_share(void **state)
{
	struct actor a[4] = { { .burst_ns = 50000, .sleep_ns = 3 * MS }, HOG, HOG, HOG };

	(void)state;
	make(&a[0].entity, CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_INTERACTIVE, 0);
	for (u32 i = 1; i < 4; i++)
		make(&a[i].entity, CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, 0);
	{
		struct machine m = machine_of(a, 4);

		machine_run(&m, 100 * MS);
		a[0].latency_max_ns = 0;
		machine_run(&m, 10 * SECOND);
		assert_int_equal(a[0].latency_max_ns, 0);
		a[0].sleep_ns = 0; /* now it is greedy */
		for (u32 i = 0; i < 4; i++)
			a[i].service_ns = 0;
		machine_run(&m, 20 * SECOND);
		assert_true(a[0].service_ns <= 5 * SECOND + 5 * MS);
		assert_true(a[0].service_ns >= 5 * SECOND - 5 * MS);
	}
}

static void batch_switches_less(void **state)
{
	u64 switches[CAPOS_LATENCY_CLASS_COUNT];

	(void)state;
	for (u32 class = 0; class < CAPOS_LATENCY_CLASS_COUNT; class ++) {
		struct actor a[3] = { HOG, HOG, HOG };

		setup(NULL);
		for (u32 i = 0; i < 3; i++)
			make(&a[i].entity, CAPOS_WEIGHT_DEFAULT, (enum capos_latency_class) class, 0);
		struct machine m = machine_of(a, 3);

		machine_run(&m, 8 * SECOND);
		switches[class] = m.switches;
	}
	assert_true(switches[CAPOS_LATENCY_NORMAL] * 3 < switches[CAPOS_LATENCY_INTERACTIVE]);
	assert_true(switches[CAPOS_LATENCY_BATCH] * 3 < switches[CAPOS_LATENCY_NORMAL]);
}

/* Who wakes `lead` ns before the current one's deadline: does it take the CPU? */
static bool woken_preempts(enum capos_latency_class class, u64 lead)
{
	struct entity current, woken;
	bool preempts;

	setup(NULL);
	make(&current, CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, 0);
	make(&woken, CAPOS_WEIGHT_DEFAULT, class, 4 * MS);
	runq_join(&queue, &current, false);
	assert_ptr_equal(runq_pick(&queue), &current);
	runq_set_current(&queue, &current);
	runq_join(&queue, &woken, false);
	current.deadline = woken.deadline + lead * VIRTUAL_PER_NS / CAPOS_WEIGHT_DEFAULT;
	preempts = runq_woken_preempts(&queue, &woken, &current);
	assert_int_equal(runq_preempts(&queue, &current), preempts); /* the same when it came by the inbox */
	assert_ptr_equal(runq_pick(&queue), &woken);
	return preempts;
}

static void nearly_due_is_no_reason_to_switch(void **state)
{
	(void)state;
	assert_false(woken_preempts(CAPOS_LATENCY_NORMAL, 2 * MS));
	assert_true(woken_preempts(CAPOS_LATENCY_NORMAL, 2 * MS + 1));
	assert_false(woken_preempts(CAPOS_LATENCY_INTERACTIVE, 0));
	assert_true(woken_preempts(CAPOS_LATENCY_INTERACTIVE, 1));
}

/* --- changes while it runs ----------------------------------------------------------------------------------------------------- */

/* The service that it is owed stays, queued or current, and everybody else's. */
static void a_new_weight_keeps_the_lag(void **state)
{
	static const u32 weight[5] = { 1, 3, 1024, 40000, 65536 };

	(void)state;
	for (u32 i = 0; i < 25; i++) {
		struct entity a, b, c;
		i64 a_ns, b_ns, c_ns;

		setup(NULL);
		make(&a, weight[i % 5], CAPOS_LATENCY_NORMAL, 0);
		make(&b, CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, 0);
		make(&c, CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, 0);
		runq_join(&queue, &a, false);
		runq_join(&queue, &b, false);
		runq_join(&queue, &c, false);
		runq_take(&queue, &a);
		runq_set_current(&queue, &a);
		runq_charge(&queue, &a, 1 * MS);
		a_ns = runq_lag_ns(&queue, &a), b_ns = runq_lag_ns(&queue, &b), c_ns = runq_lag_ns(&queue, &c);
		want(&a, weight[i / 5], CAPOS_LATENCY_NORMAL, 0);
		runq_adopt_current(&queue, &a);
		want(&b, weight[i / 5], CAPOS_LATENCY_BATCH, 0);
		runq_adopt_queued(&queue, &b);
		assert_in_range(runq_lag_ns(&queue, &a) - a_ns + 3, 0, 6);
		assert_in_range(runq_lag_ns(&queue, &b) - b_ns + 3, 0, 6);
		assert_in_range(runq_lag_ns(&queue, &c) - c_ns + 3, 0, 6);
		runq_no_current(&queue);
		runq_requeue(&queue, &a);
		runq_verify(&queue);
	}
}

/* Its weight changes with every turn, and between: the share is that of the weights over the time, and nothing drifts. */
static void weight_storm(void **state)
{
	struct actor a[3] = { HOG, HOG, HOG };
	u64 before;

	(void)state;
	for (u32 i = 0; i < 3; i++)
		make(&a[i].entity, CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, 0);
	struct machine m = machine_of(a, 3);

	for (u32 i = 0; i < 100000; i++) {
		struct actor *actor = &a[i % 3];
		static const u32 weight[4] = { 1, 1024, 65536, 31 };

		machine_run(&m, 50000);
		want(&actor->entity, weight[i / 3 % 4], CAPOS_LATENCY_NORMAL, 0);
		if (m.current == actor)
			runq_adopt_current(&queue, &actor->entity);
		else
			runq_adopt_queued(&queue, &actor->entity);
		if (i % 1000 == 0)
			runq_verify(&queue);
	}
	for (u32 i = 0; i < 3; i++) {
		want(&a[i].entity, CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, 0);
		if (m.current == &a[i])
			runq_adopt_current(&queue, &a[i].entity);
		else
			runq_adopt_queued(&queue, &a[i].entity);
		assert_true(llabs(runq_lag_ns(&queue, &a[i].entity)) < (i64)(20 * MS));
	}
	before = a[0].service_ns;
	machine_run(&m, 3 * SECOND);
	assert_true(difference(a[0].service_ns - before, SECOND) < 20 * MS);
}

/* Who yields without end to one of the least weight, and of the greatest, does not drift away from it. */
static void yield_drifts_nowhere(void **state)
{
	struct entity a, b;

	(void)state;
	make(&a, CAPOS_WEIGHT_MAX, CAPOS_LATENCY_NORMAL, 0);
	make(&b, 1, CAPOS_LATENCY_NORMAL, 0);
	runq_join(&queue, &a, false);
	runq_join(&queue, &b, false);
	assert_ptr_equal(runq_pick(&queue), &a);
	runq_set_current(&queue, &a);
	for (u32 i = 0; i < 100000; i++) {
		runq_charge(&queue, &a, 1000);
		assert_ptr_equal(runq_yield(&queue, &a), &b);
		runq_set_current(&queue, &b);
		runq_charge(&queue, &b, 4 * MS);
		assert_ptr_equal(runq_preempting(&queue, &b, false), &a);
		runq_take(&queue, &a);
		runq_no_current(&queue);
		runq_requeue(&queue, &b);
		runq_set_current(&queue, &a);
		assert_true(b.vruntime - a.vruntime <= 4 * MS * VIRTUAL_PER_NS);
	}
	runq_no_current(&queue);
	runq_requeue(&queue, &a);
}

/* --- extremes ------------------------------------------------------------------------------------------------------------------ */

/* After any number of charges: w * v + remainder = K * s, to the unit. */
static void charges_lose_nothing(void **state)
{
	static const u32 weight[6] = { 1, 3, 7, 1024, 65535, 65536 };

	(void)state;
	for (u32 i = 0; i < 6; i++) {
		struct entity a;
		u64 service = 0, x = 88172645463325252ull;

		make(&a, weight[i], CAPOS_LATENCY_NORMAL, 0);
		for (u32 k = 0; k < 1000000; k++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			runq_charge(&queue, &a, x % 100000);
			service += x % 100000;
		}
		assert_true((unsigned __int128)a.vruntime * a.weight + a.vremainder ==
			    (unsigned __int128)service * VIRTUAL_PER_NS);
	}
}

/* The machine stood still for hours: nobody catches them up. */
static void a_charge_of_hours(void **state)
{
	struct entity a, b;

	(void)state;
	make(&a, 1, CAPOS_LATENCY_NORMAL, 0);
	make(&b, CAPOS_WEIGHT_MAX, CAPOS_LATENCY_NORMAL, 0);
	runq_join(&queue, &a, false);
	assert_ptr_equal(runq_pick(&queue), &a);
	runq_set_current(&queue, &a);
	runq_join(&queue, &b, false);
	runq_charge(&queue, &a, 100 * 3600 * SECOND);
	assert_int_equal(a.vruntime, CHARGE_MAX_NS * VIRTUAL_PER_NS);
	assert_ptr_equal(runq_preempting(&queue, &a, false), &b);
	runq_no_current(&queue);
	runq_requeue(&queue, &a);
	runq_verify(&queue);
	assert_ptr_equal(runq_pick(&queue), &b);
	runq_set_current(&queue, &b);
	runq_leave(&queue, &b, SECOND);
	assert_int_equal(b.lag, b.request_virtual); /* owed much more: one request is kept */
	assert_ptr_equal(runq_pick(&queue), &a);
}

/* The same turns wherever virtual time begins: across its wrap, and that of its sign. */
static void virtual_time_wraps(void **state)
{
	static const u64 begin[3] = { 0, 0 - 3000 * MS, (1ull << 63) - 3000 * MS };
	u8 turns[3][3000];

	(void)state;
	for (u32 i = 0; i < 3; i++) {
		struct actor a[6] = { HOG,
				      HOG,
				      HOG,
				      { .burst_ns = 3 * MS, .sleep_ns = 5 * MS },
				      { .burst_ns = 100000, .sleep_ns = 700000 },
				      HOG };

		setup(NULL);
		atomic_store_relaxed(&queue.vruntime, begin[i]);
		for (u32 k = 0; k < 6; k++)
			make(&a[k].entity, 1024u << (k % 3) >> (k / 3), (enum capos_latency_class)(k % 3), 0);
		struct machine m = machine_of(a, 6);

		for (u32 k = 0; k < 3000; k++) {
			machine_step(&m, m.now_ns + SECOND);
			turns[i][k] = m.current != NULL ? (u8)(m.current - a) : 99;
		}
		assert_true(i == 0 || virtual_before(begin[i], runq_virtual_time(&queue)));
		if (i == 1)
			assert_true(runq_virtual_time(&queue) < begin[i]);
	}
	assert_memory_equal(turns[0], turns[1], sizeof(turns[0]));
	assert_memory_equal(turns[0], turns[2], sizeof(turns[0]));
}

static void ten_thousand_share(void **state)
{
	const u32 count = 10000;
	struct actor *a = calloc(count, sizeof(*a));
	u64 least = ~0ull, most = 0;

	(void)state;
	for (u32 i = 0; i < count; i++)
		make(&a[i].entity, i % 2 == 0 ? 512 : 2048, CAPOS_LATENCY_NORMAL, 0);
	struct machine m = { .runq = &queue, .actors = a, .count = 0, .now_ns = SECOND };

	for (u32 i = 0; i < count; i++)
		machine_add(&m, &a[i]);
	machine_run(&m, 100000 * MS);
	runq_verify(&queue);
	for (u32 i = 0; i < count; i++) {
		u64 normalized = a[i].service_ns * (i % 2 == 0 ? 4 : 1);

		least = MIN(least, normalized), most = MAX(most, normalized);
	}
	assert_true(most - least <= 16 * MS);
	free(a);
}

/* --- stealing -------------------------------------------------------------------------------------------------------------------- */

static void steal_minds_the_pinning(void **state)
{
	struct entity e[4];

	(void)state;
	for (u32 i = 0; i < 8; i++)
		thief[i] = (struct cpu){ .id = i, .affinity_bit = 1ull << i };
	for (u32 i = 0; i < 4; i++) {
		make(&e[i], CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, 0);
		e[i].affinity = i < 3 ? 1ull << i : AFFINITY_ANY;
		if (i < 3)
			runq_join(&queue, &e[i], true);
	}
	assert_false(runq_may_move(&queue, NULL));
	assert_null(runq_steal(&queue, &thief[7]));
	assert_ptr_equal(runq_steal(&queue, &thief[2]), &e[2]);
	assert_int_equal(atomic_load_relaxed(&queue.count), 2);
	runq_join(&queue, &e[3], true);
	assert_true(runq_may_move(&queue, NULL));
	assert_ptr_equal(runq_steal(&queue, &thief[7]), &e[3]);
	assert_ptr_equal(runq_steal(&queue, &thief[0]), &e[0]);
}

/* Bounded: only the first few are looked at. */
static void steal_scan_is_bounded(void **state)
{
	struct entity pinned[8], free_one;

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(pinned); i++) {
		make(&pinned[i], CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, 0);
		pinned[i].affinity = 2;
		runq_join(&queue, &pinned[i], true);
	}
	make(&free_one, CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, 0);
	runq_join(&queue, &free_one, true);
	assert_null(runq_steal(&queue, &thief[2]));
	assert_ptr_equal(runq_pick(&queue), &pinned[0]);
	assert_ptr_equal(runq_steal(&queue, &thief[2]), &free_one);
	while (runq_pick(&queue) != NULL)
		;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(equals_differ_by_one_request),
		TEST(equals_take_turns),
		TEST(weights_share),
		TEST(requests_are_run_to_their_end),
		TEST(sleep_sheds_no_debt),
		TEST(a_day_asleep_earns_nothing),
		TEST(lag_is_kept),
		TEST(migration_sheds_no_debt),
		TEST(an_empty_queue_sheds_no_debt),
		TEST(a_debt_is_taken_over),
		TEST(a_herd_leaves_each_its_own),
		TEST(a_credit_is_taken_over),
		TEST(a_debt_is_forgotten),
		TEST(interactive_goes_first_within_its_share),
		TEST(batch_switches_less),
		TEST(nearly_due_is_no_reason_to_switch),
		TEST(a_new_weight_keeps_the_lag),
		TEST(weight_storm),
		TEST(yield_drifts_nowhere),
		TEST(charges_lose_nothing),
		TEST(a_charge_of_hours),
		TEST(virtual_time_wraps),
		TEST(ten_thousand_share),
		TEST(steal_minds_the_pinning),
		TEST(steal_scan_is_bounded),
	};
	int failed = 0;

	runq_tests_use();
	for (policy = 0; policy < SCHED_POLICIES; policy++)
		failed += cmocka_run_group_tests_name(policy == SCHED_EEVDF ? "eevdf" : "wfq", tests, NULL, NULL);
	return failed;
}
