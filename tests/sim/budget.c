/* SPDX-License-Identifier: MIT */
/*
 * Checker: budgets. After each kernel entry, of the context that this CPU's current entity has, or had before it:
 *
 *   conserved  sporadic: the amounts of its refills add up to the budget, whatever was done to it (RF1)
 *   bounded    what was charged in any window that ends now is at most what the kind of replenishment allows, and what a late interrupt
 *              made of it. From a log of charges, not by what refill.c says is left:
 *                sporadic   the budget in a window of a period
 *                periodic   the budget in an aligned period
 *                CBS        twice the budget, and budget / period of the window, in any window
 *              late: what ran after the instant that was promised when the entity was resumed (the end of its budget, and the lead)
 *   armed      the one-shot comes no later than that promise
 *
 * While an entity is current all the time since charged_ns is its context's (SX5): so a charge begins where the last look left it. What is
 * not held up (policy notify, best effort, who dies) begins a new log. In the full walk: entity and context name each other, and no
 * thread holds its own entity while that is lent.
 */
#include <kernel/context.h>
#include <kernel/cpu.h>
#include <kernel/fastpath.h>
#include <kernel/process.h>
#include <sim/checker.h>

#include "plant.h"

#define CONTEXTS_MAX 256u
#define LOG_MAX 512u
#define CPUS_MAX 1024u /* of the simulator */

#define FAIL(...) sim_check_failed("budget", __VA_ARGS__)

struct charge {
	u64 from_ns, used_ns, late_ns;
};

/* A context that was seen; its memory may be another one's by now. */
static struct seen {
	u64 id;
	u64 used_ns;	 /* at the last look */
	u64 from_ns;	 /* charged up to then */
	u64 promised_ns; /* it does not run beyond, but for a late interrupt; NEVER: it is not held up */
	u64 aligned_ns;	 /* periodic: the end of a period */
	bool missed;	 /* somebody had the lock when it was to be looked at */
	struct charge log[LOG_MAX];
	u32 first, count;
} contexts[CONTEXTS_MAX];

/* What the last step left current on each CPU. */
static struct {
	const struct context *context;
	u64 id;
} resumed[CPUS_MAX];

int __asan_address_is_poisoned(const volatile void *at) __attribute__((weak));

/* It may have been freed while the CPU was in user mode. */
static bool is_there(const struct context *context, u64 id)
{
	if (__asan_address_is_poisoned != NULL && __asan_address_is_poisoned(&context->object.id))
		return false;
	return context->object.id == id;
}

static struct seen *seen_of(const struct context *context)
{
	struct seen *seen = &contexts[context->object.id % CONTEXTS_MAX];

	if (seen->id != context->object.id) {
		memset(seen, 0, sizeof(*seen));
		seen->id = context->object.id;
		seen->used_ns = context->used_ns;
		seen->promised_ns = INSTANT_NEVER.ns;
		seen->aligned_ns = context->refills.due_ns;
	}
	return seen;
}

static const struct charge *nth(const struct seen *seen, u32 n)
{
	return &seen->log[(seen->first + n) % LOG_MAX];
}

/* --- conserved ------------------------------------------------------------------------------------------------------------ */

static void check_sum(const struct context *context)
{
	const struct refills *refills = &context->refills;
	u64 sum_ns = 0;

	if (context->spec.replenishment != CAPOS_REPLENISH_SPORADIC)
		return;
	for (u32 i = 0; i < refills->count; i++)
		sum_ns += refills->refill[i].amount_ns;
	if (sum_ns != context->spec.budget_ns)
		FAIL("context %llu: its refills are %llu of %llu ns", (unsigned long long)context->object.id,
		     (unsigned long long)sum_ns, (unsigned long long)context->spec.budget_ns);
}

/* --- bounded -------------------------------------------------------------------------------------------------------------- */

/* Charges of the window (from, end] of the newest one, and how late they were. */
static void sum_since(const struct seen *seen, u64 from_ns, u64 *used_ns, u64 *late_ns)
{
	*used_ns = *late_ns = 0;
	for (u32 i = seen->count; i-- > 0;) {
		const struct charge *charge = nth(seen, i);
		u64 end_ns = charge->from_ns + charge->used_ns;

		if (end_ns <= from_ns)
			return;
		*used_ns += end_ns - MAX(charge->from_ns, from_ns);
		*late_ns += charge->late_ns;
	}
}

static void check_window(const struct context *context, const struct seen *seen, u64 from_ns, u64 allowed_ns)
{
	u64 used_ns, late_ns;

	sum_since(seen, from_ns, &used_ns, &late_ns);
	if (used_ns > allowed_ns + late_ns)
		FAIL("context %llu: %llu ns since %llu, %llu are allowed, and %llu were late",
		     (unsigned long long)context->object.id, (unsigned long long)used_ns, (unsigned long long)from_ns,
		     (unsigned long long)allowed_ns, (unsigned long long)late_ns);
}

static void check_windows(const struct context *context, const struct seen *seen)
{
	const struct charge *last = nth(seen, seen->count - 1);
	u64 end_ns = last->from_ns + last->used_ns;
	u64 budget_ns = context->spec.budget_ns, period_ns = context->spec.period_ns;

	switch ((enum capos_replenishment)context->spec.replenishment) {
	case CAPOS_REPLENISH_SPORADIC:
		check_window(context, seen, end_ns > period_ns ? end_ns - period_ns : 0, budget_ns);
		break;
	case CAPOS_REPLENISH_PERIODIC:
		check_window(context, seen,
			     end_ns - (end_ns - 1 + period_ns - seen->aligned_ns % period_ns) % period_ns - 1,
			     budget_ns);
		break;
	default:
		for (u32 i = 0; i < seen->count; i++) {
			u64 from_ns = nth(seen, i)->from_ns;
			unsigned __int128 share = (unsigned __int128)(end_ns - from_ns) * budget_ns / period_ns;

			check_window(context, seen, from_ns, 2 * budget_ns + (u64)share + 1);
		}
	}
}

/* used_ns has risen since the last look: `used` ns from from_ns on. */
static void log_charge(const struct context *context, struct seen *seen, u64 from_ns, u64 used_ns)
{
	u64 end_ns = from_ns + used_ns;
	u64 late_ns = end_ns > seen->promised_ns ? MIN(end_ns - seen->promised_ns, used_ns) : 0;

	if (seen->promised_ns == INSTANT_NEVER.ns || context->spec.overrun == CAPOS_OVERRUN_NOTIFY) {
		seen->count = 0;
		return;
	}
	if (seen->count == LOG_MAX) {
		seen->first++;
		seen->count--;
	}
	seen->log[(seen->first + seen->count++) % LOG_MAX] = (struct charge){ from_ns, used_ns, late_ns };
	check_windows(context, seen);
}

/* --- armed ---------------------------------------------------------------------------------------------------------------- */

static void check_armed(const struct cpu *cpu, const struct context *context)
{
	if (cpu->budget_end_ns != INSTANT_NEVER.ns && cpu->armed_ns > cpu->budget_end_ns)
		FAIL("CPU %u: the one-shot comes after the end of context %llu's budget", cpu->id,
		     (unsigned long long)context->object.id);
}

/* --- the steps ------------------------------------------------------------------------------------------------------------ */

/* Bound while it ran: budget_end_ns is not its own yet, and its CPU is asked to look. Nothing is promised. */
static u64 promise_of(const struct cpu *cpu, const struct context *context)
{
	if (!context->may_run)
		return context->charged_ns;
	return cpu->budget_end_ns == INSTANT_NEVER.ns ? INSTANT_NEVER.ns : cpu->budget_end_ns + CONTEXT_LEAD_NS;
}

/* It was, or is, current here. */
static void look(const struct cpu *cpu, const struct context *context, bool runs)
{
	struct seen *seen = seen_of(context);
	u64 used_ns = context->used_ns - seen->used_ns;

	check_sum(context);
	/* Charged within this entry, and not resumed before: up to charged_ns, if it does not run again. */
	if (seen->missed || (seen->from_ns == 0 && runs))
		seen->count = used_ns != 0 ? 0 : seen->count; /* nobody knows when */
	else if (used_ns != 0)
		log_charge(context, seen, seen->from_ns != 0 ? seen->from_ns : context->charged_ns - used_ns,
			   used_ns);
	seen->missed = false;
	seen->used_ns = context->used_ns;
	seen->from_ns = runs ? context->charged_ns : 0;
	if (runs)
		seen->promised_ns = promise_of(cpu, context);
}

/* Canaries: a nanosecond is minted; all comes back at once; the end is not armed for; who waits for a reply runs. */
static void spoil(struct cpu *cpu, struct context *context)
{
	static u32 looks;

	looks++;
	if (plant("minted", looks))
		context->refills.refill->amount_ns++;
	if (plant("too-soon", looks) && cpu->budget_end_ns != INSTANT_NEVER.ns) {
		for (u32 i = 0; i < REFILLS_MAX; i++)
			context->refills.refill[i].at_ns -=
				MIN(context->refills.refill[i].at_ns, context->spec.period_ns);
	}
	if (plant("not-armed", looks) && cpu->budget_end_ns != INSTANT_NEVER.ns)
		cpu->armed_ns = INSTANT_NEVER.ns;
}

/* Nobody is in the middle of a change of it. */
static bool may_look(const struct context *context)
{
	bool held = context->lock.word.value_ != 0;

	if (held)
		seen_of(context)->missed = true;
	return !held;
}

static void budget_step(struct cpu *cpu)
{
	struct context *context = cpu->current_entity != NULL ? cpu->current_entity->context.value_ : NULL;
	const struct context *before = resumed[cpu->id].context;

	if (before != NULL && before != context && is_there(before, resumed[cpu->id].id) && may_look(before))
		look(cpu, before, false);
	resumed[cpu->id].context = NULL;
	if (context == NULL || !may_look(context) || context->entity != cpu->current_entity)
		return;
	spoil(cpu, context);
	check_armed(cpu, context);
	look(cpu, context, true);
	resumed[cpu->id].context = context;
	resumed[cpu->id].id = context->object.id;
}

static void budget_full(void)
{
	struct thread *thread;

	for (u64 id = 0; (thread = registry_next_thread(id)) != NULL; id = thread->object.id + 1) {
		struct context *context;

		if (!list_is_linked(&thread->process_link) || thread->process->lock.word.value_ != 0)
			continue;
		if (thread->own == thread->entity && plant("lender", PLANT_AFTER + 1))
			thread->own->loan.value_ |= LOAN_LENT;
		if (thread->own == thread->entity && thread->own->owner.value_ != OWNER_NONE &&
		    (thread->own->loan.value_ & LOAN_LENT) != 0)
			FAIL("thread %llu runs on what it has lent", (unsigned long long)thread->object.id);
		context = thread->own->context.value_;
		if (context == NULL || context->lock.word.value_ != 0)
			continue;
		if (plant("unnamed", PLANT_AFTER + 1))
			context->entity = NULL;
		if (context->entity != thread->own)
			FAIL("thread %llu has context %llu, which names another one",
			     (unsigned long long)thread->object.id, (unsigned long long)context->object.id);
	}
}

static const struct sim_checker budget = { .name = "budget", .step = budget_step, .full = budget_full };
SIM_CHECKER(budget);
