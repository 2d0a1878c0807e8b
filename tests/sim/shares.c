/* SPDX-License-Identifier: MIT */
#include "shares.h"

void max_min_shares(const uint32_t *weight, const uint32_t *order, uint32_t count, uint32_t cpus, uint64_t *rate)
{
	uint64_t rest = 0;
	uint32_t whole = 0; /* so many of the heaviest have a CPU of their own */

	for (uint32_t i = 0; i < count; i++)
		rest += weight[i];
	while (whole < count && whole < cpus && (uint64_t)weight[order[whole]] * (cpus - whole) >= rest) {
		rest -= weight[order[whole]];
		rate[order[whole++]] = 1ull << 32;
	}
	for (uint32_t i = whole; i < count; i++)
		rate[order[i]] = (uint64_t)(((unsigned __int128)weight[order[i]] * (cpus - whole) << 32) / rest);
}
