/* SPDX-License-Identifier: MIT */
/* Loads, stores, jumps and arguments with addresses that are not the program's; instructions that are not. */
#include "isolation.h"

#define USER_TOP 0x800000000000ull
#define HALF_TOP 0xffff800000000000ull
#define ZERO_PAGE 0xffffd00000000000ull
#define KERNEL_IMAGE 0xffffffff80000000ull

/* Nothing is mapped at these; the last ones reach over the end of what could be. */
static const uint64_t strange[] = {
	0,
	8,
	4095,
	4096,
	0xfff8,
	USER_TOP - 4096,
	USER_TOP - 8,
	USER_TOP - 4,
	USER_TOP,
	USER_TOP + 4096,
	0xdeadbeefdeadbee0ull,
	HALF_TOP - 8,
	HALF_TOP - 4,
	HALF_TOP,
	HALF_TOP + 4096,
	HALF_TOP + (1u << 20),
	HALF_TOP + 0xfee00000,
	KERNEL_IMAGE,
	KERNEL_IMAGE + (1u << 20),
	KERNEL_IMAGE + (2u << 20),
	0xffffffffff600000ull,
	~0ull - 4095,
	~0ull - 7,
	~0ull,
};

/* One load and one store there: two faults, nothing loaded. */
static bool is_closed(uint64_t address)
{
	uint64_t before = guard.faults, value = try_load(address), faults = guard.faults - before;
	bool good = value == UNTOUCHED && faults == 1;

	/* In the hole the fault has no address. */
	good = (address >= USER_TOP - 7 && address < HALF_TOP) ||
	       (guard.cause == CAPOS_FAULT_PAGE && guard.address - address < 8) || good;
	try_store(address, UNTOUCHED);
	good = good && guard.faults == before + 2;
	if (!good)
		tap_note("0x%lx: value 0x%lx, faults %lu and %lu, cause %lu, address 0x%lx", (unsigned long)address,
			 (unsigned long)value, (unsigned long)faults, (unsigned long)(guard.faults - before - faults),
			 (unsigned long)guard.cause, (unsigned long)guard.address);
	return good;
}

/* What loads through FS see: nothing but zeros, which cannot be changed, and nothing beside. */
static bool is_zero_page(void)
{
	uint64_t before, dirty = 0;

	for (uint64_t at = ZERO_PAGE; at < ZERO_PAGE + PAGE; at += 8)
		dirty += try_load(at) != 0;
	before = guard.faults;
	try_store(ZERO_PAGE, UNTOUCHED);
	return dirty == 0 && guard.faults == before + 1 && is_closed(ZERO_PAGE - 8) && is_closed(ZERO_PAGE + PAGE);
}

static void touches(void)
{
	unsigned good = 0, count = 0;
	volatile uint64_t mine = 7;

	for (unsigned i = 0; i < COUNT_OF(strange); i++, count++)
		good += is_closed(strange[i]);
	/* Each 512 GiB of the kernel's half, and the image's first 16 MiB. */
	for (uint64_t at = HALF_TOP; at >= HALF_TOP; at += 1ull << 39, count++)
		good += at == ZERO_PAGE ? is_zero_page() : is_closed(at);
	for (uint64_t at = KERNEL_IMAGE; at < KERNEL_IMAGE + (16u << 20); at += 32768, count++)
		good += is_closed(at);
	tap_ok(good == count, "%u addresses of the kernel, of nobody and around the ends: neither read nor written",
	       count);
	tap_ok(try_load((uintptr_t)&mine) == 7, "its own memory is read by the same instruction");
}

/* jump INDEX */
int mode_jump(int argc, char **argv)
{
	uint64_t address = strange[argc > 2 ? number_of(argv[2]) % COUNT_OF(strange) : 0];

	__asm__ volatile("call *%0" : : "r"(address) : "memory");
	return 1;
}

static void jumps(void)
{
	unsigned good = 0;

	for (unsigned i = 0; i < COUNT_OF(strange); i++) {
		struct capos_spawn spawn;
		struct process_end end;
		capos_handle process = 0;
		char args[16];

		fmt_buf(args, sizeof(args), "jump %u", i);
		mode_init(&spawn, args);
		insist(spawn_start(&spawn, &process, NULL));
		end = child_end(process);
		good += end.cause == CAPOS_EXIT_FAULT;
	}
	tap_ok(good == COUNT_OF(strange), "%u jumps there end their process", good);
}

static bool refused(const char *what, uint64_t address, struct capos_result r)
{
	bool good = r.status == CAPOS_STATUS_BAD_ADDRESS || r.status == CAPOS_STATUS_BAD_ARGUMENT ||
		    r.status == CAPOS_STATUS_BAD_SIZE || (r.status == CAPOS_STATUS_OK && r.iresult != 0);

	if (!good)
		tap_note("%s 0x%lx: %s, result %u", what, (unsigned long)address, status_name(r.status), r.iresult);
	return good;
}

static struct capos_result log_by_ring(uint64_t address)
{
	struct capos_sqe entry = ring_entry(1, known.console, CAPOS_METHOD_WORD(console, write, CAPOS_CALL_MESSAGE),
					    CAPOS_NEVER, 0, 0, address, 16);
	struct capos_cqe completion = { 0 };

	if (!ring_submit(&entry) || !result_ok(ring_wait(&completion, CAPOS_NEVER)))
		return (struct capos_result){ 0 };
	return result_of(completion.result);
}

static void arguments(void)
{
	struct usage before = usage_now();
	capos_handle memory = 0;
	bool good = true;

	insist(factory_memory(known.factory, PAGE, 0, &memory));
	for (unsigned i = 0; i < COUNT_OF(strange); i++) {
		uint64_t at = strange[i], page = at & ~(PAGE - 1), out = 0;
		uint32_t *word = (uint32_t *)(uintptr_t)(at & ~3ull);
		capos_handle thread = 0;

		good = refused("read", at, memory_object_read(memory, 0, (void *)(uintptr_t)at, 64)) && good;
		good = refused("write", at, memory_object_write(memory, 0, (void *)(uintptr_t)at, 64)) && good;
		good = refused("park", at, park_space_wait(known.park, word, 0, 1, 0)) && good;
		good = refused("unmap", at, address_space_unmap(known.space, page, PAGE)) && good;
		good = refused("protect", at, address_space_protect(known.space, page, PAGE, 0)) && good;
		good = refused("ring message", at, log_by_ring(at)) && good;
		if (page >= USER_TOP || (page != 0 && page < 4096))
			good = refused("map", at,
				       address_space_map(known.space, memory, 0, page, PAGE, CAPOS_MAP_WRITE,
							 &out)) &&
			       good;
		if (at > USER_TOP + 8)
			good = refused("thread", at,
				       thread_spawner_create(known.threads, at, at & ~7ull, 0, CAPOS_CPU_ANY, 0, 0,
							     &thread, NULL, NULL)) &&
			       good;
	}
	destroy(memory);
	tap_ok(good, "the same addresses as arguments: refused by each method that takes one");
	tap_unchanged(before, "and nothing changed");
}

void test_addresses(void)
{
	guard_begin();
	touches();
	guard_end();
	jumps();
	arguments();
}

/* --- instructions ---------------------------------------------------------------------------------------------------- */

static uint64_t spill[4];

#define INSTRUCTIONS(X)                                                                                              \
	X("cli", "cli")                                                                                              \
	X("sti", "sti")                                                                                              \
	X("hlt", "hlt")                                                                                              \
	X("clts", "clts")                                                                                            \
	X("in", "inb $0x60, %%al")                                                                                   \
	X("in dx", "inl %%dx, %%eax")                                                                                \
	X("out", "outb %%al, $0x64")                                                                                 \
	X("rdmsr", "rdmsr")                                                                                          \
	X("wrmsr", "wrmsr")                                                                                          \
	X("rdpmc", "rdpmc")                                                                                          \
	X("read cr0", "movq %%cr0, %%rax")                                                                           \
	X("read cr2", "movq %%cr2, %%rax")                                                                           \
	X("read cr3", "movq %%cr3, %%rax")                                                                           \
	X("read cr4", "movq %%cr4, %%rax")                                                                           \
	X("read cr8", "movq %%cr8, %%rax")                                                                           \
	X("write cr0", "movq %%rax, %%cr0")                                                                          \
	X("write cr3", "movq %%rax, %%cr3")                                                                          \
	X("write cr4", "movq %%rax, %%cr4")                                                                          \
	X("write dr7", "movq %%rax, %%dr7")                                                                          \
	X("read dr7", "movq %%dr7, %%rax")                                                                           \
	X("lgdt", "lgdt (%0)")                                                                                       \
	X("lidt", "lidt (%0)")                                                                                       \
	X("lldt", "lldt %%ax")                                                                                       \
	X("ltr", "ltr %%ax")                                                                                         \
	X("lmsw", "lmsw %%ax")                                                                                       \
	X("invlpg", "invlpg (%0)")                                                                                   \
	X("invd", "invd")                                                                                            \
	X("wbinvd", "wbinvd")                                                                                        \
	X("swapgs", "swapgs")                                                                                        \
	X("sysret", "sysretq")                                                                                       \
	X("int 0x20", "int $0x20")                                                                                   \
	X("int 0x80", "int $0x80")                                                                                   \
	X("int 14", "int $14")                                                                                       \
	X("int 2", "int $2")                                                                                         \
	X("xgetbv", "xgetbv")                                                                                        \
	X("xsetbv", "xsetbv")                                                                                        \
	X("wrgsbase", "wrgsbase %%rax")                                                                              \
	X("rdgsbase", "rdgsbase %%rax")                                                                              \
	X("ss of the kernel", "movw $0x10, %%ax\n\tmovw %%ax, %%ss")                                                 \
	X("sgdt", "sgdt (%0)")                                                                                       \
	X("sidt", "sidt (%0)")                                                                                       \
	X("sldt", "sldt (%0)")                                                                                       \
	X("str", "str (%0)")                                                                                         \
	X("smsw", "smsw (%0)")

static bool has_umip(void)
{
	uint32_t a = 7, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return c >> 2 & 1;
}

void test_instructions(void)
{
	unsigned count = 0, good = 0;
	uint64_t flags = 0, was = 0;

	if (!has_umip()) {
		tap_skip("this CPU has no UMIP");
		return;
	}
	guard_begin();
#define X(name, text)                                                                                                \
	{                                                                                                            \
		uint64_t before = guard.faults, rax = 0, rdx = 0x60;                                                 \
                                                                                                                     \
		__asm__ volatile(text : : "r"(spill), "a"(rax), "d"(rdx), "c"(0) : "rbx", "memory");                 \
		if (guard.faults != before + 1 || spill[0] || spill[1])                                              \
			tap_note("%s: %lu faults", name, (unsigned long)(guard.faults - before));                    \
		else                                                                                                 \
			good++;                                                                                      \
		count++;                                                                                             \
	}
	INSTRUCTIONS(X)
#undef X
	guard_end();
	tap_ok(good == count,
	       "%u privileged instructions, ports, registers, tables: each is a fault and does nothing", count);
	/* Neither I/O privilege nor the interrupt flag. */
	__asm__ volatile("pushfq\n\tpopq %0\n\tpushq %0\n\torq $0x3000, (%%rsp)\n\tandq $~0x200, (%%rsp)\n\tpopfq\n\t"
			 "pushfq\n\tpopq %1"
			 : "=&r"(was), "=&r"(flags)
			 :
			 : "cc", "memory");
	tap_ok((flags & 0x3200) == 0x200 && (was & 0x3200) == 0x200, "popf changes neither I/O privilege nor the "
								     "interrupt flag");
}
