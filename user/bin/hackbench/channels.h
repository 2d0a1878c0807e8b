/* SPDX-License-Identifier: MIT */
/* Hackbench over channels, one per port, in one piece of memory; the same on both systems. */
#ifndef HACKBENCH_CHANNELS_H
#define HACKBENCH_CHANNELS_H

#include <user/channel.h>

#include "workload.h"

#define HACKBENCH_PORTS_MAX 200u

struct channels {
	void *memory;
	unsigned count;
	struct channel of[HACKBENCH_PORTS_MAX];
};

size_t channels_bytes(unsigned count, unsigned places);
bool channels_open(struct channels *channels, void *memory, size_t bytes, unsigned count, unsigned places,
		   bool shared);
void channels_clear(const struct channels *channels);

/* `state` is a struct channels. */
extern const struct hackbench_ports channel_ports;

#endif
