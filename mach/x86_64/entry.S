/* SPDX-License-Identifier: MIT */
/*
 * Ways into the kernel and back: system call, traps and interrupts, and the resumption of a thread.
 *
 * From user mode every entry saves the user registers straight into the current thread (its struct mach_thread is at
 * offset 0), takes the CPU's stack from its top and calls C, which returns the thread to resume. GS addresses struct
 * cpu in the kernel and nothing (base 0) in user mode; user mode cannot change either base (FSGSBASE is off).
 *
 * From kernel mode there are only interrupts inside mach_idle_wait and mach_irq_window (light path, on the same
 * stack), and fatal exceptions. NMI, #DF, #MC and #DB have stacks of their own (IST); NMI, #DF, #MC and fatal
 * exceptions look at the GS base itself to know whose it is.
 */
#include <mach/offsets.h>

	.section .text.entry, "ax"
	.code64

/* --- system call: rcx = user ip, r11 = user flags; IF, DF, TF, AC, NT cleared by SFMASK ---------------------------- */

	.balign 64
	.globl syscall_entry
syscall_entry:
	swapgs
	movq %rsp, %gs:CPU_USER_SP
	movq %gs:CPU_CURRENT, %rsp
	movq %rax, THREAD_CALL(%rsp)
	movq %rdi, THREAD_HANDLE(%rsp)
	movq %rsi, THREAD_WORD0(%rsp)
	movq %rdx, THREAD_WORD1(%rsp)
	movq %r10, THREAD_WORD2(%rsp)
	movq %r8, THREAD_WORD3(%rsp)
	movq %r9, THREAD_WORD4(%rsp)
	movq %rcx, THREAD_IP(%rsp)
	movq %r11, THREAD_FLAGS(%rsp)
	movq %rsp, %rsi
	movq %gs:CPU_STACK_TOP, %rsp
	/* reclaim_kernel_enter */
	movq kernel_state + KERNEL_EPOCH(%rip), %rcx
	leaq 1(%rcx,%rcx), %rcx
	xchgq %rcx, %gs:CPU_EPOCH
	/* Only calls of the kernel's own interfaces may end at once. */
	leal -1(%rax), %ecx
	cmpl $IFACE_KERNEL_LAST - 1, %ecx
	ja syscall_ipc
	/* What C preserves need not be saved for a call that ends at once. */
	movq %rax, %rdi
	call kernel_syscall_fast
	movq %gs:CPU_CURRENT, %r11
	cmpq $CALL_PARK_IMMEDIATE, %rax
	jae syscall_general
	movq $0, %gs:CPU_EPOCH		/* reclaim_kernel_exit */
	movq THREAD_WORD4(%r11), %r9
	movq THREAD_WORD3(%r11), %r8
	movq THREAD_WORD2(%r11), %r10
	movq THREAD_WORD1(%r11), %rdx
	movq THREAD_WORD0(%r11), %rsi
	movq THREAD_HANDLE(%r11), %rdi
	movq THREAD_IP(%r11), %rcx
	movq THREAD_FLAGS(%r11), %r11
	movq %gs:CPU_USER_SP, %rsp
	swapgs
	sysretq

	/* Back to the thread in rax: all of it; from the words on, for one whose rbx, rbp and r15 are loaded.
	 * sysret faults in the kernel on an ip in the hole. This ip is one behind a syscall instruction, and the page below the
	 * hole is never mapped; what writes other ips (mach_thread_init, mach_frame_skip) is not BY_SYSCALL. */
	.macro RESUME
	movq %rax, %gs:CPU_CURRENT
	cmpb $0, THREAD_BY_SYSCALL(%rax)
	je resume_iret
	RESUME_PRESERVED
	.endm
	.macro RESUME_PRESERVED
	movq THREAD_RBX(%rax), %rbx
	movq THREAD_RBP(%rax), %rbp
	movq THREAD_R15(%rax), %r15
	.endm
	.macro RESUME_WORDS
	movq THREAD_IP(%rax), %rcx
	movq THREAD_FLAGS(%rax), %r11
	movq THREAD_WORD7(%rax), %r14
	movq THREAD_WORD6(%rax), %r13
	movq THREAD_WORD5(%rax), %r12
	movq THREAD_WORD4(%rax), %r9
	movq THREAD_WORD3(%rax), %r8
	movq THREAD_WORD2(%rax), %r10
	movq THREAD_WORD1(%rax), %rdx
	movq THREAD_WORD0(%rax), %rsi
	movq THREAD_HANDLE(%rax), %rdi
	movq THREAD_SP(%rax), %rsp
	movq THREAD_CALL(%rax), %rax
	swapgs
	sysretq
	.endm

	/* What is left of the registers. */
	.macro SAVE_REST thread
	movq %r12, THREAD_WORD5(\thread)
	movq %r13, THREAD_WORD6(\thread)
	movq %r14, THREAD_WORD7(\thread)
	movq %rbx, THREAD_RBX(\thread)
	movq %rbp, THREAD_RBP(\thread)
	movq %r15, THREAD_R15(\thread)
	movq %gs:CPU_USER_SP, %rdx
	movq %rdx, THREAD_SP(\thread)
	.endm

syscall_general:			/* r11 = thread; equal: CALL_PARK */
	SAVE_REST %r11
	je syscall_park
	/* A reply may carry a number like that of an interface. */
	movq THREAD_CALL(%r11), %rax
	btq $CALL_WORD_REPLY_RECV_BIT, %rax
	jc 1f
2:	movq %gs:CPU_SELF, %rdi
	call kernel_syscall
	/* If the thread never left this CPU (mach_thread_leave), C preserved its rbx, rbp and r15. */
	cmpq %rax, %gs:CPU_CURRENT
	je resume_words
	jmp resume_thread

	.balign 64
syscall_ipc:				/* rsi = thread, rax = call word */
	SAVE_REST %rsi
	cmpb $0, %gs:CPU_FPU_LIVE
	jne syscall_ipc_fpu
3:	movq %gs:CPU_SELF, %rdi
	movq %rax, %rdx
	/* It preserves nothing but rbp, and most likely does not return: no call, which the CPU would expect a return to. */
	pushq $syscall_ipc_returned
	jmp kernel_syscall_ipc

	/* mach_ipc_resume: straight back to another thread, in rax, that is in a system call. */
	.globl syscall_ipc_resume
syscall_ipc_resume:
	movq $0, %gs:CPU_EPOCH		/* reclaim_kernel_exit */
	movq %rax, %gs:CPU_CURRENT
	RESUME_PRESERVED
	RESUME_WORDS

syscall_ipc_returned:
	testq %rax, %rax
	jz 4f
	movq $0, %gs:CPU_EPOCH
	RESUME
	RESUME_WORDS
	/* Nothing has happened; but rbx and r15 are to be loaded again. */
4:	movq %gs:CPU_CURRENT, %r11
	movq THREAD_RBX(%r11), %rbx
	movq THREAD_R15(%r11), %r15
	jmp 2b

1:	movq %r11, %rsi
	cmpb $0, %gs:CPU_FPU_LIVE
	je 3b
	jmp syscall_ipc_fpu

syscall_park:				/* r11 = thread */
	movq %gs:CPU_SELF, %rdi
	movq %r11, %rsi
	cmpb $0, %gs:CPU_FPU_LIVE
	jne 5f
6:	call kernel_syscall_park	/* preserves nothing but rbp */
	testq %rax, %rax
	jz 4b
	movq $0, %gs:CPU_EPOCH		/* reclaim_kernel_exit */
	RESUME
	RESUME_WORDS
5:	call mach_fpu_store
	movq %gs:CPU_SELF, %rdi
	movq %gs:CPU_CURRENT, %rsi
	jmp 6b

/* Most likely another thread goes on: nothing live may be left. */
syscall_ipc_fpu:
	movq %gs:CPU_SELF, %rdi
	call mach_fpu_store
	movq %gs:CPU_CURRENT, %rsi
	movq THREAD_CALL(%rsi), %rax
	jmp 3b

/* --- resume the thread in rax --------------------------------------------------------------------------------------- */

	.balign 64
	.globl resume_thread
resume_thread:
	cmpb $0, %gs:CPU_FPU_LIVE
	jne resume_fpu
resume_swapped:				/* no live FPU registers */
	RESUME
resume_words:
	RESUME_WORDS

/* Live FPU registers belong to the thread that was current; another one must not see them. */
resume_fpu:
	cmpq %rax, %gs:CPU_CURRENT
	je resume_swapped
	movq %gs:CPU_STACK_TOP, %rsp
	movq %rax, %rbx
	movq %gs:CPU_SELF, %rdi
	call fpu_forget
	movq %rbx, %rax
	jmp resume_swapped

/* iretq faults in the kernel on an ip in the hole: such a thread gets its fault here instead. */
resume_iret:
	movq THREAD_IP(%rax), %rcx
	shrq $47, %rcx
	jnz resume_bad_ip
	movq %gs:CPU_STACK_TOP, %rsp
	pushq $SEL_USER_DATA
	pushq THREAD_SP(%rax)
	pushq THREAD_FLAGS(%rax)
	pushq $SEL_USER_CODE
	pushq THREAD_IP(%rax)
	movq THREAD_RBX(%rax), %rbx
	movq THREAD_RBP(%rax), %rbp
	movq THREAD_R15(%rax), %r15
	movq THREAD_RCX(%rax), %rcx
	movq THREAD_R11(%rax), %r11
	cmpb $0, THREAD_BY_SYSCALL(%rax)
	je 2f
	xorl %ecx, %ecx
	xorl %r11d, %r11d
2:	movb $1, THREAD_BY_SYSCALL(%rax) /* it leaves user mode by syscall, or trap_entry says otherwise */
	movq THREAD_WORD7(%rax), %r14
	movq THREAD_WORD6(%rax), %r13
	movq THREAD_WORD5(%rax), %r12
	movq THREAD_WORD4(%rax), %r9
	movq THREAD_WORD3(%rax), %r8
	movq THREAD_WORD2(%rax), %r10
	movq THREAD_WORD1(%rax), %rdx
	movq THREAD_WORD0(%rax), %rsi
	movq THREAD_HANDLE(%rax), %rdi
	movq THREAD_CALL(%rax), %rax
	swapgs
	iretq

resume_bad_ip:
	movq %gs:CPU_STACK_TOP, %rsp
	xorl %ebp, %ebp
	movq %gs:CPU_SELF, %rdi
	movq %rax, %rsi
	call trap_bad_ip
	jmp resume_thread

/* --- traps and interrupts ------------------------------------------------------------------------------------------- */

/* Every vector pushes an error code (0 if the CPU does not) and its number: 16 bytes of code each. */
	.balign 16
	.globl trap_stubs
trap_stubs:
	.set vector, 0
	.rept 256
	.balign 16
	.if vector != 8 && vector != 10 && vector != 11 && vector != 12 && vector != 13 && vector != 14 && vector != 17 && vector != 21
	pushq $0
	.endif
	pushq $vector
	.if vector == 2 || vector == 8 || vector == 18
	jmp trap_paranoid
	.else
	jmp trap_entry
	.endif
	.set vector, vector + 1
	.endr

	.balign 64
trap_entry:
	testb $3, 24(%rsp)
	jz trap_in_kernel
	swapgs
	pushq %rdi
	movq %gs:CPU_CURRENT, %rdi
	movq %rax, THREAD_CALL(%rdi)
	popq THREAD_HANDLE(%rdi)
	movq %rsi, THREAD_WORD0(%rdi)
	movq %rdx, THREAD_WORD1(%rdi)
	movq %r10, THREAD_WORD2(%rdi)
	movq %r8, THREAD_WORD3(%rdi)
	movq %r9, THREAD_WORD4(%rdi)
	movq %r12, THREAD_WORD5(%rdi)
	movq %r13, THREAD_WORD6(%rdi)
	movq %r14, THREAD_WORD7(%rdi)
	movq %rbx, THREAD_RBX(%rdi)
	movq %rbp, THREAD_RBP(%rdi)
	movq %r15, THREAD_R15(%rdi)
	movq %rcx, THREAD_RCX(%rdi)
	movq %r11, THREAD_R11(%rdi)
	movb $0, THREAD_BY_SYSCALL(%rdi)
	popq %rsi			/* vector */
	popq %rdx			/* error code */
	popq THREAD_IP(%rdi)
	popq %rcx			/* cs */
	popq THREAD_FLAGS(%rdi)
	popq THREAD_SP(%rdi)
	movq %gs:CPU_STACK_TOP, %rsp
	pushq $2			/* clear DF and AC */
	popfq
	xorl %ebp, %ebp
	movq %gs:CPU_SELF, %rdi
	call trap_user
	jmp resume_thread

trap_in_kernel:
	cmpq $32, (%rsp)
	jb trap_paranoid
	pushq %rax
	pushq %rcx
	pushq %rdx
	pushq %rsi
	pushq %rdi
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	movq 72(%rsp), %rdi
	call trap_kernel_irq
	popq %r11
	popq %r10
	popq %r9
	popq %r8
	popq %rdi
	popq %rsi
	popq %rdx
	popq %rcx
	popq %rax
	addq $16, %rsp
	iretq

/* struct trap_regs on the stack. rbx = GS must be swapped back. */
trap_paranoid:
	cld
	pushq %rax
	pushq %rcx
	pushq %rdx
	pushq %rbx
	pushq %rbp
	pushq %rsi
	pushq %rdi
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	xorl %ebx, %ebx
	movl $0xc0000101, %ecx
	rdmsr
	testl %edx, %edx
	js 1f
	swapgs
	incl %ebx
1:	movq %rsp, %rdi
	call trap_fatal
	testl %ebx, %ebx
	jz 2f
	swapgs
2:	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %r11
	popq %r10
	popq %r9
	popq %r8
	popq %rdi
	popq %rsi
	popq %rbp
	popq %rbx
	popq %rdx
	popq %rcx
	popq %rax
	addq $16, %rsp
	iretq

/* --- where another CPU begins: copied to a page below 1 MiB, entered in real mode at its start ----------------------- */

	.section .rodata
	.balign 16
	.globl trampoline_start, trampoline_end, trampoline_gdtr, trampoline_jump, trampoline_root, trampoline_cpu
	.globl trampoline_long, trampoline_gdt
#define TRAMPOLINE(symbol) ((symbol) - trampoline_start)
trampoline_start:
	.code16
	cli
	cld
	movw %cs, %ax
	movw %ax, %ds
	lgdtl TRAMPOLINE(trampoline_gdtr)
	movl $0x20, %eax
	movl %eax, %cr4
	movl TRAMPOLINE(trampoline_root), %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx
	movl $0x901, %eax		/* NXE, LME, SCE */
	xorl %edx, %edx
	wrmsr
	movl $0x80010033, %eax
	movl %eax, %cr0
	ljmpl *TRAMPOLINE(trampoline_jump)

	.code64
trampoline_long:
	xorl %eax, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	movl %eax, %fs
	movl %eax, %gs
	xchgq %rax, trampoline_cpu(%rip)
	testq %rax, %rax
	jz 1f
	movq CPU_STACK_TOP(%rax), %rsp
	movq %rax, %rdi
	movabsq $ap_entry, %rax
	jmp *%rax
1:	cli
	hlt
	jmp 1b

	.balign 8
trampoline_gdt:
	.quad 0
	.quad 0x00af9b000000ffff
	.quad 0x00cf93000000ffff
trampoline_gdtr:
	.short 23
	.long 0				/* patched: address of the table */
	.balign 4
trampoline_jump:
	.long 0				/* patched: address of trampoline_long */
	.short SEL_KERNEL_CODE
	.balign 8
trampoline_root:
	.long 0
	.balign 8
trampoline_cpu:
	.quad 0				/* taken by whoever comes first */
trampoline_end:

	.section .text.entry, "ax"
	.code64
ap_entry:
	xorl %ebp, %ebp
	call smp_enter
	jmp resume_thread

	.section .note.GNU-stack, "", @progbits
