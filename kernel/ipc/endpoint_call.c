/* SPDX-License-Identifier: MIT */
/* Endpoints: the general path of a call, by system call and by ring. Model and invariants stand in endpoint.c. */
#include "endpoint_priv.h"

#define TRIES_MAX 8

/* A call of the current thread would lend what it runs on, and that may not go further (LE7). */
static bool is_too_deep(struct cpu *cpu, const struct waiter *caller, const struct waiter *receiver)
{
	return caller->kind == WAITER_THREAD && cpu->current == caller->thread && receiver->kind == WAITER_THREAD &&
	       receiver->thread->passive && sched_is_too_deep(caller->thread);
}

/* A call of the current thread would lend what it runs on to a server that may not run there (LE8). */
static bool is_off_mask(struct cpu *cpu, const struct waiter *caller, const struct waiter *receiver)
{
	return caller->kind == WAITER_THREAD && cpu->current == caller->thread && receiver->kind == WAITER_THREAD &&
	       receiver->thread->passive && !sched_may_lend(caller->thread, receiver->thread);
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
	u64 result = endpoint_hand_over(endpoint, caller, server, handles, ring);
	u64 words[2] = { caller->badge, caller->key[0] };

	send->cap_count = 0;
	if (!ring) {
		waiter_deliver(cpu, receiver, result, send->word, CAPOS_CALL_WORD_COUNT(send->call_word));
		server->mach.frame.handle = caller->badge;
	}
	if (lend && unlikely(shared_load_relaxed(&server->wait.pinned) != 0)) /* LE8 */
		sched_lend_apart(cpu, caller->thread, server);
	else if (lend)
		sched_lend(cpu, caller->thread, server);
	else
		waiter_prepare(cpu, caller);
	waiter_arm(cpu, caller, wait == CAPOS_WAIT_FAULT ? CAPOS_WAIT_FAULT : CAPOS_WAIT_REPLY, &endpoint_caller_ops,
		   deadline);
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

static u64 deliver_or_queue(struct cpu *cpu, struct waiter *caller, const struct cap *cap, enum capos_wait wait,
			    struct instant deadline)
{
	struct endpoint *endpoint = endpoint_of(cap->object);
	struct ipc_send *send = send_of(caller);
	u32 cap_count = send->cap_count;
	struct cap caps[CAPOS_MESSAGE_CAPS];
	u64 handles[CAPOS_MESSAGE_CAPS];
	struct process *inserted = NULL;
	struct waiter *receiver;
	u64 result = STATUS(NO_SLOTS);

	for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
		struct process *process;

		spin_lock(&endpoint->object.lock);
		if (!may_wait(cap->object, cap->grant)) {
			spin_unlock(&endpoint->object.lock);
			result = STATUS(REVOKED);
			break;
		}
		receiver = endpoint_first_armed(&endpoint->receivers);
		process = receiver ? receiver->thread->process : NULL;
		if (cap_count == 0 || process == inserted) {
			if (receiver == NULL) {
				result = CAPOS_RESULT(deadline_check(deadline), 0, 0);
				if (result == STATUS(OK))
					enqueue_call(cpu, endpoint, caller, wait, deadline);
				spin_unlock(&endpoint->object.lock);
				return result;
			}
			if (unlikely(is_too_deep(cpu, caller, receiver))) {
				spin_unlock(&endpoint->object.lock);
				result = STATUS(TOO_DEEP);
				break;
			}
			if (unlikely(is_off_mask(cpu, caller, receiver))) {
				spin_unlock(&endpoint->object.lock);
				result = STATUS(CPU_MASK_MISMATCH);
				break;
			}
			wait_leave(receiver);
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
			return STATUS(OK);
		}
		if (process != NULL && shared_load_relaxed(&receiver->thread->page->accept_caps) < cap_count)
			result = STATUS(NO_SLOTS);
		else
			result = STATUS(OK);
		spin_unlock(&endpoint->object.lock);
		if (inserted != NULL)
			endpoint_release_handles(inserted, handles, cap_count);
		inserted = NULL;
		if (result == STATUS(OK) && process != NULL)
			result = cap_transfer_commit(process, send->cap, cap_count, handles);
		if (result != STATUS(OK)) /* dying is the server, not the caller */
			return result == STATUS(DYING) ? STATUS(PEER_GONE) : result;
		inserted = process;
		result = STATUS(NO_SLOTS); /* should receivers keep changing */
	}
	if (inserted != NULL)
		endpoint_release_handles(inserted, handles, cap_count);
	return result;
}

u64 endpoint_begin(struct cpu *cpu, struct waiter *caller, const struct cap *cap, enum capos_wait wait,
		   struct instant deadline)
{
	u64 result = STATUS(REVOKED);

	/* IP1: taken before the link, for the way there may need several tries. */
	if (!grant_get(cap->grant))
		return result;
	caller->object = cap->object;
	caller->grant = cap->grant;
	caller->badge = cap->badge;
	caller->key[1] = 0;
	result = deliver_or_queue(cpu, caller, cap, wait, deadline);
	if (result != STATUS(OK))
		grant_put(cap->grant);
	return result;
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

	if (likely(result == STATUS(OK)))
		result = endpoint_decode_extra(caller, call_word, &send->bytes, &send->cap_count, send->cap, false);
	if (result != STATUS(OK)) {
		caller->mach.frame.call = result;
		return;
	}
	send->call_word = call_word;
	send->word = caller->mach.frame.word;
	send->message = caller->page->message;
	result = endpoint_begin(cpu, &caller->wait, cap, CAPOS_WAIT_CALL, INSTANT_NEVER);
	if (result != STATUS(OK)) {
		endpoint_send_drop(&caller->wait);
		caller->mach.frame.call = result;
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
	struct ring_op *op;
	u64 result = check_call(&call->cap, call_word);

	/* The call word named a method of a kernel object that does not block, but an endpoint may serve any interface. */
	if (unlikely(call->waiter == NULL))
		return result == STATUS(OK) ? CALL_NEEDS_WAITER : result;
	op = ring_op_of(call->waiter);
	if (result == STATUS(OK))
		result = endpoint_decode_extra(call->thread, call_word, &op->send.bytes, &op->send.cap_count,
					       op->send.cap, true);
	if (result != STATUS(OK))
		return result;
	result = call_status(keep_message(op, call->thread->process, call), CAPOS_QUOTA_MEMORY);
	if (result == STATUS(OK)) {
		for (unsigned i = 0; i < CAPOS_WORDS; i++)
			op->word[i] = call->word[i];
		op->send.call_word = call_word;
		op->send.word = op->word;
		result = endpoint_begin(call->cpu, &op->wait, &call->cap, CAPOS_WAIT_CALL, call->deadline);
		if (result == STATUS(OK))
			return CALL_BLOCKED;
	}
	endpoint_send_drop(&op->wait);
	return result;
}
