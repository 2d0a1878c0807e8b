/* SPDX-License-Identifier: MIT */
/* The per-CPU trace ring: always there; a predicted branch when the event is off. */
#ifndef KERNEL_TRACE_H
#define KERNEL_TRACE_H

#include <capos/interface.h>
#include <kernel/cpu.h>
#include <kernel/state.h>

#define TRACE_RECORDS 1024u /* per CPU: 32 KiB */

struct trace_ring {
	ATOMIC(u64) next; /* (os) records written since boot */
	struct capos_trace_record record[TRACE_RECORDS];
};

static inline u32 trace_mask(void)
{
	return atomic_load_relaxed(&kernel_state.trace_mask);
}
/* Give a CPU its ring (boot only); dev_init does so for every CPU in kernel_state.cpus that has none. */
void trace_init_cpu(struct cpu *cpu);
void trace_record(struct cpu *cpu, enum capos_trace_event event, u64 thread_id, u64 arg0, u64 arg1);

#define TRACE(cpu, event, thread_id, arg0, arg1)                                                                     \
	do {                                                                                                         \
		if (unlikely(trace_mask() & (1u << CAPOS_TRACE_##event)))                                            \
			trace_record((cpu), CAPOS_TRACE_##event, (thread_id), (arg0), (arg1));                       \
	} while (0)

#endif
