/* SPDX-License-Identifier: MIT */
/* Starting programs: fill in struct capos_spawn, grant by name, tell how a process ended. */
#ifndef USER_SPAWN_H
#define USER_SPAWN_H

#include <user/stubs.h>

/* A request with default quotas (1 MiB, 64 slots, 8 threads, 0 children), any CPU, the caller's session, no grants.
 * args may be NULL. */
void spawn_init(struct capos_spawn *spawn, const char *program, const char *args);

/* Adds a grant; rights 0: all that the handle has. False: no place for it, or h is 0. */
bool spawn_grant(struct capos_spawn *spawn, const char *name, capos_handle h, uint32_t rights);

/* Adds the caller's own capability of that name, if it has one. */
bool spawn_grant_own(struct capos_spawn *spawn, const char *name);

/* Its first thread begins bound to this context, which the child can look at under the name `context`. Before any other
 * grant. False: there is one. */
bool spawn_bind(struct capos_spawn *spawn, capos_handle context);

/* Its first thread may only run there. After the last grant. False: no place for it. */
bool spawn_within(struct capos_spawn *spawn, const struct capos_cpu_set *cpus);

/* Spawns through `process_spawner`. */
struct capos_result spawn_start(const struct capos_spawn *spawn, capos_handle *process, uint64_t *process_id);

/* Waits for its end, then releases the handle. */
struct capos_result spawn_finish(capos_handle process, uint64_t deadline_ns, struct process_end *end);

#define END_TEXT_BYTES 128u
/* "exit code 0", "fault: page fault at 0x0, instruction 0x…", … ; returns text. */
const char *process_end_text(const struct process_end *end, char text[END_TEXT_BYTES]);

#endif
