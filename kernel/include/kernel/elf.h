/* SPDX-License-Identifier: MIT */
/*
 * Checks of program images: pure, over untrusted bytes, bounded. Everything that is looked at (headers and the ABI note)
 * lies in the first page of the file, so that the caller can check a private copy of it.
 */
#ifndef KERNEL_ELF_H
#define KERNEL_ELF_H

#include <kernel/types.h>

#define ELF_HEAD_BYTES 4096u
#define ELF_SEGMENTS_MAX 8u
#define ELF_STACK_BYTES 0x10000u /* without a note, and at most */
#define ELF_IMAGE_BYTES_MAX (16ul << 20)

/* Interface result BAD_IMAGE carries the number as detail. Numbers stay. */
#define ELF_REFUSALS(X)                                                                                              \
	X(TRUNCATED, 1, "shorter than its header")                                                                   \
	X(MAGIC, 2, "not an ELF file")                                                                               \
	X(CLASS, 3, "not 64-bit little-endian")                                                                      \
	X(TYPE, 4, "not position-independent (ET_DYN)")                                                              \
	X(MACHINE, 5, "not for this machine")                                                                        \
	X(HEADERS, 6, "program headers out of bounds")                                                               \
	X(INTERPRETER, 7, "wants an interpreter")                                                                    \
	X(TLS, 8, "has thread-local data")                                                                           \
	X(WRITE_EXEC, 9, "a segment is writable and executable")                                                     \
	X(SEGMENT_FILE, 10, "a segment's data out of the file")                                                      \
	X(SEGMENT_SIZE, 11, "a segment's memory is smaller than its data, empty or too large")                       \
	X(SEGMENT_ALIGN, 12, "a segment's address and offset differ within the page")                                \
	X(SEGMENT_OVERLAP, 13, "segments overlap or are not in order")                                               \
	X(SEGMENT_COUNT, 14, "no segment or too many")                                                               \
	X(READ_ONLY_ZEROES, 15, "a read-only segment is larger than its data")                                       \
	X(ENTRY, 16, "entry outside of an executable segment")                                                       \
	X(EXEC_STACK, 17, "wants an executable stack")                                                               \
	X(NOTE, 18, "a note is malformed or beyond the first page")                                                  \
	X(ABI_MISSING, 19, "no ABI note")                                                                            \
	X(ABI_VERSION, 20, "another ABI version")                                                                    \
	X(STACK, 21, "a stack that is not 1 to 16 whole pages")

enum elf_refusal {
	ELF_OK = 0,
#define X(name, value, text) ELF_##name = (value),
	ELF_REFUSALS(X)
#undef X
};

struct elf_segment {
	u64 start, end;		  /* page-aligned addresses from the image base */
	u64 data_start, data_end; /* what the file gives, at the same addresses */
	u64 file_page;		  /* offset of the file page that `start` shows, page-aligned */
	u32 prot;		  /* PROT_* of mach.h: 1 write, 2 execute */
};

struct elf_image {
	u64 entry; /* from the image base */
	u64 end;   /* of the last segment */
	u32 abi_version;
	u32 stack_bytes; /* of the first stack */
	u32 segment_count;
	struct elf_segment segment[ELF_SEGMENTS_MAX];
};

/* head: the first MIN(file_bytes, ELF_HEAD_BYTES) bytes of the file. */
MUST_CHECK enum elf_refusal elf_check(const u8 *head, u64 file_bytes, struct elf_image *out);
const char *elf_refusal_name(enum elf_refusal refusal);

#endif
