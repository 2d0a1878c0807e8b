/* SPDX-License-Identifier: MIT */
/*
 * A change to a thread that may be running (kernel/sched/wake.c sched_request, entry.c sched_irq, dispatch.c set_current and
 * sched_set_pinned, kernel/task/thread.c thread_kill): the request word, one IPI, and an answer that the asker waits for as data.
 *
 * One CPU makes the thread current, runs it, and takes IPIs in user mode only. A killer marks the thread and asks the CPU if the
 * thread is current; a pinner stores where it may run and asks the CPU that it sees; a flusher asks always.
 *
 * x86-TSO: plain stores of the CPU (`where`, and what a bug makes plain) and of the askers go through store buffers in order; locked
 * operations and fences need the buffer empty.
 *
 * Properties, at rest: a thread that was killed, or may not run here, is not in user mode; the flush was done; no request is left.
 *
 * RUN: => pass
 * RUN: -DNEVER => fail
 * RUN: -DBUG_PLAIN_CURRENT => fail
 * RUN: -DBUG_PLAIN_MARK => fail
 * RUN: -DBUG_NO_FENCE => fail
 * RUN: -DBUG_PLAIN_CLEAR => fail
 * RUN: -DBUG_LOOK_FIRST => fail
 * RUN: -DBUG_PLAIN_TAKE => fail
 * RUN: -DBUG_PLAIN_ASK => fail
 */
#define RESCHEDULE 1
#define FLUSH 2

bit where = 0;		/* in memory: the entity's CPU is this one */
bit current = 0;	/* its owner is "current" */
bit attention = 0;
bit pinned = 0;		/* elsewhere */
byte requests = 0;
bit pending = 0;	/* ipi_pending */
bit irq = 0;
bit saw_attention = 0;	/* at its last look the CPU found the mark: the thread does not return to user mode */
bit saw_pinned = 0;
bit flushed = 0;
byte asked = 0;		/* askers that are through */

/* The CPU's store buffer, in this order. */
bit b_where = 0;
bit b_current = 0;
bit b_pending = 0;
/* The askers'. */
bit b_attention = 0;
bit b_pinned = 0;

active proctype store_buffers()
{
end:	do
	:: atomic { b_where -> where = 1; b_where = 0 }
	:: atomic { b_current && !b_where -> current = 1; b_current = 0 }
	:: atomic { b_pending && !b_current && !b_where -> pending = 0; b_pending = 0 }
	:: atomic { b_attention -> attention = 1; b_attention = 0 }
	:: atomic { b_pinned -> pinned = 1; b_pinned = 0 }
	od
}

/* --- askers ------------------------------------------------------------------------------------------------------------------ */

inline request(what, was)
{
#ifdef BUG_PLAIN_ASK
	was = requests;
	requests = was | what;
#else
	atomic { requests = requests | what };	/* locked or */
#endif
	atomic { was = pending; pending = 1 };	/* exchange */
	if
	:: was == 0 -> irq = 1
	:: else -> skip
	fi
}

active proctype killer()
{
	byte was;

#ifdef BUG_PLAIN_MARK
	b_attention = 1;
#else
	atomic { attention = 1 };		/* locked or */
#endif
	if
	:: current -> !b_attention; request(RESCHEDULE, was)
	:: else -> skip				/* whoever makes it current looks */
	fi;
	asked++
}

active proctype pinner()
{
	byte was;

	b_pinned = 1;				/* a plain store */
#ifndef BUG_NO_FENCE
	!b_pinned;
#endif
	if
	:: where -> !b_pinned; request(RESCHEDULE, was)
	:: else -> skip				/* another CPU is asked */
	fi;
	asked++
}

active proctype flusher()
{
	byte was;

	request(FLUSH, was);
	asked++
}

/* --- the CPU ----------------------------------------------------------------------------------------------------------------- */

/* What sched_exit looks at, and set_current. */
inline look()
{
	saw_attention = attention;
	saw_pinned = pinned
}

inline take()
{
	if
	:: requests != 0 ->
#ifdef BUG_PLAIN_TAKE
		seen = requests;
		requests = 0;
#else
		atomic { seen = requests; requests = 0 };	/* exchange */
#endif
		if
		:: (seen & FLUSH) != 0 -> flushed = 1
		:: else -> skip
		fi;
		if
		:: (seen & RESCHEDULE) != 0 -> look()
		:: else -> skip
		fi
	:: else -> skip
	fi
}

inline clear()
{
	if
	:: pending ->
#ifdef BUG_PLAIN_CLEAR
		b_pending = 1
#else
		atomic { pending = 0 }				/* exchange */
#endif
	:: else -> skip
	fi
}

active proctype cpu()
{
	byte seen;

	b_where = 1;
#ifdef BUG_PLAIN_CURRENT
	b_current = 1;
#else
	!b_where;
	atomic { current = 1 };			/* exchange: empties the buffer */
#endif
	look();
end:	do
	:: irq ->				/* in user mode, or idle */
		irq = 0;
#ifdef BUG_LOOK_FIRST
		take();
		clear()
#else
		clear();
		take()
#endif
	od
}

active proctype monitor()
{
	timeout -> assert(asked == 3 && flushed && requests == 0 && saw_attention && saw_pinned);
#ifdef NEVER
	assert(false)
#endif
}
