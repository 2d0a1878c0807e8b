/* SPDX-License-Identifier: MIT */
/*
 * What holds for every method of capos/iface.h, taken from its lists: each kind of bad handle, of missing right, of
 * wrong size and of unknown number has its own status, and none changes what the process uses. A point for each method and
 * way in: these are the errors of CAPOS_ERRORS_EVERY.
 */
#include "errors.h"

struct method_row {
	const char *iface_name, *name;
	uint32_t iface;
	uint16_t method, rights, bytes_in, bytes_out;
	uint8_t words_in;
};

#define M(i_, m_, id_, rights_, words_in_, bytes_in_, words_out_, bytes_out_)                                        \
	{ #i_, #m_, CAPOS_IFACE_##i_, (id_), (rights_), (bytes_in_), (bytes_out_), (words_in_) },
#define X(name, id) CAPOS_METHODS_##name(M)
static const struct method_row rows[] = { CAPOS_INTERFACES(X) };
#undef X
#undef M

static bool all_passed;
static enum capos_way way;
/* The message of ring entries. */
static const uint8_t message_bytes[CAPOS_MESSAGE_BYTES + 1];
static const void *message = message_bytes;

static struct capos_result by_ring(capos_handle h, uint64_t call)
{
	struct capos_sqe entry = ring_entry(1, h, call, 0, 0, 0, (uintptr_t)message, self_page()->send_bytes);
	struct capos_cqe done;

	must(ring_submit_wait(&entry));
	must(ring_wait(&done, now_ns() + 5 * SECOND));
	return result_of(done.result);
}

static struct capos_result raw(const struct method_row *row, capos_handle h, uint32_t iface, unsigned method,
			       unsigned op, unsigned words, unsigned flags)
{
	uint64_t word[CAPOS_WORDS] = { 0 };
	uint64_t call = CAPOS_CALL_WORD(iface ? iface : row->iface, method, op, words, flags);

	return way == CAPOS_WAY_CALL ? call_words(h, call, word) : by_ring(h, call);
}

static void want(const struct method_row *row, struct capos_result r, unsigned status, unsigned other,
		 const char *what)
{
	if (IS(r, OK) || (!is_status(r, status) && !is_status(r, other))) {
		tap_note("%s.%s, %s: status %s, expected %s", row->iface_name, row->name, what, status_name(r.status),
			 status_name(status));
		all_passed = false;
	}
}
#define WANT(r, status, what) want(row, r, CAPOS_STATUS_##status, CAPOS_STATUS_##status, what)
#define WANT_EITHER(r, one, other, what) want(row, r, CAPOS_STATUS_##one, CAPOS_STATUS_##other, what)

/* The method with everything right but the handle. */
static struct capos_result by_handle(const struct method_row *row, capos_handle h)
{
	self_page()->send_bytes = 1;
	return raw(row, h, 0, row->method, CAPOS_OP_CALL, row->words_in, row->bytes_in ? CAPOS_CALL_MESSAGE : 0);
}

static void try_handles(const struct method_row *row, capos_handle good, capos_handle stale)
{
	capos_handle other =
		sample[row->iface == CAPOS_IFACE_notification ? CAPOS_IFACE_memory_object : CAPOS_IFACE_notification];
	uint32_t generation = CAPOS_HANDLE_GENERATION(good), slot = CAPOS_HANDLE_SLOT(good);

	WANT(by_handle(row, 0), INVALID_HANDLE, "handle 0");
	WANT(by_handle(row, FORGED_HANDLE), INVALID_HANDLE, "a forged slot");
	WANT(by_handle(row, CAPOS_HANDLE(~0u, generation)), INVALID_HANDLE, "the last slot");
	WANT_EITHER(by_handle(row, CAPOS_HANDLE(slot, 0)), INVALID_HANDLE, STALE_HANDLE, "generation 0");
	WANT_EITHER(by_handle(row, CAPOS_HANDLE(slot, generation + 2)), STALE_HANDLE, INVALID_HANDLE,
		    "a later generation");
	WANT_EITHER(by_handle(row, CAPOS_HANDLE(slot, generation + 1)), STALE_HANDLE, INVALID_HANDLE,
		    "an even generation");
	WANT(by_handle(row, stale), STALE_HANDLE, "a released handle");
	WANT(by_handle(row, other), WRONG_INTERFACE, "a handle of another type");
}

static void try_sizes(const struct method_row *row, capos_handle good)
{
	unsigned with_message = row->bytes_in ? CAPOS_CALL_MESSAGE : 0;

	self_page()->send_bytes = 1;
	for (unsigned words = 0; words < 16; words++)
		if (words != row->words_in)
			WANT(raw(row, good, 0, row->method, CAPOS_OP_CALL, words, with_message), BAD_SIZE, "words");
	WANT(raw(row, good, 0, row->method, CAPOS_OP_CALL, row->words_in, with_message ^ CAPOS_CALL_MESSAGE),
	     BAD_SIZE, with_message ? "no message" : "a message");
	if (with_message) {
		self_page()->send_bytes = 0;
		WANT(raw(row, good, 0, row->method, CAPOS_OP_CALL, row->words_in, with_message), BAD_SIZE,
		     "an empty message");
		self_page()->send_bytes = row->bytes_in + 1u;
		WANT(raw(row, good, 0, row->method, CAPOS_OP_CALL, row->words_in, with_message), BAD_SIZE,
		     "a message too long");
		self_page()->send_bytes = ~0u;
		WANT(raw(row, good, 0, row->method, CAPOS_OP_CALL, row->words_in, with_message), BAD_SIZE,
		     "4 GiB of message");
		self_page()->send_bytes = 1;
	}
	self_page()->send_caps = 1;
	self_page()->send_cap[0] = sample[CAPOS_IFACE_notification];
	WANT(raw(row, good, 0, row->method, CAPOS_OP_CALL, row->words_in, with_message | CAPOS_CALL_CAPS), BAD_SIZE,
	     "capabilities");
	self_page()->send_caps = 0;
}

static void try_numbers(const struct method_row *row, capos_handle good)
{
	unsigned with_message = row->bytes_in ? CAPOS_CALL_MESSAGE : 0;
	const unsigned flags[] = { CAPOS_CALL_EXCEPTION, CAPOS_CALL_TOKEN, 16, 32, 64, 128, 0xf0 };

	for (size_t i = 0; i < COUNT_OF(flags); i++)
		WANT(raw(row, good, 0, row->method, CAPOS_OP_CALL, row->words_in, with_message | flags[i]),
		     BAD_ARGUMENT, "an unknown flag");
	for (unsigned op = CAPOS_OP_YIELD + 1; op < 16; op++)
		WANT(raw(row, good, 0, row->method, op, row->words_in, 0), UNKNOWN_METHOD, "an unknown op");
	WANT(raw(row, good, 0, 0x7fff, CAPOS_OP_CALL, row->words_in, 0), UNKNOWN_METHOD, "an unknown method");
	WANT(raw(row, good, 0, 0xffff, CAPOS_OP_CALL, row->words_in, 0), UNKNOWN_METHOD, "method 65535");
	if (row->iface != CAPOS_IFACE_endpoint) {
		WANT(raw(row, good, PROOF_IFACE, row->method, CAPOS_OP_CALL, row->words_in, with_message),
		     WRONG_INTERFACE, "a user's interface");
		WANT(raw(row, good, CAPOS_IFACE_COUNT, row->method, CAPOS_OP_CALL, row->words_in, with_message),
		     WRONG_INTERFACE, "an unknown interface");
	}
}

static void try_rights(const struct method_row *row, capos_handle good)
{
	uint32_t rights = 0;
	capos_handle weak;

	if (!row->rights || !result_ok(cap_table_info(known.caps, good, NULL, &rights, NULL)))
		return;
	if ((rights & row->rights) != row->rights) {
		WANT(by_handle(row, good), MISSING_RIGHTS, "a handle that never had the right");
		return;
	}
	weak = with_rights(good, rights & ~(uint32_t)row->rights);
	if (!weak) {
		if (rights & CAPOS_RIGHT_GRANT) {
			tap_note("%s.%s: no copy with fewer rights", row->iface_name, row->name);
			all_passed = false;
		}
		return;
	}
	WANT(by_handle(row, weak), MISSING_RIGHTS, "a handle without the right");
	drop(weak);
}

static void try_revoked(const struct method_row *row, capos_handle good)
{
	capos_handle middle = 0, leaf = 0;

	if (!result_ok(insist_on(cap_table_derive(known.caps, good, CAPOS_RIGHT_GRANT | row->rights, 0, &middle))))
		return; /* no right to derive */
	if (result_ok(insist_on(cap_table_derive(known.caps, middle, CAPOS_RIGHT_GRANT | row->rights, 0, &leaf))) &&
	    result_ok(cap_table_revoke(known.caps, middle)))
		WANT(by_handle(row, leaf), REVOKED, "a revoked handle");
	else
		all_passed = false;
	drop(leaf);
	drop(middle);
}

/* What only entries can have wrong. */
static void try_entries(const struct method_row *row, capos_handle good)
{
	struct capos_sqe entry = ring_entry(2, sample[CAPOS_IFACE_endpoint],
					    CAPOS_CALL_WORD(0, 0, CAPOS_OP_RECV, 0, 0), CAPOS_NEVER, 0, 0, 0, 0);
	struct capos_cqe done;

	self_page()->send_bytes = 1;
	if (row->bytes_in != 0) {
		message = (const void *)BAD_KERNEL;
		WANT(by_handle(row, good), BAD_ADDRESS, "a message in the kernel");
		message = message_bytes;
	}
	if (row->bytes_out == 0)
		return;
	/* A receive has the message area, until it has its call. */
	must(ring_submit_wait(&entry));
	must(ring_enter(0, 0));
	WANT(by_handle(row, good), MESSAGE_BUSY, "the message area in use");
	entry = ring_entry(3, sample[CAPOS_IFACE_endpoint], CAPOS_CALL_WORD(PROOF_IFACE, 0, CAPOS_OP_CALL, 0, 0),
			   CAPOS_NEVER, 0, 0, 0, 0);
	must(ring_submit_wait(&entry));
	must(ring_wait(&done, CAPOS_NEVER));
	must(reply_by_token(sample[CAPOS_IFACE_endpoint], self_page()->recv_token, 0));
	must(ring_wait(&done, CAPOS_NEVER));
}

static void try_method(const struct method_row *row, capos_handle stale)
{
	capos_handle good = sample[row->iface];
	struct usage before = usage_now();

	all_passed = true;
	if (way == CAPOS_WAY_RING && row->words_in > 4) {
		WANT(by_handle(row, good), BAD_SIZE, "more words than an entry has");
	} else {
		try_handles(row, good, stale);
		try_sizes(row, good);
		try_numbers(row, good);
		try_rights(row, good);
		try_revoked(row, good);
		if (way == CAPOS_WAY_RING)
			try_entries(row, good);
	}
	if (!usage_is(before)) {
		usage_note(before);
		all_passed = false;
	}
	tap_ok(all_passed, "%s.%s refuses bad handles, rights, sizes and numbers by %s, and changes nothing",
	       row->iface_name, row->name, way == CAPOS_WAY_CALL ? "call" : "ring");
}

void test_generic(void)
{
	capos_handle stale = stale_handle();

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (!sample[rows[i].iface]) {
			tap_skip("%s.%s: no such device here", rows[i].iface_name, rows[i].name);
			continue;
		}
		way = CAPOS_WAY_CALL;
		try_method(&rows[i], stale);
		way = CAPOS_WAY_RING;
		try_method(&rows[i], stale);
	}
}
