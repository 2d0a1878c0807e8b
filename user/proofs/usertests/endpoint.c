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
	uint64_t word[CAPOS_WORDS] = { 0 };
	capos_handle weak = with_rights(known.timer, CAPOS_RIGHT_READ), stale = stale_handle();

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
	message = (struct message){ .words = 1, .caps = 5 };
	expect_status(endpoint_call_message(port, PROOF_IFACE, PROOF_SUM, &message, 0), BAD_SIZE,
		      "five capabilities");
	message = (struct message){ .words = 1, .caps = 2, .cap = { known.timer, FORGED_HANDLE } };
	tap_ok(endpoint_call_message(port, PROOF_IFACE, PROOF_SUM, &message, 0).status == CAPOS_STATUS_INVALID_HANDLE,
	       "a forged one among them");
	message = (struct message){ .words = 1, .caps = 2, .cap = { known.timer, stale } };
	tap_ok(endpoint_call_message(port, PROOF_IFACE, PROOF_SUM, &message, 0).status == CAPOS_STATUS_STALE_HANDLE,
	       "a stale one among them");
	message = (struct message){ .words = 1, .caps = 1, .cap = { weak } };
	tap_ok(endpoint_call_message(port, PROOF_IFACE, PROOF_SUM, &message, 0).status == CAPOS_STATUS_MISSING_RIGHTS,
	       "one without the grant right");
	self_page()->send_bytes = 513;
	struct capos_result r =
		call_words(port, CAPOS_CALL_WORD(PROOF_IFACE, PROOF_SUM, CAPOS_OP_CALL, 1, CAPOS_CALL_MESSAGE), word);

	expect_status(r, BAD_SIZE, "a message of 513 bytes");
	self_page()->send_bytes = 0;
	r = call_words(port, CAPOS_CALL_WORD(PROOF_IFACE, PROOF_SUM, CAPOS_OP_CALL, 9, 0), word);
	expect_status(r, BAD_SIZE, "nine words");
	drop(weak);
	tap_unchanged(before, "refused calls change nothing");
}

static void rights_and_badges(void)
{
	capos_handle client = 0, receiver = with_rights(port, CAPOS_RIGHT_RECV), other = 0;
	struct request request;
	uint64_t word[2] = { 3 };
	struct capos_result r;

	insist(cap_table_derive(known.caps, port, CAPOS_RIGHT_CALL, 4711, &client));
	expect_good(endpoint_call(client, PROOF_IFACE, PROOF_SUM, word, 1, word, 2), "a call through a badged one");
	tap_ok(word[0] == 4711, "brings the badge");
	expect_status(endpoint_call(receiver, PROOF_IFACE, PROOF_SUM, word, 1, word, 2), MISSING_RIGHTS,
		      "a call without the call right");
	expect_status(endpoint_recv(client, 0, 0, &request), MISSING_RIGHTS, "a receive without the receive right");
	expect_status(endpoint_call(port, PROOF_IFACE + 1, PROOF_SUM, word, 1, word, 2), WRONG_INTERFACE,
		      "a call by another interface");
	expect_status(endpoint_call(port, CAPOS_IFACE_timer, 0, word, 0, NULL, 0), WRONG_INTERFACE,
		      "a call by a kernel interface");
	word[0] = 4242;
	r = endpoint_call(port, PROOF_IFACE, PROOF_FAIL, word, 1, NULL, 0);
	tap_ok(r.status == CAPOS_STATUS_EXCEPTION && r.iresult == 4242, "an exception: %s, result %u",
	       status_name(r.status), r.iresult);
	drop(receiver);
	drop(client);
	expect_detail(factory_endpoint(known.factory, CAPOS_IFACE_timer, NULL), BAD_ARGUMENT, 0,
		      "an endpoint that serves a kernel interface");
	expect_good(factory_endpoint(known.factory, 0, &other), "an endpoint that serves any interface");
	expect_status(endpoint_recv(other, 0, 0, &request), WOULD_BLOCK, "receive with deadline 0");
	expect_status(endpoint_recv(other, 1, 0, &request), TIMED_OUT, "receive with a deadline in the past");
	word[0] = now_ns() + 2 * MS;
	expect_status(endpoint_recv(other, word[0], 0, &request), TIMED_OUT, "receive with a deadline");
	tap_ok(now_ns() >= word[0], "is not early");
	expect_status(endpoint_recv(FORGED_HANDLE, 0, 0, &request), INVALID_HANDLE, "receive on a forged handle");
	expect_status(endpoint_recv(known.timer, 0, 0, &request), WRONG_INTERFACE, "receive on a timer");
	destroy(other);
}

static void replies(void)
{
	struct request request;
	capos_handle other = 0;

	expect_status(endpoint_reply(NULL), NOT_SERVING, "reply with nothing to reply to");
	expect_status(reply_by_token(sample[CAPOS_IFACE_endpoint], 12345, 0), NOT_SERVING,
		      "reply to an unknown token");
	expect_status(reply_by_token(sample[CAPOS_IFACE_endpoint], 0, 0), NOT_SERVING, "reply to token 0");
	expect_status(endpoint_exception(1), NOT_SERVING, "an exception with nothing to reply to");
	insist(factory_endpoint(known.factory, 0, &other));
	expect_status(endpoint_reply_recv(other, NULL, 0, &request), NOT_SERVING, "reply-and-receive with no call");
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
	replies();
	expect_good(endpoint_info(port, &info), "info");
	tap_ok(info.iface == PROOF_IFACE && info.callers_waiting == 0 && info.in_service == 0, "nobody waits");
	expect_good(endpoint_call(port, PROOF_IFACE, PROOF_STOP, NULL, 0, NULL, 0), "stop");
	expect_good(thread_finish(&server, CAPOS_NEVER, &code), "the server ends");
	destroy(port);
}
