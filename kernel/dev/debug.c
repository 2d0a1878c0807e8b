/* SPDX-License-Identifier: MIT */
/* Panic and the walk over all structures. */
#include "dev_priv.h"

#include <lib/fmt.h>

#define BACKTRACE_MAX 32u

static PRINTF_LIKE(1, 2) void say(const char *format, ...)
{
	char text[320];
	va_list args;
	size_t n;

	va_start(args, format);
	n = fmt_vbuf(text, sizeof(text), format, args);
	va_end(args);
	mach_console_write_sync(text, MIN(n, sizeof(text) - 1));
}

/* The first CPU goes on; the others stand still until it stops them; a panic in a panic ends the machine. */
static void panic_begin(void)
{
	struct cpu *cpu = mach_this_cpu();
	u32 me = cpu != NULL ? cpu->id + 1 : 1;

	if (!atomic_cas(&kernel_state.dev.panicking, 0u, me)) {
		if (atomic_load_relaxed(&kernel_state.dev.panicking) == me) {
			say("panic in a panic\n");
			mach_exit(MACH_EXIT_PANIC);
		}
		for (;;)
			mach_relax();
	}
	mach_stop_others();
	console_flush_sync();
}

static NORETURN void panic_end(void)
{
	struct cpu *cpu = mach_this_cpu();
	struct thread *thread = cpu != NULL ? cpu->current : NULL;
	u64 pc[BACKTRACE_MAX];
	size_t n;

	if (cpu == NULL)
		say("  before the first CPU's record\n");
	else if (thread == NULL)
		say("  CPU %u, no thread\n", (unsigned)cpu->id);
	else
		say("  CPU %u, thread %lu of process %lu (%.*s)\n", (unsigned)cpu->id,
		    (unsigned long)thread->object.id, (unsigned long)thread->process->object.id,
		    (int)CAPOS_NAME_BYTES, thread->process->name);
	mach_panic_registers();
	n = mach_backtrace(pc, BACKTRACE_MAX);
	for (size_t i = 0; i < n; i++) {
		u64 offset = 0;
		const char *name = mach_symbol(pc[i], &offset);

		say("  #%lu %016lx %s+0x%lx\n", (unsigned long)i, (unsigned long)pc[i], name != NULL ? name : "?",
		    (unsigned long)offset);
	}
	mach_exit(MACH_EXIT_PANIC);
}

void panic(const char *format, ...)
{
	char text[256];
	va_list args;

	panic_begin();
	va_start(args, format);
	(void)fmt_vbuf(text, sizeof(text), format, args);
	va_end(args);
	say("\nKERNEL PANIC: %s\n", text);
	panic_end();
}

void kernel_panic_trap(const char *what, u64 ip, u64 addr, u64 error)
{
	u64 offset = 0;
	const char *name;

	panic_begin();
	name = mach_symbol(ip, &offset);
	say("\nKERNEL PANIC: %s at %016lx (%s+0x%lx), address %016lx, error %lx\n", what, (unsigned long)ip,
	    name != NULL ? name : "?", (unsigned long)offset, (unsigned long)addr, (unsigned long)error);
	panic_end();
}

/* Objects that a process owns: their grant trees. */
static void verify_objects(struct process *process)
{
	if (atomic_load_relaxed(&process->lock.word) != 0)
		return;
	LIST_FOREACH (&process->objects, node) {
		struct object *object = LIST_ENTRY(node, struct object, owner_link);

		KVERIFY(object->owner == process);
		KVERIFY(atomic_load_relaxed(&object->state) != OBJECT_BUILDING);
		grant_verify(object);
	}
}

void kernel_verify(void)
{
	struct process *process;

	if (!CAPOS_DEBUG || !kernel_state.dev.ready)
		return;
	mm_verify();
	for (process = registry_next_process(0); process != NULL;
	     process = registry_next_process(process->object.id + 1)) {
		cap_table_verify(process);
		verify_objects(process);
	}
	for (u16 i = 0; i < CAPOS_IFACE_COUNT; i++) {
		if (dev_object(i) != NULL)
			grant_verify(dev_object(i));
	}
	for (u32 i = 0; i < kernel_state.cpu_count; i++) {
		struct cpu *cpu = cpu_find(i);

		if (cpu == NULL || atomic_load_relaxed(&cpu->online) == 0)
			continue;
		sched_verify(cpu);
		timer_verify(cpu);
	}
}
