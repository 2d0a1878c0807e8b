/* SPDX-License-Identifier: MIT */
/*
 * run-races: two CPUs meet in a window of the kernel that is a few instructions wide. The simulator holds one of them at a point of
 * its way through (lib/steps.h), the next time at the next point, and there the other one does what must not harm. For races that
 * chance does not find: of each it is known that it fails without what prevents it.
 */
#include "proof.h"

#include <lib/steps.h>
#include <user/ring.h>

struct race {
	const char *name;
	void (*prepare)(void);
	bool (*run)(void); /* held at one of its points; false: something is wrong */
	void (*blow)(void);
	bool (*judge)(void);
	bool (*met)(void); /* NULL: every point is tried. Else from the last one backwards, until the window is met */
};

static volatile struct steps *steps;
static const struct race *race;
static bool stop;

/* From here on nothing is held; what was, has been struck. */
static void end_steps(void)
{
	uint32_t counting = STEPS_COUNT;

	if (!__atomic_compare_exchange_n(&steps->state, &counting, STEPS_OFF, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE))
		while (steps->state == STEPS_HELD)
			;
}

/* --- a completion while cap_enter counts the places of completions (RI1) ------------------------------------------------- */

static capos_handle bell;

static void fill_completions(void)
{
	struct capos_sqe wait = RING_CALL(0, notification, wait, bell, CAPOS_NEVER, CAPOS_NEVER, 0, 0, 0);

	must(ring_submit_wait(&wait));
	for (uint64_t i = 1; i < CAPOS_CQ_ENTRIES; i++) {
		struct capos_sqe nop = RING_CALL(i, cap_table, nop, known.caps, 0, 0, 0, 0, 0);

		must(ring_submit_wait(&nop));
	}
	must(ring_enter(0, 0));
}

/* There is no place for this one, whether the wait is in flight or has ended. */
static bool one_too_many(void)
{
	struct capos_sqe nop = RING_CALL(CAPOS_CQ_ENTRIES, cap_table, nop, known.caps, 0, 0, 0, 0, 0);

	return ring_submit(&nop) && result_ok(ring_enter(0, 0));
}

static void end_wait(void)
{
	must(notification_signal(bell, 1));
}

static bool each_completed_once(void)
{
	struct capos_cqe done;
	uint64_t seen = 0;
	bool good = ring_ready() <= CAPOS_CQ_ENTRIES;

	if (steps->held_kind == 0)
		end_wait();
	for (unsigned i = 0; i <= CAPOS_CQ_ENTRIES; i++) {
		good = result_ok(ring_wait(&done, now_ns() + SECOND)) && !(seen >> done.user_data & 1) && good;
		seen |= 1ull << done.user_data;
	}
	return good && ring_ready() == 0;
}

/* --- a child is killed by a guessed handle before its first instruction -------------------------------------------------- */

static capos_handle guess;
static struct capos_result spawned;
static bool child_dying; /* spawn answered so */

static void guess_handle(void)
{
	capos_handle h = with_rights(known.timer, CAPOS_RIGHT_READ);

	/* The slot that is released last is used next, with the second generation from now. */
	drop(h);
	guess = CAPOS_HANDLE(CAPOS_HANDLE_SLOT(h), CAPOS_HANDLE_GENERATION(h) + 2);
}

static bool spawn_child(void)
{
	struct capos_spawn spawn;
	capos_handle process = 0;

	child_init(&spawn, "exit 0");
	spawned = spawn_start(&spawn, &process, NULL);
	end_steps();
	return result_ok(spawned) ? process == guess && child_end(process).cause != 99 : IS(spawned, DYING);
}

static void kill_guessed(void)
{
	(void)process_kill(guess, 1);
}

static bool killed_or_not(void)
{
	child_dying |= IS(spawned, DYING);
	return true;
}

static bool killed_before_its_start(void)
{
	return child_dying;
}

/* --- the machinery ------------------------------------------------------------------------------------------------------------ */

static const struct race races[] = {
	{ "a completion between the two counts of cap_enter", fill_completions, one_too_many, end_wait,
	  each_completed_once, NULL },
	{ "a child killed by a guessed handle before it starts", guess_handle, spawn_child, kill_guessed,
	  killed_or_not, killed_before_its_start },
};

/* On the other CPU: in user mode until it strikes, so that it makes no steps. */
static uint64_t strike(void *argument)
{
	(void)argument;
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE))
		if (steps->state == STEPS_HELD) {
			race->blow();
			steps->state = STEPS_GO;
		}
	return 0;
}

/* True when it was held at the point. */
static bool run_at(uint64_t at, bool *good)
{
	race->prepare();
	steps->kinds = STEP_POINT;
	steps->process = startup()->process_id;
	steps->at = at;
	steps->count = steps->held_kind = 0;
	steps->state = STEPS_COUNT;
	*good = race->run();
	end_steps();
	*good = race->judge() && *good;
	return steps->held_kind != 0;
}

static void try_race(void)
{
	struct usage before = usage_now();
	bool good, met = false;
	uint64_t points = 0, least = ~0ull;
	unsigned runs = 0, held = 0, wrong = 0;

	for (unsigned i = 0; i < 4; i++) {
		(void)run_at(0, &good);
		points = steps->count > points ? steps->count : points;
		least = steps->count < least ? steps->count : least;
	}
	points += points / 4; /* one run has some more than another, by interrupts */
	for (uint64_t i = 1; i <= points && !met; i++) {
		uint64_t at = race->met != NULL ? points + 1 - i : i;

		held += run_at(at, &good);
		met = race->met != NULL && race->met();
		runs++;
		if (!good && wrong++ == 0)
			tap_note("%s: wrong at point %lu", race->name, (unsigned long)at);
	}
	tap_ok(wrong == 0 && (race->met != NULL ? met : held > least / 2), "%s: %u runs, %u held", race->name, runs,
	       held);
	tap_returns(before, "and nothing is left");
}

/* --- a CPU is held up between a pinned server's reply and the next call to it --------------------------------------------- */

#define HELD_NS (STEPS_HOLD_NS / 2)

static capos_handle port;
static volatile uint64_t served_ns; /* by the clock, from after the receive to before the reply */

static uint64_t serve(void *argument)
{
	struct request request;
	struct capos_result r = endpoint_recv(port, CAPOS_NEVER, 0, &request);

	(void)argument;
	while (result_ok(r) && request.method != PROOF_STOP) {
		uint64_t begin_ns = now_ns();

		burn(2000);
		served_ns += now_ns() - begin_ns;
		r = endpoint_reply_recv(port, NULL, 0, &request);
	}
	return endpoint_reply(NULL).status;
}

struct charges {
	uint64_t ran_ns, used_ns, irq_ns;
};

static struct charges charges_of(capos_handle context, const struct thread *server)
{
	uint64_t used_ns = context_info(context).used_ns;

	return (struct charges){ runtime_ns(self()->handle) + runtime_ns(server->handle), used_ns, irq_ns_of(1) };
}

struct tries {
	unsigned runs, held, wrong;
	unsigned apart; /* both ran for longer than was charged, by so much that a CPU was held */
};

/* Three calls, one CPU held at the point. */
static void call_at(uint64_t at, capos_handle context, const struct thread *server, struct tries *tries)
{
	struct charges before = charges_of(context, server), after;
	uint64_t used_ns;

	served_ns = 0;
	steps->kinds = STEP_POINT;
	steps->process = startup()->process_id;
	steps->at = at;
	steps->count = steps->held_kind = 0;
	steps->state = STEPS_COUNT;
	for (unsigned i = 0; i < 3; i++)
		must(endpoint_call(port, PROOF_IFACE, PROOF_ECHO, NULL, 0, NULL, 0));
	steps->state = STEPS_OFF;
	after = charges_of(context, server);
	used_ns = after.used_ns - before.used_ns;
	tries->runs++;
	tries->held += steps->held_kind != 0;
	tries->apart += after.ran_ns - before.ran_ns >= used_ns + HELD_NS;
	if (used_ns + after.irq_ns - before.irq_ns < served_ns && tries->wrong++ == 0)
		tap_note("held at point %lu: served_ns=%lu charged_ns=%lu", (unsigned long)at,
			 (unsigned long)served_ns, (unsigned long)used_ns);
}

/*
 * What the server ran between receive and reply is charged to its caller, wherever a CPU is held up. Where that is the server's, after a
 * reply and before it finds the next call, the server is said to have run meanwhile (AC1 in kernel/sched/account.c), as the caller did: the
 * context is charged once for that time. Chance has to find these few instructions, in one pass of three or so.
 */
static void try_calls(void)
{
	capos_handle context = context_made(spec_of(SECOND, SECOND));
	struct tries tries = { 0 };
	struct thread server;

	insist(factory_endpoint(known.factory, PROOF_IFACE, &port));
	insist(thread_start_on(&server, serve, NULL, 1, CAPOS_THREAD_PASSIVE));
	must(scheduling_context_bind_caller_thread(context));
	for (unsigned pass = 0; pass < 16 && tries.apart == 0; pass++) {
		uint64_t points;

		call_at(0, context, &server, &tries);
		points = steps->count + steps->count / 4;
		for (uint64_t at = 1; at <= points; at++)
			call_at(at, context, &server, &tries);
	}
	tap_ok(tries.wrong == 0 && tries.held > tries.runs / 2,
	       "a server is charged to its caller wherever a CPU is held: %u runs, %u held", tries.runs, tries.held);
	tap_ok(tries.apart > 0, "also where its own was, between a reply and the next call: %u", tries.apart);
	must(scheduling_context_unbind(context));
	(void)endpoint_call(port, PROOF_IFACE, PROOF_STOP, NULL, 0, NULL, 0);
	must(thread_finish(&server, CAPOS_NEVER, NULL));
	destroy(port);
	destroy(context);
}

int main(int argc, char **argv)
{
	struct thread striker;

	(void)argc;
	(void)argv;
	tap_plan(0);
	if (!on_simulator()) {
		tap_skip("only the simulator counts steps");
		return tap_done();
	}
	if (startup()->cpu_count < 2) {
		tap_skip("a race takes two CPUs");
		return tap_done();
	}
	steps = (volatile struct steps *)STEPS_ADDR;
	grow_table();
	(void)child_run("exit 0");
	must(thread_set_cpu(known.self, 0));
	insist(factory_notification(known.factory, &bell));
	race = &races[0];
	insist(thread_start_on(&striker, strike, NULL, 1, 0));
	for (unsigned i = 0; i < COUNT_OF(races); i++) {
		race = &races[i];
		try_race();
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	must(thread_finish(&striker, CAPOS_NEVER, NULL));
	try_calls();
	return tap_done();
}
