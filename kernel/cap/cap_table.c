/* SPDX-License-Identifier: MIT */
/* Methods of the caller's own table. A status about the handle in word[0] has detail 1; about the table's own, 0. */
#include "cap_priv.h"

#include <kernel/call.h>
#include <kernel/debug.h>

const struct object_type type_cap_table = OBJECT_TYPE(cap_table, .kill_step = NULL);

#define LIST_SLOTS_PER_CALL 64u

u16 cap_table_object_publish(struct process *process)
{
	object_init(&process->table_object, CAPOS_IFACE_cap_table, process);
	return object_publish(&process->table_object);
}

static u64 named(u16 status)
{
	return CAPOS_RESULT(status, 0, 1);
}

u64 fast_cap_table_nop(struct object *object, u64 *word)
{
	(void)object, (void)word;
	return STATUS(OK);
}
FAST_METHOD(cap_table, nop)

/* word[0] with RIGHT_GRANT, and rights in word[1] that are a subset of its own. */
static u64 decode_subset(struct call *call, struct cap *cap)
{
	u16 status = cap_lookup_typed(call->thread->process, call->word[0], 0, CAPOS_RIGHT_GRANT, cap);
	u64 rights = call->word[1];

	if (status != CAPOS_STATUS_OK)
		return named(status);
	if ((rights & ~(u64)CAPOS_RIGHTS_ALL) != 0)
		return STATUS_DETAIL(BAD_ARGUMENT, 1);
	if ((rights & ~(u64)cap->rights) != 0)
		return named(CAPOS_STATUS_MISSING_RIGHTS);
	cap->rights = (u32)rights;
	return STATUS(OK);
}

static u64 insert(struct call *call, const struct cap *cap)
{
	u64 handle;
	struct process *process = call->thread->process;
	u16 status = cap_insert(process, cap, &handle);

	if (status == CAPOS_STATUS_REVOKED)
		return named(status);
	if (status != CAPOS_STATUS_OK)
		return CAPOS_RESULT(status, 0, cap_quota_detail(process, status));
	call->word[0] = handle;
	return STATUS(OK);
}

u64 method_cap_table_derive(struct call *call)
{
	u64 badge = call->word[2], result;
	struct cap cap;
	u16 status;

	result = decode_subset(call, &cap);
	if (result != STATUS(OK))
		return result;
	if (badge != 0) {
		if (cap.object->type != CAPOS_IFACE_endpoint || cap.badge != 0)
			return STATUS_DETAIL(BAD_ARGUMENT, 2);
		cap.badge = badge;
	}
	status = grant_derive(call->thread->process, &cap);
	if (status == CAPOS_STATUS_REVOKED)
		return named(status);
	if (status != CAPOS_STATUS_OK)
		return call_status(status, CAPOS_QUOTA_MEMORY);
	result = insert(call, &cap);
	grant_put(cap.grant);
	return result;
}

u64 method_cap_table_copy(struct call *call)
{
	struct cap cap;
	u64 result = decode_subset(call, &cap);

	return result != STATUS(OK) ? result : insert(call, &cap);
}

u64 method_cap_table_release(struct call *call)
{
	u16 status = cap_release(call->thread->process, call->word[0]);

	return status == CAPOS_STATUS_OK ? STATUS(OK) : named(status);
}

/*
 * Revoke: args[0] grant (with a reference), args[1] everything below is dead: sweep, args[2] its pass. While the grant is alive its object
 * is too; when the grant itself ends meanwhile, whoever ends it also ends and sweeps what is below.
 */
static enum operation_progress revoke_step(struct cpu *cpu, struct thread *thread, struct operation *operation)
{
	struct grant *grant = (struct grant *)operation->args[0];
	struct object *object = grant->object;
	bool done = false;

	(void)cpu, (void)thread;
	if (grant_is_dead(grant)) {
		operation->result = named(CAPOS_STATUS_REVOKED);
		done = true;
	} else if (operation->args[1] == 0) {
		operation->args[1] = grant_revoke_step(object, grant, false);
	} else {
		const struct object_type *type = object_type(object->type);

		done = type->sweep_step == NULL || type->sweep_step(object, &operation->args[2]);
	}
	if (!done)
		return OPERATION_AGAIN;
	grant_put(grant);
	return OPERATION_DONE;
}

u64 method_cap_table_revoke(struct call *call)
{
	struct operation *operation = &call->thread->operation;
	struct cap cap;
	u16 status = cap_lookup(call->thread->process, call->word[0], &cap);

	if (status == CAPOS_STATUS_OK && !grant_get(cap.grant))
		status = CAPOS_STATUS_REVOKED;
	if (status != CAPOS_STATUS_OK)
		return named(status);
	operation->args[0] = (u64)cap.grant;
	operation->args[1] = operation->args[2] = 0;
	return call_start_operation(call, revoke_step);
}

/* Destroy: args[0] object, which this operation ends: it stays memory until object_end_step says that it is dead. */
static enum operation_progress destroy_step(struct cpu *cpu, struct thread *thread, struct operation *operation)
{
	(void)cpu, (void)thread;
	return object_end_step((struct object *)operation->args[0]) ? OPERATION_DONE : OPERATION_AGAIN;
}

u64 method_cap_table_destroy(struct call *call)
{
	struct cap cap;
	u16 status = cap_lookup_typed(call->thread->process, call->word[0], 0, CAPOS_RIGHT_DESTROY, &cap);

	if (status == CAPOS_STATUS_OK && !object_begin_destroy(cap.object))
		status = CAPOS_STATUS_REVOKED;
	if (status != CAPOS_STATUS_OK)
		return named(status);
	call->thread->operation.args[0] = (u64)cap.object;
	return call_start_operation(call, destroy_step);
}

u64 method_cap_table_info(struct call *call)
{
	struct cap cap;
	u16 status = cap_lookup(call->thread->process, call->word[0], &cap);

	if (status != CAPOS_STATUS_OK)
		return named(status);
	call->word[0] = cap.object->type;
	call->word[1] = cap.rights;
	call->word[2] = cap.badge;
	return STATUS(OK);
}

/* Revoked capabilities are listed with interface and object 0: they still take a slot. Next slot 0: the end. */
u64 method_cap_table_list(struct call *call)
{
	struct process *process = call->thread->process;
	struct capos_cap_record *record = (struct capos_cap_record *)call->out;
	u32 total = atomic_load_acquire(&process->table.slot_count); /* pairs with the release in slot_take */
	u32 count = 0, index, end;

	if (call->word[0] > ~0u)
		return STATUS_DETAIL(BAD_ARGUMENT, 0);
	index = (u32)call->word[0];
	end = index < total ? MIN(total, index + LIST_SLOTS_PER_CALL) : index;
	for (; index < end && count < CAPOS_MESSAGE_BYTES / sizeof(*record); index++) {
		u32 generation = atomic_load_relaxed(&slot_at(&process->table, index)->generation);
		struct cap cap;
		u16 status;

		if ((generation & 1u) == 0)
			continue;
		status = cap_lookup_inline(process, CAPOS_HANDLE(index, generation), &cap);
		if (status != CAPOS_STATUS_OK && status != CAPOS_STATUS_REVOKED)
			continue;
		record[count++] = (struct capos_cap_record){
			.handle = CAPOS_HANDLE(index, generation),
			.badge = cap.badge,
			.rights = cap.rights,
			.iface = status == CAPOS_STATUS_OK ? cap.object->type : 0,
			.object_id = status == CAPOS_STATUS_OK ? cap.object->id : 0,
		};
	}
	call->out_bytes = (u32)(count * sizeof(*record));
	call->word[0] = count;
	call->word[1] = index < total ? index : 0;
	return STATUS(OK);
}
