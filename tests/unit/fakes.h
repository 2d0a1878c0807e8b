/* SPDX-License-Identifier: MIT */
/* What the fakes of every room begin with: cmocka, the kernel's state, a clock that the test sets, a panic that can be expected. */
#ifndef TESTS_FAKES_H
#define TESTS_FAKES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <kernel/debug.h>
#include <kernel/state.h>
#include <kernel/thread.h>

struct kernel kernel_state;
struct cpu *sim_cpu_record;
static u64 now_ns;
static unsigned clock_readings;
static u64 (*clock_source)(void); /* not NULL: it sets now_ns */
static jmp_buf panicked;
static bool expects_panic;

/* True: `expression` panics. */
#define PANICS(expression)                                                                                           \
	({                                                                                                           \
		volatile bool did = true;                                                                            \
		expects_panic = true;                                                                                \
		if (setjmp(panicked) == 0) {                                                                         \
			expression;                                                                                  \
			did = false;                                                                                 \
		}                                                                                                    \
		expects_panic = false;                                                                               \
		did;                                                                                                 \
	})

void panic(const char *format, ...)
{
	va_list args;

	if (expects_panic)
		longjmp(panicked, 1);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	abort();
}

struct instant mach_clock(void)
{
	clock_readings++;
	if (clock_source != NULL)
		now_ns = clock_source();
	return (struct instant){ now_ns };
}
struct instant mach_clock_quick(void)
{
	return mach_clock();
}
void mach_thread_leave(struct thread *thread)
{
	(void)thread;
}
void mach_space_load(struct mach_space *space)
{
	(void)space;
}

#endif
