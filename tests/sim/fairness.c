/* SPDX-License-Identifier: MIT */
/*
 * Checker: fairness (D1, D2, D5), and the figures of `make sim-fairness`.
 *
 *   choice      who is chosen has v <= V (EEVDF), and nobody who has goes before it by deadline; formed anew from the tree, in
 *               exact integers, at each choice (observe_choice, under the queue's lock)
 *   starvation  nobody is runnable for longer than (W / w)·(2·r + q) + r_max + n·(q + r_max) of docs/SCHEDULING.md, with what was the
 *               highest W and n on its CPU while it had a queue, and a turn for each thread that was born meanwhile: no more than
 *               twice n of them, since those that come after that owe what those before them had
 *   lag         on no queue is anybody ahead by more than its request, q and what all others may have taken by joining and leaving
 *
 * With CAPOS_SIM_FAIRNESS=FILE in the environment a line of figures is appended to FILE at the end: share error against weighted
 * max-min over the CPUs (one CPU per thread as the cap), worst lag, wake-up latencies, switches, migrations.
 */
#include <kernel/cpu.h>
#include <kernel/process.h>
#include <kernel/state.h>
#include <sim/checker.h>

#include <stdio.h>
#include <stdlib.h>

#include "../../kernel/sched/fair_tree.h"
#include "equals.h"
#include "lateness.h"
#include "plant.h"
#include "shares.h"

#define FAIL(...) sim_check_failed("fairness", __VA_ARGS__)

#define CPUS_MAX 1024u

/* --- walks over a queue ---------------------------------------------------------------------------------------------------- */

struct walk {
	__int128 sum; /* of w * (v - base) */
	u64 weight, base, request_max_ns;
	u32 count;
};

static void walk_add(struct walk *walk, const struct entity *entity)
{
	if (entity == NULL)
		return;
	if (walk->count++ == 0)
		walk->base = entity->vruntime;
	walk->sum += (__int128)(i64)entity->weight * (i64)(entity->vruntime - walk->base);
	walk->weight += entity->weight;
	walk->request_max_ns = MAX(walk->request_max_ns, entity->request_ns);
}

static void walk_tree(struct walk *walk, const struct entity *root)
{
	if (root == NULL)
		return;
	walk_tree(walk, root->node.child[0]);
	walk_add(walk, root);
	walk_tree(walk, root->node.child[1]);
}

/* v <= V */
static bool eligible(const struct walk *walk, const struct entity *entity)
{
	return (__int128)(i64)(entity->vruntime - walk->base) * (i64)walk->weight <= walk->sum;
}

static i64 lag_ns(const struct walk *walk, const struct entity *entity)
{
	__int128 lag = walk->sum - (__int128)(i64)(entity->vruntime - walk->base) * (i64)walk->weight;

	return (i64)(lag / (i64)walk->weight * (i64)entity->weight / VIRTUAL_PER_NS);
}

/* --- choices ----------------------------------------------------------------------------------------------------------------- */

static const struct entity *earliest(const struct walk *walk, const struct entity *root, bool all,
				     const struct entity *best)
{
	if (root == NULL)
		return best;
	best = earliest(walk, root->node.child[0], all, best);
	if ((all || eligible(walk, root)) && (best == NULL || virtual_before(root->deadline, best->deadline)))
		best = root;
	return earliest(walk, root->node.child[1], all, best);
}

void observe_choice(struct cpu *cpu, const struct entity *chosen, const struct entity *current)
{
	static u32 choices;
	const struct runq *runq = &cpu->runq;
	struct walk walk = { 0 };
	const struct entity *best;
	bool all = runq->policy == SCHED_WFQ;

	equals_choice(cpu, chosen, current);
	walk_tree(&walk, runq->tree.root);
	walk_add(&walk, chosen);
	if (current != chosen)
		walk_add(&walk, current);
	if (walk.count > 1 && plant("bad-choice", ++choices))
		walk.sum -= (__int128)1 << 60;
	if (!all && !eligible(&walk, chosen))
		FAIL("CPU %u chose one that is not eligible (RQ4)", cpu->id);
	best = earliest(&walk, runq->tree.root, all,
			current != NULL && (all || eligible(&walk, current)) ? current : NULL);
	if (best != NULL && virtual_before(best->deadline, chosen->deadline))
		FAIL("CPU %u chose one while an eligible one has an earlier deadline (RQ4)", cpu->id);
}

/* --- nobody starves, nobody is too far ahead ----------------------------------------------------------------------------------- */

/* The highest since the CPU's queue was last empty. */
static struct {
	u64 weight, request_max_ns;
	u32 count;
} high[CPUS_MAX];

/* Since when a thread waits with these parameters, as the walks see it, and the highest thread id then: more were born since. A weight
 * that is another one and the old one again between two walks is seen by vruntime, which changes with it, and else not while it waits. */
static struct waiting {
	const struct entity *entity;
	u64 enqueued_ns, adopted, vruntime, since_ns, born;
} waitings[4096];
static u64 born;

static const struct waiting *waiting_of(const struct entity *entity, u64 now_ns)
{
	struct waiting *waiting = &waitings[entity->thread->object.id % ARRAY_COUNT(waitings)];

	if (waiting->entity != entity || waiting->enqueued_ns != entity->enqueued_ns ||
	    waiting->adopted != entity->adopted || waiting->vruntime != entity->vruntime)
		*waiting = (struct waiting){ entity, entity->enqueued_ns, entity->adopted, entity->vruntime, now_ns,
					     born };
	return waiting;
}

static void note_born(const struct entity *entity)
{
	if (entity != NULL && entity->thread != NULL)
		born = MAX(born, entity->thread->object.id);
}

static void check_waiting(const struct cpu *cpu, const struct entity *root, u64 now_ns)
{
	const struct waiting *waiting;
	i64 waited, bound, request, turn = (i64)high[cpu->id].request_max_ns + q_ns();
	u64 turns;

	if (root == NULL)
		return;
	note_born(root);
	if (root->thread != NULL) {
		waiting = waiting_of(root, now_ns);
		request = (i64)MAX(root->request_ns, root->request_virtual * root->weight / VIRTUAL_PER_NS);
		waited = (i64)(now_ns - waiting->since_ns);
		/* Who is born may have a turn before it, unless it takes over a debt: of those that ended, and there are no more at a
		 * time than n, each of which may start the next one before it ends. */
		turns = MIN(born - waiting->born, 2 * (u64)(high[cpu->id].count + 1));
		bound = (i64)(high[cpu->id].weight / root->weight + 1) * (2 * request + q_ns()) +
			(i64)(high[cpu->id].count + 1 + turns) * turn;
		if (plant("starved", PLANT_AFTER + 1))
			waited += 100 * bound;
		if (waited > bound)
			FAIL("thread %llu on CPU %u is runnable for %lld us and does not run; bound %lld us",
			     (unsigned long long)root->thread->object.id, cpu->id, (long long)waited / 1000,
			     (long long)bound / 1000);
	}
	check_waiting(cpu, root->node.child[0], now_ns);
	check_waiting(cpu, root->node.child[1], now_ns);
}

static i64 worst_owed_ns, worst_ahead_ns;

static void note_lags(const struct walk *walk, const struct entity *root)
{
	i64 lag;

	if (root == NULL)
		return;
	lag = lag_ns(walk, root);
	worst_owed_ns = MAX(worst_owed_ns, lag);
	worst_ahead_ns = MAX(worst_ahead_ns, -lag);
	note_lags(walk, root->node.child[0]);
	note_lags(walk, root->node.child[1]);
}

static void check_lags(const struct cpu *cpu, const struct walk *walk, const struct entity *root)
{
	i64 lag;

	if (root == NULL)
		return;
	lag = lag_ns(walk, root);
	if (plant("lag-lost", PLANT_AFTER + 1))
		lag = -lag - 1000 * Q_FAULTS_NS;
	if (cpu->runq.policy == SCHED_EEVDF &&
	    -lag > (i64)(high[cpu->id].count + 1) * ((i64)high[cpu->id].request_max_ns + q_ns()))
		FAIL("CPU %u: one is ahead by %lld us", cpu->id, (long long)-lag / 1000);
	check_lags(cpu, walk, root->node.child[0]);
	check_lags(cpu, walk, root->node.child[1]);
}

/* A canary: nobody is moved any more from CPU to CPU. */
static void pin(struct entity *root, u32 id)
{
	if (root == NULL)
		return;
	root->affinity = 1ull << id;
	pin(root->node.child[0], id);
	pin(root->node.child[1], id);
}

static void fairness_full(void)
{
	static u32 walks;

	walks++;
	for (u32 i = 0; plant("pinned", walks) && i < cpu_count(); i++)
		pin(cpu_get(i)->runq.tree.root, i);
	for (u32 i = 0; i < cpu_count() && i < CPUS_MAX; i++) {
		const struct cpu *cpu = cpu_get(i);
		struct walk walk = { 0 };
		if (cpu->runq.lock.word.value_ != 0)
			continue;
		walk_tree(&walk, cpu->runq.tree.root);
		walk_add(&walk, cpu->current_entity);
		if (walk.count < 2) {
			high[i].weight = high[i].request_max_ns = high[i].count = 0;
			continue;
		}
		high[i].weight = MAX(high[i].weight, walk.weight);
		high[i].request_max_ns = MAX(high[i].request_max_ns, walk.request_max_ns);
		high[i].count = MAX(high[i].count, walk.count);
		note_born(cpu->current_entity);
		check_waiting(cpu, cpu->runq.tree.root, sim_check_now());
		check_lags(cpu, &walk, cpu->runq.tree.root);
	}
}

/* --- figures --------------------------------------------------------------------------------------------------------------------- */

#define THREADS_MAX 4096u
#define SAMPLE_NS 20000ull
#define LIVED_NS_MIN 500000000ull /* of shorter lives a request more or less is much */
#define BUCKETS 1024u

struct figures {
	u64 id;	 /* of the thread; 0: free */
	u32 cpu; /* where it ran last + 1 */
	u64 switches, blocks, runnable_ns;
	u64 first_runtime_ns, runtime_ns;
	u64 ideal;		       /* ns << 32 */
	u64 lived_ns, runnable_all_ns; /* while it was looked at; of that, runnable */
};

static struct figures threads[THREADS_MAX];
static u64 latency[BUCKETS], latencies, latency_max_ns, sampled_ns, switches, migrations;
static const char *figures_file;
static bool figures_asked;

static struct figures *figures_of(const struct thread *thread)
{
	u32 at = (u32)(thread->object.id * 2654435761u) % THREADS_MAX;

	while (threads[at].id != 0 && threads[at].id != thread->object.id)
		at = (at + 1) % THREADS_MAX;
	if (threads[at].id == 0) {
		threads[at].id = thread->object.id;
		threads[at].first_runtime_ns = thread->account.runtime_ns;
		threads[at].runtime_ns = thread->account.runtime_ns;
		threads[at].switches = thread->account.switches;
	}
	return &threads[at];
}

/* 32 buckets for each doubling. */
static u32 bucket_of(u64 ns)
{
	u32 bits = 63 - (u32)__builtin_clzll(ns | 32);

	return MIN((bits - 5) * 32 + (u32)(ns >> (bits - 5) & 31), BUCKETS - 1);
}

static u64 bucket_ns(u32 bucket)
{
	return (32ull + bucket % 32) << (bucket / 32);
}

static u64 percentile(u64 per_thousand)
{
	u64 seen = 0;

	for (u32 i = 0; i < BUCKETS; i++) {
		seen += latency[i];
		if (seen * 1000 >= latencies * per_thousand)
			return bucket_ns(i);
	}
	return latency_max_ns;
}

/* A thread was selected: how long it waited since it woke. */
static void note_selection(const struct thread *thread, u32 cpu_id)
{
	struct figures *f = figures_of(thread);
	const struct cpu_account *account = &thread->account;
	u64 waited_ns = account->runnable_ns - f->runnable_ns;

	if (account->switches == f->switches + 1 && account->blocks > f->blocks) {
		latency[bucket_of(waited_ns)]++;
		latencies++;
		latency_max_ns = MAX(latency_max_ns, waited_ns);
	}
	migrations += f->cpu != 0 && f->cpu != cpu_id + 1;
	f->cpu = cpu_id + 1;
	f->switches = account->switches;
	f->blocks = account->blocks;
	f->runnable_ns = account->runnable_ns;
}

/* What each runnable thread would have got since the last sample. */
static void sample(u64 now_ns)
{
	static struct figures *who[THREADS_MAX];
	static u32 weight[THREADS_MAX], order[THREADS_MAX];
	static u64 rate[THREADS_MAX];
	struct thread *thread;
	u32 count = 0;

	for (u64 id = 0; (thread = registry_next_thread(id)) != NULL && count < THREADS_MAX / 2;
	     id = thread->object.id + 1) {
		const struct entity *entity = thread->entity;
		struct figures *f = figures_of(thread);
		u32 at;
		f->runtime_ns = thread->account.runtime_ns;
		f->lived_ns += now_ns - sampled_ns;
		if (entity == NULL || entity->thread != thread || entity->owner.value_ == OWNER_NONE)
			continue;
		who[count] = f;
		weight[count] = entity->weight;
		for (at = count; at > 0 && weight[order[at - 1]] < entity->weight; at--)
			order[at] = order[at - 1];
		order[at] = count++;
	}
	max_min_shares(weight, order, count, cpu_count(), rate);
	for (u32 i = 0; i < count; i++)
		who[i]->ideal += rate[i] * (now_ns - sampled_ns), who[i]->runnable_all_ns += now_ns - sampled_ns;
	sampled_ns = now_ns;
}

static void fairness_step(struct cpu *cpu)
{
	static u64 seen[CPUS_MAX];
	u64 now_ns;

	if (!figures_asked) {
		figures_file = getenv("CAPOS_SIM_FAIRNESS");
		figures_asked = true;
	}
	if (figures_file == NULL || cpu->current == NULL || !sim_is_quiet())
		return;
	if (cpu->switches != seen[cpu->id]) {
		struct walk walk = { 0 };
		seen[cpu->id] = cpu->switches;
		note_selection(cpu->current, cpu->id);
		walk_tree(&walk, cpu->runq.tree.root);
		walk_add(&walk, cpu->current_entity);
		note_lags(&walk, cpu->runq.tree.root);
	}
	now_ns = sim_check_now();
	if (now_ns < sampled_ns + SAMPLE_NS)
		return;
	sim_stand_still();
	sample(now_ns);
	sim_go_on();
}

/*
 * Of the threads that lived for long and wanted to run all the time: what they got against their ideal shares, scaled so that the sums are equal (what
 * short runs of others took or left is nobody's fault among them). Sum of deviations, of the sum.
 */
static double share_error(void)
{
	double ran = 0, ideal = 0, off = 0;

	for (int turn = 0; turn < 2; turn++) {
		for (u32 i = 0; i < THREADS_MAX; i++) {
			const struct figures *f = &threads[i];
			double got = (double)(f->runtime_ns - f->first_runtime_ns),
			       wanted = (double)f->ideal / 4294967296.0;
			if (f->runnable_all_ns * 20 < f->lived_ns * 19 || f->lived_ns < LIVED_NS_MIN)
				continue;
			if (turn == 0)
				ran += got, ideal += wanted;
			else
				off += got * ideal / ran > wanted ? got * ideal / ran - wanted
								  : wanted - got * ideal / ran;
		}
		if (ran <= 0)
			return 0;
	}
	return off / ideal;
}

static void fairness_end(void)
{
	FILE *file;

	if (figures_file == NULL || latencies == 0)
		return;
	for (u32 i = 0; i < cpu_count(); i++)
		switches += cpu_get(i)->switches;
	file = fopen(figures_file, "a");
	if (file == NULL)
		return;
	fprintf(file,
		"{\"policy\": \"%s\", \"cpus\": %u, \"seed\": %llu, \"virtual_ms\": %llu, \"share_error\": %.6f, "
		"\"worst_owed_us\": %lld, \"worst_ahead_us\": %lld, \"wakes\": %llu, \"p50_us\": %.2f, \"p99_us\": %.2f, "
		"\"p999_us\": %.2f, \"max_us\": %.2f, \"switches\": %llu, \"migrations\": %llu}\n",
		cpu_get(0)->runq.policy == SCHED_WFQ ? "wfq" : "eevdf", cpu_count(),
		(unsigned long long)sim_check_seed(), (unsigned long long)(sim_check_now() / 1000000), share_error(),
		(long long)worst_owed_ns / 1000, (long long)worst_ahead_ns / 1000, (unsigned long long)latencies,
		(double)percentile(500) / 1e3, (double)percentile(990) / 1e3, (double)percentile(999) / 1e3,
		(double)latency_max_ns / 1e3, (unsigned long long)switches, (unsigned long long)migrations);
	fclose(file);
}

static const struct sim_checker fairness = {
	.name = "fairness", .step = fairness_step, .full = fairness_full, .end = fairness_end
};
SIM_CHECKER(fairness);
