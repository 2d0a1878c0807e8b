/* SPDX-License-Identifier: MIT */
/*
 * The end of a process, in bounded steps, by its activity (or by its spawner while it is under construction).
 *
 *   THREADS  kill those that are left, wait until they have gone       TH3
 *   SPACE    mappings and tables
 *   OBJECTS  everything it made ends, children too
 *   TABLE    capabilities, derived grants
 *   CHILDREN wait for the teardown of children: their quota comes back here
 *   REAP     QU1: nothing is charged any more; its own quota returns to the parent
 *   TELL     waiters of process.wait
 */
#include "task_priv.h"

#include <kernel/cpu.h>
#include <kernel/debug.h>

enum teardown_phase {
	TEARDOWN_BEGIN,
	TEARDOWN_THREADS,
	TEARDOWN_SPACE,
	TEARDOWN_OBJECTS,
	TEARDOWN_TABLE,
	TEARDOWN_CHILDREN,
	TEARDOWN_REAP,
	TEARDOWN_DEAD,
	TEARDOWN_TELL,
};

#define LOOKS_PER_STEP 8u
#define STEPS_AT_ONCE 6u /* and as long as there is time: a piece takes 100 to 2,500 instructions */

/* The next owned object that is alive, marked dying by us; NULL: all of the first few are ended by others. */
static struct object *take_object(struct process *process, bool *empty)
{
	for (u32 i = 0; i < LOOKS_PER_STEP; i++) {
		struct list_node *node;

		spin_lock(&process->lock);
		node = list_first(&process->objects);
		if (node != NULL) {
			list_remove(node);
			list_push_back(&process->objects, node);
		}
		spin_unlock(&process->lock);
		*empty = node == NULL;
		if (node == NULL)
			return NULL;
		if (object_begin_destroy(LIST_ENTRY(node, struct object, owner_link)))
			return LIST_ENTRY(node, struct object, owner_link);
	}
	return NULL;
}

static enum teardown_progress end_objects(struct process *process)
{
	bool empty = false;

	if (process->ending == NULL)
		process->ending = take_object(process, &empty);
	if (process->ending == NULL) {
		if (!empty)
			return TEARDOWN_WAIT;
		process->teardown_phase = TEARDOWN_TABLE;
		return TEARDOWN_AGAIN;
	}
	if (object_end_step(process->ending))
		process->ending = NULL;
	return TEARDOWN_AGAIN;
}

static enum teardown_progress end_threads(struct cpu *cpu, struct process *process)
{
	bool gone;

	if (!process_kill_threads(cpu, process))
		return TEARDOWN_AGAIN;
	spin_lock(&process->lock);
	gone = process->thread_count == 0;
	KASSERT(!gone || list_is_empty(&process->threads));
	spin_unlock(&process->lock);
	if (!gone)
		return TEARDOWN_WAIT;
	console_process_gone(cpu, process);
	process->teardown_phase = TEARDOWN_SPACE;
	return TEARDOWN_AGAIN;
}

/* QU1, and the quota goes home. */
static void reap_quota(struct process *process)
{
	struct process *parent = process->parent;

	for (u32 kind = CAPOS_QUOTA_MEMORY; kind < QUOTA_KINDS; kind++) {
		struct quota *quota = &process->quota;
		u64 used = atomic_load_relaxed(&quota->used[kind]);

		if (used != 0)
			panic("process %s (%llu) ends with %llu of quota %u in use (QU1)", process->name,
			      (unsigned long long)process->object.id, (unsigned long long)used, kind);
		quota_uncharge(parent, (enum capos_quota)kind,
			       quota->limit[kind] + (kind == CAPOS_QUOTA_PROCESSES ? 1 : 0));
	}
}

/* Two lines, a step each. */
static void report_end(struct process *process)
{
	klog(LOG_INFO, "proc: process %llu exited with code %u", (unsigned long long)process->object.id,
	     process->exit_code);
}

static void report_account(struct process *process)
{
	struct ledger_sums sums;

	ledger_read(&process->ledger, &sums);
	klog(LOG_INFO, "sched: process_cpu_accounting pid=%llu runtime_ns=%llu context_switches=%llu",
	     (unsigned long long)process->object.id, (unsigned long long)sums.runtime_ns,
	     (unsigned long long)sums.switches);
}

static void become_dead(struct process *process)
{
	struct process *parent = process->parent;

	if (process->started)
		report_account(process);
	spin_lock(&process->object.lock);
	atomic_store_release(&process->state, PROCESS_DEAD); /* under the lock: from here wait does not block */
	spin_unlock(&process->object.lock);
	/* The parent may be reaped after this. */
	if (parent != NULL)
		atomic_fetch_sub(&parent->children, 1u);
}

enum teardown_progress process_teardown_step(struct cpu *cpu, struct process *process)
{
	switch ((enum teardown_phase)process->teardown_phase) {
	case TEARDOWN_BEGIN:
		if (process->fault_thread_id != 0)
			process_report_fault(process);
		process->teardown_phase = TEARDOWN_THREADS;
		return TEARDOWN_AGAIN;
	case TEARDOWN_THREADS:
		return end_threads(cpu, process);
	case TEARDOWN_SPACE:
		if (space_destroy_step(&process->space))
			process->teardown_phase = TEARDOWN_OBJECTS;
		return TEARDOWN_AGAIN;
	case TEARDOWN_OBJECTS:
		return end_objects(process);
	case TEARDOWN_TABLE:
		if (cap_table_destroy_step(process))
			process->teardown_phase = TEARDOWN_CHILDREN;
		return TEARDOWN_AGAIN;
	case TEARDOWN_CHILDREN:
		if (atomic_load_acquire(&process->children) != 0) /* pairs with the decrement in become_dead */
			return TEARDOWN_WAIT;
		process->teardown_phase = TEARDOWN_REAP;
		return TEARDOWN_AGAIN;
	case TEARDOWN_REAP:
		reap_quota(process);
		if (process->started) {
			registry_remove_process(process);
			report_end(process);
		}
		process->teardown_phase = TEARDOWN_DEAD;
		return TEARDOWN_AGAIN;
	case TEARDOWN_DEAD:
		become_dead(process);
		process->teardown_phase = TEARDOWN_TELL;
		return TEARDOWN_AGAIN;
	case TEARDOWN_TELL:
		if (!process_tell_waiters(cpu, process))
			return TEARDOWN_AGAIN;
		break;
	}
	return TEARDOWN_DONE;
}

static enum activity_result teardown_activity(struct cpu *cpu, struct activity *activity)
{
	struct process *process = container_of(activity, struct process, teardown);
	struct instant begin = mach_clock();
	enum teardown_progress progress = process_teardown_step(cpu, process);

	for (u32 i = 1; i < STEPS_AT_ONCE && progress == TEARDOWN_AGAIN && step_has_time(begin, STEP_PIECES); i++)
		progress = process_teardown_step(cpu, process);
	switch (progress) {
	case TEARDOWN_AGAIN:
		return ACTIVITY_AGAIN;
	case TEARDOWN_WAIT:
		return ACTIVITY_SLEEP;
	case TEARDOWN_DONE:
		break;
	}
	boot_process_ended(process);
	if (object_is_unreferenced(&process->object))
		process_unreferenced(&process->object);
	atomic_store_release(&process->settled, 1u); /* pairs with the load in free_when_settled */
	return ACTIVITY_DONE;
}

void process_start_teardown(struct cpu *cpu, struct process *process)
{
	activity_init(&process->teardown, "teardown", NULL, teardown_activity);
	activity_start(cpu, &process->teardown);
}

void process_discard(struct process *process)
{
	struct process *parent = process->parent;

	KASSERT(atomic_load_relaxed(&process->state) == PROCESS_DEAD && !process->started);
	atomic_store_release(&process->settled, 1u); /* pairs with the load in free_when_settled */
	if (object_begin_destroy(&process->object)) {
		while (!object_end_step(&process->object)) /* dead: one grant, whose holder is at most our own slot */
			;
		return;
	}
	if (atomic_load_relaxed(&process->object.state) != OBJECT_BUILDING)
		return; /* someone else ends it */
	session_put(process->session);
	pool_uncharge(POOL_PROCESS, parent);
	pool_free(POOL_PROCESS, process);
}
