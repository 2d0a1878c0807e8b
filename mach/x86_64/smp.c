/* SPDX-License-Identifier: MIT */
/*
 * The other CPUs: INIT to all at once before the first, then a STARTUP for each in turn. A started CPU takes its
 * record out of the trampoline page by an exchange, so that a late one finds nothing and halts instead of taking the
 * stack of another; it also has to be the one that was meant.
 */
#include "mach_priv.h"

#include <string.h>

#define INIT_NS 10000000ull
#define FIRST_STARTUP_NS 2000000ull
#define STARTUP_NS 3000000000ull

extern const u8 trampoline_start[], trampoline_end[], trampoline_gdt[], trampoline_gdtr[], trampoline_jump[];
extern const u8 trampoline_long[], trampoline_root[], trampoline_cpu[];

static u64 page;	     /* (c) after smp_init; 0 = no memory for the trampoline */
static bool others_reset;    /* boot CPU only */
static ATOMIC(u8) * running; /* (a) by id: has entered the kernel */
static ATOMIC(u32) arrived;  /* id of the CPU that came last */

static void *in_page(const u8 *symbol)
{
	return (u8 *)phys_to_virt((struct paddr){ page }) + (symbol - trampoline_start);
}

static void patch(const u8 *symbol, u32 offset, u64 value, u32 bytes)
{
	memcpy((u8 *)in_page(symbol) + offset, &value, bytes);
}

void smp_init(u64 trampoline)
{
	running = phys_to_virt(boot_alloc(acpi.cpu_count));
	page = trampoline;
	if (page == 0)
		return;
	memcpy(in_page(trampoline_start), trampoline_start, (size_t)(trampoline_end - trampoline_start));
	patch(trampoline_gdtr, 2, page + (u64)(trampoline_gdt - trampoline_start), 4);
	patch(trampoline_jump, 0, page + (u64)(trampoline_long - trampoline_start), 4);
	patch(trampoline_root, 0, paging_ap_root.pa, 4);
}

void smp_nmi_others(void)
{
	if (running == NULL || mach_this_cpu() == NULL)
		return;
	for (u32 id = 0; id < acpi.cpu_count; id++) {
		/* Pairs with the release in smp_enter. */
		if (id != mach_this_cpu()->id && atomic_load_acquire(&running[id]) != 0)
			apic_ipi(mach_cpus[id].apic_id, APIC_NMI);
	}
}

static bool wait_arrived(u32 id, u64 ns)
{
	u64 end = mach_clock().ns + ns;

	/* Pairs with the release in smp_enter. */
	while (atomic_load_acquire(&arrived) != id) {
		if (mach_clock().ns >= end)
			return false;
		mach_relax();
	}
	return true;
}

static void wait_ns(u64 ns)
{
	u64 end = mach_clock().ns + ns;

	while (mach_clock().ns < end)
		mach_relax();
}

bool mach_cpu_start(struct cpu *cpu)
{
	struct mach_cpu *m = (struct mach_cpu *)cpu;
	u32 startup = APIC_STARTUP | (u32)(page >> PAGE_SHIFT);
	u64 nobody = 0;

	if (page == 0)
		return false;
	/* The boot CPU can be stopped by the others from here on. */
	atomic_store_release(&running[0], (u8)1);
	if (!others_reset) {
		apic_ipi_others(APIC_INIT);
		wait_ns(INIT_NS);
		others_reset = true;
	}
	__atomic_store_n((u64 *)in_page(trampoline_cpu), (u64)m, __ATOMIC_SEQ_CST);
	apic_ipi(m->apic_id, startup);
	if (wait_arrived(cpu->id, FIRST_STARTUP_NS))
		return true;
	apic_ipi(m->apic_id, startup);
	if (wait_arrived(cpu->id, STARTUP_NS))
		return true;
	/* Too late unless it has just taken its record. */
	nobody = __atomic_exchange_n((u64 *)in_page(trampoline_cpu), 0, __ATOMIC_SEQ_CST);
	return nobody == 0 && wait_arrived(cpu->id, STARTUP_NS);
}

struct thread *smp_enter(struct cpu *cpu)
{
	struct mach_cpu *m = (struct mach_cpu *)cpu;

	cpu_activate(m);
	while (apic_id() != m->apic_id)
		__asm__ volatile("cli\n\thlt");
	/* Pairs with the acquire in wait_arrived. */
	atomic_store_release(&running[cpu->id], (u8)1);
	atomic_store_release(&arrived, cpu->id);
	return kernel_cpu_boot(cpu);
}
