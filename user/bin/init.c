/* SPDX-License-Identifier: MIT */
/*
 * The first program of the default manifest: shows who we are, asks for name and password, has the login service make
 * a session, runs the account's shell in it and ends the session when the shell has ended. Ends when the console does.
 */
#include <svc/init.h>
#include <svc/login.h>

#include <user/capos.h>
#include <user/term.h>

/* Quota of a session's shell; what a shell gives to its programs is carved from it. */
#define SHELL_MEMORY_BYTES (16ull << 20)
#define SHELL_SLOTS 4096u
#define SHELL_THREADS 512u
#define SHELL_PROCESSES 64u

struct login {
	capos_handle session;
	uint64_t account_id, session_id;
	char shell[CAPOS_NAME_BYTES];
};

static void banner(void)
{
	struct capos_machine_info machine = { 0 };
	struct capos_memory_info memory = { 0 };

	if (known.system_info) {
		(void)system_info_machine(known.system_info, &machine);
		(void)system_info_memory(known.system_info, &memory);
	}
	print("\ncapOS %.31s (%.15s) on %.31s: %u CPUs, %lu MiB\n\n", machine.version, machine.build, machine.machine,
	      machine.cpu_count, (unsigned long)(memory.total_bytes >> 20));
}

/* Reads a line; false: the console ended. An interrupted or ended line is an empty one. */
static bool ask(struct lineedit *edit, const char *prompt, bool hidden)
{
	edit->prompt = prompt;
	edit->hidden = hidden;

	enum lineedit_event event = term_line(edit);

	if (event != LINEEDIT_LINE)
		edit->text[0] = 0;
	return term_is_open();
}

static bool call_login(capos_handle service, struct login_request *request, struct login *login)
{
	struct message message = { .bytes = request, .bytes_sent = sizeof(*request) };
	struct capos_result r = endpoint_call_message(service, LOGIN_IFACE, LOGIN_METHOD_LOGIN, &message, 1);

	memset(request->password, 0, sizeof(request->password));
	memset(self_page()->message + sizeof(request->name), 0, CAPOS_MESSAGE_BYTES - sizeof(request->name));
	if (!result_ok(r)) {
		print("login: the service does not answer: %s\n", status_name(r.status));
		return false;
	}
	if (message.word[0] == LOGIN_NO_SESSION) {
		print("login: no session could be made; the log says why\n");
		return false;
	}
	if (message.word[0] != LOGIN_OK || message.caps != 1) {
		print("login incorrect\n");
		return false;
	}
	login->session = message.cap[0];
	login->account_id = message.word[1];
	login->session_id = message.word[2];
	message_get(login->shell, sizeof(login->shell));
	login->shell[sizeof(login->shell) - 1] = 0;
	return true;
}

/* One attempt. False: nobody is logged in. */
static bool ask_who(capos_handle service, struct login *login)
{
	static struct lineedit edit;
	struct login_request request = { 0 };

	if (!ask(&edit, "login: ", false) || !edit.text[0])
		return false;
	copy_name(request.name, sizeof(request.name), edit.text);
	if (!ask(&edit, "password: ", true))
		return false;
	copy_name(request.password, sizeof(request.password), edit.text);
	memset(edit.text, 0, sizeof(edit.text));
	return call_login(service, &request, login);
}

/* --- authority ---------------------------------------------------------------------------------------------------------- */

static capos_handle port;

/* Shells ask for it (svc/init.h); they alone have a capability to call through. */
static uint64_t serve_shells(void *argument)
{
	struct message reply = { .words = 1 };
	struct request request;
	struct capos_result r = endpoint_recv(port, CAPOS_NEVER, 0, &request);

	(void)argument;
	if (known.policy) {
		reply.word[0] |= INIT_POLICY;
		reply.cap[reply.caps++] = known.policy;
	}
	if (known.context) {
		reply.word[0] |= INIT_CONTEXT;
		reply.cap[reply.caps++] = known.context;
	}
	while (result_ok(r))
		r = endpoint_reply_recv(port, &reply, 0, &request);
	return result_word(r);
}

static void begin_to_serve(void)
{
	static struct thread server;
	struct capos_result r = factory_endpoint(known.factory, INIT_IFACE, &port);

	if (result_ok(r))
		r = thread_start(&server, serve_shells, NULL);
	if (!result_ok(r))
		print("init: shells get no authority over scheduling: %s\n", status_name(r.status));
}

static void run_shell(const struct login *login)
{
	const char *const names[] = { "console",     "log",   "entropy", "timer",	   "wall_clock",
				      "system_info", "trace", "power",	 "process_spawner" };
	struct capos_spawn spawn;
	struct process_end end = { 0 };
	capos_handle process = 0;
	char text[END_TEXT_BYTES], why[RESULT_TEXT_BYTES];

	spawn_init(&spawn, login->shell, NULL);
	spawn.memory_bytes = SHELL_MEMORY_BYTES;
	spawn.slots = SHELL_SLOTS;
	spawn.threads = SHELL_THREADS;
	spawn.processes = SHELL_PROCESSES;
	spawn.session = login->session;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		spawn_grant_own(&spawn, names[i]);
	(void)spawn_grant(&spawn, "init", port, CAPOS_RIGHT_CALL);
	if (!spawn_grant(&spawn, "session", login->session, 0))
		print("init: the shell has no place for its session\n");
	(void)console_give(known.console);

	struct capos_result r = spawn_start(&spawn, &process, NULL);

	if (!result_ok(r)) {
		print("init: cannot start '%s': %s\n", login->shell,
		      result_text(CAPOS_IFACE_process_spawner, r, why));
	} else {
		r = spawn_finish(process, CAPOS_NEVER, &end);
		if (!result_ok(r))
			print("init: wait: %s\n", status_name(r.status));
		else if (end.cause != CAPOS_EXIT_NORMAL || end.code != 0)
			print("init: %s ended: %s\n", login->shell, process_end_text(&end, text));
	}
	(void)console_take(known.console);
}

int main(int argc, char **argv)
{
	capos_handle service = cap_need("login");

	cap_need("console");
	cap_need("process_spawner");

	struct capos_result r = console_take(known.console);

	if (!result_ok(r))
		panic("console: %s", iresult_name(CAPOS_IFACE_console, r.iresult));
	banner();
	if (argc > 1) { /* what the manifest wants a stranger to know */
		for (int i = 1; i < argc; i++)
			print("%s%s", i > 1 ? " " : "", argv[i]);
		print("\n\n");
	}
	begin_to_serve();
	while (term_is_open()) {
		struct login login = { 0 };

		if (!ask_who(service, &login))
			continue;
		run_shell(&login);
		r = user_session_logout(login.session); /* the shell did, if it came to its end */
		if (!result_ok(r) && r.iresult != CAPOS_SESSION_ENDED)
			print("init: logout: %s\n", status_name(r.status));
		(void)cap_table_destroy(known.caps, login.session); /* the login service paid for it */
		(void)cap_table_release(known.caps, login.session);
		print("session %lu ended\n\n", (unsigned long)login.session_id);
	}
	return 0;
}
