/* SPDX-License-Identifier: MIT */
/* Blocks of memory objects, and an arena that chains them. */
#include <user/arena.h>

#include <user/start.h>
#include <user/stubs.h>

#define CHUNK_BYTES 65536u
#define ALIGN 16u

struct arena_chunk {
	struct arena_chunk *next;
	struct block block;
};

struct capos_result block_map(struct block *block, size_t bytes)
{
	uint64_t address = 0;

	bytes = (bytes + CAPOS_PAGE_BYTES - 1) & ~(size_t)(CAPOS_PAGE_BYTES - 1);
	*block = (struct block){ .bytes = bytes };

	struct capos_result r = factory_memory(known.factory, bytes, 0, &block->memory);

	if (!result_ok(r))
		return r;
	r = address_space_map(known.space, block->memory, 0, 0, bytes, CAPOS_MAP_WRITE, &address);
	if (!result_ok(r)) {
		(void)cap_table_destroy(known.caps, block->memory);
		(void)cap_table_release(known.caps, block->memory);
		*block = (struct block){ 0 };
		return r;
	}
	block->address = (void *)address;
	return r;
}

void block_unmap(struct block *block)
{
	if (!block->address)
		return;
	(void)address_space_unmap(known.space, (uintptr_t)block->address, block->bytes);
	(void)cap_table_destroy(known.caps, block->memory);
	(void)cap_table_release(known.caps, block->memory);
	*block = (struct block){ 0 };
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
	bytes = (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if ((size_t)(arena->end - arena->next) < bytes || !arena->next) {
		size_t head = (sizeof(struct arena_chunk) + ALIGN - 1) & ~(size_t)(ALIGN - 1);
		struct block block;

		if (!result_ok(block_map(&block, head + bytes > CHUNK_BYTES ? head + bytes : CHUNK_BYTES)))
			return NULL;

		struct arena_chunk *chunk = block.address;

		chunk->next = arena->chunks;
		chunk->block = block;
		arena->chunks = chunk;
		arena->next = (char *)chunk + head;
		arena->end = (char *)chunk + block.bytes;
	}

	void *result = arena->next;

	arena->next += bytes;
	return result;
}

char *arena_text(struct arena *arena, const char *text)
{
	size_t bytes = strlen(text) + 1;
	char *copy = arena_alloc(arena, bytes);

	if (copy)
		memcpy(copy, text, bytes);
	return copy;
}

void arena_free(struct arena *arena)
{
	while (arena->chunks) {
		struct block block = arena->chunks->block;

		arena->chunks = arena->chunks->next;
		block_unmap(&block);
	}
	*arena = (struct arena){ 0 };
}
