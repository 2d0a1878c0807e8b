/* SPDX-License-Identifier: MIT */
#ifndef KERNEL_STATE_TASK_H
#define KERNEL_STATE_TASK_H

#include <bsd/sys/tree.h>

#include <kernel/ledger.h>
#include <kernel/lock.h>
#include <kernel/manifest.h>
#include <kernel/types.h>

struct process;
struct thread;
struct session;

RB_HEAD(process_tree, process);
RB_HEAD(thread_tree, thread);
RB_HEAD(session_tree, session);

/* The part of kernel/task in the kernel's state. */
struct task_state {
	struct spinlock registry_lock;				  /* RANK_REGISTRY */
	struct process_tree processes;				  /* (l:registry_lock) by id */
	struct session_tree sessions;				  /* (l:registry_lock) by id */
	struct thread_tree threads;				  /* (l:registry_lock) by id */
	ATOMIC(u64) next_session_id;				  /* (a) */
	struct ledger account_ledgers[MANIFEST_ACCOUNTS_MAX + 1]; /* (a) ledger_of_account */
};

#endif
