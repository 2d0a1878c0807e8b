/* SPDX-License-Identifier: MIT */
/* Sessions, boot, console and log: what other rooms need of them. */
#ifndef KERNEL_PROCESS_H
#define KERNEL_PROCESS_H

#include <kernel/debug.h>
#include <kernel/thread.h>

/* A login session: created by the holder of the session manager. */
struct session {
	struct object object;
	u64 session_id;
	u64 account_id;	   /* (c) */
	u32 account_index; /* (c) ledger_of_account */
	char name[CAPOS_NAME_BYTES];
	ATOMIC(u32) alive;	/* (a) the liveness cell */
	ATOMIC(u32) references; /* (a) object, until freed; processes that run in it */
	/* (o: who found it alive, and ended it) contexts of its threads: the rest is from this thread on */
	u64 logout_next_id;
	u32 stale_marked, donation_inflight_skipped;
	bool logs_out;
	struct ledger ledger;		 /* (a) */
	RB_ENTRY(session) registry_node; /* (l:registry) */
};

/* Rooms' own state, before the first process. */
void task_init(void);

/* Devices of the kernel. */
void dev_init(void);
void console_irq(struct cpu *cpu);
void console_process_gone(struct cpu *cpu, struct process *process);
/* Text of the running program or the kernel, best effort, never waits; true when taken whole. */
bool console_put(const char *text, size_t n);

/* The one object of a device interface (timer, wall_clock, console, log, entropy, system_info, trace, power), alive after
 * dev_init; NULL for other interfaces. For the manifest: grant them without CAPOS_RIGHT_DESTROY. */
struct object *dev_object(u16 iface);
/* Lines up to this level go to the console too (LOG_INFO at first). */
void log_set_console_level(enum log_level level);
/* Everything that still waits for the console goes out now, waiting as long as it takes: before mach_exit only. */
void console_flush_sync(void);

/* Records for info methods and listings (kernel/task; any CPU, kernel context). */
void process_fill_info(struct process *process, struct capos_process_info *out);
void thread_fill_info(struct thread *thread, struct capos_thread_info *out);

/* Boot room. */
NORETURN void boot_refuse(const char *path, const char *reason);
/* The machine ends after the last process: code by the essential ones. Called by teardown. */
void boot_process_ended(struct process *process);
/* A process is about to start; or that was wrong. */
void boot_process_started(void);
void boot_process_not_started(void);

#endif
