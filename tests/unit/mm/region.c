/* SPDX-License-Identifier: MIT */
/* LINK: kernel/mm/frames.c kernel/mm/pool.c kernel/mm/pagetable.c kernel/mm/region.c kernel/mm/shootdown.c kernel/mm/space.c kernel/mm/memory_object.c kernel/sched/lock.c tests/unit/mm/fake/fake.c */
/* Random insertions and removals against a plain array; choosing against a search by hand. */
#include "fake/fake.h"

#define PAGES 512u

static u8 used[PAGES]; /* of the range from space->base - 64 pages */

static struct region *new_region(u64 start, u64 pages)
{
	struct region *region = calloc(1, sizeof(*region));

	region->start = start;
	region->end = start + pages * PAGE_BYTES;
	return region;
}

/* Lowest page index >= 64 with free neighbours; PAGES - pages at most. */
static u64 choose_by_hand(u64 pages)
{
	for (u64 at = 64; at + pages <= PAGES; at++) {
		bool ok = at == 0 || used[at - 1] == 0;

		for (u64 i = at; i < at + pages + 1 && i < PAGES; i++)
			ok = ok && used[i] == 0;
		if (ok)
			return at;
	}
	return 0;
}

static void against_array(void **state)
{
	struct process *process = fake_process();
	struct space *space = &process->space;
	u64 first;

	(void)state;
	assert_int_equal(space_create(process, space), CAPOS_STATUS_OK);
	first = space->base - 64 * PAGE_BYTES;
	for (u32 round = 0; round < 100000; round++) {
		u64 at = fake_random() % PAGES, pages = 1 + fake_random() % 4, addr = first + at * PAGE_BYTES;
		struct region *region = region_at(space, addr), *next = NULL;

		assert_int_equal(region != NULL, used[at]);
		if (region != NULL && fake_random() % 4 != 0) {
			for (u64 i = region->start; i < region->end; i += PAGE_BYTES)
				used[(i - first) / PAGE_BYTES] = 0;
			region_remove(space, region);
			free(region);
		} else if (fake_random() % 2 == 0) {
			u64 want = choose_by_hand(pages),
			    got = region_choose(space, space->base, pages * PAGE_BYTES, PAGE_BYTES, &next);

			if (want != 0)
				assert_int_equal(got, first + want * PAGE_BYTES);
			else
				assert_true(got >= first + (PAGES - pages) * PAGE_BYTES);
			if (want != 0 && fake_random() % 3 == 0) {
				region = new_region(got, pages);
				region->space = space;
				assert_ptr_equal(next, region_from(space, got));
				region_insert(space, region, next);
				for (u64 i = 0; i < pages; i++)
					used[want + i] = 1;
			}
		} else {
			bool free_by_hand = at + pages <= PAGES;

			for (u64 i = at; i < at + pages && i < PAGES; i++)
				free_by_hand = free_by_hand && used[i] == 0;
			if (at + pages > PAGES)
				continue;
			next = region_from(space, addr);
			assert_int_equal(next == NULL || next->start >= addr + pages * PAGE_BYTES, free_by_hand);
			if (free_by_hand && fake_random() % 2 == 0) {
				region = new_region(addr, pages);
				region->space = space;
				region_insert(space, region, next);
				for (u64 i = 0; i < pages; i++)
					used[at + i] = 1;
			}
		}
		if (round % 16 == 0)
			assert_true(region_tree_ok(space));
	}
	while (RB_ROOT(&space->regions) != NULL) {
		struct region *region = RB_ROOT(&space->regions);

		region_remove(space, region);
		assert_true(region_tree_ok(space));
		free(region);
	}
}

static void limits(void **state)
{
	struct process *process = fake_process();
	struct space *space = &process->space;
	u64 base = SIM_WINDOWS_BASE;
	struct region *next;

	(void)state;
	assert_int_equal(space_create(process, space), CAPOS_STATUS_OK);
	assert_false(region_range_ok(space, base, PAGE_BYTES));
	assert_false(region_range_ok(space, base + 0xf000, PAGE_BYTES));
	assert_true(region_range_ok(space, base + 0x10000, PAGE_BYTES));
	assert_false(region_range_ok(space, base + 0x10001, PAGE_BYTES));
	assert_false(region_range_ok(space, base + 0x10000, 0));
	assert_false(region_range_ok(space, base + 0x10000, ~0ull & ~(PAGE_BYTES - 1)));
	assert_true(region_range_ok(space, base + MACH_USER_BYTES - PAGE_BYTES, PAGE_BYTES));
	assert_false(region_range_ok(space, base + MACH_USER_BYTES - PAGE_BYTES, 2 * PAGE_BYTES));
	assert_false(region_range_ok(space, base + MACH_USER_BYTES, PAGE_BYTES));
	assert_false(region_range_ok(space, ~0ull & ~(PAGE_BYTES - 1), PAGE_BYTES));
	assert_int_equal(region_choose(space, space->base, MACH_USER_BYTES, PAGE_BYTES, &next), 0);
	assert_int_equal(region_choose(space, space->base, ~0ull & ~(PAGE_BYTES - 1), PAGE_BYTES, &next), 0);
	assert_int_equal(region_choose(space, space->base, MACH_USER_BYTES / 2, PAGE_BYTES, &next), space->base);
}

static void index_of_entries(void **state)
{
	(void)state;
	assert_int_equal(pt_index(0x00007fffffffefffull, 39), 255);
	assert_int_equal(pt_index(0x0000000040200000ull, 30), 1);
	assert_int_equal(pt_index(0x0000000040200000ull, 21), 1);
	assert_int_equal(pt_index(0x00000000401ff000ull, 12), 511);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(against_array, fake_setup),
		cmocka_unit_test_setup(limits, fake_setup),
		cmocka_unit_test_setup(index_of_entries, fake_setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
