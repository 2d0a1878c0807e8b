/* SPDX-License-Identifier: MIT */
/*
 * The trace: one 64-bit hash over all events of a run, a tail of the last ones for reports, and the ways a run ends.
 * Equal build, options and seed give an equal hash, on any machine.
 */
#include "sim.h"

#include <execinfo.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TAIL_RECORDS 4096u
#define TAIL_SHOWN 48u

struct record {
	u64 ns, a, b;
	u32 cpu;
	u32 kind;
};

static struct record tail[TAIL_RECORDS];
struct host_time sim_host_start;

static u64 host_clock(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (u64)t.tv_sec * 1000000000ull + (u64)t.tv_nsec;
}

struct host_time sim_host_time(void)
{
	return (struct host_time){ host_clock(CLOCK_MONOTONIC), host_clock(CLOCK_PROCESS_CPUTIME_ID) };
}

/* CPU time, but it may tick coarsely: a short run is measured by the wall. */
static u64 host_elapsed_ns(void)
{
	struct host_time now = sim_host_time();
	u64 wall_ns = now.wall_ns - sim_host_start.wall_ns, cpu_ns = now.cpu_ns - sim_host_start.cpu_ns;

	return wall_ns < 200000000 ? wall_ns : cpu_ns;
}

static void print_record(const struct record *r)
{
	fprintf(stderr, "%12llu.%03llu us  cpu %-4u %c %#llx %#llx\n", (unsigned long long)(r->ns / 1000),
		(unsigned long long)(r->ns % 1000), r->cpu, (int)r->kind, (unsigned long long)r->a,
		(unsigned long long)r->b);
}

static u64 mix(u64 hash, u64 value)
{
	hash = (hash ^ value) * 0x9fb21c651e98df25ull;
	return hash ^ (hash >> 32);
}

void sim_trace(enum sim_event kind, u64 a, u64 b)
{
	if (sim.frozen)
		return;
	struct record *r = &tail[sim.events++ % TAIL_RECORDS];
	*r = (struct record){ sim_now(), a, b, sim.current->id, kind };
	sim.hash = mix(mix(sim.hash, r->ns << 24 ^ (u64)kind << 16 ^ r->cpu), a * 0x9e3779b97f4a7c15ull ^ b);
	if (unlikely(sim_options.trace))
		print_record(r);
}

/* --- the end -------------------------------------------------------------------------------------------------- */

void sim_end(u32 exit_code)
{
	u64 host_ns = host_elapsed_ns();

	sim_console_close();
	*sim_result = (struct sim_result){ sim.entries, host_ns,   sim.current != NULL ? sim_now() : 0,
					   sim.hash,	exit_code, 1 };
	fflush(stdout);
	fflush(stderr);
	if (sim_options.embedded)
		sim_engine_leave();
	_exit((int)exit_code);
}

/* Return addresses into the simulator, as text; nothing is allocated. */
static void print_backtrace(void)
{
	u64 pcs[32], offset;
	size_t count = mach_backtrace(pcs, ARRAY_COUNT(pcs));

	for (size_t i = 0; i < count; i++) {
		const char *name = mach_symbol(pcs[i] - 1, &offset);
		fprintf(stderr, "  #%zu %s+%#llx\n", i, name != NULL ? name : "?", (unsigned long long)offset);
	}
}

static void print_state(void)
{
	fprintf(stderr,
		"sim: seed=%llu cpus=%u faults=%d event=%llu entries=%llu cpu=%u virtual_ns=%llu hash=%016llx\n",
		(unsigned long long)sim_options.seed, sim_options.cpus, sim.faults, (unsigned long long)sim.events,
		(unsigned long long)sim.entries, sim.current->id, (unsigned long long)sim_now(),
		(unsigned long long)sim.hash);
	for (u32 i = 0; i < MIN(sim.cpu_count, 16u); i++) {
		static const char *const states[] = { "off", "busy", "idle" };
		const struct vcpu *cpu = &sim.cpus[i];
		fprintf(stderr, "  cpu %-3u %s%s now=%llu timer=%lld ipi=%lld stores=%u\n", i, states[cpu->state],
			cpu->in_kernel ? ", in the kernel" : "",
			(unsigned long long)(cpu == sim.current ? sim_now() : cpu->now_ns), (long long)cpu->timer_ns,
			(long long)cpu->ipi_ns, cpu->stores.count);
	}
}

void sim_report(void)
{
	if (sim.current == NULL)
		return;
	print_state();
	print_backtrace();
	u64 first = sim.events > TAIL_SHOWN ? sim.events - TAIL_SHOWN : 0;
	fprintf(stderr, "last events (S call, F fault, I interrupt, R resume, i IPI, w wait, c output, k input):\n");
	for (u64 i = first; i < sim.events && !sim_options.trace; i++)
		print_record(&tail[i % TAIL_RECORDS]);
}

void sim_die(u32 exit_code, const char *format, ...)
{
	static bool dying;
	va_list args;

	if (dying)
		_exit((int)exit_code);
	dying = true;
	sim_console_close();
	fprintf(stderr, "\nsim: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n");
	sim_report();
	sim_end(exit_code);
}

void mach_exit(enum mach_exit code)
{
	sim_stores_drain();
	if (code == MACH_EXIT_OK || code == MACH_EXIT_TESTS_FAILED)
		sim_check_end();
	if (code == MACH_EXIT_PANIC) {
		sim_console_close();
		sim_report();
	}
	sim_end(code);
}

/* --- machine interface: what a panic wants to know ------------------------------------------------------------ */

size_t mach_backtrace(u64 *pcs, size_t max)
{
	void *found[64];
	int count = backtrace(found, (int)MIN(max, ARRAY_COUNT(found)));

	for (int i = 0; i < count; i++)
		pcs[i] = (u64)found[i];
	return (size_t)count;
}

void mach_panic_registers(void)
{
	char text[256];
	int n = snprintf(text, sizeof(text),
			 "sim: seed %llu, %u CPUs, faults %d, event %llu, CPU %u, virtual %llu ns\n",
			 (unsigned long long)sim_options.seed, sim_options.cpus, sim.faults,
			 (unsigned long long)sim.events, sim.current->id, (unsigned long long)sim_now());

	mach_console_write_sync(text, (size_t)n);
}

bool mach_entropy(u64 *out)
{
	sim_point(SIM_COST_CALL);
	if (sim.faults > 0 && sim_chance(64))
		return false;
	*out = sim_random();
	return true;
}
