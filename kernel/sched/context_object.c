/* SPDX-License-Identifier: MIT */
/*
 * Interface scheduling_context: who may make budgets and bind them to threads.
 *
 *  CX1  A context is created through another one and is no wider: budget / period at most that of its creator's, compared as products. Nothing
 *       is carved or summed up: a budget only bounds what a thread has by its fair share.
 *  CX2  Revoking ends it for all holders at once and for ever; the object stays for who looks.
 */
#include <kernel/context.h>

#include <kernel/call.h>
#include <kernel/fastpath.h>
#include <kernel/thread.h>
#include <string.h>

#include "sched_priv.h"

static struct context *context_of(const struct call *call)
{
	return container_of(call->cap.object, struct context, object);
}

/* --- life --------------------------------------------------------------------------------------------------------------- */

u16 context_create(struct process *owner, const struct capos_context_spec *spec, const struct context *creator,
		   const struct capos_cpu_set *cpus, struct object **out)
{
	struct context *context;
	void *memory;
	u16 status = pool_alloc(POOL_CONTEXT, owner, &memory);

	if (status != CAPOS_STATUS_OK)
		return status;
	context = memory;
	object_init(&context->object, CAPOS_IFACE_scheduling_context, owner);
	context_init(context, spec);
	if (cpus != NULL)
		context->mask = affinity_in_words(context->words, cpus);
	else if (creator != NULL)
		context->mask = affinity_meet(creator->mask, creator->mask, context->words);
	*out = &context->object;
	return CAPOS_STATUS_OK;
}

static bool context_kill_step(struct object *object)
{
	struct context *context = container_of(object, struct context, object);
	struct cpu *cpu = mach_this_cpu();

	/* First: who comes too late to wait is not remembered (CN5), and the mark of this end is looked at before the memory goes (CN4). */
	(void)context_end(cpu, context, NULL);
	return context_watchers_end(cpu, context);
}

static bool context_sweep_step(struct object *object, u64 *pass)
{
	return waitlist_sweep(mach_this_cpu(), &container_of(object, struct context, object)->watchers, object, pass);
}

static void context_free(struct object *object)
{
	pool_free(POOL_CONTEXT, container_of(object, struct context, object));
}

const struct object_type type_scheduling_context =
	OBJECT_TYPE(scheduling_context, .kill_step = context_kill_step, .sweep_step = context_sweep_step,
		    .free = context_free, .pool = POOL_CONTEXT + 1);

/* --- specs -------------------------------------------------------------------------------------------------------------- */

#define FIELD(name) STATUS_DETAIL(BAD_ARGUMENT, offsetof(struct capos_context_spec, name))

/* OK, or why it says nothing sensible. */
static u64 check_spec(const struct capos_context_spec *spec)
{
	if (spec->period_ns > CAPOS_CONTEXT_PERIOD_MAX_NS)
		return FIELD(period_ns);
	if (spec->budget_ns < CAPOS_CONTEXT_BUDGET_MIN_NS)
		return IRESULT(CAPOS_CONTEXT_BUDGET_TOO_SMALL);
	if (spec->budget_ns > spec->period_ns)
		return FIELD(budget_ns);
	if (spec->deadline_ns == 0 || spec->deadline_ns > spec->period_ns)
		return FIELD(deadline_ns);
	if (spec->overrun >= CAPOS_OVERRUN_COUNT)
		return FIELD(overrun);
	return spec->replenishment < CAPOS_REPLENISH_COUNT ? STATUS(OK) : FIELD(replenishment);
}

/* CX1. Both products are below 2^84. */
static bool is_wider(const struct capos_context_spec *child, const struct capos_context_spec *parent)
{
	return (unsigned __int128)child->budget_ns * parent->period_ns >
	       (unsigned __int128)parent->budget_ns * child->period_ns;
}

#define BAD_MASK(fault) CAPOS_RESULT(CAPOS_STATUS_OK, CAPOS_CONTEXT_INVALID_MASK, (fault))

/* A set of the caller's memory: OK, or why it is none for a context that is made through `creator`. */
static u64 decode_mask(struct process *process, struct uaddr addr, const struct context *creator,
		       struct capos_cpu_set *set)
{
	u32 count, last = 0;

	memset(set, 0, sizeof(*set));
	if (!space_copy_in(&process->space, (u8 *)set, addr, sizeof(set->byte_count)))
		return STATUS(BAD_ADDRESS);
	if (set->byte_count > CAPOS_CPU_SET_BYTES)
		return BAD_MASK(CAPOS_MASK_NOT_CANONICAL);
	addr.va += sizeof(set->byte_count);
	if (!space_copy_in(&process->space, set->byte, addr, set->byte_count))
		return STATUS(BAD_ADDRESS);
	if (!affinity_set_is_canonical(set, sizeof(set->byte_count) + set->byte_count))
		return BAD_MASK(CAPOS_MASK_NOT_CANONICAL);
	if (affinity_last_of_set(set) >= (i64)kernel_state.cpu_count)
		return BAD_MASK(CAPOS_MASK_OFF_MACHINE);
	count = affinity_count(set, &last);
	if (count == 0)
		return BAD_MASK(CAPOS_MASK_NO_CPU);
	return affinity_set_is_within(set, creator->mask)
		       ? STATUS(OK)
		       : CAPOS_RESULT(CAPOS_STATUS_OK, CAPOS_CONTEXT_WIDER, CAPOS_DETAIL_MASK);
}

static u64 check_context(const struct call *call, struct context *context)
{
	return context_check(context, call->cap.grant);
}

/* --- methods ------------------------------------------------------------------------------------------------------------ */

u64 method_scheduling_context_info(struct call *call)
{
	struct context *context = context_of(call);
	struct capos_context_info info;
	u64 result = check_context(call, context);

	if (result != STATUS(OK))
		return result;
	context_fill_info(call->cpu, context, &info);
	call_answer(call, &info, sizeof(info));
	return STATUS(OK);
}

u64 method_scheduling_context_create(struct call *call)
{
	struct context *context = context_of(call);
	struct uaddr set_addr = { call->word[0] };
	struct capos_cpu_set cpus;
	struct capos_context_spec spec;
	struct object *object;
	u64 result = check_context(call, context);
	u16 status;

	if (call->in_bytes != sizeof(spec))
		return STATUS(BAD_SIZE);
	if (result != STATUS(OK))
		return result;
	memcpy(&spec, call->in, sizeof(spec));
	result = check_spec(&spec);
	if (result != STATUS(OK))
		return result;
	if (is_wider(&spec, &context->spec))
		return IRESULT(CAPOS_CONTEXT_WIDER);
	if (set_addr.va != 0)
		result = decode_mask(call->thread->process, set_addr, context, &cpus);
	if (result != STATUS(OK))
		return result;
	status = context_create(call->thread->process, &spec, context, set_addr.va != 0 ? &cpus : NULL, &object);
	if (status != CAPOS_STATUS_OK)
		return call_status(status, CAPOS_QUOTA_MEMORY);
	return factory_hand_out(call, object);
}

u64 method_scheduling_context_cpus(struct call *call)
{
	struct context *context = context_of(call);
	u64 result = check_context(call, context);

	if (result != STATUS(OK))
		return result;
	affinity_answer(call, context->mask);
	return STATUS(OK);
}

u64 method_scheduling_context_bind_caller_thread(struct call *call)
{
	return context_bind_through(call->cpu, &call->cap, call->thread);
}

u64 method_scheduling_context_bind_thread(struct call *call)
{
	struct cap cap;
	u16 status =
		cap_typed_inline(call->thread->process, call->word[0], CAPOS_IFACE_thread, CAPOS_RIGHT_CONTROL, &cap);

	if (status != CAPOS_STATUS_OK)
		return CAPOS_RESULT(status, 0, 1);
	return context_bind_for(call, container_of(cap.object, struct thread, object), cap.grant);
}

u64 method_scheduling_context_unbind(struct call *call)
{
	struct context *context = context_of(call);
	u64 result = check_context(call, context);

	if (result != STATUS(OK))
		return result;
	return context_unbind(call->cpu, context) ? STATUS(OK) : IRESULT(CAPOS_CONTEXT_NOT_BOUND);
}

u64 method_scheduling_context_resume(struct call *call)
{
	struct context *context = context_of(call);
	u64 result = check_context(call, context);

	if (result != STATUS(OK))
		return result;
	return context_resume(call->cpu, context) ? STATUS(OK) : IRESULT(CAPOS_CONTEXT_NOT_SUSPENDED);
}

u64 method_scheduling_context_revoke(struct call *call)
{
	struct context *context = context_of(call);

	if (!context_end(call->cpu, context, call->cap.grant))
		return check_context(call, context);
	return STATUS(OK);
}

u64 method_scheduling_context_drain_notifications(struct call *call)
{
	struct context *context = context_of(call);
	struct capos_context_notifications cell;
	u64 result = STATUS(OK);

	context_drain(context, &cell);
	if (cell.state == CAPOS_CONTEXT_REVOKED)
		result = check_context(call, context);
	if (result == IRESULT(CAPOS_CONTEXT_STALE_GENERATION))
		return result;
	call_answer(call, &cell, sizeof(cell));
	return result;
}

u64 method_scheduling_context_wait_notification(struct call *call)
{
	return context_watch(context_of(call), call);
}
