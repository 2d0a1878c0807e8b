/* SPDX-License-Identifier: MIT */
/*
 * `make bench-budget`: capOS's part. What budgets give, by the clock of who has one (bursts.h) and by what contexts were charged.
 *
 *   budget exact        one CPU, -icount: bursts of three sizes, three kinds of replenishment, long calls without end
 *   budget wall         5 ms per 50 ms, as Linux's part does it
 */
#include <user/capos.h>

#include "bursts.h"

#define US 1000ull
#define MS 1000000ull
#define PERIODS 200u
#define SETTLES_NS 50000u

uint64_t system_now_ns(void)
{
	return now_ns();
}

void system_print(const char *name, uint64_t begin_ns, uint64_t span_ns, uint64_t ran_ns)
{
	print("burst case=%s begin=%lu span=%lu ran=%lu\n", name, (unsigned long)begin_ns, (unsigned long)span_ns,
	      (unsigned long)ran_ns);
}

static capos_handle context_of(uint64_t budget_ns, uint64_t period_ns, enum capos_replenishment kind)
{
	struct capos_context_spec spec = {
		.budget_ns = budget_ns, .period_ns = period_ns, .deadline_ns = period_ns, .replenishment = kind
	};
	capos_handle context = 0;

	must(scheduling_context_create(known.context, &spec, &context));
	return context;
}

/* --- what the context was charged: asked for by a thread without one --------------------------------------------------------------- */

#define SAMPLES (PERIODS + 1)

/* While it runs the other one does not: all that this one used is charged. */
static struct observer {
	capos_handle context;
	uint64_t step_ns; /* from sample to sample; 0: in the middle of each break */
	uint64_t at_ns[SAMPLES], used_ns[SAMPLES];
	uint32_t count; /* the observer's; it ends at SAMPLES */
	struct thread thread;
} observer;

static uint64_t observe(void *argument)
{
	struct capos_context_info info = { 0 };
	uint64_t next_ns = now_ns();

	(void)argument;
	must(scheduling_context_info(observer.context, &info));
	for (unsigned i = 0; i < SAMPLES; i++) {
		if (observer.step_ns != 0)
			next_ns += observer.step_ns;
		else
			next_ns = (i == 0 ? next_ns : info.next_ns) + (info.spec.period_ns + info.spec.budget_ns) / 2;
		(void)timer_sleep(known.timer, next_ns);
		observer.at_ns[i] = now_ns();
		must(scheduling_context_info(observer.context, &info));
		observer.used_ns[i] = info.used_ns;
		if (observer.step_ns == 0 && (info.state != CAPOS_CONTEXT_THROTTLED || info.throttles != i + 1))
			panic("burst %u: %lu ends of budgets, state %u", i, (unsigned long)info.throttles,
			      info.state);
		__atomic_store_n(&observer.count, i + 1, __ATOMIC_RELEASE);
	}
	return 0;
}

static void observer_begin(capos_handle context, uint64_t step_ns)
{
	observer.context = context;
	observer.step_ns = step_ns;
	observer.count = 0;
	must(thread_start(&observer.thread, observe, NULL));
	(void)sleep_ns(SETTLES_NS); /* it sleeps */
}

static void observer_end(const char *name)
{
	must(thread_finish(&observer.thread, CAPOS_NEVER, NULL));
	for (unsigned i = 0; i < SAMPLES; i++)
		print("charged case=%s at=%lu used=%lu\n", name, (unsigned long)observer.at_ns[i],
		      (unsigned long)observer.used_ns[i]);
	must(cap_table_destroy(known.caps, observer.context));
	must(cap_table_release(known.caps, observer.context));
}

static void spinner(const char *name, uint64_t budget_ns, uint64_t period_ns, enum capos_replenishment kind)
{
	capos_handle context = context_of(budget_ns, period_ns, kind);

	observer_begin(context, 0);
	must(scheduling_context_bind_caller_thread(context));
	bursts_of(name, budget_ns, period_ns, PERIODS, 1);
	must(scheduling_context_unbind(context));
	observer_end(name);
}

/* --- long calls without end: each ends wherever it is when the budget does ------------------------------------------------------- */

static _Noreturn void sleep_for_ever(void)
{
	for (;;)
		(void)sleep_until_ns(CAPOS_NEVER);
}

static void thread_round(void)
{
	capos_handle thread = 0;

	must(thread_spawner_create(known.threads, (uintptr_t)sleep_for_ever, 0, 0, CAPOS_CPU_ANY, 0, CAPOS_PAGE_BYTES,
				   &thread, NULL, NULL));
	must(thread_terminate(thread));
	must(thread_join(thread, CAPOS_NEVER, NULL, NULL));
	must(cap_table_release(known.caps, thread));
}

static void process_round(void)
{
	struct capos_spawn spawn;
	struct process_end end;
	capos_handle process = 0;

	spawn_init(&spawn, "tiny", NULL);
	must(spawn_start(&spawn, &process, NULL));
	must(spawn_finish(process, CAPOS_NEVER, &end));
}

static void memory_round(void)
{
	const uint64_t bytes = 64ull * CAPOS_PAGE_BYTES;
	capos_handle memory = 0;
	uint64_t at = 0;

	must(factory_memory(known.factory, bytes, 0, &memory));
	must(address_space_map(known.space, memory, 0, 0, bytes, CAPOS_MAP_WRITE, &at));
	must(address_space_unmap(known.space, at, bytes));
	must(cap_table_destroy(known.caps, memory));
	must(cap_table_release(known.caps, memory));
}

static void caller(const char *name, uint64_t budget_ns, uint64_t period_ns, void (*round)(void))
{
	capos_handle context = context_of(budget_ns, period_ns, CAPOS_REPLENISH_SPORADIC);

	observer_begin(context, period_ns / 4);
	must(scheduling_context_bind_caller_thread(context));
	while (__atomic_load_n(&observer.count, __ATOMIC_ACQUIRE) < SAMPLES)
		round();
	must(scheduling_context_unbind(context));
	observer_end(name);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "wall") == 0) {
		capos_handle context = context_of(5 * MS, 50 * MS, CAPOS_REPLENISH_SPORADIC);

		must(scheduling_context_bind_caller_thread(context));
		bursts_of("wall", 5 * MS, 50 * MS, BURSTS_WALL, 0);
	} else {
		spinner("5ms_50ms", 5 * MS, 50 * MS, CAPOS_REPLENISH_SPORADIC);
		spinner("200us_1ms", 200 * US, MS, CAPOS_REPLENISH_SPORADIC);
		spinner("20us_500us", 20 * US, 500 * US, CAPOS_REPLENISH_SPORADIC);
		spinner("200us_1ms_periodic", 200 * US, MS, CAPOS_REPLENISH_PERIODIC);
		spinner("200us_1ms_cbs", 200 * US, MS, CAPOS_REPLENISH_CBS);
		caller("200us_1ms_threads", 200 * US, MS, thread_round);
		caller("200us_1ms_memory", 200 * US, MS, memory_round);
		caller("200us_1ms_processes", 200 * US, MS, process_round);
	}
	print("budget-done\n");
	return 0;
}
