/* SPDX-License-Identifier: MIT */
/*
 * CPU time of processes, sessions and accounts (kernel/task/ledger.c).
 *
 * A charge writes the thread and its CPU only. A ledger is the sum of what was folded into it: whoever wants to read one folds the
 * threads of its processes first, a few at a time, and a thread that ends folds itself. What was folded of a thread is noted
 * there, so each nanosecond is folded once, whoever reads how often, and stays when thread and process are gone.
 *  LG1  A process's ledger is the sum of `folded` of its threads, live and gone; a session's and an account's are the sums of
 *       those of their processes, live and gone.
 *  LG2  The sum of all threads' runtime, live and gone, is the sum over the CPUs of busy_ns - activity_ns (AC2).
 */
#ifndef KERNEL_LEDGER_H
#define KERNEL_LEDGER_H

#include <capos/interface.h>
#include <kernel/types.h>
#include <mach/atomic.h>

struct process;
struct session;
struct thread;

/* Each only rises; a reader who looks at two of them may see one a moment later than the other. */
struct ledger {
	ATOMIC(u64) runtime_ns, switches, preemptions, blocks, migrations; /* (a) */
};

/* What was folded of a thread, or of some threads at once. */
struct ledger_sums {
	u64 runtime_ns, switches, preemptions, blocks, migrations;
};
void ledger_read(const struct ledger *ledger, struct ledger_sums *out);
/* A record of it as of now; ids and names are the caller's to store. */
void ledger_fill_record(const struct ledger *ledger, struct capos_ledger_record *out);
/* Records of the first session or account with an id that is not less; false: there is none. */
MUST_CHECK bool session_next_record(u64 id, struct capos_ledger_record *out);
MUST_CHECK bool account_next_record(u64 id, struct capos_ledger_record *out);

/* A pass over a process's threads: after it the ledgers have what each of them had when it began, at least. */
u32 ledger_pass_begin(struct process *process);
/* A bounded piece of it; *left is ledger_pass_begin's. True: done. A process that is ending is up to date as its threads go. */
MUST_CHECK bool ledger_pass_step(struct process *process, u32 *left);
/* The thread, off its CPU for ever, is about to leave the process, whose lock is held. */
void ledger_thread_gone_locked(struct process *process, struct thread *thread);

/* By its place in the manifest's list + 1; 0: of processes without a session. */
struct ledger *ledger_of_account(u32 index);

#endif
