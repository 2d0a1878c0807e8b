/* SPDX-License-Identifier: MIT */
/* Park: mismatch, deadlines, wake counts, bad addresses, and the end of the park space. */
#include "errors.h"

static uint32_t word;
static capos_handle space;

static uint64_t wait_word(void *argument)
{
	(void)argument;
	return park_space_wait(space, &word, 0, CAPOS_NEVER, 0).status;
}

static unsigned parked(struct thread *threads, unsigned count)
{
	unsigned blocked = 0;

	for (unsigned i = 0; i < count; i++)
		blocked += waits_on(threads[i].handle) == CAPOS_WAIT_PARK;
	return blocked;
}

static void wakes(void)
{
	struct thread threads[6];
	uint64_t woken = 9, code = 1;
	bool good = true;

	expect_good(park_space_wake(space, &word, 5, 0, &woken), "wake");
	tap_ok(woken == 0, "wakes nobody when nobody waits");
	for (unsigned i = 0; i < 6; i++)
		insist(thread_start(&threads[i], wait_word, NULL));
	tap_ok(becomes_true(parked(threads, 6) == 6), "six threads are parked");
	(void)park_space_wake(space, &word, 0, 0, &woken);
	tap_ok(woken == 0 && parked(threads, 6) == 6, "wake 0 wakes none");
	(void)park_space_wake(space, &word + 1, 6, 0, &woken);
	tap_ok(woken == 0, "a wake of the next word wakes none");
	(void)park_space_wake(space, &word, 2, 0, &woken);
	tap_ok(woken == 2 && becomes_true(parked(threads, 6) == 4), "wake 2 wakes two");
	(void)park_space_wake(space, &word, CAPOS_NEVER, 0, &woken);
	tap_ok(woken == 4, "wake all wakes the others");
	for (unsigned i = 0; i < 6; i++)
		good = result_ok(thread_finish(&threads[i], now_ns() + 5 * SECOND, &code)) && code == 0 && good;
	tap_ok(good, "all of them returned");
}

static void bad_addresses(void)
{
	const uint64_t bad[] = { BAD_NULL, BAD_WILD, 0xdeadbeefdeadbee0ull, BAD_KERNEL, 0xfffffffffffffffcull };
	const char *const names[] = { "null", "wild", "non-canonical", "kernel", "last" };
	struct block block;
	uint64_t woken = 0;

	for (unsigned i = 0; i < COUNT_OF(bad); i++) {
		const uint32_t *at = (const uint32_t *)bad[i];
		struct capos_result r = park_space_wait(space, at, 0, 0, 0);

		tap_ok(IS(r, BAD_ADDRESS), "wait at a %s address: %s", names[i], status_name(r.status));
		r = park_space_wait(space, at, 0, 0, CAPOS_PARK_SHARED);
		tap_ok(IS(r, BAD_ADDRESS), "shared wait at a %s address: %s", names[i], status_name(r.status));
		r = park_space_wake(space, at, 1, CAPOS_PARK_SHARED, NULL);
		tap_ok(IS(r, BAD_ADDRESS), "shared wake at a %s address: %s", names[i], status_name(r.status));
		r = park_space_wake(space, at, 1, 0, &woken);
		tap_ok(IS(r, BAD_ADDRESS) || (result_ok(r) && woken == 0), "wake at a %s address", names[i]);
	}
	expect_detail(park_space_wait(space, (const uint32_t *)((uintptr_t)&word + 2), 0, 0, 0), BAD_ARGUMENT, 0,
		      "wait at a misaligned address");
	expect_detail(park_space_wake(space, (const uint32_t *)((uintptr_t)&word + 1), 1, 0, NULL), BAD_ARGUMENT, 0,
		      "wake at a misaligned address");
	expect_detail(park_space_wait(space, &word, 0, 0, 2), BAD_ARGUMENT, 3, "wait with unknown flags");
	expect_detail(park_space_wake(space, &word, 1, 4, NULL), BAD_ARGUMENT, 2, "wake with unknown flags");
	expect_status(park_space_wait(space, &word, 0, 0, CAPOS_PARK_SHARED), BAD_ADDRESS,
		      "a shared wait on private memory");
	insist(block_map(&block, CAPOS_PAGE_BYTES));
	expect_status(park_space_wait(space, block.address, 0, 0, CAPOS_PARK_SHARED), WOULD_BLOCK,
		      "a shared wait on a memory object");
	block_unmap(&block);
}

static void ends(void)
{
	struct thread threads[2];
	capos_handle root = 0;
	uint64_t code = 0;

	insist(factory_park_space(known.factory, &space));
	insist(thread_start(&threads[0], wait_word, NULL));
	tap_ok(becomes_true(parked(threads, 1) == 1), "a thread waits in a park space of its own");
	expect_good(cap_table_destroy(known.caps, space), "destroy the park space");
	expect_good(thread_finish(&threads[0], now_ns() + 5 * SECOND, &code), "ends the wait");
	tap_ok(code == CAPOS_STATUS_REVOKED, "with `revoked`");
	drop(space);
	insist(factory_park_space(known.factory, &root));
	insist(cap_table_derive(known.caps, root, CAPOS_RIGHT_WAIT, 0, &space));
	insist(thread_start(&threads[0], wait_word, NULL));
	tap_ok(becomes_true(parked(threads, 1) == 1), "a thread waits through a derived capability");
	expect_good(cap_table_revoke(known.caps, root), "revoke");
	expect_good(thread_finish(&threads[0], now_ns() + 5 * SECOND, &code), "ends the wait");
	tap_ok(code == CAPOS_STATUS_REVOKED, "with `revoked`");
	drop(space);
	destroy(root);
}

void test_park(void)
{
	uint64_t deadline;

	space = known.park;
	word = 7;
	expect_iresult(park_space_wait(space, &word, 8, CAPOS_NEVER, 0), CAPOS_PARK_MISMATCH, "the word differs");
	expect_iresult(park_space_wait(space, &word, 8, 0, 0), CAPOS_PARK_MISMATCH, "it differs, and deadline 0");
	expect_status(park_space_wait(space, &word, 7, 0, 0), WOULD_BLOCK, "the word is equal, deadline 0");
	expect_status(park_space_wait(space, &word, 7, 1, 0), TIMED_OUT, "a deadline in the past");
	deadline = now_ns() + 2 * MS;
	expect_status(park_space_wait(space, &word, 7, deadline, 0), TIMED_OUT, "a deadline");
	tap_ok(now_ns() >= deadline, "is not early");
	word = 0;
	wakes();
	bad_addresses();
	ends();
}
