/* SPDX-License-Identifier: MIT */
/* Endpoints: the general path of a receive, by system call and by ring. Model and invariants stand in endpoint.c. */
#include "endpoint_priv.h"

void endpoint_set_aside(struct thread *server)
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
	if (!wait_enter(receiver, cap->object, cap->grant))
		return STATUS(REVOKED);
	waiter_prepare(cpu, receiver);
	if (receiver->kind == WAITER_THREAD && server->passive && server->entity != NULL)
		sched_drop_entity(server);
	list_push_back(&endpoint->receivers, &receiver->link);
	waiter_arm(cpu, receiver, CAPOS_WAIT_RECV, &endpoint_receiver_ops, deadline);
	/* As in the fast path (endpoint_fast.c). */
	if (receiver->kind == WAITER_THREAD && unlikely(shared_load_relaxed(&server->ring_cq_tail) != completed))
		endpoint_wake_receiver_for_completion(cpu, server);
	return CALL_BLOCKED;
}

/* The caller, queued and armed with state word `seen`, is ended with a result. */
static void refuse_queued(struct cpu *cpu, struct endpoint *endpoint, struct waiter *caller, u32 seen, u64 result)
{
	bool won;

	spin_lock(&endpoint->object.lock);
	won = atomic_cas(&caller->state, seen, (seen & ~3u) | WAITER_CLAIMED);
	if (won && list_is_linked(&caller->link))
		wait_leave(caller);
	spin_unlock(&endpoint->object.lock);
	if (!won)
		return;
	endpoint_send_drop(caller);
	waiter_finish(cpu, caller, result, NULL, 0);
}

/* The first queued call would come with CPU time that may not go further (LE7), or not where the server may run (LE8): it ends. Called, and
 * returns, with the lock held. */
static bool refuse_loan(struct cpu *cpu, struct endpoint *endpoint, struct waiter *caller,
			const struct thread *server) NO_TSA
{
	u32 seen = atomic_load_relaxed(&caller->state);
	bool deep = sched_is_too_deep(caller->thread);

	if (likely(!deep && sched_may_lend(caller->thread, server)))
		return false;
	spin_unlock(&endpoint->object.lock);
	refuse_queued(cpu, endpoint, caller, seen, deep ? STATUS(TOO_DEEP) : STATUS(CPU_MASK_MISMATCH));
	spin_lock(&endpoint->object.lock);
	return true;
}

/* Capabilities of the first queued call (armed with state word `seen`) go to the receiver's table. Called with the lock
 * held, returns with it held: true when that call is still the first and its capabilities are in `handles`. */
static bool take_caps(struct cpu *cpu, struct endpoint *endpoint, struct waiter *caller, struct thread *server,
		      u64 *handles) NO_TSA
{
	struct ipc_send *send = send_of(caller);
	u32 seen = atomic_load_relaxed(&caller->state);
	u32 count = send->cap_count;
	struct cap caps[CAPOS_MESSAGE_CAPS];
	u32 held = 0;
	u64 result = STATUS(OK);

	if (shared_load_relaxed(&server->page->accept_caps) < count)
		result = STATUS(NO_SLOTS);
	for (; result == STATUS(OK) && held < count; held++) {
		caps[held] = send->cap[held];
		if (!grant_get(caps[held].grant)) {
			result = STATUS(REVOKED);
			break;
		}
	}
	spin_unlock(&endpoint->object.lock);
	if (result == STATUS(OK))
		result = cap_transfer_commit(server->process, caps, count, handles);
	if (held != 0)
		cap_transfer_drop(caps, held);
	if (result != STATUS(OK)) /* dying is the server, not the caller */
		refuse_queued(cpu, endpoint, caller, seen, result == STATUS(DYING) ? STATUS(PEER_GONE) : result);
	spin_lock(&endpoint->object.lock);
	if (result != STATUS(OK))
		return false;
	if (endpoint_first_armed(&endpoint->callers) == caller && atomic_load_relaxed(&caller->state) == seen)
		return true;
	spin_unlock(&endpoint->object.lock);
	endpoint_release_handles(server->process, handles, count);
	spin_lock(&endpoint->object.lock);
	return false;
}

u64 endpoint_receive(struct cpu *cpu, struct waiter *receiver, const struct cap *cap, struct instant deadline,
		     u64 *word, u64 *badge)
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
		bool lends;

		if (!may_wait(cap->object, cap->grant)) {
			result = STATUS(REVOKED);
			break;
		}
		caller = endpoint_first_armed(&endpoint->callers);
		if (caller == NULL) {
			result = wait_for_call(cpu, endpoint, receiver, cap, deadline, completed);
			break;
		}
		lends = !ring && server->passive && caller->kind == WAITER_THREAD;
		if (lends && refuse_loan(cpu, endpoint, caller, server))
			continue;
		send = send_of(caller);
		cap_count = send->cap_count;
		if (cap_count != 0) {
			if (!take_caps(cpu, endpoint, caller, server, handles))
				continue;
			__builtin_memcpy(caps, send->cap, sizeof(caps));
		}
		/* Before it leaves the queue (LE4). Without memory for that a passive server runs on its own entity. */
		if (lends)
			(void)!sched_lend_blocked(cpu, caller->thread, server);
		list_remove(&caller->link); /* goes on with its reference: IP1 */
		if (caller->wait == CAPOS_WAIT_CALL)
			caller->wait = CAPOS_WAIT_REPLY;
		result = endpoint_hand_over(endpoint, caller, server, handles, ring);
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
	endpoint_set_aside(server);
	server->recv_handle = frame->handle;
	result = endpoint_receive(cpu, &server->wait, cap, (struct instant){ frame->word[0] }, frame->word,
				  &frame->handle);
	if (result == CALL_BLOCKED)
		return;
	frame->call = result;
	if (cpu->current != server && !sched_handoff(cpu, server))
		thread_ready(cpu, server);
}

u64 endpoint_recv_ring(struct call *call)
{
	if (!(call->cap.rights & CAPOS_RIGHT_RECV))
		return STATUS(MISSING_RIGHTS);
	return endpoint_receive(call->cpu, call->waiter, &call->cap, call->deadline, call->word, &call->word[0]);
}

/* Recipe: the poster's tail is stored before this looks (ring.c); see endpoint_fast.c. The waiter stays linked, not armed
 * (EP4), and the thread itself unlinks it before it goes on: no lock of an endpoint is needed here. */
static enum operation_progress completion_step(struct cpu *cpu, struct thread *thread, struct operation *operation)
{
	(void)cpu;
	/* Linked means that the endpoint is not dead: its memory stays in this kernel entry. */
	if (shared_load_relaxed(&thread->wait.link.next) != NULL)
		endpoint_receiver_unlink(&thread->wait);
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
