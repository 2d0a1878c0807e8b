/* SPDX-License-Identifier: MIT */
/*
 * Programs that take what they can, beside a victim that computes on the same CPU. Fairness is between threads: with k
 * threads of the bomb that can run there, the victim has 1/(k + 1) of the CPU by the kernel's own accounts, less a fifth. What
 * k can be, the bomb's thread quota bounds. Measured until it holds, for PATIENCE_NS at most: a stall of the host hits
 * one of them, and is made up for. The bomb's end takes all that it started with it, and gives everything back.
 */
#include "exhaustion.h"

#define SHORTEST_NS (40 * MS)
#define PATIENCE_NS (5 * SECOND)
#define FORKS 5u
#define CPUS_MAX 8u
#define FORK_BYTES (2ull << 20)

static void leaks(void)
{
	capos_handle last = known.timer, h = 0;

	for (uint64_t i = 0;; i++) {
		if (i % 3 == 0 &&
		    result_ok(cap_table_derive(known.caps, last, CAPOS_RIGHT_READ | CAPOS_RIGHT_GRANT, 0, &h)))
			last = h;
		(void)factory_memory(known.factory, PAGE, 0, &h);
		(void)factory_notification(known.factory, NULL);
	}
}

/* As many children as the quota has, each of which does the same, and computes. */
static void forks(void)
{
	struct capos_spawn spawn;
	volatile uint64_t rounds = 0;

	for (;;) {
		mode_init(&spawn, "bomb fork");
		spawn.memory_bytes = 2 * FORK_BYTES;
		spawn.slots = 64;
		spawn.threads = 2;
		spawn.processes = 1;
		spawn.cpu = 0;
		if (!result_ok(spawn_start(&spawn, NULL, NULL))) {
			spawn.memory_bytes = FORK_BYTES - 65536;
			spawn.slots = 20;
			spawn.threads = 1;
			spawn.processes = 0;
			(void)spawn_start(&spawn, NULL, NULL);
		}
		for (unsigned i = 0; i < 10000; i++)
			rounds = rounds + 1;
	}
}

/* The queues always full, never reaped. */
static void floods_ring(void)
{
	struct capos_sqe entry = RING_CALL(1, cap_table, nop, known.caps, CAPOS_NEVER, 0, 0, 0, 0);

	for (;;) {
		while (ring_submit(&entry))
			;
		(void)ring_enter(0, 0);
	}
}

static void floods_timers(void)
{
	struct capos_cqe completion;

	for (;;) {
		struct capos_sqe entry = RING_CALL(1, timer, sleep, known.timer, now_ns() + 2000, 0, 0, 0, 0);

		while (ring_submit(&entry))
			;
		(void)ring_enter(1, now_ns() + 1000);
		while (ring_reap(&completion))
			;
	}
}

static void floods_log(void)
{
	static const char line[] = "a line of a program that does nothing else, over and over again";

	for (;;)
		(void)log_write(known.log, 4, line, sizeof(line) - 1);
}

static capos_handle storm_bell;

static uint64_t storms_at(void *argument)
{
	(void)argument;
	while (result_ok(notification_signal(storm_bell, 1)))
		;
	return 0;
}

/* Woken all the time, from another CPU if there is one. */
static void storms(void)
{
	struct thread thread;

	if (!result_ok(factory_notification(known.factory, &storm_bell)) ||
	    !result_ok(thread_start_on(&thread, storms_at, NULL, startup()->cpu_count > 1, 0)))
		return;
	for (;;)
		(void)notification_wait(storm_bell, CAPOS_NEVER, NULL);
}

static uint32_t storm_word;

static uint64_t unparks(void *argument)
{
	(void)argument;
	for (;;)
		(void)unpark(&storm_word, 1);
	return 0;
}

/* The same with park: the value never changes, so each unpark is for nothing. */
static void storms_park(void)
{
	struct thread thread;

	if (!result_ok(thread_start_on(&thread, unparks, NULL, startup()->cpu_count > 1, 0)))
		return;
	for (;;)
		(void)park_while(&storm_word, 0, CAPOS_NEVER);
}

static void floods_console(void)
{
	static const char line[] = "# a line of a program that writes nothing else\n";

	for (;;)
		(void)console_write(known.console, line, sizeof(line) - 1, NULL);
}

static void computes(void)
{
	volatile uint64_t rounds = 0;

	while (rounds != CAPOS_NEVER)
		rounds = rounds + 1;
}

static const struct bomb {
	const char *name;
	void (*run)(void);
	unsigned threads; /* that can run on the victim's CPU, at most */
	bool pair;	  /* with one more on the second CPU, if there is one */
} bombs[] = {
	{ "spin", computes, 1, false },		 { "leak", leaks, 1, false },
	{ "fork", forks, FORKS + 1, false },	 { "ring", floods_ring, 1, false },
	{ "timer", floods_timers, 1, false },	 { "log", floods_log, 1, false },
	{ "console", floods_console, 1, false }, { "storm", storms, 1, true },
	{ "unpark", storms_park, 1, true },
};

/* bomb NAME */
int mode_bomb(int argc, char **argv)
{
	for (size_t i = 0; argc > 2 && i < COUNT_OF(bombs); i++)
		if (strcmp(argv[2], bombs[i].name) == 0)
			bombs[i].run();
	return 1;
}

static capos_handle start(const struct bomb *bomb)
{
	struct capos_spawn spawn;
	capos_handle process = 0;
	char args[32];

	fmt_buf(args, sizeof(args), "bomb %s", bomb->name);
	mode_init(&spawn, args);
	spawn.memory_bytes = bomb->run == forks ? 8 * FORK_BYTES : FORK_BYTES;
	spawn.slots = 400;
	spawn.threads = bomb->run == forks ? FORKS + 1 : 2;
	spawn.processes = bomb->run == forks ? FORKS : 0;
	spawn.cpu = 0;
	insist(spawn_start(&spawn, &process, NULL));
	return process;
}

/* --- accounts ------------------------------------------------------------------------------------------------------- */

struct accounts {
	uint64_t time_ns[CPUS_MAX], busy_ns[CPUS_MAX], idle_ns[CPUS_MAX], irq_ns[CPUS_MAX];
	uint64_t threads_ns; /* of all processes */
};

/*
 * A CPU's accounts go to where it last switched: so each is read on the CPU itself, which has just switched to this thread.
 * Those of threads on the other CPUs are at most a tick old.
 */
static struct accounts accounts_now(void)
{
	struct capos_process_info infos[PROCESS_INFOS_MAX];
	struct accounts now = { 0 };
	uint64_t next = 0, count = 0;

	for (uint32_t cpu = 0; cpu < startup()->cpu_count && cpu < CPUS_MAX; cpu++) {
		struct capos_cpu_info info[CPU_INFOS_MAX];

		must(thread_set_cpu(self()->handle, cpu));
		(void)sleep_ns(1);
		must(system_info_cpus(known.system_info, cpu, info, NULL, NULL));
		now.time_ns[cpu] = now_ns();
		now.busy_ns[cpu] = info[0].busy_ns;
		now.idle_ns[cpu] = info[0].idle_ns;
		now.irq_ns[cpu] = info[0].irq_ns;
	}
	do {
		must(system_info_processes(known.system_info, next, infos, &count, &next));
		for (uint64_t i = 0; i < count; i++)
			now.threads_ns += infos[i].runtime_ns;
	} while (count > 0 && next != 0);
	(void)thread_set_cpu(self()->handle, CAPOS_CPU_ANY);
	return now;
}

static uint64_t distance(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

/* On each CPU all time is somebody's, and what is not idle or an interrupt is the processes', within 1 %. */
static bool add_up(const struct accounts *first, const struct accounts *last, uint64_t permille[3])
{
	uint64_t elapsed = 0, busy = 0, irq = 0, threads = last->threads_ns - first->threads_ns;
	bool good = true;

	for (uint32_t cpu = 0; cpu < startup()->cpu_count && cpu < CPUS_MAX; cpu++) {
		uint64_t time = last->time_ns[cpu] - first->time_ns[cpu];
		uint64_t sum = last->busy_ns[cpu] - first->busy_ns[cpu] + last->idle_ns[cpu] - first->idle_ns[cpu] +
			       last->irq_ns[cpu] - first->irq_ns[cpu];

		good = good && distance(time, sum) * 100 <= time;
		elapsed += time;
		busy += last->busy_ns[cpu] - first->busy_ns[cpu];
		irq += last->irq_ns[cpu] - first->irq_ns[cpu];
	}
	permille[0] = busy * 1000 / elapsed;
	permille[1] = irq * 1000 / elapsed;
	permille[2] = threads * 1000 / elapsed;
	return good && distance(busy, threads) * 100 <= elapsed;
}

static void beside(const struct bomb *bomb)
{
	struct usage before = usage_now();
	uint64_t begin, elapsed, ran, free_before = frames_free();
	unsigned threads = bomb->threads + (bomb->pair && startup()->cpu_count == 1);
	uint64_t wanted = 800 / (threads + 1); /* of 1,000 */
	capos_handle victim = start(&bombs[0]), process = start(bomb);
	struct capos_process_info first = { 0 }, now = { 0 }, attacker = { 0 };
	struct accounts accounts_first, accounts_last;
	uint64_t permille[3];
	bool good, sums;

	/* A fork bomb has its children first. */
	(void)becomes_true(bomb->run != forks ||
			   (result_ok(process_info(process, &attacker)) && attacker.memory_used > 5 * FORK_BYTES));
	(void)sleep_ns(10 * MS);
	must(process_info(victim, &first));
	begin = now_ns();
	accounts_first = accounts_now();
	do {
		(void)sleep_ns(SHORTEST_NS);
		must(process_info(victim, &now));
		must(process_info(process, &attacker));
		elapsed = now_ns() - begin;
		ran = now.runtime_ns - first.runtime_ns;
		good = ran * 1000 / elapsed >= wanted;
		accounts_last = accounts_now();
		sums = add_up(&accounts_first, &accounts_last, permille);
	} while (!(good && sums) && elapsed < PATIENCE_NS);
	good = good && attacker.state == 2 && (bomb->run != forks || attacker.memory_used > 5 * FORK_BYTES);
	tap_ok(good, "beside %s, %u threads: %lu of 1,000 of the CPU, at least %lu", bomb->name, threads,
	       (unsigned long)(ran * 1000 / elapsed), (unsigned long)wanted);
	tap_ok(sums,
	       "its kernel time is charged: busy %lu, interrupts %lu of 1,000; threads %lu; with idle: all time",
	       (unsigned long)permille[0], (unsigned long)permille[1], (unsigned long)permille[2]);
	must(process_kill(process, 3));
	good = ended(child_end(process), CAPOS_EXIT_KILLED, 3);
	must(process_kill(victim, 4));
	good = ended(child_end(victim), CAPOS_EXIT_KILLED, 4) && good;
	tap_ok(good, "%s ends when it is killed", bomb->name);
	tap_returns(before, "with all that it started, and gives everything back");
	tap_ok(becomes_true(frames_free() + 32 >= free_before), "its frames too: %lu, %lu",
	       (unsigned long)free_before, (unsigned long)frames_free());
}

void test_bombs(void)
{
	for (unsigned i = 0; i < COUNT_OF(bombs); i++)
		beside(&bombs[i]);
}
