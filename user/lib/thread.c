/* SPDX-License-Identifier: MIT */
/*
 * Threads, on stacks that the kernel makes. A new thread may run before its creator knows its handle or its stack: the
 * kernel tells the thread, which makes its own record at the top of its stack.
 */
#include <user/thread.h>

#include <user/start.h>
#include <user/stubs.h>

/* With the guard page below and the thread page of the next one, a block of 64 KiB is full. */
#define STACK_BYTES (USER_STACK_BYTES - 2 * CAPOS_PAGE_BYTES)

void user_thread_entry(void); /* entry.S */
_Noreturn void user_thread_start(thread_function function, void *argument, struct capos_thread_page *page,
				 uint64_t id, capos_handle handle);

static uint32_t threads_started;

_Noreturn void thread_end(uint64_t exit_code)
{
	struct user_thread *thread = self();

	for (;;) {
		(void)thread_exit(thread->handle, exit_code);
		__builtin_trap();
	}
}

_Noreturn void user_thread_start(thread_function function, void *argument, struct capos_thread_page *page,
				 uint64_t id, capos_handle handle)
{
	struct user_thread *thread = self();

	thread->page = page;
	thread->id = id;
	thread->handle = handle;
	thread->number = __atomic_add_fetch(&threads_started, 1, __ATOMIC_RELAXED);
	thread_end(function(argument));
}

struct capos_result thread_start_on(struct thread *thread, thread_function function, void *argument, uint32_t cpu,
				    uint32_t flags)
{
	return thread_spawner_create(known.threads, (uintptr_t)user_thread_entry, (uintptr_t)function,
				     (uintptr_t)argument, cpu, flags, STACK_BYTES, &thread->handle, &thread->id,
				     NULL);
}

struct capos_result thread_start_within(struct thread *thread, thread_function function, void *argument,
					const struct capos_cpu_set *cpus, uint32_t flags)
{
	return thread_spawner_create(known.threads, (uintptr_t)user_thread_entry, (uintptr_t)function,
				     (uintptr_t)argument, (uintptr_t)cpus, flags | CAPOS_THREAD_CPU_SET, STACK_BYTES,
				     &thread->handle, &thread->id, NULL);
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
	(void)cap_table_release(known.caps, thread->handle);
	thread->handle = 0;
	return r;
}
