/* SPDX-License-Identifier: MIT */
/*
 * The synchronous fast path: a call without capabilities to a server that waits, and its reply-and-receive. With a passive
 * server the caller's entity goes with the call and comes back with the reply; an active one goes on with its own, in the
 * caller's slice: no queue operation, no timer write, no allocation. A pinned one (LE8) is woken where it may run, and so is who
 * called it (call_apart, reply_apart). Whatever is not exactly this case returns NULL before anything is changed.
 *
 * The machine calls this straight from its entry, with the registers of the user saved: the compiler need not preserve any
 * here (Makefile). So nothing else may call it.
 */
#include <kernel/trace.h>

#include "endpoint_handover.h"

static const struct slot_need need_call = SLOT_NEED(CAPOS_IFACE_endpoint, CAPOS_RIGHT_CALL);
static const struct slot_need need_recv = SLOT_NEED(CAPOS_IFACE_endpoint, CAPOS_RIGHT_RECV);

/* `from` is off its CPU and armed; whom it was to switch to, with an entity of its own, has to wait for a CPU. */
static __attribute__((noinline)) struct thread *exit_switched(struct cpu *cpu, struct endpoint *endpoint,
							      struct thread *from)
	RELEASES(endpoint->object.lock) NO_TSA
{
	spin_unlock_on(cpu, &endpoint->object.lock);
	cpu->armed_waiter = &from->wait;
	return sched_exit(cpu);
}

/* Bytes that go along with `message` (a constant) set; out of range, which the general path tells, false. */
INLINE bool bytes_to_send(const struct thread *thread, bool message, u32 *bytes)
{
	*bytes = message ? shared_load_relaxed(&thread->page->send_bytes) : 0;
	return !message || (*bytes != 0 && *bytes <= CAPOS_MESSAGE_BYTES);
}

/* `call` where first_plain says no: to a pinned server, which is given the caller's entity elsewhere (LE8). */
static __attribute__((noinline)) struct thread *call_apart(struct cpu *cpu, struct thread *caller,
							   struct endpoint *endpoint, struct grant *grant, u64 badge)
	RELEASES(endpoint->object.lock) NO_TSA
{
	u64 call_word = caller->mach.frame.call;
	struct cap cap = { .object = &endpoint->object, .grant = grant, .badge = badge };
	struct list_node *node = list_first(&endpoint->receivers);
	struct waiter *receiver = node != NULL ? waiter_of(node) : NULL;
	struct thread *server = NULL;
	bool switched;
	u32 bytes;

	if (receiver != NULL && shared_load_relaxed(&receiver->pinned) != 0 && receiver->thread->entity == NULL &&
	    receiver->timer.deadline_ns == INSTANT_NEVER.ns && may_wait(cap.object, grant) &&
	    bytes_to_send(caller, CAPOS_CALL_FLAGS(call_word) != 0, &bytes) && !sched_is_too_deep(caller) &&
	    sched_may_lend(caller, receiver->thread))
		server = hand_call_to(cpu, caller, receiver, &cap,
				      CAPOS_RESULT(CAPOS_STATUS_OK, CAPOS_CALL_METHOD(call_word),
						   CAPOS_RECV_DETAIL(0, 0, bytes)),
				      caller->mach.frame.word, CAPOS_CALL_WORD_COUNT(call_word), bytes,
				      CAPOS_WAIT_REPLY, &switched, ON_THE_CALLERS_APART);
	if (server != NULL)
		return exit_switched(cpu, endpoint, caller);
	spin_unlock_on(cpu, &endpoint->object.lock);
	return NULL;
}

INLINE struct thread *call(struct cpu *cpu, struct thread *caller, u64 call_word, unsigned words, bool message)
{
	struct endpoint *endpoint;
	struct waiter *receiver;
	struct thread *server;
	struct cap cap;
	bool switched = true;
	u32 bytes;

	if (!bytes_to_send(caller, message, &bytes))
		return NULL;
	if (!cap_find_inline(caller->process, &caller->mach.frame.handle, &need_call, &cap.object, &cap.grant,
			     &cap.badge))
		return NULL;
	endpoint = endpoint_of(cap.object);
	if (!shared_equals_relaxed(&endpoint->iface, CAPOS_CALL_IFACE(call_word)) && endpoint->iface != 0)
		return NULL;
	spin_lock_on(cpu, &endpoint->object.lock);
	receiver = first_plain(&cap);
	if (unlikely(receiver == NULL))
		return call_apart(cpu, caller, endpoint, cap.grant, cap.badge);
	server = hand_call_over(cpu, caller, receiver, &cap, CAPOS_CALL_METHOD(call_word), caller->mach.frame.word,
				words, bytes, CAPOS_WAIT_REPLY, &switched);
	if (unlikely(!switched))
		return exit_switched(cpu, endpoint, caller);
	spin_unlock_on(cpu, &endpoint->object.lock);
	return likely(server != NULL) ? fast_exit(cpu, caller, server, true) : NULL;
}

/* The server, off its CPU and linked, waits. */
INLINE void receive(struct cpu *cpu, struct thread *server, u32 completed)
{
	waiter_arm_untimed(&server->wait, CAPOS_WAIT_RECV, &endpoint_receiver_ops);
	/* Order with ring_post: arm is a full barrier, and so is the fence there. Either the poster sees the armed receive,
	 * or its tail is seen here; the claim inside has one winner. */
	if (unlikely(!shared_equals_relaxed(&server->ring_cq_tail, completed)))
		endpoint_wake_receiver_for_completion(cpu, server);
}

/* A reply that is not for here, nothing changed. */
static __attribute__((noinline)) struct thread *reply_not(struct cpu *cpu, struct endpoint *endpoint)
	RELEASES(endpoint->object.lock) NO_TSA
{
	spin_unlock_on(cpu, &endpoint->object.lock);
	return NULL;
}

/* The reply to a call in service at the endpoint, whose lock is held. The last two are constants: whose entity goes back with it;
 * the caller is in a system call. */
INLINE struct thread *reply_to(struct cpu *cpu, struct thread *server, struct waiter *call, struct endpoint *endpoint,
			       struct grant *grant, u64 result, unsigned words, u32 bytes, u32 completed,
			       enum runs_on on, bool by_syscall) NO_TSA
{
	bool give_back = on != ON_ITS_OWN;
	struct thread *caller = call->thread;
	bool switched = true;

	/* Of a passive server's calls only one that lent its entity here (LE5) comes back by the fast path. */
	if (unlikely(give_back ? server->borrowed_from_id != caller->object.id : server->passive))
		return reply_not(cpu, endpoint);
	/* IP1: the caller leaves, the receiver enters. */
	if (unlikely(!take_for(call, grant)))
		return reply_not(cpu, endpoint);
	list_remove(&call->link);
	call->key[1] = 0;
	shared_store_relaxed(&server->serving, NULL);
	deliver(&caller->mach.frame, result, server->mach.frame.word, words);
	if (bytes != 0)
		deliver_bytes(caller, server, bytes);

	server->recv_handle = server->mach.frame.handle;
	server->wait.object = &endpoint->object;
	server->wait.grant = grant;
	list_push_back(&endpoint->receivers, &server->wait.link);
	if (on == ON_THE_CALLERS_APART) {
		(void)!sched_return_apart(cpu, server, caller); /* true, by the looks before */
		thread_ready(cpu, caller);
		switched = false;
	} else if (give_back)
		sched_return_inline(cpu, server, caller);
	else
		switched = sched_switch_to(cpu, caller);
	receive(cpu, server, completed);
	if (unlikely(!switched))
		return exit_switched(cpu, endpoint, server);
	spin_unlock_on(cpu, &endpoint->object.lock);
	return fast_exit(cpu, server, caller, by_syscall);
}

/* A thread that faulted goes on with its registers; skip and kill are not for here. */
static __attribute__((noinline)) struct thread *reply_to_fault(struct cpu *cpu, struct thread *server,
							       struct waiter *call, struct endpoint *endpoint,
							       struct grant *grant, u32 completed) NO_TSA
{
	struct thread *thread = call->thread;
	u64 result = thread->mach.frame.call;

	if (call->wait != CAPOS_WAIT_FAULT || server->mach.frame.word[0] != CAPOS_FAULT_RESUME)
		return reply_not(cpu, endpoint);
	if (thread->entity == NULL)
		return reply_to(cpu, server, call, endpoint, grant, result, 0, 0, completed, ON_THE_CALLERS, false);
	return reply_to(cpu, server, call, endpoint, grant, result, 0, 0, completed, ON_ITS_OWN, false);
}

INLINE u64 reply_result(u64 reply_word, u32 bytes)
{
	return CAPOS_RESULT(CAPOS_STATUS_OK, CAPOS_CALL_IFACE(reply_word), CAPOS_RECV_DETAIL(0, 0, bytes));
}

/* `reply` where the caller's waiter is not plain: by a pinned server, the entity goes back to where it came from (LE8). */
static __attribute__((noinline)) struct thread *reply_apart(struct cpu *cpu, struct thread *server,
							    struct endpoint *endpoint, struct grant *grant) NO_TSA
{
	u64 reply_word = server->mach.frame.call;
	struct waiter *call = shared_load_relaxed(&server->serving);
	u32 completed = shared_load_relaxed(&server->ring_cq_tail), bytes;

	if (call == NULL || !call->lent || call->thread->entity != NULL || call->wait != CAPOS_WAIT_REPLY ||
	    !list_is_empty(&endpoint->callers) || !may_wait(&endpoint->object, grant) ||
	    !shared_equals_relaxed(&server->page->cq_head, completed) ||
	    !bytes_to_send(server, CAPOS_CALL_FLAGS(reply_word) != 0, &bytes))
		return reply_not(cpu, endpoint);
	return reply_to(cpu, server, call, endpoint, grant, reply_result(reply_word, bytes),
			CAPOS_CALL_WORD_COUNT(reply_word), bytes, completed, ON_THE_CALLERS_APART, true);
}

INLINE struct thread *reply(struct cpu *cpu, struct thread *server, u64 reply_word, unsigned words,
			    bool message) NO_TSA
{
	u32 completed = shared_load_relaxed(&server->ring_cq_tail), bytes;
	u64 result;
	struct endpoint *endpoint;
	struct object *object;
	struct grant *grant;
	struct waiter *call;

	if (!bytes_to_send(server, message, &bytes))
		return NULL;
	result = reply_result(reply_word, bytes);
	if (!cap_find_inline(server->process, &server->mach.frame.handle, &need_recv, &object, &grant, NULL))
		return NULL;
	endpoint = endpoint_of(object);
	if (server->serving_at != endpoint || !shared_equals_relaxed(&server->page->cq_head, completed))
		return NULL;
	spin_lock_on(cpu, &endpoint->object.lock);
	call = shared_load_relaxed(&server->serving);
	/* A thread that waits for a reply has no deadline. */
	if (unlikely(call == NULL || !waiter_is_plain(call) || !list_is_empty(&endpoint->callers) ||
		     !may_wait(object, grant)))
		return reply_apart(cpu, server, endpoint, grant);
	if (unlikely(call->wait != CAPOS_WAIT_REPLY))
		return words != 0 && !message ? reply_to_fault(cpu, server, call, endpoint, grant, completed)
					      : reply_not(cpu, endpoint);
	if (likely(call->thread->entity == NULL))
		return reply_to(cpu, server, call, endpoint, grant, result, words, bytes, completed, ON_THE_CALLERS,
				true);
	return reply_to(cpu, server, call, endpoint, grant, result, words, bytes, completed, ON_ITS_OWN, true);
}

/* Most messages have no words: a copy of the paths for them. */
static struct thread *call_0(struct cpu *cpu, struct thread *caller, u64 call_word)
{
	return call(cpu, caller, call_word, 0, false);
}

static struct thread *call_words(struct cpu *cpu, struct thread *caller, u64 call_word)
{
	return call(cpu, caller, call_word, (unsigned)(call_word >> 52), false); /* there are no flags */
}

static struct thread *reply_0(struct cpu *cpu, struct thread *server, u64 reply_word)
{
	return reply(cpu, server, reply_word, 0, false);
}

static struct thread *reply_words(struct cpu *cpu, struct thread *server, u64 reply_word)
{
	return reply(cpu, server, reply_word, (unsigned)(reply_word >> 52), false);
}

/* For call_verify_return. */
static void note_asked(struct thread *thread, u64 call_word)
{
	thread->asked = (struct asked){ call_word, true, CAPOS_CALL_OP(call_word) == CAPOS_OP_CALL };
}

/* With message bytes as well: apart from the table, whose ways are shorter for it. */
static __attribute__((noinline)) struct thread *with_message(struct cpu *cpu, struct thread *thread, u64 call_word)
{
	unsigned words = CAPOS_CALL_WORD_COUNT(call_word);

	if (words > CAPOS_WORDS || CAPOS_CALL_FLAGS(call_word) != CAPOS_CALL_MESSAGE)
		return NULL;
	if (CAPOS_DEBUG)
		note_asked(thread, call_word);
	if (CAPOS_CALL_OP(call_word) == CAPOS_OP_CALL)
		return call(cpu, thread, call_word, words, true);
	if (CAPOS_CALL_OP(call_word) == CAPOS_OP_REPLY_RECV)
		return reply(cpu, thread, call_word, words, true);
	return NULL;
}

static struct thread *other(struct cpu *cpu, struct thread *thread, u64 call_word)
{
	return call_word == YIELD_WORD ? sched_exit_yield(cpu, thread) : NULL;
}

/* By op, words and flags of the call word: up to CAPOS_WORDS, and no flags. */
#define KIND(op, words) (CAPOS_CALL_WORD(0, 0, (op), (words), 0) >> 48)
#define KINDS (KIND(15, CAPOS_WORDS) + 1)
#define WAYS(words, call, reply)                                                                                     \
	[KIND(CAPOS_OP_CALL, words)] = (call), [KIND(1, words)] = other,                                             \
			     [KIND(CAPOS_OP_REPLY_RECV, words)] = (reply),                                           \
			     [KIND(3, words)... KIND(15, words)] = other
_Static_assert(CAPOS_OP_CALL == 0 && CAPOS_OP_REPLY_RECV == 2 && CAPOS_WORDS == 8, "all of the table");
static struct thread *(*const ways[KINDS])(struct cpu *, struct thread *, u64) = {
	WAYS(0, call_0, reply_0),	  WAYS(1, call_words, reply_words), WAYS(2, call_words, reply_words),
	WAYS(3, call_words, reply_words), WAYS(4, call_words, reply_words), WAYS(5, call_words, reply_words),
	WAYS(6, call_words, reply_words), WAYS(7, call_words, reply_words), WAYS(8, call_words, reply_words),
};

struct thread *kernel_syscall_ipc(struct cpu *cpu, struct thread *thread, u64 call_word)
{
	u64 kind = call_word >> 48;

	if (unlikely(!atomic_clear_relaxed(&kernel_state.trace_mask, 1u << CAPOS_TRACE_CALL |
									     1u << CAPOS_TRACE_RETURN |
									     1u << CAPOS_TRACE_SWITCH)))
		return NULL;
	if (unlikely(kind >= KINDS))
		return with_message(cpu, thread, call_word);
	if (CAPOS_DEBUG && ways[kind] != other)
		note_asked(thread, call_word);
	return ways[kind](cpu, thread, call_word);
}
