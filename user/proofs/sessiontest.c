/* SPDX-License-Identifier: MIT */
/*
 * run-session-context, in QEMU and in the simulator: what a logout does to the scheduling contexts of a session's threads. The session is
 * known to the kernel alone, so what it did is read from its log: `stale_marked=<n> donation_inflight_skipped=<n>`.
 */
#include "proof.h"

#define BUDGET SECOND	      /* more than a host stops the machine for */
#define SERVED_NS MS	      /* the receiver's time, before its logout and after it */
#define PERIOD (600 * SECOND) /* no budget comes back before the checks are through */

/* --- both sides --------------------------------------------------------------------------------------------------------- */

/* Runs for so long itself: time that passed at once was another thread's, or the host's. */
static void run_for(uint64_t ns)
{
	uint64_t ran = 0, last = now_ns(), now;

	for (; ran < ns; last = now) {
		now = now_ns();
		if (now - last < 20000)
			ran += now - last;
	}
}

static bool is_result(struct capos_result r, unsigned iresult)
{
	return r.status == CAPOS_STATUS_OK && r.iresult == iresult;
}

/* --- in the session ----------------------------------------------------------------------------------------------------- */

#define CHECK(condition)                                                                                             \
	do {                                                                                                         \
		if (!(condition))                                                                                    \
			panic("line %u: not so: %s", (unsigned)__LINE__, #condition);                                \
	} while (0)

static uint32_t slots_used(void)
{
	struct capos_process_info info = { 0 };

	CHECK(own_info(&info));
	return info.slots_used;
}

/* Each of these would change the context, or give something out. */
static void all_stale(capos_handle context)
{
	const struct capos_context_spec spec = { .budget_ns = MS, .period_ns = PERIOD, .deadline_ns = PERIOD };
	struct capos_context_info info = { .generation = 99 };
	struct capos_context_notifications cell = { .sequence = 99 };
	uint32_t slots = slots_used();
	uint64_t sequence = 99;
	capos_handle out = 0;

	CHECK(is_result(scheduling_context_info(context, &info), CAPOS_CONTEXT_STALE_GENERATION));
	CHECK(is_result(scheduling_context_bind_caller_thread(context), CAPOS_CONTEXT_STALE_GENERATION));
	CHECK(is_result(scheduling_context_bind_thread(context, known.self), CAPOS_CONTEXT_STALE_GENERATION));
	CHECK(is_result(scheduling_context_create(context, &spec, &out), CAPOS_CONTEXT_STALE_GENERATION));
	CHECK(is_result(scheduling_context_drain_notifications(context, &cell), CAPOS_CONTEXT_STALE_GENERATION));
	CHECK(is_result(scheduling_context_wait_notification(context, CAPOS_NEVER, 0, &sequence),
			CAPOS_CONTEXT_STALE_GENERATION));
	CHECK(is_result(scheduling_context_unbind(context), CAPOS_CONTEXT_STALE_GENERATION));
	CHECK(is_result(scheduling_context_revoke(context), CAPOS_CONTEXT_STALE_GENERATION));
	CHECK(info.generation == 99 && cell.sequence == 99 && sequence == 99 && out == 0);
	CHECK(slots_used() == slots);
}

/* Tells the parent: a capability to this thread, and a word. */
static void tell(uint64_t word)
{
	struct message message = { .words = 1, .word = { word }, .caps = 1, .cap = { known.self } };

	CHECK(result_ok(insist_on(endpoint_call_message(cap_need("port"), PROOF_IFACE, PROOF_ECHO, &message, 0))));
}

/* bind_caller_thread through the ring. */
static struct capos_result bind_by_ring(capos_handle context)
{
	struct capos_sqe entry = RING_CALL(1, scheduling_context, bind_caller_thread, context, 0, 0, 0, 0, 0);
	struct capos_cqe done = { 0 };

	must(ring_submit_wait(&entry));
	must(ring_wait(&done, now_ns() + 10 * SECOND));
	return result_of(done.result);
}

/* bound: bound to "context", it logs out, and finds that stale before its budget could come back; and may not be bound any more. */
static int run_bound(int argc, char **argv)
{
	capos_handle context = cap_need("context"), other = cap_need("other");
	struct capos_context_info info;
	uint64_t begin = now_ns();

	(void)argc, (void)argv;
	CHECK(result_ok(scheduling_context_bind_caller_thread(context)));
	do {
		burn(MS);
		info = context_info(context);
	} while (info.used_ns < 2 * MS);
	CHECK(info.state == CAPOS_CONTEXT_BOUND && info.generation == 1);
	CHECK(info.remaining_budget_ns > 0 && info.remaining_budget_ns <= BUDGET - 2 * MS);
	CHECK(result_ok(user_session_logout(known.session)));
	all_stale(context);
	CHECK(now_ns() < begin + PERIOD);
	CHECK(is_result(user_session_logout(known.session), CAPOS_SESSION_ENDED));
	/* refused_in_an_ended_session */
	CHECK(is_result(scheduling_context_bind_caller_thread(other), CAPOS_CONTEXT_SESSION_ENDED));
	CHECK(is_result(bind_by_ring(other), CAPOS_CONTEXT_SESSION_ENDED));
	CHECK(context_info(other).state == CAPOS_CONTEXT_UNBOUND && context_info(other).thread_id == 0 &&
	      context_info(other).used_ns == 0);
	tell(info.remaining_budget_ns);
	return 0;
}

/* A passive server that logs out in the middle of a call, on what its caller donated, and goes on when it is told to. */
static uint64_t serves(void *argument)
{
	struct request request;
	uint64_t bits;

	(void)argument;
	must(endpoint_recv(cap_need("port"), CAPOS_NEVER, 0, &request));
	run_for(SERVED_NS);
	must(user_session_logout(known.session));
	must(notification_signal(cap_need("bell"), 1));
	must(notification_wait(cap_need("go"), CAPOS_NEVER, &bits));
	run_for(SERVED_NS);
	return endpoint_reply(NULL).status;
}

static int run_receiver(int argc, char **argv)
{
	struct thread server;
	uint64_t code = 99;

	(void)argc, (void)argv;
	insist(thread_start_on(&server, serves, NULL, CAPOS_CPU_ANY, CAPOS_THREAD_PASSIVE));
	must(thread_finish(&server, CAPOS_NEVER, &code));
	return (int)code;
}

#define MANY 40u /* more than a step of a logout looks at */

/* many: each of its threads but this one is bound, it logs out, and finds each context stale. */
static int run_many(int argc, char **argv)
{
	static struct thread threads[MANY];
	capos_handle contexts[MANY];
	struct capos_context_info info;

	(void)argc, (void)argv;
	for (unsigned i = 0; i < MANY; i++)
		insist(thread_start(&threads[i], sleep_forever, NULL));
	for (unsigned i = 0; i < MANY; i++) {
		contexts[i] = context_made_from(cap_need("context"), spec_of(MS, PERIOD));
		must(scheduling_context_bind_thread(contexts[i], threads[i].handle));
	}
	CHECK(result_ok(user_session_logout(known.session)));
	for (unsigned i = 0; i < MANY; i++) {
		CHECK(is_result(scheduling_context_info(contexts[i], &info), CAPOS_CONTEXT_STALE_GENERATION));
		must(thread_terminate(threads[i].handle));
		must(thread_finish(&threads[i], CAPOS_NEVER, NULL));
	}
	return 0;
}

/* stays: tells who it is. */
static int run_stays(int argc, char **argv)
{
	(void)argc, (void)argv;
	tell(0);
	(void)sleep_until_ns(CAPOS_NEVER);
	return 1;
}

/* --- outside ------------------------------------------------------------------------------------------------------------ */

static capos_handle session_made(uint64_t *id)
{
	capos_handle session = 0;

	insist(session_manager_create(known.session_manager, 7, "tester", &session, id));
	return session;
}

static capos_handle port_made(void)
{
	capos_handle port = 0;

	insist(factory_endpoint(known.factory, PROOF_IFACE, &port));
	return port;
}

static void inside(struct capos_spawn *spawn, const char *mode, capos_handle session, capos_handle port)
{
	spawn_init(spawn, "sessiontest", mode);
	spawn->memory_bytes = 1u << 20;
	spawn->session = session;
	(void)spawn_grant(spawn, "session", session, 0);
	(void)spawn_grant(spawn, "port", port, 0);
	(void)spawn_grant_own(spawn, "timer");
	(void)spawn_grant_own(spawn, "system_info");
}

/* How often the kernel has said that about this session. */
static unsigned times_logged(uint64_t session_id, unsigned stale_marked, unsigned skipped)
{
	struct log_entry entry;
	uint64_t sequence = 0;
	unsigned times = 0;
	char line[160];

	fmt_buf(line, sizeof(line), "sched: session logout session=%lu stale_marked=%u donation_inflight_skipped=%u",
		(unsigned long)session_id, stale_marked, skipped);
	while (result_ok(log_read(known.log, sequence, &entry)) && entry.next > sequence) {
		times += strcmp(entry.text, line) == 0;
		sequence = entry.next;
	}
	return times;
}

/* The port's next call: the caller's thread, its word; answered by `reply`. */
static capos_handle told(capos_handle port, uint64_t *word)
{
	struct request request;

	insist(endpoint_recv(port, CAPOS_NEVER, 1, &request));
	*word = request.message.word[0];
	return request.message.cap[0];
}

static void ordinary(void)
{
	capos_handle context = context_made(spec_of(BUDGET, PERIOD)), other = context_made(spec_of(BUDGET, PERIOD)),
		     own = context_made(spec_of(BUDGET, PERIOD)), port = port_made(), process = 0, thread;
	uint64_t session_id = 0, remaining = 0;
	capos_handle session = session_made(&session_id);
	struct capos_thread_info it = { 0 };
	struct capos_context_info info;
	struct capos_spawn spawn;
	struct capos_sqe entry;
	struct capos_cqe done = { 0 };

	must(scheduling_context_bind_caller_thread(own));
	inside(&spawn, "bound", session, port);
	(void)spawn_grant(&spawn, "context", context, 0);
	(void)spawn_grant(&spawn, "other", other, 0);
	insist(spawn_start(&spawn, &process, NULL));
	thread = told(port, &remaining);
	expect_iresult(scheduling_context_bind_thread(other, thread), CAPOS_CONTEXT_SESSION_ENDED,
		       "a thread of an ended session is not bound");
	entry = RING_CALL(2, scheduling_context, bind_thread, other, 0, thread, 0, 0, 0);
	must(ring_submit_wait(&entry));
	must(ring_wait(&done, now_ns() + 10 * SECOND));
	tap_ok(is_result(result_of(done.result), CAPOS_CONTEXT_SESSION_ENDED), "nor by ring");
	must(thread_info(thread, &it));
	expect_iresult(process_bind_context(process, other, it.id), CAPOS_CONTEXT_SESSION_ENDED,
		       "nor through its process");
	entry = RING_CALL(3, process, bind_context, process, 0, other, it.id, 0, 0);
	must(ring_submit_wait(&entry));
	must(ring_wait(&done, now_ns() + 10 * SECOND));
	tap_ok(is_result(result_of(done.result), CAPOS_CONTEXT_SESSION_ENDED), "nor so by ring");
	must(endpoint_reply(NULL));
	drop(thread);
	if (tap_ok(ended(child_end(process), CAPOS_EXIT_NORMAL, 0) &&
			   is_result(scheduling_context_info(context, &info), CAPOS_CONTEXT_STALE_GENERATION),
		   "what a thread of the session was bound to is stale for everybody, before its budget comes back"))
		tap_note("session_logout_stale=ok remaining_at_logout_ns=%lu", (unsigned long)remaining);
	tap_ok(times_logged(session_id, 1, 0) == 1, "stale_marked=1 donation_inflight_skipped=0");
	info = context_info(own);
	tap_ok(info.state == CAPOS_CONTEXT_BOUND && info.generation == 1,
	       "a thread of no session is bound as before");
	must(scheduling_context_unbind(own));
	expect_good(scheduling_context_bind_caller_thread(other), "what was refused is free for others");
	must(scheduling_context_unbind(other));
	destroy(session);
	tap_ok(times_logged(session_id, 0, 0) == 0, "a session ends once");
	destroy(context);
	destroy(other);
	destroy(own);
	destroy(port);
}

static void many(void)
{
	capos_handle port = port_made(), process = 0;
	uint64_t session_id = 0;
	capos_handle session = session_made(&session_id);
	struct capos_spawn spawn;

	inside(&spawn, "many", session, port);
	(void)spawn_grant_own(&spawn, "context");
	spawn.memory_bytes = 4u << 20;
	spawn.slots = 4 * MANY;
	spawn.threads = MANY + 1;
	insist(spawn_start(&spawn, &process, NULL));
	tap_ok(ended(child_end(process), CAPOS_EXIT_NORMAL, 0), "the contexts of many threads are stale");
	tap_ok(times_logged(session_id, MANY, 0) == 1, "stale_marked=%u donation_inflight_skipped=0", MANY);
	destroy(session);
	destroy(port);
}

/* --- donation ----------------------------------------------------------------------------------------------------------- */

static struct donor {
	capos_handle port, context;
	struct capos_context_info before, after;
	struct capos_result call, enter;
	volatile bool returned;
} donor;

static uint64_t donates(void *argument)
{
	(void)argument;
	must(scheduling_context_bind_caller_thread(donor.context));
	burn(MS);
	donor.before = context_info(donor.context);
	donor.call = endpoint_call(donor.port, PROOF_IFACE, PROOF_ECHO, NULL, 0, NULL, 0);
	donor.enter = ring_enter(0, 0);
	donor.returned = true;
	donor.after = context_info(donor.context);
	return 0;
}

/* For 20 ms. */
static bool stays_blocked(const struct thread *thread)
{
	for (unsigned i = 0; i < 20; i++) {
		if (donor.returned || waits_on(thread->handle) != CAPOS_WAIT_REPLY)
			return false;
		(void)sleep_ns(MS);
	}
	return true;
}

static void donated(void)
{
	capos_handle port = port_made(), context = context_made(spec_of(BUDGET, PERIOD)), bell = 0, go = 0,
		     process = 0;
	uint64_t session_id = 0, bits = 0;
	capos_handle session = session_made(&session_id);
	struct capos_context_info info;
	struct capos_spawn spawn;
	struct thread thread;
	bool good;

	insist(factory_notification(known.factory, &bell));
	insist(factory_notification(known.factory, &go));
	inside(&spawn, "receiver", session, port);
	(void)spawn_grant(&spawn, "bell", bell, 0);
	(void)spawn_grant(&spawn, "go", go, 0);
	insist(spawn_start(&spawn, &process, NULL));
	donor = (struct donor){ .port = port, .context = context };
	insist(thread_start(&thread, donates, NULL));
	must(notification_wait(bell, CAPOS_NEVER, &bits));
	tap_ok(times_logged(session_id, 0, 1) == 1, "stale_marked=0 donation_inflight_skipped=1");
	info = context_info(context);
	tap_ok(info.state == CAPOS_CONTEXT_BOUND && info.donated == 1 && info.thread_id == thread.id &&
		       info.generation == 1,
	       "the donor is bound still, the receiver runs on its context");
	tap_ok(stays_blocked(&thread), "the donor does not come to its cap_enter(0, 0) before the reply");
	must(notification_signal(go, 1));
	must(thread_finish(&thread, CAPOS_NEVER, NULL));
	good = tap_ok(result_ok(donor.call) && result_ok(donor.enter), "the call returns, cap_enter(0, 0) after it");
	good = tap_ok(donor.after.state == CAPOS_CONTEXT_BOUND && donor.after.donated == 0 &&
			      donor.after.thread_id == thread.id && donor.after.generation == 1,
		      "the donor comes back bound") &&
	       good;
	/* Some of the receiver's time may have been that of interrupts. */
	good = tap_ok(donor.after.used_ns >= donor.before.used_ns + 2 * SERVED_NS * 9 / 10 &&
			      donor.after.remaining_budget_ns + donor.after.used_ns <= BUDGET,
		      "with what is left: nothing is refreshed, nothing is minted") &&
	       good;
	if (good)
		tap_note("session_donated_receiver=ok remaining_before_ns=%lu remaining_after_ns=%lu",
			 (unsigned long)donor.before.remaining_budget_ns,
			 (unsigned long)donor.after.remaining_budget_ns);
	tap_ok(ended(child_end(process), CAPOS_EXIT_NORMAL, 0), "the receiver goes on in its ended session");
	destroy(session);
	destroy(context);
	destroy(port);
	destroy(bell);
	destroy(go);
}

/* The session's object is destroyed, without a logout: the same. */
static void destroyed(void)
{
	capos_handle port = port_made(), context = context_made(spec_of(BUDGET, PERIOD)), process = 0, thread;
	uint64_t session_id = 0, word;
	capos_handle session = session_made(&session_id);
	struct capos_context_info info;
	struct capos_spawn spawn;

	inside(&spawn, "stays", session, port);
	insist(spawn_start(&spawn, &process, NULL));
	thread = told(port, &word);
	must(endpoint_reply(NULL));
	expect_good(scheduling_context_bind_thread(context, thread), "a thread of the session is bound from outside");
	destroy(session);
	tap_ok(becomes_true(times_logged(session_id, 1, 0) == 1), "a session that is destroyed is logged out");
	expect_iresult(scheduling_context_info(context, &info), CAPOS_CONTEXT_STALE_GENERATION,
		       "its threads' contexts are stale");
	must(process_kill(process, 1));
	(void)child_end(process);
	drop(thread);
	destroy(context);
	destroy(port);
}

int main(int argc, char **argv)
{
	const struct mode modes[] = {
		{ "bound", run_bound }, { "many", run_many }, { "receiver", run_receiver }, { "stays", run_stays }
	};
	const struct mode *mode = mode_asked(modes, COUNT_OF(modes), argc, argv);
	struct usage before;

	if (mode != NULL)
		return mode->run(argc, argv);
	tap_plan(0);
	grow_table();
	(void)child_run("exit 0");
	before = usage_now();
	ordinary();
	many();
	donated();
	destroyed();
	tap_returns(before, "everything was given back");
	return tap_done();
}
