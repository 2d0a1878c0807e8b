/* SPDX-License-Identifier: MIT */
/* CPU records, made before anything else needs one; starting the CPUs; what the topology looks like. */
#include "boot_priv.h"

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
		while (atomic_load_acquire(&cpu->online) == 0) /* pairs with the release in kernel_cpu_boot */
			mach_relax();
	}
}

/* Is CPU `i` the first with its value of what `same` compares? */
static bool is_first(u32 i, bool (*same)(const struct cpu_desc *, const struct cpu_desc *))
{
	for (u32 k = 0; k < i; k++)
		if (same(&kernel_state.cpus[k]->desc, &kernel_state.cpus[i]->desc))
			return false;
	return true;
}

static bool same_package(const struct cpu_desc *a, const struct cpu_desc *b)
{
	return a->package == b->package;
}

static bool same_cache(const struct cpu_desc *a, const struct cpu_desc *b)
{
	return same_package(a, b) && a->llc == b->llc;
}

static bool same_core(const struct cpu_desc *a, const struct cpu_desc *b)
{
	return same_package(a, b) && a->core == b->core;
}

void boot_print_topology(void)
{
	u32 packages = 0, caches = 0, cores = 0, online = 0;

	for (u32 i = 0; i < kernel_state.cpu_count; i++) {
		packages += is_first(i, same_package);
		caches += is_first(i, same_cache);
		cores += is_first(i, same_core);
		online += atomic_load_acquire(&kernel_state.cpus[i]->online) != 0; /* pairs with kernel_cpu_boot */
	}
	klog(LOG_INFO, "topology: packages=%u caches=%u cores=%u threads=%u online=%u", packages, caches, cores,
	     kernel_state.cpu_count, online);
}
