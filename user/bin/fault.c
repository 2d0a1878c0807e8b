/* SPDX-License-Identifier: MIT */
/*
 * Does one thing that no program may do, chosen by its argument, so that one can watch what becomes of it. Returns 1
 * when it was not stopped, 2 when it does not know the kind.
 */
#include <user/capos.h>

typedef void (*fault_function)(void);

static volatile unsigned char data_area[64] __attribute__((aligned(16))) = { 0xc3 };

static void store(uintptr_t address)
{
	*(volatile uint32_t *)address = 1;
}

static void fault_null(void)
{
	store(0);
}

static void fault_wild(void)
{
	store(0x123456789000);
}

static void fault_noncanonical(void)
{
	store(0xdeadbeefdeadbee0);
}

static void fault_kernel(void)
{
	print("read %x\n", *(volatile uint32_t *)0xffffffff80000000);
}

static void fault_exec_data(void)
{
	((fault_function)(uintptr_t)data_area)();
}

static void fault_write_code(void)
{
	store((uintptr_t)fault_write_code);
}

static void fault_privileged(void)
{
	__asm__ volatile("cli");
}

static void fault_port(void)
{
	__asm__ volatile("outb %%al, $0x80" : : "a"(0));
}

static void fault_divide(void)
{
	unsigned rest, quotient;

	__asm__ volatile("divl %2" : "=a"(quotient), "=&d"(rest) : "r"(0), "0"(1), "1"(0));
}

static void fault_opcode(void)
{
	__asm__ volatile("ud2");
}

static void fault_breakpoint(void)
{
	__asm__ volatile("int3");
}

/* One access far below the stack's guard page. */
static void fault_overflow(void)
{
	store((uintptr_t)self() - USER_STACK_BYTES);
}

/* The alignment check flag, then a load that is not aligned: QEMU's emulation does not look at the flag. */
static void fault_alignment(void)
{
	__asm__ volatile("pushfq\n\torq $0x40000, (%%rsp)\n\tpopfq\n\tmovl 1(%0), %%eax\n\t"
			 "pushfq\n\tandq $~0x40000, (%%rsp)\n\tpopfq"
			 :
			 : "r"(data_area)
			 : "rax", "cc", "memory");
}

/* An instruction that wants its operand aligned. */
static void fault_misaligned(void)
{
	__asm__ volatile("movaps 1(%0), %%xmm0" : : "r"(data_area) : "memory"); /* loads nothing: it faults */
}

static __attribute__((noinline)) unsigned deeper(unsigned depth)
{
	volatile unsigned char frame[512];

	frame[depth % sizeof(frame)] = (unsigned char)depth;
	/* The compiler does not know that this never ends. */
	return data_area[0] ? deeper(depth + 1) + frame[depth % sizeof(frame)] : depth;
}

static void fault_recursion(void)
{
	print("%u\n", deeper(0));
}

static const struct {
	const char *name;
	fault_function run;
} kinds[] = {
	{ "null", fault_null },
	{ "wild", fault_wild },
	{ "noncanonical", fault_noncanonical },
	{ "kernel", fault_kernel },
	{ "exec-data", fault_exec_data },
	{ "write-code", fault_write_code },
	{ "privileged", fault_privileged },
	{ "port", fault_port },
	{ "divide", fault_divide },
	{ "opcode", fault_opcode },
	{ "breakpoint", fault_breakpoint },
	{ "overflow", fault_overflow },
	{ "misaligned", fault_misaligned },
	{ "alignment", fault_alignment },
	{ "recursion", fault_recursion },
};
#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < KIND_COUNT; i++) {
		if (strcmp(argv[1], kinds[i].name) != 0)
			continue;
		kinds[i].run();
		print("fault: '%s' was not stopped\n", argv[1]);
		return 1;
	}
	print("usage: fault KIND, which is one of:\n ");
	for (size_t i = 0; i < KIND_COUNT; i++)
		print(" %s", kinds[i].name);
	print("\n");
	return 2;
}
