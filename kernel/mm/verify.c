/* SPDX-License-Identifier: MIT */
/* The walk over everything of this room. */
#include "mm_priv.h"

#include <kernel/thread.h>

void mm_verify(void)
{
	struct process *process;

	if (!CAPOS_DEBUG)
		return;
	frames_verify();
	pools_verify();
	for (u64 id = 0; (process = registry_next_process(id)) != NULL; id = process->object.id + 1)
		space_verify(&process->space);
}
