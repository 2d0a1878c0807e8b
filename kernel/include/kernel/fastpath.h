/* SPDX-License-Identifier: MIT */
/*
 * Inline parts of rooms that the fast paths of calls are put together from. What they mean stands where their general
 * versions are: reclaim.c, cap.h (cap_lookup), wait.h.
 */
#ifndef KERNEL_FASTPATH_H
#define KERNEL_FASTPATH_H

#include <kernel/cpu.h>
#include <kernel/debug.h>
#include <kernel/state.h>
#include <kernel/thread.h>

/* --- reclaim ------------------------------------------------------------------------------------------------------- */

static inline void reclaim_kernel_enter_inline(struct cpu *cpu)
{
	u64 period = atomic_load_relaxed(&kernel_state.cap.epoch);

	(void)atomic_xchg(&cpu->epoch, period * 2 + 1);
}

static inline void reclaim_kernel_exit_inline(struct cpu *cpu)
{
	atomic_store_release(&cpu->epoch, 0ull); /* pairs with the acquire in reclaim_scan */
}

/* --- results ------------------------------------------------------------------------------------------------------- */

/* The thread goes back to its program: if it made a call, this is the result (errors_verify). */
static inline void call_verify_return(struct thread *thread)
{
	if (CAPOS_DEBUG && thread->asked.pending) {
		thread->asked.pending = false;
		errors_verify(thread, thread->asked.call_word, thread->asked.endpoint, CAPOS_WAY_CALL,
			      thread->mach.frame.call);
	}
}

/* --- capabilities -------------------------------------------------------------------------------------------------- */

static inline struct slot *slot_at(const struct cap_table *table, u32 index)
{
	/* Pairs with the release in index_replace: the pages behind it are stored. */
	struct slot **pages = atomic_load_acquire(&table->index);

	return &pages[index / SLOTS_PER_PAGE][index % SLOTS_PER_PAGE];
}

/* Why a handle of an existing slot does not fit it. */
static inline u16 slot_mismatch(u32 generation_now, u32 generation_asked)
{
	return generation_asked > generation_now ? CAPOS_STATUS_INVALID_HANDLE : CAPOS_STATUS_STALE_HANDLE;
}

/*
 * The look-up. A writer makes the generation even before it touches the other fields, and odd (another one) after it has
 * filled them, so what was read between two equal readings of the generation belongs together; and the slot's reference on
 * the grant was still held at the second, so the grant's memory outlives this kernel entry.
 */
static inline __attribute__((always_inline)) u16 cap_lookup_inline(struct process *process, u64 handle,
								   struct cap *out)
{
	u32 index = CAPOS_HANDLE_SLOT(handle), generation = CAPOS_HANDLE_GENERATION(handle), now;
	const struct cap_table *table = &process->table;
	struct slot *slot;

	if (likely(index < SLOTS_PER_PAGE))
		/* Those that do not exist yet are empty ones. Pairs with the release in set_first. */
		slot = &atomic_load_acquire(&table->first)[index];
	else if (index < atomic_load_acquire(&table->slot_count))
		/* Pairs with the release in slot_take: the page of a counted slot is in the index. */
		slot = slot_at(table, index);
	else
		return CAPOS_STATUS_INVALID_HANDLE;
	if (unlikely((generation & 1u) == 0))
		return CAPOS_STATUS_INVALID_HANDLE;
	now = atomic_load_acquire(&slot->generation); /* pairs with the release at the end of cap_insert */
	if (unlikely(now != generation))
		return slot_mismatch(now, generation);
	/* Acquire: none of them after the second reading. */
	out->object = atomic_load_acquire(&slot->object);
	out->grant = atomic_load_acquire(&slot->grant);
	out->rights = (u16)atomic_load_acquire(&slot->type_rights);
	out->badge = atomic_load_acquire(&slot->badge);
	if (unlikely(!atomic_equals_relaxed(&slot->generation, generation)))
		return CAPOS_STATUS_STALE_HANDLE;
	/* The grant first: behind a dead one the object may be gone (CA2). */
	if (unlikely(grant_is_dead(out->grant) || !object_is_alive(out->object)))
		return CAPOS_STATUS_REVOKED;
	return CAPOS_STATUS_OK;
}

/* cap_lookup_typed. */
static inline __attribute__((always_inline)) u16 cap_typed_inline(struct process *process, u64 handle, u16 type,
								  u32 rights, struct cap *out)
{
	u16 status = cap_lookup_inline(process, handle, out);

	if (status != CAPOS_STATUS_OK)
		return status;
	if (type != 0 && out->object->type != type)
		return CAPOS_STATUS_WRONG_INTERFACE;
	if ((out->rights & rights) != rights)
		return CAPOS_STATUS_MISSING_RIGHTS;
	return CAPOS_STATUS_OK;
}

/*
 * The same for a handle that is likely to fit: a slot of the first page that holds what is needed; one of another page only with
 * `first_page`, a constant, false. The object is not asked whether it lives, rights are not told, and the badge (NULL) need not be.
 * False: it does not fit, or there is more to look at.
 */
static inline __attribute__((always_inline)) bool cap_find_within(struct process *process, const u64 *handle,
								  const struct slot_need *need,
								  struct object **object, struct grant **grant,
								  u64 *badge, bool first_page)
{
	const u32 *half = (const u32 *)handle; /* CAPOS_HANDLE_SLOT, CAPOS_HANDLE_GENERATION */
	u32 index = half[0], generation = half[1];
	struct slot *slot;

	if (unlikely((generation & 1u) == 0))
		return false;
	if (likely(index < SLOTS_PER_PAGE))
		slot = &atomic_load_acquire(&process->table.first)[index]; /* pairs with the release in set_first */
	else if (!first_page && index < atomic_load_acquire(&process->table.slot_count)) /* as in cap_lookup_inline */
		slot = slot_at(&process->table, index);
	else
		return false;
	/* Pairs with the release at the end of cap_insert. */
	if (unlikely(!atomic_equals_acquire(&slot->generation, generation) ||
		     ((atomic_load_acquire(&slot->type_rights) ^ need->meaning) & need->mask) != 0))
		return false;
	*object = atomic_load_acquire(&slot->object);
	*grant = atomic_load_acquire(&slot->grant);
	if (badge != NULL)
		*badge = atomic_load_acquire(&slot->badge);
	if (unlikely(!atomic_equals_relaxed(&slot->generation, generation)))
		return false;
	return !grant_is_dead(*grant);
}

static inline __attribute__((always_inline)) bool cap_find_inline(struct process *process, const u64 *handle,
								  const struct slot_need *need,
								  struct object **object, struct grant **grant,
								  u64 *badge)
{
	return cap_find_within(process, handle, need, object, grant, badge, false);
}

static inline __attribute__((always_inline)) bool grant_get_inline(struct grant *grant)
{
	u32 now = atomic_load_relaxed(&grant->references);

	if (unlikely(now == 0 || grant_is_dead(grant)))
		return false;
	KASSERT(now != ~0u);
	return likely(atomic_cas(&grant->references, now, now + 1)) || grant_get(grant);
}

/* The last two references are what grant_put_later looks at. */
static inline __attribute__((always_inline)) void grant_put_later_inline(struct grant *grant)
{
	u32 now = atomic_load_relaxed(&grant->references);

	if (unlikely(now <= 2 || !atomic_cas(&grant->references, now, now - 1)))
		grant_put_later(grant);
}

/* --- address spaces ------------------------------------------------------------------------------------------------ */

/* space_switch: to and fro between two spaces nothing but the root changes (SD5 in shootdown.c). */
static inline __attribute__((always_inline)) void space_switch_inline(struct cpu *cpu, struct space *space)
{
	struct space *old = cpu->loaded_space;

	if (old == space)
		return;
	if (unlikely(space == NULL || cpu->previous_space != space)) {
		space_switch_far(cpu, space);
		return;
	}
	MEASURE_COUNT(cpu, tlb_cr3_loads, 1);
	mach_space_load(&space->mach);
	cpu->loaded_space = space;
	cpu->previous_space = old;
}

/* --- CPU time ------------------------------------------------------------------------------------------------------ */

/* The span since the last account. */
static inline u64 account_elapsed_ns(struct cpu *cpu, struct instant now)
{
	u64 delta_ns;

	if (unlikely(__builtin_sub_overflow(now.ns, cpu->account_ns, &delta_ns))) {
		(void)atomic_fetch_or(&cpu->requests, REQUEST_CLOCK); /* the counter has gone back */
		return 0;
	}
	cpu->account_ns = now.ns;
	atomic_order(); /* AC5 */
	return delta_ns;
}

/* B1, SC1: the one place where an entity changes its dispatch owner. */
static inline __attribute__((always_inline)) void owner_change(struct entity *entity, enum dispatch_owner from,
							       enum dispatch_owner to)
{
	KASSERT(atomic_load_relaxed(&entity->owner) == from);
	atomic_store_relaxed(&entity->owner, to);
}

static inline struct cpu_account *account_of(struct entity *entity)
{
	return likely(entity->kind == ENTITY_THREAD) ? &entity->thread->account : &entity->activity->account;
}

/* `entity` (current) had delta_ns of service; by its CPU, without the queue's lock. What does not make a whole unit of vruntime is
 * carried over (vremainder), so that nothing adds up: docs/SCHEDULING.md. */
static inline void runq_charge(struct runq *runq, struct entity *entity, u64 delta_ns)
{
	u64 scaled;

	delta_ns = MIN(delta_ns, CHARGE_MAX_NS);
	if (likely(entity->weight == CAPOS_WEIGHT_DEFAULT)) {
		entity->vruntime +=
			delta_ns * (VIRTUAL_PER_NS / CAPOS_WEIGHT_DEFAULT); /* leaves the remainder alone */
	} else {
		scaled = delta_ns * VIRTUAL_PER_NS + entity->vremainder;
		entity->vruntime += scaled / entity->weight;
		entity->vremainder = (u32)(scaled % entity->weight);
	}
	atomic_store_relaxed(&runq->vruntime, entity->vruntime);
}

/* By the CPU, which need not hold the lock: `entity` becomes current; it competes already or has just been placed. */
static inline void runq_set_current(struct runq *runq, const struct entity *entity)
{
	atomic_store_relaxed(&runq->vruntime, entity->vruntime);
	atomic_store_relaxed(&runq->current_weight, entity->weight);
}
/* The current one competes no more, or in the queue. */
static inline void runq_no_current(struct runq *runq)
{
	atomic_store_relaxed(&runq->current_weight, 0u);
}

void runq_leave_slowly(struct runq *runq, struct entity *entity);
/* By the CPU, without the lock: the current one blocks, at `left_ns`. */
static inline void runq_leave(struct runq *runq, struct entity *entity, u64 left_ns)
{
	entity->enqueued_ns = left_ns;
	entity->lag = 0; /* alone */
	if (unlikely(atomic_load_relaxed(&runq->count) != 0 || entity->owes))
		runq_leave_slowly(runq, entity);
	runq_no_current(runq);
}

/* What `entity` (current) had of service up to now, but for its context, which is to be charged with what this returns. */
static inline __attribute__((always_inline)) u64 account_service(struct cpu *cpu, struct entity *entity,
								 struct instant now)
{
	u64 delta_ns = account_elapsed_ns(cpu, now);

	if (unlikely(entity->kind != ENTITY_THREAD))
		cpu->activity_ns += delta_ns;
	account_of(entity)->runtime_ns += delta_ns;
	atomic_order(); /* AC5 */
	cpu->busy_ns += delta_ns;
	delta_ns += entity->uncharged_ns;
	entity->uncharged_ns = 0;
	runq_charge(&cpu->runq, entity, delta_ns);
	OBSERVE_CHARGE(cpu);
	return delta_ns;
}

static inline bool has_context(const struct entity *entity)
{
	return unlikely(!atomic_equals_relaxed(&entity->context, NULL));
}

/* kernel/sched/context.c */
void context_charge(struct cpu *cpu, struct entity *entity, u64 used_ns, bool blocks);

/* account_current; `blocks`, a constant: it leaves its CPU to wait. */
static inline __attribute__((always_inline)) void account_current_as(struct cpu *cpu, struct entity *entity,
								     struct instant now, bool blocks)
{
	u64 used_ns = account_service(cpu, entity, now);

	if (has_context(entity))
		context_charge(cpu, entity, used_ns, blocks);
}

/* sched_charge where there is a current entity. */
static inline void account_current(struct cpu *cpu, struct entity *entity, struct instant now)
{
	account_current_as(cpu, entity, now, false);
}

/* A running thread, charged up to now, leaves its CPU to wait (C1: it is not charged again before account_unblocked). */
static inline void account_blocked(struct thread *thread)
{
	atomic_order(); /* AC5 */
	thread->account.blocks++;
	if (CAPOS_DEBUG)
		thread->blocked_runtime_ns[0] = thread->account.runtime_ns;
}

static inline void account_unblocked(const struct thread *thread)
{
	KVERIFY(thread->account.runtime_ns == thread->blocked_runtime_ns[0]);
}

/* sched_detach_current of a thread whose registers are saved: without mach_thread_leave. */
static inline __attribute__((always_inline)) void sched_detach_inline(struct cpu *cpu)
{
	struct thread *thread = cpu->current;
	struct entity *entity = cpu->current_entity;

	KASSERT(thread != NULL && entity->thread == thread && thread->entity == entity);
	account_current_as(cpu, entity, mach_clock_quick(), true);
	runq_leave(&cpu->runq, entity, cpu->account_ns);
	account_blocked(thread);
	owner_change(entity, OWNER_CURRENT, OWNER_NONE);
	cpu->current = NULL;
	cpu->current_entity = NULL;
}

/* --- lending: kernel/sched/lend.c ---------------------------------------------------------------------------------- */

#define LOAN_LENT 1u
#define LOAN_ORPHAN 2u

/* The CPU goes on with `to`, which holds none, on the current entity. Whoever calls this sees to the machine's state of `from`. */
static inline __attribute__((always_inline)) void sched_pass_entity(struct cpu *cpu, struct thread *from,
								    struct thread *to)
{
	struct entity *entity = cpu->current_entity;
	u64 delta_ns = account_elapsed_ns(cpu, mach_clock_quick());

	/* sched_charge, but the policy is told with the next one, for the entity goes on. */
	from->account.runtime_ns += delta_ns;
	atomic_order(); /* AC5 */
	cpu->busy_ns += delta_ns;
	entity->uncharged_ns += delta_ns;
	account_blocked(from);
	account_unblocked(to);
	from->entity = NULL;
	to->entity = entity;
	entity->thread = to;
	cpu->current = to;
	to->account.switches++;
	space_switch_inline(cpu, &to->process->space);
}

/*
 * sched_lend and sched_return, without mach_thread_leave and without a trace; whoever calls them has checked that `to` holds no
 * entity. A caller which lends its own has a spare, and has marked it as lent (LE2, LE3); another one's is counted (LE7).
 */
static inline __attribute__((always_inline)) void sched_lend_marked(struct cpu *cpu, struct thread *caller,
								    struct thread *server)
{
	server->borrowed_from_id = caller->object.id;
	sched_pass_entity(cpu, caller, server);
}

static inline __attribute__((always_inline)) void sched_return_inline(struct cpu *cpu, struct thread *server,
								      struct thread *caller)
{
	server->borrowed_from_id = 0;
	sched_pass_entity(cpu, server, caller);
	if (likely(caller->entity == caller->own))
		atomic_store_relaxed(&caller->own->loan, 0u);
	else
		caller->entity->depth--;
}

/* --- waiters: threads, without deadline ---------------------------------------------------------------------------- */

/* waiter_arm, but the look at what came before the arm is left to whoever calls this: fast_exit. */
static inline __attribute__((always_inline)) void waiter_arm_untimed(struct waiter *waiter, enum capos_wait wait,
								     const struct waiter_ops *ops)
{
	_Static_assert(WAITER_IDLE == 0, "armed is added");
	KVERIFY((atomic_load_relaxed(&waiter->state) & WAITER_STATE_MASK) == WAITER_IDLE);
	KVERIFY(waiter->timer.deadline_ns == INSTANT_NEVER.ns);
	waiter->wait = (u8)wait;
	waiter->ops = ops;
	/* Full barrier: orders the arm before the look at `attention` in fast_exit; pairs with thread_kill. */
	(void)atomic_fetch_add(&waiter->state, WAITER_SEQUENCE_ONE + WAITER_ARMED);
}

/* waiter_claim and waiter_deliver in one step, for a thread that waits outside of an operation and without a deadline: the words
 * are the caller's to store. False: lost; nothing happened. */
MUST_CHECK static inline __attribute__((always_inline)) bool waiter_take_untimed(struct waiter *waiter)
{
	u32 seen = atomic_load_relaxed(&waiter->state);

	_Static_assert((WAITER_ARMED & 1) == 1 && ((WAITER_IDLE | WAITER_CLAIMED) & 1) == 0, "one bit says armed");
	return likely((seen & WAITER_ARMED) != 0 &&
		      atomic_cas(&waiter->state, seen, seen - WAITER_ARMED + WAITER_IDLE));
}

/* --- the way out ----------------------------------------------------------------------------------------------------- */

/* The last of every kernel entry: this thread goes back to its program. */
static inline struct thread *leave_kernel(struct cpu *cpu, struct thread *thread)
{
	KASSERT(CAPOS_DEBUG == 0 || cpu->lock_depth == 0);
	call_verify_return(thread);
	reclaim_kernel_exit_inline(cpu);
	return thread;
}

/* sched_exit when `from` was armed in this entry and `to` became current: nobody killed the one, and nothing is to be done
 * before the other goes on? The machine calls reclaim_kernel_exit. by_syscall, a constant: `to` waits in a system call. */
static inline __attribute__((always_inline)) struct thread *fast_exit(struct cpu *cpu, struct thread *from,
								      struct thread *to, bool by_syscall)
{
	if (unlikely(!atomic_equals_relaxed(&from->attention, 0u) || cpu->resched ||
		     !atomic_equals_relaxed(&to->attention, 0u))) {
		cpu->armed_waiter = &from->wait;
		mach_thread_leave(from);
		return sched_exit(cpu);
	}
	KASSERT(CAPOS_DEBUG == 0 || cpu->lock_depth == 0);
	call_verify_return(to);
	return by_syscall ? mach_ipc_resume(to) : to;
}

#endif
