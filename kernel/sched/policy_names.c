/* SPDX-License-Identifier: MIT */
/* What manifests and programs call the policies. */
#include <kernel/sched.h>

const char *const sched_policy_names[] = { [SCHED_EEVDF] = "eevdf", [SCHED_WFQ] = "wfq", NULL };
