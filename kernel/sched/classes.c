/* SPDX-License-Identifier: MIT */
/*
 * Latency classes and parameters of entities.
 *
 *   class         request   deadline               for
 *   interactive   1 ms      start of the request   short work that must begin at once
 *   normal        4 ms      end of the request     everything else
 *   batch         16 ms     end of the request     throughput: fewer switches, later turns
 *
 * Parameters travel in one word (entity.wanted), so that they are stored and read at once.
 */
#include <kernel/thread.h>

#include "runq.h"

_Static_assert(CAPOS_WEIGHT_MAX < 1u << CAPOS_WEIGHT_BITS && CAPOS_LATENCY_CLASS_COUNT <= 1u << CAPOS_CLASS_BITS &&
		       CAPOS_REQUEST_MAX_NS < 1ull << CAPOS_REQUEST_BITS &&
		       CAPOS_WEIGHT_BITS + CAPOS_CLASS_BITS + CAPOS_REQUEST_BITS == 63,
	       "they fit one word");

static const u64 class_request_ns[CAPOS_LATENCY_CLASS_COUNT] = {
	[CAPOS_LATENCY_INTERACTIVE] = 1000000,
	[CAPOS_LATENCY_NORMAL] = 4000000,
	[CAPOS_LATENCY_BATCH] = 16000000,
};

u64 sched_class_request_ns(enum capos_latency_class latency_class)
{
	return class_request_ns[latency_class];
}

bool sched_params_are_valid(const struct sched_params *params)
{
	return params->weight >= 1 && params->weight <= CAPOS_WEIGHT_MAX &&
	       params->latency_class < CAPOS_LATENCY_CLASS_COUNT &&
	       (params->request_ns == 0 ||
		(params->request_ns >= CAPOS_REQUEST_MIN_NS && params->request_ns <= CAPOS_REQUEST_MAX_NS));
}

u64 params_pack(const struct sched_params *params)
{
	u64 request_ns = params->request_ns != 0 ? params->request_ns : class_request_ns[params->latency_class];

	return params->weight | (u64)params->latency_class << CAPOS_WEIGHT_BITS |
	       request_ns << (CAPOS_WEIGHT_BITS + CAPOS_CLASS_BITS);
}

struct sched_params params_unpack(u64 word)
{
	return (struct sched_params){
		.weight = (u32)word & ((1u << CAPOS_WEIGHT_BITS) - 1),
		.latency_class = (u32)(word >> CAPOS_WEIGHT_BITS) & ((1u << CAPOS_CLASS_BITS) - 1),
		.request_ns = (word & ~PARAMS_BEST_EFFORT) >> (CAPOS_WEIGHT_BITS + CAPOS_CLASS_BITS),
	};
}

static inline void adopt(struct entity *entity, u64 word, struct sched_params params)
{
	entity->adopted = word;
	entity->weight = params.weight;
	entity->latency_class = (u8)params.latency_class;
	entity->request_ns = params.request_ns;
	entity->request_virtual = params.request_ns * VIRTUAL_PER_NS / params.weight;
	entity->vremainder = 0;
}

static const struct sched_params new_params = { .weight = CAPOS_WEIGHT_DEFAULT,
						.latency_class = CAPOS_LATENCY_NORMAL };

void params_init(struct entity *entity)
{
	u64 word = params_pack(&new_params);

	atomic_store_relaxed(&entity->wanted, word);
	adopt(entity, word, params_unpack(word));
}

void params_adopt(struct entity *entity)
{
	u64 word = atomic_load_relaxed(&entity->wanted);
	struct sched_params params = params_unpack(word);

	if (unlikely(word & PARAMS_BEST_EFFORT)) /* next to nothing beside others, in small pieces */
		params = (struct sched_params){ 1, CAPOS_LATENCY_BATCH, CAPOS_REQUEST_MIN_NS };
	adopt(entity, word, params);
}

struct sched_params sched_get_params(const struct thread *thread)
{
	return params_unpack(atomic_load_relaxed(&shared_load_relaxed(&thread->own)->wanted));
}

void params_tell(struct cpu *cpu, struct entity *entity)
{
	struct cpu *where = atomic_load_relaxed(&entity->cpu);
	bool queued;

	if (where == NULL)
		return;
	MEASURE_SITE(cpu, scheduler_lock_site_metadata);
	spin_lock(&where->runq.lock);
	queued = fair_tree_has(&where->runq.tree, entity);
	if (queued && params_differ(entity))
		runq_adopt_queued(&where->runq, entity);
	spin_unlock(&where->runq.lock);
	if (!queued)
		sched_request(cpu, where, REQUEST_RESCHEDULE);
}

void params_take_back(struct cpu *cpu, struct entity *entity)
{
	u64 word = params_pack(&new_params);

	if (likely(atomic_load_relaxed(&entity->wanted) == word))
		return;
	atomic_store_relaxed(&entity->wanted, word);
	atomic_fence(); /* as in sched_set_params */
	params_tell(cpu, entity);
}

/* But for PARAMS_BEST_EFFORT, which is the context's. */
static void want(struct entity *entity, u64 word)
{
	u64 was = atomic_load_relaxed(&entity->wanted);

	while (!atomic_cas(&entity->wanted, was, word | (was & PARAMS_BEST_EFFORT)))
		was = atomic_load_relaxed(&entity->wanted);
}

void sched_set_params(struct cpu *cpu, struct thread *thread, const struct sched_params *params)
{
	u64 word = params_pack(params);
	struct entity *own;

	KASSERT(sched_params_are_valid(params));
	/* As in sched_set_affinity: either who lets it join, or makes it current, sees what is wanted, or that is seen in params_tell;
	 * either who replaces `own` copies it, or the new one is seen here. */
	do {
		own = shared_load_relaxed(&thread->own);
		want(own, word);
		atomic_fence();
	} while (own != shared_load_relaxed(&thread->own));
	params_tell(cpu, own);
}
