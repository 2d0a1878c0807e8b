/* SPDX-License-Identifier: MIT */
/*
 * Threads: a stack block for each, with the record at its top. A new thread may run before its creator knows its
 * handle: the kernel tells both, and the thread itself completes its record.
 *
 * Blocks must be aligned to their size, and the address space chooses addresses by the page: when its choice is not
 * aligned, aligned places near it are tried.
 */
#include <user/thread.h>

#include <user/start.h>
#include <user/stubs.h>

#define GUARD_BYTES CAPOS_PAGE_BYTES
#define MAPPED_BYTES (USER_STACK_BYTES - GUARD_BYTES)
#define PLACES_TRIED 256u

void user_thread_entry(void); /* entry.S */
_Noreturn void user_thread_start(struct user_thread *thread, struct capos_thread_page *page, uint64_t id,
				 capos_handle handle);

static uint32_t threads_started;
static uint64_t last_block; /* a hint: the block used last */

_Noreturn void thread_end(uint64_t exit_code)
{
	struct user_thread *thread = self();

	for (;;) {
		(void)thread_exit(thread->handle, exit_code);
		__builtin_trap();
	}
}

_Noreturn void user_thread_start(struct user_thread *thread, struct capos_thread_page *page, uint64_t id,
				 capos_handle handle)
{
	thread->page = page;
	thread->id = id;
	thread->handle = handle;
	thread_end(thread->function(thread->argument));
}

static bool map_at(capos_handle memory, uint64_t block)
{
	return result_ok(
		address_space_map(known.space, memory, 0, block + GUARD_BYTES, MAPPED_BYTES, CAPOS_MAP_WRITE, NULL));
}

/* Maps the stack's memory so that it ends at a multiple of its size. Returns the block's base, or 0 and *why. */
static uint64_t map_stack(capos_handle memory, struct capos_result *why)
{
	uint64_t hint = __atomic_load_n(&last_block, __ATOMIC_RELAXED), chosen = 0;

	if (hint && map_at(memory, hint))
		return hint;
	*why = address_space_map(known.space, memory, 0, 0, MAPPED_BYTES, CAPOS_MAP_WRITE, &chosen);
	if (!result_ok(*why))
		return 0;
	if (((chosen + MAPPED_BYTES) & (USER_STACK_BYTES - 1)) == 0)
		return chosen - GUARD_BYTES;
	*why = address_space_unmap(known.space, chosen, MAPPED_BYTES);

	uint64_t middle = chosen & ~(uint64_t)(USER_STACK_BYTES - 1);

	for (uint64_t i = 1; i <= PLACES_TRIED; i++) {
		if (map_at(memory, middle + i * USER_STACK_BYTES))
			return middle + i * USER_STACK_BYTES;
		if (middle > i * USER_STACK_BYTES && map_at(memory, middle - i * USER_STACK_BYTES))
			return middle - i * USER_STACK_BYTES;
	}
	*why = (struct capos_result){ CAPOS_STATUS_NO_MEMORY, 0, 0 };
	return 0;
}

static void destroy_memory(capos_handle memory)
{
	(void)cap_table_destroy(known.caps, memory);
	(void)cap_table_release(known.caps, memory);
}

static void free_stack(struct user_thread *record)
{
	capos_handle memory = record->stack;
	uint64_t block = (uint64_t)record & ~(uint64_t)(USER_STACK_BYTES - 1);

	(void)address_space_unmap(known.space, block + GUARD_BYTES, MAPPED_BYTES);
	destroy_memory(memory);
	__atomic_store_n(&last_block, block, __ATOMIC_RELAXED);
}

struct capos_result thread_start_on(struct thread *thread, thread_function function, void *argument, uint32_t cpu,
				    uint32_t flags)
{
	capos_handle memory = 0;
	struct capos_result r = factory_memory(known.factory, MAPPED_BYTES, 0, &memory);

	if (!result_ok(r))
		return r;

	uint64_t block = map_stack(memory, &r);

	if (!block) {
		destroy_memory(memory);
		return r;
	}

	struct user_thread *record = (struct user_thread *)(block + USER_STACK_BYTES - USER_THREAD_BYTES);

	memset(record, 0, sizeof(*record));
	record->stack = memory;
	record->function = function;
	record->argument = argument;
	record->number = __atomic_add_fetch(&threads_started, 1, __ATOMIC_RELAXED);
	r = thread_spawner_create(known.threads, (uintptr_t)user_thread_entry, (uintptr_t)record, (uintptr_t)record,
				  cpu, flags, &thread->handle, &thread->id, NULL);
	if (!result_ok(r)) {
		free_stack(record);
		return r;
	}
	thread->record = record;
	return r;
}

struct capos_result thread_start(struct thread *thread, thread_function function, void *argument)
{
	return thread_start_on(thread, function, argument, CAPOS_CPU_ANY, 0);
}

struct capos_result thread_finish(struct thread *thread, uint64_t deadline_ns, uint64_t *exit_code)
{
	struct capos_result r = thread_join(thread->handle, deadline_ns, exit_code, NULL);

	if (!result_ok(r))
		return r;
	free_stack(thread->record);
	(void)cap_table_release(known.caps, thread->handle);
	thread->record = NULL;
	thread->handle = 0;
	return r;
}
