/* SPDX-License-Identifier: MIT */
/* The kernel's own devices: their objects. */
#include "dev_priv.h"

static const u16 device[] = {
	CAPOS_IFACE_timer,   CAPOS_IFACE_wall_clock,  CAPOS_IFACE_console, CAPOS_IFACE_log,
	CAPOS_IFACE_entropy, CAPOS_IFACE_system_info, CAPOS_IFACE_trace,   CAPOS_IFACE_power,
};

struct object *dev_object(u16 iface)
{
	for (size_t i = 0; i < ARRAY_COUNT(device); i++) {
		if (device[i] == iface)
			return &kernel_state.dev.object[iface];
	}
	return NULL;
}

void dev_init(void)
{
	KASSERT(!kernel_state.dev.ready);
	for (size_t i = 0; i < ARRAY_COUNT(device); i++) {
		struct object *object = &kernel_state.dev.object[device[i]];

		object_init(object, device[i], NULL);
		if (object_publish(object) != CAPOS_STATUS_OK)
			panic("no memory for device %s", object_type(device[i])->name);
	}
	console_init();
	log_init();
	for (u32 i = 0; i < kernel_state.cpu_count; i++) {
		if (kernel_state.cpus[i] != NULL && kernel_state.cpus[i]->trace == NULL)
			trace_init_cpu(kernel_state.cpus[i]);
		if (kernel_state.cpus[i] != NULL)
			measure_init_cpu(kernel_state.cpus[i]);
	}
	kernel_state.dev.ready = true;
}
