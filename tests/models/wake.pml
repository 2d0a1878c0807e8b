/* SPDX-License-Identifier: MIT */
/*
 * The wake inbox, its IPI-pending flag and the idle check (kernel/sched/wake.c, dispatch.c idle, entry.c sched_irq).
 *
 * PUSHERS CPUs each push one entity at one target, which runs what it drained and goes idle. Interrupts are off on the target
 * except while it is halted. Locked operations are single atomic steps that need an empty store buffer; the target's plain
 * store of ipi_pending (only with -DBUG_PLAIN_CLEAR) goes through an explicit store buffer of one entry.
 *
 * Property: when everything has come to rest, every pushed entity was drained (no lost wake-up).
 *
 * RUN: => pass
 * RUN: -DBUG_DRAIN_FIRST => fail
 * RUN: -DBUG_PLAIN_CLEAR => fail
 * RUN: -DBUG_NO_IPI => fail
 */
#define PUSHERS 3

byte inbox = 0;	      /* entities pushed, not drained */
byte drained = 0;
bit pending = 0;      /* ipi_pending in memory */
bit irq = 0;	      /* an IPI waits at the target's interrupt controller */
bit buffered = 0;     /* the target's store buffer holds pending := 0 */

active [PUSHERS] proctype pusher()
{
	bit was;

	atomic { inbox++; }			/* compare-and-swap push */
	atomic { was = pending; pending = 1; }	/* exchange */
#ifndef BUG_NO_IPI
	if
	:: was == 0 -> irq = 1
	:: else -> skip
	fi
#endif
}

proctype store_buffer()
{
end:	do
	:: atomic { buffered -> pending = 0; buffered = 0 }
	od
}

inline clear_pending()
{
#ifdef BUG_PLAIN_CLEAR
	buffered = 1;
#else
	atomic { pending = 0; }			/* exchange */
#endif
}

inline drain()
{
	if
	:: inbox != 0 -> atomic { drained = drained + inbox; inbox = 0; }	/* exchange with empty */
	:: else -> skip
	fi
}

inline handler()
{
	irq = 0;
#ifdef BUG_DRAIN_FIRST
	drain();
	clear_pending();
#else
	clear_pending();
	drain();
#endif
}

active proctype target()
{
	run store_buffer();
end:	do
	:: inbox != 0 -> drain()		/* going idle: the check, and picking */
	:: inbox == 0 ->			/* interrupts stay off from the check to the halt: */
end_halt:	irq == 1;			/* halted; an interrupt that came before ends it at once */
		handler()
	:: drained != 0 ->			/* in user mode: looks at nothing until an interrupt */
end_user:	irq == 1;
		handler()
	od
}

/* At rest nothing is left in the inbox. */
active proctype monitor()
{
	timeout -> assert(drained == PUSHERS && inbox == 0)
}
