/* SPDX-License-Identifier: MIT */
/* With SchedulingPolicyCap (D3, D6): weights, also of queued threads; classes, by what a wake-up waits; what is refused. On CPU 0. */
#include "fairtest.h"

static capos_handle policy;

static uint64_t first_weight = CAPOS_WEIGHT_DEFAULT, second_weight;

/* What two ran is as their weights, to a request each. */
static bool as_weights(const struct load *loads, unsigned count)
{
	uint64_t ideal = ran_sum(loads, count) * second_weight / (first_weight + second_weight);

	return distance(loads[1].ran_ns, ideal) <= REQUEST_NS + plan.slack_ns;
}

static void weights(void)
{
	struct load loads[2] = { load_make(LOAD_HOG, 0), load_make(LOAD_HOG, 0) };
	static const uint64_t weight[] = { 335, 4096, 1024 };

	loads_start(loads, 2);
	for (unsigned i = 0; i < COUNT_OF(weight); i++) {
		/* While this thread runs on the same CPU both of them are queued. */
		must(scheduling_policy_set_weight(policy, loads[1].thread.id, weight[i]));
		second_weight = weight[i];
		(void)loads_hold(loads, 2, plan.span_ns, as_weights);
		tap_note("1024 to %lu: %lu us to %lu us", (unsigned long)weight[i],
			 (unsigned long)(loads[0].ran_ns / 1000), (unsigned long)(loads[1].ran_ns / 1000));
		tap_ok(as_weights(loads, 2), "weights 1024 and %lu share by weight", (unsigned long)weight[i]);
	}
	loads_stop(loads, 2);
}

/* One hog's weight goes up and down all the time; the other one has its share of what was left for it. */
static void storm_of_weights(void)
{
	struct load loads[3] = { load_make(LOAD_HOG, 0), load_make(LOAD_HOG, 0), load_make(LOAD_HOG, 0) };
	uint64_t changes = 0;
	bool good = false;

	loads_start(loads, 3);
	for (unsigned window = 0; !good && window < (plan.strict ? 1 : WINDOWS); window++) {
		loads_begin(loads, 3);
		for (uint64_t end_ns = now_ns() + plan.span_ns; now_ns() < end_ns; changes++) {
			must(scheduling_policy_set_weight(policy, loads[2].thread.id,
							  changes % 2 ? 1 : CAPOS_WEIGHT_MAX));
			(void)sleep_ns(MS);
		}
		loads_end(loads, 3);
		good = changes > 2 && distance(loads[0].ran_ns, loads[1].ran_ns) <= REQUEST_NS + plan.slack_ns;
	}
	tap_note("%lu changes", (unsigned long)changes);
	if (!tap_ok(good, "two hogs beside one whose weight changes all the time: equal"))
		loads_note("hog", loads, 3);
	loads_stop(loads, 3);
}

/* The greatest weight beside 1 has all but 1/65,537, this thread on the same CPU is served meanwhile, and neither has credit or debt from
 * it: of equal weights again they are equal at once. */
static void extremes(void)
{
	struct load loads[2] = { load_make(LOAD_HOG, 0), load_make(LOAD_HOG, 0) };
	uint64_t begin_ns, late_ns = 0;

	loads_start(loads, 2);
	must(scheduling_policy_set_weight(policy, loads[0].thread.id, 1));
	must(scheduling_policy_set_weight(policy, loads[1].thread.id, CAPOS_WEIGHT_MAX));
	first_weight = 1;
	second_weight = CAPOS_WEIGHT_MAX;
	tap_ok(loads_hold(loads, 2, plan.span_ns, as_weights), "weights 1 and %u share by weight", CAPOS_WEIGHT_MAX);
	must(thread_set_cpu(self()->handle, 0));
	for (unsigned i = 0; i < 8; i++) {
		begin_ns = now_ns();
		(void)sleep_ns(MS);
		late_ns = i == 0 || now_ns() - begin_ns - MS < late_ns ? now_ns() - begin_ns - MS : late_ns;
	}
	must(thread_set_cpu(self()->handle, CAPOS_CPU_ANY));
	tap_ok(late_ns <= 2 * REQUEST_NS, "beside them another thread is served (late by %lu us)",
	       (unsigned long)(late_ns / 1000));
	for (unsigned i = 0; i < 2; i++)
		must(scheduling_policy_set_weight(policy, loads[i].thread.id, CAPOS_WEIGHT_DEFAULT));
	first_weight = second_weight = CAPOS_WEIGHT_DEFAULT;
	tap_ok(loads_hold(loads, 2, plan.span_ns, as_weights), "of equal weights again they are equal");
	loads_stop(loads, 2);
}

/* Wait of a sleeper of a class beside three hogs: on average, or, where the host pauses, the median. */
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
	if (!plan.strict)
		waited = late_median(&loads[3]);
	tap_note("class %u: %lu wake-ups, late by %lu us, %lu us at most", latency_class,
		 (unsigned long)loads[3].wakes, (unsigned long)(waited / 1000),
		 (unsigned long)(loads[3].late_max_ns / 1000));
	loads_stop(loads, COUNT_OF(loads));
	return waited;
}

/* A normal one that is owed time often comes at once too, and a host that pauses owes: there it is the batch class to compare with, and
 * where classes meant nothing no window would show a third. */
static void classes(void)
{
	uint64_t interactive = wait_of_class(CAPOS_LATENCY_INTERACTIVE), normal = wait_of_class(CAPOS_LATENCY_NORMAL),
		 batch = wait_of_class(CAPOS_LATENCY_BATCH);

	if (plan.strict) {
		tap_ok(interactive * 3 < normal,
		       "an interactive thread waits less than a third of a normal one's time");
		tap_ok(normal <= batch + plan.slack_ns, "a batch thread waits no less than a normal one");
		return;
	}
	for (unsigned window = 1; interactive * 3 >= batch && window < WINDOWS; window++) {
		interactive = wait_of_class(CAPOS_LATENCY_INTERACTIVE);
		batch = wait_of_class(CAPOS_LATENCY_BATCH);
	}
	tap_ok(interactive * 3 < batch, "an interactive thread waits less than a third of a batch one's time");
}

static void saturation(void)
{
	struct capos_thread_record record[THREAD_RECORDS_MAX];
	struct load loads[2] = { load_make(LOAD_HOG, 0), load_make(LOAD_HOG, 0) };
	uint64_t count = 0, next = 0;

	loads_start(loads, 2);
	loads_measure(loads, 2, plan.span_ns / 4);
	must(scheduling_policy_snapshot(policy, CAPOS_SNAPSHOT_THREADS, loads[0].thread.id, 0, 0, record, &count,
					&next));
	tap_ok(count > 0 && record[0].id == loads[0].thread.id && record[0].voluntary_blocks == 0 &&
		       record[0].preemptions > 0,
	       "the snapshot of a hog: voluntary_blocks 0, preemptions above 0");
	tap_ok(record[0].runtime_ns >= loads[0].ran_ns && record[0].weight == CAPOS_WEIGHT_DEFAULT,
	       "... its runtime and its weight");
	loads_stop(loads, 2);
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
	extremes();
	classes();
	saturation();
	must(scheduling_policy_set_latency_class(policy, 0, CAPOS_LATENCY_NORMAL));
	refused();
	tap_returns(before, "everything came back");
}
