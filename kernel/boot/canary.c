/* SPDX-License-Identifier: MIT */
/*
 * Debian's libfdt.a is compiled with stack canaries, which read a thread-local word that the kernel does not have. The
 * kernel calls only those of its functions that have none (manifest.c says which), but the linker wants the name.
 */
#include <kernel/debug.h>

NORETURN void __stack_chk_fail(void) __attribute__((weak));

void __stack_chk_fail(void)
{
	panic("stack canary of a library function");
}
