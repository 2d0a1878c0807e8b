/* SPDX-License-Identifier: MIT */
/* Inside the endpoints: what endpoint.c, endpoint_call.c, _recv.c, _reply.c, _fast.c and _end.c share. */
#ifndef ENDPOINT_PRIV_H
#define ENDPOINT_PRIV_H

#include "ipc_priv.h"

#define CALL_WORD_INDEX 8u /* of the call word, in details of badArgument */

/* In service: the thread that took the call, else NULL. */
static inline struct thread *server_of(const struct waiter *caller)
{
	return (struct thread *)caller->key[1];
}

/* Calls in service are found by their token: consecutive tokens go round the lists. */
static inline struct list *endpoint_bucket(struct endpoint *endpoint, u64 token)
{
	return &endpoint->in_service[token % ENDPOINT_BUCKETS];
}

/* --- endpoint.c: under the endpoint's lock, unless it says otherwise -------------------------------------------- */

extern const struct waiter_ops endpoint_caller_ops, endpoint_receiver_ops;
/* Takes the lock. */
void endpoint_receiver_unlink(struct waiter *waiter);
/* First waiter that is still to be had, or NULL (EP4). */
struct waiter *endpoint_first_armed(struct list *list);
/* The call leaves the service of its thread. */
void endpoint_forget_server(struct waiter *caller);
/* The call (not a receiver) leaves its queue, and its server. */
void endpoint_take_out(struct waiter *caller);
/* Call, in no queue -> in service of `server`; returns the receive's result word. The caller of this copies the words. */
u64 endpoint_hand_over(struct endpoint *endpoint, struct waiter *caller, struct thread *server, const u64 *handles,
		       bool ring);
/* The message page of `thread` gets what came: bytes and capabilities. */
void endpoint_fill_page(struct thread *thread, const u8 *message, u32 bytes, const u64 *handles, u32 cap_count);
/* No lock: give back the capabilities that the call still holds. */
void endpoint_send_drop(struct waiter *caller);
/* No lock: capabilities that were inserted in vain. */
void endpoint_release_handles(struct process *process, const u64 *handles, u32 count);
/* No lock: what the thread page says goes along. OK: references on the grants of capabilities are taken. */
u64 endpoint_decode_extra(struct thread *thread, u64 call_word, u32 *bytes, u32 *cap_count, struct cap *caps,
			  bool ring);

/* --- endpoint_recv.c: no lock ------------------------------------------------------------------------------------ */

/* The call that the thread served by the synchronous path stays in service, to be answered by its token. */
void endpoint_set_aside(struct thread *server);
/*
 * Take a queued call or wait for one. The receiver's thread is current, or off its CPU in the middle of reply-and-receive.
 * Returns the result word (words: in *word and the badge in *badge; ring: in the page), or CALL_BLOCKED: the receiver is
 * armed. A passive server that was current is not any more when it took a call with its caller's entity: it is to be given
 * a CPU, as after waiter_deliver.
 */
u64 endpoint_receive(struct cpu *cpu, struct waiter *receiver, const struct cap *cap, struct instant deadline,
		     u64 *word, u64 *badge);

/* --- endpoint_end.c: pieces of the end of an endpoint, or of grants (object_type) ---------------------------------- */

bool endpoint_kill_step(struct object *object);
bool endpoint_sweep_step(struct object *object, u64 *pass);

#endif
