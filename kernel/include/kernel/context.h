/* SPDX-License-Identifier: MIT */
/*
 * Scheduling contexts: a budget per period that an entity carries, and takes along when it is lent.
 *
 *   bind --> entity.context --charge--> refills --used up--> throttled --refill's time, or kill, unbind--> wakes up
 *
 *  SX1  context->entity and entity->context name each other, or the context is being unbound: changed under context->lock by who
 *       binds, unbinds or moves it; entity->context is read without, and is then valid memory until the end of this kernel entry.
 *  SX2  The refills are charged by the CPU that runs the entity, under context->lock. Sum of refills = budget (RF1) whoever has it.
 *  SX3  OWNER_THROTTLED is entered and left under context->lock, by an entity that is bound. A throttled entity is in no queue, and
 *       the context's timer runs (or its shot is on the way), or `suspended` says that somebody has to call `resume`. Who ends that
 *       makes the owner word NONE, cancels the timer, and wakes it without the lock: exactly one does.
 *  SX4  A thread that dies is not held up: it is not throttled, and has its own parameters. Who marks it takes the lock after that.
 *  SX5  Whoever takes the context from an entity charges what that ran until then, on whatever CPU: while the entity is current, all the
 *       time since charged_ns is its own (and the interrupts' since then). So charged_ns is brought up before it becomes current.
 *  SX6  PARAMS_BEST_EFFORT of entity->wanted is set exactly while `best_effort` is, and the timer runs: it is not charged.
 *  SX7  Nobody is bound in a session that was logged out. Who binds stores the binding, then, behind a full barrier, looks at the
 *       session's `alive`, and takes it back; who logs out clears `alive`, then, behind one, looks at the bindings (context_logout).
 */
#ifndef KERNEL_CONTEXT_H
#define KERNEL_CONTEXT_H

#include <capos/interface.h>
#include <kernel/cap.h>
#include <kernel/object.h>
#include <kernel/refill.h>
#include <kernel/timer.h>
#include <kernel/types.h>
#include <kernel/waitlist.h>

struct call;
struct cpu;
struct entity;
struct process;
struct session;
struct thread;

/* The one-shot is armed so much before the end of a budget: the way from its interrupt to the charge. */
#define CONTEXT_LEAD_NS 1000ull
/* Nobody is dispatched for less: small change waits for the next refill, shorter breaks are closed. An end of the budget and its return
 * cost about as much. More than the lead, so that who waits waits for later. */
#define CONTEXT_LEAST_NS (2 * CONTEXT_LEAD_NS)

struct context {
	struct object object;
	struct spinlock lock;		/* RANK_CONTEXT, order = object id */
	struct capos_context_spec spec; /* (c) */
	u64 mask;			/* (c) CPUs that it is for: kernel/affinity.h */
	ATOMIC(u64) generation;		/* (a) 1; 2: revoked, or its object is ending */
	struct grant *revoked_through;	/* (l:lock) whose calls find `revoked`: compared, never followed */
	struct entity *entity;		/* (l:lock; read by anyone) SX1; NULL: unbound */
	u64 thread_id;			/* (l:lock) bound */
	u64 charged_ns;			/* (l:lock) what it ran before is charged, or was before the bind (SX5) */
	struct refills refills;		/* (l:lock) */
	u64 used_ns, throttles;		/* (l:lock) */
	bool began;			/* (l:lock) it became current with a budget since that ended last */
	bool may_run;	  /* (l:lock; read by who made it current) it became so with what it needs, after the bind */
	bool suspended;	  /* (l:lock) SX3 */
	bool best_effort; /* (l:lock) SX6 */
	struct timer timer; /* SX3 */
	/* context_notify.c */
	struct capos_context_notifications cell; /* (l:lock) state is filled in by the reader */
	bool in_job;				 /* (l:lock) */
	u64 job_from_ns;			 /* (l:lock) the next job does not begin before */
	u64 job_due_ns;				 /* (l:lock) NEVER: no job, or it is told that this is over */
	struct waitlist watchers;		 /* (l:object.lock) */
	bool watched;				 /* (l:lock) there may be some */
	bool marked;				 /* (l:lock) a CPU is going to wake them: CN4 ... */
	struct context *marked_next;		 /* (o: that CPU) */
	u64 words[];				 /* on a wide machine: the mask's; those of AF4 */
};

/* --- context.c, context_object.c: who has one ---------------------------------------------------------------------------- */

/* The object and its id are there, the spec is good. Unbound, for every CPU, with the whole budget from now on. */
void context_init(struct context *context, const struct capos_context_spec *spec);
/* An object for a good spec, not published yet, for a set of CPUs at least one of which is online; NULL: those that `creator` allows
 * (NULL: every CPU). CAPOS_STATUS_OK, or that of the allocation. */
MUST_CHECK u16 context_create(struct process *owner, const struct capos_context_spec *spec,
			      const struct context *creator, const struct capos_cpu_set *cpus, struct object **out);
/* Any CPU; the thread's lock is held, it has not ended. A result word of scheduling_context. If it runs where it may not any more, its CPU
 * is asked to send it away: sched_has_left. */
MUST_CHECK u64 context_bind(struct cpu *cpu, struct context *context, struct thread *thread);
/* context_bind, for one of a context's capabilities (which is live) and a thread that may have ended (NULL: it has) or be passive. */
MUST_CHECK u64 context_bind_through(struct cpu *cpu, const struct cap *cap, struct thread *thread);
/* A call bound a thread, which it named through `grant`, the thread's own or its process's: it ends with this result, as soon as the
 * thread has left where it may not be. */
MUST_CHECK u64 context_bind_wait(struct call *call, const struct cap *cap, struct thread *thread, struct grant *grant,
				 u64 result);
/* context_bind_through and _wait, for a call through the context. */
MUST_CHECK u64 context_bind_for(struct call *call, struct thread *thread, struct grant *grant);
/* Any CPU, no lock; it is in effect at once, wherever the thread is. What was used stays used. False: it was not bound. */
bool context_unbind(struct cpu *cpu, struct context *context);
/* The same for good: calls through the grant `through` find `revoked` from then on (NULL: none does), all others `staleGeneration`.
 * False: that was done before. */
bool context_end(struct cpu *cpu, struct context *context, struct grant *through);
enum context_logout { CONTEXT_NOT_BOUND, CONTEXT_MARKED_STALE, CONTEXT_IN_FLIGHT };
/* The session was logged out: what becomes of the context that this thread is bound to, if it is of the session, or runs on: it has
 * ended, as by context_end; or it goes along a call at this moment, which is left alone. Each is found through one thread of the
 * session. Any CPU, no lock. */
MUST_CHECK enum context_logout context_logout(struct cpu *cpu, const struct session *session, struct thread *thread);
/* thread->ended is set, so nobody binds it any more: what it was bound to is free. No lock. */
void context_thread_gone(struct cpu *cpu, struct thread *thread);
/* The call of a thread whose own entity is lent ended: its spare takes the context. Who borrows goes on without. Under ring_lock (LE6). */
void context_move(struct cpu *cpu, struct entity *from, struct entity *to);
/* What a thread runs on has used up its budget, or is suspended. A look without a lock, at a thread that does not wait. */
bool context_throttles(const struct thread *thread);
/* As of now: what runs on it is charged. Any CPU, no lock. */
void context_fill_info(struct cpu *cpu, struct context *context, struct capos_context_info *out);

/* --- budget.c ------------------------------------------------------------------------------------------------------------ */

/* ATTENTION_KILL of the entity's thread is set: it is not held up any more (SX4). Any CPU, no lock. */
void context_release(struct cpu *cpu, struct entity *entity);
/* It does not wait for that any more, but for a refill if there is none yet. Any CPU, no lock. False: it is not suspended. */
bool context_resume(struct cpu *cpu, struct context *context);

/* --- context_notify.c ------------------------------------------------------------------------------------------------------ */

/* What the cell says, with `state`; its counts begin anew, unless the context has ended: CN3. */
void context_drain(struct context *context, struct capos_context_notifications *out);
/* A result word of scheduling_context, or CALL_BLOCKED: until the cell is at another sequence than the one that the call names. */
MUST_CHECK u64 context_watch(struct context *context, struct call *call);
/* What a call through `grant` finds: OK, or how the context ended. */
MUST_CHECK u64 context_check(struct context *context, const struct grant *grant);
/* REQUEST_TELL: wakes those who watch a context that this CPU marked. No lock is held. */
void context_tell(struct cpu *cpu);
/* The object ends: a batch of those who watch. True: nobody does, and no CPU is going to look. */
MUST_CHECK bool context_watchers_end(struct cpu *cpu, struct context *context);

#endif
