/* SPDX-License-Identifier: MIT */
/* The shell's rooms: main (prompt, commands), jobs, show (tables), top, sched, budgets, budget_text, trace. */
#ifndef SHELL_H
#define SHELL_H

#include <user/capos.h>

#define SHELL_PROGRAMS_MAX 64u
#define SHELL_WORDS_MAX 24

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_SECOND 1000000000ull

typedef int (*shell_function)(int argc, char **argv);

struct shell_command {
	const char *name;
	const char *usage; /* arguments */
	const char *help;
	shell_function run; /* returns 0 when it did what was asked */
};

extern const struct shell_command shell_commands[];
extern const unsigned shell_command_count;

/* Programs of the boot archive, read once. */
extern char shell_programs[SHELL_PROGRAMS_MAX][CAPOS_NAME_BYTES];
extern unsigned shell_program_count;
bool shell_is_program(const char *name);

/* Says "WHAT: the result's name"; returns 1. */
int shell_fail(const char *what, uint32_t iface, struct capos_result r);
/* Parses an unsigned decimal number that is the whole text. */
bool shell_number(const char *text, uint64_t *value);
/* "0,2,3": a set of CPUs, whether they are there or not. */
bool shell_cpu_set(char *text, struct capos_cpu_set *set);
/* Says how a command is used; returns 1. */
int shell_usage(const char *name);
/* "12.345 s" and "1d 02:03:04"; text of 32 bytes; return text. */
const char *span_text(uint64_t ns, char text[32]);
const char *clock_text(uint64_t ns, char text[32]);
const char *size_text(uint64_t bytes, char text[32]);

/* jobs.c */
int jobs_run(int argc, char **argv, const char *line);
void jobs_report(void); /* says which background jobs ended */
void jobs_kill_all(void);
capos_handle jobs_process(uint64_t pid); /* 0: no job of this shell */
int command_run(int argc, char **argv);
int command_jobs(int argc, char **argv);
int command_kill(int argc, char **argv);
int command_wait(int argc, char **argv);

/* show.c, top.c, trace.c */
int command_ps(int argc, char **argv);
int command_threads(int argc, char **argv);
int command_caps(int argc, char **argv);
int command_mem(int argc, char **argv);
int command_cpus(int argc, char **argv);
int command_log(int argc, char **argv);
int command_uptime(int argc, char **argv);
int command_date(int argc, char **argv);
int command_session(int argc, char **argv);
int command_programs(int argc, char **argv);
int command_top(int argc, char **argv);
int command_trace(int argc, char **argv);

/* budget_text.c */
/* "5ms", "200us"; whole, with a unit. */
bool shell_span(const char *text, uint64_t *ns);
/* "5ms/50ms"; the deadline is the period. */
bool shell_budget(char *text, struct capos_context_spec *spec);
/* The other way; texts of 24 and 32 bytes. */
const char *short_span_text(uint64_t ns, char text[24]);
const char *budget_text(const struct capos_context_spec *spec, char text[32]);
/* What remains, in whole us, from a second on in whole ms. */
const char *left_text(const struct capos_context_info *info, char text[24]);
/* Prints its state: until when, or until what, it is throttled. */
void budget_state(const struct capos_context_info *info);
/* As shell_fail, of a context, with what the result means; of process.bind_context, too, whose results are the same. */
int budget_fail(const char *what, struct capos_result r);

/* budgets.c */
#define SHELL_GIVEN_CONTEXT "context" /* name of the one that the shell was given */
int command_sc(int argc, char **argv);
const char *sc_verb(unsigned index); /* NULL: there are no more */
/* cpus NULL: those of the context that the shell was given. 0: could not (said). */
capos_handle budgets_create(const char *name, const struct capos_context_spec *spec,
			    const struct capos_cpu_set *cpus);
capos_handle budgets_find(const char *name);
void budgets_rename(capos_handle handle, const char *name);
void budgets_forget(capos_handle handle);

/* sched.c */
int command_sched(int argc, char **argv);
int command_policy(int argc, char **argv);
int command_why(int argc, char **argv);
/* Calls visit() with every record; false: could not (said). The shell has known.policy. */
typedef void (*thread_record_visitor)(const struct capos_thread_record *record, void *context);
bool each_thread_record(thread_record_visitor visit, void *context);
typedef void (*context_record_visitor)(const struct capos_context_record *record, void *context);
bool each_context_record(context_record_visitor visit, void *context);

/* Calls visit() with every process or thread; false: could not (said). */
typedef void (*process_visitor)(const struct capos_process_info *info, void *context);
typedef void (*thread_visitor)(const struct capos_thread_info *info, void *context);
bool each_process(process_visitor visit, void *context);
bool each_thread(thread_visitor visit, void *context);

#endif
