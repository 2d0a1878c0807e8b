/* SPDX-License-Identifier: MIT */
/* Loads: threads that use CPU time in a known way. */
#include "fairtest.h"

#define PIECE_NS 20000u /* a hog looks whether it is to stop */

static uint64_t run_hog(struct load *load)
{
	while (!load->stop)
		spend_ns(PIECE_NS);
	return 0;
}

static uint64_t run_sleeper(struct load *load)
{
	while (!load->stop) {
		uint64_t due = now_ns() + load->sleep_ns, late;

		(void)sleep_until_ns(due);
		late = now_ns() - due;
		load->late_ns[load->wakes % LATE_MAX] = late;
		load->wakes++;
		load->late_sum_ns += late;
		load->late_max_ns = late > load->late_max_ns ? late : load->late_max_ns;
		spend_ns(load->burst_ns);
	}
	return 0;
}

static uint64_t run_client(struct load *load)
{
	uint64_t word[1] = { 0 };

	while (!load->stop) {
		word[0] = load->burst_ns;
		if (!result_ok(endpoint_call(load->port, PROOF_IFACE, PROOF_ECHO, word, 1, word, 1)))
			return 1;
		spend_ns(load->burst_ns);
		load->calls++;
	}
	(void)endpoint_call(load->port, PROOF_IFACE, PROOF_STOP, NULL, 0, NULL, 0);
	return 0;
}

static uint64_t run_server(struct load *load)
{
	struct request request;
	struct message reply = { .words = 1 };

	if (!result_ok(endpoint_recv(load->port, CAPOS_NEVER, 0, &request)))
		return 1;
	while (request.method != PROOF_STOP) {
		spend_ns(request.message.word[0]);
		if (!result_ok(endpoint_reply_recv(load->port, &reply, 0, &request)))
			return 1;
	}
	return !result_ok(endpoint_reply(NULL));
}

static uint64_t run_load(void *argument)
{
	struct load *load = argument;

	switch (load->kind) {
	case LOAD_HOG:
		return run_hog(load);
	case LOAD_SLEEPER:
		return run_sleeper(load);
	case LOAD_CLIENT:
		return run_client(load);
	case LOAD_SERVER:
		return run_server(load);
	}
	return 1;
}

struct load load_make(enum load_kind kind, uint32_t cpu)
{
	return (struct load){ .kind = kind, .cpu = cpu, .sleep_ns = 5 * MS, .burst_ns = MS / 5 };
}

void load_start(struct load *load)
{
	insist(thread_start_on(&load->thread, run_load, load, load->cpu, 0));
}

void loads_start(struct load *loads, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		load_start(&loads[i]);
}

void loads_begin(struct load *loads, unsigned count)
{
	plan.begin_ns = now_ns();
	for (unsigned i = 0; i < count; i++)
		must(thread_info(loads[i].thread.handle, &loads[i].before));
}

void loads_end(struct load *loads, unsigned count)
{
	plan.measured_ns = now_ns() - plan.begin_ns;
	for (unsigned i = 0; i < count; i++) {
		must(thread_info(loads[i].thread.handle, &loads[i].after));
		loads[i].ran_ns = loads[i].after.runtime_ns - loads[i].before.runtime_ns;
	}
}

void loads_measure(struct load *loads, unsigned count, uint64_t span_ns)
{
	loads_begin(loads, count);
	(void)sleep_ns(span_ns);
	loads_end(loads, count);
}

bool loads_hold(struct load *loads, unsigned count, uint64_t span_ns, bool (*holds)(const struct load *, unsigned))
{
	bool good = false;

	for (unsigned i = 0; !good && i < (plan.strict ? 1 : WINDOWS); i++) {
		loads_measure(loads, count, span_ns);
		good = holds(loads, count);
	}
	return good;
}

void loads_stop(struct load *loads, unsigned count)
{
	uint64_t code = 0, bad = 0;

	for (unsigned i = 0; i < count; i++)
		loads[i].stop = 1;
	for (unsigned i = 0; i < count; i++) {
		must(thread_finish(&loads[i].thread, CAPOS_NEVER, &code));
		bad += code;
	}
	if (bad != 0)
		panic("%lu loads failed", (unsigned long)bad);
}

uint64_t ran_least(const struct load *loads, unsigned count)
{
	uint64_t least = loads[0].ran_ns;

	for (unsigned i = 1; i < count; i++)
		least = loads[i].ran_ns < least ? loads[i].ran_ns : least;
	return least;
}

uint64_t ran_most(const struct load *loads, unsigned count)
{
	uint64_t most = loads[0].ran_ns;

	for (unsigned i = 1; i < count; i++)
		most = loads[i].ran_ns > most ? loads[i].ran_ns : most;
	return most;
}

uint64_t ran_sum(const struct load *loads, unsigned count)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < count; i++)
		sum += loads[i].ran_ns;
	return sum;
}

uint64_t late_median(struct load *load)
{
	uint64_t count = load->wakes < LATE_MAX ? load->wakes : LATE_MAX;

	for (uint64_t i = 1; i < count; i++)
		for (uint64_t j = i; j > 0 && load->late_ns[j - 1] > load->late_ns[j]; j--) {
			uint64_t late = load->late_ns[j];

			load->late_ns[j] = load->late_ns[j - 1];
			load->late_ns[j - 1] = late;
		}
	return count == 0 ? SECOND : load->late_ns[count / 2];
}

void loads_note(const char *name, const struct load *loads, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		tap_note(
			"%s %u: ran %lu us, waited %lu us, %lu preemptions, %lu blocks, late by %lu us on average, %lu at most",
			name, i, (unsigned long)(loads[i].ran_ns / 1000),
			(unsigned long)((loads[i].after.runnable_ns - loads[i].before.runnable_ns) / 1000),
			(unsigned long)(loads[i].after.preemptions - loads[i].before.preemptions),
			(unsigned long)(loads[i].after.voluntary_blocks - loads[i].before.voluntary_blocks),
			(unsigned long)(loads[i].wakes == 0 ? 0 : loads[i].late_sum_ns / loads[i].wakes / 1000),
			(unsigned long)(loads[i].late_max_ns / 1000));
}
