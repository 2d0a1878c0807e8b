/* SPDX-License-Identifier: MIT */
/* Processes: spawn with good and bad requests, info, kill, wait. What is heavier is in spawntest. */
#include "errors.h"

#include "../image.h"

/* A request with this many grants' bytes. */
#define REQUEST(spawn, grants_sent)                                                                                  \
	.handle = known.process_spawner, .message = &(spawn),                                                        \
	.bytes = (uint32_t)(offsetof(struct capos_spawn, grants) + (grants_sent) * sizeof(struct capos_grant))
#define FIELD(name) CAPOS_DETAIL_FIELD(name)

static struct capos_result raw_spawn(const struct capos_spawn *spawn, size_t bytes)
{
	message_put(spawn, bytes);
	CAPOS_CALL_REGS(regs, process_spawner, spawn, CAPOS_CALL_MESSAGE, known.process_spawner, 0);
	return result_of(regs.call);
}

static void life(void)
{
	struct capos_spawn spawn;
	struct capos_process_info info = { 0 };
	struct process_end end = { 0 };
	capos_handle process = 0;
	uint64_t id = 0, deadline;
	struct usage before = usage_now();

	child_init(&spawn, "sleep");
	expect_good(spawn_start(&spawn, &process, &id), "spawn");
	expect_good(process_info(process, &info), "its info");
	tap_ok(info.id == id && info.parent_id == startup()->process_id && info.state == 2 &&
		       strcmp(info.name, "child") == 0 && info.memory_limit == 512u << 10 && info.slots_limit == 48,
	       "names it, its parent, its limits");
	FAILS(process, wait, WOULD_BLOCK, 0, "deadline 0", .handle = process);
	FAILS(process, wait, TIMED_OUT, 0, "a deadline in the past", .handle = process, .word = { 1 },
	      .deadline_ns = 1);
	deadline = now_ns() + 3 * MS;
	expect_status(process_wait(process, deadline, &end), TIMED_OUT, "wait with a deadline");
	tap_ok(now_ns() >= deadline, "is not early");
	FAILS(process, kill, BAD_ARGUMENT, 0, "a code over 32 bits", .handle = process, .word = { 1ull << 32 });
	expect_good(process_kill(process, 77), "kill");
	expect_good(process_wait(process, CAPOS_NEVER, &end), "wait");
	tap_ok(ended(end, CAPOS_EXIT_KILLED, 77), "killed, with the code");
	expect_good(process_wait(process, 0, &end), "wait again");
	tap_ok(ended(end, CAPOS_EXIT_KILLED, 77), "says the same");
	(void)process_kill(process, 78);
	(void)process_wait(process, 0, &end);
	tap_ok(ended(end, CAPOS_EXIT_KILLED, 77), "killing the dead changes nothing");
	drop(process);
	tap_returns(before, "its quota came back");
}

#define REQUEST_SET(spawn, bytes_of_set)                                                                             \
	.handle = known.process_spawner, .message = &(spawn),                                                        \
	.bytes = (uint32_t)(offsetof(struct capos_spawn, grants) + sizeof(struct capos_grant) + (bytes_of_set))

/* A set of CPUs for the first thread. `good` has one grant. */
static void spawn_sets(const struct capos_spawn *good)
{
	struct capos_cpu_set set = { .byte_count = 1, .byte = { 1 } }, none = { .byte_count = 0 };
	struct capos_cpu_set far = { .byte_count = 40, .byte = { [39] = 0x80 } };
	struct capos_spawn spawn = *good;

	tap_ok(spawn_within(&spawn, &set) && !spawn_within(&spawn, &set), "one set");
	REFUSES(process_spawner, spawn, CAPOS_SPAWN_BAD_SET, 0, "a set less a byte", REQUEST_SET(spawn, 2));
	REFUSES(process_spawner, spawn, CAPOS_SPAWN_BAD_SET, 0, "a set and a byte", REQUEST_SET(spawn, 4));
	REFUSES(process_spawner, spawn, CAPOS_SPAWN_BAD_SET, 0, "no set", REQUEST_SET(spawn, 0));
	spawn.cpu = 0;
	FAILS(process_spawner, spawn, BAD_ARGUMENT, FIELD(cpu), "a CPU and a set", REQUEST_SET(spawn, 3));
	spawn.flags |= CAPOS_SPAWN_ONE_CPU;
	FAILS(process_spawner, spawn, BAD_ARGUMENT, FIELD(cpu), "one CPU and a set", REQUEST_SET(spawn, 3));
	spawn = *good;
	(void)spawn_within(&spawn, &none);
	REFUSES(process_spawner, spawn, CAPOS_SPAWN_NO_CPU, 0, "an empty set", REQUEST_SET(spawn, 2));
	spawn = *good;
	(void)spawn_within(&spawn, &far);
	REFUSES(process_spawner, spawn, CAPOS_SPAWN_NO_CPU, 0, "a set of one CPU that is not there",
		REQUEST_SET(spawn, 42));
	for (uint32_t cpu = 0; cpu < startup()->cpu_count && cpu < 8; cpu++) {
		capos_handle port = 0, process = 0;
		struct capos_thread_info info = { 0 };
		struct request request;

		set.byte[0] = (uint8_t)(1u << cpu);
		insist(factory_endpoint(known.factory, PROOF_IFACE, &port));
		child_init(&spawn, "self");
		(void)spawn_grant(&spawn, "port", port, CAPOS_RIGHT_CALL);
		tap_ok(spawn_within(&spawn, &set), "a process within CPU %u", cpu);
		insist(spawn_start(&spawn, &process, NULL));
		must(endpoint_recv(port, CAPOS_NEVER, 1, &request));
		must(thread_info(request.message.cap[0], &info));
		(void)endpoint_reply(NULL);
		tap_ok(info.last_cpu == cpu && info.pinned_cpu == (startup()->cpu_count > 1 ? cpu : CAPOS_CPU_ANY),
		       "its thread is there, and bound to it");
		(void)process_kill(process, 0);
		(void)child_end(process);
		drop(request.message.cap[0]);
		destroy(port);
	}
}

static void requests(void)
{
	struct capos_spawn good, spawn;
	struct usage before = usage_now();
	size_t head = offsetof(struct capos_spawn, grants);

	child_init(&good, "exit 0");
	spawn = good;
	copy_name(spawn.program, sizeof(spawn.program), "nosuch");
	REFUSES(process_spawner, spawn, CAPOS_SPAWN_UNKNOWN_PROGRAM, 0, "an unknown program", REQUEST(spawn, 1));
	spawn = good;
	memset(spawn.program, 'x', sizeof(spawn.program));
	FAILS(process_spawner, spawn, BAD_ARGUMENT, FIELD(program), "a name without an end", REQUEST(spawn, 1));
	spawn = good;
	spawn.image = sample[CAPOS_IFACE_memory_object];
	FAILS(process_spawner, spawn, BAD_ARGUMENT, FIELD(image), "a name and an image", REQUEST(spawn, 1));
	spawn = good;
	memset(spawn.args, 'x', sizeof(spawn.args));
	FAILS(process_spawner, spawn, BAD_ARGUMENT, FIELD(args), "arguments without an end", REQUEST(spawn, 1));
	spawn = good;
	spawn.flags = CAPOS_SPAWN_CONTEXT << 1;
	FAILS(process_spawner, spawn, BAD_ARGUMENT, FIELD(flags), "a flag", REQUEST(spawn, 1));
	spawn = good;
	spawn.cpu = 1u << 20;
	FAILS(process_spawner, spawn, BAD_ARGUMENT, FIELD(cpu), "a CPU that is not there", REQUEST(spawn, 1));
	spawn = good;
	spawn.flags = CAPOS_SPAWN_ONE_CPU;
	FAILS(process_spawner, spawn, BAD_ARGUMENT, FIELD(cpu), "one CPU, but none named", REQUEST(spawn, 1));
	spawn_sets(&good);
	spawn = good;
	spawn.grant_count = CAPOS_SPAWN_GRANTS + 1;
	FAILS(process_spawner, spawn, BAD_ARGUMENT, FIELD(grant_count), "a grant too many", REQUEST(spawn, 10));
	spawn.grant_count = ~0u;
	FAILS(process_spawner, spawn, BAD_ARGUMENT, FIELD(grant_count), "4 billion grants", REQUEST(spawn, 10));
	spawn = good;
	expect_status(raw_spawn(&spawn, head - 1), BAD_SIZE, "a request cut in its head");
	expect_status(raw_spawn(&spawn, head + sizeof(struct capos_grant) - 1), BAD_SIZE, "cut in a grant");
	spawn.grant_count = 2;
	expect_status(raw_spawn(&spawn, head + sizeof(struct capos_grant)), BAD_SIZE, "more grants said than sent");
	tap_returns(before, "refused requests change nothing");
}

/* The handles of the image and of the session, of each bad kind. */
static void named_handles(void)
{
	struct capos_spawn image, session;
	capos_handle memory = sample[CAPOS_IFACE_memory_object], stale = stale_handle(), gone;

	child_init(&session, "exit 0");
	image = session;
	memset(image.program, 0, sizeof(image.program));
	FAILS(process_spawner, spawn, INVALID_HANDLE, FIELD(image), "no program at all", REQUEST(image, 1));
	image.image = FORGED_HANDLE;
	FAILS(process_spawner, spawn, INVALID_HANDLE, FIELD(image), "a forged image", REQUEST(image, 1));
	image.image = stale;
	FAILS(process_spawner, spawn, STALE_HANDLE, FIELD(image), "a stale image", REQUEST(image, 1));
	image.image = known.timer;
	FAILS(process_spawner, spawn, WRONG_INTERFACE, FIELD(image), "a timer as image", REQUEST(image, 1));
	image.image = gone = revoked_handle(memory);
	FAILS(process_spawner, spawn, REVOKED, FIELD(image), "a revoked image", REQUEST(image, 1));
	drop(gone);
	image.image = gone = with_rights(memory, CAPOS_RIGHT_WRITE);
	FAILS(process_spawner, spawn, MISSING_RIGHTS, FIELD(image), "an image that cannot be read",
	      REQUEST(image, 1));
	drop(gone);
	image.image = memory;
	REFUSES(process_spawner, spawn, CAPOS_SPAWN_BAD_IMAGE, 0, "a page of zeros", REQUEST(image, 1));
	session.session = FORGED_HANDLE;
	FAILS(process_spawner, spawn, INVALID_HANDLE, FIELD(session), "a forged session", REQUEST(session, 1));
	session.session = stale;
	FAILS(process_spawner, spawn, STALE_HANDLE, FIELD(session), "a stale session", REQUEST(session, 1));
	session.session = known.timer;
	FAILS(process_spawner, spawn, WRONG_INTERFACE, FIELD(session), "a timer as session", REQUEST(session, 1));
	session.session = gone = revoked_handle(sample[CAPOS_IFACE_user_session]);
	FAILS(process_spawner, spawn, REVOKED, FIELD(session), "a revoked session", REQUEST(session, 1));
	drop(gone);
}

/* An image that is good but for the ABI that it was made for. */
static void other_abi(void)
{
	struct capos_spawn spawn;
	struct block block;

	insist(block_map(&block, IMAGE_BYTES));
	make_image(block.address);
	((uint32_t *)((uintptr_t)block.address + 512))[5] = CAPOS_ABI_VERSION + 1;
	child_init(&spawn, "");
	memset(spawn.program, 0, sizeof(spawn.program));
	spawn.image = block.memory;
	REFUSES(process_spawner, spawn, CAPOS_SPAWN_ABI_MISMATCH, CAPOS_ABI_VERSION + 1, "the next ABI",
		REQUEST(spawn, 1));
	block_unmap(&block);
}

static void grants(void)
{
	struct capos_spawn good, spawn;
	struct usage before = usage_now();
	capos_handle ungrantable = with_rights(known.timer, CAPOS_RIGHT_READ), stale = stale_handle();
	struct {
		const char *what;
		capos_handle handle;
		uint32_t rights;
	} bad[] = {
		{ "handle 0", 0, 1 },
		{ "a forged handle", FORGED_HANDLE, 1 },
		{ "a stale handle", stale, 1 },
		{ "rights that it has not", known.timer, CAPOS_RIGHT_WRITE },
		{ "unknown rights", known.timer, 1u << 20 },
		{ "a handle without the grant right", ungrantable, CAPOS_RIGHT_READ },
	};

	child_init(&good, "exit 0");
	for (unsigned i = 0; i < COUNT_OF(bad); i++) {
		spawn = good;
		spawn.grants[1] =
			(struct capos_grant){ .name = "x", .handle = bad[i].handle, .rights = bad[i].rights };
		spawn.grant_count = 2;

		REFUSES(process_spawner, spawn, CAPOS_SPAWN_BAD_GRANT, 1, bad[i].what, REQUEST(spawn, 2));
	}
	spawn = good;
	spawn.grants[0].flags = 1;
	REFUSES(process_spawner, spawn, CAPOS_SPAWN_BAD_GRANT, 0, "a flag", REQUEST(spawn, 1));
	spawn = good;
	memset(spawn.grants[0].name, 'y', sizeof(spawn.grants[0].name));
	REFUSES(process_spawner, spawn, CAPOS_SPAWN_BAD_GRANT, 0, "a name without an end", REQUEST(spawn, 1));
	drop(ungrantable);
	tap_unchanged(before, "refused grants change nothing");
}

/* Whatever the start of a child has no memory for, it is the memory that is named: not its thread, of which it has just one. */
static void memory_names_memory(struct capos_spawn spawn)
{
	struct capos_result r = { 0 };
	capos_handle process = 0;
	unsigned refused = 0;

	spawn.threads = 1;
	for (spawn.memory_bytes = PAGE; !result_ok(insist_on(spawn_start(&spawn, &process, NULL)));)
		spawn.memory_bytes += PAGE;
	(void)child_end(process);
	/* The last of it by small steps: what is made last is small. */
	for (spawn.memory_bytes -= PAGE; refused == 0 || !result_ok(r); spawn.memory_bytes += 64) {
		r = insist_on(spawn_start(&spawn, &process, NULL));
		if (!result_ok(r) && !is_detail(r, CAPOS_STATUS_QUOTA_EXCEEDED, CAPOS_QUOTA_MEMORY))
			break;
		refused++;
	}
	if (result_ok(r))
		(void)child_end(process);
	tap_result_at(__FILE__, __LINE__, result_ok(r), r, "a little too little memory for a child");
}

static void quotas(void)
{
	struct capos_spawn good, spawn;
	struct usage before = usage_now();

	child_init(&good, "exit 0");
	spawn = good;
	spawn.memory_bytes = 1ull << 40;
	FAILS(process_spawner, spawn, QUOTA_EXCEEDED, CAPOS_QUOTA_MEMORY, "a terabyte for a child",
	      REQUEST(spawn, 1));
	spawn.memory_bytes = ~0ull;
	expect_detail(spawn_start(&spawn, NULL, NULL), QUOTA_EXCEEDED, CAPOS_QUOTA_MEMORY,
		      "2^64 - 1 bytes for a child");
	spawn.memory_bytes = 4096;
	FAILS(process_spawner, spawn, QUOTA_EXCEEDED, CAPOS_QUOTA_MEMORY, "too little memory to load the program",
	      REQUEST(spawn, 1));
	spawn = good;
	spawn.slots = 1u << 30;
	FAILS(process_spawner, spawn, QUOTA_EXCEEDED, CAPOS_QUOTA_SLOTS, "a billion slots", REQUEST(spawn, 1));
	spawn = good;
	spawn.slots = 2;
	expect_detail(spawn_start(&spawn, NULL, NULL), QUOTA_EXCEEDED, CAPOS_QUOTA_SLOTS,
		      "fewer slots than the start needs");
	spawn = good;
	spawn.threads = 1u << 30;
	FAILS(process_spawner, spawn, QUOTA_EXCEEDED, CAPOS_QUOTA_THREADS, "a billion threads", REQUEST(spawn, 1));
	spawn = good;
	spawn.threads = 0;
	FAILS(process_spawner, spawn, QUOTA_EXCEEDED, CAPOS_QUOTA_THREADS, "no thread at all", REQUEST(spawn, 1));
	spawn.slots = 0;
	spawn.memory_bytes = 8 * PAGE; /* for the process, but not for its program */
	FAILS(process_spawner, spawn, QUOTA_EXCEEDED, CAPOS_QUOTA_MEMORY,
	      "too little memory, and nothing else either", REQUEST(spawn, 1));
	memory_names_memory(good);
	spawn = good;
	spawn.processes = 1u << 30;
	FAILS(process_spawner, spawn, QUOTA_EXCEEDED, CAPOS_QUOTA_PROCESSES, "a billion children", REQUEST(spawn, 1));
	tap_returns(before, "refused children cost nothing");
	tap_ok(ended(child_run("fill"), CAPOS_EXIT_NORMAL, 0), "a child fills its own quotas and frees them again");
	tap_returns(before, "its quota came back whole");
}

static void exhaustion(void)
{
	capos_handle process[64];
	struct capos_spawn spawn;
	struct usage before = usage_now();
	struct capos_result r = { 0 };
	unsigned count = 0;
	bool good = true;

	child_init(&spawn, "sleep");
	spawn.memory_bytes = 320u << 10;
	spawn.slots = 16;
	spawn.threads = 1;
	for (; count < COUNT_OF(process); count++) {
		r = insist_on(spawn_start(&spawn, &process[count], NULL));
		if (!result_ok(r))
			break;
	}
	tap_ok(is_detail(r, CAPOS_STATUS_QUOTA_EXCEEDED, CAPOS_QUOTA_PROCESSES) && count > 0,
	       "processes: quotaExceeded after %u", count);
	for (unsigned i = 0; i < count; i++)
		good = result_ok(process_kill(process[i], i)) && good;
	for (unsigned i = 0; i < count; i++)
		good = ended(child_end(process[i]), CAPOS_EXIT_KILLED, i) && good;
	tap_ok(good, "all of them are killed");
	tap_returns(before, "and give everything back");
	tap_ok(ended(child_run("exit 5"), CAPOS_EXIT_NORMAL, 5), "the next child starts");
}

void test_process(void)
{
	char name[64] = "";
	uint64_t there = 0, count = 0;
	bool found = false;

	while (count < 500 && result_ok(process_spawner_programs(known.process_spawner, count, &there, name)) &&
	       there) {
		found = found || strcmp(name, "child") == 0;
		count++;
	}
	tap_ok(found, "the list of programs has this proof's child");
	expect_good(process_spawner_programs(known.process_spawner, CAPOS_NEVER, &there, name), "program 2^64 - 1");
	tap_ok(there == 0, "is not there");
	life();
	requests();
	named_handles();
	other_abi();
	grants();
	quotas();
	exhaustion();
}
