/* SPDX-License-Identifier: MIT */
/* Names from the lists of the contract. */
#include <user/names.h>

#include <lib/fmt.h>
#include <user/mem.h>

const char *status_name(unsigned status)
{
	switch (status) {
#define X(name, value, text)                                                                                         \
	case CAPOS_STATUS_##name:                                                                                    \
		return text;
		CAPOS_STATUSES(X)
#undef X
	default:
		return "?";
	}
}

const char *iface_name(uint32_t iface)
{
	switch (iface) {
#define X(name, id)                                                                                                  \
	case CAPOS_IFACE_##name:                                                                                     \
		return #name;
		CAPOS_INTERFACES(X)
#undef X
	case CAPOS_IFACE_FAULT:
		return "fault";
	default:
		return iface >= CAPOS_IFACE_USER ? "user" : "?";
	}
}

#define M(iface, method, id, ...)                                                                                    \
	case CAPOS_METHOD_##iface##_##method:                                                                        \
		return #method;
#define X(name, id)                                                                                                  \
	static const char *method_name_##name(unsigned method)                                                       \
	{                                                                                                            \
		switch (method) {                                                                                    \
			CAPOS_METHODS_##name(M) default : return "?";                                                \
		}                                                                                                    \
	}
CAPOS_INTERFACES(X)
#undef X
#undef M

const char *method_name(uint32_t iface, unsigned method)
{
	switch (iface) {
#define X(name, id)                                                                                                  \
	case CAPOS_IFACE_##name:                                                                                     \
		return method_name_##name(method);
		CAPOS_INTERFACES(X)
#undef X
	default:
		return "?";
	}
}

const char *wait_name(uint32_t wait)
{
	switch (wait) {
#define X(name, value, text)                                                                                         \
	case CAPOS_WAIT_##name:                                                                                      \
		return text;
		CAPOS_WAITS(X)
#undef X
	default:
		return "?";
	}
}

const char *trace_event_name(unsigned event)
{
	switch (event) {
#define X(name, value, text)                                                                                         \
	case CAPOS_TRACE_##name:                                                                                     \
		return text;
		CAPOS_TRACE_EVENTS(X)
#undef X
	default:
		return "?";
	}
}

unsigned trace_event_of(const char *name)
{
#define X(id, value, text)                                                                                           \
	if (strcmp(name, text) == 0)                                                                                 \
		return CAPOS_TRACE_##id;
	CAPOS_TRACE_EVENTS(X)
#undef X
	return 0;
}

static const char *pick(const char *const *names, size_t count, uint64_t index)
{
	return index < count ? names[index] : "?";
}
#define PICK(names, index) pick(names, sizeof(names) / sizeof((names)[0]), index)

const char *thread_state_name(uint32_t state)
{
	const char *const names[] = { "?", "ready", "running", "blocked", "faulted", "dying", "throttled" };

	return PICK(names, state);
}

const char *process_state_name(uint32_t state)
{
	const char *const names[] = { "?", "building", "alive", "dying", "dead" };

	return PICK(names, state);
}

const char *exit_cause_name(uint64_t cause)
{
	const char *const names[] = { "alive",	     "exit",	     "killed",	    "fault",
				      "interrupted", "creator gone", "start failed" };

	return PICK(names, cause);
}

const char *fault_cause_name(uint64_t cause)
{
	const char *const names[] = { "none",	      "page fault",	      "privileged instruction",
				      "divide error", "invalid opcode",	      "misaligned access",
				      "breakpoint",   "floating point error", "stack fault",
				      "no memory",    "other fault" };

	return PICK(names, cause);
}

const char *quota_name(uint32_t quota)
{
	const char *const names[] = { "?", "memory", "slots", "threads", "processes" };

	return PICK(names, quota);
}

const char *iresult_name(uint32_t iface, unsigned iresult)
{
	const char *const spawn[] = { NULL,	      "unknownProgram", "badImage", "abiMismatch", "badGrant",
				      "sessionEnded", "badSet",		"noCpu",    "badContext" };
	const char *const map[] = { NULL, "overlap", "writeExec", "pinned", "notMapped" };
	const char *const console[] = { NULL, "notOwner", "owned" };
	const char *const session[] = { NULL, "sessionEnded", "unknownAccount" };
	const char *const thread[] = { NULL, "notSelf", "badCpu", "badSet", "oneCpu", "cpuMaskMismatch" };
	const char *const park[] = { NULL, "mismatch" };
	const char *const policy[] = { NULL,	  "weightOutOfBounds", "classOutOfBounds", "requestOutOfBounds",
				       "expired", "noSuchThread",      "foreignThread",	   "wider",
				       "tooDeep", "outOfScope",	       "bufferTooSmall" };

	const char *const context[] = {
		NULL,
		"staleGeneration",
		"revoked",
		"alreadyBound",
		"threadHasContext",
		"notBound",
		"threadEnded",
		"wider",
		"budgetTooSmall",
		"passiveThread",
		"cpuMaskMismatch",
		"invalidMask",
		"notSuspended",
		"tooManyWatchers",
		"sessionEnded",
	};

	switch (iface) {
	case CAPOS_IFACE_process_spawner:
		return PICK(spawn, iresult);
	case CAPOS_IFACE_address_space:
		return PICK(map, iresult);
	case CAPOS_IFACE_console:
		return PICK(console, iresult);
	case CAPOS_IFACE_session_manager:
	case CAPOS_IFACE_user_session:
		return PICK(session, iresult);
	case CAPOS_IFACE_thread:
	case CAPOS_IFACE_thread_spawner:
		return PICK(thread, iresult);
	case CAPOS_IFACE_park_space:
		return PICK(park, iresult);
	case CAPOS_IFACE_scheduling_policy:
		return PICK(policy, iresult);
	case CAPOS_IFACE_process: /* bind_context */
	case CAPOS_IFACE_scheduling_context:
		return PICK(context, iresult);
	default:
		return NULL;
	}
}

const char *latency_class_name(uint32_t latency_class)
{
#define X(name, value, text) text,
	const char *const names[] = { CAPOS_LATENCY_CLASSES(X) };
#undef X

	return PICK(names, latency_class);
}

const char *migration_name(uint32_t kind)
{
#define X(name, value, text) text,
	const char *const names[] = { CAPOS_MIGRATIONS(X) };
#undef X

	return PICK(names, kind);
}

const char *overrun_name(uint32_t overrun)
{
	const char *const names[] = { "throttle", "best-effort", "notify", "suspend" };

	return PICK(names, overrun);
}

const char *replenishment_name(uint32_t kind)
{
	const char *const names[] = { "sporadic", "periodic", "cbs" };

	return PICK(names, kind);
}

const char *context_state_name(uint32_t state)
{
	const char *const names[] = { "unbound", "bound", "throttled", "revoked", "suspended", "best-effort" };

	return PICK(names, state);
}

void rights_text(uint32_t rights, char *text)
{
	const char *letters = "rwxcvstkngd";

	for (unsigned i = 0; i < 11; i++)
		text[i] = rights >> i & 1 ? letters[i] : '-';
	text[11] = 0;
}

const char *result_text(uint32_t iface, struct capos_result r, char text[RESULT_TEXT_BYTES])
{
	const char *name = r.iresult ? iresult_name(iface, r.iresult) : NULL;

	if (name)
		fmt_buf(text, RESULT_TEXT_BYTES, r.detail ? "%s (detail %u)" : "%s", name, r.detail);
	else if (r.iresult)
		fmt_buf(text, RESULT_TEXT_BYTES, "%s, result %u", status_name(r.status), r.iresult);
	else if (r.status == CAPOS_STATUS_QUOTA_EXCEEDED)
		fmt_buf(text, RESULT_TEXT_BYTES, "quotaExceeded: %s", quota_name(r.detail));
	else if (r.status && r.detail)
		fmt_buf(text, RESULT_TEXT_BYTES, "%s (detail %u)", status_name(r.status), r.detail);
	else
		fmt_buf(text, RESULT_TEXT_BYTES, "%s", status_name(r.status));
	return text;
}
