/* SPDX-License-Identifier: MIT */
/*
 * What single operations cost, in guest instructions: `make bench-costs` boots this under -icount shift=0, where
 * the TSC counts instructions. Not for the simulator, whose time is not the TSC's.
 *
 * A sample is the difference of two readings around one operation, less that around nothing.
 */
#ifndef COSTS_H
#define COSTS_H

#include <user/capos.h>
#include <user/mark.h>

#define SNAPSHOT_RECORDS 40 /* that the longer snapshot has more than the shorter */
#define APART_CALLS 100	    /* one after the other */

#define COST_OPERATIONS(X)                                                                                           \
	X(empty, 1)                                                                                                  \
	X(null_call, 1)                                                                                              \
	X(timer_now, 1)                                                                                              \
	X(ipc_rt_0, 1)                                                                                               \
	X(ipc_rt_4, 1)                                                                                               \
	X(ipc_rt_8, 1)                                                                                               \
	X(ipc_rt_100, 1)                                                                                             \
	X(ipc_rt_active, 1)                                                                                          \
	X(stale_call, 1)                                                                                             \
	X(wrong_type_call, 1)                                                                                        \
	X(fault_rt, 1)                                                                                               \
	X(park_rt, 1)                                                                                                \
	X(park_calls_rt, 1)                                                                                          \
	X(yield_switch, 2)                                                                                           \
	X(ring_nop_32, 32)                                                                                           \
	X(ring_nop_1, 1)                                                                                             \
	X(thread_create_join, 1)                                                                                     \
	X(snapshot_record, SNAPSHOT_RECORDS)                                                                         \
	X(process_spawn_wait, 1)                                                                                     \
	X(timer_wake_max, 1)                                                                                         \
	X(timer_wake_storm_max, 1)                                                                                   \
	X(wake_hog_interactive_max, 1)                                                                               \
	X(timer_irq, 1)                                                                                              \
	X(preempt_switch, 1)                                                                                         \
	X(donate_rt_0, 1)                                                                                            \
	X(donate_rt_8, 1)                                                                                            \
	X(nest_1, 1)                                                                                                 \
	X(nest_2, 1)                                                                                                 \
	X(nest_3, 1)                                                                                                 \
	X(nest_4, 1)                                                                                                 \
	X(nest_5, 1)                                                                                                 \
	X(nest_6, 1)                                                                                                 \
	X(nest_7, 1)                                                                                                 \
	X(nest_8, 1)                                                                                                 \
	X(context_bind, 1)                                                                                           \
	X(context_bind_caller, 1)                                                                                    \
	X(context_unbind, 1)                                                                                         \
	X(context_revoke, 1)                                                                                         \
	X(context_throttle, 1)                                                                                       \
	X(context_replenish, 1)                                                                                      \
	X(context_throttle_alone, 1)                                                                                 \
	X(timer_irq_throttled, 1)                                                                                    \
	X(across_rt, APART_CALLS)                                                                                    \
	X(across_budget_rt, APART_CALLS)                                                                             \
	X(apart_rt, APART_CALLS)                                                                                     \
	X(apart_budget_rt, APART_CALLS)

enum cost_operation {
#define X(name, parts) COST_##name,
	COST_OPERATIONS(X)
#undef X
		COST_COUNT
};

#define COST_SAMPLES 2000u

static inline uint64_t instructions(void)
{
	return __builtin_ia32_rdtsc();
}

/* One sample of `operation`. */
#define COST_SAMPLE(name, operation)                                                                                 \
	do {                                                                                                         \
		COST_MARK(2 * COST_##name);                                                                          \
		uint64_t begin_ = instructions();                                                                    \
		operation;                                                                                           \
		uint64_t end_ = instructions();                                                                      \
		COST_MARK(2 * COST_##name + 1);                                                                      \
		cost_add(COST_##name, end_ - begin_);                                                                \
	} while (0)

/* main.c: a sample, with what the two readings themselves cost. */
void cost_add(enum cost_operation operation, uint64_t instructions);

/* Each measures its operations and leaves nothing behind. */
void costs_calls(void);
void costs_ring(void);
void costs_ipc(void);
/* On two CPUs. */
void costs_apart(void);
void costs_threads(void);
void costs_timer(void);
void costs_contexts(void);

/* Children's modes: spawns, threads and unmaps without end; takes turns with costs_preemptions; with who has a budget. */
_Noreturn void costs_storm(void);
_Noreturn void costs_preempted(void);
_Noreturn void costs_throttled_peer(void);

/* A context of its own, and its end. */
capos_handle costs_context(uint64_t budget_ns, uint64_t period_ns);
void costs_context_end(capos_handle context);

/* A child process: this program in another mode, with a capability "port" (0: none). "storm" may have children itself. */
capos_handle costs_child(const char *mode, capos_handle port, uint32_t rights);
/* "link": serves `port` by calls to `next`. */
capos_handle costs_child_link(capos_handle port, capos_handle next);
void costs_child_end(capos_handle process);
int costs_child_main(const char *mode);

#define COSTS_IFACE (CAPOS_IFACE_USER + 0x400u)

#endif
