/* SPDX-License-Identifier: MIT */
/*
 * Hackbench: groups of senders and receivers; each sender of a group sends `loops` messages to each of its receivers, by turns.
 *
 *   group g:  fan senders  ----- every one to every one ----->  fan ports g * fan ... , a receiver at each
 *
 * The same source on capOS and on Linux (bench/linux/hackbench.c); what carries the messages is a table of operations. Only the
 * phase is counted: from the moment that all workers are told to go until the last one is done, by the TSC, which
 * counts instructions under -icount.
 */
#ifndef HACKBENCH_WORKLOAD_H
#define HACKBENCH_WORKLOAD_H

#include <stdint.h>

#define HACKBENCH_BYTES 100u
#define HACKBENCH_GROUPS 10u
#define HACKBENCH_FAN 20u
#define HACKBENCH_LOOPS 50u

/* What is measured: over pipes (Linux), endpoints (capOS), or channels of so many places (both); PROCESSES or threads. */
#define HACKBENCH_CASES(PIPES, ENDPOINTS, CHANNELS)                                                                  \
	PIPES(pipe_threads, 0)                                                                                       \
	PIPES(pipe_processes, HACKBENCH_PROCESSES)                                                                   \
	ENDPOINTS(endpoint_threads, 0)                                                                               \
	ENDPOINTS(endpoint_threads_active, HACKBENCH_ACTIVE)                                                         \
	ENDPOINTS(endpoint_processes, HACKBENCH_PROCESSES)                                                           \
	CHANNELS(channel_2, 2, 0)                                                                                    \
	CHANNELS(channel_4, 4, 0)                                                                                    \
	CHANNELS(channel_8, 8, 0)                                                                                    \
	CHANNELS(channel_16, 16, 0)                                                                                  \
	CHANNELS(channel_64, 64, 0)                                                                                  \
	CHANNELS(channel_512, 512, 0)                                                                                \
	CHANNELS(channel_8_processes, 8, HACKBENCH_PROCESSES)

enum hackbench_case {
#define HACKBENCH_NAME(name, ...) HACKBENCH_##name,
	HACKBENCH_CASES(HACKBENCH_NAME, HACKBENCH_NAME, HACKBENCH_NAME)
};

enum hackbench_flag { HACKBENCH_PROCESSES = 1, HACKBENCH_ACTIVE = 2 };

/* In memory that all workers have mapped. */
struct hackbench {
	uint32_t groups, fan, loops;
	uint32_t flags;
	uint32_t ready; /* workers that wait for `go` */
	uint32_t go;
	uint32_t running;
	uint32_t over; /* 1: the last worker is done */
	uint64_t begin, end;
	uint64_t sum; /* of what was received */
};

/* How a message gets to a port, and from it. `state`: the worker's own. */
struct hackbench_ports {
	void (*send)(void *state, unsigned port, const void *message);
	void (*receive)(void *state, unsigned port, void *buffer);
	void (*done)(void *state, unsigned port); /* by a receiver after its last message */
};

/* Everything 0 but the figures of the usual case. */
void hackbench_prepare(struct hackbench *bench, uint32_t flags);

void hackbench_sender(struct hackbench *bench, const struct hackbench_ports *ports, void *state, unsigned group);
void hackbench_receiver(struct hackbench *bench, const struct hackbench_ports *ports, void *state, unsigned port);

/* Waits for all workers, lets them go, waits for their end. 0: what was received is not what was sent. */
int hackbench_measure(struct hackbench *bench);

static inline unsigned hackbench_port_count(const struct hackbench *bench)
{
	return bench->groups * bench->fan;
}

static inline uint64_t hackbench_messages(const struct hackbench *bench)
{
	return (uint64_t)bench->groups * bench->fan * bench->fan * bench->loops;
}

#endif
