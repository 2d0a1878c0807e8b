/* SPDX-License-Identifier: MIT */
/* Lists of waiters: see kernel/waitlist.h. */
#include <kernel/waitlist.h>

#include <kernel/debug.h>

#define LOOKS_PER_STEP 64u

void waitlist_init(struct waitlist *list)
{
	list_init(&list->waiters);
	list->count = 0;
	list->pass = 0;
}

static struct waiter *first_of(struct waitlist *list)
{
	struct list_node *node = list_first(&list->waiters);

	return node != NULL ? LIST_ENTRY(node, struct waiter, link) : NULL;
}

static void take_out(struct waitlist *list, struct waiter *waiter)
{
	list_remove(&waiter->link);
	list->count--;
	grant_put_later(waiter->grant);
}

static void unlink(struct waiter *waiter)
{
	struct object *object = waiter->object;

	spin_lock(&object->lock);
	if (list_is_linked(&waiter->link))
		take_out((struct waitlist *)waiter->key[1], waiter);
	spin_unlock(&object->lock);
}

static const struct waiter_ops ops = { .unlink = unlink };

u64 waitlist_enter(struct waitlist *list, struct call *call, enum capos_wait wait)
{
	struct instant deadline = call_deadline(call, 0);
	struct waiter *waiter = call->waiter;

	if (!object_is_alive(call->cap.object) || grant_is_dead(call->cap.grant))
		return STATUS(REVOKED);
	if (deadline.ns == 0)
		return STATUS(WOULD_BLOCK);
	if (deadline.ns != CAPOS_NEVER && deadline.ns <= mach_clock().ns)
		return STATUS(TIMED_OUT);
	if (!grant_get(call->cap.grant))
		return STATUS(REVOKED);
	waiter_prepare(call->cpu, waiter);
	waiter->object = call->cap.object;
	waiter->grant = call->cap.grant;
	waiter->key[0] = list->pass;
	waiter->key[1] = (u64)list;
	list_push_back(&list->waiters, &waiter->link);
	list->count++;
	waiter_arm(call->cpu, waiter, wait, &ops, deadline);
	return CALL_BLOCKED;
}

bool waitlist_take_this(struct waitlist *list, struct waiter *waiter)
{
	take_out(list, waiter);
	return waiter_claim(waiter);
}

struct waiter *waitlist_take(struct waitlist *list)
{
	struct waiter *waiter;

	/* A lost claim is one that another CPU is ending at this moment: there are few. */
	while ((waiter = first_of(list)) != NULL && !waitlist_take_this(list, waiter))
		;
	return waiter;
}

bool waitlist_wake(struct cpu *cpu, struct waitlist *list, struct object *object, u64 result, const u64 *words,
		   unsigned word_count)
{
	bool empty;

	spin_lock(&object->lock);
	for (unsigned i = 0; i < WAITLIST_BATCH; i++) {
		struct waiter *waiter = waitlist_take(list);

		if (waiter == NULL)
			break;
		waiter_finish(cpu, waiter, result, words, word_count);
	}
	empty = list_is_empty(&list->waiters);
	spin_unlock(&object->lock);
	return empty;
}

/*
 * Who was looked at goes to the end of the list with the number of the latest pass, so the numbers rise along the list, and
 * a pass is over when the first waiter has its number or a later one.
 */
bool waitlist_sweep(struct cpu *cpu, struct waitlist *list, struct object *object, u64 *pass)
{
	unsigned woken = 0;
	bool done = false;

	spin_lock(&object->lock);
	if (*pass == 0)
		*pass = ++list->pass;
	for (unsigned i = 0; i < LOOKS_PER_STEP && woken < WAITLIST_BATCH; i++) {
		struct waiter *waiter = first_of(list);

		done = waiter == NULL || waiter->key[0] >= *pass;
		if (done)
			break;
		if (!grant_is_dead(waiter->grant)) {
			waiter->key[0] = list->pass;
			list_remove(&waiter->link);
			list_push_back(&list->waiters, &waiter->link);
			continue;
		}
		take_out(list, waiter);
		if (waiter_claim(waiter)) {
			waiter_finish(cpu, waiter, STATUS(REVOKED), NULL, 0);
			woken++;
		}
	}
	spin_unlock(&object->lock);
	return done;
}
