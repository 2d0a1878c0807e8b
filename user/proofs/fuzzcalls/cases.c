/* SPDX-License-Identifier: MIT */
/* The place for one case, empty. A program with other cases is linked without this file. */
#include "fuzzcalls.h"

extern const struct cases_slot fuzz_slot;

const struct cases_slot {
	struct cases cases;
	uint8_t data[CASES_SLOT_BYTES];
} fuzz_slot __attribute__((aligned(16))) = { .cases = { .magic = { 'c', 'a', 'p', 'O', 'S', ' ', 'f', 'u', 'z', 'z',
								   ' ', 'c', 'a', 's', 'e', 's' } } };
