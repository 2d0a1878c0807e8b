/* SPDX-License-Identifier: MIT */
/* The tour's stations. Each prints one line or more by show(), and counts what was not as it should be. */
#ifndef TOUR_H
#define TOUR_H

#include <user/capos.h>

/* A line "[ ok ] topic      text", or "[FAIL]". */
__attribute__((format(printf, 3, 4))) bool show(bool good, const char *topic, const char *format, ...);

/* machine.c */
void tour_machine(void);
void tour_cpus(void);
void tour_clock(void);

/* budgets.c */
void tour_budgets(void);

/* calls.c */
void tour_calls(void);
void tour_ring(void);
void tour_endpoint(void);
void tour_wakeups(void);
void tour_locks(void);

/* walls.c */
void tour_handles(void);
void tour_memory(void);
void tour_programs(void);
void tour_faults(void);
void tour_quotas(void);

#endif
