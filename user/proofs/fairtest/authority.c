/* SPDX-License-Identifier: MIT */
/* With SchedulingPolicyCap (D3, D6): weights, also of queued threads; classes, by what a wake-up waits; what is refused. On CPU 0. */
#include "fairtest.h"

static capos_handle policy;

/* What a and b ran is as 1024 : weight, to a request each. */
static bool as_weights(uint64_t a_ns, uint64_t b_ns, uint64_t weight)
{
	uint64_t sum = a_ns + b_ns, ideal = sum / (1024 + weight) * weight;

	return distance(b_ns, ideal) <= REQUEST_NS + plan.slack_ns;
}

static void weights(void)
{
	struct load loads[2] = { load_make(LOAD_HOG, 0), load_make(LOAD_HOG, 0) };
	static const uint64_t weight[] = { 335, 4096, 1024 };

	loads_start(loads, 2);
	for (unsigned i = 0; i < COUNT_OF(weight); i++) {
		/* While this thread runs on the same CPU both of them are queued. */
		must(scheduling_policy_set_weight(policy, loads[1].thread.id, weight[i]));
		loads_measure(loads, 2, plan.span_ns);
		tap_note("1024 to %lu: %lu us to %lu us", (unsigned long)weight[i],
			 (unsigned long)(loads[0].ran_ns / 1000), (unsigned long)(loads[1].ran_ns / 1000));
		tap_ok(as_weights(loads[0].ran_ns, loads[1].ran_ns, weight[i]),
		       "weights 1024 and %lu share by weight", (unsigned long)weight[i]);
	}
	loads_stop(loads, 2);
}

/* One hog's weight goes up and down all the time; the other one has its share of what was left for it. */
static void storm_of_weights(void)
{
	struct load loads[3] = { load_make(LOAD_HOG, 0), load_make(LOAD_HOG, 0), load_make(LOAD_HOG, 0) };
	uint64_t changes = 0, end_ns;

	loads_start(loads, 3);
	end_ns = now_ns() + plan.span_ns;
	for (unsigned i = 0; i < 3; i++)
		must(thread_info(loads[i].thread.handle, &loads[i].before));
	for (; now_ns() < end_ns; changes++) {
		must(scheduling_policy_set_weight(policy, loads[2].thread.id, changes % 2 ? 1 : CAPOS_WEIGHT_MAX));
		(void)sleep_ns(MS);
	}
	for (unsigned i = 0; i < 3; i++) {
		must(thread_info(loads[i].thread.handle, &loads[i].after));
		loads[i].ran_ns = loads[i].after.runtime_ns - loads[i].before.runtime_ns;
	}
	tap_note("%lu changes", (unsigned long)changes);
	if (!tap_ok(changes > 2 && distance(loads[0].ran_ns, loads[1].ran_ns) <= REQUEST_NS + plan.slack_ns,
		    "two hogs beside one whose weight changes all the time: equal"))
		loads_note("hog", loads, 3);
	loads_stop(loads, 3);
}

/* Average wait of a sleeper of a class beside three hogs. */
static uint64_t wait_of_class(uint32_t latency_class)
{
	struct load loads[4];
	uint64_t waited;

	for (unsigned i = 0; i < COUNT_OF(loads); i++)
		loads[i] = load_make(i < 3 ? LOAD_HOG : LOAD_SLEEPER, 0);
	loads_start(loads, COUNT_OF(loads));
	must(scheduling_policy_set_latency_class(policy, loads[3].thread.id, latency_class));
	loads_measure(loads, COUNT_OF(loads), plan.span_ns);
	waited = loads[3].wakes == 0 ? SECOND : loads[3].late_sum_ns / loads[3].wakes;
	tap_note("class %u: %lu wake-ups, late by %lu us on average, %lu us at most", latency_class,
		 (unsigned long)loads[3].wakes, (unsigned long)(waited / 1000),
		 (unsigned long)(loads[3].late_max_ns / 1000));
	loads_stop(loads, COUNT_OF(loads));
	return waited;
}

static void classes(void)
{
	uint64_t interactive = wait_of_class(CAPOS_LATENCY_INTERACTIVE), normal = wait_of_class(CAPOS_LATENCY_NORMAL),
		 batch = wait_of_class(CAPOS_LATENCY_BATCH);

	tap_ok(interactive * 3 < normal, "an interactive thread waits less than a third of a normal one's time");
	tap_ok(normal <= batch + plan.slack_ns, "a batch thread waits no less than a normal one");
}

static void saturation(void)
{
	struct capos_thread_record record[THREAD_RECORDS_MAX];
	struct load load = load_make(LOAD_HOG, 0);
	uint64_t count = 0, next = 0;

	load_start(&load);
	loads_measure(&load, 1, plan.span_ns / 4);
	must(scheduling_policy_snapshot(policy, CAPOS_SNAPSHOT_THREADS, load.thread.id, 0, 0, record, &count, &next));
	tap_ok(count > 0 && record[0].id == load.thread.id && record[0].voluntary_blocks == 0 &&
		       record[0].preemptions > 0,
	       "the snapshot of a hog: voluntary_blocks 0, preemptions above 0");
	tap_ok(record[0].runtime_ns >= load.ran_ns && record[0].weight == CAPOS_WEIGHT_DEFAULT,
	       "... its runtime and its weight");
	loads_stop(&load, 1);
}

static void refused(void)
{
	struct capos_policy_bounds bounds = { .weight_max = 1024,
					      .class_best = CAPOS_LATENCY_NORMAL,
					      .request_min_ns = MS,
					      .request_max_ns = 10 * MS,
					      .scope = CAPOS_SCOPE_THREAD };
	struct capos_thread_info info = { 0 };
	capos_handle narrow = 0;

	tap_ok(!result_ok(scheduling_policy_set_weight(known.timer, 0, 2048)),
	       "without the capability no weight changes");
	insist(scheduling_policy_derive(policy, &bounds, &narrow));
	expect_iresult(scheduling_policy_set_weight(narrow, 0, 2048), CAPOS_POLICY_WEIGHT_OUT_OF_BOUNDS,
		       "a weight above the bound");
	expect_iresult(scheduling_policy_set_weight(narrow, 0, 0), CAPOS_POLICY_WEIGHT_OUT_OF_BOUNDS,
		       "a weight of 0");
	expect_iresult(scheduling_policy_set_latency_class(narrow, 0, CAPOS_LATENCY_INTERACTIVE),
		       CAPOS_POLICY_CLASS_OUT_OF_BOUNDS, "a class above the bound");
	expect_iresult(scheduling_policy_set_request(narrow, 0, MS / 2), CAPOS_POLICY_REQUEST_OUT_OF_BOUNDS,
		       "a request below the bound");
	must(thread_info(self()->handle, &info));
	tap_ok(info.weight == CAPOS_WEIGHT_DEFAULT, "nothing changed");
	destroy(narrow);
}

void authority(void)
{
	struct usage before;

	policy = known.policy;
	if (policy == 0) {
		tap_skip("no authority was given");
		return;
	}
	before = usage_now();
	/* This thread wakes in time to measure. */
	must(scheduling_policy_set_latency_class(policy, 0, CAPOS_LATENCY_INTERACTIVE));
	weights();
	storm_of_weights();
	classes();
	saturation();
	must(scheduling_policy_set_latency_class(policy, 0, CAPOS_LATENCY_NORMAL));
	refused();
	tap_returns(before, "everything came back");
}
