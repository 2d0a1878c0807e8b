/* SPDX-License-Identifier: MIT */
/*
 * The operations of user/bin/costs as Linux has them, as init of Debian's kernel: tools/bench-costs runs it under
 * -icount, where the TSC counts instructions, and compares. Same format of report.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <x86intrin.h>

#include "guest.h"

#define SAMPLES 2000u

static uint32_t samples[SAMPLES], count;
static uint64_t overhead;

static void add(uint64_t instructions)
{
	if (count < SAMPLES)
		samples[count++] = (uint32_t)(instructions > overhead ? instructions - overhead : 0);
}

#define SAMPLE(operation)                                                                                            \
	do {                                                                                                         \
		uint64_t begin_ = __rdtsc();                                                                         \
		operation;                                                                                           \
		add(__rdtsc() - begin_);                                                                             \
	} while (0)

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void report(const char *name, uint32_t parts)
{
	qsort(samples, count, sizeof(samples[0]), compare);
	printf("cost name=%s samples=%u median=%u min=%u max=%u\n", name, count,
	       (samples[count / 2] + parts - 1) / parts, (samples[0] + parts - 1) / parts,
	       (samples[count - 1] + parts - 1) / parts);
	count = 0;
}

static void pipes(void)
{
	int there[2], back[2];
	char byte = 0;
	pid_t child;

	must(pipe(there) == 0 && pipe(back) == 0, "pipe");
	child = fork();
	if (child == 0) {
		while (read(there[0], &byte, 1) == 1)
			if (write(back[1], &byte, 1) != 1)
				break;
		_exit(0);
	}
	for (unsigned i = 0; i < SAMPLES; i++)
		SAMPLE(must(write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1, "round trip"));
	report("pipe_rt", 1);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static _Atomic uint32_t ball[2];

static void futex_round(unsigned me)
{
	atomic_store(&ball[1 - me], 1);
	syscall(SYS_futex, &ball[1 - me], FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	while (atomic_load(&ball[me]) == 0)
		syscall(SYS_futex, &ball[me], FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	atomic_store(&ball[me], 0);
}

static void *futex_other(void *argument)
{
	for (unsigned i = 0; i < SAMPLES + 16; i++) {
		while (atomic_load(&ball[1]) == 0)
			syscall(SYS_futex, &ball[1], FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
		atomic_store(&ball[1], 0);
		atomic_store(&ball[0], 1);
		syscall(SYS_futex, &ball[0], FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	}
	return argument;
}

static void futexes(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, futex_other, NULL);
	for (unsigned i = 0; i < 16; i++)
		futex_round(0);
	for (unsigned i = 0; i < SAMPLES; i++)
		SAMPLE(futex_round(0));
	pthread_join(thread, NULL);
	report("futex_rt", 1);
}

static void set_fifo(int priority)
{
	struct sched_param param = { .sched_priority = priority };

	must(sched_setscheduler(0, priority ? SCHED_FIFO : SCHED_OTHER, &param) == 0, "sched_setscheduler");
}

/* Two of equal real-time priority, so that every yield is a switch. */
static void yields(void)
{
	pid_t child;

	set_fifo(50);
	child = fork();
	if (child == 0)
		for (;;)
			sched_yield();
	for (unsigned i = 0; i < 16; i++)
		sched_yield();
	for (unsigned i = 0; i < SAMPLES; i++)
		SAMPLE(sched_yield());
	report("yield_switch", 2);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	set_fifo(0);
}

static void *nothing(void *argument)
{
	return argument;
}

static void thread_round(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, nothing, NULL);
	pthread_join(thread, NULL);
}

static void process_round(void)
{
	char *arguments[] = { "tiny", NULL };
	pid_t child = vfork();

	if (child == 0) {
		execve("/tiny", arguments, arguments + 1);
		_exit(1);
	}
	waitpid(child, NULL, 0);
}

/* The handler steps over ud2: one round trip of a fault. */
static void skip(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)info;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

static void faults(void)
{
	struct sigaction action = { .sa_sigaction = skip, .sa_flags = SA_SIGINFO };

	sigaction(SIGILL, &action, NULL);
	for (unsigned i = 0; i < SAMPLES; i++)
		SAMPLE(__asm__ volatile("ud2" :: : "memory"));
	report("fault_rt", 1);
}

/* --- io_uring without a library ---------------------------------------------------------------------------------------- */

static struct {
	int fd;
	uint32_t *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
} ring;

static void *ring_map(size_t bytes, off_t offset)
{
	return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd, offset);
}

static int ring_open(void)
{
	struct io_uring_params p = { 0 };
	char *sq, *cq;

	ring.fd = (int)syscall(SYS_io_uring_setup, 32, &p);
	if (ring.fd < 0)
		return 0;
	sq = ring_map(p.sq_off.array + p.sq_entries * 4, IORING_OFF_SQ_RING);
	cq = ring_map(p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe), IORING_OFF_CQ_RING);
	ring.sqes = ring_map(p.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
	ring.sq_tail = (uint32_t *)(sq + p.sq_off.tail);
	ring.sq_mask = (uint32_t *)(sq + p.sq_off.ring_mask);
	ring.sq_array = (uint32_t *)(sq + p.sq_off.array);
	ring.cq_head = (uint32_t *)(cq + p.cq_off.head);
	ring.cq_tail = (uint32_t *)(cq + p.cq_off.tail);
	ring.cq_mask = (uint32_t *)(cq + p.cq_off.ring_mask);
	ring.cqes = (struct io_uring_cqe *)(cq + p.cq_off.cqes);
	return 1;
}

static void ring_round(unsigned n)
{
	uint32_t tail = *ring.sq_tail, head = *ring.cq_head;

	for (unsigned i = 0; i < n; i++, tail++) {
		uint32_t at = tail & *ring.sq_mask;

		memset(&ring.sqes[at], 0, sizeof(ring.sqes[at]));
		ring.sqes[at].opcode = IORING_OP_NOP;
		ring.sq_array[at] = at;
	}
	__atomic_store_n(ring.sq_tail, tail, __ATOMIC_RELEASE);
	syscall(SYS_io_uring_enter, ring.fd, n, n, IORING_ENTER_GETEVENTS, NULL, 0);
	while (head != __atomic_load_n(ring.cq_tail, __ATOMIC_ACQUIRE)) {
		must(ring.cqes[head & *ring.cq_mask].res == 0, "io_uring");
		head++;
	}
	__atomic_store_n(ring.cq_head, head, __ATOMIC_RELEASE);
}

static void rings(void)
{
	if (!ring_open())
		return;
	for (unsigned i = 0; i < 16; i++)
		ring_round(32);
	for (unsigned i = 0; i < SAMPLES; i++)
		SAMPLE(ring_round(32));
	report("ring_nop_32", 32);
	for (unsigned i = 0; i < SAMPLES; i++)
		SAMPLE(ring_round(1));
	report("ring_nop_1", 1);
}

/* --- time --------------------------------------------------------------------------------------------------------------- */

static void wakes(const char *name)
{
	struct timespec now;

	set_fifo(50);
	usleep(100000); /* the console's work is done by then */
	for (unsigned i = 0; i < SAMPLES; i++) {
		uint64_t before = __rdtsc(), after, span = 60000 + i % 97 * 100;

		clock_gettime(CLOCK_MONOTONIC, &now);
		after = __rdtsc();
		now.tv_nsec += (long)span;
		if (now.tv_nsec >= 1000000000)
			now.tv_sec++, now.tv_nsec -= 1000000000;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &now, NULL);
		add(__rdtsc() - (before + (after - before) / 2 + span) + overhead);
	}
	report(name, 1);
	set_fifo(0);
}

/* Beside a process that spawns, starts threads and unmaps without end, at ordinary priority. */
static void storm(void)
{
	pid_t child = fork();

	while (child == 0) {
		char *at = mmap(NULL, 16 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		for (unsigned i = 0; i < 16; i++)
			at[i * 4096] = 1;
		munmap(at, 16 * 4096);
		process_round();
		thread_round();
	}
	wakes("timer_wake_storm_max");
	must(waitpid(child, NULL, WNOHANG) == 0, "storm");
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static void beside_a_hog(void)
{
	pid_t child = fork();

	while (child == 0)
		__asm__ volatile("" ::: "memory");
	wakes("wake_hog_interactive_max");
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/* Two processes that read the counter for ever: from the last reading of one to the first of the other. */
static void take_turns(volatile uint64_t *readings, unsigned me, unsigned samples_wanted)
{
	uint64_t last = __rdtsc(), loop = 40;

	while (count < samples_wanted) {
		uint64_t now = __rdtsc(), theirs;

		readings[me] = now;
		if (now - last <= 40) {
			loop = now - last < loop ? now - last : loop;
			last = now;
			continue;
		}
		theirs = readings[1 - me];
		if (theirs > last && me == 0)
			add(now - theirs - loop + overhead);
		last = __rdtsc();
	}
}

static void preemptions(void)
{
	uint64_t *readings = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t child = fork();

	if (child == 0)
		take_turns(readings, 1, 1);
	take_turns(readings, 0, 60);
	report("preempt_switch", 1);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static void ticks(void)
{
	uint64_t last = __rdtsc(), loop = 40;

	while (count < 40) {
		uint64_t now = __rdtsc();

		if (now - last > 40)
			add(now - last - loop + overhead);
		else
			loop = now - last;
		last = now;
	}
	report("timer_irq", 1);
}

int main(void)
{
	guest_console();
	for (unsigned i = 0; i < SAMPLES; i++)
		SAMPLE((void)0);
	report("empty", 1);
	overhead = samples[0];
	for (unsigned i = 0; i < SAMPLES; i++)
		SAMPLE(syscall(SYS_getppid));
	report("null_call", 1);
	pipes();
	futexes();
	yields();
	faults();
	rings();
	for (unsigned i = 0; i < 8; i++)
		thread_round();
	for (unsigned i = 0; i < 400; i++)
		SAMPLE(thread_round());
	report("thread_create_join", 1);
	for (unsigned i = 0; i < 8; i++)
		process_round();
	for (unsigned i = 0; i < 200; i++)
		SAMPLE(process_round());
	report("process_spawn_wait", 1);
	wakes("timer_wake_max");
	storm();
	beside_a_hog();
	ticks();
	preemptions();
	printf("cost-done\n");
	fflush(stdout);
	reboot(RB_POWER_OFF);
	return 0;
}
