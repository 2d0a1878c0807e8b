/* SPDX-License-Identifier: MIT */
/* LINK: kernel/sched/lock.c */
/* The next event of a CPU, while another CPU cancels timers there: the first one is looked at once. */
#include <mach/atomic.h>

static const void *watched;
static unsigned looks;

static void look_at(const void *word);
#undef atomic_load_relaxed
#define atomic_load_relaxed(p) (look_at(&(p)->value_), __atomic_load_n(&(p)->value_, __ATOMIC_RELAXED))

#include "kernel/sched/sched_priv.h"
#include "tests/unit/fakes.h"

static struct cpu cpu;

/* The timer is cancelled after the first look. */
static void look_at(const void *word)
{
	if (word == watched && looks++ == 1)
		cpu.timers.first_ns.value_ = INSTANT_NEVER.ns;
}

static void first_timer_is_read_once(void **state)
{
	(void)state;
	cpu.tick_ns = 100;
	cpu.timers.first_ns.value_ = 50;
	watched = &cpu.timers.first_ns.value_;
	assert_int_equal(tick_or_timer_ns(&cpu), 50);
	assert_int_equal(looks, 1);
	cpu.timers.first_ns.value_ = 150;
	looks = 0;
	assert_int_equal(tick_or_timer_ns(&cpu), 100);
	assert_int_equal(looks, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(first_timer_is_read_once) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
