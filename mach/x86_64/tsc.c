/* SPDX-License-Identifier: MIT */
/*
 * The clock is the TSC, the clockevent the local APIC's one-shot (or its TSC deadline). Both are calibrated against
 * the ACPI timer, else the PIT: median of five runs of 10 ms, each reading of the reference bracketed by two of the
 * TSC and the tightest bracket taken.
 *
 *   ns = (tsc - base) * ns_mul >> MACH_NS_SHIFT	  ns_mul  := 1e9 * 2^MACH_NS_SHIFT / tsc_hz
 *   count = ns * count_mul >> 32		  count_mul := apic_hz * 2^32 / 1e9 (or tsc_hz, for deadlines)
 *
 * With MACH_NS_SHIFT 56 the rounding of ns_mul is below 1e-13 for rates above 4 MHz; products take 128 bits.
 */
#include "mach_priv.h"

#define NS_PER_S 1000000000ull
#define RUNS 5u
#define RUN_NS 10000000ull
#define ACPI_TIMER_HZ 3579545u
#define PIT_HZ 1193182u

/* A counter that goes up at a known rate and wraps at mask. */
struct reference {
	u32 hz;
	u32 mask;
	u32 (*read)(void);
};

struct sample {
	u64 tsc;
	u32 reference;
	u32 apic_left;
};

struct mach_tsc mach_tsc;

/* (c) after tsc_init */
static u64 count_ns_max; /* longest span that the one-shot can count */
static u64 hz;

/* a * b / c without overflow in between; the result fits 64 bits. */
static u64 multiply_divide(u64 a, u64 b, u64 c)
{
	u64 quotient, high;

	__asm__("mulq %3\n\tdivq %4" : "=a"(quotient), "=&d"(high) : "0"(a), "r"(b), "r"(c) : "cc");
	return quotient;
}

static u32 acpi_timer_read(void)
{
	return inl(acpi.pm_timer_port);
}

static u32 pit_read(void)
{
	u32 value;

	outb(0x43, 0x80); /* latch channel 2 */
	value = inb(0x42);
	return 0xffff - (value | (u32)inb(0x42) << 8);
}

static struct reference reference_find(void)
{
	if (acpi.pm_timer_port != 0) {
		u32 first = acpi_timer_read();

		for (u32 i = 0; i < 100000; i++) {
			if (acpi_timer_read() != first)
				return (struct reference){ ACPI_TIMER_HZ, 0xffffff, acpi_timer_read };
		}
	}
	outb(0x61, (u8)((inb(0x61) & ~2u) | 1)); /* gate of channel 2, speaker off */
	outb(0x43, 0xb4);			 /* rate generator: counts down and reloads */
	outb(0x42, 0xff);
	outb(0x42, 0xff);
	return (struct reference){ PIT_HZ, 0xffff, pit_read };
}

static struct sample sample_take(const struct reference *r)
{
	struct sample best = { 0, 0, 0 };
	u64 best_width = ~0ull;

	for (u32 i = 0; i < 8; i++) {
		u64 before = rdtsc_ordered();
		u32 value = r->read();
		u64 after = rdtsc_ordered();
		u32 left = apic_timer_left();

		if (after - before < best_width) {
			best_width = after - before;
			best = (struct sample){ before + best_width / 2, value, left };
		}
	}
	return best;
}

/* One run: rates of TSC and APIC timer. */
static void run(const struct reference *r, u64 *tsc_hz_out, u64 *apic_hz_out)
{
	u32 ticks = (u32)(RUN_NS * r->hz / NS_PER_S);
	struct sample start, end;
	u64 passed;

	apic_timer_set(~0u);
	start = sample_take(r);
	do {
		/* Few reads of ports, which are slow in an emulator, for the time that passes. */
		for (volatile u32 i = 0; i < 2000; i++)
			;
	} while (((r->read() - start.reference) & r->mask) < ticks);
	end = sample_take(r);
	apic_timer_set(0);
	passed = MAX((end.reference - start.reference) & r->mask, 1u);
	*tsc_hz_out = multiply_divide(end.tsc - start.tsc, r->hz, passed);
	*apic_hz_out = multiply_divide(start.apic_left - end.apic_left, r->hz, passed);
}

static u64 median(u64 *values)
{
	for (u32 i = 1; i < RUNS; i++) {
		for (u32 j = i; j > 0 && values[j] < values[j - 1]; j--) {
			u64 swap = values[j];

			values[j] = values[j - 1];
			values[j - 1] = swap;
		}
	}
	return values[RUNS / 2];
}

void tsc_init(void)
{
	struct reference r = reference_find();
	u64 tsc[RUNS], apic[RUNS], apic_hz;

	mach_tsc.deadline_mode = (cpuid_leaf(1, 0).ecx & 1u << 24) != 0;
	for (u32 i = 0; i < RUNS; i++)
		run(&r, &tsc[i], &apic[i]);
	hz = MAX(median(tsc), 4000000ull);
	apic_hz = MAX(median(apic), 1000ull);
	mach_tsc.ns_mul = multiply_divide(NS_PER_S, 1ull << MACH_NS_SHIFT, hz);
	mach_tsc.count_mul = multiply_divide(mach_tsc.deadline_mode ? hz : apic_hz, 1ull << 32, NS_PER_S);
	if (mach_tsc.count_mul >> 35 != 0)
		panic("a timer of more than 8 GHz");
	count_ns_max = mach_tsc.deadline_mode ? ~0ull >> 2 : 0xf0000000ull * NS_PER_S / apic_hz;
	mach_tsc.base = rdtsc_ordered();
}

u64 tsc_hz(void)
{
	return hz;
}

void tsc_deadline_in(u64 counts)
{
	wrmsr(MSR_TSC_DEADLINE, rdtsc_ordered() + counts);
}

void mach_timer_arm(struct instant deadline)
{
	u64 now_tsc, now, count;

	if (deadline.ns == INSTANT_NEVER.ns) {
		if (mach_tsc.deadline_mode)
			wrmsr(MSR_TSC_DEADLINE, 0);
		else
			apic_timer_set(0);
		return;
	}
	now_tsc = rdtsc_ordered();
	now = mach_tsc_ns(now_tsc);
	count = deadline.ns <= now ? 0 : MIN(deadline.ns - now, count_ns_max);
	/* One more: never before the deadline by rounding. */
	count = (u64)((unsigned __int128)count * mach_tsc.count_mul >> 32) + 1;
	if (mach_tsc.deadline_mode)
		wrmsr(MSR_TSC_DEADLINE, now_tsc + count);
	else
		apic_timer_set((u32)count); /* count_ns_max keeps it below 2^32 */
}
