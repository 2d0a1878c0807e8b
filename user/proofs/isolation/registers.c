/* SPDX-License-Identifier: MIT */
/*
 * Registers. What a system call does not define as its result keeps its value; rcx and r11 come back as the program's
 * own ip and flags. A thread starts with zeros and the initial FPU state. Preemption, migration and faults change nothing,
 * with processes of other patterns on the same CPU.
 */
#include "isolation.h"

enum reg { RAX, RBX, RCX, RDX, RSI, RDI, RBP, R8, R9, R10, R11, R12, R13, R14, R15, REGS };

struct registers {
	uint64_t reg[REGS];
	uint64_t pad;
	uint8_t fpu[512];
};
_Static_assert(offsetof(struct registers, fpu) == 128, "used below");

/* Words of a call, in order. */
static const enum reg word_register[CAPOS_WORDS] = { RSI, RDX, R10, R8, R9, R12, R13, R14 };

#define LOAD_ALL                                                                                                     \
	"movq 0(%rdi), %rax\n movq 8(%rdi), %rbx\n movq 16(%rdi), %rcx\n movq 24(%rdi), %rdx\n"                      \
	"movq 32(%rdi), %rsi\n movq 48(%rdi), %rbp\n movq 56(%rdi), %r8\n movq 64(%rdi), %r9\n"                      \
	"movq 72(%rdi), %r10\n movq 80(%rdi), %r11\n movq 88(%rdi), %r12\n movq 96(%rdi), %r13\n"                    \
	"movq 104(%rdi), %r14\n movq 112(%rdi), %r15\n movq 40(%rdi), %rdi\n"
/* The pointer is in rdi, the value of rdi on the stack. */
#define STORE_ALL                                                                                                    \
	"movq %rax, 0(%rdi)\n movq %rbx, 8(%rdi)\n movq %rcx, 16(%rdi)\n movq %rdx, 24(%rdi)\n"                      \
	"movq %rsi, 32(%rdi)\n movq %rbp, 48(%rdi)\n movq %r8, 56(%rdi)\n movq %r9, 64(%rdi)\n"                      \
	"movq %r10, 72(%rdi)\n movq %r11, 80(%rdi)\n movq %r12, 88(%rdi)\n movq %r13, 96(%rdi)\n"                    \
	"movq %r14, 104(%rdi)\n movq %r15, 112(%rdi)\n popq 40(%rdi)\n"
#define SAVE "pushq %rbx\n pushq %rbp\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n pushq %rdi\n"
#define RESTORE "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbp\n popq %rbx\n ret\n"

/* Loads all registers, FPU too, and: enters the kernel; goes round a loop rcx times; loads from address rax, which faults.
 * Stores all. */
void registers_call(struct registers *registers);
void registers_spin(struct registers *registers);
void registers_fault(struct registers *registers);
extern const char registers_call_end[];
__asm__(".pushsection .text\n"
	".globl registers_call, registers_call_end, registers_spin, registers_fault, registers_entry\n"
	"registers_call:\n" SAVE "fxrstor64 128(%rdi)\n" LOAD_ALL "syscall\n"
	"registers_call_end:\n"
	"xchgq %rdi, (%rsp)\n" STORE_ALL "fxsave64 128(%rdi)\n" RESTORE "registers_spin:\n" SAVE
	"fxrstor64 128(%rdi)\n" LOAD_ALL "1: pause\n decq %rcx\n jnz 1b\n"
	"xchgq %rdi, (%rsp)\n" STORE_ALL "fxsave64 128(%rdi)\n" RESTORE "registers_fault:\n" SAVE
	"fxrstor64 128(%rdi)\n" LOAD_ALL "movq (%rax), %rbx\n"
	"xchgq %rdi, (%rsp)\n" STORE_ALL "fxsave64 128(%rdi)\n" RESTORE
	/* A thread's first instructions: rdi is where its registers go, the stack below is its own. */
	"registers_entry:\n"
	"pushq %rdi\n" STORE_ALL "fxsave64 128(%rdi)\n"
	"andq $-16, %rsp\n call registers_started\n ud2\n"
	".popsection\n");
void registers_entry(void);
__attribute__((used)) _Noreturn void registers_started(struct registers *registers);

static void fill_pattern(struct registers *registers, uint64_t seed)
{
	struct rng rng;

	rng_seed(&rng, seed);
	for (unsigned i = 0; i < REGS; i++)
		registers->reg[i] = rng_next(&rng);
	memset(registers->fpu, 0, sizeof(registers->fpu));
	/* Control words: x87 with another precision, SSE with another rounding, all masked; x87 and xmm registers. */
	registers->fpu[0] = 0x7f;
	registers->fpu[1] = (uint8_t)((seed & 3) << 2);
	registers->fpu[4] = 0xff;
	*(uint32_t *)(void *)(registers->fpu + 24) = 0x1f80 | (uint32_t)(seed & 3) << 13;
	for (size_t i = 0; i < 8; i++) {
		*(uint64_t *)(void *)(registers->fpu + 32 + 16 * i) = rng_next(&rng) | 1ull << 63;
		*(uint16_t *)(void *)(registers->fpu + 40 + 16 * i) = (uint16_t)(0x3fff + i);
	}
	for (size_t i = 0; i < 32; i++)
		*(uint64_t *)(void *)(registers->fpu + 160 + 8 * i) = rng_next(&rng);
}

/* What of the state is the program's: not the last instruction's address and operand. */
static bool fpu_same(const struct registers *a, const struct registers *b)
{
	return memcmp(a->fpu, b->fpu, 5) == 0 && memcmp(a->fpu + 24, b->fpu + 24, 4) == 0 &&
	       memcmp(a->fpu + 32, b->fpu + 32, 128 + 256) == 0;
}

/* --- system calls ----------------------------------------------------------------------------------------------------- */

static unsigned wrong;

/* A call with a pattern in every register that it does not define; results: rax, `words_out` words, rdi if it says so. */
static void call_keeps(const char *what, uint64_t call, capos_handle handle, const uint64_t *word, unsigned words,
		       unsigned words_out)
{
	struct registers before, after;

	fill_pattern(&before, call + words);
	before.reg[RAX] = call;
	before.reg[RDI] = handle;
	for (unsigned i = 0; i < words; i++)
		before.reg[word_register[i]] = word[i];
	after = before;
	registers_call(&after);
	for (unsigned i = 0; i < REGS; i++) {
		bool result = i == RAX || i == RCX || i == R11 || i == RDI;

		for (unsigned w = 0; w < words_out; w++)
			result = result || word_register[w] == (enum reg)i;
		if (after.reg[i] == before.reg[i] || (result && after.reg[i] >> 47 == 0) || (i == RAX && result))
			continue;
		wrong++;
		tap_note("%s: register %u was 0x%lx, is 0x%lx", what, i, (unsigned long)before.reg[i],
			 (unsigned long)after.reg[i]);
	}
	if (after.reg[RCX] != (uintptr_t)registers_call_end && after.reg[RCX] != 0) {
		wrong++;
		tap_note("%s: rcx is 0x%lx", what, (unsigned long)after.reg[RCX]);
	}
	if (after.reg[R11] >> 22 != 0 || !fpu_same(&before, &after)) {
		wrong++;
		tap_note("%s: r11 is 0x%lx, FPU %u", what, (unsigned long)after.reg[R11], fpu_same(&before, &after));
	}
}

struct method_row {
	uint32_t iface;
	uint16_t method;
	uint8_t words_in;
};
#define M(i_, m_, id_, rights_, words_in_, ...) { CAPOS_IFACE_##i_, (id_), (words_in_) },
#define X(name, id) CAPOS_METHODS_##name(M)
static const struct method_row rows[] = { CAPOS_INTERFACES(X) };
#undef X
#undef M

static void calls_keep(void)
{
	uint64_t none[CAPOS_WORDS] = { 0 }, soon[1] = { 0 };
	capos_handle bell = 0, memory = 0, port = 0, server = 0;
	struct capos_spawn spawn;
	unsigned count = 0;

	wrong = 0;
	insist(factory_notification(known.factory, &bell));
	insist(factory_memory(known.factory, PAGE, 0, &memory));
	insist(factory_endpoint(known.factory, PROOF_IFACE, &port));
	child_init(&spawn, "serve");
	(void)spawn_grant(&spawn, "port", port, CAPOS_RIGHT_RECV);
	insist(spawn_start(&spawn, &server, NULL));
#define CALL(iface, method, h, word, out)                                                                            \
	(call_keeps(#iface "." #method, CAPOS_METHOD_WORD(iface, method, 0), h, word,                                \
		    CAPOS_WORDS_IN_##iface##_##method, out),                                                         \
	 count++)
	CALL(cap_table, nop, known.caps, none, 0);
	CALL(timer, now, known.timer, none, 1);
	soon[0] = now_ns() + MS;
	CALL(timer, sleep, known.timer, soon, 0);
	CALL(timer, sleep, known.timer, none, 0);
	soon[0] = 5;
	CALL(notification, signal, bell, soon, 0);
	CALL(notification, poll, bell, none, 1);
	CALL(notification, wait, bell, none, 1);
	soon[0] = now_ns() + MS;
	CALL(notification, wait, bell, soon, 1);
	soon[0] = known.timer;
	CALL(cap_table, info, known.caps, soon, 3);
	CALL(memory_object, info, memory, none, 1);
	CALL(address_space, info, known.space, none, 3);
	CALL(endpoint, info, port, none, 4);
	CALL(system_info, memory, known.system_info, none, 1);
	CALL(thread, info, known.self, none, 1);
	soon[0] = 0;
	CALL(thread, set_cpu, known.self, soon, 0);
	soon[0] = CAPOS_CPU_ANY;
	CALL(thread, set_cpu, known.self, soon, 0);
	soon[0] = now_ns() + MS;
	CALL(process, wait, server, soon, 5);
	call_keeps("yield", CAPOS_CALL_WORD(0, 0, CAPOS_OP_YIELD, 0, 0), 0, none, 0, 0);
	call_keeps("enter", CAPOS_CALL_WORD(0, 0, CAPOS_OP_ENTER, 2, 0), 0, none, 2, 0);
	/* Refused: every method through no handle, and through one of another interface. */
	for (unsigned i = 0; i < COUNT_OF(rows); i++, count++) {
		uint64_t call = CAPOS_CALL_WORD(rows[i].iface, rows[i].method, CAPOS_OP_CALL, rows[i].words_in, 0);

		call_keeps("no handle", call, 0, none, rows[i].words_in, 0);
		call_keeps("a stale handle", call, CAPOS_HANDLE(40, 9), none, rows[i].words_in, 0);
		if (rows[i].iface != CAPOS_IFACE_notification)
			call_keeps("another interface", call, bell, none, rows[i].words_in, 0);
		call_keeps("too few words", CAPOS_CALL_WORD(rows[i].iface, rows[i].method, CAPOS_OP_CALL, 8, 0),
			   known.caps, none, 8, 0);
	}
	tap_ok(wrong == 0, "%u system calls: all registers that are no results keep their values, FPU too", count);
	/* Calls: words beyond the reply's stay the caller's. */
	wrong = 0;
	for (unsigned words = 1; words <= CAPOS_WORDS; words++) {
		uint64_t word[CAPOS_WORDS];

		for (unsigned i = 0; i < CAPOS_WORDS; i++)
			word[i] = 0x100 + i;
		call_keeps("call", CAPOS_CALL_WORD(PROOF_IFACE, PROOF_ECHO, CAPOS_OP_CALL, words, 0), port, word,
			   words, 0);
	}
	tap_ok(wrong == 0, "calls to another process with 1 to 8 words: only message words come back");
	(void)endpoint_call(port, PROOF_IFACE, PROOF_STOP, NULL, 0, NULL, 0);
	(void)child_end(server);
	destroy(port);
	destroy(bell);
	destroy(memory);
}

/* The receiver's registers beyond the words of the call stay its own. */
static void receives_keep(void)
{
	capos_handle port = 0, caller = 0;
	unsigned good = 0;

	insist(factory_endpoint(known.factory, PROOF_IFACE, &port));
	for (unsigned turn = 0; turn < 8; turn++) {
		struct capos_spawn spawn;
		struct registers before, after;
		bool kept = true;

		child_init(&spawn, "call 0 1");
		(void)spawn_grant(&spawn, "port", port, CAPOS_RIGHT_CALL);
		insist(spawn_start(&spawn, &caller, NULL));
		if (turn % 2)
			(void)sleep_ns(2 * MS); /* the caller is there first */
		fill_pattern(&before, turn);
		before.reg[RAX] = CAPOS_CALL_WORD(0, 0, CAPOS_OP_RECV, 1, 0);
		before.reg[RDI] = port;
		before.reg[RSI] = CAPOS_NEVER;
		after = before;
		registers_call(&after);
		/* Two words: 0 and 7. */
		for (unsigned i = 0; i < REGS; i++)
			if (i != RAX && i != RDI && i != RCX && i != R11 && i != RSI && i != RDX)
				kept = kept && after.reg[i] == before.reg[i];
		kept = kept && after.reg[RSI] == 0 && after.reg[RDX] == 7 && after.reg[RDI] == 0 &&
		       fpu_same(&before, &after);
		good += kept;

		const struct message reply = { .words = 2, .word = { 0, 7 } };

		(void)endpoint_reply(&reply);
		kept = ended(child_end(caller), CAPOS_EXIT_NORMAL, 0);
		good -= !kept;
	}
	tap_ok(good == 8, "a receiver gets the words of the message, and keeps its other registers");
	destroy(port);
}

/* --- start, fault ------------------------------------------------------------------------------------------------------ */

static struct registers started_with;
static uint32_t started;

_Noreturn void registers_started(struct registers *registers)
{
	capos_handle handle = registers->reg[R10];

	__atomic_store_n(&started, 1, __ATOMIC_RELEASE);
	for (;;)
		(void)thread_exit(handle, 0);
}

static void starts_clean(void)
{
	struct block stack;
	unsigned good = 0;

	insist(block_map(&stack, 4 * PAGE));
	for (unsigned i = 0; i < 50; i++) {
		struct registers noise;
		capos_handle thread = 0;
		uint64_t id = 0, page = 0, dirty = 0;

		fill_pattern(&noise, i);
		noise.reg[RCX] = 1000;
		registers_spin(&noise);
		memset(started_with.reg, 0xff, sizeof(started_with.reg));
		memset(started_with.fpu, 0, sizeof(started_with.fpu)); /* not all bytes are stored */
		insist(thread_spawner_create(known.threads, (uintptr_t)registers_entry,
					     (uintptr_t)stack.address + 4 * PAGE, (uintptr_t)&started_with,
					     i % startup()->cpu_count, 0, 0, &thread, &id, &page));
		must(thread_join(thread, CAPOS_NEVER, NULL, NULL));
		drop(thread);
		for (unsigned r = 0; r < REGS; r++)
			if (r != RDI && r != RSI && r != RDX && r != R10)
				dirty += started_with.reg[r] != 0;
		for (unsigned b = 32; b < 32 + 128 + 256; b++)
			dirty += started_with.fpu[b] != 0;
		dirty += started_with.reg[RSI] != page || started_with.reg[RDX] != id ||
			 started_with.reg[R10] != thread;
		dirty += *(uint32_t *)(void *)(started_with.fpu + 24) != 0x1f80 || started_with.fpu[0] != 0x7f ||
			 started_with.fpu[1] != 3;
		good += dirty == 0;
	}
	tap_ok(good == 50, "50 threads start with zeros, what the contract names, and the initial FPU state");
	block_unmap(&stack);
}

static void faults_keep(void)
{
	unsigned good = 0;

	guard_begin();
	for (unsigned i = 0; i < 100; i++) {
		struct registers before, after;

		fill_pattern(&before, 1000 + i);
		before.reg[RAX] = i % 2 ? 0xffffffff80000000 : 16;
		after = before;
		registers_fault(&after);
		good += memcmp(before.reg, after.reg, sizeof(before.reg)) == 0 && fpu_same(&before, &after);
	}
	guard_end();
	tap_ok(good == 100, "100 faults, handled by another thread: all registers are kept");
}

/* --- preemption -------------------------------------------------------------------------------------------------------- */

#define SPINS 150u

/* spin SEED CPU: patterns in all registers over preemption and, with CPU 255, migration; exits with the number of changes. */
int mode_spin(int argc, char **argv)
{
	uint64_t seed = argc > 2 ? number_of(argv[2]) : 1, cpu = argc > 3 ? number_of(argv[3]) : 0;
	int changes = 0;

	for (uint64_t i = 0; i < SPINS; i++) {
		struct registers before, after;

		fill_pattern(&before, seed * 1000 + i);
		before.reg[RCX] = 20000;
		after = before;
		if (cpu == 255)
			(void)thread_set_cpu(known.self, (uint32_t)(i % startup()->cpu_count));
		registers_spin(&after);
		before.reg[RCX] = 0;
		changes += memcmp(before.reg, after.reg, sizeof(before.reg)) != 0 || !fpu_same(&before, &after);
	}
	return changes < 100 ? changes : 100;
}

static void preemption(void)
{
	capos_handle process[6];
	unsigned good = 0;

	for (unsigned i = 0; i < COUNT_OF(process); i++) {
		struct capos_spawn spawn;
		char args[32];

		fmt_buf(args, sizeof(args), "spin %u %u", i + 1, i % 2 ? 255 : 0);
		mode_init(&spawn, args);
		spawn.cpu = 0;
		insist(spawn_start(&spawn, &process[i], NULL));
	}
	starts_clean();
	for (unsigned i = 0; i < COUNT_OF(process); i++)
		good += ended(child_end(process[i]), CAPOS_EXIT_NORMAL, 0);
	tap_ok(good == COUNT_OF(process),
	       "%u processes with a pattern in every register, preempted, half of them migrating: none changes",
	       good);
}

/* The machine stores live FPU registers on its way to a hand-over, and goes on with the call that it was. */
static void reply_with_live_fpu(void)
{
	static const uint32_t word;
	const uint32_t ifaces[] = { 0, CAPOS_IFACE_park_space, CAPOS_IFACE_USER };
	unsigned refused = 0;

	for (unsigned i = 0; i < COUNT_OF(ifaces); i++) {
		struct registers reply;

		fill_pattern(&reply, i);
		/* Were it a park: the word is not 1. */
		reply.reg[RAX] = CAPOS_CALL_WORD(ifaces[i], 0, CAPOS_OP_REPLY_RECV, 4, 0);
		reply.reg[RDI] = known.park;
		reply.reg[RSI] = (uintptr_t)&word;
		reply.reg[RDX] = 1;
		reply.reg[R10] = CAPOS_NEVER;
		reply.reg[R8] = 0;
		registers_call(&reply);
		refused += CAPOS_RESULT_STATUS(reply.reg[RAX]) != CAPOS_STATUS_OK;
	}
	tap_ok(refused == COUNT_OF(ifaces),
	       "a reply with live FPU registers is a reply, whatever its words look like");
}

void test_registers(void)
{
	struct usage before;

	__asm__ volatile("fnop"); /* a thread's FPU state is made on its first use, and stays */
	before = usage_now();
	calls_keep();
	receives_keep();
	faults_keep();
	reply_with_live_fpu();
	starts_clean();
	preemption();
	tap_returns(before, "and nothing is left");
}
