/* SPDX-License-Identifier: MIT */
/*
 * Numbers that assembly and C share: offsets into struct mach_thread and struct mach_cpu (asserted in trap.c; both are
 * the first members of struct thread and struct cpu), selectors, and the kernel's virtual layout.
 */
#ifndef MACH_OFFSETS_H
#define MACH_OFFSETS_H

/* struct mach_thread */
#define THREAD_CALL 0
#define THREAD_HANDLE 8
#define THREAD_WORD0 16
#define THREAD_WORD1 24
#define THREAD_WORD2 32
#define THREAD_WORD3 40
#define THREAD_WORD4 48
#define THREAD_WORD5 56
#define THREAD_WORD6 64
#define THREAD_WORD7 72
#define THREAD_IP 80
#define THREAD_SP 88
#define THREAD_FLAGS 96
#define THREAD_RBX 104
#define THREAD_RBP 112
#define THREAD_R15 120
#define THREAD_RCX 128
#define THREAD_R11 136
#define THREAD_BY_SYSCALL 144

/* struct mach_cpu */
#define CPU_SELF 0
#define CPU_CURRENT 8
#define CPU_USER_SP 16
#define CPU_STACK_TOP 24
#define CPU_FPU_LIVE 32
#define CPU_CLOCK 40

/* struct cpu, struct kernel */
#define CPU_EPOCH 536
#define KERNEL_EPOCH 0

/* kernel_syscall_fast, as immediate operands (mach.h has them as u64): the highest of all results. */
#define CALL_NOT_FAST_IMMEDIATE -1
#define CALL_PARK_IMMEDIATE -2
/* Of CAPOS_OP_REPLY_RECV and no operation that is frequent besides. */
#define CALL_WORD_REPLY_RECV_BIT 49
/* CAPOS_IFACE_COUNT - 1 */
#define IFACE_KERNEL_LAST 23

/* Selectors: order fixed by SYSRET (SS = base + 8, CS = base + 16). */
#define SEL_KERNEL_CODE 0x08
#define SEL_KERNEL_DATA 0x10
#define SEL_USER_DATA 0x1b
#define SEL_USER_CODE 0x23
#define SEL_TSS 0x28

/* Vectors above the exceptions. Higher vector = higher priority. */
#define VECTOR_CONSOLE 0x40
#define VECTOR_TIMER 0x50
#define VECTOR_IPI 0x60
#define VECTOR_SPURIOUS 0xff

/* Kernel half: direct map, then the window of kernel stacks, then the image in the top 2 GiB. */
#define DIRECT_MAP_BASE 0xffff800000000000
#define STACK_WINDOW_BASE 0xffffc00000000000
#define KERNEL_BASE 0xffffffff80000000

#define BOOT_STACK_BYTES 32768

#endif
