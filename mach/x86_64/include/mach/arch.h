/* SPDX-License-Identifier: MIT */
/*
 * Inline part of the x86_64 machine; included through <mach/mach.h>, whose comments are the contracts.
 *
 * struct mach_thread is the first member of struct thread, struct mach_cpu the first of struct cpu: assembly and the
 * casts below rely on it. Registers of the call ABI:
 *   rax = call, rdi = handle, word[0..7] = rsi, rdx, r10, r8, r9, r12, r13, r14; rcx, r11 are lost; rbx, rbp, r15 stay.
 */
#ifndef MACH_ARCH_H
#define MACH_ARCH_H

#include <kernel/clock.h>
#include <kernel/debug.h>
#include <kernel/types.h>
#include <mach/atomic.h>
#include <mach/offsets.h>

struct cpu;
struct thread;

struct mach_frame {
	u64 call;
	u64 handle;
	u64 word[8];
	u64 ip; /* only mach_thread_init and mach_frame_skip write it */
	u64 sp;
	u64 flags; /* never written by the core */
	u64 rbx;
	u64 rbp;
	u64 r15;
	u64 rcx; /* rcx and r11 hold nothing when by_syscall */
	u64 r11;
};

/* All owned by the CPU that has the thread as current, or by whoever owns the thread otherwise. */
struct mach_thread {
	struct mach_frame frame;
	u8 by_syscall; /* the frame was saved by syscall: may be resumed by sysret; 1 while the thread is in user mode */
	void *fpu;     /* fxsave image, of kernel_fpu_area; NULL: the thread never used the FPU */
};

struct mach_tss {
	u32 reserved0;
	u32 rsp0_low, rsp0_high;
	u32 rsp12[4];
	u32 reserved1[2];
	u32 ist[14]; /* low, high of IST1 .. IST7 */
	u32 reserved2[2];
	u16 reserved3;
	u16 iomap; /* beyond the limit: no ports for user mode */
};

/*
 * (c) constant after mach_cpu_init, (o) owner CPU only.
 * FPU invariant: fpu_live <=> CR0.TS is clear <=> the registers hold the state of `current`.
 */
struct mach_cpu {
	struct cpu *self;	/* (c) */
	struct thread *current; /* (o) thread resumed last; NULL: it has left */
	u64 user_sp;		/* (o) scratch of the syscall entry */
	u64 stack_top;		/* (c) */
	bool fpu_live;		/* (o) */
	u32 irq_bits;		/* (o) acknowledged in kernel mode, not yet returned */
	struct clock clock;	/* (o) its first words are in the same line */
	u32 apic_id;		/* (c) */
	const void *trap;	/* (o) registers of the fatal trap, for the panic report; NULL = none */
	u64 stack_low;		/* (c) lowest address of the stack */
	u64 gdt[7];		/* (c) */
	struct mach_tss tss;	/* (c) */
};

struct mach_space {
	struct paddr root;
	u64 user_base; /* 0 */
};

/* Span of user addresses. The last page below the hole is never mapped, so that no syscall returns to the hole. */
#define MACH_USER_BYTES 0x00007ffffffff000ull

extern u64 mach_kernel_root; /* (c) physical address of the kernel's own root table */

static inline struct cpu *mach_this_cpu(void)
{
	struct cpu *cpu;

	__asm__ volatile("movq %%gs:%c1, %0" : "=r"(cpu) : "i"(CPU_SELF));
	return cpu;
}

void mach_clear(void *memory, size_t bytes); /* fpu.c */

static inline void mach_relax(void)
{
	__asm__ volatile("pause" ::: "memory");
}

/* --- direct map ---------------------------------------------------------------------------------------------------- */

static inline void *phys_to_virt(struct paddr p)
{
	return (void *)(p.pa + DIRECT_MAP_BASE);
}

/* Only for addresses that phys_to_virt gave: the kernel image is not in the direct map. */
static inline struct paddr virt_to_phys(const void *v)
{
	return (struct paddr){ (u64)v - DIRECT_MAP_BASE };
}

/* --- page table entries -------------------------------------------------------------------------------------------- */

/* The same as in mach.h, which defines them after this. */
#define PROT_WRITE 1u
#define PROT_EXEC 2u

#define PTE_PRESENT 0x1ull
#define PTE_WRITE 0x2ull
#define PTE_USER 0x4ull
#define PTE_WRITE_THROUGH 0x8ull
#define PTE_UNCACHED 0x10ull
#define PTE_ACCESSED 0x20ull
#define PTE_DIRTY 0x40ull
#define PTE_LARGE 0x80ull
#define PTE_GLOBAL 0x100ull
#define PTE_NX (1ull << 63)
#define PTE_ADDRESS 0x000ffffffffff000ull

/* Leaf of a user page. Accessed and dirty are set at once: nobody reads them, and the CPU need not write them. */
static inline u64 pte_make(struct paddr p, u32 prot)
{
	return p.pa | PTE_PRESENT | PTE_USER | PTE_ACCESSED | ((prot & PROT_WRITE) != 0 ? PTE_WRITE | PTE_DIRTY : 0) |
	       ((prot & PROT_EXEC) != 0 ? 0 : PTE_NX);
}

static inline u64 pte_table(struct paddr p)
{
	return p.pa | PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_ACCESSED;
}

static inline bool pte_present(u64 pte)
{
	return (pte & PTE_PRESENT) != 0;
}

static inline struct paddr pte_paddr(u64 pte)
{
	return (struct paddr){ pte & PTE_ADDRESS };
}

static inline u32 pte_prot(u64 pte)
{
	return ((pte & PTE_WRITE) != 0 ? PROT_WRITE : 0) | ((pte & PTE_NX) != 0 ? 0 : PROT_EXEC);
}

/* --- the clock (tsc.c) --------------------------------------------------------------------------------------------- */

#define MACH_NS_SHIFT 56u

struct mach_tsc {
	u64 ns_mul;
	u64 count_mul;		/* one-shot's counts in a ns, * 2^32: below 2^35 */
	bool deadline_mode;	/* the one-shot compares with the TSC */
	ATOMIC(u8) arm_slowly;	/* (a) deadline_mode, or CPUs are to be slow (kernel/clock.h) */
	ATOMIC(u64) stopped_at; /* (a) mach_clock_stop: what all CPUs see then; 0: not */
};
extern struct mach_tsc mach_tsc; /* (c) after tsc_init, but (a) */

/* Not before the loads that precede it. */
static inline u64 rdtsc_ordered(void)
{
	u64 low, high; /* rdtsc clears the upper halves */

	__asm__ volatile("lfence\n\trdtsc" : "=a"(low), "=d"(high)::"memory");
	return high << 32 | low;
}

static inline u64 mach_counter_ns(u64 counts)
{
	return (u64)((unsigned __int128)counts * mach_tsc.ns_mul >> MACH_NS_SHIFT);
}

/* The CPU's struct clock: by GS, without the address of its record. */
#define CPU_CLOCK_FIELD(field) (*(u64 __seg_gs *)(CPU_CLOCK + offsetof(struct clock, field)))

struct instant mach_clock_slow(void); /* tsc.c */

static inline struct instant mach_clock(void)
{
	u64 counter = rdtsc_ordered();

	if (unlikely(counter < CPU_CLOCK_FIELD(last)))
		return mach_clock_slow();
	CPU_CLOCK_FIELD(last) = counter;
	return (struct instant){ mach_counter_ns(counter - CPU_CLOCK_FIELD(base)) };
}

static inline __attribute__((always_inline)) struct instant mach_clock_quick(void)
{
	u64 passed = rdtsc_ordered() - CPU_CLOCK_FIELD(base);

	if (unlikely((i64)passed < 0))
		return mach_clock_slow();
	return (struct instant){ mach_counter_ns(passed) };
}

void apic_timer_set(u32 count);		    /* apic.c */
void mach_timer_arm_span_slow(u32 span_ns); /* tsc.c */

static inline void mach_timer_arm_span(u32 span_ns)
{
	/* Fits 64 bits. One more: never before the deadline by rounding. */
	u64 count = ((u64)span_ns * mach_tsc.count_mul >> 32) + 1;

	if (unlikely(!atomic_equals_relaxed(&mach_tsc.arm_slowly, 0)))
		mach_timer_arm_span_slow(span_ns);
	else
		apic_timer_set((u32)count);
}

/* --- parts of the interface that are a few instructions ------------------------------------------------------------ */

static inline void mach_space_load(struct mach_space *space)
{
	__asm__ volatile("movq %0, %%cr3" ::"r"(space != NULL ? space->root.pa : mach_kernel_root) : "memory");
}

static inline void mach_space_changed(struct mach_space *space, struct uaddr va, u64 old_pte, u64 new_pte)
{
	(void)space, (void)va, (void)old_pte, (void)new_pte;
}

static inline void mach_tlb_flush_page(struct mach_space *space, struct uaddr va)
{
	(void)space;
	__asm__ volatile("invlpg (%0)" ::"r"(va.va) : "memory");
}

static inline void mach_tlb_flush_space(struct mach_space *space)
{
	u64 root;

	(void)space;
	__asm__ volatile("movq %%cr3, %0\n\tmovq %0, %%cr3" : "=r"(root)::"memory");
}

static inline void mach_space_fini(struct mach_space *space)
{
	mach_clear((u8 *)phys_to_virt(space->root) + 2048, 2048); /* the kernel's half */
}

static inline void mach_frame_reuse(struct paddr frame)
{
	(void)frame;
}

static inline void mach_thread_fini(struct thread *thread)
{
	(void)thread;
}

/* Store the live FPU registers into the thread that is current, and set CR0.TS. */
void mach_fpu_store(struct mach_cpu *cpu, struct mach_thread *thread);

/* It may come back in this kernel entry after it ran on another CPU: the way out must not trust what it kept of it. */
static inline void mach_thread_leave(struct thread *thread)
{
	struct mach_cpu *cpu = (struct mach_cpu *)mach_this_cpu();

	if (cpu->current != thread)
		return;
	if (unlikely(cpu->fpu_live))
		mach_fpu_store(cpu, (struct mach_thread *)thread);
	cpu->current = NULL;
}

/* The kernel's stack is empty between entries: nothing is lost by leaving it as it is. */
static inline __attribute__((always_inline)) struct thread *mach_ipc_resume(struct thread *thread)
{
	KVERIFY(((struct mach_thread *)thread)->by_syscall);
	__asm__ volatile("jmp syscall_ipc_resume" ::"a"(thread) : "memory");
	__builtin_unreachable();
}

/* --- entries beyond those of mach.h that the core implements ------------------------------------------------------- */

/* A fatal exception in the kernel; mach_panic_registers prints the registers it happened with. Any stack. */
NORETURN void kernel_panic_trap(const char *what, u64 ip, u64 addr, u64 error);
/* Copy n <= 16 bytes at ip of the thread's space; false when not all are mapped. For mach_frame_skip. */
bool kernel_read_user_code(struct thread *thread, u64 ip, u8 *buf, size_t n);

#endif
