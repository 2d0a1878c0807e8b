/* SPDX-License-Identifier: MIT */
/*
 * The fair queue's tree: entities in the order of (deadline, arrival), each knowing the minimum of virtual runtime of its subtree.
 * No policy. An AVL tree, intrusive; everything is O(log n), the first one O(1). Under the queue's lock.
 *
 * An entity's deadline and vruntime do not change while it is in the tree; out of it, its links are zero. All comparisons of virtual times are of signed
 * differences, so that they may wrap.
 */
#ifndef SCHED_FAIR_TREE_H
#define SCHED_FAIR_TREE_H

#include <kernel/sched.h>

static inline bool virtual_before(u64 a, u64 b)
{
	return (i64)(a - b) < 0;
}

/* The tree is not empty. */
void fair_tree_insert(struct fair_tree *tree, struct entity *entity);
void fair_tree_remove(struct fair_tree *tree, struct entity *entity);
/* The one after it, or NULL. */
struct entity *fair_tree_next(const struct entity *entity);
/* The first in order whose vruntime is not after `limit`, or NULL. */
struct entity *fair_tree_first_until(const struct fair_tree *tree, u64 limit);
/* Is it in this tree? It may be in another one, whose lock is not held. */
bool fair_tree_has(const struct fair_tree *tree, const struct entity *entity);
/* RQ2, FT1; the number of entities. */
u32 fair_tree_verify(const struct fair_tree *tree);

static inline struct entity *fair_tree_first(const struct fair_tree *tree)
{
	return tree->first;
}

/* The tree is empty, or has one other, which goes. */
static inline void fair_tree_set_only(struct fair_tree *tree, struct entity *entity)
{
	entity->node.min_vruntime = entity->vruntime;
	tree->root = tree->first = entity;
}

#endif
