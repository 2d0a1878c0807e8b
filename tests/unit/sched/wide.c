/* SPDX-License-Identifier: MIT */
/* LINK: kernel/sched/ kernel/time/timer.c kernel/task/wait.c kernel/task/waitlist.c kernel/cap/errors.c */
/* A machine of more CPUs than fit one word: sets of CPUs, where woken and new threads go, and who steals from whom. */
/* Before the fakes, whose names it has for parameters. */
#include "kernel/sched/sched_priv.h"

#define CPUS 130u
#include "tests/unit/sched/fakes.h"

#include <kernel/context.h>

#include "kernel/sched/context.h"

static struct capos_cpu_set set_of(u32 a, u32 b, u32 c)
{
	const u32 ids[3] = { a, b, c };
	struct capos_cpu_set set = { 0 };

	for (u32 i = 0; i < 3; i++) {
		set.byte[ids[i] / 8] |= (u8)(1u << (ids[i] % 8));
		set.byte_count = (u16)MAX(set.byte_count, ids[i] / 8 + 1);
	}
	return set;
}

/* No CPU but `but` idles: they all run one, as far as who looks for a place can see. */
static void keep_busy(u32 but)
{
	struct thread *busy = thread_new(false);

	for (u32 i = 0; i < CPUS; i++) {
		if (i == but)
			continue;
		cpus[i]->current_entity = busy->own;
		place_clear_idle(cpus[i]);
	}
}

static void let_go(void)
{
	for (u32 i = 0; i < CPUS; i++)
		cpus[i]->current_entity = NULL;
}

/* Takes it out of the inbox or queue of the CPU where it is; where that was. */
static u32 fetch(struct thread *thread)
{
	struct cpu *where = atomic_load_relaxed(&thread->own->cpu);

	on(where->id);
	spin_lock(&where->runq.lock);
	wake_drain_locked(where);
	runq_dequeue(&where->runq, thread->own);
	spin_unlock(&where->runq.lock);
	owner_change(thread->own, OWNER_QUEUE, OWNER_NONE);
	thread->own->goes_on = false;
	return where->id;
}

static void wait_on(u32 id, struct thread *thread)
{
	thread->own->set = thread->own->affinity = affinity_of_cpu(id);
	thread_ready(on(id == 0 ? 1 : 0), thread);
}

/* --- sets ---------------------------------------------------------------------------------------------------------------- */

static void a_set_is_what_it_says(void **state)
{
	const struct capos_cpu_set set = set_of(1, 64, 129);
	struct thread *thread = thread_new(false);
	struct capos_cpu_set back;
	u64 affinity;
	u32 last;

	(void)state;
	assert_int_equal(affinity_count(&set, &last), 3);
	assert_int_equal(last, 129);
	affinity = affinity_of_set(thread, &set);
	for (u32 id = 0; id < CPUS; id++)
		assert_int_equal(affinity_allows(affinity, cpus[id]), id == 1 || id == 64 || id == 129);
	assert_int_equal(affinity_only(affinity), CAPOS_CPU_ANY);
	affinity_to_set(affinity, &back);
	assert_int_equal(back.byte_count, set.byte_count);
	assert_memory_equal(back.byte, set.byte, set.byte_count);
	/* What is not online is in no set. */
	atomic_store_relaxed(&cpus[64]->online, 0u);
	assert_int_equal(affinity_count(&set, &last), 2);
	assert_false(affinity_allows(affinity_of_set(thread, &set), cpus[64]));
	affinity_to_set(AFFINITY_ANY, &back);
	assert_int_equal(affinity_count(&back, &last), CPUS - 1);
	assert_int_equal(affinity_of_set(thread, &back), AFFINITY_ANY);
}

/* One CPU needs no words, every CPU none either. */
static void one_and_all_are_words(void **state)
{
	struct thread *thread = thread_new(false);

	(void)state;
	for (u32 id = 0; id < CPUS; id++) {
		const struct capos_cpu_set set = set_of(id, id, id);
		u64 affinity = affinity_of_set(thread, &set);

		assert_int_equal(affinity, affinity_of_cpu(id));
		assert_int_equal(affinity_only(affinity), id);
		for (u32 other = 0; other < CPUS; other++)
			assert_int_equal(affinity_allows(affinity, cpus[other]), other == id);
	}
	assert_int_equal(affinity_only(AFFINITY_ANY), CAPOS_CPU_ANY);
	assert_int_equal(affinity_of_cpu(CPUS), AFFINITY_ANY);
}

/* --- places -------------------------------------------------------------------------------------------------------------- */

/* However far away the one idle CPU is. */
static void an_idle_cpu_is_found_anywhere(void **state)
{
	static const u32 idle[] = { 1, 63, 64, 65, 127, 128, 129 };

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(idle); i++) {
		struct thread *thread = thread_new(false);

		keep_busy(idle[i]);
		place_set_idle(cpus[idle[i]]);
		thread_ready(on(0), thread);
		assert_int_equal(fetch(thread), idle[i]);
	}
	let_go();
}

/* Idle CPUs that it may not use do not tempt it; of those that it may, none idles: the less loaded. */
static void a_set_is_kept_to(void **state)
{
	const struct capos_cpu_set set = set_of(2, 70, 129);
	struct thread *thread = thread_new(false), *load[3];

	(void)state;
	thread->own->set = thread->own->affinity = affinity_of_set(thread, &set);
	keep_busy(CPU_NONE);
	place_set_idle(cpus[71]);
	place_set_idle(cpus[129]);
	thread_ready(on(0), thread);
	assert_int_equal(fetch(thread), 129);
	for (u32 i = 0; i < 3; i++) {
		load[i] = thread_new(false);
		wait_on(i < 2 ? 2 : 129, load[i]);
	}
	/* From CPU 69 on the three are among the 64 that are compared. */
	atomic_store_relaxed(&thread->own->cpu, cpus[69]);
	thread_ready(on(69), thread);
	assert_int_equal(fetch(thread), 70);
	for (u32 i = 0; i < 3; i++)
		(void)fetch(load[i]);
	let_go();
}

/* None of the 64 that are compared is allowed: the first one that is. */
static void beyond_the_scan(void **state)
{
	const struct capos_cpu_set set = set_of(100, 110, 129);
	struct thread *thread = thread_new(false);

	(void)state;
	thread->own->set = thread->own->affinity = affinity_of_set(thread, &set);
	keep_busy(CPU_NONE);
	thread_ready(on(0), thread);
	assert_int_equal(fetch(thread), 100);
	atomic_store_relaxed(&thread->own->cpu, cpus[1]);
	thread_ready(on(1), thread);
	assert_int_equal(fetch(thread), 100);
	let_go();
}

/* One that waits is moved when its words change under it. */
static void a_change_moves_who_waits(void **state)
{
	const struct capos_cpu_set before = set_of(1, 2, 3), after = set_of(66, 67, 129);
	struct thread *thread = thread_new(false);
	u32 where;

	(void)state;
	keep_busy(CPU_NONE);
	thread->own->set = thread->own->affinity = affinity_of_set(thread, &before);
	thread_ready(on(1), thread);
	assert_true(sched_set_affinity(on(0), thread, affinity_of_set(thread, &after)));
	where = fetch(thread);
	assert_true(where == 66 || where == 67 || where == 129);
	let_go();
}

/* --- stealing -------------------------------------------------------------------------------------------------------------- */

/* Work beyond the queues that are looked at is found by who is told of it. */
static void far_work_is_told_of(void **state)
{
	struct thread *thread = thread_new(false);
	struct entity *entity;

	(void)state;
	wait_on(100, thread);
	thread->own->set = thread->own->affinity = AFFINITY_ANY;
	assert_null(steal(on(0)));
	place_set_idle(cpus[0]);
	steal_tell(on(100));
	assert_int_not_equal(ipis[0], 0);
	entity = steal(on(0));
	assert_ptr_equal(entity, thread->own);
	assert_int_equal(owner_of(entity), OWNER_HANDOFF);
	assert_int_equal(thread->account.migrations[CAPOS_MIGRATION_STEAL], 1);
	owner_change(entity, OWNER_HANDOFF, OWNER_NONE);
	/* Told once. */
	wait_on(100, thread);
	thread->own->set = thread->own->affinity = AFFINITY_ANY;
	assert_null(steal(on(0)));
	(void)fetch(thread);
}

/* The last queue that is looked at, and the first that is not. */
static void the_scan_ends_after_64(void **state)
{
	struct thread *thread = thread_new(false);

	(void)state;
	for (u32 id = 60; id < 70; id++) {
		struct entity *entity;

		wait_on(id, thread);
		thread->own->set = thread->own->affinity = AFFINITY_ANY;
		entity = steal(on(0));
		assert_int_equal(entity != NULL, id <= 64);
		if (entity != NULL)
			owner_change(entity, OWNER_HANDOFF, OWNER_NONE);
		else
			(void)fetch(thread);
		thread->own->goes_on = false;
	}
}

/* --- masks of contexts ------------------------------------------------------------------------------------------------------- */

static struct context *context_for(const struct capos_cpu_set *set)
{
	const struct capos_context_spec spec = { .budget_ns = 50000000,
						 .period_ns = 50000000,
						 .deadline_ns = 50000000 };
	struct context *context = calloc(1, sizeof(*context) + 2 * affinity_mask_bytes(CPUS));

	garbage[garbage_count++] = context;
	context->object.id = ++next_id;
	spinlock_init(&context->object.lock, RANK_OBJECT, context->object.id);
	context_init(context, &spec);
	context->mask = affinity_in_words(context->words, set);
	return context;
}

/* A thread runs where its set and the mask meet; the set is its own again when it is unbound. */
static void a_mask_and_a_set_meet(void **state)
{
	const struct capos_cpu_set set = set_of(1, 64, 129), other = set_of(0, 2, 3), mask = set_of(64, 100, 129);
	struct context *context = context_for(&mask);
	struct thread *thread = thread_new(false);

	(void)state;
	assert_true(sched_set_affinity(on(0), thread, affinity_of_set(thread, &other)));
	assert_int_equal(context_bind(on(0), context, thread), IRESULT(CAPOS_CONTEXT_CPU_MASK_MISMATCH));
	assert_null(context->entity);
	assert_true(sched_set_affinity(on(0), thread, affinity_of_set(thread, &set)));
	assert_int_equal(context_bind(on(0), context, thread), STATUS(OK));
	for (u32 id = 0; id < CPUS; id++)
		assert_int_equal(affinity_allows(thread->own->affinity, cpus[id]), id == 64 || id == 129);
	assert_false(affinity_fits_context(thread->own, &other, 0));
	assert_false(affinity_fits_context(thread->own, NULL, affinity_of_cpu(1)));
	assert_true(affinity_fits_context(thread->own, NULL, affinity_of_cpu(129)));
	/* It waits on a CPU of the set that the mask does not have: out of there, at once. */
	assert_true(sched_set_affinity(on(0), thread, affinity_of_cpu(129)));
	for (u32 id = 0; id < CPUS; id++)
		assert_int_equal(affinity_allows(thread->own->affinity, cpus[id]), id == 129);
	assert_true(sched_set_affinity(on(0), thread, AFFINITY_ANY));
	for (u32 id = 0; id < CPUS; id++)
		assert_int_equal(affinity_allows(thread->own->affinity, cpus[id]),
				 id == 64 || id == 100 || id == 129);
	assert_true(context_unbind(on(0), context));
	assert_int_equal(thread->own->affinity, AFFINITY_ANY);
}

/* A context for every CPU leaves what its thread asked for alone: nothing of it lies in the context, which goes without a look at that. */
static void a_context_for_every_cpu_is_no_mask(void **state)
{
	const struct capos_cpu_set set = set_of(1, 64, 129), all = set_of(0, 1, 2);
	struct context *context = context_for(&all);
	struct thread *thread = thread_new(false);
	u64 affinity = affinity_of_set(thread, &set);

	(void)state;
	context->mask = AFFINITY_ANY;
	assert_int_equal(context_bind(on(0), context, thread), STATUS(OK));
	assert_true(sched_set_affinity(on(0), thread, affinity));
	assert_int_equal(thread->own->affinity, affinity);
	assert_true(context_unbind(on(0), context));
	assert_int_equal(thread->own->affinity, affinity);
}

/* While it is lent to a pinned server the set of that counts, within the mask: no loan, and no bind, where they do not meet. */
static void a_mask_and_a_servers_set_meet(void **state)
{
	const struct capos_cpu_set mask = set_of(64, 100, 129), off = set_of(1, 2, 3);
	struct context *context = context_for(&mask), *other = context_for(&off);
	struct thread *thread = thread_new(false);

	(void)state;
	assert_int_equal(context_bind(on(0), context, thread), STATUS(OK));
	assert_false(affinity_lend(thread->own, affinity_of_cpu(5)));
	for (u32 id = 0; id < CPUS; id++)
		assert_int_equal(affinity_allows(thread->own->affinity, cpus[id]),
				 id == 64 || id == 100 || id == 129);
	assert_true(affinity_lend(thread->own, affinity_of_cpu(100)));
	for (u32 id = 0; id < CPUS; id++)
		assert_int_equal(affinity_allows(thread->own->affinity, cpus[id]), id == 100);
	assert_true(context_unbind(on(0), context));
	assert_int_equal(thread->own->affinity, affinity_of_cpu(100));
	assert_int_equal(context_bind(on(0), other, thread), IRESULT(CAPOS_CONTEXT_CPU_MASK_MISMATCH));
	assert_true(affinity_lend(thread->own, 0));
	assert_int_equal(context_bind(on(0), other, thread), STATUS(OK));
	assert_true(context_unbind(on(0), other));
}

/* One who waits in a queue where a new context does not let it be is moved. */
static void a_bind_moves_who_waits(void **state)
{
	const struct capos_cpu_set mask = set_of(64, 100, 129);
	struct context *context = context_for(&mask);
	struct thread *thread = thread_new(false);
	u32 id;

	(void)state;
	wait_on(5, thread);
	thread->own->set = thread->own->affinity = AFFINITY_ANY;
	assert_int_equal(context_bind(on(0), context, thread), STATUS(OK));
	assert_true(sched_has_left(thread));
	id = fetch(thread);
	assert_true(id == 64 || id == 100 || id == 129);
	assert_true(context_unbind(on(0), context));
}

/* Words of sets and masks: what is within, what meets. */
static void sets_are_compared(void **state)
{
	const struct capos_cpu_set inner = set_of(64, 64, 129), outer = set_of(1, 64, 129), apart = set_of(0, 2, 128);
	struct thread *a = thread_new(false), *b = thread_new(false), *c = thread_new(false);
	u64 in = affinity_of_set(a, &inner), out = affinity_of_set(b, &outer), off = affinity_of_set(c, &apart);

	(void)state;
	assert_true(affinity_is_within(in, out));
	assert_false(affinity_is_within(out, in));
	assert_true(affinity_is_within(out, AFFINITY_ANY));
	assert_false(affinity_is_within(AFFINITY_ANY, out));
	assert_true(affinity_meets(in, out));
	assert_false(affinity_meets(in, off));
	assert_true(affinity_meets(off, AFFINITY_ANY));
	assert_true(affinity_set_is_within(&inner, out));
	assert_false(affinity_set_is_within(&apart, out));
	assert_int_equal(affinity_last_of_set(&outer), 129);
	assert_int_equal(affinity_last_of_set(&(struct capos_cpu_set){ 0 }), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_set_is_what_it_says),
		TEST(one_and_all_are_words),
		TEST(an_idle_cpu_is_found_anywhere),
		TEST(a_set_is_kept_to),
		TEST(beyond_the_scan),
		TEST(a_change_moves_who_waits),
		TEST(far_work_is_told_of),
		TEST(the_scan_ends_after_64),
		TEST(a_mask_and_a_set_meet),
		TEST(a_mask_and_a_servers_set_meet),
		TEST(a_context_for_every_cpu_is_no_mask),
		TEST(a_bind_moves_who_waits),
		TEST(sets_are_compared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
