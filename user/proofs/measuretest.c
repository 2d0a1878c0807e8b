/* SPDX-License-Identifier: MIT */
/*
 * The measure build: a phase for each kind of work, whose counts are known, and what was counted meanwhile. It then prints everything,
 * for tests/qemu/measure.py. In other builds: nothing is counted, and the calls say so.
 */
#include "proof.h"

#include <user/measure.h>

enum phase { OTHER, SPIN, WAKES, SHOOTDOWNS, SERIAL, LOCKS, PLACEMENT, SPACES, PHASES };
static const char *const phase_names[PHASES] = { "other",  "spin",  "wakes",	 "shootdowns",
						 "serial", "locks", "placement", "spaces" };
_Static_assert(PHASES <= CAPOS_MEASURE_PHASES, "phases");

#define SPIN_NS (300 * MS)
#define SPIN_ROUNDS 100000u
#define TICK_NS (10 * MS)
#define TICKS_MIN 12u
#define WAKES_COUNT 100ull
#define UNMAPS 40ull
#define LINES 20ull
#define YIELDS 1000ull
#define STARTED 12ull
#define CHILDREN 10ull

static struct measure_values values;
static volatile bool over;
static uint32_t word, woken;

static void end(enum phase phase)
{
	measure_phase(OTHER);
	measure_get(&values, phase, CAPOS_CPU_ANY);
}

#define COUNTED(counter) (values.value[CAPOS_MEASURE_##counter])
#define AT(site, field) measure_lock(&values, CAPOS_MEASURE_AT_##site, CAPOS_MEASURE_LOCK_##field)

/* n lies between the two; else the line says what it is. */
#define tap_between(n, least, most, name)                                                                            \
	({                                                                                                           \
		uint64_t n_ = (n), least_ = (least), most_ = (most);                                                 \
		tap_ok(n_ >= least_ && n_ <= most_, "%s: %lu, of %lu to %lu", (name), (unsigned long)n_,             \
		       (unsigned long)least_, (unsigned long)most_);                                                 \
	})

static bool has_cpus(const char *what)
{
	if (startup()->cpu_count > 1)
		return true;
	tap_skip("%s takes two CPUs", what);
	return false;
}

/* --- the timer, and where programs are ----------------------------------------------------------------------------------- */

/* The samples of this phase are here: tests/qemu/measure.py looks for its name. */
__attribute__((noinline)) static void spin_here(void)
{
	for (unsigned i = 0; i < SPIN_ROUNDS; i++)
		__asm__ volatile("");
}

static void timer(void)
{
	uint64_t began_ns, took_ns;

	must(thread_set_cpu(known.self, 0));
	measure_phase(SPIN);
	began_ns = now_ns();
	for (uint64_t span_ns = SPIN_NS;; span_ns += SPIN_NS) {
		while ((took_ns = now_ns() - began_ns) < span_ns)
			spin_here();
		measure_get(&values, SPIN, CAPOS_CPU_ANY);
		/* A host that stood still gives fewer. */
		if (COUNTED(timer_bsp_tick_advances) >= TICKS_MIN || span_ns >= 20 * SPIN_NS)
			break;
	}
	end(SPIN);
	tap_between(COUNTED(timer_bsp_tick_advances), TICKS_MIN, took_ns / TICK_NS + 2, "ticks of CPU 0");
	tap_between(COUNTED(timer_user_scheduler), COUNTED(timer_bsp_tick_advances) - 2, COUNTED(timer_interrupts),
		    "interrupts of user code");
	tap_ok(COUNTED(timer_interrupts) == COUNTED(timer_user_scheduler) + COUNTED(timer_kernel_only),
	       "all interrupts of the timer: %lu", (unsigned long)COUNTED(timer_interrupts));
	tap_ok(COUNTED(user_pc_samples) == COUNTED(timer_user_scheduler), "a sample for each");
}

/* --- wake-ups on another CPU ---------------------------------------------------------------------------------------------- */

static uint64_t sleeper(void *argument)
{
	(void)argument;
	for (unsigned i = 0; i < WAKES_COUNT; i++) {
		while (__atomic_load_n(&word, __ATOMIC_ACQUIRE) == i)
			(void)park_while(&word, i, CAPOS_NEVER);
		__atomic_store_n(&woken, i + 1, __ATOMIC_RELEASE);
	}
	return 0;
}

#define CPU_RECORDS (CAPOS_MESSAGE_BYTES / sizeof(struct capos_cpu_record))
static struct capos_cpu_record cpu_records[CPU_RECORDS];

static uint64_t read_cpus(uint64_t *next)
{
	uint64_t count = 0;

	must(scheduling_policy_snapshot(known.policy, CAPOS_SNAPSHOT_CPUS, *next, 0, 0, cpu_records, &count, next));
	return count;
}

/* The sleeper has left it, and whoever wakes it now can choose that CPU. */
static bool idles(uint64_t cpu)
{
	return read_cpus(&cpu) > 0 && cpu_records[0].state == CAPOS_CPU_IDLE;
}

static uint64_t ipis_of_cpus(void)
{
	uint64_t next = 0, sum = 0;

	do {
		uint64_t count = read_cpus(&next);

		for (uint64_t i = 0; i < count; i++)
			sum += cpu_records[i].ipis_sent;
	} while (next != 0);
	return sum;
}

static void wakes(void)
{
	uint64_t ipis, ipis_before;
	struct thread thread;

	if (!has_cpus("waking elsewhere"))
		return;
	word = woken = 0;
	ipis_before = ipis_of_cpus();
	measure_phase(WAKES);
	must(thread_start_on(&thread, sleeper, NULL, 1, 0));
	for (unsigned i = 0; i < WAKES_COUNT; i++) {
		while (__atomic_load_n(&woken, __ATOMIC_ACQUIRE) != i || !idles(1))
			;
		__atomic_store_n(&word, i + 1, __ATOMIC_RELEASE);
		(void)unpark(&word, 1);
	}
	must(thread_finish(&thread, CAPOS_NEVER, NULL));
	end(WAKES);
	ipis = ipis_of_cpus() - ipis_before;
	tap_between(COUNTED(scheduler_inbox_pushes), WAKES_COUNT, 2 * WAKES_COUNT, "pushes into inboxes");
	tap_ok(COUNTED(scheduler_inbox_drained) == COUNTED(scheduler_inbox_pushes), "all were taken out: %lu",
	       (unsigned long)COUNTED(scheduler_inbox_drained));
	tap_between(COUNTED(scheduler_inbox_attempts), COUNTED(scheduler_inbox_pushes),
		    2 * COUNTED(scheduler_inbox_pushes), "exchanges tried");
	tap_ok(COUNTED(scheduler_inbox_wait_ns) >= COUNTED(scheduler_inbox_wait_max_ns) &&
		       COUNTED(scheduler_inbox_wait_max_ns) > 0,
	       "waiting in inboxes takes time");
	tap_between(COUNTED(reschedule_ipi_sent), WAKES_COUNT / 2, ipis,
		    "IPIs, of those that the CPUs' records tell");
	tap_between(COUNTED(reschedule_ipi_sent) + COUNTED(reschedule_ipi_merged), WAKES_COUNT, 3 * WAKES_COUNT,
		    "IPIs asked for");
	tap_between(COUNTED(reschedule_ipi_target), WAKES_COUNT / 2, 2 * WAKES_COUNT, "idle CPUs chosen");
	tap_between(COUNTED(reschedule_ipi_eligible_idle),
		    COUNTED(reschedule_ipi_target) + COUNTED(reschedule_ipi_pending_skip), 4 * WAKES_COUNT,
		    "idle CPUs looked at");
	tap_between(AT(scheduler_lock_site_inbox_drain, acquisitions) +
			    AT(scheduler_lock_site_start_idle_selection, acquisitions),
		    WAKES_COUNT, 20 * WAKES_COUNT, "locks taken to look into inboxes");
}

/* --- translations -------------------------------------------------------------------------------------------------------- */

static volatile bool spins;

static uint64_t spinner(void *argument)
{
	(void)argument;
	spins = true;
	while (!over)
		;
	return 0;
}

static void shootdowns(void)
{
	struct block blocks[UNMAPS];
	struct thread thread;

	if (!has_cpus("a shootdown"))
		return;
	over = spins = false;
	must(thread_start_on(&thread, spinner, NULL, 1, 0));
	for (unsigned i = 0; i < UNMAPS; i++)
		must(block_map(&blocks[i], PAGE));
	(void)becomes_true(spins);
	measure_phase(SHOOTDOWNS);
	for (unsigned i = 0; i < UNMAPS; i++)
		block_unmap(&blocks[i]);
	end(SHOOTDOWNS);
	over = true;
	must(thread_finish(&thread, CAPOS_NEVER, NULL));
	/* Once more where a table became empty. */
	tap_between(COUNTED(tlb_shootdowns), UNMAPS, 2 * UNMAPS, "shootdowns");
	tap_between(COUNTED(tlb_page_flushes) + COUNTED(tlb_space_flushes), 2 * UNMAPS, 4 * UNMAPS,
		    "flushes, here and there");
	tap_ok(AT(shared_kernel_lock_address_space, acquisitions) >= UNMAPS, "the space's lock: %lu times",
	       (unsigned long)AT(shared_kernel_lock_address_space, acquisitions));
}

/* --- bytes --------------------------------------------------------------------------------------------------------------- */

static void serial(void)
{
	static const char line[] = "# a line of 29 bytes, printed\n";
	uint64_t expected = LINES * (sizeof(line) - 1);

	(void)sleep_ns(50 * MS); /* what was printed before goes out */
	measure_phase(SERIAL);
	for (unsigned i = 0; i < LINES; i++)
		print("%s", line);
	(void)becomes_true((measure_get(&values, SERIAL, CAPOS_CPU_ANY), COUNTED(serial_bytes) >= expected));
	(void)sleep_ns(20 * MS); /* if there is more, it is too much */
	end(SERIAL);
	tap_ok(COUNTED(serial_bytes) == expected, "bytes to the console: %lu, expected %lu",
	       (unsigned long)COUNTED(serial_bytes), (unsigned long)expected);
	tap_between(AT(shared_kernel_lock_console, acquisitions), LINES, 100 * LINES, "the console's lock");
}

/* --- locks --------------------------------------------------------------------------------------------------------------- */

static uint64_t yielder(void *argument)
{
	(void)argument;
	for (unsigned i = 0; i < YIELDS; i++)
		yield();
	return 0;
}

static capos_handle bell;
static uint64_t ringer(void *argument)
{
	(void)argument;
	while (!over)
		must(notification_signal(bell, 1));
	return 0;
}

/* Two CPUs at one lock, until one was seen to wait for it; 10 s at most. */
static void contend(void)
{
	uint64_t until_ns = now_ns() + 10 * SECOND;
	struct thread thread;

	over = false;
	must(factory_notification(known.factory, &bell));
	must(thread_start_on(&thread, ringer, NULL, 1, 0));
	do {
		for (unsigned i = 0; i < 1000; i++)
			must(notification_signal(bell, 1));
		measure_get(&values, LOCKS, CAPOS_CPU_ANY);
	} while (AT(shared_kernel_lock_endpoint_inner, contended) == 0 && now_ns() < until_ns);
	over = true;
	must(thread_finish(&thread, CAPOS_NEVER, NULL));
	destroy(bell);
}

static void locks(void)
{
	bool two = startup()->cpu_count > 1;
	struct thread pair[2];

	measure_phase(LOCKS);
	for (unsigned i = 0; i < 2; i++)
		must(thread_start_on(&pair[i], yielder, NULL, 0, 0));
	for (unsigned i = 0; i < 2; i++)
		must(thread_finish(&pair[i], CAPOS_NEVER, NULL));
	if (two)
		contend();
	end(LOCKS);
	tap_between(AT(scheduler_lock_site_yield, acquisitions), YIELDS, 2 * YIELDS, "the queue's lock, to yield");
	tap_ok(AT(scheduler_lock_site_yield, hold_ns) > AT(scheduler_lock_site_yield, hold_max_ns) &&
		       AT(scheduler_lock_site_yield, hold_max_ns) > 0,
	       "is held %lu ns in all, %lu ns at most", (unsigned long)AT(scheduler_lock_site_yield, hold_ns),
	       (unsigned long)AT(scheduler_lock_site_yield, hold_max_ns));
	tap_between(COUNTED(thread_placement_selected), 2 * YIELDS - 2, 4 * YIELDS, "selections");
	if (!has_cpus("contention"))
		return;
	tap_ok(AT(shared_kernel_lock_endpoint_inner, contended) > 0 &&
		       AT(shared_kernel_lock_endpoint_inner, wait_ns) > 0 &&
		       AT(shared_kernel_lock_endpoint_inner, wait_ns) >=
			       AT(shared_kernel_lock_endpoint_inner, wait_max_ns),
	       "an object's lock: %lu of %lu waited, %lu ns",
	       (unsigned long)AT(shared_kernel_lock_endpoint_inner, contended),
	       (unsigned long)AT(shared_kernel_lock_endpoint_inner, acquisitions),
	       (unsigned long)AT(shared_kernel_lock_endpoint_inner, wait_ns));
}

/* --- placement ------------------------------------------------------------------------------------------------------------ */

static uint64_t nothing(void *argument)
{
	(void)argument;
	return 0;
}

static void placement(void)
{
	struct thread threads[STARTED];
	uint64_t placed;

	measure_phase(PLACEMENT);
	for (unsigned i = 0; i < STARTED; i++)
		must(thread_start(&threads[i], nothing, NULL));
	for (unsigned i = 0; i < STARTED; i++)
		must(thread_finish(&threads[i], CAPOS_NEVER, NULL));
	if (startup()->cpu_count > 1)
		for (uint32_t i = 0; i < STARTED; i++)
			must(thread_set_cpu(known.self, 1 - i % 2));
	end(PLACEMENT);
	placed = COUNTED(thread_placement_caller_current) + COUNTED(thread_placement_avoid) +
		 COUNTED(thread_placement_fallback);
	/* Ends of threads are activities, which are placed too. Where there is one CPU nobody asks. */
	if (has_cpus("placing"))
		tap_between(placed, STARTED, 3 * STARTED, "new ones placed");
	tap_between(COUNTED(thread_placement_first_selected), STARTED, 3 * STARTED, "selected for the first time");
	tap_ok(COUNTED(thread_placement_strict_load) <= COUNTED(thread_placement_avoid),
	       "by load: not more than elsewhere at all");
	if (has_cpus("moving"))
		tap_between(COUNTED(thread_placement_migrations), STARTED, 4 * STARTED, "moves");
}

/* --- address spaces ------------------------------------------------------------------------------------------------------- */

static void spaces(void)
{
	struct capos_spawn spawn;
	struct process_end how;
	capos_handle child;

	measure_phase(SPACES);
	for (unsigned i = 0; i < CHILDREN; i++) {
		spawn_init(&spawn, "tiny", NULL);
		must(spawn_start(&spawn, &child, NULL));
		must(spawn_finish(child, CAPOS_NEVER, &how));
	}
	end(SPACES);
	tap_between(COUNTED(tlb_cr3_loads), 2 * CHILDREN, 100 * CHILDREN, "loads of CR3");
	tap_ok(AT(shared_kernel_lock_cap_table, acquisitions) > CHILDREN &&
		       AT(shared_kernel_lock_heap, acquisitions) > 0,
	       "processes and pools are locked");
}

int main(int argc, char **argv)
{
	static struct measure_values all, one;

	(void)argc, (void)argv;

	tap_plan(0);
	if (!measure_begin())
		panic("not a measure build");
	timer();
	wakes();
	shootdowns();
	serial();
	locks();
	placement();
	spaces();
	measure_get(&all, CAPOS_MEASURE_PHASES, CAPOS_CPU_ANY);
	measure_get(&one, SPIN, CAPOS_CPU_ANY);
	tap_ok(all.value[CAPOS_MEASURE_timer_interrupts] > one.value[CAPOS_MEASURE_timer_interrupts],
	       "all phases together are more than one");
	measure_report(phase_names, PHASES);
	return tap_done();
}
