/* SPDX-License-Identifier: MIT */
/* Calls between address spaces: servers are this program as a child process, the fault handler is here. */
#include "costs.h"

#define WARM_UP 16u

/* Replies as many words as came, for ever. */
static uint64_t serve(void *argument)
{
	capos_handle port = cap("port");
	struct request request = { 0 };
	struct capos_result r = endpoint_recv(port, CAPOS_NEVER, 0, &request);

	(void)argument;
	while (r.status == CAPOS_STATUS_OK)
		r = endpoint_reply_recv(port, &request.message, 0, &request);
	return r.status;
}

static void call(capos_handle port, unsigned words)
{
	uint64_t word[CAPOS_WORDS] = { 1, 2, 3, 4, 5, 6, 7, 8 };

	(void)endpoint_call(port, COSTS_IFACE, 0, word, words, word, words);
}

static void to_server(const char *mode, bool active)
{
	capos_handle port = 0, server;

	must(factory_endpoint(known.factory, COSTS_IFACE, &port));
	server = costs_child(mode, port, CAPOS_RIGHT_RECV);
	for (unsigned i = 0; i < WARM_UP; i++)
		call(port, 8);
	for (unsigned i = 0; active && i < COST_SAMPLES; i++)
		COST_SAMPLE(ipc_rt_active, call(port, 0));
	for (unsigned i = 0; !active && i < COST_SAMPLES; i++)
		COST_SAMPLE(ipc_rt_0, call(port, 0));
	for (unsigned i = 0; !active && i < COST_SAMPLES; i++)
		COST_SAMPLE(ipc_rt_4, call(port, 4));
	for (unsigned i = 0; !active && i < COST_SAMPLES; i++)
		COST_SAMPLE(ipc_rt_8, call(port, 8));
	costs_child_end(server);
	must(cap_table_destroy(known.caps, port));
	must(cap_table_release(known.caps, port));
}

/* The faulting thread executes the same bad instruction until it is not resumed any more: from fault to fault is one
 * round trip. */
static uint64_t handle_faults(void *argument)
{
	capos_handle port = *(capos_handle *)argument;
	struct message resume = { .word = { CAPOS_FAULT_RESUME }, .words = 1 };
	struct request request;
	uint64_t last;

	must(endpoint_recv(port, CAPOS_NEVER, 0, &request));
	for (unsigned i = 0; i < WARM_UP; i++)
		must(endpoint_reply_recv(port, &resume, 0, &request));
	last = instructions();
	COST_MARK(2 * COST_fault_rt);
	for (unsigned i = 0; i < COST_SAMPLES; i++) {
		(void)endpoint_reply_recv(port, &resume, 0, &request);

		uint64_t now = instructions();

		COST_MARK(2 * COST_fault_rt + 1);
		cost_add(COST_fault_rt, now - last);
		COST_MARK(2 * COST_fault_rt);
		last = instructions();
	}
	resume.word[0] = CAPOS_FAULT_KILL;
	return endpoint_reply(&resume).status;
}

static void faults(void)
{
	capos_handle port = 0, child;
	struct thread handler;

	must(factory_endpoint(known.factory, 0, &port));
	must(thread_start_on(&handler, handle_faults, &port, 0, CAPOS_THREAD_PASSIVE));
	child = costs_child("fault", port, CAPOS_RIGHT_CALL);
	must(thread_finish(&handler, CAPOS_NEVER, NULL));
	costs_child_end(child);
	must(cap_table_destroy(known.caps, port));
	must(cap_table_release(known.caps, port));
}

static void yields(void)
{
	capos_handle other = costs_child("yield", 0, 0);

	for (unsigned i = 0; i < WARM_UP; i++)
		yield();
	for (unsigned i = 0; i < COST_SAMPLES; i++)
		COST_SAMPLE(yield_switch, yield());
	costs_child_end(other);
}

int costs_child_main(const char *mode)
{
	struct thread thread;

	must(thread_set_cpu(known.self, 0));
	if (strcmp(mode, "active") == 0)
		return (int)serve(NULL);
	if (strcmp(mode, "passive") == 0) {
		must(thread_start_on(&thread, serve, NULL, 0, CAPOS_THREAD_PASSIVE));
		(void)thread_finish(&thread, CAPOS_NEVER, NULL);
		return 0;
	}
	if (strcmp(mode, "fault") == 0) {
		must(thread_set_fault_endpoint(known.self, cap("port")));
		__builtin_trap();
	}
	for (;;)
		yield();
}

void costs_ipc(void)
{
	to_server("passive", false);
	to_server("active", true);
	faults();
	yields();
}
