/* SPDX-License-Identifier: MIT */
/* Threads that always want to run, on CPUS CPUs: their shares against weighted max-min with one CPU per thread as the cap. */
#ifndef TESTS_SCHED_HOGS_H
#define TESTS_SCHED_HOGS_H

#include "tests/unit/sched/fakes.h"

#define HOGS_MAX 128u

static struct thread *hog[HOGS_MAX];
static u32 hog_count;

static struct thread *hog_of(u32 weight, u64 affinity)
{
	const struct sched_params params = { .weight = weight, .latency_class = CAPOS_LATENCY_NORMAL };
	struct thread *thread = thread_new(false);

	sched_set_params(on(0), thread, &params);
	thread->own->set = thread->own->affinity = affinity;
	hog[hog_count++] = thread;
	return thread;
}

static void deliver_ipis(void)
{
	for (bool again = true; again;) {
		again = false;
		for (u32 i = 0; i < CPUS; i++) {
			if (ipis[i] == 0)
				continue;
			ipis[i] = 0;
			again = true;
			(void)interrupted(i, IRQ_IPI);
		}
	}
}

static void check_places(void)
{
	for (u32 i = 0; i < CPUS; i++) {
		sched_verify(on(i));
		if (cpus[i]->current_entity != NULL)
			assert_true(affinity_allows(cpus[i]->current_entity->affinity, cpus[i]));
	}
}

/* All spin until `end_ns`; each CPU's timer fires when it is due. */
static void spin_until(u64 end_ns)
{
	for (u32 events = 0;; events++) {
		u32 next = 0;

		for (u32 i = 1; i < CPUS; i++)
			if (armed_at[i] < armed_at[next])
				next = i;
		if (armed_at[next] >= end_ns)
			break;
		(void)fires(next);
		deliver_ipis();
		if (events % 64 == 0)
			check_places();
	}
	now_ns = end_ns;
	for (u32 i = 0; i < CPUS; i++)
		sched_charge(on(i), (struct instant){ now_ns });
}

static void start_all(void)
{
	for (u32 i = 0; i < hog_count; i++)
		thread_ready(on(i % CPUS), hog[i]);
	for (u32 i = 0; i < CPUS; i++)
		(void)exits(i);
	deliver_ipis();
}

/* rate[i]: of a CPU, in the ideal system. */
static void max_min(double rate[HOGS_MAX])
{
	bool capped[HOGS_MAX] = { false }, more = true;
	double cpus_left = CPUS, weight = 0;

	for (u32 i = 0; i < hog_count; i++)
		weight += hog[i]->own->weight;
	while (more) {
		more = false;
		for (u32 i = 0; i < hog_count; i++) {
			if (capped[i] || hog[i]->own->weight * cpus_left < weight)
				continue;
			capped[i] = more = true;
			cpus_left -= 1;
			weight -= hog[i]->own->weight;
			break;
		}
	}
	for (u32 i = 0; i < hog_count; i++)
		rate[i] = capped[i] ? 1 : hog[i]->own->weight * cpus_left / weight;
}

/* The greatest error of anybody's share over `ns`, relative to its share. */
static double worst_error(u64 ns)
{
	double rate[HOGS_MAX], worst = 0;
	u64 before[HOGS_MAX];

	max_min(rate);
	for (u32 i = 0; i < hog_count; i++)
		before[i] = hog[i]->account.runtime_ns;
	spin_until(now_ns + ns);
	for (u32 i = 0; i < hog_count; i++) {
		double ideal = rate[i] * (double)ns, error = (double)(hog[i]->account.runtime_ns - before[i]) - ideal;

		error = (error < 0 ? -error : error) / ideal;
		worst = error > worst ? error : worst;
	}
	return worst;
}

static u64 balance_moves(void)
{
	u64 moves = 0;

	for (u32 i = 0; i < CPUS; i++)
		moves += cpus[i]->placed.moves[CAPOS_MIGRATION_BALANCE];
	return moves;
}

static void shares_are(const char *name, double error_max, u64 moves_per_second_max)
{
	double error = worst_error(60000 * MS);
	u64 moves = balance_moves() / 60;

	print_message("%s: worst share error %.3f %%, %lu moves per second\n", name, error * 100,
		      (unsigned long)moves);
	assert_true(error <= error_max);
	assert_true(moves <= moves_per_second_max);
}

static int begin(void **state)
{
	hog_count = 0;
	return setup(state);
}

#define SHARES(name) cmocka_unit_test_setup_teardown(name, begin, teardown)

#endif
