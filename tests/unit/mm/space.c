/* SPDX-License-Identifier: MIT */
/* LINK: kernel/mm/frames.c kernel/mm/pool.c kernel/mm/pagetable.c kernel/mm/region.c kernel/mm/shootdown.c kernel/mm/space.c kernel/mm/map.c kernel/mm/unmap.c kernel/mm/memory_object.c kernel/sched/lock.c tests/unit/mm/fake/fake.c */
/* Mapping, unmapping, protection, shootdown between fake CPUs, ends; after each: nothing charged, no frame missing. */
#include "fake/fake.h"

#include <capos/interface.h>
#include <string.h>

static struct process *process;
static struct space *space;
static u64 free_before;
static struct grant grant;

static int setup(void **state)
{
	fake_setup(state);
	memset(&grant, 0, sizeof(grant));
	process = fake_process();
	space = &process->space;
	free_before = frames_free_count();
	assert_int_equal(space_create(process, space), CAPOS_STATUS_OK);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (u32 i = 0; i < FAKE_CPUS; i++)
		space_switch(fake_on(i), NULL);
	fake_on(0);
	while (!space_destroy_step(space))
		;
	assert_int_equal(fake.charged, 0);
	assert_int_equal(fake.grant_references, 0);
	frames_verify();
	pools_verify();
	for (u32 i = 0; i < POOL_COUNT; i++)
		assert_int_equal(pool_live_count(i), 0);
	assert_true(free_before - frames_free_count() <= POOL_COUNT); /* an empty slab each */
	return 0;
}

static struct memory_object *make(u64 pages)
{
	struct memory_object *memory;
	u16 status;

	assert_int_equal(memory_object_begin(process, pages * PAGE_BYTES, &memory), CAPOS_STATUS_OK);
	while (!memory_object_step(memory, &status))
		;
	assert_int_equal(status, CAPOS_STATUS_OK);
	assert_int_equal(object_publish(&memory->object), CAPOS_STATUS_OK);
	return memory;
}

static void begin_end(struct memory_object *memory)
{
	atomic_store_release(&memory->object.state, OBJECT_DYING);
}

static void end(struct memory_object *memory)
{
	begin_end(memory);
	while (!memory_object_kill_step(&memory->object))
		;
	pool_uncharge(POOL_MEMORY_OBJECT, process);
	pool_free(POOL_MEMORY_OBJECT, memory);
}

static u16 map(struct memory_object *memory, u64 addr, u64 offset, u64 pages, u32 prot, u64 *out)
{
	struct map_request request = {
		.space = space,
		.memory = memory,
		.grant = memory ? &grant : NULL,
		.addr = addr,
		.offset = offset,
		.bytes = pages * PAGE_BYTES,
		.prot = prot,
		.prot_max = PROT_WRITE | PROT_EXEC,
	};

	if (space_map_begin(&request) == CAPOS_STATUS_OK) {
		while (!space_map_step(&request))
			;
	}
	if (out != NULL)
		*out = request.addr;
	space_verify(space);
	return request.iresult != 0 ? (u16)(1000 + request.iresult) : request.status;
}

/* Without a waiter: all other CPUs' requests are delivered while it polls. */
static u16 unmap(u64 addr, u64 pages, bool protect, u32 prot, bool forced)
{
	struct unmap_request request = { .space = space,
					 .addr = addr,
					 .bytes = pages * PAGE_BYTES,
					 .protect = protect,
					 .prot = prot,
					 .forced = forced };

	if (space_unmap_begin(&request) == CAPOS_STATUS_OK) {
		while (space_unmap_step(&request, NULL) != SPACE_DONE) {
			for (u32 i = 0; i < FAKE_CPUS; i++)
				fake_deliver(i);
		}
		assert_false(fake_is_stale(addr, addr + pages * PAGE_BYTES));
	}
	space_verify(space);
	return request.iresult != 0 ? (u16)(1000 + request.iresult) : request.status;
}

/* Who remembers a translation looks at this count: no entry goes or changes without it. */
static void changes_are_counted(void **state)
{
	u64 a, before = atomic_load_relaxed(&space->changes);

	(void)state;
	assert_int_equal(before, 1);
	assert_int_equal(map(NULL, 0, 0, 40, PROT_WRITE, &a), CAPOS_STATUS_OK);
	assert_int_equal(atomic_load_relaxed(&space->changes), before);
	assert_int_equal(unmap(a + PAGE_BYTES, 20, true, 0, false), CAPOS_STATUS_OK);
	assert_int_equal(atomic_load_relaxed(&space->changes), before + 20);
	assert_int_equal(unmap(a, 40, false, 0, false), CAPOS_STATUS_OK);
	assert_int_equal(atomic_load_relaxed(&space->changes), before + 60);
}

static void copies(void **state)
{
	u8 bytes[PAGE_BYTES], back[PAGE_BYTES];
	struct paddr pa;
	u64 a;

	(void)state;
	for (u32 i = 0; i < PAGE_BYTES; i++)
		bytes[i] = (u8)(i * 7 + 3);
	assert_int_equal(map(NULL, 0, 0, 3, PROT_WRITE, &a), CAPOS_STATUS_OK);
	assert_int_equal(a, space->base);
	assert_true(space_copy_out(space, (struct uaddr){ a + 100 }, bytes, PAGE_BYTES));
	assert_true(space_copy_in(space, back, (struct uaddr){ a + 100 }, PAGE_BYTES));
	assert_memory_equal(bytes, back, PAGE_BYTES);
	assert_true(space_copy_in(space, back, (struct uaddr){ a + 2 * PAGE_BYTES }, PAGE_BYTES));
	assert_false(space_copy_in(space, back, (struct uaddr){ a + 2 * PAGE_BYTES + 1 }, PAGE_BYTES));
	assert_false(space_copy_in(space, back, (struct uaddr){ a - 1 }, 2));
	assert_false(space_copy_in(space, back, (struct uaddr){ 0 }, 1));
	assert_false(space_copy_in(space, back, (struct uaddr){ ~0ull }, 2));
	assert_false(space_copy_in(space, back, (struct uaddr){ 0xffff800000000000ull }, 8));
	assert_true(space_copy_in(space, back, (struct uaddr){ ~0ull }, 0));
	assert_int_equal(unmap(a + PAGE_BYTES, 1, true, 0, false), CAPOS_STATUS_OK);
	assert_false(space_copy_out(space, (struct uaddr){ a + PAGE_BYTES - 1 }, bytes, 2));
	assert_true(space_copy_in(space, back, (struct uaddr){ a + PAGE_BYTES - 1 }, 2));
	assert_true(space_translate(space, (struct uaddr){ a + 5 }, PROT_WRITE, &pa));
	assert_int_equal(pa.pa % PAGE_BYTES, 5);
	assert_false(space_translate(space, (struct uaddr){ a + PAGE_BYTES }, PROT_WRITE, &pa));
	/* Without the lock: the same. */
	for (u64 at = a; at < a + 3 * PAGE_BYTES; at += PAGE_BYTES / 2 + 4) {
		struct paddr same;

		assert_true(space_translate(space, (struct uaddr){ at }, 0, &pa));
		assert_true(space_translate_loaded(space, (struct uaddr){ at }, &same));
		assert_int_equal(pa.pa, same.pa);
	}
	assert_false(space_translate_loaded(space, (struct uaddr){ a - 1 }, &pa));
	assert_false(space_translate_loaded(space, (struct uaddr){ a + 0x8000000000ull }, &pa));
	assert_false(space_translate_loaded(space, (struct uaddr){ 0 }, &pa));
	assert_false(space_translate_loaded(space, (struct uaddr){ ~0ull - 3 }, &pa));
}

static void refusals(void **state)
{
	struct memory_object *memory = make(4);
	u64 a;

	(void)state;
	assert_int_equal(map(memory, 0, 0, 5, 0, NULL), CAPOS_STATUS_BAD_ARGUMENT);
	assert_int_equal(map(memory, 0, 4 * PAGE_BYTES, 1, 0, NULL), CAPOS_STATUS_BAD_ARGUMENT);
	assert_int_equal(map(memory, 0, ~0ull & ~(PAGE_BYTES - 1), 2, 0, NULL), CAPOS_STATUS_BAD_ARGUMENT);
	assert_int_equal(map(memory, space->low - PAGE_BYTES, 0, 1, 0, NULL), CAPOS_STATUS_BAD_ARGUMENT);
	assert_int_equal(map(memory, space->limit - PAGE_BYTES, 0, 2, 0, NULL), CAPOS_STATUS_BAD_ARGUMENT);
	assert_int_equal(map(memory, 0, 0, 1, PROT_WRITE | PROT_EXEC, NULL), 1000 + CAPOS_MAP_WRITE_EXEC);
	assert_int_equal(map(memory, 0, 0, 4, PROT_WRITE, &a), CAPOS_STATUS_OK);
	assert_int_equal(map(memory, a + 3 * PAGE_BYTES, 0, 1, 0, NULL), 1000 + CAPOS_MAP_OVERLAP);
	assert_int_equal(unmap(a - PAGE_BYTES, 2, false, 0, false), 1000 + CAPOS_MAP_NOT_MAPPED);
	assert_int_equal(unmap(a, 5, false, 0, false), 1000 + CAPOS_MAP_NOT_MAPPED);
	assert_int_equal(unmap(a, 1, true, PROT_WRITE | PROT_EXEC, false), 1000 + CAPOS_MAP_WRITE_EXEC);
	begin_end(memory);
	assert_int_equal(map(memory, 0, 0, 1, 0, NULL), CAPOS_STATUS_REVOKED);
	end(memory);
	assert_int_equal(space->region_count, 0);
}

static void cuts(void **state)
{
	struct memory_object *memory = make(100);
	u8 byte;
	u64 a, id, offset;

	(void)state;
	assert_int_equal(map(memory, 0, 0, 100, PROT_WRITE, &a), CAPOS_STATUS_OK);
	for (u32 i = 0; i < 100; i++) {
		byte = (u8)i;
		assert_true(space_copy_out(space, (struct uaddr){ a + i * PAGE_BYTES }, &byte, 1));
	}
	assert_int_equal(unmap(a + 40 * PAGE_BYTES, 20, false, 0, false), CAPOS_STATUS_OK);
	assert_int_equal(space->region_count, 2);
	assert_int_equal(unmap(a + 10 * PAGE_BYTES, 10, true, 0, false), CAPOS_STATUS_OK);
	assert_int_equal(space->region_count, 4);
	assert_int_equal(fake.grant_references, 4);
	assert_int_equal(unmap(a, 40, true, PROT_EXEC, false), CAPOS_STATUS_OK); /* several regions at once */
	assert_true(space_shared_key(space, (struct uaddr){ a + 70 * PAGE_BYTES + 12 }, &id, &offset));
	assert_int_equal(offset, 70 * PAGE_BYTES + 12);
	assert_int_equal(id, memory->object.id);
	for (u32 i = 0; i < 100; i++) {
		bool there = i < 40 || i >= 60;

		assert_int_equal(space_copy_in(space, &byte, (struct uaddr){ a + i * PAGE_BYTES }, 1), there);
		if (there)
			assert_int_equal(byte, i);
	}
	assert_int_equal(map(memory, a + 40 * PAGE_BYTES, 0, 20, 0, NULL), CAPOS_STATUS_OK);
	assert_int_equal(unmap(a + 5 * PAGE_BYTES, 90, false, 0, false), CAPOS_STATUS_OK);
	assert_int_equal(space->region_count, 2);
	assert_int_equal(space->mapped_bytes, 10 * PAGE_BYTES);
	end(memory);
}

static void private_frames_return(void **state)
{
	u64 a, charged = fake.charged, tables;

	(void)state;
	assert_int_equal(map(NULL, 0, 0, 600, PROT_WRITE, &a), CAPOS_STATUS_OK);
	tables = (space->table_frames - 1) * PAGE_BYTES;
	assert_int_equal(unmap(a, 300, false, 0, false), CAPOS_STATUS_OK);
	assert_int_equal(fake.charged, charged + tables + 300 * PAGE_BYTES + pool_object_bytes(POOL_REGION));
	assert_int_equal(unmap(a + 300 * PAGE_BYTES, 300, false, 0, false), CAPOS_STATUS_OK);
	assert_int_equal(fake.charged, charged + tables - 2 * PAGE_BYTES); /* its two leaf tables went */
}

static void out_of_everything(void **state)
{
	struct memory_object *memory;
	u64 charged = fake.charged, a;
	u16 status;

	(void)state;
	frames_boot_done();
	for (u32 n = 1; n < 30; n++) {
		fake.fail_after = n;
		status = map(NULL, 0x20 * (1ull << 21) + SIM_WINDOWS_BASE, 0, 20, 0, &a);
		fake.fail_after = 0;
		if (status == CAPOS_STATUS_OK)
			assert_int_equal(unmap(a, 20, false, 0, false), CAPOS_STATUS_OK);
		else
			assert_int_equal(status, CAPOS_STATUS_NO_MEMORY);
		assert_int_equal(fake.charged, charged + (space->table_frames - 1) * PAGE_BYTES);
		assert_int_equal(space->region_count, 0);
		assert_int_equal(space->busy, 0);
	}
	for (u32 n = 1; n < 1040; n += n < 20 ? 1 : 113) {
		fake.fail_after = n;
		status = memory_object_begin(process, 1030 * PAGE_BYTES, &memory);
		while (status == CAPOS_STATUS_OK && !memory_object_step(memory, &status))
			status = CAPOS_STATUS_OK;
		fake.fail_after = 0;
		if (status == CAPOS_STATUS_OK)
			end(memory);
		assert_int_equal(fake.charged, charged + (space->table_frames - 1) * PAGE_BYTES);
	}
	fake.quota = fake.charged + 10 * PAGE_BYTES;
	assert_int_equal(map(NULL, 0, 0, 20, 0, NULL), CAPOS_STATUS_QUOTA_EXCEEDED);
	assert_int_equal(memory_object_begin(process, 10 * PAGE_BYTES, &memory), CAPOS_STATUS_QUOTA_EXCEEDED);
	fake.quota = ~0ull;
}

static void shootdown_waits(void **state)
{
	static struct thread thread[2];
	struct unmap_request request = { .space = space, .bytes = 2 * PAGE_BYTES }, other = request;
	struct paddr again;
	u64 a;

	(void)state;
	memset(thread, 0, sizeof(thread));
	assert_int_equal(map(NULL, 0, 0, 4, PROT_WRITE, &a), CAPOS_STATUS_OK);
	for (u32 i = 0; i < FAKE_CPUS; i++)
		space_switch(fake_on(i), space);
	fake_on(0);
	request.addr = a;
	other.addr = a + 2 * PAGE_BYTES;
	assert_int_equal(space_unmap_begin(&request), CAPOS_STATUS_OK);
	while (space_unmap_step(&request, &thread[0]) == SPACE_AGAIN)
		;
	assert_int_equal(fake.armed, 1);
	assert_int_equal(fake.requests[0], 0);
	/* The address is not free before the end (SP1); a second one is queued as the next batch. */
	assert_int_equal(map(NULL, a, 0, 1, 0, NULL), 1000 + CAPOS_MAP_OVERLAP);
	fake_on(1);
	assert_int_equal(space_unmap_begin(&other), CAPOS_STATUS_OK);
	while (space_unmap_step(&other, &thread[1]) == SPACE_AGAIN)
		;
	assert_int_equal(fake.armed, 2);
	fake_deliver(1);
	assert_int_equal(fake.finished, 0);
	space_switch(fake_on(2), NULL); /* leaving acknowledges, and starts the next batch */
	assert_int_equal(fake.finished, 1);
	fake_on(0);
	while (space_unmap_step(&request, &thread[0]) != SPACE_DONE)
		;
	assert_true(frame_alloc(&again)); /* mach_frame_reuse checks that nobody can reach it */
	fake_deliver(0);
	fake_deliver(1);
	assert_int_equal(fake.finished, 2);
	fake_on(1);
	while (space_unmap_step(&other, &thread[1]) != SPACE_DONE)
		fake_deliver(0); /* the leaf table is taken away with a second shootdown */
	frame_free(again);
	assert_int_equal(space->busy, 0);
	assert_int_equal(space->region_count, 0);
}

static void object_ends_under_mappings(void **state)
{
	struct memory_object *memory = make(40);
	struct map_request building = { .space = space, .memory = memory, .grant = &grant, .bytes = 40 * PAGE_BYTES };
	u64 a;
	u32 polls = 0;

	(void)state;
	assert_int_equal(map(memory, 0, 0, 40, PROT_WRITE, &a), CAPOS_STATUS_OK);
	assert_int_equal(space_map_begin(&building), CAPOS_STATUS_OK);
	assert_false(space_map_step(&building));
	space_switch(fake_on(1), space);
	fake_on(0);
	begin_end(memory);
	while (!memory_object_kill_step(&memory->object)) {
		fake_deliver(1);
		/* The unfinished mapping is undone by its own request, which sees that it is doomed. */
		if (++polls == 30) {
			while (!space_map_step(&building))
				fake_deliver(1);
			assert_int_equal(building.status, CAPOS_STATUS_REVOKED);
		}
		assert_true(polls < 200);
	}
	assert_int_equal(space->region_count, 0);
	pool_uncharge(POOL_MEMORY_OBJECT, process);
	pool_free(POOL_MEMORY_OBJECT, memory);
}

static void sweep_of_dead_grants(void **state)
{
	struct memory_object *memory = make(2);
	struct grant dead = { 0 };
	u64 pass[3] = { 0 };

	(void)state;
	for (u32 i = 0; i < 200; i++) {
		struct map_request request = {
			.space = space, .memory = memory, .grant = i % 3 == 0 ? &dead : &grant, .bytes = PAGE_BYTES
		};

		assert_int_equal(space_map_begin(&request), CAPOS_STATUS_OK);
		while (!space_map_step(&request))
			;
	}
	atomic_store_release(&dead.dead, 1u);
	/* Others sweep at the same time, one of them gives up. */
	assert_false(memory_object_sweep_step(&memory->object, &pass[0]));
	assert_false(memory_object_sweep_step(&memory->object, &pass[1]));
	assert_false(memory_object_sweep_step(&memory->object, &pass[2]));
	while (!memory_object_sweep_step(&memory->object, &pass[2]))
		;
	assert_int_equal(space->region_count, 133);
	while (!memory_object_sweep_step(&memory->object, &pass[1]))
		;
	assert_int_equal(space->region_count, 133);
	end(memory);
}

/* The space ends in steps, with pages and tables of all kinds; meanwhile an object that it maps ends too. */
static void ends_while_mapped(void **state)
{
	for (u32 steps = 0; steps < 12; steps++) {
		struct memory_object *memory;
		u64 base, at;

		if (steps != 0) {
			teardown(state);
			setup(state);
		}
		memory = make(200);
		base = ALIGN_UP(space->low, PT_TABLE_BYTES) + PT_TABLE_BYTES;
		assert_int_equal(map(NULL, base - PAGE_BYTES, 0, 3, PROT_WRITE, &at), CAPOS_STATUS_OK);
		assert_int_equal(map(memory, base + PT_TABLE_BYTES - 100 * PAGE_BYTES, 0, 200, 0, &at),
				 CAPOS_STATUS_OK);
		assert_int_equal(map(NULL, base + PT_TABLE_BYTES + 200 * PAGE_BYTES, 0, 1, PROT_WRITE, &at),
				 CAPOS_STATUS_OK);
		assert_int_equal(map(memory, base + (2ull << 30), 0, 5, 0, &at), CAPOS_STATUS_OK);
		assert_int_equal(map(NULL, space->limit - 64 * PAGE_BYTES, 0, 20, PROT_WRITE, &at), CAPOS_STATUS_OK);
		assert_int_equal(map(NULL, 0, 0, 1, PROT_WRITE, &at), CAPOS_STATUS_OK);
		assert_int_equal(unmap(at, 1, false, 0, false), CAPOS_STATUS_OK);
		for (u32 i = 0; i < steps; i++)
			(void)!space_destroy_step(space);
		end(memory);
	}
}

static u64 translate_page(u64 addr)
{
	struct paddr page;

	assert_true(space_translate(space, (struct uaddr){ addr }, PROT_WRITE, &page));
	return page.pa;
}

/* Stack and page of a thread: pinned, placed with their end aligned, taken away with and without waiting. */
static void thread_memory(void **state)
{
	u64 charged = fake.charged;

	(void)state;
	for (u32 i = 0; i < 2; i++)
		space_switch(fake_on(i), space);
	for (u32 i = 0; i < 60; i++) {
		u64 bytes = (1 + i % 15) * PAGE_BYTES, align = i % 2 == 0 ? 65536 : PAGE_BYTES;
		struct map_request request = { .space = space,
					       .bytes = bytes,
					       .prot = PROT_WRITE,
					       .prot_max = PROT_WRITE,
					       .pinned = true,
					       .align = align };
		struct unmap_request gone = { .space = space, .bytes = bytes };

		fake_on(0);
		assert_int_equal(space_map_begin(&request), CAPOS_STATUS_OK);
		while (!space_map_step(&request))
			;
		assert_int_equal(request.status, CAPOS_STATUS_OK);
		assert_int_equal((request.addr + bytes - PAGE_BYTES) % align, 0);
		assert_int_equal(translate_page(request.addr + bytes - PAGE_BYTES), request.last.pa);
		assert_int_equal(unmap(request.addr, 1, false, 0, false), 1000 + CAPOS_MAP_PINNED);
		gone.addr = request.addr;
		if (i % 3 == 0) {
			space_drop(space, request.addr);
			if (i % 4 == 1)
				fake_deliver(1);
		} else if (i % 3 == 1 && !space_retire(&gone)) {
			while (space_unmap_step(&gone, NULL) != SPACE_DONE) {
				fake_deliver(1);
				fake_deliver(0); /* CPU 1 may have started the next batch */
			}
			assert_null(region_at(space, request.addr));
		}
		space_verify(space);
	}
	assert_true(fake.charged > charged);
}

/* Memory of an ended thread whose shootdown came late: polls give it back. */
static void dropped_late(void **state)
{
	struct map_request request = {
		.space = space, .bytes = 8 * PAGE_BYTES, .prot = PROT_WRITE, .prot_max = PROT_WRITE, .pinned = true
	};
	u64 charged;

	(void)state;
	for (u32 i = 0; i < 2; i++)
		space_switch(fake_on(i), space);
	fake_on(0);
	assert_int_equal(space_map_begin(&request), CAPOS_STATUS_OK);
	while (!space_map_step(&request))
		;
	charged = fake.charged;
	space_drop(space, request.addr);
	space_poll(space);
	assert_non_null(region_at(space, request.addr)); /* CPU 1 has not acknowledged */
	for (u32 i = 0; i < 3; i++) {			 /* a table of its own goes by another shootdown */
		fake_deliver(1);
		fake_on(0);
		space_poll(space);
	}
	assert_null(region_at(space, request.addr));
	assert_true(fake.charged <= charged - 8 * PAGE_BYTES);
	space_verify(space);
}

/* --- the last region in a leaf table takes it away ---------------------------------------------------------------------- */

static struct unmap_request unmap_begin(u64 addr, u64 pages)
{
	struct unmap_request request = { .space = space, .addr = addr, .bytes = pages * PAGE_BYTES };

	assert_int_equal(space_unmap_begin(&request), CAPOS_STATUS_OK);
	return request;
}

static void unmap_finish(struct unmap_request *request)
{
	for (u32 steps = 0; space_unmap_step(request, NULL) != SPACE_DONE; steps++) {
		assert_true(steps < 10000);
		for (u32 i = 0; i < FAKE_CPUS; i++)
			fake_deliver(i);
	}
}

static enum region_state state_of(u64 addr)
{
	const struct region *region = region_at(space, addr);

	assert_non_null(region);
	return region->state;
}

/* Many tables without any frames: a window on memory that nobody touches. */
static struct memory_object *borrow(u64 tables)
{
	struct memory_object *memory;

	assert_int_equal(memory_object_borrow(process, (struct paddr){ 1ull << 30 }, tables * PT_TABLE_BYTES,
					      &memory),
			 CAPOS_STATUS_OK);
	assert_int_equal(object_publish(&memory->object), CAPOS_STATUS_OK);
	return memory;
}

/* A region comes and goes in a table that another one has unlinked and not yet freed. */
static void table_needed_again_meanwhile(void **state)
{
	struct unmap_request first;
	u64 a = space->base, b = a + 16 * PAGE_BYTES, tables;

	(void)state;
	assert_int_equal(map(NULL, a + PT_TABLE_BYTES, 0, 1, PROT_WRITE, NULL), CAPOS_STATUS_OK);
	tables = space->table_frames;
	assert_int_equal(map(NULL, a, 0, 1, PROT_WRITE, NULL), CAPOS_STATUS_OK);
	space_switch(fake_on(1), space);
	fake_on(0);
	first = unmap_begin(a, 1);
	while (state_of(a) != REGION_TRIM_FLUSHING) {
		fake_deliver(1);
		assert_int_equal(space_unmap_step(&first, NULL), SPACE_AGAIN);
	}
	assert_int_equal(map(NULL, b, 0, 1, PROT_WRITE, NULL), CAPOS_STATUS_OK);
	assert_int_equal(unmap(b, 1, false, 0, false), CAPOS_STATUS_OK);
	assert_int_equal(state_of(a), REGION_TRIM_FLUSHING);
	unmap_finish(&first);
	assert_int_equal(space->region_count, 1);
	assert_int_equal(space->table_frames, tables);
}

/* Two regions share a table, and the second one goes after the first one has passed by and before it is gone. */
static void table_left_while_passing(void **state)
{
	struct memory_object *memory = borrow(20);
	struct unmap_request first;
	u64 b = space->base, a = b + PT_TABLE_BYTES / 2, pages = 20 * PT_ENTRIES, tables;

	(void)state;
	assert_int_equal(map(NULL, b + 32 * PT_TABLE_BYTES, 0, 1, PROT_WRITE, NULL), CAPOS_STATUS_OK);
	tables = space->table_frames;
	assert_int_equal(map(memory, a, 0, pages, 0, NULL), CAPOS_STATUS_OK);
	assert_int_equal(map(NULL, b, 0, 1, PROT_WRITE, NULL), CAPOS_STATUS_OK);
	first = unmap_begin(a, pages);
	while (state_of(a) != REGION_TRIMMING)
		assert_int_equal(space_unmap_step(&first, NULL), SPACE_AGAIN);
	assert_true(region_at(space, a)->next > a);
	assert_int_equal(unmap(b, 1, false, 0, false), CAPOS_STATUS_OK);
	assert_int_equal(state_of(a), REGION_TRIMMING);
	unmap_finish(&first);
	assert_int_equal(space->region_count, 1);
	assert_int_equal(space->table_frames, tables);
	end(memory);
}

/* The space begins to end while an ending object's region has unlinked a part of its tables. */
static void ends_with_unlinked_tables(void **state)
{
	struct memory_object *memory = borrow(20);
	u64 a = space->base;

	(void)state;
	assert_int_equal(map(NULL, a - PT_TABLE_BYTES, 0, 1, PROT_WRITE, NULL), CAPOS_STATUS_OK);
	assert_int_equal(map(memory, a, 0, 20 * PT_ENTRIES, 0, NULL), CAPOS_STATUS_OK);
	begin_end(memory);
	while (state_of(a) != REGION_TRIMMING)
		assert_false(memory_object_kill_step(&memory->object));
	assert_true(region_at(space, a)->next > a && region_at(space, a)->dirty);
	assert_false(space_destroy_step(space)); /* the region below */
	assert_int_equal(state_of(a), REGION_TRIMMING);
	end(memory);
	assert_int_equal(space->region_count, 0);
}

static bool is_trim_flushing(u64 addr)
{
	const struct region *region = region_at(space, addr);

	return region != NULL && region->state == REGION_TRIM_FLUSHING;
}

/* Requests interleaved in any order: when all regions are gone, so are their leaf tables. */
static void interleaved(void **state)
{
	u64 base = space->base + PT_TABLE_BYTES, tables;
	u32 meanwhile = 0;

	(void)state;
	assert_int_equal(map(NULL, base, 0, 1, PROT_WRITE, NULL), CAPOS_STATUS_OK);
	assert_int_equal(unmap(base, 1, false, 0, false), CAPOS_STATUS_OK);
	tables = space->table_frames;
	for (u32 round = 0; round < 3000; round++) {
		struct unmap_request request[8];
		bool busy[8] = { false };
		u32 left = 0;

		for (u32 i = 1; i < FAKE_CPUS; i++)
			space_switch(fake_on(i), space);
		fake_on(0);
		for (u32 i = 0; i < 60 || left != 0; i++) {
			u32 slot = (u32)(fake_random() % 8);
			u64 addr = base + (505 + 2 * slot) * PAGE_BYTES; /* in two tables, one in both */

			if (fake_random() % 2) {
				fake_deliver((u32)(fake_random() % FAKE_CPUS));
			} else if (busy[slot]) {
				busy[slot] = space_unmap_step(&request[slot], NULL) != SPACE_DONE;
				left -= busy[slot] ? 0 : 1;
			} else if (i < 60) {
				for (u32 other = 0; other < 8; other++)
					meanwhile += busy[other] && is_trim_flushing(request[other].addr);
				assert_int_equal(map(NULL, addr, 0, 1 + fake_random() % 2, PROT_WRITE, NULL),
						 CAPOS_STATUS_OK);
				request[slot] = unmap_begin(addr, (region_at(space, addr)->end - addr) / PAGE_BYTES);
				busy[slot] = true;
				left++;
			}
		}
		assert_int_equal(space->region_count, 0);
		assert_int_equal(space->table_frames, tables);
	}
	assert_true(meanwhile > 100);
}

static void random_work(void **state)
{
	struct memory_object *memory = make(64);
	u64 base = space->base;

	(void)state;
	for (u32 round = 0; round < 20000; round++) {
		u64 pages = 1 + fake_random() % 20, addr = base + fake_random() % 128 * PAGE_BYTES;
		u32 cpu = (u32)(fake_random() % FAKE_CPUS);

		switch (fake_random() % 6) {
		case 0:
			(void)map(NULL, fake_random() % 2 ? addr : 0, 0, pages, PROT_WRITE, NULL);
			break;
		case 1:
			(void)map(memory, addr, fake_random() % 44 * PAGE_BYTES, pages,
				  fake_random() % 2 ? PROT_EXEC : 0, NULL);
			break;
		case 2:
		case 3:
			(void)unmap(addr, pages, false, 0, false);
			break;
		case 4:
			(void)unmap(addr, pages, true, (u32)(fake_random() % 3), false);
			break;
		default:
			space_switch(fake_on(cpu), fake_random() % 3 ? space : NULL);
			break;
		}
		if (space->region_count > 200)
			break;
	}
	frames_verify();
	for (u32 i = 0; i < FAKE_CPUS; i++)
		space_switch(fake_on(i), NULL);
	end(memory);
	space_verify(space);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(changes_are_counted),
		TEST(copies),
		TEST(refusals),
		TEST(cuts),
		TEST(private_frames_return),
		TEST(out_of_everything),
		TEST(shootdown_waits),
		TEST(object_ends_under_mappings),
		TEST(sweep_of_dead_grants),
		TEST(ends_while_mapped),
		TEST(thread_memory),
		TEST(dropped_late),
		TEST(table_needed_again_meanwhile),
		TEST(table_left_while_passing),
		TEST(ends_with_unlinked_tables),
		TEST(interleaved),
		TEST(random_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
