/* SPDX-License-Identifier: MIT */
/*
 * CPU time accounting. A charge writes the running thread (or activity) and its CPU only.
 * AC1  busy_ns + idle_ns + irq_ns of a CPU = time since it came up, as of account_ns.
 *      What a CPU does between the charge of one that leaves it and the next charge is the time of who comes next: picking
 *      and switching are one clock reading. That may begin before he was woken: a context is then charged from where the last charge ended
 *      (SX5), for less than his runtime_ns. irq_ns is the time of interrupts that had something to do.
 * AC2  The sum of all threads' and activities' runtime_ns, those that are gone included (task/ledger.c), equals the sum of busy_ns
 *      over the CPUs.
 * AC3  A thread was selected once more than it left its CPU while it runs, else as often:
 *      switches = blocks + preemptions + yields + (it runs: 1).
 * AC4  A blocked thread is not charged (account_blocked, account_unblocked).
 * AC5  A reader on another CPU sees no torn account, at his own cost alone (snapshot.c). Each counter is one word that only rises.
 *      In the order of the stores runtime comes before the way of leaving, waiting before the selection, so each state of memory
 *      was true at some instant; between two of its selections a thread leaves once. So counters that were read while runtime and
 *      switches did not change belong together. A CPU's account_ns is stored first, the part that it adds to last: while
 *      account_ns = up_ns + busy_ns + idle_ns + irq_ns, sum read first, no charge is half done there.
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
