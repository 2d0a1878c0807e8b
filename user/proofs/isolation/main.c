/* SPDX-License-Identifier: MIT */
#include "isolation.h"

struct guard guard;

static capos_handle fault_port;
static struct thread guard_keeper;

static uint64_t keep_guard(void *argument)
{
	const struct message skip = { .words = 1, .word = { CAPOS_FAULT_SKIP } };
	struct request request;

	(void)argument;
	while (IS(endpoint_recv(fault_port, CAPOS_NEVER, 0, &request), OK)) {
		guard.cause = request.message.word[0];
		guard.address = request.message.word[2];
		guard.faults = guard.faults + 1;
		(void)endpoint_reply(&skip);
	}
	return 0;
}

void guard_thread(capos_handle thread)
{
	must(thread_set_fault_endpoint(thread, fault_port));
}

void guard_begin(void)
{
	insist(factory_endpoint(known.factory, 0, &fault_port));
	insist(thread_start(&guard_keeper, keep_guard, NULL));
	guard_thread(known.self);
}

void guard_end(void)
{
	must(thread_set_fault_endpoint(known.self, 0));
	destroy(fault_port);
	must(thread_finish(&guard_keeper, CAPOS_NEVER, NULL));
}

void mode_init(struct capos_spawn *spawn, const char *args)
{
	spawn_init(spawn, "isolation", args);
	spawn->memory_bytes = 2u << 20;
	(void)spawn_grant_own(spawn, "console");
	(void)spawn_grant_own(spawn, "timer");
	(void)spawn_grant_own(spawn, "system_info");
}

bool mode_run(const char *args)
{
	struct capos_spawn spawn;

	mode_init(&spawn, args);
	return ends_well(&spawn);
}

int main(int argc, char **argv)
{
	const struct mode modes[] = {
		{ "jump", mode_jump },	 { "secret", mode_secret }, { "scan", mode_scan },
		{ "touch", mode_touch }, { "spin", mode_spin },	    { "guess", mode_guess },
	};
	const struct mode *mode = mode_asked(modes, COUNT_OF(modes), argc, argv);

	if (mode != NULL)
		return mode->run(argc, argv);
	tap_plan(0);
	grow_table();
	(void)child_run("exit 0");
	test_frames();
	test_handles();
	test_messages();
	if (on_simulator()) {
		tap_skip("addresses, instructions, stale translations, registers: only on x86_64");
		return tap_done();
	}
	test_addresses();
	test_instructions();
	test_stale();
	test_registers();
	return tap_done();
}
