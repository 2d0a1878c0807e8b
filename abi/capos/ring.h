/* SPDX-License-Identifier: MIT */
/*
 * The public contract of capOS, part 2: the thread page. One page per thread, allocated, pinned and zeroed by the
 * kernel, mapped read-write in the program: ring, message area, capability transfer.
 *
 *            head (kernel)            tail (program)               head (program)          tail (kernel)
 *   SQ  ->  [ consumed | submitted ......... ] free      CQ  ->  [ read | completed ......... ] free
 *
 * Indices are free-running u32; entry i stands at index i & (entries - 1). The program stores an entry, then the SQ
 * tail with release; the kernel loads the tail with acquire. The kernel stores a completion, then the CQ tail with
 * release; the program loads it with acquire and, when it has read the entry, stores the CQ head with release.
 * An entry is consumed only when a completion place is free for it: entries in flight + unread <= CQ entries.
 */
#ifndef CAPOS_RING_H
#define CAPOS_RING_H

#include <capos/abi.h>

#define CAPOS_SQ_ENTRIES 32u
#define CAPOS_CQ_ENTRIES 32u

/* The call word of cap_enter. Its interface is not looked at; one of the kernel's own is the shortest way in. */
#define CAPOS_ENTER_WORD CAPOS_CALL_WORD(1, 0, CAPOS_OP_ENTER, 2, 0)

/* Submission entry: a call, asynchronously. Only op CALL, RECV and REPLY (others: unknownMethod). */
struct capos_sqe {
	uint64_t user_data; /* comes back in the completion */
	uint64_t handle;
	uint64_t call;	   /* call word */
	uint64_t deadline; /* of the operation, where it waits */
	uint64_t word[4];  /* with CAPOS_CALL_MESSAGE: word[2] user address, word[3] bytes; two words are left */
};

struct capos_cqe {
	uint64_t user_data;
	uint64_t result;  /* result word */
	uint64_t word[2]; /* those that the method gives; the others mean nothing */
};

struct capos_thread_page {
	/* 0x000: stored by the kernel */
	uint32_t sq_head;
	uint32_t sq_flags; /* CAPOS_SQ_NEED_WAKEUP */
	uint8_t pad0[56];
	/* 0x040: stored by the program */
	uint32_t sq_tail;
	uint8_t pad1[60];
	/* 0x080: stored by the kernel */
	uint32_t cq_tail;
	uint8_t pad2[60];
	/* 0x0c0: stored by the program */
	uint32_t cq_head;
	uint8_t pad3[60];
	/* 0x100: stored by the kernel at thread creation */
	uint64_t thread_id;
	uint32_t sq_entries;
	uint32_t cq_entries;
	/* 0x110: what the program sends; read once by the kernel */
	uint32_t send_bytes;
	uint32_t send_caps;
	uint64_t send_cap[CAPOS_MESSAGE_CAPS];
	uint64_t reply_token; /* with CAPOS_CALL_TOKEN */
	uint32_t accept_caps; /* capabilities that a receive or a reply may bring: 0..4 */
	uint32_t pad4;
	/* 0x148: what the kernel delivered with the last receive or reply */
	uint64_t recv_token;
	uint64_t recv_badge;
	uint32_t recv_bytes;
	uint32_t recv_caps;
	uint64_t recv_cap[CAPOS_MESSAGE_CAPS];
	uint64_t recv_word[CAPOS_WORDS]; /* words of a receive that completed through the ring */
	uint8_t pad5[0x200 - 0x1c0];
	/* 0x200 */
	uint8_t message[CAPOS_MESSAGE_BYTES];
	/* 0x400 */
	struct capos_sqe sq[CAPOS_SQ_ENTRIES];
	/* 0xc00 */
	struct capos_cqe cq[CAPOS_CQ_ENTRIES];
};

#define CAPOS_SQ_NEED_WAKEUP 1u

_Static_assert(sizeof(struct capos_sqe) == 64, "submission entry");
_Static_assert(sizeof(struct capos_cqe) == 32, "completion entry");
_Static_assert(offsetof(struct capos_thread_page, recv_token) == 0x148, "thread page");
_Static_assert(offsetof(struct capos_thread_page, message) == 0x200, "thread page");
_Static_assert(offsetof(struct capos_thread_page, sq) == 0x400, "thread page");
_Static_assert(offsetof(struct capos_thread_page, cq) == 0xc00, "thread page");
_Static_assert(sizeof(struct capos_thread_page) == 4096, "thread page");

#endif
