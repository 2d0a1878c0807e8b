/* SPDX-License-Identifier: MIT */
/* Threads: birth, kill, death. See thread.h for the invariants TH1..TH3. */
#include <kernel/thread.h>

#include <kernel/affinity.h>
#include <kernel/context.h>
#include <kernel/cpu.h>
#include <kernel/debug.h>
#include <kernel/ipc.h>
#include <kernel/process.h>
#include <kernel/trace.h>

enum exit_phase { EXIT_RING, EXIT_SERVED, EXIT_UNMAP, EXIT_END, EXIT_LEAVE };

static u64 first_affinity(const struct process *process, struct thread *thread, const struct thread_plan *plan)
{
	if (unlikely(plan->cpus != NULL))
		return affinity_of_set(thread, plan->cpus);
	return affinity_of_cpu(process->one_cpu ? process->cpu : plan->cpu);
}

static u16 thread_entity_create(struct process *process, struct thread *thread, u64 affinity)
{
	void *entity;
	u16 status = pool_alloc(POOL_ENTITY, process, &entity);

	if (status != CAPOS_STATUS_OK)
		return status;
	thread->own = entity;
	entity_init(thread->own, ENTITY_THREAD, affinity);
	thread->own->thread = thread;
	return CAPOS_STATUS_OK;
}

u64 thread_create(struct process *process, const struct thread_plan *plan, struct map_request *map,
		  struct thread **out)
{
	struct thread *thread;
	void *memory;
	u16 status;

	if (!quota_charge(process, CAPOS_QUOTA_THREADS, 1))
		return STATUS_DETAIL(QUOTA_EXCEEDED, CAPOS_QUOTA_THREADS);
	status = pool_alloc(POOL_THREAD, process, &memory);
	if (status != CAPOS_STATUS_OK)
		goto no_thread;
	thread = memory;
	status = thread_entity_create(process, thread, first_affinity(process, thread, plan));
	if (status != CAPOS_STATUS_OK)
		goto no_entity;
	*map = (struct map_request){ .space = &process->space,
				     .addr = plan->page_addr,
				     .bytes = plan->stack_bytes + PAGE_BYTES,
				     .prot = PROT_WRITE,
				     .prot_max = PROT_WRITE,
				     .pinned = true,
				     /* Where there is a page table already. */
				     .from = plan->stack_bytes != 0 ? process->image_base : 0,
				     .align = plan->stack_bytes != 0 ? CAPOS_STACK_ALIGN : 0 };
	status = space_map_begin(map);
	if (status != CAPOS_STATUS_OK)
		goto no_memory;
	thread->process = process;
	thread->passive = (plan->flags & CAPOS_THREAD_PASSIVE) != 0;
	thread->stack_bytes = (u32)plan->stack_bytes;
	thread->page_addr = (struct uaddr){ map->addr + plan->stack_bytes };
	object_init(&thread->object, CAPOS_IFACE_thread, process);
	waiter_init(&thread->wait, WAITER_THREAD, thread);
	affinity_note_pinned(thread, thread->own->set);
	waitlist_init(&thread->joiners);
	/* As after a call: the stack's end less a return address is aligned. */
	mach_thread_init(thread, plan->ip,
			 plan->stack_bytes != 0 ? (struct uaddr){ thread->page_addr.va - 8 } : plan->sp, plan->arg);
	thread->mach.frame.word[0] = thread->page_addr.va;
	thread->mach.frame.word[1] = thread->object.id;
	thread->mach.frame.word[3] = plan->arg2;
	ring_init(thread);
	*out = thread;
	return STATUS(OK);
no_memory:
	pool_uncharge(POOL_ENTITY, process);
	pool_free(POOL_ENTITY, thread->own);
no_entity:
	pool_uncharge(POOL_THREAD, process);
	pool_free(POOL_THREAD, thread);
no_thread:
	quota_uncharge(process, CAPOS_QUOTA_THREADS, 1);
	return call_status(status, CAPOS_QUOTA_MEMORY);
}

bool thread_create_step(struct thread *thread, struct map_request *map)
{
	if (!space_map_step(map))
		return false;
	if (map->status != CAPOS_STATUS_OK) {
		struct process *process = thread->process;

		pool_uncharge(POOL_ENTITY, process);
		pool_uncharge(POOL_THREAD, process);
		quota_uncharge(process, CAPOS_QUOTA_THREADS, 1);
		thread_free(thread);
		return true;
	}
	thread->page = phys_to_virt(map->last);
	thread->page->thread_id = thread->object.id;
	thread->page->sq_entries = CAPOS_SQ_ENTRIES;
	thread->page->cq_entries = CAPOS_CQ_ENTRIES;
	return true;
}

void *kernel_fpu_area(struct thread *thread)
{
	if (pool_alloc(POOL_FPU, thread->process, &thread->fpu_area) != CAPOS_STATUS_OK)
		return NULL;
	return thread->fpu_area;
}

/* Return what the thread is charged for, except its object. */
static void thread_uncharge(struct thread *thread)
{
	struct process *process = thread->process;

	pool_uncharge(POOL_ENTITY, process);
	if (thread->spare != NULL)
		pool_uncharge(POOL_ENTITY, process);
	if (thread->fpu_area != NULL)
		pool_uncharge(POOL_FPU, process);
	quota_uncharge(process, CAPOS_QUOTA_THREADS, 1);
}

void thread_free(struct thread *thread)
{
	mach_thread_fini(thread);
	if (thread->fpu_area != NULL)
		pool_free(POOL_FPU, thread->fpu_area);
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
		thread->exit_cause = (u8)cause;
		thread->exit_code = code;
	}
	spin_unlock(&thread->object.lock);
	atomic_fetch_or(&thread->attention, ATTENTION_KILL);
	if (waiter_kill(cpu, &thread->wait))
		return;
	/* Whatever gives it an entity meanwhile is followed by a full barrier before that CPU looks at the mark; this one looks before it
	 * leaves the kernel. */
	entity = shared_load_relaxed(&thread->entity);
	where = entity ? atomic_load_relaxed(&entity->cpu) : NULL;
	if (where != NULL && where != cpu && atomic_load_relaxed(&entity->owner) == OWNER_CURRENT)
		sched_request(cpu, where, REQUEST_RESCHEDULE);
	if (entity != NULL)
		context_release(cpu, entity);
}

static enum operation_progress unmap_step(struct cpu *cpu, struct thread *thread, struct operation *operation)
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

/* Its page and stack go. False: in an operation, which ends this phase. */
static bool unmap(struct thread *thread)
{
	struct operation *operation = &thread->operation;

	operation->mm.unmap = (struct unmap_request){
		.space = &thread->process->space,
		.addr = thread->page_addr.va - thread->stack_bytes,
		.bytes = thread->stack_bytes + PAGE_BYTES,
	};
	if (space_retire(&operation->mm.unmap))
		return true;
	operation->step = unmap_step;
	operation->result = STATUS(OK);
	operation->word_count = 0;
	operation->ring = false;
	atomic_fetch_or(&thread->attention, ATTENTION_OPERATION);
	return false;
}

/* What it was charged for is back before joiners are told. */
static void end(struct cpu *cpu, struct thread *thread)
{
	KASSERT(thread->serving == NULL && list_is_empty(&thread->served));
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
	sched_end_entity(thread->own);
	KASSERT(atomic_load_relaxed(&thread->own->owner) == OWNER_NONE && !waiter_is_armed(&thread->wait));
	spin_lock(&process->lock);
	ledger_thread_gone_locked(process, thread);
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

/* One phase. False: not done, or it goes on by itself. */
static bool exit_phase(struct cpu *cpu, struct thread *thread)
{
	switch ((enum exit_phase)thread->exit_phase) {
	case EXIT_RING:
		return ring_teardown_step(cpu, thread);
	case EXIT_SERVED:
		/* On whatever entity it has: those whose calls end here go on with their spare (lend.c). */
		return endpoint_thread_exit_step(cpu, thread);
	case EXIT_UNMAP:
		return unmap(thread);
	case EXIT_END:
		end(cpu, thread);
		return true;
	case EXIT_LEAVE:
		if (!thread_tell_many_joiners(cpu, thread))
			leave(cpu, thread);
		return false;
	}
	panic("exit phase %u", thread->exit_phase);
}

/* A thread that has no ring operations and serves nobody dies in one step. */
void thread_exit_step(struct cpu *cpu, struct thread *thread)
{
	bool short_way =
		list_is_empty(&thread->ring_ops) && thread->serving == NULL && list_is_empty(&thread->served);

	do {
		if (!exit_phase(cpu, thread))
			return;
		thread->exit_phase++;
	} while (short_way);
}
