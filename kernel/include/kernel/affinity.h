/* SPDX-License-Identifier: MIT */
/*
 * Where an entity may run, as one word that is stored and loaded whole:
 *
 *   AFFINITY_ANY                  on every CPU
 *   machines of up to 64 CPUs:    bit n: on CPU n
 *   larger machines:              id * 2 + 1: on CPU id; else the address of words of such bits, which belong to the thread
 *
 * AF1  It allows at least one CPU that is online, and names none that is not: whoever makes one sees to it, and CPUs stay.
 * AF2  The words of a thread (its memory ends with it) change one by one, under its object's lock, before its entity names them or
 *      while it does. Who reads them meanwhile may see some of the old ones and some of the new, or none; whoever changed them
 *      then looks where the entity got to (sched_set_affinity).
 * AF4  That of an entity is where the set that its thread asked for meets the mask of its context, in words of the context; made anew
 *      under its affinity_lock by whoever changes one of them. Should they not meet, which is refused, it is the mask. A context for every
 *      CPU is as none: it comes and goes without that lock (tests/models/mask.pml).
 */
#ifndef KERNEL_AFFINITY_H
#define KERNEL_AFFINITY_H

#include <capos/interface.h>
#include <kernel/cpu.h>
#include <kernel/thread.h>
#include <kernel/topology.h>

struct call;

#define AFFINITY_INLINE_CPUS 64u

static inline size_t affinity_mask_bytes(u32 cpu_count)
{
	return cpu_count > AFFINITY_INLINE_CPUS ? (cpu_count + 63) / 64 * sizeof(u64) : 0;
}

/* CPUs 64 index .. 64 index + 63 that it allows. */
u64 affinity_word(u64 affinity, u32 index);
/* On a machine of more than AFFINITY_INLINE_CPUS; not AFFINITY_ANY. */
bool affinity_allows_wide(u64 affinity, const struct cpu *cpu);
/* May it run on this CPU? */
static inline __attribute__((always_inline)) bool affinity_allows(u64 affinity, const struct cpu *cpu)
{
	if (likely((affinity & cpu->affinity_bit) != 0 || affinity == AFFINITY_ANY))
		return true;
	return cpu->affinity_bit == 0 && affinity_allows_wide(affinity, cpu);
}
/* Could a thread with this entity, which asked for `set` (NULL: for `affinity`), run by the mask of its context? It gets no other context
 * while the lock of its thread's object is held; else this is a look. */
bool affinity_fits_context(struct entity *entity, const struct capos_cpu_set *set, u64 affinity);
/* A thread asked for this set: whether its waiter is that of a pinned server (LE8 in kernel/sched/lend.c). */
static inline void affinity_note_pinned(struct thread *thread, u64 affinity)
{
	bool pinned = thread->passive && affinity != AFFINITY_ANY && cpu_count() > 1;

	shared_store_relaxed(&thread->wait.pinned, (u8)pinned);
}
/* On one CPU; anywhere when it is not online, or CAPOS_CPU_ANY. */
u64 affinity_of_cpu(u32 id);
/* The one CPU, or CAPOS_CPU_ANY when there are more. */
u32 affinity_only(u64 affinity);

/* The set is exactly the count and so many bytes, of which the last is not 0. */
bool affinity_set_is_canonical(const struct capos_cpu_set *set, u64 bytes);
/* The highest CPU of a canonical set; -1: it is empty. */
i64 affinity_last_of_set(const struct capos_cpu_set *set);
/* Are those of the set that are online all allowed? */
bool affinity_set_is_within(const struct capos_cpu_set *set, u64 outer);
/* How many CPUs of the set are online, and the last of them. */
u32 affinity_count(const struct capos_cpu_set *set, u32 *last);
/* The affinity that a set with an online CPU stands for; `words`: affinity_mask_bytes of whom it is for. */
u64 affinity_in_words(u64 *words, const struct capos_cpu_set *set);
/* For this thread. Under its object's lock, or before it is known. */
static inline u64 affinity_of_set(struct thread *thread, const struct capos_cpu_set *set)
{
	return affinity_in_words((u64 *)(thread + 1), set);
}
/* Is there a CPU that both allow? */
bool affinity_meets(u64 a, u64 b);
/* Is every CPU that `inner` allows allowed by `outer`? */
bool affinity_is_within(u64 inner, u64 outer);
/* What both allow, in words (affinity_mask_bytes); a == b: a copy. 0: nothing. */
u64 affinity_meet(u64 a, u64 b, u64 *words);
/* The other way: what is online of it, canonical. */
void affinity_to_set(u64 affinity, struct capos_cpu_set *set);
/* The same as the answer of a method: its bytes in word 0. */
void affinity_answer(struct call *call, u64 affinity);

#endif
