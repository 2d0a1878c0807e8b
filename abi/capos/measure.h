/* SPDX-License-Identifier: MIT */
/*
 * The public contract of capOS, part 7: what the measure build counts, per CPU and per phase (trace.phase, trace.counters). No other
 * build has any of it. Values lie in this order: the counters, then MEASURE_LOCK_FIELDS for each lock site.
 */
#ifndef CAPOS_MEASURE_H
#define CAPOS_MEASURE_H

/* Phases are a program's: it says where one begins. 0: from boot on, until somebody does. */
#define CAPOS_MEASURE_PHASES 8u

/* X(line, field): "measure: LINE ... FIELD=n". Sums over CPUs mean something, of fields in _max the maximum. */
#define CAPOS_MEASURE_COUNTERS(X)                                                                                    \
	X(timer, interrupts)                                                                                         \
	X(timer, user_scheduler)    /* of these, in user mode */                                                     \
	X(timer, kernel_only)	    /* in a window of the kernel, or idle */                                         \
	X(timer, bsp_tick_advances) /* ticks of CPU 0 */                                                             \
	X(reschedule_ipi, scans)    /* looks for an idle CPU beyond a thread's previous one */                       \
	X(reschedule_ipi, eligible_idle)                                                                             \
	X(reschedule_ipi, target)	  /* an idle CPU was chosen, and is its chooser's */                         \
	X(reschedule_ipi, missing_target) /* a look that found none */                                               \
	X(reschedule_ipi, pending_skip)	  /* an idle CPU was not chosen: an interrupt was on its way to it */        \
	X(reschedule_ipi, not_ready_skip) /* a CPU was not online yet */                                             \
	X(reschedule_ipi, sent)                                                                                      \
	X(reschedule_ipi, merged)	    /* not sent: the one before was not handled yet */                       \
	X(thread_placement, caller_current) /* new threads: here, nothing else was there to run */                   \
	X(thread_placement, avoid)	    /* another CPU than the creator's */                                     \
	X(thread_placement, strict_load)    /* of these, none idled: one with strictly less load */                  \
	X(thread_placement, fallback)	    /* the creator's: none idled, none had less */                           \
	X(thread_placement, selected)	    /* a CPU began to run somebody */                                        \
	X(thread_placement, first_selected) /* of these, for the first time */                                       \
	X(thread_placement, migrations)                                                                              \
	X(scheduler_inbox, pushes)                                                                                   \
	X(scheduler_inbox, attempts) /* pushes, and exchanges lost to another one */                                 \
	X(scheduler_inbox, drains)   /* that found somebody */                                                       \
	X(scheduler_inbox, drained)                                                                                  \
	X(scheduler_inbox, wait_ns) /* from push to drain */                                                         \
	X(scheduler_inbox, wait_max_ns)                                                                              \
	X(tlb, cr3_loads)                                                                                            \
	X(tlb, page_flushes)                                                                                         \
	X(tlb, space_flushes) /* each is a load of CR3 too */                                                        \
	X(tlb, shootdowns)    /* done for another CPU */                                                             \
	X(serial, bytes)                                                                                             \
	X(user_pc, samples)

/* X(line, site). The first line: queues of CPUs; the others are locks by what they guard. */
#define CAPOS_MEASURE_LOCKS(X)                                                                                       \
	X(scheduler_lock_site, generic)		     /* joining out of turn, checks */                               \
	X(scheduler_lock_site, timer_pre_ring)	     /* the tick's look at its queue */                              \
	X(scheduler_lock_site, timer_select)	     /* does current give way */                                     \
	X(scheduler_lock_site, blocking)	     /* who blocked chooses the next */                              \
	X(scheduler_lock_site, start_idle_selection) /* nobody was current */                                        \
	X(scheduler_lock_site, yield)                                                                                \
	X(scheduler_lock_site, wake_unblock)                                                                         \
	X(scheduler_lock_site, inbox_drain) /* an interrupt finds somebody in the inbox */                           \
	X(scheduler_lock_site, steal)                                                                                \
	X(scheduler_lock_site, balance)                                                                              \
	X(scheduler_lock_site, metadata) /* weight, class, request, affinity */                                      \
	X(shared_kernel_lock, frame_alloc)                                                                           \
	X(shared_kernel_lock, frame_free)                                                                            \
	X(shared_kernel_lock, cap_table) /* a process: capabilities, threads, objects */                             \
	X(shared_kernel_lock, grant)	 /* of one object */                                                         \
	X(shared_kernel_lock, ring_scratch)                                                                          \
	X(shared_kernel_lock, endpoint_inner) /* an object: endpoints and all others */                              \
	X(shared_kernel_lock, park)                                                                                  \
	X(shared_kernel_lock, address_space)                                                                         \
	X(shared_kernel_lock, heap) /* pools of kernel objects */                                                    \
	X(shared_kernel_lock, registry)                                                                              \
	X(shared_kernel_lock, timer)                                                                                 \
	X(shared_kernel_lock, reclaim)                                                                               \
	X(shared_kernel_lock, log)                                                                                   \
	X(shared_kernel_lock, console)

/* contended: somebody else had it; taken then after wait_ns, or, by one who does not wait, not at all. */
#define CAPOS_MEASURE_LOCK_FIELDS(X) X(acquisitions) X(contended) X(wait_ns) X(wait_max_ns) X(hold_ns) X(hold_max_ns)

enum capos_measure_counter {
#define X(line, field) CAPOS_MEASURE_##line##_##field,
	CAPOS_MEASURE_COUNTERS(X)
#undef X
		CAPOS_MEASURE_COUNTER_COUNT
};

enum capos_measure_site {
#define X(line, site) CAPOS_MEASURE_AT_##line##_##site,
	CAPOS_MEASURE_LOCKS(X)
#undef X
		CAPOS_MEASURE_SITES
};

enum capos_measure_lock_field {
#define X(field) CAPOS_MEASURE_LOCK_##field,
	CAPOS_MEASURE_LOCK_FIELDS(X)
#undef X
		CAPOS_MEASURE_LOCK_FIELD_COUNT
};

#define CAPOS_MEASURE_VALUES                                                                                         \
	((unsigned)CAPOS_MEASURE_COUNTER_COUNT + (unsigned)CAPOS_MEASURE_SITES * CAPOS_MEASURE_LOCK_FIELD_COUNT)

#endif
