/* SPDX-License-Identifier: MIT */
/* Host memory; see host.h. */
#define _GNU_SOURCE
#include "host.h"

#include <sys/mman.h>
#include <unistd.h>

static int protection(bool write, bool execute)
{
	return PROT_READ | (write ? PROT_WRITE : 0) | (execute ? PROT_EXEC : 0);
}

u64 host_reserve(u64 bytes)
{
	void *at = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return at == MAP_FAILED ? 0 : (u64)at;
}

bool host_protect(u64 addr, u64 bytes, bool write, bool execute)
{
	return mprotect((void *)addr, bytes, protection(write, execute)) == 0;
}

bool host_unmap(u64 addr, u64 bytes)
{
	return munmap((void *)addr, bytes) == 0;
}

bool host_map_fixed(u64 addr, u64 bytes)
{
	return mmap((void *)addr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
		    -1, 0) == (void *)addr;
}

bool host_map_file(u64 addr, u64 bytes, int fd, u64 offset, bool write, bool execute)
{
	return mmap((void *)addr, bytes, protection(write, execute), MAP_SHARED | MAP_FIXED, fd, (off_t)offset) !=
	       MAP_FAILED;
}

int host_memory_file(u64 bytes)
{
	int fd = memfd_create("capos-sim", MFD_CLOEXEC);

	if (fd >= 0 && ftruncate(fd, (off_t)bytes) != 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

void *host_shared(u64 bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}
