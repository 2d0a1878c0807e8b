/* SPDX-License-Identifier: MIT */
/* Memory objects: making, copying to and from them, every kind of bad address, and the memory quota. */
#include "errors.h"

static uint8_t buffer[2 * PAGE];

static bool filled(const uint8_t *bytes, size_t n, uint8_t value)
{
	for (size_t i = 0; i < n; i++)
		if (bytes[i] != value)
			return false;
	return true;
}

static void copies(void)
{
	capos_handle memory = 0;
	uint64_t bytes = 0;
	bool same = true;

	expect_good(factory_memory(known.factory, 3 * PAGE, 0, &memory), "a memory object");
	expect_good(memory_object_info(memory, &bytes), "its info");
	tap_ok(bytes == 3 * PAGE, "its size");
	memset(buffer, 0xaa, sizeof(buffer));
	expect_good(memory_object_read(memory, 4096, buffer, 4096), "read");
	tap_ok(filled(buffer, 4096, 0), "it begins zeroed");
	for (unsigned i = 0; i < 4096; i++)
		buffer[i] = (uint8_t)(i * 7 + 1);
	expect_good(memory_object_write(memory, 2500, buffer + 1, 4000), "write over a page boundary");
	memset(buffer + 4096, 0, 4096);
	expect_good(memory_object_read(memory, 2500, buffer + 4096, 4000), "read it back");
	for (unsigned i = 0; i < 4000; i++)
		same = same && buffer[4096 + i] == (uint8_t)((i + 1) * 7 + 1);
	tap_ok(same, "the bytes are those that were written");
	expect_good(memory_object_write(memory, 3 * PAGE - 1, buffer, 1), "write the last byte");
	FAILS(memory_object, write, BAD_ARGUMENT, 0, "behind the end", .handle = memory,
	      .word = { 3 * PAGE, (uintptr_t)buffer, 1 });
	FAILS(memory_object, write, BAD_ARGUMENT, 0, "over the end", .handle = memory,
	      .word = { 3 * PAGE - 1, (uintptr_t)buffer, 2 });
	FAILS(memory_object, write, BAD_ARGUMENT, 2, "more than a page", .handle = memory,
	      .word = { 0, (uintptr_t)buffer, 4097 });
	FAILS(memory_object, read, BAD_ARGUMENT, 0, "an offset that overflows", .handle = memory,
	      .word = { ~0ull - 1, (uintptr_t)buffer, 4 });
	FAILS(memory_object, read, BAD_ARGUMENT, 2, "more than a page", .handle = memory,
	      .word = { 0, (uintptr_t)buffer, 4097 });
	FAILS(memory_object, read, BAD_ARGUMENT, 2, "2^64 bytes", .handle = memory,
	      .word = { 0, (uintptr_t)buffer, ~0ull });
	destroy(memory);
}

static void addresses(void)
{
	const uint64_t bad[] = { BAD_NULL, BAD_WILD, BAD_NONCANONICAL, BAD_KERNEL, BAD_OVERFLOW };
	const char *const names[] = { "null", "wild", "non-canonical", "kernel", "overflowing" };
	capos_handle memory = 0;
	struct block block, gap;
	uint8_t *edge;

	insist(factory_memory(known.factory, CAPOS_PAGE_BYTES, 0, &memory));
	for (unsigned i = 0; i < COUNT_OF(bad); i++) {
		FAILS(memory_object, read, BAD_ADDRESS, 1, names[i], .handle = memory, .word = { 0, bad[i], 64 });
		FAILS(memory_object, write, BAD_ADDRESS, 1, names[i], .handle = memory, .word = { 0, bad[i], 64 });
	}
	insist(block_map(&block, 4 * PAGE));
	gap = block;
	insist(address_space_unmap(known.space, (uintptr_t)block.address + 2 * PAGE, 2 * PAGE));
	edge = (uint8_t *)block.address + 2 * PAGE;
	memset(block.address, 0x55, 2 * PAGE);
	FAILS(memory_object, write, BAD_ADDRESS, 1, "a half-mapped buffer", .handle = memory,
	      .word = { 0, (uintptr_t)edge - 32, 64 });
	memset(buffer, 0xaa, 64);
	expect_good(memory_object_read(memory, 0, buffer, 64), "the object");
	tap_ok(filled(buffer, 64, 0), "is unchanged by the refused writes");
	FAILS(memory_object, read, BAD_ADDRESS, 1, "a half-mapped buffer", .handle = memory,
	      .word = { 0, (uintptr_t)edge - 32, 64 });
	tap_ok(filled(edge - 32, 32, 0x55), "its mapped half is unchanged");
	expect_good(memory_object_read(memory, 0, edge - 64, 64), "a buffer that ends at the edge is good");
	insist(address_space_protect(known.space, (uintptr_t)block.address, CAPOS_PAGE_BYTES, 0));
	FAILS(memory_object, read, BAD_ADDRESS, 1, "read-only memory", .handle = memory,
	      .word = { 0, (uintptr_t)block.address, 64 });
	expect_good(memory_object_write(memory, 0, block.address, 64), "write from read-only memory");
	FAILS(memory_object, read, BAD_ADDRESS, 1, "program text", .handle = memory,
	      .word = { 0, (uintptr_t)test_memory, 64 });
	FAILS(memory_object, read, BAD_ADDRESS, 1, "the start-up record", .handle = memory,
	      .word = { 0, (uintptr_t)startup(), 64 });
	insist(address_space_unmap(known.space, (uintptr_t)block.address, 2 * PAGE));
	destroy(gap.memory);
	destroy(memory);
}

static void making(void)
{
	capos_handle memory = 0;
	struct usage before = usage_now();

	FAILS(factory, memory, BAD_ARGUMENT, 0, "no bytes", .handle = known.factory);
	FAILS(factory, memory, BAD_ARGUMENT, 0, "2^64 - 1 bytes", .handle = known.factory, .word = { ~0ull });
	FAILS(factory, memory, BAD_ARGUMENT, 1, "a flag", .handle = known.factory, .word = { 4096, 1 });
	FAILS(factory, memory, BAD_ARGUMENT, 1, "a high flag", .handle = known.factory, .word = { 4096, 1ull << 40 });
	expect_either(factory_memory(known.factory, 1ull << 40, 0, NULL), QUOTA_EXCEEDED, BAD_ARGUMENT, "a terabyte");
	expect_either(factory_memory(known.factory, ~0ull - 4095, 0, NULL), QUOTA_EXCEEDED, BAD_ARGUMENT,
		      "2^64 - 4096 bytes");
	tap_unchanged(before, "refused objects cost nothing");
	expect_good(factory_memory(known.factory, 1, 0, &memory), "an object of one byte");
	destroy(memory);
	tap_unchanged(before, "a destroyed one gives its memory back");
}

static void exhaustion(void)
{
	capos_handle handle[128], small = 0;
	struct usage before = usage_now();
	struct capos_process_info info = { 0 };
	struct capos_result r = { 0 };
	unsigned count = 0, again = 0;
	uint64_t bytes;

	(void)own_info(&info);
	bytes = (info.memory_limit - info.memory_used) / 64 & ~4095ull;
	for (; count < COUNT_OF(handle); count++) {
		r = insist_on(factory_memory(known.factory, bytes, 0, &handle[count]));
		if (!result_ok(r))
			break;
	}
	tap_ok(is_detail(r, CAPOS_STATUS_QUOTA_EXCEEDED, CAPOS_QUOTA_MEMORY) && count > 32,
	       "memory: quotaExceeded after %u objects of %lu KiB", count, (unsigned long)(bytes >> 10));
	(void)own_info(&info);
	tap_ok(info.memory_used <= info.memory_limit, "used is within the limit");
	while (result_ok(insist_on(factory_memory(known.factory, 4096, 0, &handle[count]))) &&
	       count + 1 < COUNT_OF(handle))
		count++;
	expect_detail(factory_memory(known.factory, 4096, 0, &small), QUOTA_EXCEEDED, CAPOS_QUOTA_MEMORY,
		      "not even one page more");
	for (unsigned i = 0; i < count; i++)
		destroy(handle[i]);
	tap_unchanged(before, "destroyed: all memory is back");
	while (again < 32 && result_ok(insist_on(factory_memory(known.factory, bytes, 0, &handle[again]))))
		again++;
	tap_ok(again == 32, "and can be had again");
	for (unsigned i = 0; i < again; i++)
		destroy(handle[i]);
}

static void rights(void)
{
	capos_handle memory = 0, reader, writer;

	insist(factory_memory(known.factory, CAPOS_PAGE_BYTES, 0, &memory));
	reader = with_rights(memory, CAPOS_RIGHT_READ);
	writer = with_rights(memory, CAPOS_RIGHT_WRITE);
	expect_good(memory_object_read(reader, 0, buffer, 16), "read with the read right");
	expect_status(memory_object_write(reader, 0, buffer, 16), MISSING_RIGHTS, "write with the read right");
	expect_good(memory_object_write(writer, 0, buffer, 16), "write with the write right");
	expect_status(memory_object_read(writer, 0, buffer, 16), MISSING_RIGHTS, "read with the write right");
	drop(reader);
	drop(writer);
	destroy(memory);
	memory = 0;
	insist(factory_memory(known.factory, CAPOS_PAGE_BYTES, 0, &memory));
	(void)cap_table_destroy(known.caps, memory);
	expect_status(memory_object_read(memory, 0, buffer, 16), REVOKED, "read of a destroyed object");
	drop(memory);
}

void test_memory(void)
{
	copies();
	addresses();
	making();
	rights();
	exhaustion();
}
