/* SPDX-License-Identifier: MIT */
/* Stations about the machine: what was found, threads on every CPU, the clock. */
#include "tour.h"

#define CPUS_SHOWN 1024u

void tour_machine(void)
{
	struct capos_machine_info machine = { 0 };
	struct capos_memory_info memory = { 0 };
	struct capos_result r = system_info_machine(known.system_info, &machine);

	show(result_ok(r) && machine.abi_version == CAPOS_ABI_VERSION, "machine",
	     "%.31s, capOS %.31s (%.15s), ABI %u", machine.machine, machine.version, machine.build,
	     machine.abi_version);
	r = system_info_memory(known.system_info, &memory);
	show(result_ok(r) && memory.free_bytes > 0 && memory.free_bytes < memory.total_bytes, "memory",
	     "%lu MiB, %lu MiB free, %lu KiB in kernel objects", (unsigned long)(memory.total_bytes >> 20),
	     (unsigned long)(memory.free_bytes >> 20), (unsigned long)(memory.kernel_bytes >> 10));
}

/* Which CPU the calling thread runs on, by the kernel's account of it. */
static uint64_t where_am_i(void *argument)
{
	struct capos_thread_info info = { .last_cpu = CAPOS_CPU_ANY };

	(void)argument;
	if (!result_ok(thread_info(self()->handle, &info)))
		return CAPOS_CPU_ANY;
	return info.last_cpu;
}

static unsigned count_packages(uint32_t cpu_count, unsigned *online)
{
	uint64_t total = cpu_count;
	uint32_t packages = 0;

	*online = 0;
	for (uint64_t first = 0; first < total;) {
		struct capos_cpu_info infos[CPU_INFOS_MAX];
		uint64_t count = 0;

		if (!result_ok(system_info_cpus(known.system_info, first, infos, &total, &count)) || !count)
			break;
		for (uint64_t i = 0; i < count && i < CPU_INFOS_MAX; i++) {
			*online += infos[i].online != 0;
			if (infos[i].package + 1 > packages)
				packages = infos[i].package + 1;
		}
		first += count;
	}
	return packages;
}

/* One thread pinned to each CPU in turn tells where it runs. */
void tour_cpus(void)
{
	uint32_t cpus = startup()->cpu_count, right = 0;
	unsigned online, packages = count_packages(cpus, &online);
	char list[100];
	size_t n = 0;

	show(online == cpus && cpus > 0, "processors", "%u found and online, in %u package%s", online, packages,
	     packages == 1 ? "" : "s");
	list[0] = 0;
	for (uint32_t cpu = 0; cpu < cpus && cpu < CPUS_SHOWN; cpu++) {
		struct thread thread;
		uint64_t ran_on = CAPOS_CPU_ANY;
		struct capos_result r = thread_start_on(&thread, where_am_i, NULL, cpu, 0);

		if (result_ok(r))
			r = thread_finish(&thread, CAPOS_NEVER, &ran_on);
		right += result_ok(r) && ran_on == cpu;
		if (n + 8 < sizeof(list))
			n += fmt_buf(list + n, sizeof(list) - n, " %lu", (unsigned long)(uint32_t)ran_on);
		else if (list[n - 1] != '.')
			n += fmt_buf(list + n, sizeof(list) - n, " ...");
	}
	show(right == cpus, "threads", "pinned to each CPU in turn they ran on%s", list);
}

struct worker {
	struct thread thread;
	uint32_t cpu;
};

static struct barrier workers_meet;

static uint64_t work(void *argument)
{
	(void)argument;
	barrier_wait(&workers_meet);
	for (volatile unsigned i = 0; i < 20000; i++)
		;
	return where_am_i(NULL);
}

static void tour_all_at_once(void)
{
	static struct worker workers[64];
	uint32_t cpus = startup()->cpu_count, count = cpus < 64 ? cpus : 64, started = 0, right = 0;

	barrier_init(&workers_meet, count);
	for (; started < count; started++)
		if (!result_ok(thread_start_on(&workers[started].thread, work, NULL, started, 0)))
			break;
	/* Stand in for those that could not be started. */
	for (uint32_t i = started; i < count; i++)
		__atomic_sub_fetch(&workers_meet.count, 1, __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < started && started == count; i++) {
		uint64_t ran_on = CAPOS_CPU_ANY;

		if (result_ok(thread_finish(&workers[i].thread, CAPOS_NEVER, &ran_on)))
			right += ran_on == i;
	}
	show(right == count, "together", "%u threads met at a barrier, each on a CPU of its own", right);
}

void tour_clock(void)
{
	uint64_t last = now_ns(), deadline, late;
	bool forward = true;

	tour_all_at_once();
	for (unsigned i = 0; i < 1000; i++) {
		uint64_t now = now_ns();

		forward = forward && now >= last;
		last = now;
	}
	show(forward, "clock", "1,000 readings, none before the one before it");
	deadline = last + 20000000;

	struct capos_result r = sleep_until_ns(deadline);

	late = now_ns() - deadline;
	show(result_ok(r) && (int64_t)late >= 0, "timer", "slept for 20 ms, woke %lu us after the deadline",
	     (unsigned long)(late / 1000));
}
