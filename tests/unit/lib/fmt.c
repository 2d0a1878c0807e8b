/* SPDX-License-Identifier: MIT */
/* LINK: lib/fmt.c */
/* The formatter against the C library's, over every conversion that both know; then what is special. */
#include <lib/fmt.h>

#include <limits.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SAME(...)                                                                                                    \
	do {                                                                                                         \
		char ours[256], theirs[256];                                                                         \
		size_t length = fmt_buf(ours, sizeof(ours), __VA_ARGS__);                                            \
		int expected = snprintf(theirs, sizeof(theirs), __VA_ARGS__);                                        \
                                                                                                                     \
		assert_string_equal(ours, theirs);                                                                   \
		assert_int_equal(length, expected);                                                                  \
	} while (0)

static void test_numbers(void **state)
{
	(void)state;
	SAME("%d %i %d %d", 0, -1, INT_MIN, INT_MAX);
	SAME("%u %x %X %o", UINT_MAX, 0xdeadbeef, 0xdeadbeef, 8);
	SAME("%ld %ld %lu %lx", LONG_MIN, LONG_MAX, ULONG_MAX, 0x123456789abcdefl);
	SAME("%lld %llu %llx", LLONG_MIN, ULLONG_MAX, 0xfull);
	SAME("%hd %hu %hhd %hhu", (short)-7, (unsigned short)65535, (signed char)-8, (unsigned char)255);
	SAME("%zu %zx %td %jd", (size_t)12, (size_t)255, (ptrdiff_t)-3, (intmax_t)-4);
	SAME("%#x %+d %+d", 0x1f, 5, -5);
}

static void test_padding(void **state)
{
	(void)state;
	SAME("[%5d] [%-5d] [%05d] [%5d]", 42, 42, 42, -42);
	SAME("[%05d] [%08x] [%#010x] [%-#8x]", -42, 0xabc, 0xabc, 0xabc);
	SAME("[%1d] [%3lu] [%*d] [%*d] [%-*d]", 12345, 7ul, 6, 3, -6, 3, 6, 3);
	SAME("[%5s] [%-5s] [%.2s] [%5.1s] [%.*s] [%s]", "abc", "abc", "abc", "abc", 2, "xyz", "");
	SAME("[%c] [%3c] [%-3c] %% [%%]", 'a', 'b', 'c');
}

static void test_pointers(void **state)
{
	(void)state;
	SAME("%p", (void *)(uintptr_t)0x1234abcd);

	const char *volatile nothing = NULL;
	char text[32];

	fmt_buf(text, sizeof(text), "%p", NULL);
	assert_string_equal(text, "0x0");
	fmt_buf(text, sizeof(text), "%s", nothing);
	assert_string_equal(text, "(null)");
}

static void test_precision_reads_no_further(void **state)
{
	char unterminated[3] = { 'a', 'b', 'c' }, text[8];

	(void)state;
	assert_int_equal(fmt_buf(text, sizeof(text), "%.3s", unterminated), 3);
	assert_string_equal(text, "abc");
}

static void test_cut(void **state)
{
	char text[6] = "-----";

	(void)state;
	assert_int_equal(fmt_buf(text, 4, "%s", "abcdef"), 6);
	assert_string_equal(text, "abc");
	assert_int_equal(text[4], '-');
	assert_int_equal(fmt_buf(text, 1, "%d", 12), 2);
	assert_string_equal(text, "");
	text[0] = 'z';
	assert_int_equal(fmt_buf(text, 0, "%d", 12), 2);
	assert_int_equal(text[0], 'z');
	assert_int_equal(fmt_buf(NULL, 0, "%d", 123), 3);
	assert_int_equal(fmt_buf(text, 4, "abc"), 3);
	assert_string_equal(text, "abc");
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
static void test_unknown(void **state)
{
	char text[32];
	const char *volatile format = "%y %";

	(void)state;
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
	fmt_buf(text, sizeof(text), format);
	assert_string_equal(text, "%y %");
	format = "%b %#b";
	fmt_buf(text, sizeof(text), format, 5, 2);
	assert_string_equal(text, "101 0b10");
	/* A huge width ends. */
	format = "%99999999999d";
	assert_true(fmt_buf(text, sizeof(text), format, 1) < 100000);
}
#pragma GCC diagnostic pop

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),	 cmocka_unit_test(test_padding),
		cmocka_unit_test(test_pointers), cmocka_unit_test(test_precision_reads_no_further),
		cmocka_unit_test(test_cut),	 cmocka_unit_test(test_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
