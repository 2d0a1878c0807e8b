/* SPDX-License-Identifier: MIT */
/* The ring of the calling thread. */
#include <user/ring.h>

struct capos_result ring_enter(uint64_t count, uint64_t deadline_ns)
{
	return result_of(capos_call_short(0, count, deadline_ns, 0, 0, CAPOS_ENTER_WORD).result);
}

struct capos_result ring_submit_wait(const struct capos_sqe *entry)
{
	struct capos_result r = { 0 };

	while (!ring_submit(entry)) {
		r = ring_enter(0, 0);
		if (ring_space() > 0)
			continue;
		if (!result_ok(r))
			return r;
		if (ring_ready() > 0) /* no place for more completions: the caller has to reap first */
			return (struct capos_result){ CAPOS_STATUS_WOULD_BLOCK, 0, 0 };
		r = ring_enter(1, CAPOS_NEVER);
		if (!result_ok(r) && ring_space() == 0)
			return r;
	}
	return (struct capos_result){ CAPOS_STATUS_OK, 0, 0 };
}

struct capos_result ring_wait(struct capos_cqe *completion, uint64_t deadline_ns)
{
	struct capos_result r = { 0 };

	while (!ring_reap(completion)) {
		r = ring_enter(1, deadline_ns);
		if (!result_ok(r) && ring_ready() == 0)
			return r;
	}
	return (struct capos_result){ CAPOS_STATUS_OK, 0, 0 };
}
