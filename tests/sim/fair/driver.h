/* SPDX-License-Identifier: MIT */
/*
 * The seam between the harness and the queues under test: entities and queues by number. driver.c puts the kernel's own objects
 * behind it. The order of calls is that of kernel/sched/dispatch.c.
 */
#ifndef TESTS_SIM_FAIR_DRIVER_H
#define TESTS_SIM_FAIR_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

enum drive_policy { DRIVE_EEVDF, DRIVE_WFQ };
enum drive_class { DRIVE_INTERACTIVE, DRIVE_NORMAL, DRIVE_BATCH };

#define DRIVE_NOBODY (~0u)
#define DRIVE_QUEUES 4u
#define DRIVE_ENTITIES 100001u

/* What the queue under test says of an entity: virtual runtime, deadline, end of request; wrap at 64 bits. */
struct drive_state {
	uint64_t vruntime, deadline, request_end;
	bool owes; /* it came with a debt to where nobody competed ... */
	uint64_t paid_at;
};

void drive_init(enum drive_policy policy, uint32_t queues, uint32_t entities, uint64_t virtual_start);
void drive_new(uint32_t entity, uint32_t weight, enum drive_class class, uint64_t request_ns);
/* It was asleep (or is new) and joins; moved: it is new, or left another queue. True: the CPU is to choose between it and `current`. */
bool drive_wake(uint32_t queue, uint32_t entity, bool moved, uint32_t current, uint64_t now_ns);
/* The best becomes current; there is none. */
uint32_t drive_pick(uint32_t queue);
/* Who goes on: `current`, or another, which is current then, and `current` queued. */
uint32_t drive_preempt(uint32_t queue, uint32_t current, bool slice_over);
/* How long the current one may run before its slice is over. */
uint64_t drive_slice_ns(uint32_t queue, uint32_t current);
void drive_charge(uint32_t queue, uint32_t current, uint64_t ns);
/* Gives way to the best other one, which is current then. */
uint32_t drive_yield(uint32_t queue, uint32_t current);
/* The current one blocks. */
void drive_block(uint32_t queue, uint32_t current, uint64_t now_ns);
/* It sleeps, and was in that queue last: it ends. */
void drive_end(uint32_t queue, uint32_t entity);
/* A queued one moves. */
void drive_move(uint32_t from, uint32_t to, uint32_t entity);
void drive_change(uint32_t queue, uint32_t entity, bool is_current, uint32_t weight, enum drive_class class,
		  uint64_t request_ns);
struct drive_state drive_state(uint32_t entity);
uint64_t drive_virtual_time(uint32_t queue);
/* What those that ended left: docs/SCHEDULING.md. */
struct drive_legacy {
	int64_t service, most_debt;
	uint64_t left_ns;
};
struct drive_legacy drive_legacy(uint32_t queue);
/* Walk the queue's structures. */
void drive_verify(uint32_t queue);
/* From now on something goes wrong in the queues: a canary for a check. */
void drive_plant(const char *name);

#endif
