/* SPDX-License-Identifier: MIT */
/*
 * What entry.S calls: traps and interrupts of user mode become entries of the core; interrupts in kernel mode become
 * bits; exceptions in kernel mode are fatal.
 */
#include "mach_priv.h"

#include <capos/iface.h>
#include <kernel/ipc.h>
#include <kernel/state.h>

_Static_assert(offsetof(struct mach_thread, frame.call) == THREAD_CALL, "offset");
_Static_assert(offsetof(struct mach_thread, frame.handle) == THREAD_HANDLE, "offset");
_Static_assert(offsetof(struct mach_thread, frame.word[0]) == THREAD_WORD0, "offset");
_Static_assert(offsetof(struct mach_thread, frame.word[7]) == THREAD_WORD7, "offset");
_Static_assert(offsetof(struct mach_thread, frame.ip) == THREAD_IP, "offset");
_Static_assert(offsetof(struct mach_thread, frame.sp) == THREAD_SP, "offset");
_Static_assert(offsetof(struct mach_thread, frame.flags) == THREAD_FLAGS, "offset");
_Static_assert(offsetof(struct mach_thread, frame.rbx) == THREAD_RBX, "offset");
_Static_assert(offsetof(struct mach_thread, frame.rbp) == THREAD_RBP, "offset");
_Static_assert(offsetof(struct mach_thread, frame.r15) == THREAD_R15, "offset");
_Static_assert(offsetof(struct mach_thread, frame.rcx) == THREAD_RCX, "offset");
_Static_assert(offsetof(struct mach_thread, frame.r11) == THREAD_R11, "offset");
_Static_assert(offsetof(struct mach_thread, by_syscall) == THREAD_BY_SYSCALL, "offset");
_Static_assert(offsetof(struct mach_cpu, self) == CPU_SELF, "offset");
_Static_assert(offsetof(struct mach_cpu, current) == CPU_CURRENT, "offset");
_Static_assert(offsetof(struct mach_cpu, user_sp) == CPU_USER_SP, "offset");
_Static_assert(offsetof(struct mach_cpu, stack_top) == CPU_STACK_TOP, "offset");
_Static_assert(offsetof(struct mach_cpu, fpu_live) == CPU_FPU_LIVE, "offset");
_Static_assert(offsetof(struct mach_cpu, clock) == CPU_CLOCK, "offset");
_Static_assert(offsetof(struct cpu, epoch) == CPU_EPOCH, "offset");
_Static_assert(offsetof(struct kernel, cap.epoch) == KERNEL_EPOCH, "offset");
_Static_assert(CALL_NOT_FAST == (u64)CALL_NOT_FAST_IMMEDIATE, "the same value");
_Static_assert(CAPOS_CALL_OP(1ull << CALL_WORD_REPLY_RECV_BIT) == CAPOS_OP_REPLY_RECV, "the bit of the operation");
_Static_assert(CALL_PARK == (u64)CALL_PARK_IMMEDIATE, "the same value");
_Static_assert(CAPOS_IFACE_COUNT == IFACE_KERNEL_LAST + 1, "the same value");
_Static_assert(sizeof(struct mach_tss) == 104, "fixed by the processor");

#define VECTOR_NMI 2u
#define VECTOR_DOUBLE_FAULT 8u
#define VECTOR_NO_FPU 7u
#define VECTOR_PAGE_FAULT 14u

static ATOMIC(u32) stopping;

static const char *const exception_names[32] = {
	"divide error",
	"debug exception",
	"NMI",
	"breakpoint",
	"overflow",
	"bound range",
	"invalid opcode",
	"no FPU",
	"double fault (kernel stack overflow?)",
	"coprocessor overrun",
	"invalid TSS",
	"segment not present",
	"stack fault",
	"general protection",
	"page fault",
	"reserved exception",
	"x87 error",
	"alignment check",
	"machine check",
	"SIMD error",
	"virtualization exception",
	"control protection",
};

static const u8 exception_causes[32] = {
	[0] = FAULT_DIVIDE,	[1] = FAULT_BREAKPOINT, [3] = FAULT_BREAKPOINT, [6] = FAULT_OPCODE,
	[10] = FAULT_PRIVILEGE, [11] = FAULT_PRIVILEGE, [12] = FAULT_STACK,	[13] = FAULT_PRIVILEGE,
	[14] = FAULT_PAGE,	[16] = FAULT_FPU,	[17] = FAULT_ALIGNMENT, [19] = FAULT_FPU,
};

/* The bit of an interrupt, which is acknowledged; 0 for a spurious one. */
static u32 irq_acknowledge(u64 vector)
{
	switch (vector) {
	case VECTOR_TIMER:
		apic_eoi();
		return IRQ_TIMER;
	case VECTOR_IPI:
		apic_eoi();
		return IRQ_IPI;
	case VECTOR_CONSOLE:
		apic_eoi();
		serial_irq();
		return IRQ_CONSOLE;
	default:
		return 0;
	}
}

/* What is not the timer. */
static __attribute__((noinline)) struct thread *trap_user_other(struct cpu *cpu, u64 vector, u64 error)
{
	struct mach_cpu *m = (struct mach_cpu *)cpu;
	struct mach_thread *thread = (struct mach_thread *)m->current;
	struct fault fault;

	if (vector >= ARRAY_COUNT(exception_causes)) {
		u32 bits = irq_acknowledge(vector);

		return bits == 0 ? m->current : kernel_irq(cpu, bits);
	}
	if (vector == VECTOR_NO_FPU) {
		if (fpu_trap(m, thread))
			return m->current;
		fault = (struct fault){ .cause = FAULT_NO_MEMORY, .ip = thread->frame.ip };
		return kernel_fault(cpu, &fault);
	}
	fault = (struct fault){ .ip = thread->frame.ip };
	fault.cause = exception_causes[vector] != 0 ? exception_causes[vector] : FAULT_OTHER;
	if (vector == VECTOR_PAGE_FAULT) {
		fault.addr = read_cr2();
		if (rdmsr(MSR_FS_BASE) != USER_FS_PAGE) {
			/* Someone on this CPU loaded FS: try again with the right base. */
			wrmsr(MSR_FS_BASE, USER_FS_PAGE);
			return m->current;
		}
		fault.detail =
			((error & 2) != 0 ? 1u : 0) | ((error & 16) != 0 ? 2u : 0) | ((error & 1) != 0 ? 4u : 0);
	}
	return kernel_fault(cpu, &fault);
}

struct thread *trap_user(struct cpu *cpu, u64 vector, u64 error)
{
	if (unlikely(vector != VECTOR_TIMER))
		return trap_user_other(cpu, vector, error);
	apic_eoi();
	return kernel_irq(cpu, IRQ_TIMER);
}

struct thread *trap_bad_ip(struct cpu *cpu, struct thread *thread)
{
	const struct mach_frame *frame = &((struct mach_thread *)thread)->frame;
	struct fault fault = { .cause = FAULT_PAGE, .detail = 2, .addr = frame->ip, .ip = frame->ip };

	((struct mach_cpu *)cpu)->current = thread;
	return kernel_fault(cpu, &fault);
}

void trap_kernel_irq(u64 vector)
{
	((struct mach_cpu *)mach_this_cpu())->irq_bits |= irq_acknowledge(vector);
}

void trap_stop_on_nmi(void)
{
	atomic_xchg(&stopping, 1u);
}

/* NMI, or an exception that nobody can survive. */
void trap_fatal(const struct trap_regs *regs)
{
	struct mach_cpu *m = (struct mach_cpu *)rdmsr(MSR_GS_BASE);
	const char *name = regs->vector < 32 && exception_names[regs->vector] != NULL ? exception_names[regs->vector]
										      : "unknown exception";

	if (regs->vector == VECTOR_NMI) {
		while (atomic_load_relaxed(&stopping) != 0)
			__asm__ volatile("cli\n\thlt");
		return;
	}
	if (m->trap != NULL) {
		say("\ncapOS: exception inside a panic: ");
		say(name);
		say(" at ");
		say_hex(regs->rip);
		say("\n");
		mach_exit(MACH_EXIT_PANIC);
	}
	m->trap = regs;
	kernel_panic_trap(name, regs->rip,
			  regs->vector == VECTOR_PAGE_FAULT || regs->vector == VECTOR_DOUBLE_FAULT ? read_cr2() : 0,
			  regs->error);
}
