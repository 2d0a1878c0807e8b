/* SPDX-License-Identifier: MIT */
/*
 * The program's side of the two queues of a thread page; pure. Of the indices the program stores sq_tail and cq_head
 * and loads sq_head and cq_tail. The kernel trusts none of what the program stores, and the program reads an index of
 * the kernel once per operation.
 */
#include <user/ring.h>

uint32_t ringq_space(const struct capos_thread_page *page)
{
	/* acquire: the kernel has read the entries it consumed before it moved the head */
	return CAPOS_SQ_ENTRIES - (page->sq_tail - __atomic_load_n(&page->sq_head, __ATOMIC_ACQUIRE));
}

uint32_t ringq_ready(const struct capos_thread_page *page)
{
	/* acquire: pairs with the kernel's release of cq_tail */
	return __atomic_load_n(&page->cq_tail, __ATOMIC_ACQUIRE) - page->cq_head;
}

bool ringq_submit(struct capos_thread_page *page, const struct capos_sqe *entry)
{
	uint32_t tail = page->sq_tail;

	if (ringq_space(page) == 0)
		return false;
	page->sq[tail & (CAPOS_SQ_ENTRIES - 1)] = *entry;
	__atomic_store_n(&page->sq_tail, tail + 1, __ATOMIC_RELEASE); /* pairs with the kernel's acquire */
	return true;
}

bool ringq_reap(struct capos_thread_page *page, struct capos_cqe *completion)
{
	uint32_t head = page->cq_head;

	if (ringq_ready(page) == 0)
		return false;
	*completion = page->cq[head & (CAPOS_CQ_ENTRIES - 1)];
	__atomic_store_n(&page->cq_head, head + 1, __ATOMIC_RELEASE); /* the entry is read: its place is free */
	return true;
}
