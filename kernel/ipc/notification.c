/* SPDX-License-Identifier: MIT */
/*
 * Notifications: a word of bits that coalesces. NO1: waiters are queued only while no bit is set.
 */
#include "ipc_priv.h"

#define WAITERS_PER_STEP 8

static struct notification *notification_of(struct object *object)
{
	return container_of(object, struct notification, object);
}

u16 notification_create(struct process *owner, struct notification **out)
{
	void *memory;
	u16 status = pool_alloc(POOL_NOTIFICATION, owner, &memory);

	if (status != CAPOS_STATUS_OK)
		return status;
	*out = memory;
	object_init(&(*out)->object, CAPOS_IFACE_notification, owner);
	list_init(&(*out)->waiters);
	return CAPOS_STATUS_OK;
}

static void notification_unlink(struct waiter *waiter)
{
	spin_lock(&waiter->object->lock);
	if (list_is_linked(&waiter->link))
		wait_leave(waiter);
	spin_unlock(&waiter->object->lock);
}

static const struct waiter_ops notification_ops = { .unlink = notification_unlink };

void notification_signal(struct cpu *cpu, struct notification *notification, u64 bits)
{
	struct list_node *node;

	spin_lock(&notification->object.lock);
	bits |= atomic_load_relaxed(&notification->bits);
	while ((node = list_first(&notification->waiters)) != NULL) {
		struct waiter *waiter = waiter_of(node);

		wait_leave(waiter);
		if (!waiter_claim(waiter))
			continue;
		waiter_finish(cpu, waiter, STATUS(OK), &bits, 1);
		bits = 0;
		break;
	}
	atomic_store_relaxed(&notification->bits, bits);
	spin_unlock(&notification->object.lock);
}

u64 method_notification_signal(struct call *call)
{
	if (call->word[0] == 0)
		return STATUS_DETAIL(BAD_ARGUMENT, 0);
	notification_signal(call->cpu, notification_of(call->cap.object), call->word[0]);
	return STATUS(OK);
}

u64 method_notification_wait(struct call *call)
{
	struct notification *notification = notification_of(call->cap.object);
	struct instant deadline = call_deadline(call, 0);
	struct waiter *waiter = call->waiter;
	u64 bits;
	u64 result;

	spin_lock(&notification->object.lock);
	bits = atomic_load_relaxed(&notification->bits);
	if (bits != 0) {
		atomic_store_relaxed(&notification->bits, 0ull);
		call->word[0] = bits;
		result = STATUS(OK);
	} else {
		result = CAPOS_RESULT(deadline_check(deadline), 0, 0);
		if (result == STATUS(OK) && !wait_enter(waiter, call->cap.object, call->cap.grant))
			result = STATUS(REVOKED);
		if (result == STATUS(OK)) {
			waiter_prepare(call->cpu, waiter);
			list_push_back(&notification->waiters, &waiter->link);
			waiter_arm(call->cpu, waiter, CAPOS_WAIT_NOTIFICATION, &notification_ops, deadline);
			result = CALL_BLOCKED;
		}
	}
	spin_unlock(&notification->object.lock);
	return result;
}

u64 fast_notification_poll(struct object *object, u64 *word)
{
	struct notification *notification = notification_of(object);

	spin_lock(&notification->object.lock);
	word[0] = atomic_load_relaxed(&notification->bits);
	atomic_store_relaxed(&notification->bits, 0ull);
	spin_unlock(&notification->object.lock);
	return STATUS(OK);
}
FAST_METHOD(notification, poll)

/* End waiters: all, or those whose grant is dead. True when none is left. */
static bool end_waiters(struct object *object, bool all)
{
	struct notification *notification = notification_of(object);
	struct cpu *cpu = mach_this_cpu();
	unsigned ended = 0;

	spin_lock(&object->lock);
	LIST_FOREACH_SAFE (&notification->waiters, node, next) {
		struct waiter *waiter = waiter_of(node);

		if (!all && !grant_is_dead(waiter->grant))
			continue;
		if (++ended > WAITERS_PER_STEP)
			break;
		wait_leave(waiter);
		if (waiter_claim(waiter))
			waiter_finish(cpu, waiter, STATUS(REVOKED), NULL, 0);
	}
	spin_unlock(&object->lock);
	return ended <= WAITERS_PER_STEP;
}

static bool notification_kill_step(struct object *object)
{
	return end_waiters(object, true);
}

static bool notification_sweep_step(struct object *object, u64 *pass)
{
	(void)pass; /* a step looks at all that wait: docs/CAVEATS.md */
	return end_waiters(object, false);
}

static void notification_free(struct object *object)
{
	pool_free(POOL_NOTIFICATION, notification_of(object));
}

const struct object_type type_notification =
	OBJECT_TYPE(notification, .kill_step = notification_kill_step, .sweep_step = notification_sweep_step,
		    .free = notification_free, .pool = POOL_NOTIFICATION + 1);
