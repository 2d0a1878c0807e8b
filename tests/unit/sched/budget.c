/* SPDX-License-Identifier: MIT */
/* LINK: kernel/sched/ kernel/time/timer.c kernel/task/wait.c kernel/task/waitlist.c kernel/cap/errors.c */
/* Budgets in the dispatcher: they are kept, by each policy, and throttled threads come back: SX2 to SX6. */
#include "tests/unit/sched/fakes_context.h"

/* Alone on its CPU: its budget in each period, never more, less by the way of the timer at most. */
static void spins_alone(enum capos_replenishment kind)
{
	struct thread *thread = running_on(0);
	struct context *context = context_new(5 * MS, 50 * MS);
	const struct cpu_account *account = &thread->account;
	u64 begin, before;

	context->spec.replenishment = kind;
	context_init(context, &context->spec);
	binds(context, thread);
	begin = now_ns;
	before = runtime(thread);
	for (u64 period = 1; period <= 200; period++) {
		runs_until(begin + period * 50 * MS);
		assert_in_range(runtime(thread) - before, period * (5 * MS - CONTEXT_LEAD_NS), period * 5 * MS);
	}
	assert_in_range(context->throttles, 200, 201);
	/* AC3: it was preempted each time. */
	assert_int_equal(account->preemptions, context->throttles);
	assert_int_equal(account->switches, account->preemptions + (owner_of(thread->own) == OWNER_CURRENT));
}

static void spinner_alone(void **state)
{
	(void)state;
	spins_alone(CAPOS_REPLENISH_SPORADIC);
}

static void spinner_alone_periodic(void **state)
{
	(void)state;
	spins_alone(CAPOS_REPLENISH_PERIODIC);
}

static void spinner_alone_cbs(void **state)
{
	(void)state;
	spins_alone(CAPOS_REPLENISH_CBS);
}

/* Beside another one, which gets the rest: the budget is a bound, and the fair share is another. */
static void spinner_beside(void **state)
{
	struct thread *thread = running_on(0), *other = running_on(0);
	struct context *context = context_new(5 * MS, 50 * MS);
	u64 begin, all;

	(void)state;
	on(0);
	binds(context, thread);
	begin = now_ns;
	all = runtime(thread) + runtime(other);
	runs_until(begin + 1000 * MS);
	assert_in_range(runtime(thread), 100 * MS - 20 * 2000, 100 * MS);
	assert_int_equal(runtime(thread) + runtime(other) - all, 1000 * MS);
}

/* A budget larger than the fair share: nobody is given more than that. */
static void no_more_than_fair(void **state)
{
	struct thread *thread = running_on(0), *other = running_on(0);
	struct context *context = context_new(45 * MS, 50 * MS);

	(void)state;
	on(0);
	binds(context, thread);
	runs_until(now_ns + 1000 * MS);
	assert_in_range(runtime(thread), 495 * MS, 505 * MS);
	assert_in_range(runtime(other), 495 * MS, 505 * MS);
	assert_int_equal(context->throttles, 0);
}

/* Killed while it waits for its budget: it dies at once, and is not throttled again. */
static void killed(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS);
	struct thread *thread = throttled(context);

	(void)state;
	atomic_fetch_or(&thread->attention, ATTENTION_KILL);
	context_release(on(1), thread->own);
	context_release(on(1), thread->own); /* once */
	assert_int_equal(owner_of(thread->own), OWNER_INBOX);
	assert_null(interrupted(0, IRQ_IPI));
	assert_int_equal(deaths, 1);
	assert_null(atomic_load_relaxed(&context->timer.cpu));
}

/* Woken without a budget: it waits for it, whoever was to hand it the CPU. */
static void woken_without(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS);
	struct thread *thread = running_on(0), *other;

	(void)state;
	binds(context, thread);
	now_ns += 5 * MS - 2500;
	(void)interrupted(0, 0);
	blocks(thread, CAPOS_WAIT_RECV, INSTANT_NEVER);
	cpus[0]->armed_waiter = NULL;
	assert_null(exits(0));
	now_ns += 1 * MS;
	assert_true(wakes(0, thread));
	assert_ptr_equal(exits(0), thread); /* 2.5 us */
	runs_until(now_ns + 3000);
	assert_null(cpus[0]->current);
	other = running_on(0);
	runs_until(now_ns + 100 * MS);
	assert_true(runtime(thread) > 5 * MS);
	assert_true(runtime(other) > 80 * MS);
}

/* The deadline at the instant at which the budget is depleted, and before it is done: both are told. */
static void deadline_at_the_end(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS);
	struct thread *thread = running_on(0);

	(void)state;
	context->spec.deadline_ns = 5 * MS - CONTEXT_LEAD_NS;
	binds(context, thread);
	runs_until(now_ns + 10 * MS);
	assert_int_equal(context->cell.deadline.sequence, 1);
	assert_int_equal(context->cell.depletion.sequence, 1);
	assert_int_equal(context->cell.deadline.at_ns, context->cell.depletion.at_ns);
}

/* Another CPU looks, and charges up to an instant that is later than the one at which this CPU read the clock: the budget is not over. */
static void looked_at_from_afar(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS);
	struct thread *thread = running_on(0);
	struct capos_context_info info;

	(void)state;
	binds(context, thread);
	now_ns += 1 * MS;
	context_fill_info(on(1), context, &info);
	assert_int_equal(info.used_ns, 1 * MS);
	assert_int_equal(info.remaining_budget_ns, 4 * MS);
	now_ns -= 10;
	on(0)->resched = true;
	assert_ptr_equal(exits(0), thread);
	assert_int_equal(context->throttles, 0);
	now_ns += 10;
	(void)interrupted(0, 0);
	assert_int_equal(context->used_ns, 1 * MS);
	assert_int_equal(left(context), 4 * MS);
}

/* The current thread of CPU 0 waits for so long. */
static void sleeps(struct thread *thread, u64 span_ns)
{
	on(0);
	blocks(thread, CAPOS_WAIT_RECV, INSTANT_NEVER);
	cpus[0]->armed_waiter = NULL;
	assert_null(exits(0));
	now_ns += span_ns;
	assert_null(interrupted(0, 0));
	assert_true(wakes(0, thread));
	assert_ptr_equal(exits(0), thread);
}

/* SX5: what is charged begins where the last charge ended, or where it became current: not what it ran before a look, nor what it waited,
 * nor, when its CPU's clock is behind that of who looked, the same again. */
static void charged_once(void **state)
{
	struct context *context = context_new(50 * MS, 50 * MS);
	struct thread *thread = running_on(0);

	(void)state;
	binds(context, thread);
	assert_int_equal(used_later(1, context), 1 * MS);
	now_ns += 1 * MS;
	(void)interrupted(0, 0);
	assert_int_equal(context->used_ns, 2 * MS);
	sleeps(thread, 10 * MS);
	assert_int_equal(used_later(1, context), 3 * MS);
	now_ns -= 1000;
	sleeps(thread, 0);
	now_ns += 1000 + 1 * MS;
	(void)interrupted(0, 0);
	assert_int_equal(context->used_ns, 4 * MS);
}

/* Bound, it is to be looked at before it goes on, also if it had a budget when it was last: who made it current saw no context. */
static void looked_at_anew(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS);
	struct thread *thread = running_on(0), *other = thread_new(false);

	(void)state;
	binds(context, thread);
	sleeps(thread, 0);
	assert_true(context->may_run);
	assert_true(context_unbind(on(0), context));
	assert_int_equal(binds_on(0, context, other), CAPOS_STATUS_OK);
	assert_false(context->may_run);
	assert_true(context_unbind(on(0), context));
}

/* A hand-off within the slice: the one-shot, armed for others, comes for the budget of who goes on, however it gets there. */
static void handed_the_cpu(void **state)
{
	struct context *context = context_new(200000, 10 * MS);
	struct thread *server = running_on(0), *client;
	struct cpu *cpu = cpus[0];

	(void)state;
	binds(context, server);
	blocks(server, CAPOS_WAIT_RECV, INSTANT_NEVER);
	cpu->armed_waiter = NULL;
	client = running_on(0);
	assert_ptr_equal(cpu->current, client);
	assert_int_equal(cpu->budget_end_ns, INSTANT_NEVER.ns); /* who has no budget has no end of one */
	while (armed_at[0] < now_ns + MS)
		assert_ptr_equal(fires(0), client);
	now_ns += 1000;
	assert_true(waiter_claim(&server->wait));
	waiter_deliver(cpu, &server->wait, STATUS(OK), NULL, 0);
	assert_true(sched_switch_to(on(0), server));
	assert_ptr_equal(cpu->current, server);
	assert_in_range(armed_at[0], now_ns, now_ns + 200000);
	thread_ready(cpu, client);
	(void)fires(0);
	(void)fires(0);
	assert_int_equal(owner_of(server->own), OWNER_THROTTLED);
	assert_true(runtime(server) <= 2 * 200000);
}

/* Best effort: beside others it has next to nothing until the refill, uncharged, and then its own parameters, changed or not. */
static void best_effort(void **state)
{
	struct thread *thread = running_on(0), *other = running_on(0);
	struct context *context = context_with(5 * MS, 50 * MS, CAPOS_OVERRUN_BEST_EFFORT);
	const struct sched_params heavy = { .weight = 2048, .latency_class = CAPOS_LATENCY_INTERACTIVE };
	struct capos_context_info info;
	u64 before;

	(void)state;
	on(0);
	binds(context, thread);
	runs_until(now_ns + 20 * MS);
	context_fill_info(sim_cpu_record, context, &info);
	assert_int_equal(info.state, CAPOS_CONTEXT_BEST_EFFORT);
	assert_int_equal(thread->own->weight, 1);
	assert_int_equal(thread->own->latency_class, CAPOS_LATENCY_BATCH);
	assert_int_equal(sched_get_params(thread).weight, CAPOS_WEIGHT_DEFAULT);
	before = runtime(thread);
	sched_set_params(on(0), thread, &heavy);
	runs_until(now_ns + 20 * MS);
	assert_int_equal(thread->own->weight, 1);
	assert_true(runtime(thread) - before < 1 * MS);
	assert_int_equal(sched_get_params(thread).weight, 2048);
	runs_until(now_ns + 20 * MS);
	assert_int_equal(context->cell.depletion.count, 2);
	/* Alone it goes on all the time. */
	sched_detach_current(on(0));
	(void)exits(0);
	if (cpus[0]->current == other) {
		sched_detach_current(on(0));
		(void)exits(0);
	}
	assert_true(runtime(other) > 40 * MS);
}

/* What it was owed when its budget ended, and what was left of its request, others have now. */
static void best_effort_owed(void **state)
{
	struct thread *other = running_on(0), *thread = running_on(0);
	struct context *context = context_with(3 * MS, 50 * MS, CAPOS_OVERRUN_BEST_EFFORT);
	u64 before;

	(void)state;
	on(0);
	while (cpus[0]->current != other || runtime(other) < runtime(thread) + 2 * MS)
		runs_until(now_ns + 1 * MS);
	binds(context, thread);
	before = runtime(thread);
	runs_until(now_ns + 20 * MS);
	assert_true(context->best_effort);
	assert_in_range(runtime(thread) - before, 3 * MS - 2000, 3 * MS + CAPOS_REQUEST_MIN_NS);
}

/* Its budget is there again: it has its own parameters on whatever CPU it is, and what it ran meanwhile is not charged. */
static void best_effort_alone(void **state)
{
	struct thread *thread = running_on(0);
	struct context *context = context_with(5 * MS, 50 * MS, CAPOS_OVERRUN_BEST_EFFORT);
	u64 begin, before;

	(void)state;
	binds(context, thread);
	begin = now_ns;
	before = runtime(thread);
	runs_until(begin + 10 * 50 * MS - 1 * MS);
	assert_int_equal(runtime(thread) - before, 10 * 50 * MS - 1 * MS);
	assert_int_equal(context->cell.depletion.count, 10);
	assert_in_range(context->used_ns, 50 * MS - 10 * 2000, 50 * MS);
	assert_int_equal(context->throttles, 0);
	assert_int_equal(thread->own->weight, 1);
	context_unbind(on(0), context);
	(void)exits(0);
	assert_int_equal(thread->own->weight, CAPOS_WEIGHT_DEFAULT);
	assert_null(atomic_load_relaxed(&context->timer.cpu));
	assert_false(context->best_effort);
}

/* The same while it runs on another CPU than that where its budget ended. */
static void best_effort_elsewhere(void **state)
{
	struct thread *thread = running_on(0);
	struct context *context = context_with(5 * MS, 50 * MS, CAPOS_OVERRUN_BEST_EFFORT);
	u64 used;

	(void)state;
	binds(context, thread);
	runs_until(now_ns + 6 * MS);
	used = context->used_ns;
	assert_true(sched_set_affinity(on(0), thread, affinity_of_cpu(1)));
	assert_null(exits(0));
	assert_ptr_equal(interrupted(1, IRQ_IPI), thread);
	assert_int_equal(thread->own->weight, 1);
	now_ns = context->timer.deadline_ns;
	assert_null(interrupted(0, IRQ_TIMER));
	assert_false(context->best_effort);
	now_ns += 1000;
	assert_ptr_equal(interrupted(1, IRQ_IPI), thread);
	assert_int_equal(thread->own->weight, CAPOS_WEIGHT_DEFAULT);
	assert_int_equal(context->used_ns, used + 1000);
}

/* Used up along a call that ends otherwise: neither the server nor the caller, who has the context, goes on by best effort. */
static void best_effort_taken(void **state)
{
	struct context *context = context_with(5 * MS, 50 * MS, CAPOS_OVERRUN_BEST_EFFORT);
	struct thread *caller, *server = lends(context, &caller);

	(void)state;
	runs_until(now_ns + 6 * MS);
	assert_int_equal(server->entity->weight, 1);
	assert_true(waiter_end(on(0), &caller->wait, STATUS(PEER_GONE)));
	assert_false(context->best_effort);
	assert_int_equal(caller->own->weight,
			 CAPOS_WEIGHT_DEFAULT); /* until it runs, and finds that nothing is left */
	(void)exits(0);
	assert_int_equal(server->entity->weight, CAPOS_WEIGHT_DEFAULT);
	gives_up(server);
}

/* Who dies has its own parameters for that. */
static void best_effort_killed(void **state)
{
	struct thread *thread = running_on(0);
	struct context *context = context_with(5 * MS, 50 * MS, CAPOS_OVERRUN_BEST_EFFORT);

	(void)state;
	binds(context, thread);
	runs_until(now_ns + 6 * MS);
	assert_int_equal(thread->own->weight, 1);
	context_release(on(1), thread->own); /* it does not die: nothing */
	assert_true(context->best_effort);
	atomic_fetch_or(&thread->attention, ATTENTION_KILL);
	context_release(on(1), thread->own);
	assert_false(context->best_effort);
	assert_null(interrupted(0, IRQ_IPI));
	assert_int_equal(deaths, 1);
	assert_int_equal(thread->own->weight, CAPOS_WEIGHT_DEFAULT);
}

/* Notify only: each budget's end is counted, and nothing else happens. */
static void notify_only(void **state)
{
	struct thread *thread = running_on(0);
	struct context *context = context_with(5 * MS, 50 * MS, CAPOS_OVERRUN_NOTIFY);
	u64 begin, before;

	(void)state;
	binds(context, thread);
	begin = now_ns;
	before = runtime(thread);
	runs_until(begin + 100 * MS);
	assert_int_equal(runtime(thread) - before, 100 * MS);
	assert_int_equal(context->cell.depletion.count, 20);
	assert_int_equal(context->used_ns, 100 * MS);
	assert_int_equal(context->throttles, 0);
	/* Not carried: a machine that stood still, then a whole budget. */
	now_ns += 1000 * MS;
	(void)interrupted(0, IRQ_TIMER);
	assert_int_equal(context->cell.depletion.count, 21);
	assert_int_equal(refills_available_ns(&context->refills, now_ns), 5 * MS);
}

/* Suspended: no time and no timer ends that. After resume it goes on as soon as there is a budget. */
static void suspended(void **state)
{
	struct thread *thread = running_on(0);
	struct context *context = context_with(5 * MS, 50 * MS, CAPOS_OVERRUN_SUSPEND);
	struct capos_context_info info;
	u64 begin;

	(void)state;
	assert_false(context_resume(on(0), context));
	binds(context, thread);
	begin = now_ns;
	assert_false(context_resume(on(0), context));
	runs_until(begin + 6 * MS);
	assert_int_equal(owner_of(thread->own), OWNER_THROTTLED);
	assert_null(atomic_load_relaxed(&context->timer.cpu));
	context_fill_info(sim_cpu_record, context, &info);
	assert_int_equal(info.state, CAPOS_CONTEXT_SUSPENDED);
	/* Too early: it waits for the refill, as by throttle. */
	assert_true(context_resume(on(0), context));
	assert_null(exits(0));
	assert_int_equal(owner_of(thread->own), OWNER_THROTTLED);
	assert_non_null(atomic_load_relaxed(&context->timer.cpu));
	assert_false(context_resume(on(0), context));
	assert_int_equal(context->cell.depletion.count, 1);
	runs_until(begin + 53 * MS);
	assert_ptr_equal(cpus[0]->current, thread);
	runs_until(begin + 500 * MS);
	context->timer.fn(on(0), &context->timer); /* a shot that was on its way */
	assert_null(exits(0));
	assert_int_equal(owner_of(thread->own), OWNER_THROTTLED);
	assert_int_equal(context->cell.depletion.count, 2);
	/* Late: at once. */
	assert_true(context_resume(on(1), context));
	assert_ptr_equal(interrupted(0, IRQ_IPI), thread);
	runs_until(now_ns + 10 * MS);
	assert_int_equal(owner_of(thread->own), OWNER_THROTTLED);
	assert_in_range(runtime(thread), 15 * MS - 6000, 15 * MS);
	/* Unbound, it goes on; bound again it is not suspended. */
	context_unbind(on(0), context);
	assert_ptr_equal(exits(0), thread);
	assert_false(context->suspended);
	assert_false(context_resume(on(0), context));
}

/* Suspended, and killed, or its context revoked. */
static void suspended_ends(void **state)
{
	struct context *first = context_with(5 * MS, 50 * MS, CAPOS_OVERRUN_SUSPEND),
		       *second = context_with(5 * MS, 50 * MS, CAPOS_OVERRUN_SUSPEND);
	struct thread *killed = throttled(first), *revoked = throttled(second);

	(void)state;
	assert_true(context_end(on(1), second, NULL));
	assert_ptr_equal(interrupted(0, IRQ_IPI), revoked);
	assert_false(context_resume(on(1), second));
	atomic_fetch_or(&killed->attention, ATTENTION_KILL);
	context_release(on(1), killed->own);
	(void)interrupted(0, IRQ_IPI);
	runs_until(now_ns + 50 * MS);
	assert_int_equal(deaths, 1);
}

/* --- a refill beside another one, who runs meanwhile -------------------------------------------------------------------------- */

/* On CPU 0, where *other goes on. */
static struct thread *throttled_beside(struct context *context, struct thread **other)
{
	struct thread *thread = running_on(0);

	*other = running_on(0);
	on(0);
	binds(context, thread);
	while (owner_of(thread->own) != OWNER_THROTTLED)
		(void)fires(0);
	assert_ptr_equal(cpus[0]->current, *other);
	return thread;
}

/* What it is owed, or owes, it has when it comes back: of two that weigh the same half of what one ran more. */
static void leaves_with_its_lag(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS);
	struct thread *other, *thread = throttled_beside(context, &other);
	i64 lag = (i64)(other->own->vruntime - thread->own->vruntime) / 2;

	(void)state;
	assert_int_not_equal(lag, 0);
	assert_in_range(thread->own->lag - lag + 1, 0, 2);
	assert_int_equal(thread->own->enqueued_ns, context->cell.depletion.at_ns); /* it is kept since then */
}

/* Its slice and its budget end at once. */
static void ends_with_its_slice(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS);
	struct thread *thread = running_on(0), *other = running_on(0);

	(void)state;
	on(0);
	binds(context, thread);
	while (cpus[0]->current != thread)
		(void)fires(0);
	now_ns = cpus[0]->slice_end_ns = cpus[0]->budget_end_ns;
	cpus[0]->tick_ns = now_ns + MS;
	assert_ptr_equal(interrupted(0, IRQ_TIMER), other);
	assert_int_equal(owner_of(thread->own), OWNER_THROTTLED);
	assert_int_equal(context->cell.depletion.at_ns, now_ns);
}

/* What CPU 0 resumes when the refill has come. */
static struct thread *refill_comes(const struct context *context)
{
	u64 refill_ns = refills_next_ns(&context->refills);
	struct thread *resumed = NULL;

	while (now_ns < refill_ns)
		resumed = fires(0);
	return resumed;
}

/* It joins the queue that it left, and takes the CPU: one interrupt, armed for the end of its budget. */
static void refilled(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS);
	struct thread *other, *thread = throttled_beside(context, &other);
	u64 local = cpus[0]->placed.local, preemptions = other->account.preemptions;

	(void)state;
	assert_ptr_equal(refill_comes(context), thread);
	assert_int_equal(cpus[0]->placed.local, local + 1);
	assert_int_equal(other->account.preemptions, preemptions + 1);
	assert_int_equal(owner_of(other->own), OWNER_QUEUE);
	assert_int_equal(cpus[0]->budget_end_ns, now_ns + context->refills.refill->amount_ns - CONTEXT_LEAD_NS);
	assert_int_equal(armed_at[0], MIN(cpus[0]->budget_end_ns, MIN(cpus[0]->tick_ns, cpus[0]->slice_end_ns)));
	assert_null(atomic_load_relaxed(&context->timer.cpu));
	assert_false(cpus[0]->in_interrupt);
	sched_verify(cpus[0]);
}

/* Due before the other one, but not by half a request: it waits in the queue for its turn, for which the one-shot is armed. */
static void refilled_for_its_turn(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS);
	struct thread *other, *thread = throttled_beside(context, &other);
	u64 refill_ns = refills_next_ns(&context->refills), request = thread->own->request_virtual;

	(void)state;
	cpus[0]->tick_ns = cpus[0]->slice_end_ns = refill_ns + MS;
	thread->own->lag = 0;
	other->own->request_end = other->own->deadline =
		other->own->vruntime + (refill_ns - cpus[0]->account_ns) * (VIRTUAL_PER_NS / CAPOS_WEIGHT_DEFAULT) +
		request + request / 4;
	now_ns = refill_ns;
	assert_ptr_equal(interrupted(0, IRQ_TIMER), other);
	assert_int_equal(owner_of(thread->own), OWNER_QUEUE);
	assert_true((i64)(thread->own->deadline - other->own->deadline) < 0);
	assert_int_equal(armed_at[0], refill_ns + MS);
	sched_verify(cpus[0]);
}

/* A CPU idles, or it may not be here any more: placement is asked, as at any wake-up. */
static void refilled_elsewhere(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS);
	struct thread *other, *thread = throttled_beside(context, &other);

	(void)state;
	thread->own->affinity = AFFINITY_ANY;
	assert_null(exits(1)); /* it idles */
	on(0);
	assert_ptr_equal(refill_comes(context), other);
	assert_int_equal(owner_of(thread->own), OWNER_INBOX);
	assert_int_equal(ipis[1], 1);
	assert_ptr_equal(interrupted(1, IRQ_IPI), thread);
	assert_int_equal(thread->account.migrations[CAPOS_MIGRATION_WAKE], 1);
}

static void refilled_not_here(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS);
	struct thread *other, *thread = throttled_beside(context, &other);

	(void)state;
	thread->own->affinity = affinity_of_cpu(1);
	assert_ptr_equal(refill_comes(context), other);
	assert_int_equal(owner_of(thread->own), OWNER_INBOX);
	assert_ptr_equal(atomic_load_relaxed(&thread->own->cpu), cpus[1]);
}

/* Bound to a thread of another CPU, and throttled there, between the shot and the look: that one is woken where it was. */
static void refilled_for_another(void **state)
{
	struct context *context = context_new(5 * MS, 50 * MS);
	struct thread *other, *thread = throttled_beside(context, &other);

	(void)state;
	thread->own->affinity = AFFINITY_ANY;
	atomic_store_relaxed(&thread->own->cpu, cpus[1]);
	assert_ptr_equal(refill_comes(context), other);
	assert_int_equal(owner_of(thread->own), OWNER_INBOX);
	assert_ptr_equal(atomic_load_relaxed(&thread->own->cpu), cpus[1]);
}

/* Two are due at one interrupt, and a timer of another kind: none is left behind. */
static unsigned shots;

static void shot(struct cpu *cpu, struct timer *timer)
{
	(void)cpu, (void)timer;
	shots++;
}

static void refilled_with_others(void **state)
{
	struct context *first = context_new(5 * MS, 500 * MS), *second = context_new(5 * MS, 500 * MS);
	struct thread *other, *thread = throttled_beside(first, &other), *late = running_on(0);
	struct timer timer = { .deadline_ns = 0 };

	(void)state;
	binds(second, late);
	while (owner_of(late->own) != OWNER_THROTTLED)
		(void)fires(0);
	assert_int_equal(owner_of(thread->own), OWNER_THROTTLED);
	shots = 0;
	now_ns = refills_next_ns(&second->refills) + 1;
	timer_start(on(0), &timer, (struct instant){ now_ns }, shot);
	cpus[0]->tick_ns = now_ns + MS;
	(void)interrupted(0, IRQ_TIMER);
	assert_int_equal(shots, 1);
	assert_int_not_equal(owner_of(thread->own), OWNER_THROTTLED);
	assert_int_not_equal(owner_of(late->own), OWNER_THROTTLED);
	assert_int_equal(timer_next(cpus[0]).ns, INSTANT_NEVER.ns);
	sched_verify(cpus[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(spinner_alone),	     TEST(spinner_alone_periodic),
		TEST(spinner_alone_cbs),     TEST(spinner_beside),
		TEST(no_more_than_fair),     TEST(killed),
		TEST(woken_without),	     TEST(deadline_at_the_end),
		TEST(looked_at_from_afar),   TEST(charged_once),
		TEST(looked_at_anew),	     TEST(handed_the_cpu),
		TEST(best_effort),	     TEST(best_effort_owed),
		TEST(best_effort_alone),     TEST(best_effort_elsewhere),
		TEST(best_effort_taken),     TEST(best_effort_killed),
		TEST(notify_only),	     TEST(suspended),
		TEST(suspended_ends),	     TEST(refilled),
		TEST(leaves_with_its_lag),   TEST(ends_with_its_slice),
		TEST(refilled_for_its_turn), TEST(refilled_elsewhere),
		TEST(refilled_not_here),     TEST(refilled_for_another),
		TEST(refilled_with_others),
	};

	fakes_used();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
