/* SPDX-License-Identifier: MIT */
/* Locks on the park space; the mutex is the three-state one of Drepper's "Futexes are tricky". */
#include <user/lock.h>

#include <user/start.h>
#include <user/stubs.h>

#define ALL 0xffffffffu

bool park_while(const uint32_t *word, uint32_t expected, uint64_t deadline_ns)
{
	return park_space_wait(known.park, word, expected, deadline_ns, 0).status != CAPOS_STATUS_TIMED_OUT;
}

uint64_t unpark(const uint32_t *word, uint64_t count)
{
	uint64_t woken = 0;

	(void)park_space_wake(known.park, word, count, 0, &woken);
	return woken;
}

bool unpark_and_park_while(const uint32_t *wake, const uint32_t *word, uint32_t expected, uint64_t deadline_ns)
{
	return park_space_wake_wait(known.park, word, expected, deadline_ns, 0, wake).status !=
	       CAPOS_STATUS_TIMED_OUT;
}

bool mutex_try(struct mutex *mutex)
{
	uint32_t expected = 0;

	return __atomic_compare_exchange_n(&mutex->state, &expected, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

void mutex_lock(struct mutex *mutex)
{
	if (mutex_try(mutex))
		return;
	while (__atomic_exchange_n(&mutex->state, 2, __ATOMIC_ACQUIRE) != 0)
		park_while(&mutex->state, 2, CAPOS_NEVER);
}

void mutex_unlock(struct mutex *mutex)
{
	if (__atomic_exchange_n(&mutex->state, 0, __ATOMIC_RELEASE) == 2)
		unpark(&mutex->state, 1);
}

bool condition_wait(struct condition *condition, struct mutex *mutex, uint64_t deadline_ns)
{
	uint32_t sequence = __atomic_load_n(&condition->sequence, __ATOMIC_RELAXED);
	bool contended = __atomic_exchange_n(&mutex->state, 0, __ATOMIC_RELEASE) == 2; /* mutex_unlock */
	bool in_time = contended ? unpark_and_park_while(&mutex->state, &condition->sequence, sequence, deadline_ns)
				 : park_while(&condition->sequence, sequence, deadline_ns);

	/* Others may wait too: take it as contended. */
	while (__atomic_exchange_n(&mutex->state, 2, __ATOMIC_ACQUIRE) != 0)
		park_while(&mutex->state, 2, CAPOS_NEVER);
	return in_time;
}

void condition_signal(struct condition *condition)
{
	__atomic_add_fetch(&condition->sequence, 1, __ATOMIC_RELEASE);
	unpark(&condition->sequence, 1);
}

void condition_broadcast(struct condition *condition)
{
	__atomic_add_fetch(&condition->sequence, 1, __ATOMIC_RELEASE);
	unpark(&condition->sequence, ALL);
}

void barrier_init(struct barrier *barrier, uint32_t count)
{
	*barrier = (struct barrier){ .count = count };
}

void barrier_wait(struct barrier *barrier)
{
	uint32_t round = __atomic_load_n(&barrier->round, __ATOMIC_ACQUIRE);

	if (__atomic_add_fetch(&barrier->arrived, 1, __ATOMIC_ACQ_REL) == barrier->count) {
		__atomic_store_n(&barrier->arrived, 0, __ATOMIC_RELAXED);
		__atomic_add_fetch(&barrier->round, 1, __ATOMIC_RELEASE);
		unpark(&barrier->round, ALL);
		return;
	}
	while (__atomic_load_n(&barrier->round, __ATOMIC_ACQUIRE) == round)
		park_while(&barrier->round, round, CAPOS_NEVER);
}

void event_set(struct event *event)
{
	__atomic_store_n(&event->set, 1, __ATOMIC_RELEASE);
	unpark(&event->set, ALL);
}

void event_wait(struct event *event)
{
	while (!__atomic_load_n(&event->set, __ATOMIC_ACQUIRE))
		park_while(&event->set, 0, CAPOS_NEVER);
}
