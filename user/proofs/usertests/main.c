/* SPDX-License-Identifier: MIT */
/*
 * usertests [GROUP…]: the good and the bad paths of every call of the contract, in TAP. After each group the process
 * uses exactly what it used before.
 */
#include "usertests.h"

capos_handle sample[CAPOS_IFACE_COUNT];

static const struct group groups[] = {
	{ "generic", test_generic },	 { "cap", test_cap },
	{ "memory", test_memory },	 { "space", test_space },
	{ "thread", test_thread },	 { "process", test_process },
	{ "timer", test_timer },	 { "notification", test_notification },
	{ "park", test_park },		 { "endpoint", test_endpoint },
	{ "ring", test_ring },		 { "devices", test_devices },
	{ "info", test_info },		 { "policy", test_policy },
	{ "context", test_context },	 { "quota", test_quota },
	{ "no-memory", test_no_memory }, { "errors", test_errors },
};

static void make_samples(void)
{
	struct capos_spawn spawn;

	child_init(&spawn, "sleep");
	insist(spawn_start(&spawn, &sample[CAPOS_IFACE_process], NULL));
	insist(factory_notification(known.factory, &sample[CAPOS_IFACE_notification]));
	insist(factory_endpoint(known.factory, PROOF_IFACE, &sample[CAPOS_IFACE_endpoint]));
	insist(factory_memory(known.factory, CAPOS_PAGE_BYTES, 0, &sample[CAPOS_IFACE_memory_object]));
	insist(factory_park_space(known.factory, &sample[CAPOS_IFACE_park_space]));
	insist(session_manager_create(known.session_manager, 7, "tester", &sample[CAPOS_IFACE_user_session], NULL));
	sample[CAPOS_IFACE_cap_table] = known.caps;
	sample[CAPOS_IFACE_process_spawner] = known.process_spawner;
	sample[CAPOS_IFACE_thread] = known.self;
	sample[CAPOS_IFACE_thread_spawner] = known.threads;
	sample[CAPOS_IFACE_timer] = known.timer;
	sample[CAPOS_IFACE_wall_clock] = known.wall_clock;
	sample[CAPOS_IFACE_factory] = known.factory;
	sample[CAPOS_IFACE_address_space] = known.space;
	sample[CAPOS_IFACE_console] = known.console;
	sample[CAPOS_IFACE_log] = known.log;
	sample[CAPOS_IFACE_entropy] = known.entropy;
	sample[CAPOS_IFACE_system_info] = known.system_info;
	sample[CAPOS_IFACE_trace] = known.trace;
	sample[CAPOS_IFACE_power] = known.power;
	sample[CAPOS_IFACE_session_manager] = known.session_manager;
	sample[CAPOS_IFACE_scheduling_policy] = known.policy;
	sample[CAPOS_IFACE_scheduling_context] = known.context;
}

/* Lets tables grow to their final size, so that later comparisons of memory are exact. */
static void warm_up(void)
{
	capos_handle handle[512];
	unsigned count = 0;
	struct thread thread;

	while (count < COUNT_OF(handle) && result_ok(insist_on(factory_notification(known.factory, &handle[count]))))
		count++;
	while (count > 0)
		destroy(handle[--count]);
	insist(thread_start(&thread, (thread_function)(void *)yield, NULL));
	must(thread_finish(&thread, CAPOS_NEVER, NULL));
}

static bool wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return true;
	return argc < 2 && strcmp(name, "no-memory") != 0;
}

int main(int argc, char **argv)
{
	cap_need("timer");
	cap_need("system_info");
	tap_plan(0);
	if (wanted("growth", argc, argv))
		test_growth();
	warm_up();
	make_samples();
	for (size_t i = 0; i < COUNT_OF(groups); i++)
		if (wanted(groups[i].name, argc, argv))
			run_group(&groups[i]);
	(void)process_kill(sample[CAPOS_IFACE_process], 0);
	(void)spawn_finish(sample[CAPOS_IFACE_process], CAPOS_NEVER, NULL);
	return tap_done();
}
