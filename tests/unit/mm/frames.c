/* SPDX-License-Identifier: MIT */
/* LINK: kernel/mm/frames.c kernel/mm/pool.c kernel/mm/shootdown.c kernel/sched/lock.c tests/unit/mm/fake/fake.c */
#include "fake/fake.h"

#include <string.h>

static void all_frames_once(void **state)
{
	u64 free = frames_free_count(), count = 0;
	u8 seen[FAKE_MEMORY_BYTES / PAGE_BYTES] = { 0 };
	struct paddr frame, list = { 0 };

	(void)state;
	assert_int_equal(frames_total(), FAKE_MEMORY_BYTES / PAGE_BYTES - 64 - 1);
	while (fake_on((u32)(fake_random() % FAKE_CPUS)), frame_alloc(&frame)) {
		assert_int_equal(frame.pa % PAGE_BYTES, 0);
		assert_int_equal(seen[frame.pa >> PAGE_SHIFT], 0);
		assert_true(frame.pa != 0 && (frame.pa < 64 * PAGE_BYTES || frame.pa >= 128 * PAGE_BYTES));
		seen[frame.pa >> PAGE_SHIFT] = 1;
		*(u64 *)phys_to_virt(frame) = list.pa;
		list = frame;
		count++;
		if (count % 512 == 0)
			frames_verify();
	}
	/* What is left is in other CPUs' magazines. */
	assert_true(count <= free && free - count <= (FAKE_CPUS - 1) * MAGAZINE_FRAMES);
	while (list.pa != 0) {
		frame = list;
		list.pa = *(u64 *)phys_to_virt(frame);
		fake_on((u32)(fake_random() % FAKE_CPUS));
		frame_free(frame);
	}
	frames_verify();
	assert_int_equal(frames_free_count(), free);
}

static void zeroed(void **state)
{
	struct paddr frame;

	(void)state;
	assert_true(frame_alloc(&frame));
	memset(phys_to_virt(frame), 1, PAGE_BYTES);
	frame_free(frame);
	for (u32 round = 0; round < 100; round++) {
		assert_true(frame_alloc_zeroed(&frame));
		for (u32 i = 0; i < PAGE_BYTES; i++)
			assert_int_equal(((u8 *)phys_to_virt(frame))[i], 0);
	}
}

/* Frames known to be zero come back first, count as free, and are used up before memory is. */
static void zero_frames(void **state)
{
	struct paddr frame[MAGAZINE_ZERO + 1], again;
	u64 free = frames_free_count();

	(void)state;
	for (u32 i = 0; i <= MAGAZINE_ZERO; i++)
		assert_true(frame_alloc_zeroed(&frame[i]));
	for (u32 i = 0; i <= MAGAZINE_ZERO; i++)
		frame_free_zero(frame[i]);
	assert_int_equal(frames_free_count(), free);
	frames_verify();
	assert_true(frame_alloc_zeroed(&again));
	assert_int_equal(again.pa, frame[MAGAZINE_ZERO - 1].pa);
	for (u64 left = frames_free_count(); left > 0; left--)
		assert_true(frame_alloc(&again));
	assert_false(frame_alloc(&again));
	assert_false(frame_alloc_zeroed(&again));
	assert_int_equal(frames_free_count(), 0);
}

static void zero_frame_is_not(void **state)
{
	struct paddr frame;

	(void)state;
	assert_true(frame_alloc_zeroed(&frame));
	((u8 *)phys_to_virt(frame))[4095] = 1;
	expect_assert_failure(frame_free_zero(frame));
}

static void boot_memory(void **state)
{
	u64 free = frames_free_count();
	u8 *a = frames_boot_alloc(3 * PAGE_BYTES + 1), *b = frames_boot_alloc(1);

	(void)state;
	assert_int_equal((uintptr_t)a % PAGE_BYTES, 0);
	assert_true(b + PAGE_BYTES <= a || a + 4 * PAGE_BYTES <= b);
	assert_int_equal(frames_free_count(), free - 5);
	frames_verify();
}

static void freed_twice(void **state)
{
	struct paddr frame;

	(void)state;
	assert_true(frame_alloc(&frame));
	frame_free(frame);
	expect_assert_failure(frame_free(frame));
}

static void injected(void **state)
{
	struct paddr frame;

	(void)state;
	fake.fail_after = 1;
	assert_true(frame_alloc(&frame)); /* boot */
	frames_boot_done();
	assert_false(frame_alloc(&frame));
	assert_true(frame_alloc(&frame));
}

static void pools(void **state)
{
	void *object[1000];
	u64 free = frames_free_count();

	(void)state;
	for (u32 pool = 0; pool < POOL_COUNT; pool++) {
		bool zeroed = pool != POOL_REGION && pool != POOL_GRANT && pool != POOL_ENTITY;

		for (u32 i = 0; i < 1000; i++) {
			assert_int_equal(pool_alloc(pool, NULL, &object[i]), CAPOS_STATUS_OK);
			assert_int_equal((uintptr_t)object[i] % (pool_object_bytes(pool) % 64 == 0 ? 64 : 32), 0);
			for (u32 k = 0; zeroed && k < pool_object_bytes(pool); k++)
				assert_int_equal(((u8 *)object[i])[k], 0);
			memset(object[i], 0xee, pool_object_bytes(pool));
			if (i % 3 == 2) {
				pool_uncharge(pool, NULL);
				pool_free(pool, object[i]);
				object[i] = NULL;
			}
		}
		pools_verify();
		assert_int_equal(pool_live_count(pool), 667);
		assert_int_equal(fake.charged, 667 * pool_object_bytes(pool));
		for (u32 i = 0; i < 1000; i++) {
			if (object[i] == NULL)
				continue;
			pool_uncharge(pool, NULL);
			pool_free(pool, object[i]);
		}
		pools_verify();
		assert_int_equal(fake.charged, 0);
	}
	/* An empty slab each, and those of the places that this CPU keeps. */
	assert_true(free - frames_free_count() <= POOL_COUNT + POOL_CACHED * MAGAZINE_PLACES);
	frames_verify();
}

/* Taken here, given back there: each CPU keeps a few, the rest is for all. */
static void places_between_cpus(void **state)
{
	void *object[100];
	u64 free = frames_free_count();

	(void)state;
	for (u32 round = 0; round < 10; round++) {
		fake_on(round % FAKE_CPUS);
		for (u32 i = 0; i < 100; i++) {
			assert_int_equal(pool_alloc(POOL_THREAD, NULL, &object[i]), CAPOS_STATUS_OK);
			for (u32 k = 0; k < i; k++)
				assert_ptr_not_equal(object[i], object[k]);
		}
		assert_int_equal(pool_live_count(POOL_THREAD), 100);
		fake_on((round + 1) % FAKE_CPUS);
		for (u32 i = 0; i < 100; i++) {
			pool_uncharge(POOL_THREAD, NULL);
			pool_free(POOL_THREAD, object[i]);
		}
		pools_verify();
		assert_int_equal(pool_live_count(POOL_THREAD), 0);
		for (u32 i = 0; i < FAKE_CPUS; i++)
			assert_true(kernel_state.mm.magazines[i].pool[POOL_THREAD].count <= MAGAZINE_PLACES);
	}
	for (u32 i = 0; i < FAKE_CPUS; i++) {
		fake_on(i);
		pools_drain();
	}
	pools_verify();
	assert_true(free - frames_free_count() <= 1); /* an empty slab */
}

static void pool_limits(void **state)
{
	void *object;

	(void)state;
	fake.quota = pool_object_bytes(POOL_OTHER);
	assert_int_equal(pool_alloc(POOL_OTHER, NULL, &object), CAPOS_STATUS_OK);
	assert_int_equal(pool_alloc(POOL_OTHER, NULL, &object), CAPOS_STATUS_QUOTA_EXCEEDED);
	fake.quota = ~0ull;
	frames_boot_done();
	fake.fail_after = 1;
	assert_int_equal(pool_alloc(POOL_GRANT, NULL, &object), CAPOS_STATUS_NO_MEMORY);
	assert_int_equal(fake.charged, pool_object_bytes(POOL_OTHER));
	pools_verify();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(all_frames_once, fake_setup),
		cmocka_unit_test_setup(zeroed, fake_setup),
		cmocka_unit_test_setup(zero_frames, fake_setup),
		cmocka_unit_test_setup(zero_frame_is_not, fake_setup),
		cmocka_unit_test_setup(boot_memory, fake_setup),
		cmocka_unit_test_setup(freed_twice, fake_setup),
		cmocka_unit_test_setup(injected, fake_setup),
		cmocka_unit_test_setup(pools, fake_setup),
		cmocka_unit_test_setup(places_between_cpus, fake_setup),
		cmocka_unit_test_setup(pool_limits, fake_setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
