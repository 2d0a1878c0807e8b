/* SPDX-License-Identifier: MIT */
/* How the ends of a channel (user/include/user/channel.h) sleep on Linux: by futex. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <user/channel.h>

enum channel_status channel_sleep(const uint32_t *word, uint32_t expected, uint64_t deadline_ns, bool shared)
{
	int wait = FUTEX_WAIT_BITSET | (shared ? 0 : FUTEX_PRIVATE_FLAG);
	struct timespec at = { (time_t)(deadline_ns / 1000000000), (long)(deadline_ns % 1000000000) };

	if (syscall(SYS_futex, word, wait, expected, deadline_ns == CHANNEL_NEVER ? NULL : &at, NULL,
		    FUTEX_BITSET_MATCH_ANY) == 0 ||
	    errno == EAGAIN || errno == EINTR)
		return CHANNEL_OK;
	return errno == ETIMEDOUT ? CHANNEL_TIMED_OUT : CHANNEL_BROKEN;
}

void channel_wake(const uint32_t *word, bool shared)
{
	syscall(SYS_futex, word, FUTEX_WAKE | (shared ? 0 : FUTEX_PRIVATE_FLAG), 1, NULL, NULL, 0);
}
