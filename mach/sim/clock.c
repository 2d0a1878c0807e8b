/* SPDX-License-Identifier: MIT */
/*
 * Clock, one-shot timers, IPIs: when a CPU's events become due. Latencies are drawn; the fault level stretches them.
 *
 * An IPI that is still undelivered absorbs later ones, as the interrupt request bit does. A timer may be late, at
 * higher levels also early; disarming one that has expired may leave its interrupt behind. From level 2 on windows miss what is
 * due; at level 3 a CPU is late out of its halt.
 */
#include "sim.h"

#include <lib/steps.h>

static const u64 ipi_latency_ns[4] = { 1000, 5000, 30000, 30000 };
static const u64 timer_late_ns[4] = { 200, 5000, 50000, 50000 };

static u64 draw_ipi_latency(void)
{
	u64 ns = 200 + sim_random_below(ipi_latency_ns[sim.faults]);

	if (sim.faults >= 3 && sim_chance(256))
		ns += sim_random_below(1000000);
	return ns;
}

static u64 draw_timer_lateness(void)
{
	u64 ns = 20 + sim_random_below(timer_late_ns[sim.faults]);

	if (sim.faults >= 3 && sim_chance(256))
		ns += sim_random_below(2000000);
	return ns;
}

void vcpu_no_events(struct vcpu *cpu)
{
	cpu->timer_ns = SIM_NEVER;
	cpu->ipi_ns = SIM_NEVER;
	cpu->input_ns = SIM_NEVER;
	cpu->output_ns = SIM_NEVER;
	cpu->spurious = 0;
}

u64 vcpu_next_event(const struct vcpu *cpu)
{
	u64 next = MIN(MIN(cpu->timer_ns, cpu->ipi_ns), MIN(cpu->input_ns, cpu->output_ns));

	return cpu->spurious != 0 ? 0 : next;
}

u32 vcpu_take_irqs(struct vcpu *cpu, u64 now_ns)
{
	u32 bits = cpu->spurious;

	if (sim.solo)
		return 0;
	cpu->spurious = 0;
	if (cpu->timer_ns <= now_ns) {
		bits |= IRQ_TIMER;
		cpu->timer_ns = SIM_NEVER;
	}
	if (cpu->ipi_ns <= now_ns) {
		bits |= IRQ_IPI;
		cpu->ipi_ns = SIM_NEVER;
	}
	if (cpu->input_ns <= now_ns) {
		bits |= IRQ_CONSOLE;
		cpu->input_ns = SIM_NEVER;
	}
	if (cpu->output_ns <= now_ns) {
		bits |= IRQ_CONSOLE;
		cpu->output_ns = SIM_NEVER;
	}
	return bits;
}

/* --- the clock: what x86_64 does, on counters of counter.c -------------------------------------------------------------- */

static struct clock *clock_of(const struct vcpu *cpu)
{
	return &((struct mach_cpu *)(void *)cpu->cpu)->clock;
}

u64 mach_counter(void)
{
	sim_point(SIM_COST_CALL);
	sim_wait_first();
	return sim_counter(sim.current, sim_now());
}

u64 mach_counter_ns(u64 counts)
{
	return counts;
}

void mach_clock_distrusted(void)
{
}

void mach_clock_stop(void)
{
	sim_die(SIM_EXIT_ERROR, "a counter that stands: --tsc dead");
}

u32 mach_reference(void)
{
	return (u32)sim_now();
}

u64 mach_reference_ns(u32 begin, u32 end)
{
	return end - begin;
}

static bool all_slow(void)
{
	for (u32 i = 0; i < sim.cpu_count; i++) {
		if (sim.cpus[i].cpu != NULL && sim.cpus[i].state != VCPU_OFF &&
		    !clock_is_slow(clock_of(&sim.cpus[i])))
			return false;
	}
	return true;
}

/*
 * CL1, CL2: a reading that began when others had come to `before_ns` (on this CPU `before_here_ns`). Never ahead of time, either, where
 * no counter is.
 */
static void check_reading(u64 now_ns, u64 before_ns, u64 before_here_ns, bool ordered)
{
	static const bool may_be_ahead[TSC_KINDS] = {
		[TSC_FAST] = true, [TSC_DIFFER] = true, [TSC_DRIFT] = true, [TSC_WILD] = true
	};
	struct vcpu *cpu = sim.current;

	if (now_ns < before_here_ns || (ordered && now_ns < before_ns))
		sim_die(SIM_EXIT_ERROR, "clock went back on CPU %u: %llu after %llu", cpu->id,
			(unsigned long long)now_ns, (unsigned long long)MAX(before_ns, before_here_ns));
	if (!may_be_ahead[sim.tsc] && now_ns > sim_now())
		sim_die(SIM_EXIT_ERROR, "clock of CPU %u is ahead: %llu at %llu", cpu->id, (unsigned long long)now_ns,
			(unsigned long long)sim_now());
	cpu->clock_ns = now_ns;
	sim.clock_ns = MAX(sim.clock_ns, now_ns);
}

static u64 read_clock(bool quick)
{
	struct clock *clock;
	u64 counter;

	sim_wait_first();
	if (sim.current->cpu == NULL) /* before the first CPU record */
		return sim_counter(sim.current, sim_now()) - sim_counter_base();
	counter = sim_counter(sim.current, sim_now());
	clock = clock_of(sim.current);
	if (quick ? (i64)(counter - clock->base) < 0 : counter < clock->last)
		return clock_read(clock);
	if (!quick)
		clock->last = counter;
	return counter - clock->base;
}

struct instant mach_clock(void)
{
	u64 now_ns, before_ns, before_here_ns;
	bool ordered;

	sim_point(SIM_COST_CALL);
	sim_wait_first();
	before_ns = sim.clock_ns;
	before_here_ns = sim.current->clock_ns;
	/* Where counters of CPUs differ, nobody knows before a CPU looks. */
	ordered = (sim.tsc <= TSC_CRAWLING && sim.tsc != TSC_BACKWARD) || all_slow();
	now_ns = read_clock(false);
	if (!sim.still && !sim.solo) /* a walk, in measure builds: what it takes is taken back */
		check_reading(now_ns, before_ns, before_here_ns, ordered);
	return (struct instant){ now_ns };
}

struct instant mach_clock_quick(void)
{
	sim_point(SIM_COST_CALL);
	return (struct instant){ read_clock(true) };
}

/* --- the one-shot, which counts virtual time ---------------------------------------------------------------------------- */

static u64 counted_since_armed(const struct vcpu *cpu)
{
	return MIN(sim_now() - cpu->armed_ns, cpu->span_ns);
}

u64 sim_check_counted(const struct cpu *cpu)
{
	const struct vcpu *vcpu = &sim.cpus[cpu->id];

	return vcpu->counted_ns + counted_since_armed(vcpu);
}

bool sim_check_counter_is(const char *kind)
{
	return sim_tsc_of(kind) == (int)sim.tsc;
}

struct timer_count mach_timer_count(void)
{
	return (struct timer_count){ sim.current->span_ns, counted_since_armed(sim.current), false };
}

void mach_timer_arm_span(u32 span_ns)
{
	mach_timer_arm((struct instant){ (sim.tsc == TSC_EXACT ? sim_now() : mach_clock_quick().ns) + span_ns });
}

void mach_timer_arm(struct instant deadline)
{
	struct vcpu *cpu = sim.current;
	u64 now, clock_ns;

	sim_point(SIM_COST_CALL);
	if (clock_is_slow(clock_of(cpu)))
		deadline = clock_arm(cpu->cpu, deadline);
	now = sim_now();
	if (cpu->timer_ns <= now && sim_chance(2))
		cpu->spurious |= IRQ_TIMER;
	cpu->counted_ns += counted_since_armed(cpu);
	cpu->span_ns = 0;
	if (deadline.ns == SIM_NEVER) {
		cpu->timer_ns = SIM_NEVER;
		return;
	}
	clock_ns = sim.tsc == TSC_EXACT ? now : mach_clock_quick().ns;
	now = sim_now();
	cpu->armed_ns = now;
	cpu->span_ns = deadline.ns - MIN(deadline.ns, clock_ns);
	deadline.ns = now + cpu->span_ns;
	cpu->timer_ns = deadline.ns + draw_timer_lateness();
	if (sim.faults >= 2 && deadline.ns > now + 4000 && sim_chance(16))
		cpu->timer_ns = deadline.ns - sim_random_below(2000);
}

void mach_ipi_send(struct cpu *target)
{
	struct vcpu *cpu = ((struct mach_cpu *)(void *)target)->vcpu;

	sim_point(SIM_COST_CALL);
	sim_stores_drain();
	sim_trace(EVENT_IPI, cpu->id, 0);
	if (cpu->ipi_ns == SIM_NEVER)
		cpu->ipi_ns = sim_now() + draw_ipi_latency();
	vcpu_notify(cpu, cpu->ipi_ns);
}

u32 mach_idle_wait(struct cpu *self)
{
	struct vcpu *cpu = sim.current;

	sim_point(SIM_COST_CALL);
	sim_stores_drain();
	if (self != cpu->cpu)
		sim_die(SIM_EXIT_ERROR, "mach_idle_wait of another CPU on CPU %u", cpu->id);
	cpu->watched_process = 0;
	if (sim.faults > 0 && sim_chance(128))
		return sim_chance(2) ? 0 : 1u << sim_random_below(2);
	for (;;) {
		u32 bits = vcpu_take_irqs(cpu, sim_now());
		if (bits != 0) {
			sim.entries++;
			sim_trace(EVENT_IRQ, bits, 1);
			sim_charge(SIM_COST_CALL);
			if (sim.faults >= 3 && sim_chance(16))
				sim_charge(sim_random_below(200000));
			sim_check_step(cpu, false);
			return bits;
		}
		sim_trace(EVENT_IDLE, 0, 0);
		sim_check_idle(cpu);
		sim_idle();
	}
}

u32 mach_irq_window(struct cpu *self)
{
	struct vcpu *cpu = sim.current;

	(void)self;
	sim_point(SIM_COST_CALL);
	sim_step(STEP_WINDOW);
	cpu->entered_ns = sim_now();
	/* What is due may come a moment after the window as well as a moment before its end. */
	if (sim.faults >= 2 && sim_chance(8))
		return 0;
	return vcpu_take_irqs(cpu, sim_now());
}

void mach_stop_others(void)
{
	sim.solo = true;
	sim.frozen = true;
	sim.current->entered_ns = sim_now();
	sim_draw_limit(false);
}
