/* SPDX-License-Identifier: MIT */
/* What the tests of the fair queue stand on: entities by hand, and a CPU of a few lines that runs actors on a queue, without a kernel. */
#ifndef TESTS_SCHED_RUNQ_H
#define TESTS_SCHED_RUNQ_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <kernel/affinity.h>

#include "kernel/sched/runq.h"

#define MS 1000000ull
#define SECOND (1000 * MS)
#define TEST(name) cmocka_unit_test_setup(name, setup)

struct kernel kernel_state;
struct cpu *sim_cpu_record;
static struct cpu cpu_record;
static struct runq queue, other;
static enum sched_policy policy;

void panic(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	abort();
}
void sched_request(struct cpu *cpu, struct cpu *target, u32 request)
{
	(void)cpu, (void)target, (void)request;
}

bool affinity_allows_wide(u64 affinity, const struct cpu *cpu)
{
	(void)affinity, (void)cpu;
	return false;
}

static int setup(void **state)
{
	(void)state;
	sim_cpu_record = &cpu_record;
	memset(&queue, 0, sizeof(queue));
	memset(&other, 0, sizeof(other));
	runq_init(&queue, policy);
	runq_init(&other, policy);
	return 0;
}

static inline void verify(void)
{
	runq_verify(&queue);
	runq_verify(&other);
}

/* In no queue. */
static void make(struct entity *entity, u32 weight, enum capos_latency_class class, u64 request_ns)
{
	const struct sched_params params = { weight, class, request_ns };

	*entity = (struct entity){ .affinity = AFFINITY_ANY };
	atomic_store_relaxed(&entity->wanted, params_pack(&params));
	params_adopt(entity);
	atomic_store_relaxed(&entity->owner, (u32)OWNER_QUEUE);
}

static void want(struct entity *entity, u32 weight, enum capos_latency_class class, u64 request_ns)
{
	const struct sched_params params = { weight, class, request_ns };

	atomic_store_relaxed(&entity->wanted, params_pack(&params));
}

/* Runs burst_ns, sleeps sleep_ns, again; sleep_ns 0: a hog. */
struct actor {
	struct entity entity;
	u64 burst_ns, sleep_ns;
	u64 left_ns, wakes_ns; /* wakes_ns 0: it competes */
	u64 service_ns, latency_max_ns, ready_ns;
};

struct machine {
	struct runq *runq;
	struct actor *actors;
	u32 count;
	struct actor *current;
	u64 now_ns, switches;
	u64 late_ns; /* timers expire that late */
};

static void machine_choose(struct machine *m, struct actor *next)
{
	u64 waited;

	m->current = next;
	if (next == NULL)
		return;
	runq_set_current(m->runq, &next->entity);
	m->switches++;
	waited = m->now_ns - next->ready_ns;
	next->latency_max_ns = MAX(next->latency_max_ns, waited);
}

static struct actor *actor_of(struct entity *entity)
{
	return entity != NULL ? container_of(entity, struct actor, entity) : NULL;
}

/* Dispatch: current goes on, or who should run before it. */
static void machine_look(struct machine *m)
{
	struct entity *next;

	if (m->current == NULL) {
		machine_choose(m, actor_of(runq_pick(m->runq)));
		return;
	}
	next = runq_preempting(m->runq, &m->current->entity, false);
	if (next == NULL)
		return;
	runq_take(m->runq, next);
	runq_no_current(m->runq);
	m->current->ready_ns = m->now_ns;
	runq_requeue(m->runq, &m->current->entity);
	machine_choose(m, actor_of(next));
}

static void machine_wake(struct machine *m, struct actor *actor)
{
	struct entity *current = m->current != NULL ? &m->current->entity : NULL;

	actor->wakes_ns = 0;
	actor->ready_ns = m->now_ns;
	actor->left_ns = actor->burst_ns;
	lag_forget(&actor->entity, m->now_ns);
	runq_join(m->runq, &actor->entity, false);
	if (current != NULL && runq_woken_preempts(m->runq, &actor->entity, current))
		machine_look(m);
}

static void machine_add(struct machine *m, struct actor *actor)
{
	actor->entity.enqueued_ns = m->now_ns;
	machine_wake(m, actor);
}

/* To the next event, or to `end_ns`. */
static void machine_step(struct machine *m, u64 end_ns)
{
	u64 next_ns = end_ns, ran_ns;

	if (m->current == NULL)
		machine_look(m);
	for (u32 i = 0; i < m->count; i++)
		if (m->actors[i].wakes_ns != 0)
			next_ns = MIN(next_ns, m->actors[i].wakes_ns);
	if (m->current != NULL) {
		if (m->current->sleep_ns != 0)
			next_ns = MIN(next_ns, m->now_ns + m->current->left_ns);
		if (atomic_load_relaxed(&m->runq->count) != 0)
			next_ns = MIN(next_ns, m->now_ns + request_left_ns(&m->current->entity) + m->late_ns);
	}
	ran_ns = next_ns - m->now_ns;
	m->now_ns = next_ns;
	if (m->current != NULL) {
		struct actor *current = m->current;

		current->service_ns += ran_ns;
		runq_charge(m->runq, &current->entity, ran_ns);
		if (current->sleep_ns != 0 && (current->left_ns -= ran_ns) == 0) {
			current->wakes_ns = m->now_ns + current->sleep_ns;
			runq_leave(m->runq, &current->entity, m->now_ns);
			m->current = NULL;
		} else if (request_is_over(&current->entity)) {
			machine_look(m);
		}
	}
	for (u32 i = 0; i < m->count; i++)
		if (m->actors[i].wakes_ns == m->now_ns)
			machine_wake(m, &m->actors[i]);
}

static inline void machine_run(struct machine *m, u64 for_ns)
{
	u64 end_ns = m->now_ns + for_ns;

	while (m->now_ns < end_ns)
		machine_step(m, end_ns);
	if (m->count < 100)
		verify();
}

/* Every actor begins now. */
static inline struct machine machine_of(struct actor *actors, u32 count)
{
	struct machine m = { .runq = &queue, .actors = actors, .count = count, .now_ns = SECOND };

	for (u32 i = 0; i < count; i++)
		machine_add(&m, &actors[i]);
	return m;
}

static inline void runq_tests_use(void)
{
	(void)want, (void)machine_run, (void)policy;
}

#endif
