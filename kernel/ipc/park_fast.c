/* SPDX-License-Identifier: MIT */
/*
 * A wait for a private word, without deadline, from the machine's entry to the next thread: PA1, PA2, and the dispatch of whoever
 * is first in this CPU's queue. Whatever is not exactly this case returns NULL before anything is changed.
 *
 * Called as kernel_syscall_ipc is: the compiler need not preserve any registers here (Makefile).
 */
#include <kernel/fastpath.h>
#include <kernel/ipc.h>
#include <kernel/trace.h>

#include "park.h"

static const struct slot_need need_wait = SLOT_NEED(CAPOS_IFACE_park_space, CAPOS_RIGHT_WAIT);

struct thread *kernel_syscall_park(struct cpu *cpu, struct thread *thread)
{
	struct mach_frame *frame = &thread->mach.frame;
	struct process *process = thread->process;
	struct waiter *waiter = &thread->wait;
	u64 addr = frame->word[0];
	struct park_bucket *bucket;
	struct object *object;
	struct grant *grant;
	struct paddr word;

	/* Aligned; of 32 bits; CAPOS_NEVER; no flags. */
	if (unlikely(((addr & 3) | frame->word[1] >> 32 | ~frame->word[2] | frame->word[3]) != 0 ||
		     !atomic_clear_relaxed(&kernel_state.trace_mask,
					   1u << CAPOS_TRACE_CALL | 1u << CAPOS_TRACE_RETURN) ||
		     !cap_find_inline(process, &frame->handle, &need_wait, &object, &grant, NULL) ||
		     !space_translate_loaded(&process->space, (struct uaddr){ addr }, &word)))
		return NULL;
	if (CAPOS_DEBUG)
		thread->asked = (struct asked){ .call_word = PARK_WAIT_WORD, .pending = true };
	bucket = bucket_of(process->object.id, addr);
	spin_lock_on(cpu, &bucket->lock);
	/* wait_enter, but a mismatch takes no reference. */
	if (unlikely(!object_is_alive(object)))
		goto no;
	if (unlikely(shared_load_relaxed((const u32 *)phys_to_virt(word)) != (u32)frame->word[1])) {
		if (unlikely(!atomic_equals_relaxed(&thread->attention, 0u) || cpu->resched))
			goto no;
		spin_unlock_on(cpu, &bucket->lock);
		frame->call = IRESULT(CAPOS_PARK_MISMATCH);
		call_verify_return(thread);
		return thread;
	}
	if (unlikely(!grant_get_inline(grant)))
		goto no;
	waiter->object = object;
	waiter->grant = grant;
	waiter->key[0] = process->object.id;
	waiter->key[1] = addr;
	sched_detach_inline(cpu);
	list_push_back(&bucket->waiters, &waiter->link);
	waiter_arm_untimed(waiter, CAPOS_WAIT_PARK, &park_ops);
	spin_unlock_on(cpu, &bucket->lock);
	return sched_exit_blocked(cpu, thread);
no:
	spin_unlock_on(cpu, &bucket->lock);
	return NULL;
}
