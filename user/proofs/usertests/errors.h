/* SPDX-License-Identifier: MIT */
/*
 * Attempts that must fail: each error of capos/errors.h, through each way in that it has, in an attempt that changes nothing.
 *
 * FAILS(memory_object, read, BAD_ARGUMENT, 2, "more than a page", .handle = memory, .word = { 0, at, 4097 }) makes the attempt by
 * call and by ring and reports a point for each: `memory_object.read badArgument(2) call: more than a page`. REFUSES is for
 * interface results. _BY makes it one way only, where the two need different preparations. tools/errors finds these lines.
 */
#ifndef USERTESTS_ERRORS_H
#define USERTESTS_ERRORS_H

#include <capos/errors.h>
#include <user/ring.h>

#include "usertests.h"

struct attempt {
	uint32_t iface;
	uint16_t method, status, iresult;
	uint32_t detail;
	capos_handle handle;
	uint64_t word[CAPOS_WORDS];
	uint64_t call; /* the call word, where it is not that of iface.method with its words */
	const void *message;
	uint32_t bytes;
	uint32_t caps; /* this many capabilities go along: */
	capos_handle cap;
	uint64_t deadline_ns; /* of the ring entry; the call's is in a word */
	uint16_t exception;   /* op.call: the interface result that the server gives */
	bool served;	      /* it did something, as its line in capos/errors.h says: only the result is compared */
};

void attempt_fails(const char *file, int line, const struct attempt *attempt, unsigned ways, const char *when);

extern bool memory_was_gone; /* this run is about NO_MEMORY */

/* Errors whose attempts are made elsewhere are produced all the same. */
void error_produced(const struct attempt *attempt, enum capos_way way);

#ifdef ERRORS_LIST
#define ATTEMPT_(i, m, status, iresult, detail, ways, ...)                                                           \
	ERROR_TEST(#i, #m, status, iresult, detail, ways) ERROR_TEST_END
#else
#define ATTEMPT_(i, m, status_, iresult_, detail_, ways, when, ...)                                                  \
	attempt_fails(__FILE__, __LINE__,                                                                            \
		      &(struct attempt){ .iface = CAPOS_IFACE_##i,                                                   \
					 .method = CAPOS_METHOD_##i##_##m,                                           \
					 .status = (status_),                                                        \
					 .iresult = (iresult_),                                                      \
					 .detail = (detail_),                                                        \
					 __VA_ARGS__ },                                                              \
		      (ways), when)
#endif
#define FAILS(i, m, status, detail, when, ...)                                                                       \
	ATTEMPT_(i, m, CAPOS_STATUS_##status, 0, detail, CAPOS_WAY_BOTH, when, __VA_ARGS__)
#define FAILS_BY(way, i, m, status, detail, when, ...)                                                               \
	ATTEMPT_(i, m, CAPOS_STATUS_##status, 0, detail, CAPOS_WAY_##way, when, __VA_ARGS__)
#define REFUSES(i, m, result, detail, when, ...)                                                                     \
	ATTEMPT_(i, m, CAPOS_STATUS_OK, result, detail, CAPOS_WAY_BOTH, when, __VA_ARGS__)
#define REFUSES_BY(way, i, m, result, detail, when, ...)                                                             \
	ATTEMPT_(i, m, CAPOS_STATUS_OK, result, detail, CAPOS_WAY_##way, when, __VA_ARGS__)

/* A handle to the same object whose authority was revoked. */
capos_handle revoked_handle(capos_handle good);

#endif
