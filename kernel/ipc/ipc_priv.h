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

/* Nothing is there: OK (wait), WOULD_BLOCK or TIMED_OUT. */
static inline u16 deadline_check(struct instant deadline)
{
	if (likely(deadline.ns == CAPOS_NEVER))
		return CAPOS_STATUS_OK;
	if (deadline.ns == 0)
		return CAPOS_STATUS_WOULD_BLOCK;
	return mach_clock().ns >= deadline.ns ? CAPOS_STATUS_TIMED_OUT : CAPOS_STATUS_OK;
}

/*
 * IP1: a waiter that is linked in a queue of this room (an endpoint's, a notification's, a park bucket) holds a reference on
 * its grant. Who links it takes the reference (wait_enter, before the link), who unlinks it gives it back (wait_leave); a
 * move between two queues keeps it. All of it is under the lock that guards the queue, so that whoever finds a waiter there
 * may look at its grant, though the handle may have been released since. Locked operations on the grant cost the CPU that has
 * the queue's lock anyway; the fast paths, where one waiter leaves as another enters through the same grant, pass it on.
 */
static inline MUST_CHECK bool wait_enter(struct waiter *waiter, struct object *object, struct grant *grant)
{
	if (unlikely(!object_is_alive(object) || !grant_get(grant)))
		return false;
	waiter->object = object;
	waiter->grant = grant;
	return true;
}

static inline void wait_leave(struct waiter *waiter)
{
	list_remove(&waiter->link);
	grant_put_later(waiter->grant);
}

/* A waiter of this object may be queued now? Under the lock that guards the queue: whoever ends the object or the grant
 * looks at the queue after the mark, under that lock (OB3). */
static inline bool may_wait(struct object *object, struct grant *grant)
{
	if (unlikely(!object_is_alive(object)))
		return false;
	return !grant_is_dead(grant);
}

/* Of endpoint_call_ring, through call_dispatch: nothing happened, the call needs a waiter and came without. */
#define CALL_NEEDS_WAITER (~0ull - 2)

/* endpoint_call.c. The send of a call is set: deliver it or queue it. STATUS(OK): done, and the caller's waiter is armed (a
 * thread is off its CPU). Another result: nothing happened; the send's capabilities are still held. */
MUST_CHECK u64 endpoint_begin(struct cpu *cpu, struct waiter *caller, const struct cap *cap, enum capos_wait wait,
			      struct instant deadline);

#endif
