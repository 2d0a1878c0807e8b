/* SPDX-License-Identifier: MIT */
/* The one writable global, and the CPUs in it. */
#include <kernel/debug.h>
#include <kernel/state.h>

struct kernel kernel_state;

struct cpu *cpu_find(u32 id)
{
	return id < kernel_state.cpu_count ? kernel_state.cpus[id] : NULL;
}

struct cpu *cpu_get(u32 id)
{
	struct cpu *cpu = cpu_find(id);

	if (unlikely(cpu == NULL))
		panic("there is no CPU %u", (unsigned)id);
	return cpu;
}

u32 cpu_count(void)
{
	return kernel_state.cpu_count;
}
