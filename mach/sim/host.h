/* SPDX-License-Identifier: MIT */
/*
 * Host memory. Kept apart because <sys/mman.h> and mach/mach.h both define PROT_WRITE.
 * Addresses are u64; false or 0 = the host refused, errno says why.
 */
#ifndef SIM_HOST_H
#define SIM_HOST_H

#include <kernel/types.h>

/* Address space without access. */
u64 host_reserve(u64 bytes);
bool host_protect(u64 addr, u64 bytes, bool write, bool execute);
bool host_unmap(u64 addr, u64 bytes);
/* Zeroed private memory at a fixed free address. */
bool host_map_fixed(u64 addr, u64 bytes);
/* Shared mapping of a file at a fixed address, replacing what is there. */
bool host_map_file(u64 addr, u64 bytes, int fd, u64 offset, bool write, bool execute);
/* A memory file of that size; -1: refused. */
int host_memory_file(u64 bytes);
/* Zeroed memory that a child shares; NULL: refused. */
void *host_shared(u64 bytes);

#endif
