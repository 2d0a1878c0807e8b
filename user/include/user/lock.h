/* SPDX-License-Identifier: MIT */
/*
 * Locks between the threads of a process, on the park space: uncontended operations make no call. Zeroed memory is an
 * unlocked mutex, a condition without waiters. A parked thread that is woken for nothing looks again.
 */
#ifndef USER_LOCK_H
#define USER_LOCK_H

#include <user/sys.h>

/* 0 free, 1 held, 2 held and perhaps waited for. */
struct mutex {
	uint32_t state;
};
void mutex_lock(struct mutex *mutex);
bool mutex_try(struct mutex *mutex);
void mutex_unlock(struct mutex *mutex);

/* A sequence number that every signal moves on. */
struct condition {
	uint32_t sequence;
};
/* Releases the mutex, waits, takes it again. False: the deadline passed. May return early: test in a loop. */
bool condition_wait(struct condition *condition, struct mutex *mutex, uint64_t deadline_ns);
void condition_signal(struct condition *condition);
void condition_broadcast(struct condition *condition);

/* `count` threads meet; usable again at once. */
struct barrier {
	uint32_t count;
	uint32_t arrived;
	uint32_t round;
};
void barrier_init(struct barrier *barrier, uint32_t count);
void barrier_wait(struct barrier *barrier);

/* A flag that is set once: waiting for it costs nothing when it is set. */
struct event {
	uint32_t set;
};
void event_set(struct event *event);
void event_wait(struct event *event);

/* The bare wait: until *word differs from `expected`, a wake, or the deadline. False: the deadline passed. */
bool park_while(const uint32_t *word, uint32_t expected, uint64_t deadline_ns);
uint64_t unpark(const uint32_t *word, uint64_t count);
/* unpark(wake, 1), then park_while: in one call, in which the one goes on where the other one leaves. */
bool unpark_and_park_while(const uint32_t *wake, const uint32_t *word, uint32_t expected, uint64_t deadline_ns);

#endif
