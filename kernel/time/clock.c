/* SPDX-License-Identifier: MIT */
/*
 * The clock beyond the straight reading of the machine (CL1 .. CL4 in clock.h, docs/SCHEDULING.md).
 *
 * A slow CPU's clock is a line: anchor_ns at counter `anchor`, then as the counter goes. It is anchored anew when the counter goes
 * back (it holds, then goes on from there) and when somebody else is ahead (it goes on from what he published). own_ns is the same
 * line without what others and ticks added, for what the counter itself did.
 *
 * Never ahead: since_ns was the clock at the begin of an interval in which this CPU's one-shot alone counted counted_ns, so
 * since_ns + counted_ns is not later than real time, if since_ns was not. It is what ticks raise the clock to, so two CPUs that do so
 * for the same time do it once.
 */
#include <kernel/clock.h>

#include <kernel/cpu.h>
#include <kernel/debug.h>
#include <kernel/state.h>

static struct clock *clock_of(struct cpu *cpu)
{
	return &cpu->mach.clock;
}

/* CL2: what is read afterwards, on any CPU, is not below. Pairs with itself: the order of one word. */
static void publish(u64 ns)
{
	struct time_state *time = &kernel_state.time;
	u64 now = atomic_load_relaxed(&time->published);

	while (now < ns && !atomic_cas(&time->published, now, ns))
		now = atomic_load_relaxed(&time->published);
}

/* --- the line of a slow CPU ------------------------------------------------------------------------------------------- */

static u64 since_anchor_ns(const struct clock *clock, u64 counter)
{
	return mach_counter_ns(counter - clock->anchor);
}

static void anchor(struct clock *clock, u64 counter, u64 ns, u64 own_ns)
{
	clock->anchor = counter;
	clock->anchor_ns = ns;
	clock->own_ns = own_ns;
	clock->seen = counter;
}

/* What the counter alone has made since the CPU is slow. */
static u64 own_ns(const struct clock *clock)
{
	return clock->own_ns + since_anchor_ns(clock, clock->seen);
}

/* The interval of the next check begins, at a reading; what was counted since that is read after it. */
static void begin(struct clock *clock, u64 now_ns)
{
	clock->since_ns = now_ns;
	clock->own_since_ns = own_ns(clock);
	clock->counted_ns = 0;
	clock->noted_ns = mach_timer_count().counted_ns;
}

static void become_slow(struct clock *clock, u64 counter, u64 ns)
{
	if (mach_this_cpu() != NULL)
		ns = MAX(ns, mach_this_cpu()->account_ns); /* read by mach_clock_quick */
	anchor(clock, counter, ns, ns);
	clock->last = CLOCK_SLOW;
	clock->base = CLOCK_SLOW_BASE;
	publish(ns);
	(void)atomic_fetch_add(&kernel_state.time.slow_cpus, 1u);
	begin(clock, ns);
	clock->armed_ns = ns;
}

/* Of a fast CPU, at a reading: the last one is kept where the counter has gone back. */
static u64 fast_ns(const struct clock *clock, u64 counter)
{
	return mach_counter_ns(MAX(counter, clock->last) - clock->base);
}

u64 clock_read(struct clock *clock)
{
	/* Before the counter, which so shows a later time: it is anchored to that. */
	u64 published = atomic_load_acquire(&kernel_state.time.published); /* pairs with the swap in publish */
	u64 counter = mach_counter(), passed_ns, now_ns;

	if (!clock_is_slow(clock)) {
		become_slow(clock, counter, fast_ns(clock, counter));
		if (mach_this_cpu() != NULL)
			clock_distrust(mach_this_cpu());
	}
	if (counter < clock->seen) {
		passed_ns = since_anchor_ns(clock, clock->seen);
		anchor(clock, counter, clock->anchor_ns + passed_ns, clock->own_ns + passed_ns);
	}
	clock->seen = counter;
	passed_ns = since_anchor_ns(clock, counter);
	now_ns = clock->anchor_ns + passed_ns;
	if (now_ns < published) {
		now_ns = published;
		anchor(clock, counter, now_ns, clock->own_ns + passed_ns);
	}
	publish(now_ns);
	return now_ns;
}

/* --- from fast to slow ------------------------------------------------------------------------------------------------ */

static void slow_from_now(struct clock *clock)
{
	u64 counter = mach_counter();

	if (!clock_is_slow(clock))
		become_slow(clock, counter, fast_ns(clock, counter));
}

void clock_distrust(struct cpu *cpu)
{
	slow_from_now(clock_of(cpu));
	/* Full barrier, before the looks at `online`: pairs with clock_started. */
	if (atomic_xchg(&kernel_state.time.distrusted, 1u) != 0)
		return;
	mach_clock_distrusted();
	for (u32 i = 0; i < kernel_state.cpu_count; i++) {
		struct cpu *other = kernel_state.cpus[i];

		if (other == cpu)
			(void)atomic_fetch_or(&cpu->requests, REQUEST_CLOCK); /* its one-shot is armed anew then */
		else if (atomic_load_acquire(&other->online) != 0) /* pairs with the release in kernel_cpu_boot */
			sched_request(cpu, other, REQUEST_CLOCK);
	}
}

void clock_requested(struct cpu *cpu, struct instant armed)
{
	clock_distrust(cpu);
	mach_timer_arm(armed);
}

void clock_compare(struct cpu *cpu)
{
	u64 published, now_ns;

	if (clock_is_slow(clock_of(cpu))) {
		if (atomic_load_relaxed(&kernel_state.time.told) == 0 &&
		    atomic_xchg(&kernel_state.time.told, 1u) == 0)
			klog(LOG_WARN, "clock: the counter is not to be trusted (CPU %u, %llu steps by ticks)",
			     cpu->id, (unsigned long long)clock_of(cpu)->floors);
		return;
	}
	/* First: what somebody has read before is less than what is read here after that. Pairs with the swap below. */
	published = atomic_load_acquire(&kernel_state.time.published);
	now_ns = mach_clock().ns;
	if (now_ns < published)
		clock_distrust(cpu);
	else
		(void)atomic_cas(&kernel_state.time.published, published, now_ns);
}

/* --- a CPU starts ----------------------------------------------------------------------------------------------------- */

#define ROUNDS 4u

void clock_answer(struct cpu *cpu)
{
	struct time_state *time = &kernel_state.time;
	u32 asked = atomic_load_acquire(&time->asked); /* pairs with the release in clock_agree */

	if (atomic_load_relaxed(&time->distrusted) != 0)
		clock_distrust(cpu);
	if (asked == atomic_load_relaxed(&time->answered))
		return;
	atomic_store_relaxed(&time->answer_ns, mach_clock().ns);
	atomic_store_release(&time->answered, asked); /* pairs with the acquire in ask */
}

/* The boot CPU's clock, read between this call's begin and its end. */
static u64 ask(void)
{
	struct time_state *time = &kernel_state.time;
	u32 number = atomic_load_relaxed(&time->asked) + 1;

	atomic_store_release(&time->asked, number);
	while (atomic_load_acquire(&time->answered) != number)
		mach_relax();
	return atomic_load_relaxed(&time->answer_ns);
}

void clock_agree(struct cpu *cpu)
{
	struct clock *clock = clock_of(cpu);
	u64 before, after, answer_ns;

	for (u32 i = 0; i < ROUNDS; i++) {
		before = mach_counter();
		answer_ns = ask();
		after = mach_counter();
		if (atomic_load_relaxed(&kernel_state.time.distrusted) == 0 && before >= clock->base &&
		    after >= before && mach_counter_ns(before - clock->base) <= answer_ns &&
		    answer_ns <= mach_counter_ns(after - clock->base)) {
			clock->last = after;
			continue;
		}
		/* Nobody has read this one's clock yet: it begins where the boot CPU's was. */
		become_slow(clock, after, answer_ns);
		clock_distrust(cpu);
		return;
	}
}

void clock_started(struct cpu *cpu)
{
	atomic_fence(); /* after `online`: pairs with clock_distrust */
	if (atomic_load_relaxed(&kernel_state.time.distrusted) != 0)
		slow_from_now(clock_of(cpu));
}

/* Ticks go to what is published, which a fast CPU would not see. */
static bool all_are_slow(void)
{
	u32 fast = kernel_state.cpu_count;

	for (u32 i = 0; i < kernel_state.cpu_count; i++)
		fast -= atomic_load_relaxed(&kernel_state.cpus[i]->online) == 0;
	return atomic_load_relaxed(&kernel_state.time.slow_cpus) >= fast;
}

/* --- discipline ------------------------------------------------------------------------------------------------------- */

static void note_count(struct clock *clock, u64 counted_ns)
{
	clock->counted_ns += counted_ns - MIN(clock->noted_ns, counted_ns);
	clock->noted_ns = counted_ns;
}

struct instant clock_arm(struct cpu *cpu, struct instant deadline)
{
	struct clock *clock = clock_of(cpu);
	u64 now_ns;

	note_count(clock, mach_timer_count().counted_ns);
	now_ns = mach_clock().ns;
	if (now_ns > clock->since_ns + clock->counted_ns)
		begin(clock, now_ns); /* somebody, or the counter, is further than what was counted here */
	clock->armed_ns = now_ns;
	clock->noted_ns = 0;
	return (struct instant){ MIN(deadline.ns, now_ns + CLOCK_LOOK_NS) };
}

/* A fast CPU's one-shot, armed for `armed`, expired before: does the counter stand? */
static bool looks_stopped(struct clock *clock, const struct timer_count *count, struct instant armed, u64 now_ns)
{
	u64 advance_ns;
	bool stopped;

	if (armed.ns == INSTANT_NEVER.ns || armed.ns <= now_ns)
		return false;
	if (count->clipped)
		advance_ns = now_ns - clock->armed_ns;
	else
		advance_ns = count->span_ns - MIN(armed.ns - now_ns, count->span_ns);
	clock->counted_ns += count->counted_ns;
	clock->passed_ns += advance_ns;
	if (clock->counted_ns < MIN_DISCIPLINED_ADVANCE_NS)
		return false; /* too short to tell: with the next one */
	stopped = clock->passed_ns < clock->counted_ns / 8;
	if (!stopped)
		clock->counted_ns = clock->passed_ns = 0;
	return stopped;
}

/* True: the CPU has become slow, at an interval that is not over. */
static bool look_fast(struct cpu *cpu, const struct timer_count *count, struct instant armed, u64 now_ns)
{
	struct clock *clock = clock_of(cpu);
	u64 counted_ns, passed_ns;

	if (now_ns < cpu->account_ns) { /* the counter has gone back */
		clock_distrust(cpu);
		return true;
	}
	if (!looks_stopped(clock, count, armed, now_ns))
		return false;
	counted_ns = clock->counted_ns;
	passed_ns = clock->passed_ns;
	clock_distrust(cpu);
	/* What made it suspect counts. */
	clock->since_ns -= passed_ns;
	clock->own_since_ns -= passed_ns;
	clock->counted_ns = counted_ns;
	return true;
}

/* An interval of a tick or more is over: CL4. */
static void discipline(struct clock *clock, u64 now_ns)
{
	u64 ticks = clock_ticks(clock->counted_ns, own_ns(clock) - clock->own_since_ns);

	if (ticks == 0) {
		begin(clock, now_ns);
		return;
	}
	clock->since_ns += ticks * TICK_NS;
	clock->own_since_ns = own_ns(clock);
	clock->counted_ns -= ticks * TICK_NS;
	clock->floors++;
	publish(clock->since_ns);
}

bool clock_check(struct cpu *cpu, struct instant armed, struct instant *now)
{
	struct clock *clock = clock_of(cpu);
	struct timer_count count =
		mach_timer_count(); /* before the clock: a pause between them is not taken for one of the counter */
	u64 then_ns = now->ns;

	now->ns = mach_clock().ns; /* not below any before it, as that by mach_clock_quick may be */
	if (clock_is_slow(clock))
		note_count(clock, count.counted_ns);
	else if (!look_fast(cpu, &count, armed, now->ns))
		return now->ns != then_ns;
	if (clock->counted_ns >= TICK_NS && all_are_slow())
		discipline(clock, now->ns);
	now->ns = mach_clock().ns;
	mach_timer_arm(INSTANT_NEVER); /* a slow CPU's never stops: clock_arm */
	return now->ns != then_ns;
}
