/* SPDX-License-Identifier: MIT */
/* Where threads may run, and what happens to one when that changes. AF1, AF2, AF4: kernel/affinity.h. */
#include <kernel/affinity.h>

#include <capos/abi.h>
#include <kernel/call.h>
#include <kernel/state.h>
#include <string.h>

#include "context.h"
#include "sched_priv.h"

/* A queued entity that may be moved meanwhile is looked for so often; then its CPU sends it away when its turn comes. */
#define MOVE_TRIES 4

static bool machine_is_wide(void)
{
	return kernel_state.cpu_count > AFFINITY_INLINE_CPUS;
}

static u32 word_count(void)
{
	return (kernel_state.cpu_count + 63) / 64;
}

u64 affinity_word(u64 affinity, u32 index)
{
	if (affinity == AFFINITY_ANY)
		return ~0ull;
	if (!machine_is_wide())
		return affinity;
	if (affinity & 1)
		return affinity / 128 == index ? 1ull << (affinity / 2 % 64) : 0;
	return shared_load_relaxed(&((const u64 *)(uintptr_t)affinity)[index]);
}

bool affinity_allows_wide(u64 affinity, const struct cpu *cpu)
{
	return (affinity_word(affinity, cpu->id / 64) >> (cpu->id % 64) & 1) != 0;
}

static bool is_online(u32 id)
{
	const struct cpu *cpu = id < kernel_state.cpu_count ? cpu_find(id) : NULL;

	return cpu != NULL && atomic_load_acquire(&cpu->online) != 0; /* pairs with kernel_cpu_boot */
}

u64 affinity_of_cpu(u32 id)
{
	if (!is_online(id))
		return AFFINITY_ANY;
	return machine_is_wide() ? id * 2ull + 1 : 1ull << id;
}

u32 affinity_only(u64 affinity)
{
	u32 only = CAPOS_CPU_ANY;

	if (affinity == AFFINITY_ANY)
		return CAPOS_CPU_ANY;
	if (machine_is_wide())
		return affinity & 1 ? (u32)(affinity / 2) : CAPOS_CPU_ANY;
	if ((affinity & (affinity - 1)) == 0)
		only = (u32)__builtin_ctzll(affinity);
	return only;
}

/* --- sets ---------------------------------------------------------------------------------------------------------------- */

static bool set_has(const struct capos_cpu_set *set, u32 id)
{
	return id / 8 < set->byte_count && (set->byte[id / 8] >> (id % 8) & 1) != 0;
}

bool affinity_set_is_canonical(const struct capos_cpu_set *set, u64 bytes)
{
	return bytes >= sizeof(set->byte_count) && bytes - sizeof(set->byte_count) == set->byte_count &&
	       set->byte_count <= CAPOS_CPU_SET_BYTES &&
	       (set->byte_count == 0 || set->byte[set->byte_count - 1] != 0);
}

i64 affinity_last_of_set(const struct capos_cpu_set *set)
{
	if (set->byte_count == 0)
		return -1;
	return set->byte_count * 8l - 1 - (__builtin_clz(set->byte[set->byte_count - 1]) - 24);
}

u32 affinity_count(const struct capos_cpu_set *set, u32 *last)
{
	u32 count = 0;

	*last = CPU_NONE;
	for (u32 id = 0; id < kernel_state.cpu_count; id++) {
		if (!set_has(set, id) || !is_online(id))
			continue;
		count++;
		*last = id;
	}
	return count;
}

/* CPUs 64 index .. 64 index + 63 of the set that are online. */
static u64 online_word(const struct capos_cpu_set *set, u32 index)
{
	u64 word = 0;

	for (u32 id = index * 64; id < index * 64 + 64; id++)
		word |= (u64)(set_has(set, id) && is_online(id)) << (id % 64);
	return word;
}

u64 affinity_in_words(u64 *words, const struct capos_cpu_set *set)
{
	u32 online = 0, last, allowed = affinity_count(set, &last);

	for (u32 id = 0; id < kernel_state.cpu_count; id++)
		online += is_online(id);
	if (allowed == online)
		return AFFINITY_ANY;
	if (allowed == 1)
		return affinity_of_cpu(last);
	if (!machine_is_wide())
		return online_word(set, 0);
	for (u32 i = 0; i < word_count(); i++)
		shared_store_relaxed(&words[i], online_word(set, i));
	return (u64)(uintptr_t)words;
}

bool affinity_set_is_within(const struct capos_cpu_set *set, u64 outer)
{
	for (u32 i = 0; i < word_count(); i++)
		if ((online_word(set, i) & ~affinity_word(outer, i)) != 0)
			return false;
	return true;
}

static bool set_meets(const struct capos_cpu_set *set, u64 affinity)
{
	for (u32 i = 0; i < word_count(); i++)
		if ((online_word(set, i) & affinity_word(affinity, i)) != 0)
			return true;
	return false;
}

void affinity_to_set(u64 affinity, struct capos_cpu_set *set)
{
	memset(set, 0, sizeof(*set));
	for (u32 id = 0; id < kernel_state.cpu_count && id / 8 < CAPOS_CPU_SET_BYTES; id++) {
		if (!is_online(id) || (affinity_word(affinity, id / 64) >> (id % 64) & 1) == 0)
			continue;
		set->byte[id / 8] |= (u8)(1u << (id % 8));
		set->byte_count = (u16)(id / 8 + 1);
	}
}

void affinity_answer(struct call *call, u64 affinity)
{
	struct capos_cpu_set *set = (struct capos_cpu_set *)call->out;

	affinity_to_set(affinity, set);
	call->out_bytes = (u32)sizeof(set->byte_count) + set->byte_count;
	call->word[0] = call->out_bytes;
}

/* --- meeting ------------------------------------------------------------------------------------------------------------- */

/* CPUs 64 index .. 64 index + 63 that are there. */
static u64 machine_word(u32 index)
{
	u32 rest = kernel_state.cpu_count - index * 64;

	return rest >= 64 ? ~0ull : (1ull << rest) - 1;
}

bool affinity_meets(u64 a, u64 b)
{
	for (u32 i = 0; i < word_count(); i++)
		if ((affinity_word(a, i) & affinity_word(b, i) & machine_word(i)) != 0)
			return true;
	return false;
}

bool affinity_is_within(u64 inner, u64 outer)
{
	for (u32 i = 0; outer != AFFINITY_ANY && i < word_count(); i++)
		if ((affinity_word(inner, i) & ~affinity_word(outer, i) & machine_word(i)) != 0)
			return false;
	return true;
}

u64 affinity_meet(u64 a, u64 b, u64 *words)
{
	u64 found = 0;

	if (a == AFFINITY_ANY && b == AFFINITY_ANY)
		return AFFINITY_ANY;
	if (!machine_is_wide())
		return a & b;
	for (u32 i = 0; i < word_count(); i++) {
		u64 both = affinity_word(a, i) & affinity_word(b, i) & machine_word(i);

		found |= both;
		shared_store_relaxed(&words[i], both);
	}
	return found != 0 ? (u64)(uintptr_t)words : 0;
}

/* --- changes ------------------------------------------------------------------------------------------------------------- */

/* Out of a queue where it may not be any more. False: it is not queued, or moved meanwhile. */
static bool move_queued(struct cpu *cpu, struct cpu *where, struct entity *entity)
{
	bool taken = false;

	MEASURE_SITE(cpu, scheduler_lock_site_metadata);
	spin_lock(&where->runq.lock);
	wake_drain_locked(where);
	if (atomic_load_relaxed(&entity->owner) == OWNER_QUEUE && atomic_load_relaxed(&entity->cpu) == where) {
		taken = !place_allows(where, entity);
		if (taken) {
			runq_dequeue(&where->runq, entity);
			owner_change(entity, OWNER_QUEUE, OWNER_HANDOFF);
		}
	}
	spin_unlock(&where->runq.lock);
	if (taken)
		place_elsewhere(cpu, entity);
	return taken;
}

/* The context whose mask counts; NULL: none, or it is for every CPU. Under the entity's affinity_lock it stays so: only one for every CPU
 * comes and goes without that lock (name_context). */
static struct context *masking(struct entity *entity)
{
	struct context *context = atomic_load_acquire(&entity->context); /* pairs with the release in name_context */

	return context != NULL && context->mask != AFFINITY_ANY ? context : NULL;
}

/* AF4, under the lock. */
static void meet_anew(struct entity *entity)
{
	u64 set = entity->server_set != 0 ? entity->server_set : entity->set;
	struct context *context = masking(entity);

	if (unlikely(context != NULL)) {
		u64 both = affinity_meet(set, context->mask, context->words + word_count());

		set = both != 0 ? both : context->mask;
	}
	shared_store_relaxed(&entity->affinity, set);
}

void affinity_set_context(struct entity *entity, struct context *context)
{
	spin_lock(&entity->affinity_lock);
	atomic_store_release(&entity->context, context); /* pairs with the acquire in lock_context */
	meet_anew(entity);
	spin_unlock(&entity->affinity_lock);
}

bool affinity_fits_context(struct entity *entity, const struct capos_cpu_set *set, u64 affinity)
{
	const struct context *context = masking(entity);

	if (likely(context == NULL))
		return true;
	return set != NULL ? set_meets(set, context->mask) : affinity_meets(affinity, context->mask);
}

bool affinity_fits_mask(struct entity *entity, u64 mask)
{
	bool fits;

	spin_lock(&entity->affinity_lock);
	fits = affinity_meets(entity->set, mask) &&
	       (entity->server_set == 0 || affinity_meets(entity->server_set, mask));
	spin_unlock(&entity->affinity_lock);
	return fits;
}

bool affinity_lend(struct entity *entity, u64 server_set)
{
	bool fits;

	spin_lock(&entity->affinity_lock);
	fits = server_set == 0 || affinity_fits_context(entity, NULL, server_set);
	if (likely(fits)) {
		entity->server_set = server_set;
		meet_anew(entity);
	}
	spin_unlock(&entity->affinity_lock);
	return fits;
}

void affinity_pass_on(struct thread *thread, struct entity *from, struct entity *to)
{
	spin_lock(&from->affinity_lock);
	to->set = from->set;
	shared_store_relaxed(&to->affinity, to->set);
	shared_store_relaxed(&thread->own, to);
	/* Who has it now may run anywhere, and does not hold on to the thread's words (AF2). */
	from->set = AFFINITY_ANY;
	meet_anew(from);
	spin_unlock(&from->affinity_lock);
}

/*
 * Queued: it is moved at once. Running: its CPU is asked, and sends it away. Blocked, or being handed over: whoever makes it run
 * looks. Either the CPU that makes it current sees the new affinity (set_current), or that CPU is seen here.
 *
 * AF3  So after the fence below the entity may only be in user mode on a CPU that it may not be on if it is current there now. When it
 *      is current there no more, or another change allows that CPU, it will not be: tests/models/affinity.pml.
 */
bool affinity_settle(struct cpu *cpu, const struct thread *thread, struct entity *own)
{
	struct cpu *where;

	atomic_fence();
	where = atomic_load_relaxed(&own->cpu);
	for (int i = 0; i < MOVE_TRIES && where != NULL && !place_allows(where, own); i++) {
		u32 owner = atomic_load_relaxed(&own->owner);

		if (owner == OWNER_NONE || owner == OWNER_THROTTLED ||
		    ((owner == OWNER_QUEUE || owner == OWNER_INBOX) && move_queued(cpu, where, own)))
			return true;
		if (owner == OWNER_CURRENT || owner == OWNER_HANDOFF)
			break;
		where = atomic_load_relaxed(&own->cpu);
	}
	if (where == NULL || place_allows(where, own))
		return true;
	sched_request(cpu, where, REQUEST_RESCHEDULE);
	/* Here it goes before this CPU is in user mode again. */
	return where == cpu || sched_has_left(thread);
}

bool sched_set_affinity(struct cpu *cpu, struct thread *thread, u64 affinity)
{
	struct entity *own;
	bool done;

	do {
		own = shared_load_relaxed(&thread->own);
		spin_lock(&own->affinity_lock);
		done = own == shared_load_relaxed(&thread->own); /* affinity_pass_on */
		if (done) {
			own->set = affinity;
			meet_anew(own);
		}
		spin_unlock(&own->affinity_lock);
	} while (!done);
	affinity_note_pinned(thread, affinity);
	return affinity_settle(cpu, thread, own);
}

bool sched_has_left(const struct thread *thread)
{
	const struct entity *own = shared_load_relaxed(&thread->own);

	/* Acquire: the CPU that it is current on, or a later one; pairs with the exchange in set_current. */
	return atomic_load_acquire(&own->owner) != OWNER_CURRENT || place_allows(atomic_load_relaxed(&own->cpu), own);
}
