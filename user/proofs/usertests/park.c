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

static void wakes(void)
{
	struct thread threads[6];
	uint64_t woken = 9, code = 1;
	bool good = true;

	expect_good(park_space_wake(space, &word, 5, 0, &woken), "wake");
	tap_ok(woken == 0, "wakes nobody when nobody waits");
	for (unsigned i = 0; i < 6; i++)
		insist(thread_start(&threads[i], wait_word, NULL));
	tap_ok(becomes_true(how_many_wait(threads, 6, CAPOS_WAIT_PARK) == 6), "six threads are parked");
	(void)park_space_wake(space, &word, 0, 0, &woken);
	tap_ok(woken == 0 && how_many_wait(threads, 6, CAPOS_WAIT_PARK) == 6, "wake 0 wakes none");
	(void)park_space_wake(space, &word + 1, 6, 0, &woken);
	tap_ok(woken == 0, "a wake of the next word wakes none");
	(void)park_space_wake(space, &word, 2, 0, &woken);
	tap_ok(woken == 2 && becomes_true(how_many_wait(threads, 6, CAPOS_WAIT_PARK) == 4), "wake 2 wakes two");
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
		struct capos_result r;

		FAILS(park_space, wait, BAD_ADDRESS, 0, names[i], .handle = space, .word = { bad[i] });
		FAILS(park_space, wait, BAD_ADDRESS, 0, names[i], .handle = space,
		      .word = { bad[i], 0, 0, CAPOS_PARK_SHARED });
		FAILS(park_space, wake, BAD_ADDRESS, 0, names[i], .handle = space,
		      .word = { bad[i], 1, CAPOS_PARK_SHARED });
		r = park_space_wake(space, at, 1, 0, &woken);
		tap_ok(IS(r, BAD_ADDRESS) || (result_ok(r) && woken == 0), "wake at a %s address", names[i]);
	}
	FAILS(park_space, wait, BAD_ARGUMENT, 0, "a misaligned address", .handle = space,
	      .word = { (uintptr_t)&word + 2 });
	FAILS(park_space, wake, BAD_ARGUMENT, 0, "a misaligned address", .handle = space,
	      .word = { (uintptr_t)&word + 1, 1 });
	FAILS(park_space, wait, BAD_ARGUMENT, 1, "more than 32 bits", .handle = space,
	      .word = { (uintptr_t)&word, 1ull << 32 });
	FAILS(park_space, wait, BAD_ARGUMENT, 3, "a flag", .handle = space, .word = { (uintptr_t)&word, 0, 0, 2 });
	FAILS(park_space, wake, BAD_ARGUMENT, 2, "a flag", .handle = space, .word = { (uintptr_t)&word, 1, 4 });
	FAILS(park_space, wait, BAD_ADDRESS, 0, "shared, in private memory", .handle = space,
	      .word = { (uintptr_t)&word, 0, 0, CAPOS_PARK_SHARED });
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
	tap_ok(becomes_true(how_many_wait(threads, 1, CAPOS_WAIT_PARK) == 1),
	       "a thread waits in a park space of its own");
	expect_good(cap_table_destroy(known.caps, space), "destroy the park space");
	expect_good(thread_finish(&threads[0], now_ns() + 5 * SECOND, &code), "ends the wait");
	tap_ok(code == CAPOS_STATUS_REVOKED, "with `revoked`");
	drop(space);
	insist(factory_park_space(known.factory, &root));
	insist(cap_table_derive(known.caps, root, CAPOS_RIGHT_WAIT, 0, &space));
	insist(thread_start(&threads[0], wait_word, NULL));
	tap_ok(becomes_true(how_many_wait(threads, 1, CAPOS_WAIT_PARK) == 1),
	       "a thread waits through a derived capability");
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
	REFUSES(park_space, wait, CAPOS_PARK_MISMATCH, 0, "the word differs", .handle = space,
		.word = { (uintptr_t)&word, 8, CAPOS_NEVER }, .deadline_ns = CAPOS_NEVER);
	REFUSES(park_space, wait, CAPOS_PARK_MISMATCH, 0, "it differs, and deadline 0", .handle = space,
		.word = { (uintptr_t)&word, 8 });
	FAILS(park_space, wait, WOULD_BLOCK, 0, "the word is equal, deadline 0", .handle = space,
	      .word = { (uintptr_t)&word, 7 });
	FAILS(park_space, wait, TIMED_OUT, 0, "a deadline in the past", .handle = space,
	      .word = { (uintptr_t)&word, 7, 1 }, .deadline_ns = 1);
	deadline = now_ns() + 2 * MS;
	expect_status(park_space_wait(space, &word, 7, deadline, 0), TIMED_OUT, "a deadline");
	tap_ok(now_ns() >= deadline, "is not early");
	word = 0;
	wakes();
	bad_addresses();
	ends();
}
