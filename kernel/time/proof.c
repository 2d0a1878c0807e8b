/* SPDX-License-Identifier: MIT */
/*
 * The clockevent and the discipline, measured while the machine boots (capos.clock=proof), against a counter that is neither the
 * clock's nor the one-shot's. Prints two lines; panics where they are not true:
 *
 *   clock: one-shot asked_ns=5000000 real_ns=<n> tries=<n> early=<n> subtick=true restored=true ticks_real_ns=<n>
 *   clock: monotonic_delta_ns=<n> real_ns=<n> floored=false subtick_tracked=true
 *
 * A one-shot of half a tick is armed over one of a tick, and fires in the kernel: never before its time, and before the tick was due.
 * Then the clock is disciplined, as at each expiry: it moved by what passed, not by a tick. Then the tick is armed again, and goes on.
 * A host that stands still makes everything late: one of TRIES has to do.
 */
#include <kernel/clock.h>

#include <kernel/cpu.h>
#include <kernel/debug.h>

#define TRIES 50u
#define TICKS 5u
#define HALF_NS (TICK_NS / 2)
#define TOLERANCE_NS (TICK_NS / 100)

struct moment {
	u64 clock_ns;
	u32 reference;
};

struct shot {
	u64 clock_ns, real_ns; /* from the arming to the expiry */
	bool floored;
};

/* Both at once: the tightest of a few. */
static struct moment moment_read(void)
{
	struct moment best = { 0, 0 };
	u64 best_ns = ~0ull;

	for (u32 i = 0; i < 8; i++) {
		u64 before_ns = mach_clock().ns;
		u32 reference = mach_reference();
		u64 width_ns = mach_clock().ns - before_ns;

		if (width_ns < best_ns) {
			best = (struct moment){ before_ns + width_ns / 2, reference };
			best_ns = width_ns;
		}
	}
	return best;
}

/*
 * The timer's interrupts until the deadline; how many one-shots had counted to their end before it. Others are left from what was armed
 * before and expired at that moment (mach_timer_arm).
 */
static u32 wait_for(struct cpu *cpu, struct instant deadline)
{
	u32 early = 0;

	while (mach_clock().ns < deadline.ns) {
		u32 bits = mach_idle_wait(cpu);
		struct timer_count count = mach_timer_count();

		if ((bits & IRQ_TIMER) == 0 || mach_clock().ns >= deadline.ns)
			continue;
		early += count.counted_ns == count.span_ns;
		mach_timer_arm(deadline);
	}
	return early;
}

static u32 fire(struct cpu *cpu, struct shot *shot)
{
	u64 floors = cpu->mach.clock.floors;
	struct moment begin, end;
	struct instant deadline, now;
	u32 early;

	mach_timer_arm((struct instant){ mach_clock().ns + TICK_NS }); /* the live one */
	begin = moment_read();
	deadline.ns = begin.clock_ns + HALF_NS;
	mach_timer_arm(deadline);
	early = wait_for(cpu, deadline);
	now = mach_clock();
	(void)!clock_check(cpu, deadline, &now);
	end = moment_read();
	shot->clock_ns = end.clock_ns - begin.clock_ns;
	shot->real_ns = mach_reference_ns(begin.reference, end.reference);
	shot->floored = cpu->mach.clock.floors != floors;
	return early;
}

/* Real time of some ticks, one armed after the other. */
static u64 run_ticks(struct cpu *cpu)
{
	u64 real_ns = 0;

	for (u32 i = 0; i < TICKS; i++) {
		u32 begin = mach_reference();
		struct instant deadline = { mach_clock().ns + TICK_NS };

		mach_timer_arm(deadline);
		(void)wait_for(cpu, deadline);
		real_ns += mach_reference_ns(begin, mach_reference());
	}
	return real_ns;
}

static bool is_subtick(const struct shot *shot)
{
	return shot->real_ns + TOLERANCE_NS >= HALF_NS && shot->real_ns < TICK_NS;
}

static bool is_tracked(const struct shot *shot)
{
	return shot->clock_ns + TOLERANCE_NS >= shot->real_ns && shot->clock_ns <= shot->real_ns + TOLERANCE_NS;
}

void clock_proof(struct cpu *cpu)
{
	struct shot shot = { 0 };
	u32 tries = 0, early = 0;
	u64 ticks_ns;

	do
		early += fire(cpu, &shot);
	while (++tries < TRIES && !(is_subtick(&shot) && is_tracked(&shot)));
	ticks_ns = run_ticks(cpu);
	mach_timer_arm(INSTANT_NEVER);
	klog(LOG_INFO,
	     "clock: one-shot asked_ns=%llu real_ns=%llu tries=%u early=%u subtick=%s restored=%s ticks_real_ns=%llu",
	     HALF_NS, (unsigned long long)shot.real_ns, tries, early, is_subtick(&shot) ? "true" : "false",
	     ticks_ns + TOLERANCE_NS >= TICKS * TICK_NS ? "true" : "false", (unsigned long long)ticks_ns);
	klog(LOG_INFO, "clock: monotonic_delta_ns=%llu real_ns=%llu floored=%s subtick_tracked=%s",
	     (unsigned long long)shot.clock_ns, (unsigned long long)shot.real_ns, shot.floored ? "true" : "false",
	     is_tracked(&shot) ? "true" : "false");
	if (!is_subtick(&shot) || !is_tracked(&shot) || shot.floored || ticks_ns + TOLERANCE_NS < TICKS * TICK_NS)
		panic("the clock's proof");
}
