/* SPDX-License-Identifier: MIT */
/*
 * The console: a 16550 at COM1, 115200 8N1, with interrupts on the boot CPU. Output goes through a ring that the
 * transmitter's interrupt drains; input through one that the receiver's fills. Both rings, and the device, are under
 * one lock with bounded sections. A '\n' that follows no '\r' is sent as "\r\n".
 */
#include "mach_priv.h"

#include <string.h>

#define PORT 0x3f8u
#define REG_DATA 0u
#define REG_IER 1u
#define REG_FCR 2u
#define REG_IIR 2u
#define REG_LCR 3u
#define REG_MCR 4u
#define REG_LSR 5u
#define REG_SCRATCH 7u
#define IER_RECEIVE 1u
#define IER_TRANSMIT 2u
#define LSR_DATA 1u
#define LSR_EMPTY 0x20u
#define IIR_NONE 1u
#define FIFO_BYTES 16u
#define TX_BYTES 4096u
#define RX_BYTES 1024u

static ATOMIC(u32) lock_word;

/* (l:lock_word) */
static u8 tx[TX_BYTES], rx[RX_BYTES];
static u32 tx_head, tx_tail, rx_head, rx_tail; /* free-running: tail - head bytes are inside */
static u8 interrupts;
static bool last_cr;

static bool present;  /* (c) after serial_init */
static bool with_irq; /* (c) after serial_enable_irq */

static u8 get(u32 reg)
{
	return inb((u16)(PORT + reg));
}

static void put(u32 reg, u8 value)
{
	outb((u16)(PORT + reg), value);
}

static void lock(void)
{
	while (atomic_xchg(&lock_word, 1u) != 0) {
		while (atomic_load_relaxed(&lock_word) != 0)
			mach_relax();
	}
}

static void unlock(void)
{
	/* Pairs with the exchange in lock(). */
	atomic_store_release(&lock_word, 0u);
}

void serial_init(void)
{
	put(REG_SCRATCH, 0x5a);
	present = get(REG_SCRATCH) == 0x5a;
	if (!present)
		return;
	put(REG_IER, 0);
	put(REG_LCR, 0x80);
	put(REG_DATA, 1); /* 115200 */
	put(REG_IER, 0);
	put(REG_LCR, 3);   /* 8N1 */
	put(REG_FCR, 7);   /* FIFOs on and empty, interrupt at the first byte */
	put(REG_MCR, 0xb); /* DTR, RTS, interrupt line */
}

static void interrupts_set(u8 value)
{
	if (value != interrupts) {
		interrupts = value;
		put(REG_IER, value);
	}
}

void serial_enable_irq(void)
{
	if (!present)
		return;
	ioapic_route(acpi.serial_gsi, acpi.serial_flags, VECTOR_CONSOLE, mach_cpus[0].apic_id);
	with_irq = true;
	interrupts_set(IER_RECEIVE);
}

/* Hand a FIFO's worth to the transmitter when it is empty. */
static void tx_pump(void)
{
	if (tx_head != tx_tail && (get(REG_LSR) & LSR_EMPTY) != 0) {
		for (u32 i = 0; i < FIFO_BYTES && tx_head != tx_tail; i++)
			put(REG_DATA, tx[tx_head++ % TX_BYTES]);
	}
	if (with_irq)
		interrupts_set(tx_head != tx_tail ? IER_RECEIVE | IER_TRANSMIT : IER_RECEIVE);
}

static void rx_pump(void)
{
	for (u32 i = 0; i < 2 * FIFO_BYTES && (get(REG_LSR) & LSR_DATA) != 0; i++) {
		u8 byte = get(REG_DATA);

		if (rx_tail - rx_head < RX_BYTES)
			rx[rx_tail++ % RX_BYTES] = byte;
	}
}

/* The line is an edge: serve until the device asks for nothing more. */
void serial_irq(void)
{
	lock();
	for (u32 i = 0; i < 16 && (get(REG_IIR) & IIR_NONE) == 0; i++) {
		rx_pump();
		tx_pump();
	}
	unlock();
}

/* Bytes up to the line's end, the ring's end or `room`, whichever comes first; how many. */
static size_t tx_run(const char *bytes, size_t n, u32 room)
{
	const char *line_end = memchr(bytes, '\n', n);
	u32 at = tx_tail % TX_BYTES;

	if (line_end != NULL)
		n = (size_t)(line_end - bytes);
	n = MIN(n, (size_t)MIN(room, TX_BYTES - at));
	if (n != 0) {
		memcpy(&tx[at], bytes, n);
		tx_tail += (u32)n;
		last_cr = bytes[n - 1] == '\r';
	}
	return n;
}

size_t mach_console_write(const char *bytes, size_t n)
{
	size_t done = 0;

	if (!present)
		return n;
	lock();
	while (done < n) {
		u32 room = TX_BYTES - (tx_tail - tx_head);

		if (room < 2)
			break;
		if (bytes[done] != '\n') {
			done += tx_run(bytes + done, n - done, room);
			continue;
		}
		if (!last_cr)
			tx[tx_tail++ % TX_BYTES] = '\r';
		tx[tx_tail++ % TX_BYTES] = '\n';
		last_cr = false;
		done++;
	}
	tx_pump();
	unlock();
	return done;
}

int mach_console_read(void)
{
	int byte = -1;

	lock();
	if (rx_head != rx_tail)
		byte = rx[rx_head++ % RX_BYTES];
	unlock();
	return byte;
}

static void send_now(u8 byte)
{
	for (u32 i = 0; i < 1000000 && (get(REG_LSR) & LSR_EMPTY) == 0; i++)
		mach_relax();
	put(REG_DATA, byte);
}

static void drain(void)
{
	while (tx_head != tx_tail)
		send_now(tx[tx_head++ % TX_BYTES]);
}

/* The holder of the lock may have been stopped by a panic: it is then taken without leave. */
static bool lock_or_not(void)
{
	for (u32 i = 0; i < 100000; i++) {
		if (atomic_xchg(&lock_word, 1u) == 0)
			return true;
		mach_relax();
	}
	return false;
}

void mach_console_write_sync(const char *bytes, size_t n)
{
	bool locked;

	if (!present)
		return;
	locked = lock_or_not();
	drain();
	for (size_t i = 0; i < n; i++) {
		if (bytes[i] == '\n' && !last_cr)
			send_now('\r');
		last_cr = bytes[i] == '\r';
		send_now((u8)bytes[i]);
	}
	if (locked)
		unlock();
}

void serial_flush(void)
{
	mach_console_write_sync("", 0);
}

void say(const char *text)
{
	size_t n = 0;

	while (text[n] != '\0')
		n++;
	mach_console_write_sync(text, n);
}

void say_hex(u64 value)
{
	char text[16];

	for (u32 i = 0; i < 16; i++)
		text[i] = "0123456789abcdef"[value >> (60 - 4 * i) & 15];
	mach_console_write_sync(text, sizeof(text));
}
