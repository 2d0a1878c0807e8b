/* SPDX-License-Identifier: MIT */
/* Canaries: CAPOS_SIM_PLANT=NAME in the environment makes a checker of this folder spoil what it checks, once. */
#ifndef TESTS_SIM_PLANT_H
#define TESTS_SIM_PLANT_H

#include <stdlib.h>
#include <string.h>

#include <kernel/types.h>

#define PLANT_AFTER 20u /* walks: the workload is under way */

/* True once there is something to spoil: NAME was asked for, and `walks` have passed. */
static inline bool plant(const char *name, u32 walks)
{
	const char *asked = getenv("CAPOS_SIM_PLANT");

	return asked != NULL && walks > PLANT_AFTER && strcmp(asked, name) == 0;
}

#endif
