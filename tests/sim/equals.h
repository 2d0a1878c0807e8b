/* SPDX-License-Identifier: MIT */
/* Checker of equal ones (equals.c): what it is told of choices. */
#ifndef TESTS_SIM_EQUALS_H
#define TESTS_SIM_EQUALS_H

struct cpu;
struct entity;

/* As observe_choice. */
void equals_choice(struct cpu *cpu, const struct entity *chosen, const struct entity *current);

#endif
