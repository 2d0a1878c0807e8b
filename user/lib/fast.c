/* SPDX-License-Identifier: MIT */
/* The short call for machines that have no version of their own (those replace this weak symbol). */
#include <user/sys.h>

__attribute__((weak)) struct capos_short capos_call_short(capos_handle h, uint64_t w0, uint64_t w1, uint64_t w2,
							  uint64_t w3, uint64_t call)
{
	struct capos_regs regs = { call, h, { w0, w1, w2, w3 } };

	capos_syscall(&regs);
	return (struct capos_short){ regs.call, regs.word[0] };
}
