/* SPDX-License-Identifier: MIT */
/*
 * sc: budgets of CPU time. The shell creates scheduling contexts through the one that it was given, calls them by names of its own, and
 * binds threads of its jobs to them. docs/SCHEDULING.md, Using budgets.
 */
#include "shell.h"

#define CONTEXTS_MAX 16u
#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_SECOND 1000000000ull

struct named_context {
	char name[CAPOS_NAME_BYTES]; /* empty: free */
	capos_handle handle;
};

static struct named_context contexts[CONTEXTS_MAX];

/* --- spans ------------------------------------------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	uint64_t ns;
} units[] = { { "s", NS_PER_SECOND }, { "ms", NS_PER_MS }, { "us", NS_PER_US }, { "ns", 1 } };

bool shell_span(const char *text, uint64_t *ns)
{
	char digits[24];
	size_t n = 0;

	while (text[n] >= '0' && text[n] <= '9' && n + 1 < sizeof(digits)) {
		digits[n] = text[n];
		n++;
	}
	digits[n] = 0;
	for (unsigned i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		uint64_t count;

		if (strcmp(text + n, units[i].name) != 0 || !shell_number(digits, &count) ||
		    count > CAPOS_NEVER / units[i].ns)
			continue;
		*ns = count * units[i].ns;
		return true;
	}
	return false;
}

const char *short_span_text(uint64_t ns, char text[24])
{
	unsigned i = 0;

	while (ns % units[i].ns != 0)
		i++;
	if (ns == 0)
		i = 2;
	fmt_buf(text, 24, "%lu%s", (unsigned long)(ns / units[i].ns), units[i].name);
	return text;
}

const char *budget_text(const struct capos_context_spec *spec, char text[32])
{
	char budget[24], period[24];

	fmt_buf(text, 32, "%s/%s", short_span_text(spec->budget_ns, budget),
		short_span_text(spec->period_ns, period));
	return text;
}

bool shell_budget(char *text, struct capos_context_spec *spec)
{
	char *slash = strchr(text, '/');
	bool good;

	if (slash == NULL)
		return false;
	*slash = 0;
	good = shell_span(text, &spec->budget_ns) && shell_span(slash + 1, &spec->period_ns);
	*slash = '/';
	spec->deadline_ns = spec->period_ns;
	return good;
}

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

	if (context == NULL)
		print("sc: no context has the name '%s' (`sc info` lists them)\n", name);
	return context;
}

static void forget(struct named_context *context)
{
	(void)cap_table_destroy(known.caps, context->handle);
	(void)cap_table_release(known.caps, context->handle);
	*context = (struct named_context){ .handle = 0 };
}

static bool is_revoked(const struct named_context *context)
{
	struct capos_context_info info;
	struct capos_result r = scheduling_context_info(context->handle, &info);

	return r.status == CAPOS_STATUS_OK &&
	       (r.iresult == CAPOS_CONTEXT_WAS_REVOKED || r.iresult == CAPOS_CONTEXT_STALE_GENERATION);
}

/* A place for this name: a free one, or one of a context that was revoked. NULL: there is none (said). */
static struct named_context *place_for(const char *name)
{
	struct named_context *place = find(name);

	if (strlen(name) >= CAPOS_NAME_BYTES || name[0] == 0 || strcmp(name, SHELL_GIVEN_CONTEXT) == 0 ||
	    (place != NULL && !is_revoked(place))) {
		print("sc: the name '%s' is taken, or too long\n", name);
		return NULL;
	}
	for (unsigned i = 0; i < CONTEXTS_MAX && place == NULL; i++)
		if (contexts[i].name[0] == 0 || is_revoked(&contexts[i]))
			place = &contexts[i];
	if (place == NULL)
		print("sc: %u contexts are there already\n", CONTEXTS_MAX);
	else if (place->name[0])
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

/* Which field a badArgument of `create` is about. */
static const char *field_name(uint32_t detail)
{
	switch (detail) {
	case offsetof(struct capos_context_spec, budget_ns):
		return "the budget is greater than the period";
	case offsetof(struct capos_context_spec, period_ns):
		return "the period is more than an hour";
	case offsetof(struct capos_context_spec, deadline_ns):
		return "the deadline is 0, or behind the period";
	case offsetof(struct capos_context_spec, overrun):
		return "no such overrun policy here";
	default:
		return "no such kind of replenishment";
	}
}

capos_handle budgets_create(const char *name, const struct capos_context_spec *spec, const struct capos_cpu_set *cpus)
{
	struct named_context *place;
	struct capos_result r;
	capos_handle handle = 0;

	if (!have_authority() || (place = place_for(name)) == NULL)
		return 0;
	r = scheduling_context_create_within(known.context, spec, cpus, &handle);
	if (r.status == CAPOS_STATUS_BAD_ARGUMENT)
		print("sc: create: badArgument: %s\n", field_name(r.detail));
	else if (!result_ok(r))
		shell_fail("sc: create", CAPOS_IFACE_scheduling_context, r);
	if (!result_ok(r))
		return 0;
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

static bool take_option(const char *option, char *value, struct capos_context_spec *spec, struct capos_cpu_set *cpus)
{
	if (strcmp(option, "cpus") == 0)
		return shell_cpu_set(value, cpus);
	if (strcmp(option, "deadline") == 0)
		return shell_span(value, &spec->deadline_ns);
	if (strcmp(option, "overrun") == 0)
		return number_of(value, overrun_name, CAPOS_OVERRUN_COUNT, &spec->overrun);
	return strcmp(option, "kind") == 0 &&
	       number_of(value, replenishment_name, CAPOS_REPLENISH_COUNT, &spec->replenishment);
}

/* sc create NAME BUDGET PERIOD [OPTION VALUE]... */
static int create(int argc, char **argv)
{
	struct capos_context_spec spec = { 0 };
	struct capos_cpu_set cpus = { 0 };

	if (argc < 5 || argc % 2 == 0 || !shell_span(argv[3], &spec.budget_ns) ||
	    !shell_span(argv[4], &spec.period_ns))
		return shell_usage("sc");
	spec.deadline_ns = spec.period_ns;
	for (int i = 5; i < argc; i += 2)
		if (!take_option(argv[i], argv[i + 1], &spec, &cpus))
			return shell_usage("sc");
	return budgets_create(argv[2], &spec, cpus.byte_count ? &cpus : NULL) == 0;
}

/* --- info ------------------------------------------------------------------------------------------------------------------- */

static void show_row(const char *name, capos_handle handle)
{
	struct capos_context_info info;
	struct capos_result r = scheduling_context_info(handle, &info);
	char text[RESULT_TEXT_BYTES], budget[32], used[32], left[24], thread[24] = "-";

	if (!result_ok(r)) {
		print("%-12.15s %s\n", name, result_text(CAPOS_IFACE_scheduling_context, r, text));
		return;
	}
	if (info.thread_id)
		fmt_buf(thread, sizeof(thread), "%lu", (unsigned long)info.thread_id);
	print("%-12.15s %-12s %-9s %-11s %-11s %6s %9s %9s %8lu\n", name, budget_text(&info.spec, budget),
	      replenishment_name(info.spec.replenishment), overrun_name(info.spec.overrun),
	      context_state_name(info.state), thread, span_text(info.used_ns, used),
	      short_span_text(info.remaining_budget_ns / NS_PER_US * NS_PER_US, left), (unsigned long)info.throttles);
}

void budget_until(const struct capos_context_info *info)
{
	uint64_t now = now_ns();

	if (info->state == CAPOS_CONTEXT_THROTTLED)
		print("until %lu.%06lu s since boot, %lu us from now", (unsigned long)(info->next_ns / NS_PER_SECOND),
		      (unsigned long)(info->next_ns % NS_PER_SECOND / NS_PER_US),
		      (unsigned long)(info->next_ns > now ? (info->next_ns - now) / NS_PER_US : 0));
	else
		print("%s", context_state_name(info->state));
}

/* CPUs that a context is for: ", CPUs 0-2,5"; nothing when it is for all of them. */
static void show_cpus(capos_handle handle)
{
	struct capos_cpu_set set;
	const char *before = ", CPUs ";
	uint32_t count = startup()->cpu_count, first, last;

	if (!result_ok(scheduling_context_cpus(handle, &set)))
		return;
	for (uint32_t cpu = 0; cpu < count; cpu = last + 1) {
		for (first = cpu; first < count && !cpu_set_has(&set, first); first++)
			;
		for (last = first; last + 1 < count && cpu_set_has(&set, last + 1); last++)
			;
		if (first >= count || last - first + 1 == count)
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
		return shell_fail(name, CAPOS_IFACE_scheduling_context, r);
	print("%s: context %lu, %s, %lu.%lu %% of a CPU, due after %s, %s, %s", name, (unsigned long)info.context_id,
	      budget_text(&info.spec, budget), (unsigned long)(info.spec.budget_ns * 100 / info.spec.period_ns),
	      (unsigned long)(info.spec.budget_ns * 1000 / info.spec.period_ns % 10),
	      short_span_text(info.spec.deadline_ns, due), replenishment_name(info.spec.replenishment),
	      overrun_name(info.spec.overrun));
	show_cpus(handle);
	if (info.thread_id == 0) {
		print("\n  unbound");
	} else {
		print("\n  thread %lu, %s", (unsigned long)info.thread_id,
		      info.state == CAPOS_CONTEXT_THROTTLED ? "throttled " : "");
		budget_until(&info);
		if (info.donated)
			print(", lent to thread %lu", (unsigned long)info.holder_id);
	}
	print("\n  left %s, used %s s, the budget ended %lu times\n",
	      short_span_text(info.remaining_budget_ns / NS_PER_US * NS_PER_US, left), span_text(info.used_ns, used),
	      (unsigned long)info.throttles);
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
	print("NAME         BUDGET       KIND      OVERRUN     STATE          TID  CPU TIME      LEFT     ENDS\n");
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
	return result_ok(r) ? 0 : shell_fail("sc: bind", CAPOS_IFACE_process, r);
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
		      slot->donated ? " (lent)" : "", short_span_text(slot->remaining_budget_ns, left));
	print("\n");
}

static int drain(const struct named_context *context)
{
	struct capos_context_notifications cell;
	struct capos_result r = scheduling_context_drain_notifications(context->handle, &cell);

	/* Of one that was revoked it says what there was until then. */
	if (!result_ok(r) && (r.status != CAPOS_STATUS_OK || r.iresult != CAPOS_CONTEXT_WAS_REVOKED))
		return shell_fail("sc: drain", CAPOS_IFACE_scheduling_context, r);
	print("%s: %s\n", context->name, context_state_name(cell.state));
	show_slot("depletions", &cell.depletion);
	show_slot("deadlines", &cell.deadline);
	return 0;
}

static bool is_verb(const char *word)
{
	const char *const verbs[] = { "create", "info", "bind", "unbind", "resume", "revoke", "drain" };

	for (unsigned i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(verbs[i], word) == 0)
			return true;
	return false;
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
	return result_ok(r) ? 0 : shell_fail(what, CAPOS_IFACE_scheduling_context, r);
}
