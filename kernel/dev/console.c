/* SPDX-License-Identifier: MIT */
/*
 * The console.
 *
 *   console_put -> [ out ring ] -> machine        machine -> [ in ring ] -> readers (threads of the owner)
 *
 * Output: a text goes into the ring whole or not at all, and the ring is given to the machine at once; when the machine
 * takes no more it raises IRQ_CONSOLE later (mach.h), at which the rest goes out and writers that wait are woken: so a
 * full ring always has an interrupt to come. console.write waits; everybody else is told that there was no room.
 * Input: Ctrl-C ends the foreground process; without one it signals the interrupt notification; without both it is a byte
 * like any other. Carriage returns and line feeds pass as they are, both ways (the machine makes lines of the latter).
 */
#include "dev_priv.h"

#include <string.h>

#define CTRL_C 3
#define INTERRUPTED_CODE 130u
#define READ_BYTES_PER_IRQ 64u
#define WAKES_PER_IRQ 16u

static bool console_sweep_step(struct object *object, u64 *pass);

const struct object_type type_console = OBJECT_TYPE(console, .sweep_step = console_sweep_step);

static struct console *the_console(void)
{
	return &kernel_state.dev.console;
}

static struct object *console_object(void)
{
	return &kernel_state.dev.object[CAPOS_IFACE_console];
}

void console_init(void)
{
	struct console *console = the_console();

	waitlist_init(&console->readers);
	list_init(&console->writers);
	spinlock_init(&console->out_lock, RANK_CONSOLE, 0);
}

/* --- output ---------------------------------------------------------------------------------------------------------- */

static u32 out_room(const struct console *console)
{
	return CONSOLE_OUT_BYTES - (console->out_tail - console->out_head);
}

/* Give the machine what it takes. */
static void out_drain(struct console *console) REQUIRES(console->out_lock)
{
	while (console->out_head != console->out_tail) {
		u32 at = console->out_head % CONSOLE_OUT_BYTES;
		u32 n = MIN(console->out_tail - console->out_head, CONSOLE_OUT_BYTES - at);
		size_t taken = mach_console_write(&console->out[at], n);

		MEASURE_COUNT(mach_this_cpu(), serial_bytes, taken);
		console->out_head += (u32)taken;
		if (taken < n)
			return;
	}
}

bool console_has_room(size_t n)
{
	struct console *console = the_console();
	bool room;

	spin_lock(&console->out_lock);
	room = out_room(console) >= n;
	spin_unlock(&console->out_lock);
	return room;
}

static bool out_put(const char *text, size_t n, bool count_drop)
{
	struct console *console = the_console();
	bool fits;
	u32 at, first;

	if (!kernel_state.dev.ready) {
		mach_console_write_sync(text, n);
		return true;
	}
	spin_lock(&console->out_lock);
	fits = out_room(console) >= n;
	if (fits) {
		at = console->out_tail % CONSOLE_OUT_BYTES;
		first = MIN((u32)n, CONSOLE_OUT_BYTES - at);
		memcpy(&console->out[at], text, first);
		memcpy(console->out, text + first, n - first);
		console->out_tail += (u32)n;
	} else if (count_drop) {
		console->dropped++;
	}
	out_drain(console);
	spin_unlock(&console->out_lock);
	return fits;
}

bool console_put(const char *text, size_t n)
{
	return out_put(text, n, true);
}

void console_flush_sync(void) NO_TSA
{
	struct console *console = the_console();

	while (console->out_head != console->out_tail) {
		u32 at = console->out_head % CONSOLE_OUT_BYTES;
		u32 n = MIN(console->out_tail - console->out_head, CONSOLE_OUT_BYTES - at);

		MEASURE_COUNT(mach_this_cpu(), serial_bytes, n);
		mach_console_write_sync(&console->out[at], n);
		console->out_head += n;
	}
}

static void writer_unlink(struct waiter *waiter)
{
	struct object *object = console_object();

	spin_lock(&object->lock);
	if (list_is_linked(&waiter->link))
		list_remove(&waiter->link);
	spin_unlock(&object->lock);
}

static const struct waiter_ops writer_ops = { .unlink = writer_unlink };

/* args[0]: bytes. The text is read from the message area again at each attempt: nothing in it is trusted. */
static enum operation_progress write_step(struct cpu *cpu, struct thread *thread, struct operation *operation)
{
	struct object *object = console_object();
	size_t n = operation->args[0];
	char text[CAPOS_MESSAGE_BYTES];

	if (CAPOS_RESULT_STATUS(operation->result) != CAPOS_STATUS_OK)
		return OPERATION_DONE; /* the wait was ended: killed */
	memcpy(text, thread->page->message, n);
	if (out_put(text, n, false)) {
		operation->word[0] = n;
		operation->word_count = 1;
		return OPERATION_DONE;
	}
	spin_lock(&object->lock);
	/* Again under the lock: an interrupt that made room looks at the list after it. */
	if (console_has_room(n)) {
		spin_unlock(&object->lock);
		return OPERATION_AGAIN;
	}
	waiter_prepare(cpu, &thread->wait);
	thread->wait.object = object;
	thread->wait.grant = NULL;
	list_push_back(&the_console()->writers, &thread->wait.link);
	waiter_arm(cpu, &thread->wait, CAPOS_WAIT_CONSOLE, &writer_ops, INSTANT_NEVER);
	spin_unlock(&object->lock);
	return OPERATION_WAIT;
}

/* Through the ring nothing waits for room: wouldBlock. */
u64 method_console_write(struct call *call)
{
	if (out_put((const char *)call->in, call->in_bytes, false)) {
		call->word[0] = call->in_bytes;
		return STATUS(OK);
	}
	if (call->ring)
		return STATUS(WOULD_BLOCK);
	call->thread->operation.args[0] = call->in_bytes;
	return call_start_operation(call, write_step);
}

/* --- input ----------------------------------------------------------------------------------------------------------- */

static u32 in_take(struct console *console, u8 *to)
{
	u32 n = console->in_tail - console->in_head;

	for (u32 i = 0; i < n; i++)
		to[i] = console->in[console->in_head++ % CONSOLE_IN_BYTES];
	return n;
}

/* What is there goes to the first reader whose wait we can end. */
static void in_deliver(struct cpu *cpu, struct console *console, struct object *object) REQUIRES(object->lock)
{
	struct capos_thread_page *page;
	struct waiter *waiter;
	u64 count;

	(void)object;
	if (console->in_head == console->in_tail)
		return;
	waiter = waitlist_take(&console->readers);
	if (waiter == NULL)
		return;
	page = waiter->thread->page;
	count = in_take(console, page->message);
	shared_store_relaxed(&page->recv_bytes, (u32)count);
	waiter_finish(cpu, waiter, STATUS(OK), &count, 1);
}

/* Ctrl-C. True: it is a byte like any other. */
static bool interrupt(struct cpu *cpu, struct console *console)
{
	struct object *object = console_object();
	struct process *foreground;
	struct notification *notification = NULL;
	u64 bits = 0;

	spin_lock(&object->lock);
	foreground = console->foreground;
	console->foreground = NULL;
	if (foreground == NULL && console->interrupt_grant != NULL && !grant_is_dead(console->interrupt_grant)) {
		notification = console->interrupt;
		bits = console->interrupt_bits;
	}
	spin_unlock(&object->lock);
	/* Both were alive in this kernel entry: their memory stays until its end. */
	if (foreground != NULL)
		process_kill(cpu, foreground, CAPOS_EXIT_INTERRUPTED, INTERRUPTED_CODE);
	else if (notification != NULL)
		notification_signal(cpu, notification, bits);
	return foreground == NULL && notification == NULL;
}

static void wake_writers(struct cpu *cpu, struct console *console)
{
	struct object *object = console_object();

	if (!console_has_room(CONSOLE_OUT_BYTES / 2))
		return;
	spin_lock(&object->lock);
	for (unsigned i = 0; i < WAKES_PER_IRQ; i++) {
		struct list_node *node = list_pop_front(&console->writers);

		if (node == NULL)
			break;
		if (waiter_claim(LIST_ENTRY(node, struct waiter, link)))
			waiter_finish(cpu, LIST_ENTRY(node, struct waiter, link), STATUS(OK), NULL, 0);
	}
	spin_unlock(&object->lock);
}

void console_irq(struct cpu *cpu)
{
	struct console *console = the_console();
	struct object *object = console_object();

	if (!kernel_state.dev.ready)
		return;
	spin_lock(&console->out_lock);
	out_drain(console);
	spin_unlock(&console->out_lock);
	wake_writers(cpu, console);
	for (unsigned i = 0; i < READ_BYTES_PER_IRQ; i++) {
		int byte;

		spin_lock(&object->lock); /* one CPU at a time reads the machine */
		byte = mach_console_read();
		if (byte >= 0 && byte != CTRL_C && console->in_tail - console->in_head < CONSOLE_IN_BYTES)
			console->in[console->in_tail++ % CONSOLE_IN_BYTES] = (u8)byte;
		spin_unlock(&object->lock);
		if (byte < 0)
			break;
		if (byte == CTRL_C && interrupt(cpu, console)) {
			spin_lock(&object->lock);
			if (console->in_tail - console->in_head < CONSOLE_IN_BYTES)
				console->in[console->in_tail++ % CONSOLE_IN_BYTES] = CTRL_C;
			spin_unlock(&object->lock);
		}
	}
	spin_lock(&object->lock);
	in_deliver(cpu, console, object);
	spin_unlock(&object->lock);
}

u64 method_console_read(struct call *call)
{
	struct console *console = the_console();
	struct object *object = console_object();
	u64 result = STATUS(OK);

	spin_lock(&object->lock);
	if (console->owner != call->thread->process) {
		result = IRESULT(CAPOS_CONSOLE_NOT_OWNER);
	} else if (console->in_head != console->in_tail) {
		call->out_bytes = in_take(console, call->out);
		call->word[0] = call->out_bytes;
	} else {
		result = waitlist_enter(&console->readers, call, CAPOS_WAIT_CONSOLE);
	}
	spin_unlock(&object->lock);
	return result;
}

/* --- owner and Ctrl-C ----------------------------------------------------------------------------------------------------- */

/* Nobody owns it any more. The reference on the returned grant is the caller's to give back. */
static struct grant *disown(struct console *console, struct object *object) REQUIRES(object->lock)
{
	struct grant *grant = console->interrupt_grant;

	(void)object;
	console->owner = NULL;
	console->foreground = NULL;
	console->interrupt = NULL;
	console->interrupt_grant = NULL;
	return grant;
}

u64 method_console_take(struct call *call)
{
	struct console *console = the_console();
	struct object *object = console_object();
	u64 result = STATUS(OK);

	spin_lock(&object->lock);
	if (console->owner == NULL)
		console->owner = call->thread->process;
	else if (console->owner != call->thread->process)
		result = IRESULT(CAPOS_CONSOLE_OWNED);
	spin_unlock(&object->lock);
	return result;
}

/* Readers are told first, then there is no owner. */
static enum operation_progress give_step(struct cpu *cpu, struct thread *thread, struct operation *operation)
{
	struct console *console = the_console();
	struct object *object = console_object();
	struct grant *grant = NULL;
	bool done = true;

	if (!waitlist_wake(cpu, &console->readers, object, IRESULT(CAPOS_CONSOLE_NOT_OWNER), NULL, 0))
		return OPERATION_AGAIN;
	spin_lock(&object->lock);
	if (console->owner != thread->process)
		operation->result = IRESULT(CAPOS_CONSOLE_NOT_OWNER); /* another thread gave it */
	else if (list_is_empty(&console->readers.waiters))
		grant = disown(console, object);
	else
		done = false;
	spin_unlock(&object->lock);
	if (grant != NULL)
		grant_put(grant);
	return done ? OPERATION_DONE : OPERATION_AGAIN;
}

u64 method_console_give(struct call *call)
{
	struct object *object = console_object();
	bool owned;

	spin_lock(&object->lock);
	owned = the_console()->owner == call->thread->process;
	spin_unlock(&object->lock);
	return owned ? call_start_operation(call, give_step) : IRESULT(CAPOS_CONSOLE_NOT_OWNER);
}

u64 method_console_set_foreground(struct call *call)
{
	struct console *console = the_console();
	struct object *object = console_object();
	struct process *process = NULL;
	u64 result = STATUS(OK);
	struct cap cap;

	if (call->word[0] != 0) {
		u16 status = cap_lookup_typed(call->thread->process, call->word[0], CAPOS_IFACE_process,
					      CAPOS_RIGHT_CONTROL, &cap);

		if (status != CAPOS_STATUS_OK)
			return CAPOS_RESULT(status, 0, 1);
		process = container_of(cap.object, struct process, object);
	}
	spin_lock(&object->lock);
	if (console->owner != call->thread->process) {
		result = IRESULT(CAPOS_CONSOLE_NOT_OWNER);
	} else {
		/* A process is dying before console_process_gone is called for it, which clears this under the lock. */
		if (process != NULL && atomic_load_relaxed(&process->state) != PROCESS_ALIVE)
			process = NULL;
		console->foreground = process;
	}
	spin_unlock(&object->lock);
	return result;
}

u64 method_console_set_interrupt(struct call *call)
{
	struct console *console = the_console();
	struct object *object = console_object();
	struct grant *put = NULL;
	struct cap cap = { 0 };
	u64 result = STATUS(OK);

	if (call->word[0] != 0) {
		u16 status = cap_lookup_typed(call->thread->process, call->word[0], CAPOS_IFACE_notification,
					      CAPOS_RIGHT_SIGNAL, &cap);

		if (status == CAPOS_STATUS_OK && call->word[1] == 0)
			return STATUS_DETAIL(BAD_ARGUMENT, 1);
		if (status == CAPOS_STATUS_OK && !grant_get(cap.grant))
			status = CAPOS_STATUS_REVOKED;
		if (status != CAPOS_STATUS_OK)
			return CAPOS_RESULT(status, 0, 1);
	}
	spin_lock(&object->lock);
	if (console->owner != call->thread->process) {
		result = IRESULT(CAPOS_CONSOLE_NOT_OWNER);
		put = cap.grant;
	} else {
		put = console->interrupt_grant;
		console->interrupt_grant = cap.grant;
		console->interrupt =
			cap.object != NULL ? container_of(cap.object, struct notification, object) : NULL;
		console->interrupt_bits = call->word[1];
	}
	spin_unlock(&object->lock);
	if (put != NULL)
		grant_put(put);
	return result;
}

/* Its threads have gone, and so have the reads of the owner. */
void console_process_gone(struct cpu *cpu, struct process *process)
{
	struct console *console = the_console();
	struct object *object = console_object();
	struct grant *grant = NULL;

	(void)cpu;
	spin_lock(&object->lock);
	if (console->foreground == process)
		console->foreground = NULL;
	if (console->owner == process) {
		KASSERT(list_is_empty(&console->readers.waiters));
		grant = disown(console, object);
	}
	spin_unlock(&object->lock);
	if (grant != NULL)
		grant_put(grant);
}

static bool console_sweep_step(struct object *object, u64 *pass)
{
	return waitlist_sweep(mach_this_cpu(), &the_console()->readers, object, pass);
}
