/* SPDX-License-Identifier: MIT */
/* Inside the IPC room. */
#ifndef IPC_PRIV_H
#define IPC_PRIV_H

#include <kernel/cpu.h>
#include <kernel/debug.h>
#include <kernel/ipc.h>
#include <kernel/thread.h>
#include <kernel/wait.h>

#define REPLY_FLAGS (CAPOS_CALL_MESSAGE | CAPOS_CALL_CAPS | CAPOS_CALL_EXCEPTION | CAPOS_CALL_TOKEN)

static inline struct endpoint *endpoint_of(struct object *object)
{
	return container_of(object, struct endpoint, object);
}

static inline struct waiter *waiter_of(struct list_node *node)
{
	return node ? LIST_ENTRY(node, struct waiter, link) : NULL;
}

static inline struct ring_op *ring_op_of(struct waiter *waiter)
{
	return container_of(waiter, struct ring_op, wait);
}

static inline struct ipc_send *send_of(struct waiter *waiter)
{
	return waiter->kind == WAITER_THREAD ? &waiter->thread->send : &ring_op_of(waiter)->send;
}

/* In service: the thread that took the call, else NULL. */
static inline struct thread *server_of(const struct waiter *caller)
{
	return (struct thread *)caller->key[1];
}

/* Nothing is there: OK (wait), WOULD_BLOCK or TIMED_OUT. */
static inline u16 deadline_check(struct instant deadline)
{
	if (likely(deadline.ns == CAPOS_NEVER))
		return CAPOS_STATUS_OK;
	if (deadline.ns == 0)
		return CAPOS_STATUS_WOULD_BLOCK;
	return mach_clock().ns >= deadline.ns ? CAPOS_STATUS_TIMED_OUT : CAPOS_STATUS_OK;
}

/* A waiter of this object may be queued now? Under the lock that guards the queue: whoever ends the object or the grant
 * looks at the queue after the mark, under that lock (OB3). */
static inline bool may_wait(struct object *object, struct grant *grant)
{
	return likely(object_is_alive(object) && !grant_is_dead(grant));
}

/* endpoint.c */
extern const struct waiter_ops endpoint_caller_ops, endpoint_receiver_ops;
/* The call leaves the service of its thread. Under the endpoint's lock. */
void endpoint_forget_server(struct waiter *caller);
/* The send of a call is set: deliver it or queue it. OK: done, and the caller's waiter is armed (a thread is off its CPU).
 * Another status: nothing happened; the send's capabilities are still held. */
MUST_CHECK u16 endpoint_begin(struct cpu *cpu, struct waiter *caller, const struct cap *cap, enum capos_wait wait,
			      struct instant deadline);
void endpoint_send_drop(struct waiter *caller);

/* endpoint_fast.c: false: nothing happened, take the general path. */
MUST_CHECK bool endpoint_call_fast(struct cpu *cpu, struct thread *caller, const struct cap *cap);
MUST_CHECK bool endpoint_reply_fast(struct cpu *cpu, struct thread *server, const struct cap *cap);

#endif
