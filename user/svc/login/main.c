/* SPDX-License-Identifier: MIT */
/*
 * The login service. It holds the session manager, so it alone reads salts and hashes and makes sessions; see
 * svc/login.h for the call. One request at a time: the delay after failures slows down all guessing.
 */
#include <svc/login.h>

#include <user/capos.h>

#include "password.h"

#define DELAY_FIRST_NS 250000000ull
#define DELAY_DOUBLINGS_MAX 4u
#define DUMMY_ITERATIONS 10000u

static unsigned failures; /* since the last success */

/* Looks the name up. Without such an account `account` is one that no password fits, of the same cost. */
static bool find_account(const char *name, struct capos_account *account)
{
	uint32_t iterations = DUMMY_ITERATIONS;
	bool found = false;

	for (uint64_t i = 0;; i++) {
		struct capos_account candidate;
		uint64_t there = 0;

		if (!result_ok(session_manager_accounts(known.session_manager, i, &candidate, &there)) || !there)
			break;
		iterations = candidate.iterations;
		if (!found && strncmp(candidate.name, name, CAPOS_NAME_BYTES) == 0) {
			*account = candidate;
			found = true;
		}
	}
	if (!found)
		*account = (struct capos_account){ .iterations = iterations, .salt_bytes = 16 };
	return found;
}

static bool check(const struct login_request *request, struct capos_account *account)
{
	uint8_t hash[PASSWORD_HASH_BYTES];
	bool found = find_account(request->name, account);
	size_t salt_bytes = account->salt_bytes < sizeof(account->salt) ? account->salt_bytes : sizeof(account->salt);

	password_hash(request->password, account->salt, salt_bytes, account->iterations, hash);

	bool equal = password_equal(hash, account->hash, sizeof(hash));

	password_wipe(hash, sizeof(hash));
	return found & equal;
}

static void delay_after_failure(void)
{
	unsigned doublings = failures < DELAY_DOUBLINGS_MAX ? failures : DELAY_DOUBLINGS_MAX;

	failures++;
	if (known.timer)
		(void)sleep_ns(DELAY_FIRST_NS << doublings);
}

static enum login_result login(const struct login_request *request, struct message *reply,
			       char shell[CAPOS_NAME_BYTES])
{
	struct capos_account account;
	capos_handle session = 0;
	uint64_t session_id = 0;

	if (!memchr(request->name, 0, sizeof(request->name)) ||
	    !memchr(request->password, 0, sizeof(request->password)))
		return LOGIN_BAD_REQUEST;
	if (!check(request, &account)) {
		delay_after_failure();
		log_line(LOG_INFO, "refused '%s'", request->name);
		return LOGIN_BAD_CREDENTIALS;
	}
	failures = 0;

	struct capos_result r =
		session_manager_create(known.session_manager, account.id, account.name, &session, &session_id);

	if (!result_ok(r)) {
		log_line(LOG_ERROR, "no session for '%s': %s, result %u", account.name, status_name(r.status),
			 r.iresult);
		return LOGIN_NO_SESSION;
	}
	log_line(LOG_INFO, "'%s' (account %lu) in session %lu", account.name, (unsigned long)account.id,
		 (unsigned long)session_id);
	reply->word[1] = account.id;
	reply->word[2] = session_id;
	reply->cap[0] = session;
	reply->caps = 1;
	copy_name(shell, CAPOS_NAME_BYTES, account.shell);
	reply->bytes = shell;
	reply->bytes_sent = CAPOS_NAME_BYTES;
	return LOGIN_OK;
}

static void serve(const struct request *call)
{
	struct login_request request;
	struct message reply = { .words = 3 };
	char shell[CAPOS_NAME_BYTES];

	if (call->method != LOGIN_METHOD_LOGIN || call->message.bytes_got != sizeof(request)) {
		reply.word[0] = LOGIN_BAD_REQUEST;
	} else {
		message_get(&request, sizeof(request));
		password_wipe(self_page()->message, sizeof(self_page()->message));
		reply.word[0] = login(&request, &reply, shell);
		password_wipe(&request, sizeof(request));
	}

	struct capos_result r = endpoint_reply(&reply);

	if (reply.caps) {
		/* The client has its own now; nobody has one when it is gone, and then the session ends. */
		if (!result_ok(r))
			(void)user_session_logout(reply.cap[0]);
		(void)cap_table_release(known.caps, reply.cap[0]);
	}
}

int main(int argc, char **argv)
{
	capos_handle endpoint = cap_need("login");

	(void)argc;
	(void)argv;
	cap_need("session_manager");
	for (;;) {
		struct request request;
		struct capos_result r = endpoint_recv(endpoint, CAPOS_NEVER, 0, &request);

		if (r.status == CAPOS_STATUS_OK)
			serve(&request);
		else if (r.status == CAPOS_STATUS_REVOKED || r.status == CAPOS_STATUS_STALE_HANDLE)
			return 0;
		else if (r.status != CAPOS_STATUS_CANCELLED)
			panic("login: receive: %s", status_name(r.status));
	}
}
