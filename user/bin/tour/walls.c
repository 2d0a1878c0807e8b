/* SPDX-License-Identifier: MIT */
/* Stations about what is refused: handles, rights, memory, faults, quotas. */
#include "tour.h"

static const char *name_of(struct capos_result r)
{
	return status_name(r.status);
}

void tour_handles(void)
{
	capos_handle one = 0, derived = 0;
	struct capos_result forged = notification_signal(CAPOS_HANDLE(4000000, 7), 1), stale, weak, gone;

	must(factory_notification(known.factory, &one));
	must(cap_table_derive(known.caps, one, CAPOS_RIGHT_WAIT, 0, &derived));
	weak = notification_signal(derived, 1);
	must(cap_table_revoke(known.caps, one));
	gone = notification_poll(derived, NULL);
	must(cap_table_release(known.caps, one));
	stale = notification_signal(one, 1);
	(void)cap_table_release(known.caps, derived);
	show(forged.status == CAPOS_STATUS_INVALID_HANDLE && stale.status == CAPOS_STATUS_STALE_HANDLE, "handles",
	     "a forged one: %s, a released one: %s", name_of(forged), name_of(stale));
	show(weak.status == CAPOS_STATUS_MISSING_RIGHTS &&
		     (gone.status == CAPOS_STATUS_REVOKED || gone.status == CAPOS_STATUS_STALE_HANDLE),
	     "rights", "a right not given: %s, given and taken back: %s", name_of(weak), name_of(gone));
}

static bool memory_holds(const struct block *block)
{
	volatile uint32_t *words = block->address;

	for (size_t i = 0; i < block->bytes / 4; i += CAPOS_PAGE_BYTES / 4)
		if (words[i] != 0)
			return false;
	for (size_t i = 0; i < block->bytes / 4; i += CAPOS_PAGE_BYTES / 4)
		words[i] = (uint32_t)i + 1;
	for (size_t i = 0; i < block->bytes / 4; i += CAPOS_PAGE_BYTES / 4)
		if (words[i] != i + 1)
			return false;
	return true;
}

void tour_memory(void)
{
	struct block block;
	uint64_t address = 0;
	char why[RESULT_TEXT_BYTES];
	struct capos_result r = block_map(&block, 1 << 20);

	if (!result_ok(r)) {
		show(false, "memory", "a mapping of 1 MiB: %s", result_text(CAPOS_IFACE_address_space, r, why));
		return;
	}

	bool holds = memory_holds(&block);

	r = address_space_map(known.space, block.memory, 0, 0, CAPOS_PAGE_BYTES, CAPOS_MAP_WRITE | CAPOS_MAP_EXEC,
			      &address);
	show(holds && !result_ok(r), "memory", "256 pages %s; writable and executable at once: %s",
	     holds ? "mapped and used" : "do not hold what was written",
	     result_text(CAPOS_IFACE_address_space, r, why));
	block_unmap(&block);
}

static struct capos_result run(const char *program, const char *args, struct process_end *end)
{
	struct capos_spawn spawn;
	capos_handle process = 0;

	spawn_init(&spawn, program, args);
	spawn_grant_own(&spawn, "timer");

	struct capos_result r = spawn_start(&spawn, &process, NULL);

	return result_ok(r) ? spawn_finish(process, CAPOS_NEVER, end) : r;
}

void tour_programs(void)
{
	struct process_end end = { 0 };
	struct capos_spawn spawn;
	capos_handle process = 0;
	uint64_t pid = 0;
	char text[END_TEXT_BYTES], why[RESULT_TEXT_BYTES];
	struct capos_result r = run("hello", "from the tour", &end);

	show(result_ok(r) && end.cause == CAPOS_EXIT_NORMAL && end.code == 0, "program", "hello: %s",
	     result_ok(r) ? process_end_text(&end, text) : result_text(CAPOS_IFACE_process_spawner, r, why));
	spawn_init(&spawn, "spin", "0");
	spawn_grant_own(&spawn, "timer");
	r = spawn_start(&spawn, &process, &pid);
	if (result_ok(r)) {
		(void)sleep_ns(10000000);
		r = process_kill(process, 9);
	}
	if (result_ok(r))
		r = spawn_finish(process, CAPOS_NEVER, &end);
	show(result_ok(r) && end.cause == CAPOS_EXIT_KILLED && end.code == 9, "kill",
	     "spin, which never ends by itself: %s", process_end_text(&end, text));
	r = run("no-such-program", NULL, &end);
	show(!result_ok(r), "spawn", "a program that is not there: %s",
	     result_text(CAPOS_IFACE_process_spawner, r, why));
}

void tour_faults(void)
{
	const char *const kinds[] = { "null", "kernel", "divide", "opcode", "recursion" };

	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct process_end end = { 0 };
		char text[END_TEXT_BYTES];
		struct capos_result r = run("fault", kinds[i], &end);

		show(result_ok(r) && end.cause == CAPOS_EXIT_FAULT && end.fault_ip != 0, "fault", "%s: %s", kinds[i],
		     result_ok(r) ? process_end_text(&end, text) : name_of(r));
	}
}

void tour_quotas(void)
{
	capos_handle memory = 0, handles[64];
	char why[RESULT_TEXT_BYTES];
	struct capos_spawn spawn;
	struct capos_result r = factory_memory(known.factory, 1ull << 29, 0, &memory);
	unsigned made = 0;

	show(r.status == CAPOS_STATUS_QUOTA_EXCEEDED, "quota", "half a gigabyte of memory: %s",
	     result_text(CAPOS_IFACE_factory, r, why));
	for (; made < 64; made++)
		if (!result_ok(cap_table_copy(known.caps, known.timer, CAPOS_RIGHT_READ, &handles[made])))
			break;
	for (unsigned i = 0; i < made; i++)
		must(cap_table_release(known.caps, handles[i]));
	spawn_init(&spawn, "hello", NULL);
	spawn.slots = 1u << 30;
	r = spawn_start(&spawn, &memory, NULL);
	show(made == 64 && r.status == CAPOS_STATUS_QUOTA_EXCEEDED, "quota", "a child with a billion slots: %s",
	     result_text(CAPOS_IFACE_process_spawner, r, why));
	log_line(LOG_INFO, "was here");
	if (known.entropy) {
		uint64_t words[CAPOS_WORDS] = { 0 };

		r = entropy_read(known.entropy, 2, words);
		show((result_ok(r) && words[0] != words[1]) || r.status == CAPOS_STATUS_NOT_SUPPORTED, "entropy",
		     "%s", result_ok(r) ? "two words that differ" : name_of(r));
	}
}
