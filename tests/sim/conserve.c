/* SPDX-License-Identifier: MIT */
/*
 * Checker: conservation. What a process is charged for is what is there: slots are counted, children's limits are carved from
 * the parent's, threads and pages of threads are not forgotten; a ring's operations in flight are those that are listed; a CPU's time
 * is the sum of its parts (AC1), threads were selected as often as they left (AC3), and all their time, of live ones and in the
 * accounts' ledgers, is that of the CPUs (LG2, AC2).
 */
#include <kernel/cpu.h>
#include <kernel/process.h>
#include <kernel/state.h>
#include <sim/checker.h>

#include "plant.h"

#define FAIL(...) sim_check_failed("conserve", __VA_ARGS__)

/* The limits that registered children took; false: some are under construction or being reaped, the sums are on their way. */
static bool carved_from(const struct process *parent, u64 sums[QUOTA_KINDS])
{
	const struct process *child;
	u32 count = 0;

	for (u64 id = 0; (child = registry_next_process(id)) != NULL; id = child->object.id + 1) {
		if (child->parent != parent)
			continue;
		count++;
		for (u32 kind = CAPOS_QUOTA_MEMORY; kind < QUOTA_KINDS; kind++)
			sums[kind] += child->quota.limit[kind] + (kind == CAPOS_QUOTA_PROCESSES ? 1 : 0);
	}
	return count == parent->children.value_;
}

static u64 threads_of(const struct process *process)
{
	const struct thread *thread;
	u64 count = 0;

	for (u64 id = 0; (thread = registry_next_thread(id)) != NULL; id = thread->object.id + 1)
		count += thread->process == process && list_is_linked(&thread->process_link);
	return count;
}

static void check_process(struct process *process)
{
	u64 sums[QUOTA_KINDS] = { 0 };
	u64 used[QUOTA_KINDS];
	unsigned long long id = process->object.id;

	/* Between the reap, or before the start, and in the middle of a change: not now. */
	if (process->lock.word.value_ != 0 || process->table.destroyed != 0 ||
	    process->state.value_ != PROCESS_ALIVE || !carved_from(process, sums))
		return;
	for (u32 kind = CAPOS_QUOTA_MEMORY; kind < QUOTA_KINDS; kind++) {
		used[kind] = process->quota.used[kind].value_;
		if (used[kind] > process->quota.limit[kind])
			FAIL("process %llu uses more of quota %u than its limit (QU1)", id, kind);
	}
	sums[CAPOS_QUOTA_SLOTS] += process->table.used_count;
	sums[CAPOS_QUOTA_THREADS] += threads_of(process);
	sums[CAPOS_QUOTA_MEMORY] += threads_of(process) * PAGE_BYTES;
	if (used[CAPOS_QUOTA_SLOTS] != sums[CAPOS_QUOTA_SLOTS])
		FAIL("process %llu is charged for %llu slots, and has %llu", id,
		     (unsigned long long)used[CAPOS_QUOTA_SLOTS], (unsigned long long)sums[CAPOS_QUOTA_SLOTS]);
	if (used[CAPOS_QUOTA_PROCESSES] != sums[CAPOS_QUOTA_PROCESSES])
		FAIL("process %llu is charged for %llu processes, and has %llu", id,
		     (unsigned long long)used[CAPOS_QUOTA_PROCESSES],
		     (unsigned long long)sums[CAPOS_QUOTA_PROCESSES]);
	if (used[CAPOS_QUOTA_THREADS] < sums[CAPOS_QUOTA_THREADS] ||
	    used[CAPOS_QUOTA_MEMORY] < sums[CAPOS_QUOTA_MEMORY])
		FAIL("process %llu is charged for less threads or memory than it has", id);
}

/* Listed operations, and at most one that is the thread's own (operation.ring). */
static void check_ring(const struct thread *thread)
{
	u32 listed = 0;

	if (thread->ring_lock.word.value_ != 0)
		return;
	LIST_FOREACH (&thread->ring_ops, node)
		listed++;
	if (thread->ring_in_flight < listed || thread->ring_in_flight > listed + 1 ||
	    thread->ring_in_flight > CAPOS_CQ_ENTRIES)
		FAIL("thread %llu: %u ring operations in flight, %u listed", (unsigned long long)thread->object.id,
		     thread->ring_in_flight, listed);
}

static void check_time(const struct cpu *cpu)
{
	static u64 before_ns[4096];
	u64 sum = cpu->busy_ns + cpu->idle_ns + cpu->irq_ns;

	if (cpu->online.value_ == 0)
		return;
	if (sum < before_ns[cpu->id] || cpu->account_ns - sum != cpu->up_ns)
		FAIL("AC1: CPU %u accounts for %llu ns up to %llu, and came up at %llu", cpu->id,
		     (unsigned long long)sum, (unsigned long long)cpu->account_ns, (unsigned long long)cpu->up_ns);
	before_ns[cpu->id] = sum;
}

static void check_thread_account(const struct thread *thread)
{
	const struct cpu_account *account = &thread->account;
	const struct entity *entity = thread->entity;
	bool runs = entity != NULL && entity->owner.value_ == OWNER_CURRENT && entity->thread == thread;

	if (account->switches != account->blocks + account->preemptions + account->yields + runs)
		FAIL("AC3: thread %llu was selected %llu times, and left %llu + %llu + %llu times",
		     (unsigned long long)thread->object.id, (unsigned long long)account->switches,
		     (unsigned long long)account->blocks, (unsigned long long)account->preemptions,
		     (unsigned long long)account->yields);
}

static void check_ledgers(void)
{
	const struct process *process;
	u64 threads_ns = 0, cpus_ns = 0;

	for (u64 id = 0; (process = registry_next_process(id)) != NULL; id = process->object.id + 1) {
		LIST_FOREACH (&process->threads, node) {
			const struct thread *thread = LIST_ENTRY(node, struct thread, process_link);

			check_thread_account(thread);
			threads_ns += thread->account.runtime_ns - thread->folded.runtime_ns;
		}
	}
	for (u32 i = 0; i <= MANIFEST_ACCOUNTS_MAX; i++)
		threads_ns += kernel_state.task.account_ledgers[i].runtime_ns.value_;
	for (u32 i = 0; i < cpu_count(); i++)
		cpus_ns += cpu_get(i)->busy_ns - cpu_get(i)->activity_ns;
	if (threads_ns != cpus_ns)
		FAIL("LG2: threads ran for %llu ns, the CPUs for %llu", (unsigned long long)threads_ns,
		     (unsigned long long)cpus_ns);
}

static void spoil(u32 walks)
{
	struct process *process = registry_next_process(0);
	struct thread *thread = registry_next_thread(0);

	if (process != NULL && plant("slot-leak", walks))
		process->quota.used[CAPOS_QUOTA_SLOTS].value_++;
	if (process != NULL && plant("process-leak", walks))
		process->quota.used[CAPOS_QUOTA_PROCESSES].value_++;
	if (process != NULL && plant("free-thread", walks))
		process->quota.used[CAPOS_QUOTA_THREADS].value_ = 0;
	if (thread != NULL && plant("ring-leak", walks))
		thread->ring_in_flight += 2;
	/* The allocation trap (no_alloc_check): the next allocation on CPU 0 seems to be on a path that must not. */
	if (plant("alloc", walks))
		no_alloc_begin(cpu_get(0));
	/* The core's own walk (kernel_verify). */
	if (plant("verify-pool", walks))
		kernel_state.mm.pools[POOL_GRANT].live++;
	if (plant("verify-frame", walks))
		kernel_state.mm.untouched--;
	if (plant("ledger", walks))
		kernel_state.task.account_ledgers[0].runtime_ns.value_ += 1000;
	if (thread != NULL && plant("selection", walks))
		thread->account.switches++;
	if (plant("lost-time", walks))
		cpu_get(0)->busy_ns -= MIN(cpu_get(0)->busy_ns, 1000ull);
}

static void conserve_full(void)
{
	static u32 walks;
	struct process *process;
	struct thread *thread;

	spoil(++walks);
	for (u64 id = 0; (process = registry_next_process(id)) != NULL; id = process->object.id + 1)
		check_process(process);
	for (u64 id = 0; (thread = registry_next_thread(id)) != NULL; id = thread->object.id + 1)
		check_ring(thread);
	for (u32 i = 0; i < cpu_count(); i++)
		check_time(cpu_get(i));
	check_ledgers();
}

static const struct sim_checker conserve = { .name = "conserve", .full = conserve_full };
SIM_CHECKER(conserve);
