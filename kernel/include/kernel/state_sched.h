/* SPDX-License-Identifier: MIT */
#ifndef KERNEL_STATE_SCHED_H
#define KERNEL_STATE_SCHED_H

#include <kernel/topology.h>

/* The part of kernel/sched in the kernel's state. */
struct sched_state {
	struct cpu_map idle;	   /* (a) idles, and nobody has chosen it yet (PL1) */
	struct cpu_map idle_cores; /* (a) first CPUs of cores with siblings, all of which idle */
};

#endif
