/* SPDX-License-Identifier: MIT */
/* Endpoints: words, messages, capabilities, badges, and what is refused. Traffic and failures are in ipctest. */
#include "errors.h"

static capos_handle port; /* all rights */

/* Answers with what came, reversed words; ends on PROOF_STOP. */
static uint64_t serve(void *argument)
{
	struct request request;
	uint8_t bytes[CAPOS_MESSAGE_BYTES];

	(void)argument;
	while (IS(endpoint_recv(port, CAPOS_NEVER, 4, &request), OK)) {
		struct message reply = { .words = request.message.words,
					 .bytes = bytes,
					 .bytes_sent = request.message.bytes_got,
					 .caps = request.message.caps };

		message_get(bytes, sizeof(bytes));
		for (unsigned i = 0; i < reply.words; i++)
			reply.word[i] = request.message.word[reply.words - 1 - i];
		for (unsigned i = 0; i < reply.bytes_sent; i++)
			bytes[i] = (uint8_t)(bytes[i] ^ 0xffu);
		memcpy(reply.cap, request.message.cap, sizeof(reply.cap));
		if (request.method == PROOF_FAIL) {
			(void)endpoint_exception((uint16_t)request.message.word[0]);
		} else if (request.method == PROOF_KEEP) {
			reply = (struct message){ .bytes = "answer", .bytes_sent = 6 };
			(void)endpoint_reply(&reply);
		} else if (request.method == PROOF_SUM) {
			reply = (struct message){ .words = 2, .word = { request.badge, request.message.caps } };
			for (unsigned i = 0; i < request.message.caps; i++)
				drop(request.message.cap[i]);
			(void)endpoint_reply(&reply);
		} else {
			(void)endpoint_reply(&reply);
			for (unsigned i = 0; i < reply.caps; i++)
				drop(request.message.cap[i]);
		}
		if (request.method == PROOF_STOP)
			return 0;
	}
	return 1;
}

static void words_and_bytes(void)
{
	static uint8_t sent[CAPOS_MESSAGE_BYTES], got[CAPOS_MESSAGE_BYTES];
	const unsigned sizes[] = { 1, 7, 8, 64, 511, 512 };

	for (unsigned count = 0; count <= CAPOS_WORDS; count++) {
		uint64_t word[CAPOS_WORDS], out[CAPOS_WORDS] = { 0 };
		bool same;

		for (unsigned i = 0; i < CAPOS_WORDS; i++)
			word[i] = 0x1111111111111ull * (i + 1) + count;
		same = result_ok(endpoint_call(port, PROOF_IFACE, PROOF_ECHO, word, count, out, count));
		for (unsigned i = 0; i < count; i++)
			same = same && out[i] == word[count - 1 - i];
		tap_ok(same, "a call with %u words", count);
	}
	for (unsigned i = 0; i < sizeof(sent); i++)
		sent[i] = (uint8_t)(i * 13);
	for (unsigned k = 0; k < COUNT_OF(sizes); k++) {
		struct message message = { .words = 1, .bytes = sent, .bytes_sent = sizes[k] };
		bool same = result_ok(endpoint_call_message(port, PROOF_IFACE, PROOF_ECHO, &message, 0)) &&
			    message.bytes_got == sizes[k];

		message_get(got, sizeof(got));
		for (unsigned i = 0; i < sizes[k]; i++)
			same = same && got[i] == 255 - sent[i];
		tap_ok(same, "a message of %u bytes there and back", sizes[k]);
	}
}

static void capabilities(void)
{
	struct message message = { .words = 1, .caps = 4 };
	struct usage before = usage_now();
	bool good = true;

	for (unsigned i = 0; i < 4; i++)
		message.cap[i] = known.timer;
	good = result_ok(endpoint_call_message(port, PROOF_IFACE, PROOF_ECHO, &message, 4)) && message.caps == 4;
	for (unsigned i = 0; i < message.caps; i++) {
		good = good && message.cap[i] != known.timer && result_ok(timer_now(message.cap[i], NULL));
		drop(message.cap[i]);
	}
	tap_ok(good, "four capabilities there and back");
	message = (struct message){ .words = 1, .caps = 1, .cap = { known.timer } };
	expect_status(endpoint_call_message(port, PROOF_IFACE, PROOF_SUM, &message, 0), OK, "one to the server");
	tap_ok(message.word[1] == 1, "arrived");
	tap_unchanged(before, "capabilities that were given back leave nothing");
}

static void rights_and_badges(void)
{
	capos_handle client = 0, other = 0;
	struct request request;
	uint64_t word[2] = { 3 };

	insist(cap_table_derive(known.caps, port, CAPOS_RIGHT_CALL, 4711, &client));
	expect_good(endpoint_call(client, PROOF_IFACE, PROOF_SUM, word, 1, word, 2), "a call through a badged one");
	tap_ok(word[0] == 4711, "brings the badge");
	drop(client);
	FAILS(factory, endpoint, BAD_ARGUMENT, 0, "a kernel interface", .handle = known.factory,
	      .word = { CAPOS_IFACE_timer });
	expect_good(factory_endpoint(known.factory, 0, &other), "an endpoint that serves any interface");
	word[0] = now_ns() + 2 * MS;
	expect_status(endpoint_recv(other, word[0], 0, &request), TIMED_OUT, "receive with a deadline");
	tap_ok(now_ns() >= word[0], "is not early");
	destroy(other);
}

void test_endpoint(void)
{
	struct thread server;
	uint64_t code = 1;
	struct endpoint_info info = { 0 };

	insist(factory_endpoint(known.factory, PROOF_IFACE, &port));
	insist(thread_start(&server, serve, NULL));
	words_and_bytes();
	capabilities();
	rights_and_badges();
	expect_good(endpoint_info(port, &info), "info");
	tap_ok(info.iface == PROOF_IFACE && info.callers_waiting == 0 && info.in_service == 0, "nobody waits");
	expect_good(endpoint_call(port, PROOF_IFACE, PROOF_STOP, NULL, 0, NULL, 0), "stop");
	expect_good(thread_finish(&server, CAPOS_NEVER, &code), "the server ends");
	destroy(port);
	test_endpoint_errors();
}
