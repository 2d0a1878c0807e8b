/* SPDX-License-Identifier: MIT */
/*
 * Litmus tests of the TSO model, one per seed and -D: ends with TESTS_FAILED when the outcome in question was seen.
 *   SB            store x; load y | store y; load x: 0,0 is allowed on x86
 *   SB + FENCE    never
 *   SB + XCHG     never
 *   WAKE          flag := 0; load inbox | xchg inbox := 1; xchg flag := 1: inbox empty and flag still 1 is allowed, a
 *                 lost wake-up; with FENCE or XCHG never
 *   MP            store data; store flag | load flag; load data: 1,0 is never seen on x86
 */
#include "selftest.h"

static ATOMIC(u32) x, y, go, done;
static u32 r[2];

static void side(u32 id)
{
	atomic_fetch_add(&go, 1u);
	while (atomic_load_acquire(&go) < 2)
		mach_relax();
#ifdef MP
	if (id == 0) {
		atomic_store_relaxed(&x, 1u);
		atomic_store_release(&y, 1u);
		r[0] = 0;
	} else {
		r[0] = 0;
		for (u32 i = 0; i < 8 && r[1] == 0; i++)
			r[1] = atomic_load_acquire(&y) == 1 && atomic_load_relaxed(&x) == 0;
	}
	atomic_fetch_add(&done, 1u);
#else
#ifdef WAKE
	if (id == 1) {
		atomic_xchg(&y, 1u);
		r[1] = atomic_xchg(&x, 1u) == 0; /* 0: no interrupt is sent */
		atomic_fetch_add(&done, 1u);
		return;
	}
	atomic_store_relaxed(&x, 0u);
#else
	if (id == 0)
		atomic_store_relaxed(&x, 1u);
	else
		atomic_store_relaxed(&y, 1u);
#endif
#if defined(FENCE)
	atomic_fence();
#elif defined(XCHG)
	static ATOMIC(u32) other;
	atomic_xchg(&other, 1u);
#endif
	r[id] = id == 0 ? atomic_load_relaxed(&y) : atomic_load_relaxed(&x);
	atomic_fetch_add(&done, 1u);
#endif
}

struct thread *kernel_boot(const struct boot_info *info)
{
	boot_cpus(info);
#ifdef WAKE
	atomic_xchg(&x, 1u);
#endif
	(void)mach_cpu_start(&cpus[1]);
	side(0);
	while (atomic_load_acquire(&done) < 2)
		mach_relax();
#ifdef MP
	bool seen = r[1] != 0;
#else
	bool seen = r[0] == 0 && r[1] == 0;
#endif
	mach_exit(seen ? MACH_EXIT_TESTS_FAILED : MACH_EXIT_OK);
}

struct thread *kernel_cpu_boot(struct cpu *cpu)
{
	side(cpu->id);
	for (;;)
		(void)mach_idle_wait(cpu);
}

NO_ENTRIES
