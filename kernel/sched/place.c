/* SPDX-License-Identifier: MIT */
/*
 * Where a woken or new entity goes: pinned CPU; its previous CPU when that idles; an idle CPU (nearest by index first,
 * this one included); else its previous CPU. A CPU's idle bit is set by itself before it halts and cleared by itself or
 * by the waker that chooses it, so that two wakers do not choose one idle CPU.
 */
#include <capos/abi.h>
#include <kernel/state.h>

#include "sched_priv.h"

void place_set_idle(struct cpu *cpu)
{
	atomic_fetch_or(&kernel_state.sched.idle_mask[cpu->id / 64], 1ull << (cpu->id % 64));
}

void place_clear_idle(struct cpu *cpu)
{
	u64 bit = 1ull << (cpu->id % 64);

	if (atomic_load_relaxed(&kernel_state.sched.idle_mask[cpu->id / 64]) & bit)
		atomic_fetch_and(&kernel_state.sched.idle_mask[cpu->id / 64], ~bit);
}

static bool take_idle(u32 id)
{
	u64 bit = 1ull << (id % 64);

	if (!(atomic_load_relaxed(&kernel_state.sched.idle_mask[id / 64]) & bit))
		return false;
	return atomic_fetch_and(&kernel_state.sched.idle_mask[id / 64], ~bit) & bit;
}

static struct cpu *take_any_idle(u32 near)
{
	u32 words = kernel_state.sched.idle_words;

	for (u32 i = 0; i < words; i++) {
		u32 word = (near / 64 + i) % words;
		u64 bits = atomic_load_relaxed(&kernel_state.sched.idle_mask[word]);

		while (bits) {
			u32 id = word * 64 + (u32)__builtin_ctzll(bits);

			if (take_idle(id))
				return cpu_get(id);
			bits &= bits - 1;
		}
	}
	return NULL;
}

struct cpu *place_take_idle(struct cpu *cpu)
{
	return take_any_idle(cpu->id);
}

struct cpu *place_pinned(const struct entity *entity)
{
	u32 id = shared_load_relaxed(&entity->pinned_cpu);
	struct cpu *pinned = id != CAPOS_CPU_ANY ? cpu_find(id) : NULL;

	return pinned != NULL && atomic_load_relaxed(&pinned->online) ? pinned : NULL;
}

struct cpu *place_woken(struct cpu *cpu, struct entity *entity)
{
	struct cpu *previous = atomic_load_relaxed(&entity->cpu);
	struct cpu *pinned = place_pinned(entity);
	struct cpu *idle;

	if (pinned != NULL)
		return pinned;
	if (previous == NULL)
		previous = cpu;
	if (previous == cpu && cpu->current_entity == NULL && atomic_load_relaxed(&cpu->runq.count) == 0)
		return cpu;
	if (take_idle(previous->id))
		return previous;
	idle = take_any_idle(previous->id);
	return idle ? idle : previous;
}
