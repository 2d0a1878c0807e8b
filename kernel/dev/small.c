/* SPDX-License-Identifier: MIT */
/* Devices of a few lines: timer, wall clock, entropy, power. */
#include "dev_priv.h"

const struct object_type type_timer = OBJECT_TYPE(timer, .kill_step = NULL);
const struct object_type type_wall_clock = OBJECT_TYPE(wall_clock, .kill_step = NULL);
const struct object_type type_entropy = OBJECT_TYPE(entropy, .kill_step = NULL);
const struct object_type type_power = OBJECT_TYPE(power, .kill_step = NULL);

u64 fast_timer_now(struct object *object, u64 *word)
{
	(void)object;
	word[0] = mach_clock().ns;
	return STATUS(OK);
}
FAST_METHOD(timer, now)

/* A sleeper is in no queue but the timer's. */
static void sleep_unlink(struct waiter *waiter)
{
	(void)waiter;
}

static const struct waiter_ops sleep_ops = { .unlink = sleep_unlink };

/* The end of the sleep is a success, not timedOut: waiter_finish by the deadline of a SLEEP says so (kernel/task/wait.c). */
u64 method_timer_sleep(struct call *call)
{
	struct instant deadline = call_deadline(call, 0);

	if (deadline.ns <= mach_clock().ns)
		return STATUS(OK);
	waiter_prepare(call->cpu, call->waiter);
	call->waiter->object = NULL;
	call->waiter->grant = NULL;
	waiter_arm(call->cpu, call->waiter, CAPOS_WAIT_SLEEP, &sleep_ops, deadline);
	return CALL_BLOCKED;
}

u64 fast_wall_clock_now(struct object *object, u64 *word)
{
	u64 boot_ns = kernel_state.boot.wall_clock_ns;

	(void)object;
	if (boot_ns == 0)
		return STATUS(NOT_SUPPORTED);
	word[0] = boot_ns + mach_clock().ns;
	return STATUS(OK);
}
FAST_METHOD(wall_clock, now)

u64 method_entropy_read(struct call *call)
{
	u64 wanted = call->word[0], word[CAPOS_WORDS] = { 0 };

	if (wanted == 0 || wanted > CAPOS_WORDS)
		return STATUS_DETAIL(BAD_ARGUMENT, 0);
	for (u64 i = 0; i < wanted; i++) {
		if (!mach_entropy(&word[i]))
			return STATUS(NOT_SUPPORTED);
	}
	for (u64 i = 0; i < CAPOS_WORDS; i++)
		call->word[i] = word[i];
	return STATUS(OK);
}

u64 method_power_off(struct call *call)
{
	console_flush_sync();
	mach_exit(call->word[0] == 0 ? MACH_EXIT_OK : MACH_EXIT_TESTS_FAILED);
}
