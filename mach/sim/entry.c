/* SPDX-License-Identifier: MIT */
/*
 * Entries into the core and returns to user mode, CPU start, threads' registers.
 *
 * Each entry runs on the CPU's kernel stack from its top and ends in resume(), which abandons that stack. An
 * interrupt that is due when the core returns is taken at once, as if at the first user instruction.
 */
#include "sim.h"

#include <capos/iface.h>
#include <kernel/ipc.h>

#include <lib/steps.h>
#include <string.h>

#ifdef SIM_ASAN
#include <sanitizer/asan_interface.h>
#endif

#define ENTRY_NS 80	     /* cost of crossing into the kernel and back */
#define FLAGS_USER 0x240dd5u /* flags that a program may set */
#define FLAGS_FIXED 0x202u
#define MXCSR_DEFAULT 0x1f80u

/* fibre.S knows these. */
_Static_assert(offsetof(struct mach_frame, word) == 16, "frame");
_Static_assert(offsetof(struct mach_frame, ip) == 80, "frame");
_Static_assert(offsetof(struct mach_frame, rbx) == 104, "frame");
_Static_assert(offsetof(struct mach_frame, r11) == 136, "frame");
_Static_assert(offsetof(struct mach_frame, mxcsr) == 144, "frame");
_Static_assert(offsetof(struct mach_frame, full) == 148, "frame");
_Static_assert(offsetof(struct mach_thread, frame) == 0 && offsetof(struct thread, mach) == 0, "thread");
_Static_assert(offsetof(struct cpu, mach) == 0, "cpu");

struct mach_frame *sim_user_frame;
u8 *sim_kernel_sp;
u8 sim_in_user;

static struct boot_info boot_info;

static struct mach_thread *machine_of(struct thread *thread)
{
	return (struct mach_thread *)(void *)thread;
}

/* Frames below the current one are gone: what ASan poisoned for them must not meet the next entry. */
static void forget_stack(const struct vcpu *cpu)
{
#ifdef SIM_ASAN
	const u8 *from = __builtin_frame_address(0);
	__asan_unpoison_memory_region(from, (size_t)(cpu->stack + SIM_STACK_BYTES - from));
#else
	(void)cpu;
#endif
}

NORETURN static void resume(struct vcpu *cpu, struct thread *next)
{
	for (;;) {
		if (next == NULL)
			sim_die(SIM_EXIT_ERROR, "the core returned no thread on CPU %u", cpu->id);
		cpu->thread = next;
		sim_stores_drain();
		sim_check_step(cpu, true);
		vcpu_leave_kernel(cpu);
		u32 bits = vcpu_take_irqs(cpu, sim_now());
		if (bits == 0)
			break;
		sim_trace(EVENT_IRQ, bits, 0);
		sim.entries++;
		vcpu_enter_kernel(cpu);
		next = kernel_irq(cpu->cpu, bits);
	}
	struct mach_thread *machine = machine_of(next);
	struct mach_frame *frame = &machine->frame;
	sim_trace(EVENT_RESUME, frame->ip, frame->sp);
	sim_user_frame = frame;
	sim_draw_limit(true);
	forget_stack(cpu);
	if (frame->full) {
		static u8 fpu[512] __attribute__((aligned(64)));
		memcpy(fpu, machine->fpu, sizeof(fpu));
		frame->flags = (frame->flags & FLAGS_USER) | FLAGS_FIXED;
		sim_leave_full(frame, fpu);
	}
	sim_leave(frame);
}

static struct thread *enter_syscall(struct vcpu *cpu)
{
	struct mach_frame *frame = sim_user_frame;
	u64 result;

	sim.entries++;
	sim_trace(EVENT_SYSCALL, frame->call, frame->ip);
	vcpu_enter_kernel(cpu);
	sim_step(STEP_ENTRY);
	if (unlikely(sim_steps_fine()))
		sim_draw_limit(false);
	sim_point(ENTRY_NS);
	result = CALL_NOT_FAST;
	reclaim_kernel_enter(cpu->cpu);
	if (CAPOS_CALL_IFACE(frame->call) - 1 < CAPOS_IFACE_COUNT - 1)
		result = kernel_syscall_fast(frame->call, cpu->thread);
	if (result == CALL_NOT_FAST || result == CALL_PARK) {
		struct thread *next = result == CALL_PARK ? kernel_syscall_park(cpu->cpu, cpu->thread)
							  : kernel_syscall_ipc(cpu->cpu, cpu->thread, frame->call);

		if (next == NULL)
			return kernel_syscall(cpu->cpu);
		reclaim_kernel_exit(cpu->cpu);
		return next;
	}
	frame->call = result;
	reclaim_kernel_exit(cpu->cpu);
	return cpu->thread;
}

static struct thread *enter_fault(struct vcpu *cpu)
{
	struct fault fault = sim_fault;

	sim.entries++;
	sim_trace(EVENT_FAULT, (u64)fault.cause << 32 | fault.detail, fault.ip);
	sim_charge(10 * ENTRY_NS);
	vcpu_enter_kernel(cpu);
	sim_step(STEP_ENTRY);
	return kernel_fault(cpu->cpu, &fault);
}

/* Credit is used up in user mode: others may run, and interrupts are taken by resume(). */
static struct thread *enter_hook(struct vcpu *cpu)
{
	sim_point_slow();
	if (sim.faults > 0 && sim_chance(4096))
		cpu->spurious |= 1u << sim_random_below(2);
	return cpu->thread;
}

static struct thread *enter_clock(struct vcpu *cpu)
{
	sim_user_frame->call = mach_clock().ns;
	return cpu->thread;
}

void sim_gate_enter(u32 kind)
{
	struct vcpu *cpu = sim.current;
	struct thread *next;

	cpu->entered_ns = sim_now();
	sim_stores_seen_by_user();
	switch (kind) {
	case GATE_SYSCALL:
		next = enter_syscall(cpu);
		break;
	case GATE_HOOK:
		next = enter_hook(cpu);
		break;
	case GATE_CLOCK:
		/* The frame belongs to the thread: other CPUs run, and set sim_user_frame, within mach_clock. */
		sim_user_frame = &machine_of(cpu->thread)->frame;
		next = enter_clock(cpu);
		break;
	default:
		next = enter_fault(cpu);
		break;
	}
	resume(cpu, next);
}

void vcpu_first_entry(void)
{
	struct vcpu *cpu = sim.current;

	sim_trace(EVENT_START, cpu->id, 0);
	vcpu_enter_kernel(cpu);
	resume(cpu, cpu->id == 0 ? kernel_boot(&boot_info) : kernel_cpu_boot(cpu->cpu));
}

u32 sim_run(void)
{
	sim_random_state = sim_options.seed * 0x2545f4914f6cdd1dull + 1;
	sim.hash = 0xcbf29ce484222325ull;
	sim.faults = sim_options.faults >= 0 ? sim_options.faults : (int)sim_random_below(4);
	sim.starved_cpu = sim.faults >= 3 ? (u32)sim_random_below(sim_options.cpus) : ~0u;
	sim.alloc_fail_per_million = SIM_NEVER; /* drawn when first asked */
	sim.end_ns = sim_options.limit_ms * 1000000;
	sim_memory_init(&boot_info);
	sim_engine_init();
	sim_counter_init();
	boot_info.clocks_agree = sim.tsc != TSC_WILD;
	sim_space_init();
	sim_console_init();
	sim_fault_init();
	sim_steps_init();
	sim_host_start = sim_host_time();
	sim_engine_run();
	u32 exit_code = sim_result->exit_code;
	sim_space_fini();
	sim_engine_fini();
	sim_memory_fini();
	return exit_code;
}

/* --- machine interface: CPUs and threads ---------------------------------------------------------------------- */

/* Stacks are the simulator's own; the core gives a token page. */
size_t mach_cpu_bytes(void)
{
	return PAGE_BYTES;
}

void mach_cpu_init(struct cpu *cpu, void *memory)
{
	(void)memory;
	if (cpu->id >= sim.cpu_count)
		sim_die(SIM_EXIT_ERROR, "mach_cpu_init: no CPU %u", cpu->id);
	struct vcpu *vcpu = &sim.cpus[cpu->id];
	vcpu->cpu = cpu;
	((struct mach_cpu *)(void *)cpu)->vcpu = vcpu;
	((struct mach_cpu *)(void *)cpu)->clock =
		(struct clock){ .base = sim_counter_base(), .last = sim_counter_base() };
	if (vcpu == sim.current)
		sim_cpu_record = cpu;
}

bool mach_cpu_start(struct cpu *cpu)
{
	struct vcpu *vcpu = ((struct mach_cpu *)(void *)cpu)->vcpu;

	sim_point(SIM_COST_CALL);
	sim_stores_drain();
	if (vcpu->state != VCPU_OFF)
		sim_die(SIM_EXIT_ERROR, "mach_cpu_start: CPU %u runs already", vcpu->id);
	vcpu_start(vcpu, sim_now() + 1000 + sim_random_below(50000));
	vcpu_notify(vcpu, vcpu->now_ns);
	return true;
}

void mach_thread_init(struct thread *thread, struct uaddr ip, struct uaddr sp, u64 arg)
{
	struct mach_thread *machine = machine_of(thread);

	memset(machine, 0, sizeof(*machine));
	machine->frame.handle = arg; /* rdi */
	machine->frame.ip = ip.va;
	machine->frame.sp = sp.va;
	machine->frame.mxcsr = MXCSR_DEFAULT;
}

/* Registers of an interrupted thread are in its frame already, the FPU's too. */
void mach_thread_leave(struct thread *thread)
{
	(void)thread;
	sim_point(SIM_COST_CALL);
	sim_step(STEP_LEAVE);
}

void mach_thread_fini(struct thread *thread)
{
	for (u32 i = 0; i < sim.cpu_count; i++) {
		if (&sim.cpus[i] != sim.current && sim.cpus[i].thread == thread && sim.cpus[i].cpu != NULL &&
		    sim.cpus[i].cpu->current == thread)
			sim_die(SIM_EXIT_ERROR, "mach_thread_fini: the thread is current on CPU %u", i);
	}
}
