/* SPDX-License-Identifier: MIT */
/*
 * user/bin/hackbench as Linux has it, as init of Debian's kernel (tools/bench-hackbench): the same workload over pipes, one per
 * receiver, and over the same channels, with threads and with processes.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <user/channel.h>

#include "channels.h"
#include "guest.h"
#include "workload.h"

static struct hackbench *bench;

/* --- pipes -------------------------------------------------------------------------------------------------------- */

static int (*pipes)[2];

static void pipe_send(void *state, unsigned port, const void *message)
{
	(void)state;
	must(write(pipes[port][1], message, HACKBENCH_BYTES) == HACKBENCH_BYTES, "write");
}

/* As hackbench does: a read may give a part. */
static void pipe_receive(void *state, unsigned port, void *buffer)
{
	(void)state;
	for (size_t got = 0; got < HACKBENCH_BYTES;) {
		ssize_t n = read(pipes[port][0], (char *)buffer + got, HACKBENCH_BYTES - got);

		must(n > 0, "read");
		got += (size_t)n;
	}
}

static void pipe_done(void *state, unsigned port)
{
	(void)state;
	(void)port;
}

static const struct hackbench_ports pipe_ports = { pipe_send, pipe_receive, pipe_done };

/* --- workers ------------------------------------------------------------------------------------------------------ */

static const struct hackbench_ports *ports;
static struct channels channels;

static void *sender(void *group)
{
	hackbench_sender(bench, ports, &channels, (unsigned)(uintptr_t)group);
	return NULL;
}

static void *receiver(void *port)
{
	hackbench_receiver(bench, ports, &channels, (unsigned)(uintptr_t)port);
	return NULL;
}

static void start(int processes, pthread_t *thread, void *(*function)(void *), unsigned argument)
{
	void *given = (void *)(uintptr_t)argument;

	if (!processes) {
		must(pthread_create(thread, NULL, function, given) == 0, "pthread_create");
		return;
	}
	pid_t child = fork();

	must(child >= 0, "fork");
	if (child == 0) {
		function(given);
		_exit(0);
	}
}

static void run(const char *name, int processes)
{
	unsigned count = hackbench_port_count(bench);
	pthread_t threads[2 * count];
	int right;

	for (unsigned i = 0; i < count; i++) {
		start(processes, &threads[2 * i], receiver, i);
		start(processes, &threads[2 * i + 1], sender, i / bench->fan);
	}
	right = hackbench_measure(bench);
	for (unsigned i = 0; i < 2 * count; i++)
		processes ? (void)wait(NULL) : (void)pthread_join(threads[i], NULL);
	printf("hackbench name=%s messages=%lu instructions=%lu right=%d\n", name,
	       (unsigned long)hackbench_messages(bench), (unsigned long)(bench->end - bench->begin), right);
}

static void over_pipes(const char *name, uint32_t flags)
{
	hackbench_prepare(bench, flags);
	ports = &pipe_ports;
	for (unsigned i = 0; i < hackbench_port_count(bench); i++)
		must(pipe(pipes[i]) == 0, "pipe");
	run(name, flags & HACKBENCH_PROCESSES);
	for (unsigned i = 0; i < hackbench_port_count(bench); i++) {
		close(pipes[i][0]);
		close(pipes[i][1]);
	}
}

static void *map(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	must(at != MAP_FAILED, "mmap");
	return at;
}

static void over_channels(const char *name, unsigned places, uint32_t flags)
{
	int processes = flags & HACKBENCH_PROCESSES;
	size_t bytes;

	hackbench_prepare(bench, flags);
	bytes = channels_bytes(hackbench_port_count(bench), places);
	ports = &channel_ports;
	must(channels_open(&channels, map(bytes), bytes, hackbench_port_count(bench), places, processes),
	     "channels_open");
	channels_clear(&channels);
	run(name, processes);
	munmap(channels.memory, bytes);
}

int main(void)
{
	static int at[HACKBENCH_PORTS_MAX][2];
	struct rlimit files = { 4096, 4096 };

	guest_console();
	must(setrlimit(RLIMIT_NOFILE, &files) == 0, "setrlimit");
	pipes = at;
	bench = map(sizeof(*bench));
#define PIPES(name, flags) over_pipes(#name, flags);
#define ENDPOINTS(name, flags)
#define CHANNELS(name, places, flags) over_channels(#name, places, flags);
	HACKBENCH_CASES(PIPES, ENDPOINTS, CHANNELS)
	printf("hackbench-done\n");
	fflush(stdout);
	reboot(RB_POWER_OFF);
	return 0;
}
