/* SPDX-License-Identifier: MIT */
/*
 * Calls in registers, inline; included through <user/sys.h>, which has the contracts. The kernel keeps rbx, rbp, r15 and
 * rsp, and gives back the words that a reply does not bring as they were.
 */
#ifndef USER_SHORT_H
#define USER_SHORT_H

#include <user/regs.h>

/* `words` and the call word are constants: registers of words that are not sent need not be loaded. */
static inline __attribute__((always_inline)) struct capos_short capos_call_short(capos_handle h, uint64_t w0,
										 uint64_t w1, uint64_t w2,
										 uint64_t w3, uint64_t call)
{
	register uint64_t r10 __asm__("r10");
	register uint64_t r8 __asm__("r8");
	struct capos_short back = { call, w0 };

	if (CAPOS_CALL_WORD_COUNT(call) == 0) {
		__asm__ volatile("syscall"
				 : "+a"(back.result), "+D"(h), "=S"(back.word0)
				 :
				 : "rdx", "r8", "r9", "r10", "rcx", "r11", "memory");
	} else if (CAPOS_CALL_WORD_COUNT(call) == 1) {
		__asm__ volatile("syscall"
				 : "+a"(back.result), "+D"(h), "+S"(back.word0)
				 :
				 : "rdx", "r8", "r9", "r10", "rcx", "r11", "memory");
	} else {
		r10 = w2;
		r8 = w3;
		__asm__ volatile("syscall"
				 : "+a"(back.result), "+D"(h), "+S"(back.word0), "+d"(w1), "+r"(r10), "+r"(r8)
				 :
				 : "r9", "rcx", "r11", "memory");
	}
	return back;
}

/* A method of the kernel with five words and no results. */
static inline __attribute__((always_inline)) uint64_t capos_call_five(capos_handle h, uint64_t w0, uint64_t w1,
								      uint64_t w2, uint64_t w3, uint64_t w4,
								      uint64_t call)
{
	register uint64_t r10 __asm__("r10") = w2;
	register uint64_t r8 __asm__("r8") = w3;
	register uint64_t r9 __asm__("r9") = w4;

	__asm__ volatile("syscall"
			 : "+a"(call), "+D"(h), "+S"(w0), "+d"(w1), "+r"(r10), "+r"(r8), "+r"(r9)
			 :
			 : "rcx", "r11", "memory");
	return call;
}

#define SHORT_WORD_(reg, index)                                                                                      \
	register uint64_t reg __asm__(#reg);                                                                         \
	if (in > (index))                                                                                            \
		reg = word[index];                                                                                   \
	else                                                                                                         \
		__asm__("" : "=r"(reg)) /* whatever it holds */

#define SHORT_CAME_(reg, index)                                                                                      \
	if (out > (index))                                                                                           \
	word[index] = reg

static inline __attribute__((always_inline)) uint64_t capos_call_words(uint64_t call, capos_handle *handle,
								       uint64_t *word, unsigned in, unsigned out)
{
	SHORT_WORD_(rsi, 0);
	SHORT_WORD_(rdx, 1);
	SHORT_WORD_(r10, 2);
	SHORT_WORD_(r8, 3);
	SHORT_WORD_(r9, 4);
	SHORT_WORD_(r12, 5);
	SHORT_WORD_(r13, 6);
	SHORT_WORD_(r14, 7);
	__asm__ volatile("syscall"
			 : "+a"(call), "+D"(*handle), "+r"(rsi), "+r"(rdx), "+r"(r10), "+r"(r8), "+r"(r9), "+r"(r12),
			   "+r"(r13), "+r"(r14)
			 :
			 : "rcx", "r11", "memory");
	/* One by one, so that an array whose address goes nowhere else stays in these registers. */
	SHORT_CAME_(rsi, 0);
	SHORT_CAME_(rdx, 1);
	SHORT_CAME_(r10, 2);
	SHORT_CAME_(r8, 3);
	SHORT_CAME_(r9, 4);
	SHORT_CAME_(r12, 5);
	SHORT_CAME_(r13, 6);
	SHORT_CAME_(r14, 7);
	return call;
}

#endif
