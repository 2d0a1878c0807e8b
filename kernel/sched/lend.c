/* SPDX-License-Identifier: MIT */
/*
 * Lending of entities along synchronous calls: a passive server runs on its caller's entity.
 *
 *                         caller                      server
 *   caller runs           own = entity = e            entity = none
 *   sched_lend            own = e (LENT), entity none entity = e          the server runs, on e
 *   sched_lend_blocked    the same                    the same            the caller waited in a queue with its entity
 *   sched_return          own = entity = e            entity = none       the caller runs again, on e
 *   sched_drop_entity     own = e, entity none        entity = none       the server receives without having replied
 *   call ends otherwise   own = spare                 entity = e (ORPHAN) killed, revoked, peer gone: both can run on;
 *                                                                         e is freed when the borrower drops it
 *
 * In a chain a middle server lends on what it borrowed; only the owner's loan is marked. A reply returns the entity one link.
 *
 * LE1  A runnable or running thread holds exactly one entity, and entity->thread is it.
 * LE2  `loan` of an entity: LENT is set by its owner before the owner's waiter is armed, or by a server that finds the waiter
 *      in a queue (LE4), and cleared by exactly one of return (which won the waiter's claim), drop; ORPHAN is set by whoever
 *      ends the owner's call otherwise (it won the claim). Drop and orphan race: both are locked RMWs, and the second one
 *      frees (drop) or keeps (orphan) the entity.
 * LE3  A thread that lends its own entity has a spare (reserved in decode), so that ending the call allocates nothing.
 * LE4  A blocked caller keeps its entity (owner NONE) while it is queued. As long as its waiter is linked in the queue and the
 *      queue's lock is held, entity, own and spare of the caller are the holder's to change: the caller does not run, and
 *      whoever claims its waiter (WA2, WA3) takes that lock to unlink it before it makes the caller ready. Such a claimer
 *      then finds the entity lent, and settles the loan, as if the call had been in service from the beginning.
 * LE5  borrowed_from_id names the thread whose call, in service here, came with the entity that we run on: it is 0 on one's own,
 *      so that a middle server that went on with its own entity (the call that carried the borrowed one away ended otherwise)
 *      does not pass its own to its caller.
 * LE6  `own` is stored, and the context of its entity moved, under ring_lock; who binds a context holds it too. So an entity that has become
 *      an orphan is given none, and one is not given a second (tests/models/donate.pml).
 * LE7  `depth` of an entity: calls that it went along and did not come back from, beyond the owner's own; 0 when its owner has it, and below
 *      CAPOS_DONATION_DEPTH_MAX. Changed by who lends another one's, and gets it back; a call that would lend it once more is refused before
 *      anything changes.
 * LE8  A passive server that asked for a set of CPUs is pinned: its waiter says so, and it is called with a wake-up. It decides where
 *      the entity may run (server_set) while it has it (`apart`), and the waiter of the caller says that the reply is one too
 *      (`lent`): the entity goes to a CPU of that set, the one where the server began if that idles, and is woken near where it came from
 *      when it comes back. Along a chain the entity is, for who gets it back, that of who lent it: of its own set if it is pinned and
 *      took its call so, else of the owner's. A set that changes counts from the next call on.
 */
#include <kernel/fastpath.h>

#include "context.h"
#include "sched_priv.h"

u16 sched_lend_reserve(struct thread *caller)
{
	void *entity;
	u16 status;

	if (likely(caller->spare != NULL || caller->entity != caller->own))
		return CAPOS_STATUS_OK;
	status = pool_alloc(POOL_ENTITY, caller->process, &entity);
	if (status != CAPOS_STATUS_OK)
		return status;
	caller->spare = entity;
	entity_init(caller->spare, ENTITY_THREAD, AFFINITY_ANY); /* take_spare */
	caller->spare->thread = caller;
	return CAPOS_STATUS_OK;
}

bool sched_is_too_deep(const struct thread *caller)
{
	return caller->entity != caller->own && caller->entity->depth >= CAPOS_DONATION_DEPTH_MAX - 1;
}

void sched_lend(struct cpu *cpu, struct thread *caller, struct thread *server)
{
	KASSERT(!sched_is_too_deep(caller));
	KASSERT(cpu->current == caller && cpu->current_entity->thread == caller && server->entity == NULL);
	KASSERT(caller->entity != caller->own || caller->spare != NULL);
	if (caller->entity == caller->own)
		atomic_store_relaxed(&caller->own->loan, LOAN_LENT);
	else
		caller->entity->depth++;
	sched_lend_marked(cpu, caller, server);
	mach_thread_leave(caller);
	TRACE(cpu, SWITCH, server->object.id, server->object.id, CAPOS_WAIT_REPLY);
}

/* LE8. */
static u64 set_of_server(const struct thread *server)
{
	return shared_load_relaxed(&shared_load_relaxed(&server->own)->set);
}

static bool is_pinned(const struct thread *thread)
{
	return unlikely(shared_load_relaxed(&thread->wait.pinned) != 0);
}

bool sched_may_lend(struct thread *caller, const struct thread *server)
{
	return !is_pinned(server) || affinity_fits_context(caller->entity, NULL, set_of_server(server));
}

bool sched_lend_blocked(struct cpu *cpu, struct thread *caller, struct thread *server)
{
	struct entity *entity = caller->entity;
	bool pinned;

	KASSERT(entity != NULL && atomic_load_relaxed(&entity->owner) == OWNER_NONE);
	KASSERT(!sched_is_too_deep(caller));
	if (entity == caller->own) {
		if (sched_lend_reserve(caller) != CAPOS_STATUS_OK) {
			server->borrowed_from_id = 0; /* what it may still hold was not lent with this call */
			return false;
		}
	}
	pinned = is_pinned(server);
	if (pinned && !affinity_lend(entity, set_of_server(server))) {
		server->borrowed_from_id = 0; /* it was bound, or its server sent elsewhere, after sched_may_lend */
		return false;
	}
	if (entity == caller->own)
		atomic_store_relaxed(&entity->loan, LOAN_LENT);
	else
		entity->depth++;
	if (cpu->current == server)
		sched_detach_current(cpu);
	if (server->entity != NULL)
		sched_drop_entity(server);
	if (pinned) {
		caller->wait.lent = true;
		caller->lent_from = (u16)atomic_load_relaxed(&entity->cpu)->id;
		server->apart = true;
	}
	caller->entity = NULL;
	server->entity = entity;
	entity->thread = server;
	server->borrowed_from_id = caller->object.id;
	return true;
}

void sched_lend_apart(struct cpu *cpu, struct thread *caller, struct thread *server)
{
	sched_detach_current(cpu);
	if (!sched_lend_blocked(cpu, caller, server)) {
		thread_ready(cpu, server);
	} else if (!sched_handoff(cpu, server)) {
		account_unblocked(server);
		sched_wake_near(cpu, server->entity, atomic_load_relaxed(&server->own->cpu));
	}
}

bool sched_return(struct cpu *cpu, struct thread *server, struct thread *caller)
{
	/* LE5. A caller that holds an entity did not lend it with this call (taken by ring). */
	if (cpu->current != server || server->borrowed_from_id != caller->object.id || caller->entity != NULL ||
	    unlikely(!waiter_is_plain(&caller->wait)))
		return false;
	sched_return_inline(cpu, server, caller);
	mach_thread_leave(server);
	TRACE(cpu, SWITCH, caller->object.id, caller->object.id, CAPOS_WAIT_RECV);
	return true;
}

bool sched_return_apart(struct cpu *cpu, struct thread *server, struct thread *caller)
{
	struct entity *entity = server->entity;

	if (cpu->current != server || server->borrowed_from_id != caller->object.id || caller->entity != NULL)
		return false;
	sched_detach_current(cpu);
	if (!caller->apart || !affinity_lend(entity, set_of_server(caller)))
		(void)!affinity_lend(entity, 0);
	server->borrowed_from_id = 0;
	server->apart = false;
	server->entity = NULL;
	entity->thread = caller;
	caller->entity = entity;
	if (entity == caller->own)
		atomic_store_relaxed(&entity->loan, 0u);
	else
		entity->depth--;
	return true;
}

static void entity_free(struct reclaim_node *node)
{
	pool_free(POOL_ENTITY, container_of(node, struct entity, reclaim));
}

void sched_drop_entity(struct thread *thread)
{
	struct entity *entity = thread->entity;

	KASSERT(entity != NULL && atomic_load_relaxed(&entity->owner) == OWNER_NONE);
	thread->entity = NULL;
	thread->borrowed_from_id = 0;
	thread->apart = false;
	if (entity == thread->own || !(atomic_load_relaxed(&entity->loan) & LOAN_LENT))
		return;
	/* Its owner may be blocked still: who looks at its context finds nobody, not one who may be gone by then. */
	shared_store_relaxed(&entity->thread, NULL);
	if (!(atomic_fetch_and(&entity->loan, ~LOAN_LENT) & LOAN_ORPHAN))
		return;
	sched_end_entity(entity);
	reclaim_defer(&entity->reclaim, entity_free);
}

void sched_bequeath(const struct entity *entity)
{
	struct cpu *cpu = atomic_load_relaxed(&entity->cpu);

	if (cpu == NULL)
		return;
	spin_lock(&cpu->runq.lock);
	runq_bequeath(&cpu->runq, entity);
	spin_unlock(&cpu->runq.lock);
}

/* Not a new thread, but its debt is the old entity's, and will be left by that. So it takes over what is left already, as a new one
 * does: else one whose calls end by their deadline would begin anew each time. */
static void place_spare(struct cpu *cpu, struct entity *spare, const struct entity *old)
{
	struct cpu *where = atomic_load_relaxed(&old->cpu);
	struct instant now = mach_clock();

	spare->vruntime = old->vruntime;
	spare->shift = old->shift;
	spare->enqueued_ns = now.ns;
	atomic_store_relaxed(&spare->cpu, where);
	/* Virtual time as of now, as in sched_wake. */
	if (where == cpu && cpu->current_entity != NULL && !cpu->in_interrupt)
		account_current(cpu, cpu->current_entity, now);
	spin_lock(&where->runq.lock);
	runq_inherit(&where->runq, spare);
	spin_unlock(&where->runq.lock);
}

/* What sched_set_params stored at the old entity is copied: before, or, if it came between, after `own` is seen to be new. */
static void take_spare(struct cpu *cpu, struct thread *thread)
{
	struct entity *old = thread->own, *spare = thread->spare;
	u64 wanted = atomic_load_relaxed(&old->wanted) & ~PARAMS_BEST_EFFORT; /* its context comes without */

	place_spare(cpu, spare, old);
	atomic_store_relaxed(&spare->wanted, wanted);
	spin_lock(&thread->ring_lock); /* LE6 */
	affinity_pass_on(thread, old, spare);
	context_move(cpu, old, spare);
	spin_unlock(&thread->ring_lock);
	thread->spare = NULL;
	atomic_fence();
	if ((atomic_load_relaxed(&old->wanted) & ~PARAMS_BEST_EFFORT) != wanted)
		atomic_store_relaxed(&spare->wanted, atomic_load_relaxed(&old->wanted) & ~PARAMS_BEST_EFFORT);
	/* Weight and class were lent for the call, which is over: else each server of one that was given more would keep as much. */
	params_take_back(cpu, old);
}

/* The thread's call ended while its own entity may be lent: it goes on with its spare. */
static void settle_loan(struct cpu *cpu, struct thread *thread)
{
	struct entity *entity = thread->own;

	if (!(atomic_load_relaxed(&entity->loan) & LOAN_LENT))
		return;
	if (!(atomic_fetch_or(&entity->loan, LOAN_ORPHAN) & LOAN_LENT)) {
		atomic_store_relaxed(&entity->loan, 0u); /* dropped just before: it is ours again */
		return;
	}
	pool_uncharge(POOL_ENTITY, thread->process);
	take_spare(cpu, thread);
}

/* What a call took along is its own again. */
static __attribute__((noinline)) void take_own(struct cpu *cpu, struct thread *thread)
{
	settle_loan(cpu, thread);
	thread->entity = thread->own;
	thread->own->depth = 0;	      /* LE7 */
	thread->borrowed_from_id = 0; /* LE5 */
	if (unlikely(thread->own->server_set != 0))
		(void)!affinity_lend(thread->own, 0);
}

void thread_ready(struct cpu *cpu, struct thread *thread)
{
	account_unblocked(thread);
	if (unlikely(thread->entity == NULL))
		take_own(cpu, thread);
	thread->entity->thread = thread;
	if (likely(!thread->wait.lent)) {
		sched_wake(cpu, thread->entity);
		return;
	}
	thread->wait.lent = false;
	sched_wake_near(cpu, thread->entity, cpu_get(thread->lent_from));
}
