/* SPDX-License-Identifier: MIT */
/*
 * TLB shootdown (kernel/mm/shootdown.c SD1 to SD3, SD5). A changer clears an entry and starts a batch; one CPU loads the space, walks (its
 * TLB then holds what it saw), leaves, with or without its bit in the loaded mask, comes back, and answers IPIs. The frame is reused when the batch is done.
 *
 * x86-TSO: the changer's store of the entry goes through a store buffer; all changes of masks and counts are locked operations. The
 * CPU takes an IPI only between its steps (interrupts are off inside), in user mode.
 *
 * Property: when the batch is done, no TLB holds the old entry and no later walk finds it. The count comes to 0 once.
 *
 * RUN: => pass
 * RUN: -DNEVER => fail
 * RUN: -DBUG_NO_FENCE => fail
 * RUN: -DBUG_LEAVE_ORDER => fail
 * RUN: -DBUG_NO_SECOND_LOOK => fail
 * RUN: -DBUG_NO_TOKEN => fail
 * RUN: -DBUG_LATE_LOADED => fail
 * RUN: -DBUG_PREVIOUS_DEAF => fail
 * RUN: -DBUG_PREVIOUS_FORGETS => fail
 */
bit present = 1;	/* the entry, in memory */
bit buffered = 0;	/* the changer's store buffer holds present := 0 */
bit loaded = 0;		/* the CPU's bit in the loaded mask */
bit pending = 0;	/* the CPU's bit in the pending mask */
byte count = 0;
byte completions = 0;
bit ipi = 0;
bit tlb = 0;		/* the CPU's TLB holds the old entry */
bit started = 0;
bit finished = 0;	/* the changer has left batch_start */

active proctype store_buffer()
{
end:	do
	:: atomic { buffered -> present = 0; buffered = 0 }
	od
}

inline drop_one()
{
	atomic {
		assert(count > 0);
		count--;
		last = (count == 0)
	};
	if
	:: last -> completions++; assert(completions == 1)
	:: else -> skip
	fi
}

inline acknowledge()
{
	if
	:: pending ->
		atomic { had = pending; pending = 0 };
		if
		:: had -> drop_one()
		:: else -> skip
		fi
	:: else -> skip
	fi
}

active proctype changer()
{
	bit last, had, seen;

	buffered = 1;			/* clears the entry: a plain store */
#ifndef BUG_NO_TOKEN
	count = 1;
#endif
#ifndef BUG_NO_FENCE
	!buffered;			/* SD1 */
#endif
	started = 1;
	seen = loaded;
	if
	:: seen ->
		!buffered;		/* locked from here on */
		atomic { count++ };
		atomic { pending = 1 };
#ifndef BUG_NO_SECOND_LOOK
		if
		:: pending && !loaded ->
			atomic { had = pending; pending = 0 };
			if
			:: had -> atomic { assert(count > 0); count-- }
			:: else -> skip
			fi
		:: else -> skip
		fi;
#endif
		if
		:: pending -> ipi = 1
		:: else -> skip
		fi
	:: else -> skip
	fi;
#ifndef BUG_NO_TOKEN
	drop_one();
#else
	if
	:: count == 0 -> completions++; assert(completions == 1)
	:: else -> skip
	fi;
#endif
	finished = 1
}

inline walk()
{
	atomic { if :: present -> tlb = 1 :: else -> skip fi }
}

/* The CPU leaves the loaded mask: SD2. The other root is loaded. */
inline leave()
{
#ifdef BUG_LEAVE_ORDER
	acknowledge();
	tlb = 0;
	atomic { loaded = 0 }
#else
	atomic { loaded = 0 };
	acknowledge()
#endif
}

active proctype cpu()
{
	bit last, had;
	bit previous = 0;	/* SD5: it is not, but the bit is kept */
	byte rounds = 0;

	do
	:: rounds < 2 ->
		rounds++;
		/* space_switch to it. */
#ifdef BUG_LATE_LOADED
		walk();
		atomic { loaded = 1 };
#else
		if
		:: previous -> previous = 0	/* the bit is there */
		:: else -> atomic { loaded = 1 }	/* locked or, before the root is loaded */
		fi;
		walk();
#endif
		/* In user mode: walks, and interrupts. */
		do
		:: walk()
		:: ipi -> ipi = 0;
			if
			:: pending -> tlb = 0; acknowledge()
			:: else -> skip
			fi
		:: break
		od;
		/* space_switch away: the other root, then the mask, now or later. */
#ifndef BUG_LEAVE_ORDER
		tlb = 0;
#endif
		if
		:: leave()
		:: tlb = 0; previous = 1;
#ifdef BUG_PREVIOUS_FORGETS
			/* Out of the mask without a look at pending. */
			atomic { loaded = 0 };
			previous = 0
#endif
		fi;
		/* In user mode of another space. */
		do
		:: ipi -> ipi = 0;
#ifndef BUG_PREVIOUS_DEAF
			if
			:: previous && pending -> previous = 0; leave()
			:: else -> skip
			fi
#endif
		:: previous -> previous = 0; leave()	/* a third space, or idle */
		:: break
		od
	:: break
	od;
	/* It goes on to take interrupts. */
end:	do
	:: ipi -> ipi = 0;
#ifdef BUG_PREVIOUS_DEAF
		skip
#else
		if
		:: previous && pending -> previous = 0; leave()
		:: else -> skip
		fi
#endif
	od
}

/* The frame is reused as soon as the batch is done. */
active proctype owner()
{
end:	completions > 0;
	assert(!tlb && !present);
#ifdef NEVER
	assert(false);
#endif
}

/* At rest the batch is done. */
active proctype monitor()
{
	timeout -> assert(finished && completions == 1)
}
