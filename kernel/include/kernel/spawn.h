/* SPDX-License-Identifier: MIT */
/*
 * Making a process out of a program image, in bounded steps: by process_spawner.spawn (an operation of the caller), and by
 * the boot room for the processes of the manifest.
 */
#ifndef KERNEL_SPAWN_H
#define KERNEL_SPAWN_H

#include <kernel/archive.h>
#include <kernel/elf.h>
#include <kernel/thread.h>

/* Where things lie in every process, from the base of its user addresses. */
#define SPAWN_STARTUP_OFFSET 0x210000ul /* the stack ends here; the page below it is never mapped by the kernel */
#define SPAWN_THREAD_OFFSET (SPAWN_STARTUP_OFFSET + PAGE_BYTES) /* page of the first thread */
#define SPAWN_IMAGE_OFFSET 0x220000ul				/* one page table holds all of a small program */

#define SPAWN_STANDARD_CAPS 6u

struct spawn_cap {
	char name[CAPOS_NAME_BYTES];
	struct cap cap; /* with a reference on its grant */
	u32 iface;	/* for the start-up record: type of the object, 0: endpoint */
	u64 handle;	/* in the child, when inserted */
};

struct spawn_request {
	/* What is wanted; filled by who begins. */
	struct process *parent; /* NULL: at boot */
	char name[CAPOS_NAME_BYTES];
	char args[96];
	u64 limits[QUOTA_KINDS];
	u32 cpu;      /* of its first thread, or CAPOS_CPU_ANY */
	bool one_cpu; /* of all its threads */
	bool has_cpus;
	struct capos_cpu_set cpus; /* has_cpus: of its first thread */
	bool binds;		   /* its first thread to the context that is the first granted capability */
	bool essential;
	const struct archive_file *file; /* NULL: image */
	struct cap image;		 /* memory object, with a reference on its grant */
	struct session *session;	 /* with a reference; NULL: none */
	u32 cap_count;			 /* of caps, the standard ones first */
	struct spawn_cap caps[CAPOS_STARTUP_CAPS];
	bool hold; /* stop before capabilities (boot: exports are made then) */

	/* progress */
	u32 phase;
	u32 index;    /* within the phase: object, segment, capability */
	u64 next;     /* page of the segment that is copied next */
	bool copying; /* the segment is mapped */
	bool mapping; /* map is in progress */
	struct map_request map;
	struct elf_image elf;
	struct process *process;
	struct thread *thread;
	struct memory_object *borrowed;
	struct object *standard[SPAWN_STANDARD_CAPS];
	u64 base;

	/* result */
	u64 result; /* result word */
	u64 handle; /* of the process, in the parent */
	u64 process_id;
};

/* Zeroed request -> the first free place of its capabilities is SPAWN_STANDARD_CAPS. */
void spawn_init(struct spawn_request *request);
/* A bounded piece. True: done (result says how), or held (request->hold, process is there). References are given back at
 * the end, by the last step. */
MUST_CHECK bool spawn_step(struct cpu *cpu, struct spawn_request *request);
/* Give back the references of a request that was not begun. */
void spawn_drop_references(struct spawn_request *request);
/* Which check refused it, for people; NULL when it was no such refusal. */
const char *spawn_refusal(const struct spawn_request *request);

#endif
