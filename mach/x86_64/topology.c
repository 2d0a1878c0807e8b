/* SPDX-License-Identifier: MIT */
/*
 * Where a CPU sits, from its APIC id and the boot CPU's CPUID: ids are bit fields, and all CPUs of a machine share
 * their widths. `core` and `llc` are unique over the machine.
 */
#include "topology.h"

struct shifts {
	u32 core;    /* id >> core: a core */
	u32 llc;     /* id >> llc: a last-level cache */
	u32 package; /* id >> package */
};

static u32 log2_up(u32 n)
{
	return n <= 1 ? 0 : 32 - (u32)__builtin_clz(n - 1);
}

/* Leaf 0x1f or 0xb: levels with the shift to the next one. */
static bool shifts_by_levels(u32 leaf, struct shifts *s)
{
	bool found = false;

	for (u32 i = 0; i < 8; i++) {
		struct cpuid c = cpuid_leaf(leaf, i);
		u32 type = c.ecx >> 8 & 0xff;

		if (type == 0 || (c.ebx & 0xffff) == 0)
			break;
		if (type == 1)
			s->core = c.eax & 0x1f;
		s->package = MAX(s->package, c.eax & 0x1f);
		found = true;
	}
	return found;
}

/* The processor has AMD's topology leaves. */
static bool has_extensions(void)
{
	return (cpuid_leaf(0x80000001u, 0).ecx & 1u << 22) != 0;
}

/* How many there are: the fields of the id have room for so many. Older AMD processors do not say who is whose sibling. */
static void shifts_by_counts(struct shifts *s)
{
	u32 logical = cpuid_leaf(1, 0).ebx >> 16 & 0xff;
	bool many = (cpuid_leaf(1, 0).edx & 1u << 28) != 0;
	struct cpuid intel = cpuid_leaf(4, 0), amd = cpuid_leaf(0x80000008u, 0);

	if (!many)
		return;
	s->package = log2_up(logical);
	if (has_extensions() || (intel.eax & 0x1f) == 0) {
		s->package = MAX(s->package, amd.ecx >> 12 & 0xf);
		if (has_extensions())
			s->core = log2_up((cpuid_leaf(0x8000001eu, 0).ebx >> 8 & 0xff) + 1);
	} else {
		u32 cores = log2_up((intel.eax >> 26) + 1);

		s->core = s->package > cores ? s->package - cores : 0;
	}
}

static void shifts_of_cache(u32 leaf, struct shifts *s)
{
	u32 level = 0;

	for (u32 i = 0; i < 8; i++) {
		struct cpuid c = cpuid_leaf(leaf, i);

		if ((c.eax & 0x1f) == 0)
			break;
		if ((c.eax >> 5 & 7) >= level && (c.eax & 0x1f) != 2) {
			level = c.eax >> 5 & 7;
			s->llc = log2_up((c.eax >> 14 & 0xfff) + 1);
		}
	}
	if (level < 2)
		s->llc = s->package;
}

static void find_shifts(struct shifts *s)
{
	if (!shifts_by_levels(0x1f, s) && !shifts_by_levels(0xb, s))
		shifts_by_counts(s);
	shifts_of_cache(has_extensions() ? 0x8000001du : 4, s);
	s->core = MIN(s->core, s->package);
	s->llc = MIN(MAX(s->llc, s->core), s->package);
}

/* What is shared with the boot CPU comes first, so that this has id 0; else in the order of APIC ids. */
static bool goes_before(const struct cpu_desc *a, const struct cpu_desc *b, const struct cpu_desc *boot)
{
	const u32 left[] = { a->package != boot->package, a->package, a->llc != boot->llc,	   a->llc,
			     a->core != boot->core,	  a->core,    a->apic_id != boot->apic_id, a->smt };
	const u32 right[] = { b->package != boot->package, b->package, b->llc != boot->llc,	    b->llc,
			      b->core != boot->core,	   b->core,    b->apic_id != boot->apic_id, b->smt };

	for (u32 i = 0; i < ARRAY_COUNT(left); i++)
		if (left[i] != right[i])
			return left[i] < right[i];
	return false;
}

void topology_find(struct cpu_desc *cpus, const u32 *apic_ids, u32 count)
{
	struct shifts s = { 0, 0, 0 };
	struct cpu_desc boot;

	find_shifts(&s);
	for (u32 i = 0; i < count; i++)
		cpus[i] = (struct cpu_desc){
			.apic_id = apic_ids[i],
			.package = apic_ids[i] >> s.package,
			.llc = apic_ids[i] >> s.llc,
			.core = apic_ids[i] >> s.core,
			.smt = apic_ids[i] & ((1u << s.core) - 1),
		};
	boot = cpus[0];
	/* By insertion: firmware tells them about in order. */
	for (u32 i = 1; i < count; i++) {
		struct cpu_desc desc = cpus[i];
		u32 at = i;

		for (; at > 0 && goes_before(&desc, &cpus[at - 1], &boot); at--)
			cpus[at] = cpus[at - 1];
		cpus[at] = desc;
	}
}
