/* SPDX-License-Identifier: MIT */
/*
 * Three kinds of replenishment of a budget B per period T.
 *
 *   sporadic   what is used at s comes back at s + T; up to REFILLS_MAX refills, ordered by time
 *   periodic   filled up to B at the end of each aligned period
 *   CBS        (constant bandwidth server, hard) filled up to B when its deadline D has passed; D moves on by T
 *
 * RF1  sporadic: the amounts of all refills add up to B, always. Nothing is minted, nothing is lost.
 * RF2  sporadic: no nanosecond of service may be used sooner than a period after its last use; where refills are merged it is later
 *      (there is no ninth one, and small change and short breaks are not worth an end of the budget). A debt
 *      is taken from the refills that come next, and comes back a period after their time. So in no window of T more than B is used,
 *      and the overrun at its begin.
 * RF3  periodic: at most B, and an overrun, in an aligned period; so twice that in any window of T.
 * RF4  CBS: at most 2 * B + w * B / T, and an overrun, in any window of w.
 */
#include <kernel/refill.h>

#include <kernel/debug.h>

/* The first `count` go. */
static inline void drop(struct refills *refills, u32 count)
{
	refills->count = (u8)(refills->count - count);
	for (u32 i = 0; i < refills->count; i++)
		refills->refill[i] = refills->refill[i + count];
}

void refills_init(struct refills *refills, enum refill_kind kind, u64 budget_ns, u64 period_ns, u64 least_ns,
		  u64 now_ns)
{
	*refills = (struct refills){
		.budget_ns = budget_ns,
		.period_ns = period_ns,
		.least_ns = least_ns,
		.kind = (u8)kind,
		.count = 1,
		.refill = { { now_ns, budget_ns } },
		.left_ns = (i64)budget_ns,
		.due_ns = now_ns + period_ns,
	};
}

/* --- sporadic ---------------------------------------------------------------------------------------------------------- */

/* What is available at now_ns, and what will be before that is used up, is one refill from now_ns on: none of it is sooner. */
static inline void merge_available(struct refills *refills, u64 now_ns)
{
	struct refill *head = refills->refill;
	u32 merged = 0;

	head->at_ns = MAX(head->at_ns, now_ns);
	while (merged + 1 < refills->count && head[merged + 1].at_ns <= head->at_ns + head->amount_ns)
		head->amount_ns += head[++merged].amount_ns;
	if (merged > 0) {
		head[merged] = *head;
		drop(refills, merged);
	}
}

/* Small change waits for the next refill, which stays when it is. */
static inline void merge_small(struct refills *refills)
{
	while (refills->count > 1 && refills->refill->amount_ns < refills->least_ns) {
		u64 small_ns = refills->refill->amount_ns;

		drop(refills, 1);
		refills->refill->at_ns -= small_ns;
		refills->refill->amount_ns += small_ns;
	}
}

/* amount_ns, just used, comes back at at_ns. */
static void append(struct refills *refills, u64 at_ns, u64 amount_ns)
{
	if (refills->count > 0) {
		struct refill *last = &refills->refill[refills->count - 1u];
		u64 end_ns = last->at_ns + last->amount_ns;
		/* The time of the last one has come: who runs now may use it. */
		bool in_use = last->at_ns + refills->period_ns <= at_ns + amount_ns;

		if (at_ns <= end_ns) {
			last->amount_ns += amount_ns;
			return;
		}
		if (refills->count == REFILLS_MAX || (at_ns < end_ns + refills->least_ns && !in_use)) {
			/* The new one stays when it is, the last one comes right before it. */
			last->at_ns = at_ns - last->amount_ns;
			last->amount_ns += amount_ns;
			return;
		}
	}
	refills->refill[refills->count++] = (struct refill){ at_ns, amount_ns };
}

static void use_sporadic(struct refills *refills, u64 from_ns, u64 used_ns)
{
	merge_available(refills, from_ns);
	/* Whole budgets, by a machine that stood still: each refill was used so often. */
	if (unlikely(used_ns >= refills->budget_ns)) {
		for (u32 i = 0; i < refills->count; i++)
			refills->refill[i].at_ns += used_ns / refills->budget_ns * refills->period_ns;
		used_ns %= refills->budget_ns;
	}
	while (used_ns > 0) {
		struct refill *head = refills->refill;
		u64 amount_ns = MIN(used_ns, head->amount_ns), at_ns = head->at_ns;

		head->at_ns += amount_ns;
		head->amount_ns -= amount_ns;
		if (head->amount_ns == 0)
			drop(refills, 1);
		append(refills, at_ns + refills->period_ns, amount_ns);
		used_ns -= amount_ns;
	}
}

/* --- periodic, CBS ------------------------------------------------------------------------------------------------------ */

/* What was not used by the end of a period is gone; a debt is paid by as many periods as it takes. */
static void fill_periodic(struct refills *refills, u64 now_ns)
{
	u64 periods;

	if (now_ns < refills->due_ns)
		return;
	periods = (now_ns - refills->due_ns) / refills->period_ns + 1;
	refills->due_ns += periods * refills->period_ns;
	refills->left_ns =
		MIN(MIN(refills->left_ns, 0) + (i64)(periods * refills->budget_ns), (i64)refills->budget_ns);
}

/*
 * With what is left after D has passed, or when what is left is more than the bandwidth's share of the time up to D, a new period begins:
 * c * T >= (D - now) * B. Else c is used until D. RF4: from (c, D) on no more than c + B + (t - D) * B / T is used up to t, and a new
 * beginning with that condition does not raise this line.
 */
static void fill_cbs(struct refills *refills, u64 now_ns)
{
	__int128 due_in = (__int128)refills->due_ns - now_ns;
	u64 periods;

	if ((__int128)refills->left_ns * (i64)refills->period_ns >= due_in * (i64)refills->budget_ns) {
		refills->left_ns = (i64)refills->budget_ns;
		refills->due_ns = now_ns + refills->period_ns;
	} else if (now_ns >= refills->due_ns) {
		/* A debt that weighs more than the time since D. */
		periods = (now_ns - refills->due_ns) / refills->period_ns + 1;
		refills->left_ns += (i64)(periods * refills->budget_ns);
		refills->due_ns += periods * refills->period_ns;
	}
}

static __attribute__((noinline)) void fill(struct refills *refills, u64 now_ns)
{
	if (refills->kind == REFILL_PERIODIC)
		fill_periodic(refills, now_ns);
	else
		fill_cbs(refills, now_ns);
}

/* Service beyond the end of a period is the next one's. */
static __attribute__((noinline)) void use_period(struct refills *refills, u64 from_ns, u64 used_ns)
{
	u64 rest_ns;

	if (from_ns >= refills->due_ns)
		fill(refills, from_ns);
	rest_ns = refills->due_ns - from_ns;
	if (likely(used_ns < rest_ns)) {
		refills->left_ns -= (i64)used_ns;
		return;
	}
	refills->left_ns -= (i64)rest_ns;
	used_ns -= rest_ns;
	fill(refills, from_ns + rest_ns);
	/* Whole periods, by a machine that stood still. */
	if (unlikely(used_ns >= refills->period_ns)) {
		u64 periods = used_ns / refills->period_ns;

		refills->left_ns -= (i64)(periods * (refills->period_ns - refills->budget_ns));
		refills->due_ns += periods * refills->period_ns;
		used_ns %= refills->period_ns;
	}
	refills->left_ns -= (i64)used_ns;
}

/* --- all ------------------------------------------------------------------------------------------------------------------ */

u64 refills_begin(struct refills *refills, u64 now_ns)
{
	if (likely(refills->kind == REFILL_SPORADIC)) {
		merge_available(refills, now_ns);
		merge_small(refills);
		return refills->refill->at_ns <= now_ns ? refills->refill->amount_ns : 0;
	}
	fill(refills, now_ns);
	return refills->left_ns > 0 ? (u64)refills->left_ns : 0;
}

void refills_use(struct refills *refills, u64 from_ns, u64 used_ns)
{
	if (likely(refills->kind == REFILL_SPORADIC))
		use_sporadic(refills, from_ns, used_ns);
	else
		use_period(refills, from_ns, used_ns);
}

u64 refills_next_ns(const struct refills *refills)
{
	return likely(refills->kind == REFILL_SPORADIC) ? refills->refill->at_ns : refills->due_ns;
}

static __attribute__((noinline)) u64 period_available_ns(struct refills refills, u64 now_ns)
{
	return refills_begin(&refills, now_ns);
}

u64 refills_available_ns(const struct refills *refills, u64 now_ns)
{
	u64 sum_ns = 0;

	if (unlikely(refills->kind != REFILL_SPORADIC))
		return period_available_ns(*refills, now_ns);
	for (u32 i = 0; i < refills->count; i++) {
		const struct refill *refill = &refills->refill[i];

		if (refill->at_ns > now_ns)
			break;
		sum_ns += refill->amount_ns;
	}
	return sum_ns;
}

void refills_verify(const struct refills *refills)
{
	u64 sum_ns = 0, end_ns = 0;

	if (refills->kind != REFILL_SPORADIC) {
		KVERIFY(refills->left_ns <= (i64)refills->budget_ns);
		return;
	}
	KVERIFY(refills->count >= 1 && refills->count <= REFILLS_MAX);
	for (u32 i = 0; i < refills->count; i++) {
		const struct refill *refill = &refills->refill[i];

		KVERIFY(refill->amount_ns > 0 && (i == 0 || refill->at_ns > end_ns));
		sum_ns += refill->amount_ns;
		end_ns = refill->at_ns + refill->amount_ns;
	}
	KVERIFY(sum_ns == refills->budget_ns); /* RF1 */
}
