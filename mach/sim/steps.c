/* SPDX-License-Identifier: MIT */
/*
 * Steps of operations: counts those of one process and holds the CPU at one of them, so that a program on another CPU strikes there.
 * The record is in lib/steps.h; who asks is user/proofs/deathtest.c.
 */
#include "sim.h"

#include <kernel/process.h>

#include <lib/steps.h>
#include <sim/checker.h>

#define HOLD_NAP_NS 500u

#define STEPS ((volatile struct steps *)STEPS_ADDR)

_Static_assert(STEPS_ADDR >= SIM_CREDIT_ADDR + sizeof(i64) &&
		       STEPS_ADDR + sizeof(struct steps) <= SIM_CREDIT_ADDR + PAGE_BYTES,
	       "in the page of the credit");

extern const struct sim_checker *const __start_sim_checkers[] __attribute__((weak));
extern const struct sim_checker *const __stop_sim_checkers[] __attribute__((weak));

void sim_steps_init(void)
{
	STEPS->seed = sim_options.seed;
	STEPS->full = sim_options.full;
}

/* Does the running CPU work for the process? Between two threads: for the one that it left. */
static bool is_watched(struct vcpu *vcpu)
{
	const struct cpu *cpu = vcpu->cpu;
	const struct entity *entity = cpu != NULL ? cpu->current_entity : NULL;

	if (cpu == NULL)
		return false;
	if (cpu->current != NULL)
		vcpu->watched_process = cpu->current->process->object.id;
	else if (entity != NULL && entity->kind == ENTITY_ACTIVITY) /* a teardown: there are no other activities */
		vcpu->watched_process = container_of(entity->activity, struct process, teardown)->object.id;
	return vcpu->watched_process == STEPS->process;
}

static bool counts(u32 kind)
{
	return STEPS->state == STEPS_COUNT && (STEPS->kinds & kind) != 0 && !sim.still && !sim.solo &&
	       is_watched(sim.current) && ++STEPS->count == STEPS->at;
}

static void hold(u32 kind)
{
	u64 end_ns = sim_now() + STEPS_HOLD_NS;

	STEPS->held_kind = kind;
	STEPS->state = STEPS_HELD;
	for (const struct sim_checker *const *at = __start_sim_checkers; at != __stop_sim_checkers; at++) {
		if ((*at)->held != NULL)
			(*at)->held(sim.current->cpu, kind);
	}
	while (STEPS->state == STEPS_HELD && sim_now() < end_ns && !sim.solo) {
		sim_charge(HOLD_NAP_NS);
		sim_wait_first();
	}
}

void sim_step(u32 kind)
{
	if (counts(kind))
		hold(kind);
}

bool sim_step_fails(void)
{
	if (!counts(STEP_ALLOC))
		return false;
	STEPS->held_kind = STEP_ALLOC;
	STEPS->state = STEPS_GO;
	return true;
}

bool sim_steps_fine(void)
{
	return STEPS->state == STEPS_COUNT && (STEPS->kinds & STEP_POINT) != 0 && !sim.still && !sim.solo &&
	       is_watched(sim.current);
}
