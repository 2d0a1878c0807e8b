/* SPDX-License-Identifier: MIT */
#include "workload.h"

#include <user/channel.h>

void hackbench_prepare(struct hackbench *bench, uint32_t flags)
{
	*bench = (struct hackbench){ HACKBENCH_GROUPS, HACKBENCH_FAN, HACKBENCH_LOOPS, flags, .over = 0 };
}

static void wait_for(const struct hackbench *bench, const uint32_t *word, uint32_t value)
{
	uint32_t seen;

	while ((seen = __atomic_load_n(word, __ATOMIC_ACQUIRE)) != value)
		(void)channel_sleep(word, seen, CHANNEL_NEVER, bench->flags & HACKBENCH_PROCESSES);
}

static void wait_to_go(struct hackbench *bench)
{
	__atomic_add_fetch(&bench->ready, 1, __ATOMIC_RELEASE);
	channel_wake(&bench->ready, bench->flags & HACKBENCH_PROCESSES);
	wait_for(bench, &bench->go, 1);
	channel_wake(&bench->go, bench->flags & HACKBENCH_PROCESSES); /* the next one */
}

static void worker_done(struct hackbench *bench)
{
	if (__atomic_sub_fetch(&bench->running, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	bench->end = __builtin_ia32_rdtsc();
	__atomic_store_n(&bench->over, 1, __ATOMIC_RELEASE);
	channel_wake(&bench->over, bench->flags & HACKBENCH_PROCESSES);
}

void hackbench_sender(struct hackbench *bench, const struct hackbench_ports *ports, void *state, unsigned group)
{
	uint64_t message[(HACKBENCH_BYTES + 7) / 8] = { 0 };

	wait_to_go(bench);
	for (unsigned loop = 0; loop < bench->loops; loop++)
		for (unsigned i = 0; i < bench->fan; i++) {
			message[0] = loop + 1;
			ports->send(state, group * bench->fan + i, message);
		}
	worker_done(bench);
}

void hackbench_receiver(struct hackbench *bench, const struct hackbench_ports *ports, void *state, unsigned port)
{
	uint64_t message[(HACKBENCH_BYTES + 7) / 8] = { 0 }, sum = 0;

	wait_to_go(bench);
	for (unsigned n = bench->fan * bench->loops; n > 0; n--) {
		ports->receive(state, port, message);
		sum += message[0];
	}
	__atomic_add_fetch(&bench->sum, sum, __ATOMIC_RELAXED);
	worker_done(bench);
	ports->done(state, port);
}

int hackbench_measure(struct hackbench *bench)
{
	uint32_t workers = 2 * hackbench_port_count(bench);

	bench->running = workers;
	wait_for(bench, &bench->ready, workers);
	bench->begin = __builtin_ia32_rdtsc();
	__atomic_store_n(&bench->go, 1, __ATOMIC_RELEASE);
	channel_wake(&bench->go, bench->flags & HACKBENCH_PROCESSES);
	wait_for(bench, &bench->over, 1);
	return bench->sum == hackbench_messages(bench) * (bench->loops + 1) / 2;
}
