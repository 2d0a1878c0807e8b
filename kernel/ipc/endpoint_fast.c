/* SPDX-License-Identifier: MIT */
/*
 * The synchronous fast path: a call by words alone to a server that waits, and its reply-and-receive. With a passive server the
 * caller's entity goes with the call and comes back with the reply; an active one goes on with its own, in the caller's slice:
 * no queue operation, no timer write, no allocation. Whatever is not exactly this case returns NULL before anything is changed.
 *
 * The machine calls this straight from its entry, with the registers of the user saved: the compiler need not preserve any
 * here (Makefile). So nothing else may call it.
 */
#include <kernel/trace.h>

#include "endpoint_handover.h"

static const struct slot_need need_call = SLOT_NEED(CAPOS_IFACE_endpoint, CAPOS_RIGHT_CALL);
static const struct slot_need need_recv = SLOT_NEED(CAPOS_IFACE_endpoint, CAPOS_RIGHT_RECV);

/* `from` is off its CPU and armed; `to`, which runs on its own entity, could not be switched to. */
static __attribute__((noinline)) struct thread *switch_slowly(struct cpu *cpu, struct endpoint *endpoint,
							      struct thread *from, struct thread *to)
	RELEASES(endpoint->object.lock) NO_TSA
{
	if (!sched_handoff(cpu, to))
		thread_ready(cpu, to);
	spin_unlock_on(cpu, &endpoint->object.lock);
	cpu->armed_waiter = &from->wait;
	return sched_exit(cpu);
}

static __attribute__((noinline)) struct thread *call(struct cpu *cpu, struct thread *caller, u64 call_word)
{
	unsigned words = (unsigned)(call_word >> 52); /* there are no flags */
	struct endpoint *endpoint;
	struct thread *server;
	struct cap cap;
	bool switched = true;

	if (!cap_find_inline(caller->process, &caller->mach.frame.handle, &need_call, &cap.object, &cap.grant,
			     &cap.badge))
		return NULL;
	endpoint = endpoint_of(cap.object);
	if ((endpoint->iface != CAPOS_CALL_IFACE(call_word) && endpoint->iface != 0) || words > CAPOS_WORDS)
		return NULL;
	spin_lock_on(cpu, &endpoint->object.lock);
	server = hand_call_over(cpu, caller, &cap, CAPOS_CALL_METHOD(call_word), caller->mach.frame.word, words,
				CAPOS_WAIT_REPLY, &switched);
	if (unlikely(!switched))
		return switch_slowly(cpu, endpoint, caller, server);
	spin_unlock_on(cpu, &endpoint->object.lock);
	return likely(server != NULL) ? fast_exit(cpu, caller, server) : NULL;
}

/* The server, off its CPU and linked, waits. */
INLINE void receive(struct cpu *cpu, struct thread *server, u32 completed)
{
	waiter_arm_untimed(&server->wait, CAPOS_WAIT_RECV, &endpoint_receiver_ops);
	/* Order with ring_post: arm is a full barrier, and so is the fence there. Either the poster sees the armed receive,
	 * or its tail is seen here; the claim inside has one winner. */
	if (unlikely(shared_load_relaxed(&server->ring_cq_tail) != completed))
		endpoint_wake_receiver_for_completion(cpu, server);
}

static __attribute__((noinline)) struct thread *reply_slowly(struct cpu *cpu, struct endpoint *endpoint,
							     struct thread *server, struct thread *caller,
							     u32 completed) RELEASES(endpoint->object.lock) NO_TSA
{
	sched_detach_current(cpu);
	receive(cpu, server, completed);
	return switch_slowly(cpu, endpoint, server, caller);
}

static __attribute__((noinline)) struct thread *reply(struct cpu *cpu, struct thread *server, u64 reply_word)
{
	unsigned words = (unsigned)(reply_word >> 52); /* there are no flags */
	u32 completed = shared_load_relaxed(&server->ring_cq_tail);
	u64 result = CAPOS_RESULT(CAPOS_STATUS_OK, CAPOS_CALL_IFACE(reply_word), 0);
	struct endpoint *endpoint;
	struct waiter *call;
	struct thread *caller;
	struct cap cap;
	bool give_back;

	if (words > CAPOS_WORDS)
		return NULL;
	if (!cap_find_inline(server->process, &server->mach.frame.handle, &need_recv, &cap.object, &cap.grant, NULL))
		return NULL;
	endpoint = endpoint_of(cap.object);
	if (server->serving_at != endpoint || completed != shared_load_relaxed(&server->page->cq_head))
		return NULL;
	spin_lock_on(cpu, &endpoint->object.lock);
	call = shared_load_relaxed(&server->serving);
	/* A thread that waits for a reply has no deadline. */
	if (unlikely(call == NULL || call->kind != WAITER_THREAD || !list_is_empty(&endpoint->callers) ||
		     !may_wait(cap.object, cap.grant)))
		goto no;
	caller = call->thread;
	/* A thread that faulted goes on with its registers; skip and kill are not for here. */
	if (unlikely(call->wait != CAPOS_WAIT_REPLY)) {
		if (call->wait != CAPOS_WAIT_FAULT || words == 0 || server->mach.frame.word[0] != CAPOS_FAULT_RESUME)
			goto no;
		result = caller->mach.frame.call;
		words = 0;
	}
	/* Of a passive server's calls only one that lent its entity here (LE5) comes back by the fast path. */
	give_back = caller->entity == NULL;
	if (unlikely(give_back ? server->borrowed_from_id != caller->object.id : server->passive))
		goto no;
	/* IP1: the caller leaves, the receiver enters. */
	if (unlikely(!take_for(call, cap.grant)))
		goto no;
	list_remove(&call->link);
	call->key[1] = 0;
	shared_store_relaxed(&server->serving, NULL);
	deliver(&caller->mach.frame, result, server->mach.frame.word, words);

	server->recv_handle = server->mach.frame.handle;
	server->wait.object = cap.object;
	server->wait.grant = cap.grant;
	list_push_back(&endpoint->receivers, &server->wait.link);
	if (likely(give_back))
		sched_return_inline(cpu, server, caller);
	else if (unlikely(!sched_switch_to(cpu, caller)))
		return reply_slowly(cpu, endpoint, server, caller, completed);
	receive(cpu, server, completed);
	spin_unlock_on(cpu, &endpoint->object.lock);
	return fast_exit(cpu, server, caller);
no:
	spin_unlock_on(cpu, &endpoint->object.lock);
	return NULL;
}

/* Op and flags of a call word. */
#define KIND(op) ((u32)(CAPOS_CALL_WORD(0, 0, (op), 0, 0) >> 48))
#define KIND_MASK ((u32)(CAPOS_CALL_WORD(0, 0, 15, 0, 255) >> 48))

struct thread *kernel_syscall_ipc(struct cpu *cpu, struct thread *thread, u64 call_word)
{
	u32 kind = (u32)(call_word >> 48) & KIND_MASK;

	if (unlikely(!atomic_clear_relaxed(&kernel_state.trace_mask, 1u << CAPOS_TRACE_CALL |
									     1u << CAPOS_TRACE_RETURN |
									     1u << CAPOS_TRACE_SWITCH)))
		return NULL;
	if (kind != KIND(CAPOS_OP_CALL) && kind != KIND(CAPOS_OP_REPLY_RECV))
		return call_word == YIELD_WORD ? sched_exit_yield(cpu, thread) : NULL;
	if (CAPOS_DEBUG)
		thread->asked = (struct asked){ call_word, true, kind == KIND(CAPOS_OP_CALL) };
	return kind == KIND(CAPOS_OP_CALL) ? call(cpu, thread, call_word) : reply(cpu, thread, call_word);
}
