/* SPDX-License-Identifier: MIT */
/* spin [SECONDS] [THREADS]: keeps CPUs busy, and says how often it went round. 0 seconds: until it is killed. */
#include <user/capos.h>

#define THREADS_MAX 64u
#define ROUNDS 4096u

static uint64_t end_ns;

static uint64_t spin(void *argument)
{
	uint64_t rounds = 0;

	(void)argument;
	while (now_ns() < end_ns) {
		for (volatile unsigned i = 0; i < ROUNDS; i++)
			;
		rounds++;
	}
	return rounds;
}

int main(int argc, char **argv)
{
	uint64_t seconds = argc > 1 ? leading_number(argv[1]) : 5, count = argc > 2 ? leading_number(argv[2]) : 1;
	struct thread threads[THREADS_MAX];
	uint64_t rounds = 0, started = 0;

	cap_need("timer");
	end_ns = seconds ? now_ns() + seconds * 1000000000ull : CAPOS_NEVER;
	for (; started + 1 < count && started < THREADS_MAX; started++) {
		struct capos_result r = thread_start(&threads[started], spin, NULL);

		if (!result_ok(r)) {
			char text[RESULT_TEXT_BYTES];

			print("spin: thread %lu: %s\n", (unsigned long)started + 2,
			      result_text(CAPOS_IFACE_thread_spawner, r, text));
			break;
		}
	}
	rounds = spin(NULL);
	for (uint64_t i = 0; i < started; i++) {
		uint64_t own = 0;

		if (result_ok(thread_finish(&threads[i], CAPOS_NEVER, &own)))
			rounds += own;
	}
	print("spin: %lu threads, %lu rounds of %u steps in %lu s\n", (unsigned long)started + 1,
	      (unsigned long)rounds, ROUNDS, (unsigned long)seconds);
	return 0;
}
