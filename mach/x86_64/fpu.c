/* SPDX-License-Identifier: MIT */
/*
 * x87 and SSE registers, only for threads that use them. CR0.TS is set whenever the registers hold nobody's state;
 * the first use traps here, and mach_thread_leave stores what is live. There is no XSAVE: user mode has no AVX.
 */
#include "mach_priv.h"

#include <string.h>

/* The state in which a thread begins: all zero but the control words. */
static const struct {
	u16 control;
	u8 zero0[22];
	u32 mxcsr;
	u8 zero1[484];
} __attribute__((aligned(16))) initial = { .control = 0x37f, .mxcsr = 0x1f80 };

_Static_assert(sizeof(initial) == FPU_AREA_BYTES, "fxsave image");

void mach_fpu_store(struct mach_cpu *cpu, struct mach_thread *thread)
{
	__asm__ volatile("fxsave64 %0" : "=m"(*(u8(*)[FPU_AREA_BYTES])thread->fpu));
	write_cr0(CR0_KERNEL);
	cpu->fpu_live = false;
}

bool fpu_trap(struct mach_cpu *cpu, struct mach_thread *thread)
{
	const void *image = thread->fpu;

	if (image == NULL) {
		image = &initial;
		thread->fpu = kernel_fpu_area((struct thread *)thread);
		if (thread->fpu == NULL)
			return false;
	}
	__asm__ volatile("clts\n\tfxrstor64 %0" ::"m"(*(const u8(*)[FPU_AREA_BYTES])image));
	cpu->fpu_live = true;
	return true;
}

/*
 * 16 bytes per store. With TS set the registers are nobody's, and the first use loads them all; else xmm0 is given back.
 * Interrupts are off, and nothing between the two touches the FPU.
 */
void mach_clear(void *memory, size_t bytes)
{
	const struct cpu *cpu = mach_this_cpu();
	bool live = cpu != NULL && ((const struct mach_cpu *)(const void *)cpu)->fpu_live;
	u8 xmm0[16] __attribute__((aligned(16)));
	u8 *at = memory, *end = at + bytes, *blocks = at + (bytes & ~(size_t)511);

	if (cpu == NULL) { /* early boot: the FPU is not set up */
		memset(memory, 0, bytes);
		return;
	}
	if (live)
		__asm__ volatile("movaps %%xmm0, %0" : "=m"(xmm0));
	else
		__asm__ volatile("clts");
	__asm__ volatile("xorps %%xmm0, %%xmm0" ::: "memory");
	for (; at != blocks; at += 512)
		__asm__ volatile(".set offset, 0\n\t"
				 ".rept 32\n\t"
				 "movaps %%xmm0, offset(%0)\n\t"
				 ".set offset, offset + 16\n\t"
				 ".endr" ::"r"(at)
				 : "memory");
	for (; at != end; at += 64)
		__asm__ volatile("movaps %%xmm0, (%0)\n\t"
				 "movaps %%xmm0, 16(%0)\n\t"
				 "movaps %%xmm0, 32(%0)\n\t"
				 "movaps %%xmm0, 48(%0)" ::"r"(at)
				 : "memory");
	if (live)
		__asm__ volatile("movaps %0, %%xmm0" ::"m"(xmm0));
	else
		write_cr0(CR0_KERNEL);
}

/* A thread ended without mach_thread_leave: its registers belong to nobody. */
void fpu_forget(struct mach_cpu *cpu)
{
	write_cr0(CR0_KERNEL);
	cpu->fpu_live = false;
}
