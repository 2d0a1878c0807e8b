/* SPDX-License-Identifier: MIT */
#ifndef KERNEL_STATE_IPC_H
#define KERNEL_STATE_IPC_H

#include <kernel/lock.h>
#include <kernel/types.h>
#include <lib/list.h>

#define PARK_BUCKETS 64u /* park.c: a step may look at all; the hash gives 6 bits */

struct park_bucket {
	struct spinlock lock; /* RANK_PARK, order = index */
	struct list waiters;  /* (l:lock) */
};

/* The part of kernel/ipc in the kernel's state. */
struct ipc_state {
	struct park_bucket park[PARK_BUCKETS];
};

#endif
