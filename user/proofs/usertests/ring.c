/* SPDX-License-Identifier: MIT */
/* The ring: good entries, and each kind of malformed one. Load and hostile indices are in ringtest. */
#include "errors.h"

#define OP(op) CAPOS_CALL_WORD(0, 0, CAPOS_OP_##op, 0, 0)

static struct capos_result one(const struct capos_sqe *entry, struct capos_cqe *completion)
{
	struct capos_cqe local;
	struct capos_result r = ring_submit_wait(entry);

	if (!result_ok(r))
		return r;
	if (!completion)
		completion = &local;
	r = ring_wait(completion, now_ns() + 5 * SECOND);
	if (!result_ok(r))
		return (struct capos_result){ 999, 0, r.status };
	if (completion->user_data != entry->user_data)
		return (struct capos_result){ 998, 0, 0 };
	return result_of(completion->result);
}

static void good_entries(void)
{
	capos_handle bell = 0;
	struct capos_cqe completion;
	uint64_t now = now_ns();
	struct capos_sqe entry = RING_CALL(1, cap_table, nop, known.caps, CAPOS_NEVER, 0, 0, 0, 0);

	expect_good(one(&entry, NULL), "nop");
	entry = RING_CALL(2, timer, now, known.timer, CAPOS_NEVER, 0, 0, 0, 0);
	expect_good(one(&entry, &completion), "timer.now");
	tap_ok(completion.word[0] >= now, "brings the time");
	entry = RING_CALL(3, timer, sleep, known.timer, now_ns() + MS, now_ns() + MS, 0, 0, 0);
	expect_good(one(&entry, NULL), "timer.sleep");
	insist(factory_notification(known.factory, &bell));
	entry = RING_CALL(4, notification, signal, bell, CAPOS_NEVER, 6, 0, 0, 0);
	expect_good(one(&entry, NULL), "notification.signal");
	entry = RING_CALL(5, notification, wait, bell, CAPOS_NEVER, CAPOS_NEVER, 0, 0, 0);
	expect_good(one(&entry, &completion), "notification.wait");
	tap_ok(completion.word[0] == 6, "brings the bits");
	entry = RING_CALL(6, factory, notification, known.factory, CAPOS_NEVER, 0, 0, 0, 0);
	expect_good(one(&entry, &completion), "factory.notification");
	expect_good(notification_signal(completion.word[0], 1), "the new handle is good");
	destroy(completion.word[0]);
	entry = RING_CALL(7, notification, wait, bell, now_ns() + MS, 0, 0, 0, 0);
	expect_status(one(&entry, NULL), TIMED_OUT, "a wait ends at the entry's deadline");
	destroy(bell);
}

static void bad_entries(void)
{
	capos_handle stale = stale_handle();
	struct usage before = usage_now();
	const struct {
		const char *what;
		struct capos_sqe entry;
		unsigned status;
	} bad[] = {
		{ "handle 0", RING_CALL(10, timer, now, 0, CAPOS_NEVER, 0, 0, 0, 0), CAPOS_STATUS_INVALID_HANDLE },
		{ "a forged handle", RING_CALL(11, timer, now, FORGED_HANDLE, CAPOS_NEVER, 0, 0, 0, 0),
		  CAPOS_STATUS_INVALID_HANDLE },
		{ "a stale handle", RING_CALL(12, notification, poll, stale, CAPOS_NEVER, 0, 0, 0, 0),
		  CAPOS_STATUS_STALE_HANDLE },
		{ "a wrong type", RING_CALL(13, timer, now, known.caps, CAPOS_NEVER, 0, 0, 0, 0),
		  CAPOS_STATUS_WRONG_INTERFACE },
		{ "an unknown method",
		  ring_entry(14, known.timer, CAPOS_CALL_WORD(CAPOS_IFACE_timer, 77, 0, 0, 0), CAPOS_NEVER, 0, 0, 0,
			     0),
		  CAPOS_STATUS_UNKNOWN_METHOD },
		{ "an unknown op",
		  ring_entry(15, known.timer, CAPOS_CALL_WORD(CAPOS_IFACE_timer, 0, 9, 0, 0), CAPOS_NEVER, 0, 0, 0,
			     0),
		  CAPOS_STATUS_UNKNOWN_METHOD },
		{ "op ENTER", ring_entry(16, 0, CAPOS_CALL_WORD(0, 0, CAPOS_OP_ENTER, 2, 0), CAPOS_NEVER, 0, 0, 0, 0),
		  CAPOS_STATUS_UNKNOWN_METHOD },
		{ "op YIELD", ring_entry(17, 0, CAPOS_CALL_WORD(0, 0, CAPOS_OP_YIELD, 0, 0), CAPOS_NEVER, 0, 0, 0, 0),
		  CAPOS_STATUS_UNKNOWN_METHOD },
		{ "op REPLY_RECV",
		  ring_entry(18, sample[CAPOS_IFACE_endpoint], CAPOS_CALL_WORD(0, 0, CAPOS_OP_REPLY_RECV, 0, 0),
			     CAPOS_NEVER, 0, 0, 0, 0),
		  CAPOS_STATUS_UNKNOWN_METHOD },
		{ "unknown flags",
		  ring_entry(19, known.timer, CAPOS_CALL_WORD(CAPOS_IFACE_timer, 0, 0, 0, 0xf0), CAPOS_NEVER, 0, 0, 0,
			     0),
		  CAPOS_STATUS_BAD_ARGUMENT },
		{ "wrong words",
		  ring_entry(20, known.timer, CAPOS_CALL_WORD(CAPOS_IFACE_timer, 0, 0, 3, 0), CAPOS_NEVER, 0, 0, 0,
			     0),
		  CAPOS_STATUS_BAD_SIZE },
		{ "a bad argument",
		  RING_CALL(21, notification, signal, sample[CAPOS_IFACE_notification], CAPOS_NEVER, 0, 0, 0, 0),
		  CAPOS_STATUS_BAD_ARGUMENT },
		{ "a message at a bad address",
		  ring_entry(22, known.log, CAPOS_METHOD_WORD(log, write, CAPOS_CALL_MESSAGE), CAPOS_NEVER, 2, 0,
			     BAD_KERNEL, 8),
		  CAPOS_STATUS_BAD_ADDRESS },
		{ "a message at null",
		  ring_entry(23, known.log, CAPOS_METHOD_WORD(log, write, CAPOS_CALL_MESSAGE), CAPOS_NEVER, 2, 0, 0,
			     8),
		  CAPOS_STATUS_BAD_ADDRESS },
		{ "an overflowing message",
		  ring_entry(24, known.log, CAPOS_METHOD_WORD(log, write, CAPOS_CALL_MESSAGE), CAPOS_NEVER, 2, 0,
			     BAD_OVERFLOW, 64),
		  CAPOS_STATUS_BAD_ADDRESS },
		{ "a message too long",
		  ring_entry(25, known.log, CAPOS_METHOD_WORD(log, write, CAPOS_CALL_MESSAGE), CAPOS_NEVER, 2, 0,
			     (uintptr_t)bad_entries, 4096),
		  CAPOS_STATUS_BAD_SIZE },
		{ "an empty message",
		  ring_entry(26, known.log, CAPOS_METHOD_WORD(log, write, CAPOS_CALL_MESSAGE), CAPOS_NEVER, 2, 0,
			     (uintptr_t)bad_entries, 0),
		  CAPOS_STATUS_BAD_SIZE },
		{ "a receive on a timer",
		  ring_entry(27, known.timer, CAPOS_CALL_WORD(0, 0, CAPOS_OP_RECV, 1, 0), CAPOS_NEVER, CAPOS_NEVER, 0,
			     0, 0),
		  CAPOS_STATUS_WRONG_INTERFACE },
		{ "a reply to nothing",
		  ring_entry(28, sample[CAPOS_IFACE_endpoint], CAPOS_CALL_WORD(0, 0, CAPOS_OP_REPLY, 0, 0),
			     CAPOS_NEVER, 0, 0, 0, 0),
		  CAPOS_STATUS_NOT_SERVING },
	};

	for (unsigned i = 0; i < COUNT_OF(bad); i++) {
		struct capos_result r = one(&bad[i].entry, NULL);

		tap_ok(is_status(r, bad[i].status), "ring entry with %s: %s", bad[i].what, status_name(r.status));
	}
	tap_unchanged(before, "bad entries change nothing");
}

static void enter(void)
{
	uint64_t deadline;
	struct capos_result r;

	expect_good(ring_enter(0, 0), "enter with nothing to do");
	r = ring_enter(1, 0);
	tap_ok(IS(r, OK) && r.detail == 0, "enter for a completion, deadline 0, says that none is there");
	FAILS(op, enter, TIMED_OUT, 0, "a deadline in the past", .call = OP(ENTER), .word = { 1, 1 });
	deadline = now_ns() + 2 * MS;
	expect_status(ring_enter(1, deadline), TIMED_OUT, "enter with a deadline");
	tap_ok(now_ns() >= deadline, "is not early");
}

/* What can be wrong with the operations that use no handle, and with the queues themselves. */
static void odd_calls(void)
{
	struct capos_thread_page *page = self_page();

	FAILS(op, enter, BAD_ARGUMENT, 0, "for more completions than the queue has", .call = OP(ENTER),
	      .word = { CAPOS_CQ_ENTRIES + 1, 0 });
	page->sq_tail += CAPOS_SQ_ENTRIES + 1;
	FAILS(op, enter, BAD_ARGUMENT, 2, "a tail beyond the queue", .call = OP(ENTER));
	page->sq_tail -= CAPOS_SQ_ENTRIES + 1;
	page->cq_head += 1;
	FAILS(op, enter, BAD_ARGUMENT, 3, "a head beyond the tail", .call = OP(ENTER));
	page->cq_head -= 1;
	FAILS(op, enter, BAD_ARGUMENT, CAPOS_DETAIL_CALL_WORD, "a flag", .call = OP(ENTER) | 1ull << 58);
	FAILS(op, enter, BAD_SIZE, 0, "15 words", .call = OP(ENTER) | 15ull << 52);
	FAILS(op, yield, BAD_ARGUMENT, CAPOS_DETAIL_CALL_WORD, "a flag", .call = OP(YIELD) | 1ull << 58);
	FAILS(op, yield, BAD_SIZE, 0, "15 words", .call = OP(YIELD) | 15ull << 52);
	FAILS(op, other, BAD_SIZE, 0, "15 words", .call = CAPOS_CALL_WORD(0, 0, 9, 15, 0));
	FAILS(op, other, UNKNOWN_METHOD, 0, "op 9", .handle = known.timer, .call = CAPOS_CALL_WORD(0, 0, 9, 0, 0));
	FAILS(op, other, UNKNOWN_METHOD, 0, "op 15, all flags", .call = CAPOS_CALL_WORD(0, 0, 15, 0, 0xff));
	FAILS(op, other, UNKNOWN_METHOD, 0, "all ones", .handle = known.caps, .call = ~0ull);
	FAILS(op, enter, UNKNOWN_METHOD, 0, "cap_enter", .call = OP(ENTER));
	FAILS(op, yield, UNKNOWN_METHOD, 0, "yield", .call = OP(YIELD));
	FAILS(op, reply_recv, UNKNOWN_METHOD, 0, "reply and receive", .handle = sample[CAPOS_IFACE_endpoint],
	      .call = OP(REPLY_RECV));
	yield();
	tap_ok(true, "yield");
}

void test_ring(void)
{
	odd_calls();
	good_entries();
	bad_entries();
	enter();
}
