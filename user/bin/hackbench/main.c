/* SPDX-License-Identifier: MIT */
/* `make bench-hackbench`: messages between many, in guest instructions; Linux's counterpart is bench/linux/hackbench.c. */
#include "hackbench.h"

#include <user/mark.h>

static struct shared shared;
static struct worker workers[2 * HACKBENCH_PORTS_MAX];
static capos_handle processes[2 * HACKBENCH_PORTS_MAX];
static capos_handle ports[1 + HACKBENCH_PORTS_MAX]; /* the registry before them */

/* --- workers ------------------------------------------------------------------------------------------------------ */

size_t shared_bytes(unsigned port_count, unsigned places)
{
	return CAPOS_PAGE_BYTES + (places ? channels_bytes(port_count, places) : 0);
}

void shared_open(struct shared *view, void *memory, size_t bytes, unsigned places)
{
	view->bench = memory;
	view->places = places;
	if (places != 0 &&
	    !channels_open(&view->channels, (char *)memory + CAPOS_PAGE_BYTES, bytes - CAPOS_PAGE_BYTES,
			   hackbench_port_count(view->bench), places, view->bench->flags & HACKBENCH_PROCESSES))
		panic("channels");
}

static uint64_t work(void *argument)
{
	struct worker *worker = argument;
	struct shared *view = worker->shared;
	const struct hackbench_ports *operations = view->places ? &channel_ports : &endpoint_ports;
	void *state = view->places ? (void *)&view->channels : (void *)&worker->endpoints;

	if (worker->sends)
		hackbench_sender(view->bench, operations, state, worker->number);
	else
		hackbench_receiver(view->bench, operations, state, worker->number);
	return 0;
}

void worker_start(struct worker *worker)
{
	bool passive =
		!worker->sends && !worker->shared->places && !(worker->shared->bench->flags & HACKBENCH_ACTIVE);

	must(thread_start_on(&worker->thread, work, worker, CAPOS_CPU_ANY, passive ? CAPOS_THREAD_PASSIVE : 0));
}

/* Worker 2i receives at port i, worker 2i + 1 sends. */
static void start(const struct block *block)
{
	bool apart = shared.bench->flags & HACKBENCH_PROCESSES;

	for (unsigned i = 0; i < 2 * hackbench_port_count(shared.bench); i++) {
		bool sends = i % 2;
		unsigned number = sends ? i / 2 / shared.bench->fan : i / 2;
		capos_handle port = shared.places ? 0 : sends ? ports[0] : ports[1 + number];

		if (apart) {
			processes[i] = worker_spawn(sends, number, shared.places, block->memory, port);
			continue;
		}
		workers[i] = (struct worker){
			.shared = &shared, .endpoints.ports = ports + 1, .sends = sends, .number = number
		};
		worker_start(&workers[i]);
	}
}

static void finish(void)
{
	struct process_end end;

	for (unsigned i = 0; i < 2 * hackbench_port_count(shared.bench); i++)
		if (shared.bench->flags & HACKBENCH_PROCESSES)
			must(spawn_finish(processes[i], CAPOS_NEVER, &end));
		else
			must(thread_finish(&workers[i].thread, CAPOS_NEVER, NULL));
}

/* --- a case ------------------------------------------------------------------------------------------------------- */

static void prepare(struct block *block, unsigned places, uint32_t flags)
{
	must(block_map(block, shared_bytes(HACKBENCH_GROUPS * HACKBENCH_FAN, places)));
	hackbench_prepare(block->address, flags);
	shared_open(&shared, block->address, block->bytes, places);
	if (places)
		channels_clear(&shared.channels);
	for (unsigned i = 0; !places && i <= hackbench_port_count(shared.bench); i++)
		must(factory_endpoint(known.factory, HACKBENCH_IFACE, &ports[i]));
}

/* What waits at the endpoints ends with them. */
static void end_ports(void)
{
	for (unsigned i = 0; !shared.places && i <= hackbench_port_count(shared.bench); i++) {
		must(cap_table_destroy(known.caps, ports[i]));
		must(cap_table_release(known.caps, ports[i]));
	}
}

static void measure(const char *name, unsigned places, uint32_t flags, int (*phase)(struct hackbench *))
{
	bool registry = !places && flags & HACKBENCH_PROCESSES;
	struct endpoints given = { .ports = ports };
	struct thread giver;
	struct block block;
	int right;

	prepare(&block, places, flags);
	if (registry)
		must(thread_start(&giver, give_ports, &given));
	start(&block);
	right = phase(shared.bench);
	end_ports();
	finish();
	if (registry)
		must(thread_finish(&giver, CAPOS_NEVER, NULL));
	print("hackbench name=%s messages=%lu instructions=%lu right=%d\n", name,
	      (unsigned long)hackbench_messages(shared.bench),
	      (unsigned long)(shared.bench->end - shared.bench->begin), right);
	block_unmap(&block);
}

/* Marked, for the profile. */
#define PIPES(name, ...)
#define PHASE(name, ...)                                                                                             \
	static int phase_##name(struct hackbench *bench)                                                             \
	{                                                                                                            \
		int right;                                                                                           \
                                                                                                                     \
		COST_MARK(2 * HACKBENCH_##name);                                                                     \
		right = hackbench_measure(bench);                                                                    \
		COST_MARK(2 * HACKBENCH_##name + 1);                                                                 \
		return right;                                                                                        \
	}
HACKBENCH_CASES(PIPES, PHASE, PHASE)

int main(int argc, char **argv)
{
	if (argc > 3)
		return worker_main(argv);
#define ENDPOINTS(name, flags) measure(#name, 0, flags, phase_##name);
#define CHANNELS(name, places, flags) measure(#name, places, flags, phase_##name);
	HACKBENCH_CASES(PIPES, ENDPOINTS, CHANNELS)
	print("hackbench-done\n");
	return 0;
}
