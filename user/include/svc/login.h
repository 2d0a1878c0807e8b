/* SPDX-License-Identifier: MIT */
/*
 * The login service: checks a name and a password against the manifest's accounts and makes the session.
 *
 * login: message struct login_request -> words: enum login_result, account id, session id; on LOGIN_OK one capability,
 * the user session, and message bytes: the name of the account's shell.
 * A wrong name and a wrong password take the same time and get the same answer; after a failure the service waits
 * before it answers, longer with every further one.
 */
#ifndef SVC_LOGIN_H
#define SVC_LOGIN_H

#include <capos/iface.h>

#define LOGIN_IFACE (CAPOS_IFACE_USER + 1u)
#define LOGIN_PASSWORD_BYTES 128u

enum login_method { LOGIN_METHOD_LOGIN = 0 };

enum login_result {
	LOGIN_OK = 0,
	LOGIN_BAD_CREDENTIALS = 1,
	LOGIN_BAD_REQUEST = 2,
	LOGIN_NO_SESSION = 3, /* the credentials are right, but no session could be made */
};

struct login_request {
	char name[CAPOS_NAME_BYTES];
	char password[LOGIN_PASSWORD_BYTES]; /* both 0-terminated */
};

#endif
