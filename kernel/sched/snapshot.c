/* SPDX-License-Identifier: MIT */
/*
 * Snapshots: records of what runs, by rising id, each written once, into the caller's message area or a memory object.
 *
 *  SN1  A record of a thread or a CPU is consistent in itself, though its owner goes on meanwhile and knows nothing of readers:
 *       what is read is kept only if nothing that belongs together changed until it was read (AC5 in account.c), else it is read
 *       again. Nobody waits for anybody. Of a thread that does not run nothing changes while it is not selected: records of such
 *       threads are read first, then the clock, then whether one was selected meanwhile; all others are true at that instant. But
 *       whether one waits or is ready, which nobody counts, may have changed since it was read.
 *  SN2  There is no instant that holds for the records of a snapshot: each has its own time, a page of them at most the same.
 *  SN3  Sums of processes, sessions and accounts are ledgers: the threads that belong to them are folded first, a few in a step.
 */
#include <kernel/affinity.h>
#include <kernel/context.h>
#include <kernel/ledger.h>
#include <kernel/process.h>
#include <kernel/state.h>
#include <string.h>

#include "sched_priv.h"
#include "snapshot.h"

/* A page of records, about 75 instructions each: the longest step here, 2,900 in all (tools/bench-irq-off). */
#define THREADS_PER_PIECE 32u

/* In the order of the text: a later load is not done before an earlier one. Pairs with atomic_order where accounts are written. */
#define LOAD(x) shared_load_acquire(&(x))

/* --- threads ------------------------------------------------------------------------------------------------------------ */

/* AC5: what the CPU has charged, up to this instant; if account_ns is the same later, nothing was charged between. */
static inline u64 charged_up_to(const struct cpu *cpu)
{
	return LOAD(cpu->busy_ns) + LOAD(cpu->idle_ns) + LOAD(cpu->irq_ns) + cpu->up_ns;
}

/* What does not depend on whether it runs. Each field is stored as soon as it is read: that is what keeps a record cheap. */
static inline void fill_rest(const struct thread *thread, const struct entity *own, struct capos_thread_record *out)
{
	const struct cpu_account *account = &thread->account;

	out->runnable_accumulated_ns = LOAD(account->runnable_ns);
	__builtin_memcpy(out->migrations, account->migrations, sizeof(out->migrations));
	out->id = thread->object.id;
	out->process_id = thread->process->object.id;
	out->virtual_runtime = LOAD(own->vruntime);
	out->virtual_deadline = LOAD(own->deadline);
	/* Pairs with nothing: as LOAD. */
	out->parameters = atomic_load_acquire(&own->wanted);
	out->flags = thread->passive ? CAPOS_THREAD_PASSIVE : 0;
	out->pinned_cpu = CAPOS_CPU_ANY;
	if (unlikely(!shared_equals_relaxed(&own->affinity, AFFINITY_ANY)))
		out->pinned_cpu = affinity_only(LOAD(own->affinity));
}

/* Selections, ways to leave and where it was last. True: it does not run (AC3). */
static inline bool fill_switches(const struct thread *thread, const struct entity *own,
				 struct capos_thread_record *out, const struct cpu **cpu, u64 *switches)
{
	const struct cpu_account *account = &thread->account;
	const struct entity *entity;
	u64 left;

	/* First: where it runs was stored before it was counted as selected. */
	out->context_switches = *switches = LOAD(account->switches);
	entity = LOAD(thread->entity);
	*cpu = atomic_load_relaxed(&(entity != NULL ? entity : own)->cpu);
	if (likely(*cpu != NULL))
		out->cpu = (*cpu)->id;
	else
		out->cpu = 0;
	left = out->preemptions = LOAD(account->preemptions);
	left += out->voluntary_blocks = LOAD(account->blocks);
	left += out->yields = LOAD(account->yields);
	return *switches == left;
}

struct how {
	u8 state, wait;
};

static const struct how blocked_on[] = {
#define X(name, value, text) { (value) == CAPOS_WAIT_FAULT ? CAPOS_THREAD_FAULTED : CAPOS_THREAD_BLOCKED, (value) },
	CAPOS_WAITS(X)
#undef X
};

static inline void fill_how(struct capos_thread_record *out, struct how how)
{
	out->state = how.state;
	out->wait = how.wait;
}

/* Of one that does not run, and perhaps has something else to do than to wait. */
static __attribute__((noinline)) struct how how_of(struct thread *thread)
{
	if (atomic_load_relaxed(&thread->attention) & ATTENTION_KILL)
		return (struct how){ CAPOS_THREAD_DYING, CAPOS_WAIT_NONE };
	if (waiter_is_armed(&thread->wait))
		return blocked_on[LOAD(thread->wait.wait)];
	if (context_throttles(thread))
		return (struct how){ CAPOS_THREAD_THROTTLED, CAPOS_WAIT_NONE };
	return (struct how){ CAPOS_THREAD_READY, CAPOS_WAIT_NONE };
}

/* False: it runs, and *out is not filled. Else *out is true from now on until it is selected, that is until account.switches is not
 * *switches any more. */
static inline __attribute__((always_inline)) bool fill_waiting(struct thread *thread, struct capos_thread_record *out,
							       u64 *switches)
{
	const struct entity *own = LOAD(thread->own);
	const struct cpu *cpu;

	if (unlikely(!fill_switches(thread, own, out, &cpu, switches)))
		return false;
	out->runtime_ns = LOAD(thread->account.runtime_ns);
	if (likely(waiter_is_armed(&thread->wait) && atomic_equals_relaxed(&thread->attention, 0u)))
		fill_how(out, blocked_on[LOAD(thread->wait.wait)]);
	else
		fill_how(out, how_of(thread));
	fill_rest(thread, own, out);
	return true;
}

/* One that runs: true at the instant up to which its CPU has charged it. False: it left, or was charged meanwhile, or does not run at
 * all; nothing is to be made of *out. */
static __attribute__((noinline)) bool fill_running(struct thread *thread, struct capos_thread_record *out)
{
	const struct cpu_account *account = &thread->account;
	const struct entity *own = LOAD(thread->own);
	const struct cpu *cpu;
	u64 switches, charged_ns, runtime_ns;

	if (fill_switches(thread, own, out, &cpu, &switches) || cpu == NULL)
		return false;
	out->time_ns = charged_ns = charged_up_to(cpu);
	out->runtime_ns = runtime_ns = LOAD(account->runtime_ns);
	out->state = CAPOS_THREAD_RUNNING;
	out->wait = CAPOS_WAIT_NONE;
	fill_rest(thread, own, out);
	atomic_order();
	/* No charge began since the sum was read, so runtime is that of charged_ns. */
	return LOAD(cpu->account_ns) == charged_ns && LOAD(account->runtime_ns) == runtime_ns &&
	       LOAD(account->switches) == switches;
}

/* --- CPUs --------------------------------------------------------------------------------------------------------------- */

static bool fill_cpu(const struct cpu *cpu, struct capos_cpu_record *out)
{
	const struct thread *current = LOAD(cpu->current); /* its memory stays until this kernel entry ends */
	bool online = atomic_load_relaxed(&cpu->online) != 0;

	memset(out, 0, sizeof(*out));
	out->id = cpu->id;
	if (!online)
		return true;
	out->busy_ns = LOAD(cpu->busy_ns);
	out->idle_ns = LOAD(cpu->idle_ns);
	out->irq_ns = LOAD(cpu->irq_ns);
	out->kernel_ns = LOAD(cpu->activity_ns);
	out->up_ns = cpu->up_ns;
	out->switches = LOAD(cpu->switches);
	out->ipis_sent = LOAD(cpu->ipis_sent);
	out->ipis_received = LOAD(cpu->ipis_received);
	out->shootdowns = LOAD(cpu->shootdowns);
	out->ipis_suppressed = LOAD(cpu->ipis_suppressed);
	out->wakes_local = LOAD(cpu->placed.local);
	out->wakes_remote = LOAD(cpu->placed.remote);
	out->wakes_sibling = LOAD(cpu->placed.sibling);
	out->placements_failed = LOAD(cpu->placed.failed);
	for (u32 kind = 0; kind < CAPOS_MIGRATION_KINDS; kind++)
		out->migrations[kind] = LOAD(cpu->placed.moves[kind]);
	out->ticks = LOAD(cpu->ticks);
	out->policy_admitted = LOAD(cpu->policy_admitted);
	out->policy_denied = LOAD(cpu->policy_denied);
	out->current_thread = current != NULL ? current->object.id : 0;
	out->load = atomic_load_relaxed(&cpu->runq.weight) + atomic_load_relaxed(&cpu->runq.current_weight);
	out->queued = atomic_load_relaxed(&cpu->runq.count);
	out->state = atomic_load_relaxed(&cpu->idling) != 0 ? CAPOS_CPU_IDLE : CAPOS_CPU_BUSY;
	out->time_ns = LOAD(cpu->account_ns);
	return out->time_ns == out->up_ns + out->busy_ns + out->idle_ns + out->irq_ns;
}

/* --- sums --------------------------------------------------------------------------------------------------------------- */

static void fill_process(struct process *process, struct capos_process_record *out)
{
	const struct session *session = process->session;
	struct ledger_sums sums;

	memset(out, 0, sizeof(*out));
	ledger_read(&process->ledger, &sums);
	out->time_ns = mach_clock().ns;
	out->id = process->object.id;
	out->parent_id = process->parent != NULL ? process->parent->object.id : 0;
	out->session_id = session != NULL ? session->session_id : 0;
	out->account_id = session != NULL ? session->account_id : 0;
	out->runtime_ns = sums.runtime_ns;
	out->context_switches = sums.switches;
	out->preemptions = sums.preemptions;
	out->voluntary_blocks = sums.blocks;
	out->migrations = sums.migrations;
	memcpy(out->name, process->name, sizeof(out->name));
	out->state = atomic_load_relaxed(&process->state);
	out->threads = LOAD(process->thread_count);
}

/* --- the walk ----------------------------------------------------------------------------------------------------------- */

static const u32 record_bytes[] = {
	[CAPOS_SNAPSHOT_THREADS] = sizeof(struct capos_thread_record),
	[CAPOS_SNAPSHOT_PROCESSES] = sizeof(struct capos_process_record),
	[CAPOS_SNAPSHOT_SESSIONS] = sizeof(struct capos_ledger_record),
	[CAPOS_SNAPSHOT_ACCOUNTS] = sizeof(struct capos_ledger_record),
	[CAPOS_SNAPSHOT_CPUS] = sizeof(struct capos_cpu_record),
	[CAPOS_SNAPSHOT_CONTEXTS] = sizeof(struct capos_context_record),
};

/* Where the next record goes. Records are aligned to their size, so none lies on two pages. */
static void *place_of(const struct snapshot *snapshot, struct thread *caller)
{
	u64 at = (u64)snapshot->count * record_bytes[snapshot->kind];
	const struct memory_object *memory = snapshot->memory;

	if (memory == NULL)
		return caller->page->message + at;
	at += snapshot->offset;
	return (u8 *)phys_to_virt(memory_object_page(memory, at / PAGE_BYTES)) + at % PAGE_BYTES;
}

/* The memory's pages stay while it is held (MO2). False: it ends. */
static bool hold_memory(const struct snapshot *snapshot) NO_TSA
{
	struct object *object;

	if (snapshot->memory == NULL)
		return true;
	object = &snapshot->memory->object;
	spin_lock(&object->lock);
	if (atomic_load_acquire(&object->state) < OBJECT_DYING) /* pairs with object_begin_destroy */
		return true;
	spin_unlock(&object->lock);
	return false;
}

static void release_memory(const struct snapshot *snapshot) NO_TSA
{
	if (snapshot->memory != NULL)
		spin_unlock(&snapshot->memory->object.lock);
}

enum piece { PIECE_MORE, PIECE_END, PIECE_NO_MEMORY };

static bool is_shown(u32 scope, const struct thread *thread, const struct thread *caller)
{
	return scope == CAPOS_SCOPE_PROCESS ? thread->process == caller->process : thread == caller;
}

/* Of those that do not run: what their record is true for. */
struct seen {
	struct thread *thread;
	u64 switches;
};

/* Records of threads from `at` on that do not run: which one is next; NULL: there is none. *seen goes up to behind the last one's. */
static inline __attribute__((always_inline)) struct thread *fill_all(struct thread *at,
								     struct capos_thread_record *out,
								     const struct capos_thread_record *end,
								     struct seen **seen, u32 scope,
								     const struct thread *caller)
{
	for (; at != NULL && out < end; at = registry_after(at)) {
		if (scope != CAPOS_SCOPE_MACHINE && !is_shown(scope, at, caller))
			continue;
		if (unlikely(!fill_waiting(at, out, &(*seen)->switches)))
			break;
		(*seen)++->thread = at;
		out++;
	}
	return at;
}

/* Gives the records their time; how many of them are true for it. */
static inline u32 give_time(struct capos_thread_record *out, const struct seen *seen, u32 count)
{
	u64 now_ns;
	u32 i;

	atomic_order();
	now_ns = mach_clock().ns;
	for (i = 0; i < count && likely(LOAD(seen[i].thread->account.switches) == seen[i].switches); i++)
		out[i].time_ns = now_ns;
	return i;
}

/* Up to the end of a page of the memory, or up to one that runs. */
static __attribute__((noinline)) enum piece threads_piece(struct snapshot *snapshot, struct thread *caller)
{
	u64 at_byte = snapshot->offset + snapshot->count * sizeof(struct capos_thread_record);
	u32 in_page = (u32)((PAGE_BYTES - at_byte % PAGE_BYTES) / sizeof(struct capos_thread_record));
	u32 wanted = MIN(in_page, snapshot->room - snapshot->count), count, good;
	struct thread *at = registry_next_thread(snapshot->next_id);
	struct seen seen[THREADS_PER_PIECE], *last = seen;
	struct capos_thread_record *out;

	if (!hold_memory(snapshot))
		return PIECE_NO_MEMORY;
	out = place_of(snapshot, caller);
	if (likely(snapshot->scope == CAPOS_SCOPE_MACHINE))
		at = fill_all(at, out, out + wanted, &last, CAPOS_SCOPE_MACHINE, caller);
	else
		at = fill_all(at, out, out + wanted, &last, snapshot->scope, caller);
	count = (u32)(last - seen);
	good = give_time(out, seen, count);
	if (unlikely(good < count))
		at = seen[good].thread; /* again from this one on */
	else if (at != NULL && count < wanted && fill_running(at, &out[count])) {
		at = registry_after(at);
		good++;
	}
	release_memory(snapshot);
	snapshot->count += good;
	snapshot->next_id = at != NULL ? at->object.id : ~0ull;
	return at != NULL ? PIECE_MORE : PIECE_END;
}

static enum piece cpus_piece(struct snapshot *snapshot, struct thread *caller)
{
	const struct cpu *cpu = snapshot->next_id < cpu_count() ? cpu_find((u32)snapshot->next_id) : NULL;

	if (cpu == NULL)
		return PIECE_END;
	if (!hold_memory(snapshot))
		return PIECE_NO_MEMORY;
	if (fill_cpu(cpu, place_of(snapshot, caller))) {
		snapshot->count++;
		snapshot->next_id++;
	}
	release_memory(snapshot);
	return PIECE_MORE;
}

#define CONTEXTS_PER_PIECE 32u /* threads that are looked at for one */

/* SN1 holds for these by the context's lock. */
static enum piece contexts_piece(struct snapshot *snapshot, struct thread *caller)
{
	struct thread *at = registry_next_thread(snapshot->next_id);
	struct capos_context_record *out;

	if (!hold_memory(snapshot))
		return PIECE_NO_MEMORY;
	out = place_of(snapshot, caller);
	for (u32 i = 0; at != NULL && i < CONTEXTS_PER_PIECE; i++, at = registry_after(at)) {
		struct context *context = atomic_load_acquire(&LOAD(at->own)->context); /* as lock_context */

		if (likely(context == NULL) ||
		    (snapshot->scope != CAPOS_SCOPE_MACHINE && !is_shown(snapshot->scope, at, caller)))
			continue;
		context_fill_info(mach_this_cpu(), context, &out->context);
		if (out->context.thread_id != at->object.id)
			continue; /* it was unbound */
		out->time_ns = mach_clock().ns;
		out->process_id = at->process->object.id;
		out->unused = 0;
		snapshot->count++;
		at = registry_after(at);
		break;
	}
	release_memory(snapshot);
	snapshot->next_id = at != NULL ? at->object.id : ~0ull;
	return at != NULL ? PIECE_MORE : PIECE_END;
}

/* SN3, of one process: true when its threads are folded. */
static bool fold(struct snapshot *snapshot, struct process *process)
{
	if (snapshot->process_id != process->object.id) {
		snapshot->process_id = process->object.id;
		snapshot->left = ledger_pass_begin(process);
	}
	return ledger_pass_step(process, &snapshot->left);
}

static enum piece processes_piece(struct snapshot *snapshot, struct thread *caller)
{
	struct process *process = snapshot->scope == CAPOS_SCOPE_MACHINE ? registry_next_process(snapshot->next_id)
				  : snapshot->next_id <= caller->process->object.id ? caller->process
										    : NULL;

	if (process == NULL)
		return PIECE_END;
	if (!fold(snapshot, process))
		return PIECE_MORE;
	if (!hold_memory(snapshot))
		return PIECE_NO_MEMORY;
	fill_process(process, place_of(snapshot, caller));
	release_memory(snapshot);
	snapshot->count++;
	snapshot->next_id = process->object.id + 1;
	return PIECE_MORE;
}

/* Sessions and accounts: first a walk over all processes, then records. */
static enum piece ledgers_piece(struct snapshot *snapshot, struct thread *caller)
{
	struct capos_ledger_record record;
	bool found;

	if (!snapshot->folded) {
		struct process *process = registry_next_process(snapshot->fold_id);

		if (process == NULL)
			snapshot->folded = true;
		else if (fold(snapshot, process))
			snapshot->fold_id = process->object.id + 1;
		return PIECE_MORE;
	}
	found = snapshot->kind == CAPOS_SNAPSHOT_SESSIONS ? session_next_record(snapshot->next_id, &record)
							  : account_next_record(snapshot->next_id, &record);
	if (!found)
		return PIECE_END;
	if (!hold_memory(snapshot))
		return PIECE_NO_MEMORY;
	memcpy(place_of(snapshot, caller), &record, sizeof(record));
	release_memory(snapshot);
	snapshot->count++;
	snapshot->next_id = record.id + 1;
	return PIECE_MORE;
}

/* Is anything left from next_id on? A record that would be empty is no harm. */
static bool is_more(const struct snapshot *snapshot)
{
	struct capos_ledger_record record;

	switch ((enum capos_snapshot_kind)snapshot->kind) {
	case CAPOS_SNAPSHOT_THREADS:
	case CAPOS_SNAPSHOT_CONTEXTS:
		return snapshot->scope != CAPOS_SCOPE_THREAD && registry_next_thread(snapshot->next_id) != NULL;
	case CAPOS_SNAPSHOT_PROCESSES:
		return snapshot->scope == CAPOS_SCOPE_MACHINE && registry_next_process(snapshot->next_id) != NULL;
	case CAPOS_SNAPSHOT_SESSIONS:
		return session_next_record(snapshot->next_id, &record);
	case CAPOS_SNAPSHOT_ACCOUNTS:
		return account_next_record(snapshot->next_id, &record);
	case CAPOS_SNAPSHOT_CPUS:
		return snapshot->next_id < cpu_count();
	}
	return false;
}

static enum piece piece(struct snapshot *snapshot, struct thread *caller)
{
	if (snapshot->count == snapshot->room)
		return PIECE_END;
	switch ((enum capos_snapshot_kind)snapshot->kind) {
	case CAPOS_SNAPSHOT_THREADS:
		return threads_piece(snapshot, caller);
	case CAPOS_SNAPSHOT_PROCESSES:
		return processes_piece(snapshot, caller);
	case CAPOS_SNAPSHOT_SESSIONS:
	case CAPOS_SNAPSHOT_ACCOUNTS:
		return ledgers_piece(snapshot, caller);
	case CAPOS_SNAPSHOT_CPUS:
		return cpus_piece(snapshot, caller);
	case CAPOS_SNAPSHOT_CONTEXTS:
		return contexts_piece(snapshot, caller);
	}
	return PIECE_END;
}

/* --- the operation ------------------------------------------------------------------------------------------------------- */

static void finish(struct thread *thread, struct operation *operation, u64 result)
{
	struct snapshot *snapshot = &operation->snapshot;

	operation->result = result;
	if (result == STATUS(OK)) {
		operation->word[0] = snapshot->count;
		operation->word[1] = is_more(snapshot) ? snapshot->next_id : 0;
		operation->word_count = 2;
		shared_store_relaxed(&thread->page->recv_bytes,
				     snapshot->memory == NULL ? snapshot->count * record_bytes[snapshot->kind] : 0);
	}
	grant_put(snapshot->authority);
	if (snapshot->memory_grant != NULL)
		grant_put(snapshot->memory_grant);
}

static enum operation_progress snapshot_step(struct cpu *cpu, struct thread *thread, struct operation *operation)
{
	struct snapshot *snapshot = &operation->snapshot;
	struct instant begin = mach_clock();
	enum piece last = PIECE_MORE;
	u64 result = STATUS(OK);

	(void)cpu;
	/* A live grant's object is memory for as long as this step lasts. */
	if (grant_is_dead(snapshot->authority))
		result = STATUS(REVOKED);
	else if (snapshot->memory_grant != NULL && grant_is_dead(snapshot->memory_grant))
		result = STATUS_DETAIL(REVOKED, 2);
	else if (atomic_load_relaxed(&thread->attention) & ATTENTION_KILL)
		last = PIECE_END; /* nobody will look at it */
	if (result == STATUS(OK) && last == PIECE_MORE) {
		do
			last = piece(snapshot, thread);
		while (last == PIECE_MORE && step_has_time(begin, STEP_PIECES));
		if (last == PIECE_MORE)
			return OPERATION_AGAIN;
		if (last == PIECE_NO_MEMORY)
			result = STATUS_DETAIL(REVOKED, 2);
	}
	finish(thread, operation, result);
	return OPERATION_DONE;
}

/* The memory of word[2], and how many records go in there from word[3] on. */
static u64 find_memory(struct call *call, struct snapshot *snapshot)
{
	u64 offset = call->word[3], bytes;
	struct memory_object *memory;
	struct cap cap;
	u16 status;

	if (call->word[2] == 0) {
		snapshot->room = CAPOS_MESSAGE_BYTES / record_bytes[snapshot->kind];
		return offset == 0 ? STATUS(OK) : STATUS_DETAIL(BAD_ARGUMENT, 3);
	}
	status = cap_lookup_typed(call->thread->process, call->word[2], CAPOS_IFACE_memory_object, CAPOS_RIGHT_WRITE,
				  &cap);
	if (status != CAPOS_STATUS_OK)
		return CAPOS_RESULT(status, 0, 2);
	memory = container_of(cap.object, struct memory_object, object);
	if (memory->borrowed)
		return STATUS_DETAIL(MISSING_RIGHTS, 2);
	bytes = memory->page_count * PAGE_BYTES;
	if (offset % CAPOS_SNAPSHOT_ALIGN != 0 || offset > bytes)
		return STATUS_DETAIL(BAD_ARGUMENT, 3);
	snapshot->memory = memory;
	snapshot->memory_grant = cap.grant;
	snapshot->offset = offset;
	snapshot->room = (u32)MIN((bytes - offset) / record_bytes[snapshot->kind], (u64)~0u);
	return snapshot->room > 0 ? STATUS(OK) : IRESULT(CAPOS_POLICY_BUFFER_TOO_SMALL);
}

u64 snapshot_begin(struct call *call, u32 scope)
{
	struct snapshot snapshot = { .next_id = call->word[1], .scope = scope, .authority = call->cap.grant };
	u64 kind = call->word[0], result;

	if (kind < CAPOS_SNAPSHOT_THREADS || kind > CAPOS_SNAPSHOT_CONTEXTS)
		return STATUS_DETAIL(BAD_ARGUMENT, 0);
	if (kind > CAPOS_SNAPSHOT_PROCESSES && kind != CAPOS_SNAPSHOT_CONTEXTS && scope != CAPOS_SCOPE_MACHINE)
		return IRESULT(CAPOS_POLICY_OUT_OF_SCOPE);
	snapshot.kind = (u32)kind;
	result = find_memory(call, &snapshot);
	if (result != STATUS(OK))
		return result;
	if (!grant_get(snapshot.authority))
		return STATUS(REVOKED);
	if (snapshot.memory_grant != NULL && !grant_get(snapshot.memory_grant)) {
		grant_put(snapshot.authority);
		return STATUS_DETAIL(REVOKED, 2);
	}
	(void)call_start_operation(call, snapshot_step);
	call->thread->operation.snapshot = snapshot;
	return CALL_OPERATION;
}
