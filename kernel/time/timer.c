/* SPDX-License-Identifier: MIT */
/*
 * The timer queue of a CPU: a tree ordered by (deadline, sequence). `first_ns` lets the owner compute its next event
 * without the lock. TI1: first is the tree's minimum, first_ns its deadline, or NEVER.
 */
#include <kernel/timer.h>

#include <kernel/cpu.h>
#include <kernel/debug.h>

#define TIMERS_PER_RUN 16

static int timer_compare(struct timer *a, struct timer *b)
{
	if (a->deadline_ns != b->deadline_ns)
		return a->deadline_ns < b->deadline_ns ? -1 : 1;
	return a->sequence < b->sequence ? -1 : a->sequence > b->sequence;
}

RB_GENERATE_INTERNAL(timer_tree, timer, node, timer_compare, __attribute__((unused)) static)

static inline void set_first(struct timer_queue *queue, struct timer *first) REQUIRES(queue->lock)
{
	queue->first = first;
	atomic_store_relaxed(&queue->first_ns, first != NULL ? first->deadline_ns : INSTANT_NEVER.ns);
}

/* Of the queued ones: no other is. */
static inline bool is_only(const struct timer_queue *queue, const struct timer *timer) REQUIRES(queue->lock)
{
	return RB_ROOT(&queue->tree) == timer && RB_LEFT(timer, node) == NULL && RB_RIGHT(timer, node) == NULL;
}

/* It is queued no more. */
static inline void take(struct timer_queue *queue, struct timer *timer) REQUIRES(queue->lock)
{
	if (is_only(queue, timer)) {
		RB_INIT(&queue->tree);
		set_first(queue, NULL);
	} else {
		if (timer == queue->first)
			set_first(queue, RB_NEXT(timer_tree, &queue->tree, timer));
		RB_REMOVE(timer_tree, &queue->tree, timer);
	}
	atomic_store_relaxed(&timer->cpu, NULL);
}

void timer_add(struct cpu *cpu, struct timer *timer, struct instant deadline, timer_fn fn)
{
	struct timer_queue *queue = &cpu->timers;

	spin_lock_on(cpu, &queue->lock);
	KASSERT(atomic_load_relaxed(&timer->cpu) == NULL);
	timer->deadline_ns = deadline.ns;
	timer->fn = fn;
	timer->sequence = queue->sequence++;
	atomic_store_relaxed(&timer->cpu, cpu);
	RB_INSERT(timer_tree, &queue->tree, timer);
	if (queue->first == NULL || deadline.ns < queue->first->deadline_ns) /* of equal ones the last */
		set_first(queue, timer);
	spin_unlock_on(cpu, &queue->lock);
}

void timer_start(struct cpu *cpu, struct timer *timer, struct instant deadline, timer_fn fn)
{
	timer_add(cpu, timer, deadline, fn);
	if (deadline.ns < cpu->armed_ns) {
		cpu->armed_ns = deadline.ns;
		mach_timer_arm(deadline);
	}
}

bool timer_cancel(struct timer *timer)
{
	for (;;) {
		struct cpu *cpu = atomic_load_relaxed(&timer->cpu);
		bool queued;

		if (cpu == NULL)
			return false;
		spin_lock(&cpu->timers.lock);
		queued = atomic_load_relaxed(&timer->cpu) == cpu;
		if (queued)
			take(&cpu->timers, timer);
		spin_unlock(&cpu->timers.lock);
		if (queued)
			return true;
	}
}

struct instant timer_next(struct cpu *cpu)
{
	return (struct instant){ atomic_load_relaxed(&cpu->timers.first_ns) };
}

/* The first one, if it is due, and calls `only` (NULL: whatever). */
static inline struct timer *take_due(struct cpu *cpu, struct instant now, timer_fn only, timer_fn *fn)
{
	struct timer_queue *queue = &cpu->timers;
	struct timer *timer;

	spin_lock_on(cpu, &queue->lock);
	timer = queue->first;
	if (likely(timer != NULL && timer->deadline_ns <= now.ns && (only == NULL || timer->fn == only))) {
		*fn = timer->fn;
		take(queue, timer);
	} else {
		timer = NULL;
	}
	spin_unlock_on(cpu, &queue->lock);
	return timer;
}

void timer_run_due(struct cpu *cpu, struct instant now)
{
	for (int i = 0; i < TIMERS_PER_RUN && timer_next(cpu).ns <= now.ns; i++) {
		timer_fn fn;
		struct timer *timer = take_due(cpu, now, NULL, &fn);

		if (likely(timer != NULL)) /* else it was cancelled meanwhile */
			fn(cpu, timer);
	}
}

struct timer *timer_take_due(struct cpu *cpu, struct instant now, timer_fn only)
{
	timer_fn fn;

	return take_due(cpu, now, only, &fn);
}

void timer_verify(struct cpu *cpu)
{
	struct timer_queue *queue = &cpu->timers;
	struct timer *previous = NULL;
	struct timer *timer;

	spin_lock(&queue->lock);
	RB_FOREACH (timer, timer_tree, &queue->tree) {
		KVERIFY(atomic_load_relaxed(&timer->cpu) == cpu);
		KVERIFY(previous == NULL || timer_compare(previous, timer) < 0);
		previous = timer;
	}
	timer = RB_MIN(timer_tree, &queue->tree);
	KVERIFY(queue->first == timer);
	KVERIFY(atomic_load_relaxed(&queue->first_ns) == (timer ? timer->deadline_ns : INSTANT_NEVER.ns));
	spin_unlock(&queue->lock);
}
