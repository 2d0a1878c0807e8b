/* SPDX-License-Identifier: MIT */
/*
 * Notifications of a scheduling context: a cell of two slots, ends of budgets and deadlines that passed.
 *
 *   made runnable, with a budget --> job --blocks, or the budget is depleted--> no job
 *                                     |
 *                                     `-- begin + deadline_ns passes: the deadline's slot, once a job
 *
 *  CN1  Who writes runs the entity, or is about to, and holds context->lock. Nothing is allocated, logged or waited for.
 *  CN2  A deadline is told by its own instant, late where nobody ran: while the entity runs the one-shot is armed for it, else it is
 *       found when the entity is next dispatched, throttled or blocks.
 *  CN3  After the context's end nothing is written, and nothing is drained: the counts stay for who revoked it.
 */
#include "context.h"

#include "sched_priv.h"

static void write_slot(struct context *context, struct capos_context_slot *slot, u64 at_ns, u64 next_ns)
{
	const struct thread *holder = shared_load_relaxed(&context->entity->thread);

	context->cell.sequence++;
	slot->sequence++;
	slot->count++;
	slot->at_ns = at_ns;
	slot->holder_id = holder->object.id;
	slot->donated = slot->holder_id != context->thread_id;
	slot->remaining_budget_ns = refills_available_ns(&context->refills, at_ns);
	slot->next_ns = next_ns;
}

/* --- jobs --------------------------------------------------------------------------------------------------------------- */

static void note_deadline(struct context *context)
{
	write_slot(context, &context->cell.deadline, context->job_due_ns, refills_next_ns(&context->refills));
	context->job_due_ns = INSTANT_NEVER.ns;
}

void context_no_job(struct context *context, u64 now_ns)
{
	context->in_job = false;
	context->job_from_ns = now_ns;
	context->job_due_ns = INSTANT_NEVER.ns;
}

/* Done at the deadline's instant is in time. */
static void end_job(struct context *context, u64 now_ns)
{
	if (context->job_due_ns < now_ns)
		note_deadline(context);
	context_no_job(context, now_ns);
}

void context_job_charged(struct context *context, u64 now_ns, bool blocks)
{
	if (blocks)
		end_job(context, now_ns);
	else if (context->job_due_ns <= now_ns)
		note_deadline(context);
}

u64 context_job_runs(struct context *context, u64 now_ns)
{
	if (!context->in_job) {
		context->in_job = true;
		context->job_due_ns =
			MAX(context->entity->enqueued_ns, context->job_from_ns) + context->spec.deadline_ns;
	}
	if (context->job_due_ns <= now_ns)
		note_deadline(context);
	return context->job_due_ns;
}

void context_note_depletion(struct context *context, u64 now_ns, u64 next_ns)
{
	end_job(context, now_ns);
	write_slot(context, &context->cell.depletion, now_ns, next_ns);
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
