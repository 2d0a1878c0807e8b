/* SPDX-License-Identifier: MIT */
/*
 * Local APIC, by memory (xAPIC) or by MSRs (x2APIC, when the firmware left it on or ids need it), its timer as this
 * CPU's one-shot, and the I/O APICs.
 */
#include "mach_priv.h"

#define REG_ID 0x20u
#define REG_TPR 0x80u
#define REG_SVR 0xf0u
#define REG_ESR 0x280u
#define REG_ICR 0x300u
#define REG_ICR_HIGH 0x310u
#define REG_LVT_TIMER 0x320u
#define REG_LVT_PERF 0x340u
#define REG_LVT_LINT0 0x350u
#define REG_LVT_LINT1 0x360u
#define REG_LVT_ERROR 0x370u
#define REG_TIMER_COUNT 0x380u
#define REG_TIMER_LEFT 0x390u
#define REG_TIMER_DIVIDE 0x3e0u

#define LVT_MASKED 0x10000u
#define LVT_NMI 0x400u
#define LVT_TSC_DEADLINE 0x40000u
#define ICR_PENDING 0x1000u
#define ICR_FIXED 0x4000u
#define ICR_ALL_OTHERS 0xc0000u
#define BASE_X2APIC 0x400ull
#define BASE_ENABLE 0x800ull

/* (c) after apic_init */
struct mach_apic mach_apic;
static bool tsc_deadline;

static u32 apic_read(u32 reg)
{
	return mach_apic.x2apic ? (u32)rdmsr(MSR_X2APIC + (reg >> 4)) : mach_apic.registers[reg / 4];
}

u64 apic_base(void)
{
	return rdmsr(MSR_APIC_BASE) & PTE_ADDRESS;
}

static bool firmware_x2apic(void)
{
	return (rdmsr(MSR_APIC_BASE) & BASE_X2APIC) != 0;
}

u32 apic_id_early(void)
{
	u32 leaf = cpuid_leaf(0x1f, 0).ebx != 0 ? 0x1f : 0xb;

	return firmware_x2apic() && cpuid_leaf(leaf, 0).ebx != 0 ? cpuid_leaf(leaf, 0).edx
								 : cpuid_leaf(1, 0).ebx >> 24;
}

void apic_init(void)
{
	bool capable = (cpuid_leaf(1, 0).ecx & 1u << 21) != 0;

	mach_apic.x2apic = firmware_x2apic();
	for (u32 i = 0; i < acpi.cpu_count; i++)
		mach_apic.x2apic |= capable && mach_cpus[i].apic_id >= 0xff;
	tsc_deadline = tsc_has_deadline();
	mach_apic.registers = phys_to_virt((struct paddr){ apic_base() });
}

void apic_enable(void)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | BASE_ENABLE | (mach_apic.x2apic ? BASE_X2APIC : 0));
	apic_write(REG_TPR, 0);
	apic_write(REG_LVT_LINT0, LVT_MASKED);
	apic_write(REG_LVT_LINT1, LVT_NMI);
	apic_write(REG_LVT_ERROR, LVT_MASKED);
	apic_write(REG_LVT_PERF, LVT_MASKED);
	apic_write(REG_TIMER_DIVIDE, 0xb); /* by 1 */
	apic_write(REG_TIMER_COUNT, 0);
	apic_write(REG_LVT_TIMER, VECTOR_TIMER | (tsc_deadline ? LVT_TSC_DEADLINE : 0));
	apic_write(REG_ESR, 0);
	apic_write(REG_SVR, 0x100 | VECTOR_SPURIOUS);
	/* The mode of the timer is in effect before its first deadline is written. */
	__asm__ volatile("mfence" ::: "memory");
}

u32 apic_id(void)
{
	return mach_apic.x2apic ? apic_read(REG_ID) : apic_read(REG_ID) >> 24;
}

static void icr_wait(void)
{
	for (u32 i = 0; i < 100000 && (apic_read(REG_ICR) & ICR_PENDING) != 0; i++)
		mach_relax();
}

void apic_ipi(u32 id, u32 command)
{
	/* x2APIC writes are not ordered after earlier stores by themselves. */
	__asm__ volatile("mfence" ::: "memory");
	if (mach_apic.x2apic) {
		wrmsr(MSR_X2APIC + (REG_ICR >> 4), (u64)id << 32 | command);
		return;
	}
	icr_wait();
	apic_write(REG_ICR_HIGH, id << 24);
	apic_write(REG_ICR, command);
}

void apic_ipi_others(u32 command)
{
	__asm__ volatile("mfence" ::: "memory");
	if (!mach_apic.x2apic)
		icr_wait();
	if (mach_apic.x2apic)
		wrmsr(MSR_X2APIC + (REG_ICR >> 4), command | ICR_ALL_OTHERS);
	else
		apic_write(REG_ICR, command | ICR_ALL_OTHERS);
}

void mach_ipi_send(struct cpu *cpu)
{
	apic_ipi(((struct mach_cpu *)cpu)->apic_id, ICR_FIXED | VECTOR_IPI);
}

void apic_timer_set(u32 count)
{
	apic_write(REG_TIMER_COUNT, count);
}

u32 apic_timer_span(void)
{
	return apic_read(REG_TIMER_COUNT);
}

u32 apic_timer_left(void)
{
	return apic_read(REG_TIMER_LEFT);
}

/* --- I/O APIC ------------------------------------------------------------------------------------------------------ */

static volatile u32 *ioapic_window(u32 index)
{
	return phys_to_virt((struct paddr){ acpi.ioapics[index].base });
}

static u32 ioapic_read(u32 index, u32 reg)
{
	ioapic_window(index)[0] = reg;
	return ioapic_window(index)[4];
}

static void ioapic_write(u32 index, u32 reg, u32 value)
{
	ioapic_window(index)[0] = reg;
	ioapic_window(index)[4] = value;
}

static u32 ioapic_pins(u32 index)
{
	return (ioapic_read(index, 1) >> 16 & 0xff) + 1;
}

/* Everything masked; the old interrupt controllers too, with their vectors out of the exceptions' way. */
void ioapic_init(void)
{
	static const u8 words[][2] = {
		{ 0x20, 0x11 }, { 0xa0, 0x11 }, { 0x21, 0x20 }, { 0xa1, 0x28 }, { 0x21, 4 },
		{ 0xa1, 2 },	{ 0x21, 1 },	{ 0xa1, 1 },	{ 0x21, 0xff }, { 0xa1, 0xff }
	};

	for (u32 i = 0; i < ARRAY_COUNT(words); i++)
		outb(words[i][0], words[i][1]);
	for (u32 i = 0; i < acpi.ioapic_count; i++) {
		for (u32 pin = 0; pin < ioapic_pins(i); pin++)
			ioapic_write(i, 0x10 + 2 * pin, LVT_MASKED);
	}
}

void ioapic_route(u32 gsi, u16 flags, u32 vector, u32 id)
{
	u32 low = vector | ((flags & 3) == 3 ? 1u << 13 : 0) | ((flags >> 2 & 3) == 3 ? 1u << 15 : 0);

	for (u32 i = 0; i < acpi.ioapic_count; i++) {
		u32 pin = gsi - acpi.ioapics[i].gsi;

		if (gsi < acpi.ioapics[i].gsi || pin >= ioapic_pins(i))
			continue;
		ioapic_write(i, 0x11 + 2 * pin, id << 24);
		ioapic_write(i, 0x10 + 2 * pin, low);
		return;
	}
}
