/* SPDX-License-Identifier: MIT */
/*
 * The clock, as programs see it: it never goes back, on a CPU and from one to another; nobody is woken before his time; the tick goes on
 * beside one-shots of half a tick. With the argument "faults" (the simulator's --tsc) only what holds when the counter lies: across CPUs
 * the simulator itself looks.
 */
#include "proof.h"

#define TICK_NS (10 * MS)
#define READINGS 3000u
#define CPUS_MAX 16u
#define SPAN_NS (150 * MS)
#define TICKS_MIN 8u

static uint64_t latest, backs_here, backs_across, worst_ns;
static volatile bool over;
static uint64_t naps, early;

static bool has_faults;

/* --- readings ----------------------------------------------------------------------------------------------------------- */

static void count_back(uint64_t *backs, uint64_t by_ns)
{
	__atomic_fetch_add(backs, 1, __ATOMIC_RELAXED);
	if (by_ns > __atomic_load_n(&worst_ns, __ATOMIC_RELAXED))
		__atomic_store_n(&worst_ns, by_ns, __ATOMIC_RELAXED);
}

static uint64_t reader(void *argument)
{
	uint64_t before = 0, now;

	(void)argument;
	for (unsigned i = 0; i < READINGS; i++) {
		uint64_t others = __atomic_load_n(&latest, __ATOMIC_ACQUIRE), seen = others;

		now = now_ns();
		if (now < before)
			count_back(&backs_here, before - now);
		else if (now < others)
			count_back(&backs_across, others - now);
		while (seen < now &&
		       !__atomic_compare_exchange_n(&latest, &seen, now, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
			;
		before = now;
	}
	return 0;
}

static void readings(void)
{
	static struct thread threads[CPUS_MAX];
	uint32_t cpus = startup()->cpu_count < CPUS_MAX ? startup()->cpu_count : CPUS_MAX;

	for (uint32_t i = 0; i < cpus; i++)
		insist(thread_start_on(&threads[i], reader, NULL, i, 0));
	for (uint32_t i = 0; i < cpus; i++)
		must(thread_finish(&threads[i], CAPOS_NEVER, NULL));
	tap_ok(backs_here == 0, "%u readings on each of %u CPUs: none goes back", READINGS, cpus);
	if (!has_faults)
		tap_ok(backs_across == 0, "nor from one CPU to another");
	if (backs_here + backs_across != 0)
		tap_note("%lu went back, by up to %lu ns", (unsigned long)(backs_here + backs_across),
			 (unsigned long)worst_ns);
}

/* --- sleeps, beside a tick ---------------------------------------------------------------------------------------------- */

static void nap(uint64_t span_ns)
{
	uint64_t deadline_ns = now_ns() + span_ns;

	must(timer_sleep(known.timer, deadline_ns));
	if (now_ns() < deadline_ns)
		early++;
	naps++;
}

static uint64_t hog(void *argument)
{
	(void)argument;
	while (!over)
		;
	return 0;
}

static uint64_t sleeper(void *argument)
{
	(void)argument;
	while (!over)
		nap(TICK_NS / 2);
	return 0;
}

static uint64_t ticks_of_cpu_0(void)
{
	static struct capos_cpu_record records[CAPOS_MESSAGE_BYTES / sizeof(struct capos_cpu_record)];
	uint64_t count = 0, next = 0;

	must(scheduling_policy_snapshot(known.policy, CAPOS_SNAPSHOT_CPUS, 0, 0, 0, records, &count, &next));
	return records[0].ticks;
}

/* CPU 0 is busy, and its one-shots are for sleeps of half a tick as well as for the tick. */
static void ticks(void)
{
	struct thread threads[2];
	uint64_t began_ns = now_ns(), ticked = ticks_of_cpu_0(), took_ns = 0, n = 0;

	insist(thread_start_on(&threads[0], hog, NULL, 0, 0));
	insist(thread_start_on(&threads[1], sleeper, NULL, 0, 0));
	/* A host that stood still gives fewer. */
	for (unsigned i = 0; i < 20 && (n < TICKS_MIN || naps < TICKS_MIN); i++) {
		must(sleep_ns(SPAN_NS));
		n = ticks_of_cpu_0() - ticked;
		took_ns = now_ns() - began_ns;
	}
	over = true;
	for (unsigned i = 0; i < 2; i++)
		must(thread_finish(&threads[i], CAPOS_NEVER, NULL));
	tap_ok(n >= TICKS_MIN && n <= took_ns / TICK_NS + 2, "ticks of CPU 0 in %lu ms: %lu",
	       (unsigned long)(took_ns / MS), (unsigned long)n);
	tap_ok(naps >= TICKS_MIN, "naps of half a tick meanwhile: %lu", (unsigned long)naps);
}

static void sleeps(void)
{
	static const uint64_t spans_us[] = { 1, 30, 2500, 5000, 9999, 10000, 11000, 25000 };

	for (unsigned i = 0; i < COUNT_OF(spans_us); i++)
		nap(spans_us[i] * 1000);
	tap_ok(early == 0, "%lu sleeps, none too short", (unsigned long)naps);
}

int main(int argc, char **argv)
{
	has_faults = argc > 1 && argv[1][0] == 'f';
	readings();
	ticks();
	sleeps();
	readings();
	return tap_done();
}
