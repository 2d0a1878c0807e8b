/* SPDX-License-Identifier: MIT */
/*
 * A chain of four: a donor and three passive servers, each in the middle of a call that the one before made, on the donor's budget. Every
 * order in which they end, by every way in which they can: the chain unwinds, the donor is told what happened, no budget is lost.
 */
#include "contexttest.h"

#define BUDGET_NS (400 * MS)
#define PERIOD_NS (600 * SECOND)
#define LINKS 4u /* the first one is the donor */
#define NO_RESULT 0xffffu

enum way { TERMINATE, DESTROY_PORT, REVOKE_HANDLE, REVOKE_CONTEXT, DESTROY_CONTEXT, KILL_PROCESS, WAYS };
static const char *const way_names[WAYS] = { "thread terminate", "endpoint destroy", "grant revoke",
					     "context revoke",	 "context destroy",  "process kill" };

struct link {
	struct thread thread;
	capos_handle process; /* KILL_PROCESS */
	capos_handle port,
		through; /* where it receives; what the handle was derived from that the one before calls */
	capos_handle next, context; /* what it calls (0: nothing); the donor's budget */
	volatile uint64_t status;   /* of its call */
	bool joined;
};

static struct link links[LINKS];
static volatile bool reached, gate;

/* --- what they do ------------------------------------------------------------------------------------------------------------ */

/* Runs and sleeps in turn, so that its end meets either. */
static void linger(void)
{
	while (!gate) {
		for (uint64_t end_ns = now_ns() + 30000; now_ns() < end_ns;)
			;
		(void)sleep_ns(30000);
	}
}

static uint64_t play(void *argument)
{
	struct link *link = argument;
	struct request request;

	if (link->port && !result_ok(insist_on(endpoint_recv(link->port, CAPOS_NEVER, 0, &request))))
		return 0;
	if (link->context)
		must(scheduling_context_bind_caller_thread(link->context));
	if (link->next) {
		link->status = insist_on(endpoint_call(link->next, PROOF_IFACE, PROOF_ECHO, NULL, 0, NULL, 0)).status;
	} else if (cap("bell")) {
		(void)notification_signal(cap("bell"), 1);
	} else {
		reached = true;
	}
	/* The donor in a process of its own tells its result by its end. */
	if (link->context && cap("bell"))
		return link->status;
	linger();
	(void)endpoint_reply(NULL);
	return link->status;
}

/* Of one process: contexttest link. */
int chain_link(int argc, char **argv)
{
	struct link link = {
		.port = cap("port"), .next = cap("next"), .context = cap("context"), .status = NO_RESULT
	};
	uint64_t code = NO_RESULT;

	(void)argc, (void)argv;
	if (!link.port)
		return (int)play(&link);
	insist(thread_start_on(&link.thread, play, &link, CAPOS_CPU_ANY, CAPOS_THREAD_PASSIVE));
	must(thread_finish(&link.thread, CAPOS_NEVER, &code));
	return (int)code;
}

/* --- how they end ------------------------------------------------------------------------------------------------------------ */

static void strike(enum way way, unsigned at, capos_handle context)
{
	struct link *link = &links[at];

	if (way == KILL_PROCESS)
		(void)process_kill(link->process, 9);
	else if (way == DESTROY_PORT && at > 0)
		(void)cap_table_destroy(known.caps, link->port);
	else if (way == REVOKE_HANDLE && at > 0)
		(void)cap_table_revoke(known.caps, link->through);
	else if (way == REVOKE_CONTEXT && at == 0)
		(void)scheduling_context_revoke(context);
	else if (way == DESTROY_CONTEXT && at == 0)
		(void)cap_table_destroy(known.caps, context);
	else
		(void)thread_terminate(link->thread.handle);
}

/* What the donor is told once the first server is struck. */
static uint64_t named(enum way way)
{
	return way == DESTROY_PORT || way == REVOKE_HANDLE ? CAPOS_STATUS_REVOKED : CAPOS_STATUS_PEER_GONE;
}

static void start_process(struct link *link, capos_handle bell)
{
	struct capos_spawn spawn;

	spawn_init(&spawn, "contexttest", "link");
	(void)spawn_grant_own(&spawn, "timer");
	(void)spawn_grant(&spawn, "bell", bell, 0);
	if (link->port)
		(void)spawn_grant(&spawn, "port", link->port, 0);
	if (link->next)
		(void)spawn_grant(&spawn, "next", link->next, 0);
	if (link->context)
		(void)spawn_grant(&spawn, "context", link->context, 0);
	insist(spawn_start(&spawn, &link->process, NULL));
}

static void begin(enum way way, capos_handle context, capos_handle bell)
{
	gate = reached = false;
	for (unsigned i = 0; i < LINKS; i++) {
		links[i] = (struct link){ .status = NO_RESULT };
		if (i == 0)
			continue;
		insist(factory_endpoint(known.factory, PROOF_IFACE, &links[i].port));
		insist(cap_table_derive(known.caps, links[i].port, CAPOS_RIGHT_CALL | CAPOS_RIGHT_GRANT, 0,
					&links[i].through));
		insist(cap_table_derive(known.caps, links[i].through, CAPOS_RIGHT_CALL | CAPOS_RIGHT_GRANT, 0,
					&links[i - 1].next));
	}
	links[0].context = context;
	for (unsigned i = LINKS; i-- > 0;) {
		if (way == KILL_PROCESS) {
			start_process(&links[i], bell);
			continue;
		}
		insist(thread_start_on(&links[i].thread, play, &links[i], CAPOS_CPU_ANY,
				       i > 0 ? CAPOS_THREAD_PASSIVE : 0));
		if (i > 0)
			(void)becomes_true(waits_on(links[i].thread.handle) == CAPOS_WAIT_RECV);
	}
}

/* The donor has its result before it is struck itself. */
static bool is_told(enum way way)
{
	struct link *donor = &links[0];

	if (way != KILL_PROCESS)
		return becomes_true(donor->status != NO_RESULT) && donor->status == named(way);
	donor->joined = true;
	return ended(child_end(donor->process), CAPOS_EXIT_NORMAL, named(way));
}

static uint64_t end_all(enum way way)
{
	uint64_t ran_ns = 0;

	gate = true;
	for (unsigned i = 0; i < LINKS; i++) {
		struct link *link = &links[i];
		struct capos_thread_info info = { 0 };

		if (way == KILL_PROCESS && !link->joined) {
			(void)child_end(link->process);
		} else if (way != KILL_PROCESS) {
			must(thread_join(link->thread.handle, CAPOS_NEVER, NULL, NULL));
			must(thread_info(link->thread.handle, &info));
			ran_ns += info.runtime_ns;
			drop(link->thread.handle);
		}
		drop(link->next);
		drop(link->through);
		destroy(link->port);
	}
	return ran_ns;
}

/* --- every order ------------------------------------------------------------------------------------------------------------- */

struct sums {
	unsigned good, told, donated;
	uint64_t used_ns, remaining_ns, ran_ns;
};

static void one_order(enum way way, const unsigned *order, capos_handle bell, struct sums *sums)
{
	capos_handle context = context_made(spec_of(BUDGET_NS, PERIOD_NS));
	struct capos_context_info before, after = { 0 };
	bool donor_struck = false, good = true;
	uint64_t bits = 0, ran_ns;

	begin(way, context, bell);
	good = way == KILL_PROCESS ? result_ok(notification_wait(bell, now_ns() + 10 * SECOND, &bits))
				   : becomes_true(reached);
	before = context_info(context);
	/* Without memory for a spare a call is served on the server's own time: where the simulator lets allocations fail. */
	sums->donated += before.donated;
	good = good && before.remaining_budget_ns + before.used_ns == BUDGET_NS;
	for (unsigned i = 0; i < LINKS; i++) {
		strike(way, order[i], context);
		/* A donor who loses its budget goes on without. */
		donor_struck = donor_struck || (order[i] == 0 && way != REVOKE_CONTEXT && way != DESTROY_CONTEXT);
		if (order[i] == 1 && !donor_struck) {
			good = is_told(way) && good;
			sums->told++;
		}
	}
	ran_ns = end_all(way);
	if (way == REVOKE_CONTEXT || way == DESTROY_CONTEXT) {
		struct capos_result r = scheduling_context_info(context, &after);

		good = good && (way == DESTROY_CONTEXT ? IS(r, REVOKED) : r.iresult == CAPOS_CONTEXT_WAS_REVOKED);
	} else {
		after = context_info(context);
		good = good && after.remaining_budget_ns + after.used_ns == BUDGET_NS &&
		       after.used_ns >= before.used_ns && after.state == CAPOS_CONTEXT_UNBOUND &&
		       after.donated == 0 &&
		       (way == KILL_PROCESS || after.used_ns <= ran_ns + (exact ? 20000 : SECOND));
		sums->used_ns += after.used_ns;
		sums->remaining_ns += after.remaining_budget_ns;
		sums->ran_ns += ran_ns;
	}
	sums->good += good;
	if (!good)
		tap_note(
			"%s, order %u%u%u%u: donated=%u remaining_ns=%lu used_ns=%lu; told=%lu; remaining_ns=%lu used_ns=%lu ran_ns=%lu state=%u",
			way_names[way], order[0], order[1], order[2], order[3], before.donated,
			(unsigned long)before.remaining_budget_ns, (unsigned long)before.used_ns,
			(unsigned long)links[0].status, (unsigned long)after.remaining_budget_ns,
			(unsigned long)after.used_ns, (unsigned long)ran_ns, after.state);
	destroy(context);
}

#define ORDERS 24u

static void every_order(enum way way)
{
	struct sums sums = { 0 };
	capos_handle bell = 0;

	insist(factory_notification(known.factory, &bell));
	for (unsigned i = 0; i < 256; i++) {
		const unsigned order[LINKS] = { i & 3, i >> 2 & 3, i >> 4 & 3, i >> 6 };

		if ((1u << order[0] | 1u << order[1] | 1u << order[2] | 1u << order[3]) == 15)
			one_order(way, order, bell, &sums);
	}
	destroy(bell);
	tap_note("deaths by %s: orders=%u told=%u donated=%u used_ns=%lu ran_ns=%lu remaining_ns=%lu", way_names[way],
		 sums.good, sums.told, sums.donated, (unsigned long)sums.used_ns, (unsigned long)sums.ran_ns,
		 (unsigned long)sums.remaining_ns);
	tap_ok(sums.good == ORDERS && sums.donated >= (exact ? ORDERS : ORDERS / 2),
	       "a chain of four unwinds from every order of deaths: %s", way_names[way]);
}

void test_deaths(void)
{
	for (unsigned way = 0; way < WAYS; way++)
		every_order((enum way)way);
}
