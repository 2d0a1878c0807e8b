/* SPDX-License-Identifier: MIT */
/*
 * The format of a fuzz case: a header, then hostile actions of 16 bytes. The fuzzer (tests/fuzz) makes cases, this
 * program performs them, in the simulator and in QEMU. Any bytes are a case; what is beyond whole actions is ignored.
 *
 * A worker (`actor`) is a thread of one of the two hostile processes; each performs its actions in order, all at the same time.
 */
#ifndef FUZZCALLS_CASE_H
#define FUZZCALLS_CASE_H

#include <stdint.h>

#define CASE_PROCESSES 2u
#define CASE_WORKERS 3u /* per process */
#define CASE_ACTIONS_MAX 1000u
#define CASE_ARGUMENTS 6u

struct case_header {
	uint8_t cpus;	  /* simulator: index into its list of CPU counts */
	uint8_t faults;	  /* simulator: level of injected faults, 0 to 3 */
	uint8_t seed[2];  /* simulator: schedule */
	uint8_t patience; /* how long until the processes are killed */
	uint8_t spare[3];
};

enum case_kind {
	KIND_CALL,     /* the method row, through a handle */
	KIND_RING,     /* the same as a submission entry */
	KIND_ENTER,    /* cap_enter */
	KIND_REAP,     /* complete what is in the queues; set them in order again */
	KIND_ENDPOINT, /* an endpoint call, receive, reply ... : op by the method byte */
	KIND_RAW,      /* any call word */
	KIND_PAGE,     /* change a thread page, mostly another thread's */
	KIND_TOUCH,    /* load or store an address */
	KIND_THREAD,   /* start one more worker with this actor's later actions */
	KIND_TRAP,     /* divide, break, privileged ... */
	KIND_YIELD,
	KIND_COUNT
};

struct case_action {
	uint8_t actor;			  /* % (processes * workers) */
	uint8_t kind;			  /* % KIND_COUNT */
	uint8_t method;			  /* % number of method rows; or what KIND_ says */
	uint8_t handle;			  /* class << 6 | number: see handle_of() */
	uint8_t argument[CASE_ARGUMENTS]; /* class << 4 | number; class 0: what the method wants there */
	uint8_t message;		  /* what goes along */
	uint8_t flags;			  /* ACTION_ */
	uint8_t seed[4];		  /* for what is random in it */
};
_Static_assert(sizeof(struct case_header) == 8 && sizeof(struct case_action) == 16, "case format");

#define ACTION_WRONG_WORDS 1u	 /* another number of words than declared */
#define ACTION_WRONG_FLAGS 2u	 /* other flags than the method wants */
#define ACTION_WRONG_METHOD 4u	 /* a method or interface that is not declared */
#define ACTION_CAPS 8u		 /* capabilities go along */
#define ACTION_LONG_DEADLINE 16u /* waits may last for ever */
#define ACTION_AGAIN 32u	 /* twice */

#define HANDLE_RIGHT_TYPE 0u
#define HANDLE_ANY 1u
#define HANDLE_BAD 2u	  /* stale or forged */
#define HANDLE_STARTUP 3u /* one of those that every process has */

/*
 * Where this program finds its cases: a constant that its builder fills in. tests/fuzz/fuzz.c writes one case into the archive in
 * the simulator's memory; tools/fuzz links the program with the whole corpus.
 * `data`: case_bytes u32, then that many bytes, rounded up to 4, and so on.
 */
#define CASES_MAGIC "capOS fuzz cases"
#define CASES_SLOT_BYTES 16384u

struct cases {
	char magic[16];
	uint32_t count;
	uint32_t bytes; /* of data */
	uint8_t data[];
};

#endif
