/* SPDX-License-Identifier: MIT */
#include "exhaustion.h"

uint64_t frames_free(void)
{
	struct capos_memory_info info = { 0 };

	return result_ok(system_info_memory(known.system_info, &info)) ? info.frames_free : 0;
}

void mode_init(struct capos_spawn *spawn, const char *args)
{
	spawn_init(spawn, "exhaustion", args);
	(void)spawn_grant_own(spawn, "console");
	(void)spawn_grant_own(spawn, "log");
	(void)spawn_grant_own(spawn, "timer");
	(void)spawn_grant_own(spawn, "system_info");
	(void)spawn_grant_own(spawn, "process_spawner");
	(void)spawn_grant_own(spawn, "session_manager");
}

int main(int argc, char **argv)
{
	const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} modes[] = {
		{ "quota", mode_quota },
		{ "table", mode_table },
		{ "bomb", mode_bomb },
		{ "waiters", mode_waiters },
	};

	for (size_t i = 0; argc > 1 && i < COUNT_OF(modes); i++)
		if (strcmp(argv[1], modes[i].name) == 0)
			return modes[i].run(argc, argv);
	tap_plan(0);
	grow_table();
	(void)child_run("exit 0");
	test_quotas();
	test_waiters();
	test_machine();
	test_bombs();
	return tap_done();
}
