/* SPDX-License-Identifier: MIT */
/* Endpoints: the ends of calls that nobody answers. Model and invariants stand in endpoint.c. */
#include "endpoint_priv.h"

#define ENDS_PER_STEP 8

/* A call that `thread` took ends with peerGone. */
static void end_served(struct cpu *cpu, struct thread *thread, struct endpoint *endpoint, struct waiter *caller)
{
	bool won = false;

	spin_lock(&endpoint->object.lock);
	if (caller->object == &endpoint->object && list_is_linked(&caller->link) && server_of(caller) == thread) {
		endpoint_take_out(caller);
		won = waiter_claim(caller);
	}
	spin_unlock(&endpoint->object.lock);
	if (won)
		waiter_finish(cpu, caller, STATUS(PEER_GONE), NULL, 0);
}

/* A call that the thread took and that is still in service, and where; NULL: none. */
static struct waiter *next_served(struct thread *thread, struct endpoint **endpoint)
{
	struct waiter *caller = shared_load_relaxed(&thread->serving);
	struct list_node *node;

	*endpoint = thread->serving_at;
	if (caller != NULL)
		return caller;
	spin_lock(&thread->ring_lock);
	node = list_first(&thread->served);
	if (node != NULL) {
		caller = LIST_ENTRY(node, struct waiter, served_link);
		*endpoint = endpoint_of(caller->object); /* in service: linked there, so it is valid memory */
	}
	spin_unlock(&thread->ring_lock);
	return caller;
}

bool endpoint_thread_exit_step(struct cpu *cpu, struct thread *thread)
{
	for (unsigned i = 0; i < ENDS_PER_STEP; i++) {
		struct endpoint *endpoint;
		struct waiter *caller = next_served(thread, &endpoint);

		if (caller == NULL)
			return true;
		end_served(cpu, thread, endpoint, caller);
	}
	return false;
}

/* End waiters of one list: all, or those whose grant is dead; at most *left. */
static void end_list(struct cpu *cpu, struct endpoint *endpoint, struct list *list, bool all, unsigned *left)
{
	while (*left > 0) {
		struct waiter *found = NULL;
		bool won;

		spin_lock(&endpoint->object.lock);
		LIST_FOREACH (list, node) {
			if (all || grant_is_dead(waiter_of(node)->grant)) {
				found = waiter_of(node);
				break;
			}
		}
		if (found == NULL) {
			spin_unlock(&endpoint->object.lock);
			return;
		}
		if (list == &endpoint->receivers)
			wait_leave(found); /* its keys are of another wait */
		else
			endpoint_take_out(found);
		won = waiter_claim(found);
		spin_unlock(&endpoint->object.lock);
		(*left)--;
		if (!won)
			continue;
		if (list != &endpoint->receivers)
			endpoint_send_drop(found);
		waiter_finish(cpu, found, STATUS(REVOKED), NULL, 0);
	}
}

static bool end_waiters(struct object *object, bool all)
{
	struct endpoint *endpoint = endpoint_of(object);
	struct cpu *cpu = mach_this_cpu();
	unsigned left = ENDS_PER_STEP;

	end_list(cpu, endpoint, &endpoint->callers, all, &left);
	end_list(cpu, endpoint, &endpoint->receivers, all, &left);
	for (u32 i = 0; i < ENDPOINT_BUCKETS; i++)
		end_list(cpu, endpoint, &endpoint->in_service[i], all, &left);
	return left > 0;
}

bool endpoint_kill_step(struct object *object)
{
	return end_waiters(object, true);
}

bool endpoint_sweep_step(struct object *object, u64 *pass)
{
	(void)pass; /* a step looks at all that wait: docs/CAVEATS.md */
	return end_waiters(object, false);
}
