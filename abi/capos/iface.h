/* SPDX-License-Identifier: MIT */
/*
 * The public contract of capOS, part 3: interfaces and methods, declared once. The lists feed the kernel's dispatch
 * tables and size checks, the method constants of the programs, and the names that the tracer prints.
 *
 * CAPOS_INTERFACES(X):     X(name, id)
 * CAPOS_METHODS_name(M):   M(iface, method, id, rights, words_in, bytes_in_max, words_out, bytes_out_max)
 *
 * words_in: exact count of argument words. bytes_in_max: 0 = no message accepted; else 1..max bytes are required,
 * their layout is the struct named in the comment (interface.h). Capabilities given as arguments are handles in words,
 * looked up in the caller's table; capabilities returned are handles in words of the caller's table.
 * Interface ids are never reused; ids from CAPOS_IFACE_USER on belong to programs, kernel objects refuse them.
 */
#ifndef CAPOS_IFACE_H
#define CAPOS_IFACE_H

#include <capos/abi.h>

#define CAPOS_IFACE_USER 0x10000000u

#define CAPOS_INTERFACES(X)                                                                                          \
	X(cap_table, 1)                                                                                              \
	X(process, 2)                                                                                                \
	X(process_spawner, 3)                                                                                        \
	X(thread, 4)                                                                                                 \
	X(thread_spawner, 5)                                                                                         \
	X(timer, 6)                                                                                                  \
	X(wall_clock, 7)                                                                                             \
	X(notification, 8)                                                                                           \
	X(factory, 9)                                                                                                \
	X(park_space, 10)                                                                                            \
	X(endpoint, 11)                                                                                              \
	X(memory_object, 12)                                                                                         \
	X(address_space, 13)                                                                                         \
	X(console, 14)                                                                                               \
	X(log, 15)                                                                                                   \
	X(entropy, 16)                                                                                               \
	X(system_info, 17)                                                                                           \
	X(trace, 18)                                                                                                 \
	X(power, 19)                                                                                                 \
	X(session_manager, 20)                                                                                       \
	X(user_session, 21)                                                                                          \
	X(scheduling_policy, 22)                                                                                     \
	X(scheduling_context, 23)

#define R_(right) CAPOS_RIGHT_##right

/* Operations on the caller's own table. `nop` does nothing: the null call.
 * derive: handle, rights, badge -> handle (child grant; badge 0 keeps; only an unbadged endpoint capability takes one).
 * copy: handle, rights -> handle (same grant). release: handle. revoke: handle (ends everything derived from it, not
 * itself). destroy: handle (ends the object). info: handle -> interface, rights, badge. list: first slot ->
 * count, next slot; struct capos_cap_record[]. */
#define CAPOS_METHODS_cap_table(M)                                                                                   \
	M(cap_table, nop, 0, 0, 0, 0, 0, 0)                                                                          \
	M(cap_table, derive, 1, 0, 3, 0, 1, 0)                                                                       \
	M(cap_table, copy, 2, 0, 2, 0, 1, 0)                                                                         \
	M(cap_table, release, 3, 0, 1, 0, 0, 0)                                                                      \
	M(cap_table, revoke, 4, 0, 1, 0, 0, 0)                                                                       \
	M(cap_table, destroy, 5, 0, 1, 0, 0, 0)                                                                      \
	M(cap_table, info, 6, 0, 1, 0, 3, 0)                                                                         \
	M(cap_table, list, 7, 0, 1, 0, 2, 512)

/* info -> struct capos_process_info. kill: exit code. wait: deadline -> cause (enum capos_exit_cause), code,
 * fault cause, fault address, fault ip. bind_context: context handle (control right), id of a thread of the process; as
 * scheduling_context.bind_thread, with the same results. */
#define CAPOS_METHODS_process(M)                                                                                     \
	M(process, info, 0, R_(READ), 0, 0, 1, 512)                                                                  \
	M(process, kill, 1, R_(CONTROL), 1, 0, 0, 0)                                                                 \
	M(process, wait, 2, R_(WAIT), 1, 0, 5, 0)                                                                    \
	M(process, bind_context, 3, R_(CONTROL), 2, 0, 0, 0)

/* spawn: struct capos_spawn -> process handle, process id. programs: index -> 1 and name, or 0 at the end. */
#define CAPOS_METHODS_process_spawner(M)                                                                             \
	M(process_spawner, spawn, 0, R_(CREATE), 0, 512, 2, 0)                                                       \
	M(process_spawner, programs, 1, R_(READ), 1, 0, 1, 64)

/* exit (the caller itself, handle of itself): code. join: deadline -> exit code, cause. terminate.
 * info -> struct capos_thread_info. set_fault_endpoint: endpoint handle or 0. set_cpu: CPU index or CAPOS_CPU_ANY.
 * set_affinity: struct capos_cpu_set, of which CPUs that are not online count for nothing. affinity -> bytes; struct
 * capos_cpu_set: those that are online. When either returns the thread does not run where it may not; revoked, when the capability
 * ends while the caller waits for that: the change stands. (It is about the thread's own entity: docs/SCHEDULING.md, Affinity.) */
#define CAPOS_METHODS_thread(M)                                                                                      \
	M(thread, exit, 0, R_(CONTROL), 1, 0, 0, 0)                                                                  \
	M(thread, join, 1, R_(WAIT), 1, 0, 2, 0)                                                                     \
	M(thread, terminate, 2, R_(CONTROL), 0, 0, 0, 0)                                                             \
	M(thread, info, 3, R_(READ), 0, 0, 1, 512)                                                                   \
	M(thread, set_fault_endpoint, 4, R_(CONTROL), 1, 0, 0, 0)                                                    \
	M(thread, set_cpu, 5, R_(CONTROL), 1, 0, 0, 0)                                                               \
	M(thread, set_affinity, 6, R_(CONTROL), 0, 512, 0, 0)                                                        \
	M(thread, affinity, 7, R_(READ), 0, 0, 1, 512)

/* create: entry address, stack pointer, argument, CPU or CAPOS_CPU_ANY, flags (CAPOS_THREAD_PASSIVE, CAPOS_THREAD_CPU_SET), stack
 * bytes -> thread handle, thread id, address of its thread page. It never runs on another CPU than what it is created for, until
 * that is changed. With stack bytes (whole pages, at most CAPOS_STACK_BYTES_MAX) the
 * kernel makes a stack of zeroes: it ends at the thread page, at a multiple of CAPOS_STACK_ALIGN, the page below it is not mapped,
 * and the stack pointer is its end less 8; the word of the stack pointer is a second argument. Stack and page are charged to the
 * process, can't be unmapped, and go when the thread has ended. self -> handle of the calling thread.
 * A thread begins with its argument where a call has its handle (rdi), and in the first words: the address of its thread page
 * (rsi), its id (rdx), its handle as create returns it (r10; 0 in the first thread of a process), the second argument (r8). */
#define CAPOS_METHODS_thread_spawner(M)                                                                              \
	M(thread_spawner, create, 0, R_(CREATE), 6, 0, 3, 0)                                                         \
	M(thread_spawner, self, 1, 0, 0, 0, 1, 0)

#define CAPOS_METHODS_timer(M)                                                                                       \
	M(timer, now, 0, R_(READ), 0, 0, 1, 0)                                                                       \
	M(timer, sleep, 1, R_(WAIT), 1, 0, 0, 0)

/* now -> UTC nanoseconds since 1970. */
#define CAPOS_METHODS_wall_clock(M) M(wall_clock, now, 0, R_(READ), 0, 0, 1, 0)

/* A word of bits. signal: or bits in (0: badArgument). wait: deadline -> bits, cleared. poll -> bits, cleared (may be 0). */
#define CAPOS_METHODS_notification(M)                                                                                \
	M(notification, signal, 0, R_(SIGNAL), 1, 0, 0, 0)                                                           \
	M(notification, wait, 1, R_(WAIT), 1, 0, 1, 0)                                                               \
	M(notification, poll, 2, R_(WAIT), 0, 0, 1, 0)

/* New objects on the caller's quota -> handle with all rights.
 * endpoint: interface id that it serves (CAPOS_IFACE_USER.. , or 0: any). memory: bytes, flags 0. */
#define CAPOS_METHODS_factory(M)                                                                                     \
	M(factory, endpoint, 0, R_(CREATE), 1, 0, 1, 0)                                                              \
	M(factory, notification, 1, R_(CREATE), 0, 0, 1, 0)                                                          \
	M(factory, memory, 2, R_(CREATE), 2, 0, 1, 0)                                                                \
	M(factory, park_space, 3, R_(CREATE), 0, 0, 1, 0)

/* Futex-like. wait: address (4-aligned), expected u32, deadline, flags (CAPOS_PARK_SHARED); interface result
 * CAPOS_PARK_MISMATCH when the word differs. wake: address, at most n, flags -> woken. wake_wait: the words of wait, and an address
 * (the flags are for both): wakes one that waits there, then waits; in that order, so that the result is that of the wait. By call
 * only. Who is woken goes on in the caller's slice where that can be. */
#define CAPOS_METHODS_park_space(M)                                                                                  \
	M(park_space, wait, 0, R_(WAIT), 4, 0, 0, 0)                                                                 \
	M(park_space, wake, 1, R_(SIGNAL), 3, 0, 1, 0)                                                               \
	M(park_space, wake_wait, 2, R_(SIGNAL) | R_(WAIT), 5, 0, 0, 0)

/* Calls go by CAPOS_OP_CALL with the interface that the endpoint serves, receives by CAPOS_OP_RECV. */
#define CAPOS_METHODS_endpoint(M)                                                                                    \
	M(endpoint, info, 0, 0, 0, 0, 4, 0) /* -> interface, callers waiting, receivers waiting, in service */

/* info -> bytes. read/write: offset, address in the caller's space, bytes (at most 4,096): copies, no mapping. */
#define CAPOS_METHODS_memory_object(M)                                                                               \
	M(memory_object, info, 0, 0, 0, 0, 1, 0)                                                                     \
	M(memory_object, read, 1, R_(READ), 3, 0, 0, 0)                                                              \
	M(memory_object, write, 2, R_(WRITE), 3, 0, 0, 0)

/* map: memory handle, offset, address (0: the kernel chooses), bytes, prot (CAPOS_MAP_*) -> address. All page-aligned.
 * unmap: address, bytes. protect: address, bytes, prot (never more than the mapping's capability allowed).
 * info -> mapped bytes, table bytes, mappings. */
#define CAPOS_METHODS_address_space(M)                                                                               \
	M(address_space, map, 0, R_(WRITE), 5, 0, 1, 0)                                                              \
	M(address_space, unmap, 1, R_(WRITE), 2, 0, 0, 0)                                                            \
	M(address_space, protect, 2, R_(WRITE), 3, 0, 0, 0)                                                          \
	M(address_space, info, 3, R_(READ), 0, 0, 3, 0)

/* write: message bytes. read: deadline -> bytes read, message bytes (at most 256). take: become owner (only the owner
 * reads); give: stop. set_foreground: process handle (Ctrl-C kills it) or 0. set_interrupt: notification handle, bits
 * (Ctrl-C signals it when there is no foreground job). */
#define CAPOS_METHODS_console(M)                                                                                     \
	M(console, write, 0, R_(WRITE), 0, 512, 1, 0)                                                                \
	M(console, read, 1, R_(READ), 1, 0, 1, 256)                                                                  \
	M(console, take, 2, R_(CONTROL), 0, 0, 0, 0)                                                                 \
	M(console, give, 3, R_(CONTROL), 0, 0, 0, 0)                                                                 \
	M(console, set_foreground, 4, R_(CONTROL), 1, 0, 0, 0)                                                       \
	M(console, set_interrupt, 5, R_(CONTROL), 2, 0, 0, 0)

/* write: level, message bytes (a line, without newline). read: sequence number -> next sequence number (same: nothing
 * newer), time, level; message bytes: the line. */
#define CAPOS_METHODS_log(M)                                                                                         \
	M(log, write, 0, R_(WRITE), 1, 256, 0, 0)                                                                    \
	M(log, read, 1, R_(READ), 1, 0, 3, 256)

/* read: words wanted (1..8) -> words. Status notSupported without a hardware source. */
#define CAPOS_METHODS_entropy(M) M(entropy, read, 0, R_(READ), 1, 0, 8, 0)

/* cpus: first index -> total, count; struct capos_cpu_info[]. memory -> struct capos_memory_info. machine -> struct
 * capos_machine_info. processes / threads: smallest id -> count, next id (0: end); struct capos_process_info[] /
 * capos_thread_info[]. */
#define CAPOS_METHODS_system_info(M)                                                                                 \
	M(system_info, cpus, 0, R_(READ), 1, 0, 2, 512)                                                              \
	M(system_info, memory, 1, R_(READ), 0, 0, 1, 512)                                                            \
	M(system_info, machine, 2, R_(READ), 0, 0, 1, 512)                                                           \
	M(system_info, processes, 3, R_(READ), 1, 0, 2, 512)                                                         \
	M(system_info, threads, 4, R_(READ), 1, 0, 2, 512)

/* control: mask of events (bit n: event n) -> former mask. read: CPU, sequence -> count, next sequence, lost;
 * struct capos_trace_record[]. In measure builds (else notSupported), capos/measure.h: phase: number -> the former one. counters: CPU,
 * phase, first value -> how many there are; u64[]: the values from there on. */
#define CAPOS_METHODS_trace(M)                                                                                       \
	M(trace, control, 0, R_(CONTROL), 1, 0, 1, 0)                                                                \
	M(trace, read, 1, R_(READ), 2, 0, 3, 512)                                                                    \
	M(trace, phase, 2, R_(CONTROL), 1, 0, 1, 0)                                                                  \
	M(trace, counters, 3, R_(READ), 3, 0, 1, 512)

/* off: code (0: clean; else the harness sees "tests failed"). */
#define CAPOS_METHODS_power(M) M(power, off, 0, R_(CONTROL), 1, 0, 0, 0)

/* create: account id; message: account name -> session handle, session id. accounts: index -> 1 or 0 at the end;
 * struct capos_account. */
#define CAPOS_METHODS_session_manager(M)                                                                             \
	M(session_manager, create, 0, R_(CREATE), 1, 15, 2, 0)                                                       \
	M(session_manager, accounts, 1, R_(READ), 1, 0, 1, 512)

/* info -> session id, account id, alive; message: name. logout: ends it: nothing is spawned in it any more, and the scheduling contexts
 * that its threads are bound to are revoked, through no capability; not those that go along a call at the moment. */
#define CAPOS_METHODS_user_session(M)                                                                                \
	M(user_session, info, 0, R_(READ), 0, 0, 3, 16)                                                              \
	M(user_session, logout, 1, R_(CONTROL), 0, 0, 0, 0)

/* Authority over scheduling parameters within its bounds (struct capos_policy_bounds), for the threads of its scope: their ids, 0 the
 * caller. set_weight: thread, weight. set_latency_class: thread, enum capos_latency_class; the request becomes the class's default,
 * or the nearest within the bounds. set_request: thread, ns. snapshot: enum capos_snapshot_kind, smallest id, memory handle (write
 * right; 0: the message area), offset in it (a multiple of CAPOS_SNAPSHOT_ALIGN) -> records, next id (0: end). Records lie one after
 * the other; each is true for its own instant, which stands in it, and written once. derive: struct capos_policy_bounds -> handle of a
 * new object, within these bounds, which ends with the authority that it was derived through. info -> struct capos_policy_info. */
#define CAPOS_METHODS_scheduling_policy(M)                                                                           \
	M(scheduling_policy, set_weight, 0, R_(CONTROL), 2, 0, 0, 0)                                                 \
	M(scheduling_policy, set_latency_class, 1, R_(CONTROL), 2, 0, 0, 0)                                          \
	M(scheduling_policy, snapshot, 2, R_(READ), 4, 0, 2, 512)                                                    \
	M(scheduling_policy, set_request, 3, R_(CONTROL), 2, 0, 0, 0)                                                \
	M(scheduling_policy, derive, 4, R_(CREATE), 0, 40, 1, 0)                                                     \
	M(scheduling_policy, info, 5, R_(READ), 0, 0, 1, 64)

/* A budget of CPU time per period (struct capos_context_spec), for at most one thread at a time; it goes along when that thread's calls are
 * served by passive servers. info -> struct capos_context_info. create: struct capos_context_spec, no greater part of a CPU than this one's;
 * address of a struct capos_cpu_set, its mask, within this one's, or 0: this one's -> handle. cpus -> bytes; struct capos_cpu_set:
 * the mask. bind_thread: thread handle (control right); it returns when the thread does not run off the mask, as thread.set_affinity
 * does. unbind: what was used stays used. revoke: unbinds it for good; later calls find `revoked` through the capability that it was
 * called through, `staleGeneration` through others. drain_notifications -> struct capos_context_notifications, the counts of which
 * begin anew; with `revoked` comes what they were at the end. wait_notification: deadline, sequence -> the sequence, which is another
 * one now. */
#define CAPOS_METHODS_scheduling_context(M)                                                                          \
	M(scheduling_context, info, 0, R_(READ), 0, 0, 1, 128)                                                       \
	M(scheduling_context, create, 1, R_(CREATE), 1, 64, 1, 0)                                                    \
	M(scheduling_context, bind_caller_thread, 2, R_(CONTROL), 0, 0, 0, 0)                                        \
	M(scheduling_context, revoke, 3, R_(CONTROL), 0, 0, 0, 0)                                                    \
	M(scheduling_context, drain_notifications, 4, R_(READ), 0, 0, 1, 128)                                        \
	M(scheduling_context, bind_thread, 5, R_(CONTROL), 1, 0, 0, 0)                                               \
	M(scheduling_context, unbind, 6, R_(CONTROL), 0, 0, 0, 0)                                                    \
	M(scheduling_context, wait_notification, 7, R_(READ), 2, 0, 1, 0)                                            \
	M(scheduling_context, resume, 8, R_(CONTROL), 0, 0, 0, 0)                                                    \
	M(scheduling_context, cpus, 9, R_(READ), 0, 0, 1, 512)

enum capos_iface {
#define X(name, id) CAPOS_IFACE_##name = (id),
	CAPOS_INTERFACES(X)
#undef X
};
#define CAPOS_IFACE_COUNT 24u /* kernel interface ids are below */

enum capos_method {
#define M(iface, method, id, ...) CAPOS_METHOD_##iface##_##method = (id),
#define X(name, id) CAPOS_METHODS_##name(M)
	CAPOS_INTERFACES(X)
#undef X
#undef M
};

#endif
