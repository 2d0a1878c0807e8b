/* SPDX-License-Identifier: MIT */
#include "costs.h"

static const char *const names[COST_COUNT] = {
#define X(name, parts) #name,
	COST_OPERATIONS(X)
#undef X
};

static const uint32_t parts[COST_COUNT] = {
#define X(name, parts) (parts),
	COST_OPERATIONS(X)
#undef X
};

static uint32_t samples[COST_COUNT][COST_SAMPLES];
static uint32_t counts[COST_COUNT];

void cost_add(enum cost_operation operation, uint64_t instructions_spent)
{
	if (counts[operation] < COST_SAMPLES)
		samples[operation][counts[operation]++] = (uint32_t)instructions_spent;
}

static void sort(uint32_t *values, uint32_t n)
{
	for (uint32_t gap = n / 2; gap > 0; gap /= 2)
		for (uint32_t i = gap; i < n; i++)
			for (uint32_t j = i; j >= gap && values[j - gap] > values[j]; j -= gap) {
				uint32_t value = values[j];

				values[j] = values[j - gap];
				values[j - gap] = value;
			}
}

/* Overhead of the readings off, divided by the parts of the operation, rounded up. */
static uint32_t net(enum cost_operation operation, uint32_t value, uint32_t overhead)
{
	return value <= overhead ? 0 : (value - overhead + parts[operation] - 1) / parts[operation];
}

static void report(void)
{
	uint32_t overhead;

	for (unsigned i = 0; i < COST_COUNT; i++)
		sort(samples[i], counts[i]);
	overhead = samples[COST_empty][counts[COST_empty] / 2];
	for (unsigned i = 0; i < COST_COUNT; i++) {
		const uint32_t *sorted = samples[i];
		uint32_t n = counts[i];

		if (n == 0)
			continue;
		print("cost name=%s samples=%u median=%u min=%u max=%u\n", names[i], n,
		      net(i, sorted[n / 2], i == COST_empty ? 0 : overhead),
		      net(i, sorted[0], i == COST_empty ? 0 : overhead),
		      net(i, sorted[n - 1], i == COST_empty ? 0 : overhead));
	}
}

/* Instructions per nanosecond of the kernel's clock, in thousandths: 1,000 under -icount shift=0. */
static uint64_t rate(void)
{
	uint64_t begin_ns = now_ns(), begin = instructions();

	while (now_ns() - begin_ns < 20000000)
		;
	return (instructions() - begin) * 1000 / (now_ns() - begin_ns);
}

static void child_init(struct capos_spawn *spawn, const char *mode)
{
	spawn_init(spawn, "costs", mode);
	(void)spawn_grant_own(spawn, "timer");
	(void)spawn_grant_own(spawn, "console");
}

capos_handle costs_child_link(capos_handle port, capos_handle next)
{
	struct capos_spawn spawn;
	capos_handle process = 0;

	child_init(&spawn, "link");
	(void)spawn_grant(&spawn, "port", port, CAPOS_RIGHT_RECV);
	(void)spawn_grant(&spawn, "next", next, CAPOS_RIGHT_CALL);
	must(spawn_start(&spawn, &process, NULL));
	return process;
}

capos_handle costs_child(const char *mode, capos_handle port, uint32_t rights)
{
	struct capos_spawn spawn;
	capos_handle process = 0;

	child_init(&spawn, mode);
	if (port)
		(void)spawn_grant(&spawn, "port", port, rights);
	if (strcmp(mode, "storm") == 0) {
		(void)spawn_grant_own(&spawn, "process_spawner");
		spawn.memory_bytes = 4u << 20;
		spawn.slots = 256;
		spawn.threads = 32;
		spawn.processes = 2;
	}
	must(spawn_start(&spawn, &process, NULL));
	return process;
}

void costs_child_end(capos_handle process)
{
	struct process_end end;

	(void)process_kill(process, 0);
	must(spawn_finish(process, CAPOS_NEVER, &end));
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return costs_child_main(argv[1]);
	must(thread_set_cpu(known.self, 0));
	print("cost-machine image=0x%lx rate=%lu cpus=%u\n", (unsigned long)startup()->image_base,
	      (unsigned long)rate(), startup()->cpu_count);
	for (unsigned i = 0; i < COST_SAMPLES; i++)
		COST_SAMPLE(empty, (void)0);
	if (startup()->cpu_count > 1) {
		costs_apart();
	} else {
		costs_calls();
		costs_ring();
		costs_ipc();
		costs_threads();
		costs_timer();
		costs_contexts();
	}
	report();
	print("cost-done\n");
	return 0;
}
