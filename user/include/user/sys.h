/* SPDX-License-Identifier: MIT */
/*
 * The way into the kernel: one call word, one handle, eight words, in and out; and the result of a call.
 *
 * capos_syscall() is the machine's part (user/lib/x86_64/syscall.S, user/lib/sim/): everything else in user/ is
 * portable. `call` comes back as the result word, `handle` as the badge of a receive, the words as the reply's.
 */
#ifndef USER_SYS_H
#define USER_SYS_H

#include <capos/abi.h>
#include <capos/iface.h>
#include <capos/interface.h>
#include <capos/ring.h>
#include <user/regs.h>
#include <user/short.h>

/* A result word, taken apart. One register. */
struct capos_result {
	uint16_t status;  /* enum capos_status */
	uint16_t iresult; /* of the interface; 0 is success */
	uint32_t detail;
};

static inline struct capos_result result_of(uint64_t word)
{
	return (struct capos_result){ CAPOS_RESULT_STATUS(word), CAPOS_RESULT_IRESULT(word),
				      CAPOS_RESULT_DETAIL(word) };
}

static inline uint64_t result_word(struct capos_result r)
{
	return CAPOS_RESULT(r.status, r.iresult, r.detail);
}

static inline bool result_ok(struct capos_result r)
{
	return r.status == CAPOS_STATUS_OK && r.iresult == 0;
}

/* Words in of every method: CAPOS_WORDS_IN_timer_sleep and so on. */
enum capos_words_in {
#define M(iface, method, id, rights, words_in, ...) CAPOS_WORDS_IN_##iface##_##method = (words_in),
#define X(name, id) CAPOS_METHODS_##name(M)
	CAPOS_INTERFACES(X)
#undef X
#undef M
};

/* The call word of a kernel method. */
#define CAPOS_METHOD_WORD(iface, method, flags)                                                                      \
	CAPOS_CALL_WORD(CAPOS_IFACE_##iface, CAPOS_METHOD_##iface##_##method, CAPOS_OP_CALL,                         \
			CAPOS_WORDS_IN_##iface##_##method, flags)

/* Declares struct capos_regs `regs` for a call of iface.method through handle h with the words given, and makes it. */
#define CAPOS_CALL_REGS(regs, iface, method, flags, h, ...)                                                          \
	struct capos_regs regs = { CAPOS_METHOD_WORD(iface, method, flags), (h), { __VA_ARGS__ } };                  \
	capos_syscall(&(regs))

/* Any call through registers: words in and, changed, out. */
static inline struct capos_result call_words(capos_handle h, uint64_t call, uint64_t word[CAPOS_WORDS])
{
	struct capos_regs regs = { .call = call, .handle = h };

	for (unsigned i = 0; i < CAPOS_WORDS; i++)
		regs.word[i] = word[i];
	capos_syscall(&regs);
	for (unsigned i = 0; i < CAPOS_WORDS; i++)
		word[i] = regs.word[i];
	return result_of(regs.call);
}

/* Lets others of the queue go first. */
static inline void yield(void)
{
	(void)capos_call_short(0, 0, 0, 0, 0, CAPOS_CALL_WORD(0, 0, CAPOS_OP_YIELD, 0, 0));
}

#endif
