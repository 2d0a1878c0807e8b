/* SPDX-License-Identifier: MIT */
/*
 * Message pages while they are read. A sibling of the caller changes length, capabilities, bytes and ring entries all
 * the time. What arrives is some call that passed the checks: at most 512 bytes, none of the receiver's own bytes
 * behind the length changed, words as sent, at most four capabilities, all to the object that one may send.
 */
#include "isolation.h"

#define CALLS_QEMU 6000u
#define CALLS_SIM 300u
#define OWN_BYTE 0xeeu

static capos_handle port, bell, secret_bell;
static struct capos_thread_page *sender_page;
static uint32_t scribbling, stop;
static struct event scribblers_ended; /* the sender's page is there until then */

static uint64_t scribble(void *argument)
{
	const uint32_t lengths[] = { 8, 16, 511, 512, 513, 4096, ~0u, 0, 1 };
	const uint64_t caps[] = { bell, FORGED_HANDLE, 0, bell, known.caps, bell };
	struct capos_thread_page *page;
	uint64_t turn = 0;

	(void)argument;
	while (!(page = __atomic_load_n(&sender_page, __ATOMIC_ACQUIRE)))
		yield();
	__atomic_store_n(&scribbling, 1, __ATOMIC_RELEASE);
	for (; !__atomic_load_n(&stop, __ATOMIC_RELAXED); turn++) {
		__atomic_store_n(&page->send_bytes, lengths[turn % COUNT_OF(lengths)], __ATOMIC_RELAXED);
		__atomic_store_n(&page->send_caps, turn % 7 == 0 ? (uint32_t)turn : (uint32_t)(turn % 5),
				 __ATOMIC_RELAXED);
		for (unsigned i = 0; i < CAPOS_MESSAGE_CAPS; i++)
			__atomic_store_n(&page->send_cap[i], caps[(turn + i) % COUNT_OF(caps)], __ATOMIC_RELAXED);
		memset(page->message, (int)(turn & 0x7f), 64);
		if (startup()->cpu_count == 1 && turn % 8 == 0)
			yield();
	}
	return turn;
}

static uint64_t send(void *argument)
{
	uint64_t calls = (uintptr_t)argument, done = 0;

	__atomic_store_n(&sender_page, self_page(), __ATOMIC_RELEASE);
	while (!__atomic_load_n(&scribbling, __ATOMIC_ACQUIRE))
		yield();
	for (uint64_t i = 0; i < calls; i++) {
		uint64_t word[CAPOS_WORDS] = { i, ~i };
		unsigned flags = i % 4 == 0   ? CAPOS_CALL_MESSAGE
				 : i % 4 == 1 ? CAPOS_CALL_CAPS
					      : CAPOS_CALL_MESSAGE | CAPOS_CALL_CAPS;

		done += result_ok(call_words(port, CAPOS_CALL_WORD(PROOF_IFACE, 5, CAPOS_OP_CALL, 2, flags), word));
	}
	/* Then by ring: the entry changes too, once it is submitted. */
	for (uint64_t i = 0; i < calls / 4; i++) {
		static uint8_t bytes[CAPOS_MESSAGE_BYTES];
		struct capos_sqe entry =
			ring_entry(i, port, CAPOS_CALL_WORD(PROOF_IFACE, 5, CAPOS_OP_CALL, 2, CAPOS_CALL_MESSAGE),
				   CAPOS_NEVER, i, ~i, (uintptr_t)bytes, 1 + i % CAPOS_MESSAGE_BYTES);
		struct capos_cqe completion;

		if (!ring_submit(&entry) || !result_ok(ring_wait(&completion, CAPOS_NEVER)))
			break;
		done += CAPOS_RESULT_STATUS(completion.result) == CAPOS_STATUS_OK;
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	self_page()->accept_caps = 0;
	(void)endpoint_call(port, PROOF_IFACE, PROOF_STOP, NULL, 0, NULL, 0);
	event_wait(&scribblers_ended);
	return done;
}

/* Changes entries that were submitted and are not yet consumed: lengths and addresses of messages. */
static uint64_t scribble_ring(void *argument)
{
	struct capos_thread_page *page;
	uint64_t turn = 0;

	(void)argument;
	while (!(page = __atomic_load_n(&sender_page, __ATOMIC_ACQUIRE)))
		yield();
	for (; !__atomic_load_n(&stop, __ATOMIC_RELAXED); turn++) {
		struct capos_sqe *entry = &page->sq[turn % CAPOS_SQ_ENTRIES];

		__atomic_store_n(&entry->word[3], turn % 3 ? 512 : turn % 2 ? 1ull << 40 : 8, __ATOMIC_RELAXED);
		if (turn % 64 == 0)
			__atomic_store_n(&entry->word[2], 0xffffffff80000000, __ATOMIC_RELAXED);
		if (startup()->cpu_count == 1 && turn % 8 == 0)
			yield();
	}
	return turn;
}

static unsigned wrong;

static void check(bool good, const char *what)
{
	if (!good && wrong++ == 0)
		tap_note("wrong: %s", what);
}

static void check_message(const struct capos_regs *regs)
{
	struct capos_thread_page *page = self_page();
	uint32_t detail = result_of(regs->call).detail;
	unsigned bytes = CAPOS_RECV_BYTES(detail), caps = CAPOS_RECV_CAPS(detail);
	uint64_t own = 0, bits = 0;

	check(bytes <= CAPOS_MESSAGE_BYTES && page->recv_bytes == bytes, "length");
	check(caps <= CAPOS_MESSAGE_CAPS && page->recv_caps == caps, "number of capabilities");
	check(CAPOS_RECV_WORDS(detail) == 2 && regs->word[1] == ~regs->word[0], "words");
	for (unsigned i = bytes; i < CAPOS_MESSAGE_BYTES; i++)
		own += page->message[i] == OWN_BYTE;
	check(own == CAPOS_MESSAGE_BYTES - bytes, "bytes behind the message");
	for (unsigned i = 0; i < caps && i < CAPOS_MESSAGE_CAPS; i++) {
		capos_handle h = page->recv_cap[i];

		check(result_ok(notification_signal(h, 1)), "a capability that is not the one");
		drop(h);
	}
	(void)notification_poll(secret_bell, &bits);
	check(bits == 0, "another object");
	if (caps) {
		(void)notification_poll(bell, &bits);
		check(bits == 1, "the object");
	}
}

void test_messages(void)
{
	struct usage before = usage_now();
	struct thread sender, scribbler[2];
	uint64_t calls = on_simulator() ? CALLS_SIM : CALLS_QEMU, received = 0, sent = 0, turns = 0, code = 0;
	uint32_t other = startup()->cpu_count > 1;

	insist(factory_endpoint(known.factory, PROOF_IFACE, &port));
	insist(factory_notification(known.factory, &bell));
	insist(factory_notification(known.factory, &secret_bell));
	insist(thread_start_on(&scribbler[0], scribble, NULL, other, 0));
	insist(thread_start_on(&scribbler[1], scribble_ring, NULL, other, 0));
	insist(thread_start_on(&sender, send, (void *)(uintptr_t)calls, 0, 0));
	for (;;) {
		struct capos_regs regs = { .call = CAPOS_CALL_WORD(0, 0, CAPOS_OP_RECV, 1, 0),
					   .handle = port,
					   .word = { CAPOS_NEVER } };

		memset(self_page()->message, (int)OWN_BYTE, CAPOS_MESSAGE_BYTES);
		self_page()->accept_caps = CAPOS_MESSAGE_CAPS;
		capos_syscall(&regs);
		if (!result_ok(result_of(regs.call)) && result_of(regs.call).iresult != 5)
			break;
		if (result_of(regs.call).iresult == PROOF_STOP)
			break;
		received++;
		check_message(&regs);
		if (!result_ok(endpoint_reply(NULL)))
			break;
	}
	self_page()->accept_caps = 0;
	(void)endpoint_reply(NULL);
	for (unsigned i = 0; i < 2; i++) {
		must(thread_finish(&scribbler[i], CAPOS_NEVER, &code));
		turns += code;
	}
	event_set(&scribblers_ended);
	must(thread_finish(&sender, CAPOS_NEVER, &sent));
	tap_ok(wrong == 0 && received == sent && received > calls / 8,
	       "%lu of %lu calls from a page that changes all the time (%lu times) arrived, each whole",
	       (unsigned long)received, (unsigned long)(calls + calls / 4), (unsigned long)turns);
	destroy(port);
	destroy(bell);
	destroy(secret_bell);
	tap_returns(before, "refused and accepted ones left nothing");
}
