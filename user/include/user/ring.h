/* SPDX-License-Identifier: MIT */
/*
 * The ring of the calling thread: submit calls, let the kernel take them, reap completions. capos/ring.h has the
 * picture. The ringq_ functions are the same on any thread page, without a kernel: host tests use them.
 */
#ifndef USER_RING_H
#define USER_RING_H

#include <user/sys.h>

/* An entry for a call with up to four words. */
static inline struct capos_sqe ring_entry(uint64_t user_data, capos_handle h, uint64_t call, uint64_t deadline_ns,
					  uint64_t w0, uint64_t w1, uint64_t w2, uint64_t w3)
{
	return (struct capos_sqe){ user_data, h, call, deadline_ns, { w0, w1, w2, w3 } };
}
#define RING_CALL(user_data, iface, method, h, deadline_ns, w0, w1, w2, w3)                                          \
	ring_entry(user_data, h, CAPOS_METHOD_WORD(iface, method, 0), deadline_ns, w0, w1, w2, w3)

/* Puts an entry into the submission queue; false: full. The kernel looks at the next ring_enter(). */
bool ringq_submit(struct capos_thread_page *page, const struct capos_sqe *entry);
/* Takes the oldest completion; false: none. */
bool ringq_reap(struct capos_thread_page *page, struct capos_cqe *completion);
uint32_t ringq_space(const struct capos_thread_page *page); /* entries that can be submitted now */
uint32_t ringq_ready(const struct capos_thread_page *page); /* completions to reap now */

bool ring_submit(const struct capos_sqe *entry);
bool ring_reap(struct capos_cqe *completion);
uint32_t ring_space(void);
uint32_t ring_ready(void);

/* cap_enter: the kernel consumes what was submitted and waits until `count` completions are there or the deadline
 * passes (0: does not wait). */
struct capos_result ring_enter(uint64_t count, uint64_t deadline_ns);

/* Submits; while the queue is full lets the kernel work. A result other than ok: nothing was submitted; wouldBlock
 * when the completion queue is full of unread entries, so that the kernel cannot take any. */
struct capos_result ring_submit_wait(const struct capos_sqe *entry);

/* Waits for a completion and takes it. */
struct capos_result ring_wait(struct capos_cqe *completion, uint64_t deadline_ns);

#endif
