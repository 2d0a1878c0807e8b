/* SPDX-License-Identifier: MIT */
/* LINK: */
/* The program's side of the ring against a kernel's side written down here: order, full queues, indices that wrap. */
#include <user/ring.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct capos_thread_page page;

static int setup(void **state)
{
	(void)state;
	memset(&page, 0, sizeof(page));
	return 0;
}

/* Takes at most `count` entries and completes them, as the kernel does: only with a place for the completion. */
static unsigned kernel(unsigned count)
{
	unsigned done = 0;

	while (done < count && page.sq_head != page.sq_tail && page.cq_tail - page.cq_head < CAPOS_CQ_ENTRIES) {
		const struct capos_sqe *entry = &page.sq[page.sq_head & (CAPOS_SQ_ENTRIES - 1)];

		page.cq[page.cq_tail & (CAPOS_CQ_ENTRIES - 1)] =
			(struct capos_cqe){ entry->user_data, 0, { entry->word[0] + 1, 0 } };
		page.sq_head++;
		page.cq_tail++;
		done++;
	}
	return done;
}

static bool submit(uint64_t user_data)
{
	struct capos_sqe entry = RING_CALL(user_data, timer, sleep, 1, CAPOS_NEVER, user_data, 0, 0, 0);

	return ringq_submit(&page, &entry);
}

static void test_full_and_empty(void **state)
{
	struct capos_cqe completion;

	(void)state;
	assert_false(ringq_reap(&page, &completion));
	for (unsigned i = 0; i < CAPOS_SQ_ENTRIES; i++) {
		assert_int_equal(ringq_space(&page), CAPOS_SQ_ENTRIES - i);
		assert_true(submit(i));
	}
	assert_false(submit(99));
	assert_int_equal(page.sq_tail, CAPOS_SQ_ENTRIES);
	assert_int_equal(kernel(5), 5);
	assert_int_equal(ringq_ready(&page), 5);
	assert_int_equal(ringq_space(&page), 5);
	assert_int_equal(kernel(100), CAPOS_SQ_ENTRIES - 5);
	for (unsigned i = 0; i < CAPOS_SQ_ENTRIES; i++) {
		assert_true(ringq_reap(&page, &completion));
		assert_int_equal(completion.user_data, i);
		assert_int_equal(completion.word[0], i + 1);
	}
	assert_false(ringq_reap(&page, &completion));
}

/* In place: nothing is submitted or given back before it is published. */
static void test_many_in_place(void **state)
{
	(void)state;
	page.sq_head = page.sq_tail = page.cq_head = page.cq_tail = 0xfffffff5u;
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 20; i++) {
			struct capos_sqe *slot = ringq_slot(&page, i);

			ring_fill(slot, round * 100 + i, 5, 6);
			slot->word[0] = i;
		}
		assert_int_equal(kernel(100), 0);
		ringq_publish(&page, 20);
		assert_int_equal(ringq_space(&page), CAPOS_SQ_ENTRIES - 20);
		assert_int_equal(kernel(100), 20);
		assert_int_equal(ringq_ready(&page), 20);
		for (unsigned i = 0; i < 20; i++) {
			assert_int_equal(ringq_completion(&page, i)->user_data, round * 100 + i);
			assert_int_equal(ringq_completion(&page, i)->word[0], i + 1);
		}
		assert_int_equal(ringq_ready(&page), 20);
		ringq_advance(&page, 20);
		assert_int_equal(ringq_ready(&page), 0);
	}
}

static void test_entry(void **state)
{
	(void)state;
	assert_true(submit(7));
	assert_int_equal(CAPOS_CALL_IFACE(page.sq[0].call), CAPOS_IFACE_timer);
	assert_int_equal(CAPOS_CALL_METHOD(page.sq[0].call), CAPOS_METHOD_timer_sleep);
	assert_int_equal(CAPOS_CALL_OP(page.sq[0].call), CAPOS_OP_CALL);
	assert_int_equal(CAPOS_CALL_WORD_COUNT(page.sq[0].call), 1);
	assert_int_equal(page.sq[0].handle, 1);
	assert_int_equal(page.sq[0].deadline, CAPOS_NEVER);
}

/* Indices run freely through 2^32; whatever is submitted comes back once and in order. */
static void test_wrapping(void **state)
{
	uint64_t sent = 0, got = 0;
	unsigned random = 1;

	(void)state;
	page.sq_head = page.sq_tail = 0xffffff00u;
	page.cq_head = page.cq_tail = 0xfffffff0u;
	for (unsigned i = 0; i < 5000; i++) {
		struct capos_cqe completion;

		random = random * 1103515245 + 12345;
		for (unsigned k = random >> 16 & 15; k > 0; k--)
			sent += submit(sent);
		kernel(random >> 20 & 15);
		for (unsigned k = random >> 24 & 15; k > 0; k--) {
			if (!ringq_reap(&page, &completion))
				continue;
			assert_int_equal(completion.user_data, got);
			got++;
		}
		assert_true(ringq_space(&page) <= CAPOS_SQ_ENTRIES && ringq_ready(&page) <= CAPOS_CQ_ENTRIES);
	}
	assert_true(got > 10000 && sent - got <= CAPOS_SQ_ENTRIES + CAPOS_CQ_ENTRIES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_full_and_empty, setup),
		cmocka_unit_test_setup(test_entry, setup),
		cmocka_unit_test_setup(test_many_in_place, setup),
		cmocka_unit_test_setup(test_wrapping, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
