/* SPDX-License-Identifier: MIT */
/* New objects on the caller's quota. */
#include "cap_priv.h"

#include <kernel/call.h>
#include <kernel/debug.h>
#include <kernel/ipc.h>

const struct object_type type_factory = OBJECT_TYPE(factory, .kill_step = NULL);

u16 factory_object_publish(struct process *process)
{
	object_init(&process->factory_object, CAPOS_IFACE_factory, process);
	return object_publish(&process->factory_object);
}

u64 factory_hand_out(struct call *call, struct object *object)
{
	struct process *process = call->thread->process;
	const struct object_type *type = object_type(object->type);
	u64 handle;
	u32 detail;
	u16 status;

	if (atomic_load_relaxed(&object->state) == OBJECT_BUILDING) {
		status = object_publish(object);
		if (status != CAPOS_STATUS_OK) {
			/* Nobody has seen it. */
			KASSERT(type->pool != 0 && type->free != NULL);
			pool_uncharge((enum pool_id)(type->pool - 1), process);
			type->free(object);
			return call_status(status, CAPOS_QUOTA_MEMORY);
		}
	}
	status = cap_insert_root(process, object, CAPOS_RIGHTS_ALL, &handle);
	if (status == CAPOS_STATUS_OK) {
		call->word[0] = handle;
		return STATUS(OK);
	}
	detail = cap_quota_detail(process, status); /* before the object gives its part back */
	/* A new object has nothing to end but its root grant: two steps. */
	if (object_begin_destroy(object)) {
		while (!object_end_step(object))
			;
	}
	return CAPOS_RESULT(status, 0, detail);
}

u64 method_factory_endpoint(struct call *call)
{
	u64 iface = call->word[0];
	struct endpoint *endpoint;
	u16 status;

	if (iface > ~0u || (iface != 0 && iface < CAPOS_IFACE_USER))
		return STATUS_DETAIL(BAD_ARGUMENT, 0);
	status = endpoint_create(call->thread->process, (u32)iface, &endpoint);
	if (status != CAPOS_STATUS_OK)
		return call_status(status, CAPOS_QUOTA_MEMORY);
	return factory_hand_out(call, &endpoint->object);
}

u64 method_factory_notification(struct call *call)
{
	struct notification *notification;
	u16 status = notification_create(call->thread->process, &notification);

	if (status != CAPOS_STATUS_OK)
		return call_status(status, CAPOS_QUOTA_MEMORY);
	return factory_hand_out(call, &notification->object);
}

u64 method_factory_park_space(struct call *call)
{
	struct object *object;
	u16 status = park_space_create(call->thread->process, &object);

	if (status != CAPOS_STATUS_OK)
		return call_status(status, CAPOS_QUOTA_MEMORY);
	return factory_hand_out(call, object);
}
