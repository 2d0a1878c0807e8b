/* SPDX-License-Identifier: MIT */
/* What the scheduler stands on, small: CPUs by hand, a clock that the test sets, no programs. Threads are data. */
#ifndef TESTS_SCHED_FAKES_H
#define TESTS_SCHED_FAKES_H

#include "tests/unit/fakes.h"
#include "tests/unit/sched/fakes_authority.h"

#include <kernel/affinity.h>
#include <kernel/call.h>
#include <kernel/ipc.h>
#include <kernel/process.h>
#include <kernel/trace.h>

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#ifndef CPUS
#define CPUS 4u
#endif
#define MS 1000000ull

static struct cpu *cpus[CPUS];
static u64 armed_at[CPUS], pool_live;
static u32 ipis[CPUS], window_bits;
static bool pool_empty;
static jmp_buf halted;
static unsigned steps, deaths, operations, polls;
static enum activity_result step_result;
static void *garbage[256 + CPUS];
static unsigned garbage_count;

/* --- the machine ------------------------------------------------------------------------------------------------------- */

void mach_timer_arm_span(u32 span_ns)
{
	armed_at[sim_cpu_record->id] = now_ns + span_ns;
}
void mach_timer_arm(struct instant deadline)
{
	armed_at[sim_cpu_record->id] = deadline.ns;
}
bool clock_check(struct cpu *cpu, struct instant armed, struct instant *now)
{
	(void)cpu, (void)armed, (void)now;
	return false;
}
void clock_compare(struct cpu *cpu)
{
	(void)cpu;
}
void clock_requested(struct cpu *cpu, struct instant armed)
{
	(void)cpu, (void)armed;
}
void clock_agree(struct cpu *cpu)
{
	(void)cpu;
}
void clock_started(struct cpu *cpu)
{
	(void)cpu;
}
void mach_ipi_send(struct cpu *cpu)
{
	ipis[cpu->id]++;
}
u32 mach_idle_wait(struct cpu *cpu)
{
	(void)cpu;
	longjmp(halted, 1);
}
u32 mach_irq_window(struct cpu *cpu)
{
	u32 bits = window_bits;

	(void)cpu;
	window_bits = 0;
	return bits;
}
void *frames_boot_alloc(size_t bytes)
{
	return garbage[garbage_count++] = calloc(1, bytes);
}

/* --- other rooms ------------------------------------------------------------------------------------------------------- */

struct cpu *cpu_get(u32 id)
{
	assert_true(id < CPUS);
	return cpus[id];
}
struct cpu *cpu_find(u32 id)
{
	return id < CPUS ? cpus[id] : NULL;
}
u32 cpu_count(void)
{
	return CPUS;
}
void trace_record(struct cpu *cpu, enum capos_trace_event event, u64 thread_id, u64 arg0, u64 arg1)
{
	(void)cpu, (void)event, (void)thread_id, (void)arg0, (void)arg1;
}
/* A flush that is acknowledged by leaving the space may wake who waited for it: this one. */
static struct thread *woken_by_leaving;

void pools_drain(void)
{
}
void space_poll(struct space *space)
{
	(void)space;
}

void space_switch(struct cpu *cpu, struct space *space)
{
	struct thread *thread = woken_by_leaving;

	cpu->loaded_space = space;
	if (space == NULL && thread != NULL) {
		woken_by_leaving = NULL;
		thread_ready(cpu, thread);
	}
}
void space_switch_far(struct cpu *cpu, struct space *space)
{
	space_switch(cpu, space);
}
void space_handle_flush_requests(struct cpu *cpu)
{
	(void)cpu;
}
void console_irq(struct cpu *cpu)
{
	(void)cpu;
}
void reclaim_kernel_enter(struct cpu *cpu)
{
	atomic_store_relaxed(&cpu->epoch, 1ull);
}
void reclaim_kernel_exit(struct cpu *cpu)
{
	atomic_store_relaxed(&cpu->epoch, 0ull);
}
bool reclaim_poll(struct cpu *cpu)
{
	polls++;
	return cpu->deferred_first != NULL;
}
void reclaim_defer(struct reclaim_node *node, void (*fn)(struct reclaim_node *))
{
	fn(node);
}
void call_syscall(struct cpu *cpu)
{
	(void)cpu;
}
bool endpoint_fault(struct cpu *cpu, struct thread *thread, const struct fault *fault)
{
	(void)cpu, (void)thread, (void)fault;
	return false;
}
void endpoint_fault_finish(struct cpu *cpu, struct thread *thread, u64 result, const u64 *words, unsigned count)
{
	(void)cpu, (void)thread, (void)result, (void)words, (void)count;
}
void ring_op_finish(struct cpu *cpu, struct ring_op *op, u64 result, const u64 *words, unsigned count)
{
	(void)cpu, (void)op, (void)result, (void)words, (void)count;
}
void process_fault(struct cpu *cpu, struct thread *thread, const struct fault *fault)
{
	(void)cpu, (void)thread, (void)fault;
}
void operation_step(struct cpu *cpu, struct thread *thread)
{
	(void)cpu;
	operations++;
	atomic_fetch_and(&thread->attention, ~ATTENTION_OPERATION);
}
/* A death of one step. */
void thread_exit_step(struct cpu *cpu, struct thread *thread)
{
	deaths++;
	sched_detach_current(cpu);
	sched_drop_entity(thread);
}
u16 pool_alloc(enum pool_id pool, struct process *process, void **out)
{
	(void)pool, (void)process;
	if (pool_empty)
		return CAPOS_STATUS_NO_MEMORY;
	*out = aligned_alloc(64, ALIGN_UP(sizeof(struct entity), 64ul));
	memset(*out, 0, sizeof(struct entity));
	pool_live++;
	return CAPOS_STATUS_OK;
}
void pool_uncharge(enum pool_id pool, struct process *process)
{
	(void)pool, (void)process;
}
void pool_free(enum pool_id pool, void *object)
{
	(void)pool;
	pool_live--;
	free(object);
}

/* --- the world ----------------------------------------------------------------------------------------------------------- */

static struct process *process;
static struct thread *threads[64 + 2 * CPUS];
static unsigned thread_count;
static u64 next_id;

static struct thread *thread_new(bool passive)
{
	size_t bytes = ALIGN_UP(sizeof(struct thread) + affinity_mask_bytes(CPUS), 64ul);
	struct thread *thread = aligned_alloc(64, bytes);
	void *entity;

	memset(thread, 0, bytes);
	threads[thread_count++] = thread;
	thread->process = process;
	thread->passive = passive;
	thread->object.id = ++next_id;
	assert_int_equal(pool_alloc(POOL_ENTITY, process, &entity), CAPOS_STATUS_OK);
	thread->own = entity;
	entity_init(thread->own, ENTITY_THREAD, AFFINITY_ANY);
	thread->own->thread = thread;
	waiter_init(&thread->wait, WAITER_THREAD, thread);
	return thread;
}

struct thread *registry_next_thread(u64 id)
{
	for (unsigned i = 0; i < thread_count; i++) /* by rising id */
		if (threads[i]->object.id >= id)
			return threads[i];
	return NULL;
}

/* From here on we are on CPU `id`. */
static struct cpu *on(u32 id)
{
	sim_cpu_record = cpus[id];
	return cpus[id];
}

/* What CPU `id` resumes at the end of a kernel entry; NULL: it halts. */
static struct thread *exits(u32 id)
{
	struct cpu *cpu = on(id);

	if (setjmp(halted) != 0)
		return NULL;
	return sched_exit(cpu);
}

/* An interrupt in user mode, or in the halt. */
static struct thread *interrupted(u32 id, u32 bits)
{
	struct cpu *cpu = on(id);

	if (setjmp(halted) != 0)
		return NULL;
	if (cpu->current != NULL)
		return kernel_irq(cpu, bits);
	atomic_store_relaxed(&cpu->idling, 0u);
	sched_charge(cpu, (struct instant){ now_ns });
	(void)sched_irq(cpu, bits, (struct instant){ now_ns });
	return sched_exit(cpu);
}

/* Time passes to what CPU `id` has armed, which fires. */
static struct thread *fires(u32 id)
{
	assert_int_not_equal(armed_at[id], INSTANT_NEVER.ns);
	now_ns = MAX(now_ns, armed_at[id]);
	armed_at[id] = INSTANT_NEVER.ns;
	return interrupted(id, IRQ_TIMER);
}

static void no_unlink(struct waiter *waiter)
{
	(void)waiter;
}
static const struct waiter_ops no_queue = { .unlink = no_unlink };

/* The current thread of the CPU that we are on waits for something. */
static void blocks(struct thread *thread, enum capos_wait wait, struct instant deadline)
{
	waiter_prepare(sim_cpu_record, &thread->wait);
	waiter_arm(sim_cpu_record, &thread->wait, wait, &no_queue, deadline);
}

/* The event comes, on CPU `id`. */
static bool wakes(u32 id, struct thread *thread)
{
	if (!waiter_claim(&thread->wait))
		return false;
	waiter_finish(on(id), &thread->wait, STATUS(OK), NULL, 0);
	return true;
}

static enum dispatch_owner owner_of(const struct entity *entity)
{
	return (enum dispatch_owner)atomic_load_relaxed(&entity->owner);
}

static int setup(void **state)
{
	(void)state;
	memset(&kernel_state, 0, sizeof(kernel_state));
	kernel_state.cpu_count = CPUS;
	now_ns = 1000 * MS;
	pool_live = garbage_count = thread_count = steps = deaths = operations = polls = window_bits = 0;
	next_id = 100;
	pool_empty = false;
	process = calloc(1, sizeof(*process));
	garbage[garbage_count++] = process;
	kernel_state.cpus = cpus;
	for (u32 i = 0; i < CPUS; i++) {
		cpus[i] = aligned_alloc(64, ALIGN_UP(sizeof(struct cpu), 64ul));
		memset(cpus[i], 0, sizeof(struct cpu));
		garbage[garbage_count++] = cpus[i];
		cpus[i]->id = i;
		cpus[i]->desc = (struct cpu_desc){ .core = i, .llc = i / 2 };
		cpus[i]->account_ns = now_ns;
		armed_at[i] = INSTANT_NEVER.ns;
		ipis[i] = 0;
	}
	topology_init();
	for (u32 i = 0; i < CPUS; i++) {
		on(i);
		sched_init_cpu(cpus[i]);
		cpus[i]->tick_ns = now_ns + TICK_NS; /* as kernel_cpu_boot */
		atomic_store_relaxed(&cpus[i]->online, 1u);
	}
	on(0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (u32 i = 0; i < CPUS; i++)
		sched_verify(on(i));
	/* Every entity is some thread's, and none is lost. */
	while (thread_count > 0) {
		struct thread *thread = threads[--thread_count];

		if (thread->spare != NULL)
			pool_free(POOL_ENTITY, thread->spare);
		pool_free(POOL_ENTITY, thread->own);
		free(thread);
	}
	assert_int_equal(pool_live, 0);
	while (garbage_count > 0)
		free(garbage[--garbage_count]);
	return 0;
}

/* For tests that do not use all of it. */
static inline void fakes_used(void)
{
	(void)exits, (void)interrupted, (void)fires, (void)wakes, (void)owner_of, (void)blocks;
	(void)step_result, (void)thread_new;
}

#endif
