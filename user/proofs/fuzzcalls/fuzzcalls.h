/* SPDX-License-Identifier: MIT */
#ifndef FUZZCALLS_H
#define FUZZCALLS_H

#include "../proof.h"
#include "case.h"

extern const struct cases_slot fuzz_slot; /* cases.c, or what stands for it */

static inline const struct cases *fuzz_cases(void)
{
	const struct cases *cases = (const struct cases *)(const void *)&fuzz_slot;

	__asm__("" : "+r"(cases)); /* its content is not what the compiler sees */
	return cases;
}

/* Counters in the page that all share. */
enum { COUNT_STATUS = 0, COUNT_CALLS = 32, GO = 33 /* both processes are started */ };

/* Case number `index`, `bytes` of it; NULL: none. */
static inline const uint8_t *case_at(uint32_t index, uint32_t *bytes)
{
	const struct cases *cases = fuzz_cases();
	uint32_t at = 0;

	for (; at + 4 <= cases->bytes; index--) {
		memcpy(bytes, cases->data + at, 4);
		if (*bytes > cases->bytes - at - 4)
			return NULL;
		if (index == 0)
			return cases->data + at + 4;
		at += 4 + ((*bytes + 3u) & ~3u);
	}
	return NULL;
}

/* The hostile process: performs its part of the case; `mutation` 0: as it stands, else bytes are changed by it. */
int hostile(uint32_t index, uint32_t process, uint64_t mutation);

#endif
