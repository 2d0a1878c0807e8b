/* SPDX-License-Identifier: MIT */
/* user/bin/latency as Linux has it, as init of Debian's kernel (tools/bench-latency). */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"
#include "latency.h"

#define HOGS_MAX 64u

static pthread_t threads[64];
static struct {
	latency_function function;
	void *argument;
} starts[64];
static pid_t hogs[HOGS_MAX];
static unsigned hog_count;

uint64_t system_now_ns(void)
{
	return guest_now_ns();
}

void system_sleep_until(uint64_t deadline_ns)
{
	struct timespec at = { (time_t)(deadline_ns / 1000000000), (long)(deadline_ns % 1000000000) };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

/* Threads and hogs are of the ordinary class, whoever starts them. */
static bool set_class(bool fast)
{
	struct sched_param param = { .sched_priority = fast ? 50 : 0 };

	return sched_setscheduler(0, fast ? SCHED_FIFO : SCHED_OTHER, &param) == 0;
}

static void *begin(void *argument)
{
	uintptr_t i = (uintptr_t)argument;

	must(set_class(false), "sched_setscheduler");
	starts[i].function(starts[i].argument);
	return NULL;
}

void system_start(unsigned i, latency_function function, void *argument)
{
	starts[i].function = function;
	starts[i].argument = argument;
	must(pthread_create(&threads[i], NULL, begin, (void *)(uintptr_t)i) == 0, "pthread_create");
}

void system_join(unsigned i)
{
	pthread_join(threads[i], NULL);
}

bool system_fast(bool fast)
{
	must(set_class(fast), "sched_setscheduler");
	return true;
}

void system_hogs(unsigned count)
{
	for (unsigned i = 0; i < hog_count; i++) {
		kill(hogs[i], SIGKILL);
		waitpid(hogs[i], NULL, 0);
	}
	for (hog_count = 0; hog_count < count && hog_count < HOGS_MAX; hog_count++) {
		hogs[hog_count] = fork();
		if (hogs[hog_count] == 0)
			latency_hog();
	}
}

void system_print(const char *name, unsigned samples, const uint64_t ns[4])
{
	printf("latency name=%s samples=%u p50=%lu p99=%lu p999=%lu max=%lu\n", name, samples, (unsigned long)ns[0],
	       (unsigned long)ns[1], (unsigned long)ns[2], (unsigned long)ns[3]);
}

int main(void)
{
	guest_console();
	must(prctl(PR_SET_TIMERSLACK, 1) == 0,
	     "prctl"); /* its threads', too: ns that a timer may be late to save interrupts */
	latency_run((unsigned)sysconf(_SC_NPROCESSORS_ONLN));
	printf("latency-done\n");
	fflush(stdout);
	reboot(RB_POWER_OFF);
	return 0;
}
