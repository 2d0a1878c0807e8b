/* SPDX-License-Identifier: MIT */
/* Calls in registers, for the simulator: by its gate. Included through <user/sys.h>, which has the contracts. */
#ifndef USER_SHORT_H
#define USER_SHORT_H

#include <user/regs.h>

static inline struct capos_short capos_call_short(capos_handle h, uint64_t w0, uint64_t w1, uint64_t w2, uint64_t w3,
						  uint64_t call)
{
	struct capos_regs regs = { call, h, { w0, w1, w2, w3 } };

	capos_syscall(&regs);
	return (struct capos_short){ regs.call, regs.word[0] };
}

static inline uint64_t capos_call_five(capos_handle h, uint64_t w0, uint64_t w1, uint64_t w2, uint64_t w3,
				       uint64_t w4, uint64_t call)
{
	struct capos_regs regs = { call, h, { w0, w1, w2, w3, w4 } };

	capos_syscall(&regs);
	return regs.call;
}

static inline uint64_t capos_call_words(uint64_t call, capos_handle *handle, uint64_t *word, unsigned in,
					unsigned out)
{
	struct capos_regs regs = { .call = call, .handle = *handle };

	for (unsigned i = 0; i < in; i++)
		regs.word[i] = word[i];
	capos_syscall(&regs);
	*handle = regs.handle;
	for (unsigned i = 0; i < out; i++)
		word[i] = regs.word[i];
	return regs.call;
}

#endif
