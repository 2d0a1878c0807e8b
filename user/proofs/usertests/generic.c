/* SPDX-License-Identifier: MIT */
/*
 * What holds for every method of capos/iface.h, taken from its lists: each kind of bad handle, of missing right, of
 * wrong size and of unknown number has its own status, and none changes what the process uses. One point per method.
 */
#include "usertests.h"

struct method_row {
	const char *iface_name, *name;
	uint32_t iface;
	uint16_t method, rights, bytes_in;
	uint8_t words_in;
};

#define M(i_, m_, id_, rights_, words_in_, bytes_in_, words_out_, bytes_out_)                                        \
	{ #i_, #m_, CAPOS_IFACE_##i_, (id_), (rights_), (bytes_in_), (words_in_) },
#define X(name, id) CAPOS_METHODS_##name(M)
static const struct method_row rows[] = { CAPOS_INTERFACES(X) };
#undef X
#undef M

static bool all_passed;

static struct capos_result raw(const struct method_row *row, capos_handle h, uint32_t iface, unsigned method,
			       unsigned op, unsigned words, unsigned flags)
{
	uint64_t word[CAPOS_WORDS] = { 0 };

	return call_words(h, CAPOS_CALL_WORD(iface ? iface : row->iface, method, op, words, flags), word);
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
	unsigned message = row->bytes_in ? CAPOS_CALL_MESSAGE : 0;

	self_page()->send_bytes = 1;
	for (unsigned words = 0; words < 16; words++)
		if (words != row->words_in)
			WANT(raw(row, good, 0, row->method, CAPOS_OP_CALL, words, message), BAD_SIZE, "words");
	WANT(raw(row, good, 0, row->method, CAPOS_OP_CALL, row->words_in, message ^ CAPOS_CALL_MESSAGE), BAD_SIZE,
	     message ? "no message" : "a message");
	if (message) {
		self_page()->send_bytes = 0;
		WANT(raw(row, good, 0, row->method, CAPOS_OP_CALL, row->words_in, message), BAD_SIZE,
		     "an empty message");
		self_page()->send_bytes = row->bytes_in + 1u;
		WANT(raw(row, good, 0, row->method, CAPOS_OP_CALL, row->words_in, message), BAD_SIZE,
		     "a message too long");
		self_page()->send_bytes = ~0u;
		WANT(raw(row, good, 0, row->method, CAPOS_OP_CALL, row->words_in, message), BAD_SIZE,
		     "4 GiB of message");
		self_page()->send_bytes = 1;
	}
	self_page()->send_caps = 1;
	self_page()->send_cap[0] = sample[CAPOS_IFACE_notification];
	WANT(raw(row, good, 0, row->method, CAPOS_OP_CALL, row->words_in, message | CAPOS_CALL_CAPS), BAD_SIZE,
	     "capabilities");
	self_page()->send_caps = 0;
}

static void try_numbers(const struct method_row *row, capos_handle good)
{
	unsigned message = row->bytes_in ? CAPOS_CALL_MESSAGE : 0;
	const unsigned flags[] = { CAPOS_CALL_EXCEPTION, CAPOS_CALL_TOKEN, 16, 32, 64, 128, 0xf0 };

	for (size_t i = 0; i < COUNT_OF(flags); i++)
		WANT(raw(row, good, 0, row->method, CAPOS_OP_CALL, row->words_in, message | flags[i]), BAD_ARGUMENT,
		     "an unknown flag");
	for (unsigned op = CAPOS_OP_YIELD + 1; op < 16; op++)
		WANT(raw(row, good, 0, row->method, op, row->words_in, 0), UNKNOWN_METHOD, "an unknown op");
	WANT(raw(row, good, 0, 0x7fff, CAPOS_OP_CALL, row->words_in, 0), UNKNOWN_METHOD, "an unknown method");
	WANT(raw(row, good, 0, 0xffff, CAPOS_OP_CALL, row->words_in, 0), UNKNOWN_METHOD, "method 65535");
	if (row->iface != CAPOS_IFACE_endpoint) {
		WANT(raw(row, good, PROOF_IFACE, row->method, CAPOS_OP_CALL, row->words_in, message), WRONG_INTERFACE,
		     "a user's interface");
		WANT(raw(row, good, CAPOS_IFACE_COUNT, row->method, CAPOS_OP_CALL, row->words_in, message),
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

void test_generic(void)
{
	capos_handle stale = stale_handle();

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct method_row *row = &rows[i];
		struct usage before = usage_now();

		if (!sample[row->iface]) {
			tap_skip("%s.%s: no such device here", row->iface_name, row->name);
			continue;
		}
		all_passed = true;
		try_handles(row, sample[row->iface], stale);
		try_sizes(row, sample[row->iface]);
		try_numbers(row, sample[row->iface]);
		try_rights(row, sample[row->iface]);
		try_revoked(row, sample[row->iface]);
		if (!usage_is(before)) {
			usage_note(before);
			all_passed = false;
		}
		tap_ok(all_passed, "%s.%s refuses bad handles, rights, sizes and numbers, and changes nothing",
		       row->iface_name, row->name);
	}
}
