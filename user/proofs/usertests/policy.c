/* SPDX-License-Identifier: MIT */
/* scheduling_policy: bounds, scopes, expiry, what is derived from what, and the records of snapshots. */
#include "errors.h"

/* With it: weights to 2,000, no class better than normal, requests of 1 to 10 ms, threads of this process. */
static const struct capos_policy_bounds narrow_bounds = { .weight_max = 2000,
							  .class_best = CAPOS_LATENCY_NORMAL,
							  .request_min_ns = MS,
							  .request_max_ns = 10 * MS,
							  .scope = CAPOS_SCOPE_PROCESS };
static capos_handle narrow, own_only;
static uint64_t foreign_id, exited_id;

static struct capos_policy_bounds bounds_of(capos_handle policy)
{
	struct capos_policy_info info = { 0 };

	must(scheduling_policy_info(policy, &info));
	return info.bounds;
}

static capos_handle derived(capos_handle from, struct capos_policy_bounds bounds)
{
	capos_handle out = 0;

	insist(scheduling_policy_derive(from, &bounds, &out));
	return out;
}

/* The record of a thread, all zeros if there is none. */
static struct capos_thread_record record_of(uint64_t id)
{
	struct capos_thread_record records[THREAD_RECORDS_MAX];
	uint64_t count = 0, next = 0;

	must(scheduling_policy_snapshot(known.policy, CAPOS_SNAPSHOT_THREADS, id, 0, 0, records, &count, &next));
	return count > 0 && records[0].id == id ? records[0] : (struct capos_thread_record){ 0 };
}

static struct capos_thread_record own_record(void)
{
	return record_of(startup()->thread_id);
}

/* --- changes ------------------------------------------------------------------------------------------------------------ */

static bool params_are(uint32_t weight, uint32_t class, uint32_t request_ns)
{
	struct capos_thread_record record = own_record();

	return record.weight == weight && record.latency_class == class && record.request_ns == request_ns;
}

static void changes(void)
{
	capos_handle batch_only;
	struct capos_policy_bounds bounds = narrow_bounds;

	tap_ok(params_are(CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, 4 * MS), "a thread begins as one of many");
	expect_good(scheduling_policy_set_weight(narrow, 0, 2000), "a weight at the bound");
	tap_ok(params_are(2000, CAPOS_LATENCY_NORMAL, 4 * MS), "stands, alone, in the record");
	expect_good(scheduling_policy_set_weight(narrow, startup()->thread_id, 1), "the smallest weight, by id");
	expect_good(scheduling_policy_set_latency_class(narrow, 0, CAPOS_LATENCY_BATCH), "a worse class");
	tap_ok(params_are(1, CAPOS_LATENCY_BATCH, 10 * MS), "brings its request, as far as the bounds allow");
	expect_good(scheduling_policy_set_request(narrow, 0, MS), "the smallest request");
	tap_ok(params_are(1, CAPOS_LATENCY_BATCH, MS), "stands in the record");
	bounds.class_best = CAPOS_LATENCY_BATCH;
	batch_only = derived(narrow, bounds);
	REFUSES(scheduling_policy, set_latency_class, CAPOS_POLICY_CLASS_OUT_OF_BOUNDS, 0, "a better class",
		.handle = batch_only, .word = { 0, CAPOS_LATENCY_NORMAL });
	destroy(batch_only);
	expect_good(scheduling_policy_set_latency_class(known.policy, 0, CAPOS_LATENCY_INTERACTIVE),
		    "the best class");
	expect_good(scheduling_policy_set_weight(known.policy, 0, CAPOS_WEIGHT_MAX), "the greatest weight");
	tap_ok(params_are(CAPOS_WEIGHT_MAX, CAPOS_LATENCY_INTERACTIVE, MS), "with the whole authority");
	must(scheduling_policy_set_latency_class(known.policy, 0, CAPOS_LATENCY_NORMAL));
	must(scheduling_policy_set_weight(known.policy, 0, CAPOS_WEIGHT_DEFAULT));
}

#define REFUSES_EACH(result, when, thread)                                                                           \
	do {                                                                                                         \
		REFUSES(scheduling_policy, set_weight, result, 0, when, .handle = policy, .word = { thread, 7 });    \
		REFUSES(scheduling_policy, set_latency_class, result, 0, when, .handle = policy,                     \
			.word = { thread, CAPOS_LATENCY_BATCH });                                                    \
		REFUSES(scheduling_policy, set_request, result, 0, when, .handle = policy,                           \
			.word = { thread, 2 * MS });                                                                 \
	} while (0)

static void refused_values(void)
{
	REFUSES(scheduling_policy, set_weight, CAPOS_POLICY_WEIGHT_OUT_OF_BOUNDS, 0, "weight 0", .handle = narrow);
	REFUSES(scheduling_policy, set_weight, CAPOS_POLICY_WEIGHT_OUT_OF_BOUNDS, 0, "one more than allowed",
		.handle = narrow, .word = { 0, 2001 });
	REFUSES(scheduling_policy, set_weight, CAPOS_POLICY_WEIGHT_OUT_OF_BOUNDS, 0, "one more than there is",
		.handle = known.policy, .word = { 0, CAPOS_WEIGHT_MAX + 1 });
	REFUSES(scheduling_policy, set_weight, CAPOS_POLICY_WEIGHT_OUT_OF_BOUNDS, 0, "2^32 and a weight",
		.handle = known.policy, .word = { 0, 1ull << 32 | 1024 });
	REFUSES(scheduling_policy, set_latency_class, CAPOS_POLICY_CLASS_OUT_OF_BOUNDS, 0, "better than allowed",
		.handle = narrow, .word = { 0, CAPOS_LATENCY_INTERACTIVE });
	REFUSES(scheduling_policy, set_latency_class, CAPOS_POLICY_CLASS_OUT_OF_BOUNDS, 0, "no class",
		.handle = known.policy, .word = { 0, CAPOS_LATENCY_CLASS_COUNT });
	REFUSES(scheduling_policy, set_latency_class, CAPOS_POLICY_CLASS_OUT_OF_BOUNDS, 0, "2^32 and a class",
		.handle = known.policy, .word = { 0, 1ull << 32 | CAPOS_LATENCY_BATCH });
	REFUSES(scheduling_policy, set_request, CAPOS_POLICY_REQUEST_OUT_OF_BOUNDS, 0, "0", .handle = known.policy);
	REFUSES(scheduling_policy, set_request, CAPOS_POLICY_REQUEST_OUT_OF_BOUNDS, 0, "too small", .handle = narrow,
		.word = { 0, MS - 1 });
	REFUSES(scheduling_policy, set_request, CAPOS_POLICY_REQUEST_OUT_OF_BOUNDS, 0, "too great", .handle = narrow,
		.word = { 0, 10 * MS + 1 });
	REFUSES(scheduling_policy, set_request, CAPOS_POLICY_REQUEST_OUT_OF_BOUNDS, 0, "more than there is",
		.handle = known.policy, .word = { 0, CAPOS_REQUEST_MAX_NS + 1 });
}

static void refused_threads(void)
{
	capos_handle policy = narrow;

	REFUSES_EACH(CAPOS_POLICY_NO_SUCH_THREAD, "an id that no thread has", CAPOS_NEVER);
	REFUSES_EACH(CAPOS_POLICY_NO_SUCH_THREAD, "the id of a process", startup()->process_id);
	REFUSES_EACH(CAPOS_POLICY_NO_SUCH_THREAD, "a thread that has exited", exited_id);
	REFUSES_EACH(CAPOS_POLICY_FOREIGN_THREAD, "a thread of another process", foreign_id);
	policy = own_only;
	REFUSES_EACH(CAPOS_POLICY_FOREIGN_THREAD, "another thread than the caller", foreign_id);
	expect_good(scheduling_policy_set_weight(known.policy, foreign_id, 1500), "the machine's scope reaches it");
	tap_ok(record_of(foreign_id).weight == 1500, "and its weight is that");
	must(scheduling_policy_set_weight(known.policy, foreign_id, CAPOS_WEIGHT_DEFAULT));
}

static void expired(void)
{
	struct capos_policy_bounds bounds = bounds_of(known.policy);
	struct capos_policy_info info = { 0 };
	capos_handle policy;

	bounds.expires_ns = now_ns() + 20 * MS;
	policy = derived(known.policy, bounds);
	expect_good(scheduling_policy_set_weight(policy, 0, 1024), "before it expires");
	must(sleep_until_ns(bounds.expires_ns));
	REFUSES_EACH(CAPOS_POLICY_EXPIRED, "too late", 0);
	REFUSES(scheduling_policy, snapshot, CAPOS_POLICY_EXPIRED, 0, "too late", .handle = policy,
		.word = { CAPOS_SNAPSHOT_THREADS });
	bounds.expires_ns += SECOND;
	REFUSES(scheduling_policy, derive, CAPOS_POLICY_EXPIRED, 0, "too late", .handle = policy, .message = &bounds,
		.bytes = sizeof(bounds));
	expect_good(scheduling_policy_info(policy, &info), "it still says what it was");
	tap_ok(info.expired == 1 && info.depth == 1, "and that it is over");
	destroy(policy);
}

/* --- derive ------------------------------------------------------------------------------------------------------------- */

#define WITH(field_, value)                                                                                          \
	({                                                                                                           \
		bounds = bounds_of(from);                                                                            \
		bounds.field_ = (value);                                                                             \
		&bounds;                                                                                             \
	})
#define WIDER(field, value, when)                                                                                    \
	REFUSES(scheduling_policy, derive, CAPOS_POLICY_WIDER, CAPOS_DETAIL_BOUND(field), when, .handle = from,      \
		.message = WITH(field, value), .bytes = sizeof(bounds))
#define NONSENSE(field, value, when)                                                                                 \
	FAILS(scheduling_policy, derive, BAD_ARGUMENT, CAPOS_DETAIL_BOUND(field), when, .handle = from,              \
	      .message = WITH(field, value), .bytes = sizeof(bounds))

static void wider(void)
{
	struct capos_policy_bounds bounds = narrow_bounds;
	capos_handle from;

	bounds.expires_ns = now_ns() + 1000 * SECOND;
	from = derived(narrow, bounds);
	WIDER(weight_max, 2001, "a greater weight");
	WIDER(class_best, CAPOS_LATENCY_INTERACTIVE, "a better class");
	WIDER(request_min_ns, MS - 1, "smaller requests");
	WIDER(request_max_ns, 10 * MS + 1, "greater requests");
	WIDER(expires_ns, bounds.expires_ns + 1, "a nanosecond longer");
	WIDER(expires_ns, 0, "for ever");
	WIDER(scope, CAPOS_SCOPE_MACHINE, "the machine");
	NONSENSE(weight_max, 0, "no weight");
	NONSENSE(weight_max, CAPOS_WEIGHT_MAX + 1, "more than there is");
	NONSENSE(class_best, CAPOS_LATENCY_CLASS_COUNT, "no class");
	NONSENSE(request_max_ns, MS - 1, "less than the smallest");
	NONSENSE(expires_ns, 1, "the past");
	NONSENSE(scope, 0, "no scope");
	NONSENSE(scope, CAPOS_SCOPE_MACHINE + 1, "no such scope");
	NONSENSE(flags, 1, "flags");
	destroy(from);
}

/* Who takes his capability back, or ends his policy, ends what was derived from it. */
static void ends(void)
{
	capos_handle chain[CAPOS_POLICY_DEPTH_MAX + 1] = { known.policy }, copy = 0;
	struct capos_policy_bounds bounds = narrow_bounds;
	unsigned depth = CAPOS_POLICY_DEPTH_MAX;

	for (unsigned i = 1; i <= depth; i++)
		chain[i] = derived(chain[i - 1], narrow_bounds);
	REFUSES(scheduling_policy, derive, CAPOS_POLICY_TOO_DEEP, 0, "from the last of a chain",
		.handle = chain[depth], .message = &bounds, .bytes = sizeof(bounds));
	expect_good(scheduling_policy_set_weight(chain[depth], 0, 1024), "the last of a chain works");
	must(cap_table_destroy(known.caps, chain[3]));
	expect_status(scheduling_policy_set_weight(chain[depth], 0, 7), REVOKED, "until one above is destroyed");
	expect_status(scheduling_policy_info(chain[4], &(struct capos_policy_info){ 0 }), REVOKED, "by info too");
	expect_good(scheduling_policy_set_weight(chain[2], 0, 1024), "those above it go on");
	for (unsigned i = depth; i > 0; i--)
		destroy(chain[i]);

	insist(cap_table_derive(known.caps, known.policy,
				CAPOS_RIGHT_READ | CAPOS_RIGHT_CONTROL | CAPOS_RIGHT_CREATE | CAPOS_RIGHT_GRANT, 0,
				&copy));
	insist(cap_table_derive(known.caps, copy, CAPOS_RIGHT_CREATE, 0, &chain[1]));
	chain[2] = derived(chain[1], narrow_bounds);
	expect_good(scheduling_policy_set_weight(chain[2], 0, 1024), "derived through a derived capability");
	must(cap_table_revoke(known.caps, copy));
	expect_status(scheduling_policy_set_weight(chain[2], 0, 7), REVOKED, "until that is revoked");
	expect_status(scheduling_policy_snapshot(chain[2], CAPOS_SNAPSHOT_THREADS, 0, 0, 0, NULL, NULL, NULL),
		      REVOKED, "for snapshots too");
	destroy(chain[2]);
	drop(chain[1]);
	drop(copy);
}

/* --- snapshots ---------------------------------------------------------------------------------------------------------- */

static bool is_whole(const struct capos_thread_record *record)
{
	uint64_t left = record->preemptions + record->voluntary_blocks + record->yields;

	return record->time_ns != 0 && record->time_ns <= now_ns() &&
	       record->context_switches == left + (record->state == CAPOS_THREAD_RUNNING);
}

static void threads(void)
{
	struct capos_thread_record records[THREAD_RECORDS_MAX];
	uint64_t next = 0, count = 0, last = 0, own = 0, guard = 0, all = 0, others = 0;
	bool good = true, whole = true;

	do {
		good = result_ok(scheduling_policy_snapshot(known.policy, CAPOS_SNAPSHOT_THREADS, next, 0, 0, records,
							    &count, &next)) &&
		       good;
		for (uint64_t i = 0; good && i < count; i++, all++) {
			good = records[i].id > last;
			last = records[i].id;
			own += last == startup()->thread_id;
			whole = whole && is_whole(&records[i]);
		}
	} while (good && next && ++guard < 1000);
	tap_ok(good && own == 1 && all > 1, "threads: in order, this one once");
	tap_ok(whole, "each was selected as often as it left, and once more if it runs");
	must(scheduling_policy_snapshot(narrow, CAPOS_SNAPSHOT_THREADS, 0, 0, 0, records, &count, &next));
	for (uint64_t i = 0; i < count; i++)
		others += records[i].process_id != startup()->process_id;
	tap_ok(count > 0 && others == 0, "a process's scope shows that process's");
	must(scheduling_policy_snapshot(own_only, CAPOS_SNAPSHOT_THREADS, 0, 0, 0, records, &count, &next));
	tap_ok(count == 1 && records[0].id == startup()->thread_id && next == 0, "a thread's scope the caller alone");
	must(scheduling_policy_snapshot(own_only, CAPOS_SNAPSHOT_THREADS, startup()->thread_id + 1, 0, 0, records,
					&count, &next));
	tap_ok(count == 0 && next == 0, "and nothing behind it");
}

/* The same records through memory, page by page of it. */
static void into_memory(void)
{
	struct thread third;
	struct block block;
	const struct capos_thread_record *records;
	struct capos_thread_record first[THREAD_RECORDS_MAX];
	uint64_t count = 0, next = 0, some = 0;
	bool same = true;

	insist(block_map(&block, 2 * PAGE));
	insist(thread_start(&third, sleep_forever, NULL));
	records = block.address;
	must(scheduling_policy_snapshot(known.policy, CAPOS_SNAPSHOT_THREADS, 0, 0, 0, first, &some, &next));
	expect_good(scheduling_policy_snapshot(known.policy, CAPOS_SNAPSHOT_THREADS, 0, block.memory, 0, NULL, &count,
					       &next),
		    "a snapshot into memory");
	for (uint64_t i = 0; i < some; i++)
		same = same && records[i].id == first[i].id && is_whole(&records[i]);
	tap_ok(count >= some && same, "has the same threads, and more");
	memset(block.address, 0, 2 * PAGE);
	expect_good(scheduling_policy_snapshot(known.policy, CAPOS_SNAPSHOT_THREADS, 0, block.memory,
					       2 * PAGE - CAPOS_SNAPSHOT_ALIGN, NULL, &count, &next),
		    "into the last bytes of it");
	tap_ok(count == 2 && next != 0 && records[2 * PAGE / sizeof(*records) - 2].id == first[0].id &&
		       records[0].id == 0,
	       "as many as go in, and where to go on");
	must(thread_terminate(third.handle));
	must(thread_finish(&third, CAPOS_NEVER, NULL));
	block_unmap(&block);
}

static void others(void)
{
	struct capos_process_record processes[PROCESS_RECORDS_MAX];
	struct capos_ledger_record ledgers[LEDGER_RECORDS_MAX];
	struct capos_cpu_record cpus[CPU_RECORDS_MAX];
	uint64_t count = 0, next = 0, seen = 0, of_sessions = 0;
	bool good = true;

	must(scheduling_policy_snapshot(known.policy, CAPOS_SNAPSHOT_PROCESSES, startup()->process_id, 0, 0,
					processes, &count, &next));
	tap_ok(count > 0 && processes[0].id == startup()->process_id && processes[0].runtime_ns > 0 &&
		       processes[0].context_switches > 0 && strcmp(processes[0].name, startup()->program) == 0,
	       "processes: this one, with its time");
	must(scheduling_policy_snapshot(narrow, CAPOS_SNAPSHOT_PROCESSES, 0, 0, 0, processes, &count, &next));
	tap_ok(count == 1 && processes[0].id == startup()->process_id && next == 0, "alone in its own scope");
	must(scheduling_policy_snapshot(known.policy, CAPOS_SNAPSHOT_SESSIONS, 0, 0, 0, ledgers, &count, &next));
	tap_ok(count == 1 && ledgers[0].account_id == 7 && strcmp(ledgers[0].name, "tester") == 0 && ledgers[0].alive,
	       "sessions: the one that was made");
	of_sessions = ledgers[0].runtime_ns;
	must(scheduling_policy_snapshot(known.policy, CAPOS_SNAPSHOT_ACCOUNTS, 0, 0, 0, ledgers, &count, &next));
	tap_ok(count == 2 && ledgers[0].id == 0 && ledgers[0].runtime_ns >= processes[0].runtime_ns &&
		       ledgers[1].id == 7 && ledgers[1].runtime_ns >= of_sessions && next == 0,
	       "accounts: that of processes without a session, and the manifest's");
	next = 0;
	do {
		must(scheduling_policy_snapshot(known.policy, CAPOS_SNAPSHOT_CPUS, next, 0, 0, cpus, &count, &next));
		for (uint64_t i = 0; i < count; i++)
			good = good && cpus[i].id == seen++ &&
			       cpus[i].time_ns ==
				       cpus[i].up_ns + cpus[i].busy_ns + cpus[i].idle_ns + cpus[i].irq_ns &&
			       cpus[i].kernel_ns <= cpus[i].busy_ns;
	} while (next != 0);
	tap_ok(good && seen == startup()->cpu_count, "CPUs: all, and the parts of each one's time are the whole");
}

static void refused_snapshots(void)
{
	capos_handle memory = 0, stale = stale_handle(), revoked, reader;

	insist(factory_memory(known.factory, PAGE, 0, &memory));
	revoked = revoked_handle(memory);
	reader = with_rights(memory, CAPOS_RIGHT_READ);
#define SNAPSHOT_FAILS(status, detail, when, ...)                                                                    \
	FAILS(scheduling_policy, snapshot, status, detail, when, .handle = known.policy, .word = { __VA_ARGS__ })
	SNAPSHOT_FAILS(BAD_ARGUMENT, 0, "kind 0", 0);
	SNAPSHOT_FAILS(BAD_ARGUMENT, 0, "an unknown kind", CAPOS_SNAPSHOT_CONTEXTS + 1);
	SNAPSHOT_FAILS(BAD_ARGUMENT, 0, "2^32 and a kind", 1ull << 32 | CAPOS_SNAPSHOT_CPUS);
	SNAPSHOT_FAILS(BAD_ARGUMENT, 3, "an offset without memory", CAPOS_SNAPSHOT_THREADS, 0, 0, 256);
	SNAPSHOT_FAILS(BAD_ARGUMENT, 3, "an offset that is not aligned", CAPOS_SNAPSHOT_THREADS, 0, memory, 128);
	SNAPSHOT_FAILS(BAD_ARGUMENT, 3, "behind the end", CAPOS_SNAPSHOT_THREADS, 0, memory, PAGE + 256);
	SNAPSHOT_FAILS(BAD_ARGUMENT, 3, "an offset near 2^64", CAPOS_SNAPSHOT_THREADS, 0, memory, ~0ull << 8);
	SNAPSHOT_FAILS(INVALID_HANDLE, 2, "forged memory", CAPOS_SNAPSHOT_THREADS, 0, FORGED_HANDLE);
	SNAPSHOT_FAILS(STALE_HANDLE, 2, "released memory", CAPOS_SNAPSHOT_THREADS, 0, stale);
	SNAPSHOT_FAILS(REVOKED, 2, "revoked memory", CAPOS_SNAPSHOT_THREADS, 0, revoked);
	SNAPSHOT_FAILS(WRONG_INTERFACE, 2, "no memory", CAPOS_SNAPSHOT_THREADS, 0, sample[CAPOS_IFACE_notification]);
	SNAPSHOT_FAILS(MISSING_RIGHTS, 2, "memory to read", CAPOS_SNAPSHOT_THREADS, 0, reader);
	REFUSES(scheduling_policy, snapshot, CAPOS_POLICY_BUFFER_TOO_SMALL, 0, "no room for a record",
		.handle = known.policy, .word = { CAPOS_SNAPSHOT_CPUS, 0, memory, PAGE });
	REFUSES(scheduling_policy, snapshot, CAPOS_POLICY_OUT_OF_SCOPE, 0, "CPUs in a process's scope",
		.handle = narrow, .word = { CAPOS_SNAPSHOT_CPUS });
	REFUSES(scheduling_policy, snapshot, CAPOS_POLICY_OUT_OF_SCOPE, 0, "sessions in a thread's scope",
		.handle = own_only, .word = { CAPOS_SNAPSHOT_SESSIONS });
	drop(revoked);
	drop(reader);
	destroy(memory);
}

/* --- all ---------------------------------------------------------------------------------------------------------------- */

/* A thread of another process, and one that has ended. */
static void find_threads(void)
{
	struct capos_thread_record record = { 0 };
	struct thread thread;

	for (uint64_t next = 0, count = 0;;) {
		struct capos_thread_record records[THREAD_RECORDS_MAX];

		must(scheduling_policy_snapshot(known.policy, CAPOS_SNAPSHOT_THREADS, next, 0, 0, records, &count,
						&next));
		for (uint64_t i = 0; i < count; i++)
			if (records[i].process_id != startup()->process_id)
				record = records[i];
		if (next == 0)
			break;
	}
	foreign_id = record.id;
	insist(thread_start(&thread, (thread_function)(void *)yield, NULL));
	exited_id = thread.id;
	must(thread_finish(&thread, CAPOS_NEVER, NULL));
	tap_ok(foreign_id != 0 && exited_id != 0, "there is a thread of another process");
}

void test_policy(void)
{
	struct capos_policy_bounds whole = bounds_of(known.policy), bounds = narrow_bounds;
	struct capos_policy_info info = { 0 };

	tap_ok(whole.weight_max == CAPOS_WEIGHT_MAX && whole.class_best == CAPOS_LATENCY_INTERACTIVE &&
		       whole.request_min_ns == CAPOS_REQUEST_MIN_NS && whole.request_max_ns == CAPOS_REQUEST_MAX_NS &&
		       whole.expires_ns == 0 && whole.scope == CAPOS_SCOPE_MACHINE,
	       "the manifest's bounds");
	find_threads();
	narrow = derived(known.policy, narrow_bounds);
	must(scheduling_policy_info(narrow, &info));
	tap_ok(memcmp(&info.bounds, &narrow_bounds, sizeof(info.bounds)) == 0 && info.depth == 1 && !info.expired,
	       "a derived one has the bounds that were asked for");
	bounds.scope = CAPOS_SCOPE_THREAD;
	own_only = derived(narrow, bounds);
	changes();
	refused_values();
	refused_threads();
	expired();
	tap_ok(params_are(CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, 4 * MS),
	       "what was refused changed no parameter");
	wider();
	ends();
	threads();
	into_memory();
	others();
	refused_snapshots();
	destroy(own_only);
	destroy(narrow);
}
