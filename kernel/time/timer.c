/* SPDX-License-Identifier: MIT */
/*
 * The timer queue of a CPU: a tree ordered by (deadline, sequence). `first_ns` lets the owner compute its next event
 * without the lock. TI1: first_ns is the deadline of the tree's minimum, or NEVER.
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

static void publish_first(struct timer_queue *queue) REQUIRES(queue->lock)
{
	struct timer *first = RB_MIN(timer_tree, &queue->tree);

	atomic_store_relaxed(&queue->first_ns, first ? first->deadline_ns : INSTANT_NEVER.ns);
}

void timer_start(struct cpu *cpu, struct timer *timer, struct instant deadline, timer_fn fn)
{
	struct timer_queue *queue = &cpu->timers;

	spin_lock(&queue->lock);
	KASSERT(atomic_load_relaxed(&timer->cpu) == NULL);
	timer->deadline_ns = deadline.ns;
	timer->fn = fn;
	timer->sequence = queue->sequence++;
	atomic_store_relaxed(&timer->cpu, cpu);
	RB_INSERT(timer_tree, &queue->tree, timer);
	publish_first(queue);
	spin_unlock(&queue->lock);
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
		if (queued) {
			RB_REMOVE(timer_tree, &cpu->timers.tree, timer);
			atomic_store_relaxed(&timer->cpu, NULL);
			publish_first(&cpu->timers);
		}
		spin_unlock(&cpu->timers.lock);
		if (queued)
			return true;
	}
}

void timer_run_due(struct cpu *cpu, struct instant now)
{
	struct timer_queue *queue = &cpu->timers;

	for (int i = 0; i < TIMERS_PER_RUN && atomic_load_relaxed(&queue->first_ns) <= now.ns; i++) {
		struct timer *timer;
		timer_fn fn = NULL;

		spin_lock(&queue->lock);
		timer = RB_MIN(timer_tree, &queue->tree);
		if (timer != NULL && timer->deadline_ns <= now.ns) {
			RB_REMOVE(timer_tree, &queue->tree, timer);
			fn = timer->fn;
			atomic_store_relaxed(&timer->cpu, NULL);
		}
		publish_first(queue);
		spin_unlock(&queue->lock);
		if (fn)
			fn(cpu, timer);
	}
}

struct instant timer_next(struct cpu *cpu)
{
	return (struct instant){ atomic_load_relaxed(&cpu->timers.first_ns) };
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
	KVERIFY(atomic_load_relaxed(&queue->first_ns) == (timer ? timer->deadline_ns : INSTANT_NEVER.ns));
	spin_unlock(&queue->lock);
}
