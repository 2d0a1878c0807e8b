/* SPDX-License-Identifier: MIT */
/* pingpong [ROUNDS]: calls through an endpoint, to a server on the same CPU and on another one; says what they cost. */
#include <user/capos.h>

#define PING_IFACE (CAPOS_IFACE_USER + 0x100u)

static capos_handle endpoint;

/* Method 0 adds one; method 1 ends the server. */
static uint64_t serve(void *argument)
{
	struct request request;
	struct message reply = { .words = 1 };
	struct capos_result r = endpoint_recv(endpoint, CAPOS_NEVER, 0, &request);

	(void)argument;
	while (r.status == CAPOS_STATUS_OK && request.method == 0) {
		reply.word[0] = request.message.word[0] + 1;
		r = endpoint_reply_recv(endpoint, &reply, 0, &request);
	}
	if (r.status == CAPOS_STATUS_OK)
		r = endpoint_reply(&reply);
	return r.status;
}

static int measure(const char *where, uint32_t server_cpu, uint64_t rounds)
{
	struct thread server;
	uint64_t word = 0, begin, code = 0;
	struct capos_result r = thread_start_on(&server, serve, NULL, server_cpu, 0);

	if (!result_ok(r)) {
		print("pingpong: server: %s\n", status_name(r.status));
		return 1;
	}
	begin = now_ns();
	for (uint64_t i = 0; i < rounds; i++)
		must(endpoint_call(endpoint, PING_IFACE, 0, &word, 1, &word, 1));

	uint64_t span = now_ns() - begin;

	must(endpoint_call(endpoint, PING_IFACE, 1, NULL, 0, NULL, 0));
	must(thread_finish(&server, CAPOS_NEVER, &code));
	print("pingpong: %-22s %6lu ns per call (%lu calls)%s\n", where,
	      (unsigned long)(span / (rounds ? rounds : 1)), (unsigned long)rounds,
	      word == rounds ? "" : ", and a WRONG sum");
	return word != rounds || code != 0;
}

int main(int argc, char **argv)
{
	uint64_t rounds = argc > 1 ? leading_number(argv[1]) : 10000;
	int failed = 0;

	cap_need("timer");
	must(factory_endpoint(known.factory, PING_IFACE, &endpoint));
	must(thread_set_cpu(known.self, 0));
	failed |= measure("server on the same CPU", 0, rounds);
	if (startup()->cpu_count > 1)
		failed |= measure("server on another CPU", 1, rounds);
	return failed;
}
