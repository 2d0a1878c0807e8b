/* SPDX-License-Identifier: MIT */
/*
 * The boot manifest: a device-tree blob of untrusted bytes, parsed into one record. Pure: host tests link it.
 *
 *   / { compatible = "capos,manifest-1";
 *       options { log-level = "info"; scheduler = "eevdf"; };     or "wfq": docs/SCHEDULING.md
 *       accounts { NAME { account-id = <5>; iterations = <10000>; salt = [..]; hash = [.. 32 ..]; shell = "shell"; }; };
 *       policies { NAME { scope = "machine"; weight-max = <4096>; class-best = "normal"; request-min-us = <100>;
 *                         request-max-us = <100000>; expires-ms = <60000>; }; };
 *       contexts { NAME { budget-us = <5000>; period-us = <50000>; cpus = <0 2>; }; };     scheduling contexts: docs/CONTEXTS.md
 *       processes { NAME { program = "prog"; args = "..."; memory-kib = <4096>; slots = <128>; threads = <16>;
 *                          processes = <8>; cpu = <0>; one-cpu; optional; exports = "login";
 *                          cpus = <0 2 3>;                           instead of cpu: where its first thread may run
 *                          caps = "console", "log/w", "endpoint:login/cg=auth"; }; }; };
 *
 * Scope: thread (that calls), process (its), machine. What a policy does not say is not bounded, but its scope must be said.
 * A capability is SOURCE[/RIGHTS][=NAME]; `endpoint:EXPORT`, `scheduling_policy:POLICY` and `scheduling_context:CONTEXT` are named
 * after what stands behind the colon. RIGHTS are letters of r w x c(call) v(receive) s(signal) t(wait) k(control) n(create) g(grant) d(destroy); without them: all that the source has.
 */
#ifndef KERNEL_MANIFEST_H
#define KERNEL_MANIFEST_H

#include <capos/interface.h>
#include <kernel/types.h>

#define MANIFEST_ACCOUNTS_MAX 32u
#define MANIFEST_PROCESSES_MAX 64u
#define MANIFEST_STANDARD_CAPS 6u
#define MANIFEST_CAPS_MAX (CAPOS_STARTUP_CAPS - MANIFEST_STANDARD_CAPS)
#define MANIFEST_POLICIES_MAX 16u
#define MANIFEST_CONTEXTS_MAX 16u
#define MANIFEST_TEXT_BYTES 160u
#define MANIFEST_NO_EXPORT (~0u)

struct manifest_cap {
	char source[40]; /* as written, for reports */
	char name[CAPOS_NAME_BYTES];
	u32 iface;			     /* CAPOS_IFACE_*; endpoint: the export below */
	u32 rights;			     /* 0 while being read: all that the source has */
	char behind_colon[CAPOS_NAME_BYTES]; /* the export of an endpoint, the policy, the context */
	u32 server;			     /* index of the process that exports it, the policy, the context */
	bool exported;			     /* this process's own export: it makes the endpoint */
};

struct manifest_policy {
	char name[CAPOS_NAME_BYTES];
	u32 scope;	/* enum capos_policy_scope */
	u32 class_best; /* enum capos_latency_class */
	u32 weight_max, request_min_us, request_max_us, expires_ms;
};

struct manifest_context {
	char name[CAPOS_NAME_BYTES];
	u32 budget_us, period_us;
	u32 cpus_last;		   /* the highest of `cpus` */
	struct capos_cpu_set cpus; /* byte_count 0: every CPU */
};

struct manifest_process {
	char name[CAPOS_NAME_BYTES];
	char program[CAPOS_NAME_BYTES];
	char args[96];
	u32 memory_kib, slots, threads, processes, cpu;
	u32 optional;
	u32 one_cpu;
	u32 cpus_last;		   /* the highest of `cpus` */
	struct capos_cpu_set cpus; /* byte_count 0: not given */
	u32 cap_count;
	struct manifest_cap caps[MANIFEST_CAPS_MAX];
};

struct manifest {
	u32 log_level; /* enum log_level */
	u32 scheduler; /* enum sched_policy */
	u32 account_count;
	u32 policy_count;
	u32 context_count;
	u32 process_count;
	struct capos_account accounts[MANIFEST_ACCOUNTS_MAX];
	struct manifest_policy policies[MANIFEST_POLICIES_MAX];
	struct manifest_context contexts[MANIFEST_CONTEXTS_MAX];
	struct manifest_process processes[MANIFEST_PROCESSES_MAX];
};

/* What the machine has, against which the manifest is checked. */
struct manifest_machine {
	bool (*has_program)(const struct manifest_machine *machine, const char *name);
	const void *context;
	u64 memory_bytes;
	u32 cpu_count;
};

struct manifest_refusal {
	char path[MANIFEST_TEXT_BYTES];
	char reason[MANIFEST_TEXT_BYTES];
};

/* `manifest` is zeroed by the caller. False: refused, and why. The blob must be 8-aligned. */
MUST_CHECK bool manifest_parse(const void *blob, u64 bytes, const struct manifest_machine *machine,
			       struct manifest *manifest, struct manifest_refusal *refusal);

/* The one of this boot, for the session manager. */
const struct manifest *manifest_current(void);

#endif
