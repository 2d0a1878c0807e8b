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

struct instant mach_clock(void)
{
	sim_point(SIM_COST_CALL);
	sim_wait_first();
	u64 now = sim_now();
	if (sim.still) /* a walk, in measure builds: what it takes is taken back */
		return (struct instant){ now };
	if (now < sim.clock_ns && !sim.solo)
		sim_die(SIM_EXIT_ERROR, "clock went back on CPU %u: %llu after %llu", sim.current->id,
			(unsigned long long)now, (unsigned long long)sim.clock_ns);
	sim.clock_ns = now;
	return (struct instant){ now };
}

void mach_timer_arm_span(u32 span_ns)
{
	mach_timer_arm((struct instant){ sim_now() + span_ns });
}

void mach_timer_arm(struct instant deadline)
{
	struct vcpu *cpu = sim.current;

	sim_point(SIM_COST_CALL);
	u64 now = sim_now();
	if (cpu->timer_ns <= now && sim_chance(2))
		cpu->spurious |= IRQ_TIMER;
	if (deadline.ns == SIM_NEVER) {
		cpu->timer_ns = SIM_NEVER;
		return;
	}
	cpu->timer_ns = MAX(deadline.ns, now) + draw_timer_lateness();
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
