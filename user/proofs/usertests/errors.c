/* SPDX-License-Identifier: MIT */
/* The two ways in which attempts are made, what is compared around them, and which errors have been produced. */
#include "errors.h"

#include "elsewhere.h"

struct error {
	const char *iface_name, *method_name;
	uint32_t iface, detail;
	uint16_t method, status, iresult;
	uint8_t ways;
};

#define E(i_, m_, s_, d_, w_, ...)                                                                                   \
	{ #i_, #m_, CAPOS_IFACE_##i_, (d_), CAPOS_METHOD_##i_##_##m_, CAPOS_STATUS_##s_, 0, CAPOS_WAY_##w_ },
#define R(i_, m_, r_, d_, w_, ...)                                                                                   \
	{ #i_, #m_, CAPOS_IFACE_##i_, (d_), CAPOS_METHOD_##i_##_##m_, CAPOS_STATUS_OK, (r_), CAPOS_WAY_##w_ },
static const struct error errors[] = { CAPOS_ERRORS(E, R) };
#undef E
#undef R
static uint8_t produced[COUNT_OF(errors)]; /* bits of enum capos_way */
bool memory_was_gone;

#define M(i_, m_, id_, rights_, words_in_, ...) { CAPOS_IFACE_##i_, (id_), (words_in_) },
#define X(name, id) CAPOS_METHODS_##name(M)
static const struct {
	uint32_t iface;
	uint16_t method;
	uint8_t words;
} methods[] = { CAPOS_INTERFACES(X) };
#undef X
#undef M

static int find(const struct attempt *attempt)
{
	for (unsigned i = 0; i < COUNT_OF(errors); i++) {
		const struct error *error = &errors[i];

		if (error->iface == attempt->iface && error->method == attempt->method &&
		    error->status == attempt->status &&
		    (error->iresult == attempt->iresult || error->iface == CAPOS_IFACE_op) &&
		    (error->detail == attempt->detail || error->detail == CAPOS_DETAIL_ANY))
			return (int)i;
	}
	return -1;
}

/* --- what must not change ----------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, const void *bytes, size_t n)
{
	const uint8_t *byte = bytes;

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ byte[i]) * 0x100000001b3ull;
	return hash;
}

struct world {
	struct usage usage;
	uint64_t mapped, regions;
	uint64_t table; /* all capabilities, with rights and badges */
};

static struct world look(void)
{
	struct capos_cap_record records[CAP_RECORDS_MAX];
	struct world world = { .usage = usage_now() };
	uint64_t tables = 0, count = 0, next = 0;

	(void)address_space_info(known.space, &world.mapped, &tables, &world.regions);
	do {
		if (!result_ok(cap_table_list(known.caps, next, records, &count, &next)))
			panic("the table cannot be listed");
		world.table = mix(world.table, records, count * sizeof(records[0]));
	} while (next != 0);
	return world;
}

static bool same(const struct world *a, const struct world *b)
{
	return a->usage.memory == b->usage.memory && a->usage.slots == b->usage.slots &&
	       a->usage.threads == b->usage.threads && a->mapped == b->mapped && a->regions == b->regions &&
	       a->table == b->table;
}

/* --- the two ways ------------------------------------------------------------------------------------------------------- */

static uint64_t call_word(const struct attempt *attempt)
{
	unsigned flags = (attempt->bytes != 0 ? CAPOS_CALL_MESSAGE : 0) | (attempt->caps != 0 ? CAPOS_CALL_CAPS : 0);

	if (attempt->call != 0)
		return attempt->call | (uint64_t)flags << 56;
	for (unsigned i = 0; i < COUNT_OF(methods); i++)
		if (methods[i].iface == attempt->iface && methods[i].method == attempt->method)
			return CAPOS_CALL_WORD(attempt->iface, attempt->method, CAPOS_OP_CALL, methods[i].words,
					       flags);
	return CAPOS_CALL_WORD(0, 0, attempt->method, 0, flags);
}

/* Everything in the thread page that a call might write, but for the queues. */
static uint64_t page_hash(void)
{
	const struct capos_thread_page *page = self_page();

	return mix(0, &page->send_bytes,
		   offsetof(struct capos_thread_page, sq) - offsetof(struct capos_thread_page, send_bytes));
}

/* Makes the attempt; *clean: neither words nor message area were touched. */
static struct capos_result make(const struct attempt *attempt, enum capos_way way, bool *clean)
{
	struct capos_thread_page *page = self_page();
	struct capos_result r;
	uint64_t word[CAPOS_WORDS], before;

	memcpy(word, attempt->word, sizeof(word));
	page->send_caps = attempt->caps;
	page->send_cap[0] = attempt->cap;
	page->send_bytes = attempt->bytes;
	if (way == CAPOS_WAY_CALL && attempt->message != NULL)
		memcpy(page->message, attempt->message, attempt->bytes);
	before = page_hash();
	if (way == CAPOS_WAY_CALL) {
		r = call_words(attempt->handle, call_word(attempt), word);
		*clean = memcmp(word, attempt->word, sizeof(word)) == 0;
	} else {
		bool message = attempt->bytes != 0;
		struct capos_sqe entry = ring_entry(0x5eed, attempt->handle, call_word(attempt), attempt->deadline_ns,
						    word[0], word[1], message ? (uintptr_t)attempt->message : word[2],
						    message ? attempt->bytes : word[3]);
		struct capos_cqe done = { 0 };

		must(ring_submit_wait(&entry));
		must(ring_wait(&done, now_ns() + 10 * SECOND));
		r = result_of(done.result);
		*clean = done.user_data == 0x5eed && done.word[0] == 0 && done.word[1] == 0;
	}
	*clean = attempt->served || (*clean && page_hash() == before);
	page->send_caps = 0;
	return r;
}

static void attempt_by(const char *file, int line, const struct attempt *attempt, const struct error *error,
		       enum capos_way way, const char *when)
{
	struct world before = look(), after;
	struct capos_result r;
	bool clean, unchanged, as_declared;
	unsigned tries = 0;

	/* Where the simulator lets allocations fail, an attempt that should fail otherwise is made again. */
	do
		r = make(attempt, way, &clean);
	while (r.status == CAPOS_STATUS_NO_MEMORY && attempt->status != CAPOS_STATUS_NO_MEMORY && tries++ < 1000);
	as_declared = r.status == attempt->status && r.iresult == (attempt->iresult | attempt->exception) &&
		      (error->detail == CAPOS_DETAIL_ANY || r.detail == attempt->detail);
	/* What a refused spawn undoes may come back a moment later. */
	unchanged = attempt->served || becomes_true((after = look(), same(&before, &after)));
	if (attempt->iresult != 0)
		tap_ok_at(file, line, as_declared && clean && unchanged, "%s.%s result %u(%u) %s: %s",
			  error->iface_name, error->method_name, attempt->iresult, attempt->detail,
			  way == CAPOS_WAY_CALL ? "call" : "ring", when);
	else
		tap_ok_at(file, line, as_declared && clean && unchanged, "%s.%s %s(%u) %s: %s", error->iface_name,
			  error->method_name, status_name(attempt->status), attempt->detail,
			  way == CAPOS_WAY_CALL ? "call" : "ring", when);
	if (!as_declared)
		tap_note("got status %s, result %u, detail %u", status_name(r.status), r.iresult, r.detail);
	if (!clean)
		tap_note("words or message area have changed");
	if (!unchanged)
		tap_note("memory %lu -> %lu, slots %u -> %u, threads %u -> %u, mapped %lu -> %lu",
			 (unsigned long)before.usage.memory, (unsigned long)after.usage.memory, before.usage.slots,
			 after.usage.slots, before.usage.threads, after.usage.threads, (unsigned long)before.mapped,
			 (unsigned long)after.mapped);
	if (as_declared && clean && unchanged)
		error_produced(attempt, way);
}

void attempt_fails(const char *file, int line, const struct attempt *attempt, unsigned ways, const char *when)
{
	int index = find(attempt);

	if (index < 0) {
		tap_ok_at(file, line, false, "undeclared: %s", when);
		return;
	}
	for (unsigned way = CAPOS_WAY_CALL; way <= CAPOS_WAY_RING; way++)
		if ((ways & errors[index].ways & way) != 0)
			attempt_by(file, line, attempt, &errors[index], way, when);
}

void error_produced(const struct attempt *attempt, enum capos_way way)
{
	int index = find(attempt);

	if (index >= 0)
		produced[index] |= (uint8_t)way;
}

capos_handle revoked_handle(capos_handle good)
{
	capos_handle middle = 0, leaf = 0;
	uint32_t rights = 0;

	must(cap_table_info(known.caps, good, NULL, &rights, NULL));
	insist(cap_table_derive(known.caps, good, rights, 0, &middle));
	insist(cap_table_derive(known.caps, middle, rights, 0, &leaf));
	must(cap_table_revoke(known.caps, middle));
	drop(middle);
	return leaf;
}

/* --- completeness -------------------------------------------------------------------------------------------------------- */

#define X(i_, m_, s_, r_, d_, w_, where)                                                                             \
	{ CAPOS_IFACE_##i_, CAPOS_METHOD_##i_##_##m_, s_, r_, (d_), 0, .caps = CAPOS_WAY_##w_ },
static const struct attempt elsewhere[] = { ERRORS_ELSEWHERE(X) };
#undef X

/* After all groups: NO_MEMORY where the memory was taken away, everything else where it was not. */
void test_errors(void)
{
	unsigned count = 0, missing = 0;

	for (unsigned i = 0; i < COUNT_OF(elsewhere); i++)
		error_produced(&elsewhere[i], elsewhere[i].caps);
	for (unsigned i = 0; i < COUNT_OF(errors); i++) {
		if ((errors[i].status == CAPOS_STATUS_NO_MEMORY) != memory_was_gone)
			continue;
		count++;
		if (produced[i] == errors[i].ways)
			continue;
		missing++;
		tap_note("not produced: %s.%s %s result %u detail %u, ways %u of %u", errors[i].iface_name,
			 errors[i].method_name, status_name(errors[i].status), errors[i].iresult, errors[i].detail,
			 produced[i], errors[i].ways);
	}
	tap_ok(missing == 0, "each of %u declared errors was produced", count);
}
