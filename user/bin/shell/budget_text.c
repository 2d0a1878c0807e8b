/* SPDX-License-Identifier: MIT */
/* Budgets as text: spans of time read and printed, how a context stands, and what a refusal means. */
#include "shell.h"

#include <capos/errors.h>

static const struct {
	const char *name;
	uint64_t ns;
} units[] = { { "s", NS_PER_SECOND }, { "ms", NS_PER_MS }, { "us", NS_PER_US }, { "ns", 1 } };

/* --- read ------------------------------------------------------------------------------------------------------------------- */

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

/* --- print ------------------------------------------------------------------------------------------------------------------ */

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

const char *left_text(const struct capos_context_info *info, char text[24])
{
	uint64_t unit_ns = info->remaining_budget_ns < NS_PER_SECOND ? NS_PER_US : NS_PER_MS;

	return short_span_text(info->remaining_budget_ns / unit_ns * unit_ns, text);
}

const char *budget_text(const struct capos_context_spec *spec, char text[32])
{
	char budget[24], period[24];

	fmt_buf(text, 32, "%s/%s", short_span_text(spec->budget_ns, budget),
		short_span_text(spec->period_ns, period));
	return text;
}

void budget_state(const struct capos_context_info *info)
{
	uint64_t now = now_ns();

	print("%s", context_state_name(info->state));
	if (info->state == CAPOS_CONTEXT_THROTTLED || info->state == CAPOS_CONTEXT_BEST_EFFORT)
		print(" until %lu.%06lu s since boot, %lu us from now",
		      (unsigned long)(info->next_ns / NS_PER_SECOND),
		      (unsigned long)(info->next_ns % NS_PER_SECOND / NS_PER_US),
		      (unsigned long)(info->next_ns > now ? (info->next_ns - now) / NS_PER_US : 0));
	else if (info->state == CAPOS_CONTEXT_SUSPENDED)
		print(" until `sc resume`");
}

/* --- refusals --------------------------------------------------------------------------------------------------------------- */

/* Which field a badArgument of `create` is about. */
static const char *bad_field(uint32_t detail)
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

/* NULL: the result's name says it all. */
static const char *meaning(uint32_t iresult, uint32_t detail)
{
	switch (iresult) {
	case CAPOS_CONTEXT_WAS_REVOKED:
		return "for good; `sc create` may use its name again";
	case CAPOS_CONTEXT_ALREADY_BOUND:
		return "it has a thread (`sc info` says which, `sc unbind` frees it)";
	case CAPOS_CONTEXT_THREAD_HAS_ONE:
		return "the thread has another one (`sc info` says which, `sc unbind` frees it)";
	case CAPOS_CONTEXT_NOT_BOUND:
		return "it has no thread";
	case CAPOS_CONTEXT_WIDER:
		return detail == CAPOS_DETAIL_MASK
			       ? "a CPU that the shell's own is not for (`sc info context`)"
			       : "a greater part of a CPU than the shell's own (`sc info context`)";
	case CAPOS_CONTEXT_BUDGET_TOO_SMALL:
		return "less than 10us";
	case CAPOS_CONTEXT_PASSIVE_THREAD:
		return "the thread runs on what its callers lend";
	case CAPOS_CONTEXT_CPU_MASK_MISMATCH:
		return "the thread may run on none of its CPUs (`sc info NAME`, `threads`)";
	case CAPOS_CONTEXT_INVALID_MASK:
		return "no such CPU on this machine (`cpus` lists them)";
	case CAPOS_CONTEXT_NOT_SUSPENDED:
		return "it does not wait for that";
	default:
		return NULL;
	}
}

_Static_assert(CAPOS_CONTEXT_BUDGET_MIN_NS == 10 * NS_PER_US, "`meaning` says so");

int budget_fail(const char *what, struct capos_result r)
{
	const char *why = r.status == CAPOS_STATUS_OK ? meaning(r.iresult, r.detail) : NULL;

	if (r.status == CAPOS_STATUS_BAD_ARGUMENT)
		why = bad_field(r.detail);
	if (why == NULL)
		return shell_fail(what, CAPOS_IFACE_scheduling_context, r);
	print("%s: %s: %s\n", what,
	      r.iresult ? iresult_name(CAPOS_IFACE_scheduling_context, r.iresult) : status_name(r.status), why);
	return 1;
}
