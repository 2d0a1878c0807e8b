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

/* The words of a wait, and where to wake. */
static u64 wake_wait(struct thread *thread, struct object *space, const u64 word[5])
{
	struct call c;

	run(thread);
	c = kernel_call(thread, space);
	memcpy(c.word, word, 5 * sizeof(u64));
	return method_park_space_wake_wait(&c);
}

static void test_wake_wait(void **state)
{
	u32 *word = aligned_alloc(64, 64);
	u64 at = (u64)word, other = at + 4;
	struct object *space;

	(void)state;
	memset(word, 0, 64);
	assert_int_equal(park_space_create(process[0], &space), CAPOS_STATUS_OK);
	assert_int_equal(wake_wait(client, space, (u64[]){ other, 0, CAPOS_NEVER, 0, at }), CALL_BLOCKED);
	/* What is wrong wakes nobody. */
	assert_int_equal(wake_wait(client2, space, (u64[]){ at + 1, 0, CAPOS_NEVER, 0, other }),
			 STATUS_DETAIL(BAD_ARGUMENT, 0));
	assert_int_equal(wake_wait(client2, space, (u64[]){ at, 1ull << 32, CAPOS_NEVER, 0, other }),
			 STATUS_DETAIL(BAD_ARGUMENT, 1));
	assert_int_equal(wake_wait(client2, space, (u64[]){ at, 0, CAPOS_NEVER, 2, other }),
			 STATUS_DETAIL(BAD_ARGUMENT, 3));
	assert_int_equal(wake_wait(client2, space, (u64[]){ at, 0, CAPOS_NEVER, 0, other + 2 }),
			 STATUS_DETAIL(BAD_ARGUMENT, 4));
	assert_int_equal(wake_wait(client2, space, (u64[]){ 8, 0, CAPOS_NEVER, 0, other }), STATUS(BAD_ADDRESS));
	assert_true(waiter_is_armed(&client->wait));
	/* The word differs: the wake is done. */
	assert_int_equal(wake_wait(client2, space, (u64[]){ at, 1, CAPOS_NEVER, 0, other }),
			 IRESULT(CAPOS_PARK_MISMATCH));
	assert_false(waiter_is_armed(&client->wait));
	assert_int_equal(client->mach.frame.call, STATUS(OK));
	assert_int_equal(wake_wait(client, space, (u64[]){ other, 0, CAPOS_NEVER, 0, at }), CALL_BLOCKED);
	assert_int_equal(wake_wait(client2, space, (u64[]){ at, 0, CAPOS_NEVER, 0, other }), CALL_BLOCKED);
	assert_true(runnable(client) && !runnable(client2));
	assert_int_equal(client->mach.frame.call, STATUS(OK));
	assert_true(type_park_space.kill_step(space));
	assert_int_equal(client2->mach.frame.call, STATUS(REVOKED));
	pool_free(POOL_PARK_SPACE, container_of(space, struct park_space, object));
	free(word);
}

static struct thread *park_call(struct thread *thread, u64 call_word, u64 handle, const u64 *word, unsigned words)
{
	struct thread *next;

	run(thread);
	thread->mach.frame.call = call_word;
	thread->mach.frame.handle = handle;
	memcpy(thread->mach.frame.word, word, words * sizeof(u64));
	next = kernel_syscall_park(cpu, thread);
	assert_int_equal(cpu->lock_depth, 0);
	return next;
}

static struct thread *park_wait(struct thread *thread, u64 handle, const u64 word[4])
{
	return park_call(thread, PARK_WAIT_WORD, handle, word, 4);
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

static u64 park_wake_flags(struct thread *thread, u64 handle, u64 addr, u64 n, u64 flags)
{
	u64 *word = thread->mach.frame.word;

	word[0] = addr, word[1] = n, word[2] = flags;
	return park_wake_fast(handle, PARK_WAKE_WORD, thread);
}

static u64 park_wake(struct thread *thread, u64 handle, u64 addr, u64 n)
{
	return park_wake_flags(thread, handle, addr, n, 0);
}

/* The park space in slot 1, through grants[0], which five refer to. */
static struct object *park_slot(void)
{
	struct object *space;

	assert_int_equal(park_space_create(process[0], &space), CAPOS_STATUS_OK);
	atomic_store_relaxed(&park_slots[1].generation, 3u);
	atomic_store_relaxed(&park_slots[1].type_rights, SLOT_MEANING(CAPOS_IFACE_park_space, CAPOS_RIGHTS_ALL));
	atomic_store_relaxed(&park_slots[1].object, space);
	atomic_store_relaxed(&park_slots[1].grant, &grants[0]);
	for (int i = 0; i < 2; i++)
		atomic_store_relaxed(&process[i]->table.first, &park_slots[0]);
	atomic_store_relaxed(&grants[0].references, 5u);
	sim_cpu_record = cpu;
	return space;
}

static void park_slot_end(struct object *space)
{
	pool_free(POOL_PARK_SPACE, container_of(space, struct park_space, object));
	assert_int_equal(atomic_load_relaxed(&grants[0].references), 5);
	atomic_fetch_sub(&grants[0].references, 5u);
	sim_cpu_record = NULL;
}

static void test_park_fast(void **state)
{
	u64 handle = CAPOS_HANDLE(1, 3u), addr = (u64)&park_word[0], runtime;
	struct object *space = park_slot();
	struct grant *grant = &grants[0];
	u32 references;

	(void)state;
	park_word[0] = 3;

	park_refuses(handle, (u64[]){ addr + 1, 3, CAPOS_NEVER, 0 });
	park_refuses(handle, (u64[]){ addr, 3 | 1ull << 32, CAPOS_NEVER, 0 });
	park_refuses(handle, (u64[]){ addr, 3, 1000, 0 });
	park_refuses(handle, (u64[]){ addr, 3, CAPOS_NEVER, CAPOS_PARK_SHARED });
	park_refuses(handle, (u64[]){ addr, 3, CAPOS_NEVER, CAPOS_PARK_SHARED << 1 });
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

	/* The place of a word is remembered until the space changes. */
	translations = 0;
	(void)park_wait(client, handle, (u64[]){ addr, 4, CAPOS_NEVER, 0 });
	(void)park_wait(client, handle, (u64[]){ addr, 4, CAPOS_NEVER, 0 });
	(void)park_wait(client2, handle, (u64[]){ addr, 4, CAPOS_NEVER, 0 });
	assert_int_equal(translations, 2); /* one each */
	(void)park_wait(client, handle, (u64[]){ addr + 4, 4, CAPOS_NEVER, 0 });
	(void)park_wait(client, handle, (u64[]){ addr, 4, CAPOS_NEVER, 0 });
	assert_int_equal(translations, 4);
	atomic_fetch_add(&process[0]->space.changes, 1ull);
	(void)park_wait(client, handle, (u64[]){ addr, 4, CAPOS_NEVER, 0 });
	assert_int_equal(translations, 5);

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

	/* Words of memory that processes share are others than private ones at the same address. */
	assert_int_equal(park_wake_flags(client2, handle, addr, 1, CAPOS_PARK_SHARED), CALL_NOT_FAST);
	assert_int_equal(park_wake_flags(client2, handle, addr, 1, CAPOS_PARK_SHARED << 1), CALL_NOT_FAST);
	shared_object = 77;
	assert_ptr_equal(park_wait(client, handle, (u64[]){ addr, 3, CAPOS_NEVER, CAPOS_PARK_SHARED }), client2);
	assert_int_equal(client->wait.key[0], 77);
	run(client2);
	assert_int_equal(park_wake(client2, handle, addr, 1), STATUS(OK));
	assert_true(waiter_is_armed(&client->wait));
	assert_int_equal(park_wake_flags(client2, handle, addr, 1, CAPOS_PARK_SHARED), STATUS(OK));
	assert_int_equal(client2->mach.frame.word[0], 1);
	assert_false(waiter_is_armed(&client->wait));
	shared_object = 0;

	/* The end of the park space ends the wait. */
	assert_ptr_equal(park_wait(client, handle, (u64[]){ addr, 3, CAPOS_NEVER, 0 }), client2);
	assert_true(type_park_space.kill_step(space));
	assert_int_equal(client->mach.frame.call, STATUS(REVOKED));
	assert_int_equal(atomic_load_relaxed(&grant->references), 5);
	atomic_store_relaxed(&space->state, OBJECT_DYING);
	park_refuses(handle, (u64[]){ addr, 3, CAPOS_NEVER, 0 });
	park_refuses(handle, (u64[]){ addr, 4, CAPOS_NEVER, 0 });
	assert_int_equal(park_wake(client, handle, addr, 1), CALL_NOT_FAST);
	park_slot_end(space);
}

static struct thread *pass(struct thread *thread, u64 at, u64 expected, u64 wake)
{
	return park_call(thread, PARK_WAKE_WAIT_WORD, CAPOS_HANDLE(1, 3u),
			 (u64[]){ at, expected, CAPOS_NEVER, 0, wake }, 5);
}

/* `to` waits at park_word[1]; the thread that is to pass to it runs. */
static void let_wait(struct thread *to, struct thread *from)
{
	run(from);
	(void)park_wait(to, CAPOS_HANDLE(1, 3u), (u64[]){ (u64)&park_word[1], 0, CAPOS_NEVER, 0 });
	assert_true(waiter_is_armed(&to->wait));
	run(from);
}

static void test_wake_wait_fast(void **state)
{
	u64 at = (u64)&park_word[0], other = (u64)&park_word[1];
	struct object *space = park_slot();
	struct grant *grant = &grants[0];

	(void)state;
	memset(park_word, 0, sizeof(park_word));
	run(client2);
	for (int i = 0; i < 2; i++) {
		can_switch = i == 1;
		let_wait(client2, client);
		/* Not for here: nothing happens. */
		assert_null(pass(client, at, 0, other + 2));
		assert_null(pass(client, at + 2, 0, other));
		atomic_store_relaxed(&park_slots[1].type_rights,
				     SLOT_MEANING(CAPOS_IFACE_park_space, CAPOS_RIGHT_WAIT));
		assert_null(pass(client, at, 0, other));
		atomic_store_relaxed(&park_slots[1].type_rights,
				     SLOT_MEANING(CAPOS_IFACE_park_space, CAPOS_RIGHTS_ALL));
		client2->wait.timer.deadline_ns = 5;
		assert_null(pass(client, at, 0, other));
		client2->wait.timer.deadline_ns = CAPOS_NEVER;
		memset(&client->asked, 0, sizeof(client->asked));
		assert_true(cpu->current == client && waiter_is_armed(&client2->wait));
		assert_int_equal(atomic_load_relaxed(&grant->references), 6);
		/* One goes on, the other waits, and the reference goes over. */
		(void)pass(client, at, 0, other);
		assert_true(runnable(client2) && !runnable(client));
		assert_int_equal(client2->mach.frame.call, STATUS(OK));
		assert_true(waiter_is_armed(&client->wait) && !waiter_is_armed(&client2->wait));
		assert_int_equal(client->wait.wait, CAPOS_WAIT_PARK);
		assert_int_equal(atomic_load_relaxed(&grant->references), 6);
		if (can_switch)
			assert_ptr_equal(cpu->current, client2);
		else
			assert_ptr_equal(cpu->armed_waiter, &client->wait);
		/* The word differs: the other one goes on all the same, and this one. */
		(void)pass(client2, other, 1, at);
		assert_int_equal(client2->mach.frame.call, IRESULT(CAPOS_PARK_MISMATCH));
		assert_int_equal(client->mach.frame.call, STATUS(OK));
		assert_true(runnable(client) && runnable(client2));
		assert_int_equal(atomic_load_relaxed(&grant->references), 5);
		/* Waiting through another grant: each keeps to its own. */
		let_wait(client2, client);
		client2->wait.grant = &grants[1];
		atomic_store_relaxed(&grants[1].references, 4u);
		atomic_fetch_sub(&grant->references, 1u);
		(void)pass(client, at, 0, other);
		assert_int_equal(atomic_load_relaxed(&grants[1].references), 3);
		assert_int_equal(atomic_load_relaxed(&grant->references), 6);
		atomic_store_relaxed(&grants[1].references, 0u);
		/* Nobody to wake: a wait. */
		run(client2);
		(void)pass(client2, other, 0, other);
		assert_true(waiter_is_armed(&client2->wait));
		assert_int_equal(atomic_load_relaxed(&grant->references), 7);
		/* The park space ends: so do the waits. Whom a call through it wakes goes on. */
		assert_true(type_park_space.kill_step(space));
		assert_true(runnable(client) && runnable(client2));
		let_wait(client2, client);
		atomic_store_relaxed(&space->state, OBJECT_DYING);
		(void)pass(client, at, 0, other);
		assert_int_equal(client->mach.frame.call, STATUS(REVOKED));
		assert_int_equal(client2->mach.frame.call, STATUS(OK));
		assert_true(runnable(client) && runnable(client2));
		atomic_store_relaxed(&space->state, OBJECT_ALIVE);
		run(client2);
	}
	can_switch = false;
	park_slot_end(space);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_park),
		TEST(test_wake_wait),
		TEST(test_park_fast),
		TEST(test_wake_wait_fast),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
