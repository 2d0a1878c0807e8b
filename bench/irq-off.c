/* SPDX-License-Identifier: MIT */
/*
 * A QEMU plugin for tools/bench-irq-off: how many instructions the kernel executes in one stretch without being able to
 * take an interrupt, on one CPU. Exact: every kernel instruction is counted.
 *
 *   user mode, or a window/idle wait  --first kernel instruction-->  a stretch  --sysretq, iretq, or sti and the
 *   instruction in its shadow-->  user mode, or a window/idle wait
 *
 * Nothing is counted before the first return (the boot: it ends with one), nor the stretch in which the machine ends. Stretches
 * of one kind (most and second most of their instructions in the same functions) are kept as one line: how many, and the longest with its
 * instructions by function.
 *
 * Arguments: symbols=FILE (lines `address name`, ascending), out=FILE, over=N (shorter ones have no line).
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qemu-plugin.h"

int qemu_plugin_version = 1;

#define STRETCH_MAX (1u << 22)
#define FUNCTIONS_MAX 8192u
#define KINDS_MAX 4096u

enum place { IN_STRETCH, IN_SHADOW, OPEN };

struct kind {
	uint16_t most, second;
	uint64_t number, longest;
	uint32_t *by_function; /* of the longest */
};

static struct {
	uint64_t address[FUNCTIONS_MAX];
	char *name[FUNCTIONS_MAX];
	uint32_t count;
} functions;

static struct kind kinds[KINDS_MAX];
static uint32_t kind_count;
static enum place place = OPEN;
static bool booted;
static uint16_t stretch[STRETCH_MAX]; /* function of each instruction */
static uint64_t length, longest, stretches, over = 1000;
static const char *out_path;

static uint16_t function_of(uint64_t address)
{
	uint32_t low = 0, high = functions.count;

	while (high - low > 1) {
		uint32_t middle = (low + high) / 2;

		if (functions.address[middle] <= address)
			low = middle;
		else
			high = middle;
	}
	return (uint16_t)low;
}

static void keep(void)
{
	static uint32_t counts[FUNCTIONS_MAX];
	uint64_t logged = length < STRETCH_MAX ? length : STRETCH_MAX;
	uint16_t most = 0, second = 0;
	uint32_t i;

	memset(counts, 0, sizeof(counts));
	for (uint64_t n = 0; n < logged; n++)
		counts[stretch[n]]++;
	for (i = 0; i < functions.count; i++)
		if (counts[i] > counts[most])
			most = (uint16_t)i;
	for (i = 0; i < functions.count; i++)
		if (i != most && (counts[i] > counts[second] || second == most))
			second = (uint16_t)i;
	for (i = 0; i < kind_count && (kinds[i].most != most || kinds[i].second != second); i++)
		;
	if (i == kind_count) {
		if (kind_count == KINDS_MAX)
			abort();
		kinds[kind_count++] = (struct kind){ .most = most,
						     .second = second,
						     .by_function = calloc(functions.count, sizeof(uint32_t)) };
	}
	kinds[i].number++;
	if (length > kinds[i].longest) {
		kinds[i].longest = length;
		memcpy(kinds[i].by_function, counts, functions.count * sizeof(uint32_t));
	}
}

static void stretch_ends(void)
{
	stretches++;
	if (length > longest)
		longest = length;
	if (length >= over)
		keep();
	length = 0;
	place = OPEN;
}

static void kernel_instruction(unsigned cpu, void *data)
{
	(void)cpu;
	if (!booted)
		return;
	if (length < STRETCH_MAX)
		stretch[length] = (uint16_t)(uintptr_t)data;
	length++;
	if (place == IN_SHADOW)
		stretch_ends();
	else
		place = IN_STRETCH;
}

static void kernel_return(unsigned cpu, void *data)
{
	kernel_instruction(cpu, data);
	if (booted)
		stretch_ends();
	booted = true;
}

static void kernel_sti(unsigned cpu, void *data)
{
	kernel_instruction(cpu, data);
	place = IN_SHADOW;
}

static void user_block(unsigned cpu, void *data)
{
	(void)cpu;
	(void)data;
	if (booted && place != OPEN) {
		fprintf(stderr, "irq-off: user mode after an instruction that is not known as a return\n");
		abort();
	}
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	(void)id;
	if (qemu_plugin_tb_vaddr(tb) >> 63 == 0) {
		qemu_plugin_register_vcpu_tb_exec_cb(tb, user_block, QEMU_PLUGIN_CB_NO_REGS, NULL);
		return;
	}
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		const uint8_t *code = qemu_plugin_insn_data(insn);
		size_t size = qemu_plugin_insn_size(insn);
		void *function = (void *)(uintptr_t)function_of(qemu_plugin_insn_vaddr(insn));
		bool sysretq = size == 3 && memcmp(code, "\x48\x0f\x07", 3) == 0;
		bool iretq = size == 2 && memcmp(code, "\x48\xcf", 2) == 0;
		bool sti = size == 1 && code[0] == 0xfb;

		qemu_plugin_register_vcpu_insn_exec_cb(insn,
						       sti		  ? kernel_sti
						       : sysretq || iretq ? kernel_return
									  : kernel_instruction,
						       QEMU_PLUGIN_CB_NO_REGS, function);
	}
}

static int by_length(const void *a, const void *b)
{
	const struct kind *x = a, *y = b;

	return (x->longest < y->longest) - (x->longest > y->longest);
}

static void ended(qemu_plugin_id_t id, void *data)
{
	FILE *out = fopen(out_path, "w");

	(void)id;
	(void)data;
	if (out == NULL)
		return;
	qsort(kinds, kind_count, sizeof(kinds[0]), by_length);
	fprintf(out, "stretches %llu longest %llu\n", (unsigned long long)stretches, (unsigned long long)longest);
	for (uint32_t i = 0; i < kind_count; i++) {
		fprintf(out, "kind %llu %llu", (unsigned long long)kinds[i].longest,
			(unsigned long long)kinds[i].number);
		for (uint32_t f = 0; f < functions.count; f++)
			if (kinds[i].by_function[f] != 0)
				fprintf(out, " %s=%u", functions.name[f], kinds[i].by_function[f]);
		fprintf(out, "\n");
	}
	fclose(out);
}

static bool symbols_load(const char *path)
{
	FILE *file = fopen(path, "r");
	unsigned long long address;
	char name[256];

	if (file == NULL)
		return false;
	while (functions.count < FUNCTIONS_MAX && fscanf(file, "%llx %255s", &address, name) == 2) {
		functions.address[functions.count] = address;
		functions.name[functions.count++] = strdup(name);
	}
	fclose(file);
	return functions.count > 0 && functions.count < FUNCTIONS_MAX;
}

int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
	(void)info;
	for (int i = 0; i < argc; i++) {
		if (strncmp(argv[i], "out=", 4) == 0)
			out_path = strdup(argv[i] + 4);
		else if (strncmp(argv[i], "over=", 5) == 0)
			over = strtoull(argv[i] + 5, NULL, 10);
		else if (strncmp(argv[i], "symbols=", 8) != 0 || !symbols_load(argv[i] + 8))
			return -1;
	}
	if (out_path == NULL || functions.count == 0)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, ended, NULL);
	return 0;
}
