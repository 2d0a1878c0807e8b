/* SPDX-License-Identifier: MIT */
/* Commands that print tables of what the kernel tells. */
#include "shell.h"

const char *span_text(uint64_t ns, char text[32])
{
	uint64_t ms = ns / 1000000;

	if (ms >= 3600000)
		fmt_buf(text, 32, "%lu:%02lu:%02lu", (unsigned long)(ms / 3600000), (unsigned long)(ms / 60000 % 60),
			(unsigned long)(ms / 1000 % 60));
	else
		fmt_buf(text, 32, "%lu.%03lu", (unsigned long)(ms / 1000), (unsigned long)(ms % 1000));
	return text;
}

const char *clock_text(uint64_t ns, char text[32])
{
	uint64_t s = ns / NS_PER_SECOND, days = s / 86400;
	size_t n = 0;

	if (days)
		n = fmt_buf(text, 32, "%lud ", (unsigned long)days);
	fmt_buf(text + n, 32 - n, "%02lu:%02lu:%02lu", (unsigned long)(s / 3600 % 24), (unsigned long)(s / 60 % 60),
		(unsigned long)(s % 60));
	return text;
}

const char *size_text(uint64_t bytes, char text[32])
{
	if (bytes >= 10ull << 20)
		fmt_buf(text, 32, "%lu MiB", (unsigned long)(bytes >> 20));
	else
		fmt_buf(text, 32, "%lu KiB", (unsigned long)(bytes >> 10));
	return text;
}

bool each_process(process_visitor visit, void *context)
{
	struct capos_process_info infos[PROCESS_INFOS_MAX];

	for (uint64_t id = 0;;) {
		uint64_t count = 0, next = 0;
		struct capos_result r = system_info_processes(known.system_info, id, infos, &count, &next);

		if (!result_ok(r)) {
			shell_fail("system_info: processes", CAPOS_IFACE_system_info, r);
			return false;
		}
		for (uint64_t i = 0; i < count && i < PROCESS_INFOS_MAX; i++)
			visit(&infos[i], context);
		if (next <= id)
			return true;
		id = next;
	}
}

bool each_thread(thread_visitor visit, void *context)
{
	struct capos_thread_info infos[THREAD_INFOS_MAX];

	for (uint64_t id = 0;;) {
		uint64_t count = 0, next = 0;
		struct capos_result r = system_info_threads(known.system_info, id, infos, &count, &next);

		if (!result_ok(r)) {
			shell_fail("system_info: threads", CAPOS_IFACE_system_info, r);
			return false;
		}
		for (uint64_t i = 0; i < count && i < THREAD_INFOS_MAX; i++)
			visit(&infos[i], context);
		if (next <= id)
			return true;
		id = next;
	}
}

static void show_process(const struct capos_process_info *info, void *context)
{
	char memory[32], limit[32], time[32], slots[32];

	(void)context;
	fmt_buf(slots, sizeof(slots), "%u/%u", info->slots_used, info->slots_limit);
	print("%5lu %6lu %4lu %-12.15s %-6.6s %3u %8s %8s %9s %9s\n", (unsigned long)info->id,
	      (unsigned long)info->parent_id, (unsigned long)info->session_id, info->name,
	      process_state_name(info->state), info->threads, size_text(info->memory_used, memory),
	      size_text(info->memory_limit, limit), slots, span_text(info->runtime_ns, time));
}

int command_ps(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	print("  PID PARENT SESS PROGRAM      STATE  THR   MEMORY    LIMIT     SLOTS  CPU TIME\n");
	return !each_process(show_process, NULL);
}

static void show_thread(const struct capos_thread_info *info, void *context)
{
	char time[32], waiting[32], pin[16] = "-";
	const uint64_t *pid = context;

	if (*pid && info->process_id != *pid)
		return;
	if (info->pinned_cpu != CAPOS_CPU_ANY)
		fmt_buf(pin, sizeof(pin), "%u", info->pinned_cpu);
	print("%5lu %5lu %-9s %-12s %3u %3s %9s %8s %7lu %6lu %4lu\n", (unsigned long)info->id,
	      (unsigned long)info->process_id, thread_state_name(info->state), wait_name(info->wait), info->last_cpu,
	      pin, span_text(info->runtime_ns, time), span_text(info->runnable_ns, waiting),
	      (unsigned long)info->context_switches, (unsigned long)info->preemptions,
	      (unsigned long)info->migrations);
}

int command_threads(int argc, char **argv)
{
	uint64_t pid = 0;

	if (argc > 2 || (argc == 2 && !shell_number(argv[1], &pid)))
		return shell_usage("threads");
	print("  TID   PID STATE     WAITS FOR    CPU PIN  CPU TIME  WAITING SWITCHD PREEMP MOVE\n");
	return !each_thread(show_thread, &pid);
}

/* The name that the capability had at start-up; later ones have none. */
static const char *startup_name(capos_handle handle)
{
	const struct capos_startup *record = startup();

	for (uint32_t i = 0; i < record->cap_count && i < CAPOS_STARTUP_CAPS; i++)
		if (record->caps[i].handle == handle)
			return record->caps[i].name;
	if (handle == known.policy)
		return "policy";
	if (handle == known.context)
		return SHELL_GIVEN_CONTEXT;
	return "";
}

int command_caps(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	print(" SLOT  GEN  INTERFACE          RIGHTS       OBJECT  BADGE  NAME\n");
	for (uint64_t slot = 0;;) {
		struct capos_cap_record records[CAP_RECORDS_MAX];
		uint64_t count = 0, next = 0;
		struct capos_result r = cap_table_list(known.caps, slot, records, &count, &next);

		if (!result_ok(r))
			return shell_fail("cap_table: list", CAPOS_IFACE_cap_table, r);
		for (uint64_t i = 0; i < count && i < CAP_RECORDS_MAX; i++) {
			char rights[12];

			rights_text(records[i].rights, rights);
			print("%5u %4u  %-18s %s %7lu %6lu  %.15s\n", CAPOS_HANDLE_SLOT(records[i].handle),
			      CAPOS_HANDLE_GENERATION(records[i].handle), iface_name(records[i].iface), rights,
			      (unsigned long)records[i].object_id, (unsigned long)records[i].badge,
			      startup_name(records[i].handle));
		}
		if (next <= slot)
			return 0;
		slot = next;
	}
}

int command_mem(int argc, char **argv)
{
	struct capos_memory_info info;
	uint64_t mapped = 0, tables = 0, mappings = 0;
	char a[32], b[32], c[32], d[32];

	(void)argc;
	(void)argv;

	struct capos_result r = system_info_memory(known.system_info, &info);

	if (!result_ok(r))
		return shell_fail("system_info: memory", CAPOS_IFACE_system_info, r);
	print("machine  %s: %s used, %s free, of the used %s by the kernel\n", size_text(info.total_bytes, a),
	      size_text(info.total_bytes - info.free_bytes, b), size_text(info.free_bytes, c),
	      size_text(info.kernel_bytes, d));
	print("frames   %lu, %lu free\n", (unsigned long)info.frames_total, (unsigned long)info.frames_free);
	r = address_space_info(known.space, &mapped, &tables, &mappings);
	if (!result_ok(r))
		return shell_fail("address_space: info", CAPOS_IFACE_address_space, r);
	print("shell    %s in %lu mappings, %s of page tables\n", size_text(mapped, a), (unsigned long)mappings,
	      size_text(tables, b));
	return 0;
}

int command_cpus(int argc, char **argv)
{
	uint64_t total = 1;

	(void)argc;
	(void)argv;
	print("CPU APIC PKG LLC CORE SMT   LOAD BUSY(s) IRQ(s) RUNQ SWITCHD   IPIS FLUSH  TID\n");
	for (uint64_t first = 0; first < total;) {
		struct capos_cpu_info infos[CPU_INFOS_MAX];
		uint64_t count = 0;
		struct capos_result r = system_info_cpus(known.system_info, first, infos, &total, &count);

		if (!result_ok(r))
			return shell_fail("system_info: cpus", CAPOS_IFACE_system_info, r);
		if (count == 0)
			break;
		for (uint64_t i = 0; i < count && i < CPU_INFOS_MAX; i++) {
			const struct capos_cpu_info *cpu = &infos[i];
			uint64_t all = cpu->idle_ns + cpu->busy_ns + cpu->irq_ns;
			uint64_t load = all ? (all - cpu->idle_ns) / (all / 1000 + 1) : 0;
			char busy[32], irq[32], percent[16] = "off", thread[24] = "idle";

			if (cpu->online)
				fmt_buf(percent, sizeof(percent), "%lu.%lu%%", (unsigned long)(load / 10),
					(unsigned long)(load % 10));
			if (cpu->current_thread)
				fmt_buf(thread, sizeof(thread), "%lu", (unsigned long)cpu->current_thread);
			print("%3u %4u %3u %3u %4u %3u %6s %7s %6s %4u %7lu %6lu %5lu %4s\n", cpu->id, cpu->apic_id,
			      cpu->package, cpu->llc, cpu->core, cpu->smt, percent, span_text(cpu->busy_ns, busy),
			      span_text(cpu->irq_ns, irq), cpu->queued, (unsigned long)cpu->switches,
			      (unsigned long)cpu->ipis, (unsigned long)cpu->shootdowns, thread);
		}
		first += count;
	}
	return 0;
}

int command_log(int argc, char **argv)
{
	const char *const levels[] = { "error", "warn", "info", "debug" };
	uint64_t wanted = 20, sequence = 0, lines = 0;
	struct log_entry entry;
	struct capos_result r;

	if (argc > 2 || (argc == 2 && !shell_number(argv[1], &wanted)))
		return shell_usage("log");
	while (result_ok(r = log_read(known.log, sequence, &entry)) && entry.next > sequence) {
		sequence = entry.next;
		lines++;
	}
	if (!result_ok(r))
		return shell_fail("log", CAPOS_IFACE_log, r);
	sequence = 0;
	for (uint64_t i = 0; i < lines; i++) {
		if (!result_ok(log_read(known.log, sequence, &entry)) || entry.next <= sequence)
			break;
		sequence = entry.next;
		if (i + wanted >= lines)
			print("[%5lu.%06lu] %-5s %s\n", (unsigned long)(entry.ns / NS_PER_SECOND),
			      (unsigned long)(entry.ns / 1000 % 1000000), entry.level < 4 ? levels[entry.level] : "?",
			      entry.text);
	}
	return 0;
}

struct load {
	uint32_t running, ready, threads;
};

static void add_load(const struct capos_thread_info *info, void *context)
{
	struct load *load = context;

	load->threads++;
	load->running += info->state == CAPOS_THREAD_RUNNING;
	load->ready += info->state == CAPOS_THREAD_READY;
}

int command_uptime(int argc, char **argv)
{
	struct load load = { 0 };
	char text[32];

	(void)argc;
	(void)argv;
	if (!each_thread(add_load, &load))
		return 1;
	print("up %s, %u CPUs, %u threads: %u running, %u ready\n", clock_text(now_ns(), text), startup()->cpu_count,
	      load.threads, load.running, load.ready);
	return 0;
}

/* Days since 1970-01-01 to a date; Howard Hinnant's civil_from_days. */
static void civil(uint64_t days, unsigned *year, unsigned *month, unsigned *day)
{
	uint64_t z = days + 719468, era = z / 146097, doe = z % 146097;
	uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

	*day = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
	*month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
	*year = (unsigned)(yoe + era * 400 + (*month <= 2));
}

int command_date(int argc, char **argv)
{
	const char *const names[] = { "Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed" };
	uint64_t utc = 0;
	unsigned year, month, day;

	(void)argc;
	(void)argv;

	struct capos_result r = wall_clock_now(known.wall_clock, &utc);

	if (!result_ok(r))
		return shell_fail("date", CAPOS_IFACE_wall_clock, r);

	uint64_t s = utc / NS_PER_SECOND;

	civil(s / 86400, &year, &month, &day);
	print("%s %04u-%02u-%02u %02lu:%02lu:%02lu UTC\n", names[s / 86400 % 7], year, month, day,
	      (unsigned long)(s / 3600 % 24), (unsigned long)(s / 60 % 60), (unsigned long)(s % 60));
	return 0;
}

int command_session(int argc, char **argv)
{
	struct session_info session;

	(void)argc;
	(void)argv;

	struct capos_result r = user_session_info(known.session, &session);

	if (!result_ok(r))
		return shell_fail("session", CAPOS_IFACE_user_session, r);
	print("session %lu of %s (account %lu), shell is process %lu\n", (unsigned long)session.id, session.name,
	      (unsigned long)session.account_id, (unsigned long)startup()->process_id);
	return 0;
}

int command_programs(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	for (unsigned i = 0; i < shell_program_count; i++)
		print("%-16s%s", shell_programs[i], i % 5 == 4 || i + 1 == shell_program_count ? "\n" : "");
	return 0;
}
