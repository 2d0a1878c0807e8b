/* SPDX-License-Identifier: MIT */
/*
 * Grant trees: one per object, below its root grant, all under object->grant_lock.
 *
 *   live --marked (authority ends)--> dead, in the tree --its children moved up, detached--> gone --last reference--> freed
 *
 * Ending everything below T takes the first child, marks it dead, moves its children one by one to the end of T's list, and
 * detaches it: each of these is O(1) and leaves the tree whole, so that other operations may come between. The order is
 * breadth-first: what was below T at the beginning has gone when the grants derived meanwhile have their turn.
 */
#include "cap_priv.h"

#include <kernel/debug.h>

#define GRANT_UNITS_PER_STEP 12u

static void grant_free(struct reclaim_node *node)
{
	pool_free(POOL_GRANT, container_of(node, struct grant, reclaim));
}

static void grant_init(struct grant *grant, struct object *object, struct process *charged, u32 references)
{
	atomic_store_relaxed(&grant->dead, 0u);
	atomic_store_relaxed(&grant->references, references);
	grant->object = object;
	grant->charged = charged;
	grant->parent = NULL;
	grant->gone = false;
	list_init(&grant->children);
	grant->sibling = grant->charged_link = (struct list_node){ NULL, NULL };
	grant->reclaim = grant->later = (struct reclaim_node){ NULL, NULL, 0 };
	atomic_store_relaxed(&grant->later_pending, 0u);
	grant->end_pass = 0;
}

u16 grant_create_root(struct object *object)
{
	void *memory;
	u16 status = pool_alloc(POOL_GRANT, object->owner, &memory);

	if (status != CAPOS_STATUS_OK)
		return status;
	object->root = memory;
	grant_init(object->root, object, object->owner, 1);
	return CAPOS_STATUS_OK;
}

u16 grant_derive(struct process *process, struct cap *cap)
{
	struct object *object = cap->object;
	struct grant *parent = cap->grant, *grant;
	void *memory;
	u16 status = pool_alloc(POOL_GRANT, process, &memory);

	if (status != CAPOS_STATUS_OK)
		return status;
	grant = memory;
	grant_init(grant, object, process, 2); /* being alive, and the caller's */
	spin_lock(&object->grant_lock);
	if (grant_is_dead(parent) || !object_is_alive(object))
		status = CAPOS_STATUS_REVOKED;
	else if (process != NULL && atomic_load_acquire(&process->state) >= PROCESS_DYING)
		status = CAPOS_STATUS_DYING; /* pairs with the store that ends the process */
	if (status == CAPOS_STATUS_OK) {
		grant->parent = parent;
		list_push_back(&parent->children, &grant->sibling);
		if (process != NULL) {
			spin_lock(&process->object.lock);
			list_push_back(&process->grants, &grant->charged_link);
			spin_unlock(&process->object.lock);
		}
	}
	spin_unlock(&object->grant_lock);
	if (status != CAPOS_STATUS_OK) {
		pool_uncharge(POOL_GRANT, process);
		pool_free(POOL_GRANT, grant);
		return status;
	}
	cap->grant = grant;
	return CAPOS_STATUS_OK;
}

/* A dead grant without children leaves the tree, and its charge returns. The reference for being alive is the caller's. */
static void grant_detach(struct object *object, struct grant *grant) REQUIRES(object->grant_lock)
{
	KASSERT(grant_is_dead(grant) && list_is_empty(&grant->children) && !grant->gone);
	if (grant->parent != NULL)
		list_remove(&grant->sibling);
	else
		object->root = NULL;
	grant->parent = NULL;
	grant->gone = true;
	if (list_is_linked(&grant->charged_link)) {
		spin_lock(&grant->charged->object.lock);
		list_remove(&grant->charged_link);
		spin_unlock(&grant->charged->object.lock);
	}
	pool_uncharge(POOL_GRANT, grant->charged);
	grant->charged = NULL;
}

/* Move a child to the end of another grant's list. */
static void grant_move(struct grant *child, struct grant *parent)
{
	list_remove(&child->sibling);
	child->parent = parent;
	list_push_back(&parent->children, &child->sibling);
}

/*
 * CA4: take a live grant that nothing refers to out of the tree, unless it has two children or more. Its parent loses one
 * child only when there was none to move up; a parent without references had two, so that the loop runs at most twice.
 */
static void grant_collapse(struct object *object, struct grant *grant) REQUIRES(object->grant_lock)
{
	while (!grant_is_dead(grant) && grant->parent != NULL) {
		struct list_node *only = list_first(&grant->children);
		struct grant *parent = grant->parent;

		if (only != NULL && list_after(&grant->children, only) != NULL)
			return;
		/* From 0 there is no way back: grant_get refuses. */
		if (!atomic_cas(&grant->references, 1u, 0u))
			return;
		atomic_store_release(&grant->dead, 1u); /* pairs with grant_is_dead */
		if (only != NULL)
			grant_move(LIST_ENTRY(only, struct grant, sibling), parent);
		grant_detach(object, grant);
		reclaim_defer(&grant->reclaim, grant_free);
		if (only != NULL)
			return;
		grant = parent;
	}
}

static bool root_is_unreferenced(struct object *object) REQUIRES(object->grant_lock)
{
	struct grant *root = object->root;

	return root != NULL && !grant_is_dead(root) && atomic_load_relaxed(&root->references) == 1 &&
	       list_is_empty(&root->children);
}

bool object_is_unreferenced(struct object *object)
{
	bool unreferenced;

	spin_lock(
		&object->grant_lock); /* a locked operation: what the caller stored before is seen by who releases last */
	unreferenced = root_is_unreferenced(object);
	spin_unlock(&object->grant_lock);
	return unreferenced;
}

bool grant_get(struct grant *grant)
{
	u32 now;

	do {
		now = atomic_load_relaxed(&grant->references);
		if (now == 0 || grant_is_dead(grant))
			return false;
		KASSERT(now != ~0u);
	} while (!atomic_cas(&grant->references, now, now + 1));
	return true;
}

/* Give one reference back; the grant is dead or has others. */
static void grant_put_dead(struct grant *grant)
{
	u32 before = atomic_fetch_sub(&grant->references, 1u);

	KASSERT(before != 0);
	if (before == 1)
		reclaim_defer(&grant->reclaim, grant_free);
}

void grant_put(struct grant *grant)
{
	u32 before = atomic_fetch_sub(&grant->references, 1u);

	KASSERT(before != 0);
	if (before == 1) {
		reclaim_defer(&grant->reclaim, grant_free);
	} else if (before == 2 && !grant_is_dead(grant)) {
		/* It was alive in this kernel entry: grant and object stay valid memory until its end. */
		struct object *object = grant->object;
		bool unreferenced;

		spin_lock(&object->grant_lock);
		grant_collapse(object, grant);
		unreferenced = root_is_unreferenced(object);
		spin_unlock(&object->grant_lock);
		if (unreferenced && object_type(object->type)->unreferenced != NULL)
			object_type(object->type)->unreferenced(object);
	}
}

static void put_later(struct reclaim_node *node)
{
	struct grant *grant = container_of(node, struct grant, later);

	atomic_store_release(&grant->later_pending,
			     0u); /* before the reference goes: pairs with the exchange below */
	grant_put(grant);
}

void grant_put_later(struct grant *grant)
{
	for (;;) {
		u32 now = atomic_load_relaxed(&grant->references);

		KASSERT(now != 0);
		if (now != 2 || grant_is_dead(grant)) {
			if (!atomic_cas(&grant->references, now, now - 1))
				continue;
			if (now == 1)
				reclaim_defer(&grant->reclaim, grant_free);
			return;
		}
		/* Ours is the last one: it travels with the deferral. (Pending ones hold another: now would be 3.) */
		if (atomic_xchg(&grant->later_pending, 1u) == 0) {
			reclaim_defer(&grant->later, put_later);
			return;
		}
	}
}

/* What happens to the grant itself. */
enum revoke_self { SELF_STAYS, SELF_MARKED, SELF_DETACHED };

/* Some units of ending what is below `grant`; true when nothing is (and the grant has been detached, if so wanted). */
static bool grant_revoke_units(struct object *object, struct grant *grant, enum revoke_self self)
{
	bool done = false, unreferenced;

	spin_lock(&object->grant_lock);
	if (grant->gone) {
		spin_unlock(&object->grant_lock);
		return true;
	}
	if (self != SELF_STAYS)
		atomic_store_release(&grant->dead, 1u); /* pairs with grant_is_dead */
	for (unsigned i = 0; i < GRANT_UNITS_PER_STEP && !done; i++) {
		struct list_node *first = list_first(&grant->children), *below;
		struct grant *child;

		if (first == NULL) {
			done = true;
			break;
		}
		child = LIST_ENTRY(first, struct grant, sibling);
		atomic_store_release(&child->dead, 1u); /* pairs with grant_is_dead */
		below = list_first(&child->children);
		if (below != NULL) {
			grant_move(LIST_ENTRY(below, struct grant, sibling), grant);
		} else {
			grant_detach(object, child);
			grant_put_dead(child);
		}
	}
	if (done && self == SELF_DETACHED) {
		struct grant *parent = grant->parent;

		grant_detach(object, grant);
		grant_put_dead(grant);
		if (parent != NULL)
			grant_collapse(object, parent);
	}
	unreferenced = done && root_is_unreferenced(object);
	spin_unlock(&object->grant_lock);
	if (unreferenced && object_type(object->type)->unreferenced != NULL)
		object_type(object->type)->unreferenced(object);
	return done;
}

bool grant_revoke_step(struct object *object, struct grant *grant, bool with_self)
{
	return grant_revoke_units(object, grant, with_self ? SELF_DETACHED : SELF_STAYS);
}

bool grant_process_end_step(struct process *process)
{
	const struct object_type *type;
	struct list_node *first;
	struct grant *grant;
	struct object *object;

	spin_lock(&process->object.lock);
	first = list_first(&process->grants);
	if (first == NULL) {
		spin_unlock(&process->object.lock);
		return true;
	}
	/* In the list, so not gone: grant and object stay valid memory until this kernel entry ends. */
	grant = LIST_ENTRY(first, struct grant, charged_link);
	object = grant->object;
	spin_unlock(&process->object.lock);
	/* It stays in the list until what depended on it, and on those below, is swept. */
	if (!grant_revoke_units(object, grant, SELF_MARKED))
		return false;
	type = object_type(object->type);
	if (type->sweep_step != NULL && object_is_alive(object) && !type->sweep_step(object, &grant->end_pass))
		return false;
	(void)grant_revoke_units(object, grant, SELF_DETACHED);
	return false;
}

void grant_verify(struct object *object)
{
	struct grant *grant = object->root;

	/* Simulator only: nobody runs meanwhile, but somebody may have stopped in the middle. */
	if (atomic_load_relaxed(&object->grant_lock.word) != 0 || grant == NULL)
		return;
	KVERIFY(grant->parent == NULL);
	while (grant != NULL) {
		struct list_node *next = list_first(&grant->children);

		KVERIFY(!grant->gone && grant->object == object);
		/* CA4 */
		KVERIFY(grant_is_dead(grant) || grant->parent == NULL ||
			atomic_load_relaxed(&grant->references) > 1 ||
			(next != NULL && list_after(&grant->children, next) != NULL));
		KVERIFY(atomic_load_relaxed(&grant->references) != 0 || grant_is_dead(grant));
		while (next == NULL && grant->parent != NULL) {
			next = list_after(&grant->parent->children, &grant->sibling);
			grant = grant->parent;
		}
		if (next == NULL)
			break;
		KVERIFY(LIST_ENTRY(next, struct grant, sibling)->parent == grant);
		grant = LIST_ENTRY(next, struct grant, sibling);
	}
}
