/* SPDX-License-Identifier: MIT */
/*
 * Mutations that keep a case's structure: whole actions are inserted, dropped, copied, moved and exchanged, fields get values
 * of their kind, two cases are woven together. Now and then libFuzzer's own mutator changes bytes, with what it learnt from
 * the comparisons.
 */
#include <string.h>

#include <kernel/types.h>

#include "fuzz.h"

size_t LLVMFuzzerMutate(u8 *data, size_t bytes, size_t bytes_max);
size_t LLVMFuzzerCustomMutator(u8 *data, size_t bytes, size_t bytes_max, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const u8 *a, size_t a_bytes, const u8 *b, size_t b_bytes, u8 *out, size_t out_max,
				 unsigned seed);

static u64 random_state;

static u64 random_below(u64 n)
{
	u64 z = random_state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return (z ^ (z >> 31)) % n;
}

static u8 random_byte(void)
{
	return (u8)random_below(256);
}

static u8 some_kind(void)
{
	static const u8 kinds[] = { KIND_CALL, KIND_CALL,     KIND_CALL,     KIND_CALL,	    KIND_CALL,	KIND_CALL,
				    KIND_RING, KIND_RING,     KIND_RING,     KIND_ENTER,    KIND_ENTER, KIND_REAP,
				    KIND_RAW,  KIND_ENDPOINT, KIND_ENDPOINT, KIND_ENDPOINT, KIND_PAGE,	KIND_PAGE,
				    KIND_PAGE, KIND_TOUCH,    KIND_THREAD,   KIND_YIELD };

	return random_below(400) == 0 ? (u8)KIND_TRAP : kinds[random_below(ARRAY_COUNT(kinds))];
}

static u8 some_handle(void)
{
	u8 number = (u8)random_below(64);

	return (u8)(number | (random_below(4) != 0 ? HANDLE_RIGHT_TYPE : random_below(4)) << 6);
}

static u8 some_argument(void)
{
	return random_below(4) != 0 ? (u8)random_below(64) : random_byte();
}

static struct case_action some_action(void)
{
	struct case_action a = {
		.actor = (u8)random_below(CASE_PROCESSES * CASE_WORKERS),
		.kind = some_kind(),
		.method = random_byte(),
		.handle = some_handle(),
		.message = random_byte(),
		.flags = random_below(4) != 0 ? 0 : (u8)(1u << random_below(8)),
	};

	for (u32 i = 0; i < CASE_ARGUMENTS; i++)
		a.argument[i] = some_argument();
	for (u32 i = 0; i < sizeof(a.seed); i++)
		a.seed[i] = random_byte();
	return a;
}

static void change_field(struct case_action *a)
{
	switch (random_below(8)) {
	case 0:
		a->actor = (u8)random_below(CASE_PROCESSES * CASE_WORKERS);
		break;
	case 1:
		a->kind = some_kind();
		break;
	case 2:
		a->method = random_byte();
		break;
	case 3:
		a->handle = some_handle();
		break;
	case 4:
		a->flags ^= (u8)(1u << random_below(8));
		break;
	case 5:
		a->message = random_byte();
		break;
	case 6:
		a->seed[random_below(sizeof(a->seed))] = random_byte();
		break;
	default:
		a->argument[random_below(CASE_ARGUMENTS)] = some_argument();
		break;
	}
}

static void change_header(struct case_header *header)
{
	switch (random_below(4)) {
	case 0:
		header->cpus = (u8)random_below(8);
		break;
	case 1:
		header->faults = (u8)random_below(4);
		break;
	case 2:
		header->patience = (u8)random_below(8);
		break;
	default:
		header->seed[random_below(2)] = random_byte();
		break;
	}
}

static void move(struct case_action *to, const struct case_action *from, size_t count)
{
	memmove(to, from, count * sizeof(*to));
}

/* One change of the list of actions; returns the new count. */
static size_t change_list(struct case_action *list, size_t count, size_t count_max)
{
	size_t at = random_below(count + 1), many = 1 + random_below(16);

	switch (count == 0 ? 0 : random_below(6)) {
	case 0: /* new ones */
	case 1:
		many = MIN(many, count_max - count);
		move(list + at + many, list + at, count - at);
		for (size_t i = 0; i < many; i++)
			list[at + i] = some_action();
		return count + many;
	case 2: /* away */
		at = random_below(count);
		many = MIN(many, count - at);
		move(list + at, list + at + many, count - at - many);
		return count - many;
	case 3: { /* a copy of some, perhaps for another worker */
		size_t from = random_below(count);
		u8 other = (u8)random_below(CASE_PROCESSES * CASE_WORKERS);
		struct case_action some[16];
		many = MIN(MIN(many, count - from), count_max - count);
		memcpy(some, list + from, many * sizeof(some[0]));
		move(list + at + many, list + at, count - at);
		for (size_t i = 0; i < many; i++) {
			some[i].actor = (at & 1) != 0 ? other : some[i].actor;
			list[at + i] = some[i];
		}
		return count + many;
	}
	case 4: { /* two change places */
		size_t a = random_below(count), b = random_below(count);
		struct case_action kept = list[a];
		list[a] = list[b];
		list[b] = kept;
		return count;
	}
	default:
		change_field(&list[random_below(count)]);
		return count;
	}
}

size_t LLVMFuzzerCustomMutator(u8 *data, size_t bytes, size_t bytes_max, unsigned seed)
{
	struct case_header *header = (void *)data;
	struct case_action *list = (void *)(data + sizeof(*header));
	size_t count_max;

	random_state = seed;
	bytes_max = MIN(bytes_max, FUZZ_CASE_BYTES_MAX);
	if (bytes_max < sizeof(*header) + sizeof(*list))
		return bytes;
	if (bytes < sizeof(*header)) {
		memset(data, 0, sizeof(*header));
		bytes = sizeof(*header);
	}
	if (random_below(16) == 0)
		return MAX(LLVMFuzzerMutate(data, bytes, bytes_max), sizeof(*header));
	count_max = (bytes_max - sizeof(*header)) / sizeof(*list);
	size_t count = MIN((bytes - sizeof(*header)) / sizeof(*list), count_max);
	if (count == 0 || random_below(64) == 0) { /* something new */
		count = 1 + random_below(count_max);
		for (size_t i = 0; i < count; i++)
			list[i] = some_action();
	}
	for (u64 changes = 1 + random_below(6); changes > 0; changes--) {
		if (random_below(12) == 0)
			change_header(header);
		else if (count > 0 && random_below(2) == 0)
			change_field(&list[random_below(count)]);
		else
			count = change_list(list, count, count_max);
	}
	return sizeof(*header) + count * sizeof(*list);
}

/* Actions of both in turns, in their order. */
size_t LLVMFuzzerCustomCrossOver(const u8 *a, size_t a_bytes, const u8 *b, size_t b_bytes, u8 *out, size_t out_max,
				 unsigned seed)
{
	const size_t head = sizeof(struct case_header), one = sizeof(struct case_action);
	size_t a_at = head, b_at = head, at = head;

	random_state = seed;
	out_max = MIN(out_max, FUZZ_CASE_BYTES_MAX);
	if (a_bytes < head || b_bytes < head || out_max < head)
		return 0;
	memcpy(out, random_below(2) == 0 ? a : b, head);
	while (at + one <= out_max && (a_at + one <= a_bytes || b_at + one <= b_bytes)) {
		bool from_a = random_below(2) == 0;
		size_t *from = from_a ? &a_at : &b_at;
		for (u64 run = 1 + random_below(8);
		     run > 0 && *from + one <= (from_a ? a_bytes : b_bytes) && at + one <= out_max; run--) {
			memcpy(out + at, (from_a ? a : b) + *from, one);
			*from += one;
			at += one;
		}
	}
	return at;
}
