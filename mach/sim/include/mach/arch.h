/* SPDX-License-Identifier: MIT */
/*
 * The inline part of the machine interface in the simulator (contracts: mach/mach.h).
 *
 * Model. "Physical" memory is one memfd, mapped at a fixed host address (the direct map) and, page by page, into the
 * window of host addresses that each address space owns: a user address is a host address. A program's registers are
 * laid out in the frame as the gate (fibre.S) stores them; the offsets are asserted in entry.c.
 *
 * Every atomic and machine call is a sim point: it costs virtual time, and when the CPU's credit is used up another
 * CPU may run. The credit lies at a fixed address, so that the programs' coverage hook can count it down as well.
 */
#ifndef MACH_ARCH_H
#define MACH_ARCH_H

#include <kernel/clock.h>
#include <kernel/types.h>

struct cpu;

/* --- fixed host addresses ------------------------------------------------------------------------------------- */

#define SIM_PHYS_BASE 0x1e0000000000ull	   /* direct map */
#define SIM_GATE_BASE 0x1ff000000000ull	   /* read-only page of function addresses, then the credit's page */
#define SIM_CREDIT_ADDR 0x1ff000001000ull  /* i64: ns that the running CPU may go on before the slow path */
#define SIM_WINDOWS_BASE 0x200000000000ull /* first window of user addresses */
#define SIM_WINDOW_BYTES (1ull << 32)

#define MACH_USER_BYTES SIM_WINDOW_BYTES

/* --- sim points ----------------------------------------------------------------------------------------------- */

/* Virtual cost of a point in ns; jitter and stalls are added by the slow path. */
#define SIM_COST_ATOMIC 24
#define SIM_COST_RMW 40
#define SIM_COST_CALL 48
#define SIM_COST_RELAX 60

#define SIM_CREDIT (*(i64 *)SIM_CREDIT_ADDR)

/* Credit is used up: advance this CPU's clock, drain some stores, perhaps let other CPUs run. */
void sim_point_slow(void);

static inline void sim_point(i64 cost_ns)
{
	SIM_CREDIT -= cost_ns;
	if (unlikely(SIM_CREDIT < 0))
		sim_point_slow();
}

static inline void mach_clear(void *memory, size_t bytes)
{
	__builtin_memset(memory, 0, bytes);
}

static inline void mach_relax(void)
{
#ifndef CAPOS_UNIT
	sim_point(SIM_COST_RELAX);
#endif
}

/* --- machine state of the core's records ---------------------------------------------------------------------- */

struct mach_frame {
	u64 call;    /* rax */
	u64 handle;  /* rdi */
	u64 word[8]; /* rsi rdx r10 r8 r9 r12 r13 r14 */
	u64 ip;
	u64 sp;
	u64 flags;
	u64 rbx;
	u64 rbp;
	u64 r15;
	u64 rcx; /* rcx and r11 only when full */
	u64 r11;
	u32 mxcsr;
	u32 full; /* interrupted at an arbitrary instruction: every register and the FPU count */
};

struct mach_thread {
	struct mach_frame frame;
	u8 fpu[512]; /* FXSAVE image, when frame.full */
};

struct mach_cpu {
	struct vcpu *vcpu;  /* (c) the simulator's own record */
	struct clock clock; /* (o) */
};

struct mach_space {
	u64 user_base;
	struct paddr root;
	u32 window;
	u32 loads; /* CPUs that have it loaded */
};

extern struct cpu *sim_cpu_record;

static inline struct cpu *mach_this_cpu(void)
{
	return sim_cpu_record;
}

/* --- direct map and page-table entries ------------------------------------------------------------------------ */

static inline void *phys_to_virt(struct paddr frame)
{
	return (void *)(SIM_PHYS_BASE + frame.pa);
}

static inline struct paddr virt_to_phys(const void *virt)
{
	return (struct paddr){ (u64)virt - SIM_PHYS_BASE };
}

/* Present 0, write 1, execute 2 (bits of PROT_… shifted by one), table 3, frame 12..51. */
#define SIM_PTE_PRESENT 1ull
#define SIM_PTE_TABLE 8ull
#define SIM_PTE_FRAME 0x000ffffffffff000ull

static inline u64 pte_make(struct paddr frame, u32 prot)
{
	return (frame.pa & SIM_PTE_FRAME) | (u64)(prot & 3u) << 1 | SIM_PTE_PRESENT;
}

static inline u64 pte_table(struct paddr table)
{
	return (table.pa & SIM_PTE_FRAME) | SIM_PTE_TABLE | SIM_PTE_PRESENT;
}

static inline bool pte_present(u64 pte)
{
	return (pte & SIM_PTE_PRESENT) != 0;
}

static inline struct paddr pte_paddr(u64 pte)
{
	return (struct paddr){ pte & SIM_PTE_FRAME };
}

static inline u32 pte_prot(u64 pte)
{
	return (u32)(pte >> 1) & 3u;
}

static inline struct thread *mach_ipc_resume(struct thread *thread)
{
	return thread;
}

#endif
