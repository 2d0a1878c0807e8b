/* SPDX-License-Identifier: MIT */
/*
 * grind [SEED] [CALLS]: hostile random calls. A supervisor starts one hostile process after the other, each with
 * several threads that make random calls with random, valid and corrupted handles, words and messages, while another
 * thread changes their thread pages; some end by themselves, by a fault or by a wait that never ends, the rest are
 * killed in the middle. A bystander serves calls all the time and must not notice. At the end everything is as before.
 *
 * `grind hostile SEED CALLS` is the hostile process itself; it counts in the page "shared".
 */
#include "proof.h"

#define CALLS_QEMU 20000u
#define CALLS_SIM 6000u
#define CALLS_EACH 1500u
#define WORKERS 3u
#define POOL 48u
#define COUNTER_CALLS 32u

struct method_row {
	uint32_t iface;
	uint16_t method, bytes_in;
	uint8_t words_in;
};

#define M(i_, m_, id_, rights_, words_in_, bytes_in_, words_out_, bytes_out_)                                        \
	{ CAPOS_IFACE_##i_, (id_), (bytes_in_), (words_in_) },
#define X(name, id) CAPOS_METHODS_##name(M)
static const struct method_row rows[] = { CAPOS_INTERFACES(X) };
#undef X
#undef M

/* --- the hostile process ------------------------------------------------------------------------------------------------ */

static uint64_t pool[POOL]; /* handles and addresses seen; threads race for it on purpose */
static uint64_t *counters;
static uint64_t calls_each;
static struct capos_thread_page *pages[WORKERS + 1];
static uint32_t done;
static struct event all_done, scribbler_gone;

static uint64_t some_address(struct rng *rng)
{
	static char area[3 * CAPOS_PAGE_BYTES];
	const uint64_t base[] = { (uintptr_t)area,
				  (uintptr_t)self_page(),
				  (uintptr_t)startup(),
				  (uintptr_t)rows,
				  (uintptr_t)some_address,
				  (uintptr_t)rng,
				  0,
				  0xffffffff80000000,
				  0x7ffffffff000,
				  0x800000000000,
				  ~0ull - 4096,
				  1ull << 32 };
	uint64_t address = base[rng_below(rng, COUNT_OF(base))];

	switch (rng_below(rng, 4)) {
	case 0:
		return address & ~4095ull;
	case 1:
		return address + rng_below(rng, 3 * PAGE);
	case 2:
		return (address & ~4095ull) + rng_below(rng, 64) * CAPOS_PAGE_BYTES;
	default:
		return address;
	}
}

static uint64_t some_word(struct rng *rng)
{
	switch (rng_below(rng, 16)) {
	case 0:
		return 0;
	case 1:
	case 2:
		return rng_below(rng, 16);
	case 3:
		return CAPOS_PAGE_BYTES * rng_below(rng, 20);
	case 4:
		return rng_below(rng, 64) ? now_ns() + rng_below(rng, 100000) : CAPOS_NEVER;
	case 5:
	case 6:
		return some_address(rng);
	case 7:
		return rng_next(rng);
	case 8:
		return rng_next(rng) >> rng_below(rng, 64);
	case 9:
		return 1ull << rng_below(rng, 64);
	case 10:
		return 0xffffffff;
	case 11:
		return 1;
	default:
		return pool[rng_below(rng, POOL)];
	}
}

static uint64_t some_handle(struct rng *rng)
{
	const struct capos_startup *record = startup();
	uint64_t h = rng_below(rng, 2) ? pool[rng_below(rng, POOL)]
				       : record->caps[rng_below(rng, record->cap_count)].handle;

	return rng_below(rng, 12) ? h : h ^ 1ull << rng_below(rng, 64);
}

/* Mostly a method of the handle's own interface. */
static const struct method_row *some_method(struct rng *rng, uint64_t h)
{
	const struct method_row *row = &rows[rng_below(rng, COUNT_OF(rows))];
	uint32_t iface = 0;

	if (rng_below(rng, 8) == 0 || !result_ok(cap_table_info(known.caps, h, &iface, NULL, NULL)))
		return row;
	for (unsigned tries = 0; tries < 4 * COUNT_OF(rows) && row->iface != iface; tries++)
		row = &rows[rng_below(rng, COUNT_OF(rows))];
	return row;
}

/* A message: often what the method might take. */
static void some_message(struct rng *rng, const struct method_row *row)
{
	struct capos_thread_page *page = self_page();
	struct capos_spawn spawn;

	if (row->iface == CAPOS_IFACE_process_spawner && rng_below(rng, 2)) {
		child_init(&spawn, rng_below(rng, 2) ? "sleep" : "threads 2 fault");
		spawn.memory_bytes = 320u << 10;
		spawn.slots = 24;
		message_put(&spawn,
			    offsetof(struct capos_spawn, grants) + spawn.grant_count * sizeof(struct capos_grant));
	} else {
		for (unsigned i = 0; i < 64; i++)
			page->message[rng_below(rng, CAPOS_MESSAGE_BYTES)] = (uint8_t)rng_next(rng);
		page->send_bytes = (uint32_t)(1 + rng_below(rng, row->bytes_in ? row->bytes_in : 64));
	}
	for (uint64_t flips = rng_below(rng, 4); flips > 0; flips--)
		page->message[rng_below(rng, 200)] = (uint8_t)rng_next(rng);
	if (rng_below(rng, 16) == 0)
		page->send_bytes = (uint32_t)(rng_next(rng) >> rng_below(rng, 64));
	page->send_caps = (uint32_t)rng_below(rng, rng_below(rng, 8) ? 5 : ~0u);
	for (unsigned i = 0; i < CAPOS_MESSAGE_CAPS; i++)
		page->send_cap[i] = pool[rng_below(rng, POOL)];
	page->accept_caps = (uint32_t)rng_below(rng, 6);
}

static bool would_stop_us(const struct method_row *row, struct rng *rng)
{
	return (row->iface == CAPOS_IFACE_thread && row->method <= CAPOS_METHOD_thread_terminate &&
		rng_below(rng, 200)) ||
	       (row->iface == CAPOS_IFACE_process && rng_below(rng, 4));
}

static void one_call(struct rng *rng)
{
	uint64_t word[CAPOS_WORDS], h = some_handle(rng);
	const struct method_row *row = some_method(rng, h);
	unsigned op = rng_below(rng, 16) ? CAPOS_OP_CALL : (unsigned)rng_below(rng, 16);
	unsigned words = rng_below(rng, 8) ? row->words_in : (unsigned)rng_below(rng, 16);
	unsigned flags =
		rng_below(rng, 12) ? (row->bytes_in ? CAPOS_CALL_MESSAGE : 0) : (unsigned)rng_below(rng, 256);
	struct capos_result r;

	if (would_stop_us(row, rng))
		return;
	for (unsigned i = 0; i < CAPOS_WORDS; i++)
		word[i] = some_word(rng);
	if (op == CAPOS_OP_ENTER || op == CAPOS_OP_RECV)
		word[op == CAPOS_OP_ENTER] = rng_below(rng, 40) ? now_ns() + rng_below(rng, 20000) : CAPOS_NEVER;
	some_message(rng, row);
	r = call_words(h,
		       CAPOS_CALL_WORD(rng_below(rng, 16) ? row->iface : (uint32_t)some_word(rng),
				       rng_below(rng, 16) ? row->method : rng_next(rng), op, words, flags),
		       word);
	__atomic_add_fetch(&counters[r.status < 31 ? r.status : 31], 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&counters[COUNTER_CALLS], 1, __ATOMIC_RELAXED);
	if (result_ok(r) && word[0])
		pool[rng_below(rng, POOL)] = word[0];
}

static void some_ring(struct rng *rng)
{
	for (uint64_t n = rng_below(rng, 6); n > 0; n--) {
		uint64_t h = some_handle(rng);
		const struct method_row *row = some_method(rng, h);
		struct capos_sqe entry =
			ring_entry(n, h,
				   CAPOS_CALL_WORD(row->iface, row->method,
						   rng_below(rng, 12) ? 0 : rng_below(rng, 16), row->words_in,
						   row->bytes_in ? CAPOS_CALL_MESSAGE : 0),
				   now_ns() + rng_below(rng, 100000), some_word(rng), some_word(rng), some_word(rng),
				   some_word(rng));

		if (!would_stop_us(row, rng))
			(void)ring_submit(&entry);
	}
	(void)ring_enter(rng_below(rng, 3), now_ns() + rng_below(rng, 20000));
	if (rng_below(rng, 2))
		__atomic_store_n(&self_page()->cq_head, self_page()->cq_tail, __ATOMIC_RELEASE);
	if (rng_below(rng, 4) == 0)
		__atomic_store_n(&self_page()->sq_tail, self_page()->sq_head, __ATOMIC_RELEASE);
}

static uint64_t grind(void *argument)
{
	uint64_t seed = (uintptr_t)argument;
	struct rng rng;

	rng_seed(&rng, seed);
	pages[seed % (WORKERS + 1)] = self_page();
	for (uint64_t i = 0; i < calls_each / WORKERS; i++) {
		if (rng_below(&rng, 10) == 0)
			some_ring(&rng);
		else
			one_call(&rng);
	}
	/* The page is unmapped with its thread: first the scribbler must be gone. */
	if (__atomic_add_fetch(&done, 1, __ATOMIC_ACQ_REL) == WORKERS)
		event_set(&all_done);
	event_wait(&scribbler_gone);
	return 0;
}

/* Changes the thread pages of the others, and makes and unmakes mappings. */
static uint64_t scribble(void *argument)
{
	struct rng rng;

	rng_seed(&rng, (uintptr_t)argument);
	for (;;) {
		struct capos_thread_page *page = pages[rng_below(&rng, WORKERS + 1)];
		struct block block;

		if (!page) {
			yield();
			continue;
		}
		switch (rng_below(&rng, 8)) {
		case 0:
			page->send_bytes = (uint32_t)rng_next(&rng);
			break;
		case 1:
			page->send_caps = (uint32_t)rng_below(&rng, 9);
			break;
		case 2:
			page->sq_tail += (uint32_t)rng_below(&rng, 34);
			break;
		case 3:
			page->cq_head = (uint32_t)rng_next(&rng);
			break;
		case 4:
			page->sq[rng_below(&rng, CAPOS_SQ_ENTRIES)].word[rng_below(&rng, 4)] = some_word(&rng);
			break;
		case 5:
			page->accept_caps = (uint32_t)rng_below(&rng, 9);
			break;
		case 6:
			if (result_ok(block_map(&block, CAPOS_PAGE_BYTES * (1 + rng_below(&rng, 8)))))
				block_unmap(&block);
			break;
		default:
			page->message[rng_below(&rng, CAPOS_MESSAGE_BYTES)] = (uint8_t)rng_next(&rng);
			break;
		}
	}
	return 0;
}

static int hostile(uint64_t seed, uint64_t calls)
{
	struct thread workers[WORKERS], scribbler;
	uint64_t address = 0;
	unsigned started = 0;

	if (!result_ok(address_space_map(known.space, cap_need("shared"), 0, 0, CAPOS_PAGE_BYTES, CAPOS_MAP_WRITE,
					 &address)))
		return 1;
	counters = (uint64_t *)address;
	drop(cap("shared")); /* or it would write there by random calls */
	calls_each = calls;
	for (unsigned i = 0; i < POOL; i++)
		pool[i] = startup()->caps[i % startup()->cap_count].handle;
	for (; started < WORKERS; started++)
		if (!result_ok(thread_start(&workers[started], grind, (void *)(uintptr_t)(seed * 8 + started))))
			return 2;
	(void)thread_start(&scribbler, scribble, (void *)(uintptr_t)(seed * 8 + 7));
	event_wait(&all_done);
	(void)thread_terminate(scribbler.handle);
	(void)thread_join(scribbler.handle, CAPOS_NEVER, NULL, NULL);
	event_set(&scribbler_gone);
	return 0;
}

/* --- the supervisor ----------------------------------------------------------------------------------------------------- */

static uint64_t ends[CAPOS_EXIT_START_FAILED + 1];

static void start_hostile(uint64_t seed, const struct block *shared, uint64_t patience_ns)
{
	const char *const names[] = { "entropy", "wall_clock", "system_info", "trace", "process_spawner", "console" };
	struct capos_spawn spawn;
	struct process_end end = { 0 };
	capos_handle process = 0;
	char args[64];

	fmt_buf(args, sizeof(args), "hostile %lu %u", (unsigned long)seed, CALLS_EACH);
	child_init(&spawn, args);
	copy_name(spawn.program, sizeof(spawn.program), "grind");
	spawn.memory_bytes = 4u << 20;
	spawn.slots = 160;
	spawn.threads = 12;
	spawn.processes = 3;
	for (unsigned i = 0; i < COUNT_OF(names); i++) {
		uint32_t rights = CAPOS_RIGHT_READ | CAPOS_RIGHT_GRANT;

		/* It may not write to the console that this report goes to; it may ask for it. */
		if (strcmp(names[i], "process_spawner") == 0)
			rights |= CAPOS_RIGHT_CREATE;
		if (cap(names[i]))
			(void)spawn_grant(&spawn, names[i], cap(names[i]), rights);
	}
	(void)spawn_grant(&spawn, "shared", shared->memory, CAPOS_RIGHT_READ | CAPOS_RIGHT_WRITE);
	insist(spawn_start(&spawn, &process, NULL));

	struct capos_result r = process_wait(process, now_ns() + patience_ns, &end);

	if (!result_ok(r))
		(void)process_kill(process, 1);
	must(spawn_finish(process, CAPOS_NEVER, &end));
	ends[end.cause < COUNT_OF(ends) ? end.cause : 0]++;
}

static void histogram(const uint64_t *counts)
{
	for (unsigned i = 0; i < 32; i++)
		if (counts[i])
			tap_note("%8lu %s", (unsigned long)counts[i], i < 31 ? status_name(i) : "unknown status");
	for (unsigned i = 0; i < COUNT_OF(ends); i++)
		if (ends[i])
			tap_note("%8lu processes ended by: %s", (unsigned long)ends[i], exit_cause_name(i));
}

static int supervise(uint64_t seed, uint64_t calls)
{
	struct capos_memory_info first = { 0 }, last = { 0 };
	struct capos_spawn spawn;
	capos_handle server = 0, port = 0;
	uint64_t sum = 0, word[2], started = 0, good = 0;
	struct block shared;
	struct usage before;
	uint64_t *counts;

	tap_plan(5);
	tap_note("seed %lu, %lu calls", (unsigned long)seed, (unsigned long)calls);
	grow_table();
	(void)child_run("exit 0");
	insist(block_map(&shared, CAPOS_PAGE_BYTES));
	counts = shared.address;
	start_hostile(seed * 1000003, &shared, MS);
	before = usage_now();
	(void)system_info_memory(known.system_info, &first);
	insist(factory_endpoint(known.factory, PROOF_IFACE, &port));
	child_init(&spawn, "serve");
	(void)spawn_grant(&spawn, "port", port, CAPOS_RIGHT_RECV);
	insist(spawn_start(&spawn, &server, NULL));
	while (counts[COUNTER_CALLS] < calls && started < calls / 20) {
		start_hostile(seed * 1000003 + ++started, &shared, on_simulator() ? 3 * MS : 60 * MS);
		sum += started;
		word[0] = started;
		good += result_ok(endpoint_call(port, PROOF_IFACE, PROOF_SUM, word, 1, word, 1)) && word[0] == sum;
	}
	histogram(counts);
	tap_ok(counts[COUNTER_CALLS] >= calls, "%lu hostile calls by %lu processes",
	       (unsigned long)counts[COUNTER_CALLS], (unsigned long)started);
	tap_ok(good == started && counts[31] == 0, "a bystander served its calls all the time");
	(void)endpoint_call(port, PROOF_IFACE, PROOF_STOP, NULL, 0, NULL, 0);
	tap_ok(ended(child_end(server), CAPOS_EXIT_NORMAL, 0), "and ended well");
	destroy(port);
	tap_returns(before, "this process uses what it used before");
	bool back = becomes_true(result_ok(system_info_memory(known.system_info, &last)) &&
				 last.frames_free + 64 >= first.frames_free);

	tap_ok(back, "the machine has its memory back: %lu frames free before, %lu after",
	       (unsigned long)first.frames_free, (unsigned long)last.frames_free);
	block_unmap(&shared);
	return tap_done();
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "hostile") == 0)
		return hostile(number_of(argv[2]), number_of(argv[3]));

	uint64_t calls = argc > 2 ? number_of(argv[2]) : on_simulator() ? CALLS_SIM : CALLS_QEMU;

	return supervise(argc > 1 ? number_of(argv[1]) : 1, calls);
}
