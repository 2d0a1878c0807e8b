/* SPDX-License-Identifier: MIT */
/* `make bench-latency`: capOS's part. "latency hog" is a process that computes without end. */
#include "latency.h"

#include <user/capos.h>

#define HOGS_MAX 64u

static struct thread threads[64];
static struct {
	latency_function function;
	void *argument;
} starts[64];
static capos_handle hogs[HOGS_MAX];
static unsigned hog_count;

uint64_t system_now_ns(void)
{
	return now_ns();
}

void system_sleep_until(uint64_t deadline_ns)
{
	(void)sleep_until_ns(deadline_ns);
}

static uint64_t begin(void *argument)
{
	uintptr_t i = (uintptr_t)argument;

	starts[i].function(starts[i].argument);
	return 0;
}

void system_start(unsigned i, latency_function function, void *argument)
{
	starts[i].function = function;
	starts[i].argument = argument;
	must(thread_start(&threads[i], begin, (void *)(uintptr_t)i));
}

void system_join(unsigned i)
{
	must(thread_finish(&threads[i], CAPOS_NEVER, NULL));
}

bool system_fast(bool fast)
{
	return result_ok(
		scheduling_policy_set_latency_class(known.policy, 0,
						    fast ? CAPOS_LATENCY_INTERACTIVE : CAPOS_LATENCY_NORMAL));
}

void system_hogs(unsigned count)
{
	struct capos_spawn spawn;
	struct process_end end;

	for (unsigned i = 0; i < hog_count; i++) {
		(void)process_kill(hogs[i], 0);
		must(spawn_finish(hogs[i], CAPOS_NEVER, &end));
	}
	spawn_init(&spawn, "latency", "hog");
	for (hog_count = 0; hog_count < count && hog_count < HOGS_MAX; hog_count++)
		must(spawn_start(&spawn, &hogs[hog_count], NULL));
}

void system_print(const char *name, unsigned samples, const uint64_t ns[4])
{
	print("latency name=%s samples=%u p50=%lu p99=%lu p999=%lu max=%lu\n", name, samples, (unsigned long)ns[0],
	      (unsigned long)ns[1], (unsigned long)ns[2], (unsigned long)ns[3]);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "hog") == 0)
		latency_hog();
	latency_run(startup()->cpu_count);
	print("latency-done\n");
	return 0;
}
