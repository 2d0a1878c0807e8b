/* SPDX-License-Identifier: MIT */
/*
 * A receive and a completion on another CPU (kernel/ipc/endpoint_fast.c, ring_op.c), with x86-TSO store buffers of one entry.
 * Receiver: looks at the tail, arms by a locked RMW, looks at the tail again. Poster: stores the tail, fence, looks whether a
 * receive is armed. Claim: a locked RMW with one winner. Property: with a completion posted, the receiver does not stay armed.
 *
 * RUN: => pass
 * RUN: -DNO_FENCE => fail
 */
byte tail, armed, woken;
bool buffered; /* the poster's store of the tail is still in its buffer */
bool receiver_done, poster_done;

inline claim()
{
	atomic {
		if
		:: armed -> armed = 0; woken++
		:: else
		fi
	}
}

active proctype receiver()
{
	if
	:: tail != 0 -> skip /* completionsPending at once */
	:: else ->
		armed = 1; /* xchg: nothing of the receiver stays buffered */
		if
		:: tail != 0 -> claim()
		:: else
		fi
	fi;
	receiver_done = true
}

active proctype drain()
{
	do
	:: atomic { buffered -> tail = 1; buffered = false }
	:: poster_done && !buffered -> break
	od
}

active proctype poster()
{
	buffered = true;
#ifndef NO_FENCE
	!buffered;
#endif
	if
	:: armed -> claim()
	:: else
	fi;
	poster_done = true
}

active proctype check()
{
	receiver_done && poster_done && !buffered;
	assert(armed == 0);
	assert(woken <= 1)
}
