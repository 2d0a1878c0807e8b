/* SPDX-License-Identifier: MIT */
/*
 * Faults as calls: a thread that faulted becomes the caller of its fault endpoint. Its registers are not touched: the words
 * of the call are in send.fault_word, and the reply's words go to nobody's registers. What the reply asks for is done by the
 * thread itself on its next dispatch, as an operation, where locks may be taken and its memory is at hand.
 */
#include <kernel/trace.h>

#include "endpoint_handover.h"

static struct fault fault_of(const struct thread *thread)
{
	const u64 *word = thread->send.fault_word;

	return (struct fault){ .cause = (u32)word[0], .detail = (u32)word[1], .addr = word[2], .ip = word[3] };
}

/* As the fast path of a call, to a handler that waits. False: nothing happened. */
static bool fault_fast(struct cpu *cpu, struct thread *thread, const struct cap *cap)
{
	struct endpoint *endpoint = endpoint_of(cap->object);
	struct thread *server = NULL;
	struct waiter *receiver;
	bool switched = true;

	if (unlikely(!atomic_clear_relaxed(&kernel_state.trace_mask, 1u << CAPOS_TRACE_SWITCH)))
		return false;
	/* Before it is armed; and no harm when it is not. */
	mach_thread_leave(thread);
	spin_lock_on(cpu, &endpoint->object.lock);
	receiver = first_plain(cap);
	if (likely(receiver != NULL))
		server = hand_call_over(cpu, thread, receiver, cap, 0, thread->send.fault_word, CAPOS_WORDS, 0,
					CAPOS_WAIT_FAULT, &switched);
	if (server != NULL)
		cpu->armed_waiter = &thread->wait;
	spin_unlock_on(cpu, &endpoint->object.lock);
	return server != NULL;
}

bool endpoint_fault(struct cpu *cpu, struct thread *thread, const struct fault *fault)
{
	struct ipc_send *send = &thread->send;
	struct cap cap = { .rights = CAPOS_RIGHT_CALL };
	struct endpoint *endpoint;

	if (likely(thread->fault_endpoint == NULL))
		return false;
	spin_lock(&thread->object.lock);
	if (thread->fault_endpoint != NULL) {
		cap.object = &thread->fault_endpoint->object;
		cap.grant = thread->fault_grant;
		cap.badge = thread->fault_badge;
	}
	spin_unlock(&thread->object.lock);
	/* The thread's reference keeps the grant; a live grant's object is not dead (CA2). */
	if (cap.object == NULL || grant_is_dead(cap.grant))
		return false;
	endpoint = endpoint_of(cap.object);
	if (endpoint->iface != 0 && endpoint->iface != CAPOS_IFACE_FAULT)
		return false;
	send->fault_word[0] = fault->cause;
	send->fault_word[1] = fault->detail;
	send->fault_word[2] = fault->addr;
	send->fault_word[3] = fault->ip;
	send->fault_word[4] = thread->mach.frame.sp;
	send->fault_word[5] = thread->object.id;
	send->fault_word[6] = thread->process->object.id;
	send->fault_word[7] = 0;
	if (likely(fault_fast(cpu, thread, &cap)))
		return true;
	send->call_word = CAPOS_CALL_WORD(CAPOS_IFACE_FAULT, 0, CAPOS_OP_CALL, CAPOS_WORDS, 0);
	send->word = send->fault_word;
	send->message = NULL;
	send->bytes = 0;
	send->cap_count = 0;
	return endpoint_begin(cpu, &thread->wait, &cap, CAPOS_WAIT_FAULT, INSTANT_NEVER) == STATUS(OK);
}

/* The registers stay as they are: operation_step writes this result over itself. */
static enum operation_progress done(struct thread *thread, struct operation *operation)
{
	operation->result = thread->mach.frame.call;
	operation->word_count = 0;
	return OPERATION_DONE;
}

static enum operation_progress skip_step(struct cpu *cpu, struct thread *thread, struct operation *operation)
{
	struct fault fault = fault_of(thread);

	if (!mach_frame_skip(thread))
		process_fault(cpu, thread, &fault);
	return done(thread, operation);
}

static enum operation_progress fatal_step(struct cpu *cpu, struct thread *thread, struct operation *operation)
{
	struct fault fault = fault_of(thread);

	process_fault(cpu, thread, &fault);
	return done(thread, operation);
}

void endpoint_fault_finish(struct cpu *cpu, struct thread *thread, u64 result, const u64 *words, unsigned word_count)
{
	struct operation *operation = &thread->operation;
	u64 reply =
		word_count > 0 && CAPOS_RESULT_STATUS(result) == CAPOS_STATUS_OK ? words[0] : (u64)CAPOS_FAULT_KILL;

	(void)cpu;
	if (reply == CAPOS_FAULT_RESUME || (atomic_load_relaxed(&thread->attention) & ATTENTION_KILL))
		return;
	operation->step = reply == CAPOS_FAULT_SKIP ? skip_step : fatal_step;
	operation->ring = false;
	atomic_fetch_or(&thread->attention, ATTENTION_OPERATION);
}
