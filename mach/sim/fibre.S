/* SPDX-License-Identifier: MIT */
/*
 * Stack switches: between the CPUs' kernel stacks (sim_fibre_switch), from user code into the kernel (gates), and
 * back (sim_leave, sim_leave_full).
 *
 * Gate ABI (user/lib/sim/gate.S calls it): call in rax, handle in rdi, words in rsi rdx r10 r8 r9 r12 r13 r14; rcx
 * and r11 are lost; everything else is kept. As with a real system call, only registers cross; the program's memory
 * is touched in user state only (the popped return address).
 */
#define FRAME_CALL 0
#define FRAME_HANDLE 8
#define FRAME_WORD(n) (16 + 8 * (n))
#define FRAME_IP 80
#define FRAME_SP 88
#define FRAME_FLAGS 96
#define FRAME_RBX 104
#define FRAME_RBP 112
#define FRAME_R15 120
#define FRAME_RCX 128
#define FRAME_R11 136
#define FRAME_MXCSR 144
#define FRAME_FULL 148

#define GATE_SYSCALL 0
#define GATE_HOOK 1
#define GATE_CLOCK 2
#define GATE_FAULT 3

#define FLAGS_UNWANTED 0x40500 /* AC, DF, TF: never in the simulator's own code */
#define MXCSR_DEFAULT 0x1f80

	.local gate_kind
	.comm gate_kind, 4, 4

	.text
	.globl sim_text_begin, sim_text_end
sim_text_begin:

	.macro gate name, kind
	.globl \name
	.type \name, @function
	.balign 16
\name:
	popq	%rcx
	movl	$\kind, gate_kind(%rip)
	jmp	gate_common
	.size \name, . - \name
	.endm

	gate sim_gate_syscall, GATE_SYSCALL
	gate sim_gate_hook, GATE_HOOK
	gate sim_gate_clock, GATE_CLOCK

	.type gate_common, @function
	.balign 16
gate_common:
	movq	sim_user_frame(%rip), %r11
	movq	%rax, FRAME_CALL(%r11)
	movq	%rdi, FRAME_HANDLE(%r11)
	movq	%rsi, FRAME_WORD(0)(%r11)
	movq	%rdx, FRAME_WORD(1)(%r11)
	movq	%r10, FRAME_WORD(2)(%r11)
	movq	%r8, FRAME_WORD(3)(%r11)
	movq	%r9, FRAME_WORD(4)(%r11)
	movq	%r12, FRAME_WORD(5)(%r11)
	movq	%r13, FRAME_WORD(6)(%r11)
	movq	%r14, FRAME_WORD(7)(%r11)
	movq	%rcx, FRAME_IP(%r11)
	movq	%rsp, FRAME_SP(%r11)
	movq	%rbx, FRAME_RBX(%r11)
	movq	%rbp, FRAME_RBP(%r11)
	movq	%r15, FRAME_R15(%r11)
	movl	$0, FRAME_FULL(%r11)
	movq	sim_kernel_sp(%rip), %rsp
	movb	$0, sim_in_user(%rip)
	pushfq
	popq	%rcx
	movq	%rcx, FRAME_FLAGS(%r11)
	testl	$FLAGS_UNWANTED, %ecx
	jnz	2f
1:	stmxcsr	FRAME_MXCSR(%r11)
	cmpl	$MXCSR_DEFAULT, FRAME_MXCSR(%r11)
	jne	3f
4:	xorl	%ebp, %ebp
	movl	gate_kind(%rip), %edi
	call	sim_gate_enter
	ud2
2:	pushq	$2
	popfq
	jmp	1b
3:	pushq	$MXCSR_DEFAULT
	ldmxcsr	(%rsp)
	popq	%rcx
	jmp	4b
	.size gate_common, . - gate_common

/* The signal handler "returns" here with rsp = top of the kernel stack; it has filled the frame. */
	.globl sim_fault_enter
	.type sim_fault_enter, @function
sim_fault_enter:
	pushq	$MXCSR_DEFAULT
	ldmxcsr	(%rsp)
	popq	%rcx
	xorl	%ebp, %ebp
	movl	$GATE_FAULT, %edi
	call	sim_gate_enter
	ud2
	.size sim_fault_enter, . - sim_fault_enter

/* void sim_leave(struct mach_frame *frame): as a system call returns; rcx = ip, r11 = 0. */
	.globl sim_leave
	.type sim_leave, @function
	.balign 16
sim_leave:
	movq	%rdi, %r11
	movb	$1, sim_in_user(%rip)
	cmpl	$MXCSR_DEFAULT, FRAME_MXCSR(%r11)
	je	1f
	ldmxcsr	FRAME_MXCSR(%r11)
1:	movq	FRAME_CALL(%r11), %rax
	movq	FRAME_HANDLE(%r11), %rdi
	movq	FRAME_WORD(0)(%r11), %rsi
	movq	FRAME_WORD(1)(%r11), %rdx
	movq	FRAME_WORD(2)(%r11), %r10
	movq	FRAME_WORD(3)(%r11), %r8
	movq	FRAME_WORD(4)(%r11), %r9
	movq	FRAME_WORD(5)(%r11), %r12
	movq	FRAME_WORD(6)(%r11), %r13
	movq	FRAME_WORD(7)(%r11), %r14
	movq	FRAME_RBX(%r11), %rbx
	movq	FRAME_RBP(%r11), %rbp
	movq	FRAME_R15(%r11), %r15
	movq	FRAME_IP(%r11), %rcx
	movq	FRAME_SP(%r11), %rsp
	xorl	%r11d, %r11d
	jmp	*%rcx
	.size sim_leave, . - sim_leave

/* void sim_leave_full(struct mach_frame *frame, const void *fpu): every register, by iretq. */
	.globl sim_leave_full
	.type sim_leave_full, @function
sim_leave_full:
	fxrstor64 (%rsi)
	movl	%ss, %eax
	pushq	%rax
	pushq	FRAME_SP(%rdi)
	pushq	FRAME_FLAGS(%rdi)
	movl	%cs, %eax
	pushq	%rax
	pushq	FRAME_IP(%rdi)
	movq	FRAME_CALL(%rdi), %rax
	movq	FRAME_WORD(0)(%rdi), %rsi
	movq	FRAME_WORD(1)(%rdi), %rdx
	movq	FRAME_WORD(2)(%rdi), %r10
	movq	FRAME_WORD(3)(%rdi), %r8
	movq	FRAME_WORD(4)(%rdi), %r9
	movq	FRAME_WORD(5)(%rdi), %r12
	movq	FRAME_WORD(6)(%rdi), %r13
	movq	FRAME_WORD(7)(%rdi), %r14
	movq	FRAME_RBX(%rdi), %rbx
	movq	FRAME_RBP(%rdi), %rbp
	movq	FRAME_R15(%rdi), %r15
	movq	FRAME_RCX(%rdi), %rcx
	movq	FRAME_R11(%rdi), %r11
	movq	FRAME_HANDLE(%rdi), %rdi
	movb	$1, sim_in_user(%rip)
	iretq
	.size sim_leave_full, . - sim_leave_full

/* void sim_fibre_switch(void **save_sp, void *load_sp) */
	.globl sim_fibre_switch
	.type sim_fibre_switch, @function
	.balign 16
sim_fibre_switch:
	pushq	%rbp
	pushq	%rbx
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, (%rdi)
	movq	%rsi, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	popq	%rbp
	ret
	.size sim_fibre_switch, . - sim_fibre_switch

/* First return of a new fibre. */
	.globl sim_fibre_start
	.type sim_fibre_start, @function
sim_fibre_start:
	xorl	%ebp, %ebp
	call	vcpu_main
	ud2
	.size sim_fibre_start, . - sim_fibre_start

sim_text_end:
	.section .note.GNU-stack, "", @progbits
