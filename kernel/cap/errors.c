/* SPDX-License-Identifier: MIT */
/* Debug builds: each result that a program gets is one that capos/errors.h declares. */
#include "cap_priv.h"

#include <capos/errors.h>
#include <kernel/call.h>
#include <kernel/debug.h>

#if CAPOS_DEBUG

struct declared {
	u16 status, iresult;
	u32 detail;
	u8 iface, method, ways;
};

#define E(i_, m_, s_, d_, w_, ...)                                                                                   \
	{ CAPOS_STATUS_##s_, 0, (d_), CAPOS_IFACE_##i_, CAPOS_METHOD_##i_##_##m_, CAPOS_WAY_##w_ },
#define R(i_, m_, r_, d_, w_, ...)                                                                                   \
	{ CAPOS_STATUS_OK, (r_), (d_), CAPOS_IFACE_##i_, CAPOS_METHOD_##i_##_##m_, CAPOS_WAY_##w_ },
static const struct declared of_method[] = { CAPOS_ERRORS(E, R) };
#undef E
#undef R
#define G(s_, d_, w_, ...) { CAPOS_STATUS_##s_, 0, (d_), 0, 0, CAPOS_WAY_##w_ },
static const struct declared of_every[] = { CAPOS_ERRORS_EVERY(G) };
#undef G

static bool matches(const struct declared *declared, u64 result, enum capos_way way)
{
	return declared->status == CAPOS_RESULT_STATUS(result) && (declared->ways & way) != 0 &&
	       (declared->detail == CAPOS_DETAIL_ANY || declared->detail == CAPOS_RESULT_DETAIL(result));
}

static bool is_declared(u32 iface, u32 method, u64 result, enum capos_way way)
{
	bool call = iface != CAPOS_IFACE_op || method == CAPOS_METHOD_op_call;

	if (call && CAPOS_RESULT_IRESULT(result) == 0)
		for (u32 i = 0; i < ARRAY_COUNT(of_every); i++)
			if (matches(&of_every[i], result, way))
				return true;
	for (u32 i = 0; i < ARRAY_COUNT(of_method); i++)
		if (of_method[i].iface == iface && of_method[i].method == method &&
		    (iface == CAPOS_IFACE_op || of_method[i].iresult == CAPOS_RESULT_IRESULT(result)) &&
		    matches(&of_method[i], result, way))
			return true;
	return false;
}

static bool kernel_method(u64 call_word)
{
	return CAPOS_CALL_OP(call_word) == CAPOS_OP_CALL && CAPOS_CALL_IFACE(call_word) - 1 < CAPOS_IFACE_COUNT - 1;
}

void errors_verify(struct thread *thread, u64 call_word, bool endpoint, enum capos_way way, u64 result)
{
	u16 status = CAPOS_RESULT_STATUS(result);
	bool method = kernel_method(call_word) && !endpoint;
	u32 op = MIN(CAPOS_CALL_OP(call_word), (u32)CAPOS_METHOD_op_other);

	if (status == CAPOS_STATUS_OK && (CAPOS_RESULT_IRESULT(result) == 0 || !method))
		return;
	/* Nobody sees these: docs/CAVEATS.md. */
	if (status == CAPOS_STATUS_CANCELLED || status == CAPOS_STATUS_DYING)
		if ((atomic_load_relaxed(&thread->attention) & ATTENTION_KILL) != 0 ||
		    atomic_load_relaxed(&thread->process->state) >= PROCESS_DYING)
			return;
	if (method ? is_declared(CAPOS_CALL_IFACE(call_word), CAPOS_CALL_METHOD(call_word), result, way)
		   : is_declared(CAPOS_IFACE_op, op, result, way))
		return;
	panic("undeclared error: call word 0x%llx, result 0x%llx%s%s", (unsigned long long)call_word,
	      (unsigned long long)result, endpoint ? " of an endpoint" : "", way == CAPOS_WAY_RING ? " by ring" : "");
}

#endif
