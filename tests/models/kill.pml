/* SPDX-License-Identifier: MIT */
/*
 * Kill against a thread that is about to block (kernel/task/wait.c, thread.c thread_kill, dispatch.c check_armed), beside an
 * event that wants to wake it.
 *
 * The blocker arms its waiter by an exchange and looks at its attention word at the end of its kernel entry; the killer marks
 * the attention word by a locked operation and then tries to claim the waiter; the event claims it too. With -DBUG_PLAIN_ARM
 * the arm is a plain store through a store buffer of one entry.
 *
 * Properties: exactly one claim; the killed thread does not stay blocked.
 *
 * RUN: => pass
 * RUN: -DEVENT => pass
 * RUN: -DBUG_PLAIN_ARM => fail
 * RUN: -DBUG_NO_LOOK => fail
 * RUN: -DBUG_BLIND_CLAIM -DEVENT => fail
 */
#define IDLE 0
#define ARMED 1
#define CLAIMED 2

byte state = IDLE;
bit buffered = 0;
bit attention = 0;
byte claims = 0;
byte done = 0;

#ifdef BUG_BLIND_CLAIM
#define CLAIM(won) seen = state; if :: seen == ARMED -> state = CLAIMED; won = 1 :: else -> won = 0 fi
#else
#define CLAIM(won) atomic { if :: state == ARMED -> state = CLAIMED; won = 1 :: else -> won = 0 fi }
#endif

active proctype blocker()
{
	bit won = 0;
	byte seen;

#ifdef BUG_PLAIN_ARM
	buffered = 1;
#else
	atomic { state = ARMED; }		/* exchange */
#endif
#ifndef BUG_NO_LOOK
	if
	:: attention == 1 -> CLAIM(won); claims = claims + won
	:: else -> skip
	fi;
#endif
	done++
}

active proctype store_buffer()
{
end:	do
	:: atomic { buffered -> state = ARMED; buffered = 0 }
	od
}

active proctype killer()
{
	bit won = 0;
	byte seen;

	atomic { attention = 1; }		/* locked or */
	CLAIM(won);
	claims = claims + won;
	done++
}

#ifdef EVENT
active proctype event()
{
	bit won = 0;
	byte seen;

	CLAIM(won);
	claims = claims + won;
	done++
}
#define PARTIES 3
#else
#define PARTIES 2
#endif

active proctype monitor()
{
	timeout -> assert(done == PARTIES && claims == 1)
}
