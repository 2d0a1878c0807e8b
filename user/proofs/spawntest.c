/* SPDX-License-Identifier: MIT */
/*
 * run-spawn: processes from spawn to reap. Arguments, grants, quotas carved and returned, exit causes, wait, kill,
 * the capability table's exhaustion, images from memory objects, bad images, and hundreds of processes one after the
 * other that leave nothing behind.
 */
#include "proof.h"

#include "image.h"

#define LOOPS_QEMU 300u
#define LOOPS_SIM 60u

static void arguments_and_grants(void)
{
	struct capos_spawn spawn;
	capos_handle process = 0;
	char args[96];

	tap_ok(ended(child_run("exit 42"), CAPOS_EXIT_NORMAL, 42), "the exit code is main's");
	tap_ok(ended(child_run("args a bb ccc"), CAPOS_EXIT_NORMAL, 5 * 1000 + 5 + 4 + 6), "arguments come as words");
	memset(args, 'x', sizeof(args));
	memcpy(args, "args ", 5);
	args[95] = 0;
	tap_ok(ended(child_run(args), CAPOS_EXIT_NORMAL, 3 * 1000 + 5 + 4 + 90), "a full command line");
	child_init(&spawn, "caps");
	for (unsigned i = spawn.grant_count; i < CAPOS_SPAWN_GRANTS; i++) {
		char name[CAPOS_NAME_BYTES];

		fmt_buf(name, sizeof(name), "extra%u", i);
		(void)spawn_grant(&spawn, name, known.timer, CAPOS_RIGHT_READ);
	}
	expect_good(spawn_start(&spawn, &process, NULL), "ten grants");
	tap_ok(ended(child_end(process), CAPOS_EXIT_NORMAL, 6 + CAPOS_SPAWN_GRANTS), "arrive, besides the usual six");
	child_init(&spawn, "rights thing");
	(void)spawn_grant(&spawn, "thing", known.timer, CAPOS_RIGHT_READ | CAPOS_RIGHT_WAIT);
	insist(spawn_start(&spawn, &process, NULL));
	tap_ok(ended(child_end(process), CAPOS_EXIT_NORMAL, CAPOS_RIGHT_READ | CAPOS_RIGHT_WAIT),
	       "a grant brings the rights that it says");
}

static void causes(void)
{
	struct capos_spawn spawn;
	struct process_end end;
	capos_handle process = 0, session = 0;
	struct usage before = usage_now();

	end = child_run("trap");
	tap_ok(ended(end, CAPOS_EXIT_FAULT, end.code) && end.fault_cause == CAPOS_FAULT_PAGE &&
		       end.fault_address == 16 && end.fault_ip != 0,
	       "a fault: cause, address, instruction");
	end = child_run("threads 2 fault");
	tap_ok(ended(end, CAPOS_EXIT_FAULT, end.code), "a fault in another thread ends the process");
	tap_ok(ended(child_run("threads 3 end"), CAPOS_EXIT_NORMAL, 33), "the code is the first thread's");
	child_init(&spawn, "spin");
	insist(spawn_start(&spawn, &process, NULL));
	(void)sleep_ns(2 * MS);
	expect_good(process_kill(process, 9), "kill a process that runs");
	tap_ok(ended(child_end(process), CAPOS_EXIT_KILLED, 9), "ends it");
	child_init(&spawn, "threads 3 spin");
	insist(spawn_start(&spawn, &process, NULL));
	(void)sleep_ns(2 * MS);
	expect_good(process_kill(process, 10), "kill a process with four threads that run");
	tap_ok(ended(child_end(process), CAPOS_EXIT_KILLED, 10), "ends it");
	child_init(&spawn, "threads 3 sleep");
	insist(spawn_start(&spawn, &process, NULL));
	expect_good(process_kill(process, 11), "kill a process at once");
	tap_ok(ended(child_end(process), CAPOS_EXIT_KILLED, 11), "ends it");
	if (known.session_manager) {
		insist(session_manager_create(known.session_manager, 7, "tester", &session, NULL));
		child_init(&spawn, "exit 3");
		spawn.session = session;
		expect_good(spawn_start(&spawn, &process, NULL), "spawn in a session");
		tap_ok(ended(child_end(process), CAPOS_EXIT_NORMAL, 3), "runs");
		destroy(session);
	}
	tap_returns(before, "causes: everything came back");
}

static void families(void)
{
	struct capos_spawn spawn;
	capos_handle process = 0, bell = 0;
	uint64_t id = 0, bits = 0, count = 0, next = 0, orphans = 1;
	struct usage before = usage_now();

	insist(factory_notification(known.factory, &bell));
	spawn_init(&spawn, "child", "nest 4");
	spawn.memory_bytes = 6u << 20;
	spawn.slots = 256;
	spawn.threads = 8;
	spawn.processes = 4;
	(void)spawn_grant_own(&spawn, "process_spawner");
	(void)spawn_grant_own(&spawn, "timer");
	insist(spawn_start(&spawn, &process, NULL));
	tap_ok(ended(child_end(process), CAPOS_EXIT_NORMAL, 5), "a child of a child of a child of a child");
	copy_name(spawn.args, sizeof(spawn.args), "family");
	(void)spawn_grant(&spawn, "bell", bell, CAPOS_RIGHT_SIGNAL);
	insist(spawn_start(&spawn, &process, &id));
	expect_good(notification_wait(bell, now_ns() + 10 * SECOND, &bits), "a child has a child");
	expect_good(process_kill(process, 1), "kill a parent");
	tap_ok(ended(child_end(process), CAPOS_EXIT_KILLED, 1), "ends it");
	for (unsigned tries = 0; tries < 100 && orphans; tries++) {
		struct capos_process_info infos[PROCESS_INFOS_MAX];

		orphans = next = 0;
		do {
			if (!result_ok(system_info_processes(known.system_info, next, infos, &count, &next)))
				break;
			for (uint64_t i = 0; i < count; i++)
				orphans += infos[i].parent_id == id && infos[i].state < 3;
		} while (next);
		if (orphans)
			(void)sleep_ns(MS);
	}
	tap_ok(orphans == 0, "and its children with it");
	destroy(bell);
	tap_returns(before, "families: everything came back");
}

static uint64_t wait_for(void *argument)
{
	struct process_end end = { 0 };

	return result_ok(process_wait(*(capos_handle *)argument, CAPOS_NEVER, &end)) ? end.code : 1000;
}

static void waiting(void)
{
	struct capos_spawn spawn;
	struct thread threads[3];
	static capos_handle process;
	struct process_end end = { 0 };
	capos_handle weak;
	uint64_t code = 0, deadline;
	bool good = true;

	child_init(&spawn, "sleep");
	insist(spawn_start(&spawn, &process, NULL));
	for (unsigned i = 0; i < 3; i++)
		insist(thread_start(&threads[i], wait_for, &process));
	deadline = now_ns() + 3 * MS;
	expect_status(process_wait(process, deadline, &end), TIMED_OUT, "wait with a deadline");
	tap_ok(now_ns() >= deadline, "is not early");
	weak = with_rights(process, CAPOS_RIGHT_WAIT);
	expect_status(process_kill(weak, 1), MISSING_RIGHTS, "kill without the right");
	drop(weak);
	expect_good(process_kill(process, 55), "kill");
	for (unsigned i = 0; i < 3; i++)
		good = result_ok(thread_finish(&threads[i], CAPOS_NEVER, &code)) && code == 55 && good;
	tap_ok(good, "three threads that waited are told");
	drop(process);
}

/* Names of scripts: see names.md. */
static void table_exhaustion(void)
{
	static capos_handle handle[1024];
	struct usage before = usage_now();
	struct capos_spawn spawn;
	struct capos_result r = { 0 };
	unsigned count = 0;
	bool good;

	while (count < COUNT_OF(handle)) {
		r = insist_on(cap_table_copy(known.caps, known.timer, CAPOS_RIGHT_READ, &handle[count]));
		if (!result_ok(r))
			break;
		count++;
	}
	good = is_detail(r, CAPOS_STATUS_QUOTA_EXCEEDED, CAPOS_QUOTA_SLOTS);
	child_init(&spawn, "exit 0");
	r = insist_on(spawn_start(&spawn, NULL, NULL));
	good = is_detail(r, CAPOS_STATUS_QUOTA_EXCEEDED, CAPOS_QUOTA_SLOTS) && good;
	while (count > 0)
		drop(handle[--count]);
	good = tap_returns(before, "a spawn with a full table changes nothing") && good;
	good = ended(child_run("exit 0"), CAPOS_EXIT_NORMAL, 0) && good;
	if (good)
		print("[init] Spawn cap-table exhaustion check ok.\n");
	tap_ok(good, "spawn with a full capability table is refused, and works again after");
}

/* --- images ------------------------------------------------------------------------------------------------------- */

static struct capos_result spawn_image(const struct block *block, capos_handle *process)
{
	struct capos_spawn spawn;

	child_init(&spawn, "");
	memset(spawn.program, 0, sizeof(spawn.program));
	spawn.image = block->memory;
	return spawn_start(&spawn, process, NULL);
}

#define BAD_IMAGES(X)                                                                                                \
	X("no magic", head->ident[0] = 0)                                                                            \
	X("32 bits", head->ident[4] = 1)                                                                             \
	X("big-endian", head->ident[5] = 2)                                                                          \
	X("not position-independent", head->type = 2)                                                                \
	X("another machine", head->machine = 183)                                                                    \
	X("program headers behind the end", head->phoff = 1ull << 40)                                                \
	X("program headers that overflow", head->phoff = ~0ull - 8)                                                  \
	X("60,000 program headers", head->phnum = 60000)                                                             \
	X("no program header", head->phnum = 0)                                                                      \
	X("program headers of one byte", head->phentsize = 1)                                                        \
	X("an interpreter", segment_of(image, 2)->type = 3)                                                          \
	X("thread-local data", segment_of(image, 2)->type = 7)                                                       \
	X("a writable and executable segment", segment_of(image, 1)->flags = 7)                                      \
	X("a segment's data behind the end", segment_of(image, 1)->offset = 1ull << 30)                              \
	X("a segment whose end overflows",                                                                           \
	  segment_of(image, 1)->filesz = segment_of(image, 1)->memsz = ~0ull - 4095)                                 \
	X("a segment of a terabyte", segment_of(image, 1)->memsz = 1ull << 40)                                       \
	X("less memory than data", segment_of(image, 1)->memsz = 10)                                                 \
	X("a misaligned segment", segment_of(image, 1)->offset = TEXT_AT + 8)                                        \
	X("overlapping segments", segment_of(image, 1)->vaddr = 0)                                                   \
	X("a kernel address", segment_of(image, 1)->vaddr = 0xffffffff80000000)                                      \
	X("an entry outside", head->entry = 0x100000)                                                                \
	X("an entry in data", head->entry = 16)                                                                      \
	X("a note behind the end", segment_of(image, 2)->offset = 1ull << 33)

static void bad_images(struct block *block)
{
	uint8_t *image = block->address;
	struct elf_head *head = head_of(image);
	struct capos_result r;

#define X(what, change)                                                                                              \
	make_image(image);                                                                                           \
	change;                                                                                                      \
	r = insist_on(spawn_image(block, NULL));                                                                     \
	tap_ok(r.status == CAPOS_STATUS_OK && r.iresult == CAPOS_SPAWN_BAD_IMAGE && r.detail != 0,                   \
	       "an image with %s: %s, result %u, detail %u", what, status_name(r.status), r.iresult, r.detail);
	BAD_IMAGES(X)
#undef X
	make_image(image);
	((uint32_t *)(image + 512))[5] = 999;
	r = insist_on(spawn_image(block, NULL));
	tap_ok(r.status == CAPOS_STATUS_OK && r.iresult == CAPOS_SPAWN_ABI_MISMATCH && r.detail == 999,
	       "an image of another ABI version: result %u, detail %u", r.iresult, r.detail);
	make_image(image);
	segment_of(image, 2)->type = 0;
	r = insist_on(spawn_image(block, NULL));
	tap_ok(r.status == CAPOS_STATUS_OK && r.iresult == CAPOS_SPAWN_ABI_MISMATCH,
	       "an image without a note: result %u", r.iresult);
}

static void random_images(struct block *block)
{
	uint8_t *image = block->address;
	struct usage before = usage_now();
	unsigned refused = 0, started = 0;
	struct rng rng;

	rng_seed(&rng, 4711);
	for (unsigned i = 0; i < 200; i++) {
		capos_handle process = 0;

		make_image(image);
		for (uint64_t flips = 1 + rng_below(&rng, 4); flips > 0; flips--)
			image[rng_below(&rng, 256)] = (uint8_t)rng_next(&rng);
		if (result_ok(insist_on(spawn_image(block, &process)))) {
			started++;
			(void)process_kill(process, 1);
			(void)spawn_finish(process, CAPOS_NEVER, NULL);
		} else {
			refused++;
		}
	}
	tap_ok(refused + started == 200, "200 corrupted images: %u refused, %u started and killed", refused, started);
	tap_returns(before, "nothing is left of them");
}

static void images(void)
{
	struct block block;
	struct capos_spawn spawn;
	capos_handle process = 0, small = 0;
	struct usage before;

	insist(block_map(&block, IMAGE_BYTES));
	before = usage_now();
	make_image(block.address);
	if (on_simulator()) {
		tap_skip("a program from a memory object runs only on x86_64");
	} else {
		expect_good(spawn_image(&block, &process), "spawn from a memory object");
		struct process_end end = child_end(process);
		tap_ok(end.cause == CAPOS_EXIT_FAULT && end.fault_cause == CAPOS_FAULT_OPCODE,
		       "its own text ran: cause %lu, fault %lu", (unsigned long)end.cause,
		       (unsigned long)end.fault_cause);
	}
	bad_images(&block);
	tap_returns(before, "refused images change nothing");
	if (!on_simulator())
		random_images(&block);
	insist(factory_memory(known.factory, 1, 0, &small));
	child_init(&spawn, "");
	memset(spawn.program, 0, sizeof(spawn.program));
	spawn.image = small;
	expect_iresult(spawn_start(&spawn, NULL, NULL), CAPOS_SPAWN_BAD_IMAGE, "an image of zeroes");
	spawn.image = known.timer;
	tap_ok(!result_ok(insist_on(spawn_start(&spawn, NULL, NULL))), "a timer as image");
	spawn.image = FORGED_HANDLE;
	tap_ok(!result_ok(insist_on(spawn_start(&spawn, NULL, NULL))), "a forged image");
	spawn.image = with_rights(small, CAPOS_RIGHT_WRITE);
	tap_ok(!result_ok(insist_on(spawn_start(&spawn, NULL, NULL))), "an image without the read right");
	drop(spawn.image);
	destroy(small);
	block_unmap(&block);
}

/* --- many ----------------------------------------------------------------------------------------------------------- */

static void loops(void)
{
	unsigned count = on_simulator() ? LOOPS_SIM : LOOPS_QEMU, good = 0;
	struct usage before = usage_now();
	struct capos_memory_info first = { 0 }, last = { 0 };

	(void)system_info_memory(known.system_info, &first);
	for (unsigned i = 0; i < count; i++) {
		char args[32];

		fmt_buf(args, sizeof(args), "exit %u", i % 100);
		good += ended(child_run(args), CAPOS_EXIT_NORMAL, i % 100);
	}
	tap_ok(good == count, "%u processes, one after the other", count);
	tap_returns(before, "leave nothing behind in this process");
	bool back = becomes_true(result_ok(system_info_memory(known.system_info, &last)) &&
				 last.frames_free + 32 >= first.frames_free);

	tap_ok(back, "nor in the machine: %lu frames free before, %lu after", (unsigned long)first.frames_free,
	       (unsigned long)last.frames_free);
}

static void many_at_once(void)
{
	capos_handle process[12];
	struct usage before = usage_now();
	unsigned good = 0;

	for (unsigned round = 0; round < 4; round++) {
		for (unsigned i = 0; i < COUNT_OF(process); i++) {
			struct capos_spawn spawn;

			child_init(&spawn, i % 3 == 0 ? "exit 7" : i % 3 == 1 ? "spin" : "threads 2 sleep");
			insist(spawn_start(&spawn, &process[i], NULL));
		}
		for (unsigned i = 0; i < COUNT_OF(process); i++)
			if (i % 3 != 0)
				(void)process_kill(process[i], 8);
		for (unsigned i = 0; i < COUNT_OF(process); i++) {
			struct process_end end = child_end(process[i]);

			good += i % 3 == 0 ? ended(end, CAPOS_EXIT_NORMAL, 7) : ended(end, CAPOS_EXIT_KILLED, 8);
		}
	}
	tap_ok(good == 4 * COUNT_OF(process), "twelve at once, four times, some killed");
	tap_returns(before, "leave nothing behind");
}

int main(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	cap_need("process_spawner");
	tap_plan(0);
	grow_table();
	(void)child_run("exit 0");
	arguments_and_grants();
	causes();
	families();
	waiting();
	table_exhaustion();
	images();
	loops();
	many_at_once();
	return tap_done();
}
