/* SPDX-License-Identifier: MIT */
/*
 * The machine's last frame. This process takes memory until the machine has none, which its quota would allow: objects
 * that leave one place of each pool's frame used hold many frames for little quota. Then whatever needs memory is
 * refused by name and changes nothing, whatever does not goes on, and after the release everything is as before.
 */
#include "exhaustion.h"

#define ENDPOINTS_MAX 30000u
#define ENDPOINTS_PER_FRAME 9u
#define GAIN_BYTES 400u /* that an endpoint takes from the machine and, when it is gone, not from the quota */
#define ASK_MAX_BYTES (1u << 20)
/*
 * The quota is more than the machine's free memory by this, when the taking begins; half of it is enough: the greatest
 * ask must fit to the last, what is taken costs up to 5/4 MiB more quota than frames, and what an ended process held
 * comes back after its quota.
 */
#define MARGIN_BYTES (6u << 20)
#define HELD_MAX 30000u
#define CALLS 200u
#define PARK_END (~0u)

typedef struct capos_result (*take_function)(uint64_t *item);

static capos_handle endpoints[ENDPOINTS_MAX];
static capos_handle held[HELD_MAX];
static unsigned held_count, endpoint_count;

static uint64_t quota_left(void)
{
	struct capos_process_info info = { 0 };

	return own_info(&info) ? info.memory_limit - info.memory_used : 0;
}

/* --- taking everything --------------------------------------------------------------------------------------------- */

/* Makes the machine's free memory less than what this process may still take. */
static bool fragment(void)
{
	uint64_t free_bytes = frames_free() * PAGE, left = quota_left();
	uint64_t gap = free_bytes + MARGIN_BYTES > left ? free_bytes + MARGIN_BYTES - left : 0;
	uint64_t wanted = gap / GAIN_BYTES;

	for (endpoint_count = 0; endpoint_count < wanted && endpoint_count < ENDPOINTS_MAX; endpoint_count++)
		if (!result_ok(factory_endpoint(known.factory, 0, &endpoints[endpoint_count])))
			return false;
	for (unsigned i = 0; i < endpoint_count; i++) {
		if (i % ENDPOINTS_PER_FRAME == 0)
			continue;
		destroy(endpoints[i]);
		endpoints[i] = 0;
	}
	return frames_free() * PAGE + MARGIN_BYTES / 2 < quota_left();
}

static void defragment(void)
{
	for (unsigned i = 0; i < endpoint_count; i++)
		destroy(endpoints[i]);
	endpoint_count = 0;
}

static uint64_t memory_bytes;

static struct capos_result take_memory(uint64_t *item)
{
	return factory_memory(known.factory, memory_bytes, 0, item);
}

static struct capos_result take_notification(uint64_t *item)
{
	return factory_notification(known.factory, item);
}

static struct capos_result take_park_space(uint64_t *item)
{
	return factory_park_space(known.factory, item);
}

static struct capos_result take_derived(uint64_t *item)
{
	return cap_table_derive(known.caps, known.timer, CAPOS_RIGHT_READ, 0, item);
}

static struct capos_result take_session(uint64_t *item)
{
	return session_manager_create(known.session_manager, 7, "tester", item, NULL);
}

/* Takes until refused, and holds what it got. */
static struct capos_result take_all(take_function take)
{
	struct capos_result r = { 0 };

	while (held_count < HELD_MAX && result_ok(r = take(&held[held_count])))
		held_count++;
	return r;
}

/* Not endpoints: there are places for them. */
static const struct {
	const char *name;
	take_function take;
} small[] = {
	{ "notifications", take_notification },
	{ "park spaces", take_park_space },
	{ "derived capabilities", take_derived },
	{ "sessions", take_session },
};

/* Takes until refused. True: by noMemory; else says what answered otherwise. */
static bool takes_to_the_end(const char *name, take_function take)
{
	struct capos_result r = take_all(take);
	bool good = is_detail(r, CAPOS_STATUS_NO_MEMORY, 0);

	if (!good)
		tap_note("%s: %s, detail %u; %u held, %lu KiB of quota, %lu frames free", name, status_name(r.status),
			 r.detail, held_count, (unsigned long)(quota_left() >> 10), (unsigned long)frames_free());
	return good;
}

/* Each CPU keeps some free frames for itself. */
static bool take_machine(void)
{
	bool good = true;

	for (unsigned turn = 0; turn < 4 && frames_free() > 0; turn++) {
		for (uint32_t cpu = 0; cpu < startup()->cpu_count; cpu++) {
			good = result_ok(thread_set_cpu(self()->handle, cpu)) && good;
			for (memory_bytes = ASK_MAX_BYTES; memory_bytes >= PAGE; memory_bytes /= 16)
				good = takes_to_the_end("memory", take_memory) && good;
			for (unsigned i = 0; i < COUNT_OF(small); i++)
				good = takes_to_the_end(small[i].name, small[i].take) && good;
		}
	}
	(void)thread_set_cpu(self()->handle, CAPOS_CPU_ANY);
	return good;
}

/* From whichever CPU has it. */
static bool take_one_more(void)
{
	bool good = false;

	memory_bytes = PAGE;
	for (uint32_t cpu = 0; cpu < startup()->cpu_count && !good; cpu++)
		good = result_ok(thread_set_cpu(self()->handle, cpu)) && result_ok(take_memory(&held[held_count]));
	held_count += good;
	(void)thread_set_cpu(self()->handle, CAPOS_CPU_ANY);
	return good;
}

static void give_machine(void)
{
	while (held_count > 0)
		destroy(held[--held_count]);
}

/* --- what is refused ------------------------------------------------------------------------------------------------ */

static capos_handle ring_bell;

static uint64_t end_now(void *argument)
{
	return (uintptr_t)argument;
}

/* Waits by ring, until refused; then they end. */
static struct capos_result try_ring_waits(void)
{
	struct capos_result r = { 0 };
	struct capos_cqe completion = { 0 };
	unsigned waiting = 0;

	for (; waiting < CAPOS_CQ_ENTRIES; waiting++) {
		struct capos_sqe entry =
			RING_CALL(waiting, notification, wait, ring_bell, CAPOS_NEVER, CAPOS_NEVER, 0, 0, 0);

		if (!ring_submit(&entry) || !result_ok(ring_enter(0, 0)))
			break;
		if (ring_reap(&completion)) {
			r = result_of(completion.result);
			break;
		}
	}
	for (; waiting > 0; waiting--)
		if (!result_ok(notification_signal(ring_bell, 1)) || !result_ok(ring_wait(&completion, CAPOS_NEVER)))
			return (struct capos_result){ CAPOS_STATUS_CANCELLED, 0, 0 };
	return r;
}

/* What it may get first is held. True: in the end noMemory, which changed nothing. */
static bool refuses(const char *name, struct usage before, struct capos_result r)
{
	bool good = is_detail(r, CAPOS_STATUS_NO_MEMORY, 0) && usage_is(before);

	if (!good) {
		tap_note("%s: %s, result %u, detail %u", name, status_name(r.status), r.iresult, r.detail);
		usage_note(before);
	}
	return good;
}

static void refusals(void)
{
	static uint64_t hole[2]; /* never mapped near this */
	struct capos_spawn spawn;
	capos_handle process = 0, thread = 0;
	struct usage before = usage_now();
	bool good = true;

	for (unsigned i = 0; i < COUNT_OF(small); i++) {
		uint64_t item = 0;

		good = refuses(small[i].name, before, small[i].take(&item)) && good;
	}
	child_init(&spawn, "exit 0");
	good = refuses("spawn", before, spawn_start(&spawn, &process, NULL)) && good;
	good = refuses("thread", before,
		       thread_spawner_create(known.threads, (uintptr_t)end_now, (uintptr_t)&hole[2], 0, CAPOS_CPU_ANY,
					     0, 0, &thread, NULL, NULL)) &&
	       good;
	good = refuses("memory", before, factory_memory(known.factory, 64 * PAGE, 0, &process)) && good;
	good = refuses("a ring operation that waits", before, try_ring_waits()) && good;
	tap_ok(good, "spawn, thread, objects, memory, ring operations: noMemory, and nothing changed");
}

/* --- what goes on --------------------------------------------------------------------------------------------------- */

static capos_handle port, bell, answer, passive_port;
static uint32_t parked;

static uint64_t answers(void *argument)
{
	uint64_t bits = 0;

	(void)argument;
	while (result_ok(notification_wait(bell, CAPOS_NEVER, &bits)) && bits != 2)
		(void)notification_signal(answer, bits);
	return bits;
}

static uint64_t parks(void *argument)
{
	uint32_t seen;

	(void)argument;
	while ((seen = __atomic_load_n(&parked, __ATOMIC_ACQUIRE)) != PARK_END)
		(void)park_while(&parked, seen, CAPOS_NEVER);
	return seen;
}

static uint64_t serves(void *argument)
{
	struct request request;

	(void)argument;
	(void)endpoint_recv(passive_port, CAPOS_NEVER, 0, &request);
	for (;;) {
		struct message reply = { .word = { request.message.word[0] + 1 }, .words = 1 };

		if (request.method == PROOF_STOP)
			break;
		(void)endpoint_reply_recv(passive_port, &reply, 0, &request);
	}
	(void)endpoint_reply(NULL);
	return 0;
}

static bool calls_go(capos_handle to, uint64_t add)
{
	bool good = true;

	for (uint64_t i = 0; i < CALLS; i++) {
		uint64_t word[1] = { i };

		good = result_ok(endpoint_call(to, PROOF_IFACE, PROOF_ECHO, word, 1, word, 1)) &&
		       word[0] == i + add && good;
	}
	return good;
}

static void services(void)
{
	struct capos_sqe nop = RING_CALL(1, cap_table, nop, known.caps, CAPOS_NEVER, 0, 0, 0, 0);
	struct capos_cqe completion;
	struct usage before = usage_now();
	uint64_t bits = 0, begin;
	struct capos_result r;
	bool good = true;

	tap_ok(calls_go(port, 0) && calls_go(passive_port, 1),
	       "without a frame: calls to another process, to a passive "
	       "thread");
	for (unsigned i = 0; i < CALLS; i++) {
		good = result_ok(notification_signal(bell, 1)) &&
		       result_ok(notification_wait(answer, CAPOS_NEVER, &bits)) && bits == 1 && good;
		__atomic_store_n(&parked, i + 1, __ATOMIC_RELEASE);
		(void)unpark(&parked, 1);
		good = ring_submit(&nop) && result_ok(ring_wait(&completion, CAPOS_NEVER)) &&
		       CAPOS_RESULT_STATUS(completion.result) == CAPOS_STATUS_OK && good;
	}
	tap_ok(good, "notifications, park, the ring go on");
	begin = now_ns();
	for (unsigned i = 0; i < 10; i++)
		good = result_ok(sleep_ns(MS / 2)) && good;
	tap_ok(good && now_ns() - begin >= 5 * MS, "timers too");
	r = cap_table_copy(known.caps, known.timer, CAPOS_RIGHT_READ, &held[held_count]);
	drop(held[held_count]);
	tap_ok(result_ok(r) && usage_is(before), "a handle can be copied and released: %s", status_name(r.status));
}

/* --- rounds --------------------------------------------------------------------------------------------------------- */

static void one_round(unsigned round)
{
	struct thread threads[3];
	struct usage before = usage_now();
	uint64_t free_before = frames_free(), word[2] = { 0 }, bits = 0;
	struct capos_spawn spawn;
	capos_handle victim = 0;
	bool good;

	__atomic_store_n(&parked, 0, __ATOMIC_RELAXED);
	insist(thread_start(&threads[0], answers, NULL));
	insist(thread_start(&threads[1], parks, NULL));
	insist(thread_start_on(&threads[2], serves, NULL, CAPOS_CPU_ANY, CAPOS_THREAD_PASSIVE));
	tap_ok(calls_go(passive_port, 1), "round %u: a passive server answers", round);
	child_init(&spawn, "sleep");
	insist(spawn_start(&spawn, &victim, NULL));
	good = fragment();
	tap_ok(good, "the quota is more than the machine has: %lu KiB, %lu KiB free",
	       (unsigned long)(quota_left() >> 10), (unsigned long)(frames_free() * PAGE >> 10));
	good = take_machine();
	tap_ok(good && frames_free() == 0, "all is taken, until noMemory: %lu frames free, %lu KiB of the quota left",
	       (unsigned long)frames_free(), (unsigned long)(quota_left() >> 10));
	refusals();
	services();
	tap_ok(result_ok(process_kill(victim, 5)) && ended(child_end(victim), CAPOS_EXIT_KILLED, 5),
	       "a process can be killed, and waited for");
	tap_ok(becomes_true(take_one_more()), "what it held can be taken");
	give_machine();
	defragment();
	tap_ok(ended(child_run("fill"), CAPOS_EXIT_NORMAL, 0), "all is given back: a process runs again");
	(void)notification_signal(bell, 2);
	__atomic_store_n(&parked, PARK_END, __ATOMIC_RELEASE);
	(void)unpark(&parked, 1);
	(void)endpoint_call(passive_port, PROOF_IFACE, PROOF_STOP, word, 0, NULL, 0);
	for (unsigned i = 0; i < COUNT_OF(threads); i++)
		must(thread_finish(&threads[i], CAPOS_NEVER, &bits));
	tap_returns(before, "quotas are as before");
	tap_ok(becomes_true(frames_free() + 32 >= free_before), "frames are as before: %lu, %lu",
	       (unsigned long)free_before, (unsigned long)frames_free());
}

void test_machine(void)
{
	struct capos_spawn spawn;
	capos_handle server = 0;

	insist(factory_endpoint(known.factory, PROOF_IFACE, &port));
	insist(factory_endpoint(known.factory, PROOF_IFACE, &passive_port));
	insist(factory_notification(known.factory, &bell));
	insist(factory_notification(known.factory, &answer));
	insist(factory_notification(known.factory, &ring_bell));
	child_init(&spawn, "serve");
	(void)spawn_grant(&spawn, "port", port, CAPOS_RIGHT_RECV);
	insist(spawn_start(&spawn, &server, NULL));
	/* The table of capabilities gets its size before usages are compared. */
	while (held_count < HELD_MAX &&
	       result_ok(cap_table_copy(known.caps, known.timer, CAPOS_RIGHT_READ, &held[held_count])))
		held_count++;
	while (held_count > 0)
		drop(held[--held_count]);
	for (unsigned round = 1; round <= (on_simulator() ? 1 : 3); round++)
		one_round(round);
	(void)endpoint_call(port, PROOF_IFACE, PROOF_STOP, NULL, 0, NULL, 0);
	tap_ok(ended(child_end(server), CAPOS_EXIT_NORMAL, 0), "the server in another process noticed nothing");
	destroy(port);
	destroy(passive_port);
	destroy(bell);
	destroy(answer);
	destroy(ring_bell);
}
