/* SPDX-License-Identifier: MIT */
/*
 * AVL tree with a minimum (fair_tree.h). It is less deep than a red-black one where, as here, all is inserted on the right and
 * removed on the left.
 *
 *   FT1  The heights of a node's subtrees differ by one at most; node.tall says which is the higher one.
 *   RQ2  node.min_vruntime = the minimum of vruntime in the node's subtree; the order is (deadline, arrival).
 *
 * child[0] is left, child[1] right; `side` says which, so that mirror images are written once. The minimum is made right from
 * the changed place upward until it does not change any more; rotations keep it, since a subtree has the same members after.
 */
#include "fair_tree.h"

#include <kernel/debug.h>

static inline u64 min_from(struct entity *entity)
{
	struct fair_node *node = &entity->node;
	u64 min = entity->vruntime;

	if (node->child[0] != NULL && virtual_before(node->child[0]->node.min_vruntime, min))
		min = node->child[0]->node.min_vruntime;
	if (node->child[1] != NULL && virtual_before(node->child[1]->node.min_vruntime, min))
		min = node->child[1]->node.min_vruntime;
	node->min_vruntime = min;
	return min;
}

/* Which child of `parent` is it? */
static inline u32 side_of(const struct entity *parent, const struct entity *entity)
{
	return parent->node.child[1] == entity;
}

static inline void replace_child(struct fair_tree *tree, struct entity *parent, struct entity *old,
				 struct entity *new)
{
	if (parent == NULL)
		tree->root = new;
	else
		parent->node.child[side_of(parent, old)] = new;
}

/*
 * `up`, the child on the other side, comes up, `down` goes to `side`.
 *
 *      down               up
 *      /  \              /  \        (side 0)
 *     a    up    ->   down   c
 *         /  \        /  \
 *        b    c      a    b
 */
static inline void rotate(struct fair_tree *tree, struct entity *down, struct entity *up, u32 side)
{
	struct entity *between = up->node.child[side], *above = down->node.parent;

	down->node.child[!side] = between;
	if (between != NULL)
		between->node.parent = down;
	up->node.parent = above;
	replace_child(tree, above, down, up);
	up->node.child[side] = down;
	down->node.parent = up;
	up->node.min_vruntime = down->node.min_vruntime;
	min_from(down);
}

/* node.tall: 0: neither is higher. */
static inline u8 tall_on(u32 side)
{
	return (u8)(side + 1);
}

/* `top` is two higher on `side`: rotated. Returns what has its place. */
static inline struct entity *rebalance(struct fair_tree *tree, struct entity *top, u32 side)
{
	struct entity *high = top->node.child[side], *middle;

	if (high->node.tall != tall_on(!side)) {
		/* Both of high's subtrees are as high: only when something was removed, and the height stays. */
		bool even = high->node.tall == 0;

		rotate(tree, top, high, !side);
		top->node.tall = even ? tall_on(side) : 0;
		high->node.tall = even ? tall_on(!side) : 0;
		return high;
	}
	middle = high->node.child[!side];
	rotate(tree, high, middle, side);
	rotate(tree, top, middle, !side);
	top->node.tall = middle->node.tall == tall_on(side) ? tall_on(!side) : 0;
	high->node.tall = middle->node.tall == tall_on(!side) ? tall_on(side) : 0;
	middle->node.tall = 0;
	return middle;
}

/* A subtree on `side` of `parent` became higher by one. */
static inline void balance_inserted(struct fair_tree *tree, struct entity *parent, u32 side)
{
	while (parent->node.tall == 0) {
		struct entity *grown = parent;

		grown->node.tall = tall_on(side);
		parent = grown->node.parent;
		if (parent == NULL)
			return;
		side = side_of(parent, grown);
	}
	if (parent->node.tall == tall_on(side))
		(void)rebalance(tree, parent, side);
	else
		parent->node.tall = 0;
}

void fair_tree_insert(struct fair_tree *tree, struct entity *entity)
{
	const u64 deadline = entity->deadline, vruntime = entity->vruntime;
	struct entity *at = tree->root, *parent;
	u32 side;

	/* Equals in the order of arrival. Two branches: shorter than to index by the comparison. */
	for (;;) {
		parent = at;
		if (virtual_before(deadline, at->deadline)) {
			at = at->node.child[0];
			side = 0;
			if (at == NULL)
				break;
		} else {
			at = at->node.child[1];
			side = 1;
			if (at == NULL)
				break;
		}
	}
	entity->node.parent = parent;
	entity->node.min_vruntime = vruntime;
	parent->node.child[side] = entity;
	if (side == 0 && parent == tree->first)
		tree->first = entity;
	for (at = parent; at != NULL && virtual_before(vruntime, at->node.min_vruntime); at = at->node.parent)
		at->node.min_vruntime = vruntime;
	balance_inserted(tree, parent, side);
}

/* A subtree on `side` of `parent` became lower by one. */
static void balance_removed(struct fair_tree *tree, struct entity *parent, u32 side)
{
	for (;;) {
		struct entity *top = parent;

		if (parent->node.tall == 0) {
			parent->node.tall = tall_on(!side);
			return;
		}
		if (parent->node.tall == tall_on(side)) {
			parent->node.tall = 0;
		} else {
			top = rebalance(tree, parent, !side);
			if (top->node.tall != 0)
				return;
		}
		parent = top->node.parent;
		if (parent == NULL)
			return;
		side = side_of(parent, top);
	}
}

/* One with vruntime `gone` was below `at`, and is not any more: minima up to one that was another's. */
static inline void repair_minima(struct entity *at, const struct entity *end, u64 gone)
{
	for (; at != end && at->node.min_vruntime == gone; at = at->node.parent)
		min_from(at);
}

static inline struct entity *leftmost(struct entity *entity)
{
	while (entity->node.child[0] != NULL)
		entity = entity->node.child[0];
	return entity;
}

/* The next one, which has no left child, takes the place of `entity`, which has two. */
static void remove_inner(struct fair_tree *tree, struct entity *entity)
{
	struct entity *next = leftmost(entity->node.child[1]), *parent = next->node.parent;
	struct entity *orphan = next->node.child[1];
	u32 side = side_of(parent, next);

	parent->node.child[side] = orphan;
	if (orphan != NULL)
		orphan->node.parent = parent;
	if (parent == entity)
		parent = next;
	next->node = entity->node;
	next->node.child[0]->node.parent = next;
	if (next->node.child[1] != NULL)
		next->node.child[1]->node.parent = next;
	replace_child(tree, entity->node.parent, entity, next);
	/* From where it left up to its new place, then upward from there. */
	repair_minima(parent, next, next->vruntime);
	if (min_from(next) != entity->node.min_vruntime)
		repair_minima(next->node.parent, NULL, entity->vruntime);
	balance_removed(tree, parent, side);
}

/* `entity` has one child at most, which takes its place. */
static void remove_outer(struct fair_tree *tree, struct entity *entity)
{
	struct entity *parent = entity->node.parent;
	struct entity *child = entity->node.child[entity->node.child[0] == NULL];
	u32 side;

	if (parent == NULL) {
		tree->root = child;
	} else {
		side = side_of(parent, entity);
		parent->node.child[side] = child;
		repair_minima(parent, NULL, entity->vruntime);
	}
	if (child != NULL)
		child->node.parent = parent;
	if (parent != NULL)
		balance_removed(tree, parent, side);
}

void fair_tree_remove(struct fair_tree *tree, struct entity *entity)
{
	if (tree->first == entity) /* it has no left child, and is none's right child */
		tree->first = entity->node.child[1] != NULL ? leftmost(entity->node.child[1]) : entity->node.parent;
	if (entity->node.child[0] != NULL && entity->node.child[1] != NULL)
		remove_inner(tree, entity);
	else
		remove_outer(tree, entity);
	entity->node.child[0] = entity->node.child[1] = entity->node.parent = NULL;
	entity->node.tall = 0;
}

struct entity *fair_tree_next(const struct entity *entity)
{
	struct entity *parent;

	if (entity->node.child[1] != NULL)
		return leftmost(entity->node.child[1]);
	for (parent = entity->node.parent; parent != NULL && parent->node.child[1] == entity;
	     parent = parent->node.parent)
		entity = parent;
	return parent;
}

struct entity *fair_tree_first_until(const struct fair_tree *tree, u64 limit)
{
	struct entity *at = tree->first;

	if (at == NULL || likely(!virtual_before(limit, at->vruntime)))
		return at;
	at = tree->root;
	if (virtual_before(limit, at->node.min_vruntime))
		return NULL;
	/* There is one in the subtree of `at`. */
	for (;;) {
		struct entity *left = at->node.child[0];

		if (left != NULL && !virtual_before(limit, left->node.min_vruntime))
			at = left;
		else if (!virtual_before(limit, at->vruntime))
			return at;
		else
			at = at->node.child[1];
	}
}

/* If it is in here, its place in the order does not change and is found; else it may change, and nothing is. */
bool fair_tree_has(const struct fair_tree *tree, const struct entity *entity)
{
	u64 deadline = shared_load_relaxed(&entity->deadline), sequence = shared_load_relaxed(&entity->sequence);
	const struct entity *at = tree->root;

	while (at != NULL && at != entity) {
		bool before = deadline == at->deadline ? virtual_before(sequence, at->sequence)
						       : virtual_before(deadline, at->deadline);

		at = at->node.child[!before];
	}
	return at != NULL;
}

/* --- verification ---------------------------------------------------------------------------------------------------------- */

/* Of a subtree, whose nodes are looked at; as deep as the tree. */
static i32 verify_subtree(const struct entity *entity)
{
	u64 min = entity->vruntime;
	i32 height[2] = { 0, 0 };

	for (u32 side = 0; side < 2; side++) {
		const struct entity *child = entity->node.child[side];

		if (child == NULL)
			continue;
		KVERIFY(child->node.parent == entity);
		height[side] = verify_subtree(child);
		if (virtual_before(child->node.min_vruntime, min))
			min = child->node.min_vruntime;
	}
	KVERIFY(entity->node.tall <= tall_on(1)); /* FT1 */
	KVERIFY(height[0] + (entity->node.tall == tall_on(1)) == height[1] + (entity->node.tall == tall_on(0)));
	KVERIFY(entity->node.min_vruntime == min); /* RQ2 */
	return 1 + MAX(height[0], height[1]);
}

u32 fair_tree_verify(const struct fair_tree *tree)
{
	const struct entity *entity = tree->root, *previous = NULL;
	u32 count = 0;

	KVERIFY((tree->root == NULL) == (tree->first == NULL));
	if (entity == NULL)
		return 0;
	KVERIFY(entity->node.parent == NULL);
	(void)verify_subtree(entity);
	KVERIFY(leftmost(tree->root) == tree->first);
	for (entity = tree->first; entity != NULL; entity = fair_tree_next(entity)) {
		KVERIFY(previous == NULL || !virtual_before(entity->deadline, previous->deadline));
		KVERIFY(previous == NULL || entity->deadline != previous->deadline ||
			virtual_before(previous->sequence, entity->sequence));
		previous = entity;
		count++;
	}
	return count;
}
