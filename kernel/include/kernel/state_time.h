/* SPDX-License-Identifier: MIT */
#ifndef KERNEL_STATE_TIME_H
#define KERNEL_STATE_TIME_H

#include <kernel/types.h>
#include <mach/atomic.h>

/* The part of kernel/time in the kernel's state. */
struct time_state {
	ATOMIC(u64)
	published CACHELINE;	/* (a) only rises. Slow CPUs: the latest reading of all; fast ones: of a tick */
	ATOMIC(u32) distrusted; /* (a) CL3 has been found */
	ATOMIC(u32) slow_cpus;	/* (a) */
	ATOMIC(u32) told;	/* (a) the log has been told */
	ATOMIC(u32) asked;	/* (a) of clock_agree: number of the question ... */
	ATOMIC(u32) answered;	/* (a) ... that was answered */
	ATOMIC(u64) answer_ns;	/* (a) the boot CPU's clock then */
};

#endif
