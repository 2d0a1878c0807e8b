/* SPDX-License-Identifier: MIT */
/*
 * Threads and processes.
 *
 * Thread:   building -> ready <-> running -> blocked -> ready ... -> dying -> dead
 * Process:  building -> alive -> dying (last thread gone or killed) -> dead (teardown done, waiters told) -> freed
 *
 * Invariants:
 *  TH1  A thread in the kernel has no stack: between entries it is registers (mach.frame), a waiter, and at most one
 *       operation.
 *  TH2  A killed thread dies on a dispatch: kill marks ATTENTION_KILL, ends its wait if it is blocked, asks its CPU if it
 *       runs; the dispatcher acts before it returns to user mode, when no operation is in progress.
 *  TH3  A process is torn down by its activity after its last thread has left its CPU.
 */
#ifndef KERNEL_THREAD_H
#define KERNEL_THREAD_H

#include <capos/interface.h>
#include <capos/ring.h>
#include <kernel/call.h>
#include <kernel/cap.h>
#include <kernel/ledger.h>
#include <kernel/mm.h>
#include <kernel/sched.h>
#include <kernel/wait.h>
#include <kernel/waitlist.h>
#include <mach/mach.h>

struct endpoint;
struct session;
struct ring_op;

#define ATTENTION_KILL 1u      /* die before the next return to user mode */
#define ATTENTION_OPERATION 2u /* an operation is in progress: step it instead of returning to user mode */

/* What a blocked caller sends: kept until the call is delivered (kernel/ipc). */
struct ipc_send {
	u64 call_word;
	const u64 *word;   /* frame, fault_word, or a ring operation's */
	const u8 *message; /* direct map; NULL: none */
	u32 bytes;
	u32 cap_count;
	struct cap cap[CAPOS_MESSAGE_CAPS]; /* with references on the grants */
	u64 fault_word[CAPOS_WORDS];
};

/* Where a word of the thread's space is. It holds as long as space->changes is the same. */
struct parked_word {
	u64 va; /* 0: none */
	u64 changes;
	struct paddr word;
};

/* On machines of many CPUs the words of its affinity follow (affinity_mask). */
struct thread {
	struct mach_thread mach;	/* first: registers, FPU */
	ATOMIC(u32) attention;		/* (a) ATTENTION_*; 0 on the fast path */
	bool passive;			/* (c) */
	bool first;			/* (c) the process's exit code is this thread's */
	bool ring_message_busy;		/* (l:ring_lock) */
	bool ring_ran;			/* (o) ring_enter_fast consumed entries, the rest is ring_enter's */
	struct entity *entity;		/* (o) what it runs on: own, a caller's, or NULL (passive and waiting) */
	struct process *process;	/* (c) */
	struct capos_thread_page *page; /* (c) direct map */
	struct waiter wait;		/* of its synchronous calls */
	struct parked_word parked;	/* (o) */
	struct waiter *
		serving; /* (o) call being served by the synchronous path: the caller's waiter, claimed by endpoint rules */
	struct entity *
		own; /* (l:ring_lock, read by anyone) its own entity; passive threads use it only to start and to die */
	struct entity *spare;	    /* (o) reserve: takes the place of `own` when a call ends while it is lent */
	u64 borrowed_from_id;	    /* (o) thread id of the caller that lent the entity we run on; 0: none */
	struct cpu_account account; /* (os) */
	struct ledger_sums folded;  /* (l:process->lock) of `account`, into the ledgers (LG1) */
	u64 blocked_runtime_ns[CAPOS_DEBUG]; /* (o) debug alone: what it had when it last blocked (C1) */
	void *fpu_area;			     /* (o) pool POOL_FPU; NULL: it has not used the FPU */
	struct object object;		     /* type thread: handles name it */
	struct endpoint *fault_endpoint;     /* (l:object.lock) with a grant reference in fault_grant */
	struct grant *fault_grant;
	u64 fault_badge;
	struct uaddr page_addr; /* (c) */
	u32 stack_bytes;	/* (c) of the stack that ends at its page, in one region with it; 0: the program's */
	u8 exit_phase;		/* (o) progress of its death */
	bool ended;		/* (l:object.lock) join does not wait any more */
	bool exited;		/* (l:object.lock) gone: its memory may go */
	bool exited_before_end; /* (o: who ends the object) it had exited when the object's end began */
	RB_ENTRY(thread) registry_node;	       /* (l:registry) */
	ATOMIC(struct thread *) registry_next; /* (a) by rising id; of one that has left: where it led then (RG1) */
	struct list_node process_link;	       /* (l:process->lock) */
	struct waitlist joiners;	       /* (l:object.lock) thread.join */
	u32 exit_code;
	u8 exit_cause; /* enum capos_exit_cause */
	bool apart;    /* (o) the entity that it borrowed has its set of CPUs (LE8) */
	u16 lent_from; /* (o) wait.lent: the CPU where its entity was before */
	struct operation operation;
	/* ring, see kernel/ipc/ring.c */
	u32 ring_sq_head;   /* (o) own copy: the page's is only for show */
	u32 ring_cq_tail;   /* (l:ring_lock), or (o) while nothing is in flight */
	u32 ring_in_flight; /* (l:ring_lock) consumed, not yet completed; falls after the completion is posted */
	u32 ring_wanted;    /* (l:ring_lock) cap_enter waits for that many unread completions; 0: does not wait */
	struct spinlock ring_lock; /* RANK_RING */
	struct list ring_ops;	   /* (l:ring_lock) in flight */
	ATOMIC(u32) ring_consumer; /* (a) one live consumer per ring */
	u32 ring_enter_count;	   /* (o) arguments of the cap_enter in progress */
	struct instant ring_enter_deadline;
	/* endpoints, see kernel/ipc/endpoint.c */
	struct ipc_send send;	     /* (o) of a call that blocks */
	struct endpoint *serving_at; /* (o) endpoint of `serving`; valid memory while serving is set */
	struct list served; /* (l:ring_lock) waiter.served_link: other calls in service that this thread took */
	struct asked asked; /* (o) the synchronous call, or the ring entry, that is not answered yet */
	u64 recv_handle; /* (o) of its last synchronous receive: where a reply to a token without a handle goes; 0: none */
};

enum process_state { PROCESS_BUILDING = 1, PROCESS_ALIVE, PROCESS_DYING, PROCESS_DEAD };

struct process {
	struct object object;	     /* type process */
	struct spinlock lock;	     /* RANK_PROCESS */
	ATOMIC(u32) state;	     /* (a) enum process_state */
	char name[CAPOS_NAME_BYTES]; /* (c) */
	struct process *parent;	     /* (c) quota came from it; NULL: the machine */
	struct session *session;     /* (c) */
	struct quota quota;
	struct cap_table table;
	struct space space;
	struct list threads;	 /* (l:lock) struct thread.process_link */
	u32 thread_count;	 /* (l:lock) */
	struct list objects;	 /* (l:lock) charged objects: struct object.owner_link */
	struct waitlist waiters; /* (l:object.lock) process.wait */
	struct activity teardown;
	u32 teardown_phase;
	u32 exit_cause, exit_code, fault_cause;
	u64 fault_addr, fault_ip, fault_thread_id; /* the first fault's; thread id 0: none */
	struct ledger ledger;			   /* (a) */
	bool one_cpu;				   /* (c) all its threads stay on `cpu` (B5) */
	u32 cpu;				   /* (c) */
	bool essential;				   /* (c) of the manifest: its exit code counts for the machine's */
	RB_ENTRY(process) registry_node;	   /* (l:registry) */
	/* kernel/task/process.c, teardown.c, spawn.c */
	ATOMIC(u32) children;  /* (a) processes whose parent this is, until their teardown is done */
	ATOMIC(u32) settled;   /* (a) 1: teardown has touched it for the last time */
	bool teardown_started; /* (l:lock) */
	u32 kills_left;	       /* (l:lock) threads that may not be marked yet */
	bool started; /* (o: spawner, then teardown) its first thread was started: it is reported when it ends */
	struct object *ending;	      /* (o: teardown) owned object that is being ended */
	u64 image_base;		      /* (c) where its program lies */
	struct object spawner_object; /* type thread_spawner; embedded as those of cap.h */
	struct list grants;	      /* (l:object.lock) derived grants charged to it: struct grant.charged_link */
	struct object table_object, factory_object; /* see cap.h; embedded: no pool, no free */
};

struct thread_plan {
	struct uaddr ip;
	struct uaddr sp; /* without stack_bytes */
	u64 arg, arg2;
	u32 cpu, flags;
	const struct capos_cpu_set *cpus; /* where it may run, at least one of them online; NULL: as `cpu` says */
	u64 stack_bytes;		  /* of a fresh stack, pages; 0: none */
	u64 page_addr;			  /* where stack and page lie; 0: a free place */
};

/* Make a thread (state building), with thread page and stack, charged to the process, in steps. A result word, which names the
 * quota; not OK: nothing has happened. Its words at entry are those of thread_spawner.create, without the handle. */
MUST_CHECK u64 thread_create(struct process *process, const struct thread_plan *plan, struct map_request *map,
			     struct thread **out);
/* True: made; or map->status says why not, and there is no thread. Whoever began goes on until then. */
MUST_CHECK bool thread_create_step(struct thread *thread, struct map_request *map);
/* Link into the process and make runnable. The object must be published. False: the process is dying; nothing changed. */
MUST_CHECK bool thread_start(struct cpu *cpu, struct thread *thread);
/* The thread object's memory and quota, when it is dead and no handle is left (object_type.free and kill_step). */
void thread_free(struct thread *thread);
/* Kill: any CPU, any state; the thread dies by itself (TH2). cause: enum capos_exit_cause. */
void thread_kill(struct cpu *cpu, struct thread *thread, u32 cause, u32 code);
/* A bounded piece of the death of the current thread, on dispatch: ends ring operations, gives its page back, detaches, ends
 * what it served, tells joiners; begins process teardown when it was the last. Called by the dispatcher only. */
void thread_exit_step(struct cpu *cpu, struct thread *thread);
/* When more than a batch of joiners wait, tells a batch. False: there are few; leave them to the next one. */
MUST_CHECK bool thread_tell_many_joiners(struct cpu *cpu, struct thread *thread);
/* The last touch of thread_exit_step on a thread: tells joiners; its object ends when no handle is left. */
void thread_object_exited(struct cpu *cpu, struct thread *thread);
/* The last thread of the process has left: state dying, teardown starts. */
void process_last_thread_gone(struct cpu *cpu, struct process *process);
void registry_remove_thread(struct thread *thread);
/* Begin to end a process: kills all threads; teardown follows. Any CPU. First caller's cause and code stay. */
void process_kill(struct cpu *cpu, struct process *process, u32 cause, u32 code);
/* The process faulted and nobody handles it: report, end. */
void process_fault(struct cpu *cpu, struct thread *thread, const struct fault *fault);
/* An empty process with quota carved from parent (NULL: the machine's); state building. */
MUST_CHECK u16 process_create(struct process *parent, const char *name, const u64 limits[QUOTA_KINDS],
			      struct process **out);

/* The result of a call that changed where a thread may run, which was named through the grant: at once, or when it has left. */
u64 thread_wait_until_left(struct call *call, const struct thread *thread, struct grant *grant, bool in_effect);
/* For machines: n <= 16 bytes at ip of the thread's space; false when not all are mapped. */
bool kernel_read_user_code(struct thread *thread, u64 ip, u8 *buf, size_t n);
/* Records for info methods and listings (any CPU, kernel context). */
void process_fill_info(struct process *process, struct capos_process_info *out);
void thread_fill_info(struct thread *thread, struct capos_thread_info *out);

/* Registry: id -> object, for listing. Next process / thread with id >= `id`, or NULL; valid in this kernel entry. */
struct process *registry_next_process(u64 id);
struct thread *registry_next_thread(u64 id);
/* The thread of that id, or NULL; valid in this kernel entry. */
static inline struct thread *registry_find_thread(u64 id)
{
	struct thread *thread = registry_next_thread(id);

	return thread != NULL && thread->object.id == id ? thread : NULL;
}
/* The one after it, without the lock, for who had `thread` from one of these two in this kernel entry (RG1). */
static inline struct thread *registry_after(struct thread *thread)
{
	return atomic_load_acquire(&thread->registry_next); /* pairs with the stores of registry.c */
}

#endif
