/* SPDX-License-Identifier: MIT */
/* trace: switches recording on and off; merges the CPUs' rings by time, filters and prints them. */
#include "shell.h"

#define RECORDS_MAX 4096u
#define LINES_DEFAULT 40u

struct filter {
	unsigned event;	 /* 0: all */
	uint64_t thread; /* 0: all */
	uint64_t lines;
};

static int switch_on(int argc, char **argv)
{
	uint64_t mask = 0, former = 0;

	for (int i = 2; i < argc; i++) {
		unsigned event = trace_event_of(argv[i]);

		if (!event) {
			print("trace: no event '%s'; they are:", argv[i]);
#define X(name, value, text) print(" %s", text);
			CAPOS_TRACE_EVENTS(X)
#undef X
			print("\n");
			return 1;
		}
		mask |= 1ull << event;
	}
	if (argc == 2) {
#define X(name, value, text) mask |= 1ull << (value);
		CAPOS_TRACE_EVENTS(X)
#undef X
	}

	struct capos_result r = trace_control(known.trace, mask, &former);

	return result_ok(r) ? 0 : shell_fail("trace", CAPOS_IFACE_trace, r);
}

static int switch_off(void)
{
	struct capos_result r = trace_control(known.trace, 0, NULL);

	return result_ok(r) ? 0 : shell_fail("trace", CAPOS_IFACE_trace, r);
}

static void reason_text(uint64_t reason, char *text, size_t n)
{
	if (reason & 0x100)
		fmt_buf(text, n, "preempted");
	else
		fmt_buf(text, n, "%s", reason ? wait_name((uint32_t)reason) : "ready");
}

/* What the two arguments of an event mean. */
static void describe(const struct capos_trace_record *record, char *text, size_t n)
{
	unsigned long a = record->arg[0], b = record->arg[1];
	struct capos_result r = result_of(a);
	char reason[24];

	switch (record->event) {
	case CAPOS_TRACE_SWITCH:
		reason_text(b, reason, sizeof(reason));
		if (a)
			fmt_buf(text, n, "-> thread %lu (left: %s)", a, reason);
		else
			fmt_buf(text, n, "-> idle (left: %s)", reason);
		break;
	case CAPOS_TRACE_WAKE:
		fmt_buf(text, n, "on cpu %lu by thread %lu", a, b);
		break;
	case CAPOS_TRACE_MIGRATE:
		fmt_buf(text, n, "cpu %lu -> cpu %lu", a, b);
		break;
	case CAPOS_TRACE_CALL: {
		const char *const ops[] = { "", "recv", "reply_recv", "reply", "cap_enter", "yield" };
		unsigned op = CAPOS_CALL_OP(a);

		if (op == CAPOS_OP_CALL && CAPOS_CALL_IFACE(a) < CAPOS_IFACE_USER)
			fmt_buf(text, n, "%s.%s slot %u", iface_name(CAPOS_CALL_IFACE(a)),
				method_name(CAPOS_CALL_IFACE(a), CAPOS_CALL_METHOD(a)), CAPOS_HANDLE_SLOT(b));
		else if (op == CAPOS_OP_CALL)
			fmt_buf(text, n, "endpoint 0x%x.%u slot %u", CAPOS_CALL_IFACE(a), CAPOS_CALL_METHOD(a),
				CAPOS_HANDLE_SLOT(b));
		else
			fmt_buf(text, n, "%s slot %u", op < 6 ? ops[op] : "?", CAPOS_HANDLE_SLOT(b));
		break;
	}
	case CAPOS_TRACE_RETURN:
		fmt_buf(text, n, r.iresult ? "%s, result %u" : "%s", status_name(r.status), r.iresult);
		break;
	case CAPOS_TRACE_IRQ:
		fmt_buf(text, n, "bits 0x%lx", a);
		break;
	case CAPOS_TRACE_IPI:
		fmt_buf(text, n, "to cpu %lu, reason 0x%lx", a, b);
		break;
	case CAPOS_TRACE_FAULT:
		fmt_buf(text, n, "%s at 0x%lx", fault_cause_name(a), b);
		break;
	case CAPOS_TRACE_SPAWN:
		fmt_buf(text, n, "process %lu, thread %lu", a, b);
		break;
	case CAPOS_TRACE_EXIT:
		fmt_buf(text, n, "process %lu, code %ld", a, (long)b);
		break;
	case CAPOS_TRACE_SHOOTDOWN:
		fmt_buf(text, n, "0x%lx, %lu CPUs", a, b);
		break;
	default:
		fmt_buf(text, n, "0x%lx 0x%lx", a, b);
	}
}

static bool matches(const struct capos_trace_record *record, const struct filter *filter)
{
	return (!filter->event || record->event == filter->event) &&
	       (!filter->thread || record->thread == (uint32_t)filter->thread);
}

/* Reads one CPU's ring; keeps what matches, the newest when there are too many. */
static bool collect(uint64_t cpu, const struct filter *filter, struct capos_trace_record *kept, size_t *count,
		    size_t most, uint64_t *lost)
{
	struct capos_trace_record records[TRACE_RECORDS_MAX];
	size_t start = *count, next_place = 0, own = 0;

	for (uint64_t sequence = 0;;) {
		uint64_t got = 0, next = 0, missed = 0;
		struct capos_result r = trace_read(known.trace, cpu, sequence, records, &got, &next, &missed);

		if (!result_ok(r)) {
			shell_fail("trace", CAPOS_IFACE_trace, r);
			return false;
		}
		*lost += missed;
		for (uint64_t i = 0; i < got && i < TRACE_RECORDS_MAX; i++) {
			if (!matches(&records[i], filter))
				continue;
			kept[start + next_place] = records[i];
			next_place = (next_place + 1) % most;
			own += own < most;
		}
		/* A batch that is not full is the end: each of these calls is traced too, so there is always more. */
		if (got + missed < TRACE_RECORDS_MAX || next <= sequence)
			break;
		sequence = next;
	}
	*count = start + own;
	return true;
}

/* Shell sort by time. */
static void sort(struct capos_trace_record *records, size_t count)
{
	for (size_t gap = count / 2; gap > 0; gap = gap == 2 ? 1 : gap * 5 / 11) {
		for (size_t i = gap; i < count; i++) {
			struct capos_trace_record moved = records[i];
			size_t k = i;

			for (; k >= gap && records[k - gap].ns > moved.ns; k -= gap)
				records[k] = records[k - gap];
			records[k] = moved;
		}
	}
}

static int show(const struct filter *filter)
{
	struct arena arena = { 0 };
	size_t count = 0, cpus = startup()->cpu_count ? startup()->cpu_count : 1, most = RECORDS_MAX / cpus;
	struct capos_trace_record *kept;
	uint64_t lost = 0;
	bool good = true;

	most = most < 16 ? 16 : most;
	kept = arena_alloc(&arena, most * cpus * sizeof(*kept));
	if (!kept) {
		print("trace: no memory for %lu records\n", (unsigned long)(most * cpus));
		return 1;
	}
	for (uint64_t cpu = 0; good && cpu < cpus; cpu++)
		good = collect(cpu, filter, kept, &count, most, &lost);
	sort(kept, count);
	if (good)
		print("        TIME (s)  CPU  EVENT      THREAD  WHAT\n");
	for (size_t i = count > filter->lines ? count - filter->lines : 0; good && i < count; i++) {
		char text[80];

		describe(&kept[i], text, sizeof(text));
		print("%6lu.%09lu %4u  %-10s %6u  %s\n", (unsigned long)(kept[i].ns / 1000000000),
		      (unsigned long)(kept[i].ns % 1000000000), kept[i].cpu, trace_event_name(kept[i].event),
		      kept[i].thread, text);
	}
	if (good)
		print("%lu of %lu records%s; %lu lost\n",
		      (unsigned long)(count < filter->lines ? count : filter->lines), (unsigned long)count,
		      filter->event || filter->thread ? " that match" : "", (unsigned long)lost);
	arena_free(&arena);
	return !good;
}

int command_trace(int argc, char **argv)
{
	struct filter filter = { .lines = LINES_DEFAULT };

	if (argc >= 2 && strcmp(argv[1], "on") == 0)
		return switch_on(argc, argv);
	if (argc == 2 && strcmp(argv[1], "off") == 0)
		return switch_off();
	if (argc < 2 || strcmp(argv[1], "show") != 0)
		return shell_usage("trace");
	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "-n") == 0 && i + 1 < argc && shell_number(argv[i + 1], &filter.lines)) {
			i++;
		} else if (!shell_number(argv[i], &filter.thread)) {
			filter.event = trace_event_of(argv[i]);
			if (!filter.event)
				return shell_usage("trace");
		}
	}
	return show(&filter);
}
