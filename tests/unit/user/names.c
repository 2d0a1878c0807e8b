/* SPDX-License-Identifier: MIT */
/* LINK: user/lib/names.c lib/fmt.c */
/* What people read of a call that failed. */
#include <user/names.h>

#include <capos/errors.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void every_result_that_is_declared_has_a_name(void **state)
{
	(void)state;
#define E(...)
#define R(iface, method, result, ...)                                                                                \
	do {                                                                                                         \
		const char *name = iresult_name(CAPOS_IFACE_##iface, (result));                                      \
                                                                                                                     \
		if (name == NULL || strcmp(name, "?") == 0)                                                          \
			fail_msg("%s.%s: %u", #iface, #method, (unsigned)(result));                                  \
	} while (0);
	CAPOS_ERRORS(E, R)
#undef E
#undef R
}

static void every_status_has_a_name(void **state)
{
	(void)state;
#define X(name, value, text) assert_string_equal(status_name(CAPOS_STATUS_##name), text);
	CAPOS_STATUSES(X)
#undef X
	assert_string_equal(status_name(~0u), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_result_that_is_declared_has_a_name),
		cmocka_unit_test(every_status_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
