/* SPDX-License-Identifier: MIT */
/* Bit counting without a library call or a CPU feature. */
#ifndef LIB_BITS_H
#define LIB_BITS_H

#include <stdint.h>

/* Number of ones: pairwise sums (Hacker's Delight, 5-1). */
static inline uint32_t bits_count(uint64_t x)
{
	x -= (x >> 1) & 0x5555555555555555ull;
	x = (x & 0x3333333333333333ull) + ((x >> 2) & 0x3333333333333333ull);
	x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0full;
	return (uint32_t)((x * 0x0101010101010101ull) >> 56);
}

#endif
