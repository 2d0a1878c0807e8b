/* SPDX-License-Identifier: MIT */
/*
 * No checker: canaries of user/proofs/deathtest.c, which judges by itself. Once, at a step of a teardown, a frame is lost that nobody is
 * charged for, or a thread that waits for an end is forgotten.
 */
#include <kernel/cpu.h>
#include <kernel/process.h>
#include <lib/steps.h>
#include <sim/checker.h>

#include "plant.h"

static bool forget_waiter(void)
{
	struct process *process;

	for (u64 id = 0; (process = registry_next_process(id)) != NULL; id = process->object.id + 1) {
		if (process->waiters.count == 0 || process->object.lock.word.value_ != 0)
			continue;
		list_remove(list_first(&process->waiters.waiters));
		process->waiters.count--;
		return true;
	}
	return false;
}

static void death_held(struct cpu *cpu, u32 kind)
{
	static bool done;
	struct paddr frame;

	if (done || kind != STEP_WINDOW || cpu->current != NULL)
		return; /* a step of a teardown has no current thread */
	if (plant("death-frame", PLANT_AFTER + 1))
		done = frame_alloc(&frame);
	if (plant("death-waiter", PLANT_AFTER + 1))
		done = forget_waiter();
}

static const struct sim_checker death = { .name = "death", .held = death_held };
SIM_CHECKER(death);
