/* SPDX-License-Identifier: MIT */
#include "hackbench.h"

static void port_send(void *state, unsigned port, const void *message)
{
	const struct endpoints *endpoints = state;
	capos_handle h = endpoints->ports[port];
	uint64_t call = CAPOS_CALL_WORD(HACKBENCH_IFACE, 0, CAPOS_OP_CALL, 0, CAPOS_CALL_MESSAGE);

	message_put(message, HACKBENCH_BYTES);
	must(result_of(capos_call_words(call, &h, NULL, 0, 0)));
}

static void port_receive(void *state, unsigned port, void *buffer)
{
	struct endpoints *endpoints = state;
	capos_handle h = endpoints->ports[port];
	struct request request;
	uint64_t badge;

	if (endpoints->serving)
		must(endpoint_reply_recv_words(h, NULL, 0, 0, &badge));
	else
		must(endpoint_recv(h, CAPOS_NEVER, 0, &request));
	endpoints->serving = true;
	(void)message_get(buffer, HACKBENCH_BYTES);
}

/* Replies, and waits for the end of the port. */
static void port_done(void *state, unsigned port)
{
	const struct endpoints *endpoints = state;
	uint64_t badge;

	(void)endpoint_reply_recv_words(endpoints->ports[port], NULL, 0, 0, &badge);
}

const struct hackbench_ports endpoint_ports = { port_send, port_receive, port_done };
