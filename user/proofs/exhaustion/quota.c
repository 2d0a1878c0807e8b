/* SPDX-License-Identifier: MIT */
/*
 * Quotas: for each way to use one up, a child with a small quota takes until it is refused. Then: the refusal names the
 * quota, and changed nothing; after one is given back exactly one more works; after all are, everything is as before.
 * ROUNDS rounds must take the same number each: nothing leaks, nothing creeps.
 */
#include "exhaustion.h"

#define ITEMS_MAX 600u
#define ROUNDS 4u
#define LEFT_BYTES 24576u /* what rounds of small objects leave of the memory */
#define LEFT_RING_BYTES 9216u
#define TABLE_SLOTS 65400u /* more than a table can have */
#define CHILD_THREADS 9u
#define CHILD_PROCESSES 3u
#define CHILD_SLOTS_MANY 400u

struct taker {
	const char *name;
	uint32_t kind;
	struct capos_result (*take)(unsigned index, uint64_t *item);
	bool (*give)(uint64_t item);
	uint32_t left_bytes; /* small things: take all memory but this away first */
	bool last;	     /* the one given back is the last: others hang on the rest */
};

static uint64_t items[ITEMS_MAX];

/* --- ways to use something up ------------------------------------------------------------------------------------ */

static bool give_handle(uint64_t item)
{
	return result_ok(cap_table_release(known.caps, item));
}

static bool give_object(uint64_t item)
{
	return result_ok(cap_table_destroy(known.caps, item)) && give_handle(item);
}

static struct capos_result take_page(unsigned index, uint64_t *item)
{
	(void)index;
	return factory_memory(known.factory, PAGE, 0, item);
}

static struct capos_result take_endpoint(unsigned index, uint64_t *item)
{
	(void)index;
	return factory_endpoint(known.factory, PROOF_IFACE, item);
}

static struct capos_result take_notification(unsigned index, uint64_t *item)
{
	(void)index;
	return factory_notification(known.factory, item);
}

static struct capos_result take_park_space(unsigned index, uint64_t *item)
{
	(void)index;
	return factory_park_space(known.factory, item);
}

static struct capos_result take_session(unsigned index, uint64_t *item)
{
	(void)index;
	return session_manager_create(known.session_manager, 7, "tester", item, NULL);
}

static struct capos_result take_grant(unsigned index, uint64_t *item)
{
	(void)index;
	return cap_table_derive(known.caps, known.timer, CAPOS_RIGHT_READ, 0, item);
}

/* Each from the one before. */
static struct capos_result take_chain(unsigned index, uint64_t *item)
{
	return cap_table_derive(known.caps, index == 0 ? known.timer : items[index - 1],
				CAPOS_RIGHT_READ | CAPOS_RIGHT_GRANT, 0, item);
}

static struct capos_result take_copy(unsigned index, uint64_t *item)
{
	(void)index;
	return cap_table_copy(known.caps, known.timer, CAPOS_RIGHT_READ, item);
}

static capos_handle page_memory; /* one page, to be mapped many times */

static struct capos_result take_region(unsigned index, uint64_t *item)
{
	(void)index;
	return address_space_map(known.space, page_memory, 0, 0, PAGE, CAPOS_MAP_WRITE, item);
}

static bool give_region(uint64_t item)
{
	return result_ok(address_space_unmap(known.space, item, PAGE));
}

static struct capos_result take_thread(unsigned index, uint64_t *item)
{
	static struct thread threads[ITEMS_MAX];
	struct thread *thread = &threads[0];

	(void)index;
	while (thread->handle)
		thread++;
	*item = (uintptr_t)thread;
	return thread_start(thread, sleep_forever, NULL);
}

static bool give_thread(uint64_t item)
{
	struct thread *thread = (struct thread *)(uintptr_t)item;

	return result_ok(thread_terminate(thread->handle)) && result_ok(thread_finish(thread, CAPOS_NEVER, NULL));
}

static struct capos_result take_process(unsigned index, uint64_t *item)
{
	struct capos_spawn spawn;

	(void)index;
	spawn_init(&spawn, "child", "sleep");
	spawn.memory_bytes = 256u << 10;
	spawn.slots = 16;
	spawn.threads = 1;
	(void)spawn_grant(&spawn, "timer", known.timer, CAPOS_RIGHT_WAIT | CAPOS_RIGHT_READ);
	return spawn_start(&spawn, item, NULL);
}

static bool give_process(uint64_t item)
{
	return result_ok(process_kill(item, 1)) && result_ok(spawn_finish(item, CAPOS_NEVER, NULL));
}

static capos_handle bell; /* that ring entries wait for */

static struct capos_result take_ring_wait(unsigned index, uint64_t *item)
{
	struct capos_sqe entry = RING_CALL(index, notification, wait, bell, CAPOS_NEVER, CAPOS_NEVER, 0, 0, 0);
	struct capos_cqe completion;

	*item = index;
	if (!ring_submit(&entry) || !result_ok(ring_enter(0, 0)))
		return (struct capos_result){ CAPOS_STATUS_WOULD_BLOCK, 0, 0 };
	if (ring_reap(&completion))
		return result_of(completion.result);
	return (struct capos_result){ CAPOS_STATUS_OK, 0, 0 };
}

/* A signal ends one wait, whichever. */
static bool give_ring_wait(uint64_t item)
{
	struct capos_cqe completion;

	(void)item;
	return result_ok(notification_signal(bell, 1)) && result_ok(ring_wait(&completion, CAPOS_NEVER)) &&
	       CAPOS_RESULT_STATUS(completion.result) == CAPOS_STATUS_OK;
}

static const struct taker takers[] = {
	{ "pages", CAPOS_QUOTA_MEMORY, take_page, give_object, 0, false },
	{ "endpoints", CAPOS_QUOTA_MEMORY, take_endpoint, give_object, LEFT_BYTES, false },
	{ "notifications", CAPOS_QUOTA_MEMORY, take_notification, give_object, LEFT_BYTES, false },
	{ "park-spaces", CAPOS_QUOTA_MEMORY, take_park_space, give_object, LEFT_BYTES, false },
	{ "sessions", CAPOS_QUOTA_MEMORY, take_session, give_object, LEFT_BYTES, false },
	{ "derived", CAPOS_QUOTA_MEMORY, take_grant, give_handle, LEFT_BYTES, false },
	{ "a-chain", CAPOS_QUOTA_MEMORY, take_chain, give_handle, LEFT_BYTES, true },
	{ "mappings", CAPOS_QUOTA_MEMORY, take_region, give_region, LEFT_BYTES, false },
	{ "ring-waits", CAPOS_QUOTA_MEMORY, take_ring_wait, give_ring_wait, LEFT_RING_BYTES, false },
	{ "handles", CAPOS_QUOTA_SLOTS, take_copy, give_handle, 0, false },
	{ "objects", CAPOS_QUOTA_SLOTS, take_notification, give_object, 0, false },
	{ "threads", CAPOS_QUOTA_THREADS, take_thread, give_thread, 0, false },
	{ "processes", CAPOS_QUOTA_PROCESSES, take_process, give_process, 0, false },
};

/* --- the child ------------------------------------------------------------------------------------------------------ */

static uint64_t memory_left(void)
{
	struct capos_process_info info = { 0 };

	return own_info(&info) ? info.memory_limit - info.memory_used : 0;
}

/* Takes memory until no more than about `bytes` are left. */
static bool take_memory_but(uint64_t bytes, capos_handle *ballast)
{
	return memory_left() > 2 * bytes &&
	       result_ok(factory_memory(known.factory, (memory_left() - bytes) & ~(PAGE - 1), 0, ballast));
}

/* One round: *count is how many there were until the refusal. */
static int round_of(const struct taker *taker, unsigned *count)
{
	struct usage before = usage_now(), one_less = before, full = before;
	struct capos_result r = { 0 };
	unsigned n = 0, given;

	for (;;) {
		one_less = full;
		full = usage_now();
		CHECK(n < ITEMS_MAX);
		r = taker->take(n, &items[n]);
		if (!result_ok(r))
			break;
		n++;
	}
	if (!is_detail(r, CAPOS_STATUS_QUOTA_EXCEEDED, taker->kind))
		tap_note("%s: after %u: %s, result %u, detail %u", taker->name, n, status_name(r.status), r.iresult,
			 r.detail);
	CHECK(n > 1 && is_detail(r, CAPOS_STATUS_QUOTA_EXCEEDED, taker->kind));
	CHECK(usage_is(full));
	CHECK(is_detail(taker->take(n, &items[n]), CAPOS_STATUS_QUOTA_EXCEEDED, taker->kind));
	CHECK(usage_is(full));
	/* One back, one more. */
	given = taker->last ? n - 1 : n / 2;
	CHECK(taker->give(items[given]));
	CHECK(becomes_true(usage_is(one_less)));
	CHECK(result_ok(taker->take(given, &items[given])));
	CHECK(is_detail(taker->take(n, &items[n]), CAPOS_STATUS_QUOTA_EXCEEDED, taker->kind));
	for (unsigned i = 0; i < n; i++)
		CHECK(taker->give(items[i]));
	CHECK(becomes_true(usage_is(before)));
	*count = n;
	return 0;
}

/* quota INDEX */
int mode_quota(int argc, char **argv)
{
	const struct taker *taker = &takers[argc > 2 ? number_of(argv[2]) % COUNT_OF(takers) : 0];
	unsigned counts[ROUNDS] = { 0 };
	capos_handle ballast = 0;
	struct capos_process_info info = { 0 };

	grow_table();
	CHECK(result_ok(factory_memory(known.factory, PAGE, 0, &page_memory)));
	if (taker->take == take_region) { /* tables stay for the next mapping */
		unsigned count;

		(void)round_of(taker, &count);
	}
	CHECK(result_ok(factory_notification(known.factory, &bell)));
	if (taker->left_bytes)
		CHECK(take_memory_but(taker->left_bytes, &ballast));
	for (unsigned i = 0; i < ROUNDS; i++) {
		int line = round_of(taker, &counts[i]);

		if (line)
			return line;
		CHECK(counts[i] == counts[0]);
	}
	CHECK(own_info(&info));
	if (taker->kind == CAPOS_QUOTA_THREADS)
		CHECK(counts[0] == CHILD_THREADS - 1);
	if (taker->kind == CAPOS_QUOTA_PROCESSES)
		CHECK(counts[0] == CHILD_PROCESSES);
	if (taker->kind == CAPOS_QUOTA_SLOTS)
		CHECK(counts[0] == info.slots_limit - info.slots_used);
	return 0;
}

/*
 * table: a table of capabilities grows by pages of the memory quota, up to a largest size. Which of the three ends it, the
 * refusal says.
 */
int mode_table(int argc, char **argv)
{
	static capos_handle handles[TABLE_SLOTS];
	static capos_handle pages[ITEMS_MAX];
	struct usage before;
	unsigned count = 0, page_count = 0;
	struct capos_result r;

	(void)argc;
	(void)argv;
	CHECK(take_memory_but(4 * PAGE, &pages[page_count++]));
	while (result_ok(factory_memory(known.factory, PAGE, 0, &pages[page_count])))
		page_count++;
	while (result_ok(r = cap_table_copy(known.caps, known.timer, CAPOS_RIGHT_READ, &handles[count])))
		count++;
	before = usage_now();
	CHECK(is_detail(r, CAPOS_STATUS_QUOTA_EXCEEDED, CAPOS_QUOTA_MEMORY));
	r = thread_spawner_self(known.threads, NULL);
	CHECK(is_detail(r, CAPOS_STATUS_QUOTA_EXCEEDED, CAPOS_QUOTA_MEMORY));
	CHECK(usage_is(before));
	while (page_count > 0)
		CHECK(give_object(pages[--page_count]));
	while (result_ok(r = cap_table_copy(known.caps, known.timer, CAPOS_RIGHT_READ, &handles[count])) &&
	       count + 1 < TABLE_SLOTS)
		count++;
	CHECK(is_detail(r, CAPOS_STATUS_QUOTA_EXCEEDED, CAPOS_QUOTA_SLOTS));
	before = usage_now();
	r = factory_notification(known.factory, NULL);
	CHECK(is_detail(r, CAPOS_STATUS_QUOTA_EXCEEDED, CAPOS_QUOTA_SLOTS));
	CHECK(is_detail(thread_spawner_self(known.threads, NULL), CAPOS_STATUS_QUOTA_EXCEEDED, CAPOS_QUOTA_SLOTS));
	CHECK(usage_is(before));
	CHECK(give_handle(handles[--count]));
	CHECK(result_ok(factory_notification(known.factory, &handles[count])));
	CHECK(give_object(handles[count]));
	while (count > 0)
		CHECK(give_handle(handles[--count]));
	return 0;
}

/* --- the supervisor ------------------------------------------------------------------------------------------------- */

static void largest_table(void)
{
	struct capos_spawn spawn;
	struct usage before = usage_now();

	mode_init(&spawn, "table");
	spawn.memory_bytes = 5u << 20;
	spawn.slots = TABLE_SLOTS;
	spawn.threads = 1; /* used up, which is not what stands in the way */
	tap_ok(ends_well(&spawn),
	       "a table of capabilities at its end of memory, and at its largest: both are named, and it goes on after");
	tap_returns(before, "and nothing is left of it");
}

void test_quotas(void)
{
	uint64_t free_first = 0;

	for (unsigned i = 0; i < COUNT_OF(takers); i++) {
		struct capos_spawn spawn;
		struct usage before = usage_now();
		char args[16];

		fmt_buf(args, sizeof(args), "quota %u", i);
		mode_init(&spawn, args);
		spawn.memory_bytes = 2u << 20;
		spawn.slots = takers[i].kind == CAPOS_QUOTA_MEMORY ? CHILD_SLOTS_MANY : 64;
		spawn.threads = CHILD_THREADS;
		spawn.processes = 0;
		if (takers[i].kind == CAPOS_QUOTA_PROCESSES) {
			spawn.processes = CHILD_PROCESSES;
			spawn.memory_bytes = 4u << 20;
			spawn.slots = 200;
		}
		tap_ok(ends_well(&spawn), "%s until the quota of %s refuses, one back, all back, again",
		       takers[i].name, quota_name(takers[i].kind));
		tap_returns(before, "and nothing is left of it");
		if (i == 0)
			free_first = frames_free();
	}
	largest_table();
	/* What a pool keeps: at most an empty slab each, and the places of what lives now. */
	tap_ok(becomes_true(frames_free() + 32 >= free_first),
	       "the frames are back too: %lu free, %lu after the first", (unsigned long)frames_free(),
	       (unsigned long)free_first);
}
