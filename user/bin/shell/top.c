/* SPDX-License-Identifier: MIT */
/*
 * top: two samples a second apart, and what happened between them. CPU load is (busy + irq) / (busy + irq + idle) of
 * the interval; a thread's share is its run time in the interval over the interval's length, %WAIT the time that it was runnable
 * but waited, up to its last turn. Threads with a budget: how much of it they used in the interval, what is left, and how it
 * stands; the columns are there when a thread has one.
 */
#include "shell.h"

#include <user/term.h>

#define CPUS_MAX 256u
#define THREADS_MAX 256u
#define PROCESSES_MAX 96u
#define ROWS_CPUS 16u
#define ROWS_THREADS 16u
#define SCREEN_BYTES 8192u
#define INTERVAL_NS 1000000000ull
#define BAR_COLUMNS 24u

struct thread_sample {
	uint64_t id, pid, runtime_ns, share; /* share: in 1/1000 of a CPU */
	uint64_t runnable_ns, waiting;	     /* waiting: as share, runnable without running */
	uint64_t switches, migrations;
	uint32_t state, wait, cpu, weight;
	uint32_t latency_class; /* CAPOS_LATENCY_CLASS_COUNT: not told */
	bool has_budget;
	struct capos_context_info budget;
	uint64_t spent; /* in 1/1000 of what the budget is in the interval */
};

struct sample {
	uint64_t ns;
	struct capos_cpu_info cpus[CPUS_MAX];
	unsigned cpu_count;
	struct thread_sample threads[THREADS_MAX];
	unsigned thread_count;
	bool has_budgets;
};

static struct sample samples[2];
static struct {
	uint64_t id;
	char name[CAPOS_NAME_BYTES];
} processes[PROCESSES_MAX];
static unsigned process_count;

static char screen[SCREEN_BYTES];
static size_t screen_length;

__attribute__((format(printf, 1, 2))) static void add(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	screen_length += fmt_vbuf(screen + screen_length, SCREEN_BYTES - screen_length, format, args);
	va_end(args);
	if (screen_length >= SCREEN_BYTES)
		screen_length = SCREEN_BYTES - 1;
}

static void take_thread(const struct capos_thread_info *info, void *context)
{
	struct sample *sample = context;

	if (sample->thread_count == THREADS_MAX)
		return;
	sample->threads[sample->thread_count++] = (struct thread_sample){
		.id = info->id,
		.pid = info->process_id,
		.runtime_ns = info->runtime_ns,
		.runnable_ns = info->runnable_ns,
		.switches = info->context_switches,
		.migrations = info->migrations,
		.state = info->state,
		.wait = info->wait,
		.cpu = info->last_cpu,
		.weight = info->weight,
		.latency_class = CAPOS_LATENCY_CLASS_COUNT,
	};
}

/* With authority over scheduling the kernel tells the class, too. */
static void take_record(const struct capos_thread_record *record, void *context)
{
	struct sample *sample = context;
	uint64_t migrations = 0;

	if (sample->thread_count == THREADS_MAX)
		return;
	for (unsigned i = 0; i < CAPOS_MIGRATION_KINDS; i++)
		migrations += record->migrations[i];
	sample->threads[sample->thread_count++] = (struct thread_sample){
		.id = record->id,
		.pid = record->process_id,
		.runtime_ns = record->runtime_ns,
		.runnable_ns = record->runnable_accumulated_ns,
		.switches = record->context_switches,
		.migrations = migrations,
		.state = record->state,
		.wait = record->wait,
		.cpu = record->cpu,
		.weight = record->weight,
		.latency_class = record->latency_class,
	};
}

static void take_budget(const struct capos_context_record *record, void *context)
{
	struct sample *sample = context;

	for (unsigned i = 0; i < sample->thread_count; i++) {
		if (sample->threads[i].id != record->context.thread_id)
			continue;
		sample->threads[i].has_budget = sample->has_budgets = true;
		sample->threads[i].budget = record->context;
	}
}

static bool take_threads(struct sample *sample)
{
	sample->has_budgets = false;
	return known.policy ? each_thread_record(take_record, sample) && each_context_record(take_budget, sample)
			    : each_thread(take_thread, sample);
}

static void take_process(const struct capos_process_info *info, void *context)
{
	(void)context;
	if (process_count == PROCESSES_MAX)
		return;
	processes[process_count].id = info->id;
	copy_name(processes[process_count++].name, CAPOS_NAME_BYTES, info->name);
}

static bool take(struct sample *sample)
{
	uint64_t total = 1, count = 0;
	struct capos_cpu_info infos[CPU_INFOS_MAX];

	sample->ns = now_ns();
	sample->cpu_count = sample->thread_count = process_count = 0;
	while (sample->cpu_count < total && sample->cpu_count < CPUS_MAX) {
		struct capos_result r = system_info_cpus(known.system_info, sample->cpu_count, infos, &total, &count);

		if (!result_ok(r) || count == 0) {
			shell_fail("system_info: cpus", CAPOS_IFACE_system_info, r);
			return false;
		}
		for (uint64_t i = 0; i < count && i < CPU_INFOS_MAX && sample->cpu_count < CPUS_MAX; i++)
			sample->cpus[sample->cpu_count++] = infos[i];
	}
	return take_threads(sample) && each_process(take_process, NULL);
}

static const char *process_name(uint64_t pid)
{
	for (unsigned i = 0; i < process_count; i++)
		if (processes[i].id == pid)
			return processes[i].name;
	return "?";
}

/* Of its budget, between two samples. In whole microseconds, so that an hour's budget fits. */
static uint64_t spent_of(const struct thread_sample *now, const struct thread_sample *before, uint64_t interval)
{
	const struct capos_context_spec *spec = &now->budget.spec;
	uint64_t used = now->budget.used_ns, due_us;

	if (!now->has_budget)
		return 0;
	if (before->has_budget && before->budget.context_id == now->budget.context_id)
		used -= before->budget.used_ns;
	due_us = spec->budget_ns / 1000 * (interval / 1000) / (spec->period_ns / 1000);
	return due_us ? used / 1000 * 1000 / due_us : 0;
}

/* Shares of the newer sample's threads, then the busiest first. */
static void sort_threads(struct sample *now, const struct sample *before)
{
	uint64_t interval = now->ns > before->ns ? now->ns - before->ns : 1;

	for (unsigned i = 0; i < now->thread_count; i++) {
		uint64_t ran = 0, waited = 0;

		for (unsigned k = 0; k < before->thread_count; k++) {
			if (before->threads[k].id != now->threads[i].id)
				continue;
			now->threads[i].spent = spent_of(&now->threads[i], &before->threads[k], interval);
			ran = before->threads[k].runtime_ns;
			waited = before->threads[k].runnable_ns;
		}
		if (now->threads[i].runtime_ns > ran)
			now->threads[i].share = (now->threads[i].runtime_ns - ran) * 1000 / interval;
		if (now->threads[i].runnable_ns > waited)
			now->threads[i].waiting = (now->threads[i].runnable_ns - waited) * 1000 / interval;
	}
	for (unsigned i = 1; i < now->thread_count; i++) {
		struct thread_sample moved = now->threads[i];
		unsigned k = i;

		for (; k > 0 && now->threads[k - 1].share < moved.share; k--)
			now->threads[k] = now->threads[k - 1];
		now->threads[k] = moved;
	}
}

/* In 1/1000. */
static uint64_t cpu_load(const struct capos_cpu_info *now, const struct capos_cpu_info *before)
{
	uint64_t busy = now->busy_ns - before->busy_ns + now->irq_ns - before->irq_ns;
	uint64_t all = busy + now->idle_ns - before->idle_ns;

	return all ? busy * 1000 / all : 0;
}

static void show_cpus(const struct sample *now, const struct sample *before)
{
	for (unsigned i = 0; i < now->cpu_count && i < before->cpu_count && i < ROWS_CPUS; i++) {
		uint64_t load = cpu_load(&now->cpus[i], &before->cpus[i]);
		char bar[BAR_COLUMNS + 1];

		for (unsigned k = 0; k < BAR_COLUMNS; k++)
			bar[k] = k * 1000ull < load * BAR_COLUMNS ? '#' : '.';
		bar[BAR_COLUMNS] = 0;
		add("cpu%-3u [%s] %3lu.%lu%%  queued %3u  switches %6lu  ipis %6lu\x1b[K\n", now->cpus[i].id, bar,
		    (unsigned long)(load / 10), (unsigned long)(load % 10), now->cpus[i].queued,
		    (unsigned long)(now->cpus[i].switches - before->cpus[i].switches),
		    (unsigned long)(now->cpus[i].ipis - before->cpus[i].ipis));
	}
	if (now->cpu_count > ROWS_CPUS)
		add("... and %u more\x1b[K\n", now->cpu_count - ROWS_CPUS);
}

static void show_budget(const struct thread_sample *thread)
{
	const struct capos_context_info *info = &thread->budget;
	char budget[32], left[24];

	if (!thread->has_budget)
		return;
	add(" %10s %5lu.%lu %8s ", budget_text(&info->spec, budget), (unsigned long)(thread->spent / 10),
	    (unsigned long)(thread->spent % 10), left_text(info, left));
	if (info->donated)
		add("lent to %lu ", (unsigned long)info->holder_id);
	if (info->state != CAPOS_CONTEXT_BOUND && info->state != CAPOS_CONTEXT_THROTTLED)
		add("%s", context_state_name(info->state));
}

static void show_thread_row(const struct thread_sample *thread)
{
	const char *class =
		thread->latency_class < CAPOS_LATENCY_CLASS_COUNT ? latency_class_name(thread->latency_class) : "-";
	/* Of one that is blocked: on what. */
	const char *state =
		thread->state == CAPOS_THREAD_BLOCKED ? wait_name(thread->wait) : thread_state_name(thread->state);
	char time[32];

	add("%5lu %5lu %-10.10s %3lu.%lu %-12.12s %3u %-6.6s %6u %3lu.%lu %6lu %4lu %8s", (unsigned long)thread->id,
	    (unsigned long)thread->pid, process_name(thread->pid), (unsigned long)(thread->share / 10),
	    (unsigned long)(thread->share % 10), state, thread->cpu, class, thread->weight,
	    (unsigned long)(thread->waiting / 10), (unsigned long)(thread->waiting % 10),
	    (unsigned long)thread->switches, (unsigned long)thread->migrations, span_text(thread->runtime_ns, time));
	show_budget(thread);
	add("\x1b[K\n");
}

static void show(struct sample *now, const struct sample *before)
{
	struct capos_memory_info memory = { 0 };
	char up[32], used[32], total[32];

	(void)system_info_memory(known.system_info, &memory);
	sort_threads(now, before);
	screen_length = 0;
	add("\x1b[Hcapos   up %s   %u CPUs   %u threads   memory %s of %s   (q ends)\x1b[K\n",
	    clock_text(now->ns, up), now->cpu_count, now->thread_count,
	    size_text(memory.total_bytes - memory.free_bytes, used), size_text(memory.total_bytes, total));
	show_cpus(now, before);
	add("\x1b[K\n  TID   PID PROGRAM     %%CPU STATE        CPU CLASS  WEIGHT %%WAIT SWITCH MOVE CPU TIME%s\x1b[K\n",
	    now->has_budgets ? "     BUDGET  %SPENT     LEFT" : "");
	for (unsigned i = 0; i < now->thread_count && i < ROWS_THREADS; i++)
		show_thread_row(&now->threads[i]);
	add("\x1b[J");
	print_bytes(screen, screen_length);
}

int command_top(int argc, char **argv)
{
	uint64_t times = CAPOS_NEVER;
	unsigned current = 0;

	if (argc == 3 && strcmp(argv[1], "-n") == 0 && shell_number(argv[2], &times))
		argc = 1;
	if (argc != 1)
		return shell_usage("top");
	print("\x1b[2J");
	if (!take(&samples[current]))
		return 1;
	for (uint64_t i = 0; i < times; i++) {
		/* The first picture soon, the others every second. */
		uint64_t deadline = now_ns() + (i ? INTERVAL_NS : INTERVAL_NS / 5);
		struct capos_result why = { 0 };
		int byte = term_byte(deadline, &why);

		if (byte == 'q' || byte == 'Q' || byte == 3)
			break;
		if (byte < 0 && why.status != CAPOS_STATUS_TIMED_OUT)
			(void)sleep_until_ns(deadline);
		current ^= 1;
		if (!take(&samples[current]))
			return 1;
		show(&samples[current], &samples[current ^ 1]);
	}
	print("\n");
	return 0;
}
