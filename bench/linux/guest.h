/* SPDX-License-Identifier: MIT */
/* What the programs that are init of a Linux guest share. */
#ifndef GUEST_H
#define GUEST_H

#include <stdint.h>
#include <stdio.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <time.h>

/* Not ok: errno is told, and the guest ends. */
static inline void must(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	reboot(RB_POWER_OFF);
}

/* Standard output goes to the console, line by line. */
static inline void guest_console(void)
{
	mkdir("/dev", 0755);
	mknod("/dev/console", S_IFCHR | 0600, 5 << 8 | 1);
	must(freopen("/dev/console", "w", stdout) != NULL, "console");
	setvbuf(stdout, NULL, _IOLBF, 0);
}

static inline uint64_t guest_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

#endif
