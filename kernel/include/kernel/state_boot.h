/* SPDX-License-Identifier: MIT */
#ifndef KERNEL_STATE_BOOT_H
#define KERNEL_STATE_BOOT_H

#include <kernel/lock.h>
#include <kernel/object.h>
#include <kernel/types.h>

struct archive_file;
struct manifest;

/* The part of kernel/boot in the kernel's state. */
struct boot_state {
	const struct archive_file *files;     /* (c) */
	u32 file_count;			      /* (c) */
	const struct archive_file **programs; /* (c) files with names of programs, by name */
	u32 program_count;		      /* (c) */
	const struct manifest *manifest;      /* (c) */
	struct object process_spawner;	      /* kernel-owned objects of the task room, for the manifest */
	struct object session_manager;
	ATOMIC(u32) live;   /* (a) processes that run, and 1 while those of the manifest are made */
	ATOMIC(u32) failed; /* (a) an essential process did not end well */
};

#endif
