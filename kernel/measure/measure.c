/* SPDX-License-Identifier: MIT */
/*
 * The counters of the measure build: two-dimensional, phase by value, one table per CPU. Interrupts are off and a CPU writes its own
 * table only, so an increment is plain; readers on other CPUs read whole words that rise (but those in _max).
 */
#include <kernel/measure.h>

#ifdef CAPOS_MEASURE

#include <kernel/process.h>
#include <kernel/state.h>
#include <kernel/thread.h>
#include <kernel/trace.h>

#define HELD_MAX 16u

struct held {
	const struct spinlock *lock;
	u64 since_ns;
	u32 site;
};

struct measure {
	struct held held[HELD_MAX]; /* locks of this CPU */
	u32 held_count;
	enum capos_measure_site site; /* of the next lock of a queue or of frames; SITES: not said */
	u64 value[CAPOS_MEASURE_PHASES][CAPOS_MEASURE_VALUES];
};

/* What locks of a rank guard. */
static const enum capos_measure_site site_of_rank[] = {
	[RANK_REGISTRY] = CAPOS_MEASURE_AT_shared_kernel_lock_registry,
	[RANK_PROCESS] = CAPOS_MEASURE_AT_shared_kernel_lock_cap_table,
	[RANK_GRANT] = CAPOS_MEASURE_AT_shared_kernel_lock_grant,
	[RANK_SPACE] = CAPOS_MEASURE_AT_shared_kernel_lock_address_space,
	[RANK_OBJECT] = CAPOS_MEASURE_AT_shared_kernel_lock_endpoint_inner,
	[RANK_PARK] = CAPOS_MEASURE_AT_shared_kernel_lock_park,
	[RANK_RING] = CAPOS_MEASURE_AT_shared_kernel_lock_ring_scratch,
	[RANK_TIMER] = CAPOS_MEASURE_AT_shared_kernel_lock_timer,
	[RANK_RUNQ] = CAPOS_MEASURE_AT_scheduler_lock_site_generic,
	[RANK_RECLAIM] = CAPOS_MEASURE_AT_shared_kernel_lock_reclaim,
	[RANK_POOL] = CAPOS_MEASURE_AT_shared_kernel_lock_heap,
	[RANK_FRAME] = CAPOS_MEASURE_AT_shared_kernel_lock_frame_alloc,
	[RANK_LOG] = CAPOS_MEASURE_AT_shared_kernel_lock_log,
	[RANK_CONSOLE] = CAPOS_MEASURE_AT_shared_kernel_lock_console,
};

void measure_init_cpu(struct cpu *cpu)
{
	struct measure *measure = frames_boot_alloc(sizeof(struct measure));

	measure->site = CAPOS_MEASURE_SITES;
	cpu->measure = measure;
}

/* NULL: too early in the boot. */
static struct measure *mine(void)
{
	struct cpu *cpu = mach_this_cpu();

	return cpu != NULL ? cpu->measure : NULL;
}

static u64 *values(struct measure *measure)
{
	return measure->value[atomic_load_relaxed(&kernel_state.measure_phase)];
}

static u64 *lock_values(struct measure *measure, u32 site)
{
	return values(measure) + CAPOS_MEASURE_COUNTER_COUNT + site * CAPOS_MEASURE_LOCK_FIELD_COUNT;
}

u64 measure_now_ns(void)
{
	return mine() != NULL ? mach_clock().ns : 0;
}

void measure_count(struct cpu *cpu, enum capos_measure_counter counter, u64 n)
{
	if (cpu != NULL && cpu->measure != NULL)
		values(cpu->measure)[counter] += n;
}

/* --- locks --------------------------------------------------------------------------------------------------------------- */

void measure_site(struct cpu *cpu, enum capos_measure_site site)
{
	if (cpu->measure != NULL)
		cpu->measure->site = site;
}

static u32 site_of(struct measure *measure, const struct spinlock *lock)
{
	enum capos_measure_site site = site_of_rank[lock->rank];

	if ((lock->rank == RANK_RUNQ || lock->rank == RANK_FRAME) && measure->site != CAPOS_MEASURE_SITES) {
		site = measure->site;
		measure->site = CAPOS_MEASURE_SITES;
	}
	return site;
}

void measure_lock_taken(const struct spinlock *lock, bool contended, u64 wait_ns)
{
	struct measure *measure = mine();
	u64 *value;
	u32 site;

	if (measure == NULL)
		return;
	site = site_of(measure, lock);
	value = lock_values(measure, site);
	value[CAPOS_MEASURE_LOCK_acquisitions]++;
	value[CAPOS_MEASURE_LOCK_contended] += contended;
	value[CAPOS_MEASURE_LOCK_wait_ns] += wait_ns;
	value[CAPOS_MEASURE_LOCK_wait_max_ns] = MAX(value[CAPOS_MEASURE_LOCK_wait_max_ns], wait_ns);
	KASSERT(measure->held_count < HELD_MAX);
	measure->held[measure->held_count++] = (struct held){ lock, mach_clock().ns, site };
}

void measure_lock_given(const struct spinlock *lock)
{
	struct measure *measure = mine();
	u64 *value, hold_ns;
	u32 i;

	if (measure == NULL)
		return;
	for (i = measure->held_count; i > 0 && measure->held[i - 1].lock != lock; i--)
		;
	if (i == 0)
		return; /* taken early in the boot */
	hold_ns = mach_clock().ns - measure->held[i - 1].since_ns;
	value = lock_values(measure, measure->held[i - 1].site);
	value[CAPOS_MEASURE_LOCK_hold_ns] += hold_ns;
	value[CAPOS_MEASURE_LOCK_hold_max_ns] = MAX(value[CAPOS_MEASURE_LOCK_hold_max_ns], hold_ns);
	for (; i < measure->held_count; i++)
		measure->held[i - 1] = measure->held[i];
	measure->held_count--;
}

void measure_lock_missed(const struct spinlock *lock)
{
	struct measure *measure = mine();

	if (measure != NULL)
		lock_values(measure, site_of(measure, lock))[CAPOS_MEASURE_LOCK_contended]++;
}

/* --- inboxes, samples ---------------------------------------------------------------------------------------------------- */

void measure_inbox_push(struct entity *entity)
{
	struct cpu *cpu = mach_this_cpu();

	entity->pushed_ns = mach_clock().ns;
	MEASURE_COUNT(cpu, scheduler_inbox_pushes, 1);
}

void measure_inbox_drain(const struct entity *entity)
{
	struct cpu *cpu = mach_this_cpu();
	u64 now_ns = mach_clock().ns, wait_ns = now_ns > entity->pushed_ns ? now_ns - entity->pushed_ns : 0;
	u64 *max;

	MEASURE_COUNT(cpu, scheduler_inbox_drained, 1);
	MEASURE_COUNT(cpu, scheduler_inbox_wait_ns, wait_ns);
	if (cpu->measure == NULL)
		return;
	max = &values(cpu->measure)[CAPOS_MEASURE_scheduler_inbox_wait_max_ns];
	*max = MAX(*max, wait_ns);
}

void measure_timer(struct cpu *cpu, u32 bits, bool user)
{
	const struct thread *thread = cpu->current;

	if ((bits & IRQ_TIMER) == 0)
		return;
	MEASURE_COUNT(cpu, timer_interrupts, 1);
	if (!user) {
		MEASURE_COUNT(cpu, timer_kernel_only, 1);
		return;
	}
	MEASURE_COUNT(cpu, timer_user_scheduler, 1);
	MEASURE_COUNT(cpu, user_pc_samples, 1);
	TRACE(cpu, SAMPLE, thread->object.id, thread->mach.frame.ip - thread->process->image_base,
	      thread->process->object.id | (u64)atomic_load_relaxed(&kernel_state.measure_phase) << 32);
}

/* --- for programs -------------------------------------------------------------------------------------------------------- */

bool measure_set_phase(u64 phase, u64 *former)
{
	*former = atomic_xchg(&kernel_state.measure_phase, (u32)phase);
	return true;
}

bool measure_read(const struct cpu *cpu, u64 phase, u32 first, u32 count, u64 *out)
{
	for (u32 i = 0; i < count; i++)
		out[i] = cpu->measure != NULL ? shared_load_relaxed(&cpu->measure->value[phase][first + i]) : 0;
	return true;
}

#endif
