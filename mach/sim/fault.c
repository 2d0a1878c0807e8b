/* SPDX-License-Identifier: MIT */
/*
 * Host signals. In user mode they are the program's faults: the registers go into its thread's frame, and the handler
 * "returns" onto the kernel stack (sim_fault_enter). Anywhere else they are a bug of the core or the simulator.
 *
 * The host's error code tells write and execute; whether the page was present is asked of the core's tables, since
 * the host maps lazily. A fault that the tables would not explain means that the mirror is wrong: the core changed a
 * leaf and did not say so (FAULT1).
 */
#define _GNU_SOURCE
#include "sim.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#ifdef SIM_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

#define ERROR_WRITE 2u
#define ERROR_EXECUTE 16u
#define MXCSR_DEFAULT 0x1f80u
#define FLAGS_UNWANTED 0x40500ll
#define HOST_SILENCE_S 20 /* no kernel entry for that long: a program loops without hook, or the core without point */

extern const char sim_text_begin[], sim_text_end[];

struct fault sim_fault;

/* Options of the sanitizers: the signals are ours, frames are abandoned, nothing of the run may depend on them. */
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);

const char *__asan_default_options(void)
{
	return "handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:handle_sigtrap=0:handle_abort=0:"
	       "allow_user_segv_handler=1:use_sigaltstack=0:detect_stack_use_after_return=0:detect_leaks=0:exitcode=2";
}

const char *__ubsan_default_options(void)
{
	return "print_stacktrace=1:halt_on_error=1:exitcode=2";
}

static u32 cause_of(u64 trap)
{
	switch (trap) {
	case 0:
		return FAULT_DIVIDE;
	case 3:
		return FAULT_BREAKPOINT;
	case 6:
		return FAULT_OPCODE;
	case 12:
		return FAULT_STACK;
	case 13:
		return FAULT_PRIVILEGE;
	case 14:
		return FAULT_PAGE;
	case 16:
	case 19:
		return FAULT_FPU;
	case 17:
		return FAULT_ALIGNMENT;
	default:
		return FAULT_OTHER;
	}
}

static void save_frame(struct mach_frame *frame, const ucontext_t *context)
{
	const greg_t *r = context->uc_mcontext.gregs;

	frame->call = (u64)r[REG_RAX];
	frame->handle = (u64)r[REG_RDI];
	frame->word[0] = (u64)r[REG_RSI];
	frame->word[1] = (u64)r[REG_RDX];
	frame->word[2] = (u64)r[REG_R10];
	frame->word[3] = (u64)r[REG_R8];
	frame->word[4] = (u64)r[REG_R9];
	frame->word[5] = (u64)r[REG_R12];
	frame->word[6] = (u64)r[REG_R13];
	frame->word[7] = (u64)r[REG_R14];
	frame->ip = (u64)r[REG_RIP];
	frame->sp = (u64)r[REG_RSP];
	frame->flags = (u64)r[REG_EFL];
	frame->rbx = (u64)r[REG_RBX];
	frame->rbp = (u64)r[REG_RBP];
	frame->r15 = (u64)r[REG_R15];
	frame->rcx = (u64)r[REG_RCX];
	frame->r11 = (u64)r[REG_R11];
	frame->mxcsr = MXCSR_DEFAULT; /* the image below has the program's */
	frame->full = 1;
	memcpy(((struct mach_thread *)(void *)frame)->fpu, context->uc_mcontext.fpregs, 512);
}

static void fill_fault(const ucontext_t *context)
{
	const greg_t *r = context->uc_mcontext.gregs;
	u64 error = (u64)r[REG_ERR];

	sim_fault = (struct fault){ .cause = cause_of((u64)r[REG_TRAPNO]), .ip = sim_user_frame->ip };
	if (sim_fault.cause != FAULT_PAGE)
		return;
	sim_fault.addr = (u64)r[REG_CR2];
	u64 pte = sim_space_walk(sim.current->space, sim_fault.addr);
	bool write = (error & ERROR_WRITE) != 0, execute = (error & ERROR_EXECUTE) != 0;
	sim_fault.detail = (write ? 1u : 0) | (execute ? 2u : 0) | (pte_present(pte) ? 4u : 0);
	if (pte_present(pte) && (!write || (pte_prot(pte) & PROT_WRITE) != 0) &&
	    (!execute || (pte_prot(pte) & PROT_EXEC) != 0))
		sim_die(SIM_EXIT_ERROR,
			"mirror: the tables allow the access to %#llx that faulted (mach_space_changed missing?)",
			(unsigned long long)sim_fault.addr);
}

NORETURN static void report_bug(int number, const ucontext_t *context)
{
	const greg_t *r = context->uc_mcontext.gregs;
	u64 offset = 0;
	const char *symbol = mach_symbol((u64)r[REG_RIP], &offset);

	if (number == SIGPROF)
		sim_die(SIM_EXIT_ERROR, "no kernel entry for %d s of CPU time, at %s+%#llx", HOST_SILENCE_S,
			symbol != NULL ? symbol
			: sim_in_user  ? "user code"
				       : "?",
			(unsigned long long)offset);
	sim_die(MACH_EXIT_PANIC, "%s in the kernel: address %#llx, ip %#llx %s+%#llx", strsignal(number),
		(unsigned long long)r[REG_CR2], (unsigned long long)r[REG_RIP], symbol != NULL ? symbol : "?",
		(unsigned long long)offset);
}

static void on_signal(int number, siginfo_t *info, void *argument)
{
	ucontext_t *context = argument;
	greg_t *r = context->uc_mcontext.gregs;
	u64 ip = (u64)r[REG_RIP];

	(void)info;
	if (!sim_in_user) {
		report_bug(number, context);
	}
	sim_in_user = 0;
	/* A return to a bad ip faults in the simulator's own text: the frame still holds the program's registers. */
	if (ip < (u64)sim_text_begin || ip >= (u64)sim_text_end)
		save_frame(sim_user_frame, context);
	fill_fault(context);
	r[REG_RIP] = (greg_t)sim_fault_enter;
	r[REG_RSP] = (greg_t)sim_kernel_sp;
	r[REG_EFL] &= ~FLAGS_UNWANTED;
	context->uc_mcontext.fpregs->mxcsr = MXCSR_DEFAULT;
	context->uc_mcontext.fpregs->cwd = 0x37f;
	context->uc_mcontext.fpregs->swd = 0;
}

static void on_alarm(int number, siginfo_t *info, void *context)
{
	static u64 last_events;

	(void)info;
	if (sim.events == last_events && !sim_options.interactive)
		report_bug(number, context);
	last_events = sim.events;
}

#ifdef SIM_ASAN
/* A sanitizer has reported and ends the process. */
static void on_sanitizer_death(void)
{
	sim_console_close();
	sim_report();
	fflush(stderr);
}
#endif

void sim_fault_init(void)
{
	static u8 alternate[64 << 10] __attribute__((aligned(16)));
	static const int numbers[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
	stack_t stack = { .ss_sp = alternate, .ss_size = sizeof(alternate) };
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	struct itimerval every = { { HOST_SILENCE_S, 0 }, { HOST_SILENCE_S, 0 } };

	sigaltstack(&stack, NULL);
	sigemptyset(&action.sa_mask);
	for (u32 i = 0; i < ARRAY_COUNT(numbers); i++)
		sigaction(numbers[i], &action, NULL);
	if (sim_options.embedded)
		return;
#ifdef SIM_ASAN
	__sanitizer_set_death_callback(on_sanitizer_death);
#endif
	action.sa_sigaction = on_alarm;
	action.sa_flags |= SA_RESTART;
	sigaction(SIGPROF, &action, NULL);
	setitimer(ITIMER_PROF, &every, NULL);
}

bool mach_frame_skip(struct thread *thread)
{
	struct mach_frame *frame = &((struct mach_thread *)(void *)thread)->frame;
	u8 code[16];
	struct iovec to = { code, 0 }, from = { (void *)frame->ip, 0 };
	ssize_t got = -1;

	if (frame->ip < SIM_WINDOWS_BASE)
		return false;
	/* Up to the end of the page, then up to 16 bytes: the next page may be absent. */
	from.iov_len = MIN(sizeof(code), PAGE_BYTES - frame->ip % PAGE_BYTES);
	to.iov_len = from.iov_len;
	got = process_vm_readv(getpid(), &to, 1, &from, 1, 0);
	if (got == (ssize_t)to.iov_len && to.iov_len < sizeof(code)) {
		struct iovec to2 = { code + got, sizeof(code) - (size_t)got };
		struct iovec from2 = { (void *)(frame->ip + (u64)got), to2.iov_len };
		ssize_t more = process_vm_readv(getpid(), &to2, 1, &from2, 1, 0);
		got += more > 0 ? more : 0;
	}
	u32 bytes = got > 0 ? insn_bytes(code, (u32)got) : 0;
	frame->ip += bytes;
	return bytes != 0;
}
