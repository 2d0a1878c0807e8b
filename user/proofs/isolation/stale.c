/* SPDX-License-Identifier: MIT */
/*
 * Stale translations: while threads on every CPU use a page all the time, it is unmapped, protected, its object ended,
 * its capability revoked. After the call has returned no access succeeds on any CPU, and what the frame is used for next
 * is never seen through the old address.
 */
#include "isolation.h"

#define READERS_MAX 8u
#define ROUNDS_MIN 60u
#define ROUNDS_MAX 1000u
#define SPAN_NS (2 * SECOND) /* of a way, when it has had its least rounds: each waits for other CPUs several times */
#define TURNS 8u
#define REVOKE_ROUNDS 12u
#define REUSED 0x77ull
#define NOT_GUARDED (~0ull)

static const uint64_t address = 0x200000000000; /* nobody else chooses it */
static uint64_t round_now;			/* modulo 3: the page may be there, is there, is gone */
static uint64_t seen[READERS_MAX];		/* the round in which the reader has looked after the change */
static uint64_t stale, foreign, ended_rounds;
static bool storing;

static uint64_t reader(void *argument)
{
	uint64_t number = (uintptr_t)argument, turn = 0, gone = NOT_GUARDED;

	while (__atomic_load_n(&round_now, __ATOMIC_ACQUIRE) == NOT_GUARDED)
		yield();
	while (!__atomic_load_n(&ended_rounds, __ATOMIC_RELAXED)) {
		uint64_t now = __atomic_load_n(&round_now, __ATOMIC_ACQUIRE), value = UNTOUCHED,
			 faults = guard.faults;

		turn = seen[number] == now ? turn + 1 : 0;
		/* Others run on this CPU too. The translation stays. */
		if (turn % TURNS == TURNS - 1 || gone == now)
			yield();
		if ((now % 3 == 1 && gone != now) || (now % 3 == 2 && turn < TURNS)) {
			if (storing)
				try_store(address + 8 * (number + 1), turn);
			else
				value = try_load(address);
		}
		if (now % 3 == 1 && guard.faults != faults)
			gone = now; /* it was just taken away: what comes is the next round */
		if (value != UNTOUCHED && now % 3 == 2)
			__atomic_add_fetch(&stale, 1, __ATOMIC_RELAXED);
		if (value == REUSED)
			__atomic_add_fetch(&foreign, 1, __ATOMIC_RELAXED);
		__atomic_store_n(&seen[number], now, __ATOMIC_RELEASE);
	}
	return 0;
}

/* All readers have made an access that began in this round. */
static void wait_readers(unsigned readers)
{
	for (unsigned i = 0; i < readers; i++)
		while (__atomic_load_n(&seen[i], __ATOMIC_ACQUIRE) != round_now)
			yield();
}

static void next_round(unsigned readers)
{
	__atomic_store_n(&round_now, round_now + 1, __ATOMIC_RELEASE);
	wait_readers(readers);
}

enum way { UNMAP, END, REVOKE, PROTECT };

/* One page: there, used by all, taken away, looked for by all. */
static void one_page(enum way way, unsigned readers, volatile uint64_t *window, capos_handle *reused)
{
	capos_handle memory = 0, derived = 0;

	wait_readers(readers);
	insist(factory_memory(known.factory, PAGE, 0, &memory));
	insist(cap_table_derive(known.caps, memory, CAPOS_RIGHT_READ | CAPOS_RIGHT_WRITE, 0, &derived));
	insist(address_space_map(known.space, way == REVOKE ? derived : memory, 0, address, PAGE, CAPOS_MAP_WRITE,
				 NULL));
	next_round(readers);
	switch (way) {
	case UNMAP:
		must(address_space_unmap(known.space, address, PAGE));
		break;
	case END:
		must(cap_table_destroy(known.caps, memory));
		break;
	case REVOKE:
		must(cap_table_revoke(known.caps, memory));
		break;
	case PROTECT:
		must(address_space_protect(known.space, address, PAGE, 0));
		break;
	}
	__atomic_store_n(&round_now, round_now + 1, __ATOMIC_RELEASE);
	if (way == PROTECT) {
		volatile uint64_t *word = (volatile uint64_t *)(uintptr_t)address;
		uint64_t first[READERS_MAX];

		for (unsigned i = 0; i < readers; i++)
			first[i] = word[i + 1];
		wait_readers(readers);
		for (unsigned i = 0; i < readers; i++)
			if (word[i + 1] != first[i])
				__atomic_add_fetch(&stale, 1, __ATOMIC_RELAXED);
	}
	drop(derived);
	destroy(memory);
	/* The mapping that lost its object is still this process's: its addresses are taken. */
	if (way != UNMAP)
		(void)address_space_unmap(known.space, address, PAGE);
	/* Its frame is the next that this CPU gives out. */
	insist(factory_memory(known.factory, PAGE, 0, reused));
	insist(address_space_map(known.space, *reused, 0, (uintptr_t)window, PAGE, CAPOS_MAP_WRITE, NULL));
	*window = REUSED;
	wait_readers(readers);
	must(address_space_unmap(known.space, (uintptr_t)window, PAGE));
	destroy(*reused);
}

static void many_pages(enum way way, const char *name)
{
	static struct thread threads[READERS_MAX];
	struct usage before = usage_now();
	unsigned readers = startup()->cpu_count < READERS_MAX ? startup()->cpu_count : READERS_MAX;
	capos_handle reused = 0;
	uint64_t faults, begin = now_ns();
	unsigned rounds = 0;

	storing = way == PROTECT;
	stale = foreign = ended_rounds = 0;
	round_now = NOT_GUARDED;
	memset(seen, 0xff, sizeof(seen));
	guard_begin();
	faults = guard.faults;
	for (unsigned i = 0; i < readers; i++) {
		insist(thread_start_on(&threads[i], reader, (void *)(uintptr_t)i, i, 0));
		guard_thread(threads[i].handle);
	}
	for (; rounds < ROUNDS_MAX && (rounds < ROUNDS_MIN || now_ns() < begin + SPAN_NS); rounds++) {
		__atomic_store_n(&round_now, 3ull * rounds, __ATOMIC_RELEASE);
		one_page(way, readers, (volatile uint64_t *)(uintptr_t)(address + PAGE), &reused);
	}
	faults = guard.faults - faults;
	__atomic_store_n(&ended_rounds, 1, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < readers; i++)
		must(thread_finish(&threads[i], CAPOS_NEVER, NULL));
	guard_end();
	tap_ok(stale == 0 && foreign == 0 && faults >= (uint64_t)rounds * readers,
	       "%s, %u times beside %u threads that use it: %lu accesses after, %lu saw the next owner's, %lu faults",
	       name, rounds, readers, (unsigned long)stale, (unsigned long)foreign, (unsigned long)faults);
	tap_returns(before, "and nothing is left");
}

/* --- memory shared with another process ------------------------------------------------------------------------------- */

/* touch: reads "shared" until that faults; "control" word 0 says that it must, word 1 counts what is read all the same. */
int mode_touch(int argc, char **argv)
{
	uint64_t shared = 0, control = 0;
	volatile uint64_t *word;

	(void)argc;
	(void)argv;
	if (!result_ok(address_space_map(known.space, cap("shared"), 0, 0, PAGE, CAPOS_MAP_WRITE, &shared)) ||
	    !result_ok(address_space_map(known.space, cap("control"), 0, 0, PAGE, CAPOS_MAP_WRITE, &control)))
		return 2;
	word = (volatile uint64_t *)(uintptr_t)control;
	guard_begin();
	for (;;) {
		uint64_t over = __atomic_load_n(&word[0], __ATOMIC_ACQUIRE), value = try_load(shared);

		if (value == UNTOUCHED)
			break;
		if (over)
			word[1] = word[1] + 1;
		word[2] = word[2] + 1;
		if (value == REUSED)
			word[3] = word[3] + 1;
	}
	guard_end();
	return 0;
}

static void shared_page(void)
{
	struct usage before = usage_now();
	uint64_t after = 0, reads = 0, strange = 0;
	unsigned good = 0;

	for (unsigned i = 0; i < REVOKE_ROUNDS; i++) {
		struct capos_spawn spawn;
		struct block control, next;
		capos_handle memory = 0, derived = 0, process = 0;
		volatile uint64_t *word;

		insist(block_map(&control, PAGE));
		word = control.address;
		insist(factory_memory(known.factory, PAGE, 0, &memory));
		insist(cap_table_derive(known.caps, memory, CAPOS_RIGHT_READ | CAPOS_RIGHT_WRITE | CAPOS_RIGHT_GRANT,
					0, &derived));
		mode_init(&spawn, "touch");
		spawn.cpu = i % startup()->cpu_count;
		(void)spawn_grant(&spawn, "shared", derived, CAPOS_RIGHT_READ | CAPOS_RIGHT_WRITE);
		(void)spawn_grant(&spawn, "control", control.memory, CAPOS_RIGHT_READ | CAPOS_RIGHT_WRITE);
		insist(spawn_start(&spawn, &process, NULL));
		while (word[2] < 100)
			yield();
		if (i % 2)
			must(cap_table_revoke(known.caps, memory));
		else
			must(cap_table_destroy(known.caps, memory));
		__atomic_store_n(&word[0], 1, __ATOMIC_RELEASE);
		destroy(memory);
		insist(block_map(&next, 4 * PAGE));
		for (unsigned page = 0; page < 4; page++)
			*(volatile uint64_t *)((char *)next.address + page * PAGE) = REUSED;
		good += ended(child_end(process), CAPOS_EXIT_NORMAL, 0);
		after += word[1];
		reads += word[2];
		strange += word[3];
		drop(derived);
		block_unmap(&next);
		block_unmap(&control);
	}
	tap_ok(good == REVOKE_ROUNDS && after == 0 && strange == 0,
	       "memory shared with %u processes, revoked or ended while they read: %lu reads, %lu after, %lu of others",
	       good, (unsigned long)reads, (unsigned long)after, (unsigned long)strange);
	tap_returns(before, "and nothing is left");
}

void test_stale(void)
{
	many_pages(UNMAP, "unmap");
	many_pages(END, "the object's end");
	many_pages(REVOKE, "revocation");
	many_pages(PROTECT, "protection against stores");
	shared_page();
}
