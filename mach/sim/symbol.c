/* SPDX-License-Identifier: MIT */
/* Names of the simulator's functions, static ones too, from the symbol table of its executable. */
#define _GNU_SOURCE
#include "sim.h"

#include <elf.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

static char *image;
static size_t image_bytes;
static u64 load_base;

static int take_base(struct dl_phdr_info *info, size_t size, void *argument)
{
	(void)size;
	(void)argument;
	load_base = info->dlpi_addr;
	return 1; /* the first is the executable */
}

static bool load_image(void)
{
	FILE *file = fopen("/proc/self/exe", "rb");

	if (file == NULL)
		return false;
	fseek(file, 0, SEEK_END);
	long bytes = ftell(file);
	rewind(file);
	image = bytes > 0 ? malloc((size_t)bytes) : NULL;
	if (image != NULL)
		image_bytes = fread(image, 1, (size_t)bytes, file);
	fclose(file);
	dl_iterate_phdr(take_base, NULL);
	return image != NULL && image_bytes > sizeof(Elf64_Ehdr);
}

const char *mach_symbol(u64 pc, u64 *offset)
{
	if (image == NULL && !load_image())
		return NULL;
	const Elf64_Ehdr *header = (const void *)image;
	const Elf64_Shdr *sections = (const void *)(image + header->e_shoff);
	const char *best = NULL;
	for (u32 s = 0; s < header->e_shnum; s++) {
		if (sections[s].sh_type != SHT_SYMTAB)
			continue;
		const Elf64_Sym *symbols = (const void *)(image + sections[s].sh_offset);
		const char *names = image + sections[sections[s].sh_link].sh_offset;
		for (u64 i = 0; i < sections[s].sh_size / sizeof(*symbols); i++) {
			u64 start = load_base + symbols[i].st_value;
			if (ELF64_ST_TYPE(symbols[i].st_info) == STT_FUNC && pc >= start &&
			    pc < start + symbols[i].st_size) {
				best = names + symbols[i].st_name;
				*offset = pc - start;
			}
		}
	}
	return best;
}
