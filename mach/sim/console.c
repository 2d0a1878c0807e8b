/* SPDX-License-Identifier: MIT */
/*
 * The console: the core's output to stdout, and input from a script or a terminal. Its interrupts go to CPU 0.
 *
 * A script is a file of lines. `@expect TEXT` waits until TEXT has appeared in the output since the last input;
 * `@wait MS` lets virtual time pass; `@memory none` lets every allocation fail until `@memory back`; any other line is typed with a newline at its end (escapes: \r \n \t \e \xNN,
 * and \c at the end for no newline). A line is typed at once after an @expect that was met, else when all CPUs are
 * idle.
 */
#define _GNU_SOURCE
#include "sim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define INPUT_BYTES 4096u
#define RECENT_BYTES 65536u

static struct {
	u8 bytes[INPUT_BYTES]; /* head .. head+count-1 */
	u32 head, count;
	u64 visible_ns; /* typed bytes can be read from then on */
} input;

static struct {
	char *at; /* rest of the script; NULL: none */
	char expect[256];
	bool expecting;
	bool prompted; /* an @expect was just met */
	u64 wait_until_ns;
} script;

static char recent[RECENT_BYTES]; /* output since the last input */
static u32 recent_count;
static char last_output = '\n';
static struct termios saved_terminal;
static bool terminal_is_raw;

/* --- script --------------------------------------------------------------------------------------------------- */

static void input_event(u64 due_ns)
{
	sim.cpus[0].input_ns = MIN(sim.cpus[0].input_ns, due_ns);
	vcpu_notify(&sim.cpus[0], sim.cpus[0].input_ns);
}

static void output_event(u64 due_ns)
{
	sim.cpus[0].output_ns = MIN(sim.cpus[0].output_ns, due_ns);
	vcpu_notify(&sim.cpus[0], sim.cpus[0].output_ns);
}

static u64 now_at_least(void)
{
	return MAX(sim_now(), sim.clock_ns);
}

static void type_byte(u8 byte)
{
	if (input.count < INPUT_BYTES)
		input.bytes[(input.head + input.count++) % INPUT_BYTES] = byte;
}

static void typed(u64 delay_ns)
{
	input.visible_ns = now_at_least() + delay_ns;
	recent_count = 0;
	sim_trace(EVENT_INPUT, input.count, 0);
	input_event(input.visible_ns);
}

static u8 escape(const char **at)
{
	char digits[3] = { 0 };
	char c = *(*at)++;

	switch (c) {
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	case 'e':
		return 27;
	case 'x':
		for (u32 i = 0; i < 2 && **at != 0; i++)
			digits[i] = *(*at)++;
		return (u8)strtoul(digits, NULL, 16);
	default:
		return (u8)c;
	}
}

static void type_line(const char *line)
{
	bool newline = true;

	while (*line != 0) {
		char c = *line++;
		if (c != '\\' || *line == 0)
			type_byte((u8)c);
		else if (line[0] == 'c' && line[1] == 0)
			newline = false, line++;
		else
			type_byte(escape(&line));
	}
	if (newline)
		type_byte('\n');
	typed(50000 + sim_random_below(450000));
}

static bool expectation_met(void)
{
	return memmem(recent, recent_count, script.expect, strlen(script.expect)) != NULL;
}

/* Go on in the script as far as it goes; `idle`: nothing else goes on in the machine. */
static void script_step(bool idle)
{
	while (script.at != NULL && input.count == 0 && script.wait_until_ns <= sim_now()) {
		if (script.expecting) {
			if (!expectation_met())
				return;
			script.expecting = false;
			script.prompted = true;
		}
		if (*script.at == 0) {
			script.at = NULL;
			return;
		}
		char *line = script.at, *end = strchr(line, '\n');
		bool command = strncmp(line, "@expect ", 8) == 0 || strncmp(line, "@wait ", 6) == 0 ||
			       strncmp(line, "@memory ", 8) == 0;
		if (!command && !idle && !script.prompted)
			return;
		script.at = end != NULL ? end + 1 : line + strlen(line);
		if (end != NULL)
			*end = 0;
		if (strncmp(line, "@expect ", 8) == 0) {
			snprintf(script.expect, sizeof(script.expect), "%s", line + 8);
			script.expecting = true;
		} else if (strncmp(line, "@wait ", 6) == 0) {
			script.wait_until_ns = now_at_least() + strtoull(line + 6, NULL, 10) * 1000000;
			input_event(script.wait_until_ns);
		} else if (strncmp(line, "@memory ", 8) == 0) {
			sim.no_memory = strcmp(line + 8, "none") == 0;
		} else {
			script.prompted = false;
			type_line(line);
		}
	}
}

static void load_script(const char *path)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
	size_t room = 1 << 20;

	script.at = malloc(room + 1);
	if (file == NULL || script.at == NULL)
		sim_die(SIM_EXIT_ERROR, "%s: %s", path, strerror(errno));
	script.at[fread(script.at, 1, room, file)] = 0;
}

const char *sim_console_waits_for(void)
{
	return script.expecting ? script.expect : NULL;
}

const char *sim_console_recent(u32 *bytes)
{
	*bytes = recent_count;
	return recent;
}

/* --- terminal ------------------------------------------------------------------------------------------------- */

static void restore_terminal(void)
{
	if (terminal_is_raw)
		tcsetattr(0, TCSANOW, &saved_terminal);
	terminal_is_raw = false;
}

static void read_terminal(u64 next_ns)
{
	struct pollfd fd = { .fd = 0, .events = POLLIN };
	u64 now = now_at_least();
	u64 wait_ms = next_ns == SIM_NEVER ? 1000000 : next_ns > now ? (next_ns - now + 999999) / 1000000 : 0;
	u8 bytes[64];

	fflush(stdout);
	if (poll(&fd, 1, (int)MIN(wait_ms, 1000000ull)) <= 0)
		return;
	ssize_t n = read(0, bytes, sizeof(bytes));
	if (n <= 0 || (n > 0 && bytes[0] == 1)) /* end of input, or Ctrl-A */
		sim_end(MACH_EXIT_OK);
	for (ssize_t i = 0; i < n; i++)
		type_byte(bytes[i]);
	typed(1000);
}

void sim_console_init(void)
{
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	if (sim_options.input != NULL)
		load_script(sim_options.input);
	if (sim_options.interactive && tcgetattr(0, &saved_terminal) == 0) {
		struct termios raw = saved_terminal;
		cfmakeraw(&raw);
		raw.c_oflag |= OPOST;
		terminal_is_raw = tcsetattr(0, TCSANOW, &raw) == 0;
	}
}

void sim_console_idle(u64 next_ns)
{
	if (sim_options.interactive)
		read_terminal(next_ns);
	else
		script_step(true);
}

void sim_console_close(void)
{
	if (!sim_options.quiet && last_output != '\n')
		putchar('\n');
	fflush(stdout);
	restore_terminal();
}

/* --- machine interface ---------------------------------------------------------------------------------------- */

static void put(const char *bytes, size_t n)
{
	if (n == 0)
		return;
	if (!sim_options.quiet)
		fwrite(bytes, 1, n, stdout);
	last_output = bytes[n - 1];
	if (recent_count + n > RECENT_BYTES) {
		u32 keep = MIN(recent_count, RECENT_BYTES / 4);
		memmove(recent, recent + recent_count - keep, keep);
		recent_count = keep;
	}
	size_t taken = MIN(n, (size_t)(RECENT_BYTES / 2));
	memcpy(recent + recent_count, bytes + n - taken, taken);
	recent_count += (u32)taken;
}

static u64 hash_bytes(const char *bytes, size_t n)
{
	u64 hash = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ (u8)bytes[i]) * 0x100000001b3ull;
	return hash;
}

size_t mach_console_write(const char *bytes, size_t n)
{
	sim_point(SIM_COST_CALL);
	if (n > 0 && sim.faults > 0 && sim_chance(4)) {
		size_t room = sim_random_below(16);
		if (room < n)
			output_event(sim_now() + 1000 + sim_random_below(100000));
		n = MIN(n, room);
	}
	sim_trace(EVENT_CONSOLE, n, hash_bytes(bytes, n));
	put(bytes, n);
	script_step(false);
	return n;
}

void mach_console_write_sync(const char *bytes, size_t n)
{
	sim_trace(EVENT_CONSOLE, n, hash_bytes(bytes, n));
	put(bytes, n);
}

int mach_console_read(void)
{
	sim_point(SIM_COST_CALL);
	if (input.count == 0 || sim_now() < input.visible_ns)
		return -1;
	u8 byte = input.bytes[input.head];
	input.head = (input.head + 1) % INPUT_BYTES;
	input.count--;
	return byte;
}
