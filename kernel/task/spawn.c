/* SPDX-License-Identifier: MIT */
/*
 * Spawn: from a program image to a running process, in bounded steps.
 *
 *   CHECK -> PROCESS -> OBJECTS -> IMAGE (per segment: map, copy) -> STACK -> STARTUP -> THREAD -> CAPS -> START -> done
 *      any failure -> UNDO (the teardown of a process without threads) -> done, with the error
 *
 *  SN1  Until START the child is known to nobody: nothing can be done to it from outside.
 *  SN2  Read-only segments of a program of the boot archive are the archive's own frames; everything else is private.
 */
#include <kernel/spawn.h>

#include <kernel/context.h>
#include <kernel/cpu.h>
#include <kernel/debug.h>
#include <kernel/ipc.h>
#include <kernel/trace.h>
#include <string.h>

#include "task_priv.h"

enum spawn_phase {
	SPAWN_CHECK,
	SPAWN_PROCESS,
	SPAWN_OBJECTS,
	SPAWN_IMAGE,
	SPAWN_STACK,
	SPAWN_STARTUP,
	SPAWN_THREAD,
	SPAWN_CAPS,
	SPAWN_START,
	SPAWN_UNDO,
	SPAWN_DROP,
	SPAWN_DONE,
};

#define STACK_RESERVE                                                                                                \
	136u /* 128 bytes and the place of a return address: the ABI's alignment at a function's entry */

static const struct {
	char name[CAPOS_NAME_BYTES];
	u32 rights;
} standard_caps[SPAWN_STANDARD_CAPS] = {
	{ "caps", CAPOS_RIGHT_READ | CAPOS_RIGHT_WRITE },
	{ "space", CAPOS_RIGHT_READ | CAPOS_RIGHT_WRITE },
	{ "threads", CAPOS_RIGHT_CREATE },
	{ "self", CHILD_RIGHTS },
	{ "factory", CAPOS_RIGHT_CREATE },
	{ "park", CAPOS_RIGHT_WAIT | CAPOS_RIGHT_SIGNAL | CAPOS_RIGHT_GRANT },
};

enum standard { STANDARD_CAPS, STANDARD_SPACE, STANDARD_THREADS, STANDARD_SELF, STANDARD_FACTORY, STANDARD_PARK };

void spawn_init(struct spawn_request *request)
{
	for (u32 i = 0; i < SPAWN_STANDARD_CAPS; i++) {
		__builtin_memcpy(request->caps[i].name, standard_caps[i].name, CAPOS_NAME_BYTES);
		request->caps[i].cap.rights = standard_caps[i].rights;
	}
	request->cap_count = SPAWN_STANDARD_CAPS;
	request->cpu = CAPOS_CPU_ANY;
}

/* --- failure ----------------------------------------------------------------------------------------------------------- */

static void fail(struct spawn_request *request, u64 result)
{
	request->result = result;
	request->phase = request->process != NULL ? SPAWN_UNDO : SPAWN_DROP;
}

/* A status from an allocation, which only memory can refuse. */
static void fail_status(struct spawn_request *request, u16 status)
{
	fail(request, call_status(status, CAPOS_QUOTA_MEMORY));
}

static void fail_spawn(struct spawn_request *request, u16 iresult, u32 detail)
{
	fail(request, CAPOS_RESULT(CAPOS_STATUS_OK, iresult, detail));
}

static void next_phase(struct spawn_request *request, enum spawn_phase phase)
{
	request->phase = phase;
	request->index = 0;
	request->next = 0;
	request->mapping = false;
}

/* --- the image --------------------------------------------------------------------------------------------------------- */

static struct memory_object *image_memory(const struct spawn_request *request)
{
	return container_of(request->image.object, struct memory_object, object);
}

/* Bytes of the file into kernel memory, at most a page; false: the memory object has ended. */
static bool file_read(const struct spawn_request *request, u64 offset, void *to, u64 bytes)
{
	if (request->file != NULL) {
		memcpy(to, request->file->data + offset, bytes);
		return true;
	}
	return !grant_is_dead(request->image.grant) && memory_object_read(image_memory(request), offset, to, bytes);
}

static u64 file_bytes(const struct spawn_request *request)
{
	return request->file != NULL ? request->file->bytes : image_memory(request)->page_count * PAGE_BYTES;
}

static enum elf_refusal check_image(struct spawn_request *request, u16 *status)
{
	enum elf_refusal refusal = ELF_TRUNCATED;
	struct paddr frame;
	u64 bytes;

	*status = CAPOS_STATUS_OK;
	if (request->file != NULL)
		return elf_check(request->file->data, request->file->bytes, &request->elf);
	if (grant_is_dead(request->image.grant)) {
		*status = CAPOS_STATUS_REVOKED;
		return refusal;
	}
	bytes = file_bytes(request);
	/* A private copy of the head: the program may change it meanwhile. */
	if (!frame_alloc(&frame)) {
		*status = CAPOS_STATUS_NO_MEMORY;
		return refusal;
	}
	if (file_read(request, 0, phys_to_virt(frame), MIN(bytes, (u64)ELF_HEAD_BYTES)))
		refusal = elf_check(phys_to_virt(frame), bytes, &request->elf);
	else
		*status = CAPOS_STATUS_REVOKED;
	frame_free(frame);
	return refusal;
}

static void step_check(struct spawn_request *request)
{
	u16 status;
	enum elf_refusal refusal = check_image(request, &status);

	if (status != CAPOS_STATUS_OK) {
		fail(request, CAPOS_RESULT(status, 0, 0));
	} else if (refusal == ELF_ABI_MISSING || refusal == ELF_ABI_VERSION) {
		fail_spawn(request, CAPOS_SPAWN_ABI_MISMATCH, request->elf.abi_version);
	} else if (refusal != ELF_OK) {
		fail_spawn(request, CAPOS_SPAWN_BAD_IMAGE, (u32)refusal);
	} else {
		next_phase(request, SPAWN_PROCESS);
	}
}

static void step_process(struct spawn_request *request)
{
	struct process *process;
	u32 detail;
	u16 status = process_create_detail(request->parent, request->name, request->limits, &process, &detail);

	if (status != CAPOS_STATUS_OK) {
		fail(request, CAPOS_RESULT(status, 0, detail));
		return;
	}
	request->process = process;
	request->base = process->space.mach.user_base;
	process->one_cpu = request->one_cpu;
	process->cpu = request->cpu;
	process->essential = request->essential;
	process->session = request->session; /* and its reference */
	process->image_base = request->base + SPAWN_IMAGE_OFFSET;
	request->session = NULL;
	next_phase(request, SPAWN_OBJECTS);
}

static u16 publish_park(struct spawn_request *request)
{
	struct object *object;
	u16 status = park_space_create(request->process, &object);

	if (status != CAPOS_STATUS_OK)
		return status;
	status = object_publish(object);
	if (status != CAPOS_STATUS_OK) {
		pool_uncharge(POOL_PARK_SPACE, request->process);
		object_type(CAPOS_IFACE_park_space)->free(object); /* nobody has seen it */
		return status;
	}
	request->standard[STANDARD_PARK] = object;
	return CAPOS_STATUS_OK;
}

/* The file as a memory object of the child, for the mappings of read-only segments. */
static u16 borrow_file(struct spawn_request *request)
{
	struct memory_object *memory;
	u16 status;

	if (request->file == NULL)
		return CAPOS_STATUS_OK;
	status = memory_object_borrow(request->process, virt_to_phys(request->file->data),
				      ALIGN_UP(request->file->bytes, PAGE_BYTES), &memory);
	if (status != CAPOS_STATUS_OK)
		return status;
	status = object_publish(&memory->object);
	if (status != CAPOS_STATUS_OK) {
		while (!memory_object_discard_step(memory))
			;
		return status;
	}
	request->borrowed = memory;
	return CAPOS_STATUS_OK;
}

static void step_objects(struct spawn_request *request)
{
	struct process *process = request->process;
	u16 status = CAPOS_STATUS_OK;

	switch (request->index++) {
	case 0:
		status = cap_table_object_publish(process);
		request->standard[STANDARD_CAPS] = &process->table_object;
		break;
	case 1:
		status = factory_object_publish(process);
		request->standard[STANDARD_FACTORY] = &process->factory_object;
		break;
	case 2:
		status = space_object_publish(process);
		request->standard[STANDARD_SPACE] = &process->space.object;
		break;
	case 3:
		object_init(&process->spawner_object, CAPOS_IFACE_thread_spawner, process);
		status = object_publish(&process->spawner_object);
		request->standard[STANDARD_THREADS] = &process->spawner_object;
		break;
	case 4:
		status = publish_park(request);
		break;
	case 5:
		status = borrow_file(request);
		break;
	default:
		next_phase(request, SPAWN_IMAGE);
		return;
	}
	if (status != CAPOS_STATUS_OK)
		fail_status(request, status);
}

/* --- mappings ------------------------------------------------------------------------------------------------------------ */

/* Drives request->map, which the caller has filled when it begins. True when mapped. */
static bool drive_map(struct spawn_request *request)
{
	u16 status;

	if (!request->mapping) {
		request->map.space = &request->process->space;
		request->map.pinned = true;
		request->map.prot_max = request->map.prot;
		status = space_map_begin(&request->map);
		if (status != CAPOS_STATUS_OK) {
			fail_status(request, status);
			return false;
		}
		request->mapping = true;
	}
	if (!space_map_step(&request->map))
		return false;
	request->mapping = false;
	if (request->map.status == CAPOS_STATUS_OK)
		return true;
	fail_status(request, request->map.status);
	return false;
}

/* Kernel address of a page of the child. */
static u8 *child_page(struct spawn_request *request, u64 addr)
{
	struct paddr page;

	if (!space_translate(&request->process->space, (struct uaddr){ addr }, 0, &page))
		panic("spawn: page 0x%llx of a new process is not mapped", (unsigned long long)addr);
	return phys_to_virt(page);
}

static bool segment_is_borrowed(const struct spawn_request *request, const struct elf_segment *segment)
{
	return request->borrowed != NULL && (segment->prot & PROT_WRITE) == 0;
}

static void segment_map(struct spawn_request *request, const struct elf_segment *segment)
{
	bool borrowed = segment_is_borrowed(request, segment);

	if (!request->mapping)
		request->map = (struct map_request){
			.memory = borrowed ? request->borrowed : NULL,
			.offset = borrowed ? segment->file_page : 0,
			.addr = request->process->image_base + segment->start,
			.bytes = segment->end - segment->start,
			.prot = segment->prot,
		};
	if (!drive_map(request))
		return;
	request->next = borrowed ? segment->end : segment->start;
	request->copying = true;
}

/* One page of what the file gives. */
static void segment_copy(struct spawn_request *request, const struct elf_segment *segment)
{
	u64 from = MAX(request->next, segment->data_start);
	u64 to = MIN(request->next + PAGE_BYTES, segment->data_end);
	u8 *page = child_page(request, request->process->image_base + request->next);

	if (!file_read(request, segment->file_page + (from - segment->start), page + from % PAGE_BYTES, to - from)) {
		fail(request, STATUS(REVOKED));
		return;
	}
	request->next += PAGE_BYTES;
}

static void step_image(struct spawn_request *request)
{
	const struct elf_segment *segment = &request->elf.segment[request->index];

	if (request->index == request->elf.segment_count) {
		next_phase(request, SPAWN_STACK);
	} else if (!request->copying) {
		segment_map(request, segment);
	} else if (request->next < segment->data_end) {
		segment_copy(request, segment);
	} else {
		request->copying = false;
		request->index++;
	}
}

static void step_private(struct spawn_request *request, u64 offset, u64 bytes, u32 prot, enum spawn_phase next)
{
	if (!request->mapping)
		request->map = (struct map_request){ .addr = request->base + offset, .bytes = bytes, .prot = prot };
	if (drive_map(request))
		next_phase(request, next);
}

/* --- thread, capabilities ------------------------------------------------------------------------------------------------ */

static void step_thread(struct spawn_request *request)
{
	u64 stack_top = request->base + SPAWN_STARTUP_OFFSET;
	struct thread_plan plan = {
		.ip = { request->process->image_base + request->elf.entry },
		.sp = { stack_top - STACK_RESERVE },
		.arg = request->base + SPAWN_STARTUP_OFFSET,
		.cpu = request->cpu,
		.cpus = request->has_cpus ? &request->cpus : NULL,
		.page_addr = request->base + SPAWN_THREAD_OFFSET,
	};
	struct thread *thread;
	u64 result = thread_create(request->process, &plan, &request->map, &thread);
	u16 status;

	if (result != STATUS(OK)) {
		fail(request, result);
		return;
	}
	/* One page, and nobody has the space loaded: a step, and a few when it fails. */
	while (!thread_create_step(thread, &request->map))
		;
	if (request->map.status != CAPOS_STATUS_OK) {
		fail_status(request, request->map.status);
		return;
	}
	thread->first = true;
	status = object_publish(&thread->object);
	if (status != CAPOS_STATUS_OK) {
		thread_undo_create(thread);
		fail_status(request, status);
		return;
	}
	request->thread = thread;
	request->standard[STANDARD_SELF] = &thread->object;
	next_phase(request, SPAWN_CAPS);
}

static void fill_startup(struct spawn_request *request)
{
	struct capos_startup *startup = (void *)child_page(request, request->base + SPAWN_STARTUP_OFFSET);

	/* The page is zero. */
	startup->bytes = sizeof(*startup);
	startup->abi_version = CAPOS_ABI_VERSION;
	startup->process_id = request->process->object.id;
	startup->thread_id = request->thread->object.id;
	startup->thread_page = request->thread->page_addr.va;
	startup->image_base = request->process->image_base;
	startup->stack_base = request->base + SPAWN_STARTUP_OFFSET - request->elf.stack_bytes;
	startup->stack_bytes = request->elf.stack_bytes;
	startup->cpu_count = cpu_count();
	startup->cap_count = request->cap_count;
	memcpy(startup->program, request->name, sizeof(startup->program));
	memcpy(startup->args, request->args, sizeof(startup->args));
	for (u32 i = 0; i < request->cap_count; i++) {
		const struct spawn_cap *cap = &request->caps[i];
		struct capos_startup_cap *out = &startup->caps[i];

		memcpy(out->name, cap->name, sizeof(out->name));
		out->handle = cap->handle;
		out->iface = cap->iface;
		out->rights = cap->cap.rights;
	}
}

/* One capability per step. */
static void step_caps(struct spawn_request *request)
{
	u32 index = request->index;
	struct spawn_cap *cap = &request->caps[index];
	u16 status;

	if (index == request->cap_count) {
		fill_startup(request);
		next_phase(request, SPAWN_START);
		return;
	}
	if (index < SPAWN_STANDARD_CAPS) {
		cap->cap.object = request->standard[index];
		cap->iface = cap->cap.object->type;
		status = cap_insert_root(request->process, cap->cap.object, cap->cap.rights, &cap->handle);
	} else {
		status = cap_insert(request->process, &cap->cap, &cap->handle);
	}
	if (status == CAPOS_STATUS_REVOKED && index >= SPAWN_STANDARD_CAPS)
		fail_spawn(request, CAPOS_SPAWN_BAD_GRANT, index - SPAWN_STANDARD_CAPS);
	else if (status != CAPOS_STATUS_OK)
		fail(request, CAPOS_RESULT(status, 0, cap_quota_detail(request->process, status)));
	else
		request->index++;
}

/* --- start --------------------------------------------------------------------------------------------------------------- */

/* The parent's handle. Its failure is the parent's matter. */
static bool hand_out(struct spawn_request *request)
{
	struct process *parent = request->parent;
	u16 status = object_publish(&request->process->object);

	if (status != CAPOS_STATUS_OK) {
		fail_status(request, status);
		return false;
	}
	if (parent == NULL)
		return true;
	status = cap_insert_root(parent, &request->process->object, CHILD_RIGHTS, &request->handle);
	if (status != CAPOS_STATUS_OK)
		fail(request, CAPOS_RESULT(status, 0, cap_quota_detail(parent, status)));
	return status == CAPOS_STATUS_OK;
}

static bool become_alive(struct process *process)
{
	bool alive;

	spin_lock(&process->lock);
	alive = atomic_load_relaxed(&process->state) == PROCESS_BUILDING;
	if (alive) {
		process->started = true;
		atomic_store_release(&process->state,
				     PROCESS_ALIVE); /* pairs with loads of the state without the lock */
	}
	spin_unlock(&process->lock);
	return alive;
}

/* The thread has not run, so nothing is charged yet. */
static bool bind_context(struct cpu *cpu, struct spawn_request *request)
{
	const struct cap *cap = &request->caps[SPAWN_STANDARD_CAPS].cap;
	u64 result;

	if (likely(!request->binds))
		return true;
	if (grant_is_dead(cap->grant)) {
		fail_spawn(request, CAPOS_SPAWN_BAD_GRANT, 0);
		return false;
	}
	result = context_bind_through(cpu, cap, request->thread);
	if (result != STATUS(OK))
		fail_spawn(request, CAPOS_SPAWN_BAD_CONTEXT, CAPOS_RESULT_IRESULT(result));
	return result == STATUS(OK);
}

static void step_start(struct cpu *cpu, struct spawn_request *request)
{
	struct process *process = request->process;
	struct thread *thread = request->thread;
	u64 process_id = process->object.id;

	if (!bind_context(cpu, request) || !hand_out(request))
		return;
	registry_add_process(process);
	registry_add_thread(thread);
	boot_process_started();
	if (become_alive(process) && thread_start(cpu, thread)) {
		request->result = STATUS(OK);
		request->process_id = process_id;
		request->process = NULL; /* it may be gone already */
		next_phase(request, SPAWN_DROP);
		return;
	}
	/* Somebody found it and killed it before its first instruction. */
	registry_remove_thread(thread);
	registry_remove_process(process);
	boot_process_not_started();
	process->started = false;
	fail(request, STATUS(DYING));
}

/* --- undo, end ----------------------------------------------------------------------------------------------------------- */

static void step_undo(struct cpu *cpu, struct spawn_request *request)
{
	struct process *process = request->process;

	if (request->mapping) {
		/* A map request goes on until it says so. */
		request->mapping = !space_map_step(&request->map);
		return;
	}
	if (request->thread != NULL) {
		thread_abandon(request->thread);
		request->thread = NULL;
		return;
	}
	if (atomic_load_relaxed(&process->state) == PROCESS_BUILDING) {
		process->exit_cause = CAPOS_EXIT_START_FAILED;
		spin_lock(&process->lock);
		atomic_store_release(&process->state, PROCESS_DYING);
		spin_unlock(&process->lock);
	}
	if (process_teardown_step(cpu, process) != TEARDOWN_DONE)
		return;
	if (request->handle != 0)
		(void)!cap_release(request->parent, request->handle);
	process_discard(process);
	request->process = NULL;
	next_phase(request, SPAWN_DROP);
}

/* Give back the references: one per step. */
static void step_drop(struct spawn_request *request)
{
	if (request->index < request->cap_count) {
		struct spawn_cap *cap = &request->caps[request->index++];

		if (request->index > SPAWN_STANDARD_CAPS && cap->cap.grant != NULL)
			grant_put(cap->cap.grant);
		return;
	}
	if (request->image.grant != NULL)
		grant_put(request->image.grant);
	session_put(request->session);
	request->phase = SPAWN_DONE;
}

void spawn_drop_references(struct spawn_request *request)
{
	request->index = 0;
	for (request->phase = SPAWN_DROP; request->phase != SPAWN_DONE;)
		step_drop(request);
}

static bool one_step(struct cpu *cpu, struct spawn_request *request)
{
	switch ((enum spawn_phase)request->phase) {
	case SPAWN_CHECK:
		step_check(request);
		break;
	case SPAWN_PROCESS:
		step_process(request);
		break;
	case SPAWN_OBJECTS:
		step_objects(request);
		break;
	case SPAWN_IMAGE:
		step_image(request);
		break;
	case SPAWN_STACK:
		step_private(request, SPAWN_STARTUP_OFFSET - request->elf.stack_bytes, request->elf.stack_bytes,
			     PROT_WRITE, SPAWN_STARTUP);
		break;
	case SPAWN_STARTUP:
		step_private(request, SPAWN_STARTUP_OFFSET, PAGE_BYTES, 0, SPAWN_THREAD);
		break;
	case SPAWN_THREAD:
		step_thread(request);
		break;
	case SPAWN_CAPS:
		if (request->hold)
			return true;
		step_caps(request);
		break;
	case SPAWN_START:
		step_start(cpu, request);
		break;
	case SPAWN_UNDO:
		step_undo(cpu, request);
		break;
	case SPAWN_DROP:
		step_drop(request);
		break;
	case SPAWN_DONE:
		return true;
	}
	return false;
}

#define STEPS_AT_ONCE 6u /* and as long as there is time: a piece takes 100 to 2,000 instructions */

bool spawn_step(struct cpu *cpu, struct spawn_request *request)
{
	struct instant begin = mach_clock();

	for (u32 i = 0; i < STEPS_AT_ONCE && (i == 0 || step_has_time(begin, STEP_PIECES)); i++) {
		if (one_step(cpu, request))
			return true;
		/* Undoing waits for others to pass a quiescent point. */
		if (request->phase == SPAWN_UNDO)
			break;
	}
	return false;
}

const char *spawn_refusal(const struct spawn_request *request)
{
	u32 detail = CAPOS_RESULT_DETAIL(request->result);

	switch (CAPOS_RESULT_IRESULT(request->result)) {
	case CAPOS_SPAWN_BAD_IMAGE:
		return elf_refusal_name((enum elf_refusal)detail);
	case CAPOS_SPAWN_ABI_MISMATCH:
		return detail == 0 ? "no ABI note" : "another ABI version";
	default:
		return NULL;
	}
}
