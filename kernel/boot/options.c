/* SPDX-License-Identifier: MIT */
/*
 * Options of the command line (the manifest has all that is policy): words `capos.NAME=VALUE`, others are not ours.
 *   capos.panic=boot       end with a panic, to see (and test) what one looks like
 *   capos.panic=exception  the same by an exception in kernel mode
 *   capos.clock=proof      measure one-shots and the clock's discipline (kernel/time/proof.c)
 *   capos.clock=stopped    from now on the counter of the clock stands
 *   capos.bench=runq       measure builds: what the fair queue costs, and halt
 */
#include "boot_priv.h"

#include <kernel/process.h>
#include <kernel/clock.h>
#include <kernel/cpu.h>
#include <kernel/debug.h>
#include <string.h>

/* Is the word at `text` (up to a blank or the end) equal to `word`? */
static bool word_is(const char *text, const char *word)
{
	size_t n = strlen(word);

	return strncmp(text, word, n) == 0 && (text[n] == 0 || text[n] == ' ');
}

static void option(const char *text)
{
	if (word_is(text, "capos.panic=boot"))
		panic("asked for on the command line");
	if (word_is(text, "capos.panic=exception")) {
		volatile uintptr_t nowhere = 8;

		*(volatile u64 *)nowhere = 0;
	}
	if (word_is(text, "capos.clock=proof")) {
		clock_proof(mach_this_cpu());
		return;
	}
	if (word_is(text, "capos.clock=stopped")) {
		clock_distrust(mach_this_cpu());
		mach_clock_stop();
		return;
	}
#ifdef CAPOS_MEASURE
	if (word_is(text, "capos.bench=runq")) {
		runq_bench(mach_this_cpu());
		console_flush_sync();
		mach_exit(MACH_EXIT_OK);
	}
#endif
	if (strncmp(text, "capos.", 6) == 0)
		klog(LOG_WARN, "boot: unknown option on the command line: %.60s", text);
}

void boot_options(const char *cmdline)
{
	for (const char *text = cmdline; *text != 0; text++)
		if (text == cmdline || text[-1] == ' ')
			option(text);
}
