/* SPDX-License-Identifier: MIT */
/*
 * What a panic needs of the machine: the others stopped, registers, the call stack, names of addresses.
 * Everything here works in any state, also before mach_cpu_init.
 */
#include "mach_priv.h"

/* Made by the second pass of the build (BUILDING.md); absent in the first. Offsets ascend. */
extern const u32 ksym_count __attribute__((weak));
extern const u32 ksym_offsets[] __attribute__((weak));
extern const u32 ksym_names[] __attribute__((weak));
extern const char ksym_strings[] __attribute__((weak));

static struct mach_cpu *this_machine(void)
{
	return (struct mach_cpu *)rdmsr(MSR_GS_BASE);
}

void mach_stop_others(void)
{
	trap_stop_on_nmi();
	smp_nmi_others();
}

/* End of the stack that holds `address`: this CPU's or the boot stack; 0 = neither. */
static u64 stack_end(u64 address)
{
	const struct mach_cpu *m = this_machine();
	u64 boot_low = (u64)boot_stack_guard + PAGE_BYTES;

	if (address % 8 != 0)
		return 0;
	if (address >= m->stack_low && address < m->stack_top)
		return m->stack_top;
	return address >= boot_low && address < boot_low + BOOT_STACK_BYTES ? boot_low + BOOT_STACK_BYTES : 0;
}

static bool in_text(u64 pc)
{
	return pc >= (u64)kernel_text_start + 8 && pc < (u64)kernel_text_end;
}

/* Along frame pointers; *whole when they lead to the entry, which starts with a zero one. */
static size_t walk_frames(u64 frame, u64 *pcs, size_t max, bool *whole)
{
	size_t n = 0;

	*whole = frame == 0;
	while (n < max && stack_end(frame) >= frame + 16) {
		const u64 *words = (const u64 *)frame;

		if (!in_text(words[1]))
			break;
		pcs[n++] = words[1];
		*whole = words[0] == 0;
		if (words[0] <= frame)
			break;
		frame = words[0];
	}
	return n;
}

/* Without frame pointers: every word that points behind a call instruction. Some may be left-overs. `pcs` may itself lie on
 * the stack that is looked at: what was found is not found again there. */
static size_t scan_stack(u64 address, u64 *pcs, size_t max)
{
	u64 end = stack_end(address);
	size_t n = 0;

	/* An overflow: begin where the stack does. */
	for (u32 i = 0; i < 2 * PAGE_BYTES / 8 && end == 0; i++) {
		address = ALIGN_DOWN(address, 8ull) + 8;
		end = stack_end(address);
	}
	for (; n < max && address < end; address += 8) {
		bool own = address >= (u64)pcs && address < (u64)(pcs + max);
		u64 pc = own ? 0 : *(const u64 *)address;
		const u8 *code = (const u8 *)pc;

		if (in_text(pc) && (code[-5] == 0xe8 || (code[-2] == 0xff && (code[-1] & 0x38) == 0x10) ||
				    (code[-3] == 0xff && (code[-2] & 0x38) == 0x10) ||
				    (code[-6] == 0xff && (code[-5] & 0x38) == 0x10)))
			pcs[n++] = pc;
	}
	return n;
}

size_t mach_backtrace(u64 *pcs, size_t max)
{
	const struct trap_regs *regs = this_machine()->trap;
	u64 frame = (u64)__builtin_frame_address(0);
	bool whole;
	size_t first = 0, n;

	if (regs != NULL && max > 0)
		pcs[first++] = regs->rip;
	n = walk_frames(regs != NULL ? regs->rbp : frame, pcs + first, max - first, &whole);
	if (!whole)
		n = scan_stack(regs != NULL ? regs->rsp : frame, pcs + first, max - first);
	return first + n;
}

static void say_register(const char *name, u64 value, bool last)
{
	say(name);
	say_hex(value);
	say(last ? "\n" : "  ");
}

void mach_panic_registers(void)
{
	const struct trap_regs *r = this_machine()->trap;

	if (r == NULL) {
		u64 rsp, rflags;

		__asm__ volatile("movq %%rsp, %0; pushfq; popq %1" : "=r"(rsp), "=r"(rflags));
		say_register("rsp ", rsp, false), say_register("rbp ", (u64)__builtin_frame_address(0), false),
			say_register("fl  ", rflags, true);
	} else {
		say_register("rip ", r->rip, false), say_register("rsp ", r->rsp, false),
			say_register("fl  ", r->rflags, true);
		say_register("rax ", r->rax, false), say_register("rbx ", r->rbx, false),
			say_register("rcx ", r->rcx, true);
		say_register("rdx ", r->rdx, false), say_register("rsi ", r->rsi, false),
			say_register("rdi ", r->rdi, true);
		say_register("rbp ", r->rbp, false), say_register("r8  ", r->r8, false),
			say_register("r9  ", r->r9, true);
		say_register("r10 ", r->r10, false), say_register("r11 ", r->r11, false),
			say_register("r12 ", r->r12, true);
		say_register("r13 ", r->r13, false), say_register("r14 ", r->r14, false),
			say_register("r15 ", r->r15, true);
		say_register("vec ", r->vector, false), say_register("err ", r->error, false),
			say_register("cs  ", r->cs, true);
	}
	say_register("cr0 ", read_cr0(), false), say_register("cr2 ", read_cr2(), false),
		say_register("cr3 ", read_cr3(), true);
	say_register("cr4 ", read_cr4(), false), say_register("gs  ", rdmsr(MSR_GS_BASE), true);
}

const char *mach_symbol(u64 pc, u64 *offset)
{
	u64 where = pc - (u64)kernel_image_base;
	u32 low = 0, high;

	if (&ksym_count == NULL || pc < (u64)kernel_text_start || pc >= (u64)kernel_text_end)
		return NULL;
	high = ksym_count;
	/* Offsets below low are at or below `where`, those from high on above. */
	while (low < high) {
		u32 middle = low + (high - low) / 2;

		if (ksym_offsets[middle] <= where)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return NULL;
	*offset = where - ksym_offsets[low - 1];
	return &ksym_strings[ksym_names[low - 1]];
}
