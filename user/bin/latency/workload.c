/* SPDX-License-Identifier: MIT */
#include "latency.h"

#include <user/channel.h>

#define TIMER_SAMPLES 2000u
#define HOG_SAMPLES 500u /* each may wait for a slice */
#define SPAN_NS 60000u
#define WARM_UP 20u

#define WORK_TURNS 50000u /* 0.2 ms and some */
#define THINK_NS 1000000u
#define REQUESTS 2000u
#define WORKERS_MAX 48u

/* Of the case that runs. */
static uint64_t samples[LATENCY_SAMPLES_MAX], more_samples[LATENCY_SAMPLES_MAX];
static uint32_t count;
static uint64_t ticks_per_us; /* of the TSC */

static void add(uint64_t ticks)
{
	if (count < LATENCY_SAMPLES_MAX)
		samples[count++] = (int64_t)ticks > 0 ? ticks : 0;
}

static void sort(uint64_t *values, uint32_t n)
{
	for (uint32_t gap = n / 2; gap > 0; gap /= 2)
		for (uint32_t i = gap; i < n; i++)
			for (uint32_t j = i; j >= gap && values[j - gap] > values[j]; j -= gap) {
				uint64_t value = values[j];

				values[j] = values[j - gap];
				values[j - gap] = value;
			}
}

/* Median, 99 %, 99.9 %, greatest. */
static void report(const char *name, uint64_t *values, uint32_t n)
{
	static const uint32_t permille[] = { 500, 990, 999, 1000 };
	uint64_t ns[4];

	sort(values, n);
	for (unsigned i = 0; i < 4; i++) {
		uint32_t at = n * permille[i] / 1000;

		ns[i] = values[at < n ? at : n - 1] * 1000 / ticks_per_us;
	}
	system_print(name, n, ns);
	count = 0;
}

static void calibrate(void)
{
	uint64_t begin_ns = system_now_ns(), begin = latency_now(), now_ns;

	while ((now_ns = system_now_ns()) < begin_ns + 50000000)
		;
	ticks_per_us = (latency_now() - begin) * 1000 / (now_ns - begin_ns);
}

/* --- wake-ups ----------------------------------------------------------------------------------------------------- */

static void timers(const char *name, unsigned n)
{
	for (unsigned i = 0; i < WARM_UP + n; i++) {
		uint64_t before = latency_now(), now_ns = system_now_ns(), after = latency_now();
		uint64_t span_ns = SPAN_NS + i % 97 * 100;

		system_sleep_until(now_ns + span_ns);
		if (i == WARM_UP)
			count = 0;
		add(latency_now() - (before + (after - before) / 2 + span_ns * ticks_per_us / 1000));
	}
	report(name, samples, count);
}

static struct {
	_Alignas(CHANNEL_LINE) uint32_t word;
} there, back;
static uint64_t woken_at;
static uint32_t rounds;
static bool other_is_fast;

static void wait_for(const uint32_t *word, uint32_t value)
{
	uint32_t seen;

	while ((seen = __atomic_load_n(word, __ATOMIC_ACQUIRE)) != value)
		(void)channel_sleep(word, seen, CHANNEL_NEVER, false);
}

static void store_and_wake(uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
	channel_wake(word, false);
}

static void other(void *argument)
{
	(void)argument;
	if (other_is_fast)
		(void)system_fast(true);
	for (uint32_t i = 1; i <= rounds; i++) {
		wait_for(&there.word, i);
		add(latency_now() - woken_at);
		store_and_wake(&back.word, i);
	}
}

static void wakes(const char *name, unsigned n, bool fast)
{
	there.word = back.word = 0;
	rounds = n + WARM_UP;
	other_is_fast = fast;
	system_start(0, other, NULL);
	for (uint32_t i = 1; i <= rounds; i++) {
		system_sleep_until(system_now_ns() + SPAN_NS);
		if (i == WARM_UP + 1)
			count = 0;
		woken_at = latency_now();
		store_and_wake(&there.word, i);
		wait_for(&back.word, i);
	}
	system_join(0);
	report(name, samples, count);
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

enum { FREE, ASKED, STOP };

static struct worker {
	_Alignas(CHANNEL_LINE) uint32_t state;
	uint64_t asked_at;
} workers[WORKERS_MAX];
static struct {
	_Alignas(CHANNEL_LINE) uint32_t word;
} freed; /* so many times a worker got free */
static uint64_t work_result;

static void work(void)
{
	uint64_t value = 1;

	for (unsigned i = 0; i < WORK_TURNS; i++) {
		value = value * 6364136223846793005u + 1442695040888963407u;
		__asm__ volatile("" : "+r"(value));
	}
	__atomic_store_n(&work_result, value, __ATOMIC_RELAXED);
}

static void serve(void *argument)
{
	struct worker *worker = argument;

	for (;;) {
		uint32_t state, at;
		uint64_t run_at;

		while ((state = __atomic_load_n(&worker->state, __ATOMIC_ACQUIRE)) == FREE)
			(void)channel_sleep(&worker->state, FREE, CHANNEL_NEVER, false);
		if (state == STOP)
			return;
		run_at = latency_now();
		work();
		at = __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED);
		if (at < LATENCY_SAMPLES_MAX) {
			more_samples[at] = run_at - worker->asked_at;
			samples[at] = latency_now() - worker->asked_at;
		}
		system_sleep_until(system_now_ns() + THINK_NS);
		__atomic_store_n(&worker->state, FREE, __ATOMIC_RELEASE);
		__atomic_add_fetch(&freed.word, 1, __ATOMIC_RELEASE);
		channel_wake(&freed.word, false);
	}
}

static void wait_until_free(const struct worker *worker)
{
	for (;;) {
		uint32_t seen = __atomic_load_n(&freed.word, __ATOMIC_ACQUIRE);

		if (__atomic_load_n(&worker->state, __ATOMIC_ACQUIRE) == FREE)
			return;
		(void)channel_sleep(&freed.word, seen, CHANNEL_NEVER, false);
	}
}

static void requests(const char *name, const char *wake_name, unsigned worker_count)
{
	unsigned given = 0;

	for (unsigned i = 0; i < worker_count; i++) {
		workers[i].state = FREE;
		system_start(i, serve, &workers[i]);
	}
	while (given < REQUESTS) {
		uint32_t seen = __atomic_load_n(&freed.word, __ATOMIC_ACQUIRE);

		for (unsigned i = 0; i < worker_count && given < REQUESTS; i++) {
			if (__atomic_load_n(&workers[i].state, __ATOMIC_ACQUIRE) != FREE)
				continue;
			workers[i].asked_at = latency_now();
			store_and_wake(&workers[i].state, ASKED);
			given++;
		}
		(void)channel_sleep(&freed.word, seen, CHANNEL_NEVER, false);
	}
	for (unsigned i = 0; i < worker_count; i++) {
		wait_until_free(&workers[i]);
		store_and_wake(&workers[i].state, STOP);
		system_join(i);
	}

	uint32_t n = count < LATENCY_SAMPLES_MAX ? count : LATENCY_SAMPLES_MAX;

	report(wake_name, more_samples, n);
	report(name, samples, n);
}

void latency_run(unsigned cpus)
{
	calibrate();
	system_sleep_until(system_now_ns() + 100000000); /* what the start has set going is over */
	timers("timer_idle", TIMER_SAMPLES);
	wakes("wake_idle", TIMER_SAMPLES, false);
	requests("request_light", "request_light_wake", 2 * cpus);
	requests("request_heavy", "request_heavy_wake", 8 * cpus);
	system_hogs(cpus);
	timers("timer_hog", HOG_SAMPLES);
	wakes("wake_hog", HOG_SAMPLES, false);
	requests("request_hog", "request_hog_wake", 2 * cpus);
	if (system_fast(true)) {
		timers("timer_fast", TIMER_SAMPLES);
		wakes("wake_fast", TIMER_SAMPLES, true);
		(void)system_fast(false);
	}
	system_hogs(0);
}
