/* SPDX-License-Identifier: MIT */
/*
 * Types that every room uses. Addresses of different kinds, and instants and spans of time, are different
 * one-field structs, so that mixing them does not compile.
 */
#ifndef KERNEL_TYPES_H
#define KERNEL_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t i32;
typedef int64_t i64;

#define PAGE_SHIFT 12
#define PAGE_BYTES 4096ul

/* Physical address in bytes. */
struct paddr {
	u64 pa;
};

/* User virtual address in bytes: never dereferenced by the kernel. */
struct uaddr {
	u64 va;
};

/* Instant: nanoseconds since boot on the one monotonic clock. NEVER is later than every instant. */
struct instant {
	u64 ns;
};

/* Span of time in nanoseconds. */
struct span {
	u64 ns;
};

#define INSTANT_NEVER ((struct instant){ ~0ull })

#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define ALIGN_UP(x, a) (((x) + (a) - 1) & ~((typeof(x))(a) - 1))
#define ALIGN_DOWN(x, a) ((x) & ~((typeof(x))(a) - 1))
/* They look at an argument twice: no loads of what others change. */
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define MUST_CHECK __attribute__((warn_unused_result))
#define NORETURN __attribute__((noreturn))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define CACHELINE __attribute__((aligned(64)))

#endif
