/* SPDX-License-Identifier: MIT */
/* What the capability room stands on, small: memory from malloc with counts, two CPUs, no other thread. */
#ifndef TESTS_CAP_FAKES_H
#define TESTS_CAP_FAKES_H

#include "tests/unit/fakes.h"

static struct cpu *cpus[2];
static u64 pool_live[POOL_COUNT], frames_live;

u16 pool_alloc(enum pool_id pool, struct process *process, void **out)
{
	size_t bytes = pool == POOL_GRANT ? sizeof(struct grant) : 256;

	if (!quota_charge(process, CAPOS_QUOTA_MEMORY, bytes))
		return CAPOS_STATUS_QUOTA_EXCEEDED;
	*out = calloc(1, bytes);
	pool_live[pool]++;
	return CAPOS_STATUS_OK;
}
void pool_uncharge(enum pool_id pool, struct process *process)
{
	quota_uncharge(process, CAPOS_QUOTA_MEMORY, pool == POOL_GRANT ? sizeof(struct grant) : 256);
}
void pool_free(enum pool_id pool, void *object)
{
	pool_live[pool]--;
	free(object);
}
size_t pool_object_bytes(enum pool_id pool)
{
	return pool == POOL_GRANT ? sizeof(struct grant) : 256;
}
bool frame_alloc_zeroed(struct paddr *out)
{
	void *page = NULL;

	if (posix_memalign(&page, PAGE_BYTES, PAGE_BYTES) != 0)
		return false;
	memset(page, 0, PAGE_BYTES);
	frames_live++;
	*out = virt_to_phys(page);
	return true;
}
void frame_free(struct paddr frame)
{
	frames_live--;
	free(phys_to_virt(frame));
}

/* --- the world of a test -------------------------------------------------------------------------------------------- */

static inline int world_begin(void **state)
{
	(void)state;
	memset(&kernel_state, 0, sizeof(kernel_state));
	memset(pool_live, 0, sizeof(pool_live));
	frames_live = 0;
	for (u32 i = 0; i < 2; i++) {
		cpus[i] = aligned_alloc(64, ALIGN_UP(sizeof(struct cpu), 64ul));
		memset(cpus[i], 0, sizeof(struct cpu));
		cpus[i]->id = i;
	}
	kernel_state.cpus = cpus;
	kernel_state.cpu_count = 2;
	sim_cpu_record = cpus[0];
	reclaim_kernel_enter(cpus[0]);
	return 0;
}

static inline int world_end(void **state)
{
	(void)state;
	free(cpus[0]);
	free(cpus[1]);
	return 0;
}

/* Leave the kernel and enter it again until nothing waits. */
static inline void let_grace_pass(void)
{
	for (int i = 0; i < 1000 && reclaim_poll(cpus[0]); i++) {
		reclaim_kernel_exit(cpus[0]);
		reclaim_kernel_enter(cpus[0]);
	}
	assert_null(cpus[0]->deferred_first);
}

static inline struct process *process_new(u64 memory, u64 slots)
{
	struct process *process = calloc(1, sizeof(*process));

	object_init(&process->object, CAPOS_IFACE_process, NULL);
	spinlock_init(&process->lock, RANK_PROCESS, process->object.id);
	list_init(&process->objects);
	process->quota.limit[CAPOS_QUOTA_MEMORY] = memory;
	process->quota.limit[CAPOS_QUOTA_SLOTS] = slots;
	atomic_store_relaxed(&process->state, PROCESS_ALIVE);
	assert_int_equal(cap_table_init(process), CAPOS_STATUS_OK);
	return process;
}

static inline u64 memory_used(struct process *process)
{
	return atomic_load_relaxed(&process->quota.used[CAPOS_QUOTA_MEMORY]);
}

#endif
