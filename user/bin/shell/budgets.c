/* SPDX-License-Identifier: MIT */
/*
 * sc: budgets of CPU time. The shell creates scheduling contexts through the one that it was given, calls them by names of its own, and
 * binds threads of its jobs to them. docs/SCHEDULING.md, Using budgets.
 */
#include "shell.h"

#define CONTEXTS_MAX 16u

struct named_context {
	char name[CAPOS_NAME_BYTES]; /* empty: free */
	capos_handle handle;
};

static struct named_context contexts[CONTEXTS_MAX];

/* --- names ------------------------------------------------------------------------------------------------------------------ */

static struct named_context *find(const char *name)
{
	for (unsigned i = 0; i < CONTEXTS_MAX; i++)
		if (contexts[i].name[0] && strcmp(contexts[i].name, name) == 0)
			return &contexts[i];
	return NULL;
}

/* As find; says when there is none. */
static struct named_context *find_or_say(const char *name)
{
	struct named_context *context = find(name);

	if (context == NULL && strcmp(name, SHELL_GIVEN_CONTEXT) == 0)
		print("sc: '%s' is the one that this shell was given; `sc create` makes others of it\n", name);
	else if (context == NULL)
		print("sc: no context has the name '%s' (`sc info` lists them)\n", name);
	return context;
}

static void release(capos_handle handle)
{
	(void)cap_table_destroy(known.caps, handle);
	(void)cap_table_release(known.caps, handle);
}

static void forget(struct named_context *context)
{
	release(context->handle);
	*context = (struct named_context){ .handle = 0 };
}

static bool is_revoked(const struct named_context *context)
{
	struct capos_context_info info;
	struct capos_result r = scheduling_context_info(context->handle, &info);

	return r.status == CAPOS_STATUS_OK &&
	       (r.iresult == CAPOS_CONTEXT_WAS_REVOKED || r.iresult == CAPOS_CONTEXT_STALE_GENERATION);
}

/* Why no context can be given this name; NULL: one can. */
static const char *refusal_of_name(const char *name)
{
	const struct named_context *context = find(name);

	if (name[0] == 0)
		return "is no name";
	if (strlen(name) >= CAPOS_NAME_BYTES)
		return "is too long a name (more than 15 bytes)";
	if (strcmp(name, SHELL_GIVEN_CONTEXT) == 0)
		return "is taken by the one that this shell was given";
	return context != NULL && !is_revoked(context) ? "is taken (`sc revoke` frees a name)" : NULL;
}

_Static_assert(CAPOS_NAME_BYTES == 16, "refusal_of_name says so");

/* A place for a name that can be given: its own, a free one, or one of a context that was revoked. NULL: there is none. */
static struct named_context *place_for(const char *name)
{
	struct named_context *place = find(name);

	for (unsigned i = 0; i < CONTEXTS_MAX && place == NULL; i++)
		if (contexts[i].name[0] == 0)
			place = &contexts[i];
	for (unsigned i = 0; i < CONTEXTS_MAX && place == NULL; i++)
		if (is_revoked(&contexts[i]))
			place = &contexts[i];
	if (place != NULL && place->name[0])
		forget(place);
	return place;
}

static bool have_authority(void)
{
	if (known.context)
		return true;
	print("sc: this shell has no capability scheduling_context\n");
	return false;
}

capos_handle budgets_create(const char *name, const struct capos_context_spec *spec, const struct capos_cpu_set *cpus)
{
	const char *refusal = refusal_of_name(name);
	struct named_context *place;
	struct capos_result r;
	capos_handle handle = 0;

	if (!have_authority())
		return 0;
	if (refusal != NULL) {
		print("sc: create: '%s' %s\n", name, refusal);
		return 0;
	}
	r = scheduling_context_create_within(known.context, spec, cpus, &handle);
	if (!result_ok(r)) {
		budget_fail("sc: create", r);
		return 0;
	}
	place = place_for(name);
	if (place == NULL) {
		print("sc: create: %u contexts are there already (`sc revoke` makes room)\n", CONTEXTS_MAX);
		release(handle);
		return 0;
	}
	copy_name(place->name, sizeof(place->name), name);
	place->handle = handle;
	return handle;
}

capos_handle budgets_find(const char *name)
{
	struct named_context *context = find_or_say(name);

	return context != NULL ? context->handle : 0;
}

void budgets_rename(capos_handle handle, const char *name)
{
	for (unsigned i = 0; i < CONTEXTS_MAX; i++)
		if (contexts[i].name[0] && contexts[i].handle == handle)
			copy_name(contexts[i].name, sizeof(contexts[i].name), name);
}

void budgets_forget(capos_handle handle)
{
	for (unsigned i = 0; i < CONTEXTS_MAX; i++)
		if (contexts[i].name[0] && contexts[i].handle == handle)
			forget(&contexts[i]);
}

/* --- create ----------------------------------------------------------------------------------------------------------------- */

static bool number_of(const char *text, const char *(*name_of)(uint32_t), uint32_t count, uint32_t *number)
{
	for (uint32_t i = 0; i < count; i++) {
		if (strcmp(name_of(i), text) == 0) {
			*number = i;
			return true;
		}
	}
	return false;
}

#define WANTED_SPAN "a whole number and its unit, like 200us, 5ms, 1s"

static int refuse(const char *what, const char *text, const char *wanted)
{
	print("sc: create: %s '%s' is not %s\n", what, text, wanted);
	return 1;
}

/* False: it can't be (said). */
static bool take_option(const char *option, char *value, struct capos_context_spec *spec, struct capos_cpu_set *cpus)
{
	const char *wanted;
	bool good;

	if (strcmp(option, "deadline") == 0) {
		good = shell_span(value, &spec->deadline_ns);
		wanted = WANTED_SPAN;
	} else if (strcmp(option, "kind") == 0) {
		good = number_of(value, replenishment_name, CAPOS_REPLENISH_COUNT, &spec->replenishment);
		wanted = "sporadic, periodic, or cbs";
	} else if (strcmp(option, "overrun") == 0) {
		good = number_of(value, overrun_name, CAPOS_OVERRUN_COUNT, &spec->overrun);
		wanted = "throttle, best-effort, notify, or suspend";
	} else if (strcmp(option, "cpus") == 0) {
		good = shell_cpu_set(value, cpus);
		wanted = "CPUs, like 0,2";
	} else {
		print("sc: create: no option '%s' (deadline, kind, overrun, cpus)\n", option);
		return false;
	}
	if (!good)
		refuse(option, value, wanted);
	return good;
}

/* sc create NAME BUDGET PERIOD [OPTION VALUE]... */
static int create(int argc, char **argv)
{
	struct capos_context_spec spec = { 0 };
	struct capos_cpu_set cpus = { 0 };

	if (argc < 5 || argc % 2 == 0)
		return shell_usage("sc");
	if (!shell_span(argv[3], &spec.budget_ns))
		return refuse("budget", argv[3], WANTED_SPAN);
	if (!shell_span(argv[4], &spec.period_ns))
		return refuse("period", argv[4], WANTED_SPAN);
	spec.deadline_ns = spec.period_ns;
	for (int i = 5; i < argc; i += 2)
		if (!take_option(argv[i], argv[i + 1], &spec, &cpus))
			return 1;
	return budgets_create(argv[2], &spec, cpus.byte_count ? &cpus : NULL) == 0;
}

/* --- info ------------------------------------------------------------------------------------------------------------------- */

static void show_row(const char *name, capos_handle handle)
{
	struct capos_context_info info;
	struct capos_result r = scheduling_context_info(handle, &info);
	char text[RESULT_TEXT_BYTES], budget[32], used[32], left[24], thread[24] = "-";

	if (!result_ok(r)) {
		print("%-15s %s\n", name, result_text(CAPOS_IFACE_scheduling_context, r, text));
		return;
	}
	if (info.thread_id)
		fmt_buf(thread, sizeof(thread), "%lu", (unsigned long)info.thread_id);
	print("%-15s %-12s %-9s %-11s %-11s %6s %9s %9s %9lu\n", name, budget_text(&info.spec, budget),
	      replenishment_name(info.spec.replenishment), overrun_name(info.spec.overrun),
	      context_state_name(info.state), thread, span_text(info.used_ns, used), left_text(&info, left),
	      (unsigned long)info.throttles);
}

/* CPUs that a context is for: ", CPUs 0-2,5", ", CPU 1"; nothing when it is for all of them. */
static void show_cpus(capos_handle handle)
{
	struct capos_cpu_set set;
	const char *before;
	uint32_t count = startup()->cpu_count, allowed = 0, first, last;

	if (!result_ok(scheduling_context_cpus(handle, &set)))
		return;
	for (uint32_t cpu = 0; cpu < count; cpu++)
		allowed += cpu_set_has(&set, cpu);
	if (allowed == count)
		return;
	before = allowed == 1 ? ", CPU " : ", CPUs ";
	for (uint32_t cpu = 0; cpu < count; cpu = last + 1) {
		for (first = cpu; first < count && !cpu_set_has(&set, first); first++)
			;
		for (last = first; last + 1 < count && cpu_set_has(&set, last + 1); last++)
			;
		if (first >= count)
			return;
		print(first == last ? "%s%u" : "%s%u-%u", before, first, last);
		before = ",";
	}
}

static int show_one(const char *name, capos_handle handle)
{
	struct capos_context_info info;
	struct capos_result r = scheduling_context_info(handle, &info);
	char budget[32], due[24], left[24], used[32];

	if (!result_ok(r))
		return budget_fail(name, r);
	print("%s: context %lu, %s, %lu.%lu %% of a CPU, due after %s, %s, %s", name, (unsigned long)info.context_id,
	      budget_text(&info.spec, budget), (unsigned long)(info.spec.budget_ns * 100 / info.spec.period_ns),
	      (unsigned long)(info.spec.budget_ns * 1000 / info.spec.period_ns % 10),
	      short_span_text(info.spec.deadline_ns, due), replenishment_name(info.spec.replenishment),
	      overrun_name(info.spec.overrun));
	show_cpus(handle);
	if (info.thread_id == 0) {
		print("\n  unbound");
	} else {
		print("\n  thread %lu, ", (unsigned long)info.thread_id);
		budget_state(&info);
		if (info.donated)
			print(", lent to thread %lu", (unsigned long)info.holder_id);
	}
	print("\n  left %s, used %s s, throttled %lu time%s\n", left_text(&info, left), span_text(info.used_ns, used),
	      (unsigned long)info.throttles, info.throttles == 1 ? "" : "s");
	return 0;
}

static int info(int argc, char **argv)
{
	struct named_context *context;

	if (argc > 3)
		return shell_usage("sc");
	if (argc == 3 && strcmp(argv[2], SHELL_GIVEN_CONTEXT) == 0)
		return show_one(argv[2], known.context);
	if (argc == 3)
		return (context = find_or_say(argv[2])) == NULL || show_one(context->name, context->handle);
	print("NAME            BUDGET       KIND      OVERRUN     STATE          TID  CPU TIME      LEFT THROTTLED\n");
	show_row(SHELL_GIVEN_CONTEXT, known.context);
	for (unsigned i = 0; i < CONTEXTS_MAX; i++)
		if (contexts[i].name[0])
			show_row(contexts[i].name, contexts[i].handle);
	return 0;
}

/* --- the others ------------------------------------------------------------------------------------------------------------- */

struct wanted_thread {
	uint64_t id, thread_id, process_id; /* id: of a process or a thread */
};

/* By rising id: of a process the first one counts. */
static void look_at(const struct capos_thread_info *thread, void *context)
{
	struct wanted_thread *wanted = context;

	if (wanted->thread_id == 0 && (thread->id == wanted->id || thread->process_id == wanted->id)) {
		wanted->thread_id = thread->id;
		wanted->process_id = thread->process_id;
	}
}

static int bind(capos_handle context, const char *text)
{
	struct wanted_thread wanted = { 0 };
	capos_handle process;
	struct capos_result r;

	if (!shell_number(text, &wanted.id))
		return shell_usage("sc");
	if (!each_thread(look_at, &wanted))
		return 1;
	process = jobs_process(wanted.process_id);
	if (process == 0) {
		print("sc: bind: %s is no job of this shell, and no thread of one (`jobs` lists them)\n", text);
		return 1;
	}
	r = process_bind_context(process, context, wanted.thread_id);
	return result_ok(r) ? 0 : budget_fail("sc: bind", r);
}

static void show_slot(const char *what, const struct capos_context_slot *slot)
{
	char left[24];

	print("  %-10s %lu since the last drain, %lu in all", what, (unsigned long)slot->count,
	      (unsigned long)slot->sequence);
	if (slot->sequence > 0)
		print("; the last one at %lu.%06lu s, thread %lu%s, left %s",
		      (unsigned long)(slot->at_ns / NS_PER_SECOND),
		      (unsigned long)(slot->at_ns % NS_PER_SECOND / NS_PER_US), (unsigned long)slot->holder_id,
		      slot->donated ? " (lent)" : "",
		      short_span_text(slot->remaining_budget_ns / NS_PER_US * NS_PER_US, left));
	print("\n");
}

static int drain(const struct named_context *context)
{
	struct capos_context_notifications cell;
	struct capos_result r = scheduling_context_drain_notifications(context->handle, &cell);

	/* Of one that was revoked it says what there was until then. */
	if (!result_ok(r) && (r.status != CAPOS_STATUS_OK || r.iresult != CAPOS_CONTEXT_WAS_REVOKED))
		return budget_fail("sc: drain", r);
	print("%s: %s\n", context->name, context_state_name(cell.state));
	show_slot("depletions", &cell.depletion);
	show_slot("deadlines", &cell.deadline);
	return 0;
}

const char *sc_verb(unsigned index)
{
	const char *const verbs[] = { "create", "info", "bind", "unbind", "resume", "revoke", "drain" };

	return index < sizeof(verbs) / sizeof(verbs[0]) ? verbs[index] : NULL;
}

static bool is_verb(const char *word)
{
	unsigned i = 0;

	while (sc_verb(i) != NULL && strcmp(sc_verb(i), word) != 0)
		i++;
	return sc_verb(i) != NULL;
}

int command_sc(int argc, char **argv)
{
	struct named_context *context;
	struct capos_result r;
	char what[16];

	if (argc < 2 || !is_verb(argv[1]))
		return shell_usage("sc");
	if (!have_authority())
		return 1;
	if (strcmp(argv[1], "create") == 0)
		return create(argc, argv);
	if (strcmp(argv[1], "info") == 0)
		return info(argc, argv);
	if (argc != (strcmp(argv[1], "bind") == 0 ? 4 : 3))
		return shell_usage("sc");
	if ((context = find_or_say(argv[2])) == NULL)
		return 1;
	if (strcmp(argv[1], "bind") == 0)
		return bind(context->handle, argv[3]);
	if (strcmp(argv[1], "drain") == 0)
		return drain(context);
	if (strcmp(argv[1], "unbind") == 0)
		r = scheduling_context_unbind(context->handle);
	else if (strcmp(argv[1], "resume") == 0)
		r = scheduling_context_resume(context->handle);
	else
		r = scheduling_context_revoke(context->handle);
	fmt_buf(what, sizeof(what), "sc: %s", argv[1]);
	return result_ok(r) ? 0 : budget_fail(what, r);
}
