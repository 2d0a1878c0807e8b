/* SPDX-License-Identifier: MIT */
/* LINK: kernel/boot/manifest.c kernel/sched/policy_names.c lib/fmt.c */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <capos/iface.h>
#include <kernel/manifest.h>
#include <kernel/sched.h>
#include <libfdt.h>

static struct manifest manifest;
static struct manifest_refusal refusal;
static u8 *blob;
static u64 blob_bytes;

static bool has_program(const struct manifest_machine *machine, const char *name)
{
	(void)machine;
	return strcmp(name, "init") == 0 || strcmp(name, "shell") == 0;
}

static const struct manifest_machine machine = { .has_program = has_program,
						 .memory_bytes = 64ul << 20,
						 .cpu_count = 4 };

/* dtc on a whole source; -f: also what it thinks is wrong. */
static void compile(const char *source)
{
	char path[] = "/tmp/capos-manifest-XXXXXX", command[128];
	int fd = mkstemp(path);
	FILE *pipe;
	long bytes;

	assert_true(fd >= 0);
	snprintf(command, sizeof(command), "dtc -q -q -f -I dts -O dtb -o %s 2>/dev/null", path);
	pipe = popen(command, "w");
	assert_non_null(pipe);
	fputs(source, pipe);
	pclose(pipe);
	free(blob);
	bytes = lseek(fd, 0, SEEK_END);
	assert_true(bytes > 0);
	blob_bytes = (u64)bytes;
	blob = malloc(blob_bytes);
	assert_int_equal(pread(fd, blob, blob_bytes, 0), bytes);
	close(fd);
	unlink(path);
}

/* On an exact copy, so that the sanitizer sees reads beyond. */
static bool parse(u64 bytes)
{
	u8 *copy = malloc(bytes > 0 ? bytes : 1);
	bool good;

	assert_non_null(copy);
	memcpy(copy, blob, bytes);
	memset(&manifest, 0, sizeof(manifest));
	memset(&refusal, 0, sizeof(refusal));
	good = manifest_parse(copy, bytes, &machine, &manifest, &refusal);
	free(copy);
	return good;
}

#define ROOT(body) "/dts-v1/; / { compatible = \"capos,manifest-1\"; " body " };"
#define PROCESSES(body) ROOT("processes { " body " };")
#define INIT(body) PROCESSES("init { program = \"init\"; " body " };")
#define CONTEXTS(body, init) ROOT("contexts { " body " }; processes { init { program = \"init\"; " init " }; };")
#define POLICIES(body, init) ROOT("policies { " body " }; processes { init { program = \"init\"; " init " }; };")
#define SCOPE "scope = \"machine\";"
#define ACCOUNT_REST "iterations = <1000>; salt = [00 01 02 03 04 05 06 07]; hash = [" HASH "]; shell = \"shell\";"
#define HASH "00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f"
#define ACCOUNTS(body) ROOT("accounts { " body " }; processes { init { program = \"init\"; }; };")

#define GOOD                                                                                                                         \
	ROOT("options { log-level = \"debug\"; scheduler = \"wfq\"; };"                                                              \
	     "accounts { operator { account-id = <5>; " ACCOUNT_REST " }; guest { account-id = <6>; " ACCOUNT_REST                   \
	     " }; };"                                                                                                                \
	     "processes {"                                                                                                           \
	     " login { program = \"init\"; args = \"-l now\"; memory-kib = <4096>; slots = <128>; threads = <16>;"                   \
	     "  processes = <8>; cpu = <3>; caps = \"console\", \"log/w\", \"session_manager/nr=sessions\"; exports = \"login\"; };" \
	     " init { program = \"init\"; optional; cpus = <2 0>; caps = \"endpoint:login\", \"endpoint:login/c=other\", \"power\"; }; };")

static void reads_a_good_one(void **state)
{
	const struct manifest_process *login = &manifest.processes[0], *init = &manifest.processes[1];

	(void)state;
	compile(GOOD);
	if (!parse(blob_bytes))
		fail_msg("%s: %s", refusal.path, refusal.reason);
	assert_int_equal(manifest.log_level, 3);
	assert_int_equal(manifest.scheduler, SCHED_WFQ);
	assert_int_equal(manifest.account_count, 2);
	assert_string_equal(manifest.accounts[0].name, "operator");
	assert_int_equal(manifest.accounts[1].id, 6);
	assert_int_equal(manifest.accounts[0].iterations, 1000);
	assert_int_equal(manifest.accounts[0].salt_bytes, 8);
	assert_int_equal(manifest.accounts[0].hash[31], 0x1f);
	assert_string_equal(manifest.accounts[0].shell, "shell");
	assert_int_equal(manifest.process_count, 2);
	assert_string_equal(login->name, "login");
	assert_string_equal(login->program, "init");
	assert_string_equal(login->args, "-l now");
	assert_int_equal(login->memory_kib, 4096);
	assert_int_equal(login->slots, 128);
	assert_int_equal(login->threads, 16);
	assert_int_equal(login->processes, 8);
	assert_int_equal(login->cpu, 3);
	assert_int_equal(login->optional, 0);
	assert_int_equal(login->cap_count, 4);
	assert_string_equal(login->caps[1].name, "log");
	assert_int_equal(login->caps[1].rights, CAPOS_RIGHT_WRITE);
	assert_string_equal(login->caps[2].name, "sessions");
	assert_int_equal(login->caps[2].iface, CAPOS_IFACE_session_manager);
	assert_int_equal(login->caps[2].rights, CAPOS_RIGHT_READ | CAPOS_RIGHT_CREATE);
	assert_true(login->caps[3].exported);
	assert_int_equal(init->optional, 1);
	assert_int_equal(init->cpu, CAPOS_CPU_ANY);
	assert_int_equal(init->cpus.byte_count, 1);
	assert_int_equal(init->cpus.byte[0], 5);
	assert_int_equal(init->cap_count, 3);
	assert_string_equal(init->caps[0].name, "login");
	assert_int_equal(init->caps[0].iface, CAPOS_IFACE_endpoint);
	assert_int_equal(init->caps[0].rights, CAPOS_RIGHT_CALL | CAPOS_RIGHT_GRANT);
	assert_int_equal(init->caps[0].server, 0);
	assert_string_equal(init->caps[1].name, "other");
	assert_int_equal(init->caps[1].rights, CAPOS_RIGHT_CALL);
}

static void reads_policies(void **state)
{
	const struct manifest_policy *all = &manifest.policies[0], *own = &manifest.policies[1];
	const struct manifest_cap *cap = manifest.processes[0].caps;

	(void)state;
	compile(POLICIES("all { " SCOPE " }; own { scope = \"thread\"; weight-max = <2048>; class-best = \"batch\";"
			 " request-min-us = <1000>; request-max-us = <20000>; expires-ms = <60000>; };",
			 "caps = \"scheduling_policy:own\", \"scheduling_policy:all/rg=look\";"));
	if (!parse(blob_bytes))
		fail_msg("%s: %s", refusal.path, refusal.reason);
	assert_int_equal(manifest.policy_count, 2);
	assert_string_equal(all->name, "all");
	assert_int_equal(all->scope, CAPOS_SCOPE_MACHINE);
	assert_int_equal(all->class_best, CAPOS_LATENCY_INTERACTIVE);
	assert_int_equal(all->weight_max, CAPOS_WEIGHT_MAX);
	assert_int_equal(all->request_min_us * 1000ull, CAPOS_REQUEST_MIN_NS);
	assert_int_equal(all->request_max_us * 1000ull, CAPOS_REQUEST_MAX_NS);
	assert_int_equal(all->expires_ms, 0);
	assert_int_equal(own->scope, CAPOS_SCOPE_THREAD);
	assert_int_equal(own->class_best, CAPOS_LATENCY_BATCH);
	assert_int_equal(own->weight_max, 2048);
	assert_int_equal(own->request_min_us, 1000);
	assert_int_equal(own->request_max_us, 20000);
	assert_int_equal(own->expires_ms, 60000);
	assert_string_equal(cap[0].name, "own");
	assert_int_equal(cap[0].iface, CAPOS_IFACE_scheduling_policy);
	assert_int_equal(cap[0].server, 1);
	assert_string_equal(cap[1].name, "look");
	assert_int_equal(cap[1].server, 0);
	assert_int_equal(cap[1].rights, CAPOS_RIGHT_READ | CAPOS_RIGHT_GRANT);
}

static void reads_contexts(void **state)
{
	const struct manifest_context *whole = &manifest.contexts[0], *tenth = &manifest.contexts[1];
	const struct manifest_cap *cap = manifest.processes[0].caps;

	(void)state;
	compile(CONTEXTS("whole { budget-us = <3600000000>; period-us = <3600000000>; };"
			 "tenth { budget-us = <10>; period-us = <100>; cpus = <3 0>; };",
			 "caps = \"scheduling_context:tenth\", \"scheduling_context:whole/rn=all\";"));
	if (!parse(blob_bytes))
		fail_msg("%s: %s", refusal.path, refusal.reason);
	assert_int_equal(manifest.context_count, 2);
	assert_string_equal(whole->name, "whole");
	assert_int_equal(whole->budget_us, 3600000000u);
	assert_int_equal(tenth->budget_us, 10);
	assert_int_equal(tenth->period_us, 100);
	assert_int_equal(whole->cpus.byte_count, 0);
	assert_int_equal(tenth->cpus.byte_count, 1);
	assert_int_equal(tenth->cpus.byte[0], 1 | 8);
	assert_string_equal(cap[0].name, "tenth");
	assert_int_equal(cap[0].iface, CAPOS_IFACE_scheduling_context);
	assert_int_equal(cap[0].server, 1);
	assert_string_equal(cap[1].name, "all");
	assert_int_equal(cap[1].server, 0);
	assert_int_equal(cap[1].rights, CAPOS_RIGHT_READ | CAPOS_RIGHT_CREATE);
}

static const struct {
	const char *source, *path, *reason;
} bad[] = {
	{ "/dts-v1/; / { };", "/", "property \"compatible\" is missing" },
	{ "/dts-v1/; / { compatible = \"linux\"; };", "/compatible", "not \"capos,manifest-1\"" },
	{ ROOT(""), "/processes", "no process" },
	{ ROOT("processes { };"), "/processes", "no process" },
	{ ROOT("colour = \"blue\";"), "/colour", "unknown property" },
	{ ROOT("pools { };"), "/pools", "unknown node" },
	{ ROOT("options { log-level = \"loud\"; };"), "/options/log-level", "unknown level \"loud\"" },
	{ ROOT("options { log-level = <1>; };"), "/options/log-level", "not one string" },
	{ ROOT("options { scheduler = \"fifo\"; };"), "/options/scheduler", "unknown scheduler \"fifo\"" },
	{ ROOT("options { scheduler = <2>; };"), "/options/scheduler", "not one string" },
	{ INIT("options { };"), "/processes/init/options", "unknown node" },
	{ INIT("priority = <3>;"), "/processes/init/priority", "unknown property" },
	{ PROCESSES("init { };"), "/processes/init", "property \"program\" is missing" },
	{ PROCESSES("init { program = \"nobody\"; };"), "/processes/init/program", "unknown program \"nobody\"" },
	{ PROCESSES("init { program = \"a/b\"; };"), "/processes/init/program", "\"a/b\" is not a name" },
	{ PROCESSES("init { program = \"a\", \"b\"; };"), "/processes/init/program", "not one string" },
	{ PROCESSES("init { program = \"sixteen-bytes-nm\"; };"), "/processes/init/program", "longer than 15 bytes" },
	{ PROCESSES("init@1 { program = \"init\"; };"), "/processes/init@1", "not a name" },
	{ INIT("memory-kib = <1>;"), "/processes/init/memory-kib", "1 is not in 256..1073741824" },
	{ INIT("memory-kib = <4096 4096>;"), "/processes/init/memory-kib", "not one number" },
	{ INIT("memory-kib = <70000>;"), "/processes/init/memory-kib",
	  "memory quotas exceed the machine: 70000 KiB of 65536" },
	{ INIT("slots = <1>;"), "/processes/init/slots", "1 is not in 16..65536" },
	{ INIT("threads = <0>;"), "/processes/init/threads", "0 is not in 1..65536" },
	{ INIT("cpu = <4>;"), "/processes/init/cpu", "the machine has no CPU 4" },
	{ INIT("cpus = <0 4>;"), "/processes/init/cpus", "the machine has no CPU 4" },
	{ INIT("cpus = <0 4080>;"), "/processes/init/cpus", "4080 is not in 0..4079" },
	{ INIT("cpus = [00 01];"), "/processes/init/cpus", "not a list of numbers" },
	{ INIT("cpus;"), "/processes/init/cpus", "not a list of numbers" },
	{ INIT("cpu = <1>; cpus = <0>;"), "/processes/init/cpus", "cpu, and cpus" },
	{ INIT("cpus = <0>; one-cpu;"), "/processes/init/cpu", "one-cpu, but not which" },
	{ INIT("optional = <1>;"), "/processes/init/optional", "takes no value" },
	{ INIT("args = \""
	       "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456"
	       "\";"),
	  "/processes/init/args", "longer than 95 bytes" },
	{ INIT("caps = \"foo\";"), "/processes/init/caps", "unknown source \"foo\"" },
	{ INIT("caps = \"\";"), "/processes/init/caps", "unknown source \"\"" },
	{ INIT("caps = <5>;"), "/processes/init/caps", "not a list of strings" },
	{ INIT("caps = \"log/q\";"), "/processes/init/caps", "unknown right 'q' of \"log\"" },
	{ INIT("caps = \"log/x\";"), "/processes/init/caps", "impossible grant: \"log\" has no right 'x'" },
	{ INIT("caps = \"log/\";"), "/processes/init/caps", "no rights of \"log\"" },
	{ INIT("caps = \"log=\";"), "/processes/init/caps", "\"\" is not a name" },
	{ INIT("caps = \"log\", \"console=log\";"), "/processes/init/caps", "duplicate capability name \"log\"" },
	{ INIT("caps = \"log=self\";"), "/processes/init/caps",
	  "duplicate capability name \"self\": every process has it" },
	{ INIT("caps = \"endpoint:login\";"), "/processes/init/caps", "impossible grant: nobody exports \"login\"" },
	{ INIT("caps = \"scheduling_policy:all\";"), "/processes/init/caps",
	  "impossible grant: there is no policy \"all\"" },
	{ INIT("caps = \"scheduling_policy\";"), "/processes/init/caps", "unknown source \"scheduling_policy\"" },
	{ POLICIES("all { };", ""), "/policies/all", "property \"scope\" is missing" },
	{ POLICIES("all { scope = \"world\"; };", ""), "/policies/all/scope", "unknown scope \"world\"" },
	{ POLICIES("all { scope = \"\"; };", ""), "/policies/all/scope", "unknown scope \"\"" },
	{ POLICIES("all { scope = <3>; };", ""), "/policies/all/scope", "not one string" },
	{ POLICIES("all { " SCOPE " weight-max = <0>; };", ""), "/policies/all/weight-max", "0 is not in 1..65536" },
	{ POLICIES("all { " SCOPE " weight-max = <65537>; };", ""), "/policies/all/weight-max",
	  "65537 is not in 1..65536" },
	{ POLICIES("all { " SCOPE " class-best = \"fast\"; };", ""), "/policies/all/class-best",
	  "unknown class \"fast\"" },
	{ POLICIES("all { " SCOPE " request-min-us = <99>; };", ""), "/policies/all/request-min-us",
	  "99 is not in 100..100000" },
	{ POLICIES("all { " SCOPE " request-max-us = <100001>; };", ""), "/policies/all/request-max-us",
	  "100001 is not in 100..100000" },
	{ POLICIES("all { " SCOPE " request-min-us = <4000>; request-max-us = <2000>; };", ""),
	  "/policies/all/request-max-us", "2000 is less than request-min-us, 4000" },
	{ POLICIES("all { " SCOPE " expires-ms = <0>; };", ""), "/policies/all/expires-ms",
	  "0 is not in 1..4294967295" },
	{ POLICIES("all { " SCOPE " priority = <1>; };", ""), "/policies/all/priority", "unknown property" },
	{ POLICIES("all { " SCOPE " more { }; };", ""), "/policies/all/more", "unknown node" },
	{ POLICIES("all@1 { " SCOPE " };", ""), "/policies/all@1", "not a name" },
	{ POLICIES("all { " SCOPE " };", "caps = \"scheduling_policy:all/w\";"), "/processes/init/caps",
	  "impossible grant: \"scheduling_policy:all\" has no right 'w'" },
	{ INIT("caps = \"scheduling_context:all\";"), "/processes/init/caps",
	  "impossible grant: there is no context \"all\"" },
	{ CONTEXTS("all { period-us = <10>; };", ""), "/contexts/all", "property \"budget-us\" is missing" },
	{ CONTEXTS("all { budget-us = <10>; };", ""), "/contexts/all", "property \"period-us\" is missing" },
	{ CONTEXTS("all { budget-us = <9>; period-us = <10>; };", ""), "/contexts/all/budget-us",
	  "9 is not in 10..3600000000" },
	{ CONTEXTS("all { budget-us = <10>; period-us = <3600000001>; };", ""), "/contexts/all/period-us",
	  "3600000001 is not in 10..3600000000" },
	{ CONTEXTS("all { budget-us = <21>; period-us = <20>; };", ""), "/contexts/all/budget-us",
	  "21 is more than period-us, 20" },
	{ CONTEXTS("all { budget-us = <10>; period-us = <20>; cpus = <0 4>; };", ""), "/contexts/all/cpus",
	  "the machine has no CPU 4" },
	{ CONTEXTS("all { budget-us = <10>; period-us = <20>; cpus = <4080>; };", ""), "/contexts/all/cpus",
	  "4080 is not in 0..4079" },
	{ CONTEXTS("all { budget-us = <10>; period-us = <20>; cpus; };", ""), "/contexts/all/cpus",
	  "not a list of numbers" },
	{ CONTEXTS("all { budget-us = <10>; period-us = <20>; deadline-us = <20>; };", ""),
	  "/contexts/all/deadline-us", "unknown property" },
	{ CONTEXTS("all@1 { };", ""), "/contexts/all@1", "not a name" },
	{ CONTEXTS("all { budget-us = <10>; period-us = <20>; };", "caps = \"scheduling_context:all/w\";"),
	  "/processes/init/caps", "impossible grant: \"scheduling_context:all\" has no right 'w'" },
	{ INIT("caps = \"endpoint:\";"), "/processes/init/caps", "unknown source \"endpoint:\"" },
	{ INIT("exports = \"a b\";"), "/processes/init/exports", "\"a b\" is not a name" },
	{ INIT("exports = \"login\"; caps = \"endpoint:login/v\";"), "/processes/init/caps",
	  "impossible grant: \"endpoint:login\" has no right 'v'" },
	{ PROCESSES("a { program = \"init\"; exports = \"x\"; }; b { program = \"init\"; exports = \"x\"; };"),
	  "/processes/b/exports", "duplicate export \"x\"" },
	{ INIT("caps = \"log=a\", \"log=b\", \"log=c\", \"log=d\", \"log=e\", \"log=f\", \"log=g\", \"log=h\", \"log=i\", \"log=j\","
	       "\"log=k\", \"log=l\", \"log=m\", \"log=n\", \"log=o\", \"log=p\", \"log=q\", \"log=r\", \"log=s\";"),
	  "/processes/init/caps", "more than 18 capabilities" },
	{ ACCOUNTS("a { " ACCOUNT_REST " };"), "/accounts/a", "property \"account-id\" is missing" },
	{ ACCOUNTS("a { account-id = <0>; " ACCOUNT_REST " };"), "/accounts/a/account-id",
	  "0 is not in 1..4294967295" },
	{ ACCOUNTS("a { account-id = <1>; " ACCOUNT_REST " }; b { account-id = <1>; " ACCOUNT_REST " };"),
	  "/accounts/b/account-id", "duplicate account id 1" },
	{ ACCOUNTS("a { account-id = <1>; iterations = <1>; salt = [00]; hash = [" HASH "]; shell = \"shell\"; };"),
	  "/accounts/a/salt", "1 bytes are not in 8..32" },
	{ ACCOUNTS("a { account-id = <1>; iterations = <1>; salt = [" HASH "]; hash = [00]; shell = \"shell\"; };"),
	  "/accounts/a/hash", "1 bytes are not in 32..32" },
	{ ACCOUNTS("a { account-id = <1>; iterations = <1>; salt = [" HASH "]; hash = [" HASH
		   "]; shell = \"sh\"; };"),
	  "/accounts/a/shell", "unknown program \"sh\"" },
	{ "/dts-v1/; /memreserve/ 0x1000 0x1000; / { compatible = \"capos,manifest-1\"; };", "/",
	  "memory reservations" },
};

static void refuses_by_path_and_reason(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		compile(bad[i].source);
		if (parse(blob_bytes))
			fail_msg("accepted: %s", bad[i].source);
		assert_string_equal(refusal.path, bad[i].path);
		assert_string_equal(refusal.reason, bad[i].reason);
	}
}

/* dtc merges nodes of one name, so change one of two in the blob. */
static void rename_in_blob(const char *from, const char *to)
{
	u8 *at = memmem(blob, blob_bytes, from, strlen(from) + 1);

	assert_non_null(at);
	memcpy(at, to, strlen(to) + 1);
}

static void refuses_duplicates(void **state)
{
	(void)state;
	compile(PROCESSES("a1 { program = \"init\"; }; b2 { program = \"init\"; };"));
	rename_in_blob("b2", "a1");
	assert_false(parse(blob_bytes));
	assert_string_equal(refusal.path, "/processes/a1");
	assert_string_equal(refusal.reason, "duplicate name");
	compile(ROOT("processes { a { program = \"init\"; }; }; processess { };"));
	rename_in_blob("processess", "processes");
	assert_false(parse(blob_bytes));
	assert_string_equal(refusal.path, "/processes");
	assert_string_equal(refusal.reason, "duplicate node");
	compile(INIT("slots = <20>; slotz = <20>;"));
	rename_in_blob("slotz", "slots");
	assert_false(parse(blob_bytes));
	assert_string_equal(refusal.path, "/processes/init/slots");
	assert_string_equal(refusal.reason, "duplicate property");
}

static void refuses_every_truncation(void **state)
{
	(void)state;
	compile(GOOD);
	for (u64 n = 0; n < blob_bytes; n++) {
		assert_false(parse(n));
		assert_string_equal(refusal.path, "/");
		assert_string_equal(refusal.reason, "truncated blob");
	}
	/* Also when the header says that it is that short. */
	for (u64 n = 0; n < blob_bytes; n += 4) {
		fdt_set_totalsize(blob, (u32)n);
		assert_false(parse(n));
	}
}

static void survives_changed_bytes(void **state)
{
	u32 random = 1, accepted = 0;

	(void)state;
	compile(GOOD);
	for (u32 round = 0; round < 60000; round++) {
		u64 at[2];
		u8 former[2];

		for (u32 i = 0; i < 2; i++) {
			random = random * 1664525u + 1013904223u;
			at[i] = (random >> 8) % (round % 4 == 0 ? sizeof(struct fdt_header) : blob_bytes);
			former[i] = blob[at[i]];
			blob[at[i]] = (u8)(round % 3 == 0 ? former[i] ^ 1u << (random >> 29) : random >> 24);
		}
		if (parse(blob_bytes)) {
			accepted++;
		} else {
			assert_int_equal(refusal.path[0], '/');
			assert_true(strlen(refusal.path) < sizeof(refusal.path) && refusal.reason[0] != 0);
		}
		for (u32 i = 2; i-- > 0;)
			blob[at[i]] = former[i];
	}
	assert_true(accepted > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_a_good_one),	  cmocka_unit_test(reads_policies),
		cmocka_unit_test(reads_contexts),	  cmocka_unit_test(refuses_by_path_and_reason),
		cmocka_unit_test(refuses_duplicates),	  cmocka_unit_test(refuses_every_truncation),
		cmocka_unit_test(survives_changed_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
