/* SPDX-License-Identifier: MIT */
/*
 * Jobs: processes that the shell started. A foreground job is the console's foreground process, so that Ctrl-C ends
 * it; background jobs keep their handles here until they were reported.
 */
#include "shell.h"

#define JOBS_MAX 32u
#define CODE_KILLED 137u

/* Quota of a job, unless `run` says otherwise. */
#define JOB_MEMORY_BYTES (6ull << 20)
#define JOB_SLOTS 256u
#define JOB_THREADS 32u
#define JOB_PROCESSES 4u

struct job {
	capos_handle process; /* 0: free */
	uint64_t pid;
	capos_handle budget; /* context that goes with it; 0: none */
	char line[64];
};

static struct job jobs[JOBS_MAX];

static struct job *find_job(uint64_t pid)
{
	for (unsigned i = 0; i < JOBS_MAX; i++)
		if (jobs[i].process && (pid == 0 || jobs[i].pid == pid))
			return &jobs[i];
	return NULL;
}

/* Says how it ended: nothing for a foreground job that ended well. */
static void report(const struct job *job, const struct process_end *end, bool foreground)
{
	char text[END_TEXT_BYTES];
	bool well = end->cause == CAPOS_EXIT_NORMAL && end->code == 0;

	if (foreground && well)
		return;
	if (end->cause == CAPOS_EXIT_INTERRUPTED)
		print("^C\n");
	print("[%lu] %s: %s\n", (unsigned long)job->pid, job->line, process_end_text(end, text));
}

/* Waits for it; false: it still lives. */
static bool finish(struct job *job, uint64_t deadline_ns, bool foreground, struct process_end *end)
{
	struct capos_result r = spawn_finish(job->process, deadline_ns, end);

	if (r.status == CAPOS_STATUS_TIMED_OUT || r.status == CAPOS_STATUS_WOULD_BLOCK)
		return false;
	if (result_ok(r))
		report(job, end, foreground);
	else
		shell_fail("wait", CAPOS_IFACE_process, r);
	job->process = 0;
	if (job->budget)
		budgets_forget(job->budget);
	return true;
}

void jobs_report(void)
{
	struct process_end end = { 0 };

	for (unsigned i = 0; i < JOBS_MAX; i++)
		if (jobs[i].process)
			finish(&jobs[i], 0, false, &end);
}

capos_handle jobs_process(uint64_t pid)
{
	struct job *job = pid ? find_job(pid) : NULL;

	return job ? job->process : 0;
}

void jobs_kill_all(void)
{
	for (unsigned i = 0; i < JOBS_MAX; i++)
		if (jobs[i].process)
			(void)process_kill(jobs[i].process, CODE_KILLED);
}

static void grant_usual(struct capos_spawn *spawn)
{
	const char *const names[] = { "console",    "log",	   "entropy", "timer",
				      "wall_clock", "system_info", "trace",   "process_spawner" };

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		spawn_grant_own(spawn, names[i]);
}

/* "2" or "0,2,3": a CPU, or a set of them (byte_count 0: a CPU). */
static bool parse_cpus(char *text, uint32_t *cpu, struct capos_cpu_set *cpus)
{
	uint64_t value;

	*cpus = (struct capos_cpu_set){ .byte_count = 0 };
	if (strchr(text, ',') != NULL)
		return shell_cpu_set(text, cpus);
	if (!shell_number(text, &value))
		return false;
	*cpu = (uint32_t)value;
	return true;
}

/* What `run` says besides quotas. */
struct options {
	struct capos_cpu_set cpus;	  /* byte_count 0: none, or a CPU */
	struct capos_context_spec budget; /* period_ns 0: none */
	const char *context;		  /* name of one that is there; NULL: none */
};

static bool parse_option(struct capos_spawn *spawn, struct options *options, char letter, char *text, uint64_t *value)
{
	switch (letter) {
	case 'c':
		return parse_cpus(text, &spawn->cpu, &options->cpus);
	case 'b':
		if (!shell_budget(text, &options->budget))
			print("run: budget '%s' is not BUDGET/PERIOD, like 5ms/50ms\n", text);
		return options->context == NULL && options->budget.period_ns != 0;
	case 's':
		options->context = text;
		return options->budget.period_ns == 0;
	default:
		return shell_number(text, value);
	}
}

/* Options of `run`, before the program's name; returns the index of the name, 0: wrong. */
static int parse_options(struct capos_spawn *spawn, struct options *options, int argc, char **argv)
{
	int i = 1;

	for (; i + 1 < argc && argv[i][0] == '-'; i += 2) {
		uint64_t value = 0;

		if (argv[i][1] == 0 || argv[i][2] != 0 ||
		    !parse_option(spawn, options, argv[i][1], argv[i + 1], &value))
			return 0;
		switch (argv[i][1]) {
		case 'm':
			spawn->memory_bytes = value << 10;
			break;
		case 't':
			spawn->threads = (uint32_t)value;
			break;
		case 'p':
			spawn->processes = (uint32_t)value;
			break;
		case 'c':
		case 'b':
		case 's':
			break;
		default:
			return 0;
		}
	}
	return i < argc && argv[i][0] != '-' ? i : 0;
}

static bool join_args(char *to, size_t n, int argc, char **argv)
{
	size_t length = 0;

	to[0] = 0;
	for (int i = 0; i < argc; i++) {
		length += fmt_buf(to + length, n - length, "%s%s", i ? " " : "", argv[i]);
		if (length >= n)
			return false;
	}
	return true;
}

static int run_foreground(struct job *job)
{
	struct process_end end = { 0 };
	struct capos_result r = console_set_foreground(known.console, job->process);

	/* A job may have ended already: that is no reason to speak of the console. */
	if (r.status == CAPOS_STATUS_OK && r.iresult != 0)
		shell_fail("console: foreground", CAPOS_IFACE_console, r);
	finish(job, CAPOS_NEVER, true, &end);
	(void)console_set_foreground(known.console, 0);
	return end.cause == CAPOS_EXIT_NORMAL ? (int)end.code : 1;
}

static void say_not_started(const struct capos_spawn *spawn, struct capos_result r)
{
	char what[CAPOS_NAME_BYTES + 16];

	fmt_buf(what, sizeof(what), "%s: its context", spawn->program);
	if (r.status == CAPOS_STATUS_OK && r.iresult == CAPOS_SPAWN_BAD_CONTEXT)
		budget_fail(what, (struct capos_result){ .iresult = (uint16_t)r.detail });
	else
		shell_fail(spawn->program, CAPOS_IFACE_process_spawner, r);
	if (r.status == CAPOS_STATUS_QUOTA_EXCEEDED && r.detail == CAPOS_QUOTA_MEMORY)
		print("  it was to have %lu KiB of the shell's: `run -m KIB` asks for less, `ps` shows who has what\n",
		      (unsigned long)(spawn->memory_bytes >> 10));
}

/* A budget of its own bears the name jobPID. */
static int start(struct capos_spawn *spawn, const char *line, bool background, capos_handle budget)
{
	struct job foreground = { 0 }, *job = &foreground;
	char name[CAPOS_NAME_BYTES];

	for (unsigned i = 0; background && i < JOBS_MAX && job == &foreground; i++)
		if (!jobs[i].process)
			job = &jobs[i];
	if (background && job == &foreground) {
		print("run: %u background jobs are running already\n", JOBS_MAX);
		return 1;
	}

	struct capos_result r = spawn_start(spawn, &job->process, &job->pid);

	if (!result_ok(r)) {
		job->process = 0;
		say_not_started(spawn, r);
		return 1;
	}
	job->budget = budget;
	fmt_buf(name, sizeof(name), "job%lu", (unsigned long)job->pid);
	if (budget)
		budgets_rename(budget, name);
	copy_name(job->line, sizeof(job->line), line);
	if (background) {
		print("[%lu] %s\n", (unsigned long)job->pid, job->line);
		return 0;
	}
	return run_foreground(job);
}

static bool jobs_have_budget(capos_handle budget)
{
	for (unsigned i = 0; i < JOBS_MAX; i++)
		if (jobs[i].process && jobs[i].budget == budget)
			return true;
	return false;
}

/* The context that its first thread begins bound to. False: it can't be had (said). */
static bool give_budget(struct capos_spawn *spawn, const struct options *options, capos_handle *budget)
{
	capos_handle context = 0;

	*budget = 0;
	if (options->context != NULL)
		context = budgets_find(options->context);
	else if (options->budget.period_ns != 0)
		context = *budget = budgets_create("job", &options->budget, NULL);
	else
		return true;
	return context != 0 && spawn_bind(spawn, context);
}

int jobs_run(int argc, char **argv, const char *line)
{
	struct options options = { .context = NULL };
	struct capos_spawn spawn;
	capos_handle budget;
	bool background = false;
	int name = 0;

	(void)line;
	if (argc > 1 && strcmp(argv[argc - 1], "&") == 0) {
		background = true;
		argc--;
	} else if (argv[argc - 1][0] && argv[argc - 1][strlen(argv[argc - 1]) - 1] == '&') {
		background = true;
		argv[argc - 1][strlen(argv[argc - 1]) - 1] = 0;
	}
	spawn_init(&spawn, "", NULL);
	spawn.memory_bytes = JOB_MEMORY_BYTES;
	spawn.slots = JOB_SLOTS;
	spawn.threads = JOB_THREADS;
	spawn.processes = JOB_PROCESSES;
	if (strcmp(argv[0], "run") == 0 && !(name = parse_options(&spawn, &options, argc, argv)))
		return shell_usage("run");
	if (strlen(argv[name]) >= CAPOS_NAME_BYTES) {
		print("%s: no program has a name that long\n", argv[name]);
		return 1;
	}
	copy_name(spawn.program, sizeof(spawn.program), argv[name]);
	if (!join_args(spawn.args, sizeof(spawn.args), argc - name - 1, argv + name + 1)) {
		print("%s: arguments are longer than %lu bytes\n", argv[name], sizeof(spawn.args) - 1);
		return 1;
	}
	if (!give_budget(&spawn, &options, &budget))
		return 1;
	grant_usual(&spawn);

	char text[64];
	int code = 1;

	join_args(text, sizeof(text), argc - name, argv + name);
	if (options.cpus.byte_count != 0 && !spawn_within(&spawn, &options.cpus))
		print("run: no room for a CPU that high in a set\n");
	else
		code = start(&spawn, text, background, budget);
	/* Nothing runs on it: it was not started, or has ended. */
	if (budget && !jobs_have_budget(budget))
		budgets_forget(budget);
	return code;
}

int command_run(int argc, char **argv)
{
	return jobs_run(argc, argv, NULL);
}

int command_jobs(int argc, char **argv)
{
	bool any = false;

	(void)argc;
	(void)argv;
	jobs_report();
	for (unsigned i = 0; i < JOBS_MAX; i++) {
		if (!jobs[i].process)
			continue;
		any = true;
		print("[%lu] %s\n", (unsigned long)jobs[i].pid, jobs[i].line);
	}
	if (!any)
		print("no background jobs\n");
	return 0;
}

int command_kill(int argc, char **argv)
{
	int failed = 0;

	if (argc < 2)
		return shell_usage("kill");
	for (int i = 1; i < argc; i++) {
		uint64_t pid;
		struct job *job;
		struct process_end end = { 0 };

		if (!shell_number(argv[i], &pid) || pid == 0 || !(job = find_job(pid))) {
			print("kill: %s is no job of this shell (`jobs` lists them)\n", argv[i]);
			failed = 1;
			continue;
		}

		struct capos_result r = process_kill(job->process, CODE_KILLED);

		if (result_ok(r))
			finish(job, CAPOS_NEVER, false, &end);
		else
			failed = shell_fail("kill", CAPOS_IFACE_process, r);
	}
	return failed;
}

int command_wait(int argc, char **argv)
{
	struct process_end end = { 0 };
	uint64_t pid = 0;
	struct job *job;

	if (argc > 2 || (argc == 2 && !shell_number(argv[1], &pid)))
		return shell_usage("wait");
	if (argc == 2 && (pid == 0 || !find_job(pid))) {
		print("wait: %s is no job of this shell (`jobs` lists them)\n", argv[1]);
		return 1;
	}
	while ((job = find_job(pid))) {
		/* Ctrl-C would end the job, as in the foreground. */
		(void)console_set_foreground(known.console, job->process);
		finish(job, CAPOS_NEVER, false, &end);
		(void)console_set_foreground(known.console, 0);
	}
	return 0;
}
