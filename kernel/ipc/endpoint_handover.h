/* SPDX-License-Identifier: MIT */
/* The hand-over of a call, or a fault, to a thread that waits in receive: inline, for endpoint_fast.c and fault.c. */
#ifndef ENDPOINT_HANDOVER_H
#define ENDPOINT_HANDOVER_H

#include <kernel/fastpath.h>

#include "endpoint_priv.h"

#define INLINE static inline __attribute__((always_inline))

/* The bytes of a message, at least one, from the page of the current thread to that of a thread that is claimed. */
INLINE void deliver_bytes(struct thread *to, const struct thread *from, u32 bytes)
{
	to->page->recv_bytes = bytes;
	to->page->recv_caps = 0;
	__builtin_memcpy(to->page->message, from->page->message, bytes);
}

/* Result and words of a message to a thread that is claimed: straight. count: up to CAPOS_WORDS. */
INLINE void deliver(struct mach_frame *to, u64 result, const u64 *words, unsigned count)
{
	KVERIFY(count <= CAPOS_WORDS);
	to->call = result | CAPOS_RESULT(0, 0, CAPOS_RECV_DETAIL(count, 0, 0));
	switch (count) {
	case 8:
		to->word[7] = words[7]; /* fall through */
	case 7:
		to->word[6] = words[6]; /* fall through */
	case 6:
		to->word[5] = words[5]; /* fall through */
	case 5:
		to->word[4] = words[4]; /* fall through */
	case 4:
		to->word[3] = words[3]; /* fall through */
	case 3:
		to->word[2] = words[2]; /* fall through */
	case 2:
		to->word[1] = words[1]; /* fall through */
	case 1:
		to->word[0] = words[0]; /* fall through */
	case 0:
		break;
	default:
		__builtin_unreachable(); /* no range is checked */
	}
}

/* take_for, where one reference is given back and another one taken. */
bool endpoint_take_exchange(struct waiter *waiter, struct grant *grant);

/* A waiter that leaves its queue is taken, and its reference on the grant becomes that of the one that enters, through `grant`
 * (IP1). False: nothing happened. */
INLINE MUST_CHECK bool take_for(struct waiter *waiter, struct grant *grant)
{
	if (unlikely(waiter->grant != grant))
		return endpoint_take_exchange(waiter, grant);
	return waiter_take_untimed(waiter);
}

/* What a server runs on: its own entity; the caller's (LE1: one that waits without is passive); that, elsewhere, if it is pinned (LE8). */
enum runs_on { ON_ITS_OWN, ON_THE_CALLERS, ON_THE_CALLERS_APART };

/* hand_call_over, to a server that was looked at; `on` is a constant. */
INLINE struct thread *hand_call_to(struct cpu *cpu, struct thread *caller, struct waiter *receiver,
				   const struct cap *cap, u64 result, const u64 *words, unsigned count, u32 bytes,
				   enum capos_wait wait, bool *switched, enum runs_on on)
{
	struct endpoint *endpoint = endpoint_of(cap->object);
	struct thread *server = receiver->thread;
	struct mach_frame *frame = &server->mach.frame;
	struct capos_thread_page *page;
	bool lend = on == ON_THE_CALLERS;
	u64 token;

	if (lend && likely(caller->entity == caller->own)) {
		if (unlikely(caller->spare == NULL)) /* LE3 */
			return NULL;
		atomic_store_relaxed(&caller->own->loan, LOAN_LENT);
	} else if (lend) { /* LE7 */
		if (unlikely(caller->entity->depth >= CAPOS_DONATION_DEPTH_MAX - 1))
			return NULL;
		caller->entity->depth++;
	}
	/* IP1: the receiver leaves, the caller enters. */
	if (unlikely(!take_for(receiver, cap->grant))) {
		/* The current thread waits for nothing: nobody has looked at it. */
		if (caller->entity == caller->own)
			atomic_store_relaxed(&caller->own->loan, 0u);
		else if (lend)
			caller->entity->depth--;
		return NULL;
	}
	list_remove(&receiver->link);
	deliver(frame, result, words, count);
	frame->handle = cap->badge;
	token = endpoint->next_token++;
	page = server->page;
	page->recv_token = token;
	page->recv_badge = cap->badge;
	if (bytes != 0)
		deliver_bytes(server, caller, bytes);

	caller->wait.object = cap->object;
	caller->wait.grant = cap->grant;
	caller->wait.key[0] = token;
	caller->wait.key[1] = (u64)server;
	list_push_back(endpoint_bucket(endpoint, token), &caller->wait.link);
	shared_store_relaxed(&server->serving, &caller->wait);
	server->serving_at = endpoint;
	if (on == ON_THE_CALLERS_APART) {
		sched_lend_apart(cpu, caller, server);
		*switched = false;
	} else if (lend)
		sched_lend_marked(cpu, caller, server);
	else if (unlikely(!sched_switch_to(cpu, server)))
		*switched = false;
	waiter_arm_untimed(&caller->wait, wait, &endpoint_caller_ops);
	return server;
}

/* The first thread that waits at the endpoint, whose lock is held, if a call by `cap` may go straight to it; NULL. */
INLINE struct waiter *first_plain(const struct cap *cap)
{
	struct endpoint *endpoint = endpoint_of(cap->object);
	struct list_node *node = endpoint->receivers.head.next;
	struct waiter *receiver = LIST_ENTRY(node, struct waiter, link);

	if (unlikely(node == &endpoint->receivers.head || !waiter_is_plain(receiver) ||
		     receiver->timer.deadline_ns != INSTANT_NEVER.ns || !may_wait(cap->object, cap->grant)))
		return NULL;
	return receiver;
}

/*
 * The current thread's call goes to the thread that first_plain said, still under the lock: the caller is armed after this and the
 * server current, the rest is fast_exit's. NULL: nothing happened. *switched false: the server has its message, but waits for a CPU;
 * the rest is that of a wait in sched_exit.
 */
INLINE struct thread *hand_call_over(struct cpu *cpu, struct thread *caller, struct waiter *receiver,
				     const struct cap *cap, u16 method, const u64 *words, unsigned count, u32 bytes,
				     enum capos_wait wait, bool *switched)
{
	u64 result = CAPOS_RESULT(CAPOS_STATUS_OK, method, CAPOS_RECV_DETAIL(0, 0, bytes));

	if (likely(receiver->thread->entity == NULL))
		return hand_call_to(cpu, caller, receiver, cap, result, words, count, bytes, wait, switched,
				    ON_THE_CALLERS);
	return hand_call_to(cpu, caller, receiver, cap, result, words, count, bytes, wait, switched, ON_ITS_OWN);
}

#endif
