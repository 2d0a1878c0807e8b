/* SPDX-License-Identifier: MIT */
/*
 * run-channel: messages between threads and between processes arrive once and in order; deadlines; an end that writes
 * what it likes into the memory, and one that is killed.
 */
#include "proof.h"

#define SENDERS 3u
#define RECEIVERS 3u
#define PLACES 4u
#define PAGES 2ull
#define LAST ~0ull /* ends a receiver */

struct note {
	uint64_t sender, number, check;
};

static unsigned rounds; /* messages of a sender */
static struct channel channel, answers;
static uint64_t sum_sent, sum_received, out_of_order;

static struct note note_of(uint64_t sender, uint64_t number)
{
	return (struct note){ sender, number, sender * 1000003 + number };
}

static void fail(void)
{
	__atomic_add_fetch(&out_of_order, 1, __ATOMIC_RELAXED);
}

static void send_notes(const struct channel *to, uint64_t sender)
{
	for (uint64_t i = 0; i < rounds; i++) {
		struct note note = note_of(sender, i);

		if (channel_send(to, &note, sizeof(note), CHANNEL_NEVER) != CHANNEL_OK)
			fail();
		__atomic_add_fetch(&sum_sent, note.check, __ATOMIC_RELAXED);
	}
}

/* Until LAST comes. Of one sender the numbers grow. */
static void receive_notes(const struct channel *from)
{
	uint64_t next[SENDERS] = { 0 };
	struct note note;
	uint32_t bytes;

	while (channel_receive(from, &note, &bytes, CHANNEL_NEVER) == CHANNEL_OK && note.sender != LAST) {
		if (bytes != sizeof(note) || note.sender >= SENDERS || note.number < next[note.sender] ||
		    note.check != note_of(note.sender, note.number).check) {
			fail();
			continue;
		}
		next[note.sender] = note.number + 1;
		__atomic_add_fetch(&sum_received, note.check, __ATOMIC_RELAXED);
	}
}

static void send_last(const struct channel *to, unsigned count)
{
	struct note last = { .sender = LAST };

	for (unsigned i = 0; i < count; i++)
		if (channel_send(to, &last, sizeof(last), CHANNEL_NEVER) != CHANNEL_OK)
			fail();
}

static uint64_t send_or_receive(void *argument)
{
	uint64_t number = (uintptr_t)argument;

	if (number < SENDERS)
		send_notes(&channel, number);
	else
		receive_notes(&channel);
	return 0;
}

static bool sides_are_at_rest(const struct channel *at)
{
	return at->memory->sender_waiters == 0 && at->memory->receiver_waiters == 0;
}

static void many_to_many(void)
{
	struct thread threads[SENDERS + RECEIVERS];

	for (unsigned i = 0; i < SENDERS + RECEIVERS; i++)
		insist(thread_start_on(&threads[i], send_or_receive, (void *)(uintptr_t)i,
				       i % 2 ? CAPOS_CPU_ANY : i % startup()->cpu_count, 0));
	for (unsigned i = 0; i < SENDERS; i++)
		must(thread_finish(&threads[i], CAPOS_NEVER, NULL));
	send_last(&channel, RECEIVERS);
	for (unsigned i = SENDERS; i < SENDERS + RECEIVERS; i++)
		must(thread_finish(&threads[i], CAPOS_NEVER, NULL));
	tap_ok(out_of_order == 0 && sum_sent == sum_received && sides_are_at_rest(&channel),
	       "%u senders to %u receivers by %u places: every message once and in order", SENDERS, RECEIVERS,
	       PLACES);
}

static void deadlines(void)
{
	struct note note = note_of(0, 0);
	bool early = false, right = true;
	uint32_t bytes;

	for (unsigned i = 0; i < 10; i++) {
		uint64_t deadline = now_ns() + i * MS / 4;

		right &= channel_receive(&channel, &note, &bytes, deadline) == CHANNEL_TIMED_OUT;
		early |= now_ns() < deadline;
	}
	for (unsigned i = 0; i < PLACES; i++)
		right &= channel_send(&channel, &note, sizeof(note), 0) == CHANNEL_OK;
	right &= channel_send(&channel, &note, sizeof(note), 0) == CHANNEL_WOULD_BLOCK;
	for (unsigned i = 0; i < 10; i++) {
		uint64_t deadline = now_ns() + i * MS / 4;

		right &= channel_send(&channel, &note, sizeof(note), deadline) == CHANNEL_TIMED_OUT;
		early |= now_ns() < deadline;
	}
	for (unsigned i = 0; i < PLACES; i++)
		right &= channel_receive(&channel, &note, &bytes, 0) == CHANNEL_OK;
	right &= channel_receive(&channel, &note, &bytes, 0) == CHANNEL_WOULD_BLOCK;
	tap_ok(right && !early && sides_are_at_rest(&channel),
	       "deadlines on a full and an empty channel, none early");
}

/* --- between processes: `channel` from here, `answers` back ---------------------------------------------------------- */

/* Two channels in two pages. */
static void open_both(void *memory, bool shared)
{
	char *at = memory;

	if (!channel_open(&channel, at, CAPOS_PAGE_BYTES, PLACES, sizeof(struct note), shared) ||
	    !channel_open(&answers, at + CAPOS_PAGE_BYTES, CAPOS_PAGE_BYTES, PLACES, sizeof(struct note), shared))
		panic("channels");
}

static void clear_both(void)
{
	channel_clear(&channel);
	channel_clear(&answers);
}

static capos_handle start_child(const struct block *block, const char *mode)
{
	struct capos_spawn spawn;
	capos_handle process = 0;

	spawn_init(&spawn, "channeltest", mode);
	(void)spawn_grant_own(&spawn, "console");
	(void)spawn_grant_own(&spawn, "timer");
	(void)spawn_grant(&spawn, "shared", block->memory, CAPOS_RIGHT_READ | CAPOS_RIGHT_WRITE);
	insist(spawn_start(&spawn, &process, NULL));
	return process;
}

static void answer(void)
{
	struct note note;
	uint32_t bytes;

	while (channel_receive(&channel, &note, &bytes, CHANNEL_NEVER) == CHANNEL_OK && note.sender != LAST) {
		note.check++;
		if (channel_send(&answers, &note, bytes, CHANNEL_NEVER) != CHANNEL_OK)
			return;
	}
}

static void between_processes(const struct block *block)
{
	capos_handle process = start_child(block, "answer");
	bool right = true;

	for (uint64_t i = 0; i < rounds; i++) {
		struct note note = note_of(1, i), back = { 0 };
		uint32_t bytes = 0;

		right &= channel_send(&channel, &note, sizeof(note), CHANNEL_NEVER) == CHANNEL_OK;
		right &= channel_receive(&answers, &back, &bytes, CHANNEL_NEVER) == CHANNEL_OK;
		right &= bytes == sizeof(note) && back.number == i && back.check == note.check + 1;
	}
	send_last(&channel, 1);
	tap_ok(ended(child_end(process), CAPOS_EXIT_NORMAL, 0) && right && sides_are_at_rest(&channel) &&
		       sides_are_at_rest(&answers),
	       "two processes: %u messages there and back", rounds);
}

/* Waits at an empty and at a full channel while the other end is killed: the deadline ends it, and the memory serves again. */
static void killed_peer(const struct block *block)
{
	capos_handle process = start_child(block, "answer");
	struct note note = note_of(0, 0);
	enum channel_status status = CHANNEL_OK;
	uint32_t bytes;

	(void)channel_send(&channel, &note, sizeof(note), CHANNEL_NEVER);
	(void)channel_receive(&answers, &note, &bytes, CHANNEL_NEVER);
	(void)process_kill(process, 0);
	(void)child_end(process);
	tap_ok(channel_receive(&answers, &note, &bytes, now_ns() + MS) == CHANNEL_TIMED_OUT,
	       "the other end was killed: no message comes, the deadline does");
	for (unsigned i = 0; i <= PLACES && status == CHANNEL_OK; i++)
		status = channel_send(&channel, &note, sizeof(note), now_ns() + MS);
	tap_ok(status == CHANNEL_TIMED_OUT, "and the channel gets full");
	clear_both();
	tap_ok(channel_send(&channel, &note, sizeof(note), 0) == CHANNEL_OK &&
		       channel_receive(&channel, &note, &bytes, 0) == CHANNEL_OK,
	       "cleared it serves again");
}

static _Noreturn void scribble(void)
{
	volatile uint32_t *words = (volatile uint32_t *)channel.memory;
	struct rng rng;

	rng_seed(&rng, startup()->process_id);
	for (uint64_t turn = 0;; turn++) {
		uint64_t value = rng_below(&rng, 1ull << 32);

		words[rng_below(&rng, PAGES * CAPOS_PAGE_BYTES / 4)] = (uint32_t)(turn % 2 ? value : value & 63);
		if (turn % 64 == 0)
			(void)park_space_wake(known.park, (const uint32_t *)words + 16 * rng_below(&rng, 4), 1,
					      CAPOS_PARK_SHARED, NULL);
		if (on_simulator() && turn % 16 == 0)
			yield();
	}
}

static void hostile_peer(const struct block *block)
{
	capos_handle process = start_child(block, "scribble");
	struct {
		struct note note;
		uint64_t canary;
	} got = { .canary = 0x1234567890abcdef };
	unsigned strange = 0, by_status[CHANNEL_BROKEN + 1] = { 0 };

	for (unsigned i = 0; i < 4 * rounds; i++) {
		const struct channel *at = i % 4 < 2 ? &channel : &answers;
		uint64_t deadline = i % 8 ? 0 : now_ns() + 20000;
		uint32_t bytes = 0;

		if (i % 64 == 0)
			clear_both(); /* it looks sound again, for a while */

		enum channel_status status = i % 2 ? channel_send(at, &got.note, sizeof(got.note), deadline)
						   : channel_receive(at, &got.note, &bytes, deadline);

		if (status > CHANNEL_BROKEN || status == CHANNEL_TOO_LARGE ||
		    (status == CHANNEL_OK && bytes > sizeof(got.note)))
			strange++;
		else
			by_status[status]++;
	}
	tap_ok(strange == 0 && got.canary == 0x1234567890abcdef,
	       "an end that scribbles: all operations end, nothing else is touched");
	tap_note("ok %u, would block %u, timed out %u, broken %u", by_status[CHANNEL_OK],
		 by_status[CHANNEL_WOULD_BLOCK], by_status[CHANNEL_TIMED_OUT], by_status[CHANNEL_BROKEN]);
	(void)process_kill(process, 0);
	(void)child_end(process);
	clear_both();
}

static void child(const char *mode)
{
	uint64_t at = 0;

	must(address_space_map(known.space, cap_need("shared"), 0, 0, PAGES * CAPOS_PAGE_BYTES, CAPOS_MAP_WRITE,
			       &at));
	open_both((void *)at, true);
	if (strcmp(mode, "scribble") == 0)
		scribble();
	answer();
}

int main(int argc, char **argv)
{
	struct usage before;
	struct block block;

	if (argc > 1) {
		child(argv[1]);
		return 0;
	}
	tap_plan(0);
	rounds = on_simulator() ? 40 : 2000;
	grow_table();
	(void)child_run("exit 0");
	before = usage_now();
	insist(block_map(&block, PAGES * CAPOS_PAGE_BYTES));
	open_both(block.address, false);
	clear_both();
	many_to_many();
	deadlines();
	open_both(block.address, true);
	clear_both();
	between_processes(&block);
	killed_peer(&block);
	hostile_peer(&block);
	block_unmap(&block);
	tap_returns(before, "everything came back");
	return tap_done();
}
