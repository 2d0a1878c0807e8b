/* SPDX-License-Identifier: MIT */
/*
 * A change of weight, class and request (kernel/sched/classes.c sched_set_params): the word of what is wanted, against dispatch, wake,
 * steal and hand-off on other CPUs, and against the spare that replaces a lent entity (kernel/sched/lend.c take_spare).
 *
 * Two CPUs take the one entity from a queue or from each other's, are handed it, make it current by an exchange, look at what is wanted,
 * run it, and put it back, block it, or wake it by the other's inbox. A third one changes what is wanted.
 *
 * x86-TSO: the CPUs' plain stores of `where`, and what a bug makes plain, and the setter's of `wanted` go through store buffers in
 * order; locked operations, locks and fences need the buffer empty. Queue locks: `tree` is looked at and changed under them.
 *
 * Properties: once the call has returned and its interrupt has been taken, what competes has what is wanted; so has what is woken later.
 *
 * -DSPARE: instead, the thread's own entity is replaced meanwhile: the new one wants what was wanted last.
 *
 * RUN: => pass
 * RUN: -DNEVER => fail
 * RUN: -DBUG_NO_FENCE => fail
 * RUN: -DBUG_PLAIN_CURRENT => fail
 * RUN: -DBUG_LOOK_FIRST => fail
 * RUN: -DBUG_NO_LOOK => fail
 * RUN: -DBUG_NO_ADOPT => fail
 * RUN: -DBUG_NOT_ASKED => fail
 * RUN: -DBUG_BACK_AS_IT_WAS => fail
 * RUN: -DSPARE => pass
 * RUN: -DSPARE -DBUG_NO_COPY => fail
 * RUN: -DSPARE -DBUG_NO_SECOND_LOOK => fail
 * RUN: -DSPARE -DBUG_NO_FENCE => fail
 * RUN: -DSPARE -DBUG_NO_SPARE_FENCE => fail
 */
#ifndef SPARE

#define BLOCKED 0
#define INBOX 1
#define TREE 2
#define TAKEN 3		/* handed over, or current */

byte place = BLOCKED;
byte where = 0;		/* whose queue, inbox or current slot */
bit wanted = 0;
bit adopted = 0;
bit locked[2];
bit user[2];		/* it runs it in user mode: interrupts are taken */
bit irq[2];
bit returned = 0;
byte turns = 4;
/* Store buffers. */
bit b_where[2];
bit b_wanted = 0;

active proctype store_buffers()
{
end:	do
	:: atomic { b_where[0] -> where = 0; b_where[0] = 0 }
	:: atomic { b_where[1] -> where = 1; b_where[1] = 0 }
	:: atomic { b_wanted -> wanted = 1; b_wanted = 0 }
	od
}

inline lock(i)
{
	atomic { !locked[i] -> locked[i] = 1 }
}

inline adopt()
{
	adopted = wanted
}

/* set_current, then the way out: who finds that something else is wanted chooses anew, and adopts it. */
inline set_current()
{
	b_where[me] = 1;
#ifdef BUG_LOOK_FIRST
	differ = (adopted != wanted);
#endif
#ifndef BUG_PLAIN_CURRENT
	!b_where[me];			/* exchange of the owner */
#endif
#ifndef BUG_LOOK_FIRST
	differ = (adopted != wanted);
#endif
#ifdef BUG_NO_LOOK
	differ = 0;
#endif
	if
	:: differ -> !b_where[me]; lock(me); adopt(); locked[me] = 0
	:: else -> skip
	fi;
	user[me] = 1
}

proctype cpu(byte me)
{
	bit differ;
	byte from;

end:	do
	/* An interrupt: in user mode, or idle. */
	:: irq[me] && user[me] ->
		atomic { user[me] = 0; irq[me] = 0 };
		!b_where[me];
		lock(me);
		adopt();
		locked[me] = 0;
		user[me] = 1
	:: atomic { irq[me] && !user[me] -> irq[me] = 0 }
	/* It gives way, or blocks. */
	:: user[me] && turns > 0 ->
		user[me] = 0;
		!b_where[me];
		if
		:: lock(me);
#ifndef BUG_BACK_AS_IT_WAS
			adopt();
#endif
			place = TREE;
			locked[me] = 0
		:: place = BLOCKED
		fi
	/* Out of a queue: its own, or as a thief. */
	:: atomic { turns > 0 && place == TREE && !locked[0] && !locked[1] -> from = where; locked[from] = 1; turns-- };
		place = TAKEN;
		locked[from] = 0;
		set_current()
	/* A hand-off: without the queue. */
	:: atomic { turns > 0 && place == BLOCKED -> place = TAKEN; turns-- };
		adopt();
		set_current()
	/* Woken here, into the other CPU's inbox. */
	:: atomic { turns > 0 && place == BLOCKED -> place = TAKEN; turns-- };
		b_where[1 - me] = 1;	/* in this CPU's buffer: the other one stores nothing meanwhile */
		!b_where[1 - me];	/* compare and swap */
		place = INBOX
	:: atomic { place == INBOX && where == me && !locked[me] -> locked[me] = 1 };
		if
		:: place == INBOX && where == me ->
#ifndef BUG_NO_ADOPT
			adopt();
#endif
			place = TREE
		:: else -> skip
		fi;
		locked[me] = 0
	od
}

proctype setter()
{
	byte at;
	bit queued;

	b_wanted = 1;
#ifndef BUG_NO_FENCE
	!b_wanted;
#endif
	at = where;
	!b_wanted;
	lock(at);
	queued = (place == TREE && where == at);
	if
	:: queued -> adopt()
	:: else -> skip
	fi;
	locked[at] = 0;
#ifndef BUG_NOT_ASKED
	if
	:: !queued -> irq[at] = 1
	:: else -> skip
	fi;
#endif
	returned = 1
}

active proctype monitor()
{
end:	do
	:: atomic { returned && !irq[0] && !irq[1] && (user[0] || user[1] || (place == TREE && !locked[0] && !locked[1])) ->
		assert(adopted);
		break }
#ifdef NEVER
	:: atomic { returned && user[1] -> assert(0) }
#endif
	od
}

init
{
	atomic {
		if
		:: skip
		:: place = TREE
		:: place = TAKEN; user[0] = 1
		fi;
		run cpu(0);
		run cpu(1);
		run setter()
	}
}

#else

/* Entities: 0, lent, and 1, the spare. */
bit own = 0;
bit wanted[2];
bit b_copy = 0;		/* a store of what was read before, 0, to wanted[1] */
bit b_own = 0;
bit b_wanted[2];
byte done = 0;

active proctype store_buffers()
{
end:	do
	:: atomic { b_copy -> wanted[1] = 0; b_copy = 0 }
	:: atomic { b_own && !b_copy -> own = 1; b_own = 0 }
	:: atomic { b_wanted[0] -> wanted[0] = 1; b_wanted[0] = 0 }
	:: atomic { b_wanted[1] -> wanted[1] = 1; b_wanted[1] = 0 }
	od
}

/* take_spare. The spare has been the defaults until now: 0 too. */
active proctype owner()
{
	bit seen;

	seen = wanted[0];
#ifndef BUG_NO_COPY
	if
	:: seen -> wanted[1] = 1	/* the buffer is empty: as good as a locked one */
	:: else -> b_copy = 1
	fi;
#endif
	b_own = 1;
#ifndef BUG_NO_SPARE_FENCE
	!b_own && !b_copy;
#endif
#ifndef BUG_NO_SECOND_LOOK
	if
	:: wanted[0] != seen -> !b_copy; wanted[1] = wanted[0]
	:: else -> skip
	fi;
#endif
	done++
}

active proctype setter()
{
	bit at;

	do
	:: at = own;
		b_wanted[at] = 1;
#ifndef BUG_NO_FENCE
		!b_wanted[0] && !b_wanted[1];
#endif
		if
		:: at == own -> break
		:: else -> skip
		fi
	od;
	done++
}

active proctype monitor()
{
	done == 2 && !b_copy && !b_own && !b_wanted[0] && !b_wanted[1];
	assert(own == 1 && wanted[1])
}

#endif
