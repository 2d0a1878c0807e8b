/* SPDX-License-Identifier: MIT */
/*
 * fuzzcalls [CALLS SEED]: performs fuzz cases (case.h) and looks whether everything is back afterwards. A case is two
 * hostile processes that share an endpoint, a notification and memory; the second holds the first. Whatever is left of them
 * after a while is killed. Without CALLS each case is performed once, else variations of them until so many calls are made.
 */
#include "fuzzcalls.h"

#define POOLS 14u /* slabs that pools may keep: one each */

struct shared {
	struct block page; /* counters */
	capos_handle port, bell, heap;
};

static uint64_t *counters;
static uint64_t ends[CAPOS_EXIT_START_FAILED + 1];

static capos_handle start_hostile(uint32_t index, uint32_t process, uint64_t mutation, const struct shared *shared,
				  capos_handle victim)
{
	struct capos_spawn spawn;
	capos_handle handle = 0;
	char args[64];

	fmt_buf(args, sizeof(args), "hostile %u %u %lu", index, process, (unsigned long)mutation);
	child_init(&spawn, args);
	copy_name(spawn.program, sizeof(spawn.program), "fuzzcalls");
	spawn.memory_bytes = 2u << 20;
	spawn.slots = 128;
	spawn.threads = 16;
	spawn.processes = 3;
	(void)spawn_grant(&spawn, "shared", shared->page.memory, CAPOS_RIGHT_READ | CAPOS_RIGHT_WRITE);
	(void)spawn_grant(&spawn, "port", shared->port, 0);
	(void)spawn_grant(&spawn, "bell", shared->bell, 0);
	(void)spawn_grant(&spawn, "heap", shared->heap, 0);
	(void)spawn_grant(&spawn, "process_spawner", known.process_spawner,
			  CAPOS_RIGHT_READ | CAPOS_RIGHT_CREATE | CAPOS_RIGHT_GRANT);
	(void)spawn_grant(&spawn, "system_info", known.system_info, CAPOS_RIGHT_READ | CAPOS_RIGHT_GRANT);
	/* It may not write to the console that this report goes to; it may ask for it. */
	(void)spawn_grant(&spawn, "console", known.console, CAPOS_RIGHT_READ | CAPOS_RIGHT_GRANT);
	(void)spawn_grant(&spawn, "trace", known.trace, CAPOS_RIGHT_READ | CAPOS_RIGHT_GRANT);
	if (victim)
		(void)spawn_grant(&spawn, "victim", victim, 0);
	else
		(void)spawn_grant(&spawn, "entropy", known.entropy, CAPOS_RIGHT_READ | CAPOS_RIGHT_GRANT);
	insist(spawn_start(&spawn, &handle, NULL));
	return handle;
}

static void finish(capos_handle process, uint64_t deadline_ns)
{
	struct process_end end = { 0 };

	if (!result_ok(process_wait(process, deadline_ns, &end)))
		(void)process_kill(process, 1);
	(void)spawn_finish(process, CAPOS_NEVER, &end); /* revoked, if the other one destroyed it */
	ends[end.cause < COUNT_OF(ends) ? end.cause : 0]++;
}

static void perform(uint32_t index, uint64_t mutation, struct shared *shared, uint64_t unit_ns)
{
	capos_handle process[CASE_PROCESSES] = { 0 };
	const struct case_header *header;
	uint32_t bytes = 0;
	const uint8_t *data = case_at(index, &bytes);

	if (!data || bytes < sizeof(*header))
		return;
	header = (const struct case_header *)data;
	insist(factory_endpoint(known.factory, PROOF_IFACE, &shared->port));
	insist(factory_notification(known.factory, &shared->bell));
	insist(factory_memory(known.factory, 8 * PAGE, 0, &shared->heap));
	__atomic_store_n(&counters[GO], 0, __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < CASE_PROCESSES; i++)
		process[i] = start_hostile(index, i, mutation, shared, i > 0 ? process[0] : 0);

	__atomic_store_n(&counters[GO], 1, __ATOMIC_RELEASE);

	uint64_t deadline_ns = now_ns() + unit_ns * (1 + header->patience % 8);

	for (uint32_t i = 0; i < CASE_PROCESSES; i++)
		finish(process[i], deadline_ns);
	destroy(shared->port);
	destroy(shared->bell);
	destroy(shared->heap);
}

static uint64_t kernel_bytes(uint64_t *frames_free)
{
	struct capos_memory_info info = { 0 };

	(void)system_info_memory(known.system_info, &info);
	*frames_free = info.frames_free;
	return info.kernel_bytes;
}

/* The same, when what was deferred is done: it has not changed for a while. An idle CPU does some at each tick. */
static uint64_t settled_bytes(uint64_t *frames_free)
{
	uint64_t bytes = kernel_bytes(frames_free);

	for (unsigned quiet = 0; quiet < 4; quiet++) {
		(void)sleep_ns(11 * MS);
		if (kernel_bytes(frames_free) != bytes)
			quiet = 0;
		bytes = kernel_bytes(frames_free);
	}
	return bytes;
}

static void report(uint64_t rounds)
{
	for (unsigned i = 0; i < 32; i++)
		if (counters[COUNT_STATUS + i])
			tap_note("%8lu %s", (unsigned long)counters[COUNT_STATUS + i],
				 i < 31 ? status_name(i) : "unknown status");
	for (unsigned i = 0; i < COUNT_OF(ends); i++)
		if (ends[i])
			tap_note("%8lu processes ended by: %s", (unsigned long)ends[i], exit_cause_name(i));
	tap_note("cases %lu calls %lu", (unsigned long)rounds, (unsigned long)counters[COUNT_CALLS]);
}

static int supervise(uint64_t calls, uint64_t seed)
{
	uint64_t unit_ns = on_simulator() ? MS / 2 : 3 * MS, rounds = 0, objects, frames, frames_now = 0;
	uint32_t count = fuzz_cases()->count;
	struct shared shared = { 0 };
	struct usage before;

	tap_plan(4);
	grow_table();
	insist(block_map(&shared.page, CAPOS_PAGE_BYTES));
	counters = shared.page.address;
	(void)child_run("exit 0");
	before = usage_now();
	objects = settled_bytes(&frames);
	for (uint64_t n = 0; n < count || (calls && counters[COUNT_CALLS] < calls && rounds < calls); n++, rounds++)
		perform((uint32_t)(count ? n % count : 0), calls ? seed * 1000003 + n : 0, &shared, unit_ns);
	report(rounds);
	tap_ok(counters[COUNT_CALLS] >= calls && counters[COUNT_STATUS + 31] == 0,
	       "as many calls as asked for, and no unknown status");
	tap_returns(before, "this process uses what it used before");

	uint64_t objects_now = 0;
	bool same = becomes_true((objects_now = kernel_bytes(&frames_now)) == objects);

	tap_ok(same, "kernel objects: %lu bytes before, %lu after", (unsigned long)objects,
	       (unsigned long)objects_now);
	same = becomes_true((kernel_bytes(&frames_now), frames_now + POOLS >= frames));
	tap_ok(same, "the machine has its memory back: %lu frames free before, %lu after", (unsigned long)frames,
	       (unsigned long)frames_now);
	block_unmap(&shared.page);
	return tap_done();
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "hostile") == 0)
		return hostile((uint32_t)number_of(argv[2]), (uint32_t)number_of(argv[3]), number_of(argv[4]));
	return supervise(argc > 1 ? number_of(argv[1]) : 0, argc > 2 ? number_of(argv[2]) : 1);
}
