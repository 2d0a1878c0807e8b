/* SPDX-License-Identifier: MIT */
/* Marks for the profiler (bench/profile.c): instructions that do nothing, which it knows by their bytes. */
#ifndef USER_MARK_H
#define USER_MARK_H

#define COST_MARK_BASE 0x43430000

/* Operation k begins (n = 2k) or has ended (2k + 1). */
#define COST_MARK(n) __asm__ volatile("nopl %c0(%%rax)" ::"i"(COST_MARK_BASE + (n)) : "memory")

#endif
