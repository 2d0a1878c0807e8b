/* SPDX-License-Identifier: MIT */
/*
 * Checker: equals are treated equally, at any instant (D1). Of two with equal weight, class and request that compete on one queue all the
 * time neither is ahead of the other by more than one request and what the one ahead overshot its last request by: exactly, in units
 * of virtual runtime, whatever others do there. Looked at after every charge and at every choice, in debug builds.
 *
 *   Let i be chosen, and m be the hindmost of those equal to it. If i is eligible m is: v_m <= v_i <= V. So d_i <= d_m (EEVDF takes the
 *   earliest of the eligible; under WFQ all are), and as a request begins at v, e_i <= v_m + r (interactive: d is where the request
 *   began, d_i <= d_m <= v_m). i runs to e_i and overshoots that by o_i; v_m never falls. So v_i - v_m <= r + o_i.
 *
 * The same derivation begins at any moment at which i and j both compete with an `excess`: how far they are apart then, and the end of who
 * runs from the other. From there on v_i - v_j <= max(excess, r) + o_i. Each carries the least excess that it had since it
 * joined; those whose excess is within r are settled, and all are compared with the hindmost settled one.
 *
 * Who is current without being chosen (hand-off, stolen, after a yield) does not take part until it is queued or chosen, and who has other
 * parameters than when it began its request does not until it begins another one. Of the others it is checked besides that a request is r
 * long, that each nanosecond on the CPU is one of virtual runtime, and that nobody is stopped late while others wait.
 */
#include <kernel/cpu.h>
#include <kernel/process.h>
#include <sim/checker.h>

#include <stdlib.h>

#include "../../kernel/sched/fair_tree.h"
#include "equals.h"
#include "lateness.h"
#include "plant.h"

#define FAIL(...) sim_check_failed("equals", __VA_ARGS__)

#define CPUS_MAX 1024u /* of the simulator */
#define ENTITIES_MAX 65536u
#define CLASSES_MAX 64u /* of different parameters on a queue; what is beyond is not looked at */

/* An entity as the last look at its queue found it. */
struct member {
	const struct entity *entity;
	u64 look; /* of its CPU; it takes part if that was the last one */
	u32 cpu;
	u64 vruntime, adopted;
	bool odd;   /* its request may have begun with other parameters */
	i64 over;   /* o: by how much it overshot the request that it ran last */
	i64 excess; /* virtual time, as all distances here */
};

static struct member members[ENTITIES_MAX];

static struct queue {
	u64 look;
	const struct entity *running; /* chosen, and current since; or NULL */
	u64 switches;		      /* of the CPU, while that is current: it did not leave and come back */
	u64 busy_ns;		      /* of the CPU, at the last look */
	u64 alone;		      /* v of who ran when nobody had waited since the look before */
} queues[CPUS_MAX];

/* Those of equal parameters, on the queue that is looked at. */
struct class
{
	u64 adopted, least, most;
	u64 settled; /* the least v of those that are */
	bool any_settled;
};

struct look {
	struct cpu *cpu;
	struct queue *queue;
	const struct entity *running;
	struct class classes[CLASSES_MAX];
	u32 class_count;
	bool waited; /* somebody is queued since the last look */
};

static struct member *member_of(const struct entity *entity)
{
	u32 at = (u32)((u64)entity / 64 * 2654435761u) % ENTITIES_MAX;

	for (u32 i = 0; i < ENTITIES_MAX; i++, at = (at + 1) % ENTITIES_MAX) {
		if (members[at].entity == NULL)
			members[at].entity = entity;
		if (members[at].entity == entity)
			return &members[at];
	}
	FAIL("more entities than the table has places for");
}

static i64 from(u64 there, u64 here)
{
	return (i64)(here - there);
}

static u64 service_of(i64 distance, const struct entity *entity)
{
	return (u64)(((__int128)distance * entity->weight) >> VIRTUAL_SHIFT);
}

/* It competed at the last look, and has done so since: only who runs moves. */
static bool stayed(const struct look *look, const struct member *member, const struct entity *entity)
{
	i64 moved = from(member->vruntime, entity->vruntime);

	return member->look == look->queue->look && member->cpu == look->cpu->id &&
	       member->adopted == entity->adopted && (moved == 0 || (moved > 0 && entity == look->queue->running));
}

/* Its request is one that it began with the parameters it has now. */
static bool is_ordinary(const struct entity *entity)
{
	if (entity->latency_class == CAPOS_LATENCY_INTERACTIVE)
		return from(entity->deadline, entity->request_end) <= (i64)entity->request_virtual &&
		       entity->deadline != entity->request_end && from(entity->deadline, entity->vruntime) >= 0;
	return entity->deadline == entity->request_end &&
	       from(entity->vruntime, entity->request_end) <= (i64)entity->request_virtual;
}

static struct class *class_of(struct look *look, const struct entity *entity)
{
	for (u32 i = 0; i < look->class_count; i++)
		if (look->classes[i].adopted == entity->adopted)
			return &look->classes[i];
	if (look->class_count == CLASSES_MAX)
		return NULL;
	look->classes[look->class_count] =
		(struct class){ .adopted = entity->adopted, .least = entity->vruntime, .most = entity->vruntime };
	return &look->classes[look->class_count++];
}

static void for_all(struct look *look, const struct entity *root, void (*visit)(struct look *, const struct entity *))
{
	if (root == NULL)
		return;
	for_all(look, root->node.child[0], visit);
	visit(look, root);
	for_all(look, root->node.child[1], visit);
}

/* Service is virtual runtime: K * s = w * v, but for what is carried over. */
static void check_charge(const struct look *look, const struct member *member, const struct entity *entity)
{
	u64 service_ns = look->cpu->busy_ns - look->queue->busy_ns;
	i64 charged = from(member->vruntime, entity->vruntime);
	__int128 off = (__int128)charged * entity->weight - (__int128)service_ns * VIRTUAL_PER_NS;

	if (service_ns < CHARGE_MAX_NS && (off >= entity->weight || off <= -(__int128)entity->weight))
		FAIL("CPU %u: one ran for %llu ns, and is charged for %llu", look->cpu->id,
		     (unsigned long long)service_ns, (unsigned long long)service_of(charged, entity));
}

/* NULL: it is not compared with others. */
static struct class *class_if_ordinary(struct look *look, const struct member *member, const struct entity *entity)
{
	return member->odd && !is_ordinary(entity) ? NULL : class_of(look, entity);
}

/* First pass: who is how far, and whose request was overshot by how much. */
static void see(struct look *look, const struct entity *entity)
{
	struct member *member = member_of(entity);
	bool runs = entity == look->running, stays = stayed(look, member, entity);
	struct class *class;

	look->waited |= stays && !runs;
	member->odd |= !stays;
	if (stays && runs)
		check_charge(look, member, entity);
	if (!member->odd && !is_ordinary(entity) && !plant("unequal", PLANT_AFTER + 1))
		FAIL("CPU %u: a request is longer than it was asked for", look->cpu->id);
	class = class_if_ordinary(look, member, entity);
	if (class == NULL)
		return;
	member->odd = false;
	class->least = virtual_before(entity->vruntime, class->least) ? entity->vruntime : class->least;
	class->most = virtual_before(class->most, entity->vruntime) ? entity->vruntime : class->most;
	/* Who runs gets as far as its request does. */
	if (runs && virtual_before(class->most, entity->request_end))
		class->most = entity->request_end;
	if (!stays) {
		member->excess = INT64_MAX;
		member->over = 0;
	} else if (entity->vruntime != member->vruntime) {
		member->over = MAX(from(entity->request_end, entity->vruntime), 0);
	}
	if (member->excess <= (i64)entity->request_virtual &&
	    (!class->any_settled || virtual_before(entity->vruntime, class->settled))) {
		class->settled = entity->vruntime;
		class->any_settled = true;
	}
}

/* Second pass: nobody is too far ahead; how far apart it is from now on. */
static void judge(struct look *look, const struct entity *entity)
{
	struct member *member = member_of(entity);
	const struct class *class = class_if_ordinary(look, member, entity);
	i64 bound, ahead, apart;

	if (class == NULL)
		return;
	bound = MAX(member->excess, (i64)entity->request_virtual);
	bound += member->excess == INT64_MAX ? 0 : member->over;
	ahead = from(class->settled, entity->vruntime);
	if (class->any_settled && ahead > bound)
		FAIL("CPU %u: one is ahead of its equal by %llu ns, more than a request of %llu and %llu of lateness",
		     look->cpu->id, (unsigned long long)service_of(ahead, entity),
		     (unsigned long long)entity->request_ns, (unsigned long long)service_of(member->over, entity));
	apart = MAX(from(entity->vruntime, class->most), from(class->least, entity->vruntime));
	if (entity == look->running)
		apart = MAX(apart, from(class->least, entity->request_end));
	member->excess = MIN(member->excess, apart);
	member->look = look->queue->look + 1;
	member->cpu = look->cpu->id;
	member->vruntime = entity->vruntime;
	member->adopted = entity->adopted;
}

/* Who runs is stopped at the end of its request while others wait. */
static void check_lateness(const struct look *look)
{
	const struct entity *entity = look->running;
	i64 late;

	if (entity == NULL ||
	    !sim_check_counter_is("exact")) /* a clock that moves by ticks charges and stops by ticks */
		return;
	if (!look->waited || !stayed(look, member_of(entity), entity))
		look->queue->alone = entity->vruntime;
	late = MIN(from(entity->request_end, entity->vruntime), from(look->queue->alone, entity->vruntime));
	if (late > 0 && (i64)service_of(late, entity) > q_ns())
		FAIL("CPU %u: one runs %llu ns beyond its request while others wait", look->cpu->id,
		     (unsigned long long)service_of(late, entity));
}

static void look_at(struct cpu *cpu, const struct entity *running, const struct entity *chosen)
{
	static struct look look;

	look.cpu = cpu;
	look.queue = &queues[cpu->id];
	look.running = running;
	look.class_count = 0;
	look.waited = false;
	for_all(&look, cpu->runq.tree.root, see);
	if (running != NULL)
		see(&look, running);
	if (chosen != NULL)
		see(&look, chosen);
	check_lateness(&look);
	for_all(&look, cpu->runq.tree.root, judge);
	if (running != NULL)
		judge(&look, running);
	if (chosen != NULL)
		judge(&look, chosen);
	look.queue->look++;
	look.queue->busy_ns = cpu->busy_ns;
}

static const struct entity *running_on(const struct cpu *cpu)
{
	const struct queue *queue = &queues[cpu->id];

	return cpu->current_entity == queue->running && cpu->switches == queue->switches ? queue->running : NULL;
}

/* Canaries: nobody is stopped; a charge is forgotten; a request is longer than it was asked for; requests get longer as they are used. */
static void spoil(struct cpu *cpu)
{
	static u32 charges;
	struct entity *entity = cpu->current_entity;

	charges++;
	if (plant("late-slice", charges))
		cpu->slice_end_ns = INSTANT_NEVER.ns;
	if (plant("free-ride", charges))
		entity->vruntime = member_of(entity)->vruntime;
	if (plant("long-request", charges))
		entity->request_end = entity->vruntime + entity->request_virtual / 8 * 9;
	if (plant("unequal", charges)) {
		entity->request_end += entity->request_virtual / 8;
		entity->deadline += entity->request_virtual / 8;
		cpu->slice_end_ns += entity->request_ns / 8;
	}
}

void observe_charge(struct cpu *cpu)
{
	struct queue *queue = &queues[cpu->id];

	spoil(cpu);
	queue->running = running_on(cpu);
	look_at(cpu, queue->running, NULL);
}

void equals_choice(struct cpu *cpu, const struct entity *chosen, const struct entity *current)
{
	struct queue *queue = &queues[cpu->id];

	queue->running = running_on(cpu);
	if (current == chosen)
		look_at(cpu, chosen, NULL);
	else
		look_at(cpu, current != NULL ? queue->running : NULL, chosen);
	queue->running = chosen;
	queue->switches = cpu->switches + (current != chosen);
}
