/* SPDX-License-Identifier: MIT */
/* What the groups of contexttest share; each leaves the process as it found it. */
#ifndef CONTEXTTEST_H
#define CONTEXTTEST_H

#include "../proof.h"

/* Time is exact: nothing but this machine's own instructions passes between an instant and what is done at it. Else the host, or the
 * simulator's faults, stop CPUs and hold back interrupts: only "never early, never more than the budget" is asked for then. */
extern bool exact;

/* The way of the timer, before and after a burst: DI2 and CONTEXT_LEAD_NS. */
#define LATE_NS 2000u

/* --- runner.c ------------------------------------------------------------------------------------------------------ */

/* A thread that reads the clock until it is told to stop. */
struct runner {
	struct thread thread;
	volatile uint64_t readings;
	volatile bool stop;
};

void runner_start(struct runner *runner);
void runner_start_on(struct runner *runner, uint32_t cpu);
void runner_stop(struct runner *runner);
bool goes_on(const struct runner *runner);
/* Since it had made so many readings. */
bool goes_on_from(const struct runner *runner, uint64_t seen);
/* It stands still for so long that only a budget can hold it back. */
bool stands_still(const struct runner *runner);

/* By a thread that is pinned to the first CPU. */
void on_first(thread_function function, void *argument);

capos_handle with_policy(uint64_t budget_ns, uint64_t period_ns, uint32_t overrun);
/* It comes to be in that state (enum capos_context_state). */
bool is_in(capos_handle context, uint32_t state);
/* How much longer than its budget one may run: the way of the timer, and the end of a thread that dies; or as long as the host stops the
 * machine. */
uint64_t overrun_ns(void);
/* What was used, and what is left, are the budget; where it was used up, but for the small change that waits, and the overrun. Of a context of
 * which nothing has come back. */
bool is_whole(const struct capos_context_info *info);

/* A process of this program that begins bound. */
capos_handle process_on(capos_handle context, const char *mode);

/* --- groups ---------------------------------------------------------------------------------------------------------- */

void test_budget(void);
void test_donate(void);
void test_deaths(void);
/* A process of test_deaths. */
int chain_link(int argc, char **argv);
void test_notify(void);
void test_mask(void);
void test_ends(void);
/* Processes of test_ends. */
int spend(int argc, char **argv);
int spend_forever(int argc, char **argv);
void test_share(void);
void test_chaos(void);

#endif
