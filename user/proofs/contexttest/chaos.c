/* SPDX-License-Identifier: MIT */
/*
 * Everything at once: donors and servers that call each other at random, bind and unbind themselves, receive without a reply, reply without
 * a receive, and end; beside them somebody who binds, revokes, destroys and kills. Nothing is expected of a single call; that nothing is lost
 * is seen at the end, and by the simulator's checkers on the way.
 */
#include "contexttest.h"

#include <user/rng.h>

#define DONORS 3u
#define ACTORS 8u /* the others are servers */
#define CONTEXTS 4u

struct actor {
	struct thread thread; /* handle 0: it could not be started */
	unsigned index;
	uint64_t seed;
};

static struct actor actors[ACTORS];
static volatile capos_handle ports[ACTORS], contexts[CONTEXTS];
static volatile uint64_t calls, failed;

/* --- what they do ------------------------------------------------------------------------------------------------------------ */

/* A server of a later place: so nobody waits for itself. */
static void call_somebody(struct rng *rng, unsigned from)
{
	unsigned first = from < DONORS ? DONORS : from + 1;
	struct capos_result r;

	if (first >= ACTORS)
		return;
	r = endpoint_call(ports[first + rng_below(rng, ACTORS - first)], PROOF_IFACE, PROOF_ECHO, NULL, 0, NULL, 0);
	calls++;
	failed += !result_ok(r);
}

static void act(struct rng *rng, unsigned index)
{
	capos_handle context = contexts[rng_below(rng, CONTEXTS)];
	struct capos_context_info info;
	struct capos_context_notifications cell;
	uint64_t sequence;

	switch (rng_below(rng, 12)) {
	case 0:
		burn(rng_below(rng, 30000));
		break;
	case 1:
		burn(rng_below(rng, 5000));
		break;
	case 2:
		(void)sleep_ns(rng_below(rng, 100000));
		break;
	case 3:
		yield();
		break;
	case 4:
		(void)scheduling_context_info(context, &info);
		break;
	case 5:
		(void)scheduling_context_bind_caller_thread(context);
		break;
	case 6:
		if (rng_below(rng, 4) == 0)
			(void)scheduling_context_unbind(context);
		break;
	case 7:
		(void)scheduling_context_wait_notification(context, now_ns() + rng_below(rng, 200000),
							   rng_below(rng, 3), &sequence);
		break;
	case 8:
		(void)scheduling_context_drain_notifications(context, &cell);
		break;
	default:
		call_somebody(rng, index);
		break;
	}
}

static uint64_t play_donor(void *argument)
{
	const struct actor *actor = argument;
	struct rng rng;

	rng_seed(&rng, actor->seed);
	for (;;)
		act(&rng, actor->index);
	return 0;
}

static uint64_t play_server(void *argument)
{
	const struct actor *actor = argument;
	struct request request;
	struct capos_result r;
	struct rng rng;

	rng_seed(&rng, actor->seed);
	r = endpoint_recv(ports[actor->index], CAPOS_NEVER, 0, &request);
	for (;;) {
		uint64_t soon_ns = now_ns() + rng_below(&rng, 300000);
		capos_handle port = ports[actor->index];
		uint64_t way = rng_below(&rng, 32);

		for (uint64_t i = rng_below(&rng, 3); i > 0; i--)
			act(&rng, actor->index);
		if (way == 0)
			return 0;
		if (way < 5) {
			(void)endpoint_reply(NULL);
			act(&rng, actor->index);
		} else if (way < 9) {
			(void)endpoint_exception(3);
		}
		if (way >= 13 && result_ok(r))
			r = endpoint_reply_recv(port, NULL, 0, &request);
		else /* from 9 on it forgets its call */
			r = endpoint_recv(port, soon_ns, 0, &request);
	}
}

/* --- what is done to them ------------------------------------------------------------------------------------------------------ */

static void start(struct rng *rng, struct actor *actor)
{
	bool server = actor->index >= DONORS;
	uint32_t cpu = rng_below(rng, 3) == 0 ? (uint32_t)rng_below(rng, startup()->cpu_count) : CAPOS_CPU_ANY;

	actor->seed = rng_next(rng);
	if (!result_ok(thread_start_on(&actor->thread, server ? play_server : play_donor, actor, cpu,
				       server && rng_below(rng, 5) != 0 ? CAPOS_THREAD_PASSIVE : 0)))
		actor->thread.handle = 0;
}

static void end(struct actor *actor)
{
	if (actor->thread.handle == 0)
		return;
	(void)thread_terminate(actor->thread.handle);
	must(thread_finish(&actor->thread, CAPOS_NEVER, NULL));
}

static void make_context(struct rng *rng, unsigned index)
{
	static const uint64_t periods_ns[] = { 20000, 100000, 1 * MS, 20 * MS };
	uint32_t cpus = startup()->cpu_count;
	struct capos_cpu_set set = set_of((uint32_t)rng_below(rng, cpus), (uint32_t)rng_below(rng, cpus));
	uint64_t period_ns = periods_ns[rng_below(rng, COUNT_OF(periods_ns))];
	struct capos_context_spec spec = spec_of(period_ns / (1 + rng_below(rng, 10)), period_ns);
	capos_handle context = 0;

	if (spec.budget_ns < CAPOS_CONTEXT_BUDGET_MIN_NS)
		spec.budget_ns = CAPOS_CONTEXT_BUDGET_MIN_NS;
	spec.deadline_ns = 1 + rng_below(rng, period_ns);
	spec.overrun = (uint32_t)rng_below(rng, CAPOS_OVERRUN_COUNT);
	spec.replenishment = (uint32_t)rng_below(rng, CAPOS_REPLENISH_COUNT);
	insist(scheduling_context_create_within(known.context, &spec, rng_below(rng, 2) == 0 ? &set : NULL,
						&context));
	contexts[index] = context;
}

static void replace_context(struct rng *rng, unsigned index, bool revoke)
{
	capos_handle old = contexts[index];

	if (revoke)
		must(scheduling_context_revoke(old));
	make_context(rng, index);
	destroy(old);
}

static void replace_port(unsigned index)
{
	capos_handle old = ports[index], port = 0;

	insist(factory_endpoint(known.factory, PROOF_IFACE, &port));
	ports[index] = port;
	destroy(old);
}

/* Those who have ended begin anew. */
static void look_after(struct rng *rng)
{
	for (unsigned i = 0; i < ACTORS; i++) {
		if (actors[i].thread.handle != 0 && !result_ok(thread_join(actors[i].thread.handle, 0, NULL, NULL)))
			continue;
		end(&actors[i]);
		start(rng, &actors[i]);
	}
}

static void strike(struct rng *rng)
{
	struct actor *actor = &actors[rng_below(rng, ACTORS)];
	unsigned index = (unsigned)rng_below(rng, CONTEXTS);
	capos_handle thread = actor->thread.handle;
	uint64_t kind = rng_below(rng, 40);

	if (kind < 12)
		(void)scheduling_context_bind_thread(contexts[index], thread);
	else if (kind < 15)
		(void)scheduling_context_unbind(contexts[index]);
	else if (kind < 22)
		(void)scheduling_context_resume(contexts[index]);
	else if (kind < 26)
		replace_context(rng, index, kind < 24);
	else if (kind < 29)
		(void)thread_set_cpu(thread, rng_below(rng, 2) == 0 ? (uint32_t)rng_below(rng, startup()->cpu_count)
								    : CAPOS_CPU_ANY);
	else if (kind < 31)
		(void)scheduling_policy_set_weight(known.policy, actor->thread.id, 1 + rng_below(rng, 4000));
	else if (kind < 34)
		end(actor);
	else if (kind == 34 && actor->index >= DONORS)
		replace_port(actor->index);
	else
		look_after(rng);
}

void test_chaos(void)
{
	unsigned rounds = on_simulator() ? 1500 : 500;
	bool all_free = true;
	struct rng rng;

	rng_seed(&rng, now_ns());
	calls = failed = 0;
	must(scheduling_policy_set_weight(known.policy, self()->id, CAPOS_WEIGHT_MAX));
	for (unsigned i = 0; i < CONTEXTS; i++)
		make_context(&rng, i);
	for (unsigned i = 0; i < ACTORS; i++) {
		capos_handle port = 0;

		insist(factory_endpoint(known.factory, PROOF_IFACE, &port));
		ports[i] = port;
		actors[i].index = i;
	}
	look_after(&rng);
	for (unsigned i = 0; i < rounds; i++) {
		strike(&rng);
		must(sleep_ns(rng_below(&rng, 60000)));
	}
	for (unsigned i = 0; i < ACTORS; i++)
		end(&actors[i]);
	for (unsigned i = 0; i < CONTEXTS; i++) {
		struct capos_context_info info = context_info(contexts[i]);

		all_free = all_free && info.state == CAPOS_CONTEXT_UNBOUND && info.thread_id == 0 &&
			   info.holder_id == 0 && info.donated == 0;
		destroy(contexts[i]);
	}
	for (unsigned i = 0; i < ACTORS; i++)
		destroy(ports[i]);
	must(scheduling_policy_set_weight(known.policy, self()->id, CAPOS_WEIGHT_DEFAULT));
	tap_ok(all_free && calls > failed && failed > 0, "everything at once: all contexts are free at the end");
	tap_note("chaos: calls=%lu of these failed=%lu", (unsigned long)calls, (unsigned long)failed);
}
