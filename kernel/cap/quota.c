/* SPDX-License-Identifier: MIT */
#include <kernel/quota.h>

#include <kernel/debug.h>
#include <kernel/thread.h>

bool quota_charge(struct process *process, enum capos_quota kind, u64 amount)
{
	struct quota *quota;
	u64 limit, used;

	if (process == NULL)
		return true;
	quota = &process->quota;
	limit = quota->limit[kind];
	do {
		used = atomic_load_relaxed(&quota->used[kind]);
		KASSERT(used <= limit);
		if (amount > limit - used)
			return false;
	} while (unlikely(!atomic_cas(&quota->used[kind], used, used + amount)));
	return true;
}

void quota_uncharge(struct process *process, enum capos_quota kind, u64 amount)
{
	u64 before;

	if (process == NULL)
		return;
	before = atomic_fetch_sub(&process->quota.used[kind], amount);
	KASSERT(amount <= before);
}
