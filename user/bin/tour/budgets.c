/* SPDX-License-Identifier: MIT */
/* Station about budgets of CPU time: a thread with one, and one without, both busy on the same CPU. */
#include "tour.h"

#define MS 1000000ull
#define BUDGET_NS (5 * MS)
#define PERIOD_NS (50 * MS)
#define WINDOW_NS (150 * MS) /* each look at the clock is an entry that the simulator plays */
#define TRIES 3u

struct spinner {
	struct thread thread;
	capos_handle context; /* 0: it has none */
	uint64_t begin_ns, end_ns, runtime_ns;
};

static uint64_t spin(void *argument)
{
	struct spinner *spinner = argument;
	struct capos_thread_info info = { 0 };
	struct capos_result r = { 0 };

	if (spinner->context)
		r = scheduling_context_bind_caller_thread(spinner->context);
	spinner->begin_ns = now_ns();
	while (now_ns() < spinner->begin_ns + WINDOW_NS)
		;
	if (result_ok(r))
		r = thread_info(self()->handle, &info);
	spinner->runtime_ns = info.runtime_ns;
	spinner->end_ns = now_ns();
	return result_word(r);
}

/* In 1/10 ms. */
static unsigned long tenths(uint64_t ns)
{
	return (unsigned long)(ns / (MS / 10));
}

/* What the two did at one time. False: something failed. */
static bool measure(struct spinner *spinners, struct capos_context_info *info)
{
	const struct capos_context_spec spec = { BUDGET_NS, PERIOD_NS, PERIOD_NS, CAPOS_OVERRUN_THROTTLE,
						 CAPOS_REPLENISH_SPORADIC };
	bool good = result_ok(scheduling_context_create(known.context, &spec, &spinners[0].context));
	unsigned started = 0;

	while (started < 2 && good) {
		good = result_ok(thread_start_on(&spinners[started].thread, spin, &spinners[started], 0, 0));
		started += good;
	}
	for (unsigned i = 0; i < started; i++) {
		uint64_t code = 1;

		good = result_ok(thread_finish(&spinners[i].thread, CAPOS_NEVER, &code)) && code == 0 && good;
	}
	good = result_ok(scheduling_context_info(spinners[0].context, info)) && good;
	(void)cap_table_destroy(known.caps, spinners[0].context);
	(void)cap_table_release(known.caps, spinners[0].context);
	return good;
}

/* Each window of a period sees no more than the budget; the last one may be the end of a late timer. */
static bool is_bounded(const struct capos_context_info *info, uint64_t span_ns)
{
	return info->used_ns > 0 && info->used_ns <= (span_ns / PERIOD_NS + 2) * BUDGET_NS && info->throttles > 0;
}

void tour_budgets(void)
{
	static struct spinner spinners[2];
	struct capos_context_info info = { 0 };
	uint64_t span_ns = 0;
	bool good = false;

	if (!known.context)
		return; /* whoever started the tour gave it none */
	/* A host that stops this CPU for longer than a budget while the thread runs on its last one: then once more. */
	for (unsigned i = 0; i < TRIES && !good; i++) {
		if (!measure(spinners, &info))
			break;
		span_ns = spinners[0].end_ns - spinners[0].begin_ns;
		good = is_bounded(&info, span_ns);
	}
	show(good, "budget",
	     "5 ms of each 50 ms: %lu.%lu ms of %lu; the thread beside it, which has none: %lu.%lu ms",
	     tenths(info.used_ns) / 10, tenths(info.used_ns) % 10, (unsigned long)(span_ns / MS),
	     tenths(spinners[1].runtime_ns) / 10, tenths(spinners[1].runtime_ns) % 10);
}
