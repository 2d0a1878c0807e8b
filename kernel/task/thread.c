/* SPDX-License-Identifier: MIT */
/* Threads: birth, kill, death. See thread.h for the invariants TH1..TH3. */
#include <kernel/thread.h>

#include <kernel/cpu.h>
#include <kernel/debug.h>
#include <kernel/ipc.h>
#include <kernel/process.h>
#include <kernel/trace.h>

enum exit_phase { EXIT_RING, EXIT_SERVED, EXIT_UNMAP, EXIT_END, EXIT_LEAVE };

static u16 thread_page_create(struct process *process, struct thread *thread)
{
	struct paddr frame;
	u16 status;

	if (!quota_charge(process, CAPOS_QUOTA_MEMORY, PAGE_BYTES))
		return CAPOS_STATUS_QUOTA_EXCEEDED;
	if (!frame_alloc_zeroed(&frame)) {
		quota_uncharge(process, CAPOS_QUOTA_MEMORY, PAGE_BYTES);
		return CAPOS_STATUS_NO_MEMORY;
	}
	status = space_map_frame(&process->space, frame, PROT_WRITE, &thread->page_addr);
	if (status != CAPOS_STATUS_OK) {
		frame_free(frame);
		quota_uncharge(process, CAPOS_QUOTA_MEMORY, PAGE_BYTES);
		return status;
	}
	thread->page = phys_to_virt(frame);
	return CAPOS_STATUS_OK;
}

static u16 thread_entity_create(struct process *process, struct thread *thread, u32 cpu)
{
	void *entity;
	u16 status = pool_alloc(POOL_ENTITY, process, &entity);

	if (status != CAPOS_STATUS_OK)
		return status;
	thread->own = entity;
	entity_init(thread->own, ENTITY_THREAD, cpu);
	thread->own->thread = thread;
	return CAPOS_STATUS_OK;
}

u16 thread_create(struct process *process, struct uaddr ip, struct uaddr sp, u64 arg, u32 cpu, u32 flags,
		  struct thread **out)
{
	struct thread *thread;
	void *memory;
	u16 status;

	if (!quota_charge(process, CAPOS_QUOTA_THREADS, 1))
		return CAPOS_STATUS_QUOTA_EXCEEDED;
	status = pool_alloc(POOL_THREAD, process, &memory);
	if (status != CAPOS_STATUS_OK)
		goto no_thread;
	thread = memory;
	status = thread_entity_create(process, thread, cpu);
	if (status != CAPOS_STATUS_OK)
		goto no_entity;
	status = thread_page_create(process, thread);
	if (status != CAPOS_STATUS_OK)
		goto no_page;
	thread->process = process;
	thread->passive = (flags & CAPOS_THREAD_PASSIVE) != 0;
	thread->entity = NULL;
	object_init(&thread->object, CAPOS_IFACE_thread, process);
	waiter_init(&thread->wait, WAITER_THREAD, thread);
	waitlist_init(&thread->joiners);
	mach_thread_init(thread, ip, sp, arg);
	thread->mach.frame.word[0] = thread->page_addr.va;
	thread->mach.frame.word[1] = thread->object.id;
	ring_init(thread);
	thread->page->thread_id = thread->object.id;
	thread->page->sq_entries = CAPOS_SQ_ENTRIES;
	thread->page->cq_entries = CAPOS_CQ_ENTRIES;
	*out = thread;
	return CAPOS_STATUS_OK;
no_page:
	pool_uncharge(POOL_ENTITY, process);
	pool_free(POOL_ENTITY, thread->own);
no_entity:
	pool_uncharge(POOL_THREAD, process);
	pool_free(POOL_THREAD, thread);
no_thread:
	quota_uncharge(process, CAPOS_QUOTA_THREADS, 1);
	return status;
}

/* Return what the thread is charged for, except its object. */
static void thread_uncharge(struct thread *thread)
{
	struct process *process = thread->process;

	pool_uncharge(POOL_ENTITY, process);
	if (thread->spare != NULL)
		pool_uncharge(POOL_ENTITY, process);
	quota_uncharge(process, CAPOS_QUOTA_MEMORY, PAGE_BYTES);
	quota_uncharge(process, CAPOS_QUOTA_THREADS, 1);
}

void thread_free(struct thread *thread)
{
	mach_thread_fini(thread);
	if (thread->spare != NULL)
		pool_free(POOL_ENTITY, thread->spare);
	pool_free(POOL_ENTITY, thread->own);
	pool_free(POOL_THREAD, thread);
}

bool thread_start(struct cpu *cpu, struct thread *thread)
{
	struct process *process = thread->process;
	bool alive;

	spin_lock(&process->lock);
	alive = atomic_load_relaxed(&process->state) == PROCESS_ALIVE;
	if (alive) {
		list_push_back(&process->threads, &thread->process_link);
		process->thread_count++;
	}
	spin_unlock(&process->lock);
	if (!alive)
		return false;
	TRACE(cpu, SPAWN, cpu->current ? cpu->current->object.id : 0, process->object.id, thread->object.id);
	thread_ready(cpu, thread);
	return true;
}

/*
 * The mark is a locked RMW, and so are the arm of a waiter and the dispatch of an entity: either they see the mark
 * (sched_exit looks after them), or they came before and are seen here.
 */
void thread_kill(struct cpu *cpu, struct thread *thread, u32 cause, u32 code)
{
	struct entity *entity;
	struct cpu *where;

	spin_lock(&thread->object.lock);
	if (thread->exit_cause == CAPOS_EXIT_NONE) {
		thread->exit_cause = cause;
		thread->exit_code = code;
	}
	spin_unlock(&thread->object.lock);
	atomic_fetch_or(&thread->attention, ATTENTION_KILL);
	if (waiter_kill(cpu, &thread->wait))
		return;
	/* Whatever gives it an entity meanwhile is followed by a full barrier before that CPU looks at the mark. */
	entity = shared_load_relaxed(&thread->entity);
	where = entity ? atomic_load_relaxed(&entity->cpu) : NULL;
	if (where != NULL && atomic_load_relaxed(&entity->owner) == OWNER_CURRENT)
		sched_request(cpu, where, REQUEST_RESCHEDULE);
}

static enum operation_progress unmap_page_step(struct cpu *cpu, struct thread *thread, struct operation *operation)
{
	(void)cpu;
	switch (space_unmap_step(&operation->mm.unmap, thread)) {
	case SPACE_AGAIN:
		return OPERATION_AGAIN;
	case SPACE_WAIT:
		return OPERATION_WAIT;
	case SPACE_DONE:
		break;
	}
	KASSERT(operation->mm.unmap.status == CAPOS_STATUS_OK);
	thread->exit_phase = EXIT_END;
	return OPERATION_DONE;
}

static void begin_unmap_page(struct thread *thread)
{
	struct operation *operation = &thread->operation;
	u16 status;

	*operation = (struct operation){ .step = unmap_page_step };
	operation->mm.unmap = (struct unmap_request){
		.space = &thread->process->space,
		.addr = thread->page_addr.va,
		.bytes = PAGE_BYTES,
		.forced = true,
	};
	status = space_unmap_begin(&operation->mm.unmap);
	KASSERT(status == CAPOS_STATUS_OK);
	atomic_fetch_or(&thread->attention, ATTENTION_OPERATION);
}

/* What it was charged for is back before joiners are told. */
static void end(struct cpu *cpu, struct thread *thread)
{
	KASSERT(thread->serving == NULL && list_is_empty(&thread->served));
	frame_free(virt_to_phys(thread->page));
	TRACE(cpu, EXIT, thread->object.id, thread->process->object.id, thread->exit_code);
	thread_uncharge(thread);
	registry_remove_thread(thread);
}

/* The thread leaves the CPU for ever: nothing of it is runnable or waiting anywhere after this (B7). */
static void leave(struct cpu *cpu, struct thread *thread)
{
	struct process *process = thread->process;
	bool last;

	sched_detach_current(cpu);
	sched_drop_entity(thread);
	KASSERT(atomic_load_relaxed(&thread->own->owner) == OWNER_NONE && !waiter_is_armed(&thread->wait));
	spin_lock(&process->lock);
	process->exited_runtime_ns += thread->account.runtime_ns;
	process->exited_switches += thread->account.switches;
	list_remove(&thread->process_link);
	process->thread_count--;
	last = process->thread_count == 0;
	if (thread->first && process->exit_cause == CAPOS_EXIT_NONE)
		process->exit_code = thread->exit_code;
	spin_unlock(&process->lock);
	thread_object_exited(cpu, thread);
	if (last)
		process_last_thread_gone(cpu, process);
}

void thread_exit_step(struct cpu *cpu, struct thread *thread)
{
	switch ((enum exit_phase)thread->exit_phase) {
	case EXIT_RING:
		if (!ring_teardown_step(cpu, thread))
			return;
		thread->exit_phase = EXIT_SERVED;
		break;
	case EXIT_SERVED:
		/* On whatever entity it has: those whose calls end here go on with their spare (lend.c). */
		if (!endpoint_thread_exit_step(cpu, thread))
			return;
		thread->exit_phase = EXIT_UNMAP;
		break;
	case EXIT_UNMAP:
		begin_unmap_page(thread);
		break;
	case EXIT_END:
		end(cpu, thread);
		thread->exit_phase = EXIT_LEAVE;
		break;
	case EXIT_LEAVE:
		if (!thread_tell_many_joiners(cpu, thread))
			leave(cpu, thread);
		break;
	}
}
