/* SPDX-License-Identifier: MIT */
/* The public contract of capOS, part 4: records that travel as message bytes, and per-interface results. */
#ifndef CAPOS_INTERFACE_H
#define CAPOS_INTERFACE_H

#include <capos/abi.h>

/* --- interface results (u16, per interface; 0 is success) -------------------------------------------------------- */

enum capos_spawn_result {
	CAPOS_SPAWN_UNKNOWN_PROGRAM = 1, /* not in the archive */
	CAPOS_SPAWN_BAD_IMAGE = 2,	 /* not an ELF of this machine, or a malformed one; detail: which check */
	CAPOS_SPAWN_ABI_MISMATCH = 3,	 /* ELF note missing or of another ABI version; detail: its version */
	CAPOS_SPAWN_BAD_GRANT = 4,	 /* a grant's handle, rights or name; detail: index of the grant */
	CAPOS_SPAWN_SESSION_ENDED = 5,
	CAPOS_SPAWN_BAD_SET = 6, /* set of CPUs: not canonical, or not what the message ends with */
	CAPOS_SPAWN_NO_CPU = 7,	 /* no CPU of the set is online */
	CAPOS_SPAWN_BAD_CONTEXT =
		8, /* the thread cannot be bound to it; detail: as bind_thread says, enum capos_context_result */
};

enum capos_park_result { CAPOS_PARK_MISMATCH = 1 };
enum capos_map_result {
	CAPOS_MAP_OVERLAP = 1,
	CAPOS_MAP_WRITE_EXEC = 2,
	CAPOS_MAP_PINNED = 3,
	CAPOS_MAP_NOT_MAPPED = 4
};
enum capos_console_result { CAPOS_CONSOLE_NOT_OWNER = 1, CAPOS_CONSOLE_OWNED = 2 };
enum capos_session_result { CAPOS_SESSION_ENDED = 1, CAPOS_SESSION_UNKNOWN_ACCOUNT = 2 };
/* Of thread, and of thread_spawner. */
enum capos_thread_result {
	CAPOS_THREAD_NOT_SELF = 1,
	CAPOS_THREAD_BAD_CPU = 2,
	CAPOS_THREAD_BAD_SET = 3,
	CAPOS_THREAD_ONE_CPU = 4,
	CAPOS_THREAD_CPU_MASK_MISMATCH = 5 /* no CPU of the mask of its context */
};
enum capos_policy_result {
	CAPOS_POLICY_WEIGHT_OUT_OF_BOUNDS = 1,
	CAPOS_POLICY_CLASS_OUT_OF_BOUNDS = 2, /* better than the bounds allow, or no class */
	CAPOS_POLICY_REQUEST_OUT_OF_BOUNDS = 3,
	CAPOS_POLICY_EXPIRED = 4,
	CAPOS_POLICY_NO_SUCH_THREAD = 5, /* never was, or has ended */
	CAPOS_POLICY_FOREIGN_THREAD = 6, /* not of the scope */
	CAPOS_POLICY_WIDER = 7,		 /* than what it is derived from; detail: the field */
	CAPOS_POLICY_TOO_DEEP = 8,	 /* derived CAPOS_POLICY_DEPTH_MAX times already */
	CAPOS_POLICY_OUT_OF_SCOPE = 9,	 /* records that only the machine's scope shows */
	CAPOS_POLICY_BUFFER_TOO_SMALL = 10,
};
/* cap_table: the transport statuses cover the named handle too: detail 1 = the handle in word[0], 0 = the table. */

#define CAPOS_MAP_WRITE 1u
#define CAPOS_MAP_EXEC 2u
#define CAPOS_PARK_SHARED 1u
#define CAPOS_STACK_ALIGN 65536u /* end of a stack that the kernel makes */
#define CAPOS_STACK_BYTES_MAX 1048576u
#define CAPOS_THREAD_PASSIVE 1u /* has no scheduling entity of its own: runs only on those of its callers */
#define CAPOS_THREAD_CPU_SET 2u /* create: instead of a CPU the address of a struct capos_cpu_set */

/*
 * A set of CPUs: CPU n is bit n % 8 of byte n / 8. As a message it is the count and that many bytes. It is canonical: the last byte
 * is not 0; no CPU at all is the count 0. A message has room for CPUs 0 to 4,079.
 */
#define CAPOS_CPU_SET_BYTES 510u
struct capos_cpu_set {
	uint16_t byte_count;
	uint8_t byte[CAPOS_CPU_SET_BYTES];
};
_Static_assert(sizeof(struct capos_cpu_set) == CAPOS_MESSAGE_BYTES, "a set of CPUs fits a message");

/* --- spawn -------------------------------------------------------------------------------------------------------- */

#define CAPOS_SPAWN_GRANTS 11u
#define CAPOS_SPAWN_ONE_CPU 1u /* all threads of the process stay on `cpu` */
#define CAPOS_SPAWN_CPU_SET                                                                                          \
	2u /* a struct capos_cpu_set for the first thread follows the grants; `cpu` is CAPOS_CPU_ANY */
#define CAPOS_SPAWN_CONTEXT                                                                                          \
	4u /* the first grant is of a scheduling context (control right): the first thread begins bound to it */

struct capos_grant {
	char name[CAPOS_NAME_BYTES];
	uint64_t handle;
	uint32_t rights; /* subset of the handle's */
	uint32_t flags;	 /* 0 */
};

/* A message of spawn: the struct up to grants[grant_count], then the set of CPUs, if there is one. */
struct capos_spawn {
	char program[CAPOS_NAME_BYTES]; /* name in the boot archive; empty: `image` */
	uint64_t image;			/* memory object with an ELF file, read right; else 0 */
	uint64_t memory_bytes;		/* quota, carved from the caller's */
	uint32_t slots;			/* capability slots quota */
	uint32_t threads;		/* thread quota */
	uint32_t processes;		/* child quota */
	uint32_t cpu;			/* CPU of the first thread, or CAPOS_CPU_ANY */
	uint64_t session;		/* user session handle, or 0: the caller's */
	uint32_t flags;			/* CAPOS_SPAWN_ONE_CPU or CAPOS_SPAWN_CPU_SET; CAPOS_SPAWN_CONTEXT */
	uint32_t grant_count;
	char args[96]; /* command line, 0-terminated */
	struct capos_grant grants[CAPOS_SPAWN_GRANTS];
};
_Static_assert(offsetof(struct capos_spawn, grants) == 160 && sizeof(struct capos_spawn) <= CAPOS_MESSAGE_BYTES,
	       "spawn fits a message");

/*
 * What a new process finds: start register argument = address of this read-only record (on its initial stack page's
 * neighbour). Besides its grants every process gets: cap_table "caps", address_space "space", thread_spawner
 * "threads", thread "self", factory "factory", park_space "park".
 */
#define CAPOS_STARTUP_CAPS 24u
struct capos_startup_cap {
	char name[CAPOS_NAME_BYTES];
	uint64_t handle;
	uint32_t iface; /* 0: endpoint of a user interface: see endpoint info */
	uint32_t rights;
};
struct capos_startup {
	uint32_t bytes; /* of this struct */
	uint32_t abi_version;
	uint64_t process_id;
	uint64_t thread_id;
	uint64_t thread_page; /* address of the first thread's page */
	uint64_t image_base;  /* where the program was loaded */
	uint64_t stack_base;  /* lowest address of the first stack; guard page below */
	uint64_t stack_bytes; /* 64 KiB, or as the program's note says; it ends at a multiple of 64 KiB */
	uint32_t cpu_count;
	uint32_t cap_count;
	char program[CAPOS_NAME_BYTES];
	char args[96];
	struct capos_startup_cap caps[CAPOS_STARTUP_CAPS];
};

enum capos_exit_cause {
	CAPOS_EXIT_NONE = 0,	    /* still lives */
	CAPOS_EXIT_NORMAL = 1,	    /* last thread exited; code of the first one */
	CAPOS_EXIT_KILLED = 2,	    /* process.kill; code as given */
	CAPOS_EXIT_FAULT = 3,	    /* fault cause, address, ip say which */
	CAPOS_EXIT_INTERRUPTED = 4, /* Ctrl-C */
	CAPOS_EXIT_CREATOR_GONE = 5,
	CAPOS_EXIT_START_FAILED = 6,
};

/* --- cap_table, memory, processes, threads ------------------------------------------------------------------------ */

struct capos_cap_record {
	uint64_t handle;
	uint64_t badge;
	uint32_t iface;
	uint32_t rights;
	uint64_t object_id;
};

enum capos_thread_state {
	CAPOS_THREAD_READY = 1,
	CAPOS_THREAD_RUNNING,
	CAPOS_THREAD_BLOCKED,
	CAPOS_THREAD_FAULTED, /* waits for its fault handler */
	CAPOS_THREAD_DYING,
	CAPOS_THREAD_THROTTLED, /* could run, but what it runs on has used up its budget (CAPOS_SNAPSHOT_CONTEXTS) */
};

struct capos_process_info {
	uint64_t id;
	uint64_t parent_id;
	uint64_t session_id;
	uint64_t account_id;
	char name[CAPOS_NAME_BYTES];
	uint32_t state; /* 1 building, 2 alive, 3 dying, 4 dead */
	uint32_t threads;
	uint32_t slots_used, slots_limit;
	uint64_t memory_used, memory_limit; /* bytes; used includes what children were given */
	uint64_t runtime_ns;
	uint64_t context_switches;
};

struct capos_thread_info {
	uint64_t id;
	uint64_t process_id;
	uint32_t state; /* enum capos_thread_state */
	uint32_t wait;	/* enum capos_wait: what it is blocked on */
	uint32_t last_cpu;
	uint32_t pinned_cpu; /* or CAPOS_CPU_ANY */
	uint64_t runtime_ns;
	uint64_t context_switches;
	uint64_t preemptions;
	uint64_t voluntary_blocks;
	uint64_t migrations;
	uint64_t runnable_ns; /* runnable but waiting */
	uint32_t weight;
	uint32_t flags; /* CAPOS_THREAD_PASSIVE */
};

#define CAPOS_WAITS(X)                                                                                               \
	X(NONE, 0, "-")                                                                                              \
	X(SLEEP, 1, "sleep")                                                                                         \
	X(PARK, 2, "park")                                                                                           \
	X(CALL, 3, "call")   /* for a receiver */                                                                    \
	X(REPLY, 4, "reply") /* being served */                                                                      \
	X(RECV, 5, "receive")                                                                                        \
	X(NOTIFICATION, 6, "notification")                                                                           \
	X(PROCESS, 7, "process")                                                                                     \
	X(JOIN, 8, "join")                                                                                           \
	X(RING, 9, "ring") /* cap_enter */                                                                           \
	X(CONSOLE, 10, "console")                                                                                    \
	X(KERNEL, 11, "kernel") /* shootdown, revocation, teardown, memory */                                        \
	X(FAULT, 12, "fault")	/* fault handler */
enum capos_wait {
#define X(name, value, text) CAPOS_WAIT_##name = (value),
	CAPOS_WAITS(X)
#undef X
};

/* Why a thread went to another CPU than its last. */
#define CAPOS_MIGRATIONS(X)                                                                                          \
	X(WAKE, 0, "wake")	   /* woken where it is sooner served */                                             \
	X(NEW, 1, "new")	   /* its first CPU is not its creator's */                                          \
	X(STEAL, 2, "steal")	   /* by a CPU that would have idled */                                              \
	X(BALANCE, 3, "balance")   /* so that weights hold over CPUs */                                              \
	X(AFFINITY, 4, "affinity") /* it may not run there any more */
enum capos_migration {
#define X(name, value, text) CAPOS_MIGRATION_##name = (value),
	CAPOS_MIGRATIONS(X)
#undef X
};
#define CAPOS_MIGRATION_KINDS 5u

/* --- scheduling policy -------------------------------------------------------------------------------------------- */

#define CAPOS_WEIGHT_MAX 65536u
#define CAPOS_WEIGHT_DEFAULT 1024u
#define CAPOS_REQUEST_MIN_NS 100000ull
#define CAPOS_REQUEST_MAX_NS 100000000ull

/* The three parameters of a thread in one word, from its lowest bits on; the highest one is no parameter. */
#define CAPOS_WEIGHT_BITS 17u
#define CAPOS_CLASS_BITS 3u
#define CAPOS_REQUEST_BITS 43u

/* The best first. */
#define CAPOS_LATENCY_CLASSES(X)                                                                                     \
	X(INTERACTIVE, 0,                                                                                            \
	  "interactive")       /* default request 1 ms, due at its start: short work that begins at once */          \
	X(NORMAL, 1, "normal") /* 4 ms, due at its end */                                                            \
	X(BATCH, 2, "batch")   /* 16 ms, due at its end: throughput */
enum capos_latency_class {
#define X(name, value, text) CAPOS_LATENCY_##name = (value),
	CAPOS_LATENCY_CLASSES(X)
#undef X
		CAPOS_LATENCY_CLASS_COUNT
};

/* Whose threads: the caller's own, those of its process, all. Each has what those before it have. */
enum capos_policy_scope { CAPOS_SCOPE_THREAD = 1, CAPOS_SCOPE_PROCESS = 2, CAPOS_SCOPE_MACHINE = 3 };

struct capos_policy_bounds {
	uint32_t weight_max; /* 1 .. CAPOS_WEIGHT_MAX */
	uint32_t class_best; /* enum capos_latency_class */
	uint64_t request_min_ns, request_max_ns;
	uint64_t expires_ns; /* 0: never */
	uint32_t scope;	     /* enum capos_policy_scope */
	uint32_t flags;	     /* 0 */
};

#define CAPOS_POLICY_DEPTH_MAX 8u

struct capos_policy_info {
	struct capos_policy_bounds bounds;
	uint32_t depth; /* 0: from the manifest; else one more than that it was derived from */
	uint32_t expired;
};

/* How what was used of a budget comes back; bounds: docs/CONTEXTS.md. */
enum capos_replenishment {
	CAPOS_REPLENISH_SPORADIC = 0, /* each piece a period after its use began */
	CAPOS_REPLENISH_PERIODIC = 1, /* all of it at the end of each aligned period */
	CAPOS_REPLENISH_CBS =
		2, /* constant bandwidth server: all of it at its deadline, which moves on by a period */
	CAPOS_REPLENISH_COUNT,
};
/* What happens at the end of the budget. Each time it is counted in the notifications. */
enum capos_overrun {
	CAPOS_OVERRUN_THROTTLE = 0, /* the thread waits for the next refill */
	/* Until the next refill it goes on with weight 1 in class batch, uncharged; then with its own parameters, also when they were
	 * changed meanwhile. */
	CAPOS_OVERRUN_BEST_EFFORT = 1,
	CAPOS_OVERRUN_NOTIFY = 2,  /* it goes on; the whole budget begins anew, and a debt is forgotten */
	CAPOS_OVERRUN_SUSPEND = 3, /* it waits until `resume`, then until there is a budget */
	CAPOS_OVERRUN_COUNT,
};

#define CAPOS_CONTEXT_BUDGET_MIN_NS 10000ull
#define CAPOS_CONTEXT_PERIOD_MAX_NS 3600000000000ull
#define CAPOS_CONTEXT_WATCHERS_MAX 8u

struct capos_context_spec {
	uint64_t budget_ns;   /* CAPOS_CONTEXT_BUDGET_MIN_NS .. period_ns */
	uint64_t period_ns;   /* .. CAPOS_CONTEXT_PERIOD_MAX_NS */
	uint64_t deadline_ns; /* after the begin of a job, 1 .. period_ns; told, it orders nobody */
	uint32_t overrun;     /* enum capos_overrun */
	uint32_t replenishment;
};

enum capos_context_state {
	CAPOS_CONTEXT_UNBOUND = 0,
	CAPOS_CONTEXT_BOUND = 1,
	CAPOS_CONTEXT_THROTTLED = 2, /* bound, and waits for its budget */
	CAPOS_CONTEXT_REVOKED = 3,
	CAPOS_CONTEXT_SUSPENDED = 4,   /* bound, and waits for `resume` */
	CAPOS_CONTEXT_BEST_EFFORT = 5, /* bound, and goes on without a budget until the next refill */
};

struct capos_context_info {
	struct capos_context_spec spec;
	uint64_t context_id, generation;
	uint32_t state;	    /* enum capos_context_state */
	uint32_t donated;   /* 1: another thread than the bound one runs on it, along a call */
	uint64_t thread_id; /* bound; 0: none */
	uint64_t holder_id; /* that has it now: the bound one, or, along its calls, who serves them; 0: none */
	uint64_t remaining_budget_ns;
	uint64_t next_ns;   /* when more comes, if nothing remains */
	uint64_t used_ns;   /* since it was made */
	uint64_t throttles; /* how often it was made to wait: for a refill, or for `resume` */
};

/* What happens to a context again and again, coalesced: the last event and how many there were. */
struct capos_context_slot {
	uint64_t sequence;	      /* events since the context was made */
	uint64_t count;		      /* of these since the last drain */
	uint64_t at_ns;		      /* the last one: the end of the budget; the deadline that passed ... */
	uint64_t holder_id;	      /* ... the thread that ran on the context, or was to ... */
	uint64_t remaining_budget_ns; /* ... what was left when it was told ... */
	uint64_t next_ns;	      /* ... and when more comes */
	uint32_t donated;	      /* 1: the holder was not the bound thread */
	uint32_t unused;	      /* 0 */
};

struct capos_context_notifications {
	uint64_t sequence; /* events of both slots since the context was made: what wait_notification names */
	struct capos_context_slot depletion;
	struct capos_context_slot deadline; /* docs/CONTEXTS.md: jobs */
	uint32_t state;			    /* enum capos_context_state */
	uint32_t explicit_revoke;	    /* 1: by the method revoke, not by the end of a session */
};

enum capos_context_result {
	CAPOS_CONTEXT_STALE_GENERATION = 1, /* it was revoked, through another capability */
	CAPOS_CONTEXT_WAS_REVOKED = 2,	    /* through this one */
	CAPOS_CONTEXT_ALREADY_BOUND = 3,    /* it has a thread */
	CAPOS_CONTEXT_THREAD_HAS_ONE = 4,   /* the thread has another context */
	CAPOS_CONTEXT_NOT_BOUND = 5,
	CAPOS_CONTEXT_THREAD_ENDED = 6,
	CAPOS_CONTEXT_WIDER =
		7, /* than the context that it is created through: 0: a greater part of a CPU; CAPOS_DETAIL_MASK: a CPU more */
	CAPOS_CONTEXT_BUDGET_TOO_SMALL = 8,
	CAPOS_CONTEXT_PASSIVE_THREAD = 9,     /* it runs on what its callers lend */
	CAPOS_CONTEXT_CPU_MASK_MISMATCH = 10, /* the thread's set of CPUs has none of the mask */
	CAPOS_CONTEXT_INVALID_MASK = 11,      /* detail: enum capos_mask_fault */
	CAPOS_CONTEXT_NOT_SUSPENDED = 12,
	CAPOS_CONTEXT_TOO_MANY_WATCHERS = 13, /* CAPOS_CONTEXT_WATCHERS_MAX wait for its notifications */
	CAPOS_CONTEXT_SESSION_ENDED = 14,     /* the thread's session was logged out */
};
enum capos_mask_fault {
	CAPOS_MASK_NOT_CANONICAL = 1, /* more bytes than a set has, or the last one is 0 */
	CAPOS_MASK_OFF_MACHINE = 2,   /* a CPU that the machine does not have */
	CAPOS_MASK_NO_CPU = 3,	      /* none that is online */
};

/* snapshot: what the records are, by rising id: of thread, process, session, account (0: without a session), CPU; of contexts those
 * that are bound, by the id of the thread. */
enum capos_snapshot_kind {
	CAPOS_SNAPSHOT_THREADS = 1,
	CAPOS_SNAPSHOT_PROCESSES = 2,
	CAPOS_SNAPSHOT_SESSIONS = 3,
	CAPOS_SNAPSHOT_ACCOUNTS = 4,
	CAPOS_SNAPSHOT_CPUS = 5,
	CAPOS_SNAPSHOT_CONTEXTS = 6,
};
#define CAPOS_SNAPSHOT_ALIGN 256u

/*
 * Counters rise only. While the thread runs: context_switches = preemptions + voluntary_blocks + yields + 1, else without the 1.
 * time_ns: the counters are exact for this instant: now, or, while it runs, the last at which it was charged (a tick ago at most).
 */
struct capos_thread_record {
	uint64_t time_ns, id, process_id;
	uint64_t runtime_ns;
	uint64_t virtual_runtime, virtual_deadline; /* in the virtual time of its queue */
	uint64_t runnable_accumulated_ns;	    /* runnable but waiting, up to its last selection */
	uint64_t context_switches;		    /* selections */
	uint64_t preemptions;			    /* by the timer, or by one who woke */
	uint64_t voluntary_blocks;		    /* waits */
	uint64_t yields;			    /* by itself, or because it may not run there any more */
	uint32_t migrations[CAPOS_MIGRATION_KINDS];
	uint32_t cpu; /* its last one */
	union {
		struct {
			uint64_t weight : CAPOS_WEIGHT_BITS;
			uint64_t latency_class : CAPOS_CLASS_BITS;
			uint64_t request_ns : CAPOS_REQUEST_BITS;
			uint64_t
				best_effort : 1; /* its budget is used up: until the next refill it has weight 1 in class batch */
		};
		uint64_t parameters; /* all of that, as the kernel has it */
	};
	uint8_t state;	     /* enum capos_thread_state */
	uint8_t wait;	     /* enum capos_wait: what it is blocked on */
	uint16_t flags;	     /* CAPOS_THREAD_PASSIVE */
	uint32_t pinned_cpu; /* or CAPOS_CPU_ANY */
};

/* Sums over threads, live and ended ones, each for an instant of its own up to time_ns. */
struct capos_process_record {
	uint64_t time_ns, id, parent_id, session_id, account_id;
	uint64_t runtime_ns, context_switches, preemptions, voluntary_blocks, migrations;
	char name[CAPOS_NAME_BYTES];
	uint32_t state; /* as in capos_process_info */
	uint32_t threads;
	uint64_t unused[3];
};

/* Of a session or an account, its processes that have ended included. */
struct capos_ledger_record {
	uint64_t time_ns, id, account_id;
	uint64_t runtime_ns, context_switches, preemptions, voluntary_blocks, migrations;
	char name[CAPOS_NAME_BYTES];
	uint32_t alive;	    /* session: not logged out; account: 1 */
	uint32_t processes; /* session: that have not been forgotten yet; account: 0 */
	uint64_t unused[5];
};

struct capos_context_record {
	uint64_t time_ns;
	uint64_t process_id; /* of the bound thread */
	struct capos_context_info context;
	uint64_t unused;
};

enum capos_cpu_state { CAPOS_CPU_OFFLINE = 0, CAPOS_CPU_IDLE, CAPOS_CPU_BUSY };

/* time_ns = up_ns + busy_ns + idle_ns + irq_ns. The runtime of all threads is the sum of busy_ns - kernel_ns over the CPUs. */
struct capos_cpu_record {
	uint64_t time_ns, id, up_ns;
	uint64_t busy_ns;   /* threads and the kernel's own work */
	uint64_t kernel_ns; /* of busy_ns: the kernel's own work */
	uint64_t idle_ns;
	uint64_t irq_ns; /* interrupts that the running thread did not cause */
	uint64_t switches, ipis_sent, ipis_received, shootdowns;
	uint64_t ipis_suppressed; /* one was on its way there already */
	uint64_t wakes_local, wakes_remote,
		wakes_sibling;	    /* woken by it here; elsewhere; of those on an SMT sibling */
	uint64_t placements_failed; /* an idle CPU was not chosen, since an interrupt was on its way there */
	uint64_t migrations[CAPOS_MIGRATION_KINDS]; /* that it brought about */
	uint64_t ticks;
	uint64_t ticks_suppressed[2];		 /* while idle; under a lease */
	uint64_t policy_admitted, policy_denied; /* changes, derivations and snapshots through scheduling_policy */
	uint64_t current_thread;		 /* 0: none */
	uint64_t load;				 /* sum of the weights of who waits and who runs */
	uint32_t queued;			 /* runnable and waiting */
	uint32_t state;				 /* enum capos_cpu_state */
	uint64_t unused[3];
};
_Static_assert(sizeof(struct capos_thread_record) == 128 && sizeof(struct capos_process_record) == 128 &&
		       sizeof(struct capos_ledger_record) == 128 && sizeof(struct capos_cpu_record) == 256 &&
		       sizeof(struct capos_context_record) == 128,
	       "whole records fit a page, and the message area");

struct capos_cpu_info {
	uint32_t id, apic_id, package, llc, core, smt;
	uint32_t online;
	uint32_t queued; /* runnable and waiting */
	uint64_t idle_ns, busy_ns, irq_ns;
	uint64_t switches, ipis, shootdowns;
	uint64_t current_thread; /* 0: idle */
};

struct capos_memory_info {
	uint64_t total_bytes, free_bytes, kernel_bytes; /* kernel: objects and tables */
	uint64_t frames_total, frames_free;
};

struct capos_machine_info {
	uint32_t abi_version, cpu_count;
	uint64_t uptime_ns;
	uint64_t clock_hz;
	char machine[32], version[32], build[16];
	char scheduler[16]; /* the policy of fair queues: "eevdf", "wfq" */
};

/* From the manifest; readable only by the holder of the session manager. */
struct capos_account {
	uint64_t id;
	char name[CAPOS_NAME_BYTES];
	uint32_t iterations; /* PBKDF2-HMAC-SHA256 */
	uint32_t salt_bytes;
	uint8_t salt[32];
	uint8_t hash[32];
	char shell[CAPOS_NAME_BYTES];
};

/* --- faults: a fault endpoint receives a call ---------------------------------------------------------------------- */

#define CAPOS_IFACE_FAULT 0x0fffffffu /* interface of the call that a fault becomes; method 0 */
/* words: cause, detail, address, ip, stack pointer, thread id, process id, 0. Reply word[0]: */
enum capos_fault_reply { CAPOS_FAULT_KILL = 0, CAPOS_FAULT_RESUME = 1, CAPOS_FAULT_SKIP = 2 };
enum capos_fault_cause {
	CAPOS_FAULT_PAGE = 1,
	CAPOS_FAULT_PRIVILEGE,
	CAPOS_FAULT_DIVIDE,
	CAPOS_FAULT_OPCODE,
	CAPOS_FAULT_ALIGNMENT,
	CAPOS_FAULT_BREAKPOINT,
	CAPOS_FAULT_FPU,
	CAPOS_FAULT_STACK,
	CAPOS_FAULT_NO_MEMORY,
	CAPOS_FAULT_OTHER,
};

/* --- trace --------------------------------------------------------------------------------------------------------- */

#define CAPOS_TRACE_EVENTS(X)                                                                                        \
	X(SWITCH, 1, "switch") /* thread: next; next thread id, reason left (enum capos_wait or 0x100 preempted) */  \
	X(WAKE, 2, "wake")     /* thread: woken; target CPU, waker thread id */                                      \
	X(MIGRATE, 3, "migrate")      /* thread; from CPU, to CPU */                                                 \
	X(CALL, 4, "call")	      /* thread; call word, handle */                                                \
	X(RETURN, 5, "return")	      /* thread; result word, 0 */                                                   \
	X(IRQ, 6, "irq")	      /* current thread; bits, 0 */                                                  \
	X(IPI, 7, "ipi")	      /* current thread; target CPU, reason */                                       \
	X(FAULT, 8, "fault")	      /* thread; cause, address */                                                   \
	X(SPAWN, 9, "spawn")	      /* thread: creator; process id, thread id */                                   \
	X(EXIT, 10, "exit")	      /* thread; process id, code */                                                 \
	X(SHOOTDOWN, 11, "shootdown") /* current thread; address, CPUs asked */                                      \
	X(SAMPLE, 12,                                                                                                \
	  "sample") /* measure builds, at a timer's interrupt: offset in the program; process id, phase << 32 */
enum capos_trace_event {
#define X(name, value, text) CAPOS_TRACE_##name = (value),
	CAPOS_TRACE_EVENTS(X)
#undef X
};

struct capos_trace_record {
	uint64_t ns;
	uint16_t cpu;
	uint16_t event;
	uint32_t thread; /* low 32 bits of the thread id */
	uint64_t arg[2];
};
_Static_assert(sizeof(struct capos_trace_record) == 32, "trace record");

#endif
