/* SPDX-License-Identifier: MIT */
/*
 * Processes: birth, kill, account, and the methods of interface process.
 *
 *   building --first thread starts--> alive --killed, or last thread gone--> dying --teardown--> dead
 *
 *  PR1  The process object is charged to the parent. It stays after death, as the record that wait and info read, until it
 *       is destroyed, its last capability is released, or the parent ends: whichever comes first. Its memory is freed when
 *       both the object and the process are dead.
 *  PR2  Whoever sets `dying` does not tear down; teardown starts once (teardown_started), in process_kill or when the last
 *       thread has gone. A process under construction is torn down by its spawner.
 */
#include "task_priv.h"

#include <kernel/context.h>
#include <kernel/cpu.h>
#include <kernel/debug.h>
#include <string.h>

#define KILLS_PER_STEP 4u

/* --- birth --------------------------------------------------------------------------------------------------------- */

/* What a child takes from its parent's quota: its limits, and itself as a process. */
static u64 carved(const u64 limits[QUOTA_KINDS], u32 kind)
{
	return limits[kind] + (kind == CAPOS_QUOTA_PROCESSES ? 1 : 0);
}

static u16 carve(struct process *parent, const u64 limits[QUOTA_KINDS], u32 *detail)
{
	for (u32 kind = CAPOS_QUOTA_MEMORY; kind < QUOTA_KINDS; kind++) {
		if (limits[kind] < 1ull << 60 && quota_charge(parent, (enum capos_quota)kind, carved(limits, kind)))
			continue;
		*detail = kind;
		while (--kind >= CAPOS_QUOTA_MEMORY)
			quota_uncharge(parent, (enum capos_quota)kind, carved(limits, kind));
		return CAPOS_STATUS_QUOTA_EXCEEDED;
	}
	return CAPOS_STATUS_OK;
}

static void process_init(struct process *process, struct process *parent, const char *name,
			 const u64 limits[QUOTA_KINDS])
{
	object_init(&process->object, CAPOS_IFACE_process, parent);
	spinlock_init(&process->lock, RANK_PROCESS, process->object.id);
	for (u32 kind = CAPOS_QUOTA_MEMORY; kind < QUOTA_KINDS; kind++)
		process->quota.limit[kind] = limits[kind];
	list_init(&process->threads);
	list_init(&process->objects);
	waitlist_init(&process->waiters);
	list_init(&process->grants);
	memcpy(process->name, name, strnlen(name, sizeof(process->name) - 1));
	process->parent = parent;
	atomic_store_relaxed(&process->state, PROCESS_BUILDING);
}

u16 process_create_detail(struct process *parent, const char *name, const u64 limits[QUOTA_KINDS],
			  struct process **out, u32 *detail)
{
	struct process *process;
	void *memory;
	u16 status = pool_alloc(POOL_PROCESS, parent, &memory);

	*detail = status == CAPOS_STATUS_QUOTA_EXCEEDED ? CAPOS_QUOTA_MEMORY : 0;
	if (status != CAPOS_STATUS_OK)
		return status;
	process = memory;
	status = carve(parent, limits, detail);
	if (status != CAPOS_STATUS_OK)
		goto no_quota;
	process_init(process, parent, name, limits);
	status = space_create(process, &process->space);
	if (status != CAPOS_STATUS_OK)
		goto no_space;
	status = cap_table_init(process);
	if (status != CAPOS_STATUS_OK)
		goto no_table;
	if (parent != NULL)
		atomic_fetch_add(&parent->children, 1u);
	*out = process;
	return CAPOS_STATUS_OK;
no_table:
	while (!space_destroy_step(&process->space)) /* empty: a step or two */
		;
no_space:
	*detail = status == CAPOS_STATUS_QUOTA_EXCEEDED ? CAPOS_QUOTA_MEMORY : 0;
	for (u32 kind = CAPOS_QUOTA_MEMORY; kind < QUOTA_KINDS; kind++)
		quota_uncharge(parent, (enum capos_quota)kind, carved(limits, kind));
no_quota:
	pool_uncharge(POOL_PROCESS, parent);
	pool_free(POOL_PROCESS, process);
	return status;
}

u16 process_create(struct process *parent, const char *name, const u64 limits[QUOTA_KINDS], struct process **out)
{
	u32 detail;

	return process_create_detail(parent, name, limits, out, &detail);
}

/* --- kill ------------------------------------------------------------------------------------------------------------ */

/*
 * The next thread to mark, or NULL. No thread is added to a dying process, so that as many turns of the list as it had
 * threads then bring each to the front that is still there.
 */
static struct thread *next_to_kill(struct process *process)
{
	struct list_node *node = NULL;

	spin_lock(&process->lock);
	if (process->kills_left > 0)
		node = list_first(&process->threads);
	if (node != NULL) {
		process->kills_left--;
		list_remove(node);
		list_push_back(&process->threads, node);
	}
	spin_unlock(&process->lock);
	return node != NULL ? LIST_ENTRY(node, struct thread, process_link) : NULL;
}

bool process_kill_threads(struct cpu *cpu, struct process *process)
{
	for (u32 i = 0; i < KILLS_PER_STEP; i++) {
		struct thread *thread = next_to_kill(process);

		if (thread == NULL)
			return true;
		/* Without the lock: ending a wait may end objects. The thread's memory outlives this kernel entry. */
		if ((atomic_load_relaxed(&thread->attention) & ATTENTION_KILL) == 0)
			thread_kill(cpu, thread, process->exit_cause, process->exit_code);
	}
	return false;
}

void process_kill(struct cpu *cpu, struct process *process, u32 cause, u32 code)
{
	bool start;

	spin_lock(&process->lock);
	if (atomic_load_relaxed(&process->state) >= PROCESS_DYING) {
		spin_unlock(&process->lock);
		return;
	}
	process->exit_cause = cause;
	process->exit_code = code;
	/* Without threads it is either not started, or its last one is about to come to process_last_thread_gone. */
	start = process->thread_count > 0 && !process->teardown_started;
	if (start)
		process->teardown_started = true;
	process->kills_left = process->thread_count;
	atomic_store_release(&process->state, PROCESS_DYING); /* pairs with the loads of those who would add to it */
	spin_unlock(&process->lock);
	(void)process_kill_threads(cpu, process);
	if (start)
		process_start_teardown(cpu, process);
}

void process_last_thread_gone(struct cpu *cpu, struct process *process)
{
	bool start;

	spin_lock(&process->lock);
	/* Another thread may have been started meanwhile; then its end comes here again. */
	start = process->thread_count == 0 && !process->teardown_started;
	if (start) {
		process->teardown_started = true;
		if (process->exit_cause == CAPOS_EXIT_NONE)
			process->exit_cause = CAPOS_EXIT_NORMAL;
		atomic_store_release(&process->state, PROCESS_DYING); /* as in process_kill */
	}
	spin_unlock(&process->lock);
	if (start)
		process_start_teardown(cpu, process);
}

static const char *fault_name(u32 cause)
{
	static const char *const names[] = {
		[FAULT_PAGE] = "page fault",
		[FAULT_PRIVILEGE] = "privileged instruction",
		[FAULT_DIVIDE] = "divide error",
		[FAULT_OPCODE] = "undefined instruction",
		[FAULT_ALIGNMENT] = "misaligned access",
		[FAULT_BREAKPOINT] = "breakpoint",
		[FAULT_FPU] = "floating-point exception",
		[FAULT_STACK] = "stack fault",
		[FAULT_NO_MEMORY] = "no memory",
		[FAULT_OTHER] = "exception",
	};

	return cause < ARRAY_COUNT(names) && names[cause] != NULL ? names[cause] : "unknown fault";
}

void process_report_fault(struct process *process)
{
	klog(LOG_ERROR, "fault: process %s (%llu) thread %llu: %s at address 0x%llx ip 0x%llx (image+0x%llx)",
	     process->name, (unsigned long long)process->object.id, (unsigned long long)process->fault_thread_id,
	     fault_name(process->fault_cause), (unsigned long long)process->fault_addr,
	     (unsigned long long)process->fault_ip, (unsigned long long)(process->fault_ip - process->image_base));
}

void process_fault(struct cpu *cpu, struct thread *thread, const struct fault *fault)
{
	struct process *process = thread->process;
	bool first;

	spin_lock(&process->lock);
	first = atomic_load_relaxed(&process->state) < PROCESS_DYING;
	if (first) {
		process->fault_cause = fault->cause;
		process->fault_addr = fault->addr;
		process->fault_ip = fault->ip;
		process->fault_thread_id = thread->object.id;
	}
	spin_unlock(&process->lock);
	process_kill(cpu, process, CAPOS_EXIT_FAULT, fault->cause);
	/* Whatever the process's state: this thread does not go on. */
	thread_kill(cpu, thread, CAPOS_EXIT_FAULT, fault->cause);
}

/* --- records ------------------------------------------------------------------------------------------------ */

void process_fill_info(struct process *process, struct capos_process_info *out)
{
	struct session *session = process->session;
	struct ledger_sums sums;

	memset(out, 0, sizeof(*out));
	out->id = process->object.id;
	out->parent_id = process->parent != NULL ? process->parent->object.id : 0;
	out->session_id = session != NULL ? session->session_id : 0;
	out->account_id = session != NULL ? session->account_id : 0;
	memcpy(out->name, process->name, sizeof(out->name));
	out->state = atomic_load_acquire(&process->state);
	ledger_read(&process->ledger, &sums);
	out->runtime_ns = sums.runtime_ns;
	out->context_switches = sums.switches;
	out->threads = process->thread_count;
	out->slots_used = (u32)atomic_load_relaxed(&process->quota.used[CAPOS_QUOTA_SLOTS]);
	out->slots_limit = (u32)process->quota.limit[CAPOS_QUOTA_SLOTS];
	out->memory_used = atomic_load_relaxed(&process->quota.used[CAPOS_QUOTA_MEMORY]);
	out->memory_limit = process->quota.limit[CAPOS_QUOTA_MEMORY];
}

/* --- methods ----------------------------------------------------------------------------------------------------------- */

static void exit_words(const struct process *process, u64 words[5])
{
	words[0] = process->exit_cause;
	words[1] = process->exit_code;
	words[2] = process->fault_cause;
	words[3] = process->fault_addr;
	words[4] = process->fault_ip;
}

bool process_tell_waiters(struct cpu *cpu, struct process *process)
{
	u64 words[5];

	exit_words(process, words);
	return waitlist_wake(cpu, &process->waiters, &process->object, STATUS(OK), words, 5);
}

u64 method_process_wait(struct call *call)
{
	struct process *process = container_of(call->cap.object, struct process, object);
	u64 result = STATUS(OK);

	spin_lock(&process->object.lock);
	if (atomic_load_acquire(&process->state) == PROCESS_DEAD) /* pairs with the store in teardown */
		exit_words(process, call->word);
	else
		result = waitlist_enter(&process->waiters, call, CAPOS_WAIT_PROCESS);
	spin_unlock(&process->object.lock);
	return result;
}

/* The sums of a process with many threads take several steps. */
static enum operation_progress info_step(struct cpu *cpu, struct thread *thread, struct operation *operation)
{
	struct process *process = (struct process *)(uintptr_t)operation->args[0];
	struct grant *grant = (struct grant *)(uintptr_t)operation->args[1];
	u32 left = (u32)operation->args[2];
	struct capos_process_info info;

	(void)cpu;
	if (grant_is_dead(grant)) {
		operation->result = STATUS(REVOKED);
	} else if (!(atomic_load_relaxed(&thread->attention) & ATTENTION_KILL) && !ledger_pass_step(process, &left)) {
		operation->args[2] = left;
		return OPERATION_AGAIN;
	} else {
		process_fill_info(process, &info);
		operation_give_bytes(thread, &info, sizeof(info));
		operation->word[0] = sizeof(info);
		operation->word_count = 1;
	}
	grant_put(grant);
	return OPERATION_DONE;
}

u64 method_process_info(struct call *call)
{
	struct process *process = container_of(call->cap.object, struct process, object);
	u32 left = ledger_pass_begin(process);
	struct capos_process_info info;

	if (!ledger_pass_step(process, &left)) {
		if (!grant_get(call->cap.grant))
			return STATUS(REVOKED);
		(void)call_start_operation(call, info_step);
		call->thread->operation.args[0] = (u64)(uintptr_t)process;
		call->thread->operation.args[1] = (u64)(uintptr_t)call->cap.grant;
		call->thread->operation.args[2] = left;
		return CALL_OPERATION;
	}
	process_fill_info(process, &info);
	call_answer(call, &info, sizeof(info));
	return STATUS(OK);
}

u64 method_process_kill(struct call *call)
{
	struct process *process = container_of(call->cap.object, struct process, object);

	if (call->word[0] > ~0u)
		return STATUS_DETAIL(BAD_ARGUMENT, 0);
	process_kill(call->cpu, process, CAPOS_EXIT_KILLED, (u32)call->word[0]);
	if (process == call->thread->process)
		thread_kill(call->cpu, call->thread, CAPOS_EXIT_KILLED, (u32)call->word[0]);
	return STATUS(OK);
}

u64 method_process_bind_context(struct call *call)
{
	struct process *process = container_of(call->cap.object, struct process, object);
	struct thread *thread = registry_find_thread(call->word[1]);
	struct cap cap;
	u16 status = cap_lookup_typed(call->thread->process, call->word[0], CAPOS_IFACE_scheduling_context,
				      CAPOS_RIGHT_CONTROL, &cap);

	if (status != CAPOS_STATUS_OK)
		return CAPOS_RESULT(status, 0, 1);
	if (thread != NULL && thread->process != process)
		thread = NULL;
	return context_bind_wait(call, &cap, thread, call->cap.grant, context_bind_through(call->cpu, &cap, thread));
}

/* --- the object ---------------------------------------------------------------------------------------------------------- */

/* Does not wait for the process: a thread of it may be the one that destroys it. Its memory waits (PR1). */
static bool process_kill_step(struct object *object)
{
	struct process *process = container_of(object, struct process, object);
	struct process *parent = object->owner;
	bool orphan = parent != NULL && atomic_load_acquire(&parent->state) >= PROCESS_DYING;

	process_kill(mach_this_cpu(), process, orphan ? CAPOS_EXIT_CREATOR_GONE : CAPOS_EXIT_KILLED, 0);
	return waitlist_wake(mach_this_cpu(), &process->waiters, object, STATUS(REVOKED), NULL, 0);
}

static bool process_sweep_step(struct object *object, u64 *pass)
{
	return waitlist_sweep(mach_this_cpu(), &container_of(object, struct process, object)->waiters, object, pass);
}

static void free_now(struct reclaim_node *node)
{
	struct process *process = container_of(node, struct process, object.reclaim);

	session_put(process->session);
	pool_free(POOL_PROCESS, process);
}

/* After a grace period of the object. When the teardown is over too, one more: it may just have been the last step. */
static void free_when_settled(struct reclaim_node *node)
{
	struct process *process = container_of(node, struct process, object.reclaim);

	/* Pairs with the stores at the end of teardown. */
	reclaim_defer(node, atomic_load_acquire(&process->settled) != 0 ? free_now : free_when_settled);
}

static void process_free(struct object *object)
{
	free_when_settled(&object->reclaim);
}

void process_unreferenced(struct object *object)
{
	struct process *process = container_of(object, struct process, object);

	/* Dead and without capabilities: nothing to kill, one grant. Pairs with the store in teardown. */
	if (atomic_load_acquire(&process->state) == PROCESS_DEAD && object_begin_destroy(object))
		while (!object_end_step(object))
			;
}

const struct object_type type_process =
	OBJECT_TYPE(process, .kill_step = process_kill_step, .sweep_step = process_sweep_step, .free = process_free,
		    .pool = POOL_PROCESS + 1, .unreferenced = process_unreferenced);
