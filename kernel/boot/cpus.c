/* SPDX-License-Identifier: MIT */
/* CPU records, made before anything else needs one; starting the CPUs; what the topology looks like. */
#include "boot_priv.h"

#include <kernel/clock.h>
#include <kernel/cpu.h>
#include <kernel/debug.h>
#include <kernel/state.h>
#include <kernel/trace.h>

void boot_make_cpus(const struct boot_info *info)
{
	kernel_state.cpus = frames_boot_alloc(info->cpu_count * sizeof(struct cpu *));
	for (u32 i = 0; i < info->cpu_count; i++) {
		struct cpu *cpu = frames_boot_alloc(sizeof(*cpu));

		cpu->id = i;
		cpu->desc = info->cpus[i];
		kernel_state.cpus[i] = cpu;
		/* The boot CPU first: from here mach_this_cpu() is there. */
		mach_cpu_init(cpu, frames_boot_alloc(mach_cpu_bytes()));
	}
	kernel_state.cpu_count = info->cpu_count;
	topology_init();
	for (u32 i = 0; i < info->cpu_count; i++) {
		sched_init_cpu(kernel_state.cpus[i]);
		trace_init_cpu(kernel_state.cpus[i]);
	}
}

/* One after the other; ids stay dense: one that does not come up stays offline. */
void boot_start_cpus(void)
{
	for (u32 i = 1; i < kernel_state.cpu_count; i++) {
		struct cpu *cpu = kernel_state.cpus[i];

		if (!mach_cpu_start(cpu)) {
			klog(LOG_WARN, "cpu: CPU %u (APIC id %u) did not come up; going on without it", cpu->id,
			     cpu->desc.apic_id);
			continue;
		}
		while (atomic_load_acquire(&cpu->online) == 0) { /* pairs with the release in kernel_cpu_boot */
			clock_answer(mach_this_cpu());
			mach_relax();
		}
	}
}

/* How many neighbourhoods of a level there are. */
static u32 count_level(enum cpu_level level)
{
	u32 count = 0;

	for (u32 i = 0; i < kernel_state.cpu_count; i++)
		count += kernel_state.cpus[i]->near[level].first == i;
	return count;
}

void boot_print_topology(void)
{
	u32 online = 0;

	for (u32 i = 0; i < kernel_state.cpu_count; i++)
		online += atomic_load_acquire(&kernel_state.cpus[i]->online) != 0; /* pairs with kernel_cpu_boot */
	klog(LOG_INFO, "topology: packages=%u caches=%u cores=%u threads=%u online=%u", count_level(LEVEL_PACKAGE),
	     count_level(LEVEL_CACHE), count_level(LEVEL_CORE), kernel_state.cpu_count, online);
}
