/* SPDX-License-Identifier: MIT */
/* Threads and processes: made, waited for, and wholly taken down inside the sample; parking between two threads. */
#include "costs.h"

#define THREAD_SAMPLES 400u
#define PROCESS_SAMPLES 200u

/* --- a thread on one fresh page of stack, without a record -------------------------------------------------------- */

static _Noreturn void end_at_once(capos_handle *self_handle)
{
	for (;;)
		(void)thread_exit(__atomic_load_n(self_handle, __ATOMIC_RELAXED), 0);
}

static void thread_round(void)
{
	static capos_handle handle;

	must(thread_spawner_create(known.threads, (uintptr_t)end_at_once, 0, (uintptr_t)&handle, 0, 0,
				   CAPOS_PAGE_BYTES, &handle, NULL, NULL));
	(void)thread_join(handle, CAPOS_NEVER, NULL, NULL);
	(void)cap_table_release(known.caps, handle);
}

static void process_round(void)
{
	static struct capos_spawn spawn;
	struct process_end end;
	capos_handle process = 0;

	spawn_init(&spawn, "tiny", NULL);
	must(spawn_start(&spawn, &process, NULL));
	must(spawn_finish(process, CAPOS_NEVER, &end));
}

/* Memory of several pages, touched, and given back. */
static void unmap_round(void)
{
	const uint64_t pages = 16;
	capos_handle memory = 0;
	uint64_t at = 0;

	must(factory_memory(known.factory, pages * CAPOS_PAGE_BYTES, 0, &memory));
	must(address_space_map(known.space, memory, 0, 0, pages * CAPOS_PAGE_BYTES, CAPOS_MAP_WRITE, &at));
	for (uint64_t i = 0; i < pages; i++)
		((volatile uint8_t *)at)[i * CAPOS_PAGE_BYTES] = 1;
	must(address_space_unmap(known.space, at, pages * CAPOS_PAGE_BYTES));
	must(cap_table_destroy(known.caps, memory));
	must(cap_table_release(known.caps, memory));
}

void costs_storm(void)
{
	for (;;) {
		process_round();
		thread_round();
		unmap_round();
	}
}

/* --- two threads that wake each other -------------------------------------------------------------------------------- */

static uint32_t ball[2];

/* One call wakes the other and waits. */
static void park_round(unsigned me)
{
	__atomic_store_n(&ball[1 - me], 1, __ATOMIC_RELAXED);
	(void)unpark_and_park_while(&ball[1 - me], &ball[me], 0, CAPOS_NEVER);
	while (__atomic_load_n(&ball[me], __ATOMIC_RELAXED) == 0)
		(void)park_while(&ball[me], 0, CAPOS_NEVER);
	__atomic_store_n(&ball[me], 0, __ATOMIC_RELAXED);
}

static void park_calls_round(unsigned me)
{
	__atomic_store_n(&ball[1 - me], 1, __ATOMIC_RELAXED);
	(void)unpark(&ball[1 - me], 1);
	while (__atomic_load_n(&ball[me], __ATOMIC_RELAXED) == 0)
		(void)park_while(&ball[me], 0, CAPOS_NEVER);
	__atomic_store_n(&ball[me], 0, __ATOMIC_RELAXED);
}

static uint64_t park_other(void *argument)
{
	(void)argument;
	while (__atomic_load_n(&ball[1], __ATOMIC_RELAXED) == 0)
		(void)park_while(&ball[1], 0, CAPOS_NEVER);
	__atomic_store_n(&ball[1], 0, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < COST_SAMPLES; i++)
		park_round(1);
	for (unsigned i = 0; i < COST_SAMPLES; i++)
		park_calls_round(1);
	__atomic_store_n(&ball[0], 1, __ATOMIC_RELAXED);
	(void)unpark(&ball[0], 1);
	return 0;
}

/* --- snapshots: what each record more costs, of threads that sleep, into memory ---------------------------------------- */

static _Noreturn void sleep_for_ever(void)
{
	for (;;)
		(void)sleep_until_ns(CAPOS_NEVER);
}

static uint64_t snapshot_of(uint64_t id, capos_handle memory, uint64_t records)
{
	uint64_t begin = instructions(), count = 0;
	struct capos_result r =
		scheduling_policy_snapshot(known.policy, CAPOS_SNAPSHOT_THREADS, id, memory, 0, NULL, &count, NULL);
	uint64_t end = instructions();

	must(r);
	if (count < records)
		panic("%lu records, expected %lu", (unsigned long)count, (unsigned long)records);
	return end - begin;
}

static void costs_snapshot(void)
{
	capos_handle sleeper[SNAPSHOT_RECORDS + 1], memory = 0;
	uint64_t id[SNAPSHOT_RECORDS + 1];

	must(factory_memory(known.factory, 4ull * CAPOS_PAGE_BYTES, 0, &memory));
	for (unsigned i = 0; i <= SNAPSHOT_RECORDS; i++)
		must(thread_spawner_create(known.threads, (uintptr_t)sleep_for_ever, 0, 0, CAPOS_CPU_ANY, 0,
					   CAPOS_PAGE_BYTES, &sleeper[i], &id[i], NULL));
	(void)sleep_ns(10000000); /* all of them wait */
	for (unsigned i = 0; i < COST_SAMPLES; i++)
		cost_add(COST_snapshot_record, snapshot_of(id[0], memory, SNAPSHOT_RECORDS + 1) -
						       snapshot_of(id[SNAPSHOT_RECORDS], memory, 1));
	for (unsigned i = 0; i <= SNAPSHOT_RECORDS; i++) {
		must(thread_terminate(sleeper[i]));
		(void)thread_join(sleeper[i], CAPOS_NEVER, NULL, NULL);
		(void)cap_table_release(known.caps, sleeper[i]);
	}
	must(cap_table_destroy(known.caps, memory));
	must(cap_table_release(known.caps, memory));
}

void costs_threads(void)
{
	struct thread other;

	must(thread_start_on(&other, park_other, NULL, 0, 0));
	for (unsigned i = 0; i < COST_SAMPLES; i++)
		COST_SAMPLE(park_rt, park_round(0));
	for (unsigned i = 0; i < COST_SAMPLES; i++)
		COST_SAMPLE(park_calls_rt, park_calls_round(0));
	park_calls_round(0);
	must(thread_finish(&other, CAPOS_NEVER, NULL));

	for (unsigned i = 0; i < 8; i++)
		thread_round();
	for (unsigned i = 0; i < THREAD_SAMPLES; i++)
		COST_SAMPLE(thread_create_join, thread_round());
	for (unsigned i = 0; i < 8; i++)
		process_round();
	for (unsigned i = 0; i < PROCESS_SAMPLES; i++)
		COST_SAMPLE(process_spawn_wait, process_round());
	costs_snapshot();
}
