/* SPDX-License-Identifier: MIT */
/*
 * The public contract of capOS, part 5: every way in which a call can fail. A call that fails as declared here changed nothing,
 * unless the line says otherwise. docs/ERRORS.md is made from these lists and names the test of each; builds for debugging and
 * the simulator stop when the kernel returns anything that is not declared.
 *
 * CAPOS_ERRORS_name(E, R):
 *   E(iface, method, status, detail, ways, when)   transport status, interface result 0
 *   R(iface, method, result, detail, ways, when)   status ok, interface result not 0
 * The operations other than calls of kernel methods stand under the name `op`; `op.call` is a call through an endpoint.
 * ways: what can fail so. A method with more than four words cannot be called through the ring.
 */
#ifndef CAPOS_ERRORS_H
#define CAPOS_ERRORS_H

#include <capos/iface.h>
#include <capos/interface.h>

enum capos_way { CAPOS_WAY_CALL = 1, CAPOS_WAY_RING = 2, CAPOS_WAY_BOTH = 3 };
#define CAPOS_DETAIL_ANY (~0u)	  /* the detail tells more: see the line */
#define CAPOS_DETAIL_CALL_WORD 8u /* badArgument: the call word itself */
#define CAPOS_DETAIL_HANDLE 1u	  /* the handle named in a word or in the message area, not the one called through */
#define CAPOS_DETAIL_BOUND(name) ((unsigned)offsetof(struct capos_policy_bounds, name)) /* derive: likewise */
#define CAPOS_DETAIL_MASK 1u /* wider: the mask, not the part of a CPU */
#define CAPOS_DETAIL_FIELD(name) ((unsigned)offsetof(struct capos_spawn, name)) /* spawn: the field of its message */

/* --- what every kernel method can answer: G(status, detail, ways, when) ------------------------------------------------ */

#define CAPOS_ERRORS_EVERY(G)                                                                                        \
	G(INVALID_HANDLE, 0, BOTH, "the handle is 0, names no slot, or one that was never used so often")            \
	G(STALE_HANDLE, 0, BOTH, "the handle was released")                                                          \
	G(REVOKED, 0, BOTH, "the handle's authority or the object ended, before the call or while it waited")        \
	G(WRONG_INTERFACE, 0, BOTH, "the object is of another type than the call word says")                         \
	G(MISSING_RIGHTS, 0, BOTH, "the handle lacks a right that the method needs")                                 \
	G(UNKNOWN_METHOD, 0, BOTH, "the interface has no such method")                                               \
	G(BAD_SIZE, 0, BOTH, "words, message or capabilities are not as declared")                                   \
	G(BAD_ARGUMENT, CAPOS_DETAIL_CALL_WORD, BOTH, "flags that a call does not have")                             \
	G(BAD_ADDRESS, 0, RING, "the entry's message is not readable")                                               \
	G(MESSAGE_BUSY, 0, RING, "the result has message bytes, and an entry in flight has the message area")

/* --- parts of the lists below ------------------------------------------------------------------------------------------ */

/* A handle in a word, which is looked up in the caller's table. */
#define CAPOS_ERRORS_HELD_(E, i, m, w)                                                                               \
	E(i, m, INVALID_HANDLE, CAPOS_DETAIL_HANDLE, w,                                                              \
	  "the named handle is 0, names no slot, or a later use of it")                                              \
	E(i, m, STALE_HANDLE, CAPOS_DETAIL_HANDLE, w, "the named handle was released")
#define CAPOS_ERRORS_LIVE_(E, i, m, w)                                                                               \
	CAPOS_ERRORS_HELD_(E, i, m, w)                                                                               \
	E(i, m, REVOKED, CAPOS_DETAIL_HANDLE, w, "the authority of the named handle, or its object, ended")
#define CAPOS_ERRORS_RIGHT_(E, i, m, w)                                                                              \
	CAPOS_ERRORS_LIVE_(E, i, m, w)                                                                               \
	E(i, m, MISSING_RIGHTS, CAPOS_DETAIL_HANDLE, w, "the named handle lacks a right")
#define CAPOS_ERRORS_TYPED_(E, i, m, w)                                                                              \
	CAPOS_ERRORS_RIGHT_(E, i, m, w)                                                                              \
	E(i, m, WRONG_INTERFACE, CAPOS_DETAIL_HANDLE, w, "the named handle is of another type")

/* Memory of the caller's quota, of the machine. */
#define CAPOS_ERRORS_MEMORY_(E, i, m, w)                                                                             \
	E(i, m, QUOTA_EXCEEDED, CAPOS_QUOTA_MEMORY, w, "the caller's memory quota does not allow it")                \
	E(i, m, NO_MEMORY, 0, w, "the machine has no frame left")
/* A new handle in the caller's table. */
#define CAPOS_ERRORS_SLOT_(E, i, m, w) E(i, m, QUOTA_EXCEEDED, CAPOS_QUOTA_SLOTS, w, "the caller's slots are used up")

/* The memory that a snapshot is written into. */
#define CAPOS_ERRORS_SNAPSHOT_(E, R)                                                                                 \
	E(scheduling_policy, snapshot, INVALID_HANDLE, 2, BOTH, "the memory: names no slot, or a later use of it")   \
	E(scheduling_policy, snapshot, STALE_HANDLE, 2, BOTH, "the memory: released")                                \
	E(scheduling_policy, snapshot, REVOKED, 2, BOTH, "the memory: revoked or destroyed, before or meanwhile")    \
	E(scheduling_policy, snapshot, WRONG_INTERFACE, 2, BOTH, "the memory: no memory object")                     \
	E(scheduling_policy, snapshot, MISSING_RIGHTS, 2, BOTH, "the memory: no write right")                        \
	R(scheduling_policy, snapshot, CAPOS_POLICY_EXPIRED, 0, BOTH, "the authority was for a time that is over")   \
	R(scheduling_policy, snapshot, CAPOS_POLICY_OUT_OF_SCOPE, 0, BOTH, "records that the scope does not show")   \
	R(scheduling_policy, snapshot, CAPOS_POLICY_BUFFER_TOO_SMALL, 0, BOTH, "no room for one record")

/* A method that waits until a deadline. */
#define CAPOS_ERRORS_WAIT_(E, i, m)                                                                                  \
	E(i, m, WOULD_BLOCK, 0, BOTH, "deadline 0, and it would have to wait")                                       \
	E(i, m, TIMED_OUT, 0, BOTH, "the deadline passed")                                                           \
	CAPOS_ERRORS_MEMORY_(E, i, m, RING)

/* --- by interface ------------------------------------------------------------------------------------------------------- */

#define CAPOS_ERRORS_cap_table(E, R)                                                                                 \
	CAPOS_ERRORS_RIGHT_(E, cap_table, derive, BOTH)                                                              \
	E(cap_table, derive, BAD_ARGUMENT, 1, BOTH, "a right that does not exist")                                   \
	E(cap_table, derive, BAD_ARGUMENT, 2, BOTH, "a badge, but no endpoint, or one that is badged already")       \
	CAPOS_ERRORS_MEMORY_(E, cap_table, derive, BOTH)                                                             \
	CAPOS_ERRORS_SLOT_(E, cap_table, derive, BOTH)                                                               \
	CAPOS_ERRORS_RIGHT_(E, cap_table, copy, BOTH)                                                                \
	E(cap_table, copy, BAD_ARGUMENT, 1, BOTH, "a right that does not exist")                                     \
	CAPOS_ERRORS_MEMORY_(E, cap_table, copy, BOTH)                                                               \
	CAPOS_ERRORS_SLOT_(E, cap_table, copy, BOTH)                                                                 \
	CAPOS_ERRORS_HELD_(E, cap_table, release, BOTH)                                                              \
	CAPOS_ERRORS_LIVE_(E, cap_table, revoke, BOTH)                                                               \
	CAPOS_ERRORS_RIGHT_(E, cap_table, destroy, BOTH)                                                             \
	CAPOS_ERRORS_LIVE_(E, cap_table, info, BOTH)                                                                 \
	E(cap_table, list, BAD_ARGUMENT, 0, BOTH, "a slot of 2^32 or above")

#define CAPOS_ERRORS_process(E, R)                                                                                   \
	E(process, kill, BAD_ARGUMENT, 0, BOTH, "an exit code of 2^32 or above")                                     \
	CAPOS_ERRORS_WAIT_(E, process, wait)                                                                         \
	CAPOS_ERRORS_TYPED_(E, process, bind_context, BOTH)                                                          \
	R(process, bind_context, CAPOS_CONTEXT_STALE_GENERATION, 0, BOTH, "it was revoked")                          \
	R(process, bind_context, CAPOS_CONTEXT_WAS_REVOKED, 0, BOTH, "it was revoked through this capability")       \
	R(process, bind_context, CAPOS_CONTEXT_ALREADY_BOUND, 0, BOTH, "it has a thread")                            \
	R(process, bind_context, CAPOS_CONTEXT_THREAD_HAS_ONE, 0, BOTH, "the thread has a context")                  \
	R(process, bind_context, CAPOS_CONTEXT_PASSIVE_THREAD, 0, BOTH, "the thread runs on what its callers lend")  \
	R(process, bind_context, CAPOS_CONTEXT_SESSION_ENDED, 0, BOTH, "the process's session was logged out")       \
	R(process, bind_context, CAPOS_CONTEXT_CPU_MASK_MISMATCH, 0, BOTH,                                           \
	  "the thread's CPUs are none of the mask's")                                                                \
	R(process, bind_context, CAPOS_CONTEXT_THREAD_ENDED, 0, BOTH,                                                \
	  "the process has no such thread, or it has ended")

#define CAPOS_ERRORS_process_spawner(E, R)                                                                           \
	E(process_spawner, spawn, BAD_ARGUMENT, CAPOS_DETAIL_FIELD(program), BOTH, "the name is not terminated")     \
	E(process_spawner, spawn, BAD_ARGUMENT, CAPOS_DETAIL_FIELD(image), BOTH, "both a name and an image")         \
	E(process_spawner, spawn, BAD_ARGUMENT, CAPOS_DETAIL_FIELD(cpu), BOTH,                                       \
	  "no such CPU; a process that stays on one, and not which; a CPU and a set")                                \
	E(process_spawner, spawn, BAD_ARGUMENT, CAPOS_DETAIL_FIELD(flags), BOTH, "flags that do not exist")          \
	E(process_spawner, spawn, BAD_ARGUMENT, CAPOS_DETAIL_FIELD(grant_count), BOTH, "more grants than fit")       \
	E(process_spawner, spawn, BAD_ARGUMENT, CAPOS_DETAIL_FIELD(args), BOTH,                                      \
	  "the command line is not terminated")                                                                      \
	E(process_spawner, spawn, INVALID_HANDLE, CAPOS_DETAIL_FIELD(image), BOTH, "the image: forged, or none")     \
	E(process_spawner, spawn, STALE_HANDLE, CAPOS_DETAIL_FIELD(image), BOTH, "the image: released")              \
	E(process_spawner, spawn, REVOKED, CAPOS_DETAIL_FIELD(image), BOTH, "the image: revoked or destroyed")       \
	E(process_spawner, spawn, WRONG_INTERFACE, CAPOS_DETAIL_FIELD(image), BOTH, "the image: no memory object")   \
	E(process_spawner, spawn, MISSING_RIGHTS, CAPOS_DETAIL_FIELD(image), BOTH, "the image: no read right")       \
	E(process_spawner, spawn, INVALID_HANDLE, CAPOS_DETAIL_FIELD(session), BOTH, "the session: forged")          \
	E(process_spawner, spawn, STALE_HANDLE, CAPOS_DETAIL_FIELD(session), BOTH, "the session: released")          \
	E(process_spawner, spawn, REVOKED, CAPOS_DETAIL_FIELD(session), BOTH, "the session: revoked or destroyed")   \
	E(process_spawner, spawn, WRONG_INTERFACE, CAPOS_DETAIL_FIELD(session), BOTH, "the session: no session")     \
	R(process_spawner, spawn, CAPOS_SPAWN_UNKNOWN_PROGRAM, 0, BOTH, "the archive has no such program")           \
	R(process_spawner, spawn, CAPOS_SPAWN_BAD_IMAGE, CAPOS_DETAIL_ANY, BOTH,                                     \
	  "no good ELF file; detail: which check")                                                                   \
	R(process_spawner, spawn, CAPOS_SPAWN_ABI_MISMATCH, CAPOS_DETAIL_ANY, BOTH,                                  \
	  "detail: the image's version, or 0")                                                                       \
	R(process_spawner, spawn, CAPOS_SPAWN_BAD_GRANT, CAPOS_DETAIL_ANY, BOTH,                                     \
	  "name, handle, rights; the first one: no context to bind; detail: index")                                  \
	R(process_spawner, spawn, CAPOS_SPAWN_SESSION_ENDED, 0, BOTH, "the session was logged out")                  \
	R(process_spawner, spawn, CAPOS_SPAWN_BAD_SET, 0, BOTH,                                                      \
	  "the CPUs: not canonical: the count is not that of the bytes, or the last one is 0")                       \
	R(process_spawner, spawn, CAPOS_SPAWN_NO_CPU, 0, BOTH, "no CPU of the set is online")                        \
	R(process_spawner, spawn, CAPOS_SPAWN_BAD_CONTEXT, CAPOS_DETAIL_ANY, BOTH,                                   \
	  "the thread cannot be bound; detail: as bind_thread says")                                                 \
	CAPOS_ERRORS_MEMORY_(E, process_spawner, spawn, BOTH)                                                        \
	E(process_spawner, spawn, QUOTA_EXCEEDED, CAPOS_QUOTA_SLOTS, BOTH, "slots of the caller, or of the child")   \
	E(process_spawner, spawn, QUOTA_EXCEEDED, CAPOS_QUOTA_THREADS, BOTH,                                         \
	  "threads of the caller, or of the child")                                                                  \
	E(process_spawner, spawn, QUOTA_EXCEEDED, CAPOS_QUOTA_PROCESSES, BOTH, "processes of the caller")            \
	E(process_spawner, spawn, DYING, 0, BOTH, "killed through a guessed handle before its first instruction")

#define CAPOS_ERRORS_thread(E, R)                                                                                    \
	R(thread, exit, CAPOS_THREAD_NOT_SELF, 0, BOTH, "the handle is of another thread")                           \
	E(thread, exit, BAD_ARGUMENT, 0, BOTH, "an exit code of 2^32 or above")                                      \
	CAPOS_ERRORS_WAIT_(E, thread, join)                                                                          \
	CAPOS_ERRORS_TYPED_(E, thread, set_fault_endpoint, BOTH)                                                     \
	E(thread, set_fault_endpoint, DYING, 0, BOTH, "the thread has ended")                                        \
	R(thread, set_cpu, CAPOS_THREAD_BAD_CPU, 0, BOTH, "no such CPU")                                             \
	R(thread, set_affinity, CAPOS_THREAD_BAD_SET, 0, BOTH,                                                       \
	  "not canonical: the count is not that of the bytes, or the last one is 0")                                 \
	R(thread, set_affinity, CAPOS_THREAD_BAD_CPU, 0, BOTH, "no CPU of the set is online")                        \
	R(thread, set_affinity, CAPOS_THREAD_ONE_CPU, 0, BOTH, "its process stays on one CPU: not just that")        \
	R(thread, set_cpu, CAPOS_THREAD_ONE_CPU, 0, BOTH, "its process stays on another one")                        \
	R(thread, set_cpu, CAPOS_THREAD_CPU_MASK_MISMATCH, 0, BOTH, "the mask of its context does not have it")      \
	R(thread, set_affinity, CAPOS_THREAD_CPU_MASK_MISMATCH, 0, BOTH,                                             \
	  "none that is online and in the mask of its context")

#define CAPOS_ERRORS_thread_spawner(E, R)                                                                            \
	E(thread_spawner, create, BAD_ARGUMENT, 0, CALL, "the entry is not an address of the program")               \
	E(thread_spawner, create, BAD_ARGUMENT, 1, CALL,                                                             \
	  "without stack bytes: the stack pointer is not, or not a multiple of 8")                                   \
	E(thread_spawner, create, BAD_ARGUMENT, 3, CALL,                                                             \
	  "no such CPU, or not just the one that the process stays on")                                              \
	E(thread_spawner, create, BAD_ADDRESS, 3, CALL, "the set of CPUs is not all memory of the caller")           \
	R(thread_spawner, create, CAPOS_THREAD_BAD_SET, 0, CALL,                                                     \
	  "not canonical: more bytes than a set has, or the last one is 0")                                          \
	R(thread_spawner, create, CAPOS_THREAD_BAD_CPU, 0, CALL, "no CPU of the set is online")                      \
	E(thread_spawner, create, BAD_ARGUMENT, 4, CALL, "flags that do not exist")                                  \
	E(thread_spawner, create, BAD_ARGUMENT, 5, CALL, "stack bytes are not whole pages, or too many")             \
	CAPOS_ERRORS_MEMORY_(E, thread_spawner, create, CALL)                                                        \
	CAPOS_ERRORS_SLOT_(E, thread_spawner, create, CALL)                                                          \
	E(thread_spawner, create, QUOTA_EXCEEDED, CAPOS_QUOTA_THREADS, CALL, "the caller's threads are used up")     \
	CAPOS_ERRORS_SLOT_(E, thread_spawner, self, BOTH)                                                            \
	CAPOS_ERRORS_MEMORY_(E, thread_spawner, self, BOTH)

#define CAPOS_ERRORS_timer(E, R) CAPOS_ERRORS_MEMORY_(E, timer, sleep, RING)

#define CAPOS_ERRORS_wall_clock(E, R)                                                                                \
	E(wall_clock, now, NOT_SUPPORTED, 0, BOTH, "the machine has no clock of the date")

#define CAPOS_ERRORS_notification(E, R)                                                                              \
	E(notification, signal, BAD_ARGUMENT, 0, BOTH, "no bits")                                                    \
	CAPOS_ERRORS_WAIT_(E, notification, wait)

#define CAPOS_ERRORS_factory(E, R)                                                                                   \
	E(factory, endpoint, BAD_ARGUMENT, 0, BOTH, "an interface that is not a program's")                          \
	CAPOS_ERRORS_MEMORY_(E, factory, endpoint, BOTH)                                                             \
	CAPOS_ERRORS_SLOT_(E, factory, endpoint, BOTH)                                                               \
	CAPOS_ERRORS_MEMORY_(E, factory, notification, BOTH)                                                         \
	CAPOS_ERRORS_SLOT_(E, factory, notification, BOTH)                                                           \
	E(factory, memory, BAD_ARGUMENT, 0, BOTH, "no bytes, or more than an object can have")                       \
	E(factory, memory, BAD_ARGUMENT, 1, BOTH, "flags that do not exist")                                         \
	CAPOS_ERRORS_MEMORY_(E, factory, memory, BOTH)                                                               \
	CAPOS_ERRORS_SLOT_(E, factory, memory, BOTH)                                                                 \
	CAPOS_ERRORS_MEMORY_(E, factory, park_space, BOTH)                                                           \
	CAPOS_ERRORS_SLOT_(E, factory, park_space, BOTH)

#define CAPOS_ERRORS_park_space(E, R)                                                                                \
	E(park_space, wait, BAD_ARGUMENT, 0, BOTH, "an address that is no multiple of 4")                            \
	E(park_space, wait, BAD_ARGUMENT, 1, BOTH, "an expected value of 2^32 or above")                             \
	E(park_space, wait, BAD_ARGUMENT, 3, BOTH, "flags that do not exist")                                        \
	E(park_space, wait, BAD_ADDRESS, 0, BOTH,                                                                    \
	  "the word is not readable, or not of a memory object that is shared")                                      \
	R(park_space, wait, CAPOS_PARK_MISMATCH, 0, BOTH, "the word has another value")                              \
	CAPOS_ERRORS_WAIT_(E, park_space, wait)                                                                      \
	E(park_space, wake, BAD_ARGUMENT, 0, BOTH, "an address that is no multiple of 4")                            \
	E(park_space, wake, BAD_ARGUMENT, 2, BOTH, "flags that do not exist")                                        \
	E(park_space, wake, BAD_ADDRESS, 0, BOTH, "shared, and not of a memory object")                              \
	E(park_space, wake_wait, BAD_ARGUMENT, 0, CALL, "an address to wait at that is no multiple of 4")            \
	E(park_space, wake_wait, BAD_ARGUMENT, 1, CALL, "an expected value of 2^32 or above")                        \
	E(park_space, wake_wait, BAD_ARGUMENT, 3, CALL, "flags that do not exist")                                   \
	E(park_space, wake_wait, BAD_ARGUMENT, 4, CALL, "an address to wake at that is no multiple of 4")            \
	E(park_space, wake_wait, BAD_ADDRESS, 0, CALL,                                                               \
	  "the word to wait at is not readable, or not of a memory object that is shared")                           \
	E(park_space, wake_wait, BAD_ADDRESS, 4, CALL, "the word to wake at: shared, and not of a memory object")    \
	R(park_space, wake_wait, CAPOS_PARK_MISMATCH, 0, CALL, "the word has another value; the wake is done")       \
	E(park_space, wake_wait, WOULD_BLOCK, 0, CALL, "deadline 0, and it would have to wait; the wake is done")    \
	E(park_space, wake_wait, TIMED_OUT, 0, CALL, "the deadline passed; the wake is done")

#define CAPOS_ERRORS_endpoint(E, R)

#define CAPOS_ERRORS_memory_object(E, R)                                                                             \
	E(memory_object, read, BAD_ARGUMENT, 0, BOTH, "from behind the end")                                         \
	E(memory_object, read, BAD_ARGUMENT, 2, BOTH, "more than a page")                                            \
	E(memory_object, read, BAD_ADDRESS, 1, BOTH, "the buffer is not all writable memory of the caller")          \
	E(memory_object, write, BAD_ARGUMENT, 0, BOTH, "to behind the end")                                          \
	E(memory_object, write, BAD_ARGUMENT, 2, BOTH, "more than a page")                                           \
	E(memory_object, write, BAD_ADDRESS, 1, BOTH, "the buffer is not all memory of the caller")

#define CAPOS_ERRORS_address_space(E, R)                                                                             \
	CAPOS_ERRORS_TYPED_(E, address_space, map, CALL)                                                             \
	E(address_space, map, BAD_ARGUMENT, 1, CALL, "the offset is not a page's, or behind the end")                \
	E(address_space, map, BAD_ARGUMENT, 2, CALL, "the address is not a page's, or not a program's")              \
	E(address_space, map, BAD_ARGUMENT, 3, CALL, "no bytes, no whole pages, or more than there are")             \
	E(address_space, map, BAD_ARGUMENT, 4, CALL, "a protection that does not exist")                             \
	R(address_space, map, CAPOS_MAP_OVERLAP, 0, CALL, "something is mapped there")                               \
	R(address_space, map, CAPOS_MAP_WRITE_EXEC, 0, CALL, "writable and executable")                              \
	CAPOS_ERRORS_MEMORY_(E, address_space, map, CALL)                                                            \
	E(address_space, unmap, BAD_ARGUMENT, 0, BOTH, "the range is not of pages, or not a program's")              \
	E(address_space, unmap, BAD_ARGUMENT, 1, BOTH, "no bytes, or no whole pages")                                \
	R(address_space, unmap, CAPOS_MAP_NOT_MAPPED, 0, BOTH, "a part of the range is not mapped")                  \
	R(address_space, unmap, CAPOS_MAP_PINNED, 0, BOTH, "program, stack, or page of a thread")                    \
	CAPOS_ERRORS_MEMORY_(E, address_space, unmap, BOTH)                                                          \
	E(address_space, protect, BAD_ARGUMENT, 0, BOTH, "the range is not of pages, or not a program's")            \
	E(address_space, protect, BAD_ARGUMENT, 1, BOTH, "no bytes, or no whole pages")                              \
	E(address_space, protect, BAD_ARGUMENT, 2, BOTH, "a protection that does not exist")                         \
	R(address_space, protect, CAPOS_MAP_NOT_MAPPED, 0, BOTH, "a part of the range is not mapped")                \
	R(address_space, protect, CAPOS_MAP_PINNED, 0, BOTH, "program, stack, or page of a thread")                  \
	R(address_space, protect, CAPOS_MAP_WRITE_EXEC, 0, BOTH, "writable and executable")                          \
	CAPOS_ERRORS_MEMORY_(E, address_space, protect, BOTH)

#define CAPOS_ERRORS_console(E, R)                                                                                   \
	E(console, write, WOULD_BLOCK, 0, RING, "no room for all of it; a call waits")                               \
	R(console, read, CAPOS_CONSOLE_NOT_OWNER, 0, BOTH, "the caller does not own the console")                    \
	CAPOS_ERRORS_WAIT_(E, console, read)                                                                         \
	R(console, take, CAPOS_CONSOLE_OWNED, 0, BOTH, "another process owns it")                                    \
	R(console, give, CAPOS_CONSOLE_NOT_OWNER, 0, BOTH, "the caller does not own the console")                    \
	CAPOS_ERRORS_TYPED_(E, console, set_foreground, BOTH)                                                        \
	R(console, set_foreground, CAPOS_CONSOLE_NOT_OWNER, 0, BOTH, "the caller does not own the console")          \
	CAPOS_ERRORS_TYPED_(E, console, set_interrupt, BOTH)                                                         \
	E(console, set_interrupt, BAD_ARGUMENT, 1, BOTH, "a notification, but no bits")                              \
	R(console, set_interrupt, CAPOS_CONSOLE_NOT_OWNER, 0, BOTH, "the caller does not own the console")

#define CAPOS_ERRORS_log(E, R) E(log, write, BAD_ARGUMENT, 0, BOTH, "no such level")

#define CAPOS_ERRORS_entropy(E, R)                                                                                   \
	E(entropy, read, BAD_ARGUMENT, 0, BOTH, "no words, or more than 8")                                          \
	E(entropy, read, NOT_SUPPORTED, 0, BOTH, "the machine has no source")

#define CAPOS_ERRORS_system_info(E, R)

#define CAPOS_ERRORS_trace(E, R)                                                                                     \
	E(trace, control, BAD_ARGUMENT, 0, BOTH, "an event that does not exist")                                     \
	E(trace, read, BAD_ARGUMENT, 0, BOTH, "no such CPU")                                                         \
	E(trace, phase, BAD_ARGUMENT, 0, BOTH, "no such phase")                                                      \
	E(trace, phase, NOT_SUPPORTED, 0, BOTH, "not a measure build")                                               \
	E(trace, counters, BAD_ARGUMENT, 0, BOTH, "no such CPU")                                                     \
	E(trace, counters, BAD_ARGUMENT, 1, BOTH, "no such phase")                                                   \
	E(trace, counters, BAD_ARGUMENT, 2, BOTH, "no such value")                                                   \
	E(trace, counters, NOT_SUPPORTED, 0, BOTH, "not a measure build")

#define CAPOS_ERRORS_power(E, R)

#define CAPOS_ERRORS_session_manager(E, R)                                                                           \
	R(session_manager, create, CAPOS_SESSION_UNKNOWN_ACCOUNT, 0, BOTH, "no account of this id and name")         \
	CAPOS_ERRORS_MEMORY_(E, session_manager, create, BOTH)                                                       \
	CAPOS_ERRORS_SLOT_(E, session_manager, create, BOTH)

#define CAPOS_ERRORS_user_session(E, R)                                                                              \
	R(user_session, logout, CAPOS_SESSION_ENDED, 0, BOTH, "it was logged out before")

/* What a change needs: a policy that has not expired, a thread of its scope. */
#define CAPOS_ERRORS_POLICY_(E, R, m)                                                                                \
	R(scheduling_policy, m, CAPOS_POLICY_EXPIRED, 0, BOTH, "the authority was for a time that is over")          \
	R(scheduling_policy, m, CAPOS_POLICY_NO_SUCH_THREAD, 0, BOTH, "no thread has this id, or it has ended")      \
	R(scheduling_policy, m, CAPOS_POLICY_FOREIGN_THREAD, 0, BOTH, "the thread is not of the scope")

#define CAPOS_ERRORS_scheduling_policy(E, R)                                                                         \
	CAPOS_ERRORS_POLICY_(E, R, set_weight)                                                                       \
	R(scheduling_policy, set_weight, CAPOS_POLICY_WEIGHT_OUT_OF_BOUNDS, 0, BOTH,                                 \
	  "0, or more than the bounds allow")                                                                        \
	CAPOS_ERRORS_POLICY_(E, R, set_latency_class)                                                                \
	R(scheduling_policy, set_latency_class, CAPOS_POLICY_CLASS_OUT_OF_BOUNDS, 0, BOTH,                           \
	  "better than the bounds allow, or no class")                                                               \
	CAPOS_ERRORS_POLICY_(E, R, set_request)                                                                      \
	R(scheduling_policy, set_request, CAPOS_POLICY_REQUEST_OUT_OF_BOUNDS, 0, BOTH, "not within the bounds")      \
	E(scheduling_policy, snapshot, BAD_ARGUMENT, 0, BOTH, "no such kind of records")                             \
	E(scheduling_policy, snapshot, BAD_ARGUMENT, 3, BOTH,                                                        \
	  "the offset is not aligned, or behind the end, or given without memory")                                   \
	CAPOS_ERRORS_SNAPSHOT_(E, R)                                                                                 \
	R(scheduling_policy, derive, CAPOS_POLICY_EXPIRED, 0, BOTH, "the authority was for a time that is over")     \
	R(scheduling_policy, derive, CAPOS_POLICY_TOO_DEEP, 0, BOTH, "derived too often already")                    \
	R(scheduling_policy, derive, CAPOS_POLICY_WIDER, CAPOS_DETAIL_BOUND(weight_max), BOTH, "a greater weight")   \
	R(scheduling_policy, derive, CAPOS_POLICY_WIDER, CAPOS_DETAIL_BOUND(class_best), BOTH, "a better class")     \
	R(scheduling_policy, derive, CAPOS_POLICY_WIDER, CAPOS_DETAIL_BOUND(request_min_ns), BOTH,                   \
	  "smaller requests")                                                                                        \
	R(scheduling_policy, derive, CAPOS_POLICY_WIDER, CAPOS_DETAIL_BOUND(request_max_ns), BOTH,                   \
	  "greater requests")                                                                                        \
	R(scheduling_policy, derive, CAPOS_POLICY_WIDER, CAPOS_DETAIL_BOUND(expires_ns), BOTH, "for longer")         \
	R(scheduling_policy, derive, CAPOS_POLICY_WIDER, CAPOS_DETAIL_BOUND(scope), BOTH, "for more threads")        \
	E(scheduling_policy, derive, BAD_ARGUMENT, CAPOS_DETAIL_BOUND(weight_max), BOTH, "no weight")                \
	E(scheduling_policy, derive, BAD_ARGUMENT, CAPOS_DETAIL_BOUND(class_best), BOTH, "no class")                 \
	E(scheduling_policy, derive, BAD_ARGUMENT, CAPOS_DETAIL_BOUND(request_max_ns), BOTH,                         \
	  "less than the smallest request")                                                                          \
	E(scheduling_policy, derive, BAD_ARGUMENT, CAPOS_DETAIL_BOUND(expires_ns), BOTH, "an instant that is past")  \
	E(scheduling_policy, derive, BAD_ARGUMENT, CAPOS_DETAIL_BOUND(scope), BOTH, "no scope")                      \
	E(scheduling_policy, derive, BAD_ARGUMENT, CAPOS_DETAIL_BOUND(flags), BOTH, "flags that do not exist")       \
	CAPOS_ERRORS_MEMORY_(E, scheduling_policy, derive, BOTH)                                                     \
	CAPOS_ERRORS_SLOT_(E, scheduling_policy, derive, BOTH)

/* --- operations ----------------------------------------------------------------------------------------------------------- */

#define CAPOS_METHOD_op_call CAPOS_OP_CALL
#define CAPOS_METHOD_op_recv CAPOS_OP_RECV
#define CAPOS_METHOD_op_reply_recv CAPOS_OP_REPLY_RECV
#define CAPOS_METHOD_op_reply CAPOS_OP_REPLY
#define CAPOS_METHOD_op_enter CAPOS_OP_ENTER
#define CAPOS_METHOD_op_yield CAPOS_OP_YIELD
#define CAPOS_METHOD_op_other (CAPOS_OP_YIELD + 1) /* any number above */
#define CAPOS_IFACE_op 0u

/* Through a handle that must be of an endpoint. */
#define CAPOS_ERRORS_PORT_(E, m, w)                                                                                  \
	E(op, m, INVALID_HANDLE, 0, w, "the handle names no slot, or a later use of it")                             \
	E(op, m, STALE_HANDLE, 0, w, "the handle was released")                                                      \
	E(op, m, REVOKED, 0, w, "the handle's authority or the endpoint ended, before or while it waited")           \
	E(op, m, WRONG_INTERFACE, 0, w, "not an endpoint, or one that serves another interface")                     \
	E(op, m, MISSING_RIGHTS, 0, w, "no right to call (call), to receive (the others)")
/* What a message brings along. */
#define CAPOS_ERRORS_SENT_(E, m, w)                                                                                  \
	E(op, m, BAD_SIZE, 0, w, "more words, bytes or capabilities than a message has")                             \
	E(op, m, BAD_ARGUMENT, CAPOS_DETAIL_CALL_WORD, w, "flags that the operation does not have")                  \
	E(op, m, INVALID_HANDLE, CAPOS_DETAIL_HANDLE, w, "a handle that goes along is forged")                       \
	E(op, m, STALE_HANDLE, CAPOS_DETAIL_HANDLE, w, "a handle that goes along was released")                      \
	E(op, m, REVOKED, CAPOS_DETAIL_HANDLE, w, "a handle that goes along was revoked")                            \
	E(op, m, MISSING_RIGHTS, CAPOS_DETAIL_HANDLE, w, "a handle that goes along has no right to be granted")      \
	E(op, m, NO_SLOTS, 0, w, "the other side accepts fewer capabilities")                                        \
	E(op, m, QUOTA_EXCEEDED, CAPOS_QUOTA_SLOTS, w, "the other side's slots are used up")                         \
	E(op, m, QUOTA_EXCEEDED, CAPOS_QUOTA_MEMORY, w,                                                              \
	  "the other side's table cannot grow; of a call by ring also: the caller's memory for it")                  \
	E(op, m, NO_MEMORY, 0, w, "the machine has no frame left")

#define CAPOS_ERRORS_op(E, R)                                                                                        \
	CAPOS_ERRORS_PORT_(E, call, BOTH)                                                                            \
	CAPOS_ERRORS_SENT_(E, call, BOTH)                                                                            \
	E(op, call, PEER_GONE, 0, BOTH, "the server ended before it replied; it may have served the call")           \
	E(op, call, TOO_DEEP, 0, CALL,                                                                               \
	  "the server is passive, and the caller runs on CPU time lent CAPOS_DONATION_DEPTH_MAX calls deep")         \
	E(op, call, CPU_MASK_MISMATCH, 0, CALL,                                                                      \
	  "the server is passive, and its set of CPUs has none of the mask of the context on which the caller runs") \
	E(op, call, EXCEPTION, CAPOS_DETAIL_ANY, BOTH, "the server says so; interface result and detail are its")    \
	E(op, call, BAD_ADDRESS, 0, RING, "the entry's message is not readable")                                     \
	E(op, call, MESSAGE_BUSY, 0, RING, "a message, and an entry in flight has the message area")                 \
	E(op, call, WOULD_BLOCK, 0, RING, "deadline 0, and nobody receives")                                         \
	E(op, call, TIMED_OUT, 0, RING, "the deadline passed; the call may have been served")                        \
	E(op, call, RESULT_TOO_LARGE, 0, RING, "the reply has a message, the entry had none; the call was served")   \
	CAPOS_ERRORS_PORT_(E, recv, BOTH)                                                                            \
	E(op, recv, BAD_SIZE, 0, BOTH, "more than 8 words (ring: 4)")                                                \
	E(op, recv, BAD_ARGUMENT, CAPOS_DETAIL_CALL_WORD, BOTH, "flags that the operation does not have")            \
	E(op, recv, WOULD_BLOCK, 0, BOTH, "deadline 0, and nobody calls")                                            \
	E(op, recv, TIMED_OUT, 0, BOTH, "the deadline passed")                                                       \
	E(op, recv, COMPLETIONS_PENDING, 0, CALL,                                                                    \
	  "the completion queue is not empty, or a completion came meanwhile")                                       \
	E(op, recv, MESSAGE_BUSY, 0, RING, "an entry in flight has the message area")                                \
	E(op, recv, BAD_ADDRESS, 0, RING, "a message, which is not readable")                                        \
	E(op, recv, QUOTA_EXCEEDED, CAPOS_QUOTA_MEMORY, RING, "the caller's memory quota does not allow it")         \
	E(op, recv, NO_MEMORY, 0, RING, "the machine has no frame left")                                             \
	CAPOS_ERRORS_PORT_(E, reply_recv, CALL)                                                                      \
	CAPOS_ERRORS_SENT_(E, reply_recv, CALL)                                                                      \
	E(op, reply_recv, NOT_SERVING, 0, CALL, "no call is being served, or no such token")                         \
	E(op, reply_recv, COMPLETIONS_PENDING, 0, CALL, "as recv; the reply was sent")                               \
	CAPOS_ERRORS_PORT_(E, reply, BOTH)                                                                           \
	CAPOS_ERRORS_SENT_(E, reply, BOTH)                                                                           \
	E(op, reply, NOT_SERVING, 0, BOTH, "no call is being served, or no such token")                              \
	E(op, reply, BAD_ADDRESS, 0, RING, "the entry's message is not readable")                                    \
	E(op, enter, BAD_ARGUMENT, 0, CALL, "more completions than the queue has")                                   \
	E(op, enter, BAD_ARGUMENT, 2, CALL, "the submission queue's tail is not within it")                          \
	E(op, enter, BAD_ARGUMENT, 3, CALL, "the completion queue's head is not within it")                          \
	E(op, enter, BAD_ARGUMENT, CAPOS_DETAIL_CALL_WORD, CALL, "flags")                                            \
	E(op, enter, BAD_SIZE, 0, CALL, "more than 8 words")                                                         \
	E(op, enter, TIMED_OUT, 0, CALL, "the deadline passed; entries may have been consumed")                      \
	E(op, yield, BAD_ARGUMENT, CAPOS_DETAIL_CALL_WORD, CALL, "flags")                                            \
	E(op, yield, BAD_SIZE, 0, CALL, "more than 8 words")                                                         \
	E(op, reply_recv, UNKNOWN_METHOD, 0, RING, "not through a ring")                                             \
	E(op, enter, UNKNOWN_METHOD, 0, RING, "not through a ring")                                                  \
	E(op, yield, UNKNOWN_METHOD, 0, RING, "not through a ring")                                                  \
	E(op, other, UNKNOWN_METHOD, 0, BOTH, "no such operation")                                                   \
	E(op, other, BAD_SIZE, 0, CALL, "more than 8 words")

/* A context that is there still. */
#define CAPOS_ERRORS_CONTEXT_(R, m)                                                                                  \
	R(scheduling_context, m, CAPOS_CONTEXT_STALE_GENERATION, 0, BOTH, "it was revoked")                          \
	R(scheduling_context, m, CAPOS_CONTEXT_WAS_REVOKED, 0, BOTH, "it was revoked through this capability")

#define CAPOS_ERRORS_CONTEXT_BIND_(R, m)                                                                             \
	CAPOS_ERRORS_CONTEXT_(R, m)                                                                                  \
	R(scheduling_context, m, CAPOS_CONTEXT_ALREADY_BOUND, 0, BOTH, "it has a thread")                            \
	R(scheduling_context, m, CAPOS_CONTEXT_THREAD_HAS_ONE, 0, BOTH, "the thread has a context")                  \
	R(scheduling_context, m, CAPOS_CONTEXT_PASSIVE_THREAD, 0, BOTH, "the thread runs on what its callers lend")  \
	R(scheduling_context, m, CAPOS_CONTEXT_SESSION_ENDED, 0, BOTH, "the thread's session was logged out")        \
	R(scheduling_context, m, CAPOS_CONTEXT_CPU_MASK_MISMATCH, 0, BOTH, "the thread's CPUs are none of the mask's")

#define CAPOS_DETAIL_SPEC(name) ((unsigned)offsetof(struct capos_context_spec, name)) /* create: likewise */
#define CAPOS_ERRORS_scheduling_context(E, R)                                                                        \
	CAPOS_ERRORS_CONTEXT_(R, info)                                                                               \
	CAPOS_ERRORS_CONTEXT_(R, create)                                                                             \
	R(scheduling_context, create, CAPOS_CONTEXT_BUDGET_TOO_SMALL, 0, BOTH, "less than 10 us")                    \
	R(scheduling_context, create, CAPOS_CONTEXT_WIDER, 0, BOTH,                                                  \
	  "a greater part of a CPU than the context that it is created through")                                     \
	R(scheduling_context, create, CAPOS_CONTEXT_WIDER, CAPOS_DETAIL_MASK, BOTH,                                  \
	  "a CPU that the mask of that context does not have")                                                       \
	R(scheduling_context, create, CAPOS_CONTEXT_INVALID_MASK, CAPOS_MASK_NOT_CANONICAL, BOTH,                    \
	  "the mask: more bytes than a set has, or the last one is 0")                                               \
	R(scheduling_context, create, CAPOS_CONTEXT_INVALID_MASK, CAPOS_MASK_OFF_MACHINE, BOTH,                      \
	  "the mask: a CPU that the machine does not have")                                                          \
	R(scheduling_context, create, CAPOS_CONTEXT_INVALID_MASK, CAPOS_MASK_NO_CPU, BOTH,                           \
	  "the mask: empty, or none of it is online")                                                                \
	E(scheduling_context, create, BAD_ADDRESS, 0, CALL, "the mask is not all memory of the caller")              \
	E(scheduling_context, create, BAD_ARGUMENT, CAPOS_DETAIL_SPEC(budget_ns), BOTH, "more than the period")      \
	E(scheduling_context, create, BAD_ARGUMENT, CAPOS_DETAIL_SPEC(period_ns), BOTH, "more than an hour")         \
	E(scheduling_context, create, BAD_ARGUMENT, CAPOS_DETAIL_SPEC(deadline_ns), BOTH,                            \
	  "0, or more than the period")                                                                              \
	E(scheduling_context, create, BAD_ARGUMENT, CAPOS_DETAIL_SPEC(overrun), BOTH, "no such policy")              \
	E(scheduling_context, create, BAD_ARGUMENT, CAPOS_DETAIL_SPEC(replenishment), BOTH, "no such kind")          \
	CAPOS_ERRORS_MEMORY_(E, scheduling_context, create, BOTH)                                                    \
	CAPOS_ERRORS_SLOT_(E, scheduling_context, create, BOTH)                                                      \
	CAPOS_ERRORS_CONTEXT_BIND_(R, bind_caller_thread)                                                            \
	CAPOS_ERRORS_CONTEXT_(R, revoke)                                                                             \
	R(scheduling_context, drain_notifications, CAPOS_CONTEXT_STALE_GENERATION, 0, BOTH, "it was revoked")        \
	R(scheduling_context, drain_notifications, CAPOS_CONTEXT_WAS_REVOKED, 0, BOTH,                               \
	  "it was revoked through this capability; it gives what the notifications were then")                       \
	CAPOS_ERRORS_CONTEXT_BIND_(R, bind_thread)                                                                   \
	CAPOS_ERRORS_TYPED_(E, scheduling_context, bind_thread, BOTH)                                                \
	R(scheduling_context, bind_thread, CAPOS_CONTEXT_THREAD_ENDED, 0, BOTH, "the thread has ended")              \
	CAPOS_ERRORS_CONTEXT_(R, unbind)                                                                             \
	R(scheduling_context, unbind, CAPOS_CONTEXT_NOT_BOUND, 0, BOTH, "it has no thread")                          \
	CAPOS_ERRORS_CONTEXT_(R, wait_notification)                                                                  \
	R(scheduling_context, wait_notification, CAPOS_CONTEXT_TOO_MANY_WATCHERS, 0, BOTH, "8 wait already")         \
	CAPOS_ERRORS_WAIT_(E, scheduling_context, wait_notification)                                                 \
	CAPOS_ERRORS_CONTEXT_(R, resume)                                                                             \
	R(scheduling_context, resume, CAPOS_CONTEXT_NOT_SUSPENDED, 0, BOTH, "it does not wait for that")             \
	CAPOS_ERRORS_CONTEXT_(R, cpus)

/* Every list, `op` first. */
#define CAPOS_ERRORS(E, R)                                                                                           \
	CAPOS_ERRORS_op(E, R) CAPOS_ERRORS_cap_table(E, R) CAPOS_ERRORS_process(E, R) CAPOS_ERRORS_process_spawner(  \
		E, R) CAPOS_ERRORS_thread(E, R) CAPOS_ERRORS_thread_spawner(E, R) CAPOS_ERRORS_timer(E, R)           \
		CAPOS_ERRORS_wall_clock(E, R) CAPOS_ERRORS_notification(E, R) CAPOS_ERRORS_factory(E, R)             \
			CAPOS_ERRORS_park_space(E, R) CAPOS_ERRORS_endpoint(E, R) CAPOS_ERRORS_memory_object(E, R)   \
				CAPOS_ERRORS_address_space(E, R) CAPOS_ERRORS_console(E, R) CAPOS_ERRORS_log(E, R)   \
					CAPOS_ERRORS_entropy(E, R) CAPOS_ERRORS_system_info(E, R)                    \
						CAPOS_ERRORS_trace(E, R) CAPOS_ERRORS_power(E, R)                    \
							CAPOS_ERRORS_session_manager(E, R)                           \
								CAPOS_ERRORS_user_session(E, R)                      \
									CAPOS_ERRORS_scheduling_policy(E, R)         \
										CAPOS_ERRORS_scheduling_context(E,   \
														R)

#endif
