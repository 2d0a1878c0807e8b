/* SPDX-License-Identifier: MIT */
/* Keeping the CPU busy: two instructions, which are two nanoseconds where instructions are counted (icount), else somewhat less. */
#ifndef USER_SPEND_H
#define USER_SPEND_H

#include <stdint.h>

/* Runs for about so many nanoseconds of its own. */
static inline void spend_ns(uint64_t ns)
{
	uint64_t turns = ns / 2 + 1;

	__asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(turns) : : "cc");
}

#endif
