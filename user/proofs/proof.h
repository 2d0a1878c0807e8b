/* SPDX-License-Identifier: MIT */
/*
 * What the proofs share: what the process uses, results against expectations, children.
 *
 * A proof that says "changes nothing" compares two usages. What another process's end gives back comes back a moment
 * after its wait ended, so usage_returns() waits for it.
 */
#ifndef PROOFS_PROOF_H
#define PROOFS_PROOF_H

#include <user/capos.h>

#define PROOF_UNUSED __attribute__((unused))
#define PROOF_IFACE (CAPOS_IFACE_USER + 0x300u)
#define PAGE ((uint64_t)CAPOS_PAGE_BYTES)
#define MS 1000000ull
#define SECOND 1000000000ull
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Methods of `child serve`, and of the proofs' own servers. */
enum proof_method { PROOF_ECHO = 0, PROOF_STOP = 1, PROOF_SUM = 2, PROOF_FAIL = 3, PROOF_DIE = 4, PROOF_KEEP = 5 };

/* Evaluates the condition every 200 us until it holds, 10 s at most. */
#define becomes_true(condition)                                                                                      \
	({                                                                                                           \
		bool holds_ = false;                                                                                 \
		for (uint64_t end_ns_ = now_ns() + 10 * SECOND; !(holds_ = (condition)) && now_ns() < end_ns_;)      \
			(void)sleep_ns(200000);                                                                      \
		holds_;                                                                                              \
	})

/* --- results ------------------------------------------------------------------------------------------------------ */

static PROOF_UNUSED bool is_status(struct capos_result r, unsigned status)
{
	return r.status == status && r.iresult == 0;
}
#define IS(r, status) is_status(r, CAPOS_STATUS_##status)

static PROOF_UNUSED bool is_detail(struct capos_result r, unsigned status, uint32_t detail)
{
	return is_status(r, status) && r.detail == detail;
}

static PROOF_UNUSED bool tap_result_at(const char *file, int line, bool passed, struct capos_result r,
				       const char *name)
{
	tap_ok_at(file, line, passed, "%s", name);
	if (!passed)
		tap_note("got status %s, result %u, detail %u", status_name(r.status), r.iresult, r.detail);
	return passed;
}

/* A call that failed changed nothing, so it can be made again: where the simulator lets allocations fail, good paths insist. */
#define insist_on(call)                                                                                              \
	({                                                                                                           \
		struct capos_result insisted_ = (call);                                                              \
		for (unsigned tries_ = 0; insisted_.status == CAPOS_STATUS_NO_MEMORY && tries_ < 1000; tries_++)     \
			insisted_ = (call);                                                                          \
		insisted_;                                                                                           \
	})
#define insist(call) must(insist_on(call))
/* Exactly this status, detail, or interface result; or one of two statuses, where either check may come first. */
#define expect_status(r, status, name)                                                                               \
	({                                                                                                           \
		struct capos_result r_ = insist_on(r);                                                               \
		tap_result_at(__FILE__, __LINE__, IS(r_, status), r_, name);                                         \
	})
#define expect_detail(r, status, detail, name)                                                                       \
	({                                                                                                           \
		struct capos_result r_ = insist_on(r);                                                               \
		tap_result_at(__FILE__, __LINE__, is_detail(r_, CAPOS_STATUS_##status, detail), r_, name);           \
	})
#define expect_either(r, one, other, name)                                                                           \
	({                                                                                                           \
		struct capos_result r_ = insist_on(r);                                                               \
		tap_result_at(__FILE__, __LINE__, IS(r_, one) || IS(r_, other), r_, name);                           \
	})
#define expect_iresult(r, value, name)                                                                               \
	({                                                                                                           \
		struct capos_result r_ = insist_on(r);                                                               \
		tap_result_at(__FILE__, __LINE__, r_.status == CAPOS_STATUS_OK && r_.iresult == (value), r_, name);  \
	})
#define expect_good(r, name)                                                                                         \
	({                                                                                                           \
		struct capos_result r_ = insist_on(r);                                                               \
		tap_result_at(__FILE__, __LINE__, result_ok(r_), r_, name);                                          \
	})

/* --- what the process uses ---------------------------------------------------------------------------------------- */

struct usage {
	uint64_t memory; /* without page tables, which stay for the next mapping */
	uint32_t slots, threads;
};

static PROOF_UNUSED bool own_info(struct capos_process_info *info)
{
	struct capos_process_info infos[PROCESS_INFOS_MAX];
	uint64_t count = 0, next = 0;

	if (!result_ok(system_info_processes(known.system_info, startup()->process_id, infos, &count, &next)) ||
	    count == 0 || infos[0].id != startup()->process_id)
		return false;
	*info = infos[0];
	return true;
}

static PROOF_UNUSED struct usage usage_now(void)
{
	struct capos_process_info info = { 0 };
	uint64_t mapped = 0, tables = 0, regions = 0;

	if (!own_info(&info) || !result_ok(address_space_info(known.space, &mapped, &tables, &regions)))
		panic("no information about this process");
	return (struct usage){ info.memory_used - tables, info.slots_used, info.threads };
}

static PROOF_UNUSED bool usage_is(struct usage was)
{
	struct usage is = usage_now();

	return is.memory == was.memory && is.slots == was.slots && is.threads == was.threads;
}

static PROOF_UNUSED void usage_note(struct usage was)
{
	struct usage is = usage_now();

	tap_note("memory %lu -> %lu, slots %u -> %u, threads %u -> %u", (unsigned long)was.memory,
		 (unsigned long)is.memory, was.slots, is.slots, was.threads, is.threads);
}

/* At once, or after a while, everything is as it was. */
static PROOF_UNUSED bool tap_unchanged_at(const char *file, int line, struct usage was, bool wait, const char *name)
{
	bool same = wait ? becomes_true(usage_is(was)) : usage_is(was);

	tap_ok_at(file, line, same, "%s", name);
	if (!same)
		usage_note(was);
	return same;
}
#define tap_unchanged(was, name) tap_unchanged_at(__FILE__, __LINE__, was, false, name)
#define tap_returns(was, name) tap_unchanged_at(__FILE__, __LINE__, was, true, name)

/* What a CPU spent in interrupts that the threads there did not cause. */
static PROOF_UNUSED uint64_t irq_ns_of(uint32_t cpu)
{
	struct capos_cpu_info info[CPU_INFOS_MAX] = { 0 };
	uint64_t total = 0, count = 0;

	if (!result_ok(system_info_cpus(known.system_info, cpu, info, &total, &count)) || count == 0)
		panic("no information about CPU %u", cpu);
	return info[0].irq_ns;
}

/* The simulator has no W^X, no privileged instructions and no page protection of its own. */
static PROOF_UNUSED bool on_simulator(void)
{
	struct capos_machine_info info = { 0 };

	(void)system_info_machine(known.system_info, &info);
	return strncmp(info.machine, "sim", 3) == 0;
}

/* --- handles ------------------------------------------------------------------------------------------------------ */

static PROOF_UNUSED void drop(capos_handle h)
{
	if (h)
		(void)cap_table_release(known.caps, h);
}

/* Ends the object, then gives the handle back. */
static PROOF_UNUSED void destroy(capos_handle h)
{
	if (h) {
		(void)cap_table_destroy(known.caps, h);
		(void)cap_table_release(known.caps, h);
	}
}

/* A capability to the same object with these rights only, on the same grant; 0 on failure. */
static PROOF_UNUSED capos_handle with_rights(capos_handle h, uint32_t rights)
{
	capos_handle out = 0;

	(void)cap_table_copy(known.caps, h, rights, &out);
	return out;
}

static PROOF_UNUSED capos_handle stale_handle(void)
{
	capos_handle h = 0;

	insist(factory_notification(known.factory, &h));
	destroy(h);
	return h;
}
#define FORGED_HANDLE CAPOS_HANDLE(4000000, 7)

/* Replies to a call that was received earlier at `port`. */
static PROOF_UNUSED struct capos_result reply_by_token(capos_handle port, uint64_t token, uint64_t word0)
{
	uint64_t word[CAPOS_WORDS] = { word0 };

	self_page()->reply_token = token;
	return call_words(port, CAPOS_CALL_WORD(0, 0, CAPOS_OP_REPLY, 1, CAPOS_CALL_TOKEN), word);
}

/* Fills the table of capabilities to the quota's end; and empties it of what filled it. */
static PROOF_UNUSED capos_handle filling[2048];
static PROOF_UNUSED unsigned filling_count;

static PROOF_UNUSED void fill_table(void)
{
	while (filling_count < COUNT_OF(filling) &&
	       result_ok(
		       insist_on(cap_table_copy(known.caps, known.timer, CAPOS_RIGHT_READ, &filling[filling_count]))))
		filling_count++;
}

static PROOF_UNUSED void unfill_table(void)
{
	while (filling_count > 0)
		drop(filling[--filling_count]);
}

/* So that the table has its final size, and comparisons of memory are exact. */
static PROOF_UNUSED void grow_table(void)
{
	fill_table();
	unfill_table();
}

/* --- children ----------------------------------------------------------------------------------------------------- */

#define CHILD_SLOTS 48u

static PROOF_UNUSED void child_init(struct capos_spawn *spawn, const char *args)
{
	spawn_init(spawn, "child", args);
	spawn->memory_bytes = 512u << 10;
	spawn->slots = CHILD_SLOTS;
	spawn->threads = 4;
	(void)spawn_grant(spawn, "timer", known.timer, CAPOS_RIGHT_READ | CAPOS_RIGHT_WAIT | CAPOS_RIGHT_GRANT);
}

static PROOF_UNUSED struct process_end child_end(capos_handle process)
{
	struct process_end end = { 0 };

	if (!result_ok(spawn_finish(process, CAPOS_NEVER, &end)))
		end.cause = 99;
	return end;
}

/* Runs `child ARGS` to its end. */
static PROOF_UNUSED struct process_end child_run(const char *args)
{
	struct capos_spawn spawn;
	capos_handle process = 0;

	child_init(&spawn, args);

	struct capos_result r = insist_on(spawn_start(&spawn, &process, NULL));

	if (!result_ok(r))
		return (struct process_end){ .cause = 98, .code = r.status };
	return child_end(process);
}

static PROOF_UNUSED bool ended(struct process_end end, uint64_t cause, uint64_t code)
{
	if (end.cause == cause && end.code == code)
		return true;
	tap_note("ended with cause %lu (%s), code %lu", (unsigned long)end.cause, exit_cause_name(end.cause),
		 (unsigned long)end.code);
	return false;
}

/* Starts it, and waits for its end: true when that was exit code 0. */
static PROOF_UNUSED bool ends_well(const struct capos_spawn *spawn)
{
	capos_handle process = 0;

	insist(spawn_start(spawn, &process, NULL));
	return ended(child_end(process), CAPOS_EXIT_NORMAL, 0);
}

/* What a program does when it is started with the mode's name as its first argument. */
struct mode {
	const char *name;
	int (*run)(int argc, char **argv);
};

/* NULL: none of them is asked for. */
static PROOF_UNUSED const struct mode *mode_asked(const struct mode *modes, size_t count, int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < count; i++)
		if (strcmp(argv[1], modes[i].name) == 0)
			return &modes[i];
	return NULL;
}

static PROOF_UNUSED uint64_t number_of(const char *text)
{
	uint64_t value = 0;

	for (; *text >= '0' && *text <= '9'; text++)
		value = value * 10 + (uint64_t)(*text - '0');
	return value;
}

/* A store that the compiler does not look at. */
static PROOF_UNUSED void poke(uintptr_t address)
{
	__asm__ volatile("" : "+r"(address));
	*(volatile uint32_t *)address = 1;
}

static PROOF_UNUSED uint32_t peek(uintptr_t address)
{
	__asm__ volatile("" : "+r"(address));
	return *(volatile uint32_t *)address;
}

/* State of a thread by its handle: enum capos_wait that it is blocked on, or -1. */
static PROOF_UNUSED int waits_on(capos_handle thread)
{
	struct capos_thread_info info = { 0 };

	if (!result_ok(thread_info(thread, &info)) || info.state != CAPOS_THREAD_BLOCKED)
		return -1;
	return (int)info.wait;
}

static PROOF_UNUSED uint64_t runtime_ns(capos_handle thread)
{
	struct capos_thread_info info = { 0 };

	must(thread_info(thread, &info));
	return info.runtime_ns;
}

/* Where it runs, or did last. */
static PROOF_UNUSED uint32_t runs_on(capos_handle thread)
{
	struct capos_thread_info info = { .last_cpu = CAPOS_CPU_ANY };

	(void)thread_info(thread, &info);
	return info.last_cpu;
}

/* How many of them wait on this (enum capos_wait). */
static PROOF_UNUSED unsigned how_many_wait(const struct thread *threads, unsigned count, int wait)
{
	unsigned blocked = 0;

	for (unsigned i = 0; i < count; i++)
		blocked += waits_on(threads[i].handle) == wait;
	return blocked;
}

/* A thread that stays. */
static PROOF_UNUSED uint64_t sleep_forever(void *argument)
{
	(void)argument;
	while (IS(sleep_until_ns(CAPOS_NEVER), OK))
		;
	return 0;
}

/* Time passes, on this CPU. */
static PROOF_UNUSED void burn(uint64_t ns)
{
	uint64_t end_ns = now_ns() + ns;

	while (now_ns() < end_ns)
		;
}

/* Two CPUs, or one. */
static PROOF_UNUSED struct capos_cpu_set set_of(uint32_t a, uint32_t b)
{
	struct capos_cpu_set set = { .byte_count = 0 };

	cpu_set_add(&set, a);
	cpu_set_add(&set, b);
	return set;
}

/* --- scheduling contexts ------------------------------------------------------------------------------------------ */

static PROOF_UNUSED struct capos_context_spec spec_of(uint64_t budget_ns, uint64_t period_ns)
{
	return (struct capos_context_spec){ .budget_ns = budget_ns,
					    .period_ns = period_ns,
					    .deadline_ns = period_ns };
}

static PROOF_UNUSED capos_handle context_made_from(capos_handle creator, struct capos_context_spec spec)
{
	capos_handle out = 0;

	insist(scheduling_context_create(creator, &spec, &out));
	return out;
}

static PROOF_UNUSED capos_handle context_made(struct capos_context_spec spec)
{
	return context_made_from(known.context, spec);
}

static PROOF_UNUSED struct capos_context_info context_info(capos_handle context)
{
	struct capos_context_info info = { 0 };

	must(scheduling_context_info(context, &info));
	return info;
}

/* --- groups of tests ----------------------------------------------------------------------------------------------- */

struct group {
	const char *name;
	void (*run)(void);
};

/* It leaves the process as it found it. */
static PROOF_UNUSED void run_group(const struct group *group)
{
	struct usage before;
	char name[64];

	tap_note("group %s", group->name);
	before = usage_now();
	group->run();
	fmt_buf(name, sizeof(name), "%s: everything was given back", group->name);
	tap_returns(before, name);
}

#endif
