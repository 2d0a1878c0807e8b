/* SPDX-License-Identifier: MIT */
/*
 * From the 32-bit entry to kernel_boot, on the boot CPU, in an order in which each step has what it needs: the early
 * map until paging_init, then the final one; memory by boot_alloc until memmap_finish.
 */
#include "mach_priv.h"

static struct loader loader;
static struct boot_info info; /* (c) once kernel_boot is called */
const struct cpu_desc *mach_cpus;

static void find_cpus(void)
{
	struct cpu_desc *cpus = phys_to_virt(boot_alloc(sizeof(*cpus) * acpi.cpu_count));

	topology_find(cpus, acpi.apic_ids, acpi.cpu_count);
	mach_cpus = cpus;
}

static u64 wall_clock_at_zero(void)
{
	u64 now_s = rtc_read();

	return now_s == 0 ? 0 : now_s * 1000000000ull - mach_clock().ns;
}

struct thread *boot_main(u32 magic, u32 boot_info_pa)
{
	struct thread *first;
	u64 trampoline;

	cpu_early_init();
	serial_init();
	if (!loader_read(&loader, magic, boot_info_pa)) {
		say("capOS: neither PVH (version 1) nor Multiboot2 started this kernel\n");
		mach_exit(MACH_EXIT_PANIC);
	}
	memmap_init(&loader);
	acpi_init(&loader, apic_id_early());
	find_cpus();
	trampoline = memmap_low_page(&loader);
	paging_init(&loader, trampoline);
	smp_init(trampoline);
	memmap_finish(&loader, &info);
	apic_init();
	apic_enable();
	ioapic_init();
	tsc_init();
	serial_enable_irq();

	info.archive = loader.archive;
	info.archive_bytes = loader.archive_bytes;
	info.cpus = mach_cpus;
	info.cpu_count = acpi.cpu_count;
	info.cmdline = loader.cmdline;
	info.machine = loader.machine;
	info.wall_clock_ns = wall_clock_at_zero();
	info.clock_hz = tsc_hz();
	info.clocks_agree = tsc_is_invariant();
	first = kernel_boot(&info);
	cpu_boot_done();
	return first;
}
