/* SPDX-License-Identifier: MIT */
#include <user/capos.h>
#include <user/measure.h>

#define LINE_BYTES 512u
#define PLACES_MAX 512u /* that samples are told of; the others are counted */

bool measure_begin(void)
{
	return result_ok(trace_phase(known.trace, 0, NULL)) &&
	       result_ok(trace_control(known.trace, 1ull << CAPOS_TRACE_SAMPLE, NULL));
}

void measure_phase(unsigned phase)
{
	must(trace_phase(known.trace, phase, NULL));
}

/* --- values -------------------------------------------------------------------------------------------------------------- */

static void merge(uint64_t *to, uint64_t part, bool maximum)
{
	*to = !maximum ? *to + part : *to > part ? *to : part;
}

static void merge_lock_field(uint64_t *to, uint64_t part, unsigned field)
{
	merge(to, part, field == CAPOS_MEASURE_LOCK_wait_max_ns || field == CAPOS_MEASURE_LOCK_hold_max_ns);
}

static void merge_value(struct measure_values *values, unsigned index, uint64_t part)
{
	if (index < CAPOS_MEASURE_COUNTER_COUNT)
		merge(&values->value[index], part, index == CAPOS_MEASURE_scheduler_inbox_wait_max_ns);
	else
		merge_lock_field(&values->value[index], part,
				 (index - CAPOS_MEASURE_COUNTER_COUNT) % CAPOS_MEASURE_LOCK_FIELD_COUNT);
}

static void add(struct measure_values *values, unsigned phase, uint32_t cpu)
{
	uint64_t part[TRACE_VALUES_MAX];

	for (unsigned first = 0; first < CAPOS_MEASURE_VALUES; first += TRACE_VALUES_MAX) {
		must(trace_counters(known.trace, cpu, phase, first, part, NULL));
		for (unsigned i = 0; i < TRACE_VALUES_MAX && first + i < CAPOS_MEASURE_VALUES; i++)
			merge_value(values, first + i, part[i]);
	}
}

void measure_get(struct measure_values *values, unsigned phase, uint32_t cpu)
{
	uint32_t cpus = startup()->cpu_count;

	*values = (struct measure_values){ 0 };
	for (unsigned p = 0; p < CAPOS_MEASURE_PHASES; p++)
		for (uint32_t c = 0; c < cpus; c++)
			if ((phase == CAPOS_MEASURE_PHASES || phase == p) && (cpu == CAPOS_CPU_ANY || cpu == c))
				add(values, p, c);
}

static const uint64_t *lock_fields(const struct measure_values *values, unsigned site)
{
	return &values->value[CAPOS_MEASURE_COUNTER_COUNT + site * CAPOS_MEASURE_LOCK_FIELD_COUNT];
}

uint64_t measure_lock(const struct measure_values *values, enum capos_measure_site site,
		      enum capos_measure_lock_field field)
{
	return lock_fields(values, site)[field];
}

/* --- lines --------------------------------------------------------------------------------------------------------------- */

static const char *const counter_line[] = {
#define X(line, field) #line,
	CAPOS_MEASURE_COUNTERS(X)
#undef X
};
static const char *const counter_field[] = {
#define X(line, field) #field,
	CAPOS_MEASURE_COUNTERS(X)
#undef X
};
static const char *const lock_line[] = {
#define X(line, site) #line,
	CAPOS_MEASURE_LOCKS(X)
#undef X
};
static const char *const lock_site[] = {
#define X(line, site) #site,
	CAPOS_MEASURE_LOCKS(X)
#undef X
};
static const char *const lock_field[] = {
#define X(field) #field,
	CAPOS_MEASURE_LOCK_FIELDS(X)
#undef X
};

struct line {
	char text[LINE_BYTES];
	size_t length;
};

__attribute__((format(printf, 2, 3))) static void line_add(struct line *line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	line->length += fmt_vbuf(line->text + line->length, sizeof(line->text) - line->length, format, args);
	va_end(args);
	if (line->length >= sizeof(line->text))
		line->length = sizeof(line->text) - 1;
}

/* phase NULL: all of it. */
static void line_begin(struct line *line, const char *kind, const char *phase)
{
	line->length = 0;
	line_add(line, "measure: %s", kind);
	if (phase != NULL)
		line_add(line, " phase=%s", phase);
}

static void line_end(const struct line *line)
{
	print("%s\n", line->text);
}

static void add_lock(struct line *line, const uint64_t *fields)
{
	for (unsigned f = 0; f < CAPOS_MEASURE_LOCK_FIELD_COUNT; f++)
		line_add(line, " %s=%lu", lock_field[f], (unsigned long)fields[f]);
}

static void print_counters(const struct measure_values *values, const char *phase)
{
	struct line line;

	for (unsigned i = 0; i < CAPOS_MEASURE_COUNTER_COUNT;) {
		unsigned first = i;

		line_begin(&line, counter_line[first], phase);
		for (; i < CAPOS_MEASURE_COUNTER_COUNT && strcmp(counter_line[i], counter_line[first]) == 0; i++)
			line_add(&line, " %s=%lu", counter_field[i], (unsigned long)values->value[i]);
		if (strcmp(counter_line[first], "user_pc") != 0) /* each place has a line of its own */
			line_end(&line);
	}
	/* There is no network driver that anything could poll. */
	line_begin(&line, "network_poll", phase);
	line_add(&line, " scheduler_polls=0 runtime_polls=0 interface_polls=0 tcp_http_polls=0 virtqueue_spins=0"
			" virtqueue_completions=0 waiter_scans=0");
	line_end(&line);
}

static void print_locks(const struct measure_values *values, const char *phase)
{
	uint64_t all[CAPOS_MEASURE_LOCK_FIELD_COUNT] = { 0 };
	struct line line;

	for (unsigned site = 0; site < CAPOS_MEASURE_SITES; site++) {
		const uint64_t *fields = lock_fields(values, site);

		line_begin(&line, lock_line[site], phase);
		line_add(&line, " site=%s", lock_site[site]);
		add_lock(&line, fields);
		line_end(&line);
		for (unsigned f = 0; f < CAPOS_MEASURE_LOCK_FIELD_COUNT && strcmp(lock_line[site], lock_line[0]) == 0;
		     f++)
			merge_lock_field(&all[f], fields[f], f);
	}
	line_begin(&line, "scheduler_lock", phase);
	add_lock(&line, all);
	line_end(&line);
}

/* --- samples ------------------------------------------------------------------------------------------------------------- */

struct place {
	uint64_t process, offset;
	unsigned phase;
	uint64_t count;
};
static struct place places[PLACES_MAX];
static unsigned place_count;
static uint64_t untold;

static void note(const struct capos_trace_record *record)
{
	uint64_t process = record->arg[1] & 0xffffffff;
	unsigned phase = (unsigned)(record->arg[1] >> 32);

	for (unsigned i = 0; i < place_count; i++) {
		struct place *place = &places[i];

		if (place->process == process && place->offset == record->arg[0] && place->phase == phase) {
			place->count++;
			return;
		}
	}
	if (place_count == PLACES_MAX)
		untold++;
	else
		places[place_count++] = (struct place){ process, record->arg[0], phase, 1 };
}

static void collect(uint32_t cpu)
{
	struct capos_trace_record records[TRACE_RECORDS_MAX];
	uint64_t sequence = 0, next = 0, count = 0, lost = 0;

	for (;; sequence = next) {
		must(trace_read(known.trace, cpu, sequence, records, &count, &next, &lost));
		untold += lost;
		if (next == sequence)
			return;
		for (uint64_t i = 0; i < count; i++)
			if (records[i].event == CAPOS_TRACE_SAMPLE)
				note(&records[i]);
	}
}

static const char *name_of(uint64_t process)
{
	static struct capos_process_info infos[PROCESS_INFOS_MAX];
	uint64_t count = 0, next = 0;

	if (result_ok(system_info_processes(known.system_info, process, infos, &count, &next)) && count > 0 &&
	    infos[0].id == process)
		return infos[0].name;
	return "?";
}

static void print_samples(const char *const *names, unsigned count)
{
	must(trace_control(known.trace, 0, NULL));
	place_count = 0;
	untold = 0;
	for (uint32_t cpu = 0; cpu < startup()->cpu_count; cpu++)
		collect(cpu);
	for (unsigned i = 0; i < place_count; i++) {
		const struct place *place = &places[i];

		print("measure: user_pc phase=%s program=%s offset=0x%lx count=%lu\n",
		      place->phase < count ? names[place->phase] : "?", name_of(place->process),
		      (unsigned long)place->offset, (unsigned long)place->count);
	}
	print("measure: user_pc untold=%lu\n", (unsigned long)untold);
}

void measure_report(const char *const *names, unsigned count)
{
	static struct measure_values values, all;

	all = (struct measure_values){ 0 };
	for (unsigned phase = 0; phase < count; phase++) {
		measure_get(&values, phase, CAPOS_CPU_ANY);
		print_counters(&values, names[phase]);
		print_locks(&values, names[phase]);
		for (unsigned i = 0; i < CAPOS_MEASURE_VALUES; i++)
			merge_value(&all, i, values.value[i]);
	}
	print_counters(&all, NULL);
	print_locks(&all, NULL);
	print_samples(names, count);
}
