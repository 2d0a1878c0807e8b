/* SPDX-License-Identifier: MIT */
/* LINK: mach/x86_64/topology.c */
/* Where CPUs sit, by each way in which processors tell it: leaf 0x1f, 0xb, 1 and 4, AMD's 0x80000008 and 0x8000001e. */
#include "mach/x86_64/topology.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define CPUS_MAX 64u

struct leaf {
	u32 leaf, subleaf;
	struct cpuid is;
};

static const struct leaf *leaves;
static u32 leaf_count;
static struct cpu_desc cpu[CPUS_MAX];

struct cpuid cpuid_leaf(u32 leaf, u32 subleaf)
{
	for (u32 i = 0; i < leaf_count; i++)
		if (leaves[i].leaf == leaf && leaves[i].subleaf == subleaf)
			return leaves[i].is;
	return (struct cpuid){ 0 };
}

#define FIND(table, ...)                                                                                             \
	do {                                                                                                         \
		static const u32 ids_[] = { __VA_ARGS__ };                                                           \
		leaves = (table);                                                                                    \
		leaf_count = ARRAY_COUNT(table);                                                                     \
		topology_find(cpu, ids_, ARRAY_COUNT(ids_));                                                         \
	} while (0)

static void check(u32 id, u32 apic_id, u32 package, u32 llc, u32 core, u32 smt)
{
	assert_int_equal(cpu[id].apic_id, apic_id);
	assert_int_equal(cpu[id].package, package);
	assert_int_equal(cpu[id].llc, llc);
	assert_int_equal(cpu[id].core, core);
	assert_int_equal(cpu[id].smt, smt);
}

/* Shared by 2 << n threads: bits 25:14; level 3. */
#define L3(sharing) { 3u << 5 | 3u | ((sharing) - 1) << 14, 0, 0, 0 }
#define L1(sharing) { 1u << 5 | 1u | ((sharing) - 1) << 14, 0, 0, 0 }

/* A server of two packages, each of two dies, four cores on a die, two threads each: 1 + 2 + 1 bits. */
static const struct leaf dies[] = {
	{ 0x1f, 0, { 1, 2, 1 << 8, 0 } },
	{ 0x1f, 1, { 3, 8, 2 << 8 | 1, 0 } },
	{ 0x1f, 2, { 4, 16, 5 << 8 | 2, 0 } },
	{ 0xb, 0, { 1, 2, 1 << 8, 0 } },
	{ 0xb, 1, { 4, 16, 2 << 8 | 1, 0 } },
	{ 4, 0, L1(2) },
	{ 4, 1, L3(8) },
};

static void levels_with_dies(void **state)
{
	(void)state;
	/* Siblings last, as many firmwares list them. */
	FIND(dies, 0, 2, 8, 16, 18, 1, 3, 9, 17, 19);
	check(0, 0, 0, 0, 0, 0);
	check(1, 1, 0, 0, 0, 1);
	check(2, 2, 0, 0, 1, 0);
	check(3, 3, 0, 0, 1, 1);
	check(4, 8, 0, 1, 4, 0);
	check(5, 9, 0, 1, 4, 1);
	check(6, 16, 1, 2, 8, 0);
	check(9, 19, 1, 2, 9, 1);
}

/* Its own thread, core, cache and package come first. */
static void the_boot_cpu_is_the_first(void **state)
{
	static const u32 expected[] = { 19, 18, 16, 17, 24, 0, 1, 8 };

	(void)state;
	FIND(dies, 19, 0, 1, 8, 16, 17, 18, 24);
	for (u32 i = 0; i < ARRAY_COUNT(expected); i++)
		assert_int_equal(cpu[i].apic_id, expected[i]);
}

/* No 0x1f: three cores of two threads, so that ids 6 and 7 do not exist. */
static void levels_of_an_odd_machine(void **state)
{
	static const struct leaf table[] = {
		{ 0xb, 0, { 1, 2, 1 << 8, 0 } },
		{ 0xb, 1, { 3, 6, 2 << 8 | 1, 0 } },
		{ 4, 0, L3(8) },
	};

	(void)state;
	FIND(table, 0, 1, 2, 3, 4, 5, 8, 9);
	check(5, 5, 0, 0, 2, 1);
	check(6, 8, 1, 1, 4, 0);
}

/* x2APIC ids of 32 bits. */
static void large_ids(void **state)
{
	static const struct leaf table[] = {
		{ 0xb, 0, { 1, 2, 1 << 8, 0 } },
		{ 0xb, 1, { 8, 256, 2 << 8 | 1, 0 } },
	};

	(void)state;
	FIND(table, 0x10200, 0x10201, 0x10300);
	check(1, 0x10201, 0x102, 0x102, 0x8100, 1);
	check(2, 0x10300, 0x103, 0x103, 0x8180, 0);
}

/* Leaves 1 and 4 only: 8 logical CPUs in 4 cores; the cache is shared by half of them. */
static void counts_of_intel(void **state)
{
	static const struct leaf table[] = {
		{ 1, 0, { 0, 8u << 16, 0, 1u << 28 } },
		{ 4, 0, { 3u << 5 | 3u | 3u << 14 | 3u << 26, 0, 0, 0 } },
	};

	(void)state;
	FIND(table, 0, 1, 2, 3, 4, 5, 6, 7, 8);
	check(3, 3, 0, 0, 1, 1);
	check(4, 4, 0, 1, 2, 0);
	check(8, 8, 1, 2, 4, 0);
}

/* AMD without extended topology: 6 cores in 3 bits. With it: two threads per core, the cache by leaf 0x8000001d. */
static void counts_of_amd(void **state)
{
	static const struct leaf old[] = {
		{ 1, 0, { 0, 6u << 16, 0, 1u << 28 } },
		{ 0x80000008u, 0, { 0, 0, 3u << 12 | 5, 0 } },
	};
	static const struct leaf extended[] = {
		{ 1, 0, { 0, 16u << 16, 0, 1u << 28 } },
		{ 0x80000001u, 0, { 0, 0, 1u << 22, 0 } },
		{ 0x80000008u, 0, { 0, 0, 4u << 12 | 15, 0 } },
		{ 0x8000001eu, 0, { 0, 1u << 8, 0, 0 } },
		{ 0x8000001du, 0, L1(2) },
		{ 0x8000001du, 1, L3(8) },
		{ 4, 0, L3(16) },
	};

	(void)state;
	FIND(old, 0, 1, 5, 8);
	check(2, 5, 0, 0, 5, 0);
	check(3, 8, 1, 1, 8, 0);
	FIND(extended, 0, 1, 8, 16);
	check(1, 1, 0, 0, 0, 1);
	check(2, 8, 0, 1, 4, 0);
	check(3, 16, 1, 2, 8, 0);
}

/* Nothing is told: each CPU is a package. */
static void no_leaves(void **state)
{
	static const struct leaf table[] = { { 1, 0, { 0, 1u << 16, 0, 0 } } };

	(void)state;
	FIND(table, 0, 1);
	check(1, 1, 1, 1, 1, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(levels_with_dies),
		cmocka_unit_test(the_boot_cpu_is_the_first),
		cmocka_unit_test(levels_of_an_odd_machine),
		cmocka_unit_test(large_ids),
		cmocka_unit_test(counts_of_intel),
		cmocka_unit_test(counts_of_amd),
		cmocka_unit_test(no_leaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
