/* SPDX-License-Identifier: MIT */
#include "channels.h"

static size_t stride(unsigned places)
{
	return (channel_bytes(places, HACKBENCH_BYTES) + CHANNEL_LINE - 1) & ~(size_t)(CHANNEL_LINE - 1);
}

size_t channels_bytes(unsigned count, unsigned places)
{
	return count * stride(places);
}

bool channels_open(struct channels *channels, void *memory, size_t bytes, unsigned count, unsigned places,
		   bool shared)
{
	char *at = memory;

	if (count > HACKBENCH_PORTS_MAX || bytes < channels_bytes(count, places))
		return false;
	channels->memory = memory;
	channels->count = count;
	for (unsigned i = 0; i < count; i++, at += stride(places))
		if (!channel_open(&channels->of[i], at, stride(places), places, HACKBENCH_BYTES, shared))
			return false;
	return true;
}

void channels_clear(const struct channels *channels)
{
	for (unsigned i = 0; i < channels->count; i++)
		channel_clear(&channels->of[i]);
}

static void port_send(void *state, unsigned port, const void *message)
{
	const struct channels *channels = state;

	(void)channel_send(&channels->of[port], message, HACKBENCH_BYTES, CHANNEL_NEVER);
}

static void port_receive(void *state, unsigned port, void *buffer)
{
	const struct channels *channels = state;
	uint32_t bytes;

	(void)channel_receive(&channels->of[port], buffer, &bytes, CHANNEL_NEVER);
}

static void port_done(void *state, unsigned port)
{
	(void)state;
	(void)port;
}

const struct hackbench_ports channel_ports = { port_send, port_receive, port_done };
