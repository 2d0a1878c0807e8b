/* SPDX-License-Identifier: MIT */
/*
 * What user/bin/thread-scale/workload.c asks of a system, from Linux: as a program on the host, or as init of Debian's
 * kernel. Threads are POSIX threads with the C library's usual stacks; memory is mapped as malloc would for so much.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "../../user/bin/thread-scale/workload.h"

static struct {
	pthread_t thread;
	uint64_t (*function)(void *);
	void *argument;
} threads[SCALE_WORKERS_MAX];

uint64_t host_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t host_ticks(void)
{
	return __rdtsc();
}

void *host_map(size_t bytes)
{
	void *address = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return address == MAP_FAILED ? NULL : address;
}

void host_unmap(void *address, size_t bytes)
{
	munmap(address, bytes);
}

static void *thread_main(void *argument)
{
	size_t worker = (size_t)argument;

	threads[worker].function(threads[worker].argument);
	return NULL;
}

bool host_start(uint32_t worker, uint64_t (*function)(void *), void *argument)
{
	threads[worker].function = function;
	threads[worker].argument = argument;
	return pthread_create(&threads[worker].thread, NULL, thread_main, (void *)(size_t)worker) == 0;
}

bool host_join(uint32_t worker)
{
	return pthread_join(threads[worker].thread, NULL) == 0;
}

void host_print(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	fflush(stdout);
}

bool host_line(char *line, size_t n)
{
	if (fgets(line, (int)n, stdin) == NULL)
		return false;
	line[strcspn(line, "\r\n")] = 0;
	return true;
}

bool host_command(const char *line)
{
	(void)line;
	return false;
}

void host_phase(enum scale_phase phase)
{
	(void)phase;
}

void host_case(bool begins)
{
	(void)begins;
}

/* As init: the console, without echo. */
static void open_console(void)
{
	struct termios terminal;

	mkdir("/dev", 0755);
	mknod("/dev/console", S_IFCHR | 0600, 5 << 8 | 1);
	if (freopen("/dev/console", "r", stdin) == NULL || freopen("/dev/console", "w", stdout) == NULL)
		reboot(RB_POWER_OFF);
	if (tcgetattr(0, &terminal) == 0) {
		terminal.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
		tcsetattr(0, TCSANOW, &terminal);
	}
}

int main(void)
{
	bool good;

	if (getpid() == 1)
		open_console();
	good = scale_serve();
	if (getpid() == 1)
		reboot(RB_POWER_OFF);
	return good ? 0 : 1;
}
