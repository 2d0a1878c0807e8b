/* SPDX-License-Identifier: MIT */
/*
 * The queue is Vyukov's: a slot's sequence says whose turn it is, so that a position is taken by one compare-and-swap and
 * neither side looks at the other's position.
 *
 *   slot of position p, n places:   p: free for p   ->   p + 1: message p   ->   p + n: free for p + n
 *
 * CH1  The data of a slot is written only by who moved `tail` over its position, before the sequence says p + 1, and read only
 *      by who moved `head` over it, before it says p + n. Sequence: written with release, read with acquire (they are
 *      sequentially consistent, for CH2).
 * CH2  No wake-up is lost. Who waits adds itself to `waiters`, then looks at the slot; who changes a slot's sequence does
 *      so, then looks at `waiters`. All four are sequentially consistent, so one of the two sees the other (Dekker).
 * CH3  `waiters` is two counts: low half: those who announced themselves and were not told; high half: those who were told, by a
 *      change of the word and a wake, and have not noticed. Both together are the threads between announce() and its
 *      end in one of two ways: sleep_until_told() takes one from the high half, retract() takes one from the low half,
 *      or, if that is empty, from the high one, where its own must be. Nobody is told twice for one change, so there is
 *      at most one wake for each one that waits.
 * CH4  Whoever is told looks at the queue again. Who was told and finds nothing (another one came first) announces itself again.
 *
 * What is read from the memory is used in three ways only: compared, reduced modulo `places`, or checked against message_bytes.
 */
#include <user/channel.h>

#define INLINE static inline __attribute__((always_inline))
#define TRIES_MAX 65536u /* so often in a row one comes too late only if the memory is not what it should be */

#define WAITING 1u    /* one in the low half */
#define TOLD 0x10000u /* one in the high half */
#define ALL_WAITING 0xffffu

/* A test defines it weaker, to see that ThreadSanitizer finds that. */
#ifndef CHANNEL_PUBLISH
#define CHANNEL_PUBLISH __ATOMIC_SEQ_CST
#endif

struct channel_slot {
	uint32_t sequence;
	uint32_t bytes;
	uint8_t data[];
};

void *memcpy(void *restrict to, const void *restrict from, size_t n);

static uint32_t slot_bytes(uint32_t message_bytes)
{
	return ((uint32_t)sizeof(struct channel_slot) + message_bytes + 7) & ~7u;
}

static struct channel_slot *slot_of(const struct channel *channel, uint32_t position)
{
	uint8_t *slots = (uint8_t *)(channel->memory + 1);

	return (struct channel_slot *)(slots + (size_t)(position & (channel->places - 1)) * channel->slot_bytes);
}

size_t channel_bytes(uint32_t places, uint32_t message_bytes)
{
	if (places < 2 || places > CHANNEL_PLACES_MAX || (places & (places - 1)) != 0 ||
	    message_bytes > CHANNEL_MESSAGE_MAX)
		return 0;
	return sizeof(struct channel_memory) + (size_t)places * slot_bytes(message_bytes);
}

bool channel_open(struct channel *channel, void *memory, size_t bytes, uint32_t places, uint32_t message_bytes,
		  bool shared)
{
	size_t needed = channel_bytes(places, message_bytes);

	if (needed == 0 || bytes < needed || ((uintptr_t)memory & (CHANNEL_LINE - 1)) != 0)
		return false;
	*channel = (struct channel){ memory, places, message_bytes, slot_bytes(message_bytes), shared };
	return true;
}

void channel_clear(const struct channel *channel)
{
	for (uint32_t i = 0; i < channel->places; i++)
		__atomic_store_n(&slot_of(channel, i)->sequence, i, __ATOMIC_RELAXED);
	__atomic_store_n(&channel->memory->sender_waiters, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&channel->memory->receiver_waiters, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&channel->memory->head, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&channel->memory->tail, 0, __ATOMIC_RELEASE);
}

/* --- waiting ------------------------------------------------------------------------------------------------------ */

static bool change(uint32_t *waiters, uint32_t *seen, uint32_t to)
{
	return __atomic_compare_exchange_n(waiters, seen, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static void announce(uint32_t *waiters)
{
	__atomic_add_fetch(waiters, WAITING, __ATOMIC_SEQ_CST);
}

static void retract(uint32_t *waiters)
{
	uint32_t seen = __atomic_load_n(waiters, __ATOMIC_SEQ_CST);

	/* 0: somebody else wrote there. */
	while (seen != 0 && !change(waiters, &seen, (seen & ALL_WAITING) != 0 ? seen - WAITING : seen - TOLD))
		;
}

/* After something changed: tells one of those who wait, if there are any. */
static void tell(const struct channel *channel, uint32_t *waiters)
{
	uint32_t seen = __atomic_load_n(waiters, __ATOMIC_SEQ_CST);

	while ((seen & ALL_WAITING) != 0)
		if (change(waiters, &seen, seen - WAITING + TOLD)) {
			channel_wake(waiters, channel->shared);
			return;
		}
}

/* Ends an announcement: ok after being told. */
static enum channel_status sleep_until_told(const struct channel *channel, uint32_t *waiters, uint64_t deadline_ns)
{
	enum channel_status status = CHANNEL_OK;
	uint32_t seen = __atomic_load_n(waiters, __ATOMIC_SEQ_CST);

	while (status == CHANNEL_OK) {
		if (seen >= TOLD) {
			if (change(waiters, &seen, seen - TOLD))
				return CHANNEL_OK;
			continue;
		}
		status = channel_sleep(waiters, seen, deadline_ns, channel->shared);
		seen = __atomic_load_n(waiters, __ATOMIC_SEQ_CST);
	}
	retract(waiters);
	return status;
}

/* --- the queue ---------------------------------------------------------------------------------------------------- */

/* Moves *position over a slot whose sequence is `turn` ahead of it, and gives the slot. */
INLINE enum channel_status take(const struct channel *channel, uint32_t *position, uint32_t turn, uint32_t *at,
				struct channel_slot **slot)
{
	*at = __atomic_load_n(position, __ATOMIC_RELAXED);
	for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
		*slot = slot_of(channel, *at);

		uint32_t sequence = __atomic_load_n(&(*slot)->sequence, __ATOMIC_SEQ_CST);
		int32_t ahead = (int32_t)(sequence - *at - turn);

		if (ahead < 0)
			return CHANNEL_WOULD_BLOCK;
		if (ahead > 0) /* another one took it */
			*at = __atomic_load_n(position, __ATOMIC_RELAXED);
		else if (__atomic_compare_exchange_n(position, at, *at + 1, false, __ATOMIC_RELAXED,
						     __ATOMIC_RELAXED))
			return CHANNEL_OK;
	}
	return CHANNEL_BROKEN;
}

INLINE enum channel_status try_send(const struct channel *channel, const void *message, uint32_t bytes)
{
	struct channel_slot *slot;
	uint32_t at;
	enum channel_status status = take(channel, &channel->memory->tail, 0, &at, &slot);

	if (status != CHANNEL_OK)
		return status;
	__atomic_store_n(&slot->bytes, bytes, __ATOMIC_RELAXED);
	if (bytes != 0)
		memcpy(slot->data, message, bytes);
	__atomic_store_n(&slot->sequence, at + 1, CHANNEL_PUBLISH);
	tell(channel, &channel->memory->receiver_waiters);
	return CHANNEL_OK;
}

/* The buffer has room for message_bytes. */
INLINE enum channel_status try_receive(const struct channel *channel, void *buffer, uint32_t *bytes)
{
	struct channel_slot *slot;
	uint32_t at;
	enum channel_status status = take(channel, &channel->memory->head, 1, &at, &slot);

	if (status != CHANNEL_OK)
		return status;
	*bytes = __atomic_load_n(&slot->bytes, __ATOMIC_RELAXED);
	if (*bytes > channel->message_bytes)
		status = CHANNEL_BROKEN;
	else if (*bytes != 0)
		memcpy(buffer, slot->data, *bytes);
	__atomic_store_n(&slot->sequence, at + channel->places, CHANNEL_PUBLISH);
	tell(channel, &channel->memory->sender_waiters);
	return status;
}

/* What a thread wants: to send `message`, or to receive into `buffer`. */
struct transfer {
	bool sends;
	const void *message;
	void *buffer;
	uint32_t bytes;
};

static enum channel_status try(const struct channel *channel, struct transfer *transfer)
{
	return transfer->sends ? try_send(channel, transfer->message, transfer->bytes)
			       : try_receive(channel, transfer->buffer, &transfer->bytes);
}

/* What could not be done at once: waits for its turn until the deadline. */
static __attribute__((noinline)) enum channel_status wait_and_try(const struct channel *channel,
								  struct transfer *transfer, uint64_t deadline_ns)
{
	uint32_t *waiters = transfer->sends ? &channel->memory->sender_waiters : &channel->memory->receiver_waiters;

	if (deadline_ns == 0)
		return CHANNEL_WOULD_BLOCK;
	for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
		enum channel_status status, slept;

		announce(waiters);
		status = try(channel, transfer); /* CH2: the second look */
		if (status != CHANNEL_WOULD_BLOCK) {
			retract(waiters);
			return status;
		}
		slept = sleep_until_told(channel, waiters, deadline_ns);
		status = try(channel, transfer); /* CH4 */
		if (status != CHANNEL_WOULD_BLOCK)
			return status;
		if (slept != CHANNEL_OK)
			return slept;
	}
	return CHANNEL_BROKEN;
}

enum channel_status channel_send(const struct channel *channel, const void *message, uint32_t bytes,
				 uint64_t deadline_ns)
{
	enum channel_status status;

	if (bytes > channel->message_bytes)
		return CHANNEL_TOO_LARGE;
	status = try_send(channel, message, bytes);
	if (status != CHANNEL_WOULD_BLOCK)
		return status;

	struct transfer transfer = { .sends = true, .message = message, .bytes = bytes };

	return wait_and_try(channel, &transfer, deadline_ns);
}

enum channel_status channel_receive(const struct channel *channel, void *buffer, uint32_t *bytes,
				    uint64_t deadline_ns)
{
	enum channel_status status = try_receive(channel, buffer, bytes);

	if (status != CHANNEL_WOULD_BLOCK)
		return status;

	struct transfer transfer = { .buffer = buffer };

	status = wait_and_try(channel, &transfer, deadline_ns);
	*bytes = transfer.bytes;
	return status;
}
