/* SPDX-License-Identifier: MIT */
/* Authority over scheduling parameters, as objects: kernel/sched/policy_object.c. */
#ifndef KERNEL_POLICY_H
#define KERNEL_POLICY_H

#include <capos/interface.h>
#include <kernel/object.h>

struct process;
struct grant;

/* Not published yet. `parent`: the grant that it is derived through, of which it keeps a reference; NULL: nobody's. The bounds
 * are good. */
MUST_CHECK u16 policy_create(struct process *owner, const struct capos_policy_bounds *bounds, struct grant *parent,
			     struct object **out);
/* Offset of the first field that says nothing sensible, whatever else holds; -1: there is none. */
MUST_CHECK int policy_bounds_check(const struct capos_policy_bounds *bounds);

#endif
