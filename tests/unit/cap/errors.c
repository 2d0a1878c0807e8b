/* SPDX-License-Identifier: MIT */
/* LINK: kernel/cap/errors.c */
/* Canaries of the check that debug builds make of each result: what capos/errors.h does not declare stops the machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <kernel/call.h>
#include <kernel/debug.h>
#include <kernel/thread.h>
#include <string.h>

static struct process process;
static struct thread thread;
static jmp_buf panicked;

void panic(const char *format, ...)
{
	assert_non_null(strstr(format, "undeclared error"));
	longjmp(panicked, 1);
}

static bool passes(u64 call_word, bool endpoint, enum capos_way way, u64 result)
{
	if (setjmp(panicked) != 0)
		return false;
	errors_verify(&thread, call_word, endpoint, way, result);
	return true;
}

#define CALL_OF(iface, method)                                                                                       \
	CAPOS_CALL_WORD(CAPOS_IFACE_##iface, CAPOS_METHOD_##iface##_##method, CAPOS_OP_CALL, 0, 0)
#define BY_CALL(word, result) passes(word, false, CAPOS_WAY_CALL, result)
#define BY_RING(word, result) passes(word, false, CAPOS_WAY_RING, result)

static int setup(void **state)
{
	(void)state;
	memset(&thread, 0, sizeof(thread));
	memset(&process, 0, sizeof(process));
	thread.process = &process;
	return 0;
}

static void test_methods(void **state)
{
	u64 word = CALL_OF(notification, signal), read = CALL_OF(memory_object, read);

	(void)state;
	assert_true(BY_CALL(word, STATUS(OK)));
	assert_true(BY_CALL(word, STATUS_DETAIL(BAD_ARGUMENT, 0)) && BY_RING(word, STATUS_DETAIL(BAD_ARGUMENT, 0)));
	assert_false(BY_CALL(word, STATUS_DETAIL(BAD_ARGUMENT, 1))); /* another word */
	assert_false(BY_CALL(word, STATUS(WOULD_BLOCK)));	     /* another method's */
	assert_false(BY_CALL(word, STATUS(NO_MEMORY)));
	assert_false(BY_CALL(word, IRESULT(1)));
	assert_false(BY_CALL(word, CAPOS_RESULT(CAPOS_STATUS_BAD_ARGUMENT, 1, 0)));
	assert_false(BY_CALL(word, CAPOS_RESULT(99, 0, 0)));
	assert_true(BY_CALL(read, STATUS_DETAIL(BAD_ADDRESS, 1)) && BY_RING(read, STATUS_DETAIL(BAD_ADDRESS, 1)));
	assert_false(BY_CALL(read, STATUS(BAD_ADDRESS)));
}

static void test_every_method(void **state)
{
	u64 word = CALL_OF(power, off);

	(void)state;
	assert_true(BY_CALL(word, STATUS(MISSING_RIGHTS)) && BY_RING(word, STATUS(STALE_HANDLE)));
	assert_true(BY_RING(word, STATUS(MESSAGE_BUSY)));
	assert_false(BY_CALL(word, STATUS(MESSAGE_BUSY)));
	assert_false(BY_CALL(word, STATUS_DETAIL(MISSING_RIGHTS, 1)));
}

static void test_ways(void **state)
{
	u64 word = CALL_OF(timer, sleep), map = CALL_OF(address_space, map);

	(void)state;
	assert_true(BY_RING(word, STATUS(NO_MEMORY)));
	assert_false(BY_CALL(word, STATUS(NO_MEMORY)));
	assert_true(BY_CALL(map, IRESULT(CAPOS_MAP_OVERLAP)));
	assert_false(BY_RING(map, IRESULT(CAPOS_MAP_OVERLAP)));
}

static void test_operations(void **state)
{
	u64 call = CAPOS_CALL_WORD(CAPOS_IFACE_USER, 3, CAPOS_OP_CALL, 0, 0);
	u64 recv = CAPOS_CALL_WORD(0, 0, CAPOS_OP_RECV, 1, 0), timer = CALL_OF(timer, now);

	(void)state;
	assert_true(BY_CALL(call, CAPOS_RESULT(CAPOS_STATUS_OK, 77, 5))); /* the server's */
	assert_true(BY_CALL(call, CAPOS_RESULT(CAPOS_STATUS_EXCEPTION, 77, 5)));
	assert_true(BY_CALL(call, STATUS(PEER_GONE)));
	assert_false(BY_CALL(call, STATUS(TIMED_OUT)));
	assert_true(BY_RING(call, STATUS(TIMED_OUT)));
	assert_true(BY_CALL(recv, STATUS(COMPLETIONS_PENDING)));
	assert_false(BY_RING(recv, STATUS(COMPLETIONS_PENDING)));
	/* An endpoint may serve any interface. */
	assert_true(passes(timer, true, CAPOS_WAY_CALL, STATUS(PEER_GONE)));
	assert_false(passes(timer, false, CAPOS_WAY_CALL, STATUS(PEER_GONE)));
	assert_false(BY_CALL(CAPOS_CALL_WORD(0, 0, 9, 0, 0), STATUS(NOT_SERVING)));
}

static void test_the_dying(void **state)
{
	u64 word = CALL_OF(notification, wait);

	(void)state;
	assert_false(BY_CALL(word, STATUS(CANCELLED)));
	atomic_fetch_or(&thread.attention, ATTENTION_KILL);
	assert_true(BY_CALL(word, STATUS(CANCELLED)));
	assert_false(BY_CALL(word, STATUS(PEER_GONE)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_methods, setup),   cmocka_unit_test_setup(test_every_method, setup),
		cmocka_unit_test_setup(test_ways, setup),      cmocka_unit_test_setup(test_operations, setup),
		cmocka_unit_test_setup(test_the_dying, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
