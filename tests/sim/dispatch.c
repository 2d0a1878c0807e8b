/* SPDX-License-Identifier: MIT */
/*
 * Checker: one dispatch owner, no lost wake-up (B1, SC1, SC2, LE1, WA1). At each entry: a thread's registers are held by one CPU,
 * which resumes it in its own process's space. In the full walk, when no CPU is in the middle of anything, each live thread is
 * exactly one of
 *
 *   current   on the CPU that its entity names
 *   queued    once, in the queue or inbox of the CPU that its entity names, with an IPI on its way if that CPU halts
 *   blocked   its waiter is armed; its entity is its own, borrowed, lent away, or, of a passive thread, none
 *   throttled its waiter is not armed; its entity has a context, the timer of which runs, or which is suspended, and is in no queue
 *
 * and each entity of a queue, inbox or current slot is that of the thread (or activity) that it names. Nobody stays on a CPU that its set,
 * and its context's mask, do not both allow.
 */
#include <kernel/affinity.h>
#include <kernel/context.h>
#include <kernel/cpu.h>
#include <kernel/process.h>
#include <sim/checker.h>

#include "plant.h"

#define CPUS_SCANNED 64u /* per entry: beyond, a rotating part */

#define FAIL(...) sim_check_failed("dispatch", __VA_ARGS__)

#define STRAY_NS 1000000ull /* for a CPU that was asked to send somebody away */

/* A thread is not resumed again and again where its set and its context's mask do not meet: AF3, AF4. From the parts, not from the meet that
 * the dispatcher goes by. Whoever changed them may still be on the way to ask, however long he is held up, until nobody else is in the kernel. */
static void check_place(const struct cpu *cpu, const struct thread *thread)
{
	static struct stray {
		const struct entity *entity;
		u64 switches, since_ns;
		bool asked;
	} strays[CPUS_SCANNED];
	struct stray *stray = &strays[cpu->id % CPUS_SCANNED];
	const struct entity *entity = cpu->current_entity;
	const struct context *context = entity->context.value_;
	u64 set = entity->server_set != 0 ? entity->server_set : entity->set;
	bool allowed = affinity_allows(set, cpu) && (context == NULL || affinity_allows(context->mask, cpu));

	if (cpu->id >= CPUS_SCANNED)
		return;
	if (plant("stray", 21) && mach_clock().ns > 100 * STRAY_NS)
		allowed = false;
	if (allowed || sim_ipi_in_flight(cpu) || stray->entity != entity ||
	    stray->switches != thread->account.switches) {
		stray->entity = allowed ? NULL : entity;
		stray->switches = thread->account.switches;
		stray->asked = false;
	} else if (!stray->asked) {
		stray->asked = sim_is_quiet();
		stray->since_ns = sim_check_now();
	} else if (sim_check_now() - stray->since_ns > STRAY_NS) {
		FAIL("CPU %u runs thread %llu, which may not be there", cpu->id,
		     (unsigned long long)thread->object.id);
	}
}

static void dispatch_step(struct cpu *cpu)
{
	static u32 first;
	u32 count = cpu_count();
	const struct thread *thread = cpu->current;

	if (thread == NULL)
		return;
	if (cpu->loaded_space != &thread->process->space)
		FAIL("CPU %u resumes a thread in another address space", cpu->id);
	check_place(cpu, thread);
	for (u32 i = 0; i < MIN(count, CPUS_SCANNED); i++) {
		const struct cpu *other = cpu_find((first + i) % count);
		if (other != NULL && other != cpu && other->current == thread)
			FAIL("thread on CPUs %u and %u at once", cpu->id, other->id);
	}
	first = count > CPUS_SCANNED ? (first + CPUS_SCANNED) % count : 0;
}

/* --- the full walk ------------------------------------------------------------------------------------------------------- */

static u32 in_tree(const struct entity *root, const struct entity *entity)
{
	if (root == NULL)
		return 0;
	return (root == entity) + in_tree(root->node.child[0], entity) + in_tree(root->node.child[1], entity);
}

static u32 in_inbox(const struct cpu *cpu, const struct entity *entity)
{
	u32 count = 0;

	for (const struct entity *at = cpu->inbox.value_; at != NULL; at = at->inbox_next)
		count += at == entity;
	return count;
}

static void check_entity(const struct cpu *cpu, const struct entity *entity, enum dispatch_owner owner)
{
	u64 id = entity->kind == ENTITY_THREAD ? entity->thread->object.id : 0;

	if (entity->owner.value_ != owner || entity->cpu.value_ != cpu)
		FAIL("entity (thread %llu) with CPU %u as owner %u says %u", (unsigned long long)id, cpu->id, owner,
		     entity->owner.value_);
	if (entity->kind != ENTITY_THREAD)
		return;
	if (entity->thread->entity != entity)
		FAIL("thread %llu is not on the entity that CPU %u has for it", (unsigned long long)id, cpu->id);
	if (waiter_is_armed(&entity->thread->wait))
		FAIL("thread %llu of CPU %u waits and can run", (unsigned long long)id, cpu->id);
}

static u32 check_tree(const struct cpu *cpu, const struct entity *root)
{
	if (root == NULL)
		return 0;
	check_entity(cpu, root, OWNER_QUEUE);
	return 1 + check_tree(cpu, root->node.child[0]) + check_tree(cpu, root->node.child[1]);
}

static void check_cpu(const struct cpu *cpu)
{
	u32 queued = check_tree(cpu, cpu->runq.tree.root);
	u32 waiting = queued;

	for (const struct entity *at = cpu->inbox.value_; at != NULL; at = at->inbox_next, waiting++)
		check_entity(cpu, at, OWNER_INBOX);
	if (cpu->current_entity != NULL)
		check_entity(cpu, cpu->current_entity, OWNER_CURRENT);
	if (queued != cpu->runq.count.value_)
		FAIL("CPU %u counts %u in its queue, and has %u", cpu->id, cpu->runq.count.value_, queued);
	if (cpu->handoff != NULL)
		FAIL("CPU %u has a hand-off left", cpu->id);
	/* This CPU has perhaps just taken the interrupt that ends its halt. */
	if (waiting != 0 && cpu->idling.value_ != 0 && cpu != mach_this_cpu() && !sim_ipi_in_flight(cpu))
		FAIL("lost wake-up: CPU %u halts with %u that can run", cpu->id, waiting);
}

static void check_throttled(const struct entity *entity, bool armed, unsigned long long id)
{
	const struct context *context = entity->context.value_;

	if (armed)
		FAIL("thread %llu is throttled and waits", id);
	if (context == NULL || context->entity != entity)
		FAIL("thread %llu is throttled without a budget", id);
	if ((context->timer.cpu.value_ != NULL) == context->suspended)
		FAIL("thread %llu is throttled for ever, or suspended with a timer", id);
}

static void check_thread(struct thread *thread)
{
	const struct entity *entity = thread->entity;
	unsigned long long id = thread->object.id;
	enum dispatch_owner owner = entity != NULL ? (enum dispatch_owner)entity->owner.value_ : OWNER_NONE;
	bool armed = waiter_is_armed(&thread->wait);
	const struct cpu *cpu = entity != NULL ? entity->cpu.value_ : NULL;

	if (entity != NULL && entity->thread != thread)
		FAIL("thread %llu holds an entity that is another's", id);
	switch (owner) {
	case OWNER_NONE:
		if (!armed)
			FAIL("lost wake-up: thread %llu neither runs, nor is queued, nor waits", id);
		if (entity == NULL && !thread->passive && (thread->own->loan.value_ & 1u) == 0 &&
		    thread->wait.wait != CAPOS_WAIT_REPLY)
			FAIL("thread %llu waits without its entity", id);
		break;
	case OWNER_CURRENT:
		if (cpu->current != thread)
			FAIL("thread %llu is current on no CPU", id);
		break;
	case OWNER_QUEUE:
		if (in_tree(cpu->runq.tree.root, entity) != 1)
			FAIL("thread %llu is not once in the queue of CPU %u", id, cpu->id);
		break;
	case OWNER_INBOX:
		if (in_inbox(cpu, entity) != 1)
			FAIL("thread %llu is not once in the inbox of CPU %u", id, cpu->id);
		break;
	case OWNER_THROTTLED:
		check_throttled(entity, armed, id);
		break;
	case OWNER_HANDOFF:
		FAIL("thread %llu is in a hand-off between entries", id);
	}
}

static void spoil(struct thread *thread, u32 walks)
{
	bool blocked = thread->entity != NULL && thread->entity->owner.value_ == OWNER_NONE;

	if (blocked && plant("lost-wake", walks))
		thread->wait.state.value_ &= ~3u;
	if (blocked && plant("two-owners", walks))
		cpu_get(0)->current_entity = thread->entity;
	if (blocked && plant("wrong-queue", walks))
		thread->entity->owner.value_ = OWNER_QUEUE;
	if (blocked && plant("stolen-entity", walks))
		thread->entity->thread = NULL;
}

static void dispatch_full(void)
{
	static u32 walks;
	struct thread *thread;

	walks++;
	for (u64 id = 0; (thread = registry_next_thread(id)) != NULL; id = thread->object.id + 1) {
		/* Linked in its process: started, and not gone. One that is current may be in the middle of a call. */
		if (!list_is_linked(&thread->process_link) || thread->process->lock.word.value_ != 0)
			continue;
		spoil(thread, walks);
		if (mach_this_cpu()->lock_depth != 0 || mach_this_cpu()->handoff != NULL)
			return; /* the end of the run, in the middle of something */
		check_thread(thread);
	}
	for (u32 i = 0; i < cpu_count(); i++)
		check_cpu(cpu_get(i));
}

static const struct sim_checker dispatch = { .name = "dispatch", .step = dispatch_step, .full = dispatch_full };
SIM_CHECKER(dispatch);
