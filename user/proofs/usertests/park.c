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

static uint32_t other_word;

static uint64_t wait_other(void *argument)
{
	(void)argument;
	return park_space_wait(space, &other_word, 0, CAPOS_NEVER, 0).status;
}

/* Wakes one at `other_word`, and waits at `word`, which is 0, until it is woken in the same way. */
static uint64_t swap(void *argument)
{
	uint64_t deadline = *(const uint64_t *)argument;

	return park_space_wake_wait(space, &word, 0, deadline, 0, &other_word).status;
}

static uint64_t swap_and_wake(void *argument)
{
	uint64_t woken = 0;

	(void)swap(argument);
	/* The one that woke this waits by now, or is about to. */
	while (woken == 0)
		(void)park_space_wake(space, &other_word, 1, 0, &woken);
	return woken;
}

static void wakes_and_waits(void)
{
	static const uint64_t never = CAPOS_NEVER;
	const uint64_t at = (uintptr_t)&word, other = (uintptr_t)&other_word;
	struct thread waiting[2], swapping;
	struct block block;
	uint64_t late = now_ns() + 3600 * SECOND, code = 1;
	bool good = true;

	insist(thread_start(&waiting[0], wait_other, NULL));
	insist(thread_start(&waiting[1], wait_other, NULL));
	tap_ok(becomes_true(how_many_wait(waiting, 2, CAPOS_WAIT_PARK) == 2), "two threads wait at a word");
	FAILS_BY(CALL, park_space, wake_wait, BAD_ARGUMENT, 0, "a misaligned address to wait at", .handle = space,
		 .word = { at + 2, 0, CAPOS_NEVER, 0, other });
	FAILS_BY(CALL, park_space, wake_wait, BAD_ARGUMENT, 1, "more than 32 bits", .handle = space,
		 .word = { at, 1ull << 32, CAPOS_NEVER, 0, other });
	FAILS_BY(CALL, park_space, wake_wait, BAD_ARGUMENT, 3, "a flag", .handle = space,
		 .word = { at, 0, CAPOS_NEVER, 2, other });
	FAILS_BY(CALL, park_space, wake_wait, BAD_ARGUMENT, 4, "a misaligned address to wake at", .handle = space,
		 .word = { at, 0, CAPOS_NEVER, 0, other + 1 });
	FAILS_BY(CALL, park_space, wake_wait, BAD_ADDRESS, 0, "nothing to wait at", .handle = space,
		 .word = { BAD_WILD, 0, CAPOS_NEVER, 0, other });
	FAILS_BY(CALL, park_space, wake_wait, BAD_ADDRESS, 0, "shared, in private memory", .handle = space,
		 .word = { at, 0, CAPOS_NEVER, CAPOS_PARK_SHARED, other });
	insist(block_map(&block, CAPOS_PAGE_BYTES));
	FAILS_BY(CALL, park_space, wake_wait, BAD_ADDRESS, 4, "the other one shared, in private memory",
		 .handle = space, .word = { (uintptr_t)block.address, 0, CAPOS_NEVER, CAPOS_PARK_SHARED, other });
	tap_ok(how_many_wait(waiting, 2, CAPOS_WAIT_PARK) == 2, "and wake none");
	expect_status(park_space_wake_wait(space, block.address, 0, 0, CAPOS_PARK_SHARED, block.address), WOULD_BLOCK,
		      "shared words");
	block_unmap(&block);

	insist(thread_start(&swapping, swap, (void *)(uintptr_t)&never));
	tap_ok(becomes_true(how_many_wait(waiting, 2, CAPOS_WAIT_PARK) == 1 &&
			    how_many_wait(&swapping, 1, CAPOS_WAIT_PARK) == 1),
	       "wake_wait wakes one, and waits");
	tap_ok(park_space_wake_wait(space, &word, 1, CAPOS_NEVER, 0, &other_word).iresult == CAPOS_PARK_MISMATCH,
	       "the word differs");
	tap_ok(becomes_true(how_many_wait(waiting, 2, CAPOS_WAIT_PARK) == 0), "it has woken one all the same");
	expect_status(park_space_wake_wait(space, &other_word, 0, now_ns() + MS, 0, &word), TIMED_OUT,
		      "wakes the one that waits, and waits until its deadline");
	for (unsigned i = 0; i < 2; i++)
		good = result_ok(thread_finish(&waiting[i], now_ns() + 5 * SECOND, &code)) && code == 0 && good;
	good = result_ok(thread_finish(&swapping, now_ns() + 5 * SECOND, &code)) && code == 0 && good;
	tap_ok(good, "all of them returned");
	REFUSES_BY(CALL, park_space, wake_wait, CAPOS_PARK_MISMATCH, 0, "nobody to wake, the word differs",
		   .handle = space, .word = { at, 1, CAPOS_NEVER, 0, other });
	FAILS_BY(CALL, park_space, wake_wait, WOULD_BLOCK, 0, "nobody to wake, deadline 0", .handle = space,
		 .word = { at, 0, 0, 0, other });
	FAILS_BY(CALL, park_space, wake_wait, TIMED_OUT, 0, "nobody to wake, a deadline in the past", .handle = space,
		 .word = { at, 0, 1, 0, other });

	/* Whom it wakes waits with a deadline, and wakes it in turn. */
	insist(thread_start(&swapping, swap_and_wake, &late));
	tap_ok(becomes_true(how_many_wait(&swapping, 1, CAPOS_WAIT_PARK) == 1), "one waits with a deadline");
	expect_good(park_space_wake_wait(space, &other_word, 0, CAPOS_NEVER, 0, &word), "wakes it, and is woken");
	expect_good(thread_finish(&swapping, now_ns() + 5 * SECOND, &code), "it returns");
	tap_ok(code == 1, "having woken one");
}

/* Where a word was is remembered for no longer than it is there. */
static void words_go(void)
{
	struct block block;
	uint64_t at;
	unsigned good = 0;

	insist(block_map(&block, CAPOS_PAGE_BYTES));
	at = (uintptr_t)block.address;
	for (unsigned i = 0; i < 20; i++) {
		good += park_space_wait(space, (const uint32_t *)at, 1, CAPOS_NEVER, 0).iresult ==
			CAPOS_PARK_MISMATCH;
		insist(address_space_unmap(known.space, at, CAPOS_PAGE_BYTES));
		good += IS(park_space_wait(space, (const uint32_t *)at, 1, CAPOS_NEVER, 0), BAD_ADDRESS);
		insist(address_space_map(known.space, block.memory, 0, at, CAPOS_PAGE_BYTES, 0, NULL));
	}
	tap_ok(good == 40, "a word is looked for anew when it went and came back");
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
	wakes_and_waits();
	words_go();
	ends();
}
