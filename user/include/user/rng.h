/* SPDX-License-Identifier: MIT */
/* Repeatable random numbers (xoroshiro128+ seeded by splitmix64). Not for secrets: those come from `entropy`. */
#ifndef USER_RNG_H
#define USER_RNG_H

#include <stdint.h>

struct rng {
	uint64_t state[2];
};

static inline uint64_t rng_split_(uint64_t *seed)
{
	uint64_t z = (*seed += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static inline void rng_seed(struct rng *rng, uint64_t seed)
{
	rng->state[0] = rng_split_(&seed);
	rng->state[1] = rng_split_(&seed);
}

static inline uint64_t rng_next(struct rng *rng)
{
	uint64_t a = rng->state[0], b = rng->state[1], result = a + b;

	b ^= a;
	rng->state[0] = (a << 24 | a >> 40) ^ b ^ b << 16;
	rng->state[1] = b << 37 | b >> 27;
	return result;
}

/* 0 .. bound - 1; bound > 0. */
static inline uint64_t rng_below(struct rng *rng, uint64_t bound)
{
	return (uint64_t)(((unsigned __int128)rng_next(rng) * bound) >> 64);
}

#endif
