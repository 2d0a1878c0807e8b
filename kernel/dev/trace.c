/* SPDX-License-Identifier: MIT */
/*
 * The trace rings: one per CPU, written by that CPU only, read by anyone.
 * A reader copies records and then looks at `next` again: what may have been overwritten meanwhile is thrown away.
 */
#include "dev_priv.h"

const struct object_type type_trace = OBJECT_TYPE(trace, .kill_step = NULL);

#define READ_RECORDS ((u32)(CAPOS_MESSAGE_BYTES / sizeof(struct capos_trace_record)))

static u32 events_known(void)
{
	u32 mask = 0;

#define X(name, value, text) mask |= 1u << (value);
	CAPOS_TRACE_EVENTS(X)
#undef X
	return mask;
}

void trace_init_cpu(struct cpu *cpu)
{
	cpu->trace = frames_boot_alloc(sizeof(struct trace_ring));
}

void trace_record(struct cpu *cpu, enum capos_trace_event event, u64 thread_id, u64 arg0, u64 arg1)
{
	struct trace_ring *ring = cpu->trace;
	u64 at;

	if (ring == NULL)
		return;
	at = atomic_load_relaxed(&ring->next);
	ring->record[at % TRACE_RECORDS] = (struct capos_trace_record){
		.ns = mach_clock().ns,
		.cpu = (u16)cpu->id,
		.event = (u16)event,
		.thread = (u32)thread_id,
		.arg = { arg0, arg1 },
	};
	atomic_store_release(&ring->next, at + 1); /* pairs with the acquires in method_trace_read */
}

u64 method_trace_control(struct call *call)
{
	u64 mask = call->word[0];

	if ((mask & ~(u64)events_known()) != 0)
		return STATUS_DETAIL(BAD_ARGUMENT, 0);
	call->word[0] = atomic_xchg(&kernel_state.trace_mask, (u32)mask);
	return STATUS(OK);
}

/* Oldest record that can be read when `next` have been written: the place of the next one may be being written. */
static u64 oldest(u64 next)
{
	return next < TRACE_RECORDS ? 0 : next - TRACE_RECORDS + 1;
}

u64 method_trace_read(struct call *call)
{
	struct capos_trace_record *out = (struct capos_trace_record *)call->out;
	struct cpu *cpu = call->word[0] <= ~0u ? cpu_find((u32)call->word[0]) : NULL;
	u64 sequence = call->word[1], next, first, after;
	u32 count, skip;

	if (cpu == NULL)
		return STATUS_DETAIL(BAD_ARGUMENT, 0);
	next = cpu->trace == NULL ? 0 : atomic_load_acquire(&cpu->trace->next); /* pairs: trace_record */
	first = MIN(MAX(sequence, oldest(next)), next);
	count = (u32)MIN(next - first, (u64)READ_RECORDS);
	for (u32 i = 0; i < count; i++)
		out[i] = cpu->trace->record[(first + i) % TRACE_RECORDS];
	after = count == 0 ? next : atomic_load_acquire(&cpu->trace->next);
	skip = first < oldest(after) ? (u32)MIN(oldest(after) - first, (u64)count) : 0;
	for (u32 i = skip; i < count; i++)
		out[i - skip] = out[i];
	call->out_bytes = (u32)((count - skip) * sizeof(*out));
	call->word[0] = count - skip;
	call->word[1] = first + count;
	call->word[2] = sequence < first + skip ? first + skip - sequence : 0;
	return STATUS(OK);
}

/* --- the measure build's counters ---------------------------------------------------------------------------------------- */

u64 method_trace_phase(struct call *call)
{
	if (call->word[0] >= CAPOS_MEASURE_PHASES)
		return STATUS_DETAIL(BAD_ARGUMENT, 0);
	return measure_set_phase(call->word[0], &call->word[0]) ? STATUS(OK) : STATUS(NOT_SUPPORTED);
}

u64 method_trace_counters(struct call *call)
{
	struct cpu *cpu = call->word[0] <= ~0u ? cpu_find((u32)call->word[0]) : NULL;
	u64 phase = call->word[1], first = call->word[2];
	u32 count;

	if (cpu == NULL)
		return STATUS_DETAIL(BAD_ARGUMENT, 0);
	if (phase >= CAPOS_MEASURE_PHASES)
		return STATUS_DETAIL(BAD_ARGUMENT, 1);
	if (first >= CAPOS_MEASURE_VALUES)
		return STATUS_DETAIL(BAD_ARGUMENT, 2);
	count = (u32)MIN(CAPOS_MEASURE_VALUES - first, (u64)CAPOS_MESSAGE_BYTES / sizeof(u64));
	if (!measure_read(cpu, phase, (u32)first, count, (u64 *)call->out))
		return STATUS(NOT_SUPPORTED);
	call->out_bytes = count * (u32)sizeof(u64);
	call->word[0] = CAPOS_MEASURE_VALUES;
	return STATUS(OK);
}
