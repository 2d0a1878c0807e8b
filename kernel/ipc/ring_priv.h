/* SPDX-License-Identifier: MIT */
/* Inside the rings: ring.c consumes, ring_op.c completes. */
#ifndef RING_PRIV_H
#define RING_PRIV_H

#include "ipc_priv.h"

extern const struct waiter_ops ring_enter_ops;

/* A blocking entry gets an operation, linked and counted in flight. *op NULL: the result says why. */
u64 ring_op_create(struct thread *thread, u64 user_data, bool uses_message, struct ring_op **op);
/* It did not block: nobody else has seen it. */
void ring_op_discard(struct thread *thread, struct ring_op *op);
/* Post the completions of entries that were done at once; `operation`: one more entry is in flight now. The thread is current:
 * it does not wait. */
void ring_post_batch(struct thread *thread, const struct capos_cqe *done, u32 count, bool operation);

#endif
