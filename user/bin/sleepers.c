/* SPDX-License-Identifier: MIT */
/* sleepers [THREADS] [SECONDS]: threads that sleep for short random times; says how late they woke. */
#include <user/capos.h>

#define THREADS_MAX 32u
#define SLEEP_NS_MAX 50000000ull

struct sleeper {
	struct thread thread;
	struct rng rng;
	uint64_t count, late_ns_sum, late_ns_max;
};

static struct sleeper sleepers[THREADS_MAX];
static uint64_t end_ns;

static uint64_t sleep_often(void *argument)
{
	struct sleeper *sleeper = argument;

	for (uint64_t now = now_ns(); now < end_ns;) {
		uint64_t deadline = now + rng_below(&sleeper->rng, SLEEP_NS_MAX);

		if (!result_ok(sleep_until_ns(deadline)))
			return 1;
		now = now_ns();

		uint64_t late = now - deadline;

		sleeper->count++;
		sleeper->late_ns_sum += late;
		if (late > sleeper->late_ns_max)
			sleeper->late_ns_max = late;
	}
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t count = argc > 1 ? leading_number(argv[1]) : 7, seconds = argc > 2 ? leading_number(argv[2]) : 5;
	uint64_t sleeps = 0, late_sum = 0, late_max = 0;
	unsigned started = 0;

	cap_need("timer");
	end_ns = now_ns() + seconds * 1000000000ull;
	for (; started < count && started < THREADS_MAX; started++) {
		rng_seed(&sleepers[started].rng, started + 1);
		if (!result_ok(thread_start(&sleepers[started].thread, sleep_often, &sleepers[started])))
			break;
	}
	for (unsigned i = 0; i < started; i++) {
		must(thread_finish(&sleepers[i].thread, CAPOS_NEVER, NULL));
		sleeps += sleepers[i].count;
		late_sum += sleepers[i].late_ns_sum;
		if (sleepers[i].late_ns_max > late_max)
			late_max = sleepers[i].late_ns_max;
	}
	print("sleepers: %u threads, %lu sleeps, late by %lu us on average, %lu us at most\n", started,
	      (unsigned long)sleeps, (unsigned long)(sleeps ? late_sum / sleeps / 1000 : 0),
	      (unsigned long)(late_max / 1000));
	return started == 0;
}
