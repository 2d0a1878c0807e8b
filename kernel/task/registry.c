/* SPDX-License-Identifier: MIT */
/* Processes and threads by id, for listings. Only lookers take the lock for long: O(log n) each. */
#include "task_priv.h"

#include <kernel/state.h>

static int process_order(const struct process *a, const struct process *b)
{
	return a->object.id < b->object.id ? -1 : a->object.id > b->object.id;
}

static int thread_order(const struct thread *a, const struct thread *b)
{
	return a->object.id < b->object.id ? -1 : a->object.id > b->object.id;
}

RB_GENERATE_INTERNAL(process_tree, process, registry_node, process_order, __attribute__((unused)) static)
RB_GENERATE_INTERNAL(thread_tree, thread, registry_node, thread_order, __attribute__((unused)) static)

void task_init(void)
{
	struct task_state *task = &kernel_state.task;

	spinlock_init(&task->registry_lock, RANK_REGISTRY, 0);
	RB_INIT(&task->processes);
	RB_INIT(&task->threads);
}

void registry_add_process(struct process *process)
{
	struct task_state *task = &kernel_state.task;

	spin_lock(&task->registry_lock);
	RB_INSERT(process_tree, &task->processes, process);
	spin_unlock(&task->registry_lock);
}

void registry_remove_process(struct process *process)
{
	struct task_state *task = &kernel_state.task;

	spin_lock(&task->registry_lock);
	RB_REMOVE(process_tree, &task->processes, process);
	spin_unlock(&task->registry_lock);
}

void registry_add_thread(struct thread *thread)
{
	struct task_state *task = &kernel_state.task;

	spin_lock(&task->registry_lock);
	RB_INSERT(thread_tree, &task->threads, thread);
	spin_unlock(&task->registry_lock);
}

void registry_remove_thread(struct thread *thread)
{
	struct task_state *task = &kernel_state.task;

	spin_lock(&task->registry_lock);
	RB_REMOVE(thread_tree, &task->threads, thread);
	spin_unlock(&task->registry_lock);
}

/* Smallest id that is not less. Descends by hand: a key record of either type would be large. */
struct process *registry_next_process(u64 id)
{
	struct task_state *task = &kernel_state.task;
	struct process *found = NULL;

	spin_lock(&task->registry_lock);
	for (struct process *at = RB_ROOT(&task->processes); at != NULL;) {
		if (at->object.id >= id)
			found = at;
		at = at->object.id >= id ? RB_LEFT(at, registry_node) : RB_RIGHT(at, registry_node);
	}
	spin_unlock(&task->registry_lock);
	return found;
}

struct thread *registry_next_thread(u64 id)
{
	struct task_state *task = &kernel_state.task;
	struct thread *found = NULL;

	spin_lock(&task->registry_lock);
	for (struct thread *at = RB_ROOT(&task->threads); at != NULL;) {
		if (at->object.id >= id)
			found = at;
		at = at->object.id >= id ? RB_LEFT(at, registry_node) : RB_RIGHT(at, registry_node);
	}
	spin_unlock(&task->registry_lock);
	return found;
}
