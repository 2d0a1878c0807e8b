/* SPDX-License-Identifier: MIT */
/* What a call takes and gives, and the machine's way in; included through <user/sys.h>. */
#ifndef USER_REGS_H
#define USER_REGS_H

#include <capos/abi.h>

struct capos_regs {
	uint64_t call;
	uint64_t handle;
	uint64_t word[CAPOS_WORDS];
};

void capos_syscall(struct capos_regs *regs);

/* Calls in registers, inline, by the machine (user/lib/x86_64/include, user/lib/sim/include):
 * capos_call_short(h, w0, w1, w2, w3, call): a call with up to four words in and one out.
 * capos_call_five(h, w0, w1, w2, w3, w4, call): five words in, none out, to a method of the kernel; returns the result word.
 * capos_call_words(call, &handle, word, in, out): up to eight words, counts constant; returns the result word. */
struct capos_short {
	uint64_t result;
	uint64_t word0;
};

#endif
