/* SPDX-License-Identifier: MIT */
/* Stations about calls: the null call, the ring, endpoints, notifications and park. */
#include "tour.h"

#define TOUR_IFACE (CAPOS_IFACE_USER + 0x200u)
#define NULL_CALLS 2000u
#define ROUND_TRIPS 1000u
#define RING_ROUNDS 50u

void tour_calls(void)
{
	bool good = true;
	uint64_t begin = now_ns();

	for (unsigned i = 0; i < NULL_CALLS; i++)
		good = result_ok(cap_table_nop(known.caps)) && good;
	show(good, "null call", "%lu ns, mean of %u", (unsigned long)((now_ns() - begin) / NULL_CALLS), NULL_CALLS);
}

/* A full queue of null calls; returns how many came back well, and the time that the kernel's entry took. */
static unsigned ring_round(uint64_t *span_ns)
{
	uint64_t seen = 0;
	struct capos_cqe completion;
	unsigned submitted = 0, good = 0;

	for (; submitted < CAPOS_SQ_ENTRIES; submitted++) {
		struct capos_sqe entry = RING_CALL(submitted, cap_table, nop, known.caps, CAPOS_NEVER, 0, 0, 0, 0);

		if (!ring_submit(&entry))
			break;
	}
	*span_ns = now_ns();
	if (!result_ok(ring_enter(submitted, *span_ns + 1000000000)))
		return 0;
	*span_ns = now_ns() - *span_ns;
	while (ring_reap(&completion)) {
		good += result_ok(result_of(completion.result)) && !(seen >> (completion.user_data & 63) & 1);
		seen |= 1ull << (completion.user_data & 63);
	}
	return good;
}

void tour_ring(void)
{
	uint64_t span_ns = 0;
	unsigned good = 0;

	for (unsigned i = 0; i < RING_ROUNDS; i++)
		good += ring_round(&span_ns);
	show(good == RING_ROUNDS * CAPOS_SQ_ENTRIES, "ring", "%u calls per entry of the kernel, %lu ns each",
	     good / RING_ROUNDS, (unsigned long)(span_ns / CAPOS_SQ_ENTRIES));
}

static uint64_t serve(void *argument)
{
	const capos_handle *endpoint = argument;
	struct request request;
	struct message reply = { .words = 2 };
	struct capos_result r = endpoint_recv(*endpoint, CAPOS_NEVER, 0, &request);

	while (r.status == CAPOS_STATUS_OK && request.method == 0) {
		reply.word[0] = request.message.word[0] + request.message.word[1];
		reply.word[1] = request.badge;
		r = endpoint_reply_recv(*endpoint, &reply, 0, &request);
	}
	if (r.status == CAPOS_STATUS_OK)
		r = endpoint_reply(NULL);
	return r.status;
}

void tour_endpoint(void)
{
	capos_handle endpoint = 0, client = 0;
	struct thread server;
	uint64_t word[2] = { 0, 1 }, begin, code = 1, badge = 0;
	bool good;

	good = result_ok(factory_endpoint(known.factory, TOUR_IFACE, &endpoint)) &&
	       result_ok(cap_table_derive(known.caps, endpoint, CAPOS_RIGHT_CALL, 77, &client)) &&
	       result_ok(thread_start(&server, serve, &endpoint));
	if (!show(good, "endpoint", "made, with a derived capability that carries badge 77"))
		return;
	begin = now_ns();
	for (unsigned i = 0; i < ROUND_TRIPS && good; i++) {
		good = result_ok(endpoint_call(client, TOUR_IFACE, 0, word, 2, word, 2));
		badge = word[1];
		word[1] = 1;
	}
	begin = now_ns() - begin;
	good = good && word[0] == ROUND_TRIPS && badge == 77;
	show(good, "round trip", "%lu ns to another thread and back, mean of %u",
	     (unsigned long)(begin / ROUND_TRIPS), ROUND_TRIPS);
	good = result_ok(endpoint_call(client, TOUR_IFACE, 1, NULL, 0, NULL, 0)) &&
	       result_ok(thread_finish(&server, CAPOS_NEVER, &code)) && code == 0;
	if (!good)
		show(good, "endpoint", "the server did not end as it should");
	(void)cap_table_destroy(known.caps, endpoint);
	(void)cap_table_release(known.caps, endpoint);
	(void)cap_table_release(known.caps, client);
}

static capos_handle bell;

static uint64_t ring_bell(void *argument)
{
	(void)argument;
	(void)sleep_ns(5000000);
	(void)notification_signal(bell, 2);
	return result_word(notification_signal(bell, 8));
}

void tour_wakeups(void)
{
	struct thread thread;
	uint64_t bits = 0, more = 0, code = 1;
	bool good = result_ok(factory_notification(known.factory, &bell)) &&
		    result_ok(thread_start(&thread, ring_bell, NULL)) &&
		    result_ok(notification_wait(bell, CAPOS_NEVER, &bits)) &&
		    result_ok(thread_finish(&thread, CAPOS_NEVER, &code));

	if (good && bits != 10)
		good = result_ok(notification_wait(bell, CAPOS_NEVER, &more));
	show(good && code == 0 && (bits | more) == 10, "notification", "woken by another thread, bits 0x%lx",
	     (unsigned long)(bits | more));

	struct capos_result r = notification_wait(bell, now_ns() + 3000000, &bits);

	show(r.status == CAPOS_STATUS_TIMED_OUT, "deadline", "a wait for nothing ended after 3 ms: %s",
	     status_name(r.status));
	(void)cap_table_destroy(known.caps, bell);
	(void)cap_table_release(known.caps, bell);
}

#define COUNTERS 4u
#define COUNTS 2000u

static struct mutex counter_lock;
static volatile uint32_t counter;

static uint64_t count_up(void *argument)
{
	(void)argument;
	for (unsigned i = 0; i < COUNTS; i++) {
		mutex_lock(&counter_lock);
		counter = counter + 1;
		mutex_unlock(&counter_lock);
	}
	return 0;
}

void tour_locks(void)
{
	struct thread threads[COUNTERS];
	unsigned started = 0;

	for (; started < COUNTERS; started++)
		if (!result_ok(thread_start(&threads[started], count_up, NULL)))
			break;
	for (unsigned i = 0; i < started; i++)
		(void)thread_finish(&threads[i], CAPOS_NEVER, NULL);
	show(counter == COUNTERS * COUNTS, "park", "%u threads counted to %u under a lock that parks", started,
	     counter);
}
