/* SPDX-License-Identifier: MIT */
/*
 * run-smp-smokes: every CPU that exists is up and runs programs, wakes cross CPUs, unmapped memory is gone everywhere
 * when unmap returns, and processes end under load. Threads are where their affinity says, whatever changes meanwhile: moves.c.
 * `found`: only shows the CPUs. `bound`: its manifest lets it run on CPU 0 only, and it ends with 1 where it
 * does not find itself so.
 */
#include "smptest.h"

#define MANY 150u

unsigned cpu_count;
struct thread threads[CPUS_MAX];
capos_handle bells[CPUS_MAX], answers[CPUS_MAX];
static capos_handle port;

static void found(void)
{
	struct capos_cpu_info infos[CPU_INFOS_MAX];
	uint64_t total = 0, count = 1, online = 0;

	for (uint64_t at = 0; count > 0 && at < cpu_count; at += count) {
		if (!result_ok(system_info_cpus(known.system_info, at, infos, &total, &count)))
			break;
		for (uint64_t i = 0; i < count; i++) {
			const struct capos_cpu_info *cpu = &infos[i];

			online += cpu->online;
			tap_note("cpu %u apic %u package %u cache %u core %u thread %u", cpu->id, cpu->apic_id,
				 cpu->package, cpu->llc, cpu->core, cpu->smt);
		}
	}
	tap_note("cpus %lu", (unsigned long)online);
	tap_ok(online == cpu_count && total == cpu_count, "%u CPUs, all online", cpu_count);
}

static void start_on_each(thread_function function)
{
	for (unsigned i = 0; i < cpu_count; i++)
		insist(thread_start_on(&threads[i], function, (void *)(uintptr_t)i, i, 0));
}

static uint64_t finish_each(void)
{
	uint64_t sum = 0, code = 0;

	for (unsigned i = 0; i < cpu_count; i++) {
		must(thread_finish(&threads[i], CAPOS_NEVER, &code));
		sum += code;
	}
	return sum;
}

static uint64_t where_am_i(void *argument)
{
	struct capos_thread_info info = { 0 };
	uint64_t wrong = 0;

	for (unsigned i = 0; i < 10; i++) {
		yield();
		if (!result_ok(thread_info(self()->handle, &info)) || info.last_cpu != (uintptr_t)argument)
			wrong++;
	}
	return wrong;
}

static void pinned(void)
{
	struct usage before = usage_now();

	start_on_each(where_am_i);
	tap_ok(finish_each() == 0, "a thread pinned to each CPU runs there");
	tap_returns(before, "everything came back");
}

uint64_t answer_bell(void *argument)
{
	uint64_t number = (uintptr_t)argument, bits = 0, bad = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		bad += !result_ok(notification_wait(bells[number], CAPOS_NEVER, &bits)) || bits != i + 1u;
		bad += !result_ok(notification_signal(answers[number], i + 1));
	}
	return bad;
}

static void wakes(void)
{
	uint64_t bits = 0, bad = 0, longest = 0, sum = 0;
	struct usage before = usage_now();

	for (unsigned i = 0; i < cpu_count; i++) {
		insist(factory_notification(known.factory, &bells[i]));
		insist(factory_notification(known.factory, &answers[i]));
	}
	start_on_each(answer_bell);
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < cpu_count; i++) {
			uint64_t begin = now_ns(), span;

			bad += !result_ok(notification_signal(bells[i], round + 1));
			bad += !result_ok(notification_wait(answers[i], now_ns() + 10 * SECOND, &bits)) ||
			       bits != round + 1u;
			span = now_ns() - begin;
			sum += span;
			longest = span > longest ? span : longest;
		}
	}
	bad += finish_each();
	tap_ok(bad == 0, "%u wake-ups of each CPU and back", ROUNDS);
	tap_note("there and back: %lu us on average, %lu us at most",
		 (unsigned long)(sum / ROUNDS / cpu_count / 1000), (unsigned long)(longest / 1000));
	for (unsigned i = 0; i < cpu_count; i++) {
		destroy(bells[i]);
		destroy(answers[i]);
	}
	tap_returns(before, "everything came back");
}

static struct mutex lock;
static volatile uint64_t counter;

static uint64_t count_under_lock(void *argument)
{
	(void)argument;
	for (unsigned i = 0; i < ROUNDS * 4; i++) {
		mutex_lock(&lock);
		counter = counter + 1;
		mutex_unlock(&lock);
	}
	return 0;
}

static uint64_t call_server(void *argument)
{
	uint64_t bad = 0;

	for (uint64_t i = 0; i < ROUNDS; i++) {
		uint64_t word[2] = { i, (uintptr_t)argument };

		bad += !result_ok(endpoint_call(port, PROOF_IFACE, PROOF_ECHO, word, 2, word, 1)) ||
		       word[0] != i + (uintptr_t)argument;
	}
	return bad;
}

static uint64_t serve(void *argument)
{
	struct request request;
	struct message reply = { .words = 1 };
	uint64_t served = 0;
	struct capos_result r = endpoint_recv(port, CAPOS_NEVER, 0, &request);

	(void)argument;
	while (r.status == CAPOS_STATUS_OK && request.method != PROOF_STOP) {
		served++;
		reply.word[0] = request.message.word[0] + request.message.word[1];
		r = endpoint_reply_recv(port, &reply, 0, &request);
	}
	(void)endpoint_reply(NULL);
	return served;
}

static void park_and_ipc(void)
{
	struct thread server;
	uint64_t served = 0;
	struct usage before = usage_now();

	start_on_each(count_under_lock);
	(void)finish_each();
	tap_ok(counter == (uint64_t)cpu_count * ROUNDS * 4, "a lock between all CPUs: %lu", (unsigned long)counter);
	insist(factory_endpoint(known.factory, PROOF_IFACE, &port));
	for (unsigned passive = 0; passive < 2; passive++) {
		insist(thread_start_on(&server, serve, NULL, CAPOS_CPU_ANY, passive ? CAPOS_THREAD_PASSIVE : 0));
		start_on_each(call_server);
		tap_ok(finish_each() == 0, "calls from each CPU to one %s server", passive ? "passive" : "active");
		(void)endpoint_call(port, PROOF_IFACE, PROOF_STOP, NULL, 0, NULL, 0);
		must(thread_finish(&server, CAPOS_NEVER, &served));
		tap_ok(served == (uint64_t)cpu_count * ROUNDS, "it served %lu", (unsigned long)served);
	}
	destroy(port);
	tap_returns(before, "everything came back");
}

/* --- shootdown ------------------------------------------------------------------------------------------------------ */

static volatile uint32_t *shot;
static uint32_t unmapped, stop_reading, reading;

/* Reads the page all the time. What it reads after unmap has returned must not be the old content. */
static uint64_t read_page(void *argument)
{
	uint64_t stale = 0, bits = 0;
	bool first = true;

	(void)notification_wait(bells[(uintptr_t)argument], CAPOS_NEVER, &bits);
	while (!__atomic_load_n(&stop_reading, __ATOMIC_ACQUIRE)) {
		uint32_t late = __atomic_load_n(&unmapped, __ATOMIC_ACQUIRE);

		stale += *shot == 1 && late;
		if (first)
			__atomic_add_fetch(&reading, 1, __ATOMIC_RELAXED);
		first = false;
	}
	return stale;
}

static void shootdown_round(capos_handle fault_port, unsigned readers)
{
	capos_handle old_page = 0, new_page = 0;
	struct message resume = { .words = 1, .word = { CAPOS_FAULT_RESUME } };
	uint64_t address = 0, number = 2, stale = 0, code = 0;
	unsigned faulted = 0;

	unmapped = stop_reading = reading = 0;
	insist(factory_memory(known.factory, CAPOS_PAGE_BYTES, 0, &old_page));
	insist(factory_memory(known.factory, CAPOS_PAGE_BYTES, 0, &new_page));
	insist(memory_object_write(new_page, 0, &number, 8));
	insist(address_space_map(known.space, old_page, 0, 0, CAPOS_PAGE_BYTES, CAPOS_MAP_WRITE, &address));
	shot = (volatile uint32_t *)address;
	*shot = 1;
	for (unsigned i = 0; i < readers; i++) {
		insist(factory_notification(known.factory, &bells[i]));
		insist(thread_start_on(&threads[i], read_page, (void *)(uintptr_t)i, (i + 1) % cpu_count, 0));
		must(thread_set_fault_endpoint(threads[i].handle, fault_port));
		must(notification_signal(bells[i], 1));
	}
	(void)becomes_true(__atomic_load_n(&reading, __ATOMIC_RELAXED) == readers);
	insist(address_space_unmap(known.space, address, CAPOS_PAGE_BYTES));
	__atomic_store_n(&unmapped, 1, __ATOMIC_RELEASE);
	for (; faulted < readers; faulted++) {
		struct request request;

		if (!IS(endpoint_recv(fault_port, now_ns() + 10 * SECOND, 0, &request), OK) ||
		    request.message.word[2] != address)
			break;
		if (faulted == 0)
			insist(address_space_map(known.space, new_page, 0, address, CAPOS_PAGE_BYTES, CAPOS_MAP_WRITE,
						 NULL));
		(void)endpoint_reply(&resume);
		if (faulted == 0) {
			/* The others may find the new page already. */
			__atomic_store_n(&stop_reading, 1, __ATOMIC_RELEASE);
			break;
		}
	}
	for (unsigned i = 0; i < readers; i++) {
		struct request request;

		while (!result_ok(thread_finish(&threads[i], now_ns() + 20 * MS, &code)))
			if (IS(endpoint_recv(fault_port, 0, 0, &request), OK))
				(void)endpoint_reply(&resume);
		stale += code;
		destroy(bells[i]);
	}
	tap_ok(stale == 0 && faulted < readers, "%u readers: none saw the page after unmap had returned (%lu did)",
	       readers, (unsigned long)stale);
	insist(address_space_unmap(known.space, address, CAPOS_PAGE_BYTES));
	destroy(old_page);
	destroy(new_page);
}

static void shootdown(void)
{
	struct usage before = usage_now();
	capos_handle fault_port = 0;

	if (on_simulator()) {
		tap_skip("shootdown: page protection is only on x86_64");
		return;
	}
	insist(factory_endpoint(known.factory, 0, &fault_port));
	for (unsigned i = 0; i < 5; i++)
		shootdown_round(fault_port, cpu_count < 9 ? cpu_count : 8);
	destroy(fault_port);
	tap_returns(before, "everything came back");
}

/* --- under load ------------------------------------------------------------------------------------------------------ */

uint64_t short_life(void *argument)
{
	return (uintptr_t)argument;
}

static void ends_under_load(void)
{
	static struct thread many[MANY];
	capos_handle load[4];
	struct usage before = usage_now();
	unsigned count = cpu_count < 16 ? cpu_count : 16, loads = cpu_count < 4 ? cpu_count : 4;
	uint64_t sum = 0, code = 0;
	bool good = true;

	for (unsigned i = 0; i < loads; i++) {
		struct capos_spawn spawn;

		child_init(&spawn, "threads 3 spin");
		insist(spawn_start(&spawn, &load[i], NULL));
	}
	for (unsigned round = 0; round < 3; round++) {
		capos_handle process[16];

		for (unsigned i = 0; i < count; i++) {
			struct capos_spawn spawn;

			child_init(&spawn, i % 2 ? "threads 2 spin" : "exit 4");
			spawn.cpu = i;
			insist(spawn_start(&spawn, &process[i], NULL));
		}
		for (unsigned i = 1; i < count; i += 2)
			must(process_kill(process[i], 5));
		for (unsigned i = 0; i < count; i++) {
			struct process_end end = child_end(process[i]);

			good = (i % 2 ? ended(end, CAPOS_EXIT_KILLED, 5) : ended(end, CAPOS_EXIT_NORMAL, 4)) && good;
		}
	}
	tap_ok(good, "processes end and are killed on %u CPUs under load", count);
	for (unsigned i = 0; i < MANY; i++)
		insist(thread_start(&many[i], short_life, (void *)(uintptr_t)i));
	for (unsigned i = 0; i < MANY; i++) {
		must(thread_finish(&many[i], CAPOS_NEVER, &code));
		sum += code;
	}
	tap_ok(sum == MANY * (MANY - 1) / 2, "%u threads under load", MANY);
	for (unsigned i = 0; i < loads; i++) {
		must(process_kill(load[i], 6));
		good = ended(child_end(load[i]), CAPOS_EXIT_KILLED, 6) && good;
	}
	tap_ok(good, "the load is killed");
	tap_returns(before, "everything came back");
}

/* Beside the other process, so without a report of its own: by its exit code. */
static int bound(void)
{
	struct capos_cpu_set set = { .byte_count = 0 };
	unsigned elsewhere = 0;

	must(thread_affinity(known.self, &set));
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct capos_thread_info info = { .last_cpu = CAPOS_CPU_ANY };

		must(thread_info(known.self, &info));
		elsewhere += info.last_cpu != 0 || info.migrations != 0;
		yield();
	}
	if (set.byte_count == 1 && set.byte[0] == 1 && elsewhere == 0)
		return 0;
	print("bound: %u bytes, %u looks elsewhere\n", set.byte_count, elsewhere);
	return 1;
}

int main(int argc, char **argv)
{
	struct thread thread;

	cpu_count = startup()->cpu_count < CPUS_MAX ? startup()->cpu_count : CPUS_MAX;
	if (argc > 1 && strcmp(argv[1], "bound") == 0)
		return bound();
	tap_plan(0);
	if (argc > 1 && strcmp(argv[1], "found") == 0) {
		found();
		return tap_done();
	}
	grow_table();
	(void)child_run("exit 0");
	insist(thread_start(&thread, short_life, NULL));
	must(thread_finish(&thread, CAPOS_NEVER, NULL));
	found();
	pinned();
	wakes();
	park_and_ipc();
	shootdown();
	ends_under_load();
	moves();
	return tap_done();
}
