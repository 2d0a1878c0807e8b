/* SPDX-License-Identifier: MIT */
/*
 * Checkers that hang on the simulator: files of tests/sim that are linked into it. A checker reads the core's
 * structures plainly (word.value_, which lacks stores that a CPU still buffers), never through atomic.h and never by
 * taking a lock.
 *
 *   static const struct sim_checker dispatch = { "dispatch", dispatch_step, dispatch_full };
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
};

#define SIM_CHECKER(checker)                                                                                         \
	__attribute__((used, retain,                                                                                 \
		       section("sim_checkers"))) static const struct sim_checker *const checker##_entry = &(checker)

/* Report a violation: CPU, seed, event, trace tail; ends the run. */
NORETURN void sim_check_failed(const char *checker, const char *format, ...) PRINTF_LIKE(2, 3);
/* Seed and number of kernel entries so far, for messages. */
u64 sim_check_entries(void);

#endif
