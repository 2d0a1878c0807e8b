/* SPDX-License-Identifier: MIT */
/* scheduling_context: specs, who may be bound, and what is left of a context that was revoked. What budgets do: proofs/contexttest.c. */
#include "errors.h"

static const struct capos_context_spec good_spec = { .budget_ns = 5 * MS,
						     .period_ns = 50 * MS,
						     .deadline_ns = 50 * MS };
/* The authority that bad attempts are made with, and a thread that waits. */
static capos_handle context;
static struct thread sleeper;

/* --- specs -------------------------------------------------------------------------------------------------------------- */

#define WITH(field_, value)                                                                                          \
	({                                                                                                           \
		spec = good_spec;                                                                                    \
		spec.field_ = (value);                                                                               \
		&spec;                                                                                               \
	})
#define NONSENSE(field, value, when)                                                                                 \
	FAILS(scheduling_context, create, BAD_ARGUMENT, CAPOS_DETAIL_SPEC(field), when, .handle = known.context,     \
	      .message = WITH(field, value), .bytes = sizeof(spec))

static void specs(void)
{
	struct capos_context_spec spec = good_spec, whole = context_info(known.context).spec;
	struct capos_context_info info;
	capos_handle least, half, other;

	NONSENSE(budget_ns, 50 * MS + 1, "a nanosecond more than the period");
	NONSENSE(period_ns, CAPOS_CONTEXT_PERIOD_MAX_NS + 1, "a nanosecond more than an hour");
	NONSENSE(period_ns, ~0ull, "2^64 - 1");
	NONSENSE(deadline_ns, 0, "0");
	NONSENSE(deadline_ns, 50 * MS + 1, "behind the period");
	NONSENSE(overrun, CAPOS_OVERRUN_COUNT, "no policy");
	NONSENSE(replenishment, CAPOS_REPLENISH_COUNT, "no kind");
	REFUSES(scheduling_context, create, CAPOS_CONTEXT_BUDGET_TOO_SMALL, 0, "one nanosecond less",
		.handle = known.context, .message = WITH(budget_ns, CAPOS_CONTEXT_BUDGET_MIN_NS - 1),
		.bytes = sizeof(spec));
	REFUSES(scheduling_context, create, CAPOS_CONTEXT_BUDGET_TOO_SMALL, 0, "0", .handle = known.context,
		.message = WITH(budget_ns, 0), .bytes = sizeof(spec));
	tap_ok(whole.budget_ns == whole.period_ns, "the manifest's context is a whole CPU");

	spec = (struct capos_context_spec){ .budget_ns = CAPOS_CONTEXT_BUDGET_MIN_NS,
					    .period_ns = CAPOS_CONTEXT_PERIOD_MAX_NS,
					    .deadline_ns = 1,
					    .replenishment = CAPOS_REPLENISH_CBS };
	least = context_made(spec);
	info = context_info(least);
	tap_ok(memcmp(&info.spec, &spec, sizeof(spec)) == 0 && info.generation == 1 &&
		       info.state == CAPOS_CONTEXT_UNBOUND && info.thread_id == 0 &&
		       info.remaining_budget_ns == CAPOS_CONTEXT_BUDGET_MIN_NS && info.used_ns == 0 &&
		       info.context_id > context_info(known.context).context_id,
	       "the smallest budget, the longest period");
	spec = good_spec;
	REFUSES(scheduling_context, create, CAPOS_CONTEXT_WIDER, 0, "more than the creator's", .handle = least,
		.message = &spec, .bytes = sizeof(spec));
	half = context_made(*WITH(budget_ns, 25 * MS));
	other = context_made_from(half, (struct capos_context_spec){ 1500 * MS, 3 * SECOND, SECOND, 0, 0 });
	tap_ok(context_info(other).spec.budget_ns == 1500 * MS, "half of a CPU by other numbers");
	spec = (struct capos_context_spec){ 1500 * MS + 1, 3 * SECOND, SECOND, 0, 0 };
	REFUSES(scheduling_context, create, CAPOS_CONTEXT_WIDER, 0, "a nanosecond in three seconds more",
		.handle = half, .message = &spec, .bytes = sizeof(spec));
	destroy(other);
	/* Products beyond 2^64. */
	spec = (struct capos_context_spec){ 1800 * SECOND, 3600 * SECOND, SECOND, 0, 0 };
	other = context_made_from(half, spec);
	spec.budget_ns = 3600 * SECOND;
	REFUSES(scheduling_context, create, CAPOS_CONTEXT_WIDER, 0, "a whole hour in each, of half a one",
		.handle = other, .message = &spec, .bytes = sizeof(spec));
	destroy(other);
	destroy(half);
	destroy(least);
}

/* A passive thread, on its caller's entity, asks for a budget of its own. */
static uint64_t asks(void *argument)
{
	capos_handle port = *(const capos_handle *)argument;
	struct request request;

	must(endpoint_recv(port, CAPOS_NEVER, 0, &request));
	REFUSES(scheduling_context, bind_caller_thread, CAPOS_CONTEXT_PASSIVE_THREAD, 0, "of a passive thread",
		.handle = context);
	return endpoint_reply(NULL).status;
}

/* --- bindings ----------------------------------------------------------------------------------------------------------- */

#define BIND_REFUSES(result, when, thread)                                                                           \
	REFUSES(scheduling_context, bind_thread, result, 0, when, .handle = context, .word = { thread })
#define BIND_FAILS(status, when, thread)                                                                             \
	FAILS(scheduling_context, bind_thread, status, 1, when, .handle = context, .word = { thread })

static void bindings(void)
{
	capos_handle second = context_made(good_spec), stale = stale_handle(), revoked, reader, port;
	struct thread passive, ended;
	uint64_t word[CAPOS_WORDS] = { 0 };

	context = context_made(good_spec);
	revoked = revoked_handle(sleeper.handle);
	reader = with_rights(sleeper.handle, CAPOS_RIGHT_READ);
	BIND_FAILS(INVALID_HANDLE, "forged", FORGED_HANDLE);
	BIND_FAILS(STALE_HANDLE, "released", stale);
	BIND_FAILS(REVOKED, "revoked", revoked);
	BIND_FAILS(WRONG_INTERFACE, "a notification", sample[CAPOS_IFACE_notification]);
	BIND_FAILS(MISSING_RIGHTS, "a handle to look at", reader);
	drop(revoked);
	drop(reader);
	insist(thread_start_on(&passive, sleep_forever, NULL, CAPOS_CPU_ANY, CAPOS_THREAD_PASSIVE));
	BIND_REFUSES(CAPOS_CONTEXT_PASSIVE_THREAD, "without an entity", passive.handle);
	must(thread_terminate(passive.handle));
	must(thread_finish(&passive, CAPOS_NEVER, NULL));
	insist(factory_endpoint(known.factory, PROOF_IFACE, &port));
	insist(thread_start_on(&passive, asks, &port, CAPOS_CPU_ANY, CAPOS_THREAD_PASSIVE));
	expect_good(call_words(port, CAPOS_CALL_WORD(PROOF_IFACE, PROOF_ECHO, CAPOS_OP_CALL, 0, 0), word),
		    "its caller gets the reply");
	must(thread_finish(&passive, CAPOS_NEVER, NULL));
	destroy(port);
	insist(thread_start(&ended, (thread_function)(void *)yield, NULL));
	must(thread_join(ended.handle, CAPOS_NEVER, NULL, NULL));
	BIND_REFUSES(CAPOS_CONTEXT_THREAD_ENDED, "that has exited", ended.handle);
	must(thread_finish(&ended, CAPOS_NEVER, NULL));
	REFUSES(scheduling_context, unbind, CAPOS_CONTEXT_NOT_BOUND, 0, "that never was", .handle = context);
	REFUSES(scheduling_context, resume, CAPOS_CONTEXT_NOT_SUSPENDED, 0, "without a thread", .handle = context);

	expect_good(scheduling_context_bind_thread(context, sleeper.handle), "a thread is bound");
	tap_ok(context_info(context).thread_id == sleeper.id && context_info(context).state == CAPOS_CONTEXT_BOUND,
	       "and is named");
	REFUSES(scheduling_context, resume, CAPOS_CONTEXT_NOT_SUSPENDED, 0,
		"of a thread that waits for something else", .handle = context);
	BIND_REFUSES(CAPOS_CONTEXT_ALREADY_BOUND, "the same once more", sleeper.handle);
	REFUSES(scheduling_context, bind_caller_thread, CAPOS_CONTEXT_ALREADY_BOUND, 0, "another", .handle = context);
	REFUSES(scheduling_context, bind_thread, CAPOS_CONTEXT_THREAD_HAS_ONE, 0, "that has a context",
		.handle = second, .word = { sleeper.handle });
	expect_good(scheduling_context_unbind(context), "unbound");
	expect_good(scheduling_context_bind_caller_thread(context), "the caller takes it");
	REFUSES(scheduling_context, bind_caller_thread, CAPOS_CONTEXT_THREAD_HAS_ONE, 0, "who has a context",
		.handle = second);
	expect_good(scheduling_context_bind_thread(second, sleeper.handle), "the other thread the other one");
	for (uint64_t begin_ns = now_ns(); now_ns() == begin_ns;)
		; /* the clock may stand for a while (--tsc) */
	must(scheduling_context_unbind(context));
	destroy(second);
	tap_ok(context_info(context).used_ns > 0 && context_info(context).remaining_budget_ns <= 5 * MS,
	       "what the caller ran was charged");
}

/* --- notifications ------------------------------------------------------------------------------------------------------ */

static void waits(void)
{
	capos_handle quiet = context_made(good_spec), observer = 0;
	struct capos_context_notifications cell = { .sequence = 1 };
	struct capos_cqe done = { 0 };
	uint64_t sequence = 9, revoked = 0;

	expect_good(scheduling_context_drain_notifications(quiet, &cell), "notifications of a new context");
	tap_ok(cell.sequence == 0 && cell.depletion.count == 0 && cell.deadline.sequence == 0 &&
		       cell.state == CAPOS_CONTEXT_UNBOUND && cell.explicit_revoke == 0,
	       "there are none");
	FAILS(scheduling_context, wait_notification, WOULD_BLOCK, 0, "deadline 0", .handle = quiet);
	FAILS(scheduling_context, wait_notification, TIMED_OUT, 0, "a deadline in the past", .handle = quiet,
	      .word = { 1 }, .deadline_ns = 1);
	expect_good(scheduling_context_wait_notification(quiet, 0, 7, &sequence), "at another sequence");
	tap_ok(sequence == 0, "which is told");
	insist(cap_table_derive(known.caps, quiet, CAPOS_RIGHT_READ, 0, &observer));
	for (unsigned i = 0; i < CAPOS_CONTEXT_WATCHERS_MAX; i++) {
		struct capos_sqe entry = RING_CALL(i, scheduling_context, wait_notification, i % 2 ? quiet : observer,
						   CAPOS_NEVER, CAPOS_NEVER, 0, 0, 0);

		must(ring_submit_wait(&entry));
	}
	must(ring_enter(0, 0));
	REFUSES(scheduling_context, wait_notification, CAPOS_CONTEXT_TOO_MANY_WATCHERS, 0, "the ninth",
		.handle = quiet, .word = { CAPOS_NEVER }, .deadline_ns = CAPOS_NEVER);
	expect_good(scheduling_context_revoke(quiet), "revoked while eight wait");
	for (unsigned i = 0; i < CAPOS_CONTEXT_WATCHERS_MAX; i++) {
		must(ring_wait(&done, now_ns() + 10 * SECOND));
		revoked += result_of(done.result).iresult ==
			   (done.user_data % 2 ? CAPOS_CONTEXT_WAS_REVOKED : CAPOS_CONTEXT_STALE_GENERATION);
	}
	tap_ok(revoked == CAPOS_CONTEXT_WATCHERS_MAX, "each is told by its own capability");
	drop(observer);
	destroy(quiet);
}

/* --- threads of other processes ----------------------------------------------------------------------------------------- */

#define BIND_THERE_REFUSES(result, when, process_, id)                                                               \
	REFUSES(process, bind_context, result, 0, when, .handle = process_, .word = { context, id })
#define BIND_THERE_FAILS(status, when, process_, h)                                                                  \
	FAILS(process, bind_context, status, 1, when, .handle = process_, .word = { h, thread_id })

/* The first thread of a process that runs: the kernel tells it by the context's records. */
static bool is_recorded(uint64_t process_id, capos_handle bound)
{
	struct capos_context_record records[CONTEXT_RECORDS_MAX] = { 0 };
	struct capos_context_info info = context_info(bound);
	uint64_t count = 0, next = 0;

	must(scheduling_policy_snapshot(known.policy, CAPOS_SNAPSHOT_CONTEXTS, info.thread_id, 0, 0, records, &count,
					&next));
	return count == 1 && next == 0 && records[0].process_id == process_id &&
	       records[0].context.context_id == info.context_id && records[0].context.thread_id == info.thread_id &&
	       records[0].context.holder_id == info.thread_id && records[0].context.spec.budget_ns == 5 * MS &&
	       records[0].time_ns <= now_ns();
}

/* A record has a thread's own parameters all the time, and says when others are in effect. */
static bool is_recorded_with(bool best_effort)
{
	struct capos_thread_record records[THREAD_RECORDS_MAX] = { 0 };
	uint64_t count = 0, next = 0;

	must(scheduling_policy_snapshot(known.policy, CAPOS_SNAPSHOT_THREADS, self()->id, 0, 0, records, &count,
					&next));
	return count > 0 && records[0].id == self()->id && records[0].weight == CAPOS_WEIGHT_DEFAULT &&
	       records[0].latency_class == CAPOS_LATENCY_NORMAL && records[0].best_effort == best_effort;
}

static void best_effort_on_record(void)
{
	struct capos_context_spec spec = spec_of(MS, 100 * SECOND);
	capos_handle little;

	spec.overrun = CAPOS_OVERRUN_BEST_EFFORT;
	little = context_made(spec);
	must(scheduling_context_bind_caller_thread(little));
	while (context_info(little).state != CAPOS_CONTEXT_BEST_EFFORT)
		;
	tap_ok(is_recorded_with(true), "who goes on by best effort is on record so");
	must(scheduling_context_unbind(little));
	tap_ok(is_recorded_with(false), "until its context is gone");
	destroy(little);
}

static uint64_t spins(void *argument)
{
	while (*(volatile bool *)argument)
		;
	return 0;
}

/* Who waits for a budget is said to, by its handle and on record, until it goes on. */
static void throttled_on_record(void)
{
	capos_handle little = context_made(spec_of(MS, 100 * SECOND));
	struct capos_thread_record records[THREAD_RECORDS_MAX] = { 0 };
	volatile bool goes_on = true;
	struct capos_thread_info info = { 0 };
	uint64_t count = 0, next = 0;
	struct thread spinner;

	insist(thread_start(&spinner, spins, (void *)&goes_on));
	must(scheduling_context_bind_thread(little, spinner.handle));
	(void)becomes_true(context_info(little).state == CAPOS_CONTEXT_THROTTLED);
	must(thread_info(spinner.handle, &info));
	tap_ok(info.state == CAPOS_THREAD_THROTTLED, "who has used up his budget is throttled");
	must(scheduling_policy_snapshot(known.policy, CAPOS_SNAPSHOT_THREADS, spinner.id, 0, 0, records, &count,
					&next));
	tap_ok(count > 0 && records[0].id == spinner.id && records[0].state == CAPOS_THREAD_THROTTLED,
	       "and is on record so");
	must(scheduling_context_unbind(little));
	must(thread_info(spinner.handle, &info));
	tap_ok(info.state != CAPOS_THREAD_THROTTLED, "until its context is gone");
	goes_on = false;
	must(thread_finish(&spinner, CAPOS_NEVER, NULL));
	destroy(little);
}

/* A process whose second thread is a passive one. */
static void passive_there(void)
{
	struct capos_thread_record records[THREAD_RECORDS_MAX] = { 0 };
	struct capos_spawn spawn;
	struct process_end end;
	capos_handle process = 0;
	uint64_t id = 0, passive = 0, count = 0, next;

	child_init(&spawn, "threads 1 passive");
	insist(spawn_start(&spawn, &process, &id));
	while (passive == 0) {
		(void)sleep_ns(MS);
		next = id;
		do {
			must(scheduling_policy_snapshot(known.policy, CAPOS_SNAPSHOT_THREADS, next, 0, 0, records,
							&count, &next));
			for (uint64_t i = 0; i < count; i++)
				if (records[i].process_id == id && (records[i].flags & CAPOS_THREAD_PASSIVE) != 0)
					passive = records[i].id;
		} while (next != 0);
	}
	BIND_THERE_REFUSES(CAPOS_CONTEXT_PASSIVE_THREAD, "of another process, without an entity", process, passive);
	must(process_kill(process, 1));
	must(process_wait(process, CAPOS_NEVER, &end));
	drop(process);
}

static void processes(void)
{
	struct capos_spawn spawn;
	struct process_end end = { 0 };
	capos_handle process = 0, first = context_made(good_spec), looker, dead, stale = stale_handle();
	capos_handle before = context;
	uint64_t id = 0, thread_id;

	context = context_made(good_spec);
	spawn_init(&spawn, "child", "sleep");
	tap_ok(spawn_bind(&spawn, first) && !spawn_bind(&spawn, first), "a process for a context, and for one only");
	(void)spawn_grant_own(&spawn, "timer");
	insist(spawn_start(&spawn, &process, &id));
	thread_id = context_info(first).thread_id;
	tap_ok(thread_id > id && context_info(first).used_ns <= 5 * MS && is_recorded(id, first),
	       "its first thread is bound when it is born");
#define REQUEST                                                                                                      \
	.handle = known.process_spawner, .message = &spawn,                                                          \
	.bytes = (uint32_t)(offsetof(struct capos_spawn, grants) + spawn.grant_count * sizeof(struct capos_grant))
	REFUSES(process_spawner, spawn, CAPOS_SPAWN_BAD_CONTEXT, CAPOS_CONTEXT_ALREADY_BOUND,
		"its context has a thread", REQUEST);
	REFUSES(process, bind_context, CAPOS_CONTEXT_ALREADY_BOUND, 0, "it has it", .handle = process,
		.word = { first, thread_id });
	BIND_THERE_REFUSES(CAPOS_CONTEXT_THREAD_HAS_ONE, "who was born with one", process, thread_id);
	BIND_THERE_REFUSES(CAPOS_CONTEXT_THREAD_ENDED, "a thread of another process", process, sleeper.id);
	BIND_THERE_REFUSES(CAPOS_CONTEXT_THREAD_ENDED, "an id that no thread has", process, ~0ull);
	BIND_THERE_REFUSES(CAPOS_CONTEXT_THREAD_ENDED, "0", process, 0);
	must(scheduling_context_unbind(first));
	expect_good(process_bind_context(process, context, thread_id), "another context has it now");
	tap_ok(is_recorded(id, context), "and is on record");
	BIND_THERE_FAILS(INVALID_HANDLE, "forged", process, FORGED_HANDLE);
	BIND_THERE_FAILS(STALE_HANDLE, "released", process, stale);
	BIND_THERE_FAILS(WRONG_INTERFACE, "a thread as context", process, sleeper.handle);
	looker = with_rights(context, CAPOS_RIGHT_READ);
	BIND_THERE_FAILS(MISSING_RIGHTS, "a context to look at", process, looker);
	drop(looker);
	dead = revoked_handle(context);
	BIND_THERE_FAILS(REVOKED, "revoked", process, dead);
	drop(dead);
	must(process_kill(process, 1));
	must(process_wait(process, CAPOS_NEVER, &end));
	tap_ok(context_info(context).state == CAPOS_CONTEXT_UNBOUND,
	       "a process that is killed gives its context back");
	BIND_THERE_REFUSES(CAPOS_CONTEXT_THREAD_ENDED, "that was killed", process, thread_id);
	drop(process);
	passive_there();

	must(scheduling_context_revoke(first));
	REFUSES(process_spawner, spawn, CAPOS_SPAWN_BAD_CONTEXT, CAPOS_CONTEXT_WAS_REVOKED, "its context was revoked",
		REQUEST);
	destroy(first);
	REFUSES(process_spawner, spawn, CAPOS_SPAWN_BAD_GRANT, 0, "no context", REQUEST);
	spawn.grants[0].handle = known.timer;
	REFUSES(process_spawner, spawn, CAPOS_SPAWN_BAD_GRANT, 0, "a timer as context", REQUEST);
	looker = with_rights(context, CAPOS_RIGHT_READ | CAPOS_RIGHT_GRANT);
	spawn.grants[0].handle = looker;
	REFUSES(process_spawner, spawn, CAPOS_SPAWN_BAD_GRANT, 0, "a context to look at", REQUEST);
	drop(looker);
	spawn.grant_count = 0;
	REFUSES(process_spawner, spawn, CAPOS_SPAWN_BAD_GRANT, 0, "without any grant", REQUEST);
	destroy(context);
	context = before;
}

/* --- masks -------------------------------------------------------------------------------------------------------------- */

#define MASK(set_)                                                                                                   \
	.handle = known.context, .word = { (uintptr_t)(set_) }, .message = &good_spec, .bytes = sizeof(good_spec)
#define BAD_MASK(fault, when, set)                                                                                   \
	REFUSES(scheduling_context, create, CAPOS_CONTEXT_INVALID_MASK, CAPOS_MASK_##fault, when, MASK(set))

static void bad_masks(void)
{
	struct capos_cpu_set set = set_of(0, 0), none = { 0 };

	FAILS_BY(CALL, scheduling_context, create, BAD_ADDRESS, 0, "a mask at 8", MASK(8));
	set.byte_count = 2;
	BAD_MASK(NOT_CANONICAL, "a 0 at the end", &set);
	set.byte_count = 0xffff;
	BAD_MASK(NOT_CANONICAL, "65,535 bytes", &set);
	set.byte_count = CAPOS_CPU_SET_BYTES + 1;
	BAD_MASK(NOT_CANONICAL, "a byte more than a set has", &set);
	set = set_of(0, startup()->cpu_count);
	BAD_MASK(OFF_MACHINE, "the first, and one that is not there", &set);
	set = set_of(CAPOS_CPU_SET_BYTES * 8 - 1, CAPOS_CPU_SET_BYTES * 8 - 1);
	BAD_MASK(OFF_MACHINE, "a CPU that is not there", &set);
	BAD_MASK(NO_CPU, "no CPU", &none);
}

#define CONTEXT_(m) .iface = CAPOS_IFACE_scheduling_context, .method = CAPOS_METHOD_scheduling_context_##m
#define THREAD_(m) .iface = CAPOS_IFACE_thread, .method = CAPOS_METHOD_thread_##m

/* With one CPU there is nothing that a mask could leave out. */
static void no_masks(void)
{
	static const struct attempt attempts[] = {
		{ CONTEXT_(create), .iresult = CAPOS_CONTEXT_WIDER, .detail = CAPOS_DETAIL_MASK },
		{ CONTEXT_(bind_thread), .iresult = CAPOS_CONTEXT_CPU_MASK_MISMATCH },
		{ CONTEXT_(bind_caller_thread), .iresult = CAPOS_CONTEXT_CPU_MASK_MISMATCH },
		{ THREAD_(set_cpu), .iresult = CAPOS_THREAD_CPU_MASK_MISMATCH },
		{ .iface = CAPOS_IFACE_op, .method = CAPOS_METHOD_op_call, .status = CAPOS_STATUS_CPU_MASK_MISMATCH },
		{ .iface = CAPOS_IFACE_process,
		  .method = CAPOS_METHOD_process_bind_context,
		  .iresult = CAPOS_CONTEXT_CPU_MASK_MISMATCH },
		{ .iface = CAPOS_IFACE_process_spawner,
		  .method = CAPOS_METHOD_process_spawner_spawn,
		  .iresult = CAPOS_SPAWN_BAD_CONTEXT,
		  .detail = CAPOS_CONTEXT_CPU_MASK_MISMATCH },
		{ THREAD_(set_affinity), .iresult = CAPOS_THREAD_CPU_MASK_MISMATCH },
	};

	for (size_t i = 0; i < COUNT_OF(attempts); i++)
		error_produced(&attempts[i], attempts[i].status != 0 ? CAPOS_WAY_CALL : CAPOS_WAY_BOTH);
}

/* Passive, pinned, and waits when the call comes, or receives it when it waits for it. */
static capos_handle pinned_port, waits_for;

static uint64_t serve_pinned(void *argument)
{
	struct request request;

	if (argument != NULL)
		(void)becomes_true(waits_on(waits_for) == CAPOS_WAIT_CALL);
	must(endpoint_recv(pinned_port, CAPOS_NEVER, 0, &request));
	return endpoint_reply(NULL).status;
}

static void calls_off_mask(bool queued, uint32_t cpu)
{
	struct thread server;

	insist(factory_endpoint(known.factory, PROOF_IFACE, &pinned_port));
	insist(thread_start_on(&server, serve_pinned, queued ? &server : NULL, cpu, CAPOS_THREAD_PASSIVE));
	if (!queued)
		(void)becomes_true(waits_on(server.handle) == CAPOS_WAIT_RECV);
	FAILS_BY(CALL, op, call, CPU_MASK_MISMATCH, 0,
		 queued ? "a pinned server receives it" : "a pinned server waits", .handle = pinned_port,
		 .call = CAPOS_CALL_WORD(PROOF_IFACE, PROOF_ECHO, CAPOS_OP_CALL, 0, 0));
	must(thread_terminate(server.handle));
	must(thread_finish(&server, CAPOS_NEVER, NULL));
	destroy(pinned_port);
}

/* Processes for contexts whose masks have none of their CPUs. */
static void processes_off_mask(capos_handle one, capos_handle pair, uint32_t cpu)
{
	struct capos_spawn spawn;
	struct process_end end;
	capos_handle process = 0;
	uint64_t thread_id;

	spawn_init(&spawn, "child", "sleep");
	spawn.cpu = cpu;
	(void)spawn_bind(&spawn, one);
	(void)spawn_grant_own(&spawn, "timer");
	REFUSES(process_spawner, spawn, CAPOS_SPAWN_BAD_CONTEXT, CAPOS_CONTEXT_CPU_MASK_MISMATCH,
		"its CPU is none of the mask", .handle = known.process_spawner, .message = &spawn,
		.bytes = (uint32_t)(offsetof(struct capos_spawn, grants) +
				    spawn.grant_count * sizeof(struct capos_grant)));
	spawn_init(&spawn, "child", "sleep");
	spawn.cpu = cpu;
	(void)spawn_bind(&spawn, pair);
	(void)spawn_grant_own(&spawn, "timer");
	insist(spawn_start(&spawn, &process, NULL));
	thread_id = context_info(pair).thread_id;
	must(scheduling_context_unbind(pair));
	REFUSES(process, bind_context, CAPOS_CONTEXT_CPU_MASK_MISMATCH, 0, "of another process, off the mask",
		.handle = process, .word = { one, thread_id });
	must(process_kill(process, 1));
	must(process_wait(process, CAPOS_NEVER, &end));
	drop(process);
}

static void masks(void)
{
	uint32_t last = startup()->cpu_count - 1;
	struct capos_cpu_set first = set_of(0, 0), other = set_of(last, last), both = set_of(0, last), back;
	capos_handle pair = 0, one = 0, child, self = 0;

	bad_masks();
	insist(scheduling_context_create_within(known.context, &good_spec, &both, &pair));
	insist(scheduling_context_create_within(pair, &good_spec, &first, &one));
	expect_good(scheduling_context_cpus(one, &back), "its CPUs");
	tap_ok(memcmp(&back, &first, sizeof(back)) == 0, "are those that it was made for");
	child = context_made_from(one, good_spec);
	must(scheduling_context_cpus(child, &back));
	tap_ok(memcmp(&back, &first, sizeof(back)) == 0, "without a mask those of its creator");
	destroy(child);
	if (last == 0) {
		no_masks();
	} else {
		REFUSES(scheduling_context, create, CAPOS_CONTEXT_WIDER, CAPOS_DETAIL_MASK, "another CPU",
			.handle = one, .word = { (uintptr_t)&other }, .message = &good_spec,
			.bytes = sizeof(good_spec));
		REFUSES(scheduling_context, create, CAPOS_CONTEXT_WIDER, CAPOS_DETAIL_MASK, "a CPU more",
			.handle = one, .word = { (uintptr_t)&both }, .message = &good_spec,
			.bytes = sizeof(good_spec));
		insist(thread_spawner_self(known.threads, &self));
		must(thread_set_cpu(self, last));
		REFUSES(scheduling_context, bind_caller_thread, CAPOS_CONTEXT_CPU_MASK_MISMATCH, 0,
			"whose set has none of it", .handle = one);
		REFUSES(scheduling_context, bind_thread, CAPOS_CONTEXT_CPU_MASK_MISMATCH, 0,
			"of which the set has none of it", .handle = one, .word = { self });
		tap_ok(context_info(one).state == CAPOS_CONTEXT_UNBOUND, "and is not bound");
		must(thread_set_cpu(self, CAPOS_CPU_ANY));
		processes_off_mask(one, pair, last);
		expect_good(scheduling_context_bind_caller_thread(one), "without such a set it is bound");
		REFUSES(thread, set_cpu, CAPOS_THREAD_CPU_MASK_MISMATCH, 0, "off its context's mask", .handle = self,
			.word = { last });
		REFUSES(thread, set_affinity, CAPOS_THREAD_CPU_MASK_MISMATCH, 0, "off its context's mask",
			.handle = self, .message = &other, .bytes = sizeof(other.byte_count) + other.byte_count);
		waits_for = self;
		calls_off_mask(false, last);
		calls_off_mask(true, last);
		expect_good(thread_set_affinity(self, &both), "a set that has some of it");
		must(thread_affinity(self, &back));
		tap_ok(memcmp(&back, &both, sizeof(back)) == 0, "is what the thread asked for");
		must(scheduling_context_unbind(one));
		must(thread_set_cpu(self, CAPOS_CPU_ANY));
		drop(self);
	}
	destroy(one);
	destroy(pair);
}

/* --- the end ------------------------------------------------------------------------------------------------------------ */

#define ENDED(result, when, h)                                                                                       \
	do {                                                                                                         \
		REFUSES(scheduling_context, info, result, 0, when, .handle = h);                                     \
		REFUSES(scheduling_context, create, result, 0, when, .handle = h, .message = &good_spec,             \
			.bytes = sizeof(good_spec));                                                                 \
		REFUSES(scheduling_context, bind_caller_thread, result, 0, when, .handle = h);                       \
		REFUSES(scheduling_context, revoke, result, 0, when, .handle = h);                                   \
		REFUSES(scheduling_context, drain_notifications, result, 0, when, .handle = h,                       \
			.served = (result) == CAPOS_CONTEXT_WAS_REVOKED);                                            \
		REFUSES(scheduling_context, wait_notification, result, 0, when, .handle = h,                         \
			.word = { CAPOS_NEVER });                                                                    \
		REFUSES(scheduling_context, bind_thread, result, 0, when, .handle = h, .word = { sleeper.handle });  \
		REFUSES(scheduling_context, unbind, result, 0, when, .handle = h);                                   \
		REFUSES(process, bind_context, result, 0, when, .handle = sample[CAPOS_IFACE_process],               \
			.word = { h, ~0ull });                                                                       \
		REFUSES(scheduling_context, resume, result, 0, when, .handle = h);                                   \
		REFUSES(scheduling_context, cpus, result, 0, when, .handle = h);                                     \
	} while (0)

static void ends(void)
{
	capos_handle child = context_made_from(context, good_spec), observer = 0;
	struct capos_context_notifications cell = { 0 };

	insist(cap_table_derive(known.caps, context, CAPOS_RIGHTS_ALL, 0, &observer));
	must(scheduling_context_bind_thread(context, sleeper.handle));
	expect_good(scheduling_context_revoke(context), "a context with a thread is revoked");
	ENDED(CAPOS_CONTEXT_WAS_REVOKED, "through this", context);
	(void)scheduling_context_drain_notifications(context, &cell);
	tap_ok(cell.explicit_revoke == 1 && cell.state == CAPOS_CONTEXT_REVOKED, "which learns that it was a revoke");
	ENDED(CAPOS_CONTEXT_STALE_GENERATION, "through another", observer);
	tap_ok(context_info(child).state == CAPOS_CONTEXT_UNBOUND, "what was created through it is there still");
	expect_good(scheduling_context_bind_thread(child, sleeper.handle), "and its thread is free for it");
	drop(observer);
	destroy(context);
	destroy(child);
}

void test_context(void)
{
	insist(thread_start(&sleeper, sleep_forever, NULL));
	specs();
	bindings();
	waits();
	processes();
	best_effort_on_record();
	throttled_on_record();
	masks();
	ends();
	must(thread_terminate(sleeper.handle));
	must(thread_finish(&sleeper, CAPOS_NEVER, NULL));
}
