/* SPDX-License-Identifier: MIT */
/* The groups of usertests; each leaves the process as it found it. */
#ifndef USERTESTS_H
#define USERTESTS_H

#include "../proof.h"

/* Handles with all rights that the process has, one per kernel interface; made by main. */
extern capos_handle sample[CAPOS_IFACE_COUNT];

void test_generic(void);
void test_cap(void);
void test_memory(void);
void test_space(void);
void test_thread(void);
void test_process(void);
void test_timer(void);
void test_notification(void);
void test_park(void);
void test_endpoint(void);
void test_endpoint_errors(void); /* part of it */
void endpoint_sides_begin(void);
void endpoint_without_quota(void);
void endpoint_without_frame(void);
void endpoint_without_growth(void);
void endpoint_without_memory(void);
void endpoint_sides_end(void);
void test_growth(void); /* before anything else */
void test_quota(void);
void test_no_memory(void); /* only when asked for */
void test_ring(void);
void test_devices(void);
void test_info(void);
void test_policy(void);
void test_context(void);
void test_errors(void);

/* Addresses that are never the program's; `half` is a page with nothing mapped behind it (address of its end). */
#define BAD_NULL 0ull
#define BAD_WILD 0x123456789000ull
#define BAD_NONCANONICAL 0xdeadbeefdeadbee0ull
#define BAD_KERNEL 0xffffffff80000000ull
#define BAD_OVERFLOW 0xfffffffffffffff8ull

#endif
