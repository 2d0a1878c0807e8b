/* SPDX-License-Identifier: MIT */
/* Endpoints: the general path of a reply, by system call and by ring. Model and invariants stand in endpoint.c. */
#include "endpoint_priv.h"

struct reply {
	u64 call_word;
	const u64 *word;
	const u8 *message;
	u32 bytes;
	u32 cap_count;
	struct cap cap[CAPOS_MESSAGE_CAPS];
	u64 handle[CAPOS_MESSAGE_CAPS];
};

/* The call to answer, under the lock; NULL: none. A token is looked for among the calls that the process took here. */
static struct waiter *find_call(struct endpoint *endpoint, struct thread *server, bool by_token, u64 token)
{
	if (!by_token)
		return server->serving_at == endpoint ? shared_load_relaxed(&server->serving) : NULL;
	LIST_FOREACH (endpoint_bucket(endpoint, token), node) {
		struct waiter *caller = waiter_of(node);

		if (caller->key[0] == token && server_of(caller)->process == server->process)
			return caller;
	}
	return NULL;
}

static bool takes_caps(struct waiter *caller, u32 count)
{
	if (caller->kind == WAITER_RING_OP ? !ring_op_of(caller)->uses_message : caller->wait == CAPOS_WAIT_FAULT)
		return false;
	return shared_load_relaxed(&caller->thread->page->accept_caps) >= count;
}

/* OK: returns with the endpoint's lock held, and *out is claimed and out of service. */
static u64 take_call(struct endpoint *endpoint, struct thread *server, struct reply *reply, struct waiter **out,
		     bool *direct) NO_TSA
{
	bool by_token = (CAPOS_CALL_FLAGS(reply->call_word) & CAPOS_CALL_TOKEN) != 0;
	u64 token = by_token ? shared_load_relaxed(&server->page->reply_token) : 0;
	struct process *inserted = NULL;
	struct process *process;
	struct waiter *caller;
	u64 result = STATUS(NOT_SERVING);

	for (;;) {
		spin_lock(&endpoint->object.lock);
		caller = find_call(endpoint, server, by_token, token);
		if (caller == NULL || !waiter_is_armed(caller))
			break;
		process = caller->thread->process;
		if (reply->cap_count == 0 || inserted == process) {
			*direct = server->serving == caller;
			if (!waiter_claim(caller))
				break;
			endpoint_take_out(caller);
			*out = caller;
			return STATUS(OK);
		}
		if (!takes_caps(caller, reply->cap_count)) {
			result = STATUS(NO_SLOTS);
			break;
		}
		spin_unlock(&endpoint->object.lock);
		result = cap_transfer_commit(process, reply->cap, reply->cap_count, reply->handle);
		if (result != STATUS(OK)) /* dying is the caller, not the server */
			return result == STATUS(DYING) ? STATUS(NOT_SERVING) : result;
		inserted = process;
		result = STATUS(NOT_SERVING);
	}
	spin_unlock(&endpoint->object.lock);
	if (inserted != NULL)
		endpoint_release_handles(inserted, reply->handle, reply->cap_count);
	return result;
}

/* The claimed call gets its answer, under the lock. Returns the thread that is to be made ready, or NULL (ring). */
static struct thread *answer(struct cpu *cpu, struct waiter *call, const struct reply *reply)
{
	unsigned words = CAPOS_CALL_WORD_COUNT(reply->call_word);
	bool exception = (CAPOS_CALL_FLAGS(reply->call_word) & CAPOS_CALL_EXCEPTION) != 0;
	u64 result = CAPOS_RESULT(exception ? CAPOS_STATUS_EXCEPTION : CAPOS_STATUS_OK,
				  (u16)CAPOS_CALL_IFACE(reply->call_word),
				  CAPOS_RECV_DETAIL(words, reply->cap_count, reply->bytes));

	if (call->kind == WAITER_RING_OP) {
		if (ring_op_of(call)->uses_message)
			endpoint_fill_page(call->thread, reply->message, reply->bytes, reply->handle,
					   reply->cap_count);
		else if (reply->bytes != 0)
			result = STATUS(RESULT_TOO_LARGE);
		waiter_finish(cpu, call, result, reply->word, words);
		return NULL;
	}
	if (call->wait != CAPOS_WAIT_FAULT && (reply->bytes | reply->cap_count) != 0)
		endpoint_fill_page(call->thread, reply->message, reply->bytes, reply->handle, reply->cap_count);
	waiter_deliver(cpu, call, result, reply->word, words);
	return call->thread;
}

/* Checks of a reply; OK: reply is set and holds references on its capabilities. */
static u64 decode_reply(struct thread *server, const struct cap *cap, struct reply *reply, bool ring)
{
	reply->cap_count = 0;
	if (!(cap->rights & CAPOS_RIGHT_RECV))
		return STATUS(MISSING_RIGHTS);
	reply->bytes = 0;
	if (CAPOS_CALL_FLAGS(reply->call_word) & ~REPLY_FLAGS)
		return STATUS_DETAIL(BAD_ARGUMENT, CALL_WORD_INDEX);
	return endpoint_decode_extra(server, reply->call_word, &reply->bytes, &reply->cap_count, reply->cap, ring);
}

/* The claimed caller has its answer and goes on by itself; a server that ran on its entity keeps it (lend.c). */
static void let_go(struct thread *server, struct thread *caller)
{
	if (server->borrowed_from_id == caller->object.id)
		server->borrowed_from_id = 0;
}

static void reply_and_receive(struct cpu *cpu, struct thread *server, const struct cap *cap,
			      struct reply *reply) NO_TSA
{
	struct endpoint *endpoint = endpoint_of(cap->object);
	struct mach_frame *frame = &server->mach.frame;
	struct waiter *call;
	struct thread *caller;
	bool direct, returned, apart;
	u64 result = take_call(endpoint, server, reply, &call, &direct);

	if (result != STATUS(OK)) {
		frame->call = result;
		return;
	}
	caller = answer(cpu, call, reply);
	returned = caller != NULL && direct && sched_return(cpu, server, caller);
	apart = !returned && caller != NULL && direct && sched_return_apart(cpu, server, caller);
	if (!returned && !apart && caller != NULL)
		let_go(server, caller);
	spin_unlock(&endpoint->object.lock);
	endpoint_set_aside(server);
	server->recv_handle = frame->handle;
	/* The caller is nobody's now but ours; it goes on below. */
	result = endpoint_receive(cpu, &server->wait, cap, INSTANT_NEVER, frame->word, &frame->handle);
	if (result != CALL_BLOCKED) {
		frame->call = result;
		if (cpu->current != server && (returned || !sched_handoff(cpu, server)))
			thread_ready(cpu, server);
		if (!returned && caller != NULL)
			thread_ready(cpu, caller);
	} else if (!returned && caller != NULL && (apart || !sched_handoff(cpu, caller))) {
		thread_ready(cpu, caller);
	}
}

/* Reply only: the server goes on. */
static u64 reply_only(struct cpu *cpu, struct thread *server, const struct cap *cap, struct reply *reply) NO_TSA
{
	struct endpoint *endpoint = endpoint_of(cap->object);
	struct waiter *call;
	struct thread *caller;
	bool direct;
	u64 result = take_call(endpoint, server, reply, &call, &direct);

	if (result != STATUS(OK))
		return result;
	caller = answer(cpu, call, reply);
	if (caller != NULL) {
		let_go(server, caller);
		thread_ready(cpu, caller);
	}
	spin_unlock(&endpoint->object.lock);
	return STATUS(OK);
}

/* Which endpoint a plain reply means: the handle's; with handle 0 that of the call being served, or, to a token, that by
 * whose handle the thread received last. */
static u64 reply_cap(struct thread *server, u64 call_word, u64 handle, struct cap *cap)
{
	if (handle != 0)
		return CAPOS_RESULT(cap_lookup_typed(server->process, handle, CAPOS_IFACE_endpoint, CAPOS_RIGHT_RECV,
						     cap),
				    0, 0);
	if ((CAPOS_CALL_FLAGS(call_word) & CAPOS_CALL_TOKEN) != 0) {
		u16 status = cap_lookup_typed(server->process, server->recv_handle, CAPOS_IFACE_endpoint,
					      CAPOS_RIGHT_RECV, cap);

		return status == CAPOS_STATUS_OK ? STATUS(OK) : STATUS(NOT_SERVING);
	}
	if (shared_load_relaxed(&server->serving) == NULL)
		return STATUS(NOT_SERVING);
	*cap = (struct cap){ .object = &server->serving_at->object, .rights = CAPOS_RIGHT_RECV };
	return STATUS(OK);
}

void endpoint_reply(struct cpu *cpu, struct thread *server, const struct cap *cap, bool then_receive)
{
	struct mach_frame *frame = &server->mach.frame;
	struct cap found;
	struct reply reply;
	u64 words[CAPOS_WORDS];
	u64 result;

	if (cap == NULL) {
		then_receive = false; /* nothing says where */
		result = reply_cap(server, frame->call, frame->handle, &found);
		if (result != STATUS(OK)) {
			frame->call = result;
			return;
		}
		cap = &found;
	}
	reply.call_word = frame->call;
	result = decode_reply(server, cap, &reply, false);
	if (result != STATUS(OK)) {
		frame->call = result;
		return;
	}
	for (unsigned i = 0; i < CAPOS_WORDS; i++)
		words[i] = frame->word[i];
	reply.word = words;
	reply.message = server->page->message;
	if (then_receive)
		reply_and_receive(cpu, server, cap, &reply);
	else
		frame->call = reply_only(cpu, server, cap, &reply);
	if (reply.cap_count != 0)
		cap_transfer_drop(reply.cap, reply.cap_count);
}

u64 endpoint_reply_ring(struct call *call, u64 call_word)
{
	struct reply reply;
	u64 result;

	reply.call_word = call_word;
	result = decode_reply(call->thread, &call->cap, &reply, true);
	if (result != STATUS(OK))
		return result;
	reply.word = call->word;
	reply.message = call->in;
	reply.bytes = call->in_bytes;
	result = reply_only(call->cpu, call->thread, &call->cap, &reply);
	if (reply.cap_count != 0)
		cap_transfer_drop(reply.cap, reply.cap_count);
	return result;
}
