/* SPDX-License-Identifier: MIT */
/*
 * The engine: which CPU runs, until when, and what a sim point costs. Model and invariants: sim.h.
 *
 * The running CPU may go on until its local time passes that of the first CPU in the heap by a slack, drawn anew at
 * each switch from a log-uniform distribution (0 to about 500 ns; 2 us in user mode), so that both fine and coarse
 * interleavings are met. A slow point adds jitter, drains some of the store buffer, and now and then steals the CPU
 * for a long time.
 */
#include "sim.h"

#include <stdlib.h>

#include <lib/steps.h>

#include "host.h"

#ifdef SIM_ASAN
#include <sanitizer/asan_interface.h>
#endif

#define STALL_ONE_IN 4096  /* slow points between stolen stretches, about */
#define HOLD_ONE_IN 12	   /* slow points with pending stores: others run on for long, and don't see them */
#define STARVE_ONE_IN 2048 /* slow points of the starved CPU (faults 3) between stretches of milliseconds */
#define JUMP_ONE_IN 200000 /* slow points between pauses of the whole machine (faults 3) */
#define SLACK_KERNEL 4
#define SLACK_USER 16
#define HORIZON_NS 1000000ull /* longest credit when nothing else is to be done */

struct sim sim;
u64 sim_random_state;
struct cpu *sim_cpu_record;
struct sim_store_buffer *sim_stores;
bool sim_tso;

/* --- heap of CPUs that have something to do, by (key, id) ----------------------------------------------------- */

static struct vcpu *heap[SIM_CPUS_MAX];
static u32 heap_count;

static bool before(const struct vcpu *a, const struct vcpu *b)
{
	return a->key_ns < b->key_ns || (a->key_ns == b->key_ns && a->id < b->id);
}

static void heap_put(u32 index, struct vcpu *cpu)
{
	heap[index] = cpu;
	cpu->heap_pos = index + 1;
}

static void heap_up(u32 index)
{
	struct vcpu *cpu = heap[index];

	while (index > 0 && before(cpu, heap[(index - 1) / 2])) {
		heap_put(index, heap[(index - 1) / 2]);
		index = (index - 1) / 2;
	}
	heap_put(index, cpu);
}

static void heap_down(u32 index)
{
	struct vcpu *cpu = heap[index];

	for (;;) {
		u32 child = 2 * index + 1;
		if (child >= heap_count)
			break;
		if (child + 1 < heap_count && before(heap[child + 1], heap[child]))
			child++;
		if (!before(heap[child], cpu))
			break;
		heap_put(index, heap[child]);
		index = child;
	}
	heap_put(index, cpu);
}

static void heap_insert(struct vcpu *cpu, u64 key_ns)
{
	cpu->key_ns = key_ns;
	heap_put(heap_count++, cpu);
	heap_up(heap_count - 1);
}

static struct vcpu *heap_pop(void)
{
	struct vcpu *cpu = heap[0];

	cpu->heap_pos = 0;
	heap_count--;
	if (heap_count > 0) {
		heap_put(0, heap[heap_count]);
		heap_down(0);
	}
	return cpu;
}

/* --- time ----------------------------------------------------------------------------------------------------- */

u64 sim_now(void)
{
	return sim.current->limit_ns - (u64)SIM_CREDIT;
}

void sim_charge(u64 ns)
{
	SIM_CREDIT -= (i64)ns;
}

static void set_limit(u64 now_ns, u64 limit_ns)
{
	sim.current->limit_ns = limit_ns;
	SIM_CREDIT = (i64)(limit_ns - now_ns);
}

/* Below base << 0..7. */
static u64 draw_slack(u64 base)
{
	u64 r = sim_random();

	return (r >> 8) & ((base << (r & 7)) - 1);
}

void sim_draw_limit(bool user)
{
	u64 now = sim_now();
	u64 limit = now + HORIZON_NS;

	if (heap_count > 0 && !sim.solo) {
		u64 others = MAX(heap[0]->key_ns, now) + draw_slack(user ? SLACK_USER : SLACK_KERNEL);
		limit = MIN(limit, others);
	}
	if (user)
		limit = MIN(limit, MAX(vcpu_next_event(sim.current), now));
	else if (unlikely(sim_steps_fine()))
		limit = now;
	set_limit(now, limit);
}

/* --- switching ------------------------------------------------------------------------------------------------ */

/* Make `cpu` the running one, at its key's time. */
static void become(struct vcpu *cpu)
{
	sim.current = cpu;
	sim_cpu_record = cpu->cpu;
	sim_stores = &cpu->stores;
	sim_kernel_sp = cpu->stack + SIM_STACK_BYTES;
	set_limit(cpu->now_ns, cpu->now_ns);
}

static void switch_to(struct vcpu *from, struct vcpu *to)
{
	to->now_ns = MAX(to->now_ns, to->key_ns);
	if (to->state == VCPU_IDLE) {
		to->state = VCPU_BUSY;
		sim.busy_count++;
	}
	become(to);
	if (to != from) {
#ifdef SIM_ASAN
		__sanitizer_start_switch_fiber(&from->fake_stack, to->stack, SIM_STACK_BYTES);
#endif
		sim_fibre_switch(&from->sp, to->sp);
#ifdef SIM_ASAN
		__sanitizer_finish_switch_fiber(from->fake_stack, NULL, NULL);
#endif
	}
	sim_draw_limit(false);
}

static bool others_are_earlier(u64 now_ns)
{
	return heap_count > 0 && heap[0]->key_ns < now_ns && !sim.solo && !sim.still;
}

/* The running CPU stands back into the heap and the earliest goes on. */
static void yield_cpu(bool hold_stores)
{
	struct vcpu *self = sim.current;

	self->now_ns = sim_now();
	if (self->stores.count > 0 && !hold_stores && sim_chance(2))
		sim_stores_drain();
	heap_insert(self, self->now_ns);
	switch_to(self, heap_pop());
}

void sim_wait_first(void)
{
	while (others_are_earlier(sim_now()))
		yield_cpu(false);
}

static void check_limits(u64 now_ns)
{
	struct vcpu *self = sim.current;

	if (now_ns > sim.end_ns) {
		const char *input = sim_console_waits_for();
		sim_die(SIM_EXIT_TIME_LIMIT, "virtual time limit of %llu ms reached%s%s",
			(unsigned long long)sim_options.limit_ms, input != NULL ? "; the script waits for " : "",
			input != NULL ? input : "");
	}
	if (now_ns - self->entered_ns <= SIM_ENTRY_NS_MAX)
		return;
	if (sim.solo)
		sim_die(MACH_EXIT_PANIC, "the panic did not come to its end on CPU %u", self->id);
	else
		sim_die(SIM_EXIT_ERROR, "CPU %u is stuck in the kernel for %llu ms", self->id,
			(unsigned long long)(SIM_ENTRY_NS_MAX / 1000000));
}

/* The whole machine stands still, as a virtual machine does: every CPU's time moves on, what was due is late. */
static void jump(u64 ns)
{
	for (u32 i = 0; i < heap_count; i++) { /* the same for all: the heap's order stays */
		heap[i]->key_ns += ns;
		heap[i]->now_ns += heap[i]->state == VCPU_BUSY ? ns : 0;
		heap[i]->entered_ns += ns;
	}
	sim.current->entered_ns += ns;
	sim_charge(ns);
}

static void steal_time(void)
{
	if (sim.current->id == sim.starved_cpu && sim_chance(STARVE_ONE_IN))
		sim_charge(1000000 + sim_random_below(20000000));
	if (sim_chance(JUMP_ONE_IN))
		jump(1000000 + sim_random_below(100000000));
}

void sim_point_slow(void)
{
	sim_step(STEP_POINT);

	u64 r = sim_random();

	sim_charge(r & 31);
	if (unlikely((r >> 8) % STALL_ONE_IN == 0) && !sim.solo) {
		sim_stores_drain();
		sim_charge(10000 + sim_random_below(190000));
	}
	if (unlikely(sim.faults >= 3) && !sim.solo && !sim.still)
		steal_time();
	bool hold = sim_stores->count > 0 && (r >> 44) % HOLD_ONE_IN == 0;
	if (hold)
		sim_charge(100 + sim_random_below(4000));
	else if (sim_stores->count > 0 && (r >> 40 & 3) == 0)
		sim_stores_drain();
	check_limits(sim_now());
	if (others_are_earlier(sim_now()))
		yield_cpu(hold);
	else
		sim_draw_limit(false);
}

/* --- idle ----------------------------------------------------------------------------------------------------- */

static void report_deadlock(void)
{
	const char *input = sim_console_waits_for();

	if (input != NULL)
		sim_die(SIM_EXIT_DEADLOCK, "all CPUs are idle for ever; the script still waits for \"%s\"", input);
	sim_die(SIM_EXIT_DEADLOCK, "all CPUs are idle for ever");
}

void sim_idle(void)
{
	struct vcpu *self = sim.current;
	u64 due = vcpu_next_event(self);

	self->now_ns = sim_now();
	self->state = VCPU_IDLE;
	sim.busy_count--;
	vcpu_leave_kernel(self);
	if (due != SIM_NEVER)
		heap_insert(self, MAX(due, self->now_ns));
	if (sim.busy_count == 0)
		sim_console_idle(heap_count > 0 ? heap[0]->key_ns : SIM_NEVER);
	if (heap_count == 0)
		report_deadlock();
	switch_to(self, heap_pop());
	vcpu_enter_kernel(self);
	check_limits(sim.current->entered_ns = sim_now());
}

void vcpu_notify(struct vcpu *cpu, u64 due_ns)
{
	if (cpu->state == VCPU_OFF || (cpu == sim.current && cpu->state == VCPU_BUSY))
		return;
	if (cpu->state == VCPU_IDLE) {
		/* Not before now: what was due before a pause of the machine is still undelivered after it. */
		u64 key = MAX(MAX(due_ns, sim_now()), cpu->now_ns);
		if (cpu->heap_pos == 0) {
			heap_insert(cpu, key);
		} else if (key < cpu->key_ns) {
			cpu->key_ns = key;
			heap_up(cpu->heap_pos - 1);
		}
	}
	/* The running CPU's credit may now reach beyond the new first. Only in the kernel: credit is drawn again. */
	u64 now = sim_now();
	u64 first = heap_count > 0 ? MAX(heap[0]->key_ns, now) : now + HORIZON_NS;
	if (sim.current->limit_ns > first + 512)
		set_limit(now, first + draw_slack(SLACK_KERNEL));
}

/* --- walks ---------------------------------------------------------------------------------------------------- */

static u64 still_now_ns, still_limit_ns;

void sim_stand_still(void)
{
	still_now_ns = sim_now();
	still_limit_ns = sim.current->limit_ns;
	set_limit(still_now_ns, still_now_ns + (1ull << 60)); /* no slow point, no draws */
	sim.still = true;
}

void sim_go_on(void)
{
	sim_stores_drain(); /* locks that the walk took: nobody may wait for them in another walk */
	sim.still = false;
	set_limit(still_now_ns, still_limit_ns);
}

/* --- start ---------------------------------------------------------------------------------------------------- */

void sim_engine_init(void)
{
	size_t span = SIM_STACK_BYTES + PAGE_BYTES;

	sim.cpu_count = sim_options.cpus;
	sim.cpus = calloc(sim.cpu_count, sizeof(*sim.cpus));
	u64 stacks = host_reserve(span * sim.cpu_count);
	if (sim.cpus == NULL || stacks == 0)
		sim_die(SIM_EXIT_ERROR, "no host memory for %u CPUs", sim.cpu_count);
	for (u32 i = 0; i < sim.cpu_count; i++) {
		struct vcpu *cpu = &sim.cpus[i];
		cpu->id = i;
		cpu->stack = (u8 *)(stacks + span * i + PAGE_BYTES); /* the page below stays a guard */
		if (!host_protect((u64)cpu->stack, SIM_STACK_BYTES, true, false))
			sim_die(SIM_EXIT_ERROR, "no host memory for the stack of CPU %u", i);
		vcpu_no_events(cpu);
	}
	sim_tso = sim.cpu_count > 1;
	sim.current = &sim.cpus[0];
	sim_stores = &sim.current->stores;
}

void vcpu_start(struct vcpu *cpu, u64 start_ns)
{
	/* As sim_fibre_switch leaves a stack: six registers and a return address; rsp = 16n after the return. */
	void **top = (void **)(void *)(cpu->stack + SIM_STACK_BYTES);

	top[-3] = (void *)sim_fibre_start;
	cpu->sp = &top[-9];
	cpu->state = VCPU_BUSY;
	cpu->now_ns = start_ns;
	cpu->entered_ns = start_ns;
	sim.busy_count++;
	heap_insert(cpu, start_ns);
}

static struct vcpu host; /* whoever called sim_engine_run */
#ifdef SIM_ASAN
static const void *host_stack;
static size_t host_stack_bytes;
#endif

void vcpu_main(void)
{
#ifdef SIM_ASAN
	bool first = host_stack == NULL;
	__sanitizer_finish_switch_fiber(NULL, first ? &host_stack : NULL, first ? &host_stack_bytes : NULL);
#endif
	sim_draw_limit(false);
	vcpu_first_entry();
}

void sim_engine_run(void)
{
	vcpu_start(&sim.cpus[0], 0);
	switch_to(&host, heap_pop());
}

void sim_engine_leave(void)
{
	void *abandoned;

#ifdef SIM_ASAN
	__sanitizer_start_switch_fiber(NULL, host_stack, host_stack_bytes);
#endif
	sim_fibre_switch(&abandoned, host.sp);
	abort();
}

void sim_engine_fini(void)
{
	for (u32 i = 0; i < sim.cpu_count; i++) {
#ifdef SIM_ASAN
		__asan_unpoison_memory_region(sim.cpus[i].stack, SIM_STACK_BYTES);
#endif
		free(sim.cpus[i].stale);
	}
	host_unmap((u64)sim.cpus[0].stack - PAGE_BYTES, (SIM_STACK_BYTES + PAGE_BYTES) * (u64)sim.cpu_count);
	free(sim.cpus);
}
