/* SPDX-License-Identifier: MIT */
/*
 * Intrusive doubly linked list with a head. A node that is in no list has next == NULL, so that zeroed memory is an
 * unlinked node; a head must be initialised. Everything is O(1). The caller holds whatever lock guards the list.
 */
#ifndef LIB_LIST_H
#define LIB_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* A node that is linked twice, or taken out of a list that does not have it, makes a loop somewhere else: caught here. */
#if defined(CAPOS_DEBUG) && CAPOS_DEBUG
#define LIST_CHECK_(condition) ((condition) ? (void)0 : __builtin_trap())
#else
#define LIST_CHECK_(condition) ((void)0)
#endif

struct list_node {
	struct list_node *next;
	struct list_node *prev;
};

struct list {
	struct list_node head;
};

static inline void list_init(struct list *list)
{
	list->head.next = list->head.prev = &list->head;
}

static inline bool list_is_empty(const struct list *list)
{
	return list->head.next == &list->head;
}

static inline bool list_is_linked(const struct list_node *node)
{
	return node->next != NULL;
}

static inline void list_insert_before_(struct list_node *at, struct list_node *node)
{
	struct list_node *prev = at->prev;

	LIST_CHECK_(node->next == NULL && prev->next == at);
	node->next = at;
	node->prev = prev;
	prev->next = node;
	at->prev = node;
}

static inline void list_push_back(struct list *list, struct list_node *node)
{
	list_insert_before_(&list->head, node);
}

static inline void list_push_front(struct list *list, struct list_node *node)
{
	list_insert_before_(list->head.next, node);
}

static inline void list_remove(struct list_node *node)
{
	struct list_node *next = node->next, *prev = node->prev;

	LIST_CHECK_(next != NULL && next->prev == node && prev->next == node);
	prev->next = next;
	next->prev = prev;
	node->next = NULL;
}

static inline struct list_node *list_first(const struct list *list)
{
	return list_is_empty(list) ? NULL : list->head.next;
}

static inline struct list_node *list_pop_front(struct list *list)
{
	struct list_node *node = list_first(list);

	if (node)
		list_remove(node);
	return node;
}

/* The entry that follows `node`, or NULL at the end. */
static inline struct list_node *list_after(const struct list *list, const struct list_node *node)
{
	return node->next == &list->head ? NULL : node->next;
}

/* The entry before `node`, or NULL at the beginning. */
static inline struct list_node *list_before(const struct list *list, const struct list_node *node)
{
	return node->prev == &list->head ? NULL : node->prev;
}

#define LIST_ENTRY(node, type, member) ((type *)((char *)(node) - offsetof(type, member)))

/* Iterate; the body must not remove other nodes than `node` when using LIST_FOREACH_SAFE. */
#define LIST_FOREACH(list, node)                                                                                     \
	for (struct list_node *node = (list)->head.next; node != &(list)->head; node = node->next)
#define LIST_FOREACH_SAFE(list, node, tmp)                                                                           \
	for (struct list_node *node = (list)->head.next, *tmp = node->next; node != &(list)->head;                   \
	     node = tmp, tmp = node->next)

#endif
