/* SPDX-License-Identifier: MIT */
/*
 * run-ring: batches, full queues, back-pressure, indices that cannot be, fields that change while they are read, timers,
 * notifications, calls and receives through the ring, and threads that end with operations in flight.
 */
#include "proof.h"

#define HOSTILE_ROUNDS_QEMU 4000u
#define HOSTILE_ROUNDS_SIM 300u

static struct capos_sqe nop(uint64_t user_data)
{
	return RING_CALL(user_data, cap_table, nop, known.caps, CAPOS_NEVER, 0, 0, 0, 0);
}

static unsigned fill(uint64_t first)
{
	unsigned count = 0;

	for (;; count++) {
		struct capos_sqe entry = nop(first + count);

		if (!ring_submit(&entry))
			return count;
	}
}

/* Reaps up to max; false: one was bad or not the next in order. */
static bool reap_in_order(uint64_t *next, unsigned max, unsigned *count)
{
	struct capos_cqe completion;
	bool good = true;

	for (*count = 0; *count < max && ring_reap(&completion); (*count)++) {
		good = good && completion.user_data == *next && completion.result == 0;
		(*next)++;
	}
	return good;
}

static void batches(void)
{
	uint64_t next = 0;
	unsigned count, sum = 0;
	bool good = true;
	struct capos_result r;

	for (unsigned round = 0; round < 50; round++) {
		unsigned n = fill(round * 32ull);

		r = ring_enter(n, now_ns() + SECOND);
		good = n == CAPOS_SQ_ENTRIES && IS(r, OK) && r.detail == n && good;
		good = reap_in_order(&next, 64, &count) && count == n && good;
		sum += count;
	}
	tap_ok(good && sum == 50 * CAPOS_SQ_ENTRIES, "50 full batches, completed in order");
	tap_ok(ring_space() == CAPOS_SQ_ENTRIES && ring_ready() == 0, "the queues are empty");
}

static void back_pressure(void)
{
	uint64_t next = 0;
	unsigned count, total = 0;
	bool good = true;

	tap_ok(fill(0) == CAPOS_SQ_ENTRIES, "the submission queue takes 32 entries, and refuses the next");
	tap_ok(IS(ring_enter(0, 0), OK) && ring_ready() == CAPOS_CQ_ENTRIES, "the completion queue is full");
	tap_ok(fill(32) == CAPOS_SQ_ENTRIES, "32 more entries");
	expect_status(ring_enter(0, 0), OK, "enter");
	tap_ok(ring_space() == 0 && ring_ready() == CAPOS_CQ_ENTRIES,
	       "consumes none: there is no place for completions");
	good = reap_in_order(&next, 10, &count) && count == 10;
	(void)ring_enter(0, 0);
	tap_ok(good && ring_space() == 10 && ring_ready() == CAPOS_CQ_ENTRIES, "ten reaped, ten consumed");
	do {
		good = reap_in_order(&next, 7, &count) && good;
		total += count;
		(void)ring_enter(0, 0);
	} while (count);
	tap_ok(good && total == 54 && next == 64, "all 64 completed, in order, none lost");
}

/* Entries in flight take places too. */
static void places(void)
{
	struct usage before = usage_now();
	capos_handle bell = 0;
	unsigned waits = 0, nops = 0, count = 0;
	struct capos_cqe completion;
	uint64_t seen = 0;

	insist(factory_notification(known.factory, &bell));
	for (uint64_t i = 0; i < 20; i++) {
		struct capos_sqe entry = RING_CALL(1000 + i, notification, wait, bell, CAPOS_NEVER, 0, 0, 0, 0);

		(void)ring_submit(&entry);
	}
	(void)ring_enter(0, 0);
	tap_ok(ring_ready() == 0 && ring_space() == CAPOS_SQ_ENTRIES, "20 waits are in flight");
	(void)fill(0);
	(void)ring_enter(0, 0);
	tap_ok(ring_ready() == 12, "of 32 calls only 12 have a place for their completion");
	for (unsigned rounds = 0; rounds < 60; rounds++) {
		while (ring_reap(&completion)) {
			if (completion.user_data < 1000)
				nops++;
			else
				waits += completion.result == 0 && completion.word[0] != 0;
			seen |= completion.user_data < 64 ? 1ull << completion.user_data : 0;
			count++;
		}
		if (count < 32 && rounds > 3)
			break;
		if (rounds >= 3)
			(void)notification_signal(bell, rounds);
		(void)ring_enter(0, 0);
		if (count == 52)
			break;
	}
	tap_ok(nops == 32 && seen == 0xffffffff, "the others follow when places are free: %u", nops);
	while (waits < 20) {
		(void)notification_signal(bell, 1);
		if (!result_ok(ring_wait(&completion, now_ns() + SECOND)))
			break;
		waits += completion.result == 0 && completion.word[0] != 0;
	}
	tap_ok(waits == 20, "and each wait ends once: %u", waits);
	destroy(bell);
	tap_returns(before, "everything came back");
}

static void indices(void)
{
	struct capos_thread_page *page = self_page();
	uint32_t sq = page->sq_tail, cq = page->cq_head;
	const uint32_t beyond[] = { 33, 100, 0x80000000u, ~0u };
	struct usage before = usage_now();
	uint64_t next = 0;
	unsigned count;
	bool good = true;

	for (unsigned i = 0; i < COUNT_OF(beyond); i++) {
		struct capos_result r;

		page->sq_tail = sq + beyond[i];
		r = ring_enter(0, 0);
		tap_ok(is_detail(r, CAPOS_STATUS_BAD_ARGUMENT, 2) && page->sq_head == sq,
		       "a submission tail %u beyond the head: %s", beyond[i], status_name(r.status));
		page->sq_tail = sq;
		if (beyond[i] == ~0u) /* one back: the last completion, unread */
			continue;
		page->cq_head = cq + beyond[i];
		r = ring_enter(0, 0);
		tap_ok(is_detail(r, CAPOS_STATUS_BAD_ARGUMENT, 3), "a completion head off by %u: %s", beyond[i],
		       status_name(r.status));
		page->cq_head = cq;
	}
	page->sq_head = 77;
	page->cq_tail = 99;
	page->sq_entries = 1u << 20;
	page->cq_entries = 1u << 20;
	for (unsigned i = 0; i < 5; i++) {
		page->sq[(sq + i) % CAPOS_SQ_ENTRIES] = nop(i);
		page->sq_tail = sq + i + 1;
	}
	good = IS(ring_enter(0, 0), OK);
	tap_ok(good && page->sq_head == sq + 5 && page->cq_tail == cq + 5, "the kernel's own indices count");
	page->sq_entries = CAPOS_SQ_ENTRIES;
	page->cq_entries = CAPOS_CQ_ENTRIES;
	good = reap_in_order(&next, 32, &count) && count == 5;
	tap_ok(good, "five calls, five completions");
	tap_unchanged(before, "nothing else changed");
}

/* --- a thread that changes another's ring ----------------------------------------------------------------------------- */

static struct capos_thread_page *volatile victim_page;
static volatile uint32_t hostile_stop;
static struct event victim_done, scribblers_gone; /* a thread's page is unmapped when it ends */

static uint64_t scribble(void *argument)
{
	struct rng rng;
	uint64_t rounds = 0;

	rng_seed(&rng, (uintptr_t)argument);
	while (!hostile_stop) {
		struct capos_thread_page *page = victim_page;
		struct capos_sqe *entry;

		if (!page) {
			yield();
			continue;
		}
		entry = &page->sq[rng_below(&rng, CAPOS_SQ_ENTRIES)];
		switch (rng_below(&rng, 12)) {
		case 0:
			page->sq_tail += (uint32_t)rng_below(&rng, 40);
			break;
		case 1:
			page->cq_head += (uint32_t)rng_below(&rng, 40);
			break;
		case 2:
			page->sq_tail = (uint32_t)rng_next(&rng);
			break;
		case 3:
			page->sq_entries = page->cq_entries = (uint32_t)rng_next(&rng);
			break;
		case 4:
			entry->handle ^= 1ull << rng_below(&rng, 64);
			break;
		case 5: /* never interface, method or op of something that ends what others need */
			entry->call = CAPOS_METHOD_WORD(timer, now, 0) | rng_below(&rng, 16) << 56;
			break;
		case 6:
			entry->word[2] = rng_next(&rng) >> rng_below(&rng, 64);
			entry->word[3] = rng_below(&rng, 1024);
			break;
		case 7:
			page->send_bytes = (uint32_t)(rng_next(&rng) >> rng_below(&rng, 64));
			break;
		case 8:
			page->accept_caps = (uint32_t)rng_below(&rng, 9);
			break;
		case 9:
			entry->deadline = rng_next(&rng) >> rng_below(&rng, 64);
			break;
		default:
			*entry = RING_CALL(rounds, cap_table, nop, known.caps, 1, 0, 0, 0, 0);
			break;
		}
		rounds++;
		/* Not so fast that the ring is never whole. */
		for (volatile uint64_t pause = rng_below(&rng, 2000); pause > 0;)
			pause = pause - 1;
	}
	return rounds;
}

static uint64_t victim(void *argument)
{
	struct capos_thread_page *page = self_page();
	uint64_t rounds = (uintptr_t)argument, statuses = 0;

	victim_page = page;
	for (uint64_t i = 0; i < rounds; i++) {
		for (unsigned k = 0; k < 8; k++) {
			struct capos_sqe entry = nop(k);

			(void)ring_submit(&entry);
		}
		if (i % 2 == 0) { /* every other time the indices are what others made them */
			__atomic_store_n(&page->sq_tail, page->sq_head + 8, __ATOMIC_RELEASE);
			__atomic_store_n(&page->cq_head, __atomic_load_n(&page->cq_tail, __ATOMIC_ACQUIRE),
					 __ATOMIC_RELEASE);
		}
		statuses |= 1ull << (ring_enter(rng_below(&(struct rng){ { i, 7 } }, 4), 1).status & 63);
		__atomic_store_n(&page->cq_head, __atomic_load_n(&page->cq_tail, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
	}
	victim_page = NULL;
	event_set(&victim_done);
	if (rounds)
		event_wait(&scribblers_gone);
	return statuses;
}

static void hostile(void)
{
	struct usage before = usage_now();
	struct thread scribblers[2], thread;
	uint64_t rounds = on_simulator() ? HOSTILE_ROUNDS_SIM : HOSTILE_ROUNDS_QEMU, statuses = 0, code,
		 scribbled = 0;

	victim_done.set = 0; /* main's first round set it */
	hostile_stop = 0;
	for (unsigned i = 0; i < 2; i++)
		insist(thread_start(&scribblers[i], scribble, (void *)(uintptr_t)(i + 1)));
	insist(thread_start(&thread, victim, (void *)rounds));
	event_wait(&victim_done);
	hostile_stop = 1;
	for (unsigned i = 0; i < 2; i++) {
		must(thread_finish(&scribblers[i], CAPOS_NEVER, &code));
		scribbled += code;
	}
	event_set(&scribblers_gone);
	expect_good(thread_finish(&thread, CAPOS_NEVER, &statuses), "a thread whose ring others scribble over ends");
	tap_note("%lu changes, statuses seen: 0x%lx", (unsigned long)scribbled, (unsigned long)statuses);
	tap_ok(statuses & 1, "it could work in between");
	tap_ok((statuses & ~(1ull << CAPOS_STATUS_OK | 1ull << CAPOS_STATUS_BAD_ARGUMENT |
			     1ull << CAPOS_STATUS_TIMED_OUT | 1ull << CAPOS_STATUS_QUOTA_EXCEEDED)) == 0,
	       "enter answered ok, badArgument or timedOut only");
	tap_returns(before, "everything came back");
}

/* --- what waits ------------------------------------------------------------------------------------------------------ */

#define SLEEPS 16u

/* All end, none early, and in the order of their deadlines, unless *late: the first one was past when all were submitted. */
static bool sleeps_in_order(bool *late)
{
	uint64_t base = now_ns() + 30 * MS, last = 0;
	bool good = true;

	for (uint64_t i = 0; i < SLEEPS; i++) {
		uint64_t deadline = base + (i * 7 % SLEEPS) * MS / 2;
		struct capos_sqe entry = RING_CALL(deadline, timer, sleep, known.timer, deadline, deadline, 0, 0, 0);

		good = ring_submit(&entry) && good;
	}
	good = result_ok(ring_enter(0, 0)) && good;
	*late = now_ns() >= base;
	for (unsigned i = 0; i < SLEEPS; i++) {
		struct capos_cqe completion;

		if (!result_ok(ring_wait(&completion, now_ns() + 2 * SECOND)))
			return false;
		good = good && completion.result == 0 && now_ns() >= completion.user_data &&
		       (*late || completion.user_data >= last);
		last = completion.user_data;
	}
	return good;
}

static void timers(void)
{
	struct usage before = usage_now();
	bool good, late;

	do
		good = sleeps_in_order(&late);
	while (good && late); /* the host held this CPU up */
	tap_ok(good, "%u sleeps end in the order of their deadlines, none early", SLEEPS);
	tap_returns(before, "everything came back");
}

static void deadlines(void)
{
	uint64_t soon = now_ns() + 2 * MS, deadline = now_ns() + 6 * MS;
	struct capos_sqe entry = RING_CALL(5, timer, sleep, known.timer, soon, soon, 0, 0, 0);
	struct capos_cqe completion;

	(void)ring_submit(&entry);
	expect_status(ring_enter(2, deadline), TIMED_OUT, "enter for two completions, with one, and a deadline");
	tap_ok(now_ns() >= deadline, "is not early");
	/* A CPU that is held up finds both instants past: then the one may come a moment after the answer. */
	tap_ok(becomes_true(ring_ready() == 1) && ring_reap(&completion) && completion.user_data == 5,
	       "the one is kept");
}

static capos_handle port, bell;

static uint64_t signal_later(void *argument)
{
	for (uint64_t i = 0; i < 10; i++) {
		(void)sleep_ns(300000);
		(void)notification_signal(bell, 1ull << i);
	}
	return (uintptr_t)argument;
}

static void notifications(void)
{
	struct usage before = usage_now();
	struct thread thread;
	uint64_t bits = 0;

	insist(factory_notification(known.factory, &bell));
	insist(thread_start(&thread, signal_later, NULL));
	for (unsigned rounds = 0; rounds < 20 && bits != 0x3ff; rounds++) {
		struct capos_sqe entry = RING_CALL(rounds, notification, wait, bell, now_ns() + SECOND, 0, 0, 0, 0);
		struct capos_cqe completion;

		if (!ring_submit(&entry) || !result_ok(ring_wait(&completion, now_ns() + 2 * SECOND)) ||
		    completion.result != 0)
			break;
		bits |= completion.word[0];
	}
	tap_ok(bits == 0x3ff, "ten signals of another thread arrive (0x%lx)", (unsigned long)bits);
	must(thread_finish(&thread, CAPOS_NEVER, NULL));
	destroy(bell);
	tap_returns(before, "everything came back");
}

/* Receives and replies through its ring; ends after `argument` calls. */
static uint64_t ring_server(void *argument)
{
	struct capos_thread_page *page = self_page();
	uint64_t bad = 0;

	page->accept_caps = 0;
	for (uint64_t left = (uintptr_t)argument; left > 0; left--) {
		struct capos_sqe entry = ring_entry(left, port, CAPOS_CALL_WORD(0, 0, CAPOS_OP_RECV, 1, 0),
						    CAPOS_NEVER, CAPOS_NEVER, 0, 0, 0);
		struct capos_cqe completion;
		struct capos_result r;

		if (!ring_submit(&entry) || !result_ok(ring_wait(&completion, CAPOS_NEVER)))
			return 1000;
		r = result_of(completion.result);
		if (r.status != CAPOS_STATUS_OK)
			return 2000u + r.status;
		bad += r.iresult != PROOF_ECHO || CAPOS_RECV_WORDS(r.detail) != 3 ||
		       completion.word[0] != page->recv_badge;
		page->reply_token = page->recv_token;
		entry = ring_entry(left, port, CAPOS_CALL_WORD(0, 0, CAPOS_OP_REPLY, 2, CAPOS_CALL_TOKEN),
				   CAPOS_NEVER, page->recv_word[0] + page->recv_word[1], page->recv_word[2], 0, 0);
		if (!ring_submit(&entry) || !result_ok(ring_wait(&completion, CAPOS_NEVER)) || completion.result != 0)
			return 3000u + CAPOS_RESULT_STATUS(completion.result);
	}
	return bad;
}

static void calls(void)
{
	struct usage before = usage_now();
	struct thread server;
	uint64_t code = 0;
	unsigned good = 0;
	struct capos_cqe completion;
	struct capos_sqe entry;
	struct capos_result r;

	insist(factory_endpoint(known.factory, PROOF_IFACE, &port));
	insist(thread_start(&server, ring_server, (void *)100));
	for (uint64_t i = 0; i < 50; i++) {
		uint64_t word[3] = { i, 1000, ~i };

		good += result_ok(endpoint_call(port, PROOF_IFACE, PROOF_ECHO, word, 3, word, 2)) &&
			word[0] == i + 1000 && word[1] == ~i;
	}
	tap_ok(good == 50, "50 calls to a server that uses its ring");
	good = 0;
	for (uint64_t i = 0; i < 50; i++) {
		entry = ring_entry(i, port, CAPOS_CALL_WORD(PROOF_IFACE, PROOF_ECHO, CAPOS_OP_CALL, 3, 0),
				   CAPOS_NEVER, i, 5, i * 3, 0);
		good += ring_submit(&entry) && result_ok(ring_wait(&completion, now_ns() + 5 * SECOND)) &&
			CAPOS_RESULT_STATUS(completion.result) == 0 && completion.user_data == i &&
			completion.word[0] == i + 5 && completion.word[1] == i * 3;
	}
	tap_ok(good == 50, "50 calls from ring to ring");
	expect_good(thread_finish(&server, now_ns() + 5 * SECOND, &code), "the server ends");
	tap_ok(code == 0, "having seen nothing wrong (%lu)", (unsigned long)code);
	entry = ring_entry(9, port, CAPOS_CALL_WORD(PROOF_IFACE, 0, CAPOS_OP_CALL, 1, 0), now_ns() + 2 * MS, 1, 0, 0,
			   0);
	(void)ring_submit(&entry);
	r = ring_wait(&completion, now_ns() + 5 * SECOND);
	tap_ok(result_ok(r) && CAPOS_RESULT_STATUS(completion.result) == CAPOS_STATUS_TIMED_OUT,
	       "a call that nobody takes ends at its deadline");
	for (uint64_t i = 0; i < 2; i++) {
		entry = ring_entry(20 + i, port, CAPOS_CALL_WORD(0, 0, CAPOS_OP_RECV, 1, 0), CAPOS_NEVER, CAPOS_NEVER,
				   0, 0, 0);
		(void)ring_submit(&entry);
	}
	(void)ring_enter(0, 0);
	tap_ok(ring_reap(&completion) && completion.user_data == 21 &&
		       CAPOS_RESULT_STATUS(completion.result) == CAPOS_STATUS_MESSAGE_BUSY,
	       "a second receive in flight: messageBusy");
	(void)cap_table_destroy(known.caps, port);
	r = ring_wait(&completion, now_ns() + 5 * SECOND);
	tap_ok(result_ok(r) && completion.user_data == 20 &&
		       CAPOS_RESULT_STATUS(completion.result) == CAPOS_STATUS_REVOKED,
	       "the first ends with `revoked` when the endpoint does");
	drop(port);
	tap_returns(before, "everything came back");
}

/* A synchronous receive looks up when a completion comes. */
static void completions_pending(void)
{
	struct usage before = usage_now();
	uint64_t soon;
	struct request request;
	struct capos_cqe completion;
	struct capos_sqe entry;

	insist(factory_endpoint(known.factory, PROOF_IFACE, &port));
	soon = now_ns() + 2 * MS;
	entry = RING_CALL(1, timer, sleep, known.timer, soon, soon, 0, 0, 0);
	(void)ring_submit(&entry);
	(void)ring_enter(0, 0);
	expect_status(endpoint_recv(port, now_ns() + 5 * SECOND, 0, &request), COMPLETIONS_PENDING,
		      "a receive ends when a completion comes");
	expect_status(endpoint_recv(port, now_ns() + 5 * SECOND, 0, &request), COMPLETIONS_PENDING,
		      "and again while it is unread");
	tap_ok(ring_reap(&completion) && completion.user_data == 1, "it is the timer's");
	expect_status(endpoint_recv(port, 0, 0, &request), WOULD_BLOCK, "then it waits for calls again");
	destroy(port);
	tap_returns(before, "everything came back");
}

/* --- ends in flight ----------------------------------------------------------------------------------------------- */

static uint64_t leave_in_flight(void *argument)
{
	uint64_t soon = now_ns() + 50 * MS;

	for (uint64_t i = 0; i < 8; i++) {
		struct capos_sqe entry[] = {
			RING_CALL(i, timer, sleep, known.timer, CAPOS_NEVER, CAPOS_NEVER, 0, 0, 0),
			RING_CALL(i, notification, wait, bell, CAPOS_NEVER, CAPOS_NEVER, 0, 0, 0),
			RING_CALL(i, timer, sleep, known.timer, soon, soon, 0, 0, 0),
		};

		for (unsigned k = 0; k < 3; k++)
			(void)ring_submit(&entry[k]);
	}

	struct capos_sqe call =
		ring_entry(99, port, CAPOS_CALL_WORD(PROOF_IFACE, 0, CAPOS_OP_CALL, 1, 0), CAPOS_NEVER, 5, 0, 0, 0);

	(void)ring_submit(&call);
	(void)ring_enter(0, 0);
	if (argument)
		(void)ring_enter(25, CAPOS_NEVER);
	return 5;
}

static void teardown(void)
{
	struct usage before = usage_now();
	struct capos_spawn spawn;
	struct thread thread;
	struct endpoint_info info = { 0 };
	capos_handle process = 0;
	uint64_t code = 0, bits = 0;

	insist(factory_endpoint(known.factory, PROOF_IFACE, &port));
	insist(factory_notification(known.factory, &bell));
	for (unsigned i = 0; i < 5; i++) {
		insist(thread_start(&thread, leave_in_flight, NULL));
		must(thread_finish(&thread, CAPOS_NEVER, &code));
	}
	tap_ok(code == 5, "threads end with 25 operations in flight");
	for (unsigned i = 0; i < 5; i++) {
		insist(thread_start(&thread, leave_in_flight, (void *)1));
		(void)becomes_true(waits_on(thread.handle) == CAPOS_WAIT_RING);
		must(thread_terminate(thread.handle));
		must(thread_finish(&thread, CAPOS_NEVER, &code));
	}
	tap_ok(true, "and are terminated with them");
	tap_ok(result_ok(endpoint_info(port, &info)) && info.callers_waiting == 0, "no call is left at the endpoint");
	expect_good(notification_signal(bell, 1), "a signal");
	(void)notification_poll(bell, &bits);
	tap_ok(bits == 1, "finds no waiter");
	for (unsigned i = 0; i < 5; i++) {
		child_init(&spawn, "ring");
		(void)spawn_grant(&spawn, "bell", bell, CAPOS_RIGHT_SIGNAL);
		(void)spawn_grant(&spawn, "port", port, CAPOS_RIGHT_CALL);
		insist(spawn_start(&spawn, &process, NULL));
		must(notification_wait(bell, now_ns() + 5 * SECOND, &bits));
		must(process_kill(process, 6));
		tap_ok(ended(child_end(process), CAPOS_EXIT_KILLED, 6), "a process killed with operations in flight");
	}
	tap_ok(result_ok(endpoint_info(port, &info)) && info.callers_waiting == 0, "no call of theirs is left");
	destroy(bell);
	destroy(port);
	tap_returns(before, "everything came back");
}

int main(int argc, char **argv)
{
	struct thread thread;

	(void)argc;
	(void)argv;
	tap_plan(0);
	grow_table();
	(void)child_run("exit 0");
	insist(thread_start(&thread, victim, NULL));
	must(thread_finish(&thread, CAPOS_NEVER, NULL));
	batches();
	back_pressure();
	places();
	indices();
	timers();
	deadlines();
	notifications();
	calls();
	completions_pending();
	teardown();
	hostile();
	return tap_done();
}
