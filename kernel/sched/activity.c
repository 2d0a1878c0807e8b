/* SPDX-License-Identifier: MIT */
/* Activities: kernel state machines with an entity of their own. */
#include <capos/abi.h>

#include "sched_priv.h"

void activity_init(struct activity *activity, const char *name, struct process *process,
		   enum activity_result (*step)(struct cpu *, struct activity *))
{
	*activity = (struct activity){ .name = name, .process = process, .step = step };
	entity_init(&activity->entity, ENTITY_ACTIVITY, AFFINITY_ANY);
	activity->entity.activity = activity;
}

void activity_start(struct cpu *cpu, struct activity *activity)
{
	sched_wake(cpu, &activity->entity);
}

static void activity_timer(struct cpu *cpu, struct timer *timer)
{
	sched_wake(cpu, &container_of(timer, struct activity, timer)->entity);
}

void activity_sleep(struct cpu *cpu, struct activity *activity)
{
	timer_start(cpu, &activity->timer, (struct instant){ cpu->account_ns + ACTIVITY_SLEEP_NS }, activity_timer);
}
