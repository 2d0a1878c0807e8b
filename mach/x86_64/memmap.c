/* SPDX-License-Identifier: MIT */
/*
 * The memory map, and the allocator for what the machine itself needs at boot.
 *
 * Ranges from the loader may overlap and come in any order. At every address the strongest kind wins: archive over
 * reserved over usable. Reserved are also the first 1 MiB, the kernel image and what boot_alloc gave. The allocator
 * takes from the bottom of the largest usable range below 4 GiB.
 */
#include "mach_priv.h"

#include <string.h>

#define MEM_RANGES_MAX (2 * LOADER_RANGES_MAX)

static struct mem_range ranges[MEM_RANGES_MAX]; /* (c) after memmap_finish */
static u32 range_count;
static u64 pool_start, pool_next, pool_end; /* boot CPU only, until memmap_finish */

static u32 strength(enum mem_kind kind)
{
	return kind == MEM_ARCHIVE ? 3 : kind == MEM_RESERVED ? 2 : 1;
}

static void reserve(struct loader *loader, u64 start, u64 end, enum mem_kind kind)
{
	loader->ranges[loader->range_count++] = (struct loader_range){ start, end, kind };
}

/* Kind at `start` and the next address at which any range begins or ends; false when nothing lies at or above it. */
static bool kind_at(const struct loader *loader, u64 start, u64 *next, u32 *strongest, enum mem_kind *kind)
{
	*next = ~0ull;
	*strongest = 0;
	for (u32 i = 0; i < loader->range_count; i++) {
		const struct loader_range *range = &loader->ranges[i];

		if (range->start > start)
			*next = MIN(*next, range->start);
		else if (range->end > start) {
			*next = MIN(*next, range->end);
			if (strength(range->kind) > *strongest) {
				*strongest = strength(range->kind);
				*kind = range->kind;
			}
		}
	}
	return *next != ~0ull;
}

static void rebuild(const struct loader *loader)
{
	u64 start = 0, next;
	u32 strongest;
	enum mem_kind kind = MEM_RESERVED;

	range_count = 0;
	for (; kind_at(loader, start, &next, &strongest, &kind); start = next) {
		struct mem_range *last = range_count > 0 ? &ranges[range_count - 1] : NULL;

		if (strongest == 0)
			continue;
		if (last != NULL && last->kind == kind && last->start + last->bytes == start)
			last->bytes += next - start;
		else if (range_count < MEM_RANGES_MAX)
			ranges[range_count++] = (struct mem_range){ start, next - start, kind };
	}
}

void memmap_init(struct loader *loader)
{
	u64 best_bytes = 0;

	reserve(loader, 0, 1ull << 20, MEM_RESERVED);
	/* From the load address: the 32-bit entry lies below the higher half. */
	reserve(loader, 0x200000, (u64)kernel_image_end - KERNEL_BASE, MEM_RESERVED);
	if (loader->archive_bytes != 0)
		reserve(loader, loader->archive.pa, ALIGN_UP(loader->archive.pa + loader->archive_bytes, PAGE_BYTES),
			MEM_ARCHIVE);
	rebuild(loader);
	for (u32 i = 0; i < range_count; i++) {
		u64 end = MIN(ranges[i].start + ranges[i].bytes, EARLY_MAP_BYTES);

		if (ranges[i].kind != MEM_USABLE || ranges[i].start >= end || end - ranges[i].start <= best_bytes)
			continue;
		best_bytes = end - ranges[i].start;
		pool_start = pool_next = ranges[i].start;
		pool_end = end;
	}
}

struct paddr boot_alloc(u64 bytes)
{
	struct paddr p = { pool_next };

	bytes = ALIGN_UP(bytes, PAGE_BYTES);
	if (bytes > pool_end - pool_next) {
		say("capOS: not enough memory to boot\n");
		mach_exit(MACH_EXIT_PANIC);
	}
	pool_next += bytes;
	memset(phys_to_virt(p), 0, bytes);
	return p;
}

void memmap_finish(struct loader *loader, struct boot_info *info)
{
	if (pool_next > pool_start)
		reserve(loader, pool_start, pool_next, MEM_RESERVED);
	pool_end = pool_next;
	rebuild(loader);
	info->mem = ranges;
	info->mem_count = range_count;
}

u64 memmap_low_page(const struct loader *loader)
{
	for (u64 page = 0x8000; page < 0xa0000; page += PAGE_BYTES) {
		bool usable = false, reserved = false;

		for (u32 i = 0; i < loader->range_count; i++) {
			const struct loader_range *range = &loader->ranges[i];

			if (page < range->start || page >= range->end)
				continue;
			usable |= range->kind == MEM_USABLE;
			/* Our own reservation of the first 1 MiB does not count. */
			reserved |= range->kind != MEM_USABLE && !(range->start == 0 && range->end == 1ull << 20);
		}
		if (usable && !reserved)
			return page;
	}
	return 0;
}
