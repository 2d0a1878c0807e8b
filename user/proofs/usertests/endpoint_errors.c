/* SPDX-License-Identifier: MIT */
/* Every way in which a call through an endpoint, a receive or a reply can fail. */
#include "errors.h"

#define CALL_OF(method) CAPOS_CALL_WORD(PROOF_IFACE, method, CAPOS_OP_CALL, 0, 0)
#define OP(op) CAPOS_CALL_WORD(0, 0, CAPOS_OP_##op, 0, 0)
#define OP_WITH(op, words, flags) CAPOS_CALL_WORD(0, 0, CAPOS_OP_##op, words, flags)

/* All rights: one that is served, one where nobody is but who a test puts there. */
static capos_handle served, empty;
static unsigned accepts;

/* --- the other side ------------------------------------------------------------------------------------------------------ */

/* Serves: an exception, a message, nothing; until PROOF_STOP. */
static uint64_t serve(void *argument)
{
	struct request request;

	(void)argument;
	while (IS(endpoint_recv(served, CAPOS_NEVER, accepts, &request), OK)) {
		struct message reply = { .bytes = "answer", .bytes_sent = request.method == PROOF_KEEP ? 6 : 0 };

		if (request.method == PROOF_FAIL)
			(void)endpoint_exception(4242);
		else
			(void)endpoint_reply(&reply);
		if (request.method == PROOF_STOP)
			return 0;
	}
	return 1;
}

/* Takes a call and ends. */
static uint64_t take_and_end(void *argument)
{
	struct request request;

	(void)argument;
	return endpoint_recv(empty, CAPOS_NEVER, 0, &request).status;
}

/* Calls, and accepts capabilities; its exit code is the status. */
static uint64_t call_once(void *argument)
{
	struct message message = { 0 };

	(void)argument;
	return endpoint_call_message(empty, PROOF_IFACE, PROOF_ECHO, &message, accepts).status;
}

static void start_server(struct thread *server, unsigned accept)
{
	accepts = accept;
	insist(thread_start(server, serve, NULL));
	(void)becomes_true(waits_on(server->handle) == CAPOS_WAIT_RECV);
}

static void stop_server(struct thread *server)
{
	(void)endpoint_call(served, PROOF_IFACE, PROOF_STOP, NULL, 0, NULL, 0);
	must(thread_finish(server, CAPOS_NEVER, NULL));
}

/* A caller whose call this thread is serving then. */
static void take_call(struct thread *caller, unsigned accept)
{
	struct request request;

	accepts = accept;
	insist(thread_start(caller, call_once, NULL));
	(void)becomes_true(waits_on(caller->handle) == CAPOS_WAIT_CALL);
	must(endpoint_recv(empty, CAPOS_NEVER, 0, &request));
}

static void answer_call(struct thread *caller)
{
	uint64_t status = 1;

	(void)endpoint_reply(NULL);
	must(thread_finish(caller, CAPOS_NEVER, &status));
	tap_ok(status == CAPOS_STATUS_OK, "the call that was refused an answer is answered after all");
}

/* --- handles, sizes, flags ------------------------------------------------------------------------------------------------- */

/* Each operation through each bad handle. */
#define BAD_PORTS(op_, word_)                                                                                        \
	FAILS(op, op_, INVALID_HANDLE, 0, "a forged handle", .call = (word_), .handle = FORGED_HANDLE,               \
	      .deadline_ns = CAPOS_NEVER);                                                                           \
	FAILS(op, op_, STALE_HANDLE, 0, "a stale handle", .call = (word_), .handle = stale,                          \
	      .deadline_ns = CAPOS_NEVER);                                                                           \
	FAILS(op, op_, REVOKED, 0, "a revoked handle", .call = (word_), .handle = revoked,                           \
	      .deadline_ns = CAPOS_NEVER);                                                                           \
	FAILS(op, op_, WRONG_INTERFACE, 0, "a timer", .call = (word_), .handle = known.timer,                        \
	      .deadline_ns = CAPOS_NEVER)

static void handles(void)
{
	capos_handle stale = stale_handle(), revoked = revoked_handle(served);
	capos_handle caller = with_rights(served, CAPOS_RIGHT_CALL), server = with_rights(served, CAPOS_RIGHT_RECV);

	BAD_PORTS(call, CALL_OF(PROOF_ECHO));
	BAD_PORTS(recv, OP(RECV));
	BAD_PORTS(reply_recv, OP(REPLY_RECV));
	BAD_PORTS(reply, OP(REPLY));
	FAILS(op, call, WRONG_INTERFACE, 0, "another program's interface", .handle = served,
	      .call = CAPOS_CALL_WORD(PROOF_IFACE + 1, 0, CAPOS_OP_CALL, 0, 0));
	FAILS(op, call, WRONG_INTERFACE, 0, "a kernel interface", .handle = served,
	      .call = CAPOS_CALL_WORD(CAPOS_IFACE_timer, 0, CAPOS_OP_CALL, 0, 0));
	FAILS(op, call, MISSING_RIGHTS, 0, "no right to call", .handle = server, .call = CALL_OF(PROOF_ECHO));
	FAILS(op, recv, MISSING_RIGHTS, 0, "no right to receive", .handle = caller, .call = OP(RECV));
	FAILS(op, reply_recv, MISSING_RIGHTS, 0, "no right to receive", .handle = caller, .call = OP(REPLY_RECV));
	FAILS(op, reply, MISSING_RIGHTS, 0, "no right to receive", .handle = caller, .call = OP(REPLY));
	drop(caller);
	drop(server);
	drop(revoked);
}

/* What a call and the replies have in common: `word_` without words and flags, `bad_flag` that the operation does not have. */
#define BAD_MESSAGES(op_, handle_, word_, bad_flag)                                                                  \
	FAILS(op, op_, BAD_SIZE, 0, "nine words", .handle = (handle_), .call = (word_) | 9ull << 52);                \
	FAILS(op, op_, BAD_SIZE, 0, "513 bytes", .handle = (handle_), .call = (word_), .message = bytes,             \
	      .bytes = sizeof(bytes));                                                                               \
	FAILS(op, op_, BAD_SIZE, 0, "five capabilities", .handle = (handle_), .call = (word_), .caps = 5,            \
	      .cap = known.timer, .deadline_ns = CAPOS_NEVER);                                                       \
	FAILS(op, op_, BAD_ARGUMENT, CAPOS_DETAIL_CALL_WORD, "a flag", .handle = (handle_),                          \
	      .call = (word_) | (uint64_t)(bad_flag) << 56);                                                         \
	FAILS(op, op_, INVALID_HANDLE, CAPOS_DETAIL_HANDLE, "a forged capability goes along", .handle = (handle_),   \
	      .call = (word_), .caps = 1, .cap = FORGED_HANDLE, .deadline_ns = CAPOS_NEVER);                         \
	FAILS(op, op_, STALE_HANDLE, CAPOS_DETAIL_HANDLE, "a stale capability goes along", .handle = (handle_),      \
	      .call = (word_), .caps = 1, .cap = stale, .deadline_ns = CAPOS_NEVER);                                 \
	FAILS(op, op_, REVOKED, CAPOS_DETAIL_HANDLE, "a revoked capability goes along", .handle = (handle_),         \
	      .call = (word_), .caps = 1, .cap = revoked, .deadline_ns = CAPOS_NEVER);                               \
	FAILS(op, op_, MISSING_RIGHTS, CAPOS_DETAIL_HANDLE, "one that cannot be granted", .handle = (handle_),       \
	      .call = (word_), .caps = 1, .cap = weak, .deadline_ns = CAPOS_NEVER)

static void messages(void)
{
	static const uint8_t bytes[CAPOS_MESSAGE_BYTES + 1];
	capos_handle stale = stale_handle(), revoked = revoked_handle(sample[CAPOS_IFACE_notification]);
	capos_handle weak = with_rights(known.timer, CAPOS_RIGHT_READ);

	BAD_MESSAGES(call, served, CALL_OF(PROOF_ECHO), CAPOS_CALL_EXCEPTION);
	BAD_MESSAGES(reply_recv, served, OP(REPLY_RECV), 16);
	BAD_MESSAGES(reply, served, OP(REPLY), 16);
	FAILS(op, recv, BAD_SIZE, 0, "nine words", .handle = served, .call = OP_WITH(RECV, 9, 0));
	FAILS(op, recv, BAD_ARGUMENT, CAPOS_DETAIL_CALL_WORD, "a reply's flag", .handle = served,
	      .call = OP_WITH(RECV, 1, CAPOS_CALL_EXCEPTION));
	FAILS(op, call, BAD_ADDRESS, 0, "a message in the kernel", .handle = served, .call = CALL_OF(PROOF_ECHO),
	      .message = (void *)BAD_KERNEL, .bytes = 8);
	FAILS(op, recv, BAD_ADDRESS, 0, "a message in the kernel", .handle = served, .call = OP(RECV),
	      .message = (void *)BAD_KERNEL, .bytes = 8);
	FAILS(op, reply, BAD_ADDRESS, 0, "a message in the kernel", .handle = served, .call = OP(REPLY),
	      .message = (void *)BAD_KERNEL, .bytes = 8);
	drop(weak);
	drop(revoked);
}

/* --- the other side fails --------------------------------------------------------------------------------------------------- */

static void answers(void)
{
	struct thread server;

	start_server(&server, 0);
	FAILS(op, call, NO_SLOTS, 0, "the server accepts no capability", .handle = served,
	      .call = CALL_OF(PROOF_ECHO), .caps = 1, .cap = known.timer, .deadline_ns = CAPOS_NEVER);
	FAILS(op, call, EXCEPTION, 0, "the server says so", .handle = served, .call = CALL_OF(PROOF_FAIL),
	      .exception = 4242, .deadline_ns = CAPOS_NEVER);
	FAILS(op, call, RESULT_TOO_LARGE, 0, "a message comes back", .handle = served, .call = CALL_OF(PROOF_KEEP),
	      .deadline_ns = CAPOS_NEVER);
	stop_server(&server);
	insist(thread_start(&server, take_and_end, NULL));
	FAILS_BY(CALL, op, call, PEER_GONE, 0, "the server ends", .handle = empty, .call = CALL_OF(PROOF_ECHO),
		 .served = true);
	must(thread_finish(&server, CAPOS_NEVER, NULL));
	insist(thread_start(&server, take_and_end, NULL));
	FAILS_BY(RING, op, call, PEER_GONE, 0, "the server ends", .handle = empty, .call = CALL_OF(PROOF_ECHO),
		 .deadline_ns = CAPOS_NEVER, .served = true);
	must(thread_finish(&server, CAPOS_NEVER, NULL));
}

static void callers(void)
{
	struct thread caller;

	FAILS(op, reply, NOT_SERVING, 0, "no call is served", .handle = served, .call = OP(REPLY));
	FAILS(op, reply_recv, NOT_SERVING, 0, "no call is served", .handle = served, .call = OP(REPLY_RECV));
	self_page()->reply_token = 12345;
	FAILS(op, reply, NOT_SERVING, 0, "an unknown token", .handle = served,
	      .call = OP_WITH(REPLY, 0, CAPOS_CALL_TOKEN));
	self_page()->reply_token = 0;
	FAILS(op, reply, NOT_SERVING, 0, "token 0", .handle = served, .call = OP_WITH(REPLY, 0, CAPOS_CALL_TOKEN));
	FAILS_BY(CALL, op, reply, NOT_SERVING, 0, "no handle, and no call is served", .call = OP(REPLY));
	FAILS_BY(CALL, op, reply, NOT_SERVING, 0, "an exception to nobody",
		 .call = OP_WITH(REPLY, 0, CAPOS_CALL_EXCEPTION));
	take_call(&caller, 0);
	FAILS(op, reply, NO_SLOTS, 0, "the caller accepts no capability", .handle = empty, .call = OP(REPLY),
	      .caps = 1, .cap = known.timer);
	FAILS(op, reply_recv, NO_SLOTS, 0, "the caller accepts no capability", .handle = empty,
	      .call = OP(REPLY_RECV), .caps = 1, .cap = known.timer);
	answer_call(&caller);
}

/* --- waiting ------------------------------------------------------------------------------------------------------------------ */

static void waits(void)
{
	struct capos_sqe entry = RING_CALL(1, cap_table, nop, known.caps, 0, 0, 0, 0, 0);
	struct thread caller;
	struct capos_cqe done;
	uint64_t status = 1;

	FAILS(op, recv, WOULD_BLOCK, 0, "deadline 0", .handle = empty, .call = OP_WITH(RECV, 1, 0));
	FAILS(op, recv, TIMED_OUT, 0, "a deadline in the past", .handle = empty, .call = OP_WITH(RECV, 1, 0),
	      .word = { 1 }, .deadline_ns = 1);
	FAILS(op, call, WOULD_BLOCK, 0, "deadline 0", .handle = empty, .call = CALL_OF(PROOF_ECHO));
	FAILS(op, call, TIMED_OUT, 0, "a deadline in the past", .handle = empty, .call = CALL_OF(PROOF_ECHO),
	      .deadline_ns = 1);
	FAILS(op, call, TIMED_OUT, 0, "a deadline", .handle = empty, .call = CALL_OF(PROOF_ECHO),
	      .deadline_ns = now_ns() + MS);
	/* A completion that is not read yet. */
	take_call(&caller, 0);
	must(ring_submit_wait(&entry));
	must(ring_enter(0, 0));
	FAILS(op, recv, COMPLETIONS_PENDING, 0, "one is unread", .handle = empty, .call = OP_WITH(RECV, 1, 0),
	      .word = { CAPOS_NEVER });
	must(ring_wait(&done, 0));
	(void)endpoint_reply_to(self_page()->recv_token, NULL);
	must(thread_finish(&caller, CAPOS_NEVER, NULL));
	take_call(&caller, 0);
	must(ring_submit_wait(&entry));
	must(ring_enter(0, 0));
	FAILS(op, reply_recv, COMPLETIONS_PENDING, 0, "one is unread", .handle = empty, .call = OP(REPLY_RECV),
	      .served = true);
	must(ring_wait(&done, 0));
	must(thread_finish(&caller, CAPOS_NEVER, &status));
	tap_ok(status == CAPOS_STATUS_OK, "the reply was sent");
}

/* --- a chain of passive servers ----------------------------------------------------------------------------------------------- */

/* Each is passive, and its call goes to the next one. Then one that waits, and one that comes when a call waits for it. */
#define LINKS CAPOS_DONATION_DEPTH_MAX
static capos_handle link_port[LINKS + 2];
static struct thread link_thread[LINKS + 2];

static uint64_t serve_link(void *argument)
{
	size_t at = (size_t)argument;
	struct request request;

	if (at == LINKS + 1)
		(void)becomes_true(waits_on(link_thread[LINKS - 1].handle) == CAPOS_WAIT_CALL);
	must(endpoint_recv(link_port[at], CAPOS_NEVER, 0, &request));
	if (at + 1 < LINKS) {
		must(endpoint_call(link_port[at + 1], PROOF_IFACE, PROOF_ECHO, NULL, 0, NULL, 0));
	} else if (at + 1 == LINKS) {
		FAILS_BY(CALL, op, call, TOO_DEEP, 0, "a passive server waits", .handle = link_port[LINKS],
			 .call = CALL_OF(PROOF_ECHO));
		FAILS_BY(CALL, op, call, TOO_DEEP, 0, "a passive server receives it", .handle = link_port[LINKS + 1],
			 .call = CALL_OF(PROOF_ECHO));
	}
	(void)endpoint_reply(NULL);
	return 0;
}

static void too_deep(void)
{
	for (size_t i = 0; i < LINKS + 2; i++)
		insist(factory_endpoint(known.factory, PROOF_IFACE, &link_port[i]));
	for (size_t i = 0; i < LINKS + 2; i++)
		insist(thread_start_on(&link_thread[i], serve_link, (void *)i, CAPOS_CPU_ANY, CAPOS_THREAD_PASSIVE));
	for (size_t i = 0; i <= LINKS; i++)
		(void)becomes_true(waits_on(link_thread[i].handle) == CAPOS_WAIT_RECV);
	must(endpoint_call(link_port[0], PROOF_IFACE, PROOF_ECHO, NULL, 0, NULL, 0));
	/* Both go on receiving. */
	for (size_t i = LINKS; i < LINKS + 2; i++)
		must(endpoint_call(link_port[i], PROOF_IFACE, PROOF_ECHO, NULL, 0, NULL, 0));
	for (size_t i = 0; i < LINKS + 2; i++) {
		must(thread_finish(&link_thread[i], CAPOS_NEVER, NULL));
		destroy(link_port[i]);
	}
}

/* A receive in flight has the message area. */
static void message_busy(void)
{
	struct capos_sqe entry = ring_entry(7, empty, OP(RECV), CAPOS_NEVER, 0, 0, 0, 0);
	struct capos_cqe done;

	must(ring_submit_wait(&entry));
	must(ring_enter(0, 0));
	FAILS(op, call, MESSAGE_BUSY, 0, "a receive is in flight", .handle = served, .call = CALL_OF(PROOF_ECHO),
	      .message = "x", .bytes = 1, .deadline_ns = CAPOS_NEVER);
	FAILS(op, recv, MESSAGE_BUSY, 0, "a receive is in flight", .handle = empty, .call = OP(RECV),
	      .deadline_ns = CAPOS_NEVER);
	must(cap_table_destroy(known.caps, empty));
	must(ring_wait(&done, CAPOS_NEVER));
	tap_ok(IS(result_of(done.result), REVOKED), "the receive ends with its endpoint");
}

/* A server and a caller, whose other side is this thread, where memory is short. */
static struct thread side_server, side_caller;

void endpoint_sides_begin(void)
{
	insist(factory_endpoint(known.factory, PROOF_IFACE, &served));
	insist(factory_endpoint(known.factory, PROOF_IFACE, &empty));
	start_server(&side_server, 1);
	take_call(&side_caller, 1);
}

void endpoint_sides_end(void)
{
	answer_call(&side_caller);
	stop_server(&side_server);
	destroy(empty);
	destroy(served);
}

void endpoint_without_quota(void)
{
	FAILS_BY(RING, op, call, QUOTA_EXCEEDED, CAPOS_QUOTA_MEMORY, "no memory", .handle = served,
		 .call = CALL_OF(PROOF_ECHO), .deadline_ns = CAPOS_NEVER);
	FAILS(op, recv, QUOTA_EXCEEDED, CAPOS_QUOTA_MEMORY, "no memory", .handle = served, .call = OP(RECV),
	      .deadline_ns = CAPOS_NEVER);
}

void endpoint_without_frame(void)
{
	FAILS_BY(RING, op, call, QUOTA_EXCEEDED, CAPOS_QUOTA_MEMORY, "no memory for its message", .handle = served,
		 .call = CALL_OF(PROOF_ECHO), .message = "x", .bytes = 1, .deadline_ns = CAPOS_NEVER);
}

/* A capability that goes along finds no place, whichever way it goes: `one` at this thread's server, `other` at its caller. */
#define NO_PLACE_FOR_IT(status, detail, one, other)                                                                  \
	FAILS(op, call, status, detail, one, .handle = served, .call = CALL_OF(PROOF_ECHO), .caps = 1,               \
	      .cap = known.timer, .deadline_ns = CAPOS_NEVER);                                                       \
	FAILS(op, reply, status, detail, other, .handle = empty, .call = OP(REPLY), .caps = 1, .cap = known.timer);  \
	FAILS(op, reply_recv, status, detail, other, .handle = empty, .call = OP(REPLY_RECV), .caps = 1,             \
	      .cap = known.timer)

void endpoint_without_growth(void)
{
	NO_PLACE_FOR_IT(QUOTA_EXCEEDED, CAPOS_QUOTA_MEMORY, "the server's table cannot grow",
			"the caller's table cannot grow");
}

void endpoint_without_memory(void)
{
	NO_PLACE_FOR_IT(NO_MEMORY, 0, "none for a slot", "none for a slot");
	FAILS(op, recv, NO_MEMORY, 0, "none for an entry", .handle = served, .call = OP(RECV),
	      .deadline_ns = CAPOS_NEVER);
}

static void without_slots(void)
{
	struct thread server, caller;

	start_server(&server, 1);
	take_call(&caller, 1);
	fill_table(); /* which is that of the other side too */
	NO_PLACE_FOR_IT(QUOTA_EXCEEDED, CAPOS_QUOTA_SLOTS, "the server has no slot", "the caller has no slot");
	unfill_table();
	answer_call(&caller);
	stop_server(&server);
}

void test_endpoint_errors(void)
{
	insist(factory_endpoint(known.factory, PROOF_IFACE, &served));
	insist(factory_endpoint(known.factory, PROOF_IFACE, &empty));
	handles();
	messages();
	answers();
	callers();
	without_slots();
	waits();
	too_deep();
	message_busy();
	drop(empty);
	destroy(served);
}
