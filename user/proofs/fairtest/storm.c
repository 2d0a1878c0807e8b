/* SPDX-License-Identifier: MIT */
/*
 * A mix drawn from the entropy: hogs, sleepers, pairs, threads that fork and join, bursts; meanwhile changes of weight, class, request and
 * affinity, threads that are killed wherever they stand and others in their place, and processes with hogs that come and are killed. What
 * it shows is for the simulator's checkers (tests/sim/fairness.c and others) to see.
 */
#include "fairtest.h"

#define ACTORS_MAX 24u

static struct rng rng;
static uint64_t end_ns;
static uint32_t cpu_count;

static uint64_t burst(void *argument)
{
	spend_ns((uint64_t)(uintptr_t)argument);
	return 0;
}

/* Starts a few, waits for them, sleeps, again. */
static uint64_t fork_join(void *argument)
{
	struct rng own = { 0 };

	rng_seed(&own, (uintptr_t)argument);
	while (now_ns() < end_ns) {
		struct thread child[4];
		uint64_t count = 1 + rng_below(&own, COUNT_OF(child)), started = 0;

		for (uint64_t i = 0; i < count; i++)
			started += result_ok(
				thread_start(&child[started], burst, (void *)(uintptr_t)rng_below(&own, 6 * MS)));
		spend_ns(rng_below(&own, MS));
		for (uint64_t i = 0; i < started; i++)
			must(thread_finish(&child[i], CAPOS_NEVER, NULL));
		(void)sleep_ns(rng_below(&own, 10 * MS));
	}
	return 0;
}

/* Many short runs, then a long sleep. */
static uint64_t bursts(void *argument)
{
	struct rng own = { 0 };

	rng_seed(&own, (uintptr_t)argument);
	while (now_ns() < end_ns) {
		for (uint64_t i = rng_below(&own, 30); i > 0; i--) {
			spend_ns(rng_below(&own, MS / 2));
			(void)sleep_ns(rng_below(&own, MS));
		}
		(void)sleep_ns(rng_below(&own, 60 * MS));
	}
	return 0;
}

/* Its weight, class or request is another one now. */
static void change(capos_handle policy, uint64_t thread)
{
	switch (rng_below(&rng, 4)) {
	case 0:
		must(scheduling_policy_set_weight(policy, thread, 1 + rng_below(&rng, 4096)));
		break;
	case 1:
		must(scheduling_policy_set_latency_class(policy, thread, rng_below(&rng, CAPOS_LATENCY_CLASS_COUNT)));
		break;
	case 2:
		must(scheduling_policy_set_request(policy, thread, CAPOS_REQUEST_MIN_NS + rng_below(&rng, 20 * MS)));
		break;
	default:
		break;
	}
}

/* It ends, running, queued or asleep, and another one of its kind begins. */
static void replace(struct load *load)
{
	if (load->kind != LOAD_HOG && load->kind != LOAD_SLEEPER)
		return;
	must(thread_terminate(load->thread.handle));
	must(thread_finish(&load->thread, CAPOS_NEVER, NULL));
	load_start(load);
}

/* A process with two hogs comes, or the one that is there is killed. */
static void come_or_go(capos_handle *process)
{
	struct capos_spawn spawn;

	if (*process != 0) {
		must(process_kill(*process, 0));
		(void)child_end(*process);
		*process = 0;
		return;
	}
	spawn_init(&spawn, "fairtest", "hogs 2 any");
	(void)spawn_grant_own(&spawn, "timer");
	insist(spawn_start(&spawn, process, NULL));
}

int storm(uint64_t span_ns)
{
	static struct load loads[ACTORS_MAX];
	struct thread others[ACTORS_MAX];
	struct capos_machine_info machine = { 0 };
	unsigned count = 0, other_count = 0, wanted;
	capos_handle policy = known.policy, process = 0;
	uint64_t seed = 1;

	(void)entropy_read(known.entropy, 1, &seed);
	rng_seed(&rng, seed);
	must(system_info_machine(known.system_info, &machine));
	cpu_count = machine.cpu_count;
	end_ns = now_ns() + span_ns;
	wanted = 2 + (unsigned)rng_below(&rng, ACTORS_MAX - 4);
	while (count + other_count < wanted) {
		uint32_t cpu = rng_below(&rng, 8) == 0 ? (uint32_t)rng_below(&rng, cpu_count) : CAPOS_CPU_ANY;
		switch (rng_below(&rng, 6)) {
		case 0:
		case 1:
			loads[count] = load_make(LOAD_HOG, cpu);
			load_start(&loads[count++]);
			break;
		case 2:
			loads[count] = load_make(LOAD_SLEEPER, cpu);
			loads[count].sleep_ns = rng_below(&rng, 10 * MS);
			loads[count].burst_ns = rng_below(&rng, 3 * MS);
			load_start(&loads[count++]);
			break;
		case 3:
			loads[count] = load_make(LOAD_SERVER, cpu);
			insist(factory_endpoint(known.factory, PROOF_IFACE, &loads[count].port));
			loads[count + 1] = load_make(LOAD_CLIENT, CAPOS_CPU_ANY);
			loads[count + 1].port = loads[count].port;
			loads[count + 1].burst_ns = rng_below(&rng, MS);
			loads_start(&loads[count], 2);
			count += 2;
			break;
		default:
			insist(thread_start(&others[other_count++], rng_below(&rng, 2) ? fork_join : bursts,
					    (void *)(uintptr_t)rng_next(&rng)));
		}
	}
	while (now_ns() < end_ns) {
		(void)sleep_ns(rng_below(&rng, 20 * MS));
		if (policy != 0 && count > 0)
			change(policy, loads[rng_below(&rng, count)].thread.id);
		if (count > 0 && rng_below(&rng, 4) == 0)
			(void)thread_set_cpu(loads[rng_below(&rng, count)].thread.handle,
					     rng_below(&rng, 3) == 0 ? (uint32_t)rng_below(&rng, cpu_count)
								     : CAPOS_CPU_ANY);
		if (count > 0 && rng_below(&rng, 3) == 0)
			replace(&loads[rng_below(&rng, count)]);
		if (rng_below(&rng, 6) == 0)
			come_or_go(&process);
	}
	if (process != 0)
		come_or_go(&process);
	for (unsigned i = 0; i < count; i++)
		loads[i].stop = loads[i].kind != LOAD_SERVER;
	for (unsigned i = 0; i < other_count; i++)
		must(thread_finish(&others[i], CAPOS_NEVER, NULL));
	loads_stop(loads, count);
	return 0;
}
