/* SPDX-License-Identifier: MIT */
/* Memory of a program: mapped blocks, and a bump allocator over them that is freed as a whole. */
#ifndef USER_ARENA_H
#define USER_ARENA_H

#include <user/sys.h>

/* A memory object mapped read-write. bytes are rounded up to pages. */
struct block {
	void *address;
	size_t bytes;
	capos_handle memory;
};
struct capos_result block_map(struct block *block, size_t bytes);
void block_unmap(struct block *block);

struct arena_chunk;
struct arena {
	struct arena_chunk *chunks;
	char *next, *end;
};
/* 16-aligned zeroed memory, or NULL when the quota is used up. Not for several threads at once. */
void *arena_alloc(struct arena *arena, size_t bytes);
char *arena_text(struct arena *arena, const char *text);
void arena_free(struct arena *arena);

#endif
