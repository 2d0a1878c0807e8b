/* SPDX-License-Identifier: MIT */
/*
 * The loan of an entity (kernel/sched/lend.c LE2): its owner's call ends by a reply, or by a kill, while the server returns it, or
 * drops it in a receive without a reply.
 *
 * The reply and the kill claim the caller's waiter: one wins. Who ends the call without the entity marks the loan orphaned (locked
 * or); a drop clears LENT (locked and). The store of 0 after a return, and after an orphan that found the loan dropped, are plain and
 * go through a store buffer of one entry of their CPU (the wake that follows is a locked operation: the buffer is empty before
 * another CPU runs the thread).
 *
 * Properties: exactly one has the entity at the end (freed once, or the owner's again); the owner runs on an entity that nobody else
 * has; a loan that came back is 0.
 *
 * RUN: => pass
 * RUN: -DREPLY_BY_TOKEN => pass
 * RUN: -DNEVER => fail
 * RUN: -DBUG_PLAIN_DROP => fail
 * RUN: -DBUG_PLAIN_ORPHAN => fail
 * RUN: -DBUG_FREE_ALWAYS => fail
 * RUN: -DBUG_STAYS_ORPHAN => fail
 * RUN: -DBUG_NO_CLAIM => fail
 */
#define LENT 1
#define ORPHAN 2

byte loan = LENT;
bit armed = 1;		/* the caller's waiter */
bit server_has = 1;	/* the lent entity */
bit owner_has = 0;
bit spare = 1;		/* the owner has a spare */
bit owner_on_spare = 0;
byte freed = 0;
byte readied = 0;	/* how often the owner was made to run */
byte done = 0;

inline claim(won)
{
#ifdef BUG_NO_CLAIM
	won = armed;
	armed = 0
#else
	atomic { won = armed; armed = 0 }
#endif
}

/* The owner's call ended, and the entity did not come with it: thread_ready, settle_loan. */
inline settle()
{
	seen = loan;
	if
	:: !(seen & LENT) -> owner_has = 1
	:: else ->
#ifdef BUG_PLAIN_ORPHAN
		seen = loan;
		loan = seen | ORPHAN;
#else
		atomic { seen = loan; loan = loan | ORPHAN };
#endif
		if
		:: seen & LENT -> assert(spare); spare = 0; owner_on_spare = 1
		:: else ->
#ifndef BUG_STAYS_ORPHAN
			loan = 0;
#endif
			owner_has = 1
		fi
	fi;
	readied++;
	assert(readied == 1)
}

/* The server gives the entity up: receive without a reply, or its death. */
inline drop()
{
	server_has = 0;		/* detached: the entity is nobody's current */
#ifdef BUG_PLAIN_DROP
	seen = loan;
	loan = seen & ORPHAN;
#else
	atomic { seen = loan; loan = loan & ORPHAN };
#endif
#ifdef BUG_FREE_ALWAYS
	freed++
#else
	if
	:: seen & ORPHAN -> freed++
	:: else -> skip
	fi
#endif
}

active proctype server()
{
	bit won;
	byte seen;

	if
	:: /* reply, and the entity goes back */
		claim(won);
		if
		:: won ->
			server_has = 0;
			owner_has = 1;
			loan = 0;
			readied++;
			assert(readied == 1)
		:: else -> drop()
		fi
	:: /* receive first */
		drop();
#ifdef REPLY_BY_TOKEN
		claim(won);
		if
		:: won -> settle()
		:: else -> skip
		fi
#endif
	fi;
	done++
}

/* Kill, deadline, revocation: another CPU. */
active proctype killer()
{
	bit won;
	byte seen;

	claim(won);
	if
	:: won -> settle()
	:: else -> skip
	fi;
	done++
}

active proctype monitor()
{
	done == 2;
	assert(readied == 1);
	assert(!server_has);
	/* The entity is the owner's, or freed; and the owner has one that is its own. */
	assert(owner_has + freed == 1);
	assert(owner_has + owner_on_spare == 1);
	assert(!owner_has || loan == 0);
#ifdef NEVER
	assert(!owner_on_spare);
#endif
}
