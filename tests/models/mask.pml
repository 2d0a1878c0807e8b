/* SPDX-License-Identifier: MIT */
/*
 * Where an entity may run is made of the set that its thread asked for and the mask of its context (AF4, kernel/sched/affinity.c). One
 * changes the set, one binds a context and unbinds it again, one lends the entity to a pinned server and gets it back: each changes its part, and
 * makes the meet anew, under the entity's lock, before which comes the context's. Who finds no context before it has the entity's lock looks
 * again (lock_both). What a CPU does with the word is affinity.pml's.
 *
 * Bits are CPUs. Properties: while nobody holds the entity's lock the word is the meet of its parts; nobody waits for ever.
 *
 * RUN: => pass
 * RUN: -DNEVER => fail
 * RUN: -DBUG_NO_LOCK => fail
 * RUN: -DBUG_NO_SECOND_LOOK => fail
 * RUN: -DBUG_OTHER_ORDER => fail
 */
#define ALL 7
#define MASK 3

byte set = ALL, server_set = 0, word = ALL;
bit context = 0;	/* entity->context */
bit context_lock = 0, entity_lock = 0;
byte done = 0;

#define TAKE(lock) atomic { !lock -> lock = 1 }
#define MEET(c) ((server_set != 0 -> server_set : set) & (c -> MASK : ALL))

/* lock_both: found says whether there is a context, which is locked then. */
inline lock_both(found)
{
	do
	:: found = context;
	   if
	   :: found -> TAKE(context_lock);
		if
		:: context -> skip
		:: else -> context_lock = 0; found = 0
		fi
	   :: else -> skip
	   fi;
#ifndef BUG_NO_LOCK
	   TAKE(entity_lock);
#endif
#ifdef BUG_NO_SECOND_LOOK
	   break
#else
	   if
	   :: found || !context -> break
	   :: else -> entity_lock = 0
	   fi
#endif
	od
}

inline unlock_both(found)
{
#ifndef BUG_NO_LOCK
	entity_lock = 0;
#endif
	if
	:: found -> context_lock = 0
	:: else -> skip
	fi
}

/* sched_set_affinity, twice. */
active proctype setter()
{
	bit found;
	byte meet;

	lock_both(found);
	set = 5;
	meet = MEET(found);
	word = meet;
	unlock_both(found);
	lock_both(found);
	set = 6;
	meet = MEET(found);
	word = meet;
	unlock_both(found);
	done++
}

/* affinity_lend, there and back. */
active proctype lender()
{
	bit found;
	byte meet;

	lock_both(found);
	server_set = 1;
	meet = MEET(found);
	word = meet;
	unlock_both(found);
	lock_both(found);
	server_set = 0;
	meet = MEET(found);
	word = meet;
	unlock_both(found);
	done++
}

#ifdef BUG_OTHER_ORDER
#define TAKE_BOTH TAKE(entity_lock); TAKE(context_lock)
#else
#define TAKE_BOTH TAKE(context_lock); TAKE(entity_lock)
#endif
#define GIVE_BOTH entity_lock = 0; context_lock = 0

/* affinity_set_context, by bind and unbind. */
active proctype binder()
{
	byte meet;

	TAKE_BOTH;
	context = 1;
	meet = MEET(1);
	word = meet;
	GIVE_BOTH;
	TAKE_BOTH;
	context = 0;
	meet = MEET(0);
	word = meet;
	GIVE_BOTH;
	TAKE_BOTH;
	context = 1;
	meet = MEET(1);
	word = meet;
	GIVE_BOTH;
	done++
}

active proctype monitor()
{
	done == 3;
	assert(word == MEET(context));
#ifdef NEVER
	assert(false)
#endif
}
