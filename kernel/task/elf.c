/* SPDX-License-Identifier: MIT */
/*
 * Program images are static position-independent ELF files with page-aligned segments in rising order. Read-only
 * segments are mapped straight from the file's pages, so they must be given wholly by the file.
 */
#include <kernel/elf.h>

#include <capos/abi.h>
#include <elf.h>
#include <string.h>

#define PHDRS_MAX 16u
#define NOTES_MAX 16u /* in all: looking at them is part of one step */

/* As PROT_* of mach.h, which pure code does without. */
#define SEGMENT_WRITE 1u
#define SEGMENT_EXEC 2u

static enum elf_refusal check_header(const u8 *head, u64 head_bytes, Elf64_Ehdr *header)
{
	if (head_bytes < sizeof(*header))
		return head_bytes < 4 || memcmp(head, ELFMAG, 4) == 0 ? ELF_TRUNCATED : ELF_MAGIC;
	memcpy(header, head, sizeof(*header));
	if (memcmp(header->e_ident, ELFMAG, 4) != 0)
		return ELF_MAGIC;
	if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
	    header->e_ident[EI_VERSION] != EV_CURRENT || header->e_version != EV_CURRENT)
		return ELF_CLASS;
	if (header->e_type != ET_DYN)
		return ELF_TYPE;
	if (header->e_machine != EM_X86_64)
		return ELF_MACHINE;
	if (header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phnum == 0 || header->e_phnum > PHDRS_MAX ||
	    header->e_phoff > head_bytes || head_bytes - header->e_phoff < (u64)header->e_phnum * sizeof(Elf64_Phdr))
		return ELF_HEADERS;
	return ELF_OK;
}

static enum elf_refusal add_segment(const Elf64_Phdr *phdr, u64 file_bytes, struct elf_image *image)
{
	struct elf_segment *segment;
	u64 skew = phdr->p_vaddr % PAGE_BYTES;

	if (image->segment_count == ELF_SEGMENTS_MAX)
		return ELF_SEGMENT_COUNT;
	if ((phdr->p_flags & (PF_W | PF_X)) == (PF_W | PF_X))
		return ELF_WRITE_EXEC;
	if (phdr->p_offset > file_bytes || file_bytes - phdr->p_offset < phdr->p_filesz)
		return ELF_SEGMENT_FILE;
	if (phdr->p_memsz == 0 || phdr->p_memsz < phdr->p_filesz || phdr->p_memsz > ELF_IMAGE_BYTES_MAX ||
	    phdr->p_vaddr > ELF_IMAGE_BYTES_MAX - phdr->p_memsz)
		return ELF_SEGMENT_SIZE;
	if (phdr->p_offset % PAGE_BYTES != skew)
		return ELF_SEGMENT_ALIGN;
	if ((phdr->p_flags & PF_W) == 0 && phdr->p_memsz != phdr->p_filesz)
		return ELF_READ_ONLY_ZEROES;
	if (phdr->p_vaddr - skew < image->end)
		return ELF_SEGMENT_OVERLAP;
	segment = &image->segment[image->segment_count++];
	segment->start = phdr->p_vaddr - skew;
	segment->end = ALIGN_UP(phdr->p_vaddr + phdr->p_memsz, PAGE_BYTES);
	segment->data_start = phdr->p_vaddr;
	segment->data_end = phdr->p_vaddr + phdr->p_filesz;
	segment->file_page = phdr->p_offset - skew;
	segment->prot =
		((phdr->p_flags & PF_W) != 0 ? SEGMENT_WRITE : 0) | ((phdr->p_flags & PF_X) != 0 ? SEGMENT_EXEC : 0);
	image->end = segment->end;
	return ELF_OK;
}

static enum elf_refusal read_own_note(const Elf64_Nhdr *note, const u8 *description, struct elf_image *image)
{
	u32 value = 0;

	if (note->n_type != CAPOS_NOTE_ABI && note->n_type != CAPOS_NOTE_STACK)
		return ELF_OK;
	if (note->n_descsz != sizeof(value))
		return ELF_NOTE;
	memcpy(&value, description, sizeof(value));
	if (note->n_type == CAPOS_NOTE_STACK) {
		image->stack_bytes = value;
		return value % PAGE_BYTES == 0 && value != 0 && value <= ELF_STACK_BYTES ? ELF_OK : ELF_STACK;
	}
	image->abi_version = value;
	return value == CAPOS_ABI_VERSION ? ELF_OK : ELF_ABI_VERSION;
}

/* Notes of one PT_NOTE: name size, description size, type, name, description, each padded to 4. */
static enum elf_refusal read_notes(const u8 *head, u64 head_bytes, const Elf64_Phdr *phdr, struct elf_image *image,
				   u32 *notes)
{
	u64 at = phdr->p_offset;
	u64 left = phdr->p_filesz;

	if (at > head_bytes || head_bytes - at < left)
		return ELF_NOTE;
	while (left > 0) {
		Elf64_Nhdr note;
		u64 name_bytes, bytes;

		if (left < sizeof(note) || ++*notes > NOTES_MAX)
			return ELF_NOTE;
		memcpy(&note, head + at, sizeof(note));
		name_bytes = ALIGN_UP((u64)note.n_namesz, 4u);
		bytes = sizeof(note) + name_bytes + ALIGN_UP((u64)note.n_descsz, 4u);
		if (bytes > left)
			return ELF_NOTE;
		if (note.n_namesz == sizeof(CAPOS_NOTE_NAME) &&
		    memcmp(head + at + sizeof(note), CAPOS_NOTE_NAME, sizeof(CAPOS_NOTE_NAME)) == 0) {
			enum elf_refusal refusal = read_own_note(&note, head + at + sizeof(note) + name_bytes, image);

			if (refusal != ELF_OK)
				return refusal;
		}
		at += bytes;
		left -= bytes;
	}
	return ELF_OK;
}

static enum elf_refusal check_phdr(const u8 *head, u64 head_bytes, u64 file_bytes, const Elf64_Phdr *phdr,
				   struct elf_image *image, u32 *notes)
{
	switch (phdr->p_type) {
	case PT_LOAD:
		return add_segment(phdr, file_bytes, image);
	case PT_INTERP:
		return ELF_INTERPRETER;
	case PT_TLS:
		return ELF_TLS;
	case PT_GNU_STACK:
		return (phdr->p_flags & PF_X) != 0 ? ELF_EXEC_STACK : ELF_OK;
	case PT_NOTE:
		return read_notes(head, head_bytes, phdr, image, notes);
	default:
		return ELF_OK;
	}
}

enum elf_refusal elf_check(const u8 *head, u64 file_bytes, struct elf_image *out)
{
	u64 head_bytes = MIN(file_bytes, (u64)ELF_HEAD_BYTES);
	Elf64_Ehdr header;
	enum elf_refusal refusal;
	u32 notes = 0;

	memset(out, 0, sizeof(*out));
	out->stack_bytes = ELF_STACK_BYTES;
	refusal = check_header(head, head_bytes, &header);
	for (u32 i = 0; refusal == ELF_OK && i < header.e_phnum; i++) {
		Elf64_Phdr phdr;

		memcpy(&phdr, head + header.e_phoff + i * sizeof(phdr), sizeof(phdr));
		refusal = check_phdr(head, head_bytes, file_bytes, &phdr, out, &notes);
	}
	if (refusal != ELF_OK)
		return refusal;
	if (out->segment_count == 0)
		return ELF_SEGMENT_COUNT;
	if (out->abi_version == 0)
		return ELF_ABI_MISSING;
	out->entry = header.e_entry;
	for (u32 i = 0; i < out->segment_count; i++) {
		const struct elf_segment *segment = &out->segment[i];

		if ((segment->prot & SEGMENT_EXEC) != 0 && out->entry >= segment->data_start &&
		    out->entry < segment->data_end)
			return ELF_OK;
	}
	return ELF_ENTRY;
}

const char *elf_refusal_name(enum elf_refusal refusal)
{
	switch (refusal) {
#define X(name, value, text)                                                                                         \
	case ELF_##name:                                                                                             \
		return text;
		ELF_REFUSALS(X)
#undef X
	case ELF_OK:
		break;
	}
	return "sound";
}
