/* SPDX-License-Identifier: MIT */
/* Console, log, entropy, trace, power, sessions. */
#include "errors.h"

#include <capos/measure.h>

static capos_handle reader_console;

static uint64_t read_long(void *argument)
{
	char bytes[CAPOS_MESSAGE_BYTES];
	uint64_t count = 0;
	struct capos_result r = console_read(reader_console, CAPOS_NEVER, bytes, &count);

	(void)argument;
	return (uint64_t)r.status << 16 | r.iresult;
}

static void console_readers(void)
{
	struct thread threads[2];
	capos_handle middle = 0;
	uint64_t code = 0;

	insist(cap_table_derive(known.caps, known.console, CAPOS_RIGHT_READ | CAPOS_RIGHT_GRANT, 0, &middle));
	insist(cap_table_derive(known.caps, middle, CAPOS_RIGHT_READ, 0, &reader_console));
	insist(thread_start(&threads[0], read_long, NULL));
	tap_ok(becomes_true(waits_on(threads[0].handle) == CAPOS_WAIT_CONSOLE), "a thread reads");
	expect_good(cap_table_revoke(known.caps, middle), "revoke what it reads through");
	expect_good(thread_finish(&threads[0], now_ns() + 5 * SECOND, &code), "ends the read");
	tap_ok(code == (uint64_t)CAPOS_STATUS_REVOKED << 16, "with `revoked`");
	drop(reader_console);
	drop(middle);
	reader_console = known.console;
	for (unsigned i = 0; i < 2; i++) {
		insist(thread_start(&threads[i], read_long, NULL));
		tap_ok(becomes_true(waits_on(threads[i].handle) == CAPOS_WAIT_CONSOLE), "another thread reads");
	}
	expect_good(console_give(known.console), "give");
	for (unsigned i = 0; i < 2; i++) {
		expect_good(thread_finish(&threads[i], now_ns() + 5 * SECOND, &code), "ends the read");
		tap_ok(code == CAPOS_CONSOLE_NOT_OWNER, "with not-owner");
	}
}

#define NAMES_BAD(method, weak, revoked)                                                                             \
	FAILS(console, method, INVALID_HANDLE, CAPOS_DETAIL_HANDLE, "a forged handle", .handle = known.console,      \
	      .word = { FORGED_HANDLE, 1 });                                                                         \
	FAILS(console, method, STALE_HANDLE, CAPOS_DETAIL_HANDLE, "a stale handle", .handle = known.console,         \
	      .word = { stale, 1 });                                                                                 \
	FAILS(console, method, REVOKED, CAPOS_DETAIL_HANDLE, "a revoked handle", .handle = known.console,            \
	      .word = { revoked, 1 });                                                                               \
	FAILS(console, method, MISSING_RIGHTS, CAPOS_DETAIL_HANDLE, "a handle without the right",                    \
	      .handle = known.console, .word = { weak, 1 });                                                         \
	FAILS(console, method, WRONG_INTERFACE, CAPOS_DETAIL_HANDLE, "a timer", .handle = known.console,             \
	      .word = { known.timer, 1 })

/* The process and the notification that Ctrl-C is for. */
static void named(capos_handle stale)
{
	capos_handle bell = sample[CAPOS_IFACE_notification], revoked = revoked_handle(bell);
	capos_handle weak = with_rights(bell, CAPOS_RIGHT_WAIT);

	NAMES_BAD(set_interrupt, weak, revoked);
	FAILS(console, set_interrupt, BAD_ARGUMENT, 1, "no bits", .handle = known.console, .word = { bell });
	drop(weak);
	drop(revoked);
	revoked = revoked_handle(sample[CAPOS_IFACE_process]);
	weak = with_rights(sample[CAPOS_IFACE_process], CAPOS_RIGHT_READ);
	NAMES_BAD(set_foreground, weak, revoked);
	drop(weak);
	drop(revoked);
}

/* A child takes the console until it is killed. */
static void owned_by_another(void)
{
	struct capos_spawn spawn;
	capos_handle owner = 0, bell = sample[CAPOS_IFACE_notification];
	uint64_t bits;

	child_init(&spawn, "own");
	(void)spawn_grant(&spawn, "console", known.console, CAPOS_RIGHT_CONTROL);
	(void)spawn_grant(&spawn, "bell", bell, CAPOS_RIGHT_SIGNAL);
	insist(spawn_start(&spawn, &owner, NULL));
	must(notification_wait(bell, CAPOS_NEVER, &bits));
	REFUSES(console, take, CAPOS_CONSOLE_OWNED, 0, "another process has it", .handle = known.console);
	REFUSES(console, read, CAPOS_CONSOLE_NOT_OWNER, 0, "another process has it", .handle = known.console);
	(void)process_kill(owner, 0);
	(void)child_end(owner);
}

static void console(void)
{
	static const char line[] = "# a line by console.write\n";
	uint64_t written = 0, count = 0;
	char bytes[256];
	capos_handle bell = sample[CAPOS_IFACE_notification], stale = stale_handle();

	expect_good(console_write(known.console, line, sizeof(line) - 1, &written), "console.write");
	tap_ok(written == sizeof(line) - 1, "writes all bytes");
	REFUSES(console, read, CAPOS_CONSOLE_NOT_OWNER, 0, "nobody owns it", .handle = known.console);
	REFUSES(console, give, CAPOS_CONSOLE_NOT_OWNER, 0, "nobody owns it", .handle = known.console);
	REFUSES(console, set_foreground, CAPOS_CONSOLE_NOT_OWNER, 0, "nobody owns it", .handle = known.console);
	REFUSES(console, set_interrupt, CAPOS_CONSOLE_NOT_OWNER, 0, "nobody owns it", .handle = known.console);
	expect_good(console_take(known.console), "take");
	FAILS(console, read, WOULD_BLOCK, 0, "deadline 0", .handle = known.console);
	FAILS(console, read, TIMED_OUT, 0, "a deadline in the past", .handle = known.console, .word = { 1 },
	      .deadline_ns = 1);
	expect_status(console_read(known.console, now_ns() + MS, bytes, &count), TIMED_OUT, "read with a deadline");
	named(stale);
	expect_good(console_set_foreground(known.console, sample[CAPOS_IFACE_process]), "a foreground job");
	expect_good(console_set_foreground(known.console, 0), "and none");
	expect_good(console_set_interrupt(known.console, bell, 1), "a notification for Ctrl-C");
	expect_good(console_set_interrupt(known.console, 0, 0), "and none");
	console_readers();
	expect_iresult(console_read(known.console, 0, bytes, &count), CAPOS_CONSOLE_NOT_OWNER, "read after give");
}

/* The kernel writes the program's name before it. */
static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

static void log_lines(void)
{
	static struct log_entry entry;
	uint64_t at = 0, found = 0, guard = 0;

	expect_good(log_write(known.log, 3, "usertests: a line of the log", 28), "log.write");
	FAILS(log, write, BAD_ARGUMENT, 0, "no such level", .handle = known.log, .word = { 99 }, .message = "x",
	      .bytes = 1);
	for (; guard < 5000 && result_ok(log_read(known.log, at, &entry)) && entry.next != at; guard++) {
		if (ends_with(entry.text, "usertests: a line of the log"))
			found++;
		at = entry.next;
	}
	tap_ok(found >= 1, "log.read finds it");
	expect_good(log_read(known.log, at, &entry), "log.read at the end");
	tap_ok(entry.next == at, "has nothing newer");
	expect_good(log_read(known.log, CAPOS_NEVER, &entry), "log.read of a line 2^64 - 1");
}

static void entropy(void)
{
	uint64_t one[CAPOS_WORDS] = { 0 }, two[CAPOS_WORDS] = { 0 };
	struct capos_result r = entropy_read(known.entropy, 8, one);

	if (r.status == CAPOS_STATUS_NOT_SUPPORTED) {
		tap_skip("no hardware source of entropy");
	} else {
		expect_good(r, "entropy.read");
		(void)entropy_read(known.entropy, 8, two);
		tap_ok(memcmp(one, two, sizeof(one)) != 0, "two reads differ");
	}
	FAILS(entropy, read, BAD_ARGUMENT, 0, "no words", .handle = known.entropy);
	FAILS(entropy, read, BAD_ARGUMENT, 0, "nine words", .handle = known.entropy, .word = { 9 });
	FAILS(entropy, read, BAD_ARGUMENT, 0, "2^64 - 1 words", .handle = known.entropy, .word = { CAPOS_NEVER });
}

static void trace(void)
{
	struct capos_trace_record records[TRACE_RECORDS_MAX];
	uint64_t former = 0, count = 0, next = 0, lost = 0, calls = 0, at = 0;
	bool forward = true;

	expect_good(trace_control(known.trace, 1ull << CAPOS_TRACE_CALL, &former), "trace.control");
	for (unsigned i = 0; i < 20; i++)
		(void)cap_table_nop(known.caps);
	for (uint32_t cpu = 0; cpu < startup()->cpu_count; cpu++) {
		uint64_t last = 0;

		at = 0;
		for (unsigned rounds = 0; rounds < 4000; rounds++) {
			if (!result_ok(trace_read(known.trace, cpu, at, records, &count, &next, &lost)) || next == at)
				break;
			for (uint64_t i = 0; i < count && i < TRACE_RECORDS_MAX; i++) {
				forward = forward && records[i].ns >= last && records[i].cpu == cpu;
				last = records[i].ns;
				calls += records[i].event == CAPOS_TRACE_CALL;
			}
			at = next;
			(void)trace_control(known.trace, 0, NULL);
		}
	}
	tap_ok(calls >= 20, "trace.read finds the calls (%lu)", (unsigned long)calls);
	tap_ok(forward, "in the order of time");
	expect_good(trace_control(known.trace, former, NULL), "the former mask");
	FAILS(trace, read, BAD_ARGUMENT, 0, "a CPU that is not there", .handle = known.trace, .word = { 1u << 20 });
	FAILS(trace, control, BAD_ARGUMENT, 0, "an event that is not there", .handle = known.trace,
	      .word = { 1ull << 63 });
}

/* A measure build cannot say notSupported; run-measure looks at what it says. */
static void measures(void)
{
	static const struct attempt phase = { .iface = CAPOS_IFACE_trace,
					      .method = CAPOS_METHOD_trace_phase,
					      .status = CAPOS_STATUS_NOT_SUPPORTED },
				    counters = { .iface = CAPOS_IFACE_trace,
						 .method = CAPOS_METHOD_trace_counters,
						 .status = CAPOS_STATUS_NOT_SUPPORTED };
	uint64_t former = 0;

	FAILS(trace, phase, BAD_ARGUMENT, 0, "a phase too many", .handle = known.trace,
	      .word = { CAPOS_MEASURE_PHASES });
	FAILS(trace, counters, BAD_ARGUMENT, 0, "a CPU that is not there", .handle = known.trace,
	      .word = { 1u << 20 });
	FAILS(trace, counters, BAD_ARGUMENT, 1, "a phase too many", .handle = known.trace,
	      .word = { 0, CAPOS_MEASURE_PHASES });
	FAILS(trace, counters, BAD_ARGUMENT, 2, "a value too many", .handle = known.trace,
	      .word = { 0, 0, CAPOS_MEASURE_VALUES });
	if (result_ok(trace_phase(known.trace, 0, &former))) {
		tap_skip("a measure build");
		error_produced(&phase, CAPOS_WAY_BOTH);
		error_produced(&counters, CAPOS_WAY_BOTH);
		return;
	}
	FAILS(trace, phase, NOT_SUPPORTED, 0, "not a measure build", .handle = known.trace);
	FAILS(trace, counters, NOT_SUPPORTED, 0, "not a measure build", .handle = known.trace);
}

static void sessions(void)
{
	capos_handle session = 0;
	struct session_info info = { 0 };
	struct capos_account account = { 0 };
	uint64_t id = 0, there = 0;
	struct usage before = usage_now();

	expect_good(session_manager_accounts(known.session_manager, 0, &account, &there), "accounts");
	tap_ok(there == 1 && account.id == 7 && strcmp(account.name, "tester") == 0 && account.salt_bytes == 16,
	       "the manifest's");
	expect_good(session_manager_accounts(known.session_manager, 1, &account, &there), "the next");
	tap_ok(there == 0, "is not there");
	expect_good(session_manager_create(known.session_manager, 7, "tester", &session, &id), "create");
	expect_good(user_session_info(session, &info), "info");
	tap_ok(info.id == id && info.account_id == 7 && info.alive == 1 && strcmp(info.name, "tester") == 0,
	       "is true");
	REFUSES(session_manager, create, CAPOS_SESSION_UNKNOWN_ACCOUNT, 0, "an unknown account",
		.handle = known.session_manager, .word = { 8 }, .message = "tester", .bytes = 6);
	REFUSES(session_manager, create, CAPOS_SESSION_UNKNOWN_ACCOUNT, 0, "another's name",
		.handle = known.session_manager, .word = { 7 }, .message = "teste", .bytes = 5);
	expect_good(user_session_logout(session), "logout");
	REFUSES(user_session, logout, CAPOS_SESSION_ENDED, 0, "logout twice", .handle = session);
	expect_good(user_session_info(session, &info), "info after logout");
	tap_ok(info.alive == 0, "says so");

	struct capos_spawn spawn;

	child_init(&spawn, "exit 0");
	spawn.session = session;
	REFUSES(process_spawner, spawn, CAPOS_SPAWN_SESSION_ENDED, 0, "in an ended session",
		.handle = known.process_spawner, .message = &spawn,
		.bytes = offsetof(struct capos_spawn, grants) + sizeof(struct capos_grant));
	destroy(session);
	tap_returns(before, "sessions gave everything back");
}

void test_devices(void)
{
	owned_by_another();
	console();
	log_lines();
	entropy();
	trace();
	measures();
	sessions();
}
