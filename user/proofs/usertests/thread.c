/* SPDX-License-Identifier: MIT */
/* Threads: create, join, exit, terminate, CPUs, information, fault endpoint, and the thread quota. */
#include "errors.h"

static volatile uint32_t runs;

static uint64_t give_back(void *argument)
{
	__atomic_add_fetch(&runs, 1, __ATOMIC_RELAXED);
	return (uint64_t)(uintptr_t)argument;
}

static uint64_t sleep_long(void *argument)
{
	(void)argument;
	(void)sleep_until_ns(CAPOS_NEVER);
	return 1;
}

static uint64_t spin_long(void *argument)
{
	volatile uint64_t rounds = 0;

	(void)argument;
	while (rounds != CAPOS_NEVER)
		rounds = rounds + 1;
	return 1;
}

static uint64_t park_long(void *argument)
{
	static uint32_t word;

	(void)argument;
	while (park_while(&word, 0, CAPOS_NEVER))
		;
	return 1;
}

static uint64_t bell_long(void *argument)
{
	uint64_t bits;

	(void)argument;
	return notification_wait(sample[CAPOS_IFACE_notification], CAPOS_NEVER, &bits).status;
}

static uint64_t receive_long(void *argument)
{
	struct request request;

	(void)argument;
	return endpoint_recv(sample[CAPOS_IFACE_endpoint], CAPOS_NEVER, 0, &request).status;
}

static uint64_t call_long(void *argument)
{
	(void)argument;
	return endpoint_call(sample[CAPOS_IFACE_endpoint], PROOF_IFACE, 0, NULL, 0, NULL, 0).status;
}

static uint64_t ring_long(void *argument)
{
	(void)argument;
	return ring_enter(1, CAPOS_NEVER).status;
}

static void join(void)
{
	struct thread thread;
	uint64_t code = 0, cause = 0, before;

	insist(thread_start(&thread, give_back, (void *)12345));
	expect_good(thread_join(thread.handle, CAPOS_NEVER, &code, &cause), "join");
	tap_ok(code == 12345 && cause == CAPOS_EXIT_NORMAL, "exit code and cause");
	expect_good(thread_join(thread.handle, 0, &code, NULL), "join what has ended, without waiting");
	expect_good(thread_finish(&thread, CAPOS_NEVER, &code), "finish");
	insist(thread_start(&thread, sleep_long, NULL));
	FAILS(thread, join, WOULD_BLOCK, 0, "deadline 0", .handle = thread.handle);
	FAILS(thread, join, TIMED_OUT, 0, "a deadline in the past", .handle = thread.handle, .word = { 1 },
	      .deadline_ns = 1);
	before = now_ns() + 3 * MS;
	expect_status(thread_join(thread.handle, before, NULL, NULL), TIMED_OUT, "join with a deadline");
	tap_ok(now_ns() >= before, "is not early");
	expect_good(thread_terminate(thread.handle), "terminate");
	expect_good(thread_join(thread.handle, CAPOS_NEVER, NULL, &cause), "join of a terminated one");
	tap_ok(cause == CAPOS_EXIT_KILLED, "its cause: %s", exit_cause_name(cause));
	(void)thread_finish(&thread, CAPOS_NEVER, NULL);
}

#define JOINS 20u

/* Reaps JOINS completions: all with this status, words and data? */
static bool joins_end(uint16_t status, uint64_t data)
{
	bool good = true;

	for (unsigned i = 0; i < JOINS; i++) {
		struct capos_cqe done = { 0 };

		good = result_ok(ring_wait(&done, now_ns() + 5 * SECOND)) && done.user_data == data &&
		       result_of(done.result).status == status && good;
	}
	return good;
}

static void many_joins(void)
{
	struct usage before = usage_now();
	struct thread thread;
	capos_handle derived = 0;
	bool good = true;

	insist(thread_start(&thread, sleep_long, NULL));
	insist(cap_table_derive(known.caps, thread.handle, CAPOS_RIGHT_WAIT, 0, &derived));
	for (uint64_t i = 0; i < 2ull * JOINS; i++) {
		struct capos_sqe entry =
			RING_CALL(i % 2, thread, join, i % 2 ? derived : thread.handle, CAPOS_NEVER, 0, 0, 0, 0);

		good = result_ok(ring_submit_wait(&entry)) && good;
	}
	good = result_ok(ring_enter(0, 0)) && good;
	tap_ok(good && ring_ready() == 0, "%u joins wait, half of them through a derived capability", 2 * JOINS);
	expect_good(cap_table_revoke(known.caps, thread.handle), "revoke");
	tap_ok(joins_end(CAPOS_STATUS_REVOKED, 1) && ring_ready() == 0, "ends the derived half");
	expect_good(thread_terminate(thread.handle), "terminate");
	tap_ok(joins_end(CAPOS_STATUS_OK, 0), "ends the others");
	expect_good(thread_finish(&thread, CAPOS_NEVER, NULL), "join once more");
	drop(derived);
	tap_returns(before, "joins give everything back");
}

static void terminate_everywhere(void)
{
	const struct {
		const char *name;
		thread_function function;
		int wait;
	} kinds[] = {
		{ "sleeps", sleep_long, CAPOS_WAIT_SLEEP },
		{ "is parked", park_long, CAPOS_WAIT_PARK },
		{ "waits for a notification", bell_long, CAPOS_WAIT_NOTIFICATION },
		{ "receives", receive_long, CAPOS_WAIT_RECV },
		{ "calls", call_long, CAPOS_WAIT_CALL },
		{ "waits for its ring", ring_long, CAPOS_WAIT_RING },
		{ "runs", spin_long, -1 },
	};

	for (unsigned i = 0; i < COUNT_OF(kinds); i++) {
		struct thread thread;
		struct usage before = usage_now();
		char name[80];

		insist(thread_start(&thread, kinds[i].function, NULL));
		if (kinds[i].wait >= 0)
			tap_ok(becomes_true(waits_on(thread.handle) == kinds[i].wait), "a thread %s: %s",
			       kinds[i].name, wait_name((uint32_t)kinds[i].wait));
		else
			(void)sleep_ns(MS);
		fmt_buf(name, sizeof(name), "terminate one that %s", kinds[i].name);
		expect_good(thread_terminate(thread.handle), name);
		expect_good(thread_finish(&thread, now_ns() + 5 * SECOND, NULL), "it ends");
		tap_returns(before, "and gives everything back");
	}

	struct endpoint_info info = { 0 };

	(void)endpoint_info(sample[CAPOS_IFACE_endpoint], &info);
	tap_ok(info.callers_waiting == 0 && info.receivers_waiting == 0 && info.in_service == 0,
	       "no dead thread waits at the endpoint");
}

static void fault_endpoints(capos_handle thread)
{
	capos_handle weak = with_rights(sample[CAPOS_IFACE_endpoint], CAPOS_RIGHT_RECV), stale = stale_handle();
	capos_handle revoked = revoked_handle(sample[CAPOS_IFACE_endpoint]);

	FAILS(thread, set_fault_endpoint, INVALID_HANDLE, CAPOS_DETAIL_HANDLE, "a forged handle", .handle = thread,
	      .word = { FORGED_HANDLE });
	FAILS(thread, set_fault_endpoint, STALE_HANDLE, CAPOS_DETAIL_HANDLE, "a stale handle", .handle = thread,
	      .word = { stale });
	FAILS(thread, set_fault_endpoint, REVOKED, CAPOS_DETAIL_HANDLE, "a revoked handle", .handle = thread,
	      .word = { revoked });
	FAILS(thread, set_fault_endpoint, MISSING_RIGHTS, CAPOS_DETAIL_HANDLE, "no right to call", .handle = thread,
	      .word = { weak });
	FAILS(thread, set_fault_endpoint, WRONG_INTERFACE, CAPOS_DETAIL_HANDLE, "a timer", .handle = thread,
	      .word = { known.timer });
	drop(revoked);
	drop(weak);
}

/* Bytes of a set as a message. */
#define SET_BYTES(count) (2u + (count))

static void affinities(capos_handle thread)
{
	struct capos_cpu_set none = { 0 }, set = { 0 }, back, far = { .byte_count = CAPOS_CPU_SET_BYTES };
	struct capos_thread_info info = { 0 };
	uint32_t last = startup()->cpu_count - 1;

	set.byte[0] = 1;
	REFUSES(thread, set_affinity, CAPOS_THREAD_BAD_SET, 0, "half a count", .handle = thread, .message = &none,
		.bytes = 1);
	set.byte_count = 2;
	REFUSES(thread, set_affinity, CAPOS_THREAD_BAD_SET, 0, "a 0 at the end", .handle = thread, .message = &set,
		.bytes = SET_BYTES(2));
	REFUSES(thread, set_affinity, CAPOS_THREAD_BAD_SET, 0, "fewer bytes than counted", .handle = thread,
		.message = &set, .bytes = SET_BYTES(1));
	set.byte_count = 1;
	REFUSES(thread, set_affinity, CAPOS_THREAD_BAD_SET, 0, "more bytes than counted", .handle = thread,
		.message = &set, .bytes = SET_BYTES(2));
	set.byte_count = 0xffff;
	REFUSES(thread, set_affinity, CAPOS_THREAD_BAD_SET, 0, "65,535 bytes", .handle = thread, .message = &set,
		.bytes = SET_BYTES(1));
	far.byte[CAPOS_CPU_SET_BYTES - 1] = 0x80;
	REFUSES(thread, set_affinity, CAPOS_THREAD_BAD_CPU, 0, "no CPU", .handle = thread, .message = &none,
		.bytes = SET_BYTES(0));
	REFUSES(thread, set_affinity, CAPOS_THREAD_BAD_CPU, 0, "a CPU that is not there", .handle = thread,
		.message = &far, .bytes = SET_BYTES(CAPOS_CPU_SET_BYTES));
	set.byte_count = (uint16_t)(last / 8 + 1);
	set.byte[last / 8] |= (uint8_t)(1u << (last % 8));
	expect_good(thread_set_affinity(thread, &set), "the first and the last CPU");
	expect_good(thread_affinity(thread, &back), "what is set");
	tap_ok(memcmp(&back, &set, sizeof(set)) == 0, "is what was set");
	set = far;
	set.byte[0] = 1;
	expect_good(thread_set_affinity(thread, &set), "the first, and one that is not there");
	(void)thread_affinity(thread, &back);
	tap_ok(back.byte_count == 1 && back.byte[0] == 1, "which counts for nothing");
	(void)thread_info(thread, &info);
	tap_ok(info.pinned_cpu == (last > 0 ? 0 : CAPOS_CPU_ANY), "one CPU is what set_cpu sets");
	expect_good(thread_set_cpu(thread, CAPOS_CPU_ANY), "and free again");
	(void)thread_affinity(thread, &back);
	tap_ok(back.byte_count == last / 8 + 1, "on all CPUs");
}

static uint64_t where_it_is(void *argument)
{
	struct capos_thread_info info = { 0 };

	(void)argument;
	(void)thread_info(self()->handle, &info);
	return info.last_cpu + 1ull;
}

/* A set of CPUs from the first instruction on. */
static void created_within(void)
{
	struct capos_cpu_set set = { .byte_count = 0 }, far = { .byte_count = CAPOS_CPU_SET_BYTES };
	uint32_t last = startup()->cpu_count - 1;
	uint64_t entry = (uintptr_t)where_it_is, at = (uintptr_t)&set, code = 0, wrong = 0;
	struct thread thread;

	FAILS(thread_spawner, create, BAD_ADDRESS, 3, "a set in the kernel", .handle = known.threads,
	      .word = { entry, 0, 0, BAD_KERNEL, CAPOS_THREAD_CPU_SET, PAGE });
	FAILS(thread_spawner, create, BAD_ADDRESS, 3, "a set at 0", .handle = known.threads,
	      .word = { entry, 0, 0, 0, CAPOS_THREAD_CPU_SET, PAGE });
	REFUSES(thread_spawner, create, CAPOS_THREAD_BAD_CPU, 0, "an empty set", .handle = known.threads,
		.word = { entry, 0, 0, at, CAPOS_THREAD_CPU_SET, PAGE });
	set.byte_count = 1;
	REFUSES(thread_spawner, create, CAPOS_THREAD_BAD_SET, 0, "a set with a 0 at its end", .handle = known.threads,
		.word = { entry, 0, 0, at, CAPOS_THREAD_CPU_SET, PAGE });
	set.byte_count = CAPOS_CPU_SET_BYTES + 1;
	REFUSES(thread_spawner, create, CAPOS_THREAD_BAD_SET, 0, "a set of too many bytes", .handle = known.threads,
		.word = { entry, 0, 0, at, CAPOS_THREAD_CPU_SET, PAGE });
	far.byte[CAPOS_CPU_SET_BYTES - 1] = 0x80;
	REFUSES(thread_spawner, create, CAPOS_THREAD_BAD_CPU, 0, "a set of one CPU that is not there",
		.handle = known.threads, .word = { entry, 0, 0, (uintptr_t)&far, CAPOS_THREAD_CPU_SET, PAGE });
	for (uint32_t cpu = 0; cpu <= last && cpu < 16; cpu++) {
		memset(&set, 0, sizeof(set));
		cpu_set_add(&set, cpu);
		insist(thread_start_within(&thread, where_it_is, NULL, &set, 0));
		must(thread_finish(&thread, CAPOS_NEVER, &code));
		wrong += (uint32_t)code != cpu + 1;
	}
	tap_ok(wrong == 0, "a thread created within a set of one CPU is on that");
	cpu_set_add(&set, 0);
	cpu_set_add(&set, last);
	for (unsigned i = 0; i < 16; i++) {
		insist(thread_start_within(&thread, where_it_is, NULL, &set, 0));
		must(thread_finish(&thread, CAPOS_NEVER, &code));
		wrong += !cpu_set_has(&set, (uint32_t)code - 1);
	}
	tap_ok(wrong == 0, "... within a set of several, on one of them");
}

/* A process that stays on one CPU gives us its first thread. */
static void one_cpu(void)
{
	struct capos_spawn spawn;
	struct capos_cpu_set two = { .byte_count = 1, .byte = { 3 } };
	struct capos_thread_info info = { 0 };
	struct request request;
	capos_handle port = 0, process = 0, thread;
	uint32_t cpu = startup()->cpu_count - 1;

	insist(factory_endpoint(known.factory, PROOF_IFACE, &port));
	child_init(&spawn, "self");
	(void)spawn_grant(&spawn, "port", port, CAPOS_RIGHT_CALL);
	spawn.flags = CAPOS_SPAWN_ONE_CPU;
	spawn.cpu = cpu;
	insist(spawn_start(&spawn, &process, NULL));
	must(endpoint_recv(port, CAPOS_NEVER, 1, &request));
	thread = request.message.cap[0];
	(void)endpoint_reply(NULL);
	REFUSES(thread, set_cpu, CAPOS_THREAD_ONE_CPU, 0, "anywhere", .handle = thread, .word = { CAPOS_CPU_ANY });
	if (cpu > 0) {
		(void)thread_info(thread, &info);
		tap_ok(info.pinned_cpu == cpu, "its thread is where the process stays");
		REFUSES(thread, set_affinity, CAPOS_THREAD_ONE_CPU, 0, "two CPUs", .handle = thread, .message = &two,
			.bytes = SET_BYTES(1));
	} else {
		/* One CPU is all there is. */
		error_produced(&(struct attempt){ .iface = CAPOS_IFACE_thread,
						  .method = CAPOS_METHOD_thread_set_affinity,
						  .iresult = CAPOS_THREAD_ONE_CPU },
			       CAPOS_WAY_BOTH);
	}
	expect_good(thread_set_cpu(thread, cpu), "and there it may be set to");
	(void)process_kill(process, 0);
	(void)child_end(process);
	drop(thread);
	destroy(port);
}

static void bad_arguments(void)
{
	struct capos_thread_info info = { 0 };
	struct thread thread;
	struct usage before = usage_now();
	uint64_t entry = (uintptr_t)give_back, stack = ((uintptr_t)&info & ~15ull) - 8192;

	FAILS(thread_spawner, create, BAD_ARGUMENT, 0, "an entry in the kernel", .handle = known.threads,
	      .word = { BAD_KERNEL, stack, 0, CAPOS_CPU_ANY });
	FAILS(thread_spawner, create, BAD_ARGUMENT, 0, "a non-canonical entry", .handle = known.threads,
	      .word = { BAD_NONCANONICAL, stack, 0, CAPOS_CPU_ANY });
	FAILS(thread_spawner, create, BAD_ARGUMENT, 1, "a misaligned stack", .handle = known.threads,
	      .word = { entry, stack + 4, 0, CAPOS_CPU_ANY });
	FAILS(thread_spawner, create, BAD_ARGUMENT, 1, "a stack in the kernel", .handle = known.threads,
	      .word = { entry, BAD_KERNEL, 0, CAPOS_CPU_ANY });
	FAILS(thread_spawner, create, BAD_ARGUMENT, 3, "a CPU that is not there", .handle = known.threads,
	      .word = { entry, stack, 0, 1u << 20 });
	FAILS(thread_spawner, create, BAD_ARGUMENT, 4, "a flag", .handle = known.threads,
	      .word = { entry, stack, 0, CAPOS_CPU_ANY, 4 });
	FAILS(thread_spawner, create, BAD_ARGUMENT, 5, "a part of a page as stack", .handle = known.threads,
	      .word = { entry, 0, 0, CAPOS_CPU_ANY, 0, PAGE + 1 });
	FAILS(thread_spawner, create, BAD_ARGUMENT, 5, "a stack too large", .handle = known.threads,
	      .word = { entry, 0, 0, CAPOS_CPU_ANY, 0, CAPOS_STACK_BYTES_MAX + PAGE });
	created_within();
	tap_returns(before, "refused threads cost nothing");
	insist(thread_start(&thread, sleep_long, NULL));
	REFUSES(thread, exit, CAPOS_THREAD_NOT_SELF, 0, "another's handle", .handle = thread.handle, .word = { 1 });
	FAILS(thread, exit, BAD_ARGUMENT, 0, "a code over 32 bits", .handle = known.self, .word = { 1ull << 32 });
	REFUSES(thread, set_cpu, CAPOS_THREAD_BAD_CPU, 0, "no such CPU", .handle = thread.handle,
		.word = { 1u << 20 });
	expect_good(thread_set_cpu(thread.handle, startup()->cpu_count - 1), "set_cpu of a sleeping thread");
	(void)thread_info(thread.handle, &info);
	tap_ok(info.pinned_cpu == startup()->cpu_count - 1, "it is pinned there");
	expect_good(thread_set_cpu(thread.handle, CAPOS_CPU_ANY), "and free again");
	affinities(thread.handle);
	one_cpu();
	fault_endpoints(thread.handle);
	expect_good(thread_set_fault_endpoint(thread.handle, sample[CAPOS_IFACE_endpoint]), "a fault endpoint");
	expect_good(thread_set_fault_endpoint(thread.handle, 0), "and none");
	(void)thread_terminate(thread.handle);
	(void)thread_join(thread.handle, CAPOS_NEVER, NULL, NULL);
	FAILS(thread, set_fault_endpoint, DYING, 0, "an ended thread", .handle = thread.handle,
	      .word = { sample[CAPOS_IFACE_endpoint] });
	(void)thread_finish(&thread, CAPOS_NEVER, NULL);
}

static _Noreturn void sleep_for_ever(void)
{
	for (;;)
		(void)sleep_until_ns(CAPOS_NEVER);
}

static _Noreturn void spin_for_ever(void)
{
	for (;;)
		yield();
}

/* Is the whole stack there, zero but for what runs on it? */
static uint64_t looks_at_stack(void *argument)
{
	uint64_t end = (uintptr_t)self_page(), bytes = (uintptr_t)argument;
	const volatile uint64_t *word = (const volatile uint64_t *)(end - bytes);
	uint64_t found = 0;

	for (uint64_t i = 0; i < (bytes - 2048) / 8; i++)
		found |= word[i];
	return end % CAPOS_STACK_ALIGN != 0 || found != 0;
}

/* Stacks that the kernel makes: sizes, place, charge, guard page, and that they go with the thread. */
static void stacks(void)
{
	static const uint64_t bad[] = { 1, CAPOS_PAGE_BYTES - 1, CAPOS_STACK_BYTES_MAX + CAPOS_PAGE_BYTES, 1ull << 63,
					~0ull & ~(uint64_t)(CAPOS_PAGE_BYTES - 1) };
	uint64_t entry = (uintptr_t)give_back, page = 0, id = 0, at = 0, code = 1;
	struct usage before = usage_now();
	capos_handle thread = 0, memory = 0;
	struct thread whole;

	for (unsigned i = 0; i < COUNT_OF(bad); i++)
		expect_detail(thread_spawner_create(known.threads, entry, 0, 0, CAPOS_CPU_ANY, 0, bad[i], NULL, NULL,
						    NULL),
			      BAD_ARGUMENT, 5, "create with a bad stack size");
	for (unsigned i = 0; i < 64; i++) {
		struct capos_result r = thread_spawner_create(known.threads, BAD_NONCANONICAL, 0, 0, CAPOS_CPU_ANY, 0,
							      CAPOS_STACK_BYTES_MAX, NULL, NULL, NULL);

		if (r.status != CAPOS_STATUS_BAD_ARGUMENT || r.detail != 0)
			code = 0;
	}
	tap_ok(code == 1, "a bad entry is refused before a stack is made");
	tap_unchanged(before, "refused stacks cost nothing");

	{
		capos_handle made[64];
		struct capos_result r = { 0 };
		unsigned count = 0;

		for (; count < COUNT_OF(made); count++) {
			r = thread_spawner_create(known.threads, (uintptr_t)spin_for_ever, 0, 0, CAPOS_CPU_ANY, 0,
						  CAPOS_STACK_BYTES_MAX, &made[count], NULL, NULL);
			if (!result_ok(r))
				break;
		}
		tap_ok(is_detail(r, CAPOS_STATUS_QUOTA_EXCEEDED, CAPOS_QUOTA_MEMORY),
		       "stacks: quotaExceeded after %u", count);
		while (count-- > 0) {
			(void)thread_terminate(made[count]);
			(void)thread_join(made[count], CAPOS_NEVER, NULL, NULL);
			drop(made[count]);
		}
		tap_returns(before, "and all memory is back");
	}
	insist(factory_memory(known.factory, CAPOS_PAGE_BYTES, 0, &memory));
	expect_good(thread_spawner_create(known.threads, (uintptr_t)spin_for_ever, 7, 0, CAPOS_CPU_ANY, 0, 16 * PAGE,
					  &thread, &id, &page),
		    "create with a stack of 16 pages");
	tap_ok(page % CAPOS_STACK_ALIGN == 0, "it ends aligned, at the thread page");
	tap_ok(*(volatile uint64_t *)(page - 16 * PAGE) == 0, "its lowest page is there");
	expect_iresult(address_space_unmap(known.space, page - 16 * PAGE, 16 * PAGE), CAPOS_MAP_PINNED,
		       "it can't be unmapped");
	expect_iresult(address_space_unmap(known.space, page, CAPOS_PAGE_BYTES), CAPOS_MAP_PINNED,
		       "nor can the thread page");
	expect_iresult(address_space_unmap(known.space, page - 17 * PAGE, CAPOS_PAGE_BYTES), CAPOS_MAP_NOT_MAPPED,
		       "below it nothing is mapped");
	expect_iresult(address_space_map(known.space, memory, 0, page - CAPOS_PAGE_BYTES, CAPOS_PAGE_BYTES, 0, &at),
		       CAPOS_MAP_OVERLAP, "and nothing can be mapped over it");
	expect_good(thread_terminate(thread), "terminate");
	expect_good(thread_join(thread, CAPOS_NEVER, NULL, NULL), "join");
	expect_iresult(address_space_unmap(known.space, page - CAPOS_PAGE_BYTES, CAPOS_PAGE_BYTES),
		       CAPOS_MAP_NOT_MAPPED, "after it the stack is gone");
	drop(thread);
	(void)cap_table_destroy(known.caps, memory);
	drop(memory);
	tap_returns(before, "a stack's memory is back");
	insist(thread_start(&whole, looks_at_stack, (void *)(uintptr_t)(14 * CAPOS_PAGE_BYTES)));
	expect_good(thread_finish(&whole, CAPOS_NEVER, &code), "a thread that reads its whole stack");
	tap_ok(code == 0, "finds it zero");
}

#define IDLE_THREADS 96u
#define IDLE_BYTES_MAX 6144u

static uint64_t free_bytes(void)
{
	struct capos_memory_info memory = { 0 };

	insist(system_info_memory(known.system_info, &memory));
	return memory.free_bytes;
}

/* What the machine is short of while many threads sleep: thread pages, records, tables, slots, and what pools waste. */
static void idle_cost(void)
{
	static capos_handle threads[IDLE_THREADS];
	struct capos_machine_info machine = { 0 };
	uint64_t free = free_bytes(), each;
	uint64_t most; /* in the simulator the FPU image lies in the thread */

	insist(system_info_machine(known.system_info, &machine));
	most = IDLE_BYTES_MAX + (strcmp(machine.machine, "sim") == 0 ? 1024 : 0);

	for (unsigned i = 0; i < IDLE_THREADS; i++)
		insist(thread_spawner_create(known.threads, (uintptr_t)sleep_for_ever, 0, 0, CAPOS_CPU_ANY, 0, PAGE,
					     &threads[i], NULL, NULL));
	for (unsigned i = 0; i < IDLE_THREADS; i++)
		(void)becomes_true(waits_on(threads[i]) == CAPOS_WAIT_SLEEP);
	each = (free - free_bytes()) / IDLE_THREADS - PAGE;
	tap_ok(each <= most, "an idle thread costs %lu bytes beside its stack, at most %lu", (unsigned long)each,
	       (unsigned long)most);
	for (unsigned i = 0; i < IDLE_THREADS; i++) {
		(void)thread_terminate(threads[i]);
		(void)thread_join(threads[i], CAPOS_NEVER, NULL, NULL);
		drop(threads[i]);
	}
}

static uint64_t moves(void *argument)
{
	uint64_t wrong = 0;

	(void)argument;
	for (uint32_t round = 0; round < 3; round++) {
		for (uint32_t cpu = 0; cpu < startup()->cpu_count && cpu < 8; cpu++) {
			struct capos_thread_info info = { 0 };

			if (!result_ok(thread_set_cpu(self()->handle, cpu)) ||
			    !result_ok(thread_info(self()->handle, &info)) || info.last_cpu != cpu)
				wrong++;
		}
	}
	return wrong;
}

static void information(void)
{
	struct capos_thread_info info = { 0 };
	struct thread thread;
	capos_handle me = 0;
	uint64_t code = 1;

	expect_good(thread_spawner_self(known.threads, &me), "self");
	expect_good(thread_info(me, &info), "info of the caller");
	tap_ok(info.id == startup()->thread_id && info.process_id == startup()->process_id &&
		       info.state == CAPOS_THREAD_RUNNING,
	       "it names this thread, running (state %u)", info.state);
	drop(me);
	insist(thread_start(&thread, moves, NULL));
	expect_good(thread_finish(&thread, CAPOS_NEVER, &code), "a thread that moves itself over the CPUs");
	tap_ok(code == 0, "is on each after the call (%lu times not)", (unsigned long)code);
}

static void exhaustion(void)
{
	static struct thread threads[128];
	struct usage before = usage_now();
	struct capos_result r = { 0 };
	unsigned count = 0;
	bool good = true;

	for (; count < COUNT_OF(threads); count++) {
		r = insist_on(thread_start(&threads[count], sleep_long, NULL));
		if (!result_ok(r))
			break;
	}
	tap_ok(is_detail(r, CAPOS_STATUS_QUOTA_EXCEEDED, CAPOS_QUOTA_THREADS) && count > 4,
	       "threads: quotaExceeded after %u", count);
	FAILS(thread_spawner, create, QUOTA_EXCEEDED, CAPOS_QUOTA_THREADS, "no thread left", .handle = known.threads,
	      .word = { (uintptr_t)give_back, startup()->stack_base + PAGE, 0, CAPOS_CPU_ANY });
	fill_table();
	FAILS(thread_spawner, create, QUOTA_EXCEEDED, CAPOS_QUOTA_THREADS, "no thread left, and no slot either",
	      .handle = known.threads,
	      .word = { (uintptr_t)give_back, startup()->stack_base + PAGE, 0, CAPOS_CPU_ANY });
	unfill_table();
	for (unsigned i = 0; i < count; i++)
		good = result_ok(thread_terminate(threads[i].handle)) && good;
	for (unsigned i = 0; i < count; i++)
		good = result_ok(thread_finish(&threads[i], now_ns() + 10 * SECOND, NULL)) && good;
	tap_ok(good, "all of them end");
	tap_returns(before, "and give back threads, memory and slots");
	runs = 0;
	for (unsigned i = 0; i < 200; i++) {
		uint64_t code = 0;

		good = good && result_ok(insist_on(thread_start(&threads[0], give_back, (void *)(uintptr_t)i))) &&
		       result_ok(thread_finish(&threads[0], CAPOS_NEVER, &code)) && code == i;
	}
	tap_ok(good && runs == 200, "200 threads, one after the other");
	tap_returns(before, "leave nothing behind");
}

void test_thread(void)
{
	join();
	many_joins();
	terminate_everywhere();
	bad_arguments();
	stacks();
	idle_cost();
	information();
	exhaustion();
}
