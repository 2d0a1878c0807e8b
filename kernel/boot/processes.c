/* SPDX-License-Identifier: MIT */
/*
 * The processes of the manifest: all are made up to their capabilities, then the endpoints that they export, then each
 * gets its capabilities and starts. The boot CPU runs the steps of spawn itself, before its first thread.
 */
#include "boot_priv.h"

#include <kernel/affinity.h>
#include <kernel/archive.h>
#include <kernel/debug.h>
#include <kernel/ipc.h>
#include <kernel/context.h>
#include <kernel/policy.h>
#include <kernel/process.h>
#include <kernel/spawn.h>
#include <kernel/state.h>
#include <lib/fmt.h>
#include <string.h>

static void refuse_process(const struct manifest_process *process, const char *property, const char *format, ...)
	PRINTF_LIKE(3, 4) __attribute__((noreturn));
static void refuse_process(const struct manifest_process *process, const char *property, const char *format, ...)
{
	struct manifest_refusal refusal;
	va_list args;

	fmt_buf(refusal.path, sizeof(refusal.path), "/processes/%s/%s", process->name, property);
	va_start(args, format);
	fmt_vbuf(refusal.reason, sizeof(refusal.reason), format, args);
	va_end(args);
	boot_refuse(refusal.path, refusal.reason);
}

/* A request of spawn failed: say which property was to blame. */
static void refuse_spawn(const struct manifest_process *process, const struct spawn_request *request)
{
	static const char *const quota_property[QUOTA_KINDS] = { "memory-kib", "memory-kib", "slots", "threads",
								 "processes" };
	u32 detail = CAPOS_RESULT_DETAIL(request->result);
	const char *image = spawn_refusal(request);

	if (image != NULL)
		refuse_process(process, "program", "program \"%s\": %s", process->program, image);
	if (CAPOS_RESULT_STATUS(request->result) == CAPOS_STATUS_QUOTA_EXCEEDED)
		refuse_process(process, quota_property[detail < QUOTA_KINDS ? detail : 0],
			       "too small to start \"%s\"", process->program);
	refuse_process(process, "program", "can't be started: status %u, result %u, detail %u",
		       CAPOS_RESULT_STATUS(request->result), CAPOS_RESULT_IRESULT(request->result), detail);
}

static struct spawn_request *begin_process(struct cpu *cpu, const struct manifest_process *process)
{
	struct spawn_request *request;
	void *memory;
	u32 last;

	if (pool_alloc(POOL_SPAWN, NULL, &memory) != CAPOS_STATUS_OK)
		refuse_process(process, "memory-kib", "no memory");
	request = memory;
	spawn_init(request);
	memcpy(request->name, process->name, sizeof(request->name));
	memcpy(request->args, process->args, sizeof(request->args));
	request->limits[CAPOS_QUOTA_MEMORY] = (u64)process->memory_kib * 1024;
	request->limits[CAPOS_QUOTA_SLOTS] = process->slots;
	request->limits[CAPOS_QUOTA_THREADS] = process->threads;
	request->limits[CAPOS_QUOTA_PROCESSES] = process->processes;
	request->cpu = process->cpu;
	request->one_cpu = process->one_cpu != 0;
	request->has_cpus = process->cpus.byte_count != 0;
	request->cpus = process->cpus;
	if (request->has_cpus && affinity_count(&process->cpus, &last) == 0)
		refuse_process(process, "cpus", "none of them is online");
	request->essential = process->optional == 0;
	request->file = archive_find(process->program);
	request->hold = true;
	while (!spawn_step(cpu, request))
		;
	if (request->process == NULL)
		refuse_spawn(process, request);
	return request;
}

/* The object behind a source other than an endpoint. */
static struct object *source_object(u32 iface)
{
	switch (iface) {
	case CAPOS_IFACE_process_spawner:
		return &kernel_state.manifest.process_spawner;
	case CAPOS_IFACE_session_manager:
		return &kernel_state.manifest.session_manager;
	default:
		return dev_object((u16)iface);
	}
}

static struct object *make_endpoint(struct process *owner, const struct manifest_process *process)
{
	struct endpoint *endpoint;

	if (endpoint_create(owner, 0, &endpoint) != CAPOS_STATUS_OK ||
	    (atomic_load_relaxed(&endpoint->object.state) == OBJECT_BUILDING &&
	     object_publish(&endpoint->object) != CAPOS_STATUS_OK))
		refuse_process(process, "exports", "no memory for an endpoint");
	return &endpoint->object;
}

/* The policy's object, made when the first process gets it. */
static struct object *policy_object(const struct manifest *manifest, struct object **policies, u32 index)
{
	const struct manifest_policy *policy = &manifest->policies[index];
	const struct capos_policy_bounds bounds = {
		.weight_max = policy->weight_max,
		.class_best = policy->class_best,
		.request_min_ns = policy->request_min_us * 1000ull,
		.request_max_ns = policy->request_max_us * 1000ull,
		.expires_ns = policy->expires_ms * 1000000ull,
		.scope = policy->scope,
	};

	KASSERT(policy_bounds_check(&bounds) < 0);
	if (policies[index] == NULL && (policy_create(NULL, &bounds, NULL, &policies[index]) != CAPOS_STATUS_OK ||
					object_publish(policies[index]) != CAPOS_STATUS_OK))
		boot_refuse("/policies", "no memory");
	return policies[index];
}

/* The context's object, made when the first process gets it. */
static struct object *context_object(const struct manifest *manifest, struct object **contexts, u32 index)
{
	const struct manifest_context *context = &manifest->contexts[index];
	const struct capos_context_spec spec = {
		.budget_ns = context->budget_us * 1000ull,
		.period_ns = context->period_us * 1000ull,
		.deadline_ns = context->period_us * 1000ull,
		.overrun = CAPOS_OVERRUN_THROTTLE,
		.replenishment = CAPOS_REPLENISH_SPORADIC,
	};

	const struct capos_cpu_set *cpus = context->cpus.byte_count != 0 ? &context->cpus : NULL;
	u32 last;

	if (cpus != NULL && affinity_count(cpus, &last) == 0)
		boot_refuse("/contexts", "cpus: none of them is online");
	if (contexts[index] == NULL &&
	    (context_create(NULL, &spec, NULL, cpus, &contexts[index]) != CAPOS_STATUS_OK ||
	     object_publish(contexts[index]) != CAPOS_STATUS_OK))
		boot_refuse("/contexts", "no memory");
	return contexts[index];
}

/* The endpoint that process `server` exports under that name: made when the first one asks. */
static struct object *exported_endpoint(struct spawn_request *const *requests, const struct manifest *manifest,
					struct object *endpoints[][MANIFEST_CAPS_MAX], u32 server, const char *name)
{
	const struct manifest_process *process = &manifest->processes[server];

	for (u32 i = 0; i < process->cap_count; i++) {
		if (!process->caps[i].exported || strcmp(process->caps[i].behind_colon, name) != 0)
			continue;
		if (endpoints[server][i] == NULL)
			endpoints[server][i] = make_endpoint(requests[server]->process, process);
		return endpoints[server][i];
	}
	panic("export \"%s\" was there when the manifest was checked", name);
}

/*
 * The server has its endpoint itself. Everybody else gets a grant of his own, which the kernel keeps until the last one
 * lets go: so what one process revokes is its own.
 */
static void add_cap(struct spawn_request *request, const struct manifest_process *process,
		    const struct manifest_cap *cap, struct object *object)
{
	struct spawn_cap *out = &request->caps[request->cap_count++];

	KASSERT(object != NULL && object_is_alive(object));
	memcpy(out->name, cap->name, sizeof(out->name));
	out->iface = cap->iface == CAPOS_IFACE_endpoint ? 0 : cap->iface;
	out->cap = (struct cap){ .object = object, .grant = object->root, .rights = cap->rights };
	if (cap->exported ? !grant_get(out->cap.grant) : grant_derive(NULL, &out->cap) != CAPOS_STATUS_OK)
		refuse_process(process, "caps", "no memory for \"%s\"", cap->source);
}

static void finish_process(struct cpu *cpu, const struct manifest_process *process, struct spawn_request *request)
{
	request->hold = false;
	while (!spawn_step(cpu, request))
		;
	if (request->result != STATUS(OK))
		refuse_spawn(process, request);
	pool_uncharge(POOL_SPAWN, NULL);
	pool_free(POOL_SPAWN, request);
}

/* Without interrupts on this CPU, as all of the boot; the processes that have started run on the others. */
void boot_start_processes(struct cpu *cpu, const struct manifest *manifest)
{
	u32 count = manifest->process_count;
	struct spawn_request **requests = frames_boot_alloc(count * sizeof(*requests));
	struct object *(*endpoints)[MANIFEST_CAPS_MAX] = frames_boot_alloc(count * sizeof(*endpoints));
	struct object *policies[MANIFEST_POLICIES_MAX] = { NULL };
	struct object *contexts[MANIFEST_CONTEXTS_MAX] = { NULL };

	for (u32 i = 0; i < count; i++)
		requests[i] = begin_process(cpu, &manifest->processes[i]);
	for (u32 i = 0; i < count; i++) {
		const struct manifest_process *process = &manifest->processes[i];

		for (u32 k = 0; k < process->cap_count; k++) {
			const struct manifest_cap *cap = &process->caps[k];
			struct object *object;

			if (cap->iface == CAPOS_IFACE_endpoint)
				object = exported_endpoint(requests, manifest, endpoints, cap->server,
							   cap->behind_colon);
			else if (cap->iface == CAPOS_IFACE_scheduling_policy)
				object = policy_object(manifest, policies, cap->server);
			else if (cap->iface == CAPOS_IFACE_scheduling_context)
				object = context_object(manifest, contexts, cap->server);
			else
				object = source_object(cap->iface);
			add_cap(requests[i], process, cap, object);
		}
	}
	for (u32 i = 0; i < count; i++)
		finish_process(cpu, &manifest->processes[i], requests[i]);
}
