/* SPDX-License-Identifier: MIT */
/*
 * A change of where a thread may run, and the wait until it has left (kernel/sched/affinity.c AF3, kernel/sched/choose.h set_current,
 * kernel/task/thread_object.c leave_step).
 *
 * One entity, two CPUs that may no longer run it, a third one that may (elsewhere), and who changes that. A CPU takes the entity from
 * a queue, makes it current by an exchange, looks where it may be, and runs it in user mode until an interrupt, or until it gives way.
 *
 * x86-TSO: the CPUs' plain stores of `where` and `owner`, and the asker's of `forbidden`, go through store buffers in order; locked
 * operations and fences need the buffer empty. Who gives the entity away releases a queue's lock: its buffer is empty then.
 *
 * Properties: when the call has returned the entity is in user mode on neither CPU; the call returns.
 *
 * -DMUTUAL: instead, two CPUs whose threads send each other away at once: both calls return.
 *
 * RUN: => pass
 * RUN: -DNEVER => fail
 * RUN: -DBUG_NO_FENCE => fail
 * RUN: -DBUG_PLAIN_CURRENT => fail
 * RUN: -DBUG_LOOK_FIRST => fail
 * RUN: -DBUG_ASKED_IS_LEFT => fail
 * RUN: -DBUG_NOT_ASKED => fail
 * RUN: -DMUTUAL => pass
 * RUN: -DMUTUAL -DBUG_NO_WINDOW => fail
 */
#ifndef MUTUAL

#define NONE 0		/* in a queue, handed over, blocked */
#define CURRENT 1
#define ELSEWHERE 2	/* CURRENT, on the CPU that may */

byte owner = NONE;
byte where = 0;
bit forbidden = 0;	/* CPUs 0 and 1 */
bit taken = 0;		/* out of the queue: one CPU has it */
bit returned = 0;
byte turns = 2;		/* so often it leaves a CPU by itself */

bit user[2];
bit irq[2];
/* Store buffers. */
bit b_where[2];
bit b_current[2];
bit b_none[2];
bit b_forbidden = 0;
#define EMPTY(i) (!b_where[i] && !b_current[i] && !b_none[i])

active proctype store_buffers()
{
end:	do
	:: atomic { b_where[0] -> where = 0; b_where[0] = 0 }
	:: atomic { b_where[1] -> where = 1; b_where[1] = 0 }
	:: atomic { b_current[0] && !b_where[0] -> owner = CURRENT; b_current[0] = 0 }
	:: atomic { b_current[1] && !b_where[1] -> owner = CURRENT; b_current[1] = 0 }
	:: atomic { b_none[0] && !b_where[0] && !b_current[0] -> owner = NONE; b_none[0] = 0 }
	:: atomic { b_none[1] && !b_where[1] && !b_current[1] -> owner = NONE; b_none[1] = 0 }
	:: atomic { b_forbidden -> forbidden = 1; b_forbidden = 0 }
	od
}

active [2] proctype cpu()
{
	byte me = _pid - 1;
	bit may_not;

end:	do
	:: atomic { !taken -> taken = 1 } ->		/* from a queue, by its lock */
		b_where[me] = 1;
#ifdef BUG_LOOK_FIRST
		may_not = forbidden;
#endif
#ifdef BUG_PLAIN_CURRENT
		b_current[me] = 1;
#else
		atomic { EMPTY(me) -> owner = CURRENT };	/* exchange */
#endif
#ifndef BUG_LOOK_FIRST
		may_not = forbidden;
#endif
		do
		:: may_not -> break
		:: else ->
			user[me] = 1;
			if
			:: irq[me] -> user[me] = 0; irq[me] = 0; may_not = forbidden
			:: turns > 0 -> turns--; user[me] = 0; break	/* it blocks, or gives way */
			fi
		od;
		b_none[me] = 1;
		atomic { EMPTY(me) -> taken = 0 }	/* the queue's unlock */
	:: irq[me] -> irq[me] = 0
	od
}

/* The CPU that may. */
active proctype third()
{
end:	do
	:: atomic { !taken -> taken = 1; owner = ELSEWHERE } -> atomic { owner = NONE; taken = 0 }
	od
}

active proctype asker()
{
	byte at, own;

	b_forbidden = 1;			/* a plain store */
#ifndef BUG_NO_FENCE
	!b_forbidden;
#endif
	at = where;
	own = owner;
#ifndef BUG_NOT_ASKED
	if
	:: own == CURRENT -> irq[at] = 1	/* is asked; one that it came to meanwhile has looked */
	:: else -> skip
	fi;
#endif
#ifndef BUG_ASKED_IS_LEFT
	do
	:: owner != CURRENT -> break
	od;
#endif
	returned = 1;
#ifdef NEVER
	assert(false)
#endif
}

active proctype monitor()
{
	/* Any moment after the return. */
	returned;
	assert(!user[0] && !user[1])
}

#else

bit current[2] = { 1, 1 };	/* thread i on CPU i */
bit irq[2];
bit done[2];

active [2] proctype cpu()
{
	byte me = _pid;

	/* Its thread sends the other one away. */
	if
	:: current[1 - me] -> irq[1 - me] = 1
	:: else -> skip
	fi;
	do
	:: !current[1 - me] -> break
#ifndef BUG_NO_WINDOW
	:: irq[me] -> irq[me] = 0; current[me] = 0	/* sent away: it looks on from another CPU */
#endif
	od;
	done[me] = 1;
	/* In user mode again. */
end:	do
	:: irq[me] -> irq[me] = 0; current[me] = 0
	od
}

active proctype monitor()
{
	timeout -> assert(done[0] && done[1])
}

#endif
