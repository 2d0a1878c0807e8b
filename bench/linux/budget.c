/* SPDX-License-Identifier: MIT */
/*
 * user/bin/budget as Linux has it: SCHED_DEADLINE, as init of Debian's kernel (tools/bench-budget). "wall" on the kernel's command line:
 * in the host's time. Twice: as Linux is, and with its scheduler's feature HRTICK_DL, which ends budgets by a timer instead of a tick.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bursts.h"
#include "guest.h"

#define US 1000ull
#define MS 1000000ull
#define BURSTS 200u

struct deadline_attr { /* struct sched_attr of the kernel, first version */
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime_ns, deadline_ns, period_ns;
};

uint64_t system_now_ns(void)
{
	return guest_now_ns();
}

void system_print(const char *name, uint64_t begin_ns, uint64_t span_ns, uint64_t ran_ns)
{
	printf("burst case=%s begin=%lu span=%lu ran=%lu\n", name, (unsigned long)begin_ns, (unsigned long)span_ns,
	       (unsigned long)ran_ns);
}

static void spinner(const char *name, uint64_t budget_ns, uint64_t period_ns, unsigned count, int exact)
{
	struct deadline_attr budget = { .size = sizeof(budget),
					.policy = 6 /* SCHED_DEADLINE */,
					.runtime_ns = budget_ns,
					.deadline_ns = period_ns,
					.period_ns = period_ns };
	struct deadline_attr ordinary = { .size = sizeof(ordinary) };

	must(syscall(SYS_sched_setattr, 0, &budget, 0) == 0, "sched_setattr");
	bursts_of(name, budget_ns, period_ns, count, exact);
	must(syscall(SYS_sched_setattr, 0, &ordinary, 0) == 0, "sched_setattr");
}

static int hrtick(void)
{
	int file, ok;

	mkdir("/debug", 0755);
	if (mount("debugfs", "/debug", "debugfs", 0, NULL) != 0)
		return 0;
	file = open("/debug/sched/features", O_WRONLY);
	ok = file >= 0 && write(file, "HRTICK_DL", 9) == 9;
	close(file);
	return ok;
}

int main(int argc, char **argv)
{
	int wall = argc > 1 && strcmp(argv[argc - 1], "wall") == 0;

	guest_console();
	for (int with = 0; with < 2; with++) {
		if (with == 1 && !hrtick()) {
			printf("no HRTICK_DL\n");
			break;
		}
		if (wall) {
			spinner(with ? "wall_hrtick" : "wall", 5 * MS, 50 * MS, BURSTS_WALL, 0);
			continue;
		}
		spinner(with ? "5ms_50ms_hrtick" : "5ms_50ms", 5 * MS, 50 * MS, BURSTS, 1);
		spinner(with ? "200us_1ms_hrtick" : "200us_1ms", 200 * US, MS, BURSTS, 1);
		spinner(with ? "20us_500us_hrtick" : "20us_500us", 20 * US, 500 * US, BURSTS, 1);
	}
	printf("budget-done\n");
	fflush(stdout);
	reboot(RB_POWER_OFF);
	return 0;
}
