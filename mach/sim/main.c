/* SPDX-License-Identifier: MIT */
/*
 * capos-sim: options, one run, or many seeds.
 *
 * Many seeds run in one child each, forked from a parent that has touched nothing; a failing seed is printed with the
 * tail of its output and the command that replays it.
 */
#include "sim.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

#define JOBS_MAX 64
#define FAILURES_SHOWN 10
#define OUTPUT_SHOWN 40 /* lines */

struct sim_options sim_options = { .seed = 1, .cpus = 4, .mem_mib = 64, .faults = -1, .limit_ms = 60000 };
struct sim_result *sim_result;

static struct {
	u64 first, last;
	bool many;
	u32 jobs;
} batch = { .jobs = 1 };

static char **arguments;
static int argument_count;

static const char usage[] =
	"usage: capos-sim --archive FILE [options]\n"
	"  --seed N             the run's seed (default 1)\n"
	"  --seeds A..B         one run per seed; prints failing ones and a summary\n"
	"  -j, --jobs N         seeds at a time (default 1)\n"
	"  --cpus N             1 to 1024 (default 4)\n"
	"  --mem MIB            physical memory (default 64)\n"
	"  --topology P,C,T     packages, cores each, threads each (default: drawn)\n"
	"  --faults 0..3        1: late timers, slow IPIs, spurious interrupts; 2: early timers, windows without their\n"
	"                       interrupts; 3: a starved CPU, pauses of the machine (default: drawn). 2 and 3 also have\n"
	"                       failing allocations, which a drawn level never has\n"
	"  --tsc KIND           what the clock's counter does: exact (default), dead, halting, backward, fast, slow, crawling,\n"
	"                       differ, drift, wild, or drawn\n"
	"  --cmdline TEXT       kernel command line\n"
	"  --input FILE|-       console input: lines to type, `@expect TEXT`, `@wait MS`\n"
	"  --interactive        console on the terminal (Ctrl-A ends)\n"
	"  --time-limit MS      virtual time (default 60000)\n"
	"  --quiet              no console output\n"
	"  --trace              every event to stderr\n"
	"  --full               programs that enumerate steps do so in full, not by samples\n"
	"exit codes: 0 ok, 1 tests failed, 2 panic, 3 bad manifest, 4 deadlock, 5 time limit, 6 simulator error\n";

NORETURN static void refuse(const char *what)
{
	fprintf(stderr, "capos-sim: %s\n%s", what, usage);
	exit(SIM_EXIT_ERROR);
}

static void parse_seeds(const char *text)
{
	char *end;

	batch.first = strtoull(text, &end, 0);
	if (strncmp(end, "..", 2) != 0)
		refuse("--seeds A..B");
	batch.last = strtoull(end + 2, NULL, 0);
	batch.many = true;
}

static void parse_options(int argc, char **argv)
{
	enum {
		SEED = 256,
		SEEDS,
		CPUS,
		MEM,
		TOPOLOGY,
		FAULTS,
		TSC,
		CMDLINE,
		INPUT,
		INTERACTIVE,
		LIMIT,
		QUIET,
		TRACE,
		FULL,
		ARCHIVE
	};
	static const struct option options[] = {
		{ "archive", 1, NULL, ARCHIVE },   { "seed", 1, NULL, SEED },
		{ "seeds", 1, NULL, SEEDS },	   { "jobs", 1, NULL, 'j' },
		{ "cpus", 1, NULL, CPUS },	   { "mem", 1, NULL, MEM },
		{ "topology", 1, NULL, TOPOLOGY }, { "faults", 1, NULL, FAULTS },
		{ "tsc", 1, NULL, TSC },	   { "cmdline", 1, NULL, CMDLINE },
		{ "input", 1, NULL, INPUT },	   { "interactive", 0, NULL, INTERACTIVE },
		{ "time-limit", 1, NULL, LIMIT },  { "quiet", 0, NULL, QUIET },
		{ "trace", 0, NULL, TRACE },	   { "full", 0, NULL, FULL },
		{ "help", 0, NULL, 'h' },	   { NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "j:h", options, NULL)) != -1) {
		switch (option) {
		case ARCHIVE:
			sim_options.archive = optarg;
			break;
		case SEED:
			sim_options.seed = strtoull(optarg, NULL, 0);
			break;
		case SEEDS:
			parse_seeds(optarg);
			break;
		case 'j':
			batch.jobs = (u32)strtoul(optarg, NULL, 0);
			break;
		case CPUS:
			sim_options.cpus = (u32)strtoul(optarg, NULL, 0);
			break;
		case MEM:
			sim_options.mem_mib = (u32)strtoul(optarg, NULL, 0);
			break;
		case TOPOLOGY:
			if (sscanf(optarg, "%u,%u,%u", &sim_options.topology[0], &sim_options.topology[1],
				   &sim_options.topology[2]) != 3)
				refuse("--topology P,C,T");
			break;
		case FAULTS:
			sim_options.faults = (int)strtol(optarg, NULL, 0);
			break;
		case TSC:
			sim_options.tsc = sim_tsc_of(optarg);
			if (sim_options.tsc < 0 && strcmp(optarg, "drawn") != 0)
				refuse("--tsc KIND");
			break;
		case CMDLINE:
			sim_options.cmdline = optarg;
			break;
		case INPUT:
			sim_options.input = optarg;
			break;
		case INTERACTIVE:
			sim_options.interactive = true;
			break;
		case LIMIT:
			sim_options.limit_ms = strtoull(optarg, NULL, 0);
			break;
		case QUIET:
			sim_options.quiet = true;
			break;
		case TRACE:
			sim_options.trace = true;
			break;
		case FULL:
			sim_options.full = true;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			refuse("unknown option");
		}
	}
	if (optind != argc)
		refuse("unexpected argument");
	if (sim_options.cpus < 1 || sim_options.cpus > SIM_CPUS_MAX)
		refuse("--cpus is 1 to 1024");
	if (sim_options.faults > 3 || sim_options.mem_mib < 8 || batch.jobs < 1 || batch.jobs > JOBS_MAX)
		refuse("--faults is 0 to 3, --mem at least 8, --jobs 1 to 64");
}

/* "boot-NAME.cpio" -> "NAME" */
static const char *workload_name(void)
{
	static char name[64];
	const char *base = sim_options.archive != NULL ? sim_options.archive : "none";
	const char *slash = strrchr(base, '/');

	base = slash != NULL ? slash + 1 : base;
	snprintf(name, sizeof(name), "%s", strncmp(base, "boot-", 5) == 0 ? base + 5 : base);
	char *dot = strrchr(name, '.');
	if (dot != NULL)
		*dot = 0;
	return name;
}

static u64 rate(u64 entries, u64 host_ns)
{
	return host_ns == 0 ? 0 : (u64)((double)entries * 1e9 / (double)host_ns);
}

static void print_run(u64 seed, const struct sim_result *result)
{
	printf("sim %s: seed=%llu cpus=%u exit=%u entries=%llu entries_per_second=%llu virtual_ms=%llu trace_hash=%016llx\n",
	       workload_name(), (unsigned long long)seed, sim_options.cpus, result->exit_code,
	       (unsigned long long)result->entries, (unsigned long long)rate(result->entries, result->host_ns),
	       (unsigned long long)(result->virtual_ns / 1000000), (unsigned long long)result->hash);
	fflush(stdout);
}

/* --- children ------------------------------------------------------------------------------------------------- */

struct job {
	pid_t pid; /* 0: free */
	u64 seed;
	FILE *output; /* NULL: inherited */
};

static struct job jobs[JOBS_MAX];
static struct sim_result *results; /* shared with the children, one per job */

static void start_job(u32 index, u64 seed, bool capture)
{
	struct job *job = &jobs[index];

	job->seed = seed;
	job->output = capture ? tmpfile() : NULL;
	results[index] = (struct sim_result){ .exit_code = SIM_EXIT_ERROR };
	fflush(NULL);
	job->pid = fork();
	if (job->pid < 0)
		refuse("fork failed");
	if (job->pid > 0)
		return;
	if (job->output != NULL) {
		dup2(fileno(job->output), 1);
		dup2(fileno(job->output), 2);
	}
	sim_result = &results[index];
	sim_options.seed = seed;
	exit((int)sim_run());
}

/* Wait for one; its index. `code` is what its process said. */
static u32 finish_job(u32 *code)
{
	int status;
	pid_t pid = wait(&status);

	for (u32 i = 0; i < JOBS_MAX; i++) {
		if (jobs[i].pid != pid || pid <= 0)
			continue;
		jobs[i].pid = 0;
		*code = WIFEXITED(status) ? (u32)WEXITSTATUS(status) : (u32)SIM_EXIT_ERROR;
		if (WIFSIGNALED(status))
			fprintf(stderr, "capos-sim: seed %llu ended by signal %d\n", (unsigned long long)jobs[i].seed,
				WTERMSIG(status));
		results[i].exit_code = *code;
		return i;
	}
	refuse("lost a child");
}

static void show_output(FILE *output)
{
	static char text[1 << 16];
	long start, end;

	fseek(output, 0, SEEK_END);
	end = ftell(output);
	start = end > (long)sizeof(text) ? end - (long)sizeof(text) : 0;
	fseek(output, start, SEEK_SET);
	size_t n = fread(text, 1, sizeof(text), output);
	u32 lines = 0;
	size_t from = n;
	while (from > 0 && lines <= 2 * OUTPUT_SHOWN) {
		from--;
		lines += text[from] == '\n';
	}
	fwrite(text + from, 1, n - from, stdout);
}

static void print_replay(u64 seed)
{
	printf("replay:");
	for (int i = 0; i < argument_count; i++) {
		const char *word = arguments[i];
		if (strcmp(word, "--seeds") == 0 || strcmp(word, "-j") == 0 || strcmp(word, "--jobs") == 0) {
			i++;
			continue;
		}
		if (strncmp(word, "--seeds=", 8) == 0 || strncmp(word, "-j", 2) == 0 ||
		    strncmp(word, "--jobs=", 7) == 0)
			continue;
		printf(strpbrk(word, " \t'\"") != NULL ? " '%s'" : " %s", word);
	}
	printf(" --seed %llu\n", (unsigned long long)seed);
}

static int run_many(void)
{
	u64 next = batch.first, entries = 0, host_ns = 0, failed = 0, hash = 0;
	u32 running = 0, worst = 0;

	while (next <= batch.last || running > 0) {
		if (next <= batch.last && running < batch.jobs) {
			u32 free_index = 0;
			while (jobs[free_index].pid != 0)
				free_index++;
			start_job(free_index, next++, true);
			running++;
			continue;
		}
		u32 code, index = finish_job(&code);
		running--;
		entries += results[index].entries;
		host_ns += results[index].host_ns;
		hash += results[index].hash * (2 * jobs[index].seed + 1); /* order of finishing does not matter */
		if (code != 0 && failed++ < FAILURES_SHOWN) {
			printf("---- seed %llu failed, exit %u\n", (unsigned long long)jobs[index].seed, code);
			show_output(jobs[index].output);
			print_run(jobs[index].seed, &results[index]);
			print_replay(jobs[index].seed);
		} else if (code != 0) {
			printf("---- seed %llu failed, exit %u\n", (unsigned long long)jobs[index].seed, code);
		}
		worst = MAX(worst, code);
		fclose(jobs[index].output);
	}
	printf("sim %s: seeds=%llu failed=%llu cpus=%u entries=%llu entries_per_second=%llu trace_hash=%016llx\n",
	       workload_name(), (unsigned long long)(batch.last - batch.first + 1), (unsigned long long)failed,
	       sim_options.cpus, (unsigned long long)entries, (unsigned long long)rate(entries, host_ns),
	       (unsigned long long)hash);
	return (int)worst;
}

static int run_one(void)
{
	u32 code, index;

	start_job(0, sim_options.seed, false);
	index = finish_job(&code);
	print_run(sim_options.seed, &results[index]);
	return (int)code;
}

int main(int argc, char **argv)
{
	arguments = argv;
	argument_count = argc;
	parse_options(argc, argv);
	results = host_shared(JOBS_MAX * sizeof(*results));
	if (results == NULL)
		refuse("no host memory");
	return batch.many ? run_many() : run_one();
}
