/* SPDX-License-Identifier: MIT */
/*
 * Per-CPU state: stacks with guard pages, descriptor tables, GS, protection features.
 *
 * A CPU's slot of the stack window, in pages (everything else is unmapped):
 *
 *   1 ........ 8 | 9 | 10 11 | 12 | 13 .. 16 | 17 | 18 .. 21 | 22 | 23
 *   kernel stack     NMI            #DF              #MC             #DB
 */
#include "mach_priv.h"

#define STACK_PAGES 8u

static const struct {
	u8 vector;
	u8 slot_page;
	u8 pages;
} ist_stacks[] = { { 2, 10, 2 }, { 8, 13, 4 }, { 18, 18, 4 }, { 1, 23, 1 } };

#define IST_PAGES 11u

struct gate {
	u16 offset_low;
	u16 selector;
	u8 ist;
	u8 type;
	u16 offset_middle;
	u32 offset_high;
	u32 reserved;
};

struct table_pointer {
	u16 limit;
	u64 base;
} __attribute__((packed));

static struct gate idt[256] __attribute__((aligned(16))); /* written by the boot CPU before the others run */
static struct mach_cpu no_cpu;				  /* self stays NULL: mach_this_cpu() before mach_cpu_init */

static const u64 boot_fs[8]; /* what libfdt's stack protector reads during kernel_boot */

static void idt_load(void)
{
	struct table_pointer p = { sizeof(idt) - 1, (u64)idt };

	__asm__ volatile("lidt %0" ::"m"(p));
}

static void gdt_fill(struct mach_cpu *m)
{
	u64 tss = (u64)&m->tss;
	u64 limit = sizeof(m->tss) - 1;

	m->gdt[SEL_KERNEL_CODE / 8] = 0x00af9b000000ffff;
	m->gdt[SEL_KERNEL_DATA / 8] = 0x00cf93000000ffff;
	m->gdt[SEL_USER_DATA / 8] = 0x00cff3000000ffff;
	m->gdt[SEL_USER_CODE / 8] = 0x00affb000000ffff;
	m->gdt[SEL_TSS / 8] = limit | (tss & 0xffffff) << 16 | 0x89ull << 40 | (tss >> 24 & 0xff) << 56;
	m->gdt[SEL_TSS / 8 + 1] = tss >> 32;
}

static void segments_load(struct mach_cpu *m)
{
	struct table_pointer p = { sizeof(m->gdt) - 1, (u64)m->gdt };

	__asm__ volatile("lgdt %0\n\t"
			 "pushq %1\n\t"
			 "leaq 1f(%%rip), %%rax\n\t"
			 "pushq %%rax\n\t"
			 "lretq\n"
			 "1:\tmovl %2, %%ss\n\t"
			 "movl %3, %%ds\n\t"
			 "movl %3, %%es\n\t"
			 "movl %3, %%fs\n\t"
			 "movl %3, %%gs\n\t"
			 "ltr %w4" ::"m"(p),
			 "i"(SEL_KERNEL_CODE), "r"(SEL_KERNEL_DATA), "r"(0), "r"(SEL_TSS)
			 : "rax", "memory");
}

void cpu_early_init(void)
{
	for (u32 i = 0; i < ARRAY_COUNT(idt); i++) {
		u64 stub = (u64)trap_stubs + i * 16;

		idt[i] = (struct gate){ .offset_low = (u16)stub,
					.selector = SEL_KERNEL_CODE,
					.type = i == 3 ? 0xee : 0x8e, /* int3 is for everyone */
					.offset_middle = (u16)(stub >> 16),
					.offset_high = (u32)(stub >> 32) };
	}
	gdt_fill(&no_cpu);
	segments_load(&no_cpu);
	idt_load();
	wrmsr(MSR_GS_BASE, (u64)&no_cpu);
	wrmsr(MSR_FS_BASE, (u64)boot_fs);
}

struct clock *cpu_clock(void)
{
	struct mach_cpu *m = (struct mach_cpu *)mach_this_cpu();

	return m != NULL ? &m->clock : &no_cpu.clock;
}

void cpu_init_clock(struct clock clock)
{
	no_cpu.clock = clock;
}

size_t mach_cpu_bytes(void)
{
	return (1 + STACK_PAGES + IST_PAGES) * PAGE_BYTES;
}

void mach_cpu_init(struct cpu *cpu, void *memory)
{
	struct mach_cpu *m = (struct mach_cpu *)cpu;
	u32 memory_page = 1 + STACK_PAGES;

	m->self = cpu;
	m->apic_id = mach_cpus[cpu->id].apic_id;
	m->clock = no_cpu.clock;
	m->stack_low = paging_map_stack(cpu->id, memory, 1, 1, STACK_PAGES);
	m->stack_top = m->stack_low + STACK_PAGES * PAGE_BYTES;
	m->tss.rsp0_low = (u32)m->stack_top;
	m->tss.rsp0_high = (u32)(m->stack_top >> 32);
	m->tss.iomap = sizeof(m->tss);
	for (u32 i = 0; i < ARRAY_COUNT(ist_stacks); i++) {
		u32 pages = ist_stacks[i].pages;
		u64 top = paging_map_stack(cpu->id, memory, ist_stacks[i].slot_page, memory_page, pages) +
			  pages * PAGE_BYTES;

		m->tss.ist[2 * i] = (u32)top;
		m->tss.ist[2 * i + 1] = (u32)(top >> 32);
		memory_page += pages;
	}
	gdt_fill(m);
	if (cpu->id != 0)
		return;
	for (u32 i = 0; i < ARRAY_COUNT(ist_stacks); i++)
		idt[ist_stacks[i].vector].ist = (u8)(i + 1);
	cpu_activate(m);
}

struct cpuid cpuid_leaf(u32 leaf, u32 subleaf)
{
	struct cpuid c = { 0, 0, 0, 0 };
	u32 highest, unused_b, unused_c, unused_d;

	__asm__ volatile("cpuid"
			 : "=a"(highest), "=b"(unused_b), "=c"(unused_c), "=d"(unused_d)
			 : "a"(leaf & 0x80000000u), "c"(0));
	if (leaf <= highest)
		__asm__ volatile("cpuid"
				 : "=a"(c.eax), "=b"(c.ebx), "=c"(c.ecx), "=d"(c.edx)
				 : "a"(leaf), "c"(subleaf));
	return c;
}

static void features_enable(void)
{
	u64 cr4 = CR4_BASE;
	struct cpuid c = cpuid_leaf(7, 0);

	if ((c.ebx & 1u << 7) != 0)
		cr4 |= CR4_SMEP;
	if ((c.ebx & 1u << 20) != 0)
		cr4 |= CR4_SMAP;
	if ((c.ecx & 1u << 2) != 0)
		cr4 |= CR4_UMIP;
	write_cr4(cr4);
	__asm__ volatile("clts\n\tfninit");
	write_cr0(CR0_KERNEL);
}

void cpu_activate(struct mach_cpu *m)
{
	segments_load(m);
	idt_load();
	wrmsr(MSR_GS_BASE, (u64)m);
	wrmsr(MSR_KERNEL_GS_BASE, 0);
	wrmsr(MSR_FS_BASE, m->self->id == 0 ? (u64)boot_fs : USER_FS_PAGE);
	wrmsr(MSR_STAR, (u64)SEL_KERNEL_CODE << 32 | (u64)(SEL_KERNEL_DATA | 3) << 48);
	wrmsr(MSR_LSTAR, (u64)syscall_entry);
	wrmsr(MSR_CSTAR, 0);	    /* no 32-bit code segment exists */
	wrmsr(MSR_SFMASK, 0x47700); /* AC, NT, IOPL, DF, IF, TF */
	features_enable();
	write_cr3(mach_kernel_root);
	apic_enable();
}

void cpu_boot_done(void)
{
	wrmsr(MSR_FS_BASE, USER_FS_PAGE);
}

u32 mach_idle_wait(struct cpu *cpu)
{
	struct mach_cpu *m = (struct mach_cpu *)cpu;
	u32 bits;

	/* STI takes effect after HLT has begun: an interrupt in between ends the HLT. */
	__asm__ volatile("sti\n\thlt\n\tcli" ::: "memory");
	bits = m->irq_bits;
	m->irq_bits = 0;
	return bits;
}

u32 mach_irq_window(struct cpu *cpu)
{
	struct mach_cpu *m = (struct mach_cpu *)cpu;
	u32 bits;

	__asm__ volatile("sti\n\tnop\n\tcli" ::: "memory");
	bits = m->irq_bits;
	m->irq_bits = 0;
	return bits;
}

bool mach_entropy(u64 *out)
{
	static u8 state; /* 0 not asked, 1 absent, 2 present: every CPU comes to the same answer */
	bool ok = false;

	if (state == 0)
		state = (cpuid_leaf(1, 0).ecx & 1u << 30) != 0 ? 2 : 1;
	for (u32 i = 0; state == 2 && !ok && i < 100; i++)
		__asm__ volatile("rdrand %0" : "=r"(*out), "=@ccc"(ok));
	return ok;
}
