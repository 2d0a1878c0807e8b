/* SPDX-License-Identifier: MIT */
/* LINK: kernel/time/clock.c */
/* The clock's discipline (CL4), and readings (CL1, CL2) against counters that a test sets. */
#include "tests/unit/fakes.h"

#include <kernel/clock.h>

#define CPUS 2u
#define MS 1000000ull
#define START (1ull << 40)

static struct cpu cpus[CPUS];
static struct cpu *all[CPUS] = { &cpus[0], &cpus[1] };
static u64 counter[CPUS], counted_ns[CPUS], span_ns[CPUS], armed_ns[CPUS], span_ns_max;
static bool clipped[CPUS];
static u32 requests[CPUS];
/* CPU 1 starts, and asks the boot CPU. */
#define ANSWER_NS 100u
static bool answers;
static unsigned readings;
static i64 answer_ahead_ns;

/* --- the machine: time passes by pass(), for counters and one-shots as told ---------------------------------------------- */

u64 mach_counter(void)
{
	struct time_state *time = &kernel_state.time;
	u64 now = counter[sim_cpu_record->id];

	if (answers && !clock_is_slow(&sim_cpu_record->mach.clock) &&
	    readings++ % 2 == 0) { /* before a question, which is answered when the counter is read again */
		atomic_store_relaxed(&time->answer_ns, now - START + (u64)answer_ahead_ns);
		atomic_store_relaxed(&time->answered, atomic_load_relaxed(&time->asked) + 1);
		counter[sim_cpu_record->id] += ANSWER_NS;
	}
	return now;
}
u64 mach_counter_ns(u64 counts)
{
	return counts;
}
void mach_clock_distrusted(void)
{
}
struct timer_count mach_timer_count(void)
{
	u32 id = sim_cpu_record->id;

	return (struct timer_count){ span_ns[id], MIN(counted_ns[id], span_ns[id]), clipped[id] };
}
void mach_timer_arm(struct instant deadline)
{
	u32 id = sim_cpu_record->id;

	if (clock_is_slow(&cpus[id].mach.clock))
		deadline = clock_arm(&cpus[id], deadline);
	counted_ns[id] = 0;
	span_ns[id] = 0;
	armed_ns[id] = deadline.ns;
	if (deadline.ns != INSTANT_NEVER.ns)
		span_ns[id] = deadline.ns - MIN(deadline.ns, mach_clock().ns);
	clipped[id] = span_ns[id] > span_ns_max;
	if (!clipped[id])
		return;
	span_ns[id] = span_ns_max;
	cpus[id].mach.clock.armed_ns = mach_clock().ns;
}
void sched_request(struct cpu *cpu, struct cpu *target, u32 request)
{
	(void)cpu;
	requests[target->id] |= request;
}
void klog(enum log_level level, const char *format, ...)
{
	(void)level, (void)format;
}

/* As mach_clock of the machines. */
static u64 read_clock(void)
{
	struct clock *clock = &sim_cpu_record->mach.clock;

	if (mach_counter() < clock->last)
		return clock_read(clock);
	clock->last = mach_counter();
	return clock->last - clock->base;
}
static u64 clock_now(u32 id)
{
	sim_cpu_record = &cpus[id];
	return mach_clock().ns;
}
/* Real time passes, of which the counter of a CPU shows some. */
static void pass(u32 id, u64 real_ns, i64 shown_ns)
{
	counted_ns[id] += real_ns;
	counter[id] += (u64)shown_ns;
	(void)clock_now(id);
}
static void arm(u32 id, u64 in_ns)
{
	sim_cpu_record = &cpus[id];
	mach_timer_arm((struct instant){ clock_now(id) + in_ns });
}
/* The one-shot expired. */
static bool expire(u32 id)
{
	struct instant now = { clock_now(id) };

	return clock_check(&cpus[id], (struct instant){ armed_ns[id] }, &now);
}

static int setup(void **state)
{
	(void)state;
	memset(&kernel_state, 0, sizeof(kernel_state));
	memset(cpus, 0, sizeof(cpus));
	memset(requests, 0, sizeof(requests));
	kernel_state.cpus = all;
	kernel_state.cpu_count = 1;
	for (u32 i = 0; i < CPUS; i++) {
		cpus[i].id = i;
		cpus[i].mach.clock = (struct clock){ .base = START, .last = START };
		atomic_store_relaxed(&cpus[i].online, 1u);
		counter[i] = START;
		counted_ns[i] = span_ns[i] = 0;
	}
	span_ns_max = 1000 * TICK_NS;
	answers = false;
	sim_cpu_record = &cpus[0];
	clock_source = read_clock;
	return 0;
}

/* --- CL4 ------------------------------------------------------------------------------------------------------------------- */

static void ticks_of_an_interval(void **state)
{
	(void)state;
	assert_int_equal(clock_ticks(TICK_NS - 1, 0), 0); /* less than a tick: never */
	assert_int_equal(clock_ticks(TICK_NS / 2, 0), 0);
	assert_int_equal(clock_ticks(TICK_NS, 0), 1);
	assert_int_equal(clock_ticks(TICK_NS, MIN_DISCIPLINED_ADVANCE_NS - 1), 1);
	assert_int_equal(clock_ticks(TICK_NS, MIN_DISCIPLINED_ADVANCE_NS), 0);
	assert_int_equal(clock_ticks(2 * TICK_NS - 1, 0), 1);
	assert_int_equal(clock_ticks(100 * TICK_NS, 100 * MIN_DISCIPLINED_ADVANCE_NS - 1), 100);
	assert_int_equal(clock_ticks(100 * TICK_NS, 100 * MIN_DISCIPLINED_ADVANCE_NS), 0);
	assert_int_equal(MIN_DISCIPLINED_ADVANCE_NS, 1250000);
}

/* A counter that goes is followed exactly, whatever expires, early and late. */
static void follows_exactly(void **state)
{
	u64 real_ns = 0;

	(void)state;
	for (u64 i = 0; i < 1000; i++) {
		u64 span = 1 + i * 7919 % (3 * TICK_NS);

		arm(0, span);
		pass(0, span - i % 2, (i64)(span - i % 2));
		real_ns += span - i % 2;
		assert_false(expire(0));
		assert_int_equal(clock_now(0), real_ns);
	}
	assert_false(clock_is_slow(&cpus[0].mach.clock));
}

/* One that goes at an eighth is followed; below, it is not. */
static void an_eighth(void **state)
{
	(void)state;
	arm(0, TICK_NS);
	pass(0, TICK_NS, (i64)MIN_DISCIPLINED_ADVANCE_NS);
	assert_false(expire(0));
	assert_int_equal(clock_now(0), MIN_DISCIPLINED_ADVANCE_NS);
	arm(0, TICK_NS);
	pass(0, TICK_NS, (i64)MIN_DISCIPLINED_ADVANCE_NS - 1);
	assert_true(expire(0));
	assert_int_equal(clock_now(0), MIN_DISCIPLINED_ADVANCE_NS + TICK_NS); /* instead of what it showed */
	assert_int_equal(cpus[0].mach.clock.floors, 1);
	pass(0, 3 * MS, 3 * (i64)MS); /* it goes again: followed */
	assert_int_equal(clock_now(0), MIN_DISCIPLINED_ADVANCE_NS + TICK_NS + 3 * MS);
}

/* It stands: ticks are counted, by one-shots of any length, and a half of one moves nothing. */
static void counts_ticks(void **state)
{
	(void)state;
	arm(0, TICK_NS / 2);
	pass(0, TICK_NS / 2, 0);
	assert_false(expire(0));
	assert_int_equal(clock_now(0), 0);
	for (u64 half = 2; half < 200; half++) {
		arm(0, TICK_NS / 2);
		pass(0, TICK_NS / 2, 0);
		assert_int_equal(expire(0), half % 2 == 0);
		assert_int_equal(clock_now(0), half / 2 * TICK_NS);
	}
	arm(0, 10 * TICK_NS);
	pass(0, 10 * TICK_NS, 0);
	assert_true(expire(0));
	assert_int_equal(clock_now(0), 109 * TICK_NS); /* 199 halves and 10 */
}

/* CL3: an eighth is enough, and less than an eighth of a tick is too little to tell: what follows is added to it. */
static void trusts_an_eighth(void **state)
{
	const struct clock *clock = &cpus[0].mach.clock;

	(void)state;
	arm(0, TICK_NS);
	pass(0, TICK_NS, (i64)MIN_DISCIPLINED_ADVANCE_NS);
	assert_false(expire(0));
	assert_false(clock_is_slow(clock));
	arm(0, MIN_DISCIPLINED_ADVANCE_NS - 1);
	pass(0, MIN_DISCIPLINED_ADVANCE_NS - 1, 0);
	assert_false(expire(0));
	assert_false(clock_is_slow(clock));
	arm(0, 1);
	pass(0, 1, 0);
	assert_false(expire(0));
	assert_true(clock_is_slow(clock));
}

/* A one-shot that is shorter than what was asked for expires early without anything being wrong. */
static void a_clipped_one(void **state)
{
	(void)state;
	span_ns_max = 3 * TICK_NS;
	arm(0, 100 * TICK_NS);
	pass(0, 3 * TICK_NS, 3 * (i64)TICK_NS);
	assert_false(expire(0));
	assert_false(clock_is_slow(&cpus[0].mach.clock));
	arm(0, 100 * TICK_NS);
	pass(0, 3 * TICK_NS, 0);
	assert_true(expire(0));
	assert_int_equal(clock_now(0), 6 * TICK_NS);
}

/* What is beyond the ticks of an interval is the next one's; what the counter went in it is not. */
static void intervals(void **state)
{
	(void)state;
	arm(0, TICK_NS + TICK_NS / 2);
	pass(0, TICK_NS + TICK_NS / 2, 0);
	assert_true(expire(0));
	assert_int_equal(clock_now(0), TICK_NS);
	arm(0, TICK_NS / 2);
	pass(0, TICK_NS / 2, 0);
	assert_true(expire(0));
	assert_int_equal(clock_now(0), 2 * TICK_NS);
	for (u64 i = 3; i < 10; i++) {
		arm(0, TICK_NS);
		pass(0, TICK_NS, MS);
		assert_true(expire(0));
		assert_int_equal(clock_now(0), i * TICK_NS);
	}
}

/* A slow CPU's counter that is ahead of what was counted is followed; from there on ticks count when it stands. */
static void ahead_then_stands(void **state)
{
	(void)state;
	clock_distrust(&cpus[0]);
	arm(0, TICK_NS);
	pass(0, 2 * MS, 5 * (i64)MS);
	arm(0, TICK_NS);
	pass(0, TICK_NS, 0);
	assert_true(expire(0));
	assert_int_equal(clock_now(0), 5 * MS + TICK_NS);
}

/* One that goes back on the way, and on again, went: nothing is made up. */
static void goes_back_and_on(void **state)
{
	(void)state;
	clock_distrust(&cpus[0]);
	arm(0, TICK_NS);
	pass(0, 9 * MS, 9 * (i64)MS);
	pass(0, 0, -(i64)MS);
	pass(0, 1 * MS, 1 * (i64)MS);
	(void)expire(0);
	assert_int_equal(clock_now(0), 10 * MS);
	assert_int_equal(cpus[0].mach.clock.floors, 0);
}

/* A slow CPU is never without a one-shot, and none is longer than that. */
static void always_looks(void **state)
{
	(void)state;
	arm(0, TICK_NS);
	pass(0, TICK_NS, 0);
	assert_true(expire(0));
	assert_int_equal(armed_ns[0], TICK_NS + CLOCK_LOOK_NS);
	arm(0, 1000 * TICK_NS);
	assert_int_equal(armed_ns[0], TICK_NS + CLOCK_LOOK_NS);
}

/* --- CL1, CL2 -------------------------------------------------------------------------------------------------------------- */

static void holds_when_it_goes_back(void **state)
{
	u64 before;

	(void)state;
	pass(0, 7 * MS, 7 * (i64)MS);
	for (u64 i = 0; i < 100; i++) {
		before = clock_now(0);
		pass(0, 1, -(i64)(1000 * i + 1));
		assert_int_equal(clock_now(0), before);
		pass(0, 100, 100);
		assert_int_equal(clock_now(0), before + 100);
	}
	assert_true(clock_is_slow(&cpus[0].mach.clock));
}

static void below_its_base(void **state)
{
	(void)state;
	pass(0, MS, MS);
	counter[0] = 5;
	assert_int_equal(clock_now(0), MS);
	assert_true(atomic_load_relaxed(&cpus[0].requests) & REQUEST_CLOCK);
}

/* What was read straight (mach_clock_quick) was read too. */
static void below_a_quick_reading(void **state)
{
	(void)state;
	pass(0, MS, MS);
	cpus[0].account_ns = 3 * MS;
	counter[0] = START + 2 * MS;
	assert_int_equal(clock_now(0), 2 * MS);
	counter[0] = START;
	assert_int_equal(clock_now(0), 3 * MS);
}

/* At ticks: a counter that shows less than another one did before. */
static void compared(void **state)
{
	(void)state;
	kernel_state.cpu_count = 2;
	for (u64 i = 0; i < 4; i++) {
		u32 id = i % 2;

		counter[id] = START + i * TICK_NS;
		sim_cpu_record = &cpus[id];
		clock_compare(&cpus[id]);
	}
	assert_false(clock_is_slow(&cpus[0].mach.clock) || clock_is_slow(&cpus[1].mach.clock));
	counter[0] = START + 3 * TICK_NS - 1;
	sim_cpu_record = &cpus[0];
	clock_compare(&cpus[0]);
	assert_true(clock_is_slow(&cpus[0].mach.clock));
	assert_int_equal(requests[1], REQUEST_CLOCK);
	assert_int_equal(clock_now(0), 3 * TICK_NS);
}

/* CPU 1 starts, and asks the boot CPU, whose clock shows that much more than its own at the begin of each question, which takes 100 ns.
 * True: it is fast. */
static bool starts(i64 ahead_ns)
{
	memset(&kernel_state.time, 0, sizeof(kernel_state.time));
	cpus[1].mach.clock = (struct clock){ .base = START, .last = START };
	counter[1] = START + 1000;
	sim_cpu_record = &cpus[1];
	answer_ahead_ns = ahead_ns;
	answers = true;
	readings = 0;
	clock_agree(&cpus[1]);
	answers = false;
	clock_started(&cpus[1]);
	return !clock_is_slow(&cpus[1].mach.clock);
}

static void agreed(void **state)
{
	(void)state;
	assert_true(starts(0));
	assert_true(starts(ANSWER_NS));
	assert_false(starts(-1));
	assert_false(starts(ANSWER_NS + 1));
	assert_int_equal(clock_now(1), 1000 + ANSWER_NS + 1);
	/* Something was found wrong while it started. */
	assert_true(starts(0));
	atomic_store_relaxed(&kernel_state.time.distrusted, 1u);
	clock_started(&cpus[1]);
	assert_true(clock_is_slow(&cpus[1].mach.clock));
}

/* Once both are slow nothing goes back from one to the other, however their counters jump. */
static void in_order_across_cpus(void **state)
{
	u64 last = 0, seed = 1;

	(void)state;
	kernel_state.cpu_count = 2;
	sim_cpu_record = &cpus[0];
	clock_distrust(&cpus[0]);
	assert_int_equal(requests[1], REQUEST_CLOCK);
	sim_cpu_record = &cpus[1];
	clock_requested(&cpus[1], INSTANT_NEVER);
	for (u32 i = 0; i < 100000; i++) {
		u64 now;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		counter[seed >> 60 & 1] += (seed >> 40) % 2001 - 1000;
		now = clock_now(seed >> 61 & 1);
		assert_true(now >= last);
		last = now;
	}
}

/* A CPU is not further than another one allows: the tick of both for the same time is one. */
static void ticks_of_two(void **state)
{
	(void)state;
	kernel_state.cpu_count = 2;
	for (u32 i = 0; i < 2; i++)
		arm(i, TICK_NS);
	pass(0, TICK_NS, 0);
	pass(1, TICK_NS, 0);
	assert_false(expire(0)); /* the other CPU would not see it */
	assert_int_equal(clock_now(0), 0);
	sim_cpu_record = &cpus[1];
	clock_requested(&cpus[1], (struct instant){ TICK_NS });
	arm(0, TICK_NS);
	pass(0, TICK_NS, 0);
	pass(1, TICK_NS, 0);
	assert_true(expire(0));
	assert_int_equal(clock_now(0), 2 * TICK_NS); /* the first is not lost */
	assert_int_equal(clock_now(1), 2 * TICK_NS);
	(void)expire(1);
	assert_int_equal(clock_now(1), 2 * TICK_NS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(ticks_of_an_interval, setup),
		cmocka_unit_test_setup(follows_exactly, setup),
		cmocka_unit_test_setup(an_eighth, setup),
		cmocka_unit_test_setup(counts_ticks, setup),
		cmocka_unit_test_setup(trusts_an_eighth, setup),
		cmocka_unit_test_setup(a_clipped_one, setup),
		cmocka_unit_test_setup(intervals, setup),
		cmocka_unit_test_setup(ahead_then_stands, setup),
		cmocka_unit_test_setup(goes_back_and_on, setup),
		cmocka_unit_test_setup(always_looks, setup),
		cmocka_unit_test_setup(holds_when_it_goes_back, setup),
		cmocka_unit_test_setup(below_its_base, setup),
		cmocka_unit_test_setup(below_a_quick_reading, setup),
		cmocka_unit_test_setup(compared, setup),
		cmocka_unit_test_setup(agreed, setup),
		cmocka_unit_test_setup(in_order_across_cpus, setup),
		cmocka_unit_test_setup(ticks_of_two, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
