/* SPDX-License-Identifier: MIT */
/* Threads: the first frame, and stepping over an instruction. */
#include "insn.h"
#include "mach_priv.h"

#define FLAGS_USER 0x202ull /* IF and the bit that is always 1 */
#define INSN_BYTES_MAX 15u

void mach_thread_init(struct thread *thread, struct uaddr ip, struct uaddr sp, u64 arg)
{
	struct mach_thread *m = (struct mach_thread *)thread;

	m->frame.ip = ip.va;
	m->frame.sp = sp.va;
	m->frame.flags = FLAGS_USER;
	m->frame.handle = arg; /* rdi */
}

bool mach_frame_skip(struct thread *thread)
{
	struct mach_thread *m = (struct mach_thread *)thread;
	u8 code[INSN_BYTES_MAX];
	u32 n = INSN_BYTES_MAX;
	u32 length;

	if (!kernel_read_user_code(thread, m->frame.ip, code, n)) {
		/* The next page may be missing. */
		n = (u32)(PAGE_BYTES - (m->frame.ip & (PAGE_BYTES - 1)));
		if (n >= INSN_BYTES_MAX || !kernel_read_user_code(thread, m->frame.ip, code, n))
			return false;
	}
	length = insn_length(code, n);
	m->frame.ip += length;
	return length != 0;
}
