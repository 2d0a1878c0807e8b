/* SPDX-License-Identifier: MIT */
/* Where CPUs sit, from CPUID. Pure but for cpuid_leaf: also linked by its unit test. */
#ifndef TOPOLOGY_X86_H
#define TOPOLOGY_X86_H

#include <mach/mach.h>

struct cpuid {
	u32 eax, ebx, ecx, edx;
};

/* Zeroes for a leaf that the CPU does not have (it would answer with garbage). */
struct cpuid cpuid_leaf(u32 leaf, u32 subleaf);

/* From the APIC ids, the boot CPU's first: descriptors in the order of their ids (mach.h). */
void topology_find(struct cpu_desc *cpus, const u32 *apic_ids, u32 count);

#endif
