/* SPDX-License-Identifier: MIT */
/* What policy_object.c and snapshot.c need of other rooms. They are tested by user/proofs/usertests; here nobody calls them. */
#ifndef TESTS_SCHED_FAKES_AUTHORITY_H
#define TESTS_SCHED_FAKES_AUTHORITY_H

#include "tests/unit/fakes.h"

#include <kernel/call.h>
#include <kernel/ledger.h>
#include <kernel/thread.h>

#define U __attribute__((unused))
#define NEVER(type, name, parameters)                                                                                \
	type name parameters                                                                                         \
	{                                                                                                            \
		fail_msg("%s is called", #name);                                                                     \
		__builtin_unreachable();                                                                             \
	}
NEVER(void, grant_put, (struct grant * grant U))
NEVER(u16, cap_lookup_typed, (struct process * process U, u64 handle U, u16 type U, u32 rights U, struct cap *out U))
NEVER(u64, factory_hand_out, (struct call * call U, struct object *object U))
NEVER(void, object_init, (struct object * object U, u16 type U, struct process *owner U))
NEVER(u64, call_start_operation,
      (struct call * call U, enum operation_progress (*step)(struct cpu *, struct thread *, struct operation *) U))
NEVER(bool, space_copy_in, (struct space * space U, void *to U, struct uaddr from U, size_t n U))
NEVER(struct paddr, memory_object_page, (const struct memory_object *memory U, u64 page_index U))
NEVER(u32, ledger_pass_begin, (struct process * process U))
NEVER(bool, ledger_pass_step, (struct process * process U, u32 *left U))
NEVER(void, ledger_read, (const struct ledger *ledger U, struct ledger_sums *out U))
NEVER(bool, session_next_record, (u64 id U, struct capos_ledger_record *out U))
NEVER(bool, account_next_record, (u64 id U, struct capos_ledger_record *out U))
NEVER(struct process *, registry_next_process, (u64 id U))
#undef NEVER
#undef U

/* A call goes on when the thread has left: it is told of here. */
static const struct thread *waited_for;

u64 thread_wait_until_left(struct call *call, const struct thread *thread, struct grant *grant, bool in_effect)
{
	(void)call, (void)grant, (void)in_effect;
	waited_for = thread;
	return CALL_BLOCKED;
}

bool grant_get(struct grant *grant)
{
	(void)atomic_fetch_add(&grant->references, 1u);
	return true;
}
void grant_put_later(struct grant *grant)
{
	assert_int_not_equal(atomic_fetch_sub(&grant->references, 1u), 0);
}

#endif
