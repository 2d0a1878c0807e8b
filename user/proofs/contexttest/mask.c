/* SPDX-License-Identifier: MIT */
/*
 * Masks: a bound thread runs where its set meets its context's mask. Servers that are passive, and pinned: a call goes to their CPU, with the
 * budget, and comes back; where no CPU is left it is refused. What a call costs that way stands beside one to an active server there.
 */
#include "contexttest.h"

#define CALLS 50u
#define ROUNDS 31u
#define CALLS_PER_ROUND 20u
#define NOWHERE (~0u)

static uint32_t last; /* the other CPU */

static capos_handle context_on(struct capos_context_spec spec, uint32_t a, uint32_t b)
{
	struct capos_cpu_set set = set_of(a, b);
	capos_handle out = 0;

	insist(scheduling_context_create_within(known.context, &spec, &set, &out));
	return out;
}

static uint32_t here(void)
{
	return runs_on(self()->handle);
}

/* --- bound threads --------------------------------------------------------------------------------------------------------- */

static uint32_t stop;

/* Where the spinner has to be, with a number of its own; 0: that is about to change. How often it found itself elsewhere, or looked. */
static uint64_t place, strays, looks;

static uint64_t spins(void *argument)
{
	(void)argument;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		uint64_t before = __atomic_load_n(&place, __ATOMIC_SEQ_CST);
		uint32_t at = here();

		if (before != 0 && at != (uint32_t)before && __atomic_load_n(&place, __ATOMIC_SEQ_CST) == before)
			__atomic_fetch_add(&strays, 1, __ATOMIC_SEQ_CST);
		__atomic_fetch_add(&looks, 1, __ATOMIC_SEQ_CST);
	}
	return 0;
}

/* It is at its place for a few looks. */
static void stays_on(uint32_t cpu)
{
	uint64_t from = __atomic_load_n(&looks, __ATOMIC_SEQ_CST);

	__atomic_store_n(&place, (from + 1) << 32 | cpu, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&looks, __ATOMIC_SEQ_CST) < from + 3)
		yield();
	__atomic_store_n(&place, 0, __ATOMIC_SEQ_CST);
}

/* Set, context and its end change while it runs; after each call it is where both allow. */
static void confined(void)
{
	struct capos_cpu_set both = set_of(0, last), first = set_of(0, 0);
	capos_handle context = context_on(spec_of(50 * MS, 50 * MS), last, last);
	unsigned refused = 0;
	struct thread spinner;

	stop = 0;
	strays = 0;
	place = 0;
	insist(thread_start(&spinner, spins, NULL));
	for (unsigned i = 0; i < CALLS; i++) {
		must(thread_set_affinity(spinner.handle, i % 3 == 0 ? &first : &both));
		refused += i % 3 == 0 && scheduling_context_bind_thread(context, spinner.handle).iresult ==
						 CAPOS_CONTEXT_CPU_MASK_MISMATCH;
		must(thread_set_affinity(spinner.handle, &both));
		must(scheduling_context_bind_thread(context, spinner.handle));
		stays_on(last);
		refused += thread_set_affinity(spinner.handle, &first).iresult == CAPOS_THREAD_CPU_MASK_MISMATCH;
		stays_on(last);
		if (i + 1 < CALLS) {
			must(scheduling_context_unbind(context));
		} else {
			must(scheduling_context_revoke(context));
			must(thread_set_affinity(spinner.handle, &first));
			stays_on(0);
		}
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	must(thread_finish(&spinner, CAPOS_NEVER, NULL));
	tap_ok(strays == 0, "who is bound runs where its set meets the mask, whatever changes");
	tap_ok(refused == CALLS + (CALLS + 2) / 3, "a set that does not meet it is refused");
	destroy(context);
}

/* At two looks: at the first it may come to run on the right one between the reading of its CPU and that of its state. */
static bool runs_off(uint64_t thread_id, uint32_t cpu)
{
	struct capos_thread_info threads[CAPOS_MESSAGE_BYTES / sizeof(struct capos_thread_info)];
	uint64_t count = 0, next = 0;
	bool off = true;

	for (unsigned look = 0; look < 2 && off; look++) {
		must(system_info_threads(known.system_info, thread_id, threads, &count, &next));
		off = count > 0 && threads[0].id == thread_id && threads[0].state == CAPOS_THREAD_RUNNING &&
		      threads[0].last_cpu != cpu;
	}
	return off;
}

/*
 * A thread of another process, that never gives way, is off the CPU that it may not be on when the call returns. Few may be seen off: a CPU
 * that took it before may be held up in the kernel, on the way to send it on. (Were it not waited for, one in three to eight would be.)
 */
static void of_another_process(void)
{
	struct capos_context_spec spec = spec_of(50 * MS, 50 * MS);
	capos_handle context[2] = { context_on(spec, 0, 0), context_on(spec, last, last) };
	capos_handle process = process_on(context[0], "spin");
	uint64_t thread_id = context_info(context[0]).thread_id;
	unsigned off = 0;

	must(scheduling_context_unbind(context[0]));
	for (unsigned i = 0; i < CALLS; i++) {
		uint32_t cpu = i % 2 == 0 ? last : 0;

		must(process_bind_context(process, context[cpu != 0], thread_id));
		off += runs_off(thread_id, cpu);
		must(scheduling_context_unbind(context[cpu != 0]));
	}
	tap_ok(off <= CALLS / 25, "who is bound through its process has left when that returns");
	must(process_kill(process, 1));
	(void)child_end(process);
	destroy(context[0]);
	destroy(context[1]);
}

/* --- pinned servers -------------------------------------------------------------------------------------------------------- */

struct server {
	struct thread thread;
	capos_handle port;
	struct server *next; /* it calls this one */
	uint32_t allowed;    /* where it may run */
	uint64_t spin_ns;    /* it works so long per call */
	uint64_t served, off;
	/* 0, or its caller's: a call with which that was not lent, for want of memory (LE3), is not counted. */
	capos_handle context;
	/* Calls, and by the clock, from after the receive to before the reply, of all of them. */
	uint64_t counted, span_ns;
};

static uint64_t serves(void *argument)
{
	struct server *server = argument;
	struct request request;
	struct capos_result r = endpoint_recv(server->port, CAPOS_NEVER, 0, &request);

	while (result_ok(r)) {
		bool counts = server->context == 0 || context_info(server->context).donated != 0;
		uint64_t begin_ns = now_ns();

		server->off += server->allowed != NOWHERE && here() != server->allowed;
		while (now_ns() < begin_ns + server->spin_ns)
			;
		if (server->next != NULL)
			(void)endpoint_call(server->next->port, PROOF_IFACE, PROOF_ECHO, NULL, 0, NULL, 0);
		server->off += server->allowed != NOWHERE && here() != server->allowed;
		server->served++;
		server->counted += counts;
		server->span_ns += counts ? now_ns() - begin_ns : 0;
		if (request.method == PROOF_STOP)
			return endpoint_reply(NULL).status;
		r = endpoint_reply_recv(server->port, NULL, 0, &request);
		if (IS(r, NOT_SERVING)) /* the caller is gone */
			r = endpoint_recv(server->port, CAPOS_NEVER, 0, &request);
	}
	return r.status;
}

static void server_start(struct server *server, uint32_t cpu, uint32_t flags)
{
	insist(factory_endpoint(known.factory, PROOF_IFACE, &server->port));
	server->allowed = cpu == CAPOS_CPU_ANY ? NOWHERE : cpu;
	insist(thread_start_on(&server->thread, serves, server, cpu, flags));
	(void)becomes_true(waits_on(server->thread.handle) == CAPOS_WAIT_RECV);
}

static void server_end(struct server *server)
{
	(void)thread_terminate(server->thread.handle);
	must(thread_finish(&server->thread, CAPOS_NEVER, NULL));
	destroy(server->port);
}

static struct capos_result calls(const struct server *server)
{
	return endpoint_call(server->port, PROOF_IFACE, PROOF_ECHO, NULL, 0, NULL, 0);
}

/* What a CPU and two threads there did. */
struct account {
	uint64_t time_ns, irq_ns; /* of the other CPU: nobody is charged for its interrupts */
	uint64_t ran_ns;
	uint64_t preemptions, waited_ns; /* of the server */
};

static struct account account_of(const struct server *server)
{
	struct capos_thread_info caller = { 0 }, info = { 0 };
	struct account account = { .time_ns = now_ns(), .irq_ns = irq_ns_of(last) };

	must(thread_info(self()->handle, &caller));
	must(thread_info(server->thread.handle, &info));
	account.ran_ns = caller.runtime_ns + info.runtime_ns;
	account.preemptions = info.preemptions;
	account.waited_ns = info.runnable_ns;
	return account;
}

/*
 * The context is charged for all that the server ran between receive and reply, and for no more than both ran, or than time passed. Not for
 * just what they ran: a CPU that was held up after the server's last reply, and then finds its next call, gives that time to the
 * server (AC1 in kernel/sched/account.c); meanwhile the caller ran on the context, which is charged for no instant twice.
 */
static void charged_to_caller(struct server *far)
{
	capos_handle context = context_on(spec_of(SECOND, SECOND), 0, last);
	struct account before, after;
	uint64_t used_ns, ran_ns, others_ns;

	far->context = context;
	far->counted = far->span_ns = 0;
	before = account_of(far);
	must(scheduling_context_bind_caller_thread(context));
	for (unsigned i = 0; i < CALLS; i++) {
		must(calls(far));
		far->off += here() != 0;
	}
	used_ns = context_info(context).used_ns;
	must(scheduling_context_unbind(context));
	after = account_of(far);
	far->context = 0;
	ran_ns = after.ran_ns - before.ran_ns;
	others_ns = after.irq_ns - before.irq_ns;
	if (after.preemptions != before.preemptions)
		others_ns += after.waited_ns - before.waited_ns;
	tap_ok(far->off == 0, "and with one");
	tap_note("server_ns=%lu charged_ns=%lu ran_ns=%lu", (unsigned long)far->span_ns, (unsigned long)used_ns,
		 (unsigned long)ran_ns);
	tap_ok(far->counted >= CALLS / 2 && far->span_ns >= far->counted * far->spin_ns &&
		       used_ns + others_ns >= far->span_ns,
	       "what it runs there is charged to the caller's context");
	tap_ok(used_ns <= ran_ns && used_ns <= after.time_ns - before.time_ns, "and nothing else is");
	destroy(context);
}

static uint64_t there_and_back(void *argument)
{
	struct server far = { .spin_ns = 100000 }, back = { .spin_ns = 0 }, any = { .next = &far };
	capos_handle context = context_on(spec_of(50 * MS, 50 * MS), 0, last);
	unsigned off = 0;

	(void)argument;
	server_start(&far, last, CAPOS_THREAD_PASSIVE);
	for (unsigned i = 0; i < CALLS; i++) {
		must(calls(&far));
		off += here() != 0;
	}
	tap_ok(off == 0 && far.off == 0 && far.served == CALLS,
	       "a pinned server runs on its CPU, its caller on its own, without a context");
	charged_to_caller(&far);
	must(scheduling_context_bind_caller_thread(context));
	server_start(&back, 0, CAPOS_THREAD_PASSIVE);
	far.next = &back;
	far.spin_ns = 0;
	server_start(&any, CAPOS_CPU_ANY, CAPOS_THREAD_PASSIVE);
	for (unsigned i = 0; i < CALLS; i++) {
		must(calls(&any));
		off += here() != 0;
	}
	tap_ok(off == 0 && far.off == 0 && back.off == 0 && back.served == CALLS,
	       "along a chain each runs where it may");
	must(scheduling_context_unbind(context));
	server_end(&any);
	server_end(&far);
	server_end(&back);
	destroy(context);
	return 0;
}

/* The budget ends on the other CPU, and what it waits for comes there. */
static uint64_t budget_there(void *argument)
{
	capos_handle context = context_on(spec_of(5 * MS, 50 * MS), 0, last);
	struct server far = { .context = context, .spin_ns = 120 * MS };
	uint64_t begin, span, used;

	(void)argument;
	server_start(&far, last, CAPOS_THREAD_PASSIVE);
	must(scheduling_context_bind_caller_thread(context));
	begin = now_ns();
	while (far.counted == 0)
		must(calls(&far));
	span = now_ns() - begin;
	used = context_info(context).used_ns;
	tap_ok(context_info(context).throttles > 0 && used <= (span / (50 * MS) + 1) * 5 * MS + 5 * MS,
	       "the budget bounds the server on the other CPU");
	tap_ok(here() == 0 && far.off == 0, "and it comes back to the caller's");
	must(scheduling_context_unbind(context));
	server_end(&far);
	destroy(context);
	return 0;
}

/* --- no CPU that both allow -------------------------------------------------------------------------------------------------- */

static uint64_t calls_off_mask(void *argument)
{
	struct server far = { .spin_ns = 0 };
	capos_handle context = context_on(spec_of(50 * MS, 50 * MS), 0, 0);

	(void)argument;
	server_start(&far, last, CAPOS_THREAD_PASSIVE);
	must(scheduling_context_bind_caller_thread(context));
	tap_ok(IS(calls(&far), CPU_MASK_MISMATCH), "where no CPU is left the call is refused");
	tap_ok(here() == 0 && far.served == 0 && waits_on(far.thread.handle) == CAPOS_WAIT_RECV &&
		       context_info(context).state == CAPOS_CONTEXT_BOUND && context_info(context).donated == 0,
	       "nothing has changed");
	must(thread_set_cpu(far.thread.handle, CAPOS_CPU_ANY));
	far.allowed = 0;
	must(calls(&far));
	tap_ok(far.served == 1 && far.off == 0, "a server that may run anywhere runs where its caller is");
	must(scheduling_context_unbind(context));
	must(thread_set_cpu(far.thread.handle, last));
	far.allowed = last;
	must(calls(&far));
	tap_ok(far.served == 2 && far.off == 0, "without a context the caller's set does not bind it");
	server_end(&far);
	destroy(context);
	return 0;
}

/* --- ends ------------------------------------------------------------------------------------------------------------------- */

static uint64_t calls_once(void *argument)
{
	return calls(argument).status;
}

static void ends(void)
{
	struct server far = { .spin_ns = 20 * MS };
	capos_handle context;
	struct thread caller;
	uint64_t code = 0;

	/* The caller dies: the server goes on without the context's budget. */
	server_start(&far, last, CAPOS_THREAD_PASSIVE);
	for (unsigned end = 0; end < 3; end++) {
		if (end == 2)
			far.spin_ns = 10 * SECOND; /* it is there still when this thread was held up */
		context = context_on(spec_of(50 * MS, 50 * MS), 0, last);
		insist(thread_start_on(&caller, calls_once, &far, 0, 0));
		must(scheduling_context_bind_thread(context, caller.handle));
		(void)becomes_true(waits_on(caller.handle) == CAPOS_WAIT_REPLY);
		if (end == 0)
			must(thread_terminate(caller.handle));
		else if (end == 1)
			must(scheduling_context_revoke(context));
		else
			must(thread_terminate(far.thread.handle));
		must(thread_finish(&caller, CAPOS_NEVER, &code));
		if (end == 0)
			tap_ok(context_info(context).state == CAPOS_CONTEXT_UNBOUND && becomes_true(far.served == 1),
			       "a caller that dies leaves its server to go on there");
		else if (end == 1)
			tap_ok(code == CAPOS_STATUS_OK && far.served == 2,
			       "a context is revoked while it is used there");
		else
			tap_ok(code == CAPOS_STATUS_PEER_GONE, "a server that dies there: the caller goes on");
		destroy(context);
	}
	tap_ok(far.off == 0, "it was never off its CPU");
	must(thread_finish(&far.thread, CAPOS_NEVER, NULL));
	destroy(far.port);
}

static struct server busy;
static uint64_t wrong;

static uint64_t calls_on(void *argument)
{
	(void)argument;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		struct capos_result r = calls(&busy);

		wrong += !result_ok(r) && !IS(r, CPU_MASK_MISMATCH);
	}
	return 0;
}

/* Everything changes while calls are on their way. */
static void races(void)
{
	struct capos_context_spec spec = spec_of(50 * MS, 50 * MS);
	struct thread caller;
	struct rng rng;

	stop = 0;
	rng_seed(&rng, 5);
	busy = (struct server){ .spin_ns = 0 };
	server_start(&busy, last, CAPOS_THREAD_PASSIVE);
	busy.allowed = NOWHERE;
	insist(thread_start(&caller, calls_on, NULL));
	for (unsigned i = 0; i < 4 * CALLS; i++) {
		uint32_t a = rng_below(&rng, 2) ? 0 : last, b = rng_below(&rng, 2) ? 0 : last;
		struct capos_cpu_set set = set_of(a, b);
		capos_handle context = context_on(spec, b, b);

		(void)thread_set_affinity(busy.thread.handle, &set);
		(void)scheduling_context_bind_thread(context, caller.handle);
		if (i % 4 == 0)
			(void)sleep_ns(100000);
		set = set_of(b, b);
		(void)thread_set_affinity(caller.handle, &set);
		if (i % 2)
			must(scheduling_context_revoke(context));
		set = set_of(0, last);
		(void)thread_set_affinity(caller.handle, &set);
		destroy(context);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	must(thread_finish(&caller, CAPOS_NEVER, NULL));
	tap_ok(wrong == 0, "calls go through, or are refused for the mask, while sets and contexts change");
	server_end(&busy);
}

/* --- what it costs ------------------------------------------------------------------------------------------------------------ */

static uint64_t round_ns(const struct server *server)
{
	uint64_t begin = now_ns();

	for (unsigned i = 0; i < CALLS_PER_ROUND; i++)
		must(calls(server));
	return (now_ns() - begin) / CALLS_PER_ROUND;
}

static uint64_t median(uint64_t *value, unsigned count)
{
	for (unsigned i = 1; i < count; i++)
		for (unsigned at = i; at > 0 && value[at - 1] > value[at]; at--) {
			uint64_t less = value[at];

			value[at] = value[at - 1];
			value[at - 1] = less;
		}
	return value[count / 2];
}

static uint64_t ratio(void *argument)
{
	struct server passive = { .spin_ns = 0 }, active = { .spin_ns = 0 };
	uint64_t passive_ns[ROUNDS], active_ns[ROUNDS];
	capos_handle context = context_on(spec_of(50 * MS, 50 * MS), 0, last);

	(void)argument;
	server_start(&passive, last, CAPOS_THREAD_PASSIVE);
	server_start(&active, last, 0);
	passive.allowed = active.allowed = NOWHERE; /* without looks */
	must(scheduling_context_bind_caller_thread(context));
	(void)round_ns(&passive);
	(void)round_ns(&active);
	for (unsigned i = 0; i < ROUNDS; i++) {
		passive_ns[i] = round_ns(&passive);
		active_ns[i] = round_ns(&active);
	}
	must(scheduling_context_unbind(context));
	tap_note("cross_cpu passive_ns=%lu active_ns=%lu ratio_percent=%lu",
		 (unsigned long)median(passive_ns, ROUNDS), (unsigned long)median(active_ns, ROUNDS),
		 (unsigned long)(median(passive_ns, ROUNDS) * 100 / median(active_ns, ROUNDS)));
	server_end(&passive);
	server_end(&active);
	destroy(context);
	return 0;
}

void test_mask(void)
{
	last = startup()->cpu_count - 1;
	if (last == 0) {
		tap_skip("masks: there is one CPU");
		return;
	}
	confined();
	of_another_process();
	on_first(there_and_back, NULL);
	on_first(budget_there, NULL);
	on_first(calls_off_mask, NULL);
	ends();
	races();
	on_first(ratio, NULL);
}
