/* SPDX-License-Identifier: MIT */
/*
 * The kernel's page tables: direct map of RAM (2 MiB or 1 GiB pages, not executable, without the kernel image),
 * registers of the interrupt controllers (uncached, at their place in the direct map), the image by 4 KiB pages with
 * W^X, the page that user mode's FS addresses, and the window of kernel stacks: 2 MiB per CPU, in which everything that is not a stack page is a guard.
 *
 * All entries of the root's upper half are made here and never change, so that a space copies them once.
 */
#include "mach_priv.h"

#include <string.h>

#define ENTRIES 512u
#define KERNEL_DATA (PTE_PRESENT | PTE_WRITE | PTE_ACCESSED | PTE_DIRTY | PTE_GLOBAL | PTE_NX)
#define KERNEL_TABLE (PTE_PRESENT | PTE_WRITE | PTE_ACCESSED)
#define STACK_SLOT_SHIFT 21u

u64 mach_kernel_root;
struct paddr paging_ap_root;
static bool have_gib_pages;

static u64 *table_of(u64 entry)
{
	return phys_to_virt(pte_paddr(entry));
}

/* The table below an entry, made when absent; NULL when the entry is a large page. */
static u64 *descend(u64 *entry)
{
	if ((*entry & PTE_PRESENT) == 0)
		*entry = boot_alloc(PAGE_BYTES).pa | KERNEL_TABLE;
	return (*entry & PTE_LARGE) != 0 ? NULL : table_of(*entry);
}

/* Map at `va` the biggest page that fits into [pa, pa + bytes); returns its size. What is already mapped stays. */
static u64 map_one(u64 *root, u64 va, u64 pa, u64 bytes, u64 flags, bool small)
{
	u64 *table = root;

	for (u32 shift = 39; shift > PAGE_SHIFT; shift -= 9) {
		u64 *entry = &table[va >> shift & (ENTRIES - 1)];
		u64 size = 1ull << shift;
		bool fits = !small && shift <= (have_gib_pages ? 30u : 21u) && ((va | pa) & (size - 1)) == 0 &&
			    bytes >= size;

		if (fits && *entry == 0) {
			*entry = pa | flags | PTE_LARGE;
			return size;
		}
		table = descend(entry);
		if (table == NULL)
			return MIN(bytes, size - (va & (size - 1)));
	}
	if (table[va >> PAGE_SHIFT & (ENTRIES - 1)] == 0)
		table[va >> PAGE_SHIFT & (ENTRIES - 1)] = pa | flags;
	return PAGE_BYTES;
}

static void map_range(u64 *root, u64 va, u64 pa, u64 bytes, u64 flags, bool small)
{
	while (bytes > 0) {
		u64 done = map_one(root, va, pa, bytes, flags, small);

		va += done;
		pa += done;
		bytes -= done;
	}
}

/* RAM without the kernel image. */
static void map_ram(u64 *root, u64 start, u64 end)
{
	u64 image_start = 0x200000, image_end = (u64)kernel_image_end - KERNEL_BASE;

	if (start < image_end && end > image_start) {
		if (start < image_start)
			map_range(root, DIRECT_MAP_BASE + start, start, image_start - start, KERNEL_DATA, false);
		start = image_end;
	}
	if (start < end)
		map_range(root, DIRECT_MAP_BASE + start, start, end - start, KERNEL_DATA, false);
}

static void map_image(u64 *root, const u8 *start, const u8 *end, u64 flags)
{
	map_range(root, (u64)start, (u64)start - KERNEL_BASE, (u64)(end - start),
		  flags | PTE_PRESENT | PTE_ACCESSED | PTE_GLOBAL, true);
}

static void map_device(u64 *root, u64 pa)
{
	pa = ALIGN_DOWN(pa, PAGE_BYTES);
	map_range(root, DIRECT_MAP_BASE + pa, pa, PAGE_BYTES, KERNEL_DATA | PTE_UNCACHED | PTE_WRITE_THROUGH, true);
}

static void map_fs_page(u64 *root)
{
	u64 *table = root;

	map_range(root, USER_FS_PAGE, boot_alloc(PAGE_BYTES).pa, PAGE_BYTES,
		  PTE_PRESENT | PTE_USER | PTE_ACCESSED | PTE_GLOBAL | PTE_NX, true);
	for (u32 shift = 39; shift > PAGE_SHIFT; shift -= 9) {
		table[USER_FS_PAGE >> shift & (ENTRIES - 1)] |= PTE_USER;
		table = table_of(table[USER_FS_PAGE >> shift & (ENTRIES - 1)]);
	}
}

static u64 *directory_of_stack(u32 cpu_id)
{
	u64 va = STACK_WINDOW_BASE + ((u64)cpu_id << STACK_SLOT_SHIFT);
	u64 *root = phys_to_virt((struct paddr){ mach_kernel_root });

	return &table_of(
		table_of(root[va >> 39 & (ENTRIES - 1)])[va >> 30 & (ENTRIES - 1)])[va >> 21 & (ENTRIES - 1)];
}

static void prepare_stack_window(u64 *root, u32 cpu_count)
{
	u64 *pointers = descend(&root[STACK_WINDOW_BASE >> 39 & (ENTRIES - 1)]);

	for (u32 i = 0; i < cpu_count; i += ENTRIES)
		descend(&pointers[i / ENTRIES]);
}

void paging_init(const struct loader *loader, u64 trampoline)
{
	struct paddr root_pa = boot_alloc(PAGE_BYTES);
	u64 *root = phys_to_virt(root_pa);
	u64 *ap_root;

	have_gib_pages = (cpuid_leaf(0x80000001u, 0).edx & 1u << 26) != 0;
	for (u32 i = 0; i < loader->range_count; i++) {
		if (loader->ranges[i].kind != MEM_RESERVED)
			map_ram(root, loader->ranges[i].start, loader->ranges[i].end);
	}
	map_image(root, kernel_text_start, kernel_text_end, 0);
	map_image(root, kernel_text_end, kernel_rodata_end, PTE_NX);
	map_image(root, kernel_rodata_end, boot_stack_guard, PTE_NX | PTE_WRITE | PTE_DIRTY);
	map_image(root, boot_stack_guard + PAGE_BYTES, kernel_image_end, PTE_NX | PTE_WRITE | PTE_DIRTY);
	map_device(root, apic_base());
	for (u32 i = 0; i < acpi.ioapic_count; i++)
		map_device(root, acpi.ioapics[i].base);
	map_fs_page(root);
	prepare_stack_window(root, acpi.cpu_count);

	paging_ap_root = boot_alloc(PAGE_BYTES);
	ap_root = phys_to_virt(paging_ap_root);
	memcpy(ap_root + ENTRIES / 2, root + ENTRIES / 2, PAGE_BYTES / 2);
	if (trampoline != 0)
		map_range(ap_root, trampoline, trampoline, PAGE_BYTES,
			  PTE_PRESENT | PTE_WRITE | PTE_ACCESSED | PTE_DIRTY, true);

	mach_kernel_root = root_pa.pa;
	write_cr3(root_pa.pa);
}

u64 paging_map_stack(u32 cpu_id, void *memory, u32 slot_page, u32 memory_page, u32 pages)
{
	u64 *entry = directory_of_stack(cpu_id);
	u64 *table = memory;

	*entry = virt_to_phys(memory).pa | KERNEL_TABLE;
	for (u32 i = 0; i < pages; i++)
		table[slot_page + i] = (virt_to_phys(memory).pa + (memory_page + i) * PAGE_BYTES) | KERNEL_DATA;
	return STACK_WINDOW_BASE + ((u64)cpu_id << STACK_SLOT_SHIFT) + slot_page * PAGE_BYTES;
}

void mach_space_init(struct mach_space *space, struct paddr root)
{
	u64 *to = phys_to_virt(root);
	const u64 *from = phys_to_virt((struct paddr){ mach_kernel_root });

	memcpy(to + ENTRIES / 2, from + ENTRIES / 2, PAGE_BYTES / 2);
	space->root = root;
	space->user_base = 0;
}
