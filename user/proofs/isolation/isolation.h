/* SPDX-License-Identifier: MIT */
/*
 * run-isolation: a program can read or write nothing but its own. `isolation` makes all attempts; `isolation MODE …` is
 * the other process of some of them.
 */
#ifndef ISOLATION_H
#define ISOLATION_H

#include "../proof.h"

#define UNTOUCHED 0x1badc0ffee0ddf00ull

/* Faults of the threads that guard() was called for are counted, and the instruction skipped. */
struct guard {
	volatile uint64_t faults, cause, address;
};
extern struct guard guard;
void guard_begin(void);
void guard_thread(capos_handle thread);
void guard_end(void);

/* The word there, or UNTOUCHED where the load faulted. */
static inline uint64_t try_load(uint64_t address)
{
	uint64_t value = UNTOUCHED;

	__asm__ volatile("movq (%1), %0" : "+r"(value) : "r"(address) : "memory");
	return value;
}

static inline void try_store(uint64_t address, uint64_t value)
{
	__asm__ volatile("movq %0, (%1)" : : "r"(value), "r"(address) : "memory");
}

void test_addresses(void);
void test_instructions(void);
void test_frames(void);
void test_stale(void);
void test_registers(void);
void test_handles(void);
void test_messages(void);

int mode_jump(int argc, char **argv);
int mode_secret(int argc, char **argv);
int mode_scan(int argc, char **argv);
int mode_touch(int argc, char **argv);
int mode_spin(int argc, char **argv);
int mode_guess(int argc, char **argv);

void mode_init(struct capos_spawn *spawn, const char *args);
/* Runs `isolation ARGS`; true when it ended with 0. */
bool mode_run(const char *args);

#endif
