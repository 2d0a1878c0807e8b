/* SPDX-License-Identifier: MIT */
/* Division of 128 bits by 64 against the compiler's, rounded down; at the edges of both ways. */
#include <lib/div128.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void check(__int128 quotient, uint64_t divisor, uint64_t rest)
{
	assert_true(div128_floor(quotient * divisor + rest, divisor) == (int64_t)quotient);
}

static uint64_t draw(uint64_t *x)
{
	*x ^= *x << 13, *x ^= *x >> 7, *x ^= *x << 17;
	return *x;
}

static void any(void **state)
{
	uint64_t x = 88172645463325252ull;

	(void)state;
	for (int i = 0; i < 2000000; i++) {
		uint64_t divisor = (draw(&x) >> draw(&x) % 64) | 1;
		int64_t quotient = (int64_t)draw(&x) >> draw(&x) % 64;

		check(quotient, divisor, draw(&x) % divisor);
	}
}

static void edges(void **state)
{
	static const uint64_t divisors[] = { 1,		  2,	     3,		 0xffffffff,	 0x100000000,
					     0x100000001, INT64_MAX, 1ull << 63, UINT64_MAX - 1, UINT64_MAX };
	static const int64_t quotients[] = { INT64_MIN, INT64_MIN + 1, -0x100000000,  -2,	-1, 0, 1,
					     2,		0xffffffff,    INT64_MAX - 1, INT64_MAX };

	(void)state;
	for (size_t d = 0; d < sizeof(divisors) / sizeof(*divisors); d++) {
		for (size_t q = 0; q < sizeof(quotients) / sizeof(*quotients); q++) {
			check(quotients[q], divisors[d], 0);
			check(quotients[q], divisors[d], divisors[d] / 2);
			check(quotients[q], divisors[d], divisors[d] - 1);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(any), cmocka_unit_test(edges) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
