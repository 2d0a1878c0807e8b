/* SPDX-License-Identifier: MIT */
/* Records of threads, processes, sessions, accounts and CPUs for scheduling_policy.snapshot. */
#ifndef SNAPSHOT_H
#define SNAPSHOT_H

#include <kernel/call.h>

/* The method, for the threads of `scope` (enum capos_policy_scope): decode, and the operation that goes on in steps. */
u64 snapshot_begin(struct call *call, u32 scope);

#endif
