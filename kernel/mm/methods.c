/* SPDX-License-Identifier: MIT */
/* The interfaces memory_object and address_space, and factory.memory. */
#include "mm_priv.h"

#include <capos/interface.h>
#include <kernel/call.h>
#include <kernel/thread.h>

_Static_assert(CAPOS_MAP_WRITE == PROT_WRITE && CAPOS_MAP_EXEC == PROT_EXEC, "protection bits are the machine's");

#define PROT_ALL (PROT_WRITE | PROT_EXEC)

/* Result word of a status that a memory operation gave. */
static u64 result_of(u16 status, u16 iresult)
{
	if (iresult != 0)
		return IRESULT(iresult);
	return CAPOS_RESULT(status, 0, status == CAPOS_STATUS_QUOTA_EXCEEDED ? CAPOS_QUOTA_MEMORY : 0);
}

/* --- memory_object ----------------------------------------------------------------------------------------------------- */

static struct memory_object *memory_of(struct call *call)
{
	return container_of(call->cap.object, struct memory_object, object);
}

static void memory_free(struct object *object)
{
	pool_free(POOL_MEMORY_OBJECT, container_of(object, struct memory_object, object));
}

const struct object_type type_memory_object =
	OBJECT_TYPE(memory_object, .kill_step = memory_object_kill_step, .sweep_step = memory_object_sweep_step,
		    .free = memory_free, .pool = POOL_MEMORY_OBJECT + 1);

u64 fast_memory_object_info(struct object *object, u64 *word)
{
	word[0] = container_of(object, struct memory_object, object)->page_count * PAGE_BYTES;
	return STATUS(OK);
}
FAST_METHOD(memory_object, info)

static u64 copy_content(struct call *call, bool to_user)
{
	struct memory_object *memory = memory_of(call);
	u64 offset = call->word[0], va = call->word[1], n = call->word[2], bytes = memory->page_count * PAGE_BYTES;

	if (n > PAGE_BYTES)
		return STATUS_DETAIL(BAD_ARGUMENT, 2);
	if (offset > bytes || n > bytes - offset)
		return STATUS_DETAIL(BAD_ARGUMENT, 0);
	if (!to_user && memory->borrowed)
		return STATUS(MISSING_RIGHTS);
	switch (space_copy_object(&call->thread->process->space, va, memory, offset, n, to_user)) {
	case COPY_OK:
		return STATUS(OK);
	case COPY_BAD_ADDRESS:
		return STATUS_DETAIL(BAD_ADDRESS, 1);
	case COPY_BAD_OBJECT:
		break;
	}
	return STATUS(REVOKED);
}

u64 method_memory_object_read(struct call *call)
{
	return copy_content(call, true);
}

u64 method_memory_object_write(struct call *call)
{
	return copy_content(call, false);
}

/* --- factory.memory ---------------------------------------------------------------------------------------------------- */

enum create_phase { CREATE_COMMIT, CREATE_DISCARD, CREATE_DESTROY };

/* Complete: give the creator its handle, or undo. */
static enum operation_progress create_publish(struct thread *thread, struct operation *operation,
					      struct memory_object *memory)
{
	u16 status = object_publish(&memory->object);

	operation->args[1] = CREATE_DISCARD;
	if (status == CAPOS_STATUS_OK) {
		operation->args[1] = CREATE_DESTROY;
		status = cap_insert_root(thread->process, &memory->object, CAPOS_RIGHTS_ALL, &operation->word[0]);
		operation->result = CAPOS_RESULT(status, 0, cap_quota_detail(thread->process, status));
	} else {
		operation->result = result_of(status, 0);
	}
	if (status == CAPOS_STATUS_OK) {
		operation->word_count = 1;
		return OPERATION_DONE;
	}
	/* Without a handle nobody but its owner's end can reach it; if that began already, it finishes it. */
	if (operation->args[1] == CREATE_DESTROY && !object_begin_destroy(&memory->object))
		return OPERATION_DONE;
	return OPERATION_AGAIN;
}

static enum operation_progress create_step(struct cpu *cpu, struct thread *thread, struct operation *operation)
{
	struct memory_object *memory = (struct memory_object *)(uintptr_t)operation->args[0];
	u16 status;
	bool done = false;

	(void)cpu;
	switch ((enum create_phase)operation->args[1]) {
	case CREATE_COMMIT:
		if (!memory_object_step(memory, &status))
			return OPERATION_AGAIN;
		if (status == CAPOS_STATUS_OK)
			return create_publish(thread, operation, memory);
		operation->result = result_of(status, 0);
		return OPERATION_DONE;
	case CREATE_DISCARD:
		done = memory_object_discard_step(memory);
		break;
	case CREATE_DESTROY:
		done = object_end_step(&memory->object);
		break;
	}
	return done ? OPERATION_DONE : OPERATION_AGAIN;
}

u64 method_factory_memory(struct call *call)
{
	struct memory_object *memory;
	u16 status;
	u64 result;

	if (call->word[0] == 0 || call->word[0] > MEMORY_OBJECT_PAGES_MAX * PAGE_BYTES)
		return STATUS_DETAIL(BAD_ARGUMENT, 0);
	if (call->word[1] != 0)
		return STATUS_DETAIL(BAD_ARGUMENT, 1);
	status = memory_object_begin(call->thread->process, call->word[0], &memory);
	if (status != CAPOS_STATUS_OK)
		return result_of(status, 0);
	result = call_start_operation(call, create_step);
	call->thread->operation.args[0] = (uintptr_t)memory;
	call->thread->operation.args[1] = CREATE_COMMIT;
	return result;
}

/* --- address_space ------------------------------------------------------------------------------------------------------ */

/* The object is embedded in the process's space: nothing to end, nothing to free. */
const struct object_type type_address_space = OBJECT_TYPE(address_space, .free = NULL);

static struct space *space_of(struct call *call)
{
	return container_of(call->cap.object, struct space, object);
}

static enum operation_progress map_step(struct cpu *cpu, struct thread *thread, struct operation *operation)
{
	struct map_request *request = &operation->mm.map;

	(void)cpu, (void)thread;
	if (!space_map_step(request))
		return OPERATION_AGAIN;
	operation->result = result_of(request->status, request->iresult);
	if (request->status == CAPOS_STATUS_OK) {
		operation->word[0] = request->addr;
		operation->word_count = 1;
	}
	return OPERATION_DONE;
}

/* First bad argument of map, or -1. */
static int bad_map_word(const struct space *space, const u64 *word, const struct memory_object *memory)
{
	u64 bytes = memory->page_count * PAGE_BYTES;

	if (word[1] % PAGE_BYTES != 0 || word[1] >= bytes)
		return 1;
	if (word[2] % PAGE_BYTES != 0)
		return 2;
	if (word[3] == 0 || word[3] % PAGE_BYTES != 0 || word[3] > bytes - word[1])
		return 3;
	if (word[2] != 0 && !region_range_ok(space, word[2], word[3]))
		return 2;
	return -1;
}

u64 method_address_space_map(struct call *call)
{
	u64 *word = call->word, prot = word[4], result;
	u32 rights = CAPOS_RIGHT_READ | (prot & PROT_WRITE ? CAPOS_RIGHT_WRITE : 0u) |
		     (prot & PROT_EXEC ? CAPOS_RIGHT_EXEC : 0u);
	struct map_request request = {
		.space = space_of(call), .offset = word[1], .addr = word[2], .bytes = word[3]
	};
	struct cap cap;
	u16 status;
	int bad;

	if ((prot & ~(u64)PROT_ALL) != 0)
		return STATUS_DETAIL(BAD_ARGUMENT, 4);
	status = cap_lookup_typed(call->thread->process, word[0], CAPOS_IFACE_memory_object, rights, &cap);
	if (status != CAPOS_STATUS_OK)
		return CAPOS_RESULT(status, 0, 1); /* the named handle, not this one */
	request.memory = container_of(cap.object, struct memory_object, object);
	bad = bad_map_word(request.space, word, request.memory);
	if (bad >= 0)
		return STATUS_DETAIL(BAD_ARGUMENT, (u32)bad);
	request.grant = cap.grant;
	request.prot = (u32)prot;
	request.prot_max =
		(cap.rights & CAPOS_RIGHT_WRITE ? PROT_WRITE : 0) | (cap.rights & CAPOS_RIGHT_EXEC ? PROT_EXEC : 0);
	status = space_map_begin(&request);
	if (status != CAPOS_STATUS_OK)
		return result_of(status, request.iresult);
	result = call_start_operation(call, map_step);
	call->thread->operation.mm.map = request;
	return result;
}

static enum operation_progress unmap_step(struct cpu *cpu, struct thread *thread, struct operation *operation)
{
	(void)cpu;
	switch (space_unmap_step(&operation->mm.unmap, thread)) {
	case SPACE_AGAIN:
		return OPERATION_AGAIN;
	case SPACE_WAIT:
		return OPERATION_WAIT; /* the operation may not be touched any more */
	case SPACE_DONE:
		break;
	}
	operation->result = result_of(operation->mm.unmap.status, operation->mm.unmap.iresult);
	return OPERATION_DONE;
}

static u64 start_unmap(struct call *call, bool protect)
{
	struct unmap_request request = {
		.space = space_of(call), .addr = call->word[0], .bytes = call->word[1], .protect = protect
	};
	u64 result;
	u16 status;

	if (request.bytes == 0 || request.bytes % PAGE_BYTES != 0)
		return STATUS_DETAIL(BAD_ARGUMENT, 1);
	if (!region_range_ok(request.space, request.addr, request.bytes))
		return STATUS_DETAIL(BAD_ARGUMENT, 0);
	if (protect) {
		if ((call->word[2] & ~(u64)PROT_ALL) != 0)
			return STATUS_DETAIL(BAD_ARGUMENT, 2);
		request.prot = (u32)call->word[2];
	}
	status = space_unmap_begin(&request);
	if (status != CAPOS_STATUS_OK)
		return result_of(status, request.iresult);
	result = call_start_operation(call, unmap_step);
	call->thread->operation.mm.unmap = request;
	return result;
}

u64 method_address_space_unmap(struct call *call)
{
	return start_unmap(call, false);
}

u64 method_address_space_protect(struct call *call)
{
	return start_unmap(call, true);
}

u64 method_address_space_info(struct call *call)
{
	struct space *space = space_of(call);

	spin_lock(&space->lock);
	call->word[0] = space->mapped_bytes;
	call->word[1] = space->table_frames * PAGE_BYTES;
	call->word[2] = space->region_count;
	spin_unlock(&space->lock);
	return STATUS(OK);
}
