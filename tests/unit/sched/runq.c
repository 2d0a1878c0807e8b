/* SPDX-License-Identifier: MIT */
/* LINK: kernel/sched/runq.c kernel/sched/fair_tree.c kernel/sched/classes.c kernel/sched/policy_eevdf.c kernel/sched/policy_wfq.c kernel/sched/lock.c */
/* The fair queue alone, both policies: shares by weight, requests, joining and leaving with lag, weight changes, stealing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <capos/abi.h>

#include <kernel/affinity.h>

#include "kernel/sched/runq.h"

#define MS 1000000ull
#define COUNT 8u

struct kernel kernel_state;
struct cpu *sim_cpu_record;
static struct cpu cpu_record, thief[COUNT];
static struct runq queue, other;
static struct entity e[COUNT];
static enum sched_policy policy;

void panic(const char *format, ...)
{
	fprintf(stderr, "%s\n", format);
	abort();
}
void sched_request(struct cpu *cpu, struct cpu *target, u32 request)
{
	(void)cpu, (void)target, (void)request;
}

bool affinity_allows_wide(u64 affinity, u32 id)
{
	(void)affinity, (void)id;
	return false;
}

static int setup(void **state)
{
	(void)state;
	sim_cpu_record = &cpu_record;
	memset(&queue, 0, sizeof(queue));
	memset(&other, 0, sizeof(other));
	memset(e, 0, sizeof(e));
	runq_init(&queue, policy);
	runq_init(&other, policy);
	for (u32 i = 0; i < COUNT; i++) {
		thief[i].id = i;
		thief[i].affinity_bit = 1ull << i;
		e[i].affinity = AFFINITY_ANY;
		params_init(&e[i]);
		atomic_store_relaxed(&e[i].owner, (u32)OWNER_QUEUE);
	}
	return 0;
}

static int verify(void **state)
{
	(void)state;
	runq_verify(&queue);
	runq_verify(&other);
	return 0;
}

static void set(struct entity *entity, u32 weight, u32 class, u64 request_ns)
{
	const struct sched_params params = { weight, class, request_ns };

	atomic_store_relaxed(&entity->wanted, params_pack(&params));
	if (!fair_tree_has(&queue.tree, entity))
		params_adopt(entity);
	else
		runq_adopt_queued(&queue, entity);
}

/* The best runs for ns, or (0) for its request, and gives way. */
static struct entity *run(struct runq *runq, u64 ns)
{
	struct entity *entity = runq_pick(runq), *next;

	runq_set_current(runq, entity);
	runq_charge(runq, entity, ns != 0 ? ns : request_left_ns(entity));
	next = runq_preempting(runq, entity, false);
	runq_no_current(runq);
	(void)next;
	runq_requeue(runq, entity);
	runq_verify(runq);
	return entity;
}

static void equals_take_turns(void **state)
{
	(void)state;
	for (u32 i = 0; i < 3; i++)
		runq_join(&queue, &e[i], true);
	for (u32 i = 0; i < 30; i++)
		assert_ptr_equal(run(&queue, 4 * MS), &e[i % 3]);
	assert_int_equal(atomic_load_relaxed(&queue.count), 3);
}

static void weights_share(void **state)
{
	u64 ran[2] = { 0, 0 };

	(void)state;
	set(&e[1], 3 * WEIGHT_DEFAULT, LATENCY_NORMAL, 0);
	runq_join(&queue, &e[0], true);
	runq_join(&queue, &e[1], true);
	for (u32 i = 0; i < 4000; i++)
		ran[run(&queue, 1 * MS) == &e[1]]++;
	assert_in_range(ran[0], 996, 1004);
}

static void steal_minds_the_pinning(void **state)
{
	(void)state;
	for (u32 i = 0; i < 3; i++) {
		e[i].affinity = 1ull << i;
		runq_join(&queue, &e[i], true);
	}
	assert_false(runq_may_move(&queue));
	assert_null(runq_steal(&queue, &thief[7]));
	assert_ptr_equal(runq_steal(&queue, &thief[2]), &e[2]);
	assert_int_equal(atomic_load_relaxed(&queue.count), 2);
	runq_join(&queue, &e[3], true);
	assert_true(runq_may_move(&queue));
	assert_ptr_equal(runq_steal(&queue, &thief[7]), &e[3]);
	assert_ptr_equal(runq_steal(&queue, &thief[0]), &e[0]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, verify)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(equals_take_turns),
		TEST(weights_share),
		TEST(steal_minds_the_pinning),
	};
	int failed = 0;

	for (policy = 0; policy < SCHED_POLICIES; policy++)
		failed += cmocka_run_group_tests(tests, NULL, NULL);
	return failed;
}
