/* SPDX-License-Identifier: MIT */
/*
 * Shared words. A word that more than one CPU touches without a lock is an ATOMIC(type) and is used only through
 * these, on the compiler's __atomic builtins. The simulator has the same names over a model of x86-TSO.
 *
 * Every acquire load names, at its place, the release it pairs with.
 */
#ifndef MACH_ATOMIC_H
#define MACH_ATOMIC_H

/* One naturally aligned word of 1, 2, 4 or 8 bytes: an unsigned integer or a pointer. Zeroed memory is value 0. */
#define ATOMIC(type)                                                                                                 \
	struct {                                                                                                     \
		type value_;                                                                                         \
	}

#define atomic_load_relaxed(p) __atomic_load_n(&(p)->value_, __ATOMIC_RELAXED)
#define atomic_load_acquire(p) __atomic_load_n(&(p)->value_, __ATOMIC_ACQUIRE)
/* atomic_load_*(p) == value, and (atomic_load_*(p) & mask) == 0, in one instruction: gcc does not fold its atomic loads into
 * what uses them. */
#ifdef __clang__ /* which does fold them */
#define equals_relaxed_(word, v) (__atomic_load_n(&(word), __ATOMIC_RELAXED) == (v))
#define atomic_equals_acquire(p, v) (atomic_load_acquire(p) == (v))
#define clear_relaxed_(word, mask) ((__atomic_load_n(&(word), __ATOMIC_RELAXED) & (mask)) == 0)
#define atomic_clear_acquire(p, mask) ((atomic_load_acquire(p) & (mask)) == 0)
#else
#define equals_relaxed_(word, v)                                                                                     \
	({                                                                                                           \
		bool equal_;                                                                                         \
		__asm__ volatile("cmp%z1 %2, %1" : "=@ccz"(equal_) : "m"(word), "re"((__typeof__(word))(v)));        \
		equal_;                                                                                              \
	})
#define atomic_equals_acquire(p, v)                                                                                  \
	({                                                                                                           \
		bool equal_;                                                                                         \
		__asm__ volatile("cmp%z1 %2, %1"                                                                     \
				 : "=@ccz"(equal_)                                                                   \
				 : "m"((p)->value_), "re"((__typeof__((p)->value_))(v))                              \
				 : "memory");                                                                        \
		equal_;                                                                                              \
	})
#define clear_relaxed_(word, mask)                                                                                   \
	({                                                                                                           \
		bool clear_;                                                                                         \
		__asm__ volatile("test%z1 %2, %1" : "=@ccz"(clear_) : "m"(word), "re"((__typeof__(word))(mask)));    \
		clear_;                                                                                              \
	})
#define atomic_clear_acquire(p, mask)                                                                                \
	({                                                                                                           \
		bool clear_;                                                                                         \
		__asm__ volatile("test%z1 %2, %1"                                                                    \
				 : "=@ccz"(clear_)                                                                   \
				 : "m"((p)->value_), "re"((__typeof__((p)->value_))(mask))                           \
				 : "memory");                                                                        \
		clear_;                                                                                              \
	})
#endif
#define atomic_equals_relaxed(p, v) equals_relaxed_((p)->value_, v)
#define atomic_clear_relaxed(p, mask) clear_relaxed_((p)->value_, mask)

#define atomic_store_relaxed(p, v) __atomic_store_n(&(p)->value_, (v), __ATOMIC_RELAXED)
#define atomic_store_release(p, v) __atomic_store_n(&(p)->value_, (v), __ATOMIC_RELEASE)

/* Read-modify-write: all are full barriers (locked instructions). */
#define atomic_xchg(p, v) __atomic_exchange_n(&(p)->value_, (v), __ATOMIC_SEQ_CST)
#define atomic_fetch_add(p, v) __atomic_fetch_add(&(p)->value_, (v), __ATOMIC_SEQ_CST)
#define atomic_fetch_sub(p, v) __atomic_fetch_sub(&(p)->value_, (v), __ATOMIC_SEQ_CST)
#define atomic_fetch_or(p, v) __atomic_fetch_or(&(p)->value_, (v), __ATOMIC_SEQ_CST)
#define atomic_fetch_and(p, v) __atomic_fetch_and(&(p)->value_, (v), __ATOMIC_SEQ_CST)
/* If *p == expected, store desired and return true. */
#define atomic_cas(p, expected, desired)                                                                             \
	({                                                                                                           \
		__typeof__((p)->value_) expected_ = (expected);                                                      \
		__atomic_compare_exchange_n(&(p)->value_, &expected_, (desired), false, __ATOMIC_SEQ_CST,            \
					    __ATOMIC_SEQ_CST);                                                       \
	})
/* Full fence: orders earlier stores before later loads. */
#define atomic_fence() __atomic_thread_fence(__ATOMIC_SEQ_CST)
/* The compiler keeps the order of plain accesses; on this machine other CPUs then see stores in that order. */
#define atomic_order() __atomic_signal_fence(__ATOMIC_SEQ_CST)

/* The same on words that lie in memory shared with a program (rings, park words): p points to the plain integer. */
#define shared_load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define shared_equals_relaxed(p, v) equals_relaxed_(*(p), v)
#define shared_clear_relaxed(p, mask) clear_relaxed_(*(p), mask)
#define shared_load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define shared_store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define shared_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define shared_fetch_or(p, v) __atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST)

#endif
