/* SPDX-License-Identifier: MIT */
/* LINK: */
/* Each length to 200 at each alignment: what is to be copied is, and nothing beside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

void *user_memcpy(void *restrict to, const void *restrict from, size_t n);
#define memcpy user_memcpy
#include "user/lib/x86_64/memcpy.c"
#undef memcpy

#define LENGTH_MAX 200

static void copies_exactly(void **state)
{
	uint8_t from[LENGTH_MAX + 8], to[LENGTH_MAX + 16];

	(void)state;
	for (size_t i = 0; i < sizeof(from); i++)
		from[i] = (uint8_t)(i * 7 + 1);
	for (size_t n = 0; n <= LENGTH_MAX; n++)
		for (size_t skew = 0; skew < 64; skew++) {
			uint8_t *at = to + skew % 8, *source = from + skew / 8;

			memset(to, 0xee, sizeof(to));
			assert_ptr_equal(user_memcpy(at, source, n), at);
			for (size_t i = 0; i < sizeof(to); i++) {
				uint8_t *byte = to + i;
				bool inside = byte >= at && byte < at + n;

				assert_int_equal(*byte, inside ? source[byte - at] : 0xee);
			}
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(copies_exactly) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
