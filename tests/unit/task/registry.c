/* SPDX-License-Identifier: MIT */
/* LINK: kernel/task/registry.c kernel/sched/lock.c */
/* The list of threads beside their tree (RG1): its order, and the way on from threads that have left it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <kernel/context.h>
#include <kernel/process.h>
#include <kernel/state.h>
#include <stdlib.h>

#include "../../../kernel/task/task_priv.h"
#include "../fakes.h"

#define THREADS 200u

struct kernel kernel_state;
struct cpu *sim_cpu_record;
static struct process process;
static struct thread thread[THREADS + 1]; /* by id */
static bool is_in[THREADS + 1];

static struct session session;
static u64 logged_out; /* id */

enum context_logout context_logout(struct cpu *cpu, const struct session *of, struct thread *at)
{
	(void)cpu;
	assert_ptr_equal(of, &session);
	assert_ptr_equal(registry_next_thread(at->object.id), at);
	logged_out = at->object.id;
	return CONTEXT_NOT_BOUND;
}
void ledger_fill_record(const struct ledger *ledger, struct capos_ledger_record *out)
{
	(void)ledger, (void)out;
	fail();
}

/* From `id` on, as lookers go. */
static void check_from(u64 id)
{
	struct thread *at = registry_next_thread(id);

	for (u64 i = id; i <= THREADS; i++) {
		if (!is_in[i])
			continue;
		assert_ptr_equal(at, &thread[i]);
		at = registry_after(at);
	}
	assert_null(at);
}

static void check_all(void)
{
	for (u64 id = 0; id <= THREADS; id += 7)
		check_from(id);
}

static void add(u32 id)
{
	thread[id].object.id = id;
	thread[id].process = &process;
	registry_add_thread(&thread[id]);
	is_in[id] = true;
}

static void leave(u32 id)
{
	registry_remove_thread(&thread[id]);
	is_in[id] = false;
}

static int setup(void **state)
{
	(void)state;
	for (u32 id = 0; id <= THREADS; id++) {
		thread[id] = (struct thread){ 0 };
		is_in[id] = false;
	}
	kernel_state.task = (struct task_state){ 0 };
	task_init();
	return 0;
}

static void test_ids_that_come_late(void **state)
{
	(void)state;
	check_all();
	for (u32 id = 1; id <= THREADS; id += 4) { /* as creators on four CPUs may come */
		add(id + 2);
		add(id);
		add(id + 3);
		add(id + 1);
	}
	check_all();
}

static void test_random_comings_and_goings(void **state)
{
	(void)state;
	srandom(1);
	for (u32 i = 0; i < 20000; i++) {
		u32 id = 1 + (u32)random() % THREADS;

		if (is_in[id])
			leave(id);
		else
			add(id);
		if (i % 100 == 0)
			check_all();
	}
}

/* Whoever stands on one that leaves comes to all that stay, in order, though its neighbours leave too. */
static void test_the_way_on_from_one_that_left(void **state)
{
	struct thread *at;
	u32 seen = 0;

	(void)state;
	for (u32 id = 1; id <= THREADS; id++)
		add(id);
	for (at = registry_next_thread(0); at != NULL; at = registry_after(at)) {
		u64 id = at->object.id;

		seen++;
		if (id % 10 == 1) { /* itself, the one before, and four behind it, in this order */
			leave((u32)id);
			if (id > 1)
				leave((u32)id - 1);
			for (u32 i = 1; i <= 4; i++)
				leave((u32)id + i);
		}
	}
	/* From one that left the way leads to the one behind it, which left later, and so on to those that stay. */
	assert_int_equal(seen, THREADS);
	check_all();
}

/* Born into a session that is logged out meanwhile: who does that may have looked before it was here. */
static void test_into_an_ended_session(void **state)
{
	(void)state;
	process.session = &session;
	atomic_store_relaxed(&session.alive, 1u);
	logged_out = 0;
	add(1);
	assert_int_equal(logged_out, 0);
	atomic_store_relaxed(&session.alive, 0u);
	add(2);
	assert_int_equal(logged_out, 2);
	process.session = NULL;
	add(3);
	assert_int_equal(logged_out, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_ids_that_come_late, setup),
		cmocka_unit_test_setup(test_random_comings_and_goings, setup),
		cmocka_unit_test_setup(test_the_way_on_from_one_that_left, setup),
		cmocka_unit_test_setup(test_into_an_ended_session, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
