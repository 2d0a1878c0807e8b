/* SPDX-License-Identifier: MIT */
#ifndef KERNEL_STATE_DEV_H
#define KERNEL_STATE_DEV_H

#include <kernel/lock.h>
#include <kernel/object.h>
#include <kernel/types.h>
#include <kernel/waitlist.h>
#include <lib/list.h>

struct notification;

#define CONSOLE_OUT_BYTES 16384u
#define CONSOLE_IN_BYTES 256u
#define LOG_LINES 256u
#define LOG_LINE_BYTES 240u

/* Locks: the console's object.lock for who owns it and who waits; out_lock for the output. Indices are free-running. */
struct console {
	struct process *owner;		/* (l:object.lock) who reads */
	struct process *foreground;	/* (l:object.lock) Ctrl-C ends it */
	struct notification *interrupt; /* (l:object.lock) Ctrl-C signals it; valid while interrupt_grant is alive */
	struct grant *interrupt_grant;	/* (l:object.lock) with a reference */
	u64 interrupt_bits;		/* (l:object.lock) */
	struct waitlist readers;	/* (l:object.lock) threads of the owner */
	struct list writers;	     /* (l:object.lock) struct waiter.link; in an operation, which ends by itself */
	u32 in_head, in_tail;	     /* (l:object.lock) tail - head bytes are there */
	u8 in[CONSOLE_IN_BYTES];     /* (l:object.lock) */
	struct spinlock out_lock;    /* RANK_CONSOLE */
	u32 out_head, out_tail;	     /* (l:out_lock) */
	char out[CONSOLE_OUT_BYTES]; /* (l:out_lock) */
	u64 dropped;		     /* (l:out_lock) texts that found no room and did not wait */
};

struct log_line {
	u64 ns;
	u8 level;
	u8 bytes;
	char text[LOG_LINE_BYTES];
};

struct log {
	struct spinlock lock;		 /* RANK_LOG */
	u64 next;			 /* (l:lock) sequence number of the next line */
	ATOMIC(u32) console_level;	 /* (a) enum log_level */
	struct log_line line[LOG_LINES]; /* (l:lock) */
};

/* The part of kernel/dev in the kernel's state. */
struct dev_state {
	bool ready;				 /* (c) after dev_init */
	ATOMIC(u32) panicking;			 /* (a) CPU id + 1 of the first CPU that panicked */
	struct object object[CAPOS_IFACE_COUNT]; /* by interface; only those of dev_init are used */
	struct console console;
	struct log log;
};

#endif
