/* SPDX-License-Identifier: MIT */
/*
 * A QEMU plugin for tools/bench-costs and tools/bench-scale-instructions: counts executed instructions by address while an
 * operation of user/bin/costs (user/bin/thread-scale) is between its two marks, and prints `operation address count` at the
 * end. Operation numbers are those of the marks. For one CPU.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qemu-plugin.h"

int qemu_plugin_version = 1;

#define OPERATIONS 64
#define PLACE_BITS 20
#define PLACES (1u << PLACE_BITS)
#define MARK_BASE 0x43430000u

struct place {
	uint64_t address; /* 0: free */
	uint64_t *count;  /* by operation; NULL: not executed in any */
};

static struct place *places[PLACES];
static uint64_t begins[OPERATIONS];
static int current = -1;

static struct place *place_of(uint64_t address)
{
	for (uint64_t i = address * 0x9e3779b97f4a7c15ull >> (64 - PLACE_BITS);; i = (i + 1) % PLACES) {
		if (places[i] == NULL) {
			places[i] = calloc(1, sizeof(struct place));
			places[i]->address = address;
		}
		if (places[i]->address == address)
			return places[i];
	}
}

static void executed(unsigned cpu, void *data)
{
	struct place *place = data;

	(void)cpu;
	if (current < 0)
		return;
	if (place->count == NULL)
		place->count = calloc(OPERATIONS, sizeof(uint64_t));
	place->count[current]++;
}

static void marked(unsigned cpu, void *data)
{
	uintptr_t mark = (uintptr_t)data;

	(void)cpu;
	current = mark % 2 == 0 ? (int)(mark / 2) : -1;
	if (current >= 0)
		begins[current]++;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	(void)id;
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		const uint8_t *code = qemu_plugin_insn_data(insn);
		uint32_t operand;

		/* nopl operand(%rax) */
		if (qemu_plugin_insn_size(insn) == 7 && code[0] == 0x0f && code[1] == 0x1f && code[2] == 0x80) {
			memcpy(&operand, code + 3, sizeof(operand));
			if (operand - MARK_BASE < 2 * OPERATIONS) {
				qemu_plugin_register_vcpu_insn_exec_cb(insn, marked, QEMU_PLUGIN_CB_NO_REGS,
								       (void *)(uintptr_t)(operand - MARK_BASE));
				continue;
			}
		}
		qemu_plugin_register_vcpu_insn_exec_cb(insn, executed, QEMU_PLUGIN_CB_NO_REGS,
						       place_of(qemu_plugin_insn_vaddr(insn)));
	}
}

static void ended(qemu_plugin_id_t id, void *data)
{
	FILE *out = fopen(data, "w");

	(void)id;
	if (out == NULL)
		return;
	for (int operation = 0; operation < OPERATIONS; operation++) {
		if (begins[operation] != 0)
			fprintf(out, "%d begins %llu\n", operation, (unsigned long long)begins[operation]);
		for (uint32_t i = 0; i < PLACES; i++)
			if (places[i] != NULL && places[i]->count != NULL && places[i]->count[operation] != 0)
				fprintf(out, "%d %llx %llu\n", operation, (unsigned long long)places[i]->address,
					(unsigned long long)places[i]->count[operation]);
	}
	fclose(out);
}

int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
	(void)info;
	if (argc != 1 || strncmp(argv[0], "out=", 4) != 0)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, ended, strdup(argv[0] + 4));
	return 0;
}
