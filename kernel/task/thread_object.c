/* SPDX-License-Identifier: MIT */
/*
 * Threads as objects: methods of thread and thread_spawner.
 *
 * The object of an exited thread stays, as the record that join and info read, until it is destroyed, its last capability
 * is released, or its process ends. Destroying the object of a live thread terminates it; the memory waits for its exit.
 */
#include "task_priv.h"

#include <kernel/affinity.h>
#include <kernel/context.h>
#include <kernel/cpu.h>
#include <kernel/debug.h>
#include <kernel/ipc.h>
#include <string.h>

/* Making the records of a thread takes at least this, and about as much again when a pool must grow for them. */
#define CREATE_PIECE 1400ul

static struct thread *thread_of(struct call *call)
{
	return container_of(call->cap.object, struct thread, object);
}

/* --- life of the object ------------------------------------------------------------------------------------------------ */

static bool thread_kill_step(struct object *object)
{
	struct thread *thread = container_of(object, struct thread, object);
	struct cpu *cpu = mach_this_cpu();
	bool ended, awaited;

	spin_lock(&object->lock);
	ended = thread->ended;
	thread->exited_before_end = thread->exited;
	awaited = !list_is_empty(&thread->joiners.waiters);
	spin_unlock(&object->lock);
	if (awaited && !waitlist_wake(cpu, &thread->joiners, object, STATUS(REVOKED), NULL, 0))
		return false;
	/* Does not wait for the exit: the thread itself may be the one that destroys its object. */
	if (!ended)
		thread_kill(cpu, thread, CAPOS_EXIT_KILLED, 0);
	return true;
}

static bool thread_sweep_step(struct object *object, u64 *pass)
{
	return waitlist_sweep(mach_this_cpu(), &container_of(object, struct thread, object)->joiners, object, pass);
}

static void free_now(struct reclaim_node *node)
{
	thread_free(container_of(node, struct thread, object.reclaim));
}

static void free_when_exited(struct reclaim_node *node)
{
	struct thread *thread = container_of(node, struct thread, object.reclaim);
	bool exited;

	spin_lock(&thread->object.lock);
	exited = thread->exited;
	spin_unlock(&thread->object.lock);
	reclaim_defer(node, exited ? free_now : free_when_exited);
}

/* The grace period of the object is that of the exit too, when that came first. */
static void thread_object_free(struct object *object)
{
	struct thread *thread = container_of(object, struct thread, object);

	if (thread->exited_before_end)
		thread_free(thread);
	else
		free_when_exited(&object->reclaim);
}

/* Exited and without capabilities: nothing to kill, one grant. */
static void reap(struct thread *thread)
{
	if (object_begin_destroy(&thread->object))
		while (!object_end_step(&thread->object))
			;
}

/* Called without the object's lock or with others: `exited` is read as the atomic word it is. */
static void thread_unreferenced(struct object *object)
{
	struct thread *thread = container_of(object, struct thread, object);

	if (shared_load_acquire(&thread->exited)) /* pairs with the unlock in thread_object_exited */
		reap(thread);
}

static bool tell_joiners(struct cpu *cpu, struct thread *thread)
{
	const u64 words[2] = { thread->exit_code, thread->exit_cause };

	return waitlist_wake(cpu, &thread->joiners, &thread->object, STATUS(OK), words, 2);
}

bool thread_tell_many_joiners(struct cpu *cpu, struct thread *thread)
{
	bool many;

	/* Those who come after this look are told with the others: thread_object_exited. */
	if (likely(shared_load_relaxed(&thread->joiners.count) <= WAITLIST_BATCH))
		return false;
	spin_lock(&thread->object.lock);
	many = thread->joiners.count > WAITLIST_BATCH;
	if (many)
		thread->ended = true;
	spin_unlock(&thread->object.lock);
	if (many)
		(void)!tell_joiners(cpu, thread);
	return many;
}

void thread_object_exited(struct cpu *cpu, struct thread *thread)
{
	struct grant *fault_grant;

	spin_lock(&thread->object.lock);
	thread->ended = thread->exited = true;
	fault_grant = thread->fault_grant;
	thread->fault_grant = NULL;
	thread->fault_endpoint = NULL;
	spin_unlock(&thread->object.lock);
	if (fault_grant != NULL)
		grant_put(fault_grant);
	context_thread_gone(cpu, thread);
	/* A batch, and those who came in this step. From here on the object may go with its last handle. */
	while (!tell_joiners(cpu, thread))
		;
	if (object_is_alive(&thread->object) && object_is_unreferenced(&thread->object))
		reap(thread);
}

/* What thread_create made, but for the object. The space may be loaded. */
static void give_back(struct thread *thread)
{
	struct process *process = thread->process;

	space_drop(&process->space, thread->page_addr.va - thread->stack_bytes);
	pool_uncharge(POOL_ENTITY, process);
	quota_uncharge(process, CAPOS_QUOTA_THREADS, 1);
}

void thread_undo_create(struct thread *thread)
{
	give_back(thread);
	pool_uncharge(POOL_THREAD, thread->process);
	thread_free(thread);
}

void thread_abandon(struct thread *thread)
{
	give_back(thread);
	spin_lock(&thread->object.lock);
	thread->ended = thread->exited = true;
	thread->exit_cause = CAPOS_EXIT_START_FAILED;
	spin_unlock(&thread->object.lock);
	context_thread_gone(mach_this_cpu(), thread); /* who found it may have bound it before that */
	/* At once: who waits for a grace period in an operation waits for itself. A new object has one grant. */
	reap(thread);
}

/* --- thread ---------------------------------------------------------------------------------------------------------------- */

u64 method_thread_exit(struct call *call)
{
	if (thread_of(call) != call->thread)
		return IRESULT(CAPOS_THREAD_NOT_SELF);
	if (call->word[0] > ~0u)
		return STATUS_DETAIL(BAD_ARGUMENT, 0);
	thread_kill(call->cpu, call->thread, CAPOS_EXIT_NORMAL, (u32)call->word[0]);
	return STATUS(OK);
}

u64 method_thread_terminate(struct call *call)
{
	thread_kill(call->cpu, thread_of(call), CAPOS_EXIT_KILLED, 0);
	return STATUS(OK);
}

u64 method_thread_join(struct call *call)
{
	struct thread *thread = thread_of(call);
	u64 result = STATUS(OK);

	spin_lock(&thread->object.lock);
	if (thread->ended) {
		call->word[0] = thread->exit_code;
		call->word[1] = thread->exit_cause;
	} else {
		result = waitlist_enter(&thread->joiners, call, CAPOS_WAIT_JOIN);
	}
	spin_unlock(&thread->object.lock);
	return result;
}

static u32 thread_state(struct thread *thread)
{
	struct entity *entity = thread->entity;

	if (thread->ended || (atomic_load_relaxed(&thread->attention) & ATTENTION_KILL) != 0)
		return CAPOS_THREAD_DYING;
	if (waiter_is_armed(&thread->wait))
		return thread->wait.wait == CAPOS_WAIT_FAULT ? CAPOS_THREAD_FAULTED : CAPOS_THREAD_BLOCKED;
	if (entity != NULL && atomic_load_relaxed(&entity->owner) == OWNER_CURRENT)
		return CAPOS_THREAD_RUNNING;
	return context_throttles(thread) ? CAPOS_THREAD_THROTTLED : CAPOS_THREAD_READY;
}

/* A snapshot of what others change meanwhile: for display. */
void thread_fill_info(struct thread *thread, struct capos_thread_info *out)
{
	/* What it runs on: a passive thread's is its caller's. */
	const struct entity *entity = shared_load_relaxed(&thread->entity);
	const struct cpu *last = atomic_load_relaxed(&(entity != NULL ? entity : thread->own)->cpu);

	memset(out, 0, sizeof(*out));
	out->id = thread->object.id;
	out->process_id = thread->process->object.id;
	out->state = thread_state(thread);
	out->wait = out->state == CAPOS_THREAD_BLOCKED || out->state == CAPOS_THREAD_FAULTED ? thread->wait.wait
											     : (u32)CAPOS_WAIT_NONE;
	out->last_cpu = last != NULL ? last->id : 0;
	out->pinned_cpu = affinity_only(shared_load_relaxed(&thread->own->affinity));
	out->runtime_ns = thread->account.runtime_ns;
	out->context_switches = thread->account.switches;
	out->preemptions = thread->account.preemptions;
	out->voluntary_blocks = thread->account.blocks;
	for (u32 kind = 0; kind < CAPOS_MIGRATION_KINDS; kind++)
		out->migrations += thread->account.migrations[kind];
	out->runnable_ns = thread->account.runnable_ns;
	out->weight = sched_get_params(thread).weight;
	out->flags = thread->passive ? CAPOS_THREAD_PASSIVE : 0;
}

bool kernel_read_user_code(struct thread *thread, u64 ip, u8 *buf, size_t n)
{
	return space_copy_in(&thread->process->space, buf, (struct uaddr){ ip }, n);
}

u64 method_thread_info(struct call *call)
{
	struct capos_thread_info info;

	thread_fill_info(thread_of(call), &info);
	call_answer(call, &info, sizeof(info));
	return STATUS(OK);
}

u64 method_thread_set_fault_endpoint(struct call *call)
{
	struct thread *thread = thread_of(call);
	struct cap cap = { 0 };
	struct grant *former;
	bool ended;

	if (call->word[0] != 0) {
		u16 status = cap_lookup_typed(call->thread->process, call->word[0], CAPOS_IFACE_endpoint,
					      CAPOS_RIGHT_CALL, &cap);

		if (status != CAPOS_STATUS_OK)
			return CAPOS_RESULT(status, 0, 1);
		if (!grant_get(cap.grant))
			return STATUS_DETAIL(REVOKED, 1);
	}
	spin_lock(&thread->object.lock);
	ended = thread->ended;
	former = ended ? cap.grant : thread->fault_grant;
	if (!ended) {
		thread->fault_endpoint =
			cap.object != NULL ? container_of(cap.object, struct endpoint, object) : NULL;
		thread->fault_grant = cap.grant;
		thread->fault_badge = cap.badge;
	}
	spin_unlock(&thread->object.lock);
	if (former != NULL)
		grant_put(former);
	return ended ? STATUS(DYING) : STATUS(OK);
}

bool cpu_is_usable(u64 id)
{
	struct cpu *cpu;

	if (id == CAPOS_CPU_ANY)
		return true;
	cpu = id < cpu_count() ? cpu_find((u32)id) : NULL;
	return cpu != NULL && atomic_load_acquire(&cpu->online) != 0; /* pairs with kernel_cpu_boot */
}

/* Only its own, for one that stays on a CPU. */
static bool process_allows_cpu(const struct process *process, u32 cpu)
{
	return !process->one_cpu || cpu == process->cpu;
}

/* A CPU that is asked to send a thread away mostly does so within this; else we look again and again, and sleep between. */
#define LEAVE_SPIN_NS 20000ul
#define LEAVE_SLEEP_NS 100000ul

static void in_no_queue(struct waiter *waiter)
{
	(void)waiter;
}

static const struct waiter_ops sleep_ops = { .unlink = in_no_queue };

/*
 * The caller waits until a thread has left the CPU that it may not be on. args: its id; the grant by which it or its process was named,
 * with a reference; when we began. No lock is held between steps, and in their windows this CPU answers others: two that send each
 * other's thread away do not wait for each other.
 */
static enum operation_progress leave_step(struct cpu *cpu, struct thread *caller, struct operation *operation)
{
	const struct thread *thread = registry_find_thread(operation->args[0]);
	struct grant *grant = (struct grant *)(uintptr_t)operation->args[1];
	u64 now_ns = mach_clock().ns;

	operation->result = STATUS(OK);
	if (grant_is_dead(grant)) {
		operation->result = STATUS(REVOKED);
	} else if ((atomic_load_relaxed(&caller->attention) & ATTENTION_KILL) != 0) {
		operation->result = STATUS(CANCELLED);
	} else if (thread != NULL && !sched_has_left(thread)) {
		if (now_ns - operation->args[2] < LEAVE_SPIN_NS)
			return OPERATION_AGAIN;
		waiter_prepare(cpu, &caller->wait);
		caller->wait.object = NULL;
		caller->wait.grant = NULL;
		waiter_arm(cpu, &caller->wait, CAPOS_WAIT_KERNEL, &sleep_ops,
			   (struct instant){ now_ns + LEAVE_SLEEP_NS });
		return OPERATION_WAIT;
	}
	grant_put(grant);
	return OPERATION_DONE;
}

u64 thread_wait_until_left(struct call *call, const struct thread *thread, struct grant *grant, bool in_effect)
{
	u64 *args = call->thread->operation.args;

	if (likely(in_effect))
		return STATUS(OK);
	if (!grant_get(grant))
		return STATUS(REVOKED);
	args[0] = thread->object.id;
	args[1] = (u64)(uintptr_t)grant;
	args[2] = mach_clock().ns;
	return call_start_operation(call, leave_step);
}

/* To a set that has an online CPU, or, NULL, to one CPU. */
static u64 change_affinity(struct call *call, struct thread *thread, const struct capos_cpu_set *set, u32 id)
{
	bool fits, in_effect = true;

	spin_lock(&thread->object.lock);
	fits = affinity_fits_context(shared_load_relaxed(&thread->own), set, affinity_of_cpu(id));
	if (fits)
		in_effect = sched_set_affinity(call->cpu, thread,
					       set != NULL ? affinity_of_set(thread, set) : affinity_of_cpu(id));
	spin_unlock(&thread->object.lock);
	if (!fits)
		return IRESULT(CAPOS_THREAD_CPU_MASK_MISMATCH);
	return thread_wait_until_left(call, thread, call->cap.grant, in_effect);
}

u64 method_thread_set_cpu(struct call *call)
{
	struct thread *thread = thread_of(call);

	if (!cpu_is_usable(call->word[0]))
		return IRESULT(CAPOS_THREAD_BAD_CPU);
	if (!process_allows_cpu(thread->process, (u32)call->word[0]))
		return IRESULT(CAPOS_THREAD_ONE_CPU);
	return change_affinity(call, thread, NULL, (u32)call->word[0]);
}

/* A canonical set as affinity of a thread of this process; 0: it may be. */
static u16 refuse_set(const struct process *process, const struct capos_cpu_set *set)
{
	u32 last, count = affinity_count(set, &last);

	if (count == 0)
		return CAPOS_THREAD_BAD_CPU;
	return process_allows_cpu(process, count == 1 ? last : CAPOS_CPU_ANY) ? 0 : CAPOS_THREAD_ONE_CPU;
}

u64 method_thread_set_affinity(struct call *call)
{
	const struct capos_cpu_set *set = (const struct capos_cpu_set *)call->in;
	struct thread *thread = thread_of(call);
	u16 refused;

	if (!affinity_set_is_canonical(set, call->in_bytes))
		return IRESULT(CAPOS_THREAD_BAD_SET);
	refused = refuse_set(thread->process, set);
	if (refused != 0)
		return IRESULT(refused);
	return change_affinity(call, thread, set, 0);
}

u64 method_thread_affinity(struct call *call)
{
	affinity_answer(call, shared_load_relaxed(&thread_of(call)->own->set));
	return STATUS(OK);
}

/* --- thread_spawner ---------------------------------------------------------------------------------------------------- */

static bool is_user_address(const struct process *process, u64 addr)
{
	u64 base = process->space.mach.user_base;

	return addr >= base && addr - base < MACH_USER_BYTES;
}

/* A made thread becomes known and runs. On success the words are the call's. */
static u64 thread_begin(struct cpu *cpu, struct thread *thread, u64 word[3])
{
	struct process *process = thread->process;
	u64 handle;
	u16 status = object_publish(&thread->object);

	if (status != CAPOS_STATUS_OK) {
		thread_undo_create(thread);
		return call_status(status, CAPOS_QUOTA_MEMORY);
	}
	status = cap_insert_root(process, &thread->object, CHILD_RIGHTS, &handle);
	if (status != CAPOS_STATUS_OK) {
		u32 detail = cap_quota_detail(process, status);

		thread_abandon(thread);
		return CAPOS_RESULT(status, 0, detail);
	}
	registry_add_thread(thread);
	thread->mach.frame.word[2] = handle;
	word[0] = handle;
	word[1] = thread->object.id;
	word[2] = thread->page_addr.va;
	if (!thread_start(cpu, thread)) {
		registry_remove_thread(thread);
		thread_abandon(thread);
		return STATUS(DYING);
	}
	return STATUS(OK);
}

/* When its memory is there, or could not be given. */
static u64 thread_made(struct cpu *cpu, struct thread *thread, const struct map_request *map, u64 word[3])
{
	if (map->status != CAPOS_STATUS_OK)
		return call_status(map->status, CAPOS_QUOTA_MEMORY);
	return thread_begin(cpu, thread, word);
}

static enum operation_progress create_step(struct cpu *cpu, struct thread *thread, struct operation *operation)
{
	struct thread *made = (struct thread *)(uintptr_t)operation->args[0];
	struct instant begin = mach_clock();

	(void)thread;
	/* args[1]: the frames are there. */
	if (operation->args[1] == 0) {
		operation->args[1] = thread_create_step(made, &operation->mm.map);
		if (operation->args[1] == 0 || !step_has_time(begin, STEP_PIECES))
			return OPERATION_AGAIN;
	}
	operation->result = thread_made(cpu, made, &operation->mm.map, operation->word);
	operation->word_count = CAPOS_RESULT_STATUS(operation->result) == CAPOS_STATUS_OK ? 3 : 0;
	return OPERATION_DONE;
}

/* Index of the word that is wrong, or -1. */
static int bad_create_word(const struct process *process, const u64 word[6])
{
	if (!is_user_address(process, word[0]))
		return 0;
	/* The stack grows down from it: it may be the first address above. */
	if (word[5] == 0 && (!is_user_address(process, word[1] - 1) || word[1] % 8 != 0))
		return 1;
	/* Anywhere is where the process stays. */
	if ((word[4] & CAPOS_THREAD_CPU_SET) == 0 &&
	    (!cpu_is_usable(word[3]) || (word[3] != CAPOS_CPU_ANY && !process_allows_cpu(process, (u32)word[3]))))
		return 3;
	if ((word[4] & ~(u64)(CAPOS_THREAD_PASSIVE | CAPOS_THREAD_CPU_SET)) != 0)
		return 4;
	return word[5] % PAGE_BYTES != 0 || word[5] > CAPOS_STACK_BYTES_MAX ? 5 : -1;
}

/* The words are good, and so is the set, if there is one. */
static inline u64 create(struct call *call, const struct capos_cpu_set *cpus)
{
	struct process *process = call->thread->process;
	struct thread_plan plan = {
		.ip = { call->word[0] },
		.sp = { call->word[1] },
		.arg = call->word[2],
		.arg2 = call->word[5] != 0 ? call->word[1] : 0,
		.cpu = (u32)call->word[3],
		.flags = (u32)call->word[4],
		.cpus = cpus,
		.page_addr = 0,
		.stack_bytes = call->word[5],
	};
	struct map_request *map = &call->thread->operation.mm.map; /* no operation of the caller is in progress */
	struct thread *thread;
	struct instant begin = mach_clock();
	bool mapped;
	u64 result;

	result = thread_create(process, &plan, map, &thread);
	if (result != STATUS(OK))
		return result;
	/* What had to be made for it decides how much more fits into this step. */
	mapped = step_has_time(begin, CREATE_PIECE) && thread_create_step(thread, map);
	if (mapped && step_has_time(begin, 2 * CREATE_PIECE))
		return thread_made(call->cpu, thread, map, call->word);
	(void)call_start_operation(call, create_step);
	call->thread->operation.args[0] = (u64)(uintptr_t)thread;
	call->thread->operation.args[1] = mapped;
	return CALL_OPERATION;
}

static __attribute__((noinline)) u64 create_within(struct call *call)
{
	struct process *process = call->thread->process;
	struct capos_cpu_set cpus = { .byte_count = 0 };
	struct uaddr addr = { call->word[3] };
	u16 refused;

	if (!space_copy_in(&process->space, (u8 *)&cpus, addr, sizeof(cpus.byte_count)))
		return STATUS_DETAIL(BAD_ADDRESS, 3);
	if (cpus.byte_count > CAPOS_CPU_SET_BYTES)
		return IRESULT(CAPOS_THREAD_BAD_SET);
	addr.va += sizeof(cpus.byte_count);
	if (!space_copy_in(&process->space, cpus.byte, addr, cpus.byte_count))
		return STATUS_DETAIL(BAD_ADDRESS, 3);
	if (!affinity_set_is_canonical(&cpus, sizeof(cpus.byte_count) + cpus.byte_count))
		return IRESULT(CAPOS_THREAD_BAD_SET);
	refused = refuse_set(process, &cpus);
	if (refused == CAPOS_THREAD_ONE_CPU)
		return STATUS_DETAIL(BAD_ARGUMENT, 3);
	return refused != 0 ? IRESULT(refused) : create(call, &cpus);
}

u64 method_thread_spawner_create(struct call *call)
{
	int bad = bad_create_word(call->thread->process, call->word);

	if (bad >= 0)
		return STATUS_DETAIL(BAD_ARGUMENT, (u32)bad);
	return unlikely((call->word[4] & CAPOS_THREAD_CPU_SET) != 0) ? create_within(call) : create(call, NULL);
}

u64 method_thread_spawner_self(struct call *call)
{
	struct process *process = call->thread->process;
	u64 handle;
	u16 status = cap_insert_root(process, &call->thread->object, CHILD_RIGHTS, &handle);

	if (status != CAPOS_STATUS_OK)
		return CAPOS_RESULT(status, 0, cap_quota_detail(process, status));
	call->word[0] = handle;
	return STATUS(OK);
}

const struct object_type type_thread =
	OBJECT_TYPE(thread, .kill_step = thread_kill_step, .sweep_step = thread_sweep_step,
		    .free = thread_object_free, .pool = POOL_THREAD + 1, .unreferenced = thread_unreferenced);
const struct object_type type_thread_spawner = OBJECT_TYPE(thread_spawner, .free = NULL);
