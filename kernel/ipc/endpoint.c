/* SPDX-License-Identifier: MIT */
/*
 * Endpoints: the general path of call, receive and reply, by system call and by ring.
 *
 *   caller:   --begin--> callers (armed, CALL) --receive--> in_service (armed, REPLY) --reply--> goes on
 *                   \____________ a receiver waits ____________/
 *   receiver: --receive--> receivers (armed, RECV) --call--> goes on
 *
 * Invariants:
 *  EP1  At most one of `callers` and `receivers` has an armed waiter in it.
 *  EP2  A call in service has a token and a thread that took it (key[1]); it is that thread's `serving`, or in its `served`
 *       list (taken by ring, or another receive came before the reply).
 *  EP3  `serving` is set and cleared under the lock of the endpoint `serving_at`. Whoever ends the call otherwise clears it,
 *       so a call that a server still names in its kernel entry is valid memory in that entry (OB2).
 *  EP4  Queued waiters are unlinked only under the lock; one that is not armed any more is skipped: its claimer ends it.
 *
 * Capabilities are inserted at the receiver without the endpoint's lock (a process's lock has a lower rank): look who would
 * receive, insert there, take the lock and look again; another receiver now: release them there and try again.
 *
 * Entities: sched_lend / sched_return along the call; a call that ends otherwise gets its thread going by thread_ready, which
 * settles the loan. A passive server that is not called by a thread here and now (ring, queued call) runs on its own entity.
 */
#include "ipc_priv.h"

#define WAITERS_PER_STEP 8
#define TRIES_MAX 8
#define INFO_COUNT_MAX 255u
#define CALL_WORD_INDEX 8u /* of the call word, in details of badArgument */

u16 endpoint_create(struct process *owner, u32 iface, struct endpoint **out)
{
	void *memory;
	u16 status = pool_alloc(POOL_ENDPOINT, owner, &memory);

	if (status != CAPOS_STATUS_OK)
		return status;
	*out = memory;
	object_init(&(*out)->object, CAPOS_IFACE_endpoint, owner);
	(*out)->iface = iface;
	(*out)->next_token = 1;
	list_init(&(*out)->callers);
	list_init(&(*out)->receivers);
	list_init(&(*out)->in_service);
	return CAPOS_STATUS_OK;
}

/* --- waiters ----------------------------------------------------------------------------------------------------------- */

void endpoint_forget_server(struct waiter *caller)
{
	struct thread *server = server_of(caller);

	if (server == NULL)
		return;
	caller->key[1] = 0;
	if (shared_load_relaxed(&server->serving) == caller) {
		shared_store_relaxed(&server->serving, NULL);
		return;
	}
	spin_lock(&server->ring_lock);
	list_remove(&caller->served_link);
	spin_unlock(&server->ring_lock);
}

static void remember_server(struct thread *server, struct endpoint *endpoint, struct waiter *caller, bool ring)
{
	caller->key[1] = (u64)server;
	if (!ring) {
		KASSERT(server->serving == NULL);
		server->serving_at = endpoint;
		shared_store_relaxed(&server->serving, caller);
		return;
	}
	spin_lock(&server->ring_lock);
	list_push_back(&server->served, &caller->served_link);
	spin_unlock(&server->ring_lock);
}

void endpoint_send_drop(struct waiter *caller)
{
	struct ipc_send *send = send_of(caller);
	u32 count = send->cap_count;

	send->cap_count = 0;
	if (count != 0)
		cap_transfer_drop(send->cap, count);
}

static void take_out(struct waiter *waiter)
{
	list_remove(&waiter->link);
	endpoint_forget_server(waiter);
}

static void caller_unlink(struct waiter *waiter)
{
	spin_lock(&waiter->object->lock);
	if (list_is_linked(&waiter->link))
		take_out(waiter);
	spin_unlock(&waiter->object->lock);
	endpoint_send_drop(waiter);
}

static void receiver_unlink(struct waiter *waiter)
{
	spin_lock(&waiter->object->lock);
	if (list_is_linked(&waiter->link))
		list_remove(&waiter->link);
	spin_unlock(&waiter->object->lock);
}

const struct waiter_ops endpoint_caller_ops = { .unlink = caller_unlink };
const struct waiter_ops endpoint_receiver_ops = { .unlink = receiver_unlink };

/* First waiter that is still to be had (EP4). */
static struct waiter *first_armed(struct list *list)
{
	struct list_node *node;

	while ((node = list_first(list)) != NULL) {
		if (likely(waiter_is_armed(waiter_of(node))))
			return waiter_of(node);
		list_remove(node);
	}
	return NULL;
}

static void release_handles(struct process *process, const u64 *handles, u32 count)
{
	for (u32 i = 0; i < count; i++) {
		/* Released or revoked meanwhile: just as well. */
		u16 ignored = cap_release(process, handles[i]);

		(void)ignored;
	}
}

/* --- delivery of a call ------------------------------------------------------------------------------------------------ */

/* The message page of `thread` gets what came: bytes and capabilities. */
static void fill_page(struct thread *thread, const u8 *message, u32 bytes, const u64 *handles, u32 cap_count)
{
	struct capos_thread_page *page = thread->page;

	page->recv_bytes = bytes;
	page->recv_caps = cap_count;
	for (u32 i = 0; i < cap_count; i++)
		page->recv_cap[i] = handles[i];
	if (bytes != 0)
		__builtin_memcpy(page->message, message, bytes);
}

/* Call -> in service of `server`; returns the receive's result word. The words are left to the caller of this. */
static u64 hand_over(struct endpoint *endpoint, struct waiter *caller, struct thread *server, const u64 *handles, bool ring)
{
	struct ipc_send *send = send_of(caller);

	caller->key[0] = endpoint->next_token++;
	fill_page(server, send->message, send->bytes, handles, send->cap_count);
	server->page->recv_token = caller->key[0];
	server->page->recv_badge = caller->badge;
	if (ring)
		for (unsigned i = 0; i < CAPOS_CALL_WORD_COUNT(send->call_word); i++)
			server->page->recv_word[i] = send->word[i];
	list_push_back(&endpoint->in_service, &caller->link);
	remember_server(server, endpoint, caller, ring);
	return CAPOS_RESULT(CAPOS_STATUS_OK, CAPOS_CALL_METHOD(send->call_word),
			    CAPOS_RECV_DETAIL(CAPOS_CALL_WORD_COUNT(send->call_word), send->cap_count, send->bytes));
}

/* A new call meets a claimed receiver. */
static void deliver_new(struct cpu *cpu, struct endpoint *endpoint, struct waiter *caller, struct waiter *receiver,
			const u64 *handles, enum capos_wait wait, struct instant deadline)
{
	struct ipc_send *send = send_of(caller);
	struct thread *server = receiver->thread;
	bool ring = receiver->kind == WAITER_RING_OP;
	bool here = caller->kind == WAITER_THREAD && cpu->current == caller->thread;
	bool lend = here && !ring && server->passive && sched_lend_reserve(caller->thread) == CAPOS_STATUS_OK;
	u64 result = hand_over(endpoint, caller, server, handles, ring);
	u64 words[2] = { caller->badge, caller->key[0] };

	send->cap_count = 0;
	if (!ring) {
		waiter_deliver(cpu, receiver, result, send->word, CAPOS_CALL_WORD_COUNT(send->call_word));
		server->mach.frame.handle = caller->badge;
	}
	if (lend)
		sched_lend(cpu, caller->thread, server);
	else
		waiter_prepare(cpu, caller);
	waiter_arm(cpu, caller, wait == CAPOS_WAIT_FAULT ? CAPOS_WAIT_FAULT : CAPOS_WAIT_REPLY, &endpoint_caller_ops, deadline);
	if (ring)
		waiter_finish(cpu, receiver, result, words, 2);
	else if (!lend && !(here && sched_handoff(cpu, server)))
		thread_ready(cpu, server);
}

static void enqueue_call(struct cpu *cpu, struct endpoint *endpoint, struct waiter *caller, enum capos_wait wait,
			 struct instant deadline)
{
	waiter_prepare(cpu, caller);
	list_push_back(&endpoint->callers, &caller->link);
	waiter_arm(cpu, caller, wait, &endpoint_caller_ops, deadline);
}

u16 endpoint_begin(struct cpu *cpu, struct waiter *caller, const struct cap *cap, enum capos_wait wait,
		   struct instant deadline)
{
	struct endpoint *endpoint = endpoint_of(cap->object);
	struct ipc_send *send = send_of(caller);
	u32 cap_count = send->cap_count;
	struct cap caps[CAPOS_MESSAGE_CAPS];
	u64 handles[CAPOS_MESSAGE_CAPS];
	struct process *inserted = NULL;
	struct waiter *receiver;
	u16 status = CAPOS_STATUS_NO_SLOTS;

	for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
		struct process *process;

		spin_lock(&endpoint->object.lock);
		if (!may_wait(cap->object, cap->grant)) {
			spin_unlock(&endpoint->object.lock);
			status = CAPOS_STATUS_REVOKED;
			break;
		}
		caller->object = cap->object;
		caller->grant = cap->grant;
		caller->badge = cap->badge;
		caller->key[1] = 0;
		receiver = first_armed(&endpoint->receivers);
		process = receiver ? receiver->thread->process : NULL;
		if (cap_count == 0 || process == inserted) {
			if (receiver == NULL) {
				status = deadline_check(deadline);
				if (status == CAPOS_STATUS_OK)
					enqueue_call(cpu, endpoint, caller, wait, deadline);
				spin_unlock(&endpoint->object.lock);
				return status;
			}
			list_remove(&receiver->link);
			if (!waiter_claim(receiver)) {
				spin_unlock(&endpoint->object.lock);
				tries = cap_count == 0 ? 0 : tries;
				continue;
			}
			if (cap_count != 0)
				__builtin_memcpy(caps, send->cap, sizeof(caps));
			deliver_new(cpu, endpoint, caller, receiver, handles, wait, deadline);
			spin_unlock(&endpoint->object.lock);
			if (cap_count != 0)
				cap_transfer_drop(caps, cap_count);
			return CAPOS_STATUS_OK;
		}
		if (process != NULL && shared_load_relaxed(&receiver->thread->page->accept_caps) < cap_count)
			status = CAPOS_STATUS_NO_SLOTS;
		else
			status = CAPOS_STATUS_OK;
		spin_unlock(&endpoint->object.lock);
		if (inserted != NULL)
			release_handles(inserted, handles, cap_count);
		inserted = NULL;
		if (status == CAPOS_STATUS_OK && process != NULL)
			status = cap_transfer_commit(process, send->cap, cap_count, handles);
		if (status != CAPOS_STATUS_OK)
			return status;
		inserted = process;
		status = CAPOS_STATUS_NO_SLOTS; /* should receivers keep changing */
	}
	if (inserted != NULL)
		release_handles(inserted, handles, cap_count);
	return status;
}

/* What the thread page says goes along; references on the grants of capabilities are taken. */
static u64 decode_extra(struct thread *thread, u64 call_word, u32 *bytes, u32 *cap_count, struct cap *caps, bool ring)
{
	unsigned flags = CAPOS_CALL_FLAGS(call_word);
	u16 status;

	*cap_count = 0;
	if (CAPOS_CALL_WORD_COUNT(call_word) > CAPOS_WORDS)
		return STATUS(BAD_SIZE);
	if (!ring) {
		*bytes = flags & CAPOS_CALL_MESSAGE ? shared_load_relaxed(&thread->page->send_bytes) : 0;
		if (*bytes > CAPOS_MESSAGE_BYTES)
			return STATUS(BAD_SIZE);
	}
	if (flags & CAPOS_CALL_CAPS) {
		u32 count = shared_load_relaxed(&thread->page->send_caps);

		if (count > CAPOS_MESSAGE_CAPS)
			return STATUS(BAD_SIZE);
		status = cap_transfer_decode(thread, count, caps);
		if (status != CAPOS_STATUS_OK)
			return CAPOS_RESULT(status, 0, 1);
		*cap_count = count;
	}
	return STATUS(OK);
}

static u64 check_call(const struct cap *cap, u64 call_word)
{
	const struct endpoint *endpoint = endpoint_of(cap->object);

	if (endpoint->iface != 0 && endpoint->iface != CAPOS_CALL_IFACE(call_word))
		return STATUS(WRONG_INTERFACE);
	if (!(cap->rights & CAPOS_RIGHT_CALL))
		return STATUS(MISSING_RIGHTS);
	if (CAPOS_CALL_FLAGS(call_word) & ~(CAPOS_CALL_MESSAGE | CAPOS_CALL_CAPS))
		return STATUS_DETAIL(BAD_ARGUMENT, CALL_WORD_INDEX);
	return STATUS(OK);
}

void endpoint_call(struct cpu *cpu, struct thread *caller, const struct cap *cap)
{
	u64 call_word = caller->mach.frame.call;
	struct ipc_send *send = &caller->send;
	u64 result = check_call(cap, call_word);
	u16 status;

	if (likely(result == STATUS(OK))) {
		if (likely(CAPOS_CALL_FLAGS(call_word) == 0) && endpoint_call_fast(cpu, caller, cap))
			return;
		result = decode_extra(caller, call_word, &send->bytes, &send->cap_count, send->cap, false);
	}
	if (result != STATUS(OK)) {
		caller->mach.frame.call = result;
		return;
	}
	send->call_word = call_word;
	send->word = caller->mach.frame.word;
	send->message = caller->page->message;
	status = endpoint_begin(cpu, &caller->wait, cap, CAPOS_WAIT_CALL, INSTANT_NEVER);
	if (status != CAPOS_STATUS_OK) {
		endpoint_send_drop(&caller->wait);
		caller->mach.frame.call = CAPOS_RESULT(status, 0, status == CAPOS_STATUS_QUOTA_EXCEEDED ? CAPOS_QUOTA_SLOTS : 0);
	}
}

/* A ring operation's message outlives the entry in a frame of its own. */
static u16 keep_message(struct ring_op *op, struct process *process, const struct call *call)
{
	op->send.bytes = call->in_bytes;
	if (call->in_bytes == 0)
		return CAPOS_STATUS_OK;
	if (!quota_charge(process, CAPOS_QUOTA_MEMORY, PAGE_BYTES))
		return CAPOS_STATUS_QUOTA_EXCEEDED;
	if (!frame_alloc(&op->message)) {
		op->message.pa = 0;
		quota_uncharge(process, CAPOS_QUOTA_MEMORY, PAGE_BYTES);
		return CAPOS_STATUS_NO_MEMORY;
	}
	op->send.message = phys_to_virt(op->message);
	__builtin_memcpy(phys_to_virt(op->message), call->in, call->in_bytes);
	return CAPOS_STATUS_OK;
}

u64 endpoint_call_ring(struct call *call, u64 call_word)
{
	struct ring_op *op = ring_op_of(call->waiter);
	u64 result = check_call(&call->cap, call_word);
	u16 status;

	if (result == STATUS(OK))
		result = decode_extra(call->thread, call_word, &op->send.bytes, &op->send.cap_count, op->send.cap, true);
	if (result != STATUS(OK))
		return result;
	status = keep_message(op, call->thread->process, call);
	if (status == CAPOS_STATUS_OK) {
		for (unsigned i = 0; i < CAPOS_WORDS; i++)
			op->word[i] = call->word[i];
		op->send.call_word = call_word;
		op->send.word = op->word;
		status = endpoint_begin(call->cpu, &op->wait, &call->cap, CAPOS_WAIT_CALL, call->deadline);
		if (status == CAPOS_STATUS_OK)
			return CALL_BLOCKED;
	}
	endpoint_send_drop(&op->wait);
	return CAPOS_RESULT(status, 0, 0);
}

/* --- receive ----------------------------------------------------------------------------------------------------------- */

/* The call that the thread served by the synchronous path stays in service, to be answered by its token. */
static void set_serving_aside(struct thread *server)
{
	struct endpoint *endpoint = server->serving_at;
	struct waiter *caller;

	if (shared_load_relaxed(&server->serving) == NULL)
		return;
	spin_lock(&endpoint->object.lock);
	caller = server->serving;
	if (caller != NULL) {
		shared_store_relaxed(&server->serving, NULL);
		spin_lock(&server->ring_lock);
		list_push_back(&server->served, &caller->served_link);
		spin_unlock(&server->ring_lock);
	}
	spin_unlock(&endpoint->object.lock);
}

static u64 wait_for_call(struct cpu *cpu, struct endpoint *endpoint, struct waiter *receiver, const struct cap *cap,
			 struct instant deadline, u32 completed)
{
	struct thread *server = receiver->thread;
	u16 status = deadline_check(deadline);

	if (status != CAPOS_STATUS_OK)
		return CAPOS_RESULT(status, 0, 0);
	receiver->object = cap->object;
	receiver->grant = cap->grant;
	waiter_prepare(cpu, receiver);
	if (receiver->kind == WAITER_THREAD && server->passive && server->entity != NULL)
		sched_drop_entity(server);
	list_push_back(&endpoint->receivers, &receiver->link);
	waiter_arm(cpu, receiver, CAPOS_WAIT_RECV, &endpoint_receiver_ops, deadline);
	/* As in endpoint_reply_fast. */
	if (receiver->kind == WAITER_THREAD && unlikely(shared_load_relaxed(&server->ring_cq_tail) != completed))
		endpoint_wake_receiver_for_completion(cpu, server);
	return CALL_BLOCKED;
}

/* The caller, queued and armed with state word `seen`, is ended with a status. */
static void refuse_queued(struct cpu *cpu, struct endpoint *endpoint, struct waiter *caller, u32 seen, u16 status)
{
	bool won;

	spin_lock(&endpoint->object.lock);
	won = atomic_cas(&caller->state, seen, (seen & ~3u) | WAITER_CLAIMED);
	if (won && list_is_linked(&caller->link))
		list_remove(&caller->link);
	spin_unlock(&endpoint->object.lock);
	if (!won)
		return;
	endpoint_send_drop(caller);
	waiter_finish(cpu, caller, CAPOS_RESULT(status, 0, 0), NULL, 0);
}

/* Capabilities of the first queued call (armed with state word `seen`) go to the receiver's table. Called with the lock
 * held, returns with it held: true when that call is still the first and its capabilities are in `handles`. */
static bool take_caps(struct cpu *cpu, struct endpoint *endpoint, struct waiter *caller, struct thread *server, u64 *handles)
	NO_TSA
{
	struct ipc_send *send = send_of(caller);
	u32 seen = atomic_load_relaxed(&caller->state);
	u32 count = send->cap_count;
	struct cap caps[CAPOS_MESSAGE_CAPS];
	u32 held = 0;
	u16 status = CAPOS_STATUS_OK;

	if (shared_load_relaxed(&server->page->accept_caps) < count)
		status = CAPOS_STATUS_NO_SLOTS;
	for (; status == CAPOS_STATUS_OK && held < count; held++) {
		caps[held] = send->cap[held];
		if (!grant_get(caps[held].grant)) {
			status = CAPOS_STATUS_REVOKED;
			break;
		}
	}
	spin_unlock(&endpoint->object.lock);
	if (status == CAPOS_STATUS_OK)
		status = cap_transfer_commit(server->process, caps, count, handles);
	if (held != 0)
		cap_transfer_drop(caps, held);
	if (status != CAPOS_STATUS_OK)
		refuse_queued(cpu, endpoint, caller, seen, status);
	spin_lock(&endpoint->object.lock);
	if (status != CAPOS_STATUS_OK)
		return false;
	if (first_armed(&endpoint->callers) == caller && atomic_load_relaxed(&caller->state) == seen)
		return true;
	spin_unlock(&endpoint->object.lock);
	release_handles(server->process, handles, count);
	spin_lock(&endpoint->object.lock);
	return false;
}

/*
 * Take a queued call or wait for one. The receiver's thread is current, or off its CPU in the middle of reply-and-receive.
 * Returns the result word (words: in *word and the badge in *badge; ring: in the page), or CALL_BLOCKED: the receiver is armed.
 */
static u64 receive(struct cpu *cpu, struct waiter *receiver, const struct cap *cap, struct instant deadline, u64 *word,
		   u64 *badge)
{
	struct endpoint *endpoint = endpoint_of(cap->object);
	struct thread *server = receiver->thread;
	bool ring = receiver->kind == WAITER_RING_OP;
	u32 completed = shared_load_relaxed(&server->ring_cq_tail);
	u64 handles[CAPOS_MESSAGE_CAPS];
	struct cap caps[CAPOS_MESSAGE_CAPS];
	u32 cap_count;
	u64 result;

	if (!ring && completed != shared_load_relaxed(&server->page->cq_head))
		return STATUS(COMPLETIONS_PENDING);
	spin_lock(&endpoint->object.lock);
	for (;;) {
		struct waiter *caller;
		struct ipc_send *send;

		if (!may_wait(cap->object, cap->grant)) {
			result = STATUS(REVOKED);
			break;
		}
		caller = first_armed(&endpoint->callers);
		if (caller == NULL) {
			result = wait_for_call(cpu, endpoint, receiver, cap, deadline, completed);
			break;
		}
		send = send_of(caller);
		cap_count = send->cap_count;
		if (cap_count != 0) {
			if (!take_caps(cpu, endpoint, caller, server, handles))
				continue;
			__builtin_memcpy(caps, send->cap, sizeof(caps));
		}
		list_remove(&caller->link);
		if (caller->wait == CAPOS_WAIT_CALL)
			caller->wait = CAPOS_WAIT_REPLY;
		result = hand_over(endpoint, caller, server, handles, ring);
		*badge = caller->badge;
		if (ring)
			word[1] = caller->key[0];
		else
			for (unsigned i = 0; i < CAPOS_CALL_WORD_COUNT(send->call_word); i++)
				word[i] = send->word[i];
		send->cap_count = 0;
		spin_unlock(&endpoint->object.lock);
		if (cap_count != 0)
			cap_transfer_drop(caps, cap_count);
		return result;
	}
	spin_unlock(&endpoint->object.lock);
	return result;
}

void endpoint_recv(struct cpu *cpu, struct thread *server, const struct cap *cap)
{
	struct mach_frame *frame = &server->mach.frame;
	u64 result;

	if (!(cap->rights & CAPOS_RIGHT_RECV)) {
		frame->call = STATUS(MISSING_RIGHTS);
		return;
	}
	if (CAPOS_CALL_FLAGS(frame->call) != 0) {
		frame->call = STATUS_DETAIL(BAD_ARGUMENT, CALL_WORD_INDEX);
		return;
	}
	set_serving_aside(server);
	result = receive(cpu, &server->wait, cap, (struct instant){ frame->word[0] }, frame->word, &frame->handle);
	if (result != CALL_BLOCKED)
		frame->call = result;
}

u64 endpoint_recv_ring(struct call *call)
{
	if (!(call->cap.rights & CAPOS_RIGHT_RECV))
		return STATUS(MISSING_RIGHTS);
	return receive(call->cpu, call->waiter, &call->cap, call->deadline, call->word, &call->word[0]);
}

/* Recipe: the poster's tail is stored before this looks (ring.c); see endpoint_reply_fast. The waiter stays linked, not armed
 * (EP4), and the thread itself unlinks it before it goes on: no lock of an endpoint is needed here. */
static enum operation_progress completion_step(struct cpu *cpu, struct thread *thread, struct operation *operation)
{
	(void)cpu;
	/* Linked means that the endpoint is not dead: its memory stays in this kernel entry. */
	if (shared_load_relaxed(&thread->wait.link.next) != NULL)
		receiver_unlink(&thread->wait);
	operation->result = STATUS(COMPLETIONS_PENDING);
	operation->word_count = 0;
	return OPERATION_DONE;
}

void endpoint_wake_receiver_for_completion(struct cpu *cpu, struct thread *thread)
{
	struct waiter *waiter = &thread->wait;
	u32 seen = atomic_load_acquire(&waiter->state); /* pairs with the exchange in waiter_arm */

	/* The sequence in the state word ties the look at `wait` to the claim. */
	if ((seen & 3u) != WAITER_ARMED || waiter->wait != CAPOS_WAIT_RECV ||
	    !atomic_cas(&waiter->state, seen, (seen & ~3u) | WAITER_CLAIMED))
		return;
	waiter_deliver(cpu, waiter, STATUS(COMPLETIONS_PENDING), NULL, 0);
	thread->operation.step = completion_step;
	thread->operation.ring = false;
	atomic_fetch_or(&thread->attention, ATTENTION_OPERATION);
	thread_ready(cpu, thread);
}

/* --- reply ------------------------------------------------------------------------------------------------------------- */

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
	LIST_FOREACH(&endpoint->in_service, node) {
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
static u16 take_call(struct endpoint *endpoint, struct thread *server, struct reply *reply, struct waiter **out, bool *direct)
	NO_TSA
{
	bool by_token = (CAPOS_CALL_FLAGS(reply->call_word) & CAPOS_CALL_TOKEN) != 0;
	u64 token = by_token ? shared_load_relaxed(&server->page->reply_token) : 0;
	struct process *inserted = NULL;
	struct process *process;
	struct waiter *caller;
	u16 status = CAPOS_STATUS_NOT_SERVING;

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
			take_out(caller);
			*out = caller;
			return CAPOS_STATUS_OK;
		}
		if (!takes_caps(caller, reply->cap_count)) {
			status = CAPOS_STATUS_NO_SLOTS;
			break;
		}
		spin_unlock(&endpoint->object.lock);
		status = cap_transfer_commit(process, reply->cap, reply->cap_count, reply->handle);
		if (status != CAPOS_STATUS_OK)
			return status;
		inserted = process;
		status = CAPOS_STATUS_NOT_SERVING;
	}
	spin_unlock(&endpoint->object.lock);
	if (inserted != NULL)
		release_handles(inserted, reply->handle, reply->cap_count);
	return status;
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
			fill_page(call->thread, reply->message, reply->bytes, reply->handle, reply->cap_count);
		else if (reply->bytes != 0)
			result = STATUS(RESULT_TOO_LARGE);
		waiter_finish(cpu, call, result, reply->word, words);
		return NULL;
	}
	if (call->wait != CAPOS_WAIT_FAULT && (reply->bytes | reply->cap_count) != 0)
		fill_page(call->thread, reply->message, reply->bytes, reply->handle, reply->cap_count);
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
	return decode_extra(server, reply->call_word, &reply->bytes, &reply->cap_count, reply->cap, ring);
}

static void reply_and_receive(struct cpu *cpu, struct thread *server, const struct cap *cap, struct reply *reply) NO_TSA
{
	struct endpoint *endpoint = endpoint_of(cap->object);
	struct mach_frame *frame = &server->mach.frame;
	struct waiter *call;
	struct thread *caller;
	bool direct, returned;
	u64 result;
	u16 status = take_call(endpoint, server, reply, &call, &direct);

	if (status != CAPOS_STATUS_OK) {
		frame->call = CAPOS_RESULT(status, 0, 0);
		return;
	}
	caller = answer(cpu, call, reply);
	returned = caller != NULL && direct && sched_return(cpu, server, caller);
	if (!returned && caller != NULL && server->borrowed_from_id == caller->object.id)
		server->borrowed_from_id = 0; /* settled by thread_ready: the server keeps the entity */
	spin_unlock(&endpoint->object.lock);
	set_serving_aside(server);
	/* The caller is nobody's now but ours; it goes on below. */
	result = receive(cpu, &server->wait, cap, INSTANT_NEVER, frame->word, &frame->handle);
	if (result != CALL_BLOCKED) {
		frame->call = result;
		if (returned)
			thread_ready(cpu, server);
		else if (caller != NULL)
			thread_ready(cpu, caller);
	} else if (!returned && caller != NULL && !sched_handoff(cpu, caller)) {
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
	u16 status = take_call(endpoint, server, reply, &call, &direct);

	if (status != CAPOS_STATUS_OK)
		return CAPOS_RESULT(status, 0, 0);
	caller = answer(cpu, call, reply);
	if (caller != NULL) {
		if (server->borrowed_from_id == caller->object.id)
			server->borrowed_from_id = 0; /* settled by thread_ready: the server keeps the entity */
		thread_ready(cpu, caller);
	}
	spin_unlock(&endpoint->object.lock);
	return STATUS(OK);
}

/* Which endpoint a plain reply means: the handle's, or with handle 0 that of the call being served. */
static u64 reply_cap(struct thread *server, u64 call_word, u64 handle, struct cap *cap)
{
	if (handle != 0 || (CAPOS_CALL_FLAGS(call_word) & CAPOS_CALL_TOKEN) != 0)
		return CAPOS_RESULT(cap_lookup_typed(server->process, handle, CAPOS_IFACE_endpoint, CAPOS_RIGHT_RECV, cap),
				    0, 0);
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
		result = reply_cap(server, frame->call, frame->handle, &found);
		if (result != STATUS(OK)) {
			frame->call = result;
			return;
		}
		cap = &found;
	}
	if (likely(then_receive && CAPOS_CALL_FLAGS(frame->call) == 0 && (cap->rights & CAPOS_RIGHT_RECV)) &&
	    endpoint_reply_fast(cpu, server, cap))
		return;
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

/* --- ends -------------------------------------------------------------------------------------------------------------- */

/* A call that `thread` took ends with peerGone. */
static void end_served(struct cpu *cpu, struct thread *thread, struct endpoint *endpoint, struct waiter *caller)
{
	bool won = false;

	spin_lock(&endpoint->object.lock);
	if (caller->object == &endpoint->object && list_is_linked(&caller->link) && server_of(caller) == thread) {
		take_out(caller);
		won = waiter_claim(caller);
	}
	spin_unlock(&endpoint->object.lock);
	if (won)
		waiter_finish(cpu, caller, STATUS(PEER_GONE), NULL, 0);
}

void endpoint_thread_exit(struct cpu *cpu, struct thread *thread)
{
	struct waiter *caller = shared_load_relaxed(&thread->serving);

	if (caller != NULL)
		end_served(cpu, thread, thread->serving_at, caller);
	for (;;) {
		struct list_node *node;
		struct endpoint *endpoint = NULL;

		spin_lock(&thread->ring_lock);
		node = list_first(&thread->served);
		if (node != NULL) {
			caller = LIST_ENTRY(node, struct waiter, served_link);
			endpoint = endpoint_of(caller->object); /* in service: linked there, so it is valid memory */
		}
		spin_unlock(&thread->ring_lock);
		if (node == NULL)
			return;
		end_served(cpu, thread, endpoint, caller);
	}
}

/* End waiters of one list: all, or those whose grant is dead; at most *left. */
static void end_list(struct cpu *cpu, struct endpoint *endpoint, struct list *list, bool all, unsigned *left)
{
	while (*left > 0) {
		struct waiter *found = NULL;
		bool won;

		spin_lock(&endpoint->object.lock);
		LIST_FOREACH(list, node) {
			if (all || grant_is_dead(waiter_of(node)->grant)) {
				found = waiter_of(node);
				break;
			}
		}
		if (found == NULL) {
			spin_unlock(&endpoint->object.lock);
			return;
		}
		if (list == &endpoint->in_service)
			endpoint_forget_server(found);
		list_remove(&found->link);
		won = waiter_claim(found);
		spin_unlock(&endpoint->object.lock);
		(*left)--;
		if (!won)
			continue;
		if (list != &endpoint->receivers)
			endpoint_send_drop(found);
		waiter_finish(cpu, found, STATUS(REVOKED), NULL, 0);
	}
}

static bool end_waiters(struct object *object, bool all)
{
	struct endpoint *endpoint = endpoint_of(object);
	struct cpu *cpu = mach_this_cpu();
	unsigned left = WAITERS_PER_STEP;

	end_list(cpu, endpoint, &endpoint->callers, all, &left);
	end_list(cpu, endpoint, &endpoint->receivers, all, &left);
	end_list(cpu, endpoint, &endpoint->in_service, all, &left);
	return left > 0;
}

static bool endpoint_kill_step(struct object *object)
{
	return end_waiters(object, true);
}

static bool endpoint_sweep_step(struct object *object)
{
	return end_waiters(object, false);
}

static void endpoint_free(struct object *object)
{
	pool_free(POOL_ENDPOINT, endpoint_of(object));
}

static u64 count_list(const struct list *list)
{
	u64 count = 0;

	LIST_FOREACH(list, node)
		if (++count == INFO_COUNT_MAX)
			break;
	return count;
}

/* Counts stop at 255: the step stays bounded. */
u64 method_endpoint_info(struct call *call)
{
	struct endpoint *endpoint = endpoint_of(call->cap.object);

	spin_lock(&endpoint->object.lock);
	call->word[0] = endpoint->iface;
	call->word[1] = count_list(&endpoint->callers);
	call->word[2] = count_list(&endpoint->receivers);
	call->word[3] = count_list(&endpoint->in_service);
	spin_unlock(&endpoint->object.lock);
	return STATUS(OK);
}

const struct object_type type_endpoint = OBJECT_TYPE(endpoint, .kill_step = endpoint_kill_step,
						     .sweep_step = endpoint_sweep_step, .free = endpoint_free,
						     .pool = POOL_ENDPOINT + 1);
