/* SPDX-License-Identifier: MIT */
/* A program image made by hand, to be spoilt. */
#ifndef PROOFS_IMAGE_H
#define PROOFS_IMAGE_H

#include "proof.h"

/* The start of an ELF file, as far as the proofs change it. */
struct elf_head {
	uint8_t ident[16];
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, phoff, shoff;
	uint32_t flags;
	uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

struct elf_segment {
	uint32_t type, flags;
	uint64_t offset, vaddr, paddr, filesz, memsz, align;
};

#define IMAGE_BYTES (4 * PAGE)
#define TEXT_AT CAPOS_PAGE_BYTES

/* The smallest program: its text exits with code 23 through "self", the fourth capability. The simulator's programs enter
 * the kernel by a gate, so it is not run there. */
static const uint8_t text[] = {
	0x48, 0xc7, 0xc0, 0x17, 0x00, 0x00, 0x00, /* mov $23, %rax: an instruction to fault behind */
	0x0f, 0x0b,				  /* ud2 */
};

static const struct {
	uint32_t name_bytes, bytes, type;
	char name[8];
	uint32_t version;
} note = { 6, 4, CAPOS_NOTE_ABI, CAPOS_NOTE_NAME, CAPOS_ABI_VERSION };

static PROOF_UNUSED struct elf_head *head_of(uint8_t *image)
{
	return (struct elf_head *)image;
}

static PROOF_UNUSED struct elf_segment *segment_of(uint8_t *image, unsigned index)
{
	return (struct elf_segment *)(image + sizeof(struct elf_head)) + index;
}

static PROOF_UNUSED void make_image(uint8_t *image)
{
	struct elf_head *head = head_of(image);

	memset(image, 0, IMAGE_BYTES);
	memcpy(head->ident, "\177ELF\2\1\1", 7);
	head->type = 3;
	head->machine = 62;
	head->version = 1;
	head->entry = TEXT_AT;
	head->phoff = sizeof(*head);
	head->ehsize = sizeof(*head);
	head->phentsize = sizeof(struct elf_segment);
	head->phnum = 3;
	*segment_of(image, 0) = (struct elf_segment){ 1, 4, 0, 0, 0, 4096, 4096, 4096 };
	*segment_of(image, 1) = (struct elf_segment){ 1, 5, TEXT_AT, TEXT_AT, TEXT_AT, 4096, 4096, 4096 };
	*segment_of(image, 2) = (struct elf_segment){ 4, 4, 512, 512, 512, sizeof(note), sizeof(note), 4 };
	memcpy(image + 512, &note, sizeof(note));
	memcpy(image + TEXT_AT, text, sizeof(text));
}

#endif
