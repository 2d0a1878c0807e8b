/* SPDX-License-Identifier: MIT */
/*
 * The kernel's state: the one writable global. Each room has its part, a struct declared in the room's header and
 * reached by kernel_state.ROOM only from that room.
 */
#ifndef KERNEL_STATE_H
#define KERNEL_STATE_H

#include <kernel/cpu.h>
#include <kernel/mm.h>
#include <kernel/state_rooms.h>

struct kernel {
	struct cap_state cap;	/* first: mach/offsets.h */
	struct boot_info boot;	/* (c) */
	struct cpu **cpus;	/* (c) */
	u32 cpu_count;		/* (c) */
	ATOMIC(u32) trace_mask; /* (a) */
	ATOMIC(u64) next_id;	/* (a) object ids */
#ifdef CAPOS_MEASURE
	ATOMIC(u32) measure_phase; /* (a) */
#endif
	struct mm_state mm;
	struct ipc_state ipc;
	struct task_state task;
	struct time_state time;
	struct sched_state sched;
	struct boot_state manifest;
	struct dev_state dev;
};

extern struct kernel kernel_state;

#endif
