/* SPDX-License-Identifier: MIT */
/*
 * CPU time, C1 to C4 and A5: records of threads that run, block, yield and are preempted on other CPUs while they are read; a hog
 * that never waits; processes of many threads; sessions and accounts whose processes have ended; all of it adds up to the CPUs' time.
 */
#include "proof.h"

#define WATCHED 192u
#define CPUS_MAX 64u
#define MANY 40u

static struct block page_of_records;
static volatile bool over;
static uint32_t ball[2];

/* --- load --------------------------------------------------------------------------------------------------------------- */

static uint64_t hog(void *argument)
{
	(void)argument;
	while (!over)
		;
	return 0;
}

static uint64_t yielder(void *argument)
{
	(void)argument;
	while (!over)
		yield();
	return 0;
}

static uint64_t sleeper(void *argument)
{
	(void)argument;
	while (!over)
		(void)sleep_ns(300000);
	return 0;
}

/* Two of them wake each other. */
static uint64_t player(void *argument)
{
	unsigned me = argument != NULL;

	while (!over) {
		__atomic_store_n(&ball[1 - me], 1, __ATOMIC_RELAXED);
		(void)unpark(&ball[1 - me], 1);
		if (__atomic_load_n(&ball[me], __ATOMIC_RELAXED) == 0)
			(void)park_while(&ball[me], 0, now_ns() + 5 * MS);
		__atomic_store_n(&ball[me], 0, __ATOMIC_RELAXED);
	}
	return 0;
}

static struct thread load[CPUS_MAX + 8];
static unsigned load_count;

static void start(thread_function function, void *argument, uint32_t cpu)
{
	insist(thread_start_on(&load[load_count++], function, argument, cpu, 0));
}

/* A hog for each CPU; on the last CPU, away from this thread, one of each other kind. */
static void load_begin(void)
{
	uint32_t cpus = startup()->cpu_count < CPUS_MAX ? startup()->cpu_count : CPUS_MAX, last = cpus - 1;

	for (uint32_t i = 0; i < cpus; i++)
		start(hog, NULL, i);
	start(yielder, NULL, last);
	start(sleeper, NULL, last);
	start(player, NULL, last);
	start(player, (void *)1, last);
}

static void load_end(void)
{
	over = true;
	while (load_count > 0)
		must(thread_finish(&load[--load_count], CAPOS_NEVER, NULL));
	over = false;
}

/* --- records ------------------------------------------------------------------------------------------------------------ */

static uint64_t snapshots; /* made so far */

/* Threads from *next on, up to a page of records; *next: where to go on. */
static uint64_t threads_from(uint64_t *next)
{
	uint64_t count = 0;

	must(scheduling_policy_snapshot(known.policy, CAPOS_SNAPSHOT_THREADS, *next, page_of_records.memory, 0, NULL,
					&count, next));
	snapshots++;
	return count;
}

static const struct capos_thread_record *thread_records(void)
{
	return page_of_records.address;
}

/* All CPUs, in one record per CPU. */
static struct capos_cpu_record cpu_now[CPUS_MAX];
static uint64_t read_cpus(void)
{
	uint64_t count = 0, next = 0, all = 0;

	do {
		must(scheduling_policy_snapshot(known.policy, CAPOS_SNAPSHOT_CPUS, next, page_of_records.memory, 0,
						NULL, &count, &next));
		snapshots++;
		for (uint64_t i = 0; i < count && all < CPUS_MAX; i++)
			cpu_now[all++] = ((const struct capos_cpu_record *)page_of_records.address)[i];
	} while (next != 0 && all < CPUS_MAX);
	return all;
}

/* Sum over sessions or accounts. */
static uint64_t ledgers_runtime(enum capos_snapshot_kind kind, uint64_t id, uint64_t *of_id)
{
	const struct capos_ledger_record *records = page_of_records.address;
	uint64_t count = 0, sum = 0;

	must(scheduling_policy_snapshot(known.policy, kind, 0, page_of_records.memory, 0, NULL, &count, NULL));
	snapshots++;
	for (uint64_t i = 0; i < count; i++) {
		sum += records[i].runtime_ns;
		if (of_id != NULL && records[i].id == id)
			*of_id = records[i].runtime_ns;
	}
	return sum;
}

/* --- records are whole, and only rise ------------------------------------------------------------------------------------ */

static struct capos_thread_record before[WATCHED];

static struct capos_thread_record *former(uint64_t id)
{
	for (unsigned i = 0; i < WATCHED; i++)
		if (before[i].id == id || before[i].id == 0)
			return &before[i];
	return NULL;
}

static bool is_whole(const struct capos_thread_record *record)
{
	uint64_t left = record->preemptions + record->voluntary_blocks + record->yields;

	return record->context_switches == left + (record->state == CAPOS_THREAD_RUNNING);
}

static bool follows(const struct capos_thread_record *record, const struct capos_thread_record *was)
{
	bool ran_on = was->state == CAPOS_THREAD_RUNNING && record->state == CAPOS_THREAD_RUNNING;

	/* What a CPU does from one thread's last charge to the next one's selection is the next one's time, so times compare only
	 * between charges. */
	if (was->id != 0 && ran_on &&
	    (record->time_ns < was->time_ns || record->runtime_ns - was->runtime_ns > record->time_ns - was->time_ns))
		return false;
	return was->id == 0 ||
	       (record->runtime_ns >= was->runtime_ns &&
		record->runnable_accumulated_ns >= was->runnable_accumulated_ns &&
		record->context_switches >= was->context_switches && record->preemptions >= was->preemptions &&
		record->voluntary_blocks >= was->voluntary_blocks && record->yields >= was->yields);
}

static void note_record(const char *what, const struct capos_thread_record *record)
{
	tap_note("%s: thread %lu state %u: %lu selections, %lu preempted, %lu blocked, %lu yielded, %lu ns at %lu",
		 what, (unsigned long)record->id, record->state, (unsigned long)record->context_switches,
		 (unsigned long)record->preemptions, (unsigned long)record->voluntary_blocks,
		 (unsigned long)record->yields, (unsigned long)record->runtime_ns, (unsigned long)record->time_ns);
}

static void watch(uint64_t span_ns)
{
	uint64_t end_ns = now_ns() + span_ns, all = 0, torn = 0, back = 0, running_elsewhere = 0, cpus_torn = 0;

	/* Longer on a host that gives us little. */
	while (now_ns() < end_ns || ((all <= 100 || (startup()->cpu_count > 1 && running_elsewhere == 0)) &&
				     now_ns() < end_ns + 2000 * MS)) {
		uint64_t next = 0;

		do {
			uint64_t count = threads_from(&next);

			for (uint64_t i = 0; i < count; i++, all++) {
				const struct capos_thread_record record = thread_records()[i];
				struct capos_thread_record *was = former(record.id);

				if (!is_whole(&record) && torn++ == 0)
					note_record("torn", &record);
				if (was != NULL && !follows(&record, was) && back++ == 0) {
					note_record("was", was);
					note_record("is", &record);
				}
				running_elsewhere +=
					record.state == CAPOS_THREAD_RUNNING && record.id != startup()->thread_id;
				if (was != NULL)
					*was = record;
			}
		} while (next != 0);
		for (uint64_t i = read_cpus(); i-- > 0;)
			cpus_torn += cpu_now[i].time_ns !=
				     cpu_now[i].up_ns + cpu_now[i].busy_ns + cpu_now[i].idle_ns + cpu_now[i].irq_ns;
	}
	tap_ok(all > 100 && torn == 0,
	       "%lu records of threads are whole: selected as often as left, plus one that runs", (unsigned long)all);
	tap_ok(back == 0, "counters only rise, and who runs in two records ran no longer than they are apart");
	tap_ok(cpus_torn == 0, "the parts of each CPU's time are the whole, whenever they are read");
	if (startup()->cpu_count > 1)
		tap_ok(running_elsewhere > 0, "%lu of them ran on another CPU at that moment",
		       (unsigned long)running_elsewhere);
}

static void look_at(uint64_t thread)
{
	uint64_t next = thread;

	if (threads_from(&next) > 0 && thread_records()[0].id == thread)
		*former(thread) = thread_records()[0];
}

/* On a CPU that the host starves not all may have come to that yet; and some were looked at once, right after their start. */
static void wait_for_leavings(const uint64_t ids[4])
{
	uint64_t end_ns = now_ns() + 2000 * MS;

	do {
		for (unsigned i = 0; i < 4; i++)
			look_at(ids[i]);
	} while ((former(ids[0])->preemptions == 0 || former(ids[1])->yields == 0 ||
		  former(ids[2])->voluntary_blocks == 0 || former(ids[3])->voluntary_blocks == 0) &&
		 now_ns() < end_ns);
}

static void kinds_of_leaving(void)
{
	uint32_t cpus = startup()->cpu_count < CPUS_MAX ? startup()->cpu_count : CPUS_MAX;
	const uint64_t ids[] = { load[cpus - 1].id, load[cpus].id, load[cpus + 1].id, load[cpus + 2].id };
	const struct capos_thread_record *hog_record = former(ids[0]);
	const struct capos_thread_record *of[] = { former(ids[1]), former(ids[2]), former(ids[3]) };

	wait_for_leavings(ids);
	tap_ok(hog_record->runtime_ns > 0 && hog_record->voluntary_blocks == 0 && hog_record->yields == 0 &&
		       hog_record->preemptions > 0,
	       "a hog is preempted (%lu times) and never waits", (unsigned long)hog_record->preemptions);
	tap_ok(of[0]->yields > 0 && of[0]->voluntary_blocks == 0, "who yields (%lu times) does not wait",
	       (unsigned long)of[0]->yields);
	tap_ok(of[1]->voluntary_blocks > 0 && of[2]->voluntary_blocks > 0,
	       "who sleeps and who parks does (%lu, %lu times)", (unsigned long)of[1]->voluntary_blocks,
	       (unsigned long)of[2]->voluntary_blocks);
	tap_ok(hog_record->runnable_accumulated_ns > 0, "who shares its CPU waits for it");
}

/* --- sums --------------------------------------------------------------------------------------------------------------- */

static bool lies_within(const char *what, uint64_t value, uint64_t least, uint64_t most)
{
	if (value >= least && value <= most)
		return true;
	tap_note("%s: %lu is not in %lu .. %lu", what, (unsigned long)value, (unsigned long)least,
		 (unsigned long)most);
	return false;
}

/* The CPUs' records when each has charged since `since_ns`: it does once a tick while it is busy, but the host may let it wait. */
static bool cpus_are_since(uint64_t since_ns)
{
	for (uint64_t i = read_cpus(); i-- > 0;)
		if (cpu_now[i].time_ns < since_ns)
			return false;
	return true;
}

static uint64_t cpus_threads_ns(void)
{
	uint64_t sum = 0;

	for (uint64_t i = read_cpus(); i-- > 0;)
		sum += cpu_now[i].busy_ns - cpu_now[i].kernel_ns;
	return sum;
}

/* What all threads had, and what the CPUs had of threads before and after that was read. */
struct threads_time {
	uint64_t cpus_before, threads, cpus_after;
};
static struct threads_time threads_time(void)
{
	struct threads_time time;

	time.cpus_before = cpus_threads_ns();
	time.threads = ledgers_runtime(CAPOS_SNAPSHOT_ACCOUNTS, 0, NULL);
	time.cpus_after = cpus_threads_ns();
	return time;
}

/* C4, over a span in which every CPU is busy. Instants of readings are known from both sides, so there is no tolerance but 1 %. */
static void sums(uint64_t span_ns)
{
	static struct capos_cpu_record first[CPUS_MAX];
	uint64_t began_ns = now_ns(), begun_ns, ended_ns, over_ns, whole = 0, cpus = startup()->cpu_count;
	struct threads_time begin, end;
	bool each = true;

	(void)becomes_true(cpus_are_since(began_ns));
	begun_ns = now_ns();
	memcpy(first, cpu_now, sizeof(first));
	begin = threads_time();
	must(sleep_ns(span_ns));
	end = threads_time();
	ended_ns = now_ns();
	(void)becomes_true(cpus_are_since(ended_ns));
	over_ns = now_ns();
	for (uint64_t i = 0; i < cpus && i < CPUS_MAX; i++) {
		const struct capos_cpu_record *was = &first[i], *is = &cpu_now[i];
		uint64_t parts = is->busy_ns - was->busy_ns + is->idle_ns - was->idle_ns + is->irq_ns - was->irq_ns;

		each = each &&
		       lies_within("CPU", parts, (ended_ns - begun_ns) * 99 / 100, (over_ns - began_ns) * 101 / 100);
		whole += parts;
	}
	tap_ok(each, "each CPU accounts for all of %lu ms, within 1 %%", (unsigned long)((over_ns - began_ns) / MS));
	tap_ok(lies_within("CPUs", whole, (ended_ns - begun_ns) * cpus * 99 / 100,
			   (over_ns - began_ns) * cpus * 101 / 100),
	       "and so does the machine");
	tap_ok(lies_within("threads", end.threads - begin.threads, end.cpus_before - begin.cpus_after,
			   end.cpus_after - begin.cpus_before),
	       "threads, live and ended, ran as long as the CPUs ran threads");
}

/* Process sums are exact: no less than its threads had before, no more than they had after. */
static uint64_t own_threads_runtime(void)
{
	uint64_t next = 0, sum = 0;

	do {
		for (uint64_t i = threads_from(&next); i-- > 0;)
			if (thread_records()[i].process_id == startup()->process_id)
				sum += thread_records()[i].runtime_ns;
	} while (next != 0);
	return sum;
}

static void many_threads(void)
{
	static struct thread many[MANY];
	struct capos_process_record records[PROCESS_RECORDS_MAX];
	struct capos_process_info info = { 0 }, own = { 0 };
	uint64_t live, gone_least, gone_most, low, high;

	/* Of threads that have ended: the process's less that of its live ones, which were looked at before and after. */
	live = own_threads_runtime();
	(void)own_info(&own);
	gone_most = own.runtime_ns - live;
	gone_least = own.runtime_ns - own_threads_runtime();
	gone_least = gone_least > gone_most ? 0 : gone_least; /* the live ones gained more than the ended ones had */
	for (unsigned i = 0; i < MANY; i++)
		insist(thread_start(&many[i], sleeper, NULL));
	(void)sleep_ns(5 * MS);
	low = own_threads_runtime();
	(void)own_info(&info);
	must(scheduling_policy_snapshot(known.policy, CAPOS_SNAPSHOT_PROCESSES, startup()->process_id, 0, 0, records,
					NULL, NULL));
	snapshots++;
	high = own_threads_runtime();
	tap_ok(info.runtime_ns >= low + gone_least && info.runtime_ns <= high + gone_most,
	       "a process of %u threads: its sum lies between what they had before and after", MANY);
	tap_ok(records[0].runtime_ns >= info.runtime_ns && records[0].runtime_ns <= high + gone_most,
	       "and so does that of its record");
	over = true;
	for (unsigned i = 0; i < MANY; i++)
		must(thread_finish(&many[i], CAPOS_NEVER, NULL));
	over = false;
	low = info.runtime_ns;
	(void)own_info(&info);
	tap_ok(info.runtime_ns >= low, "it keeps what they had when they are gone");
}

/* --- sessions and accounts ------------------------------------------------------------------------------------------------ */

static uint64_t runtime_of_process(uint64_t id)
{
	struct capos_process_record records[PROCESS_RECORDS_MAX];
	uint64_t count = 0;

	must(scheduling_policy_snapshot(known.policy, CAPOS_SNAPSHOT_PROCESSES, id, 0, 0, records, &count, NULL));
	snapshots++;
	return count > 0 && records[0].id == id ? records[0].runtime_ns : 0;
}

static void remainders(void)
{
	struct capos_spawn spawn;
	capos_handle session = 0, process = 0;
	uint64_t session_id = 0, process_id = 0, ran = 0, of_session = 0, of_account = 0, account_before = 0;

	(void)ledgers_runtime(CAPOS_SNAPSHOT_ACCOUNTS, 7, &account_before);
	insist(session_manager_create(known.session_manager, 7, "tester", &session, &session_id));
	child_init(&spawn, "spin");
	spawn.session = session;
	insist(spawn_start(&spawn, &process, &process_id));
	(void)becomes_true((ran = runtime_of_process(process_id)) > 2 * MS);
	(void)ledgers_runtime(CAPOS_SNAPSHOT_SESSIONS, session_id, &of_session);
	(void)ledgers_runtime(CAPOS_SNAPSHOT_ACCOUNTS, 7, &of_account);
	tap_ok(ran > 2 * MS && of_session >= ran && of_account >= account_before + ran,
	       "what a process uses, its session and its account use");
	must(process_kill(process, 0));
	(void)child_end(process);
	(void)becomes_true(runtime_of_process(process_id) == 0);
	ran = of_session;
	(void)ledgers_runtime(CAPOS_SNAPSHOT_SESSIONS, session_id, &of_session);
	tap_ok(of_session >= ran, "the session keeps it when the process has ended");
	destroy(session);
	tap_ok(becomes_true((of_session = 0, ledgers_runtime(CAPOS_SNAPSHOT_SESSIONS, session_id, &of_session),
			     of_session == 0)),
	       "a session that ended is not listed any more");
	(void)ledgers_runtime(CAPOS_SNAPSHOT_ACCOUNTS, 7, &of_account);
	tap_ok(of_account >= account_before + ran, "its account keeps it");
}

/* --- A5: uses of authority are counted ------------------------------------------------------------------------------------ */

static void counts(void)
{
	uint64_t admitted = 0, denied = 0, made;

	for (uint64_t i = read_cpus(); i-- > 0;) {
		admitted -= cpu_now[i].policy_admitted;
		denied -= cpu_now[i].policy_denied;
	}
	made = snapshots;
	for (unsigned i = 0; i < 3; i++)
		must(scheduling_policy_set_weight(known.policy, 0, CAPOS_WEIGHT_DEFAULT));
	for (unsigned i = 0; i < 2; i++)
		(void)scheduling_policy_set_weight(known.policy, 0, 0);
	for (uint64_t i = read_cpus(); i-- > 0;) {
		admitted += cpu_now[i].policy_admitted;
		denied += cpu_now[i].policy_denied;
	}
	/* The snapshot that reads a count is one of the admitted. */
	tap_ok(denied == 2 && admitted == 3 + snapshots - made,
	       "uses of authority are counted: %lu admitted, %lu denied", (unsigned long)admitted,
	       (unsigned long)denied);
}

int main(int argc, char **argv)
{
	bool sim = on_simulator();

	(void)argc;
	(void)argv;

	tap_plan(0);
	insist(block_map(&page_of_records, 4 * PAGE));
	load_begin();
	watch(sim ? 20 * MS : 400 * MS);
	kinds_of_leaving();
	sums(sim ? 100 * MS : 3 * SECOND);
	load_end();
	many_threads();
	remainders();
	counts();
	block_unmap(&page_of_records);
	return tap_done();
}
