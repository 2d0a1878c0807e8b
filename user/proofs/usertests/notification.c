/* SPDX-License-Identifier: MIT */
/* Notifications: bits coalesce, one waiter takes them, deadlines, and the end of the object. */
#include "errors.h"

static capos_handle bell;
static volatile uint64_t taken[4];

static uint64_t wait_one(void *argument)
{
	volatile uint64_t *to = argument;
	uint64_t bits = 0;
	struct capos_result r = notification_wait(bell, CAPOS_NEVER, &bits);

	*to = bits;
	return r.status;
}

static void several_waiters(void)
{
	struct thread threads[4];
	uint64_t code = 1;
	bool good = true;

	for (unsigned i = 0; i < 4; i++) {
		taken[i] = 0;
		insist(thread_start(&threads[i], wait_one, (void *)&taken[i]));
	}
	tap_ok(becomes_true(how_many_wait(threads, 4, CAPOS_WAIT_NOTIFICATION) == 4), "four threads wait");
	for (unsigned i = 0; i < 3; i++) {
		expect_good(notification_signal(bell, 1u << i), "a signal");
		tap_ok(becomes_true(how_many_wait(threads, 4, CAPOS_WAIT_NOTIFICATION) == 3 - i),
		       "wakes one of them");
	}
	expect_good(cap_table_destroy(known.caps, bell), "destroy the notification");
	for (unsigned i = 0; i < 4; i++) {
		good = result_ok(thread_finish(&threads[i], now_ns() + 5 * SECOND, &code)) && good;
		if (taken[i] == 0)
			good = code == CAPOS_STATUS_REVOKED && good;
	}
	tap_ok(good && (taken[0] ^ taken[1] ^ taken[2] ^ taken[3]) == 7,
	       "each signal reached one waiter, and the last waiter is told that it was revoked");
	drop(bell);
}

static void revoked_waiter(void)
{
	struct thread thread;
	capos_handle root = 0;
	uint64_t code = 0;

	insist(factory_notification(known.factory, &root));
	insist(cap_table_derive(known.caps, root, CAPOS_RIGHT_WAIT, 0, &bell));
	insist(thread_start(&thread, wait_one, (void *)&taken[0]));
	tap_ok(becomes_true(how_many_wait(&thread, 1, CAPOS_WAIT_NOTIFICATION) == 1),
	       "a thread waits through a derived capability");
	expect_good(cap_table_revoke(known.caps, root), "revoke");
	expect_good(thread_finish(&thread, now_ns() + 5 * SECOND, &code), "ends the wait");
	tap_ok(code == CAPOS_STATUS_REVOKED, "with `revoked`");
	drop(bell);
	destroy(root);
}

void test_notification(void)
{
	uint64_t bits = 99, deadline;

	insist(factory_notification(known.factory, &bell));
	FAILS(notification, signal, BAD_ARGUMENT, 0, "no bits", .handle = bell);
	expect_good(notification_poll(bell, &bits), "poll");
	tap_ok(bits == 0, "nothing is there");
	FAILS(notification, wait, WOULD_BLOCK, 0, "deadline 0", .handle = bell);
	FAILS(notification, wait, TIMED_OUT, 0, "a deadline in the past", .handle = bell, .word = { 1 },
	      .deadline_ns = 1);
	deadline = now_ns() + 2 * MS;
	expect_status(notification_wait(bell, deadline, &bits), TIMED_OUT, "wait with a deadline");
	tap_ok(now_ns() >= deadline, "is not early");
	expect_good(notification_signal(bell, 5), "signal");
	expect_good(notification_signal(bell, 1ull << 63), "signal again");
	expect_good(notification_wait(bell, 0, &bits), "wait");
	tap_ok(bits == (1ull << 63 | 5), "brings the bits of both");
	expect_status(notification_wait(bell, 0, &bits), WOULD_BLOCK, "which are taken then");
	(void)notification_signal(bell, 2);
	expect_good(notification_poll(bell, &bits), "poll");
	tap_ok(bits == 2, "takes bits too");
	several_waiters();
	revoked_waiter();
}
