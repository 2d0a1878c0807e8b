/* SPDX-License-Identifier: MIT */
/* The list of all types of objects. */
#include <kernel/call.h>
#include <kernel/debug.h>

#define X(name, id) [id] = &type_##name,
const struct object_type *const object_types[CAPOS_IFACE_COUNT] = { CAPOS_INTERFACES(X) };
#undef X

const struct object_type *object_type(u16 type)
{
	KASSERT(type != 0 && type < CAPOS_IFACE_COUNT);
	return object_types[type];
}

const struct method *call_method(u32 iface, u16 method)
{
	if (iface == 0 || iface >= CAPOS_IFACE_COUNT || method >= object_types[iface]->method_count)
		return NULL;
	return &object_types[iface]->methods[method];
}
