/* SPDX-License-Identifier: MIT */
/*
 * What the simulator's files share.
 *
 * Model. One host thread plays all CPUs. Each has a local clock; the CPUs that have something to do stand in a heap
 * by the time at which they go on, and the earliest runs until it is ahead of the next one by a drawn slack. CPUs are
 * switched only on their kernel stacks: user code that is interrupted has its registers in its thread's frame.
 * All randomness comes from one stream that the seed starts, and nothing of the host (addresses, time) enters it.
 *
 * SIM1  at most one CPU runs; it is not in the heap, and every other CPU in the heap has something to do.
 * SIM2  now = limit - credit for the running CPU; local clocks never go back.
 * SIM3  a value of mach_clock is read only when no CPU that may still act has an earlier local time.
 * SIM4  a CPU in user mode has an empty store buffer.
 */
#ifndef SIM_H
#define SIM_H

#include <stdio.h>

#include <kernel/cpu.h>
#include <kernel/thread.h>
#include <mach/mach.h>
#include <sim/checker.h>

/* Built with the address sanitizer. */
#if defined(__SANITIZE_ADDRESS__)
#define SIM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIM_ASAN 1
#endif
#endif

#define SIM_NEVER (~0ull)
#define SIM_CPUS_MAX 1024u
#define SIM_STACK_BYTES (256u << 10)
#define SIM_ENTRY_NS_MAX 500000000ull /* an entry that lasts longer is stuck */

/*
 * What the counter of the clock does (counter.c):
 *   exact     virtual time
 *   dead      stands from some instant on, for ever
 *   halting   stands now and then
 *   backward  jumps back now and then
 *   fast, slow, crawling    up to 4 times as fast; down to a quarter; to a hundredth
 *   differ    counters of CPUs differ by constants
 *   drift     they go at different rates, within 5 %
 *   wild      each CPU's does all of it; the machine does not promise that they agree
 */
enum sim_tsc {
	TSC_EXACT,
	TSC_DEAD,
	TSC_HALTING,
	TSC_BACKWARD,
	TSC_FAST,
	TSC_SLOW,
	TSC_CRAWLING,
	TSC_DIFFER,
	TSC_DRIFT,
	TSC_WILD,
	TSC_KINDS
};

/* --- options and totals --------------------------------------------------------------------------------------- */

struct sim_options {
	const char *archive;
	const char *input; /* script of console input; "-" = stdin */
	const char *cmdline;
	u64 seed;
	u32 cpus;
	u32 mem_mib;
	u32 topology[3]; /* packages, cores each, threads each; 0 = drawn */
	int faults;	 /* -1 = drawn */
	int tsc;	 /* enum sim_tsc; -1 = drawn */
	u64 limit_ms;
	bool interactive;
	bool quiet;
	bool full; /* programs that enumerate do it in full */
	bool trace;
	bool embedded; /* many runs in one process: sim_run returns, the caller watches over host time */
};

extern struct sim_options sim_options;

/* What a run reports to the parent of many. Lies in memory shared with it. */
struct sim_result {
	u64 entries;
	u64 host_ns; /* CPU time from the first instruction of the core to the end */
	u64 virtual_ns;
	u64 hash;
	u32 exit_code;
	u32 done;
};

extern struct sim_result *sim_result;

/* Exit codes of the program beyond enum mach_exit. */
enum { SIM_EXIT_DEADLOCK = 4, SIM_EXIT_TIME_LIMIT = 5, SIM_EXIT_ERROR = 6 };

/* --- CPUs (engine.c) ------------------------------------------------------------------------------------------ */

/* A translation that a CPU may still hold although the tables say otherwise. */
struct sim_stale {
	u64 va;
	u64 frame;
};

enum vcpu_state { VCPU_OFF, VCPU_BUSY, VCPU_IDLE };

struct vcpu {
	struct cpu *cpu;
	u32 id;
	enum vcpu_state state;
	u32 heap_pos;	/* in the heap: index + 1 */
	u64 key_ns;	/* in the heap: when it goes on */
	u64 now_ns;	/* local time while it does not run */
	u64 limit_ns;	/* while it runs: credit ends here */
	u64 entered_ns; /* start of the kernel entry */
	u64 timer_ns;	/* deliveries due; SIM_NEVER = none */
	u64 armed_ns;	/* the one-shot counts since then ... */
	u64 span_ns;	/* ... so long at most */
	u64 counted_ns; /* all that it has counted before */
	u64 clock_ns;	/* last value of mach_clock */
	u64 ipi_ns;
	u64 input_ns;
	u64 output_ns;
	bool in_kernel;	       /* inside an entry, except while it waits in mach_idle_wait */
	u64 watched_process;   /* whose steps the CPU makes (steps.c) */
	u32 spurious;	       /* bits to deliver without a cause */
	struct thread *thread; /* whose registers user mode runs with */
	struct mach_space *space;
	void *sp; /* saved while another CPU runs */
	u8 *stack;
	void *fake_stack; /* ASan's */
	struct sim_store_buffer stores;
	struct sim_stale *stale;
	u32 stale_count;
	u32 stale_room;
};

struct sim {
	struct vcpu *cpus;
	u32 cpu_count;
	struct vcpu *current;
	u32 busy_count;	  /* CPUs neither off nor idle */
	u32 kernel_count; /* CPUs with in_kernel */
	bool still;	  /* a walk goes on: no switches, no draws */
	bool solo;	  /* panic: only the current CPU goes on */
	bool frozen;	  /* the trace hash is final */
	int faults;
	u32 starved_cpu; /* faults 3: now and then stands still for long */
	u64 end_ns;
	u64 clock_ns; /* last value of mach_clock on any CPU */
	enum sim_tsc tsc;
	u64 entries;
	u64 events;
	u64 hash;
	u64 alloc_fail_per_million;
	bool no_memory; /* the script of the console says so: every frame_alloc fails */
};

extern struct sim sim;

void sim_engine_init(void);
/* Start the CPU on its own stack at `start_ns`. */
void vcpu_start(struct vcpu *cpu, u64 start_ns);
/* Run the first CPU. Returns when the run is left. */
void sim_engine_run(void);
/* From a CPU's stack, or a signal's: back to the caller of sim_engine_run. */
NORETURN void sim_engine_leave(void);
void sim_engine_fini(void);
/* Local time of the running CPU. */
u64 sim_now(void);
/* Pass virtual time on the running CPU, without a switch. */
void sim_charge(u64 ns);
/* Let others run until no CPU has an earlier local time. */
void sim_wait_first(void);
/* Draw the credit until the next slow path: others' times, and in user mode the CPU's own next event. */
void sim_draw_limit(bool user);
/* Run others until this idle CPU has an event; its local time is then at or after it. */
void sim_idle(void);
/* An event became due at `due_ns` on a CPU that may be idle, or user mode that may look too late. */
void vcpu_notify(struct vcpu *cpu, u64 due_ns);

static inline void vcpu_enter_kernel(struct vcpu *cpu)
{
	if (!cpu->in_kernel) {
		cpu->in_kernel = true;
		sim.kernel_count++;
	}
}

static inline void vcpu_leave_kernel(struct vcpu *cpu)
{
	if (cpu->in_kernel) {
		cpu->in_kernel = false;
		sim.kernel_count--;
	}
}

/* sim_stand_still to sim_go_on (checker.h): no other CPU runs, no time passes and nothing is drawn. */

/* --- randomness (engine.c) ------------------------------------------------------------------------------------ */

extern u64 sim_random_state;

static inline u64 sim_random(void)
{
	u64 z = sim_random_state += 0x9e3779b97f4a7c15ull;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* 0 .. n-1; n below 2^32. */
static inline u64 sim_random_below(u64 n)
{
	return ((sim_random() >> 32) * n) >> 32;
}

static inline bool sim_chance(u64 one_in)
{
	return sim_random_below(one_in) == 0;
}

/* --- interrupts and time (clock.c) ---------------------------------------------------------------------------- */

/* counter.c */
void sim_counter_init(void);
u64 sim_counter(const struct vcpu *cpu, u64 now_ns);
u64 sim_counter_base(void);
/* Name -> enum sim_tsc; -1: no such. */
int sim_tsc_of(const char *name);

u64 vcpu_next_event(const struct vcpu *cpu);
/* Acknowledge what is due at `now_ns`: IRQ_… bits. */
u32 vcpu_take_irqs(struct vcpu *cpu, u64 now_ns);
void vcpu_no_events(struct vcpu *cpu);

/* --- entries (entry.c) and their assembly (fibre.S) ----------------------------------------------------------- */

enum gate_kind { GATE_SYSCALL, GATE_HOOK, GATE_CLOCK, GATE_FAULT };

/* First function on a CPU's stack, and the entry that it makes. */
NORETURN void vcpu_main(void);
NORETURN void vcpu_first_entry(void);
/* After the gate has stored the frame; on the kernel stack. */
NORETURN void sim_gate_enter(u32 kind);

extern struct mach_frame *sim_user_frame; /* of the thread in user mode */
extern u8 *sim_kernel_sp;		  /* top of the running CPU's kernel stack */
extern u8 sim_in_user;

void sim_gate_syscall(void);
void sim_gate_hook(void);
void sim_gate_clock(void);
void sim_fault_enter(void);
void sim_fibre_switch(void **save_sp, void *load_sp);
void sim_fibre_start(void);
NORETURN void sim_leave(struct mach_frame *frame);
NORETURN void sim_leave_full(struct mach_frame *frame, const void *fpu_aligned);

/* --- faults (fault.c) ----------------------------------------------------------------------------------------- */

extern struct fault sim_fault; /* of the running CPU, from the signal to kernel_fault */
void sim_fault_init(void);
/* Length of an x86-64 instruction, 0 when unknown (insn.c). */
u32 insn_bytes(const u8 *code, u32 room);

/* --- steps of operations (steps.c) ---------------------------------------------------------------------------- */

void sim_steps_init(void);
/* The running CPU comes to a step (STEP_* of lib/steps.h); may let the others run for long. */
void sim_step(u32 kind);
/* Is this the allocation that shall fail? */
bool sim_step_fails(void);
/* Every sim point of the running CPU is a step: it must come to the slow path. */
bool sim_steps_fine(void);

/* --- memory and spaces (memory.c, space.c) -------------------------------------------------------------------- */

extern int sim_memory_fd;
extern u64 sim_memory_bytes;
void sim_memory_init(struct boot_info *info);
void sim_memory_fini(void);
void sim_space_init(void);
void sim_space_fini(void);
/* Leaf entry for a user address of the space, 0 when there is none. */
u64 sim_space_walk(const struct mach_space *space, u64 va);

/* --- console (console.c) -------------------------------------------------------------------------------------- */

void sim_console_init(void);
/* All CPUs wait until `next_ns` (SIM_NEVER: for ever): a script or the user may type. */
void sim_console_idle(u64 next_ns);
/* Why input is still outstanding, for a report of a deadlock; NULL when there is none. */
const char *sim_console_waits_for(void);
/* What was written last, without a 0 at its end. */
const char *sim_console_recent(u32 *bytes);
/* The run ends: everything out, the terminal as it was. */
void sim_console_close(void);

/* --- trace, checks and the end (trace.c, check.c, symbol.c) --------------------------------------------------- */

enum sim_event {
	EVENT_SYSCALL = 'S',
	EVENT_FAULT = 'F',
	EVENT_IRQ = 'I',
	EVENT_RESUME = 'R',
	EVENT_IPI = 'i',
	EVENT_IDLE = 'w',
	EVENT_CONSOLE = 'c',
	EVENT_INPUT = 'k',
	EVENT_START = 'B',
};

/* One event into the hash and the tail kept for reports. No argument may depend on the host. */
void sim_trace(enum sim_event kind, u64 a, u64 b);
/* After each kernel entry (resumes: a thread is about to go on; else the CPU idles on), and at the end. */
void sim_check_step(struct vcpu *cpu, bool resumes);
void sim_check_end(void);
/* Before a CPU waits for an interrupt. */
void sim_check_idle(struct vcpu *cpu);
/* Say what went wrong, where, with seed and tail; end the run with the code. */
NORETURN void sim_die(u32 exit_code, const char *format, ...) PRINTF_LIKE(2, 3);
NORETURN void sim_end(u32 exit_code);
/* Where the run stands: seed, CPUs, call stack, last events, to stderr. */
void sim_report(void);

/* Host time, for rates only. */
struct host_time {
	u64 wall_ns;
	u64 cpu_ns;
};

struct host_time sim_host_time(void);
extern struct host_time sim_host_start;

/*
 * One run with sim_options and *sim_result. Ends the process with the exit code (main.c calls it in a child), or, embedded,
 * returns it; then nothing of the run is left on the host but the content of the simulator's and the core's variables,
 * which the caller sets back before the next run.
 */
u32 sim_run(void);

#endif
