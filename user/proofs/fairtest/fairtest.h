/* SPDX-License-Identifier: MIT */
/* What the parts of fairtest share: loads, and windows of time in which they are measured. */
#ifndef FAIRTEST_H
#define FAIRTEST_H

#include <user/spend.h>

#include "../proof.h"

#define REQUEST_NS (4 * MS) /* of the normal class */
#define LOADS_MAX 48u
#define LATE_MAX 32u

enum load_kind { LOAD_HOG, LOAD_SLEEPER, LOAD_CLIENT, LOAD_SERVER };

struct load {
	enum load_kind kind;
	struct thread thread;
	uint32_t cpu; /* or CAPOS_CPU_ANY */
	capos_handle port;
	uint64_t sleep_ns, burst_ns;
	volatile uint32_t stop;
	/* sleeper: how late it ran after it was due */
	uint64_t wakes, late_sum_ns, late_max_ns;
	uint64_t late_ns[LATE_MAX]; /* the last ones */
	uint64_t calls;		    /* client */
	/* of the last window */
	struct capos_thread_info before, after;
	uint64_t ran_ns;
};

struct plan {
	bool wfq;	      /* the policy; else EEVDF */
	bool strict;	      /* one CPU, exact time: bounds to the request; else what a noisy host allows */
	uint64_t span_ns;     /* a window */
	uint64_t begin_ns;    /* of the last one ... */
	uint64_t measured_ns; /* ... and how long it was */
	uint64_t slack_ns;    /* beyond a request: timers, this program itself */
};
extern struct plan plan;

/* Not started yet; the thread runs on `cpu`. */
struct load load_make(enum load_kind kind, uint32_t cpu);
void load_start(struct load *load);
void loads_start(struct load *loads, unsigned count);
/* What each of them ran in a window, from begin to end; in one of span_ns from now. */
void loads_begin(struct load *loads, unsigned count);
void loads_end(struct load *loads, unsigned count);
void loads_measure(struct load *loads, unsigned count, uint64_t span_ns);
/* The same until `holds` does, WINDOWS times at most: on a host that pauses while one runs a window's end says nothing; what the scheduler
 * does wrong is wrong in every window. Strict: one window. */
#define WINDOWS 5u
bool loads_hold(struct load *loads, unsigned count, uint64_t span_ns, bool (*holds)(const struct load *, unsigned));
/* Asks them to end, and waits for it. */
void loads_stop(struct load *loads, unsigned count);
uint64_t ran_least(const struct load *loads, unsigned count);
uint64_t ran_most(const struct load *loads, unsigned count);
uint64_t ran_sum(const struct load *loads, unsigned count);
/* Of how late a sleeper was; SECOND when it never was. */
uint64_t late_median(struct load *load);
void loads_note(const char *name, const struct load *loads, unsigned count);
static inline uint64_t distance(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

static inline uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* matrix.c: D4 without authority. authority.c: with SchedulingPolicyCap (D3, D6). storm.c: a mix drawn from the entropy. */
void matrix(void);
void authority(void);
int storm(uint64_t span_ns);
/* crowd.c: so many threads that begin at one instant, until the run is ended. */
int crowd(uint64_t count, uint64_t begin_at_ns);
/* many.c: shares over all CPUs. */
void many(void);
/* figures.c: weighted max-min over CPUs, in parts per million of a CPU; weights fall. */
void max_min(const uint64_t *weight, unsigned count, uint64_t cpus, uint64_t *ideal);
/* figures.c: `equal N`, `ratio`, `mixed N`: long runs, a line of figures and a test each. */
int figures(int argc, char **argv);

#endif
