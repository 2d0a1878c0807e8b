/* SPDX-License-Identifier: MIT */
/*
 * thread-scale: runs the cases that the console asks for (make run-thread-scale, bench-side-by-side); `thread-scale proof`
 * runs a few small ones and judges their sums, in QEMU and in the simulator.
 */
#include "workload.h"

#include <user/capos.h>
#include <user/measure.h>
#include <user/term.h>

static struct thread threads[SCALE_WORKERS_MAX];
static struct block block;
static bool ticks_are_ns; /* the simulator's time is not the TSC's */

uint64_t host_ns(void)
{
	return now_ns();
}

uint64_t host_ticks(void)
{
	if (ticks_are_ns)
		return now_ns();
	return __builtin_ia32_rdtsc();
}

void *host_map(size_t bytes)
{
	return result_ok(block_map(&block, bytes)) ? block.address : NULL;
}

void host_unmap(void *address, size_t bytes)
{
	(void)address;
	(void)bytes;
	block_unmap(&block);
}

bool host_start(uint32_t worker, uint64_t (*function)(void *), void *argument)
{
	return result_ok(thread_start(&threads[worker], function, argument));
}

bool host_join(uint32_t worker)
{
	return result_ok(thread_finish(&threads[worker], CAPOS_NEVER, NULL));
}

void host_print(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprint(format, args);
	va_end(args);
}

bool host_line(char *line, size_t n)
{
	size_t length = 0;
	int byte;

	while ((byte = term_byte(CAPOS_NEVER, NULL)) >= 0 && byte != '\n' && byte != '\r')
		if (length < n - 1)
			line[length++] = (char)byte;
	line[length] = 0;
	return byte >= 0;
}

/* --- the measure build ---------------------------------------------------------------------------------------------------- */

static uint32_t samples; /* the event, in a measure build */

void host_phase(enum scale_phase phase)
{
	if (samples != 0)
		measure_phase(phase);
}

/* --- the switch log: a line for each thread switch of a case, after it ---------------------------------------------------- */

#define SWITCH_EVENTS                                                                                                \
	(1u << CAPOS_TRACE_SWITCH | 1u << CAPOS_TRACE_WAKE | 1u << CAPOS_TRACE_MIGRATE | 1u << CAPOS_TRACE_IPI)

static bool switch_log;
static uint64_t window_begin_ns;

bool host_command(const char *line)
{
	switch_log = strcmp(line, "switch-log") == 0;
	return switch_log;
}

static void print_switches(uint32_t cpu)
{
	struct capos_trace_record records[TRACE_RECORDS_MAX];
	uint64_t sequence = 0, next = 0, count = 0;

	for (;; sequence = next) {
		must(trace_read(known.trace, cpu, sequence, records, &count, &next, NULL));
		if (next == sequence)
			return;
		for (uint64_t i = 0; i < count; i++) {
			const struct capos_trace_record *r = &records[i];

			if (r->ns < window_begin_ns)
				continue;
			print("switch-log: ns=%lu cpu=%u event=%s thread=%u arg0=%lx arg1=%lx\n",
			      (unsigned long)(r->ns - window_begin_ns), r->cpu, trace_event_name(r->event), r->thread,
			      (unsigned long)r->arg[0], (unsigned long)r->arg[1]);
		}
	}
}

void host_case(bool begins)
{
	if (!switch_log)
		return;
	must(trace_control(known.trace, (begins ? SWITCH_EVENTS : 0) | samples, NULL));
	if (begins) {
		window_begin_ns = now_ns();
		return;
	}
	for (uint32_t cpu = 0; cpu < startup()->cpu_count; cpu++)
		print_switches(cpu);
}

/* --- the proof ---------------------------------------------------------------------------------------------------------- */

/* What tools/capos/scale.py computes for these blocks and rounds; tests/tools/test_bench.py compares. */
#define PROOF_BLOCKS 509u
#define PROOF_ROUNDS 64u
#define PROOF_SUM 0xd273dfd85b6c943bu

static int proof(void)
{
	static const uint32_t counts[] = { 1, 2, 4, 8, 16 };
	const unsigned cases = 2 * sizeof(counts) / sizeof(counts[0]);

	ticks_are_ns = true;
	tap_plan(2 * cases);
	for (unsigned i = 0; i < cases; i++) {
		struct scale_case wanted = { PROOF_BLOCKS, PROOF_ROUNDS, counts[i / 2], i % 2 == 0 };
		struct scale_result r;
		bool good = scale_run(&wanted, &r);

		tap_ok(good && r.sum == PROOF_SUM, "%u workers, %s slots: sum %lx", wanted.workers,
		       wanted.padded ? "padded" : "compact", (unsigned long)r.sum);
		tap_ok(r.work > 0 && r.work <= r.total, "the work, %lu ns, lies within the total, %lu ns",
		       (unsigned long)r.work, (unsigned long)r.total);
	}
	return tap_done();
}

int main(int argc, char **argv)
{
	static const char *const phase_names[SCALE_PHASES] = { "other", "setup", "run", "unmap" };
	bool served;

	cap_need("timer");
	if (argc > 1 && strcmp(argv[1], "proof") == 0)
		return proof();
	must(console_take(known.console));
	samples = measure_begin() ? 1u << CAPOS_TRACE_SAMPLE : 0;
	served = scale_serve();
	if (samples != 0)
		measure_report(phase_names, SCALE_PHASES);
	return served ? 0 : 1;
}
