/* SPDX-License-Identifier: MIT */
#include <kernel/debug.h>
#include <kernel/quota.h>
#include <kernel/thread.h>

bool quota_charge(struct process *process, enum capos_quota kind, u64 amount)
{
	struct quota *quota;
	bool fits;

	if (process == NULL)
		return true;
	quota = &process->quota;
	spin_lock(&quota->lock);
	KASSERT(quota->used[kind] <= quota->limit[kind]);
	fits = amount <= quota->limit[kind] - quota->used[kind];
	if (fits)
		quota->used[kind] += amount;
	spin_unlock(&quota->lock);
	return fits;
}

void quota_uncharge(struct process *process, enum capos_quota kind, u64 amount)
{
	struct quota *quota;

	if (process == NULL)
		return;
	quota = &process->quota;
	spin_lock(&quota->lock);
	KASSERT(amount <= quota->used[kind]);
	quota->used[kind] -= amount;
	spin_unlock(&quota->lock);
}
