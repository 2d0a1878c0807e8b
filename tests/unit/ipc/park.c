/* SPDX-License-Identifier: MIT */
/* LINK: kernel/ipc/ kernel/task/wait.c kernel/sched/lend.c kernel/sched/lock.c kernel/cap/errors.c */
/* Park, the general and the fast way. */
#include "world.h"

static struct slot park_slots[SLOTS_PER_PAGE];
static u32 park_word[16] __attribute__((aligned(64)));

static void test_park(void **state)
{
	u32 *word = aligned_alloc(64, 64);
	struct object *space;
	struct call c;

	(void)state;
	*word = 3;
	assert_int_equal(park_space_create(process[0], &space), CAPOS_STATUS_OK);
	run(client);
	c = kernel_call(client, space);
	c.word[0] = (u64)word + 1, c.word[1] = 3, c.word[2] = CAPOS_NEVER, c.word[3] = 0;
	assert_int_equal(method_park_space_wait(&c), STATUS_DETAIL(BAD_ARGUMENT, 0));
	c.word[0] = (u64)word, c.word[1] = 4;
	assert_int_equal(method_park_space_wait(&c), IRESULT(CAPOS_PARK_MISMATCH));
	c.word[0] = 8;
	assert_int_equal(method_park_space_wait(&c), STATUS(BAD_ADDRESS));
	c.word[0] = (u64)word, c.word[1] = 3;
	assert_int_equal(method_park_space_wait(&c), CALL_BLOCKED);
	cpu->armed_waiter = NULL;
	run(client2);
	c = kernel_call(client2, space);
	c.word[0] = (u64)word, c.word[1] = 9, c.word[2] = 0;
	assert_int_equal(method_park_space_wake(&c), STATUS(OK));
	assert_int_equal(c.word[0], 1);
	assert_true(runnable(client));
	run(client);
	c = kernel_call(client, space);
	c.word[0] = (u64)word, c.word[1] = 3, c.word[2] = CAPOS_NEVER, c.word[3] = 0;
	assert_int_equal(method_park_space_wait(&c), CALL_BLOCKED);
	assert_true(type_park_space.kill_step(space));
	assert_int_equal(client->mach.frame.call, STATUS(REVOKED));
	pool_free(POOL_PARK_SPACE, container_of(space, struct park_space, object));
	free(word);
}

static struct thread *park_wait(struct thread *thread, u64 handle, const u64 word[4])
{
	struct thread *next;

	run(thread);
	thread->mach.frame.call = PARK_WAIT_WORD;
	thread->mach.frame.handle = handle;
	memcpy(thread->mach.frame.word, word, 4 * sizeof(u64));
	next = kernel_syscall_park(cpu, thread);
	assert_int_equal(cpu->lock_depth, 0);
	return next;
}

/* NULL, and the thread goes on as it was. */
static void park_refuses(u64 handle, const u64 word[4])
{
	struct waiter before = client->wait;
	u32 references = atomic_load_relaxed(&grants[0].references);

	assert_null(park_wait(client, handle, word));
	memset(&client->asked, 0, sizeof(client->asked));
	assert_ptr_equal(cpu->current, client);
	assert_memory_equal(&before, &client->wait, sizeof(before));
	assert_int_equal(client->mach.frame.call, PARK_WAIT_WORD);
	assert_int_equal(atomic_load_relaxed(&grants[0].references), references);
}

static u64 park_wake(struct thread *thread, u64 handle, u64 addr, u64 n)
{
	u64 *word = thread->mach.frame.word;

	word[0] = addr, word[1] = n, word[2] = 0;
	return park_wake_fast(handle, PARK_WAKE_WORD, thread);
}

static void test_park_fast(void **state)
{
	u64 handle = CAPOS_HANDLE(1, 3u), addr = (u64)&park_word[0], runtime;
	struct grant *grant = &grants[0];
	u32 references;
	struct object *space;

	(void)state;
	assert_int_equal(park_space_create(process[0], &space), CAPOS_STATUS_OK);
	atomic_store_relaxed(&park_slots[1].generation, 3u);
	atomic_store_relaxed(&park_slots[1].type_rights, SLOT_MEANING(CAPOS_IFACE_park_space, CAPOS_RIGHTS_ALL));
	atomic_store_relaxed(&park_slots[1].object, space);
	atomic_store_relaxed(&park_slots[1].grant, grant);
	for (int i = 0; i < 2; i++)
		atomic_store_relaxed(&process[i]->table.first, &park_slots[0]);
	atomic_store_relaxed(&grant->references, 5u);
	sim_cpu_record = cpu;
	park_word[0] = 3;

	park_refuses(handle, (u64[]){ addr + 1, 3, CAPOS_NEVER, 0 });
	park_refuses(handle, (u64[]){ addr, 3 | 1ull << 32, CAPOS_NEVER, 0 });
	park_refuses(handle, (u64[]){ addr, 3, 1000, 0 });
	park_refuses(handle, (u64[]){ addr, 3, CAPOS_NEVER, CAPOS_PARK_SHARED });
	park_refuses(handle, (u64[]){ 8, 3, CAPOS_NEVER, 0 });
	park_refuses(CAPOS_HANDLE(1, 5u), (u64[]){ addr, 3, CAPOS_NEVER, 0 });
	atomic_store_relaxed(&park_slots[1].type_rights, SLOT_MEANING(CAPOS_IFACE_park_space, CAPOS_RIGHT_SIGNAL));
	park_refuses(handle, (u64[]){ addr, 3, CAPOS_NEVER, 0 });
	atomic_store_relaxed(&park_slots[1].type_rights, SLOT_MEANING(CAPOS_IFACE_park_space, CAPOS_RIGHT_WAIT));
	assert_int_equal(park_wake(client, handle, addr, 1), CALL_NOT_FAST);
	atomic_store_relaxed(&park_slots[1].type_rights, SLOT_MEANING(CAPOS_IFACE_park_space, CAPOS_RIGHTS_ALL));
	atomic_store_relaxed(&grant->dead, 1u);
	park_refuses(handle, (u64[]){ addr, 3, CAPOS_NEVER, 0 });
	assert_int_equal(park_wake(client, handle, addr, 1), CALL_NOT_FAST);
	atomic_store_relaxed(&grant->dead, 0u);
	atomic_store_relaxed(&kernel_state.trace_mask, 1u << CAPOS_TRACE_CALL);
	park_refuses(handle, (u64[]){ addr, 3, CAPOS_NEVER, 0 });
	atomic_store_relaxed(&kernel_state.trace_mask, 0u);

	/* A mismatch: no reference, no waiter; with something to be done before it goes on, the general way. */
	assert_ptr_equal(park_wait(client, handle, (u64[]){ addr, 4, CAPOS_NEVER, 0 }), client);
	assert_int_equal(client->mach.frame.call, IRESULT(CAPOS_PARK_MISMATCH));
	assert_int_equal(atomic_load_relaxed(&grant->references), 5);
	atomic_store_relaxed(&client->attention, ATTENTION_KILL);
	park_refuses(handle, (u64[]){ addr, 4, CAPOS_NEVER, 0 });
	atomic_store_relaxed(&client->attention, 0u);

	assert_int_equal(park_wake(client, handle, addr, 8), STATUS(OK));
	assert_int_equal(client->mach.frame.word[0], 0);
	assert_int_equal(park_wake(client, handle, addr, 9), CALL_NOT_FAST);
	assert_int_equal(park_wake(client, handle, addr + 2, 1), CALL_NOT_FAST);

	/* It waits, charged; who wakes another word, or nobody, leaves it. */
	cpu->account_ns = now_ns;
	runtime = client->account.runtime_ns;
	now_ns += 70;
	assert_ptr_equal(park_wait(client, handle, (u64[]){ addr, 3, CAPOS_NEVER, 0 }), client2);
	assert_false(runnable(client));
	assert_int_equal(client->account.runtime_ns, runtime + 70);
	assert_true(waiter_is_armed(&client->wait));
	assert_int_equal(client->wait.wait, CAPOS_WAIT_PARK);
	references = atomic_load_relaxed(&grant->references);
	assert_int_equal(references, 6);
	run(client2);
	assert_int_equal(park_wake(client2, handle, addr + 4, 1), STATUS(OK));
	assert_int_equal(client2->mach.frame.word[0], 0);
	assert_int_equal(park_wake(client2, handle, addr, 0), STATUS(OK));
	assert_int_equal(client2->mach.frame.word[0], 0);
	assert_true(waiter_is_armed(&client->wait));
	assert_int_equal(park_wake(client2, handle, addr, 1), STATUS(OK));
	assert_int_equal(client2->mach.frame.word[0], 1);
	assert_int_equal(client->mach.frame.call, STATUS(OK));
	assert_true(runnable(client));
	assert_false(waiter_is_armed(&client->wait));
	assert_int_equal(atomic_load_relaxed(&grant->references), 5);

	/* The end of the park space ends the wait. */
	assert_ptr_equal(park_wait(client, handle, (u64[]){ addr, 3, CAPOS_NEVER, 0 }), client2);
	assert_true(type_park_space.kill_step(space));
	assert_int_equal(client->mach.frame.call, STATUS(REVOKED));
	assert_int_equal(atomic_load_relaxed(&grant->references), 5);
	atomic_store_relaxed(&space->state, OBJECT_DYING);
	park_refuses(handle, (u64[]){ addr, 3, CAPOS_NEVER, 0 });
	park_refuses(handle, (u64[]){ addr, 4, CAPOS_NEVER, 0 });
	assert_int_equal(park_wake(client, handle, addr, 1), CALL_NOT_FAST);
	pool_free(POOL_PARK_SPACE, container_of(space, struct park_space, object));
	atomic_fetch_sub(&grant->references, 5u);
	sim_cpu_record = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_park),
		TEST(test_park_fast),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
