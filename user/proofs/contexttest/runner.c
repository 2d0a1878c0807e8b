/* SPDX-License-Identifier: MIT */
#include "contexttest.h"

static uint64_t spin(void *argument)
{
	struct runner *runner = argument;

	while (!runner->stop) {
		(void)now_ns();
		runner->readings++;
	}
	return 0;
}

void runner_start_on(struct runner *runner, uint32_t cpu)
{
	runner->stop = false;
	runner->readings = 0;
	insist(thread_start_on(&runner->thread, spin, runner, cpu, 0));
}

void runner_start(struct runner *runner)
{
	runner_start_on(runner, CAPOS_CPU_ANY);
}

void runner_stop(struct runner *runner)
{
	runner->stop = true;
	must(thread_finish(&runner->thread, CAPOS_NEVER, NULL));
}

bool goes_on_from(const struct runner *runner, uint64_t seen)
{
	return becomes_true(runner->readings > seen + 10);
}

bool goes_on(const struct runner *runner)
{
	return goes_on_from(runner, runner->readings);
}

bool stands_still(const struct runner *runner)
{
	uint64_t seen = runner->readings;

	(void)sleep_ns(20 * MS);
	return runner->readings == seen;
}

bool is_in(capos_handle context, uint32_t state)
{
	return becomes_true(context_info(context).state == state);
}

capos_handle with_policy(uint64_t budget_ns, uint64_t period_ns, uint32_t overrun)
{
	struct capos_context_spec spec = spec_of(budget_ns, period_ns);

	spec.overrun = overrun;
	return context_made(spec);
}

uint64_t overrun_ns(void)
{
	return exact ? 20000 : SECOND;
}

bool is_whole(const struct capos_context_info *info)
{
	uint64_t sum_ns = info->remaining_budget_ns + info->used_ns;

	return sum_ns == info->spec.budget_ns ||
	       (info->remaining_budget_ns == 0 && sum_ns + 2000 > info->spec.budget_ns &&
		sum_ns < info->spec.budget_ns + overrun_ns());
}

void on_first(thread_function function, void *argument)
{
	struct thread thread;

	insist(thread_start_on(&thread, function, argument, 0, 0));
	must(thread_finish(&thread, CAPOS_NEVER, NULL));
}

capos_handle process_on(capos_handle context, const char *mode)
{
	struct capos_spawn spawn;
	capos_handle process = 0;

	spawn_init(&spawn, "contexttest", mode);
	(void)spawn_bind(&spawn, context);
	(void)spawn_grant_own(&spawn, "timer");
	insist(spawn_start(&spawn, &process, NULL));
	return process;
}
