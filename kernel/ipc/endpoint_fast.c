/* SPDX-License-Identifier: MIT */
/*
 * The synchronous fast path: a call by words alone to a server that waits, and its reply-and-receive. With a passive server the
 * caller's entity goes with the call and comes back with the reply; an active one goes on with its own, in the caller's slice:
 * no queue operation, no timer write, no allocation. Whatever is not exactly this case returns NULL before anything is changed.
 *
 * The machine calls this straight from its entry, with the registers of the user saved: the compiler need not preserve any
 * here (Makefile). So nothing else may call it.
 */
#include <kernel/fastpath.h>
#include <kernel/trace.h>

#include "endpoint_priv.h"

#define INLINE static inline __attribute__((always_inline))

/* Result and words of a message to a thread that is claimed. Straight: 0 words cost one comparison. */
INLINE void deliver(struct mach_frame *to, u64 result, const struct mach_frame *from, unsigned count)
{
	to->call = result;
	if (likely(count == 0))
		return;
	to->call = result | CAPOS_RESULT(0, 0, CAPOS_RECV_DETAIL(count, 0, 0));
	switch (count) {
	case 8:
		to->word[7] = from->word[7]; /* fall through */
	case 7:
		to->word[6] = from->word[6]; /* fall through */
	case 6:
		to->word[5] = from->word[5]; /* fall through */
	case 5:
		to->word[4] = from->word[4]; /* fall through */
	case 4:
		to->word[3] = from->word[3]; /* fall through */
	case 3:
		to->word[2] = from->word[2]; /* fall through */
	case 2:
		to->word[1] = from->word[1]; /* fall through */
	case 1:
		to->word[0] = from->word[0]; /* fall through */
	default:
		break;
	}
}

/*
 * cap_lookup_inline, type and right in one, of a handle that is likely to fit. The object is not yet asked whether it lives: that
 * is may_wait's, under its lock. False: it does not fit, or there is more to look at.
 */
INLINE bool find_endpoint(struct process *process, const u64 *handle, u32 right, struct cap *out)
{
	const u32 *half = (const u32 *)handle; /* CAPOS_HANDLE_SLOT, CAPOS_HANDLE_GENERATION */
	u32 index = half[0], generation = half[1];
	u32 meaning = SLOT_MEANING(CAPOS_IFACE_endpoint, right);
	struct slot *slot;

	if (unlikely(index >= SLOTS_PER_PAGE || (generation & 1u) == 0))
		return false;
	slot = &atomic_load_acquire(&process->table.first)[index]; /* pairs with the release in set_first */
	/* Pairs with the release at the end of cap_insert. */
	if (unlikely(!atomic_equals_acquire(&slot->generation, generation) ||
		     (atomic_load_acquire(&slot->type_rights) & (SLOT_MEANING(0xffff, 0) | right)) != meaning))
		return false;
	out->object = atomic_load_acquire(&slot->object);
	out->grant = atomic_load_acquire(&slot->grant);
	out->badge = atomic_load_acquire(&slot->badge);
	return likely(atomic_equals_relaxed(&slot->generation, generation) && !grant_is_dead(out->grant));
}

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

INLINE struct thread *call(struct cpu *cpu, struct thread *caller, u64 call_word)
{
	unsigned words = (unsigned)(call_word >> 52); /* there are no flags */
	struct mach_frame *frame;
	struct endpoint *endpoint;
	struct capos_thread_page *page;
	struct list_node *node;
	struct waiter *receiver;
	struct thread *server;
	struct cap cap;
	bool same, lend, switched = true;
	u64 token;

	if (!find_endpoint(caller->process, &caller->mach.frame.handle, CAPOS_RIGHT_CALL, &cap))
		return NULL;
	endpoint = endpoint_of(cap.object);
	if ((endpoint->iface != CAPOS_CALL_IFACE(call_word) && endpoint->iface != 0) || words > CAPOS_WORDS)
		return NULL;
	spin_lock_on(cpu, &endpoint->object.lock);
	node = endpoint->receivers.head.next;
	receiver = LIST_ENTRY(node, struct waiter, link);
	if (unlikely(node == &endpoint->receivers.head || receiver->kind != WAITER_THREAD ||
		     receiver->timer.deadline_ns != INSTANT_NEVER.ns || !may_wait(cap.object, cap.grant)))
		goto no;
	server = receiver->thread;
	/* LE1: one that waits without an entity is passive. LE3. */
	lend = server->entity == NULL;
	if (unlikely(lend && caller->entity == caller->own && caller->spare == NULL))
		goto no;
	/* IP1: the receiver leaves, the caller enters. */
	same = receiver->grant == cap.grant;
	if (unlikely(!same && !grant_get(cap.grant)))
		goto no;
	if (unlikely(!waiter_take_untimed(receiver))) {
		if (unlikely(!same))
			grant_put_later(cap.grant);
		goto no;
	}
	if (unlikely(!same))
		grant_put_later(receiver->grant);
	list_remove(&receiver->link);
	frame = &server->mach.frame;
	deliver(frame, CAPOS_RESULT(CAPOS_STATUS_OK, CAPOS_CALL_METHOD(call_word), 0), &caller->mach.frame, words);
	frame->handle = cap.badge;
	token = endpoint->next_token++;
	page = server->page;
	page->recv_token = token;
	page->recv_badge = cap.badge;

	caller->wait.object = cap.object;
	caller->wait.grant = cap.grant;
	caller->wait.key[0] = token;
	caller->wait.key[1] = (u64)server;
	list_push_back(endpoint_bucket(endpoint, token), &caller->wait.link);
	shared_store_relaxed(&server->serving, &caller->wait);
	server->serving_at = endpoint;
	if (likely(lend))
		sched_lend_inline(cpu, caller, server);
	else
		switched = sched_switch_to(cpu, server);
	if (unlikely(!switched))
		sched_detach_current(cpu);
	waiter_arm_untimed(&caller->wait, CAPOS_WAIT_REPLY, &endpoint_caller_ops);
	if (unlikely(!switched))
		return switch_slowly(cpu, endpoint, caller, server);
	spin_unlock_on(cpu, &endpoint->object.lock);
	return fast_exit(cpu, caller, server);
no:
	spin_unlock_on(cpu, &endpoint->object.lock);
	return NULL;
}

INLINE struct thread *reply(struct cpu *cpu, struct thread *server, u64 reply_word)
{
	unsigned words = (unsigned)(reply_word >> 52); /* there are no flags */
	u32 completed = shared_load_relaxed(&server->ring_cq_tail);
	struct endpoint *endpoint;
	struct waiter *call;
	struct thread *caller;
	struct cap cap;
	bool same, give_back, switched = true;

	if (!find_endpoint(server->process, &server->mach.frame.handle, CAPOS_RIGHT_RECV, &cap))
		return NULL;
	endpoint = endpoint_of(cap.object);
	if (words > CAPOS_WORDS || server->serving_at != endpoint ||
	    completed != shared_load_relaxed(&server->page->cq_head))
		return NULL;
	spin_lock_on(cpu, &endpoint->object.lock);
	call = shared_load_relaxed(&server->serving);
	/* A thread that waits for a reply has no deadline. */
	if (unlikely(call == NULL || call->kind != WAITER_THREAD || call->wait != CAPOS_WAIT_REPLY ||
		     !list_is_empty(&endpoint->callers) || !may_wait(cap.object, cap.grant)))
		goto no;
	caller = call->thread;
	/* Of a passive server's calls only one that lent its entity here (LE5) comes back by the fast path. */
	give_back = caller->entity == NULL;
	if (unlikely(give_back ? server->borrowed_from_id != caller->object.id : server->passive))
		goto no;
	/* IP1: the caller leaves, the receiver enters. */
	same = call->grant == cap.grant;
	if (unlikely(!same && !grant_get(cap.grant)))
		goto no;
	if (unlikely(!waiter_take_untimed(call))) {
		if (unlikely(!same))
			grant_put_later(cap.grant);
		goto no;
	}
	if (unlikely(!same))
		grant_put_later(call->grant);
	list_remove(&call->link);
	call->key[1] = 0;
	shared_store_relaxed(&server->serving, NULL);
	deliver(&caller->mach.frame, CAPOS_RESULT(CAPOS_STATUS_OK, CAPOS_CALL_IFACE(reply_word), 0),
		&server->mach.frame, words);

	server->recv_handle = server->mach.frame.handle;
	server->wait.object = cap.object;
	server->wait.grant = cap.grant;
	list_push_back(&endpoint->receivers, &server->wait.link);
	if (likely(give_back))
		sched_return_inline(cpu, server, caller);
	else
		switched = sched_switch_to(cpu, caller);
	if (unlikely(!switched))
		sched_detach_current(cpu);
	waiter_arm_untimed(&server->wait, CAPOS_WAIT_RECV, &endpoint_receiver_ops);
	/* Order with ring_post: arm is a full barrier, and so is the fence there. Either the poster sees the armed receive,
	 * or its tail is seen here; the claim inside has one winner. */
	if (unlikely(shared_load_relaxed(&server->ring_cq_tail) != completed))
		endpoint_wake_receiver_for_completion(cpu, server);
	if (unlikely(!switched))
		return switch_slowly(cpu, endpoint, server, caller);
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
		return NULL;
	if (CAPOS_DEBUG)
		thread->asked = (struct asked){ call_word, true, kind == KIND(CAPOS_OP_CALL) };
	/* When this does not do, kernel_syscall enters once more, which is no harm: nothing is kept. */
	reclaim_kernel_enter_inline(cpu);
	return kind == KIND(CAPOS_OP_CALL) ? call(cpu, thread, call_word) : reply(cpu, thread, call_word);
}
