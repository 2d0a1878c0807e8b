/* SPDX-License-Identifier: MIT */
/* Length of an x86 instruction. Pure: also linked by its unit test. */
#ifndef INSN_H
#define INSN_H

#include <kernel/types.h>

/* Bytes of the instruction at `code`, of which n are readable (15 are enough); 0 = not told. 64-bit mode. */
u32 insn_length(const u8 *code, u32 n);

#endif
