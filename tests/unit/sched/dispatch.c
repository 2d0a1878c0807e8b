/* SPDX-License-Identifier: MIT */
/* LINK: kernel/sched/ kernel/time/timer.c kernel/task/wait.c kernel/task/waitlist.c kernel/cap/errors.c */
/* Wake, inbox, placement, dispatch, idle, activities, on four CPUs by hand: B1, SC1 to SC5, AC1, AC2. */
/* Before the fakes, whose names it has for parameters. */
#include <kernel/fastpath.h>

#include "kernel/sched/runq.h"
#include "tests/unit/sched/fakes.h"

#define SLICE (4 * MS)
#define TICK (10 * MS)

/* A new thread that may run on CPU `id` only, ready there. */
static struct thread *pinned_on(u32 id)
{
	struct thread *thread = thread_new(false);

	thread->own->set = thread->own->affinity = affinity_of_cpu(id);
	thread_ready(on(id), thread);
	return thread;
}

/* --- wake and inbox ------------------------------------------------------------------------------------------------------ */

static void inbox_keeps_the_order_and_sends_one_ipi(void **state)
{
	struct thread *t[3];

	(void)state;
	on(1);
	for (u32 i = 0; i < 3; i++) {
		t[i] = thread_new(false);
		t[i]->own->set = t[i]->own->affinity = affinity_of_cpu(0);
		thread_ready(cpus[1], t[i]);
		assert_int_equal(owner_of(t[i]->own), OWNER_INBOX);
		now_ns += 1000;
	}
	assert_int_equal(ipis[0], 1); /* SC3 */
	assert_int_equal(atomic_load_relaxed(&cpus[0]->runq.count), 0);
	assert_ptr_equal(interrupted(0, IRQ_IPI), t[0]);
	assert_int_equal(owner_of(t[0]->own), OWNER_CURRENT);
	assert_int_equal(owner_of(t[1]->own), OWNER_QUEUE);
	assert_int_equal(t[0]->account.runnable_ns, 3000); /* waiting starts at the push */
	/* The next push needs an IPI again. */
	blocks(t[0], CAPOS_WAIT_JOIN, INSTANT_NEVER);
	assert_ptr_equal(exits(0), t[1]);
	assert_true(wakes(1, t[0]));
	assert_int_equal(ipis[0], 2);
	assert_int_equal(owner_of(t[0]->own), OWNER_INBOX);
}

static void two_owners_are_found(void **state)
{
	struct thread *thread = pinned_on(0);

	(void)state;
	assert_true(PANICS(sched_wake(on(0), thread->own)));
	spin_unlock(&cpus[0]->runq.lock);
	assert_true(PANICS(sched_wake(on(1), thread->own)));
}

static void woken_goes_home_or_to_an_idle_cpu(void **state)
{
	struct thread *a, *b = thread_new(false), *c = thread_new(false);

	(void)state;
	assert_null(exits(2));
	a = pinned_on(1);
	assert_ptr_equal(exits(1), a);
	/* b was on CPU 1, which is busy: the idle one gets it, and only one of two. */
	atomic_store_relaxed(&b->own->cpu, cpus[1]);
	atomic_store_relaxed(&c->own->cpu, cpus[1]);
	thread_ready(on(1), b);
	assert_ptr_equal(atomic_load_relaxed(&b->own->cpu), cpus[2]);
	assert_int_equal(ipis[2], 1);
	thread_ready(on(1), c);
	assert_ptr_equal(atomic_load_relaxed(&c->own->cpu), cpus[1]);
	assert_ptr_equal(interrupted(2, IRQ_IPI), b);
	assert_int_equal(b->account.migrations[CAPOS_MIGRATION_WAKE], 1);
}

/* PL2, B4: somebody else has found work for it; the next idle one is tried. */
static void an_idle_cpu_with_an_interrupt_on_its_way_is_passed_over(void **state)
{
	struct thread *a = pinned_on(0), *b = thread_new(false), *c = thread_new(false);

	(void)state;
	assert_ptr_equal(exits(0), a);
	assert_null(exits(1));
	assert_null(exits(2));
	atomic_store_relaxed(&b->own->cpu, cpus[0]);
	atomic_store_relaxed(&c->own->cpu, cpus[0]);
	atomic_store_relaxed(&cpus[1]->ipi_pending, 1u);
	thread_ready(on(0), b);
	assert_ptr_equal(atomic_load_relaxed(&b->own->cpu), cpus[2]);
	assert_int_equal(ipis[1], 0);
	assert_int_equal(ipis[2], 1);
	assert_true(cpus[0]->placed.failed > 0);
	atomic_store_relaxed(&cpus[1]->ipi_pending, 0u);
	thread_ready(on(0), c);
	assert_ptr_equal(atomic_load_relaxed(&c->own->cpu), cpus[1]);
}

/* B5: its creator's CPU, unless another one has strictly less to do; who is on its way there counts. */
static void a_new_thread_goes_where_strictly_less_is_to_do(void **state)
{
	static const u32 loads[CPUS] = { 2, 2, 1, 2 };
	struct thread *first = thread_new(false), *second = thread_new(false), *bound = thread_new(false);

	(void)state;
	for (u32 id = 0; id < CPUS; id++) {
		for (u32 i = 0; i < loads[id]; i++)
			(void)pinned_on(id);
		assert_non_null(exits(id));
	}
	thread_ready(on(0), first);
	assert_ptr_equal(atomic_load_relaxed(&first->own->cpu), cpus[2]);
	assert_int_equal(first->account.migrations[CAPOS_MIGRATION_NEW], 1);
	thread_ready(on(0), second);
	assert_ptr_equal(atomic_load_relaxed(&second->own->cpu), cpus[0]);
	assert_int_equal(second->account.migrations[CAPOS_MIGRATION_NEW], 0);
	bound->own->set = bound->own->affinity = affinity_of_cpu(3);
	thread_ready(on(0), bound);
	assert_ptr_equal(atomic_load_relaxed(&bound->own->cpu), cpus[3]);
}

static void its_own_idle_cpu_before_others(void **state)
{
	struct thread *thread = thread_new(false);

	(void)state;
	atomic_store_relaxed(&thread->own->cpu, cpus[2]);
	for (u32 id = 1; id < CPUS; id++)
		assert_null(exits(id));
	thread_ready(on(0), thread);
	assert_ptr_equal(interrupted(2, IRQ_IPI), thread);
	assert_int_equal(thread->account.migrations[CAPOS_MIGRATION_WAKE], 0);
}

static void a_pinning_to_an_offline_cpu_binds_nowhere(void **state)
{
	struct thread *thread = thread_new(false);

	(void)state;
	atomic_store_relaxed(&cpus[3]->online, 0u);
	thread->own->set = thread->own->affinity = affinity_of_cpu(3);
	thread_ready(on(0), thread);
	assert_ptr_equal(exits(0), thread);
	sched_request(on(0), cpus[0], REQUEST_RESCHEDULE);
	assert_ptr_equal(exits(0), thread);
	assert_int_equal(thread->account.preemptions, 0);
}

/* --- dispatch ---------------------------------------------------------------------------------------------------------------- */

static void slices_of_two(void **state)
{
	struct thread *a = pinned_on(0), *b;
	u64 began;

	(void)state;
	assert_ptr_equal(exits(0), a);
	assert_int_equal(armed_at[0], now_ns + TICK); /* alone: the tick only */
	now_ns += MS;
	began = now_ns - MS;
	b = pinned_on(0);
	assert_int_equal(armed_at[0], began + SLICE); /* SC5: a second one came */
	assert_ptr_equal(exits(0), a);
	assert_ptr_equal(fires(0), b);
	assert_int_equal(a->account.preemptions, 1);
	assert_int_equal(armed_at[0], now_ns + SLICE);
	assert_ptr_equal(fires(0), a);
	/* AC2, AC1 */
	assert_int_equal(a->account.runtime_ns + b->account.runtime_ns, cpus[0]->busy_ns);
	assert_int_equal(cpus[0]->busy_ns + cpus[0]->idle_ns + cpus[0]->irq_ns, now_ns - 1000 * MS);
}

static void an_arrival_from_afar_is_armed_for(void **state)
{
	struct thread *a = pinned_on(0), *b = thread_new(false);
	u64 began = now_ns;

	(void)state;
	assert_ptr_equal(exits(0), a);
	b->own->set = b->own->affinity = affinity_of_cpu(0);
	thread_ready(on(1), b);
	/* A thief drained it before the target came to look. */
	assert_null(exits(2));
	assert_int_equal(owner_of(b->own), OWNER_QUEUE);
	now_ns += 1000;
	assert_ptr_equal(interrupted(0, IRQ_IPI), a);
	assert_int_equal(armed_at[0], began + SLICE);
}

static void an_early_expiry_arms_again(void **state)
{
	struct thread *a = pinned_on(0);

	(void)state;
	assert_ptr_equal(exits(0), a);
	now_ns += MS;
	armed_at[0] = INSTANT_NEVER.ns;
	assert_ptr_equal(interrupted(0, IRQ_TIMER), a);
	assert_int_equal(armed_at[0], 1000 * MS + TICK);
	assert_int_equal(cpus[0]->ticks, 0);
	assert_ptr_equal(fires(0), a);
	assert_int_equal(cpus[0]->ticks, 1);
	assert_int_equal(armed_at[0], now_ns + TICK);
}

/* The end of a slice in which it still is behind the others is no switch. */
static void the_best_goes_on_after_its_slice(void **state)
{
	struct thread *a = thread_new(false), *b = pinned_on(0);
	const struct sched_params heavy = { .weight = 4 * CAPOS_WEIGHT_DEFAULT,
					    .latency_class = CAPOS_LATENCY_NORMAL };

	(void)state;
	sched_set_params(on(0), a, &heavy);
	a->own->set = a->own->affinity = affinity_of_cpu(0);
	thread_ready(on(0), a);
	assert_ptr_equal(exits(0), a); /* the same request is a quarter of the virtual time */
	assert_ptr_equal(fires(0), b);
	assert_ptr_equal(fires(0), a);
	assert_ptr_equal(fires(0), a); /* a tick */
	assert_ptr_equal(fires(0), a);
	assert_int_equal(a->account.switches, 2);
	assert_int_equal(cpus[0]->slice_end_ns, now_ns + SLICE);
}

/* --- the end of a slice has a way of its own ---------------------------------------------------------------------------------- */

#define SLICE_ENDS 300u

/* What stands after the end of a slice. */
struct slice_end {
	u64 thread_id, vruntime, deadline, slice_end_ns, armed_ns, switches, busy_ns;
};

static u64 random_below(u64 *seed, u64 below)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return (*seed >> 33) % below;
}

/* As in a window between two steps: the general way. */
static const struct thread *window_at_end(struct cpu *cpu)
{
	sched_charge(cpu, (struct instant){ now_ns });
	(void)sched_irq(cpu, IRQ_TIMER, (struct instant){ now_ns });
	return sched_exit(cpu);
}

/* Hogs of random parameters, timers of random lateness. */
static void slices_end(u64 seed, bool general, struct slice_end *ends)
{
	static const u32 weight[] = { 1, 335, 1024, 1024, 1024, 4096, 65536 };

	setup(NULL);
	sched_set_policy(seed % 4 == 3 ? SCHED_WFQ : SCHED_EEVDF);
	for (u64 count = 2 + random_below(&seed, 4); count > 0; count--) {
		struct thread *thread = thread_new(false);
		const struct sched_params params = { .weight = weight[random_below(&seed, ARRAY_COUNT(weight))],
						     .latency_class = (u32)random_below(&seed, 3),
						     .request_ns = random_below(&seed, 2) * 3 * MS };

		sched_set_params(on(0), thread, &params);
		thread->own->set = thread->own->affinity = affinity_of_cpu(0);
		thread_ready(on(0), thread);
	}
	(void)exits(0);
	for (u32 i = 0; i < SLICE_ENDS; i++) {
		unsigned before = clock_readings;
		const struct thread *thread;

		now_ns = MAX(now_ns, armed_at[0]) + random_below(&seed, 3) * 50000;
		armed_at[0] = INSTANT_NEVER.ns;
		thread = general ? window_at_end(on(0)) : interrupted(0, IRQ_TIMER);
		assert_true(general || clock_readings == before + 1);
		ends[i] = (struct slice_end){ thread->object.id,     thread->own->vruntime, thread->own->deadline,
					      cpus[0]->slice_end_ns, armed_at[0],	    thread->account.switches,
					      cpus[0]->busy_ns };
	}
	teardown(NULL);
}

static void a_slice_ends_both_ways(void **state)
{
	static struct slice_end direct[SLICE_ENDS], general[SLICE_ENDS];

	(void)state;
	for (u64 seed = 0; seed < 200; seed++) {
		teardown(NULL);
		slices_end(seed, false, direct);
		slices_end(seed, true, general);
		setup(NULL);
		assert_memory_equal(direct, general, sizeof(direct));
	}
}

/* What is wanted of the current one while it gives way is in effect when it is queued: who asked for it saw it current (params.pml). */
static void yield_adopts_what_is_wanted(void **state)
{
	const struct sched_params params = { .weight = 77, .latency_class = CAPOS_LATENCY_BATCH };
	struct thread *a = thread_new(false), *b = thread_new(false);

	(void)state;
	a->own->set = a->own->affinity = b->own->affinity = affinity_of_cpu(0);
	thread_ready(on(0), a);
	assert_ptr_equal(exits(0), a);
	thread_ready(on(0), b);
	atomic_store_relaxed(&a->own->wanted, params_pack(&params));
	sched_yield_current(on(0));
	assert_int_equal(owner_of(a->own), OWNER_QUEUE);
	assert_int_equal(a->own->weight, 77);
	sched_verify(cpus[0]);
}

static void yield_lets_the_other_run(void **state)
{
	struct thread *a = pinned_on(0), *b = pinned_on(0);

	(void)state;
	assert_ptr_equal(exits(0), a);
	sched_yield_current(on(0));
	assert_ptr_equal(exits(0), b);
	sched_yield_current(on(0));
	assert_ptr_equal(exits(0), a);
	blocks(a, CAPOS_WAIT_JOIN, INSTANT_NEVER);
	assert_ptr_equal(exits(0), b);
	sched_yield_current(on(0)); /* alone */
	assert_ptr_equal(exits(0), b);
}

/* The current thread waits, by the fast way. */
static struct thread *exits_blocked(u32 id)
{
	struct cpu *cpu = on(id);
	struct thread *from = cpu->current;

	sched_detach_inline(cpu);
	waiter_arm_untimed(&from->wait, CAPOS_WAIT_PARK, &no_queue);
	return sched_exit_blocked(cpu, from);
}

/* The fast entries' ways out choose as the others do. */
static void fast_ways_out(void **state)
{
	struct thread *a = pinned_on(0), *b = pinned_on(0), *c;
	u64 runtime;

	(void)state;
	assert_ptr_equal(exits(0), a);
	a->mach.frame.call = YIELD_WORD;
	runtime = a->account.runtime_ns;
	now_ns += 500;
	assert_ptr_equal(sched_exit_yield(on(0), a), b);
	assert_int_equal(a->mach.frame.call, STATUS(OK));
	assert_int_equal(a->account.runtime_ns, runtime + 500);
	assert_int_equal(owner_of(a->own), OWNER_QUEUE);
	assert_int_equal(owner_of(b->own), OWNER_CURRENT);
	assert_ptr_equal(cpus[0]->current, b);
	assert_ptr_equal(exits_blocked(0), a);
	assert_int_equal(owner_of(b->own), OWNER_NONE);
	assert_ptr_equal(cpus[0]->current, a);
	assert_null(cpus[0]->armed_waiter);
	/* Alone: it goes on; when it waits, the CPU idles. */
	a->mach.frame.call = YIELD_WORD;
	assert_ptr_equal(sched_exit_yield(on(0), a), a);
	/* One that may not run here any more is sent where it may. */
	c = pinned_on(0);
	c->own->set = c->own->affinity = affinity_of_cpu(1);
	a->mach.frame.call = YIELD_WORD;
	assert_ptr_equal(sched_exit_yield(on(0), a), a);
	assert_ptr_equal(atomic_load_relaxed(&c->own->cpu), cpus[1]);
	assert_int_equal(owner_of(c->own), OWNER_INBOX);
	/* A kill that came before the arm ends the wait. */
	assert_true(wakes(0, b));
	atomic_fetch_or(&a->attention, ATTENTION_KILL);
	assert_ptr_equal(exits_blocked(0), b);
	assert_false(waiter_is_armed(&a->wait));
	assert_int_equal(owner_of(a->own), OWNER_QUEUE);
}

/* A call that wakes and does not end in sched_exit. */
static void a_better_one_comes_right_after_the_call(void **state)
{
	struct thread *a = pinned_on(0), *b;

	(void)state;
	assert_ptr_equal(exits(0), a);
	sched_look_soon(cpus[0]);
	assert_int_equal(ipis[0], 0);
	b = pinned_on(0); /* no gain: a goes on */
	sched_look_soon(on(0));
	assert_int_equal(ipis[0], 0);
	sched_yield_current(on(0));
	assert_ptr_equal(exits(0), b);
	blocks(b, CAPOS_WAIT_PARK, INSTANT_NEVER);
	assert_ptr_equal(exits(0), a);
	now_ns += 4 * MS; /* its request is used up */
	sched_charge(cpus[0], (struct instant){ now_ns });
	assert_true(wakes(0, b));
	sched_look_soon(on(0));
	assert_int_equal(ipis[0], 1);
	assert_ptr_equal(cpus[0]->current, a);
	assert_ptr_equal(interrupted(0, IRQ_IPI), b);
	assert_int_equal(a->account.preemptions, 1);
}

static void handoff_skips_the_queue_within_the_slice(void **state)
{
	struct thread *a = pinned_on(0), *b = thread_new(false), *c;

	(void)state;
	/* b runs once, on CPU 1, for long: its virtual time is another queue's. */
	thread_ready(on(1), b);
	assert_ptr_equal(exits(1), b);
	blocks(b, CAPOS_WAIT_RECV, INSTANT_NEVER);
	b->entity->vruntime = 5000ull * MS << 32;
	assert_null(exits(1));
	assert_ptr_equal(exits(0), a);
	c = pinned_on(0);
	now_ns += MS;
	assert_true(waiter_claim(&b->wait));
	on(0);
	waiter_deliver(cpus[0], &b->wait, STATUS(OK), NULL, 0);
	assert_false(sched_handoff(cpus[0], b)); /* a is current */
	blocks(a, CAPOS_WAIT_REPLY, INSTANT_NEVER);
	assert_true(sched_handoff(cpus[0], b));
	assert_int_equal(owner_of(b->entity), OWNER_HANDOFF);
	assert_false(sched_handoff(cpus[0], c)); /* the place is taken */
	assert_ptr_equal(exits(0), b);
	assert_in_range(b->entity->vruntime, 0,
			4 * MS * VIRTUAL_PER_NS / CAPOS_WEIGHT_DEFAULT); /* this queue's time */
	assert_int_equal(cpus[0]->slice_end_ns, 1000 * MS + SLICE);	 /* a's slice */
	assert_ptr_equal(fires(0), c);
}

/* A hand-off after the slice goes through the queue: two that hand each other the CPU do not keep it. */
static void handoffs_do_not_starve(void **state)
{
	struct thread *a = pinned_on(0), *b = pinned_on(0), *c, *runs;

	(void)state;
	assert_ptr_equal(exits(0), a);
	sched_yield_current(on(0));
	assert_ptr_equal(exits(0), b);
	blocks(b, CAPOS_WAIT_RECV, INSTANT_NEVER);
	assert_ptr_equal(exits(0), a);
	c = pinned_on(0);
	for (unsigned i = 0; i < 12; i++) {
		runs = cpus[0]->current;
		if (runs == c)
			return;
		now_ns += MS;
		blocks(runs, CAPOS_WAIT_RECV, INSTANT_NEVER);
		runs = runs == a ? b : a;
		assert_true(waiter_claim(&runs->wait));
		waiter_deliver(cpus[0], &runs->wait, STATUS(OK), NULL, 0);
		if (!sched_handoff(cpus[0], runs))
			thread_ready(cpus[0], runs);
		(void)exits(0);
	}
	fail_msg("c never ran");
}

static void a_long_sleep_handed_off_is_no_monopoly(void **state)
{
	struct thread *a = pinned_on(0), *b = pinned_on(0);

	(void)state;
	assert_ptr_equal(exits(0), a);
	blocks(a, CAPOS_WAIT_RECV, INSTANT_NEVER);
	assert_ptr_equal(exits(0), b);
	for (unsigned i = 0; i < 100; i++)
		assert_ptr_equal(fires(0), b); /* a second of ticks */
	assert_true(waiter_claim(&a->wait));
	waiter_deliver(cpus[0], &a->wait, STATUS(OK), NULL, 0);
	blocks(b, CAPOS_WAIT_REPLY, INSTANT_NEVER);
	assert_true(sched_handoff(cpus[0], a));
	assert_ptr_equal(exits(0), a);
	assert_int_equal(a->entity->vruntime, b->entity->vruntime);
}

/* --- kill, pinning -------------------------------------------------------------------------------------------------------------- */

static void a_killed_thread_dies_on_dispatch(void **state)
{
	struct thread *a = pinned_on(0), *b = pinned_on(0);

	(void)state;
	atomic_fetch_or(&a->attention, ATTENTION_KILL | ATTENTION_OPERATION);
	assert_ptr_equal(exits(0), b);
	assert_int_equal(operations, 1); /* the operation first */
	assert_int_equal(deaths, 1);
	assert_int_equal(owner_of(a->own), OWNER_NONE);
}

static void pinning_moves_who_runs_and_who_waits(void **state)
{
	struct thread *a = thread_new(false), *b = thread_new(false);

	(void)state;
	atomic_store_relaxed(&b->own->cpu, cpus[0]);
	thread_ready(on(0), a);
	assert_ptr_equal(exits(0), a);
	thread_ready(on(0), b);
	assert_false(sched_set_affinity(on(1), a, affinity_of_cpu(2)));
	assert_int_equal(ipis[0], 1);
	assert_true(sched_set_affinity(on(1), b, affinity_of_cpu(3)));
	assert_ptr_equal(interrupted(3, IRQ_IPI), b); /* at once: CPU 0 was not needed */
	assert_false(sched_has_left(a));
	assert_null(interrupted(0, IRQ_IPI));
	assert_true(sched_has_left(a));
	assert_ptr_equal(interrupted(2, IRQ_IPI), a);
	assert_int_equal(a->account.migrations[CAPOS_MIGRATION_AFFINITY], 1);
	assert_int_equal(b->account.migrations[CAPOS_MIGRATION_AFFINITY], 1);
}

/* AF3: another change allows where it is meanwhile; who asks on its own CPU goes when that leaves the kernel; a blocked one and one that
 * is allowed where it runs are not waited for. */
static void who_need_not_leave_is_not_waited_for(void **state)
{
	struct thread *a = thread_new(false);

	(void)state;
	thread_ready(on(0), a);
	assert_ptr_equal(exits(0), a);
	assert_true(sched_set_affinity(on(1), a, affinity_of_cpu(0)));
	assert_false(sched_set_affinity(on(1), a, affinity_of_cpu(1)));
	assert_true(sched_set_affinity(on(2), a, affinity_of_cpu(0)));
	assert_true(sched_has_left(a));
	assert_ptr_equal(interrupted(0, IRQ_IPI), a);
	assert_true(sched_set_affinity(on(0), a, affinity_of_cpu(2)));
	assert_null(exits(0));
	assert_ptr_equal(interrupted(2, IRQ_IPI), a);
	blocks(a, CAPOS_WAIT_JOIN, INSTANT_NEVER);
	assert_null(exits(2));
	assert_true(sched_set_affinity(on(1), a, affinity_of_cpu(3)));
	assert_int_equal(ipis[3], 0);
	assert_true(wakes(1, a));
	assert_ptr_equal(interrupted(3, IRQ_IPI), a);
}

/* The pinning came after the thief looked and before its CPU shows the entity: nobody asks the thief, so it looks itself. */
static void pinning_races_with_a_thief(void **state)
{
	struct thread *a = pinned_on(0), *b = thread_new(false);

	(void)state;
	assert_ptr_equal(exits(0), a);
	atomic_store_relaxed(&b->own->cpu, cpus[0]);
	b->own->set = b->own->affinity = affinity_of_cpu(0);
	thread_ready(on(0), b);
	assert_true(spin_trylock(&cpus[0]->runq.lock));
	runq_dequeue(&cpus[0]->runq, b->own);
	spin_unlock(&cpus[0]->runq.lock);
	atomic_store_relaxed(&b->own->owner, (u32)OWNER_NONE);
	b->own->set = b->own->affinity = AFFINITY_ANY;
	b->entity = b->own;
	assert_true(sched_handoff(on(1), b));		     /* as good as stolen */
	b->own->set = b->own->affinity = affinity_of_cpu(2); /* asked the CPU where it was */
	assert_null(exits(1));
	assert_ptr_equal(interrupted(2, IRQ_IPI), b);
}

/* --- idle and steal --------------------------------------------------------------------------------------------------------------- */

static void steals_what_may_run_here(void **state)
{
	struct thread *a = pinned_on(0), *b = pinned_on(0), *c = thread_new(false);

	(void)state;
	assert_ptr_equal(exits(0), a);
	atomic_store_relaxed(&c->own->cpu, cpus[0]);
	thread_ready(on(0), c);
	assert_ptr_equal(exits(1), c);
	assert_int_equal(cpus[1]->placed.moves[CAPOS_MIGRATION_STEAL], 1);
	assert_null(exits(2)); /* b stays */
	assert_int_equal(owner_of(b->own), OWNER_QUEUE);
}

static void steals_from_an_inbox_too(void **state)
{
	struct thread *a = pinned_on(0), *b = pinned_on(1), *c = thread_new(false);

	(void)state;
	assert_ptr_equal(exits(0), a);
	assert_ptr_equal(exits(1), b);
	atomic_store_relaxed(&c->own->cpu, cpus[0]);
	thread_ready(on(1), c);
	assert_int_equal(owner_of(c->own), OWNER_INBOX);
	assert_ptr_equal(exits(2), c);
	assert_ptr_equal(interrupted(0, IRQ_IPI), a); /* the IPI finds nothing */
}

/* It looked a moment too early; the tick of the busy one tells it. */
static void an_idle_cpu_is_told_of_those_who_wait(void **state)
{
	struct thread *a = pinned_on(0), *b = thread_new(false);

	(void)state;
	assert_ptr_equal(exits(0), a);
	atomic_store_relaxed(&b->own->cpu, cpus[0]);
	thread_ready(on(0), b);
	assert_true(spin_trylock(&cpus[0]->runq.lock));
	assert_null(exits(1)); /* found the lock taken */
	on(0);
	spin_unlock(&cpus[0]->runq.lock);
	for (unsigned i = 0; i < 5 && ipis[1] == 0; i++)
		assert_non_null(fires(0));
	assert_int_equal(ipis[1], 1);
	assert_non_null(interrupted(1, IRQ_IPI));
	/* Who may not move disturbs nobody. */
	assert_null(exits(2));
	(void)pinned_on(0);
	(void)pinned_on(0);
	for (unsigned i = 0; i < 10; i++)
		assert_non_null(fires(0));
	assert_int_equal(ipis[2], 0);
}

static void idle_with_work_for_reclaim_keeps_a_tick(void **state)
{
	struct reclaim_node node = { 0 };

	(void)state;
	assert_null(exits(0));
	assert_int_equal(armed_at[0], INSTANT_NEVER.ns);
	assert_int_equal(atomic_load_relaxed(&cpus[0]->idling), 1);
	assert_int_equal(atomic_load_relaxed(&cpus[0]->epoch), 0); /* idle is a quiescent point */
	cpus[0]->deferred_first = &node;
	assert_null(exits(0));
	assert_int_equal(armed_at[0], now_ns + TICK);
	cpus[0]->deferred_first = NULL;
	assert_null(fires(0));
	assert_int_equal(armed_at[0], INSTANT_NEVER.ns);
}

/* Going idle leaves the last space, which wakes a thread here: it must run, not wait for an interrupt. */
static void woken_while_going_idle(void **state)
{
	struct thread *a = thread_new(false);

	(void)state;
	atomic_store_relaxed(&a->own->cpu, cpus[0]);
	woken_by_leaving = a;
	assert_ptr_equal(exits(0), a);
}

/* --- activities ---------------------------------------------------------------------------------------------------------------------- */

static enum activity_result count_steps(struct cpu *cpu, struct activity *activity)
{
	assert_ptr_equal(cpu->current_entity, &activity->entity);
	assert_null(cpu->current);
	now_ns += 500000;
	return ++steps % 4 == 0 ? step_result : ACTIVITY_AGAIN;
}

static void activities_step_sleep_and_end(void **state)
{
	struct activity activity;

	(void)state;
	activity_init(&activity, "test", NULL, count_steps);
	step_result = ACTIVITY_SLEEP;
	activity_start(on(0), &activity);
	assert_null(exits(0));
	assert_int_equal(steps, 4);
	assert_int_equal(armed_at[0], now_ns + ACTIVITY_SLEEP_NS);
	step_result = ACTIVITY_DONE;
	assert_null(fires(0));
	assert_int_equal(steps, 8);
	assert_int_equal(activity.account.runtime_ns, cpus[0]->busy_ns); /* AC2 */
	assert_null(cpus[0]->current_entity);
}

static void an_activity_shares_with_threads(void **state)
{
	static struct activity activity;
	struct thread *a = pinned_on(0);

	(void)state;
	activity_init(&activity, "test", NULL, count_steps);
	activity.entity.affinity = affinity_of_cpu(0);
	step_result = ACTIVITY_AGAIN;
	activity_start(on(0), &activity);
	assert_ptr_equal(exits(0), a);
	assert_ptr_equal(fires(0), a); /* the activity had its turn in between */
	assert_in_range(steps, 1, 9);
}

/* sched_switch_to: who blocks gives the CPU to another one that was blocked, within the slice. */
static void a_switch_goes_on_in_the_slice(void **state)
{
	struct thread *b = pinned_on(0), *a;
	struct cpu *cpu = cpus[0];
	u64 slice_end_ns, busy_ns;

	(void)state;
	assert_ptr_equal(exits(0), b);
	blocks(b, CAPOS_WAIT_RECV, INSTANT_NEVER);
	cpu->armed_waiter = NULL;
	a = pinned_on(0);
	assert_ptr_equal(exits(0), a);
	slice_end_ns = cpu->slice_end_ns;
	busy_ns = cpu->busy_ns;
	now_ns += 1000;
	assert_true(waiter_claim(&b->wait));
	waiter_deliver(cpu, &b->wait, STATUS(OK), NULL, 0);
	assert_true(sched_switch_to(on(0), b));
	assert_ptr_equal(cpu->current, b);
	assert_ptr_equal(cpu->current_entity, b->own);
	assert_int_equal(owner_of(b->own), OWNER_CURRENT);
	assert_int_equal(owner_of(a->own), OWNER_NONE);
	assert_ptr_equal(a->entity, a->own);
	assert_int_equal(cpu->slice_end_ns, slice_end_ns);
	assert_int_equal(cpu->busy_ns - busy_ns, 1000);
	assert_int_equal(a->account.runtime_ns, 1000);
	/* Nobody else waits: a new slice begins. */
	now_ns = slice_end_ns;
	assert_true(sched_switch_to(cpu, a));
	assert_ptr_equal(cpu->current, a);
	assert_int_equal(cpu->slice_end_ns, now_ns + SLICE);
	/* Not where it may not run. */
	b->own->set = b->own->affinity = affinity_of_cpu(1);
	assert_false(sched_switch_to(cpu, b));
	assert_null(cpu->current);
	assert_int_equal(owner_of(a->own), OWNER_NONE);
	assert_int_equal(owner_of(b->own), OWNER_INBOX);
	assert_int_equal(b->account.runtime_ns + a->account.runtime_ns, cpu->busy_ns);
	thread_ready(cpu, a);
}

/* ... among others: in its turn within the slice, else it waits with them. */
static void a_switch_out_of_turn_waits(void **state)
{
	struct thread *a = pinned_on(0), *b, *c;
	struct cpu *cpu = cpus[0];

	(void)state;
	assert_ptr_equal(exits(0), a);
	b = pinned_on(0);
	blocks(a, CAPOS_WAIT_RECV, INSTANT_NEVER);
	cpu->armed_waiter = NULL;
	assert_ptr_equal(exits(0), b);
	c = pinned_on(0);
	now_ns += MS;
	/* a is owed nothing and owes nothing. */
	assert_true(waiter_claim(&a->wait));
	waiter_deliver(cpu, &a->wait, STATUS(OK), NULL, 0);
	assert_true(sched_switch_to(on(0), a));
	assert_ptr_equal(cpu->current, a);
	/* b ran while c waited: c is before it. */
	now_ns += MS;
	assert_false(sched_switch_to(cpu, b));
	assert_ptr_equal(cpu->current, c);
	assert_int_equal(owner_of(b->own), OWNER_QUEUE);
	assert_int_equal(owner_of(a->own), OWNER_NONE);
	assert_int_equal(cpu->slice_end_ns, now_ns + SLICE);
	assert_true(armed_at[0] <= MIN(cpu->slice_end_ns, cpu->tick_ns)); /* SC5 */
	/* Nor after the slice. */
	now_ns = cpu->slice_end_ns;
	a->own->lag = MS;
	assert_false(sched_switch_to(cpu, a));
	assert_int_equal(owner_of(c->own), OWNER_NONE);
	assert_int_equal(atomic_load_relaxed(&cpu->runq.count), 1);
	/* Where a CPU idles it is woken there. */
	assert_null(exits(1));
	now_ns += SLICE;
	c->own->set = c->own->affinity = AFFINITY_ANY;
	assert_false(sched_switch_to(on(0), c));
	assert_int_equal(ipis[1], 1);
	assert_ptr_equal(interrupted(1, IRQ_IPI), c);
	sched_verify(cpu);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(inbox_keeps_the_order_and_sends_one_ipi),
		TEST(two_owners_are_found),
		TEST(woken_goes_home_or_to_an_idle_cpu),
		TEST(an_idle_cpu_with_an_interrupt_on_its_way_is_passed_over),
		TEST(a_new_thread_goes_where_strictly_less_is_to_do),
		TEST(its_own_idle_cpu_before_others),
		TEST(a_pinning_to_an_offline_cpu_binds_nowhere),
		TEST(slices_of_two),
		TEST(an_arrival_from_afar_is_armed_for),
		TEST(an_early_expiry_arms_again),
		TEST(the_best_goes_on_after_its_slice),
		TEST(a_slice_ends_both_ways),
		TEST(yield_adopts_what_is_wanted),
		TEST(yield_lets_the_other_run),
		TEST(fast_ways_out),
		TEST(a_better_one_comes_right_after_the_call),
		TEST(handoff_skips_the_queue_within_the_slice),
		TEST(handoffs_do_not_starve),
		TEST(a_long_sleep_handed_off_is_no_monopoly),
		TEST(a_killed_thread_dies_on_dispatch),
		TEST(pinning_moves_who_runs_and_who_waits),
		TEST(who_need_not_leave_is_not_waited_for),
		TEST(pinning_races_with_a_thief),
		TEST(steals_what_may_run_here),
		TEST(steals_from_an_inbox_too),
		TEST(an_idle_cpu_is_told_of_those_who_wait),
		TEST(idle_with_work_for_reclaim_keeps_a_tick),
		TEST(woken_while_going_idle),
		TEST(activities_step_sleep_and_end),
		TEST(an_activity_shares_with_threads),
		TEST(a_switch_goes_on_in_the_slice),
		TEST(a_switch_out_of_turn_waits),
	};
	fakes_used();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
