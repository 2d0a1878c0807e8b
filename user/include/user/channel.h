/* SPDX-License-Identifier: MIT */
/*
 * Channels: a bounded queue of messages in memory that its ends share, threads of a process or processes. Any number
 * of senders and receivers; messages of one sender are received in its order.
 *
 *                        head                    tail                         | struct channel_memory, then a slot
 *   [ free ] [ free ] [ message ] [ message ] [ being written ] [ free ] ...  | per place: sequence, bytes, data
 *
 * No call is made while neither side sleeps: who finds nothing to do announces itself and parks, and who makes something to do
 * wakes one of those that announced themselves. The memory is mapped writable by every end, so none of them trusts it: whatever
 * another end writes there, a message may be lost, wrong, doubled or late, and an operation may end as broken; but nothing
 * outside of the memory and of the caller's buffer is read or written, and an operation with a deadline ends soon after it.
 * An end that dies between taking a place and filling it leaves a channel whose receivers wait at that place: use deadlines.
 *
 * Nothing here is capOS but the two functions at the end, so the same source runs elsewhere (bench/linux).
 */
#ifndef USER_CHANNEL_H
#define USER_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHANNEL_NEVER (~0ull) /* deadlines: instants in ns; 0: do not wait */
#define CHANNEL_PLACES_MAX 65536u
#define CHANNEL_MESSAGE_MAX 65536u
#define CHANNEL_LINE 64u /* what one side writes all the time and the other one does not is apart */

enum channel_status {
	CHANNEL_OK,
	CHANNEL_WOULD_BLOCK, /* deadline 0, and it is full or empty */
	CHANNEL_TIMED_OUT,
	CHANNEL_TOO_LARGE, /* to send: longer than message_bytes */
	CHANNEL_BROKEN,	   /* the memory says what this library never writes, or the right to park is gone */
};

/* All words are changed by __atomic operations only; the legend of `waiters` stands in channel.c. */
struct channel_memory {
	_Alignas(CHANNEL_LINE) uint32_t tail;		  /* position of the next message to be sent */
	_Alignas(CHANNEL_LINE) uint32_t head;		  /* position of the next message to be received */
	_Alignas(CHANNEL_LINE) uint32_t sender_waiters;	  /* for a free place */
	_Alignas(CHANNEL_LINE) uint32_t receiver_waiters; /* for a message */
};

/* One end's view of it; private memory. The threads of a process may share one. Constant after channel_open. */
struct channel {
	struct channel_memory *memory;
	uint32_t places;	/* a power of two */
	uint32_t message_bytes; /* of the longest message */
	uint32_t slot_bytes;
	bool shared; /* between processes */
};

/* Bytes of memory that a channel needs; 0: places is no power of two from 2 on, or one of them is above its maximum. */
size_t channel_bytes(uint32_t places, uint32_t message_bytes);

/* The view of `memory`, aligned to CHANNEL_LINE. All ends say the same places and message_bytes. False: not so many. */
bool channel_open(struct channel *channel, void *memory, size_t bytes, uint32_t places, uint32_t message_bytes,
		  bool shared);

/* Makes the channel empty: by one end, before others use it. */
void channel_clear(const struct channel *channel);

/* Copies a message in: waits for a place until the deadline. */
enum channel_status channel_send(const struct channel *channel, const void *message, uint32_t bytes,
				 uint64_t deadline_ns);

/* Copies the next message out, *bytes of it: waits for one until the deadline. The buffer has room for message_bytes. */
enum channel_status channel_receive(const struct channel *channel, void *buffer, uint32_t *bytes,
				    uint64_t deadline_ns);

/* --- what a system provides: channel_park.c ---------------------------------------------------------------------- */

/* Sleeps until a wake, if *word is `expected`; may return early. ok, timedOut, or broken: one can't sleep here. */
enum channel_status channel_sleep(const uint32_t *word, uint32_t expected, uint64_t deadline_ns, bool shared);

/* Wakes one that sleeps at the word. */
void channel_wake(const uint32_t *word, bool shared);

#endif
