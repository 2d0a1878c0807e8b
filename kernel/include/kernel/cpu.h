/* SPDX-License-Identifier: MIT */
/* The CPU record: GS-relative in every kernel context; one per CPU found, made at boot. */
#ifndef KERNEL_CPU_H
#define KERNEL_CPU_H

#include <kernel/debug.h>
#include <kernel/object.h>
#include <kernel/sched.h>
#include <kernel/timer.h>
#include <kernel/topology.h>
#include <mach/mach.h>

struct measure;
struct space;
struct trace_ring;
struct waiter;

struct CACHELINE cpu {
	struct mach_cpu mach;		    /* first: the machine's own */
	u32 id;				    /* (c) dense index */
	ATOMIC(u32) online;		    /* (a) set once by kernel_cpu_boot */
	struct cpu_desc desc;		    /* (c) */
	struct cpu_range near[LEVEL_COUNT]; /* (c) those who share something with it, itself included */
	u64 affinity_bit; /* (c) that an affinity has which allows it; 0 on machines whose affinities are masks */

	/* (o) dispatch */
	struct thread *current;	       /* whose registers this CPU holds; NULL: none */
	struct entity *current_entity; /* NULL: idle or between */
	struct thread *handoff;	       /* reserved place of a hand-off */
	struct space *loaded_space;
	struct space
		*previous_space; /* loaded before it, and still in its loaded-set (SD5); NULL when loaded_space is */
	struct waiter *armed_waiter; /* armed in this kernel entry: its thread may have been killed just before */
	bool resched;		     /* pick anew before leaving the kernel */
	bool in_interrupt;	     /* in sched_irq: current is charged up to its begin */
	u64 slice_end_ns, budget_end_ns, tick_ns, armed_ns;

	/* (a) cross-CPU */
	ATOMIC(struct entity *) inbox CACHELINE; /* pushed by anyone, drained under runq.lock */
	ATOMIC(u32) inbox_weight;		 /* of those in the inbox */
	ATOMIC(u32) ipi_pending;		 /* an IPI is on its way and not yet handled */
	ATOMIC(u32) requests;			 /* REQUEST_* */
	ATOMIC(u32) idling;			 /* 1: will halt, or halts, until an interrupt */
	ATOMIC(u64) epoch;   /* reclaim: 0 outside the kernel and idle, else grace period * 2 + 1 */
	ATOMIC(u32) told_by; /* CPU + 1 where somebody waits: for the next steal; 0: none */

	struct runq runq CACHELINE;
	struct timer_queue timers CACHELINE;

	/* (os) accounting */
	u64 busy_ns, idle_ns, irq_ns; /* threads and activities; idle; interrupts and picking */
	u64 activity_ns;	      /* of busy_ns */
	u64 up_ns;		      /* (c) since then time is accounted for */
	u64 account_ns;		      /* up to here the time is accounted for */
	u64 switches, ipis_sent, ipis_suppressed, ipis_received, shootdowns, ticks;
	struct placed placed;		    /* by this CPU */
	u64 policy_admitted, policy_denied; /* uses of scheduling_policy */

	u32 balance_turn;	/* (o) ticks: whom to compare with (balance.c) */
	struct context *marked; /* (o) whose watchers are to be woken (context_notify.c) */

	/* (o) reclaim */
	struct reclaim_node *deferred_first, *deferred_last;
	u64 reclaim_scan_epoch; /* the grace period that this CPU tries to end ... */
	u32 reclaim_scan_next;	/* ... and the next CPU to look at */

	struct trace_ring *trace; /* (c) */
#ifdef CAPOS_MEASURE
	struct measure *measure; /* (c) NULL early in the boot */
#endif
	u32 lock_rank[16]; /* (o) debug: held ranks */
	u64 lock_order[16];
	u32 lock_depth;
	u32 no_alloc; /* (o) debug: depth of paths that must not allocate (SC4) */
};

/* SC4: between these, on this CPU, an allocation is a bug; checked in debug and simulation builds. They nest. */
static inline void no_alloc_begin(struct cpu *cpu)
{
	if (CAPOS_DEBUG)
		cpu->no_alloc++;
}

static inline void no_alloc_end(struct cpu *cpu)
{
	if (CAPOS_DEBUG)
		cpu->no_alloc--;
}

/* The trap: called by every allocator. */
static inline void no_alloc_check(void)
{
	KVERIFY(mach_this_cpu() == NULL || mach_this_cpu()->no_alloc == 0);
}

/* By index; panics by name for an id that does not exist. */
struct cpu *cpu_get(u32 id);
/* NULL for an id that does not exist. */
struct cpu *cpu_find(u32 id);
u32 cpu_count(void);

/* What consists of pieces of different lengths may take another one in this step: it began less than so many instructions
 * ago, at one in a nanosecond. */
static inline bool step_has_time(struct instant begin, u64 instructions)
{
	return mach_clock_quick().ns - begin.ns < instructions;
}
#define STEP_PIECES 1000ul

#endif
