/* SPDX-License-Identifier: MIT */
/*
 * Shared words over a model of x86-TSO; names and meanings as in mach/x86_64/include/mach/atomic.h.
 *
 * Model. An atomic store writes memory at once, and enters the CPU's FIFO store buffer with the value that it
 * replaced: until the entry drains, other CPUs' atomic loads of the word still see that value. Entries drain at seeded
 * moments, when the buffer is full, at every read-modify-write and fence of the CPU, at the machine calls that are barriers,
 * before user mode, and when another CPU stores to the word. So the CPU itself sees its stores even through plain
 * accesses (of what it owns or has locked), while a word that others may race on shows its delay to all who load it
 * by these names. Every operation is a sim point.
 */
#ifdef CAPOS_UNIT
/* Unit tests link pure sources without the simulator: plain builtins. */
#include "../../../x86_64/include/mach/atomic.h"
#endif
#ifndef MACH_ATOMIC_H
#define MACH_ATOMIC_H

#include <kernel/types.h>
#include <mach/arch.h>

/* One naturally aligned word of 1, 2, 4 or 8 bytes: an unsigned integer or a pointer. Zeroed memory is value 0. */
#define ATOMIC(type)                                                                                                 \
	struct {                                                                                                     \
		type value_;                                                                                         \
	}

/* --- the model ------------------------------------------------------------------------------------------------ */

#define SIM_STORES_MAX 8
#define SIM_PENDING_SLOTS 1024

struct sim_store {
	u64 addr;
	u64 bytes;
	u64 old;     /* what other CPUs still see */
	bool shared; /* the word may lie in a program's memory */
};

/* head .. head+count-1, oldest first; indices modulo SIM_STORES_MAX. */
struct sim_store_buffer {
	u32 count;
	u32 head;
	u32 active_pos; /* while count > 0: index in the list of buffers that are not empty */
	struct sim_store entry[SIM_STORES_MAX];
};

extern struct sim_store_buffer *sim_stores; /* of the running CPU */
extern bool sim_tso;			    /* false with one CPU: nobody could tell the difference */
/* How many entries, of all CPUs, are for words that hash here. */
extern u16 sim_pending[SIM_PENDING_SLOTS];

static inline bool sim_is_pending(const volatile void *word)
{
	return sim_pending[((u64)word >> 3) % SIM_PENDING_SLOTS] != 0;
}

/* Empty the running CPU's buffer. */
void sim_stores_drain(void);
/* Store through the buffer. */
void sim_stores_push(volatile void *word, u64 bytes, u64 value);
/* A program enters the kernel: its loads are not modelled, and may have seen any shared word; so these stores, and what
 * stands before them, are over. */
void sim_stores_seen_by_user(void);
/* What the running CPU sees of a word that may be pending. */
u64 sim_stores_load(const volatile void *word, u64 bytes);
/* What other CPUs see of a word that has a pending store of another CPU; NULL when there is none. */
u64 *sim_stores_others(const volatile void *word, u64 bytes);

typedef u8 __attribute__((may_alias)) sim_u8;
typedef u16 __attribute__((may_alias)) sim_u16;
typedef u32 __attribute__((may_alias)) sim_u32;
typedef u64 __attribute__((may_alias)) sim_u64;

static inline u64 sim_word_get(const volatile void *word, u64 bytes)
{
	switch (bytes) {
	case 1:
		return *(const volatile sim_u8 *)word;
	case 2:
		return *(const volatile sim_u16 *)word;
	case 4:
		return *(const volatile sim_u32 *)word;
	default:
		return *(const volatile sim_u64 *)word;
	}
}

static inline void sim_word_set(volatile void *word, u64 bytes, u64 value)
{
	switch (bytes) {
	case 1:
		*(volatile sim_u8 *)word = (u8)value;
		break;
	case 2:
		*(volatile sim_u16 *)word = (u16)value;
		break;
	case 4:
		*(volatile sim_u32 *)word = (u32)value;
		break;
	default:
		*(volatile sim_u64 *)word = value;
		break;
	}
}

static inline u64 sim_load(const volatile void *word, u64 bytes)
{
	sim_point(SIM_COST_ATOMIC);
	if (unlikely(sim_is_pending(word)))
		return sim_stores_load(word, bytes);
	return sim_word_get(word, bytes);
}

static inline void sim_store(volatile void *word, u64 bytes, u64 value)
{
	sim_point(SIM_COST_ATOMIC);
	if (sim_tso)
		sim_stores_push(word, bytes, value);
	else
		sim_word_set(word, bytes, value);
}

/* The same, of a word that programs may read: their loads see it at once (sim_stores_seen_by_user). */
static inline void sim_store_shared(volatile void *word, u64 bytes, u64 value)
{
	sim_store(word, bytes, value);
	if (sim_tso)
		sim_stores->entry[(sim_stores->head + sim_stores->count - 1) % SIM_STORES_MAX].shared = true;
}

/* Full barrier. */
static inline void sim_fence(void)
{
	sim_point(SIM_COST_RMW);
	if (unlikely(sim_stores->count != 0))
		sim_stores_drain();
}

/* Before a read-modify-write. Not NULL: another CPU's store to the word is pending, and here is what others see. */
static inline u64 *sim_lock(const volatile void *word, u64 bytes)
{
	sim_fence();
	return unlikely(sim_is_pending(word)) ? sim_stores_others(word, bytes) : NULL;
}

static inline u64 sim_seen(const u64 *others, const volatile void *word, u64 bytes)
{
	return others != NULL ? *others : sim_word_get(word, bytes);
}

/* With another CPU's store pending, this one comes before it: memory already holds the later value. */
static inline void sim_change(u64 *others, volatile void *word, u64 bytes, u64 value)
{
	if (others != NULL)
		*others = bytes == 8 ? value : value & ((1ull << (8 * bytes)) - 1);
	else
		sim_word_set(word, bytes, value);
}

#define SIM_FETCH(name, expression)                                                                                  \
	static inline u64 name(volatile void *word, u64 bytes, u64 value)                                            \
	{                                                                                                            \
		u64 *others = sim_lock(word, bytes), old = sim_seen(others, word, bytes);                            \
                                                                                                                     \
		sim_change(others, word, bytes, expression);                                                         \
		return old;                                                                                          \
	}
SIM_FETCH(sim_xchg, value)
SIM_FETCH(sim_fetch_add, old + value)
SIM_FETCH(sim_fetch_or, old | value)
SIM_FETCH(sim_fetch_and, old &value)

static inline bool sim_cas(volatile void *word, u64 bytes, u64 expected, u64 desired)
{
	u64 *others = sim_lock(word, bytes);

	if (sim_seen(others, word, bytes) != expected)
		return false;
	sim_change(others, word, bytes, desired);
	return true;
}

/* --- the names ------------------------------------------------------------------------------------------------ */

/* Unqualified type of a word, and a value converted to it and widened. */
#define SIM_TYPE(word) __typeof__(((void)0, (word)))
#define SIM_WIDE(word, v) ((u64)(SIM_TYPE(word))(v))

#define atomic_load_relaxed(p) ((SIM_TYPE((p)->value_))sim_load(&(p)->value_, sizeof((p)->value_)))
#define atomic_load_acquire(p) atomic_load_relaxed(p)
#define atomic_equals_relaxed(p, v) (atomic_load_relaxed(p) == (v))
#define atomic_equals_acquire(p, v) (atomic_load_relaxed(p) == (v))
#define atomic_clear_relaxed(p, mask) ((atomic_load_relaxed(p) & (mask)) == 0)
#define atomic_clear_acquire(p, mask) ((atomic_load_relaxed(p) & (mask)) == 0)
#define atomic_store_relaxed(p, v) sim_store(&(p)->value_, sizeof((p)->value_), SIM_WIDE((p)->value_, v))
#define atomic_store_release(p, v) atomic_store_relaxed(p, v)

/* A statement expression, so that the value may go unused. */
#define SIM_RMW(op, p, v)                                                                                            \
	({ (SIM_TYPE((p)->value_)) op(&(p)->value_, sizeof((p)->value_), SIM_WIDE((p)->value_, v)); })

/* Read-modify-write: all are full barriers. */
#define atomic_xchg(p, v) SIM_RMW(sim_xchg, p, v)
#define atomic_fetch_add(p, v) SIM_RMW(sim_fetch_add, p, v)
#define atomic_fetch_sub(p, v) SIM_RMW(sim_fetch_add, p, (0 - (v)))
#define atomic_fetch_or(p, v) SIM_RMW(sim_fetch_or, p, v)
#define atomic_fetch_and(p, v) SIM_RMW(sim_fetch_and, p, v)
/* If *p == expected, store desired and return true. */
#define atomic_cas(p, expected, desired)                                                                             \
	sim_cas(&(p)->value_, sizeof((p)->value_), SIM_WIDE((p)->value_, expected), SIM_WIDE((p)->value_, desired))
/* Full fence: orders earlier stores before later loads. */
#define atomic_fence() sim_fence()
/* The compiler keeps the order of plain accesses; on this machine other CPUs then see stores in that order. */
#define atomic_order() __atomic_signal_fence(__ATOMIC_SEQ_CST)

/* The same on words that lie in memory shared with a program (rings, park words): p points to the plain integer. */
#define shared_load_relaxed(p) ((SIM_TYPE(*(p)))sim_load((p), sizeof(*(p))))
#define shared_load_acquire(p) shared_load_relaxed(p)
#define shared_equals_relaxed(p, v) (shared_load_relaxed(p) == (v))
#define shared_clear_relaxed(p, mask) ((shared_load_relaxed(p) & (mask)) == 0)
#define shared_store_relaxed(p, v) sim_store_shared((p), sizeof(*(p)), SIM_WIDE(*(p), v))
#define shared_store_release(p, v) shared_store_relaxed(p, v)
#define shared_fetch_or(p, v) ({ (SIM_TYPE(*(p))) sim_fetch_or((p), sizeof(*(p)), SIM_WIDE(*(p), v)); })

#endif
