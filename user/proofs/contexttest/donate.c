/* SPDX-License-Identifier: MIT */
/*
 * Budgets that go along with calls (docs/CONTEXTS.md, DO1 to DO3). Periods are so long that nothing comes back within a test, unless it is
 * about that: so what is left and what was used are the budget, to the nanosecond, whoever ran and however it ended.
 */
#include "contexttest.h"

#define BUDGET_NS (400 * MS)
#define PERIOD_NS (600 * SECOND)
#define WORK_NS (1 * MS)
#define BUSY_PERIOD_NS (20 * MS)

enum method {
	WORK = PROOF_KEEP + 1, /* word 0: ns of time that passes */
	SERVICE,	       /* word 0: ns of the context's budget, which ends meanwhile */
	RAISE,
	REFUSED, /* the reply has a capability that the caller takes no place for; then one without */
	HOLD,	 /* runs until it is let go */
	REST,	 /* sleeps until then */
	PASS_ON, /* calls the next one first, then sleeps until then */
	ANSWER,	 /* with bytes */
};

struct server {
	struct thread thread;
	capos_handle port, context, next;
	struct capos_context_info first, last; /* at the begin of the call, and at the end of what it did */
	struct capos_result refused;
	volatile bool works, held;
};

static struct server server;

/* --- what was used --------------------------------------------------------------------------------------------------------- */

struct tally {
	struct capos_context_info context;
	uint64_t caller_ns, server_ns;
};

/* By the caller, while the server waits. Looking charges both up to the same instant; an interrupt between the looks charges one. */
static struct tally tally(capos_handle context)
{
	struct tally now = { 0 }, before;

	do {
		before = now;
		now.context = context_info(context);
		now.caller_ns = runtime_ns(self()->handle);
	} while (now.caller_ns - before.caller_ns != now.context.used_ns - before.context.used_ns);
	now.server_ns = server.thread.handle ? runtime_ns(server.thread.handle) : 0;
	return now;
}

/* Between two tallies: what is left is less by what both ran. */
static bool is_conserved(const struct tally *before, const struct tally *after)
{
	return is_whole(&before->context) && is_whole(&after->context) &&
	       after->context.used_ns - before->context.used_ns ==
		       after->caller_ns - before->caller_ns + after->server_ns - before->server_ns;
}

/* The same where the server replied and ran on, without the budget: all that the caller ran, and the server until then. */
static bool is_conserved_until_reply(const struct tally *before, const struct tally *after)
{
	uint64_t used_ns = after->context.used_ns - before->context.used_ns;
	uint64_t caller_ns = after->caller_ns - before->caller_ns, server_ns = after->server_ns - before->server_ns;

	return is_whole(&before->context) && is_whole(&after->context) && used_ns <= caller_ns + server_ns &&
	       used_ns >= caller_ns + server.last.used_ns - server.first.used_ns;
}

static void label(bool passed, const char *name, const struct tally *before, const struct tally *after)
{
	char figures[200];

	fmt_buf(figures, sizeof(figures),
		"remaining_before_ns=%lu caller_used_ns=%lu server_used_ns=%lu remaining_after_ns=%lu",
		(unsigned long)before->context.remaining_budget_ns,
		(unsigned long)(after->caller_ns - before->caller_ns),
		(unsigned long)(after->server_ns - before->server_ns),
		(unsigned long)after->context.remaining_budget_ns);
	if (tap_ok(passed, "%s", name))
		tap_note("%s=ok %s", name, figures);
	else
		tap_note("%s: %s", name, figures);
}

/* --- the server ------------------------------------------------------------------------------------------------------------ */

/* What a call asks for, but the reply. */
static void work_on(struct server *s, const struct request *request)
{
	uint64_t span_ns = request->message.word[0];
	struct message bad = { .caps = 1, .cap = { known.timer } };

	s->works = true;
	if (s->context)
		s->first = context_info(s->context);
	if (request->method == PASS_ON)
		(void)insist_on(endpoint_call(s->next, PROOF_IFACE, PROOF_ECHO, NULL, 0, NULL, 0));
	if (request->method == SERVICE) {
		struct capos_context_info now;

		do
			now = context_info(s->context);
		while (now.used_ns < s->first.used_ns + span_ns || now.throttles == s->first.throttles);
	} else if (request->method == HOLD || request->method == REST || request->method == PASS_ON) {
		while (s->held) {
			if (request->method != HOLD)
				must(sleep_ns(100000));
		}
	} else {
		burn(span_ns);
	}
	if (request->method == REFUSED) {
		s->refused = endpoint_reply_recv(s->port, &bad, 0, NULL);
		burn(span_ns);
	}
	if (s->context)
		s->last = context_info(s->context);
	s->works = false;
}

static uint64_t serve(void *argument)
{
	static const struct message bytes = { .bytes = "answer", .bytes_sent = 6 };
	struct server *s = argument;
	struct request request;
	struct capos_result r = endpoint_recv(s->port, CAPOS_NEVER, 0, &request);

	while (result_ok(r) && request.method != PROOF_STOP) {
		work_on(s, &request);
		if (request.method == RAISE) {
			(void)endpoint_exception(7);
			r = endpoint_recv(s->port, CAPOS_NEVER, 0, &request);
			continue;
		}
		r = endpoint_reply_recv(s->port, request.method == ANSWER ? &bytes : NULL, 0, &request);
		if (IS(r, NOT_SERVING)) /* cancelled */
			r = endpoint_recv(s->port, CAPOS_NEVER, 0, &request);
	}
	(void)endpoint_reply(NULL);
	return 0;
}

static void start_server(capos_handle context, uint32_t flags)
{
	server = (struct server){ .context = context };
	insist(factory_endpoint(known.factory, PROOF_IFACE, &server.port));
	insist(thread_start_on(&server.thread, serve, &server, CAPOS_CPU_ANY, flags));
	(void)becomes_true(waits_on(server.thread.handle) == CAPOS_WAIT_RECV);
}

static struct capos_result ask(unsigned method, uint64_t span_ns)
{
	return insist_on(endpoint_call(server.port, PROOF_IFACE, (uint16_t)method, &span_ns, 1, NULL, 0));
}

/* Without memory for a spare a call is served on the server's own time, where the simulator lets allocations fail: once it is there it
 * stays. The server looks at this thread's budget. */
static void warm_up(capos_handle through)
{
	do {
		uint64_t word = 0;

		must(insist_on(endpoint_call(through, PROOF_IFACE, WORK, &word, 1, NULL, 0)));
	} while (server.first.donated == 0);
}

static void stop_server(void)
{
	server.context = 0;
	(void)ask(PROOF_STOP, 0);
	must(thread_finish(&server.thread, CAPOS_NEVER, NULL));
	server.thread.handle = 0;
	destroy(server.port);
}

static capos_handle bound(uint64_t budget_ns, uint64_t period_ns)
{
	capos_handle context = context_made(spec_of(budget_ns, period_ns));

	must(scheduling_context_bind_caller_thread(context));
	return context;
}

/* The server saw that it ran on this thread's budget, and less of it. */
static bool ran_on_mine(uint64_t span_ns)
{
	return server.first.donated == 1 && server.last.donated == 1 && server.first.thread_id == self()->id &&
	       server.first.remaining_budget_ns >= server.last.remaining_budget_ns + span_ns &&
	       is_whole(&server.last);
}

/* --- there and back -------------------------------------------------------------------------------------------------------- */

static void round_trips(void)
{
	capos_handle context;
	struct tally before, after;
	struct capos_result r;
	uint64_t least_ns = exact ? WORK_NS - WORK_NS / 100 : 0;
	bool good;

	start_server(0, CAPOS_THREAD_PASSIVE);
	context = bound(BUDGET_NS, PERIOD_NS);
	server.context = context;
	warm_up(server.port);

	before = tally(context);
	r = ask(WORK, WORK_NS);
	after = tally(context);
	good = result_ok(r) && ran_on_mine(least_ns) &&
	       server.first.remaining_budget_ns <= before.context.remaining_budget_ns;
	label(good && is_conserved(&before, &after), "endpoint_donation", &before, &after);
	good = result_ok(r) && after.context.donated == 0 && after.context.thread_id == self()->id &&
	       after.context.remaining_budget_ns <= server.last.remaining_budget_ns;
	label(good && is_conserved(&before, &after), "endpoint_return", &before, &after);

	before = tally(context);
	r = ask(RAISE, WORK_NS);
	after = tally(context);
	good = r.status == CAPOS_STATUS_EXCEPTION && r.iresult == 7 && ran_on_mine(least_ns);
	label(good && is_conserved_until_reply(&before, &after) && after.context.donated == 0,
	      "endpoint_exception_return", &before, &after);

	warm_up(server.port);
	before = tally(context);
	r = ask(REFUSED, WORK_NS);
	after = tally(context);
	good = result_ok(r) && IS(server.refused, NO_SLOTS) && ran_on_mine(2 * least_ns);
	label(good && is_conserved(&before, &after) && after.context.donated == 0, "endpoint_refused_reply", &before,
	      &after);

	must(scheduling_context_unbind(context));
	stop_server();
	destroy(context);
}

/* A call by ring lends nothing: its caller goes on, on its own budget, and the server runs on its own time. So it does when the result
 * finds no place. The server does not look: from another CPU that would charge this one's interrupts. */
static void by_ring(void)
{
	struct capos_sqe entry;
	struct capos_cqe done = { 0 };
	struct tally before, after;
	capos_handle context;
	uint64_t used_ns;
	bool good;

	start_server(0, CAPOS_THREAD_PASSIVE);
	context = bound(BUDGET_NS, PERIOD_NS);
	entry = ring_entry(1, server.port, CAPOS_CALL_WORD(PROOF_IFACE, ANSWER, CAPOS_OP_CALL, 1, 0), CAPOS_NEVER,
			   WORK_NS, 0, 0, 0);
	do { /* until there is memory for it */
		before = tally(context);
		insist(ring_submit_wait(&entry));
		good = result_ok(ring_enter(0, 0));
		good = good && result_ok(ring_wait(&done, CAPOS_NEVER));
	} while (good && result_of(done.result).status == CAPOS_STATUS_NO_MEMORY);
	(void)becomes_true(waits_on(server.thread.handle) == CAPOS_WAIT_RECV);
	after = tally(context);
	used_ns = after.context.used_ns - before.context.used_ns;
	good = good && IS(result_of(done.result), RESULT_TOO_LARGE) && is_whole(&after.context) &&
	       used_ns == after.caller_ns - before.caller_ns;
	label(good, "endpoint_invalid_return", &before, &after);
	must(scheduling_context_unbind(context));
	stop_server();
	destroy(context);
}

/* A server with a budget of its own: each pays for itself. */
static void to_an_active_one(void)
{
	capos_handle context, other = context_made(spec_of(BUDGET_NS, PERIOD_NS));
	struct tally before, after;
	struct capos_context_info its, its_after;
	bool good;

	start_server(other, 0);
	must(scheduling_context_bind_thread(other, server.thread.handle));
	context = bound(BUDGET_NS, PERIOD_NS);
	before = tally(context);
	its = context_info(other);
	good = result_ok(ask(WORK, WORK_NS));
	(void)becomes_true(waits_on(server.thread.handle) == CAPOS_WAIT_RECV);
	after = tally(context);
	its_after = context_info(other);
	good = good && server.first.donated == 0 && is_whole(&after.context) && is_whole(&its_after) &&
	       after.context.used_ns - before.context.used_ns == after.caller_ns - before.caller_ns &&
	       its_after.used_ns - its.used_ns == after.server_ns - before.server_ns;
	label(good, "endpoint_active_server", &before, &after);
	must(scheduling_context_unbind(context));
	must(scheduling_context_unbind(other));
	stop_server();
	destroy(context);
	destroy(other);
}

#define FAST_CALLS 2000u

/* Many short ones, in each of which the return might meet the next call. */
static void fast_returns(void)
{
	struct tally before, after;
	capos_handle context;
	unsigned good = 0;

	start_server(0, CAPOS_THREAD_PASSIVE);
	context = bound(BUDGET_NS, PERIOD_NS);
	server.context = context;
	warm_up(server.port);
	server.context = 0;
	before = tally(context);
	for (unsigned i = 0; i < FAST_CALLS; i++)
		good += result_ok(ask(PROOF_ECHO, 0));
	after = tally(context);
	label(good == FAST_CALLS && is_conserved(&before, &after) && after.context.donated == 0,
	      "endpoint_donor_fast", &before, &after);
	must(scheduling_context_unbind(context));
	stop_server();
	destroy(context);
}

/* --- a donor, and who looks on --------------------------------------------------------------------------------------------- */

struct donor {
	struct thread thread;
	capos_handle context, through; /* bound by itself; 0: no context */
	unsigned method;
	uint64_t span_ns;
	struct capos_result result; /* of its call */
	struct tally before, after;
	volatile bool warm, returned;
};

static struct donor donor;

static uint64_t donate(void *argument)
{
	struct donor *d = argument;

	if (d->context) {
		must(scheduling_context_bind_caller_thread(d->context));
		warm_up(d->through);
		d->warm = true;
		d->before.context = context_info(d->context);
	}
	d->result = insist_on(endpoint_call(d->through, PROOF_IFACE, (uint16_t)d->method, &d->span_ns, 1, NULL, 0));
	d->returned = true;
	if (d->context && d->result.status != CAPOS_STATUS_REVOKED)
		(void)scheduling_context_info(d->context, &d->after.context);
	return d->result.status;
}

static void start_donor(capos_handle context, capos_handle through, unsigned method, uint64_t span_ns)
{
	donor = (struct donor){ .context = context, .through = through, .method = method, .span_ns = span_ns };
	insist(thread_start(&donor.thread, donate, &donor));
}

/* While the server works, and while it sleeps in its work, the donor does not run; what it gave away nobody else has. */
static void donor_blocks(void)
{
	capos_handle context;
	struct capos_context_info then, later;
	uint64_t ran_ns, code = 1;
	bool good = true;

	start_server(0, CAPOS_THREAD_PASSIVE);
	for (unsigned round = 0; round < 2; round++) {
		struct tally before, after;

		context = context_made(spec_of(BUDGET_NS, PERIOD_NS));
		server.context = context;
		server.held = true;
		start_donor(context, server.port, round == 0 ? REST : HOLD, 0);
		good = becomes_true(donor.warm && server.works) && good;
		then = context_info(context);
		ran_ns = runtime_ns(donor.thread.handle);
		must(sleep_ns(5 * MS));
		later = context_info(context);
		good = good && server.works && !donor.returned && waits_on(donor.thread.handle) == CAPOS_WAIT_REPLY &&
		       runtime_ns(donor.thread.handle) == ran_ns && then.donated == 1 && later.donated == 1 &&
		       then.thread_id == donor.thread.id && is_whole(&then) && is_whole(&later) &&
		       later.used_ns >= then.used_ns;
		server.held = false;
		must(thread_finish(&donor.thread, CAPOS_NEVER, &code));
		before = (struct tally){ .context = then, .caller_ns = ran_ns };
		after = (struct tally){ .context = context_info(context), .caller_ns = ran_ns };
		before.server_ns = 0;
		after.server_ns = server.last.used_ns - then.used_ns;
		good = good && code == CAPOS_STATUS_OK && is_whole(&after.context) && after.context.donated == 0 &&
		       after.context.state == CAPOS_CONTEXT_UNBOUND;
		label(good, round == 0 ? "endpoint_donor_block" : "endpoint_donor_block_busy", &before, &after);
		server.context = 0;
		destroy(context);
	}
	stop_server();
}

/* A server that uses up its caller's budget waits for it as the caller would. */
static void used_up(void)
{
	capos_handle context = context_made(spec_of(BUSY_PERIOD_NS / 10, BUSY_PERIOD_NS));
	uint64_t begin_ns, span_ns, periods, code = 1;
	struct tally before = { 0 }, after = { 0 };
	bool good;

	start_server(context, CAPOS_THREAD_PASSIVE);
	begin_ns = now_ns();
	start_donor(context, server.port, SERVICE, BUSY_PERIOD_NS / 4); /* two and a half budgets */
	good = becomes_true(context_info(context).throttles > 0);
	must(thread_finish(&donor.thread, CAPOS_NEVER, &code));
	span_ns = now_ns() - begin_ns;
	periods = span_ns / BUSY_PERIOD_NS + 1;
	before.context = donor.before.context;
	after.context = donor.after.context;
	after.server_ns = server.last.used_ns - server.first.used_ns;
	good = good && code == CAPOS_STATUS_OK && server.last.donated == 1 &&
	       (!exact || server.last.throttles >= 2) &&
	       server.last.used_ns - server.first.used_ns >= BUSY_PERIOD_NS / 4 &&
	       /* Never early: the third budget begins two periods after the first one; unless the machine stood still. */
	       (!exact || span_ns >= 2 * BUSY_PERIOD_NS - BUSY_PERIOD_NS / 10) &&
	       donor.after.context.used_ns <= periods * (BUSY_PERIOD_NS / 10) + overrun_ns();
	label(good, "endpoint_throttled_server", &before, &after);
	tap_note("throttled_server: throttles=%lu span_ns=%lu used_ns=%lu", (unsigned long)server.last.throttles,
		 (unsigned long)span_ns, (unsigned long)donor.after.context.used_ns);
	server.context = 0;
	stop_server();
	destroy(context);
}

/* Made, and used up by the server in its donor's call. A donor that was held up so long on the way there that it used it up itself makes room
 * for the next one; it never is where time is exact. */
static capos_handle used_up_inside(capos_handle through, uint64_t span_ns)
{
	for (;;) {
		capos_handle context = context_made(spec_of(BUSY_PERIOD_NS / 10, 100 * SECOND));

		server.context = context;
		start_donor(context, through, WORK, span_ns);
		if (!is_in(context, CAPOS_CONTEXT_THROTTLED) || exact ||
		    (donor.warm && waits_on(donor.thread.handle) == CAPOS_WAIT_REPLY))
			return context;
		must(thread_terminate(donor.thread.handle));
		must(thread_finish(&donor.thread, CAPOS_NEVER, NULL));
		(void)becomes_true(waits_on(server.thread.handle) == CAPOS_WAIT_RECV);
		destroy(context);
	}
}

/* A handler ends the call of a donor whose server is throttled: by its life, by its handle. The server goes on without a budget. */
static void cancelled(bool by_handle)
{
	capos_handle context, handle = 0, middle = 0;
	struct tally before = { 0 }, after = { 0 };
	uint64_t code = 1, begin_ns, ran_ns;
	bool good;

	start_server(0, CAPOS_THREAD_PASSIVE);
	insist(cap_table_derive(known.caps, server.port, CAPOS_RIGHT_CALL | CAPOS_RIGHT_GRANT, 0, &middle));
	insist(cap_table_derive(known.caps, middle, CAPOS_RIGHT_CALL, 0, &handle));
	begin_ns = now_ns();
	context = used_up_inside(handle, 5 * BUSY_PERIOD_NS);
	before.context = context_info(context);
	before.server_ns = runtime_ns(server.thread.handle);
	good = before.context.state == CAPOS_CONTEXT_THROTTLED && before.context.donated == 1 && !donor.returned;
	if (by_handle)
		must(cap_table_revoke(known.caps, middle));
	else
		must(thread_terminate(donor.thread.handle));
	/* It ends its work, though the budget comes back long after. */
	good = becomes_true(waits_on(server.thread.handle) == CAPOS_WAIT_RECV) && good;
	ran_ns = runtime_ns(server.thread.handle) - before.server_ns;
	if (by_handle) {
		/* The donor has what is left: nothing, so it waits with its result. */
		good = good && becomes_true(context_info(context).state == CAPOS_CONTEXT_THROTTLED) &&
		       !donor.returned;
		must(scheduling_context_unbind(context));
	}
	must(thread_finish(&donor.thread, CAPOS_NEVER, &code));
	after.context = context_info(context);
	after.server_ns = before.server_ns + ran_ns;
	good = good && now_ns() - begin_ns < 90 * SECOND && is_whole(&after.context) &&
	       after.context.state == CAPOS_CONTEXT_UNBOUND &&
	       after.context.used_ns <= BUSY_PERIOD_NS / 10 + overrun_ns() &&
	       (!by_handle || code == CAPOS_STATUS_REVOKED) && ran_ns > 0;
	label(good, by_handle ? "endpoint_cancelled_handle" : "endpoint_cancelled_donor", &before, &after);
	stop_server();
	drop(handle);
	drop(middle);
	destroy(context);
}

/* A handler gives a donor whose server is throttled another budget: the server goes on, on that. */
static void helped(void)
{
	capos_handle context, more = context_made(spec_of(BUDGET_NS, 100 * SECOND));
	struct tally before = { 0 }, after = { 0 };
	struct capos_context_info spent;
	uint64_t code = 1, begin_ns;
	bool good;

	start_server(0, CAPOS_THREAD_PASSIVE);
	begin_ns = now_ns();
	context = used_up_inside(server.port, 2 * BUSY_PERIOD_NS);
	spent = context_info(context);
	good = spent.state == CAPOS_CONTEXT_THROTTLED && spent.donated == 1 && !donor.returned;
	before.context = context_info(more);
	before.server_ns = runtime_ns(server.thread.handle);
	must(scheduling_context_unbind(context));
	server.context = more;
	must(scheduling_context_bind_thread(more, donor.thread.handle));
	must(thread_finish(&donor.thread, CAPOS_NEVER, &code));
	after.context = context_info(more);
	after.server_ns = runtime_ns(server.thread.handle);
	spent = context_info(context);
	good = good && code == CAPOS_STATUS_OK && is_whole(&after.context) && is_whole(&spent) &&
	       now_ns() - begin_ns < 90 * SECOND && after.context.used_ns > 0 && server.last.donated == 1 &&
	       server.last.thread_id == donor.thread.id && server.last.context_id == after.context.context_id;
	label(good, "endpoint_helped_server", &before, &after);
	server.context = 0;
	stop_server();
	destroy(context);
	destroy(more);
}

/* A passive server that takes a call, receives again without a reply, and ends. */
static uint64_t forget(void *argument)
{
	const capos_handle *port = argument;
	struct request request;

	if (result_ok(insist_on(endpoint_recv(*port, CAPOS_NEVER, 0, &request))))
		(void)endpoint_recv(*port, now_ns() + MS, 0, &request);
	return 0;
}

/* The last one of a chain gave up the budget, and is gone: nobody has it until the donor's call is over, and nobody is named. */
static void dropped(void)
{
	capos_handle context = context_made(spec_of(BUDGET_NS, PERIOD_NS));
	struct tally before = { 0 }, after = { 0 };
	struct thread last;
	capos_handle port;
	uint64_t code = 1;
	bool good;

	start_server(context, CAPOS_THREAD_PASSIVE);
	insist(factory_endpoint(known.factory, PROOF_IFACE, &port));
	insist(thread_start_on(&last, forget, &port, CAPOS_CPU_ANY, CAPOS_THREAD_PASSIVE));
	(void)becomes_true(waits_on(last.handle) == CAPOS_WAIT_RECV);
	server.next = port;
	server.held = true;
	start_donor(context, server.port, PASS_ON, 0);
	must(thread_finish(&last, CAPOS_NEVER, NULL));
	must(sleep_ns(50 * MS)); /* so that its memory is given back */
	before.context = context_info(context);
	good = before.context.thread_id == donor.thread.id && before.context.holder_id == 0 &&
	       before.context.donated == 0 && before.context.state == CAPOS_CONTEXT_BOUND &&
	       waits_on(donor.thread.handle) == CAPOS_WAIT_REPLY;
	must(sleep_ns(5 * MS));
	good = good && context_info(context).used_ns == before.context.used_ns;
	server.held = false;
	must(thread_finish(&donor.thread, CAPOS_NEVER, &code));
	after.context = donor.after.context;
	good = good && code == CAPOS_STATUS_OK && is_whole(&after.context) &&
	       after.context.holder_id == donor.thread.id;
	label(good, "endpoint_dropped_server", &before, &after);
	server.context = 0;
	stop_server();
	destroy(port);
	destroy(context);
}

/* --- suspended in the middle of a call ------------------------------------------------------------------------------------------ */

enum inside { REPLIES, DONOR_KILLED, SERVER_KILLED, CONTEXT_REVOKED, CONTEXT_UNBOUND, INSIDE_ENDS };
static const char *const inside_names[INSIDE_ENDS] = { "endpoint_suspended_server", "endpoint_suspended_donor_killed",
						       "endpoint_suspended_server_killed",
						       "endpoint_suspended_revoked", "endpoint_suspended_unbound" };

/* The budget ends in the server's call; where it ended before that, or on the way there, it is resumed. */
static bool is_suspended_inside(capos_handle context)
{
	struct capos_context_info info = context_info(context);
	bool inside = info.donated != 0 && info.holder_id == server.thread.id && donor.warm;

	if (info.state != CAPOS_CONTEXT_SUSPENDED)
		return false;
	if (!inside)
		(void)scheduling_context_resume(context);
	return inside;
}

/* Periods do not end that; nobody runs on it, and nothing is charged. */
static bool stays_suspended(capos_handle context, uint64_t periods)
{
	struct capos_context_info then = context_info(context), later;
	uint64_t ran_ns = runtime_ns(server.thread.handle);

	must(sleep_ns(periods * BUSY_PERIOD_NS));
	later = context_info(context);
	return later.state == CAPOS_CONTEXT_SUSPENDED && later.donated == 1 && later.used_ns == then.used_ns &&
	       later.throttles == then.throttles && runtime_ns(server.thread.handle) == ran_ns && !donor.returned &&
	       waits_on(donor.thread.handle) == CAPOS_WAIT_REPLY;
}

/* Whenever that is held up, it is let go. */
static uint64_t donor_end(capos_handle context)
{
	uint64_t code = 1;

	while (IS(thread_finish(&donor.thread, now_ns() + MS, &code), TIMED_OUT))
		(void)scheduling_context_resume(context);
	return code;
}

/* What becomes of them; the server's end is `ended`. */
static bool ends_inside(enum inside way, capos_handle context, const struct capos_context_info *then)
{
	uint64_t ran_ns = runtime_ns(server.thread.handle);
	bool good;

	switch (way) {
	case REPLIES:
		must(scheduling_context_resume(context));
		good = becomes_true(is_suspended_inside(context) && context_info(context).used_ns > then->used_ns);
		good = stays_suspended(context, 1) && good;
		server.held = false;
		good = donor_end(context) == CAPOS_STATUS_OK && good;
		return good && server.last.donated == 1 && server.last.used_ns > then->used_ns;
	case SERVER_KILLED:
		must(thread_terminate(server.thread.handle));
		return donor_end(context) == CAPOS_STATUS_PEER_GONE;
	case DONOR_KILLED:
		must(thread_terminate(donor.thread.handle));
		break;
	case CONTEXT_REVOKED:
		must(scheduling_context_revoke(context));
		break;
	default:
		must(scheduling_context_unbind(context));
		break;
	}
	/* The server goes on, without. */
	good = becomes_true(runtime_ns(server.thread.handle) > ran_ns);
	if (way == DONOR_KILLED)
		must(thread_finish(&donor.thread, CAPOS_NEVER, NULL));
	server.context = 0;
	server.held = false;
	return becomes_true(waits_on(server.thread.handle) == CAPOS_WAIT_RECV) && good &&
	       (way == DONOR_KILLED || donor_end(context) == CAPOS_STATUS_OK);
}

static void suspended(enum inside way)
{
	capos_handle context = with_policy(BUSY_PERIOD_NS / 10, BUSY_PERIOD_NS, CAPOS_OVERRUN_SUSPEND);
	struct tally before = { 0 }, after = { 0 };
	struct capos_result r;
	bool good;

	start_server(context, CAPOS_THREAD_PASSIVE);
	server.held = true;
	start_donor(context, server.port, HOLD, 0);
	good = becomes_true(is_suspended_inside(context)) && stays_suspended(context, 3);
	before.context = context_info(context);
	before.server_ns = runtime_ns(server.thread.handle);
	good = ends_inside(way, context, &before.context) && good;
	after.server_ns = runtime_ns(server.thread.handle);
	r = scheduling_context_info(context, &after.context);
	if (way == CONTEXT_REVOKED)
		good = good && r.iresult == CAPOS_CONTEXT_WAS_REVOKED;
	else
		good = good && after.context.state == CAPOS_CONTEXT_UNBOUND && after.context.thread_id == 0;
	/* Nobody resumed it: it was not charged again, but for the donor's death. */
	if (way == DONOR_KILLED || way == CONTEXT_UNBOUND)
		good = good &&
		       after.context.used_ns <= before.context.used_ns + (way == DONOR_KILLED ? overrun_ns() : 0);
	label(good, inside_names[way], &before, &after);
	if (way == SERVER_KILLED) {
		must(thread_finish(&server.thread, CAPOS_NEVER, NULL));
		server.thread.handle = 0;
		destroy(server.port);
	} else {
		stop_server();
	}
	destroy(context);
}

/* The server has its caller's weight, and its place on the CPU: three quarters beside one with a third of it. */
static volatile bool hogging;

static uint64_t hog(void *argument)
{
	(void)argument;
	while (hogging)
		;
	return 0;
}

static void weighed(void)
{
	const uint64_t span_ns = 100 * MS;
	struct thread other;
	struct tally before = { 0 }, after = { 0 };
	uint64_t code = 1, other_ns;
	capos_handle context = context_made(spec_of(BUDGET_NS, PERIOD_NS));
	bool good;

	start_server(context, CAPOS_THREAD_PASSIVE);
	must(scheduling_policy_set_weight(known.policy, server.thread.id, 1));
	hogging = true;
	insist(thread_start_on(&other, hog, NULL, 0, 0));
	donor = (struct donor){ .context = context, .through = server.port, .method = WORK, .span_ns = span_ns };
	insist(thread_start_on(&donor.thread, donate, &donor, 0, 0));
	must(scheduling_policy_set_weight(known.policy, donor.thread.id, 3ull * CAPOS_WEIGHT_DEFAULT));
	(void)becomes_true(donor.warm && server.works);
	other_ns = runtime_ns(other.handle);
	before.context = context_info(context);
	must(thread_join(donor.thread.handle, CAPOS_NEVER, &code, NULL));
	other_ns = runtime_ns(other.handle) - other_ns;
	hogging = false;
	must(thread_finish(&other, CAPOS_NEVER, NULL));
	drop(donor.thread.handle);
	after.context = context_info(context);
	after.server_ns = server.last.used_ns - before.context.used_ns;
	/* Exactly 3 to 1, but for a request of each. */
	good = code == CAPOS_STATUS_OK && is_whole(&after.context) &&
	       (!exact || (other_ns + 5 * MS > after.server_ns / 3 && other_ns < after.server_ns / 3 + 5 * MS));
	label(good, "endpoint_donor_weight", &before, &after);
	tap_note("donor_weight: server_used_ns=%lu beside_ns=%lu", (unsigned long)after.server_ns,
		 (unsigned long)other_ns);
	server.context = 0;
	stop_server();
	destroy(context);
}

/* --- chains ---------------------------------------------------------------------------------------------------------------- */

#define LINKS CAPOS_DONATION_DEPTH_MAX

struct link {
	struct thread thread;
	capos_handle port, next; /* next: 0: the last one */
	uint64_t remaining_ns;	 /* when the call came */
	bool donated;
	uint64_t status; /* of its call */
};

static struct link chain[LINKS + 1];
static capos_handle chain_context;

static uint64_t serve_link(void *argument)
{
	struct link *link = argument;
	struct capos_context_info info;
	struct request request;
	struct capos_result r = endpoint_recv(link->port, CAPOS_NEVER, 0, &request);

	while (result_ok(r) && request.method != PROOF_STOP) {
		info = context_info(chain_context);
		link->remaining_ns = info.remaining_budget_ns;
		link->donated = info.donated != 0;
		if (link->next)
			link->status = endpoint_call(link->next, PROOF_IFACE, PROOF_ECHO, NULL, 0, NULL, 0).status;
		r = endpoint_reply_recv(link->port, NULL, 0, &request);
	}
	(void)endpoint_reply(NULL);
	return 0;
}

static uint64_t chain_ns(void)
{
	uint64_t sum_ns = 0;

	for (size_t i = 0; i <= LINKS; i++)
		sum_ns += runtime_ns(chain[i].thread.handle);
	return sum_ns;
}

/* Sixteen calls deep, each on the same budget; the next one is refused by name, and the chain goes back as it came. */
static void nested(void)
{
	struct tally before, after;
	uint64_t ran_ns;
	bool good = true;

	server = (struct server){ 0 };
	for (size_t i = 0; i <= LINKS; i++) {
		chain[i] = (struct link){ .status = CAPOS_STATUS_OK };
		insist(factory_endpoint(known.factory, PROOF_IFACE, &chain[i].port));
	}
	for (size_t i = 0; i <= LINKS; i++) {
		chain[i].next = i < LINKS ? chain[i + 1].port : 0;
		insist(thread_start_on(&chain[i].thread, serve_link, &chain[i], CAPOS_CPU_ANY, CAPOS_THREAD_PASSIVE));
		(void)becomes_true(waits_on(chain[i].thread.handle) == CAPOS_WAIT_RECV);
	}
	chain_context = bound(BUDGET_NS, PERIOD_NS);
	do {
		for (size_t i = 0; i <= LINKS; i++)
			chain[i].remaining_ns = 0;
		before = tally(chain_context);
		ran_ns = chain_ns();
		good = result_ok(insist_on(endpoint_call(chain[0].port, PROOF_IFACE, PROOF_ECHO, NULL, 0, NULL, 0)));
		after = tally(chain_context);
		ran_ns = chain_ns() - ran_ns;
	} while (!chain[0].donated); /* warm_up */
	after.server_ns = ran_ns;
	for (size_t i = 0; i < LINKS; i++) {
		uint64_t had_ns = i == 0 ? before.context.remaining_budget_ns : chain[i - 1].remaining_ns;

		good = good && chain[i].remaining_ns < had_ns &&
		       chain[i].status == (i + 1 < LINKS ? CAPOS_STATUS_OK : CAPOS_STATUS_TOO_DEEP);
		tap_note("nested: depth=%lu remaining_ns=%lu", (unsigned long)i + 1,
			 (unsigned long)chain[i].remaining_ns);
	}
	good = good && chain[LINKS].remaining_ns == 0 && after.context.donated == 0;
	label(good && is_conserved(&before, &after), "endpoint_nested_rejected", &before, &after);
	must(scheduling_context_unbind(chain_context));
	for (size_t i = 0; i <= LINKS; i++) {
		(void)endpoint_call(chain[i].port, PROOF_IFACE, PROOF_STOP, NULL, 0, NULL, 0);
		must(thread_finish(&chain[i].thread, CAPOS_NEVER, NULL));
		destroy(chain[i].port);
	}
	destroy(chain_context);
}

void test_donate(void)
{
	round_trips();
	by_ring();
	to_an_active_one();
	fast_returns();
	donor_blocks();
	used_up();
	cancelled(false);
	cancelled(true);
	helped();
	dropped();
	for (unsigned way = 0; way < INSIDE_ENDS; way++)
		suspended((enum inside)way);
	weighed();
	nested();
}
