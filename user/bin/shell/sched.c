/* SPDX-License-Identifier: MIT */
/*
 * The scheduler's commands: sched (policy and authority), policy (a thread's parameters), why (why a thread does not run). They
 * use the shell's scheduling_policy capability, and say so where it has none.
 */
#include "shell.h"

static bool have_authority(const char *command)
{
	if (known.policy)
		return true;
	print("%s: this shell has no capability scheduling_policy\n", command);
	return false;
}

/* A message of records from that thread or CPU on; *next: where to go on, 0: these were all. False: could not (said). */
static bool read_records(const char *what, enum capos_snapshot_kind kind, uint64_t id, void *records, uint64_t *count,
			 uint64_t *next)
{
	struct capos_result r = scheduling_policy_snapshot(known.policy, kind, id, 0, 0, records, count, next);

	if (!result_ok(r))
		shell_fail(what, CAPOS_IFACE_scheduling_policy, r);
	return result_ok(r);
}

bool each_thread_record(thread_record_visitor visit, void *context)
{
	struct capos_thread_record records[THREAD_RECORDS_MAX];
	uint64_t id = 0, count = 0;

	do {
		if (!read_records("snapshot of threads", CAPOS_SNAPSHOT_THREADS, id, records, &count, &id))
			return false;
		for (uint64_t i = 0; i < count; i++)
			visit(&records[i], context);
	} while (id != 0);
	return true;
}

bool each_context_record(context_record_visitor visit, void *context)
{
	struct capos_context_record records[CONTEXT_RECORDS_MAX];
	uint64_t id = 0, count = 0;

	do {
		if (!read_records("snapshot of contexts", CAPOS_SNAPSHOT_CONTEXTS, id, records, &count, &id))
			return false;
		for (uint64_t i = 0; i < count; i++)
			visit(&records[i], context);
	} while (id != 0);
	return true;
}

/* --- sched ------------------------------------------------------------------------------------------------------------------ */

struct totals {
	uint64_t migrations[CAPOS_MIGRATION_KINDS], wakes_local, wakes_remote, ipis, switches, admitted, denied;
};

static void add_cpu(struct totals *totals, const struct capos_cpu_record *cpu)
{
	for (unsigned i = 0; i < CAPOS_MIGRATION_KINDS; i++)
		totals->migrations[i] += cpu->migrations[i];
	totals->wakes_local += cpu->wakes_local;
	totals->wakes_remote += cpu->wakes_remote;
	totals->ipis += cpu->ipis_sent;
	totals->switches += cpu->switches;
	totals->admitted += cpu->policy_admitted;
	totals->denied += cpu->policy_denied;
}

static bool add_cpus(struct totals *totals)
{
	struct capos_cpu_record records[CPU_RECORDS_MAX];
	uint64_t id = 0, count = 0;

	do {
		if (!read_records("snapshot of CPUs", CAPOS_SNAPSHOT_CPUS, id, records, &count, &id))
			return false;
		for (uint64_t i = 0; i < count; i++)
			add_cpu(totals, &records[i]);
	} while (id != 0);
	return true;
}

static const char *scope_name(uint32_t scope)
{
	const char *const names[] = { "?", "its own thread", "threads of its process", "every thread" };

	return names[scope < sizeof(names) / sizeof(names[0]) ? scope : 0];
}

static void show_authority(void)
{
	struct capos_policy_info info = { 0 };
	struct capos_result r;

	if (!known.policy) {
		print("authority        none: this shell has no capability scheduling_policy\n");
		return;
	}
	r = scheduling_policy_info(known.policy, &info);
	if (!result_ok(r)) {
		shell_fail("authority", CAPOS_IFACE_scheduling_policy, r);
		return;
	}
	print("authority        %s, weight up to %u, class up to %s, request %lu to %lu us%s\n",
	      scope_name(info.bounds.scope), info.bounds.weight_max, latency_class_name(info.bounds.class_best),
	      (unsigned long)(info.bounds.request_min_ns / 1000), (unsigned long)(info.bounds.request_max_ns / 1000),
	      info.expired ? ", expired" : "");
}

int command_sched(int argc, char **argv)
{
	struct capos_machine_info machine = { 0 };
	struct totals totals = { 0 };

	(void)argv;
	if (argc != 1)
		return shell_usage("sched");
	(void)system_info_machine(known.system_info, &machine);
	print("policy           %s, one fair queue per CPU\n", machine.scheduler);
	print("weights          1 to %u, default %u\n", CAPOS_WEIGHT_MAX, CAPOS_WEIGHT_DEFAULT);
	print("classes          interactive (request 1 ms, due at its start), normal (4 ms), batch (16 ms)\n");
	show_authority();
	if (!known.policy)
		return 0;
	if (!add_cpus(&totals))
		return 1;
	print("switches         %lu   wake-ups here %lu, elsewhere %lu   IPIs %lu\n", (unsigned long)totals.switches,
	      (unsigned long)totals.wakes_local, (unsigned long)totals.wakes_remote, (unsigned long)totals.ipis);
	print("moves           ");
	for (unsigned i = 0; i < CAPOS_MIGRATION_KINDS; i++)
		print(" %s %lu", migration_name(i), (unsigned long)totals.migrations[i]);
	print("\nuses of policy   %lu admitted, %lu denied\n", (unsigned long)totals.admitted,
	      (unsigned long)totals.denied);
	return 0;
}

/* --- policy ----------------------------------------------------------------------------------------------------------------- */

static bool class_number(const char *name, uint64_t *value)
{
	for (uint32_t i = 0; i < CAPOS_LATENCY_CLASS_COUNT; i++) {
		if (strcmp(latency_class_name(i), name) == 0) {
			*value = i;
			return true;
		}
	}
	return false;
}

int command_policy(int argc, char **argv)
{
	uint64_t thread, value;
	struct capos_result r;

	if (argc != 4 || !shell_number(argv[1], &thread))
		return shell_usage("policy");
	if (!have_authority("policy"))
		return 1;
	if (strcmp(argv[2], "weight") == 0 && shell_number(argv[3], &value))
		r = scheduling_policy_set_weight(known.policy, thread, value);
	else if (strcmp(argv[2], "class") == 0 && class_number(argv[3], &value))
		r = scheduling_policy_set_latency_class(known.policy, thread, value);
	else if (strcmp(argv[2], "request") == 0 && shell_number(argv[3], &value) && value <= CAPOS_NEVER / 1000)
		r = scheduling_policy_set_request(known.policy, thread, value * 1000);
	else
		return shell_usage("policy");
	return result_ok(r) ? 0 : shell_fail("policy", CAPOS_IFACE_scheduling_policy, r);
}

/* --- why -------------------------------------------------------------------------------------------------------------------- */

/* False: there is none, or it could not be read (said). */
static bool find_thread(uint64_t id, struct capos_thread_record *thread)
{
	struct capos_thread_record records[THREAD_RECORDS_MAX];
	uint64_t count = 0;

	if (!read_records("snapshot of threads", CAPOS_SNAPSHOT_THREADS, id, records, &count, NULL))
		return false;
	if (count == 0 || records[0].id != id) {
		print("why: no thread has the id %lu\n", (unsigned long)id);
		return false;
	}
	*thread = records[0];
	return true;
}

static bool find_cpu(uint32_t id, struct capos_cpu_record *cpu)
{
	struct capos_cpu_record records[CPU_RECORDS_MAX];
	uint64_t count = 0;

	if (!read_records("snapshot of CPUs", CAPOS_SNAPSHOT_CPUS, id, records, &count, NULL) || count == 0 ||
	    records[0].id != id)
		return false;
	*cpu = records[0];
	return true;
}

static const char *wait_reason(uint32_t wait)
{
	switch (wait) {
	case CAPOS_WAIT_SLEEP:
		return "sleeps until an instant";
	case CAPOS_WAIT_PARK:
		return "is parked until another thread wakes it";
	case CAPOS_WAIT_CALL:
		return "called an endpoint; nobody has received the call yet";
	case CAPOS_WAIT_REPLY:
		return "called an endpoint; its call is being served";
	case CAPOS_WAIT_RECV:
		return "waits for a call at an endpoint";
	case CAPOS_WAIT_NOTIFICATION:
		return "waits for a notification";
	case CAPOS_WAIT_PROCESS:
		return "waits for a process to end";
	case CAPOS_WAIT_JOIN:
		return "waits for a thread to end";
	case CAPOS_WAIT_RING:
		return "waits for completions of its ring";
	case CAPOS_WAIT_CONSOLE:
		return "waits for the console";
	case CAPOS_WAIT_KERNEL:
		return "waits for the kernel: a flush, a revocation, memory";
	case CAPOS_WAIT_FAULT:
		return "faulted; its fault handler has not answered";
	default:
		return "is blocked";
	}
}

static void why_ready(const struct capos_thread_record *thread)
{
	struct capos_cpu_record cpu;
	char waited[32];

	print("is runnable, and waits on CPU %u", thread->cpu);
	if (!find_cpu(thread->cpu, &cpu)) {
		print("\n");
		return;
	}
	/* Records are of instants of their own. */
	if (cpu.current_thread == thread->id)
		print(", which took it up a moment later");
	else if (cpu.current_thread)
		print(", which runs thread %lu", (unsigned long)cpu.current_thread);
	print("; %u wait there", cpu.queued);
	if (cpu.load >= thread->weight && cpu.load > 0)
		print("; its weight %u of %lu is %lu.%lu %% of this CPU", thread->weight, (unsigned long)cpu.load,
		      (unsigned long)(thread->weight * 100ull / cpu.load),
		      (unsigned long)(thread->weight * 1000ull / cpu.load % 10));
	print("; before its last turns it waited %s s in all\n", span_text(thread->runnable_accumulated_ns, waited));
}

/* On what budgets it runs: its own, wherever that is, and one that a caller lent it. */
static void why_budget(const struct capos_context_record *record, void *context)
{
	const struct capos_thread_record *thread = context;
	const struct capos_context_info *info = &record->context;
	bool own = info->thread_id == thread->id;
	char budget[32], left[24];

	if (!own && info->holder_id != thread->id)
		return;
	print("  budget of %s, context %lu: %s, %s, ", own ? "its own" : "its caller",
	      (unsigned long)info->context_id, budget_text(&info->spec, budget), overrun_name(info->spec.overrun));
	if (info->state == CAPOS_CONTEXT_BOUND) {
		print("%s left", left_text(info, left));
	} else {
		print("used up; ");
		budget_state(info);
	}
	if (!own)
		print("; lent by thread %lu", (unsigned long)info->thread_id);
	else if (info->donated)
		print("; lent to thread %lu along a call", (unsigned long)info->holder_id);
	print("\n");
}

int command_why(int argc, char **argv)
{
	struct capos_thread_record record;
	const struct capos_thread_record *thread = &record;
	uint64_t id;

	if (argc != 2 || !shell_number(argv[1], &id))
		return shell_usage("why");
	if (!have_authority("why") || !find_thread(id, &record))
		return 1;
	print("thread %lu of process %lu ", (unsigned long)thread->id, (unsigned long)thread->process_id);
	if (thread->state == CAPOS_THREAD_RUNNING)
		print("runs, on CPU %u\n", thread->cpu);
	else if (thread->state == CAPOS_THREAD_READY)
		why_ready(thread);
	else if (thread->state == CAPOS_THREAD_DYING)
		print("is being ended\n");
	else if (thread->state == CAPOS_THREAD_THROTTLED)
		print("is throttled: what it runs on has used up its budget\n");
	else
		print("%s\n", wait_reason(thread->wait));
	print("  class %s, weight %u, request %lu us", latency_class_name(thread->latency_class), thread->weight,
	      (unsigned long)(thread->request_ns / 1000));
	if (thread->pinned_cpu != CAPOS_CPU_ANY)
		print(", may run on CPU %u only", thread->pinned_cpu);
	print("\n  run %lu ms, selected %lu times, preempted %lu, blocked %lu, yielded %lu\n",
	      (unsigned long)(thread->runtime_ns / NS_PER_MS), (unsigned long)thread->context_switches,
	      (unsigned long)thread->preemptions, (unsigned long)thread->voluntary_blocks,
	      (unsigned long)thread->yields);
	return !each_context_record(why_budget, &record);
}
