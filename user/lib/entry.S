/* SPDX-License-Identifier: MIT */
/*
 * First instructions of a program and of its threads, on every machine; and the note that names its ABI.
 *
 * _start: rdi = const struct capos_startup *. The program is a static PIE at any base: its R_X86_64_RELATIVE entries
 * are applied here, before any C runs. The stack begins below the thread record, at the top of the first stack block.
 */
#define STARTUP_STACK_BASE 40
#define STARTUP_STACK_BYTES 48
#define THREAD_BYTES 256
#define DT_RELA 7
#define DT_RELASZ 8
#define R_X86_64_RELATIVE 8

	.hidden _DYNAMIC
	.hidden __ehdr_start
	.hidden user_start
	.hidden user_thread_start

	.section .text._start, "ax", @progbits
	.globl _start
	.type _start, @function
_start:
	xorl %ebp, %ebp
	cld
	movq STARTUP_STACK_BASE(%rdi), %rax
	addq STARTUP_STACK_BYTES(%rdi), %rax
	leaq -THREAD_BYTES(%rax), %rsp
	andq $-16, %rsp

	leaq __ehdr_start(%rip), %rcx	/* base */
	leaq _DYNAMIC(%rip), %rsi
	xorl %r8d, %r8d			/* relocations */
	xorl %r9d, %r9d			/* and their bytes */
.Ldynamic:
	movq (%rsi), %rax
	testq %rax, %rax
	jz .Lrelocate
	cmpq $DT_RELA, %rax
	cmoveq 8(%rsi), %r8
	cmpq $DT_RELASZ, %rax
	cmoveq 8(%rsi), %r9
	addq $16, %rsi
	jmp .Ldynamic
.Lrelocate:
	addq %rcx, %r8
	addq %r8, %r9			/* end */
.Lnext:
	cmpq %r9, %r8
	jae .Ldone
	cmpl $R_X86_64_RELATIVE, 8(%r8)
	jne .Lbad
	movq (%r8), %rax		/* offset */
	movq 16(%r8), %rdx		/* addend */
	addq %rcx, %rdx
	movq %rdx, (%rax, %rcx)
	addq $24, %r8
	jmp .Lnext
.Ldone:
	call user_start
.Lbad:
	ud2
	.size _start, . - _start

/* Entry of a further thread, on a fresh stack: rdi = argument, rsi = page, rdx = id, r10 = handle, r8 = function. */
	.section .text.user_thread_entry, "ax", @progbits
	.globl user_thread_entry
	.hidden user_thread_entry
	.type user_thread_entry, @function
user_thread_entry:
	xorl %ebp, %ebp
	cld
	subq $(THREAD_BYTES - 8), %rsp
	movq %rdx, %rcx
	movq %rsi, %rdx
	movq %rdi, %rsi
	movq %r8, %rdi
	movq %r10, %r8
	call user_thread_start
	ud2
	.size user_thread_entry, . - user_thread_entry

/* ELF note: name "capOS", type 1, description u32 ABI version 1 (start.c asserts the number). */
	.section .note.capos, "a", @note
	.balign 4
	.long 6
	.long 4
	.long 1
	.asciz "capOS"
	.balign 4
	.long 1

	.section .note.GNU-stack, "", @progbits
