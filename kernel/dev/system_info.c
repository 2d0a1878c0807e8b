/* SPDX-License-Identifier: MIT */
/* What there is: CPUs, memory, processes, threads. Figures of others are read as they stand, without stopping anybody. */
#include "dev_priv.h"

#include <kernel/version.h>
#include <string.h>

const struct object_type type_system_info = OBJECT_TYPE(system_info, .kill_step = NULL);

static void copy_text(char *to, size_t bytes, const char *from)
{
	size_t i = 0;

	for (; i + 1 < bytes && from[i] != 0; i++)
		to[i] = from[i];
	for (; i < bytes; i++)
		to[i] = 0;
}

u64 method_system_info_cpus(struct call *call)
{
	struct capos_cpu_info *info = (struct capos_cpu_info *)call->out;
	u64 index = call->word[0], count = 0;

	for (; index < cpu_count() && count < CAPOS_MESSAGE_BYTES / sizeof(*info); index++, count++) {
		struct cpu *cpu = cpu_find((u32)index);
		struct thread *current;

		memset(&info[count], 0, sizeof(*info));
		info[count].id = (u32)index;
		if (cpu == NULL)
			continue;
		current =
			*(struct thread *volatile *)&cpu->current; /* its memory stays until this kernel entry ends */
		info[count].apic_id = cpu->desc.apic_id;
		info[count].package = cpu->desc.package;
		info[count].llc = cpu->desc.llc;
		info[count].core = cpu->desc.core;
		info[count].smt = cpu->desc.smt;
		info[count].online = atomic_load_relaxed(&cpu->online);
		info[count].queued = atomic_load_relaxed(&cpu->runq.count);
		info[count].idle_ns = cpu->idle_ns;
		info[count].busy_ns = cpu->busy_ns;
		info[count].irq_ns = cpu->irq_ns;
		info[count].switches = cpu->switches;
		info[count].ipis = cpu->ipis_received;
		info[count].shootdowns = cpu->shootdowns;
		info[count].current_thread = current != NULL ? current->object.id : 0;
	}
	call->out_bytes = (u32)(count * sizeof(*info));
	call->word[0] = cpu_count();
	call->word[1] = count;
	return STATUS(OK);
}

u64 method_system_info_memory(struct call *call)
{
	struct capos_memory_info info = { 0 };

	pools_drain();
	info.frames_total = frames_total();
	info.frames_free = frames_free_count();
	info.total_bytes = info.frames_total * PAGE_BYTES;
	info.free_bytes = info.frames_free * PAGE_BYTES;
	for (u32 i = 0; i < POOL_COUNT; i++)
		info.kernel_bytes += pool_live_count((enum pool_id)i) * pool_object_bytes((enum pool_id)i);
	call_answer(call, &info, sizeof(info));
	return STATUS(OK);
}

u64 method_system_info_machine(struct call *call)
{
	struct capos_machine_info info = { 0 };

	info.abi_version = CAPOS_ABI_VERSION;
	info.cpu_count = cpu_count();
	info.uptime_ns = mach_clock().ns;
	info.clock_hz = kernel_state.boot.clock_hz;
	copy_text(info.machine, sizeof(info.machine), kernel_state.boot.machine);
	copy_text(info.version, sizeof(info.version), CAPOS_VERSION);
	copy_text(info.build, sizeof(info.build), CAPOS_BUILD);
	copy_text(info.scheduler, sizeof(info.scheduler), sched_policy_names[cpu_get(0)->runq.policy]);
	call_answer(call, &info, sizeof(info));
	return STATUS(OK);
}

/*
 * The next process whose figures, sums over its threads, are up to date, into the list; a piece of that work. args: where to go on,
 * the process whose threads are looked at and how many are left, records.
 */
enum { LIST_NEXT, LIST_PROCESS, LIST_LEFT, LIST_COUNT };

static bool list_step(struct capos_process_info *info, u64 args[4])
{
	struct process *process = registry_next_process(args[LIST_NEXT]);
	u32 left = (u32)args[LIST_LEFT];

	if (process == NULL) {
		args[LIST_NEXT] = 0;
		return true;
	}
	args[LIST_NEXT] = process->object.id;
	if (args[LIST_COUNT] == CAPOS_MESSAGE_BYTES / sizeof(*info))
		return true;
	if (args[LIST_PROCESS] != process->object.id)
		left = ledger_pass_begin(process);
	args[LIST_PROCESS] = process->object.id;
	if (ledger_pass_step(process, &left)) {
		process_fill_info(process, &info[args[LIST_COUNT]++]);
		args[LIST_NEXT]++;
	}
	args[LIST_LEFT] = left;
	return false;
}

static enum operation_progress processes_step(struct cpu *cpu, struct thread *thread, struct operation *operation)
{
	struct capos_process_info *info = (struct capos_process_info *)thread->page->message;
	struct instant begin = mach_clock();
	bool done = (atomic_load_relaxed(&thread->attention) & ATTENTION_KILL) != 0;

	(void)cpu;
	while (!done && step_has_time(begin, STEP_PIECES))
		done = list_step(info, operation->args);
	if (!done)
		return OPERATION_AGAIN;
	operation->word[0] = operation->args[LIST_COUNT];
	operation->word[1] = operation->args[LIST_NEXT];
	operation->word_count = 2;
	shared_store_relaxed(&thread->page->recv_bytes, (u32)(operation->args[LIST_COUNT] * sizeof(*info)));
	return OPERATION_DONE;
}

/* word[1]: where to go on; 0: nothing is left. */
u64 method_system_info_processes(struct call *call)
{
	struct capos_process_info *info = (struct capos_process_info *)call->out;
	u64 args[4] = { [LIST_NEXT] = call->word[0] };
	struct instant begin = mach_clock();
	bool done = false;

	while (!done && step_has_time(begin, STEP_PIECES))
		done = list_step(info, args);
	if (!done) {
		(void)call_start_operation(call, processes_step);
		memcpy(call->thread->operation.args, args, sizeof(args));
		memcpy(call->thread->page->message, info, args[LIST_COUNT] * sizeof(*info));
		return CALL_OPERATION;
	}
	call->out_bytes = (u32)(args[LIST_COUNT] * sizeof(*info));
	call->word[0] = args[LIST_COUNT];
	call->word[1] = args[LIST_NEXT];
	return STATUS(OK);
}

u64 method_system_info_threads(struct call *call)
{
	struct capos_thread_info *info = (struct capos_thread_info *)call->out;
	struct thread *thread = registry_next_thread(call->word[0]);
	u64 count = 0;

	for (; thread != NULL && count < CAPOS_MESSAGE_BYTES / sizeof(*info); count++) {
		thread_fill_info(thread, &info[count]);
		thread = registry_next_thread(thread->object.id + 1);
	}
	call->out_bytes = (u32)(count * sizeof(*info));
	call->word[0] = count;
	call->word[1] = thread != NULL ? thread->object.id : 0;
	return STATUS(OK);
}
