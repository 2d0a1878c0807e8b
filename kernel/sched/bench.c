/* SPDX-License-Identifier: MIT */
/*
 * Measure builds: what the fair queue costs by the number of those queued, in the kernel's own code, at boot (capos.bench=runq;
 * tools/bench-runq). One operation: the best is picked and removed; and inserted, after it was charged its request, and the next one
 * has begun, which is not counted. Weights, classes and requests are all equal, or mixed.
 */
#include "runq.h"

#ifdef CAPOS_MEASURE

#include <kernel/mm.h>

#define OPERATIONS 20000u
#define QUEUED_MAX 10000u

static void draw_params(struct entity *entity, bool mixed, u64 *seed)
{
	static const u64 requests[4] = { 0, 0, 700000, 10000000 };
	struct sched_params params = { .weight = CAPOS_WEIGHT_DEFAULT, .latency_class = CAPOS_LATENCY_NORMAL };

	if (mixed) {
		*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
		params.weight = 15u << (*seed >> 33) % 12;
		params.latency_class = (u32)(*seed >> 40) % CAPOS_LATENCY_CLASS_COUNT;
		params.request_ns = requests[(*seed >> 50) % 4];
	}
	atomic_store_relaxed(&entity->wanted, params_pack(&params));
}

/* Everybody that is queued leaves. */
static void empty(struct runq *runq)
{
	while (runq_pick(runq) != NULL)
		;
}

/* What `expression` takes, a reading of the clock taken out. */
#define TAKES(expression)                                                                                            \
	({                                                                                                           \
		u64 begin_ = mach_clock().ns;                                                                        \
		expression;                                                                                          \
		mach_clock().ns - begin_ - clock_ns;                                                                 \
	})

static void bench(struct cpu *cpu, struct entity *entities, u32 count, bool mixed)
{
	struct runq *runq = &cpu->runq;
	u64 seed = 12345, total = 0, worst = 0, clock_ns = 0, least = ~0ull;

	for (u32 i = 0; i < count; i++) {
		draw_params(&entities[i], mixed, &seed);
		runq_join(runq, &entities[i], true);
	}
	for (u32 i = 0; i < 100; i++)
		least = MIN(least, TAKES((void)0));
	clock_ns = least;
	/* The first rounds make the queue what it is in the long run. */
	for (u32 i = 0; i < OPERATIONS + 3 * count; i++) {
		struct entity *entity;
		u64 spent = TAKES(entity = runq_pick(runq));

		runq_charge(runq, entity, request_left_ns(entity));
		request_begin(entity);
		spent += TAKES(runq_requeue(runq, entity));
		if (i < 3 * count)
			continue;
		total += spent;
		worst = MAX(worst, spent);
	}
	klog(LOG_INFO, "bench: runq queued=%u params=%s mean=%llu worst=%llu", count, mixed ? "mixed" : "equal",
	     (unsigned long long)(total / OPERATIONS), (unsigned long long)worst);
	empty(runq);
}

void runq_bench(struct cpu *cpu)
{
	static const u32 counts[] = { 1, 10, 100, 1000, QUEUED_MAX };
	struct entity *entities = frames_boot_alloc(QUEUED_MAX * sizeof(*entities));

	spin_lock(&cpu->runq.lock);
	for (u32 mixed = 0; mixed < 2; mixed++) {
		for (u32 i = 0; i < ARRAY_COUNT(counts); i++) {
			for (u32 k = 0; k < counts[i]; k++)
				entity_init(&entities[k], ENTITY_THREAD, AFFINITY_ANY);
			bench(cpu, entities, counts[i], mixed != 0);
		}
	}
	spin_unlock(&cpu->runq.lock);
}

#endif
