/* SPDX-License-Identifier: MIT */
/* Endpoints, notifications, park, rings: what other rooms need of them. */
#ifndef KERNEL_IPC_H
#define KERNEL_IPC_H

#include <kernel/call.h>
#include <kernel/thread.h>

#define ENDPOINT_BUCKETS 16u

struct endpoint {
	struct object object;
	u32 iface;	       /* (c) interface that calls must name; 0: any */
	struct list callers;   /* (l:object.lock) waiters: wait for a receiver */
	struct list receivers; /* (l:object.lock) waiters: wait for a call */
	u64 next_token;	       /* (l:object.lock) */
	struct list
		in_service[ENDPOINT_BUCKETS]; /* (l:object.lock) waiters: delivered, wait for the reply; by token */
};

/* --- park: what locks are made of, on a way of its own (park.c) ------------------------------------------------------ */

#define PARK_WAIT_WORD CAPOS_CALL_WORD(CAPOS_IFACE_park_space, CAPOS_METHOD_park_space_wait, CAPOS_OP_CALL, 4, 0)
#define PARK_WAKE_WORD CAPOS_CALL_WORD(CAPOS_IFACE_park_space, CAPOS_METHOD_park_space_wake, CAPOS_OP_CALL, 3, 0)
#define PARK_WAKE_WAIT_WORD                                                                                          \
	CAPOS_CALL_WORD(CAPOS_IFACE_park_space, CAPOS_METHOD_park_space_wake_wait, CAPOS_OP_CALL, 5, 0)
/* A call by PARK_WAKE_WORD, for few waiters, within kernel_syscall_fast: its result, or CALL_NOT_FAST. */
u64 park_wake_fast(u64 handle, u64 call_word, struct thread *thread);

MUST_CHECK u16 endpoint_create(struct process *owner, u32 iface, struct endpoint **out);
/* Synchronous call, receive, reply through endpoints; from call_syscall. */
void endpoint_call(struct cpu *cpu, struct thread *caller, const struct cap *cap);
void endpoint_recv(struct cpu *cpu, struct thread *server, const struct cap *cap);
/* cap NULL: plain reply, never then_receive. The frame's handle; with handle 0 the endpoint of the call being served, or, to a
 * token, that of the thread's last receive. */
void endpoint_reply(struct cpu *cpu, struct thread *server, const struct cap *cap, bool then_receive);
/* The same through the ring: entry already read; results go to completions. */
u64 endpoint_call_ring(struct call *call, u64 call_word);
u64 endpoint_recv_ring(struct call *call);
u64 endpoint_reply_ring(struct call *call, u64 call_word);
/* A fault of `thread` becomes a call to its fault endpoint. False: it has none (or it is dead). */
MUST_CHECK bool endpoint_fault(struct cpu *cpu, struct thread *thread, const struct fault *fault);
/* waiter_finish of a thread that waits for its fault handler (CAPOS_WAIT_FAULT): registers stay, except that SKIP moves ip;
 * anything but RESUME and SKIP ends the process. Called before the thread is made ready. */
void endpoint_fault_finish(struct cpu *cpu, struct thread *thread, u64 result, const u64 *words, unsigned word_count);
/* The thread dies, and its ring operations have ended: calls that it took end with peerGone. A bounded piece; true when none
 * is left, and none will come. */
MUST_CHECK bool endpoint_thread_exit_step(struct cpu *cpu, struct thread *thread);
/* Waiter of a synchronous receive: a completion arrived, return completionsPending. */
void endpoint_wake_receiver_for_completion(struct cpu *cpu, struct thread *thread);

struct notification {
	struct object object;
	ATOMIC(u64) bits;    /* (a) */
	struct list waiters; /* (l:object.lock) */
};
MUST_CHECK u16 notification_create(struct process *owner, struct notification **out);
/* Any CPU, any lock below RANK_OBJECT; never allocates. */
void notification_signal(struct cpu *cpu, struct notification *notification, u64 bits);

/* Authority to park; the waits themselves are in hashed buckets. */
struct park_space {
	struct object object;
};
MUST_CHECK u16 park_space_create(struct process *owner, struct object **out);
void park_init(void);

/* --- ring ------------------------------------------------------------------------------------------------------------- */

/* One operation in flight. */
struct ring_op {
	struct waiter wait;
	u64 user_data;
	bool uses_message;
	bool linked;
	struct asked asked;
	struct list_node ring_link; /* (l:thread->ring_lock) */
	struct reclaim_node reclaim;
	struct ipc_send send; /* of a call; its message is a private frame */
	u64 word[CAPOS_WORDS];
	struct paddr message; /* that frame, charged to the process; 0: none */
};

void ring_init(struct thread *thread);
/* CAPOS_OP_ENTER of the current thread: starts the operation that consumes submissions and then waits. */
void ring_enter(struct cpu *cpu, struct thread *thread);
/* The same for CAPOS_ENTER_WORD within kernel_syscall_fast: its result, or CALL_NOT_FAST, and then ring_enter goes on. */
u64 ring_enter_fast(struct thread *thread);
/* Post a completion (any CPU): the place was reserved. Wakes the thread if its cap_enter or receive waits for it. */
void ring_complete(struct cpu *cpu, struct thread *thread, u64 user_data, u64 result, const u64 *words);
/* End of an in-flight operation by waiter_finish: posts, unlinks, frees. */
void ring_op_finish(struct cpu *cpu, struct ring_op *op, u64 result, const u64 *words, unsigned word_count);
/* An operation of a ring entry is done (call.h): completes the entry and goes on with the ring. */
void ring_operation_done(struct cpu *cpu, struct thread *thread);
/* The thread dies: cancel operations in flight, in bounded steps; true when none is left. */
MUST_CHECK bool ring_teardown_step(struct cpu *cpu, struct thread *thread);

#endif
