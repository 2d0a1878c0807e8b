/* SPDX-License-Identifier: MIT */
/*
 * Everything that needs memory, where there is none: beyond the memory quota (group quota), and where the machine has no
 * frame left (group no-memory: the simulator's script tests/sim/no-memory.input takes the frames away when it is told).
 */
#include "errors.h"

#define HELD 8192u
#define MAPPED 256u

static capos_handle held[HELD];
static unsigned held_count;
static uint64_t mapped[MAPPED];
static unsigned mapped_count;
static unsigned waiting; /* ring entries in flight, for a notification */
static capos_handle bell;
static struct block block;
/* The least authority that there is. */
static const struct capos_policy_bounds least = { .weight_max = 1,
						  .class_best = CAPOS_LATENCY_BATCH,
						  .request_min_ns = CAPOS_REQUEST_MIN_NS,
						  .request_max_ns = CAPOS_REQUEST_MIN_NS,
						  .scope = CAPOS_SCOPE_THREAD };
static const struct capos_context_spec small = { .budget_ns = MS, .period_ns = MS, .deadline_ns = MS };

/* Makes one more of what `result` makes, which leaves its handle in *handle. */
static bool kept(struct capos_result result, const capos_handle *handle)
{
	if (!result_ok(result))
		return false;
	if (held_count == HELD)
		panic("there is more memory than this test can hold");
	held[held_count++] = *handle;
	return true;
}

static void take_memory(uint64_t largest)
{
	capos_handle h = 0;

	for (uint64_t bytes = largest; bytes >= PAGE; bytes /= 2)
		while (kept(factory_memory(known.factory, bytes, 0, &h), &h))
			;
	while (kept(factory_endpoint(known.factory, 0, &h), &h))
		;
	while (kept(factory_notification(known.factory, &h), &h))
		;
	while (kept(factory_park_space(known.factory, &h), &h))
		;
	while (kept(scheduling_policy_derive(known.policy, &least, &h), &h))
		;
	while (kept(scheduling_context_create(known.context, &small, &h), &h))
		;
	while (kept(session_manager_create(known.session_manager, 7, "tester", &h, NULL), &h))
		;
	while (kept(cap_table_derive(known.caps, known.timer, CAPOS_RIGHT_READ, 0, &h), &h))
		;
	while (mapped_count < MAPPED &&
	       result_ok(address_space_map(known.space, block.memory, 0, 0, PAGE, 0, &mapped[mapped_count])))
		mapped_count++;
}

/* Entries that wait, until one finds no memory; the last completion is that. */
static void take_entries(void)
{
	struct capos_cqe done;

	while (waiting < CAPOS_CQ_ENTRIES - 2) {
		struct capos_sqe entry = RING_CALL(9, notification, wait, bell, CAPOS_NEVER, 0, 0, 0, 0);

		must(ring_submit_wait(&entry));
		must(ring_enter(0, 0));
		if (ring_reap(&done))
			return;
		waiting++;
	}
	panic("ring entries need no memory");
}

static void begin(void)
{
	insist(block_map(&block, 3 * PAGE));
	insist(factory_notification(known.factory, &bell));
	endpoint_sides_begin();
}

static void release_all(void)
{
	while (held_count > 0)
		destroy(held[--held_count]);
}

static void end(void)
{
	struct capos_cqe done;

	release_all();
	while (mapped_count > 0)
		(void)address_space_unmap(known.space, mapped[--mapped_count], PAGE);
	destroy(bell);
	for (; waiting > 0; waiting--)
		must(ring_wait(&done, now_ns() + 5 * SECOND));
	endpoint_sides_end();
	block_unmap(&block);
}

/* What is made, and ring entries that wait, with nothing to make them of. */
#define NOTHING_CAN_BE_MADE(status, detail, when)                                                                    \
	FAILS(cap_table, derive, status, detail, when, .handle = known.caps,                                         \
	      .word = { known.timer, CAPOS_RIGHT_READ });                                                            \
	FAILS(factory, endpoint, status, detail, when, .handle = known.factory);                                     \
	FAILS(factory, notification, status, detail, when, .handle = known.factory);                                 \
	FAILS(factory, park_space, status, detail, when, .handle = known.factory);                                   \
	FAILS(factory, memory, status, detail, when, .handle = known.factory, .word = { PAGE });                     \
	FAILS(session_manager, create, status, detail, when, .handle = known.session_manager, .word = { 7 },         \
	      .message = "tester", .bytes = 6);                                                                      \
	FAILS(scheduling_policy, derive, status, detail, when, .handle = known.policy, .message = &least,            \
	      .bytes = sizeof(least));                                                                               \
	FAILS(scheduling_context, create, status, detail, when, .handle = known.context, .message = &small,          \
	      .bytes = sizeof(small));                                                                               \
	FAILS(thread_spawner, create, status, detail, when, .handle = known.threads,                                 \
	      .word = { (uintptr_t)begin, startup()->stack_base + PAGE, 0, CAPOS_CPU_ANY });                         \
	FAILS(process_spawner, spawn, status, detail, when, .handle = known.process_spawner, .message = &spawn,      \
	      .bytes = offsetof(struct capos_spawn, grants) + sizeof(struct capos_grant));                           \
	FAILS(address_space, map, status, detail, when, .handle = known.space,                                       \
	      .word = { block.memory, 0, 0, PAGE });                                                                 \
	FAILS(address_space, unmap, status, detail, when, .handle = known.space,                                     \
	      .word = { (uintptr_t)block.address + PAGE, PAGE });                                                    \
	FAILS(address_space, protect, status, detail, when, .handle = known.space,                                   \
	      .word = { (uintptr_t)block.address + PAGE, PAGE });                                                    \
	FAILS(process, wait, status, detail, when, .handle = sample[CAPOS_IFACE_process],                            \
	      .deadline_ns = CAPOS_NEVER);                                                                           \
	FAILS(thread, join, status, detail, when, .handle = known.self, .deadline_ns = CAPOS_NEVER);                 \
	FAILS(timer, sleep, status, detail, when, .handle = known.timer, .deadline_ns = CAPOS_NEVER);                \
	FAILS(notification, wait, status, detail, when, .handle = bell, .deadline_ns = CAPOS_NEVER);                 \
	FAILS(scheduling_context, wait_notification, status, detail, when, .handle = known.context,                  \
	      .deadline_ns = CAPOS_NEVER);                                                                           \
	FAILS(park_space, wait, status, detail, when, .handle = known.park, .deadline_ns = CAPOS_NEVER,              \
	      .word = { (uintptr_t)&waiting });                                                                      \
	FAILS(console, read, status, detail, when, .handle = known.console, .deadline_ns = CAPOS_NEVER)

/* Before the table has its final size: it cannot grow without memory. */
void test_growth(void)
{
	capos_handle h = 0;

	endpoint_sides_begin();
	take_memory(64ull << 20);
	while (kept(cap_table_copy(known.caps, known.timer, CAPOS_RIGHT_READ, &h), &h))
		;
	FAILS(cap_table, copy, QUOTA_EXCEEDED, CAPOS_QUOTA_MEMORY, "the table cannot grow", .handle = known.caps,
	      .word = { known.timer, CAPOS_RIGHT_READ });
	FAILS(thread_spawner, self, QUOTA_EXCEEDED, CAPOS_QUOTA_MEMORY, "the table cannot grow",
	      .handle = known.threads);
	endpoint_without_growth();
	release_all();
	endpoint_sides_end();
}

/* Memory for a ring entry in flight. */
static bool entry_is_had(void)
{
	struct capos_sqe entry = RING_CALL(9, notification, wait, bell, 0, 0, 0, 0, 0);
	struct capos_cqe done;

	must(ring_submit_wait(&entry));
	must(ring_wait(&done, CAPOS_NEVER));
	return IS(result_of(done.result), WOULD_BLOCK);
}

void test_quota(void)
{
	struct capos_spawn spawn;
	capos_handle page = 0;

	child_init(&spawn, "exit 0");
	begin();
	must(factory_memory(known.factory, PAGE, 0, &page));
	take_memory(64ull << 20);
	/* The last ones are small, and as many as fit a page: giving some back makes no room for a page. */
	destroy(page);
	(void)sleep_ns(30 * MS);
	take_memory(0);
	NOTHING_CAN_BE_MADE(QUOTA_EXCEEDED, CAPOS_QUOTA_MEMORY, "the quota is used up");
	endpoint_without_quota();
	while (!entry_is_had())
		destroy(held[--held_count]);
	endpoint_without_frame();
	end();
}

/* Whether a frame can be had. The machine's answer to a line may come a moment later. */
static bool memory_is_there(void)
{
	capos_handle h = 0;
	struct capos_result r = factory_memory(known.factory, PAGE, 0, &h);

	destroy(h);
	return !IS(r, NO_MEMORY);
}

void test_no_memory(void)
{
	struct capos_spawn spawn;
	capos_handle h = 0;

	memory_was_gone = true;
	child_init(&spawn, "exit 0");
	begin();
	tap_note("take the memory away");
	tap_ok(becomes_true(!memory_is_there()), "no frame is left");
	take_memory(PAGE);
	take_entries();
	/* The rest of the table's last page: no slot without a frame then. */
	while (kept(cap_table_copy(known.caps, known.timer, CAPOS_RIGHT_READ, &h), &h))
		;
	NOTHING_CAN_BE_MADE(NO_MEMORY, 0, "no frame is left");
	FAILS(cap_table, copy, NO_MEMORY, 0, "no frame is left", .handle = known.caps,
	      .word = { known.timer, CAPOS_RIGHT_READ });
	FAILS(thread_spawner, self, NO_MEMORY, 0, "no frame is left", .handle = known.threads);
	endpoint_without_memory();
	end();
	tap_note("give the memory back");
	tap_ok(becomes_true(memory_is_there()), "there are frames again");
}
