/* SPDX-License-Identifier: MIT */
/*
 * The boot archive: newc cpio of programs and the manifest, whose file data are page-aligned. Its bytes are untrusted;
 * archive_check looks at all of them once, after which names and bounds of files hold (the archive never changes).
 */
#ifndef KERNEL_ARCHIVE_H
#define KERNEL_ARCHIVE_H

#include <kernel/types.h>

#define ARCHIVE_FILES_MAX 1024u

struct archive_file {
	const char *name; /* 0-terminated, within the archive */
	const u8 *data;	  /* page-aligned when bytes > 0 */
	u64 bytes;
};

/* Checks the archive and fills up to `max` files, in its order. NULL when it is sound, else what is wrong with it. */
MUST_CHECK const char *archive_check(const u8 *bytes, u64 size, struct archive_file *files, u32 max, u32 *count);
/* By name; NULL: not there. O(files). */
const struct archive_file *archive_search(const struct archive_file *files, u32 count, const char *name);

/* In the archive of this boot. */
const struct archive_file *archive_find(const char *name);
/* The index-th file whose name can be a program's; NULL: no more. */
const struct archive_file *archive_program_at(u32 index);

#endif
