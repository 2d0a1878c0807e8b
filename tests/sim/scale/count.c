/* SPDX-License-Identifier: MIT */
/*
 * How the costs of the scheduler's operations grow with CPUs and threads: the whole kernel in the simulator, compiled with a hook at
 * every basic block, which is counted for the CPU that runs it. `make sim-scale` is this (tools/sim-scale). The linker puts the
 * wrappers below around the operations (--wrap); kernel code is as it is.
 *
 *   stay      where a woken one goes: to the CPU that it was on
 *   place     ... to another one
 *   wake      ... and its way there, the queue or inbox of that CPU
 *   join      one is taken from the inbox and queued, by the owner or a thief
 *   pick      the end of an entry, from the choice to the next thread, where another one goes on
 *   steal     a CPU that goes idle looks for work elsewhere (taking over inboxes apart)
 *   balance   the look of a tick at another CPU
 *   tick      the rest of a tick
 *
 * CAPOS_SIM_SCALE=FROM_NS,UNTIL_NS,FILE: what is begun from then on counts; then a line of JSON is appended to FILE, and the run ends.
 * CAPOS_SIM_PLANT=linear-cpus, linear-threads: canaries, as if each operation looked at every 4th CPU, or at every 64th thread.
 */
#include <kernel/cpu.h>
#include <kernel/sched.h>
#include <kernel/state.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../../kernel/sched/sched_priv.h"
#include "../../../mach/sim/sim.h"

#define DEPTH_MAX 16u
#define MAIN_THREADS 2u /* of the two processes of crowd.dts */

#define OPERATIONS(O) O(stay) O(place) O(wake) O(join) O(pick) O(steal) O(balance) O(tick) O(other)
enum counted {
#define O(name) OP_##name,
	OPERATIONS(O)
#undef O
		OP_COUNT
};
static const char *const names[] = {
#define O(name) #name,
	OPERATIONS(O)
#undef O
};

static struct cost {
	u64 count, sum, most;
} costs[OP_COUNT];

/* An operation that is under way on a CPU; what is nested in it and counted apart. */
struct frame {
	u64 begin, apart;
	bool spoiled; /* it waited, or did more than it is meant to be */
};

static struct count {
	u64 blocks;
	struct frame frames[DEPTH_MAX];
	u32 depth;
} counts[SIM_CPUS_MAX];

static u64 from_ns = SIM_NEVER, until_ns = SIM_NEVER, extra;
static bool linear_threads;
static char file_name[256];

void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void)
{
	counts[sim.current->id].blocks++;
}

/* --- begin and end -------------------------------------------------------------------------------------------------------- */

static u64 thread_count(void)
{
	u64 count = 0;
	const struct process *process;

	for (u64 id = 0; (process = registry_next_process(id)) != NULL; id = process->object.id + 1)
		LIST_FOREACH (&process->threads, node)
			count++;
	return count;
}

static void read_options(void)
{
	static bool done;
	const char *text = getenv("CAPOS_SIM_SCALE"), *plant = getenv("CAPOS_SIM_PLANT");
	unsigned long long from = SIM_NEVER, until = SIM_NEVER;

	if (done || text == NULL)
		return;
	done = true;
	if (sscanf(text, "%llu,%llu,%255s", &from, &until, file_name) != 3)
		sim_die(SIM_EXIT_ERROR, "CAPOS_SIM_SCALE=FROM_NS,UNTIL_NS,FILE");
	from_ns = from;
	until_ns = until;
	if (plant != NULL && strcmp(plant, "linear-cpus") == 0)
		extra = sim.cpu_count / 4;
	linear_threads = plant != NULL && strcmp(plant, "linear-threads") == 0;
}

NORETURN static void report(void)
{
	FILE *file = fopen(file_name, "a");

	if (file == NULL)
		sim_die(SIM_EXIT_ERROR, "%s cannot be written", file_name);
	fprintf(file, "{\"cpus\": %u, \"threads\": %llu", sim.cpu_count,
		(unsigned long long)thread_count() - MAIN_THREADS);
	for (u32 i = 0; i < OP_other; i++)
		fprintf(file, ", \"%s\": %.2f, \"%s_most\": %llu, \"%s_count\": %llu", names[i],
			costs[i].count != 0 ? (double)costs[i].sum / (double)costs[i].count : 0, names[i],
			(unsigned long long)costs[i].most, names[i], (unsigned long long)costs[i].count);
	fprintf(file, "}\n");
	fclose(file);
	_exit(0);
}

static struct count *begin(void)
{
	struct count *count = &counts[sim.current->id];

	read_options();
	if (sim_now() >= until_ns)
		report();
	if (count->depth == DEPTH_MAX)
		sim_die(SIM_EXIT_ERROR, "operations are nested too deep");
	count->frames[count->depth++] = (struct frame){ .begin = count->blocks };
	return count;
}

/* `times` operations at once; 0: nothing to note. apart: not part of what it is nested in. */
static void end(struct count *count, enum counted operation, u64 times, bool apart)
{
	struct frame frame = count->frames[--count->depth];
	u64 whole = count->blocks - frame.begin, own = whole - frame.apart + extra;
	struct cost *cost = &costs[operation];

	if (count->depth > 0) {
		count->frames[count->depth - 1].apart += apart ? whole : frame.apart;
		count->frames[count->depth - 1].spoiled |= frame.spoiled;
	}
	if (sim_now() < from_ns || times == 0 || frame.spoiled)
		return;
	if (linear_threads && extra == 0)
		extra = thread_count() / 64;
	cost->count += times;
	cost->sum += own;
	cost->most = MAX(cost->most, own / times);
}

/* --- the operations --------------------------------------------------------------------------------------------------------- */

#define WRAP(type, name, ...)                                                                                        \
	type __real_##name(__VA_ARGS__);                                                                             \
	type __wrap_##name(__VA_ARGS__);                                                                             \
	type __wrap_##name(__VA_ARGS__)

WRAP(struct cpu *, place_woken, struct cpu *cpu, struct entity *entity, struct cpu *near)
{
	struct count *count = begin();
	const struct cpu *previous = entity->cpu.value_;
	struct cpu *target = __real_place_woken(cpu, entity, near);

	end(count, target == previous ? OP_stay : OP_place, 1, false);
	return target;
}

WRAP(void, sched_wake, struct cpu *cpu, struct entity *entity)
{
	struct count *count = begin();

	__real_sched_wake(cpu, entity);
	end(count, OP_wake, 1, true);
}

WRAP(void, wake_take_inbox_locked, struct cpu *owner)
{
	struct count *count = begin();
	u64 joining = 0;

	for (const struct entity *at = owner->inbox.value_; at != NULL; at = at->inbox_next)
		joining++;
	__real_wake_take_inbox_locked(owner);
	end(count, OP_join, joining, true);
}

WRAP(struct entity *, steal, struct cpu *cpu)
{
	struct count *count = begin();
	struct entity *entity = __real_steal(cpu);

	end(count, OP_steal, 1, true);
	return entity;
}

WRAP(void, balance_look, struct cpu *cpu)
{
	struct count *count = begin();

	__real_balance_look(cpu);
	end(count, OP_balance, 1, true);
}

WRAP(void, timer_run_due, struct cpu *cpu, struct instant now)
{
	struct count *count = begin();

	__real_timer_run_due(cpu, now);
	end(count, OP_other, 0, true);
}

WRAP(struct thread *, sched_exit, struct cpu *cpu)
{
	struct count *count = begin();
	u64 switches = cpu->switches;
	struct thread *thread = __real_sched_exit(cpu);

	end(count, OP_pick, cpu->switches == switches + 1, true);
	return thread;
}

WRAP(struct thread *, kernel_irq, struct cpu *cpu, u32 bits)
{
	struct count *count = begin();
	u64 ticks = cpu->ticks;
	struct thread *thread = __real_kernel_irq(cpu, bits);

	end(count, OP_tick, cpu->ticks == ticks + 1, true);
	return thread;
}

/* Within these others have their turn. */
WRAP(u32, mach_idle_wait, struct cpu *cpu)
{
	struct count *count = &counts[cpu->id];

	for (u32 i = 0; i < count->depth; i++)
		count->frames[i].spoiled = true;
	return __real_mach_idle_wait(cpu);
}

WRAP(u32, mach_irq_window, struct cpu *cpu)
{
	struct count *count = &counts[cpu->id];

	for (u32 i = 0; i < count->depth; i++)
		count->frames[i].spoiled = true;
	return __real_mach_irq_window(cpu);
}
