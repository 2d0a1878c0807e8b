/* SPDX-License-Identifier: MIT */
/*
 * Kernel objects: the common header, life and death.
 *
 *   building --object_publish--> alive --object_destroy--> dying --(kill steps)--> dead --(grace period)--> freed
 *
 * Invariants:
 *  OB1  An object is charged to `owner` (its creator) from creation until dead; when the owner ends, it ends.
 *  OB2  A pointer found through a capability in a kernel entry stays valid memory until that entry ends: memory of dead
 *       objects is reused only after every CPU passed a quiescent point (reclaim).
 *  OB3  A waiter is queued only on an alive object, under its lock: after kill has emptied the queues they stay empty.
 */
#ifndef KERNEL_OBJECT_H
#define KERNEL_OBJECT_H

#include <capos/iface.h>
#include <kernel/lock.h>
#include <kernel/types.h>
#include <lib/list.h>

struct process;
struct grant;
struct call;

enum object_state { OBJECT_BUILDING, OBJECT_ALIVE, OBJECT_DYING, OBJECT_DEAD };

/* Deferred work after a grace period. The node lies in the object that dies. */
struct reclaim_node {
	struct reclaim_node *next;
	void (*fn)(struct reclaim_node *node);
	u64 epoch;
};

struct object {
	u16 type; /* (c) interface id, enum capos_iface */
	u16 unused;
	ATOMIC(u32) state;	     /* (a) enum object_state */
	u64 id;			     /* (c) never reused, unique over all objects */
	struct process *owner;	     /* (c) who is charged; NULL: the kernel */
	struct list_node owner_link; /* (l:owner->lock) in owner->objects */
	struct spinlock lock;	     /* RANK_OBJECT, order = id: the object's own queues and fields */
	struct spinlock grant_lock;  /* RANK_GRANT, order = id: the tree of grants below `root` */
	struct grant *root;	     /* (l:grant_lock) */
	struct reclaim_node reclaim;
};

/* What a type of object does; one constant record per interface (kernel/cap/types.c lists them). */
struct object_type {
	const char *name;
	u16 type;
	u16 method_count;
	const struct method *methods; /* call.h; indexed by method id */
	/* A bounded piece (at most about 2,000 instructions) of ending the object: wake waiters with `revoked`, undo
	 * what it holds. Object is dying. Returns true when nothing is left to do. NULL: nothing to do. */
	bool (*kill_step)(struct object *object);
	/* A bounded piece of ending what depends on dead grants of an alive object (waiters, mappings, in-flight
	 * calls). Returns true when done. NULL: nothing depends. *pass belongs to the sweeper, 0 at the first step;
	 * a sweep may be given up in the middle, and several may be on their way. */
	bool (*sweep_step)(struct object *object, u64 *pass);
	/* After the grace period: give the memory back to its pool. Quota was returned when it became dead.
	 * NULL: the object is embedded in another one; nothing is deferred and the header is not touched after. */
	void (*free)(struct object *object);
	/* Pool whose charge object_end_step gives back to the owner when the object becomes dead: POOL_X + 1;
	 * 0: kill_step gave everything back itself. */
	u16 pool;
	/* The last capability was released: no slot, call or child grant refers to the root grant. Any kernel context, no lock
	 * of RANK_PROCESS or above is held: it may end the object, if that is a few steps. NULL: stays until destroyed. */
	void (*unreferenced)(struct object *object);
};
/* Nobody has a capability to this alive object (kernel/cap). Full barrier before the look. */
bool object_is_unreferenced(struct object *object);

const struct object_type *object_type(u16 type);
/* By interface id; NULL at 0. */
extern const struct object_type *const object_types[CAPOS_IFACE_COUNT];

/* Initialise the header (state building). `owner` may be NULL for kernel objects. */
void object_init(struct object *object, u16 type, struct process *owner);
/* Make it alive: creates its root grant (charged to the owner) and links it to the owner.
 * Returns a capos_status; on failure nothing changed. */
MUST_CHECK u16 object_publish(struct object *object);
/* Begin the end: false when it was not alive any more. The rest is object_end_step, by whoever began it. */
MUST_CHECK bool object_begin_destroy(struct object *object);
/* Bounded piece of ending a dying object: kill_step until done, grants ended, unlinked from its owner, quota returned,
 * memory deferred. True when the object is dead (do not touch it after). */
MUST_CHECK bool object_end_step(struct object *object);
static inline bool object_is_alive(struct object *object)
{
	return atomic_equals_acquire(&object->state, OBJECT_ALIVE); /* pairs with the release in object_publish */
}

/* --- reclaim: quiescent-state based ------------------------------------------------------------------------------- */

/* Call fn(node) after every CPU passed a quiescent point (user mode or idle). Any kernel context, no allocation. */
void reclaim_defer(struct reclaim_node *node, void (*fn)(struct reclaim_node *));
struct cpu;
/* Called by the dispatcher: this CPU enters / leaves the kernel. */
void reclaim_kernel_enter(struct cpu *cpu);
void reclaim_kernel_exit(struct cpu *cpu);
/* Run a bounded number of expired deferrals of this CPU. True when some are left waiting. */
bool reclaim_poll(struct cpu *cpu);

#endif
