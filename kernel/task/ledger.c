/* SPDX-License-Identifier: MIT */
/* Ledgers: see ledger.h for LG1 and LG2. */
#include <kernel/ledger.h>

#include <kernel/process.h>
#include <kernel/state.h>
#include <string.h>

/* Threads per piece: about 60 instructions each. */
#define FOLDED_PER_STEP 16u

#define SUMS(X) X(runtime_ns) X(switches) X(preemptions) X(blocks) X(migrations)

void ledger_read(const struct ledger *ledger, struct ledger_sums *out)
{
#define X(sum) out->sum = atomic_load_relaxed(&ledger->sum);
	SUMS(X)
#undef X
}

void ledger_fill_record(const struct ledger *ledger, struct capos_ledger_record *out)
{
	struct ledger_sums sums;

	memset(out, 0, sizeof(*out));
	ledger_read(ledger, &sums);
	out->time_ns = mach_clock().ns;
	out->runtime_ns = sums.runtime_ns;
	out->context_switches = sums.switches;
	out->preemptions = sums.preemptions;
	out->voluntary_blocks = sums.blocks;
	out->migrations = sums.migrations;
}

static void add(struct ledger *ledger, const struct ledger_sums *sums)
{
#define X(sum) atomic_fetch_add(&ledger->sum, sums->sum);
	SUMS(X)
#undef X
}

struct ledger *ledger_of_account(u32 index)
{
	KASSERT(index < ARRAY_COUNT(kernel_state.task.account_ledgers));
	return &kernel_state.task.account_ledgers[index];
}

/* What a process gains, its session and its account gain. */
static void add_to_all(struct process *process, const struct ledger_sums *sums)
{
	struct session *session = process->session;

	add(&process->ledger, sums);
	if (session != NULL)
		add(&session->ledger, sums);
	add(ledger_of_account(session != NULL ? session->account_index : 0), sums);
}

/* Its CPU may go on counting meanwhile: each word is read once, and what comes later is the next fold's. */
static void fold(struct thread *thread, struct ledger_sums *sums)
{
	const struct cpu_account *account = &thread->account;
	struct ledger_sums now = {
		.runtime_ns = shared_load_relaxed(&account->runtime_ns),
		.switches = shared_load_relaxed(&account->switches),
		.preemptions = shared_load_relaxed(&account->preemptions),
		.blocks = shared_load_relaxed(&account->blocks),
	};

	for (u32 kind = 0; kind < CAPOS_MIGRATION_KINDS; kind++)
		now.migrations += shared_load_relaxed(&account->migrations[kind]);
#define X(sum) sums->sum += now.sum - thread->folded.sum;
	SUMS(X)
#undef X
	thread->folded = now;
}

void ledger_thread_gone_locked(struct process *process, struct thread *thread)
{
	struct ledger_sums sums = { 0 };

	fold(thread, &sums);
	add_to_all(process, &sums);
}

u32 ledger_pass_begin(struct process *process)
{
	return shared_load_relaxed(&process->thread_count);
}

/* The first of the list is folded and becomes the last, so that as many turns as there are threads reach each that stays. Of a
 * process that is ending process_kill_threads turns the list. */
bool ledger_pass_step(struct process *process, u32 *left)
{
	struct ledger_sums sums = { 0 };

	spin_lock(&process->lock);
	if (atomic_load_relaxed(&process->state) != PROCESS_ALIVE)
		*left = 0;
	for (u32 i = 0; i < FOLDED_PER_STEP && *left > 0; i++) {
		struct list_node *node = list_first(&process->threads);

		if (node == NULL) {
			*left = 0;
			break;
		}
		fold(LIST_ENTRY(node, struct thread, process_link), &sums);
		list_remove(node);
		list_push_back(&process->threads, node);
		(*left)--;
	}
	if (sums.switches != 0 || sums.runtime_ns != 0)
		add_to_all(process, &sums);
	spin_unlock(&process->lock);
	return *left == 0;
}
