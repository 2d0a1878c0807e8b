/* SPDX-License-Identifier: MIT */
#include <kernel/quota.h>

#include <kernel/process.h>

bool quota_charge(struct process *process, enum capos_quota kind, u64 amount)
{
	return process == NULL || quota_take(&process->quota, kind, amount);
}

void quota_uncharge(struct process *process, enum capos_quota kind, u64 amount)
{
	if (process != NULL)
		quota_give(&process->quota, kind, amount);
}
