/* SPDX-License-Identifier: MIT */
/* A fake machine and fake neighbours for the unit tests of kernel/mm: memory, CPUs, TLBs, quotas, grants, waiters. */
#ifndef TESTS_MM_FAKE_H
#define TESTS_MM_FAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <kernel/cap.h>
#include <kernel/cpu.h>
#include <kernel/state.h>
#include <kernel/thread.h>

#include "kernel/mm/mm_priv.h"

#define FAKE_CPUS 3u
#define FAKE_MEMORY_BYTES (16ul << 20)

struct fake {
	struct cpu cpu[FAKE_CPUS];
	u32 requests[FAKE_CPUS]; /* sched_request, not yet handled */
	u64 charged;		 /* CAPOS_QUOTA_MEMORY, all processes */
	u64 quota;		 /* limit of it */
	u32 fail_after;		 /* frame allocations until one fails; 0: never */
	i64 grant_references;
	u32 finished, armed;
	u64 next_id;
};
extern struct fake fake;

/* Fresh memory and records, frames_init; runs on CPU 0. */
int fake_setup(void **state);
/* From now on code runs on this CPU. */
struct cpu *fake_on(u32 cpu);
/* Handle what was asked of a CPU, on it; then go back. */
void fake_deliver(u32 cpu);
struct process *fake_process(void);
/* Some CPU may use an old translation of a page in the range. */
bool fake_is_stale(u64 start, u64 end);
u64 fake_random(void);

#endif
