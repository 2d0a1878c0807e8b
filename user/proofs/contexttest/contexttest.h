/* SPDX-License-Identifier: MIT */
/* What the groups of contexttest share; each leaves the process as it found it. */
#ifndef CONTEXTTEST_H
#define CONTEXTTEST_H

#include "../proof.h"

/* Time is exact: nothing but this machine's own instructions passes between an instant and what is done at it. Else the host, or the
 * simulator's faults, stop CPUs and hold back interrupts: only "never early, never more than the budget" is asked for then. */
extern bool exact;

/* From known.context. */
capos_handle context_made(struct capos_context_spec spec);
static inline struct capos_context_spec spec_of(uint64_t budget_ns, uint64_t period_ns)
{
	return (struct capos_context_spec){ .budget_ns = budget_ns,
					    .period_ns = period_ns,
					    .deadline_ns = period_ns };
}
struct capos_context_info context_info(capos_handle context);

void test_budget(void);
void test_donate(void);
void test_deaths(void);
/* A process of test_deaths. */
int chain_link(void);
void test_notify(void);
void test_mask(void);

#endif
