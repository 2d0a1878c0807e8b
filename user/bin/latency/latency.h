/* SPDX-License-Identifier: MIT */
/*
 * How long it takes from an event until a thread runs user code, and how long a request takes among others: the same source on
 * capOS and on Linux (bench/linux/latency.c), which provide the functions of the second half.
 *
 * Instants are readings of the TSC; under -icount shift=0 one of them is an instruction.
 *
 *   timer_*    a thread sleeps until an instant: how late it goes on
 *   wake_*     a thread wakes another one and waits for its answer: from before the wake until the other one runs
 *   request_*  as in schbench: a thread gives requests to workers that sleep; each computes, thinks (sleeps), and is free
 *              again: from the request until the worker runs (_wake), and until it has computed
 *
 * idle: nothing else runs; hog: on every CPU a process computes without end; fast: beside hogs, in the best class (capOS:
 * interactive; Linux: SCHED_FIFO).
 */
#ifndef LATENCY_H
#define LATENCY_H

#include <stdbool.h>
#include <stdint.h>

#define LATENCY_SAMPLES_MAX 4096u

enum latency_load { LATENCY_IDLE, LATENCY_HOG, LATENCY_FAST };

/* All cases, for `cpus` CPUs; prints a line for each. */
void latency_run(unsigned cpus);

static inline uint64_t latency_now(void)
{
	return __builtin_ia32_rdtsc();
}

/* --- the system's part -------------------------------------------------------------------------------------------- */

typedef void (*latency_function)(void *argument);

uint64_t system_now_ns(void);
void system_sleep_until(uint64_t deadline_ns);
/* Number i of at most 64, joined by system_join(i). */
void system_start(unsigned i, latency_function function, void *argument);
void system_join(unsigned i);
/* The calling thread into the best class or back. False: there is none. */
bool system_fast(bool fast);
/* So many processes that compute without end (latency_hog), or none. */
void system_hogs(unsigned count);
void system_print(const char *name, unsigned samples, const uint64_t ns[4]);

static inline void latency_hog(void)
{
	for (;;)
		__asm__ volatile("" ::: "memory");
}

#endif
