/* SPDX-License-Identifier: MIT */
#include "workload.h"

#define LINE_BYTES 128u
#define CACHE_LINE 64ul
#define SLOT_STRIDE_PADDED (2 * CACHE_LINE / sizeof(uint64_t)) /* hardware fetches lines in pairs */

struct worker {
	const uint64_t *first, *end;
	uint64_t rounds;
	uint64_t *slot;
	uint64_t begin, ended; /* host_ticks */
} __attribute__((aligned(2 * CACHE_LINE)));

static struct worker workers[SCALE_WORKERS_MAX];
static uint64_t slots[SCALE_WORKERS_MAX * SLOT_STRIDE_PADDED] __attribute__((aligned(2 * CACHE_LINE)));

/* Operations of bench/profile.c: setup, run, unmap. The bytes of the instruction tell that one begins (2n) or has ended. */
#define MARK(n) __asm__ volatile("nopl %c0(%%rax)" ::"i"(0x43430000 + (n)) : "memory")

/*
 * The work itself, and all of it: what else runs between start and join is the system's. No vector registers, so that both
 * systems' compilers make the same of it. Each block's digest goes to the slot at once: neighbours share its cache line.
 */
__attribute__((noinline, noclone, target("general-regs-only"))) static void scale_work(const struct worker *worker)
{
	const uint64_t rounds = worker->rounds;
	uint64_t *const slot = worker->slot;
	uint64_t sum = 0;

	for (const uint64_t *word = worker->first; word < worker->end; word += SCALE_BLOCK_WORDS) {
		uint64_t a = word[0], b = word[1], c = word[2], d = word[3];
		uint64_t e = word[4], f = word[5], g = word[6], h = word[7];
		uint64_t digest = 0;

#define STEP(x) (x = x * SCALE_FACTOR + SCALE_TERM)
		for (uint64_t i = 0; i < rounds; i++)
			STEP(a), STEP(b), STEP(c), STEP(d), STEP(e), STEP(f), STEP(g), STEP(h);
#define FOLD(x) (digest = (((digest << SCALE_FOLD_BITS) | (digest >> (64 - SCALE_FOLD_BITS))) ^ (x)) * SCALE_FOLD)
		FOLD(a), FOLD(b), FOLD(c), FOLD(d), FOLD(e), FOLD(f), FOLD(g), FOLD(h);
		sum += digest;
		__atomic_store_n(slot, sum, __ATOMIC_RELAXED);
	}
}

static uint64_t run_worker(void *argument)
{
	struct worker *worker = argument;

	worker->begin = host_ticks();
	scale_work(worker);
	worker->ended = host_ticks();
	return 0;
}

static void fill(uint64_t *words, uint64_t count)
{
	uint64_t value = 0;

	for (uint64_t i = 0; i < count; i++)
		words[i] = value += SCALE_SEED;
}

/* Shares differ by one block at most. */
static void share_out(const struct scale_case *wanted, const uint64_t *words)
{
	size_t stride = wanted->padded ? SLOT_STRIDE_PADDED : 1;

	for (uint32_t i = 0; i < wanted->workers; i++) {
		uint64_t first = wanted->blocks * i / wanted->workers,
			 end = wanted->blocks * (i + 1) / wanted->workers;

		workers[i] = (struct worker){ .first = words + first * SCALE_BLOCK_WORDS,
					      .end = words + end * SCALE_BLOCK_WORDS,
					      .rounds = wanted->rounds,
					      .slot = &slots[i * stride] };
		*workers[i].slot = 0;
	}
}

/* Starts the workers and waits for each; those that were started are joined even when one could not be. */
static bool fork_join(uint32_t count)
{
	uint32_t started = 0;
	bool good = true;

	while (started < count && host_start(started, run_worker, &workers[started]))
		started++;
	for (uint32_t i = 0; i < started; i++)
		good = host_join(i) && good;
	return good && started == count;
}

static void take_spans(uint32_t count, struct scale_result *result)
{
	uint64_t first_begin = workers[0].begin, last_begin = first_begin;
	uint64_t first_end = workers[0].ended, last_end = first_end;

	for (uint32_t i = 0; i < count; i++) {
		const struct worker *worker = &workers[i];

		first_begin = worker->begin < first_begin ? worker->begin : first_begin;
		last_begin = worker->begin > last_begin ? worker->begin : last_begin;
		first_end = worker->ended < first_end ? worker->ended : first_end;
		last_end = worker->ended > last_end ? worker->ended : last_end;
		result->sum += *worker->slot;
	}
	result->work = last_end - first_begin;
	result->begin_skew = last_begin - first_begin;
	result->end_skew = last_end - first_end;
}

bool scale_run(const struct scale_case *wanted, struct scale_result *result)
{
	size_t bytes = wanted->blocks * SCALE_BLOCK_BYTES;
	uint64_t begin = host_ticks(), begin_ns;
	uint64_t *words;
	bool good;

	*result = (struct scale_result){ 0 };
	host_phase(SCALE_SETUP);
	MARK(0);
	words = host_map(bytes);
	if (words == NULL) {
		host_print("thread-scale: no memory for %lu bytes\n", (unsigned long)bytes);
		return false;
	}
	fill(words, wanted->blocks * SCALE_BLOCK_WORDS);
	share_out(wanted, words);
	MARK(1);
	result->setup = host_ticks() - begin;

	host_phase(SCALE_RUN);
	begin_ns = host_ns();
	begin = host_ticks();
	MARK(2);
	good = fork_join(wanted->workers);
	MARK(3);
	result->total = host_ticks() - begin;
	result->total_ns = host_ns() - begin_ns;

	take_spans(wanted->workers, result);
	host_phase(SCALE_UNMAP);
	MARK(4);
	host_unmap(words, bytes);
	MARK(5);
	host_phase(SCALE_OTHER);
	if (!good)
		host_print("thread-scale: could not start or join %u workers\n", wanted->workers);
	return good;
}

/* --- on request --------------------------------------------------------------------------------------------------------- */

/* The number at *text, and *text behind it and the spaces that follow; 0 where none is. */
static uint64_t number(const char **text)
{
	uint64_t value = 0;

	while (**text >= '0' && **text <= '9')
		value = value * 10 + (uint64_t)(*(*text)++ - '0');
	while (**text == ' ')
		(*text)++;
	return value;
}

static bool serve_case(const char *line)
{
	struct scale_case wanted;
	struct scale_result r;
	bool good;

	wanted.blocks = number(&line);
	wanted.rounds = number(&line);
	wanted.workers = (uint32_t)number(&line);
	wanted.padded = *line == 'p';
	if (wanted.blocks == 0 || wanted.workers == 0 || wanted.workers > SCALE_WORKERS_MAX) {
		host_print("thread-scale: BLOCKS ROUNDS WORKERS(1..%u) padded|compact\n", SCALE_WORKERS_MAX);
		return false;
	}
	host_case(true);
	good = scale_run(&wanted, &r);
	host_case(false);
	if (!good)
		return false;
	host_print(
		"thread-scale: class=fork-join process=one parent=blocking-join blocks=%lu bytes=%lu work_rounds=%lu "
		"workers=%u slots=%s setup_ticks=%lu work_ticks=%lu total_ticks=%lu begin_skew_ticks=%lu "
		"end_skew_ticks=%lu total_ns=%lu sum=%016lx\n",
		(unsigned long)wanted.blocks, (unsigned long)(wanted.blocks * SCALE_BLOCK_BYTES),
		(unsigned long)wanted.rounds, wanted.workers, wanted.padded ? "padded" : "compact",
		(unsigned long)r.setup, (unsigned long)r.work, (unsigned long)r.total, (unsigned long)r.begin_skew,
		(unsigned long)r.end_skew, (unsigned long)r.total_ns, (unsigned long)r.sum);
	return true;
}

static bool is_case(const char *line)
{
	return line[0] >= '0' && line[0] <= '9';
}

bool scale_serve(void)
{
	char line[LINE_BYTES];

	for (;;) {
		host_print("thread-scale: ready\n");
		if (!host_line(line, sizeof(line)))
			return false;
		if (line[0] == 'e')
			return true;
		if (line[0] != 0 && !(is_case(line) ? serve_case(line) : host_command(line)))
			return false;
	}
}
