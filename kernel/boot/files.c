/* SPDX-License-Identifier: MIT */
/* The archive and the manifest of this boot. */
#include "boot_priv.h"

#include <kernel/archive.h>
#include <kernel/debug.h>
#include <kernel/process.h>
#include <kernel/state.h>
#include <string.h>

#define MANIFEST_NAME "manifest.dtb"

void boot_refuse(const char *path, const char *reason)
{
	klog(LOG_ERROR, "manifest: refused: %s: %s", path, reason);
	console_flush_sync();
	mach_exit(MACH_EXIT_BAD_MANIFEST);
}

/* Names that fit; the manifest and longer names are not programs. */
static bool is_program(const struct archive_file *file)
{
	return strlen(file->name) < CAPOS_NAME_BYTES && strcmp(file->name, MANIFEST_NAME) != 0;
}

/* First program whose name is not before `name`. */
static u32 program_place(const char *name)
{
	const struct boot_state *boot = &kernel_state.manifest;
	u32 low = 0, high = boot->program_count;

	while (low < high) {
		u32 middle = (low + high) / 2;

		if (strcmp(boot->programs[middle]->name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void sort_programs(void)
{
	struct boot_state *boot = &kernel_state.manifest;

	boot->programs = frames_boot_alloc(ARCHIVE_FILES_MAX * sizeof(boot->programs[0]));
	for (u32 i = 0; i < boot->file_count; i++) {
		const struct archive_file *file = &boot->files[i];
		u32 place;

		if (!is_program(file))
			continue;
		place = program_place(file->name);
		memmove(&boot->programs[place + 1], &boot->programs[place],
			(boot->program_count - place) * sizeof(boot->programs[0]));
		boot->programs[place] = file;
		boot->program_count++;
	}
}

void boot_read_archive(const struct boot_info *info)
{
	struct boot_state *boot = &kernel_state.manifest;
	struct archive_file *files;
	const char *wrong;

	if (info->archive_bytes == 0)
		boot_refuse("/", "no boot archive");
	files = frames_boot_alloc(ARCHIVE_FILES_MAX * sizeof(*files));
	wrong = archive_check(phys_to_virt(info->archive), info->archive_bytes, files, ARCHIVE_FILES_MAX,
			      &boot->file_count);
	if (wrong != NULL) {
		klog(LOG_ERROR, "archive: refused: %s", wrong);
		boot_refuse("/", "broken boot archive");
	}
	boot->files = files;
	sort_programs();
}

const struct archive_file *archive_find(const char *name)
{
	const struct boot_state *boot = &kernel_state.manifest;
	u32 place = program_place(name);

	return place < boot->program_count && strcmp(boot->programs[place]->name, name) == 0 ? boot->programs[place]
											     : NULL;
}

const struct archive_file *archive_program_at(u32 index)
{
	const struct boot_state *boot = &kernel_state.manifest;

	return index < boot->program_count ? boot->programs[index] : NULL;
}

static bool has_program(const struct manifest_machine *machine, const char *name)
{
	(void)machine;
	return archive_find(name) != NULL;
}

const struct manifest *boot_read_manifest(u32 cpus)
{
	struct boot_state *boot = &kernel_state.manifest;
	const struct archive_file *file = archive_search(boot->files, boot->file_count, MANIFEST_NAME);
	const struct manifest_machine machine = {
		.has_program = has_program,
		.memory_bytes = frames_free_count() * PAGE_BYTES,
		.cpu_count = cpus,
	};
	struct manifest_refusal refusal;
	struct manifest *manifest;

	if (file == NULL)
		boot_refuse("/", "no " MANIFEST_NAME " in the boot archive");
	manifest = frames_boot_alloc(sizeof(*manifest));
	if (!manifest_parse(file->data, file->bytes, &machine, manifest, &refusal))
		boot_refuse(refusal.path, refusal.reason);
	boot->manifest = manifest;
	return manifest;
}

const struct manifest *manifest_current(void)
{
	return kernel_state.manifest.manifest;
}
