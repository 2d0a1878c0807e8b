/* SPDX-License-Identifier: MIT */
/*
 * What the proofs start: one small program with a mode, so that one binary is every kind of child. `child MODE …`;
 * modes that serve or call use the capability "port", shared memory is "shared", a notification is "bell".
 */
#include "proof.h"

#define CODE_USAGE 120
#define CODE_BROKEN 121

static int child_exit(int argc, char **argv)
{
	return argc > 2 ? (int)number_of(argv[2]) : 0;
}

/* Number of words, then the sum of their lengths: what the parent sent must be what came. */
static int child_args(int argc, char **argv)
{
	unsigned length = 0;

	for (int i = 0; i < argc; i++)
		length += (unsigned)strlen(argv[i]);
	return argc * 1000 + (int)length;
}

static int child_caps(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return (int)startup()->cap_count;
}

/* The rights that capability NAME came with. */
static int child_rights(int argc, char **argv)
{
	uint32_t rights = 0;

	if (argc < 3 || !result_ok(cap_table_info(known.caps, cap(argv[2]), NULL, &rights, NULL)))
		return CODE_BROKEN;
	return (int)rights;
}

static int child_sleep(int argc, char **argv)
{
	(void)argv;
	while (IS(sleep_until_ns(argc > 2 ? now_ns() : CAPOS_NEVER), OK))
		;
	return CODE_BROKEN;
}

/* Gives a capability to itself to the server at "port", and stays. */
static int child_self(int argc, char **argv)
{
	struct message message = { .caps = 1, .cap = { known.self } };

	(void)endpoint_call_message(cap_need("port"), PROOF_IFACE, PROOF_KEEP, &message, 0);
	return child_sleep(argc, argv);
}

static int child_spin(int argc, char **argv)
{
	volatile uint64_t rounds = 0;

	(void)argc;
	(void)argv;
	while (rounds != CAPOS_NEVER)
		rounds = rounds + 1;
	return CODE_BROKEN;
}

static int child_trap(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	poke(16);
	return CODE_BROKEN;
}

static uint64_t spin_forever(void *argument)
{
	volatile uint64_t rounds = 0;

	(void)argument;
	while (rounds != CAPOS_NEVER)
		rounds = rounds + 1;
	return 0;
}

static uint64_t end_at_once(void *argument)
{
	return (uint64_t)(uintptr_t)argument;
}

static uint64_t fault_at_once(void *argument)
{
	(void)sleep_ns(MS);
	poke(16);
	return (uint64_t)(uintptr_t)argument;
}

/* threads N KIND: more threads (passive ones: they sleep), then the first one stays, ends or faults with them. */
static int child_threads(int argc, char **argv)
{
	uint64_t count = argc > 2 ? number_of(argv[2]) : 2;
	const char *kind = argc > 3 ? argv[3] : "sleep";
	thread_function function = strcmp(kind, "spin") == 0	? spin_forever
				   : strcmp(kind, "end") == 0	? end_at_once
				   : strcmp(kind, "fault") == 0 ? fault_at_once
								: sleep_forever;
	uint32_t flags = strcmp(kind, "passive") == 0 ? CAPOS_THREAD_PASSIVE : 0;
	struct thread thread;

	for (uint64_t i = 0; i < count; i++)
		if (!result_ok(insist_on(thread_start_on(&thread, function, NULL, CAPOS_CPU_ANY, flags))))
			return CODE_BROKEN;
	if (function == end_at_once)
		return 33;
	for (;;)
		(void)sleep_until_ns(CAPOS_NEVER);
}

static uint64_t serve_forever(void *argument)
{
	struct request request;

	must(endpoint_recv(*(const capos_handle *)argument, CAPOS_NEVER, 0, &request));
	return spin_forever(argument);
}

/* Calls a passive thread of its own, which runs on what this one has, and never replies. */
static int child_lend(int argc, char **argv)
{
	struct thread server;
	capos_handle port;

	(void)argc;
	(void)argv;
	insist(factory_endpoint(known.factory, PROOF_IFACE, &port));
	insist(thread_start_on(&server, serve_forever, &port, CAPOS_CPU_ANY, CAPOS_THREAD_PASSIVE));
	(void)becomes_true(waits_on(server.handle) == CAPOS_WAIT_RECV);
	(void)endpoint_call(port, PROOF_IFACE, PROOF_ECHO, NULL, 0, NULL, 0);
	return CODE_BROKEN;
}

/* Fills its slots, then its memory, to the quota's end, and gives all back: 0 if both were refused as they should. */
static int child_fill(int argc, char **argv)
{
	capos_handle handle[256], memory = 0;
	unsigned count = 0;
	struct capos_result r = { 0 };

	(void)argc;
	(void)argv;
	for (; count < COUNT_OF(handle); count++) {
		r = insist_on(cap_table_copy(known.caps, known.timer, CAPOS_RIGHT_READ, &handle[count]));
		if (!result_ok(r))
			break;
	}
	if (!is_detail(r, CAPOS_STATUS_QUOTA_EXCEEDED, CAPOS_QUOTA_SLOTS))
		return 1;
	while (count > 0)
		if (!result_ok(cap_table_release(known.caps, handle[--count])))
			return 2;
	for (; count < 16; count++) {
		r = insist_on(factory_memory(known.factory, 65536, 0, &handle[count]));
		if (!result_ok(r))
			break;
	}
	if (!is_detail(r, CAPOS_STATUS_QUOTA_EXCEEDED, CAPOS_QUOTA_MEMORY))
		return 3;
	while (count > 0)
		destroy(handle[--count]);
	return result_ok(insist_on(factory_memory(known.factory, 65536, 0, &memory))) ? 0 : 4;
}

static void reply_echo(const struct request *request, uint64_t add)
{
	struct message reply = { .words = request->message.words };

	memcpy(reply.word, request->message.word, sizeof(reply.word));
	reply.word[0] += add;
	(void)endpoint_reply(&reply);
}

/* Serves "port" until PROOF_STOP; PROOF_DIE ends it in the middle of a call, PROOF_KEEP never replies. */
static int child_serve(int argc, char **argv)
{
	capos_handle port = cap_need("port");
	uint64_t sum = 0;
	struct request request;

	(void)argc;
	(void)argv;
	for (;;) {
		struct capos_result r = endpoint_recv(port, CAPOS_NEVER, 4, &request);

		if (r.status != CAPOS_STATUS_OK)
			return r.status;
		for (unsigned i = 0; i < request.message.caps; i++)
			drop(request.message.cap[i]);
		switch (request.method) {
		case PROOF_STOP:
			(void)endpoint_reply(NULL);
			return 0;
		case PROOF_SUM:
			sum += request.message.word[0];
			reply_echo(&request, sum - request.message.word[0]);
			break;
		case PROOF_FAIL:
			(void)endpoint_exception((uint16_t)request.message.word[0]);
			break;
		case PROOF_DIE:
			return 44;
		case PROOF_KEEP:
			break;
		default:
			reply_echo(&request, 0);
		}
	}
}

/* call METHOD [TIMES]: calls "port" with a word; its exit code is the first bad status, 0 if none. */
static int child_call(int argc, char **argv)
{
	capos_handle port = cap_need("port");
	uint64_t times = argc > 3 ? number_of(argv[3]) : 1;
	uint16_t method = argc > 2 ? (uint16_t)number_of(argv[2]) : 0;

	for (uint64_t i = 0; i < times; i++) {
		uint64_t word[2] = { i, 7 };
		struct capos_result r = endpoint_call(port, PROOF_IFACE, method, word, 2, word, 2);

		if (!result_ok(r))
			return r.status;
		if (method == PROOF_ECHO && (word[0] != i || word[1] != 7))
			return CODE_BROKEN;
	}
	return 0;
}

static int child_bell(int argc, char **argv)
{
	return notification_signal(cap_need("bell"), argc > 2 ? number_of(argv[2]) : 1).status;
}

static uint32_t *map_shared(void)
{
	uint64_t address = 0;

	if (!result_ok(insist_on(address_space_map(known.space, cap_need("shared"), 0, 0, CAPOS_PAGE_BYTES,
						   CAPOS_MAP_WRITE, &address))))
		return NULL;
	return (uint32_t *)address;
}

/* pingpong N: word 0 of the shared page alternates; this side answers odd values with the next even one. */
static int child_pingpong(int argc, char **argv)
{
	uint32_t *word = map_shared(), rounds = argc > 2 ? (uint32_t)number_of(argv[2]) : 1;

	for (uint32_t i = 0; word && i < rounds; i++) {
		uint32_t expected = 2 * i + 1, seen;

		while ((seen = __atomic_load_n(word, __ATOMIC_ACQUIRE)) != expected) {
			struct capos_result r =
				park_space_wait(known.park, word, seen, CAPOS_NEVER, CAPOS_PARK_SHARED);

			if (r.status != CAPOS_STATUS_OK)
				return r.status;
		}
		__atomic_store_n(word, expected + 1, __ATOMIC_RELEASE);
		if (!result_ok(park_space_wake(known.park, word, 1, CAPOS_PARK_SHARED, NULL)))
			return CODE_BROKEN;
	}
	return word ? 0 : CODE_BROKEN;
}

/* lock N: adds one N times to word 1 of the shared page under the lock in word 0, parking. */
static int child_lock(int argc, char **argv)
{
	uint32_t *word = map_shared(), rounds = argc > 2 ? (uint32_t)number_of(argv[2]) : 1;
	volatile uint32_t *counter = word + 1;

	for (uint32_t i = 0; word && i < rounds; i++) {
		uint32_t was = 0;

		if (!__atomic_compare_exchange_n(word, &was, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			while (__atomic_exchange_n(word, 2, __ATOMIC_ACQUIRE) != 0)
				(void)park_space_wait(known.park, word, 2, CAPOS_NEVER, CAPOS_PARK_SHARED);
		*counter = *counter + 1;
		if (__atomic_exchange_n(word, 0, __ATOMIC_RELEASE) == 2)
			(void)park_space_wake(known.park, word, 1, CAPOS_PARK_SHARED, NULL);
	}
	return word ? 0 : CODE_BROKEN;
}

/* nest N: a child that has a child … N deep; each returns the sum of the codes below it plus one. */
static int child_nest(int argc, char **argv)
{
	uint64_t depth = argc > 2 ? number_of(argv[2]) : 0;
	struct capos_spawn spawn;
	struct process_end end = { 0 };
	capos_handle process = 0;
	char text[32];

	if (depth == 0)
		return 1;
	fmt_buf(text, sizeof(text), "nest %lu", (unsigned long)(depth - 1));
	spawn_init(&spawn, "child", text);
	spawn.memory_bytes = depth * (384u << 10);
	spawn.slots = (uint32_t)depth * 32;
	spawn.threads = (uint32_t)depth;
	spawn.processes = (uint32_t)depth - 1;
	(void)spawn_grant_own(&spawn, "process_spawner");
	(void)spawn_grant_own(&spawn, "timer");

	struct capos_result r = insist_on(spawn_start(&spawn, &process, NULL));

	if (!result_ok(r))
		return 100 + r.status;
	if (!result_ok(spawn_finish(process, CAPOS_NEVER, &end)) || end.cause != CAPOS_EXIT_NORMAL)
		return CODE_BROKEN;
	return (int)end.code + 1;
}

/* Begins a child that never ends, then does so itself: for kills of whole families. */
static int child_family(int argc, char **argv)
{
	struct capos_spawn spawn;
	capos_handle process = 0;

	(void)argc;
	(void)argv;
	child_init(&spawn, "sleep");
	spawn.memory_bytes = 320u << 10;
	spawn.slots = 32;
	spawn.threads = 1;
	if (!result_ok(insist_on(spawn_start(&spawn, &process, NULL))))
		return CODE_BROKEN;
	(void)notification_signal(cap("bell"), 1);
	for (;;)
		(void)sleep_until_ns(CAPOS_NEVER);
}

/* Leaves ring operations of every kind in flight, says so, and waits to be killed. */
static int child_ring(int argc, char **argv)
{
	capos_handle note = 0, endpoint = 0;

	(void)argc;
	(void)argv;
	if (!result_ok(insist_on(factory_notification(known.factory, &note))) ||
	    !result_ok(insist_on(factory_endpoint(known.factory, PROOF_IFACE, &endpoint))))
		return CODE_BROKEN;

	struct capos_sqe entry[] = {
		RING_CALL(1, timer, sleep, known.timer, CAPOS_NEVER, CAPOS_NEVER, 0, 0, 0),
		RING_CALL(2, notification, wait, note, CAPOS_NEVER, CAPOS_NEVER, 0, 0, 0),
		ring_entry(3, endpoint, CAPOS_CALL_WORD(0, 0, CAPOS_OP_RECV, 1, 0), CAPOS_NEVER, CAPOS_NEVER, 0, 0,
			   0),
		ring_entry(4, cap("port"), CAPOS_CALL_WORD(PROOF_IFACE, 0, CAPOS_OP_CALL, 1, 0), CAPOS_NEVER, 5, 0, 0,
			   0),
	};

	for (unsigned i = 0; i < (cap("port") ? 4u : 3u); i++)
		if (!ring_submit(&entry[i]))
			return CODE_BROKEN;
	for (bool again = true; again;) {
		struct capos_cqe completion;

		if (!result_ok(ring_enter(0, 0)))
			return CODE_BROKEN;
		again = ring_reap(&completion);
		if (again && CAPOS_RESULT_STATUS(completion.result) != CAPOS_STATUS_NO_MEMORY)
			return CODE_BROKEN;
		if (again)
			(void)ring_submit(&entry[completion.user_data - 1]);
	}
	(void)notification_signal(cap("bell"), 1);
	(void)ring_enter(1, CAPOS_NEVER);
	return CODE_BROKEN;
}

/* Takes the console, says so, and keeps it. */
static int child_own(int argc, char **argv)
{
	must(console_take(cap_need("console")));
	must(notification_signal(cap_need("bell"), 1));
	return child_sleep(argc, argv);
}

int main(int argc, char **argv)
{
	const struct mode modes[] = {
		{ "exit", child_exit },	    { "args", child_args },	    { "caps", child_caps },
		{ "rights", child_rights }, { "sleep", child_sleep },	    { "spin", child_spin },
		{ "trap", child_trap },	    { "threads", child_threads },   { "fill", child_fill },
		{ "serve", child_serve },   { "call", child_call },	    { "bell", child_bell },
		{ "lock", child_lock },	    { "pingpong", child_pingpong }, { "nest", child_nest },
		{ "family", child_family }, { "ring", child_ring },	    { "own", child_own },
		{ "self", child_self },	    { "lend", child_lend },
	};
	const struct mode *mode = mode_asked(modes, COUNT_OF(modes), argc, argv);

	return mode != NULL ? mode->run(argc, argv) : CODE_USAGE;
}
