/* SPDX-License-Identifier: MIT */
/* Decode and dispatch of calls: the synchronous way in, and what it shares with the ring. */
#include "cap_priv.h"

#include <kernel/ipc.h>
#include <kernel/state.h>
#include <kernel/trace.h>
#include <string.h>

/* The call word itself, as index of a wrong argument: it follows word[0..7]. */
#define CALL_WORD_INDEX 8u

/* Handle, interface, method, rights, words. OK with *method NULL: an endpoint. Changes nothing. */
static inline __attribute__((always_inline)) u64 call_decode(struct process *process, u64 call_word, u64 handle,
							     struct cap *cap, const struct method **out)
{
	u16 status = cap_lookup_inline(process, handle, cap);
	u32 iface = CAPOS_CALL_IFACE(call_word), type;
	const struct object_type *object_type_found;
	const struct method *method;

	if (unlikely(status != CAPOS_STATUS_OK))
		return CAPOS_RESULT(status, 0, 0);
	type = cap->object->type;
	if (unlikely(iface != type)) {
		u32 served;

		if (type != CAPOS_IFACE_endpoint)
			return STATUS(WRONG_INTERFACE);
		served = container_of(cap->object, struct endpoint, object)->iface;
		if (served != 0 && served != iface)
			return STATUS(WRONG_INTERFACE);
		if ((cap->rights & CAPOS_RIGHT_CALL) == 0)
			return STATUS(MISSING_RIGHTS);
		if (CAPOS_CALL_WORD_COUNT(call_word) > CAPOS_WORDS)
			return STATUS(BAD_SIZE);
		*out = NULL;
		return STATUS(OK);
	}
	object_type_found = object_types[type];
	if (unlikely(CAPOS_CALL_METHOD(call_word) >= object_type_found->method_count))
		return STATUS(UNKNOWN_METHOD);
	method = &object_type_found->methods[CAPOS_CALL_METHOD(call_word)];
	if (unlikely((~cap->rights & method->rights) != 0))
		return STATUS(MISSING_RIGHTS);
	if (unlikely(CAPOS_CALL_WORD_COUNT(call_word) != method->words_in))
		return STATUS(BAD_SIZE);
	*out = method;
	return STATUS(OK);
}

/* Flags of a call, and the message as the method declares it. */
static u64 call_check_message(const struct method *method, unsigned flags, u32 in_bytes)
{
	bool message = (flags & CAPOS_CALL_MESSAGE) != 0;

	if ((flags & CAPOS_CALL_CAPS) != 0 || message != (method->bytes_in_max != 0))
		return STATUS(BAD_SIZE);
	if (message && (in_bytes == 0 || in_bytes > method->bytes_in_max))
		return STATUS(BAD_SIZE);
	return STATUS(OK);
}

static bool call_flags_ok(unsigned flags)
{
	return (flags & ~(CAPOS_CALL_MESSAGE | CAPOS_CALL_CAPS)) == 0;
}

u64 call_dispatch(struct call *call, u64 call_word, u64 handle)
{
	unsigned flags = CAPOS_CALL_FLAGS(call_word);
	const struct method *method = NULL;
	u64 result;

	if (!call_flags_ok(flags))
		return STATUS_DETAIL(BAD_ARGUMENT, CALL_WORD_INDEX);
	result = call_decode(call->thread->process, call_word, handle, &call->cap, &method);
	if (result != STATUS(OK))
		return result;
	if (method == NULL)
		return endpoint_call_ring(call, call_word);
	result = call_check_message(method, flags, call->in_bytes);
	if (result != STATUS(OK))
		return result;
	call->out_bytes = 0;
	return method->fn(call);
}

u64 call_start_operation(struct call *call,
			 enum operation_progress (*step)(struct cpu *, struct thread *, struct operation *))
{
	struct operation *operation = &call->thread->operation;

	operation->step = step;
	operation->result = STATUS(OK);
	operation->word_count = 0;
	operation->ring = call->ring;
	(void)atomic_fetch_or(&call->thread->attention, ATTENTION_OPERATION);
	return CALL_OPERATION;
}

/* Message bytes in or out: the private copies are on this stack. */
static __attribute__((noinline)) u64 call_with_message(struct call *call, const struct method *method, unsigned flags)
{
	struct capos_thread_page *page = call->thread->page;
	u8 in[CAPOS_MESSAGE_BYTES] __attribute__((aligned(16))),
		out[CAPOS_MESSAGE_BYTES] __attribute__((aligned(16)));
	u64 result;

	call->in_bytes = (flags & CAPOS_CALL_MESSAGE) != 0 ? shared_load_relaxed(&page->send_bytes) : 0;
	call->out_bytes = 0;
	result = call_check_message(method, flags, call->in_bytes);
	if (result != STATUS(OK))
		return result;
	memcpy(in, page->message, call->in_bytes);
	call->in = in;
	call->out = out;
	result = method->fn(call);
	if (result >= CALL_OPERATION || method->bytes_out_max == 0)
		return result;
	if (CAPOS_RESULT_STATUS(result) != CAPOS_STATUS_OK)
		call->out_bytes = 0;
	memcpy(page->message, out, call->out_bytes);
	shared_store_relaxed(&page->recv_bytes, call->out_bytes);
	return result;
}

static void call_return(struct cpu *cpu, struct thread *thread, u64 result)
{
	thread->mach.frame.call = result;
	TRACE(cpu, RETURN, thread->object.id, result, 0);
}

static __attribute__((noinline)) void call_other_op(struct cpu *cpu, struct thread *thread, u64 call_word)
{
	struct mach_frame *frame = &thread->mach.frame;
	unsigned op = CAPOS_CALL_OP(call_word), flags = CAPOS_CALL_FLAGS(call_word);
	struct cap cap = { 0 };
	u16 status = CAPOS_STATUS_OK;

	if ((flags & ~CAPOS_CALL_FLAGS_KNOWN) != 0 ||
	    (flags != 0 && op != CAPOS_OP_REPLY && op != CAPOS_OP_REPLY_RECV)) {
		call_return(cpu, thread,
			    op > CAPOS_OP_YIELD ? STATUS(UNKNOWN_METHOD)
						: STATUS_DETAIL(BAD_ARGUMENT, CALL_WORD_INDEX));
		return;
	}
	if (CAPOS_CALL_WORD_COUNT(call_word) > CAPOS_WORDS) {
		call_return(cpu, thread, STATUS(BAD_SIZE));
		return;
	}
	switch (op) {
	case CAPOS_OP_RECV:
	case CAPOS_OP_REPLY_RECV:
		status = cap_lookup_typed(thread->process, frame->handle, CAPOS_IFACE_endpoint, CAPOS_RIGHT_RECV,
					  &cap);
		if (status != CAPOS_STATUS_OK)
			call_return(cpu, thread, CAPOS_RESULT(status, 0, 0));
		else if (op == CAPOS_OP_RECV)
			endpoint_recv(cpu, thread, &cap);
		else
			endpoint_reply(cpu, thread, &cap, true);
		return;
	case CAPOS_OP_REPLY:
		endpoint_reply(cpu, thread, NULL, false);
		return;
	case CAPOS_OP_ENTER:
		ring_enter(cpu, thread);
		return;
	case CAPOS_OP_YIELD:
		call_return(cpu, thread, STATUS(OK));
		sched_yield_current(cpu);
		return;
	default:
		call_return(cpu, thread, STATUS(UNKNOWN_METHOD));
		return;
	}
}

/*
 * A call of a kernel object's method that takes and gives no message: what most of those are that may block, wake or need more
 * than a METHOD_FAST is given. Straight from look-up to result; false: something else, or an error, and nothing happened.
 */
static inline __attribute__((always_inline)) bool call_plain(struct cpu *cpu, struct thread *thread, u64 call_word)
{
	const struct object_type *type;
	const struct method *method;
	struct call call;
	u64 result;

	if (CAPOS_CALL_IFACE(call_word) - 1 >= CAPOS_IFACE_COUNT - 1)
		return false;
	type = object_types[CAPOS_CALL_IFACE(call_word)];
	if (CAPOS_CALL_METHOD(call_word) >= type->method_count)
		return false;
	method = &type->methods[CAPOS_CALL_METHOD(call_word)];
	if (method->plain_word != call_word ||
	    unlikely(!cap_find_inline(thread->process, &thread->mach.frame.handle, &method->need, &call.cap.object,
				      &call.cap.grant, NULL) ||
		     !object_is_alive(call.cap.object)))
		return false;
	call.cap.rights = method->rights; /* no method of a kernel object asks for more, nor for the badge */
	call.cap.badge = 0;
	call.cpu = cpu;
	call.thread = thread;
	call.word = thread->mach.frame.word;
	call.waiter = &thread->wait;
	call.ring = false;
	result = method->fn(&call);
	/* Blocked: the thread may run on another CPU already. */
	if (likely(result < CALL_OPERATION))
		call_return(cpu, thread, result);
	return true;
}

/* Any call, with its errors. */
static __attribute__((noinline)) void call_general(struct cpu *cpu, struct thread *thread, u64 call_word)
{
	struct mach_frame *frame = &thread->mach.frame;
	u64 result;
	const struct method *method = NULL;
	struct call call;
	unsigned flags = CAPOS_CALL_FLAGS(call_word);

	if (unlikely(!call_flags_ok(flags))) {
		call_return(cpu, thread, STATUS_DETAIL(BAD_ARGUMENT, CALL_WORD_INDEX));
		return;
	}
	result = call_decode(thread->process, call_word, frame->handle, &call.cap, &method);
	if (unlikely(result != STATUS(OK))) {
		call_return(cpu, thread, result);
		return;
	}
	if (unlikely(method == NULL)) {
		if (CAPOS_DEBUG)
			thread->asked.endpoint = true;
		endpoint_call(cpu, thread, &call.cap);
		return;
	}
	call.cpu = cpu;
	call.thread = thread;
	call.word = frame->word;
	call.waiter = &thread->wait;
	call.ring = false; /* no deadline but in a word; `in` and `out` only with a message */
	if (unlikely((flags | method->bytes_in_max | method->bytes_out_max) != 0))
		result = call_with_message(&call, method, flags);
	else
		result = method->fn(&call);
	/* Blocked: the thread may run on another CPU already. */
	if (likely(result < CALL_OPERATION))
		call_return(cpu, thread, result);
}

void call_syscall(struct cpu *cpu)
{
	struct thread *thread = cpu->current;
	u64 call_word = thread->mach.frame.call;

	if (CAPOS_DEBUG)
		thread->asked = (struct asked){ .call_word = call_word, .pending = true };
	TRACE(cpu, CALL, thread->object.id, call_word, thread->mach.frame.handle);
	/* Who makes things die helps to reclaim them. */
	if (unlikely(cpu->deferred_first != NULL))
		(void)reclaim_poll(cpu);
	if (call_plain(cpu, thread, call_word))
		return;
	if (CAPOS_CALL_OP(call_word) == CAPOS_OP_CALL) {
		call_general(cpu, thread, call_word);
	} else if (call_word == YIELD_WORD) {
		call_return(cpu, thread, STATUS(OK));
		sched_yield_current(cpu);
	} else {
		call_other_op(cpu, thread, call_word);
	}
}

/*
 * Fast methods, found by interface and method packed from the call word (fast_index). An equal call word says that op, word count
 * and flags are as they should be; one comparison with the slot's meaning says the same of type and rights.
 */
#define FAST_METHODS_EACH 8u /* methods of an interface that may be fast: those with the lowest ids */
#define FAST_INTERFACES 32u

struct fast_method {
	u64 call_word; /* 0: none; interface 0 has no methods */
	fast_fn fn;
	struct slot_need need;
} __attribute__((aligned(32))); /* a shift finds it */

/* What the table needs of each method. */
enum {
#define M(iface, method, id, rights, words_in, bytes_in, words_out, ...)                                             \
	RIGHTS_##iface##_##method = (rights), WORDS_##iface##_##method = (words_in),                                 \
	RESULTS_##iface##_##method = (words_out),
#define X(name, id) CAPOS_METHODS_##name(M)
	CAPOS_INTERFACES(X)
#undef X
#undef M
};

#define F(iface, method)                                                                                             \
	_Static_assert(WORDS_##iface##_##method == 0 && RESULTS_##iface##_##method <= CALL_READY_WORDS, "call.h");
FAST_METHODS(F)
#undef F

static inline u32 fast_index(u64 call_word)
{
	return ((u32)call_word | (u32)(call_word >> 27)) % (FAST_METHODS_EACH * FAST_INTERFACES);
}
#define FAST_INDEX(iface, method) (CAPOS_IFACE_##iface | CAPOS_METHOD_##iface##_##method << 5)

static const struct fast_method fast_methods[FAST_METHODS_EACH * FAST_INTERFACES] = {
#define F(iface, method)                                                                                             \
	[FAST_INDEX(iface, method)] = {                                                                              \
		.call_word = CAPOS_CALL_WORD(CAPOS_IFACE_##iface, CAPOS_METHOD_##iface##_##method, CAPOS_OP_CALL,    \
					     WORDS_##iface##_##method, 0),                                           \
		.fn = fast_##iface##_##method,                                                                       \
		.need = SLOT_NEED(CAPOS_IFACE_##iface, RIGHTS_##iface##_##method),                                   \
	},
	FAST_METHODS(F)
#undef F
};
_Static_assert(CAPOS_IFACE_COUNT <= FAST_INTERFACES, "an interface has five bits of the index");

/* Why a handle does not fit a fast method: the general look-up and its order of checks. */
static __attribute__((noinline)) u64 fast_mismatch(struct thread *thread, u64 handle, u64 call_word, u64 *word)
{
	const struct fast_method *method = &fast_methods[fast_index(call_word)];
	struct cap cap;
	u16 status = cap_lookup_inline(thread->process, handle, &cap);
	u32 have;

	if (status != CAPOS_STATUS_OK)
		return CAPOS_RESULT(status, 0, 0);
	have = SLOT_MEANING(cap.object->type, cap.rights) & method->need.mask;
	if (have == method->need.meaning) /* a slot beyond the first page */
		return method->fn(cap.object, word);
	if (have >> 16 == method->need.meaning >> 16)
		return STATUS(MISSING_RIGHTS);
	return have >> 16 == CAPOS_IFACE_endpoint ? CALL_NOT_FAST : STATUS(WRONG_INTERFACE);
}

static __attribute__((noinline)) u64 frame_mismatch(u64 call_word, struct thread *thread)
{
	return fast_mismatch(thread, thread->mach.frame.handle, call_word, thread->mach.frame.word);
}

/* False: fast_mismatch. */
static inline __attribute__((always_inline)) bool fast_find(struct thread *thread, const u64 *handle,
							    const struct fast_method *method, struct object **object)
{
	struct grant *grant;

	return cap_find_within(thread->process, handle, &method->need, object, &grant, NULL, true) &&
	       object_is_alive(*object);
}

bool call_prepare(struct thread *thread, u64 handle, u64 call_word, struct call_ready *ready)
{
	const struct fast_method *method = &fast_methods[fast_index(call_word)];

	if (method->call_word != call_word || call_word == 0)
		return false;
	if (!cap_find_within(thread->process, &handle, &method->need, &ready->object, &ready->grant, NULL, true) ||
	    !object_is_alive(ready->object))
		return false;
	ready->generation = CAPOS_HANDLE_GENERATION(handle);
	ready->slot = &atomic_load_acquire(&thread->process->table.first)[CAPOS_HANDLE_SLOT(handle)]; /* set_first */
	ready->fn = method->fn;
	return true;
}

/* What is fast without being a METHOD_FAST. */
static inline __attribute__((always_inline)) u64 other_fast(u64 call_word, struct thread *thread)
{
	if (CAPOS_CALL_IFACE(call_word) != CAPOS_IFACE_park_space)
		return call_word == CAPOS_ENTER_WORD ? ring_enter_fast(thread) : CALL_NOT_FAST;
	if (call_word == PARK_WAKE_WORD)
		return park_wake_fast(thread->mach.frame.handle, call_word, thread);
	return call_word == PARK_WAIT_WORD || call_word == PARK_WAKE_WAIT_WORD ? CALL_PARK : CALL_NOT_FAST;
}

static inline __attribute__((always_inline)) u64 syscall_fast(u64 call_word, struct thread *thread)
{
	const struct fast_method *method = &fast_methods[fast_index(call_word)];
	struct object *object;

	if (unlikely(!atomic_clear_relaxed(&kernel_state.trace_mask,
					   1u << CAPOS_TRACE_CALL | 1u << CAPOS_TRACE_RETURN)))
		return CALL_NOT_FAST;
	if (method->call_word != call_word)
		return other_fast(call_word, thread);
	if (unlikely(!fast_find(thread, &thread->mach.frame.handle, method, &object)))
		return frame_mismatch(call_word, thread);
	return method->fn(object, thread->mach.frame.word);
}

/* The shortest way: no scheduling at the end, and a frame that holds five words only. */
u64 kernel_syscall_fast(u64 call_word, struct thread *thread)
{
	u64 result = syscall_fast(call_word, thread);

	if (CAPOS_DEBUG && result < CALL_PARK)
		errors_verify(thread, call_word, false, CAPOS_WAY_CALL, result);
	return result;
}
