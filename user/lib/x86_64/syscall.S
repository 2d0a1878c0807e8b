/* SPDX-License-Identifier: MIT */
/*
 * void capos_syscall(struct capos_regs *regs): loads the ten registers of a call, enters the kernel, stores them back.
 * The kernel preserves rbx, rbp, r15 and rsp; rcx and r11 are lost.
 */
	.section .text.capos_syscall, "ax", @progbits
	.balign 16
	.globl capos_syscall
	.type capos_syscall, @function
capos_syscall:
	pushq %rbx
	pushq %r12
	pushq %r13
	pushq %r14
	movq %rdi, %rbx
	movq 0x00(%rbx), %rax
	movq 0x10(%rbx), %rsi
	movq 0x18(%rbx), %rdx
	movq 0x20(%rbx), %r10
	movq 0x28(%rbx), %r8
	movq 0x30(%rbx), %r9
	movq 0x38(%rbx), %r12
	movq 0x40(%rbx), %r13
	movq 0x48(%rbx), %r14
	movq 0x08(%rbx), %rdi
	syscall
	movq %rax, 0x00(%rbx)
	movq %rdi, 0x08(%rbx)
	movq %rsi, 0x10(%rbx)
	movq %rdx, 0x18(%rbx)
	movq %r10, 0x20(%rbx)
	movq %r8, 0x28(%rbx)
	movq %r9, 0x30(%rbx)
	movq %r12, 0x38(%rbx)
	movq %r13, 0x40(%rbx)
	movq %r14, 0x48(%rbx)
	popq %r14
	popq %r13
	popq %r12
	popq %rbx
	ret
	.size capos_syscall, . - capos_syscall

	.section .note.GNU-stack, "", @progbits
