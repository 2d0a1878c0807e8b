/* SPDX-License-Identifier: MIT */
/* LINK: kernel/sched/runq.c kernel/sched/fair_tree.c kernel/sched/classes.c kernel/sched/policy_eevdf.c kernel/sched/policy_wfq.c kernel/sched/lock.c */
/*
 * The fair queue against a reference that is written from docs/SCHEDULING.md, not from the code: a list, virtual times that do not
 * wrap, sums anew for each question, fractions instead of divisions. After each random operation RQ1 to RQ5 are looked at; where
 * the queue may round, the reference takes its number if it is within the unit that it may be off by.
 */
#include "tests/unit/sched/runq.h"

#define MEMBERS 24u
#define QUEUES 2u
#define OPERATIONS 100000u

typedef __int128 wide;

enum place { APART, QUEUED, CURRENT };

struct member {
	struct entity entity;
	enum place place;
	u32 queue;    /* it is in, or left last */
	wide v;	      /* not wrapped */
	wide d, e;    /* of a competitor */
	wide lag;     /* when it left */
	u64 order;    /* of arrival in the queue */
	u64 service;  /* ns in all; with `at` and the weights it gives v */
	u64 fraction; /* K * service in units of 1 / weight, beyond v */
	u64 apart_ns; /* since when */
	bool goes_on; /* it left in the middle of a request */
};

static struct member member[MEMBERS];
static struct runq *runqs[QUEUES] = { &queue, &other };
static u64 arrivals, seed, now;

static u64 draw(u64 below)
{
	seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
	return seed % below;
}

static struct member *member_of(struct entity *entity)
{
	return entity != NULL ? container_of(entity, struct member, entity) : NULL;
}

/* --- the reference --------------------------------------------------------------------------------------------------------- */

static bool competes(const struct member *m, u32 q)
{
	return m->place != APART && m->queue == q;
}

/* V = sum / weight. */
struct mean {
	wide sum, weight;
};

static struct mean mean_of(u32 q, const struct member *without)
{
	struct mean mean = { 0, 0 };

	for (u32 i = 0; i < MEMBERS; i++) {
		const struct member *m = &member[i];

		if (competes(m, q) && m != without) {
			mean.sum += m->entity.weight * m->v;
			mean.weight += m->entity.weight;
		}
	}
	return mean;
}

static wide floor_of(struct mean mean)
{
	wide n = mean.sum / mean.weight;

	return n - (n * mean.weight > mean.sum);
}

static bool eligible(const struct member *m, struct mean mean)
{
	return policy == SCHED_WFQ || m->v * mean.weight <= mean.sum;
}

static bool goes_before(const struct member *a, const struct member *b)
{
	return a->d != b->d ? a->d < b->d : a->order < b->order;
}

/* Of the queued ones. */
static struct member *best_of(u32 q, struct mean mean)
{
	struct member *best = NULL;

	for (u32 i = 0; i < MEMBERS; i++) {
		struct member *m = &member[i];

		if (m->place == QUEUED && m->queue == q && eligible(m, mean) &&
		    (best == NULL || goes_before(m, best)))
			best = m;
	}
	return best;
}

static struct member *current_of(u32 q)
{
	for (u32 i = 0; i < MEMBERS; i++)
		if (member[i].place == CURRENT && member[i].queue == q)
			return &member[i];
	return NULL;
}

static wide request_of(const struct member *m)
{
	return (wide)m->entity.request_ns * 65536 / m->entity.weight;
}

static void new_request(struct member *m)
{
	m->e = m->v + request_of(m);
	m->d = m->entity.latency_class == CAPOS_LATENCY_INTERACTIVE ? m->v : m->e;
}

/* --- the queue's numbers, taken over and compared ---------------------------------------------------------------------------- */

/* What the queue says v is now, near `near`. */
static wide unwrap(u64 vruntime, wide near)
{
	return near + (i64)(vruntime - (u64)near);
}

/* |numerator / denominator - value| <= error, exactly. */
static void assert_near(wide numerator, wide denominator, wide value, wide error)
{
	wide off = numerator - value * denominator;

	assert_true(off <= error * denominator && -off <= error * denominator);
}

static void compare(const struct member *m)
{
	assert_true(m->entity.vruntime == (u64)m->v);
	if (m->place == APART) {
		assert_true(m->entity.lag == (i64)m->lag);
		return;
	}
	assert_true(m->entity.request_end == (u64)m->e);
	assert_true(m->entity.deadline == (u64)m->d);
}

static void compare_all(void)
{
	for (u32 i = 0; i < MEMBERS; i++)
		compare(&member[i]);
	for (u32 q = 0; q < QUEUES; q++) {
		struct mean mean = mean_of(q, NULL);
		wide owed = 0;

		runq_verify(runqs[q]); /* RQ2, RQ3 */
		if (mean.weight == 0)
			continue;
		assert_true(runq_virtual_time(runqs[q]) == (u64)floor_of(mean));
		for (u32 i = 0; i < MEMBERS; i++) /* RQ1, times W */
			if (competes(&member[i], q))
				owed += member[i].entity.weight * (mean.sum - member[i].v * mean.weight);
		assert_true(owed == 0);
	}
}

/* --- operations ------------------------------------------------------------------------------------------------------------------ */

static void leave(struct member *m, bool goes_on)
{
	struct mean mean = mean_of(m->queue, NULL);

	m->lag = MIN(floor_of(mean) - m->v, request_of(m));
	m->place = APART;
	m->goes_on = goes_on;
	m->apart_ns = now;
}

/* RQ5 */
static void join(struct member *m, u32 q)
{
	struct mean mean = mean_of(q, NULL), after;
	u64 last = atomic_load_relaxed(&runqs[q]->vruntime);
	wide left = m->v, lag = m->lag;
	bool moved = m->queue != q;

	m->entity.enqueued_ns = m->apart_ns;
	if (m->goes_on)
		m->entity.enqueued_ns = now;
	lag_forget(&m->entity, now);
	if (now - m->entity.enqueued_ns > LAG_KEEP_NS)
		lag = 0;
	if (mean.weight != 0 && lag < 0 && !moved)
		lag = MAX(lag, MIN(floor_of(mean) - m->v, 0));
	if (policy == SCHED_WFQ)
		lag = MIN(lag, 0);
	runq_join(runqs[q], &m->entity, moved);
	m->queue = q;
	m->place = QUEUED;
	m->order = ++arrivals;
	if (mean.weight == 0) {
		m->v = unwrap(last, m->v);
	} else {
		m->v = unwrap(m->entity.vruntime, floor_of(mean));
		after = mean_of(q, NULL);
		assert_near(after.sum - m->v * after.weight, after.weight, lag, 1);
	}
	if (m->goes_on)
		m->e += m->v - left, m->d += m->v - left;
	else
		new_request(m);
	m->goes_on = false;
}

static void choose(u32 q)
{
	struct member *current = current_of(q), *next;

	if (current == NULL) {
		next = best_of(q, mean_of(q, NULL));
		assert_ptr_equal(member_of(runq_pick(runqs[q])), next); /* RQ4 */
	} else {
		struct mean mean = mean_of(q, NULL);
		bool slice_over = draw(4) == 0, over = slice_over || current->v >= current->e;

		next = best_of(q, mean);
		if (over) {
			new_request(current);
			if (eligible(current, mean) && (next == NULL || current->d < next->d))
				next = NULL;
			assert_true(next != NULL || eligible(current, mean));
		} else if (next != NULL && next->d >= current->d) {
			next = NULL;
		}
		assert_ptr_equal(member_of(runq_preempting(runqs[q], &current->entity, slice_over)), next);
		if (next == NULL)
			return;
		runq_take(runqs[q], &next->entity);
		runq_no_current(runqs[q]);
		runq_requeue(runqs[q], &current->entity);
		current->place = QUEUED;
		current->order = ++arrivals;
	}
	if (next == NULL)
		return;
	next->place = CURRENT;
	runq_set_current(runqs[q], &next->entity);
}

static void charge(struct member *m)
{
	u64 ns = draw(3) == 0 ? request_left_ns(&m->entity) : draw(8 * MS), units;
	bool whole = ns == request_left_ns(&m->entity);

	now += ns;
	runq_charge(runqs[m->queue], &m->entity, ns);
	units = ns * 65536 + m->fraction;
	m->v += units / m->entity.weight;
	m->fraction = units % m->entity.weight;
	assert_int_equal(m->entity.vremainder, m->fraction);
	if (whole && m->v < m->e + 1) /* the shortest charge that uses it up */
		assert_true(m->v >= m->e && ns > 0
				    ? (wide)(ns - 1) * 65536 <
					      (m->e - (m->v - units / m->entity.weight)) * m->entity.weight
				    : m->v >= m->e);
}

static void yield(u32 q)
{
	struct member *current = current_of(q), *next;

	if (current == NULL || atomic_load_relaxed(&runqs[q]->count) == 0)
		return;
	next = best_of(q, mean_of(q, current));
	assert_ptr_equal(member_of(runq_yield(runqs[q], &current->entity)), next);
	current->v = MAX(current->v, next->v);
	current->place = QUEUED;
	current->order = ++arrivals;
	new_request(current);
	next->place = CURRENT;
	runq_set_current(runqs[q], &next->entity);
}

static wide scaled(wide distance, u32 from, u32 to)
{
	return floor_of((struct mean){ distance * from, to });
}

/* The service owed stays: w * (V - v), to the units that are rounded. */
static void change(struct member *m)
{
	static const u32 weights[8] = { 1, 2, 300, 1024, 1024, 9548, 65535, 65536 };
	struct mean mean = mean_of(m->queue, NULL), after;
	u32 old = m->entity.weight, new = weights[draw(8)];
	wide before = m->v, left = m->e - m->v, due = m->d - m->v;

	want(&m->entity, new, (enum capos_latency_class)draw(CAPOS_LATENCY_CLASS_COUNT),
	     draw(2) ? 0 : CAPOS_REQUEST_MIN_NS + draw(CAPOS_REQUEST_MAX_NS - CAPOS_REQUEST_MIN_NS));
	if (m->place == APART)
		return;
	if (m->place == CURRENT)
		runq_adopt_current(runqs[m->queue], &m->entity);
	else
		runq_adopt_queued(runqs[m->queue], &m->entity);
	m->order = m->place == QUEUED ? ++arrivals : 0;
	m->v = unwrap(m->entity.vruntime, floor_of(mean));
	m->fraction = 0;
	assert_int_equal(m->entity.weight, new);
	after = mean_of(m->queue, NULL);
	/* w' * (V' - v') against w * (V - v), each V at its denominator */
	assert_true(mean.weight > 0 && after.weight > 0);
	{
		wide owed = scaled(floor_of(mean) - before, old, 1), kept = new *(floor_of(after) - m->v);

		assert_true(kept - owed <= 2 * (wide)(old + new) && owed - kept <= 2 * (wide)(old + new));
	}
	m->e = m->v + scaled(left, old, new);
	m->d = m->v + scaled(due, old, new);
}

static void one_operation(void)
{
	struct member *m = &member[draw(MEMBERS)];
	u32 q = (u32)draw(QUEUES);

	switch (draw(10)) {
	case 0:
	case 1:
		if (m->place == APART) {
			if (draw(16) == 0)
				now += LAG_KEEP_NS;
			if (params_differ(&m->entity))
				return; /* case 9 */
			join(m, draw(4) == 0 ? q : m->queue);
		}
		break;
	case 2:
	case 3:
	case 4:
		choose(q);
		break;
	case 5:
	case 6:
		if (current_of(q) != NULL)
			charge(current_of(q));
		break;
	case 7:
		if (m->place == CURRENT) {
			leave(m, false);
			runq_leave(runqs[m->queue], &m->entity, now);
		} else if (m->place == QUEUED && draw(4) == 0) {
			leave(m, true);
			runq_dequeue(runqs[m->queue], &m->entity);
		}
		break;
	case 8:
		yield(q);
		break;
	case 9:
		if (draw(4) == 0)
			change(m);
		else if (m->place == APART && params_differ(&m->entity)) {
			/* Adopted when it joins; the reference does it by the same law, apart from the queue. */
			wide mean = m->v + m->lag, left = m->e - m->v, due = m->d - m->v;
			u32 old = m->entity.weight,
			    new = params_unpack(atomic_load_relaxed(&m->entity.wanted)).weight;
			struct entity copy = m->entity;

			params_adopt(&copy);
			m->v = mean - scaled(m->lag, old, new);
			m->lag = scaled(m->lag, old, new);
			m->e = m->v + scaled(left, old, new);
			m->d = m->v + scaled(due, old, new);
			m->fraction = 0;
			copy.vruntime = (u64)m->v, copy.lag = (i64)m->lag;
			copy.request_end = (u64)m->e, copy.deadline = (u64)m->d;
			m->entity = copy;
		}
		break;
	}
}

static void random_operations(void **state)
{
	(void)state;
	for (u32 round = 0; round < 4; round++) {
		/* Where v begins: 0, before its wrap, before that of its sign, anywhere. */
		const u64 begin[4] = { 0, 0 - (1ull << 40), (1ull << 63) - (1ull << 40), 0x123456789abcdef };

		setup(NULL);
		seed = 88172645463325252ull + round * 7919;
		now = SECOND;
		arrivals = 0;
		memset(member, 0, sizeof(member));
		for (u32 i = 0; i < MEMBERS; i++) {
			make(&member[i].entity, CAPOS_WEIGHT_DEFAULT, CAPOS_LATENCY_NORMAL, 0);
			member[i].v = begin[round];
			member[i].entity.vruntime = begin[round];
			member[i].queue = i % QUEUES;
		}
		for (u32 q = 0; q < QUEUES; q++)
			atomic_store_relaxed(&runqs[q]->vruntime, begin[round]);
		for (u32 i = 0; i < OPERATIONS / 4; i++) {
			one_operation();
			compare_all();
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(random_operations) };
	int failed = 0;

	runq_tests_use();
	for (policy = 0; policy < SCHED_POLICIES; policy++)
		failed += cmocka_run_group_tests_name(policy == SCHED_EEVDF ? "eevdf" : "wfq", tests, NULL, NULL);
	return failed;
}
