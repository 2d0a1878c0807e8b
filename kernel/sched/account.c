/* SPDX-License-Identifier: MIT */
/*
 * CPU time accounting. A charge writes the running thread (or activity) and its CPU only.
 * AC1  busy_ns + idle_ns + irq_ns of a CPU = time since it came up, as of account_ns.
 *      What a CPU does between the charge of one that leaves it and the next charge is the time of who comes next: picking
 *      and switching are one clock reading. irq_ns is the time of interrupts that had something to do.
 * AC2  The sum of all threads' and activities' runtime_ns equals the sum of busy_ns over the CPUs.
 */
#include "sched_priv.h"

void sched_charge(struct cpu *cpu, struct instant now)
{
	if (cpu->current_entity != NULL)
		account_current(cpu, cpu->current_entity, now);
	else
		account_irq(cpu, now);
}

void account_irq(struct cpu *cpu, struct instant now)
{
	cpu->irq_ns += account_elapsed_ns(cpu, now);
}

void account_idle(struct cpu *cpu, struct instant now)
{
	cpu->idle_ns += account_elapsed_ns(cpu, now);
}
