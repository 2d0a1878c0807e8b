/* SPDX-License-Identifier: MIT */
/* The address space: map, unmap, protect, what is pinned, what is refused, and revocation of what is mapped. */
#include "usertests.h"

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
	expect_iresult(map(memory, 0, two + PAGE, PAGE, 0, NULL), CAPOS_MAP_OVERLAP, "over a mapping");
	expect_iresult(map(memory, 0, two - PAGE, 2 * PAGE, 0, NULL), CAPOS_MAP_OVERLAP, "half over a mapping");
	expect_good(address_space_unmap(known.space, two, 2 * PAGE), "unmap");
	expect_iresult(address_space_unmap(known.space, two, 2 * PAGE), CAPOS_MAP_NOT_MAPPED, "unmap twice");
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
	capos_handle memory = 0, stale = stale_handle(), weak;
	uint64_t at = 0;
	struct usage before;

	insist(factory_memory(known.factory, 4 * PAGE, 0, &memory));
	before = usage_now();
	expect_status(map(0, 0, 0, PAGE, 0, NULL), INVALID_HANDLE, "map handle 0");
	expect_status(map(FORGED_HANDLE, 0, 0, PAGE, 0, NULL), INVALID_HANDLE, "map a forged handle");
	expect_status(map(stale, 0, 0, PAGE, 0, NULL), STALE_HANDLE, "map a stale handle");
	expect_status(map(known.timer, 0, 0, PAGE, 0, NULL), WRONG_INTERFACE, "map a timer");
	expect_detail(map(memory, 1, 0, PAGE, 0, NULL), BAD_ARGUMENT, 1, "an unaligned offset");
	expect_detail(map(memory, 0, 0x100000001, PAGE, 0, NULL), BAD_ARGUMENT, 2, "an unaligned address");
	expect_detail(map(memory, 0, 0, PAGE + 1, 0, NULL), BAD_ARGUMENT, 3, "unaligned bytes");
	expect_detail(map(memory, 0, 0, 0, 0, NULL), BAD_ARGUMENT, 3, "no bytes");
	expect_detail(map(memory, 0, 0, PAGE, 4, NULL), BAD_ARGUMENT, 4, "an unknown protection");
	expect_status(map(memory, 4 * PAGE, 0, PAGE, 0, NULL), BAD_ARGUMENT, "from behind the object's end");
	expect_status(map(memory, 0, 0, 5 * PAGE, 0, NULL), BAD_ARGUMENT, "more than the object has");
	expect_status(map(memory, ~0ull - PAGE + 1, 0, 2 * PAGE, 0, NULL), BAD_ARGUMENT, "an offset that overflows");
	expect_either(map(memory, 0, 0xffffffff80000000, PAGE, 0, NULL), BAD_ADDRESS, BAD_ARGUMENT,
		      "at a kernel address");
	expect_either(map(memory, 0, 0x800000000000, PAGE, 0, NULL), BAD_ADDRESS, BAD_ARGUMENT,
		      "at a non-canonical address");
	expect_either(map(memory, 0, 0x7ffffffff000, 4 * PAGE, 0, NULL), BAD_ADDRESS, BAD_ARGUMENT,
		      "over the end of user addresses");
	expect_either(map(memory, 0, ~0ull - PAGE + 1, PAGE, 0, NULL), BAD_ADDRESS, BAD_ARGUMENT,
		      "the last page of all");
	expect_iresult(map(memory, 0, 0, PAGE, CAPOS_MAP_WRITE | CAPOS_MAP_EXEC, NULL), CAPOS_MAP_WRITE_EXEC,
		       "writable and executable");
	weak = with_rights(memory, CAPOS_RIGHT_READ);
	expect_status(map(weak, 0, 0, PAGE, CAPOS_MAP_WRITE, NULL), MISSING_RIGHTS, "writable without the right");
	expect_status(map(weak, 0, 0, PAGE, CAPOS_MAP_EXEC, NULL), MISSING_RIGHTS, "executable without the right");
	expect_good(map(weak, 0, 0, PAGE, 0, &at), "readable with the read right");
	expect_status(address_space_protect(known.space, at, PAGE, CAPOS_MAP_WRITE), MISSING_RIGHTS,
		      "protect: never more than the capability allowed");
	(void)address_space_unmap(known.space, at, PAGE);
	drop(weak);
	expect_detail(address_space_unmap(known.space, at + 1, PAGE), BAD_ARGUMENT, 0, "unmap an unaligned address");
	expect_detail(address_space_unmap(known.space, at, 5), BAD_ARGUMENT, 1, "unmap unaligned bytes");
	expect_detail(address_space_unmap(known.space, at, 0), BAD_ARGUMENT, 1, "unmap no bytes");
	tap_ok(!result_ok(insist_on(address_space_unmap(known.space, BAD_KERNEL, PAGE))) &&
		       !result_ok(insist_on(address_space_unmap(known.space, at, ~0ull & ~4095ull))) &&
		       !result_ok(insist_on(address_space_unmap(known.space, BAD_WILD & ~4095ull, PAGE))),
	       "unmap kernel, overflowing and unmapped addresses is refused");
	tap_unchanged(before, "refused requests change nothing");
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
	expect_iresult(address_space_protect(known.space, at, PAGE, CAPOS_MAP_WRITE | CAPOS_MAP_EXEC),
		       CAPOS_MAP_WRITE_EXEC, "writable and executable");
	expect_detail(address_space_protect(known.space, at, PAGE, 8), BAD_ARGUMENT, 2, "an unknown protection");
	expect_iresult(address_space_protect(known.space, at + 64ull * 1024 * 1024, PAGE, 0), CAPOS_MAP_NOT_MAPPED,
		       "protect what is not mapped");
	block_unmap(&block);
}

static void pinned(void)
{
	uint64_t thread_page = (uintptr_t)self_page(), text = (uintptr_t)pinned & ~4095ull;
	uint64_t start = (uintptr_t)startup() & ~4095ull;

	expect_iresult(address_space_unmap(known.space, thread_page, PAGE), CAPOS_MAP_PINNED,
		       "unmap the thread page");
	expect_iresult(address_space_protect(known.space, thread_page, PAGE, 0), CAPOS_MAP_PINNED,
		       "protect the thread page");
	expect_iresult(address_space_unmap(known.space, text, PAGE), CAPOS_MAP_PINNED, "unmap program text");
	expect_iresult(address_space_protect(known.space, text, PAGE, CAPOS_MAP_WRITE), CAPOS_MAP_PINNED,
		       "make program text writable");
	expect_iresult(address_space_unmap(known.space, start, PAGE), CAPOS_MAP_PINNED, "unmap the start-up record");
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
