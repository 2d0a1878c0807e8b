/* SPDX-License-Identifier: MIT */
/* The kernel's queues and policies, alone: kernel/sched/{fair_tree,runq,classes,policy_*}.c, without CPUs or threads. */
#include "driver.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kernel/affinity.h>
#include <kernel/sched/runq.h>

/* PLANT(x): x goes wrong now. Not every time, so that the rest of the run is as usual. */
#define PLANTS(P)                                                                                                    \
	P(pick)                                                                                                      \
	P(floor)                                                                                                     \
	P(ceiling) P(charge) P(lag) P(owed) P(weight) P(rest) P(renew) P(preempt) P(sums) P(end) P(heir) P(quits)
enum plant {
	PLANT_none,
#define P(name) PLANT_##name,
	PLANTS(P)
#undef P
};
static enum plant planted;
#define PLANT(name) (planted == PLANT_##name && ++plant_turn % 8 == 0)
static unsigned plant_turn;

static struct runq runqs[DRIVE_QUEUES];
static struct entity entities[DRIVE_ENTITIES];

void panic(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	exit(1);
}

/* What the queues call besides, on the one CPU there is. */
struct cpu *sim_cpu_record;

void spin_lock_contended(struct spinlock *lock, u32 me)
{
	(void)lock, (void)me;
	panic("a lock is held already");
}

bool affinity_allows_wide(u64 affinity, const struct cpu *cpu)
{
	(void)affinity, (void)cpu;
	panic("a queue asks where somebody may run");
}

void lock_rank_push(const struct spinlock *lock)
{
	(void)lock;
}

void lock_rank_pop(const struct spinlock *lock)
{
	(void)lock;
}

void sched_request(struct cpu *cpu, struct cpu *target, u32 request)
{
	(void)cpu, (void)target, (void)request;
	panic("a queue asks for another CPU");
}

static uint32_t number(const struct entity *entity)
{
	return entity == NULL ? DRIVE_NOBODY : (uint32_t)(entity - entities);
}

static void set_params(struct entity *entity, uint32_t weight, enum drive_class class, uint64_t request_ns)
{
	static const u32 classes[] = { CAPOS_LATENCY_INTERACTIVE, CAPOS_LATENCY_NORMAL, CAPOS_LATENCY_BATCH };
	const struct sched_params params = { weight, classes[class], request_ns };

	if (!sched_params_are_valid(&params))
		panic("the harness draws parameters that are out of bounds");
	atomic_store_relaxed(&entity->wanted, params_pack(&params));
}

void drive_init(enum drive_policy policy, uint32_t queues, uint32_t count, uint64_t virtual_start)
{
	static struct cpu here;

	sim_cpu_record = &here;
	memset(runqs, 0, sizeof(runqs));
	memset(entities, 0, count * sizeof(entities[0]));
	for (uint32_t i = 0; i < queues; i++) {
		runq_init(&runqs[i], policy == DRIVE_EEVDF ? SCHED_EEVDF : SCHED_WFQ);
		atomic_store_relaxed(&runqs[i].vruntime, virtual_start);
	}
}

void drive_new(uint32_t i, uint32_t weight, enum drive_class class, uint64_t request_ns)
{
	struct entity *entity = &entities[i];

	memset(entity, 0, sizeof(*entity));
	entity->kind = ENTITY_THREAD;
	atomic_store_relaxed(&entity->owner, (u32)OWNER_QUEUE);
	set_params(entity, weight, class, request_ns);
	params_adopt(entity);
}

bool drive_wake(uint32_t queue, uint32_t i, bool moved, uint32_t current, uint64_t now_ns)
{
	lag_forget(&entities[i], now_ns);
	entities[i].enqueued_ns = now_ns;
	if (PLANT(owed))
		entities[i].lag += 1 << 20;
	runq_join(&runqs[queue], &entities[i], moved && !PLANT(heir));
	if (entities[i].owes && PLANT(quits))
		entities[i].owes = false;
	if (PLANT(preempt))
		return false;
	return current != DRIVE_NOBODY && runq_woken_preempts(&runqs[queue], &entities[i], &entities[current]);
}

/* Somebody else than the best: the last in order (floor, pick), or the last that is eligible (ceiling). */
static struct entity *spoil_pick(struct runq *runq, struct entity *best)
{
	struct entity *other = NULL;

	if (planted != PLANT_ceiling && !PLANT(pick) && !PLANT(floor))
		return best;
	for (struct entity *at = fair_tree_first(&runq->tree); at != NULL; at = fair_tree_next(at)) {
		if (planted != PLANT_ceiling || !virtual_before(best->vruntime, at->vruntime))
			other = at;
	}
	if (other == NULL)
		return best;
	runq_take(runq, other);
	runq_requeue(runq, best);
	return other;
}

uint32_t drive_pick(uint32_t queue)
{
	struct entity *entity = runq_pick(&runqs[queue]);

	if (entity != NULL)
		entity = spoil_pick(&runqs[queue], entity);
	if (entity != NULL)
		runq_set_current(&runqs[queue], entity);
	return number(entity);
}

uint32_t drive_preempt(uint32_t queue, uint32_t current, bool slice_over)
{
	struct runq *runq = &runqs[queue];
	struct entity *entity = &entities[current], *next;
	u64 before = entity->request_end;

	next = runq_preempting(runq, entity, slice_over);
	if (next == NULL && slice_over && PLANT(renew))
		entity->request_end = before;
	if (next == NULL && planted != PLANT_ceiling)
		return current;
	if (next != NULL)
		runq_take(runq, next);
	runq_no_current(runq);
	runq_requeue(runq, entity);
	next = next != NULL ? spoil_pick(runq, next) : spoil_pick(runq, runq_pick(runq));
	runq_set_current(runq, next);
	return number(next);
}

uint64_t drive_slice_ns(uint32_t queue, uint32_t current)
{
	(void)queue;
	return request_left_ns(&entities[current]);
}

void drive_charge(uint32_t queue, uint32_t current, uint64_t ns)
{
	runq_charge(&runqs[queue], &entities[current], PLANT(charge) ? ns - ns / 4 : ns);
	if (PLANT(sums))
		runqs[queue].sum += (__int128)1 << 40;
}

uint32_t drive_yield(uint32_t queue, uint32_t current)
{
	struct entity *next;

	runq_no_current(&runqs[queue]);
	next = runq_yield(&runqs[queue], &entities[current]);
	runq_set_current(&runqs[queue], next);
	return number(next);
}

void drive_block(uint32_t queue, uint32_t current, uint64_t now_ns)
{
	runq_leave(&runqs[queue], &entities[current], now_ns);
	if (PLANT(lag))
		entities[current].lag = entities[current].lag < 0 ? 0 : -(1 << 20);
}

void drive_end(uint32_t queue, uint32_t entity)
{
	if (!PLANT(end))
		runq_bequeath(&runqs[queue], &entities[entity]);
}

struct drive_legacy drive_legacy(uint32_t queue)
{
	const struct runq_legacy *legacy = &runqs[queue].legacy;

	return (struct drive_legacy){ legacy->service, legacy->most_debt, legacy->left_ns };
}

void drive_move(uint32_t from, uint32_t to, uint32_t i)
{
	runq_dequeue(&runqs[from], &entities[i]);
	if (PLANT(rest))
		entities[i].request_end += 1 << 20;
	runq_join(&runqs[to], &entities[i], true);
}

void drive_change(uint32_t queue, uint32_t i, bool is_current, uint32_t weight, enum drive_class class,
		  uint64_t request_ns)
{
	set_params(&entities[i], weight, class, request_ns);
	if (is_current && PLANT(weight))
		params_adopt(&entities[i]);
	if (is_current)
		runq_adopt_current(&runqs[queue], &entities[i]);
	else
		runq_adopt_queued(&runqs[queue], &entities[i]);
}

struct drive_state drive_state(uint32_t i)
{
	return (struct drive_state){ entities[i].vruntime, entities[i].deadline, entities[i].request_end,
				     entities[i].owes, entities[i].paid_at };
}

uint64_t drive_virtual_time(uint32_t queue)
{
	return runq_virtual_time(&runqs[queue]);
}

void drive_plant(const char *name)
{
#define P(plant)                                                                                                     \
	if (strcmp(name, #plant) == 0)                                                                               \
		planted = PLANT_##plant;
	PLANTS(P)
#undef P
}

void drive_verify(uint32_t queue)
{
	runq_verify(&runqs[queue]);
}
