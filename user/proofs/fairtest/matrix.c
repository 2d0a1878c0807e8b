/* SPDX-License-Identifier: MIT */
/* D4, all of one weight: hogs, sleepers, clients and servers, processes, siblings. All on CPU 0, so that they compete. */
#include "fairtest.h"

static bool equal(const struct load *loads, unsigned count)
{
	return ran_most(loads, count) - ran_least(loads, count) <= REQUEST_NS + plan.slack_ns;
}

static bool sum_to_the_cpu(const struct load *loads, unsigned count)
{
	return distance(ran_sum(loads, count), plan.measured_ns) <= plan.measured_ns / 100 + plan.slack_ns;
}

static void hogs(void)
{
	struct load loads[10];
	bool blocked = false, preempted = true;

	for (unsigned i = 0; i < COUNT_OF(loads); i++)
		loads[i] = load_make(LOAD_HOG, 0);
	loads_start(loads, COUNT_OF(loads));
	if (!tap_ok(loads_hold(loads, COUNT_OF(loads), plan.span_ns, equal),
		    "ten hogs: no two are more than a request apart"))
		loads_note("hog", loads, COUNT_OF(loads));
	for (unsigned i = 0; i < COUNT_OF(loads); i++) {
		blocked |= loads[i].after.voluntary_blocks != 0;
		preempted &= loads[i].after.preemptions != 0;
	}
	tap_ok(!blocked && preempted, "a hog has voluntary_blocks = 0, and preemptions");
	tap_ok((plan.strict && sum_to_the_cpu(loads, COUNT_OF(loads))) ||
		       (!plan.strict && loads_hold(loads, COUNT_OF(loads), plan.span_ns, sum_to_the_cpu)),
	       "what they ran sums to the time of the CPU");
	loads_stop(loads, COUNT_OF(loads));
}

static bool two_equal(const struct load *loads, unsigned count)
{
	(void)count;
	return equal(loads, 2);
}

/* A host that pauses makes some late: half of them are not. */
static uint64_t late_at_worst(struct load *load)
{
	return plan.strict ? load->late_max_ns : late_median(load);
}

static void sleepers(void)
{
	struct load loads[4];
	uint64_t wakes;

	for (unsigned i = 0; i < COUNT_OF(loads); i++)
		loads[i] = load_make(i < 2 ? LOAD_HOG : LOAD_SLEEPER, 0);
	loads_start(loads, COUNT_OF(loads));
	if (!tap_ok(loads_hold(loads, COUNT_OF(loads), plan.span_ns, two_equal), "two hogs beside sleepers: equal"))
		loads_note("hogs, then sleepers", loads, COUNT_OF(loads));
	wakes = loads[2].wakes + loads[3].wakes;
	/* One waits for two requests of hogs and one of the other sleeper at most: 8 to 9 ms. */
	tap_ok(late_at_worst(&loads[2]) <= 3 * REQUEST_NS + plan.slack_ns &&
		       late_at_worst(&loads[3]) <= 3 * REQUEST_NS + plan.slack_ns,
	       "a sleeper is late by three requests at most");
	tap_ok(wakes >= 2 * plan.span_ns / (5 * MS + 3 * REQUEST_NS + MS) / 2, "sleepers come to run");
	loads_stop(loads, COUNT_OF(loads));
}

static uint64_t both_ran(const struct load *loads)
{
	return loads[1].ran_ns + loads[2].ran_ns;
}

static bool hog_has_its_share(const struct load *loads, unsigned count)
{
	(void)count;
	return loads[0].ran_ns >= less(plan.span_ns / 3, REQUEST_NS + plan.slack_ns);
}

/* WFQ remembers no lag: each of them may wait for a request of the hog each time. */
static bool both_have_theirs(const struct load *loads, unsigned count)
{
	(void)count;
	return both_ran(loads) >= less(plan.span_ns / (plan.wfq ? 12 : 3), REQUEST_NS + plan.slack_ns);
}

static bool all_have_theirs(const struct load *loads, unsigned count)
{
	return hog_has_its_share(loads, count) && both_have_theirs(loads, count);
}

/* A client and its server share one CPU with a hog: two threads that are never runnable at once compete as one. */
static void pair(void)
{
	struct load loads[3] = { load_make(LOAD_HOG, 0), load_make(LOAD_SERVER, 0), load_make(LOAD_CLIENT, 0) };

	insist(factory_endpoint(known.factory, PROOF_IFACE, &loads[1].port));
	loads[2].port = loads[1].port;
	loads_start(loads, COUNT_OF(loads));
	(void)loads_hold(loads, COUNT_OF(loads), plan.span_ns, all_have_theirs);
	tap_note("hog %lu us, client and server %lu us in %lu calls", (unsigned long)(loads[0].ran_ns / 1000),
		 (unsigned long)(both_ran(loads) / 1000), (unsigned long)loads[2].calls);
	tap_ok(hog_has_its_share(loads, 3), "a hog beside a client and its server gets its share");
	tap_ok(both_have_theirs(loads, 3), "a client and its server get theirs");
	loads[0].stop = 1;
	loads_stop(&loads[2], 1);
	loads_stop(loads, 2);
	destroy(loads[1].port);
}

static uint64_t process_runtime(uint64_t id)
{
	struct capos_process_info infos[PROCESS_INFOS_MAX] = { 0 };
	uint64_t count = 0, next = 0;

	must(system_info_processes(known.system_info, id, infos, &count, &next));
	return infos[0].runtime_ns;
}

/* Threads compete, not processes: three of one process, one of another and one of this are five. */
static void siblings(void)
{
	static const char *const args[2] = { "hogs 3", "hogs 1" };
	struct load own = load_make(LOAD_HOG, 0);
	struct capos_spawn spawn;
	capos_handle process[2];
	uint64_t id[2], ran[2] = { 0 };
	bool equal_ones = false, three = false, good = false;

	for (unsigned i = 0; i < 2; i++) {
		spawn_init(&spawn, "fairtest", args[i]);
		(void)spawn_grant_own(&spawn, "timer");
		insist(spawn_start(&spawn, &process[i], &id[i]));
	}
	load_start(&own);
	(void)sleep_ns(20 * REQUEST_NS); /* they have started their threads */
	for (unsigned window = 0; !good && window < (plan.strict ? 1 : WINDOWS); window++) {
		for (unsigned i = 0; i < 2; i++)
			ran[i] = process_runtime(id[i]);
		loads_measure(&own, 1, plan.span_ns);
		for (unsigned i = 0; i < 2; i++)
			ran[i] = process_runtime(id[i]) - ran[i];
		equal_ones = distance(ran[1], own.ran_ns) <= REQUEST_NS + plan.slack_ns;
		three = distance(ran[0], 3 * own.ran_ns) <= 3 * (REQUEST_NS + plan.slack_ns);
		good = equal_ones && three;
	}
	tap_note("of 5 equal threads: this process's %lu us, another's %lu us, three of a third %lu us",
		 (unsigned long)(own.ran_ns / 1000), (unsigned long)(ran[1] / 1000), (unsigned long)(ran[0] / 1000));
	tap_ok(equal_ones, "hogs of two processes: equal");
	tap_ok(three, "three siblings get three times as much");
	loads_stop(&own, 1);
	for (unsigned i = 0; i < 2; i++) {
		must(process_kill(process[i], 0));
		(void)child_end(process[i]);
	}
}

void matrix(void)
{
	struct usage before = usage_now();

	hogs();
	sleepers();
	pair();
	siblings();
	tap_returns(before, "everything came back");
}
