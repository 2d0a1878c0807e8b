/* SPDX-License-Identifier: MIT */
/*
 * Checker: one dispatch owner. A thread's registers are held by one CPU at most, and a CPU resumes a thread in its
 * own process's address space. Threads in queues, inboxes and waits are walked by the core's kernel_verify.
 */
#include <kernel/cpu.h>
#include <kernel/thread.h>
#include <sim/checker.h>

#define CPUS_SCANNED 64u /* per entry: beyond, a rotating part */

static void dispatch_step(struct cpu *cpu)
{
	static u32 first;
	u32 count = cpu_count();
	const struct thread *thread = cpu->current;

	if (thread == NULL)
		return;
	if (cpu->loaded_space != &thread->process->space)
		sim_check_failed("dispatch", "CPU %u resumes a thread in another address space", cpu->id);
	for (u32 i = 0; i < MIN(count, CPUS_SCANNED); i++) {
		const struct cpu *other = cpu_find((first + i) % count);
		if (other != NULL && other != cpu && other->current == thread)
			sim_check_failed("dispatch", "thread on CPUs %u and %u at once", cpu->id, other->id);
	}
	first = count > CPUS_SCANNED ? (first + CPUS_SCANNED) % count : 0;
}

static const struct sim_checker dispatch = { .name = "dispatch", .step = dispatch_step };
SIM_CHECKER(dispatch);
