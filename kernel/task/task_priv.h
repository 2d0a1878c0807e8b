/* SPDX-License-Identifier: MIT */
/* Inside the task room. */
#ifndef TASK_PRIV_H
#define TASK_PRIV_H

#include <kernel/process.h>
#include <kernel/thread.h>

/* Rights that the maker of a process or a thread gets. */
#define CHILD_RIGHTS                                                                                                 \
	(CAPOS_RIGHT_READ | CAPOS_RIGHT_WAIT | CAPOS_RIGHT_CONTROL | CAPOS_RIGHT_GRANT | CAPOS_RIGHT_DESTROY)

/* process.c: as process_create, and which of the parent's quotas stood in the way. */
MUST_CHECK u16 process_create_detail(struct process *parent, const char *name, const u64 limits[QUOTA_KINDS],
				     struct process **out, u32 *detail);
/* Kill a bounded number of the process's threads; true when all are marked. */
bool process_kill_threads(struct cpu *cpu, struct process *process);

/* The log's line about the fault that ended it. */
void process_report_fault(struct process *process);

/* Tell those in process.wait that it is dead: a batch; true when none is left. */
bool process_tell_waiters(struct cpu *cpu, struct process *process);
/* object_type.unreferenced: the record goes when the process is dead. */
void process_unreferenced(struct object *object);

/* teardown.c: a bounded piece of ending a process without threads. */
enum teardown_progress { TEARDOWN_AGAIN, TEARDOWN_WAIT, TEARDOWN_DONE };
enum teardown_progress process_teardown_step(struct cpu *cpu, struct process *process);
void process_start_teardown(struct cpu *cpu, struct process *process);
/* A process under construction whose teardown is done: gives its object back. */
void process_discard(struct process *process);

/* thread_object.c: undo a created, published thread that was not started. No lock held. */
void thread_abandon(struct thread *thread);
/* ... an unpublished one. */
void thread_undo_create(struct thread *thread);

/* CAPOS_CPU_ANY, or a CPU that exists and came up. */
bool cpu_is_usable(u64 id);

/* registry.c */
void registry_add_process(struct process *process);
void registry_remove_process(struct process *process);
void registry_add_thread(struct thread *thread);
void registry_add_session(struct session *session);
void registry_remove_session(struct session *session);

/* session.c */
/* False: its last reference was given back; the record is about to be freed. */
MUST_CHECK bool session_try_get(struct session *session);
void session_put(struct session *session);

#endif
