/* SPDX-License-Identifier: MIT */
/*
 * The clock: the counter of the machine (TSC), checked against what one-shots count, and never read going back.
 *
 *   fast (each CPU at first)  clock = ns(counter - base), where the counter is not below the last one that was read on this CPU.
 *   slow (once something was found wrong, for good)  clock = max(published, anchor_ns + ns(counter - anchor)), and what was read is
 *                             published. `last` and `base` are such that each reading comes to clock_read.
 *
 * CL1  On a CPU no reading is below an earlier one, whatever the counter does.
 * CL2  Across CPUs neither, while counters agree; and once all CPUs are slow whatever they do.
 * CL3  Found wrong is: a counter that goes back; one that goes less than an eighth of what the one-shot counts; counters of which
 *      one was read after another one and shows less (at the start of a CPU, at its ticks); a machine that does not promise that they
 *      agree. Then all CPUs become slow, each at its next interrupt.
 * CL4  Discipline (clock_check): of an interval of n >= 1 whole ticks by the CPU's own one-shot in which its counter went less than n / 8
 *      ticks, the clock moves on by n whole ticks, once all CPUs are slow; otherwise it follows the counter exactly. Less than a tick never does.
 */
#ifndef KERNEL_CLOCK_H
#define KERNEL_CLOCK_H

#include <kernel/types.h>

#define TICK_NS 10000000ull
#define MIN_DISCIPLINED_ADVANCE_NS (TICK_NS / 8)
/* A slow CPU that has nothing to wait for looks this often: else nothing would count. */
#define CLOCK_LOOK_NS (10 * TICK_NS)

/* All by its CPU only, in struct mach_cpu. The machine gives base, and last = base, before the first reading. */
struct clock {
	u64 base, last; /* mach_clock's: counters; CLOCK_SLOW_BASE, CLOCK_SLOW: clock_read's */

	/* slow */
	u64 anchor, anchor_ns; /* the clock was anchor_ns at counter `anchor` ... */
	u64 own_ns;	       /* ... and the counter alone, without what others and ticks added, so many */
	u64 seen;	       /* counter at the last reading */
	u64 armed_ns;	       /* the one-shot was armed at this instant; */
	u64 noted_ns;	       /* so much of what it counted since is in counted_ns */

	/* the interval of the next check; fast: early expiries only, since_ns and own_since_ns are not used, passed_ns is */
	u64 since_ns, own_since_ns; /* clock and counter alone at its begin */
	u64 counted_ns;		    /* by the one-shot, since then */
	u64 passed_ns;		    /* by the counter */

	u64 floors; /* how often the clock moved by ticks */
};

#define CLOCK_SLOW (~0ull)
#define CLOCK_SLOW_BASE (~0ull >> 1) /* above any counter */

static inline bool clock_is_slow(const struct clock *clock)
{
	return clock->last == CLOCK_SLOW;
}

/* CL4: whole ticks that the clock moves on by, instead of what the counter says; 0: it follows the counter. */
static inline u64 clock_ticks(u64 counted_ns, u64 advance_ns)
{
	u64 ticks = counted_ns / TICK_NS;

	return advance_ns < ticks * MIN_DISCIPLINED_ADVANCE_NS ? ticks : 0;
}

struct cpu;

/* A reading of the clock by this CPU, where the counter was below `last` or `base`. */
u64 clock_read(struct clock *clock);
/*
 * The one-shot expired, and by the clock, `now`, it is not time yet: discipline. True: the clock has moved, and *now with it. By
 * sched_irq, before the one-shot is armed again. `armed`: what it was armed for.
 */
MUST_CHECK bool clock_check(struct cpu *cpu, struct instant armed, struct instant *now);
/* For mach_timer_arm of a slow CPU: its one-shot is armed for `deadline`. What to arm it for. */
struct instant clock_arm(struct cpu *cpu, struct instant deadline);
/* At a tick: do the counters of CPUs still agree? */
void clock_compare(struct cpu *cpu);
/* CL3: all CPUs are to become slow; this one is. Any context. */
void clock_distrust(struct cpu *cpu);
/* REQUEST_CLOCK came: from a CPU that has found CL3, or this one has. `armed`: as for clock_check. */
void clock_requested(struct cpu *cpu, struct instant armed);
/* A CPU that starts agrees on the time with the boot CPU, which calls clock_answer until it is online; then clock_started. */
void clock_agree(struct cpu *cpu);
void clock_started(struct cpu *cpu);
void clock_answer(struct cpu *cpu);

/* capos.clock=proof: the one-shot and the discipline, measured (proof.c). Boot CPU, before the first thread. */
void clock_proof(struct cpu *cpu);

#endif
