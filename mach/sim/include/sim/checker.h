/* SPDX-License-Identifier: MIT */
/*
 * Checkers that hang on the simulator: files of tests/sim that are linked into it. A checker reads the core's
 * structures plainly (word.value_, which lacks stores that a CPU still buffers), never through atomic.h and never by
 * taking a lock.
 *
 *   static const struct sim_checker dispatch = { .name = "dispatch", .step = dispatch_step };
 *   SIM_CHECKER(dispatch);
 */
#ifndef SIM_CHECKER_H
#define SIM_CHECKER_H

#include <kernel/types.h>

struct cpu;

struct sim_checker {
	const char *name;
	/* After every kernel entry of `cpu`, which is about to resume cpu->current. Other CPUs may be inside theirs. */
	void (*step)(struct cpu *cpu);
	/* Every 64 entries, when no other CPU is inside the kernel, and at the end. */
	void (*full)(void);
	/* The run ends. */
	void (*end)(void);
	/* `cpu` is about to wait for an interrupt. */
	void (*idle)(struct cpu *cpu);
	/* `cpu` is held at a step of an operation (STEP_* of lib/steps.h). */
	void (*held)(struct cpu *cpu, u32 kind);
};

#define SIM_CHECKER(checker)                                                                                         \
	__attribute__((used, retain,                                                                                 \
		       section("sim_checkers"))) static const struct sim_checker *const checker##_entry = &(checker)

/* Report a violation: CPU, seed, event, trace tail; ends the run. */
NORETURN void sim_check_failed(const char *checker, const char *format, ...) PRINTF_LIKE(2, 3);
/* No other CPU is inside the kernel: what it began there is done. */
bool sim_is_quiet(void);
/* Between the two the core's own walks may be called; only while sim_is_quiet. In `full` that is so. */
void sim_stand_still(void);
void sim_go_on(void);
/* mach_ipi_send was called for the CPU, and it has not taken the interrupt yet. */
bool sim_ipi_in_flight(const struct cpu *cpu);
/* Kernel entries so far, for messages. */
u64 sim_check_entries(void);
/* Local time of the running CPU, ns; the run's seed; its level of faults. */
u64 sim_check_now(void);
/* All that the CPU's one-shot has counted, ns. */
u64 sim_check_counted(const struct cpu *cpu);
/* The counter of the clock is this kind of --tsc ("exact", "dead" …). */
bool sim_check_counter_is(const char *kind);
u64 sim_check_seed(void);
int sim_check_faults(void);

#endif
