/* SPDX-License-Identifier: MIT */
/*
 * Where an entity may run is made of the set that its thread asked for and the mask of its context (AF4, kernel/sched/affinity.c). One
 * changes the set, one lends the entity to a pinned server and gets it back, one binds contexts and unbinds them: each changes its part, and
 * makes the meet anew, under the entity's lock alone. Only a context for every CPU comes and goes without that (name_context): whoever sees it
 * or does not makes the same meet. What a CPU does with the word is affinity.pml's.
 *
 * Bits are CPUs. Properties: while nobody holds the entity's lock the word is the meet of its parts; nobody waits for ever.
 *
 * RUN: => pass
 * RUN: -DNEVER => fail
 * RUN: -DBUG_NO_LOCK => fail
 * RUN: -DBUG_LOOK_BEFORE => fail
 * RUN: -DBUG_MASK_WITHOUT_LOCK => fail
 */
#define ALL 7
#define MASK 3

byte set = ALL, server_set = 0, word = ALL;
byte context = 0;	/* entity->context: none, ... */
#define MASKS 1		/* ... one with a mask ... */
#define EVERYWHERE 2	/* ... or one for every CPU */
bit entity_lock = 0;
byte done = 0;

#define TAKE(lock) atomic { !lock -> lock = 1 }
#define MEET(c) ((server_set != 0 -> server_set : set) & (c == MASKS -> MASK : ALL))

inline lock_entity(found)
{
#ifdef BUG_LOOK_BEFORE
	found = context;
#endif
#ifdef BUG_NO_LOCK
	skip
#else
	TAKE(entity_lock)
#endif
}

inline meet_anew(found, meet)
{
#ifndef BUG_LOOK_BEFORE
	found = context;
#endif
	meet = MEET(found);
	word = meet
}

inline unlock_entity()
{
#ifdef BUG_NO_LOCK
	skip
#else
	entity_lock = 0
#endif
}

/* sched_set_affinity, twice. */
active proctype setter()
{
	byte found, meet;

	lock_entity(found);
	set = 5;
	meet_anew(found, meet);
	unlock_entity();
	lock_entity(found);
	set = 6;
	meet_anew(found, meet);
	unlock_entity();
	done++
}

/* affinity_lend, there and back. */
active proctype lender()
{
	byte found, meet;

	lock_entity(found);
	server_set = 1;
	meet_anew(found, meet);
	unlock_entity();
	lock_entity(found);
	server_set = 0;
	meet_anew(found, meet);
	unlock_entity();
	done++
}

/* affinity_set_context. */
inline name(now, found, meet)
{
#ifdef BUG_MASK_WITHOUT_LOCK
	context = now;
	lock_entity(found);
#else
	lock_entity(found);
	context = now;
#ifdef BUG_LOOK_BEFORE
	found = now;
#endif
#endif
	meet_anew(found, meet);
	unlock_entity()
}

/* By bind and unbind, which the context's lock puts in a row. */
active proctype binder()
{
	byte found, meet;

	name(MASKS, found, meet);
	name(0, found, meet);
	context = EVERYWHERE;
	context = 0;
	name(MASKS, found, meet);
	name(0, found, meet);
	context = EVERYWHERE;
	done++
}

active proctype monitor()
{
	atomic { !entity_lock -> assert(word == MEET(context)) };
	done == 3;
	assert(word == MEET(context));
#ifdef NEVER
	assert(false)
#endif
}
