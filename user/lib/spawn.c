/* SPDX-License-Identifier: MIT */
/* Starting programs. */
#include <user/spawn.h>

#include <lib/fmt.h>
#include <user/names.h>
#include <user/start.h>

void spawn_init(struct capos_spawn *spawn, const char *program, const char *args)
{
	*spawn = (struct capos_spawn){
		.memory_bytes = 1u << 20,
		.slots = 64,
		.threads = 8,
		.processes = 0,
		.cpu = CAPOS_CPU_ANY,
	};
	copy_name(spawn->program, sizeof(spawn->program), program);
	copy_name(spawn->args, sizeof(spawn->args), args ? args : "");
}

bool spawn_grant(struct capos_spawn *spawn, const char *name, capos_handle h, uint32_t rights)
{
	if (!h || spawn->grant_count >= CAPOS_SPAWN_GRANTS || (spawn->flags & CAPOS_SPAWN_CPU_SET) != 0)
		return false;
	if (!rights && !result_ok(cap_table_info(known.caps, h, NULL, &rights, NULL)))
		return false;

	struct capos_grant *grant = &spawn->grants[spawn->grant_count++];

	copy_name(grant->name, sizeof(grant->name), name);
	grant->handle = h;
	grant->rights = rights;
	return true;
}

bool spawn_grant_own(struct capos_spawn *spawn, const char *name)
{
	return spawn_grant(spawn, name, cap(name), 0);
}

bool spawn_bind(struct capos_spawn *spawn, capos_handle context)
{
	if (spawn->grant_count != 0 || !spawn_grant(spawn, "context", context, CAPOS_RIGHT_READ))
		return false;
	spawn->flags |= CAPOS_SPAWN_CONTEXT;
	return true;
}

bool spawn_within(struct capos_spawn *spawn, const struct capos_cpu_set *cpus)
{
	size_t at = offsetof(struct capos_spawn, grants) + spawn->grant_count * sizeof(struct capos_grant);
	size_t bytes = sizeof(cpus->byte_count) + cpus->byte_count;

	if ((spawn->flags & CAPOS_SPAWN_CPU_SET) != 0 || at + bytes > sizeof(*spawn))
		return false;
	memcpy((char *)spawn + at, cpus, bytes);
	spawn->flags |= CAPOS_SPAWN_CPU_SET;
	return true;
}

struct capos_result spawn_start(const struct capos_spawn *spawn, capos_handle *process, uint64_t *process_id)
{
	return process_spawner_spawn(known.process_spawner, spawn, process, process_id);
}

struct capos_result spawn_finish(capos_handle process, uint64_t deadline_ns, struct process_end *end)
{
	struct capos_result r = process_wait(process, deadline_ns, end);

	if (r.status != CAPOS_STATUS_TIMED_OUT && r.status != CAPOS_STATUS_WOULD_BLOCK)
		(void)cap_table_release(known.caps, process);
	return r;
}

const char *process_end_text(const struct process_end *end, char text[END_TEXT_BYTES])
{
	switch (end->cause) {
	case CAPOS_EXIT_NORMAL:
		fmt_buf(text, END_TEXT_BYTES, "exit code %ld", (long)end->code);
		break;
	case CAPOS_EXIT_KILLED:
		fmt_buf(text, END_TEXT_BYTES, "killed, code %ld", (long)end->code);
		break;
	case CAPOS_EXIT_FAULT:
		fmt_buf(text, END_TEXT_BYTES, "fault: %s at address 0x%lx, instruction 0x%lx",
			fault_cause_name(end->fault_cause), (unsigned long)end->fault_address,
			(unsigned long)end->fault_ip);
		break;
	default:
		fmt_buf(text, END_TEXT_BYTES, "%s, code %ld", exit_cause_name(end->cause), (long)end->code);
	}
	return text;
}
