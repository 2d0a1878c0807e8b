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
	const struct mode modes[] = {
		{ "quota", mode_quota },
		{ "table", mode_table },
		{ "bomb", mode_bomb },
		{ "waiters", mode_waiters },
	};
	const struct mode *mode = mode_asked(modes, COUNT_OF(modes), argc, argv);

	if (mode != NULL)
		return mode->run(argc, argv);
	tap_plan(0);
	grow_table();
	(void)child_run("exit 0");
	test_quotas();
	test_waiters();
	test_machine();
	test_bombs();
	return tap_done();
}
