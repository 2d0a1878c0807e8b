/* SPDX-License-Identifier: MIT */
/* What the parts of smptest share. */
#ifndef SMPTEST_H
#define SMPTEST_H

#include <user/rng.h>

#include "../proof.h"

#define CPUS_MAX 255u
#define ROUNDS 30u

extern unsigned cpu_count;
/* For any part. */
extern struct thread threads[CPUS_MAX];
extern capos_handle bells[CPUS_MAX], answers[CPUS_MAX];

/* Threads: answers ROUNDS times when its bell rings; ends at once with its argument. */
uint64_t answer_bell(void *argument);
uint64_t short_life(void *argument);

/* moves.c: affinity, migration, ends under load. */
void moves(void);

#endif
