/* SPDX-License-Identifier: MIT */
/* The process_spawner: decode of a spawn, which checks everything it can and changes nothing; the rest is spawn.c. */
#include <kernel/affinity.h>
#include <kernel/cpu.h>
#include <kernel/debug.h>
#include <kernel/spawn.h>
#include <string.h>

#include "task_priv.h"

#define FIELD(name) ((u32)offsetof(struct capos_spawn, name))
/* Details of BAD_ARGUMENT here: offset of the field in struct capos_spawn. */
#define BAD_FIELD(name) STATUS_DETAIL(BAD_ARGUMENT, FIELD(name))

static bool is_terminated(const char *text, size_t bytes)
{
	return memchr(text, 0, bytes) != NULL;
}

/* Eight bytes of a name, those from its 0 on cleared; *ends: there is a 0 among them. */
static u64 name_word(const char *name, bool *ends)
{
	const u64 ones = 0x0101010101010101;
	u64 word, zeros;

	__builtin_memcpy(&word, name, sizeof(word));
	/* The top bit of each byte that is 0, up to the first of them. */
	zeros = (word - ones) & ~word & ones << 7;
	if (zeros == 0)
		return word;
	*ends = true;
	return word & (((zeros & -zeros) >> 7) - 1);
}

/* A name without what follows its 0: names are equal where all their bytes are. False: it is empty or does not end. */
static bool take_name(char out[CAPOS_NAME_BYTES], const char name[CAPOS_NAME_BYTES])
{
	bool ends = false;
	u64 word[2] = { name_word(name, &ends), 0 };

	_Static_assert(sizeof(word) == CAPOS_NAME_BYTES, "a name is two words");
	if (!ends)
		word[1] = name_word(name + sizeof(word[0]), &ends);
	__builtin_memcpy(out, word, sizeof(word));
	return ends && word[0] != 0;
}

/* A grant: name, handle, rights. False: BAD_GRANT. On success the request holds a reference. */
static bool take_grant(struct process *process, struct spawn_request *request, const struct capos_grant *grant)
{
	struct spawn_cap *out = &request->caps[request->cap_count];
	struct cap cap;

	if (!take_name(out->name, grant->name) || grant->flags != 0)
		return false;
	for (u32 i = 0; i < request->cap_count; i++)
		if (__builtin_memcmp(request->caps[i].name, out->name, CAPOS_NAME_BYTES) == 0)
			return false;
	if (cap_lookup_typed(process, grant->handle, 0, CAPOS_RIGHT_GRANT, &cap) != CAPOS_STATUS_OK ||
	    grant->rights == 0 || (grant->rights & ~cap.rights) != 0 || !grant_get(cap.grant))
		return false;
	cap.rights = grant->rights;
	out->cap = cap;
	out->iface = cap.object->type == CAPOS_IFACE_endpoint ? 0 : cap.object->type;
	request->cap_count++;
	return true;
}

/* Program by name, or image by handle. */
static u64 take_program(struct process *process, struct spawn_request *request, const struct capos_spawn *spawn)
{
	u16 status;

	if (spawn->program[0] != 0) {
		if (spawn->image != 0)
			return BAD_FIELD(image);
		request->file = archive_find(spawn->program);
		memcpy(request->name, spawn->program, sizeof(request->name));
		return request->file != NULL ? STATUS(OK) : IRESULT(CAPOS_SPAWN_UNKNOWN_PROGRAM);
	}
	memcpy(request->name, "image", 6);
	status =
		cap_lookup_typed(process, spawn->image, CAPOS_IFACE_memory_object, CAPOS_RIGHT_READ, &request->image);
	if (status == CAPOS_STATUS_OK && !grant_get(request->image.grant))
		status = CAPOS_STATUS_REVOKED;
	if (status != CAPOS_STATUS_OK)
		request->image.grant = NULL;
	return CAPOS_RESULT(status, 0, status != CAPOS_STATUS_OK ? FIELD(image) : 0);
}

static u64 take_session(struct process *process, struct spawn_request *request, u64 handle)
{
	struct session *session = process->session;
	struct cap cap;

	if (handle != 0) {
		u16 status = cap_lookup_typed(process, handle, CAPOS_IFACE_user_session, 0, &cap);

		if (status != CAPOS_STATUS_OK)
			return CAPOS_RESULT(status, 0, FIELD(session));
		session = container_of(cap.object, struct session, object);
	}
	if (session == NULL)
		return STATUS(OK);
	if (atomic_load_acquire(&session->alive) == 0) /* pairs with the exchange in logout */
		return IRESULT(CAPOS_SPAWN_SESSION_ENDED);
	/* Valid in this kernel entry, but its last reference may just be given back. */
	if (!session_try_get(session))
		return IRESULT(CAPOS_SPAWN_SESSION_ENDED);
	request->session = session;
	return STATUS(OK);
}

/* The set of CPUs, which is what of the message is left. */
static u64 check_set(const struct capos_cpu_set *set, u64 bytes)
{
	u32 last;

	if (!affinity_set_is_canonical(set, bytes))
		return IRESULT(CAPOS_SPAWN_BAD_SET);
	return affinity_count(set, &last) > 0 ? STATUS(OK) : IRESULT(CAPOS_SPAWN_NO_CPU);
}

/* The first grant is of a context that the caller may bind, whatever the child may do with it. */
static bool check_context(struct process *process, const struct spawn_request *request,
			  const struct capos_spawn *spawn)
{
	struct cap cap;

	return spawn->grant_count > 0 &&
	       cap_lookup_typed(process, spawn->grants[0].handle, CAPOS_IFACE_scheduling_context, CAPOS_RIGHT_CONTROL,
				&cap) == CAPOS_STATUS_OK &&
	       cap.object == request->caps[SPAWN_STANDARD_CAPS].cap.object;
}

static u64 check_fields(const struct call *call, const struct capos_spawn *spawn)
{
	u64 bytes = offsetof(struct capos_spawn, grants) + (u64)spawn->grant_count * sizeof(struct capos_grant);

	if (spawn->grant_count > CAPOS_SPAWN_GRANTS)
		return BAD_FIELD(grant_count);
	if (call->in_bytes != bytes && ((spawn->flags & CAPOS_SPAWN_CPU_SET) == 0 || call->in_bytes < bytes))
		return STATUS(BAD_SIZE);
	if (!is_terminated(spawn->program, sizeof(spawn->program)))
		return BAD_FIELD(program);
	if (!is_terminated(spawn->args, sizeof(spawn->args)))
		return BAD_FIELD(args);
	if ((spawn->flags & ~(CAPOS_SPAWN_ONE_CPU | CAPOS_SPAWN_CPU_SET | CAPOS_SPAWN_CONTEXT)) != 0)
		return BAD_FIELD(flags);
	if (!cpu_is_usable(spawn->cpu) ||
	    ((spawn->flags & CAPOS_SPAWN_ONE_CPU) != 0 && spawn->cpu == CAPOS_CPU_ANY) ||
	    ((spawn->flags & CAPOS_SPAWN_CPU_SET) != 0 && spawn->cpu != CAPOS_CPU_ANY))
		return BAD_FIELD(cpu);
	return (spawn->flags & CAPOS_SPAWN_CPU_SET) != 0
		       ? check_set((const void *)&spawn->grants[spawn->grant_count], call->in_bytes - bytes)
		       : STATUS(OK);
}

static u64 decode(struct call *call, const struct capos_spawn *spawn, struct spawn_request *request)
{
	struct process *process = call->thread->process;
	u64 result = take_program(process, request, spawn);

	if (result == STATUS(OK))
		result = take_session(process, request, spawn->session);
	for (u32 i = 0; result == STATUS(OK) && i < spawn->grant_count; i++)
		if (!take_grant(process, request, &spawn->grants[i]))
			result = CAPOS_RESULT(CAPOS_STATUS_OK, CAPOS_SPAWN_BAD_GRANT, i);
	request->binds = (spawn->flags & CAPOS_SPAWN_CONTEXT) != 0;
	if (result == STATUS(OK) && request->binds && !check_context(process, request, spawn))
		result = CAPOS_RESULT(CAPOS_STATUS_OK, CAPOS_SPAWN_BAD_GRANT, 0);
	memcpy(request->args, spawn->args, sizeof(request->args));
	request->parent = process;
	request->limits[CAPOS_QUOTA_MEMORY] = spawn->memory_bytes;
	request->limits[CAPOS_QUOTA_SLOTS] = spawn->slots;
	request->limits[CAPOS_QUOTA_THREADS] = spawn->threads;
	request->limits[CAPOS_QUOTA_PROCESSES] = spawn->processes;
	request->cpu = spawn->cpu;
	request->one_cpu = (spawn->flags & CAPOS_SPAWN_ONE_CPU) != 0;
	request->has_cpus = (spawn->flags & CAPOS_SPAWN_CPU_SET) != 0;
	if (request->has_cpus) {
		const struct capos_cpu_set *set = (const void *)&spawn->grants[spawn->grant_count];

		memcpy(&request->cpus, set, sizeof(set->byte_count) + set->byte_count);
	}
	return result;
}

static void request_free(struct process *process, struct spawn_request *request)
{
	pool_uncharge(POOL_SPAWN, process);
	pool_free(POOL_SPAWN, request);
}

static enum operation_progress spawn_operation(struct cpu *cpu, struct thread *thread, struct operation *operation)
{
	struct spawn_request *request = (struct spawn_request *)(uintptr_t)operation->args[0];

	if (!spawn_step(cpu, request))
		return OPERATION_AGAIN;
	operation->result = request->result;
	if (request->result == STATUS(OK)) {
		operation->word[0] = request->handle;
		operation->word[1] = request->process_id;
		operation->word_count = 2;
	}
	request_free(thread->process, request);
	return OPERATION_DONE;
}

u64 method_process_spawner_spawn(struct call *call)
{
	struct process *process = call->thread->process;
	struct spawn_request *request;
	const struct capos_spawn *spawn =
		(const void *)call->in; /* a private copy; what lies within in_bytes of it */
	void *memory;
	u64 result, progress;
	u16 status;

	if (call->in_bytes < offsetof(struct capos_spawn, grants) || call->in_bytes > sizeof(*spawn))
		return STATUS(BAD_SIZE);
	result = check_fields(call, spawn);
	if (result != STATUS(OK))
		return result;
	status = pool_alloc(POOL_SPAWN, process, &memory);
	if (status != CAPOS_STATUS_OK)
		return call_status(status, CAPOS_QUOTA_MEMORY);
	request = memory;
	spawn_init(request);
	result = decode(call, spawn, request);
	if (result != STATUS(OK)) {
		spawn_drop_references(request);
		request_free(process, request);
		return result;
	}
	progress = call_start_operation(call, spawn_operation);
	call->thread->operation.args[0] = (u64)(uintptr_t)request;
	return progress;
}

u64 method_process_spawner_programs(struct call *call)
{
	u64 index = call->word[0];
	const struct archive_file *file = index < ARCHIVE_FILES_MAX ? archive_program_at((u32)index) : NULL;
	size_t bytes;

	call->word[0] = file != NULL;
	if (file == NULL)
		return STATUS(OK);
	bytes = strlen(file->name) + 1;
	memcpy(call->out, file->name, bytes);
	call->out_bytes = (u32)bytes;
	return STATUS(OK);
}

const struct object_type type_process_spawner = OBJECT_TYPE(process_spawner, .free = NULL);
