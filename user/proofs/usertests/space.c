/* SPDX-License-Identifier: MIT */
/* The address space: map, unmap, protect, what is pinned, what is refused, and revocation of what is mapped. */
#include "errors.h"

static struct capos_result map(capos_handle memory, uint64_t offset, uint64_t address, uint64_t bytes, uint64_t prot,
			       uint64_t *out)
{
	return address_space_map(known.space, memory, offset, address, bytes, prot, out);
}

/* Whether the kernel can read this address of ours: a way to look at a page without a fault. */
static bool readable(uint64_t address)
{
	return result_ok(memory_object_write(sample[CAPOS_IFACE_memory_object], 0, (const void *)address, 1));
}

static bool writable(uint64_t address)
{
	return result_ok(memory_object_read(sample[CAPOS_IFACE_memory_object], 0, (void *)address, 1));
}

static void mapping(void)
{
	capos_handle memory = 0;
	uint64_t one = 0, two = 0, mapped[2] = { 0 }, regions[2] = { 0 }, tables = 0;
	struct usage before = usage_now();

	insist(factory_memory(known.factory, 4 * PAGE, 0, &memory));
	expect_good(address_space_info(known.space, &mapped[0], &tables, &regions[0]), "info");
	expect_good(map(memory, 0, 0, 4 * PAGE, CAPOS_MAP_WRITE, &one), "map where the kernel chooses");
	tap_ok(one != 0 && one % PAGE == 0, "the address is a page's");
	for (unsigned i = 0; i < 4; i++)
		*(volatile uint32_t *)(one + i * PAGE) = 0x1000 + i;
	expect_good(map(memory, PAGE, 0, 2 * PAGE, 0, &two), "map a part of it again, read-only");
	tap_ok(*(volatile uint32_t *)two == 0x1001 && *(volatile uint32_t *)(two + PAGE) == 0x1002,
	       "both mappings show the same bytes");
	tap_ok(readable(two) && !writable(two) && writable(one), "one is writable, the other is not");
	(void)address_space_info(known.space, &mapped[1], &tables, &regions[1]);
	tap_ok(mapped[1] == mapped[0] + 6 * PAGE && regions[1] == regions[0] + 2, "info counts 6 pages, 2 mappings");
	expect_good(address_space_unmap(known.space, two, 2 * PAGE), "unmap");
	tap_ok(!readable(two), "it is gone");
	expect_good(map(memory, 0, two, 2 * PAGE, CAPOS_MAP_WRITE, &two), "map at an address of our own");
	REFUSES(address_space, map, CAPOS_MAP_OVERLAP, 0, "over a mapping", .handle = known.space,
		.word = { memory, 0, two + PAGE, PAGE, 0 });
	REFUSES(address_space, map, CAPOS_MAP_OVERLAP, 0, "half over a mapping", .handle = known.space,
		.word = { memory, 0, two - PAGE, 2 * PAGE, 0 });
	expect_good(address_space_unmap(known.space, two, 2 * PAGE), "unmap");
	REFUSES(address_space, unmap, CAPOS_MAP_NOT_MAPPED, 0, "unmap twice", .handle = known.space,
		.word = { two, 2 * PAGE });
	expect_good(address_space_unmap(known.space, one + PAGE, PAGE), "unmap a page in the middle");
	tap_ok(readable(one) && !readable(one + PAGE) && readable(one + 2 * PAGE), "the others stay");
	tap_ok(*(volatile uint32_t *)(one + 3 * PAGE) == 0x1003, "with their bytes");
	expect_good(address_space_unmap(known.space, one, PAGE), "unmap the first");
	expect_good(address_space_unmap(known.space, one + 2 * PAGE, 2 * PAGE), "unmap the rest");
	destroy(memory);
	tap_unchanged(before, "mappings gave everything back");
}

static void arguments(void)
{
	capos_handle memory = 0, stale = stale_handle(), weak, revoked;
	uint64_t at = 0;
	struct usage before;

	insist(factory_memory(known.factory, 4 * PAGE, 0, &memory));
	revoked = revoked_handle(memory);
	weak = with_rights(memory, CAPOS_RIGHT_READ);
	before = usage_now();
	FAILS(address_space, map, INVALID_HANDLE, CAPOS_DETAIL_HANDLE, "handle 0", .handle = known.space,
	      .word = { 0, 0, 0, PAGE });
	FAILS(address_space, map, INVALID_HANDLE, CAPOS_DETAIL_HANDLE, "a forged handle", .handle = known.space,
	      .word = { FORGED_HANDLE, 0, 0, PAGE });
	FAILS(address_space, map, STALE_HANDLE, CAPOS_DETAIL_HANDLE, "a stale handle", .handle = known.space,
	      .word = { stale, 0, 0, PAGE });
	FAILS(address_space, map, REVOKED, CAPOS_DETAIL_HANDLE, "a revoked handle", .handle = known.space,
	      .word = { revoked, 0, 0, PAGE });
	FAILS(address_space, map, WRONG_INTERFACE, CAPOS_DETAIL_HANDLE, "a timer", .handle = known.space,
	      .word = { known.timer, 0, 0, PAGE });
	FAILS(address_space, map, BAD_ARGUMENT, 1, "an unaligned offset", .handle = known.space,
	      .word = { memory, 1, 0, PAGE });
	FAILS(address_space, map, BAD_ARGUMENT, 1, "from behind the end", .handle = known.space,
	      .word = { memory, 4 * PAGE, 0, PAGE });
	FAILS(address_space, map, BAD_ARGUMENT, 1, "an offset that overflows", .handle = known.space,
	      .word = { memory, ~0ull - PAGE + 1, 0, 2 * PAGE });
	FAILS(address_space, map, BAD_ARGUMENT, 2, "an unaligned address", .handle = known.space,
	      .word = { memory, 0, 0x100000001, PAGE });
	FAILS(address_space, map, BAD_ARGUMENT, 2, "a kernel address", .handle = known.space,
	      .word = { memory, 0, BAD_KERNEL, PAGE });
	FAILS(address_space, map, BAD_ARGUMENT, 2, "a non-canonical address", .handle = known.space,
	      .word = { memory, 0, 0x800000000000, PAGE });
	FAILS(address_space, map, BAD_ARGUMENT, 2, "over the end of user addresses", .handle = known.space,
	      .word = { memory, 0, 0x7ffffffff000, 4 * PAGE });
	FAILS(address_space, map, BAD_ARGUMENT, 2, "the last page of all", .handle = known.space,
	      .word = { memory, 0, ~0ull - PAGE + 1, PAGE });
	FAILS(address_space, map, BAD_ARGUMENT, 3, "unaligned bytes", .handle = known.space,
	      .word = { memory, 0, 0, PAGE + 1 });
	FAILS(address_space, map, BAD_ARGUMENT, 3, "no bytes", .handle = known.space, .word = { memory });
	FAILS(address_space, map, BAD_ARGUMENT, 3, "more than the object has", .handle = known.space,
	      .word = { memory, 0, 0, 5 * PAGE });
	FAILS(address_space, map, BAD_ARGUMENT, 4, "a protection", .handle = known.space,
	      .word = { memory, 0, 0, PAGE, 4 });
	REFUSES(address_space, map, CAPOS_MAP_WRITE_EXEC, 0, "both", .handle = known.space,
		.word = { memory, 0, 0, PAGE, CAPOS_MAP_WRITE | CAPOS_MAP_EXEC });
	FAILS(address_space, map, MISSING_RIGHTS, CAPOS_DETAIL_HANDLE, "writable without the right",
	      .handle = known.space, .word = { weak, 0, 0, PAGE, CAPOS_MAP_WRITE });
	FAILS(address_space, map, MISSING_RIGHTS, CAPOS_DETAIL_HANDLE, "executable without the right",
	      .handle = known.space, .word = { weak, 0, 0, PAGE, CAPOS_MAP_EXEC });
	expect_good(map(weak, 0, 0, PAGE, 0, &at), "readable with the read right");
	expect_status(address_space_protect(known.space, at, PAGE, CAPOS_MAP_WRITE), MISSING_RIGHTS,
		      "protect: never more than the capability allowed");
	(void)address_space_unmap(known.space, at, PAGE);
	FAILS(address_space, unmap, BAD_ARGUMENT, 0, "an unaligned address", .handle = known.space,
	      .word = { at + 1, PAGE });
	FAILS(address_space, unmap, BAD_ARGUMENT, 0, "a kernel address", .handle = known.space,
	      .word = { BAD_KERNEL, PAGE });
	FAILS(address_space, unmap, BAD_ARGUMENT, 0, "a range that overflows", .handle = known.space,
	      .word = { at, ~0ull & ~4095ull });
	FAILS(address_space, unmap, BAD_ARGUMENT, 1, "unaligned bytes", .handle = known.space, .word = { at, 5 });
	FAILS(address_space, unmap, BAD_ARGUMENT, 1, "no bytes", .handle = known.space, .word = { at });
	FAILS(address_space, protect, BAD_ARGUMENT, 0, "an unaligned address", .handle = known.space,
	      .word = { at + 1, PAGE });
	FAILS(address_space, protect, BAD_ARGUMENT, 1, "no bytes", .handle = known.space, .word = { at });
	tap_unchanged(before, "refused requests change nothing");
	drop(weak);
	drop(revoked);
	destroy(memory);
}

static void protection(void)
{
	struct block block;

	insist(block_map(&block, 3 * PAGE));

	uint64_t at = (uintptr_t)block.address;

	expect_good(address_space_protect(known.space, at + PAGE, PAGE, 0), "protect the page in the middle");
	tap_ok(writable(at) && !writable(at + PAGE) && readable(at + PAGE) && writable(at + 2 * PAGE),
	       "only that one is read-only");
	expect_good(address_space_protect(known.space, at + PAGE, PAGE, CAPOS_MAP_WRITE), "and back");
	tap_ok(writable(at + PAGE), "it is writable again");
	*(volatile uint32_t *)(at + PAGE) = 5;
	REFUSES(address_space, protect, CAPOS_MAP_WRITE_EXEC, 0, "both", .handle = known.space,
		.word = { at, PAGE, CAPOS_MAP_WRITE | CAPOS_MAP_EXEC });
	FAILS(address_space, protect, BAD_ARGUMENT, 2, "a protection", .handle = known.space,
	      .word = { at, PAGE, 8 });
	REFUSES(address_space, protect, CAPOS_MAP_NOT_MAPPED, 0, "where nothing is mapped", .handle = known.space,
		.word = { at + 64ull * 1024 * 1024, PAGE });
	block_unmap(&block);
}

static void pinned(void)
{
	uint64_t thread_page = (uintptr_t)self_page(), text = (uintptr_t)pinned & ~4095ull;
	uint64_t start = (uintptr_t)startup() & ~4095ull;

	REFUSES(address_space, unmap, CAPOS_MAP_PINNED, 0, "the thread page", .handle = known.space,
		.word = { thread_page, PAGE });
	REFUSES(address_space, protect, CAPOS_MAP_PINNED, 0, "the thread page", .handle = known.space,
		.word = { thread_page, PAGE });
	REFUSES(address_space, unmap, CAPOS_MAP_PINNED, 0, "program text", .handle = known.space,
		.word = { text, PAGE });
	REFUSES(address_space, protect, CAPOS_MAP_PINNED, 0, "program text writable", .handle = known.space,
		.word = { text, PAGE, CAPOS_MAP_WRITE });
	REFUSES(address_space, unmap, CAPOS_MAP_PINNED, 0, "the start-up record", .handle = known.space,
		.word = { start, PAGE });
}

static void revoking(void)
{
	capos_handle memory = 0, derived = 0;
	uint64_t own = 0, through = 0;

	insist(factory_memory(known.factory, PAGE, 0, &memory));
	insist(cap_table_derive(known.caps, memory, CAPOS_RIGHT_READ | CAPOS_RIGHT_WRITE, 0, &derived));
	must(map(memory, 0, 0, PAGE, CAPOS_MAP_WRITE, &own));
	must(map(derived, 0, 0, PAGE, CAPOS_MAP_WRITE, &through));
	*(volatile uint32_t *)through = 9;
	expect_good(cap_table_revoke(known.caps, memory), "revoke what a mapping came through");
	tap_ok(!readable(through), "that mapping is gone");
	tap_ok(readable(own) && *(volatile uint32_t *)own == 9, "the other one stays, with the bytes");
	drop(derived);
	expect_good(cap_table_destroy(known.caps, memory), "destroy the object");
	tap_ok(!readable(own), "its mappings are gone");
	drop(memory);
	(void)address_space_unmap(known.space, own, PAGE);
	(void)address_space_unmap(known.space, through, PAGE);
}

/* A mapping keeps working when the handle is released. */
static void outlives_handle(void)
{
	capos_handle memory = 0;
	uint64_t at = 0;

	insist(factory_memory(known.factory, PAGE, 0, &memory));
	must(map(memory, 0, 0, PAGE, CAPOS_MAP_WRITE, &at));

	capos_handle keep = with_rights(memory, CAPOS_RIGHT_DESTROY);

	drop(memory);
	*(volatile uint32_t *)at = 3;
	tap_ok(*(volatile uint32_t *)at == 3, "a mapping outlives the handle it was made through");
	(void)address_space_unmap(known.space, at, PAGE);
	destroy(keep);
}

void test_space(void)
{
	mapping();
	arguments();
	protection();
	pinned();
	revoking();
	outlives_handle();
}
