/* SPDX-License-Identifier: MIT */
/* LINK: kernel/sched/policy_fair.c */
/* The fair order alone: PF1, PF2, fairness by weight, credit, debts that move, steal. */
#include "tests/unit/fakes.h"

#include <capos/abi.h>
#include <kernel/sched.h>

#define MS 1000000ull
#define COUNT 8u

static struct runq queue, other;
static struct entity e[COUNT];

static int setup(void **state)
{
	(void)state;
	memset(&queue, 0, sizeof(queue));
	memset(&other, 0, sizeof(other));
	memset(e, 0, sizeof(e));
	policy_init(&queue);
	policy_init(&other);
	for (u32 i = 0; i < COUNT; i++) {
		e[i].weight = WEIGHT_DEFAULT;
		e[i].pinned_cpu = CAPOS_CPU_ANY;
		atomic_store_relaxed(&e[i].owner, (u32)OWNER_QUEUE);
	}
	return 0;
}

static int verify(void **state)
{
	(void)state;
	policy_verify(&queue);
	policy_verify(&other);
	return 0;
}

/* The best runs for ns and comes back, preempted. */
static struct entity *run(struct runq *runq, u64 ns)
{
	struct entity *entity = policy_pick(runq);

	policy_charge(runq, entity, ns);
	policy_advance(runq, entity);
	policy_enqueue(runq, entity, false, false);
	policy_verify(runq);
	return entity;
}

static void equals_take_turns(void **state)
{
	(void)state;
	for (u32 i = 0; i < 3; i++)
		policy_enqueue(&queue, &e[i], true, true);
	/* Ties in the order of arrival (PF2). */
	for (u32 i = 0; i < 30; i++)
		assert_ptr_equal(run(&queue, 4 * MS), &e[i % 3]);
	assert_int_equal(atomic_load_relaxed(&queue.count), 3);
}

static void weights_share(void **state)
{
	u64 ran[2] = { 0, 0 };

	(void)state;
	e[1].weight = 3 * WEIGHT_DEFAULT;
	policy_enqueue(&queue, &e[0], true, true);
	policy_enqueue(&queue, &e[1], true, true);
	for (u32 i = 0; i < 4000; i++)
		ran[run(&queue, 1 * MS) == &e[1]]++;
	assert_in_range(ran[0], 990, 1010);
}

static void sleep_earns_half_a_slice_at_most(void **state)
{
	(void)state;
	policy_enqueue(&queue, &e[0], true, true);
	for (u32 i = 0; i < 100; i++)
		run(&queue, 4 * MS);
	policy_enqueue(&queue, &e[1], true, false);
	assert_int_equal(e[1].vruntime, queue.min_vruntime - 2 * MS);
	/* It runs first, and until it has caught up, no longer. */
	for (u64 ran = 0; policy_pick(&queue) == &e[1]; ran += MS) {
		assert_true(ran <= 2 * MS);
		policy_charge(&queue, &e[1], MS);
		policy_enqueue(&queue, &e[1], false, false);
	}
}

/* The one that ran alone for long is not behind whoever comes then by all that time. */
static void who_comes_late_does_not_catch_up(void **state)
{
	u32 turns = 0;

	(void)state;
	policy_enqueue(&queue, &e[0], true, true);
	assert_ptr_equal(policy_pick(&queue), &e[0]);
	for (u32 i = 0; i < 1000; i++) { /* ten seconds, a tick at a time */
		policy_charge(&queue, &e[0], 10 * MS);
		policy_advance(&queue, &e[0]);
	}
	policy_enqueue(&queue, &e[1], true, true);
	policy_enqueue(&queue, &e[0], false, false);
	for (u32 i = 0; i < 100; i++)
		turns += run(&queue, 4 * MS) == &e[0];
	assert_in_range(turns, 48, 52);
}

static void virtual_time_waits_for_the_queue(void **state)
{
	(void)state;
	policy_enqueue(&queue, &e[0], true, true);
	policy_enqueue(&queue, &e[1], true, true);
	assert_ptr_equal(policy_pick(&queue), &e[0]);
	policy_charge(&queue, &e[0], 50 * MS);
	policy_advance(&queue, &e[0]);
	assert_int_equal(queue.min_vruntime, 0); /* e[1] is first */
	policy_dequeue(&queue, &e[1]);
	policy_advance(&queue, &e[0]);
	assert_int_equal(queue.min_vruntime, 50 * MS);
}

static void debts_move_along(void **state)
{
	(void)state;
	other.min_vruntime = 7000 * MS;
	policy_enqueue(&queue, &e[0], true, true);
	policy_enqueue(&queue, &e[1], true, true);
	assert_ptr_equal(policy_pick(&queue), &e[0]);
	policy_charge(&queue, &e[0], 3 * MS);
	policy_enqueue(&other, &e[0], true, true);
	assert_int_equal(e[0].vruntime, 7003 * MS);
	/* At most a slice; and who is behind starts at the queue's time. */
	policy_dequeue(&other, &e[0]);
	e[0].lead = 900 * MS;
	policy_place(&other, &e[0], true);
	assert_int_equal(e[0].vruntime, 7004 * MS);
	e[1].vruntime = 0;
	policy_dequeue(&queue, &e[1]);
	policy_place(&other, &e[1], true);
	assert_int_equal(e[1].vruntime, 7000 * MS);
}

static void preempts_with_a_gain_or_at_the_end_of_a_slice(void **state)
{
	(void)state;
	e[0].vruntime = 10 * MS;
	assert_false(policy_preempts(&queue, &e[0], true));
	e[1].vruntime = 10 * MS - 400000;
	policy_enqueue(&queue, &e[1], false, false);
	assert_false(policy_preempts(&queue, &e[0], false));
	assert_true(policy_preempts(&queue, &e[0], true));
	e[0].vruntime = 10 * MS + 200000;
	assert_true(policy_preempts(&queue, &e[0], false));
	e[0].vruntime = 9 * MS;
	assert_false(policy_preempts(&queue, &e[0], true));
}

static void yield_goes_behind_the_best_only(void **state)
{
	(void)state;
	for (u32 i = 0; i < 3; i++)
		policy_enqueue(&queue, &e[i], true, true);
	assert_ptr_equal(policy_pick(&queue), &e[0]);
	assert_ptr_equal(policy_yield(&queue, &e[0]), &e[1]);
	assert_int_equal(atomic_load_relaxed(&queue.count), 2);
	/* One that is behind already stays where it is. */
	e[1].vruntime = 5 * MS;
	assert_ptr_equal(policy_yield(&queue, &e[1]), &e[2]);
	assert_int_equal(e[1].vruntime, 5 * MS);
	assert_ptr_equal(policy_pick(&queue), &e[0]);
	/* The only one. */
	assert_ptr_equal(policy_yield(&queue, &e[0]), &e[1]);
	assert_ptr_equal(policy_pick(&queue), &e[0]);
	assert_null(policy_pick(&queue));
}

/* One call as the three that it stands for. */
static void wake_is_advance_enqueue_preempts(void **state)
{
	(void)state;
	for (u64 gain = 0; gain <= 3 * MS; gain += MS / 4) {
		for (u32 queued = 0; queued < 3; queued++) {
			struct runq general = { 0 };
			struct entity a = { .vruntime = 20 * MS, .weight = WEIGHT_DEFAULT }, b = a, at[2], to[2];
			struct entity current = { .vruntime = 20 * MS + gain, .weight = WEIGHT_DEFAULT };
			bool preempts;

			policy_init(&queue);
			queue.min_vruntime = 0, queue.sequence = 0;
			atomic_store_relaxed(&queue.count, 0u);
			policy_init(&general);
			for (u32 i = 0; i < queued; i++) {
				at[i] = to[i] = (struct entity){ .vruntime = (19 + 2 * i) * MS, .weight = 1024 };
				policy_enqueue(&queue, &at[i], false, false);
				policy_enqueue(&general, &to[i], false, false);
			}
			policy_advance(&general, &current);
			policy_enqueue(&general, &b, true, false);
			preempts = policy_preempts(&general, &current, false);
			assert_int_equal(policy_wake(&queue, &a, false, &current), preempts);
			assert_int_equal(queue.min_vruntime, general.min_vruntime);
			assert_int_equal(a.vruntime, b.vruntime);
			assert_int_equal(atomic_load_relaxed(&queue.count), queued + 1);
			assert_int_equal(policy_pick(&queue)->vruntime, policy_pick(&general)->vruntime);
			while (policy_pick(&queue) != NULL)
				;
		}
	}
}

static void steal_minds_the_pinning(void **state)
{
	(void)state;
	for (u32 i = 0; i < 3; i++) {
		e[i].pinned_cpu = i;
		policy_enqueue(&queue, &e[i], true, true);
	}
	assert_false(policy_may_move(&queue));
	assert_null(policy_steal(&queue, 7));
	assert_ptr_equal(policy_steal(&queue, 2), &e[2]);
	assert_int_equal(atomic_load_relaxed(&queue.count), 2);
	policy_enqueue(&queue, &e[3], true, true);
	assert_true(policy_may_move(&queue));
	assert_ptr_equal(policy_steal(&queue, 7), &e[3]);
	assert_ptr_equal(policy_steal(&queue, 0), &e[0]);
}

/* Bounded: only the first few are looked at. */
static void steal_scan_is_bounded(void **state)
{
	static struct entity pinned[8];

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(pinned); i++) {
		pinned[i] = (struct entity){ .weight = WEIGHT_DEFAULT, .pinned_cpu = 1 };
		atomic_store_relaxed(&pinned[i].owner, (u32)OWNER_QUEUE);
		policy_enqueue(&queue, &pinned[i], true, true);
	}
	policy_enqueue(&queue, &e[0], true, true);
	assert_null(policy_steal(&queue, 2));
	assert_ptr_equal(policy_pick(&queue), &pinned[0]);
	assert_ptr_equal(policy_steal(&queue, 2), &e[0]);
}

static void verify_finds_what_is_wrong(void **state)
{
	(void)state;
	policy_enqueue(&queue, &e[0], true, true);
	queue.min_vruntime = 100 * MS;
	expects_panic = true;
	if (setjmp(panicked) == 0) {
		policy_verify(&queue);
		fail_msg("PF1 is not checked");
	}
	expects_panic = false;
	queue.min_vruntime = 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, verify)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(equals_take_turns),
		TEST(weights_share),
		TEST(sleep_earns_half_a_slice_at_most),
		TEST(who_comes_late_does_not_catch_up),
		TEST(virtual_time_waits_for_the_queue),
		TEST(debts_move_along),
		TEST(preempts_with_a_gain_or_at_the_end_of_a_slice),
		TEST(yield_goes_behind_the_best_only),
		TEST(wake_is_advance_enqueue_preempts),
		TEST(steal_minds_the_pinning),
		TEST(steal_scan_is_bounded),
		TEST(verify_finds_what_is_wrong),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
