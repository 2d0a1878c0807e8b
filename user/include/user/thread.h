/* SPDX-License-Identifier: MIT */
/*
 * Threads of a program. A stack ends at a multiple of 64 KiB; the record of its thread lies in its last bytes, and self()
 * finds it by the stack pointer:
 *
 *   | page of another thread | guard page (not mapped) | 56 KiB stack, growing down ... | struct user_thread | its thread page
 *                                                                                          a multiple of 64 KiB ^
 * The kernel makes stack and page together. The first thread's stack is as large as the program's note says, else 64 KiB.
 */
#ifndef USER_THREAD_H
#define USER_THREAD_H

#include <user/sys.h>

#define USER_STACK_BYTES 65536u
#define USER_THREAD_BYTES 256u

typedef uint64_t (*thread_function)(void *argument);

struct user_thread {
	struct capos_thread_page *page;
	uint64_t id;
	capos_handle handle; /* of the thread, in this process */
	uint64_t rng[2];
	uint32_t number; /* 0: first thread, then in order of creation */
};
_Static_assert(sizeof(struct user_thread) <= USER_THREAD_BYTES, "thread record");

/* The record of the calling thread. */
static inline struct user_thread *self(void)
{
	uintptr_t stack_pointer;

	__asm__("mov %%rsp, %0" : "=r"(stack_pointer));
	return (struct user_thread *)((stack_pointer | (USER_STACK_BYTES - 1)) + 1 - USER_THREAD_BYTES);
}

static inline struct capos_thread_page *self_page(void)
{
	return self()->page;
}

/* A thread that was started. */
struct thread {
	capos_handle handle;
	uint64_t id;
};

/* Starts function(argument) in a new thread on a stack of its own; what it returns is its exit code.
 * flags: CAPOS_THREAD_PASSIVE. */
struct capos_result thread_start_on(struct thread *thread, thread_function function, void *argument, uint32_t cpu,
				    uint32_t flags);
/* The same within a set of CPUs, from its first instruction on. */
struct capos_result thread_start_within(struct thread *thread, thread_function function, void *argument,
					const struct capos_cpu_set *cpus, uint32_t flags);
struct capos_result thread_start(struct thread *thread, thread_function function, void *argument);

/* A set stays canonical. The CPU is less than CAPOS_CPU_SET_BYTES * 8. */
static inline void cpu_set_add(struct capos_cpu_set *set, uint32_t cpu)
{
	set->byte[cpu / 8] |= (uint8_t)(1u << (cpu % 8));
	if (set->byte_count < cpu / 8 + 1)
		set->byte_count = (uint16_t)(cpu / 8 + 1);
}

static inline bool cpu_set_has(const struct capos_cpu_set *set, uint32_t cpu)
{
	return cpu / 8 < set->byte_count && (set->byte[cpu / 8] >> (cpu % 8) & 1) != 0;
}

/* Waits for its end and frees the handle; exit_code may be NULL. On timedOut nothing is freed. */
struct capos_result thread_finish(struct thread *thread, uint64_t deadline_ns, uint64_t *exit_code);

/* Ends the calling thread. */
_Noreturn void thread_end(uint64_t exit_code);

#endif
