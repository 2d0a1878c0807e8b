/* SPDX-License-Identifier: MIT */
/*
 * The clock is the TSC, the clockevent the local APIC's one-shot (or its TSC deadline). Both are calibrated against
 * the ACPI timer, else the PIT: median of five runs of 10 ms, each reading of the reference bracketed by two of the
 * TSC and the tightest bracket taken.
 *
 *   ns = (tsc - base) * ns_mul >> MACH_NS_SHIFT	  ns_mul  := 1e9 * 2^MACH_NS_SHIFT / tsc_hz	(base: kernel/clock.h)
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
static u64 fast_ns_end;	 /* mach_timer_arm counts shorter spans at once; with deadlines none */
static u64 hz;
static struct reference reference;

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
	u64 tsc[RUNS], apic[RUNS], apic_hz, now;

	reference = reference_find();
	mach_tsc.deadline_mode = tsc_has_deadline();
	atomic_store_relaxed(&mach_tsc.arm_slowly, (u8)mach_tsc.deadline_mode);
	for (u32 i = 0; i < RUNS; i++)
		run(&reference, &tsc[i], &apic[i]);
	hz = MAX(median(tsc), 4000000ull);
	apic_hz = MAX(median(apic), 1000ull);
	mach_tsc.ns_mul = multiply_divide(NS_PER_S, 1ull << MACH_NS_SHIFT, hz);
	mach_tsc.count_mul = multiply_divide(mach_tsc.deadline_mode ? hz : apic_hz, 1ull << 32, NS_PER_S);
	if (mach_tsc.count_mul >> 35 != 0)
		panic("a timer of more than 8 GHz");
	count_ns_max = mach_tsc.deadline_mode ? ~0ull >> 2 : 0xf0000000ull * NS_PER_S / apic_hz;
	fast_ns_end = mach_tsc.deadline_mode ? 0 : count_ns_max;
	now = rdtsc_ordered();
	cpu_init_clock((struct clock){ .base = now, .last = now });
}

bool tsc_is_invariant(void)
{
	/* A hypervisor that does not promise it keeps it all the same, or hides the counter. */
	return (cpuid_leaf(0x80000007, 0).edx & 1u << 8) != 0 || (cpuid_leaf(1, 0).ecx & 1u << 31) != 0;
}

/* With deadlines nothing counts but the TSC: only where that can be relied on. */
bool tsc_has_deadline(void)
{
	return (cpuid_leaf(1, 0).ecx & 1u << 24) != 0 && tsc_is_invariant();
}

u64 tsc_hz(void)
{
	return hz;
}

u64 mach_counter(void)
{
	u64 stopped_at = atomic_load_relaxed(&mach_tsc.stopped_at);

	return unlikely(stopped_at != 0) ? stopped_at : rdtsc_ordered();
}

struct instant mach_clock_slow(void)
{
	return (struct instant){ clock_read(cpu_clock()) };
}

void mach_clock_distrusted(void)
{
	atomic_store_relaxed(&mach_tsc.arm_slowly, (u8)1);
}

void mach_clock_stop(void)
{
	atomic_store_relaxed(&mach_tsc.stopped_at, rdtsc_ordered());
}

u32 mach_reference(void)
{
	return reference.read();
}

u64 mach_reference_ns(u32 begin, u32 end)
{
	return (u64)((end - begin) & reference.mask) * NS_PER_S / reference.hz;
}

static void timer_stop(void)
{
	if (mach_tsc.deadline_mode)
		wrmsr(MSR_TSC_DEADLINE, 0);
	else
		apic_timer_set(0);
}

/* For span_ns, as counts: never before the deadline by rounding. */
static u64 counts_of(u64 span_ns)
{
	return (u64)((unsigned __int128)span_ns * mach_tsc.count_mul >> 32) + 1;
}

static __attribute__((noinline)) void arm_slowly(struct instant deadline)
{
	u64 now_ns, span_ns;

	if (clock_is_slow(cpu_clock()))
		deadline = clock_arm(mach_this_cpu(), deadline);
	if (deadline.ns == INSTANT_NEVER.ns) {
		timer_stop();
		return;
	}
	now_ns = mach_clock().ns;
	span_ns = deadline.ns <= now_ns ? 0 : deadline.ns - now_ns;
	if (span_ns > count_ns_max) {
		span_ns = count_ns_max;
		cpu_clock()->armed_ns = now_ns;
	}
	if (mach_tsc.deadline_mode)
		wrmsr(MSR_TSC_DEADLINE, rdtsc_ordered() + counts_of(span_ns));
	else
		apic_timer_set((u32)counts_of(span_ns)); /* count_ns_max keeps it below 2^32 */
}

void mach_timer_arm(struct instant deadline)
{
	u64 passed = rdtsc_ordered() - CPU_CLOCK_FIELD(base), span_ns = 0;

	if (likely((i64)passed >= 0)) { /* a slow CPU's base is above any counter */
		u64 now_ns = mach_counter_ns(passed);

		if (likely(deadline.ns > now_ns))
			span_ns = deadline.ns - now_ns;
		if (likely(span_ns < fast_ns_end)) {
			apic_timer_set((u32)counts_of(span_ns));
			return;
		}
	}
	arm_slowly(deadline); /* NEVER too */
}

void mach_timer_arm_span_slow(u32 span_ns)
{
	if (clock_is_slow(cpu_clock()) || !mach_tsc.deadline_mode)
		mach_timer_arm((struct instant){ mach_clock().ns + span_ns });
	else
		wrmsr(MSR_TSC_DEADLINE, rdtsc_ordered() + ((u64)span_ns * mach_tsc.count_mul >> 32) + 1);
}

static u64 counts_ns(u32 counts)
{
	return multiply_divide(counts, 1ull << 32, mach_tsc.count_mul);
}

struct timer_count mach_timer_count(void)
{
	u32 span, left;

	if (mach_tsc.deadline_mode)
		return (struct timer_count){ 0 };
	span = apic_timer_span();
	left = apic_timer_left();
	return (struct timer_count){ counts_ns(span), counts_ns(span - MIN(left, span)),
				     counts_ns(span) >= count_ns_max };
}
