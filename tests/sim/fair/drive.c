/* SPDX-License-Identifier: MIT */
/*
 * The fast harness: drives queues of the scheduler (driver.h) through random workloads, and holds every step against the
 * reference model. One epoch draws its own mix: members, weights, classes, requests, lateness of timers, and how often somebody
 * wakes, blocks, moves, yields, ends or changes. Virtual queues have their own clocks.
 *
 *   drive [--dispatches n] [--seed n] [--policy eevdf|wfq] [--plant NAME]
 *
 * --plant spoils what the kernel's side does, or says (names in tests/tools/test_fair.py): a canary for each check.
 * Exit code 0: nothing was wrong; 1: something was (the first one, with epoch and dispatch); 2: usage.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver.h"
#include "reference.h"

#define QUEUES_MAX DRIVE_QUEUES
#define ENTITIES_MAX 1024u
#define EPOCH_DISPATCHES 20000u
#define LAG_KEEP_NS 1000000000ll

enum place { ASLEEP, QUEUED, RUNNING };

struct actor {
	struct ref_member member;
	enum place place;
	enum drive_class class;
	uint32_t queue; /* where it is, or was last */
	bool fresh;	/* never ran in this epoch: no lag */
	/* while asleep */
	uint64_t left_ns;
	struct ref_ratio lag; /* when it left */
	wide left_v;	      /* units, its own */
	bool owes;	      /* it came with a debt to where nobody competed ... */
	wide paid_at;	      /* ... and has paid when its v is this */
	uint64_t enqueued_ns; /* it became runnable, or left */
};

struct cpu_model {
	struct ref_queue ref;
	uint64_t now_ns;
	uint32_t current; /* DRIVE_NOBODY */
	/* what those that ended left; K·ns, the kernel's numbers, each of which was near what it had to be */
	struct drive_legacy legacy;
};

/* What an epoch draws. */
struct mix {
	uint32_t queues, actors;
	bool steady;					/* nobody comes or goes: the theorem's own bound holds */
	uint32_t wake, block, change, move, yield, end; /* of 1,024 slots */
	uint64_t late_ns;				/* at most */
	uint64_t request_max_ns;
};

static struct actor actor[ENTITIES_MAX];
static struct cpu_model cpu[QUEUES_MAX];
static struct mix mix;
static enum drive_policy policy;
static uint64_t random_state, dispatches, joins, epoch;
static uint64_t preemptions, changes, moves, yields, inherited;
static const char *planted = "none";
static double worst_owed, worst_ahead, worst_simple; /* in bounds */

static uint64_t draw(void)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static uint64_t below(uint64_t n)
{
	return (uint64_t)(((unsigned __int128)draw() * n) >> 64);
}

/* Log-uniform in 1 .. max. */
static uint64_t spread(uint64_t max)
{
	uint32_t bits = 64 - (uint32_t)__builtin_clzll(max);
	uint64_t top = 1ull << below(bits), value = top + below(top);

	return value <= max ? value : max;
}

/* Asked for, and the run is under way. */
static bool plant(const char *name)
{
	return strcmp(planted, name) == 0 && dispatches > 1000;
}

static void fail(const char *what, uint32_t queue, uint32_t who)
{
	const struct ref_member *m = who == DRIVE_NOBODY ? NULL : &actor[who].member;

	printf("FAIL epoch %llu dispatch %llu queue %u entity %d: %s\n", (unsigned long long)epoch,
	       (unsigned long long)dispatches, queue, (int)who, what);
	if (m != NULL)
		printf("  weight %u class %d request %llu ns; kernel v %lld, model v %lld; %u members\n", m->weight,
		       actor[who].class, (unsigned long long)m->request_ns, (long long)drive_state(who).vruntime,
		       (long long)(m->num / m->weight), cpu[queue].ref.count);
	printf("  %s epoch, %u actors, lateness up to %llu ns; the same options replay it\n",
	       mix.steady ? "steady" : "dynamic", mix.actors, (unsigned long long)mix.late_ns);
	exit(1);
}

static void check_model(uint32_t queue, uint32_t who)
{
	if (ref_wrong != NULL)
		fail(ref_wrong, queue, who);
}

/* --- the kernel's numbers against the model's ----------------------------------------------------------------------------------- */

/* The kernel's v in the model's unwrapped numbers, where it must be near `near`. */
static wide unwrap(uint64_t v, wide near)
{
	return near + (int64_t)(v - (uint64_t)near);
}

static void compare(uint32_t queue, uint32_t who)
{
	const struct ref_member *m = &actor[who].member;
	struct drive_state is = drive_state(who);
	wide v = m->num / m->weight;
	int64_t off = (int64_t)(is.vruntime - (uint64_t)v);
	int64_t deadline = (int64_t)(is.deadline - (uint64_t)ref_deadline(m));

	if (off > 2 || off < -2)
		fail("accounting: virtual runtime is not the service by weight", queue, who);
	if (deadline > REF_TOLERANCE || deadline < -REF_TOLERANCE)
		fail("deadline is not a request after its start", queue, who);
}

/* --- events, told to both ------------------------------------------------------------------------------------------------------- */

static void draw_parameters(struct actor *a)
{
	static const uint32_t usual[] = { 1024, 1024, 335, 15, 65536, 1, 88761 % 65536, 3 };
	uint64_t r = draw();

	a->member.weight = r % 3 == 0 ? usual[(r >> 8) % 8] : (uint32_t)spread(65536);
	a->class = (r >> 16) % 4 == 0 ? DRIVE_INTERACTIVE : (r >> 16) % 4 == 1 ? DRIVE_BATCH : DRIVE_NORMAL;
	a->member.early = a->class == DRIVE_INTERACTIVE;
	a->member.request_ns = 100000 + spread(mix.request_max_ns - 100000);
}

static wide request_of(const struct actor *a)
{
	return (wide)a->member.request_ns * REF_K / a->member.weight;
}

/* The lag of one that does not compete, as it is now. `passed`: V of the queue where it left, less where it left. */
static struct ref_ratio lag_now(const struct actor *a, const struct ref_ratio *passed)
{
	struct ref_ratio lag = a->lag;
	wide request = request_of(a);

	if (lag.num > request * lag.den)
		lag = (struct ref_ratio){ request, 1 };
	if (policy == DRIVE_WFQ && lag.num > 0)
		lag = (struct ref_ratio){ 0, 1 };
	if (passed != NULL && lag.num < 0) { /* paid as the queue's virtual time passes where it left */
		if (passed->num > 0)
			lag = (struct ref_ratio){ 0, 1 };
		else if (passed->num * lag.den > lag.num * passed->den)
			lag = *passed;
	}
	return lag;
}

/* It comes from outside with this lag: it has to take over what is left, which is the lag then. */
static struct ref_ratio inherit(uint32_t queue, uint32_t who, struct ref_ratio lag, bool nobody)
{
	struct drive_legacy *legacy = &cpu[queue].legacy, is = drive_legacy(queue);
	const struct actor *a = &actor[who];
	wide due = legacy->service, room, left, tolerance = 0;

	if (due != 0 && (nobody || (int64_t)(a->enqueued_ns - legacy->left_ns) > LAG_KEEP_NS))
		due = legacy->service = 0;
	if (due < -legacy->most_debt)
		due = -legacy->most_debt;
	room = (request_of(a) * lag.den - lag.num) * a->member.weight / lag.den;
	if (due > 0 && due >= room) {
		due = room > 0 ? room : 0;
		tolerance = REF_TOLERANCE * (wide)a->member.weight;
	}
	left = legacy->service - due;
	inherited += due != 0;
	if (is.service > left + tolerance || is.service < left - tolerance)
		fail("RQ6: another debt or credit is left than had to be taken over", queue, who);
	*legacy = is;
	if (due == 0)
		return lag;
	/* A unit off, so that it fits. */
	return (struct ref_ratio){ ref_floor(lag) + ref_floor((struct ref_ratio){ due, a->member.weight }), 1 };
}

/* Does it owe, and until where; the place that the kernel has is taken over if it is near that. */
static void check_debt(uint32_t queue, uint32_t who, wide paid_at, bool owes, wide tolerance)
{
	struct drive_state is = drive_state(who);
	wide off = unwrap(is.paid_at, paid_at) - paid_at;

	/* A debt of a unit may be none by rounding. */
	if (is.owes != owes && (owes ? paid_at - unwrap(is.vruntime, paid_at) : off) > tolerance)
		fail("RQ5: a debt is lost or made where nobody competes", queue, who);
	if (is.owes && owes && (off > tolerance || off < -tolerance))
		fail("RQ5: a debt is another one where nobody competes", queue, who);
	actor[who].owes = is.owes;
	actor[who].paid_at = paid_at + off;
}

/* Where it has to join, by docs/SCHEDULING.md; the place that the kernel chose is taken over if it is near that. */
static void check_place(uint32_t queue, uint32_t who, bool moved, bool slept)
{
	struct actor *a = &actor[who];
	struct ref_queue *ref = &cpu[queue].ref;
	struct ref_ratio passed = { ref->sum - a->left_v * ref->weight, ref->weight }, lag, place;
	wide v;

	if (slept && (a->fresh || (int64_t)(cpu[queue].now_ns - a->left_ns) > LAG_KEEP_NS))
		a->lag = (struct ref_ratio){ 0, 1 };
	if (ref->count == 0) {
		v = (int64_t)drive_state(who).vruntime;
		passed = (struct ref_ratio){ unwrap((uint64_t)v, a->left_v) - a->left_v,
					     1 }; /* V stands still: it is the kernel's to know */
		lag = lag_now(a, moved ? NULL : &passed);
		if (moved)
			(void)inherit(queue, who, (struct ref_ratio){ 0, 1 }, true);
		check_debt(queue, who, v - ref_floor(lag), lag.num < 0, REF_TOLERANCE);
		ref_join(ref, &a->member, v);
		return;
	}
	lag = lag_now(a, moved ? NULL : &passed);
	if (moved)
		lag = inherit(queue, who, lag, false);
	place = ref_place(ref, a->member.weight, lag);
	v = unwrap(drive_state(who).vruntime, ref_floor(place));
	/* A unit of lag is (W + w) / W units of v. */
	if (!ref_near(place, v, REF_TOLERANCE * (2 + a->member.weight / ref->weight)))
		fail("RQ5: joins at another place than its lag demands", queue, who);
	ref_join(ref, &a->member, v);
}

static void resume(uint32_t queue, bool slice_over);

static void wake(uint32_t queue, uint32_t who)
{
	struct cpu_model *c = &cpu[queue];
	struct actor *a = &actor[who];
	uint32_t current = c->current;
	bool moved = a->fresh || a->queue != queue, preempts = drive_wake(queue, who, moved, current, c->now_ns);
	int should;

	a->enqueued_ns = c->now_ns;
	check_place(queue, who, moved, true);
	a->place = QUEUED;
	a->queue = queue;
	joins++;
	if (current == DRIVE_NOBODY || ref_renewal(&actor[current].member) >= 0)
		return;
	should = ref_preempts(&c->ref, &a->member, &actor[current].member);
	if ((should > 0 && !preempts) || (should < 0 && preempts))
		fail("preemption: the woken one does not take the CPU when it should, or does when it should not",
		     queue, who);
	if (preempts) {
		resume(queue, false);
		preemptions++;
	}
}

static void leave(uint32_t queue, uint32_t who)
{
	struct actor *a = &actor[who];

	a->left_ns = cpu[queue].now_ns; /* of one that moves, in between: not looked at */
	a->lag = ref_lag(&cpu[queue].ref, &a->member);
	a->left_v = a->member.num / a->member.weight;
	if (a->owes && a->left_v < a->paid_at) {
		a->lag.num -= (a->paid_at - a->left_v) * a->lag.den;
		a->left_v = a->paid_at;
	}
	a->owes = false;
	a->fresh = false;
	ref_leave(&cpu[queue].ref, &a->member);
	a->place = ASLEEP;
}

static void block(uint32_t queue)
{
	uint32_t who = cpu[queue].current;

	drive_block(queue, who, cpu[queue].now_ns);
	leave(queue, who);
	actor[who].enqueued_ns = cpu[queue].now_ns;
	cpu[queue].current = DRIVE_NOBODY;
}

/* One that sleeps ends; a new one with its number may start later. */
static void end(uint32_t who)
{
	struct actor *a = &actor[who];
	uint32_t queue = a->queue;
	struct ref_queue *ref = &cpu[queue].ref;
	struct drive_legacy *legacy = &cpu[queue].legacy, is;
	struct ref_ratio lag, passed = { ref->sum - a->left_v * ref->weight, ref->weight };
	wide service, most, request, tolerance = 2 * REF_TOLERANCE * (wide)a->member.weight;

	if (a->fresh)
		return;
	if (ref->count == 0) /* V stands still: it is the kernel's to know */
		passed = (struct ref_ratio){ unwrap(drive_virtual_time(queue), a->left_v) - a->left_v, 1 };
	lag = lag_now(a, &passed);
	drive_end(queue, who);
	is = drive_legacy(queue);
	service = a->member.weight * lag.num / lag.den;
	most = -service > legacy->most_debt ? -service : legacy->most_debt;
	request = request_of(a) * a->member.weight;
	request = request > legacy->service ? request : legacy->service;
	service += legacy->service;
	if (service > request)
		service = request;
	if (is.service > service + tolerance || is.service < service - tolerance || is.most_debt > most + tolerance ||
	    is.most_debt < most - tolerance)
		fail("RQ6: who ends leaves another debt or credit than it had", queue, who);
	if (legacy->service == 0 || (int64_t)(a->enqueued_ns - legacy->left_ns) > 0)
		legacy->left_ns = a->enqueued_ns;
	if (is.left_ns != legacy->left_ns)
		fail("RQ6: what is left is kept for another time", queue, who);
	*legacy = is;
	draw_parameters(a);
	drive_new(who, a->member.weight, a->class, a->member.request_ns);
	a->fresh = true;
}

static void check_sums(uint32_t queue, uint32_t who)
{
	int64_t off = (int64_t)(drive_virtual_time(queue) - (uint64_t)ref_virtual_time(&cpu[queue].ref));

	if (off > REF_TOLERANCE || off < -REF_TOLERANCE)
		fail("RQ3: the queue's sums do not give its virtual time", queue, who);
}

static void select_current(uint32_t queue, uint32_t who, bool regular)
{
	struct cpu_model *c = &cpu[queue];
	struct actor *a = &actor[who];

	if (a->place != QUEUED || a->queue != queue)
		fail("somebody was picked who is not in this queue", queue, who);
	a->place = RUNNING;
	c->current = who;
	if (++dispatches == 1000)
		drive_plant(planted);
	ref_picked(&c->ref, &a->member, regular, !plant("floor") && !plant("ceiling"));
	check_model(queue, who);
	check_sums(queue, who);
}

/* --- a slot --------------------------------------------------------------------------------------------------------------------- */

static void charge(uint32_t queue, uint64_t ns)
{
	struct cpu_model *c = &cpu[queue];

	c->now_ns += ns;
	drive_charge(queue, c->current, ns);
	ref_charge(&c->ref, &actor[c->current].member, ns);
	compare(queue, c->current);
	check_sums(queue, c->current);
	ref_check_bounds(&c->ref);
	check_model(queue, c->current);
}

/* The current one's request may have been renewed since its end was `before`. */
static void renewed(uint32_t queue, uint32_t who, uint64_t before, bool must)
{
	struct ref_member *m = &actor[who].member;
	int renewal = ref_renewal(m);

	if (drive_state(who).request_end != before) {
		if (renewal < 0)
			fail("a request is renewed before it is used up", queue, who);
		ref_renew(&cpu[queue].ref, m);
	} else if (must && renewal > 0) {
		fail("a request is used up and not renewed", queue, who);
	}
	compare(queue, who);
}

/* The CPU looks who goes on. */
static void resume(uint32_t queue, bool slice_over)
{
	struct cpu_model *c = &cpu[queue];
	uint32_t current = c->current, next;
	uint64_t before = drive_state(current).request_end;

	next = drive_preempt(queue, current, slice_over);
	renewed(queue, current, before, true);
	actor[current].place = QUEUED;
	if (next != current || slice_over)
		select_current(queue, next, true);
	actor[next].place = RUNNING;
}

static uint32_t somebody(enum place place, uint32_t queue)
{
	uint32_t first = (uint32_t)below(mix.actors);

	for (uint32_t i = 0; i < mix.actors; i++) {
		uint32_t who = (first + i) % mix.actors;
		if (actor[who].place == place && (place == ASLEEP || actor[who].queue == queue))
			return who;
	}
	return DRIVE_NOBODY;
}

/* It was put somewhere else with its request, of which `left` and `until` its deadline (K·ns) have to be the same. */
static void check_request(uint32_t queue, uint32_t who, uint32_t weight, wide v, wide left, wide until,
			  wide tolerance)
{
	struct drive_state is = drive_state(who);
	wide end = v + (int64_t)(is.request_end - is.vruntime), deadline = v + (int64_t)(is.deadline - is.vruntime);

	if (!ref_near((struct ref_ratio){ left, weight }, end - v, tolerance))
		fail("the rest of the request does not go along", queue, who);
	if (!ref_near((struct ref_ratio){ until, weight }, deadline - v, tolerance))
		fail("the deadline does not go along", queue, who);
	ref_place_at(&cpu[queue].ref, &actor[who].member, weight, v, deadline, end);
	ref_check_bounds(&cpu[queue].ref);
	check_model(queue, who);
}

static void change(uint32_t queue)
{
	uint32_t who =
		below(2) != 0 && cpu[queue].current != DRIVE_NOBODY ? cpu[queue].current : somebody(QUEUED, queue);
	struct ref_queue *ref = &cpu[queue].ref;
	struct ref_ratio place;
	struct actor *a, drawn;
	uint32_t old, new;
	wide v, tolerance;

	if (who == DRIVE_NOBODY)
		return;
	a = &actor[who];
	drawn = *a;
	draw_parameters(&drawn);
	old = a->member.weight;
	new = drawn.member.weight;
	drive_change(queue, who, a->place == RUNNING, new, drawn.class, drawn.member.request_ns);
	/* V − (V − v)·w/w' = (S·w' − (S·w − num·W)) / (W·w'); a unit at the old weight is w / w' units at the new one */
	place = (struct ref_ratio){ ref->sum * new - (ref->sum * old - a->member.num * ref->weight),
				    ref->weight *new };
	tolerance = REF_TOLERANCE * (1 + old / new);
	v = unwrap(drive_state(who).vruntime, ref_floor(place));
	if (!ref_near(place, v, tolerance))
		fail("a change of weight changes the service that is owed", queue, who);
	if (a->owes)
		check_debt(queue, who, v + ref_floor((struct ref_ratio){ a->paid_at * old - a->member.num, new }),
			   true, tolerance);
	a->class = drawn.class;
	a->member.early = drawn.member.early;
	a->member.request_ns = drawn.member.request_ns;
	check_request(queue, who, new, v, a->member.end_num - a->member.num, a->member.deadline_num - a->member.num,
		      tolerance);
	changes++;
}

static void move(uint32_t from)
{
	uint32_t who = somebody(QUEUED, from), to = (uint32_t)below(mix.queues);
	struct ref_member *m;
	wide left, until, length;

	if (who == DRIVE_NOBODY || to == from)
		return;
	m = &actor[who].member;
	left = m->end_num - m->num;
	until = m->deadline_num - m->num;
	length = m->length;
	leave(from, who);
	drive_move(from, to, who);
	check_place(to, who, true, false);
	actor[who].place = QUEUED;
	actor[who].queue = to;
	m->length = length;
	check_request(to, who, m->weight, m->num / m->weight, left, until, REF_TOLERANCE);
	moves++;
}

/* Who gives way gives up what it was owed beyond who comes next, no more. */
static void yield(uint32_t queue)
{
	struct cpu_model *c = &cpu[queue];
	uint32_t who = c->current, next;
	struct ref_member *m = &actor[who].member, *n;
	wide v, other;

	if (c->ref.count < 2)
		return;
	next = drive_yield(queue, who);
	n = &actor[next].member;
	v = m->num / m->weight;
	other = n->num / n->weight;
	if (!ref_near((struct ref_ratio){ other > v ? other : v, 1 }, unwrap(drive_state(who).vruntime, v), 2))
		fail("yield: gives up more or less than it was owed beyond who comes next", queue, who);
	ref_yield(&c->ref, m, unwrap(drive_state(who).vruntime, v));
	actor[who].place = QUEUED;
	compare(queue, who);
	yields++;
	select_current(queue, next, false);
}

/* How long until the timer's interrupt, after it was due. */
static uint64_t lateness(void)
{
	uint64_t r = draw();

	if (mix.late_ns == 0 || r % 8 < 5)
		return 0;
	return r % 8 == 7 ? 1 + below(mix.late_ns) : spread(mix.late_ns);
}

static void wake_one(uint32_t queue)
{
	uint32_t who = somebody(ASLEEP, queue);

	if (who != DRIVE_NOBODY)
		wake(queue, who);
}

static void slot(uint32_t queue)
{
	struct cpu_model *c = &cpu[queue];
	uint64_t slice, r;

	if (c->current == DRIVE_NOBODY) {
		uint32_t who;
		if (c->ref.count == 0) { /* idle */
			c->now_ns += spread(10 * LAG_KEEP_NS / 4);
			wake_one(queue);
			return;
		}
		who = drive_pick(queue);
		if (who == DRIVE_NOBODY)
			fail("nobody was picked from a queue that has some", queue, who);
		select_current(queue, who, true);
	}
	slice = drive_slice_ns(queue, c->current);
	if ((wide)slice * REF_K > actor[c->current].member.length + 16 * REF_K)
		fail("a slice is longer than the request", queue, c->current);
	r = below(1024);
	if (r < mix.wake + mix.block + mix.change + mix.move + mix.yield + mix.end) {
		charge(queue, below(slice + 1));
		if (r < mix.wake) {
			wake_one(queue);
		} else if ((r -= mix.wake) < mix.block) {
			block(queue);
		} else if ((r -= mix.block) < mix.change) {
			change(queue);
		} else if ((r -= mix.change) < mix.move) {
			move(queue);
		} else if ((r -= mix.move) < mix.yield) {
			yield(queue);
		} else if (r % 4 == 0) {
			uint32_t who = somebody(ASLEEP, queue);
			if (who != DRIVE_NOBODY)
				end(who);
		} else {
			uint32_t who = c->current;
			block(queue);
			end(who);
		}
		return;
	}
	charge(queue, slice + lateness());
	resume(queue, true);
}

/* --- epochs --------------------------------------------------------------------------------------------------------------------- */

static void draw_mix(void)
{
	uint64_t r = draw();

	mix = (struct mix){ .queues = 1 + (uint32_t)below(QUEUES_MAX), .steady = r % 3 == 0 };
	mix.actors = 1 + (uint32_t)spread((r >> 8) % 64 == 0 ? ENTITIES_MAX - 1 : 32);
	mix.late_ns = (r >> 16) % 4 == 0 ? 0 : spread(20000000);
	mix.request_max_ns = 100000 + spread(99900000);
	if (mix.steady) {
		mix.queues = 1;
		return;
	}
	mix.wake = (uint32_t)(r >> 24 & 1 ? below(300) : spread(300));
	mix.block = (uint32_t)(r >> 25 & 1 ? below(300) : spread(300));
	mix.change = (uint32_t)spread(50);
	mix.move = (uint32_t)spread(100);
	mix.yield = (uint32_t)spread(30);
	mix.end = (uint32_t)spread(r >> 26 & 1 ? 30 : 300);
}

/* Theorem, for members that stay and began without lag: the highest and the lowest lag, in its own bounds. */
static void note_worst(const struct ref_queue *ref)
{
	double request = 0, early = 0, rest = (double)ref->count * (double)mix.late_ns, owed, ahead;

	for (uint32_t i = 0; i < ref->count; i++) {
		double r = (double)ref->member[i]->request_ns;
		request = r > request ? r : request;
		early += ref->member[i]->early ? r : 0;
	}
	owed = (double)ref->worst_owed / REF_K;
	ahead = (double)ref->worst_ahead / REF_K;
	if (!mix.steady || ref->count < 2)
		return;
	if (owed / (request + rest + early) > worst_owed)
		worst_owed = owed / (request + rest + early);
	if (owed / (request + (double)mix.late_ns + early) > worst_simple)
		worst_simple = owed / (request + (double)mix.late_ns + early);
	if (ahead / (request + (double)mix.late_ns) > worst_ahead)
		worst_ahead = ahead / (request + (double)mix.late_ns);
	if (policy == DRIVE_EEVDF && owed > request + rest + early + 16)
		fail("theorem: more owed than a request, the latenesses and the early deadlines", 0, DRIVE_NOBODY);
	if (policy == DRIVE_EEVDF && ahead > request + (double)mix.late_ns + 16)
		fail("theorem: further ahead than a request and the lateness", 0, DRIVE_NOBODY);
}

static void run_epoch(uint64_t until)
{
	uint64_t end, virtual_start;

	draw_mix();
	virtual_start = draw() % 4 == 0 ? 0 - below(1ull << 40) : draw(); /* near the wrap, or anywhere */
	drive_init(policy, mix.queues, mix.actors, virtual_start);
	for (uint32_t q = 0; q < mix.queues; q++) {
		ref_init(&cpu[q].ref, policy == DRIVE_EEVDF ? REF_EEVDF : REF_WFQ);
		cpu[q].ref.no_ceiling = strcmp(planted, "floor") == 0;
		cpu[q].current = DRIVE_NOBODY;
		cpu[q].legacy = (struct drive_legacy){ 0 };
		cpu[q].now_ns = 1000000000;
	}
	for (uint32_t i = 0; i < mix.actors; i++) {
		actor[i] = (struct actor){ .fresh = true };
		draw_parameters(&actor[i]);
		drive_new(i, actor[i].member.weight, actor[i].class, actor[i].member.request_ns);
		if (mix.steady || below(2) != 0)
			wake((uint32_t)below(mix.queues), i);
	}
	end = dispatches + EPOCH_DISPATCHES / (mix.actors > 100 ? 10 : 1);
	for (uint64_t steps = 0; dispatches < end && dispatches < until && steps < 4 * EPOCH_DISPATCHES; steps++) {
		uint32_t first = 0;
		for (uint32_t q = 1; q < mix.queues; q++)
			first = cpu[q].now_ns < cpu[first].now_ns ? q : first;
		slot(first);
		if (steps % 256 == 0)
			drive_verify(first);
	}
	for (uint32_t q = 0; q < mix.queues; q++) {
		note_worst(&cpu[q].ref);
		ref_fini(&cpu[q].ref);
	}
	epoch++;
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "dispatches", 1, NULL, 'd' },
						 { "seed", 1, NULL, 's' },
						 { "policy", 1, NULL, 'p' },
						 { "plant", 1, NULL, 'x' },
						 { NULL, 0, NULL, 0 } };
	uint64_t until = 1000000, seed = 1;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'd')
			until = strtoull(optarg, NULL, 0);
		else if (option == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (option == 'p')
			policy = strcmp(optarg, "wfq") == 0 ? DRIVE_WFQ : DRIVE_EEVDF;
		else if (option == 'x')
			planted = optarg;
		else
			return 2;
	}
	random_state = seed;
	while (dispatches < until)
		run_epoch(until);
	printf("drive %s: seed=%llu dispatches=%llu epochs=%llu joins=%llu preemptions=%llu changes=%llu moves=%llu yields=%llu inherited=%llu "
	       "violations=0\n",
	       policy == DRIVE_EEVDF ? "eevdf" : "wfq", (unsigned long long)seed, (unsigned long long)dispatches,
	       (unsigned long long)epoch, (unsigned long long)joins, (unsigned long long)preemptions,
	       (unsigned long long)changes, (unsigned long long)moves, (unsigned long long)yields,
	       (unsigned long long)inherited);
	printf("members that stay, worst lag: owed %.3f of its bound (%.3f of one request and one lateness), ahead %.3f\n",
	       worst_owed, worst_simple, worst_ahead);
	return 0;
}
