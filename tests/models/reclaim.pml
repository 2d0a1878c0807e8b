/* SPDX-License-Identifier: MIT */
/*
 * Reuse of memory after a grace period (kernel/cap/reclaim.c). A reader enters the kernel twice and may find the object by a shared
 * pointer; a writer unlinks the object, defers its memory, and lets periods end until it may be reused.
 *
 * x86-TSO: plain stores go through a FIFO per process (`word` for the reader's shown period, `unlinked` for the writer) and reach
 * memory at any later moment; locked operations and fences need it empty. The writer, in the kernel itself, shows its own period,
 * so that another CPU cannot end two periods while it is inside: that CPU is `helper`, which ends periods at any moment.
 *
 * Property: nobody holds the object when it is reused. (And it is reused: -DNEVER asserts it is not, and must fail.)
 *
 * RUN: => pass
 * RUN: -DHELPER => pass
 * RUN: -DNEVER => fail
 * RUN: -DBUG_PLAIN_ENTRY => fail
 * RUN: -DBUG_NO_FENCE -DHELPER => fail
 * RUN: -DBUG_ONE_PERIOD => fail
 */
#define PERIODS 5
#ifdef BUG_ONE_PERIOD
#define GRACE 1
#else
#define GRACE 2
#endif

byte period = 0;	/* E */
byte shown = 0;		/* of the reader, in memory: 0, or 2E + 1 */
byte shown_writer = 0;
bit linked = 1;		/* in memory */
bit holds = 0;		/* the reader has the pointer */
bit reused = 0;

/* Store buffers: the reader's one entry of the shown period, the writer's one entry of the unlink. */
bit reader_buffered = 0;
byte reader_value;
bit writer_buffered = 0;

active proctype buffers()
{
end:	do
	:: atomic { reader_buffered -> shown = reader_value; reader_buffered = 0 }
	:: atomic { writer_buffered -> linked = 0; writer_buffered = 0 }
	od
}

inline reader_store(value)
{
	/* FIFO of one: an older store is in memory first. */
	atomic { !reader_buffered -> reader_value = value; reader_buffered = 1 }
}

active proctype reader()
{
	byte seen;
	byte entries = 0;

	do
	:: entries < 2 ->
		entries++;
		seen = period;
#ifdef BUG_PLAIN_ENTRY
		reader_store(2 * seen + 1);
#else
		atomic { !reader_buffered -> shown = 2 * seen + 1 }	/* exchange */
#endif
		if
		:: linked -> holds = 1
		:: else -> skip
		fi;
		assert(!(holds && reused));
		holds = 0;
		reader_store(0)		/* release: after all uses */
	:: break
	od
}

inline scan(own)
{
	byte now, other;

	/* Looks at the others, then at itself; the period ends by compare-and-swap. */
	now = period;
	if
	:: now < PERIODS ->
		other = shown;
		if
		:: other == 0 || other == 2 * now + 1 ->
			other = own;
			if
			:: other == 0 || other == 2 * now + 1 ->
				atomic { if :: period == now -> period = now + 1 :: else -> skip fi }
			:: else -> skip
			fi
		:: else -> skip
		fi
	:: else -> skip
	fi
}

active proctype writer()
{
	byte deferred, seen;

	seen = period;
	atomic { shown_writer = 2 * seen + 1 }
	writer_buffered = 1;				/* unlink: a plain store */
#ifndef BUG_NO_FENCE
	!writer_buffered;				/* atomic_fence */
#endif
	deferred = period;
	shown_writer = 0;				/* leaves; its next entries only poll */
	do
	:: period >= deferred + GRACE -> break
	:: period < deferred + GRACE && period < PERIODS ->
		/* An entry: exchange, poll. */
		!writer_buffered;
		scan(0)
	:: period >= PERIODS -> goto done
	od;
	reused = 1;
	assert(!holds);
#ifdef NEVER
	assert(false);
#endif
done:	skip
}

#ifdef HELPER
/* Another CPU, with deferrals of its own. */
active proctype helper()
{
	byte rounds = 0;

	do
	:: rounds < 4 -> rounds++; scan(shown_writer)
	:: break
	od
}
#endif
