/* SPDX-License-Identifier: MIT */
/* LINK: kernel/dev/state.c */
/* B8: as many CPUs as exist; the look-up of another one panics by name, the one beside it only says that there is none. */
#include <kernel/cpu.h>
#include <kernel/state.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static jmp_buf panicked;
static char text[80];

void panic(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	longjmp(panicked, 1);
}

static bool get_panics(u32 id)
{
	if (setjmp(panicked) != 0)
		return true;
	(void)cpu_get(id);
	return false;
}

static void no_cpu_but_those_that_exist(void **state)
{
	static struct cpu record[65];
	static struct cpu *cpus[65];

	(void)state;
	kernel_state.cpus = cpus;
	for (u32 count = 1; count <= 65; count++) {
		cpus[count - 1] = &record[count - 1];
		kernel_state.cpu_count = count;
		assert_int_equal(cpu_count(), count);
		for (u32 id = 0; id < count; id++)
			assert_ptr_equal(cpu_get(id), &record[id]);
		assert_null(cpu_find(count));
		assert_null(cpu_find(~0u));
		assert_true(get_panics(count));
	}
	assert_string_equal(text, "there is no CPU 65");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_cpu_but_those_that_exist),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
