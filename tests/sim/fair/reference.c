/* SPDX-License-Identifier: MIT */
/* The model of reference.h: plain lists, exact integers, nothing clever. */
#include "reference.h"

#include <stdlib.h>
#include <string.h>

const char *ref_wrong;

#define WRONG(text)                                                                                                  \
	do {                                                                                                         \
		if (ref_wrong == NULL)                                                                               \
			ref_wrong = (text);                                                                          \
	} while (0)

static wide floor_div(wide a, wide b)
{
	wide quotient = a / b;

	return quotient - (a % b != 0 && (a < 0) != (b < 0));
}

static wide above_zero(wide a)
{
	return a > 0 ? a : 0;
}

void ref_init(struct ref_queue *queue, enum ref_policy policy)
{
	*queue = (struct ref_queue){ .policy = policy };
}

void ref_fini(struct ref_queue *queue)
{
	free(queue->member);
	*queue = (struct ref_queue){ 0 };
}

wide ref_floor(struct ref_ratio ratio)
{
	return floor_div(ratio.num, ratio.den);
}

bool ref_near(struct ref_ratio exact, wide v, wide units)
{
	wide off = v * exact.den - exact.num;

	return off <= units * exact.den && -off <= units * exact.den;
}

wide ref_deadline(const struct ref_member *member)
{
	return floor_div(member->deadline_num, member->weight);
}

wide ref_virtual_time(const struct ref_queue *queue)
{
	return queue->weight == 0 ? 0 : floor_div(queue->sum, queue->weight);
}

static wide virtual_time_fine(const struct ref_queue *queue)
{
	return queue->weight == 0 ? 0 : floor_div(queue->sum * 65536, queue->weight);
}

struct ref_ratio ref_lag(const struct ref_queue *queue, const struct ref_member *member)
{
	return (struct ref_ratio){ member->weight * queue->sum - member->num * queue->weight,
				   queue->weight * member->weight };
}

struct ref_ratio ref_place(const struct ref_queue *queue, uint32_t weight, struct ref_ratio lag)
{
	return (struct ref_ratio){ queue->sum * lag.den - lag.num * (queue->weight + weight),
				   queue->weight * lag.den };
}

/* --- membership ------------------------------------------------------------------------------------------------------------ */

/* What the member stands above a deadline that it was served on: in the sum `over` of the ceiling. */
static void count_over(struct ref_queue *queue, struct ref_member *member)
{
	wide over = member->num - member->deadline_num;

	over = above_zero(over > member->over ? over : member->over);
	queue->over += over - member->counted;
	member->counted = over;
}

static void enter(struct ref_queue *queue, struct ref_member *member)
{
	if (queue->count == queue->room) {
		queue->room = queue->room * 2 + 16;
		queue->member = realloc(queue->member, queue->room * sizeof(*queue->member));
		if (queue->member == NULL)
			abort();
	}
	queue->member[queue->count++] = member;
	member->place = queue->count;
	queue->sum += member->num;
	queue->weight += member->weight;
	for (uint32_t i = 0; i < queue->picks; i++)
		queue->pick[i].extra += above_zero(member->num - member->weight * queue->pick[i].virtual_time);
}

static void go(struct ref_queue *queue, struct ref_member *member)
{
	struct ref_member *last = queue->member[--queue->count];

	queue->member[member->place - 1] = last;
	last->place = member->place;
	member->place = 0;
	queue->sum -= member->num;
	queue->weight -= member->weight;
	queue->over -= member->counted;
	member->counted = 0;
	for (uint32_t i = 0; i < queue->picks; i++)
		queue->pick[i].extra += above_zero(member->weight * (queue->pick[i].virtual_time + 1) - member->num);
	if (queue->count == 0)
		queue->picks = 0;
}

/* V went from `before` to what it is now, because the membership changed. */
static void note_jump(struct ref_queue *queue, wide before)
{
	wide after = virtual_time_fine(queue);

	if (queue->count > 0 && after < before)
		queue->fallen += before - after + 1;
}

/* From now on its lag falls only by its own service, and by others' joining and leaving. */
static void note_floor(struct ref_queue *queue, struct ref_member *member)
{
	struct ref_ratio lag = ref_lag(queue, member);
	wide service = floor_div(member->weight * lag.num, lag.den);

	member->floor = service < 0 ? service : 0;
	member->fallen = queue->fallen;
	member->slot_num = member->num;
}

static void begin_request(struct ref_member *member)
{
	member->length = (wide)member->request_ns * REF_K;
	member->end_num = member->num + member->length;
	member->deadline_num = member->early ? member->num : member->end_num;
}

void ref_join(struct ref_queue *queue, struct ref_member *member, wide v)
{
	wide before = virtual_time_fine(queue);
	bool first = queue->count == 0;

	member->num = member->weight * v;
	member->over = 0;
	begin_request(member);
	if (first) /* nobody is owed anything: a moment from which every deadline can be held against what came since */
		queue->pick[queue->picks++] = (struct ref_pick){ (wide)1 << 100, v, 0 };
	enter(queue, member);
	count_over(queue, member);
	if (!first)
		note_jump(queue, before);
	note_floor(queue, member);
}

void ref_leave(struct ref_queue *queue, struct ref_member *member)
{
	wide before = virtual_time_fine(queue);

	go(queue, member);
	note_jump(queue, before);
}

void ref_place_at(struct ref_queue *queue, struct ref_member *member, uint32_t weight, wide v, wide deadline,
		  wide end)
{
	wide before = virtual_time_fine(queue);

	go(queue, member);
	member->weight = weight;
	member->num = weight * v;
	member->deadline_num = weight * deadline;
	member->end_num = weight * end;
	member->over = 0;
	enter(queue, member);
	count_over(queue, member);
	note_jump(queue, before);
	note_floor(queue, member);
	if (queue->running == member)
		queue->irregular = true; /* by another deadline than it was picked by */
}

/* --- running ---------------------------------------------------------------------------------------------------------------- */

void ref_charge(struct ref_queue *queue, struct ref_member *member, uint64_t ns)
{
	wide service = (wide)ns * REF_K;

	member->num += service;
	queue->sum += service;
	count_over(queue, member);
	if (queue->irregular) {
		for (uint32_t i = 0; i < queue->picks; i++)
			queue->pick[i].extra += service;
	} else if (queue->picks > 0) {
		queue->pick[queue->picks - 1].extra += service; /* the slot of the pick that is on top */
	}
}

int ref_renewal(const struct ref_member *member)
{
	wide left = member->end_num - member->num;

	if (left > (wide)REF_TOLERANCE * member->weight)
		return -1;
	return left < -(wide)REF_TOLERANCE * member->weight;
}

void ref_renew(struct ref_queue *queue, struct ref_member *member)
{
	member->over = above_zero(member->num - member->deadline_num);
	begin_request(member);
	count_over(queue, member);
}

void ref_yield(struct ref_queue *queue, struct ref_member *member, wide v)
{
	wide before = virtual_time_fine(queue);

	/* Its deadline may become an earlier one: for the ceiling it leaves and joins. */
	go(queue, member);
	member->over = 0;
	member->num = member->weight * v;
	begin_request(member);
	enter(queue, member);
	count_over(queue, member);
	note_jump(queue, before);
	note_floor(queue, member);
}

/* --- choosing ---------------------------------------------------------------------------------------------------------------- */

/* v <= V + units */
static bool eligible(const struct ref_queue *queue, const struct ref_member *member, int units)
{
	return member->num * queue->weight <= member->weight * (queue->sum + units * queue->weight);
}

/* deadline of a + units < deadline of b */
static bool earlier(const struct ref_member *a, const struct ref_member *b, int units)
{
	return (a->deadline_num + (wide)units * a->weight) * b->weight < b->deadline_num * a->weight;
}

static void push_pick(struct ref_queue *queue, const struct ref_member *member)
{
	wide deadline = ref_deadline(member);

	while (queue->picks > 0 && queue->pick[queue->picks - 1].deadline <= deadline)
		queue->picks--;
	if (queue->picks == REF_PICKS) { /* forget the oldest: deadlines as late as that one's are not checked */
		memmove(&queue->pick[0], &queue->pick[1], (REF_PICKS - 1) * sizeof(queue->pick[0]));
		queue->picks--;
	}
	queue->pick[queue->picks++] = (struct ref_pick){ deadline, ref_virtual_time(queue), 0 };
}

static void check_pick(const struct ref_queue *queue, const struct ref_member *picked)
{
	bool fair = queue->policy == REF_EEVDF;

	if (fair && !eligible(queue, picked, REF_TOLERANCE))
		WRONG("pick: who was picked is not eligible");
	for (uint32_t i = 0; i < queue->count; i++) {
		const struct ref_member *other = queue->member[i];
		if (earlier(other, picked, REF_TOLERANCE) && (!fair || eligible(queue, other, -REF_TOLERANCE)))
			WRONG("pick: somebody who may run has an earlier deadline");
	}
}

void ref_picked(struct ref_queue *queue, struct ref_member *member, bool regular, bool check)
{
	queue->running = member;
	queue->irregular = !regular;
	note_floor(queue, member);
	if (!regular)
		return;
	if (check)
		check_pick(queue, member);
	push_pick(queue, member);
	if (queue->policy == REF_EEVDF)
		member->floor = 0; /* it was eligible */
}

int ref_preempts(const struct ref_queue *queue, const struct ref_member *joined, const struct ref_member *current)
{
	bool fair = queue->policy == REF_EEVDF;
	struct ref_member due = *joined;

	if (!joined->early)
		due.deadline_num += REF_K * (wide)joined->request_ns / 2;
	if ((!fair || eligible(queue, joined, -REF_TOLERANCE)) && earlier(&due, current, REF_TOLERANCE))
		return 1;
	if ((fair && !eligible(queue, joined, REF_TOLERANCE)) || !earlier(&due, current, -REF_TOLERANCE))
		return -1;
	return 0;
}

/* --- bounds ------------------------------------------------------------------------------------------------------------------ */

/*
 * X(D): from the last pick of one with a later deadline on, or from when the queue had its first member on. Later by more than the
 * tolerance: else the two were equal for the kernel, who was picked came first, and served a request due by D.
 */
static bool ceiling(const struct ref_queue *queue, wide deadline)
{
	wide above = queue->sum - deadline * queue->weight; /* Σ w·(v − D) */

	if (above <= 0)
		return true;
	for (uint32_t i = queue->picks; i > 0; i--) {
		const struct ref_pick *pick = &queue->pick[i - 1];
		if (pick->deadline > deadline + REF_TOLERANCE)
			return above <= pick->extra + queue->over +
						(above_zero(pick->virtual_time - deadline) + 2 * REF_TOLERANCE) *
							queue->weight;
	}
	return true;
}

void ref_check_bounds(struct ref_queue *queue)
{
	wide sum = 0;

	for (uint32_t i = 0; i < queue->count; i++) {
		const struct ref_member *member = queue->member[i];
		wide lag_w = member->weight * queue->sum - member->num * queue->weight;
		wide floor = member->floor - (member->num - member->slot_num) -
			     ((member->weight * (queue->fallen - member->fallen)) >> 16) -
			     (wide)REF_TOLERANCE * member->weight;

		sum += lag_w;
		if (lag_w < floor * queue->weight)
			WRONG("floor: lag is lower than its service explains");
		if (queue->policy == REF_EEVDF && !queue->no_ceiling && !ceiling(queue, ref_deadline(member)))
			WRONG("ceiling: lag is higher than a request and the overshoots explain");
		if (lag_w > queue->worst_owed * queue->weight)
			queue->worst_owed = lag_w / queue->weight;
		if (-lag_w > queue->worst_ahead * queue->weight)
			queue->worst_ahead = -lag_w / queue->weight;
	}
	if (sum != 0)
		WRONG("RQ1: the lags do not sum to nothing");
}
