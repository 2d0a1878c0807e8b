/* SPDX-License-Identifier: MIT */
/* Steps of a thread's operation: the multi-step call in progress. */
#include <kernel/cpu.h>
#include <kernel/debug.h>
#include <kernel/ipc.h>
#include <kernel/thread.h>
#include <string.h>

void operation_give_bytes(struct thread *thread, const void *bytes, u32 n)
{
	KASSERT(n <= CAPOS_MESSAGE_BYTES);
	memcpy(thread->page->message, bytes, n);
	shared_store_relaxed(&thread->page->recv_bytes, n);
}

void operation_step(struct cpu *cpu, struct thread *thread)
{
	struct operation *operation = &thread->operation;

	switch (operation->step(cpu, thread, operation)) {
	case OPERATION_AGAIN:
		break;
	case OPERATION_WAIT:
		/* Another CPU may already run the thread: nothing of it may be touched. */
		break;
	case OPERATION_DONE:
		KASSERT(cpu->current == thread);
		atomic_fetch_and(&thread->attention, ~ATTENTION_OPERATION);
		if (operation->ring) {
			ring_operation_done(cpu, thread);
			break;
		}
		thread->mach.frame.call = operation->result;
		for (unsigned i = 0; i < operation->word_count; i++)
			thread->mach.frame.word[i] = operation->word[i];
		break;
	}
}
