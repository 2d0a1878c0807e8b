/* SPDX-License-Identifier: MIT */
/*
 * Endpoints: the object, and what call, receive, reply and end have in common.
 *
 *   caller:   --begin--> callers (armed, CALL) --receive--> in_service (armed, REPLY) --reply--> goes on
 *                   \____________ a receiver waits ____________/
 *   receiver: --receive--> receivers (armed, RECV) --call--> goes on
 *
 * Invariants:
 *  EP1  At most one of `callers` and `receivers` has an armed waiter in it.
 *  EP2  A call in service has a token and a thread that took it (key[1]); it is that thread's `serving`, or in its `served`
 *       list (taken by ring, or another receive came before the reply).
 *  EP3  `serving` is set and cleared under the lock of the endpoint `serving_at`. Whoever ends the call otherwise clears it,
 *       so a call that a server still names in its kernel entry is valid memory in that entry (OB2).
 *  EP4  Queued waiters are unlinked only under the lock; one that is not armed any more is skipped: its claimer ends it.
 *
 * Capabilities are inserted at the receiver without the endpoint's lock (a process's lock has a lower rank): look who would
 * receive, insert there, take the lock and look again; another receiver now: release them there and try again.
 *
 * Entities go along the call: sched_lend when a waiting passive server is called, sched_lend_blocked when a passive server
 * takes a call that was queued, sched_return with the reply. A call that ends otherwise gets its thread going by thread_ready,
 * which settles the loan. A passive server that takes a call by ring, or one that came by ring, runs on its own entity.
 *
 * endpoint_call.c, endpoint_recv.c, endpoint_reply.c: the general paths. endpoint_fast.c: the shortest one.
 * endpoint_end.c: servers that die, endpoints and grants that end.
 */
#include "endpoint_handover.h"

#define INFO_COUNT_MAX 255u

u16 endpoint_create(struct process *owner, u32 iface, struct endpoint **out)
{
	void *memory;
	u16 status = pool_alloc(POOL_ENDPOINT, owner, &memory);

	if (status != CAPOS_STATUS_OK)
		return status;
	*out = memory;
	object_init(&(*out)->object, CAPOS_IFACE_endpoint, owner);
	(*out)->iface = iface;
	(*out)->next_token = 1;
	list_init(&(*out)->callers);
	list_init(&(*out)->receivers);
	for (u32 i = 0; i < ENDPOINT_BUCKETS; i++)
		list_init(&(*out)->in_service[i]);
	return CAPOS_STATUS_OK;
}

/* --- waiters ------------------------------------------------------------------------------------------------- */

void endpoint_forget_server(struct waiter *caller)
{
	struct thread *server = server_of(caller);

	if (server == NULL)
		return;
	caller->key[1] = 0;
	if (shared_load_relaxed(&server->serving) == caller) {
		shared_store_relaxed(&server->serving, NULL);
		return;
	}
	spin_lock(&server->ring_lock);
	list_remove(&caller->served_link);
	spin_unlock(&server->ring_lock);
}

static void remember_server(struct thread *server, struct endpoint *endpoint, struct waiter *caller, bool ring)
{
	caller->key[1] = (u64)server;
	if (!ring) {
		KASSERT(server->serving == NULL);
		server->serving_at = endpoint;
		shared_store_relaxed(&server->serving, caller);
		return;
	}
	spin_lock(&server->ring_lock);
	list_push_back(&server->served, &caller->served_link);
	spin_unlock(&server->ring_lock);
}

void endpoint_send_drop(struct waiter *caller)
{
	struct ipc_send *send = send_of(caller);
	u32 count = send->cap_count;

	send->cap_count = 0;
	if (count != 0)
		cap_transfer_drop(send->cap, count);
}

void endpoint_take_out(struct waiter *waiter)
{
	wait_leave(waiter);
	endpoint_forget_server(waiter);
}

static void caller_unlink(struct waiter *waiter)
{
	spin_lock(&waiter->object->lock);
	if (list_is_linked(&waiter->link))
		endpoint_take_out(waiter);
	spin_unlock(&waiter->object->lock);
	endpoint_send_drop(waiter);
}

bool endpoint_take_exchange(struct waiter *waiter, struct grant *grant)
{
	struct grant *old = waiter->grant;

	if (!grant_get(grant))
		return false;
	if (!waiter_take_untimed(waiter)) {
		grant_put_later(grant);
		return false;
	}
	grant_put_later(old);
	return true;
}

void endpoint_receiver_unlink(struct waiter *waiter)
{
	spin_lock(&waiter->object->lock);
	if (list_is_linked(&waiter->link))
		wait_leave(waiter);
	spin_unlock(&waiter->object->lock);
}

const struct waiter_ops endpoint_caller_ops = { .unlink = caller_unlink };
const struct waiter_ops endpoint_receiver_ops = { .unlink = endpoint_receiver_unlink };

/* First waiter that is still to be had (EP4). */
struct waiter *endpoint_first_armed(struct list *list)
{
	struct list_node *node;

	while ((node = list_first(list)) != NULL) {
		if (likely(waiter_is_armed(waiter_of(node))))
			return waiter_of(node);
		wait_leave(waiter_of(node));
	}
	return NULL;
}

/* --- messages ------------------------------------------------------------------------------------------------ */

void endpoint_release_handles(struct process *process, const u64 *handles, u32 count)
{
	for (u32 i = 0; i < count; i++) {
		/* Released or revoked meanwhile: just as well. */
		u16 ignored = cap_release(process, handles[i]);

		(void)ignored;
	}
}

/* The message page of `thread` gets what came: bytes and capabilities. */
void endpoint_fill_page(struct thread *thread, const u8 *message, u32 bytes, const u64 *handles, u32 cap_count)
{
	struct capos_thread_page *page = thread->page;

	page->recv_bytes = bytes;
	page->recv_caps = cap_count;
	for (u32 i = 0; i < cap_count; i++)
		page->recv_cap[i] = handles[i];
	if (bytes != 0)
		__builtin_memcpy(page->message, message, bytes);
}

/* Call -> in service of `server`; returns the receive's result word. The words are left to the caller of this. */
u64 endpoint_hand_over(struct endpoint *endpoint, struct waiter *caller, struct thread *server, const u64 *handles,
		       bool ring)
{
	struct ipc_send *send = send_of(caller);

	caller->key[0] = endpoint->next_token++;
	endpoint_fill_page(server, send->message, send->bytes, handles, send->cap_count);
	server->page->recv_token = caller->key[0];
	server->page->recv_badge = caller->badge;
	if (ring)
		for (unsigned i = 0; i < CAPOS_CALL_WORD_COUNT(send->call_word); i++)
			server->page->recv_word[i] = send->word[i];
	list_push_back(endpoint_bucket(endpoint, caller->key[0]), &caller->link);
	remember_server(server, endpoint, caller, ring);
	return CAPOS_RESULT(CAPOS_STATUS_OK, CAPOS_CALL_METHOD(send->call_word),
			    CAPOS_RECV_DETAIL(CAPOS_CALL_WORD_COUNT(send->call_word), send->cap_count, send->bytes));
}

u64 endpoint_decode_extra(struct thread *thread, u64 call_word, u32 *bytes, u32 *cap_count, struct cap *caps,
			  bool ring)
{
	unsigned flags = CAPOS_CALL_FLAGS(call_word);
	u16 status;

	*cap_count = 0;
	if (CAPOS_CALL_WORD_COUNT(call_word) > CAPOS_WORDS)
		return STATUS(BAD_SIZE);
	if (!ring) {
		*bytes = flags & CAPOS_CALL_MESSAGE ? shared_load_relaxed(&thread->page->send_bytes) : 0;
		if (*bytes > CAPOS_MESSAGE_BYTES)
			return STATUS(BAD_SIZE);
	}
	if (flags & CAPOS_CALL_CAPS) {
		u32 count = shared_load_relaxed(&thread->page->send_caps);

		if (count > CAPOS_MESSAGE_CAPS)
			return STATUS(BAD_SIZE);
		status = cap_transfer_decode(thread, count, caps);
		if (status != CAPOS_STATUS_OK)
			return CAPOS_RESULT(status, 0, 1);
		*cap_count = count;
	}
	return STATUS(OK);
}

/* --- the object ---------------------------------------------------------------------------------------------- */

static void endpoint_free(struct object *object)
{
	pool_free(POOL_ENDPOINT, endpoint_of(object));
}

static u64 count_list(const struct list *list, u64 count)
{
	LIST_FOREACH (list, node) {
		if (count == INFO_COUNT_MAX)
			break;
		count++;
	}
	return count;
}

/* Counts stop at 255: the step stays bounded. */
u64 method_endpoint_info(struct call *call)
{
	struct endpoint *endpoint = endpoint_of(call->cap.object);
	u64 in_service = 0;

	spin_lock(&endpoint->object.lock);
	call->word[0] = endpoint->iface;
	call->word[1] = count_list(&endpoint->callers, 0);
	call->word[2] = count_list(&endpoint->receivers, 0);
	for (u32 i = 0; i < ENDPOINT_BUCKETS; i++)
		in_service = count_list(&endpoint->in_service[i], in_service);
	call->word[3] = in_service;
	spin_unlock(&endpoint->object.lock);
	return STATUS(OK);
}

const struct object_type type_endpoint =
	OBJECT_TYPE(endpoint, .kill_step = endpoint_kill_step, .sweep_step = endpoint_sweep_step,
		    .free = endpoint_free, .pool = POOL_ENDPOINT + 1);
