/* SPDX-License-Identifier: MIT */
/*
 * The workload of the thread-scale benchmark: one process, whose parent maps and fills blocks of 64 bytes, starts workers,
 * and blocks in the join of each; a worker works on one run of blocks. One source for capOS (main.c) and for Linux
 * (bench/linux/thread-scale.c); what it asks of the system is below, as host_ functions.
 *
 *   map, fill | start 0 | start 1 | ... | join 0 | join 1 | ... | unmap
 *    setup     \_________________ total _________________/
 *                  \__ first begins ... last has ended: work __/
 *
 * A round maps each of a block's eight words x to x * SCALE_FACTOR + SCALE_TERM; the words are then folded into the block's
 * digest, and the digests are added up. tools/capos/scale.py computes the same sum another way.
 */
#ifndef THREAD_SCALE_WORKLOAD_H
#define THREAD_SCALE_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCALE_WORKERS_MAX 64u
#define SCALE_BLOCK_WORDS 8u
#define SCALE_BLOCK_BYTES (SCALE_BLOCK_WORDS * sizeof(uint64_t))

#define SCALE_SEED 0x9e3779b97f4a7c15u /* word n, from 1, of the input is n times this */
#define SCALE_FACTOR 6364136223846793005u
#define SCALE_TERM 1540483477u
#define SCALE_FOLD 0xff51afd7ed558ccdu
#define SCALE_FOLD_BITS 27

struct scale_case {
	uint64_t blocks, rounds;
	uint32_t workers;
	bool padded; /* a worker's result slot has a cache line of its own; else the slots are neighbours */
};

/* Spans in host_ticks(); total_ns is the same span as total, in nanoseconds of the system's clock. */
struct scale_result {
	uint64_t setup, work, total, total_ns;
	uint64_t begin_skew, end_skew; /* from the first worker's begin (end) to the last one's */
	uint64_t sum;
};

/* Runs one case. False, with a line that says why: the system refused. */
bool scale_run(const struct scale_case *wanted, struct scale_result *result);

/* Reads lines "BLOCKS ROUNDS WORKERS padded|compact", runs each and reports it on a line, until the line "end"; other lines
 * are the system's. */
bool scale_serve(void);

/* --- what the system gives ---------------------------------------------------------------------------------------------- */

uint64_t host_ns(void);
uint64_t host_ticks(void); /* same rate on all CPUs; the TSC, where that counts time */
void *host_map(size_t bytes);
void host_unmap(void *address, size_t bytes);
/* Thread `worker`, below SCALE_WORKERS_MAX, runs function(argument); join blocks until it has ended. */
bool host_start(uint32_t worker, uint64_t (*function)(void *), void *argument);
bool host_join(uint32_t worker);
__attribute__((format(printf, 1, 2))) void host_print(const char *format, ...);
/* A line of input without its end, cut to n - 1 bytes; false at the end of the input. */
bool host_line(char *line, size_t n);
/* A line of input that is no case, for the system itself; false: unknown. */
bool host_command(const char *line);
/* Before and after each case, outside its spans. */
void host_case(bool begins);
/* What a case begins to do, for a system that counts by phases. */
enum scale_phase { SCALE_OTHER, SCALE_SETUP, SCALE_RUN, SCALE_UNMAP, SCALE_PHASES };
void host_phase(enum scale_phase phase);

#endif
