/* SPDX-License-Identifier: MIT */
/*
 * Those who wait for one thing of an object: its end, a byte. The object says which lists it has; all of a list is
 * guarded by the object's lock.
 *
 *  WL1  A waiter in the list holds a reference on its grant. Who takes it out gives that back, under the lock: so whoever
 *       finds a waiter there may look at its grant, though the handle may have been released since.
 *  WL2  Nobody enters when the object is not alive or the grant is dead. Who ends either looks at the list after the mark,
 *       under the lock: so nobody is left behind.
 */
#ifndef KERNEL_WAITLIST_H
#define KERNEL_WAITLIST_H

#include <kernel/call.h>
#include <kernel/wait.h>

/* So many waits are ended at a time. */
#define WAITLIST_BATCH 8u

struct waitlist {
	struct list waiters; /* (l:object->lock) struct waiter.link */
	u32 count;	     /* (l:object->lock) how many */
	u64 pass; /* (l:object->lock) the latest sweep; waiter.key[0]: the pass that looked at it last; key[1]: list */
};

void waitlist_init(struct waitlist *list);

/* The call waits: CALL_BLOCKED; or why it can't: revoked, wouldBlock, timedOut. Under the object's lock; what it would wait
 * for is not there. */
u64 waitlist_enter(struct waitlist *list, struct call *call, enum capos_wait wait);

/* Take out the first waiter whose wait can be ended, claimed; NULL: none. Under the object's lock. */
struct waiter *waitlist_take(struct waitlist *list);

/* Take this one out of the list. True: claimed. Under the object's lock. */
MUST_CHECK bool waitlist_take_this(struct waitlist *list, struct waiter *waiter);

/* End WAITLIST_BATCH waits. True when none is left. Takes the object's lock. */
MUST_CHECK bool waitlist_wake(struct cpu *cpu, struct waitlist *list, struct object *object, u64 result,
			      const u64 *words, unsigned word_count);

/* A step of object_type.sweep_step. Takes the object's lock. */
MUST_CHECK bool waitlist_sweep(struct cpu *cpu, struct waitlist *list, struct object *object, u64 *pass);

#endif
