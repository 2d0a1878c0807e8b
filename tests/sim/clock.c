/* SPDX-License-Identifier: MIT */
/*
 * Checker: a slow CPU's clock is not behind what its one-shots have counted by more than a tick and the span that is being counted
 * (CL4), when its counter stands for good (--tsc dead). That it never goes back (CL1, CL2), and is never ahead of time, the simulated
 * machine itself checks at each reading (mach/sim/clock.c); the canary is here.
 */
#include <kernel/clock.h>
#include <kernel/cpu.h>
#include <kernel/state.h>
#include <sim/checker.h>

#include "plant.h"

#define CPUS_MAX 1024u

static struct {
	bool known;
	u64 published_ns, counted_ns;
} slow[CPUS_MAX];

static void clock_step(struct cpu *cpu)
{
	static u32 checks;
	u64 published_ns = kernel_state.time.published.value_, counted_ns = sim_check_counted(cpu), bound_ns;

	if (!sim_check_counter_is("dead") || !clock_is_slow(&cpu->mach.clock))
		return;
	if (!slow[cpu->id].known) {
		slow[cpu->id].known = true;
		slow[cpu->id].published_ns = published_ns;
		slow[cpu->id].counted_ns = counted_ns;
	}
	if (plant("clock-back", ++checks)) {
		kernel_state.time.published.value_ -= TICK_NS / 2;
		cpu->mach.clock.anchor_ns -= TICK_NS / 2;
	}
	if (plant("clock-stands", checks))
		slow[cpu->id].counted_ns -= 1000 * TICK_NS;
	bound_ns = TICK_NS + CLOCK_LOOK_NS;
	if (published_ns - slow[cpu->id].published_ns + bound_ns < counted_ns - slow[cpu->id].counted_ns)
		sim_check_failed("clock", "CPU %u: %llu ns behind what its one-shots have counted", cpu->id,
				 (unsigned long long)(counted_ns - slow[cpu->id].counted_ns - published_ns +
						      slow[cpu->id].published_ns));
}

static const struct sim_checker clock_checker = { .name = "clock", .step = clock_step, .idle = clock_step };
SIM_CHECKER(clock_checker);
