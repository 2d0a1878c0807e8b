/* SPDX-License-Identifier: MIT */
/*
 * When the walks run: the checkers of tests/sim at each entry, and, every VERIFY_EVERY entries, at the first moment
 * at which no other CPU is inside the kernel, their full walks and the core's own (debug builds).
 */
#include <sim/checker.h>

#include <kernel/debug.h>

#include <stdarg.h>

#include "sim.h"

#define VERIFY_EVERY 64

/* From <kernel/debug.h>; absent in programs that link the simulator without the whole core. */
#pragma weak kernel_verify

extern const struct sim_checker *const __start_sim_checkers[] __attribute__((weak));
extern const struct sim_checker *const __stop_sim_checkers[] __attribute__((weak));

static u64 verified_at;

static void run_full(void)
{
	sim_stand_still();
	if (CAPOS_DEBUG && kernel_verify != NULL)
		kernel_verify();
	for (const struct sim_checker *const *at = __start_sim_checkers; at != __stop_sim_checkers; at++) {
		if ((*at)->full != NULL)
			(*at)->full();
	}
	sim_go_on();
	verified_at = sim.entries;
}

void sim_check_step(struct vcpu *cpu, bool resumes)
{
	if (sim.solo)
		return;
	for (const struct sim_checker *const *at = __start_sim_checkers; resumes && at != __stop_sim_checkers; at++) {
		if ((*at)->step != NULL)
			(*at)->step(cpu->cpu);
	}
	if (sim.entries - verified_at >= VERIFY_EVERY && sim_is_quiet())
		run_full();
}

void sim_check_idle(struct vcpu *cpu)
{
	for (const struct sim_checker *const *at = __start_sim_checkers; at != __stop_sim_checkers; at++) {
		if ((*at)->idle != NULL && !sim.solo)
			(*at)->idle(cpu->cpu);
	}
}

bool sim_is_quiet(void)
{
	return sim.kernel_count == (sim.current->in_kernel ? 1 : 0);
}

bool sim_ipi_in_flight(const struct cpu *cpu)
{
	return sim.cpus[cpu->id].ipi_ns != SIM_NEVER;
}

void sim_check_end(void)
{
	if (!sim.solo && sim_is_quiet())
		run_full();
	for (const struct sim_checker *const *at = __start_sim_checkers; at != __stop_sim_checkers; at++) {
		if ((*at)->end != NULL && !sim.solo)
			(*at)->end();
	}
}

void sim_check_failed(const char *checker, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	sim_die(MACH_EXIT_PANIC, "checker %s: %s", checker, text);
}

u64 sim_check_entries(void)
{
	return sim.entries;
}

u64 sim_check_now(void)
{
	return sim_now();
}

u64 sim_check_seed(void)
{
	return sim_options.seed;
}

int sim_check_faults(void)
{
	return sim.faults;
}

/* --- injected allocation failures: only when asked for by --faults, never during the boot --------------------- */

#define ALLOC_GRACE_NS 5000000ull

bool fault_inject_alloc(void)
{
	static const u64 share_per_million[] = { 0, 0, 1000, 10000 };

	if (sim.no_memory || sim_step_fails())
		return true;
	if (sim_options.faults < 2 || sim.still || sim.solo || sim_now() < ALLOC_GRACE_NS)
		return false;
	if (sim.alloc_fail_per_million == SIM_NEVER)
		sim.alloc_fail_per_million = share_per_million[sim_random_below(4)];
	return sim.alloc_fail_per_million != 0 && sim_random_below(1000000) < sim.alloc_fail_per_million;
}
