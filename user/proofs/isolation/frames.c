/* SPDX-License-Identifier: MIT */
/*
 * Frames that others used: processes fill all that they can with a secret and die; whatever comes after them, memory
 * objects, threads, whole processes, finds zeros only.
 */
#include "isolation.h"

#define SECRET 0x5ec4e75ec4e75ec5ull
#define SECRET_OBJECTS 24u
#define OBJECT_BYTES (256u << 10)
#define SCANNED_BYTES 32768u
#define ROUNDS_QEMU 12u
#define ROUNDS_SIM 2u

static void fill(void *to, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes / 8; i++)
		((volatile uint64_t *)to)[i] = SECRET;
}

/* Words that are not 0. */
static uint64_t dirt(const void *from, uint64_t bytes)
{
	uint64_t count = 0;

	for (uint64_t i = 0; i < bytes / 8; i++)
		count += ((const volatile uint64_t *)from)[i] != 0;
	return count;
}

static uint64_t fill_thread(void *argument)
{
	struct capos_thread_page *page = self_page();
	uint8_t local[32768];

	(void)argument;
	fill(local, sizeof(local));
	fill(page->message, sizeof(page->message));
	fill(page->sq, sizeof(page->sq) + sizeof(page->cq));
	return 0;
}

static uint8_t own_bytes[128u << 10];

/* Everything that can be written, in a process that then ends by a fault. */
int mode_secret(int argc, char **argv)
{
	struct thread thread;

	(void)argc;
	(void)argv;
	for (unsigned i = 0; i < SECRET_OBJECTS; i++) {
		struct block block;

		if (!result_ok(block_map(&block, OBJECT_BYTES)))
			break;
		fill(block.address, OBJECT_BYTES);
	}
	fill(own_bytes, sizeof(own_bytes));
	for (unsigned i = 0; i < 4; i++)
		if (result_ok(thread_start(&thread, fill_thread, NULL)))
			(void)thread_finish(&thread, CAPOS_NEVER, NULL);
	(void)fill_thread(NULL);
	poke(16);
	return 1;
}

/* The rest of this page behind the record, the stack that was not used yet, memory that is to be 0, its thread page. */
int mode_scan(int argc, char **argv)
{
	const struct capos_startup *record = startup();
	const struct capos_thread_page *page = self_page();
	uint64_t here = (uint64_t)&record;
	uint64_t guard_end_ = record->stack_base + PAGE;

	(void)argc;
	(void)argv;
	if (dirt((const char *)record + record->bytes, PAGE - record->bytes))
		return 2;
	if (dirt((const void *)guard_end_, (here - 8192 - guard_end_) & ~7ull))
		return 3;
	if (dirt(own_bytes, sizeof(own_bytes)))
		return 4;
	if (dirt(page->sq, sizeof(page->sq) + sizeof(page->cq)))
		return 5;
	return 0;
}

/* And the stack below it, as far as this thread has not used it. */
static uint64_t scan_thread_page(void *argument)
{
	const struct capos_thread_page *page = self_page();
	const char *stack = (const char *)page - SCANNED_BYTES;
	uint64_t unused = ((uintptr_t)&page - (uintptr_t)stack - 4096) & ~7ull;

	(void)argument;
	return dirt(stack, unused) + dirt(page, offsetof(struct capos_thread_page, thread_id)) +
	       dirt(&page->send_bytes, sizeof(*page) - offsetof(struct capos_thread_page, send_bytes));
}

static bool round_is_clean(void)
{
	struct block block;
	struct thread thread;
	struct capos_spawn spawn;
	struct process_end end;
	capos_handle process = 0;
	uint64_t dirty = 0, code = 0;

	mode_init(&spawn, "secret");
	spawn.memory_bytes = 8u << 20;
	insist(spawn_start(&spawn, &process, NULL));
	end = child_end(process);
	if (end.cause != CAPOS_EXIT_FAULT || end.fault_address != 16)
		return ended(end, CAPOS_EXIT_FAULT, end.code) && false;
	insist(thread_start(&thread, scan_thread_page, NULL));
	must(thread_finish(&thread, CAPOS_NEVER, &code));
	if (!mode_run("scan"))
		return false;
	insist(block_map(&block, 9u << 20));
	dirty = dirt(block.address, 9u << 20);
	fill(block.address, 9u << 20);
	block_unmap(&block);
	insist(block_map(&block, 9u << 20));
	dirty += dirt(block.address, 9u << 20);
	block_unmap(&block);
	if (dirty || code)
		tap_note("%lu words of memory, %lu of a thread page are not 0", (unsigned long)dirty,
			 (unsigned long)code);
	return !dirty && !code;
}

void test_frames(void)
{
	struct usage before = usage_now();
	unsigned rounds = on_simulator() ? ROUNDS_SIM : ROUNDS_QEMU, good = 0;

	for (unsigned i = 0; i < rounds; i++)
		good += round_is_clean();
	tap_ok(good == rounds,
	       "%u times a process full of a secret died: memory, threads, processes after it find zeros", rounds);
	tap_returns(before, "and nothing is left");
}

/* --- handles ------------------------------------------------------------------------------------------------------------ */

#define SLOTS_GUESSED 400u
#define GENERATIONS_GUESSED 40u

/* All handles that name something are those that the list has. */
int mode_guess(int argc, char **argv)
{
	struct capos_cap_record records[CAP_RECORDS_MAX];
	uint64_t next = 0, count = 0, listed = 0, found = 0;
	struct rng rng;

	(void)argc;
	(void)argv;
	do {
		if (!result_ok(cap_table_list(known.caps, next, records, &count, &next)))
			return 2;
		listed += count;
	} while (next);
	for (uint64_t slot = 0; slot < SLOTS_GUESSED; slot++)
		for (uint64_t generation = 0; generation < GENERATIONS_GUESSED; generation++)
			found += result_ok(
				cap_table_info(known.caps, CAPOS_HANDLE(slot, generation), NULL, NULL, NULL));
	if (found != listed || listed != startup()->cap_count)
		return 3;
	rng_seed(&rng, 4);
	for (unsigned i = 0; i < 5000; i++)
		if (result_ok(cap_table_info(known.caps, rng_next(&rng) | 1ull << 40, NULL, NULL, NULL)))
			return 4;
	/* Nor as an argument: of a copy, a grant, a mapping. */
	for (uint64_t slot = startup()->cap_count; slot < SLOTS_GUESSED; slot++)
		for (uint64_t generation = 1; generation < 8; generation += 2) {
			uint64_t h = CAPOS_HANDLE(slot, generation);

			if (result_ok(cap_table_copy(known.caps, h, 0, NULL)) ||
			    result_ok(address_space_map(known.space, h, 0, 0, PAGE, 0, NULL)) ||
			    result_ok(notification_signal(h, 1)) ||
			    endpoint_call(h, PROOF_IFACE, 0, NULL, 0, NULL, 0).status == CAPOS_STATUS_OK)
				return 5;
		}
	return 0;
}

void test_handles(void)
{
	capos_handle mine[64];

	for (unsigned i = 0; i < COUNT_OF(mine); i++)
		insist(factory_notification(known.factory, &mine[i]));
	tap_ok(mode_run("guess"), "a process that tries all values finds only the handles that it was given");
	for (unsigned i = 0; i < COUNT_OF(mine); i++) {
		uint64_t bits = 1;

		(void)notification_poll(mine[i], &bits);
		if (bits)
			tap_ok(false, "a notification of this process was signalled");
		destroy(mine[i]);
	}
}
