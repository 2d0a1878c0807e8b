/* SPDX-License-Identifier: MIT */
/*
 * Workers as processes: "hackbench sender NUMBER PLACES", with capabilities "memory" and "port". A receiver's port is its endpoint;
 * a sender's is a registry, from which it gets the endpoints of its group, a few with each call.
 */
#include "hackbench.h"

#define QUOTA_BYTES (512u << 10)

capos_handle worker_spawn(bool sends, unsigned number, unsigned places, capos_handle memory, capos_handle port)
{
	struct capos_spawn spawn;
	capos_handle process = 0;
	char args[64];

	fmt_buf(args, sizeof(args), "%s %u %u", sends ? "sender" : "receiver", number, places);
	spawn_init(&spawn, "hackbench", args);
	spawn.memory_bytes = QUOTA_BYTES;
	(void)spawn_grant_own(&spawn, "console");
	(void)spawn_grant(&spawn, "memory", memory, CAPOS_RIGHT_READ | CAPOS_RIGHT_WRITE);
	if (port)
		(void)spawn_grant(&spawn, "port", port, sends ? CAPOS_RIGHT_CALL : CAPOS_RIGHT_RECV);
	must(spawn_start(&spawn, &process, NULL));
	return process;
}

/* word[0]: number of the first port that is wanted. The reply brings CAPOS_MESSAGE_CAPS of them. */
uint64_t give_ports(void *registry)
{
	const struct endpoints *endpoints = registry;
	struct request request;
	struct message reply = { .caps = CAPOS_MESSAGE_CAPS };
	struct capos_result r = endpoint_recv(endpoints->ports[0], CAPOS_NEVER, 0, &request);

	while (result_ok(r)) {
		for (unsigned i = 0; i < CAPOS_MESSAGE_CAPS; i++)
			reply.cap[i] = endpoints->ports[1 + request.message.word[0] + i];
		r = endpoint_reply_recv(endpoints->ports[0], &reply, 0, &request);
	}
	return 0;
}

static void get_ports(capos_handle *ports, unsigned first, unsigned count)
{
	for (unsigned i = 0; i < count; i += CAPOS_MESSAGE_CAPS) {
		struct message message = { .word = { first + i }, .words = 1 };

		must(endpoint_call_message(cap_need("port"), HACKBENCH_IFACE, 0, &message, CAPOS_MESSAGE_CAPS));
		memcpy(&ports[first + i], message.cap, sizeof(message.cap));
	}
}

int worker_main(char **argv)
{
	static capos_handle ports[HACKBENCH_PORTS_MAX];
	static struct shared shared;
	struct worker worker = { .shared = &shared,
				 .endpoints.ports = ports,
				 .sends = strcmp(argv[1], "sender") == 0 };
	unsigned places = (unsigned)leading_number(argv[3]);
	uint64_t bytes = 0, address = 0;

	worker.number = (unsigned)leading_number(argv[2]);
	must(memory_object_info(cap_need("memory"), &bytes));
	must(address_space_map(known.space, cap("memory"), 0, 0, bytes, CAPOS_MAP_WRITE, &address));
	shared_open(&shared, (void *)address, bytes, places);
	if (places == 0 && worker.sends)
		get_ports(ports, worker.number * shared.bench->fan, shared.bench->fan);
	else if (places == 0)
		ports[worker.number] = cap_need("port");
	worker_start(&worker);
	(void)thread_finish(&worker.thread, CAPOS_NEVER, NULL);
	return 0;
}
