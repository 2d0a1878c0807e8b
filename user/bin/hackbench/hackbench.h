/* SPDX-License-Identifier: MIT */
/* What the files of hackbench on capOS share. */
#ifndef HACKBENCH_H
#define HACKBENCH_H

#include <user/capos.h>

#include "channels.h"
#include "workload.h"

#define HACKBENCH_IFACE (CAPOS_IFACE_USER + 0x410u)

/* Channels begin a page after the start of the memory that the workers share; 0 places: the ports are endpoints. */
struct shared {
	struct hackbench *bench; /* at its beginning */
	struct channels channels;
	unsigned places;
};
/* The view of memory that is mapped. */
void shared_open(struct shared *shared, void *memory, size_t bytes, unsigned places);
size_t shared_bytes(unsigned ports, unsigned places);

/* endpoints.c: a port is an endpoint, a receiver its server, a message a call. State of a worker: */
struct endpoints {
	const capos_handle *ports; /* those that it uses, by number */
	bool serving;		   /* a receiver: a call that it has not replied to */
};
extern const struct hackbench_ports endpoint_ports;

/* A worker as a thread, here or in a process of its own. `number`: a sender's group, a receiver's port. */
struct worker {
	struct thread thread;
	struct shared *shared;
	struct endpoints endpoints;
	bool sends;
	unsigned number;
};
void worker_start(struct worker *worker);

/* processes.c: the same for a process; its main, and who gives a sender its ports. */
capos_handle worker_spawn(bool sends, unsigned number, unsigned places, capos_handle memory, capos_handle port);
int worker_main(char **argv);
uint64_t give_ports(void *registry);

#endif
