/* SPDX-License-Identifier: MIT */
/*
 * What the measure build has counted, as lines (docs/BENCHMARKS.md "The measure build"):
 *
 *   measure: timer phase=run interrupts=12 ...                     each line once per phase, then once without a phase: all of it
 *   measure: scheduler_lock_site phase=run site=balance ...        and once per site
 *   measure: user_pc phase=run program=NAME offset=0x1234 count=5  where the timer found programs
 */
#ifndef USER_MEASURE_H
#define USER_MEASURE_H

#include <capos/measure.h>
#include <user/sys.h>

/* What was counted, in the order of capos/measure.h. */
struct measure_values {
	uint64_t value[CAPOS_MEASURE_VALUES];
};

/* Phase 0 begins, and samples of where programs are. False: this build does not measure, or there is no `trace`. */
bool measure_begin(void);
/* After that: from now on counts go to this phase. */
void measure_phase(unsigned phase);
/* Of one phase, or with CAPOS_MEASURE_PHASES of all; of one CPU, or with CAPOS_CPU_ANY of all. Needs trace. */
void measure_get(struct measure_values *values, unsigned phase, uint32_t cpu);
/* One lock site's field. */
uint64_t measure_lock(const struct measure_values *values, enum capos_measure_site site,
		      enum capos_measure_lock_field field);
/* Prints all lines; phase n is names[n], and all of it their sum. Needs trace, and system_info for programs' names. */
void measure_report(const char *const *names, unsigned count);

#endif
