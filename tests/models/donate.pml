/* SPDX-License-Identifier: MIT */
/*
 * A budget that goes along with a lent entity (kernel/sched/lend.c take_spare, budget.c, context.c): the server runs on the donor's
 * entity on one CPU, is charged, throttled at the end of the budget and woken; on a second one the donor's call is cancelled, so that
 * the context moves to the donor's spare; on a third one the context is unbound or revoked, bound again, or another one is bound.
 *
 * x86-TSO: plain stores that are read without a lock (entity->context, thread->own) and unlocks go through a store buffer per CPU, in
 * order; locked operations, locks and fences need it empty. Time passes while the server runs, or is throttled.
 *
 * Properties: SX1, a context and an entity name each other, and an entity has one at most (assert at each store); the orphan has none at
 * the end, the donor's entity has what is bound; nobody is woken twice, or left throttled without a timer (an invalid end); each unit of
 * service is charged once, to the context that the entity had.
 *
 * RUN: => pass
 * RUN: -DREBIND => pass
 * RUN: -DNEVER => fail
 * RUN: -DBUG_NO_FENCE => fail
 * RUN: -DBUG_NO_LOOK => fail
 * RUN: -DBUG_PLAIN_THROTTLE => fail
 * RUN: -DBUG_PLAIN_CLAIM => fail
 * RUN: -DBUG_NO_MOVE => fail
 * RUN: -DBUG_NO_CHARGE => fail
 * RUN: -DBUG_NO_CHECK => fail
 * RUN: -DBUG_NO_BEGIN => fail
 * RUN: -DREBIND -DBUG_NO_THREAD_LOCK => fail
 */
#ifdef REBIND
#define RUNS 1
#else
#define RUNS 2
#endif

#define NOBODY 0	/* owner */
#define CURRENT 1
#define THROTTLED 2
#define RUNNABLE 3

#define LENT 0		/* entities: the lent one, the donor's spare */
#define SPARE 1
#define NONE 2

#define X 1		/* contexts; 0: none */
#define Y 2

#define OF_ENTITY 0	/* what a store buffer holds */
#define UNLOCK 1
#define UNLOCK_THREAD 2
#define OWN 3
#define OWNER 4

#define SERVER 0	/* CPUs */
#define CANCEL 1
#define BINDER 2
#define TIMER 3

chan buffer[5] = [7] of { byte, byte, byte };

byte context_of[2];		/* entity->context */
byte entity_of[3] = NONE;	/* context->entity, by context */
byte charged_at[3];
byte used[3];
bit timer[3];
bit locked[3];
bit thread_locked = 0;
byte owner[2];
byte own = LENT;
bit armed = 1;			/* the donor's waiter */
bit lent = 1;
bit orphan = 0;
bit arming = 0;			/* the CPU that throttles takes no interrupt */
byte now = 0;
byte done = 0;
/* What the code does not know: whom the entity's service is due to, and how much it was. */
byte due[2];
byte service[3];

active proctype store_buffers()
{
	byte i, what, at, value;

end:	do
	:: atomic {
		if
		:: buffer[0]?what,at,value
		:: buffer[1]?what,at,value
		:: buffer[2]?what,at,value
		:: buffer[3]?what,at,value
		:: buffer[4]?what,at,value
		fi;
		if
		:: what == OF_ENTITY ->
			assert(value == 0 || context_of[at] == 0);
			context_of[at] = value
		:: what == UNLOCK -> locked[at] = 0
		:: what == UNLOCK_THREAD -> thread_locked = 0
		:: what == OWN -> own = value
		:: what == OWNER -> owner[at] = value
		fi
	   }
	od
}

inline fence() { len(buffer[me]) == 0 }
inline lock(which) { atomic { len(buffer[me]) == 0 && !locked[which] -> locked[which] = 1 } }
inline unlock(which) { buffer[me]!UNLOCK,which,0 }

#ifdef BUG_NO_THREAD_LOCK
inline lock_thread() { fence() }
inline unlock_thread() { skip }
#else
inline lock_thread() { atomic { len(buffer[me]) == 0 && !thread_locked -> thread_locked = 1 } }
inline unlock_thread() { buffer[me]!UNLOCK_THREAD,0,0 }
#endif

/* c: the context of the entity, locked; 0: it has none, or not any more. */
inline lock_context(which)
{
	c = context_of[which];
	if
	:: c != 0 ->
		lock(c);
#ifndef BUG_NO_CHECK
		if
		:: entity_of[c] != which -> unlock(c); c = 0
		:: else -> skip
		fi
#endif
	:: else -> skip
	fi
}

/* Under the context's lock: what the entity ran up to now, on whatever CPU. */
inline charge_running(which)
{
	atomic {
		if
#ifndef BUG_NO_CHARGE
		:: owner[which] == CURRENT && now > charged_at[c] -> used[c] = used[c] + now - charged_at[c]
#endif
		:: else -> skip
		fi;
		charged_at[c] = now;
		due[which] = 0
	}
}

/* Exactly one ends a throttling. */
inline release(which)
{
#ifdef BUG_PLAIN_CLAIM
	fence();
	won = (owner[which] == THROTTLED);
	if
	:: won -> owner[which] = NOBODY
	:: else -> skip
	fi;
#else
	atomic {
		len(buffer[me]) == 0;
		won = (owner[which] == THROTTLED);
		if
		:: won -> owner[which] = NOBODY
		:: else -> skip
		fi
	};
#endif
	if
	:: won ->
		lock_context(which);
		if
		:: c != 0 -> timer[c] = 0; unlock(c)
		:: else -> skip
		fi;
		fence();			/* the wake is a locked operation */
		assert(owner[which] == NOBODY);
		owner[which] = RUNNABLE
	:: else -> skip
	fi
}

inline let_go(which)
{
#ifndef BUG_NO_FENCE
	fence();
#endif
	if
	:: owner[which] == THROTTLED -> release(which)
	:: else -> skip
	fi
}

/* --- the server, on the donor's entity ------------------------------------------------------------------------------ */

inline charge()
{
	account = now;
	lock_context(LENT);
	if
	:: c != 0 ->
		atomic {
			if
			:: account > charged_at[c] ->
				used[c] = used[c] + account - charged_at[c];
				charged_at[c] = account
			:: else -> skip
			fi
		};
		unlock(c)
	:: else -> skip
	fi
}

inline throttle()
{
	lock_context(LENT);
	if
	:: c != 0 -> atomic { arming = 1; timer[c] = 1 }; unlock(c)
	:: else -> skip
	fi;
#ifdef BUG_PLAIN_THROTTLE
	buffer[me]!OWNER,LENT,THROTTLED;
#else
	atomic { len(buffer[me]) == 0 -> owner[LENT] = THROTTLED };
#endif
#ifndef BUG_NO_LOOK
	if
	:: context_of[LENT] == 0 -> release(LENT)
	:: else -> skip
	fi;
#endif
	arming = 0
}

/* Chosen from the queue: the budget is looked at before it is current, and after. */
inline begin()
{
	lock_context(LENT);
	if
	:: c != 0 -> charged_at[c] = now; unlock(c)
	:: else -> skip
	fi
}

proctype server(byte me)
{
	byte c, account, runs = RUNS, sleeps = 1;
	bit won, was_orphan;

	do
	:: atomic { runs > 0 ->
		runs--;
		now++;
		if
		:: due[LENT] != 0 -> service[due[LENT]]++
		:: else -> skip
		fi }
	:: charge()
	:: sleeps > 0 && context_of[LENT] != 0 ->
		sleeps--;
		charge();
		throttle();
		if
		:: atomic { owner[LENT] == THROTTLED -> now++ }
		:: owner[LENT] == RUNNABLE
		fi;
		owner[LENT] == RUNNABLE;
#ifndef BUG_NO_BEGIN
		begin();
#endif
		atomic { len(buffer[me]) == 0 -> owner[LENT] = CURRENT };
		begin()
	:: break
	od;
	charge();
	/* It replies, or receives without a reply: it is not current any more. */
	atomic { won = armed; armed = 0 };
	atomic { len(buffer[me]) == 0 -> owner[LENT] = NOBODY };
	if
	:: won -> lent = 0		/* back to the donor, with all that it has */
	:: else -> atomic { was_orphan = orphan; lent = 0 }
	fi;
	done++
}

/* --- the call ends otherwise ---------------------------------------------------------------------------------------- */

inline move()
{
	lock_context(LENT);
	if
	:: c != 0 ->
		charge_running(LENT);
		entity_of[c] = SPARE;
		due[SPARE] = c;
		buffer[me]!OF_ENTITY,LENT,0;
		buffer[me]!OF_ENTITY,SPARE,c;
		timer[c] = 0;
		unlock(c)
	:: else -> skip
	fi
}

proctype canceller(byte me)
{
	byte c;
	bit won;

	atomic { won = armed; armed = 0 };
	if
	:: won ->
		atomic { won = lent; orphan = lent };
		if
		:: won ->
			lock_thread();
			buffer[me]!OWN,0,SPARE;
#ifndef BUG_NO_MOVE
			move();
#endif
			unlock_thread();
			let_go(LENT);
			fence();
#ifdef NEVER
			assert(entity_of[X] != SPARE)
#endif
		:: else -> skip
		fi
	:: else -> skip
	fi;
	done++
}

/* --- bind, unbind, revoke ------------------------------------------------------------------------------------------- */

inline unbind(which)
{
	lock(which);
	c = which;
	e = entity_of[c];
	if
	:: e != NONE ->
		charge_running(e);
		entity_of[c] = NONE;
		buffer[me]!OF_ENTITY,e,0;
		timer[c] = 0;
		unlock(c);
		let_go(e)
	:: else -> unlock(c)
	fi
}

inline bind(which)
{
	lock_thread();
	e = own;
	lock(which);
	if
	:: entity_of[which] == NONE && context_of[e] == 0 ->
		/* The clock and the store are one instant: what runs between them is not told apart. */
		atomic {
			len(buffer[me]) == 0;
			entity_of[which] = e;
			charged_at[which] = now;
			assert(context_of[e] == 0);
			context_of[e] = which;
			due[e] = which
		}
	:: else -> skip
	fi;
	unlock(which);
	unlock_thread();
	fence()
}

proctype binder(byte me)
{
	byte c, e;
	bit won;

#ifdef REBIND
	if
	:: unbind(X); bind(Y)
	:: unbind(X); bind(X)
	fi;
#else
	if
	:: unbind(X)
	:: bind(Y)
	:: skip
	fi;
#endif
	done++
}

/* --- the timer: on the CPU where it was throttled ------------------------------------------------------------------- */

proctype replenish(byte me, x)
{
	byte c, e;
	bit won;

end:	do
	:: atomic { timer[x] && !arming -> timer[x] = 0 };
		lock(x);
		e = entity_of[x];
		unlock(x);
		if
		:: e != NONE -> release(e)
		:: else -> skip
		fi
	od
}

active proctype monitor()
{
	done == 3 && len(buffer[0]) + len(buffer[1]) + len(buffer[2]) == 0;
	assert(owner[LENT] == NOBODY);
	assert(used[X] == service[X] && used[Y] == service[Y]);
	/* SX1 */
	assert(entity_of[X] == NONE || context_of[entity_of[X]] == X);
	assert(entity_of[Y] == NONE || context_of[entity_of[Y]] == Y);
	assert(context_of[LENT] == 0 || entity_of[context_of[LENT]] == LENT);
	assert(context_of[SPARE] == 0 || entity_of[context_of[SPARE]] == SPARE);
	/* What nobody runs on any more has nothing. */
	assert(own == LENT || context_of[LENT] == 0);
	assert(own == SPARE || context_of[SPARE] == 0)
}

init
{
	atomic {
		owner[LENT] = CURRENT;
		context_of[LENT] = X;
		entity_of[X] = LENT;
		due[LENT] = X;
		entity_of[Y] = NONE;
		run server(SERVER);
		run canceller(CANCEL);
		run binder(BINDER);
		run replenish(TIMER, X)
#ifdef REBIND
		;run replenish(TIMER + 1, Y)
#endif
	}
}
