/* SPDX-License-Identifier: MIT */
/*
 * Checker: no lost wake-up. A CPU that goes to user mode or to sleep with something in its inbox has an interrupt on
 * its way, or whoever pushed it is still inside the kernel and about to send one.
 */
#include <kernel/cpu.h>
#include <sim/checker.h>

#include "plant.h"

static void wakeup_check(struct cpu *cpu)
{
	static u32 checks;

	if (cpu->current_entity != NULL && cpu->inbox.value_ == NULL && !sim_ipi_in_flight(cpu) && sim_is_quiet() &&
	    plant("lost-ipi", ++checks))
		cpu->inbox.value_ = cpu->current_entity;
	if (cpu->inbox.value_ != NULL && !sim_ipi_in_flight(cpu) && sim_is_quiet())
		sim_check_failed("wakeup", "lost wake-up: CPU %u has a filled inbox, IPI pending %u, none on its way",
				 cpu->id, cpu->ipi_pending.value_);
}

/* DI2: the one-shot comes no later than the tick. */
static void check_tick(struct cpu *cpu)
{
	static u32 checks;

	if (plant("lost-tick", ++checks))
		cpu->armed_ns = INSTANT_NEVER.ns;
	if (cpu->armed_ns > cpu->tick_ns)
		sim_check_failed("wakeup", "CPU %u goes on without its tick (DI2): at %llu, armed for %llu", cpu->id,
				 (unsigned long long)cpu->tick_ns, (unsigned long long)cpu->armed_ns);
}

static void wakeup_step(struct cpu *cpu)
{
	wakeup_check(cpu);
	if (cpu->current_entity != NULL)
		check_tick(cpu);
}

/* An idle CPU has a tick while it has memory to give back. */
static void wakeup_idle(struct cpu *cpu)
{
	wakeup_check(cpu);
	if (cpu->deferred_first != NULL)
		check_tick(cpu);
}

static const struct sim_checker wakeup = { .name = "wakeup", .step = wakeup_step, .idle = wakeup_idle };
SIM_CHECKER(wakeup);
