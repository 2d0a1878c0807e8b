/* SPDX-License-Identifier: MIT */
/*
 * Rings, consumer side: cap_enter reads submissions, dispatches them and waits for completions.
 *
 *        ring_enter --> consume (a bounded step) --> wait until enough are unread, or the deadline
 *                           |  ^                           |  woken: look again
 *                           |  +---------------------------+
 *                           +--> an entry that starts an operation runs it to its end, then goes on here
 *
 * Invariants:
 *  RI1  ring_in_flight + unread completions <= CQ entries whenever an entry is consumed: each has its place (ring_post never
 *       overwrites, as long as the program's cq_head only rises to cq_tail; it harms only itself otherwise).
 *  RI2  An entry is copied once into kernel memory before anything of it is looked at, or it equals, read once, the entry that
 *       was looked up before it; sq_head and cq_tail of the page are only for show, the kernel's own copies count.
 *  RI3  One consumer: ring_consumer is held from the first look at the tail to the last move of the head.
 *  RI4  ring_wanted != 0 only while thread->wait is the wait of a cap_enter: its enders (a completion, or deadline and kill
 *       through ring_enter_ops.unlink) clear it under ring_lock before they finish the wait. Not the thread when it runs
 *       again: it may leave cap_enter, or begin an operation that waits, without a look at ring_wanted.
 *  RI5  Only the thread itself puts operations in flight. While none is, nobody else posts: it stores completions without the
 *       lock.
 */
#include "ring_priv.h"

/* What a step may do, in units of an entry that equals the one before it (30 to 75 instructions): a look-up more, or an entry that
 * is no fast method (300 to 850). */
#define STEP_UNITS 36u
#define LOOK_UP_UNITS 2u
#define SLOW_UNITS 12u
#define SQE_WORDS 4u
#define CALL_WORD_INDEX 8u

void ring_init(struct thread *thread)
{
	spinlock_init(&thread->ring_lock, RANK_RING, thread->object.id);
	list_init(&thread->ring_ops);
	list_init(&thread->served);
}

/* One entry consumed and not yet completed. */
enum entry_state { ENTRY_DONE, ENTRY_IN_FLIGHT, ENTRY_OPERATION };

static inline void load_entry(const struct capos_sqe *from, struct capos_sqe *to)
{
	to->handle = shared_load_relaxed(&from->handle);
	to->call = shared_load_relaxed(&from->call);
	to->deadline = shared_load_relaxed(&from->deadline);
#pragma GCC unroll 4
	for (unsigned i = 0; i < SQE_WORDS; i++)
		to->word[i] = shared_load_relaxed(&from->word[i]);
}

/* What is wrong with the entry itself. */
static u64 check_entry(const struct capos_sqe *entry)
{
	unsigned flags = CAPOS_CALL_FLAGS(entry->call);
	unsigned op = CAPOS_CALL_OP(entry->call);
	unsigned words = CAPOS_CALL_WORD_COUNT(entry->call);

	if (op != CAPOS_OP_CALL && op != CAPOS_OP_RECV && op != CAPOS_OP_REPLY)
		return STATUS(UNKNOWN_METHOD);
	if ((flags & ~CAPOS_CALL_FLAGS_KNOWN) != 0)
		return STATUS_DETAIL(BAD_ARGUMENT, CALL_WORD_INDEX);
	if (words > (flags & CAPOS_CALL_MESSAGE ? SQE_WORDS - 2 : SQE_WORDS))
		return STATUS(BAD_SIZE);
	if ((flags & CAPOS_CALL_MESSAGE) != 0 && (entry->word[3] == 0 || entry->word[3] > CAPOS_MESSAGE_BYTES))
		return STATUS(BAD_SIZE);
	return STATUS(OK);
}

static u64 dispatch(struct call *call, const struct capos_sqe *entry)
{
	u16 status;

	if (likely(CAPOS_CALL_OP(entry->call) == CAPOS_OP_CALL))
		return call_dispatch(call, entry->call, entry->handle);
	status = cap_lookup_typed(call->thread->process, entry->handle, CAPOS_IFACE_endpoint, CAPOS_RIGHT_RECV,
				  &call->cap);
	if (status != CAPOS_STATUS_OK)
		return CAPOS_RESULT(status, 0, 0);
	if (CAPOS_CALL_OP(entry->call) == CAPOS_OP_REPLY)
		return endpoint_reply_ring(call, entry->call);
	if (CAPOS_CALL_FLAGS(entry->call) != 0)
		return STATUS_DETAIL(BAD_ARGUMENT, CALL_WORD_INDEX);
	return endpoint_recv_ring(call);
}

static bool names_endpoint(struct process *process, u64 handle)
{
	struct cap cap;

	return cap_lookup_typed(process, handle, CAPOS_IFACE_endpoint, 0, &cap) == CAPOS_STATUS_OK;
}

/* Entries with messages, and those that may block. method NULL: not known to be of a kernel object. Should the handle become an
 * endpoint's between the two looks at it, the result may be CALL_NEEDS_WAITER: again, with method NULL. */
static __attribute__((noinline)) enum entry_state run_general(struct call *call, const struct capos_sqe *entry,
							      const struct method *method, struct capos_cqe *done)
{
	struct thread *thread = call->thread;
	bool is_call = CAPOS_CALL_OP(entry->call) == CAPOS_OP_CALL;
	bool message = (CAPOS_CALL_FLAGS(entry->call) & CAPOS_CALL_MESSAGE) != 0;
	bool blocks, uses_message;
	struct ring_op *op = NULL;
	u8 in[CAPOS_MESSAGE_BYTES] __attribute__((aligned(16)));
	u8 out[CAPOS_MESSAGE_BYTES] __attribute__((aligned(16)));

	if (method != NULL && names_endpoint(thread->process, entry->handle))
		method = NULL;
	if (CAPOS_DEBUG)
		thread->asked.endpoint = method == NULL;
	blocks = is_call ? method == NULL || (method->flags & METHOD_BLOCKS) != 0
			 : CAPOS_CALL_OP(entry->call) == CAPOS_OP_RECV;
	/* What comes back through the message area: a receive, a blocking method's bytes, the reply to a call with a message. */
	uses_message = method != NULL ? method->bytes_out_max != 0 : blocks && (!is_call || message);
	if (message) {
		call->in_bytes = (u32)entry->word[3];
		call->in = in;
		if (!space_copy_in(&thread->process->space, in, (struct uaddr){ entry->word[2] }, call->in_bytes)) {
			done->result = STATUS(BAD_ADDRESS);
			return ENTRY_DONE;
		}
	}
	if (uses_message && shared_load_relaxed(&thread->ring_message_busy)) {
		done->result = STATUS(MESSAGE_BUSY);
		return ENTRY_DONE;
	}
	if (blocks) {
		done->result = ring_op_create(thread, entry->user_data, uses_message, &op);
		if (op == NULL)
			return ENTRY_DONE;
		call->waiter = &op->wait;
		if (CAPOS_DEBUG)
			op->asked = (struct asked){ entry->call, true, method == NULL };
	}
	call->out = out;
	done->result = dispatch(call, entry);
	if (done->result == CALL_BLOCKED)
		return ENTRY_IN_FLIGHT;
	if (op != NULL)
		ring_op_discard(thread, op);
	if (done->result == CALL_OPERATION)
		return ENTRY_OPERATION;
	if (CAPOS_RESULT_STATUS(done->result) == CAPOS_STATUS_OK && call->out_bytes != 0) {
		__builtin_memcpy(thread->page->message, out, call->out_bytes);
		shared_store_relaxed(&thread->page->recv_bytes, call->out_bytes);
	}
	return ENTRY_DONE;
}

/* Dispatch one entry. ENTRY_DONE: *done is its completion. */
static __attribute__((noinline)) enum entry_state run_entry(struct cpu *cpu, struct thread *thread,
							    const struct capos_sqe *entry, struct capos_cqe *done)
{
	const struct method *method;
	struct call call;
	u64 word[CAPOS_WORDS];
	enum entry_state state = ENTRY_DONE;

	done->word[0] = done->word[1] = 0;
	done->result = check_entry(entry);
	if (unlikely(done->result != STATUS(OK)))
		return ENTRY_DONE;
	for (unsigned i = 0; i < SQE_WORDS; i++)
		word[i] = entry->word[i];
	for (unsigned i = SQE_WORDS; i < CAPOS_WORDS; i++)
		word[i] = 0;
	call.cpu = cpu;
	call.thread = thread;
	call.word = word;
	call.in = NULL;
	call.in_bytes = 0;
	call.out_bytes = 0;
	call.out = NULL;
	call.waiter = NULL;
	call.deadline = (struct instant){ entry->deadline };
	call.ring = true;
	method = CAPOS_CALL_OP(entry->call) == CAPOS_OP_CALL
			 ? call_method(CAPOS_CALL_IFACE(entry->call), CAPOS_CALL_METHOD(entry->call))
			 : NULL;
	if (likely(method != NULL && !(method->flags & METHOD_BLOCKS) && method->bytes_out_max == 0 &&
		   !(CAPOS_CALL_FLAGS(entry->call) & CAPOS_CALL_MESSAGE))) {
		done->result = call_dispatch(&call, entry->call, entry->handle);
		if (unlikely(done->result == CALL_OPERATION))
			return ENTRY_OPERATION;
	} else {
		state = run_general(&call, entry, method, done);
		if (state != ENTRY_DONE)
			return state;
	}
	if (unlikely(done->result == CALL_NEEDS_WAITER)) {
		state = run_general(&call, entry, NULL, done);
		if (state != ENTRY_DONE)
			return state;
	}
	if ((u32)done->result == (u32)STATUS(OK)) { /* of status and interface result */
		done->word[0] = word[0];
		done->word[1] = word[1];
	}
	return ENTRY_DONE;
}

/* The entries of a queue by their place in bytes: what a step to the next costs counts. */
static inline const struct capos_sqe *sqe_at(const struct capos_thread_page *page, u64 place)
{
	return (const struct capos_sqe *)((const u8 *)page->sq + place);
}
static inline struct capos_cqe *cqe_at(struct capos_cqe *cq, u64 place)
{
	return (struct capos_cqe *)((u8 *)cq + place);
}
#define SQE_PLACE(index) ((u64)(index) * sizeof(struct capos_sqe) % (CAPOS_SQ_ENTRIES * sizeof(struct capos_sqe)))
#define CQE_PLACE(index) ((u64)(index) * sizeof(struct capos_cqe) % (CAPOS_CQ_ENTRIES * sizeof(struct capos_cqe)))

/* The call that was looked up, and its completion. */
static inline __attribute__((always_inline)) void run_ready(struct thread *thread, const struct call_ready *ready,
							    const struct capos_sqe *from, struct capos_cqe *done,
							    u64 call_word)
{
	done->user_data = shared_load_relaxed(&from->user_data);
	done->word[0] = 0;
	done->word[1] = 0;
	done->result = ready->fn(ready->object, done->word);
	call_verify_ring(thread, call_word, false, done->result);
}

/*
 * Up to n entries from the head on that are calls of fast methods: their completions go to cq[index], cq[index + 1] ... Returns how
 * many are left; the caller moves the head and posts. *units: what the step has left.
 */
static inline __attribute__((always_inline)) u32 run_fast(struct thread *thread, u32 n, u32 *units,
							  struct capos_cqe *cq, u32 index)
{
	const struct capos_thread_page *page = thread->page;
	u64 from = SQE_PLACE(thread->ring_sq_head), to = CQE_PLACE(index);
	struct call_ready ready;

	while (n != 0 && *units > LOOK_UP_UNITS) {
		u64 handle = shared_load_relaxed(&sqe_at(page, from)->handle);
		u64 call_word = shared_load_relaxed(&sqe_at(page, from)->call);
		u32 run = MIN(n, *units - LOOK_UP_UNITS), left = run;

		if (!call_prepare(thread, handle, call_word, &ready))
			break;
		do {
			run_ready(thread, &ready, sqe_at(page, from), cqe_at(cq, to), call_word);
			from = SQE_PLACE(from / sizeof(struct capos_sqe) + 1);
			to = CQE_PLACE(to / sizeof(struct capos_cqe) + 1);
		} while (--left != 0 && shared_equals_relaxed(&sqe_at(page, from)->call, call_word) &&
			 shared_equals_relaxed(&sqe_at(page, from)->handle, handle) && call_ready_holds(&ready));
		n -= run - left;
		*units -= run - left + LOOK_UP_UNITS;
	}
	return n;
}

static inline void move_head(struct thread *thread, u32 count)
{
	thread->ring_sq_head += count;
	shared_store_release(&thread->page->sq_head, thread->ring_sq_head); /* the program may reuse the entries */
}

/* The entry at the head, whatever it is. *operation: it started one. */
static void run_slow(struct cpu *cpu, struct thread *thread, bool *operation)
{
	const struct capos_sqe *from = &thread->page->sq[thread->ring_sq_head % CAPOS_SQ_ENTRIES];
	struct capos_sqe entry;
	struct capos_cqe done;

	load_entry(from, &entry);
	entry.user_data = done.user_data = shared_load_relaxed(&from->user_data);
	move_head(thread, 1);
	if (CAPOS_DEBUG)
		thread->asked.endpoint = false;
	switch (run_entry(cpu, thread, &entry, &done)) {
	case ENTRY_DONE:
		call_verify_ring(thread, entry.call, thread->asked.endpoint, done.result);
		ring_post_batch(thread, &done, 1, false);
		break;
	case ENTRY_IN_FLIGHT:
		break;
	case ENTRY_OPERATION:
		thread->operation.user_data = entry.user_data;
		if (CAPOS_DEBUG)
			thread->operation.asked = entry.call;
		*operation = true;
		ring_post_batch(thread, NULL, 0, true);
		break;
	}
}

/*
 * Consume a step's entries. Returns STATUS(OK), or why the ring is malformed (then nothing was consumed). *more: entries and places
 * are left. *operation: the last entry started one.
 */
static u64 consume(struct cpu *cpu, struct thread *thread, bool *more, bool *operation)
{
	struct capos_thread_page *page = thread->page;
	u32 submitted =
		shared_load_acquire(&page->sq_tail) - thread->ring_sq_head; /* pairs with the program's release */
	/* Other CPUs turn operations in flight into unread completions meanwhile: in flight first, with acquire, so that each is
	 * counted once or twice, which is on the safe side. A head that moved back is caught by the clamp. */
	u32 in_flight = shared_load_acquire(&thread->ring_in_flight);
	u32 unread = shared_load_relaxed(&thread->ring_cq_tail) - shared_load_acquire(&page->cq_head);
	u32 places, left, units = STEP_UNITS;
	struct capos_cqe done[CAPOS_CQ_ENTRIES];

	*more = false;
	*operation = false;
	if (submitted > CAPOS_SQ_ENTRIES)
		return STATUS_DETAIL(BAD_ARGUMENT, 2);
	if (unread > CAPOS_CQ_ENTRIES)
		return STATUS_DETAIL(BAD_ARGUMENT, 3);
	places = in_flight + unread;
	places = places < CAPOS_CQ_ENTRIES ? CAPOS_CQ_ENTRIES - places : 0;
	left = MIN(submitted, places);
	while (left != 0 && !*operation) {
		u32 count = left - run_fast(thread, left, &units, done, 0);

		if (count != 0) {
			move_head(thread, count);
			ring_post_batch(thread, done, count, false);
			left -= count;
		}
		if (left == 0 || units < SLOW_UNITS)
			break;
		units -= SLOW_UNITS;
		left--;
		run_slow(cpu, thread, operation);
	}
	*more = left != 0;
	return STATUS(OK);
}

/* Enough completions, or no more time? True: *result is that of the cap_enter. Else it waits now. */
static bool enter_done(struct cpu *cpu, struct thread *thread, u64 *result, bool may_block, bool *blocked)
{
	u32 unread, count = thread->ring_enter_count;
	struct instant deadline = thread->ring_enter_deadline;

	*blocked = false;
	spin_lock(&thread->ring_lock);
	KASSERT(thread->ring_wanted == 0); /* RI4 */
	unread = thread->ring_cq_tail - shared_load_acquire(&thread->page->cq_head);
	*result = STATUS_DETAIL(OK, unread);
	if (unread > CAPOS_CQ_ENTRIES)
		*result = STATUS_DETAIL(BAD_ARGUMENT, 3);
	else if (unread >= count || deadline.ns == 0)
		;
	else if (atomic_load_relaxed(&thread->attention) & ATTENTION_KILL)
		*result = STATUS(CANCELLED);
	else if (deadline.ns != CAPOS_NEVER && mach_clock().ns >= deadline.ns)
		*result = STATUS(TIMED_OUT);
	else {
		if (may_block) {
			thread->ring_wanted = count;
			*blocked = true;
			waiter_prepare(cpu, &thread->wait);
			waiter_arm(cpu, &thread->wait, CAPOS_WAIT_RING, &ring_enter_ops, deadline);
		}
		spin_unlock(&thread->ring_lock);
		return false;
	}
	spin_unlock(&thread->ring_lock);
	return true;
}

static enum operation_progress enter_step(struct cpu *cpu, struct thread *thread, struct operation *operation);

/* One step; at the end *result. `inside`: as a step of the operation (it may block), else directly from the system call. */
static enum operation_progress enter(struct cpu *cpu, struct thread *thread, u64 *result, bool inside)
{
	bool more, started, blocked;

	if (!atomic_cas(&thread->ring_consumer, 0u, 1u)) {
		*result = STATUS(RING_STALE);
		return OPERATION_DONE;
	}
	*result = consume(cpu, thread, &more, &started);
	atomic_store_release(&thread->ring_consumer, 0u); /* pairs with the next claim */
	if (*result != STATUS(OK))
		return OPERATION_DONE;
	if (more || started)
		return OPERATION_AGAIN;
	if (enter_done(cpu, thread, result, inside, &blocked))
		return OPERATION_DONE;
	return blocked ? OPERATION_WAIT : OPERATION_AGAIN;
}

static void enter_as_operation(struct thread *thread)
{
	thread->operation.step = enter_step;
	thread->operation.ring = false;
	thread->operation.word_count = 0;
	atomic_fetch_or(&thread->attention, ATTENTION_OPERATION);
}

static enum operation_progress enter_step(struct cpu *cpu, struct thread *thread, struct operation *operation)
{
	enum operation_progress progress = OPERATION_DONE;
	u64 result = STATUS(CANCELLED);

	if (likely(!(atomic_load_relaxed(&thread->attention) & ATTENTION_KILL)))
		progress = enter(cpu, thread, &result, true);
	if (progress == OPERATION_DONE) {
		operation->result = result;
		operation->word_count = 0;
	}
	return progress;
}

void ring_enter(struct cpu *cpu, struct thread *thread)
{
	struct mach_frame *frame = &thread->mach.frame;
	u64 result;

	if (frame->word[0] > CAPOS_CQ_ENTRIES) {
		frame->call = STATUS_DETAIL(BAD_ARGUMENT, 0);
		return;
	}
	thread->ring_enter_count = (u32)frame->word[0];
	thread->ring_enter_deadline = (struct instant){ frame->word[1] };
	/* This entry into the kernel did a step already. */
	if (thread->ring_ran) {
		thread->ring_ran = false;
		enter_as_operation(thread);
		return;
	}
	/* A short batch that need not wait ends here; whatever is left becomes an operation, unless an entry began one. */
	if (enter(cpu, thread, &result, false) == OPERATION_DONE)
		frame->call = result;
	else if (!(atomic_load_relaxed(&thread->attention) & ATTENTION_OPERATION))
		enter_as_operation(thread);
}

/* run_fast with the completions in their places. */
static __attribute__((noinline)) u32 run_in_place(struct thread *thread, u32 n)
{
	u32 units = STEP_UNITS;

	return run_fast(thread, n, &units, thread->page->cq, thread->ring_cq_tail);
}

/* The same for a single entry, which most batches are. */
static inline __attribute__((always_inline)) u32 run_one_in_place(struct thread *thread)
{
	struct capos_thread_page *page = thread->page;
	const struct capos_sqe *from = sqe_at(page, SQE_PLACE(thread->ring_sq_head));
	u64 call_word = shared_load_relaxed(&from->call);
	struct call_ready ready;

	if (unlikely(!call_prepare(thread, shared_load_relaxed(&from->handle), call_word, &ready)))
		return 1;
	run_ready(thread, &ready, from, cqe_at(page->cq, CQE_PLACE(thread->ring_cq_tail)), call_word);
	return 0;
}

u64 ring_enter_fast(struct thread *thread)
{
	const struct mach_frame *frame = &thread->mach.frame;
	struct capos_thread_page *page = thread->page;
	u32 submitted =
		shared_load_acquire(&page->sq_tail) - thread->ring_sq_head; /* pairs with the program's release */
	u32 unread, left;

	/* Nothing in flight (RI5). */
	if (unlikely(shared_load_acquire(&thread->ring_in_flight) != 0 ||
		     !atomic_equals_relaxed(&thread->ring_consumer, 0u)))
		return CALL_NOT_FAST;
	unread = thread->ring_cq_tail - shared_load_acquire(&page->cq_head);
	/* Places for all, and enough to wait for when all are done. */
	if (unlikely(submitted > CAPOS_SQ_ENTRIES || unread > CAPOS_CQ_ENTRIES - submitted ||
		     frame->word[0] > submitted + unread))
		return CALL_NOT_FAST;
	left = submitted == 1 ? run_one_in_place(thread) : run_in_place(thread, submitted);
	if (unlikely(left == submitted && submitted != 0))
		return CALL_NOT_FAST;
	move_head(thread, submitted - left);
	shared_store_relaxed(&thread->ring_cq_tail, thread->ring_cq_tail + submitted - left);
	/* Release: the entries are stored; pairs with the program's acquire. */
	shared_store_release(&page->cq_tail, thread->ring_cq_tail);
	if (likely(left == 0))
		return STATUS_DETAIL(OK, unread + submitted);
	thread->ring_ran = true;
	return CALL_NOT_FAST;
}

void ring_operation_done(struct cpu *cpu, struct thread *thread)
{
	struct operation *operation = &thread->operation;

	for (unsigned i = operation->word_count; i < 2; i++)
		operation->word[i] = 0;
	call_verify_ring(thread, operation->asked, false, operation->result);
	ring_complete(cpu, thread, operation->user_data, operation->result, operation->word);
	enter_as_operation(thread);
}
