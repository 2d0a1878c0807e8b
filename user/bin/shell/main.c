/* SPDX-License-Identifier: MIT */
/*
 * The shell of a session: reads a line, splits it, runs a command of its own or a program of the archive. It has what
 * its spawner granted and nothing else; a command whose capability is missing says so.
 */
#include "shell.h"

#include <svc/init.h>
#include <user/term.h>

static struct history history;
static bool leave;

char shell_programs[SHELL_PROGRAMS_MAX][CAPOS_NAME_BYTES];
unsigned shell_program_count;

static int command_help(int argc, char **argv);

static int command_echo(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		print("%s%s", i > 1 ? " " : "", argv[i]);
	print("\n");
	return 0;
}

static int command_clear(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	print("\x1b[H\x1b[2J");
	return 0;
}

static int command_history(int argc, char **argv)
{
	const char *line;

	(void)argc;
	(void)argv;
	for (unsigned back = HISTORY_LINES; back > 0; back--)
		if ((line = history_get(&history, back)))
			print("%4u  %s\n", history.count - back + 1, line);
	return 0;
}

static int command_logout(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	leave = true;
	return 0;
}

static int command_poweroff(int argc, char **argv)
{
	uint64_t code = 0;

	if (argc > 2 || (argc == 2 && !shell_number(argv[1], &code)))
		return shell_usage("poweroff");
	print("powering off\n");
	return shell_fail("poweroff", CAPOS_IFACE_power, power_off(known.power, code));
}

const struct shell_command shell_commands[] = {
	{ "help", "[COMMAND]", "this list", command_help },
	{ "run",
	  "[-m KIB] [-t THREADS] [-p CHILDREN] [-c CPU[,CPU...]] [-b BUDGET/PERIOD | -s CONTEXT] PROGRAM [ARGS] [&]",
	  "start a program", command_run },
	{ "programs", "", "programs of the boot archive", command_programs },
	{ "jobs", "", "background jobs", command_jobs },
	{ "kill", "PID...", "end jobs", command_kill },
	{ "wait", "[PID]", "wait for a background job, or all", command_wait },
	{ "ps", "", "processes", command_ps },
	{ "threads", "[PID]", "threads and what they wait for", command_threads },
	{ "top", "[-n TIMES]", "live load by CPU and thread; q ends it", command_top },
	{ "sched", "", "the scheduler's policy, counters, and this shell's authority over it", command_sched },
	{ "policy", "TID weight N | class interactive|normal|batch | request MICROSECONDS", "a thread's parameters",
	  command_policy },
	{ "sc",
	  "create NAME BUDGET PERIOD [deadline SPAN] [kind sporadic|periodic|cbs]\n"
	  "                 [overrun throttle|best-effort|notify|suspend] [cpus CPU[,CPU...]]\n"
	  "       sc info [NAME] | bind NAME PID|TID | unbind NAME | resume NAME | revoke NAME | drain NAME",
	  "budgets of CPU time (spans: 5ms, 200us)", command_sc },
	{ "why", "TID", "what a thread waits for, or why it does not run", command_why },
	{ "cpus", "", "processors, their place and their load", command_cpus },
	{ "mem", "", "memory of machine and shell", command_mem },
	{ "caps", "", "capabilities of this shell", command_caps },
	{ "session", "", "who is logged in here", command_session },
	{ "log", "[LINES]", "the kernel's log", command_log },
	{ "trace", "on [EVENT...] | off | show [EVENT] [THREAD] [-n LINES]", "record and print events",
	  command_trace },
	{ "uptime", "", "time since boot, and load", command_uptime },
	{ "date", "", "date and time, UTC", command_date },
	{ "echo", "WORDS", "print words", command_echo },
	{ "history", "", "lines typed before", command_history },
	{ "clear", "", "clear the screen", command_clear },
	{ "exit", "", "end the session", command_logout },
	{ "logout", "", "the same", command_logout },
	{ "poweroff", "[CODE]", "switch the machine off", command_poweroff },
};
const unsigned shell_command_count = sizeof(shell_commands) / sizeof(shell_commands[0]);

static const struct shell_command *find_command(const char *name)
{
	for (unsigned i = 0; i < shell_command_count; i++)
		if (strcmp(shell_commands[i].name, name) == 0)
			return &shell_commands[i];
	return NULL;
}

static int command_help(int argc, char **argv)
{
	if (argc > 1) {
		const struct shell_command *command = find_command(argv[1]);

		if (!command) {
			print("help: no command '%s'\n", argv[1]);
			return 1;
		}
		shell_usage(command->name);
		print("  %s\n", command->help);
		return 0;
	}
	for (unsigned i = 0; i < shell_command_count; i++)
		print("  %-10s %s\n", shell_commands[i].name, shell_commands[i].help);
	print("A program's name alone runs it; & at the end puts it into the background; Ctrl-C ends it.\n");
	return 0;
}

int shell_usage(const char *name)
{
	const struct shell_command *command = find_command(name);

	print("usage: %s %s\n", name, command ? command->usage : "");
	return 1;
}

int shell_fail(const char *what, uint32_t iface, struct capos_result r)
{
	char text[RESULT_TEXT_BYTES];

	print("%s: %s\n", what, result_text(iface, r, text));
	return 1;
}

bool shell_number(const char *text, uint64_t *value)
{
	uint64_t number = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || number > (CAPOS_NEVER - 9) / 10)
			return false;
		number = number * 10 + (uint64_t)(*text - '0');
	}
	*value = number;
	return true;
}

bool shell_cpu_set(char *text, struct capos_cpu_set *set)
{
	*set = (struct capos_cpu_set){ .byte_count = 0 };
	for (char *comma; text != NULL; text = comma != NULL ? comma + 1 : NULL) {
		uint64_t cpu;
		bool good;

		comma = strchr(text, ',');
		if (comma != NULL)
			*comma = 0;
		good = shell_number(text, &cpu) && cpu < CAPOS_CPU_SET_BYTES * 8ull;
		if (comma != NULL)
			*comma = ',';
		if (!good)
			return false;
		cpu_set_add(set, (uint32_t)cpu);
	}
	return true;
}

bool shell_is_program(const char *name)
{
	for (unsigned i = 0; i < shell_program_count; i++)
		if (strcmp(shell_programs[i], name) == 0)
			return true;
	return false;
}

static void read_programs(void)
{
	char name[64];
	uint64_t there = 0;

	for (uint64_t i = 0; shell_program_count < SHELL_PROGRAMS_MAX; i++) {
		if (!result_ok(process_spawner_programs(known.process_spawner, i, &there, name)) || !there)
			return;
		copy_name(shell_programs[shell_program_count++], CAPOS_NAME_BYTES, name);
	}
}

/* Completion: commands and programs for the first word, programs after `run`, commands after `help`. */
static const char *candidate(void *context, const char *line, size_t start, unsigned index)
{
	bool first = true, commands, programs;

	(void)context;
	for (size_t i = 0; i < start; i++)
		first = first && line[i] == ' ';
	if (!first && strncmp(line, "sc ", 3) == 0)
		return sc_verb(index);
	if (!first && strncmp(line, "trace ", 6) == 0) {
		const char *const words[] = { "on", "off", "show" };

		if (index < 3)
			return words[index];
		/* Event names follow from 1. */
		const char *name = trace_event_name(index - 2);

		return name[0] == '?' ? NULL : name;
	}
	commands = first || strncmp(line, "help ", 5) == 0;
	programs = first || strncmp(line, "run ", 4) == 0;
	if (commands) {
		if (index < shell_command_count)
			return shell_commands[index].name;
		index -= shell_command_count;
	}
	return programs && index < shell_program_count ? shell_programs[index] : NULL;
}

/* Returns the command's exit code. */
static int execute(char *line)
{
	char *words[SHELL_WORDS_MAX + 1], whole[LINEEDIT_BYTES];

	copy_name(whole, sizeof(whole), line);

	int count = words_split(line, words, SHELL_WORDS_MAX);

	if (count < 0) {
		print("shell: a quote is not closed, or too many words\n");
		return 1;
	}
	if (count == 0)
		return 0;
	words[count] = NULL;

	const struct shell_command *command = find_command(words[0]);

	if (command)
		return command->run(count, words);
	if (shell_is_program(words[0]))
		return jobs_run(count, words, whole);
	print("%s: no such command or program; `help` lists them\n", words[0]);
	return 127;
}

/* What init has for shells besides what it grants them. */
static void ask_init(void)
{
	struct message message = { .words = 0 };
	unsigned next = 0;

	if (!cap("init") ||
	    !result_ok(endpoint_call_message(cap("init"), INIT_IFACE, INIT_METHOD_AUTHORITY, &message, 2)))
		return;
	if ((message.word[0] & INIT_POLICY) != 0 && next < message.caps)
		known.policy = message.cap[next++];
	if ((message.word[0] & INIT_CONTEXT) != 0 && next < message.caps)
		known.context = message.cap[next];
}

static void greet(const struct session_info *session)
{
	struct capos_machine_info machine = { 0 };

	if (known.system_info)
		(void)system_info_machine(known.system_info, &machine);
	print("Welcome, %s. %u CPUs, session %lu. `help` lists the commands.\n",
	      session->name[0] ? session->name : "stranger", startup()->cpu_count, (unsigned long)session->id);
}

int main(int argc, char **argv)
{
	static struct lineedit edit;
	static char prompt[CAPOS_NAME_BYTES + 16];
	struct session_info session = { 0 };

	(void)argc;
	(void)argv;
	cap_need("console");

	struct capos_result r = console_take(known.console);

	if (!result_ok(r))
		shell_fail("console", CAPOS_IFACE_console, r);
	if (known.session)
		(void)user_session_info(known.session, &session);
	ask_init();
	read_programs();
	greet(&session);
	fmt_buf(prompt, sizeof(prompt), "%s@capos> ", session.name[0] ? session.name : "shell");
	edit.prompt = prompt;
	edit.history = &history;
	edit.candidate = candidate;
	while (!leave) {
		jobs_report();

		enum lineedit_event event = term_line(&edit);

		if (event == LINEEDIT_END)
			break;
		if (event == LINEEDIT_LINE)
			execute(edit.text);
	}
	/* Asked for, or the terminal is closed: the session ends before this process does. */
	jobs_kill_all();
	if (known.session)
		(void)user_session_logout(known.session);
	(void)console_give(known.console);
	return 0;
}
