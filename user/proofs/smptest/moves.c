/* SPDX-License-Identifier: MIT */
/*
 * Where threads run while everything moves: affinity sets that change, stealing, balancing, storms of wake-ups, threads that begin, end
 * and are killed meanwhile. Each mover looks itself: after set_affinity has returned it never finds itself outside its set. None is
 * lost, moves are counted by thread and by CPU alike, and afterwards nothing is left in a queue.
 */
#include "smptest.h"

#include <user/spend.h>

#define SPINNERS 16u

static uint32_t stop_spinning;
static uint64_t spun[SPINNERS];

/* Less of it where that is expensive: busy CPUs in the simulator, and more of them than a host has. */
static unsigned effort(unsigned full)
{
	return on_simulator() ? full / 5 : cpu_count > 16 ? full / 20 : cpu_count > 4 ? full / 8 : full;
}

/* At least one of the CPUs that there are. */
static struct capos_cpu_set random_set(struct rng *rng)
{
	struct capos_cpu_set set = { .byte_count = 0 };

	for (unsigned i = 0; i < 4; i++)
		cpu_set_add(&set, (uint32_t)rng_below(rng, cpu_count));
	return set;
}

/* The caller is where its set allows when set_affinity returns, and stays within it. */
static uint64_t sets_itself(void *argument)
{
	uint64_t wrong = 0;
	struct rng rng;

	rng_seed(&rng, (uintptr_t)argument);
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct capos_cpu_set set = random_set(&rng);

		wrong += !result_ok(thread_set_affinity(self()->handle, &set));
		wrong += !cpu_set_has(&set, runs_on(self()->handle));
		yield();
		wrong += !cpu_set_has(&set, runs_on(self()->handle));
	}
	return wrong;
}

static uint64_t spins(void *argument)
{
	uint64_t *count = argument;

	while (!__atomic_load_n(&stop_spinning, __ATOMIC_RELAXED))
		*(volatile uint64_t *)count = *count + 1;
	return 0;
}

static void stop_spinners(struct thread *spinner, unsigned count)
{
	__atomic_store_n(&stop_spinning, 1, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < count; i++)
		must(thread_finish(&spinner[i], CAPOS_NEVER, NULL));
	stop_spinning = 0;
}

/* Sets of threads that run, wait and are being moved change all the time; in the end all are where they belong. */
static void affinity(void)
{
	struct thread spinner[SPINNERS];
	struct usage before = usage_now();
	unsigned count = cpu_count * 2 < SPINNERS ? cpu_count * 2 : SPINNERS, wrong = 0;
	unsigned changes = effort(20 * ROUNDS);
	struct rng rng;

	for (unsigned i = 0; i < 4; i++)
		insist(thread_start(&threads[i], sets_itself, (void *)(uintptr_t)i));
	for (unsigned i = 0; i < 4; i++) {
		uint64_t code = 0;

		must(thread_finish(&threads[i], CAPOS_NEVER, &code));
		wrong += (unsigned)code;
	}
	tap_ok(wrong == 0, "a thread is where it set itself to");
	rng_seed(&rng, cpu_count);
	for (unsigned i = 0; i < count; i++)
		insist(thread_start(&spinner[i], spins, &spun[i]));
	for (unsigned i = 0; i < changes; i++) {
		struct capos_cpu_set set = random_set(&rng);

		wrong += !result_ok(thread_set_affinity(spinner[rng_below(&rng, count)].handle, &set));
	}
	for (unsigned i = 0; i < count; i++) {
		struct capos_cpu_set set = set_of(i % cpu_count, i % cpu_count);

		wrong += !result_ok(thread_set_affinity(spinner[i].handle, &set));
	}
	for (unsigned i = 0; i < count; i++) {
		uint64_t so_far = __atomic_load_n(&spun[i], __ATOMIC_RELAXED);

		wrong += !becomes_true(runs_on(spinner[i].handle) == i % cpu_count);
		wrong += !becomes_true(__atomic_load_n(&spun[i], __ATOMIC_RELAXED) != so_far);
		wrong += runs_on(spinner[i].handle) != i % cpu_count;
	}
	tap_ok(wrong == 0, "%u sets changed while %u threads ran: all run where the last one says", changes, count);
	stop_spinners(spinner, count);
	tap_returns(before, "everything came back");
}

/* All are woken at once on one CPU, again and again; it and they are alive. */
static void wake_storm(void)
{
	unsigned count = cpu_count < 8 ? 8 : cpu_count;
	struct usage before = usage_now();
	uint64_t bits = 0, bad = 0;

	count = count > CPUS_MAX ? CPUS_MAX : count;
	for (unsigned i = 0; i < count; i++) {
		insist(factory_notification(known.factory, &bells[i]));
		insist(factory_notification(known.factory, &answers[i]));
		insist(thread_start_on(&threads[i], answer_bell, (void *)(uintptr_t)i, cpu_count - 1, 0));
	}
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < count; i++)
			bad += !result_ok(notification_signal(bells[i], round + 1));
		for (unsigned i = 0; i < count; i++)
			bad += !result_ok(notification_wait(answers[i], CAPOS_NEVER, &bits)) || bits != round + 1u;
	}
	for (unsigned i = 0; i < count; i++) {
		uint64_t code = 0;

		must(thread_finish(&threads[i], CAPOS_NEVER, &code));
		bad += code;
		destroy(bells[i]);
		destroy(answers[i]);
	}
	tap_ok(bad == 0, "%u storms of %u wake-ups at one CPU", ROUNDS, count);
	tap_returns(before, "everything came back");
}

/* More than the CPUs can run at once, killed while they run, wait, and are moved. */
static void created_and_killed(void)
{
	static struct thread many[25];
	struct usage before = usage_now();
	struct capos_cpu_set set;
	unsigned killed = 0, wanted = on_simulator() ? 100 : 1000; /* there a spinning thread is expensive */
	struct rng rng;

	rng_seed(&rng, 7);
	while (killed < wanted) {
		for (unsigned i = 0; i < COUNT_OF(many); i++)
			insist(thread_start(&many[i], spins, &spun[i % SPINNERS]));
		for (unsigned i = 0; i < COUNT_OF(many); i++) {
			if (rng_below(&rng, 4) == 0) {
				set = random_set(&rng);
				must(thread_set_affinity(many[rng_below(&rng, COUNT_OF(many))].handle, &set));
			}
			if (rng_below(&rng, 8) == 0)
				(void)sleep_ns(100000);
		}
		for (unsigned i = 0; i < COUNT_OF(many); i++)
			must(thread_terminate(many[i].handle));
		for (unsigned i = 0; i < COUNT_OF(many); i++)
			must(thread_finish(&many[i], CAPOS_NEVER, NULL));
		killed += COUNT_OF(many);
	}
	tap_ok(true, "%u threads created and killed while they were moved", killed);
	tap_returns(before, "everything came back");
}

/* --- movers ---------------------------------------------------------------------------------------------------------------- */

#define MOVERS_MAX 24u
#define BUSY_NS 20000ull

struct mover {
	struct thread thread;
	struct mutex lock; /* of who changes its set */
	uint32_t version;  /* odd while that is done: both sets may be found */
	struct capos_cpu_set set;
	uint64_t lives; /* ends by itself after so many looks */
	uint64_t looks, wrong;
};

static struct mover movers[MOVERS_MAX];
static unsigned mover_count;
static uint32_t all_begun, stop_moving;

/* Where the calling thread is. What is found while a change is under way counts for nothing. */
static void look(struct mover *mover)
{
	uint32_t version = __atomic_load_n(&mover->version, __ATOMIC_ACQUIRE);
	bool allowed = cpu_set_has(&mover->set, runs_on(self()->handle));

	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (version % 2 == 0 && __atomic_load_n(&mover->version, __ATOMIC_RELAXED) == version) {
		mover->looks++;
		mover->wrong += !allowed;
	}
}

/* False: somebody else is changing it. */
static bool move(struct mover *mover, struct rng *rng)
{
	struct capos_cpu_set set = random_set(rng);

	if (!mutex_try(&mover->lock))
		return false;
	__atomic_store_n(&mover->version, mover->version + 1, __ATOMIC_SEQ_CST);
	must(thread_set_affinity(mover->thread.handle, &set));
	mover->set = set;
	__atomic_store_n(&mover->version, mover->version + 1, __ATOMIC_RELEASE);
	mutex_unlock(&mover->lock);
	return true;
}

/* Runs, yields and sleeps, and looks. */
static uint64_t moves_about(void *argument)
{
	struct mover *mover = argument;
	struct rng rng;

	rng_seed(&rng, (uintptr_t)argument + mover->lives);
	for (uint64_t i = 0; i < mover->lives && !__atomic_load_n(&stop_moving, __ATOMIC_RELAXED); i++) {
		look(mover);
		switch (rng_below(&rng, 4)) {
		case 0:
			yield();
			break;
		case 1:
			(void)sleep_ns(rng_below(&rng, 2 * BUSY_NS));
			break;
		default:
			spend_ns(BUSY_NS);
		}
	}
	return (uint64_t)(mover - movers) + 1;
}

/* The same, and sends the others about: at times two that run send each other. */
static uint64_t moves_others(void *argument)
{
	struct mover *mover = argument;
	struct rng rng;
	uint64_t moved = 0;

	rng_seed(&rng, (uintptr_t)argument);
	while (!__atomic_load_n(&all_begun, __ATOMIC_ACQUIRE))
		(void)sleep_ns(BUSY_NS);
	for (uint64_t i = 0; i < mover->lives; i++) {
		struct mover *other = &movers[rng_below(&rng, mover_count)];

		moved += move(other, &rng);
		look(mover);
		spend_ns(BUSY_NS / 4);
	}
	return moved;
}

static struct capos_cpu_set all_cpus(void)
{
	struct capos_cpu_set set = set_of(0, 0);

	for (uint32_t cpu = 0; cpu < cpu_count; cpu++)
		cpu_set_add(&set, cpu);
	return set;
}

static void begin(struct mover *mover, thread_function function, uint64_t lives)
{
	*mover = (struct mover){ .set = all_cpus(), .lives = lives };
	insist(thread_start(&mover->thread, function, mover));
}

static uint64_t looks_sum(uint64_t *wrong)
{
	uint64_t looks = 0;

	*wrong = 0;
	for (unsigned i = 0; i < mover_count; i++) {
		looks += movers[i].looks;
		*wrong += movers[i].wrong;
	}
	return looks;
}

static void acknowledged(void)
{
	struct usage before = usage_now();
	unsigned changes = effort(20 * ROUNDS);
	uint64_t wrong = 0, looks, code = 0, moved = 0;
	struct rng rng;

	mover_count = cpu_count * 2 < MOVERS_MAX ? cpu_count * 2 : MOVERS_MAX;
	rng_seed(&rng, cpu_count + 1);
	for (unsigned i = 0; i < mover_count; i++)
		begin(&movers[i], moves_about, ~0ull);
	for (unsigned i = 0; i < changes; i++)
		(void)move(&movers[rng_below(&rng, mover_count)], &rng);
	(void)becomes_true(looks_sum(&wrong) > changes);
	__atomic_store_n(&stop_moving, 1, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < mover_count; i++)
		must(thread_finish(&movers[i].thread, CAPOS_NEVER, NULL));
	stop_moving = 0;
	looks = looks_sum(&wrong);
	tap_ok(wrong == 0 && looks > changes, "%u sets changed, %lu looks: none outside its set after the call (%lu)",
	       changes, (unsigned long)looks, (unsigned long)wrong);
	for (unsigned i = 0; i < mover_count; i++)
		begin(&movers[i], moves_others, effort(4 * ROUNDS));
	__atomic_store_n(&all_begun, 1, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < mover_count; i++) {
		must(thread_join(movers[i].thread.handle, CAPOS_NEVER, &code, NULL));
		moved += code;
	}
	for (unsigned i = 0; i < mover_count; i++)
		drop(movers[i].thread.handle);
	all_begun = 0;
	looks = looks_sum(&wrong);
	tap_ok(wrong == 0 && moved > 0,
	       "%u threads send each other about, %lu moves, %lu looks: none outside its set (%lu)", mover_count,
	       (unsigned long)moved, (unsigned long)looks, (unsigned long)wrong);
	tap_returns(before, "everything came back");
}

/* --- moves are counted -------------------------------------------------------------------------------------------------------- */

struct tally {
	uint64_t kind[CAPOS_MIGRATION_KINDS]; /* by CPU records */
	uint64_t cpus, process;		      /* all of them; this process's threads, ended ones too */
	uint64_t runnable;		      /* running or queued, but for this thread */
};

static void tally_cpus(struct tally *tally)
{
	struct capos_cpu_record record[CPU_RECORDS_MAX] = { 0 };
	uint64_t count = 0, next = 0;

	*tally = (struct tally){ .cpus = 0 };
	do {
		must(scheduling_policy_snapshot(known.policy, CAPOS_SNAPSHOT_CPUS, next, 0, 0, record, &count,
						&next));
		for (uint64_t i = 0; i < count; i++) {
			for (unsigned kind = 0; kind < CAPOS_MIGRATION_KINDS; kind++) {
				tally->kind[kind] += record[i].migrations[kind];
				tally->cpus += record[i].migrations[kind];
			}
			tally->runnable += record[i].queued +
					   (record[i].current_thread != 0 && record[i].current_thread != self()->id);
		}
	} while (next != 0);
}

/* While no other thread lives, and nothing moves this one. */
static struct tally tally_now(void)
{
	struct capos_process_record own[PROCESS_RECORDS_MAX] = { 0 };
	uint64_t count = 0, next = 0;
	struct tally tally;

	must(thread_set_cpu(self()->handle, 0));
	tally_cpus(&tally);
	must(scheduling_policy_snapshot(known.policy, CAPOS_SNAPSHOT_PROCESSES, startup()->process_id, 0, 0, own,
					&count, &next));
	tally.process = own[0].migrations;
	must(thread_set_cpu(self()->handle, CAPOS_CPU_ANY));
	return tally;
}

static uint64_t moves_of(enum capos_migration kind)
{
	struct tally tally;

	tally_cpus(&tally);
	return tally.kind[kind];
}

static uint64_t busy(void *argument)
{
	(void)argument;
	while (!__atomic_load_n(&stop_spinning, __ATOMIC_RELAXED))
		spend_ns(BUSY_NS);
	return 0;
}

/* All on CPU 0, then free: idle CPUs steal them; then one more than there are CPUs: balancing takes turns. */
static void stolen_and_balanced(void)
{
	struct thread spinner[SPINNERS];
	unsigned count = cpu_count + 1 < SPINNERS ? cpu_count + 1 : SPINNERS;
	uint64_t stolen = moves_of(CAPOS_MIGRATION_STEAL), balanced;

	for (unsigned i = 0; i < count; i++)
		insist(thread_start_on(&spinner[i], busy, NULL, 0, 0));
	for (unsigned i = 0; i < count; i++)
		must(thread_set_cpu(spinner[i].handle, CAPOS_CPU_ANY));
	tap_ok(becomes_true(moves_of(CAPOS_MIGRATION_STEAL) > stolen), "idle CPUs steal from the one that has all");
	balanced = moves_of(CAPOS_MIGRATION_BALANCE);
	if (cpu_count <= 4)
		tap_ok(becomes_true(moves_of(CAPOS_MIGRATION_BALANCE) > balanced), "%u threads take turns on %u CPUs",
		       count, cpu_count);
	stop_spinners(spinner, count);
}

static uint64_t others_runnable(void)
{
	struct tally tally;

	tally_cpus(&tally);
	return tally.runnable;
}

/* One ended, or was killed: as it says itself. */
static bool ended_well(struct mover *mover, bool killed)
{
	uint64_t code = 0, cause = 0, own = (uint64_t)(mover - movers) + 1;

	must(thread_join(mover->thread.handle, CAPOS_NEVER, &code, &cause));
	drop(mover->thread.handle);
	return (cause == CAPOS_EXIT_NORMAL && code == own) || (killed && cause == CAPOS_EXIT_KILLED);
}

/* Threads end, are killed and begin while they are moved, stolen and balanced, beside others that keep all CPUs busy. */
static void ends_while_moved(void)
{
	struct usage before = usage_now();
	struct tally was = tally_now(), is;
	struct thread spinner[SPINNERS];
	unsigned loads = on_simulator() ? 1 : cpu_count < 4 ? cpu_count : 4;
	unsigned wanted = effort(400), begun = 0, good = 0;
	uint64_t wrong = 0, looks = 0;
	struct rng rng;

	if (cpu_count > 1)
		stolen_and_balanced();
	for (unsigned i = 0; i < loads; i++)
		insist(thread_start(&spinner[i], busy, NULL));
	mover_count = MOVERS_MAX / 2;
	rng_seed(&rng, cpu_count + 2);
	for (unsigned i = 0; i < mover_count; i++, begun++)
		begin(&movers[i], moves_about, rng_below(&rng, 20));
	/* Longer where chance has moved nobody by affinity yet. */
	while (begun < wanted || (cpu_count > 1 && begun < 20 * wanted &&
				  moves_of(CAPOS_MIGRATION_AFFINITY) == was.kind[CAPOS_MIGRATION_AFFINITY])) {
		struct mover *mover = &movers[rng_below(&rng, mover_count)];

		switch (rng_below(&rng, 6)) {
		case 0:
			must(thread_terminate(mover->thread.handle));
			good += ended_well(mover, true);
			break;
		case 1:
			good += ended_well(mover, false);
			break;
		default:
			(void)move(mover, &rng);
			continue;
		}
		looks += mover->looks;
		wrong += mover->wrong;
		begin(mover, moves_about, rng_below(&rng, 20));
		begun++;
	}
	for (unsigned i = 0; i < mover_count; i++) {
		good += ended_well(&movers[i], false);
		looks += movers[i].looks;
		wrong += movers[i].wrong;
	}
	stop_spinners(spinner, loads);
	tap_ok(good == begun, "%u threads ended, were killed and began while they were moved: %u are told of", begun,
	       good);
	tap_ok(wrong == 0, "%lu looks of theirs: none outside its set (%lu)", (unsigned long)looks,
	       (unsigned long)wrong);
	tap_ok(becomes_true(others_runnable() == 0), "no queue holds anybody any more");
	is = tally_now();
	tap_note("moves: %lu woken, %lu new, %lu stolen, %lu balanced, %lu by affinity",
		 (unsigned long)(is.kind[CAPOS_MIGRATION_WAKE] - was.kind[CAPOS_MIGRATION_WAKE]),
		 (unsigned long)(is.kind[CAPOS_MIGRATION_NEW] - was.kind[CAPOS_MIGRATION_NEW]),
		 (unsigned long)(is.kind[CAPOS_MIGRATION_STEAL] - was.kind[CAPOS_MIGRATION_STEAL]),
		 (unsigned long)(is.kind[CAPOS_MIGRATION_BALANCE] - was.kind[CAPOS_MIGRATION_BALANCE]),
		 (unsigned long)(is.kind[CAPOS_MIGRATION_AFFINITY] - was.kind[CAPOS_MIGRATION_AFFINITY]));
	tap_ok(is.cpus - was.cpus == is.process - was.process && (cpu_count == 1) == (is.cpus == was.cpus),
	       "%lu moves by the CPUs' counters, %lu by the threads'", (unsigned long)(is.cpus - was.cpus),
	       (unsigned long)(is.process - was.process));
	if (cpu_count > 1)
		tap_ok(is.kind[CAPOS_MIGRATION_AFFINITY] > was.kind[CAPOS_MIGRATION_AFFINITY],
		       "some of them by affinity");
	tap_returns(before, "everything came back");
}

void moves(void)
{
	affinity();
	acknowledged();
	wake_storm();
	created_and_killed();
	ends_while_moved();
}
