/* SPDX-License-Identifier: MIT */
/* A core as small as possible, for tests of the simulator itself: two CPUs, entries that a test may replace. */
#ifndef SELFTEST_H
#define SELFTEST_H

#include <kernel/cpu.h>
#include <kernel/debug.h>
#include <kernel/state.h>
#include <kernel/thread.h>
#include <string.h>

/* What the clock asks of the core. */
struct kernel kernel_state;

void klog(enum log_level level, const char *format, ...)
{
	(void)level;
	(void)format;
}

void sched_request(struct cpu *cpu, struct cpu *where, u32 request)
{
	(void)cpu;
	(void)where;
	(void)request;
}

static struct cpu cpus[4];
static u64 next_frame;

static inline void boot_cpus(const struct boot_info *info)
{
	next_frame = info->mem[1].start;
	for (u32 i = 0; i < info->cpu_count; i++) {
		cpus[i].id = i;
		mach_cpu_init(&cpus[i], NULL);
	}
}

static inline void start_cpus(const struct boot_info *info)
{
	for (u32 i = 1; i < info->cpu_count; i++) {
		(void)mach_cpu_start(&cpus[i]);
		while (!atomic_load_acquire(&cpus[i].online))
			mach_relax();
	}
}

static inline struct paddr take_frame(void)
{
	struct paddr frame = { next_frame };

	next_frame += PAGE_BYTES;
	mach_frame_reuse(frame);
	memset(phys_to_virt(frame), 0, PAGE_BYTES);
	return frame;
}

/* Store a leaf entry, 0 to unmap; returns the old one. */
static inline u64 set_leaf(struct mach_space *space, u64 va, u64 pte, bool tell)
{
	struct paddr table = space->root;

	for (u32 shift = 39; shift > PAGE_SHIFT; shift -= 9) {
		u64 *entry = (u64 *)phys_to_virt(table) + (va >> shift & 511);
		if (!pte_present(*entry))
			*entry = pte_table(take_frame());
		table = pte_paddr(*entry);
	}
	u64 *leaf = (u64 *)phys_to_virt(table) + (va >> PAGE_SHIFT & 511), old = *leaf;
	*leaf = pte;
	if (tell)
		mach_space_changed(space, (struct uaddr){ va }, old, pte);
	return old;
}

#define NO_RECLAIM                                                                                                   \
	void reclaim_kernel_enter(struct cpu *cpu)                                                                   \
	{                                                                                                            \
		(void)cpu;                                                                                           \
	}                                                                                                            \
	void reclaim_kernel_exit(struct cpu *cpu)                                                                    \
	{                                                                                                            \
		(void)cpu;                                                                                           \
	}
#define NO_ENTRIES                                                                                                   \
	NO_RECLAIM                                                                                                   \
	u64 kernel_syscall_fast(u64 call_word, struct thread *thread)                                                \
	{                                                                                                            \
		(void)thread, (void)call_word;                                                                       \
		return CALL_NOT_FAST;                                                                                \
	}                                                                                                            \
	struct thread *kernel_syscall_ipc(struct cpu *cpu, struct thread *thread, u64 call_word)                     \
	{                                                                                                            \
		(void)cpu, (void)thread, (void)call_word;                                                            \
		return NULL;                                                                                         \
	}                                                                                                            \
	struct thread *kernel_syscall_park(struct cpu *cpu, struct thread *thread)                                   \
	{                                                                                                            \
		(void)cpu, (void)thread;                                                                             \
		return NULL;                                                                                         \
	}                                                                                                            \
	struct thread *kernel_syscall(struct cpu *cpu)                                                               \
	{                                                                                                            \
		return cpu->current;                                                                                 \
	}                                                                                                            \
	struct thread *kernel_irq(struct cpu *cpu, u32 bits)                                                         \
	{                                                                                                            \
		(void)bits;                                                                                          \
		return cpu->current;                                                                                 \
	}                                                                                                            \
	struct thread *kernel_fault(struct cpu *cpu, const struct fault *fault)                                      \
	{                                                                                                            \
		(void)fault;                                                                                         \
		return cpu->current;                                                                                 \
	}

#endif
