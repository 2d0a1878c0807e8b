/* SPDX-License-Identifier: MIT */
/*
 * Processes, threads and sessions by id, for listings. Only lookers take the lock for long: O(log n) each.
 *
 * RG1  Threads are in a list besides, by rising id, that lookers follow without the lock. A thread that leaves it keeps its own
 *      `next`. So whoever came to a thread in this kernel entry finds behind it one that was in the list when the entry began, or later:
 *      its memory is not reused before the entry ends.
 */
#include "task_priv.h"

#include <kernel/context.h>
#include <kernel/state.h>
#include <string.h>

static int process_order(const struct process *a, const struct process *b)
{
	return a->object.id < b->object.id ? -1 : a->object.id > b->object.id;
}

static int thread_order(const struct thread *a, const struct thread *b)
{
	return a->object.id < b->object.id ? -1 : a->object.id > b->object.id;
}

static int session_order(const struct session *a, const struct session *b)
{
	return a->session_id < b->session_id ? -1 : a->session_id > b->session_id;
}

RB_GENERATE_INTERNAL(process_tree, process, registry_node, process_order, __attribute__((unused)) static)
RB_GENERATE_INTERNAL(thread_tree, thread, registry_node, thread_order, __attribute__((unused)) static)
RB_GENERATE_INTERNAL(session_tree, session, registry_node, session_order, __attribute__((unused)) static)

void task_init(void)
{
	struct task_state *task = &kernel_state.task;

	spinlock_init(&task->registry_lock, RANK_REGISTRY, 0);
	RB_INIT(&task->processes);
	RB_INIT(&task->threads);
	RB_INIT(&task->sessions);
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
	const struct session *session = thread->process->session;
	struct task_state *task = &kernel_state.task;
	struct thread *before;

	spin_lock(&task->registry_lock);
	RB_INSERT(thread_tree, &task->threads, thread);
	before = RB_PREV(thread_tree, &task->threads, thread);
	atomic_store_relaxed(&thread->registry_next, RB_NEXT(thread_tree, &task->threads, thread));
	if (before != NULL)
		atomic_store_release(&before->registry_next, thread); /* pairs with registry_after */
	spin_unlock(&task->registry_lock);
	/* Bound already, and who logs out may have looked before it was here: SX7. */
	atomic_fence();
	if (session != NULL && atomic_load_relaxed(&session->alive) == 0)
		(void)!context_logout(mach_this_cpu(), session, thread);
}

void registry_remove_thread(struct thread *thread)
{
	struct task_state *task = &kernel_state.task;
	struct thread *before;

	spin_lock(&task->registry_lock);
	before = RB_PREV(thread_tree, &task->threads, thread);
	RB_REMOVE(thread_tree, &task->threads, thread);
	if (before != NULL) /* pairs with registry_after */
		atomic_store_release(&before->registry_next, atomic_load_relaxed(&thread->registry_next));
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

/* --- sessions: records, since a session has no handle that keeps it ----------------------------------------------------- */

void registry_add_session(struct session *session)
{
	struct task_state *task = &kernel_state.task;

	spin_lock(&task->registry_lock);
	RB_INSERT(session_tree, &task->sessions, session);
	spin_unlock(&task->registry_lock);
}

void registry_remove_session(struct session *session)
{
	struct task_state *task = &kernel_state.task;

	spin_lock(&task->registry_lock);
	RB_REMOVE(session_tree, &task->sessions, session);
	spin_unlock(&task->registry_lock);
}

/* Under the lock: the last reference may be given back at any time. */
bool session_next_record(u64 id, struct capos_ledger_record *out)
{
	struct task_state *task = &kernel_state.task;
	struct session *found = NULL;

	spin_lock(&task->registry_lock);
	for (struct session *at = RB_ROOT(&task->sessions); at != NULL;) {
		if (at->session_id >= id)
			found = at;
		at = at->session_id >= id ? RB_LEFT(at, registry_node) : RB_RIGHT(at, registry_node);
	}
	if (found != NULL) {
		ledger_fill_record(&found->ledger, out);
		out->id = found->session_id;
		out->account_id = found->account_id;
		memcpy(out->name, found->name, sizeof(out->name));
		out->alive = atomic_load_relaxed(&found->alive);
		out->processes = atomic_load_relaxed(&found->references);
	}
	spin_unlock(&task->registry_lock);
	return found != NULL;
}
