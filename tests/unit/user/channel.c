/* SPDX-License-Identifier: MIT */
/* LINK: user/lib/channel.c */
/*
 * Channels among threads of the host, which sleep on a condition here: order, bounds, how often anybody sleeps or is woken, time,
 * and an end that writes what it likes into the memory. tests/tools/test_channel.py runs the same under ThreadSanitizer.
 */
#include <user/channel.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <cmocka.h>

#define MS 1000000ull

/* --- the system's part -------------------------------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t woken;
static unsigned sleeps, wakes;
static bool broken;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

enum channel_status channel_sleep(const uint32_t *word, uint32_t expected, uint64_t deadline_ns, bool shared)
{
	struct timespec end = { (time_t)(deadline_ns / 1000000000), (long)(deadline_ns % 1000000000) };
	int error = 0;

	(void)shared;
	if (broken)
		return CHANNEL_BROKEN;
	pthread_mutex_lock(&lock);
	sleeps++;
	/* Whoever is woken at another word looks in vain, which is allowed. */
	if (__atomic_load_n(word, __ATOMIC_SEQ_CST) == expected)
		error = deadline_ns == CHANNEL_NEVER ? pthread_cond_wait(&woken, &lock)
						     : pthread_cond_timedwait(&woken, &lock, &end);
	pthread_mutex_unlock(&lock);
	return error == ETIMEDOUT ? CHANNEL_TIMED_OUT : CHANNEL_OK;
}

void channel_wake(const uint32_t *word, bool shared)
{
	(void)word;
	(void)shared;
	pthread_mutex_lock(&lock);
	wakes++;
	pthread_cond_broadcast(&woken);
	pthread_mutex_unlock(&lock);
}

static unsigned counted(const unsigned *count)
{
	pthread_mutex_lock(&lock);
	unsigned value = *count;
	pthread_mutex_unlock(&lock);
	return value;
}

/* --- channels between guard pages --------------------------------------------------------------------------------- */

#define PAGE 4096u
#define MAPPED (64u * PAGE)

static uint8_t *mapping;

static int setup(void **state)
{
	pthread_condattr_t attribute;

	(void)state;
	pthread_condattr_init(&attribute);
	pthread_condattr_setclock(&attribute, CLOCK_MONOTONIC);
	pthread_cond_init(&woken, &attribute);
	sleeps = wakes = 0;
	broken = false;
	mapping = mmap(NULL, MAPPED + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(mapping, MAP_FAILED);
	assert_int_equal(mprotect(mapping + PAGE, MAPPED, PROT_READ | PROT_WRITE), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return munmap(mapping, MAPPED + 2 * PAGE);
}

/* Ends at the upper guard page when its size is a multiple of CHANNEL_LINE. */
static struct channel make(uint32_t places, uint32_t message_bytes)
{
	size_t bytes = channel_bytes(places, message_bytes);
	size_t room = (bytes + CHANNEL_LINE - 1) & ~(size_t)(CHANNEL_LINE - 1);
	struct channel channel;

	assert_int_not_equal(bytes, 0);
	assert_true(room <= MAPPED);
	assert_true(channel_open(&channel, mapping + PAGE + MAPPED - room, bytes, places, message_bytes, false));
	channel_clear(&channel);
	return channel;
}

static void test_sizes(void **state)
{
	struct channel channel;
	uint8_t *memory = mapping + PAGE;
	size_t bytes = channel_bytes(4, 10);

	(void)state;
	assert_int_equal(bytes, sizeof(struct channel_memory) + 4 * 24);
	assert_int_equal(channel_bytes(0, 10), 0);
	assert_int_equal(channel_bytes(1, 10), 0);
	assert_int_equal(channel_bytes(6, 10), 0);
	assert_int_equal(channel_bytes(2 * CHANNEL_PLACES_MAX, 10), 0);
	assert_int_equal(channel_bytes(4, CHANNEL_MESSAGE_MAX + 1), 0);
	assert_int_not_equal(channel_bytes(CHANNEL_PLACES_MAX, CHANNEL_MESSAGE_MAX), 0);
	assert_true(channel_open(&channel, memory, bytes, 4, 10, false));
	assert_false(channel_open(&channel, memory, bytes - 1, 4, 10, false));
	assert_false(channel_open(&channel, memory + 8, bytes, 4, 10, false));
	assert_false(channel_open(&channel, memory, bytes, 3, 10, false));
}

static void test_full_and_empty(void **state)
{
	struct channel channel = make(4, 13);
	uint8_t message[13], got[13];
	uint32_t bytes;

	(void)state;
	assert_int_equal(channel_receive(&channel, got, &bytes, 0), CHANNEL_WOULD_BLOCK);
	assert_int_equal(channel_send(&channel, message, 14, 0), CHANNEL_TOO_LARGE);
	for (unsigned round = 0; round < 40; round++) {
		unsigned count = round % 5;

		for (unsigned i = 0; i < count; i++) {
			memset(message, (int)(round + i), sizeof(message));
			assert_int_equal(channel_send(&channel, message, (round + i) % 14, 0), CHANNEL_OK);
		}
		if (count == 4)
			assert_int_equal(channel_send(&channel, message, 1, 0), CHANNEL_WOULD_BLOCK);
		for (unsigned i = 0; i < count; i++) {
			memset(got, 0xee, sizeof(got));
			assert_int_equal(channel_receive(&channel, got, &bytes, 0), CHANNEL_OK);
			assert_int_equal(bytes, (round + i) % 14);
			for (unsigned b = 0; b < sizeof(got); b++)
				assert_int_equal(got[b], b < bytes ? (uint8_t)(round + i) : 0xee);
		}
		assert_int_equal(channel_receive(&channel, got, &bytes, 0), CHANNEL_WOULD_BLOCK);
	}
	assert_int_equal(sleeps + wakes, 0);
}

/* Positions and sequences run over the end of 32 bits. */
static void test_positions_wrap(void **state)
{
	struct channel channel = make(2, 8);
	uint32_t start = 0xfffffffdu, bytes;
	uint8_t *slots = (uint8_t *)(channel.memory + 1);
	uint64_t value;

	(void)state;
	channel.memory->head = channel.memory->tail = start;
	for (uint32_t i = 0; i < 2; i++)
		memcpy(slots + ((start + i) & 1) * channel.slot_bytes, &(uint32_t){ start + i }, 4);
	for (uint64_t i = 0; i < 10; i++) {
		assert_int_equal(channel_send(&channel, &(uint64_t){ 2 * i }, 8, 0), CHANNEL_OK);
		assert_int_equal(channel_send(&channel, &(uint64_t){ 2 * i + 1 }, 8, 0), CHANNEL_OK);
		assert_int_equal(channel_send(&channel, &i, 8, 0), CHANNEL_WOULD_BLOCK);
		for (uint64_t k = 0; k < 2; k++) {
			assert_int_equal(channel_receive(&channel, &value, &bytes, 0), CHANNEL_OK);
			assert_int_equal(value, 2 * i + k);
		}
		assert_int_equal(channel_receive(&channel, &value, &bytes, 0), CHANNEL_WOULD_BLOCK);
	}
}

static void *send_nothing(void *channel)
{
	assert_int_equal(channel_send(channel, NULL, 0, CHANNEL_NEVER), CHANNEL_OK);
	return NULL;
}

/* Messages of no bytes: buffers may be NULL, at once and after a wait. */
static void test_empty_messages(void **state)
{
	struct channel channel = make(2, 0);
	pthread_t sender;
	uint32_t bytes = 9;

	(void)state;
	assert_int_equal(channel_send(&channel, NULL, 0, 0), CHANNEL_OK);
	assert_int_equal(channel_send(&channel, NULL, 0, 0), CHANNEL_OK);
	pthread_create(&sender, NULL, send_nothing, &channel);
	while (__atomic_load_n(&channel.memory->sender_waiters, __ATOMIC_SEQ_CST) != 1)
		;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(channel_receive(&channel, NULL, &bytes, CHANNEL_NEVER), CHANNEL_OK);
		assert_int_equal(bytes, 0);
	}
	pthread_join(sender, NULL);
	pthread_create(&sender, NULL, send_nothing, &channel);
	assert_int_equal(channel_receive(&channel, NULL, &bytes, CHANNEL_NEVER), CHANNEL_OK);
	pthread_join(sender, NULL);
}

static void test_time(void **state)
{
	struct channel channel = make(2, 8);
	uint64_t value = 7, begin = now_ns();
	uint32_t bytes;

	(void)state;
	assert_int_equal(channel_receive(&channel, &value, &bytes, begin + 20 * MS), CHANNEL_TIMED_OUT);
	assert_true(now_ns() >= begin + 20 * MS);
	assert_int_equal(channel_send(&channel, &value, 8, 1),
			 CHANNEL_OK); /* a past instant: timed out unless it is there */
	assert_int_equal(channel_send(&channel, &value, 8, 1), CHANNEL_OK);
	assert_int_equal(channel_send(&channel, &value, 8, now_ns() + MS), CHANNEL_TIMED_OUT);
	assert_int_equal(channel_receive(&channel, &value, &bytes, 1), CHANNEL_OK);
	assert_int_equal(channel_receive(&channel, &value, &bytes, 1), CHANNEL_OK);
	assert_int_equal(channel_receive(&channel, &value, &bytes, 1), CHANNEL_TIMED_OUT);
	assert_int_equal(channel.memory->receiver_waiters, 0);
	assert_int_equal(channel.memory->sender_waiters, 0);
	broken = true;
	assert_int_equal(channel_receive(&channel, &value, &bytes, CHANNEL_NEVER), CHANNEL_BROKEN);
	assert_int_equal(channel.memory->receiver_waiters, 0);
}

/* --- threads ------------------------------------------------------------------------------------------------------ */

static void *receive_one(void *channel)
{
	uint64_t value;
	uint32_t bytes;

	assert_int_equal(channel_receive(channel, &value, &bytes, CHANNEL_NEVER), CHANNEL_OK);
	return NULL;
}

/* Each waiter costs one wake, however many messages come before it runs; without waiters there is none. */
static void test_wakes_are_for_waiters(void **state)
{
	struct channel channel = make(16, 8);
	uint64_t value = 1;
	pthread_t threads[3];

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, receive_one, &channel);
	while (__atomic_load_n(&channel.memory->receiver_waiters, __ATOMIC_SEQ_CST) != 3)
		;
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(channel_send(&channel, &value, 8, 0), CHANNEL_OK);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(counted(&wakes), 3);
	assert_int_equal(channel.memory->receiver_waiters, 0);
}

#define SENDERS 4u
#define RECEIVERS 3u
#define EACH 6000u

struct crowd {
	struct channel channel;
	uint32_t left; /* messages to be received */
	uint64_t sum;
	uint32_t out_of_order;
};

struct one {
	struct crowd *crowd;
	uint32_t number;
};

/* Deadlines are of all kinds, so that announcements end in all ways. */
static uint64_t some_deadline(uint32_t *random)
{
	*random = *random * 1664525 + 1013904223;
	switch (*random >> 30) {
	case 0:
		return 0;
	case 1:
		return now_ns() + (*random >> 12) % 30000;
	default:
		return CHANNEL_NEVER;
	}
}

static void *send_many(void *argument)
{
	const struct one *one = argument;
	uint32_t random = one->number;

	for (uint64_t i = 0; i < EACH;) {
		uint64_t message[2] = { one->number, i };
		enum channel_status status =
			channel_send(&one->crowd->channel, message, sizeof(message), some_deadline(&random));

		if (status == CHANNEL_OK)
			i++;
		else
			assert_true(status == CHANNEL_TIMED_OUT || status == CHANNEL_WOULD_BLOCK);
	}
	return NULL;
}

static void *receive_many(void *argument)
{
	const struct one *one = argument;
	struct crowd *crowd = one->crowd;
	uint64_t next[SENDERS] = { 0 }, message[2];
	uint32_t random = 100 + one->number, bytes;

	while (__atomic_load_n(&crowd->left, __ATOMIC_RELAXED) > 0) {
		uint64_t deadline = some_deadline(&random);
		/* Not for ever: the last messages may go to others. */
		enum channel_status status =
			channel_receive(&crowd->channel, message, &bytes,
					deadline == CHANNEL_NEVER ? now_ns() + 20 * MS : deadline);

		if (status != CHANNEL_OK) {
			assert_true(status == CHANNEL_TIMED_OUT || status == CHANNEL_WOULD_BLOCK);
			continue;
		}
		assert_int_equal(bytes, sizeof(message));
		if (message[1] < next[message[0]])
			__atomic_add_fetch(&crowd->out_of_order, 1, __ATOMIC_RELAXED);
		next[message[0]] = message[1] + 1;
		__atomic_add_fetch(&crowd->sum, message[1] + 1, __ATOMIC_RELAXED);
		__atomic_sub_fetch(&crowd->left, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void test_many_to_many(void **state)
{
	(void)state;
	for (uint32_t places = 2; places <= 32; places *= 4) {
		struct crowd crowd = { .channel = make(places, 16), .left = SENDERS * EACH };
		pthread_t threads[SENDERS + RECEIVERS];
		struct one ones[SENDERS + RECEIVERS];

		for (uint32_t i = 0; i < SENDERS + RECEIVERS; i++) {
			ones[i] = (struct one){ &crowd, i };
			pthread_create(&threads[i], NULL, i < SENDERS ? send_many : receive_many, &ones[i]);
		}
		for (uint32_t i = 0; i < SENDERS + RECEIVERS; i++)
			pthread_join(threads[i], NULL);
		assert_int_equal(crowd.sum, (uint64_t)SENDERS * EACH * (EACH + 1) / 2);
		assert_int_equal(crowd.out_of_order, 0);
		assert_int_equal(crowd.channel.memory->sender_waiters, 0);
		assert_int_equal(crowd.channel.memory->receiver_waiters, 0);
	}
}

/* --- an end that scribbles ---------------------------------------------------------------------------------------- */

static bool end_of_scribble;

__attribute__((unused)) static void *scribble(void *argument)
{
	const struct channel *channel = argument;
	uint32_t *words = (uint32_t *)channel->memory;
	size_t count = channel_bytes(channel->places, channel->message_bytes) / 4;
	uint32_t random = 1;

	while (!__atomic_load_n(&end_of_scribble, __ATOMIC_RELAXED)) {
		random = random * 1664525 + 1013904223;

		/* Mostly small: near to what may stand there. */
		uint32_t value = random & 1 ? random : random >> 8 & 0xff;

		__atomic_store_n(&words[(random >> 4) % count], value, __ATOMIC_RELAXED);
	}
	return NULL;
}

#define OPERATIONS 20000u
#define HOSTILE_BYTES 24u

static void *use(void *argument)
{
	const struct channel *channel = argument;
	uint8_t buffer[HOSTILE_BYTES + 8];

	for (unsigned i = 0; i < OPERATIONS; i++) {
		uint32_t bytes = 0;
		uint64_t deadline = i % 3 ? 0 : now_ns() + 5000;
		enum channel_status status;

		memset(buffer, 0x5a, sizeof(buffer));
		status = i % 2 ? channel_send(channel, buffer, HOSTILE_BYTES, deadline)
			       : channel_receive(channel, buffer, &bytes, deadline);
		assert_true(status <= CHANNEL_BROKEN && status != CHANNEL_TOO_LARGE);
		assert_true(status != CHANNEL_OK || bytes <= HOSTILE_BYTES);
		for (unsigned b = HOSTILE_BYTES; b < sizeof(buffer); b++)
			assert_int_equal(buffer[b], 0x5a);
	}
	return NULL;
}

/* Nothing outside of memory (guard pages) and buffer is touched, and every operation ends. */
__attribute__((unused)) static void test_an_end_that_scribbles(void **state)
{
	struct channel channel = make(8, HOSTILE_BYTES);
	pthread_t scribbler, users[2];

	(void)state;
	assert_int_equal(channel_bytes(8, HOSTILE_BYTES) % CHANNEL_LINE, 0);
	end_of_scribble = false;
	pthread_create(&scribbler, NULL, scribble, &channel);
	for (unsigned i = 0; i < 2; i++)
		pthread_create(&users[i], NULL, use, &channel);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(users[i], NULL);
	__atomic_store_n(&end_of_scribble, true, __ATOMIC_RELAXED);
	pthread_join(scribbler, NULL);
}

/* Single values that are never written: each operation ends at once or at its deadline. */
static void test_impossible_words(void **state)
{
	uint8_t buffer[16] = { 0 };
	uint32_t bytes;

	(void)state;
	for (uint32_t turn = 0; turn < 2; turn++) {
		struct channel channel = make(4, 16);
		uint32_t *sequence = (uint32_t *)(channel.memory + 1);

		/* Ahead of every position: it seems that another one is always faster. */
		*sequence = 1000;
		assert_int_equal(turn ? channel_send(&channel, buffer, 1, CHANNEL_NEVER)
				      : channel_receive(&channel, buffer, &bytes, CHANNEL_NEVER),
				 CHANNEL_BROKEN);
		/* One is told again and again, and nothing is there. */
		channel_clear(&channel);
		channel.memory->receiver_waiters = 0xffff0000u;
		assert_int_equal(channel_receive(&channel, buffer, &bytes, CHANNEL_NEVER), CHANNEL_BROKEN);
		/* Longer than a message can be. */
		channel_clear(&channel);
		assert_int_equal(channel_send(&channel, buffer, 16, 0), CHANNEL_OK);
		sequence[1] = turn ? 0xffffffffu : 17;
		assert_int_equal(channel_receive(&channel, buffer, &bytes, 0), CHANNEL_BROKEN);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_and_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(test_positions_wrap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_empty_messages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wakes_are_for_waiters, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_to_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_impossible_words, setup, teardown),
#ifndef WITHOUT_SCRIBBLES /* which are races by intent */
		cmocka_unit_test_setup_teardown(test_an_end_that_scribbles, setup, teardown),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
