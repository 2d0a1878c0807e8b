/* SPDX-License-Identifier: MIT */
/* Buckets of parked waiters: what park.c and park_fast.c share. */
#ifndef IPC_PARK_H
#define IPC_PARK_H

#include <kernel/state.h>

#include "ipc_priv.h"

extern const struct waiter_ops park_ops;

static inline struct park_bucket *bucket_of(u64 id, u64 offset)
{
	/* Multiplicative hashing by the golden ratio: the top 6 bits depend on all. */
	return &kernel_state.ipc.park[((id ^ offset >> 2) * 0x9e3779b97f4a7c15ull) >> 58];
}

#endif
