/* SPDX-License-Identifier: MIT */
/*
 * run-faults: each kind of fault, by the program `fault`, ends its process alone, with its cause and address; this
 * process and a bystander go on. tests/qemu/faults.py checks the kernel's report lines.
 */
#include "proof.h"

struct kind {
	const char *name;
	uint64_t causes; /* bits: enum capos_fault_cause */
	uint64_t address;
	bool checked;	 /* the address is the one given */
	bool everywhere; /* also in the simulator */
};

#define BIT(cause) (1ull << CAPOS_FAULT_##cause)

static const struct kind kinds[] = {
	{ "null", BIT(PAGE), 0, true, true },
	{ "wild", BIT(PAGE), 0x123456789000, true, true },
	{ "noncanonical", BIT(OTHER) | BIT(PRIVILEGE) | BIT(PAGE), 0, false, false },
	{ "kernel", BIT(PAGE), 0xffffffff80000000, true, false },
	{ "exec-data", BIT(PAGE), 0, false, false },
	{ "write-code", BIT(PAGE), 0, false, false },
	{ "privileged", BIT(PRIVILEGE), 0, false, false },
	{ "port", BIT(PRIVILEGE), 0, false, false },
	{ "divide", BIT(DIVIDE), 0, false, true },
	{ "opcode", BIT(OPCODE), 0, false, true },
	{ "breakpoint", BIT(BREAKPOINT), 0, false, false },
	{ "overflow", BIT(PAGE) | BIT(STACK), 0, false, false },
	{ "misaligned", BIT(PRIVILEGE) | BIT(ALIGNMENT), 0, false, false }, /* a vector: a general protection fault */
	{ "recursion", BIT(PAGE) | BIT(STACK), 0, false, false },
};

static void one_kind(const struct kind *kind)
{
	struct capos_spawn spawn;
	struct process_end end;
	capos_handle process = 0;

	if (!kind->everywhere && on_simulator()) {
		tap_skip("%s: only on x86_64", kind->name);
		return;
	}
	child_init(&spawn, kind->name);
	copy_name(spawn.program, sizeof(spawn.program), "fault");
	insist(spawn_start(&spawn, &process, NULL));
	end = child_end(process);
	tap_ok(end.cause == CAPOS_EXIT_FAULT && end.fault_cause < 64 && (kind->causes >> end.fault_cause & 1) &&
		       end.fault_ip != 0 && (!kind->checked || end.fault_address == kind->address),
	       "%s: %s, %s at 0x%lx, instruction 0x%lx", kind->name, exit_cause_name(end.cause),
	       fault_cause_name(end.fault_cause), (unsigned long)end.fault_address, (unsigned long)end.fault_ip);
}

int main(int argc, char **argv)
{
	struct capos_spawn spawn;
	capos_handle bystander = 0, port = 0;
	uint64_t word[2], sum = 0;
	struct usage before;
	bool good = true;

	(void)argc;
	(void)argv;
	tap_plan(0);
	grow_table();
	(void)child_run("trap");
	before = usage_now();
	insist(factory_endpoint(known.factory, PROOF_IFACE, &port));
	child_init(&spawn, "serve");
	(void)spawn_grant(&spawn, "port", port, CAPOS_RIGHT_RECV);
	insist(spawn_start(&spawn, &bystander, NULL));
	for (unsigned i = 0; i < COUNT_OF(kinds); i++) {
		one_kind(&kinds[i]);
		word[0] = i + 1;
		sum += i + 1;
		good = result_ok(endpoint_call(port, PROOF_IFACE, PROOF_SUM, word, 1, word, 1)) && word[0] == sum &&
		       good;
	}
	tap_ok(good, "a bystander answered after each");
	tap_ok(ended(child_run("threads 3 fault"), CAPOS_EXIT_FAULT, child_run("trap").code),
	       "three threads that fault at once end one process");
	(void)endpoint_call(port, PROOF_IFACE, PROOF_STOP, NULL, 0, NULL, 0);
	tap_ok(ended(child_end(bystander), CAPOS_EXIT_NORMAL, 0), "and ended well");
	destroy(port);
	tap_returns(before, "the faults left nothing behind");
	return tap_done();
}
