/* SPDX-License-Identifier: MIT */
/*
 * What the loader gave, by PVH or Multiboot2, copied into the image before any other memory is written.
 * Nothing read here is trusted beyond the early map: every pointer and length is checked against it.
 */
#include "mach_priv.h"

#include <string.h>

#define PVH_MAGIC 0x336ec578u
#define MULTIBOOT2_MAGIC 0x36d76289u

struct pvh_start_info {
	u32 magic;
	u32 version;
	u32 flags;
	u32 module_count;
	u64 modules;
	u64 cmdline;
	u64 rsdp;
	u64 memmap; /* since version 1 */
	u32 memmap_count;
	u32 reserved;
};

struct pvh_module {
	u64 start;
	u64 bytes;
	u64 cmdline;
	u64 reserved;
};

struct pvh_memmap {
	u64 start;
	u64 bytes;
	u32 type;
	u32 reserved;
};

struct multiboot_tag {
	u32 type;
	u32 bytes;
};

struct multiboot_module {
	struct multiboot_tag tag;
	u32 start;
	u32 end;
};

struct multiboot_memmap {
	struct multiboot_tag tag;
	u32 entry_bytes;
	u32 entry_version;
};

#define MEMORY_TYPE_RAM 1u

const void *early_at(u64 pa, u64 bytes)
{
	if (pa == 0 || pa >= EARLY_MAP_BYTES || bytes > EARLY_MAP_BYTES - pa)
		return NULL;
	return phys_to_virt((struct paddr){ pa });
}

static void add_range(struct loader *loader, u64 start, u64 bytes, u32 type)
{
	struct loader_range range = { start, start + bytes, type == MEMORY_TYPE_RAM ? MEM_USABLE : MEM_RESERVED };

	if (range.end < start || range.end > DIRECT_MAP_BYTES)
		range.end = DIRECT_MAP_BYTES;
	if (range.kind == MEM_USABLE) {
		range.start = ALIGN_UP(range.start, PAGE_BYTES);
		range.end = ALIGN_DOWN(range.end, PAGE_BYTES);
	} else {
		range.start = ALIGN_DOWN(range.start, PAGE_BYTES);
		range.end = ALIGN_UP(range.end, PAGE_BYTES);
	}
	if (range.start >= range.end || loader->range_count == LOADER_RANGES_MAX - 4)
		return;
	loader->ranges[loader->range_count++] = range;
}

static void copy_cmdline(struct loader *loader, const char *text, u64 bytes_max)
{
	u64 i;

	for (i = 0; text != NULL && i < MIN(bytes_max, LOADER_CMDLINE_MAX - 1ull) && text[i] != '\0'; i++)
		loader->cmdline[i] = text[i];
	loader->cmdline[i] = '\0';
}

static void set_archive(struct loader *loader, u64 start, u64 bytes)
{
	if (loader->archive_bytes != 0 || bytes == 0)
		return;
	if (start % PAGE_BYTES != 0 || start >= DIRECT_MAP_BYTES || bytes > DIRECT_MAP_BYTES - start) {
		say("capOS: the boot archive is not on a page boundary: ignored\n");
		return;
	}
	loader->archive = (struct paddr){ start };
	loader->archive_bytes = bytes;
}

static void copy_rsdp(struct loader *loader, const void *rsdp, u64 bytes)
{
	if (rsdp == NULL || bytes < 20 || loader->rsdp_bytes >= MIN(bytes, sizeof(loader->rsdp)))
		return;
	loader->rsdp_bytes = (u32)MIN(bytes, sizeof(loader->rsdp));
	memcpy(loader->rsdp, rsdp, loader->rsdp_bytes);
}

static bool read_pvh(struct loader *loader, const struct pvh_start_info *info)
{
	const struct pvh_module *module;
	const struct pvh_memmap *map;
	u64 cmdline_max = info->cmdline < EARLY_MAP_BYTES ? EARLY_MAP_BYTES - info->cmdline : 0;

	loader->machine = "x86_64/pvh";
	if (info->version < 1)
		return false;
	map = early_at(info->memmap, (u64)info->memmap_count * sizeof(*map));
	if (map == NULL)
		return false;
	for (u32 i = 0; i < info->memmap_count; i++)
		add_range(loader, map[i].start, map[i].bytes, map[i].type);
	copy_cmdline(loader, early_at(info->cmdline, 1), cmdline_max);
	copy_rsdp(loader, early_at(info->rsdp, sizeof(loader->rsdp)), sizeof(loader->rsdp));
	module = early_at(info->modules, (u64)info->module_count * sizeof(*module));
	if (module != NULL && info->module_count > 0)
		set_archive(loader, module->start, module->bytes);
	return true;
}

static void read_multiboot_memmap(struct loader *loader, const struct multiboot_memmap *map)
{
	const u8 *entry = (const u8 *)(map + 1);
	u64 left = map->tag.bytes - sizeof(*map);

	if (map->entry_bytes < sizeof(struct pvh_memmap))
		return;
	for (; left >= map->entry_bytes; left -= map->entry_bytes, entry += map->entry_bytes) {
		struct pvh_memmap range; /* the same layout */

		memcpy(&range, entry, sizeof(range));
		add_range(loader, range.start, range.bytes, range.type);
	}
}

static void read_multiboot_tag(struct loader *loader, const struct multiboot_tag *tag)
{
	const struct multiboot_module *module = (const struct multiboot_module *)tag;
	u64 payload = tag->bytes - sizeof(*tag);

	switch (tag->type) {
	case 1:
		copy_cmdline(loader, (const char *)(tag + 1), payload);
		break;
	case 3:
		if (tag->bytes >= sizeof(*module) && module->end > module->start)
			set_archive(loader, module->start, module->end - module->start);
		break;
	case 6:
		if (tag->bytes >= sizeof(struct multiboot_memmap))
			read_multiboot_memmap(loader, (const struct multiboot_memmap *)tag);
		break;
	case 14: /* ACPI 1.0 root pointer */
	case 15: /* ACPI 2.0 */
		copy_rsdp(loader, tag + 1, payload);
		break;
	default:
		break;
	}
}

static bool read_multiboot(struct loader *loader, u64 info)
{
	const u32 *head = early_at(info, 8);
	const u8 *base = head != NULL ? early_at(info, head[0]) : NULL;
	u64 offset = 8;

	loader->machine = "x86_64/multiboot2";
	if (base == NULL)
		return false;
	while (offset + sizeof(struct multiboot_tag) <= head[0]) {
		const struct multiboot_tag *tag = (const struct multiboot_tag *)(base + offset);

		if (tag->type == 0 || tag->bytes < sizeof(*tag) || tag->bytes > head[0] - offset)
			break;
		read_multiboot_tag(loader, tag);
		offset += ALIGN_UP((u64)tag->bytes, 8ull);
	}
	return true;
}

bool loader_read(struct loader *loader, u32 magic, u32 info)
{
	const struct pvh_start_info *pvh = early_at(info, sizeof(*pvh));

	if (magic == MULTIBOOT2_MAGIC)
		return read_multiboot(loader, info);
	return pvh != NULL && pvh->magic == PVH_MAGIC && read_pvh(loader, pvh);
}
