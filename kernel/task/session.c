/* SPDX-License-Identifier: MIT */
/*
 * Login sessions. A session is made by the holder of the session manager on the holder's quota; a process runs in the
 * session of its spawner or in one whose handle the spawner has. An ended session starts no new process; those that run
 * in it go on, and hold a reference on its record.
 */
#include "task_priv.h"

#include <kernel/context.h>
#include <kernel/cpu.h>
#include <kernel/debug.h>
#include <kernel/manifest.h>
#include <kernel/state.h>
#include <string.h>

#define LOGOUT_THREADS 32u /* in a step */

bool session_try_get(struct session *session)
{
	u32 now;

	do {
		now = atomic_load_relaxed(&session->references);
		if (now == 0)
			return false;
	} while (!atomic_cas(&session->references, now, now + 1));
	return true;
}

void session_put(struct session *session)
{
	if (session != NULL && atomic_fetch_sub(&session->references, 1u) == 1) {
		registry_remove_session(session);
		pool_free(POOL_SESSION, session);
	}
}

/* --- the end of a session: liveness first, then one binding at a time, with no lock held over two of them ------------------- */

/* True: this is who ends it, by steps. Full barrier, before the looks at bindings: SX7; pairs with the load in spawn too. */
static bool logout_begin(struct session *session)
{
	return atomic_xchg(&session->alive, 0u) != 0;
}

/* A few threads. True: those were the last. */
static bool logout_step(struct cpu *cpu, struct session *session)
{
	struct thread *thread = registry_next_thread(session->logout_next_id);

	for (unsigned i = 0; i < LOGOUT_THREADS && thread != NULL; i++, thread = registry_after(thread)) {
		session->logout_next_id = thread->object.id + 1;
		if (thread->process->session != session)
			continue;
		switch (context_logout(cpu, session, thread)) {
		case CONTEXT_MARKED_STALE:
			session->stale_marked++;
			break;
		case CONTEXT_IN_FLIGHT:
			session->donation_inflight_skipped++;
			break;
		case CONTEXT_NOT_BOUND:
			break;
		}
	}
	if (thread != NULL)
		return false;
	klog(LOG_INFO, "sched: session logout session=%llu stale_marked=%u donation_inflight_skipped=%u",
	     (unsigned long long)session->session_id, session->stale_marked, session->donation_inflight_skipped);
	return true;
}

static bool session_kill_step(struct object *object)
{
	struct session *session = container_of(object, struct session, object);

	session->logs_out = logout_begin(session) || session->logs_out;
	if (session->logs_out && !logout_step(mach_this_cpu(), session))
		return false;
	session->logs_out = false;
	return true;
}

static void session_free(struct object *object)
{
	session_put(container_of(object, struct session, object));
}

static const struct capos_account *find_account(u64 id, const u8 *name, u32 name_bytes)
{
	const struct manifest *manifest = manifest_current();

	for (u32 i = 0; i < manifest->account_count; i++) {
		const struct capos_account *account = &manifest->accounts[i];

		if (account->id == id && strlen(account->name) == name_bytes &&
		    memcmp(account->name, name, name_bytes) == 0)
			return account;
	}
	return NULL;
}

u64 method_session_manager_create(struct call *call)
{
	struct process *process = call->thread->process;
	const struct capos_account *account = find_account(call->word[0], call->in, call->in_bytes);
	struct session *session;
	void *memory;
	u64 handle;
	u16 status;

	if (account == NULL)
		return IRESULT(CAPOS_SESSION_UNKNOWN_ACCOUNT);
	status = pool_alloc(POOL_SESSION, process, &memory);
	if (status != CAPOS_STATUS_OK)
		return call_status(status, CAPOS_QUOTA_MEMORY);
	session = memory;
	object_init(&session->object, CAPOS_IFACE_user_session, process);
	session->session_id = atomic_fetch_add(&kernel_state.task.next_session_id, 1ull) + 1;
	session->account_id = account->id;
	session->account_index = (u32)(account - manifest_current()->accounts) + 1;
	memcpy(session->name, account->name, sizeof(session->name));
	atomic_store_relaxed(&session->alive, 1u);
	atomic_store_relaxed(&session->references, 1u);
	status = object_publish(&session->object);
	if (status != CAPOS_STATUS_OK) {
		pool_uncharge(POOL_SESSION, process);
		pool_free(POOL_SESSION, session);
		return call_status(status, CAPOS_QUOTA_MEMORY);
	}
	registry_add_session(session);
	status = cap_insert_root(process, &session->object, CAPOS_RIGHTS_ALL, &handle);
	if (status != CAPOS_STATUS_OK) {
		/* Nobody has a capability, and nobody runs in it: a few steps. */
		atomic_store_relaxed(&session->alive, 0u);
		if (object_begin_destroy(&session->object))
			while (!object_end_step(&session->object))
				;
		return CAPOS_RESULT(status, 0, cap_quota_detail(process, status));
	}
	call->word[0] = handle;
	call->word[1] = session->session_id;
	return STATUS(OK);
}

/* Of few: the smallest id that is not less. Id 0 is that of the processes without a session. */
bool account_next_record(u64 id, struct capos_ledger_record *out)
{
	const struct manifest *manifest = manifest_current();
	const struct capos_account *found = NULL;

	if (id == 0) {
		ledger_fill_record(ledger_of_account(0), out);
		out->alive = 1;
		return true;
	}
	for (u32 i = 0; i < manifest->account_count; i++) {
		const struct capos_account *account = &manifest->accounts[i];

		if (account->id >= id && (found == NULL || account->id < found->id))
			found = account;
	}
	if (found == NULL)
		return false;
	ledger_fill_record(ledger_of_account((u32)(found - manifest->accounts) + 1), out);
	out->id = out->account_id = found->id;
	memcpy(out->name, found->name, sizeof(out->name));
	out->alive = 1;
	return true;
}

u64 method_session_manager_accounts(struct call *call)
{
	const struct manifest *manifest = manifest_current();
	u64 index = call->word[0];

	if (index >= manifest->account_count) {
		call->word[0] = 0;
		return STATUS(OK);
	}
	memcpy(call->out, &manifest->accounts[index], sizeof(struct capos_account));
	call->out_bytes = sizeof(struct capos_account);
	call->word[0] = 1;
	return STATUS(OK);
}

u64 method_user_session_info(struct call *call)
{
	struct session *session = container_of(call->cap.object, struct session, object);

	call->word[0] = session->session_id;
	call->word[1] = session->account_id;
	call->word[2] = atomic_load_acquire(&session->alive); /* pairs with the exchange in logout */
	memcpy(call->out, session->name, sizeof(session->name));
	call->out_bytes = sizeof(session->name);
	return STATUS(OK);
}

/* To its end, though its caller be killed. */
static enum operation_progress logout_operation(struct cpu *cpu, struct thread *thread, struct operation *operation)
{
	struct session *session = (struct session *)operation->args[0];

	(void)thread;
	if (!logout_step(cpu, session))
		return OPERATION_AGAIN;
	session_put(session);
	return OPERATION_DONE;
}

u64 method_user_session_logout(struct call *call)
{
	struct session *session = container_of(call->cap.object, struct session, object);

	if (!session_try_get(session))
		return STATUS(REVOKED);
	if (!logout_begin(session)) {
		session_put(session);
		return IRESULT(CAPOS_SESSION_ENDED);
	}
	call->thread->operation.args[0] = (u64)session;
	return call_start_operation(call, logout_operation);
}

const struct object_type type_session_manager = OBJECT_TYPE(session_manager, .free = NULL);
const struct object_type type_user_session =
	OBJECT_TYPE(user_session, .kill_step = session_kill_step, .free = session_free, .pool = POOL_SESSION + 1);
