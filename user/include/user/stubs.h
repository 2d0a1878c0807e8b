/* SPDX-License-Identifier: MIT */
/*
 * One function for every method of capos/iface.h, named interface_method. The first argument is the handle; results
 * beyond struct capos_result go to pointers, which may be NULL and are stored only on success.
 * Records that travel as message bytes are copied out of the thread page.
 */
#ifndef USER_STUBS_H
#define USER_STUBS_H

#include <user/mem.h>
#include <user/thread.h>

/* --- message area ------------------------------------------------------------------------------------------------- */

/* Puts bytes into the calling thread's message area, to go along with the next call. */
static inline void message_put(const void *bytes, size_t n)
{
	struct capos_thread_page *page = self_page();

	memcpy(page->message, bytes, n < CAPOS_MESSAGE_BYTES ? n : CAPOS_MESSAGE_BYTES);
	page->send_bytes = (uint32_t)n;
}

/* Copies what the last reply brought, at most n bytes; the rest of `bytes` becomes 0. Returns the bytes delivered. */
static inline size_t message_get(void *bytes, size_t n)
{
	const struct capos_thread_page *page = self_page();
	size_t delivered = page->recv_bytes < CAPOS_MESSAGE_BYTES ? page->recv_bytes : CAPOS_MESSAGE_BYTES;
	size_t copied = delivered < n ? delivered : n;

	memcpy(bytes, page->message, copied);
	memset((char *)bytes + copied, 0, n - copied);
	return delivered;
}

static inline void out_word_(struct capos_result r, uint64_t *out, uint64_t value)
{
	if (out && result_ok(r))
		*out = value;
}

/* A stub without results; with one result word. Up to four words in: missing ones are 0. */
#define SHORT_(iface, method, flags, h, w0, w1, w2, w3, ...)                                                         \
	capos_call_short(h, w0, w1, w2, w3, CAPOS_METHOD_WORD(iface, method, flags))
#define STUB_RETURN_(iface, method, flags, h, ...)                                                                   \
	return result_of(SHORT_(iface, method, flags, h, __VA_ARGS__, 0, 0, 0, 0).result)
#define STUB_RETURN1_(out, iface, method, flags, h, ...)                                                             \
	struct capos_short back = SHORT_(iface, method, flags, h, __VA_ARGS__, 0, 0, 0, 0);                          \
	struct capos_result r = result_of(back.result);                                                              \
	out_word_(r, out, back.word0);                                                                               \
	return r

/* --- cap_table ---------------------------------------------------------------------------------------------------- */

static inline struct capos_result cap_table_nop(capos_handle h)
{
	STUB_RETURN_(cap_table, nop, 0, h, 0);
}

static inline struct capos_result cap_table_derive(capos_handle h, capos_handle of, uint32_t rights, uint64_t badge,
						   capos_handle *out)
{
	STUB_RETURN1_(out, cap_table, derive, 0, h, of, rights, badge);
}

static inline struct capos_result cap_table_copy(capos_handle h, capos_handle of, uint32_t rights, capos_handle *out)
{
	STUB_RETURN1_(out, cap_table, copy, 0, h, of, rights);
}

static inline struct capos_result cap_table_release(capos_handle h, capos_handle which)
{
	STUB_RETURN_(cap_table, release, 0, h, which);
}

static inline struct capos_result cap_table_revoke(capos_handle h, capos_handle which)
{
	STUB_RETURN_(cap_table, revoke, 0, h, which);
}

static inline struct capos_result cap_table_destroy(capos_handle h, capos_handle which)
{
	STUB_RETURN_(cap_table, destroy, 0, h, which);
}

static inline struct capos_result cap_table_info(capos_handle h, capos_handle which, uint32_t *iface,
						 uint32_t *rights, uint64_t *badge)
{
	CAPOS_CALL_REGS(regs, cap_table, info, 0, h, which);
	struct capos_result r = result_of(regs.call);

	if (iface && result_ok(r))
		*iface = (uint32_t)regs.word[0];
	if (rights && result_ok(r))
		*rights = (uint32_t)regs.word[1];
	out_word_(r, badge, regs.word[2]);
	return r;
}

#define CAP_RECORDS_MAX (CAPOS_MESSAGE_BYTES / sizeof(struct capos_cap_record))
/* records: CAP_RECORDS_MAX of them. *next == 0: that was all. */
static inline struct capos_result cap_table_list(capos_handle h, uint64_t first_slot,
						 struct capos_cap_record *records, uint64_t *count, uint64_t *next)
{
	CAPOS_CALL_REGS(regs, cap_table, list, 0, h, first_slot);
	struct capos_result r = result_of(regs.call);

	if (result_ok(r))
		message_get(records, CAP_RECORDS_MAX * sizeof(*records));
	out_word_(r, count, regs.word[0]);
	out_word_(r, next, regs.word[1]);
	return r;
}

/* --- process, process_spawner ------------------------------------------------------------------------------------- */

struct process_end {
	uint64_t cause; /* enum capos_exit_cause */
	uint64_t code;
	uint64_t fault_cause;
	uint64_t fault_address;
	uint64_t fault_ip;
};

static inline struct capos_result process_info(capos_handle h, struct capos_process_info *info)
{
	CAPOS_CALL_REGS(regs, process, info, 0, h, 0);
	struct capos_result r = result_of(regs.call);

	if (result_ok(r))
		message_get(info, sizeof(*info));
	return r;
}

static inline struct capos_result process_kill(capos_handle h, uint64_t code)
{
	STUB_RETURN_(process, kill, 0, h, code);
}

static inline struct capos_result process_bind_context(capos_handle h, capos_handle context, uint64_t thread_id)
{
	STUB_RETURN_(process, bind_context, 0, h, context, thread_id);
}

static inline struct capos_result process_wait(capos_handle h, uint64_t deadline_ns, struct process_end *end)
{
	CAPOS_CALL_REGS(regs, process, wait, 0, h, deadline_ns);
	struct capos_result r = result_of(regs.call);

	if (end && result_ok(r))
		*end = (struct process_end){ regs.word[0], regs.word[1], regs.word[2], regs.word[3], regs.word[4] };
	return r;
}

static inline struct capos_result process_spawner_spawn(capos_handle h, const struct capos_spawn *spawn,
							capos_handle *process, uint64_t *process_id)
{
	uint32_t grants = spawn->grant_count < CAPOS_SPAWN_GRANTS ? spawn->grant_count : CAPOS_SPAWN_GRANTS;

	size_t bytes = offsetof(struct capos_spawn, grants) + grants * sizeof(struct capos_grant);

	if (spawn->flags & CAPOS_SPAWN_CPU_SET) {
		uint16_t set_bytes;

		memcpy(&set_bytes, (const char *)spawn + bytes, sizeof(set_bytes));
		bytes += sizeof(set_bytes) + set_bytes;
	}
	message_put(spawn, bytes < sizeof(*spawn) ? bytes : sizeof(*spawn));
	CAPOS_CALL_REGS(regs, process_spawner, spawn, CAPOS_CALL_MESSAGE, h, 0);
	struct capos_result r = result_of(regs.call);

	out_word_(r, process, regs.word[0]);
	out_word_(r, process_id, regs.word[1]);
	return r;
}

/* *there: 0 at the end. name: 64 bytes. */
static inline struct capos_result process_spawner_programs(capos_handle h, uint64_t index, uint64_t *there,
							   char *name)
{
	CAPOS_CALL_REGS(regs, process_spawner, programs, 0, h, index);
	struct capos_result r = result_of(regs.call);

	if (result_ok(r)) {
		message_get(name, 64);
		name[63] = 0;
	}
	out_word_(r, there, regs.word[0]);
	return r;
}

/* --- thread, thread_spawner --------------------------------------------------------------------------------------- */

static inline struct capos_result thread_exit(capos_handle h, uint64_t code)
{
	STUB_RETURN_(thread, exit, 0, h, code);
}

static inline struct capos_result thread_join(capos_handle h, uint64_t deadline_ns, uint64_t *code, uint64_t *cause)
{
	CAPOS_CALL_REGS(regs, thread, join, 0, h, deadline_ns);
	struct capos_result r = result_of(regs.call);

	out_word_(r, code, regs.word[0]);
	out_word_(r, cause, regs.word[1]);
	return r;
}

static inline struct capos_result thread_terminate(capos_handle h)
{
	STUB_RETURN_(thread, terminate, 0, h, 0);
}

static inline struct capos_result thread_info(capos_handle h, struct capos_thread_info *info)
{
	CAPOS_CALL_REGS(regs, thread, info, 0, h, 0);
	struct capos_result r = result_of(regs.call);

	if (result_ok(r))
		message_get(info, sizeof(*info));
	return r;
}

static inline struct capos_result thread_set_fault_endpoint(capos_handle h, capos_handle endpoint)
{
	STUB_RETURN_(thread, set_fault_endpoint, 0, h, endpoint);
}

static inline struct capos_result thread_set_cpu(capos_handle h, uint32_t cpu)
{
	STUB_RETURN_(thread, set_cpu, 0, h, cpu);
}

static inline struct capos_result thread_set_affinity(capos_handle h, const struct capos_cpu_set *set)
{
	message_put(set, sizeof(set->byte_count) + set->byte_count);
	STUB_RETURN_(thread, set_affinity, CAPOS_CALL_MESSAGE, h, 0);
}

static inline struct capos_result thread_affinity(capos_handle h, struct capos_cpu_set *set)
{
	CAPOS_CALL_REGS(regs, thread, affinity, 0, h, 0);
	struct capos_result r = result_of(regs.call);

	if (result_ok(r))
		message_get(set, sizeof(*set));
	return r;
}

/* The bare method; thread_start() of thread.h is what a program wants. */
static inline struct capos_result thread_spawner_create(capos_handle h, uintptr_t entry, uintptr_t stack_pointer,
							uint64_t argument, uint64_t cpu, uint32_t flags,
							uint64_t stack_bytes, capos_handle *thread, uint64_t *id,
							uint64_t *page)
{
	CAPOS_CALL_REGS(regs, thread_spawner, create, 0, h, entry, stack_pointer, argument, cpu, flags, stack_bytes);
	struct capos_result r = result_of(regs.call);

	out_word_(r, thread, regs.word[0]);
	out_word_(r, id, regs.word[1]);
	out_word_(r, page, regs.word[2]);
	return r;
}

static inline struct capos_result thread_spawner_self(capos_handle h, capos_handle *out)
{
	STUB_RETURN1_(out, thread_spawner, self, 0, h, 0);
}

/* --- time --------------------------------------------------------------------------------------------------------- */

static inline struct capos_result timer_now(capos_handle h, uint64_t *now_ns)
{
	STUB_RETURN1_(now_ns, timer, now, 0, h, 0);
}

static inline struct capos_result timer_sleep(capos_handle h, uint64_t deadline_ns)
{
	STUB_RETURN_(timer, sleep, 0, h, deadline_ns);
}

static inline struct capos_result wall_clock_now(capos_handle h, uint64_t *utc_ns)
{
	STUB_RETURN1_(utc_ns, wall_clock, now, 0, h, 0);
}

/* --- notification, factory, park_space, endpoint ------------------------------------------------------------------ */

static inline struct capos_result notification_signal(capos_handle h, uint64_t bits)
{
	STUB_RETURN_(notification, signal, 0, h, bits);
}

static inline struct capos_result notification_wait(capos_handle h, uint64_t deadline_ns, uint64_t *bits)
{
	STUB_RETURN1_(bits, notification, wait, 0, h, deadline_ns);
}

static inline struct capos_result notification_poll(capos_handle h, uint64_t *bits)
{
	STUB_RETURN1_(bits, notification, poll, 0, h, 0);
}

static inline struct capos_result factory_endpoint(capos_handle h, uint32_t iface, capos_handle *out)
{
	STUB_RETURN1_(out, factory, endpoint, 0, h, iface);
}

static inline struct capos_result factory_notification(capos_handle h, capos_handle *out)
{
	STUB_RETURN1_(out, factory, notification, 0, h, 0);
}

static inline struct capos_result factory_memory(capos_handle h, uint64_t bytes, uint64_t flags, capos_handle *out)
{
	STUB_RETURN1_(out, factory, memory, 0, h, bytes, flags);
}

static inline struct capos_result factory_park_space(capos_handle h, capos_handle *out)
{
	STUB_RETURN1_(out, factory, park_space, 0, h, 0);
}

static inline struct capos_result park_space_wait(capos_handle h, const uint32_t *address, uint32_t expected,
						  uint64_t deadline_ns, uint64_t flags)
{
	STUB_RETURN_(park_space, wait, 0, h, (uintptr_t)address, expected, deadline_ns, flags);
}

static inline struct capos_result park_space_wake(capos_handle h, const uint32_t *address, uint64_t count,
						  uint64_t flags, uint64_t *woken)
{
	STUB_RETURN1_(woken, park_space, wake, 0, h, (uintptr_t)address, count, flags);
}

/* Wakes one that waits at `wake`, then waits at `address` as park_space_wait. */
static inline struct capos_result park_space_wake_wait(capos_handle h, const uint32_t *address, uint32_t expected,
						       uint64_t deadline_ns, uint64_t flags, const uint32_t *wake)
{
	return result_of(capos_call_five(h, (uintptr_t)address, expected, deadline_ns, flags, (uintptr_t)wake,
					 CAPOS_METHOD_WORD(park_space, wake_wait, 0)));
}

struct endpoint_info {
	uint64_t iface, callers_waiting, receivers_waiting, in_service;
};

static inline struct capos_result endpoint_info(capos_handle h, struct endpoint_info *info)
{
	CAPOS_CALL_REGS(regs, endpoint, info, 0, h, 0);
	struct capos_result r = result_of(regs.call);

	if (result_ok(r))
		*info = (struct endpoint_info){ regs.word[0], regs.word[1], regs.word[2], regs.word[3] };
	return r;
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

static inline struct capos_result memory_object_info(capos_handle h, uint64_t *bytes)
{
	STUB_RETURN1_(bytes, memory_object, info, 0, h, 0);
}

static inline struct capos_result memory_object_read(capos_handle h, uint64_t offset, void *to, uint64_t bytes)
{
	STUB_RETURN_(memory_object, read, 0, h, offset, (uintptr_t)to, bytes);
}

static inline struct capos_result memory_object_write(capos_handle h, uint64_t offset, const void *from,
						      uint64_t bytes)
{
	STUB_RETURN_(memory_object, write, 0, h, offset, (uintptr_t)from, bytes);
}

static inline struct capos_result address_space_map(capos_handle h, capos_handle memory, uint64_t offset,
						    uint64_t address, uint64_t bytes, uint64_t prot, uint64_t *out)
{
	CAPOS_CALL_REGS(regs, address_space, map, 0, h, memory, offset, address, bytes, prot);
	struct capos_result r = result_of(regs.call);

	out_word_(r, out, regs.word[0]);
	return r;
}

static inline struct capos_result address_space_unmap(capos_handle h, uint64_t address, uint64_t bytes)
{
	STUB_RETURN_(address_space, unmap, 0, h, address, bytes);
}

static inline struct capos_result address_space_protect(capos_handle h, uint64_t address, uint64_t bytes,
							uint64_t prot)
{
	STUB_RETURN_(address_space, protect, 0, h, address, bytes, prot);
}

static inline struct capos_result address_space_info(capos_handle h, uint64_t *mapped_bytes, uint64_t *table_bytes,
						     uint64_t *mappings)
{
	CAPOS_CALL_REGS(regs, address_space, info, 0, h, 0);
	struct capos_result r = result_of(regs.call);

	out_word_(r, mapped_bytes, regs.word[0]);
	out_word_(r, table_bytes, regs.word[1]);
	out_word_(r, mappings, regs.word[2]);
	return r;
}

/* --- console, log, entropy ---------------------------------------------------------------------------------------- */

static inline struct capos_result console_write(capos_handle h, const void *bytes, size_t n, uint64_t *written)
{
	message_put(bytes, n);
	STUB_RETURN1_(written, console, write, CAPOS_CALL_MESSAGE, h, 0);
}

/* bytes: at least 256. */
static inline struct capos_result console_read(capos_handle h, uint64_t deadline_ns, void *bytes, uint64_t *count)
{
	CAPOS_CALL_REGS(regs, console, read, 0, h, deadline_ns);
	struct capos_result r = result_of(regs.call);

	if (result_ok(r))
		message_get(bytes, 256);
	out_word_(r, count, regs.word[0]);
	return r;
}

static inline struct capos_result console_take(capos_handle h)
{
	STUB_RETURN_(console, take, 0, h, 0);
}

static inline struct capos_result console_give(capos_handle h)
{
	STUB_RETURN_(console, give, 0, h, 0);
}

static inline struct capos_result console_set_foreground(capos_handle h, capos_handle process)
{
	STUB_RETURN_(console, set_foreground, 0, h, process);
}

static inline struct capos_result console_set_interrupt(capos_handle h, capos_handle notification, uint64_t bits)
{
	STUB_RETURN_(console, set_interrupt, 0, h, notification, bits);
}

static inline struct capos_result log_write(capos_handle h, uint64_t level, const void *line, size_t n)
{
	message_put(line, n);
	STUB_RETURN_(log, write, CAPOS_CALL_MESSAGE, h, level);
}

struct log_entry {
	uint64_t next; /* sequence number to ask for next; the same as asked: nothing newer */
	uint64_t ns;
	uint64_t level;
	char text[257]; /* 0-terminated */
};

static inline struct capos_result log_read(capos_handle h, uint64_t sequence, struct log_entry *line)
{
	CAPOS_CALL_REGS(regs, log, read, 0, h, sequence);
	struct capos_result r = result_of(regs.call);

	if (!result_ok(r))
		return r;
	line->next = regs.word[0];
	line->ns = regs.word[1];
	line->level = regs.word[2];
	message_get(line->text, sizeof(line->text));
	line->text[sizeof(line->text) - 1] = 0;
	return r;
}

/* words: CAPOS_WORDS of them; `count` (1..8) are filled. */
static inline struct capos_result entropy_read(capos_handle h, uint64_t count, uint64_t *words)
{
	CAPOS_CALL_REGS(regs, entropy, read, 0, h, count);
	struct capos_result r = result_of(regs.call);

	if (result_ok(r))
		memcpy(words, regs.word, sizeof(regs.word));
	return r;
}

/* --- system_info, trace, power ------------------------------------------------------------------------------------ */

#define CPU_INFOS_MAX (CAPOS_MESSAGE_BYTES / sizeof(struct capos_cpu_info))
/* infos: CPU_INFOS_MAX of them. */
static inline struct capos_result system_info_cpus(capos_handle h, uint64_t first, struct capos_cpu_info *infos,
						   uint64_t *total, uint64_t *count)
{
	CAPOS_CALL_REGS(regs, system_info, cpus, 0, h, first);
	struct capos_result r = result_of(regs.call);

	if (result_ok(r))
		message_get(infos, CPU_INFOS_MAX * sizeof(*infos));
	out_word_(r, total, regs.word[0]);
	out_word_(r, count, regs.word[1]);
	return r;
}

static inline struct capos_result system_info_memory(capos_handle h, struct capos_memory_info *info)
{
	CAPOS_CALL_REGS(regs, system_info, memory, 0, h, 0);
	struct capos_result r = result_of(regs.call);

	if (result_ok(r))
		message_get(info, sizeof(*info));
	return r;
}

static inline struct capos_result system_info_machine(capos_handle h, struct capos_machine_info *info)
{
	CAPOS_CALL_REGS(regs, system_info, machine, 0, h, 0);
	struct capos_result r = result_of(regs.call);

	if (result_ok(r))
		message_get(info, sizeof(*info));
	return r;
}

#define PROCESS_INFOS_MAX (CAPOS_MESSAGE_BYTES / sizeof(struct capos_process_info))
/* infos: PROCESS_INFOS_MAX of them. *next == 0: that was all. */
static inline struct capos_result system_info_processes(capos_handle h, uint64_t smallest_id,
							struct capos_process_info *infos, uint64_t *count,
							uint64_t *next)
{
	CAPOS_CALL_REGS(regs, system_info, processes, 0, h, smallest_id);
	struct capos_result r = result_of(regs.call);

	if (result_ok(r))
		message_get(infos, PROCESS_INFOS_MAX * sizeof(*infos));
	out_word_(r, count, regs.word[0]);
	out_word_(r, next, regs.word[1]);
	return r;
}

#define THREAD_INFOS_MAX (CAPOS_MESSAGE_BYTES / sizeof(struct capos_thread_info))
/* infos: THREAD_INFOS_MAX of them. *next == 0: that was all. */
static inline struct capos_result system_info_threads(capos_handle h, uint64_t smallest_id,
						      struct capos_thread_info *infos, uint64_t *count,
						      uint64_t *next)
{
	CAPOS_CALL_REGS(regs, system_info, threads, 0, h, smallest_id);
	struct capos_result r = result_of(regs.call);

	if (result_ok(r))
		message_get(infos, THREAD_INFOS_MAX * sizeof(*infos));
	out_word_(r, count, regs.word[0]);
	out_word_(r, next, regs.word[1]);
	return r;
}

static inline struct capos_result trace_control(capos_handle h, uint64_t mask, uint64_t *former_mask)
{
	STUB_RETURN1_(former_mask, trace, control, 0, h, mask);
}

#define TRACE_RECORDS_MAX (CAPOS_MESSAGE_BYTES / sizeof(struct capos_trace_record))
/* records: TRACE_RECORDS_MAX of them. */
static inline struct capos_result trace_read(capos_handle h, uint64_t cpu, uint64_t sequence,
					     struct capos_trace_record *records, uint64_t *count, uint64_t *next,
					     uint64_t *lost)
{
	CAPOS_CALL_REGS(regs, trace, read, 0, h, cpu, sequence);
	struct capos_result r = result_of(regs.call);

	if (result_ok(r))
		message_get(records, TRACE_RECORDS_MAX * sizeof(*records));
	out_word_(r, count, regs.word[0]);
	out_word_(r, next, regs.word[1]);
	out_word_(r, lost, regs.word[2]);
	return r;
}

/* Measure builds (user/measure.h prints what they count). */
static inline struct capos_result trace_phase(capos_handle h, uint64_t phase, uint64_t *former)
{
	STUB_RETURN1_(former, trace, phase, 0, h, phase);
}

#define TRACE_VALUES_MAX (CAPOS_MESSAGE_BYTES / sizeof(uint64_t))
/* values: TRACE_VALUES_MAX of them. */
static inline struct capos_result trace_counters(capos_handle h, uint64_t cpu, uint64_t phase, uint64_t first,
						 uint64_t *values, uint64_t *total)
{
	CAPOS_CALL_REGS(regs, trace, counters, 0, h, cpu, phase, first);
	struct capos_result r = result_of(regs.call);

	if (result_ok(r))
		message_get(values, TRACE_VALUES_MAX * sizeof(*values));
	out_word_(r, total, regs.word[0]);
	return r;
}

static inline struct capos_result power_off(capos_handle h, uint64_t code)
{
	STUB_RETURN_(power, off, 0, h, code);
}

/* --- sessions ----------------------------------------------------------------------------------------------------- */

static inline struct capos_result session_manager_create(capos_handle h, uint64_t account_id, const char *name,
							 capos_handle *session, uint64_t *session_id)
{
	message_put(name, strlen(name));
	CAPOS_CALL_REGS(regs, session_manager, create, CAPOS_CALL_MESSAGE, h, account_id);
	struct capos_result r = result_of(regs.call);

	out_word_(r, session, regs.word[0]);
	out_word_(r, session_id, regs.word[1]);
	return r;
}

/* *there: 0 at the end. */
static inline struct capos_result session_manager_accounts(capos_handle h, uint64_t index,
							   struct capos_account *account, uint64_t *there)
{
	CAPOS_CALL_REGS(regs, session_manager, accounts, 0, h, index);
	struct capos_result r = result_of(regs.call);

	if (result_ok(r))
		message_get(account, sizeof(*account));
	out_word_(r, there, regs.word[0]);
	return r;
}

struct session_info {
	uint64_t id;
	uint64_t account_id;
	uint64_t alive;
	char name[CAPOS_NAME_BYTES];
};

static inline struct capos_result user_session_info(capos_handle h, struct session_info *info)
{
	CAPOS_CALL_REGS(regs, user_session, info, 0, h, 0);
	struct capos_result r = result_of(regs.call);

	if (!result_ok(r))
		return r;
	info->id = regs.word[0];
	info->account_id = regs.word[1];
	info->alive = regs.word[2];
	message_get(info->name, sizeof(info->name));
	info->name[sizeof(info->name) - 1] = 0;
	return r;
}

static inline struct capos_result user_session_logout(capos_handle h)
{
	STUB_RETURN_(user_session, logout, 0, h, 0);
}

/* --- scheduling policy -------------------------------------------------------------------------------------------- */

/* thread: an id, 0 the caller. */
static inline struct capos_result scheduling_policy_set_weight(capos_handle h, uint64_t thread, uint64_t weight)
{
	STUB_RETURN_(scheduling_policy, set_weight, 0, h, thread, weight);
}

static inline struct capos_result scheduling_policy_set_latency_class(capos_handle h, uint64_t thread,
								      uint64_t latency_class)
{
	STUB_RETURN_(scheduling_policy, set_latency_class, 0, h, thread, latency_class);
}

static inline struct capos_result scheduling_policy_set_request(capos_handle h, uint64_t thread, uint64_t request_ns)
{
	STUB_RETURN_(scheduling_policy, set_request, 0, h, thread, request_ns);
}

/*
 * Records from id on into memory at offset (`records` NULL then), or as many as a message holds into `records`. *next: where to go
 * on; 0: that was all.
 */
static inline struct capos_result scheduling_policy_snapshot(capos_handle h, enum capos_snapshot_kind kind,
							     uint64_t id, capos_handle memory, uint64_t offset,
							     void *records, uint64_t *count, uint64_t *next)
{
	CAPOS_CALL_REGS(regs, scheduling_policy, snapshot, 0, h, kind, id, memory, offset);
	struct capos_result r = result_of(regs.call);

	if (result_ok(r) && records)
		message_get(records, CAPOS_MESSAGE_BYTES);
	out_word_(r, count, regs.word[0]);
	out_word_(r, next, regs.word[1]);
	return r;
}
#define THREAD_RECORDS_MAX (CAPOS_MESSAGE_BYTES / sizeof(struct capos_thread_record))
#define PROCESS_RECORDS_MAX (CAPOS_MESSAGE_BYTES / sizeof(struct capos_process_record))
#define LEDGER_RECORDS_MAX (CAPOS_MESSAGE_BYTES / sizeof(struct capos_ledger_record))
#define CPU_RECORDS_MAX (CAPOS_MESSAGE_BYTES / sizeof(struct capos_cpu_record))
#define CONTEXT_RECORDS_MAX (CAPOS_MESSAGE_BYTES / sizeof(struct capos_context_record))

static inline struct capos_result scheduling_policy_derive(capos_handle h, const struct capos_policy_bounds *bounds,
							   capos_handle *out)
{
	message_put(bounds, sizeof(*bounds));
	CAPOS_CALL_REGS(regs, scheduling_policy, derive, CAPOS_CALL_MESSAGE, h, 0);
	struct capos_result r = result_of(regs.call);

	out_word_(r, out, regs.word[0]);
	return r;
}

static inline struct capos_result scheduling_policy_info(capos_handle h, struct capos_policy_info *info)
{
	CAPOS_CALL_REGS(regs, scheduling_policy, info, 0, h, 0);
	struct capos_result r = result_of(regs.call);

	if (result_ok(r))
		message_get(info, sizeof(*info));
	return r;
}

/* --- scheduling context ------------------------------------------------------------------------------------------- */

static inline struct capos_result scheduling_context_info(capos_handle h, struct capos_context_info *info)
{
	CAPOS_CALL_REGS(regs, scheduling_context, info, 0, h, 0);
	struct capos_result r = result_of(regs.call);

	if (result_ok(r))
		message_get(info, sizeof(*info));
	return r;
}

static inline struct capos_result scheduling_context_create_within(capos_handle h,
								   const struct capos_context_spec *spec,
								   const struct capos_cpu_set *cpus,
								   capos_handle *out)
{
	message_put(spec, sizeof(*spec));
	CAPOS_CALL_REGS(regs, scheduling_context, create, CAPOS_CALL_MESSAGE, h, (uintptr_t)cpus);
	struct capos_result r = result_of(regs.call);

	out_word_(r, out, regs.word[0]);
	return r;
}

static inline struct capos_result scheduling_context_create(capos_handle h, const struct capos_context_spec *spec,
							    capos_handle *out)
{
	return scheduling_context_create_within(h, spec, NULL, out);
}

static inline struct capos_result scheduling_context_cpus(capos_handle h, struct capos_cpu_set *set)
{
	CAPOS_CALL_REGS(regs, scheduling_context, cpus, 0, h, 0);
	struct capos_result r = result_of(regs.call);

	if (result_ok(r))
		message_get(set, sizeof(*set));
	return r;
}

static inline struct capos_result scheduling_context_bind_caller_thread(capos_handle h)
{
	STUB_RETURN_(scheduling_context, bind_caller_thread, 0, h, 0);
}

static inline struct capos_result scheduling_context_bind_thread(capos_handle h, capos_handle thread)
{
	STUB_RETURN_(scheduling_context, bind_thread, 0, h, thread);
}

static inline struct capos_result scheduling_context_unbind(capos_handle h)
{
	STUB_RETURN_(scheduling_context, unbind, 0, h, 0);
}

static inline struct capos_result scheduling_context_resume(capos_handle h)
{
	STUB_RETURN_(scheduling_context, resume, 0, h, 0);
}

static inline struct capos_result scheduling_context_revoke(capos_handle h)
{
	STUB_RETURN_(scheduling_context, revoke, 0, h, 0);
}

/* Waits until the notifications are at another sequence than the one named; *now may be NULL. */
static inline struct capos_result scheduling_context_wait_notification(capos_handle h, uint64_t deadline_ns,
								       uint64_t sequence, uint64_t *now)
{
	CAPOS_CALL_REGS(regs, scheduling_context, wait_notification, 0, h, deadline_ns, sequence);
	struct capos_result r = result_of(regs.call);

	out_word_(r, now, regs.word[0]);
	return r;
}

/* With CAPOS_CONTEXT_WAS_REVOKED there are notifications too. */
static inline struct capos_result scheduling_context_drain_notifications(
	capos_handle h, struct capos_context_notifications *notifications)
{
	CAPOS_CALL_REGS(regs, scheduling_context, drain_notifications, 0, h, 0);
	struct capos_result r = result_of(regs.call);

	if (result_ok(r) || (r.status == CAPOS_STATUS_OK && r.iresult == CAPOS_CONTEXT_WAS_REVOKED))
		message_get(notifications, sizeof(*notifications));
	return r;
}

#endif
