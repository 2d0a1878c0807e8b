/* SPDX-License-Identifier: MIT */
/*
 * x87 and SSE registers, only for threads that use them. CR0.TS is set whenever the registers hold nobody's state;
 * the first use traps here, and mach_thread_leave stores what is live. There is no XSAVE: user mode has no AVX.
 */
#include "mach_priv.h"

/* The state in which a thread begins: all zero but the control words. */
static const struct {
	u16 control;
	u8 zero0[22];
	u32 mxcsr;
	u8 zero1[484];
} __attribute__((aligned(16))) initial = { .control = 0x37f, .mxcsr = 0x1f80 };

_Static_assert(sizeof(initial) == sizeof(((struct mach_thread *)0)->fpu), "fxsave image");

void mach_fpu_store(struct mach_cpu *cpu, struct mach_thread *thread)
{
	__asm__ volatile("fxsave64 %0" : "=m"(thread->fpu));
	write_cr0(CR0_KERNEL);
	cpu->fpu_live = false;
}

void fpu_trap(struct mach_cpu *cpu, struct mach_thread *thread)
{
	const void *image = thread->fpu_valid != 0 ? (const void *)thread->fpu : &initial;

	__asm__ volatile("clts\n\tfxrstor64 %0" ::"m"(*(const u8(*)[512])image));
	thread->fpu_valid = 1;
	cpu->fpu_live = true;
}

/* A thread ended without mach_thread_leave: its registers belong to nobody. */
void fpu_forget(struct mach_cpu *cpu)
{
	write_cr0(CR0_KERNEL);
	cpu->fpu_live = false;
}
