/* SPDX-License-Identifier: MIT */
/*
 * A wait for a word, without deadline, from the machine's entry to the next thread: PA1, PA2, and the dispatch of whoever
 * is first in this CPU's queue, or of whom the call wakes before it waits: that one goes on within the slice, without the queue.
 * Whatever is not exactly this case returns NULL before anything is changed.
 *
 * Called as kernel_syscall_ipc is: the compiler need not preserve any registers here (Makefile).
 */
#include <kernel/fastpath.h>
#include <kernel/ipc.h>
#include <kernel/trace.h>

#include "park.h"

#define INLINE static inline __attribute__((always_inline))

static const struct slot_need need_wait = SLOT_NEED(CAPOS_IFACE_park_space, CAPOS_RIGHT_WAIT);
static const struct slot_need need_both = SLOT_NEED(CAPOS_IFACE_park_space, CAPOS_RIGHT_WAIT | CAPOS_RIGHT_SIGNAL);

/* What a thread would wait for. */
struct parking {
	struct object *object;
	struct grant *grant;
	struct park_key key;
	struct paddr word;
};

/* space_translate_loaded, remembered: PA2 holds as for a translation of now. */
INLINE bool find_word(struct thread *thread, u64 addr, struct paddr *out)
{
	struct space *space = &thread->process->space;
	struct parked_word *parked = &thread->parked;
	u64 changes = atomic_load_acquire(&space->changes); /* before the look; no pairing: see pt_set */

	if (unlikely(parked->va != addr || parked->changes != changes)) {
		if (!space_translate_loaded(space, (struct uaddr){ addr }, &parked->word))
			return false;
		parked->va = addr;
		parked->changes = changes;
	}
	*out = parked->word;
	return true;
}

INLINE bool decode(struct thread *thread, const struct slot_need *need, struct parking *parking)
{
	const struct mach_frame *frame = &thread->mach.frame;
	u64 addr = frame->word[0];

	/* Aligned; of 32 bits; CAPOS_NEVER. */
	return likely(
		((addr & 3) | frame->word[1] >> 32 | ~frame->word[2] | (frame->word[3] & ~(u64)CAPOS_PARK_SHARED)) ==
			0 &&
		cap_find_inline(thread->process, &frame->handle, need, &parking->object, &parking->grant, NULL) &&
		park_key_find(thread->process, addr, frame->word[3], &parking->key) &&
		find_word(thread, addr, &parking->word));
}

INLINE bool word_differs(const struct thread *thread, const struct parking *parking)
{
	return shared_load_relaxed((const u32 *)phys_to_virt(parking->word)) != (u32)thread->mach.frame.word[1];
}

/* The thread's waiter, with its reference on the grant (IP1), into its bucket, which is locked. */
INLINE void enter(struct thread *thread, const struct parking *parking, struct park_bucket *bucket)
{
	struct waiter *waiter = &thread->wait;

	waiter->object = parking->object;
	waiter->grant = parking->grant;
	waiter->key[0] = parking->key.id;
	waiter->key[1] = parking->key.offset;
	list_push_back(&bucket->waiters, &waiter->link);
}

INLINE struct thread *park(struct cpu *cpu, struct thread *thread, const struct parking *parking)
{
	struct park_bucket *bucket = bucket_of(parking->key.id, parking->key.offset);

	spin_lock_on(cpu, &bucket->lock);
	/* wait_enter, but a mismatch takes no reference. */
	if (unlikely(!object_is_alive(parking->object)))
		goto no;
	if (unlikely(word_differs(thread, parking))) {
		if (unlikely(!atomic_equals_relaxed(&thread->attention, 0u) || cpu->resched))
			goto no;
		spin_unlock_on(cpu, &bucket->lock);
		thread->mach.frame.call = IRESULT(CAPOS_PARK_MISMATCH);
		call_verify_return(thread);
		return thread;
	}
	if (unlikely(!grant_get_inline(parking->grant)))
		goto no;
	sched_detach_inline(cpu);
	enter(thread, parking, bucket);
	waiter_arm_untimed(&thread->wait, CAPOS_WAIT_PARK, &park_ops);
	spin_unlock_on(cpu, &bucket->lock);
	return sched_exit_blocked(cpu, thread);
no:
	spin_unlock_on(cpu, &bucket->lock);
	return NULL;
}

/*
 * Claim the first who waits for that word; its reference on a grant is the caller's, in *grant. False: it is
 * not a thread without deadline, and nothing happened. *out NULL: nobody waits there.
 */
INLINE bool take_first(struct cpu *cpu, const struct park_key *key, struct thread **out, struct grant **grant)
{
	struct park_bucket *bucket = bucket_of(key->id, key->offset);
	bool plain = true;

	*out = NULL;
	spin_lock_on(cpu, &bucket->lock);
	LIST_FOREACH_SAFE (&bucket->waiters, node, next) {
		struct waiter *waiter = waiter_of(node);

		if (waiter->key[0] != key->id || waiter->key[1] != key->offset)
			continue;
		plain = waiter->kind == WAITER_THREAD && waiter->timer.deadline_ns == INSTANT_NEVER.ns;
		if (unlikely(!plain))
			break;
		list_remove(&waiter->link);
		*grant = waiter->grant;
		if (likely(waiter_take_untimed(waiter))) {
			*out = waiter->thread;
			waiter->thread->mach.frame.call = STATUS(OK);
			break;
		}
		grant_put_later(*grant); /* another CPU is ending it */
	}
	spin_unlock_on(cpu, &bucket->lock);
	return plain;
}

/* The thread does not wait, and `to`, which is claimed, has not got the CPU. */
static __attribute__((noinline)) struct thread *stay(struct cpu *cpu, struct thread *thread, struct thread *to,
						     u64 result)
{
	thread->mach.frame.call = result;
	thread_ready(cpu, to);
	return sched_exit(cpu);
}

/* The thread, linked in its bucket, waits, and so does, for a CPU, the one that it was to switch to. */
static __attribute__((noinline)) struct thread *exit_switched(struct cpu *cpu, struct thread *thread)
{
	cpu->armed_waiter = &thread->wait;
	return sched_exit(cpu);
}

INLINE struct thread *wait(struct cpu *cpu, struct thread *thread)
{
	struct parking parking;

	return decode(thread, &need_wait, &parking) ? park(cpu, thread, &parking) : NULL;
}

INLINE struct thread *wake_wait(struct cpu *cpu, struct thread *thread)
{
	u64 wake_addr = thread->mach.frame.word[4];
	struct park_bucket *bucket;
	struct park_key wake;
	struct parking parking;
	struct grant *held = NULL;
	struct thread *to;
	bool differs, switched;

	if (unlikely((wake_addr & 3) != 0 || !decode(thread, &need_both, &parking) ||
		     !park_key_find(thread->process, wake_addr, thread->mach.frame.word[3], &wake) ||
		     !take_first(cpu, &wake, &to, &held)))
		return NULL;
	if (to == NULL)
		return park(cpu, thread, &parking);
	bucket = bucket_of(parking.key.id, parking.key.offset);
	spin_lock_on(cpu, &bucket->lock);
	differs = word_differs(thread, &parking);
	/* IP1: one leaves, the other enters, most likely through the same grant. */
	if (unlikely(differs || !may_wait(parking.object, parking.grant) ||
		     (held != parking.grant && !grant_get(parking.grant)))) {
		grant_put_later(held);
		spin_unlock_on(cpu, &bucket->lock);
		return stay(cpu, thread, to, differs ? IRESULT(CAPOS_PARK_MISMATCH) : STATUS(REVOKED));
	}
	if (unlikely(held != parking.grant))
		grant_put_later(held);
	enter(thread, &parking, bucket);
	switched = sched_switch_to(cpu, to);
	waiter_arm_untimed(&thread->wait, CAPOS_WAIT_PARK, &park_ops);
	spin_unlock_on(cpu, &bucket->lock);
	return likely(switched) ? fast_exit(cpu, thread, to, true) : exit_switched(cpu, thread);
}

/* Without a trace (kernel_syscall_fast). */
struct thread *kernel_syscall_park(struct cpu *cpu, struct thread *thread)
{
	u64 call_word = thread->mach.frame.call;

	if (CAPOS_DEBUG)
		thread->asked = (struct asked){ .call_word = call_word, .pending = true };
	return call_word == PARK_WAIT_WORD ? wait(cpu, thread) : wake_wait(cpu, thread);
}
