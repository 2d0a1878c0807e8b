/* SPDX-License-Identifier: MIT */
/*
 * The ring of the calling thread: submit calls, let the kernel take them, reap completions. capos/ring.h has the
 * picture. The ringq_ functions are the same on any thread page, without a kernel: host tests use them.
 */
#ifndef USER_RING_H
#define USER_RING_H

#include <user/thread.h>

/* An entry for a call with up to four words. */
static inline struct capos_sqe ring_entry(uint64_t user_data, capos_handle h, uint64_t call, uint64_t deadline_ns,
					  uint64_t w0, uint64_t w1, uint64_t w2, uint64_t w3)
{
	return (struct capos_sqe){ user_data, h, call, deadline_ns, { w0, w1, w2, w3 } };
}
#define RING_CALL(user_data, iface, method, h, deadline_ns, w0, w1, w2, w3)                                          \
	ring_entry(user_data, h, CAPOS_METHOD_WORD(iface, method, 0), deadline_ns, w0, w1, w2, w3)

/*
 * The two queues of a thread page. Of the indices the program stores sq_tail and cq_head and loads sq_head and cq_tail. The
 * kernel trusts none of what the program stores, and the program reads an index of the kernel once per operation.
 */

/* Entries that can be submitted now. */
static inline uint32_t ringq_space(const struct capos_thread_page *page)
{
	/* acquire: the kernel has read the entries it consumed before it moved the head */
	return CAPOS_SQ_ENTRIES - (page->sq_tail - __atomic_load_n(&page->sq_head, __ATOMIC_ACQUIRE));
}

/* Completions to reap now. */
static inline uint32_t ringq_ready(const struct capos_thread_page *page)
{
	/* acquire: pairs with the kernel's release of cq_tail */
	return __atomic_load_n(&page->cq_tail, __ATOMIC_ACQUIRE) - page->cq_head;
}

/* Puts an entry into the submission queue; false: full. The kernel looks at the next ring_enter(). */
static inline bool ringq_submit(struct capos_thread_page *page, const struct capos_sqe *entry)
{
	uint32_t tail = page->sq_tail;

	if (ringq_space(page) == 0)
		return false;
	page->sq[tail & (CAPOS_SQ_ENTRIES - 1)] = *entry;
	__atomic_store_n(&page->sq_tail, tail + 1, __ATOMIC_RELEASE); /* pairs with the kernel's acquire */
	return true;
}

/* Takes the oldest completion; false: none. */
static inline bool ringq_reap(struct capos_thread_page *page, struct capos_cqe *completion)
{
	uint32_t head = page->cq_head;

	if (ringq_ready(page) == 0)
		return false;
	*completion = page->cq[head & (CAPOS_CQ_ENTRIES - 1)];
	__atomic_store_n(&page->cq_head, head + 1, __ATOMIC_RELEASE); /* the entry is read: its place is free */
	return true;
}

/*
 * Many at once, in place: fill the slots 0 .. n - 1, n at most ringq_space(), then publish them together; look at the completions
 * 0 .. n - 1, n at most ringq_ready(), then give their places back together.
 */
static inline struct capos_sqe *ringq_slot(struct capos_thread_page *page, uint32_t i)
{
	return &page->sq[(page->sq_tail + i) & (CAPOS_SQ_ENTRIES - 1)];
}

static inline void ringq_publish(struct capos_thread_page *page, uint32_t n)
{
	__atomic_store_n(&page->sq_tail, page->sq_tail + n, __ATOMIC_RELEASE); /* pairs with the kernel's acquire */
}

static inline const struct capos_cqe *ringq_completion(const struct capos_thread_page *page, uint32_t i)
{
	return &page->cq[(page->cq_head + i) & (CAPOS_CQ_ENTRIES - 1)];
}

static inline void ringq_advance(struct capos_thread_page *page, uint32_t n)
{
	__atomic_store_n(&page->cq_head, page->cq_head + n,
			 __ATOMIC_RELEASE); /* the entries are read: their places are free */
}

/* What each entry needs. Words that the method takes, and the deadline if it waits, are the caller's; the others may stay as they
 * are in the slot. */
static inline void ring_fill(struct capos_sqe *slot, uint64_t user_data, capos_handle h, uint64_t call)
{
	slot->user_data = user_data;
	slot->handle = h;
	slot->call = call;
}

static inline struct capos_sqe *ring_slot(uint32_t i)
{
	return ringq_slot(self_page(), i);
}

static inline void ring_publish(uint32_t n)
{
	ringq_publish(self_page(), n);
}

static inline const struct capos_cqe *ring_completion(uint32_t i)
{
	return ringq_completion(self_page(), i);
}

static inline void ring_advance(uint32_t n)
{
	ringq_advance(self_page(), n);
}

static inline bool ring_submit(const struct capos_sqe *entry)
{
	return ringq_submit(self_page(), entry);
}

static inline bool ring_reap(struct capos_cqe *completion)
{
	return ringq_reap(self_page(), completion);
}

static inline uint32_t ring_space(void)
{
	return ringq_space(self_page());
}

static inline uint32_t ring_ready(void)
{
	return ringq_ready(self_page());
}

/* cap_enter: the kernel consumes what was submitted and waits until `count` completions are there or the deadline
 * passes (0: does not wait). */
struct capos_result ring_enter(uint64_t count, uint64_t deadline_ns);

/* Submits; while the queue is full lets the kernel work. A result other than ok: nothing was submitted; wouldBlock
 * when the completion queue is full of unread entries, so that the kernel cannot take any. */
struct capos_result ring_submit_wait(const struct capos_sqe *entry);

/* Waits for a completion and takes it. */
struct capos_result ring_wait(struct capos_cqe *completion, uint64_t deadline_ns);

#endif
