/* SPDX-License-Identifier: MIT */
/* Buckets of parked waiters: what park.c and park_fast.c share. */
#ifndef IPC_PARK_H
#define IPC_PARK_H

#include <kernel/state.h>

#include "ipc_priv.h"

extern const struct waiter_ops park_ops;

struct park_key {
	u64 id, offset;
};

/* Of a word of the process, at an aligned address; false: it is to be shared, and in no memory object. */
static inline bool park_key_find(struct process *process, u64 addr, u64 flags, struct park_key *key)
{
	struct park_key shared; /* apart, so that the other one need not be in memory */

	if (likely((flags & CAPOS_PARK_SHARED) == 0)) {
		*key = (struct park_key){ process->object.id, addr };
		return true;
	}
	if (!space_shared_key(&process->space, (struct uaddr){ addr }, &shared.id, &shared.offset))
		return false;
	*key = shared;
	return true;
}

static inline struct park_bucket *bucket_of(u64 id, u64 offset)
{
	/* Multiplicative hashing by the golden ratio: the top 6 bits depend on all. */
	return &kernel_state.ipc.park[((id ^ offset >> 2) * 0x9e3779b97f4a7c15ull) >> 58];
}

#endif
