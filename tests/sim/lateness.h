/* SPDX-License-Identifier: MIT */
/* q of docs/SCHEDULING.md: how much longer than its request one may run in the simulator, because a timer or a kernel section is late. */
#ifndef TESTS_SIM_LATENESS_H
#define TESTS_SIM_LATENESS_H

#include <sim/checker.h>

#define Q_NS 2000000ll		/* longest kernel section and lateness of a timer */
#define Q_FAULTS_NS 300000000ll /* ... with CPUs that stand still and a machine that pauses (faults 3) */

static inline i64 q_ns(void)
{
	return sim_check_faults() >= 3 ? Q_FAULTS_NS : Q_NS;
}

#endif
