/* SPDX-License-Identifier: MIT */
/* Life and death of kernel objects; model and invariants in kernel/object.h. */
#include "cap_priv.h"

#include <kernel/debug.h>
#include <kernel/state.h>

void object_init(struct object *object, u16 type, struct process *owner)
{
	object->type = type;
	object->unused = 0;
	atomic_store_relaxed(&object->state, OBJECT_BUILDING);
	object->id = atomic_fetch_add(&kernel_state.next_id, 1ull) + 1;
	object->owner = owner;
	object->owner_link = (struct list_node){ NULL, NULL };
	spinlock_init(&object->lock, RANK_OBJECT, object->id);
	spinlock_init(&object->grant_lock, RANK_GRANT, object->id);
	object->root = NULL;
	object->reclaim = (struct reclaim_node){ NULL, NULL, 0 };
}

u16 object_publish(struct object *object)
{
	struct process *owner = object->owner;
	u16 status;

	KASSERT(atomic_load_relaxed(&object->state) == OBJECT_BUILDING && object->root == NULL);
	status = grant_create_root(object);
	if (status != CAPOS_STATUS_OK)
		return status;
	if (owner != NULL) {
		spin_lock(&owner->lock);
		if (atomic_load_relaxed(&owner->state) >= PROCESS_DYING) {
			struct grant *root = object->root;

			spin_unlock(&owner->lock);
			object->root = NULL; /* nobody has seen it */
			pool_uncharge(POOL_GRANT, owner);
			pool_free(POOL_GRANT, root);
			return CAPOS_STATUS_DYING;
		}
		list_push_back(&owner->objects, &object->owner_link);
		/* Release: whoever sees it alive sees it whole. Under the lock: who finds it in the list may end it. */
		atomic_store_release(&object->state, OBJECT_ALIVE);
		spin_unlock(&owner->lock);
	} else {
		atomic_store_release(&object->state, OBJECT_ALIVE);
	}
	return CAPOS_STATUS_OK;
}

bool object_begin_destroy(struct object *object)
{
	return atomic_cas(&object->state, (u32)OBJECT_ALIVE, (u32)OBJECT_DYING);
}

static void object_free(struct reclaim_node *node)
{
	struct object *object = container_of(node, struct object, reclaim);

	object_type(object->type)->free(object);
}

bool object_end_step(struct object *object)
{
	const struct object_type *type = object_type(object->type);
	struct process *owner = object->owner;

	KASSERT(atomic_load_relaxed(&object->state) == OBJECT_DYING);
	if (type->kill_step != NULL && !type->kill_step(object))
		return false;
	/* Only who ends the object changes `root` now. */
	if (object->root != NULL && !grant_revoke_step(object, object->root, true))
		return false;
	KASSERT(object->root == NULL);
	if (type->pool != 0)
		pool_uncharge((enum pool_id)(type->pool - 1), owner);
	atomic_store_release(&object->state, OBJECT_DEAD);
	if (owner != NULL) {
		/* The owner waits for its list to become empty: its memory outlives this kernel entry. */
		spin_lock(&owner->lock);
		list_remove(&object->owner_link);
		spin_unlock(&owner->lock);
	}
	if (type->free != NULL)
		reclaim_defer(&object->reclaim, object_free);
	return true;
}
