/* SPDX-License-Identifier: MIT */
/*
 * Rings, completion side: operations in flight and completion entries. Any CPU posts, under ring_lock.
 *
 * A completion wakes its thread from cap_enter when enough are unread, and from a receive at once:
 *   cap_enter:  looks, sets ring_wanted and arms under ring_lock; the poster looks at ring_wanted under it. Whoever ends the
 *               wait clears ring_wanted first (RI4), or a completion would claim the thread's next wait, whatever it is for.
 *   receive:    arms (full barrier), then looks at ring_cq_tail; the poster stores ring_cq_tail, fence, then looks whether a
 *               receive is armed. One of the two sees the other (endpoint_wake_receiver_for_completion has one winner).
 */
#include "ring_priv.h"

static void enter_unlink(struct waiter *waiter)
{
	struct thread *thread = waiter->thread;

	/* In no queue, but ring_wanted names it to completions. */
	spin_lock(&thread->ring_lock);
	thread->ring_wanted = 0;
	spin_unlock(&thread->ring_lock);
}

const struct waiter_ops ring_enter_ops = { .unlink = enter_unlink };

static inline void put(struct capos_thread_page *page, u32 tail, const struct capos_cqe *done)
{
	struct capos_cqe *entry = &page->cq[tail % CAPOS_CQ_ENTRIES];

	entry->user_data = done->user_data;
	entry->result = done->result;
	entry->word[0] = done->word[0];
	entry->word[1] = done->word[1];
}

static void post(struct thread *thread, const struct capos_cqe *done)
{
	put(thread->page, thread->ring_cq_tail, done);
	shared_store_relaxed(&thread->ring_cq_tail, thread->ring_cq_tail + 1);
}

static void publish(struct thread *thread)
{
	/* Release: the entries are stored; pairs with the program's acquire. */
	shared_store_release(&thread->page->cq_tail, thread->ring_cq_tail);
}

/* After the post, if there is one: release, so that who sees it out of flight sees its completion (RI1, RI5). */
static void leave_flight(struct thread *thread)
{
	shared_store_release(&thread->ring_in_flight, thread->ring_in_flight - 1);
}

void ring_post_batch(struct thread *thread, const struct capos_cqe *done, u32 count, bool operation)
{
	struct capos_thread_page *page = thread->page;
	u32 tail;

	spin_lock(&thread->ring_lock);
	tail = thread->ring_cq_tail;
	for (u32 i = 0; i < count; i++)
		put(page, tail + i, &done[i]);
	shared_store_relaxed(&thread->ring_cq_tail, tail + count);
	if (operation)
		thread->ring_in_flight++;
	publish(thread);
	spin_unlock(&thread->ring_lock);
}

/* Under ring_lock, after the post: true when the waiter of cap_enter was claimed and is to be finished. */
static bool claim_enter(struct thread *thread)
{
	u32 unread;

	if (thread->ring_wanted == 0)
		return false;
	unread = thread->ring_cq_tail - shared_load_relaxed(&thread->page->cq_head);
	if (unread < thread->ring_wanted)
		return false;
	/* Wanted: thread->wait is still this very wait (RI4), though another may have claimed it and be about to unlink it. */
	KASSERT(thread->wait.ops == &ring_enter_ops);
	thread->ring_wanted = 0;
	return waiter_claim(&thread->wait);
}

static void wake_thread(struct cpu *cpu, struct thread *thread, bool enter)
{
	if (enter)
		waiter_finish(cpu, &thread->wait, STATUS(OK), NULL, 0);
	else {
		atomic_fence(); /* the tail before the look at the receive */
		endpoint_wake_receiver_for_completion(cpu, thread);
	}
}

void ring_complete(struct cpu *cpu, struct thread *thread, u64 user_data, u64 result, const u64 *words)
{
	struct capos_cqe done = { .user_data = user_data, .result = result };
	bool enter;

	if (words != NULL) {
		done.word[0] = words[0];
		done.word[1] = words[1];
	}
	spin_lock(&thread->ring_lock);
	post(thread, &done);
	publish(thread);
	enter = claim_enter(thread);
	leave_flight(thread);
	spin_unlock(&thread->ring_lock);
	wake_thread(cpu, thread, enter);
}

/* --- operations in flight ---------------------------------------------------------------------------------------------- */

u64 ring_op_create(struct thread *thread, u64 user_data, bool uses_message, struct ring_op **out)
{
	struct ring_op *op;
	void *memory;
	u16 status = pool_alloc(POOL_RING_OP, thread->process, &memory);

	*out = NULL;
	if (status != CAPOS_STATUS_OK)
		return call_status(status, CAPOS_QUOTA_MEMORY);
	op = memory;
	waiter_init(&op->wait, WAITER_RING_OP, thread);
	op->user_data = user_data;
	op->uses_message = uses_message;
	op->linked = true;
	spin_lock(&thread->ring_lock);
	list_push_back(&thread->ring_ops, &op->ring_link);
	thread->ring_in_flight++;
	if (uses_message)
		thread->ring_message_busy = true;
	spin_unlock(&thread->ring_lock);
	*out = op;
	return STATUS(OK);
}

static void unlink_op(struct thread *thread, struct ring_op *op)
{
	list_remove(&op->ring_link);
	op->linked = false;
	if (op->uses_message)
		thread->ring_message_busy = false;
}

static void drop_message(struct process *process, struct ring_op *op)
{
	if (op->message.pa == 0)
		return;
	frame_free(op->message);
	op->message.pa = 0;
	quota_uncharge(process, CAPOS_QUOTA_MEMORY, PAGE_BYTES);
}

void ring_op_discard(struct thread *thread, struct ring_op *op)
{
	struct process *process = thread->process;

	spin_lock(&thread->ring_lock);
	unlink_op(thread, op);
	leave_flight(thread);
	spin_unlock(&thread->ring_lock);
	drop_message(process, op);
	pool_uncharge(POOL_RING_OP, process);
	pool_free(POOL_RING_OP, op);
}

static void op_free(struct reclaim_node *node)
{
	pool_free(POOL_RING_OP, container_of(node, struct ring_op, reclaim));
}

void ring_op_finish(struct cpu *cpu, struct ring_op *op, u64 result, const u64 *words, unsigned word_count)
{
	struct thread *thread = op->wait.thread;
	struct process *process = thread->process;
	struct capos_cqe done = { .user_data = op->user_data, .result = result };
	bool enter;

	call_verify_ring(thread, op->asked.call_word, op->asked.endpoint, result);
	for (unsigned i = 0; i < MIN(word_count, 2u); i++)
		done.word[i] = words[i];
	/* What it was charged for goes before the thread can see it as ended. */
	drop_message(process, op);
	pool_uncharge(POOL_RING_OP, process);
	spin_lock(&thread->ring_lock);
	unlink_op(thread, op);
	post(thread, &done);
	publish(thread);
	enter = claim_enter(thread);
	leave_flight(thread);
	spin_unlock(&thread->ring_lock);
	wake_thread(cpu, thread, enter);
	/* Others may still hold its waiter in this moment: a deadline that fires, a kill that lost the claim. */
	reclaim_defer(&op->reclaim, op_free);
}

bool ring_teardown_step(struct cpu *cpu, struct thread *thread)
{
	struct list_node *node;
	struct ring_op *op;

	spin_lock(&thread->ring_lock);
	node = list_first(&thread->ring_ops);
	if (node != NULL)
		/* To the end: those that another CPU is finishing do not stand in the way of the rest. */
		list_remove(node), list_push_back(&thread->ring_ops, node);
	spin_unlock(&thread->ring_lock);
	if (node == NULL)
		return true;
	op = LIST_ENTRY(node, struct ring_op, ring_link);
	(void)waiter_end(cpu, &op->wait, STATUS(CANCELLED));
	return false;
}
