/* SPDX-License-Identifier: MIT */
/*
 * Replenishment: how much of a budget may be used, and when what was used comes back. Numbers alone: no entity, no CPU, no lock, no
 * clock. Derivations: docs/CONTEXTS.md. All instants and spans are ns; instants stay below 2^63.
 */
#ifndef KERNEL_REFILL_H
#define KERNEL_REFILL_H

#include <kernel/types.h>

#define REFILLS_MAX 8u

enum refill_kind { REFILL_SPORADIC, REFILL_PERIODIC, REFILL_CBS, REFILL_KINDS };

/* `amount_ns` of service: the x-th nanosecond of it may be used from at_ns + x on. */
struct refill {
	u64 at_ns, amount_ns;
};

struct refills {
	u64 budget_ns, period_ns; /* (c) 0 < budget <= period */
	u64 least_ns; /* (c) sporadic: a smaller head waits for the next refill, a shorter break is closed; at most the budget */
	u8 kind;  /* (c) enum refill_kind */
	u8 count; /* sporadic: 1 .. REFILLS_MAX of them, in order */
	struct refill refill[REFILLS_MAX];
	/* periodic, CBS: what is left, negative after an overrun; when it is filled (periodic), or must have been used (CBS) */
	i64 left_ns;
	u64 due_ns;
};

/* The whole budget, from now_ns on. */
void refills_init(struct refills *refills, enum refill_kind kind, u64 budget_ns, u64 period_ns, u64 least_ns,
		  u64 now_ns);
/* Who holds them begins to run at now_ns: how long it may, without a break. 0: not before refills_next_ns. */
u64 refills_begin(struct refills *refills, u64 now_ns);
/* used_ns of service without a break, from from_ns on, which is not before any other use. More than there was is a debt. */
void refills_use(struct refills *refills, u64 from_ns, u64 used_ns);
/* After refills_begin said 0: when to ask again. */
u64 refills_next_ns(const struct refills *refills);
/* What could be used from now_ns on, in pieces. */
u64 refills_available_ns(const struct refills *refills, u64 now_ns);
/* RF1 and the order. */
void refills_verify(const struct refills *refills);

#endif
