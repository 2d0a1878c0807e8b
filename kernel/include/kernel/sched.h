/* SPDX-License-Identifier: MIT */
/*
 * The scheduler's outer side: entities, activities, the per-CPU run queue, wake, dispatch, next event.
 *
 * What a CPU dispatches is an entity: a thread's or an activity's. An entity that can run has exactly one dispatch owner:
 * a CPU's current slot, a CPU's run queue, a CPU's wake inbox, or a hand-off in progress (B1, checked by `owner`). One without a
 * budget may have to wait for it: throttled (SX3 in kernel/context.h).
 *
 *                 push                     drain (owner, thief)            pick
 *   sched_wake ---------> inbox (lock-free) ------------------> run queue ------> current
 *    ^   |  target is this CPU                                    ^   ^            |   |
 *    |   +--------------------------------------------------------+   | preempted  |   |
 *    |                                                                +------------+   | budget ends
 *    +---------- refill, resume, unbind ---------- throttled <-------------------------+
 *
 * Invariants:
 *  SC1  owner changes only along those arrows; each change is asserted.
 *  SC2  The current entity is not in the queue.
 *  SC3  A push to a CPU that would not look within its wake bound sends one IPI, unless one is pending.
 *  SC4  Wake, requeue, hand-off, steal and exit paths allocate nothing.
 *  SC5  The armed one-shot is never later than the earliest of: slice end (if others wait), budget end, tick (if busy), timers.
 */
#ifndef KERNEL_SCHED_H
#define KERNEL_SCHED_H

#include <capos/interface.h>
#include <kernel/lock.h>
#include <kernel/object.h>
#include <kernel/timer.h>
#include <kernel/types.h>
#include <lib/list.h>

struct cpu;
struct thread;
struct process;
struct entity;
struct context;

enum dispatch_owner { OWNER_NONE, OWNER_INBOX, OWNER_QUEUE, OWNER_HANDOFF, OWNER_CURRENT, OWNER_THROTTLED };
enum entity_kind { ENTITY_THREAD, ENTITY_ACTIVITY };

/*
 * Virtual time (docs/SCHEDULING.md): one unit is a nanosecond of service at weight 65,536. A charge of s ns adds
 * s * VIRTUAL_PER_NS / weight to vruntime. Virtual times wrap: only signed differences mean anything.
 */
#define VIRTUAL_SHIFT 16u
#define VIRTUAL_PER_NS (1u << VIRTUAL_SHIFT)

#define AFFINITY_ANY (~0ull) /* kernel/affinity.h */

/* A longer charge counts as this one: nobody who waits catches up a machine that stood still. */
#define CHARGE_MAX_NS 0x7fffffffull
/* A longer sleep forgets what was owed, by either side. */
#define LAG_KEEP_NS 1000000000ull

enum sched_policy { SCHED_EEVDF, SCHED_WFQ, SCHED_POLICIES };

struct sched_params {
	u32 weight;	   /* 1 .. CAPOS_WEIGHT_MAX */
	u32 latency_class; /* enum capos_latency_class; default requests and deadlines: kernel/sched/classes.c */
	u64 request_ns;	   /* CAPOS_REQUEST_MIN_NS .. CAPOS_REQUEST_MAX_NS; 0: the class's default */
};

/* kernel/sched/fair_tree.h */
struct fair_node {
	struct entity *child[2], *parent;
	u64 min_vruntime; /* of the subtree */
	u8 tall;	  /* 0; which subtree is higher: 1: left, 2: right */
};

/* What competes for CPU time. */
struct entity {
	u8 kind;		  /* (c) */
	bool moved;		  /* (o: pusher, then drainer) in an inbox: it comes from another CPU */
	bool goes_on;		  /* (o) moved in the middle of its request, which goes along */
	u8 latency_class;	  /* (q) enum capos_latency_class */
	ATOMIC(u32) owner;	  /* (a) enum dispatch_owner */
	u32 weight;		  /* (q) */
	u64 affinity;		  /* (a) where it may run: kernel/affinity.h, AF4 */
	ATOMIC(struct cpu *) cpu; /* (a) queue, inbox or current slot that owns it; last one when none does */
	struct thread *thread;	  /* (o) the thread that runs on it now; NULL for activities */
	struct activity *activity;
	struct entity *inbox_next;
	ATOMIC(u32) loan;		  /* (a) LOAN_*: see kernel/sched/lend.c */
	u32 depth;			  /* (o) lent so many calls beyond the first one: LE7 there */
	ATOMIC(struct context *) context; /* (a) its budget, or NULL: kernel/context.h, SX1 */
	struct reclaim_node reclaim;
	struct spinlock affinity_lock; /* RANK_AFFINITY; before it the lock of its context, if it has one */
	u64 set;		       /* (l:affinity_lock) what its thread asked for ... */
	u64 server_set;	  /* (l:affinity_lock) ... or instead, 0: not, the pinned server that it is lent to: LE8 */
	u64 enqueued_ns;  /* when it became runnable: waiting starts at the push; while blocked: when it left */
	u64 uncharged_ns; /* (o) ran with other threads since the queue was last told */
	/* Parameters that are asked for, by anyone, and those in effect (params_pack): where they differ, whoever has the entity next
	 * adopts what is asked for (sched_set_params). */
	ATOMIC(u64) wanted; /* (a) */
	u64 adopted;	    /* (q) */
	/*
	 * (q) The fair order: of the queue's lock while queued, of the CPU while current or about to be, of who made it leave or join
	 * otherwise.
	 */
	struct fair_node node;
	u64 vruntime;	     /* v; of one that does not compete: where it left */
	u64 deadline;	     /* d */
	u64 request_end;     /* e: v when the request is used up */
	u64 request_virtual; /* a whole request in virtual time: K * request_ns / weight */
	u64 request_ns;
	i64 lag;	/* V - v when it left, at most one request; virtual time */
	u64 shift;	/* added to vruntime on the way from queue to queue (balance.c) */
	u32 vremainder; /* of vruntime: in units of 1 / weight */
	bool owes;	/* it came with a debt to a queue where nobody competed: paid when V is ... */
	u64 paid_at;	/* ... this */
	u64 sequence;	/* order of arrival in the tree */
#ifdef CAPOS_MEASURE
	u64 pushed_ns; /* into an inbox */
#endif
};

/* Where a CPU's wake-ups went, and what it moved. Written by that CPU, read by anyone. */
struct placed {
	u64 moves[CAPOS_MIGRATION_KINDS];
	u64 local;   /* woken here */
	u64 remote;  /* woken elsewhere, of these ... */
	u64 sibling; /* ... on an SMT sibling */
	u64 failed;  /* an idle CPU was not chosen, since an interrupt was on its way there */
};

/* What a thread or an activity used: rises only; written by who owns the entity, read by anyone (AC3 to AC5 in account.c). */
struct cpu_account {
	u64 runtime_ns;
	u64 runnable_ns; /* runnable but waiting, up to the last selection */
	u64 switches;	 /* selections */
	/* Ways to leave the CPU: blocked (or ended); given way to a better one, by the timer or a wake-up; by itself, or because it
	 * may not be there any more. */
	u64 blocks, preemptions, yields;
	u32 migrations[CAPOS_MIGRATION_KINDS];
};

/* A kernel state machine with an entity: teardown, revocation, reclamation. */
enum activity_result { ACTIVITY_AGAIN, ACTIVITY_SLEEP, ACTIVITY_DONE };
struct activity {
	struct entity entity;
	const char *name;
	struct process *process; /* whose time it is; NULL: the kernel's */
	struct cpu_account account;
	struct timer timer;
	/* A bounded step (at most about 2,000 instructions). SLEEP: again after ACTIVITY_SLEEP_NS. DONE: the activity's
	 * memory may already be deferred; it is not touched again. */
	enum activity_result (*step)(struct cpu *cpu, struct activity *activity);
};
#define ACTIVITY_SLEEP_NS 100000ull
void activity_init(struct activity *activity, const char *name, struct process *process,
		   enum activity_result (*step)(struct cpu *, struct activity *));
/* Make it runnable; it must not be. */
void activity_start(struct cpu *cpu, struct activity *activity);

/* --- the queue: one per CPU ------------------------------------------------------------------------------------------ */

struct fair_tree {
	struct entity *root, *first;
};

/* What those that ended here were owed, or had had in advance: who comes from outside takes it over. For LAG_KEEP_NS. */
struct runq_legacy {
	i64 service;   /* K * ns; negative: a debt */
	i64 most_debt; /* of one of them */
	u64 left_ns;   /* when the last one left */
};

/*
 * The entities that compete on a CPU are those in the tree and the current one, which is in no sum: to charge it touches nothing
 * shared. For those who come with the lock from outside (thieves, snapshots) its vruntime and weight are published, late by the
 * time since the last charge at most.
 */
struct runq {
	struct spinlock lock;	   /* RANK_RUNQ, order = CPU */
	struct fair_tree tree;	   /* (l:lock) */
	ATOMIC(u32) count;	   /* (a) queued, without current; stored under lock */
	u32 policy;		   /* (c) since boot: enum sched_policy */
	ATOMIC(u64) weight;	   /* (a) W_q: sum of the queued ones' weights; stored under lock */
	__int128 sum;		   /* (l:lock) S_q: sum of weight * (vruntime - base) */
	u64 base;		   /* (l:lock) near all of them */
	u64 sequence;		   /* (l:lock) */
	struct runq_legacy legacy; /* (l:lock) */
	/* (os) of the current one */
	ATOMIC(u64)
	vruntime; /* its own; when there is none, of who left last: the virtual time while nobody competes */
	ATOMIC(u32) current_weight; /* 0: there is none */
};

/* V, the virtual time: the weighted mean of vruntime, rounded down. Under the lock. */
u64 runq_virtual_time(const struct runq *runq);
/* Service owed (> 0) to a competitor, or had in advance (< 0), ns. Under the lock. */
i64 runq_lag_ns(const struct runq *runq, const struct entity *entity);
/* How long the first of the queue is past its deadline, as service of its own; negative: not yet. The queue is not empty. Under the
 * lock. */
i64 runq_overdue_ns(const struct runq *runq);
/* The load: weights of all that compete. Anyone. */
static inline u64 runq_load(const struct runq *runq)
{
	return atomic_load_relaxed(&runq->weight) + atomic_load_relaxed(&runq->current_weight);
}

/* One that may run on `thief`, removed, with its lag; NULL when there is none among the first few. Under the lock. */
struct entity *runq_steal(struct runq *runq, const struct cpu *thief);
/* Is there one that `thief` would take? NULL: that may run on any CPU. Under the lock. */
bool runq_may_move(const struct runq *runq, const struct cpu *thief);

/* One that left this queue last will not come back: its lag stays. Under the lock. */
void runq_bequeath(struct runq *runq, const struct entity *entity);
/* One that is to compete here, and was nowhere, takes over what is left. Under the lock. */
void runq_inherit(struct runq *runq, struct entity *entity);

/* --- what other rooms call ------------------------------------------------------------------------------------------- */

void sched_init_cpu(struct cpu *cpu);
/* At boot, before anything is runnable: which policy all queues follow. */
void sched_set_policy(enum sched_policy policy);
/* By enum sched_policy, then NULL. */
extern const char *const sched_policy_names[SCHED_POLICIES + 1];
void entity_init(struct entity *entity, enum entity_kind kind, u64 affinity);
/* Make an entity runnable somewhere (place.c). Pushes or enqueues, sends at most one IPI. Owner must be NONE. Any CPU, any lock below
 * RANK_RUNQ may be held. */
void sched_wake(struct cpu *cpu, struct entity *entity);
/* For a call that does not end in sched_exit and may have woken somebody: should the current one give way to it, an interrupt
 * comes right after the call. */
void sched_look_soon(struct cpu *cpu);
/* A blocked or new thread becomes runnable: on the entity it holds, or its own. */
void thread_ready(struct cpu *cpu, struct thread *thread);
/* The current thread leaves the CPU (blocks, exits): charge, FPU, detach. current becomes NULL; it keeps its entity. */
void sched_detach_current(struct cpu *cpu);
/* Hand-off: `thread` (blocked until now, its waiter claimed) runs next on this CPU, on the entity it holds, without the queue,
 * within the slice of the one that blocked. False: not possible here (it holds none, place taken, current not detached, pinned
 * elsewhere); nothing changed. */
MUST_CHECK bool sched_handoff(struct cpu *cpu, struct thread *thread);
/* The current thread is blocked data after this, which the caller arms, and `to` (blocked until now, its waiter claimed) goes on in its
 * slice: it is current. False: it may not, is runnable, and waits in a queue; somebody else, or nobody, is current. */
MUST_CHECK bool sched_switch_to(struct cpu *cpu, struct thread *to);
/* The current entity goes on with another thread: no queue operation, no timer write. The former current thread is blocked
 * data after this (FPU stored) and has no entity; the caller arms its waiter afterwards. See kernel/sched/lend.c.
 * sched_lend: caller -> passive server (which holds no entity); sched_lend_reserve must have said yes in decode: of its own, it
 * takes memory.
 * sched_lend_blocked: `server` (current, or off its CPU without entity) goes on with the entity of a caller that is armed and
 * linked in a queue whose lock is held. False: no memory for the caller's spare, or no CPU any more for a pinned server (LE8); nothing
 * is lent. True: the server is off its
 * CPU and is given one by sched_handoff or thread_ready.
 * sched_return: server -> caller whose waiter is claimed; false when the server does not run on the entity that this caller
 * lent it (then: thread_ready(caller), which also settles a loan that is still out). */
MUST_CHECK u16 sched_lend_reserve(struct thread *caller);
/* What the thread runs on, or would if it were woken, may not be lent once more (LE7). Of a blocked one: as sched_lend_blocked. */
MUST_CHECK bool sched_is_too_deep(const struct thread *caller);
void sched_lend(struct cpu *cpu, struct thread *caller, struct thread *server);
MUST_CHECK bool sched_lend_blocked(struct cpu *cpu, struct thread *caller, struct thread *server);
MUST_CHECK bool sched_return(struct cpu *cpu, struct thread *server, struct thread *caller);
/* Is there a CPU for a passive server on the entity of this caller, which is current, or armed and linked (LE8)? */
MUST_CHECK bool sched_may_lend(struct thread *caller, const struct thread *server);
/* The current thread's call goes to a pinned server that waits, as by sched_lend_blocked, or, as without memory, on its own entity. The
 * server has a CPU, or waits for one, and the caller is blocked data, which is armed before the endpoint's lock is left: so the server cannot
 * reply before that. */
void sched_lend_apart(struct cpu *cpu, struct thread *caller, struct thread *server);
/* sched_return where the entity may have to go to another CPU: the server is off its CPU without entity, and `caller`, not current, is to
 * be made ready. False: not the entity that this caller lent by LE8. */
MUST_CHECK bool sched_return_apart(struct cpu *cpu, struct thread *server, struct thread *caller);
/* A passive thread that waits in receive holds no entity: called between sched_detach_current and waiter_arm. A borrowed
 * entity is free for its owner again (or freed, when its owner did without it meanwhile). */
void sched_drop_entity(struct thread *thread);
/* It does not compete, and never will again: its lag is left to its queue. Any CPU, no lock of RANK_RUNQ or above
 * held. */
void sched_bequeath(const struct entity *entity);
static inline void sched_end_entity(const struct entity *entity)
{
	if (unlikely(entity->lag != 0))
		sched_bequeath(entity);
}
/* The current thread gives way to others of its queue. */
void sched_yield_current(struct cpu *cpu);
/* End of every kernel entry: the thread to resume. Handles attention (kill, operations), picks, runs activities, idles. */
MUST_CHECK struct thread *sched_exit(struct cpu *cpu);
/* sched_exit for a fast entry (mach.h): `from` left the CPU by sched_detach_inline, and is armed. */
MUST_CHECK struct thread *sched_exit_blocked(struct cpu *cpu, struct thread *from);
/* The whole call by YIELD_WORD of `from`, which is current. */
#define YIELD_WORD CAPOS_CALL_WORD(0, 0, CAPOS_OP_YIELD, 0, 0)
MUST_CHECK struct thread *sched_exit_yield(struct cpu *cpu, struct thread *from);
/* Interrupt bits, in user mode or from a window; `now`: read after them. False: there was nothing to do but to look, for a tick. */
bool sched_irq(struct cpu *cpu, u32 bits, struct instant now);
/* Ask a CPU to look (REQUEST_*); sends one IPI unless one is pending. Full barrier before the IPI. */
void sched_request(struct cpu *cpu, struct cpu *target, u32 request);
/* Bring the running interval of current up to now. */
void sched_charge(struct cpu *cpu, struct instant now);
/* Change where a thread may run (AF3). True: it is in effect: of one that waits, or runs where it may; of one that runs on this CPU,
 * before that returns to user mode. False: it runs on another one, which is asked to send it away: sched_has_left says when that is
 * done, an interrupt later. Any CPU, no lock held from RANK_RUNQ on; one at a time for a thread. */
MUST_CHECK bool sched_set_affinity(struct cpu *cpu, struct thread *thread, u64 affinity);
/* It does not run where it may not. Any CPU, no lock. */
MUST_CHECK bool sched_has_left(const struct thread *thread);
/* Change weight, class and request of the thread's own entity, wherever it is, lent out too; in effect at once when it is queued,
 * after an IPI when it runs, else when it next competes. Any CPU, no lock of RANK_RUNQ or above held. The parameters are within bounds. */
void sched_set_params(struct cpu *cpu, struct thread *thread, const struct sched_params *params);
/* What was asked for last. */
struct sched_params sched_get_params(const struct thread *thread);
bool sched_params_are_valid(const struct sched_params *params);
/* The default request of a class. */
u64 sched_class_request_ns(enum capos_latency_class latency_class);
void sched_verify(struct cpu *cpu);
#ifdef CAPOS_MEASURE
void runq_bench(struct cpu *cpu); /* kernel/sched/bench.c */
#endif

#define REQUEST_RESCHEDULE 1u /* look at inbox and attention of current */
#define REQUEST_FLUSH 2u      /* TLB flushes are waiting (mm) */
#define REQUEST_TELL 4u	      /* watchers of contexts are to be woken */
#define REQUEST_CLOCK 8u      /* the counter is not to be trusted (time) */

#endif
