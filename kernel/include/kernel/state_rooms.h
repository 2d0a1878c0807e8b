/* SPDX-License-Identifier: MIT */
/* The rooms' parts of the kernel's state, one header each. */
#ifndef KERNEL_STATE_ROOMS_H
#define KERNEL_STATE_ROOMS_H

#include <kernel/state_boot.h>
#include <kernel/state_cap.h>
#include <kernel/state_dev.h>
#include <kernel/state_ipc.h>
#include <kernel/state_mm.h>
#include <kernel/state_sched.h>
#include <kernel/state_task.h>
#include <kernel/state_time.h>

#endif
