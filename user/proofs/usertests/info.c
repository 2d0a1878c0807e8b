/* SPDX-License-Identifier: MIT */
/* system_info: machine, CPUs, memory, processes and threads. */
#include "usertests.h"

static void cpus(void)
{
	struct capos_cpu_info infos[CPU_INFOS_MAX];
	uint64_t total = 0, count = 0, seen = 0;
	bool good = true;

	for (uint64_t at = 0; at < startup()->cpu_count; at += count) {
		good = result_ok(system_info_cpus(known.system_info, at, infos, &total, &count)) && count > 0;
		if (!good)
			break;
		for (uint64_t i = 0; i < count; i++) {
			good = good && infos[i].id == at + i && infos[i].online;
			seen++;
		}
	}
	tap_ok(good && total == startup()->cpu_count && seen == total, "cpus: %lu, all online", (unsigned long)total);
	expect_good(system_info_cpus(known.system_info, CAPOS_NEVER, infos, &total, &count), "cpus from 2^64 - 1");
	tap_ok(count == 0, "none");
}

/* Between the two looks frames of something that has ended may come back: not a second time. */
static bool a_megabyte_is_less(void)
{
	struct capos_memory_info before = { 0 }, after = { 0 };
	struct block block;

	(void)system_info_memory(known.system_info, &before);
	insist(block_map(&block, 1 << 20));
	(void)system_info_memory(known.system_info, &after);
	block_unmap(&block);
	return after.frames_free + 256 <= before.frames_free;
}

static void memory(void)
{
	struct capos_memory_info info = { 0 }, after = { 0 };

	expect_good(system_info_memory(known.system_info, &info), "memory");
	tap_ok(info.total_bytes > 0 && info.free_bytes < info.total_bytes && info.frames_free <= info.frames_total,
	       "%lu MiB, %lu free", (unsigned long)(info.total_bytes >> 20), (unsigned long)(info.free_bytes >> 20));
	tap_ok(becomes_true(a_megabyte_is_less()), "a megabyte less when it is allocated");
	tap_ok(becomes_true(result_ok(system_info_memory(known.system_info, &after)) &&
			    after.frames_free + 16 >= info.frames_free),
	       "and free again");
}

static void lists(void)
{
	struct capos_process_info processes[PROCESS_INFOS_MAX];
	struct capos_thread_info threads[THREAD_INFOS_MAX];
	uint64_t next = 0, count = 0, last = 0, found = 0, child = 0, guard = 0;
	bool good = true;

	do {
		good = result_ok(system_info_processes(known.system_info, next, processes, &count, &next)) && good;
		for (uint64_t i = 0; good && i < count; i++) {
			good = processes[i].id > last || last == 0;
			last = processes[i].id;
			found += processes[i].id == startup()->process_id;
			child += processes[i].parent_id == startup()->process_id;
		}
	} while (good && next && ++guard < 1000);
	tap_ok(good && found == 1 && child == 1, "processes: in order, this one once, its child once");
	next = last = found = guard = 0;
	do {
		good = result_ok(system_info_threads(known.system_info, next, threads, &count, &next)) && good;
		for (uint64_t i = 0; good && i < count; i++) {
			good = threads[i].id > last || last == 0;
			last = threads[i].id;
			found += threads[i].id == startup()->thread_id;
		}
	} while (good && next && ++guard < 1000);
	tap_ok(good && found == 1, "threads: in order, this one once");
	expect_good(system_info_processes(known.system_info, CAPOS_NEVER, processes, &count, &next),
		    "processes from 2^64 - 1");
	tap_ok(count == 0 && next == 0, "none");
}

void test_info(void)
{
	struct capos_machine_info machine = { 0 };

	expect_good(system_info_machine(known.system_info, &machine), "machine");
	tap_ok(machine.abi_version == CAPOS_ABI_VERSION && machine.cpu_count == startup()->cpu_count &&
		       machine.uptime_ns > 0,
	       "%.31s, ABI %u, %u CPUs", machine.machine, machine.abi_version, machine.cpu_count);
	cpus();
	memory();
	lists();
}
