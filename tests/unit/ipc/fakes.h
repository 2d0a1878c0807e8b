/* SPDX-License-Identifier: MIT */
/* What the IPC room stands on besides real waiters and loans, small: no queue, no memory but malloc's, handles that lead to what the
 * test sets. */
#ifndef TESTS_IPC_FAKES_H
#define TESTS_IPC_FAKES_H

#include "tests/unit/fakes.h"

#include "kernel/sched/context.h"

#include <kernel/affinity.h>
#include <kernel/context.h>
#include <kernel/fastpath.h>
#include <kernel/ipc.h>
#include <kernel/trace.h>

static struct cpu *cpu;
static u64 pool_live;
static unsigned faults, skips;
static u16 commit_status;
static bool pool_empty;
static u64 next_id;
static struct grant grants[2];
static struct cap ring_cap;
static struct thread *client, *client2, *server;
#define FAST 98	 /* slot of handles through which any call is one of a fast method */
#define PROXY 99 /* handle: an endpoint, whatever interface is named */

bool mach_frame_skip(struct thread *thread)
{
	(void)thread;
	skips++;
	return true;
}
void process_fault(struct cpu *c, struct thread *thread, const struct fault *fault)
{
	(void)c, (void)thread, (void)fault;
	faults++;
}
void trace_record(struct cpu *c, enum capos_trace_event event, u64 thread_id, u64 arg0, u64 arg1)
{
	(void)c, (void)event, (void)thread_id, (void)arg0, (void)arg1;
}
void space_switch(struct cpu *c, struct space *space)
{
	(void)c, (void)space;
}
void space_switch_far(struct cpu *c, struct space *space)
{
	(void)c, (void)space;
}
struct thread *sched_exit(struct cpu *c)
{
	return c->current;
}
/* Nobody else is in the queue. */
struct thread *sched_exit_blocked(struct cpu *c, struct thread *from)
{
	assert_null(c->current);
	assert_true(waiter_is_armed(&from->wait));
	c->armed_waiter = &from->wait;
	return client2;
}
struct thread *sched_exit_yield(struct cpu *c, struct thread *from)
{
	(void)c, (void)from;
	return NULL;
}
void runq_bequeath(struct runq *runq, const struct entity *entity)
{
	(void)runq, (void)entity;
}

void runq_inherit(struct runq *runq, struct entity *entity)
{
	(void)runq, (void)entity;
}

void runq_leave_slowly(struct runq *runq, struct entity *entity)
{
	(void)runq, (void)entity;
	fail_msg("somebody waits");
}
/* Masks: there is no CPU for a pinned server, as it seems, or as it is. */
static bool off_mask, off_mask_after_all;
bool affinity_fits_context(struct entity *entity, const struct capos_cpu_set *set, u64 affinity)
{
	(void)entity, (void)set, (void)affinity;
	return !off_mask;
}
bool affinity_lend(struct entity *entity, u64 server_set)
{
	if (off_mask_after_all)
		return false;
	entity->server_set = server_set;
	return true;
}
void affinity_pass_on(struct thread *thread, struct entity *from, struct entity *to)
{
	(void)from;
	thread->own = to;
}
void params_take_back(struct cpu *c, struct entity *entity); /* kernel/sched/runq.h */
void params_take_back(struct cpu *c, struct entity *entity)
{
	(void)c, (void)entity;
}
void sched_wake_near(struct cpu *c, struct entity *entity, struct cpu *near); /* kernel/sched/sched_priv.h */
void sched_wake_near(struct cpu *c, struct entity *entity, struct cpu *near)
{
	(void)near;
	sched_wake(c, entity);
}
bool space_copy_in(struct space *space, void *to, struct uaddr from, size_t n)
{
	(void)space;
	memcpy(to, (const void *)from.va, n);
	return true;
}
void sched_look_soon(struct cpu *c)
{
	(void)c;
}
static unsigned translations;
bool space_translate_loaded(struct space *space, struct uaddr addr, struct paddr *out)
{
	(void)space;
	translations++;
	*out = virt_to_phys((const void *)addr.va);
	return addr.va >= PAGE_BYTES;
}
static u64 shared_object; /* whose memory every space shows at every address; 0: nobody's */
bool space_shared_key(struct space *space, struct uaddr addr, u64 *object_id, u64 *offset)
{
	(void)space;
	if (shared_object == 0)
		return false;
	*object_id = shared_object;
	*offset = addr.va;
	return true;
}
void timer_start(struct cpu *c, struct timer *timer, struct instant deadline, timer_fn fn)
{
	timer->deadline_ns = deadline.ns;
	timer->fn = fn;
	atomic_store_relaxed(&timer->cpu, c);
}
bool timer_cancel(struct timer *timer)
{
	bool queued = atomic_load_relaxed(&timer->cpu) != NULL;

	atomic_store_relaxed(&timer->cpu, NULL);
	return queued;
}
u16 pool_alloc(enum pool_id pool, struct process *process, void **out)
{
	(void)pool, (void)process;
	if (pool_empty)
		return CAPOS_STATUS_NO_MEMORY;
	*out = calloc(1, 1024);
	pool_live++;
	return CAPOS_STATUS_OK;
}
void pool_uncharge(enum pool_id pool, struct process *process)
{
	(void)pool, (void)process;
}
void pool_free(enum pool_id pool, void *object)
{
	(void)pool;
	pool_live--;
	free(object);
}
bool frame_alloc(struct paddr *out)
{
	*out = virt_to_phys(aligned_alloc(PAGE_BYTES, PAGE_BYTES));
	return true;
}
void frame_free(struct paddr frame)
{
	free(phys_to_virt(frame));
}
bool quota_charge(struct process *process, enum capos_quota kind, u64 amount)
{
	(void)process, (void)kind, (void)amount;
	return true;
}
void quota_uncharge(struct process *process, enum capos_quota kind, u64 amount)
{
	(void)process, (void)kind, (void)amount;
}
void reclaim_defer(struct reclaim_node *node, void (*fn)(struct reclaim_node *))
{
	fn(node);
}
void object_init(struct object *object, u16 type, struct process *owner)
{
	object->type = type;
	object->id = ++next_id;
	object->owner = owner;
	spinlock_init(&object->lock, RANK_OBJECT, object->id);
	atomic_store_relaxed(&object->state, OBJECT_ALIVE);
}
bool grant_get(struct grant *grant)
{
	atomic_fetch_add(&grant->references, 1u);
	return true;
}
void grant_put(struct grant *grant)
{
	atomic_fetch_sub(&grant->references, 1u);
}
void grant_put_later(struct grant *grant)
{
	grant_put(grant);
}
u16 cap_transfer_decode(struct thread *from, u32 count, struct cap out[CAPOS_MESSAGE_CAPS])
{
	(void)from;
	for (u32 i = 0; i < count; i++) {
		out[i] = (struct cap){ .grant = &grants[1] };
		grant_get(&grants[1]);
	}
	return CAPOS_STATUS_OK;
}
u64 cap_transfer_commit(struct process *to, const struct cap *caps, u32 count, u64 handles[CAPOS_MESSAGE_CAPS])
{
	(void)to, (void)caps;
	for (u32 i = 0; i < count; i++)
		handles[i] = 0x100 + i;
	return CAPOS_RESULT(commit_status, 0, 0);
}
void cap_transfer_drop(const struct cap *caps, u32 count)
{
	for (u32 i = 0; i < count; i++)
		grant_put(caps[i].grant);
}
u16 cap_release(struct process *process, u64 handle)
{
	(void)process, (void)handle;
	return CAPOS_STATUS_OK;
}
u16 cap_lookup_typed(struct process *process, u64 handle, u16 type, u32 rights, struct cap *out)
{
	(void)process, (void)type, (void)rights;
	*out = ring_cap;
	return handle != 0 ? CAPOS_STATUS_OK : CAPOS_STATUS_INVALID_HANDLE;
}
static inline u64 nop(struct call *call)
{
	(void)call;
	return STATUS(OK);
}
static const struct method nop_method = { .name = "nop", .fn = nop };
const struct method *call_method(u32 iface, u16 method)
{
	(void)method;
	return iface == CAPOS_IFACE_cap_table ? &nop_method : NULL;
}
static inline u64 fast_nop(struct object *object, u64 *word)
{
	(void)object, (void)word;
	return STATUS(OK);
}
static struct slot fast_slot;
static struct grant fast_grant;
static struct object fast_object;
static unsigned looked_up; /* times that call_prepare said yes */
bool call_prepare(struct thread *thread, u64 handle, u64 call_word, struct call_ready *ready)
{
	(void)thread, (void)call_word;
	if (CAPOS_HANDLE_SLOT(handle) != FAST)
		return false;
	looked_up++;
	atomic_store_relaxed(&fast_slot.generation, CAPOS_HANDLE_GENERATION(handle));
	atomic_store_relaxed(&fast_object.state, OBJECT_ALIVE);
	*ready = (struct call_ready){ &fast_slot, CAPOS_HANDLE_GENERATION(handle), &fast_grant, &fast_object,
				      fast_nop };
	return true;
}

u64 call_dispatch(struct call *call, u64 call_word, u64 handle)
{
	if (CAPOS_CALL_IFACE(call_word) == CAPOS_IFACE_cap_table && handle != PROXY)
		return nop(call);
	call->cap = ring_cap;
	return endpoint_call_ring(call, call_word);
}
u64 call_start_operation(struct call *call,
			 enum operation_progress (*step)(struct cpu *, struct thread *, struct operation *))
{
	call->thread->operation.step = step;
	return CALL_OPERATION;
}
void entity_init(struct entity *entity, enum entity_kind kind, u64 affinity)
{
	*entity = (struct entity){ .kind = (u8)kind, .weight = CAPOS_WEIGHT_DEFAULT, .affinity = affinity };
}
void sched_charge(struct cpu *c, struct instant now)
{
	(void)c, (void)now;
}
/* Runnable entities are those with owner QUEUE; B1 is checked here. */
/* Pinned servers are pinned to this one. */
struct cpu *cpu_get(u32 id)
{
	assert_int_equal(id, cpu->id);
	return cpu;
}

/* Nobody here has a budget. */
void context_charge(struct cpu *c, struct entity *entity, u64 used_ns, bool blocks)
{
	(void)c;
	(void)used_ns, (void)blocks;
	assert_null(atomic_load_relaxed(&entity->context));
	fail_msg("context_charge is called");
}

void context_move(struct cpu *c, struct entity *from, struct entity *to)
{
	(void)c;
	assert_null(atomic_load_relaxed(&from->context));
	assert_null(atomic_load_relaxed(&to->context));
}

void sched_wake(struct cpu *c, struct entity *entity)
{
	(void)c;
	assert_int_equal(atomic_load_relaxed(&entity->owner), OWNER_NONE);
	atomic_store_relaxed(&entity->owner, OWNER_QUEUE);
}
void sched_detach_current(struct cpu *c)
{
	atomic_store_relaxed(&c->current_entity->owner, OWNER_NONE);
	c->current = NULL;
	c->current_entity = NULL;
}
bool sched_handoff(struct cpu *c, struct thread *thread)
{
	if (c->current != NULL || thread->entity == NULL)
		return false;
	sched_wake(c, thread->entity);
	return true;
}
/* False: who is switched to has to wait. */
static bool can_switch;
bool sched_switch_to(struct cpu *c, struct thread *thread)
{
	sched_detach_current(c);
	if (!can_switch) {
		sched_wake(c, thread->entity);
		return false;
	}
	assert_int_equal(atomic_load_relaxed(&thread->entity->owner), OWNER_NONE);
	atomic_store_relaxed(&thread->entity->owner, OWNER_CURRENT);
	c->current = thread;
	c->current_entity = thread->entity;
	return true;
}

#endif
