/* SPDX-License-Identifier: MIT */
#include "fake.h"

#include <kernel/trace.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define STALE_MAX 4096u

struct kernel kernel_state;
struct cpu *sim_cpu_record;
struct fake fake;

/* Translations that a CPU may still hold though the entry changed. */
static struct {
	struct space *space;
	u64 va, frame;
} stale[FAKE_CPUS][STALE_MAX];
static u32 stale_count[FAKE_CPUS];

void sim_point_slow(void)
{
	SIM_CREDIT = 1ll << 60;
}

static void *map_at(u64 addr, size_t bytes)
{
	void *memory =
		mmap((void *)addr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	assert_ptr_equal(memory, (void *)addr);
	return memory;
}

int fake_setup(void **state)
{
	static const struct mem_range ranges[] = {
		{ 0, 64 * PAGE_BYTES, MEM_USABLE },
		{ 64 * PAGE_BYTES, 64 * PAGE_BYTES, MEM_RESERVED },
		{ 128 * PAGE_BYTES, FAKE_MEMORY_BYTES - 128 * PAGE_BYTES, MEM_USABLE },
	};
	struct boot_info info = { .mem = ranges, .mem_count = 3, .cpu_count = FAKE_CPUS };

	(void)state;
	mm_unpoison((void *)SIM_PHYS_BASE, FAKE_MEMORY_BYTES);
	map_at(SIM_PHYS_BASE, FAKE_MEMORY_BYTES);
	map_at(SIM_CREDIT_ADDR, PAGE_BYTES);
	memset(&kernel_state, 0, sizeof(kernel_state));
	memset(&fake, 0, sizeof(fake));
	memset(stale_count, 0, sizeof(stale_count));
	fake.quota = ~0ull;
	sim_cpu_record = NULL;
	frames_init(&info);
	for (u32 i = 0; i < FAKE_CPUS; i++)
		fake.cpu[i].id = i;
	fake_on(0);
	return 0;
}

struct cpu *fake_on(u32 cpu)
{
	return sim_cpu_record = &fake.cpu[cpu];
}

void fake_deliver(u32 cpu)
{
	struct cpu *before = sim_cpu_record;

	fake_on(cpu);
	if (fake.requests[cpu] & REQUEST_FLUSH) {
		fake.requests[cpu] = 0;
		space_handle_flush_requests(sim_cpu_record);
	}
	sim_cpu_record = before;
}

struct process *fake_process(void)
{
	static struct process process[8];
	struct process *new = &process[fake.next_id % 8];

	memset(new, 0, sizeof(*new));
	new->object.id = ++fake.next_id;
	return new;
}

u64 fake_random(void)
{
	static u64 word = 88172645463325252ull;

	word ^= word << 13;
	word ^= word >> 7;
	return word ^= word << 17;
}

/* --- the machine ------------------------------------------------------------------------------------------------------- */

void mach_space_init(struct mach_space *space, struct paddr root)
{
	*space = (struct mach_space){ .user_base = SIM_WINDOWS_BASE, .root = root };
}

void mach_space_load(struct mach_space *space)
{
	(void)space;
	stale_count[sim_cpu_record->id] = 0;
}

void mach_space_changed(struct mach_space *space, struct uaddr va, u64 old_pte, u64 new_pte)
{
	struct space *of = container_of(space, struct space, mach);

	if (!pte_present(old_pte) || old_pte == new_pte)
		return;
	for (u32 i = 0; i < FAKE_CPUS; i++) {
		if (fake.cpu[i].loaded_space != of)
			continue;
		assert_true(stale_count[i] < STALE_MAX);
		stale[i][stale_count[i]].space = of;
		stale[i][stale_count[i]].va = va.va;
		stale[i][stale_count[i]++].frame = pte_paddr(old_pte).pa;
	}
}

static void forget(struct mach_space *space, u64 first, u64 last)
{
	u32 cpu = sim_cpu_record->id, kept = 0;

	for (u32 i = 0; i < stale_count[cpu]; i++) {
		if (&stale[cpu][i].space->mach != space || stale[cpu][i].va < first || stale[cpu][i].va > last)
			stale[cpu][kept++] = stale[cpu][i];
	}
	stale_count[cpu] = kept;
}

bool fake_is_stale(u64 start, u64 end)
{
	for (u32 cpu = 0; cpu < FAKE_CPUS; cpu++) {
		for (u32 i = 0; i < stale_count[cpu]; i++) {
			if (stale[cpu][i].va >= start && stale[cpu][i].va < end)
				return true;
		}
	}
	return false;
}

void mach_tlb_flush_page(struct mach_space *space, struct uaddr va)
{
	forget(space, va.va, va.va);
}

void mach_tlb_flush_space(struct mach_space *space)
{
	forget(space, 0, ~0ull);
}

void mach_space_fini(struct mach_space *space)
{
	for (u32 i = 0; i < FAKE_CPUS; i++)
		assert_true(fake.cpu[i].loaded_space == NULL || &fake.cpu[i].loaded_space->mach != space);
}

void mach_frame_reuse(struct paddr frame)
{
	for (u32 cpu = 0; cpu < FAKE_CPUS; cpu++) {
		for (u32 i = 0; i < stale_count[cpu]; i++)
			assert_int_not_equal(stale[cpu][i].frame, frame.pa);
	}
}

/* --- neighbours -------------------------------------------------------------------------------------------------------- */

void panic(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	mock_assert(0, "panic", __FILE__, __LINE__);
	abort();
}

bool fault_inject_alloc(void)
{
	return fake.fail_after != 0 && --fake.fail_after == 0;
}

bool quota_charge(struct process *process, enum capos_quota kind, u64 amount)
{
	(void)process;
	assert_int_equal(kind, CAPOS_QUOTA_MEMORY);
	if (amount > fake.quota - fake.charged)
		return false;
	fake.charged += amount;
	return true;
}

void quota_uncharge(struct process *process, enum capos_quota kind, u64 amount)
{
	(void)process, (void)kind;
	assert_true(amount <= fake.charged);
	fake.charged -= amount;
}

bool grant_get(struct grant *grant)
{
	if (grant_is_dead(grant))
		return false;
	fake.grant_references++;
	return true;
}

void grant_put(struct grant *grant)
{
	(void)grant;
	fake.grant_references--;
}

void object_init(struct object *object, u16 type, struct process *owner)
{
	object->type = type;
	object->owner = owner;
	object->id = ++fake.next_id;
	spinlock_init(&object->lock, RANK_OBJECT, object->id);
}

u16 object_publish(struct object *object)
{
	atomic_store_release(&object->state, OBJECT_ALIVE);
	return CAPOS_STATUS_OK;
}

void reclaim_defer(struct reclaim_node *node, void (*fn)(struct reclaim_node *))
{
	fn(node);
}

void sched_request(struct cpu *cpu, struct cpu *target, u32 request)
{
	(void)cpu;
	fake.requests[target->id] |= request;
}

struct cpu *cpu_get(u32 id)
{
	assert_true(id < FAKE_CPUS);
	return &fake.cpu[id];
}

void trace_record(struct cpu *cpu, enum capos_trace_event event, u64 thread_id, u64 arg0, u64 arg1)
{
	(void)cpu, (void)event, (void)thread_id, (void)arg0, (void)arg1;
}

void waiter_prepare(struct cpu *cpu, struct waiter *waiter)
{
	(void)cpu, (void)waiter;
}

void waiter_arm(struct cpu *cpu, struct waiter *waiter, enum capos_wait wait, const struct waiter_ops *ops,
		struct instant deadline)
{
	(void)cpu, (void)wait, (void)deadline;
	waiter->ops = ops;
	atomic_store_release(&waiter->state, WAITER_ARMED);
	fake.armed++;
}

void waiter_finish(struct cpu *cpu, struct waiter *waiter, u64 result, const u64 *words, unsigned word_count)
{
	(void)cpu, (void)result, (void)words, (void)word_count;
	atomic_store_release(&waiter->state, WAITER_IDLE);
	fake.finished++;
}
