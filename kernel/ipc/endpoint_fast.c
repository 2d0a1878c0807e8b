/* SPDX-License-Identifier: MIT */
/*
 * The synchronous fast path: a call by words alone to a server that waits, and its reply-and-receive. With a passive server the
 * caller's entity goes with the call and comes back with the reply; an active one goes on with its own, in the caller's slice:
 * no queue operation, no timer write, no allocation. Whatever is not exactly this case returns false before anything is changed.
 */
#include <kernel/fastpath.h>
#include <kernel/trace.h>

#include "endpoint_priv.h"

static inline void copy_words(u64 *to, const u64 *from, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		to[i] = from[i];
}

/* The current thread gives its CPU to `to`. False: it has only left it, and `to` is to go_on() when the former is armed. */
static inline bool switch_or_detach(struct cpu *cpu, struct thread *to)
{
	if (likely(sched_switch_to(cpu, to)))
		return true;
	sched_detach_current(cpu);
	return false;
}

static void go_on(struct cpu *cpu, struct thread *thread)
{
	if (!sched_handoff(cpu, thread))
		thread_ready(cpu, thread);
}

static __attribute__((noinline)) bool deliver_call(struct cpu *cpu, struct thread *caller, u64 call_word)
{
	unsigned words = CAPOS_CALL_WORD_COUNT(call_word);
	struct endpoint *endpoint;
	struct waiter *receiver;
	struct thread *server;
	struct mach_frame *frame;
	struct cap cap;
	bool same, switched = true;
	u64 token;

	if (cap_lookup_inline(caller->process, caller->mach.frame.handle, &cap) != CAPOS_STATUS_OK)
		return false;
	endpoint = endpoint_of(cap.object);
	if (cap.object->type != CAPOS_IFACE_endpoint || !(cap.rights & CAPOS_RIGHT_CALL) ||
	    (endpoint->iface != CAPOS_CALL_IFACE(call_word) && endpoint->iface != 0) || words > CAPOS_WORDS)
		return false;
	spin_lock(&endpoint->object.lock);
	receiver = waiter_of(list_first(&endpoint->receivers));
	if (receiver == NULL || receiver->kind != WAITER_THREAD || !may_wait(cap.object, cap.grant))
		goto no;
	server = receiver->thread;
	if (server->passive && caller->spare == NULL && caller->entity == caller->own)
		goto no;
	/* IP1: the receiver leaves, the caller enters. */
	same = receiver->grant == cap.grant;
	if (!same && !grant_get(cap.grant))
		goto no;
	if (!waiter_take_untimed(receiver, CAPOS_RESULT(CAPOS_STATUS_OK, CAPOS_CALL_METHOD(call_word),
							CAPOS_RECV_DETAIL(words, 0, 0)))) {
		if (!same)
			grant_put_later(cap.grant);
		goto no;
	}
	if (!same)
		grant_put_later(receiver->grant);
	list_remove(&receiver->link);
	frame = &server->mach.frame;
	copy_words(frame->word, caller->mach.frame.word, words);
	frame->handle = cap.badge;
	token = endpoint->next_token++;
	server->page->recv_token = token;
	server->page->recv_badge = cap.badge;

	caller->wait.object = cap.object;
	caller->wait.grant = cap.grant;
	caller->wait.badge = cap.badge;
	caller->wait.key[0] = token;
	caller->wait.key[1] = (u64)server;
	list_push_back(endpoint_bucket(endpoint, token), &caller->wait.link);
	shared_store_relaxed(&server->serving, &caller->wait);
	server->serving_at = endpoint;
	if (server->passive)
		sched_lend(cpu, caller, server);
	else
		switched = switch_or_detach(cpu, server);
	waiter_arm_untimed(cpu, &caller->wait, CAPOS_WAIT_REPLY, &endpoint_caller_ops);
	if (unlikely(!switched))
		go_on(cpu, server);
	spin_unlock(&endpoint->object.lock);
	return true;
no:
	spin_unlock(&endpoint->object.lock);
	return false;
}

static __attribute__((noinline)) bool deliver_reply(struct cpu *cpu, struct thread *server, u64 reply_word)
{
	unsigned words = CAPOS_CALL_WORD_COUNT(reply_word);
	u32 completed = shared_load_relaxed(&server->ring_cq_tail);
	struct endpoint *endpoint;
	struct waiter *call;
	struct thread *caller;
	struct cap cap;
	bool same, switched = true;

	if (cap_lookup_inline(server->process, server->mach.frame.handle, &cap) != CAPOS_STATUS_OK)
		return false;
	endpoint = endpoint_of(cap.object);
	if (cap.object->type != CAPOS_IFACE_endpoint || !(cap.rights & CAPOS_RIGHT_RECV) || words > CAPOS_WORDS ||
	    server->serving_at != endpoint || completed != shared_load_relaxed(&server->page->cq_head))
		return false;
	spin_lock(&endpoint->object.lock);
	call = shared_load_relaxed(&server->serving);
	if (call == NULL || call->kind != WAITER_THREAD || call->wait != CAPOS_WAIT_REPLY ||
	    !list_is_empty(&endpoint->callers) || !may_wait(cap.object, cap.grant))
		goto no;
	caller = call->thread;
	/* Of a passive server's calls only one that lent its entity here comes back by the fast path. */
	if ((caller->entity == NULL) != server->passive ||
	    (server->passive && server->borrowed_from_id != caller->object.id))
		goto no;
	/* IP1: the caller leaves, the receiver enters. */
	same = call->grant == cap.grant;
	if (!same && !grant_get(cap.grant))
		goto no;
	if (!waiter_take_untimed(call, CAPOS_RESULT(CAPOS_STATUS_OK, (u16)CAPOS_CALL_IFACE(reply_word),
						    CAPOS_RECV_DETAIL(words, 0, 0)))) {
		if (!same)
			grant_put_later(cap.grant);
		goto no;
	}
	if (!same)
		grant_put_later(call->grant);
	list_remove(&call->link);
	call->key[1] = 0;
	shared_store_relaxed(&server->serving, NULL);
	copy_words(caller->mach.frame.word, server->mach.frame.word, words);

	server->recv_handle = server->mach.frame.handle;
	server->wait.object = cap.object;
	server->wait.grant = cap.grant;
	list_push_back(&endpoint->receivers, &server->wait.link);
	if (!server->passive)
		switched = switch_or_detach(cpu, caller);
	else if (!sched_return(cpu, server, caller))
		panic("entity of a call is not with its server");
	waiter_arm_untimed(cpu, &server->wait, CAPOS_WAIT_RECV, &endpoint_receiver_ops);
	if (unlikely(!switched))
		go_on(cpu, caller);
	/* Order with ring_post: arm is a full barrier, and so is the fence there. Either the poster sees the armed receive,
	 * or its tail is seen here; the claim inside has one winner. */
	if (unlikely(shared_load_relaxed(&server->ring_cq_tail) != completed))
		endpoint_wake_receiver_for_completion(cpu, server);
	spin_unlock(&endpoint->object.lock);
	return true;
no:
	spin_unlock(&endpoint->object.lock);
	return false;
}

#define OP_AND_FLAGS CAPOS_CALL_WORD(0, 0, 15, 0, 255)

bool endpoint_syscall_fast(struct cpu *cpu, struct thread *thread)
{
	u64 call_word = thread->mach.frame.call;

	if (unlikely((trace_mask() & (1u << CAPOS_TRACE_CALL | 1u << CAPOS_TRACE_RETURN)) != 0))
		return false;
	if ((call_word & OP_AND_FLAGS) == CAPOS_CALL_WORD(0, 0, CAPOS_OP_REPLY_RECV, 0, 0))
		return deliver_reply(cpu, thread, call_word);
	if ((call_word & OP_AND_FLAGS) == CAPOS_CALL_WORD(0, 0, CAPOS_OP_CALL, 0, 0) &&
	    CAPOS_CALL_IFACE(call_word) >= CAPOS_IFACE_COUNT)
		return deliver_call(cpu, thread, call_word);
	return false;
}
