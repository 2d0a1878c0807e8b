/* SPDX-License-Identifier: MIT */
/*
 * Notifications of a scheduling context: a cell of two slots, ends of budgets and deadlines that passed, and who waits for a change.
 *
 *   made runnable, with a budget --> job --blocks, or the budget is depleted--> no job
 *                                     |
 *                                     `-- begin + deadline_ns passes: the deadline's slot, once a job
 *
 *  CN1  Who writes runs the entity, or is about to, and holds context->lock. Nothing is allocated, logged or waited for.
 *  CN2  A deadline is told by its own instant, late where nobody ran: while the entity runs the one-shot is armed for it, else it is
 *       found when the entity is next dispatched, throttled or blocks.
 *  CN3  After the context's end nothing is written, and nothing is drained: the counts stay for who revoked it.
 *  CN4  Who writes wakes nobody: it puts the context on a list of its CPU and asks that for an interrupt, which wakes them, of one
 *       context at a time, with no lock held but the object's. A context that is on a list is not freed.
 *  CN5  Who waits looked at sequence and generation under context->lock, said there that it watches, and is in the list before it gives
 *       back object.lock, which whoever wakes takes: no change is missed.
 */
#include "context.h"

#include <kernel/call.h>

#include "sched_priv.h"

/* --- writing ------------------------------------------------------------------------------------------------------------ */

void context_mark(struct cpu *cpu, struct context *context)
{
	if (likely(!context->watched) || context->marked)
		return;
	context->marked = true;
	context->marked_next = cpu->marked;
	cpu->marked = context;
	sched_ask_self(cpu, REQUEST_TELL);
}

static void write_slot(struct cpu *cpu, struct context *context, struct capos_context_slot *slot, u64 at_ns,
		       u64 next_ns)
{
	const struct thread *holder = shared_load_relaxed(&context->entity->thread);

	context->cell.sequence++;
	slot->sequence++;
	slot->count++;
	slot->at_ns = at_ns;
	slot->holder_id = holder->object.id;
	slot->donated = slot->holder_id != context->thread_id;
	slot->remaining_budget_ns = refills_available_ns(&context->refills, cpu->account_ns);
	slot->next_ns = next_ns;
	context_mark(cpu, context);
}

static void note_deadline(struct cpu *cpu, struct context *context)
{
	write_slot(cpu, context, &context->cell.deadline, context->job_due_ns, refills_next_ns(&context->refills));
	context->job_due_ns = INSTANT_NEVER.ns;
}

void context_no_job(struct context *context, u64 now_ns)
{
	context->in_job = false;
	context->job_from_ns = now_ns;
	context->job_due_ns = INSTANT_NEVER.ns;
}

/* Done at the deadline's instant is in time. */
static void end_job(struct cpu *cpu, struct context *context)
{
	if (context->job_due_ns < cpu->account_ns)
		note_deadline(cpu, context);
	context_no_job(context, cpu->account_ns);
}

void context_job_charged(struct cpu *cpu, struct context *context, bool blocks)
{
	if (blocks)
		end_job(cpu, context);
	else if (context->job_due_ns <= cpu->account_ns)
		note_deadline(cpu, context);
}

u64 context_job_runs(struct cpu *cpu, struct context *context)
{
	if (!context->in_job) {
		context->in_job = true;
		context->job_due_ns =
			MAX(context->entity->enqueued_ns, context->job_from_ns) + context->spec.deadline_ns;
	}
	if (context->job_due_ns <= cpu->account_ns)
		note_deadline(cpu, context);
	return context->job_due_ns;
}

void context_note_depletion(struct cpu *cpu, struct context *context)
{
	u64 next_ns = refills_next_ns(&context->refills);

	end_job(cpu, context);
	write_slot(cpu, context, &context->cell.depletion, cpu->account_ns, next_ns);
}

/* --- waiting ------------------------------------------------------------------------------------------------------------ */

u64 context_check(struct context *context, const struct grant *grant)
{
	if (likely(atomic_load_acquire(&context->generation) == 1)) /* pairs with the release in end_locked */
		return STATUS(OK);
	if (!object_is_alive(&context->object))
		return STATUS(REVOKED); /* meanwhile */
	return context->revoked_through == grant ? IRESULT(CAPOS_CONTEXT_WAS_REVOKED)
						 : IRESULT(CAPOS_CONTEXT_STALE_GENERATION);
}

/* Under object.lock: OK, there is something, or the context has ended. False: whoever changes that finds it watched. */
static bool look(struct context *context, const struct call *call, u64 *sequence, u64 *result)
{
	bool changed;

	spin_lock(&context->lock);
	*result = context_check(context, call->cap.grant);
	*sequence = context->cell.sequence;
	changed = *result != STATUS(OK) || *sequence != call->word[1];
	if (!changed)
		context->watched = true;
	spin_unlock(&context->lock);
	return changed;
}

u64 context_watch(struct context *context, struct call *call)
{
	u64 result, sequence;

	spin_lock(&context->object.lock);
	if (look(context, call, &sequence, &result)) {
		if (result == STATUS(OK))
			call->word[0] = sequence;
	} else if (context->watchers.count == CAPOS_CONTEXT_WATCHERS_MAX) {
		result = IRESULT(CAPOS_CONTEXT_TOO_MANY_WATCHERS);
	} else {
		call->waiter->badge = sequence;
		result = waitlist_enter(&context->watchers, call, CAPOS_WAIT_NOTIFICATION);
	}
	spin_unlock(&context->object.lock);
	return result;
}

/* Who came after what the mark was for goes on to wait. */
static bool is_told(const struct waiter *waiter, u64 sequence, bool ended)
{
	return ended || waiter->badge != sequence;
}

static void tell_watchers(struct cpu *cpu, struct context *context)
{
	u64 sequence;
	bool ended;

	spin_lock(&context->object.lock);
	spin_lock(&context->lock);
	context->marked = false;
	sequence = context->cell.sequence;
	ended = context_has_ended(context);
	context->watched = false;
	LIST_FOREACH_SAFE (&context->watchers.waiters, node, next)
		context->watched |= !is_told(LIST_ENTRY(node, struct waiter, link), sequence, ended);
	spin_unlock(&context->lock);
	LIST_FOREACH_SAFE (&context->watchers.waiters, node, next) {
		struct waiter *waiter = LIST_ENTRY(node, struct waiter, link);
		const struct grant *through = waiter->grant;

		if (is_told(waiter, sequence, ended) && waitlist_take_this(&context->watchers, waiter))
			waiter_finish(cpu, waiter, context_check(context, through), &sequence, 1);
	}
	spin_unlock(&context->object.lock);
}

void context_tell(struct cpu *cpu)
{
	struct context *context = cpu->marked;

	if (context == NULL)
		return;
	cpu->marked = context->marked_next;
	tell_watchers(cpu, context);
	if (cpu->marked != NULL)
		sched_ask_self(cpu, REQUEST_TELL);
}

bool context_watchers_end(struct cpu *cpu, struct context *context)
{
	bool marked;

	if (!waitlist_wake(cpu, &context->watchers, &context->object, STATUS(REVOKED), NULL, 0))
		return false;
	spin_lock(&context->lock);
	context->watched = false; /* and nobody enters: OB3 */
	marked = context->marked;
	spin_unlock(&context->lock);
	return !marked;
}

/* --- for who looks ------------------------------------------------------------------------------------------------------ */

void context_drain(struct context *context, struct capos_context_notifications *out)
{
	spin_lock(&context->lock);
	*out = context->cell;
	out->state = context_state(context);
	if (out->state != CAPOS_CONTEXT_REVOKED)
		context->cell.depletion.count = context->cell.deadline.count = 0;
	spin_unlock(&context->lock);
}
