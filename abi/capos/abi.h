/* SPDX-License-Identifier: MIT */
/*
 * The public contract of capOS, part 1: constants, handles, the call word, results.
 *
 * Little-endian, natural alignment, fixed-width fields, explicit padding. Structures are extended only at the end.
 * Times are u64 nanoseconds since boot: 0 means now, CAPOS_NEVER never. Ids of processes and threads are u64, never
 * reused. A handle is slot | generation << 32; 0 is never valid.
 */
#ifndef CAPOS_ABI_H
#define CAPOS_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CAPOS_ABI_VERSION 1u
/* ELF note of every program: name "capOS", type 1, description u32 ABI version. */
#define CAPOS_NOTE_NAME "capOS"
#define CAPOS_NOTE_ABI 1u
#define CAPOS_NOTE_STACK 2u /* description u32: bytes of the first stack, 1 to 16 pages; without it 16 */

#define CAPOS_NEVER (~0ull)
#define CAPOS_PAGE_BYTES 4096u
#define CAPOS_WORDS 8u
#define CAPOS_MESSAGE_BYTES 512u
#define CAPOS_MESSAGE_CAPS 4u
#define CAPOS_NAME_BYTES 16u /* names of capabilities, programs, accounts: at most 15 bytes and a 0 */
#define CAPOS_CPU_ANY (~0u)

typedef uint64_t capos_handle;

#define CAPOS_HANDLE_SLOT(h) ((uint32_t)(h))
#define CAPOS_HANDLE_GENERATION(h) ((uint32_t)((h) >> 32))
#define CAPOS_HANDLE(slot, generation) ((uint64_t)(uint32_t)(slot) | (uint64_t)(generation) << 32)

/*
 * The call word: what the thread asks for.
 *
 *   63      56 55    52 51   48 47       32 31          0
 *  | flags    | words  | op    | method    | interface   |
 */
enum capos_op {
	CAPOS_OP_CALL = 0,	 /* call through `handle`: kernel object or endpoint; blocks until the reply */
	CAPOS_OP_RECV = 1,	 /* handle: endpoint; word[0]: deadline */
	CAPOS_OP_REPLY_RECV = 2, /* reply to the call being served, then receive with no deadline */
	/* Reply only; word-, message- and capability-rules as REPLY_RECV. Handle 0: at the endpoint of the call being served,
	 * or, with CAPOS_CALL_TOKEN, at that of the thread's last RECV or REPLY_RECV (not by ring: there a handle is needed). */
	CAPOS_OP_REPLY = 3,
	CAPOS_OP_ENTER = 4, /* cap_enter: word[0] completions to wait for, word[1] absolute deadline */
	CAPOS_OP_YIELD = 5, /* let others of the queue go first */
};

#define CAPOS_CALL_MESSAGE                                                                                           \
	1u /* message bytes go along: thread page send_bytes, message[] (ring: word[2] address, word[3] bytes) */
#define CAPOS_CALL_CAPS 2u /* capabilities go along: thread page send_caps, send_cap[] */
/* Replies only: the caller's call ends with status `exception`. The interface result of any reply, also of this one, stands
 * in the low 16 bits of the interface field of the reply's call word (the method field is not looked at). */
#define CAPOS_CALL_EXCEPTION 4u
#define CAPOS_CALL_TOKEN 8u /* replies only: reply to thread page reply_token instead of the call being served */
#define CAPOS_CALL_FLAGS_KNOWN 0xfu

#define CAPOS_CALL_WORD(iface, method, op, words, flags)                                                             \
	((uint64_t)(uint32_t)(iface) | (uint64_t)(uint16_t)(method) << 32 | (uint64_t)((op) & 15u) << 48 |           \
	 (uint64_t)((words) & 15u) << 52 | (uint64_t)((flags) & 255u) << 56)
#define CAPOS_CALL_IFACE(c) ((uint32_t)(c))
#define CAPOS_CALL_METHOD(c) ((uint16_t)((c) >> 32))
#define CAPOS_CALL_OP(c) ((unsigned)((c) >> 48) & 15u)
#define CAPOS_CALL_WORD_COUNT(c) ((unsigned)((c) >> 52) & 15u)
#define CAPOS_CALL_FLAGS(c) ((unsigned)((c) >> 56))

/*
 * Result word: transport status u16 | interface result u16 << 16 | detail u32 << 32.
 * A status other than OK: the call changed nothing, unless its line says otherwise.
 */
#define CAPOS_STATUSES(X)                                                                                            \
	X(OK, 0, "ok")                                                                                               \
	X(INVALID_HANDLE, 1, "invalidHandle")	/* no such slot, empty, or 0 */                                      \
	X(STALE_HANDLE, 2, "staleHandle")	/* the slot was released or reused since */                          \
	X(WRONG_INTERFACE, 3, "wrongInterface") /* the object is of another type */                                  \
	X(MISSING_RIGHTS, 4, "missingRights")                                                                        \
	X(UNKNOWN_METHOD, 5, "unknownMethod") /* method or op */                                                     \
	X(BAD_SIZE, 6, "badSize")	      /* words, message bytes or capabilities not as declared */             \
	X(BAD_ADDRESS, 7, "badAddress")	      /* user pointer: unmapped, read-only, kernel, overflowing */           \
	X(BAD_ARGUMENT, 8, "badArgument")     /* a field is out of its range; detail: index of the word */           \
	X(QUOTA_EXCEEDED, 9, "quotaExceeded") /* detail: enum capos_quota */                                         \
	X(NO_MEMORY, 10, "noMemory")	      /* the machine has no frame left */                                    \
	X(REVOKED, 11, "revoked")	      /* the authority or the object ended; a wait may have begun */         \
	X(CANCELLED, 12, "cancelled")	      /* the wait was cancelled; a call may have been served */              \
	X(PEER_GONE, 13, "peerGone")	      /* the server of the call ended before it replied */                   \
	X(EXCEPTION, 14, "exception")	 /* the server replied with an exception; interface result says which */     \
	X(TIMED_OUT, 15, "timedOut")	 /* the deadline passed; detail 0 */                                         \
	X(WOULD_BLOCK, 16, "wouldBlock") /* deadline 0 and nothing there */                                          \
	X(COMPLETIONS_PENDING, 17, "completionsPending") /* receive: the completion queue is not empty */            \
	X(NO_SLOTS, 18, "noSlots")		  /* the receiver accepts fewer capabilities than were sent */       \
	X(NOT_SERVING, 19, "notServing")	  /* reply without a call being served, or an unknown token */       \
	X(MESSAGE_BUSY, 20, "messageBusy")	  /* a ring entry that uses the message area is already in flight */ \
	X(DYING, 21, "dying")			  /* the process or thread is ending */                              \
	X(RESULT_TOO_LARGE, 22, "resultTooLarge") /* ring: result does not fit a completion entry */                 \
	X(NOT_SUPPORTED, 23, "notSupported")	  /* this machine does not have it */                                \
	X(RING_STALE, 24, "ringStale")		  /* the ring has another consumer (owner generation moved on) */    \
	X(TOO_DEEP, 25, "tooDeep")		  /* a chain of CAPOS_DONATION_DEPTH_MAX calls on one CPU time */    \
	X(CPU_MASK_MISMATCH, 26,                                                                                     \
	  "cpuMaskMismatch") /* the server may run on no CPU of the mask of the caller's context */

enum capos_status {
#define X(name, value, text) CAPOS_STATUS_##name = (value),
	CAPOS_STATUSES(X)
#undef X
};

/* A passive server runs on its caller's CPU time, and calls others on it: so many calls deep. */
#define CAPOS_DONATION_DEPTH_MAX 16u

enum capos_quota {
	CAPOS_QUOTA_MEMORY = 1,
	CAPOS_QUOTA_SLOTS = 2,
	CAPOS_QUOTA_THREADS = 3,
	CAPOS_QUOTA_PROCESSES = 4
};

#define CAPOS_RESULT(status, iresult, detail)                                                                        \
	((uint64_t)(uint16_t)(status) | (uint64_t)(uint16_t)(iresult) << 16 | (uint64_t)(uint32_t)(detail) << 32)
#define CAPOS_RESULT_STATUS(r) ((uint16_t)(r))
#define CAPOS_RESULT_IRESULT(r) ((uint16_t)((r) >> 16))
#define CAPOS_RESULT_DETAIL(r) ((uint32_t)((r) >> 32))

/*
 * Successful RECV / REPLY_RECV: interface result = method; `handle` register = badge of the capability called
 * through; words as sent; detail = words | caps << 4 | message bytes << 8; the thread page has token, capabilities and message.
 */
#define CAPOS_RECV_DETAIL(words, caps, bytes) ((uint32_t)(words) | (uint32_t)(caps) << 4 | (uint32_t)(bytes) << 8)
#define CAPOS_RECV_WORDS(d) ((d) & 15u)
#define CAPOS_RECV_CAPS(d) (((d) >> 4) & 15u)
#define CAPOS_RECV_BYTES(d) (((d) >> 8) & 1023u)

/* Rights of a capability. */
enum capos_right {
	CAPOS_RIGHT_READ = 1u,	    /* look at it; map it readable */
	CAPOS_RIGHT_WRITE = 2u,	    /* change its content; map it writable */
	CAPOS_RIGHT_EXEC = 4u,	    /* map it executable */
	CAPOS_RIGHT_CALL = 8u,	    /* endpoint: call */
	CAPOS_RIGHT_RECV = 16u,	    /* endpoint: receive and reply */
	CAPOS_RIGHT_SIGNAL = 32u,   /* notification: signal */
	CAPOS_RIGHT_WAIT = 64u,	    /* wait for it (notification, process, thread) */
	CAPOS_RIGHT_CONTROL = 128u, /* change how it behaves: kill, terminate, own, configure */
	CAPOS_RIGHT_CREATE = 256u,  /* make new objects through it */
	CAPOS_RIGHT_GRANT = 512u,   /* derive, copy, transfer */
	CAPOS_RIGHT_DESTROY = 1024u,
};
#define CAPOS_RIGHTS_ALL 2047u

#endif
