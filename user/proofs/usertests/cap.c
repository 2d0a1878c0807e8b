/* SPDX-License-Identifier: MIT */
/* Capabilities: derive, copy, release, revoke, destroy, info, list, and the slot quota. */
#include "errors.h"

static capos_handle one_notification(void)
{
	capos_handle h = 0;

	insist(factory_notification(known.factory, &h));
	return h;
}

static void derive_good(void)
{
	capos_handle endpoint = 0, derived = 0, copy = 0;
	uint32_t iface = 0, rights = 0;
	uint64_t badge = 1;

	insist(factory_endpoint(known.factory, PROOF_IFACE, &endpoint));
	expect_good(cap_table_nop(known.caps), "nop");
	expect_good(cap_table_info(known.caps, endpoint, &iface, &rights, &badge), "info of a new endpoint");
	tap_ok(iface == CAPOS_IFACE_endpoint && rights == CAPOS_RIGHTS_ALL && badge == 0,
	       "it has all rights, no badge");
	expect_good(cap_table_derive(known.caps, endpoint, CAPOS_RIGHT_CALL | CAPOS_RIGHT_GRANT, 77, &derived),
		    "derive with fewer rights and a badge");
	(void)cap_table_info(known.caps, derived, &iface, &rights, &badge);
	tap_ok(rights == (CAPOS_RIGHT_CALL | CAPOS_RIGHT_GRANT) && badge == 77, "the derived one has them");
	expect_good(cap_table_copy(known.caps, derived, CAPOS_RIGHT_CALL, &copy), "copy");
	(void)cap_table_info(known.caps, copy, &iface, &rights, &badge);
	tap_ok(rights == CAPOS_RIGHT_CALL && badge == 77 && iface == CAPOS_IFACE_endpoint,
	       "the copy keeps the badge");
	FAILS(cap_table, copy, MISSING_RIGHTS, CAPOS_DETAIL_HANDLE, "no grant right", .handle = known.caps,
	      .word = { copy });
	FAILS(cap_table, derive, MISSING_RIGHTS, CAPOS_DETAIL_HANDLE, "no grant right", .handle = known.caps,
	      .word = { copy });
	FAILS(cap_table, copy, MISSING_RIGHTS, CAPOS_DETAIL_HANDLE, "a right that is not there", .handle = known.caps,
	      .word = { derived, CAPOS_RIGHT_RECV });
	FAILS(cap_table, derive, MISSING_RIGHTS, CAPOS_DETAIL_HANDLE, "all rights from few", .handle = known.caps,
	      .word = { derived, CAPOS_RIGHTS_ALL });
	FAILS(cap_table, derive, BAD_ARGUMENT, 1, "an unknown right", .handle = known.caps,
	      .word = { endpoint, CAPOS_RIGHTS_ALL + 1 });
	FAILS(cap_table, copy, BAD_ARGUMENT, 1, "an unknown right", .handle = known.caps,
	      .word = { endpoint, CAPOS_RIGHTS_ALL + 1 });
	FAILS(cap_table, derive, BAD_ARGUMENT, 2, "a second badge", .handle = known.caps,
	      .word = { derived, CAPOS_RIGHT_CALL, 78 });
	FAILS(cap_table, derive, BAD_ARGUMENT, 2, "a badge for what is no endpoint", .handle = known.caps,
	      .word = { sample[CAPOS_IFACE_notification], CAPOS_RIGHT_WAIT, 1 });
	drop(copy);
	drop(derived);
	destroy(endpoint);
}

/* Each method that names a handle in a word, with each kind of bad one. */
#define NAMES_BAD(method)                                                                                            \
	FAILS(cap_table, method, INVALID_HANDLE, CAPOS_DETAIL_HANDLE, "handle 0", .handle = known.caps);             \
	FAILS(cap_table, method, INVALID_HANDLE, CAPOS_DETAIL_HANDLE, "a forged handle", .handle = known.caps,       \
	      .word = { FORGED_HANDLE });                                                                            \
	FAILS(cap_table, method, STALE_HANDLE, CAPOS_DETAIL_HANDLE, "a stale handle", .handle = known.caps,          \
	      .word = { stale })
#define NAMES_REVOKED(method)                                                                                        \
	FAILS(cap_table, method, REVOKED, CAPOS_DETAIL_HANDLE, "a revoked handle", .handle = known.caps,             \
	      .word = { revoked })

static void named_bad(void)
{
	capos_handle stale = stale_handle(), revoked = revoked_handle(sample[CAPOS_IFACE_notification]);

	NAMES_BAD(derive);
	NAMES_BAD(copy);
	NAMES_BAD(release);
	NAMES_BAD(revoke);
	NAMES_BAD(destroy);
	NAMES_BAD(info);
	NAMES_REVOKED(derive);
	NAMES_REVOKED(copy);
	NAMES_REVOKED(revoke);
	NAMES_REVOKED(destroy);
	NAMES_REVOKED(info);
	drop(revoked);
}

static void release_and_revoke(void)
{
	capos_handle root = one_notification(), child = 0, grandchild = 0, copy, cousin = 0;
	struct usage before = usage_now();

	insist(cap_table_derive(known.caps, root, CAPOS_RIGHTS_ALL, 0, &child));
	insist(cap_table_derive(known.caps, child, CAPOS_RIGHTS_ALL, 0, &grandchild));
	insist(cap_table_derive(known.caps, root, CAPOS_RIGHTS_ALL, 0, &cousin));
	copy = with_rights(grandchild, CAPOS_RIGHT_SIGNAL);
	expect_good(cap_table_revoke(known.caps, child), "revoke");
	expect_good(notification_signal(child, 1), "it does not end what it is called on");
	expect_status(notification_signal(grandchild, 1), REVOKED, "what was derived from it is revoked");
	expect_status(notification_signal(copy, 1), REVOKED, "and copies of that");
	expect_good(notification_signal(cousin, 1), "a sibling lives");
	expect_detail(cap_table_derive(known.caps, grandchild, CAPOS_RIGHT_WAIT, 0, NULL), REVOKED, 1,
		      "nothing can be derived from a revoked one");
	expect_good(cap_table_revoke(known.caps, child), "revoke again, with nothing below");
	expect_good(cap_table_release(known.caps, grandchild), "release of a revoked handle");
	drop(copy);
	drop(child);
	expect_good(notification_signal(cousin, 1), "release does not revoke others");
	drop(cousin);
	tap_unchanged(before, "slots and memory of derived capabilities came back");
	destroy(root);
}

static void destroys(void)
{
	capos_handle root = one_notification(), weak, derived = 0;

	weak = with_rights(root, CAPOS_RIGHTS_ALL & ~(uint32_t)CAPOS_RIGHT_DESTROY);
	insist(cap_table_derive(known.caps, weak, CAPOS_RIGHT_WAIT, 0, &derived));
	FAILS(cap_table, destroy, MISSING_RIGHTS, CAPOS_DETAIL_HANDLE, "no destroy right", .handle = known.caps,
	      .word = { weak });
	expect_good(notification_poll(root, NULL), "changed nothing");
	expect_good(cap_table_destroy(known.caps, root), "destroy");
	expect_status(notification_poll(root, NULL), REVOKED, "the object is gone for its handle");
	expect_status(notification_poll(weak, NULL), REVOKED, "for copies");
	expect_status(notification_poll(derived, NULL), REVOKED, "and for derived ones");
	expect_detail(cap_table_destroy(known.caps, root), REVOKED, 1, "destroyed twice");
	drop(derived);
	drop(weak);
	drop(root);
}

/* A chain of derivations, ended from the top. */
static void deep(void)
{
	capos_handle chain[40];
	struct usage before = usage_now();
	bool good = true;

	chain[0] = one_notification();
	for (unsigned i = 1; i < COUNT_OF(chain); i++)
		good = good && result_ok(insist_on(
				       cap_table_derive(known.caps, chain[i - 1], CAPOS_RIGHTS_ALL, 0, &chain[i])));
	tap_ok(good && result_ok(notification_signal(chain[COUNT_OF(chain) - 1], 1)), "40 derivations deep");
	expect_good(cap_table_revoke(known.caps, chain[0]), "revoke at the top");
	for (unsigned i = 1; i < COUNT_OF(chain); i++)
		good = good && IS(notification_signal(chain[i], 1), REVOKED);
	tap_ok(good, "ends all of them");
	for (unsigned i = 1; i < COUNT_OF(chain); i++)
		drop(chain[i]);
	destroy(chain[0]);
	tap_unchanged(before, "and everything comes back");
}

/* The table is full. */
static void without_slots(void)
{
	struct capos_policy_info info = { 0 };
	const struct capos_context_spec spec = { .budget_ns = MS, .period_ns = MS, .deadline_ns = MS };
	struct capos_policy_bounds bounds;

	must(scheduling_policy_info(known.policy, &info));
	bounds = info.bounds;
	FAILS(cap_table, derive, QUOTA_EXCEEDED, CAPOS_QUOTA_SLOTS, "no slot", .handle = known.caps,
	      .word = { known.timer, CAPOS_RIGHT_READ });
	FAILS(cap_table, copy, QUOTA_EXCEEDED, CAPOS_QUOTA_SLOTS, "no slot", .handle = known.caps,
	      .word = { known.timer, CAPOS_RIGHT_READ });
	FAILS(factory, endpoint, QUOTA_EXCEEDED, CAPOS_QUOTA_SLOTS, "no slot", .handle = known.factory);
	FAILS(factory, notification, QUOTA_EXCEEDED, CAPOS_QUOTA_SLOTS, "no slot", .handle = known.factory);
	FAILS(factory, memory, QUOTA_EXCEEDED, CAPOS_QUOTA_SLOTS, "no slot", .handle = known.factory,
	      .word = { CAPOS_PAGE_BYTES });
	FAILS(factory, park_space, QUOTA_EXCEEDED, CAPOS_QUOTA_SLOTS, "no slot", .handle = known.factory);
	FAILS(thread_spawner, create, QUOTA_EXCEEDED, CAPOS_QUOTA_SLOTS, "no slot", .handle = known.threads,
	      .word = { (uintptr_t)without_slots, startup()->stack_base + PAGE, 0, CAPOS_CPU_ANY });
	FAILS(thread_spawner, self, QUOTA_EXCEEDED, CAPOS_QUOTA_SLOTS, "no slot", .handle = known.threads);
	FAILS(scheduling_policy, derive, QUOTA_EXCEEDED, CAPOS_QUOTA_SLOTS, "no slot", .handle = known.policy,
	      .message = &bounds, .bytes = sizeof(bounds));
	FAILS(scheduling_context, create, QUOTA_EXCEEDED, CAPOS_QUOTA_SLOTS, "no slot", .handle = known.context,
	      .message = &spec, .bytes = sizeof(spec));
	FAILS(session_manager, create, QUOTA_EXCEEDED, CAPOS_QUOTA_SLOTS, "no slot", .handle = known.session_manager,
	      .word = { 7 }, .message = "tester", .bytes = 6);
}

static void exhaustion(void)
{
	capos_handle handle[600];
	struct usage before = usage_now();
	struct capos_result r = { 0 };
	struct capos_process_info info = { 0 };
	unsigned count = 0, again = 0;

	while (count < COUNT_OF(handle)) {
		r = insist_on(cap_table_copy(known.caps, known.timer, CAPOS_RIGHT_READ, &handle[count]));
		if (!result_ok(r))
			break;
		count++;
	}
	(void)own_info(&info);
	tap_ok(is_detail(r, CAPOS_STATUS_QUOTA_EXCEEDED, CAPOS_QUOTA_SLOTS) && info.slots_used == info.slots_limit,
	       "slots: quotaExceeded after %u copies", count);
	without_slots();
	tap_ok(usage_now().memory == before.memory, "the refused ones cost nothing");
	expect_good(timer_now(known.timer, NULL), "calls go on with a full table");
	for (unsigned i = 0; i < count; i++)
		drop(handle[i]);
	tap_unchanged(before, "released: all slots are back");
	while (again < count &&
	       result_ok(insist_on(cap_table_copy(known.caps, known.timer, CAPOS_RIGHT_READ, &handle[again]))))
		again++;
	tap_ok(again == count, "as many fit again");
	for (unsigned i = 0; i < again; i++)
		drop(handle[i]);
}

static void lists(void)
{
	struct capos_cap_record records[CAP_RECORDS_MAX];
	uint64_t next = 0, count = 0, total = 0, rounds = 0;
	bool found = false, good = true;

	do {
		good = result_ok(cap_table_list(known.caps, next, records, &count, &next)) &&
		       count <= CAP_RECORDS_MAX;
		for (uint64_t i = 0; good && i < count; i++)
			found = found || (records[i].handle == known.timer && records[i].iface == CAPOS_IFACE_timer);
		total += count;
	} while (good && next && ++rounds < 1000);
	/* What the sample child was given counts as used. */
	tap_ok(good && found && total + CHILD_SLOTS == usage_now().slots, "list names %lu of %u capabilities",
	       (unsigned long)total, usage_now().slots - CHILD_SLOTS);
	expect_good(cap_table_list(known.caps, 0xffffffff, records, &count, &next), "list from beyond the end");
	tap_ok(count == 0 && next == 0, "is empty");
	FAILS(cap_table, list, BAD_ARGUMENT, 0, "from a slot that cannot be", .handle = known.caps,
	      .word = { 1ull << 32 });
}

void test_cap(void)
{
	derive_good();
	named_bad();
	release_and_revoke();
	destroys();
	deep();
	exhaustion();
	lists();
}
