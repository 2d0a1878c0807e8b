/* SPDX-License-Identifier: MIT */
/*
 * The ideal share of each thread on many CPUs: weighted max-min, where no thread can use more than one CPU. Heavy ones whose part by
 * weight would be more than a CPU get one; the rest is shared by weight.
 */
#ifndef TESTS_SIM_SHARES_H
#define TESTS_SIM_SHARES_H

#include <stdint.h>

/* rate[i]: of a CPU, in 2^-32, rounded down. `order`: indices by falling weight. */
void max_min_shares(const uint32_t *weight, const uint32_t *order, uint32_t count, uint32_t cpus, uint64_t *rate);

#endif
