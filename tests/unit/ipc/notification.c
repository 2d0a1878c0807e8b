/* SPDX-License-Identifier: MIT */
/* LINK: kernel/ipc/ kernel/task/wait.c kernel/sched/lend.c kernel/sched/lock.c kernel/cap/errors.c */
/* Notifications. */
#include "world.h"

static void test_notification(void **state)
{
	struct notification *notification;
	struct call c;

	(void)state;
	assert_int_equal(notification_create(process[0], &notification), CAPOS_STATUS_OK);
	run(client);
	c = kernel_call(client, &notification->object);
	client->mach.frame.word[0] = 0;
	assert_int_equal(method_notification_signal(&c), STATUS_DETAIL(BAD_ARGUMENT, 0));
	assert_int_equal(method_notification_wait(&c), STATUS(WOULD_BLOCK));
	client->mach.frame.word[0] = now_ns + 5;
	assert_int_equal(method_notification_wait(&c), CALL_BLOCKED);
	notification_signal(cpu, notification, 6);
	assert_true(runnable(client));
	assert_int_equal(client->mach.frame.word[0], 6);
	notification_signal(cpu, notification, 1);
	notification_signal(cpu, notification, 8);
	run(client);
	assert_int_equal(method_notification_poll(&c), STATUS(OK));
	assert_int_equal(client->mach.frame.word[0], 9);
	client->mach.frame.word[0] = CAPOS_NEVER;
	cpu->armed_waiter = NULL;
	assert_int_equal(method_notification_wait(&c), CALL_BLOCKED);
	assert_true(type_notification.kill_step(&notification->object));
	assert_int_equal(client->mach.frame.call, STATUS(REVOKED));
	pool_free(POOL_NOTIFICATION, notification);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_notification),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
