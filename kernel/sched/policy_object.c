/* SPDX-License-Identifier: MIT */
/*
 * SchedulingPolicyCap: who may change weight, latency class and request of which threads, within which bounds; and the methods of
 * interface scheduling_policy. The records of snapshots are in snapshot.c.
 *
 *   manifest -> policy (bounds) --derive--> policy (narrower bounds) --derive--> ...      CAPOS_POLICY_DEPTH_MAX times
 *
 *  PO1  A derived policy's bounds lie within those of the one that it was derived from.
 *  PO2  It holds a reference on the grant through which it was derived; when that or one above is dead, it is revoked. So who takes
 *       his capability back, or ends his policy, ends what was derived from it at once, whoever has it.
 *  PO3  Parameters change under the thread's object lock, so that two changes of different parameters do not undo each other.
 */
#include <kernel/policy.h>

#include <kernel/call.h>
#include <kernel/thread.h>
#include <string.h>

#include "sched_priv.h"
#include "snapshot.h"

struct policy {
	struct object object;
	struct capos_policy_bounds bounds; /* (c) */
	struct grant *parent;		   /* (c) PO2; NULL: from the manifest */
	u32 depth;			   /* (c) */
};

static struct policy *policy_of(struct object *object)
{
	return container_of(object, struct policy, object);
}

/* --- life --------------------------------------------------------------------------------------------------------------- */

u16 policy_create(struct process *owner, const struct capos_policy_bounds *bounds, struct grant *parent,
		  struct object **out)
{
	struct policy *policy;
	void *memory;
	u16 status = pool_alloc(POOL_OTHER, owner, &memory);

	_Static_assert(sizeof(*policy) <= 256, "POOL_OTHER");
	if (status != CAPOS_STATUS_OK)
		return status;
	if (parent != NULL && !grant_get(parent)) {
		pool_uncharge(POOL_OTHER, owner);
		pool_free(POOL_OTHER, memory);
		return CAPOS_STATUS_REVOKED;
	}
	policy = memory;
	object_init(&policy->object, CAPOS_IFACE_scheduling_policy, owner);
	policy->bounds = *bounds;
	policy->parent = parent;
	policy->depth = parent != NULL ? policy_of(parent->object)->depth + 1 : 0;
	*out = &policy->object;
	return CAPOS_STATUS_OK;
}

static void policy_free(struct object *object)
{
	struct policy *policy = policy_of(object);

	if (policy->parent != NULL)
		grant_put(policy->parent);
	pool_free(POOL_OTHER, policy);
}

const struct object_type type_scheduling_policy =
	OBJECT_TYPE(scheduling_policy, .kill_step = NULL, .free = policy_free, .pool = POOL_OTHER + 1);

/* --- bounds ------------------------------------------------------------------------------------------------------------- */

#define FIELD(name) ((int)offsetof(struct capos_policy_bounds, name))

int policy_bounds_check(const struct capos_policy_bounds *bounds)
{
	if (bounds->weight_max < 1 || bounds->weight_max > CAPOS_WEIGHT_MAX)
		return FIELD(weight_max);
	if (bounds->class_best >= CAPOS_LATENCY_CLASS_COUNT)
		return FIELD(class_best);
	if (bounds->request_max_ns < bounds->request_min_ns)
		return FIELD(request_max_ns);
	if (bounds->scope < CAPOS_SCOPE_THREAD || bounds->scope > CAPOS_SCOPE_MACHINE)
		return FIELD(scope);
	return bounds->flags != 0 ? FIELD(flags) : -1;
}

/* The first field by which `child` would allow more than `parent`; -1: none (PO1). */
static int wider_field(const struct capos_policy_bounds *child, const struct capos_policy_bounds *parent)
{
	if (child->weight_max > parent->weight_max)
		return FIELD(weight_max);
	if (child->class_best < parent->class_best)
		return FIELD(class_best);
	if (child->request_min_ns < parent->request_min_ns)
		return FIELD(request_min_ns);
	if (child->request_max_ns > parent->request_max_ns)
		return FIELD(request_max_ns);
	if (parent->expires_ns != 0 && (child->expires_ns == 0 || child->expires_ns > parent->expires_ns))
		return FIELD(expires_ns);
	return child->scope > parent->scope ? FIELD(scope) : -1;
}

static bool has_expired(const struct policy *policy)
{
	return policy->bounds.expires_ns != 0 && mach_clock().ns >= policy->bounds.expires_ns;
}

/* PO2. A live grant's object is memory as long as this kernel entry lasts (CA2). */
static bool was_taken_back(const struct policy *policy)
{
	for (; policy->parent != NULL; policy = policy_of(policy->parent->object))
		if (grant_is_dead(policy->parent) || !object_is_alive(policy->parent->object))
			return true;
	return false;
}

/* --- use ---------------------------------------------------------------------------------------------------------------- */

/* The answer to an attempt to use authority, counted (A5). */
static u64 answer(struct call *call, u64 result)
{
	if (result == STATUS(OK))
		call->cpu->policy_admitted++;
	else
		call->cpu->policy_denied++;
	return result;
}

/* OK, or why it may not be used any more. */
static u64 check_policy(const struct policy *policy)
{
	if (was_taken_back(policy))
		return STATUS(REVOKED);
	return has_expired(policy) ? IRESULT(CAPOS_POLICY_EXPIRED) : STATUS(OK);
}

/* The thread of this id, 0 the caller: OK if it is of the policy's scope. */
static u64 find_thread(const struct call *call, const struct policy *policy, u64 id, struct thread **out)
{
	struct thread *thread = id == 0 ? call->thread : registry_find_thread(id);
	u32 scope = policy->bounds.scope;

	if (thread == NULL)
		return IRESULT(CAPOS_POLICY_NO_SUCH_THREAD);
	if ((scope == CAPOS_SCOPE_THREAD && thread != call->thread) ||
	    (scope == CAPOS_SCOPE_PROCESS && thread->process != call->thread->process))
		return IRESULT(CAPOS_POLICY_FOREIGN_THREAD);
	*out = thread;
	return STATUS(OK);
}

/* word[0] names a thread whose parameters become what `change` makes of them with word[1]; it returns OK, or refuses. */
static u64 change_params(struct call *call, u64 (*change)(const struct capos_policy_bounds *bounds, u64 value,
							  struct sched_params *params))
{
	const struct policy *policy = policy_of(call->cap.object);
	struct sched_params params;
	struct thread *thread;
	u64 result = check_policy(policy);

	if (result == STATUS(OK))
		result = find_thread(call, policy, call->word[0], &thread);
	if (result != STATUS(OK))
		return answer(call, result);
	spin_lock(&thread->object.lock); /* PO3 */
	params = sched_get_params(thread);
	result = thread->ended ? IRESULT(CAPOS_POLICY_NO_SUCH_THREAD)
			       : change(&policy->bounds, call->word[1], &params);
	if (result == STATUS(OK))
		sched_set_params(call->cpu, thread, &params);
	spin_unlock(&thread->object.lock);
	return answer(call, result);
}

static u64 change_weight(const struct capos_policy_bounds *bounds, u64 weight, struct sched_params *params)
{
	if (weight < 1 || weight > bounds->weight_max)
		return IRESULT(CAPOS_POLICY_WEIGHT_OUT_OF_BOUNDS);
	params->weight = (u32)weight;
	return STATUS(OK);
}

static u64 change_class(const struct capos_policy_bounds *bounds, u64 class, struct sched_params *params)
{
	u64 request_ns;

	if (class < bounds->class_best || class >= CAPOS_LATENCY_CLASS_COUNT)
		return IRESULT(CAPOS_POLICY_CLASS_OUT_OF_BOUNDS);
	request_ns = sched_class_request_ns((enum capos_latency_class) class);
	params->latency_class = (u32) class;
	params->request_ns = MIN(MAX(request_ns, bounds->request_min_ns), bounds->request_max_ns);
	return STATUS(OK);
}

static u64 change_request(const struct capos_policy_bounds *bounds, u64 request_ns, struct sched_params *params)
{
	if (request_ns < bounds->request_min_ns || request_ns > bounds->request_max_ns)
		return IRESULT(CAPOS_POLICY_REQUEST_OUT_OF_BOUNDS);
	params->request_ns = request_ns;
	return STATUS(OK);
}

u64 method_scheduling_policy_set_weight(struct call *call)
{
	return change_params(call, change_weight);
}

u64 method_scheduling_policy_set_latency_class(struct call *call)
{
	return change_params(call, change_class);
}

u64 method_scheduling_policy_set_request(struct call *call)
{
	return change_params(call, change_request);
}

u64 method_scheduling_policy_derive(struct call *call)
{
	const struct policy *policy = policy_of(call->cap.object);
	struct capos_policy_bounds bounds;
	struct object *object;
	u64 result = check_policy(policy);
	int field;
	u16 status;

	if (call->in_bytes != sizeof(bounds))
		return STATUS(BAD_SIZE);
	if (result != STATUS(OK))
		return answer(call, result);
	memcpy(&bounds, call->in, sizeof(bounds));
	field = policy_bounds_check(&bounds);
	if (field < 0 && bounds.expires_ns != 0 && bounds.expires_ns <= mach_clock().ns)
		field = FIELD(expires_ns);
	if (field >= 0)
		return answer(call, STATUS_DETAIL(BAD_ARGUMENT, (u32)field));
	field = wider_field(&bounds, &policy->bounds);
	if (field >= 0)
		return answer(call, CAPOS_RESULT(CAPOS_STATUS_OK, CAPOS_POLICY_WIDER, (u32)field));
	if (policy->depth == CAPOS_POLICY_DEPTH_MAX)
		return answer(call, IRESULT(CAPOS_POLICY_TOO_DEEP));
	status = policy_create(call->thread->process, &bounds, call->cap.grant, &object);
	if (status != CAPOS_STATUS_OK)
		return call_status(status, CAPOS_QUOTA_MEMORY);
	return answer(call, factory_hand_out(call, object));
}

u64 method_scheduling_policy_info(struct call *call)
{
	const struct policy *policy = policy_of(call->cap.object);
	struct capos_policy_info info = { .bounds = policy->bounds, .depth = policy->depth };

	if (was_taken_back(policy))
		return STATUS(REVOKED);
	info.expired = has_expired(policy);
	call_answer(call, &info, sizeof(info));
	return STATUS(OK);
}

u64 method_scheduling_policy_snapshot(struct call *call)
{
	const struct policy *policy = policy_of(call->cap.object);
	u64 result = check_policy(policy);

	if (result == STATUS(OK))
		result = snapshot_begin(call, policy->bounds.scope);
	if (result != CALL_OPERATION)
		return answer(call, result);
	call->cpu->policy_admitted++;
	return result;
}
