/* SPDX-License-Identifier: MIT */
#ifndef KERNEL_STATE_SCHED_H
#define KERNEL_STATE_SCHED_H

#include <kernel/types.h>
#include <mach/atomic.h>

/* The part of kernel/sched in the kernel's state. */
struct sched_state {
	ATOMIC(u64) * idle_mask; /* (a) one bit per CPU: idles and nobody has chosen it yet; array made at boot */
	u32 idle_words;		 /* (c) */
};

#endif
