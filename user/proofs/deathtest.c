/* SPDX-License-Identifier: MIT */
/*
 * run-death: death at any moment. A scenario is an operation of several steps that a victim makes; the simulator counts its steps
 * (lib/steps.h), and the scenario is run again and again, each time with one blow at the next step, until it ends before the blow.
 *
 *   supervisor (first process)            kills the creator; holds what everything used against what it used before
 *     creator                             owns port, bell and memory; kills victim or peer, destroys or revokes the object
 *       peer                              serves the victim's calls, or calls it
 *       victim                            makes the operation; another thread of it terminates the one that makes it
 *
 * After each blow: everybody's waits end, with a result that the blow explains; the victim's process ends as it should; memory, slots,
 * threads, kernel objects and frames are as before. Besides, each allocation of the operation fails once.
 *
 * `--full` of the simulator: every step, windows and then every atomic access; else a sample that the seed draws.
 */
#include "proof.h"

#include <lib/steps.h>

#define PATIENCE_NS (3 * SECOND)
#define POLL_NS 10000ull
#define SAMPLES 3u
#define STRIDES 2000u /* in full: a blow at each step up to so many, then at every second, third ... */
#define KILL_CODE 77u
#define MEMORY_BYTES (24u * PAGE)
#define METHOD_NEST 10u
#define METHOD_TAKE 11u /* capabilities come along, one goes back */

enum target { NOBODY, THREAD, PROCESS, CREATOR, PEER, DESTROY, REVOKE, ALLOC, TARGETS };
static const char *const target_names[TARGETS] = { "nobody", "thread",	"process", "creator",
						   "peer",   "destroy", "revoke",  "alloc" };
#define T(target) (1u << (target))
#define T_ALWAYS (T(THREAD) | T(PROCESS) | T(CREATOR) | T(ALLOC))
#define T_OBJECT (T(DESTROY) | T(REVOKE))

enum failure { FAIL_RESULT = 1, FAIL_JOIN, FAIL_VICTIM, FAIL_PEER, FAIL_CREATOR, FAIL_START, FAIL_USAGE };
static const char *const failure_names[] = { "",
					     "the operation ended with status",
					     "join of the killed thread: status",
					     "the victim was not told, or ended with cause",
					     "the peer was not told, or ended with code",
					     "the creator ended with cause",
					     "could not be set up: status",
					     "left something behind, bytes" };

struct scenario {
	const char *name;
	struct capos_result (*run)(void);
	void (*prepare)(void);
	const char *object; /* what DESTROY and REVOKE strike */
	const char *peer;   /* mode of the peer; NULL: none */
	uint32_t targets;
	bool at_exit;	/* the steps go on until the victim is gone */
	bool may_fault; /* when pages that it touches are taken away, or the handler of its fault dies */
};

static struct steps none;
static volatile struct steps *steps = &none; /* the simulator's */

static void find_steps(void)
{
	if (on_simulator())
		steps = (volatile struct steps *)STEPS_ADDR;
}

static void fail(enum failure failure, uint64_t detail)
{
	if (steps->failure == 0) {
		steps->failure_detail = (uint32_t)detail;
		steps->failure_state = steps->state;
		steps->failure = failure;
	}
}

#define TRY(call)                                                                                                    \
	({                                                                                                           \
		struct capos_result tried_ = (call);                                                                 \
		if (!result_ok(tried_))                                                                              \
			return tried_;                                                                               \
		tried_;                                                                                              \
	})
static const struct capos_result good = { 0 };

/* --- operations of the victim -------------------------------------------------------------------------------------------- */

static uint64_t soon(void)
{
	return now_ns() + 100000;
}

/* The end of a wait with a deadline of its own is as good as any. */
static struct capos_result waited(struct capos_result r)
{
	return r.status == CAPOS_STATUS_TIMED_OUT ? good : r;
}

static struct capos_result run_spawn(void)
{
	struct capos_spawn spawn;
	capos_handle process = 0;
	struct process_end end;

	child_init(&spawn, "exit 0");
	TRY(spawn_start(&spawn, &process, NULL));
	return spawn_finish(process, CAPOS_NEVER, &end);
}

static struct capos_result run_process_kill(void)
{
	struct capos_spawn spawn;
	capos_handle process = 0;
	struct process_end end;

	child_init(&spawn, "threads 2 sleep");
	TRY(spawn_start(&spawn, &process, NULL));
	TRY(process_kill(process, 1));
	return spawn_finish(process, CAPOS_NEVER, &end);
}

static uint64_t return_at_once(void *argument)
{
	(void)argument;
	return 5;
}

static uint64_t sleep_long(void *argument)
{
	(void)argument;
	(void)sleep_until_ns(CAPOS_NEVER);
	return 0;
}

static uint64_t spin_long(void *argument)
{
	(void)argument;
	for (volatile uint64_t i = 0; i != CAPOS_NEVER;)
		i = i + 1;
	return 0;
}

static struct thread helper[3];

static struct capos_result run_thread(void)
{
	TRY(thread_start(&helper[0], return_at_once, NULL));
	return thread_finish(&helper[0], CAPOS_NEVER, NULL);
}

static void prepare_sleepers(void)
{
	for (unsigned i = 0; i < COUNT_OF(helper); i++)
		insist(thread_start(&helper[i], i == 2 ? spin_long : sleep_long, NULL));
}

static struct capos_result run_join(void)
{
	return waited(thread_join(helper[0].handle, soon(), NULL, NULL));
}

static struct capos_result run_terminate(void)
{
	for (unsigned i = 0; i < COUNT_OF(helper); i++)
		TRY(thread_terminate(helper[i].handle));
	for (unsigned i = 0; i < COUNT_OF(helper); i++)
		TRY(thread_finish(&helper[i], CAPOS_NEVER, NULL));
	return good;
}

static struct capos_result run_set_cpu(void)
{
	struct capos_machine_info info = { 0 };

	TRY(system_info_machine(known.system_info, &info));
	for (uint32_t i = 0; i < 4; i++) {
		TRY(thread_set_cpu(known.self, i % info.cpu_count));
		TRY(thread_set_cpu(helper[2].handle, (i + 1) % info.cpu_count));
	}
	return thread_set_cpu(known.self, CAPOS_CPU_ANY);
}

static struct capos_result run_map(void)
{
	uint64_t address = 0;

	TRY(address_space_map(known.space, cap("memory"), 0, 0, MEMORY_BYTES, CAPOS_MAP_WRITE, &address));
	for (uint64_t i = 0; i < MEMORY_BYTES; i += 8 * PAGE)
		poke(address + i);
	TRY(address_space_protect(known.space, address, MEMORY_BYTES / 2, 0));
	TRY(address_space_unmap(known.space, address + PAGE, 2 * PAGE));
	TRY(address_space_unmap(known.space, address, PAGE));
	return address_space_unmap(known.space, address + 3 * PAGE, MEMORY_BYTES - 3 * PAGE);
}

static uint8_t buffer[PAGE];

static struct capos_result run_memory(void)
{
	capos_handle memory = 0;

	TRY(factory_memory(known.factory, MEMORY_BYTES, 0, &memory));
	TRY(memory_object_write(memory, 3 * PAGE + 5, buffer, sizeof(buffer)));
	TRY(memory_object_read(memory, 3 * PAGE, buffer, sizeof(buffer)));
	TRY(cap_table_destroy(known.caps, memory));
	return cap_table_release(known.caps, memory);
}

static struct capos_result run_copy(void)
{
	TRY(memory_object_write(cap("memory"), 1, buffer, sizeof(buffer)));
	return memory_object_read(cap("memory"), 0, buffer, sizeof(buffer));
}

#define CHAIN 24u
static capos_handle chain[CHAIN];

static void prepare_chain(void)
{
	insist(factory_endpoint(known.factory, PROOF_IFACE, &chain[0]));
	for (unsigned i = 1; i < CHAIN; i++)
		insist(cap_table_derive(known.caps, chain[i % 3 ? i - 1 : i / 2], CAPOS_RIGHTS_ALL, 0, &chain[i]));
}

static struct capos_result run_revoke(void)
{
	TRY(cap_table_revoke(known.caps, chain[1]));
	return cap_table_revoke(known.caps, chain[0]);
}

static struct capos_result run_destroy(void)
{
	return cap_table_destroy(known.caps, chain[0]);
}

static struct capos_result run_derive(void)
{
	capos_handle h = cap("bell");

	for (unsigned i = 0; i < 6; i++)
		TRY(cap_table_derive(known.caps, h, CAPOS_RIGHTS_ALL, 0, &h));
	return cap_table_revoke(known.caps, cap("bell"));
}

static struct capos_result run_call(void)
{
	uint64_t word[4] = { 1, 2, 3, 4 };

	TRY(endpoint_call(cap("port"), PROOF_IFACE, PROOF_ECHO, word, 4, word, 4));
	return endpoint_call(cap("port"), PROOF_IFACE, PROOF_ECHO, word, 4, word, 4);
}

static struct capos_result run_nested(void)
{
	uint64_t word[4] = { 1, 2, 3, 4 };

	return endpoint_call(cap("port"), PROOF_IFACE, METHOD_NEST, word, 4, word, 4);
}

static void prepare_transfer(void)
{
	insist(factory_notification(known.factory, &chain[0]));
	for (unsigned i = 1; i <= CAPOS_MESSAGE_CAPS; i++)
		insist(cap_table_derive(known.caps, chain[0], CAPOS_RIGHTS_ALL, 0, &chain[i]));
}

static struct capos_result run_transfer(void)
{
	struct message message = {
		.words = 2, .caps = CAPOS_MESSAGE_CAPS, .bytes = buffer, .bytes_sent = CAPOS_MESSAGE_BYTES
	};

	memcpy(message.cap, &chain[1], sizeof(message.cap));
	TRY(endpoint_call_message(cap("port"), PROOF_IFACE, METHOD_TAKE, &message, 1));
	for (unsigned i = 0; i < message.caps; i++)
		drop(message.cap[i]);
	return good;
}

/* Serves a few calls, with a nested one on the way; the last is left without a reply. */
static struct capos_result run_serve(void)
{
	struct request request;

	TRY(endpoint_recv(cap("port"), CAPOS_NEVER, 4, &request));
	TRY(sleep_ns(1000));
	TRY(endpoint_reply_recv(cap("port"), &(struct message){ .words = 1 }, 4, &request));
	TRY(endpoint_reply_recv(cap("port"), &(struct message){ .words = 4 }, 4, &request));
	return good;
}

static struct capos_result run_recv(void)
{
	struct request request;

	return waited(endpoint_recv(cap("port"), soon(), 0, &request));
}

static uint32_t parked_word;

static uint64_t park_long(void *argument)
{
	(void)argument;
	while (__atomic_load_n(&parked_word, __ATOMIC_RELAXED) == 0)
		(void)park_while(&parked_word, 0, CAPOS_NEVER);
	return 0;
}

static void prepare_parked(void)
{
	for (unsigned i = 0; i < COUNT_OF(helper); i++)
		insist(thread_start(&helper[i], park_long, NULL));
	(void)becomes_true(waits_on(helper[2].handle) == CAPOS_WAIT_PARK);
}

static struct capos_result run_unpark(void)
{
	__atomic_store_n(&parked_word, 1, __ATOMIC_RELAXED);
	TRY(park_space_wake(known.park, &parked_word, 100, 0, NULL));
	for (unsigned i = 0; i < COUNT_OF(helper); i++)
		TRY(thread_finish(&helper[i], CAPOS_NEVER, NULL));
	return good;
}

static struct capos_result run_park(void)
{
	return waited(park_space_wait(known.park, &parked_word, 0, soon(), 0));
}

static struct capos_result run_wait(void)
{
	uint64_t bits;

	TRY(waited(notification_wait(cap("bell"), soon(), &bits)));
	TRY(notification_signal(cap("bell"), 5));
	return notification_wait(cap("bell"), CAPOS_NEVER, &bits);
}

static struct capos_result run_sleep(void)
{
	return sleep_ns(30000);
}

static struct capos_result run_console(void)
{
	static const char text[] = "# .......................................................................\n";
	char line[4 * sizeof(text)];

	for (unsigned i = 0; i < 4; i++)
		memcpy(line + i * (sizeof(text) - 1), text, sizeof(text));
	TRY(console_take(known.console));
	TRY(console_write(known.console, line, 4 * (sizeof(text) - 1), NULL));
	return console_give(known.console);
}

static struct capos_result run_session(void)
{
	capos_handle session = 0, process = 0;
	struct capos_spawn spawn;
	struct process_end end;

	TRY(session_manager_create(known.session_manager, 7, "tester", &session, NULL));
	child_init(&spawn, "sleep");
	spawn.session = session;
	TRY(spawn_start(&spawn, &process, NULL));
	TRY(user_session_logout(session));
	TRY(process_kill(process, 1));
	return spawn_finish(process, CAPOS_NEVER, &end);
}

static struct capos_result run_ring(void)
{
	struct capos_sqe entry[] = {
		RING_CALL(1, timer, sleep, known.timer, CAPOS_NEVER, CAPOS_NEVER, 0, 0, 0),
		RING_CALL(2, notification, wait, cap("bell"), CAPOS_NEVER, CAPOS_NEVER, 0, 0, 0),
		ring_entry(3, cap("port"), CAPOS_CALL_WORD(PROOF_IFACE, PROOF_ECHO, CAPOS_OP_CALL, 1, 0), CAPOS_NEVER,
			   5, 0, 0, 0),
		ring_entry(4, cap("port"), CAPOS_CALL_WORD(PROOF_IFACE, PROOF_KEEP, CAPOS_OP_CALL, 1, 0), CAPOS_NEVER,
			   5, 0, 0, 0),
		RING_CALL(5, factory, memory, known.factory, 0, MEMORY_BYTES, 0, 0, 0),
	};

	for (unsigned i = 0; i < COUNT_OF(entry); i++)
		(void)ring_submit(&entry[i]);
	TRY(waited(ring_enter(2, soon())));
	return waited(ring_enter(3, soon()));
}

static struct capos_result run_fault(void)
{
	struct request request;
	uint64_t cause = 0;

	/* Its own handler: the fault of another thread is received here, and that thread ended. */
	TRY(endpoint_recv(chain[0], CAPOS_NEVER, 0, &request));
	TRY(thread_terminate(helper[0].handle));
	return thread_join(helper[0].handle, CAPOS_NEVER, NULL, &cause);
}

static uint64_t fault_soon(void *argument)
{
	(void)park_long(argument); /* until its handler is set */
	(void)sleep_ns(5000);
	poke(16);
	return 0;
}

static void prepare_fault(void)
{
	insist(factory_endpoint(known.factory, 0, &chain[0]));
	insist(thread_start(&helper[0], fault_soon, NULL));
	insist(thread_set_fault_endpoint(helper[0].handle, chain[0]));
	__atomic_store_n(&parked_word, 1, __ATOMIC_RELAXED);
	insist(park_space_wake(known.park, &parked_word, 1, 0, NULL));
}

/* What a teardown has to end: threads, mappings, objects, a chain, a child, ring operations. */
static void prepare_teardown(void)
{
	struct capos_spawn spawn;
	capos_handle process = 0, memory = 0;
	uint64_t address = 0;

	prepare_sleepers();
	prepare_chain();
	insist(factory_memory(known.factory, MEMORY_BYTES, 0, &memory));
	insist(address_space_map(known.space, memory, 0, 0, MEMORY_BYTES, CAPOS_MAP_WRITE, &address));
	child_init(&spawn, "sleep");
	insist(spawn_start(&spawn, &process, NULL));
}

static struct capos_result run_exit(void)
{
	for (unsigned i = 0; i < COUNT_OF(helper); i++)
		if (helper[i].handle)
			(void)thread_terminate(helper[i].handle);
	return good;
}

static const struct scenario scenarios[] = {
	{ "spawn", run_spawn, NULL, NULL, NULL, T_ALWAYS, false, false },
	{ "process kill and wait", run_process_kill, NULL, NULL, NULL, T_ALWAYS, false, false },
	{ "thread create, exit, join", run_thread, NULL, NULL, NULL, T_ALWAYS, false, false },
	{ "join", run_join, prepare_sleepers, NULL, NULL, T_ALWAYS, false, false },
	{ "terminate", run_terminate, prepare_sleepers, NULL, NULL, T_ALWAYS, false, false },
	{ "set_cpu", run_set_cpu, prepare_sleepers, NULL, NULL, T_ALWAYS, false, false },
	{ "map, protect, unmap", run_map, NULL, "memory", NULL, T_ALWAYS | T_OBJECT, false, true },
	{ "memory create, write, read", run_memory, NULL, NULL, NULL, T_ALWAYS, false, false },
	{ "memory of another", run_copy, NULL, "memory", NULL, T_ALWAYS | T_OBJECT, false, false },
	{ "revoke", run_revoke, prepare_chain, NULL, NULL, T_ALWAYS, false, false },
	{ "destroy", run_destroy, prepare_chain, NULL, NULL, T_ALWAYS, false, false },
	{ "derive", run_derive, NULL, "bell", NULL, T_ALWAYS | T_OBJECT, false, false },
	{ "call", run_call, NULL, "port", "serve", T_ALWAYS | T_OBJECT | T(PEER), false, false },
	{ "call of a passive server", run_call, NULL, "port", "passive", T_ALWAYS | T_OBJECT | T(PEER), false,
	  false },
	{ "nested call", run_nested, NULL, "port", "passive", T_ALWAYS | T_OBJECT | T(PEER), false, false },
	{ "transfer", run_transfer, prepare_transfer, "port", "serve", T_ALWAYS | T_OBJECT | T(PEER), false, false },
	{ "serve", run_serve, NULL, "port", "call", T_ALWAYS | T_OBJECT | T(PEER), true, false },
	{ "receive", run_recv, NULL, "port", NULL, T_ALWAYS | T_OBJECT, false, false },
	{ "unpark", run_unpark, prepare_parked, NULL, NULL, T_ALWAYS, false, false },
	{ "park", run_park, NULL, NULL, NULL, T_ALWAYS, false, false },
	{ "notification", run_wait, NULL, "bell", NULL, T_ALWAYS | T_OBJECT, false, false },
	{ "sleep", run_sleep, NULL, NULL, NULL, T_ALWAYS, false, false },
	{ "console", run_console, NULL, NULL, NULL, T_ALWAYS, true, false },
	{ "session create, logout", run_session, NULL, NULL, NULL, T_ALWAYS, false, false },
	{ "ring", run_ring, NULL, "port", "serve", T_ALWAYS | T_OBJECT | T(PEER), true, false },
	{ "fault handler", run_fault, prepare_fault, NULL, NULL, T_ALWAYS, false, true },
	{ "exit and teardown", run_exit, prepare_teardown, "memory", NULL, T_ALWAYS | T_OBJECT, true, false },
};

/* --- victim ------------------------------------------------------------------------------------------------------------------ */

static bool over(void)
{
	return steps->state == STEPS_OFF;
}

/* Terminates the first thread, and is told of its end. */
static uint64_t kill_first(void *argument)
{
	struct capos_result r;

	(void)argument;
	while (steps->state == STEPS_COUNT)
		(void)sleep_ns(POLL_NS);
	if (over())
		return 0;
	(void)thread_terminate(known.self);
	steps->state = STEPS_GO;
	r = thread_join(known.self, now_ns() + PATIENCE_NS, NULL, NULL);
	if (!result_ok(r))
		fail(FAIL_JOIN, r.status);
	steps->told = 1;
	return sleep_long(NULL);
}

/* The blow explains it. */
static bool is_explained(const struct scenario *scenario, struct capos_result r, enum target target)
{
	uint32_t state = steps->state; /* read once: it goes from held to go meanwhile */

	if (result_ok(r))
		return true;
	if (state != STEPS_GO && state != STEPS_HELD)
		return false;
	switch (target) {
	case PROCESS: /* or its creator: that it dies may be known before its threads are killed */
	case CREATOR: /* whose objects end before its children */
		if (r.status == CAPOS_STATUS_DYING)
			return true;
		if (target == PROCESS)
			return false;
		__attribute__((fallthrough));
	case PEER:
	case DESTROY:
	case REVOKE:
		if (scenario->may_fault && r.status == CAPOS_STATUS_OK && r.iresult == CAPOS_MAP_NOT_MAPPED)
			return true;
		/* The call that it replies to ended with its caller. */
		if (scenario->run == run_serve && r.status == CAPOS_STATUS_NOT_SERVING)
			return true;
		return r.status == CAPOS_STATUS_REVOKED || r.status == CAPOS_STATUS_PEER_GONE;
	case ALLOC:
		return r.status == CAPOS_STATUS_NO_MEMORY;
	default:
		return false;
	}
}

static int victim(const struct scenario *scenario, enum target target)
{
	static struct thread killer;
	struct capos_result r;

	if (scenario->prepare != NULL)
		scenario->prepare();
	if (target == THREAD)
		insist(thread_start(&killer, kill_first, NULL));
	steps->process = startup()->process_id;
	steps->state = STEPS_COUNT;
	r = scenario->run();
	if (!is_explained(scenario, r, target))
		fail(FAIL_RESULT, r.status << 16 | r.iresult);
	/* The thread that would strike cannot outlive the process. */
	if ((!scenario->at_exit || target == THREAD) && steps->state == STEPS_COUNT)
		steps->state = STEPS_OFF;
	if (steps->state == STEPS_OFF && target == THREAD)
		(void)thread_finish(&killer, CAPOS_NEVER, NULL);
	for (unsigned i = 0; i < COUNT_OF(helper); i++)
		if (helper[i].handle)
			(void)thread_terminate(helper[i].handle);
	return 0;
}

/* --- peer -------------------------------------------------------------------------------------------------------------------- */

static capos_handle inner;

static uint64_t serve(void *argument)
{
	capos_handle port = argument == NULL ? cap("port") : inner;
	struct capos_result r = { 0 };
	struct request request;

	while (result_ok(r)) {
		struct message reply = { .words = 4 };

		r = insist_on(endpoint_recv(port, CAPOS_NEVER, CAPOS_MESSAGE_CAPS, &request));
		if (r.status != CAPOS_STATUS_OK)
			break;
		r = good;
		if (request.method == METHOD_NEST)
			(void)endpoint_call(inner, PROOF_IFACE, PROOF_ECHO, reply.word, 4, reply.word, 4);
		if (request.method == METHOD_TAKE && request.message.caps > 0) {
			reply.caps = 1;
			reply.cap[0] = request.message.cap[0];
		}
		if (request.method != PROOF_KEEP)
			(void)endpoint_reply(&reply);
		for (unsigned i = 0; i < request.message.caps; i++)
			drop(request.message.cap[i]);
	}
	return r.status;
}

/* Ends with 0 when its waits ended as they should: the port was taken away, or the victim is gone. */
static int peer(const char *mode)
{
	static struct thread threads[2];
	uint64_t status = 0;

	if (strcmp(mode, "call") == 0) {
		struct capos_result r = { 0 };
		uint64_t word[4] = { 0 };

		while (result_ok(r))
			r = insist_on(endpoint_call(cap("port"), PROOF_IFACE, PROOF_ECHO, word, 4, word, 4));
		status = r.status;
	} else if (strcmp(mode, "passive") == 0) {
		insist(factory_endpoint(known.factory, PROOF_IFACE, &inner));
		insist(thread_start_on(&threads[1], serve, &inner, CAPOS_CPU_ANY, CAPOS_THREAD_PASSIVE));
		insist(thread_start_on(&threads[0], serve, NULL, CAPOS_CPU_ANY, CAPOS_THREAD_PASSIVE));
		insist(thread_finish(&threads[0], CAPOS_NEVER, &status));
		destroy(inner);
		insist(thread_finish(&threads[1], CAPOS_NEVER, NULL));
	} else {
		status = serve(NULL);
	}
	return status == CAPOS_STATUS_REVOKED || status == CAPOS_STATUS_PEER_GONE ? 0 : (int)status;
}

/* --- creator ------------------------------------------------------------------------------------------------------------------ */

struct cast {
	capos_handle port, bell, memory, peer, victim;
};

static capos_handle object_of(const struct cast *cast, const char *name)
{
	return strcmp(name, "port") == 0 ? cast->port : strcmp(name, "bell") == 0 ? cast->bell : cast->memory;
}

static capos_handle start(const struct cast *cast, const char *args, uint32_t processes)
{
	static const char *const own[] = { "console", "timer", "system_info", "process_spawner", "session_manager" };
	struct capos_spawn spawn;
	capos_handle process = 0;
	struct capos_result r;

	spawn_init(&spawn, "deathtest", args);
	spawn.memory_bytes = (cast != NULL ? 3u : 9u) << 20;
	spawn.slots = cast != NULL ? 200 : 600;
	spawn.threads = cast != NULL ? 16 : 48;
	spawn.processes = processes;
	for (unsigned i = 0; i < COUNT_OF(own); i++)
		(void)spawn_grant_own(&spawn, own[i]);
	if (cast != NULL) {
		(void)spawn_grant(&spawn, "port", cast->port, 0);
		(void)spawn_grant(&spawn, "bell", cast->bell, 0);
		(void)spawn_grant(&spawn, "memory", cast->memory, 0);
	}
	r = insist_on(spawn_start(&spawn, &process, NULL));
	if (!result_ok(r))
		fail(FAIL_START, r.status);
	return process;
}

static void strike(const struct cast *cast, const struct scenario *scenario, enum target target)
{
	switch (target) {
	case PROCESS:
		(void)process_kill(cast->victim, KILL_CODE);
		break;
	case PEER:
		/* Nobody would receive the calls that wait. */
		(void)process_kill(cast->peer, KILL_CODE);
		(void)cap_table_destroy(known.caps, cast->port);
		break;
	case DESTROY:
		(void)cap_table_destroy(known.caps, object_of(cast, scenario->object));
		break;
	case REVOKE:
		(void)cap_table_revoke(known.caps, object_of(cast, scenario->object));
		break;
	default:
		return;
	}
	if (steps->state == STEPS_HELD)
		steps->state = STEPS_GO;
}

static bool strikes(enum target target)
{
	return target == PROCESS || target == PEER || target == DESTROY || target == REVOKE;
}

/* Waits for the victim, and strikes when its step has come. */
static void watch(const struct cast *cast, const struct scenario *scenario, enum target target)
{
	uint64_t until = now_ns() + PATIENCE_NS;
	struct process_end end = { 0 };
	bool blown = false, killed = false;

	while (!result_ok(process_wait(cast->victim, now_ns() + POLL_NS, &end))) {
		if (!blown && strikes(target) && steps->state == STEPS_HELD) {
			strike(cast, scenario, target);
			blown = true;
		}
		if (target == THREAD && steps->told && !killed) {
			(void)process_kill(cast->victim, 0);
			killed = true;
		}
		if (now_ns() >= until) {
			fail(FAIL_VICTIM, 99);
			(void)process_kill(cast->victim, 0);
			until = CAPOS_NEVER;
		}
	}
	if (!(end.cause == CAPOS_EXIT_NORMAL && end.code == 0) &&
	    !(end.cause == CAPOS_EXIT_KILLED && end.code == 0 && killed) &&
	    !(end.cause == CAPOS_EXIT_KILLED && end.code == KILL_CODE && target == PROCESS && blown) &&
	    !(end.cause == CAPOS_EXIT_FAULT && scenario->may_fault && steps->held_kind != 0))
		fail(FAIL_VICTIM, end.cause << 16 | end.code);
}

static int creator(const struct scenario *scenario, unsigned index, enum target target)
{
	struct process_end end = { 0 };
	struct cast cast = { 0 };
	char args[32];

	insist(factory_endpoint(known.factory, PROOF_IFACE, &cast.port));
	insist(factory_notification(known.factory, &cast.bell));
	insist(factory_memory(known.factory, MEMORY_BYTES, 0, &cast.memory));
	if (scenario->peer != NULL) {
		fmt_buf(args, sizeof(args), "peer %s", scenario->peer);
		cast.peer = start(&cast, args, 0);
	}
	fmt_buf(args, sizeof(args), "victim %u %u", index, (unsigned)target);
	cast.victim = start(&cast, args, 2);
	if (steps->failure)
		return 0;
	watch(&cast, scenario, target);
	if (scenario->peer != NULL) {
		(void)cap_table_destroy(known.caps, cast.port);
		if (!result_ok(process_wait(cast.peer, now_ns() + PATIENCE_NS, &end)))
			fail(FAIL_PEER, 99);
		else if (!(end.cause == CAPOS_EXIT_NORMAL && end.code == 0) &&
			 !(target == PEER && end.code == KILL_CODE))
			fail(FAIL_PEER, end.cause << 16 | end.code);
	}
	return 0;
}

/* --- supervisor --------------------------------------------------------------------------------------------------------------- */

static struct capos_memory_info memory_now(void)
{
	struct capos_memory_info info = { 0 };

	(void)system_info_memory(known.system_info, &info);
	return info;
}

static struct usage usage_before;
static struct capos_memory_info memory_before;

static bool all_returned(void)
{
	struct capos_memory_info now = memory_now();

	return usage_is(usage_before) && now.kernel_bytes == memory_before.kernel_bytes &&
	       now.frames_free == memory_before.frames_free;
}

/* One run, a blow at step `at`. False: it ended before the blow. */
static bool run(unsigned index, enum target target, uint32_t kinds, uint64_t at)
{
	uint64_t until = now_ns() + 3 * PATIENCE_NS;
	struct process_end end = { 0 };
	capos_handle process;
	bool blown = false;
	char args[32];

	steps->state = STEPS_OFF;
	steps->kinds = kinds;
	steps->at = at;
	steps->count = steps->held_kind = steps->told = steps->failure = 0;
	fmt_buf(args, sizeof(args), "creator %u %u", index, (unsigned)target);
	process = start(NULL, args, 5);
	while (!result_ok(process_wait(process, now_ns() + 2 * POLL_NS, &end))) {
		if (!blown && target == CREATOR && steps->state == STEPS_HELD) {
			(void)process_kill(process, KILL_CODE);
			steps->state = STEPS_GO;
			blown = true;
		}
		if (now_ns() >= until) {
			fail(FAIL_CREATOR, 99);
			(void)process_kill(process, 0);
			until = CAPOS_NEVER;
		}
	}
	drop(process);
	if (!(end.cause == CAPOS_EXIT_NORMAL && end.code == 0) &&
	    !(end.cause == CAPOS_EXIT_KILLED && end.code == KILL_CODE && blown))
		fail(FAIL_CREATOR, end.cause << 16 | end.code);
	if (target != NOBODY && !becomes_true(all_returned()))
		fail(FAIL_USAGE, memory_before.frames_free * PAGE - memory_now().frames_free * PAGE);
	steps->state = STEPS_OFF;
	return steps->held_kind != 0;
}

static void begin(void)
{
	unsigned same = 0;

	/* What ended just before is given back after a grace period. */
	for (unsigned tries = 0; same < 30 && tries < 1000; tries++) {
		struct capos_memory_info now = memory_now();

		same = now.kernel_bytes == memory_before.kernel_bytes && now.frames_free == memory_before.frames_free
			       ? same + 1
			       : 0;
		memory_before = now;
		usage_before = usage_now();
		(void)sleep_ns(2 * MS);
	}
}

static void report(unsigned index, enum target target, uint32_t kinds, uint64_t at)
{
	tap_note("%s, %s at %s %lu (%s): %s %x.%u", scenarios[index].name, target_names[target],
		 kinds == STEP_POINT ? "point" : "step", (unsigned long)at,
		 steps->failure_state == STEPS_COUNT ? "not yet" : "held", failure_names[steps->failure],
		 steps->failure_detail >> 16, steps->failure_detail & 0xffff);
	if (steps->failure == FAIL_USAGE) {
		struct capos_memory_info now = memory_now();

		usage_note(usage_before);
		tap_note("frames %lu -> %lu, kernel objects %lu -> %lu bytes",
			 (unsigned long)memory_before.frames_free, (unsigned long)now.frames_free,
			 (unsigned long)memory_before.kernel_bytes, (unsigned long)now.kernel_bytes);
		begin();
	}
}

static struct rng rng;
static unsigned runs, failures;

static bool run_judged(unsigned index, enum target target, uint32_t kinds, uint64_t at)
{
	bool held = run(index, target, kinds, at);

	runs++;
	if (steps->failure) {
		if (failures++ < 20)
			report(index, target, kinds, at);
	}
	return held;
}

/* Every step, or a sample of them; returns how many there are. */
static uint64_t enumerate(unsigned index, enum target target, uint32_t kinds)
{
	uint64_t count;

	(void)run_judged(index, target, kinds, 0);
	count = steps->count;
	if (steps->full) {
		uint64_t stride = count / STRIDES + 1;

		for (uint64_t at = 1 + rng_below(&rng, stride); run_judged(index, target, kinds, at); at += stride)
			;
		return count;
	}
	for (unsigned i = 0; i < SAMPLES && count > 0; i++)
		(void)run_judged(index, target, kinds, 1 + rng_below(&rng, count));
	return count;
}

static void try_scenario(unsigned index)
{
	const struct scenario *scenario = &scenarios[index];
	uint64_t step_count = 0, point_count = 0, alloc_count = 0;
	unsigned targets = 0;

	runs = failures = 0;
	begin();
	for (enum target target = THREAD; target < TARGETS; target++) {
		if ((scenario->targets & T(target)) == 0)
			continue;
		targets++;
		if (target == ALLOC) {
			alloc_count = enumerate(index, target, STEP_ALLOC);
			continue;
		}
		step_count += enumerate(index, target, STEP_ENTRY | STEP_WINDOW | STEP_LEAVE);
		point_count += enumerate(index, target, STEP_POINT);
	}
	tap_ok(failures == 0, "%s: %u targets, %lu steps, %lu points, %lu allocations; %u runs, %u failed",
	       scenario->name, targets, (unsigned long)step_count, (unsigned long)point_count,
	       (unsigned long)alloc_count, runs, failures);
}

static int supervise(const char *only)
{
	if (!on_simulator()) {
		tap_skip("only the simulator counts steps");
		return tap_done();
	}
	grow_table();
	rng_seed(&rng, steps->seed);
	for (unsigned i = 0; i < COUNT_OF(scenarios); i++) {
		(void)run(i, NOBODY, 0, 0);
		(void)sleep_ns(MS);
		if (steps->failure)
			report(i, NOBODY, 0, 0);
	}
	for (unsigned i = 0; i < COUNT_OF(scenarios); i++)
		if (only == NULL || number_of(only) == i)
			try_scenario(i);
	return tap_done();
}

int main(int argc, char **argv)
{
	find_steps();
	if (argc == 4 && strcmp(argv[1], "victim") == 0)
		return victim(&scenarios[number_of(argv[2])], (enum target)number_of(argv[3]));
	if (argc == 4 && strcmp(argv[1], "creator") == 0)
		return creator(&scenarios[number_of(argv[2])], (unsigned)number_of(argv[2]),
			       (enum target)number_of(argv[3]));
	if (argc == 3 && strcmp(argv[1], "peer") == 0)
		return peer(argv[2]);
	return supervise(argc > 1 ? argv[1] : NULL);
}
