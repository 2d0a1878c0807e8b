/* SPDX-License-Identifier: MIT */
/*
 * The machine interface: everything the portable core asks of a machine, and the entries by which a machine calls
 * the core. Two implementations: mach/x86_64 (the real one) and mach/sim (a deterministic simulator).
 *
 * Model. The kernel is a function from an event to the next thread. The machine saves the user registers of the
 * current thread into its frame, switches to the CPU's one kernel stack, and calls an entry (kernel_syscall,
 * kernel_fault, kernel_irq). The entry returns the thread to resume, which the machine restores: the same or another
 * one. Inside, interrupts are off, except within mach_idle_wait and mach_irq_window, whose interrupts are only
 * acknowledged and returned as bits for the core to handle. Nothing is left on the kernel stack between entries.
 *
 * Unless a contract says otherwise: any CPU, kernel context, interrupts off, no allocation, no memory ordering
 * beyond program order, O(1).
 *
 * arch.h (by include path: mach/x86_64 or mach/sim) gives the inline part:
 *   struct mach_frame    user registers of a thread: u64 call, handle, word[8] (the call ABI), ip, sp, flags, then the
 *                        machine's own. An entry leaves results there; a restore loads all of them.
 *   struct mach_thread   per-thread machine state: frame, FPU area, FPU-used flag.
 *   struct mach_cpu      per-CPU machine state: stacks, descriptor tables, host fibre.
 *   struct mach_space    per-address-space machine state.
 *   mach_this_cpu()      the CPU record: one GS-relative load, never an APIC read.
 *   mach_clear(memory, bytes)   zero memory, 64-byte aligned and a multiple of 64 bytes, by the widest stores there are; the
 *                        user's FPU state stays.
 *   mach_relax()         body of every waiting loop: PAUSE; a point at which the simulator runs another CPU.
 *   phys_to_virt(struct paddr), virt_to_phys(const void *)   the direct map.
 *   pte_make(struct paddr, u32 prot), pte_table(struct paddr), pte_present(u64), pte_paddr(u64), pte_prot(u64)
 *                        entries of a four-level table of 512 entries each, 4 KiB pages (u64 values).
 *   MACH_USER_BYTES      span of user addresses of one space, from mach_space.user_base.
 */
#ifndef MACH_MACH_H
#define MACH_MACH_H

#include <kernel/types.h>
#include <mach/arch.h>
#include <mach/atomic.h>

/* Before mach_cpu_init of the boot CPU, mach_this_cpu() is NULL. */
struct cpu;
struct thread;

/* --- boot information, filled by the machine, constant after kernel_boot is called ------------------------------ */

enum mem_kind { MEM_USABLE, MEM_RESERVED, MEM_ARCHIVE };

struct mem_range {
	u64 start; /* bytes, page-aligned for MEM_USABLE (shrunk to pages) */
	u64 bytes;
	enum mem_kind kind;
};

/* What is known of one CPU before it runs. Ids are dense indices from 0; 0 is the boot CPU. Those of one core follow each other,
 * and so do those of a last-level cache, and of a package. */
struct cpu_desc {
	u32 apic_id; /* hardware id */
	u32 package;
	u32 llc; /* last-level-cache domain */
	u32 core;
	u32 smt; /* index within the core */
};

struct boot_info {
	const struct mem_range *mem; /* sorted, disjoint; the kernel image and boot tables are not in MEM_USABLE */
	u32 mem_count;
	struct paddr archive; /* newc archive, page-aligned, reachable through the direct map */
	u64 archive_bytes;    /* 0 = none */
	const struct cpu_desc *cpus;
	u32 cpu_count;	     /* 1 .. 4096 */
	const char *cmdline; /* never NULL */
	const char *machine; /* "x86_64/pvh", "x86_64/multiboot2", "sim" */
	u64 wall_clock_ns;   /* UTC ns since 1970 at clock 0; 0 = unknown */
	u64 clock_hz;	     /* rate of the clock behind mach_clock, for display */
	bool clocks_agree;   /* the machine promises that the counters of all CPUs go at one rate, and never stop */
};

/* --- entries: implemented by the core, called by the machine, on the CPU's kernel stack, interrupts off ---------- */

/* Boot CPU, once. Sets the core up, starts the other CPUs, returns the first thread to run. */
struct thread *kernel_boot(const struct boot_info *info);
/* Every other CPU, once, after mach_cpu_start; its record is already mach_this_cpu(). */
struct thread *kernel_cpu_boot(struct cpu *cpu);
/* The current thread made a system call: frame.call, .handle, .word hold it. */
struct thread *kernel_syscall(struct cpu *cpu);
/*
 * The same, tried first for calls whose interface is 1 .. CAPOS_IFACE_COUNT - 1: only call, handle and word[0..4] of the frame are
 * there, nothing else of the thread is saved. CALL_NOT_FAST: nothing happened, kernel_syscall is to be called. Else the result word
 * of the finished call, which changed at most word[0..4]; the thread goes on. For this one and the next the machine calls
 * reclaim_kernel_enter before, and reclaim_kernel_exit when it goes back to user mode straight from here (object.h).
 */
u64 kernel_syscall_fast(u64 call_word, struct thread *thread);
#define CALL_NOT_FAST (~0ull)
/* CALL_PARK: likewise, but kernel_syscall_park before kernel_syscall. */
#define CALL_PARK (~0ull - 1)
/* The same for calls that kernel_syscall_fast is not for, with the frame complete: a call of words alone to a server that waits, or
 * the reply to such a call and the next receive. The machine has stored the thread's FPU state, so that it may run elsewhere without
 * mach_thread_leave. NULL: nothing happened, kernel_syscall is to be called. Else the thread to
 * resume. */
struct thread *kernel_syscall_ipc(struct cpu *cpu, struct thread *thread, u64 call_word);
/* Within kernel_syscall_ipc, for its result: the thread to resume is one that is in a system call. May not return. */
static inline struct thread *mach_ipc_resume(struct thread *thread);
/* The same for the call words PARK_WAIT_WORD and PARK_WAKE_WAIT_WORD, after CALL_PARK. */
struct thread *kernel_syscall_park(struct cpu *cpu, struct thread *thread);

enum fault_cause {
	FAULT_PAGE = 1,	 /* addr = accessed address; detail: bit 0 write, bit 1 execute, bit 2 present */
	FAULT_PRIVILEGE, /* general protection */
	FAULT_DIVIDE,
	FAULT_OPCODE, /* undefined instruction */
	FAULT_ALIGNMENT,
	FAULT_BREAKPOINT,
	FAULT_FPU,	 /* x87 or SIMD exception */
	FAULT_STACK,	 /* stack segment, non-canonical stack */
	FAULT_NO_MEMORY, /* FPU area could not be given */
	FAULT_OTHER,
};

struct fault {
	u32 cause; /* enum fault_cause */
	u32 detail;
	u64 addr;
	u64 ip;
};

/* The current thread faulted in user mode. */
struct thread *kernel_fault(struct cpu *cpu, const struct fault *fault);

/* The current thread uses the FPU for the first time: FPU_AREA_BYTES, 64-byte aligned, charged to its process, its own until it ends.
 * NULL: there is no memory, or its quota is used up (then the machine tells the core of FAULT_NO_MEMORY). */
#define FPU_AREA_BYTES 512u
void *kernel_fpu_area(struct thread *thread);

/* Interrupt sources, as bits. */
#define IRQ_TIMER 1u   /* this CPU's one-shot expired (perhaps early or stale: the core compares with the clock) */
#define IRQ_IPI 2u     /* another CPU called mach_ipi_send for this one */
#define IRQ_CONSOLE 4u /* bytes can be read from or written to the console */

/* Interrupts in `bits` arrived in user mode of the current thread; already acknowledged. */
struct thread *kernel_irq(struct cpu *cpu, u32 bits);

/* --- time ------------------------------------------------------------------------------------------------------- */

/*
 * Nanoseconds since boot: monotonic, and in order across CPUs (a value read after another CPU's read is not less): by struct clock of
 * the CPU (kernel/clock.h). While its counter goes: ns(counter - base), and that becomes `last`; clock_read where it is below that.
 */
struct instant mach_clock(void);
/* The same for who looks himself whether that is earlier than what he has (account_elapsed_ns), or may be told nonsense then: a few
 * instructions less. It is not compared with `last`; clock_read where counter - base is negative. */
struct instant mach_clock_quick(void);
/* What struct clock is about: this CPU's counter now; a span of it in ns. */
u64 mach_counter(void);
u64 mach_counter_ns(u64 counts);
/* From now on CPUs become slow (kernel/clock.h): mach_timer_arm_span, as mach_timer_arm, calls clock_arm on those. */
void mach_clock_distrusted(void);
/* This CPU's one-shot, by its own count. */
struct timer_count {
	u64 span_ns;	/* that it was armed for; */
	u64 counted_ns; /* since then, at most that; 0: it does not count by itself (TSC deadline), or was not armed */
	bool clipped;	/* that is less than the deadline asked for: the clock was in clock.armed_ns */
};
struct timer_count mach_timer_count(void);
/* From now on every CPU's counter stands, for proofs; clock_distrust has been called. */
void mach_clock_stop(void);
/* A counter that is neither the clock's nor the one-shot's, for proofs, and a span of it. Resolution 1 us; wraps after 50 ms. */
u32 mach_reference(void);
u64 mach_reference_ns(u32 begin, u32 end);
/* Arm this CPU's one-shot for an absolute instant (past: as soon as possible), replacing the former one;
 * INSTANT_NEVER disarms. An expiry that is already pending may still be delivered. */
void mach_timer_arm(struct instant deadline);
/* The same for span_ns (at most MACH_TIMER_SPAN_MAX_NS) after a reading of the clock in this kernel entry, without another one: late by
 * the time since that reading. */
#define MACH_TIMER_SPAN_MAX_NS (1u << 28)
void mach_timer_arm_span(u32 span_ns);

/* --- CPUs ------------------------------------------------------------------------------------------------------- */

/* Bytes of per-CPU memory (stacks, tables) that the machine wants the core to give for a CPU, and its initialisation
 * before mach_cpu_start. `memory` is zeroed, page-aligned, stays for ever. Boot CPU: makes `cpu` mach_this_cpu(). */
size_t mach_cpu_bytes(void);
void mach_cpu_init(struct cpu *cpu, void *memory);
/* Start CPU; false when it did not come up in time. Called once for each, in order, by the boot CPU, which waits
 * (interrupts off, with mach_relax) for cpu->online, which kernel_cpu_boot sets. */
bool mach_cpu_start(struct cpu *cpu);
/* Raise IRQ_IPI on another CPU. Release: what was stored before is seen by its handler. Full barrier. */
void mach_ipi_send(struct cpu *cpu);
/* Interrupts on and wait for one, atomically against the check before it; returns the acknowledged bits (may be 0). */
u32 mach_idle_wait(struct cpu *cpu);
/* Interrupts on for a moment; returns the acknowledged bits, 0 when none was pending. */
u32 mach_irq_window(struct cpu *cpu);

/* --- threads ---------------------------------------------------------------------------------------------------- */

/* Registers of a new thread, whose record is zero: starts at ip with the given stack and argument (first C argument). All else is 0. */
void mach_thread_init(struct thread *thread, struct uaddr ip, struct uaddr sp, u64 arg);
/* The thread leaves this CPU: its FPU state is stored if it used it. Called before anyone else may run it. */
void mach_thread_leave(struct thread *thread);
/* Advance ip over the instruction that faulted; false when its length cannot be told. For fault handlers. */
bool mach_frame_skip(struct thread *thread);
/* The machine's own memory of a thread ends (simulator: fibre). Never on a CPU then. */
void mach_thread_fini(struct thread *thread);

/* --- address spaces --------------------------------------------------------------------------------------------- */

/* Protection bits of a mapping; a user page is always readable. Write and execute together are refused by the core. */
#define PROT_WRITE 1u
#define PROT_EXEC 2u

/* Make an empty space out of a zeroed root table. Sets user_base. */
void mach_space_init(struct mach_space *space, struct paddr root);
/* Make `space`, which is not, current on this CPU (NULL: the kernel's own). Full barrier. */
void mach_space_load(struct mach_space *space);
/* The core changed the leaf entry of `va` in the tables (already stored). The simulator mirrors it; x86_64: nothing. */
void mach_space_changed(struct mach_space *space, struct uaddr va, u64 old_pte, u64 new_pte);
/* Forget translations on this CPU: one page, or all user pages of the current space. */
void mach_tlb_flush_page(struct mach_space *space, struct uaddr va);
void mach_tlb_flush_space(struct mach_space *space);
/* The space is loaded nowhere and ends; the core has emptied its root table, which is zero after this. */
void mach_space_fini(struct mach_space *space);
/* Frame is about to be given to a new owner: the simulator checks that no CPU can still reach it by a stale entry. */
void mach_frame_reuse(struct paddr frame);

/* --- devices the kernel itself needs ----------------------------------------------------------------------------- */

/* Console: accept up to n bytes without waiting; returns how many (0: retry after IRQ_CONSOLE). One CPU at a time. */
size_t mach_console_write(const char *bytes, size_t n);
/* Next input byte, or -1. One CPU at a time. */
int mach_console_read(void);
/* Write everything, waiting as long as it takes: panic and boot only. */
void mach_console_write_sync(const char *bytes, size_t n);
/* A random word from the hardware; false when there is no source or it fails. At most about 100 attempts. */
bool mach_entropy(u64 *out);
/* Wall clock is read once at boot (boot_info). */

/* --- the end ----------------------------------------------------------------------------------------------------- */

enum mach_exit { MACH_EXIT_OK, MACH_EXIT_TESTS_FAILED, MACH_EXIT_PANIC, MACH_EXIT_BAD_MANIFEST };
/* End the machine with a code for the harness; without a harness: power off. */
NORETURN void mach_exit(enum mach_exit code);
/* Stop all other CPUs (best effort), for panic. */
void mach_stop_others(void);
/* Return addresses of the current call stack, innermost first; returns how many. */
size_t mach_backtrace(u64 *pcs, size_t max);
/* Print the machine registers of interest through the panic console. */
void mach_panic_registers(void);
/* Name of a kernel address and the offset into it; NULL when unknown. */
const char *mach_symbol(u64 pc, u64 *offset);

#endif
