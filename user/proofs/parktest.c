/* SPDX-License-Identifier: MIT */
/*
 * run-park: locks, conditions and barriers that park, with counts that must come out; shared words between processes;
 * timeouts that are never early; wake n.
 */
#include "proof.h"

#define THREADS 6u

static unsigned rounds; /* per thread */
static struct mutex lock;
static struct barrier barrier;
static volatile uint64_t counter, parity;
static uint64_t wrong;

static uint64_t count_up(void *argument)
{
	(void)argument;
	for (unsigned i = 0; i < rounds; i++) {
		mutex_lock(&lock);
		counter = counter + 1;
		parity = parity ^ 1;
		if ((counter & 1) != parity)
			__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
		mutex_unlock(&lock);
	}
	return 0;
}

static void start_all(struct thread *threads, unsigned count, thread_function function)
{
	for (unsigned i = 0; i < count; i++)
		insist(thread_start_on(&threads[i], function, (void *)(uintptr_t)i,
				       i % 2 ? CAPOS_CPU_ANY : i % startup()->cpu_count, 0));
}

static uint64_t finish_all(struct thread *threads, unsigned count)
{
	uint64_t sum = 0, code = 0;

	for (unsigned i = 0; i < count; i++) {
		must(thread_finish(&threads[i], CAPOS_NEVER, &code));
		sum += code;
	}
	return sum;
}

static void mutexes(void)
{
	struct thread threads[THREADS];
	struct usage before = usage_now();

	start_all(threads, THREADS, count_up);
	(void)finish_all(threads, THREADS);
	tap_ok(counter == (uint64_t)THREADS * rounds && wrong == 0, "a mutex: %u threads count to %lu", THREADS,
	       (unsigned long)counter);
	tap_returns(before, "everything came back");
}

/* --- a bounded buffer ------------------------------------------------------------------------------------------------- */

#define PLACES 4u
static struct condition not_full, not_empty;
static uint64_t buffer[PLACES];
static unsigned put_count, get_count, to_get;
static uint64_t sum_put, sum_got;

static uint64_t produce(uint64_t number)
{
	for (unsigned i = 0; i < rounds; i++) {
		mutex_lock(&lock);
		while (put_count - get_count == PLACES)
			(void)condition_wait(&not_full, &lock, CAPOS_NEVER);
		buffer[put_count++ % PLACES] = number * rounds + i;
		sum_put += number * rounds + i;
		condition_signal(&not_empty);
		mutex_unlock(&lock);
	}
	return 0;
}

static uint64_t consume(void)
{
	uint64_t got = 0;

	for (;;) {
		mutex_lock(&lock);
		while (put_count == get_count && to_get > 0)
			(void)condition_wait(&not_empty, &lock, CAPOS_NEVER);
		if (to_get == 0) {
			condition_broadcast(&not_empty);
			mutex_unlock(&lock);
			return got;
		}
		sum_got += buffer[get_count++ % PLACES];
		to_get--;
		got++;
		if (to_get == 0)
			condition_broadcast(&not_empty);
		condition_signal(&not_full);
		mutex_unlock(&lock);
	}
}

static uint64_t produce_or_consume(void *argument)
{
	uint64_t number = (uintptr_t)argument;

	return number < THREADS / 2 ? produce(number) : consume();
}

static void conditions(void)
{
	struct thread threads[THREADS];
	uint64_t got;

	to_get = THREADS / 2 * rounds;
	start_all(threads, THREADS, produce_or_consume);
	got = finish_all(threads, THREADS);
	tap_ok(got == (uint64_t)THREADS / 2 * rounds && sum_put == sum_got && put_count == get_count,
	       "conditions: %lu items through a buffer of %u", (unsigned long)got, PLACES);
}

static uint32_t arrived[64];

static uint64_t meet(void *argument)
{
	uint64_t bad = 0;

	(void)argument;
	for (unsigned i = 0; i < 64; i++) {
		__atomic_add_fetch(&arrived[i], 1, __ATOMIC_RELAXED);
		barrier_wait(&barrier);
		bad += __atomic_load_n(&arrived[i], __ATOMIC_RELAXED) != THREADS;
	}
	return bad;
}

static void barriers(void)
{
	struct thread threads[THREADS];

	barrier_init(&barrier, THREADS);
	start_all(threads, THREADS, meet);
	tap_ok(finish_all(threads, THREADS) == 0, "a barrier: %u threads meet 64 times, none goes on too early",
	       THREADS);
}

/* --- a ball between pairs of threads ---------------------------------------------------------------------------------- */

static struct {
	uint32_t ball[2];
	uint64_t passed[2];
} pairs[THREADS / 2];

/* Each passes it `rounds` times: one call wakes the other and waits. Every few, by two calls. */
static uint64_t pass_the_ball(void *argument)
{
	uint64_t number = (uintptr_t)argument, me = number % 2;
	uint32_t *ball = pairs[number / 2].ball;

	for (unsigned i = 0; i < rounds; i++) {
		while (__atomic_load_n(&ball[me], __ATOMIC_ACQUIRE) == 0)
			(void)park_while(&ball[me], 0, CAPOS_NEVER);
		__atomic_store_n(&ball[me], 0, __ATOMIC_RELAXED);
		pairs[number / 2].passed[me]++;
		__atomic_store_n(&ball[1 - me], 1, __ATOMIC_RELEASE);
		if (i % 8 == 7 || i + 1 == rounds)
			(void)unpark(&ball[1 - me], 1);
		else
			(void)unpark_and_park_while(&ball[1 - me], &ball[me], 0, CAPOS_NEVER);
	}
	return pairs[number / 2].passed[me];
}

static void balls(void)
{
	struct thread threads[THREADS];

	for (unsigned i = 0; i < THREADS / 2; i++)
		pairs[i].ball[0] = 1;
	start_all(threads, THREADS, pass_the_ball);
	tap_ok(finish_all(threads, THREADS) == (uint64_t)THREADS * rounds, "%u pairs pass a ball %u times each way",
	       THREADS / 2, rounds);
}

/* --- time ---------------------------------------------------------------------------------------------------------- */

static uint32_t never_changes;

static uint64_t time_out(void *argument)
{
	struct rng rng;
	uint64_t early = 0;

	rng_seed(&rng, (uintptr_t)argument + 1);
	for (unsigned i = 0; i < 10; i++) {
		uint64_t deadline = now_ns() + rng_below(&rng, 3 * MS);
		struct capos_result r = park_space_wait(known.park, &never_changes, 0, deadline, 0);

		early += !IS(r, TIMED_OUT) || now_ns() < deadline;
	}
	return early;
}

static void timeouts(void)
{
	struct thread threads[THREADS];

	start_all(threads, THREADS, time_out);
	tap_ok(finish_all(threads, THREADS) == 0, "%u timeouts, none early", THREADS * 10);
}

static uint32_t gate;
static uint32_t passed;

static uint64_t pass_gate(void *argument)
{
	(void)argument;
	struct capos_result r = park_space_wait(known.park, &gate, 0, CAPOS_NEVER, 0);

	__atomic_add_fetch(&passed, 1, __ATOMIC_RELAXED);
	return r.status;
}

static void wake_counts(void)
{
	static struct thread threads[20];
	uint64_t woken = 0;

	start_all(threads, 20, pass_gate);
	tap_ok(becomes_true(how_many_wait(threads, 20, CAPOS_WAIT_PARK) == 20), "20 threads are parked");
	(void)park_space_wake(known.park, &gate, 3, 0, &woken);
	tap_ok(woken == 3 && becomes_true(passed == 3 && how_many_wait(threads, 20, CAPOS_WAIT_PARK) == 17),
	       "wake 3 wakes three");
	(void)park_space_wake(known.park, &gate, 10, 0, &woken);
	tap_ok(woken == 10 && becomes_true(passed == 13), "wake 10 wakes ten");
	(void)park_space_wake(known.park, &gate, 100, 0, &woken);
	tap_ok(woken == 7, "wake 100 wakes the other seven");
	tap_ok(finish_all(threads, 20) == 0 && passed == 20, "all went on");
}

/* Timeouts and wakes at the same moment: each wait ends once, and a wake that counted somebody woke somebody. */
static uint64_t counted_wakes, ended_by_wake, ended_by_time;

static uint64_t race_wait(void *argument)
{
	(void)argument;
	for (unsigned i = 0; i < rounds / 4; i++) {
		struct capos_result r = park_space_wait(known.park, &gate, 0, now_ns() + 20000, 0);

		__atomic_add_fetch(IS(r, OK) ? &ended_by_wake : &ended_by_time, 1, __ATOMIC_RELAXED);
	}
	return 0;
}

static uint64_t race_wake(void *argument)
{
	(void)argument;
	for (unsigned i = 0; i < rounds / 4; i++) {
		uint64_t woken = 0;

		(void)park_space_wake(known.park, &gate, 1, 0, &woken);
		__atomic_add_fetch(&counted_wakes, woken, __ATOMIC_RELAXED);
		(void)sleep_ns(10000);
	}
	return 0;
}

static uint64_t race(void *argument)
{
	return (uintptr_t)argument < 3 ? race_wait(NULL) : race_wake(NULL);
}

static void races(void)
{
	struct thread threads[THREADS];

	start_all(threads, THREADS, race);
	(void)finish_all(threads, THREADS);
	tap_ok(counted_wakes == ended_by_wake && ended_by_wake + ended_by_time == 3ull * (rounds / 4),
	       "wakes against timeouts: %lu wakes counted, %lu waits ended so, %lu by time",
	       (unsigned long)counted_wakes, (unsigned long)ended_by_wake, (unsigned long)ended_by_time);
}

/* --- between processes ------------------------------------------------------------------------------------------------ */

static capos_handle start_child(const struct block *block, const char *mode, unsigned count)
{
	struct capos_spawn spawn;
	capos_handle process = 0;
	char args[32];

	fmt_buf(args, sizeof(args), "%s %u", mode, count);
	child_init(&spawn, args);
	(void)spawn_grant(&spawn, "shared", block->memory, CAPOS_RIGHT_READ | CAPOS_RIGHT_WRITE);
	insist(spawn_start(&spawn, &process, NULL));
	return process;
}

static void shared_words(void)
{
	struct block block;
	capos_handle process[3];
	uint32_t *word, expected = rounds / 4;
	bool good = true;

	insist(block_map(&block, CAPOS_PAGE_BYTES));
	word = block.address;
	process[0] = start_child(&block, "pingpong", expected);
	for (uint32_t i = 0; i < expected; i++) {
		uint32_t seen;

		__atomic_store_n(word, 2 * i + 1, __ATOMIC_RELEASE);
		(void)park_space_wake(known.park, word, 1, CAPOS_PARK_SHARED, NULL);
		while ((seen = __atomic_load_n(word, __ATOMIC_ACQUIRE)) != 2 * i + 2)
			(void)park_space_wait(known.park, word, seen, CAPOS_NEVER, CAPOS_PARK_SHARED);
	}
	tap_ok(*word == 2 * expected && ended(child_end(process[0]), CAPOS_EXIT_NORMAL, 0),
	       "two processes alternate %u times on a shared word", expected);
	word[0] = word[1] = 0;
	for (unsigned i = 0; i < 3; i++)
		process[i] = start_child(&block, "lock", rounds);
	for (unsigned i = 0; i < 3; i++)
		good = ended(child_end(process[i]), CAPOS_EXIT_NORMAL, 0) && good;
	tap_ok(good && word[1] == 3 * rounds, "three processes count to %u under a shared lock", word[1]);
	/* A private wait on the same address is another word. */
	uint64_t woken = 9;

	process[0] = start_child(&block, "pingpong", 1);
	word[0] = 0;
	(void)sleep_ns(5 * MS);
	(void)park_space_wake(known.park, word, 9, 0, &woken);
	tap_ok(woken == 0, "a private wake does not reach a shared wait");
	(void)process_kill(process[0], 1);
	(void)child_end(process[0]);
	(void)park_space_wake(known.park, word, 9, CAPOS_PARK_SHARED, &woken);
	tap_ok(woken == 0, "a killed process waits for nothing any more");
	block_unmap(&block);
}

int main(int argc, char **argv)
{
	struct usage before;

	(void)argc;
	(void)argv;
	tap_plan(0);
	rounds = on_simulator() ? 60 : 2000;
	grow_table();
	(void)child_run("exit 0");
	before = usage_now(); /* no thread has ended yet: what is left of one may go a moment after its join */
	mutexes();
	conditions();
	barriers();
	balls();
	timeouts();
	wake_counts();
	races();
	shared_words();
	tap_returns(before, "everything came back");
	return tap_done();
}
