/* SPDX-License-Identifier: MIT */
/* Time: the clock never goes back, sleeps are never early, the wall clock goes along. */
#include "errors.h"

void test_timer(void)
{
	uint64_t last = 0, now = 0, wall[2] = { 0 }, span;
	bool forward = true, early = false;

	for (unsigned i = 0; i < 1000; i++) {
		forward = result_ok(timer_now(known.timer, &now)) && now >= last && forward;
		last = now;
	}
	tap_ok(forward && now > 0, "the clock never goes back");
	expect_good(timer_sleep(known.timer, 0), "sleep until 0 is over at once");
	expect_good(timer_sleep(known.timer, 1), "so is one until a past instant");
	for (unsigned i = 0; i < 20; i++) {
		uint64_t deadline = now_ns() + i * 100000ull;

		early = !result_ok(timer_sleep(known.timer, deadline)) || now_ns() < deadline || early;
	}
	tap_ok(!early, "sleeps are never early");
	if (!known.wall_clock) {
		tap_skip("no wall clock");
		return;
	}
	expect_good(wall_clock_now(known.wall_clock, &wall[0]), "the wall clock");
	now = now_ns();
	(void)sleep_ns(5 * MS);
	(void)wall_clock_now(known.wall_clock, &wall[1]);
	span = now_ns() - now;
	tap_ok(wall[1] - wall[0] >= 4 * MS && wall[1] - wall[0] <= span + 100 * MS, "goes as fast as the other");
	tap_ok(wall[0] > 946684800 * SECOND && wall[0] < 4102444800 * SECOND, "it is between 2000 and 2100");
}
