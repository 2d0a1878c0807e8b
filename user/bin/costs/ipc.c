/* SPDX-License-Identifier: MIT */
/* Calls between address spaces: servers are this program as a child process, the fault handler is here. */
#include "costs.h"

#define WARM_UP 16u
#define APART_SAMPLES 20u

/* Servers reply as many words as they are called with, for ever. */
#define SERVER(words)                                                                                                \
	static uint64_t serve_##words(void *argument)                                                                \
	{                                                                                                            \
		capos_handle port = cap("port");                                                                     \
		struct request request = { 0 };                                                                      \
		struct capos_result r = endpoint_recv(port, CAPOS_NEVER, 0, &request);                               \
		uint64_t word[CAPOS_WORDS] = { 0 }, badge;                                                           \
                                                                                                                     \
		(void)argument;                                                                                      \
		while (r.status == CAPOS_STATUS_OK)                                                                  \
			r = endpoint_reply_recv_words(port, word, words, words, &badge);                             \
		return r.status;                                                                                     \
	}
SERVER(0)
SERVER(4)
SERVER(8)

/* The other CPU goes on until it idles: QEMU, which runs one CPU at a time when it counts instructions, switches at a pause. */
static void let_others_idle(void)
{
	for (unsigned i = 0; i < 4; i++)
		__builtin_ia32_pause();
}

/* From another CPU. */
static uint64_t serve_far(void *argument)
{
	capos_handle port = cap("port");
	struct request request = { 0 };
	struct capos_result r = endpoint_recv(port, CAPOS_NEVER, 0, &request);
	uint64_t word[CAPOS_WORDS] = { 0 }, badge;

	(void)argument;
	while (r.status == CAPOS_STATUS_OK) {
		let_others_idle();
		r = endpoint_reply_recv_words(port, word, 0, 0, &badge);
	}
	return r.status;
}

/* Replies what the next one of a chain does. */
static uint64_t serve_link(void *argument)
{
	capos_handle port = cap("port"), next = cap("next");
	struct request request = { 0 };
	struct capos_result r = endpoint_recv(port, CAPOS_NEVER, 0, &request);
	uint64_t word[CAPOS_WORDS] = { 0 }, badge;

	(void)argument;
	while (r.status == CAPOS_STATUS_OK) {
		must(endpoint_call_words(next, COSTS_IFACE, 0, word, 0, 0));
		r = endpoint_reply_recv_words(port, word, 0, 0, &badge);
	}
	return r.status;
}

static const struct {
	const char *mode;
	thread_function serve;
	uint32_t flags, cpu;
} servers[] = {
	{ "0", serve_0, CAPOS_THREAD_PASSIVE, 0 },	 { "4", serve_4, CAPOS_THREAD_PASSIVE, 0 },
	{ "8", serve_8, CAPOS_THREAD_PASSIVE, 0 },	 { "active", serve_0, 0, 0 },
	{ "link", serve_link, CAPOS_THREAD_PASSIVE, 0 }, { "across", serve_far, 0, 1 },
	{ "apart", serve_far, CAPOS_THREAD_PASSIVE, 1 },
};

/* 100 bytes from the caller's memory; the reply has none. */
static void call_with_message(capos_handle h)
{
	static const char text[100] = "a message";
	uint64_t call = CAPOS_CALL_WORD(COSTS_IFACE, 0, CAPOS_OP_CALL, 0, CAPOS_CALL_MESSAGE);

	message_put(text, sizeof(text));
	(void)capos_call_words(call, &h, NULL, 0, 0);
}

#define CALL_WORDS(words) (void)endpoint_call_words(port_, COSTS_IFACE, 0, word_, words, words)

#define CALLS_OF(name, mode, times, call)                                                                            \
	do {                                                                                                         \
		capos_handle port_ = 0, server_;                                                                     \
		uint64_t word_[CAPOS_WORDS] __attribute__((unused)) = { 1, 2, 3, 4, 5, 6, 7, 8 };                    \
                                                                                                                     \
		must(factory_endpoint(known.factory, COSTS_IFACE, &port_));                                          \
		server_ = costs_child(mode, port_, CAPOS_RIGHT_RECV);                                                \
		for (unsigned i_ = 0; i_ < WARM_UP; i_++)                                                            \
			call;                                                                                        \
		for (unsigned i_ = 0; i_ < (times); i_++)                                                            \
			COST_SAMPLE(name, call);                                                                     \
		costs_child_end(server_);                                                                            \
		must(cap_table_destroy(known.caps, port_));                                                          \
		must(cap_table_release(known.caps, port_));                                                          \
	} while (0)
#define CALLS(name, mode, call) CALLS_OF(name, mode, COST_SAMPLES, call)

/* A chain of LINKS passive servers, each of which calls the next one: called at its last server, at the one before, ... */
#define LINKS 8u

#define NEST(n)                                                                                                      \
	do {                                                                                                         \
		for (unsigned i_ = 0; i_ < WARM_UP; i_++)                                                            \
			(void)endpoint_call_words(port[(n) - 1], COSTS_IFACE, 0, word, 0, 0);                        \
		for (unsigned i_ = 0; i_ < COST_SAMPLES; i_++)                                                       \
			COST_SAMPLE(nest_##n, (void)endpoint_call_words(port[(n) - 1], COSTS_IFACE, 0, word, 0, 0)); \
	} while (0)

static void nested(void)
{
	capos_handle port[LINKS] = { 0 }, server[LINKS];
	uint64_t word[CAPOS_WORDS] = { 0 };

	for (unsigned i = 0; i < LINKS; i++) {
		must(factory_endpoint(known.factory, COSTS_IFACE, &port[i]));
		server[i] =
			i == 0 ? costs_child("0", port[i], CAPOS_RIGHT_RECV) : costs_child_link(port[i], port[i - 1]);
	}
	NEST(1);
	NEST(2);
	NEST(3);
	NEST(4);
	NEST(5);
	NEST(6);
	NEST(7);
	NEST(8);
	must(endpoint_call_words(port[LINKS - 1], COSTS_IFACE, 0, word, 0, 0));
	for (unsigned i = 0; i < LINKS; i++) {
		costs_child_end(server[i]);
		must(cap_table_destroy(known.caps, port[i]));
		must(cap_table_release(known.caps, port[i]));
	}
}

/* The caller's budget goes along. */
static void donations(void)
{
	capos_handle context = costs_context(900000000, 1000000000);
	struct capos_context_info before, after;

	must(scheduling_context_bind_caller_thread(context));
	must(scheduling_context_info(context, &before));
	CALLS(donate_rt_0, "0", CALL_WORDS(0));
	CALLS(donate_rt_8, "8", CALL_WORDS(8));
	nested();
	must(scheduling_context_info(context, &after));
	if (after.used_ns == before.used_ns || after.throttles != 0)
		panic("no budget was used, or all of it");
	must(scheduling_context_unbind(context));
	costs_context_end(context);
}

/* The faulting thread executes the same bad instruction until it is not resumed any more: from fault to fault is one
 * round trip. */
static uint64_t handle_faults(void *argument)
{
	capos_handle port = *(capos_handle *)argument;
	struct message kill = { .word = { CAPOS_FAULT_KILL }, .words = 1 };
	struct request request;
	uint64_t word[CAPOS_WORDS], last, badge;

	must(endpoint_recv(port, CAPOS_NEVER, 0, &request));
	for (unsigned i = 0; i < WARM_UP; i++) {
		word[0] = CAPOS_FAULT_RESUME;
		must(endpoint_reply_recv_words(port, word, 1, 8, &badge));
	}
	last = instructions();
	COST_MARK(2 * COST_fault_rt);
	for (unsigned i = 0; i < COST_SAMPLES; i++) {
		word[0] = CAPOS_FAULT_RESUME;
		(void)endpoint_reply_recv_words(port, word, 1, 8, &badge);

		uint64_t now = instructions();

		COST_MARK(2 * COST_fault_rt + 1);
		cost_add(COST_fault_rt, now - last);
		COST_MARK(2 * COST_fault_rt);
		last = instructions();
	}
	return endpoint_reply(&kill).status;
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

/* A call to a server on the other CPU, beside which nothing else runs. What both execute is counted. */
static void call_far(capos_handle port)
{
	uint64_t word[CAPOS_WORDS] = { 0 };

	(void)endpoint_call_words(port, COSTS_IFACE, 0, word, 0, 0);
	let_others_idle();
}

#define CALLS_FAR(name, mode)                                                                                        \
	CALLS_OF(name, mode, APART_SAMPLES, for (unsigned j_ = 0; j_ < APART_CALLS; j_++) call_far(port_))

void costs_apart(void)
{
	capos_handle context = costs_context(900000000, 1000000000);
	struct capos_context_info info;

	CALLS_FAR(across_rt, "across");
	CALLS_FAR(apart_rt, "apart");
	must(scheduling_context_bind_caller_thread(context));
	CALLS_FAR(across_budget_rt, "across");
	CALLS_FAR(apart_budget_rt, "apart");
	must(scheduling_context_info(context, &info));
	if (info.used_ns == 0 || info.throttles != 0)
		panic("no budget was used, or all of it");
	must(scheduling_context_unbind(context));
	costs_context_end(context);
}

int costs_child_main(const char *mode)
{
	struct thread thread;

	must(thread_set_cpu(known.self, 0));
	for (unsigned i = 0; i < sizeof(servers) / sizeof(servers[0]); i++)
		if (strcmp(mode, servers[i].mode) == 0) {
			must(thread_start_on(&thread, servers[i].serve, NULL, servers[i].cpu, servers[i].flags));
			(void)thread_finish(&thread, CAPOS_NEVER, NULL);
			return 0;
		}
	if (strcmp(mode, "fault") == 0) {
		must(thread_set_fault_endpoint(known.self, cap("port")));
		__builtin_trap();
	}
	if (strcmp(mode, "storm") == 0)
		costs_storm();
	if (strcmp(mode, "throttled-peer") == 0)
		costs_throttled_peer();
	if (strcmp(mode, "preempted") == 0)
		costs_preempted();
	while (strcmp(mode, "hog") == 0)
		__asm__ volatile("" ::: "memory");
	for (;;)
		yield();
}

void costs_ipc(void)
{
	CALLS(ipc_rt_0, "0", CALL_WORDS(0));
	CALLS(ipc_rt_4, "4", CALL_WORDS(4));
	CALLS(ipc_rt_8, "8", CALL_WORDS(8));
	CALLS(ipc_rt_100, "0", call_with_message(port_));
	CALLS(ipc_rt_active, "active", CALL_WORDS(0));
	donations();
	faults();
	yields();
}
