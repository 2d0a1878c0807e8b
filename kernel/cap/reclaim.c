/* SPDX-License-Identifier: MIT */
/*
 * Reclaim: memory of dead objects is reused only after every CPU has left the kernel entry in which it could have found
 * them. Model: a global grace period E (kernel_state.cap.epoch) rises by one; a CPU in the kernel shows 2E + 1 as it was
 * when it entered, outside (user mode, idle) it shows 0; work deferred in period T runs when E >= T + 2.
 *
 *   E may go from G to G + 1 when every CPU, at some moment after E became G, showed 0 or 2G + 1.
 *
 * Why that is enough. Let N be unlinked, then its deferral read E = T, and let CPU C hold a pointer to N.
 *  (1) C found N before the unlink was visible, so C's entry is before that too, and C shows 2t + 1 with t <= T.
 *  (2) E becomes T + 2 only after a scan that began when E was T + 1, hence after the deferral, hence after C's entry.
 *      That scan reads C's word and finds 2t + 1, neither 0 nor 2(T + 1) + 1, until C leaves.
 *  (3) A CPU that reads E, stalls, and shows an old period makes others wait too long, never too short; and if a scan
 *      found it at 0 before, its entry is after the deferral and so it cannot find N.
 * Both use program order across a store and a later load, which TSO does not give:
 *  - entry: the store of the CPU's word before the loads that look objects up: atomic_xchg (a locked instruction);
 *  - deferral: the stores that unlink before the load of E: atomic_fence.
 * Leaving needs nothing: on TSO no load passes a later store, so the release store of 0 comes after all uses.
 * Cost: a load and a locked instruction at entry, a store at exit. (A plain store would do if the scanner sent an IPI to
 * CPUs in user mode, but those must not be disturbed.)
 *
 * A deferral list is its CPU's own; periods in it do not fall, so that the due ones are in front. Scans are cut into pieces.
 */
#include "cap_priv.h"

#include <kernel/debug.h>
#include <kernel/state.h>

#define RECLAIM_NODES_PER_POLL 4u
#define RECLAIM_CPUS_PER_POLL 64u

void reclaim_kernel_enter(struct cpu *cpu)
{
	reclaim_kernel_enter_inline(cpu);
}

void reclaim_kernel_exit(struct cpu *cpu)
{
	reclaim_kernel_exit_inline(cpu);
}

void reclaim_defer(struct reclaim_node *node, void (*fn)(struct reclaim_node *))
{
	struct cpu *cpu = mach_this_cpu();

	KASSERT(node->fn == NULL);
	atomic_fence();
	node->epoch = atomic_load_relaxed(&kernel_state.cap.epoch);
	node->fn = fn;
	node->next = NULL;
	if (cpu->deferred_first == NULL)
		cpu->deferred_first = node;
	else
		cpu->deferred_last->next = node;
	cpu->deferred_last = node;
}

/* Look at some more CPUs; when all have been seen, the period ends. */
static void reclaim_scan(struct cpu *cpu)
{
	u64 period = atomic_load_acquire(&kernel_state.cap.epoch); /* pairs with the exchange below */
	u32 count = kernel_state.cpu_count, looked = 0;

	if (cpu->reclaim_scan_epoch != period) {
		cpu->reclaim_scan_epoch = period;
		cpu->reclaim_scan_next = 0;
	}
	for (; cpu->reclaim_scan_next < count && looked < RECLAIM_CPUS_PER_POLL; cpu->reclaim_scan_next++, looked++) {
		struct cpu *other = kernel_state.cpus[cpu->reclaim_scan_next];
		u64 shown;

		if (other == NULL || other == cpu)
			continue;
		shown = atomic_load_acquire(&other->epoch); /* pairs with the release in reclaim_kernel_exit */
		if (shown != 0 && shown != period * 2 + 1)
			return;
	}
	if (cpu->reclaim_scan_next < count)
		return;
	/* This CPU last: it is in the kernel. */
	{
		u64 shown = atomic_load_relaxed(&cpu->epoch);

		if (shown == 0 || shown == period * 2 + 1)
			(void)atomic_cas(&kernel_state.cap.epoch, period, period + 1);
	}
}

bool reclaim_poll(struct cpu *cpu)
{
	u64 period;

	if (likely(cpu->deferred_first == NULL))
		return false;
	period = atomic_load_acquire(&kernel_state.cap.epoch); /* pairs with the exchange in reclaim_scan */
	for (unsigned i = 0; i < RECLAIM_NODES_PER_POLL; i++) {
		struct reclaim_node *node = cpu->deferred_first;
		void (*fn)(struct reclaim_node *);

		if (node == NULL)
			return false;
		if (node->epoch + 2 > period)
			break;
		cpu->deferred_first = node->next;
		fn = node->fn;
		node->fn = NULL; /* it may be deferred again */
		fn(node);
	}
	if (cpu->deferred_first != NULL && cpu->deferred_first->epoch + 2 > period)
		reclaim_scan(cpu);
	return cpu->deferred_first != NULL;
}
