/* SPDX-License-Identifier: MIT */
/*
 * How a program has the simulator count the steps of its operations, and stop the machine's CPU at one of them: a record at a fixed
 * address that programs on the simulator share with it. Real machines have none.
 *
 *   off --program--> count --simulator, at step `at`--> held --program: the blow has fallen--> go --program--> off
 *
 * While it is held, the CPU stands still for STEPS_HOLD_NS at most: the blow may need a lock that it holds.
 */
#ifndef LIB_STEPS_H
#define LIB_STEPS_H

#include <stdint.h>

#define STEPS_ADDR 0x1ff000001800ull
#define STEPS_HOLD_NS 200000ull

enum step_kind {
	STEP_ENTRY = 1,	 /* it made a call or faulted */
	STEP_WINDOW = 2, /* between two steps of an operation, of a death or of a teardown */
	STEP_LEAVE = 4,	 /* its thread leaves the CPU: preempted, or about to wait */
	STEP_POINT = 8,	 /* every atomic access, lock and machine call in the kernel */
	STEP_ALLOC = 16, /* every allocation: it fails at step `at`, nothing is held */
};

enum steps_state { STEPS_OFF, STEPS_COUNT, STEPS_HELD, STEPS_GO };

struct steps {
	uint32_t state;	    /* enum steps_state */
	uint32_t kinds;	    /* STEP_*: which count */
	uint64_t process;   /* id: steps of its threads and of its teardown */
	uint64_t at;	    /* 0: none */
	uint64_t count;	    /* so far */
	uint32_t held_kind; /* STEP_* of the step that was held or failed; 0: none yet */
	uint32_t full;	    /* option --full of the simulator */
	uint64_t seed;	    /* of the run */
	/* Between the processes of a proof; the simulator does not look. */
	uint32_t told, failure, failure_detail, failure_state;
};

#endif
