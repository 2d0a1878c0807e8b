/* SPDX-License-Identifier: MIT */
/*
 * Parking: threads wait for a word in user memory to change, in hashed buckets.
 *
 * A waiter's key is (process id, address) for private words, (memory object id, offset) for shared ones; object ids are
 * unique over all types, so the two never meet.
 *
 * PA1  No wake-up is lost. The waker stores the word, then wakes: takes the bucket's lock after its store. The waiter reads
 *      the word and queues itself under one hold of that lock. If its hold comes first, the waker finds it queued; if it
 *      comes second, the lock hands it the waker's store and it sees a mismatch.
 * PA2  The word is read through the direct map at an address translated before the lock was taken. An unmap in between can't
 *      give the frame to anybody: it is freed only after this CPU, which has the space loaded, acknowledged the flush, and that
 *      happens after this entry. For the same reason a thread may remember where its word was until space->changes rises
 *      (park_fast.c): that is stored before the flush is asked for.
 * A park_space carries authority only; each waiter names its park_space, and ending that looks through the buckets.
 */
#include <kernel/fastpath.h>
#include <kernel/trace.h>

#include "park.h"

#define WAKES_PER_STEP 8

void park_init(void)
{
	for (u32 i = 0; i < PARK_BUCKETS; i++) {
		struct park_bucket *bucket = &kernel_state.ipc.park[i];

		spinlock_init(&bucket->lock, RANK_PARK, i);
		list_init(&bucket->waiters);
	}
}

u16 park_space_create(struct process *owner, struct object **out)
{
	void *memory;
	u16 status = pool_alloc(POOL_PARK_SPACE, owner, &memory);

	if (status != CAPOS_STATUS_OK)
		return status;
	*out = &((struct park_space *)memory)->object;
	object_init(*out, CAPOS_IFACE_park_space, owner);
	return CAPOS_STATUS_OK;
}

static void park_unlink(struct waiter *waiter)
{
	struct park_bucket *bucket = bucket_of(waiter->key[0], waiter->key[1]);

	spin_lock(&bucket->lock);
	if (list_is_linked(&waiter->link))
		wait_leave(waiter);
	spin_unlock(&bucket->lock);
}

const struct waiter_ops park_ops = { .unlink = park_unlink };

/* Checks address and flags (their words); a status, OK with the key. */
static u64 park_key(const struct call *call, unsigned index, unsigned flags_index, struct park_key *key)
{
	u64 addr = call->word[index];
	u64 flags = call->word[flags_index];

	if ((addr & 3) != 0)
		return STATUS_DETAIL(BAD_ARGUMENT, index);
	if ((flags & ~(u64)CAPOS_PARK_SHARED) != 0)
		return STATUS_DETAIL(BAD_ARGUMENT, flags_index);
	return park_key_find(call->thread->process, addr, flags, key) ? STATUS(OK)
								      : STATUS_DETAIL(BAD_ADDRESS, index);
}

/* The words of a wait; a status, OK with the key and where the word is. */
static u64 wait_decode(const struct call *call, struct park_key *key, struct paddr *word)
{
	u64 result = park_key(call, 0, 3, key);

	if (result != STATUS(OK))
		return result;
	if (call->word[1] > 0xffffffffull)
		return STATUS_DETAIL(BAD_ARGUMENT, 1);
	if (!space_translate_loaded(&call->thread->process->space, (struct uaddr){ call->word[0] }, word))
		return STATUS(BAD_ADDRESS);
	return STATUS(OK);
}

static u64 wait_commit(struct call *call, const struct park_key *key, struct paddr word)
{
	struct instant deadline = call_deadline(call, 2);
	struct waiter *waiter = call->waiter;
	struct park_bucket *bucket = bucket_of(key->id, key->offset);
	u64 result;

	spin_lock(&bucket->lock);
	if (shared_load_relaxed((const u32 *)phys_to_virt(word)) != (u32)call->word[1])
		result = IRESULT(CAPOS_PARK_MISMATCH);
	else
		result = CAPOS_RESULT(deadline_check(deadline), 0, 0);
	if (result == STATUS(OK) && !wait_enter(waiter, call->cap.object, call->cap.grant))
		result = STATUS(REVOKED);
	if (result == STATUS(OK)) {
		waiter->key[0] = key->id;
		waiter->key[1] = key->offset;
		waiter_prepare(call->cpu, waiter);
		list_push_back(&bucket->waiters, &waiter->link);
		waiter_arm(call->cpu, waiter, CAPOS_WAIT_PARK, &park_ops, deadline);
		result = CALL_BLOCKED;
	}
	spin_unlock(&bucket->lock);
	return result;
}

u64 method_park_space_wait(struct call *call)
{
	struct park_key key;
	struct paddr word;
	u64 result = wait_decode(call, &key, &word);

	return result == STATUS(OK) ? wait_commit(call, &key, word) : result;
}

/* Claim and finish. While it was linked, under the lock, its kind and its deadline were this wait's. */
static inline __attribute__((always_inline)) bool end_wait(struct cpu *cpu, struct waiter *waiter)
{
	if (likely(waiter->kind == WAITER_THREAD && waiter->timer.deadline_ns == INSTANT_NEVER.ns)) {
		struct thread *thread = waiter->thread;
		struct entity *entity;

		if (!waiter_take_untimed(waiter))
			return false;
		thread->mach.frame.call = STATUS(OK);
		/* thread_ready */
		entity = thread->entity;
		if (likely(entity != NULL)) {
			entity->thread = thread;
			sched_wake(cpu, entity);
		} else {
			thread_ready(cpu, thread);
		}
		return true;
	}
	if (!waiter_claim(waiter))
		return false;
	waiter_finish(cpu, waiter, STATUS(OK), NULL, 0);
	return true;
}

/* Wake up to `n`; returns how many. */
static inline __attribute__((always_inline)) u64 park_wake(struct cpu *cpu, const struct park_key *key, u64 n)
{
	struct park_bucket *bucket = bucket_of(key->id, key->offset);
	u64 woken = 0;

	spin_lock_on(cpu, &bucket->lock);
	LIST_FOREACH_SAFE (&bucket->waiters, node, next) {
		struct waiter *waiter = waiter_of(node);

		if (woken == n)
			break;
		if (waiter->key[0] != key->id || waiter->key[1] != key->offset)
			continue;
		/* wait_leave */
		list_remove(&waiter->link);
		grant_put_later_inline(waiter->grant);
		woken += end_wait(cpu, waiter);
	}
	spin_unlock_on(cpu, &bucket->lock);
	return woken;
}

u64 park_wake_fast(u64 handle, u64 call_word, struct thread *thread)
{
	static const struct slot_need need = SLOT_NEED(CAPOS_IFACE_park_space, CAPOS_RIGHT_SIGNAL);
	struct cpu *cpu = mach_this_cpu();
	u64 *word = thread->mach.frame.word;
	struct park_key key;
	struct object *object;
	struct grant *grant;

	(void)call_word;
	if (unlikely(((word[0] & 3) | (word[2] & ~(u64)CAPOS_PARK_SHARED)) != 0 || word[1] > WAKES_PER_STEP ||
		     !cap_find_inline(thread->process, &handle, &need, &object, &grant, NULL) ||
		     !object_is_alive(object) || !park_key_find(thread->process, word[0], word[2], &key)))
		return CALL_NOT_FAST;
	word[0] = park_wake(cpu, &key, word[1]);
	if (unlikely(cpu->resched))
		sched_look_soon(cpu);
	return STATUS(OK);
}

/* args: key id, key offset, left to wake, woken so far. */
static enum operation_progress park_wake_step(struct cpu *cpu, struct thread *thread, struct operation *operation)
{
	u64 n = MIN(operation->args[2], (u64)WAKES_PER_STEP);
	u64 woken = park_wake(cpu, &(struct park_key){ operation->args[0], operation->args[1] }, n);

	(void)thread;
	operation->args[2] -= woken;
	operation->args[3] += woken;
	if (woken == n && operation->args[2] != 0)
		return OPERATION_AGAIN;
	operation->result = STATUS(OK);
	operation->word[0] = operation->args[3];
	operation->word_count = 1;
	return OPERATION_DONE;
}

u64 method_park_space_wake(struct call *call)
{
	struct park_key key;
	u64 n = call->word[1];
	u64 result = park_key(call, 0, 2, &key);
	struct operation *operation = &call->thread->operation;
	u64 woken;

	if (result != STATUS(OK))
		return result;
	woken = park_wake(call->cpu, &key, MIN(n, (u64)WAKES_PER_STEP));
	if (woken < WAKES_PER_STEP || woken == n) {
		call->word[0] = woken;
		return STATUS(OK);
	}
	result = call_start_operation(call, park_wake_step);
	operation->args[0] = key.id;
	operation->args[1] = key.offset;
	operation->args[2] = n - woken;
	operation->args[3] = woken;
	return result;
}

/* One is woken whatever becomes of the wait, once the words are in order. */
u64 method_park_space_wake_wait(struct call *call)
{
	struct park_key key, wake;
	struct paddr word;
	u64 result = wait_decode(call, &key, &word);

	if (result == STATUS(OK))
		result = park_key(call, 4, 3, &wake);
	if (result != STATUS(OK))
		return result;
	(void)park_wake(call->cpu, &wake, 1);
	return wait_commit(call, &key, word);
}

/* End waiters of this park_space: all, or those whose grant is dead. A step looks at every bucket, so that sweeps of several
 * revocations need no place to remember. */
static bool end_waiters(struct object *object, bool all)
{
	struct cpu *cpu = mach_this_cpu();
	unsigned ended = 0;

	for (u32 i = 0; i < PARK_BUCKETS && ended < WAKES_PER_STEP; i++) {
		struct park_bucket *bucket = &kernel_state.ipc.park[i];

		spin_lock(&bucket->lock);
		LIST_FOREACH_SAFE (&bucket->waiters, node, next) {
			struct waiter *waiter = waiter_of(node);

			if (waiter->object != object || (!all && !grant_is_dead(waiter->grant)))
				continue;
			wait_leave(waiter);
			if (waiter_claim(waiter))
				waiter_finish(cpu, waiter, STATUS(REVOKED), NULL, 0);
			if (++ended == WAKES_PER_STEP)
				break;
		}
		spin_unlock(&bucket->lock);
	}
	return ended < WAKES_PER_STEP;
}

static bool park_space_kill_step(struct object *object)
{
	return end_waiters(object, true);
}

static bool park_space_sweep_step(struct object *object, u64 *pass)
{
	(void)pass; /* a step looks at all that wait: docs/CAVEATS.md */
	return end_waiters(object, false);
}

static void park_space_free(struct object *object)
{
	pool_free(POOL_PARK_SPACE, container_of(object, struct park_space, object));
}

const struct object_type type_park_space =
	OBJECT_TYPE(park_space, .kill_step = park_space_kill_step, .sweep_step = park_space_sweep_step,
		    .free = park_space_free, .pool = POOL_PARK_SPACE + 1);
