/* SPDX-License-Identifier: MIT */
/*
 * The coverage-guided fuzzer: libFuzzer around the simulator. An input is a case (user/proofs/fuzzcalls/case.h); for each the
 * machine boots anew, with CPUs, faults and schedule by its header, and the program fuzzcalls performs it. An input is bad if
 * the machine does not end with exit code 0: a panic, a checker, a sanitizer, a leak that the program tells, a deadlock, too long.
 *
 * Every run begins with the same state: the variables of core and simulator lie in sections of their own (sections.h), which are
 * set back to what they were when the process began. CAPOS_FUZZ_ARCHIVE names the boot archive; CAPOS_FUZZ_STATS a file to which
 * a line with totals is added at the end; CAPOS_FUZZ_VERBOSE shows the console.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "../../mach/sim/host.h"
#include "../../mach/sim/sim.h"
#include "fuzz.h"

#define RUN_SECONDS_MAX 20 /* of CPU time */
#define MEMORY_MIB 16

struct sim_options sim_options = { .mem_mib = MEMORY_MIB, .limit_ms = 60000, .embedded = true, .quiet = true };
struct sim_result *sim_result;

extern u8 __start_sim_data[], __stop_sim_data[], __start_sim_bss[], __stop_sim_bss[];

static struct sim_result result;
static u8 *first_data;
static u8 *archive;
static long archive_bytes;
static char archive_path[64];
static struct {
	u64 runs, calls, entries;
} totals;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const u8 *data, size_t bytes);

/* Variables have ASan's red zones between them: no memcpy. */
__attribute__((no_sanitize("address", "undefined"))) static void copy(volatile u8 *to, const volatile u8 *from,
								      size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = from != NULL ? from[i] : 0;
}

static void set_back(void)
{
	copy(__start_sim_data, first_data, (size_t)(__stop_sim_data - __start_sim_data));
	copy(__start_sim_bss, NULL, (size_t)(__stop_sim_bss - __start_sim_bss));
}

/* Twice in one run: it hangs. In user code or on a CPU's stack, so on the stack for signals. */
static void on_alarm(int number)
{
	static u64 last_run;

	(void)number;
	if (last_run == totals.runs)
		sim_die(SIM_EXIT_ERROR, "the run takes more than %d s of CPU time", RUN_SECONDS_MAX);
	last_run = totals.runs;
}

static void end(void)
{
	const char *path = getenv("CAPOS_FUZZ_STATS");
	FILE *file = path != NULL ? fopen(path, "a") : NULL;

	fprintf(stderr, "fuzz: %llu runs, %llu calls, %llu kernel entries\n", (unsigned long long)totals.runs,
		(unsigned long long)totals.calls, (unsigned long long)totals.entries);
	if (file == NULL)
		return;
	fprintf(file, "runs=%llu calls=%llu entries=%llu\n", (unsigned long long)totals.runs,
		(unsigned long long)totals.calls, (unsigned long long)totals.entries);
	fclose(file);
}

static void read_archive(const char *path)
{
	FILE *file = path != NULL ? fopen(path, "rb") : NULL;

	if (file == NULL) {
		fprintf(stderr, "capos-fuzz: CAPOS_FUZZ_ARCHIVE names no archive\n");
		exit(1);
	}
	fseek(file, 0, SEEK_END);
	archive_bytes = ftell(file);
	rewind(file);
	archive = malloc((size_t)archive_bytes);
	if (archive == NULL || fread(archive, 1, (size_t)archive_bytes, file) != (size_t)archive_bytes)
		abort();
	fclose(file);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const struct itimerval every = { { RUN_SECONDS_MAX, 0 }, { RUN_SECONDS_MAX, 0 } };
	struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_ONSTACK | SA_RESTART };
	size_t bytes = (size_t)(__stop_sim_data - __start_sim_data);

	(void)argc;
	(void)argv;
	first_data = malloc(bytes);
	if (first_data == NULL)
		abort();
	copy(first_data, __start_sim_data, bytes);
	sim_options.quiet = getenv("CAPOS_FUZZ_VERBOSE") == NULL;
	read_archive(getenv("CAPOS_FUZZ_ARCHIVE"));
	sigaction(SIGPROF, &action, NULL);
	setitimer(ITIMER_PROF, &every, NULL);
	atexit(end);
	return 0;
}

/* The archive with the case in it, as a file of this process. */
static void put_case(const u8 *data, u32 bytes)
{
	static struct cases *slot;
	static int fd = -1;

	for (long at = 0; slot == NULL && at + (long)sizeof(*slot) < archive_bytes; at += 16)
		if (memcmp(archive + at, CASES_MAGIC, sizeof(slot->magic)) == 0)
			slot = (struct cases *)(void *)(archive + at);
	if (slot == NULL || sizeof(bytes) + bytes > CASES_SLOT_BYTES)
		abort();
	slot->count = 1;
	slot->bytes = (u32)ALIGN_UP(sizeof(bytes) + bytes, 4ul);
	memset(slot->data, 0, slot->bytes);
	memcpy(slot->data, &bytes, sizeof(bytes));
	memcpy(slot->data + sizeof(bytes), data, bytes);
	if (fd < 0) {
		fd = host_memory_file((u64)archive_bytes);
		snprintf(archive_path, sizeof(archive_path), "/proc/self/fd/%d", fd);
	}
	if (pwrite(fd, archive, (size_t)archive_bytes, 0) != archive_bytes)
		abort();
}

/* "# cases 1 calls N" in what the program said. */
static u64 calls_made(void)
{
	u32 bytes;
	const char *text = sim_console_recent(&bytes);
	static const char before[] = "# cases 1 calls ";
	const char *at = memmem(text, bytes, before, sizeof(before) - 1);

	return at != NULL ? strtoull(at + sizeof(before) - 1, NULL, 10) : 0;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t bytes)
{
	static const u32 cpus[] = { 1, 2, 3, 4, 2, 4, 8, 2 };
	const struct case_header *header = (const void *)data;

	if (bytes < sizeof(*header) || bytes > FUZZ_CASE_BYTES_MAX)
		return -1;
	put_case(data, (u32)bytes);
	set_back();
	totals.runs++;
	sim_result = &result;
	sim_options.archive = archive_path;
	sim_options.cpus = cpus[header->cpus % ARRAY_COUNT(cpus)];
	sim_options.faults = header->faults % 4;
	sim_options.seed = header->seed[0] | (u64)header->seed[1] << 8;
	u32 code = sim_run();
	if (code != 0) {
		u32 n;
		const char *text = sim_console_recent(&n);
		fprintf(stderr, "capos-fuzz: the run ended with exit code %u; the console's end:\n%.*s\n", code,
			(int)MIN(n, 6000u), text + (n > 6000 ? n - 6000 : 0));
		abort();
	}
	totals.calls += calls_made();
	totals.entries += result.entries;
	return 0;
}
