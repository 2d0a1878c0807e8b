/* SPDX-License-Identifier: MIT */
/* LINK: kernel/boot/archive.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <kernel/archive.h>

#define SIZE (4 * PAGE_BYTES)
#define MAX_FILES 8u

static u8 *buffer;
static struct archive_file files[MAX_FILES];
static u32 count;

static u64 put(u64 at, const char *name, u32 mode, const void *data, u32 bytes, bool aligned)
{
	u64 end = at + 110 + strlen(name) + 1;
	u64 data_at = aligned && bytes > 0 ? ALIGN_UP(end, PAGE_BYTES) : ALIGN_UP(end, 4u);
	char header[111];

	snprintf(header, sizeof(header), "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", 1u, mode, 0u,
		 0u, 1u, 0u, bytes, 0u, 0u, 0u, 0u, (u32)(data_at - at - 110), 0u);
	memcpy(buffer + at, header, 110);
	memcpy(buffer + at + 110, name, strlen(name) + 1);
	if (bytes > 0)
		memcpy(buffer + data_at, data, bytes);
	return ALIGN_UP(data_at + bytes, 4u);
}

static u64 good(void)
{
	u64 at = 0;

	memset(buffer, 0, SIZE);
	at = put(at, "bin", 0040755, "", 0, false);
	at = put(at, "manifest.dtb", 0100644, "blob", 4, true);
	at = put(at, "init", 0100755, "program", 7, true);
	return put(at, "TRAILER!!!", 0, "", 0, false);
}

static int setup(void **state)
{
	(void)state;
	buffer = aligned_alloc(PAGE_BYTES, SIZE);
	return buffer == NULL;
}

static int teardown(void **state)
{
	(void)state;
	free(buffer);
	return 0;
}

static const char *check(u64 size)
{
	/* An exact copy, so that the sanitizer sees reads beyond. */
	u8 *copy = NULL;
	const char *wrong;

	assert_int_equal(posix_memalign((void **)&copy, PAGE_BYTES, size > 0 ? size : 1), 0);
	memcpy(copy, buffer, size);
	wrong = archive_check(copy, size, files, MAX_FILES, &count);
	free(copy);
	return wrong;
}

static void finds_files(void **state)
{
	u64 size = good();

	(void)state;
	assert_null(archive_check(buffer, size, files, MAX_FILES, &count));
	assert_int_equal(count, 2);
	assert_string_equal(files[0].name, "manifest.dtb");
	assert_int_equal(files[1].bytes, 7);
	assert_memory_equal(files[1].data, "program", 7);
	assert_int_equal((uintptr_t)files[1].data % PAGE_BYTES, 0);
	assert_ptr_equal(archive_search(files, count, "init"), &files[1]);
	assert_null(archive_search(files, count, "nobody"));
}

static void refuses_every_truncation(void **state)
{
	u64 size = good();

	(void)state;
	for (u64 n = 0; n < size; n++)
		assert_non_null(check(n));
	assert_null(check(size));
}

static void refuses_what_is_broken(void **state)
{
	u64 size, at;

	(void)state;
	size = good();
	buffer[0] = 'x';
	assert_string_equal(check(size), "bad magic");
	good();
	buffer[6] = 'g';
	assert_string_equal(check(size), "bad number");
	good();
	memcpy(buffer + 6 + 8 * 11, "00000000", 8);
	assert_string_equal(check(size), "bad name length");
	good();
	memcpy(buffer + 6 + 8 * 11, "FFFFFFFF", 8);
	assert_string_equal(check(size), "bad name length");
	good();
	memcpy(buffer + 6 + 8 * 6, "FFFFFFFF", 8);
	assert_string_equal(check(size), "truncated data");
	memset(buffer, 0, SIZE);
	at = put(0, "a", 0100644, "x", 1, true);
	at = put(at, "a", 0100644, "y", 1, true);
	at = put(at, "TRAILER!!!", 0, "", 0, false);
	assert_string_equal(check(at), "two files of one name");
	memset(buffer, 0, SIZE);
	at = put(0, "a", 0100644, "x", 1, false);
	at = put(at, "TRAILER!!!", 0, "", 0, false);
	assert_string_equal(check(at), "data are not page-aligned");
	memset(buffer, 0, SIZE);
	at = put(0, "a", 0120777, "", 0, false);
	at = put(at, "TRAILER!!!", 0, "", 0, false);
	assert_string_equal(check(at), "not a plain file");
	memset(buffer, 0, SIZE);
	at = 0;
	for (u32 i = 0; i <= MAX_FILES; i++)
		at = put(at, (char[]){ (char)('a' + i), 0 }, 0100644, "", 0, false);
	at = put(at, "TRAILER!!!", 0, "", 0, false);
	assert_string_equal(check(at), "too many files");
}

static void survives_changed_bytes(void **state)
{
	u64 size = good();
	u32 random = 1;

	(void)state;
	for (u32 round = 0; round < 20000; round++) {
		u64 at;
		u8 former;

		random = random * 1664525u + 1013904223u;
		at = (random >> 8) % (round % 2 != 0 ? 512 : size);
		former = buffer[at];
		buffer[at] = (u8)(random >> 3);
		(void)!check(size);
		buffer[at] = former;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_files),
		cmocka_unit_test(refuses_every_truncation),
		cmocka_unit_test(refuses_what_is_broken),
		cmocka_unit_test(survives_changed_bytes),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
