/* SPDX-License-Identifier: MIT */
#ifndef KERNEL_STATE_CAP_H
#define KERNEL_STATE_CAP_H

#include <kernel/lock.h>
#include <kernel/types.h>

/* The part of kernel/cap in the kernel's state. */
struct cap_state {
	ATOMIC(u64) epoch; /* (a) grace period of reclaim.c; rises by one */
};

#endif
