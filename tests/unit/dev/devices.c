/* SPDX-License-Identifier: MIT */
/* LINK: kernel/dev/small.c kernel/dev/console.c kernel/sched/lock.c */
/* What depends on the machine: no wall clock, no source of entropy, a console that takes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <kernel/call.h>
#include <kernel/cpu.h>
#include <kernel/debug.h>
#include <kernel/ipc.h>
#include <kernel/process.h>
#include <kernel/state.h>
#include <kernel/waitlist.h>
#include <string.h>

struct kernel kernel_state;
struct cpu *sim_cpu_record;
static struct cpu cpu0;
static bool entropy_there;
static size_t room;

/* --- the machine, and rooms that are not asked ---------------------------------------------------------------------- */

struct instant mach_clock(void)
{
	return (struct instant){ 1000 };
}
bool mach_entropy(u64 *out)
{
	*out = 5;
	return entropy_there;
}
size_t mach_console_write(const char *bytes, size_t n)
{
	(void)bytes;
	n = n < room ? n : room;
	room -= n;
	return n;
}

#define NOT_ASKED                                                                                                    \
	fail_msg("%s is not asked", __func__);                                                                       \
	__builtin_unreachable();
void panic(const char *format, ...)
{
	fail_msg("%s", format);
	__builtin_unreachable();
}
void mach_console_write_sync(const char *bytes, size_t n)
{
	(void)bytes, (void)n;
	NOT_ASKED
}
int mach_console_read(void)
{
	NOT_ASKED
}
void mach_exit(unsigned code)
{
	(void)code;
	NOT_ASKED
}
u64 call_start_operation(struct call *call,
			 enum operation_progress (*step)(struct cpu *, struct thread *, struct operation *))
{
	(void)call, (void)step;
	NOT_ASKED
}
u16 cap_lookup_typed(struct process *process, u64 handle, u16 type, u32 rights, struct cap *out)
{
	(void)process, (void)handle, (void)type, (void)rights, (void)out;
	NOT_ASKED
}
bool grant_get(struct grant *grant)
{
	(void)grant;
	NOT_ASKED
}
void grant_put(struct grant *grant)
{
	(void)grant;
	NOT_ASKED
}
void notification_signal(struct cpu *cpu, struct notification *notification, u64 bits)
{
	(void)cpu, (void)notification, (void)bits;
	NOT_ASKED
}
void process_kill(struct cpu *cpu, struct process *process, u32 cause, u32 code)
{
	(void)cpu, (void)process, (void)cause, (void)code;
	NOT_ASKED
}
void waiter_arm(struct cpu *cpu, struct waiter *waiter, enum capos_wait wait, const struct waiter_ops *ops,
		struct instant deadline)
{
	(void)cpu, (void)waiter, (void)wait, (void)ops, (void)deadline;
	NOT_ASKED
}
void waiter_prepare(struct cpu *cpu, struct waiter *waiter)
{
	(void)cpu, (void)waiter;
	NOT_ASKED
}
void waiter_finish(struct cpu *cpu, struct waiter *waiter, u64 result, const u64 *words, unsigned word_count)
{
	(void)cpu, (void)waiter, (void)result, (void)words, (void)word_count;
	NOT_ASKED
}
void waitlist_init(struct waitlist *list)
{
	(void)list;
	NOT_ASKED
}
u64 waitlist_enter(struct waitlist *list, struct call *call, enum capos_wait wait)
{
	(void)list, (void)call, (void)wait;
	NOT_ASKED
}
bool waitlist_sweep(struct cpu *cpu, struct waitlist *list, struct object *object, u64 *pass)
{
	(void)cpu, (void)list, (void)object, (void)pass;
	NOT_ASKED
}
struct waiter *waitlist_take(struct waitlist *list)
{
	(void)list;
	NOT_ASKED
}
bool waitlist_wake(struct cpu *cpu, struct waitlist *list, struct object *object, u64 result, const u64 *words,
		   unsigned word_count)
{
	(void)cpu, (void)list, (void)object, (void)result, (void)words, (void)word_count;
	NOT_ASKED
}

/* --- tests ---------------------------------------------------------------------------------------------------------------- */

static int setup(void **state)
{
	(void)state;
	memset(&kernel_state, 0, sizeof(kernel_state));
	memset(&cpu0, 0, sizeof(cpu0));
	sim_cpu_record = &cpu0;
	kernel_state.dev.ready = true;
	return 0;
}

/* By call and by ring, which is all that a method sees of the way. */
static void test_no_wall_clock(void **state)
{
	(void)state;
	for (unsigned ring = 0; ring < 2; ring++) {
		u64 word[CAPOS_WORDS] = { 7, 8 };
		struct call call = { .word = word, .ring = ring != 0 };

		kernel_state.boot.wall_clock_ns = 0;
		assert_int_equal(method_wall_clock_now(&call), STATUS(NOT_SUPPORTED));
		assert_int_equal(word[0], 7);
		kernel_state.boot.wall_clock_ns = 5000;
		assert_int_equal(method_wall_clock_now(&call), STATUS(OK));
		assert_int_equal(word[0], 6000);
	}
}

static void test_no_entropy(void **state)
{
	(void)state;
	for (unsigned ring = 0; ring < 2; ring++) {
		u64 word[CAPOS_WORDS] = { 2, 8 };
		struct call call = { .word = word, .ring = ring != 0 };

		entropy_there = false;
		assert_int_equal(method_entropy_read(&call), STATUS(NOT_SUPPORTED));
		assert_int_equal(word[0], 2);
		assert_int_equal(word[1], 8);
		entropy_there = true;
		assert_int_equal(method_entropy_read(&call), STATUS(OK));
		assert_int_equal(word[1], 5);
	}
}

static void test_console_full(void **state)
{
	static const u8 bytes[CAPOS_MESSAGE_BYTES];
	u64 word[CAPOS_WORDS] = { 0 };
	struct call call = { .word = word, .in = bytes, .in_bytes = sizeof(bytes), .ring = true };
	u32 head, tail;

	(void)state;
	room = 0;
	for (unsigned i = 0; i < CONSOLE_OUT_BYTES / sizeof(bytes); i++)
		assert_int_equal(method_console_write(&call), STATUS(OK));
	word[0] = 7;
	head = kernel_state.dev.console.out_head;
	tail = kernel_state.dev.console.out_tail;
	assert_int_equal(method_console_write(&call), STATUS(WOULD_BLOCK));
	assert_int_equal(word[0], 7);
	assert_int_equal(kernel_state.dev.console.out_head, head);
	assert_int_equal(kernel_state.dev.console.out_tail, tail);
	assert_int_equal(kernel_state.dev.console.dropped, 0);
	room = sizeof(bytes) * 2;
	/* What was refused pushed the machine: there is room for the next. */
	assert_int_equal(method_console_write(&call), STATUS(WOULD_BLOCK));
	assert_int_equal(method_console_write(&call), STATUS(OK));
	assert_int_equal(word[0], sizeof(bytes));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_no_wall_clock, setup),
		cmocka_unit_test_setup(test_no_entropy, setup),
		cmocka_unit_test_setup(test_console_full, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
