/* SPDX-License-Identifier: MIT */
/*
 * Quotas of a process. Everything that a process makes is charged here until it is destroyed. A child's limits are
 * carved from its parent (charged as used by the parent) and return when the child is reaped.
 * Invariant QU1: used <= limit, always; at reap of a process used is 0 for every kind. There is no lock: each kind is one word
 * that is only raised when the sum fits, and limits don't change after process_create.
 */
#ifndef KERNEL_QUOTA_H
#define KERNEL_QUOTA_H

#include <capos/abi.h>
#include <kernel/types.h>
#include <mach/atomic.h>

#define QUOTA_KINDS 5 /* enum capos_quota, from 1 */

struct quota {
	u64 limit[QUOTA_KINDS];	       /* (c) */
	ATOMIC(u64) used[QUOTA_KINDS]; /* (a) */
};

struct process;
/* Charge `amount` (bytes for memory, else a count). process NULL: the kernel, never refused.
 * False: nothing changed; the caller answers CAPOS_STATUS_QUOTA_EXCEEDED with the kind as detail. */
MUST_CHECK bool quota_charge(struct process *process, enum capos_quota kind, u64 amount);
void quota_uncharge(struct process *process, enum capos_quota kind, u64 amount);

#endif
