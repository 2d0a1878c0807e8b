/* SPDX-License-Identifier: MIT */
/*
 * Queues of waiters to their end: every thread of the quota waits in one queue, with its whole ring in flight beside it, and
 * submits one entry too many. The next thread is refused by name; the entry too many stays in the submission queue, untouched.
 * Then what they wait for ends in each way that it has: each waiter is told, the entry too many gets its turn and the same
 * answer, and everything works again.
 */
#include "exhaustion.h"

#define WAITERS_MAX 64u
#define THREADS 17u
#define THREADS_SIM 9u /* the same queues, in less time */
#define SOON_NS (60 * MS)
#define LATE_NS (20 * SECOND) /* told nothing until then: forgotten */

enum end { END_TIME, END_REVOKE, END_DESTROY, END_EVENT };
static const char *const end_names[] = { "time", "revoked", "destroyed", "event" };

struct queue {
	const char *name;
	unsigned entries; /* of a ring that can wait there */
	unsigned wait;	  /* enum capos_wait of a thread there */
	uint32_t rights;
	bool (*open)(void);
	struct capos_sqe (*entry)(uint64_t deadline_ns);
	struct capos_result (*block)(uint64_t deadline_ns);
	unsigned ends;		     /* bits of enum end */
	bool (*event)(unsigned all); /* what all of them wait for */
	bool single;		     /* the event was the object's end */
};

static capos_handle object, used; /* its handle, and one derived from it, by which all wait */
static const struct queue *queue;
static uint64_t deadline;
static enum end end;
static unsigned ready;
static uint32_t word;

static struct capos_result expected(void)
{
	unsigned status = end == END_TIME ? queue->wait == CAPOS_WAIT_SLEEP ? CAPOS_STATUS_OK : CAPOS_STATUS_TIMED_OUT
			  : end == END_EVENT ? CAPOS_STATUS_OK
					     : CAPOS_STATUS_REVOKED;

	return (struct capos_result){ .status = (uint16_t)status };
}

static bool as_expected(struct capos_result r)
{
	if (r.status == expected().status && r.iresult == 0)
		return true;
	tap_note("%s, %s: told %s, detail %u", queue->name, end_names[end], status_name(r.status), r.detail);
	return false;
}

/* --- the queues ----------------------------------------------------------------------------------------------------- */

static bool open_timer(void)
{
	return result_ok(cap_table_copy(known.caps, known.timer, CAPOS_RIGHT_READ, &object));
}

static struct capos_sqe entry_sleep(uint64_t until)
{
	return RING_CALL(1, timer, sleep, known.timer, until, until, 0, 0, 0);
}

static struct capos_result block_sleep(uint64_t until)
{
	return sleep_until_ns(until);
}

static bool open_notification(void)
{
	return result_ok(factory_notification(known.factory, &object));
}

static struct capos_sqe entry_notification(uint64_t until)
{
	return RING_CALL(1, notification, wait, used, until, until, 0, 0, 0);
}

static struct capos_result block_notification(uint64_t until)
{
	return notification_wait(used, until, NULL);
}

/* A signal is for one of them; the entries too many are signalled for too. */
static bool event_notification(unsigned all)
{
	bool good = true;

	for (unsigned i = 0; i < all; i++) {
		uint64_t bits = 0, end_ns = now_ns() + LATE_NS;

		good = result_ok(notification_signal(object, 1)) && good;
		/* One that is left over in the word would be merged with the next. */
		while (now_ns() < end_ns && result_ok(notification_poll(object, &bits)) && bits) {
			good = result_ok(notification_signal(object, bits)) && good;
			(void)sleep_ns(MS / 10);
		}
	}
	return good;
}

static bool open_park(void)
{
	__atomic_store_n(&word, 0, __ATOMIC_RELAXED);
	return result_ok(factory_park_space(known.factory, &object));
}

static struct capos_sqe entry_park(uint64_t until)
{
	return RING_CALL(1, park_space, wait, used, until, (uintptr_t)&word, 0, until, 0);
}

static struct capos_result block_park(uint64_t until)
{
	return park_space_wait(used, &word, 0, until, 0);
}

static bool event_park(unsigned all)
{
	uint64_t woken = 0;

	for (uint64_t now = 0; woken < all; woken += now)
		if (!result_ok(park_space_wake(object, &word, all, 0, &now)))
			return false;
	return woken == all;
}

static bool open_endpoint(void)
{
	return result_ok(factory_endpoint(known.factory, PROOF_IFACE, &object));
}

static struct capos_sqe entry_call(uint64_t until)
{
	return ring_entry(1, used, CAPOS_CALL_WORD(PROOF_IFACE, PROOF_ECHO, CAPOS_OP_CALL, 1, 0), until, 5, 0, 0, 0);
}

static struct capos_result block_call(uint64_t until)
{
	uint64_t in = 5, out = 0;

	(void)until;
	return endpoint_call(used, PROOF_IFACE, PROOF_ECHO, &in, 1, &out, 1);
}

static bool event_call(unsigned all)
{
	struct request request;
	bool good = true;

	for (unsigned i = 0; i < all; i++) {
		struct message reply = { .word = { 6 }, .words = 1 };

		good = result_ok(endpoint_recv(object, now_ns() + LATE_NS, 0, &request)) &&
		       request.message.word[0] == 5 && result_ok(endpoint_reply(&reply)) && good;
	}
	return good;
}

static struct capos_sqe entry_none(uint64_t until)
{
	return (struct capos_sqe){ .deadline = until };
}

static struct capos_result block_receive(uint64_t until)
{
	struct request request;
	struct capos_result r = endpoint_recv(used, until, 0, &request);

	if (result_ok(r))
		(void)endpoint_reply(NULL);
	return r;
}

static bool event_receive(unsigned all)
{
	bool good = true;

	for (unsigned i = 0; i < all; i++)
		good = result_ok(endpoint_call(object, PROOF_IFACE, PROOF_ECHO, NULL, 0, NULL, 0)) && good;
	return good;
}

static bool open_thread(void)
{
	struct thread thread = { 0 };
	bool good = result_ok(thread_start(&thread, sleep_forever, NULL));

	object = thread.handle;
	return good;
}

static struct capos_sqe entry_join(uint64_t until)
{
	return RING_CALL(1, thread, join, used, until, until, 0, 0, 0);
}

static struct capos_result block_join(uint64_t until)
{
	return thread_join(used, until, NULL, NULL);
}

static bool event_join(unsigned all)
{
	(void)all;
	return result_ok(thread_terminate(object));
}

static bool open_process(void)
{
	struct capos_spawn spawn;

	child_init(&spawn, "sleep");
	spawn.memory_bytes = 256u << 10;
	spawn.slots = 16;
	spawn.threads = 1;
	return result_ok(spawn_start(&spawn, &object, NULL));
}

static struct capos_sqe entry_process(uint64_t until)
{
	return RING_CALL(1, process, wait, used, until, until, 0, 0, 0);
}

static struct capos_result block_process(uint64_t until)
{
	struct process_end process_end;

	return process_wait(used, until, &process_end);
}

static bool event_process(unsigned all)
{
	(void)all;
	return result_ok(process_kill(object, 9));
}

#define ENDS_ALL (1u << END_TIME | 1u << END_REVOKE | 1u << END_DESTROY | 1u << END_EVENT)
#define ENDS_CALL (1u << END_REVOKE | 1u << END_DESTROY | 1u << END_EVENT) /* it has no deadline */
#define ENDS_LIFE (1u << END_TIME | 1u << END_REVOKE | 1u << END_EVENT)
static const struct queue queues[] = {
	{ "sleepers", 32, CAPOS_WAIT_SLEEP, 0, open_timer, entry_sleep, block_sleep, 1u << END_TIME, NULL, false },
	{ "notification", 32, CAPOS_WAIT_NOTIFICATION, CAPOS_RIGHT_WAIT, open_notification, entry_notification,
	  block_notification, ENDS_ALL, event_notification, false },
	{ "park space", 32, CAPOS_WAIT_PARK, CAPOS_RIGHT_WAIT, open_park, entry_park, block_park, ENDS_ALL,
	  event_park, false },
	{ "callers", 32, CAPOS_WAIT_CALL, CAPOS_RIGHT_CALL, open_endpoint, entry_call, block_call, ENDS_CALL,
	  event_call, false },
	{ "receivers", 0, CAPOS_WAIT_RECV, CAPOS_RIGHT_RECV, open_endpoint, entry_none, block_receive, ENDS_ALL,
	  event_receive, false },
	{ "join", 32, CAPOS_WAIT_JOIN, CAPOS_RIGHT_WAIT, open_thread, entry_join, block_join, ENDS_LIFE, event_join,
	  true },
	{ "process", 32, CAPOS_WAIT_PROCESS, CAPOS_RIGHT_WAIT, open_process, entry_process, block_process, ENDS_LIFE,
	  event_process, true },
};

/* --- a waiter, and the queue ---------------------------------------------------------------------------------------- */

/* Past the deadline nothing waits any more: a stall of the host. */
static bool late(void)
{
	return end == END_TIME && now_ns() >= deadline;
}

static uint64_t wait_all(void)
{
	struct capos_sqe entry = queue->entry(deadline);
	struct capos_cqe completion;
	unsigned all = queue->entries ? queue->entries + 1 : 0;

	for (unsigned i = 0; i < queue->entries; i++)
		CHECK(ring_submit(&entry));
	CHECK(result_ok(ring_enter(0, 0)));
	CHECK(ring_space() == CAPOS_SQ_ENTRIES);
	if (all) {
		CHECK(ring_submit(&entry));
		CHECK(result_ok(ring_enter(0, 0)));
		CHECK(IS(ring_enter(1, 1), TIMED_OUT) || late());
		CHECK((ring_space() == CAPOS_SQ_ENTRIES - 1 && ring_ready() == 0) ||
		      late()); /* it waits for a place */
	}
	__atomic_add_fetch(&ready, 1, __ATOMIC_RELEASE);
	CHECK(as_expected(queue->block(deadline)));
	for (unsigned i = 0; i < all; i++) {
		CHECK(result_ok(ring_wait(&completion, now_ns() + LATE_NS)));
		CHECK(as_expected(result_of(completion.result)));
	}
	CHECK(ring_space() == CAPOS_SQ_ENTRIES && ring_ready() == 0);
	return 0;
}

static uint64_t wrong; /* the line, of the last of them */

static uint64_t waits(void *argument)
{
	uint64_t line = wait_all();

	(void)argument;
	if (line)
		__atomic_store_n(&wrong, line, __ATOMIC_RELAXED);
	return line;
}

static bool all_wait(const struct thread *threads, unsigned count)
{
	if (__atomic_load_n(&ready, __ATOMIC_ACQUIRE) != count)
		return false;
	for (unsigned i = 0; i < count; i++)
		if (end != END_TIME && waits_on(threads[i].handle) != (int)queue->wait)
			return false;
	return true;
}

static int one_end(void)
{
	static struct thread threads[WAITERS_MAX];
	struct usage before = usage_now(), full;
	unsigned count = 0, all;
	struct capos_result r;

	object = used = 0;
	CHECK(queue->open());
	if (queue->wait != CAPOS_WAIT_SLEEP)
		CHECK(result_ok(cap_table_derive(known.caps, object, queue->rights, 0, &used)));
	__atomic_store_n(&ready, 0, __ATOMIC_RELAXED);
	deadline = end == END_TIME ? now_ns() + SOON_NS : CAPOS_NEVER;
	while (count < WAITERS_MAX && result_ok(r = thread_start(&threads[count], waits, NULL)))
		count++;
	CHECK(is_detail(r, CAPOS_STATUS_QUOTA_EXCEEDED, CAPOS_QUOTA_THREADS) || late());
	CHECK(count >= THREADS_SIM - 1);
	(void)becomes_true(all_wait(threads, count) || __atomic_load_n(&wrong, __ATOMIC_RELAXED));
	if (wrong)
		return (int)wrong;
	CHECK(all_wait(threads, count) || late());
	full = usage_now();
	if (end != END_TIME) {
		CHECK(is_detail(thread_start(&threads[count], waits, NULL), CAPOS_STATUS_QUOTA_EXCEEDED,
				CAPOS_QUOTA_THREADS));
		CHECK(usage_is(full));
	}
	all = count * (queue->entries ? queue->entries + 2 : 1);
	if (end == END_REVOKE)
		CHECK(result_ok(cap_table_revoke(known.caps, object)));
	if (end == END_DESTROY)
		CHECK(result_ok(cap_table_destroy(known.caps, object)));
	if (end == END_EVENT)
		CHECK(queue->event(all));
	for (unsigned i = 0; i < count; i++) {
		uint64_t line = 0;

		CHECK(result_ok(thread_finish(&threads[i], now_ns() + 2 * LATE_NS, &line)));
		if (line)
			return (int)line;
	}
	drop(used);
	if (queue->single && end != END_EVENT)
		CHECK(queue->event(1));
	if (queue->wait == CAPOS_WAIT_PROCESS)
		CHECK(result_ok(spawn_finish(object, CAPOS_NEVER, NULL)));
	else if (queue->single)
		CHECK(result_ok(thread_join(object, CAPOS_NEVER, NULL, NULL)));
	else if (end != END_DESTROY && queue->wait != CAPOS_WAIT_SLEEP)
		(void)cap_table_destroy(known.caps, object);
	if (queue->wait != CAPOS_WAIT_PROCESS)
		drop(object);
	CHECK(becomes_true(usage_is(before)));
	return 0;
}

/* waiters INDEX: twice (not in the simulator), so that nothing is left that the second time would meet. */
int mode_waiters(int argc, char **argv)
{
	queue = &queues[argc > 2 ? number_of(argv[2]) % COUNT_OF(queues) : 0];
	grow_table();
	for (unsigned i = 0; i < (on_simulator() ? 1 : 2); i++)
		for (end = END_TIME; end <= END_EVENT; end++) {
			int line = queue->ends >> end & 1 ? one_end() : 0;

			if (line) {
				tap_note("%s, %s, turn %u: line %d", queue->name, end_names[end], i, line);
				return line;
			}
		}
	return 0;
}

void test_waiters(void)
{
	for (unsigned i = 0; i < COUNT_OF(queues); i++) {
		struct capos_spawn spawn;
		struct usage before = usage_now();
		char args[16];

		fmt_buf(args, sizeof(args), "waiters %u", i);
		mode_init(&spawn, args);
		spawn.memory_bytes = 3u << 20;
		spawn.slots = 128;
		spawn.threads = (on_simulator() ? THREADS_SIM : THREADS) + 1; /* the child that is waited for */
		spawn.processes = 1;
		tap_ok(ends_well(&spawn),
		       "%s: all threads and rings wait, one too many is refused, all are told, and again",
		       queues[i].name);
		tap_returns(before, "and nothing is left of it");
	}
}
