/* SPDX-License-Identifier: MIT */
/*
 * What the files of this machine share. Nothing here is seen by the portable core.
 */
#ifndef MACH_PRIV_H
#define MACH_PRIV_H

#include <mach/mach.h>

#include <kernel/cpu.h>

#include "topology.h"

/* --- instructions -------------------------------------------------------------------------------------------------- */

#define MSR_APIC_BASE 0x1bu
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_X2APIC 0x800u
#define MSR_STAR 0xc0000081u
#define MSR_LSTAR 0xc0000082u
#define MSR_CSTAR 0xc0000083u
#define MSR_SFMASK 0xc0000084u
#define MSR_FS_BASE 0xc0000100u
#define MSR_GS_BASE 0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u

#define CR0_TS 0x8ull
#define CR0_KERNEL 0x8005003bull /* PG, AM, WP, NE, ET, TS, MP, PE */
#define CR4_BASE 0x6a0ull	 /* OSXMMEXCPT, OSFXSR, PGE, PAE */
#define CR4_UMIP (1ull << 11)
#define CR4_SMEP (1ull << 20)
#define CR4_SMAP (1ull << 21)

static inline u64 rdmsr(u32 msr)
{
	u32 low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (u64)high << 32 | low;
}

static inline void wrmsr(u32 msr, u64 value)
{
	__asm__ volatile("wrmsr" ::"c"(msr), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
}

static inline u8 inb(u16 port)
{
	u8 value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline u32 inl(u16 port)
{
	u32 value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline void outb(u16 port, u8 value)
{
	__asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port) : "memory");
}

static inline void outw(u16 port, u16 value)
{
	__asm__ volatile("outw %0, %1" ::"a"(value), "Nd"(port) : "memory");
}

static inline void outl(u16 port, u32 value)
{
	__asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port) : "memory");
}

static inline u64 read_cr0(void)
{
	u64 value;

	__asm__ volatile("movq %%cr0, %0" : "=r"(value));
	return value;
}

static inline u64 read_cr2(void)
{
	u64 value;

	__asm__ volatile("movq %%cr2, %0" : "=r"(value));
	return value;
}

static inline u64 read_cr3(void)
{
	u64 value;

	__asm__ volatile("movq %%cr3, %0" : "=r"(value));
	return value;
}

static inline u64 read_cr4(void)
{
	u64 value;

	__asm__ volatile("movq %%cr4, %0" : "=r"(value));
	return value;
}

static inline void write_cr0(u64 value)
{
	__asm__ volatile("movq %0, %%cr0" ::"r"(value) : "memory");
}

static inline void write_cr3(u64 value)
{
	__asm__ volatile("movq %0, %%cr3" ::"r"(value) : "memory");
}

static inline void write_cr4(u64 value)
{
	__asm__ volatile("movq %0, %%cr4" ::"r"(value) : "memory");
}

/* --- what the loader gave (bootinfo.c) ----------------------------------------------------------------------------- */

#define LOADER_RANGES_MAX 512u
#define LOADER_CMDLINE_MAX 2048u
#define EARLY_MAP_BYTES (4ull << 30) /* of physical memory, until paging_init */

#define DIRECT_MAP_BYTES (1ull << 46) /* RAM beyond is not used */

struct loader_range {
	u64 start; /* usable: shrunk to pages; others: grown to pages */
	u64 end;
	enum mem_kind kind;
};

/* Copied out of the loader's memory; (c) after loader_read. */
struct loader {
	struct loader_range ranges[LOADER_RANGES_MAX];
	u32 range_count;
	char cmdline[LOADER_CMDLINE_MAX];
	const char *machine;
	struct paddr archive;
	u64 archive_bytes;
	u8 rsdp[36]; /* root pointer of ACPI; rsdp_bytes of it */
	u32 rsdp_bytes;
};

/* False when magic and pointer are of no known boot protocol. */
bool loader_read(struct loader *loader, u32 magic, u32 info);
/* Physical memory in the early map; NULL when [pa, pa + bytes) is not wholly in it. */
const void *early_at(u64 pa, u64 bytes);

/* --- memory map and boot allocator (memmap.c) ---------------------------------------------------------------------- */

void memmap_init(struct loader *loader);
/* Zeroed pages that last for ever, below 4 GiB. Only before memmap_finish. */
struct paddr boot_alloc(u64 bytes);
/* The final map, without what boot_alloc took. */
void memmap_finish(struct loader *loader, struct boot_info *info);
/* A page of RAM below 640 KiB that the loader left free; 0 = none. */
u64 memmap_low_page(const struct loader *loader);

/* --- ACPI (acpi.c) ------------------------------------------------------------------------------------------------- */

#define IOAPICS_MAX 16u

struct acpi {
	u32 *apic_ids; /* of usable CPUs, boot CPU first, no duplicates */
	u32 cpu_count;
	struct {
		u64 base;
		u32 gsi;
	} ioapics[IOAPICS_MAX];
	u32 ioapic_count;
	u32 serial_gsi; /* of ISA interrupt 4 */
	u16 serial_flags;
	u16 pm_timer_port; /* 0 = none */
	bool pm_timer_32;
	u16 pm1_control_port; /* 0 = none */
};

extern struct acpi acpi; /* (c) after acpi_init */

/* Reads the tables through the early map. Without usable tables: one CPU. */
void acpi_init(const struct loader *loader, u32 boot_apic_id);

/* --- paging (paging.c) --------------------------------------------------------------------------------------------- */

extern struct paddr paging_ap_root; /* (c) kernel's half and the trampoline page at its own address */

/* Build the final tables and load them: the early map ends. */
void paging_init(const struct loader *loader, u64 trampoline);
/* Map per-CPU stack pages from `memory` (whose first page becomes their table) into the CPU's slot of the window,
 * after which virtual page `first` of the slot is memory page 1 + index. */
u64 paging_map_stack(u32 cpu_id, void *memory, u32 slot_page, u32 memory_page, u32 pages);

/*
 * A page of zeroes that user mode may read: FS addresses it there, because code that a distribution compiled reads its
 * stack protector's value at %fs:0x28. User mode can only make that base 0 (by loading the selector), for itself and
 * for whoever runs next on the CPU; a page fault then puts it right (trap.c), and 0x28 is never mapped.
 */
#define USER_FS_PAGE 0xffffd00000000000ull

/* --- CPUs (cpu.c, smp.c) ------------------------------------------------------------------------------------------- */

extern const struct cpu_desc *mach_cpus; /* (c) from boot_info */

/* Dummy record and a first descriptor table, so that early faults are reported. */
void cpu_early_init(void);
/* Descriptor tables, GS, system call entry, protection features, local APIC: of the CPU that runs this. */
void cpu_activate(struct mach_cpu *cpu);
/* This CPU's, also before mach_cpu_init; what all CPUs begin with. */
struct clock *cpu_clock(void);
void cpu_init_clock(struct clock clock);
/* kernel_boot is over: the boot CPU's FS becomes that of user mode. */
void cpu_boot_done(void);
/* Needs boot_alloc. */
void smp_init(u64 trampoline);
/* To CPUs that run the kernel only: in one that waits for its start an NMI would run what the firmware left. */
void smp_nmi_others(void);

/* --- local and I/O APIC (apic.c) ----------------------------------------------------------------------------------- */

/* (c) after apic_init */
struct mach_apic {
	volatile u32 *registers;
	bool x2apic;
};
extern struct mach_apic mach_apic;

static inline void apic_write(u32 reg, u32 value)
{
	if (mach_apic.x2apic)
		wrmsr(MSR_X2APIC + (reg >> 4), value);
	else
		mach_apic.registers[reg / 4] = value;
}

#define APIC_EOI 0xb0u
static inline void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

u64 apic_base(void);
/* This CPU's id, by instruction only: usable before apic_init. */
u32 apic_id_early(void);
void apic_init(void);
void apic_enable(void);
u32 apic_id(void);
void apic_ipi(u32 apic_id, u32 command);
void apic_ipi_others(u32 command);
#define APIC_INIT 0x4500u
#define APIC_STARTUP 0x4600u
#define APIC_NMI 0x4400u
/* Raw timer of this CPU, for calibration: count down from `count` (0 stops it); what is left. */
u32 apic_timer_left(void);
/* What it was set to. */
u32 apic_timer_span(void);
void ioapic_init(void);
void ioapic_route(u32 gsi, u16 flags, u32 vector, u32 apic_id);

/* --- clock (tsc.c, rtc.c) ------------------------------------------------------------------------------------------ */

/* Calibrate the clock and the one-shot; clock 0 is now. About 60 ms. */
void tsc_init(void);
u64 tsc_hz(void);
/* One rate on all CPUs, and it never stops. */
bool tsc_is_invariant(void);
/* The one-shot compares with the TSC. */
bool tsc_has_deadline(void);
/* UTC seconds since 1970; 0 = the clock is not plausible. */
u64 rtc_read(void);

/* --- serial console (serial.c) ------------------------------------------------------------------------------------- */

void serial_init(void);
/* Let interrupts come; once the I/O APIC routes them. */
void serial_enable_irq(void);
void serial_irq(void);
void serial_flush(void);
/* For messages of this machine before the core stands, and in its panics. */
void say(const char *text);
void say_hex(u64 value);

/* --- traps (trap.c, fpu.c, entry.S, insn.c) ------------------------------------------------------------------------ */

/* As trap_paranoid in entry.S pushes them. */
struct trap_regs {
	u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	u64 vector, error, rip, cs, rflags, rsp, ss;
};

extern const u8 trap_stubs[]; /* 16 bytes of code each */
void syscall_entry(void);

struct thread *trap_user(struct cpu *cpu, u64 vector, u64 error);
struct thread *trap_bad_ip(struct cpu *cpu, struct thread *thread);
void trap_kernel_irq(u64 vector);
void trap_fatal(const struct trap_regs *regs);
/* From now on every CPU that takes an NMI halts for ever. */
void trap_stop_on_nmi(void);

MUST_CHECK bool fpu_trap(struct mach_cpu *cpu, struct mach_thread *thread);
void fpu_forget(struct mach_cpu *cpu);

struct thread *boot_main(u32 magic, u32 info);
struct thread *smp_enter(struct cpu *cpu);

/* --- the image (kernel.ld) ----------------------------------------------------------------------------------------- */

extern u8 kernel_image_base[], kernel_text_start[], kernel_text_end[], kernel_rodata_end[], kernel_image_end[];
extern u8 boot_stack_guard[];

#endif
