/* SPDX-License-Identifier: MIT */
/*
 * A program's way into the simulator: the system call and the compilers' coverage hook. The gate page at a fixed
 * address holds the functions' addresses; the page after it, the nanoseconds until the hook must call.
 * No part of it may be instrumented: it is assembly.
 *
 * void capos_syscall(struct capos_regs *regs), regs = { u64 call, handle, word[8] }: as the real one, but with a call
 * of the gate for the instruction. Registers: mach/sim/fibre.S.
 */
#define GATE_SYSCALL 0x1ff000000000
#define GATE_HOOK 0x1ff000000008
#define GATE_CLOCK 0x1ff000000010
#define GATE_CREDIT 0x1ff000001000

	.text

	.globl capos_syscall
	.type capos_syscall, @function
	.balign 16
capos_syscall:
	pushq	%rbx
	pushq	%r12
	pushq	%r13
	pushq	%r14
	movq	%rdi, %rbx
	movq	0(%rbx), %rax
	movq	8(%rbx), %rdi
	movq	16(%rbx), %rsi
	movq	24(%rbx), %rdx
	movq	32(%rbx), %r10
	movq	40(%rbx), %r8
	movq	48(%rbx), %r9
	movq	56(%rbx), %r12
	movq	64(%rbx), %r13
	movq	72(%rbx), %r14
	movabsq	$GATE_SYSCALL, %r11
	call	*(%r11)
	movq	%rax, 0(%rbx)
	movq	%rdi, 8(%rbx)
	movq	%rsi, 16(%rbx)
	movq	%rdx, 24(%rbx)
	movq	%r10, 32(%rbx)
	movq	%r8, 40(%rbx)
	movq	%r9, 48(%rbx)
	movq	%r12, 56(%rbx)
	movq	%r13, 64(%rbx)
	movq	%r14, 72(%rbx)
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	ret
	.size capos_syscall, . - capos_syscall

/* Called at every basic block: 1 ns passes. */
	.globl __sanitizer_cov_trace_pc
	.type __sanitizer_cov_trace_pc, @function
	.balign 16
__sanitizer_cov_trace_pc:
	movabsq	$GATE_CREDIT, %r11
	subq	$1, (%r11)
	js	1f
	ret
1:	movabsq	$GATE_HOOK, %r11
	jmp	*(%r11)
	.size __sanitizer_cov_trace_pc, . - __sanitizer_cov_trace_pc

/* void capos_sim_spend(u64 ns): as so many basic blocks. */
	.globl capos_sim_spend
	.type capos_sim_spend, @function
	.balign 16
capos_sim_spend:
	movabsq	$GATE_CREDIT, %r11
	subq	%rdi, (%r11)
	js	1f
	ret
1:	movabsq	$GATE_HOOK, %r11
	jmp	*(%r11)
	.size capos_sim_spend, . - capos_sim_spend

/* u64 capos_sim_clock(void): the clock without a system call, as RDTSC would be. */
	.globl capos_sim_clock
	.type capos_sim_clock, @function
	.balign 16
capos_sim_clock:
	movabsq	$GATE_CLOCK, %r11
	jmp	*(%r11)
	.size capos_sim_clock, . - capos_sim_clock

	.section .note.GNU-stack, "", @progbits
