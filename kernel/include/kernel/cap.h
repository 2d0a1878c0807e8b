/* SPDX-License-Identifier: MIT */
/*
 * Capabilities: per-process tables of slots, and per-object trees of grants.
 *
 * A slot holds object, rights, badge, slot generation and a reference to a grant. `derive` makes a child grant, charged to
 * the deriver; copy and transfer keep the grant. A use checks the slot and its leaf grant only. revoke(handle) marks every
 * grant below the handle's dead, top-down, in bounded steps, then sweeps what depended on them.
 *
 * Invariants:
 *  CA1  A used slot holds one reference on its grant; a grant's memory stays while references or children are left, so a
 *       look-up may follow it without a lock. A grant is charged until it is dead and out of the tree (then each slot's
 *       charge covers it).
 *  CA2  A live grant's object is not dead: object_end_step ends all grants before the object's memory is deferred.
 *  CA4  A live grant other than a root that no slot, region or call refers to has at least two children: with fewer it is
 *       taken out of the tree (its one child moves up), in O(1), without a cascade. So what a program releases comes back
 *       to its quota.
 *  CA3  Slot generations rise at each release; an exhausted generation retires its slot.
 */
#ifndef KERNEL_CAP_H
#define KERNEL_CAP_H

#include <kernel/object.h>

struct thread;

struct grant {
	ATOMIC(u32) dead;	 /* (a) 1: everything through it is revoked */
	ATOMIC(u32) references;	 /* (a) slots + regions + (alive: 1) */
	struct object *object;	 /* (c) valid while not dead, or within the kernel entry that saw it so */
	struct process *charged; /* (c) */
	struct grant *parent;	 /* (l:object->grant_lock) */
	struct list children;	 /* (l:object->grant_lock) sibling links */
	struct list_node sibling;
	bool gone;		       /* (l:object->grant_lock) dead and out of the tree */
	struct list_node charged_link; /* (l:charged->object.lock) in charged->grants; roots are in no list */
	struct reclaim_node reclaim;
	struct reclaim_node later; /* grant_put_later */
	ATOMIC(u32) later_pending; /* (a) */
	u64 end_pass;		   /* (o) teardown of `charged`: its sweep */
};

struct slot {
	ATOMIC(u32) generation; /* (a) odd: in use; bumped at insert and at release */
	ATOMIC(u32)
	type_rights; /* SLOT_MEANING; this and the rest: written under process->lock while generation is even */
	ATOMIC(struct object *) object;
	ATOMIC(struct grant *) grant;
	ATOMIC(u64) badge; /* free slot: the next free one, or SLOT_NONE */
};
#define SLOT_NONE (~0u)
/* Type of the object and rights in one word, so that one comparison checks both. */
#define SLOT_MEANING(type, rights) ((u32)(type) << 16 | (u32)(rights))
/* What a slot must hold: type_rights & mask == meaning. */
struct slot_need {
	u32 mask, meaning;
};
#define SLOT_NEED(type, rights) { SLOT_MEANING(0xffff, (rights)), SLOT_MEANING((type), (rights)) }
#define SLOTS_PER_PAGE 128u
/* The index is at most a frame: 512 words less the three of its head. */
#define CAP_TABLE_SLOTS_MAX (509u * SLOTS_PER_PAGE)

/* Slots are in pages of an index that grows with use, up to the slot quota. Look-ups take no lock. */
struct cap_table {
	ATOMIC(struct slot *) first;  /* (a) its first page, or a page of empty slots: never NULL */
	ATOMIC(struct slot **) index; /* (a) array of pages of slots; replaced ones are deferred-freed */
	ATOMIC(u32) slot_count;	      /* (a) slots that exist; rises only */
	u32 free_head;		      /* (l:process->lock) SLOT_NONE: none */
	u32 used_count;		      /* (l:process->lock) */
	u32 destroyed;		      /* slots that cap_table_destroy_step has passed */
	bool index_large;	      /* (l:process->lock) the index is a frame */
};

/* What a look-up found; pointers valid until the kernel entry ends. */
struct cap {
	struct object *object;
	struct grant *grant;
	u64 badge;
	u32 rights;
};

/* Lock-free. Status: OK, INVALID_HANDLE, STALE_HANDLE, REVOKED. */
MUST_CHECK u16 cap_lookup(struct process *process, u64 handle, struct cap *out);
/* The same with type (0: any) and rights: WRONG_INTERFACE, MISSING_RIGHTS. */
MUST_CHECK u16 cap_lookup_typed(struct process *process, u64 handle, u16 type, u32 rights, struct cap *out);
/* Put a capability into a table (takes its own reference on the grant). Status: OK, QUOTA_EXCEEDED (slots or memory),
 * NO_MEMORY, REVOKED (grant died meanwhile), DYING. Takes process->lock. */
MUST_CHECK u16 cap_insert(struct process *process, const struct cap *cap, u64 *handle);
/* Capability with all rights to a published object, through its root grant. */
MUST_CHECK u16 cap_insert_root(struct process *process, struct object *object, u32 rights, u64 *handle);
/* Which quota stood in the way of an insertion that was answered QUOTA_EXCEEDED, slots or memory: the detail. Right after it. */
u32 cap_quota_detail(struct process *process, u16 status);
MUST_CHECK u16 cap_release(struct process *process, u64 handle);
/* Child grant of cap->grant charged to process; on success cap->grant is the child with one reference the caller gives
 * away by cap_insert + grant_put. */
MUST_CHECK u16 grant_derive(struct process *process, struct cap *cap);
/* Who keeps a grant beyond the kernel entry (slot, region, waiter, queued transfer) holds a reference. */
bool grant_get(struct grant *grant); /* false when dead */
/* Takes the object's grant_lock: hold no lock of RANK_GRANT or above. */
void grant_put(struct grant *grant);
/* The same from under any lock (who ends a wait): the last reference goes after a grace period. */
void grant_put_later(struct grant *grant);
static inline bool grant_is_dead(struct grant *grant)
{
	return !atomic_equals_acquire(&grant->dead, 0u); /* pairs with the mark in revocation */
}
/* Bounded piece of ending every grant below `grant` (with_self: it too). True when done. */
MUST_CHECK bool grant_revoke_step(struct object *object, struct grant *grant, bool with_self);

MUST_CHECK u16 cap_table_init(struct process *process);
/* Release slots in bounded steps (process teardown). True when empty and its memory is given back. */
MUST_CHECK bool cap_table_destroy_step(struct process *process);
void cap_table_verify(struct process *process);

/* Derived grants that a process is charged for end with it: bounded piece; true when none is left.
 * cap_table_destroy_step calls it after the slots. */
MUST_CHECK bool grant_process_end_step(struct process *process);
/* Debug walk of the tree of an object. */
void grant_verify(struct object *object);

/* --- transfer (ipc) ---------------------------------------------------------------------------------------------------- */

/* Read `count` (at most 4, else BAD_SIZE) handles of send_cap[] of the sender's page; each needs RIGHT_GRANT. Takes a
 * reference on every grant, so that the capabilities may wait in a queue: give them back by cap_transfer_drop. */
MUST_CHECK u16 cap_transfer_decode(struct thread *from, u32 count, struct cap out[CAPOS_MESSAGE_CAPS]);
/* Insert all or none at the receiver: a result word, which names its quota. Keeps the references of decode. */
MUST_CHECK u64 cap_transfer_commit(struct process *to, const struct cap *caps, u32 count,
				   u64 handles[CAPOS_MESSAGE_CAPS]);
void cap_transfer_drop(const struct cap *caps, u32 count);

/* --- the objects of a process that name nothing but itself --------------------------------------------------------------- */

/* Make process->table_object and process->factory_object alive (types cap_table, factory; owner: the process), for spawn.
 * They end as objects of the process. Status as object_publish. */
MUST_CHECK u16 cap_table_object_publish(struct process *process);
MUST_CHECK u16 factory_object_publish(struct process *process);

#endif
