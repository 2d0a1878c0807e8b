/* SPDX-License-Identifier: MIT */
/* LINK: kernel/task/elf.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <capos/abi.h>
#include <elf.h>
#include <kernel/elf.h>

#define FILE_BYTES 0x3000u

/* A file of three segments, headers, and the note right behind them. */
static struct image {
	union {
		struct {
			Elf64_Ehdr header;
			Elf64_Phdr phdr[5];
			struct {
				Elf64_Nhdr head;
				char name[8];
				u32 version;
			} note;
		};
		u8 bytes[FILE_BYTES];
	};
} image;
static struct elf_image out;

static void make(void)
{
	memset(&image, 0, sizeof(image));
	memcpy(image.header.e_ident, ELFMAG, 4);
	image.header.e_ident[EI_CLASS] = ELFCLASS64;
	image.header.e_ident[EI_DATA] = ELFDATA2LSB;
	image.header.e_ident[EI_VERSION] = EV_CURRENT;
	image.header.e_version = EV_CURRENT;
	image.header.e_type = ET_DYN;
	image.header.e_machine = EM_X86_64;
	image.header.e_phoff = offsetof(struct image, phdr);
	image.header.e_phentsize = sizeof(Elf64_Phdr);
	image.header.e_phnum = 5;
	image.header.e_entry = 0x1010;
	image.phdr[0] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_flags = PF_R, .p_filesz = 0x800, .p_memsz = 0x800 };
	image.phdr[1] = (Elf64_Phdr){ .p_type = PT_LOAD,
				      .p_flags = PF_R | PF_X,
				      .p_offset = 0x1000,
				      .p_vaddr = 0x1000,
				      .p_filesz = 0x500,
				      .p_memsz = 0x500 };
	image.phdr[2] = (Elf64_Phdr){ .p_type = PT_LOAD,
				      .p_flags = PF_R | PF_W,
				      .p_offset = 0x2010,
				      .p_vaddr = 0x3010,
				      .p_filesz = 0x100,
				      .p_memsz = 0x4000 };
	image.phdr[3] = (Elf64_Phdr){ .p_type = PT_NOTE,
				      .p_flags = PF_R,
				      .p_offset = offsetof(struct image, note),
				      .p_filesz = sizeof(image.note),
				      .p_memsz = sizeof(image.note) };
	image.phdr[4] = (Elf64_Phdr){ .p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W };
	image.note.head = (Elf64_Nhdr){ sizeof(CAPOS_NOTE_NAME), sizeof(u32), CAPOS_NOTE_ABI };
	memcpy(image.note.name, CAPOS_NOTE_NAME, sizeof(CAPOS_NOTE_NAME));
	image.note.version = CAPOS_ABI_VERSION;
}

/* On an exact copy of the head, so that the sanitizer sees reads beyond. */
static enum elf_refusal check_bytes(u64 bytes)
{
	u64 head = MIN(bytes, (u64)ELF_HEAD_BYTES);
	u8 *copy = malloc(head > 0 ? head : 1);
	enum elf_refusal refusal;

	assert_non_null(copy);
	memcpy(copy, image.bytes, head);
	refusal = elf_check(copy, bytes, &out);
	free(copy);
	return refusal;
}

static enum elf_refusal check(void)
{
	return check_bytes(FILE_BYTES);
}

static void accepts_a_sound_image(void **state)
{
	(void)state;
	make();
	assert_int_equal(check(), ELF_OK);
	assert_int_equal(out.entry, 0x1010);
	assert_int_equal(out.end, 0x8000);
	assert_int_equal(out.abi_version, CAPOS_ABI_VERSION);
	assert_int_equal(out.segment_count, 3);
	assert_int_equal(out.segment[1].prot, 2);
	assert_int_equal(out.segment[2].start, 0x3000);
	assert_int_equal(out.segment[2].end, 0x8000);
	assert_int_equal(out.segment[2].data_start, 0x3010);
	assert_int_equal(out.segment[2].data_end, 0x3110);
	assert_int_equal(out.segment[2].file_page, 0x2000);
	assert_int_equal(out.segment[2].prot, 1);
}

#define REFUSED(change, why)                                                                                         \
	do {                                                                                                         \
		make();                                                                                              \
		change;                                                                                              \
		assert_int_equal(check(), (why));                                                                    \
		assert_non_null(elf_refusal_name(why));                                                              \
	} while (0)

static void stack_note(void **state)
{
	static const struct {
		u32 bytes;
		enum elf_refusal refusal;
	} cases[] = { { 4096, ELF_OK },	   { 65536, ELF_OK },	 { 0, ELF_STACK },
		      { 4095, ELF_STACK }, { 69632, ELF_STACK }, { 0xfffff000, ELF_STACK } };

	(void)state;
	make();
	assert_int_equal(check(), ELF_OK);
	assert_int_equal(out.stack_bytes, ELF_STACK_BYTES);
	for (u32 i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		make();
		memcpy(image.bytes + offsetof(struct image, note) + sizeof(image.note), &image.note,
		       sizeof(image.note));
		((Elf64_Nhdr *)(void *)(image.bytes + offsetof(struct image, note) + sizeof(image.note)))->n_type =
			CAPOS_NOTE_STACK;
		memcpy(image.bytes + offsetof(struct image, note) + 2 * sizeof(image.note) - sizeof(u32),
		       &cases[i].bytes, sizeof(u32));
		image.phdr[3].p_filesz = image.phdr[3].p_memsz = 2 * sizeof(image.note);
		assert_int_equal(check(), cases[i].refusal);
		if (cases[i].refusal == ELF_OK)
			assert_int_equal(out.stack_bytes, cases[i].bytes);
	}
	assert_non_null(elf_refusal_name(ELF_STACK));
}

static void refuses_by_name(void **state)
{
	(void)state;
	REFUSED(image.bytes[0] = 0, ELF_MAGIC);
	REFUSED(image.header.e_ident[EI_CLASS] = ELFCLASS32, ELF_CLASS);
	REFUSED(image.header.e_ident[EI_DATA] = ELFDATA2MSB, ELF_CLASS);
	REFUSED(image.header.e_type = ET_EXEC, ELF_TYPE);
	REFUSED(image.header.e_machine = EM_AARCH64, ELF_MACHINE);
	REFUSED(image.header.e_phnum = 0, ELF_HEADERS);
	REFUSED(image.header.e_phnum = 17, ELF_HEADERS);
	REFUSED(image.header.e_phentsize = 55, ELF_HEADERS);
	REFUSED(image.header.e_phoff = ~0ull, ELF_HEADERS);
	REFUSED(image.header.e_phoff = ELF_HEAD_BYTES - 8, ELF_HEADERS);
	REFUSED(image.phdr[4].p_type = PT_INTERP, ELF_INTERPRETER);
	REFUSED(image.phdr[4].p_type = PT_TLS, ELF_TLS);
	REFUSED(image.phdr[4].p_flags |= PF_X, ELF_EXEC_STACK);
	REFUSED(image.phdr[1].p_flags |= PF_W, ELF_WRITE_EXEC);
	REFUSED(image.phdr[1].p_offset = ~0ull - 0xfff, ELF_SEGMENT_FILE);
	REFUSED(image.phdr[1].p_filesz = FILE_BYTES, ELF_SEGMENT_FILE);
	REFUSED(image.phdr[2].p_memsz = 0xff, ELF_SEGMENT_SIZE);
	REFUSED((image.phdr[2].p_memsz = 0, image.phdr[2].p_filesz = 0), ELF_SEGMENT_SIZE);
	REFUSED(image.phdr[2].p_memsz = ELF_IMAGE_BYTES_MAX + 1, ELF_SEGMENT_SIZE);
	REFUSED(image.phdr[2].p_vaddr = ELF_IMAGE_BYTES_MAX - 0x1000 + 0x10, ELF_SEGMENT_SIZE);
	REFUSED(image.phdr[2].p_vaddr = ~0ull - 0xfef, ELF_SEGMENT_SIZE);
	REFUSED(image.phdr[2].p_vaddr = 0x3018, ELF_SEGMENT_ALIGN);
	REFUSED(image.phdr[1].p_memsz = 0x501, ELF_READ_ONLY_ZEROES);
	REFUSED(image.phdr[2].p_vaddr = 0x1010, ELF_SEGMENT_OVERLAP);
	REFUSED(image.phdr[2].p_vaddr = 0x0010, ELF_SEGMENT_OVERLAP);
	REFUSED(image.phdr[0].p_type = image.phdr[1].p_type = image.phdr[2].p_type = PT_NULL, ELF_SEGMENT_COUNT);
	REFUSED(image.header.e_entry = 0x10, ELF_ENTRY);
	REFUSED(image.header.e_entry = 0x1500, ELF_ENTRY);
	REFUSED(image.header.e_entry = 0x3010, ELF_ENTRY);
	REFUSED(image.phdr[3].p_type = PT_NULL, ELF_ABI_MISSING);
	REFUSED(image.note.name[0] = 'C', ELF_ABI_MISSING);
	REFUSED(image.note.version = 2, ELF_ABI_VERSION);
	REFUSED(image.note.version = 0, ELF_ABI_VERSION);
	REFUSED(image.note.head.n_descsz = 5, ELF_NOTE);
	REFUSED(image.note.head.n_namesz = ~0u, ELF_NOTE);
	REFUSED(image.phdr[3].p_filesz = 4, ELF_NOTE);
	REFUSED(image.phdr[3].p_offset = ELF_HEAD_BYTES, ELF_NOTE);
}

static void refuses_truncation(void **state)
{
	(void)state;
	make();
	for (u64 n = 0; n < 0x2110; n++)
		assert_int_not_equal(check_bytes(n), ELF_OK);
	assert_int_equal(check_bytes(0x2110), ELF_OK);
}

/* What is accepted keeps its promises, whatever the bytes. */
static void survives_changed_bytes(void **state)
{
	u32 random = 1;

	(void)state;
	make();
	for (u32 round = 0; round < 200000; round++) {
		u8 former[3];
		u32 at[3];
		u64 end = 0;

		for (u32 i = 0; i < 3; i++) {
			random = random * 1664525u + 1013904223u;
			at[i] = (random >> 8) % 0x180;
			former[i] = image.bytes[at[i]];
			image.bytes[at[i]] = (u8)((random >> 4) % 3 == 0 ? random >> 24 : (random >> 24) & 1);
		}
		if (check() == ELF_OK) {
			for (u32 i = 0; i < out.segment_count; i++) {
				const struct elf_segment *s = &out.segment[i];

				assert_true(s->start >= end && s->end > s->start && s->end <= ELF_IMAGE_BYTES_MAX);
				assert_true(s->data_start >= s->start && s->data_end <= s->end &&
					    s->data_start <= s->data_end);
				assert_true(s->file_page + (s->data_end - s->start) <= FILE_BYTES);
				assert_int_not_equal(s->prot, 3);
				end = s->end;
			}
		}
		for (u32 i = 3; i-- > 0;)
			image.bytes[at[i]] = former[i];
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_a_sound_image),  cmocka_unit_test(stack_note),
		cmocka_unit_test(refuses_by_name),	  cmocka_unit_test(refuses_truncation),
		cmocka_unit_test(survives_changed_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
