/* SPDX-License-Identifier: MIT */
/*
 * The memory and string functions that a program is linked with: members of musl's C library (see Makefile). Not
 * strspn, strcspn, strpbrk, memmem, strstr: Debian builds them with a stack protector, which needs thread-local data.
 */
#ifndef USER_MEM_H
#define USER_MEM_H

#include <stddef.h>
#include <stdint.h>

void *memchr(const void *s, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *s, int c, size_t n);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t n);
char *strncpy(char *restrict to, const char *restrict from, size_t n);

/* Copies text, cut to n - 1 bytes, and fills the rest of `to` with 0. */
static inline void copy_name(char *to, size_t n, const char *from)
{
	size_t length = strnlen(from, n - 1);

	memcpy(to, from, length);
	memset(to + length, 0, n - length);
}

/* The decimal number that `text` begins with; 0 when it begins with none. For the arguments of small programs. */
static inline uint64_t leading_number(const char *text)
{
	uint64_t value = 0;

	for (; *text >= '0' && *text <= '9'; text++)
		value = value * 10 + (uint64_t)(*text - '0');
	return value;
}

#endif
