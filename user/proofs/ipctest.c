/* SPDX-License-Identifier: MIT */
/*
 * run-ipc: calls between threads and processes. Active and passive servers, chains of passive servers, several clients
 * on several CPUs, capabilities both ways, and every way in which a call can end other than by its reply.
 */
#include "proof.h"

#define CALLS 400u
#define CLIENTS 4u
#define CHAIN 4u

static capos_handle port;

static capos_handle new_port(void)
{
	capos_handle h = 0;

	insist(factory_endpoint(known.factory, PROOF_IFACE, &h));
	return h;
}

/* --- load ----------------------------------------------------------------------------------------------------------- */

struct service {
	struct thread thread;
	capos_handle port;
	uint64_t served, sum, bad;
};

/* Replies word[0] + 1 and the badge, by reply-and-receive; ends on PROOF_STOP. */
static uint64_t serve(void *argument)
{
	struct service *service = argument;
	struct request request;
	struct message reply = { .words = 2 };
	struct capos_result r = endpoint_recv(service->port, CAPOS_NEVER, 0, &request);

	while (r.status == CAPOS_STATUS_OK && request.method != PROOF_STOP) {
		if (request.message.words != 2 || request.message.word[1] != ~request.message.word[0])
			service->bad++;
		service->served++;
		service->sum += request.message.word[0];
		reply.word[0] = request.message.word[0] + 1;
		reply.word[1] = request.badge;
		r = endpoint_reply_recv(service->port, &reply, 0, &request);
	}
	if (r.status == CAPOS_STATUS_OK)
		(void)endpoint_reply(NULL);
	return r.status;
}

struct client {
	struct thread thread;
	capos_handle port;
	uint64_t badge, first, bad;
};

static uint64_t call_often(void *argument)
{
	struct client *client = argument;

	for (uint64_t i = 0; i < CALLS; i++) {
		uint64_t word[2] = { client->first + i, ~(client->first + i) };

		if (!result_ok(endpoint_call(client->port, PROOF_IFACE, PROOF_ECHO, word, 2, word, 2)) ||
		    word[0] != client->first + i + 1 || word[1] != client->badge)
			client->bad++;
	}
	return client->bad;
}

static void load(unsigned servers, uint32_t flags, const char *what)
{
	static struct service service[2];
	static struct client client[CLIENTS];
	struct usage before = usage_now();
	uint64_t bad = 0, sum = 0, served = 0, expected = 0, code;

	port = new_port();
	for (unsigned i = 0; i < servers; i++) {
		service[i] = (struct service){ .port = port };
		insist(thread_start_on(&service[i].thread, serve, &service[i], CAPOS_CPU_ANY, flags));
	}
	for (unsigned i = 0; i < CLIENTS; i++) {
		client[i] = (struct client){ .badge = 100 + i, .first = i * 1000000ull };
		insist(cap_table_derive(known.caps, port, CAPOS_RIGHT_CALL, 100 + i, &client[i].port));
		insist(thread_start_on(&client[i].thread, call_often, &client[i], i % startup()->cpu_count, 0));
	}
	for (unsigned i = 0; i < CLIENTS; i++) {
		must(thread_finish(&client[i].thread, CAPOS_NEVER, &code));
		bad += code;
		drop(client[i].port);
		expected += CALLS * client[i].first + (uint64_t)CALLS * (CALLS - 1) / 2;
	}
	for (unsigned i = 0; i < servers; i++)
		(void)endpoint_call(port, PROOF_IFACE, PROOF_STOP, NULL, 0, NULL, 0);
	for (unsigned i = 0; i < servers; i++) {
		must(thread_finish(&service[i].thread, CAPOS_NEVER, &code));
		bad += code + service[i].bad;
		sum += service[i].sum;
		served += service[i].served;
	}
	tap_ok(bad == 0 && served == (uint64_t)CLIENTS * CALLS && sum == expected,
	       "%u clients on %u CPUs, %s: %lu calls, %lu bad, sums agree", CLIENTS, startup()->cpu_count, what,
	       (unsigned long)served, (unsigned long)bad);
	destroy(port);
	tap_returns(before, "everything came back");
}

/* --- a chain of passive servers ----------------------------------------------------------------------------------- */

struct link {
	struct thread thread;
	capos_handle port, next;
};

static uint64_t serve_link(void *argument)
{
	struct link *link = argument;
	struct request request;
	struct message reply = { .words = 1 };
	struct capos_result r = endpoint_recv(link->port, CAPOS_NEVER, 0, &request);

	while (r.status == CAPOS_STATUS_OK && request.method != PROOF_STOP) {
		uint64_t word[1] = { request.message.word[0] + 1 };

		if (link->next)
			(void)endpoint_call(link->next, PROOF_IFACE, PROOF_ECHO, word, 1, word, 1);
		reply.word[0] = word[0] * 2;
		r = endpoint_reply_recv(link->port, &reply, 0, &request);
	}
	if (r.status == CAPOS_STATUS_OK)
		(void)endpoint_reply(NULL);
	return r.status;
}

static void chain(void)
{
	static struct link link[CHAIN];
	struct usage before = usage_now();
	unsigned good = 0;
	uint64_t code;

	for (unsigned i = 0; i < CHAIN; i++) {
		link[i].port = new_port();
		link[i].next = 0;
	}
	for (unsigned i = 0; i < CHAIN; i++) {
		link[i].next = i + 1 < CHAIN ? link[i + 1].port : 0;
		insist(thread_start_on(&link[i].thread, serve_link, &link[i], CAPOS_CPU_ANY, CAPOS_THREAD_PASSIVE));
	}
	for (uint64_t i = 0; i < 200; i++) {
		uint64_t word[1] = { i };

		good += result_ok(endpoint_call(link[0].port, PROOF_IFACE, PROOF_ECHO, word, 1, word, 1)) &&
			word[0] == (i + CHAIN) << CHAIN;
	}
	tap_ok(good == 200, "a chain of %u passive servers: %u of 200 calls right", CHAIN, good);
	for (unsigned i = 0; i < CHAIN; i++) {
		(void)endpoint_call(link[i].port, PROOF_IFACE, PROOF_STOP, NULL, 0, NULL, 0);
		must(thread_finish(&link[i].thread, CAPOS_NEVER, &code));
		destroy(link[i].port);
	}
	tap_returns(before, "everything came back");
}

/* The middle of a chain dies while a call is below it. */
static uint64_t serve_and_die(void *argument)
{
	struct link *link = argument;
	struct request request;
	uint64_t word[1] = { 0 };

	if (IS(endpoint_recv(link->port, CAPOS_NEVER, 0, &request), OK))
		(void)endpoint_call(link->next, PROOF_IFACE, PROOF_ECHO, word, 1, word, 1);
	return 0;
}

static uint64_t keep_call(void *argument)
{
	capos_handle bell = *(capos_handle *)argument;
	struct request request;
	uint64_t bits;

	if (!IS(endpoint_recv(port, CAPOS_NEVER, 0, &request), OK))
		return 1;
	(void)notification_wait(bell, CAPOS_NEVER, &bits);
	return endpoint_reply(NULL).status;
}

static uint64_t call_once(void *argument)
{
	capos_handle h = *(capos_handle *)argument;
	uint64_t word[1] = { 1 };

	return endpoint_call(h, PROOF_IFACE, PROOF_ECHO, word, 1, word, 1).status;
}

static bool in_service(capos_handle h)
{
	struct endpoint_info info = { 0 };

	return result_ok(endpoint_info(h, &info)) && info.in_service == 1;
}

static void broken_chain(uint32_t flags, const char *what)
{
	static struct link middle;
	static capos_handle bell;
	struct thread bottom, top;
	struct usage before = usage_now();
	uint64_t code = 0;

	insist(factory_notification(known.factory, &bell));
	port = new_port();
	middle = (struct link){ .port = new_port(), .next = port };
	insist(thread_start_on(&bottom, keep_call, &bell, CAPOS_CPU_ANY, flags));
	insist(thread_start_on(&middle.thread, serve_and_die, &middle, CAPOS_CPU_ANY, flags));
	insist(thread_start(&top, call_once, &middle.port));
	tap_ok(becomes_true(in_service(port) && in_service(middle.port)), "%s: a call waits at the end of the chain",
	       what);
	expect_good(thread_terminate(middle.thread.handle), "its middle is terminated");
	must(thread_finish(&middle.thread, CAPOS_NEVER, NULL));
	expect_good(thread_finish(&top, now_ns() + 5 * SECOND, &code), "the caller goes on");
	tap_ok(code == CAPOS_STATUS_PEER_GONE, "with peerGone (%s)", status_name((unsigned)code));
	(void)notification_signal(bell, 1);
	expect_good(thread_finish(&bottom, now_ns() + 5 * SECOND, &code), "the last server goes on");
	tap_ok(code == CAPOS_STATUS_NOT_SERVING, "with nothing to reply to (%s)", status_name((unsigned)code));
	destroy(bell);
	destroy(middle.port);
	destroy(port);
	tap_returns(before, "everything came back");
}

/* --- between processes --------------------------------------------------------------------------------------------- */

static capos_handle start_server(void)
{
	struct capos_spawn spawn;
	capos_handle process = 0;

	port = new_port();
	child_init(&spawn, "serve");
	(void)spawn_grant(&spawn, "port", port, CAPOS_RIGHT_RECV);
	insist(spawn_start(&spawn, &process, NULL));
	return process;
}

static void processes(void)
{
	struct usage before = usage_now();
	capos_handle server = start_server();
	uint64_t word[2] = { 5, 6 }, sum = 0;
	unsigned good = 0;
	struct capos_result r;
	struct message message = { .words = 1, .caps = 3, .cap = { known.timer, known.timer, known.timer } };

	for (uint64_t i = 1; i <= 200; i++) {
		sum += i;
		word[0] = i;
		good += result_ok(endpoint_call(port, PROOF_IFACE, PROOF_SUM, word, 2, word, 2)) && word[0] == sum;
	}
	tap_ok(good == 200, "200 calls to another process");
	r = endpoint_call_message(port, PROOF_IFACE, PROOF_ECHO, &message, 0);
	tap_ok(r.status == CAPOS_STATUS_OK, "three capabilities to another process: %s", status_name(r.status));
	word[0] = 99;
	r = endpoint_call(port, PROOF_IFACE, PROOF_FAIL, word, 1, NULL, 0);
	tap_ok(r.status == CAPOS_STATUS_EXCEPTION && r.iresult == 99, "an exception of another process: %s, %u",
	       status_name(r.status), r.iresult);
	r = endpoint_call(port, PROOF_IFACE, PROOF_DIE, word, 1, NULL, 0);
	expect_status(r, PEER_GONE, "a server that ends in a call");
	tap_ok(ended(child_end(server), CAPOS_EXIT_NORMAL, 44), "ended");
	destroy(port);
	tap_returns(before, "everything came back");
}

static uint64_t keep_one(void *argument)
{
	(void)argument;

	uint64_t word[1] = { 1 };

	return endpoint_call(port, PROOF_IFACE, PROOF_KEEP, word, 1, NULL, 0).status;
}

static void server_killed(void)
{
	struct usage before = usage_now();
	capos_handle server = start_server();
	struct thread callers[3];
	struct endpoint_info info = { 0 };
	uint64_t code = 0;
	bool good = true;

	for (unsigned i = 0; i < 3; i++)
		insist(thread_start(&callers[i], keep_one, NULL));
	tap_ok(becomes_true(result_ok(endpoint_info(port, &info)) && info.in_service == 3),
	       "three calls that a server keeps");
	(void)process_kill(server, 1);
	for (unsigned i = 0; i < 3; i++)
		good = result_ok(thread_finish(&callers[i], now_ns() + 5 * SECOND, &code)) &&
		       code == CAPOS_STATUS_PEER_GONE && good;
	tap_ok(good, "end with peerGone when it is killed");
	(void)child_end(server);
	destroy(port);
	tap_returns(before, "everything came back");
}

static void caller_killed(bool terminate)
{
	struct usage before = usage_now();
	struct capos_spawn spawn;
	struct request request;
	struct thread caller;
	capos_handle process = 0;

	port = new_port();
	if (terminate) {
		insist(thread_start(&caller, keep_one, NULL));
	} else {
		child_init(&spawn, "call 0");
		(void)spawn_grant(&spawn, "port", port, CAPOS_RIGHT_CALL);
		insist(spawn_start(&spawn, &process, NULL));
	}
	expect_status(endpoint_recv(port, now_ns() + 5 * SECOND, 0, &request), OK, "a call is received");
	if (terminate) {
		(void)thread_terminate(caller.handle);
		(void)thread_finish(&caller, CAPOS_NEVER, NULL);
	} else {
		(void)process_kill(process, 3);
		(void)child_end(process);
	}
	expect_status(endpoint_reply(NULL), NOT_SERVING,
		      terminate ? "its thread is gone: nothing to reply to"
				: "its process is gone: nothing to reply to");
	destroy(port);
	tap_returns(before, "everything came back");
}

/* --- ends of endpoints and authority ------------------------------------------------------------------------------ */

static uint64_t receive_once(void *argument)
{
	struct request request;

	return endpoint_recv(*(capos_handle *)argument, CAPOS_NEVER, 0, &request).status;
}

static bool all_end_with(struct thread *threads, unsigned count, unsigned status)
{
	bool good = true;

	for (unsigned i = 0; i < count; i++) {
		uint64_t code = 0;

		good = result_ok(thread_finish(&threads[i], now_ns() + 5 * SECOND, &code)) && good;
		if (code != status) {
			tap_note("thread %u ended with %s", i, status_name((unsigned)code));
			good = false;
		}
	}
	return good;
}

static void endpoint_ends(void)
{
	struct usage before = usage_now();
	struct thread threads[4];
	struct endpoint_info info = { 0 };
	struct request request;
	static capos_handle client;

	port = new_port();
	for (unsigned i = 0; i < 4; i++)
		insist(thread_start(&threads[i], call_once, &port));
	tap_ok(becomes_true(result_ok(endpoint_info(port, &info)) && info.callers_waiting == 4), "four callers wait");
	expect_status(endpoint_recv(port, CAPOS_NEVER, 0, &request), OK, "one is served");
	expect_good(cap_table_destroy(known.caps, port), "the endpoint is destroyed");
	tap_ok(all_end_with(threads, 4, CAPOS_STATUS_REVOKED), "all four end with `revoked`");
	expect_status(endpoint_reply(NULL), NOT_SERVING, "nothing is left to reply to");
	drop(port);
	port = new_port();
	for (unsigned i = 0; i < 4; i++)
		insist(thread_start(&threads[i], receive_once, &port));
	tap_ok(becomes_true(result_ok(endpoint_info(port, &info)) && info.receivers_waiting == 4),
	       "four receivers wait");
	expect_good(cap_table_destroy(known.caps, port), "the endpoint is destroyed");
	tap_ok(all_end_with(threads, 4, CAPOS_STATUS_REVOKED), "all four end with `revoked`");
	drop(port);
	port = new_port();
	insist(cap_table_derive(known.caps, port, CAPOS_RIGHT_CALL, 5, &client));
	for (unsigned i = 0; i < 2; i++)
		insist(thread_start(&threads[i], call_once, &client));
	tap_ok(becomes_true(result_ok(endpoint_info(port, &info)) && info.callers_waiting == 2),
	       "two callers wait through a derived capability");
	expect_status(endpoint_recv(port, CAPOS_NEVER, 0, &request), OK, "one is served");
	expect_good(cap_table_revoke(known.caps, port), "what was derived is revoked");
	tap_ok(all_end_with(threads, 2, CAPOS_STATUS_REVOKED), "both end with `revoked`");
	expect_status(endpoint_reply(NULL), NOT_SERVING, "the one in service too");
	drop(client);
	expect_status(endpoint_recv(port, 0, 0, &request), WOULD_BLOCK, "the endpoint itself goes on");
	destroy(port);
	tap_returns(before, "everything came back");
}

/* --- replies by token ----------------------------------------------------------------------------------------------- */

static uint64_t call_with_number(void *argument)
{
	uint64_t word[1] = { (uintptr_t)argument };

	if (!result_ok(endpoint_call(port, PROOF_IFACE, PROOF_ECHO, word, 1, word, 1)))
		return 0;
	return word[0];
}

static void tokens(void)
{
	struct usage before = usage_now();
	struct thread threads[5];
	uint64_t token[5], number[5], code = 0;
	struct request request;
	bool good = true;

	port = new_port();
	for (unsigned i = 0; i < 5; i++)
		insist(thread_start(&threads[i], call_with_number, (void *)(uintptr_t)(10 + i)));
	for (unsigned i = 0; i < 5; i++) {
		good = IS(endpoint_recv(port, now_ns() + 5 * SECOND, 0, &request), OK) && good;
		token[i] = request.token;
		number[i] = request.message.word[0];
	}
	tap_ok(good, "five calls are received before any is answered");
	for (unsigned i = 5; i-- > 0;)
		good = IS(reply_by_token(port, token[i], number[i] * 3), OK) && good;
	tap_ok(good, "they are answered by token, the last first");
	expect_status(reply_by_token(port, token[2], 0), NOT_SERVING, "a token answers once");
	for (unsigned i = 0; i < 5; i++)
		good = result_ok(thread_finish(&threads[i], now_ns() + 5 * SECOND, &code)) &&
		       code == 3ull * (10 + i) && good;
	tap_ok(good, "each caller has its own answer");
	destroy(port);
	tap_returns(before, "everything came back");
}

/* --- capabilities ---------------------------------------------------------------------------------------------------- */

static uint64_t take_none(void *argument)
{
	struct request request;
	struct capos_result r = endpoint_recv(port, CAPOS_NEVER, 0, &request);

	(void)argument;
	if (r.status == CAPOS_STATUS_OK)
		(void)endpoint_reply(NULL);
	return r.status;
}

static void transfers(void)
{
	struct usage before = usage_now();
	struct message message = { .words = 1, .caps = 1, .cap = { known.timer } };
	struct thread server;
	uint64_t code = 1;
	struct capos_result r;

	port = new_port();
	insist(thread_start(&server, take_none, NULL));
	(void)becomes_true(waits_on(server.handle) == CAPOS_WAIT_RECV);
	r = endpoint_call_message(port, PROOF_IFACE, PROOF_ECHO, &message, 0);
	expect_status(r, NO_SLOTS, "a capability for a server that takes none");
	tap_ok(waits_on(server.handle) == CAPOS_WAIT_RECV, "the server still waits");
	expect_good(endpoint_call(port, PROOF_IFACE, PROOF_ECHO, NULL, 0, NULL, 0), "a call without one is served");
	expect_good(thread_finish(&server, CAPOS_NEVER, &code), "the server ends");
	destroy(port);
	tap_returns(before, "everything came back");
}

/* --- fault endpoints --------------------------------------------------------------------------------------------------- */

static capos_handle fault_port, gate;
static uint64_t hole;

/* Waits until its fault endpoint is set. */
static uint64_t read_hole(void *argument)
{
	uint64_t bits;

	(void)argument;
	(void)notification_wait(gate, CAPOS_NEVER, &bits);
	return peek(hole);
}

/* The instruction is two bytes long, on every machine. */
static uint64_t two_traps(void *argument)
{
	(void)argument;
	__asm__ volatile("ud2\n\tud2");
	return 88;
}

static void faults(void)
{
	struct usage before = usage_now();
	struct thread thread;
	struct request request;
	struct message reply = { .words = 1, .word = { CAPOS_FAULT_RESUME } };
	struct block block;
	uint64_t code = 0, at = 0;

	insist(factory_endpoint(known.factory, 0, &fault_port));
	insist(factory_notification(known.factory, &gate));
	insist(block_map(&block, CAPOS_PAGE_BYTES));
	hole = (uintptr_t)block.address;
	*(uint32_t *)block.address = 4321;
	insist(thread_start(&thread, read_hole, NULL)); /* before the hole is made, or its stack might fill it */
	insist(address_space_unmap(known.space, hole, CAPOS_PAGE_BYTES));
	expect_good(thread_set_fault_endpoint(thread.handle, fault_port), "a fault endpoint");
	(void)notification_signal(gate, 1);
	expect_status(endpoint_recv(fault_port, now_ns() + 5 * SECOND, 0, &request), OK,
		      "the fault of a thread is a call");
	tap_ok(request.method == 0 && request.message.word[0] == CAPOS_FAULT_PAGE &&
		       request.message.word[2] == hole && request.message.word[5] == thread.id &&
		       request.message.word[6] == startup()->process_id,
	       "it names cause, address, thread, process");
	insist(address_space_map(known.space, block.memory, 0, hole, CAPOS_PAGE_BYTES, CAPOS_MAP_WRITE, &at));
	expect_status(endpoint_reply(&reply), OK, "mapped, then resumed");
	expect_good(thread_finish(&thread, now_ns() + 5 * SECOND, &code), "the thread goes on");
	tap_ok(code == 4321, "and reads what is there now (%lu)", (unsigned long)code);
	block_unmap(&block);
	destroy(gate);
	destroy(fault_port);
	tap_returns(before, "everything came back");
}

static uint64_t wait_then_trap(void *argument)
{
	uint64_t bits;

	(void)notification_wait(gate, CAPOS_NEVER, &bits);
	return two_traps(argument);
}

static void fault_skip(void)
{
	struct usage before = usage_now();
	struct thread thread;
	struct request request;
	struct message reply = { .words = 1, .word = { CAPOS_FAULT_SKIP } };
	uint64_t code = 0, ip[2] = { 0 };
	bool good = true;

	insist(factory_endpoint(known.factory, 0, &fault_port));
	insist(factory_notification(known.factory, &gate));
	insist(thread_start(&thread, wait_then_trap, NULL));
	must(thread_set_fault_endpoint(thread.handle, fault_port));
	(void)notification_signal(gate, 1);
	for (unsigned i = 0; i < 2; i++) {
		good = IS(endpoint_recv(fault_port, now_ns() + 5 * SECOND, 0, &request), OK) &&
		       request.message.word[0] == CAPOS_FAULT_OPCODE && good;
		ip[i] = request.message.word[3];
		good = IS(endpoint_reply(&reply), OK) && good;
	}
	tap_ok(good && ip[1] == ip[0] + 2, "two invalid instructions, skipped one by one");
	expect_good(thread_finish(&thread, now_ns() + 5 * SECOND, &code), "the thread goes on");
	tap_ok(code == 88, "behind them");
	destroy(gate);
	destroy(fault_port);
	tap_returns(before, "everything came back");
}

/* A child that faults with an endpoint of ours: killed by the reply, and by the endpoint's end. The handle of its thread
 * comes by a call. */
static void fault_kill(void)
{
	struct usage before = usage_now();
	struct process_end end;
	struct capos_spawn spawn;
	capos_handle process = 0;

	child_init(&spawn, "trap");
	insist(spawn_start(&spawn, &process, NULL));
	end = child_end(process);
	tap_ok(end.cause == CAPOS_EXIT_FAULT && end.fault_cause == CAPOS_FAULT_PAGE && end.fault_address == 16,
	       "without a fault endpoint the process ends");
	tap_returns(before, "everything came back");
}

int main(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	tap_plan(0);
	grow_table();
	(void)child_run("exit 0");
	load(1, 0, "one active server");
	load(2, 0, "two active servers");
	load(1, CAPOS_THREAD_PASSIVE, "one passive server");
	load(2, CAPOS_THREAD_PASSIVE, "two passive servers");
	chain();
	broken_chain(0, "active");
	broken_chain(CAPOS_THREAD_PASSIVE, "passive");
	processes();
	server_killed();
	caller_killed(false);
	caller_killed(true);
	endpoint_ends();
	tokens();
	transfers();
	faults();
	fault_skip();
	fault_kill();
	return tap_done();
}
