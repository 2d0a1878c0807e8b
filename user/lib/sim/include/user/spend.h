/* SPDX-License-Identifier: MIT */
/* Keeping the CPU busy, in the simulator: virtual time passes without a basic block for each nanosecond. */
#ifndef USER_SPEND_H
#define USER_SPEND_H

#include <stdint.h>

#define SPEND_PIECE_NS 200u /* an interrupt is late by this at most */

void capos_sim_spend(uint64_t ns);

/* Runs for about so many nanoseconds of its own. */
static inline void spend_ns(uint64_t ns)
{
	for (; ns > SPEND_PIECE_NS; ns -= SPEND_PIECE_NS)
		capos_sim_spend(SPEND_PIECE_NS);
	capos_sim_spend(ns);
}

#endif
