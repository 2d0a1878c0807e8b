/* SPDX-License-Identifier: MIT */
/*
 * Reference model of one fair queue, in exact integers: what the scheduler's mathematics demands, written from
 * Stoica and Abdel-Wahab's definitions and docs/SCHEDULING.md, without the kernel's code or types.
 *
 * A member's virtual time v is a rational with its weight below the line, so w·v is an integer, and so is S = Σ w·v; the queue's
 * virtual time is V = S / W. Everything is compared multiplied by W: no division, no rounding.
 *
 *   num      w·v                          [units · weight] = K · ns of service
 *   lag · W  w·S − num·W                  sums to 0 over the members
 *
 * What the model takes from the kernel are the places at which members join (it says whether they were right) and whether a
 * member's request was renewed within a unit of its end. All else it forms itself.
 *
 * Bounds that it checks (docs/SCHEDULING.md, "Lag bounds"):
 *   pick     who is picked has v <= V, and nobody with v <= V has an earlier deadline
 *   floor    lag >= −(service since it was last picked) − its share of what others took away by joining and leaving
 *   ceiling  for the deadline D of each member: Σ w·(v − D) <= X(D); hence lag <= w·(D − v) + (w / W)·X(D)
 */
#ifndef TESTS_SIM_FAIR_REFERENCE_H
#define TESTS_SIM_FAIR_REFERENCE_H

#include <stdbool.h>
#include <stdint.h>

typedef __int128 wide;

#define REF_K 65536	/* virtual units per nanosecond at weight 1 */
#define REF_TOLERANCE 4 /* units: what the kernel's whole numbers may be off by in a comparison of two */
#define REF_PICKS 64u

enum ref_policy { REF_EEVDF, REF_WFQ };

struct ref_member {
	uint32_t weight;
	uint32_t place; /* in the queue's list + 1; 0: not a member */
	bool early;	/* latency class whose deadline is the start of the request */
	uint64_t request_ns;
	wide num;	   /* w·v */
	wide deadline_num; /* w·deadline of the request */
	wide end_num;	   /* w·v at the end of the request */
	wide length;	   /* K·r of the request */
	wide over;	   /* w·(v − deadline) of the request before this one, if positive */
	wide counted;	   /* what it adds to the queue's `over` */
	/* since it was last picked, or joined */
	wide floor;    /* K·ns: its lag is not below this but for what `fallen` took */
	wide fallen;   /* the queue's, then */
	wide slot_num; /* num at the last pick */
};

/* A pick that no later one with a deadline as late has hidden: nobody with an earlier deadline was eligible then. */
struct ref_pick {
	wide deadline; /* units */
	wide virtual_time;
	wide extra; /* K·ns: its slot, and what joined above or left below virtual_time since */
};

struct ref_queue {
	enum ref_policy policy;
	struct ref_member **member;
	uint32_t count, room;
	wide sum;    /* Σ num */
	wide weight; /* Σ weight */
	wide over;   /* Σ counted */
	wide fallen; /* Σ of the falls of V by joining and leaving, units << 16 */
	const struct ref_member *running;
	bool no_ceiling; /* a canary: floor has to find it */
	bool irregular;	 /* the slot was not given by the policy's rule */
	struct ref_pick pick[REF_PICKS];
	uint32_t picks;
	/* statistics */
	wide worst_owed, worst_ahead; /* K·ns */
};

/* The first thing that was wrong; NULL: nothing. */
extern const char *ref_wrong;

void ref_init(struct ref_queue *queue, enum ref_policy policy);
void ref_fini(struct ref_queue *queue);

/* The member joins at virtual time v (units) with a new request. */
void ref_join(struct ref_queue *queue, struct ref_member *member, wide v);
void ref_leave(struct ref_queue *queue, struct ref_member *member);
/* The member stands at v now, in the middle of a request: its weight changed, or it came with one from another queue. A new class
 * or size of requests counts from the next request on. */
void ref_place_at(struct ref_queue *queue, struct ref_member *member, uint32_t weight, wide v, wide deadline,
		  wide end);
void ref_charge(struct ref_queue *queue, struct ref_member *member, uint64_t ns);
/* The request of the member is over and the next begins. */
void ref_renew(struct ref_queue *queue, struct ref_member *member);
/* It gives the rest of its request up, and the next begins at v: what it was owed may be given up too. */
void ref_yield(struct ref_queue *queue, struct ref_member *member, wide v);
/* Did it have to be renewed (1), may it not be (-1), or is it within a unit (0)? */
int ref_renewal(const struct ref_member *member);
/* `member` was chosen; regular: by the policy's rule; check: look whether that is so. */
void ref_picked(struct ref_queue *queue, struct ref_member *member, bool regular, bool check);
/* Does one who has just joined take the CPU from `current`? -1, 0 (a tie within the tolerance), 1. */
int ref_preempts(const struct ref_queue *queue, const struct ref_member *joined, const struct ref_member *current);
/* floor and ceiling of every member. */
void ref_check_bounds(struct ref_queue *queue);

/* --- what has to come out, to be compared with what the kernel made of it ----------------------------------------------- */

struct ref_ratio {
	wide num, den; /* den > 0 */
};
/* V − v of a member, units. */
struct ref_ratio ref_lag(const struct ref_queue *queue, const struct ref_member *member);
/* Where one of weight w joins to have the virtual lag `lag` after it (V − l·(W + w)/W); the queue has members. */
struct ref_ratio ref_place(const struct ref_queue *queue, uint32_t weight, struct ref_ratio lag);
/* Is v (units) within so many units of the ratio? */
bool ref_near(struct ref_ratio exact, wide v, wide units);
wide ref_floor(struct ref_ratio ratio);
wide ref_deadline(const struct ref_member *member);   /* units, rounded down */
wide ref_virtual_time(const struct ref_queue *queue); /* units, rounded down */

#endif
