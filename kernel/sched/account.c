/* SPDX-License-Identifier: MIT */
/*
 * CPU time accounting. A charge writes the running thread (or activity) and its CPU only.
 * AC1  busy_ns + idle_ns + irq_ns of a CPU = time since it came up, as of account_ns.
 * AC2  The sum of all threads' and activities' runtime_ns equals the sum of busy_ns over the CPUs.
 */
#include "sched_priv.h"

struct cpu_account *account_of(struct entity *entity)
{
	return entity->kind == ENTITY_ACTIVITY ? &entity->activity->account : &entity->thread->account;
}

void sched_charge(struct cpu *cpu, struct instant now)
{
	struct entity *entity = cpu->current_entity;
	u64 delta_ns;

	if (entity == NULL) {
		account_irq(cpu, now);
		return;
	}
	delta_ns = account_elapsed_ns(cpu, now);
	cpu->busy_ns += delta_ns;
	account_of(entity)->runtime_ns += delta_ns;
	policy_charge(&cpu->runq, entity, delta_ns + entity->uncharged_ns);
	entity->uncharged_ns = 0;
}

void account_irq(struct cpu *cpu, struct instant now)
{
	cpu->irq_ns += account_elapsed_ns(cpu, now);
}

void account_idle(struct cpu *cpu, struct instant now)
{
	cpu->idle_ns += account_elapsed_ns(cpu, now);
}
