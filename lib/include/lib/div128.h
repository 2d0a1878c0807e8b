/* SPDX-License-Identifier: MIT */
/* 128-bit by 64-bit division without a library call, for kernel, programs and tests. */
#ifndef LIB_DIV128_H
#define LIB_DIV128_H

#include <stdint.h>

/* High and low half by low; high < divisor, so the quotient fits. Two digits of 32 bits (Knuth, TAOCP 2, 4.3.1 D). */
static __attribute__((noinline, cold, unused)) uint64_t div128_digits_(uint64_t high, uint64_t low, uint64_t divisor,
								       uint64_t *rest)
{
	const int shift = __builtin_clzll(divisor);
	uint64_t half[2] = { low >> 32, low & 0xffffffff }, quotient = 0;
	uint64_t top, bottom;

	if (shift != 0) {
		high = high << shift | low >> (64 - shift);
		half[0] = low << shift >> 32;
		half[1] = low << shift & 0xffffffff;
		divisor <<= shift;
	}
	top = divisor >> 32, bottom = divisor & 0xffffffff;
	for (int i = 0; i < 2; i++) {
		uint64_t digit = high / top, left = high % top;

		/* At most two too large. */
		while (digit >> 32 != 0 || digit * bottom > (left << 32 | half[i])) {
			digit--;
			left += top;
			if (left >> 32 != 0)
				break;
		}
		high = (high << 32 | half[i]) - digit * divisor; /* modulo 2^64: the true rest fits */
		quotient = quotient << 32 | digit;
	}
	*rest = high >> shift;
	return quotient;
}

static __attribute__((noinline, cold, unused)) int64_t div128_floor_general_(__int128 value, uint64_t divisor)
{
	unsigned __int128 magnitude = value < 0 ? -(unsigned __int128)value : (unsigned __int128)value;
	uint64_t rest, quotient = div128_digits_((uint64_t)(magnitude >> 64), (uint64_t)magnitude, divisor, &rest);

	return value < 0 ? (int64_t)-(quotient + (rest != 0)) : (int64_t)quotient;
}

/* The largest n with n * divisor <= value. The divisor is not 0, and n must fit. */
static inline int64_t div128_floor(__int128 value, uint64_t divisor)
{
	if (__builtin_expect(value != (int64_t)value || divisor >> 63 != 0, 0))
		return div128_floor_general_(value, divisor);
	/* The hardware rounds to 0. */
	return (int64_t)value / (int64_t)divisor + ((int64_t)value % (int64_t)divisor >> 63);
}

#endif
