/* SPDX-License-Identifier: MIT */
/*
 * The hostile process: a few workers, each performing its actions of the case. What they share (handles, addresses, their
 * thread pages) they race for on purpose; nothing here may trust it.
 */
#include "fuzzcalls.h"

#define POOL 64u
#define PLACES 16u
#define STALE 8u
#define PAGES 8u
#define LONE_STACK 1024u

struct row {
	uint32_t iface;
	uint16_t method, bytes_in;
	uint8_t words_in;
	const char *wants; /* a letter per word: see wanted_word() */
};

/* What the words of each method are. A method that has no line here does not compile. */
#define WANTS_cap_table_nop ""
#define WANTS_cap_table_derive "hrs"
#define WANTS_cap_table_copy "hr"
#define WANTS_cap_table_release "h"
#define WANTS_cap_table_revoke "h"
#define WANTS_cap_table_destroy "h"
#define WANTS_cap_table_info "h"
#define WANTS_cap_table_list "s"
#define WANTS_process_info ""
#define WANTS_process_kill "s"
#define WANTS_process_wait "d"
#define WANTS_process_bind_context "hs"
#define WANTS_process_spawner_spawn ""
#define WANTS_process_spawner_programs "s"
#define WANTS_thread_exit "s"
#define WANTS_thread_join "d"
#define WANTS_thread_terminate ""
#define WANTS_thread_info ""
#define WANTS_thread_set_fault_endpoint "e"
#define WANTS_thread_set_cpu "c"
#define WANTS_thread_set_affinity ""
#define WANTS_thread_affinity ""
#define WANTS_thread_spawner_create "xkscf"
#define WANTS_thread_spawner_self ""
#define WANTS_timer_now ""
#define WANTS_timer_sleep "d"
#define WANTS_wall_clock_now ""
#define WANTS_notification_signal "s"
#define WANTS_notification_wait "d"
#define WANTS_notification_poll ""
#define WANTS_factory_endpoint "i"
#define WANTS_factory_notification ""
#define WANTS_factory_memory "nz"
#define WANTS_factory_park_space ""
#define WANTS_park_space_wait "wzdf"
#define WANTS_park_space_wake "wsf"
#define WANTS_park_space_wake_wait "wzdfw"
#define WANTS_endpoint_info ""
#define WANTS_memory_object_info ""
#define WANTS_memory_object_read "owb"
#define WANTS_memory_object_write "owb"
#define WANTS_address_space_map "moanp"
#define WANTS_address_space_unmap "an"
#define WANTS_address_space_protect "anp"
#define WANTS_address_space_info ""
#define WANTS_console_write ""
#define WANTS_console_read "d"
#define WANTS_console_take ""
#define WANTS_console_give ""
#define WANTS_console_set_foreground "h"
#define WANTS_console_set_interrupt "hs"
#define WANTS_log_write "s"
#define WANTS_log_read "s"
#define WANTS_entropy_read "s"
#define WANTS_system_info_cpus "s"
#define WANTS_system_info_memory ""
#define WANTS_system_info_machine ""
#define WANTS_system_info_processes "s"
#define WANTS_system_info_threads "s"
#define WANTS_trace_control "s"
#define WANTS_trace_read "cs"
#define WANTS_trace_phase "s"
#define WANTS_trace_counters "css"
#define WANTS_power_off "s"
#define WANTS_session_manager_create "s"
#define WANTS_session_manager_accounts "s"
#define WANTS_user_session_info ""
#define WANTS_user_session_logout ""
#define WANTS_scheduling_policy_set_weight "ss"
#define WANTS_scheduling_policy_set_latency_class "ss"
#define WANTS_scheduling_policy_snapshot "ssmo"
#define WANTS_scheduling_policy_set_request "sn"
#define WANTS_scheduling_policy_derive ""
#define WANTS_scheduling_policy_info ""
#define WANTS_scheduling_context_info ""
#define WANTS_scheduling_context_create "b"
#define WANTS_scheduling_context_bind_caller_thread ""
#define WANTS_scheduling_context_revoke ""
#define WANTS_scheduling_context_drain_notifications ""
#define WANTS_scheduling_context_bind_thread "t"
#define WANTS_scheduling_context_unbind ""
#define WANTS_scheduling_context_wait_notification "dn"
#define WANTS_scheduling_context_resume ""
#define WANTS_scheduling_context_cpus ""

#define M(i_, m_, id_, rights_, words_in_, bytes_in_, words_out_, bytes_out_)                                        \
	{ CAPOS_IFACE_##i_, (id_), (bytes_in_), (words_in_), WANTS_##i_##_##m_ },
#define X(name, id) CAPOS_METHODS_##name(M)
static const struct row rows[] = { CAPOS_INTERFACES(X) };
#undef X
#undef M

struct worker {
	uint32_t actor, first; /* actions from `first` on */
	struct rng rng;
	struct capos_thread_page *page;
	uint32_t index;
	const struct case_action *action; /* of that index, with mutations */
};

static struct {
	uint64_t handle;
	uint32_t iface;
} pool[POOL];
static uint32_t pool_next;
static uint64_t stale[STALE], places[PLACES];
static uint32_t stale_next, place_next;
static struct capos_thread_page *pages[PAGES];
static uint32_t page_next;
static uint8_t area[4 * CAPOS_PAGE_BYTES] __attribute__((aligned(4096)));
static uint8_t lone_stacks[4][LONE_STACK] __attribute__((aligned(16)));
static uint64_t *counters;
static const struct case_action *actions;
static uint32_t action_count;
static uint64_t case_mutation;
static uint32_t workers_left;
static struct event all_done, let_go;

/* --- handles and addresses seen ----------------------------------------------------------------------------------------- */

static void keep_handle(uint64_t handle)
{
	uint32_t iface = 0, place = __atomic_fetch_add(&pool_next, 1, __ATOMIC_RELAXED) % POOL;

	if (!result_ok(cap_table_info(known.caps, handle, &iface, NULL, NULL)))
		return;
	pool[place].handle = handle;
	pool[place].iface = iface;
}

static void keep_place(uint64_t address)
{
	places[__atomic_fetch_add(&place_next, 1, __ATOMIC_RELAXED) % PLACES] = address;
}

/* The handle of that number among those of the type; if there is none, any. */
static uint64_t handle_of_type(uint32_t iface, uint64_t number)
{
	uint64_t found[POOL];
	uint32_t n = 0;

	for (uint32_t i = 0; i < POOL; i++)
		if (pool[i].iface == iface && pool[i].handle)
			found[n++] = pool[i].handle;
	return n > 0 ? found[number % n] : pool[number % POOL].handle;
}

static uint64_t handle_of(uint8_t byte, uint32_t iface)
{
	const struct capos_startup *record = startup();
	uint64_t number = byte & 63u;

	switch (byte >> 6) {
	case HANDLE_RIGHT_TYPE:
		return handle_of_type(iface, number);
	case HANDLE_ANY:
		return pool[number % POOL].handle;
	case HANDLE_BAD:
		return number & 32 ? pool[number % 32].handle ^ 1ull << (number * 7 % 64) : stale[number % STALE];
	default:
		return record->caps[number % record->cap_count].handle;
	}
}

/* A thread that calls without a record of this library, until something ends it. */
static _Noreturn void lone(uint64_t argument)
{
	for (;;) {
		struct capos_regs regs = { .call = CAPOS_METHOD_WORD(timer, sleep, 0), .handle = known.timer };

		regs.word[0] = argument & 1 ? CAPOS_NEVER : 0;
		capos_syscall(&regs);
		regs = (struct capos_regs){ .call = CAPOS_CALL_WORD(0, 0, CAPOS_OP_YIELD, 0, 0) };
		capos_syscall(&regs);
	}
}

/* --- words -------------------------------------------------------------------------------------------------------------- */

static uint64_t deadline(const struct worker *w, uint64_t number)
{
	static const uint32_t span_ns[] = { 0, 1, 100, 1000, 2000, 5000, 10000, 20000 };
	uint64_t scale = w->action->flags & ACTION_LONG_DEADLINE ? 16 : 1;

	switch (number) {
	case 0:
		return 0;
	case 1:
		return 1;
	case 15:
		return scale > 1 ? CAPOS_NEVER : 0;
	default:
		return now_ns() + span_ns[number % 8] * scale;
	}
}

static uint64_t edge(uint64_t number, const struct worker *w)
{
	switch (number) {
	case 0:
		return 0xffffffff80000000;
	case 1:
		return 0x7ffffffff000;
	case 2:
		return 0x800000000000;
	case 3:
		return ~0ull - 4096;
	case 4:
		return (uintptr_t)rows;
	case 5:
		return (uintptr_t)lone;
	case 6:
		return (uintptr_t)w & ~4095ull;
	case 7:
		return (uintptr_t)startup();
	case 8:
		return ~0ull;
	case 9:
		return 1ull << 32;
	case 10:
		return 0xffffffff;
	case 11:
		return 1ull << 63;
	case 12:
		return (uintptr_t)area + sizeof(area) - 1;
	case 13:
		return 4095;
	case 14:
		return startup()->image_base - CAPOS_PAGE_BYTES;
	default:
		return 0xffff800000000000;
	}
}

/* What a method wants: h a handle, e an endpoint, m memory, r rights, d a deadline, a an address to map at, w one to write to,
 * n bytes of pages, o an offset of pages, b few bytes, p protection, c a CPU, f flags, i an interface, x code, k a stack, z zero. */
static uint64_t wanted_word(struct worker *w, char wish, uint64_t number)
{
	switch (wish) {
	case 'h':
		return handle_of((uint8_t)(HANDLE_ANY << 6 | (rng_next(&w->rng) & 48) | number), 0);
	case 'e':
		return number == 15 ? 0 : handle_of_type(CAPOS_IFACE_endpoint, number);
	case 'm':
		return handle_of_type(CAPOS_IFACE_memory_object, number);
	case 'r':
		return number < 11 ? CAPOS_RIGHTS_ALL & ~(1ull << number) : number == 15 ? CAPOS_RIGHTS_ALL : number;
	case 'd':
		return deadline(w, number);
	case 'a':
		return number < 4 ? 0 : places[number % PLACES] + (number & 1 ? CAPOS_PAGE_BYTES : 0);
	case 'w':
		return number < 8 ? (uintptr_t)area + number * 8ull : places[number % PLACES] + (number & 3) * 4;
	case 'n':
		return (1ull + number % 8) * CAPOS_PAGE_BYTES;
	case 'o':
		return number % 4 * CAPOS_PAGE_BYTES;
	case 'b':
		return number < 15 ? number * 64ull : CAPOS_PAGE_BYTES;
	case 'p':
		return number % 3;
	case 'c':
		return number == 15 ? CAPOS_CPU_ANY : number % 4;
	case 'f':
		return number & 1;
	case 'i':
		return number < 8 ? PROOF_IFACE : number == 15 ? CAPOS_IFACE_FAULT : 0;
	case 'x':
		return (uintptr_t)lone;
	case 'k':
		return (uintptr_t)(lone_stacks[number % 4] + LONE_STACK - 8);
	case 'z':
		return 0;
	default:
		return number;
	}
}

static uint64_t some_word(struct worker *w, uint8_t byte, char wish)
{
	uint64_t number = byte & 15u;

	switch (byte >> 4) {
	case 0:
	case 1:
	case 2:
	case 3:
		return wanted_word(w, wish, number);
	case 4:
		return number;
	case 5:
		return handle_of((uint8_t)(HANDLE_ANY << 6 | number), 0);
	case 6:
		return handle_of((uint8_t)(HANDLE_ANY << 6 | (16 + number)), 0);
	case 7:
		return number * CAPOS_PAGE_BYTES;
	case 8:
		return places[number % PLACES];
	case 9:
		return (uintptr_t)pages[number % PAGES] + number * 256ull;
	case 10:
		return edge(number, w);
	case 11:
		return 1ull << (number * 4 + (rng_next(&w->rng) & 3));
	case 12:
		return deadline(w, number);
	case 13:
		return handle_of((uint8_t)(HANDLE_BAD << 6 | number | (number & 8 ? 32 : 0)), 0);
	case 14:
		return (uintptr_t)area + number * 1024ull;
	default:
		return rng_next(&w->rng) >> (number * 4);
	}
}

/* --- calls -------------------------------------------------------------------------------------------------------------- */

static void put_message(struct worker *w, const struct row *row)
{
	const struct case_action *a = w->action;
	struct capos_thread_page *page = w->page;
	static const char *const child_args[] = { "sleep", "exit 3", "threads 2 fault", "threads 2 end" };
	struct capos_spawn spawn;

	if (row->iface == CAPOS_IFACE_process_spawner && a->message < 192) {
		child_init(&spawn, child_args[a->message % 4]);
		spawn.memory_bytes = 320u << 10;
		spawn.slots = 24;
		(void)spawn_grant(&spawn, "port", pool[a->message % POOL].handle, CAPOS_RIGHT_READ);
		spawn.image = a->message & 64 ? handle_of_type(CAPOS_IFACE_memory_object, 0) : 0;
		if (spawn.image)
			spawn.program[0] = 0;
		message_put(&spawn,
			    offsetof(struct capos_spawn, grants) + spawn.grant_count * sizeof(struct capos_grant));
	} else {
		page->send_bytes = a->message % 8 == 7
					   ? (uint32_t)(rng_next(&w->rng) >> (a->message & 63))
					   : 1 + (uint32_t)rng_below(&w->rng, row->bytes_in ? row->bytes_in : 64);
		for (uint32_t i = 0; i < 16; i++)
			page->message[i] = (uint8_t)rng_next(&w->rng);
	}
	for (uint32_t flips = a->message >> 6; flips > 0; flips--)
		page->message[rng_below(&w->rng, 240)] = (uint8_t)rng_next(&w->rng);
}

static void put_caps(struct worker *w)
{
	w->page->send_caps = (uint32_t)rng_below(&w->rng, w->action->message & 1 ? 3 : 6);
	for (uint32_t i = 0; i < CAPOS_MESSAGE_CAPS; i++)
		w->page->send_cap[i] = pool[rng_below(&w->rng, POOL)].handle;
	w->page->accept_caps = (uint32_t)rng_below(&w->rng, 6);
}

static void count(struct capos_result r)
{
	__atomic_add_fetch(&counters[COUNT_STATUS + (r.status < 31 ? r.status : 31)], 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&counters[COUNT_CALLS], 1, __ATOMIC_RELAXED);
}

/* The call word of the action for this method, its words, and what goes along. */
static uint64_t prepare(struct worker *w, const struct row *row, uint64_t word[CAPOS_WORDS])
{
	const struct case_action *a = w->action;
	unsigned words = a->flags & ACTION_WRONG_WORDS ? a->seed[0] % 16 : row->words_in;
	unsigned flags = a->flags & ACTION_WRONG_FLAGS ? a->seed[1] : row->bytes_in ? CAPOS_CALL_MESSAGE : 0;
	uint32_t iface = row->iface;
	uint16_t method = row->method;

	for (uint32_t i = 0; i < CAPOS_WORDS; i++)
		word[i] = some_word(w, a->argument[i % CASE_ARGUMENTS], i < row->words_in ? row->wants[i] : 's');
	if (a->flags & ACTION_CAPS) {
		put_caps(w);
		flags |= a->flags & ACTION_WRONG_FLAGS ? 0 : CAPOS_CALL_CAPS;
	}
	if (flags & CAPOS_CALL_MESSAGE)
		put_message(w, row);
	if (a->flags & ACTION_WRONG_METHOD) {
		iface = a->seed[2] & 1 ? iface : (uint32_t)rng_next(&w->rng) >> (a->seed[2] & 31);
		method = (uint16_t)(a->seed[3] & 1 ? method : rng_next(&w->rng) >> (a->seed[3] & 63));
	}
	return CAPOS_CALL_WORD(iface, method, CAPOS_OP_CALL, words, flags);
}

static void keep_results(const struct row *row, const uint64_t word[CAPOS_WORDS], uint64_t handle)
{
	bool makes = row->iface == CAPOS_IFACE_factory || row->iface == CAPOS_IFACE_process_spawner ||
		     (row->iface == CAPOS_IFACE_cap_table &&
		      (row->method == CAPOS_METHOD_cap_table_derive || row->method == CAPOS_METHOD_cap_table_copy)) ||
		     row->iface == CAPOS_IFACE_thread_spawner || row->iface == CAPOS_IFACE_session_manager;

	if (makes)
		keep_handle(word[0]);
	else if (row->iface == CAPOS_IFACE_address_space && row->method == CAPOS_METHOD_address_space_map)
		keep_place(word[0]);
	else if (row->iface == CAPOS_IFACE_cap_table && row->method == CAPOS_METHOD_cap_table_release)
		stale[__atomic_fetch_add(&stale_next, 1, __ATOMIC_RELAXED) % STALE] = handle;
}

/* Most cases would end at once if every worker that may end itself did. */
static bool would_stop_us(struct worker *w, const struct row *row)
{
	bool ends = (row->iface == CAPOS_IFACE_thread &&
		     (row->method == CAPOS_METHOD_thread_exit || row->method == CAPOS_METHOD_thread_terminate)) ||
		    (row->iface == CAPOS_IFACE_process && row->method == CAPOS_METHOD_process_kill);

	return ends && w->action->seed[0] % 8 != 0;
}

static void one_call(struct worker *w)
{
	const struct row *row = &rows[w->action->method % COUNT_OF(rows)];
	uint64_t word[CAPOS_WORDS], call, released;
	struct capos_result r;

	if (would_stop_us(w, row))
		return;
	call = prepare(w, row, word);
	released = word[0];
	r = call_words(handle_of(w->action->handle, row->iface), call, word);
	count(r);
	if (result_ok(r))
		keep_results(row, word, released);
}

static void one_entry(struct worker *w)
{
	const struct row *row = &rows[w->action->method % COUNT_OF(rows)];
	uint64_t word[CAPOS_WORDS], call;
	unsigned op = w->action->seed[3] % 8 ? CAPOS_OP_CALL : w->action->seed[2] % 16;

	if (would_stop_us(w, row))
		return;
	call = prepare(w, row, word) | (uint64_t)op << 48;
	if (CAPOS_CALL_FLAGS(call) & CAPOS_CALL_MESSAGE && w->action->seed[1] % 4) {
		word[2] = (uintptr_t)w->page->message;
		word[3] = w->page->send_bytes;
	}

	struct capos_sqe entry =
		ring_entry(w->action->seed[0], handle_of(w->action->handle, row->iface), call,
			   deadline(w, w->action->argument[5] & 15), word[0], word[1], word[2], word[3]);

	(void)ringq_submit(w->page, &entry);
}

static void enter(struct worker *w)
{
	uint32_t head = w->page->sq_head;
	uint64_t word[CAPOS_WORDS] = { some_word(w, w->action->argument[0], 's') % 40,
				       deadline(w, w->action->argument[1] & 15) };

	count(call_words(0, CAPOS_ENTER_WORD, word));

	uint32_t taken = w->page->sq_head - head;

	if (taken <= CAPOS_SQ_ENTRIES)
		__atomic_add_fetch(&counters[COUNT_CALLS], taken, __ATOMIC_RELAXED);
}

static void reap(struct worker *w)
{
	struct capos_cqe completion;

	for (uint32_t i = 0; i < CAPOS_CQ_ENTRIES && ringq_reap(w->page, &completion); i++)
		if (CAPOS_RESULT_STATUS(completion.result) == CAPOS_STATUS_OK && completion.word[0] >> 32)
			keep_handle(completion.word[0]);
	if (w->action->seed[0] & 1)
		__atomic_store_n(&w->page->cq_head, w->page->cq_tail, __ATOMIC_RELEASE);
	if (w->action->seed[0] & 2)
		__atomic_store_n(&w->page->sq_tail, w->page->sq_head, __ATOMIC_RELEASE);
}

/* Both sides of calls: words, messages and capabilities both ways, tokens of this thread and of others. */
static void endpoint_op(struct worker *w)
{
	static const uint8_t ops[] = { CAPOS_OP_CALL,	    CAPOS_OP_CALL,  CAPOS_OP_RECV, CAPOS_OP_RECV,
				       CAPOS_OP_REPLY_RECV, CAPOS_OP_REPLY, CAPOS_OP_REPLY };
	const struct case_action *a = w->action;
	unsigned op = ops[a->method % COUNT_OF(ops)], words = a->seed[0] % 9;
	unsigned flags = (a->message & 32 ? CAPOS_CALL_MESSAGE : 0) | (a->flags & ACTION_CAPS ? CAPOS_CALL_CAPS : 0);
	uint64_t word[CAPOS_WORDS];
	struct capos_result r;

	for (uint32_t i = 0; i < CAPOS_WORDS; i++)
		word[i] = some_word(w, a->argument[i % CASE_ARGUMENTS], 's');
	if (op == CAPOS_OP_RECV)
		word[0] = deadline(w, a->argument[0] & 15);
	if (op >= CAPOS_OP_REPLY_RECV) {
		flags |= (a->seed[1] % 8 == 0 ? CAPOS_CALL_EXCEPTION : 0) | (a->seed[2] & 1 ? CAPOS_CALL_TOKEN : 0);
		w->page->reply_token = a->seed[2] & 2
					       ? pages[a->seed[2] % PAGES] ? pages[a->seed[2] % PAGES]->recv_token : 1
					       : w->page->recv_token;
	}
	if (a->flags & ACTION_WRONG_FLAGS)
		flags = a->seed[1];
	if (flags & CAPOS_CALL_MESSAGE) {
		w->page->send_bytes =
			a->message % 16 == 15 ? (uint32_t)rng_next(&w->rng) : (uint32_t)rng_below(&w->rng, 513);
		w->page->message[0] = a->message;
	}
	w->page->accept_caps = a->seed[3] % 6;
	if (a->flags & ACTION_CAPS)
		put_caps(w);
	r = call_words(op == CAPOS_OP_REPLY && a->seed[3] & 8 ? 0 : handle_of(a->handle, CAPOS_IFACE_endpoint),
		       CAPOS_CALL_WORD(op == CAPOS_OP_CALL ? PROOF_IFACE : 0, a->seed[1], op, words, flags), word);
	count(r);
	for (uint32_t i = 0; result_ok(r) && i < w->page->recv_caps && i < CAPOS_MESSAGE_CAPS; i++)
		keep_handle(w->page->recv_cap[i]);
}

static void raw(struct worker *w)
{
	uint64_t word[CAPOS_WORDS], call;

	for (uint32_t i = 0; i < CAPOS_WORDS; i++)
		word[i] = some_word(w, w->action->argument[i % CASE_ARGUMENTS], 's');
	call = rng_next(&w->rng);
	if (w->action->method & 1)
		call &= 0x0fff000f0000001full;
	/* A receive without a deadline would stop the worker. */
	if (CAPOS_CALL_OP(call) == CAPOS_OP_ENTER)
		word[1] = now_ns();
	count(call_words(handle_of(w->action->handle, 0), call, word));
}

/* --- around the calls --------------------------------------------------------------------------------------------------- */

static void change_page(struct worker *w)
{
	const struct case_action *a = w->action;
	struct capos_thread_page *page = pages[a->handle % PAGES];
	uint32_t value = (uint32_t)some_word(w, a->argument[0], 's');

	if (!page)
		page = w->page;
	switch (a->method % 12) {
	case 0:
		page->send_bytes = value;
		break;
	case 1:
		page->send_caps = value % 9;
		break;
	case 2:
		page->sq_tail += value % 34;
		break;
	case 3:
		page->cq_head = page->cq_tail - value % 40;
		break;
	case 4:
		page->sq[a->seed[0] % CAPOS_SQ_ENTRIES].word[a->seed[1] % 4] = some_word(w, a->argument[1], 'a');
		break;
	case 5:
		page->sq[a->seed[0] % CAPOS_SQ_ENTRIES].call ^= 1ull << a->seed[1] % 64;
		break;
	case 6:
		page->sq[a->seed[0] % CAPOS_SQ_ENTRIES].handle = handle_of(a->argument[1], 0);
		break;
	case 7:
		page->accept_caps = value;
		break;
	case 8:
		page->send_cap[a->seed[0] % CAPOS_MESSAGE_CAPS] = handle_of(a->argument[1], 0);
		break;
	case 9:
		page->sq_head = value;
		break;
	case 10:
		page->cq_tail = value;
		break;
	default:
		page->message[a->seed[0]] = (uint8_t)value;
		break;
	}
}

static void touch(struct worker *w)
{
	uint64_t place = places[w->action->handle % PLACES];
	uint64_t address = (place && w->action->method & 4 ? place : (uintptr_t)area) + w->action->seed[0] * 16ull;

	if (w->action->method % 64 == 63 && w->action->seed[1] % 8 == 0)
		address = edge(w->action->handle & 15, w);
	if (w->action->method & 1)
		poke((uintptr_t)address);
	else
		(void)peek((uintptr_t)address);
}

static void trap(const struct worker *w)
{
	volatile uint32_t zero = 0;

	if (w->action->seed[0] % 8 != 0)
		return; /* most cases would end at once */
	switch (w->action->method % 3) {
	case 0:
		zero = 1 / zero;
		break;
	case 1:
		__builtin_trap();
	default:
		poke(16);
	}
}

/* --- workers ------------------------------------------------------------------------------------------------------------ */

static uint64_t work(void *argument);

static void more(const struct worker *w)
{
	uint32_t first = w->index + 1;
	struct thread thread;

	if (result_ok(thread_start_on(&thread, work, (void *)(uintptr_t)(w->actor | first << 8), CAPOS_CPU_ANY,
				      w->action->method & 1 ? CAPOS_THREAD_PASSIVE : 0)))
		keep_handle(thread.handle);
}

static void perform(struct worker *w)
{
	switch (w->action->kind % KIND_COUNT) {
	case KIND_CALL:
		one_call(w);
		break;
	case KIND_RING:
		one_entry(w);
		break;
	case KIND_ENTER:
		enter(w);
		break;
	case KIND_REAP:
		reap(w);
		break;
	case KIND_ENDPOINT:
		endpoint_op(w);
		break;
	case KIND_RAW:
		raw(w);
		break;
	case KIND_PAGE:
		change_page(w);
		break;
	case KIND_TOUCH:
		touch(w);
		break;
	case KIND_THREAD:
		more(w);
		break;
	case KIND_TRAP:
		trap(w);
		break;
	default:
		yield();
		break;
	}
}

/* The action as it stands, or with a byte changed now and then. */
static struct case_action mutated(const struct case_action *action, uint32_t index)
{
	struct case_action copy = *action;
	struct rng rng;

	if (!case_mutation)
		return copy;
	rng_seed(&rng, case_mutation * 1000003 + index);
	for (uint32_t changes = (uint32_t)rng_below(&rng, 4); changes > 0; changes--) {
		uint32_t at = 1 + (uint32_t)rng_below(&rng, sizeof(copy) - 1);

		((uint8_t *)&copy)[at] = (uint8_t)rng_next(&rng);
	}
	return copy;
}

/* argument: actor | first action << 8. */
static uint64_t work(void *argument)
{
	uint32_t arguments = (uint32_t)(uintptr_t)argument;
	struct worker w = { .actor = arguments & 255, .first = arguments >> 8, .page = self_page() };

	pages[__atomic_fetch_add(&page_next, 1, __ATOMIC_RELAXED) % PAGES] = w.page;
	for (uint32_t i = w.first; i < action_count; i++) {
		if (actions[i].actor % (CASE_PROCESSES * CASE_WORKERS) != w.actor)
			continue;

		struct case_action action = mutated(&actions[i], i);
		uint32_t seed;

		memcpy(&seed, action.seed, sizeof(seed));
		rng_seed(&w.rng, seed);
		w.index = i;
		w.action = &action;
		perform(&w);
		if (action.flags & ACTION_AGAIN)
			perform(&w);
	}
	if (w.first == 0 && __atomic_sub_fetch(&workers_left, 1, __ATOMIC_ACQ_REL) == 0)
		event_set(&all_done);
	event_wait(&let_go); /* the page is unmapped with its thread, and others write to it */
	return 0;
}

static bool find_case(uint32_t index)
{
	uint32_t bytes = 0;
	const uint8_t *data = case_at(index, &bytes);

	if (!data || bytes < sizeof(struct case_header))
		return false;
	actions = (const struct case_action *)(const void *)(data + sizeof(struct case_header));
	action_count = (bytes - (uint32_t)sizeof(struct case_header)) / (uint32_t)sizeof(struct case_action);
	return true;
}

int hostile(uint32_t index, uint32_t process, uint64_t mutation)
{
	const struct capos_startup *record = startup();
	struct thread workers[CASE_WORKERS];
	uint64_t address = 0;

	if (!find_case(index) || !result_ok(address_space_map(known.space, cap_need("shared"), 0, 0, CAPOS_PAGE_BYTES,
							      CAPOS_MAP_WRITE, &address)))
		return 1;
	counters = (uint64_t *)address;
	drop(cap("shared")); /* or it would write there by random calls */
	case_mutation = mutation;
	for (uint32_t i = 0; i < record->cap_count; i++) {
		pool[i].handle = record->caps[i].handle;
		pool[i].iface = record->caps[i].iface ? record->caps[i].iface : CAPOS_IFACE_endpoint;
	}
	pool_next = record->cap_count;
	/* What both share could be gone before the second has it. */
	while (!__atomic_load_n(&counters[GO], __ATOMIC_ACQUIRE))
		(void)sleep_ns(2000);
	workers_left = CASE_WORKERS;
	for (uint32_t i = 0; i < CASE_WORKERS; i++)
		if (!result_ok(thread_start(&workers[i], work, (void *)(uintptr_t)(process + CASE_PROCESSES * i))))
			return 2;
	event_wait(&all_done);
	event_set(&let_go);
	return 0;
}
