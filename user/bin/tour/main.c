/* SPDX-License-Identifier: MIT */
/* A tour of capOS that checks what it shows. Exit code 0: everything was as it should be. */
#include "tour.h"

static unsigned shown, failed;

bool show(bool good, const char *topic, const char *format, ...)
{
	char text[160];
	va_list args;

	va_start(args, format);
	fmt_vbuf(text, sizeof(text), format, args);
	va_end(args);
	print("  [%s] %-12s %s\n", good ? " ok " : "FAIL", topic, text);
	shown++;
	failed += !good;
	return good;
}

int main(int argc, char **argv)
{
	uint64_t begin;

	(void)argc;
	(void)argv;
	cap_need("timer");
	cap_need("system_info");
	cap_need("process_spawner");
	begin = now_ns();
	print("\ncapOS: a tour\n\n");
	tour_machine();
	tour_cpus();
	tour_clock();
	tour_budgets();
	tour_calls();
	tour_ring();
	tour_endpoint();
	tour_wakeups();
	tour_locks();
	tour_handles();
	tour_memory();
	tour_programs();
	tour_faults();
	tour_quotas();

	uint64_t ms = (now_ns() - begin) / 1000000;

	print("\ntour: %u of %u stations are as they should be, in %lu.%03lu s\n", shown - failed, shown,
	      (unsigned long)(ms / 1000), (unsigned long)(ms % 1000));
	if (!failed)
		print("A terminal gets a shell: `make run`. `make help` lists the rest.\n\n");
	return failed != 0;
}
