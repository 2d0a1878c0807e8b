/* SPDX-License-Identifier: MIT */
/*
 * Calls on kernel objects: decode, dispatch, results. Two ways in (system call, ring), one semantics.
 *
 * A method is decode (checks everything, changes nothing), then commit (cannot fail). It sees its arguments in
 * call->word and call->in, leaves results in call->word (and call->out), and returns a result word, or
 *   CALL_BLOCKED    it armed call->waiter (waiter_prepare, waiter_arm), whose finisher gives the result;
 *   CALL_OPERATION  it started call->thread->operation (call_start_operation): bounded steps run on dispatch.
 */
#ifndef KERNEL_CALL_H
#define KERNEL_CALL_H

#include <capos/abi.h>
#include <capos/errors.h>
#include <capos/iface.h>
#include <kernel/cap.h>
#include <kernel/debug.h>
#include <kernel/mm.h>
#include <string.h>

struct cpu;
struct thread;
struct waiter;

#define CALL_BLOCKED (~0ull)
#define CALL_OPERATION (~0ull - 1)

#define STATUS(name) CAPOS_RESULT(CAPOS_STATUS_##name, 0, 0)
#define STATUS_DETAIL(name, detail) CAPOS_RESULT(CAPOS_STATUS_##name, 0, (detail))
#define IRESULT(value) CAPOS_RESULT(CAPOS_STATUS_OK, (value), 0)

struct call {
	struct cpu *cpu;
	struct thread *thread; /* caller */
	struct cap cap;	       /* object, rights, badge, grant; checked: type, rights, sizes */
	u64 *word;	       /* in and out, 8 words (synchronous: the frame's own) */
	const u8 *in;	       /* private copy of the message bytes, or NULL */
	u32 in_bytes;
	u32 out_bytes;		 /* set by the method; bytes are in `out` */
	u8 *out;		 /* CAPOS_MESSAGE_BYTES of kernel memory; copied to the message area on success */
	struct waiter *waiter;	 /* where a blocking method blocks: the thread's, or a ring operation's */
	struct instant deadline; /* ring entries only; synchronous methods take theirs from a word */
	bool ring;
};

typedef u64 (*method_fn)(struct call *call);

struct method {
	const char *name;
	method_fn fn;
	u16 rights;
	u16 bytes_in_max;
	u16 bytes_out_max;
	u8 words_in : 4;
	u8 words_out : 4;
	u8 flags;	       /* METHOD_* */
	u64 plain_word;	       /* the call word of a synchronous call without message; 0: it has one */
	struct slot_need need; /* type and rights */
};
#define METHOD_BLOCKS 1u    /* may return CALL_BLOCKED: through the ring it gets a ring operation */
#define METHOD_OPERATION 2u /* may return CALL_OPERATION */
/* Done at once, with no words in, two out and no message; wakes nobody, makes nothing die: FAST_METHODS. */
#define METHOD_FAST 4u

/* What is to be answered: debug builds. */
struct asked {
	u64 call_word;
	bool pending, endpoint;
};

/* scheduling_policy.snapshot in progress (kernel/sched/snapshot.c). */
struct snapshot {
	struct grant *authority, *memory_grant; /* with references */
	struct memory_object *memory;		/* NULL: into the message area */
	u64 offset;
	u64 next_id;	/* records from here on */
	u64 fold_id;	/* sessions, accounts: processes from here on are still to be folded ... */
	u64 process_id; /* ... and of this one so many threads */
	u32 left;
	u32 kind, scope; /* enum capos_snapshot_kind, enum capos_policy_scope */
	u32 count, room; /* records written, and how many go in */
	bool folded;
};

/* A multi-step call in progress. Steps run on the thread's entity, with interrupt windows between them, and may block
 * (OPERATION_WAIT: armed thread->wait; finish makes the thread ready and the step is called again). */
enum operation_progress { OPERATION_AGAIN, OPERATION_WAIT, OPERATION_DONE };
struct operation {
	enum operation_progress (*step)(struct cpu *cpu, struct thread *thread, struct operation *operation);
	u64 result; /* at DONE: the call's result; words in `word` */
	u64 word[CAPOS_WORDS];
	unsigned word_count;
	bool ring; /* the call came from a ring entry: complete it there */
	u64 user_data;
	u64 asked;   /* its call word: debug builds */
	u64 args[4]; /* private to the operation */
	union {
		union {
			struct map_request map;
			struct unmap_request unmap;
		} mm;
		struct snapshot snapshot;
	};
};
/* From a method with METHOD_OPERATION: returns CALL_OPERATION. */
u64 call_start_operation(struct call *call,
			 enum operation_progress (*step)(struct cpu *, struct thread *, struct operation *));

/* Message bytes of the result, at most CAPOS_MESSAGE_BYTES: before DONE. */
void operation_give_bytes(struct thread *thread, const void *bytes, u32 n);
/* A step of the current thread's operation (dispatcher): blocks it, or at DONE delivers the result and ends ATTENTION_OPERATION. */
void operation_step(struct cpu *cpu, struct thread *thread);

/* The synchronous way in: the frame of cpu->current holds a call. Leaves results there or blocks it. */
void call_syscall(struct cpu *cpu);

/* Result word for a status from an allocation: QUOTA_EXCEEDED gets the kind as detail. */
static inline u64 call_status(u16 status, enum capos_quota kind)
{
	return CAPOS_RESULT(status, 0, status == CAPOS_STATUS_QUOTA_EXCEEDED ? (u32)kind : 0u);
}
/* Deadline of a method that waits: the entry's through the ring, else word[index]. */
static inline struct instant call_deadline(const struct call *call, unsigned index)
{
	return call->ring ? call->deadline : (struct instant){ call->word[index] };
}

/* A struct of the ABI is the answer: its bytes in word 0. */
static inline void call_answer(struct call *call, const void *answer, u32 bytes)
{
	memcpy(call->out, answer, bytes);
	call->out_bytes = bytes;
	call->word[0] = bytes;
}

/*
 * Decode and dispatch of one call by CAPOS_OP_CALL, for both ways in. call has cpu, thread, word (8 private words), in and
 * in_bytes (the message, already copied, 16-aligned; 0: none), out (CAPOS_MESSAGE_BYTES, 16-aligned), waiter, deadline, ring; call->cap is filled
 * here. Looks the handle up and checks interface, rights, word count, message size, flags; then runs the method, or, for an
 * endpoint, endpoint_call_ring (ring only: call_syscall sends synchronous endpoint calls to endpoint_call before).
 * Returns what the method returned. Results: call->word[0 .. words_out), call->out[0 .. out_bytes).
 */
u64 call_dispatch(struct call *call, u64 call_word, u64 handle);
/* A METHOD_FAST and the object it is called on, as looked up for one entry of a ring: for equal entries that follow it is enough
 * that all of that still holds. */
struct call_ready {
	const struct slot *slot;
	u32 generation; /* of the handle */
	struct grant *grant;
	struct object *object;
	u64 (*fn)(struct object *object, u64 *word); /* CALL_READY_WORDS for results, and only stored to */
};
#define CALL_READY_WORDS 2u
/* Look-up for a plain call of a METHOD_FAST. False: another method, an error, or more to look at (call_dispatch). */
MUST_CHECK bool call_prepare(struct thread *thread, u64 handle, u64 call_word, struct call_ready *ready);
/* No handle released, grant revoked or object dead since: the method may be called again. */
static inline bool call_ready_holds(const struct call_ready *ready)
{
	/* Generations rise (CA3): the slot's meaning is the one that was read. Acquire: pairs as in cap_lookup_inline. */
	return atomic_equals_acquire(&ready->slot->generation, ready->generation) && !grant_is_dead(ready->grant) &&
	       object_is_alive(ready->object);
}
/* Method that a call word names on a kernel object type, or NULL: for the ring, which looks at its flags. */
const struct method *call_method(u32 iface, u16 method);

/* A new object (building or alive) that the caller's process owns: publish it and put a handle with all rights into
 * word[0]; when that fails the object ends. Returns the call's result. For methods of the factory, in any room. */
u64 factory_hand_out(struct call *call, struct object *object);

/*
 * Debug builds: what a program asked is kept until it has its result, and a result that capos/errors.h does not declare for it
 * stops the machine. `endpoint`: the call went to an endpoint, whatever its interface.
 */
void errors_verify(struct thread *thread, u64 call_word, bool endpoint, enum capos_way way, u64 result);
static inline void call_verify_ring(struct thread *thread, u64 call_word, bool endpoint, u64 result)
{
	if (CAPOS_DEBUG)
		errors_verify(thread, call_word, endpoint, CAPOS_WAY_RING, result);
}

/* --- method tables: generated from abi/capos/iface.h ----------------------------------------------------------------- */

/* Every method is `u64 method_IFACE_METHOD(struct call *call)`, in the room of the object. */
#define M(iface, method, ...) u64 method_##iface##_##method(struct call *call);
#define X(name, id) CAPOS_METHODS_##name(M)
CAPOS_INTERFACES(X)
#undef X
#undef M

/*
 * METHOD_FAST: the method is `u64 fast_IFACE_METHOD(object, word)`, which returns the result word, and method_IFACE_METHOD (FAST_METHOD) does
 * the same. It takes no words and gives at most CALL_READY_WORDS; those may lie in memory of the program.
 */
typedef u64 (*fast_fn)(struct object *object, u64 *word);
#define FAST_METHODS(F)                                                                                              \
	F(cap_table, nop) F(timer, now) F(wall_clock, now) F(notification, poll) F(memory_object, info)
#define F(iface, method) u64 fast_##iface##_##method(struct object *object, u64 *word);
FAST_METHODS(F)
#undef F
#define FAST_METHOD(iface, method)                                                                                   \
	u64 method_##iface##_##method(struct call *call)                                                             \
	{                                                                                                            \
		return fast_##iface##_##method(call->cap.object, call->word);                                        \
	}

/* Which methods may block and which start an operation (the others complete at once); and which are METHOD_FAST. */
#define BLOCKS_(iface, method) (1ull << CAPOS_METHOD_##iface##_##method)
#define OPERATES_(iface, method) (0x10000ull << CAPOS_METHOD_##iface##_##method)
#define FAST_(iface, method) (0x100000000ull << CAPOS_METHOD_##iface##_##method)
#define METHOD_SPECIAL_cap_table                                                                                     \
	(FAST_(cap_table, nop) | OPERATES_(cap_table, revoke) | OPERATES_(cap_table, destroy))
#define METHOD_SPECIAL_process                                                                                       \
	(OPERATES_(process, info) | OPERATES_(process, kill) | BLOCKS_(process, wait) |                              \
	 OPERATES_(process, bind_context))
#define METHOD_SPECIAL_process_spawner OPERATES_(process_spawner, spawn)
#define METHOD_SPECIAL_thread                                                                                        \
	(BLOCKS_(thread, join) | OPERATES_(thread, exit) | OPERATES_(thread, terminate) |                            \
	 OPERATES_(thread, set_cpu) | OPERATES_(thread, set_affinity))
#define METHOD_SPECIAL_thread_spawner OPERATES_(thread_spawner, create)
#define METHOD_SPECIAL_timer (FAST_(timer, now) | BLOCKS_(timer, sleep))
#define METHOD_SPECIAL_wall_clock FAST_(wall_clock, now)
#define METHOD_SPECIAL_notification (BLOCKS_(notification, wait) | FAST_(notification, poll))
#define METHOD_SPECIAL_factory OPERATES_(factory, memory)
#define METHOD_SPECIAL_park_space                                                                                    \
	(BLOCKS_(park_space, wait) | OPERATES_(park_space, wake) | BLOCKS_(park_space, wake_wait))
#define METHOD_SPECIAL_endpoint 0ull
#define METHOD_SPECIAL_memory_object                                                                                 \
	(FAST_(memory_object, info) | OPERATES_(memory_object, read) | OPERATES_(memory_object, write))
#define METHOD_SPECIAL_address_space                                                                                 \
	(OPERATES_(address_space, map) | OPERATES_(address_space, unmap) | OPERATES_(address_space, protect))
#define METHOD_SPECIAL_console (OPERATES_(console, write) | BLOCKS_(console, read) | OPERATES_(console, give))
#define METHOD_SPECIAL_log 0ull
#define METHOD_SPECIAL_entropy 0ull
#define METHOD_SPECIAL_system_info OPERATES_(system_info, processes)
#define METHOD_SPECIAL_trace 0ull
#define METHOD_SPECIAL_power 0ull
#define METHOD_SPECIAL_session_manager OPERATES_(session_manager, create)
#define METHOD_SPECIAL_user_session OPERATES_(user_session, logout)
#define METHOD_SPECIAL_scheduling_policy OPERATES_(scheduling_policy, snapshot)
#define METHOD_SPECIAL_scheduling_context                                                                            \
	(BLOCKS_(scheduling_context, wait_notification) | OPERATES_(scheduling_context, bind_thread))

#define METHOD_ENTRY_(i_, m_, id_, rights_, words_in_, bytes_in_, words_out_, bytes_out_)                            \
	[id_] = {                                                                                                    \
		.name = #m_,                                                                                         \
		.fn = method_##i_##_##m_,                                                                            \
		.rights = (rights_),                                                                                 \
		.bytes_in_max = (bytes_in_),                                                                         \
		.bytes_out_max = (bytes_out_),                                                                       \
		.words_in = (words_in_),                                                                             \
		.words_out = (words_out_),                                                                           \
		.flags = ((METHOD_SPECIAL_##i_ >> (id_)) & 1u ? METHOD_BLOCKS : 0) |                                 \
			 ((METHOD_SPECIAL_##i_ >> (16 + (id_))) & 1u ? METHOD_OPERATION : 0) |                       \
			 ((METHOD_SPECIAL_##i_ >> (32 + (id_))) & 1u ? METHOD_FAST : 0),                             \
		.plain_word = ((bytes_in_) | (bytes_out_)) == 0                                                      \
				      ? CAPOS_CALL_WORD(CAPOS_IFACE_##i_, id_, CAPOS_OP_CALL, words_in_, 0)          \
				      : 0,                                                                           \
		.need = SLOT_NEED(CAPOS_IFACE_##i_, rights_),                                                        \
	},
#define METHOD_COUNT_ENTRY_(...) +1u
/*
 * Definition of a type of object, at file scope:
 *	const struct object_type type_timer = OBJECT_TYPE(timer, .kill_step = ..., .free = ..., .pool = POOL_X + 1);
 */
#define OBJECT_TYPE(iface, ...)                                                                                      \
	{ .name = #iface,                                                                                            \
	  .type = CAPOS_IFACE_##iface,                                                                               \
	  .method_count = 0 CAPOS_METHODS_##iface(METHOD_COUNT_ENTRY_),                                              \
	  .methods = (const struct method[]){ CAPOS_METHODS_##iface(METHOD_ENTRY_) },                                \
	  __VA_ARGS__ }

#define X(name, id) extern const struct object_type type_##name;
CAPOS_INTERFACES(X)
#undef X

#endif
