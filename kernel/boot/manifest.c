/* SPDX-License-Identifier: MIT */
/*
 * The manifest's parser: one walk over the tokens of the blob by libfdt's bounds-checked primitives, driven by two
 * tables (which node may stand where, which property may stand in it with which type and range), then the checks that
 * need the whole: names, exports, grants, sums.
 *
 * Of libfdt only those functions are used that Debian compiles without a stack canary (fdt_check_header, fdt_next_tag,
 * fdt_get_name, fdt_get_property_by_offset, fdt_get_string, fdt_num_mem_rsv): the kernel has no thread-local canary.
 */
#include <kernel/manifest.h>

#include <capos/iface.h>
#include <kernel/debug.h>
#include <kernel/sched.h>
#include <lib/fmt.h>
#include <libfdt.h>
#include <string.h>

#define REFUSE(parser, ...)                                                                                          \
	do {                                                                                                         \
		fmt_buf((parser)->refusal->reason, MANIFEST_TEXT_BYTES, __VA_ARGS__);                                \
		return false;                                                                                        \
	} while (0)

#define DEPTH_MAX 3

enum node_kind {
	NODE_ROOT,
	NODE_OPTIONS,
	NODE_ACCOUNTS,
	NODE_ACCOUNT,
	NODE_POLICIES,
	NODE_POLICY,
	NODE_CONTEXTS,
	NODE_CONTEXT,
	NODE_PROCESSES,
	NODE_PROCESS,
	NODE_KINDS
};

struct node_rule {
	enum node_kind parent;
	enum node_kind kind;
	const char *name; /* NULL: any */
};

static const struct node_rule node_rules[] = {
	{ NODE_ROOT, NODE_OPTIONS, "options" },	    { NODE_ROOT, NODE_ACCOUNTS, "accounts" },
	{ NODE_ROOT, NODE_PROCESSES, "processes" }, { NODE_ACCOUNTS, NODE_ACCOUNT, NULL },
	{ NODE_PROCESSES, NODE_PROCESS, NULL },	    { NODE_ROOT, NODE_POLICIES, "policies" },
	{ NODE_POLICIES, NODE_POLICY, NULL },	    { NODE_ROOT, NODE_CONTEXTS, "contexts" },
	{ NODE_CONTEXTS, NODE_CONTEXT, NULL },
};

enum property_type {
	TYPE_U32,
	TYPE_NAME,
	TYPE_TEXT,
	TYPE_BYTES,
	TYPE_FLAG,
	TYPE_CPUS,
	TYPE_COMPATIBLE,
	TYPE_LEVEL,
	TYPE_SCHEDULER,
	TYPE_CLASS,
	TYPE_SCOPE,
	TYPE_CAPS,
	TYPE_EXPORTS
};

struct property_rule {
	enum node_kind node;
	const char *name;
	enum property_type type;
	bool required;
	u32 min, max;	   /* of the value, or of the bytes */
	u32 offset;	   /* in the node's record */
	u32 length_offset; /* TYPE_BYTES with min != max: where the length goes; TYPE_CPUS: the highest */
};

#define ACCOUNT(field) offsetof(struct capos_account, field)
#define POLICY(field) offsetof(struct manifest_policy, field)
#define CONTEXT(field) offsetof(struct manifest_context, field)
#define PROCESS(field) offsetof(struct manifest_process, field)

#define BUDGET_MIN_US (u32)(CAPOS_CONTEXT_BUDGET_MIN_NS / 1000)
#define PERIOD_MAX_US (u32)(CAPOS_CONTEXT_PERIOD_MAX_NS / 1000)

#define REQUEST_MIN_US (u32)(CAPOS_REQUEST_MIN_NS / 1000)
#define REQUEST_MAX_US (u32)(CAPOS_REQUEST_MAX_NS / 1000)

static const struct property_rule property_rules[] = {
	{ NODE_ROOT, "compatible", TYPE_COMPATIBLE, true, 0, 0, 0, 0 },
	{ NODE_OPTIONS, "log-level", TYPE_LEVEL, false, 0, 0, offsetof(struct manifest, log_level), 0 },
	{ NODE_OPTIONS, "scheduler", TYPE_SCHEDULER, false, 0, 0, offsetof(struct manifest, scheduler), 0 },
	{ NODE_ACCOUNT, "account-id", TYPE_U32, true, 1, ~0u, ACCOUNT(id), 0 },
	{ NODE_ACCOUNT, "iterations", TYPE_U32, true, 1, 10000000, ACCOUNT(iterations), 0 },
	{ NODE_ACCOUNT, "salt", TYPE_BYTES, true, 8, 32, ACCOUNT(salt), ACCOUNT(salt_bytes) },
	{ NODE_ACCOUNT, "hash", TYPE_BYTES, true, 32, 32, ACCOUNT(hash), 0 },
	{ NODE_ACCOUNT, "shell", TYPE_NAME, true, 0, CAPOS_NAME_BYTES, ACCOUNT(shell), 0 },
	{ NODE_POLICY, "scope", TYPE_SCOPE, true, 0, 0, POLICY(scope), 0 },
	{ NODE_POLICY, "class-best", TYPE_CLASS, false, 0, 0, POLICY(class_best), 0 },
	{ NODE_POLICY, "weight-max", TYPE_U32, false, 1, CAPOS_WEIGHT_MAX, POLICY(weight_max), 0 },
	{ NODE_POLICY, "request-min-us", TYPE_U32, false, REQUEST_MIN_US, REQUEST_MAX_US, POLICY(request_min_us), 0 },
	{ NODE_POLICY, "request-max-us", TYPE_U32, false, REQUEST_MIN_US, REQUEST_MAX_US, POLICY(request_max_us), 0 },
	{ NODE_POLICY, "expires-ms", TYPE_U32, false, 1, ~0u, POLICY(expires_ms), 0 },
	{ NODE_CONTEXT, "budget-us", TYPE_U32, true, BUDGET_MIN_US, PERIOD_MAX_US, CONTEXT(budget_us), 0 },
	{ NODE_CONTEXT, "period-us", TYPE_U32, true, BUDGET_MIN_US, PERIOD_MAX_US, CONTEXT(period_us), 0 },
	{ NODE_CONTEXT, "cpus", TYPE_CPUS, false, 0, CAPOS_CPU_SET_BYTES * 8 - 1, CONTEXT(cpus), CONTEXT(cpus_last) },
	{ NODE_PROCESS, "program", TYPE_NAME, true, 0, CAPOS_NAME_BYTES, PROCESS(program), 0 },
	{ NODE_PROCESS, "args", TYPE_TEXT, false, 0, 96, PROCESS(args), 0 },
	{ NODE_PROCESS, "memory-kib", TYPE_U32, false, 256, 1u << 30, PROCESS(memory_kib), 0 },
	{ NODE_PROCESS, "slots", TYPE_U32, false, 16, 65536, PROCESS(slots), 0 },
	{ NODE_PROCESS, "threads", TYPE_U32, false, 1, 65536, PROCESS(threads), 0 },
	{ NODE_PROCESS, "processes", TYPE_U32, false, 0, 65536, PROCESS(processes), 0 },
	{ NODE_PROCESS, "cpu", TYPE_U32, false, 0, ~0u, PROCESS(cpu), 0 },
	{ NODE_PROCESS, "cpus", TYPE_CPUS, false, 0, CAPOS_CPU_SET_BYTES * 8 - 1, PROCESS(cpus), PROCESS(cpus_last) },
	{ NODE_PROCESS, "one-cpu", TYPE_FLAG, false, 0, 0, PROCESS(one_cpu), 0 },
	{ NODE_PROCESS, "optional", TYPE_FLAG, false, 0, 0, PROCESS(optional), 0 },
	{ NODE_PROCESS, "caps", TYPE_CAPS, false, 0, 0, 0, 0 },
	{ NODE_PROCESS, "exports", TYPE_EXPORTS, false, 0, 0, 0, 0 },
};
_Static_assert(ARRAY_COUNT(property_rules) <= 32, "a bit each in node.seen");
/* account-id is one word of the blob stored into the low half of a zeroed u64. */

#define R(right) CAPOS_RIGHT_##right

struct source {
	const char *name;
	u32 iface;
	u32 rights; /* that it has */
};

static const struct source sources[] = {
	{ "console", CAPOS_IFACE_console, R(READ) | R(WRITE) | R(CONTROL) | R(GRANT) },
	{ "log", CAPOS_IFACE_log, R(READ) | R(WRITE) | R(GRANT) },
	{ "entropy", CAPOS_IFACE_entropy, R(READ) | R(GRANT) },
	{ "timer", CAPOS_IFACE_timer, R(READ) | R(WAIT) | R(GRANT) },
	{ "wall_clock", CAPOS_IFACE_wall_clock, R(READ) | R(GRANT) },
	{ "system_info", CAPOS_IFACE_system_info, R(READ) | R(GRANT) },
	{ "trace", CAPOS_IFACE_trace, R(READ) | R(CONTROL) | R(GRANT) },
	{ "power", CAPOS_IFACE_power, R(CONTROL) | R(GRANT) },
	{ "process_spawner", CAPOS_IFACE_process_spawner, R(READ) | R(CREATE) | R(GRANT) },
	{ "session_manager", CAPOS_IFACE_session_manager, R(READ) | R(CREATE) | R(GRANT) },
};

/* Those of which there are several: the name follows a colon. */
static const struct source named_sources[] = {
	{ "endpoint:", CAPOS_IFACE_endpoint, R(CALL) | R(GRANT) },
	{ "scheduling_policy:", CAPOS_IFACE_scheduling_policy, R(READ) | R(CONTROL) | R(CREATE) | R(GRANT) },
	{ "scheduling_context:", CAPOS_IFACE_scheduling_context, R(READ) | R(CONTROL) | R(CREATE) | R(GRANT) },
};

static const struct {
	char letter;
	u32 right;
} right_letters[] = {
	{ 'r', R(READ) },   { 'w', R(WRITE) },	{ 'x', R(EXEC) },    { 'c', R(CALL) },
	{ 'v', R(RECV) },   { 's', R(SIGNAL) }, { 't', R(WAIT) },    { 'k', R(CONTROL) },
	{ 'n', R(CREATE) }, { 'g', R(GRANT) },	{ 'd', R(DESTROY) },
};

static const char *const standard_names[MANIFEST_STANDARD_CAPS] = { "caps", "space",   "threads",
								    "self", "factory", "park" };
static const char *const level_names[] = { "error", "warn", "info", "debug", NULL };
#define X(name, value, text) [value] = text,
static const char *const class_names[] = { CAPOS_LATENCY_CLASSES(X) NULL };
#undef X
static const char *const scope_names[] = { "", "thread", "process", "machine", NULL };

struct node {
	enum node_kind kind;
	u32 seen; /* bit n: property_rules[n] */
	u32 path_bytes;
	u8 *record;
	u32 children_seen; /* bit n: node_rules[n] */
};

struct parser {
	const u8 *fdt;
	const struct manifest_machine *machine;
	struct manifest *manifest;
	struct manifest_refusal *refusal;
	struct node stack[DEPTH_MAX];
	int depth; /* nodes open */
};

/* --- paths -------------------------------------------------------------------------------------------------------- */

static void path_cut(struct parser *parser, u32 bytes)
{
	parser->refusal->path[bytes] = 0;
	if (bytes == 0)
		memcpy(parser->refusal->path, "/", 2);
}

static void path_add(struct parser *parser, u32 bytes, const char *name)
{
	fmt_buf(parser->refusal->path + bytes, MANIFEST_TEXT_BYTES - bytes, "/%.40s", name);
}

/* --- values ------------------------------------------------------------------------------------------------------- */

static bool name_is_good(const char *name, size_t bytes)
{
	if (bytes == 0 || bytes >= CAPOS_NAME_BYTES)
		return false;
	for (size_t i = 0; i < bytes; i++) {
		char c = name[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
		      c == '_'))
			return false;
	}
	return true;
}

/* One 0-terminated string and nothing else. */
static bool is_string(const u8 *data, u32 bytes)
{
	return bytes > 0 && data[bytes - 1] == 0 && strlen((const char *)data) == bytes - 1;
}

static u32 read_be32(const u8 *data)
{
	return (u32)data[0] << 24 | (u32)data[1] << 16 | (u32)data[2] << 8 | data[3];
}

static bool read_u32(struct parser *parser, const struct property_rule *rule, const u8 *data, u32 bytes, u8 *record)
{
	u32 value;

	if (bytes != sizeof(u32))
		REFUSE(parser, "not one number");
	value = read_be32(data);
	if (value < rule->min || value > rule->max)
		REFUSE(parser, "%u is not in %u..%u", value, rule->min, rule->max);
	memcpy(record + rule->offset, &value, sizeof(value));
	return true;
}

/* A list of numbers, as a canonical set. */
static bool read_cpus(struct parser *parser, const struct property_rule *rule, const u8 *data, u32 bytes, u8 *record)
{
	struct capos_cpu_set *set = (struct capos_cpu_set *)(record + rule->offset);
	u32 last = 0;

	if (bytes == 0 || bytes % sizeof(u32) != 0)
		REFUSE(parser, "not a list of numbers");
	for (u32 at = 0; at < bytes; at += sizeof(u32)) {
		u32 cpu = read_be32(data + at);

		if (cpu > rule->max)
			REFUSE(parser, "%u is not in %u..%u", cpu, rule->min, rule->max);
		last = MAX(last, cpu);
		set->byte[cpu / 8] |= (u8)(1u << (cpu % 8));
	}
	set->byte_count = (u16)(last / 8 + 1);
	memcpy(record + rule->length_offset, &last, sizeof(last));
	return true;
}

static bool read_text(struct parser *parser, const struct property_rule *rule, const u8 *data, u32 bytes, u8 *record)
{
	if (!is_string(data, bytes))
		REFUSE(parser, "not one string");
	if (bytes > rule->max)
		REFUSE(parser, "longer than %u bytes", rule->max - 1);
	if (rule->type == TYPE_NAME && !name_is_good((const char *)data, bytes - 1))
		REFUSE(parser, "\"%s\" is not a name", (const char *)data);
	memcpy(record + rule->offset, data, bytes);
	return true;
}

static bool read_bytes(struct parser *parser, const struct property_rule *rule, const u8 *data, u32 bytes, u8 *record)
{
	if (bytes < rule->min || bytes > rule->max)
		REFUSE(parser, "%u bytes are not in %u..%u", bytes, rule->min, rule->max);
	memcpy(record + rule->offset, data, bytes);
	if (rule->min != rule->max)
		memcpy(record + rule->length_offset, &bytes, sizeof(bytes));
	return true;
}

/* A word of the list, which NULL ends: its index. */
static bool read_word(struct parser *parser, const struct property_rule *rule, const u8 *data, u32 bytes, u8 *record,
		      const char *what, const char *const *words)
{
	if (!is_string(data, bytes))
		REFUSE(parser, "not one string");
	for (u32 i = 0; words[i] != NULL; i++) {
		if (bytes > 1 && strcmp((const char *)data, words[i]) == 0) {
			memcpy(record + rule->offset, &i, sizeof(i));
			return true;
		}
	}
	REFUSE(parser, "unknown %s \"%.40s\"", what, (const char *)data);
}

/* --- capabilities ------------------------------------------------------------------------------------------------- */

static bool cap_rights(struct parser *parser, struct manifest_cap *cap, const char *letters, size_t count, u32 has)
{
	for (size_t i = 0; i < count; i++) {
		u32 right = 0;

		for (u32 k = 0; k < ARRAY_COUNT(right_letters); k++)
			if (right_letters[k].letter == letters[i])
				right = right_letters[k].right;
		if (right == 0)
			REFUSE(parser, "unknown right '%c' of \"%s\"",
			       letters[i] >= ' ' && letters[i] <= '~' ? letters[i] : '?', cap->source);
		if ((has & right) == 0)
			REFUSE(parser, "impossible grant: \"%s\" has no right '%c'", cap->source, letters[i]);
		cap->rights |= right;
	}
	if (cap->rights == 0)
		REFUSE(parser, "no rights of \"%s\"", cap->source);
	return true;
}

static bool cap_source(struct parser *parser, struct manifest_cap *cap, const char *text, size_t bytes, u32 *has)
{
	memcpy(cap->source, text, MIN(bytes, sizeof(cap->source) - 1));
	for (u32 i = 0; i < ARRAY_COUNT(sources); i++) {
		if (strlen(sources[i].name) == bytes && memcmp(sources[i].name, text, bytes) == 0) {
			cap->iface = sources[i].iface;
			*has = sources[i].rights;
			memcpy(cap->name, text, bytes);
			return true;
		}
	}
	for (u32 i = 0; i < ARRAY_COUNT(named_sources); i++) {
		const struct source *source = &named_sources[i];
		size_t prefix_bytes = strlen(source->name);

		if (bytes > prefix_bytes && memcmp(text, source->name, prefix_bytes) == 0 &&
		    name_is_good(text + prefix_bytes, bytes - prefix_bytes)) {
			cap->iface = source->iface;
			*has = source->rights;
			memcpy(cap->behind_colon, text + prefix_bytes, bytes - prefix_bytes);
			memcpy(cap->name, text + prefix_bytes, bytes - prefix_bytes);
			return true;
		}
	}
	REFUSE(parser, "unknown source \"%s\"", cap->source);
}

/* SOURCE[/RIGHTS][=NAME] */
static bool read_cap(struct parser *parser, struct manifest_process *process, const char *text)
{
	size_t source_bytes = strcspn(text, "/=");
	const char *rest = text + source_bytes;
	struct manifest_cap *cap;
	u32 has;

	if (process->cap_count == MANIFEST_CAPS_MAX)
		REFUSE(parser, "more than %u capabilities", MANIFEST_CAPS_MAX);
	cap = &process->caps[process->cap_count];
	if (!cap_source(parser, cap, text, source_bytes, &has))
		return false;
	if (*rest == '/') {
		size_t letters = strcspn(rest + 1, "=");

		if (!cap_rights(parser, cap, rest + 1, letters, has))
			return false;
		rest += 1 + letters;
	} else {
		cap->rights = has;
	}
	if (*rest == '=') {
		if (!name_is_good(rest + 1, strlen(rest + 1)))
			REFUSE(parser, "\"%.40s\" is not a name", rest + 1);
		memset(cap->name, 0, sizeof(cap->name));
		memcpy(cap->name, rest + 1, strlen(rest + 1));
	}
	process->cap_count++;
	return true;
}

static bool read_export(struct parser *parser, struct manifest_process *process, const char *name)
{
	struct manifest_cap *cap;

	if (process->cap_count == MANIFEST_CAPS_MAX)
		REFUSE(parser, "more than %u capabilities", MANIFEST_CAPS_MAX);
	if (!name_is_good(name, strlen(name)))
		REFUSE(parser, "\"%.40s\" is not a name", name);
	cap = &process->caps[process->cap_count++];
	fmt_buf(cap->source, sizeof(cap->source), "%s", name);
	memcpy(cap->name, name, strlen(name));
	memcpy(cap->behind_colon, name, strlen(name));
	cap->iface = CAPOS_IFACE_endpoint;
	cap->rights = CAPOS_RIGHTS_ALL;
	cap->server = (u32)(process - parser->manifest->processes);
	cap->exported = true;
	return true;
}

static bool read_list(struct parser *parser, const struct property_rule *rule, const u8 *data, u32 bytes, u8 *record)
{
	struct manifest_process *process = (struct manifest_process *)record;

	if (bytes == 0 || data[bytes - 1] != 0)
		REFUSE(parser, "not a list of strings");
	for (u32 at = 0; at < bytes; at += (u32)strlen((const char *)data + at) + 1) {
		const char *text = (const char *)data + at;

		if (!(rule->type == TYPE_CAPS ? read_cap(parser, process, text) : read_export(parser, process, text)))
			return false;
	}
	return true;
}

/* --- the walk ----------------------------------------------------------------------------------------------------- */

static bool read_value(struct parser *parser, const struct property_rule *rule, const u8 *data, u32 bytes, u8 *record)
{
	static const char compatible[] = "capos,manifest-1";

	switch (rule->type) {
	case TYPE_U32:
		return read_u32(parser, rule, data, bytes, record);
	case TYPE_NAME:
	case TYPE_TEXT:
		return read_text(parser, rule, data, bytes, record);
	case TYPE_BYTES:
		return read_bytes(parser, rule, data, bytes, record);
	case TYPE_LEVEL:
		return read_word(parser, rule, data, bytes, record, "level", level_names);
	case TYPE_CLASS:
		return read_word(parser, rule, data, bytes, record, "class", class_names);
	case TYPE_SCOPE:
		return read_word(parser, rule, data, bytes, record, "scope", scope_names);
	case TYPE_SCHEDULER:
		return read_word(parser, rule, data, bytes, record, "scheduler", sched_policy_names);
	case TYPE_CAPS:
	case TYPE_EXPORTS:
		return read_list(parser, rule, data, bytes, record);
	case TYPE_CPUS:
		return read_cpus(parser, rule, data, bytes, record);
	case TYPE_FLAG:
		if (bytes != 0)
			REFUSE(parser, "takes no value");
		memset(record + rule->offset, 1, 1);
		return true;
	case TYPE_COMPATIBLE:
		if (bytes != sizeof(compatible) || memcmp(data, compatible, bytes) != 0)
			REFUSE(parser, "not \"%s\"", compatible);
		return true;
	}
	return false;
}

static bool take_property(struct parser *parser, int offset)
{
	struct node *node = &parser->stack[parser->depth - 1];
	const struct fdt_property *property;
	const char *name;
	int bytes;

	property = fdt_get_property_by_offset(parser->fdt, offset, &bytes);
	name = property != NULL ? fdt_get_string(parser->fdt, (int)fdt32_ld(&property->nameoff), NULL) : NULL;
	if (name == NULL || bytes < 0)
		REFUSE(parser, "malformed property");
	path_add(parser, node->path_bytes, name);
	for (u32 i = 0; i < ARRAY_COUNT(property_rules); i++) {
		const struct property_rule *rule = &property_rules[i];

		if (rule->node != node->kind || strcmp(rule->name, name) != 0)
			continue;
		if ((node->seen & 1u << i) != 0)
			REFUSE(parser, "duplicate property");
		node->seen |= 1u << i;
		if (!read_value(parser, rule, (const u8 *)property->data, (u32)bytes, node->record))
			return false;
		path_cut(parser, node->path_bytes);
		return true;
	}
	REFUSE(parser, "unknown property");
}

/* The record of a named account or process, defaults set. */
static bool open_record(struct parser *parser, struct node *node, const char *name)
{
	struct manifest *manifest = parser->manifest;

	if (node->kind == NODE_ACCOUNT) {
		struct capos_account *account = &manifest->accounts[manifest->account_count];

		if (manifest->account_count == MANIFEST_ACCOUNTS_MAX)
			REFUSE(parser, "more than %u accounts", MANIFEST_ACCOUNTS_MAX);
		for (u32 i = 0; i < manifest->account_count; i++)
			if (strcmp(manifest->accounts[i].name, name) == 0)
				REFUSE(parser, "duplicate name");
		memcpy(account->name, name, strlen(name));
		manifest->account_count++;
		node->record = (u8 *)account;
	} else if (node->kind == NODE_POLICY) {
		struct manifest_policy *policy = &manifest->policies[manifest->policy_count];

		if (manifest->policy_count == MANIFEST_POLICIES_MAX)
			REFUSE(parser, "more than %u policies", MANIFEST_POLICIES_MAX);
		for (u32 i = 0; i < manifest->policy_count; i++)
			if (strcmp(manifest->policies[i].name, name) == 0)
				REFUSE(parser, "duplicate name");
		memcpy(policy->name, name, strlen(name));
		policy->weight_max = CAPOS_WEIGHT_MAX;
		policy->request_min_us = REQUEST_MIN_US;
		policy->request_max_us = REQUEST_MAX_US;
		manifest->policy_count++;
		node->record = (u8 *)policy;
	} else if (node->kind == NODE_CONTEXT) {
		struct manifest_context *context = &manifest->contexts[manifest->context_count];

		if (manifest->context_count == MANIFEST_CONTEXTS_MAX)
			REFUSE(parser, "more than %u contexts", MANIFEST_CONTEXTS_MAX);
		for (u32 i = 0; i < manifest->context_count; i++)
			if (strcmp(manifest->contexts[i].name, name) == 0)
				REFUSE(parser, "duplicate name");
		memcpy(context->name, name, strlen(name));
		manifest->context_count++;
		node->record = (u8 *)context;
	} else if (node->kind == NODE_PROCESS) {
		struct manifest_process *process = &manifest->processes[manifest->process_count];

		if (manifest->process_count == MANIFEST_PROCESSES_MAX)
			REFUSE(parser, "more than %u processes", MANIFEST_PROCESSES_MAX);
		for (u32 i = 0; i < manifest->process_count; i++)
			if (strcmp(manifest->processes[i].name, name) == 0)
				REFUSE(parser, "duplicate name");
		memcpy(process->name, name, strlen(name));
		process->memory_kib = 1024;
		process->slots = 64;
		process->threads = 8;
		process->cpu = CAPOS_CPU_ANY;
		manifest->process_count++;
		node->record = (u8 *)process;
	} else {
		node->record = (u8 *)manifest;
	}
	return true;
}

static bool open_root(struct parser *parser, const char *name)
{
	if (name[0] != 0)
		REFUSE(parser, "the root has a name");
	parser->stack[0] = (struct node){ .kind = NODE_ROOT, .record = (u8 *)parser->manifest };
	parser->depth = 1;
	return true;
}

static bool open_node(struct parser *parser, int offset)
{
	const char *name = fdt_get_name(parser->fdt, offset, NULL);
	struct node *parent;
	struct node *node;

	if (name == NULL)
		REFUSE(parser, "malformed node");
	if (parser->depth == 0)
		return open_root(parser, name);
	parent = &parser->stack[parser->depth - 1];
	path_add(parser, parent->path_bytes, name);
	for (u32 i = 0; parser->depth < DEPTH_MAX && i < ARRAY_COUNT(node_rules); i++) {
		const struct node_rule *rule = &node_rules[i];

		if (rule->parent != parent->kind || (rule->name != NULL && strcmp(rule->name, name) != 0))
			continue;
		if (rule->name != NULL && (parent->children_seen & 1u << i) != 0)
			REFUSE(parser, "duplicate node");
		if (rule->name == NULL && !name_is_good(name, strlen(name)))
			REFUSE(parser, "not a name");
		parent->children_seen |= 1u << i;
		node = &parser->stack[parser->depth++];
		*node = (struct node){ .kind = rule->kind, .path_bytes = (u32)strlen(parser->refusal->path) };
		return open_record(parser, node, name);
	}
	REFUSE(parser, "unknown node");
}

static bool close_node(struct parser *parser)
{
	struct node *node = &parser->stack[parser->depth - 1];

	for (u32 i = 0; i < ARRAY_COUNT(property_rules); i++)
		if (property_rules[i].node == node->kind && property_rules[i].required && (node->seen & 1u << i) == 0)
			REFUSE(parser, "property \"%s\" is missing", property_rules[i].name);
	parser->depth--;
	path_cut(parser, parser->depth > 0 ? parser->stack[parser->depth - 1].path_bytes : 0);
	return true;
}

static bool walk(struct parser *parser)
{
	int next = 0;
	bool closed = false;

	for (;;) {
		int offset = next;
		u32 tag = fdt_next_tag(parser->fdt, offset, &next);

		if (next < 0)
			REFUSE(parser, "malformed blob (libfdt error %d)", -next);
		switch (tag) {
		case FDT_BEGIN_NODE:
			if (closed)
				REFUSE(parser, "two root nodes");
			if (!open_node(parser, offset))
				return false;
			break;
		case FDT_PROP:
			if (parser->depth == 0)
				REFUSE(parser, "property outside of a node");
			if (!take_property(parser, offset))
				return false;
			break;
		case FDT_END_NODE:
			if (parser->depth == 0)
				REFUSE(parser, "end of a node that is not open");
			if (!close_node(parser))
				return false;
			closed = parser->depth == 0;
			break;
		case FDT_NOP:
			break;
		case FDT_END:
			if (!closed)
				REFUSE(parser, "a node is not closed");
			return true;
		default:
			REFUSE(parser, "unknown token %u", tag);
		}
	}
}

/* --- checks of the whole ------------------------------------------------------------------------------------------ */

static bool check_accounts(struct parser *parser)
{
	const struct manifest *manifest = parser->manifest;

	for (u32 i = 0; i < manifest->account_count; i++) {
		const struct capos_account *account = &manifest->accounts[i];

		fmt_buf(parser->refusal->path, MANIFEST_TEXT_BYTES, "/accounts/%s/account-id", account->name);
		for (u32 k = 0; k < i; k++)
			if (manifest->accounts[k].id == account->id)
				REFUSE(parser, "duplicate account id %llu", (unsigned long long)account->id);
		fmt_buf(parser->refusal->path, MANIFEST_TEXT_BYTES, "/accounts/%s/shell", account->name);
		if (!parser->machine->has_program(parser->machine, account->shell))
			REFUSE(parser, "unknown program \"%s\"", account->shell);
	}
	return true;
}

/* The process that exports `name`, at most one before `limit`. */
static bool find_export(const struct manifest *manifest, const char *name, u32 limit, u32 *server)
{
	for (u32 i = 0; i < limit; i++) {
		for (u32 k = 0; k < manifest->processes[i].cap_count; k++) {
			const struct manifest_cap *cap = &manifest->processes[i].caps[k];

			if (cap->exported && strcmp(cap->behind_colon, name) == 0) {
				*server = i;
				return true;
			}
		}
	}
	return false;
}

static bool check_policies(struct parser *parser)
{
	const struct manifest *manifest = parser->manifest;

	for (u32 i = 0; i < manifest->policy_count; i++) {
		const struct manifest_policy *policy = &manifest->policies[i];

		fmt_buf(parser->refusal->path, MANIFEST_TEXT_BYTES, "/policies/%s/request-max-us", policy->name);
		if (policy->request_max_us < policy->request_min_us)
			REFUSE(parser, "%u is less than request-min-us, %u", policy->request_max_us,
			       policy->request_min_us);
	}
	return true;
}

static bool check_contexts(struct parser *parser)
{
	const struct manifest *manifest = parser->manifest;

	for (u32 i = 0; i < manifest->context_count; i++) {
		const struct manifest_context *context = &manifest->contexts[i];

		fmt_buf(parser->refusal->path, MANIFEST_TEXT_BYTES, "/contexts/%s/budget-us", context->name);
		if (context->budget_us > context->period_us)
			REFUSE(parser, "%u is more than period-us, %u", context->budget_us, context->period_us);
		fmt_buf(parser->refusal->path, MANIFEST_TEXT_BYTES, "/contexts/%s/cpus", context->name);
		if (context->cpus.byte_count != 0 && context->cpus_last >= parser->machine->cpu_count)
			REFUSE(parser, "the machine has no CPU %u", context->cpus_last);
	}
	return true;
}

static bool find_context(const struct manifest *manifest, const char *name, u32 *index)
{
	for (*index = 0; *index < manifest->context_count; (*index)++)
		if (strcmp(manifest->contexts[*index].name, name) == 0)
			return true;
	return false;
}

static bool find_policy(const struct manifest *manifest, const char *name, u32 *index)
{
	for (*index = 0; *index < manifest->policy_count; (*index)++)
		if (strcmp(manifest->policies[*index].name, name) == 0)
			return true;
	return false;
}

static bool check_cap(struct parser *parser, u32 index, u32 cap_index)
{
	struct manifest_process *process = &parser->manifest->processes[index];
	struct manifest_cap *cap = &process->caps[cap_index];
	u32 other;

	fmt_buf(parser->refusal->path, MANIFEST_TEXT_BYTES, "/processes/%s/%s", process->name,
		cap->exported ? "exports" : "caps");
	for (u32 i = 0; i < MANIFEST_STANDARD_CAPS; i++)
		if (strcmp(cap->name, standard_names[i]) == 0)
			REFUSE(parser, "duplicate capability name \"%s\": every process has it", cap->name);
	for (u32 i = 0; i < cap_index; i++)
		if (strcmp(cap->name, process->caps[i].name) == 0)
			REFUSE(parser, "duplicate capability name \"%s\"", cap->name);
	if (cap->exported && find_export(parser->manifest, cap->behind_colon, index, &other))
		REFUSE(parser, "duplicate export \"%s\"", cap->behind_colon);
	if (cap->iface == CAPOS_IFACE_endpoint &&
	    !find_export(parser->manifest, cap->behind_colon, parser->manifest->process_count, &cap->server))
		REFUSE(parser, "impossible grant: nobody exports \"%s\"", cap->behind_colon);
	if (cap->iface == CAPOS_IFACE_scheduling_policy &&
	    !find_policy(parser->manifest, cap->behind_colon, &cap->server))
		REFUSE(parser, "impossible grant: there is no policy \"%s\"", cap->behind_colon);
	if (cap->iface == CAPOS_IFACE_scheduling_context &&
	    !find_context(parser->manifest, cap->behind_colon, &cap->server))
		REFUSE(parser, "impossible grant: there is no context \"%s\"", cap->behind_colon);
	return true;
}

static bool check_process(struct parser *parser, u32 index, u64 *memory_kib)
{
	const struct manifest_process *process = &parser->manifest->processes[index];
	const struct manifest_machine *machine = parser->machine;
	char *path = parser->refusal->path;

	fmt_buf(path, MANIFEST_TEXT_BYTES, "/processes/%s/program", process->name);
	if (!machine->has_program(machine, process->program))
		REFUSE(parser, "unknown program \"%s\"", process->program);
	fmt_buf(path, MANIFEST_TEXT_BYTES, "/processes/%s/cpu", process->name);
	if (process->cpu != CAPOS_CPU_ANY && process->cpu >= machine->cpu_count)
		REFUSE(parser, "the machine has no CPU %u", process->cpu);
	if (process->cpu == CAPOS_CPU_ANY && process->one_cpu != 0)
		REFUSE(parser, "one-cpu, but not which");
	fmt_buf(path, MANIFEST_TEXT_BYTES, "/processes/%s/cpus", process->name);
	if (process->cpus.byte_count != 0 && process->cpu != CAPOS_CPU_ANY)
		REFUSE(parser, "cpu, and cpus");
	if (process->cpus.byte_count != 0 && process->cpus_last >= machine->cpu_count)
		REFUSE(parser, "the machine has no CPU %u", process->cpus_last);
	fmt_buf(path, MANIFEST_TEXT_BYTES, "/processes/%s/memory-kib", process->name);
	*memory_kib += process->memory_kib;
	if (*memory_kib > machine->memory_bytes / 1024)
		REFUSE(parser, "memory quotas exceed the machine: %llu KiB of %llu", (unsigned long long)*memory_kib,
		       (unsigned long long)(machine->memory_bytes / 1024));
	for (u32 i = 0; i < process->cap_count; i++)
		if (!check_cap(parser, index, i))
			return false;
	return true;
}

static bool check_whole(struct parser *parser)
{
	u64 memory_kib = 0;

	if (!check_accounts(parser) || !check_policies(parser) || !check_contexts(parser))
		return false;
	fmt_buf(parser->refusal->path, MANIFEST_TEXT_BYTES, "/processes");
	if (parser->manifest->process_count == 0)
		REFUSE(parser, "no process");
	for (u32 i = 0; i < parser->manifest->process_count; i++)
		if (!check_process(parser, i, &memory_kib))
			return false;
	return true;
}

static bool check_blob(struct parser *parser, u64 bytes)
{
	int error;

	if (bytes < sizeof(struct fdt_header))
		REFUSE(parser, "truncated blob");
	error = fdt_check_header(parser->fdt);
	if (error != 0)
		REFUSE(parser, "malformed blob (libfdt error %d)", -error);
	if (fdt_totalsize(parser->fdt) > bytes)
		REFUSE(parser, "truncated blob");
	if (fdt_version(parser->fdt) != 17)
		REFUSE(parser, "blob of version %u, not 17", fdt_version(parser->fdt));
	if (fdt_num_mem_rsv(parser->fdt) != 0)
		REFUSE(parser, "memory reservations");
	return true;
}

bool manifest_parse(const void *blob, u64 bytes, const struct manifest_machine *machine, struct manifest *manifest,
		    struct manifest_refusal *refusal)
{
	struct parser parser = { .fdt = blob, .machine = machine, .manifest = manifest, .refusal = refusal };

	manifest->log_level = LOG_INFO;
	path_cut(&parser, 0);
	return check_blob(&parser, bytes) && walk(&parser) && check_whole(&parser);
}
