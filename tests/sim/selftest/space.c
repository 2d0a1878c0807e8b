/* SPDX-License-Identifier: MIT */
/*
 * Stale translations, one case per -DCASE:
 *   1  unmap, reuse the frame while CPU 1 has not flushed         exit 2, "stale translation"
 *   2  the same with the shootdown done                           exit 0
 *   3  CPU 1 loads another space instead of a flush               exit 0
 *   4  all CPUs idle for ever                                     exit 4
 *   5  a CPU spins for ever with interrupts off                   exit 6
 *   6  kernel access near a null pointer                          exit 2
 *   7  no lost wake-up: IPI against idle check, 1,000 times       exit 0
 */
#include "selftest.h"

static struct mach_space space;
static ATOMIC(u32) stage;
static ATOMIC(u32) posted, seen;

static void wait_stage(u32 value)
{
	while (atomic_load_acquire(&stage) < value)
		mach_relax();
}

static void mapping_test(void)
{
	mach_space_init(&space, take_frame());
	struct paddr frame = take_frame();
	u64 va = space.user_base + 0x5000;
	set_leaf(&space, va, pte_make(frame, PROT_WRITE), true);
	atomic_xchg(&stage, 1u);
	wait_stage(2);
	set_leaf(&space, va, 0, true);
	atomic_xchg(&stage, 3u);
	if (CASE != 1)
		wait_stage(4);
	mach_frame_reuse(frame);
	mach_exit(MACH_EXIT_OK);
}

struct thread *kernel_boot(const struct boot_info *info)
{
	boot_cpus(info);
	start_cpus(info);
	if (CASE <= 3)
		mapping_test();
	if (CASE == 5) {
		for (;;)
			mach_relax();
	}
	if (CASE == 6)
		*(volatile u32 *)(atomic_load_relaxed(&posted) + 0x10ul) = 1;
	if (CASE == 7) {
		for (u32 i = 1; i <= 1000; i++) {
			atomic_xchg(&posted, i);
			mach_ipi_send(&cpus[1]);
			while (atomic_load_acquire(&seen) != i)
				mach_relax();
		}
		mach_exit(MACH_EXIT_OK);
	}
	for (;;)
		(void)mach_idle_wait(&cpus[0]);
}

struct thread *kernel_cpu_boot(struct cpu *cpu)
{
	atomic_store_release(&cpu->online, 1u);
	if (CASE <= 3 && cpu->id == 1) {
		wait_stage(1);
		mach_space_load(&space);
		atomic_xchg(&stage, 2u);
		wait_stage(3);
		if (CASE == 2)
			mach_tlb_flush_page(&space, (struct uaddr){ space.user_base + 0x5000 });
		if (CASE == 3)
			mach_space_load(NULL);
		atomic_xchg(&stage, 4u);
	}
	for (;;) {
		if (cpu->id == 1)
			atomic_store_release(&seen, atomic_load_acquire(&posted));
		(void)mach_idle_wait(cpu);
	}
}

NO_ENTRIES
