/* SPDX-License-Identifier: MIT */
/* LINK: kernel/cap/grant.c kernel/cap/table.c kernel/cap/object.c kernel/cap/reclaim.c kernel/cap/quota.c kernel/sched/lock.c */
#include "fakes.h"

#define ROOMY (64ull << 20)

static unsigned freed, swept;

static void fake_free(struct object *object)
{
	freed++;
	free(object);
}
static bool fake_sweep(struct object *object, u64 *pass)
{
	(void)object, (void)pass;
	swept++;
	return true;
}
static const struct object_type fake_type = { .name = "fake", .free = fake_free, .sweep_step = fake_sweep };
const struct object_type *object_type(u16 type)
{
	(void)type;
	return &fake_type;
}

static struct object *object_new(struct process *owner)
{
	struct object *object = calloc(1, sizeof(*object));

	object_init(object, CAPOS_IFACE_notification, owner);
	assert_int_equal(object_publish(object), CAPOS_STATUS_OK);
	return object;
}

static void object_end(struct object *object)
{
	assert_true(object_begin_destroy(object));
	while (!object_end_step(object))
		;
}

static u64 insert_root(struct process *process, struct object *object)
{
	u64 handle = 0;

	assert_int_equal(cap_insert_root(process, object, CAPOS_RIGHTS_ALL, &handle), CAPOS_STATUS_OK);
	return handle;
}

/* A child of what `handle` names, in process. */
static u64 derive(struct process *process, struct process *from, u64 handle)
{
	struct cap cap;
	u64 out = 0;

	assert_int_equal(cap_lookup(from, handle, &cap), CAPOS_STATUS_OK);
	assert_int_equal(grant_derive(process, &cap), CAPOS_STATUS_OK);
	assert_int_equal(cap_insert(process, &cap, &out), CAPOS_STATUS_OK);
	grant_put(cap.grant);
	return out;
}

static u16 look(struct process *process, u64 handle)
{
	struct cap cap;

	return cap_lookup(process, handle, &cap);
}

static void process_end(struct process *process)
{
	while (!cap_table_destroy_step(process))
		;
	assert_int_equal(atomic_load_relaxed(&process->quota.used[CAPOS_QUOTA_SLOTS]), 0);
	assert_int_equal(memory_used(process), 0);
	let_grace_pass();
	free(process);
}

static void nothing_left(void)
{
	let_grace_pass();
	assert_int_equal(pool_live[POOL_GRANT], 0);
	assert_int_equal(pool_live[POOL_OTHER], 0);
	assert_int_equal(frames_live, 0);
}

/* --- tables ---------------------------------------------------------------------------------------------------------- */

static void handles_have_generations(void **state)
{
	struct process *p = process_new(ROOMY, 100);
	struct object *o = object_new(p);
	u64 a = insert_root(p, o), b;

	(void)state;
	assert_int_equal(look(p, 0), CAPOS_STATUS_INVALID_HANDLE);
	assert_int_equal(look(p, a + 1), CAPOS_STATUS_INVALID_HANDLE);
	assert_int_equal(look(p, a + (1ull << 32)), CAPOS_STATUS_INVALID_HANDLE);
	assert_int_equal(look(p, a + (2ull << 32)), CAPOS_STATUS_INVALID_HANDLE);
	assert_int_equal(look(p, a), CAPOS_STATUS_OK);
	assert_int_equal(cap_release(p, a), CAPOS_STATUS_OK);
	assert_int_equal(look(p, a), CAPOS_STATUS_STALE_HANDLE);
	assert_int_equal(cap_release(p, a), CAPOS_STATUS_STALE_HANDLE);
	b = insert_root(p, o);
	assert_int_equal(CAPOS_HANDLE_SLOT(b), CAPOS_HANDLE_SLOT(a));
	assert_int_equal(b, a + (2ull << 32));
	assert_int_equal(look(p, a), CAPOS_STATUS_STALE_HANDLE);
	cap_table_verify(p);
	object_end(o);
	assert_int_equal(look(p, b), CAPOS_STATUS_REVOKED);
	process_end(p);
	nothing_left();
}

static void exhausted_generation_retires_its_slot(void **state)
{
	struct process *p = process_new(ROOMY, 100);
	struct object *o = object_new(p);
	u64 a = insert_root(p, o), b;

	(void)state;
	assert_int_equal(cap_release(p, a), CAPOS_STATUS_OK);
	atomic_store_relaxed(&atomic_load_relaxed(&p->table.index)[0]->generation, 0xfffffffcu);
	a = insert_root(p, o);
	assert_int_equal(a, 0xfffffffdull << 32);
	assert_int_equal(cap_release(p, a), CAPOS_STATUS_OK);
	assert_int_equal(look(p, a), CAPOS_STATUS_STALE_HANDLE);
	b = insert_root(p, o);
	assert_int_equal(CAPOS_HANDLE_SLOT(b), 1);
	cap_table_verify(p);
	object_end(o);
	process_end(p);
	nothing_left();
}

static void table_grows_to_its_quota(void **state)
{
	enum { MANY = 9000 };
	struct process *p = process_new(ROOMY, MANY);
	struct object *o = object_new(p);
	u64 *handle = calloc(MANY, sizeof(*handle)), extra;

	(void)state;
	for (u32 i = 0; i < MANY; i++)
		handle[i] = insert_root(p, o);
	assert_int_equal(cap_insert_root(p, o, 0, &extra), CAPOS_STATUS_QUOTA_EXCEEDED);
	for (u32 i = 0; i < MANY; i++)
		assert_int_equal(look(p, handle[i]), CAPOS_STATUS_OK);
	cap_table_verify(p);
	for (u32 i = 0; i < MANY; i += 2)
		assert_int_equal(cap_release(p, handle[i]), CAPOS_STATUS_OK);
	for (u32 i = 0; i < MANY; i += 2)
		handle[i] = insert_root(p, o);
	cap_table_verify(p);
	object_end(o);
	process_end(p);
	free(handle);
	nothing_left();
}

static void memory_quota_bounds_the_table(void **state)
{
	struct process *p = process_new(sizeof(struct grant) + 256, 100);
	struct object *o = object_new(p);
	u64 handle;

	(void)state;
	assert_int_equal(cap_insert_root(p, o, 0, &handle), CAPOS_STATUS_QUOTA_EXCEEDED);
	assert_int_equal(atomic_load_relaxed(&p->quota.used[CAPOS_QUOTA_SLOTS]), 0);
	p->quota.limit[CAPOS_QUOTA_MEMORY] += PAGE_BYTES;
	handle = insert_root(p, o);
	assert_int_equal(look(p, handle), CAPOS_STATUS_OK);
	object_end(o);
	process_end(p);
	nothing_left();
}

/* --- grants ---------------------------------------------------------------------------------------------------------- */

static void revoke_ends_what_is_below(void **state)
{
	struct process *p = process_new(ROOMY, 1000), *q = process_new(ROOMY, 1000);
	struct object *o = object_new(p);
	u64 root = insert_root(p, o), child = derive(q, p, root), sibling = derive(q, p, root), below[100];
	struct cap cap;
	unsigned steps = 1;

	(void)state;
	below[0] = derive(q, q, child);
	for (u32 i = 1; i < 100; i++)
		below[i] = derive(q, q, i % 3 == 0 ? child : below[i - 1]);
	grant_verify(o);
	assert_int_equal(cap_lookup(q, child, &cap), CAPOS_STATUS_OK);
	assert_true(grant_get(cap.grant));
	while (!grant_revoke_step(o, cap.grant, false)) {
		steps++;
		grant_verify(o);
	}
	grant_put(cap.grant);
	assert_true(steps > 5);
	for (u32 i = 0; i < 100; i++)
		assert_int_equal(look(q, below[i]), CAPOS_STATUS_REVOKED);
	assert_int_equal(look(q, child), CAPOS_STATUS_OK);
	assert_int_equal(look(q, sibling), CAPOS_STATUS_OK);
	assert_int_equal(look(p, root), CAPOS_STATUS_OK);
	for (u32 i = 0; i < 100; i++)
		assert_int_equal(cap_release(q, below[i]), CAPOS_STATUS_OK);
	let_grace_pass();
	assert_int_equal(pool_live[POOL_GRANT], 3);
	cap_table_verify(q);
	object_end(o);
	process_end(p);
	process_end(q);
	nothing_left();
}

static void released_grants_come_back(void **state)
{
	struct process *p = process_new(ROOMY, 1000);
	struct object *o = object_new(p);
	u64 root = insert_root(p, o), used = memory_used(p), a, b, c, d;

	(void)state;
	/* root - a - b - { c, d } */
	a = derive(p, p, root);
	b = derive(p, p, a);
	c = derive(p, p, b);
	d = derive(p, p, b);
	assert_int_equal(cap_release(p, a), CAPOS_STATUS_OK); /* one child: out */
	assert_int_equal(memory_used(p), used + 3 * sizeof(struct grant));
	assert_int_equal(cap_release(p, b), CAPOS_STATUS_OK); /* two children: stays */
	assert_int_equal(memory_used(p), used + 3 * sizeof(struct grant));
	grant_verify(o);
	assert_int_equal(cap_release(p, c), CAPOS_STATUS_OK); /* takes b along */
	assert_int_equal(memory_used(p), used + sizeof(struct grant));
	grant_verify(o);
	assert_int_equal(look(p, d), CAPOS_STATUS_OK);
	/* What moved up still ends with what is above. */
	assert_true(grant_revoke_step(o, o->root, false));
	assert_int_equal(look(p, d), CAPOS_STATUS_REVOKED);
	assert_int_equal(memory_used(p), used);
	object_end(o);
	process_end(p);
	nothing_left();
}

static void put_later_comes_back_later(void **state)
{
	struct process *p = process_new(ROOMY, 1000);
	struct object *o = object_new(p);
	u64 root = insert_root(p, o), used = memory_used(p), a = derive(p, p, root);
	struct cap cap;

	(void)state;
	assert_int_equal(cap_lookup(p, a, &cap), CAPOS_STATUS_OK);
	assert_true(grant_get(cap.grant));
	assert_int_equal(cap_release(p, a), CAPOS_STATUS_OK);
	spin_lock(&o->lock);
	grant_put_later(cap.grant);
	spin_unlock(&o->lock);
	assert_int_equal(memory_used(p), used + sizeof(struct grant));
	let_grace_pass();
	assert_int_equal(memory_used(p), used);
	object_end(o);
	process_end(p);
	nothing_left();
}

static void derived_grants_end_with_the_deriver(void **state)
{
	struct process *p = process_new(ROOMY, 1000), *q = process_new(ROOMY, 1000), *r = process_new(ROOMY, 1000);
	struct object *o = object_new(p);
	u64 root = insert_root(p, o), mine = derive(q, p, root), given, again;
	struct cap cap;

	(void)state;
	/* q derives and gives to r, which derives once more for itself. */
	assert_int_equal(cap_lookup(q, mine, &cap), CAPOS_STATUS_OK);
	assert_int_equal(grant_derive(q, &cap), CAPOS_STATUS_OK);
	assert_int_equal(cap_insert(r, &cap, &given), CAPOS_STATUS_OK);
	grant_put(cap.grant);
	again = derive(r, r, given);
	swept = 0;
	process_end(q);
	assert_int_equal(look(r, given), CAPOS_STATUS_REVOKED);
	assert_int_equal(look(r, again), CAPOS_STATUS_REVOKED);
	assert_int_equal(look(p, root), CAPOS_STATUS_OK);
	assert_true(swept > 0);
	object_end(o);
	process_end(r);
	process_end(p);
	nothing_left();
}

static void derive_is_charged(void **state)
{
	struct process *p = process_new(ROOMY, 1000), *q = process_new(sizeof(struct grant) - 1, 10);
	struct object *o = object_new(p);
	struct cap cap;
	u64 root = insert_root(p, o);

	(void)state;
	assert_int_equal(cap_lookup(p, root, &cap), CAPOS_STATUS_OK);
	assert_int_equal(grant_derive(q, &cap), CAPOS_STATUS_QUOTA_EXCEEDED);
	object_end(o);
	assert_int_equal(grant_derive(p, &cap), CAPOS_STATUS_REVOKED);
	assert_false(grant_get(cap.grant));
	process_end(q);
	process_end(p);
	nothing_left();
}

/* Random derivations, releases, revocations in steps and ends of processes, the trees and tables walked after each. */
static void random_trees_stay_whole(void **state)
{
	enum { PROCESSES = 3, HANDLES = 64 };
	u64 seed = 12345;

	(void)state;
	for (unsigned round = 0; round < 30; round++) {
		struct process *p[PROCESSES];
		u64 handle[PROCESSES][HANDLES] = { 0 };
		struct object *o;

		for (u32 i = 0; i < PROCESSES; i++)
			p[i] = process_new(ROOMY, HANDLES + 1);
		o = object_new(p[0]);
		handle[0][0] = insert_root(p[0], o);
		for (unsigned i = 0; i < 600; i++) {
			u32 r, a, b, from, to;
			struct cap cap;

			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			r = (u32)(seed >> 33);
			a = r % PROCESSES, b = r / 4 % PROCESSES, from = r / 16 % HANDLES, to = r / 1024 % HANDLES;
			if (handle[a][from] == 0)
				from = 0;
			switch (r >> 28) {
			case 0:
				if (cap_lookup(p[a], handle[a][from], &cap) == CAPOS_STATUS_OK &&
				    grant_get(cap.grant)) {
					while (!grant_revoke_step(o, cap.grant, false))
						grant_verify(o);
					grant_put(cap.grant);
				}
				break;
			case 1:
			case 2:
			case 3:
				if ((a != 0 || from != 0) && handle[a][from] != 0) {
					assert_int_equal(cap_release(p[a], handle[a][from]), CAPOS_STATUS_OK);
					handle[a][from] = 0;
				}
				break;
			default:
				if (handle[b][to] == 0 && cap_lookup(p[a], handle[a][from], &cap) == CAPOS_STATUS_OK)
					handle[b][to] = derive(p[b], p[a], handle[a][from]);
				break;
			}
			grant_verify(o);
			for (u32 j = 0; j < PROCESSES; j++)
				cap_table_verify(p[j]);
			if (i % 16 == 0)
				let_grace_pass();
		}
		process_end(p[1]);
		grant_verify(o);
		object_end(o);
		process_end(p[2]);
		process_end(p[0]);
		nothing_left();
	}
}

/* --- reclaim ---------------------------------------------------------------------------------------------------------- */

static unsigned ran;
static void note_run(struct reclaim_node *node)
{
	(void)node;
	ran++;
}

static void cycle(struct cpu *cpu)
{
	reclaim_kernel_exit(cpu);
	reclaim_kernel_enter(cpu);
}

static void deferred_work_waits_for_other_cpus(void **state)
{
	struct reclaim_node node = { NULL, NULL, 0 };

	(void)state;
	ran = 0;
	reclaim_kernel_enter(cpus[1]); /* may hold a pointer */
	reclaim_defer(&node, note_run);
	for (int i = 0; i < 20; i++) {
		assert_true(reclaim_poll(cpus[0]));
		cycle(cpus[0]);
	}
	assert_int_equal(ran, 0);
	cycle(cpus[1]); /* a new entry: it can't find it any more */
	for (int i = 0; i < 20 && reclaim_poll(cpus[0]); i++) {
		cycle(cpus[0]);
		cycle(cpus[1]);
	}
	assert_int_equal(ran, 1);
}

static void user_mode_is_quiescent(void **state)
{
	struct reclaim_node node = { NULL, NULL, 0 };

	(void)state;
	ran = 0;
	reclaim_kernel_enter(cpus[1]);
	reclaim_defer(&node, note_run);
	(void)reclaim_poll(cpus[0]);
	reclaim_kernel_exit(cpus[1]);
	let_grace_pass();
	assert_int_equal(ran, 1);
}

static void own_entry_counts(void **state)
{
	struct reclaim_node node = { NULL, NULL, 0 };

	(void)state;
	ran = 0;
	reclaim_defer(&node, note_run);
	for (int i = 0; i < 20; i++)
		(void)reclaim_poll(cpus[0]);
	assert_int_equal(ran, 0);
	let_grace_pass();
	assert_int_equal(ran, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_begin, world_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(handles_have_generations),
		TEST(exhausted_generation_retires_its_slot),
		TEST(table_grows_to_its_quota),
		TEST(memory_quota_bounds_the_table),
		TEST(revoke_ends_what_is_below),
		TEST(released_grants_come_back),
		TEST(put_later_comes_back_later),
		TEST(derived_grants_end_with_the_deriver),
		TEST(derive_is_charged),
		TEST(random_trees_stay_whole),
		TEST(deferred_work_waits_for_other_cpus),
		TEST(user_mode_is_quiescent),
		TEST(own_entry_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
