/* SPDX-License-Identifier: MIT */
/*
 * Assertions, panic, the kernel log. KASSERT is O(1) and stands in every build; KVERIFY walks structures and stands
 * in debug and simulation builds only. Caller input is never asserted.
 */
#ifndef KERNEL_DEBUG_H
#define KERNEL_DEBUG_H

#include <kernel/types.h>

#ifndef CAPOS_DEBUG
#define CAPOS_DEBUG 0
#endif

/* Print cause, CPU, registers, backtrace with names; stop all CPUs; end the machine with MACH_EXIT_PANIC. */
NORETURN void panic(const char *format, ...) PRINTF_LIKE(1, 2);
/* The machine calls this for an exception in kernel mode. */
NORETURN void kernel_panic_trap(const char *what, u64 ip, u64 addr, u64 error);

#define KASSERT(condition)                                                                                           \
	do {                                                                                                         \
		if (unlikely(!(condition)))                                                                          \
			panic("assertion failed: %s (%s:%d)", #condition, __FILE__, __LINE__);                       \
	} while (0)
#define KVERIFY(condition)                                                                                           \
	do {                                                                                                         \
		if (CAPOS_DEBUG && !(condition))                                                                     \
			panic("verification failed: %s (%s:%d)", #condition, __FILE__, __LINE__);                    \
	} while (0)

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
/* One line (no newline) into the log ring and, up to the console level of the manifest, to the console. Any context
 * except under RANK_LOG. Never waits: a line that finds the console busy is only in the ring. */
void klog(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);

/* Walk every structure of the core (debug builds; no-op in release). Any CPU in kernel context in the simulator only,
 * where no other CPU runs meanwhile. */
void kernel_verify(void);
/* Should this allocation fail? Defined by the simulator for fault injection, absent (weak) elsewhere. */
bool fault_inject_alloc(void) __attribute__((weak));

struct cpu;
struct entity;
/* For the simulator's checkers (debug builds), under the queue's lock: `chosen`, which is not in the tree, runs next; `current`
 * competed, or is it, or NULL. Absent elsewhere. */
void observe_choice(struct cpu *cpu, const struct entity *chosen, const struct entity *current) __attribute__((weak));
#define OBSERVE_CHOICE(cpu, chosen, current)                                                                         \
	do {                                                                                                         \
		if (CAPOS_DEBUG && observe_choice != NULL)                                                           \
			observe_choice((cpu), (chosen), (current));                                                  \
	} while (0)
/* The same: `cpu` has charged its current entity. Its queue's lock may be anybody's. */
void observe_charge(struct cpu *cpu) __attribute__((weak));
#define OBSERVE_CHARGE(cpu)                                                                                          \
	do {                                                                                                         \
		if (CAPOS_DEBUG && observe_charge != NULL)                                                           \
			observe_charge(cpu);                                                                         \
	} while (0)

#endif
