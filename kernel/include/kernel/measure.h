/* SPDX-License-Identifier: MIT */
/*
 * What the measure build counts (abi/capos/measure.h). In every other build the macros and hooks are nothing: no instruction, no
 * field, no memory (tools/measure-free compares the code).
 *
 * A CPU writes its own values only, those of the phase in which it does; who reads adds them up. Time is mach_clock's.
 */
#ifndef KERNEL_MEASURE_H
#define KERNEL_MEASURE_H

#include <capos/measure.h>
#include <kernel/types.h>

struct cpu;
struct entity;
struct spinlock;

#ifdef CAPOS_MEASURE

/* Give a CPU its values (boot only). */
void measure_init_cpu(struct cpu *cpu);
void measure_count(struct cpu *cpu, enum capos_measure_counter counter, u64 n);
/* The next queue or frame lock that this CPU takes is taken there. */
void measure_site(struct cpu *cpu, enum capos_measure_site site);
/* By lock.h: it is taken, after so long (0: at once); it is about to be given back; it was not to be had. */
void measure_lock_taken(const struct spinlock *lock, bool contended, u64 wait_ns);
void measure_lock_given(const struct spinlock *lock);
void measure_lock_missed(const struct spinlock *lock);
u64 measure_now_ns(void);
void measure_inbox_push(struct entity *entity);
void measure_inbox_drain(const struct entity *entity);
/* Interrupts came, in user mode or in a window of the kernel: of the timer's, what kind, and where the program was. */
void measure_timer(struct cpu *cpu, u32 bits, bool user);
/* From now on counts go there: the former phase. False: this build does not measure. */
MUST_CHECK bool measure_set_phase(u64 phase, u64 *former);
/* `count` values from `first` on; for the calls of trace. */
MUST_CHECK bool measure_read(const struct cpu *cpu, u64 phase, u32 first, u32 count, u64 *out);

#define MEASURE_COUNT(cpu, counter, n) measure_count((cpu), CAPOS_MEASURE_##counter, (n))
#define MEASURE_SITE(cpu, site) measure_site((cpu), CAPOS_MEASURE_AT_##site)
#define MEASURE_DO(statement) statement

#else

static inline void measure_init_cpu(struct cpu *cpu)
{
	(void)cpu;
}
MUST_CHECK static inline bool measure_set_phase(u64 phase, u64 *former)
{
	(void)phase, (void)former;
	return false;
}
MUST_CHECK static inline bool measure_read(const struct cpu *cpu, u64 phase, u32 first, u32 count, u64 *out)
{
	(void)cpu, (void)phase, (void)first, (void)count, (void)out;
	return false;
}

#define MEASURE_COUNT(cpu, counter, n) ((void)0)
#define MEASURE_SITE(cpu, site) ((void)0)
#define MEASURE_DO(statement) ((void)0)

#endif

#endif
