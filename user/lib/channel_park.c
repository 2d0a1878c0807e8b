/* SPDX-License-Identifier: MIT */
/* How the ends of a channel sleep on capOS: in the park space. */
#include <user/channel.h>

#include <user/start.h>
#include <user/stubs.h>

enum channel_status channel_sleep(const uint32_t *word, uint32_t expected, uint64_t deadline_ns, bool shared)
{
	uint64_t flags = shared ? CAPOS_PARK_SHARED : 0;
	struct capos_result r = park_space_wait(known.park, word, expected, deadline_ns, flags);

	if (r.status == CAPOS_STATUS_OK)
		return CHANNEL_OK;
	return r.status == CAPOS_STATUS_TIMED_OUT ? CHANNEL_TIMED_OUT : CHANNEL_BROKEN;
}

void channel_wake(const uint32_t *word, bool shared)
{
	uint64_t woken;

	(void)park_space_wake(known.park, word, 1, shared ? CAPOS_PARK_SHARED : 0, &woken);
}
